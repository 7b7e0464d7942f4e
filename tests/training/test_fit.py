r"""A run with its folder: exact resume, and everything that can go wrong on the way."""

import json
import os
import re
import shutil
import signal
import sys
import threading
from pathlib import Path

import pytest
import torch
from helpers import close, full_disk, normal, of_another_machine, some_schedules
from safetensors.torch import load_file

from ddpm_lite import MLP, Schedule, TrainConfig, Trainer, load_model, simple_loss
from ddpm_lite.formats import checkpoint
from ddpm_lite.formats.checkpoint import checkpoint_of, checkpoints, load_run, step_of
from ddpm_lite.models.unet import UNet
from ddpm_lite.process import q_sample
from ddpm_lite.seeds import HELD_OUT, generator_for
from ddpm_lite.training.fit import Stop, fit, held_out_loss
from ddpm_lite.training.instruments import read_log
from ddpm_lite.training.trainer import NotFinite

SHORT = some_schedules()["cosine-10"]
QUICK = dict(steps=9, batch_size=8, warmup_steps=2, log_every=2, save_every=3, keep=2)
QUICK |= dict(lr=1e-2, sample_every=0, lr_schedule="cosine", antithetic=True)
TINY = dict(size=4, channels=1, width=4, multipliers=(1,), blocks=1, groups=2)
TINY |= dict(attention=(), dropout=0.3, classes=3, T=10, learned_variance=True)


def points(T=10, width=8, seed=0, schedule=SHORT, **settings):
    r"""A trainer on points."""
    torch.manual_seed(0)
    model = MLP(T=T, width=width, depth=2)
    data = normal(50, 2, seed=seed).float()
    return Trainer(model, schedule, data, TrainConfig(**QUICK | settings))


