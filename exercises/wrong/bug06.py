r"""Wrong answers to 06.6: names, half repairs, and repairs that break something else."""

import torch
from torch.nn import functional as F

from wrong import wrong

RIGHT = ("tiles", "no_skip")


def _large(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def _stage(h, e, norm, project, conv):
    return conv(F.silu(norm(h) + project(e)[:, :, None, None]))


def _right(x, skip, e, norm, project, conv):
    return _stage(torch.cat([_large(x), skip], 1), e, norm, project, conv)


@wrong("06.6", "which part of the picture does this pixel speak of", RIGHT)
def names_and_repairs_nothing(x, skip, e, norm, project, conv):
    x = x.repeat(1, 1, 2, 2)
    return _stage(torch.cat([x, x[:, : skip.shape[1]]], 1), e, norm, project, conv)


@wrong("06.6", "`transposed` would spoil what comes", ("no_skip", "transposed"))
def one_name_is_another(x, skip, e, norm, project, conv):
    return _right(x, skip, e, norm, project, conv)


@wrong("06.6", "does not explain why it is pixels four rows", ("no_skip",))
def one_name_is_missing(x, skip, e, norm, project, conv):
    return _right(x, skip, e, norm, project, conv)


@wrong("06.6", "does not explain why they share it to the last digit", "tiles")
def names_one_as_a_text(x, skip, e, norm, project, conv):
    return _right(x, skip, e, norm, project, conv)


@wrong("06.6", "you name 3, and a run has one fault or two", (*RIGHT, "no_silu"))
def names_to_be_sure(x, skip, e, norm, project, conv):
    return _right(x, skip, e, norm, project, conv)


@wrong("06.6", "near the linear ceiling", ("no_silu", "tiles"))
def takes_the_high_loss_for_no_silu(x, skip, e, norm, project, conv):
    return _right(x, skip, e, norm, project, conv)


@wrong("06.6", "how else does a pixel learn", RIGHT)
def repairs_the_size_alone(x, skip, e, norm, project, conv):
    x = _large(x)
    return _stage(torch.cat([x, x[:, : skip.shape[1]]], 1), e, norm, project, conv)


@wrong("06.6", "which part of the picture does this pixel speak of", RIGHT)
def repairs_the_skip_alone(x, skip, e, norm, project, conv):
    return _stage(torch.cat([x.repeat(1, 1, 2, 2), skip], 1), e, norm, project, conv)


@wrong("06.6", "squares have another number", RIGHT)
def squares_in_another_order(x, skip, e, norm, project, conv):
    return _stage(torch.cat([_large(x).flip(3), skip], 1), e, norm, project, conv)


@wrong("06.6", "which part of the picture does this pixel speak of", RIGHT)
def smooths(x, skip, e, norm, project, conv):
    x = F.interpolate(x, scale_factor=2, mode="bilinear")
    return _stage(torch.cat([x, skip], 1), e, norm, project, conv)


@wrong("06.6", "were made for the", RIGHT)
def joins_in_front(x, skip, e, norm, project, conv):
    return _stage(torch.cat([skip, _large(x)], 1), e, norm, project, conv)


@wrong("06.6", "the way down kept", RIGHT)
def joins_as_many_channels_as_x_has(x, skip, e, norm, project, conv):
    return _right(x, skip[:, : x.shape[1]], e, norm, project, conv)


@wrong("06.6", "of the code nothing is said yet", ["t_missing"])
def a_wrong_name_and_the_code_as_it_was(x, skip, e, norm, project, conv):
    return names_and_repairs_nothing(x, skip, e, norm, project, conv)


@wrong("06.6", "the same for every t", RIGHT)
def loses_t(x, skip, e, norm, project, conv):
    project(e)
    return conv(F.silu(norm(torch.cat([_large(x), skip], 1))))


@wrong("06.6", "behind norm the stage no longer does what it did", RIGHT)
def adds_t_behind_the_bend(x, skip, e, norm, project, conv):
    h = F.silu(norm(torch.cat([_large(x), skip], 1)))
    return conv(h + project(e)[:, :, None, None])


@wrong("06.6", "what bends", RIGHT)
def forgets_to_bend(x, skip, e, norm, project, conv):
    h = norm(torch.cat([_large(x), skip], 1))
    return conv(h + project(e)[:, :, None, None])


@wrong("06.6", "is never called in your stage", RIGHT)
def forgets_norm(x, skip, e, norm, project, conv):
    h = torch.cat([_large(x), skip], 1)
    return conv(F.silu(h + project(e)[:, :, None, None]))
