r"""Changes of single examples, made on the CPU just before they are trained on.

A transform is called as transform(x, generator) and returns the changed x. x: one example
as it is stored, uint8 (C, H, W) or floating point. generator: a torch.Generator, the only
source of chance; what it gives is a function of (seed, step, place in the batch). The
functions here make such transforms.
"""

import random

import numpy as np
import torch

from ..checks import check_integer, check_number, takes


class Transform:
    r"""A function with its settings, which can be printed and sent to other processes."""

    def __init__(self, function, **settings):
        self.function, self.settings = function, settings

    def __call__(self, x, generator):
        return self.function(x, generator, **self.settings)

    def __repr__(self):
        settings = ", ".join(f"{name}={_text(v)}" for name, v in self.settings.items())
        return f"{self.function.__name__.strip('_')}({settings})"


def random_crop(padding):
    r"""Move a picture by up to `padding` pixels, up or down and left or right.

    What comes in at a border is the picture mirrored there: a black frame would be learned.
    All (2 padding + 1)^2 places are equally likely. padding: 0 .. smaller side - 1.
    """
    return Transform(_random_crop, padding=check_integer("padding", padding, 0))


def flip(share=0.5):
    r"""Mirror this share of the pictures, left and right."""
    return Transform(_flip, share=check_number("share", share, 0, 1))


def colour(brightness=0.0, contrast=0.0, saturation=0.0):
    r"""Change light and colours by factors drawn from 1 - a .. 1 + a, a each number.

    First all values are multiplied (brightness), then moved away from the mean grey of the
    picture (contrast), then each pixel away from its own grey (saturation; grey pictures
    stay). 0 is black: uint8 0, or -1 of floating point data in [-1, 1]. What leaves the
    range is cut. Grey is 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).
    """
    asked = dict(brightness=brightness, contrast=contrast, saturation=saturation)
    return Transform(_colour, **{n: check_number(n, v, 0, 1) for n, v in asked.items()})


def chain(*transforms):
    r"""One transform after the other, all with the same generator."""
    return Transform(_chain, transforms=tuple(map(check_transform, transforms)))


def with_global_seed(transform):
    r"""Use a function of x alone that draws from torch's, numpy's or Python's own numbers.

    Such are those of torchvision. These numbers are seeded from the generator for each
    example, and put back afterwards.
    """
    return Transform(_with_global_seed, transform=transform)


def check_transform(transform):
    r"""Return a transform; TypeError for what is not called as transform(x, generator)."""
    called = getattr(transform, "forward", transform)  # torch hides its arguments
    if callable(transform) and takes(called, 0, 0):
        return transform
    how = "must be called as transform(x, generator)"
    if callable(transform):
        how += ": if it takes x alone, pass data.with_global_seed(transform)"
    raise TypeError(f"a transform {how}, got {text_of(transform)}")


def text_of(transform):
    r"""What a transform is called in config.json: its settings, or the function's name."""
    if isinstance(transform, Transform):
        return repr(transform)
    kind = transform if hasattr(transform, "__qualname__") else type(transform)
    return f"{kind.__module__}.{kind.__qualname__}"


def _text(value):
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))})"
    return text_of(value) if callable(value) else repr(value)


def _random_crop(x, generator, padding):
    H, W = x.shape[-2:]
    if padding >= min(H, W):
        raise ValueError(f"padding {padding} must be below the sides of {H} x {W} pixels")
    down, right = torch.randint(-padding, padding + 1, (2,), generator=generator).tolist()
    rows, columns = (_mirrored(n, by) for n, by in ((H, down), (W, right)))
    return x[..., rows, :][..., columns]


def _mirrored(n, by):
    place = (torch.arange(n) + by).abs()  # -1 is 1, as n is n - 2
    return (n - 1) - ((n - 1) - place).abs()


def _flip(x, generator, share):
    return x.flip(-1) if float(torch.rand((), generator=generator)) < share else x


def _colour(x, generator, brightness, contrast, saturation):
    width = torch.tensor([brightness, contrast, saturation])
    b, c, s = (1 + width * (2 * torch.rand(3, generator=generator) - 1)).tolist()
    light = x.float() / 255 if x.dtype == torch.uint8 else (x + 1) / 2
    light = (light * b).clamp(0, 1)
    light = _blend(light, _grey(light).mean(), c)
    light = _blend(light, _grey(light), s) if len(light) == 3 else light
    if x.dtype == torch.uint8:
        return (255 * light).round().to(torch.uint8)
    return (2 * light - 1).to(x.dtype)


def _grey(light):
    if len(light) != 3:
        return light
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=light.dtype)
    return (weights[:, None, None] * light).sum(0, keepdim=True)


def _blend(light, grey, factor):
    return (grey + factor * (light - grey)).clamp(0, 1)


def _chain(x, generator, transforms):
    for transform in transforms:
        x = transform(x, generator)
    return x


def _with_global_seed(x, generator, transform):
    number = int(torch.randint(2**32, (), generator=generator))
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        torch.default_generator.manual_seed(number)  # torch.manual_seed seeds GPUs too
        np.random.seed(number)
        random.seed(number)
        return transform(x)
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])
