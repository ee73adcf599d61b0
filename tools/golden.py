#!/usr/bin/env python3
"""What PyTorch computes, for comparison with Expunge.

  python3 tools/golden.py            writes tests/golden/*.safetensors, which the tests read: operations, a residual
                                     block, a VGG head, ten SGD and ten Adam steps; golden_unlearn.py; golden_attacks.py
  python3 tools/golden.py --live     compares whole networks: logits, every gradient, ten steps (needs build/bin)

PyTorch computes in double here, so that differences are ours. --live shows PyTorch's own float32 beside them.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import torch
from torch import nn
from torch.nn import functional as F

from golden_attacks import golden_attacks
from golden_methods import golden_unlearn_methods
from golden_unlearn import golden_unlearn_step
from torch_models import MODELS, Block
from torch_safetensors import load, save

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STEPS = 10
RATES = {"sgd": 0.05, "adam": 0.001}


def optimizer_of(name, model, lr):
    if name == "sgd":
        return torch.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    return torch.optim.Adam(model.parameters(), lr, weight_decay=5e-4)


# ---- operations: x, w, ... in, y and the gradients of sum(dy * y) out ----

def operations():
    """name -> (inputs, function); gradients are taken of every input but the integer ones"""
    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64)

    x = normal(2, 3, 7, 6)
    logits, labels = normal(5, 7), torch.tensor([0, 6, 3, 3, 1])
    soft = torch.softmax(normal(5, 7), 1)
    norm = {"x": normal(4, 3, 5, 4) + 1, "gamma": normal(3), "beta": normal(3)}
    running = {"mean": normal(3), "var": normal(3).abs() + 0.5}
    log = torch.log_softmax
    return {
        "conv2d": ({"x": x, "w": normal(4, 3, 3, 3)}, lambda x, w: F.conv2d(x, w, padding=1)),
        "conv2d_stride2": ({"x": x, "w": normal(4, 3, 3, 3)}, lambda x, w: F.conv2d(x, w, stride=2, padding=1)),
        "conv2d_1x1": ({"x": x, "w": normal(5, 3, 1, 1)}, lambda x, w: F.conv2d(x, w, stride=2)),
        "conv2d_5x5_bias": ({"x": x, "w": normal(4, 3, 5, 5), "b": normal(4)},
                            lambda x, w, b: F.conv2d(x, w, b, padding=2)),
        "linear": ({"x": normal(4, 9), "w": normal(6, 9), "b": normal(6)}, F.linear),
        "batch_norm_train": (norm, lambda x, gamma, beta: F.batch_norm(x, None, None, gamma, beta, training=True)),
        "batch_norm_eval": ({**norm, **running}, lambda x, gamma, beta, mean, var:
                            F.batch_norm(x, mean.detach(), var.detach(), gamma, beta)),
        "batch_norm_add_relu": ({**norm, "r": normal(4, 3, 5, 4)}, lambda x, gamma, beta, r:
                                F.relu(F.batch_norm(x, None, None, gamma, beta, training=True) + r)),
        "relu": ({"x": normal(31)}, F.relu),
        "gelu": ({"x": 2 * normal(31)}, F.gelu),
        "sigmoid": ({"x": 2 * normal(31)}, torch.sigmoid),
        "tanh": ({"x": normal(31)}, torch.tanh),
        "max_pool2d": ({"x": x}, lambda x: F.max_pool2d(x, 2)),
        "max_pool2d_3x3": ({"x": x}, lambda x: F.max_pool2d(x, 3, 2, 1)),
        "average_pool2d": ({"x": x}, lambda x: F.avg_pool2d(x, 3, 2, 1)),
        "adaptive_average_pool2d": ({"x": x}, lambda x: F.adaptive_avg_pool2d(x, (3, 2))),
        "global_average_pool2d": ({"x": x}, lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1)),
        "cross_entropy": ({"x": logits, "labels": labels}, F.cross_entropy),
        "cross_entropy_smooth": ({"x": logits, "labels": labels},
                                 lambda x, labels: F.cross_entropy(x, labels, label_smoothing=0.1)),
        "soft_cross_entropy": ({"x": logits, "targets": soft}, lambda x, targets: F.cross_entropy(x, targets.detach())),
        "kl_divergence": ({"x": logits, "teacher": normal(5, 7)}, lambda x, teacher: 4 * F.kl_div(
            log(x / 2, 1), log(teacher.detach() / 2, 1), log_target=True, reduction="batchmean")),
        "mse": ({"x": normal(5, 7), "targets": normal(5, 7)}, lambda x, targets: F.mse_loss(x, targets.detach())),
    }


def golden_operations():
    torch.manual_seed(1)
    out = {}
    for name, (inputs, function) in operations().items():
        leaves = {key: value.clone().requires_grad_(value.is_floating_point()) for key, value in inputs.items()}
        y = function(*leaves.values())
        dy = torch.randn(y.shape, dtype=torch.float64) if y.dim() else torch.ones((), dtype=torch.float64)
        (dy * y).sum().backward()
        for key, leaf in leaves.items():
            out["%s/%s" % (name, key)] = leaf.double()
            if leaf.grad is not None:
                out["%s/d%s" % (name, key)] = leaf.grad
        out[name + "/y"], out[name + "/dy"] = y, dy
    return out


# ---- networks: weights, batches, logits, gradients, ten steps ----

class TinyResNet(nn.Module):
    """tests/support/tiny_models.h has the same"""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, 1, 1, bias=False), nn.BatchNorm2d(6)
        self.block, self.fc = Block(6, 8, 2), nn.Linear(8, 5)

    def forward(self, x):
        x = self.block(F.relu(self.bn1(self.conv1(x))))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class TinyVgg(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 6, 3, 1, 1), nn.BatchNorm2d(6)
        self.fc1, self.fc2 = nn.Linear(2 * 2 * 6, 7), nn.Linear(7, 5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn(self.conv(x))), 2)
        return self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 2).flatten(1))))


def batches(samples, side, classes):
    return torch.randn(STEPS, samples, 3, side, side), torch.randint(0, classes, (STEPS, samples))


def warm(model, x):
    """running statistics and weights as after some training, not as at the start"""
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * p.abs().mean() * torch.randn_like(p))
        model.train()
        for batch in x:
            model(batch)


def state(model):
    return {key: value for key, value in model.state_dict().items() if value.is_floating_point()}


def computed(model, x, labels, optimizer, lr):
    """Logits in both modes, the first batch's gradients, ten steps' losses, what they lead to."""
    out = {"logits.eval": model.eval()(x[0]).detach()}
    start = {key: value.clone() for key, value in model.state_dict().items()}
    model.train().zero_grad()
    logits = model(x[0])
    out["logits.train"] = logits.detach()
    F.cross_entropy(logits, labels[0]).backward()
    out.update({"grad/" + name: p.grad.clone() for name, p in model.named_parameters()})
    model.load_state_dict(start)
    steps, losses = optimizer_of(optimizer, model, lr), []
    for batch, targets in zip(x, labels):
        steps.zero_grad()
        loss = F.cross_entropy(model(batch), targets)
        loss.backward()
        steps.step()
        losses.append(loss.detach())
    out["losses"] = torch.stack(losses)
    out.update({"after/" + name: value.clone() for name, value in state(model).items()})
    model.load_state_dict(start)
    return out


def golden_network(make, seed):
    torch.manual_seed(seed)
    x, labels = batches(4, 8, 5)
    model = make()
    warm(model, x)
    out = {"x": x, "labels": labels.float(), **{"w/" + name: value for name, value in state(model).items()}}
    model.double()
    for optimizer, lr in RATES.items():
        out.update({"%s/%s" % (optimizer, key): value for key, value in
                    computed(model, x.double(), labels, optimizer, lr).items()})
    return out


def from_numpy(arrays):
    return {name: torch.from_numpy(values) for name, values in arrays.items()}


def write_golden(folder):
    os.makedirs(folder, exist_ok=True)
    for name, tensors in (("operations", golden_operations()), ("residual_block", golden_network(TinyResNet, 2)),
                          ("vgg_head", golden_network(TinyVgg, 3)),
                          ("unlearn_step", from_numpy(golden_unlearn_step())),
                          ("unlearn_methods", from_numpy(golden_unlearn_methods())),
                          ("attacks", from_numpy(golden_attacks()))):
        save(os.path.join(folder, name + ".safetensors"), tensors)
        print("%s: %d tensors" % (name, len(tensors)))


# ---- whole networks against build/bin/expunge_parity ----

KINK = 3e-6  # rounding moves a pre-activation of size 1 by up to about this much
LIVE_RATES = {"sgd": 0.002, "adam": 1e-5}  # small steps: large ones magnify any rounding without bound


def norm(t):
    return torch.linalg.norm(t.double().flatten()).item()


def distance(a, b, least=0.0):
    """||a - b|| / ||b||"""
    return norm(a.double() - b.double()) / max(norm(b), least)


def largest(ours, theirs, prefix):
    """The tensor that differs most. ||b|| counts as at least 1e-4 of the norm of all of them together: the gradient
    of a bias in front of a batch norm is 0 but for rounding."""
    named = {key: value for key, value in theirs.items() if key.startswith(prefix)}
    least = 1e-4 * sum(norm(value) ** 2 for value in named.values()) ** 0.5
    return max((distance(ours[key], value, least), key) for key, value in named.items())


def near_kinks(model, x):
    """How many inputs of a ReLU lie so near 0 that rounding decides which side they are on. One of them changes a
    gradient of n values by about 1/sqrt(n), whoever computes it: nothing can be compared there."""
    relu, near = F.relu, 0

    def counting(x, inplace=False):
        nonlocal near
        near += (x.detach().abs() < KINK).sum().item()
        return relu(x)

    start = {key: value.clone() for key, value in model.state_dict().items()}
    F.relu = counting
    try:
        model.train()(x)
    finally:
        F.relu = relu
        model.load_state_dict(start)
    return near


def away_from_kinks(make, samples):
    """Weights (single and double) and batches of the first seed whose first batch is clear of kinks. PyTorch's double
    network decides; what Expunge computes has no part in it."""
    for seed in range(1000):
        torch.manual_seed(seed)
        x, labels = batches(samples, 32, 10)
        single, double = make(), make()
        warm(single, x[:3])
        double.load_state_dict(single.state_dict())
        double.double()
        if near_kinks(double, x[0].double()) == 0:
            return seed, single, double, x, labels
    sys.exit("golden: no seed below 1000 is clear of kinks; --samples %d is too many" % samples)


def ours(parity, folder, name, model, x, labels, optimizer):
    weights, batch, out = (os.path.join(folder, part + ".safetensors") for part in ("weights", "batch", "out"))
    save(weights, model.state_dict())
    save(batch, {"x": x, "labels": labels.float()})
    subprocess.run([parity, name, weights, batch, out, optimizer, str(LIVE_RATES[optimizer])], check=True)
    return load(out)[0]


def read_back(make, written, x):
    """Weights that Expunge wrote load in PyTorch, strictly, and give the logits that Expunge computed."""
    model = make().double()
    model.load_state_dict({key[6:]: value.double() for key, value in written.items() if key.startswith("after/")})
    return distance(written["logits.after"], model.eval()(x[0].double()).detach())


def row(title, result, exact, last):
    gradient, after = largest(result, exact, "grad/"), largest(result, exact, "after/")
    logits = [distance(result[key], exact[key]) for key in ("logits.eval", "logits.train")]
    print("| %s | %.1e | %.1e | %.1e %s | %.1e | %.1e %s | %s |" % (
        title, *logits, gradient[0], gradient[1][5:], distance(result["losses"], exact["losses"]), after[0],
        after[1][6:], last), flush=True)
    return max(logits), gradient[0]


def live(names, samples, parity):
    print("| network, optimizer, seed | logits eval | logits train | worst gradient | ten losses |"
          " worst tensor after ten steps | read back |\n|---|---|---|---|---|---|---|")
    failed = []
    for name in names:
        make, _ = MODELS[name]
        seed, single, double, x, labels = away_from_kinks(make, samples)
        for optimizer, lr in LIVE_RATES.items():
            exact = computed(double, x.double(), labels, optimizer, lr)
            with tempfile.TemporaryDirectory() as folder:
                got = ours(parity, folder, name, single, x, labels, optimizer)
            back = read_back(make, got, x)
            title = "%s, %s, %d" % (name, optimizer, seed)
            logits, gradient = row(title, got, exact, "%.1e" % back)
            row("PyTorch's float32", computed(single, x, labels, optimizer, lr), exact, "")
            if max(logits, back) > 1e-4 or gradient > 1e-3:
                failed.append(title)
    if failed:
        sys.exit("golden: outside 1e-4 (logits) or 1e-3 (gradients): " + "; ".join(failed))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--live", action="store_true", help="compare whole networks instead of writing files")
    parser.add_argument("--model", choices=MODELS, action="append", help="with --live: only this one")
    parser.add_argument("--samples", type=int, default=2, help="with --live: of a batch")
    parser.add_argument("--parity", default=os.path.join(ROOT, "build/bin/expunge_parity"))
    parser.add_argument("--out", default=os.path.join(ROOT, "tests/golden"))
    args = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    if args.live:
        live(args.model or list(MODELS), args.samples, args.parity)
    else:
        write_golden(args.out)


if __name__ == "__main__":
    main()
