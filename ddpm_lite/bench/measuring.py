r"""How fast this machine trains and samples, beside diffusers and beside what it could do.

Everything is timed in one process, in rounds in which the contestants take turns, so that
a machine that slows down slows all of them; a first round is not counted. A number is the
median of the rounds, its spread the slowest and the fastest, a ratio the median of the
ratios within rounds. Memory and start-up are measured in processes of their own.
`limit` is the number of seconds that one number may take: beside training and forward
passes, which are always measured, what would take longer is made smaller or left out, and
the result says so.

"ours" and the other libraries run in the precision that was asked for, "ours, by default"
in the one that this package chooses here, and in kept memory, as `ddpm-lite train` does.
"""

import copy
import math
import os
import platform
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import nn

from ..checks import check_integer, check_name, check_number
from ..models.unet import PRESETS
from ..training.cost import cost
from ..training.device import (
    PRECISIONS,
    choose_device,
    choose_precision,
    describe,
    keep_memory,
)
from ..training.ema import EMA
from ..training.fit import fit
from ..training.trainer import TrainConfig, Trainer
from .contestants import (
    PICTURES,
    absent,
    compiled,
    contestants,
    forward_of,
    in_kept_memory,
    make_task,
    memory,
    our_chain,
    peers,
    start_up,
    timed,
    training_loop,
)

LADDER = {  # each rung keeps what those before it have set, where that could be used
    "eager float32": {},
    "+ channels_last": {"channels_last": True},
    "+ bf16": {"precision": "bfloat16"},
    "+ compile": {"compiled": True},
    "+ fused optimiser": {"fused": True},
    "+ foreach EMA": {"foreach": True},
    "+ kept memory": {"kept": True},
}


def bench(
    presets=("digits", "small-32", "ddpm-cifar10"),
    batches=(8, 32),
    *,
    rounds=5,
    steps=50,
    limit=60.0,
    precision="float32",
    device="auto",
    compile=False,
    tell=print,
):
    r"""Measure everything. Returns the results, plain values for JSON.

    presets: names of networks. batches: of the training step. rounds: that are counted.
    steps: of DDIM. limit: seconds that one number may take. precision: of all
    networks, but in the ladder. compile: with torch.compile too, in training. tell:
    called with a line about what comes next. Raises ValueError for bad options.
    """
    check_options(presets, batches, rounds, steps, limit)
    device = choose_device(device)
    precision = choose_precision(device, precision)
    found, started = peers(), time.perf_counter()
    results = {"measured_on": machine(device, precision), "peers": found}
    results["options"] = dict(presets=presets, batches=batches, rounds=rounds, steps=steps)
    results["options"] |= dict(limit=limit, compile=compile)
    results |= {"rows": [], "ceilings": [], "ladders": [], "overheads": [], "growth": {}}
    results["memory"] = []
    for name, batch in [(name, batch) for name in presets for batch in batches]:
        tell(f"{name}, batch {batch}")
        which = {"preset": name, "batch": batch}
        task = make_task(PRESETS[name], batch, device, precision)
        draws = steps if batch == batches[0] else 0  # a chain draws 16 whatever the batch
        more = compiled(task, found) if compile else []
        rows, ceiling = compare(task, found, rounds, draws, limit, more)
        results["rows"] += [which | row for row in rows]  # a row of sampling has its own
        results["ceilings"].append(which | {"gflops": ceiling})
        seconds = batch / rows[0]["pictures_per_second"]["median"]
        told = overhead(task, seconds, rounds, limit)
        results["overheads"].append(which | told)
        for library in ("ours", "diffusers"):
            if library == "ours" or not absent(found[library]):
                told = memory(task, library)
                results["memory"].append(which | {"library": library} | told)
        if batch == batches[-1]:
            tell(f"{name}, settings ladder and growth")
            rungs = ladder(task, rounds, limit, compile)
            results["ladders"] += [which | rung for rung in rungs]
            results["growth"][name] = growth(task, rounds, limit)
    tell("start-up")
    results["start_up"] = {
        name: {kind: _spread(seconds) for kind, seconds in laps.items()}
        for name, laps in start_up(found, rounds).items()
    }
    results["measured_on"]["load_at_the_end"] = _load()
    results["seconds"] = round(time.perf_counter() - started)
    return results


