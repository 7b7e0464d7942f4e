r"""From settings to a finished run: the pieces of the package put together.

`train` and `resume` are what the commands of the same names call. Everything is a
function of the settings: the run folder says all that is needed to go on or to repeat.
"""

import json
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import distributed
from tqdm import tqdm

from .. import data
from ..checks import check_integer
from ..data.examples import equal
from ..data.listing import several
from ..data.marks import fingerprint
from ..denoiser import clip_of, warn_far
from ..formats.checkpoint import checkpoint_of, read_json, step_of, write_text
from ..formats.diffusers import open_model
from ..formats.networks import check_answers
from ..sampling.sampler import sample
from .batches import second_moment
from .cost import cost, step_time
from .device import autocast, choose_device, choose_precision, describe
from .fit import fit
from .one_dimension import is_series, load, save_drawn
from .plan import advice, check_plan, check_start, duration, find_data, located, set_aside
from .presets import RunConfig, build, schedule_in_words, schedule_of
from .reports import class_counts, labels_for, memorisation
from .resuming import (
    changed,
    edited,
    elsewhere,
    in_checkpoint,
    of_the_same,
    refuse_what_lay_in_memory,
    settings_of,
)
from .threads import following
from .trainer import Trainer, processes


@dataclass(frozen=True)
class Prepared:
    r"""A run before its first step: config (all of it resolved), trainer, and pictures.

    pictures, held_out: PictureSets that are trained on and set aside. described: what
    belongs to the data in config.json. device, precision: where the network runs, and in
    what. trainer: None where nothing is to be trained.
    """

    config: RunConfig
    trainer: Trainer | None
    pictures: object
    held_out: object
    described: dict
    device: torch.device
    precision: str


def prepare(
    config, device="auto", fresh=True, follow=False, dry=False, schedule=None, check=None
):
    r"""Load the pictures and build network, schedule and trainer of a RunConfig.

    The number of classes is taken from the data, with `follow` that of channels too.
    fresh: start from the weights that config.init names, if it does; not where a
    checkpoint follows. dry: build no trainer. schedule: one that config has no name for.
    check: a function that is given the PictureSet and what describes it, to refuse it.
    Returns a Prepared. Raises ValueError or FileNotFoundError for pictures that cannot be
    read or settings that do not fit them, before anything is written; settings that fit
    no pictures come first.
    """
    device = choose_device(device)
    config = replace(config, data=located(config.data), init=located(config.init))
    precision = check_plan(config, device, fresh)
    pictures, held_out = load_pictures(config, follow)
    described = {
        "name": pictures.name,
        "pictures": len(pictures),
        "held_out": 0 if held_out is None else len(held_out),
        "skipped": list(pictures.skipped),
        "told": list(pictures.told),
        "shape": list(pictures.x_0.shape[1:]),
        "classes": list(pictures.classes),
        "levels": pictures.levels,
    }
    scale = getattr(pictures, "scale", None)  # of series
    described |= {"scale": scale} if scale else {}
    if check:
        check(pictures, described)
    config = replace(config.fitted_to(pictures), lazy=pictures.lazy)
    trainer = None if dry else _trainer(config, device, pictures, fresh, schedule)
    if dry and config.own:
        answering(config)
    if dry:  # a Trainer warns of a short chain
        moment = second_moment(pictures.x_0, pictures.levels)
        schedule_of(config).prior_gap(moment)
    described["class_counts"] = class_counts(config, pictures)
    described["fingerprint"] = None if dry else trainer.fingerprint
    described["held_out_fingerprint"] = None
    if held_out is not None and not dry:
        y = held_out.y if config.network.classes else None
        described["held_out_fingerprint"] = fingerprint(held_out.x_0, y)
    return Prepared(config, trainer, pictures, held_out, described, device, precision)


def _trainer(config, device, pictures, fresh, schedule):
    model, named = answering(config)
    schedule = schedule or named
    if config.init and fresh:
        start_from(model, schedule, config.init, config.own and config.own.network)
    return Trainer(
        model.to(device),
        schedule,
        pictures.x_0,
        config.train,
        y=pictures.y if config.network.classes else None,
        levels=pictures.levels,
    )


def answering(config):
    r"""What `build` gives, once a network of one's own has answered: (network, Schedule).

    Raises ValueError where it fails, or answers in another shape.
    """
    model, schedule = build(config)
    check_answers(model, config.network.sample_shape, schedule.T)
    return model, schedule


