r"""Likelihoods by the ODE, with faults: `python figures/bugs_likelihood.py`.

No network is trained. The data have a Gaussian law, so that the best prediction of the
noise, its Jacobian and the exact log density are known. For exercise 13.6: the sound code,
the run that the exercise shows, and every fault of its list alone. Seconds on a CPU.
Writes figures/runs/bugs_likelihood.json, from which
tests/classroom/test_bugs_later.py reads which fault has which symptom. --draw writes
exercises/bugs/13.png, the picture of the statement.
"""

import math
from itertools import pairwise

import torch
from bugs_exact import SOUND, beside, command
from bugs_sampling import normal

from ddpm_lite import figure

SHOWN = ("prior_one_entry", "sum_over_probes")
OTHERS = (
    "trace_subtracted",
    "half_trace",
    "mean_over_entries",
    "probe_once",
    "prior_of_unit",
    "prior_at_start",
    "sigma_once",
    "asked_at_low",
    "no_length",
    "in_bits",
)
COUNT = 1000  # points
ENDS = 0.01, 50.0  # the first and the last sigma
CORRELATION = 0.6  # of neighbouring entries


def log_likelihood(noise, times, X, sigmas, probes, faults=SOUND):
    r"""log p(X) (B,) by the ODE dX = noise dsigma, from the first sigma to the last.

    noise: (X, sigma) -> (B, D). times: (X, sigma, u) -> the product of the Jacobian with u
    (B, D). probes: (P, B, D). faults: names of the list of exercise 13.6.
    """
    D, added, start = X.shape[1], 0.0, X
    for low, high in pairwise(sigmas):
        middle = (low + high) / 2
        M = X + (middle - low) * noise(X, low)
        at = (X, low) if "asked_at_low" in faults else (M, middle)
        total = 0.0
        for u in probes:
            product = times(*at, u)
            product = product if "probe_once" in faults else u * product
            one = product.mean(1) if "mean_over_entries" in faults else product.sum(1)
            total = total + one
        mean = total if "sum_over_probes" in faults else total / len(probes)
        mean = mean / 2 if "half_trace" in faults else mean
        mean = -mean if "trace_subtracted" in faults else mean
        added = added + mean * (1.0 if "no_length" in faults else high - low)
        X = X + (high - low) * noise(M, middle)
    end = start if "prior_at_start" in faults else X
    sigma = 1.0 if "prior_of_unit" in faults else sigmas[-1]
    count = 1 if "prior_one_entry" in faults else D
    width = sigma if "sigma_once" in faults else sigma**2
    prior = -count / 2 * math.log(2 * math.pi * sigma**2)
    found = prior - end.square().sum(1) / (2 * width) + added
    return found / math.log(2) if "in_bits" in faults else found


def law(D):
    r"""The covariance of D entries, of variance 1: neighbours are correlated."""
    place = torch.arange(D, dtype=torch.float64)
    return CORRELATION ** (place[:, None] - place).abs()


def exact_field(covariance):
    r"""The best prediction of the noise for N(0, covariance), and times its Jacobian."""
    values, axes = torch.linalg.eigh(covariance)

    def times(X, sigma, u):
        return u @ axes * (sigma / (values + sigma**2)) @ axes.T

    return lambda X, sigma: times(X, sigma, X), times


def stops(N):
    first, last = ENDS
    return [first * (last / first) ** (k / N) for k in range(N + 1)]


def errors(faults, D, P, N):
    r"""log p by the ODE minus the exact one, at COUNT points of the law."""
    covariance = law(D)
    X = normal((COUNT, D), 13, torch.float64) @ torch.linalg.cholesky(covariance).T
    probes = normal((P, COUNT, D), 14, torch.float64).sign()
    found = log_likelihood(*exact_field(covariance), X, stops(N), probes, faults)
    noised = covariance + ENDS[0] ** 2 * torch.eye(D, dtype=torch.float64)
    exact = torch.distributions.MultivariateNormal(torch.zeros(D).double(), noised)
    return found - exact.log_prob(X), exact.log_prob(X)


CASES = ((1, 1), (1, 4), (2, 1), (2, 4), (8, 1), (8, 4), (8, 16))


def numbers(faults):
    r"""{key: value} of one row: mean errors, and their deviations from point to point."""
    found = {}
    for D, P in CASES:
        off, _ = errors(faults, D, P, 60)
        found[f"mean_{D}_{P}"] = float(off.mean())
        if D == 8:
            found[f"spread_{D}_{P}"] = float(off.std())
    found["mean_8_1_twice"] = float(errors(faults, 8, 1, 120)[0].mean())
    return found


def nats(value):
    return f"{value:.2f}".replace("-0.00", "0.00")


SHEET = (
    *(
        (f"D = {D}, {P} probe{'s' * (P > 1)}, 60 steps: mean error", f"mean_{D}_{P}")
        for D, P in CASES
    ),
    ("D = 8, 1 probe, 120 steps: mean error", "mean_8_1_twice"),
    *(
        (f"D = 8, {P} probe{'s' * (P > 1)}, 60 steps: deviation", f"spread_8_{P}")
        for P in (1, 4, 16)
    ),
)


def sheet(results):
    r"""The numbers of the statement, as Markdown."""
    return beside("in nats", results, SHOWN, cells)


def cells(row):
    return [(words, nats(row[key])) for words, key in SHEET]


def drawing():
    r"""The picture of the statement: log p of this run against the exact one."""
    fig, axes = figure.canvas(1, 3, width=7.6, height=2.7)
    for axis, D in zip(axes.flat, (1, 2, 8), strict=True):
        for P, colour in ((1, figure.COLOURS["x_0"]), (4, figure.COLOURS["noise"])):
            off, exact = errors(SHOWN, D, P, 60)
            axis.plot(exact[:150], (exact + off)[:150], ".", color=colour, markersize=3)
            axis.annotate(
                f"{P} probe{'s' * (P > 1)}",
                (float(exact.max()), float((exact + off).max())),
                color=colour,
                fontsize=8,
                ha="right",
                va="bottom",
            )
        ends = [float(exact.min()), float(exact.max())]
        axis.plot(ends, ends, color="#595959", linewidth=1)
        axis.set(title=f"D = {D}", xlabel="exact $\\log p$")
        axis.margins(y=0.15)
    axes.flat[0].set_ylabel("$\\log p$ of this run")
    return fig


if __name__ == "__main__":
    command(__file__, __doc__, "13", numbers, SHOWN, OTHERS, sheet, drawing)
