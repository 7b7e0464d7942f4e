r"""Runs that somebody has edited, cut short or copied by halves: one line, or a picture."""

import json
import os
import shutil

import pytest

from ddpm_lite.commands.main import main
from ddpm_lite.training.presets import RUNS, RunConfig

DELETED = object()
DEEP = "[" * 100_000


def edited(run, *keys, value):
    r"""Change, or delete, what stands in config.json under some keys."""
    path = run / "config.json"
    whole = about = json.loads(path.read_text())
    for key in keys[:-1]:
        about = about[key]
    if value is DELETED:
        del about[keys[-1]]
    else:
        about[keys[-1]] = value
    path.write_text(json.dumps(whole))


def refused(arguments, capsys):
    r"""The one line of a command that could not do it."""
    assert main([str(word) for word in arguments]) == 1
    lines = capsys.readouterr().err.splitlines()
    (line,) = [line for line in lines if not line.startswith("ddpm-lite: note: ")]
    assert line.startswith("ddpm-lite: ")
    return line


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        (
            ["unet", "witdh"],
            8,
            "'unet' in {}/config.json holds 'witdh', which this version ",
        ),
        (["unet", "witdh"], 8, "version does not know: did you mean width?"),
        (["train", "guidance"], 3, "holds 'guidance', which this version does not know"),
        (["shedule"], "linear", "holds 'shedule'"),
        (["unet", "width"], DELETED, "'unet' in {}/config.json lacks 'width'"),
        (
            ["train", "lr"],
            DELETED,
            "'train' in {}/config.json lacks 'lr': restore the file",
        ),
        (
            ["unet"],
            [1, 2],
            "'unet' in {}/config.json must hold {{name: value}}, got [1, 2]",
        ),
        (["train"], None, "'train' in {}/config.json must hold {{name: value}}, got None"),
        (["unet", "width"], "8", "'unet' in {}/config.json: width must be int, got '8'"),
        (["unet", "width"], True, "width must be int, got True"),
        (["unet", "multipliers"], "12", "multipliers must be tuple[int, ...], got '12'"),
        (["unet", "multipliers"], [1, 0.5], "multipliers must be tuple[int, ...], got [1,"),
        (["unet", "size"], [8, 8, 8], "size must be int | tuple[int, int], got [8, 8, 8]"),
        (["unet", "channels"], 3, "{}/config.json says channels = 3, and its weights "),
        (["train", "grad_clip"], "no", "grad_clip must be float | None, got 'no'"),
        (["train", "lr"], -1, "'train' in {}/config.json: lr must be"),
        (["train", "lr"], float("nan"), "'train' in {}/config.json: lr must be"),
        (["data"], 5, "{}/config.json: data must be str, got 5"),
        (["labels"], "yes", "{}/config.json: labels must be bool, got 'yes'"),
        (["schedule"], "cubic", "{}/config.json: schedule must be one of linear, cosine"),
    ],
)
def test_settings_that_do_not_fit_are_named(keys, value, words, own_run, capsys):
    edited(own_run, *keys, value=value)
    out = own_run.parent / "out"
    ask = ["sample", own_run, "--num", "1", "--steps", "1", "--out", out]
    assert words.format(own_run) in refused(ask, capsys)
    assert not out.exists()
    refused(["info", own_run], capsys)
    refused(["resume", own_run, "--steps", "3"], capsys)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "config.json is not whole"),
        (b'{"unet": {"wid', "config.json is not whole"),
        (b"\xff\x00junk\x93", "config.json is not whole"),
        (b"[1, 2]", "config.json must hold {name: value}, got [1, 2]"),
        (b"null", "config.json must hold {name: value}, got None"),
        (DEEP.encode(), "config.json is not whole"),
    ],
)
@pytest.mark.parametrize(
    "name", ["sample", "resume", "info", "evaluate", "export", "curves"]
)
def test_a_file_of_settings_that_is_not_whole_is_named(name, text, words, own_run, capsys):
    (own_run / "config.json").write_bytes(text)
    out = ["--out", own_run.parent / "out"] if name == "export" else []
    assert words in refused([name, own_run, *out], capsys)
    assert not (own_run.parent / "out").exists()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("state.json", b"{"),
        ("state.json", b"[]"),
        ("state.json", b"{}"),
        ("state.json", b'{"step": "two", "seed": null, "metrics_bytes": -1}'),
        ("state.safetensors", b"junk" * 9),
        ("model.safetensors", b"junk" * 9),
        ("model.safetensors", b""),
        ("state.json", None),
        ("state.safetensors", None),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_named(file, text, own_run, capsys):
    path = own_run / "checkpoints" / "step_000000002" / file
    path.unlink() if text is None else path.write_bytes(text)
    said = refused(["resume", own_run, "--steps", "3"], capsys)
    assert "step_000000002" in said
    if file == "model.safetensors":
        assert str(path) in refused(["sample", own_run, "--num", "1"], capsys)


