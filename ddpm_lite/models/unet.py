r"""The U-Net of the paper, to be read from top to bottom (chapter 06 builds it again).

Feature maps go down through resolutions, each of half the height and width of the one
before, and up again; on the way up the skip connections bring what the way down computed
at the same resolution. Every ResBlock gets the embedding of t. Shapes: B batch, C channels,
H and W height and width of a feature map, D the width of the embedding, 4 times the width
of the network.

The tensors have the names of diffusers' UNet2DModel, so that weights can be exchanged
by name. What names and shapes do not show, such as the side on which a convolution is
padded, is a field of `UNetConfig`: a wrong one loads without complaint and gives other
pictures (Ho et al. 2020, appendix B, and the authors' code for what it leaves open).
"""

from dataclasses import replace
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from ..checks import check_index, check_labels, check_sizes

# Torch's own, but faster on a CPU: four with the names of nn and F, and upsampled_conv,
# which is conv(F.interpolate(h, scale_factor=2.0)). Nothing else here is made for speed.
from .layers import Dropout, GroupNorm, scaled_dot_product_attention, silu, upsampled_conv
from .mlp import sinusoidal_embedding
from .recomputed import Recomputed  # an nn.Module
from .unet_config import UNetConfig


class UNet(nn.Module):
    r"""Predict the noise in pictures at several resolutions, with skip connections.

    config: a UNetConfig, or its fields. Called as model(x_t, t) or model(x_t, t, y), x_t
    (B, C, H, W), t int64 (B,) in 1..T, y int64 (B,) in 0..classes; without y every
    picture has "no class". H and W may differ from `config.size` if they are multiples
    of `config.factor`. Returns a tensor like x_t, with 2C channels where the variance is
    learned. Raises ValueError for other shapes or labels, IndexError for a t outside
    1..T, TypeError for labels that are not int64. Ho et al. 2020, appendix B.
    """

    dimensions = 2  # of what is drawn; UNet1d has 1

    def __init__(self, config=None, **fields):
        super().__init__()
        if not isinstance(config, UNetConfig | None):
            raise TypeError(
                "config must be a UNetConfig, such as UNetConfig.preset('digits'), got "
                f"{config!r:.60}"
            )
        c = UNetConfig(**fields) if config is None else replace(config, **fields)
        if c.dimensions != self.dimensions:
            right = "UNet1d" if c.dimensions == 1 else "UNet"
            raise ValueError(
                f"a {type(self).__name__} has dimensions = {self.dimensions}, got a "
                f"configuration with {c.dimensions}: build a {right}"
            )
        self.unet_config, self.config = c, c.as_dict()
        self.clip = (-1, 1) if c.clip else None
        self.T, self.classes, self.prediction = c.T, c.classes, c.prediction
        self.learned_variance = c.learned_variance
        index = torch.arange(1, c.T + 1) - c.t_shift
        table = sinusoidal_embedding(index, c.width, c.sine_first, c.frequency_shift)
        self.register_buffer("sinusoidal", table, persistent=False)  # (T, width)
        self.time_embedding = TimeEmbedding(c.width, 4 * c.width)
        table = nn.Embedding(c.classes + 1, 4 * c.width) if c.classes else None
        self.class_embedding = table  # its last row is "no class"
        self.conv_in = nn.Conv2d(c.channels, c.width, 3, padding=1)
        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        C, last = c.width, len(c.widths) - 1
        skips = [C]  # channels of the skip connections, in the order of the way down
        for i, width in enumerate(c.widths):
            attention = c.height >> i in c.attention
            self.down_blocks.append(DownBlock(C, width, c, attention, i < last))
            skips += [width] * (c.blocks + (i < last))
            C = width
        self.mid_block = MidBlock(C, c)
        for i, width in reversed(list(enumerate(c.widths))):
            attention = c.height >> i in c.attention
            own = [skips.pop() for _ in range(c.blocks + 1)]
            self.up_blocks.append(UpBlock(C, own, width, c, attention, i > 0))
            C = width
        self.conv_norm_out = GroupNorm(c.groups, C, c.eps)
        C_out = 2 * c.channels if c.learned_variance else c.channels
        self.conv_out = nn.Conv2d(C, C_out, 3, padding=1)
        self._initialise(c.zero_init)

    def forward(self, x_t, t, y=None):
        c = self.unet_config
        if x_t.dim() != 2 + c.dimensions or x_t.shape[1] != c.channels:
            shape = f"(B, {c.channels}, {'L' if c.dimensions == 1 else 'H, W'})"
            raise ValueError(f"x_t must have shape {shape}, got {tuple(x_t.shape)}")
        check_sizes(x_t.shape[2:], c.factor)
        check_index(t, x_t)
        emb = self.time_embedding(F.embedding(t - 1, self.sinusoidal))  # (B, D)
        if self.class_embedding is not None:
            y = torch.full_like(t, c.classes) if y is None else y
            emb = emb + self.class_embedding(check_labels(y, len(t), c.classes))
        elif y is not None:
            raise ValueError("this network has no classes: call it without y")
        emb = F.silu(emb)  # every block would compute the same
        h = self.conv_in(x_t)  # (B, width, H, W)
        skips = [h]
        for block in self.down_blocks:
            h = block(h, emb, skips)  # (B, widths[i], H / 2, W / 2), but at the last
        h = self.mid_block(h, emb)  # (B, widths[-1], H / factor, W / factor)
        for block in self.up_blocks:
            h = block(h, emb, skips)  # (B, widths[i], 2 H, 2 W), but at the last
        return self.conv_out(silu(self.conv_norm_out(h)))  # (B, C or 2C, H, W)

    def _initialise(self, zero_init):
        for module in self.modules():  # Glorot's, as in the authors' code
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for name, module in self.named_modules():  # last, so that nothing overwrites it
            if zero_init and name.endswith(("conv2", "to_out.0", "conv_out")):
                nn.init.zeros_(module.weight)


