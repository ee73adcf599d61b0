#!/usr/bin/env bash
# tools/bench/rivals.sh on a small network, where the rivals were built (EXPUNGE_RIVALS=ON). The
# figures are not judged.
script=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../../tools/bench/rivals.sh")
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
BUILD=$(realpath "$(dirname "$bin")/..")
export BUILD
rivals=("$(dirname "$bin")"/rival_*)

bin=$script # `expect` runs it
expect "an option that is not known" 2 'rivals.sh' --batch-size 3
if [[ ! -x ${rivals[0]} ]]; then
  echo "# built without EXPUNGE_RIVALS: the comparison itself is skipped"
  finish && exit 77
fi
few=(--model smallcnn --batch 2 --steps 1 --rounds 1 --threads 1)
expect "all convolutions of a network" 0 'conv2d backward weights 64-128 8x8 k3 s1' "${few[@]}"
check "with their sum" grep -qE '^\| \*\*smallcnn, all layers\*\*( \|)+ \*\*[0-9.]+\*\*' out
expect "some, on AVX2" 0 '^\| conv2d forward 64-64 .* direct \| [0-9.]+' "${few[@]}" --isa avx2 \
  --algo direct --only 'forward 64-64'
check_not "and no others" grep -q backward out
for rival in "${rivals[@]}"; do
  bin=$rival
  name=$(basename "$rival")
  expect "$name as JSON" 0 '"algo":"[a-z]+ [a-z0-9]+"' --model smallcnn --batch-size 3 --steps 1 \
    --warmup-steps 2 --format json
  check "it is JSON" is_json out
  expect "$name, a row that is not there" 2 'kernels are conv2d forward' --only convd
done
finish
