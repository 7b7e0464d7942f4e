r"""Where a pipeline of diffusers keeps its parts, and the tensors in them.

A folder with model_index.json, the folder of a network alone, or the older layout with all
files in one folder; on this machine or on the hub.
"""

import json
import re
from pathlib import Path

import torch
from safetensors import safe_open

from .checkpoint import read_json
from .diffusers_fields import class_today

WEIGHTS = "diffusion_pytorch_model"
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".index.json")
_OLD_TENSORS = (
    (r"^mid\.", "mid_block."),
    (r"^downsample_blocks\.", "down_blocks."),
    (r"^upsample_blocks\.", "up_blocks."),
    (r"(attentions\.\d+)\.query\.", r"\1.to_q."),
    (r"(attentions\.\d+)\.key\.", r"\1.to_k."),
    (r"(attentions\.\d+)\.value\.", r"\1.to_v."),
    (r"(attentions\.\d+)\.proj_attn\.", r"\1.to_out.0."),
)


def is_diffusers(path):
    r"""Whether a path is a folder in the format of diffusers."""
    config = Path(path) / "config.json"
    if (Path(path) / "model_index.json").is_file():
        return True
    return config.is_file() and "_class_name" in read_json(config)


def folder_of(path_or_hub_id):
    r"""The folder of a path, or of a hub id, which is downloaded where it has to be.

    Raises FileNotFoundError where there is no folder and no such thing on the hub,
    ImportError where a hub id is given and huggingface_hub is not installed.
    """
    folder = Path(path_or_hub_id)
    if folder.is_dir():
        return folder
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(path_or_hub_id)) or folder.exists():
        raise FileNotFoundError(
            f"no folder {folder}: expected one that diffusers wrote, or a hub id such as "
            "google/ddpm-cifar10-32"
        )
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ImportError(
            f"no folder {folder}; to get it from the hub, pip install huggingface_hub"
        ) from error
    try:
        patterns = ["*.json", "*.safetensors"]
        folder = Path(snapshot_download(str(path_or_hub_id), allow_patterns=patterns))
        if not any(folder.rglob("*.safetensors")):
            patterns = ["*.json", "*.bin"]
            snapshot_download(str(path_or_hub_id), allow_patterns=patterns)
    except Exception as error:  # the hub's own kinds, and those of its HTTP library
        why = " ".join(str(error).split())
        raise FileNotFoundError(
            f"no folder {path_or_hub_id}, and the hub did not give it: {why:.200}"
        ) from error
    return folder


def parts_of(folder):
    r"""Where the network of a pipeline lies, and the file of its scheduler, or None.

    Returns (folder, path). Raises FileNotFoundError or ValueError where it is no DDPM.
    """
    folder = Path(folder)
    index = folder / "model_index.json"
    if not index.is_file():
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(
                f"{folder} has neither model_index.json nor config.json: expected the "
                "folder of a DDPMPipeline or DDIMPipeline, or its unet/"
            )
        scheduler = folder / "scheduler_config.json"
        return folder, scheduler if scheduler.is_file() else None
    about = read_json(index)
    if about.get("_class_name") not in ("DDPMPipeline", "DDIMPipeline"):
        raise ValueError(
            f"{index} must say _class_name DDPMPipeline or DDIMPipeline, got "
            f"{about.get('_class_name')!r}"
        )
    for part in ("unet", "scheduler"):
        if part not in about:
            raise ValueError(f"{index} has no {part!r}: this pipeline is not whole")
    unet, scheduler = (
        folder / part if (folder / part).is_dir() else folder
        for part in ("unet", "scheduler")
    )
    scheduler = scheduler / "scheduler_config.json"
    kind = class_today(read_json(scheduler).get("_class_name"))
    wanted = about["scheduler"][-1]
    if class_today(wanted) != kind:
        raise ValueError(
            f"{index} says that the scheduler is a {wanted}, and {scheduler} that it is "
            f"{kind!r}: make them the same"
        )
    return unet, scheduler


def has_safetensors(folder):
    r"""Whether the weights of a network are in safetensors, and not in a .bin."""
    return (Path(folder) / f"{WEIGHTS}.safetensors").is_file()


def read_tensors(folder):
    r"""The tensors of a network by today's names, and what we once wrote beside them.

    Returns ({name: tensor}, {fact: value}). Raises FileNotFoundError where there are none,
    ValueError for a file that holds anything else.
    """
    whole, pickled = folder / f"{WEIGHTS}.safetensors", folder / f"{WEIGHTS}.bin"
    about = None
    try:
        if has_safetensors(folder):
            with safe_open(whole, framework="pt") as file:
                about = (file.metadata() or {}).get("ddpm_lite")
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        elif pickled.is_file():
            tensors = torch.load(pickled, map_location="cpu", weights_only=True)
        else:
            found = sorted(p.name for p in folder.glob("*") if p.name.endswith(_SUFFIXES))
            raise FileNotFoundError(
                f"{folder} must have {whole.name} or {pickled.name}, in one piece; it has "
                f"{', '.join(found) or 'no file of weights'}"
            )
    except FileNotFoundError:
        raise
    except Exception as error:  # a broken .bin raises almost any kind
        file, why = (
            whole if has_safetensors(folder) else pickled,
            " ".join(str(error).split()),
        )
        raise ValueError(f"{file} cannot be read as plain tensors: {why:.200}") from error
    named = isinstance(tensors, dict) and all(
        isinstance(v, torch.Tensor) for v in tensors.values()
    )
    if not named:
        raise ValueError(f"{pickled} must hold a dictionary of tensors and nothing else")
    today = {}
    for name, tensor in tensors.items():
        new = name
        for old, now in _OLD_TENSORS:
            new = re.sub(old, now, new)
        if new in today:
            raise ValueError(f"{folder} has the tensor {new} twice: see {name}")
        today[new] = tensor
    return today, json.loads(about or "{}")
