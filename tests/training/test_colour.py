r"""figures/colour.py: the numbers that it writes follow from the logs of a run."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm_lite.training.config import TrainConfig
from ddpm_lite.training.presets import RunConfig

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "figures" / "colour.py"
if not SCRIPT.is_file():
    pytest.skip("there is no figures/, as in the package alone", allow_module_level=True)
spec = importlib.util.spec_from_file_location("colour_script", SCRIPT)
colour = importlib.util.module_from_spec(spec)
spec.loader.exec_module(colour)


def timing(*lines):
    return [{"step": s, "examples_per_second": v, "threads": 2} for s, v in lines]


def test_hours_are_examples_over_their_speed():
    found = colour.stretches(timing((10, 8.0), (20, 4.0)), 32)  # 320 examples each
    assert [line["seconds"] for line in found] == [40, 80]
    assert [line["hours"] for line in found] == pytest.approx([40 / 3600, 120 / 3600])
    assert colour.stretches([], 32) == []


def test_a_step_that_was_made_again_counts_once():
    r"""Killed after step 40, gone on from a checkpoint at 25: 30 and 40 come again."""
    log = timing((10, 8), (20, 8), (30, 8), (40, 8), (30, 4), (40, 16))
    found = colour.stretches(log, 8)
    assert [line["step"] for line in found] == [10, 20, 30, 40]
    assert [line["seconds"] for line in found] == [10, 10, 20, 5]


METRICS = [
    {"step": 10, "loss": 0.5},
    {"step": 20, "loss": 0.25},
    {"step": 20, "held_out_loss": 0.3},
]


def test_numbers_follow_from_the_logs():
    log = timing((10, 8.0), (20, 4.0))
    found = colour.derived(log, METRICS, 32, steps=900, pictures=1000)
    rate = 640 / 120  # of time: the mean of 8 and 4 is another number
    assert found["updates"] == 20 and found["threads"] == [2]
    assert found["hours"] == pytest.approx(120 / 3600, abs=5e-5)
    assert found["pictures_a_second"] == {
        "mean": round(rate, 2),
        "deviation_of_stretches": round(8**0.5, 2),  # (2^2 + 2^2) / (2 - 1)
        "lowest": 4,
        "highest": 8,
        "stretches": 2,
    }
    assert found["an_hour"] == {"updates": 600, "pictures": 19_200, "epochs": 19.2}
    assert found["extrapolated"] == {"steps": 900, "hours": 1.5}
    assert found["loss"] == [
        {"hours": 0.0111, "step": 10, "loss": 0.5},
        {"hours": 0.0333, "step": 20, "loss": 0.25},
    ]
    assert found["held_out"] == [{"hours": 0.0333, "step": 20, "loss": 0.3}]
    one = colour.derived(log[:1], METRICS[:1], 32, steps=900, pictures=1000)
    assert one["pictures_a_second"]["deviation_of_stretches"] is None
    assert one["held_out"] == []


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    r"""Let small-32 be tiny, and return a folder of random pictures for it."""
    rng = np.random.default_rng(0)
    for split, number in (("train", 20), ("test", 6)):
        (tmp_path / "noise" / split).mkdir(parents=True)
        for i, x in enumerate(rng.integers(0, 256, (number, 8, 8, 3), np.uint8)):
            Image.fromarray(x).save(tmp_path / "noise" / split / f"{i:02}.png")
    own = dict(size=8, width=8, multipliers=(1,), attention=(), groups=4, blocks=1, T=20)
    config = RunConfig(unet=replace(RunConfig().unet, **own), sample_steps=2)
    train = TrainConfig(steps=10_000, batch_size=4)
    monkeypatch.setitem(colour.RUNS, "small-32", replace(config, train=train))
    monkeypatch.setattr(colour, "ROOT", tmp_path)
    monkeypatch.setattr(colour, "RESULTS", tmp_path / "colour.json")
    monkeypatch.setattr(colour, "LINES", 1)  # a line and a loss of unseen ones: each
    monkeypatch.setattr(colour, "MEASURED", 1)  # update in so short a time
    return str(tmp_path / "noise")


@pytest.mark.filterwarnings("ignore:q.x_T")  # of a short chain
def test_a_run_is_trained_and_gone_on_with(tiny, tmp_path):
    first = colour.measured("small-32", tiny, 1e-9, None)
    assert (first["updates"], first["pictures"]) == (1, {"training": 20, "unseen": 6})
    again = colour.measured("small-32", tiny, 1e-9, None)  # there is enough already
    assert again | {"load_at_the_start": 0} == first | {"load_at_the_start": 0}
    run = tmp_path / "runs" / "colour_small-32"
    minutes = 1.5 * colour.minutes_of(run, 4)
    found = colour.measured("small-32", tiny, minutes, None)
    assert colour.minutes_of(run, 4) >= 0.98 * minutes
    assert found["updates"] == found["pictures_a_second"]["stretches"] >= 2
    assert found["loss"][0] == first["loss"][0]  # of the same update
    assert [line["step"] for line in found["held_out"]] == [
        line["step"] for line in found["loss"]
    ]
    assert not list(run.glob("samples/*"))
    colour.write({"presets": {"small-32": found}})
    assert tiny not in (tmp_path / "colour.json").read_text("utf-8")
    assert colour.load_results()["presets"]["small-32"] == found


def row(**more):
    found = colour.derived(timing((10, 8.0), (20, 4.0)), METRICS, 32, 900, 50_000)
    about = {"weights": 1_250_000, "batch_size": 32, "warmup_steps": 1200}
    about |= {"load_at_the_start": 0.1}
    about |= {"precision": "bfloat16", "pictures": {"training": 50_000, "unseen": 10_000}}
    return about | found | more


def test_the_page_says_what_the_results_say():
    results = {"presets": {name: row() for name in colour.PRESETS}}
    results["measured_on"] = {"cores": 2}
    said = colour.page(results)
    line = "| 1.2 M | 32 | 5.3 ± 2.8 | 600 | 0.3000, 0.03 | 900: 1 h 30 min |"
    assert said.count(line) == 2 and "| `ddpm-cifar10` | 1.2 M" in said
    assert "2 cores, 2 threads, the network in bfloat16" in said
    assert "rises for 2 hours at this speed" in said
    results["presets"]["small-32"] = row(held_out=[])
    assert "| not measured |" in colour.page(results)


def test_the_page_says_that_the_machine_was_not_alone():
    results = {"presets": {name: row() for name in colour.PRESETS}}
    results["measured_on"] = {"cores": 2}
    assert "Other work" not in colour.page(results)
    results["presets"]["small-32"] = row(load_at_the_start=3.27, threads=[1, 2])
    said = colour.page(results)
    assert "its load was 3.3 and 0.1 at the start" in said
    assert "2 cores, 1 or 2 threads, the network" in said
    results["presets"]["small-32"] = row(load_at_the_start=None)  # a system without loads
    assert "Other work" not in colour.page(results)


def test_the_cost_of_colour_in_the_docs_is_that_which_was_measured():
    if not colour.RESULTS.is_file():
        pytest.skip("figures/runs/colour.json was not measured yet")
    results = json.loads(colour.RESULTS.read_text("utf-8"))
    assert set(results["presets"]) == set(colour.PRESETS)
    docs = (ROOT / "docs" / "choosing.md").read_text("utf-8")
    assert f"\n\n{colour.page(results)}\n\n" in docs
    for found in results["presets"].values():  # nothing of the machine it was made on
        assert "data" not in found and found["updates"] > 0
