r"""What an exercise is, and the words in which its checks speak.

An exercise asks for one function, and the kind "bug" for a second one, `faults`. Its
check calls them with inputs of its own and looks at properties of what comes back:
moments, invariants, shapes, round trips. The check never sees the code, only an `answer`
that it may call, so that the same check runs in a notebook and, with the function in
another process, in the grader.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

import torch

from ..schedule import Schedule
from ..seeds import generator_for

KINDS = ("understanding", "derivation", "code", "project", "bug")


class Hint(Exception):
    r"""A check that failed: what is wrong, in words, without the answer."""


class Unsolved(Exception):
    r"""The function still raises NotImplementedError, or is not there."""


@dataclass(frozen=True)
class Exercise:
    r"""One exercise: its number "NN.k", the function to hand in, and the check.

    kind: one of `KINDS`. minutes: how long it takes. points: what it is worth. lacks:
    names that the grader's package is without, such as "process.q_sample". seconds: the
    longest that all calls of the check may take together. check: a generator (answer,
    seed) that yields (points, words) after each stage that holds, the points of all stages
    being the exercise's, and raises `Hint`. also: names of what is handed in beside it,
    `answer.other(name)`.
    """

    number: str
    name: str
    kind: str
    minutes: int
    points: int
    check: Callable = field(repr=False)
    lacks: tuple[str, ...] = ()
    seconds: float = 20.0
    also: tuple[str, ...] = ()

    @property
    def names(self):
        r"""All functions that are handed in, the exercise's own first."""
        return (self.name, *self.also)

    @property
    def chapter(self):
        r"""The chapter's number, such as "02"."""
        return self.number[:2]


def exercise(number, name, *, kind, minutes, points, lacks=(), seconds=20.0, also=()):
    r"""Make an `Exercise` of a check: the decorator of the checks in chNN.py."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    lacks = (lacks,) if isinstance(lacks, str) else tuple(lacks)

    def made(check):
        facts = (number, name, kind, minutes, points)
        return Exercise(*facts, check, lacks, seconds, tuple(also))

    return made


def stages(check, answer, seed):
    r"""Run a check on an answer: yields the (points, words) of its stages one by one.

    A check may also be a plain function, of no stages.
    """
    made = check(answer, seed)
    if made is not None:
        yield from made


CHAPTERS = tuple(f"{number:02}" for number in range(1, 18))
WITH_BUGS = CHAPTERS[4:]  # chapters that have a module bugNN beside chNN


def exercises_of(chapter):
    r"""The exercises of a chapter such as "02", {number: Exercise} in order.

    Raises ValueError for a chapter that has none.
    """
    if chapter not in CHAPTERS:
        raise ValueError(
            f"chapters with exercises are {CHAPTERS[0]} to {CHAPTERS[-1]}, got {chapter!r}"
        )
    modules = [f".ch{chapter}"] + [f".bug{chapter}"] * (chapter in WITH_BUGS)
    values = [v for m in modules for v in vars(import_module(m, __package__)).values()]
    found = [value for value in values if isinstance(value, Exercise)]
    return {one.number: one for one in sorted(found, key=lambda one: one.number)}


def find(number):
    r"""The exercise "NN.k". Raises ValueError that lists the chapter's own."""
    if not isinstance(number, str):
        raise TypeError(f'an exercise is named by text such as "02.3", got {number!r}')
    known = exercises_of(number[:2])
    if number not in known:
        raise ValueError(f"there is no exercise {number!r}; there are {', '.join(known)}")
    return known[number]


# What checks say things with.


def expect(ok, hint):
    r"""Raise `Hint` unless ok."""
    if not ok:
        raise Hint(hint)


def tensor(value, like, what):
    r"""Return an answer that must be a tensor of the shape and dtype of `like`.

    NumPy arrays count as tensors. Raises `Hint` that says what came.
    """
    expect(
        isinstance(value, torch.Tensor),
        f"{what} should be a tensor of shape {tuple(like.shape)}, yours is "
        f"{article(value)}",
    )
    expect(
        value.shape == like.shape,
        f"{what} should have shape {tuple(like.shape)}, yours has {tuple(value.shape)}",
    )
    expect(
        value.dtype == like.dtype,
        f"{what} should be {like.dtype} like what went in, yours is {value.dtype}",
    )
    bad = int((~torch.isfinite(value)).sum()) if value.is_floating_point() else 0
    expect(bad == 0, f"{what} should be finite, yours has {bad} entries of nan or inf")
    return value.detach()


def number(value, what):
    r"""Return an answer that must be one finite real number, as a float.

    A tensor with one element counts. Raises `Hint` that says what came.
    """
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.detach().item()
    ok = isinstance(value, (int, float)) and not isinstance(value, bool)
    expect(ok, f"{what} should be one number, yours is {article(value)}")
    expect(math.isfinite(value), f"{what} should be finite, yours is {value}")
    return float(value)


