r"""Checks of chapter 13, score and SDE.

The laws have log densities that autograd can differentiate, so that scores are held
against slopes. Functions that are handed in note what they are asked. Where a number is
wrong, it is held against those that usual mistakes make, as in chapter 08.
"""

import math

import torch

from ..process import v_from_x_0
from .ch08 import SHAPES, asked_about, drawn_schedule
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

ASKED = ("process.transition", "process.score_from_noise", "sampling.sampler.ddim_step")


@exercise("13.1", "two_scores", kind="understanding", minutes=15, points=3, lacks=ASKED)
def two_scores(answer, seed):
    drawn = [_two_peaked(answer, 151, seed, k) for k in range(3)]
    for given in drawn:
        _is_the_slope(*given, 0)
    yield 1, "the slope of the law of x_t"
    for given in drawn:
        _is_the_slope(*given, 1)
    yield 1, "and that of the law of X"
    for k, (shape, dtype) in enumerate(SHAPES):
        _for_each_its_own(answer, shape, dtype, seed, k)
    yield 1, "for batches of any shape and dtype"


def _log_density(x, a, means, v):
    r"""log q(x_t) (B,) of two peaks, up to a constant: x (B, D), a (B,), means (2, D)."""
    off = x[:, None] - a.sqrt()[:, None, None] * means
    return (-off.square().sum(2) / (2 * (a * v + 1 - a)[:, None])).logsumexp(1)


