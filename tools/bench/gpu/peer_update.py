"""The update of unlearning alone in PyTorch, timed: the peer of `expunge bench unlearn --device cuda`.

Squares of both gradients, focus vector, Adam (peer_unlearn.py), or OPT and Adam. One JSON line for each form asked for:
  loop     operator by operator over a list of tensors, as public code writes it
  eager    foreach operators
  graph    `eager` as one CUDA graph
  tensors  the formula compiled, called for each tensor
  flat     the formula compiled, on one flat buffer of all parameters
OPT is a loop, whose sums decide on the host how much is dropped. A form whose weights after some steps are not those of
`loop` is an error.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

import torch

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[up]) for up in (1, 2)]
from peer_train import as_graph
from peer_unlearn import BETA, EPS, HALF_ROOT, RHO, ForeachFocus, Problem, opt_adam_of
from torch_models import MODELS

FORMS = {"focus": ["loop", "eager", "graph", "tensors", "flat"], "opt": ["loop"]}
LR, BETA1, BETA2, ADAM_EPS = 1e-4, 0.9, 0.999, 1e-8


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--gate", choices=list(FORMS), default="focus")
    parser.add_argument("--exec", default="loop,eager,graph,tensors,flat", help="several by commas")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--device", default="cuda")
    return parser.parse_args()


def loop(problem):
    adam = torch.optim.Adam(problem.p, lr=LR, foreach=False)

    def distribution(g, v):
        v.mul_(1 - RHO).addcmul_(g, g, value=RHO)
        return torch.special.ndtr(g / (v + EPS).sqrt())

    def step():
        for p, g_f, g_r, v_f, v_r in zip(problem.p, problem.g_f, problem.g_r, problem.v_f, problem.v_r):
            f, r = distribution(g_f, v_f), distribution(g_r, v_r)
            p.grad = (f * r + (1 - f) * (1 - r)) * (BETA * g_r + (1 - BETA) * g_f)
        adam.step()

    return step


def eager(problem):
    on_gpu = {"fused": True, "capturable": True} if problem.p[0].is_cuda else {}
    adam = torch.optim.Adam(problem.p, lr=LR, **on_gpu)
    direction = ForeachFocus(problem.p)
    direction.newest = RHO  # as `loop`: V begins with rho g^2

    def step():
        for p, g in zip(problem.p, direction(problem.g_f, problem.g_r)):
            p.grad = g
        adam.step()

    return step


def formula(p, g_f, g_r, v_f, v_r, mean, square, count):
    """All of the update, in place; count: (1) steps before this one."""
    v_f.mul_(1 - RHO).add_(RHO * g_f * g_f)
    v_r.mul_(1 - RHO).add_(RHO * g_r * g_r)
    halves = [torch.erf(g * torch.rsqrt(v + EPS) * HALF_ROOT) for g, v in ((g_f, v_f), (g_r, v_r))]
    g = (0.5 + 0.5 * halves[0] * halves[1]) * (BETA * g_r + (1 - BETA) * g_f)
    mean.mul_(BETA1).add_((1 - BETA1) * g)
    square.mul_(BETA2).add_((1 - BETA2) * g * g)
    t = count + 1
    root = torch.sqrt(square / (1 - BETA2 ** t)) + ADAM_EPS
    p.sub_(LR * (mean / (1 - BETA1 ** t)) / root)


def compiled(problem, is_flat):
    """Of one flat buffer, or of tensors by one kernel for any size."""
    lists = (problem.p, problem.g_f, problem.g_r, problem.v_f, problem.v_r)
    with torch.no_grad():
        sides = [[t.detach().flatten() for t in of] for of in lists]
        if is_flat:
            sides = [[torch.cat(of)] for of in sides]
            at = 0
            for i, p in enumerate(problem.p):  # what is looked at in the end
                problem.p[i] = sides[0][0][at:at + p.numel()].view_as(p)
                at += p.numel()
    state = [[torch.zeros_like(p) for p in sides[0]] for _ in range(2)]
    count = torch.zeros(1, device=problem.p[0].device)
    call = torch.compile(formula, dynamic=not is_flat)

    def step():
        with torch.no_grad():
            for tensors in zip(*sides, *state):
                call(*tensors, count)
            count.add_(1)

    return step


def make(o, form):
    """A step as a function without arguments, and its problem."""
    torch.manual_seed(0)
    problem = Problem(list(MODELS[o.model][0]().to(o.device).parameters()))
    if o.gate == "opt":
        return opt_adam_of(problem), problem
    if form in ("tensors", "flat"):
        return compiled(problem, form == "flat"), problem
    return (loop if form == "loop" else eager)(problem), problem


def weights_after(step, problem, steps=4):
    for _ in range(steps):
        step()
    return torch.cat([p.detach().flatten() for p in problem.p]).double().cpu()


def timed(step, o):
    """Milliseconds of a step: of several behind each other, then waited for."""
    on_gpu = o.device != "cpu"
    calls, times = 8 if on_gpu else 1, []
    for turn in range(-o.warmup, o.steps):
        begin = time.perf_counter()
        for _ in range(calls):
            step()
        if on_gpu:
            torch.cuda.synchronize()
        if turn >= 0:
            times.append(1e3 * (time.perf_counter() - begin) / calls)
    return {"median_ms": statistics.median(times), "min_ms": min(times), "max_ms": max(times)}


def main():
    o = options()
    before = weights_after(*make(o, "loop"), steps=0)
    moved = weights_after(*make(o, "loop")) - before
    for form in o.exec.split(","):
        if form not in FORMS[o.gate]:
            sys.exit(f"peer_update: --exec {form}: expected {', '.join(FORMS[o.gate])}")
        if form == "graph" and o.device == "cpu":
            sys.exit("peer_update: graph needs a GPU")
        step, problem = make(o, form)
        wrong = (weights_after(step, problem) - before - moved).norm() / moved.norm()
        if not wrong < 1e-2:
            sys.exit(f"peer_update: {form}: after 4 steps the weights moved {wrong:.1e} otherwise than by `loop`")
        found = timed(as_graph(step) if form == "graph" else step, o)
        print(json.dumps({"model": o.model, "gate": o.gate, "form": form, "parameters": len(before), **found}), flush=True)


if __name__ == "__main__":
    main()
