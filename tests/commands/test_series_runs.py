r"""Runs on series by command: from a file of floats to new series in its units."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm_lite import UNet1d, figure, load_run
from ddpm_lite.commands.main import main
from ddpm_lite.training.presets import RUNS, RunConfig

SMALL = "--width 8 --groups 4 --multipliers 1 2 --T 20 --batch-size 8 --sample-steps 2"
SMALL = f"{SMALL} --log-every 1 --dropout 0.2 --device cpu --threads 1".split()


def waves(folder, C=1, name="waves.npy", seed=0):
    r"""A file of 80 waves around 100 with deviation 10, (80, 16), or (80, C, 16)."""
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, (80, C, 1))
    x = 100 + 10 * 2**0.5 * np.sin(np.pi / 4 * np.arange(16) + phase)
    np.save(folder / name, x[:, 0] if C == 1 else x)
    return str(folder / name)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    r"""The folder of a run of four steps, for which no preset was named."""
    folder = tmp_path_factory.mktemp("series")
    options = ["--steps", "4", "--save-every", "2", "--sample-every", "2"]
    ask = ["train", "--data", waves(folder), *SMALL, *options]
    assert main([*ask, "--out", str(folder / "run")]) == 0
    return folder / "run"


def said(capsys, status, *arguments):
    capsys.readouterr()
    assert main([*arguments]) == status
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return shown.out, shown.err


def test_a_file_of_floats_chooses_the_preset_and_says_so(tmp_path, capsys):
    ask = ["train", "--data", waves(tmp_path), *SMALL, "--dry-run"]
    out, _ = said(capsys, 0, *ask)
    assert "preset    series, for waves.npy holds floats (N, L)" in out
    assert "76 series of 1 x 16; 4 set aside" in out
    assert "read as 80 series of length 16, one channel" in out
    settings = json.loads(out[out.index("\n{") :])
    assert settings["unet"]["size"] == 16 and settings["unet"]["attention"] == [16]
    ask = ["train", "series", "--data", waves(tmp_path, C=2), *SMALL, "--dry-run"]
    out, _ = said(capsys, 0, *ask)
    assert "preset " not in out and "76 series of 2 x 16" in out
    assert "channels  2, as the series have" in out


def test_the_run_holds_a_unet1d_its_scale_and_pictures_of_curves(run):
    found = load_run(run)
    assert type(found.model) is UNet1d and found.model.clip is None
    scale = json.loads((run / "config.json").read_text("utf-8"))["described"]["scale"]
    assert scale == found.config["described"]["scale"]
    assert abs(scale["mean"][0] - 100) < 1 and abs(scale["std"][0] - 10) < 0.1
    for name in ("step_000000002.png", "step_000000004.png", "nearest.png"):
        with Image.open(run / "samples" / name) as picture:
            assert min(picture.size) > 300, name


def test_samples_are_in_the_units_of_the_file(run, tmp_path, capsys):
    out = tmp_path / "x.npy"
    how = ["--num", "3", "--steps", "2", "--threads", "1", "--device", "cpu"]
    words, _ = said(capsys, 0, "sample", str(run), *how, "--out", str(out))
    assert words.startswith("3 series in 2 steps")
    drawn = np.load(out)
    assert drawn.shape == (3, 1, 16) and drawn.dtype == np.float32
    own = load_run(run)
    scale = own.config["described"]["scale"]
    again = own.sample(3, sampler="ddim", steps=2, progress=False).numpy()
    want = again * scale["std"][0] + scale["mean"][0]
    assert np.abs(drawn - want).max() < 1e-3  # 1e-4 deviations
    folder = tmp_path / "new"
    said(capsys, 0, "sample", str(run), *how, "--out", f"{folder}/")
    assert sorted(p.name for p in folder.iterdir()) == ["grid.png", "series.npy"]
    assert np.load(folder / "series.npy").tobytes() == drawn.tobytes()


def test_a_run_that_is_resumed_is_the_run_that_was_not_bit_for_bit(tmp_path, capsys):
    ask = [
        "train",
        "series",
        "--data",
        waves(tmp_path),
        *SMALL,
        "--lr-schedule",
        "constant",
    ]
    whole, parts = str(tmp_path / "whole"), str(tmp_path / "parts")
    assert main([*ask, "--steps", "4", "--out", whole]) == 0
    assert main([*ask, "--steps", "2", "--out", parts]) == 0
    assert main(["resume", parts, "--steps", "4", "--device", "cpu", "--threads", "1"]) == 0
    one, two = (load_run(x).model.state_dict() for x in (whole, parts))
    assert all(two[name].equal(value) for name, value in one.items())
    waves(tmp_path, seed=1)  # other numbers in the same file
    said(capsys, 1, "resume", parts, "--steps", "6")


def test_quality_is_measured_in_values_and_on_the_scale_of_the_run(run, capsys):
    how = ["--num", "40", "--steps", "2", "--threads", "1", "--device", "cpu"]
    out, _ = said(capsys, 0, "evaluate", str(run), *how, "--json")
    rows = json.loads(out)["measures"]
    assert list(rows)[:2] == ["fd_values_40", "fd_values_40_ratio"]
    other = waves(run.parent, name="louder.npy", seed=2)
    np.save(other, 3 * np.load(other))
    out, _ = said(capsys, 0, "evaluate", str(run), *how, "--data", other, "--json")
    found = json.loads(out)
    assert found["compared"]["unseen"]["pictures"] == 80
    assert found["measures"]["recall"]["training"] == 0  # they are not scaled to themselves
    _, why = said(capsys, 1, "evaluate", str(run), *how, "--inception", "x")
    assert "x" in why


def test_series_are_called_series(run, tmp_path, capsys):
    how = ["--num", "40", "--steps", "2", "--threads", "1", "--device", "cpu"]
    out, _ = said(capsys, 0, "evaluate", str(run), *how)
    assert "compared with 4 series of waves, set aside" in out
    assert "training series: the 76 of waves" in out
    assert "measured against 4 series of waves" in out and "unseen series, has 4" in out
    other = waves(run.parent, name="others.npy", seed=2)
    found, _ = said(capsys, 0, "evaluate", str(run), *how, "--data", other)
    assert "compared with 80 series of others" in found and "other unseen series" in found
    judged, _ = said(capsys, 1, "doctor", str(run))
    assert "76 of 1 x 16, those that the run began with" in judged
    assert "of the series repeat another one" in " ".join(judged.split())
    ask = ["train", "--data", waves(tmp_path), *SMALL, "--steps", "2", "--save-every", "1"]
    new = str(tmp_path / "run")
    trained, _ = said(capsys, 0, *ask, "--out", new)
    went_on, _ = said(capsys, 0, "resume", new, "--steps", "3", "--threads", "1")
    for report in (trained, went_on):
        assert " series/s\nsamples: " in report and "nearest training series\n" in report
    said_of_levels = "questions on grey levels are for pictures"
    judged = " ".join(judged.split()).replace(said_of_levels, "")
    for text in (out, found, trained, went_on, judged):
        assert "picture" not in text


def test_other_commands_take_a_run_of_series_or_refuse_it_in_words(run, tmp_path, capsys):
    out, _ = said(capsys, 0, "info", str(run), "--json")
    assert json.loads(out)["settings"]["unet"]["dimensions"] == 1
    said(capsys, 0, "curves", str(run), "--out", str(tmp_path / "c.png"))
    out, _ = said(capsys, 1, "doctor", str(run))  # four steps are too few
    assert "questions on grey levels are for pictures" in " ".join(out.split())
    _, why = said(capsys, 1, "export", str(run), "--out", str(tmp_path / "pipe"))
    assert "networks of pictures only, got a UNet1d" in why


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--clip", "which [-1, 1] would cut: --no-clip leaves them whole"),
        ("--flip", "--flip is for pictures, not for series: leave it out"),
        ("--lazy", "--lazy is for pictures"),
        ("--skip-broken", "--skip-broken is for pictures"),
        ("--folders plain", "--folders plain is for pictures"),
        ("--channels 3", "has 1 channels, and the network 3: leave --channels out"),
        ("--multipliers 1 1 1 1 1 1", "multiples of 32: or --multipliers 1 1 1 1 1 takes"),
        ("--size 32", "holds series of length 16, which are shorter than 32"),
        ("--held-out-split test", "a file of series has no splits"),
        ("--hold-out 80", "sets all of 80 "),
    ],
    ids=[
        "clip",
        "flip",
        "lazy",
        "broken",
        "folders",
        "channels",
        "deep",
        "size",
        "split",
        "all",
    ],
)
def test_settings_that_do_not_fit_series_are_refused(tmp_path, capsys, options, message):
    ask = ["train", "series", "--data", waves(tmp_path), *SMALL, *options.split()]
    _, why = said(capsys, 1, *ask, "--out", str(tmp_path / "run"))
    assert message in why and not (tmp_path / "run").exists()


def test_a_length_that_cannot_be_halved_is_cut_only_if_asked(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.load(waves(tmp_path))[:, :13])
    ask = ["train", "--data", str(tmp_path / "x.npy"), *SMALL]
    _, why = said(capsys, 1, *ask, "--out", str(tmp_path / "run"))
    assert "length 13, and this network takes multiples of 2: --size 12 cuts out" in why
    assert "--multipliers 1 takes them as they are" in why
    out, _ = said(capsys, 0, *ask, "--size", "12", "--dry-run")
    assert "76 series of 1 x 12" in out and "the middle 12 of 13 numbers" in out


def test_an_older_run_without_dimensions_is_one_of_pictures():
    values = json.loads(json.dumps(RUNS["digits"].as_dict()))
    del values["unet"]["dimensions"]
    assert RunConfig.from_dict(values).unet.dimensions == 2


def test_curves_are_drawn_of_series_alone(tmp_path):
    path = figure.save_series(torch.randn(3, 2, 16), tmp_path / "x.png", title="three")
    with Image.open(path) as picture:
        assert len(picture.convert("RGB").getcolors(100_000)) > 2
    with pytest.raises(ValueError, match=r"must be \(N, C, L\), got \(3, 16\)"):
        figure.save_series(torch.randn(3, 16), tmp_path / "y.png")
