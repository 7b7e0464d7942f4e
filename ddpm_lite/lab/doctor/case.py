r"""The case: what could be read of a run, which each question takes and some add to."""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from ...data.pictures import PictureSet
from ...formats.checkpoint import step_of
from ...schedule import Schedule
from ...training.config import TrainConfig
from ...training.one_dimension import called
from ...training.presets import RunConfig


@dataclass(frozen=True)
class Case:
    r"""What could be read of a run; None or empty where it could not.

    run: its folder. about: config.json as it is. config, train: its settings. folder: the
    newest checkpoint that is whole. model, schedule: its EMA. state: its numbers. lines:
    of metrics.jsonl. pictures, held_out: the latter None where none are set aside. device:
    where the network is asked. draws: of (x_0, t, noise), for the losses. samples:
    pictures that are drawn. network: the class of a network of one's own, as it was given.
    """

    run: Path
    about: dict = field(default_factory=dict)
    config: RunConfig | None = None
    train: TrainConfig | None = None
    folder: Path | None = None
    model: torch.nn.Module | None = None
    schedule: Schedule | None = None
    state: dict = field(default_factory=dict)
    lines: list = field(default_factory=list)
    pictures: PictureSet | None = None
    held_out: PictureSet | None = None
    device: torch.device | None = None
    draws: int = 0
    samples: int = 0
    network: type | str | None = None

    @property
    def step(self):
        r"""How many updates the newest checkpoint has seen."""
        return step_of(self.folder)

    def of(self, number=2):
        r"""What the run draws, in words: pictures, of one a picture; or series."""
        return called(self.config.network, number) if self.config else "pictures"
