r"""A chain in diffusers' fields, both ways: scheduler_config.json and Schedule.

A scheduler also says what its network predicts, whether x_0 is clipped and which variance
a step has. diffusers counts steps from 0: its t is ours minus one.
"""

import math
from dataclasses import dataclass

import torch

from ..checks import check_integer, check_name
from ..denoiser import check_denoiser
from ..schedule import Schedule, same_beta
from .diffusers_fields import (
    SCHEDULER_ALWAYS,
    SCHEDULERS,
    VERSION,
    complete,
    must,
    read_fields,
)

_PREDICTION = {"epsilon": "noise", "sample": "x_0", "v_prediction": "v"}
_VARIANCE = {"fixed_small": "small", "fixed_small_log": "small", "fixed_large": "large"}
_VARIANCE |= {"learned_range": "learned"}


@dataclass(frozen=True)
class Chain:
    r"""What a scheduler says of a chain.

    prediction: "noise", "x_0" or "v". clip: whether the predicted x_0 is cut to [-1, 1].
    variance: "small", "large", "learned", or None where it is not said. said: its name in
    the file, for errors. fields: those that were read, without the table of beta.
    """

    schedule: Schedule
    prediction: str
    clip: bool
    variance: str | None
    said: str
    fields: dict | None


def chain_given(unet, given):
    r"""The Chain of a network without a scheduler, from what the caller says.

    unet: its folder, for errors. given: {"schedule", "prediction", "clip"}. Raises
    ValueError for what is missing or wrong.
    """
    missing = [name for name, value in given.items() if value is None]
    if missing:
        above = unet.resolve().parent
        hint = (
            f"name {above.name}/ instead, which has one, or give"
            if (above / "model_index.json").is_file()
            else "give"
        )
        raise ValueError(
            f"{unet} is a network without a scheduler, and does not say "
            f"{', '.join(missing)}: {hint} {', '.join(f'{name}=' for name in missing)}"
        )
    check_name("prediction", given["prediction"], *_PREDICTION.values())
    if not isinstance(given["clip"], bool):
        raise ValueError(f"clip must be True or False, got {given['clip']!r}")
    said = "not said, without a scheduler"
    return Chain(**given, variance=None, said=said, fields=None)


def read_chain(path, given):
    r"""The Chain of a scheduler_config.json.

    given: what the caller says, which must be nothing here. Raises ValueError that names a
    field which is missing, unknown, or beyond this package.
    """
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{path} says the {name}: leave {name}= out")
    fields, kind, version = read_fields(path, SCHEDULERS)
    if "predict_epsilon" in fields and "prediction_type" not in fields:
        said = must(path, fields, "predict_epsilon", True, False)
        fields["prediction_type"] = "epsilon" if said else "sample"
    ignored = {"predict_epsilon", "tensor_format", "timestep_values"}.union(
        *SCHEDULERS.values()
    )
    complete(path, fields, version, SCHEDULER_ALWAYS, SCHEDULERS[kind], ignored)
    fields.setdefault("timestep_values", None)
    must(path, fields, "timestep_values", None)
    must(path, fields, "thresholding", False)
    must(path, fields, "timestep_spacing", "leading", "trailing", "linspace")
    check_integer(f"{path}: steps_offset", fields["steps_offset"], 0)
    clip = must(path, fields, "clip_sample", True, False)
    if clip:
        must(path, fields, "clip_sample_range", 1)
    prediction = _PREDICTION[must(path, fields, "prediction_type", *_PREDICTION)]
    if kind == "DDIMScheduler":
        why = ": a chain of this package ends at clean data, where alpha_bar is 1"
        must(path, fields, "set_alpha_to_one", True, why=why)
        variance, said = None, "not said by a DDIMScheduler"
    else:
        said = must(path, fields, "variance_type", *_VARIANCE)
        variance = _VARIANCE[said]
    schedule = _read_schedule(path, fields)
    raw = {k: v for k, v in fields.items() if k != "trained_betas"} | {"_class_name": kind}
    return Chain(schedule, prediction, clip, variance, said, raw)


def _read_schedule(path, fields):
    r"""The Schedule of a scheduler's fields, in float64 where diffusers has float32."""
    T, start, end = (fields[k] for k in ("num_train_timesteps", "beta_start", "beta_end"))
    beta, kind = fields["trained_betas"], fields["beta_schedule"]
    try:
        check_integer("num_train_timesteps", T, 1)
        if beta is not None:
            schedule = Schedule.from_beta(beta)
            check_integer(
                "num_train_timesteps, as trained_betas has it,", T, schedule.T, schedule.T
            )
        elif kind == "linear":
            schedule = Schedule.linear(T, start, end)
        elif kind == "scaled_linear":
            root = torch.linspace(start**0.5, end**0.5, T, dtype=torch.float64)
            schedule = Schedule.from_beta(root.square())
        elif kind == "squaredcos_cap_v2":
            schedule = Schedule.cosine(T)
        else:
            check_name(
                "beta_schedule",
                kind,
                "linear",
                "scaled_linear",
                "squaredcos_cap_v2",
                "sigmoid",
            )
            schedule = Schedule.sigmoid(T, start, end)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    rescale = must(path, fields, "rescale_betas_zero_snr", True, False)
    return _without_signal(schedule) if rescale else schedule


