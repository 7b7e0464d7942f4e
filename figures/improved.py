r"""What moves a small DDPM? Seven trainings at equal cost: `python figures/improved.py`.

One small network on the digits of 8 x 8 pixels, the same updates, learning rate, batches
and noise for all; they differ in the schedule, in what is predicted, in the weight or in
the variance. Four seeds each. Judged against the held-out digits: Frechet distance of the
pixels and of a classifier's features on 1,000 samples, by DDIM and by Algorithm 2; and the
bound in bits per dimension. The network has no convolutions, so that a training takes
seconds. Chapter 11 reads figures/runs/improved.json, which is written after every run.
`--quick` makes two updates, to try the command. `--part reasons` trains two of the seven
again and asks why they fail: where the bound's bits of x_0 come from, how far x_0 and x_t
are from the picture at t = 1, and whether DDIM from a lower start repairs the noise's.
"""

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import torch
from speckle import zero_terminal
from torch import nn
from torch.nn import functional as F

from ddpm_lite import Schedule, data, sample, timestep_pairs
from ddpm_lite.evaluation.classifier import accuracy, look, train_classifier
from ddpm_lite.evaluation.metrics import frechet_distance
from ddpm_lite.formats.checkpoint import write_text
from ddpm_lite.loss import decoder_nll, gaussian_kl, prior_kl
from ddpm_lite.models.mlp import sinusoidal_embedding
from ddpm_lite.process import (
    interpolated_variance,
    predict_both,
    q_posterior,
    q_sample,
    reverse_variance,
    to_x_0,
)
from ddpm_lite.seeds import WEIGHTS, generator_for, seeded
from ddpm_lite.training.config import TrainConfig
from ddpm_lite.training.facts import versions
from ddpm_lite.training.trainer import Trainer

ROOT = Path(__file__).resolve().parent.parent
_BOUND = 411  # the noise of the bound
N, LEVELS, SEEDS = 1000, 17, (0, 1, 2, 3)
CONFIG = TrainConfig(
    steps=1000,
    batch_size=128,
    lr=2e-3,
    warmup_steps=100,
    lr_schedule="cosine",
    ema_decay=0.995,
    antithetic=True,
    sample_every=0,
)
LINEAR, COSINE = Schedule.linear(1000), Schedule.cosine(1000)
TRAININGS = {  # schedule, changes of the network, changes of CONFIG
    "linear, noise": (LINEAR, {}, {}),
    "cosine, noise": (COSINE, {}, {}),
    "cosine, noise, min-SNR": (COSINE, {}, {"min_snr": 5.0}),
    "cosine, noise, learned variance": (COSINE, {"learned_variance": True}, {}),
    "cosine, x_0": (COSINE, {"prediction": "x_0"}, {}),
    "cosine, v": (COSINE, {"prediction": "v"}, {}),
    "cosine to zero SNR, v": (zero_terminal(COSINE), {"prediction": "v"}, {}),
}
WAYS = {  # the variance is the learned one where there is one, else the small one
    "ddim_20": dict(sampler="ddim", steps=20),
    "ancestral_50": dict(sampler="ancestral", steps=50),
    "ancestral_10": dict(sampler="ancestral", steps=10),
}


class Network(nn.Module):
    r"""Three residual blocks of two linear layers each, for digits with their class."""

    clip, classes, T = (-1, 1), 10, 1000

    def __init__(self, prediction="noise", learned_variance=False, width=192, blocks=3):
        super().__init__()
        self.prediction, self.learned_variance = prediction, learned_variance
        self.first = nn.Linear(64, width)
        self.time, self.label = nn.Linear(64, width), nn.Embedding(11, width)
        for name in ("inner", "given", "outer"):
            layers = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
            setattr(self, name, layers)
        self.norm = nn.ModuleList(nn.LayerNorm(width) for _ in range(blocks + 1))
        self.last = nn.Linear(width, 64 * (2 if learned_variance else 1))
        for layer in (*self.outer, self.last):  # start as the U-Net does (chapter 06)
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x_t, t, y):
        embedded = sinusoidal_embedding(t - 1, 64)
        embedded = F.silu(self.time(embedded) + self.label(y))
        h = self.first(x_t.flatten(1))
        blocks = zip(self.norm, self.inner, self.given, self.outer, strict=False)
        for norm, inner, given, outer in blocks:
            h = h + outer(F.silu(inner(norm(h)) + given(embedded)))
        return self.last(F.silu(self.norm[-1](h))).reshape(len(x_t), -1, 8, 8)


def trained(name, seed, known, config):
    r"""The EMA of one training."""
    schedule, network, changes = TRAININGS[name]
    with seeded(torch.device("cpu"), WEIGHTS, seed):
        model = Network(**network)
    config = replace(config, seed=seed, **changes)
    trainer = Trainer(model, schedule, known.x_0, config, y=known.y, levels=known.levels)
    for _ in trainer.run():
        pass
    return trainer.ema.model.eval()


def bound(model, schedule, x_0, y, variance):
    r"""The bound in bits per dimension, from one t in each of about 45 groups of t.

    The first t are groups of one, later groups grow with t; each is drawn for each picture.
    variance: "small", "large" or "learned".
    """
    nats = prior_kl(schedule, x_0).flatten(1).mean(1)
    for _, term in terms(model, schedule, x_0, y, variance):
        nats = nats + term
    return float(nats.mean()) / math.log(2)