def several(value, count, what):
    r"""Return an answer that must be `count` things in a tuple or list."""
    ok = isinstance(value, (list, tuple)) and len(value) == count
    came = f"{len(value)} things" if isinstance(value, (list, tuple)) else article(value)
    expect(ok, f"you should return {count} things, {what}; yours is {came}")
    return tuple(value)


def named(value, *keys):
    r"""Return an answer that must be a dict with just these keys."""
    expect(
        isinstance(value, dict),
        f"you should return a dict with the keys {', '.join(keys)}, yours is "
        f"{article(value)}",
    )
    missing = [key for key in keys if key not in value]
    extra = [str(key) for key in value if key not in keys]
    expect(not missing, f"your dict lacks {', '.join(missing)}")
    expect(not extra, f"your dict has unknown keys: {', '.join(extra)}")
    return value


def near(a, b, rtol=1e-9, atol=1e-12):
    r"""Whether numbers or tensors are equal but for rounding; shapes must agree."""
    a, b = (torch.as_tensor(v, dtype=torch.float64) for v in (a, b))
    return a.shape == b.shape and torch.allclose(a, b, rtol=rtol, atol=atol)


def apart(*values, digits=4):
    r"""Numbers as texts that differ where the numbers do, in as few digits as it takes."""
    for n in range(digits, 18):
        texts = [f"{value:.{n}g}" for value in values]
        if len(set(texts)) == len(set(values)):
            break
    return texts


RARE = 4.753  # deviations that a normal number exceeds, to one side, once in a million


def uneven(counts):
    r"""Whether counts could not come from even draws: (chi-square, its limit).

    Even draws exceed the limit about once in a million (Wilson and Hilferty's cube root,
    which holds where some tens are expected of each).
    """
    counts = counts.double()
    expected = float(counts.mean())
    found = float(((counts - expected) ** 2).sum() / expected)
    k = len(counts) - 1
    return found, k * (1 - 2 / (9 * k) + RARE * math.sqrt(2 / (9 * k))) ** 3


def unlike_normal(x):
    r"""How far numbers are from the law N(0, 1), where 1 is too far.

    The largest difference of the two distribution functions (Kolmogorov and Smirnov), as a
    share of what N(0, 1) exceeds about once in a million.
    """
    x = x.detach().double().flatten().sort().values
    below = torch.special.ndtr(x)
    n = len(x)
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    most = torch.maximum(steps[1:] - below, below - steps[:-1]).max()
    return float(most) * math.sqrt(n) / math.sqrt(math.log(2 / 1e-6) / 2)


def reason(got, guesses, otherwise, rtol=1e-5):
    r"""The words that fit: of the first guess, (value, words), that got is near to.

    guesses: what typical mistakes would have given. otherwise: the words when none fits.
    """
    fits = (words for value, words in guesses if near(got, value, rtol=rtol, atol=1e-9))
    return next(fits, otherwise)


def drawn_schedules(*seed):
    r"""A linear, a cosine and a random schedule; lengths and ends depend on seed alone.

    60 to 300 steps. The random one's beta rise. alpha_bar_T < 1e-3 for all of them.
    """
    T = steps(60, 300, 3, 1, *seed).tolist()
    a, s, c = uniform((3,), 2, *seed).tolist()
    linear = Schedule.linear(T[0], 1e-4 * (1 + a), (16 + 8 * a) / T[0])
    rise = uniform((T[2],), 3, *seed).sort().values.cumsum(0)
    beta = 1e-4 + (8 + 4 * c) * rise / rise.sum()
    return linear, Schedule.cosine(T[1], 0.004 + 0.01 * s), Schedule.from_beta(beta)


def between(low, high, *seed):
    r"""One random number in [low, high) that depends on the numbers in seed alone."""
    return low + (high - low) * float(uniform((1,), *seed))


def whole(low, high, *seed):
    r"""One random whole number in low..high that depends on the numbers in seed alone."""
    return int(steps(low, high, 1, *seed))


def schedules(*seed):
    r"""Three schedules: the paper's, a cosine one, and one of random beta."""
    beta = 1e-4 + 0.05 * uniform((60,), *seed).sort().values
    return Schedule.linear(), Schedule.cosine(200), Schedule.from_beta(beta)


def normal(shape, *seed, dtype=torch.float64):
    r"""Standard normal noise (shape) that depends on the numbers in seed alone."""
    return torch.randn(shape, generator=generator_for(*seed), dtype=dtype)


def uniform(shape, *seed, dtype=torch.float64):
    r"""Noise that is uniform in [0, 1) and depends on the numbers in seed alone."""
    return torch.rand(shape, generator=generator_for(*seed), dtype=dtype)


def steps(low, high, count, *seed):
    r"""count random steps t in low..high, int64, that depend on seed alone."""
    return torch.randint(low, high + 1, (count,), generator=generator_for(*seed))


def article(value):
    r"""What an answer is, in words: "None", "a str", "a tensor of shape (2, 3)"."""
    if value is None:
        return "None: is there a return?"
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, (list, tuple, dict)):
        return f"a {type(value).__name__} of {len(value)}"
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"
