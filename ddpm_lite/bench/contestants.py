r"""Who takes part in the benchmark: this package, diffusers, denoising_diffusion_pytorch.

All get the same weights where their networks are the same, the same pictures, and loops
written as well as their users can: fused optimiser, clipping, an average in one call.
The other libraries are imported where they are used.
"""

import copy
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ..formats.checkpoint import Pretrained, save_model
from ..formats.diffusers import to_diffusers
from ..models.unet import PRESETS, UNet, UNetConfig
from ..sampling.sampler import sample
from ..schedule import Schedule
from ..training.device import autocast, choose_precision, keep_memory
from ..training.ema import EMA
from ..training.trainer import TrainConfig, Trainer

PICTURES = 16  # drawn by one chain
START = {  # a first picture, as a program of its own: what it imports, and what it does
    "ours": (
        "import ddpm_lite",
        "run = ddpm_lite.load_model(told['file'])\n"
        "ddpm_lite.sample(run.model, run.schedule, (1, 1, 8, 8), sampler='ddim', steps=10,"
        " clip=(-1, 1), progress=False)\n",
    ),
    "diffusers": (
        "from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel",
        "unet = UNet2DModel.from_pretrained(told['folder'] + '/unet')\n"
        "scheduler = DDIMScheduler.from_pretrained(told['folder'] + '/scheduler')\n"
        "run = DDIMPipeline(unet=unet, scheduler=scheduler)\n"
        "run.set_progress_bar_config(disable=True)\n"
        "run(batch_size=1, num_inference_steps=10)\n",
    ),
}


@dataclass(frozen=True)
class Task:
    r"""What all contestants train on: the same pictures, batch, weights and precision.

    data: uint8 (N, C, H, W). model: a UNet whose weights everybody starts from.
    """

    config: UNetConfig
    batch: int
    model: UNet
    schedule: Schedule
    data: torch.Tensor
    device: torch.device
    precision: str = "float32"

    @property
    def autocast(self):
        r"""The context in which a network runs in the precision that is asked for."""
        return autocast(self.device, self.precision)


@dataclass(frozen=True)
class Contestant:
    r"""One library at a task, as functions: step() trains, forward(), sample(steps).

    The last two are None for one that takes part in training alone.
    network: called as network(x_t, t) with the paper's t; the untrained weights.
    precision: of the network in the other functions.
    """

    name: str
    parameters: int
    precision: str
    network: Callable
    step: Callable
    forward: Callable | None
    sample: Callable | None


