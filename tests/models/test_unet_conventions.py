r"""The whole U-Net against diffusers' UNet2DModel, and what each convention is worth.

A convention that is wrong leaves names and shapes as they are. So each is tested on its
own, by a second route, and the last part measures what a wrong one does to the output.
"""

from dataclasses import replace

import pytest
import torch
from helpers import close
from unets import ODD, batch, meta

from ddpm_lite.models.unet import UNet
from ddpm_lite.models.unet_config import PRESETS, UNetConfig

# Against diffusers.


def twin(c):
    r"""diffusers' network with the same settings; its t is counted from 0."""
    unet_2d = pytest.importorskip("diffusers.models.unets.unet_2d")
    attends = [c.height >> level in c.attention for level in range(len(c.widths))]
    down = tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends)
    up = tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in attends[::-1])
    return unet_2d.UNet2DModel(
        sample_size=c.size,
        in_channels=c.channels,
        out_channels=c.channels * (1 + c.learned_variance),
        freq_shift=c.frequency_shift,
        flip_sin_to_cos=not c.sine_first,
        down_block_types=down,
        up_block_types=up,
        block_out_channels=c.widths,
        layers_per_block=c.blocks,
        downsample_padding=0 if c.down_padding == "right" else 1,
        attention_head_dim=c.head_width,
        norm_num_groups=c.groups,
        attn_norm_num_groups=c.groups,
        norm_eps=c.eps,
        dropout=c.dropout,
        resnet_time_scale_shift="scale_shift" if c.scale_shift else "default",
        num_class_embeds=c.classes + 1 if c.classes else None,
    )


def same_output(ours, theirs, B=5):
    c = ours.unet_config
    x_t, t, y = batch(c, B)
    with torch.no_grad():
        expected = theirs(x_t, t - c.t_shift, class_labels=y).sample
        actual = ours(x_t, t, y)
    assert expected.abs().mean() > 0.05
    # diffusers rounds angles of up to 1000 to float32, half a unit of which is 3e-5
    close(actual, expected, rtol=0, atol=3e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_names_and_shapes_are_those_of_diffusers(name):
    ours, theirs = (meta(make, PRESETS[name]) for make in (UNet, twin))
    shapes = [
        {k: tuple(v.shape) for k, v in m.state_dict().items()} for m in (ours, theirs)
    ]
    assert shapes[0] == shapes[1]


def test_the_papers_network_gives_the_output_of_diffusers():
    torch.manual_seed(0)
    theirs = twin(UNetConfig()).eval()
    ours = UNet().eval()
    ours.load_state_dict(theirs.state_dict())
    same_output(ours, theirs, B=2)


@pytest.mark.parametrize(
    "config",
    [
        ODD,
        replace(ODD, t_shift=1, scale_shift=False, down_padding="right"),
        replace(ODD, multipliers=(1, 3, 2), attention=(3,), blocks=2),
        replace(ODD, attention=(), multipliers=(1,), sine_first=True, head_width=None),
        PRESETS["digits"],
        PRESETS["small-28"],
    ],
    ids=["odd", "odd-2", "three-resolutions", "one-resolution", "digits", "small-28"],
)
def test_small_networks_give_the_output_of_diffusers(config):
    torch.manual_seed(0)  # their first level has the width itself, so multipliers[0] is 1
    theirs, ours = twin(config), UNet(config)
    ours.load_state_dict(theirs.state_dict())
    same_output(ours.eval(), theirs.eval())
