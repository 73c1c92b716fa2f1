"""Trains and samples networks in PyTorch: an independent implementation for comparison with the stages train and
sample. The networks, initial distributions, optimiser and the distributions of times and noise are the same. The random
numbers are PyTorch's own, so runs agree in their statistics but not value by value.

usage: torch_train.py --data DATA --out DIR (--steps N | --minutes M) [options]; --help lists them

  --method potential   Phi = |x - f|²/2 and the loss |grad Phi - v|²/2 (equation L5), by double backward
  --method velocity    flow matching as usual: the same U-Net's output f is the velocity, loss |f - v|²/2

on the linear path x_t = t·x + (1-t)·w·eps, v = x - w·eps. Writes into DIR
  metrics.ndjson       a line every --log-every steps: step, mean loss and gradient norm since the last line, seconds
                       of training
  samples-STEP.npz     at the end and at the steps of --sample-at: arr_0, uint8 [N, H, W, C] or float32 [N, D], which
                       bin/eval run --input samples=... and bin/eval folders accept
  samples-STEP.png     the first 64 of them, if Pillow is installed
  weights-STEP.pth     at the same steps: the averaged weights as a state dict, which bin/train import accepts
  summary.json         options and speed; also printed

Data: fashion-mnist (idx files in --path), cifar10 (--path: a directory of .bin files, or the archive, .tar.gz or
.tar.xz), 8gaussians (drawn; the error of the field compared with the closed form is measured too, as by train
--field-every).
Threads: OMP_NUM_THREADS. Memory and layout use the settings that torch_speed.py found fastest.
"""
import argparse
import copy
import ctypes
import gzip
import json
import math
import os
import sys
import tarfile
import time

import numpy as np
import torch
import torch_models as models

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1  # of glibc's mallopt: keep freed memory for the next step
libc = ctypes.CDLL(None)
assert libc.mallopt(M_MMAP_THRESHOLD, 1 << 30) and libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))

EDGE = 1e-5  # keeps times off the ends of the path


def options():
    p = argparse.ArgumentParser(
        description="train a potential or a velocity in PyTorch", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    p.add_argument("--method", choices=["potential", "velocity"], default="potential")
    p.add_argument("--data", choices=["fashion-mnist", "cifar10", "8gaussians"], required=True)
    p.add_argument("--path", help="where the data's files are", default="/usr/share/datasets/fashion-mnist")
    p.add_argument(
        "--n-train", type=int, default=0, help="training samples, from the first; 0: all (8gaussians: 50000)"
    )
    p.add_argument("--out", required=True)
    length = p.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int)
    length.add_argument("--minutes", type=float, help="length of the training alone; --decay follows the time")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--flip", action="store_true")
    p.add_argument("--prior-std", type=float, default=1.0)
    p.add_argument("--learning-rate", type=float, default=1e-3)
    p.add_argument("--warmup", type=int, default=100)
    p.add_argument("--decay", choices=["constant", "cosine"], default="cosine")
    p.add_argument("--beta1", type=float, default=0.9)
    p.add_argument("--beta2", type=float, default=0.999)
    p.add_argument("--epsilon", type=float, default=1e-8)
    p.add_argument("--clip-norm", type=float, default=1.0, help="bound on the gradient norm; 0: none")
    p.add_argument("--ema-decay", type=float, default=0.999, help="decay per step")
    p.add_argument("--ema-half-life", type=float, help="half-life in images, instead of --ema-decay")
    p.add_argument("--model", choices=["unet", "mlp", "wrn"], default="unet")
    p.add_argument("--channels", type=int, default=16)
    p.add_argument("--channel-mult", type=json.loads, default=[1, 2, 2])
    p.add_argument("--res-blocks", type=int, default=1)
    p.add_argument("--groups", type=int, default=8)
    p.add_argument("--attention", type=json.loads, default=[], help="downsampling factors, such as [2]")
    p.add_argument("--dropout", type=float, default=0.0)
    p.add_argument("--width", type=int, default=128, help="mlp: units; wrn: widening factor")
    p.add_argument("--depth", type=int, default=3, help="mlp, wrn: layers")
    p.add_argument("--fourier", type=int, default=4)
    p.add_argument("--log-every", type=int, default=20)
    p.add_argument("--sample-at", type=lambda s: [int(v) for v in s.split(",")], default=[], help="such as 1000,2000")
    p.add_argument("--sample-n", type=int, default=1000, help="samples to draw; 0: none")
    p.add_argument("--sample-steps", type=int, default=20, help="Heun steps of two evaluations each")
    p.add_argument("--sample-batch", type=int, default=64)
    return p.parse_args()