def make_task(config, batch, device="cpu", precision="float32"):
    r"""A Task of random pictures. The output layers of the network are not zero.

    Raises ValueError for a network that learns its variance: the loops have another loss.
    """
    if config.learned_variance:
        raise ValueError(
            "a network with learned variance cannot be compared: the other libraries' "
            "loops have the simple loss; take one without, such as ddpm-cifar10"
        )
    device = torch.device(device)
    generator = torch.Generator().manual_seed(0)
    data = torch.randint(
        0, 256, (256, *config.sample_shape), generator=generator, dtype=torch.uint8
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = UNet(replace(config, zero_init=False)).to(device)
    schedule = Schedule.linear(config.T)
    return Task(config, batch, model, schedule, data.to(device), device, precision)


def ours(task):
    r"""This package: `Trainer.update` with all that it does, and `sample`."""
    settings = TrainConfig(batch_size=task.batch, precision=task.precision)
    trainer = Trainer(copy.deepcopy(task.model), task.schedule, task.data, settings)
    trainer.model.train()
    average = trainer.ema.model
    calls = (trainer.update, forward_of(task, average), our_chain(task, average))
    return _contestant(task, "ours", task.model, task.model, *calls)


def ours_by_default(task):
    r"""This package as `ddpm-lite` runs it: its choice of precision, memory kept."""
    precision = choose_precision(task.device, "auto", task.model)
    here = ours(replace(task, precision=precision))
    if keep_memory(False):
        here = replace(here, step=partial(in_kept_memory, here.step, task.device))
    return replace(here, name="ours, by default")


def in_kept_memory(step, device):
    r"""Seconds of a training step in memory that the one before has left.

    Afterwards memory is as a step leaves it that gives it back, for whoever comes next.
    """
    keep_memory()
    step()
    seconds = timed(step, device)
    keep_memory(False)
    step()
    return seconds


def timed(task, device):
    r"""Seconds of a function without arguments; its own number if it returns a float."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    own = task()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return own if isinstance(own, float) else max(time.perf_counter() - start, 1e-9)


def compiled(task, found):
    r"""Ours and diffusers' networks through torch.compile, in the precision of the default.

    Minutes go by in their first step. found: what `peers` returned. Returns Contestants
    that train.
    """
    precision = choose_precision(task.device, "auto", task.model)
    task = replace(task, precision=precision)
    settings = TrainConfig(batch_size=task.batch, precision=precision, compile=True)
    trainer = Trainer(copy.deepcopy(task.model), task.schedule, task.data, settings)
    trainer.model.train()
    steps = {"ours, compiled": trainer.update}
    if not absent(found["diffusers"]):
        unet, predict, _ = _diffusers_unet(task, channels_last=True)
        steps["diffusers, compiled"] = training_loop(
            task, unet, predict(torch.compile(unet))
        )[0]
    rest = (task.model, task.model)
    return [_contestant(task, n, *rest, step, None, None) for n, step in steps.items()]


def ours_bare(task):
    r"""Our network in the loop that the other libraries get."""
    model = copy.deepcopy(task.model).to(memory_format=torch.channels_last)
    step, average = training_loop(task, model, model)
    calls = (step, forward_of(task, average), our_chain(task, average))
    return _contestant(task, "ours, bare loop", task.model, task.model, *calls)


def our_chain(task, model):
    r"""A function that draws pictures with `sample` in a number of DDIM steps."""

    def draw(steps):
        options = dict(sampler="ddim", steps=steps, clip=(-1, 1), progress=False)
        with task.autocast:
            shape = (PICTURES, *task.config.sample_shape)
            return sample(model, task.schedule, shape, **options)

    return draw


def diffusers_twin(task, channels_last=False):
    r"""diffusers' UNet2DModel with the same weights, in a loop with fused AdamW.

    Returns a Contestant. Raises ImportError where diffusers is not installed.
    """
    from diffusers.pipelines.ddim.pipeline_ddim import DDIMPipeline

    unet, predict, scheduler = _diffusers_unet(task, channels_last)
    first = copy.deepcopy(unet).eval()
    step, average = training_loop(task, unet, predict(unet))
    pipeline = DDIMPipeline(unet=average, scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)

    def draw(steps):
        with task.autocast:
            more = dict(num_inference_steps=steps, output_type="np")
            return pipeline(batch_size=PICTURES, **more).images

    name = "diffusers, channels_last" if channels_last else "diffusers"
    forward = forward_of(task, predict(average))
    return _contestant(task, name, unet, predict(first), step, forward, draw)


def _diffusers_unet(task, channels_last):
    from diffusers.models.unets.unet_2d import UNet2DModel
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from diffusers.utils import logging

    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as here:
        found = Pretrained(task.model, task.schedule, {"clip": True})
        folder = to_diffusers(found, Path(here) / "pipeline")
        unet = UNet2DModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False)
        chain = dict(clip_sample=True, timestep_spacing="trailing")
        scheduler = DDIMScheduler(task.config.T, 1e-4, 0.02, "linear", **chain)
    unet = unet.to(task.device)
    if channels_last:
        unet = unet.to(memory_format=torch.channels_last)

    def predict(model):
        return lambda x_t, t: model(x_t, t - 1).sample

    return unet, predict, scheduler


def denoising_diffusion(task):
    r"""The package denoising_diffusion_pytorch, whose network has another architecture.

    Returns a Contestant. Raises ImportError where it is not installed.
    """
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    c = task.config
    unet = Unet(dim=c.width, dim_mults=c.multipliers, channels=c.channels)
    more = dict(image_size=c.height, timesteps=c.T)
    whole = GaussianDiffusion(unet, **more, sampling_timesteps=50).to(task.device)
    optimizer = torch.optim.AdamW(whole.parameters(), fused=True)
    ema = EMA(whole)

    def step():
        chosen = torch.randint(len(task.data), (task.batch,), device=task.device)
        optimizer.zero_grad(set_to_none=True)
        with task.autocast:
            loss = whole(task.data[chosen].float() / 255)
        loss.backward()
        nn.utils.clip_grad_norm_(whole.parameters(), 1.0)
        optimizer.step()
        ema.update(whole)

    def draw(steps):
        ema.model.sampling_timesteps = steps
        with task.autocast:
            return ema.model.sample(batch_size=PICTURES)

    def predict(x_t, t):
        return ema.model.model(x_t, t - 1)

    name, forward = "denoising_diffusion_pytorch", forward_of(task, predict)
    return _contestant(task, name, unet, predict, step, forward, draw)


LIBRARIES = {
    "ours": ours,
    "ours, by default": ours_by_default,
    "ours, bare loop": ours_bare,
    "diffusers": diffusers_twin,
    "diffusers, channels_last": lambda task: diffusers_twin(task, channels_last=True),
    "denoising_diffusion_pytorch": denoising_diffusion,
}


def peers():
    r"""Which other libraries are here: {name: version, or why it takes no part}."""
    found = {}
    for name in ("diffusers", "denoising_diffusion_pytorch"):
        try:
            module = importlib.import_module(name)
            found[name] = getattr(module, "__version__", "installed")
        except ImportError as error:
            advice = f"pip install {name.replace('_', '-')}"
            found[name] = f"not measured: it cannot be imported ({error}); {advice}"
    return found


def absent(told):
    r"""Whether what `peers` says of a library is that it takes no part."""
    return told.startswith("not measured")


def contestants(task, found):
    r"""All Contestants whose library is here. found: what `peers` returned."""
    missing = tuple(name for name, told in found.items() if absent(told))
    return [make(task) for name, make in LIBRARIES.items() if not name.startswith(missing)]


def training_loop(
    task, model, predict, *, fused=True, foreach=True, precision=None, optimizer=None
):
    r"""A loop as short as a user writes it. Returns (step, model of the average)."""
    optimizer = optimizer or torch.optim.AdamW
    update = optimizer(
        model.parameters(), lr=2e-4, fused=fused, foreach=None if fused else False
    )
    ema, device = EMA(model, fast=foreach), task.device
    task = replace(task, precision=precision or task.precision)
    tables = task.schedule.alpha_bar.sqrt(), task.schedule.one_minus_alpha_bar.sqrt()
    share, deviation = (table.float().to(device) for table in tables)

    def step():
        model.train()
        chosen = torch.randint(len(task.data), (task.batch,), device=device)
        x_0 = 2 * task.data[chosen].float() / 255 - 1
        t = torch.randint(1, task.schedule.T + 1, (task.batch,), device=device)
        noise = torch.randn_like(x_0)
        x_t = share[t, None, None, None] * x_0 + deviation[t, None, None, None] * noise
        update.zero_grad(set_to_none=True)
        with task.autocast:
            noise_pred = predict(x_t, t)
        F.mse_loss(noise_pred.float(), noise).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        update.step()
        ema.update(model)

    return step, ema.model


def forward_of(task, network):
    r"""A function that runs a network forward on one batch, without gradients."""
    x_t = torch.randn(task.batch, *task.config.sample_shape, device=task.device)
    t = torch.full((task.batch,), task.config.T // 2 + 1, device=task.device)

    def forward():
        with torch.no_grad(), task.autocast:
            return network(x_t, t)

    return forward


def _contestant(task, name, counted, network, step, forward, draw):
    parameters = sum(p.numel() for p in counted.parameters())
    return Contestant(name, parameters, task.precision, network, step, forward, draw)


# --- processes of their own


def child(code, **values):
    r"""Run Python code in a new process with `told`, the values, and `report(values)`.

    Returns what it reported. Raises RuntimeError with the last line of its error.
    """
    start = "import json, sys\ntold = json.load(sys.stdin)\n"
    start += "report = lambda **values: print(json.dumps(values))\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", start + code],
        input=json.dumps(values | {"threads": torch.get_num_threads()}),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"a process of the benchmark failed: {last}")
    return json.loads(done.stdout.splitlines()[-1])


def memory(task, library):
    r"""Peak memory in GB of two training steps in a new process, and how it was found.

    Returns what `peak` does, or {"said"} where that process failed.
    """
    code = "from ddpm_lite.bench import contestants\nreport(**contestants.peak(**told))"
    settings = dict(config=task.config.as_dict(), batch=task.batch, library=library)
    where = dict(device=str(task.device), precision=task.precision)
    try:
        return child(code, **settings, **where)
    except RuntimeError as error:  # such as a machine without enough memory
        return {"said": f"not measured: {error}"}


def peak(config, batch, library, device, precision, threads):
    r"""What `memory` runs in its process: {"peak_gb", "above_start_gb", "found"}.

    above_start_gb: without what Python, torch and the libraries hold before the contestant
    is built. On CUDA both are of torch's own memory on the card.
    """
    torch.set_num_threads(threads)
    least = UNetConfig(size=4, width=4, multipliers=(1,), attention=(), groups=2)
    small = make_task(least, 1, device, precision)
    LIBRARIES[library](small).step()  # all imports, and nothing that fills memory
    task = make_task(UNetConfig(**config), batch, device, precision)
    before, found = _resident(task.device)
    step = LIBRARIES[library](task).step
    for _ in range(2):
        step()
    after, _ = _resident(task.device)
    return {"peak_gb": after, "above_start_gb": after - before, "found": found}


def _resident(device):
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9, "torch's own, on the card"
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would count the parent's memory before exec too
        lines = status.read_text().splitlines()
        high = next(line for line in lines if line.startswith("VmHWM"))
        return int(high.split()[1]) * 1024 / 1e9, "VmHWM, resident memory"
    import resource  # which Windows does not have

    high = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    return high * unit / 1e9, "ru_maxrss, resident memory"


def start_up(found, rounds):
    r"""Seconds of new processes: torch, the library over it, a first picture over that.

    The picture is one of 8 x 8 in ten steps, its weights are read from a file. found:
    what `peers` returned. Returns {library: {"torch", "library", "first_picture"}}, each
    a list with an entry for each round, of the libraries that are here.
    """
    libraries = [n for n in START if n == "ours" or not absent(found[n])]
    times = {name: [] for name in libraries}
    task = make_task(PRESETS["digits"], 1)
    config = {"clip": True, "unet": task.config.as_dict()}
    with tempfile.TemporaryDirectory() as here:
        file, folder = Path(here) / "model.safetensors", Path(here) / "pipeline"
        save_model(file, task.model, task.schedule, config)
        to_diffusers(Pretrained(task.model, task.schedule, config), folder)
        for _ in range(1 + rounds):
            for name in libraries:
                lines = ("import torch", *START[name])
                clock = "import time\nlaps = [time.perf_counter()]\n"
                lap = "\nlaps.append(time.perf_counter())\n"
                code = clock + lap.join(lines) + lap + "report(laps=laps)"
                laps = child(code, file=str(file), folder=str(folder))["laps"]
                times[name].append([b - a for a, b in pairwise(laps)])
    kinds = ("torch", "library", "first_picture")
    return {
        name: dict(zip(kinds, map(list, zip(*each[1:], strict=True)), strict=True))
        for name, each in times.items()
    }
