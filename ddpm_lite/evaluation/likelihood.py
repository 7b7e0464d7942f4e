r"""The likelihood that a denoiser gives to data, along the probability-flow ODE.

A path X(sigma) of the ODE carries its log density with it: d log p / dsigma is minus the
divergence of the slope. So log p(x) is the density of the noise at the end of the path,
which is known, plus an integral (Song et al. 2021, arXiv 2011.13456, section 4.3 and
appendix D.2). No step of the chain has to be Gaussian for it, and no bound is involved.
"""

import math
from dataclasses import dataclass

import torch

from ..checks import check_data, check_integer
from ..denoiser import check_denoiser, check_y, evaluating
from ..process import prediction_of
from ..sampling.ode import check_stops, heun_path, sigma_table, slope
from ..sampling.spacing import largest_t
from ..seeds import SampleNoise


@dataclass(frozen=True)
class Likelihood:
    r"""What `log_likelihood` found.

    log_density: (B,) float64, nats, of x_t at the first stop. error: (B,), the standard
    error of the estimate over the probes, which knows nothing of the length of the steps;
    0 where the trace is exact, NaN for one probe. x_T: (B, *shape), where the paths end.
    calls: how often the network was called.
    """

    log_density: torch.Tensor
    error: torch.Tensor
    x_T: torch.Tensor
    calls: int


def divergence(function, X, probes=None):
    r"""A vector field at X, and its divergence: exact, or estimated with probes.

    function: X (B, *shape) -> values like X, each example for itself. probes: None takes
    one backward pass for each of the D numbers of an example and is exact; (K, B, *shape)
    takes K passes for z^T J z, whose mean is the trace of J where E z z^T = I.
    Returns values like X, detached, and (B,) or, with probes, (K, B).
    Hutchinson 1990; Grathwohl et al. 2019 (arXiv 1810.01367), section 3.1.
    """
    with torch.enable_grad():
        X = X.detach().requires_grad_()
        value = function(X)
        flat = value.flatten(1)

        def back(weights):
            (gradient,) = torch.autograd.grad(
                (flat * weights).sum(), X, retain_graph=True, materialize_grads=True
            )
            return gradient.flatten(1)

        if probes is None:
            units = torch.eye(flat.shape[1], dtype=flat.dtype, device=flat.device)
            found = sum(back(unit)[:, i] for i, unit in enumerate(units))
        else:
            found = torch.stack([(back(z) * z).sum(1) for z in probes.flatten(2).to(flat)])
    return value.detach(), found.detach()


def rademacher(probes, shape, seed=0, dtype=torch.float64):
    r"""Signs +1 and -1, (probes, *shape): probe k of example i has a stream of its own.

    Of all independent entries with mean 0 and variance 1 they give the smallest variance
    to z^T A z: 1/2 sum over i != j of (A_ij + A_ji)^2. Hutchinson 1990.
    """
    draw = SampleNoise(seed, shape, torch.device("cpu"), torch.float64)
    signs = [torch.where(draw.next() < 0, -1.0, 1.0) for _ in range(probes)]
    return torch.stack(signs).to(dtype)


def log_likelihood(
    model, schedule, x, *, stops=None, probes=None, seed=0, y=None, prediction=None
):
    r"""The log density of x under a denoiser and its schedule, in nats.

    x: (B, *shape), at the step stops[0]; at t = 1, the default, this is data with noise of
    variance 1 - alpha_bar_1. stops: steps t that rise, all of 1 ... `largest_t` unless
    given; two network calls between two of them. probes: None for the exact trace, D
    backward passes a call; or a number of Rademacher probes, kept along the whole path,
    as an ODE wants it. y, prediction: as in `sampling.ode.follow`. Nothing is clipped.
    Returns a `Likelihood`. The law at the last stop is N(0, I), from which samples start.
    Raises ValueError or TypeError for what does not fit.
    Song et al. 2021 (arXiv 2011.13456), appendix D.2.
    """
    check_denoiser(model, schedule)
    prediction = prediction_of(model, prediction)
    check_y(model, y, len(check_data(x, "x")))
    stops = range(1, largest_t(schedule) + 1) if stops is None else stops
    stops = check_stops(stops, schedule)
    if stops[0] > stops[-1]:
        raise ValueError(f"stops must rise, from data to noise, got {stops[:6]}")
    if probes is not None:
        probes = rademacher(check_integer("probes", probes, 1), x.shape, seed)
    D, a, rates = x[0].numel(), schedule.alpha_bar.sqrt(), []

    def field(X, t):
        own = dict(y=y, prediction=prediction)
        value, rate = divergence(lambda X: slope(model, schedule, X, t, **own), X, probes)
        rates.append(rate.reshape(-1, len(X)))  # (K, B), K = 1 where the trace is exact
        return value, rates[-1].mean(0)

    sigma = sigma_table(schedule)
    with evaluating(model):
        X, total = heun_path(field, x.double() / float(a[stops[0]]), stops, sigma)
    x_T = X * float(a[stops[-1]])
    start = -x_T.flatten(1).square().sum(1) / 2 - D / 2 * math.log(2 * math.pi)
    # densities of x and of X = x / a differ by D log a, at both ends
    scales = D * float(a[stops[-1]].log() - a[stops[0]].log())
    error = torch.zeros_like(total) if probes is None else _error(rates, stops, sigma)
    return Likelihood(start + scales + total, error, x_T.to(x), len(rates))


def _error(rates, stops, sigma):
    # each probe makes an integral of its own: their scatter over the root of their number
    rates = torch.stack(rates)  # (calls, K, B)
    if rates.shape[1] == 1:
        return torch.full_like(rates[0, 0], math.nan)
    levels = torch.stack([sigma[stops[:-1]], sigma[stops[1:]]], 1)  # as in `heun_path`
    steps = (levels[:, 1:] / levels[:, :1]).log() * levels / 2
    whole = (steps.flatten().to(rates)[:, None, None] * rates).sum(0)
    return whole.std(0) / math.sqrt(len(whole))
