"""Writes exif.json: files of every format with Exif data, for every orientation, and their pixels [3, H, W] after
PIL.ImageOps.exif_transpose, all in base64.

usage: exif.py > exif.json
"""
import base64
import io
import json

import numpy as np
from PIL import Image, ImageOps

y, x = np.mgrid[:5, :7]
picture = Image.fromarray(np.stack([x * 30, y * 50, (x + y) * 20], -1).astype(np.uint8))
out = []
for kind in "jpeg", "png", "webp":
    for orientation in range(0, 10):
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif[0x010F] = "a camera"
        data = exif.tobytes()
        if orientation % 2 == 1:  # the same in the other byte order
            data = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0\0\0\0\0\0"
        f = io.BytesIO()
        picture.save(f, kind, exif=data, **({"lossless": True} if kind == "webp" else {}))
        turned = ImageOps.exif_transpose(Image.open(io.BytesIO(f.getvalue()))).convert("RGB")
        out.append(
            {
                "name": f"{kind} {orientation}",
                "orientation": orientation if 1 <= orientation <= 8 else 1,
                "w": turned.width,
                "h": turned.height,
                "file": base64.b64encode(f.getvalue()).decode(),
                "pixels": base64.b64encode(np.asarray(turned).transpose(2, 0, 1).tobytes()).decode(),
            }
        )
print("[" + ",\n".join(json.dumps(c) for c in out) + "]")
