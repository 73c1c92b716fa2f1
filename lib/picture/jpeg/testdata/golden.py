"""Writes golden.json: JPEG files of every kind that libjpeg reads, and the sha256 of their pixels [3, H, W] in Pillow.

The files are in base64. Needs gcc and libjpeg's headers (Debian: libjpeg62-turbo-dev).

usage: golden.py > golden.json
"""
import base64
import hashlib
import io
import json
import os
import subprocess
import tempfile

import numpy as np
from PIL import Image

here = os.path.dirname(os.path.abspath(__file__))
encoder = os.path.join(tempfile.mkdtemp(), "encode")
subprocess.run(["gcc", "-O", "-o", encoder, os.path.join(here, "encode.c"), "-ljpeg"], check=True)
cases = []


def picture(w, h, channels):
    y, x = np.mgrid[:h, :w]
    planes = [x * 37 + y * 11, x * x + 5 * y, 255 - (y * 29 + x), (x + y) * 9][:channels]
    planes = [np.where(y < h / 2, p % 256, 128 + 100 * np.sin(p / 60)) for p in planes]
    return np.stack(planes, -1).astype(np.uint8)


def add(name, data):
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).transpose(2, 0, 1)
    cases.append(
        {
            "name": name,
            "w": pixels.shape[2],
            "h": pixels.shape[1],
            "file": base64.b64encode(data).decode(),
            "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        }
    )


def encode(w, h, space, factors, mode="o", quality=90, restart=0, markers="d", scans="-"):
    channels = {"grey": 1, "rgb": 3, "ycc": 3, "cmyk": 4, "ycck": 4}[space]
    args = [w, h, space, quality, factors, mode, restart, markers, scans]
    command = [encoder] + [str(a) for a in args]
    data = subprocess.run(command, input=picture(w, h, channels).tobytes(), check=True, stdout=subprocess.PIPE).stdout
    name = " ".join([space, factors, f"{w}x{h}", mode, f"q{quality}"])
    return name + f" restart {restart} markers {markers} scans {scans}", data


each = "0,0,63,0,0/1,0,63,0,0/2,0,63,0,0"  # one scan for each component
samplings = [
    ("1x1,1x1,1x1", "-"),  # 4:4:4
    ("2x1,1x1,1x1", "-"),  # 4:2:2
    ("1x2,1x1,1x1", "-"),  # 4:4:0
    ("2x2,1x1,1x1", "-"),  # 4:2:0
    ("4x1,1x1,1x1", "-"),  # 4:1:1
    ("4x2,1x1,1x1", "-"),  # 4:1:0
    ("1x4,1x1,1x1", "-"),
    ("2x4,1x1,1x1", "-"),
    ("3x1,1x1,1x1", "-"),
    ("1x3,1x1,1x1", "-"),
    ("3x2,1x1,3x1", each),
    ("3x3,1x3,1x1", each),
    ("4x4,1x1,2x2", each),
    ("4x1,2x1,1x1", "-"),
    ("2x2,2x1,1x2", "-"),
    ("2x1,1x2,1x1", "-"),
    ("1x2,2x1,1x1", "-"),
    ("1x1,2x2,2x2", "-"),  # luma is smaller than chroma
    ("1x1,2x1,1x2", "-"),
    ("1x1,1x4,4x1", "-"),
    ("2x2,2x2,2x2", each),
]
for factors, scans in samplings:
    for w, h in (17, 13), (40, 33), (3, 5), (1, 1):
        add(*encode(w, h, "ycc", factors, scans=scans))
    interleaved = {} if scans == "-" else {"scans": "0,0,0,0,1/1,0,0,0,1/2,0,0,0,1/0,1,63,0,0/1,1,63,0,2/2,1,63,0,0"
                                           "/1,1,63,2,1/0,0,0,1,0/1,0,0,1,0/2,0,0,1,0/1,1,63,1,0"}
    add(*encode(19, 21, "ycc", factors, "p", restart=2, **interleaved))
    add(*encode(21, 19, "ycc", factors, "pa", restart=3, **interleaved))
    add(*encode(20, 18, "ycc", factors, "a", scans=scans, restart=2))
for factors in "1x1", "2x2", "3x1", "4x4":
    for mode in "o", "p", "a", "pa":
        add(*encode(18, 11, "grey", factors, mode))
for factors in "1x1,1x1,1x1", "2x1,1x1,1x2", "2x2,1x1,1x1":
    add(*encode(18, 11, "rgb", factors))  # identified by an Adobe segment
    add(*encode(18, 11, "rgb", factors, markers="-"))  # identified by the names of the components
    add(*encode(18, 11, "rgb", factors, markers="j"))  # taken for YCbCr
    add(*encode(18, 11, "ycc", factors, markers="-"))
    add(*encode(18, 11, "ycc", factors, markers="a"))
for factors in (
    "1x1,1x1,1x1,1x1",
    "2x2,1x1,1x1,2x2",
    "2x2,1x1,1x1,1x1",
    "2x1,1x1,1x1,2x1",
    "1x2,1x1,1x1,1x2",
    "4x1,1x1,1x1,4x1",
):
    for space in "cmyk", "ycck":
        for mode in "o", "p", "a":
            add(*encode(18, 11, space, factors, mode))
        add(*encode(18, 11, space, factors, markers="-"))
for quality in 1, 30, 60, 100:  # at 1, the quantisation tables have entries of 16 bits
    add(*encode(33, 20, "ycc", "2x2,1x1,1x1", quality=quality))
    add(*encode(33, 20, "ycc", "1x1,1x1,1x1", "p", quality=quality))
for restart in 1, 3, 7:
    add(*encode(60, 50, "ycc", "2x2,1x1,1x1", restart=restart))
# Progressive files without some of the coefficients, for which libjpeg estimates others.
for factors in "1x1,1x1,1x1", "2x2,1x1,1x1", "1x2,1x1,1x1":
    for w, h in (70, 52), (50, 90), (20, 9), (5, 5):
        for scans in (
            "0 1 2,0,0,0,0",
            "0 1 2,0,0,0,2",
            "0 1 2,0,0,0,1/0,1,5,0,2",
            "0 1 2,0,0,0,1/0,1,5,0,2/1,1,63,0,1/2,1,63,0,0",
            "0 1 2,0,0,0,0/0,1,63,0,3",
        ):
            add(*encode(w, h, "ycc", factors, "p", quality=60, scans=scans))

# Unusual but complete files.
name, data = encode(17, 13, "ycc", "2x2,1x1,1x1")
add("bytes behind the end", data + b"junk" * 300)
scan = data.index(b"\xff\xda")
add("junk between segments", data[:scan] + b"junk\x00" + data[scan:])
add("fill bytes in front of a marker", data[:scan] + b"\xff\xff\xff" + data[scan:])
add("a comment and unknown segments", data[:2] + b"\xff\xfe\x00\x05abc\xff\xec\x00\x03z" + data[2:])
frame = data.index(b"\xff\xc0")
same = bytearray(data)
for i in (frame + 10, frame + 13, frame + 16, scan + 5, scan + 7, scan + 9):
    same[i] = 1
add("components with the same identifier", bytes(same))
name, data = encode(17, 13, "ycc", "2x2,1x1,1x1", mode="-")
while (i := data.find(b"\xff\xc4")) >= 0:
    data = data[:i] + data[i + 2 + int.from_bytes(data[i + 2 : i + 4], "big") :]
add("no Huffman tables (Motion JPEG)", data)

print("[" + ",\n".join(json.dumps(c) for c in cases) + "]")
