r"""Checks of chapter 15, editing.

Gaussian laws have exact answers to all questions here. Where a number is wrong, it is held
against those that usual mistakes make, as in chapter 08.
"""

import math

import torch

from .ch08 import asked_about, drawn_schedule
from .exercise import (
    apart,
    article,
    between,
    exercise,
    expect,
    near,
    normal,
    number,
    several,
    steps,
    tensor,
    uniform,
    whole,
)

ASKED = ("process.q_sample", "sampling.sampler.ddim_step", "sampling.sampler.sample")


@exercise("15.1", "starts", kind="understanding", minutes=10, points=3, lacks=ASKED)
def starts(answer, seed):
    drawn = [_stops(seed, k) for k in range(6)]
    for k, (schedule, stops) in enumerate(drawn):
        N = len(stops) - 1
        for made in (1, whole(2, N - 2, 151, seed, k), N - 1):
            _makes_so_many(answer, schedule, stops, made, between(0.02, 0.98, 152, seed, k))
    yield 1, "the number of steps"
    for k, (schedule, stops) in enumerate(drawn):
        made = whole(1, len(stops) - 2, 153, seed, k)
        _begins_here(answer, schedule, stops, made, between(0.1, 0.9, 154, seed, k))
    yield 1, "signal and noise where it starts"
    for schedule, stops in drawn:
        for made in (0, len(stops) - 1):
            _makes_so_many(answer, schedule, stops, made, 0)
            _begins_here(answer, schedule, stops, made, 0)
        _begins_here(answer, schedule, stops, 0, 0.5)
    yield 1, "and both ends"


def _stops(seed, k):
    r"""A schedule, and falling stops of unequal distances, from T to 0."""
    schedule = drawn_schedule(k % 3, 155, seed, k)
    inner = steps(1, schedule.T - 1, whole(6, 12, 156, seed, k), 157, seed, k).tolist()
    return schedule, [schedule.T, *sorted(set(inner), reverse=True), 0]


def _three(answer, schedule, stops, strength):
    got = several(
        answer(schedule.alpha_bar, list(stops), strength), 3, "steps, signal and noise"
    )
    return [number(v, "each of the three") for v in got]


def _strength(stops, made, more):
    N = len(stops) - 1
    return (made + more) / N if made < N else 1.0


def _makes_so_many(answer, schedule, stops, made, more):
    strength, N = _strength(stops, made, more), len(stops) - 1
    got, _, _ = _three(answer, schedule, stops, strength)
    near_t = min(range(N + 1), key=lambda i: abs(stops[i] - strength * schedule.T))
    suspects = (
        (N - made, "are those the steps that are made, or those that are left out?"),
        (N - made - 1, "are those the steps that are made, or those that are left out?"),
        (N - near_t, "is it a share of the steps, or of T?"),
        (strength * schedule.T, "is it a share of the steps, or of T?"),
        (int(strength * schedule.T), "is it a share of the steps, or of T?"),
        (made + 1, "is a part of a step made, and how many steps have so many stops?"),
        (strength * N, "is a part of a step made?"),
        (made - 1, "how many of the last steps are made?"),
    )
    question = asked_about(got, suspects, "which share of the steps is made?")
    expect(
        got == made,
        f"with {N + 1} stops and strength {strength:.4f}, {made} steps are made, you say "
        f"{got:.4g}: {question}",
    )


