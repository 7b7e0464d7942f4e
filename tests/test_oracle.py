r"""Exact denoisers: against sums over a grid, against each other, against autograd."""

import math

import pytest
import torch
from helpers import SAMPLE_SHAPES, batches, close, f64, normal, some_schedules
from hypothesis import given

from ddpm_lite import (
    DataOracle,
    GaussianOracle,
    MixtureOracle,
    Schedule,
    noise_from_x_0,
    q_posterior,
    q_sample,
    score_from_noise,
)
from ddpm_lite.checks import check_weights

LINEAR = some_schedules()["linear"]
STEPS = [1, 2, 100, 400, 1000]


def moments_on_a_grid(grid, log_prior, schedule, x_t, t):
    r"""Mean and variance of each dimension of x_0 given x_t, summed over grid (G, D)."""
    a, v = schedule.alpha_bar[t].sqrt(), schedule.one_minus_alpha_bar[t]
    log_likelihood = -((x_t - a * grid) ** 2).sum(-1) / (2 * v)
    weight = (log_prior + log_likelihood).softmax(0)
    mean = (weight[:, None] * grid).sum(0)
    return mean, (weight[:, None] * (grid - mean) ** 2).sum(0)


def line(n=40001, width=9.0):
    return torch.linspace(-width, width, n, dtype=torch.float64)[:, None]


def plane(n=900, width=8.0):
    axis = torch.linspace(-width, width, n, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


def log_mixture(grid, means, variances, weights):
    parts = [
        math.log(w) - 0.5 * ((grid - m) ** 2 / v + v.log()).sum(-1)
        for m, v, w in zip(means, variances, weights, strict=True)
    ]
    return torch.stack(parts).logsumexp(0)


@pytest.mark.parametrize("t", STEPS)
def test_gaussian_on_a_line(t):
    oracle = GaussianOracle(LINEAR, [0.7], 0.09)
    x_t, grid = f64([[0.4]]), line()
    mean, variance = oracle.x_0_moments(x_t, torch.tensor([t]))
    exact = moments_on_a_grid(grid, -((grid[:, 0] - 0.7) ** 2) / 0.18, LINEAR, x_t, t)
    close(mean[0], exact[0], rtol=1e-9)
    close(variance[0], exact[1], rtol=1e-9)


@pytest.mark.parametrize("t", [100, 400, 1000])
def test_gaussian_with_correlation_on_the_plane(t):
    covariance = f64([[1.0, 0.6], [0.6, 0.5]])
    oracle = GaussianOracle(LINEAR, [0.3, -0.2], covariance)
    grid, x_t = plane(), f64([[0.4, 0.9]])
    offset = grid - torch.tensor([0.3, -0.2])
    log_prior = -0.5 * (offset @ covariance.inverse() * offset).sum(-1)
    exact = moments_on_a_grid(grid, log_prior, LINEAR, x_t, t)
    mean, variance = oracle.x_0_moments(x_t, torch.tensor([t]))
    close(mean[0], exact[0], rtol=1e-6)
    close(variance[0], exact[1], rtol=1e-5)


@pytest.mark.parametrize("t", [100, 400, 1000])
def test_mixture_on_the_plane(t):
    means = f64([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]])
    variances = f64([[0.1, 0.2], [0.3, 0.05], [0.2, 0.2]])
    weights = [0.5, 0.2, 0.3]
    oracle = MixtureOracle(LINEAR, means, variances, weights)
    grid, x_t = plane(), f64([[0.2, 0.1]])
    log_prior = log_mixture(grid, means, variances, weights)
    exact = moments_on_a_grid(grid, log_prior, LINEAR, x_t, t)
    mean, variance = oracle.x_0_moments(x_t, torch.tensor([t]))
    close(mean[0], exact[0], rtol=1e-9)
    close(variance[0], exact[1], rtol=1e-9)


