r"""The reverse chain: exact recursions, written-out loops, seeds, and bad arguments."""

import warnings
from itertools import pairwise

import pytest
import torch
from helpers import (
    SAMPLE_SHAPES,
    Constant,
    batches,
    close,
    f64,
    normal,
    schedules,
    some_schedules,
)
from hypothesis import given
from hypothesis import strategies as st

from ddpm_lite import (
    GaussianOracle,
    MixtureOracle,
    Schedule,
    noise_from_x_0,
    q_posterior,
    q_sample,
    sample,
    sample_path,
    timestep_pairs,
    v_from_x_0,
)
from ddpm_lite.checks import PREDICTIONS
from ddpm_lite.denoiser import evaluating
from ddpm_lite.sampling.asked import SAMPLERS
from ddpm_lite.sampling.sampler import ancestral_step, ddim_step
from ddpm_lite.seeds import SampleNoise

SCHEDULES = some_schedules()
LINEAR, SHORT = SCHEDULES["linear"], SCHEDULES["cosine-10"]


def quiet(*arguments, **options):
    r"""`sample` without a bar, in float64, on a chain that may warn of its prior gap."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sample(*arguments, **dict(progress=False, dtype=torch.float64) | options)


# --- the list of steps


@given(st.integers(1, 200), st.data())
def test_timestep_pairs_lead_from_T_to_0_in_even_steps(T, data):
    steps = data.draw(st.integers(1, T))
    pairs = timestep_pairs(T, steps)
    assert len(pairs) == steps and pairs[0][0] == T and pairs[-1][1] == 0
    assert all(s == t for (_, s), (t, _) in pairwise(pairs))
    jumps = {t - s for t, s in pairs}
    assert min(jumps) >= 1 and max(jumps) - min(jumps) <= 1
    if T % steps == 0:
        assert jumps == {T // steps}


def test_timestep_pairs_by_hand():
    assert timestep_pairs(4) == [(4, 3), (3, 2), (2, 1), (1, 0)]
    assert timestep_pairs(1000, 4) == [(1000, 750), (750, 500), (500, 250), (250, 0)]
    assert timestep_pairs(10, 1) == [(10, 0)]


@pytest.mark.parametrize("steps", [0, 11, -1, 2.5, True, "3"])
def test_timestep_pairs_refuses(steps):
    with pytest.raises(ValueError, match=r"steps must be an integer in 1\.\.10, got"):
        timestep_pairs(10, steps)


# --- one step


def propagated(schedule, oracle, step, *, mean=0.0, variance=1.0):
    r"""Mean and variance at t = 0 of a chain from N(mean, variance), without a draw.

    A step is affine in x_t and noise, so three probes give its three coefficients; all
    t are one batch.
    """
    t = torch.arange(schedule.T, 0, -1).repeat_interleave(3)
    x_t = f64([[0.0], [1.0], [0.0]]).repeat(schedule.T, 1)
    noise = f64([[0.0], [0.0], [1.0]]).repeat(schedule.T, 1)
    x_0_mean, _ = oracle.x_0_moments(x_t, t)
    x_s = step(schedule, x_t, x_0_mean, t, t - 1, noise).reshape(-1, 3)
    for origin, moved, noisy in x_s.tolist():
        mean = (moved - origin) * mean + origin
        variance = (moved - origin) ** 2 * variance + (noisy - origin) ** 2
    return mean, variance, x_s


@pytest.mark.parametrize(
    ("name", "variance", "std"),
    [
        ("linear", "small", 0.2963),
        ("linear", "large", 0.3009),
        ("linear", "exact", 0.3000),
        ("cosine", "small", 0.2981),
        ("cosine", "large", 0.3005),
        ("cosine", "exact", 0.3000),
    ],
)
def test_the_chain_of_an_exact_denoiser_ends_where_it_is_known_to(name, variance, std):
    schedule = SCHEDULES[name]
    oracle = GaussianOracle(schedule, [0.7], 0.09)
    own = oracle.reverse_variance if variance == "exact" else variance

    def step(*arguments):
        return ancestral_step(*arguments, variance=own)

    mean, total, x_s = propagated(schedule, oracle, step)
    assert abs(mean - 0.7) <= 1e-3 and abs(total**0.5 - std) <= 5e-5
    last = x_s[-1, 2] - x_s[-1, 0]
    left = oracle.x_0_moments(torch.zeros(1, 1).double(), torch.tensor([1]))[1].sqrt()
    close(last, left[0, 0] if variance == "exact" else 0.0)


@pytest.mark.parametrize("name", ["linear", "cosine", "cosine-10", "uneven", "linear-1"])
def test_the_exact_reverse_variance_keeps_the_law_at_every_step(name):
    schedule = SCHEDULES[name]
    oracle = GaussianOracle(schedule, [0.7], 0.09)
    a, left = schedule.alpha_bar[-1].sqrt(), schedule.one_minus_alpha_bar[-1]

    def step(*arguments):
        return ancestral_step(*arguments, variance=oracle.reverse_variance)

    mean, variance, _ = propagated(
        schedule, oracle, step, mean=float(0.7 * a), variance=float(0.09 * a**2 + left)
    )
    close(f64([mean, variance]), [0.7, 0.09], rtol=1e-9)


@given(batches())
def test_ancestral_step_is_a_draw_from_the_posterior(batch):
    schedule, t, shape = batch
    x_t, x_0, noise = (normal(*shape, seed=k) for k in range(3))
    mean, variance = q_posterior(schedule, x_0, x_t, t)
    x_s = ancestral_step(schedule, x_t, x_0, t, t - 1, noise)
    close(x_s, mean + variance.sqrt() * noise, atol=1e-14)
    x_s = ancestral_step(schedule, x_t, x_0, t, t - 1, noise, variance="large")
    std = torch.where(t > 1, schedule.beta[t], 0.0).sqrt()
    close(x_s, mean + std.reshape(variance.shape) * noise, atol=1e-14)


@given(batches())
def test_the_last_step_adds_no_noise(batch):
    schedule, t, shape = batch
    x_t, x_0, noise = (normal(*shape, seed=k) for k in range(3))
    s = torch.zeros_like(t)
    for variance in ("small", "large"):
        close(ancestral_step(schedule, x_t, x_0, t, s, noise, variance=variance), x_0)
    for eta in (0.0, 0.5, 1.0):
        close(ddim_step(schedule, x_t, x_0, t, s, noise, eta=eta), x_0)


@given(batches(), st.data())
def test_ddim_with_eta_1_is_the_ancestral_step(batch, data):
    schedule, t, shape = batch
    s = torch.tensor([data.draw(st.integers(0, int(i) - 1)) for i in t])
    x_t, x_0, noise = (normal(*shape, seed=k) for k in range(3))
    x_0 = x_0.clamp(-1, 1)
    close(
        ddim_step(schedule, x_t, x_0, t, s, noise, eta=1.0),
        ancestral_step(schedule, x_t, x_0, t, s, noise, variance="small"),
        rtol=1e-10,
        atol=1e-10,
    )


@given(batches(), st.data())
def test_ddim_with_eta_0_keeps_the_noise(batch, data):
    schedule, t, shape = batch
    s = torch.tensor([data.draw(st.integers(0, int(i) - 1)) for i in t])
    x_0, noise = normal(*shape), normal(*shape, seed=1)
    x_t = q_sample(schedule, x_0, t, noise)
    x_s = ddim_step(schedule, x_t, x_0, t, s, torch.full_like(x_0, 1e6))
    for i in range(len(t)):
        if s[i] == 0:
            close(x_s[i], x_0[i])
        else:
            one = slice(i, i + 1)
            close(x_s[one], q_sample(schedule, x_0[one], s[one], noise[one]), atol=1e-9)


@given(batches(), st.floats(0, 1), st.data())
def test_ddim_keeps_the_marginal_for_every_eta(batch, eta, data):
    # q(x_s | x_0) by way of x_t: the two deviations add up to 1 - alpha_bar_s
    schedule, t, shape = batch
    s = torch.tensor([data.draw(st.integers(0, int(i) - 1)) for i in t])
    zero, one = torch.zeros(shape).double(), torch.ones(shape).double()
    std_t = q_sample(schedule, zero, t, one)
    kept = ddim_step(schedule, std_t, zero, t, s, zero, eta=eta)
    fresh = ddim_step(schedule, zero, zero, t, s, one, eta=eta)
    left = schedule.one_minus_alpha_bar[s].reshape(-1, *[1] * (len(shape) - 1))
    close(kept**2 + fresh**2, left.expand(shape), rtol=1e-9, atol=1e-12)
    ratio = schedule.alpha_bar[t] / schedule.alpha_bar[s]
    small = (1 - ratio) * left.flatten() / schedule.one_minus_alpha_bar[t]
    sigma = eta * small.sqrt().reshape(left.shape).expand(shape)  # DDIM, Eq. 16
    close(fresh, sigma, rtol=1e-6, atol=1e-9)


def test_ddim_derives_the_noise_from_the_clipped_x_0():
    t, s, zero = torch.tensor([500]), torch.tensor([400]), torch.zeros(1, 2).double()
    x_t, clipped = normal(1, 2), torch.ones(1, 2).double()
    a_t, s_t = LINEAR.alpha_bar[500].sqrt(), LINEAR.one_minus_alpha_bar[500].sqrt()
    noise = (x_t - a_t) / s_t
    a_s, s_s = LINEAR.alpha_bar[400].sqrt(), LINEAR.one_minus_alpha_bar[400].sqrt()
    close(ddim_step(LINEAR, x_t, clipped, t, s, zero), a_s + s_s * noise)


@pytest.mark.parametrize("eta", [-0.1, 1.1, float("nan"), True])
def test_eta_out_of_range(eta):
    x, t = normal(1, 2), torch.tensor([5])
    with pytest.raises(ValueError, match=r"eta must be a number in \[0, 1\], got"):
        ddim_step(LINEAR, x, x, t, t - 1, x, eta=eta)


# --- the whole chain


@pytest.mark.parametrize("sample_shape", SAMPLE_SHAPES)
@pytest.mark.parametrize("sampler", ["small", "large", "ddim"])
def test_sample_is_the_loop_written_out(sampler, sample_shape):
    shape = (3, *sample_shape)
    oracle = MixtureOracle(SHORT, normal(4, *sample_shape), 0.1)
    noise = SampleNoise(7, shape, "cpu", torch.float64)
    x = noise.next()
    for step in range(10, 0, -1):
        t = torch.full((3,), step)
        x_0 = oracle.x_0_moments(x, t)[0].clamp(-0.5, 0.5)
        mean, variance = q_posterior(SHORT, x_0, x, t)
        fresh = noise.next()
        if sampler == "ddim":
            a, left = SHORT.alpha_bar[step - 1].sqrt(), SHORT.one_minus_alpha_bar[step - 1]
            x = a * x_0 + left.sqrt() * noise_from_x_0(SHORT, x, t, x_0)
        elif sampler == "small":
            x = mean + variance.sqrt() * fresh
        else:
            x = mean + (SHORT.beta[step] * (step > 1)).sqrt() * fresh
    options = {"sampler": "ddim"} if sampler == "ddim" else {"variance": sampler}
    own = quiet(oracle, SHORT, shape, seed=7, clip=(-0.5, 0.5), **options)
    close(own, x, rtol=1e-9, atol=1e-10)


def test_moments_of_a_mixture_come_out_right():
    # 5 standard errors; the exact mean and variance of each step keep both moments
    schedule = Schedule.cosine(200)
    means = f64([[1.0, 0.5], [-1.0, 0.0], [0.0, -1.5]])
    oracle = MixtureOracle(schedule, means, 0.05, [0.5, 0.3, 0.2])
    n = 2000
    x_0 = quiet(oracle, schedule, (n, 2), variance=oracle.reverse_variance, seed=3)
    weights = f64([[0.5], [0.3], [0.2]])
    mean = (weights * means).sum(0)
    variance = 0.05 + (weights * (means - mean) ** 2).sum(0)
    assert ((x_0.mean(0) - mean).abs() <= 5 * (variance / n).sqrt()).all()
    square = (x_0 - mean) ** 2
    assert ((square.mean(0) - variance).abs() <= 5 * square.std(0) / n**0.5).all()
    nearest = torch.cdist(x_0, means).argmin(1)
    for k, weight in enumerate([0.5, 0.3, 0.2]):
        share = (nearest == k).double().mean()
        assert abs(share - weight) <= 5 * (weight * (1 - weight) / n) ** 0.5


def test_path_shows_every_moment():
    model = Constant(0.5, "x_0")
    path = list(sample_path(model, SHORT, (2, 3), seed=1))
    assert [state.t for state in path] == list(range(10, -1, -1))
    assert path[0].x_0_pred is None and model.calls == 10
    start = SampleNoise(1, (2, 3), "cpu", torch.float32).next()
    assert torch.equal(path[0].x_t, start)
    for state in path[1:]:
        close(state.x_0_pred, torch.full((2, 3), 0.5), rtol=0)
    close(path[-1].x_t, torch.full((2, 3), 0.5), rtol=1e-6)
    assert torch.equal(path[-1].x_t, sample(model, SHORT, (2, 3), seed=1, progress=False))


def test_steps_and_pairs_choose_the_way():
    model = Constant(0.5, "x_0")
    path = sample_path(model, LINEAR, (1, 2), steps=4)
    assert [state.t for state in path] == [1000, 750, 500, 250, 0]
    path = sample_path(model, LINEAR, (1, 2), pairs=[(900, 30), (30, 0)])
    assert [state.t for state in path] == [900, 30, 0]


def test_variance_is_large_for_the_full_chain_and_small_for_a_shorter_one():
    oracle = GaussianOracle(SHORT, [0.7, -0.7], 0.09)
    full, short = quiet(oracle, SHORT, (2, 2)), quiet(oracle, SHORT, (2, 2), steps=5)
    assert torch.equal(full, quiet(oracle, SHORT, (2, 2), variance="large"))
    assert torch.equal(short, quiet(oracle, SHORT, (2, 2), variance="small", steps=5))
    assert not torch.equal(full, quiet(oracle, SHORT, (2, 2), variance="small"))
    assert not torch.equal(short, quiet(oracle, SHORT, (2, 2), variance="large", steps=5))


def test_eta_and_sampler_are_used():
    oracle = GaussianOracle(SHORT, [0.7, -0.7], 0.09)
    options = [dict(eta=0.0), dict(eta=0.5), dict(eta=1.0)]
    results = [quiet(oracle, SHORT, (2, 2), sampler="ddim", **o) for o in options]
    ancestral = quiet(oracle, SHORT, (2, 2), variance="small")
    close(results[2], ancestral, rtol=1e-9)
    assert (results[0] - results[1]).abs().min() > 1e-6
    assert (results[1] - results[2]).abs().min() > 1e-6


def test_clip_cuts_the_predicted_x_0():
    model = Constant(3.0, "x_0")
    for state in sample_path(model, SHORT, (2, 2), clip=(-1, 1)):
        assert state.x_0_pred is None or (state.x_0_pred == 1).all()
    # in the last step x_0 weighs 1, a product and quotient of tables in float64
    close(quiet(model, SHORT, (2, 2), clip=(-1, 1)), torch.ones(2, 2).double())
    close(quiet(model, SHORT, (2, 2)), torch.full((2, 2), 3.0).double())


def test_a_sampler_of_one_s_own():
    def halve(schedule, x_t, x_0_pred, t, s, noise):
        assert (t - s == 1).all() and noise.shape == x_t.shape
        return x_t / 2

    x_T = normal(2, 2)
    x_0 = quiet(Constant(0.0), SHORT, (2, 2), sampler=halve, x_T=x_T)
    close(x_0, x_T / 2**10)


def test_a_function_is_given_what_it_names():
    schedule, model, seen = SHORT, Constant(2.0, "x_0"), []

    def step(schedule, x_t, x_0_pred, t, s, noise, before, *, noise_pred, denoise):
        seen.append((x_t, t, x_0_pred, before, noise_pred))
        if s[0] > 3:
            assert (denoise(x_t, s) == 1).all()  # clipped like x_0_pred
        return x_t / 2

    options = dict(sampler=step, clip=(-1, 1), dtype=torch.float64, x_T=normal(2, 2))
    *_, state = sample_path(
        model, schedule, (2, 2), pairs=[(9, 5), (5, 2), (2, 0)], **options
    )
    assert state.calls == model.calls == 4
    assert [before and before[0].tolist() for *_, before, _ in seen] == [
        None,
        [9, 9],
        [5, 5],
    ]
    assert seen[1][3][1] is seen[0][2]
    for x_t, t, x_0_pred, _, noise_pred in seen:
        assert (x_0_pred == 1).all()
        close(
            noise_pred, noise_from_x_0(schedule, x_t, t, torch.full((2, 2), 2.0).double())
        )


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_noise_pred_is_what_the_network_says_of_the_noise(prediction):
    oracle = MixtureOracle(SHORT, normal(3, 2), 0.1)
    t_of, said = [], []

    def model(x_t, t):
        noise, x_0 = oracle(x_t, t), oracle.x_0_moments(x_t, t)[0]
        t_of.append(noise)
        values = {"noise": noise, "x_0": x_0, "flow": noise - x_0}
        return (values | {"v": v_from_x_0(SHORT, x_t, t, x_0)})[prediction]

    def step(schedule, x_t, x_0_pred, t, s, noise, *, noise_pred):
        said.append(noise_pred)
        return ddim_step(schedule, x_t, x_0_pred, t, s, noise)

    quiet(model, SHORT, (2, 2), sampler=step, prediction=prediction, clip=(-0.1, 0.1))
    close(torch.stack(said), torch.stack(t_of), rtol=1e-8, atol=1e-8)


def test_ddim_keeps_the_noise_of_the_network_if_told_to():
    t, s = torch.tensor([500]), torch.tensor([400])
    x_t, x_0, noise_pred, noise = (normal(1, 2, seed=k) for k in range(4))
    options = dict(rederive=False, noise_pred=noise_pred)
    x_s = ddim_step(LINEAR, x_t, x_0, t, s, noise, **options)
    a_s, s_s = LINEAR.alpha_bar[400].sqrt(), LINEAR.one_minus_alpha_bar[400].sqrt()
    close(x_s, a_s * x_0 + s_s * noise_pred)
    with pytest.raises(ValueError, match=r"rederive=False takes .*: give noise_pred"):
        ddim_step(LINEAR, x_t, x_0, t, s, noise, rederive=False)
    with pytest.raises(ValueError, match=r"x_t and noise_pred must have the same shape"):
        ddim_step(LINEAR, x_t, x_0, t, s, noise, **options | dict(noise_pred=x_0[:, :1]))
    oracle = MixtureOracle(LINEAR, normal(3, 2), 0.1)
    options = dict(sampler="ddim", steps=20)
    plain, kept = (
        quiet(oracle, LINEAR, (4, 2), rederive=r, **options) for r in (True, False)
    )
    close(kept, plain, rtol=1e-8, atol=1e-8)  # the same as long as nothing is clipped
    plain, kept = (
        quiet(oracle, LINEAR, (4, 2), rederive=r, clip=(-0.5, 0.5), **options)
        for r in (True, False)
    )
    assert (kept - plain).abs().max() > 1e-3
    expected = [(1000, 500), (500, 0)]  # by hand, x_0 clipped and the noise kept
    x = normal(1, 2)
    for now, then in expected:
        t = torch.tensor([now])
        noise = oracle(x, t)
        a_t, s_t = LINEAR.alpha_bar[now].sqrt(), LINEAR.one_minus_alpha_bar[now].sqrt()
        x_0 = ((x - s_t * noise) / a_t).clamp(-0.5, 0.5)
        a_s, s_s = LINEAR.alpha_bar[then].sqrt(), LINEAR.one_minus_alpha_bar[then].sqrt()
        x = a_s * x_0 + s_s * noise
    options = dict(sampler="ddim", pairs=expected, clip=(-0.5, 0.5), rederive=False)
    close(quiet(oracle, LINEAR, (1, 2), x_T=normal(1, 2), **options), x, rtol=1e-9)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_a_network_may_answer_in_half_precision(sampler, half):
    # what it says is all that is rounded: as if it had said the rounded number in float32
    oracle = MixtureOracle(SHORT, normal(3, 4), 0.1)
    seen = []

    def rounded(x_t, t):
        assert x_t.dtype == torch.float32
        return oracle(x_t, t).to(half)

    options = dict(sampler=sampler, steps=5, prediction="noise", clip=(-2, 2), seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autocast("cpu", torch.bfloat16):
            for state in sample_path(rounded, SHORT, (2, 4), **options):
                seen.append(state.x_t)
                assert state.x_0_pred is None or state.x_0_pred.dtype == torch.float32
        with torch.autocast("cpu", torch.bfloat16):
            *_, single = sample_path(
                lambda x, t: rounded(x, t).float(), SHORT, (2, 4), **options
            )
    assert {x.dtype for x in seen} == {torch.float32}
    assert torch.equal(seen[-1], single.x_t)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
def test_the_state_is_never_below_float32(dtype):
    with pytest.raises(ValueError, match=r"dtype must be float32 or float64, got torch\."):
        sample_path(Constant(0.0), SHORT, (1, 2), dtype=dtype)


def test_y_reaches_the_model():
    def answer(x_t, t, y):
        return y[:, None].expand_as(x_t)

    y = f64([0.25, -0.5])
    x_0 = quiet(answer, SHORT, (2, 3), y=y, prediction="x_0")
    close(x_0, y[:, None].expand(2, 3))


def test_the_model_is_told_t_from_T_down_to_1():
    seen = []

    def model(x_t, t):
        assert t.dtype == torch.int64 and t.shape == (2,) and (t == t[0]).all()
        seen.append(int(t[0]))
        return x_t

    quiet(model, SHORT, (2, 2), prediction="noise")
    assert seen == list(range(10, 0, -1))


def test_x_T_is_where_the_chain_starts():
    model, x_T = Constant(0.0, "x_0"), normal(2, 2)
    first = next(iter(sample_path(model, SHORT, (2, 2), x_T=x_T, dtype=torch.float64)))
    assert torch.equal(first.x_t, x_T) and first.t == 10
    with pytest.raises(ValueError, match=r"x_T must have shape \(3, 2\), got \(2, 2\)"):
        sample_path(model, SHORT, (3, 2), x_T=x_T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_of_a_sample(dtype):
    oracle = GaussianOracle(SHORT, [0.7, -0.7], 0.09)
    assert quiet(oracle, SHORT, (2, 2), dtype=dtype).dtype == dtype


def test_zero_terminal_snr():
    schedule = SCHEDULES["zero-snr"]
    oracle = GaussianOracle(schedule, [0.7, -0.7], 0.09)
    with pytest.raises(
        ValueError, match=r"divides by sqrt\(alpha_bar_t\).*predict x_0, v or the flow"
    ):
        quiet(oracle, schedule, (2, 2))

    def v(x_t, t):
        return v_from_x_0(schedule, x_t, t, oracle.x_0_moments(x_t, t)[0])

    first = list(sample_path(v, schedule, (2, 2), prediction="v", dtype=torch.float64))[1]
    close(first.x_0_pred, f64([[0.7, -0.7]] * 2), rtol=1e-9)
    n = 4000
    x_0 = quiet(v, schedule, (n, 2), prediction="v", variance=oracle.reverse_variance)
    assert ((x_0.mean(0) - f64([0.7, -0.7])).abs() <= 5 * 0.3 / n**0.5).all()
    assert ((x_0.std(0) - 0.3).abs() <= 5 * 0.3 / (2 * n) ** 0.5).all()


# --- the noise of each sample


@pytest.mark.parametrize("sample_shape", [(2,), (1,), (3, 8, 8), (65,)])
def test_noise_of_a_sample_depends_on_its_seed_alone(sample_shape):
    def drawn(seed, B, steps=70):
        noise = SampleNoise(seed, (B, *sample_shape), "cpu", torch.float32)
        return torch.stack([noise.next() for _ in range(steps)], 1)

    together = drawn(5, 4)
    assert torch.equal(together[:1], drawn(5, 1))
    assert torch.equal(together[:, :7], drawn(5, 4, steps=7))
    listed = drawn([11, 12, 13], 3)
    assert torch.equal(listed[[2, 0]], drawn([13, 11], 2))
    assert torch.equal(drawn([12], 1, steps=40)[0], listed[1, :40])
    flat = together.flatten(1)
    different = [flat[i].ne(flat[j]).all() for i in range(4) for j in range(i)]
    assert all(different)
    assert not torch.equal(drawn(6, 4), together)
    repeats = together.flatten(2)
    assert repeats[:, 0].ne(repeats[:, 1]).all()


def test_noise_is_standard_normal():
    noise = SampleNoise(0, (500, 4), "cpu", torch.float64)
    x = torch.stack([noise.next() for _ in range(40)])
    n = x.numel()
    assert abs(x.mean()) <= 5 / n**0.5
    assert abs(x.var() - 1) <= 5 * (2 / n) ** 0.5
    assert abs((x**4).mean() - 3) <= 5 * (96 / n) ** 0.5  # 1.8 if it were uniform
    for moved in (x[1:] * x[:-1], x[:, 1:] * x[:, :-1]):
        assert abs(moved.mean()) <= 5 / moved.numel() ** 0.5


def test_a_picture_does_not_change_with_its_batch():
    oracle = MixtureOracle(SHORT, normal(3, 1, 4, 4), 0.1)
    seeds = [4, 9, 2]
    for sampler in SAMPLERS:
        options = dict(sampler=sampler, dtype=torch.float32)
        together = quiet(oracle, SHORT, (3, 1, 4, 4), seed=seeds, **options)
        for i, seed in enumerate(seeds):
            alone = quiet(oracle, SHORT, (1, 1, 4, 4), seed=[seed], **options)
            close(together[i], alone[0], rtol=0, atol=1e-4)
    model = Constant(0.1)
    five, two = (quiet(model, SHORT, (B, 2), seed=3) for B in (5, 2))
    close(five[:2], two, atol=1e-12)  # ten steps in float64
    assert not torch.equal(quiet(model, SHORT, (2, 2)), quiet(model, SHORT, (2, 2), seed=1))


@pytest.mark.parametrize("seed", [-1, [1, 2], [1, 2, 3, 4], [0, -1, 2], []])
def test_bad_seeds(seed):
    with pytest.raises(ValueError, match=r"seed must be one int >= 0 or 3 of them, got"):
        quiet(Constant(0.0), SHORT, (3, 2), seed=seed)


# --- manners


class Dropout(torch.nn.Module):
    prediction, learned_variance = "noise", False

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Dropout(0.5)
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x_t, t):
        assert not torch.is_grad_enabled() and not self.training
        return self.layer(x_t) * self.weight


@pytest.mark.parametrize("training", [True, False])
def test_a_model_samples_in_eval_mode_and_goes_back(training):
    model = Dropout().train(training)
    x_0 = quiet(model, SHORT, (2, 2), dtype=torch.float32)
    assert model.training is training and model.layer.training is training
    assert not x_0.requires_grad
    path = sample_path(model, SHORT, (2, 2))
    next(path), next(path)
    assert model.training is training  # between the states too
    with pytest.raises(ZeroDivisionError), evaluating(model):
        _ = 1 / 0
    assert model.training is training


def test_progress_bar(capsys):
    sample(Constant(0.0), SHORT, (1, 2), progress=False)
    assert capsys.readouterr().err == ""
    sample(Constant(0.0), SHORT, (1, 2))
    assert "sampling" in capsys.readouterr().err


def test_a_chain_that_does_not_start_from_noise_warns():
    with pytest.warns(UserWarning, match=r"is not yet N\(0, I\)"):
        sample_path(Constant(0.0), Schedule.linear(50), (1, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sample_path(Constant(0.0), Schedule.linear(50), (1, 2), x_T=normal(1, 2))


@given(
    schedules(max_T=6),
    st.sampled_from(SAMPLE_SHAPES),
    st.sampled_from(["ancestral", "ddim"]),
)
def test_every_schedule_and_sampler_gives_finite_samples(schedule, sample_shape, sampler):
    oracle = GaussianOracle(schedule, normal(*sample_shape), 0.2)
    x_0 = quiet(oracle, schedule, (2, *sample_shape), sampler=sampler)
    assert x_0.shape == (2, *sample_shape) and torch.isfinite(x_0).all()


def test_a_model_that_gives_nan_is_found_out():
    with pytest.raises(FloatingPointError, match=r"not finite: the model gave NaN"):
        quiet(Constant(float("nan")), SHORT, (1, 2))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], r"pairs must be \(t, s\).* got \[\]"),
        ([(11, 0)], r"first t at most 10.* got \[\(11, 0\)\]"),
        ([(10, 5), (4, 0)], r"each t the s before it.* got \[\(10, 5\), \(4, 0\)\]"),
        ([(10, 5), (5, 1)], r"the last s 0; got"),
        ([(10, 10), (10, 0)], r"must have s < t, got \[\(10, 10\)"),
        ([(5, 8), (8, 0)], r"must have s < t, got \[\(5, 8\)"),
    ],
)
def test_broken_pairs(pairs, message):
    with pytest.raises(ValueError, match=message) as error:
        sample_path(Constant(0.0), SHORT, (1, 2), pairs=pairs)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            dict(sampler="euler"),
            r"sampler must be one of ancestral, ddim, heun, .* got 'euler'",
        ),
        (dict(variance="fixed"), r"variance must be one of small, large, got 'fixed'"),
        (dict(prediction="eps"), r"model predicts 'noise', but prediction='eps'"),
        (dict(steps=11), r"steps must be an integer in 1\.\.10, got 11"),
        (dict(steps=0), r"steps must be an integer in 1\.\.10, got 0"),
        (dict(steps=2, pairs=[(10, 0)]), r"give steps or pairs, not both"),
        (dict(sampler="ddim", eta=2.0), r"eta must be a number in \[0, 1\], got 2\.0"),
        (
            dict(sampler="heun", eta=0.5),
            r"eta is for sampler='ddim', got eta=0.5 for 'heun'",
        ),
        (dict(rederive=False), r"rederive is for sampler='ddim', got .*'ancestral'"),
        (dict(variance=lambda *_: torch.tensor(-1.0)), r"finite and >= 0, got -1\.0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message) as error:
        quiet(Constant(0.0), SHORT, (1, 2), **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(3,), (0, 2), (2, -1), (2, 2.0), ()])
def test_bad_shape(shape):
    with pytest.raises(ValueError, match=r"shape must be \(B, ...\), two or more positive"):
        quiet(Constant(0.0), SHORT, shape)


def test_an_option_that_does_not_exist():
    with pytest.raises(TypeError, match="temperature"):
        quiet(Constant(0.0), SHORT, (1, 2), temperature=2)
    with pytest.raises(
        ValueError, match=r"prediction must be one of noise, x_0, v, flow, got None"
    ):
        quiet(lambda x, t: x, SHORT, (1, 2))
    with pytest.raises(ValueError, match=r"model_output .* \(1, 2\) and \(1, 1\)"):
        quiet(lambda x, t: x[:, :1], SHORT, (1, 2), prediction="noise")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"clip": (1, -1)},
            r"clip must be None or \(low, high\) with low < high, got \(1, -1\)",
        ),
        ({"eta": 2}, r"eta must be a number in \[0, 1\], got 2"),
        ({"variance": "middle"}, r"variance must be one of small, large, got 'middle'"),
    ],
)
def test_arguments_are_refused_before_the_first_state(options, message):
    with pytest.raises(ValueError, match=message):
        sample_path(Constant(0.0), SHORT, (1, 2), **options)


def test_a_list_of_seeds_names_sample_0_of_each_seed():
    def first(seed, B):
        return SampleNoise(seed, (B, 2), "cpu", torch.float64).next()

    listed = first([5, 9], 2)
    assert torch.equal(listed[:1], first(5, 1)) and torch.equal(listed[1:], first(9, 1))
    assert not torch.equal(listed[0], listed[1])


def test_training_and_sampling_never_share_a_stream():
    from ddpm_lite.seeds import SAMPLE, SHUFFLE, TRAIN, generator_for

    draws = [
        torch.rand(4, generator=generator_for(use, 3, 1))
        for use in (TRAIN, SHUFFLE, SAMPLE)
    ]
    assert not torch.equal(draws[0], draws[1]) and not torch.equal(draws[1], draws[2])
    assert not torch.equal(draws[0], draws[2])


def test_a_chain_that_starts_from_noise_below_T_warns():
    with pytest.warns(UserWarning, match=r"left at t = 3"):
        sample(
            Constant(0.0),
            Schedule.cosine(10),
            (1, 2),
            pairs=[(3, 1), (1, 0)],
            progress=False,
        )
