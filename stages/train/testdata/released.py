"""Writes released.pth, a checkpoint in the layout of the method's released code, and released.json: Phi and grad Phi in
float64 for both sets of weights. Uses python3-torch.

The network is that of lib/training/testdata/torch_models.py, trained on noise for two steps of Adam inside
DataParallel, with the moving averages in a list.
"""
import json
import os
import sys

import torch
from torch import nn

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "..", "..", "lib", "training", "testdata"))
import torch_models

torch.manual_seed(5)


class Potential(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = torch_models.UNet(1, 4, [1, 2], 1, 2, attention=[2], dropout=0.3)

    def forward(self, x, t):
        return self.model(x, t)


net = nn.DataParallel(Potential())
params = list(net.parameters())
for p in params:
    p.data += 0.2 * torch.randn_like(p)  # no parameter is 0, so that each one matters
shadow = [p.detach().clone() for p in params]
adam = torch.optim.Adam(params, lr=0.05)
for _ in range(2):
    x, t = torch.randn(4, 1, 8, 8, requires_grad=True), torch.rand(4)
    grad, = torch.autograd.grad(net(x, t).sum(), x, create_graph=True)
    adam.zero_grad()
    (grad - 1).square().mean().backward()
    adam.step()
    shadow = [0.5 * s + 0.5 * p.detach() for s, p in zip(shadow, params)]
state = {"optimizer": adam.state_dict(), "model": net.state_dict(),
         "ema": {"decay": 0.5, "num_updates": 2, "shadow_params": shadow}, "step": 2}
torch.save(state, os.path.join(here, "released.pth"))

net.double().eval()
t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
x = torch.randn(3, 1, 8, 8).double().requires_grad_()
out = {"x": x.flatten().tolist(), "t": t.tolist()}
for name, values in {"model": [p.detach().clone() for p in params], "ema": shadow}.items():
    for p, v in zip(net.parameters(), values):
        p.data = v.double()
    phi = net(x, t)
    grad, = torch.autograd.grad(phi.sum(), x)
    out[name] = {"phi": phi.tolist(), "grad": grad.flatten().tolist()}
with open(os.path.join(here, "released.json"), "w") as f:
    json.dump(out, f)
    f.write("\n")
