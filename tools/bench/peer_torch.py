#!/usr/bin/env python3
"""The training step of our benchmark in plain PyTorch on the CPU, one JSON line on stdout.

Forward, softmax cross-entropy, backward, SGD (momentum 0.9, weight decay 5e-4) in fp32 on one synthetic batch.
The models are those of tools/torch_models.py; their parameter counts are checked, and that the loss falls.

  python3 tools/bench/peer_torch.py --model resnet18 --batch 64 --threads 2 --format channels_last
"""
import argparse
import json
import math
import os
import resource
import statistics
import sys
import time

import torch
from torch.nn import functional as F

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from torch_models import MODELS

CLASSES = 10


def fail(text):
    sys.exit("peer_torch: " + text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="resnet18")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--format", choices=("nchw", "channels_last"), default="channels_last")
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed")
    parser.add_argument("--warmup", type=int, default=3, help="steps before them")
    args = parser.parse_args()
    if min(args.batch, args.threads, args.steps) < 1 or args.warmup < 0:
        fail("--batch, --threads and --steps must be at least 1, --warmup at least 0")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    make, expected = MODELS[args.model]
    layout = torch.channels_last if args.format == "channels_last" else torch.contiguous_format
    model = make().to(memory_format=layout).train()
    count = sum(p.numel() for p in model.parameters())
    if count != expected:
        fail("%s has %d parameters, expected %d" % (args.model, count, expected))
    x = torch.randn(args.batch, 3, 32, 32).contiguous(memory_format=layout)
    y = torch.randint(0, CLASSES, (args.batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    losses, times = [], []
    for _ in range(args.warmup + args.steps):
        begin = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        times.append(1e3 * (time.perf_counter() - begin))

    if not all(map(math.isfinite, losses)):
        fail("the loss became %r" % losses)
    if len(losses) > 1 and min(losses[1:]) >= losses[0]:
        fail("the loss did not fall: %r" % losses)
    times = times[args.warmup:]
    median = statistics.median(times)
    print(json.dumps({
        "name": "train", "model": args.model, "batch": args.batch, "threads": args.threads, "format": args.format,
        "median_ms": round(median, 3), "min_ms": round(min(times), 3),
        "images_per_s": round(1e3 * args.batch / median, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "torch": torch.__version__}))


if __name__ == "__main__":
    main()
