#!/usr/bin/env bash
# Installs what is missing, builds, runs every test that needs no GPU, then the unit tests under the
# address and undefined-behaviour sanitizers, and compiles the kernels of CUDA. Last line: "N passed,
# M failed" over everything.
#   tools/test.sh [--fast]    --fast leaves the sanitizers and the builds with CUDA out
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

sanitizers=yes
case "${1:-}" in
  "") ;;
  --fast) sanitizers=no ;;
  *) echo "usage: tools/test.sh [--fast]" >&2; exit 2 ;;
esac

jobs=$(nproc)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
total=0 failed=0 skipped=0

build() {  # preset, targets of cmake --build
  cmake --preset "$1" ${EXPUNGE_DEPS:+-DEXPUNGE_DEPS="$EXPUNGE_DEPS"}
  cmake --build --preset "$1" -j "$jobs" "${@:2}"
}

# Runs ctest and adds its totals to ours. ctest's own status says nothing that they do not, but a
# run without a summary is a failure.
run_tests() {
  echo "test: ctest $*"
  ctest --no-tests=error -j "$jobs" "$@" 2>&1 | tee "$log" || true
  local summary
  summary=$(sed -n 's/.* \([0-9]*\) tests\{0,1\} failed out of \([0-9]*\)$/\1 \2/p' "$log" | tail -n 1)
  if [[ -z $summary ]]; then
    echo "test: ctest $* gave no summary" >&2
    total=$((total + 1)) failed=$((failed + 1))
    return
  fi
  failed=$((failed + ${summary% *})) total=$((total + ${summary#* }))
  skipped=$((skipped + $(grep -c '(Skipped)$' "$log" || true)))
}

tools/setup.sh
build release
run_tests --preset release

if [[ $sanitizers == yes ]]; then
  build asan --target expunge_tests fuzz_image fuzz_packed fuzz_safetensors fuzz_toml
  run_tests --preset asan -L unit -LE slow
fi

if [[ $sanitizers == yes ]]; then
  # the program and whole models with kernels of CUDA, on the CPU
  build emulated --target cuda_tests_plain device_tests expunge
  run_tests --preset emulated -R '^(cuda_tests_plain_shuffled1|device|cli_device_test)$'
  if command -v nvcc > /dev/null; then  # warnings and registers that spill are errors; and what calls CUDA
    build cuda --target expunge_kernels_cuda expunge_core expunge_kernels
  else
    echo "test: no nvcc: kernels are not compiled for GPUs"
  fi
fi

if ((skipped > 0)); then
  grep -h '^SKIPPED' build*/Testing/Temporary/LastTest.log || true
  echo "test: $skipped skipped, for these reasons"
fi
echo "$((total - failed - skipped)) passed, $failed failed"
((failed == 0))
