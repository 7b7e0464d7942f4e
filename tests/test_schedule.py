r"""The tables: against 50-digit arithmetic, published numbers, and what always holds."""

import math
import warnings

import pytest
import torch
from helpers import (
    EXACT,
    close,
    exact_tables,
    of_another_machine,
    schedules,
    some_schedules,
    worst,
)
from hypothesis import given

from ddpm_lite import Schedule
from ddpm_lite.schedule import at, spread

SCHEDULES = some_schedules()


@pytest.mark.parametrize("name", SCHEDULES)
def test_tables_agree_with_fifty_digits(name):
    schedule, exact = SCHEDULES[name], exact_tables(SCHEDULES[name])
    for table, numbers in exact.items():
        assert worst(getattr(schedule, table), numbers) <= 1e-12, table
    close(schedule.alpha, 1 - schedule.beta, rtol=0)
    logs = [EXACT.log(a) if a else -EXACT.inf for a in exact["alpha_bar"]]
    assert worst(schedule.log_alpha_bar, logs) <= 1e-12


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_the_same_on_another_machine_and_no_other_is(name):
    schedule = SCHEDULES[name]
    other = of_another_machine(schedule)
    assert not torch.equal(other.beta, schedule.beta)
    assert schedule.same_as(other) and other.same_as(schedule)
    assert not schedule.same_as(Schedule.from_beta(schedule.beta[1:] * (1 - 1e-6)))
    assert not schedule.same_as(Schedule.from_beta([0.5, *schedule.beta[1:].tolist()]))


def test_one_minus_alpha_bar_keeps_its_digits_where_the_difference_loses_them():
    schedule = Schedule.from_beta([1e-9] * 20)
    exact = exact_tables(schedule)["one_minus_alpha_bar"]
    assert worst(schedule.one_minus_alpha_bar, exact) <= 1e-15
    assert worst(1 - schedule.alpha_bar, exact) > 1e-9


def test_posterior_variance_is_equation_7():
    # beta_t (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t), from fractions of the same tables
    beta = [EXACT.mpf(b) / 10 for b in (1, 2, 3, 4)]
    schedule = Schedule.from_beta([float(b) for b in beta])
    alpha_bar = [EXACT.fprod(1 - b for b in beta[:t]) for t in range(5)]
    for t in range(1, 5):
        eq_7 = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta[t - 1]
        assert abs(schedule.posterior_variance[t] - float(eq_7)) <= 1e-12 * float(eq_7)


@pytest.mark.parametrize("T", [2, 50, 1000])
def test_linear_beta(T):
    start, end = EXACT.mpf(1e-4), EXACT.mpf(0.02)
    exact = [start + (end - start) * k / (T - 1) for k in range(T)]
    assert worst(Schedule.linear(T).beta[1:], exact) <= 1e-12


@pytest.mark.parametrize("T", [1, 10, 1000])
def test_cosine_beta(T):
    mp, s = EXACT, EXACT.mpf(0.008)
    f = [mp.cos((mp.mpf(t) / T + s) / (1 + s) * mp.pi / 2) ** 2 for t in range(T + 1)]
    exact = [min(1 - f[t] / f[t - 1], mp.mpf(0.999)) for t in range(1, T + 1)]
    assert worst(Schedule.cosine(T).beta[1:], exact) <= 1e-12


def test_cosine_arguments():
    close(Schedule.cosine(20, max_beta=0.4).beta.max(), 0.4)
    assert Schedule.cosine(20, max_beta=1).alpha_bar[-1] < 1e-16
    assert Schedule.cosine(20, s=0.1).beta[1] > Schedule.cosine(20).beta[1]


@pytest.mark.parametrize("T", [2, 100])
def test_sigmoid_beta_of_the_lecture(T):
    mp, start, end = EXACT, EXACT.mpf(1e-5), EXACT.mpf(0.5e-2)
    points = [-6 + mp.mpf(12) * k / (T - 1) for k in range(T)]
    exact = [start + (end - start) / (1 + mp.exp(-p)) for p in points]
    assert worst(Schedule.sigmoid(T, 1e-5, 0.5e-2).beta[1:], exact) <= 1e-12


@pytest.mark.parametrize("T", [1, 2, 10, 1000])
def test_flow_is_a_straight_line_at_the_size_of_a_chain(T):
    mp = EXACT
    shares = [mp.mpf(t) / T for t in range(T + 1)]
    kept = [(1 - u) ** 2 / ((1 - u) ** 2 + u**2) for u in shares]
    exact = [1 - kept[t] / kept[t - 1] for t in range(1, T + 1)]
    schedule = Schedule.flow(T)
    assert worst(schedule.beta[1:], exact) <= 1e-12
    assert schedule.alpha_bar[-1] == 0 and schedule.beta[-1] == 1
    a, s = schedule.alpha_bar.sqrt(), schedule.one_minus_alpha_bar.sqrt()
    close(s / (a + s), torch.arange(T + 1).double() / T, rtol=1e-10, atol=1e-14)
    with pytest.raises(ValueError, match="T"):
        Schedule.flow(0)


