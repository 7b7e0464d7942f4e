r"""What single settings of training are worth here, and how its cost grows."""

import copy
import math
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from ..training.config import TrainConfig
from ..training.cost import cost
from ..training.device import keep_memory
from ..training.fit import fit
from ..training.trainer import Trainer
from .clock import interleave, rate, ratio, spread, timed
from .contestants import forward_of, in_kept_memory, our_chain, training_loop

LADDER = {  # each rung keeps what those before it have set, where that could be used
    "eager float32": {},
    "+ channels_last": {"channels_last": True},
    "+ bf16": {"precision": "bfloat16"},
    "+ compile": {"compiled": True},
    "+ fused optimiser": {"fused": True},
    "+ foreach EMA": {"foreach": True},
    "+ kept memory": {"kept": True},
}


def ladder(task, rounds, limit, compile=False):
    r"""What each setting of the training loop is worth: rows, the first rung the measure.

    A rung that would take longer than `limit` seconds is not measured, the first apart,
    and says so. It is left out of those above it, as is one that turns out much slower.
    compile: climb the rung of torch.compile too, which takes minutes that nothing limits.
    """
    used, steps, rows, best = {}, {}, [], math.inf
    for name, change in LADDER.items():
        row, wish = {"rung": name, "said": ""}, used | change
        rows.append(row)
        if "compiled" in change and not compile:
            row["said"] = "left out: --compile climbs it"
            continue
        try:
            most = limit if steps else math.inf  # the first is what all are compared with
            with _uncached() if "compiled" in change else nullcontext():
                row["first_call_seconds"], steps[name] = _climb(task, rounds, most, wish)
            seconds = timed(steps[name], task.device)
            if seconds > 1.5 * best:
                row["said"] = "slower: left out of those that follow"
                continue
            used, best = wish, min(best, seconds)
        except (TimeoutError, RuntimeError) as error:
            row["said"] = " ".join(str(error).split())[:200]
    seconds = interleave(steps, rounds, task.device)
    for row in rows:
        if mine := seconds.get(row["rung"]):
            row["pictures_per_second"] = rate(mine, task.batch)
            row["ratio"] = ratio(mine, seconds["eager float32"])
    return rows


def _uncached():
    # torch.compile as on the first day, so that its first call tells what it costs
    from torch._inductor import config

    torch.compiler.reset()
    return config.patch(force_disable_caches=True)


def _climb(task, rounds, limit, wish):
    r"""Seconds of the first call, and the step. Raises TimeoutError: it is too slow."""
    layout = torch.channels_last if "channels_last" in wish else torch.contiguous_format
    model = copy.deepcopy(task.model).to(memory_format=layout)
    precision = wish.get("precision", "float32")
    few = min(4, task.batch)  # one alone would take longer than its share
    forward = forward_of(replace(task, batch=few, precision=precision), model)
    forward()
    guess = 3 * task.batch / few * timed(forward, task.device)
    if guess * (rounds + 2) > limit:
        raise TimeoutError(
            f"too slow, stopped: about {guess:.2g} s a step, {rounds + 2} rounds of it "
            f"would take longer than the limit of {limit:g} s"
        )
    network = torch.compile(model) if "compiled" in wish else model
    fused, foreach = "fused" in wish, "foreach" in wish
    more = dict(fused=fused, foreach=foreach, precision=precision)
    step, _ = training_loop(task, model, network, **more)
    if "kept" in wish:
        if not keep_memory(False):
            raise RuntimeError("left out: it is a setting of glibc, which is not here")
        step = partial(in_kept_memory, step, task.device)
    return float(f"{timed(step, task.device):.3g}"), step


def overhead(task, step_seconds, rounds, limit):
    r"""What `fit` takes for a step over the bare loop on the same network, as a ratio.

    step_seconds: about what one step takes. Logs and instruments are counted, the
    checkpoints at both ends are not. Returns {"fit_over_bare", "steps", "said"}.
    """
    steps = max(5, math.ceil(0.5 / step_seconds))
    if 2 * steps * step_seconds * (rounds + 2) > limit:
        return {"said": f"not measured: {steps} steps take longer than the limit"}
    settings = dict(steps=steps, batch_size=task.batch, save_every=10**6, sample_every=0)
    settings = TrainConfig(**settings, precision=task.precision)

    def bare():
        model = copy.deepcopy(task.model).to(memory_format=torch.channels_last)
        step, _ = training_loop(task, model, model, optimizer=torch.optim.Adam)
        return sum(timed(step, task.device) for _ in range(steps)) / steps

    def whole():
        model = copy.deepcopy(task.model)
        trainer = Trainer(model, task.schedule, task.data, settings)
        with tempfile.TemporaryDirectory() as here:
            done = fit(trainer, Path(here) / "run", progress=False)
        return task.batch / done["examples_per_second"]

    seconds = interleave({"bare": bare, "fit": whole}, rounds, task.device, least=0)
    told = ratio(seconds["bare"], seconds["fit"])
    return {"fit_over_bare": told, "steps": steps, "said": ""}


def growth(task, rounds, limit):
    r"""How time and memory grow with batch, picture size and number of steps.

    Sizes are 1, 2 and 4 times the preset's, at batch 4. Memory is counted, not measured
    (see `cost`); attention_share is the part of the operations that grows with the fourth
    power of the side. Points beyond the limit are left out. Returns three lists.
    """
    c, device = task.config, task.device
    model = copy.deepcopy(task.model).to(memory_format=torch.channels_last)

    def step_at(batch, factor=1):
        event = (c.channels, factor * c.height, factor * c.picture_width)
        data = torch.randint(0, 256, (64, *event), dtype=torch.uint8, device=device)
        return training_loop(replace(task, batch=batch, data=data), model, model)[0]

    one = step_at(1)
    one()
    most = limit / (timed(one, device) * (rounds + 2))  # pictures at once
    batches = [n for n in (1, 2, 4, 8, 16, 32, 64) if n <= max(1, most)]
    factors = [n for n in (1, 2, 4) if 4 * n * n <= max(4, most)]
    chain = our_chain(task, copy.deepcopy(model).eval())
    chain(1)
    longest = limit / (timed(partial(chain, 1), device) * (rounds + 2))  # in steps
    steps = [n for n in (5, 10, 20, 50) if n <= min(c.T, max(5, longest))]
    tasks = {("batch", n): step_at(n) for n in batches}
    tasks |= {("size", n): step_at(4, n) for n in factors}
    tasks |= {("steps", n): partial(chain, n) for n in steps}
    points = {"batch": [], "size": [], "steps": []}
    for (kind, n), seconds in interleave(tasks, rounds, device, least=0.1).items():
        point = {kind: n, "seconds": spread(seconds)}
        if kind == "batch":
            point["counted_gb"] = cost(c, n).training_bytes / 1e9
        if kind == "size":
            levels = tuple(n * level for level in c.attention)
            H_W = (n * c.height, n * c.picture_width)
            bigger = replace(c, size=H_W, attention=levels)
            counted = cost(bigger, 4)
            point |= {"pixels": H_W, "counted_gb": counted.training_bytes / 1e9}
            point["attention_share"] = attention_flops(bigger) / counted.flops
        points[kind].append(point)
    return points


def attention_flops(config):
    r"""Operations of one picture's forward that compare pixels with pixels: 4 N^2 C."""
    flops = 0
    for level, C in enumerate(config.widths):
        N = (config.height >> level) * (config.picture_width >> level)
        here = config.height >> level in config.attention
        layers = (2 * config.blocks + 1) * here + (level == len(config.widths) - 1)
        flops += layers * 4 * N**2 * C
    return flops
