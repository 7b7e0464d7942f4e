r"""TensorBoard and Weights & Biases show what metrics.jsonl holds, and the grids."""

import inspect
import json
import sys
import textwrap

import numpy as np
import pytest
from helpers import normal
from PIL import Image
from trainers import make

from ddpm_lite.commands.main import main
from ddpm_lite.training.boards import check_boards, scalars
from ddpm_lite.training.fit import fit
from ddpm_lite.training.instruments import read_log

# The signatures of wandb 0.18, as far as they are used; everything is written down.
STAND_IN = """
    calls = []

    class Run:
        def __init__(self, id):
            self.id = id

        def log(self, data, step=None, commit=None):
            calls.append(("log", dict(data), step))

        def finish(self, exit_code=None, quiet=None):
            calls.append(("finish",))

    class Image:
        def __init__(self, data_or_path, mode=None, caption=None):
            self.data_or_path = data_or_path

    def init(entity=None, project=None, dir=None, id=None, name=None, config=None,
             resume=None, mode=None):
        given = dict(project=project, dir=dir, id=id, config=config, resume=resume)
        calls.append(("init", given))
        if project == "nobody":
            raise Exception("no API key:\\n  run wandb login")
        return Run(id or "abc123")
"""


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    r"""A module wandb that writes down what it is asked for."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "wandb.py").write_text(textwrap.dedent(STAND_IN))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    import wandb

    yield wandb
    sys.modules.pop("wandb")


def go(run, steps=6, **options):
    r"""A run of points whose grid is a picture of 3 x 2 pixels, each as red as its step."""
    settings = dict(log_every=2, save_every=3, sample_every=3, steps=steps)

    def pictures(model, step):
        path = run / f"{step}.png"
        Image.fromarray(np.full((3, 2, 3), (step, 0, 9), np.uint8)).save(path)
        return path

    held_out = normal(5, 2, seed=7).float(), None
    given = dict(held_out=held_out, pictures=pictures, progress=False, resume=True)
    return fit(make(**settings), run, **given | options)


def test_wandb_is_given_every_number_and_picture(tmp_path, wandb):
    run = tmp_path / "run"
    go(run, wandb="mine")
    (_, given), *told, last = wandb.calls
    assert given.pop("config") == json.loads((run / "config.json").read_text())
    assert given == dict(project="mine", dir=str(run), id=None, resume="allow")
    assert last == ("finish",)
    logged = [call for call in told if "samples" not in call[1]]
    lines = read_log(run / "metrics.jsonl")
    assert [(data, step) for _, data, step in logged] == [
        (scalars(line), line["step"]) for line in lines
    ]
    assert any("held_out_loss" in data for _, data, _ in logged)
    shown = [
        (step, data["samples"].data_or_path)
        for _, data, step in told
        if data not in [data for _, data, _ in logged]
    ]
    assert shown == [(3, str(run / "3.png")), (6, str(run / "6.png"))]
    steps = [step for _, _, step in told]
    assert steps == sorted(steps)  # wandb takes no step that lies before another


def test_a_run_that_goes_on_is_the_same_one_there(tmp_path, wandb):
    run = tmp_path / "run"
    go(run, 3, wandb="mine")
    go(run, 6, wandb="mine")
    go(run, 9, wandb="other")
    ids = [call[1]["id"] for call in wandb.calls if call[0] == "init"]
    assert ids == [None, "abc123", None]
    told = json.loads((run / "wandb.json").read_text())
    assert told == {"project": "other", "id": "abc123"}


def test_a_wandb_that_does_not_begin_is_one_line(tmp_path, wandb):
    words = r"wandb did not begin: no API key: run wandb login; WANDB_MODE=offline needs"
    with pytest.raises(RuntimeError, match=words):
        go(tmp_path / "run", wandb="nobody")
    assert go(tmp_path / "run")["finished"]  # and nothing is lost


def test_what_is_used_of_wandb_is_what_it_has():
    r"""By the real library, where it is installed; else only a stand-in was tried."""
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    used = {"project", "dir", "config", "id", "resume"}
    assert used <= set(inspect.signature(wandb.init).parameters)


@pytest.mark.parametrize("empty", [False, True])
def test_without_wandb_nothing_is_begun(tmp_path, monkeypatch, empty, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    if empty:  # a folder that wandb has left, which Python takes for a package
        (tmp_path / "wandb").mkdir()
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "wandb")
    with pytest.raises(
        ModuleNotFoundError, match="wandb is not installed: pip install wan"
    ):
        go(tmp_path / "run", wandb="mine")
    assert not (tmp_path / "run").exists()
    line = ["train", "digits", "--wandb", "mine", "--out", str(tmp_path / "run")]
    assert main(line) == 1
    assert "wandb is not installed: pip install wandb" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    with pytest.raises(TypeError, match="wandb must be the name of a project, got True"):
        check_boards(wandb=True)


def test_tensorboard_shows_the_grids(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    go(run, tensorboard=True)
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    found = events.Images("samples")
    assert [(e.step, e.height, e.width) for e in found] == [(3, 3, 2), (6, 3, 2)]
    assert "loss" in events.Tags()["scalars"]


def test_a_line_as_plain_numbers():
    line = {"step": 3, "loss": 0.5, "loss_bands": [0.1, None, 0.3]}
    assert scalars(line) == {"loss": 0.5, "loss_bands/0": 0.1, "loss_bands/2": 0.3}
