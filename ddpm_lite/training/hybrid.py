r"""The loss of a network that learns its variance too: Nichol and Dhariwal 2021.

Such a network has `learned_variance` and gives 2C channels. The first half predicts as
ever; the second, v, says where the logarithm of the variance lies between the small one
(v = -1) and the large one (v = 1), see `process.interpolated_variance`.
"""

import torch

from ..denoiser import check_denoiser
from ..loss import decoder_nll, gaussian_kl, squared_error
from ..process import (
    interpolated_variance,
    predict_both,
    prediction_of,
    q_posterior,
    q_sample,
    to_x_0,
)
from ..schedule import spread


def hybrid_loss(
    model, schedule, x_0, t, noise, *, y=None, prediction=None, levels=None, weight=1e-3
):
    r"""The simple loss of each example plus a small share of its term of the bound.

    Arguments as for `simple_loss`; the model has learned variance. levels: grey levels
    for the decoder at t = 1, see `decoder_nll`. weight: of the bound, the term of t being
    an estimate of the sum over all T of them. The bound's gradient reaches v alone: the
    mean in it is detached. Returns (B,). Raises as `simple_loss`.
    Nichol and Dhariwal 2021, Eq. 16 and section 3.1.
    """
    given = dict(y=y, prediction=prediction, levels=levels, weight=weight)
    return sum(hybrid_terms(model, schedule, x_0, t, noise, **given))


def hybrid_terms(
    model, schedule, x_0, t, noise, *, y=None, prediction=None, levels=None, weight=1e-3
):
    r"""The two terms whose sum `hybrid_loss` is: the simple loss, and the bound's share.

    Arguments and errors as for `hybrid_loss`. Returns a pair of (B,).
    """
    check_denoiser(model, schedule)
    if not getattr(model, "learned_variance", False):
        raise ValueError("the model has no learned variance: its loss is simple_loss")
    prediction = prediction_of(model, prediction)
    x_t = q_sample(schedule, x_0, t, noise)
    value, v = predict_both(model, x_t, t, y)
    simple = squared_error(schedule, value, x_0, x_t, t, noise, prediction)
    x_0_pred = to_x_0(schedule, x_t, t, value.detach(), prediction)
    mean, variance = q_posterior(schedule, x_0, x_t, t)
    mean_pred, _ = q_posterior(schedule, x_0_pred, x_t, t)
    variance_pred = interpolated_variance(schedule, v, t, t - 1)
    first = spread(t == 1, x_0).bool()
    safe = torch.where(first, variance_pred.detach(), variance.expand_as(x_0))
    kl = gaussian_kl(mean, safe, mean_pred, variance_pred)
    nats = torch.where(first, decoder_nll(x_0, mean_pred, variance_pred, levels), kl)
    return simple, weight * schedule.T * nats.flatten(1).mean(1)
