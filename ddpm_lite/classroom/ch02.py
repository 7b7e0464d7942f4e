r"""Checks of chapter 02, the forward process.

Each looks at properties, on inputs that are drawn from the seed: what a right answer must
keep whatever way it was written. The first thing that is wrong is said, in words.
"""

import math

import torch

from ..process import q_sample
from ..schedule import Schedule
from .exercise import (
    apart,
    drawn_schedules,
    exercise,
    expect,
    near,
    normal,
    number,
    reason,
    several,
    steps,
    tensor,
    uniform,
)

ASKED = (
    "process.q_step",
    "process.q_sample",
    "process.transition",
    "process.noise_from_v",  # q_sample under another name
)


@exercise("02.1", "crossing", kind="understanding", minutes=10, points=2, lacks=ASKED)
def crossing(answer, seed):
    tables = [Schedule.linear().alpha_bar]
    tables += [s.alpha_bar for k in range(2) for s in drawn_schedules(21, seed, k)]
    told = [_a_step(answer, table) for table in tables]
    for table, t in zip(tables, told, strict=True):
        _about_where(table, t)
    yield 1, "the right place, to within a step"
    for table, t in zip(tables, told, strict=True):
        _just_there(table, t)
    for table in _edges(seed):
        _just_there(table, _a_step(answer, table))
    yield 1, "and just that step, also when both are equal before it"


def _a_step(answer, alpha_bar, *more):
    r"""An answer that must be a step of the chain, as an int."""
    T = len(alpha_bar) - 1
    t = number(answer(alpha_bar, *more), "the step")
    expect(t == int(t), f"a step is a whole number, yours is {t}")
    expect(0 < t <= T, f"a step lies in 1..{T}, yours is {t:.0f}")
    return int(t)


def _edges(seed):
    r"""Tables of numbers that float64 holds exactly: both equal at t, and t = 1."""
    n = int(steps(2, 6, 1, 22, seed))
    falls = 0.5 + uniform((n,), 23, seed).sort(descending=True).values / 2
    one, half = (torch.full((1,), v, dtype=torch.float64) for v in (1.0, 0.5))
    rest = torch.tensor([0.375, 0.25, 0.125], dtype=torch.float64)
    yield torch.cat([one, falls, half, rest])
    yield torch.cat([one, (0.1 + 0.3 * uniform((1,), 24, seed)), rest / 8])


def _both(alpha_bar, t):
    r"""The variances of signal and noise at t, as texts."""
    return apart(float(alpha_bar[t]), float(1 - alpha_bar[t]))


def _about_where(alpha_bar, t):
    T, right = len(alpha_bar) - 1, int((alpha_bar < 0.5).nonzero()[0])
    signal, noise = _both(alpha_bar, t)
    expect(
        t >= right - 1,
        f"with T = {T} you say t = {t}, where the signal's variance is still {signal} and "
        f"the noise's is {noise}: is it variances that you compare, and all of the noise "
        "with all of the signal?",
    )
    late = float((alpha_bar[t] / (1 - alpha_bar[t])).sqrt())
    by_roots = int((alpha_bar.sqrt() < 0.5).nonzero()[0])
    why = (
        "is it variances that you compare?"
        if t == by_roots
        else "did you ask for the first of all steps where it is so?"
    )
    expect(
        t <= right + 1,
        f"with T = {T} you say t = {t}, but noise has outweighed signal earlier: at your t "
        f"their deviations are as 1 to {late:.3g}, their variances {noise} and {signal}: "
        f"{why}",
    )


def _just_there(alpha_bar, t):
    T, signal, noise = len(alpha_bar) - 1, *_both(alpha_bar, t)
    equal = float(alpha_bar[t]) == 0.5
    expect(
        not equal,
        f"with T = {T} you say t = {t}, where signal and noise have the same variance: "
        "does noise outweigh signal there?",
    )
    expect(
        float(alpha_bar[t]) < 0.5,
        f"with T = {T} you say t = {t}, where the signal's variance is still {signal} and "
        f"the noise's is {noise}: that is one step early; is entry 0 of alpha_bar clean "
        "data?",
    )
    signal, noise = _both(alpha_bar, t - 1)
    expect(
        float(alpha_bar[t - 1]) >= 0.5,
        f"with T = {T} you say t = {t}, which is one step late: at t = {t - 1} the noise's "
        f"variance is {noise} and the signal's {signal}; to which t does entry 0 of "
        "alpha_bar belong?",
    )


