r"""What is right on a GPU, part by part: see `gpu`, which runs them.

A part is a function of a Setting that yields rows, each as soon as it is known: plain
values for JSON. Without CUDA the same code runs on the CPU at toy size, and what needs
CUDA says that it is not there.
"""

import copy
import platform
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import distributed

from ..formats.checkpoint import read_checkpoint, write_checkpoint
from ..formats.weights import load_pretrained
from ..loss import simple_loss
from ..models.unet_config import UNetConfig
from ..sampling.sampler import sample
from ..seeds import SampleNoise
from ..training.config import TrainConfig
from ..training.cost import cost
from ..training.device import PRECISIONS, choose_precision
from ..training.trainer import Network, Trainer
from .clock import interleave, rate, timed
from .contestants import make_task

TINY = UNetConfig(size=8, width=8, multipliers=(1, 2), blocks=1, attention=(4,), groups=4)

# What a result may differ from float64's, in units of the format's rounding error u: name
# -> (precision of the network, TF32, u; units for output, gradient, pictures; for losses).
# bfloat16 and TF32 round the factors of a product and add up in float32. A path through
# the U-Net has some 70 roundings, which shortcuts dampen: 3 to 4 u in the output, up to 8
# in gradients, where the way is twice as long; a loss is a mean of thousands of numbers.
# In float32 the sums of up to 4,608 products round too, sqrt(4608) = 68 u, and transforms
# for quick convolutions (Winograd's) lose up to a digit: 512 u, still far from TF32.
FORMATS = {
    "float32": ("float32", False, 2**-24, 512, 32),
    "float32, TF32": ("float32", True, 2**-11, 16, 2),
    "bfloat16": ("bfloat16", True, 2**-8, 16, 2),
}


@dataclass(frozen=True)
class Setting:
    r"""How large a part is. toy: tiny, as on a CPU. seconds: it should end after so many.

    out: folder for pictures. batch: of a training step. count: steps between two looks
    at the clock. rounds: of those that take turns. side: of the matrices. pictures,
    steps: of the long chain.
    """

    device: torch.device
    toy: bool
    seconds: float
    out: Path
    config: UNetConfig = field(default_factory=UNetConfig)  # ddpm-cifar10
    batch: int = 128
    count: int = 10
    rounds: int = 5
    side: int = 8192
    pictures: int = 500
    steps: int = 1000
    digits_steps: int = 2000
    clock: Callable[[], float] = time.perf_counter
    started: float = field(default_factory=time.perf_counter)

    @property
    def left(self):
        r"""Seconds that are left."""
        return self.seconds - (self.clock() - self.started)

    @property
    def precision(self):
        r"""What the package chooses for the network here."""
        return choose_precision(self.device, "auto")


def setting(seconds, toy, out):
    r"""The Setting of this machine, on CUDA unless `toy`; the batch fits its memory."""
    if toy:
        small = dict(config=TINY, batch=4, count=1, rounds=2, side=256, pictures=8)
        small |= dict(steps=20, digits_steps=60)
        return Setting(torch.device("cpu"), True, seconds, Path(out), **small)
    found = Setting(torch.device("cuda", 0), False, seconds, Path(out))
    free, _ = torch.cuda.mem_get_info(found.device)
    one, batch = cost(found.config), found.batch
    while batch > 8 and one.weights + batch * one.stored > 0.4 * free:
        batch //= 2
    return replace(found, batch=batch)


# --- rows: what a part yields, plain values for JSON


def number(name, value, unit=""):
    r"""A row with a number, a text, or what `rate` returns."""
    return {"name": name, "value": value, "unit": unit}


def check(name, value, allowed, unit=""):
    r"""A row that is wrong unless value <= allowed; NaN is wrong."""
    value = float(value)
    row = {"name": name, "value": value, "allowed": float(allowed), "unit": unit}
    return row | {"ok": value <= allowed}


def said(text):
    r"""A row of words, such as why something is missing."""
    return {"said": text}


# --- settings of torch, for a while


@contextmanager
def tf32(on):
    r"""Let products and convolutions of float32 on CUDA round their factors to TF32."""
    switches = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = on
        yield
    finally:
        for switch, was in zip(switches, before, strict=True):
            switch.allow_tf32 = was


