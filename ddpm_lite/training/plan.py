r"""What a run is going to do, looked at before it does anything.

What can be refused is refused here, before pictures are decoded and before a folder is
written; and a preset, which was made for some pictures, is fitted to others.
"""

import os
import re
from dataclasses import replace
from pathlib import Path

import torch

from .. import data
from ..checks import check_parts
from ..evaluation.evaluate import FEWEST
from ..formats.checkpoint import checkpoints
from ..formats.chosen import check_drawn_with
from ..formats.diffusers import open_model
from ..formats.diffusers_scheduler import named
from ..models.unet1d import build_unet
from .cost import cost, step_time
from .device import choose_precision
from .one_dimension import as_long, is_series
from .presets import RUNS, schedule_of
from .trainer import processes

# Fields of a UNetConfig that change what the same tensors mean.
_CONVENTIONS = "groups eps head_width down_padding sine_first frequency_shift".split()
_CONVENTIONS += ["t_shift", "prediction"]

# What a run writes into its folder: `train` goes into such a one that has no checkpoint.
_OF_A_RUN = {"config.json", "metrics.jsonl", "timing.jsonl", "lock", "newest", "samples"}
_OF_A_RUN |= {"checkpoints", "tensorboard", "config.json.part", "newest.part"}
_OF_A_RUN |= {"best", "best.part", "wandb", "wandb.json"}

# How to train on what comes along with the package.
_TRAINED_BY = {"digits": "digits", "clothes": "clothes --data clothes"}

HOUR = 3600  # seconds


def check_plan(config, device, fresh=True):
    r"""Refuse, before any picture is read, a RunConfig that cannot be trained.

    device: a torch.device. fresh: from the weights that config.init names, if it does.
    Returns the precision of the network. Raises ValueError that says what to change.
    """
    train, unet = config.train, config.network
    check_parts(train.batch_size, train.accumulate, processes()[1])
    if unet.dimensions == 2 and unet.channels not in (1, 3):
        raise ValueError(
            f"pictures are read with 1 channel or 3, got {unet.channels}: take "
            "--channels 1 for grey, 3 for colour"
        )
    schedule, own = schedule_of(config), config.own and config.own.network
    if fresh:  # else `fit` asks the schedule that the checkpoint holds
        check_drawn_with(config.drawn_with, schedule)
    with torch.device("meta"):
        model = config.own.filled(0).build(light=True) if own else build_unet(unet)
    if model.prediction == "noise" and float(schedule.alpha_bar[-1]) == 0:
        raise ValueError(
            f"the {config.schedule} schedule ends in pure noise, where a predicted noise "
            "says nothing of x_0: add --prediction flow, v or x_0"
        )
    precision = choose_precision(device, train.precision, model)
    if config.init and fresh:
        start = open_model(config.init, own)
    if config.init and fresh and not own:  # which is built when its classes are known
        check_start(start, config.init, model, schedule)
    shape = None if is_series(config.network) else data.sources.EMBEDDED.get(config.data)
    if shape and unet.sample_shape != shape:
        side, (H, W) = shape[1], unet.sample_shape[1:]
        fits = own or side % unet.factor == 0
        raise ValueError(
            f"the {config.data} are {side} x {side} pictures in grey, and this network is "
            f"for {H} x {W} {'in grey' if unet.channels == 1 else 'in colour'}: "
            + f"--size {side} --channels 1 fit, or " * bool(fits)
            + f"train the preset: ddpm-lite train {_TRAINED_BY[config.data]}"
        )
    return precision


