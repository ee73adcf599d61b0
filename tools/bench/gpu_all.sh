#!/usr/bin/env bash
# Everything that is timed on a GPU, in one go, as Markdown into DIR: every kernel in every precision, the update of
# unlearning, whole steps recorded and call by call, and both against PyTorch (gpu_vs_torch.sh).
#   tools/bench/gpu_all.sh DIR [--minutes N]     ends after N minutes (default: no limit); then PyTorch has one round of
#                                                fewer forms, and comes last
#   tools/bench/gpu_all.sh DIR --try             a few images on the CPU: whether it does what it says
# Needs an expunge built with -DEXPUNGE_CUDA=on (build/bin/expunge; EXPUNGE=/path); without torch in python
# (PYTHON=/path) the comparison is left out.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
if [[ ${1:-} =~ ^(-h|--help)$ ]]; then
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit 0
fi
usage() {
  echo "gpu_all: $1; --help says how it is called" >&2
  exit 2
}
dir=${1:-}
[[ -n $dir && $dir != -* ]] || usage "the folder for the results is missing"
shift
minutes=100000
device=cuda models=resnet18,vgg16_bn batches=(512 128) precisions=(bf16 tf32 fp32 fp16) steps=30 versus=()
while (($# > 0)); do
  case $1 in
    --minutes)
      [[ ${2:-} =~ ^[0-9]+$ ]] || usage "--minutes wants a number"
      minutes=$2
      versus+=(--models resnet18 --rounds 1 --forms eager,graph)
      shift
      ;;
    --try)
      device=cpu models=smallcnn batches=(2) precisions=(fp32) steps=1
      versus=(--device cpu --models resnet18 --batches 2 --precisions fp32 --steps 1 --rounds 1 --forms eager)
      ;;
    *) usage "$1 is not known" ;;
  esac
  shift
done
expunge=${EXPUNGE:-$here/../../build/bin/expunge}
if [[ ! -x $expunge ]]; then
  echo "gpu_all: $expunge is not there; build it with -DEXPUNGE_CUDA=on, or EXPUNGE=/path" >&2
  exit 1
fi
mkdir -p "$dir"

failures=0
run() {  # file, command: into DIR/file.md, for as long as there is time
  local left=$((60 * minutes - SECONDS))
  if ((left <= 0)); then
    echo "gpu_all: $1: left out, $minutes minutes are over" >&2
    return
  fi
  echo "gpu_all: $1" >&2
  echo "    ${*:2}" >> "$dir/$1.md"
  echo >> "$dir/$1.md"
  if ! timeout "$left" "${@:2}" >> "$dir/$1.md"; then
    echo "gpu_all: $1: failed, or was cut off: ${*:2}" | tee -a "$dir/$1.md" >&2
    failures=$((failures + 1))
  fi
  echo >> "$dir/$1.md"
}
common=(--device "$device" --steps "$steps")
rm -f "$dir"/{unlearn,step,infer,versus,kernels}*.md
run unlearn "$expunge" bench unlearn --model "${models%%,*}" "${common[@]}"
for precision in "${precisions[@]}"; do
  for way in "on on" "on off" "off off"; do
    read -r graph overlap <<< "$way"
    if [[ $way == "on on" ]]; then
      run step "$expunge" bench step --model "${models%%,*}" --batch-size "${batches[-1]}" \
        --precision "$precision" --passes apart "${common[@]}"
      run step "$expunge" bench step --model "${models%%,*}" --batch-size "${batches[-1]}" \
        --precision "$precision" --estimator microbatch:8 "${common[@]}"
      for bench in train step; do  # kernels come while others end
        run step env EXPUNGE_PDL=on "$expunge" bench "$bench" --model "${models%%,*}" --batch-size "${batches[-1]}" \
          --precision "$precision" "${common[@]}"
      done
    fi
    for bench in train step; do
      run step "$expunge" bench "$bench" --model "${models%%,*}" --batch-size "${batches[-1]}" \
        --precision "$precision" --graph "$graph" --overlap "$overlap" "${common[@]}"
    done
  done
  for batch in "${batches[@]}"; do
    run infer "$expunge" bench infer --model "${models%%,*}" --batch-size "$batch" --precision "$precision" "${common[@]}"
  done
done
for precision in "${precisions[@]}"; do
  for batch in "${batches[@]}"; do
    run "kernels-$precision" "$expunge" bench kernels --model "$models" --batch-size "$batch" \
      --precision "$precision" "${common[@]}"
  done
  if [[ $precision == fp32 ]]; then
    for algo in direct winograd; do
      run "kernels-$precision" "$expunge" bench kernels --model "${models%%,*}" --batch-size "${batches[0]}" \
        --precision "$precision" --conv-algo "$algo" --only conv2d "${common[@]}"
    done
  fi
done
if "${PYTHON:-python3}" -c 'import torch' 2> /dev/null; then
  export EXPUNGE=$expunge
  for part in unlearn train; do run versus "$here/gpu_vs_torch.sh" --parts "$part" "${versus[@]}"; done
else
  echo "gpu_all: versus: left out, no torch in ${PYTHON:-python3}" >&2
fi
exit $((failures > 0))
