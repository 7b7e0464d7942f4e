r"""The command `train`: settings and a folder of pictures become a run."""

import json
import shlex
from dataclasses import dataclass, field, replace
from importlib.util import find_spec

from ..checks import check_given
from ..training import experiment
from ..training.device import keep_memory
from ..training.one_dimension import preset_of
from ..training.plan import attention_at, check_out, on_data
from ..training.presets import RUNS, RunConfig
from ..training.trainer import processes
from . import parsing
from .shared import Machine, check_minutes, report_run, status_of


@dataclass(frozen=True)
class Options:
    r"""Train on pictures: ddpm-lite train [PRESET] --data FOLDER [options].

    On a laptop the preset digits takes minutes, fashion an hour or so, small-32 a day or
    more; the others are made for GPUs. Any preset trains on any pictures: --dry-run tells
    how long that takes here.
    """

    run: RunConfig = field(default_factory=RunConfig)
    machine: Machine = field(default_factory=Machine)
    out: str = ""  # the run's folder; runs/PRESET if not given
    max_minutes: float | None = None  # stop after so long, with a checkpoint
    dry_run: bool = False  # print settings and estimate, and write nothing
    tensorboard: bool = False  # also write what TensorBoard reads
    json: bool = False  # print the outcome as JSON

    def __post_init__(self):
        check_minutes(self.max_minutes)


@dataclass(frozen=True)
class Request(Options):
    r"""Options with the preset that they started from and the names that were typed."""

    preset: str = "small-32"
    typed: frozenset = frozenset()
    chosen: str = ""  # why this preset, where none was named


def parse(arguments):
    r"""The options, which start from the preset that the first argument may name."""
    preset, rest = "small-32", arguments
    chosen = ""
    if arguments and not arguments[0].startswith("-"):
        preset, *rest = arguments
    else:
        found, chosen = preset_of(parsing.value_of("--data", rest))
        preset = found or preset
    if preset not in RUNS:
        raise parsing.Misunderstood(
            f"there is no preset {preset!r}{parsing.nearest(preset, RUNS)} For pictures: "
            f"ddpm-lite train --data {shlex.quote(preset)}"
        )
    words = [word.partition("=")[0] for word in rest if word.startswith("--")]
    typed = frozenset(word[2:].replace("_", "-") for word in words)
    start = run = RUNS[preset]
    moves = typed & {"size", "multipliers"} and "attention" not in typed
    if moves:  # the preset's resolutions may not be there
        start = replace(run, unet=replace(run.unet, attention=()))
    shorter = "T" in typed and "sample-steps" not in typed
    if shorter:  # the preset's steps may be more than T
        start = replace(start, sample_steps=1)
    default = Options(run=start, out=f"runs/{preset}")
    about = (
        f"{Options.__doc__.strip()} PRESET is one of {', '.join(RUNS)}; small-32 if none "
    )
    about += "is given."
    options = parsing.parse(Options, f"train {preset}", rest, default, about)
    if moves:
        unet = options.run.unet
        unet = replace(unet, attention=attention_at(run.unet.attention, unet))
        options = replace(options, run=replace(options.run, unet=unet))
    if shorter:
        steps = min(run.sample_steps, options.run.unet.T)
        options = replace(options, run=replace(options.run, sample_steps=steps))
    return Request(**vars(options), preset=preset, typed=typed, chosen=chosen)


def run(options, threads):
    r"""Train, or print what would be trained. options: a Request. threads: not begun."""
    threads.begin(options.machine.threads)
    check_given("a new folder behind --out", options.out)
    keep_memory()
    device = experiment.join()
    device = options.machine.device if options.machine.device != "auto" else device
    if options.run.data and not options.dry_run:
        check_out(options.out)
    if options.tensorboard and find_spec("tensorboard") is None:
        raise ModuleNotFoundError("tensorboard is not installed: pip install tensorboard")
    preset = RUNS[options.preset]
    config, follow, said = on_data(options.run, preset, options.typed)
    prepared = experiment.prepare(config, device, follow=follow, dry=options.dry_run)
    if "drop-label" in options.typed and config.train.drop_label > 0:
        if not prepared.config.network.classes:
            raise ValueError(
                "--drop-label replaces labels, and there are none: leave it out"
            )
    first = processes()[0] == 0
    if not options.json:  # all processes time a step, as they all train at once
        lines = [options.chosen] * bool(options.chosen)
        lines.append(experiment.summary(prepared, threads))
        lines += said if prepared.described["held_out"] else []  # else it says so itself
        lines += _derived(prepared.config, preset, options.typed)
        if first:
            print("\n".join(lines), flush=True)
    if options.dry_run:
        if first:
            print(json.dumps(prepared.config.as_dict(), indent=1))
        return
    done = experiment.train(
        prepared,
        options.out,
        max_minutes=options.max_minutes,
        tensorboard=options.tensorboard,
        threads=threads,
    )
    if first:
        report_run(done, options.out, options.json)
    return status_of(done)


def _derived(config, preset, typed):
    r"""Lines on what pictures and size decided, where the preset has it otherwise."""
    unet, lines = config.unet, []
    if unet.channels != preset.unet.channels and "channels" not in typed:
        what = "pictures" if unet.dimensions == 2 else "series"
        lines.append(f"channels  {unet.channels}, as the {what} have (--channels)")
    if unet.attention != preset.unet.attention and "attention" not in typed:
        here, there = (", ".join(map(str, u.attention)) for u in (unet, preset.unet))
        where = "height" if unet.dimensions == 2 else "length"
        words = f"at {where} {here}, where the preset has {there} (--attention)"
        lines.append(f"attention {words}")
    if config.sample_steps != preset.sample_steps and "sample-steps" not in typed:
        lines.append(f"grids     of {config.sample_steps} steps, for T is no larger")
    return lines
