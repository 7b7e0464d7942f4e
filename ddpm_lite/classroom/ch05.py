r"""Checks of chapter 05, a first model.

What a network learns is compared with the best that any network could, which is known on
data of known law; the trap doors of the lecture's experiment are measured with samples.
"""

import math

import torch

from ..oracle import MixtureOracle
from ..process import q_sample
from ..schedule import Schedule
from .exercise import (
    apart,
    between,
    exercise,
    expect,
    near,
    normal,
    number,
    question,
    several,
    tensor,
    uniform,
    whole,
)

ASKED = (
    "schedule.Schedule.prior_gap",
    "training.trainer.Trainer",
    "models.mlp.MLP",
    "oracle.Oracle",
)


def _chains(seed):
    r"""Steps beta of three chains: the lecture's kind, the paper's, and random ones."""
    T = [whole(60, 140, 50, seed, k) for k in range(3)]
    few = Schedule.sigmoid(T[0], 1e-5, between(0.003, 0.01, 50, seed, 3)).beta[1:]
    many = Schedule.linear(6 * T[1], 1e-4, between(0.01, 0.03, 50, seed, 4)).beta[1:]
    return few, many, 1e-4 + 0.05 * uniform((T[2],), 51, seed)


@exercise("05.1", "left_over", kind="understanding", minutes=15, points=3, lacks=ASKED)
def left_over(answer, seed):
    chains = [(beta, float((1 - beta).log().sum())) for beta in _chains(seed)]
    made = [several(answer(beta), 2, "the factor and the nats") for beta, _ in chains]
    for (beta, log), (factor, _) in zip(chains, made, strict=True):
        factor, x = number(factor, "the factor on x_0"), math.exp(log / 2)
        came, should = apart(factor, x)
        roots = float((1 - beta).prod().sqrt() / (1 - beta[0]).sqrt())
        ask = question(
            factor,
            (
                (x**2, "is that the factor on x_0, or its square?"),
                (math.sqrt(1 - x**2), "which part of x_T is the noise, which is x_0?"),
                (1 - x**2, "which part of x_T is the noise, which is x_0?"),
                (math.sqrt(max(0, 1 - float(beta.sum()))), "do steps add up, or multiply?"),
                (1 - float(beta.sum()), "do steps add up, or multiply?"),
                (float((1 - beta.sqrt()).prod()), "what does one step leave of x?"),
                (float((1 - beta / 2).prod()), "does a step keep the variance of x?"),
                (float(beta.prod()), "what does one step leave of x?"),
                (float(beta.prod().sqrt()), "what does one step leave of x?"),
                (roots, "is the first step one of the walk?"),
                (x / float((1 - beta[-1]).sqrt()), "is the last step one of the walk?"),
            ),
            "what does one step do to x, when no noise is drawn?",
        )
        expect(
            near(factor, x, rtol=1e-7),
            f"x_0 = 1 walked through {len(beta)} steps without noise ends at {should}, by "
            f"your factor at {came}: {ask}",
        )
    yield 1, "the factor on x_0 is right"
    for (beta, log), (_, nats) in zip(chains, made, strict=True):
        _nats_left(beta, log, number(nats, "the nats"))
    yield 2, "and so is the divergence"


