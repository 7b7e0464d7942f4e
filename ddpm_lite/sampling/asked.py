r"""What may be asked of a chain: samplers, their options, lists of steps.

The rest is refused, in words.
"""

from inspect import signature

import torch

from ..checks import (
    check_choice,
    check_integer,
    check_name,
    check_number,
    is_whole,
    same_shape,
    short,
)
from ..denoiser import clip_of, said

SAMPLERS = ("ancestral", "ddim", "heun", "dpmpp_2m", "dpmpp_2m_sde")


def check_pairs(pairs, T):
    r"""Return [(t, s), ...] as ints; refuse a list that is no way from t <= T to 0.

    Raises ValueError that shows where the list breaks.
    """
    try:
        pairs = [(check_integer("t", t, 1), check_integer("s", s, 0)) for t, s in pairs]
    except (TypeError, ValueError) as error:
        raise ValueError(
            "pairs must be a list of (t, s) in whole numbers, the last s 0, got "
            f"{short(pairs)} ({error})"
        ) from error
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
    r"""Return a number of steps as an int; refuse one outside 1..T, with ValueError.

    schedule: if T is less than its own T, the error says where the chain starts.
    """
    if schedule is not None and T < schedule.T and is_whole(steps) and steps > T:
        raise ValueError(
            f"steps must be an integer in 1..{T}, got {steps!r}: this chain starts at "
            f"t = {T} of {schedule.T}, where sigma_t is not too large for the sampler"
        )
    return check_integer("steps", steps, 1, T)


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


def check_sampler(sampler, variance=None, eta=None, rederive=None):
    r"""Refuse a sampler that is no function and no known name, or settings unfit for it.

    None is a setting that was not given; any other must be one that the sampler uses.
    """
    if not callable(sampler):
        check_name("sampler", sampler, *SAMPLERS)
    if variance is not None:
        check_choice(variance)
    if eta is not None:
        check_number("eta", eta, 0, 1)
    if rederive is not None and not isinstance(rederive, bool):
        raise ValueError(f"rederive must be True or False, got {short(rederive)}")
    for name, value, home in (
        ("variance", variance, "ancestral"),
        ("eta", eta, "ddim"),
        ("rederive", rederive, "ddim"),
    ):
        if value is not None and sampler != home:
            own = ": give it to the function itself" if callable(sampler) else ""
            raise ValueError(
                f"{name} is for sampler={home!r}, got {name}={short(value)} "
                f"for {short(sampler)}, which does not use it{own}"
            )


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


def check_start(x_0):
    r"""Return examples to begin with; TypeError for what is no floats."""
    if not isinstance(x_0, torch.Tensor) or not x_0.is_floating_point():
        got = x_0.dtype if isinstance(x_0, torch.Tensor) else type(x_0).__name__
        raise TypeError(f"x_0 must be a floating point tensor, (B, *shape), got {got}")
    return x_0


def check_edited(model, x_0):
    r"""Refuse examples with NaN, or outside what the model clips to, with ValueError."""
    if not torch.isfinite(x_0).all():
        raise ValueError("x_0 must be finite where it is kept, but it has NaN or infinity")
    clip = clip_of(model)
    if clip is None or not x_0.numel():
        return
    (low, high), least, most = clip, float(x_0.min()), float(x_0.max())
    if max(low - least, most - high) > (high - low) / 256:  # more than a grey level
        raise ValueError(
            f"x_0 reaches from {least:.4g} to {most:.4g}, and the model's data lie in "
            f"[{low:g}, {high:g}]: scale x_0 to that"
        )


def check_free(options, name, *taken, instead="leave it out"):
    r"""Refuse options of `sample` that a function sets itself, with ValueError.

    instead: what to do, in words.
    """
    given = [option for option in taken if option in options]
    if given:
        raise ValueError(f"{name} sets {', '.join(given)} by itself: {instead}")


def check_own_step(step):
    r"""The names that a step of one's own takes; refuse one that `inpaint` cannot make."""
    if not callable(step):
        raise TypeError(
            "step must be a function such as ancestral_step, or partial(ddim_step, eta=1), "
            f"got {short(step)}"
        )
    names = signature(step).parameters
    if "before" in names:
        raise ValueError(
            "inpaint replaces x_s after each step, so that a step which needs the one "
            "before it is none for it: take ancestral_step, ddim_step or heun_step"
        )
    return names


def check_weaker(model, weaker):
    r"""Refuse models that `guided` cannot combine: TypeError or ValueError."""
    for denoiser in (model, weaker):
        if denoiser is not None and not callable(denoiser):
            inside = "; give its .model" if hasattr(denoiser, "model") else ""
            raise TypeError(
                "guidance needs a denoiser, called as model(x_t, t, y), got a "
                f"{type(denoiser).__name__}{inside}"
            )
    if weaker is None and not said(model, "classes"):
        raise ValueError(
            "guidance needs a model that knows classes and no class, with the attribute "
            "classes: train one with labels and drop_label, or give weaker="
        )
    for name in ("prediction", "T", "classes") if weaker is not None else ():
        ours, theirs = said(model, name), said(weaker, name)
        alike = name == "classes" and not theirs  # one that knows none is asked without
        if None not in (ours, theirs) and ours != theirs and not alike:
            raise ValueError(
                f"the model has {name} = {ours!r} and the weaker one {theirs!r}: they must "
                "agree"
            )


def check_interval(interval, T):
    r"""Return (low, high) or None; refuse others, with ValueError. T: steps, if known."""
    if interval is None:
        return None
    ends = tuple(interval) if isinstance(interval, (list, tuple)) else ()
    if len(ends) != 2:
        raise ValueError(f"interval must be two steps, (low, high), got {short(interval)}")
    low = check_integer("the interval's low end", ends[0], 1)
    return low, check_integer("the interval's high end", ends[1], low, T)


def check_measurement(A, m, variance=None):
    r"""Refuse what `measured` can make nothing of, with TypeError or ValueError."""
    for name, function in (("A", A), ("variance", variance)):
        if not callable(function) and (name == "A" or function is not None):
            raise TypeError(f"{name} must be a function, got {short(function)}")
    if not isinstance(m, torch.Tensor) or not m.is_floating_point():
        got = m.dtype if isinstance(m, torch.Tensor) else type(m).__name__
        raise TypeError(f"m must be a floating point tensor, what A gives, got {got}")
    if not torch.isfinite(m).all():
        raise ValueError("m must be finite, but it has NaN or infinity")
