#!/usr/bin/env bash
# Builds for the GPU of this machine and checks everything that runs on it, in one go, without a network:
#   tools/gpu_check.sh DIR          leaves DIR/summary.md, DIR/gpu-check.json, and a log a step
#   EXPUNGE_DEPS=deps tools/gpu_check.sh DIR     where packages are missing (tools/collect_deps.sh deps)
#   EXPUNGE_GPU_BIN=bin tools/gpu_check.sh DIR   with programs that were built elsewhere (cuda_tests, device_tests,
#                                                device_parity, expunge)
#   EXPUNGE_GPU_SECONDS=300                      that a step behind the build may take; one that takes longer has failed
# Steps: build; every kernel; whole models, step by step; ten steps of training and of unlearning of smallcnn, resnet18
# and vgg16_bn against the CPU; the program as a user types it; kernels and models with launches that overlap
# (EXPUNGE_PDL=on); compute-sanitizer where it is there. What is known is in the summary after each of them. Plans of
# convolutions are kept in DIR/cache.
# Exit code 0: all passed. 1: something failed, the summary says what. 7: there is no GPU to check.
set -euo pipefail
if (($# != 1)) || [[ $1 == -* ]]; then
  echo "usage: tools/gpu_check.sh DIR" >&2
  exit 2
fi
mkdir -p "$1"
out=$(realpath "$1")
build=$(realpath -m "${EXPUNGE_GPU_BUILD:-$out/build}")
bin=$(realpath -m "${EXPUNGE_GPU_BIN:-$build/bin}")
deps=${EXPUNGE_DEPS:+$(realpath "$EXPUNGE_DEPS")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export XDG_CACHE_HOME=$out/cache
jobs=$(nproc)
rows=() failed=0 seconds=0  # 0: as many as it takes
rm -f "$out"/*.log "$out/summary.md" "$out/gpu-check.json"

if ! gpu=$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>&1 | head -n 1) ||
  [[ $gpu == *[Ff]ail* ]]; then
  echo "gpu_check: no GPU: ${gpu:-nvidia-smi is not there}" >&2
  exit 7
fi
if [[ -z ${EXPUNGE_GPU_BIN:-} ]] && ! command -v nvcc > /dev/null; then
  echo "gpu_check: nvcc is not in the path; CUDA's toolkit has it" >&2
  exit 7
fi
compute=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)

step() {  # name, command: its output goes to a log, its verdict to the summary
  local name=$1 log="$out/${1// /-}.log" begin=$SECONDS code=0 verdict=passed
  shift
  timeout -k 5 "$seconds" "$@" > "$log" 2>&1 || code=$?
  ((code != 124 && code != 137)) || echo "took longer than $seconds s" >> "$log"
  if ((code == 77)); then
    verdict=skipped
  elif ((code != 0)); then
    verdict=failed failed=$((failed + 1))
    tail -n 25 "$log" >&2
  fi
  echo "gpu_check: $name: $verdict ($((SECONDS - begin)) s)"
  rows+=("$name|$verdict|$((SECONDS - begin))|$(last_words "$log")")
  summarize
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
configure=(cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DEXPUNGE_CUDA=on
  -DEXPUNGE_WERROR=OFF  # warnings are no errors: this compiler need not be the one we know
  -DCMAKE_CUDA_ARCHITECTURES="$compute" -DEXPUNGE_CUDNN_ROOT="$(python_cudnn)"
  ${deps:+-DEXPUNGE_DEPS="$deps"})

summarize() {  # what is known so far
  local row name verdict took words comma=
  {
    echo "# GPU check"
    echo
    echo "$gpu, compute capability $compute; $(nvcc --version 2> /dev/null | sed -n 's/.*release \(.*\),.*/CUDA \1/p'); commit" \
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
    for row in "${rows[@]}"; do
      IFS='|' read -r name verdict took words <<< "$row"
      printf '%s{"name":"%s","verdict":"%s","seconds":%d,"words":"%s"}' "$comma" "$name" "$verdict" "$took" "$words"
      comma=,
    done
    printf '],"models":[%s]}\n' "$(grep -h '^{' "$out/ten-steps-against-the-CPU.log" 2> /dev/null | paste -sd , || true)"
  } > "$out/gpu-check.json"
}

if [[ -n ${EXPUNGE_GPU_BIN:-} ]]; then
  libraries=$(python_cudnn)
  export LD_LIBRARY_PATH=${libraries:+$libraries/lib:$libraries/../cu13/lib}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
else
  step configure "${configure[@]}"
  ((failed > 0)) || step build cmake --build "$build" -j "$jobs" --target cuda_tests device_tests device_parity expunge
fi
seconds=${EXPUNGE_GPU_SECONDS:-300}
if ((failed == 0)); then
  step "every kernel" "$bin/cuda_tests"
  step "whole models" "$bin/device_tests"
  step "ten steps against the CPU" "$bin/device_parity" 64
  step "as a user types it" bash tests/tools/device_test.sh "$bin/expunge"
  step "every kernel with launches that overlap" env EXPUNGE_PDL=on "$bin/cuda_tests"
  step "whole models with launches that overlap" env EXPUNGE_PDL=on "$bin/device_tests"
  if command -v compute-sanitizer > /dev/null; then
    # faults, and errors that a test wants, are errors to it; the slow ones are for one machine alone
    for tool in memcheck racecheck initcheck synccheck; do
      step "compute-sanitizer $tool" compute-sanitizer --tool "$tool" --error-exitcode 1 "$bin/cuda_tests" \
        --test-case-exclude='*faults*,*error names*,*plain machine alone*'
    done
  fi
fi

cat "$out/summary.md"
((failed == 0))
