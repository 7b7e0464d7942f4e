r"""What commands share: where to compute, how to draw, how to open a model, last words."""

import json
import math
import os
import re
import shlex
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..checks import check_integer, check_number
from ..formats.checkpoint import load_run, read_json
from ..formats.chosen import NAMES, chain_of, choice_of, in_words
from ..formats.diffusers import open_model
from ..formats.networks import is_built_in
from ..formats.weights import pretrained_names
from ..sampling.asked import check_sampler
from ..sampling.guidance import guided
from ..sampling.solvers import start_of
from ..sampling.spacing import check_spacing, timestep_pairs
from ..schedule import Schedule
from ..training import experiment
from ..training.device import choose_device, choose_precision, describe
from ..training.own import OwnNetwork
from ..training.presets import RUNS, RunConfig
from ..training.resuming import check_network, refuse_what_lay_in_memory, settings_of

MODEL = "a run's folder, a weight file or a model that is shipped"
MOST = 1_000_000  # pictures at once: more is a slip, or does not fit into the memory


def check_some(name, value, low, high=None):
    r"""Return None, or an integer as `check_integer`."""
    return None if value is None else check_integer(name, value, low, high)


def check_minutes(minutes, name="--max-minutes"):
    r"""Refuse a number of minutes that is none above 0, with ValueError."""
    if minutes is not None and not 0 < minutes < math.inf:
        raise ValueError(f"{name} must be above 0, got {minutes:g}")


@dataclass(frozen=True)
class Machine:
    r"""Where to compute."""

    device: str = "auto"  # auto, cpu, cuda, cuda:1 or mps
    threads: int | None = None  # a fixed number; else as many as cores are free

    def __post_init__(self):
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", self.device, re.ASCII):
            raise ValueError(
                f"device {self.device!r} cannot be used: --device must be auto, cpu, cuda, "
                "cuda:1 or mps"
            )
        check_some("--threads", self.threads, 1)


@dataclass(frozen=True)
class Drawing:
    r"""How to draw: as stored with the model, where these do not say otherwise.

    Another sampler than the stored one leaves all that is stored aside.
    """

    # ancestral, ddim, heun, dpmpp_2m or dpmpp_2m_sde; if not given the one that is stored
    # with the model, or ddim where none is
    sampler: str | None = None
    # as stored, if the sampler is; else all T for ancestral, 50 for ddim, 25 for the others
    steps: int | None = None
    # leading, linspace, quadratic, log_snr or trailing; as stored, else trailing
    spacing: str | None = None
    eta: float | None = None  # for ddim: share of fresh noise in [0, 1]; 0 if not given
    variance: str | None = None  # for ancestral: small or large
    # scale of guidance to the class; 1 is none, 0 leaves the class out, below 0 leads away;
    # as stored, else 1
    guidance: float | None = None
    # first and last t that are guided, such as 200 800; all if not given
    guidance_interval: tuple[int, int] | None = None
    seed: int = 0  # picture i depends on (seed, i) alone
    batch: int = 256  # pictures at a time
    precision: str = "auto"  # of the network: auto, float32, bfloat16 or float16

    def __post_init__(self):
        check_some("--steps", self.steps, 1)
        check_integer("--seed", self.seed, 0)
        check_integer("--batch", self.batch, 1, MOST)
        if self.guidance is not None:
            check_number("--guidance", self.guidance)
        if self.guidance_interval is not None and self.guidance == 1:
            raise ValueError("--guidance-interval is for --guidance, which 1 switches off")

    def chain(self):
        r"""What `sample` takes of these, {name: value}."""
        return {name: getattr(self, name) for name in NAMES if name != "guidance"}

    def guided(self, model):
        r"""The model, with guidance if asked; raise ValueError where it has no classes."""
        if self.guidance == 1:
            return model
        if not getattr(model, "classes", None):
            raise ValueError("this model has no classes: leave out --guidance")
        interval = self.guidance_interval
        T = getattr(model, "T", None) or max(interval or (1,))  # one that knows every T
        if interval is not None and not 1 <= interval[0] <= interval[1] <= T:
            raise ValueError(
                f"--guidance-interval must be two steps in 1..{T}, the lower one "
                f"first, got {interval[0]} {interval[1]}"
            )
        return guided(model, self.guidance, interval=interval)

    def check_no_class(self, stored, name):
        r"""Refuse guidance of a network that never saw "no class", with ValueError.

        stored: what stands beside its weights. Of an import, and of what began with other
        weights, this is not known, and it is let through. name: of the model.
        """
        train = stored.get("train") or {}
        known = not stored.get("init") and "drop_label" in train
        if self.guidance != 1 and known and not train["drop_label"]:
            raise ValueError(
                f'{name} was trained with --drop-label 0 and knows no "no class", with '
                "which guidance compares: leave out --guidance, or train with --drop-label "
                "0.1"
            )

    def with_steps(self, schedule, stored=()):
        r"""The same with a sampler, its steps and a scale of guidance, for a schedule.

        stored: the model's drawn_with, if it has one: see `chain_of`. Raises ValueError for
        what the sampler does not use, before anything is drawn.
        """
        given = {name: getattr(self, name) for name in NAMES}
        chain = {"sampler": "ddim"} | chain_of(given, dict(stored), schedule)
        sampler, spacing = chain["sampler"], chain.get("spacing")
        check_sampler(sampler, chain.get("variance"), chain.get("eta"))
        start = start_of(sampler, schedule)
        few = {"ancestral": schedule.T, "ddim": 50}.get(sampler, 25)
        steps = chain.get("steps", min(few, start))
        check_spacing(steps, spacing, None, start)
        timestep_pairs(start, steps, spacing or "trailing", schedule=schedule)
        return replace(self, **{"guidance": 1.0} | chain | {"steps": steps})

    def choice(self, stored):
        r"""Whose choice the chain is: (a word for programs, part of a sentence).

        Of the Drawing that was asked for, before `with_steps`. stored: as there.
        """
        return choice_of({name: getattr(self, name) for name in NAMES}, dict(stored))

    def in_words(self):
        r"""The chain in words, as "50 steps of ddim"; of what `with_steps` gave."""
        return in_words(self.chain())


