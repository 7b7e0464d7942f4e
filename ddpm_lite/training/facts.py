r"""What a run writes of itself: which data it saw, which network, which versions.

A run can be opened and resumed from its folder because these facts stand in it, whoever
started it: a command or a few lines of Python.
"""

import math
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from ..data.marks import fingerprint, kind_of
from ..formats.diffusers_scheduler import named
from ..formats.networks import is_built_in
from ..seeds import HELD_OUT, generator_for
from .own import OwnNetwork

_SUMS = 4  # of the numbers with random signs
_WAYS = {"tensor": "memory", "items": "a dataset", "stream": "a stream"}
_WAYS |= {"files": "files that are read when needed"}


def identity(data, y=None):
    r"""What data is known by, as JSON values: number, shape, dtype, values and labels.

    data: (N, *shape), a tensor, Examples or a Stream, which has no number. y: int64 (N,)
    or None. `sums`, for floating point data in memory: of all numbers with random signs,
    over the root of the sum of squares, and the logarithm of that. Unlike a hash they
    hardly move where another machine computed the same data.
    """
    floats = isinstance(data, torch.Tensor) and data.is_floating_point()
    return {
        "examples": data.shape[0],
        "shape": list(data.shape[1:]),
        "dtype": str(data.dtype).removeprefix("torch."),
        "values": fingerprint(data),
        "labels": None if y is None else fingerprint(y),
        "sums": _sums(data) if floats else None,
    }


def difference(before, now):
    r"""In what two identities differ, in words; None where the data is the same.

    The same is also what differs by rounding: by less than 8 last digits of its dtype.
    """
    ways = [kind_of(v["values"]) or "tensor" for v in (before, now)]
    if ways[0] != ways[1]:
        then, now = (_WAYS.get(way, way) for way in ways)
        return f"its examples came from {then} then, and from {now} now"
    for name, of in (("examples", ""), ("shape", "shape "), ("dtype", "")):
        if before[name] != now[name]:
            unit = " examples" if name == "examples" else ""
            return f"{of}{before[name]}{unit} then, {of}{now[name]}{unit} now"
    if before["labels"] != now["labels"]:
        kinds = ["none" if v["labels"] is None else "others" for v in (before, now)]
        return f"the labels: {kinds[0]} then, {kinds[1]} now"
    if before["values"] == now["values"]:
        return None
    if before["sums"] and now["sums"]:
        limit = max(8 * torch.finfo(getattr(torch, now["dtype"])).eps, 1e-6)
        pairs = zip(before["sums"], now["sums"], strict=True)
        if all(abs(a - b) <= limit for a, b in pairs):
            return None
    return "as many examples of that shape, but others, or in another order"


def _sums(data):
    generator = generator_for(HELD_OUT, len(data))
    rows = 2 * torch.randint(2, (len(data), _SUMS), generator=generator) - 1
    columns = 2 * torch.randint(2, (data[0].numel(), _SUMS), generator=generator) - 1
    sums, squares = torch.zeros(_SUMS, dtype=torch.float64), 0.0
    for part, signs in zip(data.split(256), rows.double().split(256), strict=True):
        x = part.cpu().double().flatten(1)
        sums += (signs * (x @ columns.double())).sum(0)
        squares += float(x.square().sum())
    norm = squares**0.5 or 1.0
    return [round(v, 9) for v in (*(sums / norm).tolist(), math.log(norm))]


def facts(trainer, held_out=None):
    r"""What config.json says of a run that was started in Python: a dictionary.

    Its keys are those of a `RunConfig`, as far as they are known, with `described`, the
    data. trainer: a Trainer. held_out: what `fit` was given.
    """
    model, known = trainer.model, trainer.identity
    described = {"name": "data in memory", **trainer.batches.described()}
    if known["examples"] is not None:  # of a stream
        described["pictures"] = known["examples"]
    described["held_out"] = 0 if held_out is None else len(held_out[0])
    aside = None if held_out is None else fingerprint(*held_out)
    described["held_out_fingerprint"] = aside
    described |= {"shape": known["shape"], "dtype": known["dtype"]}
    described["classes"] = [str(i) for i in range(getattr(model, "classes", 0))]
    described |= {"levels": trainer.grey, "fingerprint": trainer.fingerprint}
    if is_built_in(model) and not hasattr(model, "unet_config"):
        described["examples"] = described.pop("pictures", None)
        network = {
            "network": type(model).__name__,
            "settings": getattr(model, "config", {}),
        }
        return network | {"described": described}
    found = {"data": "", "hold_out": 0, "labels": trainer.batches.labelled}
    found |= named(trainer.schedule)  # any other one is with the weights alone
    found["sample_steps"] = min(25, trainer.schedule.T)
    if not is_built_in(model):
        own = OwnNetwork.of(model, trainer.batches.shape, trainer.schedule.T)
        return found | {"own": own.as_dict(), "described": described}
    return found | {"unet": model.config, "described": described}


def versions():
    r"""Versions of Python and of the libraries that numbers depend on, {name: text}."""
    found = {"python": platform.python_version()}
    for name in ("ddpm-lite", "torch", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


@cache
def commit():
    r"""The commit of the checkout that this package runs from, None outside of one."""
    here = Path(__file__).parents[1]
    if not (here.parent / ".git").exists():
        return None
    done = subprocess.run(
        ["git", "-C", here, "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or None
