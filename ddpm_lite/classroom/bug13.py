r"""The run with a bug of chapter 13: log-likelihoods by the ODE, with Hutchinson's trace.

The check hands in predictions of the noise and products with their Jacobian that it has
chosen: without noise X stays and only the trace counts, without a trace only the prior.
"""

import math
from itertools import pairwise

import torch

from .bugs import Fault, independent, naming
from .ch08 import asked_about
from .ch13 import ASKED
from .exercise import (
    apart,
    article,
    between,
    exercise,
    expect,
    near,
    normal,
    tensor,
    uniform,
    whole,
)

# What `otherwise` says was measured: figures/bugs_likelihood.py, bugs_likelihood.json.
FAULTS = (
    Fault(
        "sum_over_probes",
        "adds the traces of the probes up, and does not divide by their number",
        unexplained="that more probes make it worse",
    ),
    Fault(
        "prior_one_entry",
        r"has the constant $-\frac12\log(2\pi\sigma_N^2)$ once, and not for each entry",
        unexplained="that it is off with one probe, too, where D is above 1",
    ),
    Fault(
        "trace_subtracted",
        "subtracts what the trace adds up to",
        "would be off with one entry and one probe already; here that row is right",
    ),
    Fault(
        "half_trace",
        "takes half of the trace",
        "would be off with one entry and one probe already; here that row is right",
    ),
    Fault(
        "mean_over_entries",
        r"takes the mean of the entries of $u\odot Au$, and not their sum",
        "would not change with the number of probes; here the error does",
    ),
    Fault(
        "probe_once",
        r"adds up the entries of $Au$, and leaves the second $u$ out",
        "would be off with one entry and one probe already; here that row is right",
    ),
    Fault(
        "prior_of_unit",
        r"takes $\mathcal N(0,I)$ for the law at the end, where it is "
        r"$\mathcal N(0,\sigma_N^2I)$",
        "would be off by thousands of nats; here the errors are of some tens",
    ),
    Fault(
        "prior_at_start",
        "puts the data into the law at the end, and not where the path has ended",
        "would be off by half a nat for each entry, whatever the number of probes; here "
        "the error is far larger",
    ),
    Fault(
        "sigma_once",
        r"has $|X|^2/(2\sigma_N)$ in the exponent, with $\sigma_N$ not squared",
        "would be off with one entry and one probe already; here that row is right",
    ),
    Fault(
        "asked_at_low",
        "asks for the trace at the beginning of a step, and not in its middle",
        "would have an error that halves when there are twice as many stops; here it stays",
    ),
    Fault(
        "no_length",
        "adds the traces up without the lengths of the steps",
        "would be off with one entry and one probe already; here that row is right",
    ),
    Fault(
        "in_bits",
        "gives the result in bits, and not in nats",
        "would be off with one entry and one probe already; here that row is right",
    ),
)


@exercise(
    "13.6",
    "log_likelihood",
    kind="bug",
    minutes=45,
    points=5,
    also=("faults",),
    lacks=ASKED,
)
def find_the_bug(answer, seed):
    yield from independent(
        naming(answer, FAULTS),
        _adds_the_trace(answer, seed),
        _ends_in_the_prior(answer, seed),
    )


class _Field:
    r"""Predictions and products with their Jacobian, which note what they are asked."""

    def __init__(self, noise, times):
        self.of_noise, self.of_times, self.calls = noise, times, []

    def noise(self, X, sigma):
        self.calls.append(("noise", _checked(X, sigma)))
        return self.of_noise(X, float(sigma))

    def times(self, X, sigma, u):
        self.calls.append(("times", _checked(X, sigma)))
        if not isinstance(u, torch.Tensor) or u.shape != X.shape:
            raise ValueError(f"times wants u like X, it got {article(u)}")
        return self.of_times(X, float(sigma), u.to(X.dtype))


def _checked(X, sigma):
    ok = isinstance(X, torch.Tensor) and X.dim() == 2 and X.dtype == torch.float64
    if not ok:
        raise ValueError(f"X should be (B, D) in float64, it is {article(X)}")
    if isinstance(sigma, torch.Tensor) and sigma.numel() == 1:
        sigma = sigma.item()
    if not isinstance(sigma, (int, float)) or isinstance(sigma, bool):
        raise ValueError(f"sigma should be a number, it is {article(sigma)}")
    return float(sigma)


