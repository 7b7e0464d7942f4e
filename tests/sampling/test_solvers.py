r"""Solvers of high order: one step by another route, orders, whole chains."""

import math
import warnings
from itertools import pairwise

import pytest
import torch
from helpers import Constant, batches, close, f64, normal, some_schedules
from hypothesis import given
from hypothesis import strategies as st

from ddpm_lite import (
    GaussianOracle,
    MixtureOracle,
    Schedule,
    q_posterior,
    sample,
    sample_path,
    timestep_pairs,
)
from ddpm_lite.sampling.asked import SAMPLERS
from ddpm_lite.sampling.sampler import ddim_step
from ddpm_lite.sampling.solvers import (
    SOLVERS,
    dpmpp_2m_sde_step,
    dpmpp_2m_step,
    heun_step,
    start_of,
)
from ddpm_lite.sampling.spacing import SPACINGS
from ddpm_lite.schedule import at
from ddpm_lite.seeds import SampleNoise

SCHEDULES = some_schedules()
LINEAR, COSINE = SCHEDULES["linear"], SCHEDULES["cosine"]
MULTISTEP = [dpmpp_2m_step, dpmpp_2m_sde_step]


def quiet(*arguments, **options):
    r"""The last State of a chain in float64 that may warn of its prior gap."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        *_, state = sample_path(*arguments, **dict(dtype=torch.float64) | options)
    return state


def sigma(schedule, t):
    r"""sqrt(1 - alpha_bar) / sqrt(alpha_bar) at one step t, as a float."""
    return math.sqrt(schedule.one_minus_alpha_bar[t] / schedule.alpha_bar[t])


def halfway(schedule, x_0, x_0_before, before, t, s):
    r"""The x_0 of the line in lambda = -log(sigma) through two points, half-way to s.

    Solving exactly for a constant x_0 with this one is what 2M means.
    """
    place = (math.log(sigma(schedule, t)) + math.log(sigma(schedule, s))) / 2
    ends = [math.log(sigma(schedule, step)) for step in (before, t)]
    share = (place - ends[1]) / (ends[0] - ends[1])
    return (1 - share) * x_0 + share * x_0_before


def three(draw, schedule):
    r"""Steps before > t > s > 0 of a schedule with T >= 3 and a finite sigma_T."""
    return sorted(draw(st.permutations(range(1, schedule.T + 1)))[:3], reverse=True)


THREE = st.composite(lambda draw: three(draw, SCHEDULES["cosine-10"]))


# --- the last step and the first


@given(batches())
def test_the_last_step_is_the_predicted_x_0(batch):
    schedule, t, shape = batch
    x_t, x_0, noise, x_0_before = (normal(*shape, seed=k) for k in range(4))
    s = torch.zeros_like(t)
    for step in MULTISTEP:
        close(step(schedule, x_t, x_0, t, s, noise), x_0)
        if (t < schedule.T).all():
            before = (torch.full_like(t, schedule.T), x_0_before)
            close(step(schedule, x_t, x_0, t, s, noise, before=before), x_0)

    def never(x, t):
        raise AssertionError("the last step is first order")

    close(heun_step(schedule, x_t, x_0, t, s, noise, denoise=never), x_0)


def test_a_batch_may_hold_last_steps_among_others():
    schedule = SCHEDULES["cosine-10"]
    before, t, s = torch.tensor([9, 8]), torch.tensor([6, 5]), torch.tensor([0, 2])
    x_t, x_0, noise, x_0_before = (normal(2, 3, seed=k) for k in range(4))

    def denoise(x, t):
        return 0.1 * x * t[:, None]

    more = {heun_step: dict(denoise=denoise)}
    for step in SOLVERS.values():
        extra = more.get(step, dict(before=(before, x_0_before)))
        together = step(schedule, x_t, x_0, t, s, noise, **extra)
        assert torch.equal(together[0], x_0[0])
        rows = slice(1, 2)
        extra = more.get(step, dict(before=(before[rows], x_0_before[rows])))
        alone = step(schedule, x_t[rows], x_0[rows], t[rows], s[rows], noise[rows], **extra)
        close(together[rows], alone, atol=1e-12)  # a few products in float64


@given(batches(), st.data())
def test_the_first_step_is_ddim(batch, data):
    schedule, t, shape = batch
    s = torch.tensor([data.draw(st.integers(0, int(i) - 1)) for i in t])
    x_t, x_0, noise = (normal(*shape, seed=k) for k in range(3))
    for step, eta in zip(MULTISTEP, (0.0, 1.0), strict=True):
        first = ddim_step(schedule, x_t, x_0, t, s, noise, eta=eta)
        close(step(schedule, x_t, x_0, t, s, noise), first, rtol=1e-9, atol=1e-10)


@given(batches(), st.data())
def test_heun_with_a_slope_that_does_not_change_is_ddim(batch, data):
    # the same noise at both ends: x_0 and noise are then those of one straight line
    schedule, t, shape = batch
    s = torch.tensor([data.draw(st.integers(0, int(i) - 1)) for i in t])
    x_0, noise = normal(*shape), normal(*shape, seed=1)
    a_t, s_t = (
        at(table, t, x_0).sqrt()
        for table in (schedule.alpha_bar, schedule.one_minus_alpha_bar)
    )
    x_t = a_t * x_0 + s_t * noise
    x_s = heun_step(schedule, x_t, x_0, t, s, noise, denoise=lambda x, t: x_0)
    scale = float((1 / a_t).max())  # x_t is divided by it
    expected = ddim_step(schedule, x_t, x_0, t, s, noise)
    close(x_s, expected, rtol=1e-9, atol=1e-13 * scale**2)


# --- a step by another route


@given(THREE())
def test_2m_is_exact_for_a_constant_x_0_taken_half_way(steps):
    schedule, (before, t, s) = SCHEDULES["cosine-10"], steps
    x_t, x_0, x_0_before, noise = (normal(2, 3, seed=k) for k in range(4))
    D = halfway(schedule, x_0, x_0_before, before, t, s)
    X_t = x_t / schedule.alpha_bar[t].sqrt()
    X_s = D + (X_t - D) * sigma(schedule, s) / sigma(schedule, t)
    now, then, earlier = (torch.full((2,), step) for step in (t, s, before))
    more = dict(before=(earlier, x_0_before))
    x_s = dpmpp_2m_step(schedule, x_t, x_0, now, then, noise, **more)
    close(x_s, X_s * schedule.alpha_bar[s].sqrt(), rtol=1e-9, atol=1e-9)


@given(THREE())
def test_the_sde_form_of_2m_is_a_draw_from_the_posterior_of_that_x_0(steps):
    schedule, (before, t, s) = SCHEDULES["cosine-10"], steps
    x_t, x_0, x_0_before, noise = (normal(2, 3, seed=k) for k in range(4))
    D = halfway(schedule, x_0, x_0_before, before, t, s)
    now, then, earlier = (torch.full((2,), step) for step in (t, s, before))
    mean, variance = q_posterior(schedule, D, x_t, now, then)
    more = dict(before=(earlier, x_0_before))
    x_s = dpmpp_2m_sde_step(schedule, x_t, x_0, now, then, noise, **more)
    close(x_s, mean + variance.sqrt() * noise, rtol=1e-9, atol=1e-9)


@given(THREE())
def test_heun_is_the_trapezoid_in_sigma(steps):
    schedule, (_, t, s) = SCHEDULES["cosine-10"], steps
    x_t, x_0, noise = (normal(2, 3, seed=k) for k in range(3))
    asked = []

    def denoise(x, step):
        asked.append((x, step.tolist()))
        return torch.tanh(x) + step[:, None]

    now, then = torch.full((2,), t), torch.full((2,), s)
    x_s = heun_step(schedule, x_t, x_0, now, then, noise, denoise=denoise)
    high, low = sigma(schedule, t), sigma(schedule, s)
    X_t = x_t / schedule.alpha_bar[t].sqrt()
    d = (X_t - x_0) / high
    X_euler = X_t + (low - high) * d
    x_euler = X_euler * schedule.alpha_bar[s].sqrt()
    d_low = (X_euler - (torch.tanh(x_euler) + s)) / low
    X_s = X_t + (low - high) * (d + d_low) / 2
    close(x_s, X_s * schedule.alpha_bar[s].sqrt(), rtol=1e-8, atol=1e-8)
    ((x, step),) = asked
    close(x, x_euler, rtol=1e-8, atol=1e-8)
    assert step == [s, s]


def test_2m_from_pure_noise_is_first_order():
    schedule = SCHEDULES["zero-snr"]  # T = 4: lambda_4 is -infinity
    x_t, x_0, x_0_before, noise = (normal(2, 3, seed=k) for k in range(4))
    top, t, s = (torch.full((2,), step) for step in (4, 3, 2))
    for step, eta in zip(MULTISTEP, (0.0, 1.0), strict=True):
        first = ddim_step(schedule, x_t, x_0, top, t, noise, eta=eta)
        close(step(schedule, x_t, x_0, top, t, noise), first, rtol=1e-10)
        second = step(schedule, x_t, x_0, t, s, noise, before=(top, x_0_before))
        close(second, ddim_step(schedule, x_t, x_0, t, s, noise, eta=eta), rtol=1e-10)


def test_what_the_solvers_refuse():
    schedule, t = SCHEDULES["zero-snr"], torch.tensor([4, 4])
    x, noise = normal(2, 3), normal(2, 3, seed=1)
    with pytest.raises(ValueError, match=r"finite sigma_t, but alpha_bar_t = 0 at t = 4"):
        heun_step(schedule, x, x, t, t - 1, noise, denoise=lambda x, t: x)
    for step in SOLVERS.values():
        more = dict(denoise=None) if step is heun_step else {}
        with pytest.raises(ValueError, match=r"s must be smaller than t, got s = 3 for t"):
            step(schedule, x, x, t - 1, t - 1, noise, **more)
        with pytest.raises(ValueError, match=r"t must lie in 1\.\.4, got values from 5"):
            step(schedule, x, x, t + 1, t, noise, **more)
        with pytest.raises(ValueError, match=r"x_t and x_0_pred must have the same shape"):
            step(schedule, x, x[:, :1], t, t - 1, noise, **more)
    with pytest.raises(ValueError, match=r"x_t and noise must have the same shape"):
        dpmpp_2m_sde_step(schedule, x, x, t, t - 1, noise[:, :1])
    with pytest.raises(ValueError, match=r"t larger than \[3, 3\], got \[2, 2\]"):
        dpmpp_2m_step(schedule, x, x, t - 1, t - 2, noise, before=(t - 2, x))


# --- order of convergence


def table(N, high=157.0, low=0.02):
    r"""A schedule with sigma = high ... low at t = N + 1 ... 1, even in lambda."""
    log_sigma = torch.linspace(math.log(low), math.log(high), N + 1, dtype=torch.float64)
    log_alpha_bar = -torch.nn.functional.softplus(2 * log_sigma)  # -log(1 + sigma^2)
    jumps = torch.cat([log_alpha_bar[:1], log_alpha_bar.diff()])
    return Schedule.from_beta(-torch.expm1(jumps))


def error(step, N, *, to_clean=False):
    r"""How far N steps from sigma = 157 to 0.02 end from the exact path, in X = x / a.

    Data from N(0.7, 0.3^2), whose path is (X - mean) / sqrt(variance + sigma^2) = const.
    to_clean: take one more step, to sigma = 0.
    """
    schedule, mean, variance = table(N), 0.7, 0.09
    oracle = GaussianOracle(schedule, [mean], variance)
    X_T = 1.3 * sigma(schedule, N + 1)
    x = f64([[X_T]]) * schedule.alpha_bar[N + 1].sqrt()
    before = None

    def denoise(x, t):
        return oracle.x_0_moments(x, t)[0]

    for number in range(N + 1, 0 if to_clean else 1, -1):
        t, more = torch.tensor([number]), {}
        x_0 = denoise(x, t)
        if step is heun_step:
            more = dict(denoise=denoise)
        if step is dpmpp_2m_step:
            more = dict(before=before)
        x, before = step(schedule, x, x_0, t, t - 1, x, **more), (t, x_0)
    end = 0 if to_clean else 1
    spread = [variance + sigma(schedule, t) ** 2 for t in (end, N + 1)]
    exact = mean + (X_T - mean) * math.sqrt(spread[0] / spread[1])
    return abs(float(x / schedule.alpha_bar[end].sqrt()) - exact)


def test_the_fine_table_has_the_sigma_that_it_should():
    schedule = table(320)
    assert schedule.T == 321
    assert abs(sigma(schedule, 321) / 157 - 1) <= 1e-12
    assert abs(sigma(schedule, 1) / 0.02 - 1) <= 1e-12
    ratio = sigma(schedule, 101) / sigma(schedule, 100)
    assert abs(ratio**320 / (157 / 0.02) - 1) <= 1e-9


@pytest.mark.parametrize(
    ("step", "order", "at_320"),
    [(ddim_step, 1, 3e-3), (dpmpp_2m_step, 2, 2e-5), (heun_step, 2, 4e-5)],
)
def test_order_of_convergence(step, order, at_320):
    errors = [error(step, N) for N in (80, 160, 320)]
    slope = math.log(errors[0] / errors[2]) / math.log(4)
    assert abs(slope - order) <= 0.2, (slope, errors)
    assert abs(math.log2(errors[0] / errors[1]) - order) <= 0.2
    assert errors[2] <= at_320


@pytest.mark.parametrize("step", [ddim_step, dpmpp_2m_step, heun_step])
def test_the_step_to_sigma_0_leaves_an_error_that_does_not_shrink(step):
    # from 0.02 to 0 in one first-order step, whatever N: sigma^2 / (2 variance) of the
    # deviation is lost, here 0.02^2 / 0.18 of 0.3 * 1.3
    errors = [error(step, N, to_clean=True) for N in (320, 640)]
    floor = 0.02**2 / 0.18 * 0.3 * 1.3
    assert errors[1] > 0.5 * floor
    if step is not ddim_step:
        assert abs(errors[1] / floor - 1) <= 0.1 and abs(errors[0] / errors[1] - 1) <= 0.1


# --- whole chains against implementations by another route


def stand_in(x, t):
    r"""In the place of a network: smooth, not linear, mixes dimensions, knows t."""
    return 0.8 * torch.tanh(x.roll(1, -1)) + 0.3 * torch.sin(x + t[:, None] / 100)


def by_hand(schedule, name, pairs, x, noises, clip):
    r"""A chain of its own: floats alpha_bar, X = x / a and sigma; no tables, no solvers."""
    old = None
    for t, s in pairs:
        a = float(schedule.alpha_bar[t])

        def x_0_of(x, step):
            bar, rest = float(schedule.alpha_bar[step]), 1 - float(schedule.alpha_bar[step])
            noise = stand_in(x, torch.full((len(x),), step))
            return ((x - math.sqrt(rest) * noise) / math.sqrt(bar)).clamp(-clip, clip)

        x_0, X, fresh = x_0_of(x, t), x / math.sqrt(a), next(noises)
        high, low, a_s = (
            sigma(schedule, t),
            sigma(schedule, s),
            float(schedule.alpha_bar[s]),
        )
        D = x_0
        if name.startswith("dpmpp") and old is not None and s > 0:
            D = halfway(schedule, x_0, old[1], old[0], t, s)
        if name == "heun" and s > 0:
            d = (X - D) / high
            euler = X + (low - high) * d
            d = (d + (euler - x_0_of(euler * math.sqrt(a_s), s)) / low) / 2
            X = X + (low - high) * d
        elif name == "dpmpp_2m_sde":  # down to low^2 / high, and up again with noise
            X = (
                D
                + (low / high) ** 2 * (X - D)
                + low * math.sqrt(1 - (low / high) ** 2) * fresh
            )
        else:
            X = D + low / high * (X - D)
        x, old = X * math.sqrt(a_s), (t, x_0)
    return x


@pytest.mark.parametrize("clip", [1.0, 1e9])
@pytest.mark.parametrize("schedule", [LINEAR, COSINE], ids=["linear", "cosine"])
@pytest.mark.parametrize(
    ("name", "steps"),
    [("ddim", 10), ("ddim", 50), ("dpmpp_2m", 10), ("heun", 10), ("dpmpp_2m_sde", 10)],
)
def test_a_chain_is_the_one_written_by_another_route(name, steps, schedule, clip):
    shape, pairs = (3, 4), timestep_pairs(990, steps)
    noise = SampleNoise(5, shape, "cpu", torch.float64)
    x_T = noise.next()
    noises = iter(noise.next, None)
    expected = by_hand(schedule, name, pairs, x_T, noises, clip)
    own = quiet(
        stand_in,
        schedule,
        shape,
        sampler=name,
        pairs=pairs,
        seed=5,
        clip=(-clip, clip),
        prediction="noise",
    ).x_t
    scale = max(1.0, float(expected.abs().max()))
    assert (own - expected).abs().max() <= 1e-9 * scale


@given(st.sets(st.integers(1, 1000), min_size=1, max_size=6), st.booleans())
def test_ddim_with_eta_1_is_ancestral_on_any_list_of_steps(stops, clipped):
    stops = [*sorted(stops, reverse=True), 0]
    pairs = list(pairwise(stops))
    oracle = MixtureOracle(LINEAR, normal(3, 2), 0.01)
    options = dict(pairs=pairs, seed=2, clip=(-0.5, 0.5) if clipped else None)
    eta_1 = quiet(oracle, LINEAR, (4, 2), sampler="ddim", eta=1.0, **options).x_t
    small = quiet(oracle, LINEAR, (4, 2), variance="small", **options).x_t
    scale = float(small.abs().max())
    assert (eta_1 - small).abs().max() <= 1e-10 * scale


# --- widths of modes at 20 network calls

MEANS = f64([[1.0, 0.5], [-1.0, 0.0], [0.0, -1.5], [0.2, 1.8]])
WIDTH = 0.1


def starts(n):
    r"""n points that fill N(0, I) evenly, so that a width is known to a few 1e-3."""
    engine = torch.quasirandom.SobolEngine(2, scramble=True, seed=0)
    even = engine.draw(n, dtype=torch.float64).clamp(1e-9, 1 - 1e-9)
    return torch.erfinv(2 * even - 1) * math.sqrt(2)


def widths(schedule, spacing):
    r"""The deviation in each mode after 20 steps of 2M, against the true one; the calls."""
    oracle, x_T = MixtureOracle(schedule, MEANS, WIDTH**2), starts(4096)
    options = dict(sampler="dpmpp_2m", steps=20, spacing=spacing, x_T=x_T)
    state = quiet(oracle, schedule, (4096, 2), **options)
    mode = torch.cdist(state.x_t, MEANS).argmin(1)
    found = [(state.x_t[mode == k] - MEANS[k]).square().mean().sqrt() for k in range(4)]
    return torch.stack(found) / WIDTH, state.calls


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_2m_keeps_the_width_of_each_mode_at_20_calls(name):
    ratio, calls = widths(SCHEDULES[name], "quadratic")
    assert calls == 20 and (ratio - 1).abs().max() <= 0.05, ratio
    trailing, _ = widths(SCHEDULES[name], "trailing")
    assert (trailing - 1).abs().min() > 0.2  # the last jump, from t = 50, is too long


def test_2m_comes_closer_to_the_path_than_ddim_at_equal_calls():
    oracle = MixtureOracle(LINEAR, MEANS, WIDTH**2)
    options = dict(spacing="quadratic", seed=3, pairs=None)
    exact = quiet(oracle, LINEAR, (50, 2), sampler="heun", steps=None, seed=3).x_t
    errors = {
        name: (quiet(oracle, LINEAR, (50, 2), sampler=name, **options).x_t - exact)
        .square()
        .mean()
        for name, options["steps"] in (("ddim", 20), ("heun", 10), ("dpmpp_2m", 20))
    }
    assert 4 * errors["dpmpp_2m"] < errors["ddim"], errors


# --- every schedule, sampler, spacing


SHORT = {
    "linear": Schedule.linear(32, 1e-3, 0.5),
    "cosine": Schedule.cosine(32),
    "sigmoid": Schedule.sigmoid(32, 1e-3, 0.5),
    "zero-snr": Schedule.from_beta([*torch.linspace(1e-3, 0.7, 11).tolist(), 1.0]),
}
LONG = {"linear": LINEAR, "cosine": COSINE, "sigmoid": Schedule.sigmoid()}


def walks(schedule, sampler):
    r"""Every list of steps of a sampler, each once: all spacings, all numbers of steps."""
    start, found = start_of(sampler, schedule), set()
    for spacing in SPACINGS:
        for steps in (
            range(1, start + 1) if schedule.T <= 32 else (1, 2, 5, 10, 20, 50, start)
        ):
            try:
                pairs = timestep_pairs(start, steps, spacing, schedule=schedule)
            except ValueError as error:  # test_spacing.py looks at these
                assert "largest number of steps that works" in str(error)
            else:
                found.add(tuple(pairs))
    return found


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("length", [SHORT, LONG], ids=["32", "1000"])
def test_every_schedule_sampler_and_spacing_is_finite_and_ends_at_0(sampler, length):
    for name, schedule in length.items():
        # exact for data from N(0, I): a way through v where no x_0 can be told from noise
        def noise(x, t, schedule=schedule):
            return at(schedule.one_minus_alpha_bar, t, x).sqrt() * x

        model = Constant(0.0, "v") if name == "zero-snr" else noise
        prediction = "v" if name == "zero-snr" else "noise"
        lists = walks(schedule, sampler)
        assert len(lists) > 15
        for pairs in lists:
            options = dict(sampler=sampler, pairs=pairs, prediction=prediction)
            state = quiet(model, schedule, (2, 2), dtype=torch.float32, **options)
            assert state.t == 0 and torch.isfinite(state.x_t).all()
            assert state.x_t.dtype == torch.float32 and state.x_t.abs().max() < 600


@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m"])
@pytest.mark.parametrize("name", ["linear", "cosine", "sigmoid"])
def test_a_full_chain_of_the_exact_denoiser_of_noise_keeps_it_noise(sampler, name):
    # the path of N(0, I) data is x_0 = x_T; the first order at both ends costs a little
    x_0 = quiet(Constant(0.0, "v"), SHORT[name], (500, 4), sampler=sampler, seed=0).x_t
    x_T = SampleNoise(0, (500, 4), "cpu", torch.float64).next()
    assert (x_0 / x_T - 1).abs().max() <= 0.03


def test_sample_gives_the_end_of_the_path():
    oracle = GaussianOracle(LINEAR, [0.7, -0.7], 0.09)
    for sampler in SOLVERS:
        options = dict(sampler=sampler, steps=5, seed=4)
        x_0 = sample(oracle, LINEAR, (3, 2), progress=False, **options)
        *_, state = sample_path(oracle, LINEAR, (3, 2), **options)
        assert torch.equal(x_0, state.x_t)
