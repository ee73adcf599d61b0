#!/usr/bin/env python3
"""What PyTorch's convolutions, batch norm and training step give on a GPU, measured before our backend is written.

One JSON line a measurement. Parts: bn_backend (which batch norm PyTorch chooses), profile (kernels of one ResNet18
training step), convs (every convolution shape of ResNet18 and VGG16-BN: forward, data and weight gradient, time and
error against float64), bn (every batch-norm shape). Times are of replays of a CUDA graph, so that no launch gap of
Python counts; operands that fit in the L2 stay there.

  python3 tools/bench/gpu/measure_first.py --max-seconds 60 --out first.jsonl
  python3 tools/bench/gpu/measure_first.py --device cpu --quick          (tiny, torch 1.13 will do)
"""
import argparse
import collections
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time

try:
    import torch
    from torch.nn import functional as F
except ImportError:
    sys.exit("SKIPPED measure_first.py: this python has no torch")

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")))
from measure_layers import guarded, part_bn, part_bn_backend, part_convs, set_mode
from torch_models import MODELS

class Run:
    def __init__(self, args):
        self.args, self.dev, self.out = args, torch.device(args.device), open(args.out, "a") if args.out else None
        self.cuda, self.part_start = self.dev.type == "cuda", 0.0

    def emit(self, name, **row):
        line = json.dumps(dict(name=name, **row))
        print(line, flush=True)
        if self.out:
            print(line, file=self.out, flush=True)

    def late(self):
        return time.perf_counter() - self.part_start > self.args.max_seconds

    def time_us(self, fn):
        """Median microseconds of fn(): of graph replays that hold several calls, or of the CPU's clock."""
        if not self.cuda:
            fn()
            t = time.perf_counter()
            fn()
            return 1e6 * (time.perf_counter() - t)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):              # the first call also tries cuDNN's engines
                fn()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        calls, graph = 10, torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(calls):
                fn()
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(12)]
        for _ in range(2):
            graph.replay()
        for mark in marks:
            mark.record()
            graph.replay()
        torch.cuda.synchronize()
        return statistics.median(1e3 * a.elapsed_time(b) / calls for a, b in zip(marks, marks[1:]))


# ---------------------------------------------------------------- kernels of a training step
def make_step(run, mode, batch):
    set_mode(mode)
    net = MODELS["resnet18"][0]().to(run.dev).to(memory_format=torch.channels_last).train()
    opt = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    x = torch.randn(batch, 3, 32, 32, device=run.dev).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, 10, (batch,), device=run.dev)

    def step():
        opt.zero_grad(set_to_none=True)
        low = torch.autocast(run.dev.type, dtype=torch.bfloat16) if mode == "amp-bf16" else contextlib.nullcontext()
        with low:
            loss = F.cross_entropy(net(x), y)
        loss.backward()
        opt.step()

    return step


def profiler(run):
    kinds = torch.profiler.ProfilerActivity
    return torch.profiler.profile(activities=[kinds.CPU] + ([kinds.CUDA] if run.cuda else []))


def step_us(run, step, steps=20):
    """Microseconds of an eager step without the profiler, which slows the launches."""
    if not run.cuda:
        return 0.0
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(steps):
        step()
    end.record()
    torch.cuda.synchronize()
    return 1e3 * start.elapsed_time(end) / steps


def profile_step(run, mode, batch, steps=3):
    step = make_step(run, mode, batch)
    for _ in range(5 if run.cuda else 1):
        step()
    eager_us = step_us(run, step)
    with profiler(run) as prof:
        for _ in range(steps):
            step()
        if run.cuda:
            torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "trace.json")
        prof.export_chrome_trace(path)      # its fields outlive the names of the profiler's attributes
        with open(path) as f:
            trace = json.load(f)
    events = trace if isinstance(trace, list) else trace["traceEvents"]  # a list: PyTorch built without Kineto
    on_device = ("kernel", "gpu_memcpy", "gpu_memset") if run.cuda else ("cpu_op",)
    spans = [e for e in events if e.get("cat", "cpu_op").lower() in on_device and "dur" in e]
    total, per_name = 0.0, collections.defaultdict(lambda: [0, 0.0])
    for e in spans:
        total += e["dur"]
        per_name[e["name"]][0] += 1
        per_name[e["name"]][1] += e["dur"]
    host = ("cuda_runtime", "cuda_driver")
    runtime = collections.Counter(e["name"] for e in events if e.get("cat", "").lower() in host)
    busy_from, busy_to = (min(e["ts"] for e in spans), max(e["ts"] + e["dur"] for e in spans)) if spans else (0, 0)
    run.emit("profile", mode=mode, batch=batch, launches_per_step=round(len(spans) / steps, 1),
             distinct=len(per_name), device_us_per_step=round(total / steps, 1),
             eager_us_per_step=round(eager_us, 1), profiled_span_us_per_step=round((busy_to - busy_from) / steps, 1),
             runtime_calls_per_step={k: round(v / steps, 1) for k, v in runtime.most_common(8)})
    for name, (count, us) in sorted(per_name.items(), key=lambda kv: -kv[1][1])[:run.args.top]:
        run.emit("profile.kernel", mode=mode, batch=batch, per_step=round(count / steps, 1),
                 us_per_step=round(us / steps, 1), share=round(us / max(total, 1e-9), 4), kernel=name[:220])


def part_profile(run):
    if run.cuda:
        with profiler(run):                 # the first one takes a while to start
            torch.zeros(1, device=run.dev).add_(1)
            torch.cuda.synchronize()
    for batch in run.args.batches:
        for mode in ("amp-bf16", "tf32", "fp32"):
            if run.late():
                return run.emit("profile", skipped="time budget", at="%s b%d" % (mode, batch))
            guarded(run, "profile %s b%d" % (mode, batch), profile_step, run, mode, batch)


PARTS = {"bn_backend": part_bn_backend, "profile": part_profile, "convs": part_convs, "bn": part_bn}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ap.add_argument("--parts", default=",".join(PARTS))
    ap.add_argument("--models", default="resnet18,vgg16_bn")
    ap.add_argument("--modes", default="bf16,tf32,fp16", help="of convs and bn; also fp32")
    ap.add_argument("--batches", default="128,512")
    ap.add_argument("--top", type=int, default=25, help="kernels listed of a profile")
    ap.add_argument("--max-seconds", type=float, default=90, help="no measurement of a part starts after this")
    ap.add_argument("--out", default="", help="also append the JSON lines to this file")
    ap.add_argument("--quick", action="store_true", help="tiny settings, to see that everything runs")
    args = ap.parse_args()
    for flag in ("parts", "models", "modes", "batches"):
        setattr(args, flag, getattr(args, flag).split(","))
    args.batches = [2] if args.quick else [int(b) for b in args.batches]
    if args.quick and args.device == "cpu":
        args.modes = ["fp32"]
    torch.backends.cudnn.benchmark = True
    run = Run(args)
    run.emit("start", torch=torch.__version__, cudnn=torch.backends.cudnn.version(),
             gpu=torch.cuda.get_device_name() if run.cuda else "cpu")
    for part in args.parts:
        run.part_start = time.perf_counter()
        guarded(run, part, PARTS[part], run)
        run.emit("part", part=part, seconds=round(time.perf_counter() - run.part_start, 1))


if __name__ == "__main__":
    main()
