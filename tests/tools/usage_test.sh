#!/usr/bin/env bash
# Help, and everything that can be typed wrongly: exit code 2 and words that help.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

expect "help names the verbs" 0 'train' --help
expect "help of a verb names options and defaults" 0 '--batch-size.*128' train --help
expect "help of a group names its verbs" 0 'prepare' data --help
expect "version" 0 '^expunge [0-9]+\.[0-9]+' --version
expect "version as JSON" 0 '"version":"[0-9]' version --json
expunge train --help
check "help goes to stdout" test -s out
check_not "help leaves stderr empty" test -s err
for verb in train unlearn list compare "data prepare" "data corrupt" "bench kernels"; do
  # shellcheck disable=SC2086  # a verb of two words
  expunge $verb --help
  check_not "help of $verb fits into 100 columns" grep -qE '^.{101}' out
done

expect "no verb" 2 'ubcommand|verb'
expect "unknown verb" 2 "'trian'.*train" trian
expect "unknown verb of data" 2 'prepare|verify|info|known' data prepaer
expect "unknown flag names the nearest" 2 "batch-sise.*--batch-size" train --batch-sise 3
expect "unknown flag with =" 2 "batch-sise.*--batch-size" train --batch-sise=3
expect "missing value" 2 'epochs' train --epochs
expect "not a number" 2 "lr.*'fast'.*number" train --lr fast
expect "below the range" 2 "epochs.*'0'.*1\.\." train --epochs 0
expect "above the range" 2 'val-fraction' train --val-fraction 1.5
expect "trailing characters" 2 'epochs' train --epochs 3x
expect "an integer that overflows" 2 'seed' train --seed 99999999999999999999
expect "nan is not a number for us" 2 'lr' train --lr nan
expect "inf is not a number for us" 2 'lr' train --lr inf
expect "not one of the choices" 2 'sgd\|adam' train --optimizer sdg
expect "unknown model" 2 "resnet81.*resnet18" train --model resnet81
expect "linear needs targets" 2 'linear.*targets' train --model linear
expect "schedule" 2 "schedule 'cosinus'" train --schedule cosinus
expect "epochs of a schedule" 2 'positive and rise' train --schedule step:9,3
expect "gamma of a schedule" 2 'gamma' train --schedule step:9,gamma=nan
expect "augmentation" 2 'augment|rotate' train --augment rotate
expect "checkpoint rule" 2 'checkpoint-every' train --checkpoint-every often
expect "device" 2 'device.*auto' train --device tpu
expect "a device's number too large" 2 'device.*auto' train --device cuda:99999999999
if "$bin" doctor | grep -qE '^cuda +off'; then
  expect "no CUDA here" 7 'CUDA' train --device cuda
  expect "no CUDA here, with a number" 7 'CUDA' train --device cuda:1
fi
for precision in tf32 bf16 fp16; do
  expect "$precision, of GPUs" 7 "$precision.*--device cuda" train --precision $precision --device cpu
done
expect "an argument too many" 2 'extra|argument|known' train runs/a
expect "eval without a run" 2 'run folder|argument' eval
expect "list without a word" 2 'list|argument' list
for what in models methods presets gates estimators objectives metrics attacks datasets optimizers schedules inits; do
  expect "list $what" 0 '^[a-zA-Z0-9_]+ ' list $what
  expect "list $what as JSON" 0 "\"$what\":" list $what --json
  check "it is one document" is_json out
done
for what in metrics methods gates estimators attacks; do
  expunge list $what
  cut -d' ' -f1 out > names
  check "there are $what" test -s names
  while read -r name; do check "the glossary has $name" grep -qF "\`$name\`" "$docs/glossary.md"; done < names
done
expect "list of what is not there" 2 "modles.*models" list modles
expect "data prepare without --out" 2 '--out' data prepare .

cat > good.toml << 'T'
# a comment
epochs = 3
lr = 0.05
model = "mlp"
nesterov = true
T
expect "a TOML file" 0 '^lr = 0.05' train --config good.toml --print-config
expect "a TOML file, text" 0 '^model = "mlp"' train --config good.toml --print-config
expect "a flag beats the file" 0 '^epochs = 7' train --config good.toml --epochs 7 --print-config
EXPUNGE_EPOCHS=5 expect "the environment beats the file" 0 '^epochs = 5' \
  train --config good.toml --print-config
EXPUNGE_EPOCHS=5 expect "a flag beats the environment" 0 '^epochs = 7' train --epochs 7 --print-config
EXPUNGE_EPOCHS=five expect "a wrong environment variable" 2 'EXPUNGE_EPOCHS.*five' train --print-config
expect "a flag can be taken back" 0 '^nesterov = false' \
  train --config good.toml --no-nesterov --print-config
expunge train --config good.toml --print-config
cp out printed.toml
expunge train --config printed.toml --print-config
same "what is printed can be read" out printed.toml

toml() {  # name, expected words, text
  printf '%b' "$3" > bad.toml
  expect "TOML: $1" 2 "$2" train --config bad.toml --print-config
}
toml "unknown key names line and nearest" "line 2.*epoch'.*epochs" 'lr = 1\nepoch = 3\n'
toml "wrong type" 'line 1.*lr' 'lr = "fast"\n'
toml "out of range" 'line 1.*epochs' 'epochs = -1\n'
toml "a table where a value belongs" 'line 1.*lr' 'lr = { a = 1 }\n'
toml "syntax" 'line 2' 'lr = 0.1\nepochs = = 3\n'
toml "a key twice" 'line 2' 'lr = 0.1\nlr = 0.2\n'
toml "not UTF-8" 'bad.toml' 'model = "\xff\xfe"\n'
toml "nested too deep" 'bad.toml' "lr = $(printf '[%.0s' {1..5000})\n"
expect "no such file" 3 'nowhere.toml' train --config nowhere.toml --print-config
expect "a folder as TOML file" 3 'folder' train --config . --print-config
head -c 2000000 /dev/zero | tr '\0' '#' > large.toml
expect "a TOML file beyond the cap" 3 'large.toml' train --config large.toml --print-config

check_not "nothing was written" test -e runs
finish