@pytest.mark.parametrize("t", STEPS)
def test_data_oracle_is_a_weighted_mean_of_the_examples(t):
    data = normal(9, 2, seed=3)
    oracle = DataOracle(LINEAR, data)
    x_t = f64([[0.3, -0.2]])
    exact = moments_on_a_grid(data, torch.zeros(9).double(), LINEAR, x_t, t)
    mean, variance = oracle.x_0_moments(x_t, torch.tensor([t]))
    close(mean[0], exact[0], rtol=1e-8)
    close(variance[0], exact[1], rtol=1e-6, atol=1e-9)


def brute_weights(data, variance, x_t, t):
    a, left = LINEAR.alpha_bar[t].sqrt(), LINEAR.one_minus_alpha_bar[t]
    return (-((x_t - a * data) ** 2) / (2 * (a**2 * variance + left))).sum(-1).softmax(0)


@pytest.mark.parametrize("t", [1, 100, 1000])
def test_responsibilities_are_bayes_rule(t):
    data, x_t = normal(6, 2, seed=3), f64([[0.3, -0.2]])
    for variance in (0.0, 0.2):
        exact = brute_weights(data, variance, x_t, t)
        for oracle in (DataOracle, MixtureOracle):
            given = oracle(LINEAR, data, variance).responsibilities(x_t, torch.tensor([t]))
            close(given[0], exact, rtol=1e-9, atol=1e-12)


@given(batches())
def test_a_mixture_of_one_is_a_gaussian(batch):
    schedule, t, shape = batch
    x_t, mean = normal(*shape), normal(*shape[1:], seed=1)
    variance = normal(*shape[1:], seed=2).abs()
    one = MixtureOracle(schedule, mean[None], variance[None])
    other = GaussianOracle(schedule, mean, variance)
    for a, b in zip(one.x_0_moments(x_t, t), other.x_0_moments(x_t, t), strict=True):
        assert a.shape == b.shape == x_t.shape
        close(a, b, rtol=1e-9, atol=1e-11)


@given(batches())
def test_a_data_oracle_is_a_mixture_of_its_examples(batch):
    schedule, t, shape = batch
    x_t, data = normal(*shape), normal(5, *shape[1:], seed=1)
    for variance in (0.0, 0.3, normal(*shape[1:], seed=2).abs()):
        one = DataOracle(schedule, data, variance)
        other = MixtureOracle(schedule, data, variance)
        for a, b in zip(one.x_0_moments(x_t, t), other.x_0_moments(x_t, t), strict=True):
            assert a.shape == b.shape == x_t.shape
            close(a, b, rtol=1e-7, atol=1e-8)
        close(one(x_t, t), other(x_t, t), rtol=1e-5, atol=1e-5)


def oracles(schedule, sample_shape):
    return {
        "gaussian": GaussianOracle(schedule, normal(*sample_shape), 0.3),
        "mixture": MixtureOracle(schedule, normal(3, *sample_shape), 0.2, [0.2, 0.3, 0.5]),
        "data": DataOracle(schedule, normal(4, *sample_shape), 0.1),
    }


@pytest.mark.parametrize("sample_shape", SAMPLE_SHAPES)
@pytest.mark.parametrize("kind", ["gaussian", "mixture", "data"])
def test_every_oracle_is_a_denoiser(kind, sample_shape):
    oracle = oracles(LINEAR, sample_shape)[kind]
    t, x_t = torch.tensor([1, 500, 1000]), normal(3, *sample_shape, seed=5)
    assert oracle.prediction == "noise" and oracle.learned_variance is False
    mean, variance = oracle.x_0_moments(x_t, t)
    close(oracle(x_t, t), noise_from_x_0(LINEAR, x_t, t, mean), rtol=0)
    assert (variance >= 0).all() and variance.shape == mean.shape == x_t.shape
    for i in range(3):
        close(oracle(x_t[i : i + 1], t[i : i + 1])[0], oracle(x_t, t)[i], atol=1e-11)
    for dtype in (torch.float32, torch.float64):
        assert oracle(x_t.to(dtype), t).dtype == dtype
    close(oracle(x_t.float(), t).double(), oracle(x_t, t), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["gaussian", "mixture", "data"])