@exercise("02.2", "merge", kind="derivation", minutes=15, points=3, lacks=ASKED)
def merge(answer, seed):
    small = 1e-4 * (1 + uniform((1, 2), 25, seed))
    drawn = 0.02 + 0.9 * uniform((4, 2), 26, seed)
    pairs = [*drawn.tolist(), *small.tolist()]
    for a, b in pairs:
        _walk_without_noise(answer, a, b)
    yield 1, "the factor"
    for a, b in pairs:
        _noise_of_two(answer, a, b)
    yield 2, "the variance"


def _factor_and_variance(answer, a, b):
    factor, variance = several(answer(a, b), 2, "the factor and the variance")
    return number(factor, "the factor"), number(variance, "the variance")


def _walk_without_noise(answer, a, b):
    factor, _ = _factor_and_variance(answer, a, b)
    swapped, _ = _factor_and_variance(answer, b, a)
    expect(
        near(swapped, factor),
        "the factor on x_0 changes from {} to {} when the two steps change places: does "
        "x_0 go through both of them?".format(*apart(factor, swapped)),
    )
    walked = math.sqrt(1 - a) * math.sqrt(1 - b)
    said, right = apart(factor, walked)
    why = reason(
        factor,
        (
            (walked**2, "is it with a variance or with a point that beta is a share of?"),
            (math.sqrt(max(0, 1 - a - b)), "of what does the second step take its share?"),
            (
                math.sqrt(1 - a) + math.sqrt(1 - b),
                "what do two factors do one after another?",
            ),
            (math.sqrt(a * b), "is it the signal's factors that you take?"),
        ),
        "what does Eq. 2 multiply a point with, and then once more?",
    )
    expect(
        near(factor, walked),
        f"for beta = ({a:.4g}, {b:.4g}) a point x_0 = 1 walked through both steps without "
        f"noise ends at {right}, by your factor at {said}: {why}",
    )


def _noise_of_two(answer, a, b):
    factor, variance = _factor_and_variance(answer, a, b)
    _, first = _factor_and_variance(answer, a, 1e-14)
    _, second = _factor_and_variance(answer, 1e-14, b)
    for got, beta, which in ((first, a, "second"), (second, b, "first")):
        said, right = apart(got, beta)
        why = reason(
            got,
            (
                (math.sqrt(beta), "is what you return a variance?"),
                (1 - beta, "is it the noise's variance, or what is left of the signal's?"),
                (0, "does the noise of both steps stay in x_2?"),
            ),
            "what does Eq. 2 say of the noise of a single step?",
        )
        expect(
            near(got, beta, rtol=1e-6),
            f"when the {which} step does next to nothing, the other one, of beta = "
            f"{beta:.4g}, leaves a noise of variance {right}, you say {said}: {why}",
        )
    kept = factor**2 + variance
    said, _ = apart(kept, 1)
    expect(
        near(kept, 1),
        f"for beta = ({a:.4g}, {b:.4g}) data of variance 1 end with variance {said}, not 1"
        ": does the first step's noise shrink in the second step, and by what does a "
        "variance shrink when what it belongs to is multiplied by a factor?",
    )


@exercise("02.3", "jump", kind="code", minutes=15, points=4, lacks=ASKED)
def jump(answer, seed):
    cases = []
    for k, schedule in enumerate((Schedule.linear(), *drawn_schedules(27, seed))):
        n = int(steps(2, 6, 1, 28, seed, k))  # a wrong axis goes unseen in a square
        x_0, noise = (normal((n, n), 29, seed, k, i) for i in range(2))
        for t in (
            schedule.T // 4,
            int(steps(2, schedule.T, 1, 30, seed, k)),
            1,
            schedule.T,
        ):
            cases.append((schedule, x_0, t, noise))
    for case in cases:
        _signal_left(answer, *case)
    yield 1, "what is left of x_0"
    for case in cases:
        _noise_added(answer, *case)
    yield 1, "the noise"
    for k, schedule in enumerate(drawn_schedules(27, seed)):
        _each_its_own(answer, schedule, seed, k)
    yield 2, "for any batch"


