r"""What commands share: where to compute, how to draw, how to open a model, last words."""

import json
import math
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from ..formats.checkpoint import load_run
from ..formats.diffusers import open_model
from ..sampling.solvers import start_of
from ..schedule import Schedule
from ..training import experiment
from ..training.device import choose_device, choose_precision, describe
from ..training.presets import RunConfig


@dataclass(frozen=True)
class Machine:
    r"""Where to compute."""

    device: str = "auto"  # auto, cpu, cuda, cuda:1 or mps
    threads: int | None = None  # a fixed number; else as many as cores are free


@dataclass(frozen=True)
class Drawing:
    r"""How to draw."""

    sampler: str = "ddim"  # ancestral, ddim, heun, dpmpp_2m or dpmpp_2m_sde
    steps: int | None = None  # all T for ancestral, 50 for ddim, 25 for the others
    spacing: str = "trailing"  # or leading, linspace, quadratic, log_snr
    eta: float = 0.0  # share of fresh noise of ddim, in [0, 1]
    variance: str | None = None  # of ancestral: small or large
    seed: int = 0  # picture i depends on (seed, i) alone
    batch: int = 256  # pictures at a time
    precision: str = "auto"  # of the network: auto, float32, bfloat16 or float16

    def with_steps(self, schedule):
        r"""The same with a number of steps, where none is given, for a schedule."""
        if self.steps is not None:
            return self
        few = {"ancestral": schedule.T, "ddim": 50}.get(self.sampler, 25)
        return replace(self, steps=min(few, start_of(self.sampler, schedule)))


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


def find_model(name, step=None):
    r"""Load a run, weight file, shipped model or folder of diffusers: a Pretrained.

    step: of which checkpoint of a run, the newest if None. Raises as `open_model`.
    """
    return open_model(name) if step is None else load_run(name, step)


def open_pictures(name, step=None, device="auto"):
    r"""Load a PictureModel onto a device; name and step as in `find_model`.

    Raises ValueError for a model of points, else as `find_model`.
    """
    found = find_model(name, step)
    if "unet" not in found.config:
        raise ValueError(
            f"{name} is a {type(found.model).__name__} for points, not a model of pictures"
        )
    config = RunConfig.from_dict({"train": {}} | found.config)  # an import says no train
    model = found.model.to(choose_device(device))
    return PictureModel(model, found.schedule, config, found.config)


def draw(found, drawing, num, threads, *, label=None, counts=None, progress=True):
    r"""Draw pictures of a PictureModel: (num, C, H, W), on the CPU.

    drawing: a Drawing. threads: a Threads that follows the load. label: the class of all
    of them; if None, the mix of counts, as in `labels_for`, or in turn. Raises ValueError
    for a class that there is not.
    """
    y, classes = (
        experiment.labels_for(found.config, num, counts),
        found.config.unet.classes,
    )
    if label is not None:
        if y is None:
            raise ValueError("this model has no classes: leave out --label")
        if not 0 <= label < classes:
            raise ValueError(f"--label must lie in 0..{classes - 1}")
        y = torch.full((num,), label)
    chain = asdict(drawing) | dict(y=y, threads=threads, progress=progress)
    return experiment.draw(found.model, found.schedule, found.config, num, **chain)


def describe_device(found, drawing):
    r"""The device of a PictureModel and the precision of its network, in words."""
    device = next(found.model.parameters()).device
    return describe(device, choose_precision(device, drawing.precision, found.model))


def new_file(name):
    r"""The path of a file that can be written, and is not there yet.

    Raises FileExistsError where it is, FileNotFoundError or PermissionError where its
    folder is not there or takes none.
    """
    path = Path(name)
    if path.exists():
        raise FileExistsError(f"{path} is there already: name another file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}: make it first")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"the folder {path.parent} cannot be written to")
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
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is not empty: name another folder with --out")
    return folder


def report_run(done, run, as_json):
    r"""Print how training ended and what may be done next.

    done: what `experiment.train` returns. run: its folder. as_json: for a program.
    """
    if as_json:
        print(json.dumps(done | {"run": run}))
        return
    print(
        f"step {done['step']:,} after {done['seconds']:.0f} s, "
        f"{done['examples_per_second']:,.0f} pictures/s"
    )
    if done["finished"]:
        print(
            f"pictures: {run}/samples, also nearest.png, samples beside their nearest "
            f"training pictures\nnext: ddpm-lite sample {run}, ddpm-lite evaluate {run}, "
            f"ddpm-lite curves {run}"
        )
    else:
        print(f"go on with: ddpm-lite resume {run}")
