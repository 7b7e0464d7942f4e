r"""The run with a bug of chapter 09: DPM-Solver++(2M), asked for digits.

The check hands in networks whose guesses of x_0 it has chosen, and which note the states
that they are asked about: from two states and the guesses between them follows the guess
that a jump has used.
"""

import math
from itertools import pairwise

import torch

from ..schedule import Schedule
from .bugs import Fault, independent, naming
from .ch08 import drawn_clip
from .ch09 import ASKED
from .exercise import apart, article, exercise, expect, near, normal, steps, tensor, uniform

# What `otherwise` says was measured: figures/bugs_sampling.py, bugs_sampling.json.
FAULTS = (
    Fault(
        "last_jump_missing",
        "ends at the last stop before 0",
        unexplained="what is left of the way from the start to the point, or the grain",
    ),
    Fault(
        "first_jump_missing",
        r"begins at the second stop with the $x_T$ that belongs to the first",
        "would hardly be seen, neither on the digits nor on Gaussian data, as the state at "
        "the second stop is nearly noise, too; here both show something",
    ),
    Fault(
        "not_clipped",
        r"leaves $\hat x_0$ as it is",
        "would take some pixels far beyond [-1, 1], to 6 and more, and change nothing on "
        "Gaussian data, where nothing is clipped",
    ),
    Fault(
        "asked_at_s",
        "asks the network at $t=s$, where the jump ends, about the state where it begins",
        "would make N(0, 1) far too wide with ten jumps; here it is too narrow",
    ),
    Fault(
        "no_correction",
        "leaves the correction out, all jumps are of first order",
        "would give about DDIM's column on N(0, 1); here the error is larger than DDIM's "
        "with each number of jumps",
    ),
    Fault(
        "subtracted",
        r"carries the line on to the wrong side, to $D-\frac h2D'$",
        unexplained="that on N(0, 1), where the deviation is 1 at every t, it comes out "
        "narrower than with first order",
    ),
    Fault(
        "ratio_turned",
        "has the ratio of the two lengths in $\\lambda$ upside down",
        "would be too wide on N(0, 1) by 2.5 % with ten jumps; here it is too narrow",
    ),
    Fault(
        "no_half",
        "takes the line at the end of the jump, $D+hD'$, and not half-way",
        "would correct twice as much as it should, and be too wide on N(0, 1); here it is "
        "too narrow",
    ),
    Fault(
        "first_guess_kept",
        r"keeps the very first $\hat x_0$, and the first length, for the line of all jumps",
        "would make N(0, 1) too wide with 20 jumps, and wider with 40; here it is too "
        "narrow",
    ),
    Fault(
        "whole_log_snr",
        r"takes $\log(\bar\alpha/(1-\bar\alpha))$ for $\lambda$, without the half",
        "would be the farther off the more jumps there are, and too wide",
    ),
    Fault(
        "log10",
        r"takes $\lambda$ to base 10",
        "would leave the digits grey, with three quarters of their contrast, and be the "
        "farther off the more jumps there are",
    ),
    Fault(
        "log_snr_turned",
        r"has the sign of $\lambda$ wrong, so that it falls on the way",
        "would carry every state away from the guess, and N(0, 1) would lose nearly all of "
        "its deviation, with any number of jumps",
    ),
)


@exercise("09.7", "solve", kind="bug", minutes=45, points=5, also=("faults",), lacks=ASKED)
def find_the_bug(answer, seed):
    yield from independent(
        naming(answer, FAULTS), _to_the_end(answer, seed), _second_order(answer, seed)
    )


