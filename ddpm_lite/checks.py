r"""What public functions refuse, in words: what was expected, and what came."""

import inspect
import math
from numbers import Integral, Real

import torch

PREDICTIONS = ("noise", "x_0", "v", "flow")  # what a denoiser may answer
DRAWN = "ddpm-lite"  # what PNGs of this package name as their software


def shown(name):
    r"""A name of a file for messages: what no screen may print stands there as an escape.

    Such as a line break, or a byte that is no UTF-8, which Python keeps as a surrogate.
    """
    name = str(name)
    safe = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    return name if name.isprintable() else "".join(safe)


def check_beta(beta):
    r"""Refuse a beta (T,) outside (0, 1), but for a last entry of 1, with ValueError."""
    if beta.dim() != 1 or len(beta) == 0:
        raise ValueError(f"beta must be T >= 1 numbers, got shape {tuple(beta.shape)}")
    inside = (beta > 0) & (beta < 1)
    inside[-1] |= beta[-1] == 1
    if not inside.all():
        t = int((~inside).nonzero()[0]) + 1
        raise ValueError(
            "every beta must lie in (0, 1), and only the last may be 1; "
            f"got beta_{t} = {float(beta[t - 1])!r}"
        )


def check_alpha_bar(alpha_bar, before):
    r"""Refuse an alpha_bar (T,) that does not fall from the entry before: ValueError.

    before: (T,), the same one step earlier, beginning with 1.
    """
    if alpha_bar.dim() != 1 or len(alpha_bar) == 0:
        raise ValueError(
            f"alpha_bar must be T >= 1 numbers, got shape {tuple(alpha_bar.shape)}"
        )
    falls = (0 <= alpha_bar) & (alpha_bar < before)
    if not falls.all():
        t = int((~falls).nonzero()[0]) + 1
        raise ValueError(
            "alpha_bar_1 ... alpha_bar_T must fall at every step, below 1 and not "
            f"below 0 (alpha_bar_0 = 1 is not among them); got alpha_bar_{t} = "
            f"{float(alpha_bar[t - 1])!r} after {float(before[t - 1])!r}"
        )


def check_ends(beta_start, beta_end):
    r"""Refuse end points of a schedule outside (0, 1], with ValueError."""
    for name, value in (("beta_start", beta_start), ("beta_end", beta_end)):
        if not _is_number(value) or not 0 < value <= 1:
            raise ValueError(f"{name} must lie in (0, 1], got {value!r}")


def check_decreasing(alpha_bar):
    r"""Refuse an alpha_bar (T+1,) that does not decrease at every step: ValueError."""
    stuck = (alpha_bar.diff() >= 0).nonzero()
    if len(stuck):
        t = int(stuck[0]) + 1
        spent = alpha_bar[t] < 0.5
        why = "too large or too many, nothing is left" if spent else "too small"
        raise ValueError(
            f"alpha_bar must decrease at every step, but it does not at t = {t} "
            f"(alpha_bar = {alpha_bar[t]:.3g}): these beta are {why}"
        )


def check_t(t, x, T, name="t", lowest=1):
    r"""Refuse a t that is not one int64 in lowest..T for each example of x.

    t: (B,). x: (B, *shape). Raises TypeError for another dtype, ValueError for another
    shape or range.
    """
    if not isinstance(t, torch.Tensor) or t.dtype != torch.int64:
        got = t.dtype if isinstance(t, torch.Tensor) else type(t).__name__
        raise TypeError(f"{name} must be an int64 tensor of shape (B,), got {got}")
    if t.shape != x.shape[:1]:
        raise ValueError(
            f"{name} must have shape {tuple(x.shape[:1])}, one step for each example, "
            f"got {tuple(t.shape)}"
        )
    if t.numel() and not (lowest <= int(t.min()) and int(t.max()) <= T):
        raise ValueError(
            f"{name} must lie in {lowest}..{T}, got values from {int(t.min())} to "
            f"{int(t.max())}"
        )


