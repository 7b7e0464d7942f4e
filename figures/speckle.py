r"""Why was the first model of clothes speckled? `python figures/speckle.py --data FOLDER`.

Three experiments on Fashion-MNIST, for chapter 09. The first model is the one that is
shipped as `fashion`; it predicts the noise.
samplers: its weights, drawn from in many ways;
halves: one chain, two networks, the first model above a noise level and the one shipped as
`clothes` below it, and the other way round;
minutes: small networks, trained alike and for as long, that differ in what they predict, in
the schedule or in the loss.
Each writes its part of figures/runs/speckle.json, and the last one figures/speckle.png, ten
pictures of each training.
A training that is done is not repeated: runs/speckle_<name>.safetensors holds it.
"""

import argparse
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch

from ddpm_lite import (
    Schedule,
    TrainConfig,
    Trainer,
    UNet,
    UNetConfig,
    data,
    figure,
    load_pretrained,
    sample,
    save_model,
)
from ddpm_lite.evaluation import metrics
from ddpm_lite.evaluation.classifier import load_judge, look
from ddpm_lite.evaluation.panel import black, roughness
from ddpm_lite.formats.weights import load_model
from ddpm_lite.process import to_x_0
from ddpm_lite.seeds import WEIGHTS, seeded
from ddpm_lite.training.facts import versions

ROOT = Path(__file__).resolve().parent.parent
N = 200
PARTS = ("samplers", "halves", "minutes")
SHOWN = dict(sampler="ddim", steps=50)  # as the first model's sheet was drawn
QUICK = dict(sampler="dpmpp_2m", steps=20)
NOISY = dict(sampler="ancestral", steps=50)
SAMPLERS = [
    SHOWN,
    SHOWN | {"steps": 250},
    QUICK,
    QUICK | {"spacing": "log_snr"},
    NOISY,
    dict(sampler="ancestral", steps=250),
]
STARTS = (1000, 900, 800, 700)  # of the first model's chain
LEVELS = (0, 300, 500, 700)  # where one hands over to the other; at 0 it walks alone
NETWORK = UNetConfig.preset("small-28", classes=10)
CONFIG = TrainConfig(
    steps=600,
    batch_size=64,
    lr=2e-3,
    warmup_steps=200,
    lr_schedule="cosine",
    ema_decay=0.998,
    antithetic=True,
    drop_label=0.1,
    sample_every=0,
)
TRAININGS = {  # what is predicted, the schedule, changes of CONFIG
    "noise, linear": ("noise", "linear", {}),
    "noise, cosine": ("noise", "cosine", {}),
    "x_0": ("x_0", "cosine", {"min_snr": 5.0}),
    "v": ("v", "cosine", {}),
    "v, zero terminal SNR": ("v", "zero", {}),
    "v, free ends": ("v", "cosine", {"free_ends": True}),
}


def zero_terminal(schedule):
    r"""The schedule with its signal shifted to 0 at T and scaled to what it was at 1.

    Lin et al. 2024 (arXiv 2305.08891), Algorithm 1.
    """
    signal = schedule.alpha_bar[1:].sqrt()
    shifted = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
    return Schedule.from_alpha_bar(shifted.square())


class Halves:
    r"""Predict x_0 by one network above a step of the first model's, else by the other.

    first, new: Pretrained. above: which of them, 0 or 1, is asked where t > level. The
    new one is asked at the step of its own schedule that is as noisy.
    """

    prediction, clip, learned_variance = "x_0", (-1, 1), False

    def __init__(self, first, new, above, level):
        self.both, self.above, self.level = (first, new), above, level
        one, other = first.schedule.alpha_bar, new.schedule.alpha_bar[1:]
        self.as_noisy = 1 + (other - one[:, None]).abs().argmin(1)

    def __call__(self, x_t, t, y):
        which = self.above if int(t[0]) > self.level else 1 - self.above
        asked = self.both[which]
        t = self.as_noisy[t] if which else t
        value = asked.model(x_t, t, y)
        return to_x_0(asked.schedule, x_t, t, value, asked.model.prediction)


class Eyes:
    r"""What is measured of every set of samples, beside real pictures."""

    def __init__(self, held_out, real):
        self.held_out, (self.judge, _) = held_out, load_judge("clothes")
        self.usual = metrics.frechet_distance(real, held_out)

    def __call__(self, x, y):
        x = metrics.round_to_levels(x, 256)
        right = look(self.judge, x)[1] == y
        return {
            "roughness": round(roughness(x) / roughness(self.held_out), 4),
            "black": round(black(x) / black(self.held_out), 4),
            "label": round(float(right.double().mean()), 4),
            "fd_pixels": round(metrics.frechet_distance(x, self.held_out) / self.usual, 4),
        }


