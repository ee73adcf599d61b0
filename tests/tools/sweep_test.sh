#!/usr/bin/env bash
# sweep: every run of a recipe once, a row each, tuned alike, gone on with after a stop; what is refused.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
make_small_set

cat > small.toml <<'TOML'
# Two gates on a tiny set
attacks = "loss,threshold"

[original]
data = "small.epk"
model = "mlp"
batch-size = 4
epochs = 2
augment = "none"
val-fraction = 0.2
nesterov = true

[forget.some]
forget = "random:6"
references = 2

[tune.some]
forget-set = "some"
seed = 7
choose = ["lr"]
method = ["ngplus"]
gate = ["none", {estimator = "welford:2", gate = "prob:0.8"}]
lr = [1e-4, 1e-2]
epochs = 2
batch-size = 4

[grid.some]
tuned-by = "some"
seeds = [0, 1]

[grid.fixed]
forget-set = "some"
seeds = [0, 1]
method = ["ngplus"]
gate = ["none", "focus"]
lr = 1e-3
epochs = 2
batch-size = 4

[contrast]
axis = "gate"
baseline = "none"
numbers = ["auc_gap", "test_acc"]
primary-grid = "fixed"
primary-value = "focus"
primary-numbers = ["auc_gap"]

[[expect]]
group = "fixed/ngplus focus"
number = "steps"
value = 4
tolerance = 0.5
TOML

rows() { grep -c . "$1/rows.jsonl" || true; }
sorted_numbers() {  # what rows say, without costs, in one order
  sed -E 's/"(seconds|RTE|peak_bytes)":[^,}]*//g' "$1/rows.jsonl" | sort
}

expect "a dry run names the runs" 0 '^unlearn +fixed/ngplus_focus-1 ' sweep small.toml --dry-run
check "and counts them" grep -q '^23 runs, 4 of them when tuning is over; 23 are still' out
same "seed by seed, so that one that is stopped has all of the first" \
  <(printf '%s\n' fixed/ngplus_{none,focus}-{0,1} | sort -t- -k2,2 -s) <(grep -oE 'fixed/ngplus_(none|focus)-[01]' out)
expect "of a GPU's runs, too, without one" 0 '[-]-device cuda --precision bf16' sweep small.toml --dry-run --device cuda --precision bf16
expect "options stand in the order that rows have" 0 '[-]-batch-size 3 --device cuda$' sweep small.toml --dry-run \
  --device cuda --batch-size 3
expect "which must be a name of one" 2 "expected auto, cpu or cuda" sweep small.toml --dry-run --device moon
check_not "it makes nothing" test -e runs

expect "a sweep" 0 '^ngplus focus +2 ' sweep small.toml --out s --progress lines
check "a row a run" test "$(rows s)" = 23
check "rows are JSON" bash -c 'while read -r l; do python3 -c "import json,sys; json.loads(sys.argv[1])" "$l" || exit 1; done < s/rows.jsonl'
check "what was chosen" grep -qE '^ngplus welford:2\+prob:0.8 +lr ' out
check "the primary contrast" grep -q 'primary, fixed beforehand' out
check "retrained networks beside" grep -qE '^retrained +2 ' out
check "a line a run on stderr" grep -qE '^\[23/23\] ' err
check "CSV: a line a run" test "$(wc -l < s/rows.csv)" = 24
check "Markdown" grep -q '^| ngplus focus | 2 |' s/summary.md
check "a plot of the way" grep -q '</svg>' s/fixed.svg
check "no logs are left" test -z "$(ls s/logs)"
check "no training states are left" test -z "$(find s -name '*.state.safetensors')"
check "weights are" test -s s/fixed/ngplus_focus-1/checkpoints/last.safetensors
cp out table
expect "once more" 0 '' sweep small.toml --out s
same "makes nothing, says the same" table out
check_not "and nothing else" test -s err
expect "only the table" 0 '' sweep small.toml --out s --table
same "is the same table" table out
sed 's/^baseline.*/&\nalong = "lr"\nat = [0.5]/' small.toml > along.toml
expect "runs along an axis, where they have forgotten alike" 0 '^tune-some at a forget accuracy of 50 %' sweep along.toml \
  --out s --table
check "the other tables stay" grep -q '^Against gate none: fixed$' out
expect "as JSON" 0 '"family":"primary, fixed beforehand: fixed"' sweep small.toml --out s --json
check "it is one document" is_json out

expect "side by side" 0 '' sweep small.toml --out s2 --jobs 3
same "the same numbers" <(sorted_numbers s) <(sorted_numbers s2)

