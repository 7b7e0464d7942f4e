r"""A script that evaluates, with faults: `python figures/bugs_evaluation.py`.

The exercise of the kind "bug" in chapter 10 shows what such a script says. Here it is run
on pictures of which more is known: digits against themselves, against other digits, and
samples of the shipped network `digits`, which is sound, in the order of their classes. The
script without a fault, with the two that the exercise shows, and with every fault of its
list alone, each in seconds on a CPU. Writes figures/runs/bugs_evaluation.json, from which
tests/classroom/test_bugs_evaluation.py reads which fault has which symptom. --draw writes
exercises/bugs/10.png, the picture of the statement.
"""

import argparse
import json
from pathlib import Path

import torch
from PIL import Image

from ddpm_lite import data, figure, load_pretrained
from ddpm_lite.sampling.sampler import sample
from ddpm_lite.training.facts import versions

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "figures" / "runs" / "bugs_evaluation.json"
PICTURE = ROOT / "exercises" / "bugs" / "10.png"
SOUND = ()
SHOWN = ("diagonal_kept", "first_n")
OTHERS = (
    "all_of_them",
    "cross_once",
    "kernel_not_divided",
    "no_means",
    "not_squared",
    "over_n",
    "root_of_entries",
    "same_choice",
    "scale",
    "with_replacement",
)
SIZES = (50, 100, 200)
SEEDS = 5
AXES = 16  # of the features


def evaluate(features, generated, real, n, seed, faults=SOUND):
    r"""(Frechet distance, KID) of n generated and n real pictures, in features."""
    chosen = torch.Generator().manual_seed(seed)
    if "scale" in faults:
        generated = (generated + 1) / 2
    picked = []
    for pictures in (generated, real):
        order = torch.randperm(len(pictures), generator=chosen)
        if "first_n" in faults:
            order = torch.arange(len(pictures))
        if "with_replacement" in faults:
            order = torch.randint(len(pictures), (n,), generator=chosen)
        if "same_choice" in faults:
            shared = torch.Generator().manual_seed(seed)
            order = torch.randperm(min(len(generated), len(real)), generator=shared)
        picked.append(pictures[order if "all_of_them" in faults else order[:n]])
    x, y = (features(pictures).double() for pictures in picked)
    S_x, S_y = (z.T.cov(correction=0 if "over_n" in faults else 1) for z in (x, y))
    if "root_of_entries" in faults:
        roots = (S_x @ S_y).abs().sqrt().diagonal()
    else:
        roots = torch.linalg.eigvals(S_x @ S_y).real.clamp(min=0).sqrt()
    shift = (x.mean(0) - y.mean(0)).square().sum()
    shift = shift.sqrt() if "not_squared" in faults else shift
    shift = 0 * shift if "no_means" in faults else shift
    distance = shift + S_x.trace() + S_y.trace() - 2 * roots.sum()

    def kernel(a, b):
        D = 1 if "kernel_not_divided" in faults else a.shape[1]
        table = a @ b.T / D + 1
        return table * table * table

    def among(a):
        if "diagonal_kept" in faults:
            return kernel(a, a).mean()
        table = kernel(a, a)
        return (table.sum() - table.trace()) / (len(a) * (len(a) - 1))

    across = (1 if "cross_once" in faults else 2) * kernel(x, y).mean()
    return float(distance), float(among(x) + among(y) - across)


def pictures(count=250):
    r"""(training digits, held-out digits, samples in the order of their classes).

    A sample does not change with the number of those that are drawn beside it.
    """
    shipped = load_pretrained("digits")
    y = torch.arange(count) // 25
    drawn = sample(
        shipped.model,
        shipped.schedule,
        (count, 1, 8, 8),
        steps=10,
        sampler="ddim",
        seed=10,
        y=y,
        progress=False,
    )
    return data.digits("train")[0], data.digits("held_out")[0], drawn.clamp(-1, 1)


def axes_of(train):
    r"""The features: coordinates along the 16 axes in which digits vary most."""
    flat = train.flatten(1).double()
    _, _, axes = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
    return lambda x: x.flatten(1).double() @ axes[:AXES].T


def several(features, generated, real, n, faults):
    r"""[mean, deviation] over seeds of both numbers."""
    found = [evaluate(features, generated, real, n, k, faults) for k in range(SEEDS)]
    found = torch.tensor(found, dtype=torch.float64)
    return [[float(v.mean()), float(v.std())] for v in found.T]


