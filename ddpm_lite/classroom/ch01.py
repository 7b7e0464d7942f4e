r"""Checks of chapter 01, notation and the probability that the book uses.

Moments are compared with samples and with what must hold for all numbers; a chain of
three states is walked through by brute force.
"""

import math
from itertools import pairwise, product

import torch

from .exercise import exercise, expect, near, normal, number, several, tensor, uniform


@exercise("01.1", "combine", kind="understanding", minutes=10, points=2)
def combine(answer, seed):
    for k in range(4):
        mix = normal((2, 2), 11, seed, k)  # x and y are made of the same two noises
        a, b = normal((2,), 12, seed, k).tolist()
        x, y = mix @ normal((2, 20_000), 13, seed, k)
        v_x, v_y = mix.square().sum(1).tolist()
        together = float(mix[0] @ mix[1])
        got = number(answer(a, b, v_x, v_y, together), "the variance")
        expect(got >= -1e-12, f"a variance is not negative, yours is {got:.3g}")
        alone = number(answer(a, 0.0, v_x, v_y, together), "the variance")
        expect(
            near(alone, a**2 * v_x, rtol=1e-5),
            f"with b = 0 the variance of {a:.3g} x should be {a**2 * v_x:.4g} for an x of "
            f"variance {v_x:.4g}, yours is {alone:.4g}: what does a factor do to it?",
        )
        drawn = float((a * x + b * y).var())
        expect(
            abs(got - drawn) < 0.06 * drawn,  # six standard errors
            f"20,000 draws of {a:.3g} x + {b:.3g} y, whose parts have the variances "
            f"{v_x:.3g} and {v_y:.3g} and the covariance {together:.3g}, have the variance "
            f"{drawn:.3g}; you say {got:.3g}. Are x and y independent?",
        )
    got = number(answer(1.0, -1.0, 2.0, 2.0, 2.0), "the variance")
    expect(
        near(got, 0, atol=1e-6),
        f"x - y has the variance 0 when x and y are the same, you say {got:.3g}",
    )


@exercise("01.2", "two_measurements", kind="derivation", minutes=20, points=3)
def two_measurements(answer, seed):
    for k in range(4):
        v, s_1, s_2 = (0.2 + 3 * uniform((3,), 14, seed, k)).tolist()
        m, y_1, y_2 = (2 * normal((3,), 15, seed, k)).tolist()
        got = several(answer(m, v, y_1, s_1, y_2, s_2), 2, "mean and variance")
        mean, variance = (number(x, "mean or variance") for x in got)
        expect(variance > 0, f"a variance is positive, yours is {variance:.3g}")
        other = several(answer(m, v, y_2, s_2, y_1, s_1), 2, "mean and variance")
        other = [number(x, "mean or variance") for x in other]
        expect(
            near(other, [mean, variance], rtol=1e-5),
            "which of two measurements is named first should not matter, yours gives "
            f"({mean:.4g}, {variance:.4g}) and ({other[0]:.4g}, {other[1]:.4g})",
        )
        expect(
            variance < min(v, s_1, s_2),
            f"your variance {variance:.4g} is not smaller than the smallest of {v:.3g}, "
            f"{s_1:.3g} and {s_2:.3g}: whoever learns more about x is less uncertain than "
            "by any single source",
        )
        blind = several(answer(m, v, y_1, 1e30, y_2, 1e30), 2, "mean and variance")
        blind = [number(x, "mean or variance") for x in blind]
        expect(
            near(blind, [m, v], rtol=1e-5),
            "measurements with endless noise should leave what was known before, mean "
            f"{m:.3g} and variance {v:.3g}; yours leave {blind[0]:.3g} and {blind[1]:.3g}",
        )
        low, high = min(m, y_1, y_2), max(m, y_1, y_2)  # no mean of sources lies outside
        x = torch.linspace(low - 12, high + 12, 40_001, dtype=torch.float64)
        square = (x - m) ** 2 / v + (x - y_1) ** 2 / s_1 + (x - y_2) ** 2 / s_2
        p = (-(square - square.min()) / 2).exp()
        p = p / p.sum()
        right = float((p * x).sum())
        spread = float((p * (x - right) ** 2).sum())
        expect(
            near(mean, right, rtol=1e-5, atol=1e-6),
            f"on a grid the mean of x given both measurements is {right:.4f}, yours is "
            f"{mean:.4f}: what do the three sources weigh?",
        )
        expect(
            near(variance, spread, rtol=1e-5),
            f"on a grid the variance of x given both is {spread:.4f}, yours is "
            f"{variance:.4f}: is it a variance, and what of the three sources adds up?",
        )


def _chain(seed):
    r"""Four transition matrices of a chain with three states; rows add up to 1."""
    Q = uniform((4, 3, 3), 16, seed) + 0.05
    return Q / Q.sum(2, keepdim=True)


