#!/usr/bin/env bash
# Inputs that are broken or mean harm, by the rows of the table of faults: R7 to R14, R19.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/lib.sh"
corpus=$(dirname "$here")/hostile

refused() {  # name, exit code, file, arguments: one sentence that names the file, within a second
  local begin
  begin=$(date +%s%N)
  status=0
  (ulimit -v 4000000 && exec "$bin" "${@:4}") > out 2> err < /dev/null || status=$?
  local ms=$((($(date +%s%N) - begin) / 1000000))
  if [[ $status != "$2" ]]; then
    not_ok "$1 (exit code $status, expected $2)"
  elif [[ $(wc -l < err) != 1 || -s out ]]; then
    not_ok "$1 (expected one sentence)"
  elif ! grep -qF "$3" err; then
    not_ok "$1 (expected the file's name)"
  elif ((ms >= 1000)); then
    not_ok "$1 (took $ms ms)"
  else
    refusals=$((refusals + 1))
  fi
}
refusals=0
each() {  # row, folder, exit code, arguments before the file
  local before=$refusals count=0
  for file in "$corpus/$2"/*; do
    refused "$1: $(basename "$file")" "$3" "$file" "${@:4}" "$file"
    count=$((count + 1))
  done
  check "$1: all $count files of $2 are refused" test $((refusals - before)) = $count
}

"$bin" train "${quick[@]}" --out run > /dev/null 2>&1
weights=run/checkpoints/last.safetensors

# R7 read-only, missing or non-writable run folder: before any work
touch file
expect "R7: a run folder behind a file" 4 'file' train "${quick[@]}" --out file/run
expect "R7: a file where the folder should be" 4 'exists already' train "${quick[@]}" --out file
expect "R7: a name that no disk takes" 4 'name|long' train "${quick[@]}" --out "$(printf 'x%.0s' {1..300})"
expect "R7: weights into a folder that is not there" 4 'nowhere' \
  convert run nowhere/x.safetensors

# R8 damaged checkpoints are in faults_test.sh (resume); here as weights
for bytes in 0 1 7 8 100 5000; do
  head -c $bytes $weights > cut.safetensors
  refused "R8: weights cut to $bytes bytes" 3 cut.safetensors inspect cut.safetensors
done
for at in 9 200 20000 400000; do
  cp $weights flip.safetensors
  printf '\377' | dd of=flip.safetensors bs=1 seek=$at conv=notrunc status=none
  refused "R8: byte $at of the weights flipped" 3 flip.safetensors inspect flip.safetensors
done

# R9 hostile safetensors
each R9 safetensors 3 inspect
for file in "$corpus"/safetensors/{product_wraps_to_2,like_pth,deep_lists}.safetensors; do
  refused "R9: $(basename "$file") to convert" 3 "$file" convert "$file" new --data builtin
  refused "R9: $(basename "$file") to predict" 3 "$file" predict "$file" x.png
done
check_not "R9: nothing was written" test -e new

# R10 something else given as a model
mkfifo pipe
mkdir folder
printf '\x80\x02}q\x00.' > old.pth
printf 'PK\x03\x04archive/data.pkl' > new.pth
expect "R10: a pipe" 3 'is a pipe, expected a file' inspect pipe
expect "R10: a folder" 3 'run' inspect folder
expect "R10: a folder to predict" 3 'without checkpoints' predict folder x.png
expect "R10: an empty file" 3 'is empty' inspect file
expect "R10: a .pth file" 3 'pickle can run code.*torch_safetensors.py' inspect new.pth
expect "R10: an old .pth file" 3 'Python pickle.*torch_safetensors.py' convert old.pth new --data builtin
expect "R10: a web page" 3 'an HTML page, expected a safetensors file' \
  inspect "$corpus/safetensors/like_html.safetensors"
expect "R10: a training state is no model" 3 'does not say what its classes are' \
  predict run/checkpoints/last.state.safetensors x.png
expect "R10: nothing" 3 'no such file' inspect nowhere

# R11 another architecture, shape, class count or type: the first differences, nothing copied
"$bin" train "${quick[@]/mlp/smallcnn}" --max-steps 1 --out cnn > /dev/null 2>&1
expect "R11: another network" 3 'does not fit the model resnet18 .*conv1.weight is \(32, 3, 3, 3\), expected' \
  convert cnn/checkpoints/last.safetensors new --data builtin --model resnet18
expect "R11: no network of ours" 3 'no network of ours' \
  convert "$corpus/../fuzz/corpus/safetensors/two_floats" new --data builtin
check_not "R11: nothing was written" test -e new

# R12 CIFAR binaries (SVHN: tests/data/mat_test.cpp)
mkdir cifar
head -c 30730000 /dev/zero > cifar/data_batch_1.bin
for n in 2 3 4 5; do ln -s data_batch_1.bin cifar/data_batch_$n.bin; done
head -c 30729999 /dev/zero > cifar/test_batch.bin
expect "R12: a CIFAR file that is short" 3 'test_batch.bin: 30729999 bytes.*30730000' \
  data prepare cifar --out c.epk
head -c 30730000 /dev/zero > cifar/test_batch.bin
printf '\012' | dd of=cifar/test_batch.bin bs=1 seek=3073 conv=notrunc status=none
expect "R12: a label out of range" 3 'test_batch.bin: record 1 \(byte 3073\) has label 10' \
  data prepare cifar --out c.epk
each R12 packed 3 data info
check_not "R12: nothing was written" test -e c.epk

# R13 images
each R13 image 3 inspect
mkdir -p tree/a tree/b
cp "$corpus"/image/*.png tree/a
cp "$corpus"/image/*.jpg tree/b
cp "$corpus/../fuzz/corpus/image/rgb.png" tree/a/good.png
cp "$corpus/../fuzz/corpus/image/rgb.png" tree/b/good2.png
printf x >> tree/b/good2.png
cp "$corpus/../fuzz/corpus/image/noise.png" tree/b/good.png
cp "$corpus/../fuzz/corpus/image/noise.png" tree/a/good2.png
ln -s /etc/passwd tree/a/link.png
expect "R13: bad images are listed at once" 3 "[0-9]+ bad files .*" \
  data prepare tree --out t.epk --test-fraction 0.5
expect "R13: a link that leads out" 0 'link.png: is a link that leads out' \
  data prepare tree --out t.epk --test-fraction 0.5 --skip-bad
cp t.epk first.epk
rm tree/*/*_* tree/a/link.png
expect "R13: without the bad images" 0 '' data prepare tree --out t.epk --test-fraction 0.5 --skip-bad
same "R13: ids and set do not depend on what was left out" t.epk first.epk
check "R13: the good ones are in" grep -q '2 training and 2 test' out
expect "R13: an image to predict" 3 'bomb' predict run tree/a/good.png "$corpus/image/bomb_1000_to_1.png"

# R14 configuration
each R14 toml 2 train --print-config --config
mkdir other
cp -r run broken
echo 'epochs = = 3' > broken/config.toml
expect "R14: a broken configuration in a run" 2 'config.toml: line 1' eval broken
echo '{"schema":' > broken/run.json
expect "R14: a broken run.json" 3 'run.json' eval broken

# R19 a reader that goes away
status=0
("$bin" train "${quick[@]}" --progress lines --out piped 2>&1; echo $? > code) | head -n 1 > /dev/null || true
check "R19: training goes on when its messages are not read" grep -q '"status": "finished"' piped/run.json
("$bin" train "${quick[@]}" --progress lines --out closed 2>&-; echo $? > code) > /dev/null || true
check "R19: stderr closed: exit code 0" grep -qx 0 code
check "R19: and the run is complete" grep -q '"status": "finished"' closed/run.json
same "R19: with the same weights" closed/checkpoints/last.safetensors $weights
("$bin" eval run 2> err; echo $? > code) | true || true
check "R19: a result that is not read is quiet" test ! -s err
finish
