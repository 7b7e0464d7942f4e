r"""Mathematics: do two routes to one number agree?

The posterior is Bayes' rule: precisions add. With the exact denoiser of a Gaussian every
step is affine: the ancestral chain ends in the variance of the data, and DDIM in their
deviation but for the error of its steps.
"""

import torch

from ...oracle import GaussianOracle
from ...process import q_posterior
from ...sampling.sampler import ancestral_step, sample
from ...schedule import Schedule
from .findings import Finding

_LIMITS = {"posterior": 1e-9, "ancestral": 1e-6, "ddim": 0.02}


def equations():
    r"""Do the package's equations agree with routes that do not use them? A Finding."""
    errors = {
        "posterior": _posterior_error(),
        "ancestral": _ancestral_error(),
        "ddim": _ddim_error(),
    }
    schedules = (Schedule.linear(), Schedule.cosine(), Schedule.sigmoid())
    tables = [v for s in schedules for v in (s.beta, s.alpha_bar, s.posterior_variance)]
    bad = [name for name, limit in _LIMITS.items() if not errors[name] <= limit]
    bad += [] if all((torch.isfinite(v) & (v >= 0)).all() for v in tables) else ["tables"]
    if bad:
        words = (
            f"Two routes to one number disagree: {', '.join(bad)}. This copy of the "
            "package is damaged: install it again."
        )
        return Finding("wrong", "mathematics", words, errors)
    words = (
        f"The posterior is Bayes' rule to {errors['posterior']:.0e}. With the exact "
        "denoiser of a Gaussian the chain ends in its variance to "
        f"{errors['ancestral']:.0e}, and DDIM in its deviation to {errors['ddim']:.0e}."
    )
    return Finding("ok", "mathematics", words, errors)


def _posterior_error():
    r"""The posterior's mean and precision against Bayes' rule, at every t from 2 to T."""
    schedule = Schedule.linear()
    t = torch.arange(2, schedule.T + 1)
    x_0, x_t = (torch.full((len(t), 1), v, dtype=torch.float64) for v in (0.7, -1.3))
    mean, variance = q_posterior(schedule, x_0, x_t, t)
    before, alpha, beta, alpha_bar = (
        v[:, None]
        for v in (
            schedule.one_minus_alpha_bar[t - 1],
            schedule.alpha[t],
            schedule.beta[t],
            schedule.alpha_bar[t - 1],
        )
    )
    precision = 1 / before + alpha / beta  # precisions add, means are weighed by them
    by_bayes = (alpha_bar.sqrt() * x_0 / before + alpha.sqrt() * x_t / beta) / precision
    return float(max((mean - by_bayes).abs().max(), (variance * precision - 1).abs().max()))


def _ancestral_error():
    r"""The variance that a chain of exact steps ends with, against that of the data."""
    schedule, wanted, variance = Schedule.cosine(50), 0.25, 1.0
    oracle = GaussianOracle(schedule, torch.zeros(1), wanted)
    one, zero = (torch.full((1, 1), v, dtype=torch.float64) for v in (1.0, 0.0))
    for number in range(schedule.T, 0, -1):
        t = torch.tensor([number])
        factor, deviation = (
            ancestral_step(
                schedule,
                x_t,
                oracle.x_0_moments(x_t, t)[0],
                t,
                t - 1,
                noise,
                variance=oracle.reverse_variance,
            )
            for x_t, noise in ((one, zero), (zero, one))
        )
        variance = float(factor**2 * variance + deviation**2)
    return abs(variance / wanted - 1)


def _ddim_error():
    r"""The deviation that 200 steps of DDIM end with, against that of the data."""
    schedule = Schedule.cosine()
    oracle = GaussianOracle(schedule, torch.zeros(1), 0.25)
    one = torch.ones(1, 1, dtype=torch.float64)
    options = dict(sampler="ddim", steps=200, progress=False, dtype=torch.float64)
    return abs(float(sample(oracle, schedule, (1, 1), x_T=one, **options)) / 0.5 - 1)
