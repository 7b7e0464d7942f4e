r"""Checks of chapter 16, latent diffusion.

Laws are Gaussian or finite, so that what an autoencoder keeps is known. Networks that are
handed in note what they are given. Where a number is wrong, it is held against those that
usual mistakes make, as in chapter 08.
"""

import math

import torch
from torch.nn import functional

from .ch08 import asked_about, drawn_schedule
from .exercise import (
    Hint,
    apart,
    article,
    between,
    exercise,
    expect,
    near,
    normal,
    number,
    several,
    tensor,
    uniform,
    whole,
)

ASKED = ("models", "process.q_sample")


@exercise("16.1", "unscaled", kind="understanding", minutes=15, points=3, lacks=ASKED)
def unscaled(answer, seed):
    drawn = [_latents(1601, seed, k) for k in range(4)]
    for k, z in enumerate(drawn):
        _has_this_scale(answer, z, drawn_schedule(k % 3, 1602, seed, k).alpha_bar, 0)
    yield 1, "the scale"
    for k, z in enumerate(drawn):
        _has_this_scale(answer, z, drawn_schedule(k % 3, 1603, seed, k).alpha_bar, 1)
    yield 1, "the factor of the ratio"
    for k, z in enumerate(drawn):
        schedule = drawn_schedule(k % 3, 1604, seed, k)
        for part, size in enumerate((1.0, 0.4, 0.1)):
            t = whole(schedule.T // 3, schedule.T, 1605, seed, k, part)
            _has_the_ratio_of(answer, size * z, schedule.alpha_bar, t)
        _has_the_ratio_of(answer, 0.5 * z / z.std(), schedule.alpha_bar, schedule.T)
        _has_the_ratio_of(answer, 3 * z / z.std(), schedule.alpha_bar, schedule.T)
    even = torch.tensor([1.0, 0.75, 0.5, 0.25, 0.125], dtype=torch.float64)
    z = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64).reshape(2, 2, 1, 1)
    _has_the_ratio_of(answer, z, even, 2)
    yield 1, "and the step that has this ratio"


def _latents(*seed):
    r"""Latents (N, C, h, w) whose channels have means and deviations of their own."""
    N, C, h, w = (whole(2, 4, *seed, i) for i in range(4))
    z = normal((N, C, h, w), *seed, 4)
    size = 1.5 + 5 * uniform((C, 1, 1), *seed, 5)
    return size * z + 4 * normal((C, 1, 1), *seed, 6) + between(1, 3, *seed, 7)


def _unscaled(answer, z, alpha_bar, t):
    got = several(answer(z, alpha_bar, t), 3, "the scale, the factor and a step")
    return number(got[0], "the scale"), number(got[1], "the factor"), got[2]


