r"""What each step trains on: a function of (seed, step), whatever came before it."""

import os
from typing import NamedTuple

import torch

from ..data.examples import sampled
from ..data.streams import Stream
from ..seeds import FLIP, LABEL, TRAIN, generator_for, shuffled
from .ahead import Ahead


class Numbers(NamedTuple):
    r"""What an update draws for its whole batch of B examples.

    step: 1, 2, ... index: int64 (B,), which examples; of a stream, their places in it. t:
    int64 (B,) in 1..T. noise: (B, *shape). mirror, dropped: bool (B,), which pictures are
    mirrored, and which labels become "no class".
    """

    step: int
    index: torch.Tensor
    t: torch.Tensor
    noise: torch.Tensor
    mirror: torch.Tensor
    dropped: torch.Tensor


def drawn_steps(T, B, law, generator):
    r"""Draw the steps of a batch: int64 (B,), in 1..T.

    law: "uniform", or "logit_normal": t / T is the sigmoid of a draw from N(0, 1), rounded
    up to a step. Esser et al. 2024 (arXiv 2403.03206), section 3.1.
    """
    if law == "uniform":
        return torch.randint(1, T + 1, (B,), generator=generator)
    share = torch.randn(B, generator=generator, dtype=torch.float64).sigmoid()
    return (T * share).ceil().long().clamp(1, T)


class Batches:
    r"""The batches of a run, each a function of (seed, step) alone.

    data, y, levels, transform, workers: as a Trainer takes them. config: a TrainConfig. T:
    of the schedule. model: on its device, to which batches are brought. own: the slice of
    a batch that this process trains on. shape, dtype: of one example, transformed.
    """

    def __init__(
        self, data, y, config, T, levels, model, own, transform=None, workers=None
    ):
        self.config, self.T, self.levels = config, T, levels
        self.device = next(model.parameters()).device
        self.classes = getattr(model, "classes", 0)
        self.labelled = y is not None or getattr(data, "labelled", False)
        self.ahead, self.data, self.y = None, data, y
        if transform is not None or not isinstance(data, torch.Tensor):
            workers = _workers(data, self.device) if workers is None else workers
            given = (data, y, config, transform, levels, self.classes, own, workers)
            self.ahead = Ahead(*given)
            self.shape, self.dtype = self.ahead.shape, self.ahead.dtype
            return
        self.shape, self.dtype = data.shape[1:], data.dtype
        self.data = data.to(self.device) if _fits(data, self.device) else data
        self.y = None if y is None else y.to(self.data.device)

    def numbers(self, step):
        r"""What update `step` (1, 2, ...) draws for its whole batch: Numbers."""
        B, seed = self.config.batch_size, self.config.seed
        generator = generator_for(TRAIN, seed, step)
        t = drawn_steps(self.T, B, self.config.t_law, generator)
        if self.config.antithetic:
            t[B // 2 :] = self.T + 1 - t[: B - B // 2]
        dtype = torch.promote_types(self.dtype, torch.float32)
        shape = (B, *self.shape)
        noise = torch.randn(shape, generator=generator, dtype=dtype)
        mirror = torch.rand(B, generator=generator_for(FLIP, seed, step)) < 0.5
        dropped = torch.rand(B, generator=generator_for(LABEL, seed, step))
        dropped = dropped < self.config.drop_label
        return Numbers(step, self.index(step), t, noise, mirror, dropped)

    def index(self, step):
        r"""Which examples update `step` trains on, int64 (B,)."""
        if self.ahead:
            return self.ahead.recipe.index(step)
        start, B = (step - 1) * self.config.batch_size, self.config.batch_size
        if not self.config.shuffle:
            return torch.arange(start, start + B) % len(self.data)
        return shuffled(len(self.data), start, B, self.config.seed)

    def wait(self, step):
        r"""Have what update `step` trains on at hand. Raises Unreadable if it cannot be."""
        if self.ahead:
            self.ahead.wait(step)

    def look(self):
        r"""What data are judged by: all of a tensor, else some, as they are trained on."""
        return self.ahead.recipe.look() if self.ahead else self.data

    def described(self):
        r"""What config.json says of data that is not simply in memory: {name: value}."""
        return self.ahead.described() if self.ahead else {}

    def state(self):
        r"""What a checkpoint holds beside the step, JSON values."""
        return self.ahead.state() if self.ahead else {}

    def restore(self, numbers):
        r"""Go on where `state` was taken. Warns where the transform is another one."""
        if self.ahead:
            self.ahead.restore(numbers)

    def close(self):
        r"""End the processes that read ahead, if there are any."""
        if self.ahead:
            self.ahead.close()

    def take(self, numbers, part=slice(None)):
        r"""A part of a batch, on the device: x_0, t (on the CPU), noise, y or None.

        numbers: from `numbers`. part: a slice of the batch.
        """
        index, t, noise, mirror, dropped = (number[part] for number in numbers[1:])
        if self.ahead:
            x_0, y = self.ahead.get(numbers.step, part)
        else:
            index = index.to(self.data.device)
            x_0, y = self.data[index], None if self.y is None else self.y[index]
        x_0 = to_float(x_0.to(self.device), self.levels).to(noise.dtype)
        if self.config.flip:
            mirror = mirror.to(self.device)[:, None, None, None]
            x_0 = torch.where(mirror, x_0.flip(3), x_0)
        if self.config.drop_label:
            y = torch.where(dropped.to(y.device), self.classes, y)
        y = y if y is None else y.to(self.device)
        return x_0, t, noise.to(self.device, non_blocking=True), y


def to_float(x_0, levels):
    r"""Scale uint8 pictures with grey levels 0 .. levels - 1 to [-1, 1], in float32.

    x_0: (B, C, H, W); floating point data is returned as it is.
    """
    return x_0 if x_0.is_floating_point() else 2 * x_0.float() / (levels - 1) - 1


def second_moment(data, levels):
    r"""Mean of x_0 squared over all examples and dimensions, as the network sees them.

    data: (N, *shape) floating point, or uint8 with grey levels 0 .. levels - 1; raises
    ValueError where there are others. Of Examples that are read when they are needed, 256
    evenly spaced ones stand for all.
    """
    data = sampled(data)
    if data.is_floating_point():
        return float(data.double().square().mean())
    counts = sum(torch.bincount(part.flatten(), minlength=256) for part in data.split(4096))
    if counts[levels:].any():
        largest = int(counts.nonzero().max())
        raise ValueError(f"data must hold grey levels 0..{levels - 1}, got up to {largest}")
    grey = to_float(torch.arange(256, dtype=torch.uint8), levels).double()
    return float((counts * grey.square()).sum() / counts.sum())


def _workers(data, device):
    # on a CPU they would take time from the network
    most = 1 if isinstance(data, Stream) else 4
    return 0 if device.type == "cpu" else min(most, max(1, (os.cpu_count() or 1) // 2))


def _fits(data, device):
    if device.type != "cuda":
        return True
    return data.nbytes < 0.25 * torch.cuda.mem_get_info(device)[1]
