r"""Checks of chapter 11, improved DDPM.

What a prediction or a weight must be follows from equations that connect it with the
others; where a number is wrong, it is held against the numbers that usual mistakes make.
"""

import math

import torch

from ..schedule import Schedule
from .ch08 import SHAPES, asked_about, drawn_schedule
from .exercise import (
    apart,
    between,
    exercise,
    expect,
    named,
    near,
    normal,
    number,
    several,
    steps,
    tensor,
    uniform,
    whole,
)

ASKED = (
    "process.x_0_from_v",
    "process.noise_from_v",
    "process.v_from_x_0",
    "process.interpolated_variance",
    "training.weighting.min_snr_weight",
)


# 11.1


@exercise(
    "11.1", "left_at_the_end", kind="understanding", minutes=15, points=3, lacks=ASKED
)
def left_at_the_end(answer, seed):
    shapes = ((3, 4, 4), (1, 5, 3), (2, 2, 3), (1, 1, 6))
    for k, shape in enumerate(shapes):
        _left(answer, _set(seed, k, shape, 0.5), seed, k, 0)
    yield 1, "a pixel"
    for k, shape in enumerate(shapes, 4):
        _left(answer, _set(seed, k, shape, 1.0), seed, k, 1)
    yield 1, "the mean of pictures that are all of one grey"
    for k, shape in enumerate(shapes, 8):
        for which in (0, 1):
            _left(
                answer, _set(seed, k, shape, between(0, 0.8, 1101, seed, k)), seed, k, which
            )
    yield 1, "and of any pictures"


def _set(seed, k, shape, common):
    r"""Pictures (N, C, H, W) whose pixels share a part of what they are."""
    N = whole(5, 9, 1102, seed, k)
    grey = normal((N, 1, 1, 1), 1103, seed, k).expand(N, *shape)
    own = normal((N, *shape), 1104, seed, k)
    size = 0.4 + 0.8 * uniform(shape, 1105, seed, k) if common < 1 else 0.7
    middle = 2 * uniform(shape, 1106, seed, k) - 1
    x = middle + size * (math.sqrt(common) * grey + math.sqrt(1 - common) * own)
    return (x + 100).float() if k % 4 == 1 else x  # float32 loses what matters


def _left(answer, pictures, seed, k, which):
    a = (0.3 * float(uniform((1,), 1107, seed, k))) ** 2 + 1e-3
    got = several(answer(a, pictures), 2, "the SNR of a pixel and that of the mean")
    got = number(got[which], ("the SNR of a pixel", "the SNR of the mean")[which])
    x, (N, C, H, W) = pictures.flatten(1).double(), pictures.shape
    d, snr = C * H * W, a / (1 - a)
    pixel = float(x.var(0, unbiased=False).mean())
    mean = float(x.mean(1).var(unbiased=False))
    right = snr * (pixel, d * mean)[which]
    suspects = [
        (right / snr * a, "how much noise is there at T?"),
        (right / snr * math.sqrt(a) / math.sqrt(1 - a), "is a ratio one of variances?"),
        (right / snr * math.sqrt(a) / (1 - a), "is the signal's variance its factor?"),
        (right / snr, "how large is the signal at T?"),
        (right / snr / snr, "which of the two is above?"),
        (right * N / (N - 1), "by what is the sum of squares divided here?"),
        (math.sqrt(right), "is it a ratio of variances, or of deviations?"),
        (right**2, "is it a ratio of variances, or of deviations?"),
    ]
    if which == 0:
        everything = float(x.var(unbiased=False))
        suspects += [
            (
                snr * everything,
                "does a pixel vary from picture to picture, or from place to place?",
            ),
            (snr * float(x.var(unbiased=True)), "what varies from picture to picture?"),
            (snr * float(x.square().mean()), "is it the variance, or the square?"),
            (snr * d * pixel, "is it one pixel, or their sum?"),
            (snr * float(x.var(1, unbiased=False).mean()), "which axis counts pictures?"),
            (snr * float(x.std(0, unbiased=False).mean()) ** 2, "the mean of what?"),
            (snr * float(x.std(0, unbiased=False).mean()), "is that a variance?"),
        ]
    else:
        of_colours = pictures.double().flatten(2).mean(2).var(0, unbiased=False).mean()
        suspects += [
            (snr * mean, "how much noise is left in a mean of that many pixels?"),
            (snr * mean / d, "is there more noise in a mean, or less?"),
            (snr * math.sqrt(d) * mean, "is it variances that become smaller so?"),
            (snr * d * pixel, "do pixels vary independently of each other?"),
            (snr * H * W * mean, "how many numbers does a picture's mean have?"),
            (snr * H * W * float(of_colours), "is it the mean over all colours?"),
            (
                snr * d * float(x.mean(1).square().mean()),
                "is it the variance, or the square?",
            ),
            (snr * d * float(x.mean(0).var(unbiased=False)), "which axis counts pictures?"),
            (snr * d * math.sqrt(mean), "is that a variance?"),
        ]
    suspects.append((got if near(got, right, 1e-3) else -1, "in which dtype do you add?"))
    question = asked_about(got, suspects, "how large are signal and noise in that number?")
    mine, wanted = apart(got, right)
    expect(
        near(got, right, rtol=1e-6, atol=0),
        f"alpha_bar_T = {a:.4g}, {N} pictures {C} x {H} x {W}: the SNR of "
        f"{('a pixel', 'the mean')[which]} is {wanted}, you say {mine}: {question}",
    )


