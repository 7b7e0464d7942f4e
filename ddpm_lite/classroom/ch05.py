r"""Checks of chapter 05, a first model.

What a network learns is compared with the best that any network could, which is known on
data of known law; the trap doors of the lecture's experiment are measured with samples.
"""

import math

import torch

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
    reason,
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
    T = [2 * whole(30, 70, 50, seed, k) + k % 2 for k in range(3)]
    few = Schedule.sigmoid(T[0], 1e-5, between(0.003, 0.01, 50, seed, 3)).beta[1:]
    many = Schedule.linear(5 * T[1], 1e-4, between(0.01, 0.03, 50, seed, 4)).beta[1:]
    return few, many, 1e-4 + 0.05 * uniform((T[2],), 51, seed)


@exercise("05.1", "left_over", kind="understanding", minutes=15, points=3, lacks=ASKED)
def left_over(answer, seed):
    chains = [(beta, float((1 - beta).log().sum())) for beta in _chains(seed)]
    made = [several(answer(beta), 2, "the factor and the nats") for beta, _ in chains]
    for (beta, log), (factor, _) in zip(chains, made, strict=True):
        factor, x = number(factor, "the factor on x_0"), math.exp(log / 2)
        came, should = apart(factor, x)
        roots = float((1 - beta).prod().sqrt() / (1 - beta[0]).sqrt())
        ask = reason(
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
    ask = reason(
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
        ask = reason(
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
    ask = reason(
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
        f"over these {n} examples the errors of the best line have the mean 0, of yours "
        f"{mean:.3g} ({about}): "
        f"{ask if law else 'does every example count, in the slope and in the offset?'}",
    )
    best = slope - turned / float(x_t.var(correction=0))
    mine, other = apart(slope, (slope + best) / 2)
    expect(
        abs(turned) < 1e-5,
        f"turn your line a little, from the slope {mine} to {other}, and its error over "
        f"these {n} examples gets smaller ({about}): "
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
        f"as a guess of the noise your line has a mean square error of {came}, the best "
        f"one {should} ({about}): "
        f"{(near_to or ['does it go from x_t to the noise, at this t?'])[0]}",
    )


def _fit(x, y):
    r"""Slope and offset of the line from x to y with the least squared error."""
    slope = float(((x - x.mean()) * (y - y.mean())).mean() / x.var(correction=0))
    return slope, float(y.mean() - slope * x.mean())


class _Peaks:
    r"""A law on the line with two peaks, of given places, deviations and shares."""

    def __init__(self, places, deviations, shares):
        self.places, self.deviations, self.shares = (
            torch.as_tensor(v, dtype=torch.float64) for v in (places, deviations, shares)
        )

    def draw(self, n, seed, k=0):
        r"""n points (n, 1), float32."""
        which = (uniform((n,), 56, seed, k) > self.shares[0]).long()
        x = self.places[which] + self.deviations[which] * normal((n,), 57, seed, k)
        return x[:, None].float()

    def best_guess(self, x, kept, added):
        r"""The best guess of the noise in x = kept x_0 + added noise; all (B, 1)."""
        spread = kept**2 * self.deviations**2 + added**2
        apart_by = x - kept * self.places
        log = self.shares.log() - spread.log() / 2 - apart_by**2 / (2 * spread)
        return (log.softmax(1) * added * apart_by / spread).sum(1, keepdim=True)


PLAIN = _Peaks([-1, 1], [0.1, 0.1], [0.5, 0.5])  # the law that one would guess


def _drawn_peaks(seed):
    r"""Neither peak is near -1 or 1: no law that is known beforehand will do."""
    u = uniform((7,), 560, seed)
    far = 0.55 + 0.3 * u[:2] + 0.5 * (u[2:4] < 0.5)  # 0.55 to 0.85, or 1.05 to 1.35
    share = 0.35 + 0.3 * float(u[4])
    return _Peaks([-far[0], far[1]], 0.08 + 0.06 * u[5:], [share, 1 - share])


SHARE = "has the x_t that it is trained on the share of x_0 and of noise that x_t has?"


class _Trial:
    r"""New points of a chain and the noise in them; those at the end differ in t alone."""

    def __init__(self, schedule, law, seed, k):
        self.law = law
        T, n = schedule.T, 200 * schedule.T if schedule.T < 10 else 80 * schedule.T
        self.schedule, self.alpha_bar = schedule, schedule.alpha_bar.float()
        self.t = torch.arange(1, T + 1).repeat(n // T)[uniform((n,), 61, seed, k).argsort()]
        self.noise = normal((n, 1), 58, seed, k, dtype=torch.float32)
        x_t = q_sample(schedule, law.draw(n, seed, 1 + k), self.t, self.noise)
        alike = torch.linspace(-1.5, 1.5, 31)[:, None]
        self.x_t = torch.cat([x_t, alike.repeat(T, 1)])
        self.ts = torch.cat([self.t, torch.arange(1, T + 1).repeat_interleave(31)])

    def of(self, answer, x_0, seed):
        r"""What an answer predicts in the new points, and in those that differ in t."""
        like = torch.zeros(len(self.x_t), 1)
        got = answer(x_0, self.alpha_bar, self.x_t, self.ts, seed)
        got = tensor(got, like, "the predicted noise")
        n = len(self.t)
        return got[:n].double(), got[n:].reshape(self.schedule.T, 31)

    def best(self, shift=0):
        r"""The best guess with the entries of alpha_bar for t + shift."""
        a = self.schedule.alpha_bar[(self.t + shift).clamp(0, self.schedule.T)][:, None]
        x = self.x_t[: len(self.t)].double()
        return self.law.best_guess(x, a.sqrt(), (1 - a).sqrt())

    def mistakes(self):
        r"""What networks predict that have learnt something else very well."""
        a = self.schedule.alpha_bar[self.t][:, None]
        x, best = self.x_t[: len(self.t)].double(), self.best()
        x_0 = (x - (1 - a).sqrt() * best) / a.sqrt()
        else_ = "is it the noise that it learns to predict?"
        entry = "which entry of alpha_bar makes the x_t that it is trained on?"
        yield 0 * x, "has it learnt anything, from noise that belongs to its x_t?"
        yield x_0, else_
        yield a.sqrt() * best - (1 - a).sqrt() * x_0, else_
        yield -best / (1 - a).sqrt(), else_
        yield (self.law.best_guess(x, a, 1 - a), SHARE)
        yield (
            self.law.best_guess(x, (1 - a).sqrt(), a.sqrt()),
            "which of x_0 and noise goes with which root?",
        )
        yield self.best(-1), entry
        yield self.best(1), entry
        yield (
            PLAIN.best_guess(x, a.sqrt(), (1 - a).sqrt()),
            "that is the best guess for peaks at -1 and 1; where are those of x_0?",
        )

    def reason(self, got, alike):
        r"""The question for the mistake that the network's guesses are nearest to."""
        if float((alike - alike[0]).abs().max()) < 1e-4:
            return "the same x_t at another t gets the same guess: does it know t?"

        def away(guess):
            return float((got - guess).square().median())

        guess, words = min(self.mistakes(), key=lambda pair: away(pair[0]))
        # Little noise is out of the range of x_t that SHARE has seen: it is never quite so.
        share = 0.5 if words == SHARE else 0.15
        return words if away(guess) < share * away(self.best()) else ""

    def away(self, got):
        r"""The mean square distance from the best guess at each t, (T,)."""
        square = (got - self.best()).square()[:, 0]
        T = self.schedule.T
        total = torch.zeros(T, dtype=torch.float64).index_add(0, self.t - 1, square)
        return total / torch.bincount(self.t, minlength=T + 1)[1:]


def _short_chain(seed):
    r"""Few steps that differ much, above all the first and the last, of little noise."""
    T = whole(4, 6, 62, seed)
    first, last = between(0.01, 0.015, 63, seed), between(0.6, 0.75, 64, seed)
    middle = 0.1 + 0.1 * uniform((T - 2,), 65, seed)
    return Schedule.from_beta([first, *middle.tolist(), last])


@exercise("05.4", "learn", kind="project", minutes=60, points=6, lacks=ASKED, seconds=60.0)
def learn(answer, seed):
    law, own = _drawn_peaks(seed), whole(0, 2**31 - 2, 66, seed)
    x_0 = law.draw(4000, seed)
    short = _Trial(_short_chain(seed), law, seed, 1)
    got, alike = short.of(answer, x_0, own)
    _beats_zero(short, got, alike)
    yield 2, "the network has learnt something about the noise"
    _knows_each_t(short, got, alike)
    yield 2, "and nearly all, at each t of a short chain"
    long = _Trial(Schedule.cosine(whole(40, 60, 67, seed)), law, seed, 2)
    _long_chain(long, *long.of(answer, x_0, own))
    yield 1, "and of a long one"
    few = short.x_t[:100], short.ts[:100]
    again = tensor(answer(x_0, short.alpha_bar, *few, own), few[0], "the predicted noise")
    most = float((again - got[:100]).abs().max())
    expect(
        most < 1e-3,
        f"with the same seed another network came out, whose guesses differ by up to "
        f"{most:.2g}: is everything that is drawn, the initial weights too, made from the "
        "seed?",
    )
    other = answer(x_0, short.alpha_bar, *few, own + 1)
    other = tensor(other, few[0], "the predicted noise")
    most = float((other - got[:100]).abs().max())
    expect(
        most > 1e-6,
        f"with the seed {own + 1} in the place of {own} the same network came out, its "
        f"guesses differ by {most:.2g} at most: what depends on the seed?",
    )
    yield 1, "and it is a function of the seed"


def _beats_zero(trial, got, alike):
    error, zero, floor = (
        float((guess - trial.noise).square().mean()) for guess in (got, 0, trial.best())
    )
    ask = trial.reason(got, alike)
    expect(
        error < 0.5 * (zero + floor) and not ask,
        f"T = {trial.schedule.T}: on new data your network's squared error is "
        f"{apart(error, floor)[0]}, that of 0 as a guess {zero:.4g}, and the best that can "
        f"be had {apart(error, floor)[1]}: "
        f"{ask or 'is it trained long enough, on x_t and the noise in them?'}",
    )


def _knows_each_t(trial, got, alike):
    away, T = trial.away(got), trial.schedule.T
    limit = torch.full((T,), 0.06, dtype=torch.float64)
    limit[0] = 0.15  # the least noise is the hardest to guess
    k = int((away / limit).argmax())
    here, others = float(away[k]), float(away.sum() - away[k]) / (T - 1)
    ask = "is it trained long enough, and in the end with small enough steps?"
    if here > 6 * others:
        ask = "how often does this t come up in its training?"
    came, enough = apart(here, float(limit[k]), digits=2)
    expect(
        here < limit[k],
        f"T = {T}: at t = {k + 1} your network's guesses are {came} away from the best "
        f"ones (mean square), where {enough} would do, at the others {others:.2g} on "
        f"average: {ask}",
    )


def _long_chain(trial, got, alike):
    T, ask = trial.schedule.T, trial.reason(got, alike)
    early = (3 * T) // 10
    away = trial.away(got)
    first, rest = float(away[:early].mean()), float(away[early:].mean())
    (early_on, some), (beyond, little) = (
        apart(first, 0.12, digits=2),
        apart(rest, 0.05, digits=2),
    )
    expect(
        first < 0.12 and rest < 0.05,
        f"T = {T}: your network's guesses are {early_on} away from the best ones (mean "
        f"square) up to t = {early}, where {some} would do, and {beyond} beyond, where "
        f"{little} would: {ask or 'does its idea of t fit a chain of any length?'}",
    )
