r"""The command `train`: settings and a folder of pictures become a run."""

import json
import shlex
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from ..checks import check_given
from ..data.survey import Survey, survey, survey_of_series
from ..formats.diffusers import open_model
from ..training import experiment, together
from ..training.boards import check_boards
from ..training.choose import UNET, agreed, choose, clock_of, fit_steps, open_to_all
from ..training.device import choose_device, keep_memory
from ..training.one_dimension import called, is_series, preset_of
from ..training.own import own_network
from ..training.plan import attention_at, check_out, on_data
from ..training.presets import RUNS, RunConfig
from ..training.starting import chain_of_run, channels_of, like, same_levels, told
from ..training.trainer import processes
from . import parsing
from .shared import Machine, check_minutes, report_run, status_of


@dataclass(frozen=True)
class Options:
    r"""Train on pictures: ddpm-lite train [PRESET] --data FOLDER [options].

    --minutes 20 chooses size, network and training for your pictures, so that it takes
    about so long here, and says what it chose. Or start from a preset: on a laptop digits
    takes minutes, fashion an hour or so, mnist and clothes up to three, small-32 a day or
    more; the others are made for GPUs. Any preset trains on any pictures: --dry-run tells
    how long that takes here.
    """

    run: RunConfig = field(default_factory=RunConfig)
    machine: Machine = field(default_factory=Machine)
    out: str = ""  # the run's folder; runs/PRESET if not given
    network: str = ""  # module:Class of a network of your own, such as mynet:Net
    settings: tuple[str, ...] = ()  # what that class is called with, such as width=64
    # choose what can be trained in so long: the network too where no preset is named, else
    # the number of steps alone
    minutes: float | None = None
    # stop after so long, whatever was planned, with a checkpoint: resume goes on
    max_minutes: float | None = None
    dry_run: bool = False  # print settings and estimate, and write nothing
    tensorboard: bool = False  # also write what TensorBoard reads
    wandb: str = ""  # also show it in this project of Weights & Biases
    json: bool = False  # print the outcome as JSON

    def __post_init__(self):
        check_minutes(self.minutes, "--minutes")
        check_minutes(self.max_minutes)


@dataclass(frozen=True)
class Request(Options):
    r"""Options with the preset that they started from and the names that were typed."""

    preset: str = "small-32"
    named: bool = False  # whether the preset was
    typed: frozenset = frozenset()
    why: str = ""  # why this preset, where none was named

    @property
    def fields(self):
        r"""Names of the settings that were typed."""
        return {name.removeprefix("no-").replace("-", "_") for name in self.typed}


def parse(arguments):
    r"""The options, which start from the preset that the first argument may name."""
    preset, rest = "small-32", arguments
    named, why = bool(arguments) and not arguments[0].startswith("-"), ""
    if named:
        preset, *rest = arguments
    else:
        found, why = preset_of(parsing.value_of("--data", rest))
        preset = found or preset
    if preset not in RUNS:
        raise parsing.Misunderstood(
            f"there is no preset {preset!r}{parsing.nearest(preset, RUNS)} For pictures: "
            f"ddpm-lite train --data {shlex.quote(preset)}"
        )
    words = [word.partition("=")[0] for word in rest if word.startswith("--")]
    typed = frozenset(word[2:].replace("_", "-") for word in words)
    init = "" if "network" in typed else parsing.value_of("--init", rest)
    start = run = _start(RUNS[preset], named, typed, init)
    if "network" in typed:  # a size need not suit the U-Net
        start = run = replace(run, unet=replace(run.unet, multipliers=(1,), attention=()))
    moves = typed & {"size", "multipliers"} and "attention" not in typed
    if moves:  # the preset's resolutions may not be there
        start = replace(run, unet=replace(run.unet, attention=()))
    shorter = "T" in typed and "sample-steps" not in typed
    if shorter:  # the preset's steps may be more than T
        start = replace(start, sample_steps=1)
    start, chain = replace(start, drawn_with={}), run.drawn_with  # which is no option
    default = Options(run=start, out=f"runs/{preset}")
    about = (
        f"{Options.__doc__.strip()} PRESET is one of {', '.join(RUNS)}; small-32 if none "
    )
    about += "is given."
    options = parsing.parse(
        Options, f"train {preset}" if named else "train", rest, default, about
    )
    if moves:
        unet, before = options.run.unet, run.unet
        if start.init and len(unet.multipliers) == len(before.multipliers):
            heights = same_levels(before, unet)
        else:
            heights = attention_at(before.attention, unet)
        unet = replace(unet, attention=heights)
        options = replace(options, run=replace(options.run, unet=unet))
    if shorter:
        steps = min(run.sample_steps, options.run.unet.T)
        options = replace(options, run=replace(options.run, sample_steps=steps))
    options = replace(options, run=replace(options.run, drawn_with=chain))
    if options.minutes and "steps" in typed:
        raise ValueError(
            "--minutes chooses the number of steps: leave --steps out, or take "
            "--max-minutes, which stops after so long whatever was planned"
        )
    if options.minutes and options.network:
        raise ValueError(
            "--minutes chooses a U-Net and times it: with --network give --steps, or "
            "--max-minutes, which stops after so long"
        )
    if not named and "out" not in typed:
        options = replace(options, out=_out(options))
    return Request(**vars(options), preset=preset, named=named, typed=typed, why=why)