def check_start(start, name, model, schedule):
    r"""Refuse to start a network from the weights of another that does not fit it.

    start: a Pretrained; name: what to call it. model: a network, on any device. The table
    of classes may be another one. Raises ValueError that names the first difference.
    """
    kinds = [type(m).__name__ for m in (start.model, model)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"{name} is an {kinds[0]}, and does not fit a {kinds[1]}")
    weights, own = start.model.state_dict(), model.state_dict()
    if not start.schedule.same_as(schedule):
        said = named(start.schedule) or {"schedule": "one without a name"}
        known = ", ".join([said.pop("schedule"), *(f"{k} = {v}" for k, v in said.items())])
        asked = ", ".join(f"--{n.replace('_', '-')}" for n in ("schedule", *said))
        raise ValueError(
            f"{name} was trained with another schedule, {known}, T = {start.schedule.T} "
            f"(beta_T = {float(start.schedule.beta[-1]):.3g}): choose the same one with "
            f"{asked} and --T"
        )
    for key in own:
        fits = key in weights and weights[key].shape == own[key].shape
        if not fits and not key.startswith("class_embedding"):
            got = tuple(weights[key].shape) if key in weights else "nothing"
            raise ValueError(
                f"{name} does not fit this network: {key} is {tuple(own[key].shape)} here "
                f"and {got} there; take its settings, see ddpm-lite info {name}"
            )
    for key in weights:
        if key not in own and not key.startswith("class_embedding"):
            raise ValueError(
                f"{name} does not fit this network, which has no {key}; take its settings, "
                f"see ddpm-lite info {name}"
            )
    for key in _CONVENTIONS:
        here, there = (m.config.get(key) for m in (model, start.model))
        if here != there:
            raise ValueError(
                f"{name} fits this network in its shapes, but was trained with {key} = "
                f"{there!r}, and here it is {here!r}: set it to the same"
            )


def check_out(out):
    r"""Refuse a run's folder that cannot be one: a file, another run, other people's files.

    out: a path. A folder in which a run was begun and has no checkpoint yet is taken, and
    one with hidden files alone.
    Raises FileExistsError or OSError.
    """
    out = Path(out)
    found = checkpoints(out)
    if found:
        raise FileExistsError(
            f"{out} already holds a run, up to {found[-1].name}: go on with it "
            "(ddpm-lite resume), or name another folder with --out"
        )
    above = next(p for p in (out, *out.absolute().parents) if p.exists() or p.is_symlink())
    if not above.is_dir():
        raise FileExistsError(f"{above} is a file, not a folder: name another with --out")
    if not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(f"{above} may not be written: name another with --out")
    names = {name for name in os.listdir(out) if name[0] != "."} if out.exists() else set()
    foreign = sorted(names - _OF_A_RUN)
    if foreign:
        some = ", ".join(map(ascii, foreign[:3])) + ", ..." * (len(foreign) > 3)
        raise FileExistsError(
            f"{out} contains other files ({some}): name another folder with --out"
        )


def located(name):
    r"""A path of something that is there, as one from the root; another name as it is.

    So that a run finds its data from wherever it is called. Links are kept.
    """
    known = ("", *data.sources.EMBEDDED, *data.sources.HUB)
    path = Path(name).expanduser()
    if name in known or not path.exists():
        return name
    short = os.path.abspath(path)  # without "..", unless a link makes that another place
    same = os.path.exists(short) and os.path.samefile(short, path)
    return short if same else str(path.absolute())


def set_aside(share, N):
    r"""How many of N pictures are set aside for `hold_out`, a number or a share below 1.

    A share is rounded, to none where it is less than half a picture. Raises ValueError
    where none would be left to train on.
    """
    number = round(share * N) if share < 1 else int(share)
    if number >= N:
        raise ValueError(
            f"--hold-out {share:g} sets all of {N} pictures aside, and leaves none to "
            "train on: give a smaller number, or 0 to train on all"
        )
    return number


def attention_at(wanted, config):
    r"""Resolutions for self-attention in a UNetConfig, near those that were wanted.

    Each of `wanted` (heights) if there is such a resolution, else the largest below, else
    the coarsest. Returns a tuple, the finest first.
    """
    heights = [config.height >> i for i in range(len(config.multipliers))]
    found = {next((h for h in heights if h <= w), heights[-1]) for w in wanted}
    return tuple(h for h in heights if h in found)


