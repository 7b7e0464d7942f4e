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
from ..denoiser import check_denoiser, device_of
from ..models.unet import UNet
from ..sampling.sampler import sample
from ..schedule import Schedule
from .chosen import chain_of, check_drawn_with, with_guidance
from .networks import (
    BUILT_IN,
    SAYS,
    check_network,
    class_of,
    is_built_in,
    plain_settings,
    spelled,
)

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

    @property
    def sample_shape(self):
        r"""Shape of one example, a tuple; None where neither network nor run says it."""
        known = getattr(self.model, "unet_config", self.model)
        shape = getattr(known, "sample_shape", None)
        if shape is None and hasattr(self.model, "dim"):
            shape = (self.model.dim,)
        if shape is None and isinstance(self.config.get("own"), dict):
            shape = self.config["own"].get("sample_shape")
        return None if shape is None else tuple(shape)

    @property
    def drawn_with(self):
        r"""The chain that was chosen for this model, see `formats.chosen`; {} if none."""
        return self.config.get("drawn_with", {})

    def sample(self, num, *, y="in turn", seed=0, batch=256, shape=None, **options):
        r"""Draw new data: (num, *shape), on the model's device.

        By the chain that is stored with the model, where options do not say otherwise:
        with steps alone, its sampler takes so many, with its spacing, eta, variance and
        guidance; with another sampler, nothing that is stored holds. The rule is that of
        `formats.chosen.chain_of`. Where none is stored, `sample` draws as by default.

        num: how many. y: int64 (num,), the class of each; "in turn" gives classes 0, 1, ...
        one after the other where the model has any, None gives each "no class". seed: an
        int, from which sample i gets its own seed. batch: how many are drawn at a time.
        shape: of one example, where neither the network nor its run says it. options: of
        `sample`, and guidance, the scale of `guided`; steps, spacing, eta, variance and
        guidance of None are as not given. Raises ValueError as these, for another num,
        and where shape is needed.
        """
        check_integer("num", num, 1)
        check_integer("batch", batch, 1)
        classes, shape = getattr(self.model, "classes", 0), shape or self.sample_shape
        if shape is None:
            raise ValueError(
                f"a {type(self.model).__name__} does not say what shape its data have: "
                "give shape=, such as (1, 28, 28), or let it have an attribute sample_shape"
            )
        if isinstance(y, str):
            check_name("y", y, "in turn")
            y = torch.arange(num) % classes if classes else None
        if y is not None and len(y) != num:
            raise ValueError(f"y must hold a class for each of {num} samples, got {len(y)}")
        stored = check_drawn_with(self.drawn_with, self.schedule)
        if y is None:  # guidance is to a class
            stored.pop("guidance", None)
        options = chain_of(options, stored, self.schedule)
        model, options = with_guidance(self.model, options)
        device, drawn = device_of(self.model), []
        for part in torch.arange(num).split(batch):
            seeds = [(seed, int(i)) for i in part]
            own = None if y is None else y[part].to(device)
            size = (len(part), *shape)
            drawn.append(sample(model, self.schedule, size, seed=seeds, y=own, **options))
        return torch.cat(drawn)


