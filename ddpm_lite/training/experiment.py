r"""From settings to a finished run: the pieces of the package put together.

`train` and `resume` are what the commands of the same names call. Everything is a
function of the settings: the run folder says all that is needed to go on or to repeat.
"""

import atexit
import json
import os
import platform
import subprocess
import sys
import warnings
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import distributed
from tqdm import tqdm

from .. import data, figure
from ..formats.checkpoint import checkpoint_of, read_json, write_text
from ..formats.diffusers import open_model
from ..sampling.sampler import sample
from .cost import cost, seconds_per_step
from .device import autocast, choose_device, choose_precision, describe
from .fit import fit
from .presets import RunConfig, build
from .reports import class_counts, labels_for, memorisation
from .threads import following
from .trainer import Trainer, processes

# Fields of a UNetConfig that change what the same tensors mean.
_CONVENTIONS = "groups eps head_width down_padding sine_first frequency_shift".split()
_CONVENTIONS += ["t_shift", "prediction"]


@dataclass(frozen=True)
class Prepared:
    r"""A run before its first step: config (all of it resolved), trainer, and pictures.

    pictures, held_out: PictureSets that are trained on and set aside. described: what
    belongs to the data in config.json.
    """

    config: RunConfig
    trainer: Trainer
    pictures: object
    held_out: object
    described: dict


def prepare(config, device="auto", fresh=True):
    r"""Load the pictures and build network, schedule and trainer of a RunConfig.

    The number of classes is taken from the data. fresh: start from the weights that
    config.init names, if it does; not where a checkpoint follows. Returns a Prepared.
    Raises ValueError or FileNotFoundError for pictures that cannot be read or settings
    that do not fit them, before anything is written.
    """
    device = choose_device(device)
    pictures, held_out = load_pictures(config)
    config = config.fitted_to(pictures)
    model, schedule = build(config)
    if config.init and fresh:
        start_from(model, schedule, config.init)
    trainer = Trainer(
        model.to(device),
        schedule,
        pictures.x_0,
        config.train,
        y=pictures.y if config.unet.classes else None,
        levels=pictures.levels,
    )
    described = {
        "name": pictures.name,
        "pictures": len(pictures),
        "held_out": 0 if held_out is None else len(held_out),
        "skipped": list(pictures.skipped),
        "shape": list(pictures.x_0.shape[1:]),
        "classes": list(pictures.classes),
        "class_counts": class_counts(config, pictures),
        "levels": pictures.levels,
        "fingerprint": trainer.fingerprint,
    }
    return Prepared(config, trainer, pictures, held_out, described)


def load_pictures(config):
    r"""The pictures of a RunConfig and those set aside: two PictureSets, or one and None.

    Raises ValueError where no data is named, or where it does not fit the network.
    """
    if not config.data:
        raise ValueError(
            "say what to train on: --data with a folder of pictures, an .npy, a folder of "
            "parquet, a hub id, or digits"
        )
    unet = config.unet
    H_W = (unet.height, unet.picture_width)
    known = dict(size=H_W, channels=unet.channels, skip_broken=config.skip_broken)
    pictures = data.load(config.data, split=config.split, **known)
    if config.held_out_split:
        return pictures, data.load(config.data, split=config.held_out_split, **known)
    share = config.hold_out < 1
    hold = round(config.hold_out * len(pictures)) if share else int(config.hold_out)
    return pictures.split(hold) if hold else (pictures, None)


def start_from(model, schedule, name):
    r"""Copy the weights of another model into a network.

    name: a run folder, weight file, shipped model or folder of diffusers. Tensors of
    another shape are an error, but for the table of classes, which stays as it is where
    the number of classes differs; so is a convention that shapes do not show. Raises
    ValueError that names the first, and where the other schedule is not this one.
    """
    other = open_model(name)
    weights, own = other.model.state_dict(), model.state_dict()
    if not other.schedule.same_as(schedule):
        raise ValueError(
            f"{name} was trained with another schedule ({other.schedule.T} steps, beta_T = "
            f"{float(other.schedule.beta[-1]):.3g}): choose the same one with --schedule"
        )
    fit = {k for k in own if k in weights and weights[k].shape == own[k].shape}
    for key in own:
        if key not in fit and not key.startswith("class_embedding"):
            got = tuple(weights[key].shape) if key in weights else "nothing"
            raise ValueError(
                f"{name} does not fit this network: {key} is {tuple(own[key].shape)} here "
                f"and {got} there; take its settings, see ddpm-lite info {name}"
            )
    for key in _CONVENTIONS:
        here, there = model.config[key], other.model.config[key]
        if here != there:
            raise ValueError(
                f"{name} fits this network in its shapes, but was trained with {key} = "
                f"{there!r}, and here it is {here!r}: set it to the same"
            )
    for key in fit:
        own[key].copy_(weights[key])


