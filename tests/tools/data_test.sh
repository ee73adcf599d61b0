#!/usr/bin/env bash
# data prepare, verify, info; training on what was packed.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

expect "info of the built-in set" 0 '4000 training and 1000 test images of 32x32x3' data info builtin
expect "info as JSON" 0 '"train":4000' data info builtin --json
check "it is JSON" is_json out

# 32x32 PNG files of one colour.
red=iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAKUlEQVR42u3NMQ0AAAgDsInAv1WmgoOkSf9msqciEAgEAoFAIBAIvgQFprZMPdAOfAMAAAAASUVORK5CYII=
green=iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAKklEQVR42mOwidpJU8QwasGoBaMWjFowasGoBaMWjFowasGoBaMWDBULALQVPEzQzkwaAAAAAElFTkSuQmCC
blue=iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAKklEQVR42mNI2VJMU8QwasGoBaMWjFowasGoBaMWjFowasGoBaMWDBULAMF0LFsRWbIhAAAAAElFTkSuQmCC
image() { mkdir -p "$(dirname "$2")" && base64 -d <<< "$1" > "$2"; }
image $red src/train/cat/1.png
image $green src/train/cat/2.png
image $blue src/train/dog/1.png
image $blue src/train/dog/2.png
image $red src/test/cat/1.png
image $blue src/test/dog/1.png

expect "prepare" 0 'src: 4 training and 2 test images' data prepare src --out a.epk
check "it counts seconds" grep -qE 'written in [0-9.]+ s' out
expect "prepare again, on one thread" 0 '' data prepare src --out b.epk --threads 1
same "the same bytes" a.epk b.epk
expect "a name of its own" 0 '^pets:' data prepare src --out c.epk --name pets
expect "verify" 0 'intact' data verify a.epk
expect "info" 0 'cat +2 +1' data info a.epk
expect "train on it" 0 'test accuracy' train --data a.epk --epochs 1 --batch-size 2 --out run
cd run
expect "the run knows its data from elsewhere" 0 'test +2 samples' eval .
cd ..
cp c.epk keep.epk
image $green src/train/dog/3.png
expunge data prepare src --out a.epk
expect "other data under the name of a run's" 3 'no longer' eval run

: > src/train/dog/4.png
expect "a bad image is named" 3 'dog/4.png' data prepare src --out d.epk
check_not "nothing is written" test -e d.epk
expect "bad images can be left out" 0 'left out .*dog/4.png' data prepare src --out d.epk --skip-bad
expect "no such source" 3 'nowhere' data prepare nowhere --out x.epk
mkdir void
expect "a source that is none" 3 'void' data prepare void --out x.epk
expect "an output that cannot be" 4 'void' data prepare src --skip-bad --out void

size=$(stat -c %s c.epk)
flip() { printf '\125' | dd of=c.epk bs=1 seek="$1" conv=notrunc status=none; }
for at in 0 20 $((size / 2)) $((size - 1)); do
  cp keep.epk c.epk
  flip $at
  expunge data verify c.epk
  check "a changed byte at $at of $size: exit code $status" test $status = 8 -o $status = 3
done
cp keep.epk c.epk
truncate -s -1 c.epk
expect "a file cut short" 3 'c.epk' data info c.epk
expect "a file cut short does not verify" '[38]' 'c.epk' data verify c.epk
finish
