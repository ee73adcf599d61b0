#!/usr/bin/env bash
# Real images: all of CIFAR-10 as JPEG files, from the folder EXPUNGE_CIFAR10 or unpacked from
# ../shared/data/cifar10-jpeg.tar.xz beside the checkout. Skipped where there is neither.
archive=$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../../../shared/data/cifar10-jpeg.tar.xz
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

images=${EXPUNGE_CIFAR10:-$dir/images}
if [[ ! -d $images/train && ! -f $archive ]]; then
  echo "SKIPPED: no CIFAR-10 in EXPUNGE_CIFAR10 (a folder with train/ and test/) and no $archive"
  exit 77
fi
if [[ ! -d $images/train ]]; then
  mkdir images
  tar xf "$archive" -C images
fi

begin=$SECONDS
expect "prepare 60,000 JPEG files" 0 '50000 training and 10000 test images of 32x32x3, 10 classes' \
  data prepare "$images" --name cifar10 --out c.epk
check "in less than 60 s: $((SECONDS - begin)) s" test $((SECONDS - begin)) -lt 60
expunge data info c.epk
check "ten equal classes" test "$(grep -cE '^ +[0-9] [a-z]+ +5000 +1000$' out)" = 10
expect "every hash is right" 0 'intact' data verify c.epk

expunge train --data c.epk --limit 2000 --model smallcnn --batch-size 32 --epochs 3 --lr 0.05 \
  --val-fraction 0.25 --augment flip --out run
check "training ends" test $status = 0
losses=$(sed -n 's/.*"train_loss":\([0-9.]*\).*/\1/p' run/metrics.jsonl | tr '\n' ' ')
check "the loss falls each epoch: $losses" awk -v l="$losses" \
  'BEGIN { split(l, v, " "); exit !(v[1] > v[2] && v[2] > v[3]) }'
accuracy=$(sed -n 's/.*"test_accuracy": \([0-9.]*\).*/\1/p' run/run.json)
check "the test images are recognised better than by chance: $accuracy" \
  awk -v a="$accuracy" 'BEGIN { exit !(a > 0.2) }'
expect "retraining without a class" 0 '150 forgotten' \
  train --like run --forget class:cat --max-steps 20 --dry-run
finish
