r"""What guidance gives, and what it takes: `python figures/guided_clothes.py`.

Draws 100 clothes a row from the shipped model, 10 of each class, with its own chain (25
steps of DPM-Solver++) and other strengths of guidance; then gamma = 4 at a part of the
noise levels alone. Picture i of seed s has the same x_T in every row. Measured against the
1,000 held-out pictures of the package, beside ten draws of 100 of its training pictures.
Writes figures/runs/guided_clothes.json after every seed, for chapter 12.
--quick: 20 pictures, one seed, nothing written.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ddpm_lite import data, guided, load_pretrained, sample
from ddpm_lite.evaluation import metrics
from ddpm_lite.evaluation.classifier import load_judge, look
from ddpm_lite.formats.checkpoint import write_text
from ddpm_lite.training.facts import versions

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "figures" / "runs" / "guided_clothes.json"
KEPT = ROOT / "runs" / "guided_clothes"  # pictures: delete it to draw them again
N, SEEDS, CLASSES, BATCH = 100, (0, 1, 2), 10, 50
SCALES = (1.0, 1.5, 2.0, 4.0, 8.0)
PARTS = {"high": (721, 1000), "middle": (150, 720)}
PART = 4.0  # the scale in these


def spread_within(x, y):
    r"""Root mean square distance of pictures from the mean of their class, a float.

    x: (N, ...), at least 2 of each class; y: int64 (N,), 0 ... CLASSES - 1, all equally
    many. The sum over pixels, with n - 1 below, so that n does not matter on average.
    """
    groups = [x[y == k].flatten(1).double() for k in range(CLASSES)]
    return float(torch.stack([g.var(0).sum() for g in groups]).mean().sqrt())


def measured(x, y, eye, held_out, features):
    r"""The numbers of one set of pictures (N, 1, 28, 28), a dictionary of floats."""
    x = metrics.round_to_levels(x, 256)
    seen, labels = look(eye, x)
    found = {"label": float((labels == y).double().mean())}
    found["precision"], found["recall"] = metrics.precision_recall(held_out, x)
    found["precision_features"], found["recall_features"] = metrics.precision_recall(
        features, seen
    )
    found["spread"] = spread_within(x, y)
    found["spread_features"] = spread_within(seen, y)
    found["fd_features"] = metrics.frechet_distance(seen, features)
    tones = torch.stack([x[y == k].mean((1, 2, 3)) for k in range(CLASSES)])
    found["tone"] = float(tones.double().var(1).mean().sqrt())
    found["white"] = float((x > 1 - 1e-6).double().mean())
    return {name: float(f"{value:.5g}") for name, value in found.items()}


def drawn(model, schedule, chain, seed, y):
    r"""Pictures of the classes y, float32 (N, 1, 28, 28); picture i has seed (seed, i)."""
    parts = []
    for i in torch.arange(len(y)).split(BATCH):
        seeds = [(seed, int(k)) for k in i]
        options = dict(seed=seeds, y=y[i], progress=False, **chain)
        parts.append(sample(model, schedule, (len(i), 1, 28, 28), **options))
    return torch.cat(parts)


def kept(path, draw):
    r"""What was drawn before, from its file; or what `draw()` gives, into the file."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, draw().numpy())
    return torch.from_numpy(np.load(path))


def rows(model):
    r"""Yield (what the row is, the denoiser) for every row of the table."""
    for gamma in SCALES:
        yield {"gamma": gamma, "part": "all"}, guided(model, gamma)
    for part, interval in PARTS.items():
        row = {"gamma": PART, "part": part, "interval": list(interval)}
        yield row, guided(model, PART, interval=interval)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a trial of the script")
    quick = parser.parse_args().quick
    n, seeds = (20, SEEDS[:1]) if quick else (N, SEEDS)
    torch.set_num_threads(1)
    found = load_pretrained("clothes")
    chain = {k: v for k, v in found.drawn_with.items() if k != "guidance"}
    eye, _ = load_judge("clothes")
    (train, train_y), (held_out, held_out_y) = data.clothes(), data.clothes("held_out")
    features, _ = look(eye, held_out)
    y = torch.arange(n) % CLASSES
    order = torch.cat([(train_y == k).nonzero().T for k in range(CLASSES)]).T.flatten()
    real = [
        measured(train[i], train_y[i], eye, held_out, features)
        for i in order.split(n)[: 1000 // N]
    ]
    result = {
        "command": "python figures/guided_clothes.py",
        "num": n,
        "seeds": [],
        "chain": chain,
        "real": real,
        "held_out_spread": spread_within(held_out, held_out_y),
        "rows": [row | {"measures": []} for row, _ in rows(found.model)],
        "versions": versions(),
    }
    for seed in seeds:
        for row, (_, model) in zip(result["rows"], rows(found.model), strict=True):
            name = f"{row['gamma']:g}_{row['part']}_{seed}_{n}.npy"
            x = kept(KEPT / name, partial(drawn, model, found.schedule, chain, seed, y))
            row["measures"].append(measured(x, y, eye, held_out, features))
            print(seed, row["gamma"], row["part"], row["measures"][-1], flush=True)
        result["seeds"].append(seed)
        if not quick:
            write_text(FILE, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