def summary(prepared, threads=None):
    r"""What a run is going to do, in a few lines of text: settings, time and memory.

    threads: a `Threads`, whose summary is added.
    """
    config, trainer = prepared.config, prepared.trainer
    per_process = config.train.batch_size // trainer.world // config.train.accumulate
    half = 4 if trainer.precision == "float32" else 2
    counted = cost(config.unet, per_process, half)
    on_cpu = trainer.device.type == "cpu"
    with following(threads, *_followed(trainer)):
        step = seconds_per_step(trainer)
    pictures = prepared.pictures
    shape = " x ".join(str(n) for n in pictures.x_0.shape[1:])
    classes = f", {len(pictures.classes)} classes" if config.unet.classes else ""
    lines = [
        f"data      {pictures.name}: {len(pictures):,} pictures of {shape}{classes}; "
        f"{prepared.described['held_out']:,} set aside",
        f"network   {counted.parameters:,} weights, {counted.flops / 1e9:.3g} GFLOP for a "
        f"picture; {config.schedule} schedule, T = {config.unet.T}",
        f"device    {describe(trainer.device, trainer.precision)}"
        + (f"; {trainer.world} processes" if trainer.world > 1 else "")
        + (f"\nthreads   {threads.summary()}" if threads and on_cpu else ""),
        f"training  {config.train.steps:,} steps of {config.train.batch_size} pictures, "
        f"Adam at {config.train.lr:g}, EMA {config.train.ema_decay}",
        f"estimate  {duration(step * (config.train.steps - trainer.step))} at "
        f"{config.train.batch_size / step:.0f} pictures/s, "
        f"{counted.training_bytes / 1e9:.2g} GB beside torch itself",
    ]
    if pictures.skipped:
        lines.append(f"skipped   {len(pictures.skipped)}: {', '.join(pictures.skipped)}")
    return "\n".join(lines)


def train(
    prepared, run, *, max_minutes=None, tensorboard=False, resume=False, threads=None
):
    r"""Train, with grids of samples on the way and a report at the end.

    prepared: from `prepare`. run: the folder. threads: a `Threads` that then follows the
    load of the machine. The other arguments are those of `fit`. Returns what `fit`
    returns. Raises as `fit`.
    """
    config, trainer = prepared.config, prepared.trainer
    run = Path(run)
    about = config.as_dict() | {
        "described": prepared.described,
        "precision": trainer.precision,  # what "auto" has become
        "versions": versions(),
        "commit": commit(),
    }
    held_out = prepared.held_out
    if held_out is not None:
        held_out = held_out.x_0, held_out.y if config.unet.classes else None

    def pictures(model, step):
        grid(model, trainer.schedule, config, run / "samples" / f"step_{step:09d}.png")

    with following(threads, *_followed(trainer)):
        done = fit(
            trainer,
            run,
            about=about,
            held_out=held_out,
            pictures=pictures,
            resume=resume,
            max_minutes=max_minutes,
            tensorboard=tensorboard,
        )
        if done["finished"]:
            report(prepared, run)
    return done


def _followed(trainer):
    # torch.compile would compile again for every number of threads
    return () if trainer.config.compile else (trainer.model, trainer.ema.model)


def resume(run, *, steps=None, device="auto", **options):
    r"""Go on with a run from its newest checkpoint.

    run: the folder. steps: a new total, to train longer than planned. device: may be
    another one than before. options: of `train`. Returns (Prepared, what `fit` returns).
    Raises FileNotFoundError where there is no run, ValueError where the data changed.
    """
    about = read_json(checkpoint_of(run).parents[1] / "config.json")
    config = RunConfig.from_dict(about)
    if steps is not None:
        config = replace(config, train=replace(config.train, steps=steps))
    prepared = prepare(config, device, fresh=False)
    before, now = about.get("precision"), prepared.trainer.precision
    if before not in (None, now):
        change = f"the network ran in {before} so far, and from here on runs in {now}: "
        warnings.warn(change + "this device is another one", stacklevel=2)
    return prepared, train(prepared, run, resume=True, **options)


