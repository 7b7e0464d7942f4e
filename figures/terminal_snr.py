r"""How much of a picture's mean survives: `python figures/terminal_snr.py --data FOLDER`.

FOLDER holds mnist, fashion_mnist and cifar10 in the hub's layout. For each channel of the
training pictures: d, the variance of the picture's mean over the pictures, the mean over
the pixels of a pixel's variance over the pictures, and d times their ratio, by which the
signal-to-noise ratio of the mean exceeds that of a pixel. Then (`--part start`, which needs
no FOLDER) the shipped model of clothes is drawn without a class from N(0, I), at T and at a
step where the mean has kept as much as Stable Diffusion's chain keeps at its end; the
spread of the mean brightness is compared. Chapter 11 reads figures/runs/terminal_snr.json.
"""

import argparse
import json
import math
from pathlib import Path

import torch

from ddpm_lite import data, load_pretrained, sample, timestep_pairs
from ddpm_lite.formats.checkpoint import write_text
from ddpm_lite.training.facts import versions

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("gain", "start")
N, STEPS, STARTS = 200, 20, (1000, 880)


def gain(x):
    r"""The numbers of one channel, from pictures (N, H, W) in [-1, 1]."""
    x = x.flatten(1).double()
    of_mean = float(x.mean(1).var(correction=0))
    of_pixel = float(x.var(0, correction=0).mean())
    found = {"d": x.shape[1], "variance_of_mean": of_mean, "variance_of_pixel": of_pixel}
    return found | {"gain": x.shape[1] * of_mean / of_pixel}


def gains(folder):
    r"""A row for each channel of four data sets."""
    sets = {"digits": "digits"}
    sets |= {name: str(folder / name) for name in ("mnist", "fashion_mnist", "cifar10")}
    rows = []
    for name, where in sets.items():
        pictures = data.load(where, split="train")
        for channel in range(pictures.shape[0]):
            parts = (pictures.x_0[:, channel].float() * 2 / (pictures.levels - 1)) - 1
            rows.append({"data": name, "channel": channel, "pictures": len(parts)})
            rows[-1] |= gain(parts)
            print(rows[-1], flush=True)
    return rows


def starts():
    r"""A row for each start of DDIM: the deviation of the samples' mean brightness.

    Its standard error is that of a deviation of N draws with their fourth moment.
    """
    clothes, rows = load_pretrained("clothes"), []
    for start in STARTS:
        last = timestep_pairs(start, STEPS)
        parts = [
            sample(
                clothes.model,
                clothes.schedule,
                (len(part), 1, 28, 28),
                sampler="ddim",
                pairs=last,
                y=torch.full((len(part),), 10),
                seed=[(0, int(i)) for i in part],
                progress=False,
            )
            for part in torch.arange(N).split(50)
        ]
        m = torch.cat(parts).clamp(-1, 1).flatten(1).double().mean(1)
        away = (m - m.mean()).square()
        error = float(away.std() / (2 * away.mean().sqrt()) / math.sqrt(N))
        rows.append({"start": start, "alpha_bar": float(clothes.schedule.alpha_bar[start])})
        rows[-1] |= {"samples": N, "steps": STEPS, "deviation": float(m.std())}
        rows[-1] |= {"error": error, "lowest": float(m.min()), "highest": float(m.max())}
        print(rows[-1], flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the three data sets")
    parser.add_argument("--part", choices=PARTS, help="one of two; both if left out")
    arguments = parser.parse_args()
    if arguments.part != "start" and not arguments.data:
        parser.error("--data is needed")
    torch.set_num_threads(1)
    path = ROOT / "figures" / "runs" / "terminal_snr.json"
    found = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    found |= {"command": "python figures/terminal_snr.py --data FOLDER"}
    for part in [arguments.part] if arguments.part else PARTS:
        found["rows" if part == "gain" else "starts"] = (
            gains(Path(arguments.data)) if part == "gain" else starts()
        )
        write_text(path, json.dumps(found | {"versions": versions()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
