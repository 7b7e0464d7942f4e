r"""Make what README shows: `python figures/readme.py`, or only the table: `... table`.

figures/two_ways.gif: the forward process and the shipped model's way back, as a film.
figures/first_digits.png and runs/first_digits.json: what `make run` draws and measures.
The table of speeds is written into README.md, from runs/bench.json.
"""

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

import torch

from ddpm_lite import data, figure, load_pretrained, q_sample, sample_path
from ddpm_lite.bench import page as bench_page
from ddpm_lite.commands import main as command_line

HERE = Path(__file__).resolve().parent


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


def table():
    r"""Write the table of speeds into README.md."""
    results = json.loads((HERE / "runs" / "bench.json").read_text("utf-8"))
    lines = "\n".join(bench_page.summary(results))
    readme = HERE.parent / "README.md"
    text = readme.read_text("utf-8")
    text, places = re.subn(
        r"(<!-- bench -->\n\n).*?(\n\n<!-- end -->)",
        lambda found: found[1] + lines + found[2],
        text,
        flags=re.DOTALL,
    )
    if places != 1:
        raise SystemExit("README.md needs one place for the table, <!-- bench -->")
    readme.write_text(text, "utf-8")
    print("wrote the table of speeds into README.md")


def main():
    table()
    if sys.argv[1:] == ["table"]:
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    print("wrote", figure.save(two_ways(), HERE / "two_ways.gif").name)
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        if command_line.main(["quickstart", "--out", folder]):
            raise SystemExit("quickstart failed")
        shutil.copy(Path(folder) / "digits.png", HERE / "first_digits.png")
        shutil.copy(Path(folder) / "quality.json", HERE / "runs" / "first_digits.json")
    print("wrote first_digits.png and runs/first_digits.json")


if __name__ == "__main__":
    main()
