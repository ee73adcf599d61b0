#!/usr/bin/env bash
# eval with attacks, compare: what they measure and against what, what they keep, what they refuse.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
make_small_set

train=(train "${small[@]}" --augment none)
"$bin" "${train[@]}" --out a > /dev/null 2>&1
"$bin" "${train[@]}" --seed 1 --out a1 > /dev/null 2>&1
for s in 0 1; do "$bin" train --like a --forget random:6 --seed $s --out r$s > /dev/null 2>&1; done
for s in 0 1; do
  for gate in none focus; do
    "$bin" unlearn --from a --forget random:6 --batch-size 4 --epochs 2 --gate $gate --seed $s \
      --out u-$gate-$s > /dev/null 2>&1
  done
done

check "the quick attacks are measured when a run ends" is_json u-none-0/scores.json
cp u-none-0/scores.json quick.json
touch -d 2001-01-01 u-none-0/scores.json
expect "and read again" 0 'confidence_auc' eval u-none-0 --attacks loss,threshold
check "without being written" test u-none-0/scores.json -ot quick.json
rm u-none-0/scores.json
expect "measured afresh" 0 'confidence_auc' eval u-none-0 --attacks loss,threshold
same "they are the same" quick.json u-none-0/scores.json
expect "attacks come with a forgotten set" 0 'svc_confidence +[0-9.]+%' eval u-none-0
check "their scores are kept" is_json u-none-0/scores.json
cp u-none-0/scores.json kept.json
expect "and read again" 0 'svc_confidence' eval u-none-0
same "without being measured anew" kept.json u-none-0/scores.json
sed -i 's/"key": "../"key": "00/' u-none-0/scores.json
expect "scores of something else" 0 'svc_confidence' eval u-none-0
same "are measured anew" kept.json u-none-0/scores.json
echo '{"schema":' > u-none-0/scores.json
expect "a broken file of scores" 0 'svc_confidence' eval u-none-0
same "is made anew" kept.json u-none-0/scores.json
rm -f r0/scores.json u-none-0/scores.json
flock r0/scores.lock bash -c 'for i in {1..600}; do [[ ! -e u-none-0/scores.json ]] || break; sleep 0.05; done
  sleep 0.5; [[ ! -e u-none-0/scores.json || -e r0/scores.json ]] || touch waited' &
holder=$!
while flock -n r0/scores.lock true; do sleep 0.02; done
expect "what another process measures comes last" 0 'retrained' compare --reference r0 u-none-0 --attacks loss
wait $holder
check "the others came first, and it was waited for" test -e waited
expect "no attacks" 0 'forget +6 samples' eval u-none-0 --attacks none
check_not "none are shown" grep -q svc out
expect "one attack" 0 'confidence_auc' eval u-none-0 --attacks threshold
check_not "only that is shown" grep -q svc out
expect "the original has none" 0 'test +2 samples' eval a
check_not "of its own" grep -q svc out
expect "against retrained runs" 0 'average gap' eval u-none-0 --reference r0,r1
expect "as JSON" 0 '"average_gap_among"' eval u-none-0 --reference r0 --reference r1 --json
check "it is one document" is_json out
for version in ufv optml; do
  expect "modified entropy $version" 0 'svc_modified_entropy' eval u-none-0 --modified-entropy $version
done

expect "numpy arrays" 0 '' eval u-none-0 --attacks none --dump-npz dump.npz
if python3 -c 'import numpy' 2> /dev/null; then
  check "numpy reads them" python3 -c '
import numpy as np
a = np.load("dump.npz")
assert a["forget_logits"].shape == (6, 2) and a["test_labels"].shape == (2,)
z = a["forget_logits"].astype(float)
p = np.exp(z - z.max(1, keepdims=True)); p /= p.sum(1, keepdims=True)
assert abs(p - a["forget_probabilities"]).max() < 1e-12
assert abs(-np.log(p[np.arange(6), a["forget_labels"]]) - a["forget_losses"]).max() < 1e-9'
fi

expect "compare" 0 '^retrained +2 ' compare a a1 r0 r1 u-none-0 u-none-1 u-focus-0 u-focus-1 --csv all.csv
check "runs that differ in the seed are one row" grep -qE '^ngplus focus +2 .*±' out
check "the original is there" grep -qE '^original +2 ' out
check "a row a run in the CSV" test "$(wc -l < all.csv)" = 9
check "every row has every column" test "$(awk -F, '{print NF}' all.csv | sort -u | wc -l)" = 1
cp out table
expect "in another order" 0 '' compare u-focus-1 u-none-1 r1 a1 a r0 u-none-0 u-focus-0
same "the retrained row is the same" <(grep ^retrained table) <(grep ^retrained out)
expect "as JSON" 0 '"schema":"expunge.compare/1"' compare a r0 r1 u-none-0 --json
check "it is one document" is_json out
expect "references by option" 0 '^retrained +2 ' compare u-none-0 --reference r0,r1
expect "without retrained runs" 0 '^ngplus none +1 ' compare a u-none-0
"$bin" unlearn --from a --forget random:6 --batch-size 4 --epochs 2 --lr 0.01 --out hot > /dev/null 2>&1
expect "another learning rate is another row" 0 '^ngplus none lr=0.01 +1 ' compare r0 u-none-0 hot

pairs=(compare a r0 r1 u-none-0 u-none-1 u-focus-0 u-focus-1 --attacks loss,threshold)
expect "paired by seed" 0 '^ngplus focus +auc_gap +[-+0-9.]+ .* 2$' "${pairs[@]}" --against "ngplus none"
expect "as JSON" 0 '"contrasts":.{"block":"","level":"ngplus focus","number":"auc_gap","pairs":2' \
  "${pairs[@]}" --against "ngplus none" --json
check "it is one document" is_json out
expect "a row that is not there" 2 "'ngplus nine' is no row.*ngplus none" "${pairs[@]}" --against "ngplus nine"
expect "one seed only has no interval" 0 '^ngplus focus +test_acc +[-+0-9.]+ +- ' compare r0 r1 u-none-0 \
  u-focus-0 --attacks loss --against "ngplus none"

expect "no run" 2 'expected run folders' compare
expect "no such run" 3 'run.json' compare nowhere
expect "nothing forgotten" 3 'nothing to compare on' compare a a1
"$bin" unlearn --from a --forget random:5 --batch-size 4 --epochs 1 --out other > /dev/null 2>&1
expect "another forget set" 3 'other: cannot be compared' compare u-none-0 other
expect "an unlearned run as a reference" 3 'cannot be a reference' compare u-none-0 --reference u-focus-0
"$bin" "${train[@]}" --split-seed 1 --out split > /dev/null 2>&1
expect "another split" 3 'its split-seed is 1, expected 0' compare u-none-0 split
EXPUNGE_TEST_STOP_AFTER=1 "$bin" "${train[@]}" --out part > /dev/null 2>&1 || true
expect "an unfinished run" 3 'expected a finished one' compare u-none-0 part
expect "an unknown attack" 2 "'svm' is not known.*svc" eval u-none-0 --attacks svm
expect "a dump that cannot be written" 4 'nowhere' eval u-none-0 --attacks none --dump-npz nowhere/d.npz

finish
