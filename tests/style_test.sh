#!/usr/bin/env bash
# What clang-format and the compiler do not see.
#   tests/style_test.sh [SOURCE_DIR]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/verdict.sh"
cd "${1:-$(dirname "${BASH_SOURCE[0]}")/..}"

max_lines=400

mapfile -t folders < <(ls -d core kernels nn data unlearn eval tests tools cmake 2> /dev/null)
mapfile -t code < <(find "${folders[@]}" -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \
  -o -name '*.inc' -o -name '*.sh' -o -name '*.py' -o -name '*.cmake' -o -name CMakeLists.txt \) |
  sort)
mapfile -t pages < <(find . -maxdepth 1 -name '*.md' | sort
  find docs "${folders[@]}" -name '*.md' | sort)
mapfile -t headers < <(printf '%s\n' "${code[@]}" | grep '\.h$')
tab=$'\t'

verdict "no tabs" "$(grep -n "$tab" "${code[@]}" CMakeLists.txt "${pages[@]}" || true)"
verdict "no trailing blanks" "$(grep -nE '[ ]+$' "${code[@]}" CMakeLists.txt "${pages[@]}" || true)"
verdict "files end with a newline" "$(for file in "${code[@]}" "${pages[@]}"; do
  [[ ! -s $file || -z $(tail -c 1 "$file") ]] || echo "$file"
done)"
verdict "at most $max_lines lines" \
  "$(wc -l "${code[@]}" | awk -v max="$max_lines" '$2 != "total" && $1 > max { print $2 ": " $1 }')"
# The words are spelled with a bracket so that this file does not find itself.
verdict "open ends name an issue: TO""DO(#12)" \
  "$(grep -nE '\b(T[O]DO|F[I]XME|X[X]X|H[A]CK)\b' "${code[@]}" | grep -vE 'T[O]DO\(#[0-9]+\)' || true)"
verdict "headers begin with #pragma once" "$(for file in "${headers[@]}"; do
  [[ $(head -n 1 "$file") == '#pragma once' ]] || echo "$file"
done)"

# What the CPU cannot run, the race check cannot follow, or would give other bits: docs/cuda-on-cpu.md.
forbidden='<<<|__shared__|__activemask|cooperative_groups|\basm\b|\bcub(/|::)|thrust(/|::)|__threadfence'
forbidden+='|\bvolatile\b|\b__(expf|logf|sinf|cosf|powf|fdividef)\b|\br?sqrt(f)?_r[nzud]\b|\brsqrtf?\b'
# These alone have assembly, which the machine has too.
mapfile -t cuda < <(printf '%s\n' "${code[@]}" | grep -E '^(kernels|tests)/.*\.cuh?$' |
  grep -vE '^kernels/(mma|async_copy)\.cuh$')
verdict "kernels of CUDA use launch, KERNEL_SHARED and nothing that the CPU cannot check" \
  "$(printf '%s\n' "${cuda[@]}" | sed '/^$/d' | xargs -r grep -nE "$forbidden" || true)"
unstarted() {  # files: the kernels that do not begin with start_kernel()
  awk '/__global__/ { kernel = FILENAME ":" FNR }
    kernel != "" && started { if ($0 !~ /^  start_kernel\(\);$/) print kernel; kernel = ""; started = 0 }
    kernel != "" && /\{$/ { started = 1 }' "$@"
}
verdict "kernels begin with start_kernel()" "$(unstarted kernels/*.cu kernels/*.cuh tests/cuda_on_cpu/checks/right.cu tests/cuda_on_cpu/checks/redundant.cu)"
verdict "and the check finds one that does not" "$(printf '%s\n' '__global__ void a(int n,' \
  '                  int m) {' '  start_kernel();' '}' '__global__ void b() {' '  return;' '}' | unstarted | grep -q ':5$' ||
  echo 'it does not')"
verdict "the check of kernels finds what it forbids" "$(for line in 'k<<<1, 32>>>(x);' '__shared__ float s[32];' \
  'asm("bar.sync 0;");' 'cub::BlockReduce' 'y = rsqrtf(x);' '__threadfence();'; do
  grep -qE "$forbidden" <<< "$line" || echo "passes: $line"
done)"

((failures == 0))
