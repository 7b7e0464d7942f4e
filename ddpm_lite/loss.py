r"""The training objectives: the simple loss, and every term of the bound.

Pure functions: x_0, t and noise are arguments, the network is called as model(x_t, t)
or model(x_t, t, y) and nothing else is known about it.
"""

import math
from dataclasses import dataclass

import torch

from .checks import check_choice, check_data, check_iterable, check_levels
from .denoiser import OWN, check_denoiser, check_y, clip_of
from .process import (
    predict,
    predict_x_0,
    prediction_of,
    q_posterior,
    q_sample,
    reverse_variance,
    v_from_x_0,
)
from .schedule import spread


def simple_loss(model, schedule, x_0, t, noise, *, y=None, prediction=None):
    r"""The simple loss of each example: the mean squared error of the prediction.

    x_0, noise: (B, *shape), noise from N(0, I). t: int64 (B,), values in 1..T. y: what
    the model takes as third argument, or None. prediction: "noise" (the paper's), "x_0",
    "v" or "flow"; read from `model.prediction` where it is there. Returns (B,), at least
    float32; its mean over t, x_0 and noise is L_simple, divided by the number of
    dimensions. Raises ValueError or TypeError for unequal shapes, a bad t, a prediction
    that is not named, or a model of another T than the schedule's. Ho et al. 2020, Eq. 14.
    """
    check_denoiser(model, schedule)
    prediction = prediction_of(model, prediction)
    x_t = q_sample(schedule, x_0, t, noise)
    predicted = predict(model, x_t, t, y)
    return squared_error(schedule, predicted, x_0, x_t, t, noise, prediction)


def squared_error(schedule, predicted, x_0, x_t, t, noise, prediction):
    r"""Mean squared error of a prediction, example by example.

    predicted, x_0, x_t, noise: (B, *shape). t: int64 (B,) in 1..T. prediction: "noise",
    "x_0", "v" or "flow". Returns (B,). Ho et al. 2020, Eq. 14; v as in Salimans and Ho
    2022, flow as in Liu et al. 2022.
    """
    target = {"noise": noise, "x_0": x_0, "flow": noise - x_0}.get(prediction)
    if prediction == "v":
        target = v_from_x_0(schedule, x_t, t, x_0)
    return (predicted - target).square().flatten(1).mean(1)


@dataclass(frozen=True)
class Bound:
    r"""The variational bound on -log p(x_0), term by term, in nats per dimension.

    prior: (B,), L_T. steps: (T+1, B); entry t >= 2 is L_{t-1} of Eq. 5, entry 1 is L_0
    and entry 0 is 0. All are means over the dimensions of an example.
    """

    prior: torch.Tensor
    steps: torch.Tensor

    def __repr__(self):
        return (
            f"Bound({float(self.bits.mean()):.4g} bits per dimension, B={len(self.prior)})"
        )

    @property
    def nats(self):
        r"""The whole bound of each example, (B,), in nats per dimension."""
        return self.prior + self.steps.sum(0)

    @property
    def bits(self):
        r"""The whole bound of each example, (B,), in bits per dimension."""
        return self.nats / math.log(2)


