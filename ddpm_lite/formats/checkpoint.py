r"""Weights and runs in files that need no flags and no trust: all that is needed is inside.

One safetensors file holds the weights, the table beta in float64 and, as JSON, the
class and settings of the network and whatever else was measured. Nothing is pickled.

A run is a folder: config.json, metrics.jsonl, samples/ and checkpoints/step_000000100/,
each with model.safetensors (the EMA, as above), state.safetensors (weights and Adam's
averages) and state.json (counters). The file `newest` names the newest checkpoint; it is
written last, so that a checkpoint is either whole or not there.
"""

import difflib
import hashlib
import json
import os
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from ..checks import check_integer, check_name
from ..denoiser import check_denoiser
from ..models.mlp import MLP
from ..models.unet import UNet
from ..sampling.sampler import sample
from ..schedule import Schedule

_NETWORKS = {"MLP": MLP, "UNet": UNet}
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


def load_run(run, step=None):
    r"""Load the EMA of a run folder: its newest checkpoint, or that of one step.

    Returns a Pretrained; its config is that of the run's config.json, with "step".
    Raises FileNotFoundError where there is no run or no such checkpoint, ValueError for a
    broken one.
    """
    folder = checkpoint_of(run, step)
    found = load_model(folder / "model.safetensors")
    config = read_json(Path(run) / "config.json") | {"step": step_of(folder)}
    return Pretrained(found.model, found.schedule, config)


def load_any(name):
    r"""Load a model by a run folder, a weight file, or the name of one that is shipped.

    Returns a Pretrained. Raises FileNotFoundError where it is none of these.
    """
    if Path(name).is_dir():
        return load_run(name)
    if Path(name).is_file():
        return load_model(name)
    names = pretrained_names()
    if str(name) in names:
        return load_pretrained(str(name))
    near = difflib.get_close_matches(str(name), names, 1)
    raise FileNotFoundError(
        f"{name} is neither a run folder nor a weight file nor a model that comes with "
        f"the package: {', '.join(names)}" + "".join(f"; did you mean {n}?" for n in near)
    )


# --- the run folder


@contextmanager
def locked(run):
    r"""Make a run folder and keep other processes out of it, until the end of the block.

    The lock goes with the process, however that ends. Raises RuntimeError where another
    process holds it, OSError where the folder cannot be made or written.
    """
    run = Path(run)
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run / "lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise RuntimeError(
            f"another process is writing {run}: wait for it, or name another folder"
        ) from None
    except OSError as error:
        raise OSError(f"cannot write the folder {run}: {error}") from error
    try:
        yield run
    finally:
        lock.release()


def write_checkpoint(run, model, schedule, config, tensors, numbers, keep):
    r"""Write a checkpoint of numbers["step"], point to it, and drop all but `keep`.

    model: the EMA; config: of the run. tensors, numbers: `Trainer.state`. Raises OSError
    where it cannot be written, and says which checkpoint stays; that one is untouched.
    Returns the folder.
    """
    run = Path(run)
    folder = run / "checkpoints" / f"step_{numbers['step']:09d}"
    part = folder.with_name(folder.name + ".part")
    try:
        for left in folder.parent.glob("*.part"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        part.mkdir(parents=True)
        save_model(part / "model.safetensors", model, schedule, config)
        whole = {name: value.contiguous() for name, value in tensors.items()}
        save_file(whole, part / "state.safetensors")
        write_text(part / "state.json", json.dumps(numbers, sort_keys=True))
        for file in (*part.iterdir(), part):
            _to_disk(file)
        _remove(folder)  # of a run that was killed before it pointed here
        os.replace(part, folder)
        _to_disk(folder.parent)
        write_text(run / "newest", folder.name)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(part, ignore_errors=True)
        left = [f.name for f in checkpoints(run)]
        stays = f"{left[-1]} is whole" if left else "there is none yet"
        raise OSError(f"cannot write the checkpoint {folder}: {error}; {stays}") from error
    for old in checkpoints(run)[:-keep]:
        if old != folder:
            _remove(old)
    return folder


def read_checkpoint(folder):
    r"""Read a checkpoint. Returns (Pretrained, tensors, numbers).

    Raises ValueError that names the broken file, and FileNotFoundError for a missing one.
    """
    folder = Path(folder)
    pretrained = load_model(folder / "model.safetensors")
    path = folder / "state.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: this checkpoint is not whole")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from error
    return pretrained, tensors, read_json(folder / "state.json", object)


