r"""q and the conversions: against 50-digit algebra, round trips, and what they refuse."""

import pytest
import torch
from helpers import (
    EXACT,
    SAMPLE_SHAPES,
    Constant,
    batches,
    close,
    exact_tables,
    f64,
    normal,
    some_schedules,
)
from hypothesis import given

import ddpm_lite
from ddpm_lite import Schedule, q_posterior, q_sample, q_step
from ddpm_lite.checks import PREDICTIONS
from ddpm_lite.process import (
    predict,
    predict_x_0,
    prediction_of,
    reverse_variance,
    transition,
)

SCHEDULES = some_schedules()
LINEAR = SCHEDULES["linear"]
QUANTITIES = ["x_0", "noise", "v", "score"]
CONVERSIONS = [(to, own) for to in QUANTITIES for own in QUANTITIES if to != own]
FLOW = [("x_0", "flow"), ("noise", "flow"), ("flow", "x_0"), ("flow", "noise")]
CONVERSIONS += FLOW
DIVIDE_BY_A = {("x_0", "noise"), ("x_0", "score"), ("v", "noise"), ("v", "score")}
DIVIDE_BY_A |= {("flow", "noise")}


def conversion(to, own):
    return getattr(ddpm_lite, f"{to}_from_{own}")


def exact_rows(schedule, t):
    r"""x_t and the five quantities as rows: how much x_0 and how much noise is in each."""
    tables = exact_tables(schedule)
    a = EXACT.sqrt(tables["alpha_bar"][t])
    s = EXACT.sqrt(tables["one_minus_alpha_bar"][t])
    rows = {"x_0": (1, 0), "noise": (0, 1), "v": (-s, a), "score": (0, -1 / s)}
    rows["flow"] = -1, 1
    return (a, s), rows


def all_quantities(schedule, x_0, noise, t):
    a = schedule.alpha_bar[t].sqrt().reshape(-1, *[1] * (x_0.dim() - 1))
    s = schedule.one_minus_alpha_bar[t].sqrt().reshape(a.shape)
    values = dict(x_0=x_0, noise=noise, v=a * noise - s * x_0, score=-noise / s)
    values["flow"] = noise - x_0
    return a * x_0 + s * noise, values, a, s


# --- the forward process


@pytest.mark.parametrize("sample_shape", SAMPLE_SHAPES)
@pytest.mark.parametrize("name", ["linear", "cosine-10", "uneven"])
def test_q_sample_is_equation_4_to_twelve_digits(name, sample_shape):
    schedule, exact = SCHEDULES[name], exact_tables(SCHEDULES[name])
    for t in (1, 2, schedule.T):
        x_0, noise = normal(1, *sample_shape).abs(), normal(1, *sample_shape, seed=1).abs()
        x_t = q_sample(schedule, x_0, torch.tensor([t]), noise)
        a = EXACT.sqrt(exact["alpha_bar"][t])
        s = EXACT.sqrt(exact["one_minus_alpha_bar"][t])
        inputs = zip(x_0.flatten().tolist(), noise.flatten().tolist(), strict=True)
        close(x_t.flatten(), [float(a * x + s * n) for x, n in inputs])


@given(batches())
def test_q_step_is_equation_2(batch):
    schedule, t, shape = batch
    x_prev, noise = normal(*shape), normal(*shape, seed=1)
    x_t = q_step(schedule, x_prev, t, noise)
    for i, step in enumerate(t.tolist()):
        beta = float(schedule.beta[step])
        close(x_t[i], (1 - beta) ** 0.5 * x_prev[i] + beta**0.5 * noise[i], atol=1e-14)


@given(batches())
def test_steps_one_by_one_end_where_the_jump_ends(batch):
    # each step is linear in x and noise, so the law of x_t is exact, without any draw
    schedule, _, (_, *sample_shape) = batch
    mean, variance = (
        torch.ones(1, *sample_shape).double(),
        torch.zeros(1, *sample_shape).double(),
    )
    nothing, one = torch.zeros_like(mean), torch.ones_like(mean)
    for step in range(1, schedule.T + 1):
        t = torch.tensor([step])
        mean = q_step(schedule, mean, t, nothing)
        signal = q_step(schedule, one, t, nothing)
        added = q_step(schedule, nothing, t, one)
        variance = signal**2 * variance + added**2
        close(mean, q_sample(schedule, one, t, nothing))
        close(variance.sqrt(), q_sample(schedule, nothing, t, one))


