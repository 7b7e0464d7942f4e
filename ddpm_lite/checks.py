r"""What public functions refuse, in words: what was expected, and what came."""

import math

import torch


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
        if not 0 < value <= 1:
            raise ValueError(f"{name} must lie in (0, 1], got {value!r}")


def check_decreasing(alpha_bar):
    r"""Refuse an alpha_bar (T+1,) that does not decrease at every step: ValueError."""
    stuck = (alpha_bar.diff() >= 0).nonzero()
    if len(stuck):
        t = int(stuck[0]) + 1
        raise ValueError(
            f"alpha_bar must decrease at every step, but it does not at t = {t} "
            f"(alpha_bar = {alpha_bar[t]:.3g}): these beta are too small or too many"
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

    Raises ValueError that names both.
    """
    (name, first), *others = tensors.items()
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
    if isinstance(levels, bool) or not isinstance(levels, int) or levels < 2:
        raise ValueError(f"levels must be an integer >= 2 or None, got {levels!r}")
    grey = (x_0 + 1) * (levels - 1) / 2
    if (x_0.abs() > 1 + 1e-4).any() or (grey - grey.round()).abs().max() > 1e-2:
        raise ValueError(
            f"x_0 must hold {levels} equally spaced grey levels in [-1, 1], got values "
            f"from {float(x_0.min()):.4g} to {float(x_0.max()):.4g}, or between levels"
        )


def check_pairs(pairs, T):
    r"""Return [(t, s), ...] as ints; refuse a list that is no way from t <= T to 0.

    Raises ValueError that shows where the list breaks.
    """
    pairs = [(int(t), int(s)) for t, s in pairs]
    starts, ends = [t for t, _ in pairs], [s for _, s in pairs]
    if not pairs or starts[0] > T or ends != [*starts[1:], 0]:
        raise ValueError(
            f"pairs must be (t, s), the first t at most {T}, each t the s before it, the "
            f"last s 0; got {pairs[:2]} ... {pairs[-1:]}"
        )
    if any(s >= t for t, s in pairs):
        raise ValueError(f"each pair (t, s) must have s < t, got {pairs}")
    return pairs


def check_steps(steps, T, schedule=None):
    r"""Refuse a number of steps outside 1..T, with ValueError.

    schedule: if T is less than its own T, the error says where the chain starts.
    """
    if schedule is not None and T < schedule.T and isinstance(steps, int) and steps > T:
        raise ValueError(
            f"steps must be an integer in 1..{T}, got {steps!r}: this chain starts at "
            f"t = {T} of {schedule.T}, where sigma_t is not too large for the sampler"
        )
    check_integer("steps", steps, 1, T)


def check_log_snr(T, schedule):
    r"""Refuse to space T steps in log-SNR without a schedule that has them: ValueError."""
    if schedule is None:
        raise ValueError("log_snr spacing needs schedule=, whose alpha_bar it reads")
    if T > schedule.T:
        raise ValueError(f"T must be at most the schedule's {schedule.T}, got {T}")


def check_finite_sigma(schedule, t):
    r"""Refuse a t (B,) where alpha_bar_t = 0 and so sigma_t is infinite: ValueError."""
    if (schedule.alpha_bar[t.cpu()] == 0).any():
        raise ValueError(
            f"Heun's method needs a finite sigma_t, but alpha_bar_t = 0 at t = "
            f"{int(t.max())}: start at largest_t(schedule), or take a step of ddim there"
        )


def check_before(t_before, t):
    r"""Refuse steps before this one (B,) that are not all later than t: ValueError."""
    if t_before.shape != t.shape or not (t_before > t).all():
        raise ValueError(
            "before must hold the step taken before this one, with t larger than "
            f"{t.tolist()}, got {t_before.tolist()}"
        )


def check_noise_pred(noise_pred, x_t):
    r"""Return a noise_pred shaped like x_t; refuse None or another shape: ValueError."""
    if noise_pred is None:
        raise ValueError("rederive=False takes the network's own noise: give noise_pred")
    same_shape(x_t=x_t, noise_pred=noise_pred)
    return noise_pred


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
    shape = tuple(shape)
    if len(shape) < 2 or any(not isinstance(n, int) or n < 1 for n in shape):
        raise ValueError(
            f"shape must be (B, ...), two or more positive integers, got {shape}"
        )
    return shape


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
        raise TypeError(f"{name} must be a floating point tensor (N, *shape), got {got}")
    if data.dim() < 2 or len(data) == 0:
        raise ValueError(f"{name} must be (N, *shape), N >= 1, got {tuple(data.shape)}")
    bad = ~torch.isfinite(data).flatten(1).all(1)
    if bad.any():
        first = int(bad.nonzero()[0])
        raise ValueError(f"{name} must be finite, but example {first} has NaN or infinity")
    return data


def check_training(data, y, classes, config):
    r"""Refuse labels or settings that do not fit the data and the network.

    data: (N, *shape). y: labels int64 (N,) in 0..classes - 1, or None. classes: of the
    network, 0 if it has none. config: a TrainConfig. Raises TypeError or ValueError.
    """
    if config.flip and data.dim() != 4:
        raise ValueError(f"flip mirrors pictures (N, C, H, W), got {tuple(data.shape)}")
    if y is not None and not classes:
        raise ValueError("there are labels y, but the network has no classes")
    if y is not None:
        check_labels(y, torch.empty(len(data)), classes)
    elif config.drop_label:
        raise ValueError("drop_label replaces labels, but there are no labels y")


def check_number(name, value, low=-math.inf, high=math.inf):
    r"""Return a number in [low, high]; raise ValueError for anything else."""
    if isinstance(value, bool) or not (low <= value <= high) or math.isinf(value):
        raise ValueError(f"{name} must be a number in [{low}, {high}], got {value!r}")
    return value


def check_integer(name, value, low, high=None):
    r"""Return an integer in low..high; raise ValueError for anything else."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        span = f"in {low}..{high}" if high is not None else f">= {low}"
        raise ValueError(f"{name} must be an integer {span}, got {value!r}")
    return value


def check_variance(name, variance):
    r"""Refuse a variance that is negative or not finite, with ValueError."""
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


SAMPLERS = ("ancestral", "ddim", "heun", "dpmpp_2m", "dpmpp_2m_sde")


def check_sampler(sampler, variance, eta, rederive=True):
    r"""Refuse a sampler that is no function and no known name, or settings unfit for it."""
    if not callable(sampler):
        check_name("sampler", sampler, *SAMPLERS)
    check_choice(variance)
    check_number("eta", eta, 0, 1)
    if not rederive and sampler != "ddim":
        raise ValueError(f"rederive=False is for sampler='ddim', got sampler={sampler!r}")
    if eta and sampler in SAMPLERS[2:]:
        raise ValueError(f"eta is for sampler='ddim', got eta={eta} for {sampler!r}")


def check_clip(clip):
    r"""Return None or (low, high) with low < high; raise ValueError for anything else."""
    if clip is not None and not (len(clip) == 2 and clip[0] < clip[1]):
        raise ValueError(f"clip must be None or (low, high) with low < high, got {clip!r}")
    return clip


def check_known(known, x_0):
    r"""Return a mask of what is known, bool, like x_0; raise ValueError for others."""
    if not isinstance(known, torch.Tensor) or known.dtype != torch.bool:
        got = known.dtype if isinstance(known, torch.Tensor) else type(known).__name__
        raise ValueError(f"known must be a bool tensor, True where x_0 is kept, got {got}")
    try:
        return known.to(x_0.device).expand(x_0.shape)
    except RuntimeError:
        raise ValueError(
            f"known must broadcast to x_0, {tuple(x_0.shape)}, got {tuple(known.shape)}"
        ) from None


def check_weaker(model, weaker):
    r"""Refuse models that `guided` cannot combine, with ValueError."""
    if weaker is None and not getattr(model, "classes", 0):
        raise ValueError(
            "guidance needs a model that knows classes and no class, with the attribute "
            "classes: train one with labels and drop_label, or give weaker="
        )
    ours, theirs = (getattr(m, "prediction", None) for m in (model, weaker))
    if weaker is not None and None not in (ours, theirs) and ours != theirs:
        raise ValueError(
            f"the model predicts {ours!r} and the weaker one {theirs!r}: they must agree"
        )


def check_covariance(covariance, D):
    r"""Refuse a covariance that is not a symmetric (D, D) matrix, with ValueError."""
    square = covariance.shape == (D, D)
    if not square or not torch.allclose(covariance, covariance.T, rtol=1e-6, atol=1e-9):
        raise ValueError(
            f"covariance must be a number, one for each dimension, or a symmetric {(D, D)} "
            f"matrix, got shape {tuple(covariance.shape)}{', not symmetric' * square}"
        )


def check_sizes(H, W, factor):
    r"""Refuse a height or width that is not a multiple of `factor`, with ValueError."""
    for name, n in (("height", H), ("width", W)):
        if n % factor or n < factor:
            below = max(factor, n // factor * factor)
            above = below + factor if below <= n else below
            near = f"{below} or {above}" if above != below else f"{below}"
            raise ValueError(
                f"the {name} of pictures must be a multiple of {factor} for this network, "
                f"got {n}; the nearest that work are {near}"
            )


def check_labels(y, t, classes):
    r"""Return labels y; refuse any that are not int64 (B,) in 0..classes.

    `classes` itself stands for "no class". Raises TypeError for another dtype, ValueError
    for another shape or range.
    """
    if not isinstance(y, torch.Tensor) or y.dtype != torch.int64:
        got = y.dtype if isinstance(y, torch.Tensor) else type(y).__name__
        raise TypeError(f"y must be an int64 tensor of shape (B,), got {got}")
    if y.shape != t.shape:
        raise ValueError(f"y must have shape {tuple(t.shape)}, got {tuple(y.shape)}")
    if y.device.type == "cpu" and not ((y >= 0) & (y <= classes)).all():
        raise ValueError(
            f"labels y must lie in 0..{classes - 1}, or be {classes} for no class, got "
            f"values from {int(y.min())} to {int(y.max())}"
        )
    return y
