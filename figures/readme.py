r"""Make what README shows: `python figures/readme.py [film] [digits] [hint] [text]`.

film: first.gif, clothes that dissolve, and new ones that the shipped model draws.
digits: first_digits.png and runs/first_digits.json, what `make run` draws and measures,
the latter for three seeds.
hint: hint.png, a wrong answer to an exercise and what `check` says of it.
text: the measured numbers in docs/speed.md and docs/evaluating.md, from runs/bench.json and
runs/first_digits.json. Without a word: all of them.
"""

import io
import json
import shutil
import sys
import tempfile
import textwrap
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from matplotlib.patches import Rectangle
from PIL import Image

from ddpm_lite import data, figure, load_pretrained, q_sample, sample_path
from ddpm_lite.bench import page as bench_page
from ddpm_lite.classroom.checking import verdict
from ddpm_lite.classroom.exercise import find
from ddpm_lite.commands import main as command_line
from ddpm_lite.formats.chosen import with_guidance

HERE = Path(__file__).resolve().parent
SEEDS = (0, 1, 2)


def walks(columns=5, rows=3):
    r"""Pictures that dissolve, and others that form: two tensors (moments, n, 1, 28, 28).

    Both pass the same noise levels, those of the chain that is stored with `clothes`.
    """
    clothes, n = load_pretrained("clothes"), columns * rows
    y = torch.arange(n) % 10
    model, how = with_guidance(clothes.model, clothes.drawn_with)
    path = sample_path(model, clothes.schedule, (n, 1, 28, 28), y=y, seed=11, **how)
    states = list(path)
    held_out = data.load("clothes", split="held_out")
    x_0 = torch.stack([held_out.to_float()[held_out.y == k][:2] for k in range(10)], 1)
    x_0 = x_0.flatten(0, 1)[:n]
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(3))
    times = [torch.full((n,), state.t) for state in reversed(states)]
    forward = [q_sample(clothes.schedule, x_0, t, noise) for t in times[1:]]
    return torch.stack([x_0, *forward]), torch.stack([state.x_t for state in states])


def first_film(columns=5, rows=3, scale=5, late=6, hold=8):
    r"""A film: on the left pictures dissolve into noise, on the right new ones form.

    Each column begins `late` frames after the one to its left, so that the two halves
    never look alike. scale: pixels of a pixel.
    """
    halves = walks(columns, rows)
    length = len(halves[0])
    words = ("forward: pictures dissolve into noise", "reverse: noise becomes new pictures")
    labels = [label(text, columns * (28 * scale + scale) - scale) for text in words]
    frames = []
    for moment in range(length + late * (columns - 1) + 2 * hold):
        panels = []
        for half, below in zip(halves, labels, strict=True):
            at = [moment - hold - late * (i % columns) for i in range(columns * rows)]
            at = torch.tensor(at).clamp(0, length - 1)
            x = half[at, torch.arange(len(at))].clamp(-1, 1)
            big = torch.tensor(figure.tile(x, columns)).add(1).mul(127.5).round().byte()
            big = big.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
            panels.append(torch.cat([big, below]))
        gap = torch.full((len(panels[0]), 8 * scale), 255, dtype=torch.uint8)
        frame = torch.cat([panels[0], gap, panels[1]], 1).numpy()
        frames.append(Image.fromarray(frame).convert("RGB"))
    return figure.gif(frames, seconds=0.07, hold=1.5, colours=32)


def label(text, width, height=56):
    r"""A line of text in the middle, uint8 (height, width), dark on white."""
    drawn, axis = figure.canvas(width=width / 100, height=height / 100)
    axis.set_axis_off()
    axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=19, color="#333333")
    image = Image.open(io.BytesIO(figure.png(drawn))).convert("L").resize((width, height))
    return torch.from_numpy(np.array(image))