def load_pictures(config, follow=False):
    r"""The pictures of a RunConfig and those set aside: two PictureSets, or one and None.

    follow: with as many channels as they have, and not as the network has. Raises
    ValueError where no data is named, where it does not fit the network, or where the two
    have not the same classes, or the same pictures.
    """
    if not config.data:
        raise ValueError(
            "say what to train on: --data with a folder of pictures, an .npy, a folder of "
            "parquet, a hub id such as zalando-datasets/fashion_mnist, digits or clothes"
        )
    if is_series(config.network):
        series = load(config, follow)
        hold = set_aside(config.hold_out, len(series))
        return series.split(hold) if hold else (series, None)
    known = dict(size=config.network.sample_shape[1:], skip_broken=config.skip_broken)
    known |= dict(labels=config.labels, folders=config.folders)
    known |= dict(lazy=config.lazy or None)
    channels = None if follow else config.network.channels
    pictures = data.load(config.data, split=config.split, channels=channels, **known)
    if config.held_out_split:
        known |= dict(split=config.held_out_split, channels=pictures.shape[0])
        held_out = data.load(config.data, **known)
        if pictures.classes not in ((), held_out.classes):
            raise ValueError(
                f"the split {config.held_out_split} of {pictures.name} has the classes "
                f"{held_out.classes or 'none'}, and {config.split} has {pictures.classes}: "
                "pass --no-labels, or set aside pictures of the other, see --hold-out"
            )
        if equal(pictures.x_0, held_out.x_0):
            raise ValueError(
                f"the split {config.held_out_split} of {pictures.name} holds the pictures "
                f"of {config.split}, which are trained on: set others aside with "
                "--held-out-split, or some of these with --hold-out"
            )
        return pictures, held_out
    hold = set_aside(config.hold_out, len(pictures))
    return pictures.split(hold) if hold else (pictures, None)


def start_from(model, schedule, name, network=None):
    r"""Copy the weights of another model into a network.

    name: a run folder, weight file, shipped model or folder of diffusers. network: the
    class where it is one's own. Tensors of
    another shape are an error, but for the table of classes, which stays as it is where
    the number of classes differs; so is a convention that shapes do not show. Raises
    ValueError that names the first, and where the other schedule is not this one.
    """
    start = open_model(name, network)
    check_start(start, name, model, schedule)
    weights, own = start.model.state_dict(), model.state_dict()
    for key in own:
        if key in weights and weights[key].shape == own[key].shape:
            own[key].copy_(weights[key])


def summary(prepared, threads=None):
    r"""What a run is going to do, in a few lines of text: settings, time and memory.

    threads: a `Threads`, whose summary is added.
    """
    config, precision, device = prepared.config, prepared.precision, prepared.device
    world = processes()[1]
    at_once = config.train.batch_size // world // config.train.accumulate
    counted = cost(config.network, at_once, 4 if precision == "float32" else 2)
    step, timed = step_time(config.network, at_once, device, precision)
    step *= config.train.accumulate
    speed = config.train.batch_size / step
    own = f"{config.own}: " if config.own else ""
    pictures = prepared.pictures
    of = "series" if is_series(config.network) else "pictures"
    one = of if of == "series" else "picture"
    many = f"{len(pictures):,} {one if len(pictures) == 1 else of}"
    shape = " x ".join(str(n) for n in pictures.x_0.shape[1:])
    classes = f", {len(pictures.classes)} classes" if config.network.classes else ""
    lines = [
        f"data      {pictures.name}: {many} of {shape}{classes}; "
        f"{prepared.described['held_out']:,} set aside",
        f"network   {own}{counted.parameters:,} weights, {counted.flops / 1e9:.3g} GFLOP "
        f"for a {one}; {schedule_in_words(config)}, T = {config.network.T}",
        f"device    {describe(device, precision)}"
        + (f"; {world} processes" if world > 1 else "")
        + (f"\nthreads   {threads.summary()}" if threads and device.type == "cpu" else ""),
        f"training  {config.train.steps:,} steps of {config.train.batch_size} {of}, "
        f"{config.train.in_words()}",
        f"estimate  {duration(step * config.train.steps)} at "
        f"{speed:{'.0f' if speed >= 10 else '.2g'}} {of}/s"
        + f" (timed on {timed})" * bool(timed)
        + f", {counted.training_bytes / 1e9:.2g} GB beside torch itself",
    ]
    aside = _told("aside", prepared.held_out) if config.held_out_split else []
    lines[1:1] = [*_told("read", pictures), *aside]
    lines += advice(prepared, step * config.train.steps, at_once)
    if pictures.skipped:
        lines.append(f"skipped   {len(pictures.skipped)}: {several(pictures.skipped)}")
    return "\n".join(lines)


def _told(word, pictures):
    return [f"{word if i == 0 else '':10}{s}" for i, s in enumerate(pictures.told)]


def train(
    prepared,
    run,
    *,
    max_minutes=None,
    tensorboard=False,
    wandb="",
    resume=False,
    threads=None,
    ready=None,
):
    r"""Train, with grids of samples on the way and a report at the end.

    prepared: from `prepare`. run: the folder. threads: a `Threads` that then follows the
    load of the machine. The other arguments are those of `fit`. Returns what `fit`
    returns. Raises as `fit`.
    """
    config, trainer = prepared.config, prepared.trainer
    run = Path(run)
    about = config.as_dict() | {"described": prepared.described}
    if not trainer.schedule.same_as(schedule_of(config)):
        del about["schedule"]  # it has no name, and is with the weights alone
    held_out = prepared.held_out
    if held_out is not None:
        held_out = held_out.x_0, held_out.y if config.network.classes else None

    def pictures(model, step):
        path = run / "samples" / f"step_{step:09d}.png"
        scale = prepared.described.get("scale")
        return grid(model, trainer.schedule, config, path, scale=scale)

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
            wandb=wandb,
            ready=ready,
        )
        if done["finished"]:
            report(prepared, run)
    return done


