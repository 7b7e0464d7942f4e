r"""Checks of chapter 08, sampling.

The denoisers that answers get are exact, so that a chain's mean and deviation are known
before it is drawn; they note what they are asked, so that calls can be counted. Where a
number is wrong, it is held against the numbers that usual mistakes make, and the question
of the hint is that of the mistake.
"""

import math
from itertools import pairwise

import torch

from ..oracle import GaussianOracle
from ..process import q_posterior, q_sample, x_0_from_noise
from ..schedule import Schedule
from .exercise import (
    apart,
    article,
    exercise,
    expect,
    near,
    normal,
    number,
    several,
    steps,
    tensor,
    uniform,
    unlike_normal,
)

ASKED = (
    "process.transition",
    "process.q_posterior",
    "process.reverse_variance",
    "sampling.sampler.ancestral_step",
    "sampling.sampler.sample_path",
    "sampling.solvers.dpmpp_2m_sde_step",
    "seeds.SampleNoise",
    "oracle.Oracle.reverse_variance",
)


class Asked:
    r"""A denoiser that notes what it is asked, and refuses what no network takes."""

    def __init__(self, model):
        self.model, self.x, self.t = model, [], []

    def __call__(self, x_t, t):
        ok = isinstance(x_t, torch.Tensor) and x_t.dtype == torch.float64
        if not (ok and x_t.dim() == 2):
            raise ValueError(f"the model wants x_t (B, D) in float64, it got {_said(x_t)}")
        ok = isinstance(t, torch.Tensor) and t.dtype == torch.int64
        if not ok or t.shape != x_t.shape[:1]:
            raise ValueError(f"the model wants t (B,) in int64, it got {_said(t)}")
        noise_pred = self.model(x_t, t)
        self.x.append(x_t)
        self.t.append(t)
        return noise_pred


def _said(value):
    if isinstance(value, torch.Tensor):
        return f"{article(value)} in {value.dtype}"
    return f"something of type {type(value).__name__}"


# What both chapters, 08 and 09, draw and say.


def drawn_schedule(kind, *seed):
    r"""A schedule with random parameters: 0 linear, 1 cosine, 2 of random growing beta."""
    T, first, last = uniform((3,), *seed).tolist()
    if kind == 0:
        T = 300 + int(700 * T)
        return Schedule.linear(T, 1e-4 * (1 + first), (12 + 8 * last) / T)
    T = 150 + int(250 * T)
    if kind == 1:
        return Schedule.cosine(T, 0.005 + 0.01 * first)
    grown = uniform((T,), *seed, 1).cumsum(0)
    return Schedule.from_beta(1e-4 * (1 + first) + (6 + 4 * last) / T * grown / grown[-1])


