r"""Learned variance: the interpolation, the hybrid loss, and sampling with it."""

import math

import pytest
import torch
from helpers import close, f64, normal, some_schedules
from hypothesis import given
from hypothesis import strategies as st

from ddpm_lite import q_sample, sample, sample_path, simple_loss, vlb_terms
from ddpm_lite.checks import PREDICTIONS
from ddpm_lite.loss import decoder_nll
from ddpm_lite.process import (
    interpolated_variance,
    predict_both,
    reverse_variance,
    transition,
)
from ddpm_lite.schedule import Schedule, spread
from ddpm_lite.training.hybrid import hybrid_loss

SCHEDULES = {k: v for k, v in some_schedules().items() if k != "zero-snr"}
EVERY_SCHEDULE = pytest.mark.parametrize("name", SCHEDULES)
GREY = [k / 8 - 1 for k in range(17)]


class Learned:
    r"""A denoiser with learned variance: a line in x_t, and v at a distance of its own."""

    learned_variance = True

    def __init__(self, v=None, prediction="noise", dtype=torch.float64):
        self.prediction, self.v = prediction, v
        self.weight = torch.tensor([0.3, -0.2, 0.4, 0.1], dtype=dtype, requires_grad=True)

    def __call__(self, x_t, t):
        a, b, c, d = self.weight
        v = (c * x_t + d).tanh() if self.v is None else torch.full_like(x_t, self.v)
        return torch.cat([a * x_t + b, v.expand_as(x_t)], 1)


class First:
    r"""The same denoiser without its variance."""

    learned_variance = False

    def __init__(self, whole):
        self.whole, self.prediction = whole, whole.prediction

    def __call__(self, x_t, t):
        return self.whole(x_t, t).chunk(2, 1)[0]


