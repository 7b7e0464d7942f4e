r"""Train on handwritten digits and draw new ones: `python -m ddpm_lite.quickstart`.

About a minute on two cores. Real digits (8 by 8, embedded in scikit-learn), a small
convolutional network, the trainer and the sampler of the package: everything that a
larger experiment has, in small.
"""

import json
import time
from pathlib import Path

import torch
from tqdm import tqdm

from . import data, figure, metrics, presets
from .checkpoint import save_model
from .sampler import sample
from .trainer import Trainer


def train(trainer):
    r"""Run a trainer to its end behind a bar with loss, speed and time left."""
    bar = tqdm(trainer.run(), total=trainer.config.steps, desc="training", unit="step")
    recent = None
    for record in bar:
        recent = record.loss if recent is None else recent.lerp(record.loss, 0.02)
        if record.step % 20 == 0:
            bar.set_postfix(loss=f"{float(recent):.3f}")


def judge(new, real, held_out, train_set):
    r"""The quality numbers of samples, and of as many real pictures beside them.

    new, real: (1000, 1, 8, 8). held_out, train_set: (N, 1, 8, 8).
    Returns {name: [number of the new ones, number of the real ones]}.
    """
    pairs = {}
    for pictures in (new, real):
        precision, recall = metrics.precision_recall(held_out, pictures)
        numbers = {
            f"fd_pixels_{len(pictures)}, 0 is best": metrics.frechet_distance(
                pictures, held_out
            ),
            "precision (k = 3), 1 is best": precision,
            "recall (k = 3), 1 is best": recall,
            "copying, 0 learns and 1 copies": metrics.copying_share(
                pictures, train_set, held_out
            ),
        }
        for name, number in numbers.items():
            pairs.setdefault(name, []).append(round(number, 4))
    return pairs


def quickstart(folder="runs/first_digits", steps=1500, n=1000):
    r"""Train, draw n new digits, and write picture and weights into a folder.

    folder: made if missing; its files digits.png, quality.json and
    model.safetensors are replaced.
    steps: updates of the weights. n: how many digits are drawn to be judged, >= 48.
    Returns the path of the picture.
    """
    started = time.perf_counter()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(max(1, min(2, torch.get_num_threads())))
    model, schedule, digits, config = presets.digits(steps)
    held_out = data.digits("held_out")[0]
    weights = sum(p.numel() for p in model.parameters())
    print(
        f"{len(digits)} real digits of 8 x 8 pixels; a network of {weights:,} weights; "
        f"{config.steps} steps of {config.batch_size} digits on the CPU"
    )
    trainer = Trainer(model, schedule, digits, config)
    train(trainer)
    save_model(folder / "model.safetensors", trainer.ema.model, schedule, config.as_dict())
    new = sample(
        trainer.ema.model, schedule, (n, 1, 8, 8), sampler="ddim", steps=50, clip=(-1, 1)
    )
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    real = digits[order[:n]]
    columns = 12
    pair = torch.cat(
        [real[: 2 * columns], torch.ones(columns, 1, 8, 8), new[: 4 * columns]]
    )
    title = "first two rows: real digits; below: new ones"
    path = figure.save(figure.image_grid(pair, columns, title), folder / "digits.png")
    quality = judge(new, real, held_out, digits)
    (folder / "quality.json").write_text(json.dumps(quality, indent=1) + "\n")
    print(
        f"\n{n} new digits against {len(held_out)} held-out ones, {n} training ones beside:"
    )
    for name, (of_new, of_real) in quality.items():
        print(f"  {name:31} new {of_new:6.3f}   training {of_real:6.3f}")
    print(f"\nThe picture:  {path}\nThe weights:  {folder / 'model.safetensors'}")
    print(f"It took {time.perf_counter() - started:.0f} s. To read how it works: make lab")
    return path


if __name__ == "__main__":
    quickstart()