def _signal_left(answer, schedule, x_0, t, noise):
    at = torch.full((len(x_0),), t)
    mean = tensor(answer(schedule.alpha_bar, x_0, at, 0 * noise), x_0, "x_t")
    kept = float((mean * x_0).sum() / x_0.square().sum())
    right = schedule.alpha_bar.sqrt()
    said, walked = apart(kept, float(right[t]))
    late = right[t + 1] if t < schedule.T else right[t]
    why = reason(
        kept,
        (
            (1, "does x_0 shrink while noise comes in?"),
            (right[t - 1], "which entry of alpha_bar belongs to t?"),
            (late, "which entry of alpha_bar belongs to t?"),
            (right[t] ** 2, "is alpha_bar a share of x_0, or of its variance?"),
            (schedule.alpha[t].sqrt(), "is it one step, or all steps up to t?"),
            ((1 - right[t] ** 2).sqrt(), "which of the two factors belongs to x_0?"),
        ),
        "what is x_0 multiplied with in Eq. 4?",
    )
    expect(
        near(kept, right[t], rtol=1e-7),
        f"without noise {said} of x_0 is left at t = {t} of {schedule.T}, where the walk "
        f"through all steps leaves {walked}: {why}",
    )
    expect(
        near(mean, right[t] * x_0, rtol=1e-7),
        "without noise x_t should be x_0 times one factor where all examples have one t",
    )


def _noise_added(answer, schedule, x_0, t, noise):
    at = torch.full((len(x_0),), t)
    grown = tensor(answer(schedule.alpha_bar, 0 * x_0, at, noise), x_0, "x_t")
    added = float((grown * noise).sum() / noise.square().sum())
    expect(
        near(grown, added * noise, rtol=1e-7),
        "for x_0 = 0 your x_t is not the noise that was given times one factor: is it this "
        "noise that you add?",
    )
    signal = float(schedule.alpha_bar[t])
    said, _ = apart(signal + added**2, 1)
    why = reason(
        added,
        (
            (1, "does all of the noise come in at once?"),
            (0, "where is the noise?"),
            (1 - signal, "are both factors standard deviations?"),
            (1 - signal**0.5, "is it the factors that add up to 1, or their squares?"),
            (schedule.beta[t].sqrt(), "is it one step's noise, or that of all up to t?"),
            (signal**0.5, "which of the two factors belongs to the noise?"),
        ),
        "are both factors standard deviations, and do their squares add up to 1?",
    )
    expect(
        near(added, math.sqrt(1 - signal), rtol=1e-6),
        f"your x_t has variance {said} at t = {t} of {schedule.T}, where an x_0 of "
        f"variance 1 should keep it at 1: {why}",
    )


