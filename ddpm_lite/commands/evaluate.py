r"""The command `evaluate`: how good are a model's pictures."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from tyro.conf import Positional

from ..checks import check_given, check_integer
from ..evaluation.evaluate import judges_judged, labelled_fid, measures, table
from ..formats.checkpoint import write_text
from ..sampling.solvers import network_calls
from ..training.experiment import load_pictures
from .shared import (
    MODEL,
    MOST,
    Drawing,
    Machine,
    check_place,
    check_some,
    describe_device,
    draw,
    open_pictures,
)


@dataclass(frozen=True)
class Options:
    r"""Measure samples against pictures that were set aside, and training ones beside."""

    run: Positional[str]  # run folder, weight file or name, such as digits
    drawing: Drawing = field(default_factory=Drawing)
    machine: Machine = field(default_factory=Machine)
    data: str = ""  # pictures to compare with, if not those of the run
    num: int = 1000  # samples, and training pictures beside them
    step: int | None = None  # of which checkpoint; the newest if not given
    inception: str = ""  # file of Inception weights: measure FID too
    judges: bool = False  # judge the judges too, on samples whose quality is known
    out: str = ""  # write the numbers to this JSON file too
    json: bool = False  # print the numbers as JSON

    def __post_init__(self):
        check_given(MODEL, self.run)
        check_integer("--num", self.num, 1, MOST)
        check_some("--step", self.step, 0)


def run(options, threads):
    r"""Draw, measure and print. threads: a Threads, not begun."""
    threads.begin(options.machine.threads)
    if options.out:
        check_place(options.out, file=True)
    found = open_pictures(options.run, options.step, options.machine.device)
    data = options.data or found.config.data
    pictures, held_out = load_pictures(replace(found.config, data=data))
    if held_out is None or len(held_out) < 4:
        raise ValueError("there are no pictures set aside to compare with: see --hold-out")
    num = min(options.num, len(pictures))
    drawing = options.drawing.with_steps(found.schedule)
    drawn = draw(found, drawing, num, threads, progress=not options.json)
    train, aside, levels = pictures.to_float(), held_out.to_float(), pictures.levels
    numbers = {"run": options.run, "samples": num, **_how(drawing)}
    numbers |= {"device": describe_device(found, drawing), "held_out": len(aside)}
    numbers["measures"] = measures(drawn, train, aside, levels=levels)
    if options.judges:
        numbers["judges"] = judges_judged(train, aside, levels=levels)
    if options.inception:
        numbers["fid"] = labelled_fid(
            drawn,
            train,
            options.inception,
            f"training pictures of {pictures.name}",
            drawing.sampler,
            drawing.steps,
            device=str(next(found.model.parameters()).device),
        )
    if options.out:
        Path(options.out).parent.mkdir(parents=True, exist_ok=True)
        write_text(options.out, json.dumps(numbers, indent=1) + "\n")
    if options.json:
        print(json.dumps(numbers, indent=1))
        return
    print(table(numbers["measures"], len(aside)))
    for name in ("judges", "fid"):
        if name in numbers:
            print(f"\n{name}: {json.dumps(numbers[name], indent=1)}")


def _how(drawing):
    r"""How samples were drawn, for those who read the numbers later."""
    how = {
        "sampler": drawing.sampler,
        "steps": drawing.steps,
        "calls": network_calls(drawing.sampler, drawing.steps),
        "spacing": drawing.spacing or "trailing",
        "seed": drawing.seed,
    }
    more = {"eta": drawing.eta, "variance": drawing.variance}
    return how | {name: value for name, value in more.items() if value}
