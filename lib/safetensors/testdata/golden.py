"""Writes golden.safetensors with the standard library only, following the specification of the format: a length, a
header in JSON, the data (https://huggingface.co/docs/safetensors). Tensors are sorted neither by name nor by type."""
import json
import os
import struct

here = os.path.dirname(os.path.abspath(__file__))
half = [0x3C00, 0xB800, 0x7BFF, 0x0001, 0x7C00, 0x068E, 0x8000]  # 1, -0.5, 65504, 2^-24, infinity, 0.0001, -0
tensors = [
    ("z.f32", "F32", [2, 3], struct.pack("<6f", *[i / 7 for i in range(6)])),
    ("bf16", "BF16", [4], struct.pack("<4H", 0x3F80, 0xC000, 0x430F, 0x0000)),  # 1, -2, 143, 0
    ("f64", "F64", [3], struct.pack("<3d", 0.1, -2.0, 1e300)),
    ("f16", "F16", [7], struct.pack("<7H", *half)),
    ("scalar", "F32", [], struct.pack("<f", 2.5)),
    ("empty", "F32", [0, 3], b""),
    ("i64", "I64", [2], struct.pack("<2q", -3, 2**40)),
    ("u8", "U8", [3], bytes([0, 1, 255])),
    ("u64", "U64", [1], struct.pack("<Q", 5)),
]
header, data = {"__metadata__": {"format": "pt"}}, b""
for name, dtype, shape, raw in tensors:
    header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
    data += raw
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(os.path.join(here, "golden.safetensors"), "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + data)
