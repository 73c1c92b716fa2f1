"""Training steps of potentials in PyTorch, for comparison: python3 golden.py > golden.json

The networks are written after guided diffusion's layout and the losses after the formulas L4 and L5, without a look
at the Go code. Everything runs in float64; grad Phi is differentiated a second time by autograd. Weights and data come
from wave, which is exact in every language.
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
    return torch.tensor(v).reshape(shape).float().double()  # as float32 holds it


class MLP(nn.Module):
    def __init__(self, d, width, depth, fourier):
        super().__init__()
        self.fourier = fourier
        sizes = [d + 1 + 2 * fourier] + [width] * depth
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.out = nn.Linear(width, 1)

    def forward(self, x, t):
        angle = t[:, None] * math.pi * 2.0 ** torch.arange(self.fourier)
        h = torch.cat([x, t[:, None], angle.sin(), angle.cos()], 1)
        for layer in self.layers:
            h = F.silu(layer(h))
        return self.out(h)[:, 0]


class ResBlock(nn.Module):
    def __init__(self, cin, emb, cout, groups):
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(groups, cin), nn.SiLU(), nn.Conv2d(cin, cout, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb, 2 * cout))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(groups, cout), nn.SiLU(), nn.Identity(), nn.Conv2d(cout, cout, 3, padding=1))
        self.skip_connection = nn.Identity() if cin == cout else nn.Conv2d(cin, cout, 1)

    def forward(self, x, emb):
        h = self.in_layers(x)
        scale, shift = self.emb_layers(emb)[:, :, None, None].chunk(2, 1)
        norm, rest = self.out_layers[0], self.out_layers[1:]
        return self.skip_connection(x) + rest(norm(h) * (1 + scale) + shift)


class Down(nn.Module):
    def forward(self, x, emb):
        return F.avg_pool2d(x, 2)


class Up(nn.Module):
    def forward(self, x, emb):
        return F.interpolate(x, scale_factor=2, mode="nearest")


class First(nn.Conv2d):
    def forward(self, x, emb):
        return super().forward(x)


class UNet(nn.Module):
    """guided diffusion's UNetModel without attention and dropout; Phi = |x - f|²/2."""

    def __init__(self, channels, image, mult, blocks, groups):
        super().__init__()
        self.channels = channels
        emb = 4 * channels
        self.time_embed = nn.Sequential(nn.Linear(channels, emb), nn.SiLU(), nn.Linear(emb, emb))
        ch = channels * mult[0]
        self.input_blocks = nn.ModuleList([nn.ModuleList([First(image, ch, 3, padding=1)])])
        skips = [ch]
        for level, m in enumerate(mult):
            for _ in range(blocks):
                self.input_blocks.append(nn.ModuleList([ResBlock(ch, emb, channels * m, groups)]))
                ch = channels * m
                skips.append(ch)
            if level != len(mult) - 1:
                self.input_blocks.append(nn.ModuleList([Down()]))
                skips.append(ch)
        # middle_block.1 is the attention, which small networks lack.
        self.middle_block = nn.ModuleDict({"0": ResBlock(ch, emb, ch, groups), "2": ResBlock(ch, emb, ch, groups)})
        self.output_blocks = nn.ModuleList()
        for level, m in reversed(list(enumerate(mult))):
            for i in range(blocks + 1):
                layers = [ResBlock(ch + skips.pop(), emb, channels * m, groups)]
                ch = channels * m
                if level and i == blocks:
                    layers.append(Up())
                self.output_blocks.append(nn.ModuleList(layers))
        self.out = nn.Sequential(nn.GroupNorm(groups, ch), nn.SiLU(), nn.Conv2d(ch, image, 3, padding=1))

    def forward(self, x, t):
        half = self.channels // 2
        angle = t[:, None] * torch.exp(-math.log(10000) * torch.arange(half) / half)
        emb = self.time_embed(torch.cat([angle.cos(), angle.sin()], 1))
        h, hs = x, []
        for block in self.input_blocks:
            for layer in block:
                h = layer(h, emb)
            hs.append(h)
        for layer in self.middle_block.values():
            h = layer(h, emb)
        for block in self.output_blocks:
            h = torch.cat([h, hs.pop()], 1)
            for layer in block:
                h = layer(h, emb)
        return 0.5 * (x - self.out(h)).flatten(1).square().sum(1)


def path(schedule, t, w):
    """mu, sigma, mu' and sigma' per unit of the integration variable s, condition, dt/ds (s = ln t for vapo)"""
    if schedule == "linear":
        one = torch.ones_like(t)
        return t, w * (1 - t), one, -w * one, t, one
    n = 0.01
    den = n * n + t * w * w
    mu, sigma = t * w * w / den, n * w / den.sqrt()
    dmu, dsigma = n * n * w * w / den**2, -0.5 * n * w**3 / den**1.5
    return mu, sigma, t * dmu, t * dsigma, 1 - t.log() / math.log(1e-3 * n * n / (w * w)), t


