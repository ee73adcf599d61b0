#!/usr/bin/env bash
# --device cuda as a user types it, in a build with CUDA: train, resume, unlearn, eval and compare like the CPU.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
if ! "$bin" doctor | grep -qE '^cuda +(on|emulated)'; then
  echo "SKIPPED: --device cuda: $("$bin" doctor | sed -n 's/^cuda *//p')"
  exit 77
fi
make_small_set
if "$bin" doctor | grep -q '^cuda *emulated'; then
  export EXPUNGE_CUDA_CLOSED=64  # host code that touches the device's memory is found out
  export XDG_CACHE_HOME=$dir/cache  # plans of convolutions are not a GPU's
fi

args=(--data small.epk --model smallcnn --batch-size 4 --epochs 2 --lr 0.01 --augment flip)
for device in cpu cuda; do
  expect "train on $device" 0 '' train "${args[@]}" --device $device --out train-$device
  expect "unlearn on $device" 0 '' unlearn --from train-$device --forget random:6 --method srl --gate focus \
    --batch-size 4 --epochs 2 --device $device --out unlearn-$device
  expect "a gate of tensors on $device" 0 '' unlearn --from train-$device --forget random:6 --method ngplus --gate opt \
    --batch-size 4 --epochs 1 --device $device --out opt-$device
  expect "a mask of the whole model on $device" 0 '' unlearn --from train-$device --forget random:6 --method salun \
    --batch-size 4 --epochs 1 --device $device --out salun-$device
  expect "eval on $device" 0 'forget' eval unlearn-$device --attacks loss --device $device
done
check "the loss goes the same way" python3 - train-cpu/metrics.csv train-cuda/metrics.csv << 'PY'
import csv, sys
a, b = ([float(r["train_loss"]) for r in csv.DictReader(open(f)) if r.get("train_loss")] for f in sys.argv[1:])
assert len(a) == len(b) == 2 and all(abs(x - y) < 0.02 * abs(x) for x, y in zip(a, b)), (a, b)
PY
expect "a run of the GPU is measured on the CPU" 0 'forget' eval unlearn-cuda --attacks loss --device cpu
expect "runs of both in one table" 0 'original' compare train-cpu train-cuda unlearn-cuda --attacks loss --device cuda

resumes() {  # name, step to stop after, arguments of train or unlearn: the bits of a run that was not stopped
  local name=$1 k=$2
  shift 2
  expect "$name, whole" 0 '' "$@" --device cuda --out "whole-$name"
  EXPUNGE_TEST_STOP_AFTER=$k expect "$name, stopped after step $k" 143 'resume' "$@" --device cuda --out "part-$name"
  expect "$name, resumed" 0 '' "$1" --resume "part-$name"
  same "$name, stopped after step $k and resumed" "$(weights "whole-$name")" "$(weights "part-$name")"
  same "$name, its state" "whole-$name/checkpoints/last.state.safetensors" \
    "part-$name/checkpoints/last.state.safetensors"
}
resumes train 4 train "${args[@]}"
resumes train-bf16 7 train "${args[@]}" --optimizer adam --precision bf16
resumes train-fp16 3 train "${args[@]}" --optimizer adam --precision fp16
unlearning=(unlearn --from train-cuda --forget random:6 --batch-size 4 --epochs 2)  # four steps
resumes unlearn 1 "${unlearning[@]}" --method srl --gate focus
resumes unlearn-opt 3 "${unlearning[@]}" --method ngplus --gate focus-opt --estimator welford:2
once=(unlearn --from train-cuda --forget random:6 --batch-size 4)
resumes unlearn-ssd 3 "${once[@]}" --method ssd
resumes unlearn-influence 9 "${once[@]}" --method influence:1,samples=4,iterations=2
EXPUNGE_TEST_STOP_AFTER=4 expect "stopped on the GPU" 143 '' train "${args[@]}" --device cuda --out moved
expect "goes on on the CPU where one says so" 0 'computed with .*, it goes on with' train --resume moved --device cpu
if [[ -n ${EXPUNGE_CUDA_CLOSED:-} ]]; then  # emulated: a GPU as small as is wanted
  EXPUNGE_CUDA_MEMORY=48 expect "a GPU that is too small" 5 'out of memory on the GPU: [0-9]+ MiB asked for' \
    train "${args[@]}" --device cuda --out small-gpu
  for megabytes in {66..96..2}; do
    rm -rf small-gpu
    EXPUNGE_CUDA_MEMORY=$megabytes expunge train "${args[@]}" --device cuda --out small-gpu
    ((status == 5)) || break
  done
  same "a GPU of just enough memory, $megabytes MB: the same weights" "$(weights whole-train)" "$(weights small-gpu)"
