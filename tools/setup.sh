#!/usr/bin/env bash
# Installs what the build needs on Debian or Ubuntu. Asks apt for nothing, and needs no root, where
# everything is there already.
#   CXX=clang++ tools/setup.sh         also checks that compiler's OpenMP
#   EXPUNGE_DEPS=DIR tools/setup.sh    takes headers from a folder made by tools/collect_deps.sh
set -euo pipefail

cxx=${CXX:-g++}
missing=()
as_root=()

need_command() {  # command, package
  command -v "$1" > /dev/null || missing+=("$2")
}

# The compiler decides whether it finds a header.
has_header() {
  command -v "$cxx" > /dev/null || return 1
  local include=()
  [[ -z ${EXPUNGE_DEPS:-} ]] || include=(-I "$EXPUNGE_DEPS/include")
  printf '#if !__has_include(<%s>)\n#error\n#endif\n' "$1" |
    "$cxx" -std=c++20 "${include[@]}" -x c++ -E - > /dev/null 2>&1
}

need_header() {  # header, package
  has_header "$1" || missing+=("$2")
}

if [[ $cxx == *clang* ]]; then
  need_command "$cxx" clang
  need_header omp.h libomp-dev
else
  need_command "$cxx" g++
fi
need_command cmake cmake
need_command ninja ninja-build
has_header Eigen/Core || need_header eigen3/Eigen/Core libeigen3-dev
need_header doctest/doctest.h doctest-dev
need_header stb/stb_image.h libstb-dev
need_header CLI/CLI.hpp libcli11-dev
need_header toml++/toml.h libtomlplusplus-dev
need_header nlohmann/json.hpp nlohmann-json3-dev
need_header fmt/core.h libfmt-dev
need_header libsvm/svm.h libsvm-dev
need_header zlib.h zlib1g-dev

# Not needed: reads MATLAB files (SVHN). Installed where that works, left out where it does not.
optional=()
has_header matio.h || optional=(libmatio-dev)

if ((${#missing[@]} > 0)); then
  if ! command -v apt-get > /dev/null; then
    echo "setup: missing, and this system has no apt-get to install them: ${missing[*]}" >&2
    echo "setup: the names are Debian's; tools/collect_deps.sh copies the header-only ones" \
      "from another machine" >&2
    exit 1
  elif ((EUID != 0)); then
    if ! command -v sudo > /dev/null; then
      echo "setup: missing: ${missing[*]}" >&2
      echo "setup: neither root nor sudo; ask an administrator to run:" >&2
      echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
      exit 1
    fi
    as_root=(sudo)
  fi
  echo "setup: installing ${missing[*]}" >&2
  install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
    apt-get install -y --no-install-recommends "${missing[@]}")
  # The package lists may be absent or old; they are fetched only then.
  if ! "${install[@]}"; then
    "${as_root[@]}" apt-get update
    "${install[@]}"
  fi
fi

if ((${#optional[@]} > 0)) && command -v apt-get > /dev/null && ((EUID == 0 || ${#missing[@]} > 0)); then
  echo "setup: installing ${optional[*]} (optional)" >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${optional[@]}" ||
    echo "setup: not installed: ${optional[*]}; SVHN's .mat files are off" >&2
fi

version=$(cmake --version | sed -n '1s/[^0-9]*\([0-9.]*\).*/\1/p')
if [[ $(printf '3.25\n%s\n' "$version" | sort -V | head -n 1) != 3.25 ]]; then
  echo "setup: CMake $version is too old, 3.25 is needed." >&2
  echo "setup: install a newer one: snap install cmake --classic, or a release from cmake.org" \
    "whose bin folder comes first in PATH" >&2
  exit 1
fi
