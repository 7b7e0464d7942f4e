r"""Where else the numbers and pictures of a run are shown: TensorBoard, Weights & Biases.

A board has `line`, `picture` and `close`. `metrics.jsonl` stays what a run is known by.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from ..formats.checkpoint import read_json, write_text


def boards_of(run, step, about, tensorboard=False, wandb=""):
    r"""The boards that were asked for, a list.

    run: the folder. step: the last one that is done. about: what config.json holds.
    wandb: the name of a project, "" for none. Raises ModuleNotFoundError as `check_boards`,
    RuntimeError where wandb does not begin.
    """
    found = [TensorBoard(run, step)] if tensorboard else []
    return found + ([WandB(run, about, wandb)] if wandb else [])


def check_boards(tensorboard=False, wandb=""):
    r"""Refuse boards whose library is not installed, with ModuleNotFoundError."""
    if not isinstance(wandb, str):
        raise TypeError(f"wandb must be the name of a project, got {wandb!r:.60}")
    if tensorboard:
        _summary_writer()
    if wandb:
        _wandb()


class TensorBoard:
    r"""Writes what TensorBoard reads into a folder of the run.

    run: its folder. step: the last one that is done; what was written of later ones goes.
    """

    def __init__(self, run, step):
        self.writer = _summary_writer()(run / "tensorboard", purge_step=step + 1)

    def line(self, line):
        r"""Show a line of metrics, a dictionary with "step"."""
        for name, value in scalars(line).items():
            self.writer.add_scalar(name, value, line["step"])

    def picture(self, path, step):
        r"""Show a file with a picture, the grid of samples of a step."""
        with Image.open(path) as picture:
            pixels = np.array(picture.convert("RGB"))  # (H, W, 3)
        self.writer.add_image("samples", pixels, step, dataformats="HWC")

    def close(self):
        r"""Write what is left."""
        self.writer.close()


class WandB:
    r"""Sends what Weights & Biases shows, or keeps it in the run where that is offline.

    run: its folder, with the file wandb.json, by which a run that goes on is the same one
    there. about: what config.json holds. project: its name. What a resumed run repeats is
    left out over there, for steps only grow: they are the same numbers.
    """

    def __init__(self, run, about, project):
        self.library = _wandb()
        path = Path(run) / "wandb.json"
        known = read_json(path) if path.is_file() else {}
        known = known.get("id") if known.get("project") == project else None
        given = dict(project=project, dir=str(run), config=about, id=known, resume="allow")
        try:
            self.session = self.library.init(**given)
        except Exception as error:  # its own kinds, which need it to be imported
            why = " ".join(str(error).split()) or type(error).__name__
            raise RuntimeError(
                f"wandb did not begin: {why}; WANDB_MODE=offline needs no network"
            ) from error
        told = {"project": project, "id": self.session.id}
        write_text(path, json.dumps(told) + "\n")

    def line(self, line):
        r"""Show a line of metrics, a dictionary with "step"."""
        self.session.log(scalars(line), step=line["step"])

    def picture(self, path, step):
        r"""Show a file with a picture, the grid of samples of a step."""
        self.session.log({"samples": self.library.Image(str(path))}, step=step)

    def close(self):
        r"""Send what is left."""
        self.session.finish()


def scalars(line):
    r"""The numbers of a line of metrics, {name: number}; of ten bands, one each."""
    found = {}
    for name, value in line.items():
        if name.endswith("bands"):
            bands = enumerate(value)
            found |= {f"{name}/{band}": v for band, v in bands if v is not None}
        elif name != "step":
            found[name] = value
    return found


def _summary_writer():
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise _lacking("tensorboard") from error
    return SummaryWriter


def _wandb():
    # a folder that wandb has left, ./wandb, can be imported too
    try:
        import wandb
    except ImportError as error:
        raise _lacking("wandb") from error
    if not hasattr(wandb, "init"):
        raise _lacking("wandb")
    return wandb


def _lacking(name):
    return ModuleNotFoundError(f"{name} is not installed: pip install {name}")
