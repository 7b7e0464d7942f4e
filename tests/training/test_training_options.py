r"""Options of training, each against the formula that it is taken from."""

import dataclasses
import json
import math
from types import SimpleNamespace

import pytest
import torch
from helpers import close, normal, some_schedules
from trainers import SHORT, bytes_of, make, tiny, weights

from ddpm_lite import TrainConfig, simple_loss
from ddpm_lite.checks import PREDICTIONS
from ddpm_lite.data import PictureSet
from ddpm_lite.formats.checkpoint import load_run
from ddpm_lite.lab.doctor.case import Case
from ddpm_lite.lab.doctor.files import read_settings
from ddpm_lite.lab.doctor.loss import _errors as doctors_errors
from ddpm_lite.models.recomputed import Recomputed
from ddpm_lite.process import q_sample
from ddpm_lite.training.fit import fit, held_out_loss
from ddpm_lite.training.hybrid import hybrid_loss, hybrid_terms
from ddpm_lite.training.presets import RunConfig
from ddpm_lite.training.weighting import free_ends_loss, min_snr_weight

# --- AdamW


def test_weights_decay_as_loshchilov_and_hutter_have_it():
    lr, decay, made = 1e-2, 0.3, {}
    for value in (0.0, decay):
        trainer = make(model=tiny(), data=bytes_of(9, 1, 4, 4), weight_decay=value, lr=lr)
        before = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
        trainer.update()
        made[value] = dict(trainer.model.named_parameters())
    for name, w in before.items():
        taken = made[0.0][name] - made[decay][name]  # of one gradient and one Adam step
        expected = lr * decay * w if w.dim() > 1 else torch.zeros_like(w)
        close(taken, expected, rtol=0, atol=1e-6)
    assert {w.dim() for w in before.values()} == {1, 2, 4}


@pytest.mark.parametrize("fast", [True, False])
def test_no_weight_decay_is_adam_bit_for_bit(fast):
    trainer = make(weight_decay=0.0, fast=fast)
    assert type(trainer.optimizer) is torch.optim.Adam
    plain = make(fast=fast)
    how = dict(lr=1e-2, fused=fast, foreach=None if fast else False)
    plain.optimizer = torch.optim.Adam(plain.model.parameters(), **how)
    for one in (trainer, plain):
        list(one.run())
    assert torch.equal(weights(trainer.model), weights(plain.model))
    decayed = make(weight_decay=0.1, fast=fast)
    list(decayed.run())
    assert weights(decayed.model).norm() < weights(trainer.model).norm()


def test_a_run_with_weight_decay_goes_on(tmp_path):
    settings = dict(weight_decay=0.2, save_every=4, sample_every=0)
    fit(make(**settings), tmp_path / "straight", progress=False)
    fit(make(**settings, steps=4), tmp_path / "run", progress=False)
    fit(make(**settings), tmp_path / "run", progress=False, resume=True)
    one, other = (load_run(tmp_path / name).model for name in ("straight", "run"))
    assert torch.equal(weights(one), weights(other))


# --- the rate of learning


def test_the_rate_is_constant_or_falls_along_a_cosine_or_a_line():
    steps = range(1, 12)
    exact = {
        "constant": lambda k: 1.0,
        "cosine": lambda k: math.cos(math.pi * k / 20) ** 2,
        "linear": lambda k: (10 - k) / 10,
    }
    for name, factor in exact.items():
        config = TrainConfig(steps=10, warmup_steps=0, lr_schedule=name)
        expected = [factor(step - 1) for step in steps]
        assert [config.lr_factor(s) for s in steps] == pytest.approx(expected, abs=1e-12)
    config = TrainConfig(steps=10, warmup_steps=4, lr_schedule="linear")
    assert config.lr_factor(2) == pytest.approx(2 / 4 * 9 / 10)
    with pytest.raises(ValueError, match="lr_schedule must be one of constant, cosine, li"):
        TrainConfig(lr_schedule="step")


def test_the_old_name_of_the_rate_is_an_error_with_advice():
    with pytest.raises(TypeError, match="write lr_schedule='cosine'"):
        TrainConfig(decay_lr=True)
    with pytest.raises(TypeError, match="decay_lr=False write lr_schedule='constant'"):
        dataclasses.replace(TrainConfig(), decay_lr=False)
    with pytest.raises(TypeError, match="unexpected keyword argument 'decay'"):
        TrainConfig(decay=True)


