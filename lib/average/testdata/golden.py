#!/usr/bin/env python3
"""Writes golden.json: exponents, inner products and coefficients of averages, computed by NumPy.

    python3 golden.py > golden.json

The functions std_to_gamma and p_dot_p follow algorithms 2 and 3 of EDM2 (arXiv 2312.02696). The coefficients solve the
linear system for the minimum under the constraint that their sum is 1. Written with NumPy 1.24.
"""
import json

import numpy as np


def std_to_gamma(std):
    tmp = np.float64(std) ** -2
    return np.roots([1, 7, 16 - tmp, 12 - tmp]).real.max()


def p_dot_p(t_a, gamma_a, t_b, gamma_b):
    t_ratio = t_a / t_b
    t_exp = np.where(t_a < t_b, gamma_b, -gamma_a)
    t_max = np.maximum(t_a, t_b)
    return (gamma_a + 1) * (gamma_b + 1) * t_ratio**t_exp / ((gamma_a + gamma_b + 1) * t_max)


def solve(stds, steps, std, step):
    t, gamma = np.array(steps, np.float64), np.array([std_to_gamma(s) for s in stds])
    t_r, gamma_r = np.float64(step), std_to_gamma(std)
    a = p_dot_p(t[:, None], gamma[:, None], t[None], gamma[None])
    b = p_dot_p(t, gamma, t_r, gamma_r)
    n = len(t)
    system = np.block([[a, np.ones((n, 1))], [np.ones((1, n)), np.zeros((1, 1))]])
    x = np.linalg.solve(system, np.append(b, 1))[:n]
    c = p_dot_p(t_r, gamma_r, t_r, gamma_r)
    return {"stds": stds, "steps": steps, "std": std, "step": step, "coefficients": x.tolist(),
            "residual": float(np.sqrt(max(0, c - 2 * x @ b + x @ a @ x) / c))}


def grid(profiles, steps):
    return [s for _ in steps for s in profiles], [t for t in steps for _ in profiles]


stds = [0.001, 0.01, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.28]
print(json.dumps({
    "gammas": [[s, float(std_to_gamma(s))] for s in stds],
    "inner": [[t, a, u, b, float(p_dot_p(np.float64(t), std_to_gamma(a), np.float64(u), std_to_gamma(b)))]
              for t, a, u, b in [(100, 0.05, 100, 0.05), (100, 0.05, 100, 0.1), (100, 0.05, 250, 0.1),
                                 (250, 0.05, 100, 0.1), (16000, 0.07, 1000, 0.28), (1000, 0.001, 1001, 0.01)]],
    "solved": [
        solve(*grid([0.05, 0.1], range(1000, 17000, 1000)), 0.07, 16000),
        solve(*grid([0.05, 0.1], range(1000, 17000, 1000)), 0.2, 16000),
        solve(*grid([0.05, 0.1], range(64, 64 * 10, 64)), 0.04, 64 * 9),
        solve(*grid([0.03, 0.08, 0.15], [10, 20, 30, 37]), 0.1, 37),
        solve(*grid([0.05, 0.1], [500]), 0.1, 500),
        solve([0.1], [7], 0.05, 7),
    ],
}, indent=1))
