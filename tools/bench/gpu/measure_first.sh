#!/usr/bin/env bash
# Everything to know of a GPU before the CUDA backend is written, in one call on a machine that has
# one: builds and runs measure_first.cu, PyTorch's rates (PEER, a benchmark script of its own), and
# measure_first.py. Goes on where a step fails or runs out of time; results in $OUT as JSON lines,
# a table at the end.
#   OUT=./gpu-out BUDGET=500 PEER=.carry/peer_torch.py PYTHON=python3 tools/bench/gpu/measure_first.sh
# BUDGET: seconds for everything. QUICK=1: tiny, on the CPU, to see that the steps run.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
cd "$root" || exit 1
here=tools/bench/gpu
OUT=${OUT:-./gpu-out} BUDGET=${BUDGET:-500} PYTHON=${PYTHON:-python3} QUICK=${QUICK:-}
if [[ -z ${PEER:-} ]]; then
  PEER=.carry/peer_torch.py
  [[ -f $PEER ]] || PEER=$here/peer.py
fi
reserve=$((BUDGET < 500 ? BUDGET / 4 : 125))  # of the budget, for measure_first.py
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
mkdir -p "$OUT"
export PYTHONUNBUFFERED=1 PATH=$PATH:/usr/local/cuda/bin
deadline=$((BUDGET - reserve))

# step NAME SECONDS FILE COMMAND...: at most that long, and not past the deadline; stdout joins
# FILE, stderr the log.
step() {
  local name=$1 limit=$2 file=$3 begin=$SECONDS status left=$((deadline - SECONDS))
  shift 3
  ((limit > left)) && limit=$left
  if ((limit < 12)); then
    echo "$name: skipped, no time left" | tee -a "$OUT/log.txt"
    return
  fi
  echo "--- $name" >> "$OUT/log.txt"
  timeout -k 5 "$limit" "$@" >> "$OUT/$file" 2>> "$OUT/log.txt"
  status=$?
  echo "$name: exit $status after $((SECONDS - begin)) of $limit s" | tee -a "$OUT/log.txt"
}
# peer NAME SECONDS ARGUMENTS...: no row starts after SECONDS; what runs then gets 20 more.
peer() {
  local name=$1 limit=$2
  shift 2
  if [[ ! -f $PEER ]]; then
    echo "$name: skipped, no $PEER"
    return
  fi
  step "$name" $((limit + 20)) peer.out "$PYTHON" "$PEER" --device "$device" --seconds 0.5 \
    --max-seconds "$limit" --out "$OUT/peer.jsonl" "${quick[@]}" "$@"
}

describe() {
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem,power.limit \
    --format=csv,noheader
  lscpu | grep -E 'Model name|^CPU\(s\)'
  nvcc --version | tail -n 2
}
compile() {  # ARCHITECTURE: both roundings at once
  local flags=(-O3 -std=c++20 -arch="$1" -I. $here/measure_first.cu)
  nvcc "${flags[@]}" --fmad=false -o "$build/exact" &
  nvcc "${flags[@]}" -DBENCH_FMAD -o "$build/fmad" &
  wait
  [[ -x $build/exact && -x $build/fmad ]]
}

rm -f "$OUT"/{gpu,gpu_fmad,peer,layers}.jsonl "$OUT"/{log.txt,info.txt,peer.out}
device=cuda quick=() arch=native modes=amp-bf16,tf32,fp32
if [[ -n $QUICK ]]; then
  device=cpu quick=(--quick) arch=sm_90 modes=fp32
fi
describe 2>&1 | tee "$OUT/info.txt"
echo "--- build" >> "$OUT/log.txt"
{ compile $arch || compile sm_90; } 2>> "$OUT/log.txt"
echo "build: exit $? after $SECONDS s"
step kernels 60 gpu.jsonl "$build/exact" ${QUICK:+--host}
step kernels_fmad 40 gpu_fmad.jsonl "$build/fmad" ${QUICK:+--host} --parts update,batches

last=(--formats channels_last)
peer unlearn_resnet18 55 --parts ceilings,unlearn --models resnet18 --exec eager,graph
peer train_resnet18 70 --parts train --models resnet18 "${last[@]}" --modes $modes --exec eager,graph
peer train_vgg16 40 --parts train --models vgg16 "${last[@]}" --modes $modes --exec eager,graph
peer unlearn_compiled 40 --parts unlearn --models resnet18 --exec compile --only .flat.
peer train_compiled 70 --parts train --models resnet18 "${last[@]}" --modes amp-bf16,tf32 \
  --exec compile
peer infer 25 --parts infer "${last[@]}" --modes amp-bf16,tf32 --exec eager,graph --seconds 0.3

first_py() {  # NAME PARTS SECONDS
  step "$1" $(($3 + 20)) py.out "$PYTHON" $here/measure_first.py --device "$device" --parts "$2" \
    --max-seconds "$3" --out "$OUT/layers.jsonl" "${quick[@]}"
}
deadline=$BUDGET
first_py profile bn_backend,profile 20
first_py convs convs 60
first_py batch_norms bn 15

# What time is left for
peer unlearn_vgg16 45 --parts unlearn --models vgg16 --exec eager,graph
peer train_reduce_overhead 30 --parts train --models resnet18 "${last[@]}" --modes amp-bf16 \
  --batches 128 --exec compile --compile-mode reduce-overhead
peer train_vgg16_compiled 30 --parts train --models vgg16 "${last[@]}" --modes amp-bf16 \
  --exec compile

rm -f "$OUT"/{peer,py}.out  # the .jsonl files hold the same
"$PYTHON" $here/summary.py "$OUT" 2>&1 | tee "$OUT/table.txt"
echo "measure_first: $SECONDS s in all"
