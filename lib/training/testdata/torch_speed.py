"""Times the training step of the two-dimensional potential in PyTorch: double backward, Adam, clipping, moving average.

usage: torch_speed.py OBJECTIVE SECONDS    prints steps per second
"""
import math
import sys
import time

import torch

objective, seconds = sys.argv[1], float(sys.argv[2])
torch.set_num_threads(2)
torch.manual_seed(0)
batch, dim, width, depth, fourier = 512, 2, 128, 3, 4
freq = math.pi * 2.0 ** torch.arange(fourier)


class Potential(torch.nn.Module):
    def __init__(self):
        super().__init__()
        layers, n = [], dim + 1 + 2 * fourier
        for _ in range(depth):
            layers += [torch.nn.Linear(n, width), torch.nn.SiLU()]
            n = width
        self.net = torch.nn.Sequential(*layers, torch.nn.Linear(n, 1))

    def forward(self, x, t):
        a = t * freq
        return self.net(torch.cat([x, t, a.sin(), a.cos()], 1))


net = Potential()
ema = [p.detach().clone() for p in net.parameters()]
opt = torch.optim.Adam(net.parameters(), lr=1e-3)


def step(k):
    data, eps, t = torch.randn(batch, dim), torch.randn(batch, dim), torch.rand(batch, 1) * 0.99998 + 1e-5
    x = (t * data + (1 - t) * eps).requires_grad_()
    phi = net(x, t)
    (grad,) = torch.autograd.grad(phi.sum(), x, create_graph=True)
    if objective == "matching":
        loss = 0.5 * ((grad - (data - eps)) ** 2).sum(1).mean() / dim
    else:
        c = ((eps ** 2).sum(1) - dim) / (1 - t[:, 0]) - (eps * data).sum(1) / (1 - t[:, 0])
        loss = (0.5 * (grad ** 2).sum(1) + phi[:, 0] * c).mean() / dim
    opt.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    opt.step()
    decay = min(0.999, (1 + k) / (10 + k))
    with torch.no_grad():
        for e, p in zip(ema, net.parameters()):
            e.mul_(decay).add_(p, alpha=1 - decay)


for k in range(20):
    step(k)
start, n = time.perf_counter(), 0
while time.perf_counter() - start < seconds:
    step(20 + n)
    n += 1
print(n / (time.perf_counter() - start))
