r"""What a denoiser says of itself, and what it may be asked.

A denoiser is whatever is called as model(x_t, t) or model(x_t, t, y). As attributes it may
say more, which losses and samplers read; a bare function says none of it.
prediction: what it answers, "noise", "x_0", "v" or "flow" (the noise less x_0).
learned_variance: whether a second half of channels is for the variance.
clip: (low, high), the range of its data, to which the predicted x_0 is cut; (-1, 1) for
    pictures, None for points, which have none.
T: the number of steps that it knows: its table of t means those of a schedule as long.
classes: labels are 0..classes - 1, and `classes` itself means "no class"; 0 without any.
"""

import warnings
from contextlib import contextmanager

import torch

from .checks import PREDICTIONS, check_clip, check_labels, check_name, check_schedule

OWN = "model"  # the clip of a sampler or a bound, where the model is to say it itself


def check_denoiser(model, schedule):
    r"""Refuse what is no denoiser or no schedule, and a schedule of another length.

    Raises TypeError, or ValueError for a schedule whose T is not that of the model.
    """
    if not callable(model):
        inside = "; give its .model" if hasattr(model, "model") else ""
        raise TypeError(
            f"model must be called as model(x_t, t), got a {type(model).__name__}{inside}"
        )
    check_schedule(schedule)
    T, own = said(model, "T"), getattr(model, "schedule", None)
    if isinstance(T, int) and schedule.T != T:
        raise ValueError(
            f"the model knows T = {T} steps, and the schedule has {schedule.T}: make both "
            f"of one T; a shorter chain of the same network keeps its schedule of {T} "
            "steps and takes steps= or pairs="
        )
    if hasattr(own, "same_as") and not own.same_as(schedule):
        raise ValueError(
            f"the {type(model).__name__} is exact for another schedule than the one given: "
            "pass its own, model.schedule"
        )


def check_prediction(said):
    r"""Return what a denoiser is said to predict; raise ValueError for no known name."""
    if said is None:
        raise ValueError(
            f"prediction must be one of {', '.join(PREDICTIONS)}, got None: the model does "
            "not say what it predicts, so give prediction="
        )
    return check_name("prediction", said, *PREDICTIONS)


def clip_of(model, clip=OWN):
    r"""Say what the predicted x_0 is cut to: `clip`, or the model's own where it is OWN.

    Returns (low, high) or None. Raises ValueError for anything else.
    """
    if isinstance(clip, str) and clip == OWN:
        clip = said(model, "clip")
    return check_clip(clip)


def said(model, name):
    r"""What a denoiser says under a name, or the one that torch has wrapped; else None."""
    return getattr(model, name, getattr(getattr(model, "module", None), name, None))


@contextmanager
def evaluating(model):
    r"""Put every module of a model in eval mode for a while, and each back as it was."""
    modules = model.modules() if isinstance(model, torch.nn.Module) else ()
    training = [module for module in modules if module.training]
    try:
        if training:
            model.eval()
        yield
    finally:
        for module in training:
            module.training = True


def check_y(model, y, B):
    r"""Refuse labels y that do not fit: before a chain, and in words.

    y: int64 (B,), or None. Whether a model takes labels is read from `model.classes`; one
    that does not say it is given y as it is. Raises TypeError or ValueError.
    """
    classes = said(model, "classes")
    if y is None or classes is None:
        return
    if not classes:
        raise ValueError("the model has no classes: leave y out")
    known = check_labels(y.cpu() if isinstance(y, torch.Tensor) else y, B, classes)
    without = int((known == classes).sum())
    if 0 < without < B:
        raise ValueError(
            f"labels y are 0..{classes - 1} for {classes} classes, but {without} of {B} "
            f'are {classes}, which means "no class": count from 0, or draw those alone'
        )


def first_weight(model):
    r"""The first weight of a module that is no whole number; None where there is none."""
    parameters = getattr(model, "parameters", tuple)()
    return next((p for p in parameters if p.is_floating_point()), None)


def device_of(model, x=None):
    r"""The device of a model's weights; that of x, or the CPU, where there are none."""
    weight = first_weight(model)
    given = torch.empty(0) if x is None else x
    return (given if weight is None else weight).device


