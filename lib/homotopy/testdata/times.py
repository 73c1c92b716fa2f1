"""Quantiles of the time distributions by scipy.stats: python3 times.py > times.json"""
import json

from scipy import stats
from scipy.special import expit

u = [2**-30, 1e-4, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.9999]
print(json.dumps(dict(
    u=u,
    log_uniform=[
        {"from": a, "to": b, "quantiles": stats.loguniform(a, b).ppf(u).tolist()}
        for a, b in [(1e-5, 1), (1e-5, 0.25)]
    ],
    logit_normal=[dict(location=m, scale=s, quantiles=expit(stats.norm(m, s).ppf(u)).tolist())
                  for m, s in [(0, 1), (-0.5, 0.5), (1, 2), (-1.8, 1.4)]],
), indent=1))
