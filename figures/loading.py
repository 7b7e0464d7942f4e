r"""What does reading pictures when they are needed cost? `python figures/loading.py`.

Makes a folder of 50,000 small pictures (64 x 64, colour, half PNG and half JPEG, ten
classes), trains the preset small-32 on it, lazily, and writes figures/runs/loading.json:
seconds from nothing to the first update, and the share of an update's time in which it
waits for its pictures, for each number of processes that read ahead. The load of the
machine stands beside them: a busy neighbour makes both longer.
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from ddpm_lite.training.experiment import prepare
from ddpm_lite.training.presets import RUNS
from ddpm_lite.training.trainer import Trainer

HERE = Path(__file__).resolve().parent


def make(folder, number):
    r"""Write that many smooth pictures of random colours, in ten folders; skip old ones."""
    for i in range(number):
        place = folder / f"kind{i % 10}"
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"{i:06}.{'jpg' if i % 20 < 10 else 'png'}"
        if not path.exists():
            coarse = np.random.default_rng(i).integers(0, 256, (4, 4, 3), np.uint8)
            Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC).save(path)


def waits(trainer, steps):
    r"""Seconds that updates take, and in which they wait; the first two do not count."""
    whole, waiting = [], []
    for _ in range(steps + 2):
        start = time.perf_counter()
        trainer.batches.wait(trainer.step + 1)
        there = time.perf_counter()
        trainer.update()
        whole.append(time.perf_counter() - start)
        waiting.append(there - start)
    trainer.batches.close()
    return whole[2:], waiting[2:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=50_000)
    parser.add_argument("--steps", type=int, default=10, help="for each way of reading")
    parser.add_argument("--folder", default="", help="keep the pictures there")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as own:
        folder = Path(options.folder or own)
        make(folder, options.number)
        config = replace(RUNS["small-32"], data=str(folder), lazy=True)
        load = os.getloadavg()[0]
        start, worked = time.perf_counter(), time.process_time()
        prepared = prepare(config, "cpu")
        ready, worked = time.perf_counter(), time.process_time() - worked
        prepared.trainer.update()
        first = time.perf_counter()
        found = {
            "command": "python figures/loading.py",
            "pictures": options.number,
            "threads": options.threads,
            "cores": os.cpu_count(),
            "load_at_start": round(load, 2),
            "seconds_until_the_first_update": round(ready - start, 2),
            "of_them_on_a_processor": round(worked, 2),
            "seconds_of_the_first_update": round(first - ready, 2),
            "reading": [],
        }
        print(json.dumps(found, indent=1), flush=True)
        for workers in (0, 1):
            trainer = Trainer(
                prepared.trainer.model,
                prepared.trainer.schedule,
                prepared.pictures.x_0,
                prepared.config.train,
                y=prepared.pictures.y,
                workers=workers,
            )
            load, (whole, waiting) = os.getloadavg()[0], waits(trainer, options.steps)
            row = {
                "workers": workers,
                "updates": options.steps,
                "seconds_of_an_update": round(median(whole), 3),
                "milliseconds_waited": round(1000 * median(waiting), 2),
                "share_waited": round(sum(waiting) / sum(whole), 4),
                "load": round(load, 2),
            }
            found["reading"].append(row)
            print(json.dumps(row), flush=True)
    path = HERE / "runs" / "loading.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()
