r"""What a run that goes on takes from its folder, and what is told of all that changes."""

from dataclasses import replace

from ..formats.checkpoint import load_run
from ..models.unet import UNet
from .facts import versions
from .presets import RunConfig


def settings_of(run, about, where):
    r"""The RunConfig of a run on pictures, by a command or in Python.

    run: its folder. about: what its config.json holds, the file `where`. Raises ValueError
    for a run on points.
    """
    if "unet" not in about:  # Python's `fit` once said only how it trains
        model = load_run(run).model
        if not isinstance(model, UNet):
            raise ValueError(
                f"{run} is a run of an {type(model).__name__} started in Python: go "
                f"on there, {_lines(run)}"
            )
        known = {"hold_out": 0, "labels": bool(model.classes), "unet": model.config}
        about = known | {"sample_steps": min(25, model.T)} | about
    return RunConfig.from_dict(about, where)


def changed(config, run, at, steps=None, lr=None):
    r"""The settings of a run from its step `at` on, and lines on what they change.

    config: a RunConfig. run: for messages. steps: in all. lr: a rate that stays. Raises
    ValueError where the run has made more steps already, or has none left for an lr.
    """
    old = config.train
    new = replace(old, steps=old.steps if steps is None else steps)
    if new.steps < at:
        raise ValueError(
            f"{run} has made {at:,} steps already: steps is their number in all, and must "
            f"be larger, got {steps}"
        )
    if lr is not None:
        new = replace(new, lr=lr, decay_lr=False)
    if lr is not None and new.steps == at:
        raise ValueError(
            f"{run} has made all its {at:,} steps, and none is left for another lr: give a "
            "larger number of steps too"
        )
    lines = []
    was, becomes = (t.lr * t.lr_factor(n) for t, n in ((old, max(at, 1)), (new, at + 1)))
    if lr is not None:
        lines.append(
            f"the learning rate was {was:.2g} at step {at:,}; from here on it is "
            f"{becomes:.2g}, and does not fall"
        )
    elif old.decay_lr and old.steps != new.steps > at:
        lines.append(
            f"the learning rate was {was:.2g} at step {at:,}; from here on it is "
            f"{becomes:.2g}, and falls to 0 by step {new.steps:,}, along a cosine over all "
            "of them; for another rate, which stays, give lr (--lr)"
        )
    return replace(config, train=new), lines


def refuse_what_lay_in_memory(run, about, config):
    r"""Refuse a run whose data cannot be read from a disk: ValueError.

    about: its config.json. config: its RunConfig, with the name of the data.
    """
    dtype = about.get("described", {}).get("dtype", "uint8")
    if dtype != "uint8":
        raise ValueError(
            f"{run} was trained in Python on {dtype} numbers, and files of pictures hold "
            f"grey levels: go on there, {_lines(run)}"
        )
    if not config.data:
        raise ValueError(
            f"{run} was trained in Python, and its data lay in memory: name the same "
            f"pictures with data (--data), or go on there, {_lines(run)}"
        )


def elsewhere(about, prepared):
    r"""Lines on what is not in the settings and differs from before.

    about: config.json. prepared: a Prepared. Raises ValueError for pictures that would be
    scaled in another way, as they have other grey levels.
    """
    described, now = about.get("described", {}), prepared.described
    if described.get("levels", now["levels"]) != now["levels"]:
        raise ValueError(
            f"the run was trained with {described['levels']} grey levels, and the pictures "
            f"of {now['name']} have {now['levels']}: go on in Python, with fit"
        )
    lines, then, here = [], about.get("precision"), prepared.trainer.precision
    if then not in (None, here):
        lines.append(
            f"the network ran in {then} so far, and from here on runs in {here}: this "
            "device is another one"
        )
    before, today = about.get("versions", {}), versions()
    for name in ("ddpm-lite", "torch"):
        if before.get(name, today[name]) != today[name]:
            lines.append(
                f"{name} was {before[name]} so far, and from here on is {today[name]}: the "
                "last digits may differ"
            )
    if described.get("held_out", now["held_out"]) != now["held_out"]:
        lines.append(
            f"{described['held_out']:,} pictures were set aside so far, and from here on "
            f"{now['held_out']:,} are: held-out losses are of other pictures"
        )
    return lines


def _lines(run):
    return (
        f"with fit(trainer, {str(run)!r}, resume=True) and a Trainer with the same "
        "network, schedule, data and settings"
    )