@pytest.mark.parametrize(("old", "new"), [(True, "cosine"), (False, "constant")])
def test_files_of_older_versions_mean_what_they_did(old, new):
    about = json.loads(json.dumps(RunConfig().as_dict()))
    train = about["train"]
    for name in ("lr_schedule", "weight_decay", "min_snr", "checkpoint_gradients"):
        del train[name]  # as version 0.3 wrote it
    del train["keep_best"]
    train["decay_lr"] = old
    read = RunConfig.from_dict(about).train
    assert read == TrainConfig(lr_schedule=new)
    about["train"] = train | {"lr_schedule": new}
    with pytest.raises(ValueError, match=r"holds decay_lr = .* which is lr_schedule now"):
        RunConfig.from_dict(about)
    about["train"] = train | {"decay_lr": "yes"}
    with pytest.raises(ValueError, match="holds decay_lr = 'yes', which is lr_schedule"):
        RunConfig.from_dict(about)
    del train["decay_lr"]
    about["train"] = train
    with pytest.raises(ValueError, match="lacks 'lr_schedule'"):
        RunConfig.from_dict(about)


# --- min-SNR weights


def gradient(trainer):
    r"""The gradient of one update, before it is clipped."""
    trainer.update()
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters()])


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_min_snr_is_one_weight_of_the_error_in_x_0(prediction):
    r"""By the error in x_0, with min(SNR, gamma) in front: the other way to say it."""
    gamma, schedule = 0.7, some_schedules()["cosine-10"]
    settings = dict(min_snr=gamma, grad_clip=None, accumulate=2)
    trainer = make(**settings)
    trainer.model.prediction = trainer.network.prediction = prediction
    before = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    record = trainer.update()
    found = torch.cat([p.grad.flatten() for p in trainer.model.parameters()])
    trainer.model.load_state_dict(before, strict=False)
    trainer.model.zero_grad()
    x_0, t, noise = trainer.draw(1)
    x_t = q_sample(schedule, x_0, t, noise)
    a = schedule.alpha_bar[t].float()[:, None]
    out = trainer.model(x_t, t)
    x_0_pred = {
        "noise": (x_t - (1 - a).sqrt() * out) / a.sqrt(),
        "x_0": out,
        "v": a.sqrt() * x_t - (1 - a).sqrt() * out,
        "flow": (x_t - (1 - a).sqrt() * out) / (a.sqrt() + (1 - a).sqrt()),
    }[prediction]
    weight = (a / (1 - a)).clamp(max=gamma)
    (weight * (x_0_pred - x_0).square()).mean().backward()
    expected = torch.cat([p.grad.flatten() for p in trainer.model.parameters()])
    close(found, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))
    target = {"noise": noise, "x_0": x_0, "flow": noise - x_0}.get(prediction)
    if target is not None:  # what is reported has no weights
        close(record.losses, (out - target).square().mean(1).detach(), rtol=1e-4)


def test_min_snr_leaves_the_bound_and_what_is_measured_alone():
    shape = dict(learned_variance=True, prediction="v")
    data, made = bytes_of(9, 1, 4, 4), {}
    for gamma in (None, 0.5):
        trainer = make(model=tiny(**shape), data=data, min_snr=gamma, grad_clip=None)
        held = held_out_loss(trainer, data[:3])
        record = trainer.update()
        made[gamma] = record.losses, held, trainer.model.conv_out.weight.grad
    plain, weighed = made[None], made[0.5]
    assert torch.equal(plain[0], weighed[0]) and plain[1] == weighed[1]
    assert torch.equal(plain[2][1], weighed[2][1])  # channel 1 is the variance's
    assert not torch.allclose(plain[2][0], weighed[2][0])


def test_the_hybrid_loss_is_the_sum_of_its_terms():
    x_0, t = normal(4, 1, 4, 4).float(), torch.tensor([1, 2, 5, 10])
    noise = normal(4, 1, 4, 4, seed=1).float()
    given = (tiny(learned_variance=True), SHORT, x_0, t, noise)
    simple, bound = hybrid_terms(*given)
    close(hybrid_loss(*given), simple + bound, rtol=1e-6)
    assert (bound.abs() > 0).all() and simple.shape == bound.shape == (4,)


def test_no_gamma_is_no_weight_and_a_bad_one_is_refused():
    assert torch.equal(gradient(make()), gradient(make(min_snr=None)))
    t = torch.arange(1, 11)
    assert (min_snr_weight(SHORT, t, "noise", 1e9) == 1).all()
    large = gradient(make(min_snr=1e9))
    assert torch.equal(large, gradient(make()))
    for gamma in (0, -1.0, math.nan, "5"):
        with pytest.raises(ValueError, match="min_snr must be"):
            TrainConfig(min_snr=gamma)


# --- gradient checkpointing

DEEP = dict(size=8, multipliers=(1, 2), blocks=2, attention=(4,), dropout=0.4, classes=2)


def deep(**settings):
    y = torch.arange(6) % 2
    how = dict(data=bytes_of(6, 1, 8, 8), y=y, batch_size=4, steps=3)
    return make(model=tiny(**DEEP), **how | settings)


