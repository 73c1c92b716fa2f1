"""Prints the FID between the first N training and the first N test images of CIFAR-10, computed by PyTorch and SciPy.

usage: fid.py DIRECTORY N TAP

DIRECTORY contains inception-2015-12-05-trunk.pth and cifar-10-binary.tar.xz. TAP selects Inception's layer. The script
also prints the number of images per second.
"""
import os
import sys
import tarfile
import time

import numpy as np
import scipy.linalg
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../lib/feature/testdata"))
import inception

folder, n, tap = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(2)
trunk = torch.load(os.path.join(folder, "inception-2015-12-05-trunk.pth"))
moments = []
start = time.time()
for name in "data_batch_1", "test_batch":
    with tarfile.open(os.path.join(folder, "cifar-10-binary.tar.xz")) as t:
        raw = t.extractfile(f"cifar-10-batches-bin/{name}.bin").read(3073 * n)
    images = np.frombuffer(raw, np.uint8).reshape(-1, 3073)[:, 1:].reshape(-1, 3, 32, 32)
    features = []
    for i in range(0, n, 16):
        net = inception.Net(lambda name: trunk[name])
        net.run(inception.resize(images[i : i + 16], "pytorch-fid"), 1280)
        features.append(net.taps[tap])
    f = np.concatenate(features).astype(np.float64)
    moments.append((f.mean(0), np.cov(f, rowvar=False)))
(m1, s1), (m2, s2) = moments
root = scipy.linalg.sqrtm(s1 @ s2)
print("FID", ((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * np.trace(root).real)
print("images/s", 2 * n / (time.time() - start))
