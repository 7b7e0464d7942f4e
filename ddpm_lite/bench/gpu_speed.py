r"""What is fast on a GPU, part by part: see `gpu`, which runs them."""

from dataclasses import replace
from functools import partial
from statistics import median

import torch

from ..formats.weights import load_pretrained
from ..sampling.sampler import sample
from ..seeds import SampleNoise
from ..training.cost import cost
from ..training.device import PRECISIONS, autocast
from ..training.trainer import Trainer
from .clock import interleave, rate, ratio, timed
from .contestants import (
    PICTURES,
    absent,
    compiled,
    diffusers_twin,
    make_task,
    our_chain,
    ours,
    peers,
)
from .gpu_checks import check, laps, matrices, number, said, trainer_of


def compile_step(s):
    r"""What torch.compile takes at first, and gives afterwards, to our training step."""
    eager, other = (trainer_of(s, dropout=0.0, compile=wish) for wish in (False, True))
    for trainer in (eager, other):
        trainer.model.train()
    losses = []
    first = timed(lambda: losses.append(other.update().loss), s.device)
    yield number("first call", round(first, 2), "s")
    u = torch.finfo(PRECISIONS[s.precision]).eps / 2
    gap = abs(float(losses[0]) / float(eager.update().loss) - 1)
    # Each of the two may be off by what `checks` allows to a loss.
    yield check("first loss, compiled and not", gap, max(2 * 2 * u, 2 * 32 * 2**-24))
    tasks = {"eager": laps(s, eager.update), "compiled": laps(s, other.update)}
    seconds = interleave(tasks, s.rounds, s.device, least=0)
    for name, laps_of in seconds.items():
        yield number(name, rate(laps_of, s.batch), "pictures/s")
    gain = ratio(seconds["compiled"], seconds["eager"])
    yield number("compiled over eager", gain, "x")
    saved = median(seconds["eager"]) - median(seconds["compiled"])
    earned = f"{first / saved:,.0f} steps" if saved > 0 else "never"
    yield number("first call earned back after", earned)


class Replayed:
    r"""A network as one CUDA graph: called as model(x_t, t), with one shape for all.

    Nothing but the network is in the graph; kernels are launched by one call. An answer
    is a copy, in the precision asked for.
    """

    def __init__(self, model, shape, precision):
        for name in ("prediction", "learned_variance", "clip", "T", "classes"):
            setattr(self, name, getattr(model, name))
        self.parameters, device = model.parameters, next(model.parameters()).device
        self.x_t = torch.zeros(shape, device=device)
        self.t = torch.ones(shape[0], dtype=torch.int64, device=device)
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side), torch.no_grad():
            for _ in range(3):  # what libraries set up at a first call must not be captured
                with autocast(device, precision):
                    model(self.x_t, self.t)
        torch.cuda.current_stream(device).wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        # Casts of weights are captured: autocast's cache begins and ends inside.
        with torch.no_grad(), torch.cuda.graph(self.graph), autocast(device, precision):
            self.answer = model(self.x_t, self.t)

    def __call__(self, x_t, t):
        self.x_t.copy_(x_t)
        self.t.copy_(t)
        self.graph.replay()
        return self.answer.clone()


def graphs(s):
    r"""Sampling with the network as a CUDA graph: the same pictures, and the gain."""
    task = make_task(s.config, s.batch, s.device, s.precision)
    model = task.model.to(memory_format=torch.channels_last).eval()
    steps = 5 if s.toy else 50
    chains = {"eager": our_chain(task, model)}
    if s.device.type == "cuda":
        shape = PICTURES, *s.config.sample_shape
        chains["graph"] = our_chain(task, Replayed(model, shape, s.precision))
        eager, graph = (draw(steps) for draw in chains.values())
        u = torch.finfo(PRECISIONS[s.precision]).eps / 2
        # The same kernels on the same numbers: 0, unless a library picks others.
        gap = (eager - graph).square().mean().sqrt()
        yield check(f"{steps} steps, graph and not", gap, 16 * u, "rms, of -1..1")
    else:
        yield said("CUDA graphs: not here: no CUDA")
    tasks = {name: partial(draw, steps) for name, draw in chains.items()}
    seconds = interleave(tasks, s.rounds, s.device, least=0)
    for name, laps_of in seconds.items():
        per_step = rate([1 / value for value in laps_of], 1e3 / steps)
        yield number(f"{PICTURES} pictures, {name}", per_step, "ms a step")
    if "graph" in seconds:
        yield number("graph over eager", ratio(seconds["graph"], seconds["eager"]), "x")


def noise(s):
    r"""What it costs that noise comes from the CPU, picture by picture."""
    task = make_task(s.config, s.batch, s.device, s.precision)
    model = task.model.to(memory_format=torch.channels_last).eval()
    shape = s.pictures, *s.config.sample_shape
    draw = SampleNoise(0, shape, s.device, torch.float32)
    there = torch.Generator(s.device).manual_seed(0)
    on_card = partial(torch.randn, shape, generator=there, device=s.device)
    seconds = {
        name: median([timed(call, s.device) for _ in range(5)])
        for name, call in (("CPU", draw.next), ("device", on_card))
    }

    def chain(steps):
        options = dict(steps=steps, clip=(-1, 1), progress=False)
        with task.autocast:
            return sample(model, task.schedule, shape, **options)

    one = min(timed(partial(chain, 2), s.device) for _ in range(2)) / 2
    steps = max(2, min(s.steps, int(0.7 * s.left / one)))
    whole = timed(partial(chain, steps), s.device) * 1000 / steps
    measured = "1000 steps" if steps == 1000 else f"1000 steps, by {steps} measured ones"
    yield number(f"{s.pictures} pictures, {measured}", round(whole, 3), "s")
    for name, value in seconds.items():
        yield number(f"1000 times its noise, drawn on the {name}", 1000 * value, "s")
    yield number("noise from the CPU, share", f"{1000 * seconds['CPU'] / whole:.1%}")
    trainer = trainer_of(s)
    trainer.model.train()
    both = {"draw": laps(s, partial(trainer.draw, 1)), "step": laps(s, trainer.update)}
    both = interleave(both, s.rounds, s.device, least=0)
    share = median(both["draw"]) / median(both["step"])
    yield number(f"batch of {s.batch} drawn for training", median(both["draw"]) * 1e3, "ms")
    yield number("share of a training step", f"{share:.1%}")


