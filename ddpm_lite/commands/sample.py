r"""The command `sample`: a model becomes pictures, in a folder or in one file."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tyro.conf import Positional

from .. import figure
from ..checks import check_given, check_integer
from ..sampling.solvers import network_calls
from .shared import (
    MODEL,
    MOST,
    Drawing,
    Machine,
    check_place,
    check_some,
    describe_device,
    draw,
    free_folder,
    new_folder,
    open_pictures,
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
    # for an array, float32 (num, C, H, W) with black -1 and white 1. If not given, a folder
    # samples_NAME, then samples_NAME_2 ...
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
    kind, path = place(options.out, options.run)
    check_place(path.parent)
    threads.begin(options.machine.threads)
    found = open_pictures(options.run, options.step, options.machine.device)
    channels = found.config.unet.channels
    if kind != "array" and channels not in (1, 3):
        raise ValueError(
            f"pictures of {channels} channels cannot be a PNG: write --out x.npy"
        )
    drawing = options.drawing.with_steps(found.schedule)
    shown = dict(label=options.label, progress=not options.json)
    pictures = draw(found, drawing, options.num, threads, **shown)
    outcome = {
        kind if kind == "array" else "grid": str(write(pictures, kind, path)),
        "pictures": options.num,
        "steps": drawing.steps,
        "calls": network_calls(drawing.sampler, drawing.steps),
        "seed": drawing.seed,
        "device": describe_device(found, drawing),
    }
    if options.json:
        print(json.dumps(outcome))
        return
    how = "{pictures} pictures in {steps} steps, {calls} network calls, on {device}"
    where = outcome.get("array") or outcome["grid"]
    beside = ", and single ones beside it" if kind == "folder" else ""
    print(f"{how.format(**outcome)}: {where}{beside}")


def place(out, run):
    r"""What --out names: ("folder", "grid" or "array", a path that is free).

    out: as given, "" for a folder named after the run. Raises
    FileExistsError where something is, FileNotFoundError for a file in no folder, and
    ValueError for a file of another kind.
    """
    path = Path(out)
    ending, is_folder = path.suffix.lower(), out.endswith(("/", os.sep))
    if ending in (".npy", ".png") and not is_folder:
        if path.exists():
            raise FileExistsError(f"{path} is there: name another file with --out")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"no folder {path.parent} for {path.name}: make it")
        return "array" if ending == ".npy" else "grid", path
    if any(c.isalpha() for c in ending) and not is_folder and not path.is_dir():
        raise ValueError(
            f"--out takes a folder, or a file that ends in .npy or .png, got {path}; if "
            f"that is to be a folder, say {path}/"
        )
    if out:
        folder = new_folder(out)
    else:
        named = Path(run).resolve()
        name = named.stem if named.is_file() else named.name
        folder = free_folder(f"samples_{name}")
    return "folder", folder


def write(pictures, kind, path):
    r"""Write pictures (N, C, H, W) to what `place` gave. Returns the path to look at."""
    if kind == "array":
        with path.open("xb") as file:
            np.save(file, pictures.numpy())
        return path
    columns = 8 if len(pictures) < 100 else 16
    if kind == "grid":
        return figure.save_pictures(pictures, path, columns)
    for i, picture in enumerate(pictures):
        figure.save_pictures(picture[None], path / f"{i:05d}.png", 1, least=1)
    return figure.save_pictures(pictures, path / "grid.png", columns)
