r"""The tables of the forward process: how much noise there is at every step.

Legend for the whole package: B batch, T number of steps, *shape the shape of one
example, (2,) for a point and (C, H, W) for a picture. The index t is the paper's: it
runs from 1 to T. Every table has T + 1 entries, and entry 0 stands for clean data, so
that `alpha_bar[t - 1]` is right at t = 1 too and nothing needs a special first or last
step. Libraries that count from 0 write our t as t - 1.

Source of all symbols: Ho, Jain and Abbeel 2020 (arXiv 2006.11239), section 2.
"""

import math
import warnings
from dataclasses import dataclass

import torch

from .checks import (
    check_alpha_bar,
    check_beta,
    check_decreasing,
    check_ends,
    check_integer,
    check_number,
    check_table,
)


@dataclass(frozen=True)
class PriorGap:
    r"""What is left of the data at t = T, where sampling starts from N(0, I) instead.

    alpha_bar_T: in [0, 1). signal_left: its root, the factor in front of x_0.
    kl: KL(q(x_T | x_0) || N(0, I)) in nats per dimension, the paper's L_T (Eq. 5), on
    average over x_0 with the second moment that was given. It is the information that x_T
    keeps about x_0, which does no harm, plus KL(q(x_T) || N(0, I)), which sampling meets.
    """

    alpha_bar_T: float
    signal_left: float
    kl: float


