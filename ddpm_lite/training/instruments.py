r"""What a run tells of itself: sums over steps that stay on the device until a line is due.

`metrics.jsonl` holds numbers that a repeated run gives again, bit for bit on one
machine; what depends on the clock goes to `timing.jsonl`.
"""

import json
import os

import torch
from torch import distributed

BANDS = 10  # of t, equally wide


class Instruments:
    r"""Running sums of what Records report, read and set to zero once a line is due.

    T: steps of the schedule. device: where the sums live. grad_clip: as in TrainConfig.
    """

    def __init__(self, T, device, grad_clip):
        self.T, self.grad_clip = T, grad_clip or float("inf")
        self.bands = torch.zeros(2, BANDS, device=device)  # sums of losses, and how many
        self.norms = torch.zeros(4, device=device)  # sum, largest, clipped, how many

    def add(self, record):
        r"""Count one Record."""
        band = ((record.t - 1) * BANDS // self.T).to(self.bands.device)
        self.bands[0].index_add_(0, band, record.losses.float())
        self.bands[1].index_add_(0, band, torch.ones_like(record.losses.float()))
        norm = record.grad_norm.float()
        finite = torch.isfinite(norm)  # with float16 a step may not be, and is left out
        self.norms[0] += torch.where(finite, norm, 0)
        self.norms[1] = torch.maximum(self.norms[1], torch.where(finite, norm, 0))
        self.norms[2] += finite & (norm > self.grad_clip)
        self.norms[3] += finite

    def read(self):
        r"""The means since the last time, over all processes, as plain numbers.

        Returns loss, loss_bands (of ten equal parts of 1..T, None where no t fell),
        grad_norm (mean), grad_norm_max and clipped, the share of steps that were; the
        last three over steps with a finite gradient.
        """
        sums, counts = self._all_bands().tolist()
        total, largest, clipped, steps = self.norms.tolist()
        self.bands.zero_()
        self.norms.zero_()
        return {
            "loss": sum(sums) / sum(counts),
            "loss_bands": [s / n if n else None for s, n in zip(sums, counts, strict=True)],
            "grad_norm": total / max(1, steps),
            "grad_norm_max": largest,
            "clipped": clipped / max(1, steps),
        }

    def state(self):
        r"""The sums over all processes, {name: tensor}, for a checkpoint between lines."""
        return {"instruments.bands": self._all_bands(), "instruments.norms": self.norms}

    def restore(self, tensors):
        r"""Go on from the sums of a checkpoint; of several processes only one does."""
        self.bands.copy_(tensors["instruments.bands"])
        self.norms.copy_(tensors["instruments.norms"])

    def _all_bands(self):
        bands = self.bands.clone()
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(bands)
        return bands


class Log:
    r"""A file with one JSON object in each line, that a resumed run cuts back and goes on.

    length: bytes to keep of a file that is there, None for all its whole lines.
    """

    def __init__(self, path, length=None):
        if length is None and path.exists():
            length = path.read_bytes().rfind(b"\n") + 1
        self.path, self.file = path, path.open("ab", buffering=0)
        self.file.truncate(min(length or 0, self.length()))

    def write(self, line):
        r"""Add a line. Raises OSError that names the file where it does not fit."""
        text = json.dumps(line).encode() + b"\n"
        try:
            while text:
                text = text[self.file.write(text) :]
        except OSError as error:
            raise OSError(f"cannot write {self.path}: {error}") from error

    def length(self):
        r"""Bytes written so far."""
        return self.file.seek(0, os.SEEK_END)

    def to_disk(self):
        r"""Flush to the disk, past a crash of the machine, and return the length."""
        os.fsync(self.file.fileno())
        return self.length()

    def close(self):
        r"""Close the file."""
        self.file.close()


def read_log(path):
    r"""The lines of a log as dictionaries; [] where there is none."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