def summary(k, v):
    v = v.detach().flatten()
    return [v.sum().item(), (v * wave(k, v.shape)).sum().item(), v.norm().item(), v[0].item(), v[-1].item()]


def case(name, net, shape, schedule, w, objective, times, batch):
    params = dict(net.named_parameters())
    for k, (pname, p) in enumerate(params.items()):
        fan = math.prod(p.shape[1:]) if p.dim() > 1 else 4
        offset = 1.0 if p.dim() == 1 and pname.endswith("weight") else 0.0  # gains of normalisations
        p.data = (offset + wave(k, p.shape) * 1.5 / math.sqrt(fan)).float().double()
    initial = {k: p.detach().clone() for k, p in params.items()}
    ema = {k: p.detach().clone() for k, p in params.items()}
    c = dict(LearningRate=0.01, WarmupSteps=2, Decay="cosine", HorizonSteps=5, Beta1=0.9, Beta2=0.99, Epsilon=1e-3,
             ClipNorm=1.5, EMADecay=0.7)
    adam = torch.optim.Adam(net.parameters(), lr=1, betas=(c["Beta1"], c["Beta2"]), eps=c["Epsilon"])
    out = dict(name=name, objective=objective, schedule=schedule, prior_std=w, optim=c, batch=batch, times=times,
               names=list(params), shapes=[list(p.shape) for p in params.values()], loss=[], grad_norm=[], rms=[], weight=[])
    d = math.prod(shape)
    t = torch.tensor(times)
    for step in range(3):
        x, eps = wave(50 + step, [batch, *shape]), 1.5 * wave(60 + step, [batch, *shape])
        weight = 1 + 0.5 * wave(70 + step, [batch])
        col = lambda v: v.reshape([batch] + [1] * len(shape))
        mu, sigma, dmu, dsigma, cond, rate = path(schedule, t, w)
        xt = (col(mu) * x + col(sigma) * eps).requires_grad_()
        phi = net(xt, cond)
        grad, = torch.autograd.grad(phi.sum(), xt, create_graph=True)
        if objective == "matching":
            per = 0.5 * (grad - col(dmu) * x - col(dsigma) * eps).flatten(1).square().sum(1)
        else:
            e, xb = eps.flatten(1), x.flatten(1)
            innovation = -(dsigma / sigma) * (e.square().sum(1) - d) - (dmu / sigma) * (e * xb).sum(1)
            per = 0.5 * grad.flatten(1).square().sum(1) + phi * innovation
        loss = (weight * per).mean() / d
        adam.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(net.parameters(), c["ClipNorm"])
        k = step + 1
        for group in adam.param_groups:
            group["lr"] = (c["LearningRate"] * min(1, k / c["WarmupSteps"])
                           * (1 + math.cos(math.pi * step / c["HorizonSteps"])) / 2)
        adam.step()
        decay = min(c["EMADecay"], (1 + k) / (10 + k))
        for name_, p in params.items():
            ema[name_] = decay * ema[name_] + (1 - decay) * p.detach()
        out["loss"].append(loss.item())
        out["grad_norm"].append(norm.item())
        out["rms"].append(grad.square().mean().sqrt().item())
        out["weight"].append(weight.tolist())
        if step == 0:
            out["x"] = xt.detach().flatten().tolist()
            out["phi"], out["grad"] = (phi / rate).tolist(), (grad / col(rate)).detach().flatten().tolist()
    out["change"] = [summary(k, p - initial[n]) for k, (n, p) in enumerate(params.items())]
    out["ema_change"] = [summary(k, ema[n] - initial[n]) for k, n in enumerate(params)]
    return out


def main():
    ts = [0.12, 0.35, 0.6, 0.83, 0.5]
    small = lambda: UNet(8, 1, [1, 2], 1, 4)
    cases = [
        case("mlp", MLP(3, 12, 2, 4), [3], "linear", 1.0, "matching", ts, 5),
        case("mlp", MLP(3, 12, 2, 4), [3], "linear", 2.0, "energy", ts, 5),
        case("mlp", MLP(3, 12, 2, 4), [3], "vapo", 1.0, "energy", [1e-2, 0.05, 0.3, 0.7, 1.0], 5),
        case("unet", small(), [1, 8, 8], "linear", 1.0, "matching", ts[:3], 3),
        case("unet", small(), [1, 8, 8], "linear", 1.0, "energy", ts[:3], 3),
    ]
    round_ = lambda v: [round_(x) for x in v] if isinstance(v, list) else float(f"{v:.9g}") if isinstance(v, float) else v
    print("[")
    print(",\n".join(json.dumps({k: round_(v) for k, v in c.items()}) for c in cases))
    print("]")


main()