def _asked(answer, field, X, sigmas, probes):
    got = answer(field.noise, field.times, X, list(sigmas), probes)
    return tensor(got, X[:, 0], "log p")


def _stops(*seed):
    r"""Rising stops, the last one far above 1."""
    gaps = 0.3 + uniform((whole(3, 6, *seed),), *seed, 1)
    return (gaps.cumsum(0) - between(0.5, 1.5, *seed, 2)).exp().tolist()


def _signs(shape, *seed):
    return 2.0 * (uniform(shape, *seed) < 0.5).double() - 1


def _adds_the_trace(answer, seed):
    r"""Jacobians that are given, a prior that cancels, then a whole path."""
    for k in range(3):
        _has_this_trace(answer, seed, k)
    yield 1, "the trace counts as it should"
    for k in range(3):
        _follows_the_path(answer, seed, k)
    yield 1, "along the whole path"


def _has_this_trace(answer, seed, k):
    r"""With X at rest, and a matrix for each sigma."""
    B, D, P = 4, whole(2, 5, 1361, seed, k), whole(2, 5, 1362, seed, k)
    sigmas, X = _stops(1363, seed, k), normal((B, D), 1364, seed, k)
    A, probes = normal((D, D), 1365, seed, k), _signs((P, B, D), 1366, seed, k)
    A = A + 2 * torch.eye(D, dtype=torch.float64)

    def added(scale):
        field = _Field(
            lambda X, sigma: torch.zeros_like(X),
            lambda X, sigma, u: scale * sigma**2 * (u @ A.T),
        )
        return _asked(answer, field, X, sigmas, probes)

    found = added(1.0) - added(0.0)
    product = torch.einsum("pbi,ij,pbj->pb", probes, A, probes)

    def sums(lengths, at):
        return sum(w * s**2 for w, s in zip(lengths, at, strict=True))

    pairs = list(pairwise(sigmas))
    gaps = [high - low for low, high in pairs]
    middles = [(low + high) / 2 for low, high in pairs]
    right = sums(gaps, middles) * product.mean(0)
    lows, highs = sigmas[:-1], sigmas[1:]
    suspects = (
        (P * right, "what do more probes change, the estimate or only its spread?"),
        (-right, "does p grow or fall on the way, where the paths spread out?"),
        (right / 2, "how fast does X move along this path?"),
        (right / D, "is a trace a sum over entries, or a mean?"),
        (sums([1.0] * len(gaps), middles) * product.mean(0), "how long is a step?"),
        (sums(gaps, lows) * product.mean(0), "where in the step is the trace asked for?"),
        (sums(gaps, highs) * product.mean(0), "where in the step is the trace asked for?"),
        (sums(gaps, middles) * product[0], "what do the other probes say?"),
        (sums(gaps, middles) * product[-1], "what do the other probes say?"),
        (right / math.log(2), "are these nats, or bits?"),
        (
            sums(gaps, middles) * (probes @ A.T).sum(2).mean(0),
            "with what is A u multiplied?",
        ),
        (0 * right, "what does the trace do?"),
        (
            P * sums(gaps, lows) * product.mean(0),
            "where in the step is the trace asked for?",
        ),
    )
    question = asked_about(found, suspects, "what does the trace of each step add?")
    mine, wanted = apart(float(found[0]), float(right[0]))
    expect(
        near(found, right, rtol=1e-7, atol=1e-9),
        f"where X stays and u A u grows as sigma^2, {P} probes and {len(gaps)} steps "
        f"should add {wanted} to log p, yours add {mine}: {question}",
    )


def _bent(W):
    r"""A prediction of the noise that is no line, and products with its Jacobian."""

    def noise(X, sigma):
        return torch.tanh(X @ W.T + 0.1 * sigma) / (1 + sigma)

    def times(X, sigma, u):
        slope = 1 - torch.tanh(X @ W.T + 0.1 * sigma) ** 2
        return slope * (u @ W.T) / (1 + sigma)

    return noise, times