def film():
    r"""Write first.gif, with one thread, so that the same film comes out again."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    print("wrote", figure.save(first_film(), HERE / "first.gif").name)
    torch.set_num_threads(threads)


def digits():
    r"""Run `ddpm-lite quickstart` for each seed; the picture shown is the first seed's."""
    results = {"command": "python figures/readme.py digits", "runs": []}
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            if command_line.main(["quickstart", "--out", folder, "--seed", str(seed)]):
                raise SystemExit("quickstart failed")
            results["runs"].append(
                json.loads(Path(folder, "quality.json").read_text("utf-8"))
            )
            if seed == SEEDS[0]:
                shutil.copy(Path(folder, "digits.png"), HERE / "first_digits.png")
    file = HERE / "runs" / "first_digits.json"
    file.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print("wrote first_digits.png and runs/first_digits.json")


STUDENT = """\
def jump(alpha_bar, x_0, t, noise):
    kept = alpha_bar[t].reshape(-1, *[1] * (x_0.dim() - 1))
    return (x_0 + (1 - kept).sqrt() * noise).to(x_0.dtype)

check("02.3", jump)"""


def hint():
    r"""Write hint.png: a student's cell, and below it what `check` answers."""
    space = {"check": lambda number, function: space.update(function=function)}
    exec(STUDENT, space)
    said = f"02.3 {verdict(find('02.3'), space['function'], seed=0).said}"
    said = "\n".join(textwrap.wrap(said, 88))
    picture, axis = figure.canvas(width=8.4, height=2.3)
    axis.set_axis_off()
    axis.set(xlim=(0, 1), ylim=(0, 1))
    for low, high, face, edge in (
        (0.40, 1.0, "#f5f5f5", "#dddddd"),
        (0.0, 0.34, "#fff4e0", figure.COLOURS["noise"]),
    ):
        shape = Rectangle((0, low), 1, high - low, facecolor=face, edgecolor=edge)
        axis.add_patch(shape)
    code = dict(family="monospace", fontsize=10.5, va="center")
    axis.text(0.015, 0.70, STUDENT, linespacing=1.35, **code)
    axis.text(0.015, 0.17, said, fontsize=10.5, va="center", linespacing=1.35)
    path = HERE / "hint.png"
    path.write_bytes(figure.png(picture, 200, pnginfo=figure.mark("figure")))
    print("wrote", path.name)


def quality():
    r"""What `make run` measures, in one sentence: the mean over seeds, and the spread."""
    runs = json.loads((HERE / "runs" / "first_digits.json").read_text("utf-8"))["runs"]

    def over_seeds(name):
        values = [run["measures"][name]["generated"] for run in runs]
        return f"{mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    return (
        f"Means over {len(runs)} training seeds, with the lowest and the highest: Fréchet "
        "distance in pixel space, relative to that of real training digits, "
        f"{over_seeds('fd_pixels_1000_ratio')}; precision {over_seeds('precision')}; "
        f"recall {over_seeds('recall')}. A random forest tells new digits from real ones "
        f"in {over_seeds('detectability')} of cases; guessing gives 0.5."
    )


def text():
    r"""Write the measured numbers into their pages in docs, each between its two marks."""
    results = json.loads((HERE / "runs" / "bench.json").read_text("utf-8"))
    bench = "\n".join(bench_page.summary(results))
    for mark, name, lines in (
        ("bench", "speed.md", bench),
        ("quality", "evaluating.md", quality()),
    ):
        page, start, end = HERE.parent / "docs" / name, f"<!-- {mark} -->", "<!-- end -->"
        before, found, after = page.read_text("utf-8").partition(start)
        if not found:
            raise SystemExit(f"docs/{name} needs a place {start}")
        after = after.split(end, 1)[1]
        page.write_text(f"{before}{start}\n\n{lines}\n\n{end}{after}", "utf-8")
    print("wrote the measured numbers into docs/speed.md and docs/evaluating.md")


def main():
    parts = {"film": film, "digits": digits, "hint": hint, "text": text}
    if unknown := set(sys.argv[1:]) - set(parts):
        raise SystemExit(f"there is no {', '.join(unknown)}; there are {', '.join(parts)}")
    for name in sys.argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
