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
# Animations: the first frame is read.
for lossless, channels in (False, 3), (True, 3), (False, 4):
    y, x = np.mgrid[:9, :12]
    frames = [np.stack([x * 20, y * 25, x * y + 9 * k, 255 + 0 * x], -1)[..., :channels] for k in range(3)]
    frames = [a.astype(np.uint8) for a in frames]
    frames[1][2:5, 2:5, channels - 1] = 40
    frames = [Image.fromarray(a) for a in frames]
    f = io.BytesIO()
    frames[0].save(f, "webp", save_all=True, append_images=frames[1:], quality=92, lossless=lossless)
    pixels = np.asarray(Image.open(io.BytesIO(f.getvalue())).convert("RGB")).transpose(2, 0, 1)
    out.append(
        {
            "w": 12,
            "h": 9,
            "file": base64.b64encode(f.getvalue()).decode(),
            "pixels": base64.b64encode(pixels.tobytes()).decode(),
            "animated": True,
        }
    )
f = io.BytesIO()
Image.fromarray(np.full((6, 7, 4), 128, np.uint8)).save(f, "webp", quality=92)
out.append({"w": 7, "h": 6, "file": base64.b64encode(f.getvalue()).decode(), "pixels": ""})  # transparent: refused
print(json.dumps(out))
