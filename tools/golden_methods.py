"""A few steps of ft-l1, scrub, badteacher, boundary-shrink and boundary-expand in plain numpy and in double, for
tools/golden.py: the objectives, their teachers, FGSM, the class more, SGD. Formulas: docs/unlearning.md. The network,
its gradients and Philox are those of golden_unlearn.py; neither PyTorch nor Expunge has a part in it.
"""
import math

import numpy as np

from golden_unlearn import (CLASSES, KINK, SEED, SHAPES, TIE, NearTie, backward, channels, conv_backward,
                            flat, forward, inputs, philox, single, softmax)

LR, MOMENTUM, DECAY = 0.01, 0.9, 5e-4
ALPHA, GAMMA, TEMPERATURE = 0.5, 0.9, 2.0  # scrub
PENALTY, PENALTY_EPOCHS = 1e-3, 2          # ft-l1: alpha, and epochs until it is 0
FGSM_STEP = 0.1
MEAN, STD = single([0.5, 0.45, 0.4]), single([0.25, 0.2, 0.3])
UNTRAINED = 0x75A1B0C3D2E4F697  # unlearn/teachers.cpp: what the seed of the untrained network is mixed with
INIT, SHADOW = 1, 13            # core/rng.h: purposes of draws
MIXED = 4                       # samples of each side in a mixed batch


# ---- objectives: gradient with respect to the logits, of the mean over the batch ----

def descent(x, labels):
    return (softmax(x) - np.eye(x.shape[1])[labels]) / len(x)


def distillation(x, teacher, T):
    """of T^2 KL(softmax(teacher / T) || softmax(x / T))"""
    return T * (softmax(x / T) - softmax(teacher / T)) / len(x)


# ---- draws ----

def draw(seed, purpose, counter):
    return philox((seed + 0x9E3779B97F4A7C15 * purpose) % 2 ** 64, counter)


def uniform(word):
    return (word >> 8) * 2.0 ** -24


def normal(a, b):
    return math.sqrt(-2 * math.log(uniform(a) + 2.0 ** -25)) * math.cos(2 * math.pi * uniform(b))


