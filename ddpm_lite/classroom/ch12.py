r"""Checks of chapter 12, guidance.

The laws are Gaussians and mixtures of them, whose predictions are known, so that each rule
is held against a score by autograd, a step of the package or a formula of another route.
Where a number is wrong, it is held against those that usual mistakes make, as in chapter
08.
"""

import math
from itertools import pairwise

import torch

from ..oracle import GaussianOracle
from ..process import x_0_from_noise
from ..sampling.sampler import ddim_step
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

ASKED = (
    "process.transition",
    "sampling.guidance.guided",
    "sampling.guidance.Guided",
    "sampling.sampler.ddim_step",
    "sampling.sampler.sample_path",
)


@exercise("12.1", "found_scale", kind="understanding", minutes=10, points=3, lacks=ASKED)
def found_scale(answer, seed):
    drawn = []
    for k, shape in enumerate(((3, 4, 2, 2), (5, 2, 3), (2, 3), (4, 5, 1, 3))):
        noise_y, noise_none = (normal(shape, 121, seed, k, i) for i in range(2))
        agree = uniform(shape, 122, seed, k) < 0.3
        agree[0] = False
        noise_none = torch.where(agree, noise_y, noise_none)
        drawn.append((noise_y, noise_none))
    for k, (noise_y, noise_none) in enumerate(drawn):
        gamma = 1.5 + 4 * between(0, 1, 123, seed, k)
        gammas = torch.full((noise_y.shape[1],), gamma, dtype=torch.float64)
        _is_the_scale(answer, noise_y, noise_none, gammas)
    yield 1, "one scale for all channels"
    for k, (noise_y, noise_none) in enumerate(drawn):
        gammas = 5 * uniform((noise_y.shape[1],), 124, seed, k) - 0.5
        gammas[0], gammas[1] = 1.0, -between(0.2, 0.5, 149, seed, k)
        _is_the_scale(answer, noise_y, noise_none, gammas)
        _in_the_other_paper(answer, noise_y, noise_none, gammas)
    yield 1, "a scale for each channel, in both papers"
    for k, (noise_y, noise_none) in enumerate(drawn):
        gammas = 5 * uniform((noise_y.shape[1],), 125, seed, k) - 0.5
        _fits_best(answer, noise_y, noise_none, gammas)
    yield 1, "and the best one where predictions are rounded"


def _along(values, like):
    r"""(C,) in a shape that fits (B, C, ...)."""
    return values.reshape(-1, *[1] * (like.dim() - 2))


def _both_scales(answer, noise_y, noise_none, noise_guided):
    got = several(answer(noise_y, noise_none, noise_guided), 2, "gamma and w")
    like = noise_y.new_empty(noise_y.shape[1])
    return tensor(got[0], like, "gamma"), tensor(got[1], like, "w")


def _is_the_scale(answer, noise_y, noise_none, gammas):
    wide = _along(gammas, noise_y)
    noise_guided = torch.lerp(noise_none, noise_y, wide)
    gamma, _ = _both_scales(answer, noise_y, noise_none, noise_guided)
    away, moved = noise_y - noise_none, noise_guided - noise_none
    pooled = (away * moved).sum() / away.square().sum()
    suspects = (
        (gammas - 1, "which number says that nothing was guided, in this book's formula?"),
        (1 - gammas, "where does the guided prediction begin, and which way does it go?"),
        (-gammas, "which way is it from one prediction to the other?"),
        (1 / gammas, "which of the two ways is measured by which?"),
        (gammas + 1, "which number says that nothing was guided, in this book's formula?"),
        (pooled.expand_as(gammas), "has each channel a scale of its own?"),
        (gammas.clamp(min=0), "may a scale be below 0?"),
        (gammas.abs(), "may a scale be below 0?"),
    )
    question = asked_about(
        gamma, suspects, "how far is it from the one without a label to the guided one?"
    )
    off = (gamma - gammas).abs()
    c = int(off.argmax())
    mine, right = apart(float(gamma[c]), float(gammas[c]))
    expect(
        near(gamma, gammas, rtol=1e-7, atol=1e-9),
        f"predictions of shape {tuple(noise_y.shape)} were guided with gamma = {right} in "
        f"channel {c}, you find {mine}: {question}",
    )


