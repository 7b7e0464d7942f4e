r"""A flow beside two DDPMs at equal cost, on clothes: `python figures/flow.py`.

One small network without convolutions, so that a training is short; the same first
weights, batches, noise and updates; three ways to train it. The paper's DDPM
predicts the noise on the linear schedule, the book's clothes model predicts v on the
cosine schedule, and the flow predicts noise - x_0 at uniform times. Three seeds each.
Judged on 500 samples by DDIM, which is Euler's method for the flow, in 4, 8, 25 and 50
equal steps of t: Frechet distance to the held-out clothes in the features of the judge
that comes with the package. Chapter 14 reads figures/runs/flow.json, which is written
after every run. `--quick` makes two updates, to try the command.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ddpm_lite import Schedule, data, sample
from ddpm_lite.evaluation.classifier import load_judge, look
from ddpm_lite.evaluation.metrics import frechet_distance
from ddpm_lite.formats.checkpoint import write_text
from ddpm_lite.models.mlp import sinusoidal_embedding
from ddpm_lite.seeds import WEIGHTS, generator_for, seeded
from ddpm_lite.training.config import TrainConfig
from ddpm_lite.training.facts import versions
from ddpm_lite.training.trainer import Trainer

ROOT = Path(__file__).resolve().parent.parent
_CHOICE = 414  # which training pictures stand for samples
N, SEEDS, STEPS = 500, (0, 1, 2), (4, 8, 25, 50)
CONFIG = TrainConfig(
    steps=700,
    batch_size=128,
    lr=2e-3,
    warmup_steps=100,
    lr_schedule="cosine",
    ema_decay=0.995,
    antithetic=True,
    sample_every=0,
)
WAYS = {  # schedule, what is predicted
    "linear, noise": (Schedule.linear(1000), "noise"),
    "cosine, v": (Schedule.cosine(1000), "v"),
    "flow": (Schedule.flow(1000), "flow"),
}


class Network(nn.Module):
    r"""Residual blocks of two linear layers each, and a share of x_t for each pixel."""

    clip, classes, T, learned_variance = (-1, 1), 0, 1000, False

    def __init__(self, prediction, width=384, blocks=3, pixels=784):
        super().__init__()
        self.prediction = prediction
        self.first, self.time = nn.Linear(pixels, width), nn.Linear(64, width)
        for name in ("inner", "given", "outer"):
            layers = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
            setattr(self, name, layers)
        self.norm = nn.ModuleList(nn.LayerNorm(width) for _ in range(blocks + 1))
        self.last, self.share = nn.Linear(width, pixels), nn.Linear(width, pixels)
        for layer in (*self.outer, self.last, self.share):  # as in figures/improved.py
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x_t, t):
        x = x_t.flatten(1)
        embedded = F.silu(self.time(sinusoidal_embedding(t - 1, 64)))
        h = self.first(x)
        blocks = zip(self.norm, self.inner, self.given, self.outer, strict=False)
        for norm, inner, given, outer in blocks:
            h = h + outer(F.silu(inner(norm(h)) + given(embedded)))
        out = self.last(F.silu(self.norm[-1](h))) + self.share(embedded) * x
        return out.reshape(x_t.shape)


def trained(way, seed, x_0, config):
    r"""The EMA of one training."""
    schedule, prediction = WAYS[way]
    with seeded(torch.device("cpu"), WEIGHTS, seed):
        model = Network(prediction)
    trainer = Trainer(model, schedule, x_0, replace(config, seed=seed))
    for _ in trainer.run():
        pass
    return trainer.ema.model.eval()


def judged(model, way, seed, judge, real):
    r"""{steps: Frechet distance in the judge's features}."""
    row = {}
    for steps in STEPS:
        given = dict(sampler="ddim", steps=steps, seed=seed, progress=False)
        features, _ = look(judge, sample(model, WAYS[way][0], (N, 1, 28, 28), **given))
        row[str(steps)] = frechet_distance(features, real)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two updates, to try it")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    config = replace(CONFIG, steps=2, warmup_steps=1) if quick else CONFIG
    known, unknown = (
        data.load("clothes", split=split).to_float() for split in ("train", "held_out")
    )
    judge, about = load_judge("clothes")
    real = look(judge, unknown)[0]
    some = torch.randperm(len(known), generator=generator_for(_CHOICE, 0))[:N]
    found = {
        "command": "python figures/flow.py",
        "updates": config.steps,
        "batch_size": config.batch_size,
        "samples": N,
        "held_out": len(unknown),
        "weights": sum(p.numel() for p in Network("flow").parameters()),
        "judge": about,
        "training": frechet_distance(look(judge, known[some])[0], real),
        "rows": [],
        "versions": versions(),
    }
    file = "flow_quick.json" if quick else "flow.json"
    path = (Path("/tmp") if quick else ROOT / "figures" / "runs") / file
    print(found, flush=True)
    for seed in SEEDS:
        for way in WAYS:
            model = trained(way, seed, known, config)
            row = {"way": way, "seed": seed}
            row["fd_features"] = judged(model, way, seed, judge, real)
            found["rows"].append(row)
            print(row, flush=True)
            write_text(path, json.dumps(found, indent=1) + "\n")
            if quick:
                return


if __name__ == "__main__":
    main()
