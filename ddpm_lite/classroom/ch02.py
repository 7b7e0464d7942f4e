r"""Checks of chapter 02, the forward process.

Each looks at properties, on inputs that are drawn from the seed: what a right answer must
keep whatever way it was written. The first thing that is wrong is said, in words.
"""

import math

import torch

from ..process import q_sample
from ..schedule import Schedule
from .exercise import (
    exercise,
    expect,
    near,
    normal,
    number,
    schedules,
    several,
    steps,
    tensor,
    uniform,
)

ASKED = ("process.q_step", "process.q_sample", "process.transition")


@exercise("02.1", "crossing", kind="understanding", minutes=10, points=2, lacks=ASKED)
def crossing(answer, seed):
    for schedule in schedules(21, seed):
        alpha_bar = schedule.alpha_bar
        t = number(answer(alpha_bar), "the step")
        expect(t == int(t), f"a step is a whole number, yours is {t}")
        expect(0 < t <= schedule.T, f"a step lies in 1..{schedule.T}, yours is {t:.0f}")
        t = int(t)
        snr = float(alpha_bar[t] / (1 - alpha_bar[t]))
        before = float(alpha_bar[t - 1] / (1 - alpha_bar[t - 1])) if t > 1 else math.inf
        expect(
            snr < 1,
            f"with T = {schedule.T} you say t = {t}, where the signal's variance is still "
            f"{snr:.3g} times the noise's: is it variances that you compare, and is entry "
            "0 of alpha_bar clean data?",
        )
        expect(
            before >= 1,
            f"with T = {schedule.T} you say t = {t}, but noise has outweighed signal "
            f"earlier: at t = {t - 1} the ratio of variances is {before:.3g}",
        )


@exercise("02.2", "merge", kind="derivation", minutes=15, points=3, lacks=ASKED)
def merge(answer, seed):
    pairs = [(0.2, 0.5), (1e-4, 2e-4), *uniform((4, 2), 22, seed).tolist()]
    for a, b in pairs:
        factor, variance = several(answer(a, b), 2, "the factor and the variance")
        factor, variance = number(factor, "the factor"), number(variance, "the variance")
        kept = factor**2 + variance
        expect(
            near(kept, 1),
            f"for beta = ({a:.4g}, {b:.4g}) data of variance 1 end with variance "
            f"{kept:.4g} instead of 1: does the first step's noise shrink in the second "
            "step, and is what you return a variance?",
        )
        swapped, _ = several(answer(b, a), 2, "the factor and the variance")
        expect(
            near(swapped, factor),
            "the factor on x_0 changes when the steps change places; a product does not",
        )
        walked = math.sqrt(1 - a) * math.sqrt(1 - b)
        expect(
            near(factor, walked),
            f"a point x_0 = 1 walked through both steps without noise ends at {walked:.4g}"
            f", by your factor at {factor:.4g}",
        )


@exercise("02.3", "jump", kind="code", minutes=15, points=4, lacks=ASKED)
def jump(answer, seed):
    for shape, dtype in (((5, 2), torch.float64), ((3, 1, 4, 4), torch.float32)):
        for k, schedule in enumerate(schedules(21, seed)):
            x_0 = normal(shape, 23, seed, k, dtype=dtype)
            noise = normal(shape, 24, seed, k, dtype=dtype)
            t = steps(1, schedule.T, shape[0], 25, seed, k)
            got = answer(schedule.alpha_bar, x_0, t, noise)
            tensor(got, x_0, "x_t")
    # From here on float64 points, many at one step.
    schedule, n = Schedule.linear(), 4000
    x_0, noise = normal((n, 2), 26, seed), normal((n, 2), 27, seed)
    for t in (1, 250, 500, 1000):
        at = torch.full((n,), t)
        x_t = tensor(answer(schedule.alpha_bar, x_0, at, noise), x_0, "x_t")
        variance = float(x_t.var())
        expect(
            abs(variance - 1) < 0.1,
            f"your x_t has variance {variance:.3g} at t = {t}, where an x_0 of variance 1 "
            "should keep it at 1: are both factors standard deviations, and do their "
            "squares add up to 1?",
        )
        mean = tensor(answer(schedule.alpha_bar, x_0, at, 0 * noise), x_0, "x_t")
        kept = float((mean * x_0).sum() / x_0.square().sum())
        right = float(schedule.alpha_bar[t].sqrt())
        expect(
            abs(kept - right) < 1e-3,
            f"without noise {kept:.4f} of x_0 is left at t = {t}, where the walk through "
            f"all steps leaves {right:.4f}: which entry of alpha_bar belongs to t?",
        )
    t = steps(1, 1000, n, 28, seed)
    got = answer(schedule.alpha_bar, x_0, t, noise)
    expect(
        near(got, q_sample(schedule, x_0, t, noise)),
        "with a step of its own for each example, x_t is not what a walk of single steps "
        "gives: does each example get the factors of its own t, in float64?",
    )


