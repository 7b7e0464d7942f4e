r"""Weights: are they finite, have they moved, and are they those of config.json?

Training starts at weights that are a function of the seed, so how far it has come can be
measured without a log: |w - w_0| / |w_0|. The EMA, from which samples come, follows.
"""

import math
from dataclasses import asdict

import torch

from ...formats.networks import plain_settings
from ...training.presets import build, schedule_in_words, schedule_of
from .files import state_tensors
from .findings import Finding


def trained(case):
    r"""Are the weights finite, and have they and their EMA left the initial ones?"""
    average, live = case.model.state_dict(), state_tensors(case.folder)
    adam = state_tensors(case.folder, "adam.")
    bad = [
        f"{name} of {whose}"
        for whose, tensors in (("the EMA", average), ("the weights", live), ("Adam", adam))
        for name, value in tensors.items()
        if not torch.isfinite(value).all()
    ]
    if bad:
        words = (
            f"NaN or infinity in {len(bad)} tensors, such as {bad[0]}. Go on from an "
            "earlier checkpoint with a lower lr, in float32 or bfloat16."
        )
        yield Finding("wrong", "weights not finite", words, {"tensors": len(bad)})
        return
    if case.step == 0:
        words = (
            "The checkpoint is that of step 0, with random weights. Go on with: ddpm-lite "
            f"resume {case.run}"
        )
        yield Finding("wrong", "not trained", words, {"moved": 0.0})
        return
    first = build(case.config)[0].state_dict() if case.config else {}
    shapes = [{k: v.shape for k, v in w.items()} for w in (first, live)]
    if shapes[0] != shapes[1] or case.config.init:
        yield Finding("ok", "weights", "All are finite.")
        return
    moved, followed = _distance(first, live), _distance(first, average)
    numbers = {"moved": moved, "ema_moved": followed}
    if moved < 1e-6:
        words = (
            f"After {case.step:,} steps the weights are still the initial ones: the "
            "updates did not reach them. Train again."
        )
        yield Finding("wrong", "not trained", words, numbers)
    elif followed < 1e-3 * moved:
        words = (
            "The weights have moved and their EMA, from which samples come, has not. Train "
            "again with a lower ema_decay."
        )
        yield Finding("wrong", "EMA", words, numbers)
    else:
        words = f"All are finite; they have moved by {moved:.0%} of their length."
        yield Finding("ok", "weights", words, numbers)


def _distance(first, other):
    r"""How far weights lie from the first ones, as a share of the length of those."""
    far = sum(float((other[name] - first[name]).double().square().sum()) for name in first)
    return math.sqrt(far / sum(float(v.double().square().sum()) for v in first.values()))


def settings(case):
    r"""Does config.json name the network and the schedule that the weights have?"""
    if case.config is None:
        return
    wrong = [*_network(case), *_schedule(case)]
    yield from wrong
    if not wrong:
        words = "config.json and the weights tell of one network and one schedule."
        yield Finding("ok", "settings and weights", words)


def _network(case):
    named, there = case.config.network, getattr(case.model, "unet_config", None)
    named = asdict(named) if case.config.own is None else named.settings
    there = plain_settings(case.model) if case.config.own or not there else asdict(there)
    other = [
        f"{k} {named[k]}, not {there.get(k)}" for k in named if named[k] != there.get(k)
    ]
    if other:
        words = (
            "config.json tells of another network than the weights have: "
            f"{'; '.join(other)}. The weights know best: mend config.json."
        )
        yield Finding("wrong", "network settings", words)


def _schedule(case):
    expected, beta = schedule_of(case.config), case.schedule.beta
    if not case.schedule.same_as(expected):
        words = (
            f"The weights' table of beta is not that which config.json tells of, the "
            f"{schedule_in_words(case.config)}, T = {expected.T}: it has T = "
            f"{case.schedule.T} and ends with "
            f"{float(beta[-1]):.3g}, not {float(expected.beta[-1]):.3g}. The weights know "
            "best: mend config.json."
        )
        yield Finding("wrong", "schedule", words)
