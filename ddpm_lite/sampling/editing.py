r"""Editing: a chain that starts from a picture, or is held to a part of one.

All of it is done around `sample`: a start x_T and a shorter list of pairs, or a step
function of one's own. The network never hears of it.
"""

import torch

from ..checks import check_integer, check_iterable, check_number, same_shape
from ..process import q_sample, transition
from ..schedule import spread
from ..seeds import SampleNoise, seeds_of
from .asked import check_edited, check_free, check_known, check_own_step, check_start
from .sampler import ancestral_step, sample
from .spacing import timestep_pairs

_START, _REPLACE = 1, 2  # one stream of noise for each purpose


def inpaint(
    model, schedule, x_0, known, *, resample=1, step=ancestral_step, seed=0, **options
):
    r"""Draw what is missing of x_0, so that it fits what is known: replacement.

    x_0: (B, *shape); what it holds in unknown places does not matter. known: bool, True
    where x_0 is kept; broadcasts to x_0. resample: how often each step is made; from the
    second time on x_s is diffused back to t first, so that the new part can follow the
    known one. step: what goes from t to s, as in `sample`, a function of (schedule, x_t,
    x_0_pred, t, s, noise); the one here has the small variance, learned or not: another
    is partial(ancestral_step, variance="large"). seed, options: those of `sample`, but
    for sampler, x_T and what belongs to the step.
    Returns x_0, like x_0, with its known part untouched. Raises ValueError for arguments
    that do not fit.

    After each step the known part of x_s is replaced by x_0 diffused to s. This is not a
    draw from p(unknown | known): the network sees a known part with fresh noise in it,
    and takes it for less certain than it is. Resampling lessens the error.
    Lugmayr et al. 2022 (RePaint, arXiv 2201.09865), Algorithm 1, with jumps of one step;
    its line 5 has 1 - alpha_bar_t where the root of 1 - alpha_bar_{t-1} belongs.
    """
    check_integer("resample", resample, 1)
    known = check_known(known, check_start(x_0))
    check_free(options, "inpaint", "x_T", "dtype")
    how = "give a step, such as step=partial(ddim_step, eta=1)"
    check_free(options, "inpaint", "sampler", "variance", "eta", "rederive", instead=how)
    check_edited(model, x_0[known])
    wants = check_own_step(step)
    fresh = _noise(seed, _REPLACE, x_0)

    def replaced(x_s, s):
        return torch.where(known, _diffused(schedule, x_0, s, fresh.next()), x_s)

    def replacing(schedule, x_t, x_0_pred, t, s, noise, denoise):
        more = {"denoise": denoise} if "denoise" in wants else {}
        x_s = replaced(step(schedule, x_t, x_0_pred, t, s, noise, **more), s)
        beta_ts, alpha_ts = transition(schedule, t, s)
        a_ts, s_ts = spread(alpha_ts.sqrt(), x_t), spread(beta_ts.sqrt(), x_t)
        for _ in range(resample - 1):
            x_t = a_ts * x_s + s_ts * fresh.next()
            x_0_pred = denoise(x_t, t)
            x_s = replaced(step(schedule, x_t, x_0_pred, t, s, fresh.next(), **more), s)
        return x_s

    more = dict(sampler=replacing, seed=seed, dtype=x_0.dtype)
    return sample(model, schedule, tuple(x_0.shape), **more, **options)


def vary(model, schedule, x_0, strength, *, steps=None, seed=0, **options):
    r"""Draw pictures like x_0: diffuse it to a step t, and walk back from there.

    x_0: (B, *shape). strength: in (0, 1], the share of the chain that is walked: t is
    strength * T, rounded. At 1 nothing is left of x_0 but what sqrt(alpha_bar_T)
    leaves; small values change details alone. steps: how many are made from t on, all t
    if None. seed, options: those of `sample`, but for pairs and x_T.
    Returns x_0, like x_0. Raises ValueError for arguments that do not fit.
    Meng et al. 2021 (SDEdit, arXiv 2108.01073), for the chain of Ho et al.
    """
    t = start_at(schedule, strength)
    check_edited(model, check_start(x_0))
    x_t = _diffused(schedule, x_0, _full(x_0, t), _noise(seed, _START, x_0).next())
    return _walk_back("vary", model, schedule, x_t, t, steps, seed, options)


def interpolate(
    model, schedule, x_0, x_0_other, weights, strength, *, steps=None, seed=0, **options
):
    r"""Draw what lies between two pictures: diffuse both to t, mix, and walk back.

    x_0, x_0_other: (*shape), one of each. weights: B numbers in [0, 1], the share of
    x_0_other in each mixture. strength, steps, options: as in `vary`. seed: an int; its
    noise is the same for all, so that they change smoothly with the weight.
    Returns x_0 (B, *shape). Raises ValueError for arguments that do not fit.

    A mixture (1 - weight) x_t + weight x_t_other has too little noise, half of its
    variance in the middle; here its noise is scaled up again to what t has.
    Ho et al. 2020, section 4.3 and figure 8, without that scaling.
    """
    same_shape(x_0=check_start(x_0), x_0_other=check_start(x_0_other))
    weights = weights.tolist() if isinstance(weights, torch.Tensor) else weights
    weights = list(check_iterable("weights", weights))
    if not weights:
        raise ValueError("weights must hold at least one number, got none")
    for weight in weights:
        check_number("a weight", weight, 0, 1)
    seeds, t = [seed] * len(weights), start_at(schedule, strength)
    both = torch.stack([x_0, x_0_other])
    check_edited(model, both)
    noise = _noise(check_integer("seed", seed, 0), _START, both).next()
    mixed = [
        ((1 - w) * both[0] + w * both[1], ((1 - w) * noise[0] + w * noise[1]) / length)
        for w, length in ((w, ((1 - w) ** 2 + w**2) ** 0.5) for w in weights)
    ]
    mean, noise = (torch.stack(part) for part in zip(*mixed, strict=True))
    x_t = _diffused(schedule, mean, _full(mean, t), noise)
    return _walk_back("interpolate", model, schedule, x_t, t, steps, seeds, options)


def start_at(schedule, strength):
    r"""The step t that a strength in (0, 1] stands for: strength * T, rounded.

    Raises ValueError for a strength outside, and for one that is rounded to t = 0.
    """
    check_number("strength", strength, 0, 1)
    t = round(strength * schedule.T)
    if t < 1:
        raise ValueError(
            f"strength {strength:g} of T = {schedule.T} steps is none, and x_0 would stay "
            f"as it is: take {1 / schedule.T:g} or more"
        )
    return t


def _walk_back(name, model, schedule, x_t, t, steps, seed, options):
    check_free(options, name, "pairs", "x_T", "dtype", "spacing")
    pairs = timestep_pairs(t, steps)
    more = dict(pairs=pairs, x_T=x_t, seed=seed, dtype=x_t.dtype)
    return sample(model, schedule, tuple(x_t.shape), **more, **options)


def _diffused(schedule, x_0, t, noise):
    # at t = 0, where q_sample has nothing to do, x_0 is itself
    return q_sample(schedule, x_0, t, noise) if t[0] > 0 else x_0


def _full(x_0, t):
    return torch.full((len(x_0),), t)


def _noise(seed, purpose, x_0):
    r"""Noise from N(0, I) like x_0, a stream for each purpose beside that of `sample`."""
    seeds = [(*(*s, 0)[:2], purpose) for s in seeds_of(seed, len(x_0))]
    return SampleNoise(seeds, tuple(x_0.shape), x_0.device, x_0.dtype)
