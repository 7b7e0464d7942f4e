r"""Options of training on a command line: what is said, written, and read again."""

import json
from pathlib import Path

import pytest

from ddpm_lite import Schedule, from_diffusers, load_run
from ddpm_lite.commands.main import main
from ddpm_lite.training import experiment

SMALL = "--width 8 --groups 4 --batch-size 4 --sample-every 0 --sample-steps 2 --device cpu"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "report", lambda *_: None)  # has its own tests
    monkeypatch.chdir(tmp_path)


def said(capsys, status, line):
    r"""stdout and stderr of a command line that ends with this status."""
    capsys.readouterr()
    assert main(line.split()) == status
    return capsys.readouterr()


def test_a_schedule_with_ends_of_its_own(capsys):
    ends, wanted = "--beta-start 0.01 --beta-end 0.5", Schedule.sigmoid(20, 0.01, 0.5)
    chosen = f"--T 20 --schedule sigmoid {ends}"
    told = said(capsys, 0, f"train digits {SMALL} --steps 2 {chosen} --out a").out
    assert "sigmoid schedule, beta from 0.01 to 0.5, T = 20" in told
    assert load_run("a").schedule.same_as(wanted)
    settings = json.loads(said(capsys, 0, "info a --json").out)["settings"]
    found = [settings[name] for name in ("schedule", "beta_start", "beta_end")]
    assert found == ["sigmoid", 0.01, 0.5]
    said(capsys, 0, "resume a --steps 3 --device cpu")
    assert load_run("a").schedule.same_as(wanted)
    said(capsys, 0, "export a --out b")
    assert from_diffusers("b").schedule.same_as(wanted)
    again = f"train digits {SMALL} --steps 1 --init a --out c"
    told = said(capsys, 1, f"{again} --schedule linear").err
    assert "schedule, sigmoid, beta_start = 0.01, beta_end = 0.5, T = 20" in told
    assert "--schedule, --beta-start, --beta-end and --T" in told
    said(capsys, 0, again)  # else the schedule is that of the weights
    assert load_run("c").schedule.same_as(wanted)
    told = said(capsys, 1, "train digits --beta-end 0.5 --dry-run").err
    assert "--beta-end must be left out for the cosine schedule" in told
    told = said(capsys, 1, "train fashion --data . --beta-end 0.9 --beta-start 0.8").err
    assert "alpha_bar must decrease" in told  # before any picture is read


def test_what_a_dry_run_says_of_the_optimiser(capsys):
    told = said(capsys, 0, "train digits --dry-run").out
    assert "Adam at 0.004, which falls to 0 (cosine), EMA 0.999" in told
    line = "train digits --dry-run --weight-decay 0.01 --lr-schedule linear --min-snr 5"
    told = said(capsys, 0, f"{line} --checkpoint-gradients").out
    words = "AdamW at 0.004, which falls to 0 (linear), weight decay 0.01, min-SNR 5"
    assert f"{words}, blocks computed twice, EMA 0.999" in told
    config = json.loads(told[told.index("\n{") :])["train"]
    names = ("weight_decay", "lr_schedule", "min_snr", "checkpoint_gradients")
    assert [config[name] for name in names] == [0.01, "linear", 5, True]


def test_changed_options_are_told_where_a_run_goes_on(capsys):
    said(capsys, 0, f"train digits {SMALL} --steps 2 --out a")
    about = json.loads(Path("a/config.json").read_text())
    changed = dict(weight_decay=0.1, min_snr=5.0, checkpoint_gradients=True)
    about["train"] |= changed | dict(lr_schedule="linear", keep_best=False)
    Path("a/config.json").write_text(json.dumps(about))
    told = said(capsys, 0, "resume a --steps 4 --device cpu").err
    for name, value in changed.items():
        assert f"{name} was" in told and f"from here on is {value!r}" in told
    assert "lr_schedule was 'cosine' so far, and from here on is 'linear'" in told
    assert "falls to 0 by step 4, on a straight line over all of them" in told
    assert "keep_best was True so far, and from here on is False" in told


def test_raw_weights_and_the_best_checkpoint_are_drawn_from(capsys):
    said(capsys, 0, f"train digits {SMALL} --steps 3 --save-every 1 --keep 1 --out a")
    best = int(Path("a/best").read_text().removeprefix("step_"))
    few = "--num 2 --steps 2 --device cpu"
    told = json.loads(said(capsys, 0, f"sample a {few} --step best --json").out)
    assert told["step"] == best and "weights" not in told
    told = said(capsys, 0, f"sample a {few} --step best --weights raw --out b").out
    assert "pictures of the raw weights" in told
    assert f"of the best checkpoint, step {best}, on" in told
    line = f"evaluate a {few} --step best --weights raw --json"
    told = json.loads(said(capsys, 0, line).out)
    assert (told["step"], told["weights"]) == (best, "raw")
    told = said(capsys, 0, line.removesuffix(" --json")).out
    assert f"new: from the best checkpoint, step {best}, raw weights\nmeasured ag" in told
    told = said(capsys, 0, f"evaluate a {few}").out
    assert "new: from step 3, averaged weights (EMA)\nmeasured against" in told
    for command in ("sample", "evaluate"):
        told = said(capsys, 1, f"{command} digits --weights raw").err
        assert "raw weights are in the folder of a run, and digits is not one" in told
        told = said(capsys, 1, f"{command} a --step worst").err
        assert "--step must be a whole number or best, got 'worst'" in told
        told = said(capsys, 1, f"{command} a --weights mean").err
        assert "--weights must be one of ema, raw, got 'mean'" in told


def test_a_short_chain_is_said_once(capsys, recwarn):
    line = f"train digits {SMALL} --schedule sigmoid --T 20 --steps 2 --out a"
    said(capsys, 0, line.replace("--sample-every 0", "--sample-every 1"))
    assert sum("is not yet N(0, I)" in str(w.message) for w in recwarn) == 1
    said(capsys, 0, "sample a --num 1 --steps 2 --device cpu")  # there it is not known
    assert sum("is not yet N(0, I)" in str(w.message) for w in recwarn) == 2
