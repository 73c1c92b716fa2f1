"""Measures the time and the memory of one case of the comparison in PyTorch, on two threads.

usage: torch_speed.py CASE SECONDS    prints {"ms": median time of a step, "cpu_ms": mean processor time of a step,
                                      "steps": number of steps}, then the memory
       torch_speed.py CASE -          reads a number of seconds from each line of standard input and answers with a
                                      line each, then the memory at the end of the input
       torch_speed.py CASE check      prints the loss and the norm of the gradient, for weights and data that are the
                                      same in every language

A case is one training step (matching, double backward, Adam, global-norm clipping, moving average of the weights), or
Phi and its gradient with respect to x for the cases field-*, or features of Inception. Drawing the batch is not timed,
and the first steps are not counted.

PyTorch uses its fastest settings. Times of a step of the demo's network and of its field, on one thread of Debian 12's
PyTorch 1.13: 980 and 270 ms with contiguous tensors, 1470 and 430 ms with TORCH_SPEED_LAYOUT=channels_last (no
difference for wrn-10-4). Keeping freed memory for the next step reduces this to 770 and 235 ms; with
TORCH_SPEED_MALLOC=default the kernel clears the pages of every large tensor again. Adam over all parameters at once is
at least as fast as TORCH_SPEED_FOREACH=0.
"""
import ctypes
import json
import math
import os
import resource
import sys
import time

import torch
import torch_models as models

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../feature/testdata"))

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1  # of glibc's mallopt
if os.environ.get("TORCH_SPEED_MALLOC", "keep") == "keep":
    libc = ctypes.CDLL(None)
    assert libc.mallopt(M_MMAP_THRESHOLD, 1 << 30) and libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux gives KiB


imported = peak_mb()
channels_last = os.environ.get("TORCH_SPEED_LAYOUT", "contiguous") == "channels_last"
foreach = os.environ.get("TORCH_SPEED_FOREACH", "1") == "1"

demo = lambda: models.UNet(1, 16, [1, 2, 2], 1, 8)
unet32 = lambda: models.UNet(3, 32, [2, 2, 2], 4, 32, attention=[2])
mlp = lambda: models.MLP(2, 128, 3, 4)
CASES = {  # network, sample shape, batch, objective
    "mlp-matching": (mlp, [2], 512, "matching"),
    "mlp-energy": (mlp, [2], 512, "energy"),
    "demo": (demo, [1, 28, 28], 64, "matching"),
    "wrn-10-4": (lambda: models.WRN(3, 10, 4, True), [3, 32, 32], 16, "matching"),
    "unet-32": (unet32, [3, 32, 32], 8, "matching"),
    "field-unet-32": (unet32, [3, 32, 32], 64, "field"),
    "field-demo": (demo, [1, 28, 28], 64, "field"),
    "inception": (lambda: Inception(), [3, 32, 32], 16, "features"),
}


class Inception(torch.nn.Module):
    """The features of images at the last layer, including the resize, with weights from a formula."""

    def __init__(self):
        import inception  # imported here because it needs Pillow

        super().__init__()
        self.code = inception
        with open(os.path.join(os.path.dirname(inception.__file__), "inception_shapes.json")) as f:
            shapes = json.load(f)
        read = inception.formula(shapes)
        self.fixed = {}
        self.net = inception.Net(lambda name: self.fixed[name] if name in self.fixed else self.keep(name, read))
        self.images = inception.images(16, 32, 32)
        self.weights = torch.nn.ParameterList([torch.empty(sum(math.prod(s) for s in shapes.values()))])

    def keep(self, name, read):
        self.fixed[name] = read(name)
        return self.fixed[name]

    def features(self):
        self.net.run(self.code.resize(self.images, "pytorch-fid"), 2048)
        return torch.from_numpy(self.net.taps[2048])


build, shape, batch, objective = CASES[sys.argv[1]]
torch.manual_seed(0)
net = build()
params = list(net.parameters())
dim = math.prod(shape)
col = lambda v: v.reshape([batch] + [1] * len(shape))


def wave(k, *shape):
    """Values in [-1, 1] that are exact in every language."""
    i = torch.arange(math.prod(shape))
    return (((i * 7919 + k * 104729) % 2003).double() / 1001 - 1).float().reshape(shape)


