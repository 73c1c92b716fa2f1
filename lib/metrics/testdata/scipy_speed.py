#!/usr/bin/env python3
"""SciPy's part of TestAgainstSciPy: repeats the computation once for each line of input.

    python3 scipy_speed.py frechet D MU1 SIGMA1 MU2 SIGMA2
    python3 scipy_speed.py moments D ROWS

Files are flat arrays of float64, or of float32 for rows. Answers are JSON lines: the
seconds that the costly step alone took, and the result.
"""
import json
import sys
import time

import numpy as np
import scipy
from scipy import linalg


def frechet(d, mu1, sigma1, mu2, sigma2):
    """As the usual FID tools compute it."""
    mu1, mu2 = np.fromfile(mu1), np.fromfile(mu2)
    s1, s2 = np.fromfile(sigma1).reshape(d, d), np.fromfile(sigma2).reshape(d, d)

    def run():
        start = time.perf_counter()
        root = linalg.sqrtm(s1 @ s2)
        seconds = time.perf_counter() - start
        diff = mu1 - mu2
        return seconds, diff @ diff + np.trace(s1) + np.trace(s2) - 2 * np.trace(root).real

    return run


def moments(d, rows):
    x = np.fromfile(rows, dtype=np.float32).reshape(-1, d)

    def run():
        start = time.perf_counter()
        mean, cov = x.mean(axis=0, dtype=float), np.cov(x, rowvar=False)
        return time.perf_counter() - start, np.trace(cov) + mean @ mean

    return run


run = {"frechet": frechet, "moments": moments}[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
print(json.dumps({"version": scipy.__version__}), flush=True)
for _ in sys.stdin:
    seconds, value = run()
    print(json.dumps({"seconds": seconds, "value": float(value)}), flush=True)
