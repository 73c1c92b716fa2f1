"""Writes archives.zip with NumPy: sample archives as other programs write them, each in its own member."""
import io
import os
import zipfile

import numpy as np

here = os.path.dirname(os.path.abspath(__file__))
images = (np.arange(3 * 4 * 5 * 3) * 7 % 256).reshape(3, 4, 5, 3).astype("u1")
labels = np.array([2, 0, 1])
archives = {
    # Good samples.
    "float-labels": (images, labels.astype("f4")),
    "unsigned-labels": (images, labels.astype("u8")),
    "column-labels": (images, labels[:, None]),
    "big-endian": (images.astype(">i4"), labels.astype(">i2")),
    "fortran": (np.asfortranarray(images.astype("i8")), labels),
    "statistics": (images, labels, {"mu": np.zeros(4), "sigma": np.eye(4), "mu_s": np.zeros(7), "sigma_s": np.eye(7)}),
    "grey": (images[..., 0],),
    "half-points": (np.arange(6).reshape(3, 2).astype("f2") / 4,),
    # Good samples with bad labels.
    "one-hot": (images, np.eye(3)[labels]),
    "fractions": (images, labels + 0.5),
    "names": (images, np.array(["cat", "dog", "cat"])),
    "object-labels": (images, np.array([{}, None, 1], dtype=object)),
    "few-labels": (images, labels[:2]),
    # Arrays that are not samples.
    "objects": (np.array([{}, None], dtype=object),),
    "floats": (images / 255,),
    "signed": (images.astype("i2") - 128,),
    "one-image": (images[0],),
    "flat": (images.reshape(3, -1),),
    "complex": (np.ones((3, 2), "c8"),),
    "named": ({"x_train": images, "y_train": labels},),
}
with zipfile.ZipFile(os.path.join(here, "archives.zip"), "w", zipfile.ZIP_DEFLATED) as z:
    for i, (name, content) in enumerate(archives.items()):
        arrays = [a for a in content if not isinstance(a, dict)]
        keys = {k: v for a in content if isinstance(a, dict) for k, v in a.items()}
        b = io.BytesIO()
        (np.savez, np.savez_compressed)[i % 2](b, *arrays, **keys)
        z.writestr(zipfile.ZipInfo(name + ".npz"), b.getvalue())
