#!/usr/bin/env bash
# Objects compiled for different instruction sets must not share a symbol: the linker keeps one copy
# of a weak symbol for the whole program, and a copy made of AVX-512 instructions crashes elsewhere.
#   tests/symbols_test.sh BUILD_DIR
# 1. kernels/conv_tile_<isa>.cpp and grad_alignment_<isa>.cpp have no weak or unique symbol;
# 2. EXPUNGE_HD functions stand in namespaces expunge::math and expunge::rng and leave no symbol in
#    any object of kernels/: they are inlined everywhere;
# 3. both checks refuse an object that breaks them.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/verdict.sh"

build=${1:?usage: tests/symbols_test.sh BUILD_DIR}
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

weak_symbols() { nm "$1" | grep -E ' [WwVvu] ' || true; }
shared_maths() { nm "$1" | grep -E ' [TtWw] _ZNK?7expunge(4math|3rng)' || true; }

mapfile -t objects < <(find "$build" -path '*expunge_kernels.dir*' -name '*.o' | sort)
tiles=0
for object in "${objects[@]}"; do
  name=$(basename "$object")
  if [[ $name =~ ^(conv_tile|grad_alignment)_(baseline|avx|sse|neon) ]]; then
    tiles=$((tiles + 1))
    verdict "$name has no weak symbol" "$(weak_symbols "$object")"
  fi
  verdict "$name has no symbol of a shared function" "$(shared_maths "$object")"
done
verdict "objects per instruction set were found" "$( ((tiles > 0)) || echo "none in $build")"

# The namespace of every header that defines such a function; core/hd.h defines the macro itself.
verdict "shared functions stand in expunge::math or expunge::rng" \
  "$(grep -rlE '^ *EXPUNGE_HD ' --include='*.h' "$source_dir"/{core,kernels,nn,data} |
    grep -v '/core/hd.h$' | xargs grep -LE '^namespace expunge::(math|rng) ' || true)"

compile() {  # name, code
  printf '%s\n' "$2" > "$work/$1.cpp"
  "${CXX:-c++}" -std=c++20 -O0 -c "$work/$1.cpp" -o "$work/$1.o"
}
compile weak 'inline float twice(float x) { return 2 * x; }
float use(float x) { return twice(x); }'
compile maths 'namespace expunge::math { static inline float twice(float x) { return 2 * x; } }
float use(float x) { return expunge::math::twice(x); }'
compile clean 'namespace { float twice(float x) { return 2 * x; } }
extern float use(float x);
float use(float x) { return twice(x); }'
verdict "an object with a weak symbol is refused" \
  "$([[ -n $(weak_symbols "$work/weak.o") ]] || echo "not seen: $(nm "$work/weak.o")")"
verdict "an object with a symbol of a shared function is refused" \
  "$([[ -n $(shared_maths "$work/maths.o") ]] || echo "not seen: $(nm "$work/maths.o")")"
verdict "an object without them passes" \
  "$(weak_symbols "$work/clean.o")$(shared_maths "$work/clean.o")"

((failures == 0))
