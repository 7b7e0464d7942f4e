r"""One network, many samplers, equal calls: `python figures/samplers.py --data FOLDER`.

For chapter 09. `clothes` draws the same 120 pictures (three seeds of 40, the classes in
turn, the same x_T for every sampler) in about 20 calls, without guidance; `fashion`, the
first model of clothes, in 50. FOLDER holds Fashion-MNIST in the hub's layout, for real
pictures beside them. Each row is written into figures/runs/samplers.json as soon as it is
there, and a row that is there is not drawn again. On one core it takes ten minutes.
"""

import argparse
import json
from pathlib import Path

import torch

from ddpm_lite import data, load_pretrained, sample
from ddpm_lite.evaluation import metrics
from ddpm_lite.evaluation.classifier import load_judge, look
from ddpm_lite.evaluation.panel import black, roughness, spread
from ddpm_lite.sampling.solvers import network_calls
from ddpm_lite.training.facts import versions

RUNS = Path(__file__).resolve().parent / "runs"
SEEDS, EACH = 3, 40
DDIM, ANCESTRAL = dict(sampler="ddim"), dict(sampler="ancestral")
TRAILING, EVEN = (
    dict(sampler="dpmpp_2m", spacing=name) for name in ("trailing", "log_snr")
)
HEUN = dict(sampler="heun", spacing="log_snr", steps=10)
SMALL, LARGE = (ANCESTRAL | dict(variance=name) for name in ("small", "large"))
ROWS = [
    *(("clothes", how | {"steps": 20}) for how in (DDIM, TRAILING, EVEN, SMALL, LARGE)),
    ("clothes", HEUN),
    ("fashion", DDIM | {"steps": 50}),
    ("fashion", SMALL | {"steps": 50}),
]


def draws(found, how):
    r"""The pictures of each seed, and the classes that were asked for."""
    y = torch.arange(EACH) % 10
    shape = (EACH, 1, 28, 28)
    for seed in range(SEEDS):
        how = how | dict(y=y, seed=seed, clip=(-1, 1), progress=False)
        x = sample(found.model, found.schedule, shape, **how)
        yield metrics.round_to_levels(x, 256), y


def judged(pairs, held_out, real, judge):
    r"""Mean and deviation over the seeds, over real pictures; distances of all together."""
    rows = [
        {
            "roughness": roughness(x) / roughness(held_out),
            "black": black(x) / black(held_out),
            "label": float((look(judge, x)[1] == y).double().mean()),
        }
        for x, y in pairs
    ]
    both = spread(rows)
    found = {name: round(value["mean"], 4) for name, value in both.items()}
    found |= {f"{name}_spread": round(v["spread"], 4) for name, v in both.items()}
    x = torch.cat([x for x, _ in pairs])
    usual = metrics.frechet_distance(real, held_out)
    found["fd_pixels"] = round(metrics.frechet_distance(x, held_out) / usual, 4)
    for name, of in (("generated", x), ("real", real)):
        precision, recall = metrics.precision_recall(held_out, of)
        found[f"precision_{name}"] = round(precision, 4)
        found[f"recall_{name}"] = round(recall, 4)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of Fashion-MNIST")
    arguments = parser.parse_args()
    held_out = data.load(arguments.data, split="test").to_float(slice(0, 2000))
    real = data.load(arguments.data, split="train").to_float(slice(0, SEEDS * EACH))
    judge, _ = load_judge("clothes")
    path = RUNS / "samplers.json"
    result = json.loads(path.read_text("utf-8")) if path.is_file() else {"rows": []}
    result |= {"command": "python figures/samplers.py --data FOLDER"}
    result |= {"seeds": SEEDS, "of_each": EACH, "versions": versions()}
    for name, how in ROWS:
        about = {"network": name} | how
        about["calls"] = network_calls(how["sampler"], how["steps"])
        if any(about.items() <= row.items() for row in result["rows"]):
            continue
        found = load_pretrained(name)
        row = about | judged(list(draws(found, how)), held_out, real, judge)
        result["rows"].append(row)
        print(row, flush=True)
        path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
