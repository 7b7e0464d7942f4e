r"""Weights of the simple loss: by two routes, and at the ends of the chain."""

import pytest
import torch
from helpers import close, normal

from ddpm_lite import Schedule, q_sample, simple_loss, v_from_x_0
from ddpm_lite.process import noise_from_x_0
from ddpm_lite.training import min_snr_weight


def weighted(schedule, t, prediction, gamma):
    r"""The weighted loss of one wrong x_0, told as a prediction of this kind."""
    x_0, wrong, noise = (normal(len(t), 3, seed=i) for i in range(3))
    x_t = q_sample(schedule, x_0, t, noise)
    told = {
        "x_0": wrong,
        "noise": noise_from_x_0(schedule, x_t, t, wrong),
        "v": v_from_x_0(schedule, x_t, t, wrong),
    }[prediction]
    loss = simple_loss(lambda x, t: told, schedule, x_0, t, noise, prediction=prediction)
    expected = (wrong - x_0).square().mean(1)
    snr = schedule.alpha_bar[t] / (1 - schedule.alpha_bar[t])
    weight = min_snr_weight(schedule, t, prediction, gamma)
    return weight * loss, snr.clamp(max=gamma) * expected


@pytest.mark.parametrize("prediction", ["noise", "x_0", "v"])
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
    found = [float(min_snr_weight(schedule, t, p)) for p in ("noise", "x_0", "v")]
    assert found == [1, 0, 0]


@pytest.mark.parametrize(("prediction", "gamma"), [("score", 5.0), ("v", 0.0)])
def test_min_snr_refuses(prediction, gamma):
    with pytest.raises(ValueError, match=r"prediction|gamma"):
        min_snr_weight(Schedule.linear(), torch.tensor([1]), prediction, gamma)