def _by_midpoints(field, X, sigmas, probes, how=""):
    r"""(the end of the path, what the trace adds up to), with one or another slip."""
    added = 0.0
    for low, high in pairwise(sigmas):
        middle = (low + high) / 2
        M = X + (middle - low) * field.of_noise(X, low)
        at, sigma = (X, low) if how == "low" else (M, middle)
        at = X if how == "state" else at
        traces = [(u * field.of_times(at, sigma, u)).sum(1) for u in probes]
        added = added + (high - low) * sum(traces) / len(traces)
        slope = field.of_noise(X, low) if how == "euler" else field.of_noise(M, middle)
        X = X + (high - low) * slope
    return X, added


def _follows_the_path(answer, seed, k):
    r"""Differences of log p between two sets of points: constants of the prior cancel."""
    B, D, P = 5, whole(2, 4, 1367, seed, k), whole(2, 3, 1368, seed, k)
    W = normal((D, D), 1369, seed, k) / math.sqrt(D)
    sigmas, probes = _stops(1370, seed, k), _signs((P, B, D), 1371, seed, k)
    X, Y = normal((B, D), 1372, seed, k), normal((B, D), 1373, seed, k)
    field = _Field(*_bent(W))
    got = _asked(answer, field, X, sigmas, probes) - _asked(
        answer, field, Y, sigmas, probes
    )

    def difference(how=""):
        found = []
        for start in (X, Y):
            end, added = _by_midpoints(field, start, sigmas, probes, how)
            found.append(added - end.square().sum(1) / (2 * sigmas[-1] ** 2))
        return found[0] - found[1]

    right = difference()
    suspects = (
        (difference("low"), "where in the step is the trace asked for?"),
        (difference("state"), "about which state is the trace asked for?"),
        (difference("euler"), "with which slope does X go the whole step?"),
    )
    question = asked_about(got, suspects, "where does the path end, and what does it add?")
    off = float((got - right).abs().max())
    if 1e-9 < off < 1e-4:
        question = "X is float64; is it float64 all the way?"
    expect(
        off < 1e-9,
        f"along a bent field through sigmas {', '.join(f'{s:.3g}' for s in sigmas)} "
        f"the log p of two sets of points differ by up to {off:.3g} from what they should "
        f"differ by: {question}",
    )


def _ends_in_the_prior(answer, seed):
    r"""Without noise and without a trace, log p is that of N(0, sigma_N^2 I)."""
    for k in range(4):
        D = (1, 2, 3, 7)[(k + 1) % 4]
        X, sigmas = 2 * normal((5, D), 1374, seed, k), _stops(1375, seed, k)
        probes = _signs((2, 5, D), 1376, seed, k)
        field = _Field(
            lambda X, sigma: torch.zeros_like(X), lambda X, sigma, u: torch.zeros_like(X)
        )
        got = _asked(answer, field, X, sigmas, probes)
        s, square = sigmas[-1], X.square().sum(1)
        right = -D / 2 * math.log(2 * math.pi * s**2) - square / (2 * s**2)
        one = -0.5 * math.log(2 * math.pi * s**2)
        suspects = (
            (one - square / (2 * s**2), "over how many entries does a density multiply?"),
            (-D / 2 * math.log(2 * math.pi) - square / 2, "which law has X at the end?"),
            (-D / 2 * math.log(2 * math.pi * s) - square / (2 * s**2), SQUARED),
            (right + D / 2 * math.log(2 * math.pi), "what does a density integrate to?"),
            (D * one - square / (2 * s), SQUARED),
            (D * one - square / s**2, "what is there in the exponent of a Gaussian?"),
            (D * one + square / (2 * s**2), "what is there in the exponent of a Gaussian?"),
            (right / math.log(2), "are these nats, or bits?"),
            (right / D, "is it asked for an entry, or for all?"),
        )
        question = asked_about(got, suspects, "which law has X at the last sigma?")
        mine, wanted = apart(float(got[0]), float(right[0]))
        expect(
            near(got, right, rtol=1e-8, atol=1e-9),
            f"where nothing moves, log p is that of the law at the last stop, sigma = "
            f"{s:.4g}; for a point of {D} entries that is {wanted}, yours is {mine}: "
            f"{question}",
        )
    yield 1, "the law at the end is right"


SQUARED = "is sigma a variance, or a deviation?"
