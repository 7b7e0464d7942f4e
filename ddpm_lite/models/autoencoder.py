r"""A small autoencoder of pictures: an encoder to a few numbers, a decoder back.

The encoder gives a Gaussian over latents for every picture, and the decoder a picture for
every latent. Diffusion happens between the two. Shapes: B batch, C channels, H and W height
and width of a picture, f the factor between the sides of pictures and latents.

The tensors have the names of diffusers' AutoencoderKL, and the fields of the configuration
are among its fields, so that a file of one is a file of the other (`formats.autoencoders`).
Kingma and Welling 2014; Rombach et al. 2022, section 3.1 and appendix G.
"""

from dataclasses import asdict, dataclass
from types import SimpleNamespace

from torch import nn
from torch.nn import functional as F

from ..checks import check_integer, check_number, check_sizes
from .layers import GroupNorm
from .unet import Attention, Downsample, Upsample


@dataclass(frozen=True)
class AutoencoderConfig:
    r"""The shape of an autoencoder; names and meaning are those of diffusers.

    The fields say what they are. Raises ValueError for values that do not fit together.
    """

    in_channels: int = 1  # of pictures
    latent_channels: int = 4
    block_out_channels: tuple[int, ...] = (16, 32, 32)  # of each resolution, finest first
    layers_per_block: int = 1  # residual blocks of a resolution down; one more going up
    norm_num_groups: int = 8
    mid_block_add_attention: bool = False  # at the coarsest resolution
    scaling_factor: float = 1.0  # what latents are multiplied by for the diffusion

    def __post_init__(self):
        for name in (
            "in_channels",
            "latent_channels",
            "layers_per_block",
            "norm_num_groups",
        ):
            check_integer(name, getattr(self, name), 1)
        widths = tuple(check_integer("a width", n, 1) for n in self.block_out_channels)
        object.__setattr__(self, "block_out_channels", widths)  # JSON has lists only
        if not widths or any(n % self.norm_num_groups for n in widths):
            raise ValueError(
                f"block_out_channels must be multiples of norm_num_groups = "
                f"{self.norm_num_groups}, got {widths}"
            )
        check_number("scaling_factor", self.scaling_factor, 1e-12)

    @property
    def factor(self):
        r"""Height of a picture over height of its latent."""
        return 2 ** (len(self.block_out_channels) - 1)

    def as_dict(self):
        r"""The settings as plain values, for a file."""
        return asdict(self)


class Autoencoder(nn.Module):
    r"""Pictures to latents and back. config: an AutoencoderConfig, or its fields.

    Called with pictures (B, C, H, W) it returns what `decode` makes of their mean latents.
    H and W must be multiples of `config.factor`. Raises ValueError for other shapes.
    Rombach et al. 2022, section 3.1.
    """

    def __init__(self, config=None, **fields):
        super().__init__()
        c = AutoencoderConfig(**fields) if config is None else config
        self.config = c
        self.encoder, self.decoder = Encoder(c), Decoder(c)
        self.quant_conv = nn.Conv2d(2 * c.latent_channels, 2 * c.latent_channels, 1)
        self.post_quant_conv = nn.Conv2d(c.latent_channels, c.latent_channels, 1)

    def moments(self, x):
        r"""Mean and log variance of the latents of pictures (B, C, H, W).

        Returns two tensors (B, latent_channels, H / f, W / f), not scaled.
        """
        _check("pictures", x, self.config.in_channels)
        check_sizes(x.shape[2:], self.config.factor)
        mean, log_variance = self.quant_conv(self.encoder(x)).chunk(2, dim=1)
        return mean, log_variance.clamp(-30, 20)

    def encode(self, x, noise=None):
        r"""Latents that a diffusion can learn: scaled, the means or draws of the Gaussians.

        x: (B, C, H, W) in [-1, 1]. noise: like the latents, from N(0, I); the means if
        None. Returns (B, latent_channels, H / f, W / f), times `scaling_factor`.
        """
        mean, log_variance = self.moments(x)
        draw = mean if noise is None else mean + (log_variance / 2).exp() * noise
        return draw * self.config.scaling_factor

    def decode(self, z):
        r"""Pictures (B, C, H, W) of scaled latents (B, latent_channels, H / f, W / f).

        Nothing is clipped: a value may lie slightly outside [-1, 1].
        """
        _check("latents", z, self.config.latent_channels)
        return self.decoder(self.post_quant_conv(z / self.config.scaling_factor))

    def forward(self, x):
        return self.decode(self.encode(x))


