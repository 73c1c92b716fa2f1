"""Writes webp.json: WebP files and their pixels as Pillow (libwebp) decodes them, in base64.

usage: webp.py > webp.json
"""
import base64
import io
import json

import numpy as np
from PIL import Image

out = []
for w, h, lossless in (17, 13, False), (24, 16, False), (1, 1, False), (2, 5, False), (40, 3, False), (9, 8, True):
    y, x = np.mgrid[:h, :w]
    rgb = np.stack([(x * 37 + y * 11) % 256, (x * x + 5 * y) % 256, 255 - (y * 29 + x) % 256], -1).astype(np.uint8)
    rgb[:, : w // 3] = 255  # white, which is 235 before conversion
    f = io.BytesIO()
    Image.fromarray(rgb).save(f, "webp", quality=92, lossless=lossless)
    pixels = np.asarray(Image.open(io.BytesIO(f.getvalue())).convert("RGB")).transpose(2, 0, 1)
    out.append(
        {
            "w": w,
            "h": h,
            "file": base64.b64encode(f.getvalue()).decode(),
            "pixels": base64.b64encode(pixels.tobytes()).decode(),
        }
    )
f = io.BytesIO()
Image.fromarray(np.full((6, 7, 4), 128, np.uint8)).save(f, "webp", quality=92)
out.append({"w": 7, "h": 6, "file": base64.b64encode(f.getvalue()).decode(), "pixels": ""})  # transparent: refused
print(json.dumps(out))