@torch.no_grad()
def terms(model, schedule, x_0, y, variance):
    r"""The first t of each group, and what the group adds to the bound, in nats: (B,)."""
    edges = torch.logspace(0, math.log10(schedule.T + 1), 60).round().long().unique()
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        draw = generator_for(_BOUND, low)
        t = torch.randint(low, high, (len(x_0),), generator=draw)
        x_t = q_sample(schedule, x_0, t, torch.randn(x_0.shape, generator=draw))
        value, v = predict_both(model, x_t, t, y)
        x_0_pred = to_x_0(schedule, x_t, t, value, model.prediction, (-1, 1))
        mean, exact = q_posterior(schedule, x_0, x_t, t)
        mean_pred, _ = q_posterior(schedule, x_0_pred, x_t, t)
        if variance == "learned":
            guess = interpolated_variance(schedule, v, t, t - 1)
        elif low == 1:
            guess = schedule.posterior_variance[2].float()
        else:
            guess = reverse_variance(schedule, x_t, t, t - 1, variance)
        if low == 1:
            term = decoder_nll(x_0, mean_pred, guess, LEVELS)
        else:
            term = gaussian_kl(mean, exact, mean_pred, guess)
        yield low, (high - low) * term.flatten(1).mean(1)


def judged(model, schedule, seed, held_out, labels, classifier):
    r"""All measures of one network."""
    row, y, real = {}, torch.arange(N) % 10, look(classifier, held_out)[0]
    for way, how in WAYS.items():
        given = dict(y=y, seed=seed, progress=False) | how
        x = sample(model, schedule, (N, 1, 8, 8), **given)
        features, seen = look(classifier, x)
        row[way] = {
            "fd_pixels": frechet_distance(x, held_out),
            "fd_features": frechet_distance(features, real),
            "label": float((seen == y).double().mean()),
        }
    kinds = ["small", "large"] + ["learned"] * model.learned_variance
    row["bits"] = {kind: bound(model, schedule, held_out, labels, kind) for kind in kinds}
    return row


def reasons(known, held_out, labels):
    r"""Why x_0 has so many bits, and the noise such samples by DDIM: a row a network."""
    rows = []
    for seed in SEEDS:
        for name in ("cosine, noise", "cosine, x_0"):
            model, schedule = trained(name, seed, known, CONFIG), TRAININGS[name][0]
            found = reason(model, schedule, seed, held_out, labels)
            rows.append({"training": name, "seed": seed} | found)
            print(rows[-1], flush=True)
    return rows


@torch.no_grad()
def reason(model, schedule, seed, held_out, labels):
    r"""Bits of the first steps (large variance), errors at t = 1, and DDIM by its start."""
    groups = terms(model, schedule, held_out, labels, "large")
    bits = {low: float(term.mean()) / math.log(2) for low, term in groups}
    t = torch.ones(len(held_out), dtype=torch.long)
    noise = torch.randn(held_out.shape, generator=generator_for(_BOUND, 1))
    x_t = q_sample(schedule, held_out, t, noise)
    value, _ = predict_both(model, x_t, t, labels)
    x_0_pred = to_x_0(schedule, x_t, t, value, model.prediction, (-1, 1))
    row = {
        "bits_at_1": bits[1],
        "bits_at_2": bits[2],
        "bits_below_10": sum(value for low, value in bits.items() if low < 10),
        "rms_at_1": float((x_0_pred - held_out).square().mean()) ** 0.5,
        "rms_of_x_t_at_1": float((x_t - held_out).square().mean()) ** 0.5,
    }
    given = dict(y=torch.arange(N) % 10, seed=seed, progress=False, sampler="ddim")
    for start in (1000, 999, 950):
        pairs = timestep_pairs(start, 20)
        x = sample(model, schedule, (N, 1, 8, 8), pairs=pairs, **given)
        row[f"ddim_from_{start}"] = frechet_distance(x, held_out)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two updates, to try it")
    parser.add_argument(
        "--part", choices=["reasons"], help="only that, from the seven's file"
    )
    arguments = parser.parse_args()
    quick = arguments.quick
    torch.set_num_threads(1)
    config = replace(CONFIG, steps=2, warmup_steps=1) if quick else CONFIG
    x_0, (held_out, labels) = data.digits("train")[0], data.digits("held_out")
    known, unknown = (data.load("digits", split=s) for s in ("train", "held_out"))
    if arguments.part:
        path = ROOT / "figures" / "runs" / "improved.json"
        found = json.loads(path.read_text("utf-8"))
        found["reasons"] = reasons(known, held_out, labels)
        write_text(path, json.dumps(found, indent=1) + "\n")
        return
    classifier = train_classifier(known, epochs=2 if quick else 30, progress=False)
    some = x_0[torch.randperm(len(x_0), generator=generator_for(_BOUND, 0))[:N]]
    found = {
        "command": "python figures/improved.py",
        "updates": config.steps,
        "batch_size": config.batch_size,
        "samples": N,
        "classifier_accuracy": accuracy(classifier, unknown, labels),
        "training": {  # real training pictures in the place of samples
            "fd_pixels": frechet_distance(some, held_out),
            "fd_features": frechet_distance(
                look(classifier, some)[0], look(classifier, held_out)[0]
            ),
        },
        "rows": [],
        "versions": versions(),
    }
    name_of_file = "improved_quick.json" if quick else "improved.json"
    path = (Path("/tmp") if quick else ROOT / "figures" / "runs") / name_of_file
    print(found, flush=True)
    for seed in SEEDS:
        for name, (schedule, *_) in TRAININGS.items():
            model = trained(name, seed, known, config)
            row = judged(model, schedule, seed, held_out, labels, classifier)
            found["rows"].append({"training": name, "seed": seed} | row)
            print(found["rows"][-1], flush=True)
            write_text(path, json.dumps(found, indent=1) + "\n")
            if quick:
                return
    found["reasons"] = reasons(known, held_out, labels)
    write_text(path, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