@exercise("02.4", "jump_between", kind="derivation", minutes=20, points=4, lacks=ASKED)
def jump_between(answer, seed):
    for k, schedule in enumerate(schedules(21, seed)):
        alpha_bar, T = schedule.alpha_bar, schedule.T
        s, t = T // 3, T // 2
        x_s, noise = normal((4, 2), 31, seed, k), normal((4, 2), 32, seed, k)
        kept = tensor(answer(alpha_bar, x_s, s, t, 0 * noise), x_s, "x_t") / x_s
        expect(
            near(kept, kept[0, 0].expand_as(kept)),
            "without noise every coordinate should shrink by one factor, yours do not",
        )
        walked = float((1 - schedule.beta[s + 1 : t + 1]).prod().sqrt())
        expect(
            near(kept[0, 0], walked),
            f"from s = {s} to t = {t} of {T} a point shrinks to {walked:.4g} of its length,"
            f" with your factor to {float(kept[0, 0]):.4g}: what was lost before s is lost"
            " already",
        )
        grown = tensor(answer(alpha_bar, 0 * x_s, s, t, noise), x_s, "x_t")
        added = float((grown / noise)[0, 0].square())
        expect(
            near(walked**2 + added, 1, rtol=1e-6),
            f"an x_s of variance 1 becomes an x_t of variance {walked**2 + added:.4g}: the "
            "noise must restore just what the factor takes",
        )
        still = answer(alpha_bar, x_s, t, t, noise)
        expect(
            near(still, x_s),
            "from t to t nothing should happen, but your x_t differs from x_s",
        )
        from_start = answer(alpha_bar, x_s, 0, t, noise)
        at = torch.full((4,), t)
        expect(
            near(from_start, q_sample(schedule, x_s, at, noise)),
            "from s = 0 your jump should be the jump from x_0",
        )


@exercise("02.5", "standard_size", kind="understanding", minutes=15, points=3, lacks=ASKED)
def standard_size(answer, seed):
    schedule = Schedule.linear()
    for k, size in enumerate((0.25, 1.0, 9.0)):
        x_0 = math.sqrt(size) * normal((20_000,), 41, seed, k)
        noise = normal((20_000,), 42, seed, k)
        for t in (1, 300, 1000):
            got = number(answer(size, t, schedule.alpha_bar), "the variance of x_t")
            expect(got > 0, f"a variance is positive, yours is {got:.4g}")
            at = torch.full((len(x_0),), t)
            drawn = float(q_sample(schedule, x_0, at, noise).var())
            expect(
                abs(got / drawn - 1) < 0.06,
                f"20,000 samples of x_0 with variance {size} have variance {drawn:.3g} at "
                f"t = {t}; you say {got:.3g}",
            )
        expect(
            near(answer(size, 0, schedule.alpha_bar), size),
            "at t = 0 there is no noise yet: x_0 has its own variance",
        )


@exercise("02.6", "design", kind="project", minutes=40, points=5, lacks=ASKED)
def design(answer, seed):
    for T, end in ((10, 1e-2), (50, 1e-3), (1000, 4e-5)):
        beta = answer(T, end)
        beta = tensor(beta, torch.zeros(T, dtype=torch.float64), "beta")
        expect(
            bool((beta > 0).all() and (beta < 1).all()),
            f"every beta must lie in (0, 1); yours run from {float(beta.min()):.3g} to "
            f"{float(beta.max()):.3g}",
        )
        alpha_bar = torch.cumprod(1 - beta, 0)
        last = float(alpha_bar[-1])
        expect(
            near(last, end, rtol=1e-6),
            f"with T = {T} alpha_bar ends at {last:.3g} instead of {end:.3g}",
        )
        first = float(1 - alpha_bar[0])
        expect(
            near(first, end, rtol=1e-6),
            f"with T = {T} the variance of the noise after step 1 is {first:.3g} instead"
            f" of {end:.3g}",
        )
        log_snr = (alpha_bar / (1 - alpha_bar)).log()
        gaps = log_snr.diff()
        uneven = float((gaps - gaps.mean()).abs().max() / gaps.mean().abs())
        expect(
            uneven < 1e-6,
            f"with T = {T} the steps in log-SNR differ from their mean by up to "
            f"{100 * uneven:.3g} %: is it the log-SNR that falls evenly, and not beta, "
            "alpha_bar or its logarithm?",
        )
