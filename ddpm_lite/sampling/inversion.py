r"""DDIM read backwards: from a picture up to the noise that it would come from.

Without fresh noise a chain is a map, and a map can be read backwards. A step up needs the
prediction at its own upper end, which is not known yet, and takes the one at its lower end
in its place: so the way up and the way down differ, less with shorter steps.
"""

import torch

from ..checks import check_data
from ..denoiser import check_denoiser, check_y, evaluating
from ..process import predict, prediction_of, to_noise
from ..schedule import spread
from .asked import check_free, check_pairs
from .sampler import sample


def encode(model, schedule, x_0, pairs, *, y=None, prediction=None):
    r"""Carry x_0 up to the noise from which `decode` would draw it: DDIM inversion.

    x_0: (B, *shape). pairs: [(t, s), ...] down to 0, those of the way down; the way up is
    the same in reverse, with one network call a pair. A network has no t = 0: the first
    one asks about x_0 at t = 1. y: labels for the model, prediction: what it predicts, if
    it does not say so. Nothing is clipped.
    Returns x_t at the t of the first pair, like x_0. Raises ValueError or TypeError for
    what does not fit.
    Song et al. 2020 (DDIM, arXiv 2010.02502), section 4.3 and Eq. 13.
    """
    check_denoiser(model, schedule)
    prediction = prediction_of(model, prediction)
    pairs = check_pairs(pairs, schedule.T)
    check_y(model, y, len(check_data(x_0, "x_0")))
    x = x_0
    with torch.no_grad(), evaluating(model):
        for t, s in reversed(pairs):
            at_s = torch.full((len(x),), max(s, 1))
            noise = to_noise(schedule, x, at_s, predict(model, x, at_s, y), prediction)
            x = _along(schedule, x, noise, s, t)
    return x


def decode(model, schedule, code, pairs, **options):
    r"""Carry a code down to data by DDIM, without fresh noise and without clipping.

    code: (B, *shape), at the t of the first pair. pairs: as in `encode`. options: those of
    `sample`, such as y, but for the sampler, its start, its steps and clip.
    Returns x_0, like code. Raises ValueError or TypeError for what does not fit.
    Song et al. 2020 (DDIM, arXiv 2010.02502), Eq. 12 with sigma = 0.
    """
    check_free(options, "decode", "sampler", "pairs", "steps", "x_T", "dtype", "clip")
    more = dict(sampler="ddim", pairs=pairs, x_T=code, dtype=code.dtype, clip=None)
    more["progress"] = options.pop("progress", False)
    return sample(model, schedule, tuple(code.shape), **options, **more)


def _along(schedule, x, noise, now, then):
    r"""x at another step, with the same noise in it: x / a moves by its change of sigma."""
    a_now, a_then = schedule.alpha_bar[now].sqrt(), schedule.alpha_bar[then].sqrt()
    sigma_now = schedule.one_minus_alpha_bar[now].sqrt() / a_now
    factor = schedule.one_minus_alpha_bar[then].sqrt() - a_then * sigma_now
    ratio, factor = ((f[None]).expand(len(x)) for f in (a_then / a_now, factor))
    return spread(ratio, x) * x + spread(factor, x) * noise
