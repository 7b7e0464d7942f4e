r"""Weights of the simple loss at each t, other than the paper's 1."""

import torch

from ..checks import check_name, check_number, check_schedule, check_t


def min_snr_weight(schedule, t, prediction, gamma=5.0):
    r"""Weights that make the simple loss of any prediction min(SNR, gamma) times x_0's.

    t: int64 (B,) in 1..T. prediction: "noise", "x_0" or "v". gamma: above 0. Returns
    float64 (B,), on the CPU. With SNR = alpha_bar / (1 - alpha_bar), the squared error of
    the noise is SNR times that of x_0, and of v SNR + 1 times, so that the weights are
    min(SNR, gamma) over 1, SNR and SNR + 1: those of v are not those of the noise.
    Raises ValueError for another prediction or gamma.
    Hang et al. 2023 (arXiv 2303.09556), Eq. 8, and section 3.4 for v.
    """
    check_name("prediction", prediction, "noise", "x_0", "v")
    check_number("gamma", gamma, 1e-12)
    check_t(t, t, check_schedule(schedule).T)
    alpha_bar, rest = schedule.alpha_bar[t.cpu()], schedule.one_minus_alpha_bar[t.cpu()]
    if prediction == "noise":
        return (gamma * rest / alpha_bar).clamp(max=1)  # 1 where alpha_bar = 0
    if prediction == "v":
        return torch.minimum(alpha_bar, gamma * rest)
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
