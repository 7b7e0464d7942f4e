r"""What a step costs: counted without a network, timed on a part that is small enough."""

import pytest
import torch

from ddpm_lite.models.unet import UNet, UNetConfig
from ddpm_lite.training import cost
from ddpm_lite.training.presets import RUNS

CPU = torch.device("cpu")
TINY = UNetConfig(size=8, channels=1, width=4, multipliers=(1,), attention=(), groups=2)


@pytest.fixture
def asked(monkeypatch):
    r"""Calls of the clock, which says a hundredth of a second for each picture."""
    calls = []

    def seconds(config, count, device, precision):
        calls.append((config, count))
        return 0.01 * count

    monkeypatch.setattr(cost, "_seconds", seconds)
    return calls


def test_a_step_is_timed_and_random_numbers_stay_as_they_were():
    before = torch.get_rng_state()
    seconds, timed = cost.step_time(TINY, 3, CPU)
    assert seconds > 0 and timed == ""
    assert torch.equal(torch.get_rng_state(), before)


def test_a_short_step_is_timed_whole(asked):
    assert cost.step_time(TINY, 64, CPU) == (pytest.approx(0.64), "")
    assert [count for _, count in asked] == [8, 64]


def test_a_long_step_is_timed_on_a_few_pictures(asked, monkeypatch):
    assert cost.step_time(TINY, 640, CPU) == (pytest.approx(6.4), "8 of 640 pictures")
    monkeypatch.setattr(cost, "TIMED", 3.5 * cost.cost(TINY).training_flops)
    assert cost.step_time(TINY, 640, CPU) == (pytest.approx(6.4), "3 of 640 pictures")
    assert [count for _, count in asked] == [8, 3]


def test_a_network_that_is_too_large_is_timed_on_a_smaller_one(asked, monkeypatch):
    big = UNetConfig(
        size=(32, 16), width=4, multipliers=(1, 2, 2), attention=(32, 8), groups=2
    )
    monkeypatch.setattr(cost, "TIMED", cost.cost(big).training_flops / 3)
    seconds, timed = cost.step_time(big, 10, CPU)
    (small, _), *_ = asked
    assert (small.size, small.multipliers, small.attention) == ((16, 8), (1, 2), (8,))
    ratio = cost.cost(big).flops / cost.cost(small).flops
    assert seconds == pytest.approx(0.1 * ratio, rel=1e-6)
    assert timed == "a smaller network on 16 x 8 pictures, to a factor of two"


@pytest.mark.parametrize("name", RUNS)
def test_no_preset_is_timed_on_more_than_memory_and_patience_bear(name, monkeypatch):
    asked, slow = [], 1e-10  # seconds of an operation: what is long is not timed whole

    def seconds(config, count, device, precision):
        asked.append((config, count))
        return count * cost.cost(config).training_flops * slow

    monkeypatch.setattr(cost, "_seconds", seconds)
    train, unet = RUNS[name].train, RUNS[name].unet
    took, _ = cost.step_time(unet, train.batch_size, CPU)
    expected = train.batch_size * cost.cost(unet).training_flops * slow
    assert took == pytest.approx(expected)
    for small, count in asked:
        counted = cost.cost(small, count)
        assert count * counted.training_flops <= cost.TIMED
        held = 8 * counted.parameters + counted.stored  # weights, gradients, feature maps
        assert held < 0.6e9


def test_a_card_is_timed_on_more_and_within_its_memory(asked, monkeypatch):
    free = 100e9
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free), 0))
    card, unet = torch.device("cuda"), RUNS["ddpm-256"].unet
    cost.step_time(unet, 64, card)
    assert asked == [(unet, 4), (unet, 64)]  # less than a second, as this clock says
    free, asked[:] = 5 * cost.cost(unet).stored, []
    cost.step_time(unet, 640, card)
    assert asked == [(unet, 2)]


@pytest.mark.parametrize("size", [1, 2, 6, 12, (4, 2), (512, 8)])
def test_what_cannot_be_made_smaller_stays_a_network(size, monkeypatch):
    monkeypatch.setattr(cost, "TIMED", 1)
    config = UNetConfig(size=size, width=4, multipliers=(1,), attention=(), groups=2)
    small = cost.smaller(config)
    x_t = torch.zeros(1, *small.sample_shape)
    assert UNet(small)(x_t, torch.ones(1, dtype=torch.int64)).shape == x_t.shape
