"""Writes kinds.json: kinds of files found in practice, and the sha256 of their pixels [3, H, W] in Pillow. Files that
Pillow reads but this package refuses have an error instead.

usage: kinds.py > kinds.json
"""
import base64
import hashlib
import io
import json
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

y, x = np.mgrid[:7, :10]
pixels = np.stack([x * 24, y * 36, (x + y) * 15], -1).astype(np.uint8)
picture = Image.fromarray(pixels)
palette = picture.quantize(16)
profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()[:400]
out = []


def add(name, data, error=""):
    with Image.open(io.BytesIO(data)) as im:
        raw = np.asarray(im.convert("RGB")).transpose(2, 0, 1).tobytes()
    sha256 = "" if error else hashlib.sha256(raw).hexdigest()
    out.append({"name": name, "file": base64.b64encode(data).decode(), "sha256": sha256, "error": error})


def save(im, kind, **options):
    f = io.BytesIO()
    im.save(f, kind, **options)
    return f.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth, colours, rows, interlaced=0, extra=b"", size=(10, 7), step=1000):
    data = zlib.compress(b"".join(b"\0" + r for r in rows))
    parts = b"".join(chunk(b"IDAT", data[i : i + step]) for i in range(0, len(data), step))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colours, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + head + extra + parts + chunk(b"IEND", b"")


def passes(a):
    starts = (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
    for x0, y0, dx, dy in starts:
        part = a[y0::dy, x0::dx]
        if part.size:
            yield from (r.tobytes() for r in part)


rgb = [r.tobytes() for r in pixels]
for depth in 1, 2, 4:
    rows = []
    for r in (x + y) % (1 << depth):
        bits = "".join(format(v, f"0{depth}b") for v in r)
        bits += "0" * (-len(bits) % 8)
        rows.append(bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)))
    add(f"grey PNG of {depth} bits", png(depth, 0, rows))
    add(f"PNG with a palette of {depth} bits", png(depth, 3, rows, extra=chunk(b"PLTE", bytes(range(3 << depth)))))
wide = np.stack([x * 6000, y * 9000, (x + y) * 4000], -1).astype(">u2")
add("PNG of 16 bits", png(16, 2, [r.tobytes() for r in wide]))
add("interlaced PNG", png(8, 2, passes(pixels), 1))
add("interlaced PNG of 1 x 3", png(8, 2, passes(pixels[:3, :1]), 1, size=(1, 3)))
add("PNG with a gamma", png(8, 2, rgb, extra=chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"sRGB", b"\0")))
add("PNG with a profile", save(picture, "png", icc_profile=profile))
add("PNG in many chunks", png(8, 2, rgb, step=5))
add("PNG with bytes behind its end", png(8, 2, rgb) + bytes(99))
absent = chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))
add("PNG with a transparent colour that does not occur", png(8, 2, rgb, extra=absent))
add("PNG with a transparent colour", png(8, 2, rgb, extra=chunk(b"tRNS", bytes(6))), "transparent in places")
add("PNG with an opaque palette", save(palette, "png", transparency=b"\xff" * 16))
add("PNG with a transparent palette", save(palette, "png", transparency=3), "transparent in places")
add("grey PNG with opaque alpha", save(picture.convert("LA"), "png"))
frames = [Image.fromarray(np.roll(pixels, k, 1)) for k in range(3)]
add("animated PNG", save(frames[0], "png", save_all=True, append_images=frames[1:]))
add("GIF", save(palette, "gif"))
add("interlaced GIF", save(palette, "gif", interlace=1))
add("GIF without a trailer", save(palette, "gif")[:-1])
add("GIF with a transparent colour that does not occur", save(palette, "gif", transparency=200))
add("GIF with a transparent colour", save(palette, "gif", transparency=3), "transparent in places")
frames = [f.quantize(8) for f in frames]
add("animated GIF", save(frames[0], "gif", save_all=True, append_images=frames[1:]))
for mode in "1", "L", "P", "RGB", "RGBA":
    add(f"BMP of mode {mode}", save(picture.convert(mode), "bmp"))
rows = b"".join(bytes(r[:, ::-1].tobytes()) + b"\0\0" for r in pixels)
head = struct.pack("<IiiHHIIiiII", 40, 10, -7, 1, 24, 0, 0, 0, 0, 0, 0)
add("BMP from top to bottom", b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + head + rows)
head = struct.pack("<IiiHHIIiiII", 40, 10, 7, 1, 16, 0, 0, 0, 0, 0, 0)
add("BMP of 16 bits", b"BM" + struct.pack("<IHHI", 194, 0, 0, 54) + head + bytes(140), "unsupported BMP")
add("WebP with a profile and Exif", save(picture, "webp", icc_profile=profile, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"))
flagged = bytearray(save(picture, "webp", icc_profile=profile))
flagged[20] |= 16
add("WebP with the flag of alpha, but none", bytes(flagged))
add("WebP with bytes behind its end", save(picture, "webp") + b"junk")
jpeg = save(picture, "jpeg")
segments = b""
for i in range(3):
    part = b"ICC_PROFILE\0" + bytes([i + 1, 3]) + profile[i * 100 :][:100]
    segments += b"\xff\xe2" + struct.pack(">H", 2 + len(part)) + part
add("JPEG with a profile of three segments", jpeg[:2] + segments + jpeg[2:])
add("two JPEG files in one, as in MPO", jpeg + jpeg)
add("TIFF", save(picture, "tiff"), "a TIFF or raw image")
add("JPEG 2000", save(picture, "jpeg2000"), "a JPEG 2000 image")
for w, h in (1, 40), (40, 1), (1, 1):
    for kind in "png", "gif", "bmp", "webp", "jpeg":
        add(f"{kind} of {w} x {h}", save(picture.resize((w, h)), kind))
print("[" + ",\n".join(json.dumps(c) for c in out) + "]")