def test_published_numbers():
    linear, cosine = Schedule.linear(), Schedule.cosine()
    close(linear.alpha_bar[-1], 4.0358e-5, rtol=1e-4)
    close(cosine.alpha_bar[-1], 2.43e-9, rtol=2e-3)
    assert int((cosine.beta == 0.999).sum()) == 1  # cut off in exactly one place
    close(Schedule.linear(100).alpha_bar[-1], 0.364, rtol=2e-3)


@given(schedules())
def test_what_holds_for_every_schedule(schedule):
    tables = "beta alpha alpha_bar one_minus_alpha_bar log_alpha_bar posterior_variance"
    for name in tables.split():
        table = getattr(schedule, name)
        assert table.shape == (schedule.T + 1,) and table.dtype == torch.float64
        assert torch.isfinite(table).all()
    assert schedule.beta[0] == 0 and schedule.alpha_bar[0] == 1 and schedule.alpha[0] == 1
    assert (schedule.posterior_variance[:2] == 0).all()
    assert (schedule.alpha_bar.diff() < 0).all()
    assert (schedule.one_minus_alpha_bar.diff() >= 0).all()
    assert (schedule.posterior_variance[1:] < schedule.beta[1:]).all()
    close(schedule.alpha_bar, schedule.alpha.cumprod(0), rtol=1e-12)


@given(schedules())
def test_from_beta_gives_the_same_schedule_back(schedule):
    again = Schedule.from_beta(schedule.beta[1:].tolist())
    assert torch.equal(again.alpha_bar, schedule.alpha_bar)


def test_from_beta_takes_lists_arrays_and_float32():
    beta = torch.tensor([0.1, 0.2], dtype=torch.float32)
    schedule = Schedule.from_beta(beta.requires_grad_())
    assert schedule.beta.dtype == torch.float64 and not schedule.beta.requires_grad
    close(schedule.beta[1:], beta.detach().double(), rtol=0)
    assert Schedule.from_beta(beta.detach().numpy()).T == 2


@pytest.mark.parametrize(
    "schedule", [Schedule.linear(), Schedule.cosine(50), Schedule.sigmoid(100, 1e-5, 5e-3)]
)
def test_from_alpha_bar_gives_the_same_schedule_back(schedule):
    again = Schedule.from_alpha_bar(schedule.alpha_bar[1:].tolist())
    # two numbers near 1, each right to 1.2e-16, and their difference beta >= 1e-5
    torch.testing.assert_close(again.beta, schedule.beta, rtol=3e-11, atol=0)
    torch.testing.assert_close(again.alpha_bar, schedule.alpha_bar, rtol=1e-12, atol=0)


def test_from_alpha_bar_may_end_at_zero():
    schedule = Schedule.from_alpha_bar([0.5, 0.25, 0.0])
    assert schedule.beta.tolist() == [0, 0.5, 0.5, 1]


@pytest.mark.parametrize(
    ("alpha_bar", "message"),
    [
        ([1.0, 0.5], r"alpha_bar_1 = 1.0 after 1.0"),
        ([0.5, 0.5], r"alpha_bar_2 = 0.5 after 0.5"),
        ([0.5, -0.1], r"alpha_bar_2 = -0.1"),
        ([float("nan")], r"alpha_bar_1 = nan"),
        ([], "T >= 1 numbers"),
        ([[0.5, 0.2]], "T >= 1 numbers"),
        (0.5, "T >= 1 numbers"),
    ],
)
def test_alpha_bar_that_does_not_fall_is_refused(alpha_bar, message):
    with pytest.raises(ValueError, match=message):
        Schedule.from_alpha_bar(alpha_bar)


def test_prior_gap_is_the_kl_of_two_gaussians():
    for second_moment in (0.0, 0.5, 1.0, 4.0):
        schedule = Schedule.linear(100)
        gap = schedule.prior_gap(second_moment, warn=False)
        a = EXACT.mpf(float(schedule.alpha_bar[-1]))
        kl = (a * second_moment + (1 - a) - 1 - EXACT.log(1 - a)) / 2
        assert abs(gap.kl - float(kl)) <= 1e-12 * float(kl)
        assert gap.alpha_bar_T == float(schedule.alpha_bar[-1])
        assert abs(gap.signal_left**2 - gap.alpha_bar_T) <= 1e-12 * gap.alpha_bar_T


@pytest.mark.parametrize(
    ("schedule", "kl"),
    [
        (Schedule.linear(1000), 2e-5),
        (Schedule.linear(500), 3e-3),
        (Schedule.linear(200), 0.07),
        (Schedule.sigmoid(100, 1e-5, 0.5e-2), 0.75),
    ],
)
def test_prior_gap_of_known_chains(schedule, kl):
    assert abs(schedule.prior_gap(warn=False).kl - kl) <= 0.07 * kl


