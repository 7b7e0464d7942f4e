r"""The command `train`: settings and a folder of pictures become a run."""

import json
from dataclasses import dataclass, field

from ..checks import check_given
from ..training import experiment
from ..training.device import keep_memory
from ..training.presets import RUNS, RunConfig
from . import parsing
from .shared import Machine, check_minutes, check_place, report_run, status_of


@dataclass(frozen=True)
class Options:
    r"""Train on pictures: ddpm-lite train [PRESET] --data FOLDER [options]."""

    run: RunConfig = field(default_factory=RunConfig)
    machine: Machine = field(default_factory=Machine)
    out: str = ""  # the run's folder; runs/PRESET if not given
    max_minutes: float | None = None  # stop after so long, with a checkpoint
    dry_run: bool = False  # print settings and estimate, and write nothing
    tensorboard: bool = False  # also write what TensorBoard reads
    json: bool = False  # print the outcome as JSON

    def __post_init__(self):
        check_minutes(self.max_minutes)


def parse(arguments):
    r"""The options, which start from the preset that the first argument may name."""
    preset, rest = "small-32", arguments
    if arguments and not arguments[0].startswith("-"):
        preset, *rest = arguments
    if preset not in RUNS:
        raise parsing.Misunderstood(
            f"there is no preset {preset!r}{parsing.nearest(preset, RUNS)}; pictures go "
            "behind --data"
        )
    default = Options(run=RUNS[preset], out=f"runs/{preset}")
    about = (
        f"{Options.__doc__.strip()} PRESET is one of {', '.join(RUNS)}; small-32 if none "
    )
    return parsing.parse(Options, f"train {preset}", rest, default, f"{about}is given.")


def run(options, threads):
    r"""Train, or print what would be trained. threads: a Threads, not begun."""
    threads.begin(options.machine.threads)
    check_place(check_given("a new folder behind --out", options.out))
    keep_memory()
    device = experiment.join()
    device = options.machine.device if options.machine.device != "auto" else device
    prepared = experiment.prepare(options.run, device)
    first = prepared.trainer.rank == 0
    summary = experiment.summary(prepared, threads)
    if first and not options.json:
        print(summary, flush=True)
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
