"""Writes jpeg.json: JPEG files with subsampled colour, and their pixels as Pillow (libjpeg) decodes them, in base64.

usage: jpeg.py > jpeg.json
"""
import base64
import io
import json

import numpy as np
from PIL import Image

out = []
for w, h, subsampling in (
    (17, 13, "4:2:0"),
    (24, 16, "4:2:0"),
    (31, 10, "4:2:2"),
    (5, 4, "4:2:0"),
    (4, 4, "4:2:0"),
    (16, 16, "4:4:4"),
    (9, 8, "4:2:2"),
):
    y, x = np.mgrid[:h, :w]
    rgb = np.stack([(x * 37 + y * 11) % 256, (x * x + 5 * y) % 256, 255 - (y * 29 + x) % 256], -1).astype(np.uint8)
    f = io.BytesIO()
    Image.fromarray(rgb).save(f, "jpeg", quality=92, subsampling=subsampling)
    pixels = np.asarray(Image.open(io.BytesIO(f.getvalue())).convert("RGB")).transpose(2, 0, 1)
    out.append(
        {
            "w": w,
            "h": h,
            "subsampling": subsampling,
            "file": base64.b64encode(f.getvalue()).decode(),
            "pixels": base64.b64encode(pixels.tobytes()).decode(),
        }
    )
print(json.dumps(out))
