#!/usr/bin/env bash
# tools/bench/vs_torch.sh with a few images. Without torch only what it refuses; the figures are
# not judged.
script=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../../tools/bench/vs_torch.sh")
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
export EXPUNGE=$bin

bin=$script  # `expect` runs it
expect "an option that is not known" 2 'vs_torch.sh infer' --model resnet18 --bacth 3
expect "an option without a value" 2 'vs_torch.sh memory' train --batch
expect "an instruction set that is none" 2 'expected baseline, avx2 or avx512' infer --isa sse5
EXPUNGE=/nowhere expect "no program" 1 '/nowhere is not there' infer
PYTHON=/nowhere expect "no torch" 7 'no torch in /nowhere' infer
if ! "${PYTHON:-/usr/bin/python3}" -c 'import torch' 2> /dev/null; then
  echo "# no torch: the comparison itself is skipped"
  finish && exit 77
fi
few=(--batch 2 --steps 1 --rounds 1 --threads 1)
expect "a training step" 0 'PyTorch / expunge = [0-9.]+' "${few[@]}"
check "in both layouts" grep -qE '^PyTorch channels_last +[0-9.]+ ' out
check "with memory" grep -qE '^expunge( +[0-9.]+){4} +[1-9][0-9]*$' out
expect "a forward pass, on AVX2" 0 'fp32, avx2, .*PyTorch' infer "${few[@]}" --isa avx2 --algo direct
check "by the algorithm asked for" grep -q 'batch 2, ours direct, 1 threads' out
expect "memory" 0 'PyTorch / expunge, infer: [0-9.]+; without imports [0-9.]+' memory "${few[@]}"
check "of both layouts" grep -qE '^PyTorch NCHW train +[1-9][0-9]* +[1-9][0-9]*$' out

bin=$(dirname "$script")/gpu_vs_torch.sh  # on the CPU: whether it does what it says, not what it is for
export PYTHON=${PYTHON:-/usr/bin/python3}
expect "its help" 0 'gpu_vs_torch.sh .--parts' --help
EXPUNGE=/nowhere expect "GPU: no program" 1 '/nowhere is not there' --device cpu
few=(--device cpu --models resnet18 --batches 2 --precisions fp32 --steps 1 --rounds 2 --json rows.jsonl)
expect "GPU: every form in turn" 0 '^\| resnet18 \| 2 \| fp32 \| [0-9.]+ \| [0-9]+ \| [0-9.]+ \| [0-9.]+ \|' "${few[@]}" --parts train --forms eager
check "a column of memory, empty on the CPU" grep -qE '^\| resnet18 .*\| -, - \|$' out
check "a line a measurement" test "$(wc -l < rows.jsonl)" = 4
expect "GPU: a graph needs one" 1 'peer_train: graph needs a GPU' "${few[@]}" --parts train --forms graph,eager
check "which leaves its cells empty, and the others stand" grep -qE '^\| resnet18 \| 2 \| fp32 \| [0-9.]+ \| [0-9]+ \| - \| [0-9.]+ \| - \| [0-9.]+ \|' out
expect "GPU: what takes too long" 1 'took more than 0 s' "${few[@]}" --parts train --forms eager --seconds 0.01
rm rows.jsonl
expect "GPU: steps of unlearning" 0 '^\| unlearn \| batch .*\| loop / expunge \| eager / expunge \|' "${few[@]}" \
  --parts unlearn --forms loop,eager
check "each form in each round" test "$(grep -c '"part": "unlearn"' rows.jsonl)" = 6
expect "GPU: the update alone" 0 '^\| resnet18 \| focus \| [0-9.]+ \| [0-9.]+ \| [0-9.]+ \| [0-9.]+ \|' --device cpu \
  --models resnet18 --steps 2 --rounds 1 --parts update --forms loop,eager
check "of opt a loop alone" grep -qE '^\| resnet18 \| opt \| [0-9.]+ \| [0-9.]+ \| - \| [0-9.]+ \| - \|' out
bin=$PYTHON  # the peers alone, in what ours has no CPU for: fp16's loss scale is there whatever the CPU makes of the type
for peer in train step; do
  expect "GPU: fp16 of peer_$peer" 0 '"precision": "fp16", "form": "eager"' "$(dirname "$script")/gpu/peer_$peer.py" \
    --device cpu --batch 2 --precision fp16 --exec eager --steps 1 --warmup 3
done
bin=$(dirname "$script")/gpu_vs_torch.sh
expect "GPU: a part that is none" 1 'expected train, unlearn, update' "${few[@]}" --parts infer

bin=$(dirname "$script")/gpu_all.sh
expect "everything on a GPU, tried out" 0 '' results --try
for file in step infer versus kernels-fp32; do
  check "$file is a table under its command" grep -qE '^\|---' "results/$file.md"
done
check "the update of unlearning too" grep -qE '^\| update \| gate ' results/versus.md
check "what no batch changes once" test "$(grep -c '^| sgd_step |' results/kernels-fp32.md)" = 1
check "layers of each batch" test "$(grep -c '^| conv2d forward | 3-32 ' results/kernels-fp32.md)" -ge 2
check "with launches that overlap" test "$(grep -c 'EXPUNGE_PDL=on' results/step.md)" = 2
check "steps both ways" test "$(grep -c -- '--graph o' results/step.md)" = 6
bin=$EXPUNGE make_small_set
cp results/step.md before
expect "training on data" 0 '' results --try --parts data --data small.epk
check "how accurate it gets" grep -qE 'accuracy' results/data.md
check "and nothing else" cmp -s before results/step.md
expect "data that is not there" 2 "'nowhere' is not there" results --data nowhere
expect "a part of everything that is none" 2 'wants some of versus,data' results --parts torch
expect "no folder" 2 'folder for the results' --try
expect "an option that is none" 2 '.--quick is not known|--quick is not known' results --quick
expect "no time" 0 'left out, 0 minutes' late --try --minutes 0
EXPUNGE=/bin/false expect "what fails is said, and the rest goes on" 1 'kernels-fp32: failed' failing --try --minutes 5
EXPUNGE=/nowhere expect "everything: no program" 1 '/nowhere is not there' results
finish
