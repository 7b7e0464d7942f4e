r"""Does bfloat16 cost anything? `python figures/precision.py --data FOLDER`.

FOLDER: CIFAR-10 in the hub's layout. Trains the preset small-32 on it for 500 updates in
float32 and in bfloat16, three seeds each: a seed draws the same pictures, t and noise for
both. Writes figures/runs/precision.json: the losses of ten spans of updates, how far the
two precisions are apart, beside how far two seeds are apart, the same for the loss on
pictures that were set aside, and what bfloat16 changes in samples of the same network.
"""

import argparse
import json
from pathlib import Path
from statistics import mean, stdev

import torch

from ddpm_lite import Schedule, TrainConfig, Trainer, UNet, UNetConfig, data, sample
from ddpm_lite.training.device import autocast, describe, keep_memory
from ddpm_lite.training.fit import held_out_loss

HERE = Path(__file__).resolve().parent
SPANS, SEEDS = 10, (0, 1, 2)


def train(pictures, aside, precision, seed, steps, batch):
    r"""Mean losses of `SPANS` spans, the held-out loss in float32, and the Trainer."""
    torch.manual_seed(seed)
    model = UNet(UNetConfig.preset("small-32"))
    settings = dict(steps=steps, batch_size=batch, seed=seed, precision=precision)
    settings |= dict(lr=1e-3, warmup_steps=50, ema_decay=0.99, flip=True)
    config = TrainConfig(**settings)
    trainer = Trainer(model, Schedule.linear(1000), pictures, config)
    losses = [float(record.loss) for record in trainer.run()]
    spans = [mean(losses[i : i + steps // SPANS]) for i in range(0, steps, steps // SPANS)]
    trainer.precision = "float32"  # of the judgement
    return spans, held_out_loss(trainer, aside)[0], trainer


def apart(values):
    r"""How far the precisions are apart, and the seeds, in one number of each run.

    values: {(precision, seed): number}. Returns the mean of bfloat16 - float32 over the
    seeds, and the deviation between seeds in float32.
    """
    differences = [values["bfloat16", s] - values["float32", s] for s in SEEDS]
    return {
        "float32": mean(values["float32", s] for s in SEEDS),
        "bfloat16_minus_float32": mean(differences),
        "deviation_of_seeds": stdev(values["float32", s] for s in SEEDS),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CIFAR-10 in the hub's layout")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    keep_memory()
    pictures = data.load(options.data, split="train").x_0
    aside = data.load(options.data, split="test").x_0[:512]
    spans, held_out = {}, {}
    for seed in SEEDS:
        for precision in ("float32", "bfloat16"):
            which = precision, seed
            numbers = train(pictures, aside, precision, seed, options.steps, options.batch)
            spans[which], held_out[which], trainer = numbers
            print(
                *which, *(f"{loss:.4f}" for loss in spans[which]), f"{held_out[which]:.4f}"
            )
    found = {
        "measured_on": describe(trainer.device, "both precisions"),
        "steps": options.steps,
        "batch": options.batch,
        "seeds": len(SEEDS),
        "spans": [
            apart({which: losses[i] for which, losses in spans.items()})
            for i in range(SPANS)
        ],
        "held_out": apart(held_out),
    }
    drawn = []
    for precision in ("float32", "bfloat16"):
        with autocast(trainer.device, precision):
            draw = dict(sampler="ddim", steps=50, clip=(-1, 1), progress=False)
            shape = (16, 3, 32, 32)
            drawn.append(sample(trainer.ema.model, trainer.schedule, shape, **draw))
    grey = 127.5 * (drawn[0] - drawn[1]).abs()  # in grey levels of 255
    found["samples"] = {"mean_grey_levels": float(grey.mean())}
    found["samples"]["share_above_8"] = float((grey > 8).double().mean())
    file = HERE / "runs" / "precision.json"
    file.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print("wrote runs/precision.json", found["held_out"], found["samples"])


if __name__ == "__main__":
    main()
