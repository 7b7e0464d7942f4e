r"""The U-Net of series against that of pictures, by a second route, and what it refuses."""

from dataclasses import replace

import pytest
import torch
from helpers import normal
from unets import ODD, TINY, batch

from ddpm_lite import Schedule, UNet, UNet1d, UNetConfig, load_model, sample, save_model
from ddpm_lite.models.unet1d import build_unet

SHORT = replace(TINY, dimensions=1, size=16, attention=(8,))
STRANGE = replace(ODD, dimensions=1, size=12, attention=(12, 6))
DEEP = replace(SHORT, multipliers=(1, 1, 2), channels=3, classes=2, blocks=2)
ALL = pytest.mark.parametrize(
    "config", [SHORT, STRANGE, DEEP], ids=["short", "strange", "deep"]
)


def shaken(config, seed=0):
    r"""A UNet1d in float64 none of whose weights is zero, in eval mode."""
    torch.manual_seed(seed)
    model = UNet1d(config).double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return model


def in_two_dimensions(model):
    r"""The UNet whose kernels are zero but for the middle row, which is the UNet1d's."""
    c = replace(model.unet_config, dimensions=2)
    pictures = UNet(c).double().eval()
    weights = {}
    for name, value in pictures.state_dict().items():
        own = model.state_dict()[name]
        if value.dim() == 4 and value.shape[2] == 3:
            wide = torch.zeros_like(value)
            wide[:, :, 1] = own[:, :, 0]
            own = wide
        weights[name] = own
    pictures.load_state_dict(weights)
    return pictures


@ALL
def test_it_is_the_network_of_pictures_whose_rows_are_all_alike(config):
    # Kernels that are zero off their middle row keep rows apart. Where all H rows are alike
    # means and variances over H rows are those of one, and attention meets each pixel of
    # a row H times, with a weight of 1 / H: all rows come out as the one row of UNet1d.
    model = shaken(config)
    x_t, t, y = batch(config)
    x_t, H = x_t.double(), config.factor
    rows = x_t[:, :, None].expand(-1, -1, H, -1)
    with torch.no_grad():
        one, many = model(x_t, t, y), in_two_dimensions(model)(rows, t, y)
    assert one.shape == (5, config.channels * (1 + config.learned_variance), config.size)
    assert one.std() > 0.1  # and not 0 everywhere
    assert (many - one[:, :, None]).abs().max() < 1e-12


@ALL
def test_gradients_reach_every_weight_and_every_number_of_the_series(config):
    model = shaken(config)
    x_t, t, y = batch(config)
    x_t = x_t.double().requires_grad_()
    (model(x_t, t, y) * normal(*model(x_t, t, y).shape)).sum().backward()
    for name, p in model.named_parameters():
        assert p.grad.abs().max() > 0, name
    assert (x_t.grad != 0).all()


@ALL
def test_it_starts_as_zero_with_weights_of_glorots_size(config):
    torch.manual_seed(0)
    model = UNet1d(config).eval()
    x_t, t, y = batch(config)
    assert (model(x_t, t, y) == 0).all()
    conv = model.down_blocks[0].resnets[0].conv1.weight  # (C_out, C_in, 1, 3)
    bound = (6 / (3 * (conv.shape[0] + conv.shape[1]))) ** 0.5
    assert 0.9 * bound < conv.abs().max() <= bound


def test_other_lengths_work_if_they_are_multiples_and_else_are_refused_in_words():
    model = shaken(DEEP)
    t = torch.tensor([1, 2])
    for L in (4, 8, 20, 36):
        assert model(normal(2, 3, L), t).shape == (2, 3, L)
    with pytest.raises(ValueError, match=r"length of series .* of 4 .* 18; .* 16 or 20"):
        model(normal(2, 3, 18), t)
    with pytest.raises(
        ValueError, match=r"must have shape \(B, 3, L\), got \(2, 3, 4, 8\)"
    ):
        model(normal(2, 3, 4, 8), t)
    with pytest.raises(ValueError, match=r"shape \(B, 3, L\), got \(2, 1, 16\)"):
        model(normal(2, 1, 16), t)


def test_each_series_of_a_batch_is_by_itself():
    model = shaken(SHORT)
    x_t, t, _ = batch(SHORT)
    x_t = x_t.double()
    alone = torch.cat([model(x_t[i : i + 1], t[i : i + 1]) for i in range(5)])
    assert (model(x_t, t) - alone).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UNet(SHORT), "UNet has dimensions = 2, .* with 1: build a UNet1d"),
        (lambda: UNet1d(TINY), "UNet1d has dimensions = 1, .* with 2: build a UNet$"),
        (lambda: UNet(TINY, dimensions=1), "build a UNet1d"),
        (lambda: replace(SHORT, dimensions=3), "dimensions must be an integer in 1..2"),
        (lambda: replace(SHORT, size=(8, 8)), r"one number, their length, got \(8, 8\)"),
        (lambda: replace(SHORT, size=15), "length of series must be a multiple of 2 .* 15"),
        (
            lambda: replace(SHORT, attention=(3,)),
            r"are \[16, 8\] for series of length 16, got \(3,\)",
        ),
    ],
    ids=["unet", "unet1d", "field", "three", "pair", "odd", "attention"],
)
def test_what_does_not_fit_is_refused_in_words(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_presets_and_fields_build_the_right_network():
    c = UNetConfig.preset("series")
    assert c.sample_shape == (1, 256) and c.clip is False
    assert type(build_unet(SHORT)) is UNet1d and type(build_unet(TINY)) is UNet
    named = UNet1d(size=16, channels=2, width=8, groups=4, multipliers=(1, 2), attention=())
    assert named.unet_config.dimensions == 1 and named.clip == (-1, 1)


def test_weights_go_through_a_file_and_samples_have_the_shape_of_series(tmp_path):
    model, schedule = shaken(DEEP).float(), Schedule.cosine(100)
    save_model(tmp_path / "x.safetensors", model, schedule)
    loaded = load_model(tmp_path / "x.safetensors")
    assert type(loaded.model) is UNet1d and loaded.model.unet_config == DEEP
    for name, value in loaded.model.state_dict().items():
        assert value.equal(model.state_dict()[name]), name
    drawn = loaded.sample(3, sampler="ddim", steps=3, progress=False)
    assert drawn.shape == (3, 3, 16)
    y = torch.tensor([0, 1, 0])
    seeds = [(0, 0), (0, 1), (0, 2)]
    how = dict(sampler="ddim", steps=3, progress=False, seed=seeds, y=y)
    again = sample(model, schedule, (3, 3, 16), **how)
    assert (drawn - again).abs().max() < 1e-4
