r"""Examples that are not in memory, read ahead of the step that needs them.

What is read is a function of (seed, step), whoever reads it: this process, when a step
asks, or `workers`, processes of their own, while the network computes. Each of several
processes that train together reads its own share of a batch, of a stream all of it.
"""

import itertools
import signal
import warnings

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from ..checks import check_integer
from ..data.examples import LOOK, Tensor, Unreadable, evenly
from ..data.lazy import Files
from ..data.streams import Stream
from ..data.transforms import check_transform, text_of
from ..seeds import TRANSFORM, generator_for, shuffled


class Ahead:
    r"""The examples of each step, (x, y), x as it is stored or as a transform made it.

    data: Examples, a Stream or a tensor. y: int64 (N,), or None where the data have labels
    themselves, or none. config: a TrainConfig. transform: x, generator -> x; or None.
    levels: of uint8. classes: of the network. own: the slice of each batch that this
    process trains on. workers: processes that read. `lengths`: of a stream's epochs that
    are known.
    Raises TypeError or ValueError for a transform that gives no x.
    """

    def __init__(self, data, y, config, transform, levels, classes, own, workers):
        if isinstance(data, torch.Tensor):
            data, y = Tensor(data, y), None
        streamed = isinstance(data, Stream)
        self.workers = check_integer("workers", workers, 0, 1 if streamed else 1024)
        self.data, self.own, self.lengths = data, own, []
        self.recipe = Recipe(data, y, config, transform, levels, classes)
        self.shape, self.dtype = self.recipe.shape, self.recipe.dtype
        self.made, self.reading, self.step = None, None, None

    def wait(self, step):
        r"""Have this process' share of a step at hand. Raises Unreadable."""
        if self.step == step:
            return
        if self.reading is None or step != self.step + 1:
            self.close()
            self.reading = self._read_from(step)
        try:
            made = next(self.reading)
        except BaseException:
            self.close()
            raise
        if isinstance(made, Failure):
            self.close()
            raise Unreadable(f"step {step:,} cannot be made: {made.text}")
        self.made, self.lengths, self.step = made[:2], made[2], step

    def get(self, step, part):
        r"""x and y (or None) of a part of a step's batch, a slice."""
        if part.stop is not None and self.own.start <= part.start < self.own.stop:
            self.wait(step)
            here = slice(part.start - self.own.start, part.stop - self.own.start)
            return _each(self.made, here)
        whole = Shares(self.recipe, slice(0, self.recipe.batch_size))
        made = whole.one(step, self.lengths)
        if isinstance(made, Failure):
            raise Unreadable(f"step {step:,} cannot be made: {made.text}")
        return _each(made[:2], part)

    def described(self):
        r"""What config.json says of the data: {name: JSON value}."""
        data, transform = self.data, self.recipe.transform
        found = {"transform": text_of(transform)} if transform is not None else {}
        if isinstance(data, Tensor | Files):
            return found
        found |= {"name": data.name, "read_as": type(data).__name__}
        return found | ({"window": data.window} if isinstance(data, Stream) else {})

    def state(self):
        r"""What a checkpoint holds: {name: JSON value}."""
        found = {"epochs": list(self.lengths)} if self.recipe.streamed else {}
        transform = self.recipe.transform
        return found | ({} if transform is None else {"transform": text_of(transform)})

    def restore(self, numbers):
        r"""Take over what `state` gave. Warns where the transform was another one."""
        self.close()
        self.lengths = list(numbers.get("epochs", []))
        before, now = numbers.get("transform"), self.state().get("transform")
        if before != now:
            warnings.warn(
                f"the transform was {before or 'none'} so far, and from here on is "
                f"{now or 'none'}",
                stacklevel=4,
            )

    def close(self):
        r"""End the processes that read."""
        self.reading, self.made, self.step = None, None, None

    def _read_from(self, step):
        shares = Shares(self.recipe, self.own)
        if not self.workers:
            return shares.each(step, self.lengths)
        if isinstance(self.data, Stream):
            what = dict(dataset=_Streamed(shares, step, self.lengths))
        else:
            what = dict(dataset=_Numbered(shares), sampler=_From(step))
        loader = DataLoader(
            **what,
            batch_size=None,  # a share is a batch already
            num_workers=self.workers,
            collate_fn=_as_it_is,
            worker_init_fn=_ignore_ctrl_c,
            generator=torch.Generator(),  # torch's own numbers stay as they are
        )
        return iter(loader)


