r"""The chain: does it end in N(0, I), and does the sampler keep the spread of the data?

Both are asked without the network. L_T is the distance between q(x_T | x_0) and N(0, I),
from which sampling starts. And with the exact denoiser of a Gaussian, DDIM multiplies
each dimension by a known factor: what it ends with is what the steps alone cost.
"""

from dataclasses import asdict

import torch

from ...denoiser import clip_of
from ...oracle import GaussianOracle
from ...sampling.sampler import sample
from ...training.batches import second_moment
from ...training.one_dimension import is_series
from .findings import Finding
from .pictures import some_floats, variances

_ONE_GREY = 2e-3  # a mean variance below it: the range of the data is the fault


def prior_gap(case):
    r"""Does the chain end in the noise that sampling starts from?"""
    moment, known = 1.0, "for data with E x^2 = 1"
    if case.pictures is not None:
        moment = second_moment(case.pictures.x_0, case.pictures.levels)
        known = f"with E x^2 = {moment:.2f} as in these {case.of()}"
    gap = case.schedule.prior_gap(moment, warn=False)
    found = (
        f"A share {gap.signal_left:.2g} of x_0 is left at t = T = {case.schedule.T}, L_T = "
        f"{gap.kl:.1g} nats per dimension {known}"
    )
    if gap.kl > 1e-3:
        words = (
            f"{found}, more than 1e-3. Sampling starts from N(0, I), which training has "
            "never seen: train with a larger T, or --schedule cosine."
        )
        yield Finding("wrong", "prior gap", words, asdict(gap))
    else:
        yield Finding("ok", "prior gap", f"{found}: the chain ends in noise.", asdict(gap))


def spread_kept(case):
    r"""What does the run's sampler make of a Gaussian with the pictures' own variances?"""
    schedule, steps = case.schedule, min(case.config.sample_steps, case.schedule.T)
    spread = torch.tensor([1.0, 0.1, 0.01], dtype=torch.float64)
    if case.pictures is not None:
        own = variances(some_floats(case.pictures, 2000))
        if own.mean() > _ONE_GREY:
            spread = own.sort(descending=True).values[:256].clamp(min=1e-9)
    oracle = GaussianOracle(schedule, torch.zeros(len(spread)), spread)
    one = torch.ones(1, len(spread), dtype=torch.float64)
    options = dict(sampler="ddim", steps=steps, progress=False, dtype=torch.float64)
    end = sample(oracle, schedule, one.shape, x_T=one, **options)
    kept = float(end.square().sum() / spread.sum())
    numbers = {"steps": steps, "variance_kept": kept}
    found = (
        f"With the exact denoiser of a Gaussian like these data, {steps} steps of DDIM end "
        f"with {kept:.0%} of their variance"
    )
    if not 0.6 < kept < 1.5:
        words = f"{found}: samples are flat with any network. Raise --sample-steps."
        yield Finding("wrong", "sampler", words, numbers)
    elif clip_of(case.model) is None and not is_series(case.config.network):
        what = "leave out --no-clip"
        if case.config.own is not None:
            what = "give the network the attribute clip = (-1, 1)"
        words = f"{found}. The predicted x_0 is not cut to [-1, 1]: {what}."
        yield Finding("note", "sampler", words, numbers)
    else:
        yield Finding("ok", "sampler", f"{found}.", numbers)
