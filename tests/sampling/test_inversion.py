r"""DDIM read backwards, on a Gaussian whose maps up and down are numbers."""

from itertools import pairwise

import pytest
import torch

from ddpm_lite import GaussianOracle, Schedule, guided, timestep_pairs
from ddpm_lite.sampling import decode, encode
from ddpm_lite.sampling.sampler import ddim_step

DEVIATION = 0.4


def oracle(schedule):
    return GaussianOracle(schedule, torch.zeros(1, dtype=torch.float64), DEVIATION**2)


def factors(schedule, pairs):
    r"""What a way up and a way down multiply x by, in X = x / a and sigma."""
    sigma = (schedule.one_minus_alpha_bar / schedule.alpha_bar).sqrt().tolist()
    up = down = 1.0
    for t, s in pairs:
        down *= 1 + (sigma[s] - sigma[t]) * sigma[t] / (DEVIATION**2 + sigma[t] ** 2)
    start = float(schedule.alpha_bar[1].sqrt())
    for t, s in reversed(pairs):
        if s > 0:
            up *= 1 + (sigma[t] - sigma[s]) * sigma[s] / (DEVIATION**2 + sigma[s] ** 2)
        else:  # the network is asked about x_0 at t = 1, where X is x_0 / a_1
            up *= 1 + sigma[t] * sigma[1] / (DEVIATION**2 + sigma[1] ** 2) / start
    a = float(schedule.alpha_bar[pairs[0][0]].sqrt())
    return up * a, down / a


@pytest.mark.parametrize("steps", [5, 40])
def test_both_ways_multiply_by_their_factors(steps):
    schedule = Schedule.linear(200, 1e-3, 0.08)
    pairs = timestep_pairs(200, steps)
    up, down = factors(schedule, pairs)
    x = torch.tensor([[1.0], [-0.3]], dtype=torch.float64)
    code = encode(oracle(schedule), schedule, x, pairs)
    torch.testing.assert_close(code, up * x, rtol=1e-10, atol=0)
    back = decode(oracle(schedule), schedule, code, pairs)
    torch.testing.assert_close(back, up * down * x, rtol=1e-10, atol=0)


def test_the_round_trip_loses_less_with_shorter_steps():
    schedule = Schedule.linear(1000)
    lost = []
    for steps in (25, 50, 100):
        up, down = factors(schedule, timestep_pairs(1000, steps))
        lost.append(abs(up * down - 1))
    assert lost == sorted(lost, reverse=True) and lost[2] < 0.7 * lost[1]


def test_with_one_prediction_for_all_the_way_back_is_exact():
    # A denoiser that says the same noise everywhere: then up and down are inverses.
    schedule, x = Schedule.cosine(50), torch.randn(3, 1, 4, 4, dtype=torch.float64)
    fixed = torch.randn(1, 1, 4, 4, dtype=torch.float64)

    def model(x_t, t):
        return fixed.expand_as(x_t)

    pairs = timestep_pairs(40, 10)
    code = encode(model, schedule, x, pairs, prediction="noise")
    back = decode(model, schedule, code, pairs, prediction="noise")
    torch.testing.assert_close(back, x, rtol=1e-10, atol=1e-10)


def test_a_step_up_is_ddim_with_the_lower_prediction_and_sees_labels():
    schedule, x = Schedule.cosine(20), torch.randn(2, 3, dtype=torch.float64)
    asked = []

    class Model(torch.nn.Module):
        prediction, learned_variance, classes, clip = "x_0", False, 4, (-1, 1)

        def forward(self, x_t, t, y):
            asked.append((t.tolist(), y.tolist(), self.training))
            return 3 * torch.tanh(x_t)  # beyond clip: nothing is clipped on the way

    y, model = torch.tensor([3, 1]), Model()
    pairs = [(20, 9), (9, 4), (4, 0)]
    code = encode(model, schedule, x, pairs, y=y)
    assert [t for t, _, _ in asked] == [[1, 1], [4, 4], [9, 9]]
    assert {tuple(labels) for _, labels, _ in asked} == {(3, 1)}
    assert not any(training for *_, training in asked) and model.training
    expected, at = x, torch.ones(2, dtype=torch.int64)
    for low, high in pairwise([1, 4, 9, 20]):
        if low == 1:  # from 0 with the prediction at 1
            noise = expected - schedule.alpha_bar[1].sqrt() * 3 * expected.tanh()
            noise = noise / schedule.one_minus_alpha_bar[1].sqrt()
            a, s = schedule.alpha_bar[4].sqrt(), schedule.one_minus_alpha_bar[4].sqrt()
            expected = a * expected + s * noise
            continue
        guess = 3 * expected.tanh()
        a, s = schedule.alpha_bar[low].sqrt(), schedule.one_minus_alpha_bar[low].sqrt()
        noise = (expected - a * guess) / s
        a, s = schedule.alpha_bar[high].sqrt(), schedule.one_minus_alpha_bar[high].sqrt()
        expected = a * guess + s * noise
    torch.testing.assert_close(code, expected, rtol=1e-9, atol=1e-9)
    down = decode(model, schedule, code, [(20, 0)], y=y)
    zeros = torch.zeros_like(code)
    by_step = ddim_step(schedule, code, 3 * code.tanh(), 20 * at, 0 * at, zeros)
    torch.testing.assert_close(down, by_step)
    both = guided(model, 2.0)
    assert encode(both, schedule, x, pairs, y=y).shape == x.shape


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(pairs=[(5, 2)]), ValueError, "last s 0"),
        (dict(pairs=[(30, 0)]), ValueError, "at most 20"),
        (dict(x_0=torch.full((2, 1), float("nan"))), ValueError, "finite"),
        (dict(y=torch.tensor([0, 0])), ValueError, "no classes"),
        (dict(prediction="v"), ValueError, "predicts 'noise'"),
    ],
)
def test_what_encoding_refuses(change, error, message):
    schedule = Schedule.cosine(20)
    given = dict(x_0=torch.zeros(2, 1, dtype=torch.float64), pairs=[(20, 0)]) | change
    with pytest.raises(error, match=message):
        encode(oracle(schedule), schedule, **given)


def test_decoding_leaves_no_choice_of_its_start():
    schedule, code = Schedule.cosine(20), torch.zeros(2, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="decode sets x_T"):
        decode(oracle(schedule), schedule, code, [(20, 0)], x_T=code)