def autoencoder_loss(autoencoder, x, noise, weight):
    r"""What an autoencoder is trained with: squared error plus weight times KL, (B,).

    x: (B, C, H, W) in [-1, 1]. noise: like its latents, from N(0, I). weight: of the KL
    divergence from the latents' Gaussian to N(0, I), in nats; both terms are sums over a
    picture. Kingma and Welling 2014, Eq. 10 and appendix B, with 2 sigma^2 = weight.
    """
    mean, log_variance = autoencoder.moments(x)
    draw = mean + (log_variance / 2).exp() * noise
    error = (autoencoder.decode(draw * autoencoder.config.scaling_factor) - x).square()
    kl = (mean.square() + log_variance.exp() - 1 - log_variance) / 2
    return error.flatten(1).sum(1) + weight * kl.flatten(1).sum(1)


class Encoder(nn.Module):
    r"""(B, C, H, W) to (B, 2 latent_channels, H / f, W / f)."""

    def __init__(self, c):
        super().__init__()
        widths, last = c.block_out_channels, len(c.block_out_channels) - 1
        self.conv_in = nn.Conv2d(c.in_channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        C = widths[0]
        for i, width in enumerate(widths):
            block = nn.Module()
            block.resnets = _resnets(C, width, c.layers_per_block, c)
            down = [Downsample(width, "right")] if i < last else []
            block.downsamplers = nn.ModuleList(down)
            self.down_blocks.append(block)
            C = width
        self.mid_block = Middle(C, c)
        self.conv_norm_out = GroupNorm(c.norm_num_groups, C, 1e-6)
        self.conv_out = nn.Conv2d(C, 2 * c.latent_channels, 3, padding=1)

    def forward(self, x):
        h = self.conv_in(x)
        for block in self.down_blocks:
            for layer in [*block.resnets, *block.downsamplers]:
                h = layer(h)  # the last one halves height and width
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(h))))


class Decoder(nn.Module):
    r"""(B, latent_channels, H / f, W / f) to (B, C, H, W)."""

    def __init__(self, c):
        super().__init__()
        widths, last = c.block_out_channels[::-1], len(c.block_out_channels) - 1
        C = widths[0]
        self.conv_in = nn.Conv2d(c.latent_channels, C, 3, padding=1)
        self.mid_block = Middle(C, c)
        self.up_blocks = nn.ModuleList()
        for i, width in enumerate(widths):
            block = nn.Module()
            block.resnets = _resnets(C, width, c.layers_per_block + 1, c)
            up = [Upsample(width)] if i < last else []
            block.upsamplers = nn.ModuleList(up)
            self.up_blocks.append(block)
            C = width
        self.conv_norm_out = GroupNorm(c.norm_num_groups, C, 1e-6)
        self.conv_out = nn.Conv2d(C, c.in_channels, 3, padding=1)

    def forward(self, z):
        h = self.mid_block(self.conv_in(z))
        for block in self.up_blocks:
            for layer in [*block.resnets, *block.upsamplers]:
                h = layer(h)  # the last one doubles height and width
        return self.conv_out(F.silu(self.conv_norm_out(h)))


class Residual(nn.Module):
    r"""Norm, conv, norm, conv; add the input. A ResBlock of the U-Net that knows no t."""

    def __init__(self, C_in, C_out, c):
        super().__init__()
        self.norm1 = GroupNorm(c.norm_num_groups, C_in, 1e-6)
        self.conv1 = nn.Conv2d(C_in, C_out, 3, padding=1)
        self.norm2 = GroupNorm(c.norm_num_groups, C_out, 1e-6)
        self.conv2 = nn.Conv2d(C_out, C_out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(C_in, C_out, 1) if C_in != C_out else None

    def forward(self, h):
        new = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(h))))))
        return new + (h if self.conv_shortcut is None else self.conv_shortcut(h))


class Middle(nn.Module):
    r"""Two residual blocks at the coarsest resolution, attention between them if asked."""

    def __init__(self, C, c):
        super().__init__()
        self.resnets = nn.ModuleList([Residual(C, C, c), Residual(C, C, c)])
        one_head = SimpleNamespace(groups=c.norm_num_groups, eps=1e-6, head_width=None)
        count = int(c.mid_block_add_attention)
        self.attentions = nn.ModuleList(Attention(C, one_head) for _ in range(count))

    def forward(self, h):
        first, second = self.resnets
        h = first(h)
        for attention in self.attentions:
            h = attention(h)
        return second(h)


def _check(what, x, C):
    if x.dim() != 4 or x.shape[1] != C:
        raise ValueError(f"{what} must have shape (B, {C}, H, W), got {tuple(x.shape)}")


def _resnets(C_in, C_out, count, c):
    channels = [C_in] + [C_out] * count
    return nn.ModuleList(Residual(a, C_out, c) for a in channels[:-1])
