r"""The laboratory: propagation against by-hand recursions and draws, and seeded faults."""

import json
import math
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from helpers import close, f64, normal
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpm_lite import (
    GaussianOracle,
    MixtureOracle,
    Schedule,
    data,
    load_results,
    sample,
    simple_loss,
    timestep_pairs,
)
from ddpm_lite.commands import main as cli
from ddpm_lite.evaluation import metrics
from ddpm_lite.lab import exact
from ddpm_lite.lab import page as lab_page
from ddpm_lite.lab.doctor.loss import linear_ceiling
from ddpm_lite.lab.exact import STEPS, Law, propagate
from ddpm_lite.sampling.sampler import ancestral_step, ddim_step
from ddpm_lite.sampling.solvers import heun_step

RESULTS = Path(__file__).parents[2] / "figures" / "runs" / "lab.json"
LINEAR, COSINE = Schedule.linear(1000), Schedule.cosine(1000)
MEAN, VARIANCE = f64([0.7, -0.4, 0.0]), f64([0.09, 0.5, 0.002])
LAW = Law(MEAN[None], VARIANCE[None])
LAWS = exact.laws()


def digits(name, calls, spacing="trailing", schedule=LINEAR):
    r"""The exact Frechet distance of a sampler from the digits' Gaussian."""
    pairs = exact.walk(name, schedule, calls, spacing)
    return exact.exact_errors(LAWS["gaussian"], schedule, name, pairs)["frechet"]


# --- propagation


def test_the_ends_that_are_known():
    found = lab_page.deviations_at_the_end()
    assert len(found) == 5
    for key, deviation in found.items():
        assert abs(deviation - lab_page.ENDS[key]) <= 5e-5, key


@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("steps", [1, 7, 50])
def test_propagation_is_the_recursion_by_hand(variance, steps):
    oracle, pairs = LAW.denoiser(COSINE), timestep_pairs(1000, steps)
    mean, total = f64([0.0] * 3), f64([1.0] * 3)
    for t, s in pairs:
        a, b = float(COSINE.alpha_bar[t]), float(COSINE.alpha_bar[s])
        left_t, left_s = (float(COSINE.one_minus_alpha_bar[k]) for k in (t, s))
        gain = math.sqrt(a) * VARIANCE / (a * VARIANCE + left_t)  # of E[x_0 | x_t]
        beta = (left_t - left_s * a / b) if s else left_t
        on_x_0, on_x_t = math.sqrt(b) * beta / left_t, math.sqrt(a / b) * left_s / left_t
        fresh = beta * (left_s / left_t if variance == "small" else s > 0)
        slope = on_x_0 * gain + on_x_t
        mean = slope * mean + on_x_0 * (MEAN - gain * math.sqrt(a) * MEAN)
        total = slope**2 * total + fresh
    step = STEPS[f"ancestral, {variance}"]
    found = propagate(oracle, COSINE, step, pairs)
    close(found[0], mean, rtol=1e-9, atol=1e-12)
    close(found[1], total, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["ddim", "heun", "dpmpp_2m"])
@pytest.mark.parametrize("spacing", ["trailing", "quadratic"])
def test_propagation_of_a_deterministic_sampler_is_the_sample_itself(name, spacing):
    # a start without variance: where the chain takes this x_T
    oracle, pairs = LAW.denoiser(LINEAR), exact.walk(name, LINEAR, 19, spacing)
    x_T = normal(1, 3)
    options = dict(pairs=pairs, x_T=x_T, progress=False, dtype=torch.float64)
    x_0 = sample(oracle, LINEAR, (1, 3), sampler=STEPS[name], **options)
    by_name = sample(oracle, LINEAR, (1, 3), sampler=name, **options)
    mean, variance = propagate(
        oracle, LINEAR, STEPS[name], pairs, mean=x_T[0], variance=torch.zeros(3)
    )
    close(mean, x_0[0], rtol=1e-9)
    close(mean, by_name[0], rtol=1e-9)
    assert (variance == 0).all()


