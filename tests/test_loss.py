r"""The objectives: against probability distributions, 50-digit arithmetic and a bound
that is known exactly."""

import math

import pytest
import torch
from helpers import (
    EXACT,
    SAMPLE_SHAPES,
    Constant,
    batches,
    close,
    f64,
    normal,
    some_schedules,
)
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from ddpm_lite import GaussianOracle, Schedule, q_sample, simple_loss, v_from_x_0, vlb_terms
from ddpm_lite.loss import decoder_nll, gaussian_kl, prior_kl

SCHEDULES = some_schedules()
LINEAR = SCHEDULES["linear"]

# --- the simple loss


@given(batches())
def test_the_right_answer_costs_nothing(batch):
    schedule, t, shape = batch
    x_0, noise = normal(*shape), normal(*shape, seed=1)
    v = v_from_x_0(schedule, q_sample(schedule, x_0, t, noise), t, x_0)
    answers = dict(noise=noise, x_0=x_0, v=v, flow=noise - x_0)
    for prediction, answer in answers.items():
        model = lambda x, t, answer=answer: answer  # noqa: E731
        losses = simple_loss(model, schedule, x_0, t, noise, prediction=prediction)
        assert losses.shape == (len(t),) and (losses == 0).all()


@given(batches())
def test_loss_is_the_mean_square_of_the_error(batch):
    schedule, t, shape = batch
    x_0, noise = normal(*shape), normal(*shape, seed=1)
    a = schedule.alpha_bar[t].sqrt().reshape(-1, *[1] * (len(shape) - 1))
    s = schedule.one_minus_alpha_bar[t].sqrt().reshape(a.shape)
    targets = dict(noise=noise, x_0=x_0, v=a * noise - s * x_0, flow=noise - x_0)
    for prediction, target in targets.items():
        losses = simple_loss(Constant(0.5, prediction), schedule, x_0, t, noise)
        by_hand = [
            ((target[i] - 0.5) ** 2).sum() / target[i].numel() for i in range(len(t))
        ]
        close(losses, torch.stack(by_hand), rtol=1e-9)


def test_the_model_is_asked_about_x_t_and_told_t_and_y():
    t, x_0, noise = torch.tensor([1, 1000]), normal(2, 2), normal(2, 2, seed=1)
    asked = []

    def model(x_t, t, y):
        asked.append((x_t, t, y))
        return x_t

    simple_loss(model, LINEAR, x_0, t, noise, y="label", prediction="noise")
    close(asked[0][0], q_sample(LINEAR, x_0, t, noise), rtol=0)
    assert torch.equal(asked[0][1], t) and asked[0][2] == "label"


def test_loss_of_the_exact_denoiser_is_its_posterior_variance():
    # E|noise - E[noise | x_t]|^2 = (a / s)^2 Var(x_0 | x_t), the floor of any network
    oracle, t = GaussianOracle(LINEAR, [0.7, 0.7], 0.09), torch.full((50_000,), 300)
    x_0 = 0.7 + 0.3 * normal(50_000, 2)
    losses = simple_loss(oracle, LINEAR, x_0, t, normal(50_000, 2, seed=1))
    a2, left = LINEAR.alpha_bar[300], LINEAR.one_minus_alpha_bar[300]
    floor = a2 / left * (1 / (1 / 0.09 + a2 / left))
    assert (losses.mean() - floor).abs() <= 5 * losses.std() / 50_000**0.5


def test_loss_dtype_and_gradient():
    t, weight = torch.tensor([3, 4]), torch.ones(1, requires_grad=True)
    model = lambda x, t: weight * x  # noqa: E731
    for dtype, expected in [
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ]:
        x_0 = normal(2, 2).to(dtype)
        losses = simple_loss(model, LINEAR, x_0, t, x_0, prediction="noise")
        assert losses.dtype == expected
    losses.sum().backward()
    assert weight.grad.abs() > 0


