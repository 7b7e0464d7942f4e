r"""The schedule of a run: by name, with ends of its own, and as others read it."""

import json
from dataclasses import replace

import pytest
import torch
from helpers import some_schedules
from picture_runs import NETWORK, SMALL

from ddpm_lite import Schedule
from ddpm_lite.formats.diffusers_scheduler import name_of, named, scheduler_fields
from ddpm_lite.formats.weights import Pretrained
from ddpm_lite.models.unet import UNet
from ddpm_lite.training.presets import RunConfig, build, schedule_in_words, schedule_of
from ddpm_lite.training.resuming import edited


def of(**settings):
    return replace(SMALL, **settings)


def test_a_run_has_the_schedule_that_its_settings_say():
    T = NETWORK.T
    line = 1e-3 + (0.3 - 1e-3) * torch.arange(T, dtype=torch.float64) / (T - 1)
    curve = 1e-3 + (0.3 - 1e-3) / (1 + (6 - 12 * torch.arange(T).double() / (T - 1)).exp())
    for name, beta in (("linear", line), ("sigmoid", curve)):
        config = of(schedule=name, beta_start=1e-3, beta_end=0.3)
        _, found = build(config)
        torch.testing.assert_close(found.beta[1:], beta, rtol=1e-12, atol=0)
        assert found.same_as(schedule_of(config))
        usual = getattr(Schedule, name)(T)
        assert schedule_of(of(schedule=name)).same_as(usual)
        assert schedule_of(of(schedule=name, beta_end=0.02)).same_as(usual)
    assert schedule_of(of(schedule="cosine")).same_as(Schedule.cosine(T))


def test_settings_with_ends_go_through_a_file_and_those_without_are_of_an_older_version():
    config = of(schedule="sigmoid", beta_start=1e-3)
    about = json.loads(json.dumps(config.as_dict()))
    assert RunConfig.from_dict(about) == config
    for name in ("beta_start", "beta_end"):
        del about[name]
    assert RunConfig.from_dict(about) == of(schedule="sigmoid")


@pytest.mark.parametrize("name", ["beta_start", "beta_end"])
def test_ends_that_mean_nothing_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be left out for the cosine"):
        of(schedule="cosine", **{name: 0.01})
    for beta in (0.0, -1.0, 1.5, float("nan"), "0.1"):
        with pytest.raises(ValueError, match=f"{name} must be a number"):
            of(schedule="linear", **{name: beta})


def test_what_a_schedule_is_called():
    for T in (7, 100):
        for name in ("linear", "cosine", "sigmoid"):
            schedule = getattr(Schedule, name)(T)
            assert named(schedule) == {"schedule": name} and name_of(schedule) == name
    for name in ("linear", "sigmoid"):
        for T, ends in ((100, (1e-5, 0.5e-2)), (4, (0.4, 0.2)), (1000, (1e-4, 0.03))):
            schedule = getattr(Schedule, name)(T, *ends)
            said = dict(schedule=name, beta_start=ends[0], beta_end=ends[1])
            assert named(schedule) == said and name_of(schedule) is None
            whole = replace(SMALL, unet=replace(NETWORK, T=T), sample_steps=1, **said)
            assert schedule_of(whole).same_as(schedule)
    for schedule in (some_schedules()["uneven"], Schedule.cosine(50, s=0.01)):
        assert named(schedule) == {} and name_of(schedule) is None


def test_a_changed_end_is_refused_when_a_run_goes_on():
    kept = of(schedule="linear", beta_end=0.3)
    with pytest.raises(ValueError, match=r"says beta_end = 0.2, and .* with 0.3: restore"):
        edited(kept, replace(kept, beta_end=0.2), "config.json")
    assert edited(kept, kept, "config.json") == []


def test_words():
    assert schedule_in_words(of()) == "cosine schedule"
    config = of(schedule="linear", beta_end=0.3)
    assert schedule_in_words(config) == "linear schedule, beta from 0.0001 to 0.3"


def test_a_sigmoid_goes_to_diffusers_as_numbers():
    r"""Its DDIMScheduler does not know the name, and the numbers are known to all."""
    ddpm = pytest.importorskip("diffusers")
    config = of(schedule="sigmoid", beta_start=1e-3, beta_end=0.3)
    model, schedule = build(config)
    assert isinstance(model, UNet)
    fields = scheduler_fields(Pretrained(model, schedule, {}))
    for kind in (ddpm.DDPMScheduler, ddpm.DDIMScheduler):
        betas = kind.from_config(fields).betas.double()
        torch.testing.assert_close(betas, schedule.beta[1:], rtol=1e-6, atol=0)
