r"""Checks of chapter 03, the reverse process.

Guesses are compared with what they must be on data whose law is known: with gradients of
a density, with posteriors, with weights that add up.
"""

import math

import torch

from ..oracle import DataOracle
from ..process import q_posterior, q_sample, x_0_from_score
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

ASKED = (
    "process.q_posterior",
    "process.transition",
    "process.x_0_from_score",
    "oracle.Oracle",
    "checks.check_covariance",
)


@exercise("03.1", "matters_below", kind="understanding", minutes=15, points=3, lacks=ASKED)
def matters_below(answer, seed):
    for schedule in schedules(31, seed):
        for share in (0.5, 0.9, 0.95):
            got = number(answer(schedule.alpha_bar, share), "the step")
            expect(got == int(got), f"a step is a whole number, yours is {got}")
            t = int(got)
            expect(1 <= t <= schedule.T, f"a step lies in 1..{schedule.T}, yours is {t}")
            ratio = schedule.posterior_variance / schedule.beta
            expect(
                float(ratio[t]) >= share,
                f"T = {schedule.T}: at your t = {t} the small variance is only "
                f"{float(ratio[t]):.4f} of the large one, {share} was asked for: is it "
                "variances that you compare, and which alpha_bar stand in the small one?",
            )
            below = float(ratio[t - 1]) if t > 1 else 0.0
            expect(
                below < share,
                f"T = {schedule.T}: you say t = {t}, but the share of {share} is reached "
                f"earlier, at t = {t - 1} it is {below:.4f}: is there a factor too many?",
            )


@exercise("03.2", "mean_from_score", kind="derivation", minutes=20, points=4, lacks=ASKED)
def mean_from_score(answer, seed):
    for k, schedule in enumerate(schedules(31, seed)):
        t = steps(2, schedule.T, 4, 32, seed, k)
        x_t, score = normal((4, 3), 33, seed, k), normal((4, 3), 34, seed, k)
        still = tensor(answer(schedule.alpha_bar, x_t, t, 0 * score), x_t, "the mean")
        factor = (1 - schedule.beta[t, None]) ** -0.5
        i = int((still / (factor * x_t) - 1).abs().amax(1).argmax())
        expect(
            near(still, factor * x_t, rtol=1e-7),
            "where the density is flat the score is 0, and the step back only undoes the "
            f"step's shrinking: at t = {int(t[i])} a factor of {float(factor[i]):.5f}, "
            f"yours is {float(still[i, 0] / x_t[i, 0]):.5f}: which of alpha and alpha_bar "
            "belongs to a single step, and has each example a t of its own?",
        )
        moved = tensor(answer(schedule.alpha_bar, x_t, t, score), x_t, "the mean") - still
        expect(
            bool((moved * score > 0).all()),
            "the score points to where data are denser; your mean goes the other way",
        )
        x_0 = x_0_from_score(schedule, x_t, t, score)
        right, _ = q_posterior(schedule, x_0, x_t, t)
        ratio = (moved / (right - still))[:, 0]
        i = int(ratio.log().abs().argmax())
        expect(
            near(moved + still, right, rtol=1e-7, atol=1e-9),
            f"at t = {int(t[i])} the score moves your mean {float(ratio[i]):.4g} times as "
            "far as it moves the mean of Eq. 7 with the x_0 that belongs to this score: "
            "what is left of the noise's factor when you insert?",
        )


@exercise("03.3", "who_is_it", kind="code", minutes=25, points=4, lacks=ASKED)
def who_is_it(answer, seed):
    for D in (2, 64):
        data = normal((9, D), 35, seed, D)
        like = torch.zeros(9, dtype=torch.float64)
        for alpha_bar_t, away in ((1e-6, 0), (0.1, 0), (0.6, 0), (0.9999, 0), (0.5, 40)):
            noise = normal((D,), 36, seed, D)
            x_t = (
                math.sqrt(alpha_bar_t) * data[3] + math.sqrt(1 - alpha_bar_t) * noise + away
            )
            got = several(answer(x_t, data, alpha_bar_t), 2, "the weights and their number")
            weights = tensor(got[0], like, "the weights, also where they differ by e^1000,")
            n = number(got[1], "the effective number")
            expect(
                near(weights.sum(), 1),
                f"weights are probabilities, yours add up to {float(weights.sum()):.4g}",
            )
            expect(
                0.999 <= n <= 9.001,
                f"of 9 pictures between 1 and 9 can be meant, you say {n:.4g}",
            )
            square = (x_t - math.sqrt(alpha_bar_t) * data).square().sum(1)
            log = -square / (2 * (1 - alpha_bar_t))
            right = (log - log.logsumexp(0)).exp()
            odds = float((weights[3] / weights[5]).log()) if weights[5] > 0 else math.inf
            expect(
                near(weights, right, atol=1e-9),
                f"alpha_bar_t = {alpha_bar_t}: the log of the odds of pictures 3 and 5 is "
                f"{odds:.4g} with your weights, {float(log[3] - log[5]):.4g} by the two "
                "Gaussians around them: where are these, and how wide?",
            )
            entropy = float(-(right * right.clamp(min=1e-300).log()).sum())
            expect(
                near(n, math.exp(entropy), rtol=1e-6),
                f"weights of entropy {entropy:.4g} nats count as {math.exp(entropy):.4g} "
                f"equal ones, you say {n:.4g}",
            )