def test_simple_loss_refuses():
    x_0, t = normal(3, 2), torch.tensor([1, 2, 3])
    model = Constant(0.0)
    with pytest.raises(ValueError, match=r"x_0 and noise .* \(3, 2\) and \(1, 2\)"):
        simple_loss(model, LINEAR, x_0, t, normal(1, 2))
    with pytest.raises(ValueError, match=r"x_t and model_output .* \(3, 2\) and \(3, 1\)"):
        simple_loss(lambda x, t: x[:, :1], LINEAR, x_0, t, x_0, prediction="noise")
    with pytest.raises(ValueError, match=r"t must lie in 1\.\.1000, got values from 0"):
        simple_loss(model, LINEAR, x_0, t - 1, x_0)
    with pytest.raises(TypeError, match=r"int64"):
        simple_loss(model, LINEAR, x_0, t.float(), x_0)
    with pytest.raises(ValueError, match=r"prediction must be one of .* got None"):
        simple_loss(lambda x, t: x, LINEAR, x_0, t, x_0)
    with pytest.raises(ValueError, match=r"prediction must be one of .* got 'eps'"):
        simple_loss(lambda x, t: x, LINEAR, x_0, t, x_0, prediction="eps")
    with pytest.raises(ValueError, match=r"model predicts 'noise', but prediction='v'"):
        simple_loss(model, LINEAR, x_0, t, x_0, prediction="v")


# --- the divergence of two Gaussians


@given(st.floats(-3, 3), st.floats(0.01, 9), st.floats(-3, 3), st.floats(0.01, 9))
def test_gaussian_kl_is_that_of_torch_and_of_fifty_digits(m, v, n, w):
    kl = gaussian_kl(*(f64([x]) for x in (m, v, n, w)))
    p, q = (Normal(f64(a), b**0.5) for a, b in ((m, v), (n, w)))
    close(kl[0], kl_divergence(p, q), atol=1e-12)
    m, v, n, w = (EXACT.mpf(x) for x in (m, v, n, w))
    exact = (v / w - 1 + EXACT.log(w / v) + (m - n) ** 2 / w) / 2
    assert abs(float(exact) - float(kl)) <= 1e-12 * max(1e-3, float(exact))
    assert kl >= -1e-16


def test_gaussian_kl_is_an_expectation():
    numbers = [f64(x) for x in (0.4, 0.5, -0.2, 1.5)]
    p, q = Normal(numbers[0], numbers[1] ** 0.5), Normal(numbers[2], numbers[3] ** 0.5)
    x = 0.4 + 0.5**0.5 * normal(100_000)
    draws = p.log_prob(x) - q.log_prob(x)
    error = 5 * draws.std() / 100_000**0.5
    assert (draws.mean() - gaussian_kl(*numbers)).abs() <= error
    assert (draws.mean() - gaussian_kl(*numbers[2:], *numbers[:2])).abs() > 4 * error


def test_equal_variances_leave_equation_8():
    mean, other, variance = normal(4), normal(4, seed=1), normal(4, seed=2).abs()
    kl = gaussian_kl(mean, variance, other, variance)
    close(kl, (mean - other) ** 2 / (2 * variance))


@given(batches())
def test_prior_kl(batch):
    schedule, _, shape = batch
    x_0, T = normal(*shape), schedule.T
    p = Normal(schedule.alpha_bar[T].sqrt() * x_0, schedule.one_minus_alpha_bar[T].sqrt())
    kl = prior_kl(schedule, x_0)
    close(kl, kl_divergence(p, Normal(0.0, 1.0)), rtol=1e-9, atol=1e-12)
    gap = schedule.prior_gap(float(x_0.square().mean()), warn=False).kl
    close(kl.mean(), gap, rtol=1e-9, atol=1e-12)


