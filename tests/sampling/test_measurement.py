r"""Guidance by a measurement, against the exact posterior of Gaussians."""

from functools import partial

import pytest
import torch
from torch.nn.functional import avg_pool2d

from ddpm_lite import GaussianOracle, Schedule, sample
from ddpm_lite.sampling import measured
from ddpm_lite.sampling.measurement import squared_length


def problem(seed=0, D=5, seen=2):
    r"""A Gaussian in D numbers, orthonormal rows, and what a draw of it measures."""
    g = torch.Generator().manual_seed(seed)
    root = torch.randn(D, D, generator=g, dtype=torch.float64)
    mean = torch.randn(D, generator=g, dtype=torch.float64)
    rows = torch.linalg.qr(torch.randn(D, D, generator=g, dtype=torch.float64))[0][:seen]
    m = torch.randn(seen, generator=g, dtype=torch.float64)
    return mean, root @ root.T / D, rows, m


def conditional(mean, C, rows, m, deviation):
    r"""Mean and covariance of x_0 given m, by the formula for Gaussians."""
    S = rows @ C @ rows.T + deviation**2 * torch.eye(len(rows), dtype=C.dtype)
    gain = C @ rows.T @ torch.linalg.inv(S)
    return mean + gain @ (m - rows @ mean), C - gain @ rows @ C


@pytest.mark.parametrize("deviation", [0.0, 0.3])
def test_with_the_true_variance_it_is_the_exact_conditional_denoiser(deviation):
    # E[x_0 | x_t, m] of one measured number, by conditioning (x_0, x_t, m) directly.
    schedule = Schedule.cosine(100)
    mean, C, rows, m = problem(seen=1)
    oracle = GaussianOracle(schedule, mean, C)
    x_t = torch.randn(4, 5, generator=torch.Generator().manual_seed(3)).double()
    for step in (1, 30, 70, 99):
        ab = schedule.alpha_bar[step]
        eye = torch.eye(5, dtype=torch.float64)
        both = torch.cat([ab.sqrt() * eye, rows])  # (x_t, m) = both x_0 + noise
        noise = torch.diag(torch.cat([(1 - ab).expand(5), m.new_full((1,), deviation**2)]))
        gain = C @ both.T @ torch.linalg.inv(both @ C @ both.T + noise)
        given = torch.cat([x_t, m.expand(4, 1)], 1)
        exact = mean + (given - both @ mean) @ gain.T

        small = C - ab * C @ torch.linalg.inv(ab * C + (1 - ab) * eye) @ C

        def variance(x_t, t, small=small):
            return (rows @ small @ rows.T).expand(len(x_t), 1)

        def A(x):
            return x @ rows.T

        denoiser = measured(
            oracle, schedule, A, m.expand(4, 1), deviation=deviation, variance=variance
        )
        found = denoiser(x_t, torch.full((4,), step))
        torch.testing.assert_close(found, exact, rtol=1e-7, atol=1e-7)


def test_sampling_with_it_draws_the_posterior():
    # N(0, I) and any number of orthonormal rows: the default variance is exact.
    schedule, n = Schedule.cosine(200), 4000
    _, _, rows, m = problem(seed=5)
    mean, C = torch.zeros(5, dtype=torch.float64), torch.eye(5, dtype=torch.float64)
    oracle = GaussianOracle(schedule, mean, C)
    denoiser = measured(oracle, schedule, lambda x: x @ rows.T, m.expand(n, 2))
    options = dict(sampler="ddim", dtype=torch.float64, progress=False)
    x = sample(denoiser, schedule, (n, 5), **options)
    exact_mean, exact = conditional(mean, C, rows, m, 0.0)
    assert float((x @ rows.T - m).abs().max()) < 1e-8
    error = x.std(0) / n**0.5
    assert ((x.mean(0) - exact_mean).abs() < 5 * error + 1e-9).all()
    # the path is that of N(0, I) where nothing is known: exact at any number of steps
    assert float((x.T.cov() - exact).abs().max()) < 5 * (2 / n) ** 0.5


