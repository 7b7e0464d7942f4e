r"""Folders that diffusers itself writes, with random weights, and the older layout.

The older layout is written here, for no diffusers of today writes it.
"""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from ddpm_lite import Schedule, UNet, UNetConfig
from ddpm_lite.formats.weights import Pretrained

pytest.importorskip("diffusers")
from diffusers import DDPMPipeline
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.utils import logging

logging.set_verbosity_error()


WEIGHTS = "diffusion_pytorch_model"
SMALL = dict(  # the shape of the paper's network, with its conventions
    sample_size=16,
    in_channels=3,
    out_channels=3,
    freq_shift=1,
    flip_sin_to_cos=False,
    down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    block_out_channels=(8, 16, 16),
    layers_per_block=2,
    downsample_padding=0,
    attention_head_dim=None,
    norm_num_groups=4,
    norm_eps=1e-6,
    dropout=0.1,
)
TWO = dict(  # two levels, for what is not about levels
    down_block_types=("DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    block_out_channels=(8, 16),
    layers_per_block=1,
    sample_size=8,
)
SHIFT = dict(resnet_time_scale_shift="scale_shift", attn_norm_num_groups=4)
UNETS = {
    "paper": {},
    "class-conditional": TWO | dict(num_class_embeds=4),
    "learned-variance": TWO | dict(out_channels=6),
    "scale-shift": TWO | SHIFT,
    "odd": dict(
        SHIFT,
        sample_size=[12, 20],
        in_channels=2,
        out_channels=4,
        freq_shift=0,
        flip_sin_to_cos=True,
        down_block_types=("AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D"),
        block_out_channels=(12, 36),
        layers_per_block=1,
        downsample_padding=1,
        attention_head_dim=6,
        norm_num_groups=6,
        attn_norm_num_groups=6,
        norm_eps=1e-3,
        dropout=0.0,
        num_class_embeds=3,
    ),
    "tiny-pictures": TWO | dict(sample_size=4, in_channels=1, out_channels=1),
    "one-level": dict(
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        block_out_channels=(8,),
        sample_size=7,
    ),
}
SCHEDULERS = {
    "paper": dict(variance_type="fixed_large"),
    "class-conditional": dict(beta_schedule="squaredcos_cap_v2", clip_sample=False),
    "learned-variance": dict(variance_type="learned_range", num_train_timesteps=200),
    "scale-shift": dict(prediction_type="v_prediction", rescale_betas_zero_snr=True),
    "odd": dict(
        variance_type="learned_range", prediction_type="sample", beta_schedule="sigmoid"
    ),
    "tiny-pictures": dict(trained_betas=[0.01, 0.02, 0.5], num_train_timesteps=3),
    "one-level": dict(beta_schedule="scaled_linear", variance_type="fixed_small_log"),
}
EVERY = pytest.mark.parametrize("name", UNETS)


def theirs(name="paper", seed=0, **changes):
    r"""A network of diffusers, with random weights."""
    torch.manual_seed(seed)
    return UNet2DModel(**SMALL | UNETS[name] | changes).eval()


def write(folder, name="paper", scheduler=None, **changes):
    r"""A folder as diffusers writes it. Returns its network."""
    unet = theirs(name, **changes)
    scheduler = scheduler or DDPMScheduler(**SCHEDULERS[name])
    DDPMPipeline(unet, scheduler).save_pretrained(folder)
    return unet


def classes_of(name):
    return dict(null_class=True) if UNETS[name].get("num_class_embeds") else {}


def same_tensors(ours, theirs):
    ours, theirs = (m if isinstance(m, dict) else m.state_dict() for m in (ours, theirs))
    assert list(ours) == list(theirs) or set(ours) == set(theirs)
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)


def edit(file, **changes):
    r"""Change fields of a JSON file; None removes one."""
    fields = json.loads(file.read_text()) | changes
    fields = {k: v for k, v in fields.items() if v is not REMOVED}
    file.write_text(json.dumps(fields))


REMOVED = object()
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
OLD_SCHEDULER = {
    "_class_name": "DDPMScheduler",
    "_diffusers_version": "0.1.1",
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "clip_sample": True,
    "num_train_timesteps": 1000,
    "trained_betas": None,
    "variance_type": "fixed_large",
}


def old_fields(unet):
    names = """sample_size in_channels out_channels center_input_sample freq_shift
        time_embedding_type flip_sin_to_cos down_block_types up_block_types norm_eps
        block_out_channels layers_per_block mid_block_scale_factor downsample_padding
        act_fn attention_head_dim norm_num_groups""".split()
    head = {"_class_name": "UNet2DModel", "_diffusers_version": "0.0.4"}
    return head | {name: unet.config[name] for name in names}


def old_tensors(unet):
    tensors = {}
    for name, tensor in unet.state_dict().items():
        for new, old in OLD_NAMES.items():
            name = name.replace(f".{new}.", f".{old}.") if "attentions" in name else name
        tensors[name] = tensor.clone()
    return tensors


def write_old(folder, index=True, suffix="bin"):
    folder.mkdir()
    unet = theirs(dropout=0.0)
    (folder / "config.json").write_text(json.dumps(old_fields(unet)))
    (folder / "scheduler_config.json").write_text(json.dumps(OLD_SCHEDULER))
    about = {"_class_name": "DDPMPipeline", "_diffusers_version": "0.1.1"}
    about |= {"scheduler": ["diffusers", "DDPMScheduler"]}
    about |= {"unet": ["diffusers", "UNet2DModel"]}
    if index:
        (folder / "model_index.json").write_text(json.dumps(about))
    if suffix == "bin":
        torch.save(old_tensors(unet), folder / f"{WEIGHTS}.bin")
    else:
        save_file(old_tensors(unet), folder / f"{WEIGHTS}.safetensors")
    return unet


def shaken(config, schedule, seed=0, **facts):
    r"""A Pretrained of ours whose layers that start at zero do not."""
    torch.manual_seed(seed)
    model = UNet(config, T=schedule.T).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return Pretrained(model, schedule, facts)


TINY = UNetConfig(
    size=8, channels=1, width=8, multipliers=(1, 2), blocks=1, attention=(4,), groups=4
)
OURS = {
    "digits": (TINY, Schedule.cosine(1000), {}),
    "classes": (replace(TINY, classes=3), Schedule.linear(1000), {}),
    "learned": (replace(TINY, learned_variance=True, channels=3), Schedule.cosine(40), {}),
    "iddpm": (
        replace(
            TINY,
            scale_shift=True,
            head_width=4,
            eps=1e-5,
            down_padding="both",
            sine_first=False,
            frequency_shift=0,
            learned_variance=True,
            dropout=0.3,
            clip=False,
        ),
        Schedule.linear(100, 1e-3, 0.2),
        {},
    ),
    "lecture": (
        replace(TINY, size=(8, 12), prediction="v"),
        Schedule.sigmoid(100, 1e-5, 0.5e-2),
        {"variance": "small"},
    ),
    "uneven": (
        replace(TINY, prediction="x_0", attention=()),
        Schedule.from_beta([0.3, 1e-3, 0.9, 0.001, 0.5, 1.0]),
        {},
    ),
}


def without_facts(found):
    return found.model, found.schedule, found.config
