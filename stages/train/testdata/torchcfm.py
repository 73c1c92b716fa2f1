"""Writes torchcfm.pth, a checkpoint as the training script of torchcfm for CIFAR-10 saves it, and torchcfm.json: the
velocity in float64 for both sets of weights. Uses python3-torch.

The network is a small one in torchcfm's form, built by lib/training/testdata/golden.py.
"""
import json
import os
import sys

import torch

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "..", "..", "lib", "training", "testdata"))
import golden

torch.manual_seed(5)
net, ema = (golden.UNet(4, 1, [1, 2], 1, 2, attention=[2], dropout=0.1, potential=False,
                        head_channels=4, conv_resample=True, add_time=True).float() for _ in range(2))
for p in [*net.parameters(), *ema.parameters()]:
    p.data += 0.2 * torch.randn_like(p)  # no parameter is 0, so that each one matters
optim = torch.optim.Adam(net.parameters(), lr=2e-4)
sched = torch.optim.lr_scheduler.LambdaLR(optim, lr_lambda=lambda step: min(step, 5000) / 5000)
state = {"net_model": net.state_dict(), "ema_model": ema.state_dict(), "sched": sched.state_dict(),
         "optim": optim.state_dict(), "step": 40}
torch.save(state, os.path.join(here, "torchcfm.pth"))

t = torch.tensor([0.1, 0.5, 0.9])
x = torch.randn(3, 1, 8, 8).float().double()
out = {"x": x.flatten().tolist(), "t": t.tolist()}
for name, model in {"model": net, "ema": ema}.items():
    out[name] = model.double().eval()(x, t).flatten().tolist()
with open(os.path.join(here, "torchcfm.json"), "w") as f:
    json.dump(out, f)
    f.write("\n")
