#!/usr/bin/env bash
# eval --attacks ulira: the shadows it makes, keeps and goes on with, and what it refuses.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
make_small_set

args=("${small[@]/smallcnn/mlp}" --max-steps 8 --augment none)
"$bin" train "${args[@]}" --out a > /dev/null 2>&1
unlearn=(unlearn --from a --forget random:6 --batch-size 4 --epochs 2)
"$bin" "${unlearn[@]}" --seed 5 --out u > /dev/null 2>&1
attack=(eval u --attacks ulira --shadows 8)
numbers() { sed 's/.*"ulira"/"ulira"/' "$1"; }
stamps() { find a u -name run.json -printf '%p %T@\n' | sort; }

EXPUNGE_PROGRESS=lines expect "ulira" 0 'after unlearning +[0-9.]+%' "${attack[@]}" --jobs 2
check "says what it is about" grep -q 'U-LiRA: 8 shadow networks, 6 samples' out
check "with the control" grep -qE 'before \(the control\) +[0-9.]+%' out
check_not "without the other attacks" grep -q svc out
check "a line a shadow on stderr" test "$(grep -cE '^\[[1-8]/8\] shadow 00[0-7] ' err)" = 8
halves() { find u/shadows -name forget.ids; }
check "eight shadows forgot" test "$(halves | wc -l)" = 8
check "each a half" test "$(halves | xargs wc -l | grep -c ' 3 u')" = 8
check "each sample is in half of the halves" \
  test "$(halves | xargs cat | sort | uniq -c | grep -cE '^ +4 ')" = 6
shared=(a/shadows-????????)
check "what one forgot, it was trained on" test "$(sort "${shared[0]}/000/forget.ids" u/shadows/000/forget.ids)" = \
  "$(sort u/forget.ids)"
check "a pair forgot opposite halves" test "$(sort u/shadows/00[01]/forget.ids)" = "$(sort u/forget.ids)"
check "seeds of their own" test "$(grep -h '^seed' {u/shadows,a/shadows-*}/00?/config.toml | sort | uniq -c |
  grep -cE '^ +2 ')" = 8
check "the recipe is the original's" \
  diff <(grep -vE '^(#|seed|forget)' a/config.toml) <(grep -vE '^(#|seed|forget)' "${shared[0]}/003/config.toml")
check "the unlearning is the run's" diff <(grep -vE '^(seed|forget|from|eval-every)' u/config.toml) \
  <(grep -vE '^(seed|forget|from|eval-every)' u/shadows/003/config.toml)
check_not "no states and logs are left" test -n "$(find a/shadows-* u/shadows -name '*state*' -o -name '*.err')"

stamps > before
expect "a repeat" 0 '"ulira":\{"shadows":8' "${attack[@]}" --json
check "is one document" is_json out
numbers out > whole.numbers
check "with an interval" grep -qE '"auc":\{"value":[0-9.]+,"low":[0-9.]+,"high":[0-9.]+\}' out
stamps > after
same "and makes nothing" before after
rm u/shadows/00?/margins.txt
expunge "${attack[@]}" --json
same "margins are measured again where they are gone" whole.numbers <(numbers out)
expect "beside the other attacks" 0 'confidence_auc' eval u --attacks threshold,ulira --shadows 8
check "it stands below them" grep -q 'U-LiRA' out
expunge eval u
check_not "it is none that comes by itself" grep -q 'U-LiRA' out

# The same originals for another method, one that changes the weights once.
"$bin" unlearn --from a --forget random:6 --method ssd:2 --batch-size 4 --out once > /dev/null 2>&1
find a -name run.json -printf '%p %T@\n' | sort > before
EXPUNGE_PROGRESS=lines expect "of a method that changes the weights once" 0 'U-LiRA' eval once --attacks ulira \
  --shadows 8 --jobs 2
find a -name run.json -printf '%p %T@\n' | sort > after
same "the originals are those that are there" before after

# Killed again and again, and gone on with; one shadow at a time, in a folder of the user's.
cp -r u killed
rm -r killed/shadows
on=(eval killed --attacks ulira --shadows 8 --json)
for pause in 0.1 0.35 0.6; do
  "$bin" "${on[@]}" --shadow-dir own > out 2> err &
  pid=$!
  sleep $pause
  kill -9 $pid 2> /dev/null || true
  wait $pid 2> /dev/null || true
done
made=$(find own killed/shadows -name run.json 2> /dev/null | wc -l)
check "killed with $made of 16 runs begun" test "$made" -gt 0 -a "$made" -lt 16
expect "gone on with" 0 '"ulira"' "${on[@]}" --shadow-dir own
same "it ends with the numbers of one that was not killed" whole.numbers <(numbers out)

