"""Training steps of potentials in PyTorch, for comparison: python3 golden.py > golden.json

The networks follow the layout of guided diffusion, and the losses follow the formulas L4, L5, L7, R1 and R2. Both are
written independently of the Go code. Everything runs in float64; autograd differentiates grad Phi a second time.
Weights and data come from wave, which is exact in every language; dropout masks come from Philox, written from its
paper.
"""
import json
import math

import numpy as np
import torch
from torch import nn
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def wave(k, shape):
    n = math.prod(shape)
    v = [((i * 7919 + k * 104729) % 2003) / 1001 - 1 for i in range(n)]
    return torch.tensor(v).reshape(shape).float().double()  # as float32 holds it


class LabelTable(nn.Embedding):
    """a row for each label, zeros for -1"""

    def forward(self, y):
        return (y >= 0)[:, None] * super().forward(y.clamp(0))


class MLP(nn.Module):
    def __init__(self, d, width, depth, fourier, classes=0, potential=True):
        super().__init__()
        self.fourier, self.potential = fourier, potential
        self.label_emb = LabelTable(classes, width) if classes else None
        sizes = [d + 1 + 2 * fourier] + [width] * depth
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.out = nn.Linear(width, 1 if potential else d)

    def forward(self, x, t, y=None):
        angle = t[:, None] * math.pi * 2.0 ** torch.arange(self.fourier)
        h = torch.cat([x, t[:, None], angle.sin(), angle.cos()], 1)
        for k, layer in enumerate(self.layers):
            h = layer(h)
            if k == 0 and self.label_emb:
                h = h + self.label_emb(y)
            h = F.silu(h)
        return self.out(h)[:, 0] if self.potential else self.out(h)


def timestep_embedding(t, channels):
    half = channels // 2
    angle = t[:, None] * torch.exp(-math.log(10000) * torch.arange(half) / half)
    return torch.cat([angle.cos(), angle.sin()], 1)


class WideBlock(nn.Module):
    def __init__(self, cin, emb, cout):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, padding=1)
        if emb:
            self.emb = nn.Linear(emb, cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, padding=1)
        self.shortcut = nn.Identity() if cin == cout else nn.Conv2d(cin, cout, 1)

    def forward(self, x, emb):
        h = self.conv1(F.silu(x))
        if emb is not None:
            h = h + self.emb(emb)[:, :, None, None]
        return self.shortcut(x) + self.conv2(F.silu(h))


