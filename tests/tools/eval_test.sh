#!/usr/bin/env bash
# eval, list and doctor.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$bin" train "${tiny[@]}" --out a > /dev/null 2>&1
expect "eval prints every part" 0 'train +180 samples' eval a
check "validation" grep -qE 'val +20 samples' out
check "test" grep -qE 'test +1000 samples' out
check "a line a class" grep -qE '3 disc +100 ' out
cp out first
expunge eval a
same "a repeat prints the same" out first
expunge eval a --batch-size 7 --threads 1
same "other batches and threads print the same" out first
expect "one part" 0 'val' eval a --part val
check_not "and no other" grep -q 'train' out
expect "best" 0 'best.safetensors' eval a --checkpoint best
expect "a part that is not there" 3 'forget' eval a --part forget
expect "a part that is none" 2 'all\|train' eval a --part validation
expect "JSON" 0 '"schema":"expunge.eval/1"' eval a --json
check "it is one document" is_json out
if command -v python3 > /dev/null; then
  check "counts add up" python3 -c '
import json
for name, part in json.load(open("out"))["parts"].items():
    confusion = part["confusion"]
    assert sum(map(sum, confusion)) == part["samples"] == sum(c["samples"] for c in part["classes"])
    assert sum(row[i] for i, row in enumerate(confusion)) == part["correct"]
    assert abs(part["correct"] / part["samples"] - part["accuracy"]) < 1e-7'
fi
check "the test accuracy is that of run.json" \
  test "$(grep -oE '"test_accuracy": [0-9.]+' a/run.json | grep -oE '[0-9.]+$')" = \
  "$(sed 's/.*"test"//' out | grep -oE '"accuracy":[0-9.]+' | head -n 1 | grep -oE '[0-9.]+$')"
expect "no such run" 3 'nowhere' eval nowhere
mkdir empty
expect "a folder that is no run" 3 'run.json' eval empty
expect "a file instead of a run" 3 'run' eval first

for what in models datasets optimizers schedules inits; do
  expect "list $what" 0 '[a-z]' list $what
  expect "list $what as JSON" 0 "\"$what\":" list $what --json
  check "it is JSON" is_json out
done
expect "ResNet18 has the published number of parameters" 0 'resnet18 +11173962' list models
expect "doctor" 0 'threads +[0-9]' doctor
expect "doctor as JSON" 0 '"cpu":' doctor --json
check "it is JSON" is_json out
finish
