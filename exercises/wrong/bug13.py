r"""Typical wrong answers to the run with a bug of chapter 13."""

import math
from itertools import pairwise

from wrong import wrong

RIGHT = ("prior_one_entry", "sum_over_probes")


def _log_p(
    noise,
    times,
    X,
    sigmas,
    probes,
    count=None,
    share=1.0,
    width=2,
    at="middle",
    euler=False,
    second=True,
    over=None,
):
    r"""The log-likelihood, of which parts can be replaced; right if none is."""
    added = 0.0
    for low, high in pairwise(sigmas):
        middle = (low + high) / 2
        M = X + (middle - low) * noise(X, low)
        where = {"middle": (M, middle), "low": (X, low), "state": (X, middle)}[at]
        products = [times(*where, u) for u in probes]
        if second:
            products = [u * p for u, p in zip(probes, products, strict=True)]
        trace = sum(p.sum(1) for p in products) / (over or len(probes))
        added = added + (high - low) * share * trace
        X = X + (high - low) * noise(*((X, low) if euler else (M, middle)))
    variance = sigmas[-1] ** 2
    count = X.shape[1] if count is None else count
    constant = -count * math.log(2 * math.pi * variance) / 2
    return constant - X.square().sum(1) / (2 * sigmas[-1] ** width) + added


@wrong("13.6", "over how many entries", RIGHT)
def mends_the_trace_only(*given):
    return _log_p(*given, count=1)


@wrong("13.6", "what do more probes change", RIGHT)
def mends_the_prior_only(*given):
    return _log_p(*given, over=1)


@wrong("13.6", "how fast does X move", RIGHT)
def halves_the_trace(*given):
    return _log_p(*given, share=0.5)


@wrong("13.6", "does p grow or fall", RIGHT)
def subtracts_the_trace(*given):
    return _log_p(*given, share=-1.0)


@wrong("13.6", "with what is A u multiplied", RIGHT)
def leaves_the_second_probe_out(*given):
    return _log_p(*given, second=False)


@wrong("13.6", "where in the step", RIGHT)
def asks_at_the_beginning(*given):
    return _log_p(*given, at="low")


@wrong("13.6", "about which state", RIGHT)
def asks_about_the_state_before(*given):
    return _log_p(*given, at="state")


@wrong("13.6", "with which slope", RIGHT)
def goes_by_euler(*given):
    return _log_p(*given, euler=True)


@wrong("13.6", "is sigma a variance, or a deviation", RIGHT)
def does_not_square_sigma(*given):
    return _log_p(*given, width=1)


@wrong("13.6", "what do the other probes say", RIGHT)
def takes_one_probe(noise, times, X, sigmas, probes):
    return _log_p(noise, times, X, sigmas, probes[:1])


@wrong("13.6", "is it asked for an entry, or for all", RIGHT)
def divides_by_the_entries(*given):
    return _log_p(*given) / given[2].shape[1]


@wrong("13.6", "is it float64 all the way", RIGHT)
def in_float32(noise, times, X, sigmas, probes):
    def rounded(X, sigma):
        return noise(X, sigma).float().to(X.dtype)

    return _log_p(rounded, times, X, sigmas, probes)


@wrong("13.6", "of the code nothing is said yet", ["half_trace"])
def a_wrong_name_and_the_code_as_it_was(*given):
    return _log_p(*given, count=1, over=1)


@wrong("13.6", "would not change with the number", ["prior_one_entry", "mean_over_entries"])
def blames_a_mean(*given):
    return _log_p(*given)


@wrong("13.6", "that it is off with one probe, too", ["sum_over_probes"])
def sees_the_probes_only(*given):
    return _log_p(*given)


@wrong("13.6", "that more probes make it worse", ["prior_one_entry"])
def sees_the_entries_only(*given):
    return _log_p(*given)


@wrong("13.6", "half a nat for each entry", ["prior_at_start"])
def blames_the_end(*given):
    return _log_p(*given)


EQUIVALENT = {
    (
        "13.6",
        "constant = -X.shape[1] * math.log(2 * math.pi * variance) / 2",
        "constant = -M.shape[1] * math.log(2 * math.pi * variance) / 2",
    ): "M, the state in the middle of the last step, has the shape of X"
}