def test_prior_gap_warns_above_a_thousandth_of_a_nat():
    with pytest.warns(UserWarning, match=r"t = 200, L_T = 0\.07.* nats"):
        Schedule.linear(200).prior_gap()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Schedule.linear(200).prior_gap(warn=False)
        Schedule.linear(1000).prior_gap()
        Schedule.cosine(50).prior_gap()
    with pytest.warns(UserWarning, match="not yet"):
        Schedule.linear(1000).prior_gap(second_moment=100.0)


def test_zero_terminal_snr():
    schedule = SCHEDULES["zero-snr"]
    assert schedule.alpha_bar[-1] == 0 and schedule.one_minus_alpha_bar[-1] == 1
    assert schedule.log_alpha_bar[-1] == -math.inf
    assert schedule.prior_gap().kl == 0


@given(schedules())
def test_at_gathers_and_keeps_the_dtype(schedule):
    t = torch.tensor([0, schedule.T, 1])
    for dtype, expected in [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
    ]:
        value = at(schedule.alpha_bar, t, torch.zeros(3, 1, 4, 4, dtype=dtype))
        assert value.shape == (3, 1, 1, 1) and value.dtype == expected
    close(
        at(schedule.beta, t, torch.zeros(3, 2).double())[:, 0],
        [0.0, schedule.beta[-1], schedule.beta[1]],
        rtol=0,
    )
    assert spread(torch.ones(3), torch.zeros(3, 2)).shape == (3, 1)


def test_tables_cannot_be_replaced():
    with pytest.raises(AttributeError):
        Schedule.linear(3).T = 4


@pytest.mark.parametrize(
    ("beta", "message"),
    [
        ([0.1, 0.0, 0.2], r"in \(0, 1\).* got beta_2 = 0\.0"),
        ([-0.1, 0.2], r"in \(0, 1\).* got beta_1 = -0\.1"),
        ([0.1, 1.0, 0.2], r"only the last may be 1; got beta_2 = 1\.0"),
        ([0.1, 1.5], r"in \(0, 1\).* got beta_2 = 1\.5"),
        ([0.1, math.nan], r"in \(0, 1\).* got beta_2 = nan"),
        ([0.1, math.inf], r"in \(0, 1\).* got beta_2 = inf"),
        ([], r"T >= 1 numbers, got shape \(0,\)"),
        ([[0.1], [0.2]], r"T >= 1 numbers, got shape \(2, 1\)"),
        ([0.1, 1e-17], r"alpha_bar must decrease at every step.* t = 2"),
        ([0.5] * 1100, r"alpha_bar must decrease at every step.* t = 107\d"),
    ],
)
def test_beta_out_of_range(beta, message):
    with pytest.raises(ValueError, match=message) as error:
        Schedule.from_beta(beta)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("T", [0, -1, True, 2.5, "10", None])
@pytest.mark.parametrize("kind", ["linear", "cosine", "sigmoid"])
def test_T_must_be_an_integer_from_1(T, kind):
    with pytest.raises(ValueError, match=r"T must be an integer >= 1, got ") as error:
        getattr(Schedule, kind)(T)
    assert repr(T) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(s=-0.1), r"s must be a number >= 0, got -0\.1"),
        (dict(max_beta=0), r"max_beta must be a number in .* got 0"),
        (dict(max_beta=1.1), r"max_beta must be a number in .* got 1\.1"),
        (dict(s=math.nan), "s must be a number >= 0, got nan"),
    ],
)
def test_cosine_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        Schedule.cosine(10, **arguments)


def test_negative_second_moment():
    with pytest.raises(ValueError, match=r"second_moment must be .* got -1"):
        Schedule.linear(10).prior_gap(-1)


@pytest.mark.parametrize("name", ["linear", "sigmoid"])
@pytest.mark.parametrize("ends", [(0.0, 0.02), (-1e-5, 0.02), (1e-4, 1.001), (1e-4, 5.0)])
def test_end_points_outside_the_range_are_refused(name, ends):
    with pytest.raises(ValueError, match=r"beta_(start|end) must lie in \(0, 1\], got"):
        getattr(Schedule, name)(100, *ends)


def test_the_gap_of_a_chain_that_starts_early_is_measured_where_it_starts():
    schedule = Schedule.linear(1000)
    early = schedule.prior_gap(t=500, warn=False)
    assert early.alpha_bar_T == float(schedule.alpha_bar[500]) and early.kl > 0.03
    with pytest.warns(UserWarning, match=r"left at t = 500"):
        schedule.prior_gap(t=500)
    with pytest.raises(ValueError, match=r"t must be an integer in 1\.\.1000, got 1001"):
        schedule.prior_gap(t=1001)


@pytest.mark.parametrize(
    ("beta", "t", "why"),
    [
        ([0.9] * 400, 325, "too large or too many"),  # 0.1^324 is 0 in float64
        ([0.1, 1e-20, 0.1], 2, "too small"),
    ],
    ids=["large", "small"],
)
def test_what_is_wrong_with_beta_is_said(beta, t, why):
    with pytest.raises(ValueError, match=rf"not at t = {t} .*beta are {why}"):
        Schedule.from_beta(torch.tensor(beta, dtype=torch.float64))
