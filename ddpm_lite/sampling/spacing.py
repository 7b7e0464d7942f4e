r"""Which steps a chain visits: explicit lists of pairs (t, s), from noise down to 0.

A list has as many jumps as were asked for, or there is an error: rounding to whole steps
never drops one in silence.
"""

from itertools import pairwise

import numpy as np

from ..checks import check_integer, check_name
from .asked import check_log_snr, check_steps

SPACINGS = ("trailing", "leading", "linspace", "quadratic", "log_snr")


def timestep_pairs(T, steps=None, spacing="trailing", *, schedule=None):
    r"""List the pairs (t, s) of a chain of `steps` jumps from T, or below it, to 0.

    steps: 1..T, or None for all T. spacing, with N steps and whole numbers:
    "trailing": jumps as equal as can be, counted from T, where x_T is pure noise.
    "leading": floor(T i / N) + 1 for i = 0 ... N - 1, counted from 1: it starts below T.
    "linspace": N numbers evenly from T to 1, both included, then rounded.
    "quadratic": 1 + (T - 1)(i / (N - 1))^2, rounded: dense near the data.
    "log_snr": evenly in log(alpha_bar_t / (1 - alpha_bar_t)) from T to 1, the nearest
        step each; it needs schedule=, whose first T steps are meant. A T with alpha_bar
        = 0 comes first, and the others are spaced from T - 1.
    Returns [(t, ...), ..., (..., 0)]; every spacing but "leading" starts at T. Raises
    ValueError for other steps, and where rounding makes two steps equal; it then names
    the largest number of steps that works.
    Song et al. 2020 (DDIM), appendix D.2, for leading and quadratic; Nichol and Dhariwal
    2021, section 4, for linspace; Lin et al. 2023 (arXiv 2305.08891), section 3.3, for
    trailing; Lu et al. 2022 (DPM-Solver, arXiv 2206.00927) for log_snr.
    """
    check_name("spacing", spacing, *SPACINGS)
    T = check_integer("T", T, 1)
    steps = check_steps(T if steps is None else steps, T, schedule)
    if spacing == "log_snr":
        check_log_snr(T, schedule)
    timesteps = _timesteps(T, steps, spacing, schedule)
    if not _distinct(timesteps):
        works = (
            n for n in range(T, 0, -1) if _distinct(_timesteps(T, n, spacing, schedule))
        )
        raise ValueError(
            f"{spacing} spacing cannot give {steps} different steps of {T}: some are "
            f"equal after rounding. The largest number of steps that works is {next(works)}"
        )
    return list(pairwise([*timesteps, 0]))


def largest_t(schedule, highest=160.0):
    r"""The largest t with sigma_t = sqrt(1 - alpha_bar_t) / sqrt(alpha_bar_t) <= highest.

    Where a solver of high order starts: at the end of the cosine schedule sigma is
    20,291, and one step from there is too long for it. Raises ValueError where there is
    no such t. Karras et al. 2022 (arXiv 2206.00364), Table 1, go from 80 and 157 (VP).
    """
    sigma = (schedule.one_minus_alpha_bar[1:] / schedule.alpha_bar[1:]).sqrt()
    fits = (sigma <= highest).nonzero()
    if not len(fits):
        raise ValueError(
            f"no step of this schedule has sigma_t <= {highest:g}, the smallest is "
            f"{float(sigma[0]):.4g}: sample it with ancestral or ddim"
        )
    return int(fits[-1]) + 1


def check_spacing(steps, spacing, pairs, T):
    r"""Refuse a spacing with nothing to choose: with pairs, or where all T steps are taken.

    None is what was not given. Raises ValueError.
    """
    if spacing is not None:
        check_name("spacing", spacing, *SPACINGS)
    if pairs is not None and (steps is not None or spacing is not None):
        raise ValueError("give steps or pairs, not both, and spacing only with steps")
    if spacing is not None and (steps is None or steps == T):
        raise ValueError(
            f"spacing={spacing!r} says which of {T} steps a shorter chain takes, and all "
            f"{T} are taken here: leave it out, or give fewer steps"
        )


def _distinct(timesteps):
    return len(set(timesteps)) == len(timesteps)


def _timesteps(T, N, spacing, schedule):
    if spacing == "trailing":
        return [(T * i + N // 2) // N for i in range(N, 0, -1)]
    if spacing == "leading":
        return [T * i // N + 1 for i in range(N - 1, -1, -1)]
    if N == 1:
        return [T]
    if spacing == "log_snr":
        return _log_snr_timesteps(T, N, schedule)
    power = 1 if spacing == "linspace" else 2
    whole = (N - 1) ** power
    return [
        1 + (2 * (T - 1) * i**power + whole) // (2 * whole) for i in range(N - 1, -1, -1)
    ]


def _log_snr_timesteps(T, N, schedule):
    if schedule.alpha_bar[T] == 0:
        return [T, *_timesteps(T - 1, N - 1, "log_snr", schedule)]
    signal, noise = schedule.log_alpha_bar[1:], schedule.one_minus_alpha_bar[1:].log()
    ratio = (noise - signal)[:T].numpy()  # minus the log-SNR, which rises with t
    wanted = np.linspace(ratio[-1], ratio[0], N)
    halfway = (ratio[1:] + ratio[:-1]) / 2  # where the nearest step changes
    return (np.searchsorted(halfway, wanted) + 1).tolist()
