r"""The command evaluate: few pictures, other pictures, and what is refused before work."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ddpm_lite.commands import evaluate as command
from ddpm_lite.commands.main import main
from ddpm_lite.evaluation import inception

SMALL = "--size 8 --channels 1 --width 8 --multipliers 1 --attention --blocks 1 --groups 4"
SMALL += " --steps 1 --batch-size 4 --sample-steps 2 --sample-every 0 --device cpu --json"
SMALL = SMALL.split()
QUICK = "--steps 2 --device cpu --json".split()
STORED = Path(__file__).parents[1] / "formats" / "run_0.2.0"


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def pictures(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8), np.uint8)


def trained(n, hold_out, grey=None):
    r"""Train for a step on n pictures, all of one grey if that is given."""
    np.save("own.npy", np.full((n, 8, 8), grey, np.uint8) if grey else pictures(n))
    ask = ["train", "--data", "own.npy", "--out", "run", "--hold-out", str(hold_out)]
    assert main([*ask, *SMALL]) == 0
    return Path("run")


def asked(capsys, *more):
    capsys.readouterr()
    assert main(["evaluate", *map(str, more), *QUICK]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def told(numbers):
    return " | ".join(numbers["compared"]["told"])


@pytest.mark.parametrize(
    ("n", "hold_out", "grey"),
    [
        (1, 0.05, None),
        (2, 0.05, None),
        (3, 1, None),
        (60, 0.05, None),
        (80, 0.05, None),
        (100, 0.05, 77),
        (1, 0, 77),
    ],
)
def test_few_and_equal_pictures_end_well(n, hold_out, grey, capsys):
    run = trained(n, hold_out, grey)
    report = json.loads((run / "memorisation.json").read_text(), parse_constant=pytest.fail)
    assert report["copying_share"] is None and "needs" in report["cannot_tell"]
    found = asked(capsys, run, "--num", 70)
    assert all(row["generated"] is None for row in found["measures"].values())
    assert all("needs" in r["cannot_tell"]["generated"] for r in found["measures"].values())
    assert main(["evaluate", str(run), *QUICK[:-1]]) == 0
    out = capsys.readouterr().out
    assert "nothing was drawn" in out and "unseen pictures, --data" in out
    np.save("test.npy", pictures(100, 1))
    found = asked(capsys, run, "--num", 70, "--data", "test.npy")
    assert isinstance(found["measures"]["fd_pixels_70"]["generated"], float)
    assert isinstance(found["measures"]["detectability"]["generated"], float)
    assert f"the {n - report['held_out']} of own" in told(found)
    main(["doctor", str(run), "--json"])
    json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def test_a_copier_is_one_whatever_it_is_compared_with(capsys, monkeypatch):
    run = trained(100, 20)
    np.save("test.npy", pictures(50, 1))
    own = command.find

    def kept(*arguments, **options):
        kept.found = own(*arguments, **options)
        return kept.found

    monkeypatch.setattr(command, "find", kept)
    copier = lambda *a, **k: kept.found.train.to_float()  # noqa: E731
    monkeypatch.setattr(command, "draw", copier)
    for more in ([], ["--data", "test.npy"], ["--data", "own.npy"]):
        found = asked(capsys, run, "--num", 80, *more)["measures"]
        assert found["copying_share"]["generated"] == pytest.approx(1), more
        assert found["copying_share"]["better"] == "near 0"
    # one that never saw them does not copy them
    np.save("own.npy", pictures(90, 2))
    monkeypatch.setattr(command, "draw", lambda *a, **k: torch.zeros(80, 1, 8, 8))
    found = asked(capsys, run, "--num", 80, "--data", "test.npy")
    assert found["compared"]["training"] is None
    assert all("training" not in row for row in found["measures"].values())
    assert "model was trained on" in str(found["measures"]["copying_share"]["cannot_tell"])


def test_what_was_compared_is_said(capsys):
    run = trained(100, 20)
    found = asked(capsys, run, "--num", 90)
    assert "beside no more than 80 training pictures" in told(found)
    assert found["samples"] == 90 and "fd_pixels_80_ratio" in found["measures"]
    found = asked(capsys, "digits", "--num", 7)
    assert "classes: in the mix of the training pictures" in told(found)
    assert "3 of the 10 classes get none of 7 samples" in told(found)
    np.save("test.npy", pictures(100, 1))
    found = asked(capsys, "digits", "--num", 16, "--data", "test.npy")
    assert "100 pictures of test" in told(found) and "1,438 of digits" in told(found)
    shutil.copytree(STORED, "old")
    found = asked(capsys, "old", "--num", 64)
    assert found["compared"]["training"] == {"name": "digits", "pictures": 1438}
    assert found["compared"]["unseen"]["pictures"] == 359


def test_samples_have_the_mix_of_the_training_pictures(capsys, monkeypatch):
    from PIL import Image

    for name, n in (("a", 45), ("b", 5)):
        Path("own", name).mkdir(parents=True)
        for i, picture in enumerate(pictures(n, len(name))):
            Image.fromarray(picture).save(f"own/{name}/{i}.png")
    ask = ["train", "--data", "own", "--out", "run", "--hold-out", "0"]
    assert main([*ask, *SMALL]) == 0
    np.save("test.npy", pictures(40, 9))
    seen = []

    def drawn(*a, counts, **k):
        seen.append(counts)
        return torch.zeros(40, 1, 8, 8)

    monkeypatch.setattr(command, "draw", drawn)
    ask = ["run", "--num", 40, "--data", "test.npy"]
    assert "in the mix" in told(asked(capsys, *ask)) and seen[-1] == (45, 5)
    shutil.rmtree("own")  # the run knows its counts
    assert "in the mix" in told(asked(capsys, *ask)) and seen[-1] == (45, 5)
    about = json.loads(Path("run/config.json").read_text())
    del about["described"]["class_counts"]  # as before 0.3
    Path("run/config.json").write_text(json.dumps(about))
    assert "in turn, for their mix" in told(asked(capsys, *ask)) and seen[-1] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--inception", "missing.pth"], "no Inception weights at missing.pth"),
        (["--inception", "broken.pth"], "cannot be read as plain tensors"),
        (["--out", "nowhere/n.json"], "nowhere: make it first"),
        (["--out", "there.json"], "already exists"),
        (["--out", "."], "is a folder: name a file"),
        (["--num", "0"], "--num must be an integer in 1..1000000, got 0"),
        (["--num", "-3"], "--num must be an integer in 1..1000000, got -3"),
        (["--batch", "0"], "--batch must be an integer in 1..1000000, got 0"),
        (["--precision", "half"], "precision must be one of"),
        (["--sampler", "euler"], "sampler must be one of"),
        (["--spacing", "even"], "spacing must be one of"),
        (["--steps", "0"], "steps must be"),
        (["--eta", "2"], "eta must"),
        (["--data", "nothing"], "there is no file or folder nothing"),
    ],
)
def test_what_can_be_refused_is_refused_before_any_work(
    options, words, capsys, monkeypatch
):
    Path("there.json").write_text("mine")
    Path("broken.pth").write_text("no weights")
    monkeypatch.setattr(command, "draw", lambda *a, **k: pytest.fail("it drew"))
    if options[0] != "--data":  # before the pictures are read too
        monkeypatch.setattr(command, "find", lambda *a, **k: pytest.fail("it read"))
    assert main(["evaluate", "digits", "--device", "cpu", *options]) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert Path("there.json").read_text() == "mine"


def test_fid_says_what_it_was_compared_with(capsys, monkeypatch):
    monkeypatch.setattr(inception, "load", lambda path: torch.nn.Identity())
    monkeypatch.setattr(inception, "features", lambda n, x, b: x.flatten(1)[:, :5])
    run = trained(100, 0)
    found = asked(capsys, run, "--num", 16, "--inception", "w.pth")["fid"]
    assert found["reference"] == "training pictures of own" and found["n_reference"] == 100
    assert found["better"] == "lower" and found["fid_16"] > 0
    np.save("own.npy", pictures(50, 1))
    found = asked(capsys, run, "--num", 16, "--inception", "w.pth")["fid"]
    assert found["reference"] == "pictures of own" and found["n_reference"] == 50


def test_bars_have_names(capsys):
    run = trained(100, 70)
    assert "report" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--num", "70", *QUICK[:-1]]) == 0
    shown = capsys.readouterr()
    assert "measuring" in shown.err and "sampling" in shown.err
    lines = shown.out.splitlines()
    assert any(line.endswith("better") for line in lines)
    assert sum("lower, 0 is best" in line for line in lines) == 1


@pytest.mark.parametrize(("hold_out", "few"), [(20, True), (64, False)])
def test_what_too_few_pictures_cannot_tell_is_said_before_and_after(hold_out, few, capsys):
    run = trained(200, hold_out)
    capsys.readouterr()
    assert main(["evaluate", str(run), "--num", "70", *QUICK[:-1]]) == 0
    before, after = capsys.readouterr().out.split("measured against")
    assert ("only 2 of 7 measures can tell from so few unseen" in before) == few
    assert ("64 unseen pictures are enough for all measures: name more, --" in after) == few


def test_the_numbers_go_to_a_new_file(capsys):
    run = trained(40, 20)
    found = asked(capsys, run, "--num", 20, "--out", "n.json")
    assert json.loads(Path("n.json").read_text()) == found
    assert found["measures"]["copying_share"]["better"] == "near 0"
