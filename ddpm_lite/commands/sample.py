r"""The command `sample`: a model becomes pictures, in a folder or in one file."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tyro.conf import Positional

from .. import figure
from ..checks import check_given, check_integer
from ..data.series import in_units
from ..models.unet import UNet
from ..sampling.solvers import network_calls
from ..training.device import autocast, choose_device, choose_precision
from ..training.one_dimension import is_series, save_drawn
from ..training.threads import following
from .shared import (
    MODEL,
    MOST,
    Drawing,
    Machine,
    as_pictures,
    check_place,
    check_some,
    describe_device,
    draw,
    find_model,
    free,
    new_folder,
    scale_of,
)


@dataclass(frozen=True)
class Options:
    r"""Draw pictures with the EMA of a run, a weight file or a model that is shipped."""

    run: Positional[str]  # run folder, weight file or name, such as digits
    drawing: Drawing = field(default_factory=Drawing)
    machine: Machine = field(default_factory=Machine)
    num: int = 64  # how many
    label: int | None = None  # one class for all; else classes in turn
    # a new folder for grid.png and 00000.png ...; a file x.png for the grid alone; or x.npy
    # for an array, float32 (num, C, H, W) with black -1 and white 1, (num, C, L) of series
    # in units of their data, or (num, 2) of a model of points. If not given, samples_NAME,
    # then samples_NAME_2 ...
    out: str = ""
    step: int | None = None  # of which checkpoint; the newest if not given
    json: bool = False  # print the outcome as JSON

    def __post_init__(self):
        check_given(MODEL, self.run)
        check_integer("--num", self.num, 1, MOST)
        check_some("--step", self.step, 0)
        check_some("--label", self.label, 0)


def run(options, threads):
    r"""Draw, and write what --out names. threads: a Threads, not begun."""
    kind, path = place(options.out, named(options.run))
    check_place(path.parent)
    threads.begin(options.machine.threads)
    found = find_model(options.run, options.step)
    if not isinstance(found.model, UNet):
        return _points(options, found, threads)
    found = as_pictures(found, options.run, options.machine.device)
    channels = found.config.network.channels
    series, scale = is_series(found.config.network), scale_of(found)
    if kind != "array" and channels not in (1, 3) and not series:
        raise ValueError(
            f"pictures of {channels} channels cannot be a PNG: write --out x.npy"
        )
    drawing = options.drawing.with_steps(found.schedule)
    drawing.guided(found.model)  # what cannot be guided is refused before all else
    shown = dict(label=options.label, progress=not options.json)
    pictures = in_units(draw(found, drawing, options.num, threads, **shown), scale)
    what = "series" if series else "pictures"
    outcome = {
        kind if kind == "array" else "grid": str(write(pictures, kind, path)),
        what: options.num,
        "steps": drawing.steps,
        "calls": network_calls(drawing.sampler, drawing.steps),
        "seed": drawing.seed,
        "device": describe_device(found, drawing),
    }
    if drawing.guidance != 1:
        outcome["guidance"] = drawing.guidance
    if options.json:
        print(json.dumps(outcome))
        return
    how = f"{{{what}}} {what} in "
    how += "{steps} steps, {calls} network calls, on {device}"
    if "guidance" in outcome:
        how = how.replace(" calls", " calls (guidance {guidance:g}: of twice the batch)")
    where = outcome.get("array") or outcome["grid"]
    more = ", and series.npy beside it" if series else ", and single ones beside it"
    beside = more if kind == "folder" else ""
    print(f"{how.format(**outcome)}: {where}{beside}")


def _points(options, found, threads):
    r"""Draw points, which have no picture: an array (num, dim) in one file."""
    if options.label is not None:
        raise ValueError("this model has no classes: leave out --label")
    drawing = options.drawing.with_steps(found.schedule)
    model = found.model.to(choose_device(options.machine.device))
    drawing.guided(model)  # which points have none of
    out = options.out or str(free(f"samples_{named(options.run)}", ".npy"))
    kind, path = place(out, "")
    if kind != "array":
        raise ValueError(f"{options.run} is a model of points: write --out x.npy")
    how = drawing.chain() | dict(seed=drawing.seed, batch=drawing.batch)
    device = next(model.parameters()).device
    precision = choose_precision(device, drawing.precision, model)
    with autocast(device, precision), following(threads, model):
        points = found.sample(options.num, progress=not options.json, **how)
    outcome = {"array": str(write(points.cpu(), kind, path)), "points": options.num}
    outcome |= {"steps": drawing.steps, "seed": drawing.seed}
    outcome["calls"] = network_calls(drawing.sampler, drawing.steps)
    words = "{points} points in {steps} steps, {calls} network calls: {array}"
    print(json.dumps(outcome) if options.json else words.format(**outcome))


def named(run):
    r"""The name of a run, weight file or shipped model, for what is made of it."""
    path = Path(run).resolve()
    return path.stem if path.is_file() else path.name


def place(out, name):
    r"""What --out names: ("folder", "grid" or "array", a path that is free).

    out: as given, "" for a folder called after the name of the model. Raises
    FileExistsError where something is, FileNotFoundError for a file in no folder, and
    ValueError for a file of another kind.
    """
    path = Path(out)
    ending, is_folder = path.suffix.lower(), out.endswith(("/", os.sep))
    if ending in (".npy", ".png") and not is_folder:
        if path.exists():
            raise FileExistsError(f"{path} already exists: name another file with --out")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"no folder {path.parent} for {path.name}: make it")
        return "array" if ending == ".npy" else "grid", path
    if any(c.isalpha() for c in ending) and not is_folder and not path.is_dir():
        raise ValueError(
            f"--out takes a folder, or a file that ends in .npy or .png, got {path}; if "
            f"that is to be a folder, say {path}/"
        )
    return "folder", new_folder(out) if out else free(f"samples_{name}")


def write(pictures, kind, path):
    r"""Write pictures (N, C, H, W), or series (N, C, L), to what `place` gave.

    Returns the path to look at.
    """
    if kind == "array":
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            np.save(file, pictures.numpy())
        return path
    if pictures.dim() == 3:  # series
        if kind == "folder":
            write(pictures, "array", path / "series.npy")
        return save_drawn(pictures, path / "grid.png" if kind == "folder" else path, 8)
    columns = 8 if len(pictures) < 100 else 16
    if kind == "grid":
        return figure.save_pictures(pictures, path, columns)
    for i, picture in enumerate(pictures):
        figure.save_pictures(picture[None], path / f"{i:05d}.png", 1, least=1)
    return figure.save_pictures(pictures, path / "grid.png", columns)
