r"""The probability-flow ODE: against scipy's solver, known paths, and the forward law."""

import math

import pytest
import torch
from helpers import Constant, close, normal
from scipy.integrate import solve_ivp

from ddpm_lite import GaussianOracle, MixtureOracle, Schedule, score_from_noise
from ddpm_lite.sampling.ode import check_stops, follow, sigma_table, slope

LINEAR, COSINE = Schedule.linear(1000), Schedule.cosine(1000)
MEANS, VARIANCES, WEIGHTS = (
    [[-1.2, 0.5], [0.8, -0.4]],
    [[0.04, 0.3], [0.2, 0.05]],
    [0.3, 0.7],
)


def by_scipy(x, start, end):
    r"""x carried from sigma start to sigma end, X = x_0 + sigma noise, with RK45."""

    def field(sigma, X):
        X = torch.tensor(X).reshape(-1, 1, 2)
        variance = torch.tensor(VARIANCES).double() + sigma**2
        distance = X - torch.tensor(MEANS).double()
        logs = -0.5 * (distance.square() / variance + variance.log()).sum(-1)
        shares = (logs + torch.tensor(WEIGHTS).double().log()).softmax(1)[..., None]
        score = -(shares * distance / variance).sum(1)
        return (-sigma * score).flatten().numpy()  # the score, and no noise prediction

    found = solve_ivp(field, (start, end), x.flatten().numpy(), rtol=1e-8, atol=1e-8)
    return torch.tensor(found.y[:, -1]).reshape(-1, 2)


@pytest.mark.parametrize("schedule", [LINEAR, COSINE], ids=["linear", "cosine"])
@pytest.mark.parametrize("down", [True, False])
def test_a_mixture_goes_where_scipy_takes_it(schedule, down):
    oracle = MixtureOracle(schedule, MEANS, VARIANCES, WEIGHTS)
    stops = range(900, 19, -4) if down else range(20, 901, 4)
    a, sigma = schedule.alpha_bar.sqrt(), sigma_table(schedule)
    first, last = stops[0], stops[-1]
    x = normal(4, 2)
    exact = a[last] * by_scipy(x / a[first], float(sigma[first]), float(sigma[last]))
    error = (follow(oracle, schedule, x, stops) - exact).abs().max()
    half = (follow(oracle, schedule, x, stops[::2]) - exact).abs().max()
    assert error < 2e-2  # a step is 4 to 12 % of sigma, squared, over the whole way
    assert 2.5 < half / error < 6  # second order: twice the steps, a quarter


def test_a_gaussian_moves_as_the_root_of_its_variance():
    m, v = 0.7, 0.09
    oracle = GaussianOracle(LINEAR, [m], v)
    a, sigma = LINEAR.alpha_bar.sqrt(), sigma_table(LINEAR)
    c = torch.tensor([[-1.0], [0.0], [2.5]], dtype=torch.float64)

    def at(t):
        return a[t] * (m + c * (v + sigma[t] ** 2).sqrt())

    found = follow(oracle, LINEAR, at(1000), range(1000, 0, -1))
    assert (found - at(1)).abs().max() < 1e-3 * 2.5 * math.sqrt(v)
    back = follow(oracle, LINEAR, found, range(1, 1001))
    assert (back - at(1000)).abs().max() < 5e-3


def test_the_slope_is_minus_sigma_times_the_score():
    oracle = MixtureOracle(LINEAR, MEANS, VARIANCES, WEIGHTS)
    X, t = normal(5, 2), 300
    a, s = LINEAR.alpha_bar[t].sqrt(), LINEAR.one_minus_alpha_bar[t].sqrt()
    at_t = torch.full((5,), t)
    score = score_from_noise(LINEAR, a * X, at_t, oracle(a * X, at_t))  # of x = a X
    close(slope(oracle, LINEAR, X, t), -(s / a) * a * score)


@pytest.mark.parametrize("prediction", ["noise", "x_0", "v"])
def test_every_prediction_stands_for_one_slope(prediction):
    oracle = MixtureOracle(LINEAR, MEANS, VARIANCES, WEIGHTS)

    def model(x_t, t):
        noise, x_0 = oracle(x_t, t), oracle.x_0_moments(x_t, t)[0]
        a = LINEAR.alpha_bar[t].sqrt()[:, None]
        s = LINEAR.one_minus_alpha_bar[t].sqrt()[:, None]
        return {"noise": noise, "x_0": x_0, "v": a * noise - s * x_0}[prediction]

    x, stops = normal(3, 2), [900, 500, 200, 20]
    found = follow(model, LINEAR, x, stops, prediction=prediction)
    close(found, follow(oracle, LINEAR, x, stops), rtol=1e-9)


def test_pictures_and_float32_come_back_as_they_are():
    x = normal(2, 1, 4, 4).float()
    model = Constant(0.0)
    found = follow(model, LINEAR, x, [1000, 500, 1])
    assert found.dtype == torch.float32 and found.shape == x.shape
    ratio = (LINEAR.alpha_bar[1] / LINEAR.alpha_bar[1000]).sqrt()
    close(found, x * ratio.float(), rtol=1e-6)  # X stays where it is


@pytest.mark.parametrize(
    ("stops", "words"),
    [
        ([5], "two or more steps"),
        ([5, 7, 6], "all rise or all fall"),
        ([5, 5, 6], "all rise or all fall"),
        ([5, 0], "1"),
        ([1, 1001], "1000"),
        ([1.5, 2], "integer"),
    ],
)
def test_stops_that_are_no_way_are_refused(stops, words):
    with pytest.raises(ValueError, match=words):
        check_stops(stops, LINEAR)


def test_an_infinite_sigma_and_a_wrong_schedule_are_refused():
    zero = Schedule.from_beta([0.1, 0.2, 1.0])
    with pytest.raises(ValueError, match="alpha_bar"):
        check_stops([1, 3], zero)
    oracle = GaussianOracle(LINEAR, [0.0], 1.0)
    with pytest.raises(ValueError, match="exact for another schedule"):
        follow(oracle, COSINE, normal(2, 1), [10, 5])
    with pytest.raises(ValueError, match="NaN"):
        follow(oracle, LINEAR, normal(2, 1) * math.nan, [10, 5])
