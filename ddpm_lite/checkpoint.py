r"""Weights in a file that needs no flags and no trust: architecture and schedule inside.

One safetensors file holds the weights, the table beta in float64 and, as JSON, the
class and settings of the network and whatever else was measured. Nothing is pickled.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .convnet import ConvNet
from .mlp import MLP
from .schedule import Schedule

_NETWORKS = {"MLP": MLP, "ConvNet": ConvNet}
_PRETRAINED = Path(__file__).parent / "pretrained"
_RESULTS = (Path(__file__).parent / "runs", Path(__file__).parents[1] / "figures" / "runs")


@dataclass(frozen=True)
class Pretrained:
    r"""What a weight file holds: model (in eval mode), schedule and config."""

    model: torch.nn.Module
    schedule: Schedule
    config: dict


def save_model(path, model, schedule, config=None):
    r"""Write a network, its schedule and a dictionary of facts to one file.

    path: ends in .safetensors; a file that is there is replaced only once the new one
    is whole. config: JSON values. Raises ValueError for a class of network that
    `load_model` could not build again.
    """
    path = Path(path)
    name = type(model).__name__
    if name not in _NETWORKS:
        raise ValueError(f"can save {sorted(_NETWORKS)}, got a {name}")
    tensors = {f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}
    tensors["beta"] = schedule.beta[1:].contiguous()
    about = {"network": name, "settings": model.config, "config": config or {}}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    try:
        save_file(tensors, part, metadata={"ddpm_lite": json.dumps(about, sort_keys=True)})
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load_model(path):
    r"""Read what `save_model` wrote. Returns a Pretrained.

    Raises FileNotFoundError where there is no file, and ValueError for a file that is
    broken, that another program wrote, or whose tensors do not fit its network.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weight file at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("ddpm_lite", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from error
    if about is None or about["network"] not in _NETWORKS or "beta" not in tensors:
        raise ValueError(f"{path} was not written by ddpm_lite.checkpoint.save_model")
    schedule = Schedule.from_beta(tensors.pop("beta"))
    model = _NETWORKS[about["network"]](**about["settings"])
    weights = {name.removeprefix("model."): value for name, value in tensors.items()}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        why = " ".join(str(error).split())  # torch says it in many lines
        raise ValueError(f"the tensors in {path} do not fit its network: {why}") from error
    return Pretrained(model.eval(), schedule, about["config"])


def load_pretrained(name):
    r"""Load a small model that comes with the package, by name, such as "s_curve".

    Returns a Pretrained with .model (the EMA, in eval mode), .schedule and .config.
    Raises ValueError for an unknown name, and lists those that there are.
    """
    names = sorted(path.stem for path in _PRETRAINED.glob("*.safetensors"))
    if name not in names:
        raise ValueError(f"there is no pretrained model {name!r}; there are {names}")
    return load_model(_PRETRAINED / f"{name}.safetensors")


def load_results(name):
    r"""Read the numbers that a command in figures/ has measured, such as "s_curve_lecture".

    They come with the package; in a checkout they are those in figures/runs.
    Returns a dictionary. Raises ValueError for an unknown name, and lists the known.
    """
    known = {path.stem: path for folder in _RESULTS for path in folder.glob("*.json")}
    if name not in known:
        raise ValueError(f"there are no results {name!r}; there are {sorted(known)}")
    return json.loads(known[name].read_text("utf-8"))