def _in_the_other_paper(answer, noise_y, noise_none, gammas):
    noise_guided = torch.lerp(noise_none, noise_y, _along(gammas, noise_y))
    gamma, w = _both_scales(answer, noise_y, noise_none, noise_guided)
    wide = _along(w, noise_y)
    theirs = (1 + wide) * noise_y - wide * noise_none
    off = float((theirs - noise_guided).abs().max())
    suspects = (
        (gamma, "what does their formula give with w = 0?"),
        (
            gamma + 1,
            "with which w does their formula leave the label's prediction as it is?",
        ),
        (1 - gamma, "does their formula go away from the label or beyond it?"),
    )
    question = asked_about(w, suspects, "which w leaves the label's prediction as it is?")
    expect(
        off < 1e-6,
        f"(1 + w) noise_y - w noise_none with your w = {_listed(w)} is off the guided "
        f"prediction by up to {off:.3g}, where your gamma = {_listed(gamma)}: {question}",
    )


def _listed(values):
    return ", ".join(f"{v:.4g}" for v in values.tolist())


def _fits_best(answer, noise_y, noise_none, gammas):
    r"""Of all scales of a channel the one with the least squared error."""
    exact = torch.lerp(noise_none, noise_y, _along(gammas, noise_y))
    rounded = (2 * exact).round() / 2
    gamma, _ = _both_scales(answer, noise_y, noise_none, rounded)

    def errors(scale):
        off = torch.lerp(noise_none, noise_y, _along(scale, noise_y)) - rounded
        return off.square().transpose(0, 1).flatten(1).sum(1)

    h = 0.5
    low, here, high = (errors(gamma + step) for step in (-h, 0.0, h))
    best = gamma - h * (high - low) / (2 * (high - 2 * here + low))  # of the parabola
    c = int((gamma - best).abs().argmax())
    mine, least = apart(float(here[c]), float(errors(best)[c]))
    expect(
        near(gamma, best, rtol=1e-6, atol=1e-7),
        f"with a guided prediction rounded to halves, your gamma = {float(gamma[c]):.5g} "
        f"leaves a squared error of {mine} in channel {c}, another one leaves {least}: do "
        "places where the two predictions are close count as much as others?",
    )


@exercise("12.2", "two_orders", kind="derivation", minutes=25, points=4, lacks=ASKED)
def two_orders(answer, seed):
    drawn = [_laws(126, seed, k) for k in range(5)]
    for given in drawn:
        _is_this_law(answer, given, 0)
    yield 1, "the tilted law with noise"
    for given in drawn:
        _is_this_law(answer, given, 1)
    yield 2, "the noised laws with a tilt"
    for k in range(3):
        for given in _without_a_law(127, seed, k):
            for which in (0, 1):
                _is_this_law(answer, given, which)
    for gamma in (0.0, 1.0):
        for given in drawn[:2]:
            for which in (0, 1):
                _is_this_law(answer, (*given[:-1], gamma), which)
    yield 1, "and where there is no law, and with the scales 0 and 1"


def _laws(*seed):
    r"""a, m, v, m_y, v_y, gamma for which all laws are there."""
    a, m, v, m_y, ratio, gamma = uniform((6,), *seed).tolist()
    v = math.exp(2 * v - 1)
    a, m, m_y = 0.1 + 0.8 * a, 4 * m - 2, 4 * m_y - 2
    return a, m, v, m_y, v * (0.1 + 0.7 * ratio), 0.3 + 4 * gamma