def _begins_here(answer, schedule, stops, made, more):
    strength, N = _strength(stops, made, more), len(stops) - 1
    _, signal, noise = _three(answer, schedule, stops, strength)
    a = float(schedule.alpha_bar[stops[N - made]])

    def at(i):
        share = float(schedule.alpha_bar[stops[min(max(i, 0), N)]])
        return math.sqrt(share), math.sqrt(1 - share)

    of_T = float(schedule.alpha_bar[int(strength * schedule.T)])
    got, right = (signal, noise), (math.sqrt(a), math.sqrt(1 - a))
    suspects = (
        ((a, 1 - a), "are those weights, or their squares?"),
        ((right[1], right[0]), "which of the two comes first?"),
        ((a, right[1]), "are those weights, or their squares?"),
        ((right[0], 1 - a), "are those weights, or their squares?"),
        (at(N - made + 1), "is that where the first step begins, or where it ends?"),
        (at(N - made - 1), "where does the first of the steps that are made begin?"),
        (at(made), "from which end are the stops counted?"),
        ((math.sqrt(of_T), math.sqrt(1 - of_T)), "is it a share of the steps, or of T?"),
        ((1 - strength, strength), "is a strength a weight?"),
        ((math.sqrt(1 - strength), math.sqrt(strength)), "is a strength a variance?"),
    )
    question = asked_about(got, suspects, "at which stop does the first step begin?")
    texts = [
        apart(*(b, b) if near(a, b) else (a, b)) for a, b in zip(got, right, strict=True)
    ]
    expect(
        near(got, right),
        f"with {N + 1} stops and strength {strength:.4f} the chain starts from "
        f"{texts[0][1]} of the picture and noise of deviation {texts[1][1]}, you say "
        f"{texts[0][0]} and {texts[1][0]}: {question}",
    )


SHAPES = (
    ((5, 3, 4, 4), torch.float64),
    ((4, 60), torch.float32),
    ((3, 2, 30), torch.float64),
    ((1, 40), torch.float64),
    ((2, 3, 4, 5), torch.float32),
)


@exercise("15.2", "turn", kind="code", minutes=25, points=4, lacks=ASKED)
def turn(answer, seed):
    for k in range(4):
        _has_this_length(answer, seed, k)
    yield 1, "the length"
    for k in range(4):
        _has_this_direction(answer, seed, k)
    for k, degrees in enumerate((3, 12, 25, 165)):
        _has_turned(answer, degrees, seed, k)
    yield 1, "the direction"
    for k, (shape, dtype) in enumerate(SHAPES):
        _turns_each(answer, shape, dtype, seed, k)
    yield 1, "batches of any shape and dtype"
    for dtype in (torch.float64, torch.float32):
        for k in range(2):
            _turns_where_there_is_no_angle(answer, dtype, seed, k)
    yield 1, "and noises that point the same way"


def _three_noises(shape, dtype, *seed):
    r"""Two noises of different lengths, and weights in (0, 1)."""
    a, b = (normal(shape, *seed, i, dtype=dtype) for i in range(2))
    w = (0.1 + 0.8 * uniform(shape[:1], *seed, 3)).to(dtype)
    return a, 1.7 * b, w


def _turned(a, b, w, lengths=True):
    r"""The answer by Gram and Schmidt: along a, and along what of b is at right angles."""
    shape = a.shape
    a, b, w = a.double().flatten(1), b.double().flatten(1), w.double()[:, None]
    of_a, of_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    along = a / of_a
    across = b - (b * along).sum(1, keepdim=True) * along
    angle = torch.atan2(across.norm(dim=1, keepdim=True), (b * along).sum(1, keepdim=True))
    across = across / across.norm(dim=1, keepdim=True).clamp(min=1e-300)
    unit = (w * angle).cos() * along + (w * angle).sin() * across
    length = (1 - w) * of_a + w * of_b if lengths else 1.0
    return (length * unit).reshape(shape)


