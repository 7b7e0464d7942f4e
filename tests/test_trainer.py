r"""The training loop, the average of the weights and the random numbers under them."""

import copy
import math

import pytest
import torch
from helpers import close, normal, some_schedules
from hypothesis import given
from hypothesis import strategies as st

from ddpm_lite import EMA, MLP, Schedule, TrainConfig, Trainer, sample, simple_loss
from ddpm_lite.seeds import generator_for, shuffled

SHORT = some_schedules()["cosine-10"]
QUICK = dict(steps=10, batch_size=16, lr=1e-2, warmup_steps=0)


def make(data=None, model=None, schedule=SHORT, seed=0, **settings):
    torch.manual_seed(0)
    model = MLP(T=schedule.T, width=8, depth=2) if model is None else model
    data = normal(50, 2, seed=seed).float() if data is None else data
    return Trainer(model, schedule, data, TrainConfig(**QUICK | settings))


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# --- what a step draws


def test_draw_is_a_function_of_seed_and_step():
    one, other = make(), make()
    other.update()
    torch.manual_seed(123)
    for a, b in zip(one.draw(3), other.draw(3), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(one.draw(3), one.draw(4), strict=True):
        assert not torch.equal(a, b)
    for a, b in zip(one.draw(3), make(seed=1, data=one.data).draw(3), strict=True):
        assert torch.equal(a, b)  # `seed` here only made the data
    again = Trainer(one.model, SHORT, one.data, TrainConfig(**QUICK, seed=1))
    for a, b in zip(one.draw(3), again.draw(3), strict=True):
        assert not torch.equal(a, b)


def test_every_t_from_1_to_T_comes_equally_often():
    n, T = 40_000, SHORT.T
    _, t, _ = make(batch_size=n).draw(1)
    assert t.dtype == torch.int64 and t.shape == (n,)
    counts = torch.bincount(t, minlength=T + 2).double()
    assert counts.sum() == counts[1 : T + 1].sum() == n
    expected = n / T
    assert ((counts[1 : T + 1] - expected).abs() <= 5 * expected**0.5).all()


def test_noise_of_a_step_is_standard_normal_and_new():
    trainer = make(batch_size=20_000)
    _, t, noise = trainer.draw(1)
    n = noise.numel()
    assert noise.shape == (20_000, 2)
    assert abs(noise.mean()) <= 5 / n**0.5
    assert abs(noise.var() - 1) <= 5 * (2 / n) ** 0.5
    assert abs((noise**4).mean() - 3) <= 5 * (96 / n) ** 0.5
    assert abs((noise[:, 0] * noise[:, 1]).mean()) <= 5 / 20_000**0.5
    centred = t.double() - t.double().mean()
    assert abs((noise[:, 0] * centred).mean()) <= 5 * centred.std() / 20_000**0.5
    assert not torch.equal(noise, trainer.draw(2)[2])


def test_antithetic_t_comes_in_pairs():
    for B in (1, 5, 16):
        _, t, _ = make(batch_size=B, antithetic=True).draw(1)
        assert t.shape == (B,) and t.min() >= 1 and t.max() <= SHORT.T
        half = B // 2
        assert torch.equal(t[half : 2 * half], SHORT.T + 1 - t[:half])


@given(st.integers(1, 30), st.integers(0, 60), st.integers(0, 5))
def test_every_epoch_is_a_permutation(N, start, seed):
    index = shuffled(N, 0, 4 * N, seed).reshape(4, N)
    assert torch.equal(index.sort(1).values, torch.arange(N).expand(4, N))
    part = shuffled(N, start % (3 * N), N, seed)
    assert torch.equal(part, index.flatten()[start % (3 * N) :][:N])


def test_epochs_and_seeds_differ():
    one = shuffled(100, 0, 300, 0).reshape(3, 100)
    assert not torch.equal(one[0], one[1]) and not torch.equal(one[1], one[2])
    assert not torch.equal(one[0], shuffled(100, 0, 100, 1))


def test_an_epoch_of_updates_shows_every_example_once():
    data = (torch.arange(48.0) / 48)[:, None].expand(48, 2)
    trainer = make(data=data)
    seen = torch.cat([trainer.draw(step)[0][:, 0] for step in (1, 2, 3)])
    assert torch.equal(seen.sort().values, data[:, 0])


def test_data_smaller_than_a_batch():
    data = normal(7, 2).float()
    trainer = make(data=data, batch_size=64)
    x_0, t, noise = trainer.draw(1)
    assert len(x_0) == len(t) == len(noise) == 64
    counts = (x_0[:, None] == data).all(-1).sum(0)
    assert counts.sum() == 64 and counts.min() == 9 and counts.max() == 10
    assert math.isfinite(trainer.update().loss)


def test_streams_of_different_numbers_differ():
    draws = [
        torch.rand(4, generator=generator_for(*n)) for n in [(0,), (1,), (0, 1), (1, 1)]
    ]
    for i in range(4):
        assert torch.equal(draws[0], torch.rand(4, generator=generator_for(0)))
        assert all(draws[i].ne(draws[j]).all() for j in range(i))


# --- an update


def test_an_update_is_adam_on_the_simple_loss():
    trainer = make(grad_clip=None)
    model = copy.deepcopy(trainer.model)
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in (1, 2, 3):
        adam.zero_grad()
        losses = simple_loss(model, SHORT, *trainer.draw(step))
        losses.mean().backward()
        adam.step()
        record = trainer.update()
        close(record.losses, losses.detach(), rtol=1e-6)
        close(record.loss, losses.detach().mean(), rtol=1e-6)
        norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
        close(record.grad_norm, norm, rtol=1e-5)
        assert record.step == step and torch.equal(record.t, trainer.draw(step)[1])
    close(weights(trainer.model), weights(model), rtol=1e-5, atol=1e-7)


def test_n_and_m_updates_are_n_plus_m_updates():
    together, apart = make(), make()
    for _ in together.run(7):
        pass
    for _ in apart.run(3):
        pass
    for _ in apart.run(4):
        pass
    assert together.step == apart.step == 7
    assert torch.equal(weights(together.model), weights(apart.model))
    assert torch.equal(weights(together.ema.model), weights(apart.ema.model))


def test_run_stops_at_the_configured_step():
    trainer = make()
    assert len(list(trainer.run(4))) == 4
    assert [record.step for record in trainer.run()] == [5, 6, 7, 8, 9, 10]
    assert list(trainer.run()) == []


def test_a_record_comes_after_its_update():
    trainer, before = make(), None
    for record in trainer.run(2):
        assert trainer.step == record.step == trainer.ema.updates
        now = weights(trainer.model)
        assert before is None or not torch.equal(now, before)
        before = now
    stopped = make()
    next(stopped.run())
    assert stopped.step == 1 and not torch.equal(
        weights(stopped.model), weights(make().model)
    )
    assert not record.losses.requires_grad and not record.loss.requires_grad


def test_a_small_batch_can_be_learned_by_heart():
    schedule = Schedule.from_beta([0.5, 0.9999])
    data = torch.tensor([[1.0, -1.0]])
    torch.manual_seed(0)
    model = MLP(T=2, width=32, depth=2, activation="silu")
    trainer = make(data=data, model=model, schedule=schedule, batch_size=64, steps=150)
    records = list(trainer.run())
    # one example: x_t tells the noise, so that the loss can fall to 0
    first = sum(r.loss for r in records[:5]) / 5
    last = sum(r.loss for r in records[-20:]) / 20
    assert first > 0.3 and last < 0.1 * first


@pytest.mark.parametrize("grad_clip", [1e-3, 1.0, None])
def test_grad_clip(grad_clip):
    trainer = make(grad_clip=grad_clip)
    steps = []
    trainer.optimizer.step = lambda: steps.append(
        torch.cat([p.grad.flatten() for p in trainer.model.parameters()]).norm()
    )
    record = trainer.update()
    assert record.grad_norm > 1e-2
    limit = math.inf if grad_clip is None else grad_clip
    close(steps[0], min(float(record.grad_norm), limit), rtol=1e-3)


def test_learning_rate_warms_up_and_may_fall():
    trainer = make(warmup_steps=4)
    rates = []
    for _ in trainer.run(6):
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-2 * f for f in (0.25, 0.5, 0.75, 1, 1, 1)])
    falling = make(decay_lr=True, steps=10)
    factors = [falling.lr_factor(step) for step in range(1, 12)]
    exact = [0.5 + 0.5 * math.cos(math.pi * k / 10) for k in range(11)]
    assert factors == pytest.approx(exact, abs=1e-12)
    assert make(warmup_steps=0).lr_factor(1) == 1


