#!/usr/bin/env bash
# A run that was stopped anywhere and resumed ends with the bits of one that was not.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

metrics() { sed -E 's/,"(seconds|images_per_s)":[^,}]*//g' "$1/metrics.jsonl"; }
make_small_set
args=("${small[@]}" --log-every 1)
"$bin" train "${args[@]}" --out whole > /dev/null 2>&1
metrics whole > whole.metrics

compare() {  # name, run
  if ! cmp -s "$(weights whole)" "$(weights "$2")"; then
    not_ok "$1: the weights differ"
  elif ! cmp -s whole/checkpoints/best.safetensors "$2/checkpoints/best.safetensors"; then
    not_ok "$1: the best weights differ"
  elif ! cmp -s whole/checkpoints/last.state.safetensors "$2/checkpoints/last.state.safetensors"; then
    not_ok "$1: the states differ"
  elif ! cmp -s whole.metrics <(metrics "$2"); then
    not_ok "$1: the metrics differ"
  else
    ok "$1"
  fi
}

for ((k = 1; k <= 20; ++k)); do
  EXPUNGE_TEST_STOP_AFTER=$k expunge train "${args[@]}" --out "at-$k"
  [[ $status == 143 ]] || not_ok "stopped after step $k: exit code $status, expected 143"
  expunge train --resume "at-$k" --threads $((1 + k % 2))
  [[ $status == 0 ]] || not_ok "resumed after step $k: exit code $status"
  compare "stopped after step $k and resumed" "at-$k"
done

expect "a finished run" 0 'already complete' train --resume whole
expect "no such run" 3 'nowhere' train --resume nowhere
EXPUNGE_TEST_STOP_AFTER=7 expect "the message says how to go on" 143 'expunge train --resume r' \
  train "${args[@]}" --out r
check "run.json says interrupted" grep -q '"status": "interrupted"' r/run.json
check "run.json says resumable" grep -q '"resumable": true' r/run.json
expect "another batch size is refused" 2 'batch-size' train --resume r --batch-size 8
expect "another data set is refused" 2 'data' train --resume r --data x.epk
expect "more epochs are refused" 2 'epochs' train --resume r --epochs 9
expect "another --out is refused" 2 'out' train --resume r --out q
EXPUNGE_TEST_STOP_AFTER=15 expect "stopped a second time" 143 '' train --resume r
check "run.json keeps what it said" grep -q '"train_samples": 22' r/run.json
sed -i 's/"device": "cpu"/"device": "cuda"/' r/run.json
expect "begun on a GPU, and here is none" 7 'computed on a GPU, and here .*--device cpu' train --resume r
sed -i 's/"device": "cuda"/"device": "cpu"/' r/run.json
printf '{"type":"step","st' >> r/metrics.jsonl
expect "resumed a second time, behind a line cut off" 0 '' train --resume r
compare "stopped twice" r

EXPUNGE_TEST_STOP_AFTER=13 expunge train "${args[@]}" --forget class:a:5 --out f
cp f/forget.ids ids
"$bin" train "${args[@]}" --forget file:ids --out f-whole > /dev/null 2>&1
rm ids
expunge train --resume f
same "a retrained run resumes with its forget set" "$(weights f)" "$(weights f-whole)"

# Killed at its very end, behind the state and before the model beside it, which is an earlier one.
cp -r whole late
cp "$(weights f)" "$(weights late)"
sed -i 's/"status": "finished"/"status": "running"/' late/run.json
expect "killed between the last state and its model" 0 '' train --resume late
compare "whose model is that of the state in the end" late

long=(--data builtin --limit 1000 --model smallcnn --batch-size 16 --epochs 30)
wait_for() {  # file, text: until the file holds it
  for ((i = 0; i < 200; ++i)); do
    if grep -q "$2" "$1" 2> /dev/null; then return 0; fi
    sleep 0.05
  done
  not_ok "$1 never held $2"
}
for signal in INT TERM; do
  # bash starts background jobs with SIGINT ignored; env puts it back
  env --default-signal=INT "$bin" train "${long[@]}" --log-every 1 --out "s-$signal" > out 2> err &
  pid=$!
  wait_for "s-$signal/metrics.jsonl" '"step":3'
  kill -s "$signal" $pid && kill -s "$signal" $pid  # as timeout does: it counts once
  status=0
  wait $pid || status=$?
  expected=143
  [[ $signal == TERM ]] || expected=130
  check "SIG$signal: exit code $expected, got $status" test $status = $expected
  check "SIG$signal: the run says interrupted" grep -q '"status": "interrupted"' "s-$signal/run.json"
done

"$bin" train "${long[@]}" --log-every 1 --out busy > out 2> err &
pid=$!
wait_for busy/metrics.jsonl '"step":2'
expect "a run that is being worked on" 4 'another process|locked' train --resume busy
kill -9 $pid
wait $pid 2> /dev/null || true

# Killed between the two renames of a save, a run has its previous state alone.
state_step() {
  local state=$1/checkpoints/last.state.safetensors
  [[ -e $state ]] || state=$1/checkpoints/previous.state.safetensors
  head -c 2000 "$state" | grep -ao '"step":"[0-9]*"' | tr -dc 0-9
}
for every in epoch 1000s; do
  "$bin" train "${long[@]}" --limit 200 --checkpoint-every $every --out "c-$every" > out 2> err &
  pid=$!
  wait_for "c-$every/metrics.jsonl" '"type":"epoch","epoch":3'
  kill -9 $pid
  wait $pid 2> /dev/null || true
done
check "a checkpoint an epoch" test "$(state_step c-epoch)" -gt 0
check "none before its time has come" test "$(state_step c-1000s)" = 0

mkdir -p begun/checkpoints
touch begun/lock begun/config.toml
expect "a run that ended before its first checkpoint is begun again" 0 '' train "${args[@]}" --out begun
same "and has the bits of any other" "$(weights whole)" "$(weights begun)"

# R3: killed at any moment, from making the folder to the last step.
for k in {1..20}; do
  "$bin" train "${args[@]}" --checkpoint-every 1 --out "k-$k" > out 2> err &
  pid=$!
  sleep "$(printf '0.%03d' $((k * 8)))"
  kill -9 $pid 2> /dev/null || true
  wait $pid 2> /dev/null || true
  if [[ -e k-$k/run.json ]]; then
    expunge train --resume "k-$k"
  else
    expunge train "${args[@]}" --checkpoint-every 1 --out "k-$k"
  fi
  [[ $status == 0 ]] || not_ok "R3: killed after $((k * 8)) ms: exit code $status"
  same "R3: killed after $((k * 8)) ms and resumed" "$(weights whole)" "$(weights "k-$k")"
done
check "R3: no temporary file is left" test -z "$(find k-* -name '*.tmp')"

# R18: the second signal does not wait for the step.
"$bin" train --data builtin --model resnet18 --batch-size 256 --epochs 1 --log-every 1 --out slow > out 2> err &
pid=$!
wait_for slow/run.json running
cp -r slow slow-before
kill -s TERM $pid
sleep 0.2
begin=$(date +%s%N)
kill -s TERM $pid
status=0
wait $pid || status=$?
check "R18: a second signal: exit code 143, got $status" test $status = 143
check "R18: at once" test $((($(date +%s%N) - begin) / 1000000)) -lt 1000
same "R18: the checkpoint is intact" slow/checkpoints/last.state.safetensors \
  slow-before/checkpoints/last.state.safetensors
finish