def as_weights(model, x_t):
    r"""x_t in the dtype of the weights: a network is asked in its own, whatever x_t has.

    x_t: (B, *shape). Returns it unchanged where there are no weights. Raises ValueError
    where they are on another device.
    """
    weight = first_weight(model)
    if weight is None:
        return x_t
    if weight.device != x_t.device:
        raise ValueError(
            f"x_t is on {x_t.device}, and the weights of the model on {weight.device}: "
            "bring both to one device with .to(device)"
        )
    return x_t.to(weight.dtype)


def check_trainable(model):
    r"""Refuse to train what has no weights, or weights that are too short for Adam.

    Raises ValueError.
    """
    check_bare(model)
    weight, kind = first_weight(model), type(model).__name__
    if weight is None:
        raise ValueError(f"a {kind} has no weights to train")
    if getattr(model, "prediction", None) is None:
        raise ValueError(
            f"a {kind} does not say what it predicts: add the line self.prediction = "
            '"noise" to it, or "x_0" or "v"'
        )
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(
            "none of the weights may change: call model.requires_grad_(True) before"
        )
    if weight.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"weights are trained in float32 or float64, got {weight.dtype}: take "
            'model.float(), and TrainConfig(precision="bfloat16") for speed'
        )


def check_bare(model):
    r"""Refuse to train or save a network that torch has wrapped: ValueError."""
    kind = type(model).__name__
    if isinstance(getattr(model, "_orig_mod", None), torch.nn.Module):
        raise ValueError(
            "give the network itself and not what torch.compile made of it: "
            "TrainConfig(compile=True) compiles it"
        )
    if kind in ("DataParallel", "DistributedDataParallel", "FullyShardedDataParallel"):
        raise ValueError(
            f"give the network itself, model.module, and not a {kind}: several GPUs train "
            "together under torchrun"
        )


def check_answer(value, x_t):
    r"""Return a denoiser's answer; refuse what is no tensor, with TypeError."""
    if isinstance(value, torch.Tensor):
        return value
    how = (
        "model(x_t, t - 1).sample, for diffusers counts from 0"
        if hasattr(value, "sample")
        else "model(x_t, t)[0]"
    )
    raise TypeError(
        f"the model must answer with a tensor shaped like x_t, {tuple(x_t.shape)}, got a "
        f"{type(value).__name__}: wrap it, such as lambda x_t, t: {how}"
    )


def check_step(x_s, x_t):
    r"""Return what a sampler's step gives; refuse all but a tensor like x_t, ValueError."""
    if not isinstance(x_s, torch.Tensor) or x_s.shape != x_t.shape:
        got = tuple(x_s.shape) if isinstance(x_s, torch.Tensor) else type(x_s).__name__
        raise ValueError(
            f"a step must return x_s shaped like x_t, {tuple(x_t.shape)}, got {got}"
        )
    return x_s


def check_halves(value, x_t):
    r"""Return what a model with learned variance answers: twice the channels of x_t.

    Raises ValueError for another shape.
    """
    twice = (x_t.shape[0], 2 * x_t.shape[1], *x_t.shape[2:])
    if tuple(value.shape) != twice:
        raise ValueError(
            "x_t and model_output must have the same shape, but for twice the channels "
            f"where the variance is learned, {twice}; got {tuple(value.shape)}"
        )
    return value


def warn_far(x_0, data):
    r"""Warn where samples lie far outside the range of the data.

    x_0: (B, *shape). data: (low, high), such as a model's clip, or None, and nothing is
    compared. Far is five times as far from the middle as the ends are: for pictures beyond
    5, which one of 1.7 million numbers from N(0, 1) is, so that pure noise has few.
    """
    if data is None:
        return
    low, high = data
    if (x_0 - (low + high) / 2).abs().max() > 5 * (high - low) / 2:
        warnings.warn(
            f"samples reach from {float(x_0.min()):.4g} to {float(x_0.max()):.4g}, and the "
            f"model's data lie in [{low:g}, {high:g}]: leave clip out, or let it cut the "
            "predicted x_0 to that; or the model is not trained yet",
            stacklevel=3,
        )