def _has_this_length(answer, seed, k):
    a, b, w = _three_noises((4, whole(5, 9, 1521, seed, k)), torch.float64, 1522, seed, k)
    got = tensor(answer(a, b, w), a, "what lies between")
    found = got.norm(dim=1)
    of_a, of_b = a.norm(dim=1), b.norm(dim=1)
    right = (1 - w) * of_a + w * of_b
    line = ((1 - w[:, None]) * a + w[:, None] * b).norm(dim=1)
    cosine = (a * b).sum(1) / of_a / of_b
    angle = cosine.clamp(-1, 1).acos()
    left, rest = ((1 - w) * angle).sin() / angle.sin(), (w * angle).sin() / angle.sin()
    chord = (left[:, None] * a + rest[:, None] * b).norm(dim=1)
    suspects = (
        (line, "how long is the mean of two noises?"),
        (chord, "are both noises as long as each other here?"),
        (torch.ones_like(w), "has a direction a length of its own?"),
        (of_a, "which length has it at w = 1?"),
        (of_b, "which length has it at w = 0?"),
        ((1 - w) * of_b + w * of_a, "which of the two is it at w = 0?"),
        (of_a ** (1 - w) * of_b**w, "does the length grow evenly with w?"),
    )
    question = asked_about(found, suspects, "which length lies between the two lengths?")
    i = int((found - right).abs().argmax())
    mine, wanted = apart(float(found[i]), float(right[i]))
    expect(
        near(found, right, rtol=1e-8),
        f"between lengths {float(of_a[i]):.4g} and {float(of_b[i]):.4g} at w = "
        f"{float(w[i]):.3g} it should be {wanted} long, yours is {mine}: {question}",
    )


def _degrees(u, v):
    cosine = (u * v).sum(1) / u.norm(dim=1) / v.norm(dim=1)
    return cosine.clamp(-1, 1).acos() * 180 / math.pi


def _has_this_direction(answer, seed, k):
    a, b, w = _three_noises((4, whole(3, 9, 1523, seed, k)), torch.float64, 1524, seed, k)
    got = tensor(answer(a, b, w), a, "what lies between")
    right = _turned(a, b, w)
    of_a, of_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    wide, length = w[:, None], right.norm(dim=1, keepdim=True)

    def with_length(x):
        return x / x.norm(dim=1, keepdim=True) * length

    suspects = (
        (with_length((1 - wide) * a + wide * b), "does the angle grow evenly with w?"),
        (
            with_length((1 - wide) * a / of_a + wide * b / of_b),
            "does it grow evenly with w?",
        ),
        (with_length(_turned(a, b, 1 - w)), "which of the two is it at w = 0?"),
        (
            with_length((1 - wide).sqrt() * a + wide.sqrt() * b),
            "does the angle grow evenly with w?",
        ),
        (
            with_length((1 - wide) ** 0.5 * a / of_a + wide**0.5 * b / of_b),
            "does it grow evenly with w?",
        ),
    )
    question = asked_about(got, suspects, "in which plane does it turn, and how far?")
    i = int((got - right).abs().amax(1).argmax())
    whole_angle, mine = _degrees(a, b), _degrees(a, got)
    expect(
        near(got, right, rtol=1e-8, atol=1e-9),
        f"of the {float(whole_angle[i]):.4g} degrees from a to b your result has gone "
        f"{float(mine[i]):.4g} at w = {float(w[i]):.4g}, and is "
        f"{float(_degrees(got, b)[i]):.4g} from b: {question}",
    )


def _has_turned(answer, degrees, seed, k):
    r"""The same for one angle, such as random noises seldom have."""
    a, other, w = _three_noises((3, 4, 5), torch.float64, 1527, seed, k)
    a, w = a.flatten(1), 0.2 + 0.6 * w
    unit = a / a.norm(dim=1, keepdim=True)
    across = other.flatten(1)
    across = across - (across * unit).sum(1, keepdim=True) * unit
    across = across / across.norm(dim=1, keepdim=True)
    angle = math.radians(degrees + between(0, 3, 1528, seed, k))
    b = 7 * (math.cos(angle) * unit + math.sin(angle) * across)
    got = tensor(answer(a, b, w), a, "what lies between")
    right, of_a = _turned(a, b, w), _degrees(a, got)
    i = int((got - right).abs().amax(1).argmax())
    line = _degrees(a, (1 - w[:, None]) * unit + w[:, None] * b / 7)
    suspects = ((line, "does the angle grow evenly with w?"),)
    question = asked_about(of_a, suspects, "is it the same turn at all angles?")
    expect(
        near(got, right, rtol=1e-7, atol=1e-7),
        f"of {math.degrees(angle):.4g} degrees from a to b your result has gone "
        f"{float(of_a[i]):.6g} at w = {float(w[i]):.4g}, it should have gone "
        f"{float(_degrees(a, right)[i]):.6g}, and {float(right[i].norm()):.6g} long, not "
        f"{float(got[i].norm()):.6g}: {question}",
    )