def check_options(presets, batches, rounds, steps, limit):
    r"""Refuse options of `bench` that cannot be measured, with ValueError."""
    for name, values in (("presets", presets), ("batches", batches)):
        if not values or len(set(values)) != len(values):
            raise ValueError(
                f"{name} must be one or more different values, got {list(values)}"
            )
    for name in presets:
        check_name("presets", name, *PRESETS)
        check_integer("steps", steps, 1, PRESETS[name].T)
    for batch in batches:
        check_integer("batches", batch, 1)
    check_integer("rounds", rounds, 1)
    check_number("limit", limit, 1e-3)


def machine(device, precision):
    r"""Where it was measured: device, threads, versions, and how busy it was before."""
    return {
        "device": describe(device, precision),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_at_the_start": _load(),
    }


def _load():
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


# --- the clock


def interleave(tasks, rounds, device, least=0.2):
    r"""Time functions in turns. Returns {name: seconds of one call, one for each round}.

    tasks: {name: function without arguments}; one that returns a float has timed itself.
    A first round, which is not counted, finds how many calls last `least` seconds.
    """
    seconds, calls = {name: [] for name in tasks}, {}
    for name, task in tasks.items():
        first = timed(task, device)
        once = first if first > least else timed(task, device)
        calls[name] = max(1, math.ceil(least / once))
    names = list(tasks)
    for number in range(rounds):
        shift = number % len(names)  # nobody is always the first
        for name in names[shift:] + names[:shift]:
            total = sum(timed(tasks[name], device) for _ in range(calls[name]))
            seconds[name].append(total / calls[name])
    return seconds


def rate(seconds, count):
    r"""`count` things per second: {"median", "low", "high"} over the rounds."""
    return _spread([count / s for s in seconds])


def ratio(mine, theirs):
    r"""How many times faster mine is than theirs, round by round, as `rate` tells it."""
    return _spread([b / a for a, b in zip(mine, theirs, strict=True)])


def _spread(values):
    three = {"median": median(values), "low": min(values), "high": max(values)}
    return {name: float(f"{value:.4g}") for name, value in three.items()}


# --- what is measured


def ceilings(task, precisions):
    r"""What the machine could do: functions to be timed, and operations of one call each.

    Returns two dictionaries by (kind, precision), of kinds "matrix", a product of large
    ones, "conv" and "conv training", see `convolutions`.
    """
    calls, work, n = {}, {}, 2048
    for precision in precisions:
        forward, both, flops = convolutions(replace(task, precision=precision))
        a = torch.randn(n, n, device=task.device).to(PRECISIONS[precision])
        calls["matrix", precision] = partial(torch.matmul, a, a)
        calls["conv", precision], calls["conv training", precision] = forward, both
        work["matrix", precision] = 2 * n**3
        work["conv", precision], work["conv training", precision] = flops, 3 * flops
    return calls, work


def convolutions(task):
    r"""All 3 x 3 convolutions of the network, alone: the rate it has if all else is free.

    Pictures and weights are in the task's precision. Returns two functions, forward and
    forward with backward, and the operations of the first; the second has three times as
    many. Those after a doubling are counted and run as they are defined, which is not how
    `Upsample` computes them in the fast layout.
    """
    model = copy.deepcopy(task.model)
    calls, hooks, flops = [], [], 0

    def note(module, given, answer):
        calls.append((module, tuple(given[0].shape[1:]), answer.shape[2:].numel()))

    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            hooks.append(module.register_forward_hook(note))
    forward_of(replace(task, batch=1), model)()
    for hook in hooks:
        hook.remove()
    here = dict(dtype=PRECISIONS[task.precision], memory_format=torch.channels_last)
    model.to(**here)
    inputs = {}
    for module, shape, pixels in calls:
        x = torch.randn(task.batch, *shape, device=task.device)
        inputs[shape] = x.to(**here).requires_grad_()
        flops += 2 * 9 * shape[0] * module.out_channels * pixels * task.batch

    def forward():
        with torch.no_grad():
            for module, shape, _ in calls:
                module(inputs[shape])

    def both():
        for module, shape, _ in calls:
            h = module(inputs[shape])
            torch.autograd.grad(h, (inputs[shape], module.weight), h.detach())

    return forward, both, flops


