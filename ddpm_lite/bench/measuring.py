r"""How fast this machine trains and samples, beside diffusers and beside what it could do.

Everything is timed in one process, in rounds in which the contestants take turns, so that
a machine that slows down slows all of them; a first round is not counted. A number is the
median of the rounds, its spread the slowest and the fastest, a ratio the median of the
ratios within rounds. Memory, start-up and neighbours are measured in processes of their
own. `limit` is the number of seconds that one number may take: beside training and
forward passes, which are always measured, what would take longer is made smaller or left
out, and the result says so. `budget` is the number of seconds that all may take together:
with one, only the rows and the neighbour are measured, on smaller batches, in fewer rounds
and with fewer contestants where the machine's own pace asks for it.

"ours" and the other libraries run in the precision that was asked for, "ours, by default"
in the one that this package chooses here, and in kept memory, as `ddpm-lite train` does.
"diffusers, at its best" has all that makes it faster here, see `diffusers_at_its_best`.
"""

import copy
import io
import math
import os
import platform
import time
from dataclasses import replace
from functools import partial
from statistics import median

import torch
from torch import nn

from ..checks import check_integer, check_name, check_number
from ..models.unet_config import PRESETS
from ..training.cost import cost
from ..training.device import PRECISIONS, choose_device, choose_precision, describe
from ..training.ema import EMA
from .clock import Plan, interleave, rate, ratio, spread, timed
from .contestants import (
    BEST,
    PICTURES,
    absent,
    compiled,
    contestants,
    forward_of,
    make_task,
    peers,
)
from .page import first_look, row_in_short, slow_down
from .processes import memory, neighbour, start_up
from .settings import growth, ladder, overhead

QUICK = 160.0  # seconds: the budget of --quick, for three minutes with start and end
NEIGHBOURS = ("digits", "small-32")  # whose training is measured beside a busy program too


def bench(
    presets=("digits", "small-32", "ddpm-cifar10"),
    batches=(8, 32),
    *,
    rounds=5,
    steps=50,
    limit=60.0,
    budget=math.inf,
    precision="float32",
    device="auto",
    compile=False,
    file=None,
):
    r"""Measure everything. Returns the results, plain values for JSON.

    presets: names of networks. batches: of the training step. rounds: that are counted.
    steps: of DDIM. limit: seconds that one number may take. budget: seconds that all may
    take together. precision: of all networks, but in the ladder. compile: with
    torch.compile too, in training. file: where a bar and first results are shown while it
    runs, stderr if None. Raises ValueError for bad options.
    """
    check_options(presets, batches, rounds, steps, limit, budget, compile)
    device, started = choose_device(device), time.perf_counter()
    precision = choose_precision(device, precision)
    found, hasty = peers(), budget < math.inf
    results = {"measured_on": machine(device, precision), "peers": found}
    results["options"] = dict(presets=presets, batches=batches, rounds=rounds, steps=steps)
    results["options"] |= dict(limit=limit, budget=budget if hasty else None)
    results["options"] |= dict(compile=compile)
    results |= {"rows": [], "ceilings": [], "ladders": [], "overheads": [], "growth": {}}
    results |= {"neighbours": [], "memory": [], "start_up": {}}
    paces = {n: pace_of(make_task(PRESETS[n], 4, device, precision)) for n in presets}
    plan = Plan(_parts(paces, batches, rounds, steps, limit, budget), budget, file)
    for name, asked in [(name, batch) for name in presets for batch in batches]:
        place, draws = f"{name}, batch {asked}", steps if asked == batches[0] else 0
        task = make_task(PRESETS[name], asked, device, precision)
        if hasty:
            share = plan.share(f"{place}, ")
            task = replace(task, batch=_affordable(task, paces[name], share))
        which = {"preset": name, "batch": task.batch}
        more = compiled(task, found) if compile else []
        rows, ceiling = compare(task, found, rounds, draws, limit, more, (plan, place))
        if task.batch < asked:
            said = f"batch {asked} would take too long"
            rows = [
                row | {"said": "; ".join(filter(None, (row["said"], said)))} for row in rows
            ]
        results["rows"] += [which | row for row in rows]  # a row of sampling has its own
        results["ceilings"].append(which | {"gflops": ceiling})
        if hasty:
            continue
        with plan.part(f"{place}, memory and fit"):
            seconds = task.batch / rows[0]["pictures_per_second"]["median"]
            told = overhead(task, seconds, rounds, limit)
            results["overheads"].append(which | told)
            for library in ("ours", "diffusers"):
                if library == "ours" or not absent(found[library]):
                    told = memory(task, library)
                    results["memory"].append(which | {"library": library} | told)
        if asked == batches[-1]:
            with plan.part(f"{name}, settings and growth"):
                rungs = ladder(task, rounds, limit, compile)
                results["ladders"] += [which | rung for rung in rungs]
                results["growth"][name] = growth(task, rounds, limit)
    for name in _beside(presets, budget):
        with plan.part(f"{name}, beside a busy program") as most:
            row = {"preset": name} | neighbour(name, most=most)
            results["neighbours"].append(row)
            plan.tell(slow_down(row))
    if not hasty:
        with plan.part("start-up"):
            results["start_up"] = {
                name: {kind: spread(seconds) for kind, seconds in laps.items()}
                for name, laps in start_up(found, rounds).items()
            }
    plan.close()
    results["measured_on"]["load_at_the_end"] = _load()
    results["seconds"] = round(time.perf_counter() - started)
    return results


