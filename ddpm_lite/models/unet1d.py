r"""The U-Net of series, (B, C, L): sounds, sensors, vectors.

A series is a picture of height 1, and this network is that of pictures, block by block,
but for the layers that know of a height: a convolution looks along the length alone, and
only the length is halved and doubled. What is written below is all that differs; between
`conv_in` and `conv_out` feature maps are (B, C, 1, L).
"""

from torch import nn
from torch.nn import functional as F

from .unet import Downsample, UNet, Upsample


class UNet1d(UNet):
    r"""Predict the noise in series at several resolutions, with skip connections.

    config: a UNetConfig with dimensions = 1, whose size is the length L, or its fields.
    Called as model(x_t, t) or model(x_t, t, y), x_t (B, C, L), t int64 (B,) in 1..T,
    y int64 (B,) in 0..classes; without y every series has "no class". L may differ from
    `config.size` if it is a multiple of `config.factor`. Returns a tensor like x_t, with
    2C channels where the variance is learned. Raises as UNet. Ho et al. 2020, appendix B,
    for one dimension.
    """

    dimensions = 1

    def __init__(self, config=None, **fields):
        if config is None:
            fields = {"dimensions": 1} | fields
        super().__init__(config, **fields)
        for module in list(self.modules()):
            for name, layer in module.named_children():
                if isinstance(layer, Downsample | Upsample | nn.Conv2d):
                    setattr(module, name, _along(layer))
        self.conv_in.takes_series, self.conv_out.gives_series = True, True
        self._initialise(self.unet_config.zero_init)


def _along(layer):
    r"""The layer that does along the length what a layer does in height and width."""
    if isinstance(layer, Downsample):
        return DownsampleLength(layer.conv.in_channels, layer.right)
    if isinstance(layer, Upsample):
        return UpsampleLength(layer.conv.in_channels)
    return ConvLength(layer.in_channels, layer.out_channels, layer.kernel_size[1])


class ConvLength(nn.Conv2d):
    r"""Convolve along the length, by a kernel of height 1.

    h: (B, C_in, 1, L), or (B, C_in, L) where it `takes_series`. Returns (B, C_out, 1, L),
    or (B, C_out, L) where it `gives_series`.
    """

    takes_series = gives_series = False

    def __init__(self, C_in, C_out, kernel):
        super().__init__(C_in, C_out, (1, kernel), padding=(0, kernel // 2))

    def forward(self, h):
        h = super().forward(h[:, :, None] if self.takes_series else h)
        return h[:, :, 0] if self.gives_series else h


class DownsampleLength(nn.Module):
    r"""Halve the length with a convolution of stride 2.

    h: (B, C, 1, L), L even; right: padded on the right, else on both sides. Returns
    (B, C, 1, L / 2).
    """

    def __init__(self, C, right):
        super().__init__()
        self.right, padding = right, (0, 0 if right else 1)
        self.conv = nn.Conv2d(C, C, (1, 3), stride=(1, 2), padding=padding)

    def forward(self, h):
        return self.conv(F.pad(h, (0, 1)) if self.right else h)


class UpsampleLength(nn.Module):
    r"""Double the length by repeating, and convolve. (B, C, 1, L) to (B, C, 1, 2 L)."""

    def __init__(self, C):
        super().__init__()
        self.conv = ConvLength(C, C, 3)

    def forward(self, h):
        return self.conv(F.interpolate(h, scale_factor=(1.0, 2.0), mode="nearest"))


def build_unet(config):
    r"""The network of a UNetConfig, with random weights: a UNet, or a UNet1d of series."""
    return UNet1d(config) if config.dimensions == 1 else UNet(config)
