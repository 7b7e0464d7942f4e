r"""Exchange with diffusers: fine-tuning, and the commands."""

import json
import sys
from pathlib import Path

import pytest
from diffusers_folders import same_tensors, write
from helpers import of_another_machine

from ddpm_lite import Schedule, UNet, load_model
from ddpm_lite.commands import main as cli
from ddpm_lite.formats.diffusers import open_model
from ddpm_lite.formats.diffusers_files import is_diffusers
from ddpm_lite.training.experiment import start_from

pytest.importorskip("diffusers")
from diffusers import DDPMPipeline

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def test_start_from_a_folder_of_diffusers(tmp_path):
    unet = write(tmp_path)
    assert is_diffusers(tmp_path) and is_diffusers(tmp_path / "unet")
    assert not is_diffusers(tmp_path / "scheduler") and not is_diffusers(tmp_path / "no")
    c = open_model(tmp_path).model.unet_config
    model = UNet(c)
    start_from(model, of_another_machine(Schedule.linear(1000)), tmp_path)
    start_from(model, Schedule.linear(1000), tmp_path)
    same_tensors(model, unet)
    with pytest.raises(ValueError, match="was trained with another schedule"):
        start_from(model, Schedule.cosine(1000), tmp_path)
    with pytest.raises(
        ValueError, match=r"does not fit this network: time_emb.* is \(64, 16"
    ):
        start_from(UNet(c, width=16), Schedule.linear(1000), tmp_path)
    for field, value in (
        ("down_padding", "both"),
        ("sine_first", False),
        ("frequency_shift", 0),
        ("t_shift", 0),
        ("head_width", 4),
        ("groups", 8),
        ("eps", 1e-5),
        ("prediction", "v"),
    ):
        other = UNet(c, **{field: value})
        before = {k: v.clone() for k, v in other.state_dict().items()}
        with pytest.raises(ValueError, match=f"was trained with {field} = "):
            start_from(other, Schedule.linear(1000), tmp_path)
        same_tensors(other, before)  # untouched


def run(*arguments):
    return cli.main([str(a) for a in arguments])


def test_the_commands_from_end_to_end(tmp_path, monkeypatch, capsys):
    r"""export, import --verify, sample, evaluate, info, and train --init from both."""
    monkeypatch.chdir(tmp_path)
    small = "--width 8 --groups 4 --T 50 --steps 2 --batch-size 8 --sample-steps 2".split()
    assert run("train", "digits", *small, "--device", "cpu", "--out", "one") == 0
    assert run("export", "one", "--format", "diffusers", "--out", "out") == 0
    said = capsys.readouterr().out
    assert "DDPMPipeline.from_pretrained('out') loads it" in said
    assert "y in 0..10, which means no class" in said
    pipeline = DDPMPipeline.from_pretrained("out", low_cpu_mem_usage=False)
    same_tensors(open_model("one").model, pipeline.unet)
    assert run("import", "out", "--out", "in.safetensors", "--verify") == 0
    said = capsys.readouterr().out
    assert "verified against diffusers: " in said and "after 10 ancestral steps" in said
    same_tensors(load_model("in.safetensors").model, pipeline.unet)
    sampling = "--sampler ddim --steps 2 --device cpu --json".split()
    for name in ("in.safetensors", "out"):
        assert run("sample", name, "--num", 2, "--out", f"new-{name}/", *sampling) == 0
        assert json.loads(capsys.readouterr().out)["pictures"] == 2
    one, two = (Path(f"new-{name}/00001.png") for name in ("in.safetensors", "out"))
    assert one.read_bytes() == two.read_bytes()
    measured = ["--data", "digits", "--num", 20, *sampling]
    assert run("evaluate", "in.safetensors", *measured) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 20
    assert run("info", "in.safetensors", "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert about["settings"]["schedule"] == "cosine" and "train" not in about["settings"]
    assert about["imported"]["format"] == "diffusers"
    for name in ("in.safetensors", "out"):
        init = ["--init", name, "--out", f"tuned-{name}", "--device", "cpu"]
        assert run("train", "digits", *small, *init) == 0
        assert (Path(f"tuned-{name}") / "newest").is_file()


def test_the_commands_say_what_is_wrong(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a", "one-level")
    write(tmp_path / "classes", "class-conditional")
    (tmp_path / "b.safetensors").write_text("mine")
    for arguments, message in (
        (["import", "a"], "say where to write it: --out NAME.safetensors, or only --ve"),
        (["import", "a", "--out", "b"], "--out must end in .safetensors, got b"),
        (
            ["import", "a", "--out", "b.safetensors"],
            "b.safetensors already exists: name another",
        ),
        (["import", "nowhere", "--out", "c.safetensors"], "no folder nowhere: expected"),
        (["import", "classes", "--verify"], "does not say whether the last one means"),
        (
            ["import", "a/unet", "--verify"],
            "does not say schedule, prediction, clip: name a",
        ),
        (["import", "a/unet", "--verify", "--T", "9"], "give --schedule and --T together"),
        (["export", "a", "--out", "a"], "a is there and not empty: name another folder"),
        (["export", "a", "--out", "c", "--format", "onnx"], "--format must be one of dif"),
        (["export", "s_curve", "--out", "c"], "networks of pictures only, got a MLP"),
        (
            ["export", "nowhere", "--out", "c"],
            "nowhere is neither a run folder nor a weight file",
        ),
    ):
        assert run(*arguments) == 1
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1
    assert run("import", "a", "--verify", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["verified"]["network"] <= 1e-5 and result["verified"]["steps"] == 10
    said = ["--schedule", "cosine", "--T", 20, "--prediction", "v", "--clip", "True"]
    assert run("import", "a/unet", "--out", "c.safetensors", *said) == 0
    found = load_model("c.safetensors")
    assert found.schedule.T == 20 and found.model.prediction == "v"
    assert run("import", "classes", "--null-class", "False", "--verify") == 0
    monkeypatch.setitem(sys.modules, "diffusers.models.unets.unet_2d", None)
    assert run("import", "a", "--verify") == 1
    assert "pip install diffusers" in capsys.readouterr().err
