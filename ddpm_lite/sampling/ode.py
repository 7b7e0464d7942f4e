r"""The probability-flow ODE of a schedule and a denoiser: one smooth path, both ways.

In X = x_t / sqrt(alpha_bar_t) and sigma_t = sqrt(1 - alpha_bar_t) / sqrt(alpha_bar_t) the
path of a sample is dX/dsigma = the predicted noise (Song et al. 2021, arXiv 2011.13456,
Eq. 13; Karras et al. 2022, arXiv 2206.00364, Eq. 1), whatever schedule the noise came
from. A model knows whole steps t alone, so a path goes through a list of them.
"""

import math
from itertools import pairwise

import torch

from ..checks import check_data, check_integer, check_iterable
from ..denoiser import check_denoiser, check_y, evaluating
from ..process import predict, prediction_of, to_noise
from .asked import check_finite_sigma


def sigma_table(schedule):
    r"""The noise levels sigma_t of a schedule, (T+1,) float64; infinite at alpha_bar = 0.

    Karras et al. 2022 (arXiv 2206.00364), Table 1, variance preserving column.
    """
    return (schedule.one_minus_alpha_bar / schedule.alpha_bar).sqrt()


def slope(model, schedule, X, t, *, y=None, prediction=None):
    r"""dX/dsigma of the probability-flow ODE at one step t: the predicted noise.

    X: (B, *shape), x_t over the root of alpha_bar_t. t: an int in 1..T. Returns a tensor
    like X, that gradients pass through. Never clipped. Song et al. 2021, Eq. 13.
    """
    at_t = torch.full((len(X),), t)
    x_t = X * schedule.alpha_bar[t].sqrt().to(X)
    value = predict(model, x_t, at_t, y)
    return to_noise(schedule, x_t, at_t, value, prediction_of(model, prediction))


def check_stops(stops, schedule):
    r"""Return steps t as a list of ints that rises or falls within 1..T; else ValueError.

    At t = 0 a model is not asked, and at alpha_bar = 0 sigma is infinite.
    """
    stops = check_iterable("stops", stops)
    stops = [check_integer("stops", t, 1, schedule.T) for t in stops]
    rising = stops == sorted(set(stops))
    if len(stops) < 2 or not (rising or stops[::-1] == sorted(set(stops))):
        raise ValueError(
            f"stops must be two or more steps t that all rise or all fall, got {stops[:6]}"
        )
    check_finite_sigma(schedule, torch.tensor(stops))
    return stops


def heun_path(field, X, stops, sigma):
    r"""Follow dX/dsigma through stops by Heun's method, and integrate a rate on the way.

    field: a function (X, t) -> (slope like X, rate (B,)). sigma: table (T+1,). Returns X
    at the last stop and the integral of the rate over sigma, (B,). The latter is summed in
    log sigma: at large sigma a rate falls like 1 / sigma, whatever the data are.
    Karras et al. 2022, Algorithm 1 without its last step.
    """
    total = torch.zeros(len(X), dtype=X.dtype)
    for t, s in pairwise(stops):
        before, after = float(sigma[t]), float(sigma[s])
        step = after - before
        slope_t, rate_t = field(X, t)
        slope_s, rate_s = field(X + step * slope_t, s)
        X = X + step * (slope_t + slope_s) / 2
        total = total + math.log(after / before) * (before * rate_t + after * rate_s) / 2
    return X, total


def follow(model, schedule, x, stops, *, y=None, prediction=None):
    r"""Carry x along the probability-flow ODE, down to data or up to noise.

    x: (B, *shape), at the step stops[0]. stops: steps t in 1..T that all fall (decoding)
    or all rise (encoding); two network calls between two of them. y: labels for the model,
    prediction: what it predicts, if it does not say so. Nothing is clipped.
    Returns x at stops[-1], like x. Raises ValueError or TypeError for what does not fit.
    Song et al. 2021 (arXiv 2011.13456), Eq. 13 and section 4.3.
    """
    check_denoiser(model, schedule)
    prediction = prediction_of(model, prediction)
    stops = check_stops(stops, schedule)
    check_y(model, y, len(check_data(x, "x")))
    a = schedule.alpha_bar.sqrt()

    def field(X, t):
        value = slope(model, schedule, X, t, y=y, prediction=prediction)
        return value, value.new_zeros(len(X))

    with torch.no_grad(), evaluating(model):
        X = x.double() / float(a[stops[0]])
        X, _ = heun_path(field, X, stops, sigma_table(schedule))
    return (X * float(a[stops[-1]])).to(x)