@pytest.mark.parametrize("calls", [5, 30])
@pytest.mark.parametrize("name", [*STEPS, "ddim, 0.5"])
def test_propagation_agrees_with_draws(name, calls):
    n, step = 1500, STEPS.get(name, partial(ddim_step, eta=0.5))
    oracle, pairs = LAW.denoiser(LINEAR), exact.walk(name, LINEAR, calls)
    mean, variance = propagate(oracle, LINEAR, step, pairs)
    options = dict(pairs=pairs, seed=calls, progress=False, dtype=torch.float64)
    x_0 = sample(oracle, LINEAR, (n, 3), sampler=step, **options)
    assert ((x_0.mean(0) - mean).abs() <= 5 * (variance / n).sqrt() + 1e-12).all()
    off = (x_0.var(0) - variance).abs()
    assert (off <= 5 * variance * math.sqrt(2 / (n - 1)) + 1e-12).all()


def test_the_right_variance_from_the_right_start_keeps_the_law():
    law = LAWS["gaussian"]
    (centre,), (true,) = law.centres, law.variances
    oracle, a, left = law.denoiser(LINEAR), LINEAR.alpha_bar, LINEAR.one_minus_alpha_bar
    step = partial(ancestral_step, variance=oracle.reverse_variance)
    for pairs in (timestep_pairs(1000, 10), [(600, 200), (200, 40)]):
        t, s = pairs[0][0], pairs[-1][1]
        start = dict(mean=a[t].sqrt() * centre, variance=a[t] * true + left[t])
        mean, variance = propagate(oracle, LINEAR, step, pairs, **start)
        close(mean, a[s].sqrt() * centre, rtol=1e-9, atol=1e-12)
        close(variance, a[s] * true + left[s], rtol=1e-9, atol=1e-12)


@settings(max_examples=20)
@given(st.sets(st.integers(1, 1000), min_size=1, max_size=8))
def test_ddim_with_eta_1_is_ancestral_on_any_list_of_steps(stops):
    pairs = list(pairwise([*sorted(stops, reverse=True), 0]))
    assert lab_page.eta_1_is_ancestral(LAWS["gaussian"], LINEAR, pairs) <= 1e-10


def test_what_propagation_refuses():
    mixture = MixtureOracle(LINEAR, [[0.0, 1.0], [1.0, 0.0]], 0.1)
    mixed = GaussianOracle(LINEAR, [0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]])
    pairs = timestep_pairs(1000, 3)
    for oracle in (mixture, mixed):
        with pytest.raises(
            ValueError, match=r"affine in each dimension alone, but a probe"
        ):
            propagate(oracle, LINEAR, ddim_step, pairs)

    def clipped(schedule, x_t, x_0_pred, t, s, noise):
        return ddim_step(schedule, x_t, x_0_pred.clamp(-0.1, 0.1), t, s, noise)

    with pytest.raises(ValueError, match=r"no clipping"):
        propagate(LAW.denoiser(LINEAR), LINEAR, clipped, pairs)


def test_the_frechet_distance_is_that_of_metrics():
    # of two samples whose dimensions are independent to the last digit
    x = normal(4, 3)
    x, _ = torch.linalg.qr(torch.cat([torch.ones(4, 1).double(), x], 1))
    y = x[:, 1:] * f64([1.0, 2.0, 3.0]) + f64([0.5, 0.0, -1.0])
    z = x[:, 1:] * f64([0.5, 2.5, 1.0])
    own = exact.frechet(y.mean(0), y.var(0), z.mean(0), z.var(0))
    assert abs(own - metrics.frechet_distance(y, z)) <= 1e-9


# --- the data, and the loss that is left


def test_each_law_has_the_moments_that_it_says_and_the_right_denoiser():
    kinds = {k: type(law.denoiser(LINEAR)).__name__ for k, law in LAWS.items()}
    assert kinds == {
        "gaussian": "GaussianOracle",
        "mixture": "MixtureOracle",
        "finite set": "DataOracle",
    }
    for law in LAWS.values():
        x, (mean, covariance) = law.draw(4000, 3), law.moments()
        error = (covariance.diag() / 4000).sqrt()
        assert ((x.mean(0) - mean).abs() <= 5 * error + 1e-12).all()
        off = (torch.cov(x.T) - covariance).norm() / covariance.norm()
        assert off <= 0.1
    x, _ = data.digits()
    _, covariance = LAWS["gaussian"].moments()
    assert abs(float(covariance.trace() / x.flatten(1).var(0).sum()) - 1) <= 1e-6


