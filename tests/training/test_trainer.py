r"""The training loop and the random numbers under it."""

import copy
import math

import pytest
import torch
from helpers import close, normal
from hypothesis import given
from hypothesis import strategies as st
from trainers import QUICK, SHORT, bytes_of, make, tiny, weights

from ddpm_lite import EMA, MLP, Schedule, TrainConfig, Trainer, sample, simple_loss
from ddpm_lite.data import digits
from ddpm_lite.seeds import generator_for, shuffled
from ddpm_lite.training.batches import drawn_steps, second_moment, to_float
from ddpm_lite.training.trainer import NotFinite

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


@pytest.mark.parametrize("law", ["uniform", "logit_normal"])
def test_t_has_the_law_that_was_asked_for(law):
    r"""Chi-square over all t, false alarm 1e-6; the normal law's integral by erf."""
    T, n = 20, 20_000
    t = drawn_steps(T, n, law, generator_for(0, 7))
    assert t.dtype == torch.int64 and int(t.min()) >= 1 and int(t.max()) <= T
    ends = torch.arange(T + 1, dtype=torch.float64) / T
    below = ends if law == "uniform" else (1 + torch.erf(ends.logit() / 2**0.5)) / 2
    expected = n * below.diff()
    assert float(expected.min()) > 5
    chi2 = float(((t.bincount(minlength=T + 1)[1:] - expected) ** 2 / expected).sum())
    assert chi2 < 63.7  # of 19 degrees of freedom: scipy.stats.chi2.isf(1e-6, 19)


def test_the_middle_is_drawn_more_often_by_a_trainer_too():
    shares = []
    for law in ("uniform", "logit_normal"):
        trainer = make(batch_size=4096, t_law=law)
        t, T = trainer.draw(1)[1], trainer.schedule.T
        shares.append(float(((t > T / 4) & (t <= 3 * T / 4)).double().mean()))
    assert shares[1] - shares[0] > 0.15  # 0.73 and 0.5, give or take 0.01
    with pytest.raises(ValueError, match="t_law must be one of uniform, logit_normal, got"):
        TrainConfig(t_law="normal")


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
        # squares of differences of numbers near 1, which float32 keeps to a few times 6e-8
        close(record.losses, losses.detach(), rtol=1e-5, atol=1e-6)
        close(record.loss, losses.detach().mean(), rtol=1e-5, atol=1e-6)
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
    falling = make(lr_schedule="cosine", steps=10)
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
    with pytest.raises(NotFinite, match=r"is not finite at step 3.*draw\(3\)") as error:
        trainer.update()
    assert "\n" not in str(error.value) and error.value.step == 3
    after = weights(trainer.model)
    assert torch.equal(before[:-2], after[:-2])  # nothing was updated with NaN


class Root(torch.nn.Module):
    r"""Gives 0, with an infinite gradient."""

    prediction = "noise"

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x_t, t):
        return self.weight.sqrt() * torch.ones_like(x_t)


def test_a_gradient_that_is_infinite_stops_the_run_too():
    trainer = make(model=Root())
    with pytest.raises(NotFinite, match="at step 1"):
        trainer.update()
    assert trainer.model.weight == 0 and trainer.ema.updates == 0


def test_where_nobody_looks_at_every_loss_the_first_bad_step_is_remembered(monkeypatch):
    trainer = make()
    monkeypatch.setattr(trainer, "check_finite", lambda: None)  # as on a GPU
    list(trainer.run(2))
    trainer.model.out.bias.data.fill_(float("nan"))
    list(trainer.run(3))
    monkeypatch.undo()
    for _ in range(2):
        with pytest.raises(NotFinite, match="at step 3"):
            trainer.check_finite()


# --- pictures, labels and what is done to them


def test_uint8_pictures_are_scaled_by_their_levels():
    x_0, _ = digits()
    grey = ((x_0 + 1) * 8).to(torch.uint8)  # 0..16, as in the file
    assert int(grey.max()) == 16
    given = dict(model=tiny(size=8), batch_size=64)
    floats, greys = make(x_0, **given), make(grey, levels=17, **given)
    for step in (1, 2):
        for a, b in zip(floats.draw(step), greys.draw(step), strict=True):
            # k / 8 - 1 is exact in float32, and 2 k / 16 - 1 too
            assert torch.equal(a, b) and a.dtype == b.dtype
    assert second_moment(grey, 17) == pytest.approx(second_moment(x_0, 256), rel=1e-12)
    every = torch.arange(256, dtype=torch.uint8)
    # a quotient and a difference below 2, each right to 1.2e-7
    close(to_float(every, 256), every.double() / 127.5 - 1, rtol=0, atol=3e-7)
    assert to_float(every, 256)[[0, 255]].tolist() == [-1, 1]
    assert second_moment(bytes_of(5000, 1, 2, 2), 256) == pytest.approx(
        to_float(bytes_of(5000, 1, 2, 2), 256).double().square().mean()
    )


