"""The potentials in PyTorch, for timing and comparison: mlp, wrn and unet, with the parameters of lib/potential.

Parameters have the order, names and shapes of the Go networks, so weights can be copied by position. Every network maps
x [N, ...] and t [N] to Phi [N]; the method field of MLP and UNet returns the output of their last layer. The operations
are PyTorch's fastest: fused group_norm and silu, convolutions through oneDNN, a single addmm for a linear layer.
"""
import math

import torch
from torch import nn
import torch.nn.functional as F


def timestep_embedding(t, channels):
    """[cos, sin] of t·exp(-ln(10000)·i/half), half = channels/2: [N, channels]."""
    half = channels // 2
    angle = t[:, None] * torch.exp(-math.log(10000) * torch.arange(half, dtype=t.dtype) / half)
    return torch.cat([angle.cos(), angle.sin()], 1)


class MLP(nn.Module):
    def __init__(self, d, width, depth, fourier, outputs=1):
        super().__init__()
        self.register_buffer("freq", math.pi * 2.0 ** torch.arange(fourier), persistent=False)
        sizes = [d + 1 + 2 * fourier] + [width] * depth
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.out = nn.Linear(width, outputs)

    def field(self, x, t):
        t = t[:, None]
        angle = t * self.freq
        h = torch.cat([x, t, angle.sin(), angle.cos()], 1)
        for layer in self.layers:
            h = F.silu(layer(h))
        return self.out(h)

    def forward(self, x, t):
        return self.field(x, t)[:, 0]


class WRNBlock(nn.Module):
    def __init__(self, cin, cout, emb):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, padding=1)
        self.emb = nn.Linear(emb, cout) if emb else None
        self.conv2 = nn.Conv2d(cout, cout, 3, padding=1)
        self.shortcut = nn.Conv2d(cin, cout, 1) if cin != cout else None

    def forward(self, x, emb):
        h = self.conv1(F.silu(x))
        if self.emb is not None:
            h = h + self.emb(emb)[:, :, None, None]
        h = self.conv2(F.silu(h))
        return (x if self.shortcut is None else self.shortcut(x)) + h


class WRN(nn.Module):
    """WideResNet (arXiv 1605.07146) without normalisation, which would make a potential depend on its batch."""

    def __init__(self, image, depth, width, time):
        super().__init__()
        n, self.embedding = (depth - 4) // 6, 16 * width
        emb = 2 * self.embedding if time else 0
        if time:
            self.time_embed = nn.Sequential(nn.Linear(self.embedding, emb), nn.SiLU(), nn.Linear(emb, emb), nn.SiLU())
        self.conv_in = nn.Conv2d(image, 16, 3, padding=1)
        self.blocks, self.n, ch = nn.ModuleList(), n, 16
        for stage in range(3):
            for _ in range(n):
                self.blocks.append(WRNBlock(ch, 16 * width * 2 ** stage, emb))
                ch = 16 * width * 2 ** stage
        self.time, self.out = time, nn.Linear(ch, 1)

    def forward(self, x, t):
        emb = self.time_embed(timestep_embedding(t, self.embedding)) if self.time else None
        h = self.conv_in(x)
        for i, block in enumerate(self.blocks):
            h = block(h, emb)
            if (i + 1) % self.n == 0 and i + 1 < len(self.blocks):
                h = F.avg_pool2d(h, 2)
        return self.out(F.silu(h).sum((2, 3)))[:, 0]


class ResBlock(nn.Module):
    def __init__(self, cin, emb, cout, groups, dropout):
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(groups, cin), nn.SiLU(), nn.Conv2d(cin, cout, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.Identity(), nn.Linear(emb, 2 * cout))  # its SiLU is shared, see UNet.field
        self.out_layers = nn.Sequential(
            nn.GroupNorm(groups, cout), nn.SiLU(), nn.Dropout(dropout) if dropout else nn.Identity(),
            nn.Conv2d(cout, cout, 3, padding=1))
        self.skip_connection = nn.Identity() if cin == cout else nn.Conv2d(cin, cout, 1)
        for p in self.out_layers[3].parameters():
            nn.init.zeros_(p)

    def forward(self, x, emb):
        h = self.in_layers(x)
        scale, shift = self.emb_layers(emb)[:, :, None, None].chunk(2, 1)
        h = torch.addcmul(shift, self.out_layers[0](h), 1 + scale)
        return self.skip_connection(x) + self.out_layers[3](self.out_layers[2](F.silu(h)))


