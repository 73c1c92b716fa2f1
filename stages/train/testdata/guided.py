"""Writes guided.pth, the state dict of a class-conditional U-Net in the layout of guided diffusion (with
label_emb.weight, without a prefix), and guided.json: Phi and grad Phi in float64, with labels and without (label -1).
Uses python3-torch.

The network is that of lib/training/testdata/torch_models.py with random weights.
"""
import json
import os
import sys

import torch

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "..", "..", "lib", "training", "testdata"))
import torch_models

torch.manual_seed(6)
net = torch_models.UNet(1, 4, [1, 2], 1, 2, attention=[2], classes=5)
for p in net.parameters():
    p.data += 0.2 * torch.randn_like(p)  # no parameter is 0, so that each one matters
torch.save(net.state_dict(), os.path.join(here, "guided.pth"))

net.double().eval()
y = torch.tensor([-1, 0, 4, 2])
t = torch.tensor([0.1, 0.5, 0.9, 0.5], dtype=torch.float64)
x = torch.randn(4, 1, 8, 8).double().requires_grad_()
phi = net(x, t, y)
grad, = torch.autograd.grad(phi.sum(), x)
with open(os.path.join(here, "guided.json"), "w") as f:
    json.dump({"x": x.flatten().tolist(), "t": t.tolist(), "labels": y.tolist(), "phi": phi.tolist(),
               "grad": grad.flatten().tolist()}, f)
    f.write("\n")
