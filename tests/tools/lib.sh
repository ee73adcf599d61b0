# shellcheck shell=bash
# Sourced by the *_test.sh of this folder, which take the path of expunge as their argument. Each
# works in a folder of its own and prints a line per check.
set -euo pipefail
: "${1:?usage: $0 PATH_OF_EXPUNGE}"
bin=$(realpath "$1")
docs=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../../docs")
images=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../fuzz/corpus/image")
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
export EXPUNGE_PROGRESS=none
failures=0
status=0

# A run of 20 steps that takes about a second: 180 samples, 12 steps an epoch.
tiny=(--data builtin --limit 200 --model smallcnn --batch-size 16 --epochs 2 --max-steps 20)
# Where the arithmetic does not matter.
quick=("${tiny[@]/smallcnn/mlp}")

# small.epk: 24 training and 4 test images of 16x16 in two classes, for tests that run often.
make_small_set() {
  mkdir -p small/train/{a,b} small/test/{a,b}
  for i in {1..12}; do
    # a byte behind the image makes it another file, with an id of its own
    cat "$images/noise.png" <(printf '%d' $i) > small/train/a/$i.png
    cat "$images/odd.jpg" <(printf '%d' $i) > small/train/b/$i.jpg
  done
  cp "$images/rgba.png" small/test/a/1.png
  cp "$images/small.jpg" small/test/b/1.jpg
  "$bin" data prepare small --resize 16 --out small.epk > /dev/null 2>&1
}
# 20 steps on it, six an epoch, in a fraction of a second.
small=(--data small.epk --model smallcnn --batch-size 4 --epochs 4 --max-steps 20 --val-fraction 0.1)

ok() { echo "ok - $1"; }
not_ok() {
  echo "not ok - $1"
  if [[ -s err ]]; then head -n 5 err | sed 's/^/#   stderr: /'; fi
  failures=$((failures + 1))
}
check() {  # name, command that must succeed
  if "${@:2}" > /dev/null 2>> err; then ok "$1"; else not_ok "$1"; fi
}
check_not() {  # name, command that must fail
  if "${@:2}" > /dev/null 2>> err; then not_ok "$1"; else ok "$1"; fi
}
expunge() {  # arguments: leaves out, err and status
  status=0
  "$bin" "$@" > out 2> err < /dev/null || status=$?
}
expect() {  # name, exit code, extended regular expression over stdout and stderr, arguments
  expunge "${@:4}"
  if [[ ! $status =~ ^$2$ ]]; then
    not_ok "$1 (exit code $status, expected $2)"
  elif ! grep -qE -- "$3" out err; then
    not_ok "$1 (expected the words: $3)"
  else
    ok "$1"
  fi
}
same() {  # name, file, file
  if cmp -s "$2" "$3"; then ok "$1"; else not_ok "$1 ($2 and $3 differ)"; fi
}
is_json() {  # file: one JSON document a line; without a parser at hand, only its brackets
  if command -v python3 > /dev/null; then
    python3 -c 'import json, sys
for line in (open(sys.argv[1]) if len(sys.argv) > 2 else [open(sys.argv[1]).read()]): json.loads(line)' "$@"
  else
    grep -q '^{' "$1" && grep -q '}$' "$1"
  fi
}
weights() { echo "$1/checkpoints/last.safetensors"; }
finish() { ((failures == 0)); }
