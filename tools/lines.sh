#!/usr/bin/env bash
# Sizes against the budget: files (median 120, at most 300 lines) and functions (at most 60).
#   tools/lines.sh [--cap N]    exit 1 where a file has more than N lines
# Functions are found by indentation, as clang-format leaves it; lambdas belong to their function.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cap=0
if (($# == 2)) && [[ $1 == --cap && $2 =~ ^[0-9]+$ ]]; then
  cap=$2
elif (($# > 0)); then
  echo "usage: tools/lines.sh [--cap N]" >&2
  exit 2
fi

mapfile -t folders < <(ls -d core kernels nn data unlearn eval tools tests 2> /dev/null)
find "${folders[@]}" -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.inc' \) |
  sort | xargs awk -v cap="$cap" '
  function median(list, n,    i, j, x) {  # insertion sort of list[1..n]
    for (i = 2; i <= n; ++i) {
      x = list[i]
      for (j = i - 1; j >= 1 && list[j] > x; --j) list[j + 1] = list[j]
      list[j + 1] = x
    }
    return n == 0 ? 0 : list[int((n + 1) / 2)]
  }
  function end_file() {
    if (file == "") return
    folder = file
    sub("/.*", "", folder)
    if (!(folder in files)) order[++folder_count] = folder
    size[folder, ++files[folder]] = lines
    sizes[++file_count] = lines
    total[folder] += lines
    if (lines > 300) long_files = long_files sprintf("  %5d  %s\n", lines, file)
    if (cap > 0 && lines > cap) over = 1
  }
  FNR == 1 { end_file(); file = FILENAME; inside = 0; first = 0 }
  {
    lines = FNR
    match($0, /^ */)
    indent = RLENGTH
    if (inside) {
      if (indent == depth && $0 ~ /^ *}[;,)]*( *\/\/.*)?$/) {
        inside = 0
        length_of[++functions] = FNR - first + 1
        if (FNR - first + 1 > 60)
          long_functions = long_functions sprintf("  %5d  %s:%d\n", FNR - first + 1, FILENAME, first)
        first = 0
      }
      next
    }
    if ($0 ~ /^ *$/ || $0 ~ /^ *(\/\/|#)/) { first = 0; next }
    if (first == 0) { first = FNR; depth = indent; head = $0 } else head = head " " $0
    if ($0 ~ /[{]( *\/\/.*)?$/) {
      if (head ~ /\(/ && head !~ /^ *(namespace|struct|class|enum|union|extern|if|for|while|switch|return|#)/ &&
          head !~ /= *[{]( *\/\/.*)?$/)
        inside = 1
      else
        first = 0
    } else if ($0 ~ /[;}:>]( *\/\/.*)?$/) {
      first = 0
    }
  }
  END {
    end_file()
    printf "%-10s %6s %7s %7s %5s\n", "folder", "files", "lines", "median", "max"
    for (i = 1; i <= folder_count; ++i) {
      folder = order[i]
      n = files[folder]
      for (k = 1; k <= n; ++k) list[k] = size[folder, k]
      m = median(list, n)
      printf "%-10s %6d %7d %7d %5d\n", folder, n, total[folder], m, list[n]
      sum += total[folder]
    }
    m = median(sizes, file_count)
    printf "%-10s %6d %7d %7d %5d   budget: median 120, max 300\n", "files", file_count, sum, m, sizes[file_count]
    m = median(length_of, functions)
    printf "%-10s %6d %7s %7d %5d   budget: max 60\n", "functions", functions, "", m, length_of[functions]
    if (long_files != "") printf "\nfiles over 300 lines\n%s", long_files
    if (long_functions != "") printf "\nfunctions over 60 lines\n%s", long_functions
    if (over) printf "\na file has more than %d lines\n", cap
    exit over
  }' || exit 1
