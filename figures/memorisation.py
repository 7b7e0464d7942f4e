r"""When does a network begin to copy? `python figures/memorisation.py`.

For chapter 10. One small U-Net is trained on 50 of the 8x8 digits, one on 200 and one on
800, from the same initial weights, the first for 1,000 updates, the others for 4,000. At
some updates it draws digits, and two tests count copies of training digits: the distance to
the nearest over that to the second nearest is below 1/3, or below what 95 % of the held-out
digits keep to. --quick: a few updates, no file. Else it writes
figures/runs/memorisation.json after each training.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

from ddpm_lite import Schedule, TrainConfig, Trainer, UNet, UNetConfig, data, sample
from ddpm_lite.evaluation import metrics
from ddpm_lite.formats.checkpoint import write_text
from ddpm_lite.seeds import WEIGHTS, generator_for, seeded
from ddpm_lite.training.facts import versions

ROOT = Path(__file__).resolve().parent.parent
_CHOSEN = 326  # what the training digits are drawn by
STOPS = {50: (250, 500, 1000), 200: (1000, 2000, 4000), 800: (1000, 2000, 4000)}
N, SHOWN, FALSE = 200, 10, 0.05
NETWORK = replace(UNetConfig.preset("digits"), width=16, prediction="v")
CHAIN = dict(sampler="ddim", steps=20)
CONFIG = TrainConfig(
    steps=4000, batch_size=32, lr=3e-3, warmup_steps=100, ema_decay=0.995, sample_every=0
)


def ratios(x, train):
    r"""Distance to the nearest training digit over that to the second nearest, (N,)."""
    distance = metrics.nearest(x, train, 2)[1]
    return distance[:, 0] / distance[:, 1]


def grey(x):
    r"""Pictures as whole numbers 0 ... 16, one list each."""
    return ((x.clamp(-1, 1) + 1) * 8).round().int().flatten(1).tolist()


def training(n, stops, order, train, held_out):
    r"""One training on n digits: how many of N samples each test calls copies, and when."""
    chosen, schedule = train[order[:n]], Schedule.cosine(1000)
    limit = float(ratios(held_out, chosen).quantile(FALSE))
    with seeded(torch.device("cpu"), WEIGHTS, 0):
        model = UNet(NETWORK)
    trainer = Trainer(model, schedule, chosen, replace(CONFIG, steps=stops[-1]))
    rows = []
    for record in trainer.run():
        if record.step not in stops:
            continue
        x = sample(
            trainer.ema.model, schedule, (N, 1, 8, 8), seed=0, progress=False, **CHAIN
        )
        found = ratios(x, chosen)
        precision, recall = metrics.precision_recall(held_out, x)
        row = {"updates": record.step, "third": int((found < 1 / 3).sum())}
        row |= {"held_out": int((found < limit).sum())}
        row |= {"fd_pixels": round(metrics.frechet_distance(x, held_out), 3)}
        row |= {"precision": round(precision, 4), "recall": round(recall, 4)}
        rows.append(row)
        print(n, row, flush=True)
    near = metrics.nearest(x[:SHOWN], chosen)[0][:, 0]
    ends = {"drawn": grey(x[:SHOWN]), "nearest": order[:n][near].tolist()}
    return {"n": n, "limit": round(limit, 4), "rows": rows} | ends


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few updates; no file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    (train, _), (held_out, _) = data.digits("train"), data.digits("held_out")
    order = torch.randperm(len(train), generator=generator_for(_CHOSEN, 0))
    stops = dict.fromkeys(STOPS, (2, 4)) if arguments.quick else STOPS
    result = {"command": "python figures/memorisation.py", "samples": N}
    result |= {"false_alarms": FALSE, "batch_size": CONFIG.batch_size}
    result |= {"width": NETWORK.width, "seed": 0, "chain": CHAIN, "trainings": []}
    path = ROOT / "figures" / "runs" / "memorisation.json"
    for n in STOPS:
        result["trainings"].append(training(n, stops[n], order, train, held_out))
        if not arguments.quick:
            write_text(path, json.dumps(result | {"versions": versions()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
