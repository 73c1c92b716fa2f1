#!/usr/bin/env python3
"""Writes sets.json: distances between sets of vectors, computed by NumPy, SciPy
and PyTorch directly: in float64, with all pairs at once.

    python3 sets.py > sets.json

The data come from the linear congruential generator of golden.py, which the Go
test repeats to the bit, so only parameters and results are stored. DRAWS are the
rows that lib/random chooses, which this script cannot draw; the tests of lib/random
pin them. Written with NumPy 1.24.2, SciPy 1.10.1 and PyTorch 1.13.
"""
import json
import numpy as np
import torch
from scipy import linalg, stats
from scipy.spatial.distance import cdist, pdist

DRAWS = {
    "kid": [  # for each subset, 8 of the 20 rows of a and 8 of the 25 rows of b
        ([17, 1, 0, 13, 16, 12, 2, 3], [13, 18, 14, 24, 12, 5, 4, 7]),
        ([13, 5, 2, 14, 3, 1, 9, 6], [22, 14, 7, 12, 10, 8, 15, 18]),
        ([3, 1, 13, 7, 16, 6, 18, 12], [5, 0, 15, 18, 9, 8, 24, 17]),
    ],
    "infinity": [
        [2, 1, 24, 43, 11, 51, 45, 39, 21, 32, 18, 22],
        [14, 6, 24, 31, 53, 47, 0, 51, 16, 38, 49, 43, 50, 34, 37, 30, 23, 4, 56, 2, 45, 36, 58, 29],
        [35, 12, 45, 26, 6, 28, 53, 54, 38, 7, 22, 2, 55, 20, 16, 49, 52, 31, 1, 30, 18, 9, 44, 37, 10, 36, 32, 13,
         43, 34,
         50, 25, 39, 42, 11, 41],
        [11, 39, 18, 42, 6, 21, 56, 16, 34, 3, 28, 51, 13, 38, 45, 24, 25, 46, 10, 7, 31, 50, 47, 35, 26, 23, 43, 52,
         40, 17,
         29, 0, 1, 41, 2, 44, 53, 33, 59, 14, 27, 4, 48, 32, 36, 9, 15, 5],
        list(range(60)),
    ],
    "jackknife": [44, 10, 40, 35, 30, 41, 43, 0, 20, 3, 25, 36, 37, 14, 32, 2, 12, 26, 5, 27, 38, 16, 8, 11, 9, 29,
         28, 4, 34,
                  13, 24, 17, 42, 7, 45, 23, 22, 18, 31, 46, 15, 1, 33, 39, 21, 19, 6],
    "mmd": ([39, 26, 24, 15, 2, 31, 6, 5, 12, 30, 35, 36], [0, 6, 38, 33, 37, 12, 24, 34, 3, 17, 1, 7]),
}


class LCG:
    def __init__(self, seed):
        self.state = seed

    def uniform(self):
        self.state = (self.state * 1103515245 + 12345) % 2**31
        return self.state / 2**30 - 1


def data(seed, n, d, shift, scale, decay):
    g = LCG(seed)
    x = np.empty((n, d))
    for i in range(n):
        last = 0.0
        for j in range(d):
            last = 0.5 * last + g.uniform()
            x[i, j] = shift + scale * last / (1 + decay * j)
    return x.astype(np.float32).astype(float)


def kid(x, y):
    def k(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    n, m = len(x), len(y)
    xx, yy = k(x, x), k(y, y)
    return (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1)) - 2 * k(x, y).mean()


def inception_score(logits, splits):
    logits = torch.tensor(logits)
    p, log_p = torch.softmax(logits, 1), torch.log_softmax(logits, 1)
    scores = []
    for i in range(splits):
        lo, hi = i * len(p) // splits, (i + 1) * len(p) // splits
        q = p[lo:hi].mean(0, keepdim=True)
        scores.append((p[lo:hi] * (log_p[lo:hi] - q.log())).sum(1).mean().exp().item())
    return float(np.mean(scores)), float(np.std(scores))


def squares(x, y):
    return ((x[:, None, :] - y[None, :, :]) ** 2).sum(2)


def manifold(real, fake, k):
    # Column 0 of the sorted squares is the point itself, at distance zero.
    r = np.sort(squares(real, real), 1)[:, k]
    f = np.sort(squares(fake, fake), 1)[:, k]
    cross = squares(real, fake)
    inside = cross <= r[:, None]
    return {
        "precision": inside.any(0).mean(),
        "recall": (cross <= f[None, :]).any(1).mean(),
        "density": inside.sum(0).mean() / k,
        "coverage": inside.any(1).mean(),
    }


def frechet(x, y):
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    diff = x.mean(0) - y.mean(0)
    return float(diff @ diff + np.trace(s1) + np.trace(s2) - 2 * np.trace(linalg.sqrtm(s1 @ s2).real))


def mmd(x, y, median):
    out = []
    for scale in [0.25, 0.5, 1, 2, 4]:
        def k(a, b):
            return np.exp(-cdist(a, b, "sqeuclidean") / (2 * (scale * median) ** 2))

        n, m = len(x), len(y)
        out.append((k(x, x).sum() - n) / (n * (n - 1)) + (k(y, y).sum() - m) / (m * (m - 1)) - 2 * k(x, y).mean())
    return out


