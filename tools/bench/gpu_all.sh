#!/usr/bin/env bash
# Everything that is timed on a GPU, in one go, as Markdown into DIR, what matters most first: steps and the update of
# unlearning against PyTorch (gpu_vs_torch.sh), training on real data, steps recorded and call by call, every kernel in
# every precision, inference.
#   tools/bench/gpu_all.sh DIR [--minutes N] [--parts versus,data,step,kernels,infer] [--data FILE]
#       --minutes   ends after N minutes (default: no limit); then there are the rows that have targets, once
#       --parts     some of it (default: all)
#       --data      a packed CIFAR-10 (expunge data prepare): how accurate ResNet18 gets, and how fast
# What programs say besides is in DIR/errors.log.
#   tools/bench/gpu_all.sh DIR --try             a few images on the CPU: whether it does what it says
# Plans of convolutions are kept in DIR/cache. Needs an expunge built with -DEXPUNGE_CUDA=on (build/bin/expunge;
# EXPUNGE=/path); without torch in python (PYTHON=/path) the comparison is left out.
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
minutes=100000 parts=versus,data,step,kernels,infer data='' short=no try=no
device=cuda models=resnet18,vgg16_bn batches=(512 128) precisions=(bf16 tf32 fp32 fp16) steps=30
while (($# > 0)); do
  case $1 in
    --minutes)
      [[ ${2:-} =~ ^[0-9]+$ ]] || usage "--minutes wants a number"
      minutes=$2 short=yes
      shift
      ;;
    --parts)
      [[ ${2:-} =~ ^(versus|data|step|kernels|infer)(,(versus|data|step|kernels|infer))*$ ]] ||
        usage "--parts wants some of versus,data,step,kernels,infer"
      parts=$2
      shift
      ;;
    --data)
      [[ -f ${2:-} ]] || usage "--data wants a packed data set, '${2:-}' is not there"
      data=$(realpath "$2")
      shift
      ;;
    --try) try=yes device=cpu models=smallcnn batches=(3 2) precisions=(fp32) steps=1 ;;
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
XDG_CACHE_HOME=$(realpath "$dir")/cache
export XDG_CACHE_HOME
first=${models%%,*} failures=0
common=(--device "$device" --steps "$steps")

run() {  # file, command: into DIR/file.md, for as long as there is time
  local left=$((60 * minutes - SECONDS))
  if ((left <= 0)); then
    echo "gpu_all: $1: left out, $minutes minutes are over: ${*:2}" >&2
    return
  fi
  echo "gpu_all: $1 ($SECONDS s): ${*:2}" >&2
  printf '    %s\n\n' "${*:2}" >> "$dir/$1.md"
  printf '%s\n' "${*:2}" >> "$dir/errors.log"
  if ! timeout -k 5 "$left" "${@:2}" >> "$dir/$1.md" 2>> "$dir/errors.log"; then
    echo "gpu_all: $1: failed, or was cut off: ${*:2}" | tee -a "$dir/$1.md" "$dir/errors.log" >&2
    failures=$((failures + 1))
  fi
  echo >> "$dir/$1.md"
}

