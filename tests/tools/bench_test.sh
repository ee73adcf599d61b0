#!/usr/bin/env bash
# bench kernels, train, infer, step and unlearn in three formats. Figures are not judged here:
# machines differ.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

short=(--steps 2 --warmup-steps 2)
kernels=(bench kernels --model smallcnn --batch-size 4 "${short[@]}")
network=(--model smallcnn --batch-size 8 "${short[@]}")

# Rows of the CSV file `out` have as many fields as its head; no field here has a comma.
is_csv() { awk -F, 'NR == 1 { n = NF } NF != n { exit 1 } END { exit NR < 2 }' out; }
positive() {  # keys: a number above 0 in every row of the JSON document `out`
  command -v python3 > /dev/null || return 0
  python3 -c '
import json, sys
rows = json.load(open("out"))["rows"]
assert rows
for row in rows:
    assert all(row[key] > 0 for key in sys.argv[1:]), row' "$@"
}

expect "bench kernels: every kernel on a small network's shapes" 0 \
  '\| conv2d forward \| 3-32 32x32 k3 s1 \|' "${kernels[@]}"
for kernel in 'conv2d backward data' 'conv2d backward weights' 'linear forward' \
  'batch_norm forward' 'batch_norm backward' 'max_pool2d forward' 'max_pool2d backward' \
  'average_pool2d backward' softmax_xent sgd_step adam_step 'grad_alignment none' \
  'grad_alignment prob' 'grad_alignment focus'; do
  check "a row of $kernel" grep -q "^| $kernel |" out
done
check "the sum over the network's layers" grep -q '^smallcnn, ms of all layers: .*together' out
expect "some rows as CSV" 0 '^4,auto,1,.*,conv2d forward,' "${kernels[@]}" --threads 1 --format csv \
  --only 'conv2d forward,adam'
check "it is CSV" is_csv
check "the rows asked for" test "$(grep -c 'conv2d forward' out)" = 5
check_not "and no others" grep -q 'backward' out
expect "some rows as JSON" 0 '"schema":"expunge.bench/2","name":"kernels"' "${kernels[@]}" \
  --format json --only conv2d
check "it is JSON" is_json out
check "with figures" positive median_ms gflops peak_percent gb_per_s triad_percent memory_mb
expect "layers of two networks" 0 'mlp:1 smallcnn:1' "${kernels[@]}" --model mlp,smallcnn \
  --only softmax
for algo in direct winograd; do
  expect "convolutions by $algo" 0 "conv2d forward,64-64 16x16 k3 s1,smallcnn:1,$algo," "${kernels[@]}" \
    --conv-algo $algo --only 64-64 --format csv
done
expect "a row that is not there" 2 "--only 'convd'.*kernels are conv2d forward" "${kernels[@]}" \
  --only conv2d,convd
check_not "nothing was timed" test -s out
expect "a network that is not there" 2 "did you mean 'smallcnn'" bench kernels --model smalcnn
EXPUNGE_ISA=baseline expect "on another instruction set" 0 ',baseline,' "${kernels[@]}" \
  --only softmax --format csv

status=0
timeout --preserve-status -s TERM 3 "$bin" bench kernels --steps 20 > out 2> err || status=$?
check "a signal stops it between two rows" test $status = 143
check "what was timed is printed" grep -qE '^stopped after [0-9]+ of [0-9]+ rows' out
check_not "without sums over all layers" grep -q 'ms of all layers' out

for what in train infer; do
  expect "bench $what" 0 '\| smallcnn \| 8 \|' bench $what "${network[@]}"
  expect "bench $what as CSV" 0 'images_per_s' bench $what "${network[@]}" --format csv
  check "it is CSV" is_csv
  expect "bench $what as JSON" 0 "\"name\":\"$what\"" bench $what "${network[@]}" --format json
  check "it is JSON" is_json out
  check "with figures" positive median_ms images_per_s gflops peak_percent peak_rss_mb
  expect "--json is --format json" 0 '^{"schema"' bench $what "${network[@]}" --json
done
expect "two formats" 2 '--json and --format csv' bench train --json --format csv
expect "a format that is none" 2 'md\|csv\|json' bench infer --format xml

expect "bench unlearn, every gate checked" 0 '\| global-opt \| [0-9.]+ \|' bench unlearn --model smallcnn \
  --steps 1 --warmup-steps 2 \
  --gate none,and,prob,focus,bernoulli,saliency,opt,focus-opt,random,global-opt,fdr,top
expect "bench unlearn as CSV" 0 '^smallcnn,ema:0.9,.*,focus,' bench unlearn --model smallcnn \
  --gate focus --estimator ema:0.9 --steps 1 --format csv
check "it is CSV" is_csv
expect "bench unlearn as JSON" 0 '"gate":"focus"' bench unlearn --model smallcnn --gate focus \
  --steps 1 --format json
check "it is JSON" is_json out
expect "bench unlearn of a gate that is not known" 2 "'focus'" bench unlearn --gate focsu
expect "and of one that needs a forget set" 2 'made of a forget set' bench unlearn --gate saliency-global

expect "bench step: two passes and the update" 0 'ngplus with focus, estimator paper: 2 passes a step.*the same bits' bench step \
  "${network[@]}"
expect "with an estimator that looks into batches" 0 'estimator microbatch:4: 2 passes a step.*the same bits' \
  bench step "${network[@]}" --estimator microbatch:4
expect "bench step of an estimator that is none" 2 "estimator 'welfare'" bench step --estimator welfare
expect "and a pass for the mask" 0 'srl with saliency, .*: 3 passes' bench step "${network[@]}" --method srl --gate saliency
expect "bench step as JSON" 0 '"name":"step"' bench step "${network[@]}" --format json
check "it is JSON" is_json out
check "with figures" positive median_ms images_per_s gflops
expect "bench step of a gate that needs a forget set" 2 'made of a forget set' bench step --gate saliency-global
finish
