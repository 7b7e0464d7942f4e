r"""What the simple loss counts: by two routes, and at the ends of chain and range."""

import pytest
import torch
from helpers import close, normal

from ddpm_lite import Schedule, flow_from_x_0, q_sample, simple_loss, v_from_x_0
from ddpm_lite.checks import PREDICTIONS
from ddpm_lite.process import noise_from_x_0
from ddpm_lite.training import min_snr_weight
from ddpm_lite.training.weighting import allowed, check_ends, free_ends_loss


def weighted(schedule, t, prediction, gamma):
    r"""The weighted loss of one wrong x_0, told as a prediction of this kind."""
    x_0, wrong, noise = (normal(len(t), 3, seed=i) for i in range(3))
    x_t = q_sample(schedule, x_0, t, noise)
    told = {
        "x_0": wrong,
        "noise": noise_from_x_0(schedule, x_t, t, wrong),
        "v": v_from_x_0(schedule, x_t, t, wrong),
        "flow": flow_from_x_0(schedule, x_t, t, wrong),
    }[prediction]
    loss = simple_loss(lambda x, t: told, schedule, x_0, t, noise, prediction=prediction)
    expected = (wrong - x_0).square().mean(1)
    snr = schedule.alpha_bar[t] / (1 - schedule.alpha_bar[t])
    weight = min_snr_weight(schedule, t, prediction, gamma)
    return weight * loss, snr.clamp(max=gamma) * expected


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_makes_all_predictions_one_loss(prediction, gamma):
    t = torch.tensor([1, 2, 10, 100, 300, 700, 1000])
    # 1 / (1 - alpha_bar) is 1e4 at t = 1, where noise and x_0 differ by so much
    close(*weighted(Schedule.linear(), t, prediction, gamma), rtol=1e-9)


def test_min_snr_of_v_puts_little_weight_on_noise():
    schedule, t = Schedule.linear(1000), torch.arange(1, 1001)
    right, wrong = (min_snr_weight(schedule, t, kind) for kind in ("v", "noise"))
    share = [float(w[500:].sum() / w.sum()) for w in (right, wrong)]
    assert share == pytest.approx([0.035, 0.548], abs=1e-3)


def test_min_snr_at_the_end_without_signal():
    schedule = Schedule.from_beta([0.5, 1.0])
    t = torch.tensor([2])
    found = [float(min_snr_weight(schedule, t, p)) for p in PREDICTIONS]
    assert found == [1, 0, 0, 0]


@pytest.mark.parametrize(("prediction", "gamma"), [("score", 5.0), ("v", 0.0)])
def test_min_snr_refuses(prediction, gamma):
    with pytest.raises(ValueError, match=r"prediction|gamma"):
        min_snr_weight(Schedule.linear(), torch.tensor([1]), prediction, gamma)


# --- free ends


class Told:
    r"""A denoiser that answers what it was told."""

    learned_variance, clip = False, (-1, 1)

    def __init__(self, value, prediction):
        self.value, self.prediction = value, prediction

    def __call__(self, x_t, t):
        return self.value


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_free_ends_take_from_the_loss_what_lies_beyond_an_end(prediction):
    r"""By hand in x_0: squared errors but for those that clipping mends, weighted."""
    schedule, t = Schedule.cosine(10), torch.tensor([1, 4, 7, 9])
    x_0, wrong, noise = (normal(4, 200, seed=i) for i in range(3))
    x_0, wrong = x_0.clamp(-1, 1), 2 * wrong
    x_t = q_sample(schedule, x_0, t, noise)
    told = {
        "x_0": wrong,
        "noise": noise_from_x_0(schedule, x_t, t, wrong),
        "v": v_from_x_0(schedule, x_t, t, wrong),
        "flow": flow_from_x_0(schedule, x_t, t, wrong),
    }[prediction]
    found = free_ends_loss(Told(told, prediction), schedule, x_0, t, noise)
    expected = torch.zeros(4, dtype=torch.float64)
    snr = schedule.alpha_bar[t] / (1 - schedule.alpha_bar[t])
    factors = {"x_0": torch.ones_like(snr), "noise": snr, "v": snr + 1}
    weight = (factors | {"flow": (snr.sqrt() + 1) ** 2})[prediction]
    free = 0
    for i in range(4):
        for right, guess in zip(x_0[i].tolist(), wrong[i].tolist(), strict=True):
            beyond = (right == -1 and guess < -1) or (right == 1 and guess > 1)
            free += beyond
            expected[i] += 0 if beyond else weight[i] * (guess - right) ** 2 / 200
    assert 40 < free < 120  # 0.16 of 800 are black, as many white, 0.31 of them beyond
    close(found, expected, rtol=1e-9)
    inside = 0.99 * x_0
    model = Told(told, prediction)
    plain = simple_loss(model, schedule, inside, t, noise)
    close(free_ends_loss(model, schedule, inside, t, noise), plain, rtol=1e-12)


def test_with_free_ends_the_best_prediction_is_the_mean_once_it_is_cut():
    r"""Black with chance p, else grey: the minimiser on a grid, and where black is sure."""
    guesses = torch.linspace(-2, 1, 3001, dtype=torch.float64)
    grey = 0.2
    for p in (0.0, 0.5, 0.9, 0.999):
        loss = sum(
            chance * (allowed(torch.full_like(guesses, x), guesses, (-1, 1)) - guesses) ** 2
            for x, chance in ((-1.0, p), (grey, 1 - p))
        )
        mean = grey - p * (1 + grey)
        assert float(guesses[loss.argmin()]) == pytest.approx(mean, abs=1e-3)
    black = torch.full_like(guesses, -1)
    sure = (allowed(black, guesses, (-1, 1)) - guesses).square()
    assert (sure[guesses <= -1] == 0).all() and (sure[guesses > -1] > 0).all()


def test_a_network_with_free_ends_overshoots_and_its_gradient_there_is_zero():
    x_0, noise = torch.full((2, 1, 3, 3), -1.0), normal(2, 1, 3, 3).float()
    t = torch.tensor([3, 8])
    for guess, free in ((-1.5, True), (-0.5, False)):
        value = torch.full_like(x_0, guess).requires_grad_()
        loss = free_ends_loss(Told(value, "x_0"), Schedule.cosine(10), x_0, t, noise)
        loss.sum().backward()
        assert bool((value.grad == 0).all()) is free


def test_free_ends_are_refused_where_there_are_none():
    model = Told(torch.zeros(1), "v")
    assert check_ends(model) == (-1, 1)
    model.clip = None
    with pytest.raises(ValueError, match="free_ends is for models that clip"):
        check_ends(model)
    model.clip, model.learned_variance = (-1, 1), True
    with pytest.raises(ValueError, match="whose variance is not learned"):
        check_ends(model)
