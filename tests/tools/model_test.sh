#!/usr/bin/env bash
# predict, convert, inspect.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$bin" train "${tiny[@]}" --out run > /dev/null 2>&1
cp "$images/rgb.png" small.png
cp "$images/odd.jpg" "photo of Zoë.jpg"

expect "predict names a class for each image" 0 '^small.png  [a-z]+ [0-9.]+%, [a-z]+ [0-9.]+%, ' \
  predict run small.png "photo of Zoë.jpg"
check "an image a line" test "$(wc -l < out)" = 2
check "it says that they were resized" grep -q '2 of 2 images were resized to 32 x 32' err
cp out first
expect "one thread, one image a batch" 0 '' predict run small.png "photo of Zoë.jpg" --threads 1 --batch-size 1
same "the same probabilities" out first
expect "all classes" 0 '(%,.*){9}' predict run small.png --top 10
expect "predict as JSON" 0 '"schema":"expunge.predict/1"' predict run small.png --json
check "it is JSON" is_json out
if command -v python3 > /dev/null; then
  check "probabilities add up" python3 -c 'import json, sys
image = json.load(open("out"))["images"][0]
p = image["probabilities"]
assert len(p) == 10 and abs(sum(p) - 1) < 1e-6 and p[image["class"]] == max(p)'
fi
expect "predict with the best weights" 0 '' predict run small.png --checkpoint best
expect "predict from a model file" 0 '' predict run/checkpoints/last.safetensors small.png
expect "no image" 2 'then images' predict run
expect "an image that is none" 3 'run.json: is a text file' predict run run/run.json
expect "all bad images are named" 3 'nowhere.png' predict run run/run.json nowhere.png
check "both of them" grep -q 'run.json' err

expect "convert to a file" 0 'smallcnn with 141034 parameters' convert run exported.safetensors
same "it is the run's weights" exported.safetensors "$(weights run)"
expect "convert to a run" 0 'a run of smallcnn' convert exported.safetensors imported --data builtin --limit 200
"$bin" eval run | tail -n +2 > of-run
"$bin" eval imported | tail -n +2 > of-imported
same "it has the accuracies of the first" of-run of-imported
expect "it cannot be resumed" 2 'made by expunge convert' train --resume imported
expect "it can be retrained" 0 'test accuracy' train --like imported --forget random:0.1 --max-steps 2 --out again
expect "it can be inspected" 0 'run of smallcnn, imported' inspect imported
expect "a run needs its data" 2 '--data FILE' convert exported.safetensors other
expect "a run that is there already" 4 'exists already' convert exported.safetensors run --data builtin
expect "data of other classes" 3 'does not fit' \
  convert "$images/../safetensors/two_floats" other --data builtin --model mlp
expect "two arguments" 2 'what to read and what to write' convert run
check_not "nothing was written" test -e other

expect "inspect names tensors" 0 'conv1.weight +F32 +\(32, 3, 3, 3\)' inspect run
expect "inspect says what network it is" 0 'smallcnn, 10 classes, images 32 x 32 x 3' inspect exported.safetensors
expect "inspect as JSON" 0 '"schema":"expunge.inspect/1"' inspect exported.safetensors --json
check "it is JSON" is_json out
expect "inspect a training state" 0 'optimizer.momentum' inspect run/checkpoints/last.state.safetensors
expect "inspect an image" 0 'photo of Zoë.jpg: a JPEG image, 6 x 17|a JPEG image' inspect "photo of Zoë.jpg"
expect "inspect a data set" 0 'train +test' inspect "$images/../packed/two_samples"
expect "inspect a text" 3 'a text file' inspect run/config.toml

# As PyTorch writes it: other metadata, counters, no card.
if command -v python3 > /dev/null; then
  python3 - exported.safetensors foreign.safetensors << 'P'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
length, = struct.unpack("<Q", data[:8])
header, body = json.loads(data[8:8 + length]), data[8 + length:]
header["__metadata__"] = {"format": "pt"}
header["bn1.num_batches_tracked"] = {"dtype": "I64", "shape": [], "data_offsets": [len(body), len(body) + 8]}
text = json.dumps(header).encode()
open(sys.argv[2], "wb").write(struct.pack("<Q", len(text)) + text + body + bytes(8))
P
  expect "a file of PyTorch is recognised" 0 'smallcnn, 10 classes \(by names and shapes\)' inspect foreign.safetensors
  expect "it has no classes to predict" 3 'expunge convert' predict foreign.safetensors small.png
  expect "it becomes a run" 0 'a run of smallcnn' convert foreign.safetensors pytorch --data builtin --limit 200
  same "with the same weights" "$(weights pytorch)" exported.safetensors
fi
finish
