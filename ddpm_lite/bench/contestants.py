r"""Who takes part in the benchmark: this package, diffusers, denoising_diffusion_pytorch.

All get the same weights where their networks are the same, the same pictures, and loops
written as well as their users can: fused optimiser, clipping, an average in one call.
The other libraries are imported where they are used.
"""

import copy
import importlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ..formats.diffusers import to_diffusers
from ..formats.weights import Pretrained
from ..models.unet import UNet
from ..models.unet_config import UNetConfig
from ..sampling.sampler import sample
from ..schedule import Schedule
from ..training.config import TrainConfig
from ..training.device import autocast, choose_precision, keep_memory
from ..training.ema import EMA
from ..training.trainer import Trainer
from .clock import timed

BEST = "diffusers, at its best"
PICTURES = 32  # drawn by one chain


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


def diffusers_twin(task, name="diffusers", channels_last=False):
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

    forward = forward_of(task, predict(average))
    return _contestant(task, name, unet, predict(first), step, forward, draw)


def diffusers_at_its_best(task):
    r"""diffusers with all that makes it faster here and leaves its weights in float32.

    As in its own training scripts with mixed precision: the network under autocast, in
    the precision that is fastest here; channels last, fused AdamW, the average in one
    call. Beyond these, memory is kept, and sampling and passes are in inference mode.
    """
    precision = choose_precision(task.device, "auto", task.model)
    here = diffusers_twin(replace(task, precision=precision), BEST, channels_last=True)
    calls = {k: torch.inference_mode()(getattr(here, k)) for k in ("forward", "sample")}
    if keep_memory(False):
        calls["step"] = partial(in_kept_memory, here.step, task.device)
    return replace(here, **calls)


def _diffusers_unet(task, channels_last):
    from diffusers.models.unets.unet_2d import UNet2DModel
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from diffusers.utils import logging

    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as here:
        found = Pretrained(task.model, task.schedule, {})
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


LIBRARIES = {  # those that matter most first: they stay where time is short
    "ours": ours,
    "ours, by default": ours_by_default,
    "diffusers": diffusers_twin,
    BEST: diffusers_at_its_best,
    "ours, bare loop": ours_bare,
    "diffusers, channels_last": partial(
        diffusers_twin, name="diffusers, channels_last", channels_last=True
    ),
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
