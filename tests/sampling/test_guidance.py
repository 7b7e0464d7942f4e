r"""Guidance: on a Gaussian, where each chain's law is known, and on networks."""

import numpy as np
import pytest
import torch
from torch import nn

from ddpm_lite import Schedule, UNet, guided, load_pretrained, sample, sample_path
from ddpm_lite.checks import PREDICTIONS
from ddpm_lite.models.unet import UNetConfig

GAMMA = 2.0
MEAN, DEVIATION = 0.8, 0.3  # of p(x | y); p(x) is N(0, 1)


class Gaussian:
    r"""The exact denoiser of p(x | y) for y = 0, and of p(x) for "no class", y = 1."""

    prediction, classes = "noise", 1

    def __init__(self, schedule):
        self.schedule, self.calls = schedule, 0

    def __call__(self, x_t, t, y):
        self.calls += 1
        a2 = self.schedule.alpha_bar[t][:, None]
        known = (y == 0).double()[:, None]
        mean, variance = known * MEAN, known * DEVIATION**2 + (1 - known)
        s2 = 1 - a2
        return s2.sqrt() * (x_t - a2.sqrt() * mean) / (a2 * variance + s2)


def law_by_hand(schedule, eta, variance=None):
    r"""Mean and deviation of the guided chain, from one recursion of two numbers.

    The guided score of two Gaussians is linear in x, (c - x d): a step of DDIM with eta,
    or of the ancestral chain with a variance, is x -> p x + q + noise.
    """
    a2 = schedule.alpha_bar.numpy()
    mean, var = 0.0, 1.0
    for t in range(schedule.T, 0, -1):
        a, s2 = np.sqrt(a2[t]), 1 - a2[t]
        precise, wide = 1 / (a2[t] * DEVIATION**2 + s2), 1.0
        d = GAMMA * precise + (1 - GAMMA) * wide
        c = GAMMA * precise * a * MEAN
        prev, s2_prev = np.sqrt(a2[t - 1]), 1 - a2[t - 1]
        beta = 1 - a2[t] / a2[t - 1]
        fresh = eta**2 * beta * s2_prev / s2
        # x_0 = (x + s2 score) / a, noise = -s score
        slope = prev * (1 - s2 * d) / a + np.sqrt((s2_prev - fresh) * s2) * d
        shift = prev * s2 * c / a - np.sqrt((s2_prev - fresh) * s2) * c
        mean, var = slope * mean + shift, slope**2 * var + fresh
    return mean, np.sqrt(var)


@pytest.mark.parametrize("T", [50, 1000])
def test_ddim_draws_the_law_that_the_recursion_gives(T):
    schedule = Schedule.linear(T, 0.1 / T, 20 / T) if T > 50 else Schedule.cosine(T)
    model = guided(Gaussian(schedule), GAMMA)
    x_T = torch.tensor([[0.0], [1.0]], dtype=torch.float64)  # a linear map: two points
    options = dict(sampler="ddim", x_T=x_T, dtype=torch.float64, progress=False)
    y = torch.zeros(2, dtype=torch.int64)
    x_0 = sample(model, schedule, (2, 1), y=y, **options)
    mean, deviation = law_by_hand(schedule, eta=0)
    assert float(x_0[0]) == pytest.approx(mean, rel=1e-10)
    assert float(x_0[1] - x_0[0]) == pytest.approx(deviation, rel=1e-10)


def test_the_guided_law_is_neither_the_tilted_one_nor_the_same_for_all_samplers():
    schedule = Schedule.linear()
    tilted = (GAMMA / DEVIATION**2 + 1 - GAMMA) ** -0.5
    ddim, ancestral = (law_by_hand(schedule, eta)[1] for eta in (0, 1))
    limit = DEVIATION**GAMMA  # of the ODE: deviation_y^gamma, p(x) having deviation 1
    assert tilted == pytest.approx(0.217, abs=5e-4)
    assert ddim == pytest.approx(0.089, abs=5e-4)
    assert ancestral == pytest.approx(0.177, abs=5e-4)
    assert abs(law_by_hand(Schedule.linear(8000, 1e-4 / 8, 0.02 / 8), 0)[1] - limit) < 2e-4


def test_the_ancestral_chain_draws_the_law_of_its_recursion():
    schedule, n = Schedule.cosine(50), 4000
    model, y = guided(Gaussian(schedule), GAMMA), torch.zeros(n, dtype=torch.int64)
    drawn = sample(
        model, schedule, (n, 1), y=y, variance="small", dtype=torch.float64, progress=False
    )
    mean, deviation = law_by_hand(schedule, eta=1)
    assert abs(float(drawn.mean()) - mean) < 5 * deviation / n**0.5
    assert abs(float(drawn.std()) - deviation) < 5 * deviation / (2 * n) ** 0.5


def network(**settings):
    torch.manual_seed(0)
    small = dict(size=8, channels=1, width=8, multipliers=(1,), blocks=1, groups=2)
    small |= dict(attention=(), classes=3, T=20, zero_init=False)
    return UNet(UNetConfig(**small | settings)).double().eval()


def batch(B=3):
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(B, 1, 8, 8, generator=generator, dtype=torch.float64)
    return x_t, torch.tensor([1, 10, 20])[:B], torch.tensor([0, 1, 2])[:B]


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_it_is_the_formula_with_both_halves_in_one_call(prediction):
    model, (x_t, t, y) = network(prediction=prediction), batch()
    with_y, none = model(x_t, t, y), model(x_t, t)
    calls = []
    model.register_forward_hook(lambda *args: calls.append(1))
    found = guided(model, 3.5)
    assert found.prediction == prediction
    torch.testing.assert_close(found(x_t, t, y), none + 3.5 * (with_y - none))
    assert len(calls) == 1
    assert torch.equal(guided(model, 1)(x_t, t, y), with_y)
    torch.testing.assert_close(guided(model, 0)(x_t, t, y), none)


