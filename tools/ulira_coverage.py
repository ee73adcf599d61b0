#!/usr/bin/env python3
"""How often U-LiRA's 95 % intervals hold the AUC they estimate (docs/decisions/0012).

    python3 tools/ulira_coverage.py [ROUNDS]

Margins are drawn with a known AUC: z(k, s) = mu_s + a_k + noise + d [k forgot s]. a_k is what a
network has in common over all samples: the reason why samples are not independent. Two intervals:

  bootstrap   networks drawn again with the fits as they are, 200 times, quantiles 2.5 % and 97.5 %
  jackknife   a pair of networks left out of fits and scores alike (eval/ulira.h)

The truth is the mean AUC over all rounds.
"""
import sys

import numpy as np
from scipy.stats import rankdata, t

S = 200  # samples


def margins(rng, n, d, common):
    halves = [rng.permutation(np.arange(S) < S // 2) for _ in range(n // 2)]
    forgot = np.array([h for half in halves for h in (half, ~half)])
    z = rng.normal(size=(1, S)) + common * rng.normal(size=(n, 1)) + rng.normal(size=(n, S))
    return z + d * forgot, forgot


def scores(z, forgot):
    out = np.zeros_like(z)
    n = len(z)
    for j in range(n // 2):
        keep = np.ones(n, bool)
        keep[2 * j : 2 * j + 2] = False
        density = []
        for c in (forgot, ~forgot):
            w = (c & keep[:, None]).astype(float)
            mean = (w * z).sum(0) / w.sum(0)
            variance = (w * (z - mean) ** 2).sum() / (S * (n / 2 - 2))
            held = z[2 * j : 2 * j + 2]
            density.append(-(np.log(variance) + (held - mean) ** 2 / variance) / 2)
        out[2 * j : 2 * j + 2] = density[0] - density[1]
    return out


def auc(s, forgot):
    ranks = rankdata(s)
    positives = forgot.sum()
    return (ranks[forgot].sum() - positives * (positives + 1) / 2) / (positives * (~forgot).sum())


def bootstrap(rng, z, forgot):
    s = scores(z, forgot)
    drawn = rng.integers(len(z), size=(200, len(z)))
    return np.quantile([auc(s[k].ravel(), forgot[k].ravel()) for k in drawn], [0.025, 0.975])


def jackknife(z, forgot):
    p = len(z) // 2
    without = []
    for j in range(p):
        keep = np.delete(np.arange(len(z)), [2 * j, 2 * j + 1])
        without.append(auc(scores(z[keep], forgot[keep]).ravel(), forgot[keep].ravel()))
    half = t.ppf(0.975, p - 1) * (p - 1) / np.sqrt(p) * np.std(without, ddof=1)
    value = auc(scores(z, forgot).ravel(), forgot.ravel())
    return [value - half, value + half], value


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(f"{rounds} rounds, {S} samples: share of 95 % intervals that hold the AUC; mean width")
    for n in (8, 32):
        for d, common in ((0, 0), (0, 0.5), (0.3, 0.5), (1, 0.5)):
            rng = np.random.default_rng(1)
            found, values = {"bootstrap": [], "jackknife": []}, []
            for _ in range(rounds):
                z, forgot = margins(rng, n, d, common)
                found["bootstrap"].append(bootstrap(rng, z, forgot))
                interval, value = jackknife(z, forgot)
                found["jackknife"].append(interval)
                values.append(value)
            truth = np.mean(values)
            line = [f"N = {n:2}  d = {d:<3}  common {common:<3}  AUC {truth:.4f}"]
            for name, intervals in found.items():
                low, high = np.transpose(intervals)
                held = np.mean((low <= truth) & (truth <= high))
                line.append(f"{name} {100 * held:5.1f} % {np.mean(high - low):.4f}")
            print("   ".join(line), flush=True)


if __name__ == "__main__":
    main()