def test_flip_mirrors_the_width_of_half_of_the_pictures():
    pictures = normal(500, 1, 4, 4).float().clamp(-1, 1)
    trainer = make(pictures, tiny(), flip=True, batch_size=500)
    plain = make(pictures, tiny(), batch_size=500)
    for step in (1, 2):
        one, straight = trainer.draw(step), plain.draw(step)
        assert all(torch.equal(a, b) for a, b in zip(one[1:], straight[1:], strict=True))
        left = torch.tensor(
            [[[list(reversed(r)) for r in p[0]]] for p in straight[0].tolist()]
        )
        same = (one[0] == straight[0]).flatten(1).all(1)
        mirrored = (one[0] == left).flatten(1).all(1)
        assert (same ^ mirrored).all() and abs(int(mirrored.sum()) - 250) <= 5 * 125**0.5
        assert torch.equal(one[0], trainer.draw(step)[0])
    assert not torch.equal(
        mirrored, (trainer.draw(1)[0] != plain.draw(1)[0]).any((1, 2, 3))
    )
    whole = torch.cat(
        [
            trainer.batches.take(trainer.batches.numbers(1), p)[0]
            for p in trainer._microbatches()
        ]
    )
    assert torch.equal(whole, trainer.draw(1)[0])


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_labels_belong_to_their_pictures_and_some_are_dropped(share):
    n = 2000
    y = torch.arange(n) % 3
    pictures = (y.float() / 4)[:, None, None, None].expand(n, 1, 4, 4).contiguous()
    trainer = make(pictures, tiny(classes=3), y=y, drop_label=share, batch_size=n)
    dropped = []
    for step in (1, 2):
        x_0, label = trainer.draw(step)[0], trainer.labels(step)
        assert label.dtype == torch.int64 and label.shape == (n,)
        dropped.append(label == 3)
        kept = ~dropped[-1]
        assert torch.equal(4 * x_0[kept, 0, 0, 0], label[kept].float())
        spread = (n * share * (1 - share)) ** 0.5
        assert abs(int(dropped[-1].sum()) - n * share) <= 5 * spread
        assert torch.equal(trainer.labels(step), label)
    assert share in (0, 1) or not torch.equal(*dropped)
    assert make().labels(1) is None


def test_the_network_sees_these_labels():
    trainer = make(
        bytes_of(9, 1, 4, 4), tiny(classes=3), y=torch.arange(9) % 3, drop_label=0.5
    )
    seen = []
    hook = trainer.model.class_embedding.register_forward_hook(
        lambda module, inputs, output: seen.append(inputs[0])
    )
    record = trainer.update()
    hook.remove()
    assert torch.equal(torch.cat(seen), trainer.labels(1))
    assert {0, 1, 2, 3} == set(trainer.labels(1).tolist())
    fresh = make(
        bytes_of(9, 1, 4, 4), tiny(classes=3), y=torch.arange(9) % 3, drop_label=0.5
    )
    other = fresh.losses(*fresh.draw(1), torch.zeros(16).long())
    assert not torch.allclose(record.losses, other)


def test_dropout_is_a_function_of_seed_and_step():
    def masks(seed=0):
        config = TrainConfig(**QUICK, seed=seed)
        trainer = Trainer(tiny(dropout=0.5), SHORT, bytes_of(9, 1, 4, 4), config)
        found = []
        for module in trainer.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.register_forward_hook(
                    lambda module, inputs, output: found.append(output == 0)
                )
        trainer.update()
        one = found.copy()
        torch.rand(5)  # what others draw does not matter
        trainer.update()
        return one, found[len(one) :]

    (one, two), (again, _), (other, _) = masks(), masks(), masks(1)
    assert 0.4 < torch.cat([m.flatten() for m in one]).double().mean() < 0.6
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_an_update_leaves_torch_s_own_random_numbers_alone():
    trainer = make(bytes_of(9, 1, 4, 4), tiny(dropout=0.5), flip=True)
    before = torch.get_rng_state()
    trainer.update()
    assert torch.equal(before, torch.get_rng_state())


