r"""train --minutes and train --init, as a newcomer types them."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from ddpm_lite.commands.main import main
from ddpm_lite.training import choose, cost, experiment
from ddpm_lite.training.presets import RUNS

CPU = "--device cpu --threads 1".split()
QUICK = [*"--batch-size 4 --sample-every 0 --sample-steps 2".split(), *CPU]


@pytest.fixture(autouse=True)
def only_training(monkeypatch):
    monkeypatch.setattr(experiment, "report", lambda *_: None)  # has its own tests


@pytest.fixture
def clock(monkeypatch):
    r"""A machine that does 1e11 operations in a second, whatever this one does."""

    def seconds(unet, count, device, precision):
        return count * cost.cost(unet).training_flops / 1e11

    monkeypatch.setattr(cost, "_seconds", seconds)


def photos(folder, number=20, size=(28, 28), mode="L", seed=0):
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for i in range(number):
        shape = (*size, 3)[: 2 if mode == "L" else 3]
        Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(
            folder / f"{i:03d}.png"
        )
    return str(folder)


def run(words, more=()):
    return main(["train", *words.split(), *more])


def shown(capsys):
    r"""What was printed, and the settings of a dry run in it."""
    text = capsys.readouterr().out
    return text, json.loads(text[text.index("\n{") :])


def test_a_network_is_chosen_and_said(tmp_path, monkeypatch, clock, capsys):
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "photos")
    assert run("--data photos --minutes 20 --dry-run", CPU) == 0
    said, config = shown(capsys)
    assert "chosen    for 20 minutes" in said and "size      28 x 28: as the pictu" in said
    assert "network   width 16, multipliers 1 2 4, 1 block: the next, width 32, is" in said
    assert "mirror    none is mirrored; --flip" in said and not config["train"]["flip"]
    assert not re.search("^(attention|channels|          --minutes)", said, re.M)
    steps = config["train"]["steps"]
    assert f"steps     {steps:,} of 16 pictures" in said
    assert f"training  {steps:,} steps of 16 pictures" in said
    assert (config["unet"]["size"], config["unet"]["channels"]) == (28, 1)


def test_the_choice_is_written_and_a_resumed_run_keeps_it(
    tmp_path, monkeypatch, clock, capsys
):
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "my photos", 3, (8, 8))
    monkeypatch.setattr(choose, "OFTEN", 1)
    monkeypatch.setattr(choose, "RUNGS", [choose.Rung(8, 1, 4, 4, 1e-3, 2, 1)] * 2)
    ask = ["--data", "my photos", "--hold-out", "0", "--T", "30", "--sample-every", "0"]
    assert main(["train", *ask, "--schedule", "cosine", "--minutes", "2", *CPU]) == 0
    folder = tmp_path / "runs" / "my photos"  # called after the data
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["train"]["steps"] == 2 and config["unet"]["width"] == 8
    assert (config["unet"]["T"], config["sample_steps"]) == (30, 25)
    monkeypatch.setattr(choose, "RUNGS", [])  # nothing is chosen again
    assert main(["resume", str(folder), "--steps", "3", *CPU]) == 0
    again = json.loads((folder / "config.json").read_text("utf-8"))
    assert again["unet"] == config["unet"] and again["train"]["steps"] == 3


def test_a_preset_keeps_its_network_and_gets_its_steps(clock, capsys):
    assert run("digits --minutes 30 --dry-run", CPU) == 0
    said, config = shown(capsys)
    fitted = RUNS["digits"].unet
    assert config["unet"] == json.loads(json.dumps({**fitted.as_dict(), "classes": 10}))
    assert "chosen    for 30 minutes" in said and "size      " not in said
    assert config["train"]["steps"] > 10_000 and config["train"]["lr"] == 4e-3


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("--minutes 0", 1, "--minutes must be above 0, got 0"),
        ("--minutes -3", 1, "--minutes must be above 0, got -3"),
        ("--minutes nan", 1, "--minutes must be above 0, got nan"),
        ("--minutes soon", 2, "--minutes must be a number"),
        (
            "--minutes 20 --steps 100",
            1,
            "--minutes chooses the number of steps: leave --st",
        ),
        ("digits --minutes 20 --steps 100", 1, "leave --steps out, or take --max-minutes"),
        ("--minutes 20", 1, "say what to train on: --data"),
        ("--minutes 20 --data ./nowhere", 1, "there is no file or folder"),
        (
            "--minutes 0.001 --data photos",
            1,
            "fewer than 100 teach nothing: give more --mi",
        ),
        ("small-32 --minutes 0.1 --data photos", 1, "fewer than 100 teach nothing"),
        ("--minutes 5 --data photos --size 30 --multipliers 1 2 2", 1, "multiple"),
        ("--minutes 5 --data photos --hold-out 20", 1, "leaves none to train on"),
    ],
)
def test_what_cannot_be_chosen_is_refused(
    words, status, said, tmp_path, monkeypatch, clock, capsys
):
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "photos")
    try:
        assert run(words, CPU) == status
    except SystemExit as stopped:
        assert stopped.code == status
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_both_kinds_of_minutes_may_be_given(tmp_path, clock, capsys):
    path = photos(tmp_path / "photos")
    both = f"--data {path} --minutes 20 --max-minutes 1 --dry-run"
    assert run(both, CPU) == 0
    assert "chosen    for 20 minutes" in capsys.readouterr().out


def test_typed_settings_hold(tmp_path, clock, capsys):
    path = photos(tmp_path / "photos", 20, (20, 30), "RGB")
    typed = "--size 16 --width 24 --T 50 --schedule cosine --flip --no-labels --lr 0.1"
    assert run(f"--data {path} --minutes 20 --dry-run {typed}", CPU) == 0
    said, config = shown(capsys)
    unet, train = config["unet"], config["train"]
    assert (unet["size"], unet["width"], unet["groups"], unet["T"]) == (16, 24, 8, 50)
    assert train["flip"] and train["lr"] == 0.1 and unet["channels"] == 3
    assert "as was typed" in said and "mirror" not in said


@pytest.mark.parametrize(("words", "said"), [("", True), ("--width 32 --groups 8", False)])
def test_without_minutes_a_line_says_what_they_would_choose(
    words, said, tmp_path, clock, capsys
):
    path = photos(tmp_path / "photos")
    assert run(f"--data {path} --dry-run {words}", CPU) == 0
    text, config = shown(capsys)
    assert config["unet"]["size"] == 32  # nothing else has changed
    assert ("          --minutes 20 would choose width 16, and " in text) == said
    assert run(f"digits --data {path} --dry-run", CPU) == 0
    assert "--minutes" not in capsys.readouterr().out


# --- --init


def test_digits_start_from_digits(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("--init digits --data digits --steps 1", QUICK) == 0
    said = capsys.readouterr().out
    assert "network   that of digits, which it starts from: 8 x 8, width 24" in said
    assert not re.search("^(classes|attention|channels)", said, re.M)
    config = json.loads((tmp_path / "runs/from-digits/config.json").read_text("utf-8"))
    assert (config["schedule"], config["train"]["flip"]) == ("cosine", False)
    assert config["unet"]["classes"] == 10


@pytest.mark.parametrize(
    ("typed", "size", "attention"),
    [("", 28, [7]), ("--size 32", 32, [8]), ("--size 16 24", [16, 24], [4])],
)
def test_another_size_keeps_the_levels_of_the_weights(
    typed, size, attention, tmp_path, capsys
):
    path = photos(tmp_path / "photos")
    ask = f"--init fashion --data {path} --dry-run {typed}"
    assert run(ask, QUICK) == 0
    said, config = shown(capsys)
    assert (config["unet"]["size"], config["unet"]["attention"]) == (size, attention)
    assert ("(trained at 28 x 28)" in said) == bool(typed)
    assert "classes   none are learned; fashion knows 10, which go" in said


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("--width 32", "fashion does not fit this network"),
        ("--attention 14", "fashion does not fit this network"),
        ("--prediction v", "prediction = 'noise', and here it is 'v'"),
        ("--T 100", "fashion was trained with another schedule, linear, T = 1000"),
        ("--schedule cosine", "fashion was trained with another schedule"),
        ("--size 30", "multiple"),
        ("--channels 3", "fashion does not fit this network"),
    ],
)
def test_what_contradicts_the_weights_is_refused(typed, words, tmp_path, capsys):
    path = photos(tmp_path / "photos")
    assert run(f"--init fashion --data {path} --dry-run {typed}", QUICK) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_colours_for_weights_that_know_grey_have_to_be_asked_for(tmp_path, capsys):
    path = photos(tmp_path / "photos", mode="RGB")
    ask = f"--init fashion --data {path} --dry-run"
    assert run(ask, QUICK) == 1
    error = capsys.readouterr().err
    assert (
        "the pictures of photos are in colour, and fashion draws in grey: --chan" in error
    )
    assert run(f"{ask} --channels 1", QUICK) == 0


def test_other_classes_start_fresh_and_a_preset_gives_its_training(
    tmp_path, tiny_run, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate("ab"):
        photos(tmp_path / "photos" / name, seed=seed)
    first = f"digits --init={tiny_run} --data photos --out one --steps 1"
    assert run(first, QUICK) == 0
    said = capsys.readouterr().out
    assert re.search(r"^classes   .*/run knows 10: the table of 2 starts fresh", said, re.M)
    config = json.loads((tmp_path / "one" / "config.json").read_text("utf-8"))
    assert (config["unet"]["width"], config["unet"]["classes"]) == (8, 2)
    assert config["train"]["lr"] == 4e-3  # the preset's
    assert run("--init one --data photos --out two --steps 1", QUICK) == 0
    assert not re.search("^classes", capsys.readouterr().out, re.M)


def test_weights_and_minutes_together_choose_the_steps(tmp_path, clock, capsys):
    path = photos(tmp_path / "photos")
    assert run(f"--init fashion --data {path} --minutes 9 --dry-run", CPU) == 0
    said, config = shown(capsys)
    assert config["unet"]["width"] == 16 and "network   that of fashion" in said
    assert f"steps     {config['train']['steps']:,} of 64 pictures" in said