def _turns_each(answer, shape, dtype, seed, k):
    a, b, w = _three_noises(shape, dtype, 1525, seed, k)
    if shape[0] > 2:
        w[0], w[1] = 0.0, 1.0
    got = tensor(answer(a, b, w), a, "what lies between")
    off = (got.double() - _turned(a, b, w)).abs().flatten(1).amax(1)
    i = int(off.argmax())
    expect(
        float(off[i]) < 1e-3,
        f"for noises of shape {tuple(shape)} in {dtype}, at w = {float(w[i]):.3g}, the "
        f"result is off by {float(off[i]):.3g}: over which entries do one example's "
        "length and angle go?",
    )


def _turns_where_there_is_no_angle(answer, dtype, seed, k):
    r"""The same noise, a longer one, and one that is next to it."""
    for shape in ((6, 20), (6, 3, 4)):
        a, other, w = _three_noises(shape, dtype, 1526, seed, k)
        b = torch.stack([a[0], 3 * a[1], a[2], 0.5 * a[3], a[4], other[5]])
        b[4] += 1e-4 * other[4]
        w[2] = 0.0
        got = answer(a, b, w)
        if (
            isinstance(got, torch.Tensor)
            and got.shape == a.shape
            and got.is_floating_point()
        ):
            bad = (~torch.isfinite(got)).flatten(1).any(1)
            if bool(bad.any()):
                i = int(bad.int().argmax())
                angle = float(_degrees(a.double().flatten(1), b.double().flatten(1))[i])
                expect(
                    False,
                    f"where the angle is {angle:.2g} degrees the result has nan or inf: "
                    "what is divided by what?",
                )
        got = tensor(got, a, "what lies between")
        wide = w.double().reshape(-1, *[1] * (a.dim() - 1))
        right = (1 - wide) * a.double() + wide * b.double()
        right[5] = _turned(a, b, w)[5]
        off = (got.double() - right).abs().flatten(1).amax(1)
        i = int(off.argmax())
        angle = float(_degrees(a.double().flatten(1), b.double().flatten(1))[i])
        expect(
            float(off[i]) < 2e-3,
            f"in {dtype}, where the angle is {angle:.2g} degrees, the result at w = "
            f"{float(w[i]):.3g} is off by {float(off[i]):.3g}: what do the weights of a "
            "and b come near, if the angle becomes small?",
        )


@exercise("15.3", "posterior", kind="derivation", minutes=25, points=4, lacks=ASKED)
def posterior(answer, seed):
    for k in range(3):
        _fills_one_entry_in(answer, seed, k)
    yield 1, "one entry is known"
    for k in range(3):
        _has_this_mean(answer, *_measured(seed, k))
    yield 1, "the mean after a measurement"
    for k in range(3):
        _has_this_covariance(answer, *_measured(seed, k))
    yield 1, "and its covariance"
    for k in range(3):
        _twice_is_once(answer, *_measured(seed, k))
        _exact_measurements(answer, seed, k)
    yield 1, "one after the other, and without noise"


def _law(D, *seed):
    W = normal((D, D + 2), *seed, 1)
    return 2 * normal((D,), *seed, 2), W @ W.T / D


def _measured(seed, k):
    D, M = whole(3, 6, 1531, seed, k), whole(1, 3, 1532, seed, k)
    mean, cov = _law(D, 1533, seed, k)
    A, y = normal((M, D), 1534, seed, k), 2 * normal((M,), 1535, seed, k)
    return mean, cov, A, y, between(0.2, 1.5, 1536, seed, k)


def _both(answer, mean, cov, A, y, s2):
    got = several(answer(mean, cov, A, y, s2), 2, "a mean and a covariance")
    return tensor(got[0], mean, "the mean"), tensor(got[1], cov, "the covariance")