fi
check "run.json says where" grep -q '"device": "cpu"' moved/run.json
same "run.json still says how large" <(grep -E '"(parameters|train_samples)"' whole-train/run.json) \
  <(grep -E '"(parameters|train_samples)"' moved/run.json)

expect "products in tf32" 0 '' train "${args[@]}" --device cuda --precision tf32 --out train-tf32
for precision in bf16 fp16; do
  expect "training in $precision" 0 '' train "${args[@]}" --device cuda --precision $precision --out train-$precision
  expect "unlearning in $precision" 0 '' unlearn --from train-$precision --forget random:6 --method srl --gate focus \
    --batch-size 4 --epochs 1 --device cuda --precision $precision --out unlearn-$precision
  expect "measured in $precision" 0 'forget' eval unlearn-$precision --attacks loss --device cuda --precision $precision
  check "the loss of $precision goes the same way" python3 - train-cpu/metrics.csv train-$precision/metrics.csv << 'PY'
import csv, sys
a, b = ([float(r["train_loss"]) for r in csv.DictReader(open(f)) if r.get("train_loss")] for f in sys.argv[1:])
assert len(a) == len(b) == 2 and all(abs(x - y) < 0.05 * abs(x) for x, y in zip(a, b)) and a != b, (a, b)
PY
done
EXPUNGE_TEST_STOP_AFTER=3 expect "stopped in fp16" 143 '' train "${args[@]}" --device cuda --precision fp16 --out skips
check "a loss scale of 2^40" python3 - skips/checkpoints/last.state.safetensors << 'PY'
import json, struct, sys
file = open(sys.argv[1], "r+b")
size = struct.unpack("<Q", file.read(8))[0]
header = json.loads(file.read(size))
del header["__metadata__"]["sha256"]
file.seek(8)
file.write(json.dumps(header, separators=(",", ":")).encode().ljust(size))
file.seek(8 + size + header["loss_scale"]["data_offsets"][0])
file.write(struct.pack("<f", 2.0**40))
PY
expect "gradients overflow and the run goes on" 0 'steps in' train --resume skips
check "skipped steps are written down" python3 - skips << 'PY'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1] + "/metrics.jsonl")]
skipped = [line["step"] for line in lines if line["type"] == "skipped"]
assert skipped and skipped[0] == 4, skipped
assert json.load(open(sys.argv[1] + "/run.json"))["measures"]["skipped_steps"] == len(skipped), skipped
PY
looks_inside=(--from train-bf16 --forget random:6 --method srl --gate focus --estimator microbatch:2 --batch-size 4 \
  --epochs 1 --device cuda)
expect "an estimator that looks into batches, in bf16" 0 '' unlearn "${looks_inside[@]}" --precision bf16 --out slices
expect "and in fp16" 0 "" unlearn "${looks_inside[@]}" --precision fp16 --out slices-fp16
cat > tiny.toml << 'TOML'
attacks = "loss"
[original]
data = "small.epk"
model = "smallcnn"
batch-size = 4
epochs = 1
[forget.some]
forget = "random:6"
references = 1
[grid.one]
forget-set = "some"
seeds = [0]
method = ["ngplus"]
gate = ["focus"]
batch-size = 4
epochs = 1
TOML
expect "a sweep in bf16" 0 '^ngplus focus +1 ' sweep tiny.toml --device cuda --precision bf16 --jobs 2 --out tiny
cp tiny/one/ngplus_focus-0/scores.json in-bf16.json
comparison=(compare --reference tiny/retrained-some-0 tiny/one/ngplus_focus-0 --attacks loss --device cuda)
expect "what is computed in bf16" 0 'retrained' "${comparison[@]}" --precision bf16
same "is measured in bf16" in-bf16.json tiny/one/ngplus_focus-0/scores.json
expect "and in another precision" 0 'retrained' "${comparison[@]}"
check_not "anew" cmp -s in-bf16.json tiny/one/ngplus_focus-0/scores.json
expect "kernels checked and timed, in 16 bits" 0 '^\| conv2d forward \| 3-32 32x32 k3 s1 \|  \| cuDNN \|' \
  bench kernels --device cuda --precision bf16 --model smallcnn --batch-size 1 --steps 1 --warmup-steps 2 \
  --only 'forward 3-32,linear,pool2d,softmax,cast,augment,batch_norm backward 64x128'