def test_training_mode_is_on_after_sampling():
    trainer = make()
    trainer.model.eval()
    for _ in trainer.run(1):
        assert trainer.model.training
        sample(trainer.model, SHORT, (2, 2), progress=False, x_T=torch.zeros(2, 2))
        assert trainer.model.training and not trainer.ema.model.training


def test_a_loss_that_is_nan_stops_the_run_and_names_the_step():
    trainer = make()
    list(trainer.run(2))
    before = weights(trainer.model)
    trainer.model.out.bias.data.fill_(float("nan"))
    with pytest.raises(
        FloatingPointError, match=r"loss is nan at step 3.*draw\(3\)"
    ) as error:
        trainer.update()
    assert "\n" not in str(error.value)
    after = weights(trainer.model)
    assert torch.equal(before[:-2], after[:-2])  # nothing was updated with NaN


# --- the average of the weights


@pytest.mark.parametrize("warmup", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_ema_is_the_formula(warmup, decay):
    model = torch.nn.Linear(3, 2).double()
    ema = EMA(model, decay, warmup)
    average, share = weights(model), 1.0
    for n in range(30):
        with torch.no_grad():
            for k, p in enumerate(model.parameters()):
                p.copy_(normal(*p.shape, seed=100 * n + k))
        ema.update(model)
        d = min(decay, (1 + n) / (10 + n)) if warmup else decay
        average, share = d * average + (1 - d) * weights(model), share * d
        close(weights(ema.model), average, atol=1e-14)
        assert ema.updates == n + 1 and ema.initial_share == pytest.approx(share, rel=1e-12)
    if decay == 0:
        close(weights(ema.model), weights(model))


def test_ema_copies_buffers_and_is_apart():
    model = torch.nn.BatchNorm1d(2)
    ema = EMA(model, 0.99)
    model(torch.randn(8, 2, generator=generator_for(1)))
    assert not torch.equal(ema.model.running_mean, model.running_mean)
    ema.update(model)
    assert torch.equal(ema.model.running_mean, model.running_mean)
    assert torch.equal(ema.model.num_batches_tracked, model.num_batches_tracked)
    assert not ema.model.training and model.training
    assert not any(p.requires_grad for p in ema.model.parameters())
    own = {p.data_ptr() for p in model.parameters()}
    assert not own & {p.data_ptr() for p in ema.model.parameters()}


def test_the_trainer_keeps_the_average():
    trainer, averages = make(ema_decay=0.9), []
    average = weights(trainer.model).double()
    for n, _ in enumerate(trainer.run(6)):
        d = min(0.9, (1 + n) / (10 + n))
        average = d * average + (1 - d) * weights(trainer.model).double()
        averages.append(weights(trainer.ema.model))
        close(averages[-1].double(), average, rtol=1e-5, atol=1e-6)
    assert not torch.equal(averages[-1], weights(trainer.model))
    assert (averages[-1] - weights(make().model)).abs().max() > 1e-3
    assert trainer.ema.decay == 0.9 and trainer.ema.warmup


# --- what is refused


def test_a_schedule_that_does_not_reach_noise_warns():
    with pytest.warns(UserWarning, match=r"L_T = .* nats per dimension"):
        make(schedule=Schedule.linear(100))
    gap = Schedule.linear(600)
    gap.prior_gap(0.0)
    with pytest.warns(UserWarning, match="not yet"):
        make(schedule=gap, data=30 * normal(50, 2).float())


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (torch.tensor([[0.0], [math.nan]]), ValueError, "finite, but example 1 has NaN"),
        (torch.tensor([[math.inf], [0.0]]), ValueError, "finite, but example 0 has NaN"),
        (torch.zeros(0, 2), ValueError, r"N >= 1, got \(0, 2\)"),
        (torch.zeros(5), ValueError, r"\(N, \*event\), N >= 1, got \(5,\)"),
        (torch.zeros(5, 2).long(), TypeError, r"floating point .* got torch.int64"),
        ([[0.0, 1.0]], TypeError, r"floating point .* got list"),
    ],
)
def test_bad_data(data, error, message):
    with pytest.raises(error, match=message) as caught:
        make(data=data)
    assert "\n" not in str(caught.value)


