#!/usr/bin/env bash
# The real SVHN sample, where it is at hand: EXPUNGE_SVHN names the .mat file.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/lib.sh"
sample=${EXPUNGE_SVHN:-$here/../../../shared/data/svhn_sample_32x32.mat}

if "$bin" doctor | grep -q 'SVHN .mat files *off'; then
  echo "SKIPPED: this build has no matio, so it reads no SVHN files"
  exit 77
fi
if [[ ! -e $sample ]]; then
  echo "SKIPPED: no SVHN sample in EXPUNGE_SVHN (a .mat file of format 2) and no $sample"
  exit 77
fi
expect "a file without a test part" 3 '--test-fraction' data prepare "$sample" --out s.epk
expect "prepared" 0 '867 training and 216 test images of 32x32x3, 10 classes' \
  data prepare "$sample" --test-fraction 0.2 --out s.epk
check "label 10 is the digit 0" grep -qE '^ +0 0 +53 +13$' out
check "and 1 the digit 1" grep -qE '^ +1 1 +182 +45$' out
expect "verified" 0 'intact' data verify s.epk
expect "trained on" 0 'test accuracy' train --data s.epk --model smallcnn --batch-size 64 --max-steps 20 --out run
finish
