r"""The commands around a run: train, resume, info, curves, and quickstart."""

import json

import pytest
from PIL import Image

from ddpm_lite import MLP, Schedule, TrainConfig, Trainer, UNet, UNetConfig, data, load_run
from ddpm_lite.commands import quickstart
from ddpm_lite.commands.main import main
from ddpm_lite.training import device, experiment
from ddpm_lite.training.fit import fit
from ddpm_lite.training.presets import RunConfig

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


def started(run, *options):
    r"""A short run on the digits, by command."""
    ask = ["train", "digits", *SMALL, "--steps", "4", "--out", str(run), "--json"]
    assert main([*ask, "--device", "cpu", "--warmup-steps", "1", *options]) == 0
    return str(run)


def said(capsys, status, *arguments):
    r"""What a command says, on stdout and stderr, if it ends with a status."""
    capsys.readouterr()
    assert main([*arguments]) == status
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return shown.out, shown.err


def test_a_finished_run_says_so_and_how_to_go_on(tmp_path, capsys):
    run = started(tmp_path / "run")
    files = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*.*") if p.is_file()}
    for options in ([], ["--steps", "4"]):
        out, _ = said(capsys, 0, "resume", run, *options)
        assert f"{run} is finished: it has made all its 4 steps; train longer with" in out
        assert "--steps 8" in out and "pictures/s" not in out
    done = json.loads(said(capsys, 0, "resume", run, "--json")[0])
    assert (done["step"], done["updates"], done["finished"]) == (4, 0, True)
    assert all(p.read_bytes() == content for p, content in files.items())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--steps", "3"], "has made 4 steps already: steps is their number in all"),
        (["--steps", "0"], "steps must be an integer >= 1, got 0"),
        (["--steps", "-5"], "steps must be an integer >= 1, got -5"),
        (["--lr", "1e-3"], "has made all its 4 steps, and none is left for another lr"),
        (["--steps", "9", "--lr", "0"], "lr must be a number"),
        (["--steps", "9", "--lr", "nan"], "lr must be a number"),
        (["--steps", "9", "--max-minutes", "0"], "max-minutes must be above 0, got 0"),
        (["--steps", "9", "--max-minutes", "-1"], "max-minutes must be above 0, got -1"),
        (["--steps", "9", "--max-minutes", "nan"], "max-minutes must be above 0"),
        (["--steps", "9", "--data", "nowhere"], "there is no file or folder nowhere"),
    ],
)
def test_resume_refuses_what_it_cannot_do(options, words, tmp_path, capsys):
    run = started(tmp_path / "run")
    before = (tmp_path / "run" / "config.json").read_bytes()
    _, err = said(capsys, 1, "resume", run, *options)
    last = err.splitlines()[-1]
    assert last.startswith("ddpm-lite: ") and words in last
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def rates(run):
    r"""{step: learning rate} of a run's metrics."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return {line["step"]: line["lr"] for line in map(json.loads, lines) if "lr" in line}


def test_a_longer_run_says_what_its_learning_rate_becomes(tmp_path, capsys):
    run = started(tmp_path / "run")
    _, err = said(capsys, 0, "resume", run, "--steps", "6")
    found = rates(tmp_path / "run")
    # a cosine of 4 steps at (4 - 1) / 4 of its way, then one of 6 at 4 / 6: 0.15 and 0.25
    assert found[4] == pytest.approx(4e-3 * 0.5 * (1 - 0.5**0.5))
    assert found[5] == pytest.approx(4e-3 * 0.25)
    words = (
        f"note: the learning rate was {found[4]:.2g} at step 4; from here on it is 0.001,"
    )
    assert words in err and "give lr (--lr)" in err


def test_a_longer_run_at_a_rate_that_stays(tmp_path, capsys):
    run = started(tmp_path / "run")
    _, err = said(capsys, 0, "resume", run, "--steps", "6", "--lr", "5e-4")
    found = rates(tmp_path / "run")
    assert (found[5], found[6]) == (5e-4, 5e-4)
    assert "from here on it is 0.0005, and does not fall" in err
    train = json.loads((tmp_path / "run" / "config.json").read_text())["train"]
    assert (train["lr"], train["lr_schedule"], train["steps"]) == (5e-4, "constant", 6)


def test_nothing_is_said_where_nothing_changes(tmp_path, capsys):
    run = started(tmp_path / "run", "--lr-schedule", "constant")
    assert "note" not in said(capsys, 0, "resume", run, "--steps", "6")[1]
    assert set(rates(tmp_path / "run").values()) == {4e-3}


def test_other_versions_are_said(tmp_path, capsys):
    run = started(tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    about = json.loads(path.read_text())
    about["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(about))
    _, err = said(capsys, 0, "resume", run, "--steps", "5")
    assert "note: torch was 1.0 so far, and from here on is " in err


def test_pictures_that_have_moved(tmp_path, capsys):
    here = tmp_path / "here"
    here.mkdir()
    for i in range(6):
        Image.new("L", (8, 8), 40 * i).save(here / f"{i}.png")
    options = ["--data", str(here), "--hold-out", "0", "--channels", "1"]
    run = started(tmp_path / "run", *options, "--no-labels")
    there = tmp_path / "there"
    here.rename(there)
    _, err = said(capsys, 1, "resume", run, "--steps", "5")
    assert "here" in err
    assert said(capsys, 0, "resume", run, "--steps", "5", "--data", str(there))
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    assert about["data"].endswith("there")
    (there / "0.png").unlink()
    _, err = said(capsys, 1, "resume", run, "--steps", "6")
    assert "was trained on other data: pictures 6, now 5" in err
    assert err.splitlines()[-1].startswith("ddpm-lite: ")


def in_python(run, x_0=None, levels=17, y=True, **changes):
    r"""The run in Python of docs/training.md, on digits: the arguments of its Trainer."""
    pictures = data.load("digits")
    x_0 = pictures.x_0 if x_0 is None else x_0
    network = dict(width=8, groups=4, classes=10 if y else 0) | changes
    model = UNet(UNetConfig.preset("digits", **network))
    config = TrainConfig(steps=3, batch_size=4, warmup_steps=0)
    schedule = Schedule.linear(model.T) if model.T != 30 else Schedule.sigmoid(30)
    y = pictures.y[: len(x_0)] if y else None
    trainer = Trainer(model, schedule, x_0, config, y=y, levels=levels)
    fit(trainer, run, progress=False)
    return trainer


@pytest.mark.filterwarnings("ignore:q.x_T")  # of short chains
@pytest.mark.parametrize("kind", ["digits", "no classes", "short", "floats", "as it was"])
def test_a_run_in_python_is_a_run(kind, tmp_path, capsys):
    more = {"no classes": dict(y=False), "short": dict(T=30)}.get(kind, {})
    if kind == "floats":
        more = dict(x_0=data.load("digits").to_float())
    in_python(tmp_path / "run", **more)
    path = tmp_path / "run" / "config.json"
    if kind == "as it was":  # in version 0.2.0
        train = json.loads(path.read_text())["train"]
        path.write_text(json.dumps({"train": train}))
    run, out = str(tmp_path / "run"), str(tmp_path / "new")
    about = json.loads(said(capsys, 0, "info", run, "--json")[0])
    assert about["step"] == 3 and about["settings"]["unet"]["width"] == 8
    said(capsys, 0, "sample", run, "--num", "3", "--steps", "2", "--out", out)
    said(capsys, 0, "curves", run)

    assert load_run(run).sample(3, sampler="ddim", steps=2).shape == (3, 1, 8, 8)
    _, err = said(capsys, 1, "resume", run, "--steps", "5")
    place = "float32 numbers" if kind == "floats" else "name the same pictures with data"
    assert place in err and "fit(trainer" in err
    if kind == "floats":
        return
    said(capsys, 0, "resume", run, "--steps", "5", "--data", "digits")
    about = json.loads(path.read_text())
    assert (about["data"], about["train"]["steps"]) == ("digits", 5)
    assert about["schedule"] == ("sigmoid" if kind == "short" else "linear")
    assert load_run(run).schedule.T == (30 if kind == "short" else 1000)
    said(capsys, 0, "resume", run, "--steps", "6")


def test_other_pictures_than_those_in_memory(tmp_path, capsys):
    in_python(tmp_path / "run", levels=256)
    ask = ["resume", str(tmp_path / "run"), "--steps", "5", "--data", "digits"]
    assert "trained with 256 grey levels, and the pict" in said(capsys, 1, *ask)[1]
    in_python(tmp_path / "few", x_0=data.load("digits").x_0[:9])
    ask[1] = str(tmp_path / "few")
    assert "pictures 9, now 1438" in said(capsys, 1, *ask)[1]


def test_python_goes_on_with_a_run_of_a_command(tmp_path, capsys):
    run = started(tmp_path / "run")
    before = json.loads((tmp_path / "run" / "config.json").read_text())
    prepared = experiment.prepare(
        RunConfig.from_dict(before | {"train": before["train"] | {"steps": 5}}), "cpu"
    )
    fit(prepared.trainer, run, resume=True, progress=False)
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    assert about.pop("train")["steps"] == 5 and before.pop("train")["steps"] == 4
    assert about == before
    capsys.readouterr()


def test_a_run_on_points(tmp_path, capsys):
    trainer = Trainer(
        MLP(T=100, width=8, depth=2),
        Schedule.cosine(100),
        data.two_moons(50),
        TrainConfig(steps=3, batch_size=4, warmup_steps=0),
    )
    run = str(tmp_path / "run")
    fit(trainer, run, progress=False)
    about = json.loads(said(capsys, 0, "info", run, "--json")[0])
    assert (about["network"], about["step"], about["T"]) == ("MLP", 3, 100)
    assert about["described"]["examples"] == 50
    assert "load_run(" in said(capsys, 1, "evaluate", run)[1]
    ask = ("sample", run, "--num", "3", "--steps", "2", "--out", f"{tmp_path}/x.npy")
    assert "3 points in 2 steps" in said(capsys, 0, *ask)[0]
    assert "fit(trainer" in said(capsys, 1, "resume", run, "--steps", "5")[1]
    said(capsys, 0, "curves", run)
    assert load_run(run).sample(7, progress=False).shape == (7, 2)


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
    assert main(["resume", f"{tmp_path}/run", "--steps", "2", "--json"]) == 0
    said = capsys.readouterr().err
    assert (
        "note: the network ran in bfloat16 so far, and from here on runs in float" in said
    )
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    assert about["precision"] == "float32"
    capsys.readouterr()


def photos(folder, names, n=3):
    r"""Grey pictures, n of each class, all different."""
    for i, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for j in range(n):
            Image.new("L", (8, 8), 20 * (n * i + j)).save(folder / name / f"{j}.png")
    return ["--data", str(folder), "--hold-out", "0", "--channels", "1"]


def test_classes_that_were_renamed_are_not_taken_over(tmp_path, capsys):
    run = started(tmp_path / "run", *photos(tmp_path / "pets", ["cat", "dog"]))
    (tmp_path / "pets" / "dog").rename(tmp_path / "pets" / "hound")
    _, err = said(capsys, 1, "resume", run, "--steps", "5")
    assert "with the classes cat, dog, and the same pictures are now of the classes" in err
    assert "classes cat, hound: name the folders as they were" in err
    (tmp_path / "pets" / "hound").rename(tmp_path / "pets" / "dog")
    said(capsys, 0, "resume", run, "--steps", "5")


def test_a_third_class_is_other_data(tmp_path, capsys):
    run = started(tmp_path / "run", *photos(tmp_path / "pets", ["cat", "dog"]))
    photos(tmp_path / "more", ["cow"])
    (tmp_path / "more" / "cow").rename(tmp_path / "pets" / "cow")
    _, err = said(capsys, 1, "resume", run, "--steps", "5")
    assert (
        "was trained on other data: pictures 6, now 9; classes ['cat', 'dog'], now" in err
    )
    assert "--classes" not in err


def rewritten(run, **changes):
    r"""Edit settings of config.json, those of the training or others."""
    path = run / "config.json"
    about = json.loads(path.read_text())
    for name, value in changes.items():
        (about["train"] if name in about["train"] else about)[name] = value
    path.write_text(json.dumps(about))


def test_settings_that_somebody_edited_are_said(tmp_path, capsys):
    run = started(tmp_path / "run", "--lr-schedule", "constant")
    first = rates(tmp_path / "run")[4]
    rewritten(tmp_path / "run", lr=1e-3, batch_size=7, seed=3, sample_steps=1, steps=6)
    _, err = said(capsys, 0, "resume", run)
    for words in ("lr was 0.004", "batch_size was 4", "seed was 0", "sample_steps was 2"):
        assert f"note: {words} so far, and from here on is " in err
    assert "from here on is 7, as " in err and "config.json says" in err
    assert f"learning rate was {first:.2g} at step 4; from here on it is 0.001" in err
    assert rates(tmp_path / "run")[5] == 1e-3
    assert "note" not in said(capsys, 0, "resume", run, "--steps", "7")[1]  # once is enough


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(schedule="linear"), "says schedule = 'linear', and its weights were trained"),
        (dict(dropout=0.3), "says dropout = 0.3, and its weights dropout = "),
        (dict(width=16), "says width = 16, and its weights width = 8: restore it"),
        (dict(hold_out=0.3), "But hold_out was 0.0 so far, and from here on is 0.3, as "),
    ],
)
def test_what_cannot_be_edited_is_refused(changes, words, tmp_path, capsys):
    run = started(tmp_path / "run", *photos(tmp_path / "pets", ["cat", "dog"]))
    path = tmp_path / "run" / "config.json"
    about = json.loads(path.read_text())
    for name in set(changes) & set(about["unet"]):
        about["unet"][name] = changes[name]
    path.write_text(json.dumps(about | changes))
    err = said(capsys, 1, "resume", run, "--steps", "5")[1]
    assert words in err and "Name those with --data" not in err
    (line,) = err.splitlines()  # no note before it
    assert len(line) < 400 and str(path) in line


def test_pictures_set_aside_that_have_changed_are_said(tmp_path, capsys):
    for split in ("train", "test"):
        photos(tmp_path / "pets" / split, ["cat", "dog"])
        for i, p in enumerate(sorted((tmp_path / "pets" / split).rglob("*.png"))):
            Image.new("L", (8, 8), 20 * i + 100 * (split == "test")).save(p)
    ask = ["--data", str(tmp_path / "pets"), "--held-out-split", "test", "--channels", "1"]
    run = started(tmp_path / "run", *ask)
    assert "note" not in said(capsys, 0, "resume", run, "--steps", "4")[1]
    Image.new("L", (8, 8), 255).save(tmp_path / "pets" / "test" / "cat" / "0.png")
    err = said(capsys, 0, "resume", run, "--steps", "5")[1]
    assert "note: the pictures that are set aside are others than so far" in err


def test_notes_come_after_what_is_refused(tmp_path, capsys):
    run = started(tmp_path / "run")
    newest = tmp_path / "run" / "checkpoints" / "step_000000004" / "state.json"
    newest.write_text("{}")
    err = said(capsys, 1, "resume", run, "--steps", "9")[1]
    assert f"{newest} lacks 'step'" in err and "note:" not in err
    assert "to go on from step_000000000 instead, remove" in err


def test_nothing_is_said_of_threads_where_there_is_no_run(tmp_path, capsys):
    out, err = said(capsys, 1, "resume", str(tmp_path))
    assert out == "" and "is not the folder of a run" in err