@contextmanager
def or_older(run, folder):
    r"""Let errors of a broken checkpoint name an older one to go on from."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        older = [f.name for f in checkpoints(run) if f != folder]
        advice = f"; to go on from {older[-1]} instead, remove {folder}" if older else ""
        raise type(error)(f"{error}{advice}") from error


def checkpoint_of(run, step=None):
    r"""The folder of a run's newest checkpoint, or of that of one step.

    Raises FileNotFoundError, and says which steps there are.
    """
    run = Path(run)
    if not (run / "config.json").is_file():
        raise FileNotFoundError(f"{run} is not the folder of a run: it has no config.json")
    found = {step_of(folder): folder for folder in checkpoints(run)}
    if step is None and (run / "newest").is_file():
        name = (run / "newest").read_text("utf-8", "replace").strip()
        named = [folder for folder in found.values() if folder.name == name]
        if named:
            return named[0]
    if step is None and found:
        return found[max(found)]
    if step not in found:
        if not found:
            raise FileNotFoundError(f"{run} has no checkpoint yet")
        raise FileNotFoundError(
            f"{run} has checkpoints of steps {list(found)}, and none of step {step}"
        )
    return found[step]


def checkpoints(run):
    r"""The whole checkpoints of a run, oldest first."""
    found = (Path(run) / "checkpoints").glob("step_*")
    return sorted(f for f in found if f.is_dir() and f.name[5:].isdecimal())


def step_of(folder):
    r"""The step of a checkpoint's folder, a whole number."""
    return int(Path(folder).name.removeprefix("step_"))


def read_json(path, kind=dict):
    r"""Read a JSON file with an object: {name: value}; with anything if kind is object.

    Raises FileNotFoundError or ValueError that names it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not whole: {error}") from error
    if not isinstance(found, kind):
        raise ValueError(f"{path} must hold {{name: value}}, got {found!r:.60}")
    return found


def write_text(path, text):
    r"""Write a text file so that it is, at any moment, either the old one or the new.

    Raises OSError that names it where it cannot be written.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise OSError(f"cannot write {path}: {error}") from error


def fingerprint(data, y=None, stride=1):
    r"""A short name of data and labels: 16 hexadecimal digits of a hash.

    data: (N, *shape), y: (N,) or None. All examples are read, in blocks, so that data may
    lie on a disk; or with a stride above 1 every so many of them.
    """
    read = hashlib.sha256(f"{tuple(data.shape)} {data.dtype}".encode())
    for part in (*data[::stride].split(1024), *(() if y is None else (y,))):
        read.update(part.cpu().contiguous().view(torch.uint8).numpy())
    return read.hexdigest()[:16]


def is_of(stored, data, y=None, own=None):
    r"""Whether a fingerprint that a file holds is that of data and labels.

    own: their fingerprint, where it is known. Version 0.2.0 read about 4,096 examples
    alone, evenly spaced: files that it wrote are still known by these.
    """
    if stored == (own or fingerprint(data, y)):
        return True
    stride = len(data) // 4096
    return stride > 1 and stored == fingerprint(data, y, stride)


def _remove(folder):
    if folder.exists():  # at one stroke: no half of it ever looks like a checkpoint
        gone = folder.with_name(folder.name + ".old.part")
        shutil.rmtree(gone, ignore_errors=True)
        os.replace(folder, gone)
        shutil.rmtree(gone)


def _to_disk(path):
    if os.name == "nt" and Path(path).is_dir():
        return  # Windows has no handle of a folder to flush
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