def _without_a_law(*seed):
    r"""The conditional law is the wider one: no law at first, none at all, just none."""
    a, m, v, m_y, ratio, gamma = uniform((6,), *seed).tolist()
    v = math.exp(2 * v - 1)
    m, m_y, v_y = 4 * m - 2, 4 * m_y - 2, v * (2.5 + ratio)
    gamma = 2 + 2 * gamma
    lack = (gamma - 1) * v_y - gamma * v  # the second is there if a lack < 1 - a
    edge = 1 / (1 + lack)
    yield a * edge * 0.8 + 0.1 * edge, m, v, m_y, v_y, gamma
    yield edge + (0.1 + 0.8 * a) * (1 - edge), m, v, m_y, v_y, gamma
    yield 1.0, m, v, m_y, v_y, gamma
    yield 0.2 + 0.6 * a, m, v, m_y, 2 * v, 2.0
    yield 0.2 + 0.6 * a, m, v, m_y, v_y, 1 + 0.5 * v / (v_y - v)
    yield 1.0, m, v, m_y, 0.5 * v, gamma


def _tilt(law, law_y, gamma):
    r"""Two Gaussians, tilted, by the coefficients of x^2 and x; None if no law."""
    (m, v), (m_y, v_y) = law, law_y
    square = -0.5 * (gamma / v_y + (1 - gamma) / v)
    linear = gamma * m_y / v_y + (1 - gamma) * m / v
    if square >= 0:
        return None
    return -linear / (2 * square), -1 / (2 * square)


def _noise_added(law, a):
    return None if law is None else (math.sqrt(a) * law[0], a * law[1] + 1 - a)


def _two_laws(a, m, v, m_y, v_y, gamma):
    noised = (_noise_added(law, a) for law in ((m, v), (m_y, v_y)))
    return _noise_added(_tilt((m, v), (m_y, v_y), gamma), a), _tilt(*noised, gamma)


ORDERS = ("tilted first, then noised", "noised first, then tilted")


def _is_this_law(answer, given, which):
    a, m, v, m_y, v_y, gamma = given
    got = several(answer(*given), 2, "the laws of the two orders")[which]
    right = _two_laws(*given)[which]
    shown = (
        f"for p = N({m:.4g}, {v:.4g}), p(.|y) = N({m_y:.4g}, {v_y:.4g}), gamma = "
        f"{gamma:.4g} at a = {a:.4g}, {ORDERS[which]},"
    )
    if right is None:
        expect(
            got is None,
            f"{shown} there is no law, and yours is {article(got)}: which sign has the "
            "factor of x^2 in its exponent?",
        )
        return
    swapped = _two_laws(a, m_y, v_y, m, v, gamma)[which]
    question = "which of the laws has a precision that is not positive?"
    if swapped is None and v_y < v:
        question = "to which law belongs which power?"
    expect(
        got is not None,
        f"{shown} there is a law, with mean {right[0]:.4g}, and yours is None: {question}",
    )
    pair = several(got, 2, f"mean and variance of the law {ORDERS[which]}")
    mean, variance = number(pair[0], "the mean"), number(pair[1], "the variance")
    question = _mistaken_law(mean, variance, given, which)
    mine, wanted = apart(variance, right[1])
    expect(
        near(variance, right[1], rtol=1e-8),
        f"{shown} the variance is {wanted}, yours is {mine}: {question}",
    )
    mine, wanted = apart(mean, right[0])
    expect(
        near(mean, right[0], rtol=1e-8, atol=1e-10),
        f"{shown} the mean is {wanted}, yours is {mine}: {question}",
    )