@pytest.mark.parametrize(
    ("A", "shape", "expected"),
    [
        (partial(avg_pool2d, kernel_size=4), (1, 8, 8), 1 / 16),
        (lambda x: x.mean(1, keepdim=True), (3, 4, 4), 1 / 3),
        (lambda x: x[..., :2], (1, 4, 4), 1.0),
    ],
)
def test_the_length_of_the_rows(A, shape, expected):
    assert squared_length(A, torch.ones(2, *shape)) == pytest.approx(expected, rel=1e-12)


def test_colour_and_blocks_and_masks_go_through_a_chain():
    schedule = Schedule.cosine(50)
    oracle = GaussianOracle(schedule, torch.zeros(3, 4, 4, dtype=torch.float64), 0.3)
    x_0 = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1)).double()
    for A in (
        lambda x: x.mean(1, keepdim=True),
        partial(avg_pool2d, kernel_size=2),
        lambda x: x[..., :3],
    ):
        denoiser = measured(oracle, schedule, A, A(x_0))
        x = sample(denoiser, schedule, (2, 3, 4, 4), dtype=torch.float64, progress=False)
        assert float((A(x) - A(x_0)).abs().max()) < 0.05
        assert float((x - x_0).abs().max()) > 0.1  # the rest is drawn


def test_it_says_of_itself_what_its_model_says():
    class Model(torch.nn.Module):
        prediction, clip, classes, T, learned_variance = "v", (-1, 1), 4, 50, False

        def forward(self, x_t, t, y):
            return 0.5 * x_t + y.view(-1, 1)

    schedule = Schedule.cosine(50)
    denoiser = measured(Model(), schedule, lambda x: x[:, :1], torch.zeros(2, 1))
    said = (denoiser.prediction, denoiser.clip, denoiser.classes, denoiser.T)
    assert said == ("x_0", (-1, 1), 4, 50)
    x_t, t = torch.ones(2, 3), torch.tensor([20, 30])
    one, other = (denoiser(x_t, t, y) for y in (torch.tensor([0, 0]), torch.tensor([3, 0])))
    assert not torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
    assert not one.requires_grad and one.dtype == torch.float32


@pytest.mark.parametrize(
    ("A", "m", "error", "message"),
    [
        (None, torch.zeros(2, 1), TypeError, "A must be a function"),
        (lambda x: x, torch.zeros(2, 1).long(), TypeError, "floating point"),
        (lambda x: x, torch.full((2, 1), torch.inf), ValueError, "finite"),
    ],
)
def test_what_a_measurement_refuses(A, m, error, message):
    schedule = Schedule.cosine(20)
    oracle = GaussianOracle(schedule, torch.zeros(2), 1.0)
    with pytest.raises(error, match=message):
        measured(oracle, schedule, A, m)


def test_what_only_the_first_call_can_see_is_refused_there():
    schedule, x, t = Schedule.cosine(20), torch.ones(2, 2), torch.tensor([5, 5])
    oracle, m = GaussianOracle(schedule, torch.zeros(2), 1.0), torch.zeros(2, 1)
    slanted = torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    for A, seen, message in (
        (lambda x: x @ slanted.to(x), torch.zeros(2, 2), "orthogonal rows"),
        (lambda x: x[:, :1] + 1, m, "gives 1 for 0"),
        (lambda x: x, m, "A_of_x_0"),
    ):
        with pytest.raises(ValueError, match=message):
            measured(oracle, schedule, A, seen)(x, t)
    with pytest.raises(TypeError, match="variance must be a function"):
        measured(oracle, schedule, lambda x: x[:, :1], m, variance=0.5)
    flat = Schedule.from_beta([0.1, 1.0])
    with pytest.raises(ValueError, match="start at a lower t"):
        measured(GaussianOracle(flat, torch.zeros(2), 1.0), flat, lambda x: x[:, :1], m)(
            x, torch.tensor([2, 2])
        )
