r"""A first convolutional network for small pictures, told t in every block."""

import torch
from torch import nn
from torch.nn import functional as F

from .checks import check_name
from .mlp import sinusoid


class ConvNet(nn.Module):
    r"""Predict the noise in small pictures at two resolutions, with one shortcut across.

    channels: of the pictures. width: of the hidden layers, a multiple of 8. T: number of
    steps. prediction: "noise", "x_0" or "v". Called as model(x_t, t) with x_t
    (B, channels, H, W), H and W even, and t int64 (B,) in 1..T; returns a tensor like
    x_t. Raises ValueError for an x_t of another shape, IndexError for t outside 1..T.
    A small relative of Ho et al. 2020, appendix B; the paper's U-Net is chapter 06's.
    """

    learned_variance = False

    def __init__(self, T=1000, channels=1, width=64, prediction="noise"):
        super().__init__()
        check_name("prediction", prediction, "noise", "x_0", "v")
        self.config = dict(T=T, channels=channels, width=width, prediction=prediction)
        self.T, self.channels, self.prediction = T, channels, prediction
        self.register_buffer("waves", sinusoid(torch.arange(T), width), persistent=False)
        self.time = nn.Sequential(
            nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width)
        )
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.fine_down = Block(width, width, 4 * width)
        self.coarse = nn.ModuleList(
            [Block(width, 2 * width, 4 * width), Block(2 * width, 2 * width, 4 * width)]
        )
        self.fine_up = Block(3 * width, width, 4 * width)
        self.leave = nn.Sequential(
            nn.GroupNorm(8, width), nn.SiLU(), _zero_conv(width, channels)
        )

    def forward(self, x_t, t):
        _, C, H, W = x_t.shape if x_t.dim() == 4 else (0, 0, 0, 0)
        if C != self.channels or H % 2 or W % 2:
            raise ValueError(
                f"x_t must have shape (B, {self.channels}, H, W) with H and W even, got "
                f"{tuple(x_t.shape)}"
            )
        time = self.time(F.embedding(t - 1, self.waves))  # (B, 4 width)
        fine = self.fine_down(self.enter(x_t), time)  # (B, width, H, W)
        h = F.avg_pool2d(fine, 2)  # (B, width, H/2, W/2)
        for block in self.coarse:
            h = block(h, time)  # (B, 2 width, H/2, W/2)
        h = F.interpolate(h, scale_factor=2)  # (B, 2 width, H, W)
        h = self.fine_up(torch.cat([h, fine], 1), time)  # (B, width, H, W)
        return self.leave(h)  # (B, C, H, W)


class Block(nn.Module):
    r"""A residual block: normalise, convolve, add the time, normalise, convolve.

    h: (B, before, H, W), time: (B, time_width). Returns (B, after, H, W).
    """

    def __init__(self, before, after, time_width):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, before), nn.GroupNorm(8, after)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = _zero_conv(after, after)
        self.time = nn.Linear(time_width, after)
        self.shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, h, time):
        new = self.conv1(F.silu(self.norm1(h)))
        new = new + self.time(F.silu(time))[:, :, None, None]
        new = self.conv2(F.silu(self.norm2(new)))
        return self.shortcut(h) + new


def _zero_conv(before, after):
    conv = nn.Conv2d(before, after, 3, padding=1)
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    return conv