def _cloud(seed, k):
    r"""A mixture in the plane: means (3, 2), one variance each, weights."""
    means = 1.5 * normal((3, 2), 37, seed, k)
    variances = 0.05 + 0.4 * uniform((3,), 38, seed, k)
    weights = 0.2 + uniform((3,), 39, seed, k)
    return means, variances, weights / weights.sum()


def _log_density(alpha_bar_t, x, means, variances, weights):
    a = alpha_bar_t
    v = a * variances + 1 - a
    square = (x[:, None] - a**0.5 * means).square().sum(2)
    return (weights.log() - v.log() - square / (2 * v)).logsumexp(1)


def _guesses(answer, schedule, law, t, seed, k):
    r"""x_t, drawn from a law that was diffused to t, and the answer for it."""
    means, variances, weights = law
    n = 2000
    which = torch.multinomial(weights, n, replacement=True, generator=_generator(seed))
    x_0 = means[which] + variances[which, None].sqrt() * normal((n, 2), 40, seed, k)
    at = torch.full((n,), t)
    x_t = q_sample(schedule, x_0, at, normal((n, 2), 41, seed, k))
    got = tensor(answer(schedule.alpha_bar, x_t, at, *law), x_t, "the predicted noise")
    return x_t, got


def _off(schedule, law, t, x_t, got):
    r"""How far guesses are from the gradient of the log density (root mean square)."""
    x = x_t.clone().requires_grad_(True)
    log = _log_density(schedule.alpha_bar[t], x, *law)
    (score,) = torch.autograd.grad(log.sum(), x)
    best = -schedule.one_minus_alpha_bar[t].sqrt() * score
    return float((got - best).square().mean().sqrt())


@exercise("03.4", "exact_noise", kind="project", minutes=60, points=6, lacks=ASKED)
def exact_noise(answer, seed):
    for k, schedule in enumerate(schedules(31, seed)):
        law, T = _cloud(seed, k), schedule.T
        if float(schedule.alpha_bar[T]) < 1e-3:
            x_t, got = _guesses(answer, schedule, law, T, seed, k)
            away = float((got - x_t).square().mean().sqrt())
            expect(
                away < 0.2,
                f"at the end of the chain, t = {T}, x_t is almost nothing but noise, and "
                f"your guess of it is {away:.3g} away from x_t (root mean square): is it "
                "the noise that you return?",
            )
        one = (law[0][:1], law[1][:1], torch.ones(1, dtype=torch.float64))
        for t in (T // 3, T // 20, T):
            off = _off(schedule, one, t, *_guesses(answer, schedule, one, t, seed, k))
            expect(
                off < 1e-5,
                f"with one peak alone, at t = {t} of {T}, your guess is {off:.2g} away "
                "(root mean square) from what the gradient of the log density says: what "
                "are mean and variance of x_t then, and how far does x_t pull the guess of "
                "x_0 away from the peak's mean?",
            )
        for t in (T // 3, T // 20, T):
            off = _off(schedule, law, t, *_guesses(answer, schedule, law, t, seed, k))
            expect(
                off < 1e-5,
                f"with one peak alone your guess is right; with three, at t = {t} of {T}, "
                f"it is {off:.2g} away (root mean square) from what the gradient of the "
                "log density says: how likely is each peak for this x_t, in the plane and "
                "with weights and widths that differ?",
            )
    # From here on some points, each with a t of its own; five peaks without width.
    x_0, even = normal((5, 2), 42, seed), torch.full((5,), 0.2, dtype=torch.float64)
    at = steps(1, T, 5, 43, seed)
    x_t = q_sample(schedule, x_0, at, normal((5, 2), 44, seed))
    both = tensor(answer(schedule.alpha_bar, x_t, at, *law), x_t, "the predicted noise")
    for i in range(5):
        alone = answer(schedule.alpha_bar, x_t[i : i + 1], at[i : i + 1], *law)
        tensor(alone, x_t[:1], "the predicted noise of one example")
        off = float((alone - both[i]).abs().max())
        expect(
            off < 1e-5,
            f"example {i} of 5, with t = {int(at[i])}, gets a guess alone that is "
            f"{off:.2g} away from its guess among the others: has each example "
            "a t of its own?",
        )
    got = answer(schedule.alpha_bar, x_t, at, x_0, 0 * even, even)
    right = DataOracle(schedule, x_0)(x_t, at)
    off = float((tensor(got, x_t, "the predicted noise") - right).abs().max())
    expect(
        off < 1e-5,
        "five peaks without width, of variance 0, are a training set of five points; there "
        f"your guess is {off:.2g} away from the training set's denoiser of section 7",
    )


def _generator(seed):
    return torch.Generator().manual_seed(1000 + seed)