@dataclass(frozen=True, eq=False)
class Schedule:
    r"""The tables beta, alpha, alpha_bar and what follows from them, in float64.

    Build one with `linear`, `cosine`, `sigmoid`, `flow`, `from_beta` or `from_alpha_bar`.
    Fields:
    T: number of steps, at least 1.
    beta: (T+1,), variance of the noise added by step t; beta[0] = 0, the others in
        (0, 1), and 1 is allowed at t = T alone.
    alpha: (T+1,), 1 - beta.
    alpha_bar: (T+1,), product of alpha up to t; alpha_bar[0] = 1, strictly decreasing.
    one_minus_alpha_bar: (T+1,), variance of the noise in x_t, summed in logarithms so
        that no digit is lost where alpha_bar is close to 1.
    log_alpha_bar: (T+1,), the sum of those logarithms; differences give any ratio.
    posterior_variance: (T+1,), variance of q(x_{t-1} | x_t, x_0), Eq. 7; 0 at t = 1.
    Source: Ho et al. 2020, section 2.
    """

    T: int
    beta: torch.Tensor
    alpha: torch.Tensor
    alpha_bar: torch.Tensor
    one_minus_alpha_bar: torch.Tensor
    log_alpha_bar: torch.Tensor
    posterior_variance: torch.Tensor

    @classmethod
    def from_beta(cls, beta):
        r"""Build the tables from the T numbers beta_1 ... beta_T.

        beta: (T,), a tensor, array or list of floats, each in (0, 1); the last may be 1.
        Raises ValueError for an empty, non-finite or out-of-range beta, and where
        alpha_bar would stop decreasing in float64. Ho et al. 2020, Eq. 2 and 4.
        """
        beta = check_table("beta", beta)
        check_beta(beta)
        beta = torch.cat([torch.zeros(1, dtype=torch.float64), beta])  # (T+1,)
        log_alpha_bar = torch.log1p(-beta).cumsum(0)
        one_minus_alpha_bar = 0 - torch.expm1(log_alpha_bar)  # 0, not -0, at t = 0
        alpha_bar = log_alpha_bar.exp()
        check_decreasing(alpha_bar)
        posterior_variance = torch.zeros_like(beta)
        posterior_variance[1:] = (
            one_minus_alpha_bar[:-1] / one_minus_alpha_bar[1:] * beta[1:]
        )
        tables = (beta, 1 - beta, alpha_bar, one_minus_alpha_bar, log_alpha_bar)
        return cls(len(beta) - 1, *tables, posterior_variance)

    @classmethod
    def from_alpha_bar(cls, alpha_bar):
        r"""Build the tables from the T numbers alpha_bar_1 ... alpha_bar_T.

        alpha_bar: (T,), a tensor, array or list of floats that falls from below 1; the
        last may be 0. beta_t = 1 - alpha_bar_t / alpha_bar_{t-1} comes out as exact as
        the differences of these numbers are.
        Raises ValueError where they do not fall. Ho et al. 2020, Eq. 4.
        """
        alpha_bar = check_table("alpha_bar", alpha_bar)
        before = alpha_bar.flatten().roll(1)
        before[:1] = 1
        check_alpha_bar(alpha_bar, before)
        return cls.from_beta((before - alpha_bar) / before)

    @classmethod
    def linear(cls, T=1000, beta_start=1e-4, beta_end=0.02):
        r"""Let beta grow on a straight line; the default is the paper's own schedule.

        The end points are not rescaled when T changes: see `prior_gap` before you
        shorten the chain. Raises ValueError for T < 1 or end points outside (0, 1].
        Ho et al. 2020, section 4.
        """
        T = check_integer("T", T, 1)
        check_ends(beta_start, beta_end)
        return cls.from_beta(torch.linspace(beta_start, beta_end, T, dtype=torch.float64))

    @classmethod
    def cosine(cls, T=1000, s=0.008, max_beta=0.999):
        r"""Let alpha_bar fall like a squared cosine, with beta cut off at max_beta.

        s >= 0: offset that keeps the first beta from being very small. max_beta in (0, 1].
        Raises ValueError for T < 1, s < 0 or max_beta outside (0, 1].
        Nichol and Dhariwal 2021 (arXiv 2102.09672), Eq. 17.
        """
        T = check_integer("T", T, 1)
        check_number("s", s, 0)
        check_number("max_beta", max_beta, 1e-12, 1)
        angle = (torch.arange(T + 1, dtype=torch.float64) / T + s) / (1 + s) * math.pi / 2
        step = math.pi / 2 / (1 + s) / T
        # 1 - cos(b)^2 / cos(a)^2 for b = a + step, as a product that loses no digit
        beta = math.sin(step) * (angle[:-1] + angle[1:]).sin() / angle[:-1].cos().square()
        return cls.from_beta(beta.clamp(max=max_beta))

    @classmethod
    def sigmoid(cls, T=1000, beta_start=1e-4, beta_end=0.02):
        r"""Let beta rise along a logistic curve, from almost beta_start to almost beta_end.

        The curve is cut at -6 and 6, a share 0.0025 before its ends. With T = 100, 1e-5
        and 0.5e-2 this is the schedule of the lecture (chapter 05).
        Raises ValueError for T < 1 and for end points outside (0, 1].
        """
        T = check_integer("T", T, 1)
        check_ends(beta_start, beta_end)
        rise = torch.sigmoid(torch.linspace(-6, 6, T, dtype=torch.float64))
        return cls.from_beta(beta_start + (beta_end - beta_start) * rise)

    @classmethod
    def flow(cls, T=1000):
        r"""Mix x_0 and noise as 1 - t / T and t / T, at the size of x_t: a flow as a chain.

        Divided by sqrt((1 - t / T)^2 + (t / T)^2), the straight line from x_0 to the noise
        keeps the variance, and alpha_bar_t is the square of its first weight; the last one
        is 0. Predict "x_0", "v" or "flow": the noise says nothing of x_0 at t = T.
        Raises ValueError for T < 1. Liu et al. 2022 (arXiv 2209.03003), Eq. 1.
        """
        T = check_integer("T", T, 1)
        t = torch.arange(1, T + 1, dtype=torch.float64)
        # 1 - alpha_bar_t / alpha_bar_{t-1} as a quotient that loses no digit
        both = (T - t + 1).square() * ((T - t).square() + t.square())
        return cls.from_beta(T * (t * (T - t + 1) + (t - 1) * (T - t)) / both)

    def __repr__(self):
        ends = f"{float(self.beta[1]):.3g} ... {float(self.beta[-1]):.3g}"
        alpha_bar_T = float(self.alpha_bar[-1])
        return f"Schedule(T={self.T}, beta={ends}, alpha_bar_T={alpha_bar_T:.3g})"

    def same_as(self, other):
        r"""Whether another schedule has the same beta, see `same_beta`."""
        return same_beta(self.beta, other.beta)

    def prior_gap(self, second_moment=1.0, *, t=None, warn=True):
        r"""Measure how far q(x_T | x_0) still is from the N(0, I) that sampling uses.

        second_moment: mean of x_0 squared over the dimensions, 1 for standardised data.
        t: another step in 1..T to be measured in the place of T, where a chain starts
        there. Returns a PriorGap. Warns (UserWarning) where its kl is above 1e-3 nats per
        dimension, unless `warn` is False. Raises ValueError for a negative second moment
        or another t. Ho et al. 2020, Eq. 5, first term; Gaussian KL in closed form.
        """
        check_number("second_moment", second_moment, 0)
        t = check_integer("t", self.T if t is None else t, 1, self.T)
        alpha_bar_T = float(self.alpha_bar[t])
        log_variance = math.log(self.one_minus_alpha_bar[t])
        kl = 0.5 * (alpha_bar_T * (second_moment - 1) - log_variance)
        if warn and kl > 1e-3:
            left = f"{math.sqrt(alpha_bar_T):.2g} of x_0 is left at t = {t}"
            warnings.warn(
                f"q(x_T | x_0) is not yet N(0, I): {left}, L_T = {kl:.2g} nats per "
                "dimension (more than 1e-3). Use more steps or larger beta",
                stacklevel=2,
            )
        return PriorGap(alpha_bar_T, math.sqrt(alpha_bar_T), kl)


def same_beta(beta, other):
    r"""Whether two tables of beta, float64, are the same to the rounding of any machine.

    One may come from a file that another CPU has written. Close to pi / 2 the angles of
    the cosine schedule lose T of float64's 10^16 steps: 1e-9 allows for T = 10^6.
    """
    return len(beta) == len(other) and torch.allclose(beta, other, rtol=1e-9, atol=0)


def at(table, t, x):
    r"""Gather a table at t, ready to be multiplied with x.

    table: (T+1,) float64. t: int64 (B,), values in 0..T. x: (B, *shape).
    Returns (B, 1, ...), see `spread`. Raises IndexError for t above T.
    """
    return spread(table[t.cpu()], x)


def spread(value, x):
    r"""Give one number for each example the device, dtype and dimensions of x.

    value: (B,). x: (B, *shape). Returns (B, 1, ...) in x's dtype, at least float32.
    """
    value = value.to(x.device, torch.promote_types(x.dtype, torch.float32))
    return value.reshape(-1, *[1] * (x.dim() - 1))