def _has_this_scale(answer, z, alpha_bar, which):
    got = _unscaled(answer, z, alpha_bar, len(alpha_bar) // 2)[which]
    mean, d = float(z.mean()), float(((z - z.mean()) ** 2).mean().sqrt())
    n = z.numel()
    channels = float(z.std((0, 2, 3), correction=0).mean())
    within = float(z.std((0, 2, 3), correction=0).square().mean().sqrt())
    rms, one_less = math.sqrt(d**2 + mean**2), d * math.sqrt(n / (n - 1))
    spreads = (
        (rms, "about what is the deviation taken?"),
        (one_less, f"by which number are the {n} squares divided?"),
        (channels, "is it one deviation of all entries, or one for each channel?"),
        (within, "is it one deviation of all entries, or one for each channel?"),
        (float(z.abs().max()), "is it the largest entry, or the deviation?"),
        (float(z.abs().mean()), "is it the mean size, or the deviation?"),
        (float(z.std(0, correction=0).mean()), "which entries are there in a batch?"),
    )
    if which == 0:
        right, power = 1 / d, lambda s: 1 / s
        first = (
            (d, "must they become larger, or smaller?"),
            (1 / d**2, "is that a variance, or a deviation?"),
        )
        what = "are to be multiplied by"
    else:
        right, power = d**2, lambda s: s**2
        first = (
            (d, "is a ratio of signal to noise one of deviations, or of variances?"),
            (1 / d**2, "which of the two has more signal?"),
            (1 / d, "is that the scale, or what is lost without it?"),
        )
        what = "without a scale have a ratio that is larger by"
    suspects = (*first, *((power(s), words) for s, words in spreads))
    question = asked_about(got, suspects, "which deviation have these latents?")
    mine, wanted = apart(got, right)
    expect(
        near(got, right, rtol=1e-9),
        f"{n} latents of deviation {d:.5g} {what} {wanted}, by yours {mine}: {question}",
    )


def _has_the_ratio_of(answer, z, alpha_bar, t):
    got = _unscaled(answer, z, alpha_bar, t)[2]
    v = float(((z - z.mean()) ** 2).mean())
    T = len(alpha_bar) - 1

    def ratio(step):
        a = float(alpha_bar[step])
        return a / (1 - a)

    wanted = v * ratio(t)
    found = [step for step in range(1, T + 1) if ratio(step) <= wanted]
    shown = f"latents of variance {v:.4g} have the ratio {wanted:.4g} at t = {t} of {T}"
    if not found:
        expect(
            got is None,
            f"{shown}; for scaled ones it is {ratio(T):.4g} at the last step: is there a "
            "step that has as little signal?",
        )
        return
    expect(
        got is not None,
        f"{shown}, and scaled ones have {ratio(T):.4g} at the last step: is there no step "
        "between?",
    )
    got = number(got, "the step")
    expect(got == int(got) and 1 <= got <= T, f"a step is one of 1 to {T}, yours is {got}")
    got = int(got)

    def first(level):
        fits = [step for step in range(1, T + 1) if ratio(step) <= level]
        return fits[0] if fits else 0

    suspects = (
        (found[0] - 1, "is the ratio there already as low?"),
        (found[0] + 1, "is the step before it low enough, too?"),
        (first(ratio(t) / v), "which of the two has more signal?"),
        (first(math.sqrt(v) * ratio(t)), "is that a ratio of deviations, or of variances?"),
        (first(v**2 * ratio(t)), "is that a ratio of deviations, or of variances?"),
        (T, "is there an earlier one?"),
        (t, "is the ratio the same with a scale and without?"),
    )
    question = asked_about(got, suspects, "which step is the first with so little signal?")
    before = f" and at {got - 1} it is {ratio(got - 1):.6g}" * (got > 1)
    expect(
        got == found[0],
        f"{shown} (exactly {wanted:.6g}); you say {got}, where scaled ones have "
        f"{ratio(got):.6g}{before}: {question}",
    )


@exercise("16.2", "survivors", kind="derivation", minutes=30, points=4, lacks=ASKED)
def survivors(answer, seed):
    drawn = [_variances(k, 1606, seed, k) for k in range(6)]
    for which, words in enumerate(
        ("the decoder", "the encoder", "the encoder's noise", "the divergence")
    ):
        for v, beta in drawn:
            _is_the_best(answer, v, beta, which)
        yield 1, words


def _variances(kind, *seed):
    r"""Variances (D,) and a weight that keeps some, all, or none, or is one of them."""
    D = whole(3, 7, *seed, 1)
    v = (3 * uniform((D,), *seed, 2) - 1.5).exp()
    beta = between(0.3, 0.7, *seed, 3)
    ordered = v.sort().values
    if kind == 1:
        return v, beta * float(ordered[0])
    if kind == 2:
        return v[:1], beta * float(v[0])
    if kind == 3:
        return v, float(ordered[-1]) / beta
    if kind == 4:
        return v, float(ordered[1])
    return v, float(ordered[1] + beta * (ordered[-1] - ordered[1]))


def _losses(v, beta, a, b, s):
    r"""The loss of each entry."""
    kl = (a**2 * v + s**2 - 1) / 2 - s.log()
    return (v * (1 - a * b) ** 2 + b**2 * s**2) / 2 + beta * kl


def _is_the_best(answer, v, beta, which):
    got = several(answer(v, beta), 4, "a, b, s and the nats")
    given = [tensor(one, v, f"the {n}") for one, n in zip(got[:3], "abs", strict=True)]
    nats = number(got[3], "the nats")
    alive = v > beta
    b = torch.where(alive, v - beta, torch.zeros_like(v)).sqrt()
    a, s = b / v, torch.where(alive, beta / v, torch.ones_like(v)).sqrt()
    if which == 3:
        right = float(((a**2 * v + s**2 - 1) / 2 - s.log()).sum())
        D, some = len(v), max(int(alive.sum()), 1)
        guesses = (
            (right / D, "is it the divergence of an entry, or of all together?"),
            (right / some, "is it the divergence of an entry, or of all together?"),
            (
                2 * right,
                "which factor has the logarithm of a variance, and of a deviation?",
            ),
            (
                right / 2,
                "which factor has the logarithm of a variance, and of a deviation?",
            ),
            (-right, "can a divergence be negative?"),
            (right / math.log(2), "are these nats, or bits?"),
            (beta * right, "is that the divergence, or what it costs?"),
            (
                float((v / beta).log().sum() / 2),
                "what do entries below the weight add to the divergence?",
            ),
            (
                float((s**2 - 1 - 2 * s.log()).sum() / 2),
                "what do the means of z add to the divergence, averaged over x?",
            ),
            (
                float((a**2 + s**2 - 1 - 2 * s.log()).sum() / 2),
                "how large is the mean of z, squared and averaged over x?",
            ),
        )
        question = asked_about(nats, guesses, "what is the KL of N(a x, s^2), over all x?")
        mine, wanted = apart(nats, right)
        expect(
            near(nats, right, rtol=1e-8, atol=1e-10),
            f"for {D} entries and beta = {beta:.4g}, {int(alive.sum())} of them kept, the "
            f"divergence is {wanted} nats, yours is {mine}: {question}",
        )
        return
    name, mine, right = (("b", given[1], b), ("a", given[0], a), ("s", given[2], s))[which]
    expect(
        which == 2 or not (mine < -1e-12).any(),
        f"{name} should not be negative, yours goes down to {float(mine.min()):.4g}",
    )
    expect(
        which < 2 or not (mine <= 0).any(),
        f"s should be positive, yours goes down to {float(mine.min()):.4g}",
    )
    question = asked_about(mine, _guesses(which, v, beta, a, b, s), _PLAIN[which])
    i = int(((mine - right).abs() / (right.abs() + 0.01)).argmax())
    used = {"a": a, "b": b, "s": s} | {name: mine}
    cost, best = (
        float(_losses(v, beta, *parts)[i])
        for parts in ((used["a"], used["b"], used["s"]), (a, b, s))
    )
    shown = f"it costs {cost:.6g} there and could cost {best:.6g}"
    if near(cost, best, rtol=1e-12, atol=0):
        shown = f"it is {float(mine[i]):.6g} there"
    expect(
        near(mine, right, rtol=1e-8, atol=1e-9),
        f"with your {name} for an entry of variance {float(v[i]):.4g} and beta = "
        f"{beta:.4g} and the best of the others, {shown}: {question}",
    )


_PLAIN = (
    "which b has the smallest loss, if a and s are the best ones for it?",
    "for this b, where is the derivative by a zero?",
    "for this b, where is the derivative by s zero?",
)
NONE_LEFT = "which entries are worth their price?"


def _guesses(which, v, beta, a, b, s):
    zero, one = torch.zeros_like(v), torch.ones_like(v)
    alive = v > beta
    if which == 0:
        return (
            (b**2, "is it b, or its square?"),
            (v.sqrt(), "does the weight of the divergence change nothing?"),
            ((v + beta).sqrt(), "does a larger weight make b larger?"),
            (one, "how large is z, and how large is x?"),
            (torch.where(alive, v.sqrt(), zero), "is b a step, or does it fall smoothly?"),
            (a, "is that the encoder's, or the decoder's?"),
            ((v - beta).abs().sqrt(), NONE_LEFT),
            (((v - beta / 2).clamp(min=0)).sqrt(), "which factor has the squared error?"),
            (((v - 2 * beta).clamp(min=0)).sqrt(), "which factor has the squared error?"),
            ((v**0.5 - beta).clamp(min=0), "is beta beside a variance, or a deviation?"),
            (zero, NONE_LEFT),
        )
    if which == 1:
        return (
            (torch.where(alive, 1 / b.clamp(min=1e-9), zero), "must x come back exactly?"),
            (b, "is that the encoder's, or the decoder's?"),
            (1 / v.sqrt(), NONE_LEFT),
            (torch.where(alive, v.rsqrt(), zero), "is there noise in z beside a x?"),
            (b / v.sqrt(), "which variance has x?"),
            ((v - beta).abs().sqrt() / v, NONE_LEFT),
            (one, "how large is z, and how large is x?"),
            (torch.where(alive, one, zero), "how large is z, and how large is x?"),
        )
    return (
        (s**2, "is s a variance, or a deviation?"),
        ((beta / v).sqrt(), "what is s where z says nothing of x?"),
        (torch.where(alive, s, zero), "what is s where z says nothing of x?"),
        (one, "is there no more to be said of x than that?"),
        (zero + math.sqrt(beta), "does s depend on how much x varies?"),
        (1 / s, "is s above 1, or below?"),
        ((1 - s**2).sqrt(), "is that the noise in z, or the signal?"),
        ((beta / (beta + v)).sqrt(), "by which b is the noise in z multiplied?"),
    )


class Tokens:
    r"""A network of tokens that says what it is to say, and notes what it is given."""

    def __init__(self, says):
        self.says, self.given = says, []

    def __call__(self, h):
        ok = isinstance(h, torch.Tensor) and h.shape == self.says.shape
        if not ok or h.dtype != self.says.dtype:
            raise ValueError(
                f"f wants tokens {tuple(self.says.shape)} in {self.says.dtype}, it got "
                f"{article(h)}"
            )
        self.given.append(h)
        return self.says


@exercise("16.3", "dit_step", kind="code", minutes=35, points=5, lacks=ASKED)
def dit_step(answer, seed):
    for k in range(3):
        _cuts_and_norms(answer, seed, k)
    yield 1, "the tokens and their norm"
    for k in range(3):
        _adapts(answer, seed, k)
    yield 1, "shift and scale"
    for k in range(3):
        _gates(answer, seed, k)
    yield 2, "the gate, and the way back to a picture"
    for k in range(4):
        _takes_any_picture(answer, seed, k)
    yield 1, "for pictures of any shape and dtype"


def _patched(x, p):
    r"""The tokens (B, N, C p p), by torch's own way of cutting."""
    return functional.unfold(x, p, stride=p).transpose(1, 2)


def _put_back(h, like, p):
    return functional.fold(h.transpose(1, 2), like.shape[2:], p, stride=p)


def _picture(dtype, *seed):
    r"""(x, c, W, p) of random sizes; height and width differ."""
    B, C, p = whole(2, 3, *seed, 1), whole(2, 3, *seed, 2), whole(2, 3, *seed, 3)
    rows = whole(2, 3, *seed, 4)
    columns, E = rows + whole(1, 2, *seed, 5), whole(2, 5, *seed, 6)
    x = 2 * normal((B, C, rows * p, columns * p), *seed, 7, dtype=dtype) + 0.7
    c = normal((B, E), *seed, 8, dtype=dtype)
    W = normal((E, 3 * C * p * p), *seed, 9, dtype=dtype) / math.sqrt(E)
    return x, c, W, p


def _stepped(answer, x, c, W, p, says):
    model = Tokens(says)
    got = answer(x, c, W, model, p)
    expect(
        len(model.given) == 1,
        f"one step asks f once, about all tokens; yours asks {len(model.given)} times",
    )
    return tensor(got, x, "the picture"), model.given[0].detach()


def _norm(h, eps=1e-6):
    off = h - h.mean(2, keepdim=True)
    return off / (off.square().mean(2, keepdim=True) + eps).sqrt()


def _cuts_and_norms(answer, seed, k):
    x, c, W, p = _picture(torch.float64, 1607, seed, k)
    x[0, :, :p, :p] = between(-1, 1, 1608, seed, k)  # a patch of one colour
    x[1, :, :p, :p] = x[1, :, :p, :p] * 1e-3
    W = torch.zeros_like(W)
    h = _patched(x, p)
    says = normal(tuple(h.shape), 1609, seed, k)
    _, given = _stepped(answer, x, c, W, p, says)
    flat = given[0, 0].abs().max()
    if not flat < 10:
        raise Hint(
            f"a patch of one colour becomes a token with entries of {float(flat):.3g}: by "
            "what is it divided?"
        )
    B, C = x.shape[:2]
    N, D = h.shape[1:]
    pixels = h.reshape(B, N, C, p, p)
    columns = _patched(x.transpose(2, 3), p).reshape(B, N, C, p, p).transpose(3, 4)
    plain = x.reshape(h.shape)
    off = h - h.mean(2, keepdim=True)
    suspects = (
        (h, "are the tokens normed?"),
        (off, "by what are they divided?"),
        (
            off / (h.var(2, keepdim=True) + 1e-6).sqrt(),
            f"by which number are the {D} squares divided?",
        ),
        (
            off / (off.square().mean(2, keepdim=True).sqrt() + 1e-6),
            "is 1e-6 added to the variance, or to its root?",
        ),
        (_norm(h, 1e-5), "what is added to the variance?"),
        (off / (off.square().mean(2, keepdim=True) + 1e-6), "by a variance, or its root?"),
        (
            h / (h.square().mean(2, keepdim=True) + 1e-6).sqrt(),
            "what is subtracted from a token?",
        ),
        (_norm(plain), "which pixels are there in the first token?"),
        (
            _norm(pixels.permute(0, 1, 3, 4, 2).reshape(h.shape)),
            "in which order are the entries of a token?",
        ),
        (
            _norm(pixels.transpose(3, 4).reshape(h.shape)),
            "in which order are the entries of a token?",
        ),
        (_norm(columns.reshape(h.shape)), "in which order do the tokens come?"),
        (_norm(h.transpose(1, 2)).transpose(1, 2), "over which axis is the mean taken?"),
        (
            (h - h.mean((1, 2), keepdim=True))
            / (h.var((1, 2), correction=0, keepdim=True) + 1e-6).sqrt(),
            "over which axis is the mean taken?",
        ),
    )
    question = asked_about(given, suspects, "which entries has the first token?")
    wrong = _worst(given, _norm(h))
    expect(
        near(given, _norm(h), rtol=1e-7, atol=1e-8),
        f"with W = 0, pictures {tuple(x.shape)} and p = {p}, f is given {N} tokens of {D} "
        f"entries, off by up to {wrong:.3g}: {question}",
    )


def _worst(got, right):
    return float((got - right).abs().max())


def _adapts(answer, seed, k):
    x, c, W, p = _picture(torch.float64, 1610, seed, k)
    h = _patched(x, p)
    says = normal(tuple(h.shape), 1611, seed, k)
    _, given = _stepped(answer, x, c, W, p, says)
    a, b, g = (c @ W)[:, None].chunk(3, 2)
    norm = _norm(h)
    suspects = (
        (norm * (1 + b), "where is the shift?"),
        (norm + a, "where is the scale?"),
        (norm * b + a, "what does a scale of 0 leave of a token?"),
        (norm * (1 + a) + b, "which comes first in c W, shift or scale?"),
        ((norm + a) * (1 + b), "is the shift scaled, too?"),
        (norm * (1 + g) + b, "in which order are the three parts of c W?"),
        (norm * (1 + g) + a, "in which order are the three parts of c W?"),
        (norm * (1 + a) + g, "in which order are the three parts of c W?"),
        (norm * (1 + b) + g, "in which order are the three parts of c W?"),
        (h * (1 + b) + a, "are the tokens normed?"),
        (norm, "what does the condition do?"),
        (norm * (1 + b[:1]) + a[:1], "has each example a condition of its own?"),
        (norm * b.exp() + a, "what does a scale of 0 leave of a token?"),
    )
    question = asked_about(given, suspects, "what are the first entries of c W?")
    right = norm * (1 + b) + a
    expect(
        near(given, right, rtol=1e-7, atol=1e-8),
        f"with a condition of {c.shape[1]} entries, what f is given is off by up to "
        f"{_worst(given, right):.3g}, and with W = 0 it is not: {question}",
    )


def _gates(answer, seed, k):
    x, c, W, p = _picture(torch.float64, 1612, seed, k)
    h = _patched(x, p)
    says = normal(tuple(h.shape), 1613, seed, k)
    got, given = _stepped(answer, x, c, W, p, says)
    still, _ = _stepped(answer, x, c, torch.zeros_like(W), p, says)
    a, b, g = (c @ W)[:, None].chunk(3, 2)

    def back(tokens):
        return _put_back(tokens, x, p)

    suspects = (
        (x, "what becomes of f's answer?"),
        (back(says), "what becomes of x?"),
        (back(g * says), "what becomes of x?"),
        (back(h + says), "what is the gate for?"),
        (back(h + (1 + g) * says), "what is left of f's answer at a gate of 0?"),
        (back(given + g * says), "is the answer added to what f was given?"),
        (back(_norm(h) + g * says), "is the answer added to what f was given?"),
        (back(h + a * says), "in which order are the three parts of c W?"),
        (back(h + b * says), "in which order are the three parts of c W?"),
        (back(g * (h + says)), "does the gate close the way of x, too?"),
        (back(h + g.sigmoid() * says), "what is left of f's answer at a gate of 0?"),
        (back(h + g[:1] * says), "has each example a condition of its own?"),
        ((h + g * says).reshape(x.shape), "where in the picture is the first token?"),
    )
    question = asked_about(got, suspects, "where in the picture is the first token?")
    right = back(h + g * says)
    if not near(still, x, rtol=1e-9, atol=1e-10):
        turned = near(still.flatten().sort().values, x.flatten().sort().values)
        words = "where in the picture is the first token?" if turned else question
        expect(
            False,
            f"with W = 0 the picture should stay as it is; yours changes by up to "
            f"{_worst(still, x):.3g}: {words}",
        )
    expect(
        near(got, right, rtol=1e-8, atol=1e-9),
        f"with a condition, the picture is off by up to {_worst(got, right):.3g}: "
        f"{question}",
    )


ODD = (
    ((1, 1, 6, 4), 2, torch.float32),
    ((3, 4, 5, 2), 1, torch.float64),
    ((2, 1, 3, 3), 3, torch.float32),
    ((4, 3, 4, 8), 4, torch.float64),
)


def _takes_any_picture(answer, seed, k):
    shape, p, dtype = ODD[k]
    x = normal(shape, 1614, seed, k, dtype=dtype)
    c = normal((shape[0], k + 1), 1615, seed, k, dtype=dtype)
    W = normal((k + 1, 3 * shape[1] * p * p), 1616, seed, k, dtype=dtype)
    h = _patched(x, p)
    says = normal(tuple(h.shape), 1617, seed, k, dtype=dtype)
    got, given = _stepped(answer, x, c, W, p, says)
    a, b, g = (c @ W).double()[:, None].chunk(3, 2)
    inside = _norm(h.double()) * (1 + b) + a
    right = _put_back(h.double() + g * says.double(), x, p)
    off = max(_worst(given.double(), inside), _worst(got.double(), right))
    expect(
        off < 1e-3,
        f"for pictures {shape} in {dtype} with p = {p} you are off by up to {off:.3g}: how "
        "many tokens are there, and how many entries has each?",
    )


@exercise("16.4", "pca", kind="project", minutes=50, points=5, lacks=ASKED)
def pca(answer, seed):
    drawn = [_pictures(k, 1618, seed, k) for k in range(5)]
    for x, k in drawn:
        _has_the_mean(answer, x, k)
    yield 1, "mean and rows"
    for x, k in drawn:
        _reconstructs(answer, x, k)
    yield 2, "the smallest error"
    for x, k in drawn:
        _keeps(answer, x, k)
    yield 1, "the share of the variance"
    for x, k in drawn:
        _scales(answer, x, k)
    yield 1, "and the scale of the latents"


SETS = (
    (40, 6, 3, torch.float64),
    (7, 30, 4, torch.float64),
    (25, 9, 1, torch.float64),
    (60, 5, 4, torch.float32),
    (5, 40, 2, torch.float32),
)


def _pictures(kind, *seed):
    r"""Few or many pictures x (N, D) far from 0, and a number of latents."""
    N, D, k, dtype = SETS[kind]
    size = (2 * uniform((D,), *seed, 1)).exp()
    x = normal((N, D), *seed, 2) * size @ normal((D, D), *seed, 3) / math.sqrt(D)
    middle = 6 * normal((D,), *seed, 4)
    return (x + middle).to(dtype), k


def _pca(answer, x, k):
    got = several(answer(x, k), 4, "the mean, the rows, the scale and the share")
    m, E = tensor(got[0], x[0], "m"), tensor(got[1], x[:1].expand(k, -1), "E")
    return (
        m.double(),
        E.double(),
        *(number(v, w) for v, w in zip(got[2:], ("the scale", "the share"), strict=True)),
    )


def _powers(x):
    r"""The sums of squares along the axes, by the smaller of two matrices, falling."""
    off = x.double() - x.double().mean(0)
    small = off @ off.T if len(off) < off.shape[1] else off.T @ off
    return torch.linalg.eigvalsh(small).flip(0).clamp(min=0)


def _loose(x):
    return 1e-8 if x.dtype == torch.float64 else 1e-3


def _has_the_mean(answer, x, k):
    m, E, _, _ = _pca(answer, x, k)
    right = x.double().mean(0)
    off = float((m - right).abs().max())
    zero = near(m, torch.zeros_like(m))
    expect(
        off < _loose(x) * float(right.abs().max() + 1),
        f"m is the mean of {len(x)} pictures, yours is off by up to {off:.3g}: "
        + ("are these pictures around 0?" if zero else "over which axis is it taken?"),
    )
    product = E @ E.T
    wrong = float((product - torch.eye(k).to(product)).abs().max())
    expect(
        wrong < _loose(x),
        f"rows of E should have length 1 and be orthogonal; products of yours, of {k} "
        f"rows with {E.shape[1]} entries, are off by up to {wrong:.3g}",
    )


def _reconstructs(answer, x, k):
    _, E, _, _ = _pca(answer, x, k)
    off = x.double() - x.double().mean(0)
    powers = _powers(x)
    left, least = float((off - off @ E.T @ E).square().sum()), float(powers[k:].sum())
    total, most = float(powers.sum()), float(powers[:k].sum())
    _, _, rows = torch.linalg.svd(x.double(), full_matrices=False)
    uncentred = float((off - off @ rows[:k].T @ rows[:k]).square().sum())
    suspects = (
        (uncentred, "do the rows look at where the pictures are, or how they differ?"),
        (total - float(powers[-k:].sum()), "are these the largest axes, or the smallest?"),
        (
            total - float(powers[: min(x.shape)][-k:].sum()),
            "are these the largest axes, or the smallest?",
        ),
        (float(powers[k + 1 :].sum()), "how many latents are there?"),
        (float(powers[k - 1 :].sum()), "how many latents are there?"),
        (float((off[:, k:] ** 2).sum()), "are the pixels themselves the best axes?"),
        (most, "are these the largest axes, or the smallest?"),
    )
    question = asked_about(left, suspects, "along which axes do the pictures vary most?")
    mine, wanted = apart(left / total, least / total)
    expect(
        left <= least + _loose(x) * total,
        f"with {k} of {min(x.shape[0] - 1, x.shape[1])} latents the reconstruction of "
        f"{len(x)} pictures leaves {mine} of the variance, and {wanted} would do: "
        f"{question}",
    )


def _keeps(answer, x, k):
    share = _pca(answer, x, k)[3]
    powers = _powers(x)
    sizes = powers.sqrt()
    right = float(powers[:k].sum() / powers.sum())
    raw = x.double().square().sum()
    _, s, _ = torch.linalg.svd(x.double(), full_matrices=False)
    suspects = (
        (1 - right, "is that the share which is kept, or lost?"),
        (
            float(sizes[:k].sum() / sizes.sum()),
            "is it a share of variances, or of deviations?",
        ),
        (math.sqrt(right), "is it a share of variances, or of deviations?"),
        (
            float(powers[:k].square().sum() / powers.square().sum()),
            "are these variances, or their squares?",
        ),
        (k / x.shape[1], "do all axes carry as much?"),
        (k / min(x.shape), "do all axes carry as much?"),
        (100 * right, "is it a share, or a percentage?"),
        (float(powers[:k].sum() / raw), "is the mean a part of the variance?"),
        (float(s[:k].square().sum() / raw), "is the mean a part of the variance?"),
        (float(powers[:k].sum()), "is that a share?"),
    )
    question = asked_about(share, suspects, "how much do pictures vary, along all axes?")
    mine, wanted = apart(share, right)
    expect(
        near(share, right, rtol=_loose(x), atol=_loose(x)),
        f"{k} latents of {len(x)} pictures with {x.shape[1]} pixels keep {wanted} of the "
        f"variance, you say {mine}: {question}",
    )


def _scales(answer, x, k):
    _, E, scale, _ = _pca(answer, x, k)
    off = x.double() - x.double().mean(0)
    size = float((off @ E.T).square().mean().sqrt())
    N = len(x)
    right = 1 / size
    suspects = (
        (size, "must they become larger, or smaller?"),
        (right**2, "is that a variance, or a deviation?"),
        (
            right * math.sqrt((N - 1) / N),
            f"by which number are the squares of {N} pictures divided?",
        ),
        (float(1 / (off @ E.T).std()), "by which number are the squares divided?"),
        (right / math.sqrt(k), "is it the length of z, or the size of an entry?"),
        (right / math.sqrt(N), "is it a sum over pictures, or a mean?"),
        (right / math.sqrt(N * k), "is it a sum, or a mean?"),
        (float(1 / off.square().mean().sqrt()), "is it the pixels, or the latents?"),
        (float(1 / x.double().std(correction=0)), "is it the pixels, or the latents?"),
        (1.0, "which deviation have the latents without it?"),
        (
            float(1 / (x.double() @ E.T).std(correction=0)),
            "is the mean taken off before the pictures are encoded?",
        ),
        (
            float((_powers(x)[:1] / N).rsqrt()),
            "is it the deviation of the first latent, or of all together?",
        ),
    )
    question = asked_about(scale, suspects, "which deviation have all entries together?")
    mine, wanted = apart(scale * size, 1.0)
    expect(
        near(scale, right, rtol=_loose(x) / 100 if _loose(x) < 1e-6 else 1e-4),
        f"with your scale, {scale:.5g}, the {N} x {k} entries of all z together have "
        f"deviation {mine}, and not {wanted}: {question}",
    )