@pytest.mark.parametrize("t", [10, 300])
def test_the_floor_is_what_the_exact_denoiser_loses_and_a_dose_adds_its_square(t):
    for kind, law in LAWS.items():
        found = exact.loss_floor(law, LINEAR, t)
        assert abs(found["loss"] - found["floor"]) <= 5 * found["standard_error"] + 1e-9
        if kind == "gaussian":
            v, a, left = law.variances, LINEAR.alpha_bar[t], LINEAR.one_minus_alpha_bar[t]
            close(f64(found["floor"]), (a * v / (a * v + left)).mean())
            x, _ = data.digits()  # and by the doctor's way, with N for N - 1
            ceiling = float(linear_ceiling(LINEAR, x, torch.tensor([t])))
            assert abs(found["floor"] / ceiling - 1) <= 1e-3
    law = LAWS["gaussian"]
    model = exact.Dosed(law.denoiser(LINEAR), bias=0.2)
    dosed = exact.loss_floor(law, LINEAR, t, model=model)
    off = abs(dosed["loss"] - dosed["floor"] - 0.04)
    assert off <= 5 * dosed["standard_error"] and dosed["standard_error"] <= 0.005


def test_a_dose_shifts_the_mean_as_a_sample_says_and_fresh_noise_repairs_it():
    oracle, pairs = LAW.denoiser(LINEAR), timestep_pairs(1000, 50)
    late = dict(low=501)
    kept = {}
    for name in ("ddim", "ancestral, small"):
        undosed, _ = propagate(oracle, LINEAR, STEPS[name], pairs)
        for delta in (0.05, 0.1):
            model = exact.Dosed(oracle, bias=delta, **late)
            mean, _ = propagate(model, LINEAR, STEPS[name], pairs)
            kept[name, delta] = (mean - undosed).abs() / delta
        close(kept[name, 0.05], kept[name, 0.1], rtol=1e-6)
    assert (kept["ancestral, small", 0.1] < kept["ddim", 0.1] / 3)[[0, 2]].all()
    model = exact.Dosed(oracle, gain=0.05, bias=-0.1, low=100, high=700)
    options = dict(pairs=pairs, x_T=normal(1, 3), progress=False, dtype=torch.float64)
    x_0 = sample(model, LINEAR, (1, 3), sampler="ddim", **options)
    start = dict(mean=options["x_T"][0], variance=torch.zeros(3))
    mean, _ = propagate(model, LINEAR, ddim_step, pairs, **start)
    close(mean, x_0[0], rtol=1e-9)


# --- few steps


@pytest.mark.parametrize("name", STEPS)
def test_order_of_convergence(name):
    order = exact.order_of_convergence(STEPS[name])
    assert abs(order - (1 if name[:4] in ("ance", "ddim") else 2)) <= 0.2


def test_the_step_to_sigma_0_adds_an_error_that_does_not_shrink():
    # sigma^2 / (2 variance) of the deviation, with sigma = 0.02
    for N in (160, 320):
        error = exact.convergence_error(heun_step, N, to_clean=True)
        assert abs(error / (0.02**2 / 0.18 * 0.3) - 1) <= 0.2
    assert exact.convergence_error(heun_step, 320) <= error / 10


@pytest.mark.parametrize("schedule", [LINEAR, COSINE], ids=["linear", "cosine"])
def test_2m_is_nearer_than_ddim_at_equal_calls(schedule):
    for spacing in ("trailing", "quadratic"):
        assert digits("dpmpp_2m", 20, spacing, schedule) < 0.3 * digits(
            "ddim", 20, spacing, schedule
        )
    assert digits("dpmpp_2m", 20, "log_snr", schedule) < 0.005
    # a first jump from t = 1, before it one of 50, is more than two points can tell
    assert digits("dpmpp_2m", 20, "leading", schedule) > digits(
        "ddim", 20, "leading", schedule
    )


