"""Layers in PyTorch, for comparison: python3 golden.py > golden.json

Each case holds the output for inputs from wave, and the gradients of sum(output * wave) with respect to all inputs, in
float64.
"""
import json
import math

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def wave(k, shape):
    n = math.prod(shape)
    v = [((i * 7919 + k * 104729) % 2003) / 1001 - 1 for i in range(n)]
    return torch.tensor(v).reshape(shape).float().double().requires_grad_()


def groupnorm_scaled(x, w, b, scale, shift):
    return F.group_norm(x, 2, w, b) * (1 + scale)[:, :, None, None] + shift[:, :, None, None]


def attention(x, norm_w, norm_b, qkv_w, qkv_b, out_w, out_b):
    """guided diffusion's AttentionBlock with one head (QKVAttention: q, k and v are split before the heads)"""
    n, c = x.shape[:2]
    flat = x.reshape(n, c, -1)
    q, k, v = F.conv1d(F.group_norm(flat, 2, norm_w, norm_b), qkv_w, qkv_b).chunk(3, dim=1)
    scale = 1 / math.sqrt(math.sqrt(c))
    weight = torch.einsum("bct,bcs->bts", q * scale, k * scale).softmax(dim=-1)
    a = torch.einsum("bts,bcs->bct", weight, v)
    return (flat + F.conv1d(a, out_w, out_b)).reshape(x.shape)


cases = []


def case(name, shapes, f):
    inputs = [wave(k, s) for k, s in enumerate(shapes)]
    y = f(*inputs)
    grads = torch.autograd.grad((y * wave(99, y.shape)).sum(), inputs)
    flat = lambda v: [float(f"{x:.9g}") for x in v.flatten().tolist()]
    cases.append(
        dict(
            name=name,
            shapes=[list(s) for s in shapes],
            out_shape=list(y.shape),
            out=flat(y),
            grads=[flat(g) for g in grads],
        )
    )


case("silu", [(4, 9)], lambda x: F.silu(6 * x))
case("linear", [(5, 3), (4, 3), (4,)], F.linear)
case("groupnorm", [(2, 4, 3, 2), (4,), (4,)], lambda x, w, b: F.group_norm(x, 2, w, b))
case("groupnorm scaled", [(2, 4, 3, 2), (4,), (4,), (2, 4), (2, 4)], groupnorm_scaled)
case("conv 3x3", [(2, 3, 5, 4), (4, 3, 3, 3), (4,)], lambda x, w, b: F.conv2d(x, w, b, padding=1))
case("conv 1x1", [(2, 3, 5, 4), (4, 3, 1, 1), (4,)], lambda x, w, b: F.conv2d(x, w, b))
case("conv 5x5", [(1, 2, 6, 5), (3, 2, 5, 5), (3,)], lambda x, w, b: F.conv2d(x, w, b, padding=2))
case("attention", [(2, 4, 3, 2), (4,), (4,), (12, 4, 1), (12,), (4, 4, 1), (4,)], attention)
case("avgpool", [(2, 2, 4, 6)], lambda x: F.avg_pool2d(x, 2))
case("upsample", [(2, 2, 2, 3)], lambda x: F.interpolate(x, scale_factor=2, mode="nearest"))
print("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]")