check "beside a copy" grep -q '% of copy' out
expect "and the first layer's own" 0 '^\| image conv2d backward weights \| 3-32 32x32 k3 s1 \| smallcnn:1 \| own \|' \
  bench kernels --device cuda --precision bf16 --model smallcnn --batch-size 1 --steps 1 --warmup-steps 2 --only image
for algo in direct:cuDNN auto:faster winograd:winograd; do
  expect "fp32 by ${algo%:*}" 0 "^\| conv2d backward data \| 32-64 16x16 k3 s1 \| smallcnn:1 \| ${algo#*:} \|" \
    bench kernels --device cuda --model smallcnn --batch-size 1 --steps 1 --warmup-steps 2 --only '32-64 16x16' \
    --conv-algo "${algo%:*}"
done
for precision in tf32 bf16; do
  expect "gradients of weights by taps in $precision" 0 '^\| own conv2d backward weights \| 64-64 16x16 k3 s1 \|  \| own \|' \
    bench kernels --device cuda --precision $precision --model smallcnn --batch-size 1 --steps 1 --warmup-steps 2 \
    --only 'weights 64-64'
done
check "beside what networks have" grep -qE '^\| conv2d backward weights \| 64-64 .*\| faster \|' out
expect "in 16 bits there is no Winograd" 0 '^\| conv2d backward weights \| 32-64 ' bench kernels --device cuda \
  --precision bf16 --conv-algo winograd --model smallcnn --batch-size 1 --steps 1 --warmup-steps 2 --only 'weights 32-64'
expect "and its transforms, checked" 0 '^\| winograd weight gradient \| 32-32 ' bench kernels --device cuda \
  --model smallcnn --batch-size 1 --steps 1 --warmup-steps 2 --only winograd
for row in 'input | 32 32x32' 'output | 64 16x16' 'output gradient | 128 8x8' 'weights | 64-64'; do
  check "winograd $row" grep -qF "| winograd $row |" out
done
expect "kernels call by call" 0 '^\| batch_norm forward \| 64x128 relu ' bench kernels --device cuda --model smallcnn \
  --batch-size 1 --steps 1 --warmup-steps 2 --only 'batch_norm forward 64x128' --graph off
expect "optimizers and the update, recorded" 0 '^\| grad_alignment focus \| linear ' bench kernels --device cuda \
  --model linear --batch-size 1 --steps 1 --warmup-steps 2 --only sgd_step,adam_step,unscale,slice_moments,grad_alignment
expect "and what waits for what it finds" 0 '^\| update opt \| linear ' bench kernels --device cuda \
  --model linear --batch-size 1 --steps 1 --warmup-steps 2 --only 'update '
for graph in on off; do
  expect "a forward pass, graph $graph" 0 '^\| smallcnn \| 2 \|' bench infer --device cuda --model smallcnn \
    --batch-size 2 --steps 1 --warmup-steps 2 --graph "$graph"
done
expect "a whole step, recorded and checked" 0 'with prob, estimator paper: 2 passes.*the same bits' bench step --device cuda \
  --model smallcnn --batch-size 2 --steps 1 --warmup-steps 2 --gate prob
expect "with slices of the batches" 0 'estimator microbatch:2: 2 passes.*the same bits' bench step --device cuda \
  --model smallcnn --batch-size 2 --steps 1 --warmup-steps 2 --estimator microbatch:2
check "with what it holds of the device's memory" grep -qE '\| GPU MB \|$' out
check "which is something" grep -qE '^\| smallcnn .*\| [1-9][0-9]* \|$' out
expect "the update timed on the device" 0 '% of copy' bench unlearn --device cuda --model linear \
  --gate none,prob,focus,focus-opt,random --steps 1 --warmup-steps 2
EXPUNGE_PDL=on expect "with launches that overlap" 0 '^\| smallcnn ' bench train --device cuda --model smallcnn \
  --batch-size 2 --steps 1 --warmup-steps 2
EXPUNGE_PDL=maybe expect "which are on or off" 2 'EXPUNGE_PDL=maybe: expected on or off' bench train --device cuda \
  --model smallcnn --batch-size 2 --steps 1 --warmup-steps 2
expect "a device that is not there" 7 'cuda:77' train "${args[@]}" --device cuda:77
expect "no device" 2 'expected auto, cpu or cuda' train "${args[@]}" --device gpu
expect "a number too large" 2 'expected auto, cpu or cuda' train "${args[@]}" --device cuda:99999999999
expect "no number" 2 'expected auto, cpu or cuda' train "${args[@]}" --device cuda:x
finish