def vlb_terms(
    model,
    schedule,
    x_0,
    noise,
    *,
    variance="large",
    levels=None,
    clip=OWN,
    y=None,
    prediction=None,
):
    r"""Compute every term of the variational bound of each example.

    x_0: (B, *shape). noise: T tensors like x_0 from N(0, I), one for each t = 1..T, as
    one tensor (T, B, *shape) or as anything that yields them in that order.
    variance: "large", "small" or a function, see `reverse_variance`. At t = 1 the two
    named ones use posterior_variance[2] as the authors' code does (beta_1 if T = 1).
    levels: number of grey levels of x_0 in [-1, 1], for the decoder of Eq. 13; None for
    continuous data, whose L_0 is the negative log density. clip: (low, high) for x_0, or
    None; the model's own unless given. Returns a Bound. Raises ValueError where shapes
    differ, where model and schedule have not one T, where noise has not T entries, and
    with `levels` where x_0 is not on its grid of grey levels.
    Ho et al. 2020, Eq. 5 to 9 and 13.
    """
    x_0 = check_data(x_0, "x_0").to(torch.promote_types(x_0.dtype, torch.float32))
    if levels is not None:
        check_levels(x_0, levels)
    check_denoiser(model, schedule)
    prediction, clip = prediction_of(model, prediction), clip_of(model, clip)
    check_choice(variance)
    T, B = schedule.T, len(x_0)
    check_y(model, y, B)
    steps = x_0.new_zeros(T + 1, B)
    count = 0
    for count, noise_t in enumerate(check_iterable("noise", noise), start=1):
        if count > T:
            break
        t = torch.full((B,), count)
        x_t = q_sample(schedule, x_0, t, noise_t)
        x_0_pred = predict_x_0(model, schedule, x_t, t, y, prediction, clip)
        mean, posterior_variance = q_posterior(schedule, x_0, x_t, t)
        mean_pred, _ = q_posterior(schedule, x_0_pred, x_t, t)
        if count > 1:
            variance_pred = reverse_variance(schedule, x_t, t, t - 1, variance)
            nats = gaussian_kl(mean, posterior_variance, mean_pred, variance_pred)
        else:
            variance_pred = _decoder_variance(schedule, x_t, t, variance)
            nats = decoder_nll(x_0, mean_pred, variance_pred, levels)
        steps[count] = nats.expand_as(x_0).flatten(1).mean(1)
    if count != T:
        raise ValueError(f"noise must have one entry for each of the {T} steps")
    return Bound(prior_kl(schedule, x_0).flatten(1).mean(1), steps)


def prior_kl(schedule, x_0):
    r"""KL(q(x_T | x_0) || N(0, I)) of each dimension in nats: L_T.

    x_0: (B, *shape). Returns a tensor like x_0. Ho et al. 2020, Eq. 5, first term.
    """
    T = torch.full((len(x_0),), schedule.T)
    mean = spread(schedule.alpha_bar[T].sqrt(), x_0) * x_0
    variance = spread(schedule.one_minus_alpha_bar[T], x_0)
    return gaussian_kl(mean, variance, torch.zeros_like(x_0), torch.ones_like(x_0))


def gaussian_kl(mean, variance, mean_pred, variance_pred):
    r"""KL of N(mean, variance) from N(mean_pred, variance_pred), dimension by dimension.

    All four broadcast to one shape, variances > 0. Returns nats in that shape, >= 0.
    Equal variances leave the squared difference of the means over twice the variance.
    Ho et al. 2020, Eq. 8, with what the paper puts into its constant C.
    """
    ratio = variance / variance_pred
    distance = (mean - mean_pred).square() / variance_pred
    return 0.5 * (ratio - 1 - ratio.log() + distance)


def decoder_nll(x_0, mean, variance, levels=None):
    r"""L_0: minus log p(x_0 | x_1), dimension by dimension, in nats.

    x_0, mean: (B, *shape). variance: broadcasts, > 0. levels: None for the density of
    N(mean, variance) at x_0; else the number of grey levels in [-1, 1], and the density
    is integrated over the bin of x_0, the outer bins being open to infinity.
    Returns a tensor like x_0. Ho et al. 2020, Eq. 13.
    """
    if levels is None:
        distance = (x_0 - mean).square() / variance
        return 0.5 * (distance + (2 * math.pi * variance).log())
    half = 1 / (levels - 1)
    std = variance.sqrt()
    low = torch.where(x_0 < -1 + half, -math.inf, (x_0 - half - mean) / std)
    high = torch.where(x_0 > 1 - half, math.inf, (x_0 + half - mean) / std)
    # log(Phi(high) - Phi(low)), mirrored to the tail where both logarithms are exact
    mirror = low + high > 0
    low, high = torch.where(mirror, -high, low), torch.where(mirror, -low, high)
    log_low, log_high = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    return -(log_high + torch.log1p(-(log_low - log_high).exp()))


def _decoder_variance(schedule, x_t, t, variance):
    if callable(variance):
        return reverse_variance(schedule, x_t, t, t - 1, variance)
    table = schedule.posterior_variance if schedule.T > 1 else schedule.beta
    return spread(table[t.clamp(min=min(2, schedule.T))], x_t)
