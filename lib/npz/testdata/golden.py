"""Uses NumPy to write the .npz and .npy files that npz_test.go reads. Values are functions of their indices."""
import os
import numpy as np
from numpy.lib import format as npy

here = os.path.dirname(os.path.abspath(__file__))


def at(name):
    return os.path.join(here, name)


base = np.arange(24).reshape(2, 3, 4)
images = (np.arange(2 * 4 * 5 * 3) * 7 % 256).astype(np.uint8).reshape(2, 4, 5, 3)
kinds = {
    "arr_0": images,
    "f4": (base / 7).astype("<f4"),
    "f8": base / 7,
    "f2": (base / 4).astype("<f2"),
    "u8": base.astype("<u8"),
    "u8large": np.array([2**63], "<u8"),
    "big": (base / 7).astype(">f8"),
    "i4": (base - 12).astype("<i4"),
    "i8": (base - 12).astype("<i8") * 2**40,
    "i2": (base - 12).astype(">i2"),
    "u2": (base + 65500).astype("<u2"),
    "i1": (base - 12).astype("i1"),
    "bool": base % 2 == 0,
    "fortran": np.asfortranarray(base / 7),
    "scalar": np.float64(2.5),
    "empty": np.zeros((0, 3), "<f4"),
    "line": np.arange(5.0),
}
np.savez(at("kinds.npz"), **kinds)
np.savez_compressed(at("packed.npz"), **kinds)
half = np.arange(12.0).reshape(4, 3) / 8
np.savez(at("statistics.npz"), mu=half.mean(0), sigma=np.cov(half, rowvar=False))
np.savez(at("statistics32.npz"), mu=half.mean(0).astype("<f4"), sigma=np.cov(half, rowvar=False).astype("<f4"))
for version in (1, 2, 3):
    with open(at("v%d.npy" % version), "wb") as f:
        npy.write_array(f, (base / 7).astype("<f4"), version=(version, 0))
np.savez(at("objects.npz"), arr_0=np.array([{}, None], dtype=object))
np.savez(at("records.npz"), arr_0=np.zeros(2, dtype=[("a", "<f4"), ("b", "<i8")]))