@given(batches())
def test_examples_of_a_batch_do_not_mix(batch):
    schedule, t, shape = batch
    x, y = normal(*shape), normal(*shape, seed=1)
    for function in (q_step, q_sample):
        together = function(schedule, x, t, y)
        for i in range(len(t)):
            alone = function(schedule, x[i : i + 1], t[i : i + 1], y[i : i + 1])
            close(
                together[i : i + 1], alone, atol=1e-12
            )  # float64, two products of N(0, 1)


# --- the posterior


def exact_posterior(schedule, x_0, x_t, t, s):
    r"""N(x_s; .|x_0) times N(x_t; .|x_s): precisions add, and weigh the two means."""
    alpha_bar = exact_tables(schedule)["alpha_bar"]
    ratio = alpha_bar[t] / alpha_bar[s]
    precision_0, precision_t = 1 / (1 - alpha_bar[s]), ratio / (1 - ratio)
    variance = 1 / (precision_0 + precision_t)
    mean_0, mean_t = EXACT.sqrt(alpha_bar[s]) * x_0, x_t / EXACT.sqrt(ratio)
    return variance * (precision_0 * mean_0 + precision_t * mean_t), variance


@pytest.mark.parametrize("name", ["linear", "cosine", "cosine-10", "lecture", "uneven"])
def test_posterior_is_a_product_of_two_gaussians(name):
    schedule = SCHEDULES[name]
    T = schedule.T
    steps = {(2, 1), (3, 2), (T, T - 1), (T // 2 + 1, T // 2), (T, 1), (T, T // 2)}
    for t, s in steps:
        x_0, x_t = f64([[0.7, 1.3]]), f64([[0.4, 2.1]])
        mean, variance = q_posterior(
            schedule, x_0, x_t, torch.tensor([t]), torch.tensor([s])
        )
        assert mean.shape == (1, 2) and variance.shape == (1, 1)
        for i in range(2):
            exact = exact_posterior(schedule, float(x_0[0, i]), float(x_t[0, i]), t, s)
            close(mean[0, i], float(exact[0]))
            close(variance[0, 0], float(exact[1]))


@given(batches())
def test_posterior_of_one_step_is_equation_7(batch):
    schedule, t, shape = batch
    x_0, x_t = normal(*shape).abs(), normal(*shape, seed=1).abs()
    mean, variance = q_posterior(schedule, x_0, x_t, t)
    for i, step in enumerate(t.tolist()):
        beta, before = float(schedule.beta[step]), float(schedule.alpha_bar[step - 1])
        after = float(schedule.one_minus_alpha_bar[step])
        left = float(schedule.one_minus_alpha_bar[step - 1])
        weights = before**0.5 * beta / after, (1 - beta) ** 0.5 * left / after
        close(mean[i], weights[0] * x_0[i] + weights[1] * x_t[i], rtol=1e-9)
        close(variance[i].flatten()[0], schedule.posterior_variance[step])
    assert variance.shape == (len(t), *[1] * (len(shape) - 1))


@given(batches())
def test_posterior_at_s_0_is_x_0_without_doubt(batch):
    schedule, t, shape = batch
    x_0, x_t = normal(*shape), normal(*shape, seed=1)
    mean, variance = q_posterior(schedule, x_0, x_t, t, torch.zeros_like(t))
    close(mean, x_0)
    assert (variance == 0).all()


@pytest.mark.parametrize("sample_shape", SAMPLE_SHAPES)
def test_equation_7_with_x_0_pred_is_equation_11(sample_shape):
    t = torch.tensor([1, 2, 500, 1000])
    x_t, noise = normal(4, *sample_shape), normal(4, *sample_shape, seed=1)
    x_0_pred = ddpm_lite.x_0_from_noise(LINEAR, x_t, t, noise)
    mean, _ = q_posterior(LINEAR, x_0_pred, x_t, t)
    for i, step in enumerate(t.tolist()):
        beta, left = LINEAR.beta[step], LINEAR.one_minus_alpha_bar[step]
        close(mean[i], (x_t[i] - beta / left**0.5 * noise[i]) / (1 - beta) ** 0.5, 1e-11)


@given(batches())
def test_posterior_averages_back_to_the_marginal(batch):
    # law of total variance: the x_s drawn by way of x_t has the law of the direct x_s
    schedule, t, shape = batch
    zero, one = torch.zeros(shape).double(), torch.ones(shape).double()
    mean_t, std_t = q_sample(schedule, one, t, zero), q_sample(schedule, zero, t, one)
    mean, variance = q_posterior(schedule, one, mean_t, t)
    gain, _ = q_posterior(schedule, zero, one, t)
    for i, step in enumerate(t.tolist()):
        total = gain[i] ** 2 * std_t[i] ** 2 + variance[i]
        close(mean[i], schedule.alpha_bar[step - 1].sqrt().expand(shape[1:]), rtol=1e-11)
        left = schedule.one_minus_alpha_bar[step - 1].expand(shape[1:])
        close(total, left, rtol=1e-11, atol=1e-15)


def test_between_is_the_chain_of_the_steps_in_between():
    for schedule in SCHEDULES.values():
        exact = exact_tables(schedule)["alpha_bar"]
        for t, s in {(schedule.T, 0), (schedule.T, schedule.T // 2), (1, 0)}:
            beta_ts, alpha_ts = transition(schedule, torch.tensor([t]), torch.tensor([s]))
            ratio = exact[t] / exact[s]
            close(beta_ts, [float(1 - ratio)])
            close(alpha_ts, [float(ratio)])


# --- conversions


@pytest.mark.parametrize(("to", "own"), CONVERSIONS)
@pytest.mark.parametrize("t", [1, 2, 300, 1000])
def test_conversions_solve_two_linear_equations(to, own, t):
    # x_t and one quantity are two equations for x_0 and noise: Cramer, with 50 digits
    (a, s), rows = exact_rows(LINEAR, t)
    x_t, values, _, _ = all_quantities(
        LINEAR, normal(1, 4), normal(1, 4, seed=1), torch.tensor([t])
    )
    result = conversion(to, own)(LINEAR, x_t, torch.tensor([t]), values[own])
    c, d = rows[own]
    for i in range(4):
        right = EXACT.mpf(float(x_t[0, i])), EXACT.mpf(float(values[own][0, i]))
        determinant = a * d - s * c
        x_0 = (right[0] * d - s * right[1]) / determinant
        noise = (a * right[1] - c * right[0]) / determinant
        exact = rows[to][0] * x_0 + rows[to][1] * noise
        # differences of numbers near 1, rounded some times by 1e-16, are divided by s^2
        # where the score is asked for: by 1e-4 at t = 1
        close(result[0, i], float(exact), atol=max(1e-12, 1e-15 / float(s) ** 2))


@pytest.mark.parametrize(("to", "own"), CONVERSIONS)
@given(batch=batches())
def test_conversions_there_and_back(to, own, batch):
    schedule, t, shape = batch
    x_t, values, a, s = all_quantities(schedule, normal(*shape), normal(*shape, seed=1), t)
    there = conversion(to, own)(schedule, x_t, t, values[own])
    back = conversion(own, to)(schedule, x_t, t, there)
    assert there.shape == x_t.shape and there.dtype == torch.float64
    room = 1e-13 * (1 + 1 / a) / s**2  # division by a or s costs that many digits
    assert ((there - values[to]).abs() <= room * (1 + values[to].abs())).all()
    assert ((back - values[own]).abs() <= room * (1 + values[own].abs())).all()


@pytest.mark.parametrize(("to", "own"), CONVERSIONS)
def test_conversions_at_zero_terminal_snr(to, own):
    schedule = SCHEDULES["zero-snr"]
    t = torch.tensor([4, 1])
    x_0, noise = normal(2, 3), normal(2, 3, seed=1)
    x_t, values, _, _ = all_quantities(schedule, x_0, noise, t)
    close(x_t[0], noise[0], rtol=0)
    close(values["v"][0], -x_0[0], rtol=0)
    if (to, own) in DIVIDE_BY_A:
        message = rf"{to}_from_{own} divides by sqrt\(alpha_bar_t\).* 0 at t = 4"
        with pytest.raises(ValueError, match=message):
            conversion(to, own)(schedule, x_t, t, values[own])
    else:
        close(conversion(to, own)(schedule, x_t, t, values[own]), values[to], atol=1e-12)


def test_conversions_fit_autograd_of_the_log_density():
    t = torch.tensor([250])
    x_0, noise = normal(1, 2), normal(1, 2, seed=1)
    x_t = q_sample(LINEAR, x_0, t, noise).requires_grad_()
    law = torch.distributions.Normal(
        LINEAR.alpha_bar[250].sqrt() * x_0, LINEAR.one_minus_alpha_bar[250].sqrt()
    )
    law.log_prob(x_t).sum().backward()
    close(ddpm_lite.score_from_noise(LINEAR, x_t.detach(), t, noise), x_t.grad, atol=1e-12)
    close(ddpm_lite.score_from_x_0(LINEAR, x_t.detach(), t, x_0), x_t.grad, atol=1e-12)


# --- the variance of the reverse step


@given(batches())
def test_reverse_variance(batch):
    schedule, t, shape = batch
    x_t = normal(*shape)
    small = reverse_variance(schedule, x_t, t, t - 1, "small").flatten()
    large = reverse_variance(schedule, x_t, t, t - 1, "large").flatten()
    close(small, schedule.posterior_variance[t])
    close(large, torch.where(t > 1, schedule.beta[t], 0.0))
    s = t // 2
    _, posterior = q_posterior(schedule, x_t, x_t, t, s)
    close(reverse_variance(schedule, x_t, t, s, "small"), posterior)
    ratio = schedule.alpha_bar[t] / schedule.alpha_bar[s]
    large = reverse_variance(schedule, x_t, t, s, "large").flatten()
    close(large, torch.where(s > 0, 1 - ratio, 0.0), atol=1e-15, rtol=1e-9)


def test_reverse_variance_of_one_s_own():
    x_t, t = normal(2, 2), torch.tensor([5, 1])
    own = reverse_variance(LINEAR, x_t, t, t - 1, lambda x, t, s: x**2 + (t - s)[:, None])
    close(own, x_t**2 + 1)
    for bad in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"function gave must be finite and >= 0, got"):
            reverse_variance(LINEAR, x_t, t, t - 1, lambda *_, b=bad: torch.tensor(b))
    for name in ("fixed", None, 3):
        with pytest.raises(ValueError, match=r"variance must be one of small, large, got"):
            reverse_variance(LINEAR, x_t, t, t - 1, name)


# --- asking a denoiser


def test_predict_x_0_reads_what_the_answer_means():
    t = torch.tensor([1, 700, 1000])
    x_0, noise = normal(3, 2), normal(3, 2, seed=1)
    x_t, values, _, _ = all_quantities(LINEAR, x_0, noise, t)
    for prediction in PREDICTIONS:
        model = lambda x, t, p=prediction: values[p]  # noqa: E731
        pred = predict_x_0(model, LINEAR, x_t, t, None, prediction, None)
        close(pred, x_0, atol=1e-12)
        clipped = predict_x_0(model, LINEAR, x_t, t, None, prediction, (-0.5, 0.25))
        close(clipped, x_0.clamp(-0.5, 0.25), atol=1e-12)
        assert clipped.max() == 0.25 and clipped.min() == -0.5


def test_predict_hands_over_y_only_where_it_is_given():
    x_t, t = normal(3, 2), torch.tensor([1, 2, 3])
    close(predict(lambda x, t: x, x_t, t), x_t, rtol=0)
    y = torch.tensor([1.0, 2.0, 3.0])
    close(predict(lambda x, t, y: x + y[:, None], x_t, t, y), x_t + y[:, None], rtol=0)
    assert predict(lambda x, t: x.float(), x_t, t).dtype == torch.float64
    with pytest.raises(ValueError, match=r"x_t and model_output .* \(3, 2\) and \(3, 1\)"):
        predict(lambda x, t: x[:, :1], x_t, t)


def test_prediction_of():
    assert prediction_of(Constant(0)) == "noise"
    assert prediction_of(Constant(0, "v"), "v") == "v"
    assert prediction_of(lambda x, t: x, "x_0") == "x_0"
    with pytest.raises(ValueError, match=r"model predicts 'v', but prediction='noise'"):
        prediction_of(Constant(0, "v"), "noise")
    for name in (None, "epsilon", 1):
        with pytest.raises(
            ValueError, match=r"prediction must be one of noise, x_0, v, flow, got"
        ):
            prediction_of(lambda x, t: x, name)


# --- dtypes and bad input, for everything that takes (schedule, tensor, t, tensor)

FUNCTIONS = {"q_step": q_step, "q_sample": q_sample}
FUNCTIONS |= {f"{to}_from_{own}": conversion(to, own) for to, own in CONVERSIONS}


def posterior_mean(schedule, x_t, t, x_0):
    return q_posterior(schedule, x_0, x_t, t)[0]


FUNCTIONS["q_posterior"] = posterior_mean
EVERY = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


@EVERY
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
    ],
)
def test_dtype(function, dtype, expected):
    t = torch.tensor([1, 400, 1000])
    x, y = normal(3, 2).to(dtype), normal(3, 2, seed=1).to(dtype)
    result = function(LINEAR, x, t, y)
    assert result.dtype == expected
    # the arithmetic is that of the wider type, however narrow the input
    exact = function(LINEAR, x.double(), t, y.double())
    tolerance = 1e-12 if expected == torch.float64 else 2e-4
    close(result.double(), exact, rtol=tolerance, atol=tolerance)


@EVERY
@pytest.mark.parametrize(
    ("t", "error", "message"),
    [
        ([0, 1, 1], ValueError, r"t must lie in 1\.\.1000, got values from 0 to 1"),
        ([1, 1, 1001], ValueError, r"t must lie in 1\.\.1000, got values from 1 to 1001"),
        ([-1, 1, 1], ValueError, r"t must lie in 1\.\.1000, got values from -1"),
        ([1, 2], ValueError, r"t must have shape \(3,\).* got \(2,\)"),
        ([1], ValueError, r"t must have shape \(3,\).* got \(1,\)"),
        ([[1], [2], [3]], ValueError, r"t must have shape \(3,\).* got \(3, 1\)"),
        ([1.0, 2.0, 3.0], TypeError, r"t must be an int64 tensor .* got torch.float32"),
    ],
)
def test_bad_t(function, t, error, message):
    with pytest.raises(error, match=message) as caught:
        function(LINEAR, normal(3, 2), torch.tensor(t), normal(3, 2))
    assert "\n" not in str(caught.value)


@EVERY
def test_t_of_another_type(function):
    with pytest.raises(TypeError, match=r"int64 tensor of shape \(B,\), got torch.int32"):
        function(LINEAR, normal(3, 2), torch.tensor([1, 2, 3]).int(), normal(3, 2))
    with pytest.raises(TypeError, match=r"int64 tensor of shape \(B,\), got int"):
        function(LINEAR, normal(3, 2), 1, normal(3, 2))


@EVERY
@pytest.mark.parametrize("shape", [(1, 2), (3, 1), (2,), (3, 2, 1), (4, 2)])
def test_shapes_are_never_broadcast(function, shape):
    with pytest.raises(ValueError, match=r"must have the same shape, got \(") as caught:
        function(LINEAR, normal(3, 2), torch.tensor([1, 2, 3]), normal(*shape))
    assert str(shape) in str(caught.value) and "(3, 2)" in str(caught.value)


@pytest.mark.parametrize(
    ("s", "error", "message"),
    [
        ([3, 0], ValueError, r"s must be smaller than t, got s = 3 for t = 3"),
        ([2, 9], ValueError, r"s must (lie|be smaller)"),
        ([-1, 0], ValueError, r"s must lie in 0\.\.9, got values from -1 to 0"),
        ([1], ValueError, r"s must have shape \(2,\)"),
        ([1.0, 2.0], TypeError, r"s must be an int64 tensor"),
    ],
)
def test_bad_s(s, error, message):
    x = normal(2, 2)
    with pytest.raises(error, match=message):
        q_posterior(LINEAR, x, x, torch.tensor([3, 9]), torch.tensor(s))


def test_default_schedule_is_left_as_it_was():
    before = Schedule.linear(1000).alpha_bar
    assert torch.equal(LINEAR.alpha_bar, before)