def _after(mean, cov, A, y, s2):
    r"""Precisions add up: the mean and the covariance, for s2 > 0."""
    precision = torch.linalg.inv(cov) + A.T @ A / s2
    after = torch.linalg.inv(precision)
    return after @ (torch.linalg.solve(cov, mean) + A.T @ y / s2), after


def _fills_one_entry_in(answer, seed, k):
    r"""Two entries, the first one known: the line of regression."""
    mean, cov = _law(2, 1537, seed, k)
    i = k % 2
    A = torch.zeros(1, 2, dtype=torch.float64)
    A[0, i] = 1.0
    y = normal((1,), 1538, seed, k)
    got, spread = _both(answer, mean, cov, A, y, 0.0)
    j, off = 1 - i, float(y[0] - mean[i])
    slope = float(cov[0, 1] / cov[i, i])
    right, left = float(mean[j]) + slope * off, float(cov[j, j] - slope * cov[0, 1])
    mine = float(got[j])
    suspects = (
        (float(mean[j]), "what does the known entry say about the other one?"),
        (float(mean[j]) + float(cov[0, 1]) * off, "how wide is the known entry's law?"),
        (
            float(mean[j]) + float(cov[0, 1] / cov[i, i].sqrt() / cov[j, j].sqrt()) * off,
            "is the slope a correlation?",
        ),
        (float(mean[j]) + float(cov[0, 1] / cov[j, j]) * off, "a slope in which units?"),
        (float(mean[j]) + slope * float(y[0]), "what did you expect to measure?"),
        (slope * off, "where is the mean that you began with?"),
        (float(mean[j]) - slope * off, "is y larger than expected, or smaller?"),
        (slope * float(y[0]), "where are the means?"),
    )
    question = asked_about(mine, suspects, "which line does the other entry follow?")
    said, wanted = apart(mine, right)
    expect(
        near(mine, right, rtol=1e-8),
        f"one of two entries is known to be {off:.3g} above its mean; the other one then "
        f"has the mean {wanted}, you say {said}: {question}",
    )
    expect(
        near(got[i], y[0], rtol=1e-8),
        f"an entry that is known to be {float(y[0]):.4g} has the mean {float(got[i]):.4g} "
        "by your answer: is it known?",
    )
    wanted_spread = torch.zeros(2, 2, dtype=torch.float64)
    wanted_spread[j, j] = left
    said, wanted = apart(float(spread[j, j]), left)
    expect(
        near(spread, wanted_spread, rtol=1e-7, atol=1e-10),
        f"with one of two entries known, the other one has the variance {wanted}, you say "
        f"{said}, and {float(spread[i, i]):.4g} for the known one: how much of each "
        "variance is explained?",
    )


def _has_this_mean(answer, mean, cov, A, y, s2):
    got, _ = _both(answer, mean, cov, A, y, s2)
    right, _ = _after(mean, cov, A, y, s2)

    def by(S, off=None, C=cov):
        off = y - A @ mean if off is None else off
        return mean + C @ A.T @ torch.linalg.solve(S, off)

    eye = torch.eye(len(y), dtype=torch.float64)
    S = A @ cov @ A.T + s2 * eye
    suspects = (
        (by(A @ cov @ A.T), "is the measurement exact?"),
        (by(A @ cov @ A.T + s2**2 * eye), "is s2 a variance, or a deviation?"),
        (by(A @ cov @ A.T + math.sqrt(s2) * eye), "is s2 a variance, or a deviation?"),
        (by(S, y), "what did you expect to measure?"),
        (by(S, A @ mean - y), "is y larger than expected, or smaller?"),
        (by(S) - mean, "where is the mean that you began with?"),
        (by(A @ A.T + s2 * eye, C=torch.eye(len(mean)).double()), "how wide is the law?"),
        (by(A @ cov @ A.T + s2), "are the errors of two measurements independent?"),
        (by(eye), "by which variance is the difference divided?"),
        (by(s2 * eye), "how uncertain was A x before?"),
        (mean, "what does the measurement say?"),
    )
    question = asked_about(got, suspects, "how uncertain is A x, and how uncertain is y?")
    off = float((got - right).abs().max())
    left = float((A @ got - y).abs().max())
    expect(
        near(got, right, rtol=1e-7, atol=1e-9),
        f"with {len(y)} measurements of variance {s2:.3g} your mean is off by up to "
        f"{off:.3g} and misses y by up to {left:.3g}: {question}",
    )