def on_data(config, preset, typed):
    r"""The RunConfig that somebody means who starts from a preset and names data.

    config: what was asked for. preset: the RunConfig that it started from. typed: names of
    the options that were given; they hold. What a preset says of its own data does not hold
    for others: `hold_out` sets pictures aside where they lack its split, and pictures that
    come along with the package have one for that.
    Returns (RunConfig, whether the channels are those of the pictures, what to say if
    pictures are set aside).
    Raises ValueError for what can be read in two ways.
    """
    if "data" in typed:
        check_meant(config.data)
    if {"hold-out", "held-out-split"} <= typed:
        raise ValueError("--hold-out or --held-out-split says what is set aside: give one")
    if "hold-out" in typed:
        config = replace(config, held_out_split="")
    if is_series(config.network):
        return as_long(config, preset, typed), "channels" not in typed, []
    if config.data in ("", preset.data):
        return config, False, []
    follow, wish = "channels" not in typed, config.held_out_split
    chosen = typed & {"hold-out", "held-out-split", "split"}
    if config.data in data.sources.EMBEDDED and not chosen:
        return replace(config, held_out_split=data.sources.UNSEEN), follow, []
    asked = "held-out-split" in typed
    if not wish or asked or data.sources.has_split(config.data, wish):
        return config, follow, []
    said = f"held out  {config.hold_out:g} of the pictures, which have no split {wish!r}"
    said = [f"{said} (--hold-out)"] * (config.hold_out > 0)
    return replace(config, held_out_split=""), follow, said


def check_meant(name):
    r"""Refuse a name of what comes along where a file or folder has it: ValueError."""
    if name in data.sources.EMBEDDED and Path(name).exists():
        raise ValueError(
            f"{name} is a name here, and that of {name} which come with this package: "
            f"--data ./{name} takes what is here; for the others call from another folder"
        )


def find_data(name, run):
    r"""Where the data of a run are now: what its config.json says, or a folder that fits.

    Versions before 0.3 wrote paths as they were typed. One that is not in this folder is
    looked for in the folders above the run. Raises FileNotFoundError where a path leads
    nowhere, ValueError where several fit.
    """
    known = ("", *data.sources.EMBEDDED, *data.sources.HUB)
    if name in known or Path(name).expanduser().exists():
        return located(name)
    found = []
    if not Path(name).expanduser().is_absolute():
        above = Path(run).absolute().parents
        found = sorted({str(p / name) for p in above if (p / name).exists()})
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"the pictures of this run may be {' or '.join(found)}: say which with --data"
        )
    if re.fullmatch(data.sources.HUB_ID, name):
        return name
    raise FileNotFoundError(
        f"the pictures of this run, {name}, are not there: say where they are with --data"
    )


def check_same_data(before, now, same=None, labels=True, edits=()):
    r"""Refuse data that a run was not trained on, and say what is different.

    before, now: what `experiment.Prepared` calls described; before may be of an older
    version, with less in it. same: whether the fingerprint of before is of these pictures,
    None to compare both. labels: classes are learned, so their names count. edits: lines
    on what somebody changed in config.json. Raises ValueError.
    """
    if same is None:
        same = before.get("fingerprint", now["fingerprint"]) == now["fingerprint"]
    if same:
        names = before.get("classes", now["classes"]) if labels else now["classes"]
        numbers = [str(i) for i in range(len(now["classes"]))]  # as Python's `fit` has them
        if names == now["classes"] or ("dtype" in before and names == numbers):
            return
        raise ValueError(
            f"this run was trained with the classes {listed(names)}, and the same pictures "
            f"are now of the classes {listed(now['classes'])}: name the folders as they "
            "were, or, if this is meant, write the new names under classes in config.json"
        )
    words = []
    for key in ("pictures", "held_out", "shape", "classes", "levels"):
        if key in before and before[key] != now[key]:
            words.append(f"{key} {before[key]}, now {now[key]}")
    advice = "Name those with --data, or start a new run from its weights with --init"
    if edits:
        advice = f"But {'; '.join(edits)}: restore that"
    raise ValueError(
        "this run was trained on other data: "
        + ("; ".join(words) or "as many pictures of the same shape, but not the same ones")
        + f". {advice}"
    )


