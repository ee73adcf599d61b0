#!/usr/bin/env bash
# Our convolutions beside those of other libraries, each checked, the programs taking turns:
# milliseconds of every layer in every direction, and the sums over a network.
#   tools/bench/rivals.sh [--model resnet18] [--batch 64] [--threads N] [--steps 10] [--rounds 3]
#     [--only SUBSTRING] [--algo auto|direct|winograd] [--isa baseline|avx2|avx512]
# Needs a build with the rivals: cmake --preset release -DEXPUNGE_RIVALS=ON && cmake --build --preset
# release (BUILD=folder; libdnnl-dev, libopenblas-dev, libeigen3-dev; those not found are left out).
#   onednn nhwc   NHWC activations; bringing weights into oneDNN's layout and back is counted
#   onednn any    oneDNN's own layouts for everything, reordering not counted
#   openblas, eigen   im2col and a product of matrices; eigen is compiled for this machine, so it is
#                 left out with --isa
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

model=resnet18 batch=64 threads=$(nproc) steps=10 rounds=3 only=conv2d isa='' algo=()
usage() {
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' tools/bench/rivals.sh >&2
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
    --only) only=$2 ;;
    --isa) isa=$2 ;;
    --algo) algo=(--conv-algo "$2") ;;
    *) usage ;;
  esac
  shift 2
done
source tools/bench/isa.sh
limit_isa "$isa"

bin=${BUILD:-build}/bin
programs=()
for name in expunge rival_onednn_nhwc rival_onednn_any rival_openblas rival_eigen; do
  [[ $name != rival_eigen || -z $isa ]] || continue # compiled for this machine
  if [[ -x $bin/$name ]]; then programs+=("$name"); else echo "rivals: no $bin/$name" >&2; fi
done
((${#programs[@]} > 1)) || usage

lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
for ((round = 1; round <= rounds; ++round)); do
  for name in "${programs[@]}"; do
    echo "rivals: round $round of $rounds, $name" >&2
    command=("$bin/$name")
    [[ $name != expunge ]] || command+=(bench kernels)
    "${command[@]}" --model "$model" --batch-size "$batch" --threads "$threads" --steps "$steps" \
      --only "$only" --format csv "${algo[@]}" | sed "s/^/$name,/" >> "$lines"
  done
done

echo "$model, batch $batch, $threads threads${isa:+, $isa}, ms: medians of $steps steps, of them the" \
  "median of $rounds rounds"
awk -F, -v programs="${programs[*]}" '
  $2 == "batch" {  # the head of a CSV document
    for (i = 1; i <= NF; ++i) column[$i] = i
    next
  }
  {
    row = $column["kernel"] " " $column["shape"]
    if (!(row in layers)) rows[++count] = row
    layers[row] = $column["layers"]; kernel[row] = $column["kernel"]
    if ($1 == "expunge") algo[row] = $column["algo"]
    at = row SUBSEP $1
    value[at, ++n[at]] = $column["median_ms"]
  }
  function median(at,    i, j, x) {
    for (i = 2; i <= n[at]; ++i)
      for (j = i; j > 1 && value[at, j] + 0 < value[at, j - 1] + 0; --j) {
        x = value[at, j]; value[at, j] = value[at, j - 1]; value[at, j - 1] = x
      }
    return (value[at, int((n[at] + 1) / 2)] + value[at, int(n[at] / 2) + 1]) / 2
  }
  END {
    names = split(programs, program, " ")
    printf "\n| kernel and shape | layers | algorithm |"
    for (i = 1; i <= names; ++i) printf " %s |", program[i]
    printf "\n|---|---|---|"
    for (i = 1; i <= names; ++i) printf "---:|"
    for (r = 1; r <= count; ++r) {
      row = rows[r]
      printf "\n| %s | %s | %s |", row, layers[row], algo[row]
      parts = split(layers[row], use, " ")
      for (i = 1; i <= names; ++i) {
        ms = median(row SUBSEP program[i])
        printf " %.3f |", ms
        for (p = 1; p <= parts; ++p) {
          split(use[p], model, ":")
          sum[model[1], kernel[row], program[i]] += ms * model[2]
          all[model[1], program[i]] += ms * model[2]
          models[model[1]] = 1; kernels[kernel[row]] = 1
        }
      }
    }
    for (m in models) {
      for (k in kernels) {
        printf "\n| **%s, all layers: %s** | | |", m, k
        for (i = 1; i <= names; ++i) printf " %.2f |", sum[m, k, program[i]]
      }
      printf "\n| **%s, all layers** | | |", m
      for (i = 1; i <= names; ++i) printf " **%.2f** |", all[m, program[i]]
    }
    print ""
  }' "$lines"
