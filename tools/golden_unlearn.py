"""Two steps of unlearning in plain numpy and in double, for tools/golden.py: a small network forward and backward, the
objectives, the focus vector, the gates, Adam. Formulas: docs/unlearning.md (arXiv 2511.02435). Neither PyTorch nor
Expunge has a part in it.

Where rounding decides (which side of a threshold, the sign of a gradient that is 0 but for rounding) there is nothing
to compare: such elements of the result are NaN. Layout: images NCHW, convolution weights OIHW.
"""
import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

CLASSES, SEED, STEPS = 5, 9, 2
FORGET, RETAIN = 6, 8  # samples of a batch
SHAPES = {"conv1.weight": (6, 3, 3, 3), "bn1.weight": (6,), "bn1.bias": (6,), "conv2.weight": (8, 6, 3, 3),
          "bn2.weight": (8,), "bn2.bias": (8,), "fc.weight": (CLASSES, 8), "fc.bias": (CLASSES,)}
BETA, LR, BETA1, BETA2, EPS = 0.95, 1e-4, 0.9, 0.999, 1e-8
RHO, FLOOR, Q, QUANTILE = 0.9, 1e-8, 0.3, 0.5

KINK = 3e-6  # float moves an input of a ReLU by up to about this much
TIE = 1e-6   # of phi, and of a quantity that is compared, as a part of the largest of its tensor
SMALL = 1e-5  # of a gradient d: rounding is about a thousandth of it, and Adam divides by the gradient's own size


class NearTie(Exception):
    """Rounding decides the whole result: another seed is wanted."""


# ---- network: conv, batch norm, relu, conv of stride 2, batch norm, relu, mean over the map, linear ----

def windows(x, stride):
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return sliding_window_view(x, (3, 3), axis=(2, 3))[:, :, ::stride, ::stride]


def conv(x, w, stride):
    return np.einsum("nchwrs,kcrs->nkhw", windows(x, stride), w)


def conv_backward(x, w, stride, dy):
    dw = np.einsum("nkhw,nchwrs->kcrs", dy, windows(x, stride))
    N, C, H, W = x.shape
    dx = np.zeros((N, C, H + 2, W + 2))
    for r, s in np.ndindex(3, 3):
        dx[:, :, r:r + H:stride, s:s + W:stride] += np.einsum("nkhw,kc->nchw", dy, w[:, :, r, s])
    return dx[:, :, 1:-1, 1:-1], dw


def channels(v):
    return v[None, :, None, None]


def norm_relu(x, gamma, beta, running):
    """With batch statistics; with running = (mean, var) with these. y, and what backward needs."""
    mean, var = running or (x.mean((0, 2, 3)), x.var((0, 2, 3)))
    inverse = 1 / np.sqrt(var + 1e-5)
    xhat = channels(inverse) * (x - channels(mean))
    y = channels(gamma) * xhat + channels(beta)
    if running is None and np.abs(y).min() < KINK:
        raise NearTie("relu")
    n = x.size // x.shape[1]
    return np.maximum(y, 0), {"xhat": xhat, "inverse": inverse, "gamma": gamma, "live": y > 0,
                              "batch": (mean, var * n / (n - 1))}


def norm_relu_backward(saved, dy):
    g = dy * saved["live"]
    xhat, mean = saved["xhat"], lambda v: channels(v.mean((0, 2, 3)))
    dx = channels(saved["gamma"] * saved["inverse"]) * (g - mean(g) - xhat * mean(g * xhat))
    return dx, (g * xhat).sum((0, 2, 3)), g.sum((0, 2, 3))


def forward(w, x, running=None):
    """Logits, and what backward needs; running: as norm_relu's, for both."""
    a = conv(x, w["conv1.weight"], 1)
    h1, n1 = norm_relu(a, w["bn1.weight"], w["bn1.bias"], running and running["bn1"])
    b = conv(h1, w["conv2.weight"], 2)
    h2, n2 = norm_relu(b, w["bn2.weight"], w["bn2.bias"], running and running["bn2"])
    pooled = h2.mean((2, 3))
    return pooled @ w["fc.weight"].T + w["fc.bias"], (x, h1, n1, h2.shape, n2, pooled)


def backward(w, saved, dlogits):
    x, h1, n1, shape, n2, pooled = saved
    g = {"fc.weight": dlogits.T @ pooled, "fc.bias": dlogits.sum(0)}
    dh2 = np.broadcast_to((dlogits @ w["fc.weight"])[:, :, None, None] / (shape[2] * shape[3]), shape)
    db, g["bn2.weight"], g["bn2.bias"] = norm_relu_backward(n2, dh2)
    dh1, g["conv2.weight"] = conv_backward(h1, w["conv2.weight"], 2, db)
    da, g["bn1.weight"], g["bn1.bias"] = norm_relu_backward(n1, dh1)
    _, g["conv1.weight"] = conv_backward(x, w["conv1.weight"], 1, da)
    return g


