#!/usr/bin/env bash
# Ours against PyTorch on this machine's GPU, in one go: steps of training and of unlearning of both networks, PyTorch
# eager, as one CUDA graph, and compiled (compile: max-autotune; reduce: reduce-overhead), for unlearning also as the
# usual public loop writes the step (loop); and the update of unlearning alone, there also compiled for each tensor
# (tensors) and on one flat buffer (flat). Every form has its turn in every round; medians of the rounds, and ratios
# (above 1: ours is faster). What fails, or takes longer than --seconds, is an empty cell; exit code 1 then.
#   tools/bench/gpu_vs_torch.sh [--parts train,unlearn,update] [--models resnet18,vgg16_bn] [--batches 512,128]
#       [--precisions bf16,fp16,tf32,fp32] [--forms eager,graph,compile] [--gates focus,opt] [--steps 50] [--rounds 3]
#       [--seconds 600] [--json FILE]
# Needs an expunge built with -DEXPUNGE_CUDA=on (build/bin/expunge; EXPUNGE=/path) and a python with torch for that
# GPU (PYTHON=/path). --device cpu tries the script out where there is no GPU: small batches, --precisions fp32,
# --forms eager.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")

if [[ ${1:-} =~ ^(-h|--help)$ ]]; then
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit 0
fi
expunge=${EXPUNGE:-$here/../../build/bin/expunge}
if [[ ! -x $expunge ]]; then
  echo "gpu_vs_torch: $expunge is not there; build it with -DEXPUNGE_CUDA=on, or EXPUNGE=/path" >&2
  exit 1
fi
python=${PYTHON:-python3}
if ! "$python" -c 'import torch' 2> /dev/null; then
  echo "gpu_vs_torch: no torch in $python; PYTHON=/path/to/python with torch" >&2
  exit 7
fi
exec "$python" "$here/gpu/versus.py" --expunge "$expunge" "$@"