def _without_signal(schedule):
    r"""A schedule with alpha_bar_T = 0. Lin et al. 2023 (arXiv 2305.08891), Algorithm 1."""
    root = schedule.alpha_bar[1:].sqrt()  # (T,)
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), root.square()])
    return Schedule.from_beta(1 - alpha_bar[1:] / alpha_bar[:-1])


def scheduler_fields(pretrained):
    r"""The fields of diffusers' DDPMScheduler for a schedule and a network of ours.

    pretrained: a Pretrained. Returns a dictionary for JSON. Raises ValueError where the
    network knows another T, or clips to something else than [-1, 1].
    """
    model, schedule, config = pretrained.model, pretrained.schedule, pretrained.config
    check_denoiser(model, schedule)
    if model.clip not in (None, (-1, 1)):
        raise ValueError(f"a model of pictures clips to (-1, 1) or None, got {model.clip}")
    variance = check_name("variance", config.get("variance", "large"), "small", "large")
    names = {ours: theirs for theirs, ours in _PREDICTION.items()}
    if model.prediction not in names:
        raise ValueError(
            f"diffusers' DDPMScheduler knows {', '.join(names)}, and the network predicts "
            f"{model.prediction!r}: a weight file of this package keeps it"
        )
    return {
        "_class_name": "DDPMScheduler",
        "_diffusers_version": VERSION,
        "num_train_timesteps": schedule.T,
        **_beta_fields(schedule),
        "variance_type": "learned_range" if model.learned_variance else f"fixed_{variance}",
        "clip_sample": model.clip is not None,
        "clip_sample_range": 1.0,
        "prediction_type": names[model.prediction],
        "thresholding": False,
        "dynamic_thresholding_ratio": 0.995,
        "sample_max_value": 1.0,
        "timestep_spacing": "leading",
        "steps_offset": 0,
        "rescale_betas_zero_snr": False,
    }


def _beta_fields(schedule):
    r"""Name a schedule where diffusers has the same one, else give its numbers."""
    start, end = float(schedule.beta[1]), float(schedule.beta[-1])
    named = {"trained_betas": None, "beta_start": start, "beta_end": end}
    # not a Schedule: of this many steps it may be none
    line = torch.linspace(start, end, schedule.T, dtype=torch.float64)
    if same_beta(schedule.beta[1:], line):
        return named | {"beta_schedule": "linear"}
    if schedule.same_as(Schedule.cosine(schedule.T)):
        return named | {"beta_schedule": "squaredcos_cap_v2"}
    # its DDPMScheduler knows "sigmoid", its DDIMScheduler does not: both take numbers
    return named | {"beta_schedule": "linear", "trained_betas": schedule.beta[1:].tolist()}


def name_of(schedule):
    r"""How a schedule is called that has no settings of its own but T; None if it has."""
    known = {"linear": Schedule.linear, "cosine": Schedule.cosine}
    for name, make in (known | {"sigmoid": Schedule.sigmoid}).items():
        if schedule.same_as(make(schedule.T)):
            return name
    return None


def named(schedule):
    r"""How the settings of a run name a schedule: a part of them, {} if they cannot.

    Returns {"schedule": name}, with beta_start and beta_end where they are not the usual
    ones.
    """
    if name := name_of(schedule):
        return {"schedule": name}
    ends = float(schedule.beta[1]), float(schedule.beta[-1])
    known = {"linear": (Schedule.linear, ends)}
    known["sigmoid"] = Schedule.sigmoid, ends_of_sigmoid(schedule)
    for name, (make, (start, end)) in known.items():
        if _is(schedule, make, start, end):
            return {"schedule": name, "beta_start": start, "beta_end": end}
    return {}


def ends_of_sigmoid(schedule):
    r"""beta_start and beta_end of a schedule, if it is a sigmoid: to 12 digits."""
    first, last = float(schedule.beta[1]), float(schedule.beta[-1])
    share = 1 / (1 + math.exp(6))  # of the rise that is left out before either end
    left = (last - first) * share / (1 - 2 * share)
    return tuple(float(f"{beta:.12g}") for beta in (first - left, last + left))


def _is(schedule, make, start, end):
    try:
        return schedule.same_as(make(schedule.T, start, end))
    except ValueError:  # there is no such schedule
        return False
