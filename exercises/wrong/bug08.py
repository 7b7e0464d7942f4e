r"""Typical wrong answers to the run with a bug of chapter 08."""

import math
from itertools import pairwise

import torch

from wrong import wrong

RIGHT = ("variance",)

EQUIVALENT = {
    ("08.6", "return x", "return x_0"): (
        "The last stop is 0, where a_s = 1: there the weight of x_0 is beta / (1 - a_t) = "
        "1, that of x and sigma are 0."
    )
}


def _chain(model, alpha_bar, stops, noise, clip, sigma=None, z=None, clipped=True):
    r"""A chain whose parts can be replaced; right if none is."""
    x, cut = noise[0], clipped if callable(clipped) else torch.clamp
    for k, (t, s) in enumerate(pairwise(stops), 1):
        a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
        noise_pred = model(x, torch.full((len(x),), t))
        x_0 = (x - math.sqrt(1 - a_t) * noise_pred) / math.sqrt(a_t)
        x_0 = cut(x_0, *clip) if clipped else x_0
        beta = 1 - a_t / a_s
        small = beta * (1 - a_s) / (1 - a_t)
        deviation = sigma(beta, small, s) if sigma else math.sqrt(small)
        draw = z(noise, k) if z else noise[k]
        of_x_t = math.sqrt(a_t / a_s) * (1 - a_s) / (1 - a_t)
        x = math.sqrt(a_s) * beta / (1 - a_t) * x_0 + of_x_t * x + deviation * draw
    return x


@wrong("08.6", "what is the variance of", RIGHT)
def names_it_and_repairs_nothing(*given):
    return _chain(*given, sigma=lambda beta, small, s: small)


@wrong("08.6", "the paper has two choices", RIGHT)
def takes_the_large_variance(*given):
    return _chain(*given, sigma=lambda beta, small, s: math.sqrt(beta) if s else 0.0)


@wrong("08.6", "took the root, or a deviation already", RIGHT)
def takes_the_root_twice(*given):
    return _chain(*given, sigma=lambda beta, small, s: small**0.25)


@wrong("08.6", "to which part of the variance", RIGHT)
def root_of_one_factor(model, alpha_bar, stops, noise, clip):
    return _chain(
        model,
        alpha_bar,
        stops,
        noise,
        clip,
        sigma=lambda beta, small, s: small / math.sqrt(beta),
    )


@wrong("08.6", "does every jump draw", RIGHT)
def draws_nothing(*given):
    return _chain(*given, sigma=lambda beta, small, s: 0.0)


@wrong("08.6", "line 3 of Algorithm 2", RIGHT)
def draws_in_the_last_jump_too(*given):
    return _chain(
        *given, sigma=lambda beta, small, s: math.sqrt(small if s else 0.3 * beta)
    )


@wrong("08.6", "which draw belongs to which jump", RIGHT)
def takes_the_start_again(*given):
    return _chain(*given, z=lambda noise, k: noise[0])


@wrong("08.6", "is the guess clipped? What was right", RIGHT)
def takes_the_clipping_out(*given):
    return _chain(*given, clipped=False)


@wrong("08.6", "is it clipped below, too", RIGHT)
def cuts_above_only(*given):
    return _chain(*given, clipped=lambda x, low, high: x.clamp(max=high))


@wrong("08.6", "is it clipped above, too", RIGHT)
def clips_below_only(*given):
    return _chain(*given, clipped=lambda x, low, high: x.clamp(min=low))


@wrong("08.6", "which two numbers are the limits", RIGHT)
def clips_to_the_same_on_both_sides(*given):
    return _chain(*given, clipped=lambda x, low, high: x.clamp(-high, high))


@wrong("08.6", "does a guess inside of the range stay", RIGHT)
def divides_by_the_largest(*given):
    def cut(x, low, high):
        largest = x.abs().flatten(1).amax(1).reshape(-1, *[1] * (x.dim() - 1))
        return x / (largest / high).clamp(min=1)

    return _chain(*given, clipped=cut)


@wrong("08.6", "is it float64 all the way", RIGHT)
def in_float32(model, alpha_bar, stops, noise, clip):
    x, z = noise[0], noise.float()
    for k, (t, s) in enumerate(pairwise(stops), 1):
        part = torch.stack([x.double(), z[k].double()])
        x = _chain(model, alpha_bar, (t, s), part, clip).float()
    return x.to(noise.dtype)


@wrong("08.6", "of the code nothing is said yet", ["large"])
def a_wrong_name_and_the_code_as_it_was(*given):
    return names_it_and_repairs_nothing(*given)


@wrong("08.6", "is it the guess that is clipped", RIGHT)
def clips_every_state(model, alpha_bar, stops, noise, clip):
    states = [noise[0]]
    for k, jump in enumerate(pairwise(stops), 1):
        part = torch.stack([states[-1], noise[k]])
        states.append(_chain(model, alpha_bar, jump, part, clip).clamp(*clip))
    return states[-1]


@wrong("08.6", "fresh noise changes them", ["no_noise"])
def blames_missing_noise(*given):
    return _chain(*given)


@wrong("08.6", "much more than with 1,000", ["shared_noise"])
def blames_the_batch(*given):
    return _chain(*given)


@wrong("08.6", "wider than the package's", ["variance", "asked_at_s"])
def blames_one_too_many(*given):
    return _chain(*given)


@wrong("08.6", "you name 3", ["variance", "no_noise", "large"])
def blames_whatever_has_to_do_with_noise(*given):
    return _chain(*given)