class Attention(nn.Module):
    """Self-attention over the pixels with one head; q, k and v are the thirds of qkv's channels."""

    def __init__(self, ch, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, ch)
        self.qkv = nn.Conv1d(ch, 3 * ch, 1)
        self.proj_out = nn.Conv1d(ch, ch, 1)
        for p in self.proj_out.parameters():
            nn.init.zeros_(p)

    def forward(self, x, emb):
        n, c = x.shape[:2]
        flat = x.reshape(n, c, -1)
        q, k, v = self.qkv(self.norm(flat)).chunk(3, 1)
        s = c ** -0.25
        a = torch.softmax((q * s).transpose(1, 2) @ (k * s), 2)
        return x + self.proj_out(v @ a.transpose(1, 2)).view_as(x)


class Down(nn.Module):
    def forward(self, x, emb):
        return F.avg_pool2d(x, 2)


class Up(nn.Module):
    def forward(self, x, emb):
        return F.interpolate(x, scale_factor=2, mode="nearest")


class First(nn.Conv2d):
    def forward(self, x, emb):
        return super().forward(x)


class LabelTable(nn.Embedding):
    """guided diffusion's label_emb, and zeros for a label of -1."""

    def forward(self, y):
        return (y >= 0)[:, None] * super().forward(y.clamp(0))


class UNet(nn.Module):
    """guided diffusion's UNetModel (arXiv 2105.05233); Phi = |x - f|²/2."""

    def __init__(self, image, channels, mult, blocks, groups, attention=(), dropout=0.0, classes=0):
        super().__init__()
        self.channels, emb = channels, 4 * channels
        res = lambda cin, cout: ResBlock(cin, emb, cout, groups, dropout)
        self.time_embed = nn.Sequential(nn.Linear(channels, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.label_emb = LabelTable(classes, emb) if classes else None
        ch, factor = channels * mult[0], 1
        self.input_blocks = nn.ModuleList([nn.ModuleList([First(image, ch, 3, padding=1)])])
        skips = [ch]
        for level, m in enumerate(mult):
            for _ in range(blocks):
                layers = [res(ch, channels * m)]
                ch = channels * m
                if factor in attention:
                    layers.append(Attention(ch, groups))
                self.input_blocks.append(nn.ModuleList(layers))
                skips.append(ch)
            if level != len(mult) - 1:
                self.input_blocks.append(nn.ModuleList([Down()]))
                skips.append(ch)
                factor *= 2
        middle = {"0": res(ch, ch)}
        if attention:
            middle["1"] = Attention(ch, groups)
        middle["2"] = res(ch, ch)
        self.middle_block = nn.ModuleDict(middle)
        self.output_blocks = nn.ModuleList()
        for level, m in reversed(list(enumerate(mult))):
            for i in range(blocks + 1):
                layers = [res(ch + skips.pop(), channels * m)]
                ch = channels * m
                if factor in attention:
                    layers.append(Attention(ch, groups))
                if level and i == blocks:
                    layers.append(Up())
                    factor //= 2
                self.output_blocks.append(nn.ModuleList(layers))
        self.out = nn.Sequential(nn.GroupNorm(groups, ch), nn.SiLU(), nn.Conv2d(ch, image, 3, padding=1))
        for p in self.out[2].parameters():
            nn.init.zeros_(p)

    def field(self, x, t, y=None):
        """f(x, t), of the shape of x; y: labels, for conditional networks."""
        emb = self.time_embed(timestep_embedding(t, self.channels))
        emb = F.silu(emb if self.label_emb is None else emb + self.label_emb(y))
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
        return self.out(h)

    def forward(self, x, t, y=None):
        return 0.5 * (x - self.field(x, t, y)).flatten(1).square().sum(1)
