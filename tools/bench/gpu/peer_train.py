"""A training step in PyTorch, timed: the peer of `expunge bench train --device cuda`.

One JSON line for each form asked for: eager, one CUDA graph of the whole step, torch.compile (compile: max-autotune;
reduce: reduce-overhead).
Same network, batch, SGD with momentum and synthetic images as ours; channels_last, which is PyTorch's fastest here.
A form whose loss does not fall is an error: a step that does nothing would be the fastest of all.
"""

import argparse
import contextlib
import json
import pathlib
import statistics
import sys
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from torch_models import MODELS


PRECISIONS = ["fp32", "tf32", "bf16", "fp16"]
COMPILED = {"compile": "max-autotune", "reduce": "reduce-overhead"}  # forms, and their modes
LOSS_SCALE = 1024.0  # of fp16; constant, which costs less than GradScaler's


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--precision", choices=PRECISIONS, default="bf16")
    parser.add_argument("--exec", default="eager,graph", help="eager, graph, compile, reduce; several by commas")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--device", default="cuda")
    return parser.parse_args()


def autocast(o):
    """What a forward pass is done in, and the loss scale, 1 but in fp16. The CPU tries fp16 out in fp32."""
    types = {"bf16": torch.bfloat16} if o.device == "cpu" else {"bf16": torch.bfloat16, "fp16": torch.float16}
    scale = LOSS_SCALE if o.precision == "fp16" else 1.0
    if o.precision not in types:
        return contextlib.nullcontext(), scale
    return torch.autocast(torch.device(o.device).type, dtype=types[o.precision], cache_enabled=False), scale


def unscale(gradients, scale):
    if scale != 1.0:
        torch._foreach_mul_(gradients, 1 / scale)


def training_step(o, form):
    """The step as a function without arguments that leaves the loss in a tensor, and that tensor."""
    device = torch.device(o.device)
    torch.manual_seed(0)
    model = MODELS[o.model][0]().to(device, memory_format=torch.channels_last).train()
    forward = torch.compile(model, mode=COMPILED[form]) if form in COMPILED else model
    images = torch.rand(o.batch, 3, 32, 32, device=device).to(memory_format=torch.channels_last)
    labels = torch.arange(o.batch, device=device) % 10
    fused = {"fused": True} if device.type == "cuda" else {}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, **fused)
    half, scale = autocast(o)
    loss = torch.zeros((), device=device)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with half:
            found = torch.nn.functional.cross_entropy(forward(images), labels)
        (scale * found).backward()
        unscale([p.grad for p in model.parameters()], scale)
        optimizer.step()
        loss.copy_(found.detach())

    return step, loss


def as_graph(step):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def timed(run, loss, o):
    """Losses of the first steps, and milliseconds of the later ones; the loss is read after each, as ours is.

    device_mb: what PyTorch's allocator held of the GPU's memory in the later ones, after giving back what tuning took.
    """
    losses = []
    for _ in range(o.warmup):
        run()
        losses.append(loss.item())
    if o.device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(o.steps):
        begin = time.perf_counter()
        run()
        loss.item()
        times.append((time.perf_counter() - begin) * 1e3)
    times.sort()
    found = {"median_ms": statistics.median(times), "min_ms": times[0], "max_ms": times[-1]}
    if o.device != "cpu":
        found["device_mb"] = torch.cuda.max_memory_reserved() >> 20
    return losses, found


def main():
    o = options()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = o.precision == "tf32"
    torch.backends.cudnn.benchmark = True
    for form in o.exec.split(","):
        if form not in ("eager", "graph", *COMPILED):
            sys.exit(f"peer_train: --exec {form}: expected eager, graph, compile, reduce")
        if form != "eager" and o.device == "cpu":
            sys.exit(f"peer_train: {form} needs a GPU")
        step, loss = training_step(o, form)
        losses, found = timed(as_graph(step) if form == "graph" else step, loss, o)
        if not losses[-1] < losses[0]:
            sys.exit(f"peer_train: {form}: the loss went from {losses[0]} to {losses[-1]} on one batch, expected a fall")
        print(json.dumps({"model": o.model, "batch": o.batch, "precision": o.precision, "form": form, **found}),
              flush=True)


if __name__ == "__main__":
    main()