def batch(schedule, shape=(3, 2, 2), seed=0):
    r"""Grey pictures for every t of a short schedule, or for some of a long one."""
    t = torch.arange(1, schedule.T + 1)
    if len(t) > 12:
        t = torch.tensor([1, 2, 3, 10, schedule.T // 2, schedule.T - 1, schedule.T])
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(17, (len(t), *shape), generator=generator)
    return f64(GREY)[index], t, normal(len(t), *shape, seed=seed + 1)


# --- Eq. 15


@EVERY_SCHEDULE
def test_the_ends_and_the_middle_of_the_interpolation(name):
    schedule = SCHEDULES[name]
    x, t, _ = batch(schedule)
    for s in (t - 1, t // 2, torch.zeros_like(t)):
        one = torch.ones_like(x)
        large, small = (reverse_variance(schedule, x, t, s, v) for v in ("large", "small"))
        here = (s > 0).nonzero().flatten()  # at s = 0 neither adds noise, see below
        high = interpolated_variance(schedule, one, t, s)
        low = interpolated_variance(schedule, -one, t, s)
        assert high.shape == low.shape == x.shape and high.dtype == torch.float64
        close(high[here], large.expand_as(x)[here], rtol=1e-11)
        close(low[here], small.expand_as(x)[here], rtol=1e-11)
        middle = interpolated_variance(schedule, 0 * one, t, s)
        close(middle[here], (large * small).sqrt().expand_as(x)[here], rtol=1e-11)
        close(middle, (high * low).sqrt(), rtol=1e-11)


@given(st.floats(-1, 1), st.integers(2, 1000), st.data())
def test_every_v_is_a_weighted_geometric_mean(v, t, data):
    schedule = SCHEDULES["cosine"]
    s = data.draw(st.integers(1, t - 1))
    beta, alpha_bar = schedule.beta, schedule.alpha_bar
    large = 1 - math.prod(1 - float(b) for b in beta[s + 1 : t + 1])  # of the jump
    small = large * float(schedule.one_minus_alpha_bar[s] / schedule.one_minus_alpha_bar[t])
    expected = large ** ((1 + v) / 2) * small ** ((1 - v) / 2)
    t, s = torch.tensor([t]), torch.tensor([s])
    actual = interpolated_variance(schedule, f64([[v]]), t, s)
    assert float(actual) == pytest.approx(expected, rel=1e-8)
    assert float(actual) <= 1 - float(alpha_bar[t] / alpha_bar[s]) + 1e-12


@EVERY_SCHEDULE
def test_at_the_last_step_the_second_variance_stands_in(name):
    schedule = SCHEDULES[name]
    t, one = torch.tensor([1]), torch.ones(1, 2, dtype=torch.float64)
    low = interpolated_variance(schedule, -one, t, t - 1)
    high = interpolated_variance(schedule, one, t, t - 1)
    close(high, float(schedule.beta[1]) * one, rtol=1e-11)
    second = schedule.posterior_variance[2] if schedule.T > 1 else schedule.beta[1]
    close(low, min(float(second), float(schedule.beta[1])) * one, rtol=1e-11)
    assert (low > 0).all() and (low <= high * (1 + 1e-12)).all()


# --- Eq. 16


def parts(model, schedule, x_0, t, noise, **options):
    r"""The simple loss, and the term of the bound in nats per dimension."""
    simple = hybrid_loss(model, schedule, x_0, t, noise, weight=0.0, **options)
    whole = hybrid_loss(model, schedule, x_0, t, noise, weight=1.0, **options)
    return simple, (whole - simple) / schedule.T


@pytest.mark.parametrize("prediction", PREDICTIONS)
@EVERY_SCHEDULE
def test_the_first_part_is_the_simple_loss_of_the_first_half(name, prediction):
    schedule = SCHEDULES[name]
    model = Learned(prediction=prediction)
    given = (schedule, *batch(schedule))
    simple, nats = parts(model, *given)
    close(simple, simple_loss(First(model), *given), rtol=1e-12)
    small = hybrid_loss(model, *given)  # lambda = 0.001 of the sum over T terms
    close(small, simple + 1e-3 * schedule.T * nats, rtol=1e-9, atol=1e-12)
    assert small.shape == given[2].shape


@pytest.mark.parametrize("levels", [None, 17])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@EVERY_SCHEDULE
def test_the_second_part_is_the_term_of_the_bound(name, prediction, levels):
    # by way of vlb_terms, which walks all t, with the variance as a function
    schedule = SCHEDULES[name]
    if schedule.T > 12:
        schedule = Schedule.from_beta(schedule.beta[[1, 2, 3, 50, 100]])
    model = Learned(prediction=prediction)
    x_0, t, noise = batch(schedule)

    def variance(x_t, t, s):
        return interpolated_variance(schedule, predict_both(model, x_t, t)[1], t, s)

    _, nats = parts(model, schedule, x_0, t, noise, levels=levels)
    for i in range(len(t)):
        one = x_0[i : i + 1]
        every = noise[i].expand(schedule.T, 1, *one.shape[1:])
        bound = vlb_terms(model, schedule, one, every, variance=variance, levels=levels)
        close(nats[i], bound.steps[i + 1, 0], rtol=1e-8, atol=1e-10)


def test_the_kl_by_sampling_from_the_posterior():
    # E log q(x_s | x_t, x_0) - log p(x_s | x_t) over draws of x_s, by torch's densities
    schedule = SCHEDULES["uneven"]
    model, t = Learned(), torch.tensor([4])
    x_0, noise = f64(GREY)[None, ::4], normal(1, 5, seed=3)
    nats = parts(model, schedule, x_0, t, noise)[1].detach()
    x_t = q_sample(schedule, x_0, t, noise)
    a, b, c, d = model.weight.detach()
    alpha_bar, beta = float(schedule.alpha_bar[4]), float(schedule.beta[4])
    before = float(schedule.alpha_bar[3])
    small = beta * (1 - before) / (1 - alpha_bar)

    def mean(x_0):
        share = before**0.5 * beta * x_0 + (1 - beta) ** 0.5 * (1 - before) * x_t
        return share / (1 - alpha_bar)

    x_0_pred = (x_t - (1 - alpha_bar) ** 0.5 * (a * x_t + b)) / alpha_bar**0.5
    v = (c * x_t + d).tanh()
    variance = (small ** ((1 - v) / 2)) * beta ** ((1 + v) / 2)
    q = torch.distributions.Normal(mean(x_0), small**0.5)
    p = torch.distributions.Normal(mean(x_0_pred), variance.sqrt())
    x_s = mean(x_0) + small**0.5 * normal(200_000, 5, seed=4)
    draws = (q.log_prob(x_s) - p.log_prob(x_s)).mean(1)
    assert abs(float(draws.mean() - nats)) < 5 * float(draws.std()) / len(draws) ** 0.5
    close(nats, torch.distributions.kl_divergence(q, p).mean(1), rtol=1e-10)


@pytest.mark.parametrize("levels", [None, 17])
@EVERY_SCHEDULE
def test_the_bound_teaches_the_variance_alone(name, levels):
    schedule = SCHEDULES[name]
    model = Learned()
    given = (schedule, *batch(schedule))
    simple, nats = parts(model, *given, levels=levels)
    (gradient,) = torch.autograd.grad(nats.sum(), model.weight, retain_graph=True)
    assert torch.isfinite(gradient).all()
    # two sums of some 1e3 terms near 1 are subtracted, each right to 1e-13
    close(gradient[:2], torch.zeros(2).double(), rtol=0, atol=1e-11)
    assert schedule.T == 1 or (gradient[2:] != 0).all()
    (gradient,) = torch.autograd.grad(simple.sum(), model.weight)
    assert (gradient[2:] == 0).all() and (gradient[:2] != 0).all()


def test_the_gradient_of_v_by_differences():
    schedule = SCHEDULES["uneven"]
    model = Learned()
    x_0, t, noise = batch(schedule)
    _, nats = parts(model, schedule, x_0, t, noise, levels=17)
    (gradient,) = torch.autograd.grad(nats.sum(), model.weight)
    for k in (2, 3):
        values = []
        for h in (1e-5, -1e-5):
            other = Learned()
            with torch.no_grad():
                other.weight[k] += h
            found = parts(other, schedule, x_0, t, noise, levels=17)[1]
            values.append(float(found.detach().sum()))
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(float(gradient[k]), rel=1e-5)


@pytest.mark.parametrize("levels", [None, 256])
@pytest.mark.parametrize("name", ["linear", "cosine", "linear-1", "cosine-10"])
def test_loss_and_gradient_are_finite_for_a_bad_network(name, levels):
    schedule = SCHEDULES[name]
    t = torch.tensor([1, 1, schedule.T, schedule.T])
    x_0 = torch.tensor([-1.0, 1.0, -1.0, 1.0])[:, None].expand(4, 6)
    noise = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    for size in (0.0, 1.0, 30.0):
        model = Learned(dtype=torch.float32)
        with torch.no_grad():
            model.weight.copy_(size * torch.tensor([1.0, -1.0, 1.0, -1.0]))
        loss = hybrid_loss(model, schedule, x_0, t, noise, levels=levels)
        assert loss.dtype == torch.float32 and torch.isfinite(loss).all()
        loss.sum().backward()
        assert torch.isfinite(model.weight.grad).all()


def test_the_best_v_is_the_one_whose_variance_is_right():
    # a network that knows x_0 makes no error, so that the small variance is exact
    schedule = SCHEDULES["uneven"]
    x_0, t, noise = batch(schedule)
    later = t > 1

    def nats(v):
        class Knows(Learned):
            def __call__(self, x_t, t):
                return torch.cat([x_0, torch.full_like(x_0, v)], 1)

        return parts(Knows(prediction="x_0"), schedule, x_0, t, noise)[1][later]

    close(nats(-1.0), torch.zeros(int(later.sum())).double(), atol=1e-12)
    assert (nats(0.0) > 0).all() and (nats(1.0) > nats(0.0)).all()


def test_the_decoder_s_levels_matter_at_t_1_alone():
    schedule = SCHEDULES["cosine-10"]
    x_0, t, noise = batch(schedule)
    grey, density = (
        parts(Learned(), schedule, x_0, t, noise, levels=levels)[1] for levels in (17, None)
    )
    assert torch.equal(grey[t > 1], density[t > 1])
    assert (grey[t == 1] > 0).all() and not torch.allclose(grey[t == 1], density[t == 1])
    first = t == 1
    x_t = q_sample(schedule, x_0[first], t[first], noise[first])
    value, v = predict_both(Learned(), x_t, t[first])
    variance = interpolated_variance(schedule, v, t[first], t[first] - 1)
    a, s = (
        spread(table[t[first]].sqrt(), x_t)
        for table in (schedule.alpha_bar, schedule.one_minus_alpha_bar)
    )
    x_0_pred = (x_t - s * value) / a  # the mean of x_0 at the last step is x_0_pred
    exact = decoder_nll(x_0[first], x_0_pred, variance, 17).flatten(1).mean(1)
    close(grey[first], exact, rtol=1e-10)


# --- sampling


@pytest.mark.parametrize("steps", [None, 4])
@pytest.mark.parametrize(("v", "name"), [(1.0, "large"), (-1.0, "small")])
def test_sampling_at_the_ends_is_the_ancestral_chain(v, name, steps):
    schedule = SCHEDULES["cosine-10"]
    model, shape = Learned(v), (3, 2, 2)
    options = dict(steps=steps, progress=False, seed=1, dtype=torch.float64)
    given = (model, schedule, shape)
    learned = sample(*given, **options)
    fixed = sample(First(model), schedule, shape, variance=name, **options)
    close(learned, fixed, rtol=1e-9, atol=1e-11)
    other = {"large": "small", "small": "large"}[name]
    wrong = sample(First(model), schedule, shape, variance=other, **options)
    assert (learned - wrong).abs().max() > 1e-2

    def variance(x_t, t, s):
        return interpolated_variance(schedule, torch.full_like(x_t, v), t, s) * spread(
            s > 0, x_t
        )

    assert torch.equal(learned, sample(*given, variance=variance, **options))
    assert torch.equal(fixed, sample(*given, variance=name, **options))  # if asked for


def test_the_variance_of_a_sample_is_that_of_v():
    # one jump from T to s = 5 by hand, many dimensions, v between the ends
    schedule, n = SCHEDULES["cosine-10"], 40_000
    t, s = torch.tensor([10]), torch.tensor([5])
    model = Learned(0.3)
    states = sample_path(
        model,
        schedule,
        (1, n),
        pairs=[(10, 5), (5, 0)],
        x_T=torch.zeros(1, n),
        dtype=torch.float64,
    )
    next(states)
    x_s = next(states).x_t
    large = float(transition(schedule, t, s)[0])
    share = float(schedule.one_minus_alpha_bar[5] / schedule.one_minus_alpha_bar[10])
    expected = large * share ** ((1 - 0.3) / 2)
    assert abs(float(x_s.var()) / expected - 1) < 5 * (2 / n) ** 0.5
    assert sample(model, schedule, (2, 1), sampler="ddim", progress=False).shape == (2, 1)


def test_ddim_does_not_look_at_the_variance():
    schedule, options = SCHEDULES["cosine-10"], dict(sampler="ddim", progress=False)
    one, other = (sample(Learned(v), schedule, (2, 3), **options) for v in (-1.0, 1.0))
    assert torch.equal(one, other)


def test_an_answer_of_the_wrong_shape():
    schedule = SCHEDULES["cosine-10"]
    x_0, t, noise = batch(schedule)

    class Half(Learned):
        def __call__(self, x_t, t):
            return x_t

    with pytest.raises(ValueError, match=r"x_t and .*output must have the same shape"):
        hybrid_loss(Half(), schedule, x_0, t, noise)
