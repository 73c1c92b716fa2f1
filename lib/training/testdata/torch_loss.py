"""Computes the loss of trained weights on held-out images, in PyTorch. All files get the same images, times and noise.
This comparison is therefore far more precise than a comparison of samples, whose distance from the data depends on
their noise.

usage: torch_loss.py FILE... [options]; --help lists them

FILE holds the weights of a U-Net on the linear path: a state dict (.pth, from torch_train.py) or safetensors (from
train export). --velocity files are networks that output the velocity itself. Prints one line of JSON for each file:
  loss    mean of |dx/dt - v|²/2 over all components, images and times (equation L5), and in five bins of time
  after   the mean difference from the first file, image by image, and its standard error
"""
import argparse
import gzip
import json
import os
import struct

import numpy as np
import torch
import torch_models as models

EDGE = 1e-5
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))


def options():
    p = argparse.ArgumentParser(
        description="held-out loss of weights", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    p.add_argument("files", nargs="+")
    p.add_argument(
        "--velocity", action="append", default=[], help="a further file, of a network that is the velocity itself"
    )
    p.add_argument(
        "--images", default="/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz", help="idx file, .gz"
    )
    p.add_argument("--n", type=int, default=10000)
    p.add_argument("--batch", type=int, default=100)
    p.add_argument("--channels", type=int, default=16)
    p.add_argument("--channel-mult", type=json.loads, default=[1, 2, 2])
    p.add_argument("--groups", type=int, default=8)
    return p.parse_args()


def weights(path):
    if not path.endswith(".safetensors"):
        return torch.load(path)
    with open(path, "rb") as f:
        size, = struct.unpack("<Q", f.read(8))
        head, body = json.loads(f.read(size)), f.read()
    head.pop("__metadata__", None)
    return {
        k: torch.frombuffer(bytearray(body[slice(*v["data_offsets"])]), dtype=torch.float32).reshape(v["shape"])
        for k, v in head.items()
    }


def read(path, n):
    with gzip.open(path) as f:
        raw = f.read()
    magic, count, h, w = np.frombuffer(raw[:16], ">u4")
    assert magic == 0x803, f"{path} does not begin like an idx file of images"
    return (
        torch.from_numpy(np.frombuffer(raw, np.uint8, offset=16).reshape(count, 1, h, w)[:n].copy()).float() / 127.5 - 1
    )


def losses(o, path, images, t, eps):
    """The loss of every image, float64 [N]."""
    net = models.UNet(images.shape[1], o.channels, o.channel_mult, 1, o.groups)
    net.load_state_dict(weights(path))
    net.eval().requires_grad_(False)
    out = []
    for k in range(0, len(images), o.batch):
        x, u, e = images[k:k + o.batch], t[k:k + o.batch], eps[k:k + o.batch]
        at = u.reshape(-1, 1, 1, 1)
        point = (at * x + (1 - at) * e).requires_grad_()
        if path in o.velocity:
            with torch.no_grad():
                field = net.field(point, u)
        else:
            field = torch.autograd.grad(net(point, u).sum(), point)[0]
        out.append(0.5 * (field - (x - e)).double().square().mean((1, 2, 3)))
    return torch.cat(out)


def main():
    o = options()
    images = read(o.images, o.n)
    torch.manual_seed(0)
    n = len(images)
    t = (EDGE + (1 - 2 * EDGE) * (torch.arange(n) + torch.rand(n)) / n)[torch.randperm(n)]
    eps = torch.randn_like(images)
    first = None
    for path in o.files + o.velocity:
        v = losses(o, path, images, t, eps)
        first = v if first is None else first
        bins = [round(v[(t * 5).long() == k].mean().item(), 5) for k in range(5)]
        difference = v - first
        print(json.dumps(dict(file=path, n=n, loss=round(v.mean().item(), 6), by_time=bins, after=[
            round(difference.mean().item(), 6), round(difference.std().item() / n ** 0.5, 6)])), flush=True)


if __name__ == "__main__":
    main()
