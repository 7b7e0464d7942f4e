r"""Make what README shows: `python figures/readme.py [film] [digits] [text]`, or all.

film: two_ways.gif, the forward process and the shipped model's way back.
digits: first_digits.png and runs/first_digits.json, what `make run` draws and measures,
the latter for three seeds.
text: the measured numbers in README.md, from runs/bench.json and runs/first_digits.json.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import mean

import torch

from ddpm_lite import data, figure, load_pretrained, q_sample, sample_path
from ddpm_lite.bench import page as bench_page
from ddpm_lite.commands import main as command_line

HERE = Path(__file__).resolve().parent
SEEDS = (0, 1, 2)


def two_ways(points=1500, every=4):
    r"""A film: on the left data turns into noise, on the right noise turns into data."""
    pretrained = load_pretrained("s_curve")
    schedule = pretrained.schedule
    x_0 = data.s_curve(points, seed=2)
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(1))
    forward = [x_0] + [
        q_sample(schedule, x_0, torch.full((points,), t), noise)
        for t in range(1, schedule.T + 1)
    ]
    back = list(
        sample_path(pretrained.model, schedule, x_0.shape, variance="small", seed=4)
    )
    frames = list(zip(forward, [state.x_t for state in back], strict=True))[::every]
    titles = [
        f"data to noise, t = {t}            noise to data, t = {schedule.T - t}"
        for t in range(0, schedule.T + 1, every)
    ]
    return figure.gif(figure.film_frames(frames, titles, ("x_0", "prediction"), 3.2), 0.09)


def film():
    r"""Write two_ways.gif, with one thread, so that the same film comes out again."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    print("wrote", figure.save(two_ways(), HERE / "two_ways.gif").name)
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
    r"""Write the measured numbers into README.md, each between its two marks."""
    results = json.loads((HERE / "runs" / "bench.json").read_text("utf-8"))
    numbers = {"bench": "\n".join(bench_page.summary(results)), "quality": quality()}
    readme = HERE.parent / "README.md"
    written = readme.read_text("utf-8")
    for mark, lines in numbers.items():
        start, end = f"<!-- {mark} -->", "<!-- end -->"
        if written.count(start) != 1:
            raise SystemExit(f"README.md needs one place {start}")
        before, after = written.split(start)
        after = after.split(end, 1)[1]
        written = f"{before}{start}\n\n{lines}\n\n{end}{after}"
    readme.write_text(written, "utf-8")
    print("wrote the measured numbers into README.md")


def main():
    parts = {"film": film, "digits": digits, "text": text}
    if unknown := set(sys.argv[1:]) - set(parts):
        raise SystemExit(f"there is no {', '.join(unknown)}; there are {', '.join(parts)}")
    for name in sys.argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
