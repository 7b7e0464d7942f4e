r"""Inpainting, strength and interpolation, on a Gaussian whose chains have a known law."""

from functools import partial

import numpy as np
import pytest
import torch

from ddpm_lite import GaussianOracle, Schedule, q_sample
from ddpm_lite.sampling import inpaint, interpolate, vary
from ddpm_lite.sampling.editing import _noise, start_at
from ddpm_lite.sampling.sampler import ancestral_step, ddim_step
from ddpm_lite.sampling.solvers import dpmpp_2m_step, heun_step
from ddpm_lite.seeds import SampleNoise

RHO, KNOWN = 0.9, 1.5
EXACT = RHO * KNOWN, (1 - RHO**2) ** 0.5  # mean and deviation of the unknown half
COVARIANCE = torch.tensor([[1.0, RHO], [RHO, 1.0]], dtype=torch.float64)


def oracle(schedule):
    return GaussianOracle(schedule, torch.zeros(2, dtype=torch.float64), COVARIANCE)


def law_by_hand(schedule, resample):
    r"""Mean and deviation of the unknown half after replacement, by a recursion of 2 x 2.

    Every step is linear in (known, unknown), so mean and covariance say all. The small
    variance, exact x_0 predictions.
    """
    a2, C = schedule.alpha_bar.numpy(), COVARIANCE.numpy()
    mean, cov = np.zeros(2), np.eye(2)
    for t in range(schedule.T, 0, -1):
        alpha, beta = a2[t] / a2[t - 1], 1 - a2[t] / a2[t - 1]
        s2, s2_prev = 1 - a2[t], 1 - a2[t - 1]
        denoiser = np.sqrt(a2[t]) * C @ np.linalg.inv(a2[t] * C + s2 * np.eye(2))
        step = np.sqrt(a2[t - 1]) * beta / s2 * denoiser
        step = step + np.sqrt(alpha) * s2_prev / s2 * np.eye(2)
        for n in range(resample):
            if n > 0:
                mean, cov = np.sqrt(alpha) * mean, alpha * cov + beta * np.eye(2)
            mean = step @ mean
            cov = step @ cov @ step.T + beta * s2_prev / s2 * np.eye(2)
            mean = np.array([np.sqrt(a2[t - 1]) * KNOWN, mean[1]])
            cov = np.diag([s2_prev, cov[1, 1]])  # the new known part is independent
    return mean[1], np.sqrt(cov[1, 1])


def filled(schedule, n, **options):
    x_0 = torch.tensor([[KNOWN, 99.0]], dtype=torch.float64).expand(n, 2)
    known = torch.tensor([True, False])
    return inpaint(oracle(schedule), schedule, x_0, known, progress=False, **options)


@pytest.mark.parametrize("resample", [1, 4])
def test_inpainting_draws_the_law_of_its_recursion(resample):
    schedule, n = Schedule.cosine(50), 4000
    drawn = filled(schedule, n, resample=resample)
    mean, deviation = law_by_hand(schedule, resample)
    assert (drawn[:, 0] == KNOWN).all()
    assert abs(float(drawn[:, 1].mean()) - mean) < 5 * deviation / n**0.5
    assert abs(float(drawn[:, 1].std()) - deviation) < 5 * deviation / (2 * n) ** 0.5


def test_replacement_is_not_the_conditional_law_and_resampling_comes_nearer():
    schedule = Schedule.linear()
    mean, deviation = law_by_hand(schedule, 1)
    assert mean == pytest.approx(0.938, abs=1e-3)
    assert deviation == pytest.approx(0.555, abs=1e-3)
    errors = [
        [abs(a - b) for a, b in zip(law_by_hand(schedule, n), EXACT, strict=True)]
        for n in (1, 5, 20)
    ]
    assert errors == sorted(errors, reverse=True) and errors[2][0] < 0.02


def test_inpainting_takes_other_steps_and_pictures():
    torch.manual_seed(0)
    schedule, x_0 = Schedule.cosine(10), torch.randn(2, 3, 4, 4)
    known = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    known[..., :2] = True

    def model(x_t, t):
        return torch.zeros_like(x_t)

    options = dict(prediction="x_0", steps=5, progress=False)
    before = x_0.clone()
    a = inpaint(model, schedule, x_0, known, step=partial(ddim_step, eta=0.5), **options)
    assert torch.equal(a[..., :2], x_0[..., :2]) and torch.equal(x_0, before)
    assert (a[..., 2:] == 0).all()  # what the model says; the last step adds no noise
    b = inpaint(model, schedule, x_0, ~known, seed=[3, 4], resample=2, **options)
    assert torch.equal(b[..., 2:], x_0[..., 2:])