def auroc(inside, outside):
    return stats.mannwhitneyu(inside, outside).statistic / (len(inside) * len(outside))


out = {"kid": [], "score": [], "manifold": [], "mmd": [], "auroc": []}
for p, q in [
    ((1, 40, 7, 0, 1, 0), (2, 40, 7, 0.25, 1.5, 0)),
    ((3, 600, 5, 0.4, 0.3, 0.1), (4, 600, 5, 0.41, 0.3, 0.1)),  # more than one tile, and close
    ((5, 30, 3, 20, 1, 0), (6, 30, 3, 20.5, 1, 0)),  # a kernel of about 8e6 and more
]:
    value = kid(data(*p), data(*q))
    out["kid"].append({"a": p, "b": q, "size": p[1], "subsets": 1, "mean": value, "std": 0})
p, q = (7, 20, 4, 0, 1, 0), (8, 25, 4, 0.25, 1, 0)
values = [kid(data(*p)[i], data(*q)[j]) for i, j in DRAWS["kid"]]
out["kid"].append({"a": p, "b": q, "size": 8, "subsets": 3, "mean": np.mean(values), "std": np.std(values)})

for p, splits in [((11, 103, 6, 0, 3, 0), 1), ((12, 103, 6, 0, 3, 0), 10), ((13, 700, 12, 50, 400, 0), 2),
                  ((14, 5, 3, 0, 1, 0), 5)]:
    mean, std = inception_score(data(*p), splits)
    out["score"].append({"a": p, "splits": splits, "mean": mean, "std": std})

for p, q, k, grid, copies in [
    ((21, 50, 3, 0, 1, 0), (22, 40, 3, 0.25, 1.25, 0), 3, 0, 0),
    ((23, 600, 6, 0, 1, 0.1), (24, 560, 6, 0.3, 0.7, 0.1), 5, 0, 0),  # more than one tile
    ((25, 60, 4, 300, 1, 0), (26, 60, 4, 300.2, 1, 0), 3, 0, 0),  # far from the origin
    ((27, 80, 2, 0, 1, 0), (28, 90, 2, 0.5, 1, 0), 2, 0.25, 0),  # on a grid: ties and repeated points
    ((29, 60, 9, 0, 1, 0), (30, 60, 9, 5, 1, 0), 3, 0, 20),  # some of the fake vectors are copies of real ones
]:
    x, y = data(*p), data(*q)
    if grid:
        x, y = np.round(x / grid) * grid, np.round(y / grid) * grid
    y[:copies] = x[:copies]
    out["manifold"].append({"a": p, "b": q, "k": k, "grid": grid, "copies": copies, **manifold(x, y, k)})

p, q = (31, 60, 3, 0, 1, 0), (32, 50, 3, 0.4, 1.2, 0)
x, y = data(*p), data(*q)
sizes = [12, 24, 36, 48, 60]
distances = [frechet(x[i], y) for i in DRAWS["infinity"]]
line = stats.linregress(1 / np.array(sizes), distances)
rest = distances - line.intercept - line.slope / np.array(sizes)
out["infinity"] = {"a": p, "b": q, "distances": distances, "value": line.intercept, "slope": line.slope,
                   "residual": np.sqrt((rest**2).sum() / 3)}

p, q, groups = (33, 47, 3, 0, 1, 0), (34, 50, 3, 0.4, 1.2, 0), 10
x, y = data(*p), data(*q)
group = np.empty(47, int)
group[DRAWS["jackknife"]] = np.arange(47) % groups
without = [frechet(x[group != g], y) for g in range(groups)]
error = np.sqrt((groups - 1) / groups * ((without - np.mean(without)) ** 2).sum())
value, half = frechet(x, y), stats.t.ppf(0.975, groups - 1) * error
out["jackknife"] = {"a": p, "b": q, "groups": groups, "without": without, "value": value, "stdErr": error,
                    "low": value - half,
                    "high": value + half}

for p, q, limit in [((41, 50, 2, 0, 1, 0), (42, 61, 2, 0.3, 1, 0), 0),
                    ((43, 300, 5, 100, 1, 0.1), (44, 200, 5, 100, 1, 0.1), 0),
                    ((45, 40, 3, 0, 1, 0), (46, 40, 3, 0, 2, 0), 12)]:
    x, y = data(*p), data(*q)
    if limit:
        x, y = x[DRAWS["mmd"][0]], y[DRAWS["mmd"][1]]
    median = np.median(pdist(np.concatenate([x, y])))
    out["mmd"].append({"a": p, "b": q, "limit": limit, "bandwidth": median, "scales": mmd(x, y, median)})

for p, q, grid in [((51, 40, 1, 0.2, 1, 0), (52, 70, 1, 0, 1, 0), 0),
                   ((53, 200, 1, 0.2, 1, 0), (54, 100, 1, 0, 1, 0), 0.125)]:
    x, y = data(*p)[:, 0], data(*q)[:, 0]
    if grid:
        x, y = np.round(x / grid) * grid, np.round(y / grid) * grid
    out["auroc"].append({"a": p, "b": q, "grid": grid, "value": auroc(x, y)})
print(json.dumps(out, indent=1))