def check_s(t, s):
    r"""Return the earlier step s, t - 1 if None; refuse s < 0 or s >= t.

    t, s: int64 (B,). Raises TypeError or ValueError.
    """
    if s is None:
        return t - 1
    check_t(s, t, int(t.max()), name="s", lowest=0)
    if not (s < t).all():
        worst = int((s >= t).nonzero()[0])
        raise ValueError(
            f"s must be smaller than t, got s = {int(s[worst])} for t = {int(t[worst])}"
        )
    return s


def same_shape(**tensors):
    r"""Refuse tensors of different shapes instead of broadcasting them.

    Raises ValueError that names both, TypeError for what is no floating point tensor.
    """
    (name, first), *others = tensors.items()
    for which, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            got = getattr(tensor, "dtype", type(tensor).__name__)
            raise TypeError(f"{which} must be a floating point tensor, got {got}")
    for other, tensor in others:
        if tensor.shape != first.shape:
            raise ValueError(
                f"{name} and {other} must have the same shape, got "
                f"{tuple(first.shape)} and {tuple(tensor.shape)}"
            )


def check_levels(x_0, levels):
    r"""Refuse an x_0 that does not hold `levels` equal grey levels in [-1, 1].

    Raises ValueError that names the range found.
    """
    if not is_whole(levels) or levels < 2:
        raise ValueError(f"levels must be an integer >= 2 or None, got {levels!r}")
    grey = (x_0 + 1) * (levels - 1) / 2
    if (x_0.abs() > 1 + 1e-4).any() or (grey - grey.round()).abs().max() > 1e-2:
        raise ValueError(
            f"x_0 must hold {levels} equally spaced grey levels in [-1, 1], got values "
            f"from {float(x_0.min()):.4g} to {float(x_0.max()):.4g}, or between levels"
        )


def check_dtype(dtype):
    r"""Return float32 or float64; refuse what is less, or no float, with ValueError."""
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"dtype must be float32 or float64, got {dtype}: for speed let the network "
            "alone compute in less"
        )
    return dtype


def check_shape(shape):
    r"""Return the shape of a batch as a tuple; refuse anything but positive integers."""
    listed = tuple(shape) if isinstance(shape, (tuple, list)) else ()
    if len(listed) < 2 or any(not is_whole(n) or n < 1 for n in listed):
        raise ValueError(
            f"shape must be (B, ...), two or more positive integers, got {short(shape)}"
        )
    return tuple(int(n) for n in listed)


def check_data(data, name="data", pictures=False):
    r"""Return data (N, *shape); refuse an empty one, or one with NaN or infinity.

    pictures: uint8 (N, C, H, W) is welcome too. Raises TypeError for another dtype,
    ValueError that names the first bad example.
    """
    if pictures and isinstance(data, torch.Tensor) and data.dtype == torch.uint8:
        if data.dim() != 4 or len(data) == 0:
            raise ValueError(
                f"uint8 {name} must be pictures (N, C, H, W), got {tuple(data.shape)}"
            )
        return data
    if not isinstance(data, torch.Tensor) or not data.is_floating_point():
        got = data.dtype if isinstance(data, torch.Tensor) else type(data).__name__
        what = f"{name} must be a floating point tensor (N, *shape)"
        what += " or uint8 pictures (N, C, H, W)" * pictures
        raise TypeError(f"{what}, got {got}{_as_uint8(data) if pictures else ''}")
    if data.dim() < 2 or len(data) == 0:
        raise ValueError(f"{name} must be (N, *shape), N >= 1, got {tuple(data.shape)}")
    bad = ~torch.isfinite(data).flatten(1).all(1)
    if bad.any():
        first = int(bad.nonzero()[0])
        raise ValueError(f"{name} must be finite, but example {first} has NaN or infinity")
    return data