def _nats_left(beta, log, nats):
    r"""KL of N(x, 1 - x^2) from N(0, 1), by a sum."""
    x, variance = math.exp(log / 2), -math.expm1(log)
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    p = (-((z - x) ** 2) / (2 * variance)).exp() / math.sqrt(2 * math.pi * variance)
    log_ratio = -((z - x) ** 2) / (2 * variance) - 0.5 * math.log(variance) + z**2 / 2
    kl = float(torch.trapezoid(p * log_ratio, z))
    way = "which of the two Gaussians draws the x over which KL averages?"
    ask = question(
        nats,
        (
            (2 * kl, "where is the half of a Gaussian's exponent?"),
            (kl / math.log(2), "is it nats?"),
            (-kl, "can a divergence be negative?"),
            (x**2 / 2, "that is what the mean costs, and the variance?"),
            (kl - x**2 / 2, "that is what the variance costs, and the mean?"),
            (0.5 * ((1 + x**2) / variance - 1 + math.log(variance)), way),
            (kl - x**2 / 2 + x / 2, "is the mean squared?"),
            (kl + variance / 2 + x / 2, "is the divergence of N(0, 1) from itself 0?"),
            (kl + 0.5, "is the divergence of N(0, 1) from itself 0?"),
            (
                0.5 * (x**2 + math.sqrt(variance) - 1 - math.log(variance) / 2),
                "variance or deviation?",
            ),
            (
                0.5 * (x**2 + variance - 1) - math.log(variance),
                "is it the logarithm of a deviation, or of a variance?",
            ),
        ),
        "what does the mean cost, what the variance, and in nats?",
    )
    came, should = apart(nats, kl)
    expect(
        near(nats, kl, rtol=1e-5, atol=1e-9),
        f"a chain of {len(beta)} steps, x_0 = 1: by an integral its end is {should} nats "
        f"from N(0, 1), you say {came}: {ask}",
    )


@exercise("05.2", "last_noise", kind="derivation", minutes=15, points=3, lacks=ASKED)
def last_noise(answer, seed):
    drawn = [
        (between(0.05, 0.15, 520, seed, k), between(low, high, 521, seed, k))
        for k, (low, high) in enumerate(((2, 6), (8, 15), (20, 60)))
    ]
    for k, (width, percent) in enumerate(drawn):
        times = between(1.5, 4, 522, seed, k)
        thin = number(answer(width, percent), "the variance")
        thick = number(answer(times * width, percent), "the variance")
        expect(thin > 0, f"a variance is positive, yours is {thin:.3g}: what is added?")
        came, should = apart(thick / thin, times**2)
        ask = question(
            thick / thin,
            (
                (times, "is what you return a variance, or a deviation?"),
                (1, "a thick curve and a thin one, does the same noise do for both?"),
                (1 / times**2, "does a thick curve need more noise, or less?"),
            ),
            "how does a variance grow, when a picture is drawn to a larger scale?",
        )
        expect(
            near(thick / thin, times**2, 1e-6),
            f"draw the curve and the noise {times:.3f} times as large: the per cent stay, "
            f"and the variance of the noise is {should} times as large, with yours {came} "
            f"times: {ask}",
        )
    yield 1, "the variance grows with the width as it should"
    for k, (width, percent) in enumerate(drawn):
        _thickness(answer, width, percent, normal((2, 100_000), 52, seed, k))
    yield 2, "and the curve gets thicker by the per cent asked for"


def _thickness(answer, width, percent, z):
    variance, part = number(answer(width, percent), "the variance"), percent / 100
    lie = float((width * z[0] + math.sqrt(variance) * z[1]).std())
    grown = 100 * (math.sqrt(width**2 + variance) / width - 1)
    of_percent = "is a per cent a hundredth?"
    ask = question(
        variance / width**2,
        (
            (
                part**2,
                "which of these add up when noise is added, deviations or variances?",
            ),
            (part, "by how much has the thickness grown, when the variance grows so?"),
            (2 * part, "what of the square of the small number?"),
            ((1 + part) ** 2, "is that the noise alone, or all that it is then?"),
            ((1 + percent) ** 2 - 1, of_percent),
            (percent**2, of_percent),
            (percent, of_percent),
            (1 - (1 - part) ** 2, "is the curve to get thicker, or thinner?"),
            ((1 + part) ** 2 + 1, "how much of the thickness was there before the noise?"),
        ),
        "which variance had the curve, which has it then, and whence the difference?",
    )
    came, should = apart(grown, percent)
    expect(
        near(grown, percent, rtol=1e-6),
        f"points that lie {width:.4f} around a curve (deviation) and get noise of your "
        f"variance {variance:.4g} lie {lie:.4f} around it: thicker by {came} %, {should} % "
        f"were asked for: {ask}",
    )


