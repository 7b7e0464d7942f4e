r"""What a model says of itself, clip, T and classes, goes wherever the model goes."""

import copy
import json
import warnings
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ddpm_lite import (
    EMA,
    MLP,
    GaussianOracle,
    Schedule,
    TrainConfig,
    Trainer,
    UNet,
    UNetConfig,
    from_diffusers,
    load_model,
    load_pretrained,
    load_run,
    sample,
    save_model,
)
from ddpm_lite.commands.main import main
from ddpm_lite.formats.diffusers import to_diffusers
from ddpm_lite.formats.weights import Pretrained
from ddpm_lite.lab.exact import Dosed
from ddpm_lite.training import experiment
from ddpm_lite.training.device import autocast, choose_precision
from ddpm_lite.training.presets import RunConfig, s_curve, s_curve_lecture

TINY = UNetConfig(
    size=8, channels=1, width=4, multipliers=(1,), blocks=1, attention=(), groups=2, T=10
)
SHORT = Schedule.cosine(10)


def facts(model):
    return model.clip, model.T, model.classes


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("classes", [0, 3])
def test_facts_go_through_training_files_and_diffusers(tmp_path, clip, classes):
    model = UNet(replace(TINY, clip=clip, classes=classes))
    told = ((-1, 1) if clip else None, 10, classes)
    assert facts(model) == facts(copy.deepcopy(model)) == facts(EMA(model).model) == told
    config = TrainConfig(steps=1, batch_size=2)
    trainer = Trainer(model, SHORT, torch.zeros(2, 1, 8, 8), config)
    assert facts(trainer.network) == facts(trainer.ema.model) == told
    save_model(tmp_path / "w.safetensors", model, SHORT)
    found = load_model(tmp_path / "w.safetensors")
    assert facts(found.model) == told
    again = from_diffusers(to_diffusers(found, tmp_path / "pipeline"))
    assert facts(again.model) == told


def test_points_and_exact_denoisers_have_no_range_and_no_classes():
    oracle = GaussianOracle(SHORT, [0.0], 1.0)
    for model in (MLP(T=10), oracle, Dosed(oracle)):
        assert facts(model) == (None, 10, 0)


def test_the_defaults_agree():
    assert MLP().T == UNet().T == Schedule.linear().T == Schedule.cosine().T == 1000
    for make in (s_curve, s_curve_lecture):
        model, schedule, *_ = make()
        assert model.T == schedule.T == 100


def without_clip(path, config):
    r"""Write a weight file as version 0.2.0 did, whose settings have no clip."""
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["ddpm_lite"])
    del about["settings"]["clip"], about["says"]
    about["config"] = config
    save_file(load_file(path), path, metadata={"ddpm_lite": json.dumps(about)})


@pytest.mark.parametrize(
    ("config", "clip"), [({}, (-1, 1)), ({"clip": True}, (-1, 1)), ({"clip": False}, None)]
)
def test_an_older_file_says_it_of_its_run_and_pictures_if_it_does_not(
    tmp_path, config, clip
):
    path = tmp_path / "w.safetensors"
    save_model(path, UNet(TINY), SHORT)
    without_clip(path, config)
    assert load_model(path).model.clip == clip


@pytest.mark.parametrize("clip", [True, False])
def test_the_settings_of_an_older_run(clip):
    values = RunConfig(unet=TINY, sample_steps=5).as_dict()
    del values["unet"]["clip"]
    assert RunConfig.from_dict(values).unet.clip is True
    assert RunConfig.from_dict(values | {"clip": clip}).unet.clip is clip


@pytest.mark.parametrize("name", ["digits", "fashion", "clothes", "mnist"])
def test_a_shipped_model_called_in_the_plainest_way_gives_pictures(name):
    found = load_pretrained(name)
    shape = (2, *found.model.unet_config.sample_shape)
    options = dict(sampler="ddim", steps=4, progress=False)
    pictures = sample(found.model, found.schedule, shape, **options)
    assert found.model.clip == (-1, 1) and pictures.abs().max() <= 1
    assert torch.equal(
        pictures, sample(found.model, found.schedule, shape, clip=(-1, 1), **options)
    )
    drawn = experiment.draw(found.model, found.schedule, _config(found), 2, **options)
    cpu = torch.device("cpu")
    with autocast(cpu, choose_precision(cpu, model=found.model)):
        plain = sample(found.model, found.schedule, shape, **options)
    assert torch.equal(drawn, plain)


def _config(found):
    return RunConfig.from_dict(found.config)


def test_a_picture_model_without_clip_that_runs_away_warns():
    found = load_pretrained("digits")
    options = dict(sampler="ddim", steps=5, progress=False)
    with pytest.warns(UserWarning, match=r"samples reach from -\d.* lie in \[-1, 1\]"):
        sample(found.model, found.schedule, (2, 1, 8, 8), clip=None, **options)
    free = UNet(found.model.unet_config, clip=False)
    free.load_state_dict(found.model.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # its data may lie anywhere
        sample(free, found.schedule, (2, 1, 8, 8), **options)
    with pytest.warns(UserWarning, match="samples reach from"):  # those of a run do not
        experiment.draw(free, found.schedule, _config(found), 2, **options)


def test_another_schedule_than_the_models_is_refused_wherever_they_meet(tmp_path):
    model, other = UNet(TINY), Schedule.cosine(20)
    words = "knows T = 10 steps, and the schedule has 20"
    with pytest.raises(ValueError, match=words):
        save_model(tmp_path / "w.safetensors", model, other)
    with pytest.raises(ValueError, match=words):
        to_diffusers(Pretrained(model, other, {}), tmp_path / "pipeline")
    with pytest.raises(ValueError, match=words):
        Trainer(model, other, torch.zeros(2, 1, 8, 8), TrainConfig(steps=1, batch_size=2))
    assert not list(tmp_path.iterdir())


def test_no_clip_on_the_command_line(tmp_path, capsys):
    tiny = "--width 8 --groups 4 --multipliers 1 --attention --blocks 1 --T 10".split()
    few = "--steps 1 --batch-size 2 --sample-steps 2 --sample-every 0".split()
    ask = ["train", "digits", *tiny, *few, "--device", "cpu", "--out", f"{tmp_path}/run"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one step of training does not make pictures
        assert main([*ask, "--no-clip"]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["unet"]["clip"] is False and "clip" not in config
    assert load_run(tmp_path / "run").model.clip is None