def _two_peaked(answer, *seed):
    r"""A schedule, states, and the best v of two peaks: from E[x_0 | x_t] by Bayes."""
    schedule = drawn_schedule(seed[-1], *seed)
    means, v = 1.5 * normal((2, 2), *seed, 1), between(0.1, 0.6, *seed, 2)
    t = steps(schedule.T // 20, schedule.T * 2 // 3, 5, *seed, 3)
    t[0], t[1] = 1, schedule.T
    a = schedule.alpha_bar[t]
    x_t = 1.5 * normal((5, 2), *seed, 4)
    off = x_t[:, None] - a.sqrt()[:, None, None] * means
    spread = (a * v + 1 - a)[:, None]
    weights = (-off.square().sum(2) / (2 * spread)).softmax(1)[:, :, None]
    guesses = means + (a.sqrt() * v)[:, None, None] / spread[:, :, None] * off
    x_0 = (weights * guesses).sum(1)
    return answer, schedule, x_t, v_from_x_0(schedule, x_t, t, x_0), t, means, v


def _scores(answer, alpha_bar, x_t, v, t):
    got = several(answer(alpha_bar, x_t, v, t), 2, "the two scores")
    return tensor(got[0], x_t, "the score of x_t"), tensor(got[1], x_t, "the score of X")


def _is_the_slope(answer, schedule, x_t, v_pred, t, means, v, which):
    a = schedule.alpha_bar[t]
    x = x_t.clone().requires_grad_()
    slope = torch.autograd.grad(_log_density(x, a, means, v).sum(), x)[0]
    root, share = a.sqrt()[:, None], (1 - a).sqrt()[:, None]
    right = (slope, root * slope)[which]
    got = _scores(answer, schedule.alpha_bar, x_t, v_pred, t)[which]
    noise, x_0 = -share * slope, (x_t + share**2 * slope) / root
    suspects = (
        (-right, "which way does log q rise, and which way does noise go?"),
        (noise, "is that the noise, or the score?"),
        (-noise, "how much noise is there in x_t, as a deviation?"),
        (
            -noise / share**2,
            "is it divided by the variance of the noise, or its deviation?",
        ),
        (-v_pred / share, "what is v, and what is the noise?"),
        (-v_pred, "what is v, and what is the noise?"),
        (-x_0 / share, "is it x_0 or the noise that a score points away from?"),
        (slope, "how far does x_t move when X moves by 1?"),
        (root * slope, "which of the two scores comes first?"),
        (slope / root, "how far does x_t move when X moves by 1?"),
        (root**2 * slope, "how far does x_t move when X moves by 1?"),
        (noise * root / share, "which way does log q rise, and which way does noise go?"),
        (-root * noise, "what is the deviation of the noise in X?"),
        (-(root * v_pred - share * x_t) / share, "which sign has x_t in the noise?"),
        (-(share * v_pred + root * x_t) / share, "is that the noise, or x_0?"),
    )
    question = asked_about(got, suspects, "what are noise and x_0, if v is known?")
    if near(got[2:], right[2:], rtol=1e-6, atol=1e-9):  # t[:2] is 1 and T
        question = "are t = 1 and t = T steps like all others?"
    of = ("x_t", "X")[which]
    i = int(((got - right).abs() / (1e-6 + right.abs())).sum(1).argmax())
    step = 1e-3
    mine, wanted = apart(step * float(got[i, 0]), step * float(right[i, 0]))
    expect(
        near(got, right, rtol=1e-6, atol=1e-9),
        f"if the first entry of {of} grows by {step}, with t = {int(t[i])} of "
        f"{schedule.T}, the log density of {of} changes by {wanted}, by your score it "
        f"changes by {mine}: {question}",
    )


def _for_each_its_own(answer, shape, dtype, seed, k):
    schedule = drawn_schedule(k % 3, 152, seed, k)
    x_t, v = (normal(shape, 153, seed, k, i, dtype=dtype) for i in range(2))
    t = steps(schedule.T // 10, schedule.T * 4 // 5, shape[0], 154, seed, k)
    got = _scores(answer, schedule.alpha_bar, x_t, v, t)
    a = schedule.alpha_bar[t].reshape(-1, *[1] * (len(shape) - 1))
    noise = a.sqrt() * v.double() + (1 - a).sqrt() * x_t.double()
    score = -noise / (1 - a).sqrt()
    off = max(
        float((mine.double() - right).abs().max())
        for mine, right in zip(got, (score, a.sqrt() * score), strict=True)
    )
    expect(
        off < 1e-3,
        f"for x_t of shape {tuple(shape)} in {dtype} your scores are off by up to "
        f"{off:.3g}, and for points they are not: along which axes of such a batch does "
        "each example have its own numbers?",
    )


@exercise("13.2", "langevin", kind="derivation", minutes=20, points=4, lacks=ASKED)
def langevin(answer, seed):
    drawn = [_walk(155, seed, k) for k in range(6)]
    for v, h, start, _ in drawn:
        for n in (1, 0):
            _has_this_variance(answer, v, h, start, n)
    yield 1, "the variance after one step"
    for v, h, start, n in drawn:
        _has_this_variance(answer, v, h, start, n)
        _has_this_variance(answer, v, v + h, 0.0, n)
    yield 1, "and after several"
    for v, h, start, n in drawn[:3]:
        _settles(answer, v, h, start, n)
        _settles(answer, v, between(1.2, 1.9, 156, seed, n) * v, start, n)
    yield 1, "where it settles"
    for v, h, start, n in drawn[3:]:
        _settles(answer, v, (2.1 + h / v) * v, start, n)
        _settles(answer, v, 2 * v, start, n)
        for step in ((2.1 + h / v) * v, 2 * v):
            _has_this_variance(answer, v, step, start, n)
    yield 1, "and where it does not"


def _walk(*seed):
    v, h, start, n = uniform((4,), *seed).tolist()
    v = math.exp(2 * v - 1)
    return v, (0.1 + 0.8 * h) * v, 3 * start * v, 2 + int(5 * n)


def _after(v, h, start, n):
    r"""The variance, by the mean of x^2 over the two parts of each step."""
    kept = 1 - h / v
    return start * kept ** (2 * n) + 2 * h * sum(kept ** (2 * k) for k in range(n))


def _both_variances(answer, v, h, start, n):
    got = several(answer(v, h, start, n), 2, "two variances")
    return number(got[0], "the variance after n steps"), got[1]


def _has_this_variance(answer, v, h, start, n):
    got, _ = _both_variances(answer, v, h, start, n)
    right = _after(v, h, start, n)
    kept = 1 - h / v
    mean = start * kept**n + 2 * h * sum(kept**k for k in range(n))
    suspects = (
        (_after(v, h, start, n + 1), "how many steps are made?"),
        (_after(v, h, start, n - 1) if n else right, "how many steps are made?"),
        (start * kept ** (2 * n), "where is the fresh noise?"),
        (_after(v**2, h, start, n), "is v a variance, or a deviation?"),
        (_after(math.sqrt(v), h, start, n), "is v a variance, or a deviation?"),
        (_after(v, h, start**2, n), "is start a variance, or a deviation?"),
        (mean, "what becomes of a variance when x is multiplied by a number?"),
        (math.sqrt(right), "is that a variance, or a deviation?"),
        ((right - start * kept ** (2 * n)) / 2 + start * kept ** (2 * n), NOISE),
        (v, "is that the law which the score belongs to, or the law of x?"),
        (
            start * (2 - kept) ** (2 * n)
            + 2 * h * sum((2 - kept) ** (2 * k) for k in range(n)),
            "which way does the score push?",
        ),
        (right - start * kept ** (2 * n), "where is the variance of the beginning?"),
    )
    question = asked_about(got, suspects, "by which number is x multiplied in a step?")
    mine, wanted = apart(got, right)
    expect(
        near(got, right, rtol=1e-8, atol=0),
        f"for N(0, {v:.4g}) with h = {h:.4g}, from the variance {start:.4g}, it is "
        f"{wanted} after {n} steps, you say {mine}: {question}",
    )


NOISE = "which variance has the fresh noise of one step?"


def _settles(answer, v, h, start, n):
    _, got = _both_variances(answer, v, h, start, n)
    shown = f"for N(0, {v:.4g}) with h = {h:.4g}"
    far, farther = (_after(v, h, start, k) for k in (200, 400))
    if h >= 2 * v:
        expect(
            got is None,
            f"{shown} the variance is {far:.3g} after 200 steps and {farther:.3g} after "
            f"400, and you say that it settles: does x come closer to 0 in a step?",
        )
        return
    expect(
        got is not None,
        f"{shown} the variance is {far:.6g} after 200 steps and {farther:.6g} after 400, "
        "and you say that it does not settle: how large may a step be, so that x does "
        "not grow?",
    )
    got = number(got, "the variance in which it settles")
    right = v / (1 - h / (2 * v))
    suspects = (
        (v, "is the law that it draws from with a finite step that of the score?"),
        (_after(v, h, start, n), "is n enough to settle?"),
        (v / (1 - h / v), "what becomes of a variance when x is multiplied by a number?"),
        (v / (1 + h / (2 * v)), "is it wider than it should be, or narrower?"),
        (right / 2, NOISE),
        (math.sqrt(right), "is that a variance, or a deviation?"),
        (2 * h, "what is there beside the noise of the last step?"),
    )
    question = asked_about(got, suspects, "which variance does a step leave as it is?")
    mine, wanted = apart(got, right)
    expect(
        near(got, right, rtol=1e-8),
        f"{shown} the variance settles in {wanted}, you say {mine}: {question}",
    )


class Matrix:
    r"""A matrix that shows itself only through products with one vector."""

    def __init__(self, A):
        self.A, self.asked = A, []

    def __call__(self, u):
        D = len(self.A)
        ok = isinstance(u, torch.Tensor) and u.shape == (D,) and u.dtype == torch.float64
        if not ok:
            raise ValueError(f"times wants one vector ({D},) in float64, got {article(u)}")
        self.asked.append(u)
        return self.A @ u


@exercise("13.3", "trace", kind="code", minutes=25, points=4, lacks=ASKED)
def trace(answer, seed):
    drawn = [_matrix(k, 157, seed, k) for k in range(4)]
    for A, probes, wanted in drawn:
        _estimates(answer, A, probes, wanted)
    yield 1, "the estimate"
    for A, probes, wanted in drawn:
        _has_this_error(answer, A, probes, wanted)
    yield 1, "its standard error"
    for A, probes, wanted in drawn:
        for more in (1.0, 0.3, 0.05, 7.0):
            _needs(answer, A, probes, wanted * more)
    yield 1, "the number of probes"
    for k in range(2):
        A, probes, wanted = _matrix(k, 158, seed, k)
        diagonal = A.diag().diag()
        _estimates(answer, diagonal, probes, wanted)
        _has_this_error(answer, diagonal, probes, wanted)
        _needs(answer, diagonal, probes, wanted)
    yield 1, "and a matrix where one is enough"


def _matrix(kind, *seed):
    r"""A matrix (D, D), symmetric if kind is even, probes (P, D), and a wanted error."""
    D, P = whole(3, 7, *seed, 1), whole(5, 30, *seed, 2)
    A = normal((D, D), *seed, 3)
    A = (A + A.T) / 2 if kind % 2 == 0 else A
    A = A + 3 * torch.diag(1 + uniform((D,), *seed, 4))
    probes = 2.0 * (uniform((P, D), *seed, 5) < 0.5).double() - 1
    probes[0, 0], probes[1] = 1.0, probes[0]
    probes[1, 0] = -1.0  # no two are all alike
    return A, probes, between(0.2, 0.6, *seed, 6)


def _three(answer, A, probes, wanted):
    times = Matrix(A)
    got = several(
        answer(times, probes, wanted), 3, "estimate, standard error and number of probes"
    )
    return [number(v, "each of the three") for v in got], times


def _estimates(answer, A, probes, wanted):
    (got, _, _), times = _three(answer, A, probes, wanted)
    P, D = probes.shape
    found = ((probes @ A) * probes).sum(1)
    right = float(found.mean())
    exact = float(A.trace())
    suspects = (
        (float(found.sum()), "is it the sum over probes, or their mean?"),
        (right / D, "how long is a probe, and what does that say of the trace?"),
        (right * P / (P - 1), "how many probes are there?"),
        (float((probes @ A.T).sum(1).mean()), "with what is A u multiplied?"),
        (float((probes @ A.T).mean()), "with what is A u multiplied?"),
        (exact, "is that what these probes say, or have you asked about others?"),
        (float(found[0]), "what do the other probes say?"),
        (float(found[-1]), "what do the other probes say?"),
        (float(found.median()), "is it the median, or the mean?"),
    )
    question = asked_about(got, suspects, "what is the mean of u A u over the probes?")
    mine, wanted_here = apart(got, right)
    expect(
        near(got, right, rtol=1e-9, atol=1e-9),
        f"for a matrix {D} x {D} with the trace {exact:.4f}, {P} probes give the estimate "
        f"{wanted_here}, yours is {mine}: {question}",
    )
    expect(
        len(times.asked) == P,
        f"{P} probes are {P} products, your function asks for {len(times.asked)}",
    )


def _has_this_error(answer, A, probes, wanted):
    (_, got, _), _ = _three(answer, A, probes, wanted)
    P = len(probes)
    found = ((probes @ A) * probes).sum(1)
    spread = float(found.std())
    right = spread / math.sqrt(P)
    theory = math.sqrt(
        0.5 * float(((A + A.T).square() - (A + A.T).diag().diag() ** 2).sum())
    )
    suspects = (
        (spread, "is that the spread of one probe, or the error of their mean?"),
        (spread / P, "how does the error of a mean fall with the number of probes?"),
        (spread**2 / P, "is that a variance, or a deviation?"),
        (spread**2, "is that a variance, or a deviation?"),
        (right * math.sqrt((P - 1) / P), "is the variance of a sample divided by P?"),
        (spread / math.sqrt(P - 1), "is the error of the mean taken with P, or P - 1?"),
        (abs(float(found.mean() - A.trace())), "may you look at the true trace?"),
        (theory / math.sqrt(P), "is that the spread of these probes, or of all?"),
    )
    question = asked_about(got, suspects, "how much does the mean of P numbers fluctuate?")
    mine, wanted_here = apart(got, right)
    expect(
        near(got, right, rtol=1e-8, atol=1e-9),
        f"{P} probes of a matrix {len(A)} x {len(A)} differ by {spread:.4g}, as deviation; "
        f"the standard error of their mean is {wanted_here}, yours is {mine}: {question}",
    )


def _needs(answer, A, probes, wanted):
    (_, _, got), _ = _three(answer, A, probes, wanted)
    spread, P = float(((probes @ A) * probes).sum(1).std()), len(probes)
    exact = (spread / wanted) ** 2
    right = max(1, math.ceil(exact))
    expect(got == int(got), f"a number of probes is a whole number, yours is {got}")
    suspects = (
        (0, "can there be an estimate without a probe?"),
        (
            max(1, math.ceil(exact / P)),
            "is it the spread of one probe that you start from?",
        ),
        (
            max(1, math.ceil(exact * P)),
            "is it the spread of one probe that you start from?",
        ),
        (max(1, math.ceil(spread / wanted)), "how does the error fall with more probes?"),
        (math.floor(exact), "is the error small enough with that many?"),
        (round(exact), "is the error small enough with that many?"),
        (math.floor(exact) + 1, "is one probe less enough, too?"),
    )
    question = asked_about(got, suspects, "with n probes, how large is the error?")
    n = int(got)
    shown = f"the error with them would be {spread / math.sqrt(n):.4g}" if n > 0 else ""
    expect(
        got == right,
        f"one probe has the spread {spread:.4g}, and an error of {wanted:.4g} at most is "
        f"wanted: you say {n} probes{', ' if shown else ''}{shown}; {right} are the fewest "
        f"that do: {question}",
    )


class Network:
    r"""A network F(X, c) that says what it is to say, and notes what it is given."""

    def __init__(self):
        self.says, self.X, self.c = None, [], []

    def __call__(self, X, c):
        for name, value in (("X", X), ("c", c)):
            if not isinstance(value, torch.Tensor) or not value.is_floating_point():
                raise ValueError(f"F wants {name} as a tensor, it got {article(value)}")
        if c.shape != X.shape[:1]:
            raise ValueError(f"F wants c (B,) with B = {len(X)}, it got {article(c)}")
        self.X.append(X)
        self.c.append(c)
        return self.says.to(X.dtype)


@exercise("13.4", "wrapped", kind="code", minutes=30, points=5, lacks=ASKED)
def wrapped(answer, seed):
    for k in range(4):
        _is_given(answer, seed, k)
    yield 1, "what the network is given"
    for k in range(4):
        _skips(answer, seed, k)
    yield 1, "what X counts"
    for k in range(4):
        _has_a_unit_target(answer, seed, k)
    yield 2, "what the network's answer counts"
    for k, (shape, dtype) in enumerate(SHAPES):
        _wraps(answer, shape, dtype, seed, k)
    yield 1, "for batches of any shape and dtype"


def _noised(seed, k, same=False):
    r"""X (B, 2), x_0, sigma (B,), m, sigma_d; same: one sigma for all."""
    B = 2000
    m, sigma_d = between(-1, 1, 159, seed, k), between(0.3, 1.5, 160, seed, k)
    m += math.copysign(0.2, m)
    sigma = (3 * uniform((B,), 161, seed, k) - 1.5).exp() * sigma_d
    if same:
        sigma = sigma[:1].expand(B).clone()
    x_0 = m + sigma_d * normal((B, 2), 162, seed, k)
    return x_0 + sigma[:, None] * normal((B, 2), 163, seed, k), x_0, sigma, m, sigma_d


def _wrapped(answer, said, X, sigma, m, sigma_d):
    model = Network()
    model.says = said
    got = tensor(answer(model, X, sigma, m, sigma_d), X, "D")
    expect(len(model.X) == 1, f"D needs one answer of F, yours asks {len(model.X)} times")
    inside = tensor(model.X[0], X, "the X that F is given")
    return got, inside, tensor(model.c[0], sigma, "the number that F is given")


def _is_given(answer, seed, k):
    X, _, sigma, m, sigma_d = _noised(seed, k)
    _, inside, c = _wrapped(answer, torch.zeros_like(X), X, sigma, m, sigma_d)
    total = (sigma**2 + sigma_d**2)[:, None]
    right = (X - m) / total.sqrt()
    suspects = (
        (X / total.sqrt(), "where has the mean of the data gone?"),
        (X / total.sqrt() - m, "is the mean taken off before, or after the scale?"),
        ((X - m) / total, "is c_in for a deviation, or a variance?"),
        ((X - m) / (sigma[:, None] + sigma_d), "how do two deviations add up?"),
        ((X - m) / sigma[:, None], "is the signal in X, too?"),
        ((X - m) / sigma_d, "is the noise in X, too?"),
        (X - m, "where is the scale?"),
        ((X + m) / total.sqrt(), "is the mean taken off, or put on?"),
        (X, "is F given X as it is?"),
    )
    question = asked_about(inside, suspects, "which variance has X, and which mean?")
    spread, mean = float(inside.std()), float(inside.mean())
    off = float((inside - right).abs().max())
    expect(
        near(inside, right, rtol=1e-7, atol=1e-9),
        f"for data of mean {m:.4g} and deviation {sigma_d:.4g}, and sigmas from "
        f"{float(sigma.min()):.3g} to {float(sigma.max()):.3g}, F is given numbers of mean "
        f"{mean:.4g} and deviation {spread:.4g}, which are off by up to {off:.3g}: "
        f"{question}",
    )
    mine, wanted = apart(float(c[0]), float(sigma[0].log() / 4))
    expect(
        near(c, sigma.log() / 4, rtol=1e-7, atol=1e-9),
        f"beside X, F is given {mine} for sigma = {float(sigma[0]):.4g}, a quarter of its "
        f"logarithm is {wanted}: is it the natural logarithm, and of sigma itself?",
    )


def _skips(answer, seed, k):
    r"""With F = 0, D is the best straight line through X."""
    X, x_0, sigma, m, sigma_d = _noised(seed, k)
    got, _, _ = _wrapped(answer, torch.zeros_like(X), X, sigma, m, sigma_d)
    total = (sigma**2 + sigma_d**2)[:, None]
    line = sigma_d**2 / total
    suspects = (
        (line * (X - m), "is the mean given back?"),
        (line * X, "is it X or what is left without the mean that is scaled?"),
        (m + line * X, "is it X or what is left without the mean that is scaled?"),
        (m + (1 - line) * (X - m), "how much of X is signal, and how much is noise?"),
        (m + line.sqrt() * (X - m), "is c_skip a share of variances, or of deviations?"),
        (m + (X - m) / total.sqrt(), "is that c_in, or c_skip?"),
        (X, "which c_skip leaves the least for F?"),
        (torch.zeros_like(X), "what does X count beside F?"),
        (m + 0 * X, "what does X count beside F?"),
    )
    question = asked_about(got, suspects, "which c_skip leaves the least for F?")
    right = m + line * (X - m)
    left, least = (float((x_0 - guess).square().mean()) for guess in (got, right))
    mine, wanted = apart(left, least)
    expect(
        near(got, right, rtol=1e-7, atol=1e-9),
        f"with F = 0, your D leaves x_0 a squared error of {mine}, the best line through X "
        f"one of {wanted} (mean {m:.4g}, sigma_d = {sigma_d:.4g}): {question}",
    )


def _has_a_unit_target(answer, seed, k):
    X, x_0, sigma, m, sigma_d = _noised(seed, k, same=k < 2)
    zero, one = (
        _wrapped(answer, torch.full_like(X, v), X, sigma, m, sigma_d)[0] for v in (0.0, 1.0)
    )
    c_out = (one - zero)[:, 0]
    total = sigma**2 + sigma_d**2
    right = sigma * sigma_d / total.sqrt()
    suspects = (
        (torch.zeros_like(c_out), "what is F's answer for?"),
        (right**2, "is c_out a deviation, or a variance?"),
        (1 / right, "is it divided by c_out, or multiplied?"),
        (sigma, "is the whole noise left to F?"),
        (sigma_d**2 / total, "is that c_skip, or c_out?"),
        (torch.full_like(c_out, sigma_d), "how much of x_0 is left to F at a small sigma?"),
        (sigma * sigma_d / total, "is c_out a deviation, or a variance?"),
        (torch.ones_like(c_out), "what must F say, and how large is that?"),
        (-right, "which sign has F's answer?"),
        (sigma / total.sqrt(), "how large is x_0?"),
    )
    question = asked_about(c_out, suspects, "what must F say, and how large is that?")
    target = (x_0 - zero) / c_out[:, None]
    spread = float(target.square().mean().sqrt())
    expect(
        near(c_out, right, rtol=1e-6, atol=1e-9),
        f"with your D the target of F, which makes D = x_0, has the size {spread:.4g} for "
        f"sigmas from {float(sigma.min()):.3g} to {float(sigma.max()):.3g} (sigma_d = "
        f"{sigma_d:.4g}), and not 1: {question}",
    )
    expect(
        near(one - zero, c_out[:, None].expand_as(X), rtol=1e-6, atol=1e-9),
        "F's answer counts differently in the entries of one example",
    )


def _wraps(answer, shape, dtype, seed, k):
    X, said = (normal(shape, 164, seed, k, i, dtype=dtype) for i in range(2))
    sigma = (0.1 + 3 * uniform(shape[:1], 165, seed, k)).to(dtype)
    m, sigma_d = between(-1, 1, 166, seed, k), between(0.3, 1.5, 167, seed, k)
    got, inside, c = _wrapped(answer, said, X, sigma, m, sigma_d)
    s = sigma.double().reshape(-1, *[1] * (len(shape) - 1))
    total = s**2 + sigma_d**2
    off = X.double() - m
    right = m + sigma_d**2 / total * off + s * sigma_d / total.sqrt() * said.double()
    worst = float((got.double() - right).abs().max())
    expect(
        worst < 1e-3 and near(inside, off / total.sqrt(), rtol=1e-3, atol=1e-3),
        f"for X of shape {tuple(shape)} in {dtype} your D is off by up to {worst:.3g}, and "
        "for points it is not: along which axes of such a batch does each example have its "
        "own sigma?",
    )
    expect(
        near(c, sigma.double().log() / 4, rtol=1e-3, atol=1e-4),
        "F gets another number in such a batch than for points",
    )


class Score:
    r"""A score that says what it is to say, and notes where it is asked."""

    def __init__(self, says):
        self.says, self.X, self.sigmas = says, [], []

    def __call__(self, X, sigma):
        if isinstance(sigma, torch.Tensor) and sigma.numel() == 1:
            sigma = sigma.item()
        if not isinstance(sigma, (int, float)) or isinstance(sigma, bool):
            raise ValueError(f"score wants a number for sigma, it got {article(sigma)}")
        if not isinstance(X, torch.Tensor) or X.dtype != torch.float64 or X.dim() != 2:
            raise ValueError(f"score wants X (B, D) in float64, it got {article(X)}")
        self.X.append(X)
        self.sigmas.append(float(sigma))
        return self.says(X, sigma)


@exercise("13.5", "annealed", kind="project", minutes=50, points=5, lacks=ASKED)
def annealed(answer, seed):
    for k in range(3):
        h = between(0.01, 0.5, 168, seed, k)
        sigma = between(0.1, 3, 169, seed, k)
        _one_step(answer, [sigma], 0, h, seed, k)
    yield 1, "one step at one level"
    for k in range(3):
        h = between(0.01, 0.5, 170, seed, k)
        sigmas = (3 - (0.3 + uniform((4,), 171, seed, k)).cumsum(0)).exp().tolist()
        for i in (1, 2, 0, 3):
            _one_step(answer, sigmas, i, h, seed, k)
    yield 1, "and at each of several levels"
    for k in range(3):
        _whole_walk(answer, seed, k)
    yield 2, "all steps at all levels, each with its noise"
    for k in range(2):
        _reaches_the_peaks(answer, seed, k)
    yield 1, "and the two peaks get their shares"


def _walk_through(
    score, X, sigmas, h, noise, how=lambda h, sigma, last: h * (sigma / last) ** 2
):
    for sigma, draws in zip(sigmas, noise, strict=True):
        step = how(h, sigma, sigmas[-1])
        for z in draws:
            X = X + step / 2 * score(X, sigma) + math.sqrt(step) * z
    return X


def _one_step(answer, sigmas, level, h, seed, k):
    r"""Weights of X, of the score and of the noise: only one level has any of them."""
    L = len(sigmas)

    def end(of_X, of_score, of_z):
        model = Score(
            lambda X, sigma: torch.full_like(X, of_score * near(sigma, sigmas[level], 1e-9))
        )
        noise = torch.zeros(L, 1, 1, 1, dtype=torch.float64)
        noise[level] = of_z
        X = torch.full((1, 1), of_X, dtype=torch.float64)
        got = tensor(answer(model, X, list(sigmas), h, noise), X, "X")
        return float(got), model

    of_X, model = end(1.0, 0.0, 0.0)
    of_score, of_z = end(0.0, 1.0, 0.0)[0], end(0.0, 0.0, 1.0)[0]
    asked = model.sigmas
    expect(
        near(torch.tensor(asked), torch.tensor(sigmas), rtol=1e-6),
        f"for the levels {', '.join(f'{s:.4g}' for s in sigmas)} and one step at each, "
        f"your score is asked at {', '.join(f'{s:.4g}' for s in asked)}",
    )
    step = h * (sigmas[level] / sigmas[-1]) ** 2
    suspects = (
        (step, "where is the half of the step?"),
        (step / 2 * (sigmas[-1] / sigmas[level]) ** 2, "has each level a step of its own?"),
        (h * sigmas[level] / sigmas[-1] / 2, "by what does the step grow with sigma?"),
        (h * sigmas[level] ** 2 / 2, "next to which sigma is each level's step measured?"),
        (
            h * (sigmas[level] / sigmas[0]) ** 2 / 2,
            "next to which sigma is each level's step measured?",
        ),
        (
            h * (sigmas[-1] / sigmas[level]) ** 2 / 2,
            "is the step larger at the large sigmas?",
        ),
        (-step / 2, "which way does the score point?"),
        (0.0, "what does the score do?"),
    )
    shown = f"at sigma = {sigmas[level]:.4g} of {L} levels, h = {h:.4g},"
    question = asked_about(of_score, suspects, "how long is the step at this level?")
    mine, right = apart(of_score, step / 2)
    expect(
        near(of_score, step / 2, rtol=1e-7),
        f"{shown} the score counts {right} in one step, in yours {mine}: {question}",
    )
    suspects = (
        (step, "is z multiplied by a variance, or by a deviation?"),
        (math.sqrt(2 * step), "which variance has the noise of this step?"),
        (math.sqrt(step / 2), "which variance has the noise of this step?"),
        (0.0, "where is the noise?"),
        (math.sqrt(h), "has each level a step of its own?"),
        (1.0, "how much noise belongs to this step?"),
    )
    question = asked_about(of_z, suspects, "how much noise belongs to this step?")
    mine, right = apart(of_z, math.sqrt(step))
    expect(
        near(of_z, math.sqrt(step), rtol=1e-7),
        f"{shown} the noise z counts {right} in one step, in yours {mine}: {question}",
    )
    expect(
        near(of_X, 1.0, rtol=1e-7),
        f"{shown} without score and noise X should stay; yours is multiplied by {of_X:.4g}",
    )


def _peaks(share, means, v):
    r"""The score of a mixture of two Gaussians with noise, by autograd."""

    def score(X, sigma):
        x = X.clone().requires_grad_()
        off = x[:, None] - means
        logs = -off.square().sum(2) / (2 * (v + sigma**2))
        log = (logs + torch.tensor([1 - share, share]).to(logs).log()).logsumexp(1)
        return torch.autograd.grad(log.sum(), x)[0]

    return score


def _whole_walk(answer, seed, k):
    L, K, B = whole(2, 4, 172, seed, k), whole(2, 4, 173, seed, k) + 1, 5
    noise = normal((L, K, B, 2), 174, seed, k)
    X = 2 * normal((B, 2), 175, seed, k)
    sigmas = (2 - (0.3 + uniform((L,), 176, seed, k)).cumsum(0)).exp().tolist()
    h = between(0.02, 0.1, 177, seed, k) * sigmas[-1] ** 2
    law = _peaks(0.3, normal((2, 2), 178, seed, k), 0.2)
    model = Score(law)
    got = tensor(answer(model, X, list(sigmas), h, noise), X, "X")
    right = _walk_through(law, X, sigmas, h, noise)
    calls = len(model.X)
    expect(
        calls == L * K,
        f"{L} levels with {K} steps each are {L * K} calls of the score, yours are {calls}",
    )
    first = noise[:1].expand_as(noise)
    same = noise[:, :1].expand_as(noise)
    suspects = (
        (_walk_through(law, X, sigmas, h, first), "has each level its own noise?"),
        (_walk_through(law, X, sigmas, h, same), "has each step its own noise?"),
        (_walk_through(law, X, sigmas, h, noise.flip(1)), "in which order come the draws?"),
        (_walk_through(law, X, sigmas, h, noise.flip(0)), "in which order come the draws?"),
        (
            _walk_through(law, X, [sigmas[-1]] * L, h, noise),
            "at which sigma is the score asked?",
        ),
    )
    question = asked_about(got, suspects, "which state is the score asked about?")
    off = float((got - right).abs().max())
    expect(
        off < 1e-7,
        f"after {K} steps at each of {L} levels your X is off by up to {off:.3g}: "
        f"{question}",
    )


def _reaches_the_peaks(answer, seed, k):
    share, B, L, K = between(0.15, 0.35, 179, seed, k), 300, 6, 15
    means = torch.tensor([[3.0], [-3.0]], dtype=torch.float64)
    sigmas = [4 * 0.05 ** (i / (L - 1)) for i in range(L)]
    noise, X = normal((L, K, B, 1), 180, seed, k), 4 * normal((B, 1), 181, seed, k)
    law = _peaks(share, means, 0.04)
    got = tensor(answer(Score(law), X, sigmas, 0.02, noise), X, "X")
    right = _walk_through(law, X, sigmas, 0.02, noise)
    mine, wanted = (float((v < 0).double().mean()) for v in (got, right))
    off = float((got - right).abs().max())
    expect(
        near(got, right, rtol=1e-5, atol=1e-5),
        f"of {B} points, where {100 * share:.0f} % of the data are left of 0, yours has "
        f"{100 * mine:.1f} % there, the right one {100 * wanted:.1f} %, and the points are "
        f"up to {off:.3g} apart: is something lost or rounded in a long walk?",
    )
