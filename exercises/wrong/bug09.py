r"""Typical wrong answers to the run with a bug of chapter 09."""

import math
from itertools import pairwise

import torch

from wrong import wrong

RIGHT = ("last_jump_missing", "subtracted")

_AT_0 = (
    "The last stop is 0, where h is infinite, shrink 0 and D = x_0: x is then 1 times D."
)
_LINE = "D = x_0 + h / 2 * (x_0 - before) / h_before"
_SAME = "Two lines above, D has been set to x_0."
EQUIVALENT = {
    ("09.7", "return x", "return before"): _AT_0,
    ("09.7", "return x", "return x_0"): _AT_0,
    ("09.7", "return x", "return D"): _AT_0,
    ("09.7", _LINE, _LINE.replace("= x_0", "= D")): _SAME,
    ("09.7", _LINE, _LINE.replace("(x_0", "(D")): _SAME,
    (
        "09.7",
        "h = float(half_log_snr[s] - half_log_snr[t])",
        "h = half_log_snr[s] - half_log_snr[t]",
    ): "A tensor without dimensions counts as a number: in a product it changes no dtype.",
}


def _chain(
    model,
    alpha_bar,
    stops,
    x,
    clip,
    share=lambda h, before: h / (2 * before),
    last=False,
    kept=False,
    cut="guess",
    scale=0.5,
):
    r"""A chain whose parts can be replaced; right if none is."""
    half = (scale * (alpha_bar / (1 - alpha_bar)).log()).tolist()
    earlier = None
    for t, s in pairwise(stops):
        a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
        noise_pred = model(x, torch.full((len(x),), t))
        x_0 = (x - math.sqrt(1 - a_t) * noise_pred) / math.sqrt(a_t)
        if cut == "guess":
            x_0 = x_0.clamp(*clip)
        elif callable(cut):
            x_0 = cut(x_0, *clip)
        h, D = half[s] - half[t], x_0
        if earlier is not None and (s > 0 or last):
            before, h_before = earlier
            D = x_0 + share(h if s > 0 else h_before, h_before) * (x_0 - before)
        if cut == "line":
            D = D.clamp(*clip)
        if earlier is None or not kept:
            earlier = x_0, h
        shrink = math.sqrt((1 - a_s) / (1 - a_t))
        x = shrink * x - math.sqrt(a_s) * math.expm1(-h) * D
    return x


@wrong("09.7", "which t does the result belong to", RIGHT)
def repairs_the_line_only(model, alpha_bar, stops, x, clip):
    return _chain(model, alpha_bar, stops[:-1], x, clip)


@wrong("09.7", "which way do you go", RIGHT)
def repairs_the_end_only(*given):
    return _chain(*given, share=lambda h, before: -h / (2 * before))


@wrong("09.7", "does the guess before change anything", RIGHT)
def throws_the_correction_out(*given):
    return _chain(*given, share=lambda h, before: 0.0)


@wrong("09.7", "which of the two lengths", RIGHT)
def turns_the_ratio(*given):
    return _chain(*given, share=lambda h, before: before / (2 * h))


@wrong("09.7", "for which moment of the jump", RIGHT)
def goes_on_to_the_end_of_the_jump(*given):
    return _chain(*given, share=lambda h, before: h / before)


@wrong("09.7", "how long is a jump to 0 in lambda", RIGHT)
def corrects_the_last_jump_too(*given):
    return _chain(*given, last=True)


@wrong("09.7", "the first jump has one guess only", RIGHT)
def forgets_the_half_of_lambda(*given):
    return _chain(*given, scale=1.0)


@wrong("09.7", "how far is it from one guess to the other", RIGHT)
def keeps_the_first_guess(*given):
    return _chain(*given, kept=True)


@wrong("09.7", "which numbers are clipped", RIGHT)
def clips_the_line(*given):
    return _chain(*given, cut="line")


@wrong("09.7", "which two numbers are the limits", RIGHT)
def clips_to_the_same_on_both_sides(*given):
    return _chain(*given, cut=lambda x, low, high: x.clamp(-high, high))


@wrong("09.7", "is it clipped below, too", RIGHT)
def clips_above_only(*given):
    return _chain(*given, cut=lambda x, low, high: x.clamp(max=high))


@wrong("09.7", "which t does x belong to at first", RIGHT)
def begins_at_the_last_step(model, alpha_bar, stops, x, clip):
    return _chain(model, alpha_bar, [len(alpha_bar) - 1, *stops[1:]], x, clip)


@wrong("09.7", "is it float64 all the way", RIGHT)
def in_float32(model, alpha_bar, stops, x, clip):
    def rounded(x, t):
        return model(x.float().to(x.dtype), t)

    return _chain(rounded, alpha_bar, stops, x, clip)


@wrong("09.7", "of the code nothing is said yet", ["log10"])
def a_wrong_name_and_the_code_as_it_was(model, alpha_bar, stops, x, clip):
    return _chain(
        model, alpha_bar, stops[:-1], x, clip, share=lambda h, before: -h / (2 * before)
    )


@wrong("09.7", "DDIM's column", ["last_jump_missing", "no_correction"])
def blames_a_missing_correction(*given):
    return _chain(*given)


@wrong("09.7", "too wide on N(0, 1) by", ["ratio_turned"])
def blames_the_ratio(*given):
    return _chain(*given)


@wrong("09.7", "narrower than with first order", ["last_jump_missing"])
def sees_the_grain_only(*given):
    return _chain(*given)


@wrong("09.7", "what is left of the way", ["subtracted"])
def sees_the_gaussian_only(*given):
    return _chain(*given)
