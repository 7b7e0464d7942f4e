r"""The command `sample`: a model becomes pictures in a folder."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from tyro.conf import Positional

from .. import figure
from ..checks import check_given, check_integer
from ..sampling.solvers import network_calls
from .shared import (
    MODEL,
    MOST,
    Drawing,
    Machine,
    check_some,
    describe_device,
    draw,
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
    out: str = ""  # folder for grid.png and 00000.png ...; samples_NAME if not given
    step: int | None = None  # of which checkpoint; the newest if not given
    json: bool = False  # print the outcome as JSON

    def __post_init__(self):
        check_given(MODEL, self.run)
        check_integer("--num", self.num, 1, MOST)
        check_some("--step", self.step, 0)
        check_some("--label", self.label, 0)


def run(options, threads):
    r"""Draw, and write a grid and single pictures. threads: a Threads, not begun."""
    threads.begin(options.machine.threads)
    found = open_pictures(options.run, options.step, options.machine.device)
    folder = new_folder(options.out or f"samples_{Path(options.run).stem}")
    drawing = options.drawing.with_steps(found.schedule)
    shown = dict(label=options.label, progress=not options.json)
    pictures = draw(found, drawing, options.num, threads, **shown)
    columns = 8 if options.num < 100 else 16
    grid = figure.save_pictures(pictures, folder / "grid.png", columns)
    for i, picture in enumerate(pictures):
        figure.save_pictures(picture[None], folder / f"{i:05d}.png", 1, least=1)
    outcome = {
        "grid": str(grid),
        "pictures": options.num,
        "steps": drawing.steps,
        "calls": network_calls(drawing.sampler, drawing.steps),
        "seed": drawing.seed,
        "device": describe_device(found, drawing),
    }
    print(
        json.dumps(outcome)
        if options.json
        else "{pictures} pictures in {steps} steps, {calls} network calls, on {device}: "
        "{grid}, and single ones beside it".format(**outcome)
    )