def _has_this_covariance(answer, mean, cov, A, y, s2):
    _, got = _both(answer, mean, cov, A, y, s2)
    _, right = _after(mean, cov, A, y, s2)
    eye = torch.eye(len(y), dtype=torch.float64)
    S = A @ cov @ A.T + s2 * eye
    K = cov @ A.T @ torch.linalg.inv(S)
    suspects = (
        (cov, "what does the measurement take away?"),
        (cov - right, "is that the variance that is left, or that which is explained?"),
        (cov + K @ A @ cov, "does a measurement make the law wider?"),
        (S, "is it the covariance of x, or of the measurement?"),
        (cov - K @ K.T, "which shape has what is taken away?"),
        (
            cov - cov @ A.T @ torch.linalg.inv(A @ cov @ A.T) @ A @ cov,
            "is the measurement exact?",
        ),
        (torch.linalg.inv(right), "is that a covariance, or a precision?"),
    )
    question = asked_about(got, suspects, "how much of the variance does y explain?")
    mine, wanted = apart(float(got.trace()), float(right.trace()))
    expect(
        near(got, right, rtol=1e-7, atol=1e-9),
        f"with {len(y)} measurements of variance {s2:.3g}, {wanted} is left of the "
        f"variance {float(cov.trace()):.4g}, you say {mine}: {question}",
    )


def _twice_is_once(answer, mean, cov, A, y, s2):
    more = torch.cat([A, A.flip(1)[:1]])
    seen = torch.cat([y, 1 - y[:1]])
    at_once = _both(answer, mean, cov, more, seen, s2)
    first = _both(answer, mean, cov, A, y, s2)
    then = _both(answer, *first, more[-1:], seen[-1:], s2)
    off = max(float((a - b).abs().max()) for a, b in zip(at_once, then, strict=True))
    expect(
        off < 1e-7,
        f"{len(seen)} measurements at once and the last one after the others differ by up "
        f"to {off:.3g}: does your answer need the order?",
    )


def _exact_measurements(answer, seed, k):
    r"""As many exact measurements as entries: nothing is left open."""
    D = whole(2, 4, 1539, seed, k)
    mean, cov = _law(D, 1540, seed, k)
    A = normal((D, D), 1541, seed, k) + 2 * torch.eye(D, dtype=torch.float64)
    x = normal((D,), 1542, seed, k)
    got, left = _both(answer, mean, cov, A, A @ x, 0.0)
    off, spread = float((got - x).abs().max()), float(left.abs().max())
    expect(
        off < 1e-6 and spread < 1e-6,
        f"{D} exact measurements of {D} entries leave nothing open, your mean is off by "
        f"{off:.3g}, your covariance goes up to {spread:.3g}: where is a division by s2?",
    )


@exercise("15.4", "guided", kind="project", minutes=50, points=5, lacks=ASKED)
def guided(answer, seed):
    drawn = [_asking(seed, k) for k in range(3)]
    for given in drawn:
        _asks_once(answer, *given)
    yield 1, "what the network is asked"
    for given in drawn:
        _pulls_this(answer, *given)
    yield 1, "the pull of the measurement"
    for given in drawn:
        _moves_so_far(answer, *given)
    yield 1, "and how far it moves x_0"
    for k in range(3):
        _is_exact_for_a_gaussian(answer, seed, k)
    yield 2, "a Gaussian's exact x_0, at all noise levels"


