"""Writes table.csv, which uses the whole syntax of RFC 4180, and table.json: the table as Python's csv module reads it,
with means and standard deviations by NumPy.

usage: table.py DIRECTORY
"""
import csv
import json
import sys

import numpy as np

rng = np.random.default_rng(7)
n = 40
kinds = ["plain", 'with "quotes"', "a, b", "two\nlines"]
rows = [
    [
        f"{rng.normal(20, 3):.3f}",
        kinds[rng.integers(4)],
        f"{rng.integers(-5, 5)}",
        f"{rng.normal() * 1e-9:.4e}",
        f" {rng.integers(1900, 2020)} ",
    ]
    for _ in range(n)
]
with open(f"{sys.argv[1]}/table.csv", "w", newline="") as f:
    out = csv.writer(f)  # CRLF line endings, quotes only if needed
    out.writerow(["length, mm", "kind", "steps", "tiny", "year"])
    out.writerows(rows)
with open(f"{sys.argv[1]}/table.csv", newline="") as f:
    read = list(csv.reader(f))[1:]
x = np.array([[float(r[i]) for i in (0, 2, 3, 4)] for r in read])
classes = sorted(set(r[1] for r in read))
json.dump(
    {
        "X": x.tolist(),
        "Labels": [classes.index(r[1]) for r in read],
        "Classes": classes,
        "Mean": x.mean(0).tolist(),
        "Std": x.std(0).tolist(),
    },
    open(f"{sys.argv[1]}/table.json", "w"),
)
