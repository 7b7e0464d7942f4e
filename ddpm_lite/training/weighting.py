r"""What the simple loss counts, other than the paper's 1 for each pixel at each t."""

import torch

from ..checks import PREDICTIONS, check_name, check_number, check_schedule, check_t
from ..denoiser import check_denoiser, clip_of, said
from ..loss import squared_error
from ..process import noise_from_x_0, predict, q_sample, to_x_0


def min_snr_weight(schedule, t, prediction, gamma=5.0):
    r"""Weights that make the simple loss of any prediction min(SNR, gamma) times x_0's.

    t: int64 (B,) in 1..T. prediction: "noise", "x_0", "v" or "flow". gamma: above 0.
    Returns float64 (B,), on the CPU. With SNR = alpha_bar / (1 - alpha_bar), the squared
    error of the noise is SNR times that of x_0, of v SNR + 1 times, and of the flow
    (1 + sqrt(SNR))^2 times. The weights are min(SNR, gamma) over these, and over 1 for
    x_0: those of v are not those of the noise.
    Raises ValueError for another prediction or gamma. Hang et al. 2023 (arXiv
    2303.09556), Eq. 8, and section 3.4 for v; the flow in the same way (chapter 14).
    """
    check_name("prediction", prediction, *PREDICTIONS)
    check_number("gamma", gamma, 1e-12)
    check_t(t, t, check_schedule(schedule).T)
    alpha_bar, rest = schedule.alpha_bar[t.cpu()], schedule.one_minus_alpha_bar[t.cpu()]
    if prediction == "noise":
        return (gamma * rest / alpha_bar).clamp(max=1)  # 1 where alpha_bar = 0
    if prediction == "v":
        return torch.minimum(alpha_bar, gamma * rest)
    if prediction == "flow":
        return (
            torch.minimum(alpha_bar, gamma * rest) / (alpha_bar.sqrt() + rest.sqrt()) ** 2
        )
    return (alpha_bar / rest).clamp(max=gamma)


def weigh(terms, schedule, t, prediction, gamma):
    r"""The terms of a loss, the first one times min-SNR weights: (B,), to be minimised.

    terms: the simple loss (B,), and what is added to it if anything, (B,). The others as
    in `min_snr_weight`; gamma None gives the plain sum.
    """
    simple, *others = terms
    if gamma is None:
        return sum(terms)
    weight = min_snr_weight(schedule, t, prediction, gamma)
    return simple * weight.to(simple.device, simple.dtype) + sum(others)


def free_ends_loss(model, schedule, x_0, t, noise, *, y=None):
    r"""The simple loss of each example, less the error that clipping will take away.

    Arguments and errors as for `simple_loss`; the model says what it predicts, and its
    `clip`, the range of the data. Where a pixel of x_0 lies at an end of that range, such
    as black, a predicted x_0 beyond the end costs nothing: a sampler cuts it to the right
    value. The best prediction is unchanged once it is cut, the mean of x_0 given x_t; but
    what is surely black need not be hit exactly, and can come out exactly black. Returns
    (B,). Raises ValueError for a model without clip.
    """
    check_denoiser(model, schedule)
    clip = check_ends(model)
    x_t = q_sample(schedule, x_0, t, noise)
    predicted = predict(model, x_t, t, y)
    x_0_pred = to_x_0(schedule, x_t, t, predicted.detach(), model.prediction)
    x_0 = allowed(x_0, x_0_pred, clip)
    noise = noise_from_x_0(schedule, x_t, t, x_0)
    return squared_error(schedule, predicted, x_0, x_t, t, noise, model.prediction)


def check_ends(model):
    r"""Return the (low, high) of a model whose ends can be free; ValueError for others."""
    clip = clip_of(model)
    if clip is None:
        raise ValueError(
            "free_ends is for models that clip, such as those of pictures, and this one "
            "has clip = None: leave it out"
        )
    if said(model, "learned_variance"):
        raise ValueError(
            "free_ends is for networks whose variance is not learned: leave one out"
        )
    return clip


def allowed(x_0, x_0_pred, clip):
    r"""What is as right as x_0: x_0_pred where that is beyond an end at which x_0 lies.

    x_0, x_0_pred: (B, *shape), the second not clipped. clip: (low, high). Returns x_0 but
    there.
    """
    low, high = clip
    below, above = (x_0 <= low) & (x_0_pred < x_0), (x_0 >= high) & (x_0_pred > x_0)
    return torch.where(below | above, x_0_pred, x_0)
