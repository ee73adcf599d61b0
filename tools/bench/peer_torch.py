#!/usr/bin/env python3
"""The steps of our benchmarks in plain PyTorch on the CPU, one JSON line on stdout.

--row train: forward, softmax cross-entropy, backward, SGD (momentum 0.9, weight decay 5e-4) in fp32 on one synthetic
batch. The models are those of tools/torch_models.py; their parameter counts are checked, and that the loss falls.
--row infer: the forward pass in evaluation mode, without gradients; --format onnxruntime: the same network exported to
ONNX and run by ONNX Runtime, where it is there (exit code 77 where it is not).
--row focus_adam_loop, focus_adam_foreach, opt_adam: updates of unlearning (tools/bench/peer_unlearn.py).

  python3 tools/bench/peer_torch.py --model resnet18 --batch 64 --threads 2 --format channels_last
  python3 tools/bench/peer_torch.py --row focus_adam_loop --model resnet18 --threads 2
"""
import argparse
import io
import json
import math
import os
import re
import statistics
import sys
import time

import torch
from torch.nn import functional as F

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from peer_unlearn import ROWS
from torch_models import MODELS

CLASSES = 10


def fail(text):
    sys.exit("peer_torch: " + text)


def status_mb(key):
    """Of /proc/self/status: VmHWM, the peak of this process (getrusage keeps that of the process that started it)."""
    with open("/proc/self/status") as file:
        return round(int(re.search(key + r":\s+(\d+) kB", file.read()).group(1)) / 1024)


START_MB = status_mb("VmHWM")  # Python and torch


def emit(args, times, **more):
    print(json.dumps({
        "name": args.row, "model": args.model, "threads": args.threads,
        "median_ms": round(statistics.median(times), 3), "min_ms": round(min(times), 3), **more,
        "peak_rss_mb": status_mb("VmHWM"), "start_rss_mb": START_MB, "torch": torch.__version__}))


def timed(step, args):
    times = []
    for _ in range(args.warmup + args.steps):
        begin = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - begin))
    return times[args.warmup:]


def emit_batch(args, times):
    emit(args, times, batch=args.batch, format=args.format,
         images_per_s=round(1e3 * args.batch / statistics.median(times), 1))


def infer_step(model, x):
    model.train()
    for _ in range(3):  # running statistics that fit, as in `expunge bench infer`
        model(x)
    model.eval()
    if not bool(model(x).isfinite().all()):
        fail("the logits are not finite")
    return lambda: model(x)


def onnx_step(model, x, args):
    try:
        import onnxruntime
        file = io.BytesIO()
        torch.onnx.export(model, x, file)
    except ImportError as error:  # onnxruntime, or what newer PyTorch exports with
        print("peer_torch: no ONNX Runtime row: %s" % error, file=sys.stderr)
        sys.exit(77)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: x.numpy()}
    difference = abs(session.run(None, feed)[0] - model(x).numpy()).max()
    if not difference < 1e-3:
        fail("ONNX Runtime's logits differ from PyTorch's by %g" % difference)
    return lambda: session.run(None, feed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="resnet18")
    parser.add_argument("--row", choices=("train", "infer", *ROWS), default="train")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--format", choices=("nchw", "channels_last", "onnxruntime"), default="channels_last")
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed")
    parser.add_argument("--warmup", type=int, default=3, help="steps before them")
    args = parser.parse_args()
    if min(args.batch, args.threads, args.steps) < 1 or args.warmup < 0:
        fail("--batch, --threads and --steps must be at least 1, --warmup at least 0")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    make, expected = MODELS[args.model]
    layout = torch.channels_last if args.format == "channels_last" else torch.contiguous_format
    model = make()
    count = sum(p.numel() for p in model.parameters())
    if count != expected:
        fail("%s has %d parameters, expected %d" % (args.model, count, expected))
    if args.row in ROWS:
        with torch.no_grad():
            emit(args, timed(ROWS[args.row](model.parameters()), args))
        return
    model = model.to(memory_format=layout)
    x = torch.randn(args.batch, 3, 32, 32).contiguous(memory_format=layout)
    if args.row == "infer":
        with torch.no_grad():
            step = infer_step(model, x)
            emit_batch(args, timed(onnx_step(model, x, args) if args.format == "onnxruntime" else step, args))
        return
    if args.format == "onnxruntime":
        fail("--format onnxruntime is for --row infer")
    model.train()
    y = torch.randint(0, CLASSES, (args.batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    losses = []

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    times = timed(step, args)
    if not all(map(math.isfinite, losses)):
        fail("the loss became %r" % losses)
    if len(losses) > 1 and min(losses[1:]) >= losses[0]:
        fail("the loss did not fall: %r" % losses)
    emit_batch(args, times)


if __name__ == "__main__":
    main()