def test_a_model_that_does_not_say_what_it_predicts():
    with pytest.raises(ValueError, match=r"prediction must be one of .* got None"):
        make(model=torch.nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("steps", 2.5),
        ("batch_size", 0),
        ("batch_size", True),
        ("warmup_steps", -1),
        ("seed", -1),
        ("lr", 0.0),
        ("lr", -1.0),
        ("lr", math.nan),
        ("lr", math.inf),
        ("ema_decay", 1.0),
        ("ema_decay", -0.1),
        ("grad_clip", 0.0),
        ("grad_clip", -1.0),
    ],
)
def test_bad_settings(name, value):
    with pytest.raises(
        ValueError, match=rf"{name} must be an? (number|integer) .*got"
    ) as error:
        TrainConfig(**{name: value})
    assert repr(value) in str(error.value) and "\n" not in str(error.value)


def test_bad_ema_decay():
    for decay in (1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match=r"ema_decay must be a number in \[0, 0\.9"):
            EMA(torch.nn.Linear(1, 1), decay)


def test_config_is_frozen_and_the_paper_s():
    config = TrainConfig()
    assert config.as_dict() | dict(antithetic=False) == dict(
        steps=800_000,
        batch_size=128,
        lr=2e-4,
        warmup_steps=5000,
        decay_lr=False,
        grad_clip=1.0,
        ema_decay=0.9999,
        antithetic=False,
        seed=0,
    )
    with pytest.raises(AttributeError):
        config.lr = 1.0