def _mistaken_law(mean, variance, given, which):
    a, m, v, m_y, v_y, gamma = given
    laws = _two_laws(*given)
    clean = _tilt((m, v), (m_y, v_y), gamma)
    others = (
        (laws[1 - which], "which of the two orders comes first in what you return?"),
        (clean, "where is the noise?"),
        (_two_laws(a, m, v, m_y, v_y, gamma + 1)[which], "is that gamma, or w?"),
        (_two_laws(a, m, v, m_y, v_y, gamma - 1)[which], "is that gamma, or w?"),
        (_two_laws(a, m_y, v_y, m, v, gamma)[which], "to which law belongs which power?"),
        (
            _two_laws(a, m, v**2, m_y, v_y**2, gamma)[which],
            "are v and v_y variances, or deviations?",
        ),
        (
            (clean and (a * clean[0], a * clean[1] + 1 - a)),
            "how much of x_0 is there in x_t?",
        ),
        (
            (gamma * m_y + (1 - gamma) * m, gamma**2 * v_y + (1 - gamma) ** 2 * v),
            "which law has gamma X + (1 - gamma) Y, and which has a product of densities?",
        ),
    )
    right = near(variance, laws[which][1], 1e-8)
    for law, question in others:
        if law is not None and near(variance, law[1], 1e-8):
            if not right or near(mean, law[0], 1e-8):
                return question
    precision = gamma / v_y + (1 - gamma) / v
    suspects = (
        (precision, "is a precision a variance?"),
        (math.sqrt(max(0.0, laws[which][1])), "is that a variance, or a deviation?"),
        (gamma * v_y + (1 - gamma) * v, "what adds up when densities are multiplied?"),
        (a * clean[1] if clean else 0.0, "how much noise comes in?"),
        (clean[1] + 1 - a if clean else 0.0, "what becomes of x_0 when noise comes in?"),
    )
    plain = gamma * m_y + (1 - gamma) * m
    for scale in (1.0, math.sqrt(a)):
        if near(mean, scale * plain, 1e-8):
            return "in the mean of a product, which of the two means counts for more?"
    return asked_about(variance, suspects, "what stands in the exponent, before x^2 and x?")


class Networks:
    r"""A network whose noise prediction depends on x, t and the label of each example.

    It notes what it is asked, and refuses what no network takes.
    """

    def __init__(self, seed):
        self.seed, self.calls = seed, []
        self.a, self.b, self.c = (1 + uniform((3,), 128, seed)).tolist()

    def __call__(self, x, t, y):
        ok = isinstance(x, torch.Tensor) and x.is_floating_point() and x.dim() > 0
        expect_of_model(ok, f"the model wants x (N, ...), it got {article(x)}")
        for name, value in (("t", t), ("y", y)):
            ok = isinstance(value, torch.Tensor) and value.dtype == torch.int64
            ok = ok and value.shape == x.shape[:1]
            said = f"the model wants {name} int64 (N,) with N = {len(x)}, it got "
            kind = f" in {value.dtype}" if isinstance(value, torch.Tensor) else ""
            expect_of_model(ok, said + article(value) + kind)
        self.calls.append((x, t, y))
        return self.says(x, t, y)

    def says(self, x, t, y):
        r"""What this pair of networks answers for x at t with label y, like x."""
        t, y = (v.double().reshape(-1, *[1] * (x.dim() - 1)) for v in (t, y))
        said = torch.sin(self.a * x.double() + y) + self.b * torch.cos(y + self.c * t / 50)
        return said.to(x.dtype)


def expect_of_model(ok, words):
    r"""Raise ValueError with these words unless ok: what a network refuses."""
    if not ok:
        raise ValueError(words)


