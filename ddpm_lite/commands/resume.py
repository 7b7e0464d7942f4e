r"""The command `resume`: a run goes on."""

import sys
from dataclasses import dataclass, field

from tyro.conf import Positional

from ..checks import check_given
from ..formats.checkpoint import checkpoint_of
from ..training import experiment, together
from ..training.boards import check_boards
from ..training.device import keep_memory
from ..training.one_dimension import called
from ..training.trainer import processes
from .shared import Machine, check_minutes, check_some, report_run, status_of


@dataclass(frozen=True)
class Options:
    r"""Go on with a run from its newest checkpoint.

    The device may be another one than before. What changes is said before the first step.
    """

    run: Positional[str]  # the run's folder
    machine: Machine = field(default_factory=Machine)
    data: str = ""  # where its pictures are now, if they have moved
    steps: int | None = None  # a new total, to train longer than planned
    lr: float | None = None  # a learning rate that holds from here on, and does not fall
    network: str = ""  # module:Class of a network of your own, which is then imported
    max_minutes: float | None = None  # stop after so long, with a checkpoint
    tensorboard: bool = False  # also write what TensorBoard reads
    wandb: str = ""  # also show it in this project of Weights & Biases
    json: bool = False  # print the outcome as JSON

    def __post_init__(self):
        check_given("the folder of a run", self.run)
        check_some("--steps", self.steps, 1)
        check_minutes(self.max_minutes)


def run(options, threads):
    r"""Go on. threads: a Threads, not begun."""
    checkpoint_of(options.run)  # else there is nothing to go on with
    check_boards(options.tensorboard, options.wandb)
    threads.begin(options.machine.threads)
    keep_memory()
    device = together.join()
    first = processes()[0] == 0
    if first and not options.json:
        print(f"threads   {threads.summary()}", flush=True)
    prepared, done = experiment.resume(
        options.run,
        steps=options.steps,
        lr=options.lr,
        data=options.data,
        network=options.network or None,
        tell=_note if first else lambda line: None,
        device=options.machine.device if options.machine.device != "auto" else device,
        max_minutes=options.max_minutes,
        tensorboard=options.tensorboard,
        wandb=options.wandb,
        threads=threads,
    )
    if first:
        of = called(prepared.config.network) if prepared else "pictures"
        report_run(done, options.run, options.json, options.network, of)
    return status_of(done)


def _note(line):
    print(f"ddpm-lite: note: {line}", file=sys.stderr, flush=True)