# ---- objectives: gradient with respect to the logits ----

def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def cross_entropy(x, labels):
    return (softmax(x) - np.eye(CLASSES)[labels]) / len(x)


def scrub(x, teacher):
    """of the mean over the batch of sum_c p_s (log p_s - p_t)"""
    p = softmax(x)
    f = np.log(p) - softmax(teacher)
    return p * (f - (p * f).sum(1, keepdims=True)) / len(x)


METHODS = {  # (forget, retain) of (logits, batch, the original's logits)
    "ngplus": (lambda x, b, t: -cross_entropy(x, b["labels"]), lambda x, b, t: cross_entropy(x, b["labels"])),
    "srl": (lambda x, b, t: cross_entropy(x, b["wrong"]), lambda x, b, t: cross_entropy(x, b["labels"])),
    "scrub-paper": (lambda x, b, t: -scrub(x, t), lambda x, b, t: cross_entropy(x, b["labels"]) + scrub(x, t)),
}


def philox(key, counter):
    """Philox4x32-10 (Salmon et al. 2011)"""
    k, c = [key & 0xFFFFFFFF, key >> 32], list(counter)
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def wrong_label(seed, step, position, label):
    """core/rng.h: the purpose `label` is 8; unlearn/objectives.h: the key of the draw"""
    key = (seed + 0x9E3779B97F4A7C15 * 8) % 2 ** 64
    word = philox(key, (step & 0xFFFFFFFF, step >> 32, position, 0))[0]
    return (label + 1 + (word * (CLASSES - 1) >> 32)) % CLASSES


# ---- gates: (w, where rounding decides) of one tensor ----

def phi_of(z_f, z_r):
    cdf = np.vectorize(lambda z: 0.5 * math.erfc(-z / math.sqrt(2)))
    f, r = cdf(z_f), cdf(z_r)
    return f * r + (1 - f) * (1 - r)


def conjunction(t):
    unsure = [np.abs(g) < TIE * np.abs(g).max() for g in (t["f"], t["r"])]
    return (t["f"] * t["r"] >= 0).astype(float), unsure[0] | unsure[1]


def saliency(t):
    size = np.abs(t["s"])
    threshold = np.quantile(size, QUANTILE, method="linear" if t["s"] is t["f"] else "midpoint")
    near = np.abs(size - threshold) < TIE * size.max()
    return (size >= threshold).astype(float), near & (near.sum() > 1)


def opt(t, phi):
    """Drops the first prefix, in the order of u c, whose removal makes the rest feasible."""
    u, c = (phi * t["f"]).ravel(), (phi * t["r"]).ravel()
    order = np.argsort(u * c, kind="stable")
    for dropped in range(len(u) + 1):
        rest = order[dropped:]
        uu, cc, uc = u[rest] @ u[rest], c[rest] @ c[rest], u[rest] @ c[rest]
        least = min((1 - BETA) * uu + BETA * uc, BETA * cc + (1 - BETA) * uc)
        if len(rest) > 0 and abs(least) < TIE * (uu + cc):
            raise NearTie("opt")
        if least >= 0:
            break
    w, unsure = phi.flatten(), np.zeros(len(u), bool)
    w[order[:dropped]] = 0
    if 0 < dropped < len(u):
        cut = order[dropped - 1:dropped + 1]
        unsure[cut] = np.diff((u * c)[cut]) < TIE * np.abs(u * c).max()
    return w.reshape(t["f"].shape), unsure.reshape(t["f"].shape)


GATES = {
    "none": lambda t: (np.ones_like(t["f"]), False),
    "and": conjunction,
    "prob": lambda t: ((t["phi"] >= Q).astype(float), np.abs(t["phi"] - Q) < TIE),
    "focus": lambda t: (t["phi"], False),
    "saliency": saliency,
    "opt": lambda t: opt(t, np.ones_like(t["f"])),
    "focus-opt": lambda t: opt(t, t["phi"]),
}


# ---- the step ----

class Moments:
    """The paper's second moment: 0.1 g^2 first, then 0.9 g^2 + 0.1 V. Gives z."""
    v = None

    def signal(self, g):
        self.v = (1 - RHO) * g * g if self.v is None else RHO * g * g + (1 - RHO) * self.v
        return g / np.sqrt(self.v + FLOOR)


class Adam:
    m = v = t = 0

    def moved(self, g):
        self.t += 1
        self.m = BETA1 * self.m + (1 - BETA1) * g
        self.v = BETA2 * self.v + (1 - BETA2) * g * g
        return -LR * (self.m / (1 - BETA1 ** self.t)) / (np.sqrt(self.v / (1 - BETA2 ** self.t)) + EPS)