class _Network:
    r"""A guess of x_0 and products of a row with its Jacobian, which note what is asked."""

    def __init__(self, guess, pull):
        self.of_guess, self.of_pull, self.guesses, self.pulls = guess, pull, [], []

    def denoise(self, x):
        self.guesses.append(_batch(x, "x"))
        return self.of_guess(x)

    def pull(self, x, w):
        self.pulls.append((_batch(x, "x"), _batch(w, "w")))
        if w.shape != x.shape:
            raise ValueError(f"pull wants w like x, {tuple(x.shape)}, it got {article(w)}")
        return self.of_pull(x, w)


def _batch(x, what):
    if not (isinstance(x, torch.Tensor) and x.dim() == 2 and x.dtype == torch.float64):
        raise ValueError(f"{what} should be (B, D) in float64, it is {article(x)}")
    return x


def _asking(seed, k):
    B, D, M = whole(3, 5, 1543, seed, k), whole(3, 5, 1544, seed, k), 1 + k
    x, A = normal((B, D), 1545, seed, k), normal((M, D), 1546, seed, k)
    y, W = normal((B, M), 1547, seed, k), normal((D, D), 1548, seed, k)
    a, r2, s2 = (0.1 + 0.7 * uniform((3,), 1549, seed, k)).tolist()

    def guess(x):
        return torch.tanh(x @ W.T)

    def pull(x, w):
        return ((1 - torch.tanh(x @ W.T) ** 2) * w) @ W

    return guess, pull, x, a, A, y, r2, s2


def _asked(answer, guess, pull, *given):
    network = _Network(guess, pull)
    got = answer(network.denoise, network.pull, *given)
    return tensor(got, given[0], "the guess of x_0"), network


def _asks_once(answer, guess, pull, x, a, A, y, r2, s2):
    _, network = _asked(answer, guess, pull, x, a, A, y, r2, s2)
    for asked, what in ((network.guesses, "denoise"), (network.pulls, "pull")):
        expect(
            len(asked) == 1,
            f"{what} is called {len(asked)} times: how often do you need it?",
        )
    for state, what in ((network.guesses[0], "denoise"), (network.pulls[0][0], "pull")):
        expect(
            near(state, x),
            f"{what} is asked about a state that is off by "
            f"{_off(state, x)} from x_t: where is the Jacobian taken?",
        )


def _off(a, b):
    return f"{float((a - b).abs().max()):.3g}" if a.shape == b.shape else "its shape"


def _pulls_this(answer, guess, pull, x, a, A, y, r2, s2):
    _, network = _asked(answer, guess, pull, x, a, A, y, r2, s2)
    got, off = network.pulls[0][1], y - guess(x) @ A.T
    eye = torch.eye(len(A), dtype=torch.float64)

    def by(S, off=off):
        return torch.linalg.solve(S, off.T).T @ A

    S = r2 * A @ A.T + s2 * eye
    right = by(S)
    suspects = (
        (-right, "towards y, or away from it?"),
        (by(A @ A.T + s2 * eye), "how uncertain is the guess of x_0?"),
        (by(r2 * A @ A.T), "is the measurement exact?"),
        (by(r2 * A @ A.T + s2**2 * eye), "is s2 a variance, or a deviation?"),
        (by(r2 * A @ A.T + math.sqrt(s2) * eye), "is s2 a variance, or a deviation?"),
        (by(r2**2 * A @ A.T + s2 * eye), "is r2 a variance, or a deviation?"),
        (by(math.sqrt(r2) * A @ A.T + s2 * eye), "is r2 a variance, or a deviation?"),
        (by(r2 * eye + s2 * eye), "how uncertain is A times x_0?"),
        (by(r2 * A @ A.T + s2), "are the errors of two measurements independent?"),
        (by(s2 * eye), "how uncertain is the guess of x_0?"),
        (off @ A, "by which variance is the difference divided?"),
        (by(S, y), "what would the guess have measured?"),
        (by(S, y - x @ A.T), "is it x_t that is measured, or x_0?"),
        (r2 * right, "is that what pull wants, or is there a factor too many?"),
    )
    question = asked_about(
        got, suspects, "what is the slope of log N(y; A x_0, ...) in x_0?"
    )
    mine, wanted = apart(float(got[0, 0]), float(right[0, 0]))
    expect(
        near(got, right, rtol=1e-9, atol=1e-11),
        f"the guess misses y by up to {float(off.abs().max()):.3g}; the slope of log p(y | "
        f"x_0) that you give to pull begins with {mine}, not with {wanted}: {question}",
    )