def numbers(faults, known=None):
    r"""All that the table of the statement shows of a script with these faults."""
    train, held_out, drawn = known or pictures()
    features, found = axes_of(train), {}
    for n in SIZES:
        for name, x in (("samples", drawn), ("train", train)):
            fd, kid = several(features, x, held_out, n, faults)
            found |= {f"{name}_fd_{n}": fd, f"{name}_kid_{n}": kid}
    for n in (100, 359):
        fd, kid = several(features, held_out, held_out, n, faults)
        found |= {f"itself_fd_{n}": fd, f"itself_kid_{n}": kid}
    return found


def sheet(results):
    r"""The numbers of the statement, as Markdown."""
    rows = {tuple(row["faults"]): row for row in results["rows"]}
    lines = [
        "| | sound: distance | KID | this script: distance | KID |",
        "|---|---|---|---|---|",
    ]
    for words, key, n in TABLE:
        cells = []
        for faults in (SOUND, SHOWN):
            for kind in ("fd", "kid"):
                mean, spread = rows[faults][f"{key}_{kind}_{n}"]
                cells.append(f"{mean + 0:.3f} ± {spread:.3f}".replace("-0.000", "0.000"))
        lines.append(f"| {words}, n = {n} | {' | '.join(cells)} |")
    return "\n".join(lines)


TABLE = (
    *(("samples, held-out digits", "samples", n) for n in SIZES),
    *(("training digits, held-out digits", "train", n) for n in SIZES),
    *(("held-out digits, the same digits", "itself", n) for n in (100, 359)),
)


def drawing(results, known):
    r"""The picture of the statement: both numbers against n, and pictures."""
    rows = {tuple(row["faults"]): row for row in results["rows"]}
    _, held_out, drawn = known
    ratios = {"height_ratios": (2, 1)}
    fig, ((*axes,), below) = figure.canvas(2, 2, width=7.6, height=4, gridspec_kw=ratios)
    for axis in below:
        axis.remove()
    axes.append(fig.add_subplot(below[0].get_gridspec()[1, :]))
    colours = (
        ("prediction", figure.COLOURS["prediction"]),
        ("extra", figure.COLOURS["extra"]),
    )
    for axis, kind, title in zip(
        axes, ("fd", "kid"), ("Fréchet distance", "KID"), strict=False
    ):
        for faults, (_, colour), who in zip(
            (SOUND, SHOWN), colours, ("sound", "this script"), strict=True
        ):
            for name, line in (("samples", "o-"), ("train", "s:")):
                values = [rows[faults][f"{name}_{kind}_{n}"][0] for n in SIZES]
                axis.plot(
                    SIZES, values, line, color=colour, markersize=4, label=f"{who}, {name}"
                )
        axis.set(xlabel="$n$", title=title)
        axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
    axes[0].legend(
        [
            "sound: samples",
            "sound: training digits",
            "this script: samples",
            "this script: training digits",
        ],
        fontsize=7,
    )
    shown = torch.cat([held_out[:24], drawn[:24], drawn[75:99]])
    axes[2].imshow(figure.tile(shown, 24), cmap="gray", vmin=-1, vmax=1)
    axes[2].set_yticks([3.5, 12.5, 21.5], ["held out", "samples 1 to 24", "76 to 99"])
    axes[2].tick_params(length=0)
    axes[2].set_xticks([])
    axes[2].grid(False)
    for spine in axes[2].spines.values():
        spine.set_visible(False)
    return fig


def save(fig, path, width=988, colours=48):
    r"""Write a picture of a statement, small enough to travel inside a notebook."""
    with Image.open(figure.save(fig, path)) as large:
        size = width, round(large.height * width / large.width)
        small = (
            large.convert("RGB").resize(size, Image.Resampling.LANCZOS).quantize(colours)
        )
    small.save(path, optimize=True, pnginfo=figure.mark("figure"))


def rounded(value):
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(f"{value:.4g}") if abs(value) > 1e-9 else 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draw", action="store_true", help="the picture alone")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.draw:
        save(drawing(json.loads(RESULTS.read_text()), pictures(100)), PICTURE)
        return
    known = pictures()
    every = [SOUND, SHOWN, *((name,) for name in (*SHOWN, *OTHERS))]
    results = {"command": "python figures/bugs_evaluation.py", "versions": versions()}
    results["rows"] = []
    for faults in every:
        results["rows"].append({"faults": list(faults), **rounded(numbers(faults, known))})
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(sheet(results))


if __name__ == "__main__":
    main()