class Parameter:
    """One tensor's state over the steps"""

    def __init__(self, value):
        self.start, self.value = value, value.copy()
        self.forget, self.retain, self.adam = Moments(), Moments(), Adam()
        self.unsure, self.seen, self.small = np.zeros(value.shape, bool), 0, 0

    def step(self, gate, g_f, g_r, s):
        w, unsure = GATES[gate]({"f": g_f, "r": g_r, "s": g_f if s is None else s,
                                 "phi": phi_of(self.forget.signal(g_f), self.retain.signal(g_r))})
        g = w * (BETA * g_r + (1 - BETA) * g_f)
        self.value = self.value + self.adam.moved(g)
        self.seen, self.small = np.hypot(self.seen, g), np.hypot(self.small, w * SMALL)
        self.unsure |= unsure | (self.seen < self.small)

    def moved(self):
        """in units of the learning rate"""
        return np.where(self.unsure, np.nan, (self.value - self.start) / LR)


def flat(values):
    return np.concatenate([np.ravel(v) for v in values])


def two_steps(method, gate, weights, running, batches):
    """What a method and a gate do, after each step: how far the weights moved, the running statistics."""
    params = {name: Parameter(value) for name, value in weights.items()}
    original, running, out = running, dict(running), {}
    for step, sides in enumerate(batches):
        w = {name: p.value for name, p in params.items()}

        def pass_over(batch, objective, updates=True):
            logits, saved = forward(w, batch["x"])
            for name, norm in (("bn1", saved[2]), ("bn2", saved[4])) if updates else ():
                running[name] = tuple(0.9 * old + 0.1 * new for old, new in zip(running[name], norm["batch"]))
            teacher, _ = forward(weights, batch["x"], original)
            return backward(w, saved, objective(logits, batch, teacher))

        own_pass = gate == "saliency" and method != "ngplus"
        s = pass_over(sides[0], METHODS["ngplus"][0], False) if own_pass else {}
        g_f, g_r = (pass_over(side, objective) for side, objective in zip(sides, METHODS[method]))
        for name, p in params.items():
            p.step(gate, g_f[name], g_r[name], s.get(name))
        key = "%s/%s/%d/" % (method, gate, step)
        out[key + "moved"] = flat(p.moved() for p in params.values())
        out[key + "running"] = flat(v for name in ("bn1", "bn2") for v in running[name])
    return out


def single(values):
    """What float holds, in double: both sides start from the same numbers."""
    return np.asarray(values, np.float32).astype(np.float64)


def inputs(rng):
    weights = {name: single(rng.normal(0, 0.3, shape)) for name, shape in SHAPES.items()}
    running = {}
    for name in ("bn1", "bn2"):
        C = SHAPES[name + ".weight"]
        weights[name + ".weight"] = single(rng.uniform(0.5, 0.95, C))
        running[name] = (single(rng.normal(0, 0.3, C)), single(rng.uniform(0.5, 2, C)))

    def batch(samples, first):
        return {"x": single(rng.normal(size=(samples, 3, 8, 8))), "labels": rng.integers(0, CLASSES, samples),
                "index": first + rng.permutation(1000)[:samples]}

    pairs = [(batch(FORGET, 0), batch(RETAIN, 1000)) for _ in range(STEPS)]
    for step, (forget, _) in enumerate(pairs):
        forget["wrong"] = np.array([wrong_label(SEED, step, int(i), int(y))
                                    for i, y in zip(forget["index"], forget["labels"])])
    # The last pair looks alike, so that its sides conflict: opt has something to drop, focus-opt too.
    forget, retain = pairs[-1]
    retain["x"][:FORGET] = single(forget["x"] + 0.3 * retain["x"][:FORGET])
    retain["labels"][:FORGET] = forget["labels"]
    return weights, running, pairs


def golden_unlearn_step():
    """Inputs and results of the first seed in which nothing as a whole hangs on rounding."""
    for seed in range(1000):
        weights, running, batches = inputs(np.random.default_rng(seed))
        try:
            results = [two_steps(method, gate, weights, running, batches) for method in METHODS for gate in GATES]
            break
        except NearTie:
            continue
    out = {"w/" + name: value for name, value in weights.items()}
    for name, values in running.items():
        out.update(zip(("w/%s.running_mean" % name, "w/%s.running_var" % name), values))
    for side, name in enumerate(("forget", "retain")):
        for key in batches[0][side]:
            out["%s/%s" % (name, key)] = np.stack([pair[side][key] for pair in batches]).astype(np.float64)
    return {**out, **{key: value for result in results for key, value in result.items()}}
