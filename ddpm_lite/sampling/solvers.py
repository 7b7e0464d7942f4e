r"""Solvers of higher order, for few steps: DPM-Solver++(2M), its SDE form, and Heun.

In this module a = sqrt(alpha_bar), std = sqrt(1 - alpha_bar), sigma = std / a, and
lambda = log(a / std) is half the logarithm of the signal-to-noise ratio. In X = x / a and
sigma the deterministic path of the samples is dX/dsigma = (X - x_0_pred) / sigma, which is
the predicted noise: Karras et al. 2022 (arXiv 2206.00364), Eq. 1 and 3.

Every function is a step of the form (schedule, x_t, x_0_pred, t, s, noise) -> x_s that
`sample` takes. x_t, x_0_pred, noise: (B, *shape). t, s: int64 (B,), 0 <= s < t. At s = 0,
where lambda is infinite, a step is first order and gives x_0_pred itself, so that no noise
is left. Bad shapes, a bad t or a bad s raise ValueError or TypeError.
"""

import torch

from ..checks import check_s, check_t, same_shape
from ..process import noise_from_x_0
from ..schedule import spread
from .asked import check_before, check_finite_sigma
from .spacing import largest_t


def dpmpp_2m_step(schedule, x_t, x_0_pred, t, s, noise, *, before=None):
    r"""Go from x_t to x_s with DPM-Solver++(2M): second order, one network call.

    x_t, x_0_pred: (B, *shape). t, s: int64 (B,), s < t. noise: not used. before: None, and
    the step is first order; or (t, x_0_pred) of the step before this one.
    Returns x_s, like x_t. Lu et al. 2022 (DPM-Solver++, arXiv 2211.01095), Algorithm 2.
    """
    _check(schedule, x_t, x_0_pred, t, s)
    D = _extrapolated(schedule, x_0_pred, t, s, before)
    t, s = t.cpu(), s.cpu()
    h = _lambda(schedule, s) - _lambda(schedule, t)
    shrink = (schedule.one_minus_alpha_bar[s] / schedule.one_minus_alpha_bar[t]).sqrt()
    weight = -schedule.alpha_bar[s].sqrt() * torch.expm1(-h)
    return spread(shrink, x_t) * x_t + spread(weight, x_t) * D


def dpmpp_2m_sde_step(schedule, x_t, x_0_pred, t, s, noise, *, before=None):
    r"""Draw x_s with SDE-DPM-Solver++(2M): as `dpmpp_2m_step`, with fresh noise.

    x_t, x_0_pred, noise: (B, *shape). t, s: int64 (B,), s < t. before: as there; without
    it this is the ancestral step with the small variance.
    Returns x_s, like x_t. Lu et al. 2022 (DPM-Solver++, arXiv 2211.01095), section 5.
    """
    _check(schedule, x_t, x_0_pred, t, s)
    same_shape(x_t=x_t, noise=noise)
    D = _extrapolated(schedule, x_0_pred, t, s, before)
    t, s = t.cpu(), s.cpu()
    h = _lambda(schedule, s) - _lambda(schedule, t)
    one_minus_s = schedule.one_minus_alpha_bar[s]
    shrink = (one_minus_s / schedule.one_minus_alpha_bar[t]).sqrt() * torch.exp(-h)
    weight = -schedule.alpha_bar[s].sqrt() * torch.expm1(-2 * h)
    variance = -one_minus_s * torch.expm1(-2 * h)
    return (
        spread(shrink, x_t) * x_t
        + spread(weight, x_t) * D
        + spread(variance.sqrt(), x_t) * noise
    )


def heun_step(schedule, x_t, x_0_pred, t, s, noise, *, denoise):
    r"""Go from x_t to x_s with Heun's method: second order, a second network call.

    x_t, x_0_pred: (B, *shape). t, s: int64 (B,), s < t. noise: not used. denoise: a
    function (x, t) -> x_0_pred, asked for the slope at s; not called where all s are 0.
    Returns x_s, like x_t. Raises ValueError where alpha_bar_t = 0, sigma infinite.
    Karras et al. 2022 (arXiv 2206.00364), Algorithm 1.
    """
    _check(schedule, x_t, x_0_pred, t, s)
    check_finite_sigma(schedule, t)
    slope_t = noise_from_x_0(schedule, x_t, t, x_0_pred)
    a_t, sigma_t = _scale_and_sigma(schedule, t, x_t)
    a_s, sigma_s = _scale_and_sigma(schedule, s, x_t)
    X_t = x_t / a_t
    x_s = a_s * (X_t + (sigma_s - sigma_t) * slope_t)  # Euler's step
    if (s > 0).any():
        late = s.clamp(min=1)  # s = 0 is replaced below
        slope_s = noise_from_x_0(schedule, x_s, late, denoise(x_s, late))
        x_s = a_s * (X_t + (sigma_s - sigma_t) * (slope_t + slope_s) / 2)
    return torch.where(spread(s > 0, x_t) > 0, x_s, x_0_pred)


SOLVERS = {"heun": heun_step, "dpmpp_2m": dpmpp_2m_step, "dpmpp_2m_sde": dpmpp_2m_sde_step}


def start_of(sampler, schedule):
    r"""The t that a chain starts at: `largest_t` for the solvers above, T for any other.

    sampler: a name or a function, as in `sample`. Returns an int in 1..T.
    """
    solver = SOLVERS.get(sampler) if isinstance(sampler, str) else sampler
    return largest_t(schedule) if solver in SOLVERS.values() else schedule.T


def network_calls(sampler, steps):
    r"""How often `steps` steps of a named sampler call the network: the papers' NFE."""
    return 2 * steps - 1 if sampler == "heun" else steps


def steps_within(sampler, calls):
    r"""How many steps of a named sampler make at most so many network calls."""
    return (calls + 1) // 2 if sampler == "heun" else calls


def _check(schedule, x_t, x_0_pred, t, s):
    same_shape(x_t=x_t, x_0_pred=x_0_pred)
    check_t(t, x_t, schedule.T)
    check_s(t, s)


def _lambda(schedule, t):
    return (schedule.log_alpha_bar[t] - schedule.one_minus_alpha_bar[t].log()) / 2


def _scale_and_sigma(schedule, t, x):
    alpha_bar_t, one_minus_t = (
        table[t.cpu()] for table in (schedule.alpha_bar, schedule.one_minus_alpha_bar)
    )
    return spread(alpha_bar_t.sqrt(), x), spread((one_minus_t / alpha_bar_t).sqrt(), x)


def _extrapolated(schedule, x_0_pred, t, s, before):
    # the x_0 of the straight line in lambda through the last two, half-way from t to s
    if before is None:
        return x_0_pred
    t_before, x_0_before = before
    check_before(t_before, t)
    same_shape(x_0_pred=x_0_pred, x_0_pred_before=x_0_before)
    lambda_before, lambda_t, lambda_s = (
        _lambda(schedule, step.cpu()) for step in (t_before, t, s)
    )
    r = (lambda_t - lambda_before) / (lambda_s - lambda_t)
    share = torch.where(s.cpu() > 0, 1 / (2 * r), 0.0)
    return x_0_pred + spread(share, x_0_pred) * (x_0_pred - x_0_before)