def test_score_is_the_gradient_of_the_log_density(kind):
    oracle, t = oracles(LINEAR, (2,))[kind], torch.tensor([200])
    means = {"gaussian": normal(2)[None], "mixture": normal(3, 2), "data": normal(4, 2)}[
        kind
    ]
    variance = {"gaussian": 0.3, "mixture": 0.2, "data": 0.1}[kind]
    weights = [0.2, 0.3, 0.5] if kind == "mixture" else [1 / len(means)] * len(means)
    a, left = LINEAR.alpha_bar[200].sqrt(), LINEAR.one_minus_alpha_bar[200]
    x_t = normal(1, 2, seed=7).requires_grad_()
    variances = (a**2 * variance + left).expand(len(means), 2)
    log_mixture(x_t, a * means, variances, weights).sum().backward()
    noise = oracle(x_t.detach(), t)
    close(score_from_noise(LINEAR, x_t.detach(), t, noise), x_t.grad, rtol=1e-10)


@pytest.mark.parametrize(("t", "s"), [(1, 0), (2, 1), (400, 399), (400, 100), (1000, 999)])
def test_reverse_variance_on_a_grid(t, s):
    # Var(x_s | x_t) from q(x_s) q(x_t | x_s), with no use of x_0
    means, weights = f64([[0.7], [-0.5]]), [0.4, 0.6]
    oracle = MixtureOracle(LINEAR, means, 0.04, weights)
    x_t = f64([[0.1]])
    a_s, left = LINEAR.alpha_bar[s].sqrt(), LINEAR.one_minus_alpha_bar[s]
    grid = line(80001)
    variances = (a_s**2 * 0.04 + left).expand(2, 1)
    log_law = log_mixture(grid, a_s * means, variances, weights)
    ratio = LINEAR.alpha_bar[t] / LINEAR.alpha_bar[s]
    log_law = log_law - ((x_t - ratio.sqrt() * grid) ** 2).sum(-1) / (2 * (1 - ratio))
    weight = log_law.softmax(0)
    mean = (weight * grid[:, 0]).sum()
    exact = (weight * (grid[:, 0] - mean) ** 2).sum()
    variance = oracle.reverse_variance(x_t, torch.tensor([t]), torch.tensor([s]))
    close(variance[0, 0], exact, rtol=1e-7)
    x_0_mean, _ = oracle.x_0_moments(x_t, torch.tensor([t]))
    at_s, _ = q_posterior(LINEAR, x_0_mean, x_t, torch.tensor([t]), torch.tensor([s]))
    close(at_s[0, 0], mean, rtol=1e-7)


@pytest.mark.parametrize("kind", ["gaussian", "mixture", "data"])
def test_noise_prediction_is_right_on_average(kind):
    # E[noise - oracle(x_t)] and its product with x_t vanish; tests the sign and t
    sample_shape, t = (2,), torch.full((40_000,), 300)
    if kind == "gaussian":
        x_0 = normal(*sample_shape) + 0.3**0.5 * normal(40_000, 2, seed=8)
    else:
        n, variance = (3, 0.2) if kind == "mixture" else (4, 0.1)
        weights = torch.tensor([0.2, 0.3, 0.5] if kind == "mixture" else [0.25] * 4)
        generator = torch.Generator().manual_seed(9)
        chosen = torch.multinomial(weights, 40_000, True, generator=generator)
        x_0 = normal(n, 2)[chosen] + variance**0.5 * normal(40_000, 2, seed=8)
    noise = normal(40_000, 2, seed=10)
    x_t = q_sample(LINEAR, x_0, t, noise)
    error = noise - oracles(LINEAR, sample_shape)[kind](x_t, t)
    for weighted in (error, error * x_t, error * x_t**2):
        assert (weighted.mean(0).abs() <= 5 * weighted.std(0) / 200).all()


