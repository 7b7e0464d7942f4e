r"""What several test files need: schedules to try, exact tables, numbers from a seed."""

import math
from contextlib import contextmanager

import mpmath
import pytest
import torch
from hypothesis import strategies as st

from ddpm_lite import Schedule

SAMPLE_SHAPES = [(2,), (1, 4, 4), (3, 2, 2)]
EXACT = mpmath.MPContext()
EXACT.dps = 50


def close(actual, expected, rtol=1e-12, atol=0.0):
    r"""Assert equal shape, dtype and numbers, up to a stated relative error."""
    expected = torch.as_tensor(expected, dtype=actual.dtype)
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)


def normal(*shape, seed=0):
    r"""Float64 numbers from N(0, 1), a function of shape and seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def some_schedules():
    r"""Schedules that differ in kind and length, one of them with beta_T = 1."""
    return {
        "linear": Schedule.linear(1000),
        "linear-1": Schedule.linear(1),
        "cosine": Schedule.cosine(1000),
        "cosine-10": Schedule.cosine(10),
        "lecture": Schedule.sigmoid(100, 1e-5, 0.5e-2),
        "uneven": Schedule.from_beta([0.3, 1e-3, 0.9, 0.001, 0.5]),
        "zero-snr": Schedule.from_beta([0.1, 0.2, 0.3, 1.0]),
    }


def exact_tables(schedule):
    r"""alpha_bar, 1 - alpha_bar and posterior variance from beta, with 50 digits.

    The posterior variance comes from adding precisions: 1 / var(x_s) + alpha / beta.
    """
    mp = EXACT
    alpha_bar, posterior = [mp.mpf(1)], [mp.mpf(0), mp.mpf(0)]
    for t in range(1, schedule.T + 1):
        beta = mp.mpf(float(schedule.beta[t]))
        before = 1 - alpha_bar[-1]
        if t > 1:
            posterior.append(1 / (1 / before + (1 - beta) / beta))
        alpha_bar.append(alpha_bar[-1] * (1 - beta))
    return {
        "alpha_bar": alpha_bar,
        "one_minus_alpha_bar": [1 - a for a in alpha_bar],
        "posterior_variance": posterior,
    }


def of_another_machine(schedule):
    r"""The schedule of another CPU: each beta is one unit in the last place off."""
    beta = schedule.beta[1:]
    return Schedule.from_beta(torch.nextafter(beta, torch.zeros_like(beta)))


def worst(actual, expected):
    r"""The largest relative error of a table of floats against exact numbers."""
    errors = [0.0]
    for a, e in zip(actual.tolist(), expected, strict=True):
        difference = abs(EXACT.mpf(a) - e)
        errors.append(float(difference / abs(e)) if e else math.inf * bool(difference))
    return max(e for e in errors if not math.isnan(e))


@st.composite
def schedules(draw, max_T=50):
    r"""Hypothesis: any schedule of any kind, 1 to max_T steps long."""
    kind = draw(st.sampled_from(["linear", "cosine", "sigmoid", "list"]))
    if kind == "cosine":
        return Schedule.cosine(draw(st.integers(1, max_T)))
    if kind == "list":
        beta = draw(st.lists(st.floats(1e-6, 0.95), min_size=1, max_size=max_T))
        return Schedule.from_beta(beta)
    T = draw(st.integers(1, max_T))
    low, high = draw(st.floats(1e-6, 0.1)), draw(st.floats(0.1, 0.9))
    return getattr(Schedule, kind)(T, low, high)


@st.composite
def batches(draw):
    r"""Hypothesis: (schedule, t, shape), t = 1 and t = T among each batch's steps.

    A batch of one takes one of the two; shapes are points or pictures.
    """
    schedule = draw(schedules())
    B = draw(st.integers(1, 4))
    inner = [draw(st.integers(1, schedule.T)) for _ in range(B)]
    ends = draw(st.permutations([1, schedule.T]))
    t = torch.tensor([*ends, *inner][:B])
    return schedule, t, (B, *draw(st.sampled_from(SAMPLE_SHAPES)))


class Constant:
    r"""A denoiser that always gives the same answer, and counts how often it is asked."""

    learned_variance = False

    def __init__(self, value, prediction="noise"):
        self.value, self.prediction, self.calls = value, prediction, 0

    def __call__(self, x_t, t):
        self.calls += 1
        return torch.full_like(x_t, self.value)


def f64(numbers):
    r"""A float64 tensor, with all the digits that Python's floats have."""
    return torch.tensor(numbers, dtype=torch.float64)


@contextmanager
def full_disk(size):
    r"""No file may grow beyond so many bytes: a real OSError, as on a full disk."""
    resource = pytest.importorskip("resource")  # Windows has none
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
