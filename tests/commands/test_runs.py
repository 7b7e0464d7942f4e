r"""The commands around a run: train, resume, info, curves, and quickstart."""

import json

import pytest

from ddpm_lite.commands import quickstart
from ddpm_lite.commands.main import main
from ddpm_lite.training import device

SMALL = "--width 8 --groups 4 --batch-size 4 --sample-every 0 --sample-steps 2"
SMALL = f"{SMALL} --log-every 1".split()


def test_a_run_from_its_first_step_to_its_curves(tmp_path, capsys):
    run = str(tmp_path / "run")
    assert main(["train", "digits", *SMALL, "--steps", "1", "--out", run]) == 0
    shown = capsys.readouterr().out
    assert "step 1 after" in shown and f"next: ddpm-lite sample {run}" in shown
    assert main(["train", "digits", *SMALL, "--steps", "1", "--out", run]) == 1
    assert "already holds a run, up to step_000000001" in capsys.readouterr().err
    assert main(["resume", run, "--steps", "2", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["step"], done["run"]) == (2, run)
    assert main(["info", run, "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["step"] == 2 and about["settings"]["unet"]["width"] == 8
    assert main(["curves", run]) == 0
    assert (tmp_path / "run" / "curves.png").stat().st_size > 1000


def test_quickstart(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quickstart, "SAMPLES", 40)
    for folder in ("first_digits", "first_digits_2"):
        assert main(["quickstart", "--steps", "1", "--threads", "1"]) == 0
        path = tmp_path / "runs" / folder
        assert f"The picture:  runs/{folder}/digits.png" in capsys.readouterr().out
        assert (path / "digits.png").stat().st_size > 1000
        numbers = json.loads((path / "quality.json").read_text())
        assert (numbers["steps"], numbers["samples"]) == (1, 40)
        assert numbers["sampler"] == "dpmpp_2m, log_snr, 10 steps"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "."], "is not empty: name another folder with --out"),
        (["--steps", "0"], "steps must be"),
        (["--threads", "0"], "--threads must be"),
    ],
)
def test_quickstart_refuses(options, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_text("mine")
    assert main(["quickstart", *options]) == 1
    shown = capsys.readouterr().err
    assert words in shown and shown.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_a_run_that_goes_on_in_another_precision_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(device, "WIDE", 24)
    ask = ["train", "digits", "--out", f"{tmp_path}/run", "--batch-size", "4", "--json"]
    ask += ["--sample-every", "0", "--device", "cpu", "--steps", "1"]
    monkeypatch.setattr(device, "cpu_computes_bfloat16", lambda: True)
    assert main(ask) == 0
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (about["precision"], about["train"]["precision"]) == ("bfloat16", "auto")
    monkeypatch.setattr(device, "cpu_computes_bfloat16", lambda: False)
    with pytest.warns(UserWarning, match="ran in bfloat16 so far, .* runs in float32"):
        assert main(["resume", f"{tmp_path}/run", "--steps", "2", "--json"]) == 0
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    assert about["precision"] == "float32"
    capsys.readouterr()
