r"""Random numbers as functions of whole numbers: nothing here has a hidden state.

Everything is drawn on the CPU and moved, so that all devices see the same numbers.
"""

from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256

import numpy as np
import torch

from .checks import check_dtype, check_integer, check_shape, short

# What keeps the streams of different uses apart.
TRAIN, SHUFFLE, SAMPLE, FLIP, LABEL, DROPOUT, HELD_OUT, WEIGHTS, TRANSFORM = range(9)


def generator_for(*numbers):
    r"""A CPU generator whose stream is a function of these whole numbers >= 0."""
    return torch.Generator().manual_seed(_seed(numbers))


@contextmanager
def seeded(device, *numbers):
    r"""Make torch's own random numbers a function of these, and put all back afterwards.

    device: a torch.device. For what takes no generator: dropout and initial weights.
    """
    cards = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cards):
        torch.manual_seed(_seed(numbers))
        yield


def keys(count, *numbers):
    r"""Whole numbers of 64 bits, a function of these whole numbers >= 0.

    count: their shape. Returns int64 (*count,).
    """
    most = 2**63 - 1
    return torch.randint(-most, most, count, generator=generator_for(*numbers))


def random_bits(column, rows, count):
    r"""A table of 64 random bits in each place, of which every row can be computed alone.

    column: int64 (1,), the key that all rows share. rows: int64 (B,), one key for each.
    Returns int64 (B, count), on the device of the keys and the same on all. Where the keys
    are random, any three numbers of the table are independent (so are all whose places
    close no circle of row, column, row, ...). Integer arithmetic modulo 2^64: the shared
    key begins a SplitMix64, whose numbers are crossed with those of the rows.
    Steele, Lea and Flood 2014, figure 17.
    """
    v = column + torch.arange(1, count + 1, device=column.device) * -0x61C8864680B583EB
    v = (v ^ _shifted(v, 30)) * -0x40A7B892E31B1A47
    v = (v ^ _shifted(v, 27)) * -0x6B2FB644ECCEEE15
    z = (rows[:, None] ^ v ^ _shifted(v, 31)).mul_(-0x40A7B892E31B1A47)  # (B, count)
    return z.bitwise_xor_(_shifted(z, 32))


def _shifted(z, n):
    return (z >> n).bitwise_and_((1 << (64 - n)) - 1)  # torch's own repeats the sign


def _seed(numbers):
    if max(numbers) >= 2**32:  # SeedSequence takes it for two numbers
        return int.from_bytes(sha256(repr(tuple(numbers)).encode()).digest()[:8])
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def shuffled(N, start, count, seed):
    r"""Entries start .. start + count of an endless list of shuffles of 0..N-1.

    Shuffle number e is a function of (seed, e), so any batch can be found again without
    walking through those before it. Returns int64 (count,).
    """
    position = torch.arange(start, start + count)
    index = torch.empty_like(position)
    for epoch in range(start // N, (start + count - 1) // N + 1):
        order = _shuffle(N, seed, epoch)
        here = position // N == epoch
        index[here] = order[position[here] % N]
    return index


@lru_cache(maxsize=4)  # the same few shuffles serve many steps
def _shuffle(N, seed, epoch):
    return torch.randperm(N, generator=generator_for(SHUFFLE, seed, epoch))


class SampleNoise:
    r"""Noise from N(0, I) in which every sample has a generator of its own.

    seed: an int >= 0, from which sample i gets the seed (seed, i); or B ints, and sample
    i is then sample 0 of its own. shape: (B, *sample_shape). dtype: float32 or float64.
    `next()` returns the next noise, (B, *sample_shape). Small samples are drawn several
    steps at a time, always as many for the same shape, so that the numbers of a sample
    depend on its seed alone. Raises ValueError for a bad seed or as many as do not fit, and
    for another dtype.
    """

    def __init__(self, seed, shape, device, dtype):
        B, *self.sample_shape = check_shape(shape)
        seeds = seeds_of(seed, B)
        self.generators = [generator_for(SAMPLE, *numbers) for numbers in seeds]
        self.block = max(1, 64 // max(1, int(np.prod(self.sample_shape))))
        self.device, self.dtype, self.ready = device, check_dtype(dtype), []

    def next(self):
        r"""The next noise, (B, *sample_shape)."""
        if not self.ready:
            drawn = [
                torch.randn(self.block, *self.sample_shape, generator=g, dtype=self.dtype)
                for g in self.generators
            ]
            self.ready = list(torch.stack(drawn, 1).unbind(0))[::-1]
        return self.ready.pop().to(self.device)


def seeds_of(seed, B):
    r"""The numbers of each sample's stream: (seed, i), or those that are listed.

    seed: as in `SampleNoise`. Raises ValueError for others.
    """
    seed = seed.tolist() if hasattr(seed, "tolist") else seed  # of a tensor, or numpy's
    if isinstance(seed, (list, tuple, range)):
        seeds = [tuple(s) if isinstance(s, (list, tuple)) else (s,) for s in seed]
    else:
        seeds = [(seed, i) for i in range(B)]
    try:
        if len(seeds) != B:
            raise ValueError(f"{len(seeds)} came")
        return [tuple(check_integer("a seed", n, 0) for n in one) for one in seeds]
    except ValueError as error:
        raise ValueError(
            f"seed must be one int >= 0 or {B} of them, got {short(seed)}"
        ) from error