def test_a_gaussian_without_width_and_one_with_zero_eigenvalue():
    t, x_t = torch.tensor([1, 500]), normal(2, 2)
    mean, variance = GaussianOracle(LINEAR, [0.5, -0.5], 0.0).x_0_moments(x_t, t)
    close(mean, f64([[0.5, -0.5]] * 2))
    assert (variance == 0).all()
    flat = torch.ones(2, 2).double()  # x_0 lies on the diagonal
    mean, _ = GaussianOracle(LINEAR, [0.0, 0.0], flat).x_0_moments(x_t, t)
    close(mean[:, 0], mean[:, 1], rtol=1e-9)


def test_a_far_away_x_t_stays_finite():
    for oracle in oracles(LINEAR, (2,)).values():
        far = torch.full((2, 2), 1e4, dtype=torch.float32)
        assert torch.isfinite(oracle(far, torch.tensor([1, 1000]))).all()


def test_bad_input():
    x, t = normal(2, 2), torch.tensor([1, 2])
    for oracle in oracles(LINEAR, (2,)).values():
        with pytest.raises(
            ValueError, match=r"data of shape \(2,\), got x_t of .*\(2, 3\)"
        ):
            oracle(normal(2, 3), t)
        with pytest.raises(ValueError, match=r"t must lie in 1\.\.1000, got .* 0 to 1"):
            oracle(x, torch.tensor([0, 1]))
        with pytest.raises(TypeError, match="int64"):
            oracle(x, t.int())
        with pytest.raises(ValueError, match=r"t must have shape \(2,\)"):
            oracle(x, torch.tensor([1]))
    with pytest.raises(ValueError, match=r"symmetric \(2, 2\) matrix, got shape \(3, 3\)"):
        GaussianOracle(LINEAR, [0.0, 0.0], torch.eye(3))
    with pytest.raises(
        ValueError, match=r"eigenvalues must be finite and >= 0, got -0\.99"
    ):
        GaussianOracle(LINEAR, [0.0, 0.0], torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    with pytest.raises(ValueError, match=r"variances must be finite and >= 0, got -0\.1"):
        MixtureOracle(LINEAR, normal(3, 2), -0.1)
    with pytest.raises(ValueError, match=r"variance must be finite and >= 0, got -0\.1"):
        DataOracle(LINEAR, normal(3, 2), -0.1)
    with pytest.raises(ValueError, match=r"example 1 has NaN"):
        DataOracle(LINEAR, torch.tensor([[0.0], [math.nan]]))
    with pytest.raises(ValueError, match=r"N >= 1, got \(0, 2\)"):
        DataOracle(LINEAR, torch.zeros(0, 2))


@pytest.mark.parametrize(
    "weights", [[0.5, 0.5], [0.5, 0.6, 0.1], [1.0, 0.0, 0.0], [0.3] * 3]
)
def test_bad_weights(weights):
    with pytest.raises(ValueError, match=r"weights must be 3 positive .* sum to 1, got \["):
        MixtureOracle(LINEAR, normal(3, 2), 0.1, weights)
    check_weights(torch.tensor([0.5, 0.25, 0.25]), 3)


def test_zero_terminal_snr_says_nothing_about_x_0():
    schedule = Schedule.from_beta([0.1, 0.2, 1.0])
    oracle = GaussianOracle(schedule, [0.7, 0.1], 0.09)
    x_t, t = normal(1, 2), torch.tensor([3])
    mean, variance = oracle.x_0_moments(x_t, t)
    close(mean[0], [0.7, 0.1])
    close(variance[0], [0.09, 0.09])
    close(oracle(x_t, t), x_t)


def test_a_covariance_that_is_not_symmetric_is_refused():
    with pytest.raises(ValueError, match=r"symmetric \(2, 2\) matrix"):
        GaussianOracle(Schedule.linear(10), [0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]])