def test_all_channels_are_guided_and_the_variance_is_that_of_the_class():
    model, (x_t, t, y) = network(channels=4, learned_variance=True), batch()
    x_t = x_t.repeat(1, 4, 1, 1) + torch.arange(4).view(1, 4, 1, 1)
    with_y, none = model(x_t, t, y), model(x_t, t)
    found = guided(model, 2)(x_t, t, y)
    torch.testing.assert_close(found[:, :4], 2 * with_y[:, :4] - none[:, :4])
    torch.testing.assert_close(found[:, 4:], with_y[:, 4:])
    assert not torch.allclose(with_y[:, 4:], none[:, 4:])


def test_outside_the_interval_there_is_no_guidance_and_one_call():
    model, (x_t, t, y) = network(), batch()
    whole, with_y = guided(model, 3)(x_t, t, y), model(x_t, t, y)
    inside = guided(model, 3, interval=(5, 10))
    found = inside(x_t, t, y)
    torch.testing.assert_close(found[[0, 2]], with_y[[0, 2]])
    torch.testing.assert_close(found[1], whole[1])
    sizes = []
    model.register_forward_hook(lambda m, x, out: sizes.append(len(out)))
    chain = dict(sampler="ddim", y=y, progress=False, dtype=torch.float64)
    list(sample_path(inside, Schedule.cosine(20), (3, 1, 8, 8), **chain))
    assert sizes == [3] * 10 + [6] * 6 + [3] * 4


def test_another_network_takes_the_place_of_the_one_without_a_class():
    model, (x_t, t, y) = network(), batch()
    weaker = network(width=4)
    expected = weaker(x_t, t, y) + 2 * (model(x_t, t, y) - weaker(x_t, t, y))
    torch.testing.assert_close(guided(model, 2, weaker=weaker)(x_t, t, y), expected)
    plain = network(classes=0)  # neither knows a class: y may be left out
    bad = network(classes=0, width=4)
    expected = bad(x_t, t) + 2 * (plain(x_t, t) - bad(x_t, t))
    torch.testing.assert_close(guided(plain, 2, weaker=bad)(x_t, t), expected)


def test_it_is_a_module_that_says_what_its_model_says():
    model = network().float().train()
    found = guided(model, 2)
    assert (found.T, found.classes, found.learned_variance) == (20, 3, False)
    y = torch.tensor([0, 1])
    drawn = sample(found, Schedule.cosine(20), (2, 1, 8, 8), y=y, progress=False, steps=2)
    assert drawn.isfinite().all() and model.training


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: guided(network(classes=0), 2), "classes"),
        (lambda m: guided(lambda x, t, y: x, 2), "classes"),
        (lambda m: guided(m, float("nan")), "gamma"),
        (lambda m: guided(m, 2, interval=(9, 3)), "high end"),
        (lambda m: guided(m, 2, weaker=network(prediction="v")), "agree"),
        (lambda m: guided(m, 2)(*batch()[:2]), "give y"),
        (lambda m: guided(m, 2)(*batch()[:2], torch.tensor(1)), r"shape \(3,\)"),
        (lambda m: guided(m, 2)(*batch()[:2], torch.tensor([0, 1, 4])), r"in 0\.\.2"),
    ],
)
def test_what_it_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make(network())


def test_it_learns_nothing_of_its_own():
    model = network()
    assert isinstance(guided(model, 2), nn.Module)
    assert sum(p.numel() for p in guided(model, 2).parameters()) == sum(
        p.numel() for p in model.parameters()
    )


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda m: guided(m, 2, weaker=network(T=10)), ValueError, "T = 20 and the weaker"),
        (lambda m: guided(m, 2, weaker=network(classes=2)), ValueError, "classes = 3 and"),
        (lambda m: guided(m, 2, weaker="x"), TypeError, "got a str"),
        (lambda m: guided(load_pretrained("digits"), 2), TypeError, "give its .model"),
        (lambda m: guided(m, 2, interval=(5, 21)), ValueError, r"in 5\.\.20, got 21"),
        (lambda m: guided(m, 2, interval=5), ValueError, "two steps, .* got 5"),
        (lambda m: guided(m, 2, interval=(1, 2, 3)), ValueError, "two steps"),
        (lambda m: guided(m, 2)(*batch()[:2], [0, 1, 2]), TypeError, "got list"),
    ],
)
def test_what_it_refuses_in_words(make, error, message):
    with pytest.raises(error, match=message):
        make(network())


def test_every_module_is_left_in_the_mode_that_it_was_in():
    model = network(dropout=0.5).float()
    found, y = guided(model, 2), torch.tensor([0, 1])
    draw = dict(y=y, progress=False, steps=2)
    assert found.training and not model.training
    drawn = sample(found, Schedule.cosine(20), (2, 1, 8, 8), **draw)
    assert found.training and not model.training
    model.train()
    found.training = False  # as after found.eval(); model.train()
    again = sample(found, Schedule.cosine(20), (2, 1, 8, 8), **draw)
    assert model.training and torch.equal(again, drawn)


def test_what_torch_wraps_says_what_is_inside():
    model = network().float()
    wrapped, draw = nn.DataParallel(model), dict(sampler="ddim", steps=2, progress=False)
    schedule = Schedule.cosine(20)
    one, two = (sample(m, schedule, (2, 1, 8, 8), **draw) for m in (model, wrapped))
    torch.testing.assert_close(two, one)
    with pytest.raises(ValueError, match="the model knows T = 20 steps"):
        sample(wrapped, Schedule.cosine(10), (2, 1, 8, 8), **draw)
