r"""The commands draw as is stored with a model, and say so; options still hold."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddpm_lite import load_model, load_pretrained, load_run, save_model
from ddpm_lite.commands.main import main
from ddpm_lite.lab.doctor import examine
from ddpm_lite.training import experiment
from ddpm_lite.training.presets import RUNS

CHAIN = {"sampler": "ancestral", "steps": 3, "variance": "small"}
AS_TYPED = "--sampler ancestral --steps 3 --variance small".split()
NONE = {"sampler", "steps", "spacing", "eta", "variance", "guidance"}


@pytest.fixture
def run(own_run, monkeypatch):
    r"""A run that a chain was chosen for, in this folder."""
    monkeypatch.chdir(own_run.parent)
    put(own_run, CHAIN)
    return "run"


def put(run, chain):
    path = Path(run) / "config.json"
    about = json.loads(path.read_text()) | {"drawn_with": chain}
    path.write_text(json.dumps(about))


def told(capsys, *words, status=0):
    r"""What a command prints, and as JSON if it was asked for."""
    capsys.readouterr()
    assert main(list(words)) == status
    said = capsys.readouterr()
    said = said.err if status else said.out
    return json.loads(said) if "--json" in words else said


def drawn(capsys, run, out, *words):
    common = ["--num", "2", "--device", "cpu", "--json", "--out", f"{out}.npy"]
    said = told(capsys, "sample", run, *common, *words)
    return np.load(f"{out}.npy"), said


def chain_in(said):
    return {name: said[name] for name in NONE & set(said)}


def test_no_option_is_the_stored_chain_bit_for_bit_and_options_hold(capsys, run):
    plain, said = drawn(capsys, run, "a")
    assert chain_in(said) == CHAIN and (said["calls"], said["chosen_by"]) == (3, "model")
    typed, _ = drawn(capsys, run, "b", *AS_TYPED)
    assert np.array_equal(plain, typed)
    put(run, {})
    without, said = drawn(capsys, run, "c", *AS_TYPED)
    assert np.array_equal(plain, without) and said["chosen_by"] == "options"
    two, said = drawn(capsys, run, "d", "--steps", "2")
    assert chain_in(said) == {"sampler": "ddim", "steps": 2}
    assert said["chosen_by"] == "default"
    put(run, CHAIN)
    short, said = drawn(capsys, run, "e", "--steps", "2")
    assert chain_in(said) == CHAIN | {"steps": 2} and said["chosen_by"] == "model"
    ddim, said = drawn(capsys, run, "f", "--sampler", "ddim", "--steps", "2")
    assert chain_in(said) == {"sampler": "ddim", "steps": 2}
    assert np.array_equal(ddim, two) and not np.array_equal(short, two)
    words = told(capsys, "sample", run, "--num", "2", "--device", "cpu", "--out", "g.npy")
    start = (
        "2 pictures in 3 steps of ancestral (variance small), as stored with the model, "
    )
    assert words.startswith(f"{start}3 network calls, on cpu")


def test_stored_guidance_is_switched_off_by_one(capsys, run):
    put(run, CHAIN | {"guidance": 3})
    strong, said = drawn(capsys, run, "a")
    assert said["guidance"] == 3
    plain, said = drawn(capsys, run, "b", "--guidance", "1")
    assert "guidance" not in said and not np.array_equal(strong, plain)
    put(run, CHAIN)
    assert np.array_equal(drawn(capsys, run, "c", "--guidance", "3")[0], strong)
    words = ["--guidance-interval", "2", "900"]
    error = told(capsys, "sample", run, "--device", "cpu", *words, status=1)
    assert "--guidance-interval is for --guidance, which 1 switches off" in error


def test_evaluate_measures_what_sample_draws(capsys, run):
    few = ["--num", "4", "--device", "cpu"]
    said = told(capsys, "evaluate", run, *few, "--json")
    assert chain_in(said) == CHAIN | {"spacing": "trailing"}
    assert said["chosen_by"] == "model"
    words = "drawing: 3 steps of ancestral (variance small), as stored with the model\n"
    assert words in told(capsys, "evaluate", run, *few)
    said = told(capsys, "evaluate", run, *few, "--json", "--steps", "2")
    assert (said["sampler"], said["steps"], said["chosen_by"]) == ("ancestral", 2, "model")


def test_info_shows_it(capsys, run):
    said = told(capsys, "info", run, "--json")
    assert said["drawn_with"] == CHAIN and "drawn_with" not in said["settings"]
    words = "drawn_with:\n  sampler: ancestral\n  steps: 3\n  variance: small\n"
    assert words in told(capsys, "info", run)
    put(run, {})
    assert "drawn_with" not in told(capsys, "info", run)


def test_points_are_drawn_so_too(capsys, run):
    shipped = load_pretrained("s_curve")
    chain = {"sampler": "ddim", "steps": 4, "eta": 0.5}
    about = shipped.config | {"drawn_with": chain}
    save_model("p.safetensors", shipped.model, shipped.schedule, about)
    points, said = drawn(capsys, "p.safetensors", "a")
    assert chain_in(said) == chain and said["chosen_by"] == "model"
    expected = shipped.sample(2, progress=False, **chain)
    assert np.array_equal(points, expected.numpy())
    about = told(capsys, "info", "p.safetensors", "--json")
    assert about["drawn_with"] == chain and "drawn_with" not in about["settings"]


def test_store_keeps_what_was_asked_for(capsys, run):
    chain = {"sampler": "dpmpp_2m", "steps": 4, "spacing": "log_snr", "guidance": 2.0}
    words = "--sampler dpmpp_2m --steps 4 --spacing log_snr --guidance 2 --store".split()
    before, said = drawn(capsys, run, "a", *words)
    assert said["stored"] == "run/config.json"
    assert load_run(run).drawn_with == chain
    after, said = drawn(capsys, run, "b")
    assert np.array_equal(before, after) and said["chosen_by"] == "model"
    few = ["--num", "1", "--device", "cpu", "--out", "c.npy"]
    words = told(
        capsys, "sample", run, "--sampler", "heun", "--steps", "2", "--store", *few
    )
    assert words.endswith(
        "stored in run/config.json: it is drawn so from now on, without options\n"
    )
    assert load_run(run).drawn_with == {"sampler": "heun", "steps": 2}
    assert main(["resume", run, "--steps", "3", "--device", "cpu"]) == 0
    assert load_run(run).drawn_with == {"sampler": "heun", "steps": 2}
    file = sorted(Path(run).glob("checkpoints/*3/model.safetensors"))[0]
    assert load_model(file).drawn_with == {"sampler": "heun", "steps": 2}
    for name in ("digits", str(file)):
        error = told(capsys, "sample", name, "--store", "--out", "no.npy", status=1)
        assert f"of a run's folder, and {name} is none" in error
        assert "save_model(path, model, schedule, config | " in error
    assert not Path("no.npy").exists()


def test_a_damaged_chain_is_one_line_that_names_the_file(capsys, run):
    put(run, CHAIN | {"steps": 1001})
    for command in ("sample", "evaluate", "info"):
        error = told(capsys, command, run, status=1)
        assert "run/config.json: drawn_with cannot be used: steps must be" in error
        assert error.count("\n") == 1
    error = told(capsys, "resume", run, "--steps", "4", "--device", "cpu", status=1)
    assert "steps must be" in error and len(list(Path(run, "checkpoints").iterdir())) == 2


def test_doctor_looks_at_what_is_drawn(run):
    text = " ".join(f.words for f in examine(run, draws=64, samples=12))
    assert "pictures in 3 steps of ancestral (variance small), as stored:" in text
    put(run, CHAIN | {"steps": 1001})
    found = [f for f in examine(run, draws=64, samples=12) if f.what == "drawn_with"]
    assert [f.level for f in found] == ["wrong"] and "steps must be" in found[0].words


def test_export_says_what_does_not_go_along(capsys, run):
    words = told(capsys, "export", run, "--out", "b")
    assert "here it is drawn in 3 steps of ancestral (variance small), which the" in words


# --- train


@pytest.fixture
def preset(monkeypatch):
    chain = CHAIN | {"guidance": 2}
    monkeypatch.setitem(RUNS, "digits", replace(RUNS["digits"], drawn_with=chain))
    monkeypatch.setattr(experiment, "report", lambda *_: None)
    return chain


TINY = "--width 8 --groups 4 --batch-size 4 --sample-every 0 --steps 1 --device cpu".split()


def test_a_preset_names_the_chain_of_its_runs(capsys, run, preset):
    dry = ["train", "digits", "--dry-run"]
    words = told(capsys, *dry)
    line = (
        "drawing   3 steps of ancestral (variance small, guidance 2), as stored with the "
    )
    assert f"{line}preset digits: sample and evaluate do so\n" in words
    assert json.loads(words[words.index("\n{") :])["drawn_with"] == preset
    for more, what in (("--T 2", "T"), ("--schedule linear", "schedule")):
        words = told(capsys, *dry, *more.split())
        assert (
            f"{line}preset digits, is left out: it was chosen for another {what}" in words
        )
        assert json.loads(words[words.index("\n{") :])["drawn_with"] == {}
    words = told(capsys, *dry, "--no-labels")
    assert "          without guidance, for which classes must be learned\n" in words
    assert json.loads(words[words.index("\n{") :])["drawn_with"] == CHAIN
    assert main(["train", "digits", *TINY, "--out", "new"]) == 0
    assert load_run("new").drawn_with == preset
    _, said = drawn(capsys, "new", "a")
    assert chain_in(said) == preset and said["chosen_by"] == "model"


def test_a_run_that_starts_from_another_one_is_drawn_as_that(capsys, run, preset):
    line = ["train", "digits", *TINY, "--init", run, "--out", "new"]
    words = told(capsys, *line)
    assert "3 steps of ancestral (variance small), as stored with run: sample" in words
    assert load_run("new").drawn_with == CHAIN
    put(run, {})
    words = told(capsys, *line[:-1], "more")
    assert "drawing" not in words and load_run("more").drawn_with == {}


def test_the_chain_is_no_option_of_training(capsys, preset):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "digits", "--help"])
    shown = capsys.readouterr().out
    assert stopped.value.code == 0 and "drawn-with" not in shown
    assert "--sampler" not in shown and "--variance" not in shown
