r"""Make the pictures that README shows: `python figures/readme.py`.

figures/two_ways.gif: the forward process and the shipped model's way back, as a film.
figures/first_digits.png and runs/first_digits.json: what `make run` draws and measures.
"""

import shutil
import tempfile
from pathlib import Path

import torch

from ddpm_lite import data, figure, load_pretrained, q_sample, sample_path
from ddpm_lite.quickstart import quickstart

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


def main():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    print("wrote", figure.save(two_ways(), HERE / "two_ways.gif").name)
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(quickstart(folder), HERE / "first_digits.png")
        shutil.copy(Path(folder) / "quality.json", HERE / "runs" / "first_digits.json")
    print("wrote first_digits.png and runs/first_digits.json")


if __name__ == "__main__":
    main()
