r"""Weights in files that need no flags and no trust: all that is needed is inside.

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

from ..checks import check_integer, check_name
from ..denoiser import check_denoiser
from ..models.mlp import MLP
from ..models.unet import UNet
from ..models.unet1d import UNet1d
from ..sampling.sampler import sample
from ..schedule import Schedule

_NETWORKS = {"MLP": MLP, "UNet": UNet, "UNet1d": UNet1d}
_PACKAGE = Path(__file__).parents[1]
_PRETRAINED = _PACKAGE / "pretrained"
_RESULTS = (_PACKAGE / "runs", _PACKAGE.parent / "figures" / "runs")


@dataclass(frozen=True)
class Pretrained:
    r"""What a weight file holds: model (in eval mode), schedule and config.

    `sample` draws from it.
    """

    model: torch.nn.Module
    schedule: Schedule
    config: dict

    def __repr__(self):
        weights = sum(p.numel() for p in self.model.parameters())
        name = type(self.model).__name__
        return f"Pretrained({name} of {weights:,} weights, {self.schedule})"

    def sample(self, num, *, y="in turn", seed=0, batch=256, **options):
        r"""Draw new data: (num, *shape), on the model's device.

        num: how many. y: int64 (num,), the class of each; "in turn" gives classes 0, 1, ...
        one after the other where the model has any, None gives each "no class". seed: an
        int, from which sample i gets its own seed. batch: how many are drawn at a time.
        options: of `sample`. Raises ValueError as that, and for another num.
        """
        check_integer("num", num, 1)
        check_integer("batch", batch, 1)
        unet, classes = isinstance(self.model, UNet), getattr(self.model, "classes", 0)
        shape = self.model.unet_config.sample_shape if unet else (self.model.dim,)
        if isinstance(y, str):
            check_name("y", y, "in turn")
            y = torch.arange(num) % classes if classes else None
        if y is not None and len(y) != num:
            raise ValueError(f"y must hold a class for each of {num} samples, got {len(y)}")
        device, drawn = next(self.model.parameters()).device, []
        for part in torch.arange(num).split(batch):
            seeds = [(seed, int(i)) for i in part]
            own = None if y is None else y[part].to(device)
            size = (len(part), *shape)
            drawn.append(
                sample(self.model, self.schedule, size, seed=seeds, y=own, **options)
            )
        return torch.cat(drawn)


def save_model(path, model, schedule, config=None, half=False):
    r"""Write a network, its schedule and a dictionary of facts to one file.

    path: ends in .safetensors; a file that is there is replaced only once the new one
    is whole. config: JSON values. half: store the weights as float16, in half the space;
    they are float32 again when loaded. Raises ValueError for another ending, for a class
    of network that `load_model` could not build again, and where the network knows another
    T than the schedule has.
    """
    path = Path(path)
    name = type(model).__name__
    if _NETWORKS.get(name) is not type(model):
        raise ValueError(f"can save {sorted(_NETWORKS)}, got a {name}")
    if path.suffix != ".safetensors":
        raise ValueError(f"a weight file must end in .safetensors, got {path}")
    check_denoiser(model, schedule)
    tensors = {f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}
    if half:
        tensors = {name: value.half() for name, value in tensors.items()}
    tensors["beta"] = schedule.beta[1:].contiguous()
    about = {"network": name, "settings": model.config, "config": config or {}}
    about["says"] = {"clip": model.clip, "prediction": model.prediction}
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
    except (SafetensorError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from error
    about = about if isinstance(about, dict) else {}
    network = _NETWORKS.get(str(about.get("network")))
    parts = [about.get(name) for name in ("settings", "config")]
    whole = network and "beta" in tensors and all(isinstance(p, dict) for p in parts)
    if not whole:
        raise ValueError(f"{path} was not written by ddpm_lite.save_model")
    schedule, settings = Schedule.from_beta(tensors.pop("beta")), about["settings"]
    if network is UNet:  # until version 0.2 the run alone said it, if anybody did
        settings = {"clip": about["config"].get("clip", True)} | settings
    weights = {name.removeprefix("model."): value for name, value in tensors.items()}
    try:
        model = network(**settings)
        fit_weights(model, weights)
    except (RuntimeError, TypeError, ValueError) as error:
        why = " ".join(str(error).split())  # torch says it in many lines
        raise ValueError(f"the tensors in {path} do not fit its network: {why}") from error
    for name, value in about.get("says", {}).items():  # may have been set later
        setattr(model, name, tuple(value) if isinstance(value, list) else value)
    model.to(memory_format=torch.channels_last)  # convolutions are up to 1.2 times faster
    return Pretrained(model.eval(), schedule, about["config"])


def fit_weights(model, weights):
    r"""Load weights, {name: tensor}, into a network.

    Raises ValueError that names the first tensor that does not fit, in one line, and
    changes nothing then.
    """
    own = model.state_dict()
    for name in [*own, *weights]:
        there, here = (tuple(t[name].shape) if name in t else None for t in (weights, own))
        if there != here:
            there, here = ("missing" if s is None else s for s in (there, here))
            raise ValueError(f"{name} is {there} there and {here} in the network")
    model.load_state_dict(weights)


def load_pretrained(name):
    r"""Load a small model that comes with the package, by name, such as "s_curve".

    Returns a Pretrained with .model (the EMA, in eval mode), .schedule and .config.
    Raises ValueError for an unknown name, and lists those that there are.
    """
    names = pretrained_names()
    if name not in names:
        raise ValueError(f"there is no pretrained model {name!r}; there are {names}")
    return load_model(_PRETRAINED / f"{name}.safetensors")


def pretrained_names():
    r"""Names of the models that come with the package."""
    return sorted(path.stem for path in _PRETRAINED.glob("*.safetensors"))


def load_results(name):
    r"""Read the numbers that a command in figures/ has measured, such as "s_curve_lecture".

    They come with the package; in a checkout they are those in figures/runs.
    Returns a dictionary. Raises ValueError for an unknown name, and lists the known.
    """
    known = {path.stem: path for folder in _RESULTS for path in folder.glob("*.json")}
    if name not in known:
        raise ValueError(f"there are no results {name!r}; there are {sorted(known)}")
    return json.loads(known[name].read_text("utf-8"))