@exercise("12.3", "guide", kind="code", minutes=25, points=4, lacks=ASKED)
def guide(answer, seed):
    model, none = Networks(seed), whole(5, 9, 129, seed)
    gamma = between(1.5, 4, 130, seed)
    batch = _batch((6, 3), torch.float64, none, 131, seed)
    _guides(answer, model, batch, none, gamma, (1, 1000))
    _guides(answer, model, batch, none, between(-1, -0.2, 132, seed), (1, 1000))
    yield 1, "guided everywhere"
    t = batch[1].sort().values.tolist()
    for low, high in ((t[1], t[3]), (t[2], t[2]), (t[3], 1000), (1, t[4]), (t[4], t[1])):
        _guides(answer, model, batch, none, gamma, (low, high))
    _guides(answer, model, batch, none, gamma, (t[-1] + 1, t[-1] + 9))
    yield 1, "in an interval, its ends among it"
    for k, (shape, dtype) in enumerate(SHAPES):
        x_t, t, y = _batch(shape, dtype, none, 133, seed, k)
        some = t.sort().values
        for span in ((1, 1000), (int(some[0]), int(some[len(t) // 2]))):
            _guides(answer, model, (x_t, t, y), none, gamma, span)
    yield 1, "for batches of any shape and dtype"
    for k in range(3):
        batch = _batch((7, 2), torch.float64, none, 134, seed, k)
        some = batch[1].sort().values.tolist()
        _asks_once(answer, model, batch, none, gamma, (some[k], some[4 + k]))
        _asks_once(answer, model, batch, none, gamma, (1001, 1002))
    yield 1, "with one call that asks for nothing else"


def _batch(shape, dtype, none, *seed):
    r"""x_t, different t, and labels."""
    x_t = normal(shape, *seed, dtype=dtype)
    t = 2 + 100 * torch.arange(shape[0]) + steps(0, 99, shape[0], *seed, 1)
    order = uniform((shape[0],), *seed, 2).argsort()
    return x_t, t[order], steps(0, none - 1, shape[0], *seed, 3)


def _guides(answer, model, batch, none, gamma, span):
    x_t, t, y = batch
    low, high = span
    got = tensor(answer(model, x_t, t, y, none, gamma, low, high), x_t, "the prediction")
    pred_y = model.says(x_t, t, y)
    pred_none = model.says(x_t, t, torch.full_like(y, none))
    inside = (low <= t) & (t <= high)
    close = dict(rtol=1e-4, atol=1e-4) if x_t.dtype == torch.float32 else dict(rtol=1e-9)

    def right(scale, inside=inside):
        scale = (1 + (scale - 1) * inside.double()).to(x_t.dtype)
        return torch.lerp(pred_none, pred_y, scale.reshape(-1, *[1] * (x_t.dim() - 1)))

    wanted = right(gamma)
    if near(got, wanted, **close):
        return
    everywhere = torch.ones_like(inside)
    other_way = torch.lerp(pred_y, pred_none, gamma)
    suspects = (
        (pred_y, "what was the prediction without a label for?"),
        (right(1 + gamma), "does gamma = 1 leave the prediction with the label as it is?"),
        (right(gamma, everywhere), "which examples of the batch lie in the interval?"),
        (right(gamma, ~inside), "is it inside or outside of the interval that you guide?"),
        (right(gamma, (low < t) & (t < high)), "do the ends belong to the interval?"),
        (right(gamma, (low <= t) & (t < high)), "do the ends belong to the interval?"),
        (right(gamma, (low < t) & (t <= high)), "do the ends belong to the interval?"),
        (right(0.0), "what is the prediction outside of the interval?"),
        (other_way, "which half of what comes back is the one with labels?"),
        (right(-gamma), "which way is it from one prediction to the other?"),
        (
            torch.where(
                inside.reshape(-1, *[1] * (x_t.dim() - 1)), right(gamma), pred_none
            ),
            "what is the prediction outside of the interval?",
        ),
    )
    question = asked_about(
        got, suspects, "which t and which label belong to which example?"
    )
    off = float((got.double() - wanted.double()).abs().max())
    expect(
        False,
        f"for x_t of shape {tuple(x_t.shape)} with t = {t.tolist()}, gamma = {gamma:.4g} "
        f"in {low}..{high} and the null label {none}, your prediction is off by up to "
        f"{off:.3g}: {question}",
    )


def _asks_once(answer, model, batch, none, gamma, span):
    _, t, _ = batch
    low, high = span
    model.calls.clear()
    _guides(answer, model, batch, none, gamma, span)
    inside = (low <= t) & (t <= high)
    least = len(t) + int(inside.sum())
    asked = sum(len(call[0]) for call in model.calls)
    ask = "which examples need both predictions?" if asked > least else "and at once?"
    expect(
        len(model.calls) == 1 and asked == least,
        f"of {len(t)} examples {int(inside.sum())} lie in the interval: your network is "
        f"asked for {asked} predictions in {len(model.calls)} calls, {least} in one call "
        f"are enough: {ask}",
    )


@exercise("12.4", "by_classifier", kind="code", minutes=30, points=5, lacks=ASKED)
def by_classifier(answer, seed):
    drawn = [_classes(answer, 135, seed, k) for k in range(3)]
    for given in drawn:
        _follows_the_classifier(*given, 0.0)
    yield 1, "with gamma = 0, the best guess without a label"
    for given in drawn:
        _follows_the_classifier(*given, 1.0)
    yield 1, "with gamma = 1, the best guess of the class"
    for k, given in enumerate(drawn):
        for gamma in (between(1.5, 5, 136, seed, k), -between(0.2, 1, 137, seed, k)):
            _follows_the_classifier(*given, gamma)
    yield 1, "with any gamma"
    for k in range(3):
        far = _classes(answer, 138, seed, k, far=60.0)
        _follows_the_classifier(*far, between(0.5, 3, 139, seed, k))
    yield 2, "and far away from all classes"


def _classes(answer, *seed, far=1.0):
    alpha_bar = drawn_schedule(seed[-1], *seed).alpha_bar
    K, D, B = whole(3, 5, *seed, 1), whole(2, 3, *seed, 2), 6
    means, share = 1.5 * normal((K, D), *seed, 3), 0.1 + uniform((K,), *seed, 4)
    x_t, y = far * 1.5 * normal((B, D), *seed, 6), steps(0, K - 1, B, *seed, 7)
    v = between(0.05, 0.5, *seed, 5)
    T = len(alpha_bar) - 1
    t = steps(T // 20, T * 2 // 3, B, *seed, 8)
    return answer, alpha_bar, means, share / share.sum(), v, x_t, t, y


def _parts(alpha_bar, means, share, v, x_t, t, y):
    r"""The noise prediction without a label, and of the class: scores by autograd."""
    a = alpha_bar[t]
    x = x_t.clone().requires_grad_()
    off = x[:, None] - a.sqrt()[:, None, None] * means
    logs = -off.square().sum(2) / (2 * (a * v + 1 - a)[:, None])
    root = (1 - a).sqrt()[:, None]
    whole = (share.log() + logs).logsumexp(1).sum()
    one = logs.gather(1, y[:, None]).sum()
    none, of_y = (torch.autograd.grad(log, x, retain_graph=True)[0] for log in (whole, one))
    return -root * none, -root * of_y, root


def _follows_the_classifier(answer, alpha_bar, means, share, v, x_t, t, y, gamma):
    given = (means, share, v, x_t, t, y)
    got = tensor(answer(alpha_bar, *given, gamma), x_t, "the prediction")
    none, of_y, root = _parts(alpha_bar, *given)
    even = torch.full_like(share, 1 / len(share))
    none_even, of_y_even, _ = _parts(alpha_bar, means, even, v, x_t, t, y)
    squared = _parts(alpha_bar, means, share, v**2, x_t, t, y)
    step = of_y - none
    right = none + gamma * step
    suspects = (
        (none_even + gamma * (of_y_even - none_even), "are all classes equally likely?"),
        (none - gamma * step, "which way does the log probability of y rise?"),
        (none + gamma * step / root, "what is a score times, as a noise prediction?"),
        (none + gamma * step * root, "what is a score times, as a noise prediction?"),
        (-right / root, "is that a score, or a noise prediction?"),
        (right / root, "is that a score, or a noise prediction?"),
        (-right, "which way does noise go, and which way does log q rise?"),
        (of_y + gamma * step, "is the prediction to which you add one with a label?"),
        (gamma * step, "where is the prediction without a label?"),
        (none + step, "where is gamma?"),
        (none, "what does the classifier add?"),
        (of_y, "where is gamma?"),
        (squared[0] + gamma * (squared[1] - squared[0]), "is v a variance?"),
        (none + gamma * of_y, "is it p(y | x_t) whose gradient you take, or q(x_t | y)?"),
    )
    question = asked_about(got, suspects, "which law has x_t in class k, at this t?")
    off = (got - right).abs().max(1).values
    i = int(off.argmax())
    mine, wanted = apart(*(float(w[i].norm()) for w in (got, right)))
    expect(
        near(got, right, rtol=1e-7, atol=1e-8),
        f"with {len(share)} classes and gamma = {gamma:.4g}, for x_t = {_listed(x_t[i])} "
        f"at t = {int(t[i])} of {len(alpha_bar) - 1} your prediction has length {mine}, "
        f"the right one {wanted}, and they are {float(off[i]):.3g} apart: {question}",
    )


@exercise("12.5", "outcome", kind="project", minutes=50, points=5, lacks=ASKED)
def outcome(answer, seed):
    for k in range(3):
        chain = _chain(140, seed, k)
        for gamma in (1.0, 0.0):
            _ends_there(answer, chain, [gamma] * (len(chain[1]) - 1), 0.0)
    yield 1, "without guidance"
    for k in range(3):
        chain = _chain(141, seed, k)
        gamma = between(1.5, 4, 142, seed, k)
        _ends_there(answer, chain, [gamma] * (len(chain[1]) - 1), 0.0)
    yield 2, "with guidance, and without fresh noise"
    for k in range(3):
        chain = _chain(143, seed, k)
        gamma, eta = between(1.5, 4, 144, seed, k), between(0.2, 0.9, 145, seed, k)
        for share in (1.0, eta):
            _ends_there(answer, chain, [gamma] * (len(chain[1]) - 1), share)
    yield 1, "with fresh noise"
    for k in range(3):
        chain = _chain(146, seed, k)
        gammas = (4 * uniform((len(chain[1]) - 1,), 147, seed, k)).tolist()
        _ends_there(answer, chain, gammas, between(0, 1, 148, seed, k))
        _ends_there(answer, chain, _turned(chain), 0.0)
    yield 1, "and with another scale for each jump"


def _chain(*seed):
    r"""A schedule, stops, and two laws."""
    schedule = drawn_schedule(seed[-1], *seed)
    count = whole(3, 9, *seed, 1)
    first = whole(schedule.T * 3 // 4, schedule.T - 1, *seed, 4) if seed[-1] else schedule.T
    parts = (0.4 + uniform((count + 1,), *seed, 2)).cumsum(0)
    stops = (first * (1 - parts / parts[-1])).round().long()[:-1].tolist()
    m, v, m_y, v_y = uniform((4,), *seed, 3).tolist()
    law = 2 * m - 1, 0.5 + v
    law_y = 4 * m_y - 2, 0.05 + 0.4 * v_y
    return schedule, [first, *stops, 0], law, law_y


def _turned(chain):
    r"""Scales of which the last is so large that its jump turns x about the mean."""
    schedule, stops, law, law_y = chain
    a = float(schedule.alpha_bar[stops[-2]])
    none, y = ((1 - a) / (a * v + 1 - a) for _, v in (law, law_y))
    return [*[1.0] * (len(stops) - 2), 1 + 1.5 * (1 - y) / (y - none)]


def _propagated(chain, gammas, eta, twist=lambda none, y, gamma: none + gamma * (y - none)):
    r"""(mean, deviation) by the package's DDIM step, asked at 0 and 1, noise 0 and 1."""
    schedule, stops, law, law_y = chain
    oracles = [GaussianOracle(schedule, [m], v) for m, v in (law, law_y)]
    x = torch.tensor([[0.0], [1.0], [0.0]], dtype=torch.float64)
    z = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    mean, variance = 0.0, 1.0
    for (t, s), gamma in zip(pairwise(stops), gammas, strict=True):
        at_t, at_s = torch.full((3,), t), torch.full((3,), s)
        noise = twist(*(oracle(x, at_t) for oracle in oracles), gamma)
        x_0 = x_0_from_noise(schedule, x, at_t, noise)
        zero, one, drawn = (
            ddim_step(schedule, x, x_0, at_t, at_s, z, eta=eta).flatten().tolist()
        )
        mean = zero + (one - zero) * mean
        variance = (one - zero) ** 2 * variance + (drawn - zero) ** 2
    return mean, math.sqrt(variance)


def _ends_there(answer, chain, gammas, eta):
    schedule, stops, law, law_y = chain
    got = answer(schedule.alpha_bar, stops, law, law_y, gammas, eta)
    got = several(got, 2, "mean and deviation")
    mean, deviation = number(got[0], "the mean"), number(got[1], "the deviation")
    right = _propagated(chain, gammas, eta)
    if near(deviation, right[1], rtol=1e-6) and near(mean, right[0], 1e-6, 1e-9):
        return
    tilted = None
    if len(set(gammas)) == 1:
        tilted = _tilt(law, law_y, gammas[0])
    swapped = (*chain[:2], law_y, law)
    deviations = (*chain[:2], *((m, v**2) for m, v in (law, law_y)))
    backwards = gammas[::-1]
    suspects = (
        (_propagated(chain, [1.0 + g for g in gammas], eta), "is that gamma, or w?"),
        (_propagated(swapped, gammas, eta), "which of the two laws has the label?"),
        (_propagated(chain, [1.0] * len(gammas), eta), "where does gamma come in?"),
        (
            _propagated(chain, [gammas[0]] * len(gammas), eta),
            "has each jump its own scale?",
        ),
        (_propagated(chain, backwards, eta), "which scale belongs to the first jump?"),
        (_propagated(chain, gammas, 0.0), "where is the fresh noise?"),
        (_propagated(chain, gammas, 1.0), "how much fresh noise has this eta?"),
        (_propagated(chain, gammas, math.sqrt(eta)), "is eta a share of a deviation?"),
        (_propagated(deviations, gammas, eta), "is it a variance that the laws give?"),
        (
            _propagated((schedule, [schedule.T, *stops[1:]], law, law_y), gammas, eta),
            "at which t does the chain start?",
        ),
        (
            tilted and (tilted[0], math.sqrt(tilted[1])),
            "is it the tilted law that the chain draws from?",
        ),
    )
    ends = [(end, ask) for end, ask in suspects if end and near(end[1], deviation, 1e-6)]
    question = [ask for end, ask in ends if near(end[0], mean, 1e-6)]
    if not near(deviation, right[1], rtol=1e-6):
        question += [ask for _, ask in ends]
    if not question and near(deviation, right[1] ** 2, 1e-6):
        question = ["is that a deviation, or a variance?"]
    if not question and near(-deviation, right[1], rtol=1e-6):
        question = ["can a deviation be below 0?"]
    if not question and abs(mean) < 1e-12:
        question = ["what moves the mean, which is 0 at first?"]
    question = [*question, "what becomes of a number x in one jump?"][0]
    shown = (
        f"from N(0, 1) through {stops} of {schedule.T}, p = N({law[0]:.4g}, {law[1]:.4g}), "
        f"p(.|y) = N({law_y[0]:.4g}, {law_y[1]:.4g}), gamma = "
        f"{', '.join(f'{g:.3g}' for g in gammas)}, eta = {eta:.3g},"
    )
    mine, wanted = apart(deviation, right[1])
    expect(
        near(deviation, right[1], rtol=1e-6),
        f"{shown} the deviation at the end is {wanted}, yours is {mine}: {question}",
    )
    mine, wanted = apart(mean, right[0])
    expect(
        near(mean, right[0], rtol=1e-6, atol=1e-9),
        f"{shown} the mean at the end is {wanted}, yours is {mine}: {question}",
    )
