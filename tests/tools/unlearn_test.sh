#!/usr/bin/env bash
# unlearn: what a run leaves behind, every method and gate, presets, resuming, and what it refuses.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
make_small_set

# The network to unlearn from, one retrained without random:6, and one without a class.
"$bin" train "${small[@]}" --augment none --out a > /dev/null 2>&1
"$bin" train --like a --forget random:6 --out r > /dev/null 2>&1
"$bin" train --like a --forget class:1 --out r1 > /dev/null 2>&1
# Two steps an epoch of 4 and 2 forgotten samples, three epochs.
from=(--from a --forget random:6 --batch-size 4 --epochs 3)

expect "dry run" 0 'steps +6' unlearn "${from[@]}" --dry-run --out x
check_not "a dry run writes nothing" test -e x -o -e runs
expect "the preset is in the configuration" 0 '^beta = 0.95' unlearn "${from[@]}" --print-config
expect "data and split come from the run" 0 '^val-fraction = 0.1' unlearn "${from[@]}" --print-config

expect "unlearn" 0 'forget_acc' unlearn "${from[@]}" --out u
for file in run.json config.toml forget.ids metrics.jsonl metrics.csv checkpoints/last.safetensors \
  checkpoints/last.state.safetensors; do
  check "the run has $file" test -s "u/$file"
done
check "run.json is JSON" is_json u/run.json
check "metrics.jsonl is JSON a line" is_json u/metrics.jsonl lines
check "run.json has the passes" grep -q '"passes": 12' u/run.json
check "forget.ids holds 6 ids" test "$(grep -cE '^[0-9a-f]{32}$' u/forget.ids)" = 6
same "they are those that the retrained run left out" u/forget.ids r/forget.ids
check "three epochs in metrics.jsonl" test "$(grep -c '"type":"epoch"' u/metrics.jsonl)" = 3
check_not "the weights changed" cmp "$(weights a)" "$(weights u)"
expect "the forget part can be evaluated" 0 'forget +6 samples' eval u
expect "progress in lines" 0 'before: +forget' unlearn "${from[@]}" --progress lines --out u-lines
same "the same bits with other progress" "$(weights u)" "$(weights u-lines)"
expect "on three threads" 0 '' unlearn "${from[@]}" --threads 3 --out u3
same "three threads have the same bits" "$(weights u)" "$(weights u3)"
expect "another seed" 0 '' unlearn "${from[@]}" --seed 1 --out s1
check_not "another seed has other bits" cmp "$(weights u)" "$(weights s1)"
expect "JSON on stdout" 0 '"verb": "unlearn"' unlearn "${from[@]}" --json --out j
check "it is one document" is_json out
expect "the default folder" 0 'runs/a-ngplus-none-7' unlearn "${from[@]}" --seed 7

for method in $("$bin" list methods | awk '{print $1}'); do
  options=("${from[@]}")
  case $method in ssd | fisher | influence) options+=(--epochs 1) ;; esac
  expect "method $method" 0 'forget_acc' unlearn "${options[@]}" --method "$method" --out "m-$method"
done
for gate in $("$bin" list gates | awk '{print $1}'); do
  expect "gate $gate" 0 'forget_acc' unlearn "${from[@]}" --gate "$gate" --epochs 1 --out "g-$gate"
done
for estimator in $("$bin" list estimators | awk '{print $1}'); do
  expect "estimator $estimator" 0 'forget_acc' unlearn "${from[@]}" --gate focus \
    --estimator "$estimator" --epochs 1 --out "e-$estimator"
done
for options in "--gate fdr:0.1 --estimator welford:2 --warmup-gate hold" "--cdf normal --estimator ema:0.9" \
  "--gate-on update --gate and" "--bn frozen" "--bn eval" "--optimizer sgd --lr 0.01" \
  "--unlearn-augment none" "--unlearn-augment first-epoch" "--eval-every 2" "--eval-every 1step"; do
  # shellcheck disable=SC2086
  expect "$options" 0 'forget_acc' unlearn "${from[@]}" $options --out "o${options// /}"
done
check "--eval-every 1step evaluates every step" \
  test "$(grep -c '"type":"evaluation"' o--eval-every1step/metrics.jsonl)" = 6

