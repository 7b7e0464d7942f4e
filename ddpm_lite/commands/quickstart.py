r"""Train on handwritten digits and draw new ones; `make run` calls it.

About two minutes on two cores. Real digits (8 by 8, embedded in scikit-learn), a small
class-conditional U-Net, and the trainer, run folder, sampler and measures
that a larger experiment has: `ddpm-lite train digits` and `ddpm-lite evaluate` in one.
"""

import json
import time
from dataclasses import replace
from pathlib import Path

import torch

from .. import figure
from ..evaluation import evaluate
from ..training import experiment
from ..training.presets import RUNS
from ..training.threads import Threads


def quickstart(folder=None, steps=None, n=1000):
    r"""Train, draw n new digits, and write picture, measures and run into a folder.

    folder: new; the first free one of runs/first_digits, runs/first_digits_2, ... if
    None. steps: updates of the weights, those of the preset if None. n: how many digits
    are drawn to be judged, 40 to 1438. Returns the path of the picture, None where the
    training was stopped.
    """
    started, threads = time.perf_counter(), Threads().begin()
    folder = _free(Path("runs/first_digits")) if folder is None else Path(folder)
    config = RUNS["digits"]
    if steps is not None:
        config = replace(config, train=replace(config.train, steps=steps))
    prepared = experiment.prepare(config, device="cpu")
    print(experiment.summary(prepared, threads), flush=True)
    done = experiment.train(prepared, folder, threads=threads)
    if not done["finished"]:
        print(f"go on with: ddpm-lite resume {folder}")
        return None
    config, trainer = prepared.config, prepared.trainer
    y = experiment.labels_for(config, n)
    options = dict(sampler="dpmpp_2m", spacing="log_snr", steps=10, seed=0, progress=True)
    options |= dict(threads=threads)
    new = experiment.draw(trainer.ema.model, trainer.schedule, config, n, y=y, **options)
    pictures, levels = prepared.pictures, prepared.pictures.levels
    train, held_out = pictures.to_float(), prepared.held_out.to_float()
    columns = config.unet.classes
    real = torch.stack([train[pictures.y == c][:2] for c in range(columns)], 1)
    pair = torch.cat(
        [
            real.flatten(0, 1),
            torch.ones(columns, *config.unet.sample_shape),
            new[: 4 * columns],
        ]
    )
    title = "first two rows: real digits; below: new ones"
    path = figure.save(figure.image_grid(pair, columns, title), folder / "digits.png")
    numbers = {
        "steps": trainer.step,
        "training_seconds": done["seconds"],
        "samples": n,
        "sampler": "dpmpp_2m, log_snr, 10 steps",
        "measures": evaluate.measures(new, train, held_out, levels=levels),
    }
    (folder / "quality.json").write_text(json.dumps(numbers, indent=1) + "\n")
    print(f"\n{evaluate.table(numbers['measures'], len(held_out))}")
    print(f"\nThe picture:  {path}\nThe run:      {folder}")
    print(f"It took {time.perf_counter() - started:.0f} s. To read how it works: make lab")
    return path


def _free(folder):
    names = [folder, *(folder.with_name(f"{folder.name}_{k}") for k in range(2, 1000))]
    return next(name for name in names if not name.exists())


if __name__ == "__main__":
    quickstart()
