r"""Examples that are read when they are needed, and asked as a tensor is.

A trainer takes a tensor. It also takes what behaves like one: shape, dtype, a length, and
`data[index]`. Then the examples may lie in files, or come out of somebody's dataset.
"""

import hashlib
from functools import cached_property
from numbers import Integral

import torch

LOOK = 256  # examples that are looked at where reading all would take too long


class Unreadable(ValueError):
    r"""An example could not be read; the message names it. Nothing was trained on it."""


class Examples:
    r"""N examples of one shape and dtype, each read when it is asked for.

    A subclass gives `read(i)` -> (x, y): tensor (*shape), and an int or None. labelled:
    whether y is an int. kind: how `mark`, which the data is known by, was made. name: for
    messages.
    """

    device, kind, name = torch.device("cpu"), "items", "data"

    def __init__(self, number, shape, dtype, labelled=False):
        self.shape, self.dtype = torch.Size((number, *shape)), dtype
        self.labelled = labelled

    def read(self, i):
        r"""Example i, 0 <= i < N: x and its label or None. Raises Unreadable."""
        raise NotImplementedError

    def at(self, i):
        r"""What example i is called in a message."""
        return f"item {i} of {self.name}"

    @cached_property
    def mark(self):
        r"""A hash of at most 256 evenly spaced examples and their labels."""
        seen = hashlib.sha256(f"{tuple(self.shape)} {self.dtype}".encode())
        for i in evenly(len(self)):
            x, y = self.read(i)
            seen.update(as_bytes(x) + repr(y).encode())
        return seen.hexdigest()[:16]

    def __len__(self):
        return self.shape[0]

    def __repr__(self):
        return f"{type(self).__name__}({self.name}, {tuple(self.shape)}, {self.dtype})"

    def dim(self):
        r"""The number of dimensions, as a tensor has it."""
        return len(self.shape)

    def numel(self):
        r"""The number of values in all examples."""
        return self.shape.numel()

    def is_floating_point(self):
        r"""Whether the examples hold floating point numbers."""
        return self.dtype.is_floating_point

    def __getitem__(self, index):
        r"""The examples at an int, slice, int64 (n,) or mask, as one tensor."""
        if isinstance(index, Integral) and not isinstance(index, bool):
            return self.read(range(len(self))[index])[0]
        found = [self.read(i)[0] for i in self._places(index)]
        none = torch.empty((0, *self.shape[1:]), dtype=self.dtype)
        return torch.stack(found) if found else none

    def float(self):
        r"""All examples as one tensor, float32: they are read."""
        return self[:].float()

    def split(self, n):
        r"""Yield all examples in blocks of n: memory holds one block."""
        for start in range(0, len(self), n):
            yield self[start : start + n]

    def part(self, index):
        r"""Some of the examples, still unread. index: as in `[]`."""
        return Part(self, self._places(index))

    def equal(self, other):
        r"""Whether other data is known to be the same: of this kind, with this mark."""
        alike = same_kind(self, other) and self.shape == other.shape
        return alike and self.mark == other.mark

    def _places(self, index):
        if isinstance(index, slice):
            return list(range(len(self)))[index]
        index = torch.as_tensor(index)
        return (index.nonzero().flatten() if index.dtype == torch.bool else index).tolist()


class Part(Examples):
    r"""Some examples of others, by their numbers there."""

    def __init__(self, whole, places):
        super().__init__(len(places), whole.shape[1:], whole.dtype, whole.labelled)
        self.whole, self.places = whole, places
        self.kind, self.name = whole.kind, whole.name

    def read(self, i):
        r"""Example i of the part."""
        return self.whole.read(self.places[i])

    def at(self, i):
        r"""What it is called there."""
        return self.whole.at(self.places[i])

    @cached_property
    def mark(self):
        r"""A hash of the mark of all and of the numbers."""
        if self.places == list(range(len(self.whole))):
            return self.whole.mark
        numbers = f"{self.whole.mark} {self.places}"
        return hashlib.sha256(numbers.encode()).hexdigest()[:16]


class Tensor(Examples):
    r"""A tensor as Examples, for what is done to one example at a time."""

    def __init__(self, x, y=None, name="data"):
        super().__init__(len(x), x.shape[1:], x.dtype, y is not None)
        self.x, self.y, self.name = x, y, name

    def read(self, i):
        r"""Row i and its label."""
        return self.x[i], None if self.y is None else int(self.y[i])


def evenly(number, most=LOOK):
    r"""At most `most` of the numbers 0 .. number - 1, evenly spaced, 0 among them."""
    return range(0, number, -(-number // most) or 1)


def sampled(data, most=LOOK):
    r"""A tensor as it is; of Examples that are read, at most `most`, evenly spaced.

    A stream gives its first ones. What is said of all data, such as its second moment, is
    said of these.
    """
    if isinstance(data, torch.Tensor) or not hasattr(data, "part"):
        return data
    return data[torch.tensor(evenly(len(data), most))]


def chosen(data, index):
    r"""Some examples: rows of a tensor, or Examples that are still unread."""
    return data[index] if isinstance(data, torch.Tensor) else data.part(index)


def equal(data, other):
    r"""Whether two data are known to be the same: both tensors, or both Examples."""
    tensors = [isinstance(each, torch.Tensor) for each in (data, other)]
    return tensors[0] == tensors[1] and data.equal(other)


def same_kind(data, other):
    r"""Whether both are Examples whose marks were made in the same way."""
    return getattr(data, "kind", None) == getattr(other, "kind", "tensor")


def as_bytes(x):
    r"""The bytes of a tensor, in the order of its indices."""
    return x.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
