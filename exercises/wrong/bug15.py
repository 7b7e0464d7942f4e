r"""Typical wrong answers to the run with a bug of chapter 15."""

from itertools import pairwise

import torch

from wrong import wrong

RIGHT = ("known_at_t", "known_no_root")


def _inpainted(
    denoise,
    alpha_bar,
    stops,
    x,
    known,
    mask,
    noise,
    given=lambda a_t, a_s, known, z: a_s.sqrt() * known + (1 - a_s).sqrt() * z,
    asked=0,
    variance=lambda beta, a_t, a_s: beta * (1 - a_s) / (1 - a_t),
    back=lambda x, beta, a_t, z: (1 - beta).sqrt() * x + beta.sqrt() * z,
    often=1,
    turned=False,
):
    r"""Replacement with rounds, of which parts can be replaced; right if none is."""
    mask = ~mask if turned else mask
    for pair, rounds in zip(pairwise(stops), noise, strict=True):
        a_t, a_s = (alpha_bar[t] for t in pair)
        beta = 1 - a_t / a_s
        of_x_0 = a_s.sqrt() * beta / (1 - a_t)
        of_x = (1 - beta).sqrt() * (1 - a_s) / (1 - a_t)
        deviation = variance(beta, a_t, a_s).sqrt()
        for r, (z_known, z_step, z_forward) in enumerate(rounds):
            drawn = of_x_0 * denoise(x, pair[asked]) + of_x * x + deviation * z_step
            x = torch.where(mask, given(a_t, a_s, known, z_known), drawn)
            if r < len(rounds) - often:
                x = back(x, beta, a_t, z_forward)
    return x


@wrong("15.5", "is the weight of the noise a variance, or a deviation", RIGHT)
def mends_the_level_only(*given):
    return _inpainted(
        *given, given=lambda a_t, a_s, known, z: a_s.sqrt() * known + (1 - a_s) * z
    )


@wrong("15.5", "which noise level has x after the jump", RIGHT)
def mends_the_root_only(*given):
    return _inpainted(
        *given, given=lambda a_t, a_s, known, z: a_t.sqrt() * known + (1 - a_t).sqrt() * z
    )


@wrong("15.5", "what do the squares of the weights add to", RIGHT)
def mends_one_of_each(*given):
    return _inpainted(
        *given, given=lambda a_t, a_s, known, z: a_s.sqrt() * known + (1 - a_t).sqrt() * z
    )


@wrong("15.5", "where is the noise of the known part", RIGHT)
def puts_it_back_clean(*given):
    return _inpainted(*given, given=lambda a_t, a_s, known, z: a_s.sqrt() * known)


@wrong("15.5", "how much of the picture is in x", RIGHT)
def does_not_shrink_what_is_known(*given):
    return _inpainted(*given, given=lambda a_t, a_s, known, z: known + (1 - a_s).sqrt() * z)


@wrong("15.5", "which t is that of the state", RIGHT)
def asks_with_s(*given):
    return _inpainted(*given, asked=1)


@wrong("15.5", "which variance has x_s", RIGHT)
def takes_the_large_variance(*given):
    return _inpainted(*given, variance=lambda beta, a_t, a_s: beta)


@wrong("15.5", "where does x go between two rounds", RIGHT)
def does_not_go_back(*given):
    return _inpainted(*given, back=lambda x, beta, a_t, z: x)


@wrong("15.5", "how much noise lies between s and t", RIGHT)
def goes_back_from_0(*given):
    return _inpainted(
        *given, back=lambda x, beta, a_t, z: (1 - beta).sqrt() * x + (1 - a_t).sqrt() * z
    )


@wrong("15.5", "does x shrink where noise is added", RIGHT)
def goes_back_without_shrinking(*given):
    return _inpainted(*given, back=lambda x, beta, a_t, z: x + beta.sqrt() * z)


@wrong("15.5", "after which rounds does x go back", RIGHT)
def goes_back_after_each_round(*given):
    return _inpainted(*given, often=0)


def _as_it_was(*given):
    return _inpainted(
        *given, given=lambda a_t, a_s, known, z: a_t.sqrt() * known + (1 - a_t) * z
    )


@wrong("15.5", "of the code nothing is said yet", ["known_clean"])
def blames_missing_noise(*given):
    return _as_it_was(*given)


@wrong("15.5", "would not change the rows with 1 round", ["known_at_t", "never_forward"])
def blames_the_rounds_too(*given):
    return _as_it_was(*given)


@wrong("15.5", "too small at t = 200", ["known_at_t"])
def names_the_level_alone(*given):
    return _inpainted(*given)


@wrong("15.5", "too small at every t", ["known_no_root"])
def names_the_root_alone(*given):
    return _inpainted(*given)
