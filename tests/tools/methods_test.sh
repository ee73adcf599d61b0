#!/usr/bin/env bash
# The field's methods on the command line: presets, resuming at every step, rewinding, the class more, what is refused.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
make_small_set
"$bin" train "${small[@]}" --augment flip --out a > /dev/null 2>&1
# 21 training and 2 validation samples in two classes, 6 of them forgotten.
from=(--from a --forget random:6)
steps() { grep -o '"steps": [0-9]*' "$1/run.json" | grep -o '[0-9]*$'; }
number() { grep -o "\"$2\": [0-9.e+-]*" "$1/run.json" | sed -E 's/.*: //; s/\.0$//'; }

for preset in l1-sparse scrub scrub-mia scrub-small badteacher boundary-shrink boundary-expand; do
  method=${preset/l1-sparse/ft-l1}
  expect "preset $preset" 0 'forget_acc' unlearn "${from[@]}" --method "${method/scrub-*/scrub}" --preset "$preset" \
    --max-steps 3 --out "p-$preset"
  expect "list presets has $preset" 0 "^$preset " list presets
done
for name in rum comparator badt salun ufv; do expect "list compats has $name" 0 "^$name " list compats; done
expect "a preset's settings" 0 '^forget-batch-size = 32' unlearn "${from[@]}" --method scrub --print-config
expect "its schedule" 0 '^schedule = "step:3,5,9"' unlearn "${from[@]}" --method scrub --print-config
expect "a batch size that is given is that of both sides" 0 '^forget-batch-size = 4' unlearn "${from[@]}" \
  --method scrub --batch-size 4 --print-config

# The split of the authors' code comes from the seed.
expect "compat ufv takes another split" 0 '^split-seed = 3' unlearn "${from[@]}" --compat ufv --seed 3 --print-config
check "and augments in the first epoch" grep -q '^unlearn-augment = "first-epoch"' out
expect "unless told" 0 '^unlearn-augment = "none"' unlearn "${from[@]}" --compat ufv --unlearn-augment none --print-config
expect "a run with it" 0 'forget_acc' unlearn --from a --forget random:18 --compat ufv --seed 3 --max-steps 2 --out ufv
check "samples that were never trained on" grep -qE 'note: [12] of the 18 samples to forget are validation samples of a' err
expect "retrained on that split" 0 '' train --like a --split-seed 3 --forget random:18 --out ufv-retrained
same "without the same samples" ufv/forget.ids ufv-retrained/forget.ids
expect "is its reference" 0 'average gap|forget' eval ufv --reference ufv-retrained --attacks none
expect "goes with a method that changes the weights once" 0 'forget_acc' unlearn "${from[@]}" --method ssd \
  --compat ufv --out ufv-ssd

# Stopped after any step and resumed, each ends with the bits of the whole run; rewound runs too.
resumes() {  # name, options
  local options=("${from[@]}" --batch-size 4 --checkpoint-every 2 "${@:2}")
  expect "$1: the whole run" 0 'forget_acc' unlearn "${options[@]}" --out "$1"
  for ((k = 1; k < $(steps "$1"); k += 2)); do
    EXPUNGE_TEST_STOP_AFTER=$k expunge unlearn "${options[@]}" --out "$1-$k"
    [[ $status == 143 ]] || not_ok "$1: stopped after step $k: exit code $status, expected 143"
    expunge unlearn --resume "$1-$k" --threads $((1 + k % 2))
    same "$1: stopped after step $k and resumed" "$(weights "$1")" "$(weights "$1-$k")"
  done
}
resumes ft-l1 --method ft-l1 --epochs 2 --gate prob:0.3 --estimator ema:0.9
resumes scrub --method scrub --epochs 3 --forget-epochs 2 --rewind --lr 0.05
EXPUNGE_TEST_STOP_AFTER=6 expunge unlearn "${from[@]}" --batch-size 4 --method scrub --epochs 3 --forget-epochs 2 --rewind \
  --lr 0.05 --out at-epoch
expect "scrub: stopped at the end of an epoch" 0 'forget_acc' unlearn --resume at-epoch
check "that epoch can be gone back to" test -e at-epoch/checkpoints/epoch-1.safetensors
same "and the run is the whole one" "$(weights scrub)" "$(weights at-epoch)"
resumes badteacher --method badteacher --epochs 2
resumes boundary-shrink --method boundary-shrink --epochs 3 --gate and --lr 0.01
resumes boundary-expand --method boundary-expand --epochs 3 --gate saliency-global:0.5 --gate-on update --lr 0.01

check "scrub: two epochs of 2 + 4 steps, one of 4" test "$(steps scrub)" = 16
check "badteacher: 6 forgotten and 0.3 of 15 retained samples, two epochs" test "$(steps badteacher)" = 6
expect "scrub as RUM: F in every epoch" 0 '"steps": 18' unlearn "${from[@]}" --batch-size 4 --method scrub \
  --forget-epochs 2 --compat rum --json --out rum