class TimeEmbedding(nn.Module):
    r"""The time embedding: two linear maps of the sinusoidal one, (B, width).

    Returns (B, D). Ho et al. 2020, appendix B.
    """

    def __init__(self, width, D):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(width, D), nn.Linear(D, D)

    def forward(self, sinusoidal):
        return self.linear_2(F.silu(self.linear_1(sinusoidal)))


class ResBlock(Recomputed):
    r"""Norm, conv, add the embedding, norm, dropout, conv; add the input.

    h: (B, C_in, H, W), emb: (B, D), the embedding of t and of the class. Returns
    (B, C_out, H, W).
    Ho et al. 2020, appendix B; with scale_shift Nichol and Dhariwal 2021, appendix A.
    """

    def __init__(self, C_in, C_out, c):
        super().__init__()
        self.scale_shift = c.scale_shift
        self.norm1 = GroupNorm(c.groups, C_in, c.eps)
        self.conv1 = nn.Conv2d(C_in, C_out, 3, padding=1)
        self.time_emb_proj = nn.Linear(4 * c.width, (1 + c.scale_shift) * C_out)
        self.norm2 = GroupNorm(c.groups, C_out, c.eps)
        self.dropout = Dropout(c.dropout)
        self.conv2 = nn.Conv2d(C_out, C_out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(C_in, C_out, 1) if C_in != C_out else None

    def forward(self, h, emb):
        new = self.conv1(silu(self.norm1(h)))  # (B, C_out, H, W)
        emb = self.time_emb_proj(emb)[:, :, None, None]  # (B, C_out, 1, 1), or 2 C_out
        if self.scale_shift:
            scale, shift = emb.chunk(2, dim=1)
            new = self.norm2(new) * (1 + scale) + shift
        else:
            new = self.norm2(new + emb)
        new = self.conv2(self.dropout(silu(new)))  # (B, C_out, H, W)
        return new + (h if self.conv_shortcut is None else self.conv_shortcut(h))


class Attention(Recomputed):
    r"""Self-attention between the pixels of a feature map; adds the input.

    h: (B, C, H, W). Returns the same shape. Vaswani et al. 2017, Eq. 1; Ho et al. 2020,
    appendix B.
    """

    def __init__(self, C, c):
        super().__init__()
        self.heads = C // (c.head_width or C)
        self.group_norm = GroupNorm(c.groups, C, c.eps)
        self.to_q, self.to_k, self.to_v = (nn.Linear(C, C) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(C, C)])

    def forward(self, h):
        B, C, H, W = h.shape
        pixels = self.group_norm(h).flatten(2).transpose(1, 2)  # (B, H W, C)
        q, k, v = (
            part(pixels).reshape(B, H * W, self.heads, -1).transpose(1, 2)
            for part in (self.to_q, self.to_k, self.to_v)
        )  # each (B, heads, H W, head_width)
        mixed = scaled_dot_product_attention(q, k, v).transpose(1, 2)
        new = self.to_out[0](mixed.reshape(B, H * W, C))  # (B, H W, C)
        return h + new.transpose(1, 2).reshape(B, C, H, W)