def listed(names):
    r"""Names of classes in one line, the first 12 of many; "none" where there are none."""
    more = f", ... ({len(names)} in all)" if len(names) > 12 else ""
    return (", ".join(names[:12]) or "none") + more


def advice(prepared, seconds, at_once):
    r"""Lines about what a user may not expect of a run: long, or with few pictures.

    prepared: an `experiment.Prepared`. seconds: of training. at_once: pictures at a time.
    """
    config, pictures, lines = prepared.config, prepared.pictures, []
    if seconds > 3 * HOUR:
        lines.append("          that is long: --max-minutes stops it, resume goes on")
        for name, time in smaller_presets(config, seconds, prepared.device):
            H, W = RUNS[name].unet.sample_shape[1:]
            took = f"{duration(time)} with these pictures, at {H} x {W}"
            lines.append(f"          the preset {name} would take {took}")
    if at_once > len(pictures):
        lines.append(
            f"batches   of {at_once} hold a picture several times, for there are "
            f"{len(pictures):,}"
        )
    if not prepared.described["held_out"]:
        none = "held out  none, so that quality can only be measured with other pictures"
        few = f"held out  none: {config.hold_out:g} of {len(pictures)} is less than one"
        more = len(pictures) > 1
        lines.append(few + "; --hold-out 1" * more if config.hold_out else none)
    return lines + _few_aside(prepared) + _bare(prepared)


def _few_aside(prepared):
    r"""A line where fewer are set aside than every measure of `evaluate` needs."""
    aside, most = prepared.described["held_out"], max(FEWEST.values())
    if not 0 < aside < most:
        return []
    some = f"evaluate  has {aside} set aside, and needs {most} for all its measures"
    if prepared.config.held_out_split or aside + len(prepared.pictures) < 4 * most:
        return [f"{some} (evaluate --data names others)"]
    return [f"{some} (--hold-out {most})"]


def _bare(prepared):
    r"""Lines on classes without a picture to train on, and what to do about it."""
    config, pictures, aside = prepared.config, prepared.pictures, []
    if not config.network.classes:
        return []
    if prepared.held_out is not None and not config.held_out_split:
        aside = prepared.held_out.y.tolist()
    many = torch.bincount(pictures.y, minlength=config.network.classes).tolist()
    bare = [i for i, n in enumerate(many) if not n]
    left = [pictures.classes[i] for i in bare if i in aside]
    never = [pictures.classes[i] for i in bare if i not in aside]
    lines = []
    if left:
        lines.append(
            f"classes   no picture to train on is left of {', '.join(left)}: "
            "--hold-out 0 sets none aside, --no-labels learns no classes"
        )
    if never:
        lines.append(
            f"classes   no picture was read of {', '.join(never)} (--split "
            f"{config.split}): --no-labels learns no classes"
        )
    return lines


def smaller_presets(config, seconds, device):
    r"""Presets that would train in less than an hour where a RunConfig takes `seconds`.

    Each has the size of the preset, with the channels and classes of this one. Timed are
    those that make no more steps, if their operations give hope. Returns [(name, seconds)].
    """
    if config.own is not None:
        return []  # presets are of another network
    own, found = _operations(config), []
    if is_series(config.network):
        return found
    for name, preset in RUNS.items():
        if preset.train.steps > config.train.steps or is_series(preset.network):
            continue
        same = dict(channels=config.network.channels, classes=config.network.classes)
        small = replace(preset, unet=replace(preset.unet, **same))
        if _operations(small) * seconds < 2 * HOUR * own:
            step, _ = step_time(small.unet, small.train.batch_size, device)
            if step * small.train.steps < HOUR:
                found.append((name, step * small.train.steps))
    return found


def _operations(config):
    counted = cost(config.unet).training_flops
    return counted * config.train.batch_size * config.train.steps


def duration(seconds):
    r"""Seconds as a person says them, such as "2 h 5 min"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    words = [f"{n} {unit}" for n, unit in parts if n]
    return " ".join(words[:2]) or "0 s"
