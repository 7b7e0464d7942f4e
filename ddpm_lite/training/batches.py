r"""What each step trains on: a function of (seed, step), whatever came before it."""

import torch

from ..seeds import FLIP, LABEL, TRAIN, generator_for, shuffled


class Batches:
    r"""The batches of a run, each a function of (seed, step) alone.

    data, y, levels: as a Trainer takes them. config: a TrainConfig. T: of the schedule.
    model: on its device, to which batches are brought.
    """

    def __init__(self, data, y, config, T, levels, model):
        self.config, self.T, self.levels = config, T, levels
        self.device = next(model.parameters()).device
        self.classes = getattr(model, "classes", 0)
        self.data = data.to(self.device) if _fits(data, self.device) else data
        self.y = None if y is None else y.to(self.data.device)

    def numbers(self, step):
        r"""What update `step` (1, 2, ...) draws for its whole batch of B examples.

        Returns index int64 (B,), t int64 (B,) in 1..T, noise (B, *shape), and bool (B,)
        twice: which pictures are mirrored, and which labels become "no class".
        """
        B, seed = self.config.batch_size, self.config.seed
        index = shuffled(len(self.data), (step - 1) * B, B, seed)
        generator = generator_for(TRAIN, seed, step)
        t = torch.randint(1, self.T + 1, (B,), generator=generator)
        if self.config.antithetic:
            t[B // 2 :] = self.T + 1 - t[: B - B // 2]
        dtype = torch.promote_types(self.data.dtype, torch.float32)
        shape = (B, *self.data.shape[1:])
        noise = torch.randn(shape, generator=generator, dtype=dtype)
        mirror = torch.rand(B, generator=generator_for(FLIP, seed, step)) < 0.5
        dropped = torch.rand(B, generator=generator_for(LABEL, seed, step))
        return index, t, noise, mirror, dropped < self.config.drop_label

    def take(self, numbers, part=slice(None)):
        r"""A part of a batch, on the device: x_0, t (on the CPU), noise, y or None.

        numbers: from `numbers`. part: a slice of the batch.
        """
        index, t, noise, mirror, dropped = (number[part] for number in numbers)
        index = index.to(self.data.device)
        x_0 = to_float(self.data[index].to(self.device), self.levels).to(noise.dtype)
        if self.config.flip:
            mirror = mirror.to(self.device)[:, None, None, None]
            x_0 = torch.where(mirror, x_0.flip(3), x_0)
        y = None if self.y is None else self.y[index]
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
    ValueError where there are others.
    """
    if data.is_floating_point():
        return float(data.double().square().mean())
    counts = sum(torch.bincount(part.flatten(), minlength=256) for part in data.split(4096))
    if counts[levels:].any():
        largest = int(counts.nonzero().max())
        raise ValueError(f"data must hold grey levels 0..{levels - 1}, got up to {largest}")
    grey = to_float(torch.arange(256, dtype=torch.uint8), levels).double()
    return float((counts * grey.square()).sum() / counts.sum())


def _fits(data, device):
    if device.type != "cuda":
        return True
    return data.nbytes < 0.25 * torch.cuda.mem_get_info(device)[1]
