r"""A run does not read what it wrote, and no name that is only told ends it."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from picture_files import COLOUR, GREY, save

from ddpm_lite import data
from ddpm_lite.commands.main import main

TINY = "--size 8 --width 8 --groups 4 --multipliers 1 --attention --blocks 1 --T 20"
TINY += " --batch-size 4 --sample-steps 2 --save-every 1 --sample-every 1 --device cpu"
TINY += " --log-every 1 --schedule cosine --warmup-steps 0"
TINY = TINY.split()


def photos(folder, axis=0):
    for i in range(10):
        array = np.roll(COLOUR, i + axis, axis)
        save(folder / ("cat", "dog")[i % 2] / f"{i}.png", np.ascontiguousarray(array))
    return folder


def fingerprint_of(run):
    return json.loads((run / "config.json").read_text())["described"]["fingerprint"]


@pytest.mark.parametrize("out", ["run", "new/deep", "cat/run", "../outside"])
def test_a_run_inside_its_pictures_goes_on(tmp_path, out, monkeypatch, capsys):
    folder = photos(tmp_path / "photos")
    monkeypatch.chdir(folder)
    ask = ["train", "small-32", "--data", ".", *TINY, "--steps", "2", "--out", out]
    assert main(ask) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "10 pictures in 2 classes: cat (5), dog (5)" in shown
    before = fingerprint_of(folder / out)
    assert main(["curves", out]) == 0
    draw = ["sample", out, "--num", "2", "--steps", "2", "--device", "cpu"]
    assert main(draw) == 0 and main([*draw, "--out", "cat/new"]) == 0
    assert len(data.load(".", size=8)) == 10
    assert main(["resume", out, "--steps", "3"]) == 0, capsys.readouterr().err
    assert fingerprint_of(folder / out) == before
    again = [*ask[:-1], "second"]
    assert main(again) == 0
    assert "written by a run of ddpm-lite" in capsys.readouterr().out or "/" in out
    assert fingerprint_of(folder / "second") == before


def test_samples_may_be_trained_on_by_their_name(tmp_path, capsys):
    for name in ("a", "b"):
        out = str(tmp_path / "drawn" / name)
        ask = ["sample", "digits", "--num", "3", "--steps", "2", "--device", "cpu"]
        assert main([*ask, "--out", out]) == 0
    found = data.load(tmp_path / "drawn", channels=1)
    assert len(found) == 6 and found.classes == ("a", "b") and found.shape == (1, 8, 8)
    assert "2 grids and figures of ddpm-lite (a/grid.png, b/grid.png)" in found.told[-1]
    shutil.copy(tmp_path / "drawn" / "a" / "00000.png", tmp_path / "one.png")
    capsys.readouterr()


def test_what_was_understood_is_said_before_training(tmp_path, capsys):
    photos(tmp_path / "photos" / "Training")
    photos(tmp_path / "photos" / "Testing", axis=1)
    (tmp_path / "photos" / "notes.txt").write_text("x")
    ask = ["train", "small-32", "--data", str(tmp_path / "photos"), *TINY, "--steps", "1"]
    ask += ["--dry-run", "--held-out-split", "test"]
    assert main(ask) == 0
    shown = capsys.readouterr().out
    assert "photos: 10 pictures of 3 x 8 x 8, 2 classes; 10 set aside" in shown
    for text in (
        "read      10 pictures in 2 classes: cat (5), dog (5)",
        "the split train is the folder Training; beside it lies Testing (10, for",
        "left out: 1 .txt",
        "aside     10 pictures in 2 classes: cat (5), dog (5)",
        "the split test is the folder Testing; beside it lies Training (10)",
    ):
        assert text in shown


def test_a_split_set_aside_has_the_classes_of_the_other(tmp_path, capsys):
    photos(tmp_path / "train")
    save(tmp_path / "test" / "1.png", COLOUR)
    ask = ["train", "small-32", "--data", str(tmp_path), *TINY, "--steps", "1", "--dry-run"]
    ask += ["--held-out-split", "test"]
    assert main(ask) == 1
    assert "has the classes none, and train has ('cat', 'dog')" in capsys.readouterr().err
    assert main([*ask, "--no-labels"]) == 0
    capsys.readouterr()


def test_an_ambiguous_folder_is_read_as_the_command_line_says(tmp_path, capsys):
    photos(tmp_path)
    save(tmp_path / "stray.png", COLOUR)
    ask = ["train", "small-32", "--data", str(tmp_path), *TINY, "--steps", "1", "--dry-run"]
    assert main(ask) == 1
    shown = capsys.readouterr().err
    assert (
        "--folders classes" in shown and "--no-labels" in shown and shown.count("\n") == 1
    )
    for more, number in (["--no-labels"], 11), (["--folders", "classes"], 10):
        assert main([*ask, *more]) == 0
        assert f"{number} pictures " in capsys.readouterr().out


def test_a_run_of_0_2_0_without_classes_reads_its_folder_as_before(tmp_path, capsys):
    photos(tmp_path / "photos")
    save(tmp_path / "photos" / "stray.png", COLOUR)
    run = tmp_path / "run"
    ask = ["train", "small-32", "--data", str(tmp_path / "photos"), *TINY, "--steps", "1"]
    assert main([*ask, "--folders", "plain", "--out", str(run)]) == 0
    about = json.loads((run / "config.json").read_text())
    del about["folders"], about["described"]["told"]  # which 0.2.0 did not know
    (run / "config.json").write_text(json.dumps(about))
    assert main(["resume", str(run), "--steps", "2"]) == 0, capsys.readouterr().err
    capsys.readouterr()


def test_no_name_ends_a_training(tmp_path):
    folder = tmp_path / "фото"
    photos(folder)
    save(folder / "кот" / "1.png", GREY)
    odd = os.path.join(os.fsencode(folder), b"cat", b"\xff.png")
    try:
        with open(odd, "wb") as file:
            file.write(b"no picture")
    except OSError:
        (folder / "cat" / "bad.png").write_bytes(b"no picture")
    (folder / "заметки.txt").write_text("x")
    command = [sys.executable, "-m", "ddpm_lite", "train", "small-32", "--data", "фото"]
    command += [*TINY, "--steps", "1", "--skip-broken", "--out", "прогон"]
    environment = os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (
        b"11 pictures in 3 classes" in done.stdout and b"skipped   1: cat/" in done.stdout
    )
    described = json.loads((tmp_path / "прогон" / "config.json").read_text())["described"]
    assert described["name"] == "фото" and "кот" in described["classes"]
    wrong = [*command[:3], "sample", "нет"]
    done = subprocess.run(wrong, cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1