check = sys.argv[2] == "check"
if check and objective == "features":
    values = net.features()
    print(
        json.dumps(
            dict(
                parameters=sum(p.numel() for p in params),
                value=values.double().mean().item(),
                norm=values.double().norm().item(),
            )
        )
    )
    sys.exit()
if check:
    for k, (name, p) in enumerate(net.named_parameters()):
        fan = math.prod(p.shape[1:]) if p.dim() > 1 else 4
        offset = 1.0 if p.dim() == 1 and name.endswith("weight") else 0.0
        p.data = (offset + wave(k, *p.shape).double() * 1.5 / math.sqrt(fan)).float()
    x, eps = wave(50, batch, *shape), 1.5 * wave(60, batch, *shape)
    t = 0.5 + 0.4 * wave(70, batch)
else:
    x, eps = torch.randn(batch, *shape), torch.randn(batch, *shape)
    t = torch.rand(batch) * 0.99998 + 1e-5

if channels_last and len(shape) == 3:
    net = net.to(memory_format=torch.channels_last)
    x, eps = x.to(memory_format=torch.channels_last), eps.to(memory_format=torch.channels_last)
opt = torch.optim.Adam(params, lr=1e-3, foreach=foreach)
ema = [p.detach().clone() for p in params]


def field():
    at = x.detach().requires_grad_()
    phi = net(at, t)
    return phi, torch.autograd.grad(phi.sum(), at)[0]


def gradients():
    xt = (col(t) * x + col(1 - t) * eps).requires_grad_()
    phi = net(xt, t)
    grad, = torch.autograd.grad(phi.sum(), xt, create_graph=True)
    if objective == "matching":
        loss = 0.5 * (grad - (x - eps)).square().sum() / (batch * dim)
    else:
        # sigma = 1 - t cancels: the innovation is divided by it and the weight of the loss multiplies by it.
        c = eps.square().flatten(1).sum(1) - dim - (eps * x).flatten(1).sum(1)
        loss = (0.5 * (1 - t) * grad.square().flatten(1).sum(1) + phi * c).sum() / (batch * dim)
    # Not loss.backward(), which would also compute the gradient in xt.
    # The bias of a last linear layer does not affect grad Phi, hence not the matching loss.
    return loss, torch.autograd.grad(loss, params, allow_unused=True)


def train(k):
    loss, grads = gradients()
    for p, g in zip(params, grads):
        p.grad = g
    torch.nn.utils.clip_grad_norm_(params, 1.0)
    opt.step()
    decay = min(0.999, (2 + k) / (11 + k))
    with torch.no_grad():
        torch._foreach_mul_(ema, decay)
        torch._foreach_add_(ema, params, alpha=1 - decay)
    return loss


if check:
    if objective == "field":
        phi, grad = field()
        values = phi.mean().item(), grad.norm().item()
    else:
        loss, grads = gradients()
        values = loss.item(), torch.stack([g.norm() for g in grads if g is not None]).norm().item()
    print(
        json.dumps(
            dict(parameters=sum(p.numel() for p in params), tensors=len(params), value=values[0], norm=values[1])
        )
    )
    sys.exit()

count = 0


def steps(seconds):
    """Median time of a step in milliseconds, from at least three steps in the given number of seconds."""
    global count
    took, begin, cpu = [], time.perf_counter(), time.process_time()
    while len(took) < 3 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        if objective == "features":
            net.features()
        elif objective == "field":
            field()
        else:
            train(count).item()
        took.append(time.perf_counter() - start)
        count += 1
    took.sort()
    cpu = 1e3 * (time.process_time() - cpu) / len(took)
    return dict(ms=1e3 * took[len(took) // 2], cpu_ms=cpu, steps=len(took))


steps(0.5)  # warm-up
if sys.argv[2] == "-":
    print(json.dumps(dict(parameters=sum(p.numel() for p in params))), flush=True)
    for line in sys.stdin:
        print(json.dumps(steps(float(line))), flush=True)
else:
    print(json.dumps(steps(float(sys.argv[2]))))
print(json.dumps(dict(peak_mb=peak_mb(), base_mb=imported)))