@pytest.mark.parametrize("text", [b"", b"step_000000009", b"\xff\xfe", b"../.."])
def test_a_pointer_to_nowhere_leaves_the_newest_that_is_whole(text, own_run, capsys):
    (own_run / "newest").write_bytes(text)
    (own_run / "checkpoints" / "step_half.old").mkdir()
    (own_run / "checkpoints" / "step_").mkdir()
    assert main(["info", str(own_run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 2


def test_the_step_of_a_checkpoint_that_is_not_there(own_run, capsys):
    ask = ["sample", own_run, "--num", "1", "--step"]
    assert "has checkpoints of steps [0, 2], and none of step 1" in refused(
        [*ask, 1], capsys
    )
    assert "--step must be an integer >= 0, got -2" in refused([*ask, -2], capsys)
    shutil.rmtree(own_run / "checkpoints")
    assert "has no checkpoint yet" in refused(ask[:-1], capsys)


def test_links_that_lead_round_and_round(tmp_path, capsys):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for name in ("sample", "info", "resume", "evaluate", "curves"):
        assert str(tmp_path / "a") in refused([name, tmp_path / "a"], capsys)
    refused(["train", "digits", "--data", tmp_path / "a"], capsys)
    refused(["sample", "digits", "--num", "1", "--out", tmp_path / "a" / "b"], capsys)
    refused(["export", "digits", "--out", tmp_path / "a"], capsys)


def test_a_file_where_a_folder_is_expected_and_the_reverse(own_run, capsys):
    file, folder = own_run / "newest", own_run / "samples"
    for name in ("sample", "info", "evaluate"):
        refused([name, file], capsys)
        refused([name, folder], capsys)
    refused(["resume", file], capsys)
    refused(["curves", own_run, "--out", folder], capsys)
    refused(["train", "digits", "--steps", "1", "--out", file], capsys)
    refused(["export", own_run, "--out", file], capsys)
    refused(["import", file, "--out", own_run / "x.safetensors"], capsys)
    refused(["grade", file, "--csv", own_run / "g.csv"], capsys)
    refused(["grade", folder, "--csv", own_run / "g.csv"], capsys)
    long = own_run / ("x" * 300)
    for ask in (["info"], ["resume"], ["import", "--out", "x.safetensors"], ["curves"]):
        refused([*ask, long], capsys)


@pytest.mark.parametrize("preset", RUNS)
def test_what_was_written_is_read_again(preset):
    values = json.loads(json.dumps(RUNS[preset].as_dict()))
    assert RunConfig.from_dict(values | {"described": 1, "versions": {}}) == RUNS[preset]


def test_a_place_that_cannot_be_written_is_said_before_work(own_run, monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    new = own_run.parent / "new"
    for line in (
        f"train digits --steps 1 --out {new}",
        f"sample {own_run} --num 1 --out {new}",
        f"evaluate {own_run} --num 8 --out {new}",
        f"curves {own_run} --out {new}.png",
        f"export {own_run} --out {new}",
        f"import {own_run} --out {new}.safetensors",
        f"bench --quick --out {new}",
    ):
        err = refused(line.split(), capsys)
        assert f"{own_run.parent} " in err and "written: name another " in err
        assert not new.exists()
