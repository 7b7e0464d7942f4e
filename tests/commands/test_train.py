r"""The command train: presets and other data, folders, estimates, data that move."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from ddpm_lite import data
from ddpm_lite.commands import train
from ddpm_lite.commands.main import main
from ddpm_lite.training import cost, experiment
from ddpm_lite.training.presets import RUNS

SMALL = "--width 8 --groups 4 --batch-size 4 --sample-every 0 --sample-steps 2 --steps 1"
SMALL = f"{SMALL} --device cpu".split()


@pytest.fixture(autouse=True)
def only_training(monkeypatch):
    monkeypatch.setattr(experiment, "report", lambda *_: None)  # has its own tests


def photos(folder, modes=("RGB",) * 20, size=(24, 20), seed=0):
    r"""A folder of pictures, colours or grey."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for number, mode in enumerate(modes):
        shape = (size[1], size[0], 3)[: 3 if mode == "RGB" else 2]
        grey = random.integers(0, 256, shape, np.uint8)
        Image.fromarray(grey).save(folder / f"{number:03d}.png")
    return str(folder)


def config_of(run):
    return json.loads((run / "config.json").read_text("utf-8"))


@pytest.mark.parametrize("preset", ["digits", "fashion", "small-32"])
@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
def test_a_preset_trains_on_other_data(preset, mode, channels, tmp_path, capsys):
    path, run = photos(tmp_path / "photos", (mode,) * 20), tmp_path / "run"
    assert main(["train", preset, "--data", path, "--out", str(run), *SMALL]) == 0
    about, shown = config_of(run), capsys.readouterr().out
    assert (about["split"], about["held_out_split"]) == ("train", "")
    assert about["described"]["held_out"] == 1  # 5 % of 20
    assert about["unet"]["channels"] == about["described"]["shape"][0] == channels
    other = RUNS[preset].unet.channels != channels
    assert (f"channels  {channels}, as the pictures have" in shown) == other
    lacks = bool(RUNS[preset].held_out_split)
    assert ("held out  0.05 of the pictures, which have no split" in shown) == lacks


@pytest.mark.parametrize("N", [1, 3, 20])
@pytest.mark.parametrize("share", [[], ["--hold-out", "0"], ["--hold-out", "0.02"]])
def test_one_line_says_what_is_set_aside(N, share, tmp_path, capsys):
    path = photos(tmp_path / "photos", ("RGB",) * N)
    assert main(["train", "digits", "--data", path, "--dry-run", *SMALL, *share]) == 0
    lines = re.findall("^held out .*", capsys.readouterr().out, re.M)
    assert len(lines) == 1
    aside = N == 20 and not share
    assert ("which have no split" in lines[0]) == aside and ("none" in lines[0]) != aside


def test_a_class_that_the_split_lacks_is_said_to_be_missing_there(tmp_path, capsys):
    for number, inner in enumerate(("train/a", "train/b", "test/a")):
        photos(tmp_path / "photos" / inner, seed=number)
    ask = ["train", "digits", "--data", str(tmp_path / "photos"), "--dry-run", *SMALL]
    assert main([*ask, "--split", "test"]) == 0
    shown = capsys.readouterr().out
    assert "no picture was read of b (--split test): --no-labels learns no c" in shown
    assert "--hold-out 0" not in shown


def test_what_was_typed_holds_on_other_data(tmp_path, capsys):
    path = photos(tmp_path / "photos")
    ask = ["train", "digits", "--data", path, "--dry-run", *SMALL]
    assert main([*ask, "--channels", "1", "--hold-out", "3"]) == 0
    shown = capsys.readouterr().out
    assert "17 pictures of 1 x 8 x 8; 3 set aside" in shown and "channels  " not in shown
    assert main([*ask, "--held-out-split", "held_out"]) == 1
    assert "split" in capsys.readouterr().err


def test_labels_that_are_not_there_cannot_be_dropped(tmp_path, capsys):
    path = photos(tmp_path / "photos")
    ask = ["train", "digits", "--data", path, "--dry-run", *SMALL]
    assert main(ask) == 0  # the preset's share holds where there are labels
    for share, status in (("0.2", 1), ("0", 0)):
        assert main([*ask, "--drop-label", share]) == status
    assert "--drop-label replaces labels, and there are none" in capsys.readouterr().err


