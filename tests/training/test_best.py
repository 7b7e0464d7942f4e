r"""The checkpoint of the lowest held-out loss stays, whatever happens on the way."""

import json
import shutil

import pytest
import torch
from helpers import normal
from safetensors.torch import load_file
from trainers import make, weights

from ddpm_lite.formats import checkpoint
from ddpm_lite.formats.checkpoint import checkpoint_of, checkpoints, load_run, step_of
from ddpm_lite.training import fit as fit_module
from ddpm_lite.training.fit import fit
from ddpm_lite.training.instruments import read_log

LOSSES = {2: 0.9, 4: 0.3, 6: 0.5, 8: 0.3, 10: 0.4}  # at step 8 it is equal, not lower
HELD_OUT = normal(5, 2, seed=7).float(), None


@pytest.fixture(autouse=True)
def known_losses(monkeypatch):
    monkeypatch.setattr(fit_module, "held_out_loss", lambda t, *_: (LOSSES[t.step], []))


def go(run, steps=10, held_out=HELD_OUT, data_seed=0, **settings):
    known = dict(save_every=2, keep=2, sample_every=0, steps=steps)
    trainer = make(seed=data_seed, **known | settings)
    fit(trainer, run, held_out=held_out, resume=True, progress=False)
    return trainer


def steps_of(run):
    return [step_of(folder) for folder in checkpoints(run)]


def state(run):
    return json.loads((checkpoint_of(run) / "state.json").read_text())


def test_the_best_stays_beside_the_newest(tmp_path):
    for steps, stay, best in ((2, [0, 2], 2), (4, [2, 4], 4), (10, [4, 8, 10], 4)):
        go(tmp_path, steps)
        assert steps_of(tmp_path) == stay
        assert (tmp_path / "best").read_text() == f"step_{best:09d}"
        assert load_run(tmp_path, "best").config["step"] == best
        assert load_run(tmp_path).config["step"] == steps
    lines = read_log(tmp_path / "metrics.jsonl")
    found = {v["step"]: v["held_out_loss"] for v in lines if "held_out_loss" in v}
    assert found == LOSSES
    best = load_run(tmp_path, "best").model
    assert torch.equal(weights(best), weights(load_run(tmp_path, 4).model))


def test_where_none_is_known_it_is_said(tmp_path):
    go(tmp_path / "a", held_out=None)
    go(tmp_path / "b", keep_best=False)
    go(tmp_path / "c", steps=1)
    for name, stay in (("a", [8, 10]), ("b", [8, 10]), ("c", [0, 1])):
        assert steps_of(tmp_path / name) == stay and "best" not in state(tmp_path / name)
        with pytest.raises(FileNotFoundError, match="has no best checkpoint: one is known"):
            load_run(tmp_path / name, "best")
    with pytest.raises(ValueError, match="step must be one of best, got 'worst'"):
        load_run(tmp_path / "a", "worst")


@pytest.mark.parametrize("what", ["write_text", "_remove", "save_model"])
@pytest.mark.parametrize("number", range(1, 20))
def test_a_run_that_is_killed_at_any_write_is_the_same_one_later(
    tmp_path, monkeypatch, what, number
):
    r"""The process ends before the write of that number; nothing is missing later."""
    counted, done = [], getattr(checkpoint, what)

    def dies(*arguments):
        counted.append(arguments)
        if len(counted) == number:
            raise KeyboardInterrupt
        return done(*arguments)

    monkeypatch.setattr(checkpoint, what, dies)
    try:
        go(tmp_path)
    except KeyboardInterrupt:
        if (tmp_path / "best").exists():  # it names what is there, and is whole
            load_run(tmp_path, "best")
        if checkpoints(tmp_path):
            load_run(tmp_path)
    monkeypatch.setattr(checkpoint, what, done)
    go(tmp_path)
    assert {4, 8, 10} <= set(steps_of(tmp_path))  # one more where it was not yet removed
    assert load_run(tmp_path, "best").config["step"] == 4
    assert state(tmp_path)["best"]["step"] == 4


def test_a_pointer_that_was_lost_is_written_again(tmp_path):
    go(tmp_path)
    (tmp_path / "best").unlink()
    go(tmp_path)  # nothing is left to do
    assert load_run(tmp_path, "best").config["step"] == 4


def test_other_examples_held_out_begin_anew(tmp_path):
    go(tmp_path, 8)
    with pytest.warns(UserWarning, match="step 4 had the lowest held-out loss, but on oth"):
        go(tmp_path, held_out=(HELD_OUT[0] + 1, None))
    assert load_run(tmp_path, "best").config["step"] == 10


def test_a_best_one_that_was_removed(tmp_path):
    go(tmp_path, 8)
    shutil.rmtree(checkpoint_of(tmp_path, 4))
    with pytest.raises(FileNotFoundError, match="step_000000004, is not there: there are"):
        load_run(tmp_path, "best")
    with pytest.warns(UserWarning, match="best checkpoint, of step 4, is not there any"):
        go(tmp_path)
    assert load_run(tmp_path, "best").config["step"] == 10


def test_keeping_it_can_be_ended(tmp_path):
    go(tmp_path, 8)
    go(tmp_path, keep_best=False)
    assert steps_of(tmp_path) == [8, 10] and not (tmp_path / "best").exists()


def test_damaged_counters(tmp_path):
    go(tmp_path, 4)
    path = checkpoint_of(tmp_path) / "state.json"
    for best in (3, {"step": "4", "held_out_loss": 0.1, "held_out": ""}):
        path.write_text(json.dumps(state(tmp_path) | {"best": best}))
        with pytest.raises(ValueError, match="is damaged: best cannot be"):
            go(tmp_path)


# --- raw weights


def test_raw_weights_are_those_that_are_trained(tmp_path):
    trainer = go(tmp_path)
    raw, ema = load_run(tmp_path, weights="raw"), load_run(tmp_path)
    assert torch.equal(weights(raw.model), weights(trainer.model))
    assert torch.equal(weights(ema.model), weights(trainer.ema.model))
    assert not torch.equal(weights(raw.model), weights(ema.model))
    assert raw.config["weights"] == "raw" and "weights" not in ema.config
    assert not raw.model.training
    four = load_file(checkpoint_of(tmp_path, 4) / "state.safetensors")
    found = load_run(tmp_path, "best", weights="raw").model.state_dict()
    assert all(torch.equal(v, four[f"model.{name}"]) for name, v in found.items())


def test_raw_weights_that_are_not_there(tmp_path):
    go(tmp_path, 2)
    with pytest.raises(ValueError, match="weights must be one of ema, raw, got 'mean'"):
        load_run(tmp_path, weights="mean")
    path = checkpoint_of(tmp_path) / "state.safetensors"
    path.write_bytes(path.read_bytes()[:99])
    with pytest.raises(ValueError, match=r"state.safetensors is not a whole safetensors"):
        load_run(tmp_path, weights="raw")
    path.unlink()
    with pytest.raises(FileNotFoundError, match="this checkpoint is not whole"):
        load_run(tmp_path, weights="raw")
    load_run(tmp_path)