# Methods that change the weights once; their steps are passes over batches that gather what there is to know.
once=(--from a --forget random:6 --batch-size 4)
for method in ssd:2 fisher:1e-4 influence:1,iterations=2 influence:1,form=optml; do
  name=once-${method//[:,=]/-}
  expect "$method" 0 '"status": "finished"' unlearn "${once[@]}" --method $method --json --out "$name"
  check_not "$method changes the weights" cmp "$(weights a)" "$(weights "$name")"
  check "$method notes what it did" grep -q '"type":"one_shot"' "$name/metrics.jsonl"
  check "metrics.jsonl is JSON a line" is_json "$name/metrics.jsonl" lines
  expect "$method on three threads" 0 '' unlearn "${once[@]}" --method $method --threads 3 --out "$name-3"
  same "$method has the same bits on three threads" "$(weights "$name")" "$(weights "$name-3")"
  expect "$method, dry run" 0 'steps +[1-9]' unlearn "${once[@]}" --method $method --dry-run
  expect "$method, smoke" 0 '"status": "finished"' unlearn "${once[@]}" --method $method --smoke 1 --json \
    --out "$name-smoke"
  EXPUNGE_TEST_STOP_AFTER=3 expect "$method, interrupted" 143 'resume' unlearn "${once[@]}" --method $method \
    --out "$name-part"
  same "$method leaves the weights alone until its last step" a/checkpoints/best.safetensors \
    "$(weights "$name-part")"
  expect "$method, resumed" 0 'forget_acc' unlearn --resume "$name-part"
  same "$method has the same bits when resumed" "$(weights "$name")" "$(weights "$name-part")"
done
check "fisher takes a pass a class" grep -q "\"passes\": $((2 * $(sed -n 's/.*"steps": \([0-9]*\).*/\1/p' \
  once-fisher-1e-4/run.json)))" once-fisher-1e-4/run.json
# With next to no noise elsewhere, that of the row of a class of which nothing is left shows.
noise_within() {  # folder, least, most
  awk -v low="$2" -v high="$3" 'match($0, /"noise_rms":[0-9.e+-]+/) { x = substr($0, RSTART + 12, RLENGTH - 12) + 0
    found = x >= low && x <= high } END { exit !found }' "$1/metrics.jsonl"
}
for spec in class:0 class:0:3; do
  expect "fisher, $spec" 0 'forget_acc' unlearn --from a --forget $spec --method fisher:1e-16 --batch-size 4 --out "f-$spec"
done
check "fisher starts the row of a class that is gone anew" noise_within f-class:0 1e-4 1e-2
check "and of no other" noise_within f-class:0:3 1e-8 1e-6
expect "the default folder of a method with values" 0 'runs/a-ssd-2-dampen-1-none-0' unlearn "${once[@]}" \
  --method ssd:2,dampen=1
expect "a run's configuration can be used again" 0 '' unlearn --config once-ssd-2/config.toml --out once-again
same "it has the same bits" "$(weights once-ssd-2)" "$(weights once-again)"
expect "until the forget accuracy is reached" 0 'steps_to_target' unlearn "${once[@]}" --method ssd \
  --until-forget-acc 100 --json --out once-until
for options in "--lr 0.1" "--epochs 3" "--gate and" "--bn train" "--max-steps 2" "--audit 2" "--estimator ema:0.9" \
  "--optimizer adam" "--unlearn-augment all" "--beta 0.5"; do
  # shellcheck disable=SC2086
  expect "ssd with $options" 2 "${options%% *}.*changes the weights once" unlearn "${once[@]}" --method ssd $options
done
expect "the preset of another method" 2 'has only its own' unlearn "${once[@]}" --method ssd --preset paper
expect "its preset for another method" 2 'is for the method ssd' unlearn "${once[@]}" --preset ssd
expect "an unknown parameter" 2 "no parameter dampn; did you mean 'dampen'" unlearn "${once[@]}" --method ssd,dampn=1
expect "a value for a method without one" 2 'ngplus has no value' unlearn "${once[@]}" --method ngplus:3

expect "against a retrained run" 0 'rUA' unlearn "${from[@]}" --reference r --json --out ref
expect "until the forget accuracy is reached" 0 '"steps_to_target": 2' unlearn "${from[@]}" \
  --until-forget-acc 100 --json --out until
expect "until that of the reference" 0 '"status": "finished"' unlearn "${from[@]}" --reference r \
  --until-forget-acc reference --json --out until-r
expect "a class that is missing in the retain set is named" 0 'no sample of class 1 b is retained' \
  unlearn --from a --forget class:1 --batch-size 4 --epochs 1 --reference r1 --out class
expect "more is forgotten later" 0 '' unlearn --from u --forget random:3 --batch-size 4 --epochs 1 \
  --out later
check "what was forgotten before is remembered" test "$(wc -l < later/earlier.ids)" = 6
check "and is not forgotten twice" test -z "$(sort later/forget.ids u/forget.ids | uniq -d)"
cat u/forget.ids u/forget.ids > twice.ids
expect "ids that are named twice count once" 0 '"forgotten": 6' unlearn --from a \
  --forget file:twice.ids --batch-size 4 --epochs 3 --json --out twice
same "and give the same bits" "$(weights u)" "$(weights twice)"
expect "smoke" 0 '"steps": 1' unlearn --from a --forget random:6 --batch-size 4 --smoke 1 --json \
  --out smoke
expect "smoke evaluates as little" 0 'forget +4 samples' eval smoke

