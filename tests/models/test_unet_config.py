r"""Configurations of a U-Net: through JSON and back, changed, and refused."""

import json
import math
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest
from unets import ODD, TINY, meta

from ddpm_lite.models.unet import UNet
from ddpm_lite.models.unet_config import PRESETS, UNetConfig


@pytest.mark.parametrize("config", [*PRESETS.values(), TINY, ODD])
def test_configurations_go_through_json(config):
    model = meta(UNet, config)
    again = meta(lambda: UNet(**json.loads(json.dumps(model.config))))
    assert again.config == model.config and again.unet_config == config
    assert set(model.config) == {f.name for f in fields(UNetConfig)}


def test_fields_change_a_configuration():
    assert UNet(TINY, channels=2).unet_config == replace(TINY, channels=2)
    assert UNet(**asdict(TINY)).unet_config == TINY
    assert UNetConfig.preset("digits", classes=9) == replace(PRESETS["digits"], classes=9)
    with pytest.raises(FrozenInstanceError):
        TINY.width = 16


def test_an_unknown_preset_is_refused_with_the_names_of_all():
    with pytest.raises(
        ValueError, match=r"preset must be one of ddpm-cifar10, .* got 'cifar'"
    ):
        UNetConfig.preset("cifar")
    with pytest.raises(TypeError, match="wdith"):
        UNetConfig.preset("digits", wdith=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(channels=0), "channels must be an integer >= 1, got 0"),
        (dict(width=2), "width must be an integer >= 4, got 2"),
        (dict(width=8.0), "width must be an integer >= 4, got 8.0"),
        (dict(blocks=0), "blocks must be an integer >= 1, got 0"),
        (dict(groups=0), "groups must be an integer >= 1, got 0"),
        (dict(T=0), "T must be an integer >= 1, got 0"),
        (dict(classes=-1), "classes must be an integer >= 0, got -1"),
        (dict(classes=True), "classes must be an integer >= 0, got True"),
        (dict(head_width=0), "head_width must be an integer >= 1, got 0"),
        (dict(frequency_shift=2), "frequency_shift must be an integer in 0..1, got 2"),
        (dict(t_shift=-1), "t_shift must be an integer in 0..1, got -1"),
        (dict(dropout=1.0), "dropout must be a number in .* got 1.0"),
        (dict(dropout=-0.1), "dropout must be a number in .* got -0.1"),
        (dict(dropout=math.nan), "dropout must be a number in .* got nan"),
        (dict(eps=0.0), "eps must be a number >= 1e-12, got 0.0"),
        (dict(down_padding="left"), "down_padding must be one of right, both, got 'left'"),
        (
            dict(prediction="eps"),
            "prediction must be one of noise, x_0, v, flow, got 'eps'",
        ),
        (dict(sine_first="no"), "sine_first must be True or False, got 'no'"),
        (dict(scale_shift=1), "scale_shift must be True or False, got 1"),
        (dict(zero_init=None), "zero_init must be True or False, got None"),
        (dict(learned_variance=0), "learned_variance must be True or False, got 0"),
        (dict(multipliers=()), "number of multipliers must be an integer >= 1, got 0"),
        (dict(multipliers=2), "multipliers must be a tuple of numbers, got 2"),
        (dict(multipliers=(1, 0)), "sizes and multipliers must be an integer >= 1, got 0"),
        (dict(attention=4), "attention must be a tuple of numbers, got 4"),
        (dict(size=0), "sizes and multipliers must be an integer >= 1, got 0"),
        (dict(size=(8, 8, 8)), r"size must be one number or \(height, width\), got \(8, 8"),
        (dict(size=9), "multiple of 2 for this network, got 9; the nearest .* 8 or 10"),
        (
            dict(attention=(2,)),
            r"must name resolutions, which are \[8, 4\] .* height 8, got \(2,\)",
        ),
        (dict(groups=3), r"width = 8 must be even and a multiple of groups = 3"),
        (
            dict(width=6, multipliers=(2, 4)),
            "width = 6 must be even and a multiple of groups",
        ),
        (dict(width=7, groups=1), r"width = 7 must be even and .* of groups = 1$"),
        (dict(size=1), "got 1; the nearest that works is 2$"),
        (dict(head_width=3), r"resolutions, \(8, 16\), multiples of head_width = 3"),
    ],
    ids=str,
)
def test_configurations_that_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **changes)
