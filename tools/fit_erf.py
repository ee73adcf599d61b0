#!/usr/bin/env python3
"""The coefficients of math::erf (kernels/grad_alignment_math.h): erf(x) / x ~ p(t) / q(t), t = x^2, on 0 <= x <= X.

Lawson's iteration: weighted least squares on p - f q = 0, the weights multiplied by the error each time, so that the
largest relative error falls. Prints the coefficients and the errors in double and in float arithmetic.

  python3 tools/fit_erf.py
"""
import numpy as np
from scipy.special import erf

X, DEGREE, ROUNDS = 3.9, 5, 200


def fit():
    x = X * (1 - np.cos(np.linspace(0, np.pi, 4001)[1:])) / 2
    t, f = x * x, erf(x) / x
    powers = np.stack([t ** k for k in range(DEGREE + 1)], 1)
    weight, q = np.ones_like(x), np.ones_like(x)
    for _ in range(ROUNDS):
        scale = np.sqrt(weight) / (q * f)
        matrix = np.concatenate([powers, -f[:, None] * powers[:, 1:]], 1)
        c = np.linalg.lstsq(matrix * scale[:, None], f * scale, rcond=None)[0]
        p, q = powers @ c[:DEGREE + 1], 1 + powers[:, 1:] @ c[DEGREE + 1:]
        error = np.abs(p / q / f - 1)
        weight *= error / error.max() + 1e-3
        weight /= weight.sum()
    return c[:DEGREE + 1], np.concatenate([[1], c[DEGREE + 1:]]), error.max()


def horner(c, t):
    y = np.full_like(t, np.float32(c[-1]))
    for value in c[-2::-1]:
        y = y * t + np.float32(value)
    return y


def main():
    p, q, error = fit()
    print("p", " ".join("%.9gf" % np.float32(v) for v in p))
    print("q", " ".join("%.9gf" % np.float32(v) for v in q))
    x = np.linspace(0, X, 2000001).astype(np.float32)[1:]
    exact = erf(x.astype(np.float64))
    y = x * horner(p, x * x) / horner(q, x * x)
    print("relative error: %.1e in double, %.1e in float" % (error, np.max(np.abs(y - exact) / exact)))


if __name__ == "__main__":
    main()