class WRN(nn.Module):
    """a WideResNet without normalisation and with SiLU; Phi is linear in the spatial sums of its channels."""

    potential = True

    def __init__(self, image, depth, width, time, classes=0):
        super().__init__()
        self.channels = 16 * width
        emb = 2 * self.channels
        if time:
            self.time_embed = nn.Sequential(nn.Linear(self.channels, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.label_emb = LabelTable(classes, emb) if classes else None
        self.time, self.n = time, (depth - 4) // 6
        self.conv_in = nn.Conv2d(image, 16, 3, padding=1)
        sizes = [16] + [16 * width] * self.n + [32 * width] * self.n + [64 * width] * self.n
        self.blocks = nn.ModuleList(WideBlock(a, emb if time or classes else 0, b) for a, b in zip(sizes, sizes[1:]))
        self.out = nn.Linear(sizes[-1], 1)

    def forward(self, x, t, y=None):
        embs = [self.time_embed(timestep_embedding(t, self.channels))] if self.time else []
        if self.label_emb:
            embs.append(self.label_emb(y))
        emb = F.silu(sum(embs)) if embs else None
        h = self.conv_in(x)
        for i, block in enumerate(self.blocks):
            if i in (self.n, 2 * self.n):
                h = F.avg_pool2d(h, 2)
            h = block(h, emb)
        return self.out(F.silu(h).sum((2, 3)))[:, 0]


def philox(seed, stream, step, n):
    """Philox4x32-10 (Salmon et al. 2011): element i is word i % 4 of the block at counter (i // 4, stream, step)"""
    u = np.uint64
    tag = 2166136261  # FNV-1a
    for byte in stream.encode():
        tag = (tag ^ byte) * 16777619 % 2**32
    index = np.arange((n + 3) // 4, dtype=u)
    c = [index] + [np.full_like(index, v) for v in (tag, step % 2**32, step >> 32)]
    k = [seed % 2**32, seed >> 32]
    low = u(0xFFFFFFFF)
    for _ in range(10):
        a, b = c[0] * u(0xD2511F53), c[2] * u(0xCD9E8D57)
        c = [(b >> u(32)) ^ c[1] ^ u(k[0]), b & low, (a >> u(32)) ^ c[3] ^ u(k[1]), a & low]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return (np.stack(c, 1).reshape(-1)[:n] >> u(8)).astype(np.float64) / 2**24


class Dropped(nn.Module):
    """dropout whose mask is a function of names"""

    seed = 2**40 + 11
    step = 0

    def __init__(self, p):
        super().__init__()
        self.p, self.stream = p, None

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        u = torch.from_numpy(philox(self.seed, self.stream, Dropped.step, x.numel())).reshape(x.shape)
        return x * (u >= self.p) / (1 - self.p)


class ResBlock(nn.Module):
    def __init__(self, cin, emb, cout, groups, dropout, add_time):
        super().__init__()
        self.add_time = add_time
        self.in_layers = nn.Sequential(nn.GroupNorm(groups, cin), nn.SiLU(), nn.Conv2d(cin, cout, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb, cout if add_time else 2 * cout))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(groups, cout), nn.SiLU(), Dropped(dropout), nn.Conv2d(cout, cout, 3, padding=1))
        self.skip_connection = nn.Identity() if cin == cout else nn.Conv2d(cin, cout, 1)

    def forward(self, x, emb):
        h = self.in_layers(x)
        if self.add_time:
            return self.skip_connection(x) + self.out_layers(h + self.emb_layers(emb)[:, :, None, None])
        scale, shift = self.emb_layers(emb)[:, :, None, None].chunk(2, 1)
        norm, rest = self.out_layers[0], self.out_layers[1:]
        return self.skip_connection(x) + rest(norm(h) * (1 + scale) + shift)


class AttentionBlock(nn.Module):
    def __init__(self, channels, groups, head_channels):
        super().__init__()
        self.heads = channels // head_channels if head_channels else 1
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x, emb):
        flat = x.flatten(2)
        qkv = self.qkv(self.norm(flat))
        q, k, v = qkv.reshape(len(x) * self.heads, -1, qkv.shape[2]).chunk(3, dim=1)
        scale = 1 / math.sqrt(math.sqrt(q.shape[1]))
        weight = torch.einsum("bct,bcs->bts", q * scale, k * scale).softmax(dim=-1)
        return (flat + self.proj_out(torch.einsum("bts,bcs->bct", weight, v).reshape(flat.shape))).reshape(x.shape)


class Down(nn.Module):
    def forward(self, x, emb):
        return F.avg_pool2d(x, 2)


class Up(nn.Module):
    def forward(self, x, emb):
        return F.interpolate(x, scale_factor=2, mode="nearest")


class ConvDown(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x, emb):
        return self.op(x)


class ConvUp(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x, emb):
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class First(nn.Conv2d):
    def forward(self, x, emb):
        return super().forward(x)


class UNet(nn.Module):
    """guided diffusion's UNetModel; Phi = |x - f|²/2. Without attention the middle has none either."""

    def __init__(self, channels, image, mult, blocks, groups, attention=(), dropout=0, classes=0, potential=True,
                 head_channels=0, conv_resample=False, add_time=False):
        super().__init__()
        self.channels, self.potential = channels, potential
        emb = 4 * channels
        self.time_embed = nn.Sequential(nn.Linear(channels, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.label_emb = LabelTable(classes, emb) if classes else None
        ch = channels * mult[0]
        block = lambda cin, cout: ResBlock(cin, emb, cout, groups, dropout, add_time)
        attend = lambda level, c: [AttentionBlock(c, groups, head_channels)] if 2**level in attention else []
        self.input_blocks = nn.ModuleList([nn.ModuleList([First(image, ch, 3, padding=1)])])
        skips = [ch]
        for level, m in enumerate(mult):
            for _ in range(blocks):
                self.input_blocks.append(nn.ModuleList([block(ch, channels * m), *attend(level, channels * m)]))
                ch = channels * m
                skips.append(ch)
            if level != len(mult) - 1:
                self.input_blocks.append(nn.ModuleList([ConvDown(ch) if conv_resample else Down()]))
                skips.append(ch)
        middle = {"0": block(ch, ch), "1": AttentionBlock(ch, groups, head_channels), "2": block(ch, ch)}
        if not attention:
            del middle["1"]
        self.middle_block = nn.ModuleDict(middle)
        self.output_blocks = nn.ModuleList()
        for level, m in reversed(list(enumerate(mult))):
            for i in range(blocks + 1):
                layers = [block(ch + skips.pop(), channels * m), *attend(level, channels * m)]
                ch = channels * m
                if level and i == blocks:
                    layers.append(ConvUp(ch) if conv_resample else Up())
                self.output_blocks.append(nn.ModuleList(layers))
        self.out = nn.Sequential(nn.GroupNorm(groups, ch), nn.SiLU(), nn.Conv2d(ch, image, 3, padding=1))
        for name, module in self.named_modules():
            if isinstance(module, ResBlock):
                module.out_layers[2].stream = name

    def forward(self, x, t, y=None):
        emb = self.time_embed(timestep_embedding(t, self.channels))
        if self.label_emb:
            emb = emb + self.label_emb(y)
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
        f = self.out(h)
        return 0.5 * (x - f).flatten(1).square().sum(1) if self.potential else f


def path(schedule, t, w):
    """mu, sigma, mu' and sigma' per unit of the integration variable s (ln t for vapo), the condition, and dt/ds"""
    if schedule == "linear":
        one = torch.ones_like(t)
        return t, w * (1 - t), one, -w * one, t, one
    if schedule == "cosine":
        a = math.pi / 2 * t
        return a.sin(), w * a.cos(), math.pi / 2 * a.cos(), -w * math.pi / 2 * a.sin(), t, torch.ones_like(t)
    if schedule == "vp":  # s = 1 - sqrt(1-t); derivatives by autograd
        s = (1 - (1 - t).sqrt()).requires_grad_()
        q = (1 - s) ** 2
        mu = torch.exp(-0.25 * q**2 * (20 - 0.1) - 0.5 * q * 0.1)
        sigma = w * (1 - mu**2).sqrt()
        ds = lambda y: torch.autograd.grad(y.sum(), s, retain_graph=True)[0]
        return mu.detach(), sigma.detach(), ds(mu), ds(sigma), s.detach(), 2 * (1 - t).sqrt()
    if schedule != "vapo":
        raise ValueError(f"unknown schedule {schedule}")
    n = 0.01
    den = n * n + t * w * w
    mu, sigma = t * w * w / den, n * w / den.sqrt()
    dmu, dsigma = n * n * w * w / den**2, -0.5 * n * w**3 / den**1.5
    return mu, sigma, t * dmu, t * dsigma, 1 - t.log() / math.log(1e-3 * n * n / (w * w)), t


def summary(k, v):
    v = v.detach().flatten()
    return [v.sum().item(), (v * wave(k, v.shape)).sum().item(), v.norm().item(), v[0].item(), v[-1].item()]


def probe(k, v):
    """a fingerprint of a tensor: sum, product with wave, norm, and elements from first to last"""
    v = v.detach().flatten()
    some = v[[i * (len(v) - 1) // 3 for i in range(4)]]
    return [v.sum().item(), (v * wave(k, v.shape)).sum().item(), v.norm().item(), *some.tolist()]


def clip_std(adam, factor, beta2):
    """clips each gradient element by its second moment so far, as the released code does; counts the clipped ones"""
    count = 0
    for group in adam.param_groups:
        for p in group["params"]:
            state = adam.state[p]
            if p.grad is None or "step" not in state or state["step"] < 1:
                continue
            bound = factor * torch.sqrt(state["exp_avg_sq"] / (1 - beta2 ** int(state["step"]))) + 0.1
            count += (p.grad.abs() > bound).sum().item()
            p.grad.data.copy_(torch.max(torch.min(p.grad, bound), -bound))
    return count


def evaluate(net, x, t, labels):
    """Phi and its gradient, or no Phi and the output of a network that models the velocity or the noise"""
    y = net(x, t, labels)
    if not net.potential:
        return None, y
    grad, = torch.autograd.grad(y.sum(), x, create_graph=True)
    return y, grad


def case(net, kind, section, shape, schedule, w, objective, times, options={}, steps=3, classes=0):
    config = dict(kind=kind, shape=shape, schedule=schedule, prior_std=w)
    config[kind] = section
    output = dict(velocity="velocity", denoising="noise").get(objective)
    if output:
        config["output"] = output
    batch = len(times)
    labels = torch.tensor([i % (classes + 1) - 1 for i in range(batch)]) if classes else None
    params = dict(net.named_parameters())
    for k, (pname, p) in enumerate(params.items()):
        fan = math.prod(p.shape[1:]) if p.dim() > 1 else 4
        offset = 1.0 if p.dim() == 1 and pname.endswith("weight") else 0.0  # gains of normalisations
        p.data = (offset + wave(k, p.shape) * 1.5 / math.sqrt(fan)).float().double()
    initial = {k: p.detach().clone() for k, p in params.items()}
    c = dict(LearningRate=0.01, WarmupSteps=2, Decay="cosine", HorizonSteps=5, Beta1=0.9, Beta2=0.99, Epsilon=1e-3,
             ClipNorm=1.5, BatchImages=batch, EMAHalfLifeImages=[2.0 * batch])
    c.update(options)
    averages = [{k: p.detach().clone() for k, p in params.items()} for _ in c["EMAHalfLifeImages"]]
    adam = torch.optim.AdamW(net.parameters(), lr=1, betas=(c["Beta1"], c["Beta2"]), eps=c["Epsilon"],
                             weight_decay=c.get("WeightDecay", 0))
    out = dict(config=config, objective=objective, seed=Dropped.seed, optim=c, batch=batch, times=times,
               names=list(params), shapes=[list(p.shape) for p in params.values()],
               loss=[], grad_norm=[], rms=[], weight=[], clipped=[], losses=[], squares=[], values=[])
    if classes:
        config["classes"] = classes
        out["labels"] = labels.tolist()
    d = math.prod(shape)
    t = torch.tensor(times)
    for step in range(steps):
        Dropped.step = step
        x, eps = wave(50 + step, [batch, *shape]), 1.5 * wave(60 + step, [batch, *shape])
        weight = 1 + 0.5 * wave(70 + step, [batch])
        col = lambda v: v.reshape([batch] + [1] * len(shape))
        mu, sigma, dmu, dsigma, cond, rate = path(schedule, t, w)
        xt = (col(mu) * x + col(sigma) * eps).requires_grad_()
        cond = cond.clone().requires_grad_()
        phi, grad = evaluate(net, xt, cond, labels)
        if objective == "hybrid":
            g, e, xb = grad.flatten(1), eps.flatten(1), x.flatten(1)
            v = xb - w * e
            gamma = (1 - t) * (e**2 - xb * e / w).mean(1)
            gamma = gamma - gamma.mean()
            dt, = torch.autograd.grad(phi.sum(), cond, create_graph=True)
            per = gamma * phi / (gamma.std() * phi.std().detach() + 1e-8)
            per = per - (g * v).mean(1) / (g.norm(dim=1) * v.norm(dim=1) + 1e-8) ** t
            per = d * (per + 0.5 * g.square().mean(1) + 0.1 * dt**2)
        elif objective == "matching":
            per = 0.5 * (grad - col(dmu) * x - col(dsigma) * eps).flatten(1).square().sum(1)
        elif objective == "velocity":
            per = (grad - col(dmu) * x - col(dsigma) * eps).flatten(1).square().sum(1)
        elif objective == "denoising":
            per = (grad - eps).flatten(1).square().sum(1)
        else:
            e, xb = eps.flatten(1), x.flatten(1)
            innovation = -(dsigma / sigma) * (e.square().sum(1) - d) - (dmu / sigma) * (e * xb).sum(1)
            per = 0.5 * grad.flatten(1).square().sum(1) + phi * innovation
        loss = (weight * per).mean() / d
        adam.zero_grad()
        loss.backward()
        for p in params.values():  # parameters without influence: gradient 0, not None, so that they decay
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        grads = [p.grad.clone() for p in params.values()]
        norm = nn.utils.clip_grad_norm_(net.parameters(), c["ClipNorm"] or math.inf)
        clipped = clip_std(adam, c["ClipStd"], c["Beta2"]) if "ClipStd" in c else 0
        k = step + 1
        for group in adam.param_groups:
            group["lr"] = (c["LearningRate"] * min(1, k / c["WarmupSteps"])
                           * (1 + math.cos(math.pi * step / c["HorizonSteps"])) / 2)
        adam.step()
        for ema, half_life in zip(averages, c["EMAHalfLifeImages"]):
            decay = min(0.5 ** (batch / half_life) if half_life else 0, (1 + k) / (10 + k))
            for name_, p in params.items():
                ema[name_] = decay * ema[name_] + (1 - decay) * p.detach()
        out["loss"].append(loss.item())
        out["grad_norm"].append(norm.item())
        out["rms"].append(grad.square().mean().sqrt().item())
        out["weight"].append(weight.tolist())
        out["clipped"].append(clipped)
        out["losses"].append((per / d).tolist())
        out["squares"].append(grad.flatten(1).square().mean(1).tolist())
        out["values"].append([] if phi is None else phi.tolist())
        if step == 0:
            out["param_grads"] = [probe(k, g) for k, g in enumerate(grads)]
            out["updated"] = [probe(k, p) for k, p in enumerate(params.values())]
            out["train_grad"] = grad.detach().flatten().tolist()
            after = {n: p.detach().clone() for n, p in params.items()}
            for n, p in params.items():
                p.data = initial[n].clone()
            net.eval()  # drops nothing
            phi, grad = evaluate(net, xt, cond, labels)
            net.train()
            for n, p in params.items():
                p.data = after[n]
            out["x"] = xt.detach().flatten().tolist()
            velocity = grad / col(rate)
            if objective == "denoising":
                velocity = col(dmu / mu / rate) * xt - col((sigma * dmu / mu - dsigma) / rate) * grad
            out["phi"], out["grad"] = [] if phi is None else (phi / rate).tolist(), velocity.flatten().tolist()
    out["change"] = [summary(k, p - initial[n]) for k, (n, p) in enumerate(params.items())]
    out["ema_change"] = [[summary(k, ema[n] - initial[n]) for k, n in enumerate(params)] for ema in averages]
    return out


def main():
    ts = [0.12, 0.35, 0.6, 0.83, 0.5]

    def mlp(*rest, classes=0, potential=True):
        net = MLP(3, 12, 2, 4, classes, potential)
        return case(net, "mlp", dict(width=12, depth=2, fourier=4), [3], *rest, classes=classes)

    def wrn(image, width, time, *rest, classes=0):
        net = WRN(image, 10, width, time, classes)
        return case(net, "wrn", dict(depth=10, width=width, time=time), [image, 8, 4], *rest, classes=classes)

    def unet(image, extra, *rest, classes=0, potential=True):
        section = dict(channels=8, mult=[1, 2], res_blocks=1, groups=4)
        net = UNet(8, image, [1, 2], 1, 4, **extra, classes=classes, potential=potential)
        return case(net, "unet", {**section, **extra}, [image, 8, 8], *rest, classes=classes)

    cfm = dict(attention=[1, 2], head_channels=4, conv_resample=True, add_time=True, dropout=0.1)
    both = dict(attention=[1, 2], dropout=0.3)
    cases = [
        mlp("linear", 1.0, "matching", ts),
        mlp("linear", 2.0, "energy", ts),
        mlp("vapo", 1.0, "energy", [1e-2, 0.05, 0.3, 0.7, 1.0]),
        mlp("linear", 1.0, "hybrid", ts),
        mlp("linear", 2.0, "hybrid", ts),
        unet(1, {}, "linear", 1.0, "matching", ts[:3]),
        unet(1, {}, "linear", 1.0, "energy", ts[:3]),
        unet(1, {}, "linear", 1.0, "hybrid", ts[:3]),
        unet(3, dict(attention=[2]), "linear", 1.0, "matching", ts[:3]),
        unet(1, both, "linear", 1.0, "matching", ts[:3]),
        unet(1, both, "vapo", 1.0, "energy", [0.05, 0.3, 0.7]),
        wrn(3, 1, True, "linear", 1.0, "matching", ts[:2]),
        wrn(1, 2, True, "linear", 1.0, "energy", ts[:2]),
        wrn(2, 1, False, "linear", 1.0, "matching", ts[:2]),
        # All features of the optimiser at once, with half-lives below one step and so long that the early bound on the
        # decay, (1 + k)/(10 + k), applies.
        mlp("linear", 2.0, "energy", ts + [0.27], dict(
            WeightDecay=2.0, ClipNorm=3.0, ClipStd=0.5, Accumulate=3, EMAHalfLifeImages=[40.0, 2.0, 0.0]), 5),
        unet(1, {}, "linear", 1.0, "matching", ts[:4], dict(
            WeightDecay=1.0, ClipNorm=0.0, ClipStd=0.2, Accumulate=2, EMAHalfLifeImages=[1.5, 60.0]), 4),
        mlp("linear", 1.0, "energy", ts, classes=3),
        unet(1, dict(attention=[2]), "linear", 1.0, "matching", ts[:4], classes=2),
        wrn(1, 1, True, "linear", 1.0, "matching", ts[:4], classes=3),
        wrn(1, 1, False, "linear", 1.0, "matching", ts[:4], classes=3),
        mlp("cosine", 2.0, "energy", ts),
        mlp("vp", 2.0, "matching", ts),
        # Rivals, and the network of torchcfm.
        mlp("linear", 2.0, "velocity", ts, potential=False),
        mlp("vapo", 1.0, "velocity", [1e-2, 0.05, 0.3, 0.7, 1.0], potential=False),
        mlp("vp", 2.0, "denoising", ts, potential=False),
        unet(1, dict(attention=[2]), "linear", 1.0, "velocity", ts[:4], classes=2, potential=False),
        unet(1, {}, "vp", 1.0, "denoising", ts[:3], potential=False),
        unet(3, cfm, "linear", 1.0, "velocity", ts[:3], potential=False),
        unet(1, cfm, "linear", 1.0, "matching", ts[:3]),
    ]
    round_ = lambda v: (
        [round_(x) for x in v] if isinstance(v, list) else float(f"{v:.12g}") if isinstance(v, float) else v
    )
    print("[")
    print(",\n".join(json.dumps({k: round_(v) for k, v in c.items()}) for c in cases))
    print("]")


if __name__ == "__main__":
    main()