def test_a_sample_of_inpainting_depends_on_its_own_seed_alone():
    schedule = Schedule.cosine(10)
    both, one = filled(schedule, 2, seed=[7, 8]), filled(schedule, 1, seed=[8])
    torch.testing.assert_close(both[1:], one)
    assert not torch.equal(both[0], both[1])


@pytest.mark.parametrize(("strength", "t"), [(1, 50), (0.5, 25), (0.51, 26), (0.02, 1)])
def test_strength_is_the_share_of_the_chain(strength, t):
    assert start_at(Schedule.cosine(50), strength) == t


def test_varying_keeps_as_much_of_the_picture_as_the_law_says():
    # The unguided chain is exact for N(0, I) with variance "large": x_t -> x_0 with
    # correlation sqrt(alpha_bar_t), so that x_0 in and out have correlation alpha_bar_t.
    schedule, n = Schedule.cosine(50), 4000
    normal = GaussianOracle(schedule, torch.zeros(1, dtype=torch.float64), torch.eye(1))
    x_0 = torch.randn(n, 1, generator=torch.Generator().manual_seed(0)).double()
    for strength in (0.3, 0.6):
        new = vary(normal, schedule, x_0, strength, variance="large", progress=False)
        expected = float(schedule.alpha_bar[start_at(schedule, strength)])
        got = float((new * x_0).mean() / (new.square().mean() * x_0.square().mean()).sqrt())
        assert abs(got - expected) < 5 / n**0.5


def test_varying_walks_back_from_the_diffused_picture():
    schedule, x_0 = Schedule.cosine(50), torch.randn(3, 2, dtype=torch.float64)
    seen = []

    def step(schedule, x_t, x_0_pred, t, s, noise):
        seen.append((int(t[0]), int(s[0]), x_t))
        return ancestral_step(schedule, x_t, x_0_pred, t, s, noise)

    options = dict(sampler=step, progress=False, steps=5)
    vary(oracle(schedule), schedule, x_0, 0.5, **options)
    assert [pair[:2] for pair in seen] == [(25, 20), (20, 15), (15, 10), (10, 5), (5, 0)]
    x_t, other = seen[0][2], []
    options["sampler"] = lambda schedule, x_t, *_: other.append(x_t) or x_t
    vary(oracle(schedule), schedule, 0 * x_0, 0.5, **options)  # the same noise alone
    expected = q_sample(schedule, x_0, torch.full((3,), 25), 0 * x_0) + other[0]
    torch.testing.assert_close(x_t, expected)


def test_interpolation_goes_from_one_picture_to_the_other():
    schedule = Schedule.cosine(50)
    x_0, other = torch.tensor([[1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    starts = []

    def step(schedule, x_t, x_0_pred, t, s, noise):
        if not starts:
            starts.append(x_t)
        return ddim_step(schedule, x_t, x_0_pred, t, s, noise)

    weights, options = [0, 0.25, 0.5, 1], dict(sampler=step, progress=False)
    new = interpolate(oracle(schedule), schedule, x_0, other, weights, 0.4, **options)
    assert new.shape == (4, 2)
    a_t, s_t = schedule.alpha_bar[20].sqrt(), (1 - schedule.alpha_bar[20]).sqrt()
    means = torch.stack([(1 - w) * x_0 + w * other for w in weights])
    noise = (starts[0] - a_t * means) / s_t
    first, last = noise[0], noise[-1]
    torch.testing.assert_close(noise[1], (0.75 * first + 0.25 * last) / (10 / 16) ** 0.5)
    torch.testing.assert_close(noise[2], (first + last) / 2**0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, s, x: inpaint(m, s, x, torch.ones(2)), "bool"),
        (lambda m, s, x: inpaint(m, s, x, torch.ones(3, dtype=torch.bool)), "broadcast"),
        (lambda m, s, x: inpaint(m, s, x, x > 0, resample=0), "resample"),
        (lambda m, s, x: vary(m, s, x, 0), "is none"),
        (lambda m, s, x: vary(m, s, x, 1.2), "strength"),
        (lambda m, s, x: vary(m, s, x, 0.1, steps=9), "steps"),
        (lambda m, s, x: interpolate(m, s, x[0], x[1], [2], 0.5), "weight"),
        (lambda m, s, x: interpolate(m, s, x[0], x[1][:1], [0], 0.5), "shape"),
    ],
)
def test_what_editing_refuses(call, message):
    schedule = Schedule.cosine(20)
    x_0 = torch.zeros(2, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        call(oracle(schedule), schedule, x_0)


def test_steps_that_need_more():
    schedule, x_0 = Schedule.cosine(20), torch.tensor([[KNOWN, 0.0]], dtype=torch.float64)
    known, options = torch.tensor([True, False]), dict(steps=5, progress=False)
    new = inpaint(oracle(schedule), schedule, x_0, known, step=heun_step, **options)
    assert new.isfinite().all()
    with pytest.raises(ValueError, match="needs the one before"):
        inpaint(oracle(schedule), schedule, x_0, known, step=dpmpp_2m_step)
    with pytest.raises(TypeError, match="step must be a function"):
        inpaint(oracle(schedule), schedule, x_0, known, step="ddim")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, s, x: inpaint(m, s, x, x > 0, x_T=x), ValueError, "sets x_T by itself"),
        (
            lambda m, s, x: inpaint(m, s, x, x > 0, sampler="ddim"),
            ValueError,
            "sets sampler",
        ),
        (
            lambda m, s, x: inpaint(m, s, x, x > 0, variance="large"),
            ValueError,
            "sets variance by itself: give a step",
        ),
        (
            lambda m, s, x: inpaint(m, s, x / 0, x == 0),
            ValueError,
            "must be finite where it is kept",
        ),
        (lambda m, s, x: interpolate(m, s, x[0], x[1], [], 0.5), ValueError, "got none"),
        (lambda m, s, x: vary(m, s, x, 0.5, pairs=[(1, 0)]), ValueError, "vary sets pairs"),
        (lambda m, s, x: vary(m, s, x.tolist(), 0.5), TypeError, "floating point tensor"),
        (lambda m, s, x: vary(m, s, x.byte(), 0.5), TypeError, "got torch.uint8"),
        (lambda m, s, x: vary(m, s, x, 0.5, seed=None), ValueError, "seed must be one int"),
        (lambda m, s, x: interpolate(m, s, x[0], x[1], 0.5, 0.5), TypeError, "weights"),
        (
            lambda m, s, x: interpolate(m, s, x[0], x[1], [0], 0.5, seed=[1]),
            ValueError,
            "seed",
        ),
    ],
)
def test_what_editing_refuses_in_words(call, error, message):
    schedule, x_0 = Schedule.cosine(20), torch.zeros(2, 2, dtype=torch.float64)
    with pytest.raises(error, match=message) as found:
        call(oracle(schedule), schedule, x_0)
    assert "\n" not in str(found.value)