def drawn_jumps(T, *seed):
    r"""Five jumps (t, s) with 1 <= s < t < T: long ones, one of a single step, 2 to 1."""
    a, b, c, d, e, f = uniform((6,), *seed).tolist()
    middle, high = T // 4 + int(a * T / 2), T * 3 // 5 + int(b * T / 3)
    one, low = T // 3 + int(c * T / 2), T // 10 + int(d * T / 10)
    return (
        (middle, T // 20 + int(e * T / 10)),
        (high, high * 4 // 5 + int(f * high / 8)),
        (one, one - 1),
        (low, low // 3),
        (2, 1),
    )


def asked_about(got, suspects, otherwise):
    r"""The question of the first mistake that makes what came: (value, question) each."""
    found = [question for value, question in suspects if near(got, value, 1e-6, 1e-9)]
    return [*found, otherwise][0]


def _jump(alpha_bar, t, s):
    r"""Weight of x_0, weight of x_t, small and large variance of the jump from t to s."""
    a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
    large = 1 - a_t / a_s
    of_x_0 = math.sqrt(a_s) * large / (1 - a_t)
    of_x_t = math.sqrt(a_t / a_s) * (1 - a_s) / (1 - a_t)
    return of_x_0, of_x_t, large * (1 - a_s) / (1 - a_t), large


def _gain(alpha_bar, t, v):
    r"""How much E[x_0 | x_t] moves with x_t, for data of variance v."""
    a_t = float(alpha_bar[t])
    return math.sqrt(a_t) * v / (a_t * v + 1 - a_t)


def _ends(alpha_bar, pairs, variances, m, v):
    r"""Mean and deviation at the end of a chain with these variances, for N(m, v)."""
    mean, variance = 0.0, 1.0
    for (t, s), sigma2 in zip(pairs, variances, strict=True):
        of_x_0, of_x_t, _, _ = _jump(alpha_bar, t, s)
        gain = _gain(alpha_bar, t, v)
        guess = m * (1 - gain * math.sqrt(float(alpha_bar[t])))
        A = of_x_0 * gain + of_x_t
        mean, variance = A * mean + of_x_0 * guess, A**2 * variance + sigma2
    return mean, math.sqrt(max(variance, 0.0))


@exercise("08.1", "last_stop", kind="understanding", minutes=10, points=2, lacks=ASKED)
def last_stop(answer, seed):
    tables = [drawn_schedule(kind, 81, seed, kind).alpha_bar for kind in range(3)]
    for k, alpha_bar in enumerate(tables):
        for levels in _telling_levels(alpha_bar, seed, k):
            _hides(answer, alpha_bar, levels)
    yield 1, "the last t whose noise stays hidden"
    for k, alpha_bar in enumerate(tables):
        first = float((1 - alpha_bar[1]).sqrt())
        _hides(answer, alpha_bar, int(2 / first) + 3 + k)  # even t = 1 shows
        _hides(answer, alpha_bar, 2)  # black and white hide all there is
        _hides(answer, *_just_one_level(alpha_bar, 2 + k))
    yield 1, "also where none is hidden, or all, or one has just a grey level"


def _telling_levels(alpha_bar, seed, k):
    r"""Three numbers of levels for which each usual mistake leads to another t."""
    good = []
    for levels in range(4, 40):
        found = [t for t, _ in _mistaken_stops(alpha_bar, levels)]
        if len(set(found)) == len(found):
            good.append(levels)
    return [good[i] for i in steps(0, len(good) - 1, 3, 82, seed, k).tolist()]


def _last(fits):
    return max(fits.nonzero().flatten().tolist(), default=0)


def _mistaken_stops(alpha_bar, levels):
    r"""The right t, and what usual mistakes make of it, each with its question."""
    left, grey = 1 - alpha_bar, 2 / (levels - 1)
    right, beta = _last(left.sqrt() <= grey), 1 - alpha_bar[1:] / alpha_bar[:-1]
    return (
        (right, ""),
        (_last(left <= grey), "a grey level is a distance: is what you compare one?"),
        (_last(left.sqrt() <= grey / 2), "how far is it from black to white in [-1, 1]?"),
        (
            _last(left.sqrt() <= 2 / levels),
            "how many gaps are there between that many levels?",
        ),
        (
            1 + _last(beta.sqrt() <= grey),
            "does your noise count all steps from 0 to t, or the last one alone?",
        ),
        (right - 1, "which step does entry 0 of alpha_bar belong to?"),
        (right + 1, "is it the last t that hides it, or the first that shows it?"),
    )


def _just_one_level(alpha_bar, k):
    r"""A table in which the noise of one t is 2^-k, and levels that far apart."""
    alpha_bar = alpha_bar.clone()
    t = int((1 - alpha_bar > 4.0**-k).nonzero()[0])
    alpha_bar[t] = 1 - 4.0**-k
    return alpha_bar, 2 ** (k + 1) + 1


def _hides(answer, alpha_bar, levels):
    T, grey = len(alpha_bar) - 1, 2 / (levels - 1)
    std = (1 - alpha_bar).sqrt() / grey
    t = number(answer(alpha_bar, levels), "the last stop")
    expect(t == int(t), f"a stop is a whole number, yours is {t}")
    expect(0 <= t <= T, f"a stop lies in 0..{T}, 0 for none; yours is {t:.0f}")
    t, right = int(t), _last(std <= 1)
    if t == right:
        return
    expect(
        t > right or float(std[t + 1]) < 1 - 1e-9 or t + 1 < right,
        f"T = {T}, {levels} grey levels: you say t = {t}, but at t = {t + 1} the noise has "
        "a deviation of exactly one grey level: must it be less, or at most that?",
    )
    question = asked_about(
        t,
        _mistaken_stops(alpha_bar, levels)[1:],
        "does your noise count all steps from 0 to t, and is what you compare a distance?",
    )
    if t > right:
        said = f"noise from your t = {t} has a deviation of {apart(float(std[t]), 1)[0]}"
    else:
        said = (
            f"you say t = {t}, but at t = {t + 1} the noise still has a deviation of only "
            f"{apart(float(std[t + 1]), 1)[0]}"
        )
    expect(
        False,
        f"T = {T}, {levels} grey levels: {said} in units of one grey level: {question}",
    )


@exercise("08.2", "jump_back", kind="code", minutes=20, points=4, lacks=ASKED)
def jump_back(answer, seed):
    drawn = [drawn_schedule(kind, 83, seed, kind) for kind in range(3)]
    for k, schedule in enumerate(drawn):
        _ends_clean(answer, schedule, seed, k)
    yield 1, "at s = 0 the guess of x_0 comes out"
    for k, schedule in enumerate(drawn):
        for t, s in drawn_jumps(schedule.T, 84, seed, k):
            _keeps_the_law(answer, schedule.alpha_bar, t, s)
    yield 1, "a draw from the posterior, for any jump"
    for k, schedule in enumerate(drawn):
        _clips_the_guess(answer, schedule, drawn_clip(85, seed, k), seed, k)
    yield 1, "the guess is clipped, to any range, and nothing else"
    for k, schedule in enumerate(drawn):
        _takes_steps_of_its_own(answer, schedule, seed, k)
        _is_exact(answer, schedule, seed, k)
    yield 1, "for any batch, shape and dtype"


def drawn_clip(*seed):
    r"""A range (low, high) that is not symmetric; 0 lies in it."""
    low, high = uniform((2,), *seed).tolist()
    return -0.2 - 0.5 * low, 1.2 + high


def _ends_clean(answer, schedule, seed, k):
    r"""At s = 0 the guess comes out: without noise, and whole where it is not clipped."""
    alpha_bar = schedule.alpha_bar
    x_0, true, z = (normal((3, 2), 86, seed, k, i) for i in range(3))
    x_0 = x_0 + 3 * x_0.sign()
    s = torch.zeros(3, dtype=torch.int64)
    for t in (1, *steps(2, schedule.T * 9 // 10, 3, 87, seed, k).tolist()):
        t = torch.full((3,), t)
        x_t = q_sample(schedule, x_0, t, true)
        got = tensor(answer(alpha_bar, x_t, true, t, s, z, None), x_t, "x_s")
        still = tensor(answer(alpha_bar, x_t, true, t, s, 0 * z, None), x_t, "x_s")
        moved = float((got - still).abs().max())
        expect(
            moved < 1e-6,
            f"in the jump from t = {int(t[0])} to s = 0 the noise moves your result by up "
            f"to {moved:.3g}: is there anything left to draw for somebody who takes the "
            "guess of x_0 for true?",
        )
        question = asked_about(
            still,
            [(x_0.clamp(-1, 1), "what does clip=None ask for?")],
            "does your guess take off just the noise that Eq. 4 put on, and then undo the "
            "shrinking?",
        )
        worst = int((still - x_0).abs().argmax())
        mine, right = apart(float(still.ravel()[worst]), float(x_0.ravel()[worst]))
        expect(
            near(still, x_0, rtol=1e-4),
            f"asked with the true noise of x_0 = {right}, clip=None and s = 0, you come "
            f"from t = {int(t[0])} to {mine}: {question}",
        )


def _keeps_the_law(answer, alpha_bar, t, s):
    r"""With the true noise, x_s is again x_0 and noise in the shares of Eq. 4."""
    a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
    x_0, noise, z = torch.eye(3, dtype=torch.float64)[:, :, None]  # one of them is 1
    x_t = math.sqrt(a_t) * x_0 + math.sqrt(1 - a_t) * noise
    at_t, at_s = torch.full((3,), t), torch.full((3,), s)
    got = tensor(answer(alpha_bar, x_t, noise, at_t, at_s, z, None), x_t, "x_s")
    of_x_0, of_old, of_new = got.flatten().tolist()
    jump = f"from t = {t} to s = {s}, asked with the true noise,"
    question = asked_about(
        of_x_0,
        [(math.sqrt(float(alpha_bar[t - 1])), "is it a jump to s, whatever s is?")],
        "which weights have the guess and x_t in the mean of the posterior of this jump?",
    )
    mine, right = apart(of_x_0, math.sqrt(a_s))
    expect(
        near(of_x_0, math.sqrt(a_s), rtol=1e-3),
        f"{jump} your x_s holds {mine} of x_0, where x_s of the forward process holds "
        f"{right}: {question}",
    )
    _, _, small, large = _jump(alpha_bar, t, s)
    variance = of_old**2 + of_new**2
    question = asked_about(
        of_new**2,
        [
            (large, "which of the two variances is it that the fresh noise has?"),
            (small**2, "what is it that the fresh noise is multiplied by, a variance?"),
            (0.0, "where is the fresh noise?"),
        ],
        "is the variance that of this jump, from t to s?",
    )
    mine, right = apart(variance, 1 - a_s)
    expect(
        near(variance, 1 - a_s, rtol=1e-3),
        f"{jump} the noise in your x_s has variance {mine}, where that of the forward "
        f"process has {right}: {question}",
    )
    together = of_old * math.sqrt(1 - a_t) / (1 - a_s)
    mine, right = apart(together, math.sqrt(a_t / a_s))
    expect(
        near(together, math.sqrt(a_t / a_s), rtol=1e-3),
        f"from t = {t} to s = {s}, given x_0, your x_t is {mine} x_s plus what is "
        f"independent of it; in the forward process it is {right} x_s: how much of the "
        "old noise stays in a draw from the posterior?",
    )


def _clips_the_guess(answer, schedule, clip, seed, k):
    r"""The guess is cut off at both ends; one that lies inside is not changed."""
    low, high = clip
    shown = f"clip=({low:.3f}, {high:.3f})"
    true, z = (normal((40, 2), 88, seed, k, i) for i in range(2))
    t = steps(schedule.T // 3, schedule.T * 9 // 10, 1, 89, seed, k).expand(40)
    outside = 2 * normal((40, 2), 90, seed, k)
    inside = low + (high - low) * (0.1 + 0.8 * uniform((40, 2), 91, seed, k))

    def jump(x_0, s, z, clip):
        x_t = q_sample(schedule, x_0, t, true)
        got = answer(schedule.alpha_bar, x_t, true, t, s, z, clip)
        return tensor(got, x_t, "x_s"), x_t

    got, _ = jump(outside, 0 * t, z, clip)
    question = asked_about(
        got,
        [
            (outside, "is the guess cut off before it is used?"),
            (outside.clamp(-1, 1), "whose limits are those that you cut at?"),
            (outside.clamp(max=high), "is it cut off below, too?"),
            (outside.clamp(min=low), "is it cut off above, too?"),
        ],
        "is it the guess that you cut off, and with both limits?",
    )
    expect(
        near(got, outside.clamp(low, high), rtol=1e-3, atol=1e-3),
        f"with {shown} and s = 0, results from {float(got.min()):.4f} to "
        f"{float(got.max()):.4f} come out where the guesses go from "
        f"{float(outside.min()):.4f} to {float(outside.max()):.4f}: {question}",
    )
    (cut, _), (free, _) = (jump(inside, t // 2, z, limits) for limits in (clip, None))
    gap = float((cut - free).abs().max())
    expect(
        gap < 1e-4,
        f"the guess of x_0 lies in the range here, and yet {shown} moves x_s by up to "
        f"{gap:.3g}: "
        "which of the things that you calculate must lie in that range?",
    )
    got, x_t = jump(outside, t // 2, 0 * z, clip)
    mean, _ = q_posterior(schedule, outside.clamp(low, high), x_t, t, t // 2)
    off = float((got - mean).abs().max())
    expect(
        off < 1e-3,
        f"with {shown}, guesses outside of it and no fresh noise, your x_s is off the mean "
        f"of the posterior by up to {off:.3g}: which guess, and which x_t, go into it?",
    )


def _takes_steps_of_its_own(answer, schedule, seed, k):
    r"""An example's x_s is the same alone and beside others."""
    x_t, noise_pred, z = (normal((5, 3), 92, seed, k, i) for i in range(3))
    t, s = torch.tensor(drawn_jumps(schedule.T, 93, seed, k)).T
    alpha_bar = schedule.alpha_bar
    together = tensor(answer(alpha_bar, x_t, noise_pred, t, s, z, None), x_t, "x_s")
    for i in range(5):
        one = slice(i, i + 1)
        given = (x_t[one], noise_pred[one], t[one], s[one], z[one], None)
        alone = tensor(answer(alpha_bar, *given), x_t[one], "x_s")
        expect(
            near(together[one], alone),
            "an example's x_s changes when others with another t and s stand beside it: "
            "does each example get the numbers of its own steps?",
        )


SHAPES = (
    ((5, 3, 2, 2), torch.float64),
    ((5, 4), torch.float32),
    ((5, 3, 4), torch.float64),
    ((1, 3), torch.float64),
    ((1, 2, 3, 4), torch.float32),
    ((4, 2, 1, 3, 2), torch.float64),
    ((5,), torch.float64),
)


def _is_exact(answer, schedule, seed, k):
    r"""Pictures, each with steps of its own, to the digits that float64 has."""
    clip = drawn_clip(95, seed, k)
    for shape, dtype in SHAPES:
        t, s = torch.tensor(drawn_jumps(schedule.T, 94, seed, k)[: shape[0]]).T
        x_t, noise_pred, z = (normal(shape, 96, seed, k, i, dtype=dtype) for i in range(3))
        guess = x_0_from_noise(schedule, x_t.double(), t, noise_pred.double()).clamp(*clip)
        mean, variance = q_posterior(schedule, guess, x_t.double(), t, s)
        got = answer(schedule.alpha_bar, x_t, noise_pred, t, s, z, clip)
        got = tensor(got, x_t, "x_s").double()
        off = float((got - mean - variance.sqrt() * z).abs().max())
        expect(
            off < 5e-3,
            f"for x_t of shape {shape} in {dtype} with a clip, your x_s is off a draw from "
            f"the posterior by up to {off:.3g}, and for points it is not: along which axes "
            "of such a batch does each example have its own numbers?",
        )
        expect(
            off < 1e-9 or dtype == torch.float32,
            f"your x_s is right but for {off:.2g}: float64 in, float64 all the way?",
        )


@exercise("08.3", "right_variance", kind="derivation", minutes=20, points=4, lacks=ASKED)
def right_variance(answer, seed):
    drawn = [drawn_schedule(kind, 97, seed, kind).alpha_bar for kind in range(3)]
    for k, alpha_bar in enumerate(drawn):
        for t in steps(2, (len(alpha_bar) - 1) * 9 // 10, 3, 98, seed, k).tolist():
            _knows_x_0(answer, alpha_bar, t, seed, k)
    yield 1, "at s = 0: how uncertain x_0 is"
    for k, alpha_bar in enumerate(drawn):
        for t, s in drawn_jumps(len(alpha_bar) - 1, 99, seed, k):
            _without_a_loss(answer, alpha_bar, t, s)
    yield 1, "with a loss of 0: what is drawn when x_0 is known"
    for k, alpha_bar in enumerate(drawn):
        for t, s in drawn_jumps(len(alpha_bar) - 1, 100, seed, k):
            _on_gaussians(answer, alpha_bar, t, s, seed, k)
    yield 2, "for any jump and any loss"


def _mistaken_variances(alpha_bar, t, s, loss):
    r"""What usual mistakes make of the variance, each with its question."""
    c, _, small, large = _jump(alpha_bar, t, s)
    blown_up = (1 - float(alpha_bar[t])) / float(alpha_bar[t])
    c_one, _, small_one, _ = _jump(alpha_bar, t, t - 1)
    return (
        (
            small + c**2 * loss,
            "the loss is the error of the noise; how large is that of the guess of x_0?",
        ),
        (
            math.sqrt(small + c**2 * loss * blown_up),
            "is it a variance that you return, or a deviation?",
        ),
        (small_one + c_one**2 * loss * blown_up, "is it the jump to s, whatever s is?"),
        (
            small + c * loss * blown_up,
            "the guess goes into x_s with a weight; what does that do to its variance?",
        ),
        (
            small + c**2 * loss * math.sqrt(blown_up),
            "an error is blown up by a factor; what happens to its square?",
        ),
        (
            small + loss * (large - small),
            "is the loss the share of the way from the small variance to the large one?",
        ),
        (c**2 * loss * blown_up, "what is drawn even when x_0 is known?"),
        (large + c**2 * loss * blown_up, "what is drawn when x_0 is known?"),
        (0.0, "nothing is drawn there to show a picture; is x_0 known, too?"),
    )


def _knows_x_0(answer, alpha_bar, t, seed, k):
    r"""At s = 0 the variance is that of x_0 given x_t, on Gaussians."""
    a_t = float(alpha_bar[t])
    for v in (0.02 + 2 * uniform((2,), 101, seed, k, t)).tolist():
        known = a_t * v + 1 - a_t  # the variance of x_t
        loss, left = a_t * v / known, (1 - a_t) * v / known
        got = number(answer(alpha_bar, t, 0, loss), "the variance")
        question = asked_about(
            got,
            _mistaken_variances(alpha_bar, t, 0, loss),
            "by what is an error of the noise multiplied in the guess of x_0?",
        )
        mine, right = apart(got, left)
        expect(
            near(got, left, rtol=1e-6),
            f"data of variance {v:.3g}, exact network, loss {loss:.4g} at t = {t}: x_0 "
            f"given x_t has variance {right}, you say {mine} for s = 0: {question}",
        )


def _without_a_loss(answer, alpha_bar, t, s):
    _, _, small, large = _jump(alpha_bar, t, s)
    got = number(answer(alpha_bar, t, s, 0.0), "the variance")
    question = asked_about(
        got,
        [
            (large, "which of the two variances is the posterior's?"),
            *_mistaken_variances(alpha_bar, t, s, 0.0),
        ],
        "is it the posterior of this jump, and its variance?",
    )
    mine, right = apart(got, small)
    expect(
        near(got, small, rtol=1e-6),
        f"with a loss of 0 the network reveals x_0, and what remains to draw from t = {t} "
        f"to s = {s} has variance {right}; you say {mine}: {question}",
    )


def _on_gaussians(answer, alpha_bar, t, s, seed, k):
    a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
    of_x_0, of_x_t, _, _ = _jump(alpha_bar, t, s)
    for v in (0.1 + 2 * uniform((2,), 102, seed, k, t)).tolist():
        known = a_t * v + 1 - a_t  # the variance of x_t
        loss = a_t * v / known  # of the exact noise prediction
        got = number(answer(alpha_bar, t, s, loss), "the variance")
        moves = of_x_0 * _gain(alpha_bar, t, v) + of_x_t
        drawn, truth = moves**2 * known + got, a_s * v + 1 - a_s
        question = asked_about(
            got,
            _mistaken_variances(alpha_bar, t, s, loss),
            "what is uncertain in x_0, and how much of that gets into x_s?",
        )
        mine, right = apart(drawn, truth)
        expect(
            near(got, truth - moves**2 * known, rtol=1e-6),
            f"data of variance {v:.3g}, exact network, loss {loss:.4g}: drawn with your "
            f"{got:.5g} from t = {t}, x_{s} has variance {mine} in the place of {right}: "
            f"{question}",
        )


@exercise("08.4", "seeded_chain", kind="code", minutes=30, points=5, lacks=ASKED)
def seeded_chain(answer, seed):
    schedule = drawn_schedule(seed % 3, 103, seed)
    means = torch.tensor([2.0, -2.0]) + uniform((2,), 104, seed)
    v = float(0.04 + 0.2 * uniform((1,), 105, seed))
    seeds = steps(1, 2**31, 5, 106, seed).tolist()
    model = Asked(GaussianOracle(schedule, means, v))

    def draw(stops, those):
        model.x, model.t = [], []
        x = answer(model, schedule.alpha_bar, stops, those, 2)
        return tensor(x, torch.zeros(len(those), 2, dtype=torch.float64), "x_0")

    for k, B in enumerate((3, 1)):
        stops = _drawn_stops(schedule.T, 3 + k, 107, seed, k)
        _asks_in_order(model, stops, draw(stops, seeds[:B]))
    yield 1, "the model is asked once for each jump, and the last guess comes out"
    law = (answer, schedule, v, seed)
    _law_of_the_chain(*law, [*_drawn_stops(schedule.T, 8, 108, seed)[:-1], 1, 0])
    yield 2, "each jump is a draw with the small variance"
    stops = _drawn_stops(schedule.T, 3, 109, seed)
    x_0 = draw(stops, seeds[:3])
    expect(
        near(draw(stops, seeds[:3]), x_0),
        "the same call twice gives different samples: does all noise come from the seeds?",
    )
    expect(
        not near(x_0[0], x_0[1], rtol=1e-3),
        "two samples with different seeds are the same: does each use its own?",
    )
    other = draw(stops, [seeds[2], seeds[4], seeds[0], seeds[3]])
    expect(
        near(other[2], x_0[0]) and near(other[0], x_0[2]),
        "a sample changes when it is drawn beside others or in another place of the batch: "
        "whose generator do its numbers come from?",
    )
    draw(stops, [seeds[0] + more for more in NEIGHBOURS])
    _no_noise_twice(model, schedule.alpha_bar, stops[:-1], NEIGHBOURS)
    yield 2, "each sample has all its noise from a generator of its own"


def _drawn_stops(T, count, *seed):
    r"""T, `count` random stops and 0; neighbours are at least T / 30 apart."""
    gaps = 0.5 + uniform((count + 1,), *seed)
    return [T, *(T - (gaps.cumsum(0) / gaps.sum() * T).long())[:-1].tolist(), 0]


def _guess(model, alpha_bar, k):
    r"""What the k-th call of the model says of x_0."""
    x_t, t = model.x[k], model.t[k]
    a = alpha_bar[t][:, None]
    return (x_t - (1 - a).sqrt() * model.model(x_t, t)) / a.sqrt()


def _asks_in_order(model, stops, x_0):
    B, alpha_bar = len(x_0), model.model.schedule.alpha_bar
    expect(
        len(model.t) == len(stops) - 1,
        f"{len(stops) - 1} jumps of {B} samples are {len(stops) - 1} calls of the model, "
        f"you made {len(model.t)}: is there one call for each jump, for the whole batch?",
    )
    asked = [t.tolist() for t in model.t]
    expect(
        asked == [[t] * B for t in stops[:-1]],
        f"with stops {stops} the model should be asked at t = {stops[:-1]}, all examples "
        f"alike; yours was asked at {[t[0] for t in asked]}: where does each jump begin?",
    )
    guess = _guess(model, alpha_bar, -1)
    off = float((x_0 - guess).abs().max())
    expect(
        not near(x_0, guess.clamp(-1, 1), 1e-6) or off < 1e-6,
        f"the last guess of x_0 reaches {float(guess.abs().max()):.4g}, what you return "
        f"{float(x_0.abs().max()):.4g}: are these data that lie in [-1, 1]?",
    )
    expect(
        off < 1e-6,
        f"your last x_t and the model's answer to it give a guess of x_0 that differs from "
        f"what you return by up to {off:.3g}: what does line 3 of Algorithm 2 say about "
        "the last step?",
    )


def _fresh(model, alpha_bar, k, clip=None):
    r"""The noise z of jump k, from the states before and after it."""
    of_x_0, of_x_t, small, _ = _jump(alpha_bar, int(model.t[k][0]), int(model.t[k + 1][0]))
    guess = _guess(model, alpha_bar, k)
    guess = guess if clip is None else guess.clamp(*clip)
    return (model.x[k + 1] - of_x_0 * guess - of_x_t * model.x[k]) / math.sqrt(small)


# How far seeds lie beyond the first of them: in a row, and by numbers that people choose.
NEIGHBOURS = (*range(65), *range(70, 101, 10), 128, 200, 256, 500, 512)
NEIGHBOURS += (999, 1000, 1001, 1024, 2000, 3000, 10**4, 2 * 10**4, 65536, 10**5, 10**6)


def _no_noise_twice(model, alpha_bar, stops, seeds):
    r"""x_T and every z of every sample are different numbers, for seeds in a row too."""
    drawn = [model.x[0], *(_fresh(model, alpha_bar, k) for k in range(len(stops) - 1))]
    names = ["x_T", *(f"the noise of jump {k}" for k in range(1, len(drawn)))]
    B = len(seeds)
    numbers = torch.cat(drawn)
    for far in (numbers, -numbers):
        gaps = torch.cdist(numbers, far, compute_mode="donot_use_mm_for_euclid_dist")
        same = (gaps < 1e-6).tril(-1).nonzero().tolist()
        if not same:
            continue
        after, before = same[0]
        more = seeds[before % B] - seeds[after % B]
        whose = "itself" if more == 0 else f"the one whose seed is {abs(more)} "
        whose += "larger" * (more > 0) + "smaller" * (more < 0)
        expect(
            False,
            f"{names[after // B]} of a sample is {names[before // B]} of {whose}, once "
            "more: when does a generator begin, and how many numbers come from it?",
        )


def _law_of_the_chain(answer, schedule, v, seed, stops):
    r"""Mean, deviation and independence of 8,000 numbers of each jump."""
    B, D, alpha_bar = 500, 16, schedule.alpha_bar
    means = 2 * normal((D,), 110, seed).sign() + uniform((D,), 111, seed)
    model = Asked(GaussianOracle(schedule, means, v))
    x_0 = answer(model, alpha_bar, stops, steps(1, 2**31, B, 112, seed).tolist(), D)
    x_0 = tensor(x_0, torch.zeros(B, D, dtype=torch.float64), "x_0")
    _asks_in_order(model, stops, x_0)
    start = model.x[0]
    expect(
        _standard(start),
        f"your x_T has mean {float(start.mean()):.3g} and deviation "
        f"{float(start.std()):.3g} over {B * D:,} numbers, where the chain starts from "
        "N(0, I)",
    )
    _bell(start, "your x_T")
    noises = [start, *(_fresh(model, alpha_bar, k) for k in range(len(stops) - 2))]
    for k, (before, after) in enumerate(pairwise(noises)):
        if not _standard(after):
            _expect_small(model, alpha_bar, k, v, float((x_0 - means).std()))
        common = float(torch.corrcoef(torch.stack([before.ravel(), after.ravel()]))[0, 1])
        expect(
            abs(common) < 6 / math.sqrt(B * D),
            f"the noise of your jump {k + 1} has a correlation of {common:.3f} with the "
            "noise before it, fresh noise has none: when does a generator begin?",
        )
        _bell(after, f"the noise of your jump {k + 1}")


def _standard(noise):
    r"""Whether numbers have mean 0 and deviation 1, to 6 standard errors."""
    n = noise.numel()
    ok = abs(float(noise.mean())) < 6 / math.sqrt(n)
    return ok and abs(float(noise.std()) - 1) < 6 / math.sqrt(2 * n)


def _bell(noise, what):
    far = unlike_normal(noise)
    expect(
        far < 1,
        f"{what} has mean 0 and deviation 1, but its distribution is {far:.2f} times as "
        f"far from N(0, 1) as {noise.numel():,} draws ever are (but for one in a million): "
        "from which law is it drawn?",
    )


def _expect_small(model, alpha_bar, k, v, end):
    r"""Say why the noise of jump k, in units of the small deviation, is not normal."""
    stops = [int(t[0]) for t in model.t]
    t, s, jumps = stops[k], stops[k + 1], range(len(stops) - 1)
    expect(
        not all(_standard(_fresh(model, alpha_bar, n, (-1, 1))) for n in jumps),
        f"from t = {t} to s = {s} you use a guess of x_0 that lies in [-1, 1], where the "
        f"network's reaches {float(_guess(model, alpha_bar, k).abs().max()):.3g}: does the "
        "task ask for that?",
    )
    z = [_fresh(model, alpha_bar, n) for n in jumps]
    of_pairs = [_jump(alpha_bar, *pair) for pair in pairwise([*stops, 0])]
    suspects = (
        (
            [math.sqrt(large / small) for *_, small, large in of_pairs[:-1]],
            "which variance has z?",
        ),
        (
            [math.sqrt(small) for _, _, small, _ in of_pairs[:-1]],
            "what is z multiplied by, a variance?",
        ),
        ([0.0 for _ in jumps], "where is the noise of Algorithm 2?"),
    )
    spreads = [float(noise.std()) for noise in z]
    found = [question for values, question in suspects if near(spreads, values, 0.06, 1e-3)]
    common = float(torch.corrcoef(torch.stack([z[k].ravel(), model.x[k].ravel()]))[0, 1])
    expect(
        found or abs(common) < 6 / math.sqrt(z[k].numel()),
        f"from t = {t} to s = {s} what you add to the mean of the posterior has a "
        f"correlation of {common:.2g} with x_t, fresh noise has none: are the weights of "
        "the guess and of x_t those of this jump?",
    )
    pairs = list(pairwise([*stops, 0]))
    exact = _ends(alpha_bar, pairs, [small for _, _, small, _ in of_pairs], 0.0, v)[1]
    mine, right = apart(end, exact)
    question = [*found, "are weights and variance those of this jump?"][0]
    expect(
        False,
        f"the chain with the small variance and an exact network ends with deviation "
        f"{right} for data of deviation {math.sqrt(v):.3g}, yours with {mine}. Already "
        f"from t = {t} to s = {s} your fresh noise has {spreads[k]:.4g} times the "
        f"deviation that it should have: {question}",
    )


@exercise(
    "08.5", "calibrate", kind="project", minutes=45, points=5, lacks=ASKED, seconds=40.0
)
def calibrate(answer, seed):
    schedule = drawn_schedule(seed % 3, 113, seed)
    stops = _drawn_stops(schedule.T, 8, 114, seed)
    stops[0] -= 1  # where the cosine schedule still knows something of x_0
    pairs = list(pairwise(stops))
    m, bias = (0.3 + 0.5 * uniform((2,), 115, seed)).tolist()
    v = float(0.05 + 0.2 * uniform((1,), 116, seed))
    given = (answer, schedule, pairs, seed)
    model, _, x_0 = _calibrated(*given, m, v)
    _asks_about_x_t(model, schedule.alpha_bar, pairs, x_0)
    yield 1, "the network is asked about the data, diffused to each t"
    for law in ((m, v), (0.0, 1.0), (-m, 0.0)):
        _compare_variances(*given, *law)
    yield 2, "the variances of a perfect network"
    _compare_variances(*given, m, v, bias)
    _compare_variances(*given, 0.0, 1.0, 0.0, 1 - bias)
    _uses_the_seed(*given, m, v)
    yield 2, "and of a network that makes errors"


def _calibrated(answer, schedule, pairs, seed, m, v, bias=0.0, share=1.0, own=0):
    r"""Let an answer measure a network on data N(m, v): the network, the list, the data."""
    exact = GaussianOracle(schedule, [m, m], v)
    model = Asked(lambda x, t: share * exact(x, t) + bias)
    x_0 = m + math.sqrt(v) * normal((4000, 2), 117, seed)
    own += int(steps(1, 2**30, 1, 118, seed))
    got = answer(model, schedule.alpha_bar, x_0, pairs, own)
    got = several(got, len(pairs), "a variance for each jump")
    return model, [number(g, "a variance") for g in got], x_0


def _compare_variances(answer, schedule, pairs, seed, m, v, bias=0.0, share=1.0):
    r"""Each variance of the list, to 6 standard errors of the measured loss."""
    alpha_bar, network = schedule.alpha_bar, "exact"
    if bias:
        network = f"off by {bias:.3g} everywhere"
    if share != 1:
        network = f"saying {share:.3g} times what is right"
    model, got, x_0 = _calibrated(answer, schedule, pairs, seed, m, v, bias, share)
    for (t, s), g in zip(pairs, got, strict=True):
        c, _, small, _ = _jump(alpha_bar, t, s)
        a = float(alpha_bar[t])
        exact = a * v / (a * v + 1 - a)
        loss = exact + (1 - share) ** 2 * (1 - exact) + bias**2
        of_loss = c**2 * (1 - a) / a
        right = small + of_loss * loss
        # the squared error of n normal numbers is known to sqrt(2 / n)
        allowed = 6 * math.sqrt(2 / x_0.numel()) * of_loss * loss + 1e-9 * right + 1e-12
        if abs(g - right) > allowed:
            mistakes = _mistaken_losses(model, x_0, t, c, small, (1 - a) / a)
            question = asked_about(
                (g - small) / of_loss,
                mistakes,
                "which variance follows from the error of the noise?",
            )
            mine, wanted, least = apart(g, right, small)
            expect(
                False,
                f"data N({m:.3g}, {v:.3g}), network {network}: from t = {t} to s = {s} you "
                f"say {mine}, the error of this network asks for {wanted} ({least} is "
                f"drawn if it makes none): {question}",
            )


def _mistaken_losses(model, x_0, t, c, small, blown_up):
    r"""The loss at t for which the variance of a usual mistake would be right."""
    asked = [(x, at) for x, at in zip(model.x, model.t, strict=True) if int(at[0]) == t]
    x_t, at = (torch.cat(parts) for parts in zip(*asked, strict=True))
    said = model.model(x_t, at)
    yield (
        1 - float(said.square().mean()),
        "do you measure by how much the network errs, or trust that it does not?",
    )
    yield (
        -small / c**2 / blown_up,
        "nothing is drawn there to show a mean; is x_0 known when x_t is?",
    )
    if x_t.shape != x_0.shape:
        return
    a = 1 / (1 + blown_up)
    error = (x_t - math.sqrt(a) * x_0) / math.sqrt(1 - a) - said
    loss = float(error.square().mean())
    yield error.shape[1] * loss, "is your error a mean over all numbers?"
    yield loss / blown_up, "is your error that of the noise or of the guess?"
    yield loss / c, "the guess goes into x_s with a weight; and its variance?"
    yield math.sqrt(loss), "is the error squared?"
    for less in (0, 1):
        yield (
            float(error.var(correction=less)),
            "is a network that is off by the same everywhere wrong?",
        )


def _uses_the_seed(answer, schedule, pairs, seed, m, v):
    r"""The same seed gives the same list, another one does not."""
    given = (answer, schedule, pairs, seed, m, v)
    first = _calibrated(*given)[1]
    expect(
        first == _calibrated(*given)[1],
        "the same call twice gives different variances: does all noise come from `seed`?",
    )
    for own in (1, 10, 16, 100, 1000):
        expect(
            first != _calibrated(*given, own=own)[1],
            f"two seeds, one {own} larger than the other, give the same variances: what "
            "does your generator begin with?",
        )


def _asks_about_x_t(model, alpha_bar, pairs, x_0):
    r"""The model was asked at every t, about x_t of the right law."""
    asked = {}
    for x_t, t in zip(model.x, model.t, strict=True):
        for step in t.unique().tolist():
            asked.setdefault(step, []).append(x_t[t == step].flatten())
    missing = [t for t, _ in pairs if t not in asked]
    expect(
        not missing,
        f"the model was never asked at t = {missing}, where jumps begin"
        if asked
        else "the model was never asked: whose error do you measure?",
    )
    n, m, v = x_0.numel(), float(x_0.mean()), float(x_0.var())
    for t, _ in pairs:
        x, a = torch.cat(asked[t]), float(alpha_bar[t])
        mean, variance = math.sqrt(a) * m, a * v + 1 - a
        expect(
            len(x) >= n,
            f"at t = {t} the model was asked about {len(x):,} numbers, x_0 has {n:,}",
        )
        expect(
            abs(float(x.var()) / variance - 1) < 8 * math.sqrt(2 / n)
            and abs(float(x.mean()) - mean) < 8 * math.sqrt(variance / n),
            f"at t = {t} you ask the network about x_t with mean {float(x.mean()):.3g} and "
            f"variance {float(x.var()):.3g}; of these x_0 the forward process makes mean "
            f"{mean:.3g} and variance {variance:.3g}",
        )
    for t, _ in pairs:
        x, a = torch.cat(asked[t])[:n], float(alpha_bar[t])
        far = unlike_normal((x - math.sqrt(a) * m) / math.sqrt(a * v + 1 - a))
        expect(
            far < 1,
            f"these x_0 are Gaussian, and at t = {t} the law of the x_t that you ask about "
            f"is {far:.2f} times as far from a Gaussian as {n:,} draws ever are (but for "
            "one in a million): from which law do you draw the noise?",
        )