def _chain(seed, below=False):
    r"""A schedule and stops from T, or from below it, to 0: jumps of all lengths."""
    T = int(steps(100, 500, 1, 971, seed))
    noised = 2 + 3 * float(uniform((1,), 972, seed))  # the sum of beta
    beta = torch.linspace(1e-3, 2 * noised / T, T, dtype=torch.float64)
    count = 4 + int(steps(0, 3, 1, 973, seed))
    parts = 0.4 + uniform((count + 1,), 974, seed)
    stops = (T * (1 - parts.cumsum(0) / parts.sum())).round().long()[:-1]
    first = T - int(steps(3, T // 10, 1, 984, seed)) if below else T
    return Schedule.from_beta(beta), [first, *stops.tolist(), 0]


class _Asked:
    r"""A network whose guess of x_0 is guess(k, x_t, t) in call number k; it notes x, t."""

    def __init__(self, schedule, guess):
        self.alpha_bar, self.guess, self.x, self.t = schedule.alpha_bar, guess, [], []

    def __call__(self, x, t):
        ok = isinstance(x, torch.Tensor) and isinstance(t, torch.Tensor)
        if not ok or t.dtype != torch.int64 or t.shape != x.shape[:1]:
            raise ValueError(f"the model wants x_t, and t (B,) in int64; got {article(t)}")
        a = self.alpha_bar[t].reshape(-1, *[1] * (x.dim() - 1)).to(x)
        noise_pred = (x - a.sqrt() * self.guess(len(self.x), x, t)) / (1 - a).sqrt()
        self.x.append(x)
        self.t.append(t)
        return noise_pred


def _walk(answer, schedule, stops, x, guess, clip=(-1e6, 1e6)):
    r"""(model, end) of a chain, the model as it was asked."""
    model = _Asked(schedule, guess)
    end = tensor(answer(model, schedule.alpha_bar, stops, x, clip), x, "x_0")
    return model, end


def _to_the_end(answer, seed):
    r"""Does the chain come to 0, by one call at every stop, and with the last guess?"""
    for below in (False, True):
        _ends_at_0(answer, *_chain(seed, below), seed)
    yield 1, "the chain ends at 0"


def _ends_at_0(answer, schedule, stops, seed):
    x = normal((3, 2), 975, seed)
    point = 2 * float(uniform((1,), 976, seed)) - 1
    model, end = _walk(
        answer, schedule, stops, x, lambda k, x, t: torch.full_like(x, point)
    )
    asked = [int(t[0]) for t in model.t]
    off = float((end - point).abs().max())
    share = off / float((x - point).abs().max())
    expect(
        asked == stops[:-1] or share > 1e-6,
        f"with the stops {stops}, of {schedule.T} steps, the network should be asked at "
        f"{stops[:-1]}, yours is asked at {asked}: which t does x belong to at first?",
    )
    expect(
        share < 1e-6,
        f"for data that are one point, all samples should end there; yours end {off:.4g} "
        f"away from {point:.4f} ({100 * share:.3g} % of how far they began), and with the "
        f"stops {stops} the network is asked at {asked}: which t does the result belong "
        "to?",
    )
    last = len(stops) - 2
    told = normal((last + 1, 1, 2), 977, seed)
    model, end = _walk(answer, schedule, stops, x, lambda k, x, t: told[k].expand_as(x))
    off = float((end - told[last]).abs().max())
    ask = "how long is a jump to 0 in lambda, and where would half-way be?"
    expect(
        off < 1e-9,
        f"with a network whose guess changes, the samples end {off:.4g} away from its last "
        f"guess: {_precise(off, 0) or ask}",
    )


def _second_order(answer, seed):
    r"""Which guess does a jump use, if all of them lie on one line in lambda?"""
    schedule, stops = _chain(seed, below=True)
    stops[-2] = 1  # the last jump of full chains, whose lambda is not infinite yet
    a = schedule.alpha_bar
    half = ((a / (1 - a)).log() / 2).tolist()
    x = normal((3, 2), 978, seed)
    begin, slope = (2 * uniform((2,), 979, seed) - 1).tolist()
    slope += math.copysign(0.5, slope)

    def line(t):
        return begin + slope * half[t]

    model, _ = _walk(
        answer, schedule, stops, x, lambda k, x, t: torch.full_like(x, line(int(t[0])))
    )
    expect(
        [int(t[0]) for t in model.t[:-1]] == stops[: len(model.t) - 1] and len(model.t) > 2,
        f"with the stops {stops} the network is asked at {[int(t[0]) for t in model.t]}",
    )
    used = [
        _used(a, t, s, model.x[k], model.x[k + 1])
        for k, (t, s) in enumerate(pairwise(stops[: len(model.x)]))
    ]
    t, s = stops[:2]
    right, got = apart(line(t), used[0])
    expect(
        near(used[0], line(t), rtol=1e-6, atol=1e-9),
        f"the first jump has one guess only, {right}, and yours goes to {got} instead: "
        f"{_precise(used[0], line(t)) or 'how long is a jump in lambda?'}",
    )
    for k, (t, s) in enumerate(pairwise(stops[: len(model.x)])):
        if k:
            _on_the_line(used[k], stops[k - 1], t, s, half, line)
    yield 1, "a jump uses the line through two guesses, as far as it should"
    _is_exact(answer, schedule, stops, seed)
    yield 1, "and the whole chain is of second order"


def _used(alpha_bar, t, s, x_t, x_s):
    r"""The guess that leads from x_t to x_s in one jump."""
    a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
    shrink = math.sqrt((1 - a_s) / (1 - a_t))
    return float(((x_s - shrink * x_t) / (math.sqrt(a_s) - shrink * math.sqrt(a_t))).mean())


def _precise(got, right):
    r"""The question for what is right but for a few digits, else nothing."""
    if near(got, right, rtol=1e-4, atol=1e-5):
        return "x is float64; is it float64 all the way?"
    return ""


def _on_the_line(used, r, t, s, half, line):
    r"""The guess used from t to s, after a jump from r to t, with the line known."""
    h, h_before = half[s] - half[t], half[t] - half[r]
    moved = (used - line(t)) / (line(s) - line(t))  # 0: that of t; 1/2: right
    if near(moved, 0.5, rtol=1e-6):
        return
    question = "how far is it from one guess to the other, and how far to the middle?"
    if abs(moved) < 1e-6:
        question = "does the guess before change anything?"
    elif near(moved, -0.5, rtol=1e-6):
        question = (
            "the guess moves on along the line as the state does; which way do you go?"
        )
    elif near(moved, 1, rtol=1e-6):
        question = "for which moment of the jump should one guess stand?"
    elif near(abs(moved), 0.5 * (h_before / h) ** 2, rtol=1e-6):
        question = "which of the two lengths is the one between the guesses?"
    middle = (line(t) + line(s)) / 2
    got, _ = apart(used, middle)
    question = _precise(used, middle) or question
    expect(
        False,
        f"the network's guesses lie on one line in lambda, {line(r):.4f} at t = {r} and "
        f"{line(t):.4f} at t = {t}; the jump from there to s = {s}, where the line has "
        f"come to {line(s):.4f}, should use one guess half-way in lambda, and yours uses "
        f"{got}: {question}",
    )


def _is_exact(answer, schedule, stops, seed):
    r"""Clipped guesses that depend on the state, pictures, to the digits of float64."""
    clip = low, high = drawn_clip(980, seed)  # the two ends are not alike
    a, v = schedule.alpha_bar, 1 + float(uniform((1,), 982, seed))
    half = ((a / (1 - a)).log() / 2).tolist()

    def guess(k, x, t):
        return v * x

    def jump(k, t, s, state, before, cut):
        r"""(x_s, the guess) where guesses are cut off so."""
        found = cut(v * state)
        used = found
        if before is not None and s > 0:
            share = (half[s] - half[t]) / (2 * (half[t] - half[stops[k - 1]]))
            used = found + share * (found - before)
        a_t, a_s = float(a[t]), float(a[s])
        shrink = math.sqrt((1 - a_s) / (1 - a_t))
        return shrink * state + (math.sqrt(a_s) - shrink * math.sqrt(a_t)) * used, found

    suspects = (
        (lambda x: x, "is the guess clipped? What was right in the code as it was?"),
        (lambda x: x.clamp(max=high), "is it clipped below, too?"),
        (lambda x: x.clamp(min=low), "is it clipped above, too?"),
        (lambda x: x.clamp(-high, high), "which two numbers are the limits?"),
        (lambda x: x.clamp(low, -low), "which two numbers are the limits?"),
        (lambda x: x.clamp(-1, 1), "which two numbers are the limits?"),
    )
    for shape in ((4, 1, 3, 3), (1, 5), (2, 3, 4)):
        state, before = 2 * normal(shape, 981, seed, len(shape)), None
        model, end = _walk(answer, schedule, stops, state, guess, clip)
        states = [*model.x[1:], end]
        for k, (t, s) in enumerate(pairwise(stops)):
            if k == len(states):
                break
            right, found = jump(k, t, s, state, before, lambda x: x.clamp(low, high))
            off = float((states[k] - right).abs().max())
            ask = [
                words
                for cut, words in suspects
                if near(states[k], jump(k, t, s, state, before, cut)[0], 1e-6)
            ]
            ask = ask or ["which numbers are clipped, and which are not?"]
            if off < 1e-4:
                ask = ["x is float64; is it float64 all the way?"]
            expect(
                off < 1e-6,
                f"for x of shape {shape} and clip = ({low:.4f}, {high:.4f}) your state at "
                f"t = {s} is off by up to {off:.3g}, and without clipping it is not: "
                f"{ask[0]}",
            )
            state, before = right, found
    x = normal((2, 1, 3, 3), 983, seed, dtype=torch.float32)
    tensor(answer(model, a, stops, x, (-1.0, 1.0)), x, "x_0")
