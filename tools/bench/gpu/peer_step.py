"""A step of unlearning in PyTorch, timed: the peer of `expunge bench step --device cuda`.

NGPlus with the focus gate (arXiv 2511.02435, docs/unlearning.md): a pass over a forget batch, one over a retain batch,
squares of both gradients, focus vector, Adam (lr 1e-4). One JSON line for each form asked for:
  loop     the step as the usual public code writes it, operator by operator over a list of tensors
  eager    the same with foreach operators and fused Adam, the fastest eager form that we could write
  graph    `eager` as one CUDA graph
  compile  `eager` with the network compiled (max-autotune); reduce: (reduce-overhead)
A form whose retain loss does not fall, or whose weights stay, is an error.
"""

import argparse
import json
import math
import pathlib
import sys

import torch

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[up]) for up in (1, 2)]
from peer_train import COMPILED, PRECISIONS, as_graph, autocast, timed, unscale
from peer_unlearn import BETA, EPS, RHO, ForeachFocus
from torch_models import MODELS


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--exec", default="loop,eager,graph", help="loop, eager, graph, compile, reduce; several by commas")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--device", default="cuda")
    return parser.parse_args()


def loop_update(model, optimizer):
    """By tensors, with phi as a product of distributions; the state is made at the first call."""
    squares = {}

    def distribution(side, index, g):
        if (side, index) not in squares:
            squares[side, index] = (1 - RHO) * g ** 2
        else:
            squares[side, index] = RHO * g ** 2 + (1 - RHO) * squares[side, index]
        return torch.special.ndtr(g / torch.sqrt(squares[side, index] + EPS))

    def update(g_f, g_r):
        for i, p in enumerate(model.parameters()):
            f, r = distribution("f", i, g_f[i]), distribution("r", i, g_r[i])
            phi = f * r + (1 - f) * (1 - r)
            p.grad = phi * (BETA * g_r[i] + (1 - BETA) * g_f[i])
        optimizer.step()

    return update


def foreach_update(model, optimizer):
    parameters = list(model.parameters())
    direction = ForeachFocus(parameters)

    def update(g_f, g_r):
        for p, g in zip(parameters, direction(g_f, g_r)):
            p.grad = g
        optimizer.step()

    return update


def unlearning_step(o, form):
    """The step as a function without arguments, the tensor its retain loss is left in, and the model."""
    device = torch.device(o.device)
    torch.manual_seed(0)
    model = MODELS[o.model][0]().to(device, memory_format=torch.channels_last).train()
    forward = torch.compile(model, mode=COMPILED[form]) if form in COMPILED else model
    batches = [(torch.rand(o.batch, 3, 32, 32, device=device).to(memory_format=torch.channels_last),
                torch.arange(o.batch, device=device) % 10) for _ in range(2)]
    capturable = {"fused": True, "capturable": True} if device.type == "cuda" and form != "loop" else {}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, **capturable)
    update = (loop_update if form == "loop" else foreach_update)(model, optimizer)
    half, scale = autocast(o)
    loss = torch.zeros((), device=device)

    def gradients(batch, sign):
        optimizer.zero_grad(set_to_none=True)
        with half:
            found = sign * torch.nn.functional.cross_entropy(forward(batch[0]), batch[1])
        (scale * found).backward()
        loss.copy_(found.detach())
        kept = [p.grad.detach() for p in model.parameters()]
        unscale(kept, scale)
        return kept if form in ("eager", "graph") else [g.clone() for g in kept]  # compiled: its memory is used again

    def step():
        g_f = gradients(batches[0], -1)
        update(g_f, gradients(batches[1], 1))

    return step, loss, model


def main():
    o = options()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = o.precision == "tf32"
    torch.backends.cudnn.benchmark = True
    for form in o.exec.split(","):
        if form not in ("loop", "eager", "graph", *COMPILED):
            sys.exit(f"peer_step: --exec {form}: expected loop, eager, graph, compile, reduce")
        if form in ("graph", *COMPILED) and o.device == "cpu":
            sys.exit(f"peer_step: {form} needs a GPU")
        step, loss, model = unlearning_step(o, form)
        before = [p.detach().clone() for p in model.parameters()]
        losses, found = timed(as_graph(step) if form == "graph" else step, loss, o)
        moved = any(not torch.equal(a, b) for a, b in zip(before, model.parameters()))
        if not (math.isfinite(losses[-1]) and losses[-1] < losses[0] and moved):
            sys.exit(f"peer_step: {form}: the retain loss went from {losses[0]} to {losses[-1]}, expected a fall")
        print(json.dumps({"model": o.model, "batch": o.batch, "precision": o.precision, "form": form, **found}),
              flush=True)


if __name__ == "__main__":
    main()