# A signal: a run that is on its way is asked once, and saves.
"$bin" train "${args[@]}" --epochs 5000 --max-steps 3000 --out long > /dev/null 2>&1
"$bin" unlearn --from long --forget random:6 --batch-size 4 --epochs 1 --out u-long > /dev/null 2>&1
for signal in INT TERM; do
  set -m  # a process group of its own, as a terminal has it
  "$bin" eval u-long --attacks ulira --shadows 8 --shadow-dir "of-$signal" > out 2> err &
  set +m
  pid=$!
  for ((i = 0; i < 200; ++i)); do
    if grep -q '"step"' "of-$signal/000/metrics.jsonl" 2> /dev/null; then break; fi
    sleep 0.02
  done
  kill -s $signal -- -$pid
  status=0
  wait $pid || status=$?
  check "SIG$signal: exit code $status" test $status = $([[ $signal == INT ]] && echo 130 || echo 143)
  check "SIG$signal: the run on its way is saved" grep -q '"status": "interrupted"' "of-$signal/000/run.json"
done
EXPUNGE_TEST_STOP_AFTER=3 expect "a run that was stopped by itself" 143 \
  'own2/000: exit code 143: .*interrupted after step 3' eval killed --attacks ulira --shadows 8 --shadow-dir own2
mkdir -p taken/000
touch taken/000/file
expect "a run that fails passes on why" 4 'taken/000: exit code 4: .*exists already' eval killed --attacks ulira \
  --shadows 8 --shadow-dir taken

expect "an odd number" 2 'even' eval u --attacks ulira --shadows 9
expect "too few" 2 "shadows.*'6'.*8\.\." eval u --attacks ulira --shadows 6
expect "an option without the attack" 2 'shadows.*ulira' eval u --shadows 8
expect "not of compare" 2 'expunge eval' compare u --attacks ulira
expect "a training run" 3 'made by expunge train' eval a --attacks ulira
EXPUNGE_TEST_STOP_AFTER=2 expunge "${unlearn[@]}" --out part
expect "an unfinished run" 3 'interrupted.*resume part' eval part --attacks ulira
"$bin" "${unlearn[@]}" --smoke 1 --out smoke > /dev/null 2>&1
expect "a run of --smoke" 3 'smoke' eval smoke --attacks ulira
"$bin" unlearn --from a --forget random:1 --batch-size 4 --out one > /dev/null 2>&1
expect "one sample" 3 'two or more' eval one --attacks ulira
"$bin" unlearn --from u --forget class:1 --batch-size 4 --out twice > /dev/null 2>&1
expect "what was unlearned before" 3 'run of expunge unlearn.*need a finished one of expunge train' \
  eval twice --attacks ulira
"$bin" train --like a --forget random:6 --out r > /dev/null 2>&1
"$bin" "${unlearn[@]}" --reference r --until-forget-acc reference --out until > /dev/null 2>&1
expect "one that others told when to stop" 3 'cannot be repeated' eval until --attacks ulira

"$bin" unlearn --from a --forget random:4 --batch-size 4 --out four > /dev/null 2>&1
expect "shadows of another forget set" 3 'own/000: is another run.*seed|forget set' eval four --attacks ulira \
  --shadows 8 --shadow-dir own
"$bin" train "${args[@]}" --lr 0.2 --out other > /dev/null 2>&1
"$bin" unlearn --from other --forget random:6 --batch-size 4 --out u-other > /dev/null 2>&1
expect "shadows of another recipe" 3 'its lr is 0.1, expected 0.2; remove' eval u-other --attacks ulira --shadows 8 \
  --shadow-dir own
sed -i.bak 's/^beta = .*/beta = 0.5/' killed/shadows/004/config.toml
expect "shadows of another unlearning" 3 'shadows/004.*its beta is 0.5' "${on[@]}" --shadow-dir own
mv killed/shadows/004/config.toml.bak killed/shadows/004/config.toml
cp u/config.toml edited.toml
sed 's/^audit = 0/audit = 2/' edited.toml > u/config.toml
expect "what is only measured on the way does not count" 0 'U-LiRA' "${attack[@]}"
cp own/001/checkpoints/last.safetensors own/000/checkpoints/best.safetensors
expect "an original that has changed" 3 'own/000.*no longer what .*000 started from' "${on[@]}" --shadow-dir own
cp "$(weights r)" a/checkpoints/best.safetensors
expect "the original has changed" 3 'no longer what u started from' "${attack[@]}"
mv a gone
expect "the original is gone" 3 'a: is gone; u was unlearned from it' "${attack[@]}"
finish
