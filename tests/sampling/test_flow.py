r"""A straight flow in the clothes of a chain: Euler on one is DDIM on the other."""

import math

import pytest
import torch
from helpers import close, normal

from ddpm_lite import (
    MixtureOracle,
    Schedule,
    flow_from_x_0,
    q_sample,
    sample,
    timestep_pairs,
)
from ddpm_lite.process import noise_from_x_0, predict_x_0
from ddpm_lite.sampling.sampler import ddim_step


def velocity(centres, spread, z, share):
    r"""The exact velocity E[noise - x_0 | z] of a mixture, in the flow's own coordinates.

    By numerical integration over x_0 on a grid, one number z at a time.
    """
    grid = torch.linspace(-8, 8, 16001, dtype=torch.float64)
    density = sum(torch.exp(-((grid - c) ** 2) / (2 * spread**2)) for c in centres)
    left = (z[:, None] - (1 - share) * grid) / share
    weight = density * torch.exp(-(left**2) / 2)
    return (weight * (left - grid)).sum(1) / weight.sum(1)


def two_modes(schedule):
    r"""The exact denoiser of modes at -1.5 and 1.5, as a network that predicts the flow."""
    centres = torch.tensor([[-1.5], [1.5]], dtype=torch.float64)
    oracle = MixtureOracle(schedule, centres, 0.3**2)
    return lambda x_t, t: flow_from_x_0(schedule, x_t, t, oracle.x_0_moments(x_t, t)[0])


def ddim(model, schedule, x, pairs):
    r"""DDIM in float64; `sample` is in float32."""
    for t, s in pairs:
        t, s = torch.full(x.shape[:1], t), torch.full(x.shape[:1], s)
        x_0_pred = predict_x_0(model, schedule, x, t, None, "flow", None)
        x = ddim_step(schedule, x, x_0_pred, t, s, torch.zeros_like(x))
    return x


@pytest.mark.parametrize("steps", [1, 2, 8, 64])
def test_euler_on_the_flow_is_ddim(steps):
    schedule, start = Schedule.flow(64), normal(50, 1)
    pairs = timestep_pairs(64, steps, "trailing")
    chain = ddim(two_modes(schedule), schedule, start, pairs)
    z, share = start.flatten(), 1.0
    for k in range(steps):
        z = z - velocity((-1.5, 1.5), 0.3, z, share) / steps
        share = 1 - (k + 1) / steps
    # a sum over a grid errs by exp(-2 (pi s / h)^2), which is nothing at s / h >= 15; the
    # flow magnifies rounding, by at most exp of its largest slope, 1 / share, summed
    close(chain.flatten(), z, rtol=1e-11, atol=1e-11)
    drawn = sample(
        two_modes(schedule),
        schedule,
        start.shape,
        sampler="ddim",
        x_T=start.float(),
        pairs=pairs,
        prediction="flow",
    )
    close(drawn.double().flatten(), z, rtol=1e-4, atol=1e-4)


def test_one_step_is_the_mean_and_many_are_the_law():
    schedule = Schedule.flow(1024)
    uniform = (torch.arange(4001, dtype=torch.float64) + 0.5) / 4001
    start = (math.sqrt(2) * torch.erfinv(2 * uniform - 1))[:, None]
    found = []
    for steps in (1, 2, 4, 8, 16, 1024):
        pairs = timestep_pairs(1024, steps, "trailing")
        x_0 = ddim(two_modes(schedule), schedule, start, pairs)
        found.append(float(x_0.std(correction=0)))
    assert found[0] == pytest.approx(0, abs=1e-12)  # E[x_0], the same for every start
    # Euler on a grid of the normal law, of which 4,001 points lose 0.001 of the variance
    assert found[1:5] == pytest.approx([1.061, 1.349, 1.435, 1.481], abs=3e-3)
    assert found[-1] == pytest.approx(math.sqrt(1.5**2 + 0.3**2), rel=2e-3)


def test_the_size_of_data_from_a_normal_law_dips_in_the_flow_alone():
    schedule, n = Schedule.flow(2), 200_000
    x_0, noise = normal(n, 1), normal(n, 1, seed=1)
    t = torch.full((n,), 1)
    x_t = q_sample(schedule, x_0, t, noise)
    error = 5 * math.sqrt(2 / n)
    assert float(x_t.var()) == pytest.approx(1, abs=error)
    assert float(((x_0 + noise) / 2).var()) == pytest.approx(0.5, abs=0.5 * error)
    close(noise_from_x_0(schedule, x_t, t, x_0), noise, atol=1e-12)
