"""Values, gradients and second derivatives of operations by PyTorch in float64, for golden_test.go.

python3 golden.py > golden.json

first is the gradient of sum(seed * f(x)) with respect to each input; second is the gradient of the sum over all inputs
of sum(turn * first).
"""
import json

import torch
import torch.nn.functional as F

torch.manual_seed(1)
CASES = {
    "softmax": (lambda x: F.softmax(x, -1), [(2, 3, 5)]),
    "maxpool 3 stride 2": (lambda x: F.max_pool2d(x, 3, 2) ** 2, [(1, 2, 7, 8)]),
    "maxpool 3 stride 2 pad 1": (lambda x: F.max_pool2d(x, 3, 2, 1) ** 2, [(1, 2, 6, 7)]),
    "maxpool 2x3 stride 1,2 pad 1,0": (lambda x: F.max_pool2d(x, (2, 3), (1, 2), (1, 0)) ** 2, [(1, 2, 4, 7)]),
    "avgpool 3 stride 1 pad 1 excluding": (
        lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) ** 2,
        [(1, 2, 5, 4)],
    ),
    "avgpool 3 stride 1 pad 1 including": (
        lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=True) ** 2,
        [(1, 2, 5, 4)],
    ),
    "avgpool 3x2 stride 2,1 pad 1 excluding": (
        lambda x: F.avg_pool2d(x, (3, 2), (2, 1), 1, count_include_pad=False) ** 2,
        [(1, 2, 5, 4)],
    ),
    "conv 3x3 stride 2,1 pad 1": (
        lambda x, w: F.conv2d(x, w, stride=(2, 1), padding=1) ** 2,
        [(2, 2, 5, 4), (3, 2, 3, 3)],
    ),
    "conv 1x7 pad 0,3": (lambda x, w: F.conv2d(x, w, padding=(0, 3)) ** 2, [(1, 2, 3, 7), (2, 2, 1, 7)]),
    "conv 7x1 pad 3,0": (lambda x, w: F.conv2d(x, w, padding=(3, 0)) ** 2, [(1, 2, 7, 3), (2, 2, 7, 1)]),
    "conv 5x5 pad 2": (lambda x, w: F.conv2d(x, w, padding=2) ** 2, [(1, 1, 5, 6), (2, 1, 5, 5)]),
}


def numbers(t):
    return [float(f"{v:.17g}") for v in t.detach().flatten().tolist()]


out = []
for name, (f, shapes) in CASES.items():
    x = [torch.randn(s, dtype=torch.float64).mul_(1.5).round(decimals=3).requires_grad_() for s in shapes]
    y = f(*x)
    seed = torch.randn_like(y).round(decimals=3)
    first = torch.autograd.grad((seed * y).sum(), x, create_graph=True)
    turn = [torch.randn_like(d).round(decimals=3) for d in first]
    second = torch.autograd.grad(sum((t * d).sum() for t, d in zip(turn, first)), x)
    out.append(
        dict(name=name, shapes=shapes, x=[numbers(v) for v in x], shape=list(y.shape), y=numbers(y), seed=numbers(seed),
             first=[numbers(v) for v in first], turn=[numbers(v) for v in turn], second=[numbers(v) for v in second])
    )
print("[\n" + ",\n".join(json.dumps(c) for c in out) + "\n]")
