r"""Changes of single examples: what they may do, and how often."""

import random

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ddpm_lite.data import chain, colour, flip, random_crop, with_global_seed
from ddpm_lite.data.transforms import text_of
from ddpm_lite.seeds import generator_for

RAMP = torch.arange(3 * 6 * 5, dtype=torch.uint8).view(3, 6, 5)


def test_a_crop_is_one_of_the_windows_of_the_mirrored_picture_and_each_equally_often():
    padded = F.pad(RAMP.float()[None], (2, 2, 2, 2), mode="reflect")[0]
    windows = [padded[:, i : i + 6, j : j + 5] for i in range(5) for j in range(5)]
    seen = torch.zeros(25)
    for n in range(1000):
        got = random_crop(2)(RAMP, generator_for(n))
        assert got.dtype == torch.uint8
        hits = [i for i, window in enumerate(windows) if torch.equal(got.float(), window)]
        seen[hits] += 1 / len(hits)
    assert seen.sum() == pytest.approx(1000)
    assert (seen - 40).abs().max() < 5 * 40**0.5  # 5 deviations of a binomial


def test_a_crop_refuses_more_than_can_be_mirrored():
    with pytest.raises(ValueError, match="padding 5 must be below the sides of 6 x 5"):
        random_crop(5)(RAMP, generator_for(0))


def test_what_is_no_transform_is_refused_where_it_is_chained():
    for wrong in (lambda x: x, torch.nn.Flatten(), 3):
        with pytest.raises(TypeError, match=r"called as transform\(x, generator\)"):
            chain(flip(), wrong)
    with pytest.raises(
        TypeError, match=r"data.with_global_seed\(transform\), got .*lambda"
    ):
        chain(torch.Tensor.clone, lambda x: x)
    seeded = chain(with_global_seed(torch.clone), flip(0))
    assert torch.equal(seeded(RAMP, generator_for(0)), RAMP)


def test_flip_mirrors_its_share():
    mirrored = [flip(0.25)(RAMP, generator_for(n)) for n in range(400)]
    many = sum(torch.equal(x, RAMP.flip(2)) for x in mirrored)
    assert all(torch.equal(x, RAMP) or torch.equal(x, RAMP.flip(2)) for x in mirrored)
    assert abs(many - 100) < 5 * 75**0.5


def test_brightness_multiplies_and_contrast_leaves_the_mean():
    x = torch.tensor([100, 50, 20, 30], dtype=torch.uint8).view(1, 2, 2)
    factors = [colour(brightness=0.5)(x, generator_for(n)).double() / x for n in range(200)]
    spread = torch.stack([f[0, 0, 0] for f in factors])
    assert 0.5 - 0.005 <= spread.min() < 0.6 and 1.4 < spread.max() <= 1.5 + 0.005
    for f in factors:  # one factor, but for rounding to whole grey levels: 0.5 / 20
        assert (f - f[0, 0, 0]).abs().max() <= 0.5 / 20 + 0.5 / 100 + 1e-9
    means = [colour(contrast=0.5)(x, generator_for(n)).double().mean() for n in range(50)]
    assert max(abs(m - 50) for m in means) <= 0.5 + 1e-9


def test_saturation_keeps_the_grey_of_each_pixel_and_ends_in_it():
    x = torch.rand(3, 4, 4, generator=generator_for(0)).double() * 0.6 - 0.3  # no cutting
    weights = torch.tensor([0.299, 0.587, 0.114]).double()

    def grey(x):
        return (weights[:, None, None] * x).sum(0)

    moved = colour(saturation=0.5)(x, generator_for(3))
    assert moved.dtype == torch.float64 and not torch.equal(moved, x)
    assert (grey(moved) - grey(x)).abs().max() < 1e-6  # the factor is float32
    ratio = (moved - grey(moved)) / (x - grey(x))
    assert (ratio - ratio.mean()).abs().max() < 1e-4
    only_grey = torch.full((1, 2, 2), 9, dtype=torch.uint8)
    assert torch.equal(colour(saturation=1.0)(only_grey, generator_for(1)), only_grey)


def test_a_chain_is_one_after_the_other():
    both = chain(random_crop(1), flip())(RAMP, generator_for(5))
    generator = generator_for(5)
    assert torch.equal(both, flip()(random_crop(1)(RAMP, generator), generator))


def test_a_function_that_draws_from_global_numbers_is_seeded_and_leaves_no_trace():
    def draws(x):
        return x + torch.rand(()) + np.random.rand() + random.random()

    x, seeded = torch.zeros(2), with_global_seed(draws)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    first, again, other = (seeded(x, generator_for(n)) for n in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()
    assert before[2] == random.getstate()


def test_what_a_transform_is_called_holds_no_address():
    made = chain(random_crop(4), with_global_seed(F.relu))
    text = "chain(transforms=(random_crop(padding=4), "
    text += "with_global_seed(transform=torch.nn.functional.relu)))"
    assert text_of(made) == text
    assert text_of(lambda x, g: x).endswith("<lambda>")


@pytest.mark.parametrize(
    "make", [lambda: random_crop(-1), lambda: flip(2)], ids=["crop", "flip"]
)
def test_settings_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="must be"):
        make()