@contextmanager
def deterministic():
    r"""Let torch use algorithms alone that give the same bits every time.

    On CUDA cuBLAS needs CUBLAS_WORKSPACE_CONFIG too, before its first call.
    """
    before = torch.are_deterministic_algorithms_enabled()
    try:
        torch.use_deterministic_algorithms(True)
        yield
    finally:
        torch.use_deterministic_algorithms(before)


# --- the clock


def laps(s, call):
    r"""A function that calls `call` s.count times and returns seconds of one, on average.

    The device is waited for at both ends alone, as in a run.
    """

    def several():
        for _ in range(s.count):
            call()

    return lambda: timed(several, s.device) / s.count


def matrices(s):
    r"""Products of large matrices in the formats of FORMATS, {format: as `laps` gives}."""
    products = {}
    for name, (precision, fast, *_) in FORMATS.items():
        if s.device.type == "cuda" or name != "float32, TF32":
            a = torch.randn(s.side, s.side, device=s.device).to(PRECISIONS[precision])
            products[name] = laps(s, partial(_product, a, fast))
    return products


def _product(a, fast):
    with tf32(fast):
        torch.matmul(a, a)


# --- the parts


def machine(s):
    r"""What this is, and the rates of its matrix products, the measure of other parts."""
    cuda = s.device.type == "cuda"
    yield number("torch", f"{torch.__version__}, Python {platform.python_version()}")
    if cuda:
        card = torch.cuda.get_device_properties(s.device)
        yield number("card", f"{card.name}, {card.total_memory / 2**30:.0f} GiB")
        yield number("capability", f"{card.major}.{card.minor}")
        cudnn = torch.backends.cudnn.version()
        yield number("CUDA, cuDNN", f"{torch.version.cuda}, {cudnn}")
    yield number("precision of the network by default", s.precision)
    products = matrices(s)
    work = 2 * s.side**3
    for name, seconds in interleave(products, s.rounds, s.device, least=0).items():
        rates = rate(seconds, work / 1e12)
        yield number(f"product of {s.side} x {s.side}, {name}", rates, "TFLOP/s")


def checks(s):
    r"""Output, loss, gradient and ten steps of DDIM, against float64 on the CPU."""
    task = make_task(replace(s.config, dropout=0.0), 2)
    generator = torch.Generator().manual_seed(1)
    x_0 = 2 * torch.rand(2, *s.config.sample_shape, generator=generator) - 1
    noise = torch.randn(2, *s.config.sample_shape, generator=generator)
    batch = x_0, torch.tensor([100, 700]), noise
    true = _passes(task, copy.deepcopy(task.model).double(), "float32", batch)
    shipped = load_pretrained("fashion")
    pictures = _chain(shipped, copy.deepcopy(shipped.model).double(), "float32")
    for name, (precision, fast, u, *factors) in FORMATS.items():
        if fast and precision == "float32" and s.device.type != "cuda":
            yield said(f"{name}: not here: no CUDA")
            continue
        with tf32(fast):
            found = _passes(task, _moved(task.model, s.device), precision, batch)
            drawn = _chain(shipped, _moved(shipped.model, s.device), precision)
        sums, mean = factors
        kinds = {"output": sums, "gradient": sums, "loss": mean}
        for (what, factor), mine, exact in zip(kinds.items(), found, true, strict=True):
            error = (mine - exact).norm() / exact.norm()
            yield check(f"{what}, {name}", error, factor * u, "relative")
        error = (drawn - pictures).square().mean().sqrt()
        yield check(f"10 steps of DDIM, {name}", error, sums * u, "rms, of -1..1")
    here, there = (
        SampleNoise(0, (2, *s.config.sample_shape), device, torch.float32).next().cpu()
        for device in (s.device, torch.device("cpu"))
    )
    yield check("noise of a seed", (here - there).abs().max(), 0)


def _moved(model, device):
    return copy.deepcopy(model).to(device, memory_format=torch.channels_last)


def _passes(task, model, precision, batch):
    # output, gradient and losses in float64 on the CPU, computed where and as model is
    first = next(model.parameters())
    x_0, noise = (part.to(first.device, first.dtype) for part in (batch[0], batch[2]))
    network, t = Network(model, model, first.device, precision), batch[1]
    with torch.no_grad():
        output = network(x_0, t.to(first.device))
    losses = simple_loss(network, task.schedule, x_0, t, noise)
    gradient = torch.autograd.grad(losses.mean(), list(model.parameters()))
    found = output, torch.cat([g.flatten() for g in gradient]), losses.detach()
    return [part.double().cpu() for part in found]