def pace_of(task):
    r"""Seconds that an operation of the network takes here, in a pass of a few pictures."""
    forward = forward_of(task, copy.deepcopy(task.model).eval())
    forward()
    seconds = min(timed(forward, task.device) for _ in range(2))
    return seconds / (task.batch * cost(task.config).flops)


def _beside(presets, budget):
    names = [name for name in presets if name in NEIGHBOURS]
    return names[:1] if budget <= QUICK else names


def _affordable(task, pace, seconds):
    # a batch with which six contestants and the ceilings, nine steps or so, have two turns
    batch, one = task.batch, 3.3 * pace * cost(task.config).flops
    while batch > 1 and 2 * 9 * batch * one > 0.6 * seconds:
        batch //= 2
    return batch


def _parts(paces, batches, rounds, steps, limit, budget):
    r"""What `bench` measures, with a guess of the seconds: {name of the part: seconds}."""
    beside, hasty = _beside(paces, budget), budget < math.inf
    parts, places = {}, len(paces) * len(batches)
    for name, pace in paces.items():
        one = pace * cost(PRESETS[name]).flops  # of a pass, for one picture
        for batch in batches:
            place, turns = f"{name}, batch {batch}", rounds + 1.5
            step = max(0.2, 3.3 * batch * one)
            chain = steps * PICTURES * one * turns if batch == batches[0] else 0.0
            guess = {"forward": 6 * turns * max(0.2, batch * one)}
            guess |= {"training": 9 * turns * step, "sampling": 5 * min(limit, chain)}
            if hasty:  # no guess, but what there is
                here = (budget - 45 * len(beside)) / places
                guess = {"forward": here / 4, "training": here / 2, "sampling": here / 4}
            parts |= {f"{place}, {kind}": seconds for kind, seconds in guess.items()}
            if not hasty:
                fit = 2 * min(limit, 5 * step * turns)
                parts[f"{place}, memory and fit"] = fit + 10 + 4 * step
        if not hasty:
            grown = 6 * step * turns + 4 * min(limit, 2 * step * turns)
            parts[f"{name}, settings and growth"] = grown
    parts |= {f"{name}, beside a busy program": 45.0 for name in beside}
    return parts if hasty else parts | {"start-up": 7.0 * (rounds + 1)}


def check_options(presets, batches, rounds, steps, limit, budget, compile):
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
    if budget < math.inf:
        check_number("budget", budget, 1)
    if compile and budget < math.inf:
        raise ValueError(
            "torch.compile takes minutes that nothing limits: leave out --compile, "
            "or measure without a budget (--quick)"
        )


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


