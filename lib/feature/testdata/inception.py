"""Writes inception.json: features of the FID's Inception network by PyTorch, and images resized by the original
libraries.

usage: inception.py DIRECTORY    which contains inception-2015-12-05-trunk.pth (weights) and CIFAR-10's archive

The network is written from the table of its blocks, independently of the Go code. Some cases use weights from a formula
that is exact in every language.
"""
import base64
import json
import os
import sys
import tarfile

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

torch.set_grad_enabled(False)


class Net:
    def __init__(self, weights):
        self.w, self.taps = weights, {}

    def unit(self, name, x, stride=1, pad=0):
        get = lambda part: self.w(f"{name}.{part}")
        x = F.conv2d(x, get("conv.weight"), stride=stride, padding=pad)
        return F.relu(
            F.batch_norm(
                x, get("bn.running_mean"), get("bn.running_var"), get("bn.weight"), get("bn.bias"), eps=1e-3
            )
        )

    def tap(self, x):
        self.taps[x.shape[1]] = x.mean((2, 3)).numpy()
        return x

    def run(self, x, last):
        u, tap = self.unit, self.tap
        avg = lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        x = u("Conv2d_1a_3x3", x, 2)
        x = u("Conv2d_2a_3x3", x)
        x = tap(F.max_pool2d(u("Conv2d_2b_3x3", x, 1, 1), 3, 2))
        x = u("Conv2d_3b_1x1", x)
        x = tap(F.max_pool2d(u("Conv2d_4a_3x3", x), 3, 2))
        for m in "Mixed_5b", "Mixed_5c", "Mixed_5d":
            n = lambda s: f"{m}.{s}"
            x = torch.cat([
                u(n("branch1x1"), x),
                u(n("branch5x5_2"), u(n("branch5x5_1"), x), 1, 2),
                u(n("branch3x3dbl_3"), u(n("branch3x3dbl_2"), u(n("branch3x3dbl_1"), x), 1, 1), 1, 1),
                u(n("branch_pool"), avg(x)),
            ], 1)
        m = "Mixed_6a"
        x = torch.cat([
            u("Mixed_6a.branch3x3", x, 2),
            u("Mixed_6a.branch3x3dbl_3", u("Mixed_6a.branch3x3dbl_2", u("Mixed_6a.branch3x3dbl_1", x), 1, 1), 2),
            F.max_pool2d(x, 3, 2),
        ], 1)
        row, col = (0, 3), (3, 0)
        for m in "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e":
            n = lambda s: f"{m}.{s}"
            seven = u(n("branch7x7_3"), u(n("branch7x7_2"), u(n("branch7x7_1"), x), 1, row), 1, col)
            dbl = u(n("branch7x7dbl_3"), u(n("branch7x7dbl_2"), u(n("branch7x7dbl_1"), x), 1, col), 1, row)
            dbl = u(n("branch7x7dbl_5"), u(n("branch7x7dbl_4"), dbl, 1, col), 1, row)
            x = torch.cat([u(n("branch1x1"), x), seven, dbl, u(n("branch_pool"), avg(x))], 1)
        tap(x)
        m = "Mixed_7a."
        x = tap(torch.cat([
            u(m + "branch3x3_2", u(m + "branch3x3_1", x), 2),
            u(
                m + "branch7x7x3_4",
                u(m + "branch7x7x3_3", u(m + "branch7x7x3_2", u(m + "branch7x7x3_1", x), 1, row), 1, col),
                2,
            ),
            F.max_pool2d(x, 3, 2),
        ], 1))
        if last == 1280:
            return
        for m in "Mixed_7b.", "Mixed_7c.":
            three, dbl = u(m + "branch3x3_1", x), u(m + "branch3x3dbl_2", u(m + "branch3x3dbl_1", x), 1, 1)
            pool = avg(x) if m == "Mixed_7b." else F.max_pool2d(x, 3, 1, 1)
            x = torch.cat([
                u(m + "branch1x1", x),
                u(m + "branch3x3_2a", three, 1, (0, 1)), u(m + "branch3x3_2b", three, 1, (1, 0)),
                u(m + "branch3x3dbl_3a", dbl, 1, (0, 1)), u(m + "branch3x3dbl_3b", dbl, 1, (1, 0)),
                u(m + "branch_pool", pool),
            ], 1)
        tap(x)
        if last == 2048:
            return
        self.taps[1008] = (x.mean((2, 3)) @ self.w("fc.weight").T).numpy()