def read_images(o):
    """All training images, uint8 [N, C, H, W]."""
    if o.data == "fashion-mnist":
        name = os.path.join(o.path, "train-images-idx3-ubyte")
        with gzip.open(name + ".gz") if os.path.exists(name + ".gz") else open(name, "rb") as f:
            raw = f.read()
        magic, n, h, w = np.frombuffer(raw[:16], ">u4")
        assert magic == 0x803, f"{name} does not begin like an idx file of images"
        return np.frombuffer(raw, np.uint8, offset=16).reshape(n, 1, h, w)
    batches = [f"data_batch_{k}.bin" for k in range(1, 6)]
    if os.path.isdir(o.path):
        inner = os.path.join(o.path, "cifar-10-batches-bin")
        found = {b: open(os.path.join(inner if os.path.isdir(inner) else o.path, b), "rb").read() for b in batches}
    else:
        with tarfile.open(o.path, "r:*") as archive:
            found = {
                os.path.basename(m.name): archive.extractfile(m).read()
                for m in archive
                if os.path.basename(m.name) in batches
            }
    records = np.concatenate([np.frombuffer(found[b], np.uint8).reshape(-1, 3073) for b in batches])
    return records[:, 1:].reshape(-1, 3, 32, 32)


class Ring:
    """Eight Gaussians of std 0.15 on the unit circle, and the exact field of the path to them."""

    angle = torch.arange(8, dtype=torch.float64) * math.pi / 4
    means, std, w = torch.stack([angle.cos(), angle.sin()], 1), 0.15, 1.0

    def draw(self, n):
        return (self.means[torch.randint(8, (n,))] + self.std * torch.randn(n, 2, dtype=torch.float64)).float()

    def field(self, x, t):
        """E[v | x_t = x], the mean of the components' velocities, weighted by their posterior; x: float64 [N, 2]."""
        sigma, dsigma = self.w * (1 - t), -self.w
        var = (t * self.std) ** 2 + sigma ** 2
        off = x[:, None] - t * self.means
        post = torch.softmax(-off.square().sum(2) / (2 * var), 1)
        slope = (t * self.std ** 2 + sigma * dsigma) / var
        return (post[:, :, None] * (self.means + slope * off)).sum(1)

    def errors(self, flow):
        """Relative root mean square error at three times, 1,000 points each."""
        out, state = {}, torch.get_rng_state()
        torch.manual_seed(1)
        for t in (0.2, 0.5, 0.8):
            x = t * self.draw(1000).double() + self.w * (1 - t) * torch.randn(1000, 2, dtype=torch.float64)
            want, got = self.field(x, t), flow(x.float(), torch.full((1000,), t)).double()
            out[f"{t:.1f}"] = round(((got - want).square().sum() / want.square().sum()).sqrt().item(), 6)
        torch.set_rng_state(state)
        return out


def build(o, shape):
    if o.model == "mlp":
        return models.MLP(shape[0], o.width, o.depth, o.fourier, outputs=shape[0] if o.method == "velocity" else 1)
    if o.model == "wrn":
        assert o.method == "potential", "a wrn has one output, the potential"
        return models.WRN(shape[0], o.depth, o.width, True)
    return models.UNet(shape[0], o.channels, o.channel_mult, o.res_blocks, o.groups, o.attention, o.dropout)


def velocity(net, method, x, t, create_graph):
    """dx/dt of the flow at x: grad Phi, or the network's output."""
    if method == "velocity":
        return net.field(x, t)
    x = x.detach().requires_grad_()
    return torch.autograd.grad(net(x, t).sum(), x, create_graph=create_graph)[0]


class Batches:
    """Shuffled epochs of data in [-1, 1], with noise and stratified times."""

    def __init__(self, o, data):
        self.o, self.data, self.order = o, data, torch.empty(0, dtype=torch.int64)

    def next(self):
        while len(self.order) < self.o.batch:
            self.order = torch.cat([self.order, torch.randperm(len(self.data))])
        rows, self.order = self.order[:self.o.batch], self.order[self.o.batch:]
        x = self.data[rows]
        if x.dtype == torch.uint8:
            x = x.float() / 127.5 - 1
        if self.o.flip:
            mirrored = torch.rand(len(x)) < 0.5
            x[mirrored] = x[mirrored].flip(-1)
        t = EDGE + (1 - EDGE) * (torch.arange(len(x)) + torch.rand(len(x))) / len(x)
        return x, torch.randn_like(x), t


def rate(o, step, done):
    """The learning rate of a step (counted from 0) after the given fraction of the training."""
    r = o.learning_rate * (min(1, (step + 1) / o.warmup) if o.warmup else 1)
    return r * 0.5 * (1 + math.cos(math.pi * min(1, done))) if o.decay == "cosine" else r