def _line_of(answer, x_0, noise, alpha_bar, t):
    got = several(answer(x_0, noise, alpha_bar, t), 2, "slope and offset")
    return tuple(number(x, "slope or offset") for x in got)


def _gaussians(seed):
    r"""Examples of three laws with their noise, a schedule, and t in its middle."""
    for k in range(3):
        n, T = whole(15_000, 20_000, 53, seed, k), whole(60, 140, 54, seed, k)
        m, v = between(1, 3, 55, seed, k), between(0.2, 1.5, 56, seed, k)
        x_0 = normal((n,), 57, seed, k)
        if k == 2:  # two peaks, no Gaussian, with the same mean and variance
            x_0 = 0.9 * x_0.sign() + math.sqrt(0.19) * normal((n,), 58, seed, k)
        noise = normal((n,), 59, seed, k)
        t = whole(int(0.25 * T), int(0.75 * T), 60, seed, k)
        yield m, v, m + math.sqrt(v) * x_0, noise, Schedule.cosine(T), t


@exercise("05.3", "best_line", kind="code", minutes=25, points=4, lacks=ASKED)
def best_line(answer, seed):
    tried = []
    for m, v, x_0, noise, schedule, t in _gaussians(seed):
        line = _line_of(answer, x_0, noise, schedule.alpha_bar, t)
        about = f"x_0 with mean {m:.3f} and variance {v:.3f}, t = {t} of {schedule.T}"
        tried.append((x_0, noise, schedule, t, line, about))
        _guesses_the_noise(*tried[-1])
    yield 2, "the line guesses the noise about as well as a line can"
    for given in tried:
        _no_better_line(*given)
    yield 2, "and no other line is better on these examples"


def _no_better_line(x_0, noise, schedule, t, line, about):
    r"""The errors have the mean 0 and no slope that is left in them."""
    x_t = q_sample(schedule, x_0, torch.full((len(x_0),), t), noise)
    a, (slope, offset) = float(schedule.alpha_bar[t]), line
    wrong, n = slope * x_t + offset - noise, f"{len(x_t):,}"
    mean, turned = float(wrong.mean()), float((wrong * (x_t - x_t.mean())).mean())
    laws = [math.sqrt(1 - a) / (a * float(x_0.var(correction=k)) + 1 - a) for k in range(2)]
    law = any(near(slope, one, 1e-7) for one in laws)
    ask = "is it the line of these examples, or of the law that they come from?"
    expect(
        abs(mean) < 1e-5,
        f"{about}: of the best line over these {n} examples the errors have the mean 0, of "
        f"yours {mean:.3g}: "
        f"{ask if law else 'does every example count, in the slope and in the offset?'}",
    )
    best = slope - turned / float(x_t.var(correction=0))
    mine, other = apart(slope, (slope + best) / 2)
    expect(
        abs(turned) < 1e-5,
        f"{about}: turn your line a little, from the slope {mine} to {other}, and its "
        f"error over these {n} examples gets smaller: "
        f"{ask if law else 'does every example count, and once?'}",
    )