@dataclass(frozen=True)
class PictureModel:
    r"""A network that draws pictures, in eval mode and on its device, with its schedule.

    config: the settings of its run, those of a plain one where nobody has said them.
    stored: all that stands beside its weights.
    """

    model: torch.nn.Module
    schedule: Schedule
    config: RunConfig
    stored: dict

    @property
    def drawn_with(self):
        r"""The chain that is stored with it; {} if none."""
        return self.stored.get("drawn_with", {})


def check_step(step):
    r"""Refuse a --step that is neither a step nor "best", with ValueError."""
    if isinstance(step, str) and step != "best":
        raise ValueError(f"--step must be a whole number or best, got {step!r}")
    return step if isinstance(step, str) else check_some("--step", step, 0)


def find_model(name, step=None, weights="ema", network=""):
    r"""Load a run, weight file, shipped model or folder of diffusers: a Pretrained.

    step: of which checkpoint of a run, the newest if None. weights: as in `load_run`.
    network: "module:Class" of a network of one's own. Raises as `open_model`, and
    ValueError for raw weights of what is not a run.
    """
    if name in RUNS and name not in pretrained_names() and not Path(name).exists():
        raise ValueError(
            f"{name} is a preset, which has no weights: train it first, ddpm-lite train "
            f"{name} --data ..., and name the run's folder"
        )
    if weights == "raw" and not (Path(name) / "config.json").is_file():
        raise ValueError(
            f"raw weights are in the folder of a run, and {name} is not one: leave out "
            "--weights"
        )
    if network and name in pretrained_names() and not Path(name).exists():
        raise ValueError(f"{name} comes with its own network: leave out --network")
    network = network or None
    if step is None and weights == "ema":
        return open_model(name, network)
    return load_run(name, step, weights=weights, network=network)


def open_pictures(name, step=None, device="auto", weights="ema", network=""):
    r"""Load a PictureModel onto a device; all but device as in `find_model`.

    Raises ValueError for a model of points, else as `find_model`.
    """
    return as_pictures(find_model(name, step, weights, network), name, device)


def as_pictures(found, name, device="auto"):
    r"""A Pretrained of that name as a PictureModel on a device, as `open_pictures`."""
    own = not is_built_in(found.model)
    if len(found.sample_shape or ()) not in (2, 3):
        if own and found.sample_shape is None:
            raise ValueError(
                f"{name} does not say what shape its pictures have: let its network have "
                "an attribute sample_shape, such as (1, 28, 28)"
            )
        load = "load_pretrained" if name in pretrained_names() else "load_run"
        raise ValueError(
            f"{name} is an {type(found.model).__name__} for points, not a model of "
            f"pictures: draw from it in Python, {load}({str(name)!r}).sample(1000)"
        )
    where = Path(name) / "config.json" if Path(name).is_dir() else name
    # an import says no train, and Python's `fit` once said nothing else
    stored = {"unet": found.model.config} if not own else {}
    if own:
        about = OwnNetwork.of(found.model, found.sample_shape, found.schedule.T)
        stored["own"] = about.as_dict()
    stored |= found.config
    known = {"train": {}, "sample_steps": min(25, found.schedule.T)}
    config = RunConfig.from_dict(known | stored, where)
    check_network(config, found.model, where)
    config = config.with_network(type(found.model))
    model = found.model.to(choose_device(device))
    return PictureModel(model, found.schedule, config, stored)


