r"""Proof that a network read from a folder of diffusers is the one that diffusers reads.

This is the one module that needs diffusers, which is imported where it is used.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch

from ..sampling.sampler import sample
from ..seeds import SampleNoise
from .diffusers_files import folder_of, has_safetensors, parts_of
from .diffusers_scheduler import scheduler_fields

# The largest differences that pass. diffusers has its tables in float32, in which 1 -
# alpha_bar is right to 6e-8 / beta_1 of itself: to 6e-3 for the smallest beta_1, 1e-5.
NETWORK, SAMPLING = 1e-5, 1e-3


@dataclass(frozen=True)
class Verified:
    r"""Largest absolute differences to diffusers, in float32.

    network: of the outputs for four pictures. sampling: of two pictures after `steps`
    steps of `sampler` from the same noise, as a share of their largest value where that
    is above 1, as it may be without clipping.
    """

    network: float
    sampling: float
    steps: int
    sampler: str


def verify(path_or_hub_id, pretrained):
    r"""Compare a Pretrained with what diffusers itself loads from the same folder.

    The outputs for four pictures at t from 1 to T, and ten steps with the folder's
    scheduler and the same noise: with leading spacing, which both sides know, and for DDIM
    with the noise derived again after clipping (use_clipped_model_output). A bare unet/
    gets the scheduler that `to_diffusers` would write. Returns a Verified. Raises
    ImportError where diffusers is not installed, ValueError where it cannot load the
    folder and where the differences are above 1e-5 and 1e-3.
    """
    unet, scheduler = _load(path_or_hub_id, pretrained)
    ours, c = pretrained.model, pretrained.model.unet_config
    found = Verified(
        _network(ours, unet, c, pretrained.config), *_sampling(pretrained, unet, scheduler)
    )
    if not (found.network <= NETWORK and found.sampling <= SAMPLING):
        raise ValueError(
            f"{path_or_hub_id} is not what diffusers makes of it: outputs of the network "
            f"differ by {found.network:.2g} (at most {NETWORK:g}), the pictures after "
            f"{found.steps} steps by {found.sampling:.2g} (at most {SAMPLING:g})"
        )
    return found


def _load(path_or_hub_id, pretrained):
    try:
        from diffusers.models.unets.unet_2d import UNet2DModel
        from diffusers.schedulers.scheduling_ddim import DDIMScheduler
        from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
        from diffusers.utils import logging
    except ImportError as error:
        raise ImportError(
            "to verify an import, diffusers must be installed: pip install diffusers"
        ) from error
    folder, file = parts_of(folder_of(path_or_hub_id))
    chain = dict(timestep_spacing="leading", steps_offset=0)
    plain = dict(low_cpu_mem_usage=False, use_safetensors=has_safetensors(folder))
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # it advises against what the paper's network has
    try:
        unet = UNet2DModel.from_pretrained(folder, **plain)
        if file is None:
            scheduler = DDPMScheduler.from_config(scheduler_fields(pretrained))
        else:
            name = pretrained.config["imported"]["scheduler"]["_class_name"]
            kind = DDIMScheduler if name == "DDIMScheduler" else DDPMScheduler
            scheduler = kind.from_pretrained(file.parent, **chain)
    except Exception as error:  # diffusers raises many kinds
        why = " ".join(str(error).split())
        raise ValueError(f"diffusers cannot load {folder}: {why:.200}") from error
    finally:
        logging.set_verbosity(verbosity)
    return unet.eval(), scheduler


def _labels(c, B, config):
    if not c.classes:
        return None
    return torch.arange(B) % (c.classes + config.get("null_class", True))


def _network(ours, theirs, c, config):
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(4, *c.sample_shape, generator=generator)
    t = torch.tensor([1, max(1, c.T // 3), max(1, c.T // 2), c.T])
    y = _labels(c, 4, config)
    with torch.no_grad():
        expected = theirs(x_t, t - c.t_shift, class_labels=y).sample
        return float((ours(x_t, t, y) - expected).abs().max())


def _sampling(pretrained, unet, scheduler):
    ours, schedule, config = pretrained.model, pretrained.schedule, pretrained.config
    c, steps = ours.unet_config, min(10, schedule.T)
    scheduler.set_timesteps(steps)
    timesteps = [int(i) + 1 for i in scheduler.timesteps] + [0]
    pairs = list(pairwise(timesteps))
    C, H, W = c.sample_shape
    while C * H * W <= 64:  # smaller ones are drawn several steps at a time
        H, W = 2 * H, 2 * W
    draw = SampleNoise(0, (2, C, H, W), torch.device("cpu"), torch.float32)
    x_T, y = draw.next(), _labels(c, 2, config)
    ddim = type(scheduler).__name__ == "DDIMScheduler"
    more = {"use_clipped_model_output": True} if ddim else {"generator": draw.generators}
    x = x_T
    with torch.no_grad():
        for i in scheduler.timesteps:
            value = unet(x, i, class_labels=y).sample
            x = scheduler.step(value, i, x, **more).prev_sample
    name = "ddim" if ddim else "ancestral"
    x_0 = sample(
        ours,
        schedule,
        x_T.shape,
        sampler=name,
        pairs=pairs,
        seed=0,
        x_T=x_T,
        y=y,
        variance=None if ddim or ours.learned_variance else config.get("variance", "large"),
        progress=False,
    )
    scale = max(1.0, float(x.abs().max()))
    return float((x_0 - x).abs().max()) / scale, steps, name
