r"""Typical wrong answers to the run with a bug of chapter 12."""

import math
from itertools import pairwise

import torch

from wrong import wrong

RIGHT = ("null_is_class_0", "one_plus_gamma")


def _drawn(
    model,
    alpha_bar,
    stops,
    x,
    y,
    none,
    gamma,
    clip,
    weights=lambda gamma: (gamma, 1 - gamma),
    cut="guess",
    kept=False,
):
    r"""The chain, of which parts can be replaced; right if none is."""
    for t, s in pairwise(stops):
        a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
        at = torch.full((len(x),), t)
        labels = torch.cat([y, torch.full_like(y, none)])
        of_y, of_none = model(torch.cat([x, x]), torch.cat([at, at]), labels).chunk(2)
        with_label, without = weights(gamma)
        noise = with_label * of_y + without * of_none
        x_0 = (x - math.sqrt(1 - a_t) * noise) / math.sqrt(a_t)
        if cut == "guess":
            x_0 = x_0.clamp(*clip)
        elif callable(cut):
            x_0 = cut(x_0, *clip)
        if not kept:
            noise = (x - math.sqrt(a_t) * x_0) / math.sqrt(1 - a_t)
        x = math.sqrt(a_s) * x_0 + math.sqrt(1 - a_s) * noise
    return x


@wrong("12.6", "which label stands for no class", RIGHT)
def mends_the_scale_only(model, alpha_bar, stops, x, y, none, gamma, clip):
    return _drawn(model, alpha_bar, stops, x, y, 0, gamma, clip)


@wrong("12.6", "which scale leaves the answer with the label", RIGHT)
def mends_the_label_only(*given):
    return _drawn(*given, weights=lambda gamma: (1 + gamma, -gamma))


@wrong("12.6", "which scale leaves the answer with the label", RIGHT)
def takes_one_off(*given):
    return _drawn(*given, weights=lambda gamma: (gamma - 1, 2 - gamma))


@wrong("12.6", "which of the two answers is the one with the label", RIGHT)
def exchanges_the_answers(*given):
    return _drawn(*given, weights=lambda gamma: (1 - gamma, gamma))


@wrong("12.6", "which way is it from one answer to the other", RIGHT)
def turns_the_sign(*given):
    return _drawn(*given, weights=lambda gamma: (-gamma, 1 + gamma))


@wrong("12.6", "where is the answer without a label", RIGHT)
def scales_one_answer(*given):
    return _drawn(*given, weights=lambda gamma: (gamma, 0.0))


@wrong("12.6", "where does the scale come in", RIGHT)
def throws_guidance_out(*given):
    return _drawn(*given, weights=lambda gamma: (1.0, 0.0))


@wrong("12.6", "is the guess clipped", RIGHT)
def throws_clipping_out(*given):
    return _drawn(*given, cut="none")


@wrong("12.6", "belong to the same x_t", RIGHT)
def keeps_the_noise(*given):
    return _drawn(*given, kept=True)


@wrong("12.6", "which two numbers are the limits", RIGHT)
def clips_to_one(*given):
    return _drawn(*given, cut=lambda x, low, high: x.clamp(-1, 1))


@wrong("12.6", "is it float64 all the way", RIGHT)
def in_float32(model, alpha_bar, stops, x, *given):
    def rounded(x, t, y):
        return model(x, t, y).float().to(x.dtype)

    return _drawn(rounded, alpha_bar, stops, x, *given)


@wrong("12.6", "of the code nothing is said yet", ["sign_turned"])
def a_wrong_name_and_the_code_as_it_was(model, alpha_bar, stops, x, y, none, gamma, clip):
    return _drawn(model, alpha_bar, stops, x, y, 0, 1 + gamma, clip)


@wrong("12.6", "would end in the wrong class", ["null_is_class_0", "halves_exchanged"])
def blames_the_halves(*given):
    return _drawn(*given)


@wrong("12.6", "that with a scale of 0 the label counts", ["null_is_class_0"])
def sees_class_0_only(*given):
    return _drawn(*given)


@wrong("12.6", "that the scale changes nothing for class 0", ["one_plus_gamma"])
def sees_the_scale_only(*given):
    return _drawn(*given)


@wrong("12.6", "where nothing is clipped", ["clipped_apart"])
def blames_clipping(*given):
    return _drawn(*given)


EQUIVALENT = {
    (
        "12.6",
        "both = model(torch.cat([x, x]), torch.full((2 * len(x),), t), labels)",
        "both = model(torch.cat([x, x]), torch.full((2 * len(y),), t), labels)",
    ): "x and y are as long as the batch",
    (
        "12.6",
        "return x",
        "return x_0",
    ): "the last stop is 0, where alpha_bar is 1: x is then 1 times x_0",
}
