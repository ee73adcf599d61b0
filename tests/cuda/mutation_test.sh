#!/usr/bin/env bash
# Every barrier is needed, and the tests would miss it: each __syncthreads and __syncwarp of the kernels is left out in
# turn, and the race check or a test must object.
#   tests/cuda/mutation_test.sh SOURCE_DIR PROGRAM_DIR
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../verdict.sh"
cd "${1:?usage: tests/cuda/mutation_test.sh SOURCE_DIR PROGRAM_DIR}"
programs=${2:?usage: tests/cuda/mutation_test.sh SOURCE_DIR PROGRAM_DIR}

barriers() {  # files: FILE:LINE of each
  local file
  for file in "$@"; do
    sed 's|//.*||' "$file" | grep -nE '__sync(threads|warp) *\(' | sed "s|^\([0-9]*\):.*|$file:\1|" || true
  done
}

declare -A nearest=(  # the tests of a file, which are tried first: files of tests/cuda and checks
  [columns.cuh]='*reduce_test.cpp,*batch_norm*_test.cpp' [gates.cu]='*gates_test.cpp' [scan.cuh]='*gates_test.cpp'
  [gate_select.cuh]='*gates_test.cpp' [gate_saliency.cu]='*gates_test.cpp' [gate_opt.cuh]='*gates_test.cpp'
  [gate_opt_range.cuh]='*gates_test.cpp'
  [sort.cuh]='*gates_test.cpp' [conv2d_image.cu]='*conv2d_image_test.cpp' [conv2d_taps.cu]='*conv2d_taps_test.cpp'
  [right.cu]='*right_test.cpp' [redundant.cu]='*right_test.cpp')

objects() {  # FILE:LINE of the barrier that is left out, BUILD, ORDER, what to run
  ! EXPUNGE_CUDA_SKIP=$1 EXPUNGE_CUDA_ORDER=$3 "$programs/cuda_tests_$2" --abort-after=1 --source-file="$4" \
    --source-file-exclude='*faults_test.cpp' --test-case-exclude='*plain machine alone*' > /dev/null 2>&1
}

objection() {  # FILE:LINE of the barrier that is left out
  local order build file=${1%:*} tests
  for tests in ${nearest[${file##*/}]:-} '*'; do
    for build in race plain; do
      for order in ascending descending shuffled; do
        objects "$1" "$build" "$order" "$tests" && return 0
      done
    done
    [[ $file != */checks/* ]] || return 1  # nobody else runs these kernels
  done
  return 1
}

mapfile -t files < <(ls kernels/*.cu kernels/*.cuh tests/cuda_on_cpu/checks/right.cu)
mapfile -t all < <(barriers "${files[@]}")
verdict "barriers were found" "$( ((${#all[@]} >= 6)) || echo "${#all[@]} in ${files[*]}")"
verdict "a line has one barrier" "$(grep -nE '__sync(threads|warp) *\(.*__sync(threads|warp) *\(' "${files[@]}" || true)"
verdict "with all barriers nothing objects" "$(objects "nowhere.cu:1" race ascending '*' && echo "the tests fail" || true)"
for barrier in "${all[@]}"; do
  verdict "without $barrier something objects" "$(objection "$barrier" || echo "nothing does: is it needed?")"
done

# A barrier that nobody needs is found out.
for barrier in $(barriers tests/cuda_on_cpu/checks/redundant.cu); do
  verdict "without the needless $barrier nothing objects" "$(objection "$barrier" && echo "something does" || true)"
done

((failures == 0))