def _each_its_own(answer, schedule, seed, k):
    n = int(steps(2, 5, 1, 31, seed, k))
    for shape, dtype in (
        ((n, n), torch.float64),
        ((7 - n, 2), torch.float64),
        ((3, n, 3, 3), torch.float32),
        ((1, n + 1), torch.float64),
        ((n, 3, 4), torch.float64),
        ((1, 2, 3, n), torch.float32),
        ((2, n, 1, 2, 3), torch.float64),
        ((n + 1,), torch.float64),
    ):
        x_0, noise = (normal(shape, 32 + i, seed, k, dtype=dtype) for i in range(2))
        t = (uniform((shape[0],), 34, seed, k).argsort() + 1) * (schedule.T // shape[0])
        t = t - steps(0, 5, 1, 35, seed, k)
        x_t = tensor(answer(schedule.alpha_bar, x_0, t, noise), x_0, "x_t")
        right = q_sample(schedule, x_0, t, noise)
        off = float((x_t - right).abs().max())
        what = f"with x_0 of shape {shape} and the steps t = {t.tolist()}, x_t is"
        by_column = (
            len(shape) > 1
            and shape[0] == shape[-1] > 1
            and near(x_t, _by_column(schedule, x_0, t, noise), rtol=1e-5, atol=1e-5)
        )
        expect(
            not by_column,
            f"{what} up to {off:.3g} away from what a walk of single steps gives: does "
            "factor i meet example i, or number i of every example?",
        )
        one = torch.full_like(t, int(t[0]))
        alike = near(x_t, q_sample(schedule, x_0, one, noise), rtol=1e-5, atol=1e-5)
        expect(
            not alike or len(t) == 1,
            f"{what} what t = {int(t[0])} for all examples gives: has each example a step "
            "of its own?",
        )
        exact = 1e-9 if dtype == torch.float64 else 1e-4
        expect(
            off < exact,
            f"{what} up to {off:.3g} away from what a walk of single steps gives: does "
            f"each example get the factors of its own t, as exactly as {dtype} can tell?",
        )


def _by_column(schedule, x_0, t, noise):
    kept = schedule.alpha_bar[t]
    return kept.sqrt() * x_0 + (1 - kept).sqrt() * noise


@exercise("02.4", "jump_between", kind="derivation", minutes=20, points=4, lacks=ASKED)
def jump_between(answer, seed):
    cases = []
    for k, schedule in enumerate(drawn_schedules(36, seed)):
        s, t = _two_steps(schedule, seed, k)
        shape = (4, 2) if k else (2, 3, 4, 4)
        x_s, noise = normal(shape, 31, seed, k), normal(shape, 32, seed, k)
        cases += [(schedule, x_s, s, t, noise), (schedule, x_s, s, s + 1, noise)]
        cases += [(schedule, x_s, t, t, noise), (schedule, x_s, 0, t, noise)]
        cases += [(schedule, x_s, s, schedule.T, noise)]
    for case in cases:
        _kept_since(answer, *case)
    yield 2, "what is left of x_s"
    for case in cases:
        _added_since(answer, *case)
    yield 2, "and the noise since then, from s = 0 and to s = t as well"


def _two_steps(schedule, *seed):
    r"""Two steps 1 < s < t < T, some steps apart."""
    s = int(steps(2, schedule.T // 2, 1, 37, *seed))
    return s, s + int(steps(4, schedule.T // 3, 1, 38, *seed))


def _kept_since(answer, schedule, x_s, s, t, noise):
    mean = tensor(answer(schedule.alpha_bar, x_s, s, t, 0 * noise), x_s, "x_t")
    kept = float((mean * x_s).sum() / x_s.square().sum())
    expect(
        near(mean, kept * x_s, rtol=1e-7),
        "when the noise is 0 every coordinate should shrink by one factor, yours do not: "
        "is it the noise that was given that you add?",
    )
    walked = float((1 - schedule.beta[s + 1 : t + 1]).prod().sqrt())
    if s == t:
        expect(
            near(kept, 1),
            f"from t to t nothing should happen, but your factor at t = {t} is "
            "{} instead of 1: how many steps lie between?".format(*apart(kept, 1)),
        )
    a, said, right = schedule.alpha_bar, *apart(kept, walked)
    more = walked * float(schedule.alpha[s].sqrt()) if s else walked
    less = walked / float(schedule.alpha[s + 1].sqrt()) if s < t else walked
    early = walked / float(schedule.alpha[t].sqrt())
    why = reason(
        kept,
        (
            (a[t].sqrt(), "was some of it not lost already before s?"),
            (walked**2, "is it the variance that shrinks so, or the point?"),
            (1 / walked, "from which of the two steps does the chain walk to which?"),
            ((a[t] * a[s]).sqrt(), "what undoes the steps up to s?"),
            (a[t - s].sqrt(), "are the steps from s on the same as those at the start?"),
            (more, "which is the first step after s?"),
            (less, "which is the first step after s?"),
            (early, "which is the last step that is taken?"),
            (1 - a[s] + a[t], "is it by differences or by factors that a point shrinks?"),
        ),
        "which steps lie between s and t, and what does each do to a point?",
    )
    expect(
        near(kept, walked, rtol=1e-7),
        f"from s = {s} to t = {t} of {schedule.T} a point shrinks to {right} of its length,"
        f" with your factor to {said}: {why}",
    )


def _added_since(answer, schedule, x_s, s, t, noise):
    a, zero = schedule.alpha_bar, 0 * x_s
    grown = tensor(answer(a, zero, s, t, noise), x_s, "x_t")
    factor = float((grown * noise).sum() / noise.square().sum())
    expect(
        near(grown, factor * noise, rtol=1e-7),
        "when x_s is 0 your x_t is not the noise that was given times one factor: is it "
        "this noise that you add?",
    )
    kept = float((1 - schedule.beta[s + 1 : t + 1]).prod())
    variance = kept + factor**2
    why = reason(
        factor,
        (
            ((1 - a[t]).sqrt(), "is all of that noise new since s?"),
            ((a[s] - a[t]).sqrt(), "to what variance must it be restored, and of what?"),
            (
                1 - kept,
                "is it with a variance or with a deviation that noise is multiplied?",
            ),
            (1 - kept**0.5, "do factors add up to 1, or their squares?"),
            ((1 - kept**2) ** 0.5, "how much of an x_s of variance 1 is left?"),
        ),
        "the noise must restore just what the factor takes",
    )
    expect(
        near(factor**2, 1 - kept, rtol=1e-6, atol=1e-12),
        f"from s = {s} to t = {t} of {schedule.T} an x_s of variance 1 becomes an x_t of "
        "variance {} instead of 1: {}".format(apart(variance, 1)[0], why),
    )
    right = kept**0.5 * x_s + (1 - kept) ** 0.5 * noise
    x_t = tensor(answer(a, x_s, s, t, noise), x_s, "x_t")
    expect(
        near(x_t, right, rtol=1e-7),
        f"from s = {s} to t = {t} your x_t is not the sum of what is left of x_s and of "
        f"the noise since then; it is {float((x_t - right).abs().max()):.3g} away",
    )


@exercise("02.5", "standard_size", kind="understanding", minutes=15, points=3, lacks=ASKED)
def standard_size(answer, seed):
    drawn = drawn_schedules(39, seed)
    sizes = (0.1 * 100 ** uniform((3,), 40, seed)).tolist()
    for schedule, size in zip(drawn, sizes, strict=True):
        _before_the_first_step(answer, schedule, size, seed)
    yield 1, "clean data, and data of variance 1"
    for k, (schedule, size) in enumerate(zip(drawn, sizes, strict=True)):
        for t in (*steps(2, schedule.T, 3, 41, seed, k).tolist(), 1, schedule.T):
            _size_at(answer, schedule, size, t, seed)
    yield 2, "data of any variance, at any step"


def _samples(size, *seed):
    r"""20,000 samples x_0 of variance `size` and noise of variance 1, both just so."""
    x_0, noise = torch.linalg.qr(_centred(normal((20_000, 2), 42, *seed))).Q.T
    return x_0 * (20_000 * size) ** 0.5, noise * 20_000**0.5


def _centred(x):
    return x - x.mean(0)


def _before_the_first_step(answer, schedule, size, seed):
    a, what = schedule.alpha_bar, "the variance of x_t"
    got = number(answer(size, 0, a), what)
    said, right = apart(got, size)
    why = reason(
        got,
        (
            (1, "has all data the variance 1?"),
            (size**2, "is `size` a variance or a deviation?"),
            (size**0.5, "is `size` a variance or a deviation?"),
            (0, "is it of the noise alone that you speak?"),
        ),
        "which entry of alpha_bar belongs to t = 0?",
    )
    expect(
        near(got, size, rtol=1e-6),
        f"at t = 0 there is no noise yet, and x_0 has its own variance {right}; you say "
        f"{said}: {why}",
    )
    t = int(steps(schedule.T // 4, schedule.T // 2, 1, 43, seed, schedule.T))
    got = number(answer(1.0, t, a), what)
    said, _ = apart(got, 1)
    kept = float(a[t])
    why = reason(
        got,
        (
            (kept, "what does the noise add?"),
            (1 - kept, "what is left of x_0?"),
            (kept**0.5 + (1 - kept) ** 0.5, "is it variances or deviations that add up?"),
            (kept**0.5 + 1 - kept, "by what is a variance multiplied, when x_0 shrinks?"),
            (
                kept + (1 - kept) ** 0.5,
                "by what is a variance multiplied, when noise shrinks?",
            ),
            (kept**2 + (1 - kept) ** 2, "by what is x_0 multiplied, by what its variance?"),
            (kept + 1, "does all of the noise come in?"),
        ),
        "what is left of x_0's variance, and what comes in?",
    )
    expect(
        near(got, 1, rtol=1e-6),
        f"data of variance 1 keep it, which is what Eq. 4 is made for; at t = {t} you say "
        f"{said}: {why}",
    )


def _size_at(answer, schedule, size, t, seed):
    x_0, noise = _samples(size, seed, t)
    got = number(answer(size, t, schedule.alpha_bar), "the variance of x_t")
    x_t = q_sample(schedule, x_0, torch.full((len(x_0),), t), noise)
    drawn = float(x_t.var(correction=0))
    said, right = apart(got, drawn)
    a = schedule.alpha_bar
    kept, before = float(a[t]), float(a[t - 1])
    after = float(a[min(t + 1, schedule.T)])
    why = reason(
        got,
        (
            (size, "does x_0 keep its variance, or noise grow with the data?"),
            (1, "is it variance 1 that every x_0 has?"),
            (before * size + 1 - before, "which entry of alpha_bar belongs to t?"),
            (after * size + 1 - after, "which entry of alpha_bar belongs to t?"),
            (kept + (1 - kept) * size, "which of the two parts has to do with x_0?"),
            (kept * size**0.5 + 1 - kept, "is `size` a variance or a deviation?"),
            (kept * size**2 + 1 - kept, "is `size` a variance or a deviation?"),
        ),
        "what is left of x_0's variance, and what comes in?",
    )
    expect(
        near(got, drawn, rtol=1e-6),
        f"20,000 samples of x_0 with variance {size:.3g} have variance {right} at t = {t} "
        f"of {schedule.T}; you say {said}: {why}",
    )


@exercise("02.6", "design", kind="project", minutes=40, points=5, lacks=ASKED)
def design(answer, seed):
    cases = []
    for k, (low, high) in enumerate(((3, 12), (20, 80), (200, 1000))):
        end = float(10 ** (-4 + 2.5 * uniform((1,), 45, seed, k)))
        cases.append((int(steps(low, high, 1, 46, seed, k)), end))
    made = [_beta(answer, T, end) for T, end in cases]
    for (T, end), beta in zip(cases, made, strict=True):
        _last(beta, T, end)
    yield 1, "beta that end where they should"
    for (T, end), beta in zip(cases, made, strict=True):
        _first(beta, T, end)
    yield 1, "and begin where they should"
    for (T, _), beta in zip(cases, made, strict=True):
        _even(beta, T)
    yield 3, "with a log-SNR that falls evenly"


def _beta(answer, T, end):
    beta = answer(T, end)
    if isinstance(beta, torch.Tensor):
        expect(
            beta.shape != (T + 1,),
            f"beta_1 to beta_{T} are {T} numbers, yours are {T + 1}: is there a beta_0?",
        )
    beta = tensor(beta, torch.zeros(T, dtype=torch.float64), "beta")
    expect(
        bool((beta > 0).all() and (beta < 1).all()),
        f"every beta must lie in (0, 1); yours run from {float(beta.min()):.3g} to "
        f"{float(beta.max()):.3g}: is it beta that you return?",
    )
    return beta


def _last(beta, T, end):
    last = float(torch.cumprod(1 - beta, 0)[-1])
    said, right = apart(last, end)
    why = reason(
        last,
        (
            (end**2, "is it a variance or a factor that should be `end`?"),
            (end**0.5, "is it a variance or a factor that should be `end`?"),
            (
                1 - end,
                "is it the signal or the noise that should be small at the last step?",
            ),
        ),
        "what do all 1 - beta together make of a variance?",
    )
    expect(
        near(last, end, rtol=1e-6),
        f"with T = {T} alpha_bar, the product of all 1 - beta, ends at {said} instead of "
        f"{right}: {why}",
    )


def _first(beta, T, end):
    first = float(beta[0])
    said, right = apart(first, end)
    why = reason(
        first,
        (
            (end**2, "is it a variance or a deviation that should be `end`?"),
            (end**0.5, "is it a variance or a deviation that should be `end`?"),
            (1 - end, "is it the signal or the noise that should be small at first?"),
        ),
        "at which t do you begin to count, and is entry 0 clean data?",
    )
    expect(
        near(first, end, rtol=1e-6),
        f"with T = {T} the variance of the noise after step 1 is {said} instead of {right}"
        f": {why}",
    )


def _uneven(x):
    r"""How far the steps of x differ from their mean, as a share of it."""
    gaps = x.diff()
    return float((gaps - gaps.mean()).abs().max() / gaps.mean().abs())


def _even(beta, T):
    alpha_bar = torch.cumprod(1 - beta, 0)
    noise = 1 - alpha_bar
    others = {
        "alpha_bar": alpha_bar,
        "the logarithm of alpha_bar": alpha_bar.log(),
        "the logarithm of the noise's variance": noise.log(),
        "the root of alpha_bar": alpha_bar.sqrt(),
        "the deviation of the noise": noise.sqrt(),
        "beta": beta,
        "the logarithm of beta": beta.log(),
        "the SNR itself": alpha_bar / noise,
    }
    found = [name for name, x in others.items() if _uneven(x) < 1e-6]
    why = (
        f"what goes evenly is {found[0]}; what was asked for?"
        if found
        else "what of each step is the same, and for which of them?"
    )
    uneven = _uneven((alpha_bar / noise).log())
    expect(
        uneven < 1e-6,
        f"with T = {T} the steps in log-SNR differ from their mean by up to "
        f"{100 * uneven:.3g} %: {why}",
    )
