#!/usr/bin/env bash
# Copies the header-only dependencies into DIR, for a machine without a package manager:
#   tools/collect_deps.sh deps     here, where they are installed (tools/setup.sh)
#   cmake --preset release -DEXPUNGE_DEPS=deps     there
# Headers are looked for in each folder of EXPUNGE_INCLUDE (default /usr/local/include:/usr/include).
set -euo pipefail

if (($# != 1)) || [[ $1 == -* ]]; then
  echo "usage: tools/collect_deps.sh DIR" >&2
  exit 2
fi
out=$1
IFS=: read -r -a roots <<< "${EXPUNGE_INCLUDE:-/usr/local/include:/usr/include}"

copy() {  # package, what proves that it is there, folders to copy
  local root folder
  for root in "${roots[@]}"; do
    [[ -e $root/$2 ]] || continue
    for folder in "${@:3}"; do
      mkdir -p "$out/include/$(dirname "$folder")"
      rm -rf "${out:?}/include/$folder"
      cp -RL "$root/$folder" "$out/include/$folder"
    done
    if [[ -r /usr/share/doc/$1/copyright ]]; then
      mkdir -p "$out/licenses"
      cp -L "/usr/share/doc/$1/copyright" "$out/licenses/$1"
    fi
    return
  done
  echo "collect_deps: $2 is in none of ${roots[*]}; tools/setup.sh installs it ($1)" >&2
  exit 1
}

copy libfmt-dev fmt/core.h fmt
copy libeigen3-dev eigen3/Eigen/Core eigen3/Eigen eigen3/unsupported/Eigen
copy libstb-dev stb/stb_image.h stb
copy libcli11-dev CLI/CLI.hpp CLI
copy libtomlplusplus-dev toml++/toml.h toml++
copy nlohmann-json3-dev nlohmann/json.hpp nlohmann
copy doctest-dev doctest/doctest.h doctest

echo "collect_deps: $(find "$out/include" -type f | wc -l) headers in $out/include;" \
  "zlib and libsvm are libraries, they stay with the system"
