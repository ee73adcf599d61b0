#!/usr/bin/env bash
# Includes follow the folder order, and each heavy header stands in few files.
#   tests/include_direction_test.sh [SOURCE_DIR]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/verdict.sh"
cd "${1:-$(dirname "${BASH_SOURCE[0]}")/..}"

# A folder may include itself and these. unlearn never sees eval: a method must not know its score.
declare -A may_include=(
  [core]="core"
  [kernels]="kernels core"
  [data]="data kernels core"
  [nn]="nn kernels core"
  [unlearn]="unlearn nn data kernels core"
  [eval]="eval nn data kernels core"
  [tools]="tools eval unlearn nn data kernels core"
)

sources() { find "$@" -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' -o -name '*.inc' \); }

mapfile -t folders < <(ls -d core kernels data nn unlearn eval tools 2> /dev/null)
for folder in "${folders[@]}"; do
  allowed=${may_include[$folder]// /|}
  verdict "$folder includes ${may_include[$folder]} only" \
    "$(sources "$folder" | sort | xargs -r grep -nE '^ *# *include *"' |
      grep -vE "include *\"($allowed)/" || true)"
done

heavy() {  # header, folders it may stand in, most files that may include it
  local files
  files=$(sources "${folders[@]}" | sort |
    xargs -r grep -lE "^ *# *include *[<\"]$1" || true)
  verdict "$1 stands in $2, in at most $3 file(s)" "$({
    grep -vE "^($2)/" <<< "$files" || true
    (($(grep -c . <<< "$files" || true) <= $3)) || echo "$files"
  } | sed '/^$/d' | sort -u)"
}
heavy CLI/ tools 1
heavy 'toml\+\+/' tools 1
heavy stb/stb_image.h data 1
heavy 'libsvm/' eval 1
heavy nlohmann/ 'core|data|nn|tools|eval|unlearn' 8
heavy 'Eigen/' 'core|eval|tools/bench/rivals' 4

((failures == 0))
