#!/usr/bin/env bash
# Which lines of kernels/*.cu and *.cuh the tests without a GPU run (docs/cuda-on-cpu.md). Fails below 95 %.
#   tools/kernel_coverage.sh [BUILD_DIR]     default build-coverage; prints a line a file, lines never run, the total
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source_dir=$PWD
mkdir -p "${1:-build-coverage}"
build=$(realpath "${1:-build-coverage}")
least=95

cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS="--coverage -fprofile-abs-path" \
  ${EXPUNGE_DEPS:+-DEXPUNGE_DEPS="$EXPUNGE_DEPS"} > /dev/null
cmake --build "$build" -j "$(nproc)" --target cuda_tests_plain > /dev/null
find "$build" -name '*.gcda' -delete
EXPUNGE_CUDA_ORDER=shuffled EXPUNGE_CUDA_SEED=1 "$build/bin/cuda_tests_plain" \
  --source-file-exclude='*faults_test.cpp' > /dev/null

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
find "$build" -path '*cuda_tests_plain*' -name '*.gcda' > "$work/data"
# gcov writes a report a source file: count:line:text, ##### where a line was never run, - where there is no code. A
# template has a part for each instance; a line counts as run if one of them ran it.
(cd "$work" && xargs gcov -m -p < data > /dev/null 2>&1)
shopt -s nullglob
awk -F: -v root="$source_dir/" -v least=$least '
  FNR == 1 { file = "" }
  $3 == "Source" { file = $4 }
  file ~ /\/kernels\/[a-z0-9_]+\.cuh?$/ && $2 + 0 > 0 {
    count = $1; gsub(/[ *]/, "", count)
    if (count == "-") next
    key = file SUBSEP $2 + 0
    if (!(key in run)) run[key] = 0
    if (count !~ /^[#=]/) run[key] = 1
  }
  END {
    for (key in run) { split(key, at, SUBSEP); all[at[1]]++; good[at[1]] += run[key]
      if (!run[key]) missed[at[1]] = missed[at[1]] " " at[2] }
    for (file in all) { name = file; sub(root, "", name); total += all[file]; covered += good[file]
      printf "%-32s %5.1f %%  of %d%s\n", name, 100 * good[file] / all[file], all[file],
        missed[file] == "" ? "" : "; never run:" missed[file] | "sort" }
    close("sort")
    printf "kernel_coverage: %.1f %% of %d lines\n", 100 * covered / total, total
    exit !(total > 0 && 100 * covered / total >= least)
  }' "$work"/*.gcov