def save_model(path, model, schedule, config=None, half=False):
    r"""Write a network, its schedule and a dictionary of facts to one file.

    path: ends in .safetensors; a file that is there is replaced only once the new one
    is whole. model: of this package, or any nn.Module that says how it is built, see
    `networks.check_network`. config: JSON values; "drawn_with" among them is the chain
    that the model is drawn with, such as {"sampler": "ddim", "steps": 20}, see
    `formats.chosen`. half: store the weights as float16, in half the space; they are
    float32 again when loaded. Raises ValueError for another ending, for a network that
    `load_model` could not build again, where the network knows another T than the schedule
    has, and for a chain that does not fit.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"a weight file must end in .safetensors, got {path}")
    check_network(model)
    check_denoiser(model, schedule)
    check_stored_chain(config or {}, model, schedule, path)
    own = not is_built_in(model)
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    if half:
        tensors = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    tensors["beta"] = schedule.beta[1:]
    about = {"network": type(model).__name__, "config": config or {}}
    about["settings"] = plain_settings(model) if own else model.config
    known = [n for n in SAYS if hasattr(model, n)] if own else ["clip", "prediction"]
    about["says"] = {name: getattr(model, name) for name in known}
    if own:
        about["class"] = spelled(type(model))  # quoted in errors, and never imported
    path.parent.mkdir(parents=True, exist_ok=True)
    part, text = path.with_suffix(".part"), json.dumps(about, sort_keys=True)
    try:
        save_file(apart(tensors), part, metadata={"ddpm_lite": text})
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load_model(path, network=None):
    r"""Read what `save_model` wrote. Returns a Pretrained.

    network: the class of a network of one's own, or "module:Class", which is imported; not
    needed for those of this package, and those that `register_network` was given. Raises
    FileNotFoundError where there is no file, and ValueError for a file that is broken, that
    another program wrote, whose network nobody has given, whose tensors do not fit it, or
    whose stored chain cannot be drawn with.
    """
    path = Path(path)
    about, tensors = _read(path)
    name, settings = about["network"], about["settings"]
    home = about.get("class", name)
    kind = class_of(name, home, network, path, _how_to_open(path))
    schedule = Schedule.from_beta(tensors.pop("beta"))
    if kind is UNet:  # until version 0.2 the run alone said it, if anybody did
        settings = {"clip": about["config"].get("clip", True)} | settings
    weights = {name.removeprefix("model."): value for name, value in tensors.items()}
    try:
        model = kind(**settings)
        _lengthen(model, weights)
        fit_weights(model, weights)
        for name, value in about.get("says", {}).items():  # may have been set later
            value = tuple(value) if isinstance(value, list) else value
            if getattr(model, name, None) != value:
                setattr(model, name, value)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        why = " ".join(str(error).split())  # torch says it in many lines
        if home not in (name, spelled(kind)):  # a class may have moved: then it fits
            raise ValueError(
                f"{path} holds a network {home}, and {spelled(kind)} was given, which it "
                f"does not fit: give {home} ({why})"
            ) from error
        raise ValueError(f"the tensors in {path} do not fit its network: {why}") from error
    check_stored_chain(about["config"], model, schedule, path)
    return Pretrained(channels_last(model).eval(), schedule, about["config"])


def check_stored_chain(config, model, schedule, where):
    r"""Refuse a config whose "drawn_with" is no chain for a model, with ValueError.

    where: the file, for errors. Nothing there is no chain, and right.
    """
    classes = getattr(model, "classes", 0) or 0
    check_drawn_with(config.get("drawn_with", {}), schedule, classes, where)


def _read(path):
    r"""(what stands beside the tensors, {name: tensor}) of a weight file."""
    if not path.is_file():
        raise FileNotFoundError(f"no weight file at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("ddpm_lite", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from error
    about = about if isinstance(about, dict) else {}
    kinds = dict(network=str, settings=dict, config=dict)
    whole = all(isinstance(about.get(name), kind) for name, kind in kinds.items())
    known = about.get("network") in BUILT_IN or isinstance(about.get("class"), str)
    if not (whole and known and "beta" in tensors):
        raise ValueError(f"{path} was not written by ddpm_lite.save_model")
    return about, tensors


def _how_to_open(path):
    r"""What to type in Python for a file, or the run that it is of."""
    above = path.parents
    if len(above) > 2 and (above[2] / "config.json").is_file():
        return f"load_run({str(above[2])!r})"
    return f"load_model({str(path)!r})"


def _lengthen(model, weights):
    r"""Let a network have float64 where its file does, so that no digit is lost."""
    for name, own in [*model.named_parameters(), *model.named_buffers()]:
        if name in weights and weights[name].dtype == torch.float64:
            own.data = own.data.double()


def channels_last(model):
    r"""Return a network whose convolutions lie in memory so that they are faster.

    On a CPU by up to 1.2 times. One with tensors of five dimensions stays as it is.
    """
    tensors = [*model.parameters(), *model.buffers()]
    if any(v.dim() == 4 for v in tensors) and all(v.dim() < 5 for v in tensors):
        model.to(memory_format=torch.channels_last)
    return model


def apart(tensors):
    r"""{name: tensor}, contiguous and without shared memory, as safetensors wants them."""
    found, seen = {}, set()
    for name, value in tensors.items():
        value = value.contiguous()
        place = value.untyped_storage().data_ptr()
        found[name] = value.clone() if place in seen else value
        seen.add(place)
    return found


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