class Trainer:
    def __init__(self, o, net, batches):
        self.o, self.net, self.batches = o, net, batches
        self.params = list(net.parameters())
        self.opt = torch.optim.Adam(self.params, betas=(o.beta1, o.beta2), eps=o.epsilon, foreach=True)
        self.ema = copy.deepcopy(net).eval().requires_grad_(False)
        self.averages = list(self.ema.parameters())
        self.decay = o.ema_decay if o.ema_half_life is None else 0.5 ** (o.batch / o.ema_half_life)

    def step(self, step, done):
        """One step; returns its loss and the gradient's norm before clipping."""
        o, (x, eps, t) = self.o, self.batches.next()
        at = t.clamp(max=1 - EDGE).reshape(-1, *[1] * (x.dim() - 1))
        v = x - o.prior_std * eps
        field = velocity(self.net, o.method, at * x + (1 - at) * o.prior_std * eps, t, create_graph=True)
        loss = 0.5 * (field - v).square().mean()
        # Not loss.backward(), which would also compute the gradient in x. The bias of a last linear layer does not
        # affect grad Phi.
        for p, g in zip(self.params, torch.autograd.grad(loss, self.params, allow_unused=True)):
            p.grad = g
        norm = torch.nn.utils.clip_grad_norm_(self.params, o.clip_norm or math.inf)
        self.opt.param_groups[0]["lr"] = rate(o, step, done)
        self.opt.step()
        decay = min(self.decay, (2 + step) / (11 + step))
        with torch.no_grad():
            torch._foreach_mul_(self.averages, decay)
            torch._foreach_add_(self.averages, self.params, alpha=1 - decay)
        return loss.item(), norm.item()

    def flow(self, x, t):
        return velocity(self.ema, self.o.method, x, t, create_graph=False)


def sample(o, flow, shape):
    """[N, ...]: Heun's method in equal steps from noise to data."""
    noise, out = torch.Generator().manual_seed(o.seed), []
    h = (1 - 2 * EDGE) / o.sample_steps
    for begin in range(0, o.sample_n, o.sample_batch):
        x = o.prior_std * torch.randn(min(o.sample_batch, o.sample_n - begin), *shape, generator=noise)
        with torch.set_grad_enabled(o.method == "potential"):
            for k in range(o.sample_steps):
                t = torch.full((len(x),), EDGE + k * h)
                a = flow(x, t)
                x = x + 0.5 * h * (a + flow(x + h * a, t + h))
        out.append(x.detach())
    return torch.cat(out)


def write_samples(o, x, step):
    name = os.path.join(o.out, f"samples-{step}")
    if x.dim() == 2:
        np.savez(name + ".npz", x.numpy())
        return
    pixels = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    np.savez(name + ".npz", pixels)
    try:
        from PIL import Image
    except ImportError:
        return
    side = min(8, math.isqrt(len(pixels)))
    n, h, w, c = pixels[:side * side].shape
    grid = pixels[:n].reshape(side, side, h, w, c).swapaxes(1, 2).reshape(side * h, side * w, c)
    Image.fromarray(grid[:, :, 0] if c == 1 else grid).save(name + ".png")


def main():
    o = options()
    os.makedirs(o.out, exist_ok=True)
    torch.manual_seed(o.seed)
    ring = Ring() if o.data == "8gaussians" else None
    if ring:
        ring.w = o.prior_std
        data = ring.draw(o.n_train or 50000)
    else:
        images = read_images(o)
        data = torch.from_numpy(images[:o.n_train or len(images)].copy())
    shape = list(data.shape[1:])
    net = build(o, shape)
    run = Trainer(o, net, Batches(o, data))
    sampling, seconds, window, step = [], 0.0, [], 0

    def samples():
        torch.save(run.ema.state_dict(), os.path.join(o.out, f"weights-{step}.pth"))
        if not o.sample_n:
            return
        start = time.perf_counter()
        x = sample(o, run.flow, shape)
        took = time.perf_counter() - start
        sampling.append(dict(step=step, seconds=round(took, 2), samples_per_second=round(len(x) / took, 3)))
        write_samples(o, x, step)

    def finished():
        return step >= o.steps if o.steps is not None else seconds >= 60 * o.minutes

    with open(os.path.join(o.out, "metrics.ndjson"), "w") as metrics:
        while not finished():
            start = time.perf_counter()
            window.append(run.step(step, step / o.steps if o.steps else seconds / (60 * o.minutes)))
            seconds += time.perf_counter() - start
            step += 1
            if step % o.log_every == 0 or finished():
                loss, norm = np.mean(window, 0)
                if not math.isfinite(loss):
                    sys.exit(f"training diverged by step {step}")
                line = dict(
                    step=step, loss=round(float(loss), 6), grad_norm=round(float(norm), 6), seconds=round(seconds, 3)
                )
                if ring and (step % 500 < o.log_every or finished()):
                    line["field_error"] = ring.errors(run.flow)
                print(json.dumps(line), file=metrics, flush=True)
                print(json.dumps(line), file=sys.stderr)
                window = []
            if step in o.sample_at and not finished():
                samples()
    samples()
    summary = dict(
        torch=torch.__version__, threads=torch.get_num_threads(), method=o.method,
        parameters=sum(p.numel() for p in run.params),
        steps=step, images=step * o.batch, final_loss=line["loss"], train_seconds=round(seconds, 2),
        samples_per_second=round(step * o.batch / seconds, 3), sampling=sampling,
        evaluations=2 * o.sample_steps, options=vars(o))
    with open(os.path.join(o.out, "summary.json"), "w") as f:
        json.dump(summary, f, indent=1)
    del summary["options"]
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
