r"""The command `bench`: how fast this machine is."""

import json
import math
import sys
from dataclasses import dataclass, field, replace

from ..bench import measuring, page
from ..checks import check_integer, check_name, check_number
from ..models.unet_config import PRESETS
from ..training.device import PRECISIONS
from ..training.threads import cores
from .shared import MOST, Machine, check_place


@dataclass(frozen=True)
class Options:
    r"""Measure speed and memory here, beside diffusers where that is installed."""

    machine: Machine = field(default_factory=Machine)
    presets: tuple[str, ...] = ("digits", "small-32", "ddpm-cifar10")  # networks
    batches: tuple[int, ...] = (8, 32)  # of the training step
    rounds: int = 5  # in which the contestants take turns, and which are counted
    steps: int = 50  # of DDIM
    limit: float = 60.0  # seconds that one number may take; else less of it, or none
    precision: str = "float32"  # of all networks: auto, float32, bfloat16 or float16
    compile: bool = False  # with torch.compile too, in training: this takes minutes
    minutes: float | None = None  # for all together: no more than speeds, and fewer turns
    quick: bool = False  # in three minutes: less of everything, as the machine is fast
    out: str = ""  # folder for bench.json and bench.png, which replaces older ones
    json: bool = False  # print the numbers as JSON

    def __post_init__(self):
        for name in ("presets", "batches"):
            check_integer(f"the number of --{name}", len(getattr(self, name)), 1)
        for name in self.presets:
            check_name("--presets", name, *PRESETS)
        for batch in self.batches:
            check_integer("--batches", batch, 1, MOST)
        check_integer("--rounds", self.rounds, 1)
        check_integer("--steps", self.steps, 1)
        check_number("--limit", self.limit, 1e-3)
        check_name("--precision", self.precision, "auto", *PRECISIONS)
        if self.minutes is not None:
            check_number("--minutes", self.minutes, 1e-3)


def run(options, threads):
    r"""Measure, print and write. threads: a Threads, not begun."""
    threads.begin(options.machine.threads)
    if options.out:
        check_place(options.out)
    print(f"measured all through with {threads.now} of {cores()} threads", file=sys.stderr)
    budget = math.inf if options.minutes is None else 60 * options.minutes
    if options.quick:
        few = dict(presets=("digits", "small-32"), batches=(32,), rounds=3)
        few = {k: v for k, v in few.items() if getattr(options, k) == getattr(Options, k)}
        budget, options = measuring.QUICK, replace(options, **few)
    results = measuring.bench(
        options.presets,
        options.batches,
        rounds=options.rounds,
        steps=options.steps,
        limit=options.limit,
        budget=budget,
        precision=options.precision,
        device=options.machine.device,
        compile=options.compile,
    )
    if options.out:
        paths = page.write(results, options.out)
        print(f"written: {paths[0]} and {paths[1]}", file=sys.stderr)
    print(json.dumps(results, indent=1) if options.json else page.page(results))
