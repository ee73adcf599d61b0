#!/usr/bin/env python3
"""The training step of our benchmark in plain PyTorch on the CPU, one JSON line on stdout.

Forward, softmax cross-entropy, backward, SGD (momentum 0.9, weight decay 5e-4) in fp32 on one synthetic batch.
The models are those of nn/resnet.h and nn/vgg.h; their parameter counts are checked, and that the loss falls.

  python3 tools/bench/peer_torch.py --model resnet18 --batch 64 --threads 2 --format channels_last
"""
import argparse
import json
import math
import resource
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

CLASSES = 10


class Block(nn.Module):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))"""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = nn.Identity()
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += self.downsample(x)
        return F.relu(y, inplace=True)


def resnet18():
    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    cin = 64
    for cout, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(cin, cout, stride), Block(cout, cout, 1)]
        cin = cout
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, CLASSES))


def vgg16_features(bias):
    layers, cin = [], 3
    for cout in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512):
        if cout == 0:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(cin, cout, 3, 1, 1, bias=bias), nn.BatchNorm2d(cout), nn.ReLU(inplace=True)]
        cin = cout
    return layers


def vgg16_bn():
    return nn.Sequential(*vgg16_features(bias=False), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                         nn.Linear(2048, 256), nn.ReLU(inplace=True),
                         nn.Linear(256, 256), nn.ReLU(inplace=True), nn.Linear(256, CLASSES))


def vgg16_bn_lth():
    return nn.Sequential(*vgg16_features(bias=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(512, CLASSES))


MODELS = {"resnet18": (resnet18, 11173962), "vgg16_bn": (vgg16_bn, 15311818),
          "vgg16_bn_lth": (vgg16_bn_lth, 14728266)}


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
