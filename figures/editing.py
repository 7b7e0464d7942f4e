r"""Encode and decode clothes at two guidance scales: `python figures/editing.py`.

Six held-out pictures, the shipped model of clothes, no guidance and 7.5, by number of
steps. For chapter 15. Writes figures/runs/editing.json: what the round trip loses, over
the deviation of the pictures' pixels, and the deviation of the codes; each as the median,
the least and the most of the six. About three minutes on one core.
"""

import json
from pathlib import Path

import torch

from ddpm_lite import data, guided, load_pretrained, timestep_pairs
from ddpm_lite.formats.checkpoint import write_text
from ddpm_lite.sampling import decode, encode
from ddpm_lite.training.facts import versions

PATH = Path(__file__).resolve().parent / "runs" / "editing.json"
KINDS, STEPS, SCALES = (0, 1, 3, 5, 8, 9), (10, 30, 90), (1.0, 7.5)


def first_of(kinds):
    r"""The first held-out picture of each of these classes, in [-1, 1], and the labels."""
    pictures = data.load("clothes", split="held_out")
    labels = torch.as_tensor(pictures.y)
    places = torch.tensor([int((labels == kind).nonzero()[0]) for kind in kinds])
    return pictures.to_float(places), labels[places]


def summary(values):
    r"""Median, least and most, with four digits."""
    found = (values.median(), values.min(), values.max())
    return [float(f"{float(v):.4g}") for v in found]


def main():
    torch.set_num_threads(1)
    clothes, rows = load_pretrained("clothes"), []
    x_0, y = first_of(KINDS)
    for scale in SCALES:
        model = clothes.model if scale == 1 else guided(clothes.model, scale)
        for steps in STEPS:
            pairs = timestep_pairs(950, steps)
            code = encode(model, clothes.schedule, x_0, pairs, y=y)
            back = decode(model, clothes.schedule, code, pairs, y=y)
            lost = (back - x_0).flatten(1).square().mean(1).sqrt() / x_0.std()
            row = {"scale": scale, "steps": steps, "lost": summary(lost)}
            row["code"] = summary(code.flatten(1).square().mean(1).sqrt())
            rows.append(row)
            print(row)
    result = {
        "command": "python figures/editing.py",
        "kinds": KINDS,
        "from": 950,
        "rows": rows,
        "versions": versions(),
    }
    write_text(PATH, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
