#!/usr/bin/env bash
# What the machine or the files get wrong: the documented exit code, words, and nothing lost.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

EXPUNGE_TEST_STOP_AFTER=14 expunge train "${tiny[@]}" --out run
"$bin" train "${tiny[@]}" --out whole > /dev/null 2>&1
damage() {  # name, expected words, command over the copy's state and model
  rm -rf copy
  cp -r run copy
  (cd copy/checkpoints && eval "$3")
  expect "R8: resume: $1" 3 "$2" train --resume copy
}
flip() { printf '\377' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

rm -rf copy && cp -r run copy
flip copy/checkpoints/last.state.safetensors 20000
expect "R8: resume: a flipped byte in the last state, the one before is taken" 0 \
  'last.state.safetensors.*SHA-256' train --resume copy
same "and the bits are the same" "$(weights whole)" "$(weights copy)"
both='last.state.safetensors previous.state.safetensors'
damage "flipped bytes in both states" 'SHA-256' "for f in $both; do flip \$f 20000; done"
damage "states cut short" 'safetensors' "for f in $both; do truncate -s 1000 \$f; done"
damage "states extended" 'follow' "for f in $both; do echo x >> \$f; done"
damage "empty states" 'is empty' "for f in $both; do : > \$f; done"
damage "no states" 'state' "rm $both"
damage "a web page instead" 'HTML' "for f in $both; do echo '<!DOCTYPE html><html>' > \$f; done"
damage "the state of another model" 'expected' \
  "for f in $both; do cp ../../whole/checkpoints/last.safetensors \$f; done"
echo '{' > copy/run.json
expect "a broken run.json" 3 'run.json' train --resume copy
expect "eval of a broken run.json" 3 'run.json' eval copy
rm -rf copy && cp -r whole copy
sed -i 's/^model = .*/model = "mlp"/' copy/config.toml
expect "eval of another model's weights" 3 'does not fit.*missing' eval copy
sed -i 's/^model = .*/modell = "mlp"/' copy/config.toml
expect "a broken config.toml in a run" '[23]' 'config.toml.*line' eval copy

expect "R15: the loss explodes" 6 'loss|finite' \
  train "${tiny[@]}" --lr 1e20 --clip-norm 0 --checkpoint-every 1 --log-every 1 --out nan
check "R15: within two steps" test "$(grep -c '"type":"step"' nan/metrics.jsonl)" -le 2
check "R15: run.json says failed" grep -q '"status": "failed"' nan/run.json
# Weights of 1e18 are finite, but may overflow inside the network: eval says so then.
expect "R15: the last good weights are there" '[06]' 'test|expected finite logits' eval nan
expect "R15: and finite" 0 'tensor' inspect nan
check_not "R15: every one" grep -q 'not finite' out

# ulimit -f counts blocks of 1024 bytes; the last checkpoint is larger.
status=0
(ulimit -f 200 && exec "$bin" train "${tiny[@]}" --out full) > out 2> err || status=$?
check "a file that may not grow: exit code 4, got $status" test $status = 4
check "it names the file" grep -q 'safetensors' err
check "no temporary file is left" test -z "$(find full -name '*.tmp')"
status=0
(ulimit -v 60000 && exec "$bin" train "${tiny[@]}" --threads 1 --out small) > out 2> err || status=$?
check "no memory: exit code 5, got $status" test $status = 5
check "no memory: it says so" grep -qi 'memory' err
status=0
"$bin" list models > /dev/full 2> err || status=$?
check "stdout on a full disk: exit code 4, got $status" test $status = 4
"$bin" list models 2> err | true || true  # pipefail: the writer may see the pipe close, or not
check "a closed pipe is quiet" test ! -s err
status=0
"$bin" list models >&- 2> err || status=$?
check "stdout closed: exit code 4, got $status" test $status = 4

if [[ $(id -u) != 0 ]]; then
  mkdir locked && chmod a-w locked
  expect "R7: a folder that cannot be written" 4 'locked' train "${tiny[@]}" --out locked/run
elif unshare -m true 2> /dev/null; then
  status=0
  unshare -m bash -c "mkdir -p ro && mount -t tmpfs -o ro none ro && exec '$bin' train ${tiny[*]} --out ro/run" \
    > out 2> err || status=$?
  check "R7: a read-only disk: exit code 4, got $status" test $status = 4
  status=0
  unshare -m bash -c "mkdir -p tmp && mount -t tmpfs -o size=600k none tmp &&
    '$bin' train ${tiny[*]} --out tmp/run; status=\$?; ls -A tmp > left; exit \$status" > out 2> err || status=$?
  check "R5: a disk that is too small: exit code 4, got $status" test $status = 4
  check "R5: it says what is left and what is needed" grep -q 'has 0.6 MB left, this run needs' err
  check "R5: nothing is begun" test ! -s left
  # R6: the disk fills while the run is on; later there is room again
  status=0
  unshare -m bash -c "mkdir -p tmp && mount -t tmpfs -o size=16m none tmp && cd tmp
    EXPUNGE_TEST_STOP_AFTER=14 '$bin' train ${tiny[*]} --out run > /dev/null 2>&1
    cp -r run ../before; dd if=/dev/zero of=filler bs=1k status=none 2> /dev/null
    '$bin' train --resume run; echo \$? > ../code; cp -r run ../filled
    rm filler; '$bin' train --resume run; status=\$?; cp -r run ../after; exit \$status" > out 2> err || status=$?
  check "R6: a disk that fills: exit code 4, got $(cat code)" test "$(cat code)" = 4
  same "R6: the state is the last good one" before/checkpoints/last.state.safetensors \
    filled/checkpoints/last.state.safetensors
  same "R6: the weights too" "$(weights before)" "$(weights filled)"
  check "R6: no temporary file is left" test -z "$(find filled -name '*.tmp')"
  check "R6: with room again it goes on, got $status" test $status = 0
  same "R6: and the bits are the same" "$(weights whole)" "$(weights after)"
fi
odd="run of Zoë's, 100% — ñ 東京"
for locale in C de_DE.UTF-8 tr_TR.UTF-8 fa_IR.UTF-8; do
  rm -rf "$odd"
  printf '#!/bin/sh\nLC_ALL=%s exec "%s" "$@"\n' $locale "$bin" > here
  chmod +x here
  bin=./here expect "R32: a folder with blanks and UTF-8, locale $locale" 0 'accuracy [0-9]+\.[0-9]+%' \
    train "${quick[@]}" --out "$odd"
  bin=./here expunge eval "$odd" --json
  check "R32: JSON in locale $locale" is_json out
  cp out "eval-$locale"
  same "R32: the same numbers in locale $locale" eval-C "eval-$locale"
done
expect "R32: such a run converted" 0 '' convert "$odd" "$odd.safetensors"
finish
