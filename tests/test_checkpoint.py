r"""Weight files: there and back, and every way in which a file can be wrong."""

import json
from pathlib import Path

import pytest
import torch
from helpers import some_schedules
from safetensors.torch import load_file, save_file

import ddpm_lite
from ddpm_lite import MLP, ConvNet, checkpoint, load_model, load_pretrained, save_model

SHORT = some_schedules()["cosine-10"]


def small(seed=0):
    torch.manual_seed(seed)
    return MLP(T=10, width=8, depth=2, embedding="sinusoid", prediction="v")


def read(path):
    r"""The tensors of a file and the JSON beside them."""
    with checkpoint.safe_open(path, framework="pt") as file:
        return load_file(path), json.loads(file.metadata()["ddpm_lite"])


def write(path, tensors, about):
    save_file(tensors, path, metadata={"ddpm_lite": json.dumps(about)})


@pytest.mark.parametrize("kind", ["MLP", "ConvNet"])
@pytest.mark.parametrize("name", ["cosine", "zero-snr", "linear-1"])
def test_there_and_back(tmp_path, kind, name):
    schedule = some_schedules()[name]
    model = small() if kind == "MLP" else ConvNet(T=10, width=8)
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


def test_no_config_is_an_empty_one(tmp_path):
    save_model(tmp_path / "a.safetensors", small(), SHORT)
    assert load_model(str(tmp_path / "a.safetensors")).config == {}


def test_the_same_weights_give_the_same_file(tmp_path):
    for name in ("a", "b"):
        save_model(tmp_path / f"{name}.safetensors", small(), SHORT, {"b": 1, "a": 2})
    one, other = (tmp_path / f"{name}.safetensors" for name in ("a", "b"))
    assert one.read_bytes() == other.read_bytes()


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
    with pytest.raises(ValueError, match=r"can save \['ConvNet', 'MLP'.*\], got a Linear"):
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
        "Missing key": {k: v for k, v in tensors.items() if k != "model.out.bias"},
        "Unexpected key": tensors | {"model.more": torch.zeros(1)},
        "size mismatch": tensors | {"model.out.bias": torch.zeros(3)},
    }
    for message, wrong in cases.items():
        write(path, wrong, about)
        refused(path, f"do not fit its network: .*{message}")


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
