r"""The command `quickstart`: train on handwritten digits and draw new ones.

A minute or two on two cores; `make run` calls it. Real digits (8 by 8, embedded in
scikit-learn), a small class-conditional U-Net, and the trainer, run folder,
sampler and measures that a larger experiment has: `ddpm-lite train digits` and
`ddpm-lite evaluate` in one.
"""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from .. import figure
from ..checks import check_integer
from ..evaluation.evaluate import measures, table
from ..training import experiment
from ..training.presets import RUNS
from .shared import check_some, new_folder, status_of

SAMPLES = 1000  # digits that are drawn to be judged, 40 to 1438
CHAIN = dict(sampler="dpmpp_2m", spacing="log_snr", steps=10, seed=0)


@dataclass(frozen=True)
class Options:
    r"""Train on handwritten digits for a minute or two, draw new ones and measure them."""

    out: str = ""  # the new folder; runs/first_digits, or the first free _2, if not given
    steps: int | None = None  # updates of the weights; those of the preset if not given
    seed: int = 0  # of initial weights, batches, steps t and noise in training
    threads: int | None = None  # a fixed number; else as many as cores are free

    def __post_init__(self):
        check_some("--steps", self.steps, 1)
        check_integer("--seed", self.seed, 0)
        check_some("--threads", self.threads, 1)


def run(options, threads):
    r"""Write picture, measures and run into a folder. threads: a Threads, not begun."""
    started = time.perf_counter()
    threads.begin(options.threads)
    folder = new_folder(options.out or _free(Path("runs/first_digits")))
    config = RUNS["digits"]
    steps = config.train.steps if options.steps is None else options.steps
    config = replace(config, train=replace(config.train, steps=steps, seed=options.seed))
    prepared = experiment.prepare(config, device="cpu")
    print(experiment.summary(prepared, threads), flush=True)
    done = experiment.train(prepared, folder, threads=threads)
    if not done["finished"]:
        print(f"go on with: ddpm-lite resume {folder}")
        return status_of(done)
    config, trainer = prepared.config, prepared.trainer
    chain = CHAIN | dict(y=experiment.labels_for(config, SAMPLES), threads=threads)
    model, schedule = trainer.ema.model, trainer.schedule
    new = experiment.draw(model, schedule, config, SAMPLES, progress=True, **chain)
    path = _picture(prepared, new, folder / "digits.png")
    numbers = _judged(prepared, new, done["seconds"])
    (folder / "quality.json").write_text(json.dumps(numbers, indent=1) + "\n")
    print(f"\n{table(numbers['measures'], len(prepared.held_out))}")
    print(f"\nThe picture:  {path}\nThe run:      {folder}")
    print(f"It took {time.perf_counter() - started:.0f} s.")
    print("To read how it works, in a copy of the repository: make lab")


def _free(folder):
    names = [folder, *(folder.with_name(f"{folder.name}_{k}") for k in range(2, 1000))]
    return next(name for name in names if not name.exists())


def _picture(prepared, new, path):
    r"""Write two rows of real digits and four of new ones, a class in each column."""
    pictures, unet = prepared.pictures, prepared.config.unet
    x_0, columns = pictures.to_float(), unet.classes
    real = torch.stack([x_0[pictures.y == c][:2] for c in range(columns)], 1)
    drawn, axes = figure.canvas(2, width=6.6, height=4, height_ratios=(2, 4))
    parts = {"real": real.flatten(0, 1), "new": new[: 4 * columns]}
    for axis, (name, part) in zip(axes, parts.items(), strict=True):
        axis.imshow(figure.tile(part, columns), cmap="gray", vmin=-1, vmax=1)
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        axis.spines[:].set_visible(False)
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=13)
    return figure.save(drawn, path)


def _judged(prepared, new, seconds):
    pictures = prepared.pictures
    train, held_out = pictures.to_float(), prepared.held_out.to_float()
    return {
        "steps": prepared.trainer.step,
        "seed": prepared.config.train.seed,
        "training_seconds": seconds,
        "samples": len(new),
        "sampler": "{sampler}, {spacing}, {steps} steps".format(**CHAIN),
        "measures": measures(new, train, held_out, levels=pictures.levels),
    }