def compare(task, found, rounds, steps, limit, more=()):
    r"""Everybody at one task, and `more`. found: what `peers` returned.

    Returns rows, one for each contestant and kind of work ("training", "forward",
    "sampling", not for 0 steps), and the machine's ceiling in GFLOP/s. `ratio` is our
    speed over theirs, `over_diffusers` theirs over diffusers', `ema_share` what the
    average of the weights takes of our step. Shares are of the ceiling in their precision.
    GFLOP/s are those of the network as it is defined: who computes the same with fewer
    operations is credited with all of them.
    """
    everybody, device = [*contestants(task, found), *more], task.device
    precisions = dict.fromkeys([task.precision, *(c.precision for c in everybody)])
    ceiling, work = ceilings(task, precisions)
    averaged = copy.deepcopy(task.model).to(memory_format=torch.channels_last)
    average = {"EMA": partial(EMA(averaged).update, averaged)}
    training = {c.name: c.step for c in everybody} | ceiling | average
    training = interleave(training, rounds, device)
    passing = {c.name: c.forward for c in everybody if c.forward}
    passing = interleave(passing, rounds, device)
    one = median(passing["ours"]) / task.batch * PICTURES
    few = max(1, min(steps, int(limit / (one * (rounds + 2)))))
    drawing = [c for c in everybody if c.sample and "bare" not in c.name]
    chains = {c.name: partial(c.sample, few) for c in drawing}
    chains = interleave(chains, rounds, device) if steps else {}
    rates = {
        kind if precision == task.precision else f"{kind}, {precision}": rate(
            training[kind, precision], work[kind, precision] / 1e9
        )
        for kind, precision in ceiling
    }
    flops = cost(task.config).flops * task.batch
    kinds = {
        "training": (training, task.batch, 3 * flops, "conv training"),
        "forward": (passing, task.batch, flops, "conv"),
        "sampling": (chains, PICTURES, None, None),
    }
    rows = []
    for kind, (seconds, count, operations, top) in kinds.items():
        for c in (c for c in everybody if c.name in seconds):
            row = {"work": kind, "library": c.name, "parameters": c.parameters}
            row["precision"] = c.precision
            row["pictures_per_second"] = rate(seconds[c.name], count)
            row["ratio"] = ratio(seconds["ours"], seconds[c.name])
            if c.name.startswith("ours") and "diffusers" in seconds:
                row["over_diffusers"] = ratio(seconds[c.name], seconds["diffusers"])
            if kind == "training" and c.name == "ours":
                row["ema_share"] = ratio(seconds["ours"], seconds["EMA"])
            if kind == "sampling":
                row |= {"batch": PICTURES, "steps": few}
                row["seconds"] = _spread(seconds[c.name])
                row["said"] = "" if few == steps else f"{few} of {steps} steps: limit"
            elif "denoising" not in c.name:  # whose network has other operations
                row["gflops"] = rate(seconds[c.name], operations / 1e9)
                for name in ("matrix", top):
                    which = name, c.precision
                    full = [work[which] / s for s in training[which]]
                    mine = [operations / s for s in seconds[c.name]]
                    row[f"share_of_{name}".replace(" ", "_")] = ratio(full, mine)
            rows.append(row)
    return rows, rates


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
        point = {kind: n, "seconds": _spread(seconds)}
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