# --- the decoder


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("std", [0.004, 0.1, 2.0])
def test_decoder_is_the_normal_law_over_a_bin(levels, std):
    mp, half = EXACT, EXACT.mpf(1) / (levels - 1)
    for k in {0, 1, levels // 2, levels - 2, levels - 1}:
        for mean in (-1.5, -0.3, 0.9, 4.0):
            x = -1 + 2 * k / (levels - 1)
            low = (x - half - mean) / std if k else -mp.inf
            high = (x + half - mean) / std if k < levels - 1 else mp.inf
            if low > 0:  # the same area in the lower tail, where no digit is lost
                low, high = -high, -low
            area = mp.ncdf(high) - mp.ncdf(low)
            variance = f64([[std**2]])
            nll = decoder_nll(f64([[x]]), mean, variance, levels)
            close(nll[0, 0], float(-mp.log(area)), rtol=1e-9, atol=1e-12)


@given(st.sampled_from([2, 17, 256]), st.floats(-1.5, 1.5), st.floats(0.01, 3))
def test_probabilities_of_all_levels_sum_to_one(levels, mean, std):
    x_0 = torch.linspace(-1, 1, levels, dtype=torch.float64)[:, None]
    nll = decoder_nll(x_0, torch.tensor(mean), f64(std**2), levels)
    close((-nll).exp().sum(), 1.0, rtol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_decoder_is_finite_in_the_far_tail(dtype):
    x_0 = torch.linspace(-1, 1, 256, dtype=dtype)[:, None]
    for mean in (-50.0, 50.0):
        nll = decoder_nll(x_0, torch.tensor(mean), torch.tensor(1e-4, dtype=dtype), 256)
        assert torch.isfinite(nll).all() and (nll[1:-1] > 1e5).all()


def test_decoder_without_levels_is_a_density():
    x_0, mean, variance = normal(3, 2), normal(3, 2, seed=1), f64(0.3)
    exact = -Normal(mean, variance.sqrt()).log_prob(x_0)
    close(decoder_nll(x_0, mean, variance), exact)


# --- the whole bound


def bent(x_t, t):
    r"""A denoiser that is wrong in its own way at every t."""
    return torch.tanh(x_t) + 0.01 * t.reshape(-1, *[1] * (x_t.dim() - 1))


@pytest.mark.parametrize("sample_shape", SAMPLE_SHAPES)
@pytest.mark.parametrize("variance", ["small", "large"])
def test_terms_one_by_one(variance, sample_shape):
    # every term from torch's distributions, the posterior from adding precisions
    schedule = SCHEDULES["cosine-10"]
    T, ab = schedule.T, schedule.alpha_bar
    x_0, noise = normal(3, *sample_shape).clamp(-1, 1), normal(T, 3, *sample_shape, seed=1)
    bound = vlb_terms(bent, schedule, x_0, noise, variance=variance, prediction="noise")
    assert bound.prior.shape == (3,) and bound.steps.shape == (T + 1, 3)
    assert (bound.steps[0] == 0).all()
    for t in range(1, T + 1):
        x_t = ab[t].sqrt() * x_0 + (1 - ab[t]).sqrt() * noise[t - 1]
        pred = (x_t - (1 - ab[t]).sqrt() * bent(x_t, torch.full((3,), t))) / ab[t].sqrt()
        if t == 1:
            both = 1 / (1 / (1 - ab[1]) + schedule.alpha[2] / schedule.beta[2])
            term = -Normal(pred, both.sqrt()).log_prob(x_0)
        else:
            precision = 1 / (1 - ab[t - 1]), schedule.alpha[t] / schedule.beta[t]
            left = 1 / sum(precision)
            means = [
                left
                * (
                    precision[0] * ab[t - 1].sqrt() * x
                    + precision[1] * x_t / schedule.alpha[t].sqrt()
                )
                for x in (x_0, pred)
            ]
            own = left if variance == "small" else schedule.beta[t]
            term = kl_divergence(
                Normal(means[0], left.sqrt()), Normal(means[1], own.sqrt())
            )
        close(bound.steps[t], term.flatten(1).mean(1), rtol=1e-9)
    close(bound.nats, bound.prior + bound.steps.sum(0))
    close(bound.bits * math.log(2), bound.nats)


@pytest.mark.parametrize("mean", [0.0, 0.7])
@pytest.mark.parametrize("name", ["cosine", "lecture", "cosine-10", "linear-1"])
def test_bound_of_the_exact_reverse_chain_is_the_entropy(name, mean):
    # With the true mean and variance of q(x_{t-1} | x_t), which is Gaussian for Gaussian
    # data, the bound is E[-log q(x_0)] + KL(q(x_T) || N(0, 1)). Each term is quadratic in
    # x_0 and noise, so an average over x_0 = m +- 0.3, noise = +-1 is the expectation.
    schedule = SCHEDULES[name]
    oracle = GaussianOracle(schedule, [mean], 0.09)
    x_0 = mean + 0.3 * f64([[1.0], [1.0], [-1.0], [-1.0]])
    noise = f64([[1.0], [-1.0], [1.0], [-1.0]])
    bound = vlb_terms(
        oracle,
        schedule,
        x_0,
        (noise for _ in range(schedule.T)),
        variance=oracle.reverse_variance,
    )
    entropy = Normal(0.0, f64(0.3)).entropy()
    a2 = schedule.alpha_bar[-1]
    end = Normal(a2.sqrt() * mean, (a2 * 0.09 + schedule.one_minus_alpha_bar[-1]).sqrt())
    start = kl_divergence(end, Normal(torch.zeros(()).double(), 1.0))
    close(bound.nats.mean(), entropy + start, rtol=1e-10)
    if schedule.T > 1:
        named = vlb_terms(oracle, schedule, x_0, [noise] * schedule.T, variance="large")
        assert named.nats.mean() > bound.nats.mean() + 1e-6


def test_a_bound_of_one_step_uses_beta():
    schedule = SCHEDULES["linear-1"]
    x_0, noise = normal(2, 2), normal(1, 2, 2, seed=1)
    for variance in ("small", "large"):
        bound = vlb_terms(Constant(0.0, "x_0"), schedule, x_0, noise, variance=variance)
        exact = -Normal(0.0, schedule.beta[1].sqrt()).log_prob(x_0)
        close(bound.steps[1], exact.mean(1))


def test_levels_clip_and_y_reach_the_terms():
    schedule, x_0 = SCHEDULES["cosine-10"], f64([[-1.0, 0.125, 1.0]])
    noise = normal(10, 1, 3)
    far = Constant(5.0, "x_0")
    clipped = vlb_terms(far, schedule, x_0, noise, levels=17, clip=(-1, 1))
    one = vlb_terms(Constant(1.0, "x_0"), schedule, x_0, noise, levels=17)
    close(clipped.nats, one.nats)
    assert far.calls == 10
    variance = schedule.posterior_variance[2]
    nll = decoder_nll(x_0, torch.ones(1, 3).double(), variance, 17)
    close(one.steps[1], nll.mean(1), rtol=1e-10)
    assert not torch.allclose(vlb_terms(far, schedule, x_0, noise).nats, one.nats)
    answer = lambda x, t, y: y.expand_as(x)  # noqa: E731
    given = vlb_terms(answer, schedule, x_0, noise, y=torch.ones(1), prediction="x_0")
    close(given.nats, vlb_terms(Constant(1.0, "x_0"), schedule, x_0, noise).nats)


def test_bound_at_zero_terminal_snr():
    schedule, x_0 = SCHEDULES["zero-snr"], normal(2, 2)
    noise = normal(4, 2, 2, seed=1)
    with pytest.raises(ValueError, match=r"x_0_from_noise divides .* 0 at t = 4"):
        vlb_terms(Constant(0.0), schedule, x_0, noise)
    bound = vlb_terms(Constant(0.0, "v"), schedule, x_0, noise)
    assert torch.isfinite(bound.nats).all() and (bound.prior == 0).all()


def test_bound_dtype():
    schedule, noise = SCHEDULES["cosine-10"], normal(10, 2, 2)
    for dtype in (torch.float32, torch.float64):
        bound = vlb_terms(
            bent, schedule, normal(2, 2).to(dtype), noise.to(dtype), prediction="noise"
        )
        assert bound.nats.dtype == bound.steps.dtype == dtype


def test_bound_refuses():
    schedule, x_0 = SCHEDULES["cosine-10"], f64([[-1.0, 0.125]])
    model, noise = Constant(0.0), normal(10, 1, 2)
    for wrong in (noise[:9], [*noise, noise[0]], []):
        with pytest.raises(ValueError, match="one entry for each of the 10 steps"):
            vlb_terms(model, schedule, x_0, wrong)
    with pytest.raises(ValueError, match=r"x_0 and noise .* \(1, 2\) and \(2, 2\)"):
        vlb_terms(model, schedule, x_0, normal(10, 2, 2))
    with pytest.raises(ValueError, match=r"x_0 must be finite, but example 0 has NaN"):
        vlb_terms(model, schedule, x_0 * math.nan, noise)
    with pytest.raises(
        ValueError, match=r"variance must be one of small, large, got 'mid'"
    ):
        vlb_terms(model, schedule, x_0, noise, variance="mid")
    for levels in (1, True, 17.0):
        with pytest.raises(
            ValueError, match=r"levels must be an integer >= 2 or None, got"
        ):
            vlb_terms(model, schedule, x_0, noise, levels=levels)
    for bad in (x_0 * 1.1, x_0 + 0.01, x_0 * 255):
        with pytest.raises(ValueError, match=r"17 equally spaced grey levels in \[-1, 1\]"):
            vlb_terms(model, schedule, bad, noise, levels=17)


def test_a_shorter_chain_is_a_looser_bound():
    # more steps never hurt the exact mean with a fixed variance: a check of direction
    values = []
    for T in (10, 100):
        schedule = Schedule.cosine(T)
        oracle = GaussianOracle(schedule, [0.0], 1.0)
        x_0, noise = f64([[1.0]]), [f64([[1.0]])] * T
        values.append(float(vlb_terms(oracle, schedule, x_0, noise).nats))
    assert math.isfinite(values[0]) and values[0] > values[1]