def _moves_so_far(answer, guess, pull, x, a, A, y, r2, s2):
    said = normal(x.shape, 1550, x.shape[1])
    got, _ = _asked(answer, guess, lambda x, w: said, x, a, A, y, r2, s2)
    moved = got - guess(x)

    suspects = (
        (-(1 - a) / math.sqrt(a) * said, "towards y, or away from it?"),
        (said, "by how much does x_0 move with the score?"),
        ((1 - a) * said, "which factor has the score in x_0, if it is scaled?"),
        (math.sqrt(1 - a) * said, "is that the step of x_0, or of the noise?"),
        (-math.sqrt(1 - a) * said, "is that the step of x_0, or of the noise?"),
        (math.sqrt(1 - a) / math.sqrt(a) * said, "is 1 - alpha_bar a variance?"),
        ((1 - a) / a * said, "is x_t divided by alpha_bar, or by its root?"),
        (r2 * said, "is that so for every law, or for one?"),
        (math.sqrt(a) / (1 - a) * said, "which factor has the score in x_0?"),
        (r2 * (1 - a) / math.sqrt(a) * said, "is r2 in there twice?"),
        (0 * said, "what becomes of what pull gives?"),
    )
    question = asked_about(moved, suspects, "how does x_0 follow from x_t and the score?")
    i = int(said[0].abs().argmax())
    mine, wanted = apart(float(moved[0, i] / said[0, i]), (1 - a) / math.sqrt(a))
    expect(
        near(moved, (1 - a) / math.sqrt(a) * said, rtol=1e-7, atol=1e-9),
        f"for alpha_bar = {a:.4g} what pull gives moves x_0 by {wanted} times, yours "
        f"by {mine}: {question}",
    )


def _is_exact_for_a_gaussian(answer, seed, k):
    r"""For N(m, v) in each entry the exact E[x_0 | x_t, y], with r2 the right variance."""
    B, D, M = 4, whole(3, 5, 1551, seed, k), whole(1, 3, 1552, seed, k)
    v, m = between(0.3, 2, 1553, seed, k), normal((D,), 1554, seed, k)
    A, eye = normal((M, D), 1555, seed, k), torch.eye(D, dtype=torch.float64)
    for i, a in enumerate((0.02, between(0.2, 0.8, 1556, seed, k), 0.98)):
        for s2 in (0.0, between(0.1, 1, 1557, seed, k, i)):
            x = normal((B, D), 1558, seed, k, i)
            y = normal((B, M), 1559, seed, k, i)
            total = a * v + 1 - a
            gain = math.sqrt(a) * v / total
            got, _ = _asked(
                answer,
                lambda x, gain=gain, a=a: m + gain * (x - math.sqrt(a) * m),
                lambda x, w, gain=gain: gain * w,
                *(x, a, A, y, v * (1 - a) / total, s2),
            )
            law = m.expand(B, D), v * eye
            noised = math.sqrt(a) * eye
            for row in range(B):
                mean, cov = _after(law[0][row], law[1], noised, x[row], 1 - a)
                S = A @ cov @ A.T + s2 * torch.eye(M, dtype=torch.float64)
                right = mean + cov @ A.T @ torch.linalg.solve(S, y[row] - A @ mean)
                expect(
                    near(got[row], right, rtol=1e-6, atol=1e-7),
                    f"for a Gaussian law, alpha_bar = {a:.3g} and {M} measurements of "
                    f"variance {s2:.3g} the exact E[x_0 | x_t, y] is off by up to "
                    f"{_off(got[row], right)} from yours: does it hold at all noise "
                    "levels, and for each example with its own y?",
                )
