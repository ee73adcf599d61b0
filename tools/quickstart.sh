#!/usr/bin/env bash
# Installs what is missing, builds, and goes once around: trains a small network on the built-in data set, trains it
# again without a tenth of the samples, makes the first one forget that tenth without and with the paper's focus gate,
# attacks all of them, and prints one table. Every run replaces runs/quickstart.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

runs=runs/quickstart
forget=random:0.1

tools/setup.sh
cmake --preset release ${EXPUNGE_DEPS:+-DEXPUNGE_DEPS="$EXPUNGE_DEPS"}
cmake --build --preset release -j "$(nproc)" --target expunge

expunge() {
  echo "\$ expunge $*" >&2
  build/bin/expunge "$@"
}

rm -rf "$runs"
begin=$SECONDS
expunge train --data builtin --model smallcnn --epochs 8 --batch-size 32 --lr 0.05 --schedule onecycle \
  --augment none --eval-every 4 --out $runs/original
expunge train --like $runs/original --forget $forget --out $runs/retrained
for gate in none focus; do
  expunge unlearn --from $runs/original --checkpoint last --forget $forget --method ngplus --gate $gate \
    --lr 0.001 --epochs 10 --eval-every 5 --reference $runs/retrained --out $runs/ngplus-$gate
done
expunge compare $runs/*

echo
echo "Once around in $((SECONDS - begin)) seconds. The runs are in $runs/; expunge eval RUN shows one by itself."