def takes(function, *arguments):
    r"""Whether a function can be called so; True where its signature is not known."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def _as_uint8(data):
    r"""How to make uint8 pictures of other whole numbers, if they are some."""
    if not isinstance(data, torch.Tensor) or data.dim() != 4 or not len(data):
        return ""
    if data.is_complex() or data.min() < 0 or data.max() > 255:
        return ""
    high = int(data.max())
    change = "x.to(torch.uint8)" if high > 1 else "255 * x.to(torch.uint8)"
    return f" from {int(data.min())} to {high}: pass {change}, where 255 is white"


def check_training(data, y, classes, config):
    r"""Refuse labels or settings that do not fit the data and the network.

    data: (N, *shape). y: labels int64 (N,) in 0..classes - 1, or None. classes: of the
    network, 0 if it has none. config: a TrainConfig. Raises TypeError or ValueError.
    """
    if not hasattr(config, "drop_label"):
        raise TypeError(f"config must be a TrainConfig, got a {type(config).__name__}")
    if config.flip and data.dim() != 4:
        raise ValueError(f"flip mirrors pictures (N, C, H, W), got {tuple(data.shape)}")
    own = getattr(data, "labelled", False)  # a dataset's
    if (y is not None or own) and not classes:
        raise ValueError(
            "there are labels y, but the network has no classes: .classes is missing or 0"
            + "; data.Items(dataset, label=False) leaves them out" * own
        )
    if y is not None and (own or None in data.shape):
        raise ValueError("labels come from the dataset or stream: leave y out")
    if y is not None:
        check_labels(y, len(data), classes, data=True)
    elif config.drop_label and not own:
        raise ValueError("drop_label replaces labels, but there are no labels y")


def check_parts(batch_size, accumulate, world):
    r"""Refuse a batch that processes and parts do not share evenly, with ValueError."""
    parts = world * accumulate
    if batch_size % parts:
        near = batch_size // parts * parts or parts
        raise ValueError(
            f"batch_size {batch_size} must be a multiple of {world} processes x accumulate "
            f"{accumulate}: take --batch-size {near}"
        )


def check_number(name, value, low=-math.inf, high=math.inf):
    r"""Return a finite number in [low, high]; raise ValueError for anything else."""
    if not _is_number(value) or not (low <= value <= high) or math.isinf(value):
        finite = ", and finite" * (_is_number(value) and math.isinf(value))
        what = f"{name} must be a number{_bounds(low, high)}{finite}"
        raise ValueError(f"{what}, got {short(value)}")
    return value.item() if hasattr(value, "item") else value  # numpy's, as JSON needs it


def _bounds(low, high):
    r"""What a number has to keep to, in words."""
    if math.isfinite(low) and math.isfinite(high):
        return f" in [{low}, {high}]"
    return f" >= {low}" * math.isfinite(low) + f" <= {high}" * math.isfinite(high)


def check_given(what, text):
    r"""Return a text; refuse an empty one, with ValueError. what: it should have named."""
    if not text:
        raise ValueError(f"expected the name of {what}, got ''")
    return text


def check_integer(name, value, low, high=None):
    r"""Return an integer in low..high as an int, numpy's too; else raise ValueError."""
    if not is_whole(value) or value < low or (high is not None and value > high):
        span = f"in {low}..{high}" if high is not None else f">= {low}"
        raise ValueError(f"{name} must be an integer {span}, got {short(value)}")
    return int(value)


