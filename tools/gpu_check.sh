#!/usr/bin/env bash
# Builds for the GPU of this machine and checks everything that runs on it, in one go, without a network:
#   tools/gpu_check.sh DIR          leaves DIR/summary.md, DIR/gpu-check.json, and a log a step
#   EXPUNGE_DEPS=deps tools/gpu_check.sh DIR     where packages are missing (tools/collect_deps.sh deps)
# Steps: build; every kernel; whole models, step by step; both with launches that overlap (EXPUNGE_PDL=on); the program
# as a user types it; ten steps of training and of unlearning of smallcnn, resnet18 and vgg16_bn against the CPU;
# compute-sanitizer where it is there.
# Exit code 0: all passed. 1: something failed, the summary says what. 7: there is no GPU to check.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if (($# != 1)) || [[ $1 == -* ]]; then
  echo "usage: tools/gpu_check.sh DIR" >&2
  exit 2
fi
mkdir -p "$1"
out=$(realpath "$1")
build=${EXPUNGE_GPU_BUILD:-$out/build}
jobs=$(nproc)
rows=() failed=0

if ! gpu=$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>&1 | head -n 1) ||
  [[ $gpu == *[Ff]ail* ]]; then
  echo "gpu_check: no GPU: ${gpu:-nvidia-smi is not there}" >&2
  exit 7
fi
if ! command -v nvcc > /dev/null; then
  echo "gpu_check: nvcc is not in the path; CUDA's toolkit has it" >&2
  exit 7
fi
compute=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)

step() {  # name, command: its output goes to a log, its verdict to the summary
  local name=$1 log="$out/${1// /-}.log" begin=$SECONDS code=0 verdict=passed
  shift
  "$@" > "$log" 2>&1 || code=$?
  if ((code == 77)); then
    verdict=skipped
  elif ((code != 0)); then
    verdict=failed failed=$((failed + 1))
    tail -n 25 "$log" >&2
  fi
  echo "gpu_check: $name: $verdict ($((SECONDS - begin)) s)"
  rows+=("$name|$verdict|$((SECONDS - begin))|$(last_words "$log")")
}

last_words() {  # of a log: doctest's totals, or the last line
  local words
  words=$(grep -E '^\[doctest\] (test cases|assertions):' "$1" | sed 's/^\[doctest\] //; s/ *| */, /g; s/  */ /g' |
    paste -sd ';' || true)
  [[ -n $words ]] || words=$(grep . "$1" | tail -n 1 | cut -c 1-160 || true)
  tr -d '|"\\\t' <<< "$words"
}

python_cudnn() {  # where Python's wheel of cuDNN lies, for machines whose toolkit has none
  python3 -c 'import nvidia.cudnn as m; print(next(iter(m.__path__)))' 2> /dev/null || true
}
configure() {
  # warnings are no errors: this compiler need not be the one we know
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DEXPUNGE_CUDA=on -DEXPUNGE_WERROR=OFF -DCMAKE_CUDA_ARCHITECTURES="$compute" \
    -DEXPUNGE_CUDNN_ROOT="$(python_cudnn)" ${EXPUNGE_DEPS:+-DEXPUNGE_DEPS="$EXPUNGE_DEPS"}
}
compile() {
  cmake --build "$build" -j "$jobs" --target cuda_tests device_tests device_parity expunge
}
sanitizer() {  # tool
  compute-sanitizer --tool "$1" --error-exitcode 1 "$build/bin/cuda_tests" --test-case-exclude='*faults*'
}

step configure configure
((failed > 0)) || step build compile
if ((failed == 0)); then
  step "every kernel" "$build/bin/cuda_tests"
  step "whole models" "$build/bin/device_tests"
  step "every kernel, launches that overlap" env EXPUNGE_PDL=on "$build/bin/cuda_tests"
  step "whole models, launches that overlap" env EXPUNGE_PDL=on "$build/bin/device_tests"
  step "as a user types it" bash tests/tools/device_test.sh "$build/bin/expunge"
  step "ten steps against the CPU" "$build/bin/device_parity" 64
  if command -v compute-sanitizer > /dev/null; then
    for tool in memcheck racecheck initcheck synccheck; do step "compute-sanitizer $tool" sanitizer $tool; done
  fi
fi

{
  echo "# GPU check"
  echo
  echo "$gpu, compute capability $compute; $(nvcc --version | sed -n 's/.*release \(.*\),.*/CUDA \1/p'); commit" \
    "$(git describe --always --dirty 2> /dev/null || echo unknown); \`tools/gpu_check.sh\`."
  echo
  echo "| step | verdict | seconds | last words |"
  echo "|---|---|---|---|"
  for row in "${rows[@]}"; do echo "| ${row//|/ | } |"; done
  if [[ -s $out/ten-steps-against-the-CPU.log ]]; then
    echo
    echo "Distances from the CPU, relative (logits, the worst tensor's gradient, the worst of ten losses of training and of"
    echo "unlearning; tests/programs/device_parity.cpp has the tolerances):"
    echo
    sed 's/^/    /' "$out/ten-steps-against-the-CPU.log"
  fi
} > "$out/summary.md"
{
  printf '{"schema":"expunge.gpu-check/1","gpu":"%s","compute":"%s","failed":%d,"steps":[' "$gpu" "$compute" "$failed"
  comma=
  for row in "${rows[@]}"; do
    IFS='|' read -r name verdict seconds words <<< "$row"
    printf '%s{"name":"%s","verdict":"%s","seconds":%d,"words":"%s"}' "$comma" "$name" "$verdict" "$seconds" "$words"
    comma=,
  done
  printf '],"models":[%s]}\n' "$(grep -h '^{' "$out/ten-steps-against-the-CPU.log" 2> /dev/null | paste -sd , || true)"
} > "$out/gpu-check.json"
cat "$out/summary.md"
((failed == 0))