def _guesses_the_noise(x_0, noise, schedule, t, line, about):
    r"""The line's error lies within 0.02 of the best line's, or else what it may be."""
    x_t = q_sample(schedule, x_0, torch.full((len(x_0),), t), noise)
    a = float(schedule.alpha_bar[t])
    best = _fit(x_t, noise)
    error, floor = (
        float((slope * x_t + offset - noise).square().mean())
        for slope, offset in (line, best)
    )
    both = a * x_0 + (1 - a) * noise
    before, after = (
        schedule.alpha_bar[s].sqrt() * x_0 + (1 - schedule.alpha_bar[s]).sqrt() * noise
        for s in (t - 1, t + 1)
    )
    other = "is the noise what you predict, or what you predict it from?"
    asks = (
        (_fit(noise, x_t), other),
        (_fit(x_t, x_0), "is it x_0 that the line guesses, or the noise?"),
        (_fit(x_0, noise), "what does the network see, x_0 or x_t?"),
        (_fit(both, noise), "do x_0 and noise enter x_t by variances, or by deviations?"),
        (_fit(before, noise), "which entry of alpha_bar belongs to t?"),
        (_fit(after, noise), "which entry of alpha_bar belongs to t?"),
        ((float((x_t @ noise) / (x_t @ x_t)), 0.0), "may your line miss the origin?"),
        ((best[0], 0.0), "may your line miss the origin?"),
        (best[::-1], "which of the two numbers comes first?"),
    )
    near_to = [words for wrong, words in asks if near(line, wrong, 1e-6)]
    came, should = apart(error, floor)
    expect(
        error < floor + 0.02 and not near_to,
        f"{about}: as a guess of the noise your line has a mean square error of {came}, "
        f"the best one {should}: "
        f"{(near_to or ['does it go from x_t to the noise, at this t?'])[0]}",
    )


def _fit(x, y):
    r"""Slope and offset of the line from x to y with the least squared error."""
    slope = float(((x - x.mean()) * (y - y.mean())).mean() / x.var(correction=0))
    return slope, float(y.mean() - slope * x.mean())


def _two_peaks(seed, n):
    x = torch.where(uniform((n,), 56, seed) < 0.5, -1.0, 1.0).double()
    return (x + 0.1 * normal((n,), 57, seed))[:, None].float()


@exercise("05.4", "learn", kind="project", minutes=60, points=6, lacks=ASKED, seconds=60.0)
def learn(answer, seed):
    schedule, n = Schedule.cosine(50), 4000
    alpha_bar = schedule.alpha_bar.float()
    x_0 = _two_peaks(seed, n)
    t = torch.arange(1, 51).repeat(n // 50)
    x_new, noise = _two_peaks(seed + 100, n), normal((n, 1), 58, seed, dtype=torch.float32)
    x_t = q_sample(schedule, x_new, t, noise)
    got = tensor(answer(x_0, alpha_bar, x_t, t, seed), noise, "the predicted noise")
    error = (got - noise).square().mean(1)
    exact = MixtureOracle(schedule, torch.tensor([[-1.0], [1.0]]).double(), 0.01)
    best = exact(x_t.double(), t)
    floor = float((best - noise).square().mean())
    zero, mine = float(noise.square().mean()), float(error.mean())
    expect(
        mine < 0.75 * zero,
        f"on new data your network's squared error is {mine:.3f}, that of 0 as a guess is "
        f"{zero:.3f}, and the best that can be had {floor:.3f}: is it the noise that it "
        "learns to predict, from the x_t that belong to it?",
    )
    over = (got.double() - best).square().mean(1)
    bands = (t <= 15, (t > 15) & (t < 35), t >= 35)
    early, middle, late = (float(over[band].mean()) for band in bands)
    expect(
        middle < max(0.05, early),
        f"for t from 16 to 34, where signal and noise are of like size, your network is "
        f"{middle:.3f} away from the best guess (mean square), for t up to 15 {early:.3f}: "
        "has the x_t that it is trained on the share of x_0 and of noise that x_t has?",
    )
    expect(
        early < 0.12,
        f"for t up to 15 your network is {early:.3f} away from the best guess (mean "
        "square), too far: does it know t, has it been trained at all t, and long enough?",
    )
    expect(
        max(middle, late) < 0.05,
        f"for t from 16 to 34 your network is {middle:.3f} away from the best guess (mean "
        f"square), from 35 on, where x_t is nearly noise, {late:.3f}: does it see x_t "
        "itself, at its full size?",
    )
    again = answer(x_0, alpha_bar, x_t[:100], t[:100], seed)
    expect(
        near(again, got[:100], rtol=1e-4, atol=1e-4),
        "with the same seed another network came out: is everything that is drawn, the "
        "initial weights too, made from the seed?",
    )
