"""The hybrid loss L7 and its gradients by PyTorch in float64: python3 hybrid.py > hybrid.json

Written from the formula with the operations of the released code (torch.std, detach, torch.norm), independently of the
Go code. Autograd computes the second and mixed derivatives. The potential is
Phi(x, t) = out·silu(W2 silu(W1 [x, t] + b1) + b2).
"""
import json

import torch

torch.set_default_dtype(torch.float64)
EPS = 1e-8


def case(seed, n, d, width, w, times, weights, zero=False):
    g = torch.Generator().manual_seed(seed)
    rand = lambda *s: torch.randn(*s, generator=g)
    params = dict(
        w1=rand(width, d + 1), b1=rand(1, width), w2=rand(width, width), b2=rand(1, width), out=rand(1, width)
    )
    if zero:
        params["out"].zero_()  # a constant potential: its gradient and its standard deviation are 0
    for p in params.values():
        p.requires_grad_()
    x, eps = 0.7 * rand(n, d), rand(n, d)
    t = torch.tensor(times)[:, None].requires_grad_()
    clipped = t.detach().clamp(max=1 - 1e-5)  # only inside x_t

    xt = (clipped * x + w * (1 - clipped) * eps).requires_grad_()
    v = x - w * eps
    h = torch.nn.functional.silu(torch.cat([xt, t], 1) @ params["w1"].T + params["b1"])
    h = torch.nn.functional.silu(h @ params["w2"].T + params["b2"])
    phi = h @ params["out"].T
    grad, dt = torch.autograd.grad(phi.sum(), [xt, t], create_graph=True)

    gamma = (1 - t.detach()) * (eps**2 - x * eps / w).mean(1, keepdim=True)
    gamma = gamma - gamma.mean()
    align = gamma * phi / (gamma.std() * phi.std().detach() + EPS)
    lengths = torch.norm(grad, dim=1, keepdim=True) * torch.norm(v, dim=1, keepdim=True)
    direction = (grad * v).mean(1, keepdim=True) / (lengths + EPS) ** t.detach()
    losses = align - direction + 0.5 * (grad**2).mean(1, keepdim=True) + 0.1 * dt**2
    loss = (torch.tensor(weights)[:, None] * losses).mean()
    grads = torch.autograd.grad(loss, list(params.values()))
    flat = lambda v: v.detach().flatten().tolist()
    return dict(n=n, d=d, width=width, prior_std=w, times=times, weights=weights, x=flat(x), noise=flat(eps),
                params={k: flat(p) for k, p in params.items()}, loss=loss.item(), losses=flat(losses),
                grads={k: flat(v) for k, v in zip(params, grads)})


cases = [
    case(1, 6, 3, 5, 1.0, [0.1, 0.35, 0.5, 0.62, 0.8, 0.97], [1.0] * 6),
    case(2, 8, 2, 4, 1.0, [1e-5, 1e-3, 0.2, 0.5, 0.9, 0.999, 0.99999, 1.0], [1.0] * 8),
    case(3, 5, 4, 6, 2.0, [0.05, 0.3, 0.55, 0.7, 0.9], [0.5, 1.5, 1.0, 0.25, 2.0]),
    case(4, 2, 1, 3, 0.5, [0.4, 0.4], [1.0, 1.0]),
    case(5, 4, 2, 3, 1.0, [0.0, 0.25, 0.5, 0.75], [1.0] * 4, zero=True),
]
print("[")
print(",\n".join(json.dumps(c) for c in cases))
print("]")
