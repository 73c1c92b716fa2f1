"""Writes resize.json: grey images resized and colour images converted to grey by Pillow, in base64. resize_test.go
makes the same inputs.

usage: resize.py > resize.json
"""
import base64
import json

import numpy as np
import PIL
from PIL import Image


def noise(n, seed):
    """Bytes of a linear congruential generator; every other run of 32 is black or white, to clip overshoot."""
    out = np.zeros(n, np.uint8)
    s = seed
    for i in range(n):
        s = (s * 1664525 + 1013904223) & 0xFFFFFFFF
        v = s >> 24
        out[i] = v if i // 32 % 2 == 0 else 255 * (v >> 7)
    return out


def b64(a):
    return base64.b64encode(np.asarray(a, np.uint8).tobytes()).decode()


filters = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
resized = []
sizes = [
    (140, 140, 64, 64),
    (64, 64, 32, 32),
    (37, 53, 16, 16),
    (16, 16, 37, 21),
    (5, 200, 9, 7),
    (1, 1, 4, 4),
    (7, 3, 1, 1),
    (33, 20, 33, 10),
    (20, 33, 7, 33),
]
for i, (h, w, oh, ow) in enumerate(sizes):
    src = Image.fromarray(noise(h * w, i).reshape(h, w))
    for name, f in filters.items():
        resized.append({"H": h, "W": w, "OutH": oh, "OutW": ow, "Filter": name, "Pixels": b64(src.resize((ow, oh), f))})
rgb = noise(3 * 40 * 50, 99).reshape(3, 40, 50)
grey = Image.fromarray(np.ascontiguousarray(rgb.transpose(1, 2, 0))).convert("L")
print(json.dumps({"Pillow": PIL.__version__, "Resized": resized, "Grey": b64(grey)}))