def draw(
    model,
    schedule,
    config,
    num,
    *,
    seed=0,
    y=None,
    batch=256,
    precision="auto",
    threads=None,
    **options,
):
    r"""Draw pictures with all processes together, the same ones for any number of them.

    config: a RunConfig, for shape and clipping. num: how many. y: int64 (num,) or None.
    batch: pictures at a time. precision: of the network, see `choose_precision`. threads:
    a `Threads` that follows the load of the machine. options: of `sample`. Returns
    (num, C, H, W) on the CPU.
    """
    rank, world = processes()
    device = next(model.parameters()).device
    precision = choose_precision(device, precision, model)
    pictures = torch.zeros(num, *config.unet.sample_shape, device=device)
    for part in torch.arange(num).split(batch):
        mine = part[rank::world]
        if len(mine):
            with autocast(device, precision), following(threads, model):
                pictures[mine] = sample(
                    model,
                    schedule,
                    (len(mine), *config.unet.sample_shape),
                    seed=[(seed, int(i)) for i in mine],
                    y=None if y is None else y[mine].to(device),
                    clip=(-1, 1) if config.clip else None,
                    **options,
                )
    if world > 1:
        distributed.all_reduce(pictures)  # every other process has zeros there
    return pictures.cpu()


def grid(model, schedule, config, path, num=None):
    r"""Draw the pictures of a fixed noise and write them as one PNG, classes in columns."""
    columns = config.unet.classes if 4 <= config.unet.classes <= 16 else 8
    num = num or 6 * columns
    options = dict(sampler="ddim", steps=config.sample_steps, progress=False)
    y = labels_for(config, num)
    drawn = draw(model, schedule, config, num, y=y, seed=config.train.seed, **options)
    if processes()[0] == 0:
        figure.save_pictures(drawn, path, columns)


def report(prepared, run, num=None, progress=True):
    r"""Look for memorised pictures: samples beside their nearest training pictures.

    Writes samples/nearest.png (a sample and its nearest training picture, in pairs) and
    memorisation.json. num: samples, at most 200 and twice the pictures if None, with the
    classes in the data's mix. progress: show a bar. Returns what `memorisation` found.
    """
    config, trainer, pictures = prepared.config, prepared.trainer, prepared.pictures
    num = num or min(200, 2 * len(pictures))
    y = labels_for(config, num, class_counts(config, pictures) or None)
    first, shown = trainer.rank == 0, progress and trainer.rank == 0
    options = dict(sampler="ddim", steps=config.sample_steps, progress=shown, seed=1)
    bar = tqdm(total=2, desc="report", leave=False, disable=not shown)
    with bar:
        bar.set_postfix_str(f"drawing {num} pictures")
        drawn = draw(trainer.ema.model, trainer.schedule, config, num, y=y, **options)
        bar.update()
        if not first:
            return None
        bar.set_postfix_str("looking for copies")
        index, found = memorisation(drawn, pictures, prepared.held_out)
        bar.update()
    shown = min(24, num)
    pairs = torch.stack([drawn[:shown], pictures.to_float(index[:shown])], 1)
    figure.save_pictures(pairs.flatten(0, 1), Path(run) / "samples" / "nearest.png", 12)
    text = json.dumps(found, indent=1, allow_nan=False)
    write_text(Path(run) / "memorisation.json", text + "\n")
    return found


def join():
    r"""Join the processes that torchrun has started, if it has. Returns a device's name.

    "auto" where there is one process; else this process' own card, or "cpu": `leave` then
    ends it.
    """
    if "RANK" not in os.environ or distributed.is_initialized():
        return "auto"
    card = torch.cuda.is_available()
    distributed.init_process_group("nccl" if card else "gloo")
    atexit.register(_close)
    if not card:
        return "cpu"
    device = f"cuda:{os.environ['LOCAL_RANK']}"
    torch.cuda.set_device(device)
    return device


def leave(status):
    r"""End this process with a status, if `join` made it one of several.

    DistributedDataParallel keeps a group's threads, after `destroy_process_group` too. One
    that lets go of its last tensor while the interpreter ends aborts the process
    ("terminate called without an active exception"): the interpreter's end is left out.
    """
    if not distributed.is_initialized():
        return
    _close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _close():
    if distributed.is_initialized():
        distributed.destroy_process_group()


def versions():
    r"""Versions of Python and of the libraries that numbers depend on, {name: text}."""
    found = {"python": platform.python_version()}
    for name in ("ddpm-lite", "torch", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def commit():
    r"""The commit of the checkout that this package runs from, None outside of one."""
    here = Path(__file__).parents[1]
    if not (here.parent / ".git").exists():
        return None
    done = subprocess.run(
        ["git", "-C", here, "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or None


def duration(seconds):
    r"""Seconds as a person says them, such as "2 h 5 min"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    words = [f"{n} {unit}" for n, unit in parts if n]
    return " ".join(words[:2]) or "0 s"