def training(s):
    r"""Training steps beside diffusers', and their share of what matrix products reach."""
    flops, found = 3 * cost(s.config).flops * s.batch / 1e12, peers()
    task = make_task(s.config, s.batch, s.device)
    everybody = [ours(task)]
    if s.precision != "float32":
        mine = ours(replace(task, precision=s.precision))
        everybody.append(replace(mine, name="ours, by default"))
    if absent(found["diffusers"]):
        yield said(f"diffusers: {found['diffusers']}")
    else:
        everybody.append(diffusers_twin(task))
    yield from _in_turns(s, everybody, flops)
    if s.left < (0 if s.toy else 60):
        yield said(f"compiled: left out, {s.left:.0f} s are left for it")
        return
    yield said("again, in turns with those that are compiled:")
    yield from _in_turns(s, everybody + compiled(task, found), flops)


def _in_turns(s, everybody, flops):
    products = matrices(s)
    tasks = {c.name: laps(s, c.step) for c in everybody} | products
    seconds = interleave(tasks, s.rounds, s.device, least=0)
    others = [c.name for c in everybody if c.name.startswith("diffusers")]
    for c in everybody:
        own = seconds[c.name]
        yield number(f"{c.name}, {c.precision}", rate(own, s.batch), "pictures/s")
        yield number(f"{c.name}, {c.precision}", rate(own, flops), "TFLOP/s")
        # torch lets convolutions of float32 round to TF32 where there is such a thing
        name = "float32, TF32" if c.precision == "float32" else c.precision
        name = name if name in products else "float32"
        best = 2 * s.side**3 / 1e12 / median(seconds[name])
        share = flops / median(own) / best
        yield number(f"{c.name}, of products in {name}", f"{share:.1%}")
        for other in others if c.name not in others else ():
            faster = ratio(own, seconds[other])
            yield number(f"{c.name}, {c.precision}, over {other}", faster, "x")


def digits(s):
    r"""What time is left: train the preset digits, draw, and write pictures as PNG."""
    from ..training.presets import RUNS, build

    x_0, y, levels = _digits(s)
    config = RUNS["digits"]
    config = replace(config, unet=replace(config.unet, classes=10))
    pace = _of_digits(config, build(config), s, x_0, y, levels, 100)
    list(pace.run(3))
    one = timed(lambda: list(pace.run(10)), s.device) / 10
    steps = max(20, min(s.digits_steps, int(0.6 * s.left / one)))
    trainer = _of_digits(config, build(config), s, x_0, y, levels, steps)
    losses = []
    seconds = timed(lambda: losses.extend(r.loss for r in trainer.run()), s.device)
    curve = [float(part.mean()) for part in torch.stack(losses).chunk(10)]
    yield number("updates", steps, f"of {config.train.batch_size} pictures")
    yield number("speed", f"{steps * config.train.batch_size / seconds:.4g}", "pictures/s")
    yield number("losses, means of tenths", [float(f"{value:.4g}") for value in curve])
    yield check("last tenth of the losses over the first", curve[-1] / curve[0], 1)
    label = torch.arange(100, device=s.device) % 10
    options = dict(sampler="dpmpp_2m", spacing="log_snr", steps=10, clip=(-1, 1))
    options |= dict(progress=False, y=label)
    model = trainer.ema.model
    new = sample(model, trainer.schedule, (100, *config.unet.sample_shape), **options)
    try:
        from ..figure import save_pictures

        path = save_pictures(new, s.out / "digits.png", columns=10)
        yield number("100 new ones, a class in each column", path.name)
    except ImportError as error:
        yield said(f"no picture of the new ones: {error}")


def _of_digits(config, built, s, x_0, y, levels, steps):
    model, schedule = built
    warmup = min(config.train.warmup_steps, steps // 5)
    train = replace(config.train, steps=steps, warmup_steps=warmup)
    return Trainer(model.to(s.device), schedule, x_0, train, y=y, levels=levels)


def _digits(s):
    # real ones, or where scikit-learn is missing, some that the shipped model draws
    from ..data import sources as data

    try:
        found = data.load("digits")
        return found.x_0, found.y, found.levels
    except ImportError:
        shipped = load_pretrained("digits")
        y = torch.arange(500) % 10
        options = dict(sampler="ddim", steps=20, clip=(-1, 1), progress=False)
        model, shape = shipped.model.to(s.device), (500, 1, 8, 8)
        drawn = sample(model, shipped.schedule, shape, y=y.to(s.device), **options)
        return ((drawn.cpu() + 1) * 8).round().to(torch.uint8), y, 17