# Where errors differ, the last epoch is not the one: ten classes, 60 of 270 samples, 30 for validation.
"$bin" train --data builtin --limit 300 --model mlp --batch-size 16 --epochs 8 --lr 0.02 --out b > /dev/null 2>&1
rewound=(--from b --forget random:60 --batch-size 16 --method scrub --preset scrub-mia --lr 0.005)
expect "rewound" 0 'forget_acc' unlearn "${rewound[@]}" --rewind --out rewound
expect "not rewound" 0 'forget_acc' unlearn "${rewound[@]}" --out straight
# The chosen epoch is the first with the forget error nearest to the reference, and its weights are the run's.
chosen=$(awk -v reference="$(number rewound rewind_reference)" '
  match($0, /"forget_acc":[0-9.e+-]*/) && /"type":"epoch"/ {
    gap = 1 - substr($0, RSTART + 13, RLENGTH - 13) - reference; if (gap < 0) gap = -gap
    if (++epoch == 1 || gap < least - 1e-6) { least = gap; best = epoch } }
  END { print best }' rewound/metrics.jsonl)
check "rewound to epoch $chosen" test "$(number rewound rewind_epoch)" = "$chosen"
check "not to the last one" test "$chosen" -lt 5
same "with its weights" "$(weights rewound)" "rewound/checkpoints/epoch-$chosen.safetensors"
same "all epochs were kept" "$(weights straight)" rewound/checkpoints/epoch-5.safetensors

expect "boundary-expand leaves the classes that there were" 0 'forget +6 samples' eval boundary-expand
expect "its file has the shapes of the original's" 0 'classes' inspect "$(weights boundary-expand)"
check "as many bytes" test "$(stat -c %s "$(weights a)")" = "$(stat -c %s "$(weights boundary-expand)")"
expect "with SalUn's first values" 0 '' unlearn "${from[@]}" --batch-size 4 --method boundary-expand --epochs 3 \
  --gate saliency-global:0.5 --gate-on update --lr 0.01 --compat salun --out be-salun
check_not "other weights come out" cmp "$(weights boundary-expand)" "$(weights be-salun)"
expect "badteacher as its code has it" 0 '' unlearn "${from[@]}" --batch-size 4 --method badteacher --epochs 2 \
  --compat badt --out bt-badt
check_not "other weights come out" cmp "$(weights badteacher)" "$(weights bt-badt)"

# Every method with every gate: it runs, or one sentence says why not.
for method in ft-l1 scrub badteacher boundary-shrink boundary-expand; do
  for gate in $("$bin" list gates | awk '{print $1}'); do
    expect "$method with $gate" '[02]' 'forget_acc|this gate needs|keeps no parameter' unlearn "${from[@]}" \
      --batch-size 4 --method "$method" --gate "$gate" --max-steps 2 --out "g-$method-$gate"
  done
done
for method in scrub badteacher; do
  expect "$method joined takes two-sided gates" 0 'forget_acc' unlearn "${from[@]}" --batch-size 4 --method $method \
    --preset paper --epochs 1 --gate focus-opt --audit 2 --out "joined-$method"
done
expect "microbatch with a method of one objective a pass" 0 'forget_acc' unlearn "${from[@]}" --batch-size 4 \
  --method boundary-shrink --gate focus --estimator microbatch:2 --max-steps 2 --out micro

ls > before
expect "a penalty has no images" 2 'a penalty that no image' unlearn "${from[@]}" --method ft-l1 --gate focus \
  --estimator microbatch:2
expect "two gradients where the sides take turns" 2 'both gradients' unlearn "${from[@]}" --method scrub --gate and
expect "a saliency gate in mixed batches" 2 'both gradients' unlearn "${from[@]}" --method badteacher \
  --gate saliency:0.5
expect "an audit in mixed batches" 2 '--audit: preset badteacher mixes' unlearn "${from[@]}" --method badteacher \
  --audit 2
expect "a mixing preset for another method" 2 'has no objective for that' unlearn "${from[@]}" --preset badteacher
expect "a preset of the retained side for ascent" 2 'has no use for them' unlearn "${from[@]}" --method ga \
  --preset l1-sparse
expect "another method's number" 2 '--alpha: ngplus has no such number' unlearn "${from[@]}" --alpha 0.5
expect "another method's compat" 2 'is about scrub' unlearn "${from[@]}" --method ft-l1 --compat rum
expect "an unknown compat" 2 "compat 'rumm' is not known.*rum" unlearn "${from[@]}" --method scrub --compat rumm
expect "epochs without penalty for another method" 2 'has no penalty' unlearn "${from[@]}" --no-l1-epochs 1
expect "forget epochs where both sides join" 2 'goes through both' unlearn "${from[@]}" --forget-epochs 1
"$bin" train "${small[@]}" --val-fraction 0 --out no-val > /dev/null 2>&1
expect "rewinding without validation samples" 2 'no validation samples' unlearn --from no-val --forget random:6 \
  --method scrub --rewind
rm -r no-val
ls > after
check "what was refused wrote nothing" diff <(grep -v after before) <(grep -v after after)

finish