def _start(preset, named, typed, init):
    r"""The RunConfig whose values hold where nothing is typed."""
    if init:  # who starts from weights wants their network
        run = like(replace(preset, init=init))
    elif "minutes" in typed and not named and not is_series(preset.network):
        run = open_to_all(preset)
    else:
        return preset
    return run if named else replace(run, train=replace(run.train, flip=False))


def _out(options):
    r"""The folder of a run that no preset gives a name."""
    if options.run.init:
        return f"runs/from-{Path(options.run.init).resolve().stem}"
    if options.minutes and options.run.data:
        return f"runs/{Path(options.run.data).expanduser().resolve().stem}"
    return options.out


def run(options, threads):
    r"""Train, or print what would be trained. options: a Request. threads: not begun."""
    threads.begin(options.machine.threads)
    check_given("a new folder behind --out", options.out)
    keep_memory()
    device = together.join()
    device = options.machine.device if options.machine.device != "auto" else device
    if options.run.data and not options.dry_run:
        check_out(options.out)
    if options.tensorboard and find_spec("tensorboard") is None:
        raise ModuleNotFoundError("tensorboard is not installed: pip install tensorboard")
    check_boards(wandb=options.wandb)
    preset = RUNS[options.preset]
    config, follow, said = on_data(options.run, preset, options.typed)
    if options.settings and not options.network:
        raise ValueError("--settings are for a network of your own: give --network too")
    if options.network:
        own = own_network(options.network, options.settings, config, options.typed)
        config = replace(config, own=own, sample_steps=min(config.sample_steps, own.T))
    config, drawing = _to_be_drawn(config, options)
    chosen = []
    if options.minutes and config.data:
        config, chosen = _chosen(config, options, device)
    check = channels_of(config) if config.init and not config.own else None
    prepared = experiment.prepare(
        config, device, follow=follow, dry=options.dry_run, check=check
    )
    if "drop-label" in options.typed and config.train.drop_label > 0:
        if not prepared.config.network.classes:
            raise ValueError(
                "--drop-label replaces labels, and there are none: leave it out"
            )
    first = processes()[0] == 0
    if not options.json:  # all processes time a step, as they all train at once
        lines = [options.why] * bool(options.why)
        lines.append(experiment.summary(prepared, threads))
        lines += said if prepared.described["held_out"] else []  # else it says so itself
        if config.init and not config.own:
            names = prepared.pictures.classes if prepared.config.network.classes else ()
            lines += told(prepared.config, names)
        elif options.minutes is None or options.named or is_series(config.network):
            lines += _derived(prepared, preset, options.typed)
        lines += chosen or _instead(prepared, options)
        lines += drawing
        if prepared.config.drawn_with != config.drawn_with:
            lines.append("          without guidance, for which classes must be learned")
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
        wandb=options.wandb,
        threads=threads,
    )
    if first:
        of = called(prepared.config.network)
        report_run(done, options.out, options.json, options.network, of)
    return status_of(done)


def _to_be_drawn(config, options):
    r"""The RunConfig with the chain of what it starts from, and lines on it."""
    if not config.init:
        name = f"the preset {options.preset}"
        return chain_of_run(config, RUNS[options.preset], name)
    chain = config.drawn_with  # see `like`
    if config.own is not None:
        chain = open_model(config.init, config.own.network).drawn_with
    return chain_of_run(config, replace(config, drawn_with=chain), config.init)


def _chosen(config, options, device):
    r"""The RunConfig that fits --minutes, and lines on it; the same in all processes."""
    series = is_series(config.network)
    how = dict(split=config.split, labels=config.labels, folders=config.folders)
    found = survey_of_series(config.data) if series else survey(config.data, **how)
    find = fit_steps if options.named or config.init or series else choose
    seconds, clock = 60 * options.minutes, clock_of(choose_device(device))
    config, lines = agreed(find(config, options.fields, seconds, found, clock))
    first = (
        f"chosen    for {options.minutes:g} minutes, of which a tenth is for samples and"
    )
    return config, [f"{first} all else:", *lines]


def _instead(prepared, options):
    r"""A line on what --minutes would choose, where nobody has chosen the network.

    That is on a CPU: the network which is taken where none is named needs a day there.
    """
    mine = UNET | {"steps"}
    if options.named or options.run.init or options.fields & mine:
        return []
    on_cpu, series = prepared.device.type == "cpu", is_series(prepared.config.network)
    if series or prepared.config.own or not on_cpu:
        return []
    config = replace(prepared.config, hold_out=0, held_out_split="")
    C, H, W = prepared.pictures.shape
    found, clock = Survey(len(prepared.pictures), H, W, True, C), clock_of(prepared.device)
    try:
        small, _ = choose(open_to_all(config), options.fields, 20 * 60, found, clock)
    except ValueError:  # 20 minutes are too short
        return []
    return [
        f"          --minutes 20 would choose width {small.unet.width}, and "
        f"{small.train.steps:,} steps of {small.train.batch_size} pictures"
    ]


def _derived(prepared, preset, typed):
    r"""Lines on what pictures and size decided, where the preset has it otherwise."""
    config = prepared.config
    if config.own is not None:
        classes = prepared.pictures.classes if config.labels else ()
        told = f"labels    are not learned: {config.own.name} has no classes"
        return [told] * bool(classes and not config.own.classes)
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
