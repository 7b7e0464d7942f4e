r"""Typical wrong answers to the run with a bug of chapter 17."""

import torch

from wrong import wrong

RIGHT = ("average_for_each_part", "mean_of_means")


def _train(
    gradient,
    w,
    updates,
    rate,
    decay,
    weight=lambda n, total, parts: n / total,
    seen=lambda before, w, parts: [w],
    some=slice(None),
):
    r"""The loop, of which parts can be replaced; right if none is."""
    average = w
    for parts in updates:
        total, before = sum(map(len, parts)), w
        slopes = [weight(len(p), total, len(parts)) * gradient(w, p) for p in parts]
        w = w - rate * sum(slopes[some], torch.zeros_like(w))
        for one in seen(before, w, len(parts)):
            average = decay * average + (1 - decay) * one
    return w, average


def _equal_weights(n, total, parts):
    return 1 / parts


def _each(before, w, parts):
    return [before] * (parts - 1) + [w]


@wrong("17.5", "how many examples stand behind", RIGHT)
def mends_the_average_only(*given):
    return _train(*given, weight=_equal_weights)


@wrong("17.5", "how often is the average updated", RIGHT)
def mends_the_gradient_only(*given):
    return _train(*given, seen=_each)


@wrong("17.5", "how often is the average updated", RIGHT)
def averages_often_after_the_step(*given):
    return _train(*given, seen=lambda before, w, parts: [w] * parts)


@wrong("17.5", "before the step, or after it", RIGHT)
def averages_too_early(*given):
    return _train(*given, seen=lambda before, w, parts: [before])


@wrong("17.5", "the sum over parts", RIGHT)
def adds_the_parts_up(*given):
    return _train(*given, weight=lambda n, total, parts: 1.0)


@wrong("17.5", "the sum over examples", RIGHT)
def adds_the_examples_up(*given):
    return _train(*given, weight=lambda n, total, parts: n)


@wrong("17.5", "divided by the number of parts once more", RIGHT)
def divides_once_more(*given):
    return _train(*given, weight=lambda n, total, parts: n / total / parts)


@wrong("17.5", "what do the other parts say", RIGHT)
def keeps_the_last_part(*given):
    return _train(*given, some=slice(-1, None))


@wrong("17.5", "how many steps does one batch make", RIGHT)
def steps_after_each_part(gradient, w, updates, rate, decay):
    average = w
    for parts in updates:
        for part in parts:
            w = w - rate * gradient(w, part)
        average = decay * average + (1 - decay) * w
    return w, average


@wrong("17.5", "how much of the average is kept", RIGHT)
def exchanges_the_decay(gradient, w, updates, rate, decay):
    _, average = _train(gradient, w, updates, rate, 1 - decay)
    w, _ = _train(lambda w, part: gradient(w, part), w, updates, rate, decay)
    return w, average


@wrong("17.5", "of the code nothing is said yet", ["gradient_kept"])
def blames_the_gradient_alone(*given):
    return _train(*given, weight=_equal_weights, seen=_each)


@wrong("17.5", "would make w faster", ["sum_of_parts", "average_for_each_part"])
def blames_a_sum(*given):
    return _train(*given)


@wrong("17.5", "where w ends with parts", ["average_for_each_part"])
def sees_the_average_only(*given):
    return _train(*given)


@wrong("17.5", "that the average is early", ["mean_of_means"])
def sees_the_weights_only(*given):
    return _train(*given)


EQUIVALENT = {
    (
        "17.5",
        "total = torch.zeros_like(w)",
        "total = torch.zeros_like(average)",
    ): "the average has the shape and the dtype of the weights",
    (
        "17.5",
        "for part in parts:",
        "for part in list(parts)[::-1]:",
    ): "a sum over parts at one w has no order",
}