def pictures(**settings):
    r"""A trainer on seven pictures with all there is: labels, dropout, two parts, ..."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    x_0 = torch.randint(17, (7, 1, 4, 4), generator=generator).to(torch.uint8)
    more = dict(flip=True, drop_label=0.3, accumulate=2)
    config = TrainConfig(**QUICK | more | settings)
    return Trainer(UNet(**TINY), SHORT, x_0, config, y=torch.arange(7) % 3, levels=17)


def go(trainer, run, **options):
    return fit(trainer, run, progress=False, **options)


def state_of(run):
    r"""All that has to be the same: the newest checkpoint and the metrics, as bytes."""
    folder = checkpoint_of(run)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return files | {"metrics": (run / "metrics.jsonl").read_bytes(), "name": folder.name}


def same_run(one, other):
    one, other = state_of(one), state_of(other)
    assert [name for name in one if one[name] != other.get(name)] == []
    assert one.keys() == other.keys() and len(one) == 5


# --- exact resume


def aside(make):
    r"""What is held out of such a run."""
    y = torch.tensor([0, 1, 2, 1, 0]) if make is pictures else None
    return normal(5, *make().data.shape[1:], seed=7).float().clamp(-1, 1), y


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    r"""A run of each kind that was never stopped."""
    folder = tmp_path_factory.mktemp("straight")
    for make in (points, pictures):
        done = go(make(), folder / make.__name__, held_out=aside(make))
        assert done["step"] == 9 and done["finished"]
    return folder


@pytest.mark.parametrize(
    ("make", "stops"),
    [
        (points, [1]),
        (points, [3, 4]),
        (points, list(range(1, 9))),
        (pictures, [1]),
        (pictures, [3, 5]),
    ],
)
def test_n_and_m_steps_are_n_plus_m_steps(straight, tmp_path, make, stops):
    torch.manual_seed(5)
    for last in [*stops, None]:
        trainer = make()
        if last:
            stop_after(trainer, last)
        torch.rand(3)  # what else is drawn does not matter
        done = go(trainer, tmp_path / "run", resume=True, held_out=aside(make))
        assert done["step"] == (last or 9) and done["finished"] is (last is None)
    same_run(straight / make.__name__, tmp_path / "run")


def stop_after(trainer, step):
    r"""Ctrl-C, once this update is under way."""
    update = trainer.update

    def interrupted():
        if trainer.step == step - 1:
            signal.raise_signal(signal.SIGINT)
        return update()

    trainer.update = interrupted


def test_max_minutes_stops_a_run(tmp_path):
    go(points(), tmp_path / "straight")
    for step in range(1, 10):
        done = go(points(), tmp_path / "stopped", resume=True, max_minutes=1e-9)
        assert done["step"] == step and done["finished"] is (step == 9)
    same_run(tmp_path / "straight", tmp_path / "stopped")


def test_a_run_that_broke_off_goes_on_from_its_last_checkpoint(tmp_path):
    def breaks(model, step):
        if step == 8:
            raise KeyError("not expected")

    go(points(sample_every=1), tmp_path / "straight")
    with pytest.raises(KeyError):
        go(points(sample_every=1), tmp_path / "run", pictures=breaks)
    assert [line["step"] for line in read_log(tmp_path / "run" / "metrics.jsonl")] == [
        2,
        4,
        6,
        8,
    ]
    assert checkpoint_of(tmp_path / "run").name == "step_000000006"
    done = go(points(sample_every=1), tmp_path / "run", resume=True)
    assert done["step"] == 9
    same_run(tmp_path / "straight", tmp_path / "run")


def test_a_run_that_broke_off_at_once(tmp_path):
    go(points(), tmp_path / "straight")
    trainer = points()
    trainer.update = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        go(trainer, tmp_path / "run")
    assert checkpoint_of(tmp_path / "run").name == "step_000000000"
    go(points(), tmp_path / "run", resume=True)
    same_run(tmp_path / "straight", tmp_path / "run")


def test_a_finished_run_can_be_made_longer(tmp_path):
    settings = dict(lr_schedule="constant")
    go(points(**settings), tmp_path / "straight")
    go(points(**settings, steps=4), tmp_path / "run")
    assert go(points(**settings, steps=4), tmp_path / "run", resume=True)["step"] == 4
    done = go(points(**settings), tmp_path / "run", resume=True)
    assert done["step"] == 9 and done["finished"]
    for file in ("state.safetensors", "state.json"):
        one, other = state_of(tmp_path / "straight"), state_of(tmp_path / "run")
        assert one[file] == other[file]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["train"]["steps"] == 9


def test_the_checkpoint_is_that_of_the_trainer(tmp_path):
    trainer = pictures()
    go(trainer, tmp_path / "run")
    folder = checkpoint_of(tmp_path / "run")
    found, tensors = load_run(tmp_path / "run"), load_file(folder / "state.safetensors")
    for name, value in trainer.ema.model.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], value)
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(tensors[f"model.{name}"], value)
    for name, p in trainer.model.named_parameters():
        for kind, value in trainer.optimizer.state[p].items():
            assert torch.equal(tensors[f"adam.{kind}.{name}"], value)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(
            trainer.model.state_dict().values(),
            found.model.state_dict().values(),
            strict=True,
        )
    )
    assert found.config["step"] == 9 and torch.equal(found.schedule.beta, SHORT.beta)
    assert found.config["train"] == trainer.config.as_dict()


# --- signals


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path, capsys, kind):
    before = signal.getsignal(kind)

    def press(model, step):
        signal.raise_signal(kind)

    run = tmp_path / "run"
    done = go(points(sample_every=4), run, pictures=press)
    assert done["step"] == 5 and done["finished"] is False
    assert checkpoint_of(run).name == "step_000000005"
    output = capsys.readouterr()
    assert (
        output.out == "" and "stopping after this update, with a checkpoint" in output.err
    )
    assert signal.getsignal(kind) is before
    assert go(points(sample_every=4), run, resume=True)["finished"]
    go(points(sample_every=4), tmp_path / "straight")
    same_run(tmp_path / "straight", run)


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    def press(model, step):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        go(points(sample_every=5), run, pictures=press)
    assert checkpoint_of(run).name == "step_000000003"
    assert go(points(), run, resume=True)["finished"]  # and the lock is free


def test_a_run_in_a_thread_leaves_signals_alone(tmp_path):
    done, before = [], signal.getsignal(signal.SIGINT)  # ignored in a shell's background
    thread = threading.Thread(target=lambda: done.append(go(points(), tmp_path / "run")))
    thread.start()
    thread.join()
    assert done[0]["finished"]
    with Stop() as stop:
        assert signal.getsignal(signal.SIGINT) == stop._note
    assert signal.getsignal(signal.SIGINT) is before


# --- what is refused, and what goes wrong


def test_a_folder_with_a_run_is_not_written_over(tmp_path):
    run = tmp_path / "run"
    go(points(), run)
    before = state_of(run)
    message = r"run already holds a run, up to step_000000009: go on .*, or name another"
    with pytest.raises(FileExistsError, match=message):
        go(points(), run)
    assert state_of(run) == before


def test_two_runs_cannot_write_one_folder(tmp_path):
    run, said = tmp_path / "run", []

    def again(model, step):
        with pytest.raises(RuntimeError, match="another process is writing") as error:
            go(points(), run, resume=True)
        said.append(str(error.value))

    assert go(points(sample_every=4), run, pictures=again)["finished"]
    assert len(said) == 3 and str(run) in said[0]
    go(points(sample_every=4), tmp_path / "straight")
    same_run(tmp_path / "straight", run)


def test_a_full_disk_stops_a_run_that_can_go_on_later(tmp_path):
    run = tmp_path / "run"
    go(points(sample_every=5), tmp_path / "straight")
    limit = full_disk(2000)

    def fill(model, step):
        limit.__enter__()

    try:
        with pytest.raises(OSError, match=r"step_000000006: .*; step_000000003 is whole"):
            go(points(sample_every=5), run, pictures=fill)
    finally:
        limit.__exit__(None, None, None)
    assert [step_of(f) for f in checkpoints(run)] == [0, 3]
    assert load_run(run).config["step"] == 3
    go(points(sample_every=5), run, resume=True)
    same_run(tmp_path / "straight", run)


def test_a_full_disk_while_a_line_is_written(tmp_path):
    run = tmp_path / "run"
    go(points(sample_every=5), tmp_path / "straight")
    limit = full_disk(600)
    words = f"cannot write {re.escape(str(run / 'metrics.jsonl'))}: .*too large"
    with pytest.raises(OSError, match=words):
        try:
            go(points(sample_every=5), run, pictures=lambda model, step: limit.__enter__())
        finally:
            limit.__exit__(None, None, None)
    assert load_run(run).config["step"] == 3
    go(points(sample_every=5), run, resume=True)
    same_run(tmp_path / "straight", run)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    runs = [tmp_path / "file"]
    if Path("/proc").is_dir():  # of Linux: nobody makes a folder there
        runs.append(Path("/proc/run"))
    for run in runs:
        with pytest.raises(OSError, match=re.escape(f"cannot write the folder {run}")):
            go(points(), run)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_batch(straight, tmp_path):
    run, trainer, held_out = tmp_path / "run", pictures(), aside(pictures)
    update = trainer.update

    def spoil():
        if trainer.step == 4:
            with torch.no_grad():
                trainer.model.conv_out.bias.fill_(float("nan"))
        return update()

    trainer.update = spoil
    message = r"not finite at step 5: .*step_000000005.safetensors; .*up to step_000000003"
    with pytest.raises(NotFinite, match=message) as error:
        go(trainer, run, held_out=held_out)
    assert "\n" not in str(error.value) and error.value.step == 5
    batch = load_file(run / "bad_batch_step_000000005.safetensors")
    expected = dict(zip("x_0 t noise".split(), trainer.draw(5), strict=True))
    expected |= {"y": trainer.labels(5)}
    assert batch.keys() == expected.keys()
    assert all(torch.equal(batch[name], value) for name, value in expected.items())
    found = load_run(run)
    assert found.config["step"] == 3
    assert all(torch.isfinite(p).all() for p in found.model.parameters())
    go(pictures(), run, resume=True, held_out=held_out)
    same_run(straight / "pictures", run)


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "state.json"])
def test_a_truncated_checkpoint_and_the_older_one(tmp_path, name):
    run = tmp_path / "run"
    go(points(), tmp_path / "straight")
    go(points(steps=7), run)
    newest = checkpoint_of(run)
    path = newest / name
    path.write_bytes(path.read_bytes()[:-7])
    message = f"{path} is not .*; to go on from step_000000006 instead, remove {newest}"
    with pytest.raises(ValueError, match=message) as error:
        go(points(), run, resume=True)
    assert "\n" not in str(error.value)
    shutil.rmtree(newest)
    assert go(points(steps=7), run, resume=True)["step"] == 7
    assert checkpoint_of(run) == newest


def test_a_run_of_another_machine_goes_on(tmp_path):
    go(points(steps=4), tmp_path / "run")
    here = points(steps=6, schedule=of_another_machine(SHORT))
    assert go(here, tmp_path / "run", resume=True)["step"] == 6


def test_foreign_checkpoints(tmp_path):
    run = tmp_path / "run"
    go(points(), run)
    cases = [
        (dict(seed=1), r"trained on other data \(as many .* or in another order\)"),
        (dict(steps=8), "it has made 9 steps already, .* is 8: give more"),
        (dict(width=12), r"is of another network: \S+ is \(.*\) there and \(.*\) in the n"),
        (
            dict(schedule=Schedule.from_beta([0.6] * 10)),
            r"another schedule \(T = 10, .*\) than",
        ),
    ]
    before = state_of(run)
    for settings, message in cases:
        with pytest.raises(ValueError, match=message) as error:
            go(points(**settings), run, resume=True)
        assert str(checkpoint_of(run)) in str(error.value)
        assert "\n" not in str(error.value)
    folder = checkpoint_of(run)
    state = folder / "state.json"
    whole = json.loads(before["state.json"])
    for numbers, message in (
        ({}, " lacks 'step': restore the file"),
        ([], " must hold {name: value}, got []"),
        (None, " must hold {name: value}, got None"),
        ({"step": 3}, " lacks 'ema_updates'"),
        (whole | {"step": "x"}, " is damaged: step cannot be 'x'"),
        (whole | {"step": True}, " is damaged: step cannot be True"),
        (whole | {"ema_initial_share": None}, " is damaged: ema_initial_share cannot be N"),
        (whole | {"scaler": []}, " is damaged: scaler cannot be []"),
        (whole | {"metrics_bytes": -1}, " is damaged: metrics_bytes cannot be -1"),
        (whole | {"identity": 3}, " is damaged: identity is 3"),
        (whole | {"step": 6}, " is of step 6, and its folder of step 9: files of two"),
    ):
        state.write_text(json.dumps(numbers))
        with pytest.raises(ValueError, match=re.escape(f"{state}{message}")) as error:
            go(points(), run, resume=True)
        assert "\n" not in str(error.value)
        advice = f"; to go on from step_000000006 instead, remove {folder}"
        assert str(error.value).endswith(advice)
    (folder / "state.json").write_bytes(before["state.json"])
    checkpoint.save_file({"w": torch.zeros(1)}, folder / "state.safetensors")
    words = re.escape(str(folder)) + r": .* is of another network: \S+ is missing there"
    with pytest.raises(ValueError, match=words):
        go(points(), run, resume=True)


@pytest.mark.parametrize("left", [None, 0, 10])
def test_metrics_that_are_lost_are_said(tmp_path, left):
    run = tmp_path / "run"
    go(points(), run)
    path = run / "metrics.jsonl"
    path.unlink() if left is None else os.truncate(path, left)
    size = json.loads((checkpoint_of(run) / "state.json").read_text())["metrics_bytes"]
    words = f"{path} has 10 of the {size:,} bytes" if left else f"{path} lacks all that"
    with pytest.warns(UserWarning, match=re.escape(words)):
        go(points(steps=10), run, resume=True)


def test_what_is_ready_is_told_after_all_that_can_fail(tmp_path):
    run, seen = tmp_path / "run", []
    go(points(steps=3), run)
    for settings in (dict(width=12, steps=5), dict(seed=1, steps=5), dict(steps=2)):
        with pytest.raises(ValueError):
            go(points(**settings), run, resume=True, ready=lambda: seen.append(0))
    assert not seen
    trainer = points(steps=5)
    go(trainer, run, resume=True, ready=lambda: seen.append(trainer.step))
    assert seen == [3]


def test_seven_pictures_and_a_batch_of_64(tmp_path):
    trainer = pictures(batch_size=64, steps=3)
    assert len(trainer.data) == 7
    assert go(trainer, tmp_path / "run")["finished"]
    assert [line["step"] for line in read_log(tmp_path / "run" / "metrics.jsonl")] == [2, 3]


# --- what a run writes


def test_the_lines_of_metrics(tmp_path):
    run, trainer = tmp_path / "run", points(grad_clip=0.1)
    losses, norms, t = [], [], []
    update = trainer.update

    def watch():
        record = update()
        losses.append(record.losses.double())
        norms.append(float(record.grad_norm))
        t.append(record.t)
        return record

    trainer.update = watch
    done = go(trainer, run, about={"why": "a test"})
    assert done["examples_per_second"] > 0 and done["seconds"] >= 0
    lines = read_log(run / "metrics.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 9]  # the last one, always
    for k, line in enumerate(lines):
        both = slice(2 * k, 2 * k + 2)
        found, when = torch.cat(losses[both]), torch.cat(t[both])
        assert line["loss"] == pytest.approx(float(found.mean()), rel=1e-6)
        for b, value in enumerate(line["loss_bands"]):
            here = found[when == b + 1]  # T = 10: each band is one t
            assert (value is None) == (len(here) == 0)
            assert value is None or value == pytest.approx(float(here.mean()), rel=1e-5)
        steps = len(norms[both])
        assert line["grad_norm"] == pytest.approx(sum(norms[both]) / steps, rel=1e-6)
        assert line["grad_norm_max"] == pytest.approx(max(norms[both]), rel=1e-6)
        assert line["clipped"] == sum(n > 0.1 for n in norms[both]) / steps
        assert line["lr"] == 1e-2 * trainer.lr_factor(line["step"])
    assert 0 < lines[3]["ema_initial_share"] < lines[2]["ema_initial_share"] < 1
    timing = read_log(run / "timing.jsonl")
    assert [line["step"] for line in timing] == [2, 4, 6, 8, 9]
    assert all(line["examples_per_second"] > 0 for line in timing)
    config = json.loads((run / "config.json").read_text())
    assert config["why"] == "a test" and config["train"] == trainer.config.as_dict()
    assert (config["network"], config["settings"]) == ("MLP", trainer.model.config)
    assert config["described"]["examples"] == 50 and config["versions"]["torch"]


@pytest.mark.parametrize("make", [points, pictures])
def test_a_run_repeats_itself(straight, tmp_path, make):
    torch.manual_seed(7)
    go(make(), tmp_path / "again", held_out=aside(make))
    same_run(straight / make.__name__, tmp_path / "again")


def test_another_seed_gives_another_run(tmp_path):
    one = points()
    other = Trainer(points().model, SHORT, one.data, TrainConfig(**QUICK, seed=1))
    go(one, tmp_path / "a")
    go(other, tmp_path / "b")
    assert state_of(tmp_path / "a")["metrics"] != state_of(tmp_path / "b")["metrics"]


def test_pictures_on_the_way(tmp_path):
    seen = []

    def look(model, step):
        assert model is trainer.ema.model and not model.training
        seen.append(step)

    trainer = points(sample_every=4)
    go(trainer, tmp_path / "a", pictures=look)
    assert seen == [4, 8, 9]
    seen.clear()
    trainer = points(sample_every=0)
    go(trainer, tmp_path / "b", pictures=look)
    assert seen == [9]


@pytest.mark.parametrize("n", [3, 10, 25])
def test_held_out_loss_is_the_ema_s_at_evenly_spaced_t(tmp_path, n):
    trainer = points()
    list(trainer.run(5))
    held_out = normal(n, 2, seed=9).float()
    mean, bands = held_out_loss(trainer, held_out)
    noise = torch.randn(n, 2, generator=generator_for(HELD_OUT, 0))
    t = torch.tensor([(10 * i + 5) // n % 10 + 1 for i in range(n)])
    assert n < 10 or sorted(set(t.tolist())) == list(range(1, 11))
    with torch.no_grad():
        losses = [
            float(
                simple_loss(
                    trainer.ema.model,
                    SHORT,
                    held_out[i : i + 1],
                    t[i : i + 1],
                    noise[i : i + 1],
                )
            )
            for i in range(n)
        ]
    assert mean == pytest.approx(sum(losses) / n, rel=1e-6)
    for b, value in enumerate(bands):
        here = [
            loss for loss, when in zip(losses, t.tolist(), strict=True) if when == b + 1
        ]
        assert (value is None) == (not here)
        assert value is None or value == pytest.approx(sum(here) / len(here), rel=1e-5)
    assert held_out_loss(trainer, held_out)[0] == mean
    trainer.update()
    assert held_out_loss(trainer, held_out)[0] != mean


def test_of_many_held_out_examples_some_are_used():
    trainer = points()
    many = normal(2500, 2, seed=9).float()
    mean, _ = held_out_loss(trainer, many)
    few, _ = held_out_loss(trainer, many[::3])
    assert mean == few
    assert (
        held_out_loss(trainer, many, most=10)[0] == held_out_loss(trainer, many[::250])[0]
    )


def test_held_out_pictures_are_grey_levels_or_floats():
    trainer = pictures()
    list(trainer.run(2))
    generator = torch.Generator().manual_seed(2)
    grey = torch.randint(17, (6, 1, 4, 4), generator=generator).to(torch.uint8)
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    mean, _ = held_out_loss(trainer, grey, y)
    assert held_out_loss(trainer, grey.float() / 8 - 1, y)[0] == mean
    assert held_out_loss(trainer, grey, y.flip(0))[0] != mean


def test_held_out_lines_come_with_the_checkpoints(tmp_path):
    held_out = normal(20, 2, seed=9).float()
    trainer = points()
    go(trainer, tmp_path / "run", held_out=(held_out, None))
    lines = read_log(tmp_path / "run" / "metrics.jsonl")
    found = [line for line in lines if "held_out_loss" in line]
    assert [line["step"] for line in found] == [3, 6, 9]
    assert found[-1]["held_out_loss"] == held_out_loss(trainer, held_out)[0]
    assert len(found[0]["held_out_bands"]) == 10


def test_the_loss_of_a_known_denoiser():
    # the network says 0, so that the loss is the mean square of the noise
    trainer = points()
    with torch.no_grad():
        trainer.ema.model.out.weight.zero_()
        trainer.ema.model.out.bias.zero_()
    held_out = normal(30, 2, seed=9).float()
    noise = torch.randn(30, 2, generator=generator_for(HELD_OUT, 0))
    close(
        torch.tensor(held_out_loss(trainer, held_out)[0]), noise.square().mean(), rtol=1e-6
    )
    assert q_sample(SHORT, held_out, torch.ones(30).long(), noise).shape == (30, 2)


def test_keep(tmp_path):
    go(points(save_every=1, keep=3), tmp_path / "run")
    assert [step_of(f) for f in checkpoints(tmp_path / "run")] == [7, 8, 9]
    for folder in checkpoints(tmp_path / "run"):
        assert load_model(folder / "model.safetensors").schedule.T == 10


@pytest.mark.filterwarnings("ignore")  # of what TensorBoard imports
def test_tensorboard_holds_the_same_numbers(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    held_out = (normal(20, 2, seed=9).float(), None)
    stopped = points()
    stop_after(stopped, 5)
    go(stopped, run, held_out=held_out, tensorboard=True)
    go(points(), run, held_out=held_out, tensorboard=True, resume=True)
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    lines = read_log(run / "metrics.jsonl")
    for name in ("loss", "lr", "grad_norm", "held_out_loss"):
        expected = [(line["step"], line[name]) for line in lines if name in line]
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in found] == [step for step, _ in expected]
        assert [v for _, v in found] == pytest.approx([v for _, v in expected])
    assert "loss_bands/3" in events.Tags()["scalars"]


def test_without_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ModuleNotFoundError, match="pip install tensorboard"):
        go(points(), tmp_path / "run", tensorboard=True)
    assert go(points(), tmp_path / "run", resume=True)["finished"]


def test_the_bar_goes_to_stderr(tmp_path, capsys):
    fit(points(), tmp_path / "run")
    output = capsys.readouterr()
    assert output.out == "" and "9/9" in output.err and "loss" in output.err


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda x, y: x, TypeError, r"must be \(x_0, y\)"),
        (lambda x, y: (x[:0], y[:0]), ValueError, "pictures"),
        (lambda x, y: (x.numpy(), y), TypeError, "held_out"),
        (lambda x, y: (x[..., :2], y), ValueError, "must have the data's shape"),
        (lambda x, y: (x / 1.0, y), ValueError, r"must lie in \[-1, 1\]"),
        (lambda x, y: (x, None), ValueError, "just where the training data have"),
        (lambda x, y: (x, y + 1), ValueError, "labels"),
        (lambda x, y: (x, y[:2]), ValueError, "y"),
    ],
)
def test_examples_set_aside_are_checked_before_the_first_step(
    change, error, words, tmp_path
):
    trainer = pictures()
    x_0, y = trainer.data, trainer.y
    with pytest.raises(error, match=words):
        fit(trainer, tmp_path / "run", held_out=change(x_0[:5], y[:5]), progress=False)
    assert not (tmp_path / "run").exists() and trainer.step == 0


def test_what_is_called_for_pictures_can_be_called(tmp_path):
    trainer = pictures()
    with pytest.raises(TypeError, match="pictures must be a function"):
        fit(trainer, tmp_path / "run", pictures="x")