# Interrupted in the middle of an epoch and resumed: the same bits. msg has a prologue, welford a state.
stateful=(--method msg --gate focus --estimator welford:2)
expect "the whole run" 0 '' unlearn "${from[@]}" "${stateful[@]}" --out whole
EXPUNGE_TEST_STOP_AFTER=3 expect "interrupted" 143 'go on with: expunge unlearn --resume part' unlearn \
  "${from[@]}" "${stateful[@]}" --out part
expect "resumed" 0 'forget_acc' unlearn --resume part
same "a resumed run has the same bits" "$(weights whole)" "$(weights part)"
expect "resumed once more" 0 'already complete' unlearn --resume part

# Killed behind its last state, before the model beside it, which is still the original network.
cp -r whole late
cp "$(weights a)" "$(weights late)"
sed -i 's/"status": "finished"/"status": "running"/' late/run.json
expect "killed between the last state and its model" 0 'forget_acc' unlearn --resume late
same "which is not the original network in the end" "$(weights whole)" "$(weights late)"
expect "evaluated every second step" 0 '' unlearn "${from[@]}" --eval-every 2step --out often
EXPUNGE_TEST_STOP_AFTER=2 expect "interrupted where it would be evaluated" 143 'resume' unlearn "${from[@]}" \
  --eval-every 2step --out often-part
expect "and resumed" 0 'forget_acc' unlearn --resume often-part
evaluations() { grep '"type":"evaluation"' "$1/metrics.jsonl"; }
same "no evaluation is missing" <(evaluations often) <(evaluations often-part)

ls > before
expect "no run to unlearn from" 2 '--from RUN is missing' unlearn --forget random:6
expect "no forget set" 2 '--forget SPEC is missing' unlearn --from a
expect "a file to unlearn from" 2 'expunge convert' unlearn --from "$(weights a)" --forget random:6
expect "a folder without a run" 3 'run.json' unlearn --from small --forget random:6
expect "other data than the run's" 2 'comes from a' unlearn "${from[@]}" --data builtin
expect "an empty forget set" 3 'no sample|selects nothing|empty' unlearn --from a --forget class:1:0
expect "everything" 3 'nothing would be retained' unlearn --from a --forget random:1.0
echo 0123456789abcdef0123456789abcdef > unknown.ids
expect "an unknown id" 3 'unknown.ids' unlearn --from a --forget file:unknown.ids
rm unknown.ids
expect "an unknown method" 2 "method 'ngpus' is not known.*ngplus" unlearn "${from[@]}" --method ngpus
expect "an unknown gate" 2 "gate 'focs' is not known.*focus" unlearn "${from[@]}" --gate focs
expect "a value for a gate without one" 2 'which has no value' unlearn "${from[@]}" --gate and:0.5
expect "an unknown estimator" 2 "estimator 'mean'" unlearn "${from[@]}" --estimator mean
expect "fdr with the paper's estimator" 2 'keeps no parameter at all' unlearn "${from[@]}" --gate fdr:0.1
expect "salun with another gate" 2 'salun is srl' unlearn "${from[@]}" --method salun --gate and
expect "a two-sided preset for one side" 2 'has only one' unlearn "${from[@]}" --method ft --preset salun
expect "a two-sided gate in turn" 2 'both gradients' unlearn "${from[@]}" --method srl --preset salun \
  --gate and
expect "beta where nothing is weighed" 2 'nothing is weighed' unlearn "${from[@]}" --preset salun \
  --beta 0.5 --method srl
expect "beta for one side" 2 'only one side' unlearn "${from[@]}" --method ga --beta 0.5
expect "a prologue and no epoch left" 2 'needs 2 or more' unlearn "${from[@]}" --method ct --epochs 1
expect "until what" 2 'percentage' unlearn "${from[@]}" --until-forget-acc little
expect "until the accuracy of no reference" 2 'needs --reference' unlearn "${from[@]}" \
  --until-forget-acc reference
expect "a reference with other forgotten samples" 3 'cannot be a reference' unlearn "${from[@]}" --reference r1
expect "the original as a reference" 3 'cannot be a reference' unlearn "${from[@]}" --reference a
expect "an unlearned run as a reference" 3 'run of expunge unlearn' unlearn "${from[@]}" --reference u
ls > after
check "what was refused wrote nothing" diff <(grep -v after before) <(grep -v after after)

# So hot that the loss turns NaN: the checkpoint from before is good.
expect "lr too hot" 6 'smaller --lr' unlearn "${from[@]}" --lr 1e30 --optimizer sgd --momentum 0 --out hot
expect "the wrong verb" 2 'go on with: expunge unlearn' train --resume hot
check "run.json says failed" grep -q '"status": "failed"' hot/run.json
expect "the last good checkpoint is kept" 0 'forget +6 samples' eval hot

finish
