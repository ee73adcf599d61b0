#!/usr/bin/env bash
# train: what a run leaves behind, how it is configured, what it refuses.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

expect "dry run" 0 'steps +20' train "${tiny[@]}" --dry-run
expect "dry run predicts memory" 0 'memory +[0-9]+ MiB' train "${tiny[@]}" --dry-run --out a
check_not "a dry run writes nothing" test -e a -o -e runs

expect "smoke" 0 'smoke: 2 steps' train --data builtin --model mlp --batch-size 16 --smoke 2 \
  --out smoke
expect "smoke evaluates as little" 0 'test +32 samples' eval smoke
make_small_set
"$bin" train "${small[@]}" --batch-size 8 --smoke 1 --out sorted > /dev/null 2>&1
expect "smoke takes samples of every class of a sorted set" 0 '"name":"a","samples":[1-7],.*"name":"b","samples":[1-7],' \
  eval sorted --json

expect "train" 0 'test accuracy' train "${tiny[@]}" --out a
for file in run.json config.toml metrics.jsonl metrics.csv checkpoints/last.safetensors \
  checkpoints/best.safetensors checkpoints/last.state.safetensors; do
  check "the run has $file" test -s "a/$file"
done
check "run.json says finished" grep -q '"status": "finished"' a/run.json
check "run.json is JSON" is_json a/run.json
check "metrics.jsonl is JSON a line" is_json a/metrics.jsonl lines
check "two epochs in metrics.jsonl" test "$(grep -c '"type":"epoch"' a/metrics.jsonl)" = 2
rate() {  # seconds x images/s of the last epoch's line: images that it counts
  sed -nE 's/.*"type":"epoch".*"seconds":([^,]*),"images_per_s":([^}]*)}/\1 \2/p' "$1/metrics.jsonl" |
    awk '{ images = $1 * $2 } END { printf "%.0f", images }'
}
check "images/s are those of one epoch" test "$(rate a)" -gt 0
"$bin" train "${tiny[@]}" --eval-every 2 --out rarely > /dev/null 2>&1
ratio=$(awk -v two="$(rate rarely)" -v one="$(rate a)" 'BEGIN { printf "%.0f", two / one }')
check "and of two where two lie between evaluations" test "$ratio" = 2
check "two epochs in metrics.csv" test "$(wc -l < a/metrics.csv)" = 3
check "no temporary file is left" test -z "$(find a -name '*.tmp')"
for file in last last.state; do  # the header names tensors and metadata
  bytes=$(od -An -t u8 -N 8 "a/checkpoints/$file.safetensors")
  check_not "no host, path or time in $file" grep -qaE "$(hostname)\"|$dir|20[0-9]{2}-[0-9]{2}-|seconds" \
    <(head -c $((bytes + 8)) "a/checkpoints/$file.safetensors")
done
expect "the saved configuration can be used" 0 '^max-steps = 20' \
  train --config a/config.toml --print-config

expect "the same again" 0 '' train "${tiny[@]}" --out b
same "a repeat has the same bits" "$(weights a)" "$(weights b)"
expect "on one thread" 0 '' train "${tiny[@]}" --threads 1 --out c
same "one thread and all have the same bits" "$(weights a)" "$(weights c)"
expect "on three threads" 0 '' train "${tiny[@]}" --threads 3 --out d
same "three threads have the same bits" "$(weights a)" "$(weights d)"
expect "another seed" 0 '' train "${tiny[@]}" --seed 1 --out e
check_not "another seed has other bits" cmp "$(weights a)" "$(weights e)"

expect "JSON on stdout" 0 '"status": "finished"' train "${quick[@]}" --json --out f
check "it is one document" is_json out
for optimizer in adam adamw; do
  expect "optimizer $optimizer" 0 'test accuracy' train "${quick[@]}" --max-steps 2 \
    --optimizer $optimizer --lr 0.001 --out "o-$optimizer"
done
for schedule in constant step:1,gamma=0.5 onecycle; do
  expect "schedule $schedule" 0 'test accuracy' train "${quick[@]}" --max-steps 2 \
    --schedule $schedule --out "s-$schedule"
done
expect "no validation part" 0 'test accuracy' train "${quick[@]}" --max-steps 2 --val-fraction 0 \
  --out v
expect "the default folder" 0 'runs/builtin-mlp-4' train "${quick[@]}" --max-steps 1 --seed 4
expect "the default folder is taken" 4 'exists' train "${quick[@]}" --max-steps 1 --seed 4

expect "retraining without a class" 0 'test accuracy' train --like a --forget class:3 --out r
check "forget.ids holds 18 ids" test "$(grep -cE '^[0-9a-f]{32}$' r/forget.ids)" = 18
check "the recipe is that of the other run" grep -q '^max-steps = 20' r/config.toml
expect "the forget part can be evaluated" 0 'forget +18 samples' eval r
expect "a flag beats the other run" 0 '^epochs = 9' train --like a --epochs 9 --print-config
expect "ids from a file" 0 '18 forgotten' train --like a --forget file:r/forget.ids --dry-run
expect "forget: an unknown class" 3 'class' train "${quick[@]}" --forget class:zebra --out x
expect "forget: grammar" 2 'random:0.1' train "${quick[@]}" --forget rnd:3 --out x
expect "forget: an empty set" 3 'empty' train "${quick[@]}" --forget random:0 --out x
expect "forget: everything" 3 'whole' train "${quick[@]}" --forget random:1.0 --out x
printf 'ffffffffffffffffffffffffffffffff\n' > ids
expect "forget: an unknown id" 3 'line 1' train "${quick[@]}" --forget file:ids --out x
expect "like: no run there" 3 'nowhere' train --like nowhere --out x

expect "a limit larger than the data" 2 'limit' train "${quick[@]}" --limit 100000 --out x
expect "no such data" 3 'nothing.epk' train --data nothing.epk --out x
echo 'PK..' > zip.epk
expect "data that is none" 3 'zip.epk' train --data zip.epk --out x
mkdir full
touch full/file
expect "a folder with other things in it" 4 'exists' train "${quick[@]}" --out full
expect "a folder below a file" 4 'full/file' train "${quick[@]}" --out full/file/run
check_not "what was refused wrote nothing" test -e x
expect "a path with blanks and umlauts" 0 '' train "${quick[@]}" --max-steps 1 --out 'ein Läufer/ß'
expect "and eval there" 0 'test' eval 'ein Läufer/ß'

EXPUNGE_PROGRESS=lines expect "progress in lines" 0 'epoch 2/2 +step 20/20' \
  train "${quick[@]}" --out p1
check_not "lines have no carriage returns" grep -q $'\r' err
EXPUNGE_PROGRESS=json expect "progress as JSON" 0 '"type":"progress"' train "${quick[@]}" --out p2
expunge train "${quick[@]}" --progress none --out p3
check_not "progress none: stderr stays empty" test -s err
finish