@exercise("01.3", "way_back", kind="code", minutes=25, points=4)
def way_back(answer, seed):
    Q = _chain(seed)
    three = torch.zeros(3, dtype=torch.float64)
    paths = {}  # all ways from x_0, with their probabilities, by brute force
    for path in product(range(3), repeat=5):
        steps = [float(Q[i, a, b]) for i, (a, b) in enumerate(pairwise(path))]
        paths[path] = math.prod(steps)
    for x_0, t in product(range(3), (1, 2, 4)):
        rows = []
        for x_t in range(3):
            p = tensor(answer(Q, t, x_0, x_t), three, "the probabilities")
            expect(
                bool((p >= 0).all()) and near(p.sum(), 1),
                f"probabilities of the state before should add up to 1, yours for t = {t} "
                f"add up to {float(p.sum()):.4g}",
            )
            rows.append(p)
        if t == 1:
            still = float(rows[0][x_0])
            expect(
                near(still, 1),
                f"at t = 1 the state before is x_0 = {x_0} itself, you give it a "
                f"probability of {still:.3g}",
            )
        for x_t in range(3):
            hits = [p for p in paths.items() if p[0][0] == x_0 and p[0][t] == x_t]
            total = sum(chance for _, chance in hits)
            counted = [sum(c for p, c in hits if p[t - 1] == s) / total for s in range(3)]
            worst = max(range(3), key=lambda s: abs(counted[s] - float(rows[x_t][s])))
            expect(
                near(rows[x_t], counted, rtol=1e-8),
                f"of all paths with x_0 = {x_0} and x_{t} = {x_t} a share of "
                f"{counted[worst]:.4f} has x_{t - 1} = {worst}, you say "
                f"{float(rows[x_t][worst]):.4f}: which two things must happen on such a "
                "path, one before and one after the state that is asked for?",
            )


def _peaks(seed, n, std):
    r"""Pairs (x, y): x is -1 or 1, y is x with noise; and the exact E[x | y]."""
    x = torch.where(uniform((n,), 17, seed) < 0.5, -1.0, 1.0).double()
    y = x + std * normal((n,), 18, seed)
    return x, y, lambda at: torch.tanh(at / std**2)


def _on_a_line(at, got, largest):
    r"""x ~ N(0, 1) is seen with noise of variance 1: the means are at / 2, by fact 3."""
    high = float(got.abs().max())
    expect(
        high < largest,
        f"no x is larger than {largest:.3g}, and one of your guesses is {high:.4g}: is it "
        "a mean, or a sum?",
    )
    slope = float((got * at).sum() / at.square().sum())
    scatter = float((got - slope * at).square().mean().sqrt())
    expect(
        scatter < 0.08,
        "x ~ N(0, 1) is seen with noise of variance 1. The means of x given y lie on a "
        f"line, your guesses scatter around one by {scatter:.3f}: do they average over "
        "enough pairs?",
    )
    found = (
        "x ~ N(0, 1) is seen with noise of variance 1, where by fact 3 the mean of x given "
        f"y rises by 0.5 when y rises by 1; your guesses rise by {slope:.3f}"
    )
    expect(slope < 0.6, f"{found}: is it x that you guess from y?")
    expect(slope > 0.4, f"{found}: do pairs count in it whose y is far away?")


@exercise("01.4", "best_guess", kind="project", minutes=45, points=5)
def best_guess(answer, seed):
    at = torch.linspace(-1.5, 1.5, 31, dtype=torch.float64)
    x, noise = normal((20_000,), 19, seed), normal((20_000,), 20, seed)
    got = tensor(answer(x, x + noise, at), at, "the guesses")
    _on_a_line(at, got, float(x.abs().max()))
    for std in (0.7, 1.0):
        x, y, exact = _peaks(seed, 20_000, std)
        got = tensor(answer(x, y, at), at, "the guesses")
        off = float((got - exact(at)).square().mean().sqrt())
        high = float(got.abs().max())
        expect(
            high < 1.1,
            f"x is -1 or 1, and one of your guesses is {high:.3f}: no mean of such x is",
        )
        sure = float((got.abs() > 0.97).double().mean())
        expect(
            sure < 0.6,
            f"for noise of deviation {std} {100 * sure:.0f} % of your guesses are sure of "
            "one side, near y = 0 too: is it the likeliest x that you give, or its mean?",
        )
        expect(
            off < 0.1,
            f"x is -1 or 1, seen with noise of deviation {std}: your guesses miss the mean "
            f"of x given y by {off:.3f} (root mean square), with 20,000 pairs to learn "
            "from: do they follow the curve, and do they average over enough pairs?",
        )
