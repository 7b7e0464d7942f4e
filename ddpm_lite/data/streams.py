r"""Data that can only be read from its beginning: a stream.

The order in which examples are trained on is still a function of (seed, step), for it is
drawn here, in windows, and not by what is read.
"""

import hashlib
import inspect
from itertools import islice

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from ..checks import check_data, check_integer, short, takes
from ..seeds import SHUFFLE, generator_for
from .datasets import Items, Reading, as_items, name_of, why
from .examples import LOOK, Examples, Unreadable, as_bytes


class Stream:
    r"""Examples that are read one after the other, in every epoch from the beginning.

    source: what can be iterated again and again, such as an IterableDataset of torch or of
    the hub's `datasets`; or a function epoch (0, 1, ...) -> iterator. Items are as in
    `Items`, and so are image, label and channels. window: so many examples are read,
    shuffled, and used up, before the next ones are read; memory holds them. 1 keeps the
    order; a window that holds the whole stream gives the order of the same examples in
    memory. name: for messages.
    A stream of the hub is read in one order, that of its shards and of its own shuffle, in
    every epoch; for others pass a function, `lambda epoch: iter(s.shuffle(seed=epoch))`.
    Epochs may have different lengths. Raises TypeError for an iterator that can be read
    once only, ValueError for an empty stream, and what `Items` raises.
    """

    device, kind = torch.device("cpu"), "stream"

    def __init__(
        self, source, window=1000, *, image=None, label=None, channels=None, name=None
    ):
        if _once(source) or not (callable(source) or hasattr(source, "__iter__")):
            raise TypeError(
                "a stream must be iterable again and again, or a function epoch -> "
                f"iterator, got {short(source)}" + as_items(source) * _once(source)
            )
        if callable(source) and not takes(source, 0):
            raise TypeError(
                "the function of a stream is called with the number of the epoch, "
                f"f(epoch), which {name_of(source)} does not take: if it needs none, pass "
                "lambda epoch: f()"
            )
        if getattr(source, "_distributed", None) is not None:  # split by node
            raise ValueError(
                "this stream is split among processes already: pass the whole one, for "
                "each process takes its part of every batch"
            )
        self.source, self.name = source, name or name_of(source)
        self.window = check_integer("window", window, 1)
        head = list(islice(self._items(0, 0), LOOK))
        if not head:
            raise ValueError(f"the stream {self.name} is empty")
        self.reading = Reading(head[0], self.at(0, 0), image, label, channels)
        self.dtype, self.labelled = self.reading.dtype, self.reading.labelled
        self.shape = (None, *self.reading.shape)
        read = [self.reading.read(item, self.at(0, i)) for i, item in enumerate(head)]
        self.head = torch.stack([x for x, _ in read])
        seen = hashlib.sha256(f"{self.shape[1:]} {self.dtype}".encode())
        for x, y in read:
            seen.update(as_bytes(x) + repr(y).encode())
        self.mark = seen.hexdigest()[:16]

    def __repr__(self):
        return f"Stream({self.name}, {tuple(self.shape[1:])}, {self.dtype})"

    def dim(self):
        r"""The number of dimensions, as a tensor of its examples has it."""
        return len(self.shape)

    def is_floating_point(self):
        r"""Whether the examples hold floating point numbers."""
        return self.dtype.is_floating_point

    def at(self, epoch, i):
        r"""What example i of an epoch is called in a message."""
        return f"example {i} in epoch {epoch} of {self.name}"

    def walk(self, seed, position, lengths, shuffle=True):
        r"""Yield (x, y) from a position in the endless list of epochs, in its order.

        lengths: of epochs that are known, to go to the position without reading them; a
        list to which the lengths that are found are added. shuffle: False keeps the order,
        whatever the window. Raises Unreadable for an example that cannot be read.
        """
        epoch, before = 0, 0
        while epoch < len(lengths) and before + lengths[epoch] <= position:
            before += lengths[epoch]
            epoch += 1
        size, start = self.window if shuffle else 1, position - before
        while True:
            number = start // size
            read, skip = number * size, start - number * size
            items, first = self._items(epoch, read), read
            while block := self._block(items, epoch, read, size):
                read += len(block)
                order = range(len(block))
                if size > 1:
                    generator = generator_for(SHUFFLE, seed, epoch, *_tail(number))
                    order = torch.randperm(len(block), generator=generator).tolist()
                for place in order[skip:]:
                    yield block[place]
                skip, number = max(0, skip - len(block)), number + 1
            if read == first:  # nothing is there: the position lies in a later epoch
                read = sum(1 for _ in self._items(epoch, 0))
            if not read:
                raise Unreadable(f"{self.name} gave no example in epoch {epoch}")
            if epoch == len(lengths):
                lengths.append(read)
            epoch, start = epoch + 1, max(0, start - read)

    def _block(self, items, epoch, read, size):
        block = []
        for i in range(read, read + size):
            try:
                item = next(items)
            except StopIteration:
                break
            except Exception as error:  # a stream raises what it likes
                raise Unreadable(f"{self.at(epoch, i)}: {why(error)}") from error
            block.append(self.reading.read(item, self.at(epoch, i)))
        return block

    def _items(self, epoch, start):
        r"""An iterator over the items of an epoch, from item `start` on."""
        source = self.source
        if callable(source):
            made = source(epoch)
            if not hasattr(made, "__iter__"):
                raise TypeError(
                    f"{self.name} must return an iterator of examples, got {short(made)}"
                )
            return islice(iter(made), start, None)
        if is_hubs(source):  # since version 5 it moves shards in later epochs, but for skip
            source.set_epoch(0)
        elif hasattr(source, "set_epoch"):
            source.set_epoch(epoch)
        if hasattr(source, "skip") and start:
            source, start = source.skip(start), 0
        return islice(iter(source), start, None)


def as_examples(data):
    r"""What a trainer can ask for examples: a tensor, Examples or a Stream.

    data: one of these, a map style dataset, something iterable of torch or of the hub's
    `datasets`, or a function epoch -> iterator. Raises TypeError or ValueError for others.
    """
    if isinstance(data, Examples | Stream):
        return data
    if isinstance(data, IterableDataset) or inspect.isroutine(data):
        return Stream(data)
    if is_hubs(data) and not isinstance(data, dict):
        return Items(data) if hasattr(data, "__len__") else Stream(data)
    if isinstance(data, Dataset):
        return Items(data)
    if not isinstance(data, torch.Tensor):
        raise TypeError(
            "data must be a floating point tensor (N, *shape), uint8 pictures (N, C, H, "
            f"W), or a dataset, got {type(data).__name__}{as_items(data)}"
        )
    return check_data(data, pictures=True)


def is_hubs(data):
    r"""Whether this is an object of the library `datasets`."""
    return type(data).__module__.partition(".")[0] == "datasets"


def _tail(number):
    # the first window is shuffled as the whole epoch would be in memory
    return (number,) if number else ()


def _once(source):
    # a DataLoader gives batches, which are no examples
    return hasattr(source, "__next__") or isinstance(source, DataLoader)
