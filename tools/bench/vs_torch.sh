#!/usr/bin/env bash
# Our training step, or our update of unlearning, against PyTorch's on this CPU: same model and
# threads, fp32. Both sides take turns, so that a busy moment hits all of them.
#   tools/bench/vs_torch.sh [train] [--model resnet18] [--batch 64] [--threads N] [--steps 10]
#     [--rounds 3]       PyTorch in both memory formats
#   tools/bench/vs_torch.sh unlearn [--model resnet18] [--threads N] [--steps 10] [--rounds 3]
#                        statistics, focus vector, Adam; OPT, Adam (tools/bench/peer_unlearn.py)
# Needs build/bin/expunge (tools/test.sh builds it) and a python with torch: PYTHON=... chooses one.
# Compare within one table only: machines drift.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

model=resnet18 batch=64 threads=$(nproc) steps=10 rounds=3
usage() {
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' tools/bench/vs_torch.sh >&2
  exit 2
}
what=train
if [[ ${1:-} == train || ${1:-} == unlearn ]]; then
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
    *) usage ;;
  esac
  shift 2
done

expunge=${EXPUNGE:-build/bin/expunge}
if [[ ! -x $expunge ]]; then
  echo "vs_torch: $expunge is not there; build it: cmake --preset release && cmake --build --preset release" >&2
  exit 1
fi
python=
for candidate in ${PYTHON:-/usr/bin/python3 python3}; do
  if "$candidate" -c 'import torch' 2> /dev/null; then
    python=$candidate
    break
  fi
done
if [[ -z $python ]]; then
  echo "vs_torch: no torch in ${PYTHON:-/usr/bin/python3 or python3}; apt install python3-torch," \
    "or PYTHON=/path/to/python with torch" >&2
  exit 1
fi

# Prints the number behind "median_ms" of the JSON line.
median_ms() { sed -n 's/.*"median_ms": *\([0-9.]*\).*/\1/p'; }

ours() {
  if [[ $1 == train ]]; then
    "$expunge" bench train --model "$model" --batch-size "$batch" --threads "$threads" \
      --steps "$steps" --json | median_ms
  else
    "$expunge" bench unlearn --model "$model" --gate "$1" --threads "$threads" --steps "$steps" \
      --format json | median_ms
  fi
}
peer() {
  "$python" tools/bench/peer_torch.py --model "$model" --threads "$threads" --steps "$steps" \
    "$@" | median_ms
}
measure() {
  case $1 in
    expunge) ours train ;;
    nchw | channels_last) peer --batch "$batch" --format "$1" ;;
    expunge:*) ours "${1#expunge:}" ;;
    torch:*) peer --row "${1#torch:}" ;;
  esac
}

if [[ $what == train ]]; then
  sides=(expunge nchw channels_last)
else
  sides=(expunge:focus torch:focus_adam_loop torch:focus_adam_foreach expunge:opt torch:opt_adam)
fi
results=
for ((round = 1; round <= rounds; ++round)); do
  for who in "${sides[@]}"; do
    ms=$(measure "$who")
    [[ -n $ms ]] || { echo "vs_torch: $who printed no median_ms" >&2; exit 1; }
    echo "vs_torch: round $round of $rounds, $who: $ms ms" >&2
    results+="$who $ms"$'\n'
  done
done

version=$("$python" -c 'import torch; print(torch.__version__)')
[[ $what == unlearn ]] || model+=", batch $batch"
echo "$model, $threads threads, fp32, $steps steps x $rounds rounds, PyTorch $version"
printf '%s' "$results" | sort -k1,1 -k2,2n | awk -v what="$what" -v batch="$batch" '
  { value[$1, ++n[$1]] = $2 }
  function median(who) {
    return (value[who, int((n[who] + 1) / 2)] + value[who, int(n[who] / 2) + 1]) / 2
  }
  function row(name, who) {
    printf "%-22s %10.2f %10.2f %10.2f", name, median(who), value[who, 1], value[who, n[who]]
    if (what == "train") printf " %10.1f", 1e3 * batch / median(who)
    print ""
  }
  function better(a, b) { return median(a) < median(b) ? a : b }
  END {
    printf "%-22s %10s %10s %10s", "ms per step", "median", "min", "max"
    print what == "train" ? "   images/s" : ""
    if (what == "train") {
      row("expunge", "expunge")
      row("PyTorch NCHW", "nchw")
      row("PyTorch channels_last", "channels_last")
      best = better("nchw", "channels_last")
      printf "better PyTorch layout: %s; PyTorch / expunge = %.2f\n", best,
             median(best) / median("expunge")
    } else {
      row("expunge focus", "expunge:focus")
      row("PyTorch focus loop", "torch:focus_adam_loop")
      row("PyTorch focus foreach", "torch:focus_adam_foreach")
      row("expunge opt", "expunge:opt")
      row("PyTorch opt", "torch:opt_adam")
      best = better("torch:focus_adam_loop", "torch:focus_adam_foreach")
      printf "PyTorch / expunge: focus %.2f (%s), opt %.2f; of minima %.2f, %.2f\n",
             median(best) / median("expunge:focus"), substr(best, 7),
             median("torch:opt_adam") / median("expunge:opt"),
             value[best, 1] / value["expunge:focus", 1],
             value["torch:opt_adam", 1] / value["expunge:opt", 1]
    }
  }'