def draw(found, drawing, num, threads, *, label=None, counts=None, progress=True):
    r"""Draw pictures of a PictureModel: (num, C, H, W), on the CPU.

    drawing: a Drawing. threads: a Threads that follows the load. label: the class of all
    of them; if None, the mix of counts, as in `labels_for`, or in turn. Raises ValueError
    for a class that there is not.
    """
    drawing = drawing.with_steps(found.schedule, found.drawn_with)  # twice is as once
    y, classes = (
        experiment.labels_for(found.config, num, counts),
        found.config.network.classes,
    )
    if label is not None:
        if y is None:
            raise ValueError("this model has no classes: leave out --label")
        if not 0 <= label < classes:
            raise ValueError(f"--label must lie in 0..{classes - 1}")
        y = torch.full((num,), label)
    how = dict(seed=drawing.seed, batch=drawing.batch, precision=drawing.precision)
    how |= drawing.chain() | dict(y=y, threads=threads, progress=progress)
    model = drawing.guided(found.model)
    return experiment.draw(model, found.schedule, found.config, num, **how)


def scale_of(found):
    r"""The scale of a PictureModel's series, see `data.series`; None of pictures."""
    return (found.stored.get("described") or {}).get("scale")


def describe_device(found, drawing):
    r"""The device of a PictureModel and the precision of its network, in words."""
    device = next(found.model.parameters()).device
    return describe(device, choose_precision(device, drawing.precision, found.model))


def check_place(path, file=False):
    r"""Refuse a path where nothing can be written, before work is done for it.

    file: it is to be a file, else a folder. Raises OSError that says why.
    """
    path = Path(path).absolute()
    if file and path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file with --out")
    above = next(p for p in (path, *path.parents) if os.path.lexists(p))
    if above != path and not above.is_dir():
        raise NotADirectoryError(f"{above} is not a folder: name another path with --out")
    if not os.access(above, os.W_OK):
        raise PermissionError(f"{above} cannot be written: name another path with --out")
    return path


def new_file(name):
    r"""The path of a file that can be written, and is not there yet.

    Raises FileExistsError where it is, and OSError where its folder is not there or takes
    none.
    """
    path = check_place(name, file=True)
    if path.exists():
        raise FileExistsError(f"{path} already exists: name another file with --out")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}: make it first")
    return path


def as_json(values, indent=1):
    r"""Values as strict JSON: a number that is not finite becomes null."""
    return json.dumps(_finite(values), indent=indent, allow_nan=False)


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def new_folder(name):
    r"""The path of a folder to write into. Raises FileExistsError where something is."""
    folder = Path(name)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file: name another folder with --out")
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: name another folder with --out")
    check_place(folder)
    return folder


def free(name, ending=""):
    r"""A path that is not in use, or an empty folder: name + ending, name_2 + ending ..."""
    number, path = 1, Path(name + ending)
    while path.exists() and (not path.is_dir() or any(path.iterdir())):
        number += 1
        path = Path(f"{name}_{number}{ending}")
    return path


def report_run(done, run, as_json, network="", of="pictures"):
    r"""Print how training ended and what may be done next.

    done: what `experiment.train` returns. run: its folder. as_json: for a program. network:
    as --network was given. of: what was trained on, "pictures" or "series".
    """
    if as_json:
        print(json.dumps(done | {"run": run}))
        return
    name = plain = shlex.quote(str(run))  # what is advised can be pasted
    if network:
        name = f"{name} --network {shlex.quote(network)}"
    if done["finished"] and not done["updates"]:
        longer = _only_in_python(run)
        longer = (
            f". {longer}"
            if longer
            else (f"; train longer with ddpm-lite resume {name} --steps {2 * done['step']}")
        )
        print(f"{run} is finished: it has made all its {done['step']:,} steps{longer}")
        return
    print(
        f"step {done['step']:,} after {done['seconds']:.0f} s, "
        f"{done['examples_per_second']:,.0f} {of}/s"
    )
    if done["finished"]:
        print(
            f"samples: {run}/samples, also nearest.png, samples beside their nearest "
            f"training {of}\nnext: ddpm-lite sample {name}, ddpm-lite evaluate {name}, "
            f"ddpm-lite curves {plain}"
        )
    else:
        print(f"go on with: ddpm-lite resume {name}")


def _only_in_python(run):
    r"""Why no command trains a run longer, in words; "" where `resume` does."""
    about = read_json(Path(run) / "config.json")
    try:
        config = settings_of(run, about, run)
        refuse_what_lay_in_memory(run, about, config)
    except ValueError as error:
        return str(error)
    return ""


def status_of(done):
    r"""The exit status of training: 0, or what is usual after the signal that stopped it.

    done: as in `report_run`. 130 after Ctrl-C: `train && evaluate` then goes no further.
    """
    asked = done["stopped_by"]
    return 128 + signal.Signals[asked] if asked and not done["finished"] else 0
