r"""Weight files and run folders: there and back, and all the ways to be wrong."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import close, full_disk, some_schedules
from safetensors.torch import load_file, save_file

import ddpm_lite
from ddpm_lite import MLP, load_model, load_pretrained, sample, save_model
from ddpm_lite.data.marks import fingerprint, is_of
from ddpm_lite.formats import checkpoint
from ddpm_lite.formats.checkpoint import (
    checkpoint_of,
    checkpoints,
    load_any,
    load_run,
    locked,
    read_checkpoint,
    step_of,
    write_checkpoint,
    write_text,
)
from ddpm_lite.models.unet import UNet

SHORT = some_schedules()["cosine-10"]
TINY = dict(size=4, channels=1, width=4, multipliers=(1,), blocks=1, groups=2)
TINY |= dict(attention=(), classes=3, prediction="v", learned_variance=True, T=10)


def small(seed=0, T=10):
    torch.manual_seed(seed)
    return MLP(T=T, width=8, depth=2, embedding="sinusoid", prediction="v")


def read(path):
    r"""The tensors of a file and the JSON beside them."""
    with checkpoint.safe_open(path, framework="pt") as file:
        return load_file(path), json.loads(file.metadata()["ddpm_lite"])


def write(path, tensors, about):
    save_file(tensors, path, metadata={"ddpm_lite": json.dumps(about)})


@pytest.mark.parametrize("kind", ["MLP", "UNet"])
@pytest.mark.parametrize("name", ["cosine", "zero-snr", "linear-1"])
def test_there_and_back(tmp_path, kind, name):
    schedule = some_schedules()[name]
    T = schedule.T
    model = small(T=T) if kind == "MLP" else UNet(**TINY | {"T": T})
    path = tmp_path / "deep" / "weights.safetensors"
    save_model(path, model.train(), schedule, {"steps": 3, "loss": 0.5})
    loaded = load_model(path)
    assert loaded.config == {"steps": 3, "loss": 0.5} and not loaded.model.training
    assert loaded.model.config == model.config and type(loaded.model) is type(model)
    assert loaded.model.prediction == model.prediction
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[key], value), key
    assert torch.equal(loaded.schedule.beta, schedule.beta)  # all 64 bits
    assert torch.equal(loaded.schedule.alpha_bar, schedule.alpha_bar)
    assert [p.name for p in path.parent.iterdir()] == ["weights.safetensors"]


@pytest.mark.parametrize("kind", ["MLP", "UNet"])
def test_a_model_draws_by_itself(tmp_path, kind):
    save_model(
        tmp_path / "a.safetensors", small() if kind == "MLP" else UNet(**TINY), SHORT
    )
    found = load_model(tmp_path / "a.safetensors")
    shape = (2,) if kind == "MLP" else found.model.unet_config.sample_shape
    drawn = found.sample(5, progress=False)
    expected = sample(found.model, found.schedule, (5, *shape), progress=False)
    assert torch.equal(found.sample(5, progress=False, batch=5), drawn)
    close(drawn, expected, rtol=0, atol=1e-4)
    close(found.sample(5, progress=False, batch=2), drawn, rtol=0, atol=1e-4)
    assert not torch.equal(found.sample(5, progress=False, seed=1), drawn)
    few = dict(sampler="ddim", steps=2, progress=False)
    assert not torch.allclose(found.sample(5, **few), drawn)
    for num in (0, -3, 2.5, True, "7"):
        with pytest.raises(ValueError, match="num must be an integer >= 1"):
            found.sample(num)


def test_a_model_draws_its_classes_in_turn(tmp_path):
    model = UNet(**TINY | dict(classes=3, zero_init=False))
    with torch.no_grad():  # classes are far apart
        model.class_embedding.weight.mul_(100)
    save_model(tmp_path / "a.safetensors", model, SHORT)
    found, few = load_model(tmp_path / "a.safetensors"), dict(progress=False, batch=2)
    drawn = found.sample(5, **few)
    close(drawn, found.sample(5, y=torch.tensor([0, 1, 2, 0, 1]), **few), rtol=0)
    none = found.sample(5, y=None, **few)
    close(none, found.sample(5, y=torch.full((5,), 3), **few), rtol=0)
    assert not torch.allclose(none, drawn)
    with pytest.raises(ValueError, match=r"y must hold a class for each of 5 .* got 4"):
        found.sample(5, y=torch.zeros(4).long())
    with pytest.raises(ValueError, match="y must be one of in turn, got 'cats'"):
        found.sample(5, y="cats")


def test_no_config_is_an_empty_one(tmp_path):
    save_model(tmp_path / "a.safetensors", small(), SHORT)
    assert load_model(str(tmp_path / "a.safetensors")).config == {}


def test_the_same_weights_give_the_same_file(tmp_path):
    for name in ("a", "b"):
        save_model(tmp_path / f"{name}.safetensors", small(), SHORT, {"b": 1, "a": 2})
    one, other = (tmp_path / f"{name}.safetensors" for name in ("a", "b"))
    assert one.read_bytes() == other.read_bytes()


def test_half_precision_takes_half_the_space(tmp_path):
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    model = UNet(**TINY)
    save_model(whole, model, SHORT)
    save_model(half, model, SHORT, half=True)
    loaded = load_model(half)
    assert torch.equal(loaded.schedule.beta, SHORT.beta)
    for key, value in model.state_dict().items():
        other = loaded.model.state_dict()[key]
        assert other.dtype == torch.float32 and torch.equal(other, value.half().float())
    numbers = sum(p.numel() for p in model.parameters())
    assert abs(whole.stat().st_size - half.stat().st_size - 2 * numbers) < 100


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.safetensors"
    save_model(path, small(), SHORT)
    before = path.read_bytes()
    with full_disk(len(before) // 2):
        with pytest.raises((OSError, checkpoint.SafetensorError), match="File too large"):
            save_model(path, small(1), SHORT)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    save_model(path, small(), SHORT)
    before = path.read_bytes()

    def fail(tensors, part, metadata):
        Path(part).write_bytes(b"half a fi")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_model(path, small(1), SHORT)
    assert path.read_bytes() == before
    with pytest.raises(TypeError, match="JSON"):
        save_model(path, small(1), SHORT, {"bad": torch.zeros(1)})
    assert path.read_bytes() == before and load_model(path).config == {}


def test_a_class_that_could_not_be_built_again(tmp_path):
    with pytest.raises(
        ValueError, match=r"can save \['MLP', 'UNet', 'UNet1d'\], got a Linear"
    ):
        save_model(tmp_path / "a.safetensors", torch.nn.Linear(1, 1), SHORT)
    assert list(tmp_path.iterdir()) == []


def refused(path, message):
    with pytest.raises(ValueError, match=message) as error:
        load_model(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weight file at .*nothing"):
        load_model(tmp_path / "nothing.safetensors")
    with pytest.raises(FileNotFoundError, match="no weight file at"):
        load_model(tmp_path)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_truncated_file(tmp_path, kept):
    path = tmp_path / "a.safetensors"
    save_model(path, small(), SHORT)
    path.write_bytes(path.read_bytes()[:kept])
    refused(path, "is not a whole safetensors file")


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_text("these are no weights, " * 20)
    refused(path, "is not a whole safetensors file")


def test_a_file_of_another_program(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    refused(path, "was not written by ddpm_lite")
    save_file({"weight": torch.zeros(2)}, path, metadata={"format": "pt"})
    refused(path, "was not written by ddpm_lite")


def test_an_unknown_network_and_a_missing_schedule(tmp_path):
    path = tmp_path / "a.safetensors"
    save_model(path, small(), SHORT)
    tensors, about = read(path)
    write(path, tensors, about | {"network": "Transformer"})
    refused(path, "was not written by ddpm_lite")
    write(path, {k: v for k, v in tensors.items() if k != "beta"}, about)
    refused(path, "was not written by ddpm_lite")


def test_tensors_that_do_not_fit(tmp_path):
    path = tmp_path / "a.safetensors"
    save_model(path, small(), SHORT)
    tensors, about = read(path)
    cases = {
        "out.bias is missing there and (2,) in": {
            k: v for k, v in tensors.items() if k != "model.out.bias"
        },
        "more is (1,) there and missing in": tensors | {"model.more": torch.zeros(1)},
        "out.bias is (3,) there and (2,) in": tensors | {"model.out.bias": torch.zeros(3)},
    }
    for message, wrong in cases.items():
        write(path, wrong, about)
        refused(path, f"do not fit its network: {re.escape(message)} the network$")
    for settings in ({"width": 3.5}, {"colour": "red"}, {"activation": "none"}):
        write(path, tensors, about | {"settings": about["settings"] | settings})
        refused(path, "do not fit its network: ")


def test_pretrained_models():
    folder = Path(ddpm_lite.__file__).parent / "pretrained"
    names = sorted(path.stem for path in folder.glob("*.safetensors"))
    for name in names:
        loaded = load_pretrained(name)
        assert not loaded.model.training and loaded.schedule.T == loaded.model.T
        assert all(torch.isfinite(p).all() for p in loaded.model.parameters())
    for wrong in ("imagenet", "", "../secret", None):
        with pytest.raises(
            ValueError, match=r"no pretrained model .*; there are \["
        ) as error:
            load_pretrained(wrong)
        assert repr(wrong) in str(error.value) and str(names) in str(error.value)


# --- run folders


def write_run(run, step=5, seed=0, keep=2, **numbers):
    r"""A checkpoint in a run folder, as a run would write it."""
    run.mkdir(exist_ok=True)
    write_text(run / "config.json", json.dumps({"data": "points"}))
    tensors = {"adam.step.w": torch.tensor(float(step)), "w": torch.ones(2, 3).T}
    numbers = {"step": step, "lr": 0.5} | numbers
    return write_checkpoint(run, small(seed), SHORT, {"a": 1}, tensors, numbers, keep)


def same_weights(model, seed):
    weights = small(seed).state_dict()
    return all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())


def names(run):
    return [folder.name for folder in checkpoints(run)]


def test_a_checkpoint_there_and_back(tmp_path):
    run = tmp_path / "runs" / "one"
    run.parent.mkdir()
    folder = write_run(run)
    assert folder == run / "checkpoints" / "step_000000005" and step_of(folder) == 5
    pretrained, tensors, numbers = read_checkpoint(folder)
    assert same_weights(pretrained.model, 0) and pretrained.config == {"a": 1}
    assert torch.equal(pretrained.schedule.beta, SHORT.beta)
    assert numbers == {"step": 5, "lr": 0.5}
    assert torch.equal(tensors["w"], torch.ones(3, 2)) and tensors["adam.step.w"] == 5
    assert (run / "newest").read_text() == folder.name and checkpoint_of(run) == folder
    files = sorted(p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file())
    inside = [
        f"checkpoints/{folder.name}/{name}"
        for name in ("model.safetensors", "state.json", "state.safetensors")
    ]
    assert files == [*inside, "config.json", "newest"]


def test_nothing_is_pickled(tmp_path):
    folder = write_run(tmp_path / "run")
    for path in folder.iterdir():
        content = path.read_bytes()
        assert not content.startswith((b"\x80", b"PK"))
        assert path.suffix in {".safetensors", ".json"}
        if path.suffix == ".safetensors":
            assert load_file(path)
        else:
            assert json.loads(content)


def test_a_run_is_all_that_sampling_needs(tmp_path):
    write_run(tmp_path / "run", 5, seed=1)
    write_run(tmp_path / "run", 12, seed=2)
    shutil.move(tmp_path / "run", tmp_path / "elsewhere")
    found = load_run(tmp_path / "elsewhere")
    assert same_weights(found.model, 2) and torch.equal(found.schedule.beta, SHORT.beta)
    assert found.config == {"data": "points", "step": 12} and not found.model.training
    older = load_run(str(tmp_path / "elsewhere"), 5)
    assert same_weights(older.model, 1) and older.config["step"] == 5


def test_load_any(tmp_path):
    write_run(tmp_path / "run", seed=1)
    save_model(tmp_path / "a.safetensors", small(2), SHORT)
    assert same_weights(load_any(tmp_path / "run").model, 1)
    assert same_weights(load_any(str(tmp_path / "a.safetensors")).model, 2)
    for name in checkpoint.pretrained_names():
        assert load_any(name).schedule.T == load_pretrained(name).schedule.T
    with pytest.raises(
        FileNotFoundError, match=r"nowhere is neither a run folder nor a weight file"
    ):
        load_any(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="is not the folder of a run"):
        load_any(tmp_path)


def test_what_is_not_there_is_said(tmp_path):
    run = tmp_path / "run"
    with pytest.raises(
        FileNotFoundError, match=r"run is not the folder of a run: .*config"
    ):
        load_run(run)
    run.mkdir()
    (run / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="run has no checkpoint yet"):
        load_run(run)
    with pytest.raises(FileNotFoundError, match="run has no checkpoint yet"):
        load_run(run, 5)
    write_run(run, 5)
    write_run(run, 12)
    with pytest.raises(FileNotFoundError, match=r"run has checkpoints of steps \[5, 12\]"):
        load_run(run, 7)


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_checkpoints_stay(tmp_path, keep):
    run = tmp_path / "run"
    for step in (0, 5, 900, 1000, 12_000):
        write_run(run, step, keep=keep)
    assert [step_of(f) for f in checkpoints(run)] == [900, 1000, 12_000][-keep:]
    assert checkpoint_of(run).name == "step_000012000"
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == names(run)


def test_newest_is_written_when_the_checkpoint_is_whole(tmp_path, monkeypatch):
    run, seen = tmp_path / "run", []
    write_run(run, 5, keep=1)

    def watch(path, text):
        if Path(path).name == "newest":
            pretrained, _, numbers = read_checkpoint(run / "checkpoints" / text)
            seen.append((numbers["step"], same_weights(pretrained.model, 3), names(run)))
        write_text(path, text)

    monkeypatch.setattr(checkpoint, "write_text", watch)
    write_run(run, 12, seed=3, keep=1)
    assert seen == [(12, True, ["step_000000005", "step_000000012"])]  # and 5 was there
    assert names(run) == ["step_000000012"]


def test_what_killed_processes_leave_is_not_a_checkpoint_and_goes(tmp_path):
    run = tmp_path / "run"
    write_run(run, 5)
    left = run / "checkpoints" / "step_000000007.part"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    assert names(run) == ["step_000000005"] and load_run(run).config["step"] == 5
    write_run(run, 12)
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == names(run)
    # killed between the folder and `newest`: the folder that it names counts
    shutil.copytree(checkpoint_of(run), run / "checkpoints" / "step_000000020")
    assert checkpoint_of(run).name == "step_000000012"
    write_run(run, 20, seed=4)  # once more, from there
    assert same_weights(load_run(run).model, 4) and load_run(run).config["step"] == 20
    assert names(run)[-1] == "step_000000020"
    (run / "newest").unlink()
    assert checkpoint_of(run).name == "step_000000020"
    shutil.rmtree(
        checkpoint_of(run)
    )  # one that was removed by hand, with its pointer there
    write_text(run / "newest", "step_000000020")
    assert checkpoint_of(run).name == "step_000000012"


@pytest.mark.parametrize("what", ["weights", "state", "counters"])
def test_a_full_disk_keeps_the_older_checkpoint(tmp_path, what):
    # the limit is met in one file or in another
    run = tmp_path / "run"
    write_run(run, 5, seed=1)
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    tensors = {"w": torch.zeros(30_000 if what == "state" else 3)}
    numbers = {"step": 12, "note": "x" * (30_000 if what == "counters" else 3)}
    size = 1000 if what == "weights" else 20_000
    with full_disk(size), pytest.raises(OSError) as error:
        write_checkpoint(run, small(2), SHORT, {}, tensors, numbers, 2)
    text = str(error.value)
    assert "cannot write the checkpoint" in text and "step_000000012" in text
    assert "File too large" in text and "step_000000005 is whole" in text
    assert "\n" not in text
    after = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    assert before == after and same_weights(load_run(run).model, 1)
    assert not list(tmp_path.rglob("*.part"))
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["step_000000005"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    paths = [tmp_path / "file", tmp_path / "file" / "run"]
    if Path("/proc").is_dir():  # of Linux: nobody makes a folder there
        paths.append(Path("/proc/run"))
    for path in paths:
        words = re.escape(f"cannot write the folder {path}: ")
        with pytest.raises(OSError, match=words) as error:
            with locked(path):
                pytest.fail("was let in")
        assert "\n" not in str(error.value)
    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoints").write_text("in the way")
    with pytest.raises(OSError, match=r"cannot write the checkpoint .*; there is none yet"):
        write_run(run)
    wanted = re.escape(f"cannot write {tmp_path / 'file' / 'a'}: ")
    with pytest.raises(OSError, match=wanted):
        write_text(tmp_path / "file" / "a", "text")


def test_write_text_is_all_or_nothing(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "old")
    with full_disk(100), pytest.raises(OSError, match=f"cannot write {path}: .*too large"):
        write_text(path, "new" * 1000)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    write_text(path, "new, with \u03b2")
    assert path.read_text("utf-8") == "new, with \u03b2"


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "state.json"])
def test_a_broken_or_missing_file_of_a_checkpoint_is_named(tmp_path, name):
    folder = write_run(tmp_path / "run")
    path = folder / name
    content = path.read_bytes()
    for kept in (0, 8, len(content) // 2, -1):
        path.write_bytes(content[:kept])
        words = re.escape(str(path)) + " is not (a )?whole"
        with pytest.raises(ValueError, match=words) as error:
            read_checkpoint(folder)
        assert "\n" not in str(error.value)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=str(path)):
        read_checkpoint(folder)


def test_one_process_at_a_time(tmp_path):
    run = tmp_path / "deep" / "run"
    with locked(run) as found:
        assert found == run and run.is_dir()
        words = re.escape(f"another process is writing {run}: wait")
        with pytest.raises(RuntimeError, match=words):
            with locked(run):
                pytest.fail("was let in")
    with locked(run):
        pass
    with pytest.raises(KeyError), locked(run):
        raise KeyError
    with locked(run):
        pass


def test_another_process_is_kept_out_and_a_dead_one_is_not(tmp_path):
    run = tmp_path / "run"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom filelock import FileLock\n"
        "lock = FileLock(Path(sys.argv[1]) / 'lock')\nlock.acquire()\n"
        "print('held', flush=True)\ntime.sleep(60)"
    )
    run.mkdir()
    holder = subprocess.Popen([sys.executable, "-c", code, run], stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RuntimeError, match="another process is writing"):
            with locked(run):
                pytest.fail("was let in")
        holder.kill()
    with locked(run):
        pass


def test_fingerprint():
    data = torch.arange(24.0).reshape(6, 4)
    y = torch.arange(6)
    one = fingerprint(data)
    assert len(one) == 16 and int(one, 16) >= 0 and one == fingerprint(data.clone())
    others = [
        fingerprint(data + 1e-6),
        fingerprint(data.flip(0)),
        fingerprint(data[:5]),
        fingerprint(data.double()),
        fingerprint(data.reshape(6, 2, 2)),
        fingerprint(data, y),
        fingerprint(data, y.flip(0)),
        fingerprint(data.bfloat16()),
        fingerprint(data.to(torch.uint8)),
    ]
    assert len({one, *others}) == 10
    assert fingerprint(data.T.contiguous().T) == one  # strides do not matter


def spots(data, y=None):
    r"""The fingerprint as version 0.2.0 took it: of every so many examples."""
    read = hashlib.sha256(f"{tuple(data.shape)} {data.dtype}".encode())
    for tensor in (data[:: max(1, len(data) // 4096)], *(() if y is None else (y,))):
        read.update(tensor.contiguous().numpy().tobytes())
    return read.hexdigest()[:16]


@pytest.mark.parametrize("n", [8191, 8192, 10_001, 20_000])
def test_no_example_of_many_changes_unseen(n):
    many, y = (torch.arange(n) % 251).to(torch.uint8)[:, None], torch.arange(n)
    one, old = fingerprint(many, y), spots(many, y)
    assert (one == old) is (n < 8192)
    assert is_of(one, many, y) and is_of(old, many, y) and is_of(old, many, y, own=one)
    for i in (1, n // 2, n // 2 + 1, n - 1):
        changed = many.clone()
        changed[i] = 255
        assert fingerprint(changed, y) != one and not is_of(one, changed, y)
    assert not is_of(one, many) and not is_of(old, many, y.flip(0))


def test_examples_on_a_disk_are_read_in_blocks(tmp_path):
    x_0 = torch.arange(9000 * 4).reshape(9000, 4) % 256
    x_0.to(torch.uint8).numpy().tofile(tmp_path / "x.bin")
    there = np.memmap(tmp_path / "x.bin", np.uint8, "c", shape=(9000, 4))
    assert is_of(fingerprint(x_0.to(torch.uint8)), torch.from_numpy(there))
