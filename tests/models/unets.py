r"""Small U-Nets, and batches for them."""

import torch
from helpers import normal

from ddpm_lite.models.unet import UNet, UNetConfig

TINY = UNetConfig(
    size=8,
    channels=1,
    width=8,
    multipliers=(1, 2),
    blocks=1,
    attention=(4,),
    dropout=0.0,
    groups=4,
    T=100,
)
ODD = UNetConfig(  # everything that the paper does not have
    size=(12, 20),
    channels=2,
    width=24,
    multipliers=(1, 3),
    blocks=1,
    attention=(12, 6),
    head_width=12,
    dropout=0.2,
    groups=6,
    eps=1e-3,
    down_padding="both",
    sine_first=False,
    frequency_shift=0,
    t_shift=0,
    scale_shift=True,
    classes=3,
    prediction="v",
    learned_variance=True,
)


def shaken(config, seed=0, **changes):
    r"""A network whose layers that start at zero do not, in eval mode."""
    torch.manual_seed(seed)
    model = UNet(config, **changes).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return model


def batch(config, B=5, seed=1):
    r"""Pictures, steps with both ends among them, and labels or None."""
    x_t = normal(B, *config.sample_shape, seed=seed).float()
    t = torch.tensor([1, config.T, 2, config.T // 2, config.T - 1])[:B]
    return x_t, t, torch.arange(B) % (config.classes + 1) if config.classes else None


def meta(make, *args):
    with torch.device("meta"):
        return make(*args)
