r"""Pictures with one fault that is known: what must a measure see, and what fools it?

Each takes real pictures and spoils one thing. Tensors are (n, C, H, W) in [-1, 1].
"""

import torch
from torch.nn import functional as F

from ..checks import check_integer, check_number
from ..seeds import generator_for

_NOISE, _SPECKLE, _LABELS = range(310, 313)  # one stream for each


def invisible_noise(pictures, grey=2, seed=0):
    r"""Add a whole number of grey levels of 255 to each value, at random.

    grey: each of -grey ... grey is equally likely; what leaves [-1, 1] is cut. No eye sees
    2 of 255. Returns pictures of the same shape.
    """
    check_integer("grey", grey, 1, 255)
    size, generator = pictures.shape, generator_for(_NOISE, seed)
    levels = torch.randint(-grey, grey + 1, size, generator=generator)
    return (pictures + levels.to(pictures) / 127.5).clamp(-1, 1)


def speckle(pictures, share=0.4, covered=0.3, seed=0):
    r"""Black and white speckle on what a share of the pictures shows.

    share: of the pictures, chosen at random; exactly so many, rounded. covered: the share
    of values above black that become black or white, in spots of about two pixels; the
    background stays. It is what a network does that errs near pure noise: the error, made
    larger and cut to [-1, 1], becomes black and white. Returns pictures of the same shape.
    """
    for name, value in (("share", share), ("covered", covered)):
        check_number(name, value, 0, 1)
    n, generator = len(pictures), generator_for(_SPECKLE, seed)
    spoiled = torch.randperm(n, generator=generator)[: round(share * n)]
    some = pictures[spoiled]
    H, W = some.shape[-2:]
    size = (*some.shape[:-2], H + 1, W + 1)
    field = torch.randn(size, generator=generator, dtype=torch.float64)
    field = 2 * F.avg_pool2d(field, 2, 1)  # four numbers make one, of variance 1 again
    # a normal number is farther from 0 than this with the chance `covered`
    least = torch.tensor(1 - covered, dtype=torch.float64).erfinv() * 2**0.5
    hit = (field.abs() > least) & (some > -1)
    result = pictures.clone()
    result[spoiled] = torch.where(hit, field.sign().to(some), some)
    return result


def without_classes(y, missing=(0, 1)):
    r"""The places of pictures that are not of the classes `missing`, int64 (m,).

    y: int64 (n,), the class of each. Raises ValueError where none is left.
    """
    left = (~torch.isin(y, torch.tensor(missing))).nonzero().flatten()
    if not len(left):
        raise ValueError(f"no picture is left without the classes {tuple(missing)}")
    return left


def repeated(n, different=250):
    r"""Places of n samples of a memoriser that knows so many pictures, int64 (n,)."""
    check_integer("different", different, 1)
    return torch.arange(n) % different


def wrong_labels(y, classes, share=0.1, seed=0):
    r"""Labels of which a share, exactly so many, rounded, is another one. int64 (n,)."""
    check_integer("classes", classes, 2)
    check_number("share", share, 0, 1)
    n, generator = len(y), generator_for(_LABELS, seed)
    spoiled = torch.randperm(n, generator=generator)[: round(share * n)]
    shift = torch.randint(1, classes, (len(spoiled),), generator=generator)
    result = y.clone()
    result[spoiled] = (y[spoiled] + shift) % classes
    return result