# 11.2


@exercise("11.2", "rescaled", kind="derivation", minutes=15, points=3, lacks=ASKED)
def rescaled(answer, seed):
    cases = []
    for k in range(6):
        alpha_bar = drawn_schedule((0, 2)[k % 2], 1110, seed, k).alpha_bar
        if k != 2:  # one that ends early, with much signal
            alpha_bar = alpha_bar[: len(alpha_bar) * 2 // 3]
        left = 0.0 if k < 2 else (0.4 * float(uniform((1,), 1111, seed, k))) ** 2
        cases.append((alpha_bar, left))
    for case in cases:
        _has_its_ends(_table(answer, *case), *case)
    yield 1, "both ends"
    for case in cases:
        _is_stretched(_table(answer, *case), *case)
    yield 2, "and all between them"


def _table(answer, alpha_bar, left):
    return tensor(answer(alpha_bar, left), alpha_bar, "the new table")


def _has_its_ends(got, alpha_bar, left):
    T = len(alpha_bar) - 1
    root, low = alpha_bar.sqrt(), math.sqrt(left)
    given = [root[1], root[-1], low]
    shown = f"T = {T}, alpha_bar_1 = {float(alpha_bar[1]):.6f}, left = {left:.4g}"
    suspects = (
        (float(alpha_bar[-1]), "what was to become of the last entry?"),
        (left**2, "is `left` an entry of alpha_bar, or a square of one?"),
        (low, "is it alpha_bar that you give back, or its root?"),
        (0.0, "is the end always 0?"),
        (float((root[-1] - low) ** 2), "what is taken away, and what stays?"),
    )
    mine, right = apart(float(got[-1]), left)
    expect(
        near(got[-1], left, rtol=1e-9, atol=1e-15),
        f"{shown}: the last entry should be {right}, yours is {mine}: "
        f"{asked_about(float(got[-1]), suspects, 'where does the last root go?')}",
    )
    shifted = given[0] - given[1] + given[2]
    suspects = (
        (float(shifted**2), "a shift moves both ends: what brings the first one back?"),
        (float(root[1]), "is it alpha_bar that you give back, or its root?"),
        (1.0, "which entry is the first that has a step?"),
        (
            float((low + (root[1] - root[-1]) * (1 - low) / (1 - root[-1])) ** 2),
            "which entry stays, that of t = 1 or that of clean data?",
        ),
    )
    mine, right = apart(float(got[1]), float(alpha_bar[1]), digits=6)
    expect(
        near(got[1], alpha_bar[1], rtol=1e-12),
        f"{shown}: entry 1 should stay {right}, yours is {mine}: "
        f"{asked_about(float(got[1]), suspects, 'which two entries fix the line?')}",
    )
    expect(
        float(got[0]) == 1.0,
        f"{shown}: entry 0, clean data, should stay 1, yours is {float(got[0]):.6g}: to "
        "which entries is the line applied?",
    )


def _line_of(values, first, last):
    r"""Values moved along a straight line so that these become their ends."""
    place = (values - values[-1]) / (values[0] - values[-1])
    return last + (first - last) * place


def _is_stretched(got, alpha_bar, left):
    table, T = alpha_bar[1:], len(alpha_bar) - 1
    first, root = float(table[0]), table.sqrt()
    right = _line_of(root, math.sqrt(first), math.sqrt(left)) ** 2
    log = torch.linspace(0, 1, T, dtype=torch.float64)
    only = torch.cat([table[:-1], right[-1:]])
    suspects = (
        (_line_of(table, first, left), "what is stretched, alpha_bar or its root?"),
        (
            _line_of(table**2, first**2, left**2).clamp(min=0).sqrt(),
            "which power is stretched?",
        ),
        (only, "what becomes of the entries before the last?"),
        (right.flip(0), "in which order are the entries?"),
        (first + (left - first) * log, "is it a straight line in t?"),
        (
            _line_of((1 - table).sqrt(), math.sqrt(1 - first), math.sqrt(1 - left)) ** 2
            * -1
            + 1,
            "is it the root of the signal, or of the noise, that is stretched?",
        ),
    )
    question = asked_about(got[1:], suspects, "how far is each root from both ends?")
    off = (got[1:] - right).abs()
    t = int(off.argmax()) + 1
    mine, wanted = apart(float(got[t]), float(right[t - 1]))
    expect(
        float(off.max()) < 1e-9,
        f"T = {T}, left = {left:.4g}: entry {t} of the new table should be {wanted}, yours "
        f"is {mine}: {question}",
    )


# 11.3


@exercise("11.3", "convert", kind="code", minutes=20, points=4, lacks=ASKED)
def convert(answer, seed):
    drawn = [_zero_at_the_end(seed, k) for k in range(3)]
    for given in ("v", "x_0", "noise"):
        for k, alpha_bar in enumerate(drawn):
            T = len(alpha_bar) - 1
            last = [T - 1] if given == "noise" else [T, T - 1]
            t = torch.tensor([*last, 1, *steps(2, T - 2, 3, 1120, seed, k).tolist()])
            x_t = normal((len(t), 2), 1121, seed, k)
            _fits(answer, alpha_bar, x_t, t, given, seed, k)
        yield 1, {"v": "from v", "x_0": "from x_0", "noise": "from the noise"}[given]
    for k, (shape, dtype) in enumerate(SHAPES):
        alpha_bar = drawn[k % 3]
        T = len(alpha_bar) - 1
        t = torch.tensor([*steps(2, T - 2, 4, 1122, seed, k).tolist(), 1])[-shape[0] :]
        x_t = normal(shape, 1123, seed, k, dtype=dtype)
        for given in ("v", "x_0", "noise"):
            _fits(answer, alpha_bar, x_t, t, given, seed, k)
    yield 1, "for any batch, shape and dtype"


def _zero_at_the_end(seed, k):
    r"""A schedule whose alpha_bar ends at 0 and begins close to 1."""
    T = whole(20, 90, 1124, seed, k)
    first = (whole(200, 800, 1125, seed, k) + 0.45) / 2**24  # far from all of float32
    rise = uniform((T - 1,), 1126, seed, k).cumsum(0) / T
    log = math.log1p(-first) - 9 * torch.cat([torch.zeros(1).double(), rise[:-1]])
    return torch.cat([torch.ones(1).double(), log.exp(), torch.zeros(1).double()])


def _fits(answer, alpha_bar, x_t, t, given, seed, k):
    r"""Three equations that the three must fulfil, and that fix them."""
    value = normal(x_t.shape, 1127, seed, k, "v x_0 noise".index(given), dtype=x_t.dtype)
    got = named(answer(alpha_bar, x_t, t, value, given), "noise", "x_0", "v")
    noise, x_0, v = (
        tensor(got[key], x_t, f'"{key}" from {given}').double()
        for key in ("noise", "x_0", "v")
    )
    wide = (-1, *[1] * (x_t.dim() - 1))
    a, s = (z[t].sqrt().reshape(wide) for z in (alpha_bar, 1 - alpha_bar))
    x, said = x_t.double(), value.double()
    exact = 1e-9 if x_t.dtype == torch.float64 else 2e-5
    words = f"from {given}, x_t of shape {tuple(x_t.shape)} in {x_t.dtype}"

    def worst(off, size):
        r"""The largest error of an example as a share of its largest number, and its t."""
        shares = off.abs().reshape(len(t), -1).amax(1) / (
            1 + size.abs().reshape(len(t), -1).amax(1)
        )
        return float(shares.max()), int(t[shares.argmax()])

    own = {"noise": noise, "x_0": x_0, "v": v}[given]
    share, where = worst(own - said, said)
    suspects = ((-said, "has it changed its sign?"), (x, "is that x_t?"))
    expect(
        share < exact,
        f'{words}: "{given}" should be what the network said, yours is off by up to '
        f"{share:.3g} at t = {where}: "
        f"{asked_about(own, suspects, 'do your formulas lead back to it?')}",
    )
    share, where = worst(a * x_0 + s * noise - x, (a * x_0).abs() + (s * noise).abs())
    suspects = (
        (a**2 * x_0 + s**2 * noise, "are signal and noise multiplied by a root?"),
        (s * x_0 + a * noise, "which root belongs to which?"),
        (a * x_0 - s * noise, "is the noise added or taken away?"),
        (a * noise - s * x_0, "is that x_t, or v?"),
    )
    question = [words for z, words in suspects if near(z, x, 1e-5, 1e-6)]
    if x_t.dtype != torch.float64 and share < 0.1:
        question += ["1 - alpha_bar is small at first: in which dtype is it taken?"]
    question += ["which signal and which noise make x_t?"]
    expect(
        share < exact,
        f"{words}: your x_0 and noise do not make the given x_t, they miss it by up to "
        f"{share:.3g} at t = {where} of {len(alpha_bar) - 1}: {question[0]}",
    )
    share, where = worst(a * noise - s * x_0 - v, (a * noise).abs() + (s * x_0).abs())
    suspects = (
        (s * x_0 - a * noise, "which sign has v?"),
        (a * x_0 - s * noise, "which root belongs to which?"),
        (s * noise - a * x_0, "which root belongs to which?"),
        (a * noise + s * x_0, "are the two added in v?"),
        (noise - x_0, "is it v, or the velocity of flow matching?"),
        (a**2 * noise - s**2 * x_0, "are they multiplied by a root?"),
    )
    question = [words for z, words in suspects if near(z, v, 1e-5, 1e-6)]
    question += ["what is v made of?"]
    expect(
        share < exact,
        f"{words}: your v is not that of your noise and x_0, it is off by up to "
        f"{share:.3g} at t = {where} of {len(alpha_bar) - 1}: {question[0]}",
    )


# 11.4


@exercise("11.4", "weight", kind="derivation", minutes=25, points=4, lacks=ASKED)
def weight(answer, seed):
    drawn = [_zero_at_the_end(seed, 10 + k) for k in range(3)]
    _weighs(answer, drawn, seed, lambda a: (torch.ones_like(a), 0 * a), "x_0")
    yield 1, "of x_0"
    _weighs(answer, drawn, seed, lambda a: (0 * a, torch.ones_like(a)), "the noise")
    _weighs(answer, drawn, seed, lambda a: (-(1 - a).sqrt(), a.sqrt()), "v")
    yield 1, "of the noise and of v"
    _weighs(answer, drawn, seed, lambda a: (-torch.ones_like(a), torch.ones_like(a)), "u")
    _weighs(answer, drawn, seed, lambda a: _any(a, seed, 0), "a sum")
    _weighs(answer, drawn, seed, lambda a: _any(a, seed, 1), "a sum")
    yield 1, "of any sum"
    last = [alpha_bar[[0, 1, -2, -1]] for alpha_bar in drawn]
    _weighs(answer, last, seed, lambda a: (-(1 - a).sqrt(), a.sqrt()), "v", zero=True)
    _weighs(answer, last, seed, lambda a: _any(a, seed, 2), "a sum", zero=True)
    yield 1, "and with zero SNR"


def _any(a, seed, k):
    size = 0.3 + 1.5 * uniform((2, *a.shape), 1130, seed, k)
    sign = torch.tensor([1.0, (-1.0) ** k]).double()[:, None]
    return tuple(size * sign)


def _weighs(answer, tables, seed, of, words, zero=False):
    r"""The weight at several t; a mistake must explain all of them."""
    for k, alpha_bar in enumerate(tables):
        T = len(alpha_bar) - 1
        t = steps(1, T - 1, 6, 1131, seed, k)
        t = torch.cat([t, torch.tensor([T, 1] if zero else [1, T - 1])])
        a = alpha_bar[t]
        c, s = of(a)
        gamma = between(*((1.5, 8) if k else (0.3, 0.9)), 1132, seed, k)
        if zero:
            gamma = min(gamma, 5.0)
        got = tensor(answer(alpha_bar, t, c, s, gamma), a, "the weight")
        snr = a / (1 - a)
        error = c - s * snr.sqrt()  # of y, where that of x_0 is 1
        least, most = snr.clamp(max=gamma), snr.clamp(min=gamma)
        right = least / error**2
        suspects = (
            (most / error**2, "is it the smaller of the two, or the larger?"),
            (snr / error**2, "what is gamma for?"),
            (snr.clamp(max=max(gamma, 1.0)) / error**2, "may gamma be below 1?"),
            (least / error.abs(), "is it a squared error?"),
            (least * error**2, "is the error of y larger, or its weight?"),
            (1 / error**2, "and how much is the error of x_0 to count?"),
            (least, "is it the error of x_0 that the network's loss measures?"),
            (
                least / (c + s * snr.sqrt()) ** 2,
                "if x_t is known and the guess of x_0 is too large, is that of the noise "
                "too large, too?",
            ),
            (
                least / (c**2 + s**2 * snr),
                "are the errors of x_0 and of the noise independent of each other?",
            ),
            (least / snr, "is that the weight of the noise alone?"),
            (
                (snr + 1).clamp(max=gamma) / (snr + 1),
                "min(SNR, gamma) is for x_0: what is min(SNR + 1, gamma) for?",
            ),
            (
                (snr + 1).clamp(max=gamma) / error**2,
                "min(SNR, gamma) is for x_0: what is min(SNR + 1, gamma) for?",
            ),
            (least / snr + 1, "is something added to a weight, or is it divided?"),
            (least / (snr + 1), "is that the weight of v alone?"),
            (
                least / (c - s * snr) ** 2,
                "how large is the error of the noise, where that of x_0 is 1?",
            ),
            (
                least / (c - s / snr.sqrt()) ** 2,
                "how large is the error of the noise, where that of x_0 is 1?",
            ),
            (
                least / (c - s * a.sqrt()) ** 2,
                "how large is the error of the noise, where that of x_0 is 1?",
            ),
            (
                snr.sqrt().clamp(max=gamma) / error**2,
                "is SNR a ratio of variances, or of deviations?",
            ),
            (a.clamp(max=gamma) / error**2, "is that the SNR, or alpha_bar?"),
            (right / right.mean(), "is a weight to be made 1 on average?"),
        )
        question = asked_about(
            got, suspects, "which error of y belongs to an error 1 of x_0?"
        )
        off = (got - right).abs() / (right + 1e-300)
        worst = int(off.argmax())
        mine, wanted = apart(float(got[worst]), float(right[worst]))
        expect(
            near(got, right, rtol=1e-6, atol=1e-15),
            f"a network that predicts {words}, c = {float(c[worst]):.4g}, s = "
            f"{float(s[worst]):.4g}, SNR = {float(snr[worst]):.4g}, gamma = {gamma:.4g}: "
            f"the weight is {wanted}, you say {mine}: {question}",
        )


# 11.5


@exercise("11.5", "same_objective", kind="project", minutes=50, points=5, lacks=ASKED)
def same_objective(answer, seed):
    linear, cosine = _long(0, seed, 0), _long(1, seed, 1)
    cases = [(linear, _flat(linear), cosine), (cosine, _flat(cosine), linear)]
    sigmoid = _long(2, seed, 2)
    cases.append((sigmoid, _flat(sigmoid), linear))
    _agree(answer, cases)
    yield 2, "with w = 1"
    weighed = []
    for k in range(4):
        one, other = _long(k % 3, seed, 3 + k), _long((k + 1) % 3, seed, 7 + k)
        snr = one / (1 - one).clamp(min=1e-12)
        w = snr.clamp(max=5) / snr if k % 2 else between(0.2, 3, 1141, seed, k) * one.sqrt()
        w[0] = 0
        weighed.append((one, w, other))
    _agree(answer, weighed)
    yield 2, "with any weights"
    for one, w, other in weighed:
        cut = one[: len(one) * 3 // 4], w[: len(one) * 3 // 4]
        _is_0_outside(answer, *cut, other)
    yield 1, "and none outside of the range"


def _long(kind, *seed):
    r"""alpha_bar of 700 to 1,600 steps."""
    T = whole(700, 1600, 1142, *seed)
    if kind == 0:
        return Schedule.linear(T, 1e-4, between(15, 22, 1143, *seed) / T).alpha_bar
    if kind == 1:
        return Schedule.cosine(T, between(0.005, 0.015, 1143, *seed)).alpha_bar
    return Schedule.sigmoid(T, 1e-4, between(14, 20, 1143, *seed) / T).alpha_bar


def _flat(alpha_bar):
    w = torch.ones_like(alpha_bar)
    w[0] = 0
    return w


def _log_snr(alpha_bar):
    return (alpha_bar[1:] / (1 - alpha_bar[1:])).log()


CENTRES = torch.linspace(-5, 4, 13, dtype=torch.float64)
WIDTH = 0.5


def _bumps(alpha_bar, w):
    r"""The objective of a bump at each of CENTRES."""
    bump = (-(((_log_snr(alpha_bar) - CENTRES[:, None]) / WIDTH) ** 2) / 2).exp()
    return (bump * w[1:]).mean(1)


def _new_weights(answer, one, w, other):
    got = tensor(answer(one, w, other), other, "the weights")
    expect(float(got[0]) == 0, f"entry 0 should be 0, yours is {float(got[0]):.4g}")
    return got


def _at(x, knots, values):
    r"""Values at falling knots, linearly between them, 0 outside."""
    knots, values = knots.flip(0), values.flip(0)
    i = torch.searchsorted(knots, x).clamp(1, len(knots) - 1)
    share = (x - knots[i - 1]) / (knots[i] - knots[i - 1])
    found = values[i - 1] + share * (values[i] - values[i - 1])
    return found * ((x >= knots[0]) & (x <= knots[-1]))


def _mistakes(one, w, other):
    r"""What usual mistakes would hand in."""
    theirs, mine = _log_snr(one), _log_snr(other)
    T, N = len(theirs), len(mine)
    step, own = (-torch.gradient(z)[0] for z in (theirs, mine))
    plain, slope = _at(mine, theirs, w[1:]), _at(mine, theirs, step)
    same_t = w[1:][((torch.arange(N) + 0.5) * T / N).long().clamp(max=T - 1)]
    ratio = own / slope.clamp(min=1e-9) * N / T * (slope > 0)
    return (
        (plain, "both draw t evenly; how often does a lambda come in each?"),
        (same_t, "is it the same t or the same lambda that belongs together?"),
        (
            plain / ratio.clamp(min=1e-9),
            "where t passes quickly through lambda, how often is it drawn?",
        ),
        (plain * ratio * T / N, "over how many steps is each objective a mean?"),
        (plain * ratio * (T / N) ** 2, "over how many steps is each objective a mean?"),
        (plain * own * N, "and how often did they draw a lambda?"),
        (plain / slope.clamp(min=1e-9) / T, "and how often do you draw a lambda?"),
        (-plain * ratio, "can a weight be below 0?"),
        (ratio, "what became of w?"),
    )


def _agree(answer, cases):
    told = [_new_weights(answer, *case) for case in cases]
    sides = []
    for (one, w, other), got in zip(cases, told, strict=True):
        sides.append((_bumps(other, got), _bumps(one, w)))
    off = [float((mine / right - 1).abs().max()) for mine, right in sides]
    if max(off) < 0.01:
        return
    known = [_mistakes(*case) for case in cases]
    question = "which weight has a small piece of lambda in each objective?"
    for row in zip(*known, strict=True):
        guesses = [torch.cat([torch.zeros(1).double(), guess]) for guess, _ in row]
        made = [_bumps(c[2], guess) for c, guess in zip(cases, guesses, strict=True)]
        if all(
            float((m / s[0] - 1).abs().max()) < 0.01
            for m, s in zip(made, sides, strict=True)
        ):
            question = row[0][1]
            break
    i = off.index(max(off))
    mine, right = sides[i]
    where = int((mine / right - 1).abs().argmax())
    expect(
        False,
        f"T = {len(cases[i][0]) - 1} and T' = {len(cases[i][2]) - 1}: a loss that is a "
        f"bump at lambda = {float(CENTRES[where]):.3g} counts {float(right[where]):.4g} in "
        f"their objective and {float(mine[where]):.4g} in yours: {question}",
    )


def _is_0_outside(answer, one, w, other):
    got, mine = _new_weights(answer, one, w, other), _log_snr(other)
    theirs = _log_snr(one)
    step = float((theirs[-2] - theirs[-1]).abs())
    outside = (mine < theirs[-1] - step) | (mine > theirs[0] + 1)
    most = float(got[1:][outside].abs().max()) if outside.any() else 0.0
    expect(
        most == 0,
        f"their lambda goes from {float(theirs[-1]):.3g} to {float(theirs[0]):.3g}, and "
        f"you give weights up to {most:.3g} beyond: did they ever see a loss there?",
    )
    some = CENTRES > float(theirs[-1]) + 5 * WIDTH
    mine, right = _bumps(other, got)[some], _bumps(one, w)[some]
    off = float((mine / right - 1).abs().max())
    expect(
        off < 0.01,
        f"their schedule ends at lambda = {float(theirs[-1]):.3g}, and inside of its range "
        f"the objectives differ by up to {100 * off:.3g} %: over how many steps is theirs "
        "a mean?",
    )
