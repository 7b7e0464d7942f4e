r"""The picture of a run's curves: what it shows, and what it says when there is nothing."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from ddpm_lite.training import curves
from ddpm_lite.training.curves import draw_curves, smooth

ABOUT = {
    "unet": {"T": 1000},
    "train": {
        "steps": 500,
        "log_every": 10,
        "grad_clip": 1.0,
        "lr": 1e-3,
        "ema_decay": 0.99,
    },
    "described": {"pictures": 1438, "name": "digits"},
}


def line(step, **changes):
    loss = 0.1 + 10 / step
    return {
        "step": step,
        "loss": loss,
        "loss_bands": [loss / 2**band for band in range(10)],
        "grad_norm": 5 / step**0.5,
        "grad_norm_max": 9 / step**0.5,
        "clipped": 0.25,
        "lr": 1e-3 * step / 500,
        "ema_initial_share": 0.99**step,
    } | changes


def write(run, lines, timing=(), about=ABOUT):
    run.mkdir(exist_ok=True)
    (run / "config.json").write_text(json.dumps(about))
    for name, rows in (("metrics", lines), ("timing", timing)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (run / f"{name}.jsonl").write_text(text)
    return run


@pytest.fixture
def drawn(monkeypatch):
    r"""The figures that would be saved, laid out but not rendered."""
    charts = []

    def keep(chart, path):
        chart.draw_without_rendering()
        charts.append(chart)
        return path

    monkeypatch.setattr(curves.figure, "save", keep)
    return charts


LINES = [line(step) for step in range(10, 500, 10)]
HELD_OUT = [{"step": s, "held_out_loss": 20 / s, "held_out_bands": []} for s in (100, 400)]
TIMING = [{"step": s, "examples_per_second": 100 + s} for s in (10, 20, 30)]


def titles(chart):
    return [axis.get_title(loc="left") for axis in chart.axes]


def test_the_picture_is_written_to_the_path_that_is_returned(tmp_path):
    run = write(tmp_path / "run", [*LINES, *HELD_OUT], TIMING)
    path = draw_curves(run, tmp_path / "out" / "curves.png")
    with Image.open(path) as picture:
        assert picture.format == "PNG" and picture.size == (2000, 1800)
        assert np.asarray(picture.convert("L")).std() > 10  # not blank


def test_the_titles_say_the_numbers_of_the_log(tmp_path, drawn):
    draw_curves(write(tmp_path / "run", [*LINES, *HELD_OUT], TIMING), tmp_path / "c.png")
    chart = drawn[0]
    assert "1,438 pictures of digits" in chart.get_suptitle()
    assert "step 490 of 500" in chart.get_suptitle()
    loss, bands, gradient, rate, average, speed = titles(chart)
    assert loss == "loss 0.1204; held-out pictures 0.0500"
    assert "bands of t" in bands
    assert gradient == "gradient norm 0.226; cut in 25% of the last steps"
    assert rate == "learning rate 0.00098; lr = 0.001"
    assert average == "initial weights in the EMA 7e-03; ema_decay = 0.99"
    assert speed == "speed, median 120 pictures/s"


def test_the_lines_are_those_of_the_log(tmp_path, drawn):
    draw_curves(write(tmp_path / "run", [*LINES, *HELD_OUT], TIMING), tmp_path / "c.png")
    loss, bands, gradient, rate, average, speed = drawn[0].axes
    raw, mean, aside = loss.lines
    assert list(raw.get_ydata()) == [row["loss"] for row in LINES]
    assert mean.get_ydata()[0] == pytest.approx(LINES[0]["loss"])
    assert list(aside.get_xdata()) == [100, 400] and list(aside.get_ydata()) == [0.2, 0.05]
    assert len(bands.lines) == 10
    for band, drawn_band in enumerate(bands.lines):
        assert drawn_band.get_ydata()[-1] == pytest.approx(LINES[-1]["loss_bands"][band])
    names = [text.get_text() for text in bands.texts]
    assert len(names) == 10 and f"t 1\u2013100:  {LINES[-1]['loss']:.2g}" in names
    assert any(name.startswith("t 901\u20131000:") for name in names)
    assert list(gradient.lines[1].get_ydata()) == [row["grad_norm"] for row in LINES]
    assert list(gradient.lines[2].get_ydata()) == [1, 1]  # where it is cut
    assert list(rate.lines[0].get_ydata()) == [row["lr"] for row in LINES]
    assert list(average.lines[1].get_ydata()) == [0.01, 0.01]
    assert list(speed.lines[0].get_ydata()) == [110, 120, 130]


def test_two_lines_without_anything_else_are_enough(tmp_path, drawn):
    empty = [None] * 9 + [0.5]
    lines = [
        line(10, loss_bands=empty),
        line(20, loss_bands=empty, ema_initial_share=0.0, grad_norm=math.nan),
    ]
    run = write(tmp_path / "run", lines, about={"train": {"grad_clip": None}})
    draw_curves(run, tmp_path / "c.png")
    assert titles(drawn[0])[5] == "no timing"
    names = [text.get_text() for text in drawn[0].axes[1].texts]
    assert names == ["band 10 of 10:  0.5"]


def test_one_line_and_steps_on_a_logarithmic_axis(tmp_path, drawn):
    run = write(tmp_path / "run", LINES)
    draw_curves(run, tmp_path / "c.png", log_steps=True)
    assert {axis.get_xscale() for axis in drawn[0].axes} == {"log"}
    draw_curves(write(tmp_path / "one", LINES[:1]), tmp_path / "one.png")
    assert titles(drawn[1])[0] == "loss 1.1000"


def test_a_speed_that_was_timed_twice_is_the_newer_one(tmp_path, drawn):
    again = [{"step": 20, "examples_per_second": 500}]
    draw_curves(write(tmp_path / "run", LINES, [*TIMING, *again]), tmp_path / "c.png")
    assert list(drawn[0].axes[5].lines[0].get_ydata()) == [110, 500, 130]


def test_it_says_when_the_first_line_comes(tmp_path):
    run = write(tmp_path / "run", [])
    with pytest.raises(ValueError, match=r"no metrics to draw yet.* after 10 steps"):
        draw_curves(run, tmp_path / "c.png")
    assert not (tmp_path / "c.png").exists()


def test_it_says_what_is_no_run_and_what_is_not_whole(tmp_path):
    with pytest.raises(FileNotFoundError, match="not the folder of a run"):
        draw_curves(tmp_path, tmp_path / "c.png")
    run = write(tmp_path / "run", LINES)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 50')
    with pytest.raises(ValueError, match=r"a line of .*metrics.jsonl is not whole"):
        draw_curves(run, tmp_path / "c.png")


def test_smoothing_keeps_the_ends_and_leaves_out_nan():
    assert list(smooth([1, 2, 6], 1)) == [1, 2, 6]
    assert list(smooth([1, 2, 6, 7, 9], 3)) == [1, 3, 5, 22 / 3, 9]
    assert list(smooth([3.0, math.nan, 5.0], 3)) == [3, 4, 5]
    assert math.isnan(smooth([math.nan], 5)[0])


def test_labels_are_moved_apart_and_stay_in_order():
    places = {"a": 0.50, "b": 0.51, "c": 0.52, "d": 0.99, "e": 0.995}
    moved = curves._apart(places, gap=0.1)
    heights = list(moved.values())
    assert list(moved) == list("abcde")
    assert all(b - a > 0.1 - 1e-9 for a, b in pairwise(heights))
    assert heights[-1] <= 1 and heights[0] == 0.5
    assert curves._apart({"x": 0.1, "y": 0.9}) == {"x": 0.1, "y": 0.9}