# stopped, killed, and gone on with
"$bin" sweep small.toml --out s3 > /dev/null 2>&1 &
sweep=$!
until [[ $(rows s3 2> /dev/null) -ge 3 ]]; do sleep 0.05; done
kill -TERM $sweep
code=0; wait $sweep || code=$?
check "stopped: exit code 143" test $code = 143
check "some rows are there" test "$(rows s3)" -lt 23
"$bin" sweep small.toml --out s3 > /dev/null 2>&1 &
sweep=$!
until [[ $(rows s3) -ge 8 ]]; do sleep 0.05; done
kill -KILL $sweep
wait $sweep 2> /dev/null || true
while pgrep -f "expunge.* s3/[a-z]" > /dev/null; do sleep 0.05; done  # the runs that it had begun end as well
printf '{"schema":"expunge.row/1","ru' >> s3/rows.jsonl
expect "gone on with" 0 '' sweep small.toml --out s3
same "the same numbers" <(sorted_numbers s) <(sorted_numbers s3)

sed 's/^lr = 1e-3/lr = 2e-3/' small.toml > other.toml
expect "another recipe in the same folder" 3 "fixed/ngplus_none-0 was made with.*--lr 0.001" \
  sweep other.toml --out s
mkdir moved && grep -v '"run":"fixed/ngplus_focus-1"' s/rows.jsonl > moved/rows.jsonl
expect "rows in an empty folder, one missing" 0 '^ngplus focus +2 ' sweep small.toml --out moved --progress lines
check "networks that it needs are made again" \
  test "$(ls moved | grep -E '^(original|retrained)' | tr '\n' ' ')" = "original-1 retrained-some-0 retrained-some-1 "
same "the same numbers" <(sorted_numbers s) <(sorted_numbers moved)
rm -r s/fixed s/original-0
expect "rows are enough" 0 '^ngplus focus +2 ' sweep small.toml --out s

sed 's/^lr = 1e-3/lr = 1e30/; /^\[tune/,/^\[grid.fixed/{/^\[grid.fixed/!d}' small.toml > hot.toml
expect "a run whose loss is NaN" 0 '0 of 2' sweep hot.toml --out hot --progress lines
check "is a row" grep -q '"exit_code":6' hot/rows.jsonl
check "and a line" grep -q 'failed: the loss' err

sed '/^\[tune/,/^\[grid.fixed/{/^\[grid.fixed/!d}; /^\[contrast/,$d; s/^seeds.*/seeds = [0]/' small.toml > few.toml
expect "keep all" 0 '' sweep few.toml --out all --keep all
check "training states are left" test "$(find all -name last.state.safetensors | wc -l)" = "$(find all -name run.json | wc -l)"
expect "keep rows" 0 '' sweep few.toml --out bare --keep rows
same "the same numbers" <(sorted_numbers all) <(sorted_numbers bare)
check "networks that others need stay" test -s bare/original-0/checkpoints/last.safetensors
check "unlearned ones do not" test -z "$(find bare/fixed -name '*.safetensors')"
sed 's/^method = .*/method = "ngplus"/; s/^gate = .*/gate = "focus"/' few.toml > one.toml
expect "a grid in which nothing varies but the seed has its line" 0 '^fixed +1 ' sweep one.toml --out bare --keep rows
expect "once more, without the weights" 0 '' sweep few.toml --out bare --keep rows
check "makes nothing" test -z "$(find bare/fixed -name '*.safetensors')"
expect "keep what?" 2 'rows.weights.all' sweep few.toml --keep nothing

expect "check" 0 'all 1 numbers are as expected' recipe check small.toml --out s
sed 's/^value = 4/value = 5/' small.toml > other.toml
expect "a number that is not as expected" 8 'steps is 4, expected 5' recipe check other.toml --out s
expect "smoke" 0 '' sweep small.toml --smoke 1
check "has a folder of its own" test -s runs/small-smoke/rows.jsonl

# shadows: the attack takes its turn, runs of one original share its shadows
sed '/^attacks/a shadows = 8' small.toml | sed '/^\[tune/,/^\[grid.fixed/{/^\[grid.fixed/!d}; s/^seeds.*/seeds = [0]/' > attacked.toml
sed 's/^shadows = 8/shadows = 9/' attacked.toml > other.toml
expect "an odd number of shadows" 2 'other.toml: line 3: .*expected an even number' sweep other.toml
expect "shadows" 0 'U-LiRA AUC %' sweep attacked.toml --out attacked --jobs 2
check "an interval a run" test "$(grep -c '"ulira_auc_low"' attacked/rows.jsonl)" = 2
check "shadows shared by both" test "$(ls -d attacked/original-0/shadows-*/0??/ | wc -l)" = 8
expect "a row says how it was attacked" 3 'attacked with 8 shadows' sweep small.toml --out attacked
expect "smoke goes without" 0 '' sweep attacked.toml --smoke 1 --out smoked
check_not "no shadows" grep -q ulira smoked/rows.jsonl

