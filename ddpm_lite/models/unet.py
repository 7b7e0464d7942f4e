r"""The U-Net of the paper, to be read from top to bottom (chapter 06 builds it again).

Pictures go down through levels, each of half the height and width of the one before,
and up again; on the way up every level also sees what the way down has stored. All
blocks are told t. Shapes: B batch, C channels, H and W height and width of a level, D
the width of what is told, 4 times the width of the network.

The tensors have the names of diffusers' UNet2DModel, so that weights can be exchanged
by name. What names and shapes do not show, such as the side on which a convolution is
padded, is a field of `UNetConfig`: a wrong one loads without complaint and gives other
pictures (Ho et al. 2020, appendix B, and the authors' code for what it leaves open).
"""

from dataclasses import asdict, dataclass, replace
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from ..checks import check_integer, check_labels, check_name, check_number, check_sizes
from .layers import Dropout, GroupNorm, attend, silu
from .mlp import sinusoid


@dataclass(frozen=True)
class UNetConfig:
    r"""The shape and the conventions of a U-Net; the defaults are the paper's for CIFAR-10.

    The fields say what they are. Raises ValueError for values that do not fit together.
    """

    size: int | tuple[int, int] = 32  # height and width of pictures, one number if equal
    channels: int = 3  # of the pictures
    width: int = 128  # channels of the first level
    multipliers: tuple[int, ...] = (1, 2, 2, 2)  # channels of each level / width
    blocks: int = 2  # residual blocks of a level going down; one more going up
    attention: tuple[int, ...] = (16,)  # heights of levels with self-attention
    head_width: int | None = None  # channels of an attention head; None for one head
    dropout: float = 0.1  # in [0, 1)
    groups: int = 32  # of the group normalisations
    eps: float = 1e-6  # of the group normalisations
    down_padding: str = "right"  # and bottom, before stride 2; or both: on all sides
    sine_first: bool = True  # order of the waves of t
    frequency_shift: int = 1  # 1: the slowest wave is 1/10000; 0: one short of it
    t_shift: int = 1  # the waves are those of t - t_shift: 1 as in code counting from 0
    scale_shift: bool = False  # t scales and shifts after a normalisation, is not added
    zero_init: bool = True  # blocks start as the identity, and the output as 0
    classes: int = 0  # number of classes; label `classes` then means "no class"
    prediction: str = "noise"  # noise, x_0 or v
    learned_variance: bool = False  # a second half of channels is for the variance
    T: int = 1000  # number of steps

    def __post_init__(self):
        for name in ("channels", "blocks", "groups", "T"):
            check_integer(name, getattr(self, name), 1)
        check_integer("width", self.width, 4)
        check_integer("classes", self.classes, 0)
        if self.head_width is not None:
            check_integer("head_width", self.head_width, 1)
        for name in ("frequency_shift", "t_shift"):
            check_integer(name, getattr(self, name), 0, 1)
        check_number("dropout", self.dropout, 0, 1 - 1e-6)
        check_number("eps", self.eps, 1e-12)
        check_name("down_padding", self.down_padding, "right", "both")
        check_name("prediction", self.prediction, "noise", "x_0", "v")
        for name in ("sine_first", "scale_shift", "zero_init", "learned_variance"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(
                    f"{name} must be True or False, got {getattr(self, name)!r}"
                )
        for name in ("multipliers", "attention"):
            numbers = getattr(self, name)
            if not isinstance(numbers, (tuple, list)):
                raise ValueError(f"{name} must be a tuple of numbers, got {numbers!r}")
            object.__setattr__(self, name, tuple(numbers))  # JSON has lists only
        check_integer("the number of multipliers", len(self.multipliers), 1)
        H_W = self.size if isinstance(self.size, (tuple, list)) else (self.size,) * 2
        if len(H_W) != 2:
            raise ValueError(f"size must be one number or (height, width), got {H_W!r}")
        object.__setattr__(self, "size", H_W[0] if H_W[0] == H_W[1] else tuple(H_W))
        for n in (*H_W, *self.multipliers):
            check_integer("sizes and multipliers", n, 1)
        check_sizes(self.height, self.picture_width, self.factor)
        heights = [self.height >> level for level in range(len(self.multipliers))]
        if not set(self.attention) <= set(heights):
            raise ValueError(
                f"attention must name heights of levels, which are {heights} for pictures "
                f"of height {self.height}, got {self.attention}"
            )
        for n in self.widths:  # multiples of width, so that groups divides them too
            if self.width % self.groups or n % (self.head_width or n) or self.width % 2:
                raise ValueError(
                    f"width = {self.width} must be even and a multiple of groups = "
                    f"{self.groups}, and the widths of the levels, {self.widths}, "
                    f"multiples of head_width = {self.head_width}"
                )

    @property
    def height(self):
        r"""Height of the pictures in pixels."""
        return self.size if isinstance(self.size, int) else self.size[0]

    @property
    def picture_width(self):
        r"""Width of the pictures in pixels."""
        return self.size if isinstance(self.size, int) else self.size[1]

    @property
    def event(self):
        r"""Shape of one picture, (C, H, W)."""
        return self.channels, self.height, self.picture_width

    @property
    def widths(self):
        r"""Channels of each level, from the finest to the coarsest."""
        return tuple(self.width * multiplier for multiplier in self.multipliers)

    @property
    def factor(self):
        r"""What height and width of a picture must be multiples of."""
        return 2 ** (len(self.multipliers) - 1)

    def as_dict(self):
        r"""The settings as plain values, for a file."""
        return asdict(self)

    @staticmethod
    def preset(name, **changes):
        r"""A named configuration, with some fields changed.

        name: one of `PRESETS`. Raises ValueError for an unknown name.
        """
        return replace(PRESETS[check_name("preset", name, *PRESETS)], **changes)


# ddpm-cifar10 and ddpm-256 are the networks of Ho et al. 2020, appendix B: 35.7 and 114
# million parameters. iddpm-cifar10 is that of Nichol and Dhariwal 2021, appendix A.
PRESETS = {
    "ddpm-cifar10": UNetConfig(),
    "ddpm-256": UNetConfig(size=256, multipliers=(1, 1, 2, 2, 4, 4), dropout=0.0),
    "iddpm-cifar10": UNetConfig(
        blocks=3,
        attention=(16, 8),
        head_width=64,
        dropout=0.3,
        eps=1e-5,
        down_padding="both",
        sine_first=False,
        frequency_shift=0,
        scale_shift=True,
        learned_variance=True,
        T=4000,
    ),
    "digits": UNetConfig(
        size=8,
        channels=1,
        width=24,
        multipliers=(1, 2),
        blocks=1,
        attention=(4,),
        dropout=0.0,
        groups=8,
    ),
    "small-28": UNetConfig(
        size=28,
        channels=1,
        width=16,
        multipliers=(1, 2, 4),
        blocks=1,
        attention=(7,),
        dropout=0.0,
        groups=8,
    ),
    "small-32": UNetConfig(
        width=64, multipliers=(1, 2, 2, 2), blocks=1, attention=(8,), groups=16
    ),
}


class UNet(nn.Module):
    r"""Predict the noise in pictures at several resolutions, with shortcuts across.

    config: a UNetConfig, or its fields. Called as model(x_t, t) or model(x_t, t, y), x_t
    (B, C, H, W), t int64 (B,) in 1..T, y int64 (B,) in 0..classes; without y every
    picture has "no class". H and W may differ from `config.size` if they are multiples
    of `config.factor`. Returns a tensor like x_t, with 2C channels where the variance is
    learned. Raises ValueError for other shapes or labels, IndexError for a t outside
    1..T, TypeError for labels that are not int64. Ho et al. 2020, appendix B.
    """

    def __init__(self, config=None, **fields):
        super().__init__()
        c = UNetConfig(**fields) if config is None else replace(config, **fields)
        self.unet_config, self.config = c, c.as_dict()
        self.T, self.classes, self.prediction = c.T, c.classes, c.prediction
        self.learned_variance = c.learned_variance
        told = torch.arange(1, c.T + 1) - c.t_shift
        waves = sinusoid(told, c.width, c.sine_first, c.frequency_shift)  # (T, width)
        self.register_buffer("waves", waves, persistent=False)
        self.time_embedding = TimeEmbedding(c.width, 4 * c.width)
        table = nn.Embedding(c.classes + 1, 4 * c.width) if c.classes else None
        self.class_embedding = table  # its last row is "no class"
        self.conv_in = nn.Conv2d(c.channels, c.width, 3, padding=1)
        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        before, last = c.width, len(c.widths) - 1
        stored = [c.width]  # channels of what the way down stores, in this order
        for level, width in enumerate(c.widths):
            attends = c.height >> level in c.attention
            self.down_blocks.append(DownLevel(before, width, c, attends, level < last))
            stored += [width] * (c.blocks + (level < last))
            before = width
        self.mid_block = Middle(before, c)
        for level, width in reversed(list(enumerate(c.widths))):
            attends = c.height >> level in c.attention
            skips = [stored.pop() for _ in range(c.blocks + 1)]
            self.up_blocks.append(UpLevel(before, skips, width, c, attends, level > 0))
            before = width
        self.conv_norm_out = GroupNorm(c.groups, before, c.eps)
        out = 2 * c.channels if c.learned_variance else c.channels
        self.conv_out = nn.Conv2d(before, out, 3, padding=1)
        self._initialise(c.zero_init)

    def forward(self, x_t, t, y=None):
        c = self.unet_config
        if x_t.dim() != 4 or x_t.shape[1] != c.channels:
            raise ValueError(
                f"x_t must have shape (B, {c.channels}, H, W), got {tuple(x_t.shape)}"
            )
        check_sizes(*x_t.shape[2:], c.factor)
        if t.shape != x_t.shape[:1]:
            raise ValueError(
                f"t must have shape {tuple(x_t.shape[:1])}, got {tuple(t.shape)}"
            )
        told = self.time_embedding(F.embedding(t - 1, self.waves))  # (B, D)
        if self.class_embedding is not None:
            y = torch.full_like(t, c.classes) if y is None else y
            told = told + self.class_embedding(check_labels(y, t, c.classes))
        elif y is not None:
            raise ValueError("this network has no classes: call it without y")
        told = F.silu(told)  # every block would compute the same
        h = self.conv_in(x_t)  # (B, width, H, W)
        stored = [h]
        for level in self.down_blocks:
            h = level(h, told, stored)  # (B, widths[level], H / 2, W / 2), but at the last
        h = self.mid_block(h, told)  # (B, widths[-1], H / factor, W / factor)
        for level in self.up_blocks:
            h = level(h, told, stored)  # (B, widths[level], 2 H, 2 W), but at the last
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
    r"""Two linear maps that turn the waves of t, (B, width), into what blocks are told.

    Returns (B, D). Ho et al. 2020, appendix B.
    """

    def __init__(self, width, D):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(width, D), nn.Linear(D, D)

    def forward(self, waves):
        return self.linear_2(F.silu(self.linear_1(waves)))


class ResidualBlock(nn.Module):
    r"""Normalise, convolve, add what is told, normalise, drop out, convolve; add the input.

    h: (B, before, H, W), told: (B, D). Returns (B, after, H, W).
    Ho et al. 2020, appendix B; with scale_shift Nichol and Dhariwal 2021, appendix A.
    """

    def __init__(self, before, after, c):
        super().__init__()
        self.scale_shift = c.scale_shift
        self.norm1 = GroupNorm(c.groups, before, c.eps)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.time_emb_proj = nn.Linear(4 * c.width, (1 + c.scale_shift) * after)
        self.norm2 = GroupNorm(c.groups, after, c.eps)
        self.dropout = Dropout(c.dropout)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(before, after, 1) if before != after else None

    def forward(self, h, told):
        new = self.conv1(silu(self.norm1(h)))  # (B, after, H, W)
        told = self.time_emb_proj(told)[:, :, None, None]  # (B, after, 1, 1), or 2 after
        if self.scale_shift:
            scale, shift = told.chunk(2, dim=1)
            new = self.norm2(new) * (1 + scale) + shift
        else:
            new = self.norm2(new + told)
        new = self.conv2(self.dropout(silu(new)))  # (B, after, H, W)
        return new + (h if self.conv_shortcut is None else self.conv_shortcut(h))


class Attention(nn.Module):
    r"""Self-attention between the pixels of a level; adds the input.

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
        seen = attend(q, k, v).transpose(1, 2)
        new = self.to_out[0](seen.reshape(B, H * W, C))  # (B, H W, C)
        return h + new.transpose(1, 2).reshape(B, C, H, W)


class Halve(nn.Module):
    r"""Halve height and width with a convolution of stride 2.

    h: (B, C, H, W), H and W even. Returns (B, C, H / 2, W / 2).
    """

    def __init__(self, C, padding):
        super().__init__()
        self.right = padding == "right"
        self.conv = nn.Conv2d(C, C, 3, stride=2, padding=0 if self.right else 1)

    def forward(self, h):
        return self.conv(F.pad(h, (0, 1, 0, 1)) if self.right else h)


class Double(nn.Module):
    r"""Double height and width by repeating pixels, and convolve.

    h: (B, C, H, W). Returns (B, C, 2 H, 2 W). In the layout channels last, both are done
    in one: the same but for rounding, with 4 instead of 9 products for each output pixel.
    """

    def __init__(self, C):
        super().__init__()
        self.conv = nn.Conv2d(C, C, 3, padding=1)

    def forward(self, h):
        if not h.is_contiguous(memory_format=torch.channels_last):
            return self.conv(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        # A pixel becomes a square of 2 x 2, and each of these four adds the turned filter
        # of 3 x 3 around itself: together a square of 4 x 4, whose weights are the sums of
        # the filter over windows of 2 x 2. Adding such squares up, two pixels apart, is a
        # transposed convolution. (Faster only in this layout, and there about twice.)
        turned = self.conv.weight.flip(2, 3)  # (after, before, 3, 3)
        sums = F.avg_pool2d(turned, 2, stride=1, padding=1, divisor_override=1)
        bias, sums = self.conv.bias, sums.transpose(0, 1)  # (before, after, 4, 4)
        return F.conv_transpose2d(h, sums, bias, stride=2, padding=1)


class Level(nn.Module):
    r"""The residual blocks of one level, each with self-attention or without."""

    def __init__(self, pairs, c, attends):
        super().__init__()
        self.resnets = nn.ModuleList(ResidualBlock(a, b, c) for a, b in pairs)
        attentions = [Attention(b, c) if attends else nn.Identity() for _, b in pairs]
        self.attentions = nn.ModuleList(attentions)


class DownLevel(Level):
    r"""One level on the way down. It appends all that it computes to `stored`.

    h: (B, before, H, W). Returns (B, width, H / 2, W / 2), or H and W at the last level.
    """

    def __init__(self, before, width, c, attends, halves):
        widths = [before] + [width] * c.blocks
        super().__init__(list(pairwise(widths)), c, attends)
        halve = [Halve(width, c.down_padding)] if halves else []
        self.downsamplers = nn.ModuleList(halve)

    def forward(self, h, told, stored):
        for block, attention in zip(self.resnets, self.attentions, strict=True):
            h = attention(block(h, told))  # (B, width, H, W)
            stored.append(h)
        for halve in self.downsamplers:
            h = halve(h)  # (B, width, H / 2, W / 2)
            stored.append(h)
        return h


class UpLevel(Level):
    r"""One level on the way up. Every block takes the last of `stored` beside its input.

    h: (B, before, H, W). Returns (B, width, 2 H, 2 W), or H and W at the last level.
    """

    def __init__(self, before, skips, width, c, attends, doubles):
        befores = [before] + [width] * (len(skips) - 1)
        pairs = [(b + skip, width) for b, skip in zip(befores, skips, strict=True)]
        super().__init__(pairs, c, attends)
        self.upsamplers = nn.ModuleList([Double(width)] if doubles else [])

    def forward(self, h, told, stored):
        for block, attention in zip(self.resnets, self.attentions, strict=True):
            h = torch.cat([h, stored.pop()], dim=1)  # (B, before + skip, H, W)
            h = attention(block(h, told))  # (B, width, H, W)
        for double in self.upsamplers:
            h = double(h)  # (B, width, 2 H, 2 W)
        return h


class Middle(Level):
    r"""The bottom of the U: block, self-attention, block. (B, C, H, W) in and out."""

    def __init__(self, C, c):
        super().__init__([(C, C), (C, C)], c, attends=False)
        self.attentions = nn.ModuleList([Attention(C, c)])

    def forward(self, h, told):
        first, second = self.resnets
        return second(self.attentions[0](first(h, told)), told)
