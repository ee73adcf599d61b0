#!/usr/bin/env bash
# Our training step against PyTorch's on this CPU: same model, batch and threads, fp32. Ours and
# PyTorch in both memory formats take turns, so that a busy moment hits all of them.
#   tools/bench/vs_torch.sh [--model resnet18] [--batch 64] [--threads N] [--steps 10] [--rounds 3]
# Needs build/bin/expunge (tools/test.sh builds it) and a python with torch: PYTHON=... chooses one.
# Compare within one table only: machines drift.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

model=resnet18 batch=64 threads=$(nproc) steps=10 rounds=3
usage() {
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' tools/bench/vs_torch.sh >&2
  exit 2
}
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
  "$expunge" bench train --model "$model" --batch-size "$batch" --threads "$threads" \
    --steps "$steps" --json | median_ms
}
peer() {
  "$python" tools/bench/peer_torch.py --model "$model" --batch "$batch" --threads "$threads" \
    --steps "$steps" --format "$1" | median_ms
}

results=
for ((round = 1; round <= rounds; ++round)); do
  for who in expunge nchw channels_last; do
    if [[ $who == expunge ]]; then ms=$(ours); else ms=$(peer "$who"); fi
    [[ -n $ms ]] || { echo "vs_torch: $who printed no median_ms" >&2; exit 1; }
    echo "vs_torch: round $round of $rounds, $who: $ms ms" >&2
    results+="$who $ms"$'\n'
  done
done

version=$("$python" -c 'import torch; print(torch.__version__)')
echo "$model, batch $batch, $threads threads, fp32, $steps steps x $rounds rounds, PyTorch $version"
printf '%s' "$results" | sort -k1,1 -k2,2n | awk -v batch="$batch" '
  { value[$1, ++n[$1]] = $2 }
  function median(who) {
    return (value[who, int((n[who] + 1) / 2)] + value[who, int(n[who] / 2) + 1]) / 2
  }
  function row(name, who) {
    printf "%-22s %10.2f %10.2f %10.2f %10.1f\n", name, median(who), value[who, 1], value[who, n[who]],
           1e3 * batch / median(who)
  }
  END {
    printf "%-22s %10s %10s %10s %10s\n", "ms per step", "median", "min", "max", "images/s"
    row("expunge", "expunge")
    row("PyTorch NCHW", "nchw")
    row("PyTorch channels_last", "channels_last")
    better = median("nchw") < median("channels_last") ? "nchw" : "channels_last"
    printf "better PyTorch layout: %s; PyTorch / expunge = %.2f\n", better, median(better) / median("expunge")
  }'
