#!/usr/bin/env bash
# Copies the dependencies into DIR, headers and two small static libraries, for a machine without a package
# manager and with the same processor:
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

library() {  # package, file
  local root
  for root in "${roots[@]}"; do
    root=$(dirname "$root")
    for folder in "$root/lib" "$root/lib/$(uname -m)-linux-gnu" "$root/lib64"; do
      [[ -e $folder/$2 ]] || continue
      mkdir -p "$out/lib"
      cp -L "$folder/$2" "$out/lib/$2"
      return
    done
  done
  echo "collect_deps: $2 is not beside any of ${roots[*]}; tools/setup.sh installs it ($1)" >&2
  exit 1
}

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

copy libsvm-dev libsvm/svm.h libsvm
copy zlib1g-dev zlib.h zlib.h zconf.h
library libsvm-dev libsvm.a
library zlib1g-dev libz.a

echo "collect_deps: $(find "$out/include" -type f | wc -l) headers in $out/include, libsvm and zlib in $out/lib"