@pytest.mark.parametrize("settings", [{}, dict(accumulate=2, fast=False)])
def test_checkpointing_changes_no_bit(settings):
    r"""With dropout, whose units must be the same ones when a block runs again."""
    plain, saving = deep(**settings), deep(checkpoint_gradients=True, **settings)
    for trainer in (plain, saving):
        list(trainer.run())
    assert torch.equal(weights(plain.model), weights(saving.model))
    assert torch.equal(weights(plain.ema.model), weights(saving.ema.model))


def kept(trainer):
    r"""Bytes of the tensors that a forward pass keeps for the backward pass."""
    own = {p.untyped_storage().data_ptr() for p in trainer.model.parameters()}
    found = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes(), tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        x_0, t, noise = trainer.draw(1)
        loss = trainer.losses(x_0, t, noise, trainer.labels(1)).sum()
    assert loss.requires_grad
    return sum(size for size, _ in found.values())


def test_checkpointing_keeps_less_than_half():
    plain, saving = kept(deep()), kept(deep(checkpoint_gradients=True))
    # a ResBlock keeps its inputs alone: of norm, silu, conv, norm, silu, dropout, conv each
    # keeps one map or more as large, so that two thirds less is far from the edge
    assert saving < plain / 2


def test_every_block_runs_twice_in_training_and_once_elsewhere():
    trainer, calls = deep(checkpoint_gradients=True), []
    blocks = [m for m in trainer.model.modules() if isinstance(m, Recomputed)]
    for block in blocks:
        block.register_forward_pre_hook(lambda *_: calls.append(1))
    trainer.model.train()
    trainer.update()
    assert len(calls) == 2 * len(blocks) > 10
    calls.clear()
    with torch.no_grad():
        trainer.model.eval()(torch.zeros(1, 1, 8, 8), torch.tensor([1]))
    assert len(calls) == len(blocks)


def test_checkpointing_is_switched_off_by_a_trainer_without():
    model = tiny()
    data = bytes_of(9, 1, 4, 4)
    make(model=model, data=data, checkpoint_gradients=True)
    assert all(m.recomputed for m in model.modules() if isinstance(m, Recomputed))
    make(model=model, data=data)
    assert not any(m.recomputed for m in model.modules() if isinstance(m, Recomputed))


def test_checkpointing_a_network_without_blocks_is_refused():
    with pytest.raises(ValueError, match="is for the blocks of a UNet, and MLP has none"):
        make(checkpoint_gradients=True)


def test_the_doctor_reads_settings_of_older_versions(tmp_path):
    train = {"lr": 1e-3, "decay_lr": True}
    (tmp_path / "config.json").write_text(json.dumps({"train": train}))
    case, _ = read_settings(Case(tmp_path))
    assert case.train == TrainConfig(lr=1e-3, lr_schedule="cosine")


# --- free ends


def test_a_trainer_with_free_ends_learns_and_reports_their_loss():
    black, made = torch.zeros(9, 1, 4, 4, dtype=torch.uint8), {}
    for free in (False, True):
        trainer = make(model=tiny(), data=black, free_ends=free)
        x_0, t, noise = trainer.draw(1)
        kind = free_ends_loss if free else simple_loss
        expected = kind(trainer.model, SHORT, x_0, t, noise).detach()
        held = held_out_loss(trainer, black)[0]
        close(trainer.update().losses, expected, rtol=1e-4)
        made[free] = held, trainer.model.conv_out.weight.grad
    assert made[True][0] < made[False][0]  # half of the guesses lie beyond black
    assert not torch.allclose(made[True][1], made[False][1], rtol=1e-3)


def test_free_ends_need_a_range():
    with pytest.raises(ValueError, match="free_ends is for models that clip"):
        make(free_ends=True)  # points
    with pytest.raises(ValueError, match="free_ends must be True or False"):
        TrainConfig(free_ends=1)


@pytest.mark.parametrize("free", [True, False])
def test_the_doctor_measures_what_free_ends_have_learned(free):
    pictures = PictureSet(torch.zeros(4, 1, 4, 4, dtype=torch.uint8))
    config = SimpleNamespace(train=TrainConfig(free_ends=free))
    far = SimpleNamespace(prediction="x_0", clip=(-1, 1))
    case = SimpleNamespace(schedule=SHORT, model=far, config=config, device="cpu")
    t, noise = torch.tensor([2, 5, 9]), normal(3, 1, 4, 4).float()
    network = OverBlack()
    errors = doctors_errors(case, network, pictures, (t, noise, torch.rand(3)))
    # noise_from_x_0 divides by the deviation of the noise what float32 leaves of its sum
    assert bool((errors < 1e-10).all()) is free


class OverBlack(torch.nn.Module):
    r"""Surely black, and beyond."""

    prediction, clip, learned_variance = "x_0", (-1, 1), False

    def forward(self, x_t, t):
        return torch.full_like(x_t, -1.7)