class Downsample(nn.Module):
    r"""Halve height and width with a convolution of stride 2.

    h: (B, C, H, W), H and W even. Returns (B, C, H / 2, W / 2).
    """

    def __init__(self, C, padding):
        super().__init__()
        self.right = padding == "right"
        self.conv = nn.Conv2d(C, C, 3, stride=2, padding=0 if self.right else 1)

    def forward(self, h):
        return self.conv(F.pad(h, (0, 1, 0, 1)) if self.right else h)


class Upsample(nn.Module):
    r"""Double height and width by repeating pixels, and convolve.

    h: (B, C, H, W). Returns (B, C, 2 H, 2 W).
    """

    def __init__(self, C):
        super().__init__()
        self.conv = nn.Conv2d(C, C, 3, padding=1)

    def forward(self, h):
        return upsampled_conv(self.conv, h)  # conv(F.interpolate(h, scale_factor=2.0))


class ResBlocks(nn.Module):
    r"""The ResBlocks of one resolution, each with self-attention or without."""

    def __init__(self, pairs, c, attention):
        super().__init__()
        self.resnets = nn.ModuleList(ResBlock(a, b, c) for a, b in pairs)
        attentions = [Attention(b, c) if attention else nn.Identity() for _, b in pairs]
        self.attentions = nn.ModuleList(attentions)


class DownBlock(ResBlocks):
    r"""One resolution on the way down. It appends all that it computes to `skips`.

    h: (B, C_in, H, W). Returns (B, C_out, H / 2, W / 2), or H and W at the last one.
    """

    def __init__(self, C_in, C_out, c, attention, downsample):
        channels = [C_in] + [C_out] * c.blocks
        super().__init__(list(pairwise(channels)), c, attention)
        layers = [Downsample(C_out, c.down_padding)] if downsample else []
        self.downsamplers = nn.ModuleList(layers)

    def forward(self, h, emb, skips):
        for block, attention in zip(self.resnets, self.attentions, strict=True):
            h = attention(block(h, emb))  # (B, C_out, H, W)
            skips.append(h)
        for downsample in self.downsamplers:
            h = downsample(h)  # (B, C_out, H / 2, W / 2)
            skips.append(h)
        return h


class UpBlock(ResBlocks):
    r"""One resolution on the way up. Each ResBlock takes the last of `skips` too.

    h: (B, C_in, H, W). Returns (B, C_out, 2 H, 2 W), or H and W at the last one.
    """

    def __init__(self, C_in, C_skips, C_out, c, attention, upsample):
        channels = [C_in] + [C_out] * (len(C_skips) - 1)
        pairs = [(C + skip, C_out) for C, skip in zip(channels, C_skips, strict=True)]
        super().__init__(pairs, c, attention)
        self.upsamplers = nn.ModuleList([Upsample(C_out)] if upsample else [])

    def forward(self, h, emb, skips):
        for block, attention in zip(self.resnets, self.attentions, strict=True):
            h = torch.cat([h, skips.pop()], dim=1)  # (B, C + skip, H, W)
            h = attention(block(h, emb))  # (B, C_out, H, W)
        for upsample in self.upsamplers:
            h = upsample(h)  # (B, C_out, 2 H, 2 W)
        return h


class MidBlock(ResBlocks):
    r"""The bottom of the U: ResBlock, self-attention, ResBlock. (B, C, H, W) in and out."""

    def __init__(self, C, c):
        super().__init__([(C, C), (C, C)], c, attention=False)
        self.attentions = nn.ModuleList([Attention(C, c)])

    def forward(self, h, emb):
        first, second = self.resnets
        return second(self.attentions[0](first(h, emb)), emb)