def resize(images, how):
    """images: uint8 [N, 3, H, W]; returns [N, 3, 299, 299] as the network takes it."""
    x = torch.from_numpy(images).float()
    if how == "pytorch-fid":
        return 2 * F.interpolate(x / 255, size=(299, 299), mode="bilinear", align_corners=False) - 1
    if how == "clean":
        planes = [
            np.asarray(Image.fromarray(p.numpy(), mode="F").resize((299, 299), resample=Image.BICUBIC))
            for p in x.reshape(-1, *x.shape[2:])
        ]
        x = torch.from_numpy(np.clip(np.stack(planes), 0, 255)).reshape(*x.shape[:2], 299, 299)
        return (x - 128) / 128
    out = []  # TensorFlow 1: positions i·in/out, no half pixels
    for size in x.shape[2:]:
        at = torch.arange(299, dtype=torch.float32) * torch.tensor(size / 299, dtype=torch.float32)
        lo = at.long().clamp(max=size - 1)
        out.append((lo, (lo + 1).clamp(max=size - 1), at - lo))
    (y0, y1, fy), (x0, x1, fx) = out
    rows = lambda r: r[..., x0] + (r[..., x1] - r[..., x0]) * fx
    top, bottom = rows(x[:, :, y0]), rows(x[:, :, y1])
    return (top + (bottom - top) * fy[:, None] - 128) / 128


def wave(k, *shape):
    i = np.arange(int(np.prod(shape)))
    return (((i * 7919 + k * 104729) % 2003).astype(np.float64) / 1001 - 1).astype(np.float32).reshape(shape)


def formula(shapes):
    """Weights by formula: the k-th unit's are wave(k), scaled so that activations neither vanish nor explode."""
    names = [n[: -len(".conv.weight")] for n in shapes if n.endswith(".conv.weight")]

    def get(name):
        if name == "fc.weight":
            return torch.from_numpy(wave(99, 1008, 2048) / np.float32(32))
        unit, part = name.rsplit(".", 2)[0], ".".join(name.rsplit(".", 2)[1:])
        k, shape = names.index(unit), shapes[unit + ".conv.weight"]
        if part == "conv.weight":
            return torch.from_numpy(
                (wave(k, *shape).astype(np.float64) * 2.4 / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
            )
        v = wave(
            k + {"bn.weight": 200, "bn.bias": 300, "bn.running_mean": 400, "bn.running_var": 500}[part], shape[0]
        ).astype(np.float64)
        return torch.from_numpy(
            {
                "bn.weight": 1 + 0.2 * v,
                "bn.bias": 0.1 * v,
                "bn.running_mean": 0.1 * v,
                "bn.running_var": 1 + 0.5 * v,
            }[part].astype(np.float32)
        )

    return get


def pack(a):
    return base64.b64encode(np.ascontiguousarray(a, dtype="<f4").tobytes()).decode()


def images(n, h, w):
    i = np.arange(n * 3 * h * w)
    return ((i * 37 + i // 11 * 5 + i // 300) % 256).astype(np.uint8).reshape(n, 3, h, w)


if __name__ == "__main__":
    folder = sys.argv[1]
    out = {
        "shapes": json.load(open(os.path.join(os.path.dirname(__file__), "inception_shapes.json"))),
        "resize": {},
        "formula": {},
        "trunk": {},
    }
    for how in "pytorch-fid", "tf1", "clean":
        small, large = resize(images(1, 7, 32), how), resize(images(1, 640, 310), how)
        # A sample of the pixels of an enlarged and of a reduced image.
        out["resize"][how] = [pack(v.numpy().reshape(-1)[::97]) for v in (small, large)]
    net = Net(formula(out["shapes"]))
    net.run(resize(images(2, 32, 32), "pytorch-fid"), 1008)
    out["formula"] = {str(k): pack(v) for k, v in net.taps.items()}
    trunk = torch.load(os.path.join(folder, "inception-2015-12-05-trunk.pth"))
    with tarfile.open(os.path.join(folder, "cifar-10-binary.tar.xz")) as t:
        raw = t.extractfile("cifar-10-batches-bin/test_batch.bin").read(3073 * 64)
    cifar = np.frombuffer(raw, np.uint8).reshape(-1, 3073)[:, 1:].reshape(-1, 3, 32, 32)
    # 64 images, weights from the formula: for every tap the first image's features and the sum over all images.
    net = Net(formula(out["shapes"]))
    net.run(resize(cifar, "pytorch-fid"), 1008)
    out["formula64"] = {str(k): [pack(v[:1]), pack(v.sum(0))] for k, v in net.taps.items()}
    for how in "pytorch-fid", "tf1", "clean":
        net = Net(lambda name: trunk[name])
        net.run(resize(cifar, how), 1280)
        # 64 images: for every tap the features of the first three and the sum over all.
        out["trunk"][how] = {
            str(k): [pack(v[:3]), pack(v.sum(0))]
            for k, v in net.taps.items()
            if k == 768 or how == "pytorch-fid"
        }
    del out["shapes"]
    json.dump(out, open(os.path.join(os.path.dirname(__file__), "inception.json"), "w"), indent=0)