def test_leading_spacing_ruins_the_large_variance_and_trailing_does_not():
    large, small = "ancestral, large", "ancestral, small"
    assert digits(large, 20) < 0.1 * digits(small, 20)
    assert digits(large, 20, "leading") > 5 * digits(large, 20)


@pytest.mark.parametrize("schedule", [LINEAR, COSINE], ids=["linear", "cosine"])
def test_2m_keeps_the_width_of_each_mode_at_20_calls(schedule):
    law, pairs = LAWS["mixture"], exact.walk("dpmpp_2m", schedule, 20, "quadratic")
    ratio = exact.mode_widths(law, schedule, "dpmpp_2m", pairs, n=8192)
    assert len(pairs) == 20 and (ratio - 1).abs().max() <= 0.05, ratio
    trailing = exact.walk("dpmpp_2m", schedule, 20)
    ratio = exact.mode_widths(law, schedule, "dpmpp_2m", trailing, n=2048)
    assert (ratio - 1).abs().max() > 0.1


def test_drawn_errors_know_good_samples_from_bad_ones():
    law = LAWS["finite set"]
    floor = exact.drawn_errors(law, COSINE, "data", None, n=500)
    good = exact.drawn_errors(law, COSINE, "ddim", timestep_pairs(1000, 20), n=500)
    bad = exact.drawn_errors(law, COSINE, "ddim", [(1000, 0)], n=500)
    assert abs(floor["energy"]) <= 5 * floor["standard_error"] + 0.005
    assert abs(good["energy"]) <= 5 * good["standard_error"] + 0.005
    assert bad["energy"] > 0.3 and bad["covariance"] > 0.9 > 0.1 > good["covariance"]


def test_walks_count_network_calls():
    assert len(exact.walk("ddim", LINEAR, 20)) == 20
    assert len(exact.walk("heun", LINEAR, 20)) == 10  # 19 calls
    assert exact.walk("heun", COSINE, 9)[0][0] < 1000 == exact.walk("ddim", COSINE, 9)[0][0]
    assert len(exact.walk("ddim", Schedule.cosine(5), 20)) == 5
    with pytest.raises(ValueError, match=r"calls must be an integer >= 1, got 0"):
        exact.walk("ddim", LINEAR, 0)
    rows = exact.compare(LAW, LINEAR, (5, 900), ("trailing", "quadratic"))
    assert {(r["sampler"], r["spacing"], r["calls"]) for r in rows} >= {
        ("heun", "trailing", 899),
        ("ddim", "quadratic", 5),
    }
    assert ("ddim", "quadratic", 900) not in {
        (r["sampler"], r["spacing"], r["calls"]) for r in rows
    }


@pytest.mark.skipif(not RESULTS.exists(), reason="the package alone, without figures/")
def test_the_figure_s_numbers_are_today_s():
    found = load_results("lab")["frechet_of_the_digits_gaussian"]
    for kind, schedule in (("linear", LINEAR), ("cosine", COSINE)):
        for name in STEPS:
            for spacing in ("trailing", "leading"):
                columns = found[kind][name][spacing]
                number = columns["frechet"][columns["steps"].index(10)]
                pairs = timestep_pairs(exact.walk(name, schedule, 1)[0][0], 10, spacing)
                law = LAWS["gaussian"]
                own = exact.exact_errors(law, schedule, name, pairs)["frechet"]
                assert abs(own / number - 1) <= 1e-4, (kind, name, spacing)


# --- the page, and faults that are seeded


@pytest.fixture(scope="module")
def findings():
    return lab_page.examine(Schedule.cosine(10))


