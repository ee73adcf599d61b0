#!/usr/bin/env bash
# data corrupt: samples mislabeled or poisoned on purpose, and forgotten again.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
make_small_set

expect "mislabel" 0 '6 samples mislabeled' data corrupt small.epk --mislabel 0.25 --out m.epk
expect "it verifies" 0 'intact' data verify m.epk
expect "info tells" 0 '^small-mislabeled: 24 training' data info m.epk
expect "info tells in JSON" 0 '"mislabeled":6' data info m.epk --json
check "it is JSON" is_json out
expect "again" 0 '' data corrupt small.epk --mislabel 0.25 --out m2.epk
same "the same bytes" m.epk m2.epk
expect "another seed" 0 '' data corrupt small.epk --mislabel 0.25 --seed 1 --out m3.epk
check_not "other samples" cmp m.epk m3.epk
expect "a test part is as it was" 0 'a +[0-9]+ +1$' data info m.epk
expect "the built-in set" 0 'builtin-mislabeled: 4000 training' data corrupt builtin --mislabel 0.1 --out b.epk
expect "poison" 0 '5 samples poisoned: a black square of 4 pixels, 2 from the .* labelled b' data corrupt \
  small.epk --poison 0.2 --target b --out p.epk
expect "it verifies" 0 'intact' data verify p.epk
expect "as JSON" 0 '"trigger":."target":1,"side":3,"margin":0' data corrupt small.epk --poison 0.2 --target 1 \
  --patch 3 --margin 0 --name mine --json --out p3.epk
check "it is JSON" is_json out
expect "both, one after the other" 0 '6 samples mislabeled' data corrupt m.epk --poison 0.2 --target b --out mp.epk

# Forgetting them.
expect "train" 0 'test accuracy' train "${small[@]}" --data mp.epk --val-fraction 0 --augment none --out a
expect "eval tells how well the attack works" 0 'attack success +[0-9.]+%: test samples with the trigger taken for b' eval a
expect "in JSON" 0 '"attack_success":' eval a --json
check "it is JSON" is_json out
expect "retrain without the mislabeled" 0 '' train --like a --forget mislabeled --out r
check "these are 6" test "$(wc -l < r/forget.ids)" = 6
expect "forget the mislabeled" 0 'forget_acc' unlearn --from a --forget mislabeled --batch-size 4 --epochs 1 --out um
same "the same that the retrained run left out" r/forget.ids um/forget.ids
expect "forget the poisoned" 0 'attack_success"?: ' unlearn --from a --forget poisoned --batch-size 4 \
  --epochs 1 --json --out up
check "these are 5" test "$(wc -l < up/forget.ids)" = 5
check "metrics.jsonl follows the attack" grep -q '"attack_success":' up/metrics.jsonl
expect "before the first step, too" 0 'before:.* attack success' unlearn --from a --forget poisoned \
  --batch-size 4 --epochs 1 --progress lines --out up2
expect "retrained without the poisoned" 0 '' train --like a --forget poisoned --out rp
expect "compare has a column for it" 0 'attack success %' compare a rp up --attacks none
expect "and a number" 0 '"attack_success":[0-9]' compare a rp up --attacks none --json

# A trigger that works: a network learns it, one trained without does not.
"$bin" data corrupt builtin --poison 0.1 --target 3 --out trojan.epk > /dev/null
trojan=(--data trojan.epk --model mlp --epochs 10 --limit 1500 --val-fraction 0 --augment none --lr 0.02)
expect "a network with a back door" 0 '' train "${trojan[@]}" --out trojan
expect "one without" 0 '' train --like trojan --forget poisoned --out clean
success() { "$bin" eval "$1" --attacks none | sed -n 's/.*attack success *\([0-9]*\).*/\1/p'; }
trojan=$(success trojan) clean=$(success clean)
check "the trigger works in one ($trojan %) and not in the other ($clean %)" \
  test "$trojan" -gt 60 -a "$clean" -lt 30

ls > before
refuse() { expect "$1" "$2" "$3" data corrupt "${@:4}" --out x.epk; }
refuse "nothing to do" 2 'one of --mislabel X and --poison X' small.epk
refuse "both at once" 2 'one of --mislabel X and --poison X' small.epk --mislabel 0.1 --poison 0.1
refuse "all" 2 '--mislabel: expected a share' small.epk --mislabel 1
refuse "none" 2 '--poison: expected a share' small.epk --poison 0
refuse "too few" 3 '0 of 24' small.epk --mislabel 0.01
refuse "more than there are" 3 '18 of 24 .* there are 12' small.epk --poison 0.75 --target a
refuse "a target that is none" 2 "expected a class of small" small.epk --poison 0.1 --target cat
refuse "a trigger that does not fit" 2 'lies outside 16x16' small.epk --poison 0.1 --patch 15
refuse "a target without poison" 2 '--target: is for --poison' small.epk --mislabel 0.1 --target a
refuse "mislabeled twice" 3 'mislabeled already' m.epk --mislabel 0.1
refuse "no file" 3 'nowhere' nowhere.epk --mislabel 0.1
expect "no output" 2 '--out FILE is missing' data corrupt small.epk --mislabel 0.1
"$bin" train "${small[@]}" --augment none --out plain > /dev/null 2>&1
expect "a run without poisoned samples" 0 'test +2 samples' eval plain
check_not "has no attack" grep -q 'attack success' out
expect "nothing poisoned to forget" 3 'no record of poisoned samples.*data corrupt' unlearn --from plain --forget poisoned
expect "nothing mislabeled to leave out" 3 'no record of mislabeled' train --like plain --forget mislabeled --out x
ls > after
check "what was refused wrote nothing" diff <(grep -vE 'after|plain' before) <(grep -vE 'after|plain' after)
finish
