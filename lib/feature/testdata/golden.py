"""The small classifier in PyTorch, for comparison: python3 golden.py > golden.json

Features, logits, cross entropy and its gradients in float64. Formulas give the images and the weights.
"""
import json
import math

import torch
from torch import nn
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def wave(k, shape):
    n = math.prod(shape)
    v = [((i * 7919 + k * 104729) % 2003) / 1001 - 1 for i in range(n)]
    return torch.tensor(v).reshape(shape).float().double()


class Classifier(nn.Module):
    def __init__(self, c, side, channels, features, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(c, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.features = nn.Linear(2 * channels * (side // 4) ** 2, features)
        self.classes = nn.Linear(features, classes)

    def forward(self, x):
        h = F.avg_pool2d(F.silu(self.conv1(x)), 2)
        h = F.avg_pool2d(F.silu(self.conv2(h)), 2)
        f = F.silu(self.features(h.flatten(1)))
        return f, self.classes(f)


net = Classifier(2, 8, 3, 6, 4)
for k, p in enumerate(net.parameters()):
    fan = math.prod(p.shape[1:]) if p.dim() > 1 else 4
    p.data = (wave(k, p.shape) * 2 / math.sqrt(fan)).float().double()
pixels = torch.tensor([(i * 37 + i // 11) % 256 for i in range(5 * 2 * 8 * 8)]).reshape(5, 2, 8, 8)
labels = torch.tensor([2, 0, 3, 3, 1])
f, logits = net(pixels / 127.5 - 1)
loss = F.cross_entropy(logits, labels)
loss.backward()
flat = lambda v: [float(f"{x:.9g}") for x in v.detach().flatten().tolist()]
print(json.dumps(dict(
    names=[n for n, _ in net.named_parameters()], shapes=[list(p.shape) for p in net.parameters()],
    labels=labels.tolist(), features=flat(f), logits=flat(logits), loss=float(f"{loss.item():.12g}"),
    grads=[flat(p.grad) for p in net.parameters()])))
