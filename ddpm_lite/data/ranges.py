r"""Which number is black and which is white: what pictures say, and what to do about it.

Numbers alone do not tell. Where they can be read in two ways, both are named.
"""

import warnings

import torch

NEARLY_BLACK = 31  # of 255: pictures that never get lighter were hardly meant so


def check_range(x_0, levels=256, clip=(-1, 1)):
    r"""Refuse data, as a trainer gets them, whose range is surely another one.

    x_0: (N, *shape): uint8 with grey levels 0 .. levels - 1, or floats. clip: (low, high)
    that samples are cut to; None, and floats may be anything. Raises ValueError that says
    how to scale pictures. Warns of floats that may be meant so: pictures in [0, 1], and
    whatever leaves clip by more than one of 256 grey levels.
    """
    if not x_0.is_floating_point():
        if levels == 256 and brightest(x_0, 1) == 1:
            raise ValueError(
                "uint8 pictures must use grey levels 0..255, got 0 and 1 alone: if 1 is "
                "white, pass levels=2, or 255 * x; else all is black, and nothing to learn"
            )
        return
    if clip is None:
        return
    pictures = x_0.dim() == 4 and x_0.shape[1] in (1, 3) and clip == (-1, 1)
    low, high = float(x_0.min()), float(x_0.max())
    span = f"values from {low:.4g} to {high:.4g}"
    beyond = max(clip[0] - low, high - clip[1]) > (clip[1] - clip[0]) / 256
    if pictures and beyond and low >= 0:
        raise ValueError(
            f"pictures must lie in [-1, 1], got {span}: {to_floats(low, high)}; or build "
            "the network with clip=False"
        )
    if beyond:
        how = to_floats(low, high) if pictures else "scale them to that"
        warnings.warn(
            f"the data have {span}, but samples are cut to [{clip[0]:g}, {clip[1]:g}]: "
            f"{how}, or build the network with clip=False",
            stacklevel=3,
        )
    elif pictures and low >= 0 and high > 0.5:
        warnings.warn(
            f"pictures have {span}. If 0 is black, pass 2 * x - 1; read as they are, 0 is "
            "grey and none is darker",
            stacklevel=3,
        )


def brightest(x_0, enough):
    r"""The largest of uint8 pictures, or the first one found that is above `enough`."""
    highest = 0
    for part in x_0.split(256):
        highest = max(highest, int(part.max()))
        if highest > enough:
            break
    return highest


def to_floats(low, high):
    r"""How to scale pictures x from low..high to [-1, 1], in words."""
    if -1 <= low < 0 and high <= 1:
        return "they are in [-1, 1] already"
    if low >= 0 and high <= 1:
        return "pass 2 * x - 1, if 0 is black and 1 is white"
    if low >= 0:
        white = _white(high)
        return f"pass 2 * x / {white:g} - 1, if 0 is black and {white:g} is white"
    return (
        "pass 2 * (x - black) / (white - black) - 1, with what is black and white in them"
    )


def to_grey(low, high, floats):
    r"""How to turn an array a of numbers in low..high into uint8 grey levels, in words.

    floats: it holds floats. Returns (an expression of numpy, under which condition).
    """
    if -1 <= low < 0 and high <= 1:
        change, condition = "127.5 * (a + 1)", "-1 is black and 1 white"
    elif low >= 0 and high <= 1:
        change, condition = "255 * a", "0 is black and 1 white"
        if not floats:  # such as int8, which ends at 127
            return "255 * a.astype('uint8')", condition
    elif low >= 0:
        white = _white(high)
        change, condition = f"255 / {white:g} * a", f"0 is black and {white:g} white"
        if white == 255:
            return f"a{'.round()' * floats}.astype('uint8')", condition
    else:
        change = "255 * ((a - black) / (white - black)).clip(0, 1)"
        if not floats:  # whose differences wrap round
            change = "255 * ((a.astype(float) - black) / (float(white) - black)).clip(0, 1)"
        condition = "black and white are the numbers that stand for them"
    return f"({change}).round().astype('uint8')", condition


def _white(high):
    r"""The value of white that a largest value makes most likely."""
    if NEARLY_BLACK < high <= 255:
        return 255
    return next((w for w in (1023, 4095, 65535) if w / 2 < high <= w), high)


def told_range(x_0):
    r"""A sentence about uint8 pictures that show nearly nothing, in a list; else none.

    They never get light, have nearly one grey level, or are all the same picture.
    """
    if x_0.dtype != torch.uint8:
        return []
    low, high = _span(x_0, NEARLY_BLACK)
    if high <= NEARLY_BLACK:
        return [f"NEARLY BLACK: no grey level above {high} of 255, where white is 255"]
    if high - low <= NEARLY_BLACK:
        return [f"NEARLY ONE GREY: all grey levels lie in {low}..{high}, of 0..255"]
    if len(x_0) > 1 and all((part == x_0[:1]).all() for part in x_0.split(256)):
        return [f"ALL THE SAME: one picture {len(x_0):,} times"]
    return []


def _span(x_0, enough):
    r"""The smallest and largest of uint8 pictures, or of the first with a wider span."""
    low, high = 255, 0
    for part in x_0.split(256):
        low, high = min(low, int(part.min())), max(high, int(part.max()))
        if high - low > enough:
            break
    return low, high
