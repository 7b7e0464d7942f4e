r"""A run is a folder: config.json, metrics.jsonl, samples/ and checkpoints/.

checkpoints/step_000000100/ holds model.safetensors (the EMA, see `weights`),
state.safetensors (weights and Adam's averages) and state.json (counters). The file
`newest` names the newest checkpoint; it is written last, so that a checkpoint is either
whole or not there. `best` names that of the lowest held-out loss, where one is measured;
it stays while newer ones come and go. Nothing is pickled.
"""

import difflib
import json
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from ..checks import check_name
from .networks import NotGiven
from .weights import (
    Pretrained,
    apart,
    check_stored_chain,
    fit_weights,
    load_model,
    load_pretrained,
    pretrained_names,
    save_model,
)


def load_run(run, step=None, *, weights="ema", network=None):
    r"""Load the EMA of a run folder: its newest checkpoint, or that of one step.

    step: a number, or "best" for the lowest held-out loss. weights: "ema", or "raw" for
    those that the EMA is an average of, as the last update left them. network: the class
    of a network of one's own, see `load_model`.
    Returns a Pretrained; its config is that of the run's config.json, with "step", and
    with "weights" where they are raw.
    Raises FileNotFoundError where there is no run or no such checkpoint, ValueError for a
    broken one.
    """
    check_name("weights", weights, "ema", "raw")
    folder = checkpoint_of(run, step)
    found = load_model(folder / "model.safetensors", network)
    about = Path(run) / "config.json"
    config = read_json(about) | {"step": step_of(folder)}
    check_stored_chain(config, found.model, found.schedule, about)
    if weights == "raw":
        fit_weights(found.model, _raw(folder / "state.safetensors"))
        config |= {"weights": weights}
    return Pretrained(found.model, found.schedule, config)


def _raw(path):
    r"""The weights that are trained, {name: tensor}, in state.safetensors."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: this checkpoint is not whole")
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith("model.")]
            return {n.removeprefix("model."): file.get_tensor(n) for n in names}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from error


def load_any(name, network=None):
    r"""Load a model by a run folder, a weight file, or the name of one that is shipped.

    network: the class of a network of one's own, see `load_model`.
    Returns a Pretrained. Raises FileNotFoundError where it is none of these.
    """
    if Path(name).is_dir():
        return load_run(name, network=network)
    if Path(name).is_file():
        return load_model(name, network)
    names = pretrained_names()
    if str(name) in names:
        return load_pretrained(str(name))
    near = difflib.get_close_matches(str(name), names, 1)
    raise FileNotFoundError(
        f"{name} is neither a run folder nor a weight file nor a model that comes with "
        f"the package: {', '.join(names)}" + "".join(f"; did you mean {n}?" for n in near)
    )


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


def write_checkpoint(run, model, schedule, config, tensors, numbers, keep, best=None):
    r"""Write a checkpoint of numbers["step"], point to it, and drop all but `keep`.

    model: the EMA; config: of the run. tensors, numbers: `Trainer.state`. best: the step
    of one that stays too, and that the file `best` names; None for none. Raises OSError
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
        save_file(apart(tensors), part / "state.safetensors")
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
    point_to_best(run, best)  # before what it pointed to is removed
    for old in checkpoints(run)[:-keep]:
        if old != folder and step_of(old) != best:
            _remove(old)
    return folder


def point_to_best(run, step):
    r"""Let the file `best` name the checkpoint of a step, or be gone where that is None."""
    path = Path(run) / "best"
    if step is None:
        path.unlink(missing_ok=True)
    else:
        write_text(path, f"step_{step:09d}")


def read_checkpoint(folder, network=None):
    r"""Read a checkpoint. Returns (Pretrained, tensors, numbers).

    network: the class of a network of one's own, see `load_model`.
    Raises ValueError that names the broken file, and FileNotFoundError for a missing one.
    """
    folder = Path(folder)
    pretrained = load_model(folder / "model.safetensors", network)
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
    except NotGiven:
        raise  # an older one is of the same network
    except (ValueError, FileNotFoundError) as error:
        older = [f.name for f in checkpoints(run) if f != folder]
        advice = f"; to go on from {older[-1]} instead, remove {folder}" if older else ""
        raise type(error)(f"{error}{advice}") from error


def checkpoint_of(run, step=None):
    r"""The folder of a run's newest checkpoint, or of that of one step, or of the best.

    step: None, a number, or "best". Raises FileNotFoundError, and says which steps there
    are.
    """
    run = Path(run)
    if not (run / "config.json").is_file():
        raise FileNotFoundError(f"{run} is not the folder of a run: it has no config.json")
    found = {step_of(folder): folder for folder in checkpoints(run)}
    if isinstance(step, str):
        check_name("step", step, "best")
        return _best(run, found)
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


def _best(run, found):
    path = run / "best"
    if not path.is_file():
        raise FileNotFoundError(
            f"{run} has no best checkpoint: one is known where pictures are held out, from "
            "the first loss on them, and keep_best is on; name another step, or none"
        )
    name = path.read_text("utf-8", "replace").strip()
    named = [folder for folder in found.values() if folder.name == name]
    if not named:
        raise FileNotFoundError(
            f"the best checkpoint of {run}, {name}, is not there: there are {list(found)}"
        )
    return named[0]


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
