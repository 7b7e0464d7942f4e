r"""What a run that goes on takes from its folder, and what is told of all that changes."""

from dataclasses import asdict, replace

from ..data.marks import is_of, kind_of
from ..formats.checkpoint import load_run, or_older
from ..formats.networks import plain_settings
from ..formats.weights import load_model
from ..models.unet import UNet
from .facts import versions
from .plan import check_same_data
from .presets import BETA_ENDS, RunConfig

_ALONG = {"cosine": "along a cosine", "linear": "on a straight line"}


def settings_of(run, about, where):
    r"""The RunConfig of a run on pictures, by a command or in Python.

    run: its folder. about: what its config.json holds, the file `where`. Raises ValueError
    for a run on points.
    """
    if not {"unet", "own"} & set(about):  # Python's `fit` once said only how it trains
        model = load_run(run).model
        if not isinstance(model, UNet):
            raise ValueError(
                f"{run} is a run of an {type(model).__name__} started in Python: go "
                f"on there, {_lines(run)}"
            )
        known = {"hold_out": 0, "labels": bool(model.classes), "unet": model.config}
        about = known | {"sample_steps": min(25, model.T)} | about
    return RunConfig.from_dict(about, where)


def check_network(config, model, where):
    r"""Refuse a RunConfig of a file that is not that of the network beside it.

    model: the network that was loaded. where: the file. Raises ValueError that names the
    first setting that differs, and both values.
    """
    unet = getattr(model, "unet_config", None)
    here = asdict(config.unet) if config.own is None else config.own.settings
    there = plain_settings(model) if config.own or unet is None else asdict(unet)
    for key in [*here, *(key for key in there if key not in here)]:
        value, own = (known.get(key, "nothing") for known in (here, there))
        if value != own:
            raise ValueError(
                f"{where} says {key} = {value}, and its weights {key} = {own}: restore it"
            )


def in_checkpoint(folder, config, where, network=None):
    r"""The RunConfig, the schedule and the network that stand in a checkpoint.

    There nobody edits them. config: the RunConfig of config.json, the file `where`; it is
    returned where the checkpoint, of an older version, says nothing. network: the class of
    a network of one's own, see `load_model`. Raises ValueError for a broken file, and where
    config is of another network.
    """
    run, file = folder.parents[1], folder / "model.safetensors"
    with or_older(run, folder):
        found = load_model(file, network)
    check_network(config, found.model, where)
    if "train" in found.config:
        config = settings_of(run, found.config, file)
    return config, found.schedule, found.model


def of_the_same(described, labels, edits):
    r"""A function (PictureSet, what describes it) that refuses other data than a run's.

    The arguments are those of `plan.check_same_data`; described: of the run.
    """

    def check(pictures, now):
        read = pictures.x_0, pictures.y if labels and pictures.classes else None
        same = "fingerprint" not in described or is_of(described["fingerprint"], *read)
        if not same and kind_of(described["fingerprint"]) and not pictures.lazy:
            raise ValueError(
                "this run read its pictures when they were needed, and knows them by names "
                "and sizes of files: restore lazy = true in its config.json"
            )
        check_same_data(described, now, same, labels, edits)

    return check


def edited(kept, config, where, steps=None, lr=None):
    r"""Lines on settings that are others in config.json than in the newest checkpoint.

    kept, config: RunConfigs of both. where: the file config.json. steps, lr: what is asked
    for in their place, or None. Raises ValueError for another schedule of the noise.
    """
    for name in ("schedule", *BETA_ENDS):
        was, now = getattr(kept, name), getattr(config, name)
        if was != now:
            raise ValueError(
                f"{where} says {name} = {now!r}, and its weights were trained with "
                f"{was!r}: restore it"
            )
    asked = {"steps"} if steps is not None else set()
    asked |= {"lr", "lr_schedule"} if lr is not None else set()
    moved = ("data", "init", "schedule", *BETA_ENDS, "unet", "own", "train")  # see below
    pairs = [(kept.as_dict(), config.as_dict(), moved)]
    pairs += [(asdict(kept.train), asdict(config.train), asked)]
    return [
        f"{key} was {was[key]!r} so far, and from here on is {value!r}, as {where} says"
        for was, now, leave in pairs
        for key, value in now.items()
        if key not in leave and was[key] != value
    ]


def changed(config, run, at, steps=None, lr=None, kept=None):
    r"""The settings of a run from its step `at` on, and lines on what they change.

    config: a RunConfig. run: for messages. steps: in all. lr: a rate that stays. kept: the
    TrainConfig until now, if config holds another. Raises ValueError where the run has made
    more steps already, or has none left for an lr.
    """
    old = kept or config.train
    new = config.train if steps is None else replace(config.train, steps=steps)
    if new.steps < at:
        raise ValueError(
            f"{run} has made {at:,} steps already: steps is their number in all, and must "
            f"be larger, got {new.steps}"
        )
    if lr is not None:
        new = replace(new, lr=lr, lr_schedule="constant")
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
    elif new.steps > at and _rates(old) != _rates(new):
        falls = (
            f", and falls to 0 by step {new.steps:,}, {_ALONG.get(new.lr_schedule)} over "
            "all of them; for another rate, which stays, give lr (--lr)"
        )
        lines.append(
            f"the learning rate was {was:.2g} at step {at:,}; from here on it is "
            f"{becomes:.2g}" + falls * (new.lr_schedule != "constant")
        )
    return replace(config, train=new), lines


def _rates(train):
    r"""All that the learning rate of each step follows from."""
    falls = train.lr_schedule != "constant"
    return train.lr, train.lr_schedule, train.warmup_steps, falls and train.steps


def refuse_what_lay_in_memory(run, about, config):
    r"""Refuse a run whose data cannot be read from a disk: ValueError.

    about: its config.json. config: its RunConfig, with the name of the data.
    """
    described = about.get("described", {})
    dtype = described.get("dtype", "uint8")
    for what, name in (("read_as", "name"), ("transform", "transform")):
        if what in described:
            kind = "the transform" if what == "transform" else "data of Python,"
            raise ValueError(
                f"{run} was trained with {kind} {described[name]}, which no file holds: go "
                f"on there, {_lines(run)}"
            )
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
    elif changed_aside(described, now["held_out_fingerprint"]):
        lines.append(
            "the pictures that are set aside are others than so far: held-out losses from "
            "here on are not those of before"
        )
    return lines


def changed_aside(described, now):
    r"""Whether pictures that are set aside are known not to be those of a run.

    described: of the run; of an older version it does not say. now: their fingerprint.
    """
    return described.get("held_out_fingerprint") not in (None, now)


def _lines(run):
    return (
        f"with fit(trainer, {str(run)!r}, resume=True) and a Trainer with the same "
        "network, schedule, data and settings"
    )
