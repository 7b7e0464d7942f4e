r"""A run that starts from weights takes the network they were made for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ddpm_lite import Schedule, UNet, UNetConfig, load_pretrained
from ddpm_lite.formats.diffusers import to_diffusers
from ddpm_lite.formats.weights import save_model
from ddpm_lite.training import plan
from ddpm_lite.training.config import TrainConfig
from ddpm_lite.training.experiment import prepare, train
from ddpm_lite.training.presets import RUNS, RunConfig, build, schedule_of
from ddpm_lite.training.starting import at_size, channels_of, like, same_levels, told

TINY = dict(size=8, channels=1, width=8, multipliers=(1, 2), blocks=1, attention=(4,))
TINY |= dict(groups=4, dropout=0.0, T=20, zero_init=False)


def npy(path, channels=1, size=8):
    random = np.random.default_rng(0)
    np.save(path, random.integers(0, 256, (12, channels, size, size), np.uint8))
    return str(path)


def written(folder, schedule=None, name="start.safetensors", **fields):
    r"""A weight file of a small U-Net."""
    model = UNet(UNetConfig(**TINY | fields))
    path = folder / name
    save_model(path, model, schedule or Schedule.linear(model.T))
    return str(path)


@pytest.mark.parametrize("name", ["digits", "fashion"])
def test_what_is_shipped_is_taken_with_all_that_it_is(name):
    start, config = load_pretrained(name), like(RunConfig(init=name))
    assert config.unet == replace(start.model.unet_config, classes=0)
    assert config.schedule == start.config["schedule"]
    assert config.train == RunConfig().train and config.init == name
    model, schedule = build(config)
    plan.check_start(start, name, model, schedule)  # fits
    assert schedule.same_as(start.schedule)


def test_conventions_prediction_clip_and_a_short_chain_are_taken(tmp_path):
    fields = dict(prediction="v", clip=False, frequency_shift=0, t_shift=0, eps=1e-5)
    fields |= dict(learned_variance=True, scale_shift=True, sine_first=False, classes=3)
    name = written(tmp_path, Schedule.cosine(20), **fields)
    config = like(RunConfig(init=name))
    assert config.unet == UNetConfig(**TINY | fields | dict(classes=0))
    assert (config.schedule, config.sample_steps) == ("cosine", 20)
    assert like(RunConfig(init=name, sample_steps=7)).sample_steps == 7


def test_a_folder_of_diffusers_is_taken(tmp_path):
    found = replace(load_pretrained("digits"))
    folder = to_diffusers(found, tmp_path / "pipeline")
    config = like(RunConfig(init=str(folder)))
    start = UNet(config.unet).state_dict()
    there = {k: v for k, v in found.model.state_dict().items() if "class_emb" not in k}
    assert {k: v.shape for k, v in start.items()} == {k: v.shape for k, v in there.items()}


@pytest.mark.parametrize(
    ("size", "attention"), [(8, (2,)), (32, (8,)), ((36, 20), (9,)), (28, (7,))]
)
def test_attention_stays_where_the_weights_have_it(size, attention):
    unet = like(RunConfig(init="fashion")).unet  # 28, attention at 7
    other = at_size(unet, size)
    assert (other.size, other.attention) == (size, attention)
    shapes = [{k: v.shape for k, v in UNet(u).state_dict().items()} for u in (unet, other)]
    assert shapes[0] == shapes[1]


def test_attention_at_several_levels_and_at_none():
    two = UNetConfig(size=32, attention=(32, 8))
    assert same_levels(two, replace(two, size=64, attention=())) == (64, 16)
    assert at_size(replace(two, attention=()), 64).attention == ()
    with pytest.raises(ValueError, match="multiple"):
        at_size(two, 20)


def test_what_cannot_be_started_from_is_refused(tmp_path):
    with pytest.raises(ValueError, match="s_curve is an MLP, and pictures need a UNet"):
        like(RunConfig(init="s_curve"))
    with pytest.raises(FileNotFoundError, match="nowhere is neither"):
        like(RunConfig(init="nowhere"))
    odd = written(tmp_path, Schedule.from_beta(np.geomspace(0.01, 0.3, 20).tolist()))
    with pytest.raises(ValueError, match="a schedule that has no name here"):
        like(RunConfig(init=odd))


@pytest.mark.parametrize("make", [Schedule.linear, Schedule.sigmoid])
def test_own_ends_of_beta_are_taken(make, tmp_path):
    config = like(RunConfig(init=written(tmp_path, make(20, 0.01, 0.3))))
    assert config.beta_start == pytest.approx(0.01) and config.beta_end == pytest.approx(
        0.3
    )
    assert schedule_of(config).same_as(make(20, 0.01, 0.3))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(attention=()), "has no down_blocks.1.attentions"),
        (dict(attention=(8, 4)), r"down_blocks.0.attentions\S+ is \(8,\) here and nothing"),
        (dict(blocks=2), "does not fit this network"),
        (dict(prediction="v"), "prediction = 'noise', and here it is 'v'"),
        (dict(T=30), "another schedule, linear, T = 20"),
    ],
)
def test_what_contradicts_the_weights_is_refused(changes, words, tmp_path):
    config = like(RunConfig(init=written(tmp_path), data=npy(tmp_path / "a.npy")))
    config = replace(config, unet=replace(config.unet, **changes))
    with pytest.raises(ValueError, match=words):
        prepare(config, "cpu")


def test_another_kind_of_network_is_refused():
    start, (model, schedule) = load_pretrained("s_curve"), build(RUNS["digits"])
    with pytest.raises(ValueError, match="s_curve is an MLP, and does not fit a UNet"):
        plan.check_start(start, "s_curve", model, schedule)


def test_grey_and_colour_are_not_taken_for_each_other(tmp_path):
    for own, other, words in (
        (1, 3, "in colour, and .* draws in grey: --channels 1"),
        (3, 1, "in grey, and .* draws in colour: --channels 3"),
    ):
        name = written(tmp_path, Schedule.cosine(20), f"{own}.safetensors", channels=own)
        config = like(RunConfig(init=name, data=npy(tmp_path / "a.npy", other)))
        check = channels_of(config)
        with pytest.raises(ValueError, match=words):
            prepare(config, "cpu", follow=True, check=check)
        config = replace(config, data=npy(tmp_path / "b.npy", own))
        assert prepare(config, "cpu", follow=True, check=check).config.unet.channels == own


def test_a_run_starts_at_the_weights_in_python(tmp_path):
    config = like(RunConfig(init="digits", data=npy(tmp_path / "a.npy")))
    config = replace(config, train=TrainConfig(steps=1, batch_size=4, sample_every=0))
    prepared = prepare(config, "cpu")
    own, there = prepared.trainer.model.state_dict(), load_pretrained("digits").model
    there = there.state_dict()
    assert "class_embedding.weight" not in own
    assert all(torch.equal(own[key], there[key]) for key in own)
    assert train(prepared, tmp_path / "run")["finished"]


@pytest.mark.parametrize(
    ("there", "names", "words"),
    [
        (0, (), None),
        (3, (), "none are learned; X knows 3, which go"),
        (0, ("a", "b"), "X knows none: the table of 2 starts fresh"),
        (3, ("a", "b"), "X knows 3: the table of 2 starts fresh"),
        (2, ("a", "b"), "as many as X knows: each starts from the one in its place"),
    ],
)
def test_what_becomes_of_the_classes_is_said(there, names, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, name="X.safetensors", classes=there)
    config = like(RunConfig(init="X.safetensors"))
    network, *lines = told(config, names)
    assert network.startswith(
        "network   that of X.safetensors, which it starts from: 8 x 8,"
    )
    expected = [] if words is None else [f"classes   {words}".replace("X", "X.safetensors")]
    assert lines == expected


def test_names_of_classes_are_compared_and_another_size_is_said():
    config = like(RunConfig(init="digits"))
    assert len(told(config, tuple("0123456789"))) == 1
    _, line = told(config, tuple("abcdefghij"))
    assert line.endswith("in its place, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9")
    wide = replace(config, unet=at_size(config.unet, (16, 24)))
    assert "16 x 24 (trained at 8 x 8)" in told(wide, ())[0]