def is_whole(value):
    r"""Whether a value is a whole number, numpy's too, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool)


def short(value):
    r"""A value in an error: its repr in one line, cut where it is long."""
    return f"{' '.join(repr(value).split()):.120}"


def check_iterable(name, values):
    r"""Return what can be gone through; raise TypeError for anything else."""
    if not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be a list or a tensor, got {short(values)}")
    return values


def check_table(name, values):
    r"""Return numbers as a float64 tensor on the CPU; raise TypeError for others."""
    try:
        return torch.as_tensor(values, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be numbers, got {short(values)}") from error


def check_schedule(schedule):
    r"""Return a Schedule; refuse anything else, such as its T alone, with TypeError."""
    if not hasattr(schedule, "alpha_bar"):
        raise TypeError(
            "schedule must be a Schedule, such as Schedule.linear(1000), got a "
            f"{type(schedule).__name__}"
        )
    return schedule


def check_index(t, x_t):
    r"""Refuse a t that is not one int64 for each example: what a network looks up."""
    if not isinstance(t, torch.Tensor) or t.dtype != torch.int64:
        got = getattr(t, "dtype", type(t).__name__)
        raise TypeError(f"t must be an int64 tensor of shape (B,), got {got}")
    if t.shape != x_t.shape[:1]:
        raise ValueError(f"t must have shape {tuple(x_t.shape[:1])}, got {tuple(t.shape)}")


def check_variance(name, variance):
    r"""Refuse a variance that is negative or not finite: ValueError, or TypeError."""
    if not isinstance(variance, torch.Tensor):
        raise TypeError(f"{name} must be a tensor, got {short(variance)}")
    if not (torch.isfinite(variance) & (variance >= 0)).all():
        raise ValueError(f"{name} must be finite and >= 0, got {float(variance.min())}")
    return variance


def check_weights(weights, K):
    r"""Refuse weights that are not K positive numbers with sum 1, with ValueError."""
    if weights.shape != (K,) or not (weights > 0).all() or abs(weights.sum() - 1) > 1e-6:
        raise ValueError(
            f"weights must be {K} positive numbers that sum to 1, got {weights.tolist()}"
        )


def check_name(what, name, *names):
    r"""Return a name; refuse one that is not among `names`, with ValueError."""
    if not isinstance(name, str) or name not in names:
        raise ValueError(f"{what} must be one of {', '.join(names)}, got {name!r}")
    return name


def check_choice(variance):
    r"""Return a variance that is a function, "small" or "large"; else ValueError."""
    if not callable(variance):
        check_name("variance", variance, "small", "large")
    return variance


def check_clip(clip):
    r"""Return None or (low, high) with low < high; raise ValueError for anything else."""
    pair = isinstance(clip, (tuple, list)) and len(clip) == 2 and all(map(_is_number, clip))
    if clip is not None and not (pair and clip[0] < clip[1]):
        raise ValueError(
            "clip must be None or (low, high) with low < high, got "
            f"{short(clip)}; for pictures it is (-1, 1)"
        )
    return clip


def check_covariance(covariance, D):
    r"""Refuse a covariance that is not a symmetric (D, D) matrix, with ValueError."""
    square = covariance.shape == (D, D)
    if not square or not torch.allclose(covariance, covariance.T, rtol=1e-6, atol=1e-9):
        raise ValueError(
            f"covariance must be a number, one for each dimension, or a symmetric {(D, D)} "
            f"matrix, got shape {tuple(covariance.shape)}{', not symmetric' * square}"
        )


def check_sizes(sizes, factor):
    r"""Refuse sizes that are not multiples of `factor`, with ValueError.

    sizes: (H, W) of pictures, or (L,) of series.
    """
    names = ("height", "width") if len(sizes) == 2 else ("length",)
    what = "pictures" if len(sizes) == 2 else "series"
    for name, n in zip(names, sizes, strict=True):
        if n % factor or n < factor:
            below = max(factor, n // factor * factor)
            above = below + factor if below <= n else below
            near = f"the nearest that work are {below} or {above}"
            near = f"the nearest that works is {below}" if above == below else near
            raise ValueError(
                f"the {name} of {what} must be a multiple of {factor} for this network, "
                f"got {n}; {near}"
            )


def check_labels(y, B, classes, data=False):
    r"""Return labels y; refuse any that are not int64 (B,) in 0..classes.

    `classes` itself stands for "no class"; data: what is trained on has one, and there it
    is refused. Raises TypeError for another dtype, ValueError for another shape or range.
    """
    if not isinstance(y, torch.Tensor) or y.dtype != torch.int64:
        got = y.dtype if isinstance(y, torch.Tensor) else type(y).__name__
        raise TypeError(
            f"y must be an int64 tensor of shape (B,), got {got}; whole numbers become one "
            "by torch.as_tensor(y).long()"
        )
    if tuple(y.shape) != (B,):
        raise ValueError(f"y must have shape {(B,)}, got {tuple(y.shape)}")
    if data and len(y) and not (0 <= int(y.min()) and int(y.max()) < classes):
        raise ValueError(
            f"labels y must lie in 0..{classes - 1} for {classes} classes, got values from "
            f"{int(y.min())} to {int(y.max())}: count them from 0"
        )
    if y.device.type == "cpu" and not ((y >= 0) & (y <= classes)).all():
        raise ValueError(
            f"labels y must lie in 0..{classes - 1}, or be {classes} for no class, got "
            f"values from {int(y.min())} to {int(y.max())}"
        )
    return y