versus() {  # rows of gpu_vs_torch.sh
  run versus "$here/gpu_vs_torch.sh" --json "$dir/versus.jsonl" "$@"
}
all_versus() {
  local part
  export EXPUNGE=$expunge
  if ! "${PYTHON:-python3}" -c 'import torch' 2> /dev/null; then
    echo "gpu_all: versus: left out, no torch in ${PYTHON:-python3}" >&2
  elif [[ $try == yes ]]; then
    for part in train unlearn update; do
      versus --parts $part --device cpu --models resnet18 --batches 2 --precisions fp32 --gates focus --steps 2 --rounds 1 \
        --forms "$([[ $part == train ]] && echo eager || echo loop)"
    done
  elif [[ $short == yes ]]; then
    local once=(--rounds 1 --seconds 150)
    versus "${once[@]}" --parts train --models resnet18 --batches 512 --precisions bf16 --forms eager,graph,reduce
    versus "${once[@]}" --parts train --models resnet18 --batches 128 --precisions bf16 --forms eager,graph,reduce
    versus "${once[@]}" --parts unlearn --models resnet18 --precisions bf16,fp32 --forms loop,graph
    versus "${once[@]}" --parts update --models resnet18
    versus "${once[@]}" --parts train --models vgg16_bn --batches 512 --precisions bf16 --forms eager,graph,reduce
    versus "${once[@]}" --parts train --models resnet18 --batches 512 --precisions tf32,fp32 --forms graph
    versus "${once[@]}" --parts unlearn --models resnet18 --precisions tf32 --forms loop,graph
  else
    versus --forms eager,graph,compile,reduce --parts train
    versus --parts unlearn
    versus --parts update
  fi
}

train_on_data() {  # accuracy and seconds; its log says both
  if [[ -z $data ]]; then
    echo "gpu_all: data: left out, there is no --data" >&2
    return
  fi
  local epochs small=()
  [[ $try == no ]] || small=(--max-steps 2)
  for epochs in 16 40; do
    rm -rf "$dir/data-run"
    run data "$expunge" train --data "$data" --model "$first" --device "$device" --precision "${precisions[0]}" \
      --batch-size "${batches[0]}" --epochs $epochs --lr 0.2 --nesterov --schedule onecycle --augment crop,flip \
      --eval-every $epochs --checkpoint-every 1000s --out "$dir/data-run" "${small[@]}"
    [[ $try == no ]] || break
  done
  rm -rf "$dir/data-run"
}

all_steps() {
  local precision way graph overlap bench
  for precision in "${precisions[@]}"; do
    local its=(--model "$first" --batch-size "${batches[-1]}" --precision "$precision" "${common[@]}")
    for way in "on on" "on off" "off off"; do
      read -r graph overlap <<< "$way"
      for bench in train step; do run step "$expunge" bench $bench "${its[@]}" --graph "$graph" --overlap "$overlap"; done
    done
    run step "$expunge" bench step "${its[@]}" --passes apart
    run step "$expunge" bench step "${its[@]}" --estimator microbatch:8
    for bench in train step; do run step env EXPUNGE_PDL=on "$expunge" bench $bench "${its[@]}"; done  # kernels overlap
    [[ $short == no ]] || return 0
  done
}

all_kernels() {  # what no batch and hardly a precision changes is in the first table alone
  local precision batch algo only=() layers=(--only conv2d,linear,batch_norm,pool2d)
  for precision in "${precisions[@]}"; do
    for batch in "${batches[@]}"; do
      run "kernels-$precision" "$expunge" bench kernels --model "$models" --batch-size "$batch" \
        --precision "$precision" "${common[@]}" "${only[@]}"
      only=("${layers[@]}")
      [[ $short == no ]] || break
    done
    if [[ $precision == fp32 && $short == no ]]; then
      for algo in direct winograd; do
        run "kernels-$precision" "$expunge" bench kernels --model "$first" --batch-size "${batches[0]}" \
          --precision "$precision" --conv-algo "$algo" --only conv2d "${common[@]}"
      done
    fi
  done
}

all_infer() {
  local precision batch
  for precision in "${precisions[@]}"; do
    for batch in "${batches[@]}"; do
      run infer "$expunge" bench infer --model "$first" --batch-size "$batch" --precision "$precision" "${common[@]}"
    done
  done
}

for part in ${parts//,/ }; do
  case $part in
    versus) rm -f "$dir"/versus.{md,jsonl} && all_versus ;;
    data) rm -f "$dir"/data.md && train_on_data ;;
    step) rm -f "$dir"/step.md && all_steps ;;
    kernels) rm -f "$dir"/kernels*.md && all_kernels ;;
    infer) rm -f "$dir"/infer.md && all_infer ;;
  esac
done
exit $((failures > 0))