def _followed(trainer):
    # torch.compile would compile again for every number of threads
    return () if trainer.config.compile else (trainer.model, trainer.ema.model)


def resume(
    run,
    *,
    steps=None,
    lr=None,
    data="",
    network=None,
    device="auto",
    tell=warnings.warn,
    **options,
):
    r"""Go on with a run from its newest checkpoint.

    run: the folder. steps: a new total, to train longer than planned. lr: a learning rate
    that holds from here on, and does not fall. data: where the pictures are now, if not
    where they were. network: the class of a network of one's own, or "module:Class", see
    `load_model`. device: may be another one than before. tell: a function that is
    given, before the first step, each line on what changes. options: of `train`. Returns
    (Prepared, what `fit` returns); of a run that is finished, (None, the same), and
    nothing is done. Raises FileNotFoundError where there is no run or no data, ValueError
    where the data changed, or where the run has made more steps already.
    """
    folder = checkpoint_of(run)
    path, at = folder.parents[1] / "config.json", step_of(folder)
    about = read_json(path)
    before = settings_of(run, about, path)
    kept, trained_with, model = in_checkpoint(folder, before, path, network)
    edits = edited(kept, before, path, steps, lr)
    config, lines = changed(before, run, at, steps, lr, kept.train)
    lines = edits + lines
    reported = not before.data or (Path(run) / "memorisation.json").is_file()
    if at >= before.train.steps and config == before and reported:
        done = dict(step=at, updates=0, finished=True, seconds=0, examples_per_second=0)
        return None, done | {"stopped_by": None}
    refuse_what_lay_in_memory(run, about, replace(config, data=data or config.data))
    config = replace(config, data=data or find_data(config.data, run))
    config = config.with_network(type(model))
    schedule = None if "schedule" in about else trained_with
    check = of_the_same(about.get("described", {}), config.labels, edits)
    prepared = prepare(config, device, fresh=False, schedule=schedule, check=check)
    lines += elsewhere(about, prepared)

    def ready():
        for line in lines:
            tell(line)

    return prepared, train(prepared, run, resume=True, ready=ready, **options)


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

    config: a RunConfig, for the shape. num: how many. y: int64 (num,) or None.
    batch: pictures at a time. precision: of the network, see `choose_precision`. threads:
    a `Threads` that follows the load of the machine. options: of `sample`. Returns
    (num, C, H, W) on the CPU.
    """
    check_integer("the number of pictures", num, 1)
    check_integer("batch", batch, 1)
    check_integer("seed", seed, 0)
    rank, world = processes()
    device = next(model.parameters()).device
    precision = choose_precision(device, precision, model)
    pictures = torch.zeros(num, *config.network.sample_shape, device=device)
    for part in torch.arange(num).split(batch):
        mine = part[rank::world]
        if len(mine):
            with autocast(device, precision), following(threads, model):
                pictures[mine] = sample(
                    model,
                    schedule,
                    (len(mine), *config.network.sample_shape),
                    seed=[(seed, int(i)) for i in mine],
                    y=None if y is None else y[mine].to(device),
                    **options,
                )
    if clip_of(model) is None and not is_series(config.network):  # else `sample` looked
        warn_far(pictures, (-1, 1))
    if world > 1:
        distributed.all_reduce(pictures)  # every other process has zeros there
    return pictures.cpu()


def grid(model, schedule, config, path, num=None, scale=None):
    r"""Draw the pictures of a fixed noise and write them as one PNG, classes in columns.

    scale: of series, which are then shown in units of their file.
    """
    columns = config.network.classes if 4 <= config.network.classes <= 16 else 8
    num = num or 6 * columns
    options = dict(sampler="ddim", steps=config.sample_steps, progress=False)
    y = labels_for(config, num)
    with _schedule_known():
        drawn = draw(model, schedule, config, num, y=y, seed=config.train.seed, **options)
    if processes()[0] == 0:
        save_drawn(drawn, path, columns, scale)
    return path


@contextmanager
def _schedule_known():
    # the Trainer has warned of a chain that ends far from noise, with the data's own number
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", re.escape("q(x_T | x_0) is not yet N(0, I)"))
        yield


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
        with _schedule_known():
            model, schedule = trainer.ema.model, trainer.schedule
            drawn = draw(model, schedule, config, num, y=y, **options)
        bar.update()
        if not first:
            return None
        bar.set_postfix_str("looking for copies")
        index, found = memorisation(drawn, pictures, prepared.held_out)
        bar.update()
    shown = min(24, num)
    pairs = torch.stack([drawn[:shown], pictures.to_float(index[:shown])], 1)
    path, scale = Path(run) / "samples" / "nearest.png", prepared.described.get("scale")
    save_drawn(pairs.flatten(0, 1), path, 12, scale, pairs=True)
    text = json.dumps(found, indent=1, allow_nan=False)
    write_text(Path(run) / "memorisation.json", text + "\n")
    return found
