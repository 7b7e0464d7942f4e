r"""The loss: its bounds by other routes, and networks that lie outside of them."""

import math

import pytest
import torch
from doctor_runs import (
    SPOILED,
    blocks,
    check_named,
    every_fault,
    examined,
    first_weights,
    rewrite,
    train,
    wrong,
)
from helpers import close, normal

from ddpm_lite import Schedule
from ddpm_lite.lab.doctor import loss, table
from ddpm_lite.lab.doctor.loss import linear_ceiling
from ddpm_lite.lab.doctor.pictures import variances
from ddpm_lite.oracle import GaussianOracle
from ddpm_lite.process import q_sample


def average_behind(run):
    first = first_weights(run)
    rewrite(run, lambda own: {k: v.lerp(first[k], 0.25) for k, v in own.items()})


def hardly_trained(run):
    first = first_weights(run)

    def back(own):
        return {k: v.lerp(first[k], 0.7) for k, v in own.items()}

    rewrite(run, back, back)


def answer_scaled(run):
    def scaled(own):
        return own | {k: 0.8 * v for k, v in own.items() if k.startswith("conv_out")}

    rewrite(run, scaled, scaled)


@every_fault(
    (average_behind, "EMA lag", SPOILED),
    (hardly_trained, "loss", SPOILED),
    (answer_scaled, "loss", SPOILED),
)
def test_a_seeded_fault_is_named(run, fault, name, follows):
    check_named(run, fault, name, follows)


def test_pictures_learned_by_heart_are_named(tmp_path):
    run = train(tmp_path / "few", blocks(12), 8, steps=80, batch_size=16)
    findings = examined(run)
    assert wrong(findings)[0] == "memorised", table(findings)
    assert "few pictures" in [finding.what for finding in findings]


def test_from_few_held_out_pictures_that_cannot_be_told(tmp_path):
    run = train(tmp_path / "few", blocks(40), 2, steps=5, batch_size=16)
    said = next(f for f in examined(run) if f.what == "memorised")
    assert said.level == "note" and said.numbers["standard_error"] is None
    assert "cannot be told from 2 held-out pictures" in said.words


def test_the_error_between_pictures_is_larger_than_that_of_draws():
    place = torch.arange(400) % 4 / 4 + 0.1
    errors = (place * 4).long().double()  # 0, 1, 2 and 3, a hundred draws of each
    between = loss._between_pictures(errors, place, 4)
    assert between == pytest.approx(math.sqrt((1.5**2 + 0.5**2) * 2 / 3) / 2, rel=1e-12)
    assert loss._between_pictures(errors, place, 3) == math.inf


# --- the linear ceiling


def test_the_linear_ceiling_is_the_gaussian_oracles_expected_loss():
    x_0, schedule = normal(700, 1, 8, 8) @ normal(8, 8, seed=1) * 0.3, Schedule.cosine(20)
    t = torch.arange(1, 21)
    flat = x_0.flatten(1) - x_0.flatten(1).mean(0)
    covariance = flat.T @ flat / len(flat)
    oracle = GaussianOracle(schedule, x_0.mean(0), covariance)
    _, variance = oracle.x_0_moments(normal(20, 1, 8, 8), t)
    a = schedule.alpha_bar[t]
    by_oracle = a / (1 - a) * variance.flatten(1).mean(1)
    close(linear_ceiling(schedule, x_0, t), by_oracle, rtol=1e-8, atol=1e-12)


def test_the_oracles_loss_on_draws_agrees_with_the_ceiling():
    x_0, schedule = normal(640, 1, 4, 4) * torch.linspace(0.1, 1, 4), Schedule.cosine(20)
    oracle = GaussianOracle(
        schedule, x_0.mean(0), torch.cov(x_0.flatten(1).T, correction=0)
    )
    t = torch.full((640,), 8)
    errors = []
    for seed in range(30):
        noise = normal(640, 1, 4, 4, seed=seed + 1)
        answer = oracle(q_sample(schedule, x_0, t, noise), t)
        errors.append((answer - noise).square().mean())
    errors = torch.stack(errors)
    ceiling = float(linear_ceiling(schedule, x_0, t[:1]))
    assert abs(float(errors.mean()) - ceiling) < 4 * float(errors.std()) / 30**0.5
    assert 0.2 < ceiling < 0.8


def test_in_fourier_space_the_ceiling_is_exact_where_a_shift_changes_nothing():
    # every circular shift of one picture: Fourier modes are the covariance's eigenvectors
    first, schedule, t = normal(1, 1, 6, 8), Schedule.linear(50), torch.tensor([1, 9, 50])
    shifts = [first.roll((i, j), (2, 3)) for i in range(6) for j in range(8)]
    x_0 = torch.cat(shifts)
    flat = x_0.flatten(1) - x_0.flatten(1).mean(0)
    values = torch.linalg.eigvalsh(flat.T @ flat / len(flat)).clamp(min=0)
    a = schedule.alpha_bar[t, None]
    by_hand = (a * values / (a * values + 1 - a)).mean(1)
    close(linear_ceiling(schedule, x_0, t), by_hand, rtol=1e-9)


def test_in_fourier_space_the_ceiling_is_never_below_that_of_the_eigenvectors():
    x_0 = normal(300, 3, 4, 8) @ normal(8, 8, seed=1)
    schedule, t = Schedule.linear(50), torch.arange(1, 51)
    flat = x_0.flatten(1) - x_0.flatten(1).mean(0)
    values = torch.linalg.eigvalsh(flat.T @ flat / len(flat)).clamp(min=0)
    assert abs(float(variances(x_0).sum() / values.sum()) - 1) < 1e-9
    a = schedule.alpha_bar[t, None]
    best = (a * values / (a * values + 1 - a)).mean(1)
    ceiling = linear_ceiling(schedule, x_0, t)
    assert (ceiling > best - 1e-12).all() and (ceiling > 1.02 * best).any()