def test_a_short_chain_takes_fewer_steps_for_its_grids(tmp_path, capsys):
    ask = ["train", "digits", "--dry-run", "--device", "cpu"]
    assert main([*ask, "--T", "10"]) == 0
    shown = capsys.readouterr().out
    assert "grids     of 10 steps, for T is no larger" in shown
    assert '"sample_steps": 10' in shown
    assert main([*ask, "--T", "100"]) == 0
    shown = capsys.readouterr().out
    assert "grids  " not in shown and '"sample_steps": 25' in shown
    assert main([*ask, "--T", "10", "--sample-steps", "11"]) == 1
    assert "--sample-steps must be an integer in 1..10, got 11" in capsys.readouterr().err


def test_a_preset_takes_its_own_data_as_before(tmp_path, capsys):
    assert main(["train", "digits", "--dry-run", *SMALL]) == 0
    shown = capsys.readouterr().out
    assert "1,438 pictures of 1 x 8 x 8, 10 classes; 359 set aside" in shown
    assert not re.search("^(held out|channels|attention) ", shown, re.M)


@pytest.mark.parametrize(
    ("words", "attention", "said"),
    [
        ("digits --size 16", [8], "at height 8, where the preset has 4"),
        ("digits --size=24", [12], "at height 12, where the preset has 4"),
        ("digits --size 16 24", [8], "at height 8"),
        ("digits --size 16 --attention 16", [16], ""),
        ("digits --multipliers 1 2 2", [4], ""),
        ("digits --multipliers 1", [8], "at height 8"),
        ("fashion --size 32", [8], "at height 8, where the preset has 7"),
        ("small-32 --size 64", [8], ""),
        ("small-32 --size 48", [6], "at height 6, where the preset has 8"),
    ],
)
def test_attention_follows_the_size(words, attention, said, tmp_path, capsys):
    path = photos(tmp_path / "photos", size=(64, 64))
    assert main(["train", *words.split(), "--data", path, "--dry-run", *SMALL]) == 0
    shown = capsys.readouterr().out
    resolved = json.loads(shown[shown.index("{") :])
    assert resolved["unet"]["attention"] == attention
    found = re.search("^attention (.*)$", shown, re.M)
    assert said in (found[1] if found else "") and bool(found) == bool(said)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("digits --size 16", "ddpm-lite train digits"),
        ("small-32 --data digits", "--size 8 --channels 1 fit"),
        ("ddpm-256 --data digits", "ddpm-lite train digits"),
        ("fashion", "say what to train on: --data"),
        ("digits --accumulate 5", "take --batch-size 60"),
        ("digits --init nowhere", "nowhere is neither a run folder"),
        ("digits --init fashion", "and this network is for 28 x 28 in grey: --size 8"),
        ("digits --precision float16 --device cpu", "float16 needs CUDA"),
        ("digits --out file", "file is a file, not a folder: name another with --out"),
        ("digits --out file/run", "file is a file, not a folder"),
        ("digits --out mine", "mine contains other files ('notes.txt')"),
    ],
)
def test_what_cannot_be_is_refused_before_pictures_are_read(
    arguments, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load", lambda *_, **__: pytest.fail("read pictures"))
    (tmp_path / "file").touch()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    assert main(["train", *arguments.split()]) == 1
    shown = capsys.readouterr().err
    assert words in shown and shown.count("\n") == 1
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["file", "mine"]


def test_a_second_run_in_one_folder_is_refused_before_pictures_are_read(
    tmp_path, monkeypatch, capsys
):
    ask = ["train", "digits", "--out", str(tmp_path / "run"), *SMALL]
    assert main(ask) == 0
    monkeypatch.setattr(data, "load", lambda *_, **__: pytest.fail("read pictures"))
    assert main(ask) == 1
    assert "already holds a run, up to step_000000001" in capsys.readouterr().err


def test_without_tensorboard_nothing_is_read(monkeypatch, capsys):
    monkeypatch.setattr(data, "load", lambda *_, **__: pytest.fail("read pictures"))
    monkeypatch.setattr(train, "find_spec", lambda name: None)
    assert main(["train", "digits", "--tensorboard", "--out", "none"]) == 1
    assert "pip install tensorboard" in capsys.readouterr().err


@pytest.mark.parametrize("hold_out", ["20", "0.99"])
def test_a_hold_out_that_leaves_nothing_is_refused(hold_out, tmp_path, capsys):
    path, run = photos(tmp_path / "photos"), tmp_path / "run"
    ask = ["train", "--data", path, "--out", str(run), *SMALL, "--hold-out", hold_out]
    assert main(ask) == 1
    assert f"--hold-out {hold_out} sets all of 20 pictures" in capsys.readouterr().err
    assert not run.exists()


@pytest.mark.parametrize("preset", [n for n in RUNS if n != "series"])
def test_a_dry_run_builds_nothing_large_and_writes_nothing(
    preset, tmp_path, monkeypatch, capsys
):
    timed = []

    def seconds(config, count, device, precision):
        timed.append(config)
        return 1.0

    monkeypatch.setattr(cost, "_seconds", seconds)
    monkeypatch.setattr(experiment, "build", lambda *_: pytest.fail("built the network"))
    path = photos(tmp_path / "photos", size=(8, 8))
    monkeypatch.chdir(tmp_path)
    assert main(["train", preset, "--data", path, "--dry-run", "--device", "cpu"]) == 0
    assert "\nestimate  " in capsys.readouterr().out
    assert all(cost.cost(unet).parameters <= cost.LIGHT for unet in timed)
    assert [p.name for p in tmp_path.iterdir()] == ["photos"]


def test_the_help_names_the_presets(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"PRESET is one of {', '.join(RUNS)}; small-32 if none is given." in shown
    assert "sub-folders are classes" in shown


# --- data that move


def test_a_run_goes_on_from_another_folder_and_after_its_data_moved(
    tmp_path, monkeypatch, capsys
):
    photos(tmp_path / "photos")
    run, elsewhere = str(tmp_path / "run"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["train", "digits", "--data", "photos", "--out", "run", *SMALL]) == 0
    assert config_of(tmp_path / "run")["data"] == str(tmp_path / "photos")
    monkeypatch.chdir(elsewhere)
    assert main(["resume", run, "--steps", "2"]) == 0
    (tmp_path / "photos").rename(tmp_path / "moved")
    capsys.readouterr()
    assert main(["resume", run, "--steps", "3"]) == 1
    shown = capsys.readouterr().err
    assert f"{tmp_path}/photos, are not there: say where they are with --data" in shown
    assert main(["resume", run, "--steps", "3", "--data", "../moved"]) == 0
    assert config_of(tmp_path / "run")["data"] == str(tmp_path / "moved")
    (tmp_path / "moved" / "000.png").unlink()
    assert main(["resume", run, "--steps", "4"]) == 1
    shown = capsys.readouterr().err
    assert "was trained on other data: pictures 19, now 18" in shown
    assert (
        main(["resume", run, "--steps", "4", "--data", photos(tmp_path / "b", seed=1)]) == 1
    )
    assert "as many pictures of the same shape, but not" in capsys.readouterr().err
    assert config_of(tmp_path / "run")["data"] == str(tmp_path / "moved")


def test_an_older_run_with_a_relative_path_is_resumed(tmp_path, monkeypatch, capsys):
    photos(tmp_path / "work" / "photos")
    monkeypatch.chdir(tmp_path / "work")
    assert main(["train", "digits", "--data", "photos", "--out", "runs/a", *SMALL]) == 0
    run = tmp_path / "work" / "runs" / "a"
    about = config_of(run) | {"data": "photos"}
    (run / "config.json").write_text(json.dumps(about))
    monkeypatch.chdir(tmp_path)
    assert main(["resume", "work/runs/a", "--steps", "2"]) == 0
    assert config_of(run)["data"] == str(tmp_path / "work" / "photos")
