r"""Pipelines in the format of the library diffusers: read and written without it.

The tensors go over as they are (`diffusers_files`); the JSON beside them is translated,
the network's in `diffusers_unet` and the chain's in `diffusers_scheduler`.
"""

import json
import os
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from ..models.unet import UNet
from .checkpoint import load_any
from .diffusers_fields import VERSION
from .diffusers_files import WEIGHTS, folder_of, is_diffusers, parts_of, read_tensors
from .diffusers_scheduler import chain_given, named, read_chain, scheduler_fields
from .diffusers_unet import null_class_of, read_unet, to_config, unet_fields
from .weights import Pretrained


def from_diffusers(
    path_or_hub_id, *, schedule=None, prediction=None, clip=None, null_class=None
):
    r"""Load a DDPMPipeline or DDIMPipeline, or its network alone.

    path_or_hub_id: a folder with model_index.json, a bare unet/ folder, the older layout
    with all files in one folder, or a hub id such as "google/ddpm-cifar10-32".
    schedule, prediction ("noise", "x_0" or "v") and clip (whether the predicted x_0 is cut
    to [-1, 1]) are for a bare unet/, which does not say them, and for nothing else.
    null_class: whether the last row of a table of classes means "no class", where the
    file does not say so; if False, such a row of zeros is added, which nothing has trained.
    Returns a Pretrained: .model in eval mode, with its clip, .schedule in float64, and
    .config with "unet", where the folder says it "variance" ("small" or "large", of
    ancestral sampling), and all that was read under "imported". Weights are read from
    safetensors, or from a .bin of which torch reads tensors only. Raises FileNotFoundError
    for what is not there, and ValueError that names a field or a tensor that is missing,
    unknown, or beyond this package.
    """
    unet, scheduler = parts_of(folder_of(path_or_hub_id))
    fields, version = read_unet(unet / "config.json")
    given = dict(schedule=schedule, prediction=prediction, clip=clip)
    lone = scheduler is None
    chain = chain_given(unet, given) if lone else read_chain(scheduler, given)
    tensors, about = read_tensors(unet)
    null_class = null_class_of(unet, fields["num_class_embeds"], about, null_class)
    unet_config = to_config(unet / "config.json", fields, version, chain, null_class)
    table = tensors.get("class_embedding.weight")
    if null_class is False and table is not None:
        row = table.new_zeros(1, *table.shape[1:])
        tensors["class_embedding.weight"] = torch.cat([table, row])
    model = _fill(UNet(unet_config), tensors, unet)
    model.to(memory_format=torch.channels_last)  # as in weights.load_model
    config = {"unet": unet_config.as_dict()}
    if null_class is not None:
        config["null_class"] = null_class
    if chain.variance in ("small", "large"):
        config["variance"] = chain.variance
    config |= named(chain.schedule)
    config["imported"] = {"format": "diffusers", "unet": fields, "scheduler": chain.fields}
    return Pretrained(model.eval(), chain.schedule, config)


def open_model(name, network=None):
    r"""Load whatever a command may be given: see `load_any`, or a folder of diffusers.

    network: the class of a network of one's own, see `load_model`. Returns a
    Pretrained. Raises as `load_any` and `from_diffusers`.
    """
    return from_diffusers(name) if is_diffusers(name) else load_any(name, network)


def _fill(model, tensors, folder):
    r"""Copy tensors into a network. Raises ValueError that names what does not fit."""
    own = model.state_dict()
    problems = [f"{name} is missing" for name in own if name not in tensors]
    problems += [f"{name} is not known" for name in tensors if name not in own]
    problems += [
        f"{name} must have shape {tuple(own[name].shape)}, got {tuple(tensor.shape)}"
        for name, tensor in tensors.items()
        if name in own and own[name].shape != tensor.shape
    ]
    if problems:
        raise ValueError(
            f"the weights in {folder} do not fit its config.json, {len(problems)} of "
            f"{len(own)} tensors: {'; '.join(problems[:3])}"
        )
    model.load_state_dict(tensors)
    return model


def to_diffusers(pretrained, folder):
    r"""Write a model as a folder that diffusers' DDPMPipeline.from_pretrained loads.

    pretrained: a Pretrained of a UNet. folder: a new one, or an
    empty one. Schedules that diffusers cannot name go as numbers (trained_betas). A
    variance that is fixed is written as "large", the paper's for the full chain, unless
    config has "variance"; the spacing of shorter chains as "leading", with which diffusers
    adds no noise in the last step. Whether the last class means "no class" goes into the
    metadata of the weights. Returns the folder. Raises ValueError for what the format
    cannot say, FileExistsError where something is there.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there and not empty: name another folder")
    unet, scheduler = unet_fields(pretrained), scheduler_fields(pretrained)
    weights = {k: v.contiguous() for k, v in pretrained.model.state_dict().items()}
    about = {}
    if pretrained.model.classes:
        null_class = pretrained.config.get("null_class", True)
        about = {"ddpm_lite": json.dumps({"null_class": null_class})}
        if not null_class:  # the row that was added in reading
            table = weights["class_embedding.weight"][:-1].contiguous()
            weights["class_embedding.weight"] = table
    index = {"_class_name": "DDPMPipeline", "_diffusers_version": VERSION}
    index |= {"scheduler": ["diffusers", "DDPMScheduler"]}
    index |= {"unet": ["diffusers", "UNet2DModel"]}
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    try:
        for name in ("unet", "scheduler"):
            (part / name).mkdir(parents=True)
        _write(part / "model_index.json", index)
        _write(part / "unet" / "config.json", unet)
        _write(part / "scheduler" / "scheduler_config.json", scheduler)
        save_file(
            weights, part / "unet" / f"{WEIGHTS}.safetensors", {"format": "pt"} | about
        )
        if folder.exists():
            folder.rmdir()
        os.replace(part, folder)
    except (OSError, SafetensorError) as error:
        raise OSError(f"cannot write the folder {folder}: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _write(path, fields):
    path.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", "utf-8")
