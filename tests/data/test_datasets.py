r"""Datasets and streams of other people as examples."""

from itertools import pairwise

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from ddpm_lite.data import Items, Stream, load
from ddpm_lite.data.examples import Unreadable, chosen, evenly, sampled
from ddpm_lite.data.marks import fingerprint, is_of
from ddpm_lite.data.streams import as_examples
from ddpm_lite.seeds import SHUFFLE, generator_for

X = torch.randint(256, (20, 3, 4, 5), generator=generator_for(1)).to(torch.uint8)
Y = torch.arange(20) % 3


class Listed(Dataset):
    r"""A list, which may hold exceptions to be raised."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        if isinstance(self.items[i], Exception):
            raise self.items[i]
        return self.items[i]


def image(x):
    return Image.fromarray(x.permute(1, 2, 0).numpy())


KINDS = {
    "tensors": lambda: [(x, int(y)) for x, y in zip(X, Y, strict=True)],
    "labels as tensors": lambda: [(x, y) for x, y in zip(X, Y, strict=True)],
    "arrays": lambda: [(x.numpy(), np.int64(y)) for x, y in zip(X, Y, strict=True)],
    "pictures": lambda: [(image(x), int(y)) for x, y in zip(X, Y, strict=True)],
    "dictionaries": lambda: [
        dict(id=3, img=image(x), label=int(y)) for x, y in zip(X, Y, strict=True)
    ],
}


@pytest.mark.parametrize("kind", KINDS)
def test_items_of_every_kind_are_the_same_examples(kind):
    items = Items(Listed(KINDS[kind]()))
    assert items.shape == X.shape and items.dtype == torch.uint8 and items.labelled
    assert torch.equal(items[:], X) and torch.equal(items[torch.tensor([7, 2])], X[[7, 2]])
    assert torch.equal(items[Y == 1], X[Y == 1]) and torch.equal(items[3], X[3])
    assert [items.read(i)[1] for i in range(20)] == Y.tolist()
    assert torch.equal(torch.cat(list(items.split(6))), X)
    assert torch.equal(items.part(torch.tensor([5, 1]))[:], X[[5, 1]])


def hub():
    kinds = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["a", "b", "c"])
    )
    rows = dict(image=[image(x) for x in X], label=Y.tolist())
    return datasets.Dataset.from_dict(rows, features=kinds)


def test_the_hubs_datasets_are_items_and_streams():
    table = hub()
    items = as_examples(table)
    assert isinstance(items, Items) and torch.equal(items[:], X)
    stream = as_examples(table.to_iterable_dataset(num_shards=3))
    assert isinstance(stream, Stream)
    walk = stream.walk(0, 0, [], shuffle=False)
    read = [next(walk) for _ in range(25)]  # into the second epoch
    assert torch.equal(torch.stack([x for x, _ in read]), torch.cat([X, X[:5]]))
    assert [y for _, y in read] == torch.cat([Y, Y[:5]]).tolist()


def test_grey_pictures_among_coloured_ones_become_coloured():
    grey = Image.new("L", (5, 4), 9)
    items = Items(Listed([image(X[0]), grey]))
    assert torch.equal(items[1], torch.full((3, 4, 5), 9, dtype=torch.uint8))
    assert Items(Listed([grey, image(X[0])]), channels=3).shape == (2, 3, 4, 5)
    assert Items(Listed([grey, image(X[0])])).shape == (2, 1, 4, 5)


BROKEN = {
    "it raises": (OSError("lost"), "item 1 of .* cannot be read: OSError: lost"),
    "another shape": (X[0, :1], r"item 1 of .* is torch.uint8 \(1, 4, 5\), and item 0"),
    "another dtype": (X[0].float(), "item 1 of .* is torch.float32"),
    "a label too many": ((X[0], 3), "item 1 of .* must have no label"),
    "text": ("text", "item 1 of .* must be a picture, a tensor or an array"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_item_that_is_not_as_the_first_is_named(name):
    item, message = BROKEN[name]
    items = Items(Listed([X[0], item]))
    with pytest.raises(Unreadable, match=message):
        items[:]


def test_numbers_must_be_finite():
    with pytest.raises(Unreadable, match=r"item 1 of .* NaN"):
        Items(Listed([torch.zeros(2), torch.tensor([0, torch.nan])]))[1]


FIRST = {
    "text": ["a"],
    "channels last": [X[0].permute(1, 2, 0)],
    "words as labels": [(X[0], "cat")],
    "two unknown keys": [dict(a=1, b=2)],
    "integers": [torch.arange(4)],
    "nothing": [],
}


@pytest.mark.parametrize("name", FIRST)
def test_a_first_item_that_is_no_example_is_refused(name):
    with pytest.raises((TypeError, ValueError)):
        Items(Listed(FIRST[name]))
    if name == "words as labels":
        assert not Items(Listed(FIRST[name]), label=False).labelled


@pytest.mark.parametrize(
    ("x", "advice"),
    [
        (X[0].permute(1, 2, 0), lambda x: x.permute(2, 0, 1)),
        (X[0].permute(1, 2, 0).numpy(), lambda x: x.transpose(2, 0, 1)),
    ],
    ids=["tensor", "array"],
)
def test_channels_last_get_advice_that_works_and_the_name_of_the_item(x, advice):
    with pytest.raises(ValueError, match="item 0 of scans: x must be") as refused:
        Items([x], name="scans")
    line = str(refused.value).rpartition(": ")[2]
    made = eval(line, {"x": x})
    assert torch.equal(torch.as_tensor(made), X[0]) and tuple(advice(x).shape) == (3, 4, 5)


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_lists_of_the_hubs_datasets_get_advice_that_works(kind):
    rows = {"image": [x.numpy().astype(kind) for x in X], "label": Y.tolist()}
    dataset = datasets.Dataset.from_dict(rows)
    with pytest.raises(TypeError, match=r"item 0 of .*: x must be a picture") as refused:
        as_examples(dataset)
    line = str(refused.value).partition("pass the dataset of the hub as ")[2]
    items = as_examples(eval(line, {"dataset": dataset, "torch": torch}))
    assert torch.equal(items[:], X.to(getattr(torch, kind)))
    assert [items.read(i)[1] for i in range(20)] == Y.tolist()


def no_argument():
    return iter(X)


WAYS = {
    "list": (lambda: [*X], "got list: data.Items takes what has a length"),
    "loader": (lambda: DataLoader(TensorDataset(X)), "pass its dataset, loader.dataset"),
    "generator": (lambda: (x for x in X), r"read once only: data.Stream\(f\) takes"),
    "array": (lambda: X.numpy(), r"pass torch.from_numpy\(data\)"),
    "set": (lambda: load("digits"), "pass data.x_0, and y=data.y"),
    "path": (lambda: "photos", r"data.load\(...\) reads files"),
    "splits": (
        lambda: datasets.DatasetDict(a=hub(), b=hub()),
        "one of its splits, 'a', 'b'",
    ),
    "no epoch": (lambda: no_argument, r"f\(epoch\), which .*no_argument does not take"),
    "no iterator": (lambda: lambda epoch: None, "must return an iterator .* got None"),
}


@pytest.mark.parametrize("name", WAYS)
def test_data_of_another_kind_is_shown_its_way(name):
    made, message = WAYS[name]
    with pytest.raises(TypeError, match=message):
        as_examples(made())


def test_items_and_streams_refuse_what_is_the_others():
    for given, message in (
        ((x for x in X), "read once only: data.Stream"),
        (DataLoader(TensorDataset(X)), "loader.dataset"),
    ):
        for kind in (Items, Stream):
            with pytest.raises(TypeError, match=message):
                kind(given)


def test_marks_know_examples_labels_and_their_order():
    kept = torch.randperm(20, generator=generator_for(0))
    sets = [(X, Y), (X.flip(3), Y), (X, Y.flip(0)), (X[kept], Y[kept]), (X[:19], Y[:19])]
    marks = {fingerprint(Items(TensorDataset(*both))) for both in sets}
    assert len(marks) == 5 and all(mark.startswith("items-") for mark in marks)
    assert fingerprint(Items(TensorDataset(X, Y))) in marks
    whole = Items(TensorDataset(X, Y))
    assert is_of(fingerprint(X, Y), whole)  # of the same in memory: all are read
    assert not is_of(fingerprint(X.flip(3), Y), whole)
    assert not is_of(fingerprint(whole), X, Y)
    assert fingerprint(Items(TensorDataset(X)), Y) != fingerprint(Items(TensorDataset(X)))
    assert fingerprint(whole.part(slice(None))) == fingerprint(whole)
    assert fingerprint(whole.part(slice(1, None))) != fingerprint(
        whole.part(slice(2, None))
    )


@pytest.mark.parametrize("number", [1, 2, 255, 256, 257, 511, 512, 513, 10_000])
def test_a_sample_is_evenly_spaced_and_small(number):
    places = list(evenly(number))
    assert places[0] == 0 and len(places) == min(number, len(places)) <= 256
    assert len({b - a for a, b in pairwise(places)}) <= 1
    assert number - places[-1] <= places[1] if len(places) > 1 else True
    assert len(places) > 128 or len(places) == number


def test_a_tensor_is_its_own_sample():
    assert sampled(X) is X
    assert torch.equal(chosen(X, [3]), X[[3]])
    assert len(sampled(Items(TensorDataset(X[:1].repeat(600, 1, 1, 1))))) == 200


# --- streams


def epochs(epoch):
    r"""5, 6 or 7 numbers: 100 epoch + i."""
    return iter([torch.tensor([100.0 * epoch + i]) for i in range(5 + epoch % 3)])


def read(stream, count, position=0, lengths=(), shuffle=True):
    walk = stream.walk(3, position, list(lengths), shuffle)
    return [int(next(walk)[0]) for _ in range(count)]


ALL = [100 * e + i for e in range(9) for i in range(5 + e % 3)]


def by_hand(window):
    r"""The order of a stream by its definition, epoch by epoch and window by window."""
    order = []
    for epoch in range(9):
        there = [100 * epoch + i for i in range(5 + epoch % 3)]
        for number, start in enumerate(range(0, len(there), window)):
            block = there[start : start + window]
            generator = generator_for(SHUFFLE, 3, epoch, number)
            order += [block[i] for i in torch.randperm(len(block), generator=generator)]
    return order


@pytest.mark.parametrize("window", [1, 2, 3, 5, 100])
def test_a_stream_is_shuffled_in_windows(window):
    stream = Stream(epochs, window=window)
    assert read(stream, 40) == by_hand(window)[:40]
    assert read(stream, 40, shuffle=False) == ALL[:40]
    assert (by_hand(window) == ALL) == (window == 1)


@pytest.mark.parametrize("window", [1, 3, 100])
@pytest.mark.parametrize("known", [[], [5], [5, 6, 7, 5, 6, 7]])
def test_any_position_is_found_with_and_without_known_lengths(window, known):
    stream = Stream(epochs, window=window)
    for position in range(33):
        found = list(known)
        walk = stream.walk(3, position, found)
        got = [int(next(walk)[0]) for _ in range(9)]
        assert got == by_hand(window)[position : position + 9]
        assert found == [5, 6, 7, 5, 6, 7, 5, 6, 7][: len(found)]


def test_a_position_is_reached_by_skip_where_the_hub_has_it():
    opened = []

    class Skips(IterableDataset):
        def __init__(self, start=0):
            self.start = start

        def skip(self, n):
            return Skips(self.start + n)

        def __iter__(self):
            opened.append(self.start)
            return iter([torch.tensor([float(i)]) for i in range(self.start, 10)])

    stream = Stream(Skips(), window=2)
    opened.clear()
    assert sorted(read(stream, 2, 36, lengths=[10, 10, 10])) == [6, 7]
    assert opened == [6]


def test_what_is_no_stream_is_refused():
    with pytest.raises(TypeError, match="again and again"):
        Stream(iter([torch.zeros(1)]))
    with pytest.raises(TypeError, match="again and again"):
        Stream(3)
    with pytest.raises(ValueError, match="is empty"):
        Stream(lambda epoch: iter([]))
    with pytest.raises(ValueError, match="window"):
        Stream(epochs, window=0)


def test_a_broken_example_of_a_stream_is_named():
    def broken(epoch):
        yield torch.zeros(1)
        if epoch:
            raise OSError("connection lost")

    with pytest.raises(Unreadable, match=r"example 1 in epoch 1 of .*connection lost"):
        read(Stream(broken, window=1), 4)

    def ends(epoch):
        return iter([] if epoch else [torch.zeros(1)])

    with pytest.raises(Unreadable, match="no example in epoch 1"):
        read(Stream(ends), 2)