def test_pictures_outside_the_range_of_the_model_are_refused():
    class Picture(torch.nn.Identity):
        prediction, clip = "x_0", (-1, 1)

        def forward(self, x_t, t):
            return x_t

    schedule, x_0 = Schedule.cosine(20), 255 * torch.ones(1, 1, 2, 2)
    known = torch.zeros(2, 2, dtype=torch.bool)
    for call in (
        lambda: vary(Picture(), schedule, x_0, 0.5),
        lambda: inpaint(Picture(), schedule, x_0, ~known),
        lambda: interpolate(Picture(), schedule, x_0[0], x_0[0], [0], 0.5),
    ):
        with pytest.raises(ValueError, match=r"x_0 reaches from 255 to 255, .* scale x_0"):
            call()
    inpaint(Picture(), schedule, x_0, known, steps=2, progress=False)  # nothing is known


def test_a_broken_value_where_nothing_is_known_does_not_matter():
    schedule, known = Schedule.cosine(20), torch.tensor([True, False])
    x_0 = torch.tensor([[KNOWN, float("nan")]], dtype=torch.float64)
    new = inpaint(oracle(schedule), schedule, x_0, known, progress=False)
    other = inpaint(oracle(schedule), schedule, x_0.nan_to_num(7), known, progress=False)
    assert torch.equal(new, other)
    with pytest.raises(ValueError, match="finite"):
        inpaint(oracle(schedule), schedule, x_0, ~known, progress=False)


def test_weights_of_any_kind_give_the_same_mixtures():
    schedule, x_0 = Schedule.cosine(20), torch.eye(2, dtype=torch.float64)
    few = dict(steps=2, progress=False)
    kinds = [0, 0.5, 1], torch.linspace(0, 1, 3), np.linspace(0, 1, 3), iter((0, 0.5, 1))
    drawn = [
        interpolate(oracle(schedule), schedule, *x_0, weights, 0.5, **few)
        for weights in kinds
    ]
    assert all(torch.equal(new, drawn[0]) for new in drawn)


def test_no_noise_of_editing_is_that_of_sampling():
    x = torch.zeros(3, 2, dtype=torch.float64)
    streams = [SampleNoise(s, (3, 2), "cpu", torch.float64).next() for s in (7, [7, 8, 9])]
    streams += [_noise(s, p, x).next() for s in (7, np.int64(8), [7, 8, 9]) for p in (1, 2)]
    rows = {tuple(row.tolist()) for stream in streams for row in stream}
    # (7, 0) is sample 0 of seed 7, and stands in the list as 7; (8, 0) does in editing
    assert len(rows) == (6 - 1) + 2 * (9 - 2)