def test_the_page_asks_four_questions_in_order(findings):
    assert [f.what[0] for f in findings] == list("12333334")
    assert {f.level for f in findings} <= {"ok", "note"}, lab_page.page(findings)
    text = lab_page.page(findings)
    assert text.endswith("0 wrong, 0 to note") and max(map(len, text.split("\n"))) <= 100
    assert "dpmpp_2m_sde" in text and "nan" not in text


def test_the_command_prints_it(findings, monkeypatch, capsys):
    asked = []

    def examine(schedule):
        asked.append(schedule)
        return findings

    monkeypatch.setattr(lab_page, "examine", examine)
    assert cli.main(["doctor", "--lab", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [f["what"] for f in printed] == [f.what for f in findings]
    assert cli.main(["doctor", "s_curve", "--lab"]) == 0
    assert "4 network" in capsys.readouterr().out
    assert asked[0] is None and asked[1].T == 100


def test_a_schedule_that_ends_at_0_is_refused():
    with pytest.raises(ValueError, match=r"ends at alpha_bar = 0"):
        lab_page.examine(Schedule.from_beta([0.1, 0.5, 1.0]))


def broken(fault):
    r"""The ancestral step with one classic slip."""

    def step(schedule, x_t, x_0_pred, t, s, noise, *, variance="small"):
        options = dict(variance=variance)
        mean = ancestral_step(schedule, x_t, x_0_pred, t, s, 0 * noise, **options)
        fresh = ancestral_step(schedule, x_t, x_0_pred, t, s, noise, **options) - mean
        if fault == "noise at the last step":
            fresh = fresh + (s == 0)[:, None] * schedule.beta[t].sqrt()[:, None] * noise
        if fault == "beta for sqrt(beta)":
            one = ancestral_step(schedule, x_t, x_0_pred, t, s, 0 * noise + 1, **options)
            fresh = (one - mean) * fresh
        if fault == "alpha_bar_t for alpha_bar_s":
            a_t, a_s = schedule.alpha_bar[t].sqrt(), schedule.alpha_bar[s].sqrt()
            share = schedule.beta[t] / schedule.one_minus_alpha_bar[t]
            mean = mean + ((a_t - a_s) * share)[:, None] * x_0_pred
        return mean + fresh

    return step


@pytest.mark.parametrize(
    "fault",
    ["noise at the last step", "beta for sqrt(beta)", "alpha_bar_t for alpha_bar_s"],
)
def test_a_slip_in_the_step_moves_the_known_ends(fault, monkeypatch):
    monkeypatch.setattr(lab_page, "ancestral_step", broken(fault))
    assert lab_page._ends().level == "wrong"
    law, pairs = LAWS["gaussian"], timestep_pairs(1000)
    right = STEPS["ancestral, small"]
    monkeypatch.setitem(STEPS, "ancestral, small", broken(fault))
    assert lab_page.eta_1_is_ancestral(law, LINEAR, pairs) > 1e-6
    monkeypatch.setitem(STEPS, "ancestral, small", right)
    assert lab_page.eta_1_is_ancestral(law, LINEAR, pairs) <= 1e-10


def test_the_unbroken_copy_of_the_step_is_right(monkeypatch):
    monkeypatch.setattr(lab_page, "ancestral_step", broken(None))
    assert lab_page._ends().level == "ok"


def test_a_solver_of_first_order_is_caught(monkeypatch):
    monkeypatch.setitem(STEPS, "heun", ddim_step)
    finding = lab_page._orders()
    assert finding.level == "wrong" and finding.numbers["convergence"]["heun"]["known"] == 2


def test_a_denoiser_that_is_not_exact_is_caught(monkeypatch):
    dosed = exact.Dosed(LAWS["mixture"].denoiser(LINEAR), bias=0.3)
    monkeypatch.setattr(exact, "simple_loss", lambda m, *more: simple_loss(dosed, *more))
    assert lab_page._floors({"mixture": LAWS["mixture"]}, LINEAR).level == "wrong"


def test_a_chain_that_starts_from_half_noise_is_noted():
    assert lab_page._prior(LAWS["gaussian"], Schedule.linear(200)).level == "note"
    assert lab_page._prior(LAWS["gaussian"], LINEAR).level == "ok"