def untrained():
    """PyTorch's initial values: uniform in +-1/sqrt(fan in), in the order (out, height, width, in)."""
    weights = {}
    for p, (name, shape) in enumerate(SHAPES.items()):
        if name.startswith("bn"):
            weights[name] = np.full(shape, 1.0 if name.endswith("weight") else 0.0)
            continue
        if name.endswith("weight"):
            bound = 1 / math.sqrt(np.prod(shape[1:]))
        count = int(np.prod(shape))
        values = [(2 * uniform(draw(SEED ^ UNTRAINED, INIT, (p, i // 4, 0, 0))[i % 4]) - 1) * bound
                  for i in range(count)]
        if len(shape) == 4:
            out, inner, height, width = shape
            values = np.reshape(values, (out, height, width, inner)).transpose(0, 3, 1, 2)
        weights[name] = single(np.reshape(values, shape))
    statistics = {bn: (np.zeros(SHAPES[bn + ".weight"]), np.ones(SHAPES[bn + ".weight"])) for bn in ("bn1", "bn2")}
    return weights, statistics


def with_shadow_class(weights):
    """Xavier: normal with variance 2 / (in + out), bias 0"""
    inner = SHAPES["fc.weight"][1]
    std = math.sqrt(2 / (inner + CLASSES + 1))
    row = single([std * normal(*draw(SEED, SHADOW, (i, 0, 0, 0))[:2]) for i in range(inner)])
    return {**weights, "fc.weight": np.vstack([weights["fc.weight"], row]),
            "fc.bias": np.append(weights["fc.bias"], 0.0)}


# ---- boundary-shrink ----

def image_gradient(w, running, x, labels):
    logits, (x, h1, n1, shape, n2, pooled) = forward(w, x, running)
    for n in (n1, n2):
        y = channels(w["bn1.weight" if n is n1 else "bn2.weight"]) * n["xhat"]
        y = y + channels(w["bn1.bias" if n is n1 else "bn2.bias"])
        if np.abs(y).min() < KINK:
            raise NearTie("relu")
    dh2 = np.broadcast_to((descent(logits, labels) @ w["fc.weight"])[:, :, None, None] / (shape[2] * shape[3]), shape)
    through = lambda n, dy: channels(n["gamma"] * n["inverse"]) * (dy * n["live"])
    dh1, _ = conv_backward(h1, w["conv2.weight"], 2, through(n2, dh2))
    return conv_backward(x, w["conv1.weight"], 1, through(n1, dh1))[0]


def nearest_labels(w, running, batch):
    dx = image_gradient(w, running, batch["x"], batch["labels"])
    if np.abs(dx).min() < TIE * np.abs(dx).max():
        raise NearTie("sign")
    pixels = np.rint(255 * (batch["x"] * channels(STD) + channels(MEAN)))
    moved = np.rint(np.clip(pixels + 255 * FGSM_STEP * np.sign(dx), 0, 255))
    logits, _ = forward(w, (moved / 255 - channels(MEAN)) / channels(STD), running)
    if np.diff(np.sort(logits, 1)[:, -2:], axis=1).min() < 1e-3:
        raise NearTie("argmax")
    return logits.argmax(1)


# ---- steps ----

def steps(name, weights, running, plan):
    """plan: (batch, gradient by the logits, weight of the penalty) of each step. How far the weights moved from the
    first ones, in units of the learning rate, and the running statistics, after each step."""
    w, running, velocity, out = dict(weights), dict(running), {}, {}
    for step, (batch, objective, penalty) in enumerate(plan):
        logits, saved = forward(w, batch["x"])
        for bn, norm in (("bn1", saved[2]), ("bn2", saved[4])):
            running[bn] = tuple(0.9 * old + 0.1 * new for old, new in zip(running[bn], norm["batch"]))
        g = backward(w, saved, objective(logits))
        for p in w:
            total = g[p] + penalty * np.sign(w[p]) + DECAY * w[p]
            velocity[p] = MOMENTUM * velocity.get(p, 0) + total
            w[p] = w[p] - LR * velocity[p]
        out["%s/%d/moved" % (name, step)] = flat((w[p] - weights[p]) / LR for p in w)
        out["%s/%d/running" % (name, step)] = flat(v for bn in ("bn1", "bn2") for v in running[bn])
    return out


def results(weights, running, forget, retain, mixed):
    def original(batch):
        return forward(weights, batch["x"], running)[0]

    def of(batch, objective, penalty=0):
        return batch, lambda x: objective(x, batch), penalty

    T = TEMPERATURE
    out = steps("ft-l1", weights, running, [
        of(batch, lambda x, b: descent(x, b["labels"]), PENALTY * max(0, 1 - epoch / PENALTY_EPOCHS))
        for epoch in range(3) for batch in retain])

    away = lambda x, b: -distillation(x, original(b), T)
    keep = lambda x, b: GAMMA * descent(x, b["labels"]) + ALPHA * distillation(x, original(b), T)
    out.update(steps("scrub", weights, running, [  # two batches a side, forget steps in the first epoch alone
        of(forget[0], away), of(forget[1], away), of(retain[0], keep), of(retain[1], keep),
        of(retain[0], keep), of(retain[1], keep)]))

    blank, fresh = untrained()
    for name, divisor in (("badteacher", 1), ("badteacher-badt", CLASSES)):
        def imitate(x, b):
            teacher = np.where(np.isin(b["index"], [f["index"] for f in forget])[:, None],
                               forward(blank, b["x"], fresh)[0], original(b))
            return distillation(x, teacher, T) / (T * T * divisor)
        out.update(steps(name, weights, running, [of(b, imitate) for b in mixed]))

    nearest = [nearest_labels(weights, running, b) for b in forget]
    if min(len(set(y)) for y in nearest) < 2 or all((y == original(b).argmax(1)).all()
                                                    for y, b in zip(nearest, forget)):
        raise NearTie("a test of nothing")
    out["nearest"] = np.stack(nearest).astype(np.float64)
    out.update(steps("boundary-shrink", weights, running,
                     [(b, lambda x, y=y: descent(x, y), 0) for b, y in zip(forget, nearest)]))
    out.update(steps("boundary-expand", with_shadow_class(weights), running,
                     [of(b, lambda x, b: descent(x, np.full(len(x), CLASSES))) for b in forget]))
    return out


def of_pixels(rng, batch):
    pixels = rng.integers(0, 256, batch["x"].shape)
    return {**batch, "x": single((pixels / 255 - channels(MEAN)) / channels(STD))}


def golden_unlearn_methods():
    """Inputs and results of the first seed in which nothing hangs on rounding."""
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        weights, running, pairs = inputs(rng)
        forget, retain = ([of_pixels(rng, pair[side]) for pair in pairs] for side in (0, 1))
        mixed = [{key: np.concatenate([f[key][:MIXED], r[key][:MIXED]]) for key in ("x", "labels", "index")}
                 for f, r in zip(forget, retain)]
        try:
            found = results(weights, running, forget, retain, mixed)
            break
        except NearTie:
            continue
    out = {"w/" + name: value for name, value in weights.items()}
    for name, values in running.items():
        out.update(zip(("w/%s.running_mean" % name, "w/%s.running_var" % name), values))
    for name, batches in (("forget", forget), ("retain", retain), ("mixed", mixed)):
        for key in ("x", "labels", "index"):
            out["%s/%s" % (name, key)] = np.stack([b[key] for b in batches]).astype(np.float64)
    return {**out, **found}