def drawn(model, schedule, **how):
    r"""N pictures, the classes in turn, in parts; returns pictures and classes."""
    y = torch.arange(N) % 10
    parts = [
        sample(
            model,
            schedule,
            (len(part), 1, 28, 28),
            y=y[part],
            seed=[(0, int(i)) for i in part],
            progress=False,
            **how,
        )
        for part in torch.arange(N).split(100)
    ]
    return torch.cat(parts), y


def samplers(first, eyes):
    r"""The first model by every sampler, and by the quick one from lower starts.

    The new one beside it, by the first of them.
    """
    rows = []
    for how in SAMPLERS:
        rows.append(how | eyes(*drawn(first.model, first.schedule, **how)))
        print(rows[-1], flush=True)
    for start in STARTS:
        stops = torch.linspace(start, 0, 21).round().int().tolist()
        pairs = list(pairwise(stops))
        x, y = drawn(first.model, first.schedule, sampler="dpmpp_2m", pairs=pairs)
        rows.append({"sampler": "dpmpp_2m", "start": start} | eyes(x, y))
        print(rows[-1], flush=True)
    return rows


def halves(first, new, eyes):
    r"""Which half of the chain makes the speckle? One row for each level and each way."""
    rows = []
    for level in LEVELS:
        for above, name in ((0, "first above"), (1, "new above")):
            model = Halves(first, new, above, level)
            x, y = drawn(model, first.schedule, **SHOWN)
            rows.append({"level": level, "which": name} | eyes(x, y))
            print(rows[-1], flush=True)
    return rows


def schedule_named(name):
    r"""The schedule of a training."""
    if name == "zero":
        return zero_terminal(Schedule.linear(1000))
    return getattr(Schedule, name)(1000)


def trained(name, pictures):
    r"""The EMA of one of TRAININGS, from its file if there is one, as a Pretrained."""
    path = (
        ROOT / "runs" / f"speckle_{name.replace(', ', '_').replace(' ', '_')}.safetensors"
    )
    if not path.is_file():
        prediction, schedule, changes = TRAININGS[name]
        config = replace(CONFIG, **changes)
        with seeded(torch.device("cpu"), WEIGHTS, 0):
            model = UNet(replace(NETWORK, prediction=prediction))
        schedule = schedule_named(schedule)
        trainer = Trainer(model, schedule, pictures.x_0, config, y=pictures.y)
        for record in trainer.run():
            if record.step % 100 == 0:
                print(
                    f"{name}: step {record.step}, loss {float(record.loss):.4f}", flush=True
                )
        path.parent.mkdir(exist_ok=True)
        save_model(path, trainer.ema.model, schedule, {"train": config.as_dict()})
    return load_model(path)


def minutes(pictures, eyes):
    r"""The same number of updates for each of TRAININGS; rows, and ten pictures of each."""
    rows, shown = [], []
    for name in TRAININGS:
        found = trained(name, pictures)
        for how in (SHOWN, NOISY):
            x, y = drawn(found.model, found.schedule, **how)
            rows.append({"training": name} | how | eyes(x, y))
            print(rows[-1], flush=True)
            shown += [x[:10]] if how is SHOWN else []
    return rows, torch.cat(shown)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of Fashion-MNIST")
    parser.add_argument("--part", choices=PARTS, help="one experiment; all if left out")
    arguments = parser.parse_args()
    pictures = data.load(arguments.data, split="train")
    test = data.load(arguments.data, split="test")
    eyes = Eyes(test.to_float(slice(0, 2000)), pictures.to_float(slice(0, N)))
    path = ROOT / "figures" / "runs" / "speckle.json"
    found = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    found |= {"command": "python figures/speckle.py --data FOLDER", "samples": N}
    found |= {"updates": CONFIG.steps, "batch_size": CONFIG.batch_size}
    first, new = load_pretrained("fashion"), load_pretrained("clothes")
    for part in [arguments.part] if arguments.part else PARTS:
        if part == "samplers":
            found[part] = samplers(first, eyes)
        elif part == "halves":
            found[part] = halves(first, new, eyes)
        else:
            found[part], shown = minutes(pictures, eyes)
            figure.save_pictures(shown, ROOT / "figures" / "speckle.png", 10)
        path.write_text(json.dumps(found | {"versions": versions()}, indent=1) + "\n")
        print(f"wrote {part} into {path.relative_to(ROOT)}", flush=True)


if __name__ == "__main__":
    main()
