r"""Checks of chapter 01, notation and the probability that the book uses.

Moments are compared with samples and with what must hold for all numbers; a chain of a
few states is walked through by brute force.
"""

import math
from itertools import pairwise, product

import torch

from .exercise import (
    apart,
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


@exercise("01.1", "combine", kind="understanding", minutes=10, points=2)
def combine(answer, seed):
    cases = [_two_sums(11, seed, k) for k in range(3)]
    for a, b, x, y in cases:
        _one_part(answer, a, x)
        _other_part(answer, b, y)
        _independent(answer, a, b, x, y)
    yield 1, "factors, and parts that are independent"
    for a, b, x, y in cases:
        _together(answer, a, b, x, y)
    for a, _, x, _ in cases:
        _nothing(answer, a, x)
    yield 1, "parts that are not independent"


def _two_sums(*seed):
    r"""Two factors, and 20,000 draws of x and y of the same two noises.

    The last number of seed is that of the case: all positive in 0, in 1 both factors and
    the covariance negative, and so the mixed part; in 2 one factor and the covariance.
    """
    k, (first, sign) = seed[-1], (2 * steps(0, 1, 2, 12, *seed) - 1).tolist()
    a, b, c, d = (0.3 + 1.5 * uniform((4,), 13, *seed) + (k == 0)).tolist()
    n, m = normal((2, 20_000), 14, *seed)
    x, y = (1.3 * n + sign * c * m) * 0.5**k, (d if k == 0 else -d) * n + 0.2 * m
    first = (1, -1, first)[k]
    return first * a, (-first if k == 2 else first) * b, x, y


def _one_part(answer, a, x):
    v = float(x.var())
    got = number(answer(a, 0.0, v, 2.0, 0.5), "the variance")
    said, right = apart(got, a**2 * v)
    why = reason(
        got,
        (
            (abs(a) * math.sqrt(v), "is it a variance that you return, or its root?"),
            (a * v, "what does a factor do to deviations, and what to their squares?"),
            (abs(a) * v, "what does a factor do to deviations, and what to their squares?"),
        ),
        "what is left of c when a factor is 0, and what of v_y?",
    )
    expect(
        near(got, a**2 * v, rtol=1e-5),
        f"with b = 0 20,000 draws of {a:.3g} x have the variance {right} for an x of "
        f"variance {v:.4g}, you say {said}: {why}",
    )


def _other_part(answer, b, y):
    v = float(y.var())
    got = number(answer(0.0, b, 2.0, v, 0.5), "the variance")
    said, right = apart(got, b**2 * v)
    why = reason(
        got,
        ((-(b**2) * v, "can adding noise make a sum more certain?"),),
        "is y treated just as x is?",
    )
    expect(
        near(got, b**2 * v, rtol=1e-5),
        f"with a = 0 20,000 draws of {b:.3g} y have the variance {right} for a y of "
        f"variance {v:.4g}, you say {said}: {why}",
    )


def _independent(answer, a, b, x, y):
    v_x, v_y = float(x.var()), float(y.var())
    got = number(answer(a, b, v_x, v_y, 0.0), "the variance")
    said, right = apart(got, a**2 * v_x + b**2 * v_y)
    deviations = abs(a) * v_x**0.5, abs(b) * v_y**0.5
    why = reason(
        got,
        ((sum(deviations) ** 2, "is it deviations that add up, or variances?"),),
        "what adds up then, and does anything else remain?",
    )
    expect(
        near(got, a**2 * v_x + b**2 * v_y, rtol=1e-5),
        f"for independent parts of variances {a**2 * v_x:.4g} and {b**2 * v_y:.4g} the sum "
        f"has the variance {right} by fact 2, you say {said}: {why}",
    )


def _together(answer, a, b, x, y):
    v_x, v_y = float(x.var()), float(y.var())
    c = float(((x - x.mean()) * (y - y.mean())).sum() / (len(x) - 1))
    drawn = float((a * x + b * y).var())
    got = number(answer(a, b, v_x, v_y, c), "the variance")
    apart_from_c = a**2 * v_x + b**2 * v_y
    from_c, yours = drawn - apart_from_c, got - apart_from_c
    sign = (
        "when x and y rise together, does x + y spread more, or less?"
        if from_c > 0
        else "may the mixed part be negative?"
    )
    why = reason(
        yours,
        (
            (0, "are x and y independent?"),
            (-from_c, sign),
            (from_c / 2, "how often does the mixed term occur in a square of a sum?"),
            (
                from_c / a / b,
                "what is the covariance of a x and b y, when that of x and y is c?",
            ),
        ),
        "write the square of a sum out, and take the mean of each of its terms: which are "
        "there?",
    )
    said, right = apart(got, drawn)
    expect(
        near(got, drawn, rtol=1e-5, atol=1e-5),
        f"20,000 draws of {a:.3g} x + {b:.3g} y, whose x and y have variances of {v_x:.3g} "
        f"and {v_y:.3g} and the covariance {c:.3g}, have the variance {right}; you say "
        f"{said}: {why}",
    )


def _nothing(answer, a, x):
    v = float(x.var())
    got = number(answer(a, -a, v, v, v), "the variance")
    expect(
        near(got, 0, atol=1e-5),
        f"x - x is 0 and so is its variance, you say {got:.3g} for the factors {a:.3g} and "
        f"{-a:.3g}",
    )


SIGNS = ((1, -1, 1), (-1, 1, -1), (-1, -1, 1), (1, 1, -1))  # of m, y_1 and y_2 of 01.2


@exercise("01.2", "two_measurements", kind="derivation", minutes=20, points=3)
def two_measurements(answer, seed):
    cases = []
    for k in range(4):
        v, s_1, s_2 = ((0.2 + 3 * uniform((3,), 14, seed, k)) / (4, 1, 1, 1)[k]).tolist()
        far = 0.1 + (k == 3) + 2 * normal((3,), 15, seed, k).abs()
        m, y_1, y_2 = (far * torch.tensor(SIGNS[k])).tolist()
        cases.append((m, v, y_1, s_1, y_2, s_2))
    for case in cases:
        _one_is_blind(answer, *case)
    yield 1, "one measurement alone"
    told = [_mean_and_variance(answer, *case) for case in cases]
    for case, (_, variance) in zip(cases, told, strict=True):
        _how_sure(answer, variance, *case)
    yield 1, "the variance given both"
    for case, (mean, _) in zip(cases, told, strict=True):
        _where(mean, *case)
    yield 1, "the mean given both"


def _mean_and_variance(answer, *case):
    got = several(answer(*case), 2, "mean and variance")
    return tuple(number(x, "mean or variance") for x in got)


def _on_a_grid(m, v, y_1, s_1, y_2, s_2):
    r"""Mean and variance of x given both, from the product of the densities on a grid."""
    low, high = min(m, y_1, y_2), max(m, y_1, y_2)  # no mean of sources lies outside
    x = torch.linspace(low - 15, high + 15, 40_001, dtype=torch.float64)
    square = (x - m) ** 2 / v + (x - y_1) ** 2 / s_1 + (x - y_2) ** 2 / s_2
    p = (-(square - square.min()) / 2).exp()
    p = p / p.sum()
    mean = float((p * x).sum())
    return mean, float((p * (x - mean) ** 2).sum())


ENDLESS = 1e13  # a variance that leaves nothing to learn


def _one_is_blind(answer, m, v, y_1, s_1, y_2, s_2):
    mean, variance = _mean_and_variance(answer, m, v, y_1, ENDLESS, y_2, ENDLESS)
    said, right = apart(variance, v), apart(mean, m)
    why = reason(
        variance,
        (
            (v / 2, "how often did x's own law come in?"),
            (3 * v, "is it a mean over the sources, or what they know together?"),
            (v**2, "is v a variance, or a deviation?"),
            (v**0.5, "is it a variance that you return?"),
            (1 / v, "is it a variance that you return?"),
        ),
        "does what was known before count in it, and what of the sources adds up?",
    )
    expect(
        near(variance, v, rtol=1e-5),
        f"measurements with endless noise should leave the variance {said[1]} that was "
        f"known before, yours leave {said[0]}: {why}",
    )
    why = reason(
        mean,
        ((m / v, "is it a mean of the sources, whose weights add up to 1?"),),
        "may sources count alike that know so unequally much?",
    )
    expect(
        near(mean, m, rtol=1e-5, atol=1e-5),
        f"measurements with endless noise should leave the mean {right[1]} that was known "
        f"before, yours leave {right[0]}: {why}",
    )
    for name, one, y, s in (
        ("y_1", (m, v, y_1, s_1, y_2, ENDLESS), y_1, s_1),
        ("y_2", (m, v, y_1, ENDLESS, y_2, s_2), y_2, s_2),
    ):
        right, got = _on_a_grid(*one), _mean_and_variance(answer, *one)
        crossed = _on_a_grid(m, v, y_1, one[5], y_2, one[3])
        expect(
            not near(got, (m, v), rtol=1e-5, atol=1e-5),
            f"when {name} alone says something, your answer does not move from what was "
            "known before: should not each of the two measurements count?",
        )
        why = reason(
            got,
            (((crossed[0], right[1]), "which noise belongs to which measurement?"),),
            "what does fact 3 say of one measurement, and is s a variance?",
        )
        for i, what in enumerate(("mean", "variance")):
            said = apart(got[i], right[i])
            expect(
                near(got[i], right[i], rtol=1e-5, atol=1e-5),
                f"when {name} = {y:.3g} with noise of variance {s:.3g} is all that is "
                f"measured, the {what} of x ~ N({m:.3g}, {v:.3g}) given it is {said[1]} on "
                f"a grid, yours is {said[0]}: {why}",
            )


def _how_sure(answer, variance, m, v, y_1, s_1, y_2, s_2):
    expect(variance > 0, f"a variance is positive, yours is {variance:.3g}")
    expect(
        variance < min(v, s_1, s_2),
        f"your variance {variance:.4g} is not smaller than the smallest of {v:.4g}, "
        f"{s_1:.4g} and {s_2:.4g}: whoever learns more about x is less uncertain than "
        "by any single source",
    )
    _, spread = _on_a_grid(m, v, y_1, s_1, y_2, s_2)
    said, right = apart(variance, spread)
    why = reason(
        variance,
        (
            (math.sqrt(spread), "is it a variance?"),
            (3 * spread, "is it a mean over the sources, or what they know together?"),
        ),
        "what of the three sources adds up?",
    )
    expect(
        near(variance, spread, rtol=1e-5),
        f"on a grid the variance of x given both is {right}, yours is {said}: {why}",
    )
    _, other = _mean_and_variance(answer, m, v, y_2, s_2, y_1, s_1)
    expect(
        near(other, variance, rtol=1e-5),
        "which of two measurements is named first should not matter, your variance is "
        "{} and {}".format(*apart(variance, other)),
    )


def _where(mean, m, v, y_1, s_1, y_2, s_2):
    right, _ = _on_a_grid(m, v, y_1, s_1, y_2, s_2)
    said = apart(mean, right)
    expect(
        near(mean, right, rtol=1e-5, atol=1e-5),
        f"on a grid the mean of x given both measurements is {said[1]}, yours is {said[0]}"
        ": what do the three sources weigh, where does the square have its minimum?",
    )


@exercise("01.3", "way_back", kind="code", minutes=25, points=4)
def way_back(answer, seed):
    K, T = int(steps(3, 4, 1, 30, seed)), int(steps(4, 5, 1, 31, seed))
    Q = uniform((T, K, K), 16, seed) ** 2 + 0.05
    Q = Q / Q.sum(2, keepdim=True)
    ends = uniform((K * K,), 32, seed).argsort()  # all pairs of ends, in any order
    _first_step(answer, Q, ends)
    yield 1, "probabilities, and x_0 before the first step"
    _second_step(answer, Q, ends)
    yield 1, "both ends count"
    for t in (T, *range(3, T)):
        _any_step(answer, Q, ends, t)
    yield 2, "any step"


def _all_ways_back(answer, Q, ends, t):
    r"""The answer at t for all ends x_0 and x_t: (K, K, K), the state before comes last."""
    K = Q.shape[1]
    like = torch.zeros(K, dtype=torch.float64)
    what = f"the probabilities of the {K} states"
    p = torch.zeros(K * K, K, dtype=torch.float64)
    for n in ends.tolist():
        p[n] = tensor(answer(Q, t, n // K, n % K), like, what)
    off = int((p.sum(1) - 1).abs().argmax())
    total = "{} instead of {}".format(*apart(float(p[off].sum()), 1))
    expect(
        bool((p > -1e-9).all()),
        f"a probability is not negative, yours for t = {t} go down to {float(p.min()):.3g}",
    )
    expect(
        near(p[off].sum(), 1),
        f"probabilities of the state before should add up to 1, yours for t = {t} add up "
        f"to {total}: when x_t is known, is it still a joint probability?",
    )
    return p.reshape(K, K, K)


def _shares(Q, t):
    r"""Of all paths from x_0 to x_t, the share through each x_{t-1}: (K, K, K)."""
    K, chances = Q.shape[1], Q.tolist()
    counted = torch.zeros(K, K, K, dtype=torch.float64)
    for path in product(range(K), repeat=t + 1):
        chance = math.prod(chances[i][a][b] for i, (a, b) in enumerate(pairwise(path)))
        counted[path[0], path[t], path[t - 1]] += chance
    return counted / counted.sum(2, keepdim=True)


def _first_step(answer, Q, ends):
    p = _all_ways_back(answer, Q, ends, 1)
    still = [float(p[i, :, i].min()) for i in range(len(p))]
    i = min(range(len(p)), key=lambda i: still[i])
    expect(
        near(still[i], 1),
        f"at t = 1 the state before is x_0 = {i} itself, you give it a probability of "
        "{}: how many steps lead from x_0 to the state before?".format(*apart(still[i], 1)),
    )


def _worst(p, right):
    r"""The place (x_0, x_t, x_{t-1}) that is most wrong, and both numbers as texts."""
    place = int((p - right).abs().argmax())
    i, j, s = (int(n) for n in torch.unravel_index(torch.tensor(place), p.shape))
    return (i, j, s), *apart(float(p[i, j, s]), float(right[i, j, s]))


def _second_step(answer, Q, ends):
    p, right = _all_ways_back(answer, Q, ends, 2), _shares(Q, 2)
    (i, j, s), said, share = _worst(p, right)
    one, two = Q[0], Q[1]
    why = reason(
        p,
        (
            (_posterior(one, two.T), "from which state to which does the last step lead?"),
            (_posterior(one.T, two), "from which state to which does the first step lead?"),
            (_posterior(one, one), "does each step have a matrix of its own?"),
            (_posterior(two, two), "does each step have a matrix of its own?"),
            (
                _posterior(one @ two, two),
                "how many steps does the state before lie after x_0?",
            ),
        ),
        "which two things must happen on such a path, one before and one after the state "
        "that is asked for?",
    )
    expect(
        not near(p, p[:, :1].expand_as(p)),
        f"your probabilities for t = 2 are the same whichever x_2 was reached; of all "
        f"paths with x_0 = {i} and x_2 = {j} a share of {share} has x_1 = {s}, you say "
        f"{said}: what does the later end say?",
    )
    expect(
        not near(p, p[:1].expand_as(p)),
        f"your probabilities for t = 2 are the same from whichever x_0 one starts; of all "
        f"paths with x_0 = {i} and x_2 = {j} a share of {share} has x_1 = {s}, you say "
        f"{said}: what does the earlier end say?",
    )
    expect(
        near(p, right, rtol=1e-8),
        f"of all paths with x_0 = {i} and x_2 = {j} a share of {share} has x_1 = {s}, you "
        f"say {said}: {why}",
    )


def _posterior(before, step):
    r"""before[x_0, s] step[s, x_t], normalised over s: (K, K, K) over x_0, x_t, s."""
    joint = before[:, None, :] * step.T[None]
    return joint / joint.sum(2, keepdim=True)


def _any_step(answer, Q, ends, t):
    p, right = _all_ways_back(answer, Q, ends, t), _shares(Q, t)
    (i, j, s), said, share = _worst(p, right)
    first = torch.linalg.matrix_power(Q[0], t - 1)
    other_way = torch.linalg.multi_dot([*Q[: t - 1].flip(0)])
    last = torch.linalg.matrix_power(Q[t - 1], t - 1)
    why = reason(
        p,
        (
            (_posterior(first, Q[t - 1]), "is every step the first one?"),
            (_posterior(last, Q[t - 1]), "is every step like the last one?"),
            (_posterior(other_way, Q[t - 1]), "in which order are the steps walked?"),
            (_posterior(Q[t - 2], Q[t - 1]), "where was the chain before step t - 1?"),
            (_posterior(Q[0], Q[t - 1]), "how many steps lead to the state before?"),
        ),
        "which steps, and how many, lie before the state that is asked for?",
    )
    expect(
        near(p, right, rtol=1e-8),
        f"of all paths with x_0 = {i} and x_{t} = {j} a share of {share} has x_{t - 1} = "
        f"{s}, you say {said}: {why}",
    )


@exercise("01.4", "best_guess", kind="project", minutes=45, points=5)
def best_guess(answer, seed):
    m, a = (2 * uniform((2,), 50, seed) - 1).tolist()
    scatter, law = _on_a_line(answer, m, 0.8 + 0.4 * abs(a), seed)
    yield 1, "where the mean lies on a line, roughly"
    expect(
        scatter < 0.09,
        f"{law}. The means of x given y lie on a line, your guesses scatter around one by "
        f"{scatter:.3f}: do they average over enough pairs, and is each guess at the place "
        "of its own `at`?",
    )
    yield 1, "and to a root mean square of 0.1"
    middle, half, share, wide = uniform((4,), 51, seed).tolist()
    law = middle - 0.5, 0.9 + 0.1 * half, 0.4 + 0.2 * share
    _two_peaks(answer, *law, 0.9 + 0.2 * wide, seed)
    yield 1, "where it bends"
    _two_peaks(answer, *law, 0.75 + 0.1 * wide, seed)
    yield 2, "where it bends sharply"


def _places(low, high, *seed):
    r"""31 places between the two, in no order, among them places near either end."""
    ends = torch.tensor([0.02, 0.98], dtype=torch.float64)
    at = torch.cat([ends, uniform((29,), *seed)])
    order = uniform((31,), 52, *seed).argsort()
    return low + (high - low) * at[order]


def _on_a_line(answer, m, v, seed):
    r"""x ~ N(m, 1) is seen with noise of variance v: the means are a line, by fact 3.

    Returns by how much the guesses scatter around their own line, and the law in words.
    """
    x, noise = m + normal((20_000,), 19, seed), normal((20_000,), 20, seed)
    y, at = x + v**0.5 * noise, m + _places(-1.6, 1.6, 21, seed)
    got = tensor(answer(x, y, at), at, "the guesses")
    largest, high = float(x.abs().max()), float(got.abs().max())
    expect(
        high < largest,
        f"no x is larger than {largest:.4g}, and one of your guesses is {high:.4g}: is it "
        "a mean, or a sum?",
    )
    away = at - at.mean()
    slope = float((got * away).sum() / away.square().sum())
    scatter = float((got - got.mean() - slope * away).square().mean().sqrt())
    law = f"x ~ N({m:.2f}, 1) is seen with noise of variance {v:.2f}"
    expect(
        scatter < 0.25,
        f"{law}. The means of x given y lie on a line, your guesses scatter around one by "
        f"{scatter:.3f}: do they average over enough pairs, and is each guess at the place "
        "of its own `at`?",
    )
    right = 1 / (1 + v)
    found = (
        f"{law}, where by fact 3 the mean of x given y rises by {right:.2f} when y rises "
        f"by 1; your guesses rise by {slope:.2f}"
    )
    expect(slope < right + 0.1, f"{found}: is it x that you guess from y?")
    expect(slope > right - 0.1, f"{found}: do pairs count in it whose y is far away?")
    best = m + right * (at - m)
    off = float((got - best).mean())
    expect(
        abs(off) < 0.1,
        f"{law}. Your guesses are {abs(off):.3f} too {'high' if off > 0 else 'low'} on "
        "average: where does the line pass?",
    )
    return scatter, law


def _two_peaks(answer, middle, half, share, std, seed):
    r"""x is one of two numbers, middle + half with probability share, seen with noise."""
    side = torch.where(uniform((20_000,), 17, seed) < share, 1.0, -1.0).double()
    x = middle + half * side
    y = x + std * normal((20_000,), 18, seed)
    at = middle + _places(-1.5, 1.5, 22, seed)
    odds = math.log(share / (1 - share)) / 2
    best = middle + half * torch.tanh((at - middle) * half / std**2 + odds)
    got = tensor(answer(x, y, at), at, "the guesses")
    off = float((got - best).square().mean().sqrt())
    one, two = middle - half, middle + half
    outside = (got - middle).abs() > half + 0.1
    law = f"x is {one:.2f} or {two:.2f}, seen with noise of deviation {std:.2f}"
    expect(
        not bool(outside.any()),
        f"{law}, and one of your guesses is {float(got[outside][:1].sum()):.3f}: no mean "
        "of such x lies outside of the two",
    )
    unclear = (best - middle).abs() < 0.8 * half  # places where both are likely
    sure, of = (
        int((unclear & ((got - middle).abs() > 0.97 * half)).sum()),
        int(unclear.sum()),
    )
    expect(
        sure <= 0.6 * of,
        f"{law}: at {of} of the places both are likely, and at {sure} of these you are "
        "sure of one: is it the likeliest x that you give, or its mean?",
    )
    expect(
        off < 0.1,
        f"{law}: your guesses miss the mean of x given y by {off:.3f} (root mean square), "
        "with 20,000 pairs to learn from: do they follow the curve, and do they average "
        "over enough pairs?",
    )
