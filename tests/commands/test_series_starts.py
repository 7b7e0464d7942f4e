r"""Series by command: from weights that are there, in so many minutes, and in words."""

import json

import numpy as np
import pytest
from test_series_runs import SMALL, said, waves

from ddpm_lite import load_run
from ddpm_lite.commands.main import main
from ddpm_lite.training import choose
from ddpm_lite.training.one_dimension import as_long
from ddpm_lite.training.own import _settings as settings_of_words
from ddpm_lite.training.presets import RUNS

FEW = ["--device", "cpu", "--threads", "1"]
THREE = ["--multipliers", "1", "1", "2", "--size", "16", "--attention", "8"]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    r"""A run of two steps with three classes, whose attention is at its middle level."""
    folder = tmp_path_factory.mktemp("start")
    x = np.load(waves(folder))
    np.savez(folder / "start.npz", x=x, y=np.arange(80) % 3)
    ask = ["train", "series", "--data", str(folder / "start.npz"), *SMALL, *THREE]
    ask += ["--steps", "2", "--save-every", "1", "--out", str(folder / "run")]
    assert main([*ask, "--drop-label", "0"]) == 0
    return folder / "run"


def settings_in(out):
    return json.loads(out[out.index("\n{") :])


@pytest.mark.parametrize("length", [16, 12])
def test_series_go_on_from_weights_of_series(start, tmp_path, capsys, length):
    r"""Attention stays at the level of the weights: at half the length."""
    np.save(tmp_path / "new.npy", np.load(waves(tmp_path, seed=1))[:, :length])
    ask = ["train", "--data", str(tmp_path / "new.npy"), "--init", str(start), *FEW]
    ask += ["--batch-size", "4", "--sample-steps", "2", "--steps", "1"]
    out, _ = said(capsys, 0, *ask, "--out", str(tmp_path / "run"))
    trained = "" if length == 16 else " (trained at 16)"
    assert f"starts from: length {length}{trained}, width 8, multipliers 1 1 2" in out
    assert "none are learned" in out and "knows 3, which go" in out
    unet = load_run(tmp_path / "run").model.unet_config
    assert unet.attention == (length // 2,) and unet.size == length
    one, two = (load_run(r).model.conv_in.weight for r in (start, tmp_path / "run"))
    assert (one - two).abs().max() < 0.01  # one step, and not new weights


def test_weights_of_other_channels_are_refused_at_once(start, tmp_path, capsys):
    two = waves(tmp_path, C=2)
    _, why = said(capsys, 1, "train", "--data", two, "--init", str(start), "--dry-run")
    assert "waves.npy has series of 2 channels" in why and "draws 1: name a file" in why


def test_so_many_minutes_for_series(tmp_path, capsys, monkeypatch):
    r"""The clock times a UNet1d; here a step takes a hundredth of a second."""
    timed = []

    def step_time(unet, *_):
        timed.append(unet)
        return 0.01, ""

    monkeypatch.setattr(choose, "step_time", step_time)
    for named in ([], ["series"]):
        ask = ["train", *named, "--data", waves(tmp_path), *SMALL, "--minutes", "1"]
        out, _ = said(capsys, 0, *ask, "--dry-run")
        assert "of 8 series: each is seen" in out and "mirror" not in out
        assert settings_in(out)["train"]["steps"] > 100
    assert [unet.sample_shape for unet in timed] == [(1, 16)] * 2


def test_a_preset_of_pictures_is_none_for_series(tmp_path, capsys):
    for more in ([], ["--no-clip"]):
        ask = ["train", "small-32", "--dimensions", "1", "--data", waves(tmp_path), *more]
        _, why = said(capsys, 1, *ask, "--dry-run")
        assert "take ddpm-lite train series, without --dimensions" in why
    with pytest.raises(ValueError, match="a preset of their own"):
        as_long(RUNS["series"], RUNS["small-32"], frozenset())


def test_what_was_drawn_is_said_whole(start, tmp_path, capsys):
    how = ["--num", "2", "--steps", "2", *FEW, "--step", "2", "--weights", "raw"]
    out = str(tmp_path / "x.npy")
    words, _ = said(capsys, 0, "sample", str(start), *how, "--label", "1", "--out", out)
    assert words.startswith("2 series of class 1 of the raw weights in 2 steps of ddim,")
    how[how.index("2", 5)] = "best"
    again = str(tmp_path / "y.npy")
    words, _ = said(capsys, 0, "sample", str(start), *how, "--out", again)
    assert words.startswith("2 series of the raw weights in 2 steps of ddim, the def")
    assert "calls, of the best checkpoint, step " in words


@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_guidance_needs_a_class_that_was_left_out(start, tmp_path, capsys, command):
    how = ["--num", "2", "--steps", "2", *FEW, "--out", str(tmp_path / "x.npy")]
    for scale in ("3", "0"):
        _, why = said(capsys, 1, command, str(start), *how, "--guidance", scale)
        assert 'was trained with --drop-label 0 and knows no "no class"' in why
    assert not (tmp_path / "x.npy").exists()


def test_a_setting_that_is_given_twice():
    takes = type("Net", (), {"__init__": lambda self, width: None})
    with pytest.raises(ValueError, match="gives width twice: give one value"):
        settings_of_words(["width=8", "width=16"], takes)
    assert settings_of_words(["width=8"], takes) == {"width": 8}