def _chain(shipped, model, precision):
    # four pictures from one noise, in float64 on the CPU
    first, generator = next(model.parameters()), torch.Generator().manual_seed(3)
    shape = 4, *model.unet_config.sample_shape
    x_T = torch.randn(shape, generator=generator).to(first.device, first.dtype)
    network = Network(model, model, first.device, precision)
    options = dict(sampler="ddim", steps=10, clip=(-1, 1), progress=False)
    options |= dict(x_T=x_T, dtype=first.dtype, y=torch.arange(4, device=first.device))
    return sample(network, shipped.schedule, shape, **options).double().cpu()


def resume(s):
    r"""Train on from a checkpoint: the same bits as without a stop.

    Bit for bit with torch's deterministic algorithms; without them two runs of the same
    differ, and what a stop adds is to be compared with that.
    """
    n = 3
    with deterministic():
        whole, stopped = _twice(s, n), _stopped(s, n)
    yield check("weights, Adam, EMA, deterministic", _apart(whole, stopped), 0)
    yield check("losses, deterministic", _losses_apart(whole, stopped), 0)
    whole, again, stopped = _twice(s, n), _twice(s, n), _stopped(s, n)
    yield number("two runs by default, largest difference", _apart(whole, again))
    yield number("with a stop by default, largest difference", _apart(whole, stopped))


def _twice(s, n):
    trainer = trainer_of(s)
    return trainer, [record.loss for record in trainer.run(2 * n)]


def _stopped(s, n):
    first, second = trainer_of(s), trainer_of(s)
    losses = [record.loss for record in first.run(n)]
    with tempfile.TemporaryDirectory() as run:
        state = first.state()
        folder = write_checkpoint(run, first.ema.model, first.schedule, {}, *state, keep=1)
        average, tensors, numbers = read_checkpoint(folder)
    second.restore(average.model.state_dict(), tensors, numbers)
    return second, losses + [record.loss for record in second.run(n)]


def trainer_of(s, **changes):
    r"""A new Trainer on random pictures, always from the same weights.

    changes: fields of TrainConfig, and `dropout` of the network.
    """
    dropout = {"dropout": changes.pop("dropout")} if "dropout" in changes else {}
    task = make_task(replace(s.config, **dropout), s.batch, s.device)
    settings = dict(steps=1000, batch_size=s.batch, warmup_steps=5, flip=True)
    config = TrainConfig(**settings | {"precision": s.precision} | changes)
    return Trainer(task.model, task.schedule, task.data, config)


def _apart(one, other):
    pairs = []
    for trainer in (one[0], other[0]):
        average = {f"ema.{k}": v for k, v in trainer.ema.model.state_dict().items()}
        pairs.append(trainer.state()[0] | average)
    gaps = [(pairs[0][name] - pairs[1][name]).abs().max() for name in pairs[0]]
    return float(torch.stack([gap.double().cpu() for gap in gaps]).max())


def _losses_apart(one, other):
    first, second = (torch.stack(run[1]).double() for run in (one, other))
    return float(((first - second) / first).abs().max())


def one_process(s):
    r"""Gradients by way of nccl (gloo on a CPU) in one process: the losses stay."""
    with deterministic():
        plain = _twice(s, 5)
        backend = "nccl" if s.device.type == "cuda" else "gloo"
        store = distributed.HashStore()
        distributed.init_process_group(backend, store=store, rank=0, world_size=1)
        try:
            trainer = trainer_of(s)
            wrapped = torch.nn.parallel.DistributedDataParallel(trainer.model)
            trainer.network.module = wrapped
            shared = trainer, [record.loss for record in trainer.run(10)]
            del trainer.network.module, wrapped
        finally:
            distributed.destroy_process_group()
    # The mean over one process divides by 1. What is left is the order of sums, a few
    # float32 roundings; Adam makes more of them, but in 10 steps of warm-up not 1e-5.
    yield check(f"losses with {backend}", _losses_apart(plain, shared), 1e-5, "relative")
    yield number("weights, largest difference", _apart(plain, shared))