# several forget sets and kinds of networks, on data corrupted first
cat > many.toml <<'TOML'
# Both networks
[corrupt]
mislabel = 0.25
[original]
data = "small.epk"
model = ["mlp", "smallcnn"]
batch-size = 4
epochs = 1
augment = "none"
[forget.wrong]
forget = "mislabeled"
[forget.some]
forget = "random:4"
[grid.all]
forget-set = ["wrong", "some"]
seeds = [0, 1]
method = ["ft", "ngplus"]
epochs = 1
TOML
expect "forget sets and networks" 0 '^smallcnn ngplus +2 ' sweep many.toml --out many
check "a table a forget set" grep -q '^all-some$' out
check "retrained networks of both kinds" grep -qE '^retrained smallcnn +1 ' out
check "the data were corrupted" test -s many/data.epk
check "rows tell how" grep -q 'data corrupted with --mislabel 0.25' many/rows.jsonl
check "and forget those" test "$(wc -l < many/retrained-wrong-mlp-0/forget.ids)" = 6
expect "a smoke test runs every cell once" 0 '' sweep many.toml --smoke 1 --batch-size 2 --out cells
check "with its batches" grep -q '^batch-size = 2' cells/all-some/mlp_ft-0/config.toml
check "cells, and no seeds" test "$(grep -c '"labels":{"m' cells/rows.jsonl)" = 8
sed 's/mislabel = 0.25/mislabel = 0.5/' many.toml > other.toml
expect "other corruption in the same folder" 3 'data corrupted with --mislabel 0.5' sweep other.toml --out many
sed 's/mislabel = 0.25/poison = 0.1\ntarget = "z"/' many.toml > other.toml
expect "a class that is not there" 2 'corrupting small.epk: .*z' sweep other.toml --out z
check_not "leaves no data" test -e z/data.epk

refuse() {  # name, words, sed command
  sed "$3" small.toml > bad.toml
  expect "$1" 2 "$2" sweep bad.toml --out bad
}
refuse "an unknown table" "line 1.*'orginal' is not known.*original|has no .original" 's/\[original\]/[orginal]/'
refuse "an unknown option names line and nearest" "bad.toml: line 8.*batch-sise.*--batch-size|batch-sise" 's/^batch-size = 4/batch-sise = 4/'
refuse "a value of the wrong type" "line [0-9]+.*lr.*hot" 's/1e-4, 1e-2/"hot"/'
refuse "a gate that is not known" "gate" 's/"focus"/"fokus"/'
refuse "an option that the sweep sets" "seed is set by the sweep" '0,/^epochs = 2/s//seed = 2/'
refuse "a forget set that is not there" "line [0-9]+: forget-set: 'sme' is not known.*some" 's/forget-set = "some"/forget-set = "sme"/'
refuse "a tune that is not there" "there is no .tune.else" 's/tuned-by = "some"/tuned-by = "else"/'
refuse "nothing to choose" "choose: beta has no array" 's/choose = \["lr"\]/choose = ["beta"]/'
refuse "a number that does not exist" "auc_gapp" 's/"auc_gap", "test_acc"/"auc_gapp"/'
refuse "a way without a place to compare at" "line [0-9]+: along names an axis" 's/^baseline.*/&\nalong = "lr"/'
refuse "a forget accuracy in percent" "line [0-9]+: at: 85 is no share between" 's/^baseline.*/&\nalong = "lr"\nat = [0.8, 85]/'
refuse "a way along what no table has" "along lrr: no table has an array of it" 's/^baseline.*/&\nalong = "lrr"\nat = [0.8]/'
refuse "no forget accuracy" "at: 0 is no share" 's/^baseline.*/&\nalong = "lr"\nat = [0]/'
refuse "a way along names" "along gate: its values must be numbers" 's/^baseline.*/&\nalong = "gate"\nat = [0.8]/'
refuse "a folder's name" "letters, digits" 's/\[grid.fixed\]/[grid."..\/up"]/'
check_not "nothing was made" test -e bad
expect "no such recipe" 2 "smallcnn-cifar.*smallcnn-cifar10" sweep smallcnn-cifar
expect "a recipe that is no sweep" 2 'no sweep' sweep linear-regression
expect "no data" 3 'original-.*nosuch.epk' sweep small.toml --data nosuch.epk --out bad
expect "a file where the folder belongs" 4 '' sweep small.toml --out small.toml
finish
