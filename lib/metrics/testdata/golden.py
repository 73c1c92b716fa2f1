#!/usr/bin/env python3
"""Writes golden.json: distances computed by NumPy and SciPy, independently.

    python3 golden.py > golden.json

The data come from a linear congruential generator that the Go test repeats to
the bit, so only parameters and results are stored. Written with SciPy 1.10.1.
"""
import json
import numpy as np
import scipy
from scipy import linalg


class LCG:
    def __init__(self, seed):
        self.state = seed

    def uniform(self):  # in [-1, 1), 31 bits
        self.state = (self.state * 1103515245 + 12345) % 2**31
        return self.state / 2**30 - 1


def data(seed, n, d, shift, scale, decay):
    """Rows of correlated, unequally scaled components, rounded to float32 as features are."""
    g = LCG(seed)
    x = np.empty((n, d))
    for i in range(n):
        last = 0.0
        for j in range(d):
            last = 0.5 * last + g.uniform()
            x[i, j] = shift + scale * last / (1 + decay * j)
    return x.astype(np.float32).astype(float)


def frechet_sqrtm(x, y):
    """The formula as pytorch-fid writes it."""
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    diff = x.mean(0) - y.mean(0)
    root = linalg.sqrtm(s1 @ s2)
    assert np.abs(root.imag).max() < 1e-9 if np.iscomplexobj(root) else True
    return float(diff @ diff + np.trace(s1) + np.trace(s2) - 2 * np.trace(root.real))


def frechet_nuclear(x, y):
    """For singular covariances, where sqrtm is inaccurate: with S = A^T A,
    Tr sqrt(S1 S2) is the nuclear norm of A1 A2^T."""
    a = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    b = (y - y.mean(0)) / np.sqrt(len(y) - 1)
    diff = x.mean(0) - y.mean(0)
    nuclear = linalg.svdvals(a @ b.T).sum()
    return float(diff @ diff + (a * a).sum() + (b * b).sum() - 2 * nuclear)


CASES = [
    # name, (seed, n, d, shift, scale, decay) twice
    ("small", (1, 40, 5, 0, 1, 0), (2, 60, 5, 0.25, 1.5, 0)),
    ("one dimension", (3, 30, 1, 0, 1, 0), (4, 50, 1, 1, 2, 0)),
    ("features", (5, 400, 64, 0, 1, 0.1), (6, 300, 64, 0.1, 1.2, 0.12)),
    ("ill conditioned", (7, 200, 24, 3, 1, 40), (8, 150, 24, 3.01, 1.1, 35)),
    ("close", (9, 500, 32, 0, 1, 0), (10, 500, 32, 0, 1, 0)),
    ("first singular", (11, 20, 48, 0, 1, 0.1), (12, 300, 48, 0.1, 1, 0.1)),
    ("second singular", (13, 300, 48, 0, 1, 0.1), (14, 20, 48, 0.1, 1, 0.1)),
    ("both singular", (15, 24, 48, 0, 1, 0.1), (16, 30, 48, 0.1, 1, 0.1)),
    ("two vectors", (17, 2, 8, 0, 1, 0), (18, 2, 8, 1, 1, 0)),
    ("constant", (19, 50, 6, 2, 0, 0), (20, 50, 6, 0, 1, 0)),
]

out = {"scipy": scipy.__version__, "numpy": np.__version__, "frechet": [], "w2": []}
for name, p, q in CASES:
    x, y = data(*p), data(*q)
    value = frechet_nuclear(x, y)
    if min(p[1], q[1]) > 2 * p[2] > 2 and p[4] > 0:
        root = frechet_sqrtm(x, y)
        assert abs(root - value) < 1e-9 * max(1, value), (name, root, value)
        value = root
    out["frechet"].append({"name": name, "a": p, "b": q, "value": value})
for p, q in [((21, 31, 1, 0, 1, 0), (22, 31, 1, 1, 1, 0)), ((23, 24, 1, 0, 1, 0), (24, 37, 1, 0, 3, 0))]:
    # Squared cost between quantiles on a grid fine enough to be exact.
    x, y = (
        np.sort(data(*p)[:, 0].astype(np.float32)).astype(float),
        np.sort(data(*q)[:, 0].astype(np.float32)).astype(float),
    )
    fine = len(x) * len(y)
    value = np.sqrt(((np.repeat(x, fine // len(x)) - np.repeat(y, fine // len(y))) ** 2).mean())
    out["w2"].append({"a": p, "b": q, "value": float(value)})
print(json.dumps(out, indent=1))