class Recipe:
    r"""Which examples a step has, and what becomes of each. Arguments: see `Ahead`."""

    def __init__(self, data, y, config, transform, levels, classes):
        self.data, self.y, self.transform = data, y, transform
        self.levels, self.classes = levels, classes
        self.batch_size, self.seed = config.batch_size, config.seed
        self.shuffle = getattr(config, "shuffle", True)
        self.streamed = isinstance(data, Stream)
        self.shape, self.dtype = data.shape[1:], data.dtype
        if transform is not None:
            check_transform(transform)
            first = data.head[0] if self.streamed else data.read(0)[0]
            made = transform(first.clone(), generator_for(TRANSFORM, self.seed, 0, 0))
            if not isinstance(made, torch.Tensor) or not (
                made.is_floating_point() or (made.dtype == torch.uint8 and made.dim() == 3)
            ):
                got = getattr(made, "dtype", type(made).__name__)
                raise TypeError(
                    "transform must return a tensor, uint8 (C, H, W) or floating point, "
                    f"got {got}"
                )
            self.shape, self.dtype = made.shape, made.dtype

    def index(self, step):
        r"""Which examples, int64 (B,): their numbers, or places in the endless stream."""
        start = (step - 1) * self.batch_size
        if self.shuffle and not self.streamed:
            return shuffled(len(self.data), start, self.batch_size, self.seed)
        place = torch.arange(start, start + self.batch_size)
        return place if self.streamed else place % len(self.data)

    def look(self):
        r"""At most 256 examples as a network would see them, for checks: (n, *shape)."""
        if self.streamed:
            some = list(self.data.head)
        else:
            some = [self.data.read(i)[0] for i in evenly(len(self.data), LOOK)]
        chance = (TRANSFORM, self.seed, 0)
        each = enumerate(some)
        changed = [self.changed(x, f"example {i}", *chance, i) for i, x in each]
        return torch.stack(changed)

    def changed(self, x, at, *chance):
        r"""The example x, which `at` names, as it is trained on.

        chance: whole numbers, of which what the transform draws is a function. Raises
        Unreadable for what cannot be trained on.
        """
        if self.transform is not None:
            try:
                generator = generator_for(*chance)
                x = self.transform(x.clone(), generator)  # which may write into it
            except Exception as error:  # a transform raises what it likes
                text = " ".join(f"{type(error).__name__}: {error}".split())[:200]
                raise Unreadable(f"the transform of {at} fails: {text}") from error
            got = (getattr(x, "dtype", type(x).__name__), getattr(x, "shape", None))
            if got != (self.dtype, self.shape):
                raise Unreadable(
                    f"the transform of {at} gives {got[0]} {tuple(got[1] or ())}, and of "
                    f"the first example {self.dtype} {tuple(self.shape)}"
                )
        if x.is_floating_point():
            if not torch.isfinite(x).all():
                raise Unreadable(f"{at} has NaN or infinity, as it is trained on")
        elif self.levels < 256 and int(x.max()) >= self.levels:
            raise Unreadable(
                f"{at} must hold grey levels 0..{self.levels - 1}, got {int(x.max())}"
            )
        return x


class Shares:
    r"""The share of each step's batch, a slice, as (x, y or None, lengths of epochs).

    A share that cannot be read is a Failure instead, so that it can be sent from process
    to process.
    """

    def __init__(self, recipe, own):
        self.recipe, self.own = recipe, own

    def each(self, step, lengths=()):
        r"""Yield the shares of step, step + 1, ..."""
        if not self.recipe.streamed:
            yield from map(self.one, itertools.count(step))
        recipe, lengths = self.recipe, list(lengths)
        start = (step - 1) * recipe.batch_size
        walk = recipe.data.walk(recipe.seed, start, lengths, recipe.shuffle)
        for now in itertools.count(step):
            try:
                batch = list(itertools.islice(walk, recipe.batch_size))[self.own]
                names = [f"an example of {recipe.data.name}"] * len(batch)
                yield *self._made(now, batch, names), list(lengths)
            except Unreadable as error:
                yield Failure(str(error))
                return

    def one(self, step, lengths=()):
        r"""The share of one step."""
        if self.recipe.streamed:
            return next(self.each(step, lengths))
        recipe, data = self.recipe, self.recipe.data
        index = recipe.index(step)[self.own].tolist()
        try:
            batch = [data.read(i) for i in index]
            if recipe.y is not None:
                labels = recipe.y[torch.tensor(index)].tolist()
                batch = [(x, y) for (x, _), y in zip(batch, labels, strict=True)]
            return *self._made(step, batch, [data.at(i) for i in index]), []
        except Unreadable as error:
            return Failure(str(error))

    def _made(self, step, batch, names):
        start, chance = self.own.start, (TRANSFORM, self.recipe.seed, step)
        each = zip(batch, names, strict=True)
        x, labels = [], [y for _, y in batch]
        for i, ((value, y), at) in enumerate(each):
            if y is not None and not 0 <= y < self.recipe.classes:
                most = self.recipe.classes - 1
                raise Unreadable(f"{at} must have a label in 0..{most}, got {y}")
            x.append(self.recipe.changed(value, at, *chance, start + i))
        return torch.stack(x), None if labels[0] is None else torch.tensor(labels)


class Failure:
    r"""Why a share could not be made, in words."""

    def __init__(self, text):
        self.text = text


class _Numbered(Dataset):
    def __init__(self, shares):
        self.shares = shares

    def __getitem__(self, step):
        return self.shares.one(step)


class _Streamed(IterableDataset):
    def __init__(self, shares, step, lengths):
        self.shares, self.step, self.lengths = shares, step, lengths

    def __iter__(self):
        return self.shares.each(self.step, self.lengths)


class _From:
    def __init__(self, step):
        self.step = step

    def __iter__(self):
        return itertools.count(self.step)


def _each(made, part):
    return tuple(None if values is None else values[part] for values in made)


def _as_it_is(made):
    return made


def _ignore_ctrl_c(_):
    # the process that trains ends these ones, after its last step
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