# --- what another process needs to go on


def moved(trainer, **settings):
    r"""A new trainer that goes on where this one is, by way of plain values."""
    tensors, numbers = trainer.state()
    average = {k: v.clone() for k, v in trainer.ema.model.state_dict().items()}
    tensors = {k: v.clone() for k, v in tensors.items()}
    new = make(trainer.data, model=MLP(T=10, width=8, depth=2), **settings)
    new.restore(average, tensors, numbers)
    return new


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("n", [0, 1, 4])
def test_state_and_restore(n, fast):
    straight, stopped = make(fast=fast), make(fast=fast)
    list(stopped.run(n))
    resumed = moved(stopped, fast=fast)
    assert resumed.step == n
    for one, other in zip(
        straight.run(n + 3), [None] * n + list(resumed.run(3)), strict=True
    ):
        assert other is None or torch.equal(one.losses, other.losses)
    for a, b in zip(straight.state()[0].values(), resumed.state()[0].values(), strict=True):
        assert torch.equal(a, b)
    assert straight.state()[1] == resumed.state()[1]
    assert torch.equal(weights(straight.ema.model), weights(resumed.ema.model))


def test_restore_between_fast_and_plain():
    trainer = make(fast=True)
    list(trainer.run(2))
    plain = moved(trainer, fast=False)
    close(plain.update().losses, trainer.update().losses, rtol=1e-5)


def test_restore_refuses_what_does_not_fit():
    trainer = make()
    trainer.update()
    tensors, numbers = trainer.state()
    average = trainer.ema.model.state_dict()
    with pytest.raises(ValueError, match=r"trained on other data \(as many examples"):
        make(seed=1).restore(average, tensors, numbers)
    with pytest.raises(
        ValueError, match=r"of another network: \S+ is \(8, 2\) there and"
    ) as error:
        make(model=MLP(T=10, width=4, depth=2)).restore(average, tensors, numbers)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (dict(flip=True), ValueError, r"flip mirrors pictures .* got \(50, 2\)"),
        (dict(drop_label=0.1), ValueError, "drop_label replaces labels, but there are no"),
        (dict(y=torch.zeros(50).long()), ValueError, "labels y, but the network has no"),
        (dict(y=torch.full((9,), 4)), ValueError, r"labels y must lie in 0\.\.2"),
        (dict(y=torch.zeros(8).long()), ValueError, r"y must have shape \(9,\), got \(8,"),
        (dict(y=torch.zeros(9)), TypeError, "y must be an int64 tensor"),
    ],
)
def test_settings_and_labels_that_do_not_fit(given, error, message):
    pictures = "y" in given and len(given["y"]) < 50
    data, model = (bytes_of(9, 1, 4, 4), tiny(classes=3)) if pictures else (None, None)
    with pytest.raises(error, match=message):
        make(data, model, **given)


def test_grey_levels_that_the_data_does_not_have():
    with pytest.raises(ValueError, match=r"grey levels 0\.\.16, got up to 255"):
        make(torch.full((9, 1, 4, 4), 255, dtype=torch.uint8), tiny(), levels=17)


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
        (torch.zeros(5), ValueError, r"\(N, \*shape\), N >= 1, got \(5,\)"),
        (torch.zeros(5, 2).long(), TypeError, r"floating point .* got torch.int64"),
        ([[0.0, 1.0]], TypeError, r"floating point .* got list"),
    ],
)
def test_bad_data(data, error, message):
    with pytest.raises(error, match=message) as caught:
        make(data=data)
    assert "\n" not in str(caught.value)


def test_a_model_that_does_not_say_what_it_predicts():
    with pytest.raises(ValueError, match="Linear does not say what it predicts: add"):
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
        ("accumulate", 0),
        ("drop_label", 1.5),
        ("log_every", 0),
        ("save_every", 0),
        ("sample_every", -1),
        ("keep", 0),
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
    paper = dict(
        steps=800_000,
        batch_size=128,
        lr=2e-4,
        warmup_steps=5000,
        lr_schedule="constant",
        grad_clip=1.0,
        ema_decay=0.9999,
        antithetic=False,
        drop_label=0.0,
        seed=0,
    )
    assert config.as_dict() | paper == config.as_dict()
    assert TrainConfig(**config.as_dict()) == config
    with pytest.raises(AttributeError):
        config.lr = 1.0
