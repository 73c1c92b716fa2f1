"""Writes arrays-*.pickle: a dictionary like those in CIFAR-10's batches, as Python 2 and 3 write it. Needs NumPy.

    cd lib/torchfile/testdata && python3 arrays.py
"""
import pickle
import struct

import numpy as np

data = (np.arange(6 * 4) * 11 % 256).astype(np.uint8).reshape(6, 4)
labels = [3, 1, 4, 1, 5, 9]

for protocol in (2, 3, 4, 5):
    with open(f"arrays-{protocol}.pickle", "wb") as f:
        pickle.dump({b"data": data, b"labels": labels, b"batch_label": b"batch 1 of 5"}, f, protocol)


def text(s):
    """A str of Python 2, which pickles of Python 3 cannot hold."""
    return (b"U" + bytes([len(s)]) if len(s) < 256 else b"T" + struct.pack("<i", len(s))) + s


def tuple_of(*items):
    return b"(" + b"".join(items) + b"t"


def byte(n):
    return b"K" + bytes([n])


# What cPickle of Python 2 writes, without its memo.
array = (
    b"cnumpy.core.multiarray\n_reconstruct\n" + tuple_of(b"cnumpy\nndarray\n", tuple_of(byte(0)), text(b"b")) + b"R"
    + tuple_of(byte(1), tuple_of(byte(6), byte(4)),
               b"cnumpy\ndtype\n" + tuple_of(text(b"u1"), byte(0), byte(1)) + b"R"
               + tuple_of(byte(3), text(b"|"), b"N", b"N", b"N", b"J\xff\xff\xff\xff", b"J\xff\xff\xff\xff", byte(0))
               + b"b",
               b"\x89", text(data.tobytes()))
    + b"b"
)
old = (b"\x80\x02}(" + text(b"data") + array + text(b"labels") + b"](" + b"".join(byte(n) for n in labels) + b"eu.")
assert (pickle.loads(old, encoding="latin1")["data"] == data).all()
with open("arrays-old.pickle", "wb") as f:
    f.write(old)
