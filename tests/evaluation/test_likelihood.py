r"""The likelihood along the ODE: exact densities, traces and the variance of probes."""

import math

import pytest
import torch
from helpers import close, normal
from scipy.stats import multivariate_normal, norm

from ddpm_lite import GaussianOracle, MixtureOracle, Schedule, load_pretrained
from ddpm_lite.evaluation.likelihood import divergence, log_likelihood, rademacher

LINEAR, COSINE = Schedule.linear(1000), Schedule.cosine(1000)
MEANS, VARIANCES, WEIGHTS = (
    [[-1.2, 0.5], [0.8, -0.4]],
    [[0.04, 0.3], [0.2, 0.05]],
    [0.3, 0.7],
)


def drawn(n, seed=0):
    r"""n points of the mixture, a third of them from the first component."""
    z, first = normal(n, 2, seed=seed), torch.arange(n) % 3 == 0
    of_each = [
        m + v.sqrt() * z
        for m, v in zip(*map(torch.tensor, (MEANS, VARIANCES)), strict=True)
    ]
    return torch.where(first[:, None], *of_each)


def mixture_density(schedule, x, t):
    r"""log q(x_t) by scipy, one component at a time."""
    ab = float(schedule.alpha_bar[t])

    def component(m, v, w):
        axes = [norm(ab**0.5 * m[i], (ab * v[i] + 1 - ab) ** 0.5) for i in (0, 1)]
        return math.log(w) + sum(axes[i].logpdf(x[:, i].numpy()) for i in (0, 1))

    parts = zip(MEANS, VARIANCES, WEIGHTS, strict=True)
    return torch.logaddexp(*(torch.tensor(component(*part)) for part in parts))


@pytest.mark.parametrize("schedule", [LINEAR, COSINE], ids=["linear", "cosine"])
def test_the_density_of_a_mixture_is_found(schedule):
    oracle, x = MixtureOracle(schedule, MEANS, VARIANCES, WEIGHTS), drawn(12)
    exact = mixture_density(schedule, x, 1)
    off = [
        (log_likelihood(oracle, schedule, x, stops=stops).log_density - exact).abs().max()
        for stops in (range(1, 996, 7), range(1, 996, 3))
    ]
    assert off[1] < 1e-2  # nats; a step is 3 to 10 % of sigma, squared, on the whole way
    if schedule is LINEAR:  # second order: 49 / 9; cosine's longest steps are near T alone
        assert 2.5 < off[0] / off[1] < 12
    late = log_likelihood(oracle, schedule, x, stops=range(300, 996, 3))
    assert (late.log_density - mixture_density(schedule, x, 300)).abs().max() < 5e-3


def test_the_density_of_correlated_pictures_is_found():
    covariance = torch.tensor([[1.0, 0.6, 0.0], [0.6, 0.5, 0.1], [0.0, 0.1, 0.2]]).double()
    oracle = GaussianOracle(LINEAR, torch.tensor([[[0.3, -0.2, 0.1]]]), covariance)
    ab = float(LINEAR.alpha_bar[5])
    x = (normal(4, 3) @ torch.linalg.cholesky(covariance).T).reshape(4, 1, 1, 3)
    law = multivariate_normal(
        ab**0.5 * torch.tensor([0.3, -0.2, 0.1]).double().numpy(),
        (ab * covariance + (1 - ab) * torch.eye(3)).numpy(),
    )
    found = log_likelihood(oracle, LINEAR, x, stops=range(5, 1001, 3))
    exact = torch.tensor(law.logpdf(x.flatten(1).numpy()))
    assert (found.log_density - exact).abs().max() < 1e-2
    assert found.error.abs().max() == 0 and found.calls == 2 * 331
    assert found.x_T.shape == x.shape


def test_the_exact_trace_is_that_of_the_jacobian():
    A, X = normal(6, 6, seed=1), normal(5, 2, 3)

    def field(X):
        return (X.flatten(1) @ A.T + X.flatten(1).sin()).reshape(X.shape)

    value, trace = divergence(field, X)
    close(value, field(X))
    close(trace, A.trace() + X.flatten(1).cos().sum(1))
    assert not value.requires_grad and not trace.requires_grad


def test_probes_have_the_mean_and_the_variance_that_theory_gives():
    A, n = normal(6, 6, seed=2), 6_000  # not symmetric
    z = rademacher(n, (1, 6))
    assert set(z.unique().tolist()) == {-1.0, 1.0}
    _, found = divergence(lambda X: X @ A.T, normal(1, 6), z)
    off = A + A.T - torch.diag(2 * A.diagonal())
    variance = float(off.square().sum() / 2)
    assert abs(float(found.mean() - A.trace())) < 5 * math.sqrt(variance / n)
    fourth = float((found - found.mean()).pow(4).mean())
    error = math.sqrt((fourth - variance**2) / n)  # of a variance
    assert abs(float(found.var()) - variance) < 5 * error
    assert (
        abs(2 * float((A - torch.diag(A.diagonal())).square().sum()) - variance) > 6 * error
    )


def test_probes_agree_with_the_exact_trace_within_their_error():
    oracle, x = MixtureOracle(LINEAR, MEANS, VARIANCES, WEIGHTS), drawn(8)
    stops = range(1, 1001, 27)
    exact = log_likelihood(oracle, LINEAR, x, stops=stops).log_density
    found = log_likelihood(oracle, LINEAR, x, stops=stops, probes=24)
    # 8 scores at once, of 24 probes: 6 of their errors, for Student's tails
    assert ((found.log_density - exact).abs() < 6 * found.error + 1e-9).all()
    assert float(found.error.max()) > 0.01
    again = log_likelihood(oracle, LINEAR, x[2:3], stops=stops, probes=1, seed=3)
    assert math.isnan(float(again.error))


def test_a_network_is_asked_in_its_own_dtype_and_left_as_it_was():
    found = load_pretrained("s_curve")
    x = normal(3, 2).float()
    got = log_likelihood(found.model, found.schedule, x, stops=[1, 20, 60, 95])
    assert got.log_density.dtype == torch.float64 and got.x_T.dtype == torch.float32
    assert all(p.grad is None for p in found.model.parameters())


def test_what_does_not_fit_is_refused():
    oracle, x = GaussianOracle(LINEAR, [0.0], 1.0), normal(2, 1)
    with pytest.raises(ValueError, match="must rise"):
        log_likelihood(oracle, LINEAR, x, stops=[10, 5])
    with pytest.raises(ValueError, match="probes"):
        log_likelihood(oracle, LINEAR, x, stops=[5, 10], probes=0)
    with pytest.raises(ValueError, match="exact for another schedule"):
        log_likelihood(oracle, COSINE, x)
    with pytest.raises(ValueError, match="classes"):
        log_likelihood(oracle, LINEAR, x, stops=[5, 10], y=torch.tensor([0, 1]))