def compare(task, found, rounds, steps, limit, more=(), planned=None):
    r"""Everybody at one task, and `more`. found: what `peers` returned.

    planned: a Plan and the name of this task in it, or None. Returns rows, one for each
    contestant and kind of work ("training", "forward", "sampling", not for 0 steps), and
    the machine's ceiling in GFLOP/s. `ratio` is our speed over theirs, `over_diffusers`
    and `over_best` theirs over diffusers' and over that at its best, `ema_share` what the
    average of the weights takes of our step. Shares are of the ceiling in their precision.
    GFLOP/s are those of the network as it is defined: who computes the same with fewer
    operations is credited with all of them.
    """
    everybody, device = [*contestants(task, found), *more], task.device
    precisions = dict.fromkeys([task.precision, *(c.precision for c in everybody)])
    ceiling, work = ceilings(task, precisions)
    averaged = copy.deepcopy(task.model).to(memory_format=torch.channels_last)
    average = {"EMA": partial(EMA(averaged).update, averaged)}
    drawing = [c for c in everybody if c.sample and "bare" not in c.name]
    flops = cost(task.config).flops * task.batch
    plan, place = planned or (Plan({}, file=io.StringIO()), "")
    name = f"{place.partition(',')[0]}, batch {task.batch}"
    seconds, rows = {}, {}

    def measure(kind, tasks, most=math.inf, count=task.batch):
        def note(library, first, share):
            plan.note(share)
            if first and kind == "forward":  # the first numbers there are
                plan.tell(first_look(name, library, count / first))

        times = interleave(tasks, rounds, device, most=most, note=note)
        here = [c for c in everybody if c.name in times]
        rows[kind] = [_row(kind, c, times, count) for c in here]
        late = [str(name) for name in tasks if name not in times]
        rows[kind][0]["said"] = f"no time for {'; '.join(late)}" if late else ""
        for row in rows[kind]:
            plan.tell(row_in_short(name, row))
        seconds[kind] = times

    with plan.part(f"{place}, forward") as most:
        measure("forward", {c.name: c.forward for c in everybody if c.forward}, most)
    with plan.part(f"{place}, training") as most:
        measure("training", {c.name: c.step for c in everybody} | ceiling | average, most)
    rows["sampling"] = []
    if steps:
        with plan.part(f"{place}, sampling") as most:
            one = median(seconds["forward"]["ours"]) / task.batch * PICTURES
            each = min(limit, most / len(drawing))
            few = max(1, min(steps, int(each / (one * (rounds + 2)))))
            chains = {c.name: partial(c.sample, few) for c in drawing}
            measure("sampling", chains, most, PICTURES)
        for row in rows["sampling"]:
            row |= {"batch": PICTURES, "steps": few}
            row["seconds"] = spread(seconds["sampling"][row["library"]])
            if few < steps:
                row["said"] = f"{few} of {steps} steps: limit; {row['said']}".strip("; ")
    tops = seconds["training"]
    for kind, operations, top in (
        ("training", 3 * flops, "conv training"),
        ("forward", flops, "conv"),
    ):
        for row in rows[kind]:
            mine = seconds[kind][row["library"]]
            _shares(row, operations, mine, tops, work, ("matrix", top))
    for row in rows["training"][:1]:
        if "EMA" in tops:
            row["ema_share"] = ratio(tops["ours"], tops["EMA"])
    rates = {
        kind if precision == task.precision else f"{kind}, {precision}": rate(
            tops[kind, precision], work[kind, precision] / 1e9
        )
        for kind, precision in ceiling
        if (kind, precision) in tops
    }
    return rows["training"] + rows["forward"] + rows["sampling"], rates


def _row(kind, c, seconds, count):
    row = {"work": kind, "library": c.name, "parameters": c.parameters}
    row |= {"precision": c.precision, "said": ""}
    row["pictures_per_second"] = rate(seconds[c.name], count)
    row["ratio"] = ratio(seconds["ours"], seconds[c.name])
    for key, other in (("over_diffusers", "diffusers"), ("over_best", BEST)):
        if c.name.startswith("ours") and other in seconds:
            row[key] = ratio(seconds[c.name], seconds[other])
    return row


def _shares(row, operations, mine, tops, work, kinds):
    if "denoising" in row["library"]:  # whose network has other operations
        return
    row["gflops"] = rate(mine, operations / 1e9)
    for kind in kinds:
        which = kind, row["precision"]
        if which in tops:
            full = [work[which] / s for s in tops[which]]
            # the budget may have cut the rounds of either kind short
            pairs = list(zip([operations / s for s in mine], full, strict=False))
            share = ratio([f for _, f in pairs], [m for m, _ in pairs])
            row[f"share_of_{kind}".replace(" ", "_")] = share
