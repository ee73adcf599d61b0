#!/usr/bin/env bash
# Installs what is missing, builds, trains a small network on the built-in data set and evaluates it.
# Every run replaces runs/quickstart.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

run=runs/quickstart

tools/setup.sh
cmake --preset release ${EXPUNGE_DEPS:+-DEXPUNGE_DEPS="$EXPUNGE_DEPS"}
cmake --build --preset release -j "$(nproc)" --target expunge

rm -rf "$run"
build/bin/expunge train --data builtin --model smallcnn --epochs 10 --batch-size 32 --lr 0.05 \
  --schedule onecycle --augment none --out "$run"
build/bin/expunge eval "$run"

echo
echo "The run is in $run:"
ls "$run"
