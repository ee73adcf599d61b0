#!/usr/bin/env bash
# Ours against PyTorch on this CPU: same model, batch and threads, fp32. Both sides take turns, so
# that a busy moment hits all of them; medians, and the ratio to PyTorch's better form, whatever it
# is.
#   tools/bench/vs_torch.sh [train]   a training step; PyTorch in both memory formats
#   tools/bench/vs_torch.sh infer     a forward pass in evaluation mode, likewise; and ONNX Runtime
#                                     where python can import it
#   tools/bench/vs_torch.sh memory    peak resident memory of both, of short runs
#   tools/bench/vs_torch.sh unlearn   statistics, focus vector, Adam; OPT, Adam (peer_unlearn.py)
# Options: [--model resnet18] [--batch 64] [--threads N] [--steps 10] [--rounds 3]
#   --isa baseline|avx2|avx512   the widest instruction set that both sides may use
#   --algo auto|direct           how ours computes convolutions (expunge bench --conv-algo)
# Needs build/bin/expunge (tools/test.sh builds it; EXPUNGE=/path) and a python with torch, 1.13 or
# later (PYTHON=/path). Compare within one table only: machines drift.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

model=resnet18 batch=64 threads=$(nproc) steps=10 rounds=3 isa='' algo=()
usage() {
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' tools/bench/vs_torch.sh >&2
  exit 2
}
refuse() {
  echo "vs_torch: $2" >&2
  exit "$1"
}
what=train
if [[ ${1:-} =~ ^(train|infer|memory|unlearn)$ ]]; then
  what=$1
  shift
fi
while (($# > 0)); do
  (($# > 1)) || usage
  case $1 in
    --model) model=$2 ;;
    --batch) batch=$2 ;;
    --threads) threads=$2 ;;
    --steps) steps=$2 ;;
    --rounds) rounds=$2 ;;
    --isa) isa=$2 ;;
    --algo) algo=(--conv-algo "$2") ;;
    *) usage ;;
  esac
  shift 2
done
source tools/bench/isa.sh
limit_isa "$isa"

expunge=${EXPUNGE:-build/bin/expunge}
[[ -x $expunge ]] ||
  refuse 1 "$expunge is not there; build it: cmake --preset release && cmake --build --preset release"
python=
for candidate in ${PYTHON:-/usr/bin/python3 python3}; do  # PYTHON alone where it is given
  if "$candidate" -c 'import torch' 2> /dev/null; then
    python=$candidate
    break
  fi
done
[[ -n $python ]] || refuse 7 "no torch in ${PYTHON:-/usr/bin/python3 or python3}; apt install \
python3-torch, or PYTHON=/path/to/python with torch"

# The number behind a key of the JSON line in $json.
field() { sed -n 's/.*"'"$1"'": *\([0-9.]*\).*/\1/p' <<< "$json"; }

ours() { "$expunge" bench "$@" --threads "$threads" --steps "$steps" --format json; }
peer() {
  "$python" tools/bench/peer_torch.py --model "$model" --threads "$threads" --steps "$steps" "$@"
}
# A side's run as one JSON line: of `train` or `infer`, or an update.
run() {
  case $2 in
    expunge) ours "$1" --model "$model" --batch-size "$batch" "${algo[@]}" ;;
    nchw | channels_last | onnxruntime) peer --row "$1" --batch "$batch" --format "$2" ;;
    expunge:*) ours unlearn --model "$model" --gate "${2#expunge:}" ;;
    torch:*) peer --row "${2#torch:}" ;;
  esac
}
results=
measure() {  # what, side, words: appends "side ms MB MB-before" to $results
  local json
  json=$(run "$1" "$2") || {
    [[ $? == 77 && $2 == onnxruntime ]] && return  # it has said what it lacks
    refuse 1 "$2 failed"
  }
  local ms mb before
  ms=$(field median_ms) mb=$(field peak_rss_mb) before=$(field start_rss_mb)
  [[ -n $ms && (-n $mb || $1 == unlearn) ]] ||
    refuse 1 "$2 printed no median_ms and peak_rss_mb: $json"
  echo "vs_torch: $3, $2: $ms ms${mb:+, $mb MB}" >&2
  results+="$4 $ms ${mb:-0} ${before:-0}"$'\n'
}

case $what in
  unlearn)
    sides=(expunge:focus torch:focus_adam_loop torch:focus_adam_foreach expunge:opt torch:opt_adam)
    ;;
  memory) rounds=1 steps=3 sides=(expunge nchw channels_last) ;;
  *) sides=(expunge nchw channels_last) ;;
esac
if [[ $what == infer ]]; then
  if "$python" -c 'import onnxruntime' 2> /dev/null; then
    sides+=(onnxruntime)
  else
    echo "vs_torch: no onnxruntime in $python: no row of it" >&2
  fi
fi
for ((round = 1; round <= rounds; ++round)); do
  for who in "${sides[@]}"; do
    if [[ $what == memory ]]; then
      for part in train infer; do measure $part "$who" "memory, $part" "$part:$who"; done
    else
      measure "$what" "$who" "round $round of $rounds" "$who"
    fi
  done
done

version=$("$python" -c 'import torch; print(torch.__version__)')
[[ $what == unlearn ]] || model+=", batch $batch${algo[1]:+, ours ${algo[1]}}"
echo "$model, $threads threads, fp32${isa:+, $isa}, $steps steps x $rounds rounds, PyTorch $version"
printf '%s' "$results" | sort -k1,1 -k2,2n | awk -v what="$what" -v batch="$batch" \
  -f tools/bench/vs_torch.awk
