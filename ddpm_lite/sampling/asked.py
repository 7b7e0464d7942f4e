r"""What may be asked of a chain: samplers, their options, lists of steps.

The rest is refused, in words.
"""

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
    r"""Refuse a number of steps outside 1..T, with ValueError.

    schedule: if T is less than its own T, the error says where the chain starts.
    """
    if schedule is not None and T < schedule.T and is_whole(steps) and steps > T:
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
    if rederive not in (None, True, False):
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
