r"""`python figures/measures.py` from pictures to its files, on digits and two steps."""

import copy
import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm_lite import data, guided, load_pretrained, sample, save_model
from ddpm_lite.evaluation import classifier, panel

FIGURES = Path(__file__).parents[2] / "figures"
pytestmark = pytest.mark.skipif(
    not (FIGURES / "measures.py").exists(), reason="the package alone, without figures/"
)
FAST = ["--with", "sampler=ddim", "steps=2"]


@pytest.fixture(scope="module")
def measures():
    sys.path.insert(0, str(FIGURES))
    yield importlib.import_module("measures")
    sys.path.remove(str(FIGURES))


@pytest.fixture(scope="module")
def eye():
    train = data.load("digits", split="train")
    return classifier.train_classifier(train, epochs=2, batch_size=32, progress=False)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    r"""What real pictures score is computed once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(measures, eye, tmp_path, cache, monkeypatch):
    r"""A function that runs the command on digits, in tmp_path, with small forests."""
    splits = {"train": "train", "test": "held_out"}
    known = {"data": "digits", "accuracy": 0.9, "unseen": 359}
    load = data.load

    def digits(folder, split):
        return load("digits", split=splits[split])

    real = importlib.import_module("measures_real")
    monkeypatch.setattr(data, "load", digits)
    monkeypatch.setattr(classifier, "load_judge", lambda name: (eye, known))
    monkeypatch.setattr(real, "TREES", 2)
    monkeypatch.setattr(real, "DRAWS", 2)

    def run(*words, model="digits", num=40, cache=cache):
        sizes = ["--num", str(num), "--held-out", "150", "--seeds", "2"]
        sizes += ["--out", str(tmp_path), "--cache", str(cache)]
        measures.main(["mnist", "--data", "folder", "--model", model, *sizes, *words])
        files = tmp_path.glob("measures_*.json")
        return {path.stem: json.loads(path.read_text("utf-8")) for path in files}

    return run


def test_the_whole_table_and_that_a_second_run_draws_nothing(
    run, measures, capsys, monkeypatch
):
    found = run(*FAST)["measures_mnist"]
    assert list(found["drawn"]["measures"]) == list(measures.page.MEASURES)
    assert found["drawn"]["drawn_with"] == {"sampler": "ddim", "steps": 2}
    assert not found["drawn"]["stored"] and found["drawn"]["calls"] == 2
    assert len(found["drawn"]["each"]) == 2 and set(found["faults"]) == set(
        measures.page.FAULTS
    )
    for name, both in found["drawn"]["measures"].items():
        values = [row[name] for row in found["drawn"]["each"]]
        # five digits are written
        assert both["mean"] == pytest.approx(sum(values) / 2, rel=1e-4, abs=1e-4)
        assert both["spread"] == pytest.approx(
            abs(values[0] - values[1]) / 2**0.5, rel=1e-3, abs=1e-4
        )
    assert found["training"]["fd_pixels"]["mean"] == pytest.approx(1, abs=1e-4)
    assert found["training"]["copying_share"]["mean"] == pytest.approx(1, abs=1e-4)
    for name, done in found["drawn"]["reached"].items():
        mean = found["drawn"]["measures"][name]["mean"]
        assert done == (measures.outside("mnist", name, mean) == 0)
    # after two steps the background is grey, and noise of two grey levels is not black
    assert not found["drawn"]["reached"]["black"]
    out = {
        fault: {k for k, v in row.items() if measures.outside("mnist", k, v) > 0}
        for fault, row in found["faults"].items()
    }
    assert "black" in out["invisible_noise"] and "label" in out["wrong_labels"]
    assert "copying_share" in out["memoriser"]
    for fault, seen in found["seen"].items():  # what no fault does too is not its doing
        assert set(seen) == out[fault] - out["no_fault"]
    said = capsys.readouterr().out
    assert "NO" in said and "not the chain that is stored with digits" in said
    assert str(FIGURES) not in json.dumps(found) and "/tmp" not in json.dumps(found)

    def never(*a, **k):
        raise AssertionError("drew again")

    monkeypatch.setattr(importlib.import_module("measures_model"), "sample", never)
    monkeypatch.setattr(importlib.import_module("measures_real"), "planted", never)
    assert run(*FAST)["measures_mnist"] == found
    with pytest.raises(ValueError, match="holds what a model scored"):
        run("--real-only")


def test_what_is_judged_is_what_sample_draws(run, measures, tmp_path):
    found = load_pretrained("digits")
    plain = {"sampler": "ddim", "steps": 3}
    stored = plain | {"guidance": 2.0}
    path = tmp_path / "mine.safetensors"
    save_model(path, found.model, found.schedule, found.config | {"drawn_with": stored})
    seen = []
    usual = panel.judge

    def watched(against, x, y=None, free=None, seed=0):
        seen.append((x, y, free))
        return usual(against, x, y, free, seed)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("measures_real", "measures_model"):
            patch.setattr(importlib.import_module(name), "judge", watched)
        result = run(model=str(path), cache=tmp_path)["measures_mnist"]
    assert result["drawn"]["drawn_with"] == stored and result["drawn"]["stored"]
    assert result["model"]["name"] == "mine"
    x, y, free = seen[-1]  # of seed 1
    levels = 127.5 * (x + 1)
    assert (levels - levels.round()).abs().max() < 1e-3 and not torch.equal(x, free)
    for model, labels, pictures in (
        (guided(found.model, 2.0), y, x),
        (found.model, None, free),
    ):
        seeds = [(1, i) for i in range(40)]
        how = dict(seed=seeds, y=labels, progress=False, **plain)
        own = sample(model, found.schedule, (40, 1, 8, 8), **how)
        # a batch of another size, and half a grey level of rounding
        assert (own.clamp(-1, 1) - pictures).abs().max() <= 1 / 255 + 1e-3
    real = [labels for _, labels, _ in seen[:2]]
    assert torch.equal(y, real[1])  # of the second draw of training pictures


def test_real_pictures_alone_need_no_model(run):
    with pytest.raises(SystemExit):
        run("--real-only", "--chains")
    found = run("--real-only", model="there-is-none")["measures_mnist"]
    assert "drawn" not in found and found["unseen"]["fd_pixels"]["mean"] > 0


def test_what_does_not_fit_is_refused_before_anything_is_judged(run, measures, monkeypatch):
    monkeypatch.delattr(importlib.import_module("measures_real"), "judge")
    with pytest.raises(ValueError, match=r"fashion draws pictures of shape \(1, 28, 28\)"):
        run(model="fashion")
    with pytest.raises(
        ValueError, match=r"359 pictures, of which 150 are held out and 2 x 200"
    ):
        run(num=200)
    with pytest.raises(ValueError, match="--num must be an integer >= 10, got 3"):
        run(num=3)


def test_the_sheet_is_blind_and_its_key_counts(run, tmp_path, capsys):
    cache = tmp_path / "own"
    run("--sheet", *FAST, cache=cache)
    key = json.loads((cache / "mnist_sheet_key.json").read_text("utf-8"))
    assert sorted(key["drawn"] + key["real"]) == list(range(1, 81))
    assert len(key["drawn"]) == 40 and key["drawn"] != list(range(1, 41))
    sheet = np.asarray(Image.open(cache / "mnist_sheet.png"))
    width, height = 80 + 4, 80 + 14  # 8 pixels, ten times
    assert sheet.shape == (5 * height, 16 * width, 3)
    files = [np.load(p) for p in cache.glob("digits_*.npy")]
    first = files[0][0, 0]
    place = key["drawn"]
    shown = []
    for number in place:
        top, left = (number - 1) // 16 * height, (number - 1) % 16 * width
        shown.append(sheet[top : top + 80 : 10, left : left + 80 : 10, 0])
    assert len(files) == 1 and any((picture == first).all() for picture in shown)
    named = [*key["drawn"][:3], key["real"][0]]
    found = run("--named", *map(str, named), cache=cache)["measures_mnist_sheet"]
    assert (found["broken_drawn"], found["broken_real"], found["of_each"]) == (3, 1, 40)
    with pytest.raises(ValueError, match=r"has no numbers \[99\]"):
        run("--named", "99", cache=cache)
    with pytest.raises(FileNotFoundError, match="make the sheet by --sheet first"):
        run("--named", "1", cache=tmp_path)


def test_chains_are_judged_and_one_is_chosen(run, measures, monkeypatch, capsys):
    chains = [dict(sampler="ddim", steps=k) for k in (1, 2, 4, 300)]
    chains.append(dict(sampler="heun", steps=2))
    monkeypatch.setattr(measures, "CHAINS", chains)
    found = run("--chains")["measures_mnist_chains"]
    assert [row["calls"] for row in found["first"]].count(3) == 1  # Heun's two steps
    assert len(found["first"]) == 4 and len(found["final"]) == 2  # 300 calls are too many
    assert found["chosen"] == found["final"][0]["chain"]
    assert found["rule"].startswith("among the chains of which every measure")
    assert found["final"][0]["measures"]["class_deviation"] is not None
    assert found["first"][0]["measures"]["class_deviation"] is None


# --- the rule, and how far is outside


def row(measures, calls, fd=1.0, **values):
    low = dict.fromkeys(measures.page.MEASURES, 1.0) | {"forest_pixels": 0.6}
    return {"chain": calls, "calls": calls, "measures": low | {"fd_pixels": fd} | values}


def test_the_fewest_calls_among_those_that_reach_all(measures):
    rows = [
        row(measures, 100),
        row(measures, 50, fd=1.2),
        row(measures, 50, fd=1.1),
        row(measures, 10, fd=1.3),  # 4 % too far
    ]
    order = measures.ranked(rows, "mnist")
    assert [(r["calls"], r["measures"]["fd_pixels"]) for r in order] == [
        (50, 1.1),
        (50, 1.2),
        (100, 1.0),
        (10, 1.3),
    ]
    assert order[3]["excess"] == pytest.approx(1.3 / 1.25 - 1)


def test_else_the_smallest_sum_of_excesses(measures):
    rows = [
        row(measures, 10, fd=2.5, recall=0.93 / 2),  # 1 + 0.5
        row(measures, 100, fd=1.5, roughness=0.9, label=0.97),  # 0.2 + 0.05 / 0.95 + ...
        row(measures, 30, fd=1.5, black=0.45),  # 0.2 + 0.5
    ]
    order = measures.ranked(rows, "mnist")
    assert [r["calls"] for r in order] == [100, 30, 10]
    sums = [0.2 + 0.05 / 0.95 + 0.01 / 0.98, 0.7, 1.5]
    assert [r["excess"] for r in order] == pytest.approx(sums)


def test_limits(measures):
    outside = measures.outside
    assert outside("clothes", "label", 0.97) == 0 == outside("mnist", "label", 0.98)
    assert outside("mnist", "label", 0.97) > 0
    assert outside("clothes", "precision", 1.05) == 0 == outside("clothes", "recall", 9.0)
    assert outside("clothes", "precision", 2.1) == pytest.approx(1)
    assert outside("clothes", "class_deviation", None) == 0
    with pytest.raises(SystemExit):
        measures.main(["clothes", "--data", "x", "--with", "steps"])


# --- the page


def test_the_page_holds_what_the_files_say(measures):
    page = measures.page
    text = page.PAGE.read_text("utf-8")
    assert page.filled(text) == text
    for name in page.MEASURES.values():
        assert f"| {name.split(',')[0].split(' over')[0]}" in text, name
    with pytest.raises(ValueError, match="lost the marks"):
        page.filled("nothing")


def test_the_page_shows_every_table(run, measures, tmp_path):
    found = run(*FAST)["measures_mnist"]
    text = measures.page.filled(measures.page.PAGE.read_text("utf-8"), tmp_path)
    lines = text.splitlines()
    for fault, words in measures.page.FAULTS.items():
        assert words in text
        assert found["faults"][fault]["fd_pixels"] is not None
    own, black = (x.split(" | ") for x in lines if x.startswith("| exact black over real"))
    value = found["faults"]["invisible_noise"]["black"]
    assert black[2] == f"**{value:.2f}**" and "*" not in black[1]
    assert own[2].startswith("**") and "*" not in own[3]  # the model misses the target
    assert "| 150 |" not in text and "nan" not in text
    done = measures.page.reached(found, "mnist")
    assert len(done) == 1 + len(measures.page.MEASURES)


# --- what is shipped is what was measured


@pytest.mark.parametrize("name", ["clothes", "mnist"])
def test_the_numbers_are_of_the_weights_that_are_shipped(name, measures):
    found = load_pretrained(name)
    digest = importlib.import_module("measures_real").digest
    own = digest({"beta": found.schedule.beta, **found.model.state_dict()})
    for results in (f"measures_{name}", f"measures_{name}_chains"):
        path = FIGURES / "runs" / f"{results}.json"
        about = json.loads(path.read_text("utf-8"))
        assert about["model"]["mark"] == own
    assert about["chosen"] == found.drawn_with


def test_a_chain_that_other_weights_chose_is_refused(measures, tmp_path, monkeypatch):
    pictures = importlib.import_module("pictures")
    found = load_pretrained("digits")
    model = copy.deepcopy(found.model)
    with torch.no_grad():
        model.conv_in.bias += 1e-5  # float16 does not see it, or not all of it
    trainer = SimpleNamespace(ema=SimpleNamespace(model=model), schedule=found.schedule)
    digest = importlib.import_module("measures_real").digest
    half = copy.deepcopy(model).half().float()
    mark = digest({"beta": found.schedule.beta, **half.state_dict()})
    monkeypatch.setattr(pictures, "ROOT", tmp_path)
    config = SimpleNamespace(drawn_with={"sampler": "ddim", "steps": 9})
    assert pictures.chosen_chain("x", config, trainer) == (
        config.drawn_with,
        "of the preset",
    )
    path = tmp_path / "figures" / "runs" / "measures_x_chains.json"
    path.parent.mkdir(parents=True)
    chosen = {"sampler": "ddim", "steps": 7}
    path.write_text(json.dumps({"model": {"mark": mark}, "chosen": chosen}))
    assert pictures.chosen_chain("x", config, trainer)[0] == chosen
    with torch.no_grad():
        model.conv_in.bias += 0.1
    with pytest.raises(SystemExit, match="of other weights: choose the chain of these by"):
        pictures.chosen_chain("x", config, trainer)


def test_half_is_what_a_shipped_model_is(run, tmp_path):
    found = load_pretrained("digits")
    model = copy.deepcopy(found.model)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1 + 1e-5)
    marks = []
    for half in (False, True):
        path = tmp_path / f"{half}.safetensors"
        save_model(path, model, found.schedule, found.config, half=half)
        words = [*FAST, *(["--half"] * (not half))]
        marks.append(run(*words, model=str(path), cache=tmp_path)["measures_mnist"])
    assert marks[0]["model"]["mark"] == marks[1]["model"]["mark"]
    assert marks[0]["drawn"]["each"] == marks[1]["drawn"]["each"]
