r"""Other people's datasets as Examples: torch's map style, and the hub's `datasets`.

An item is x, a pair (x, y), or a dictionary with a picture and perhaps a label.
"""

from numbers import Integral

import numpy as np
import torch

from ..checks import short
from .examples import Examples, Unreadable
from .pictures import upright

PICTURES = ("image", "img", "pixel_values", "x")  # keys under which pictures are found
LABELS = ("label", "labels", "fine_label", "y")


class Items(Examples):
    r"""A map style dataset, whose item i is read when it is needed.

    dataset: has a length and `dataset[i]`: x, (x, y) or a dictionary. x: a PIL image, or a
    tensor or an array of numpy: uint8 (C, H, W) or (H, W), or floating point (*shape). y:
    an int. image, label: the keys in a dictionary, found by usual names where they are
    None; label=False leaves labels out. channels: 1 or 3 for PIL images, None as item 0
    has it. name: for messages. Raises TypeError or ValueError for a first item that is not
    so, and Unreadable, which names the item, for a later one that is not as the first.
    """

    def __init__(self, dataset, *, image=None, label=None, channels=None, name=None):
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(
                f"a map style dataset has a length and [i], and {short(dataset)} has "
                f"not{as_items(dataset)}"
            )
        if not len(dataset):
            raise ValueError("the dataset is empty")
        self.dataset, self.name = dataset, name or name_of(dataset)
        self.reading = Reading(dataset[0], self.at(0), image, label, channels)
        made = self.reading
        super().__init__(len(dataset), made.shape, made.dtype, made.labelled)

    def read(self, i):
        r"""Item i as x and its label."""
        try:
            item = self.dataset[i]
        except Exception as error:  # a dataset raises what it likes
            raise Unreadable(f"{self.at(i)} cannot be read: {why(error)}") from error
        return self.reading.read(item, self.at(i))


class Reading:
    r"""How items become x and y: by keys, shape and dtype of a first one.

    item: the first one, and `at` what it is called. Other arguments: those of `Items`.
    """

    def __init__(self, item, at, image=None, label=None, channels=None):
        if channels not in (None, 1, 3):
            raise ValueError(f"channels must be 1, 3 or None, got {channels!r}")
        self.image, self.label, self.channels, self.of = image, label, channels, at
        if isinstance(item, dict):
            self.image = image or _key(item, PICTURES, at)
            self.label = _known(item, LABELS) if label is None else label
        x, y = self._apart(item)
        try:
            x = tensor_of(x, channels)
        except (TypeError, ValueError) as error:
            more = _of_the_hub(x, item, self.image)
            raise type(error)(f"{at}: {error}{more}") from error
        if channels is None and x.dim() == 3:
            self.channels = len(x) if len(x) in (1, 3) else None
        self.shape, self.dtype, self.labelled = x.shape, x.dtype, y is not None
        if self.labelled and not isinstance(y, int):
            raise TypeError(
                f"{at} has {short(y)} as its label, which must be an int: name another "
                "with label=, or leave labels out, label=False"
            )

    def read(self, item, at):
        r"""x and y of an item, which must be as the first one is: else Unreadable."""
        try:
            x, y = self._apart(item)
            x = tensor_of(x, self.channels)
        except Exception as error:  # pictures are decoded here, and decoders raise anything
            raise Unreadable(f"{at} cannot be read: {why(error)}") from error
        if (x.shape, x.dtype) != (self.shape, self.dtype):
            raise Unreadable(
                f"{at} is {x.dtype} {tuple(x.shape)}, and {self.of} is {self.dtype} "
                f"{tuple(self.shape)}: make all alike"
            )
        if isinstance(y, int) != self.labelled or not isinstance(y, int | None):
            what = "an int as its label" if self.labelled else "no label"
            raise Unreadable(f"{at} must have {what}, as {self.of} has, got {short(y)}")
        if x.is_floating_point() and not torch.isfinite(x).all():
            raise Unreadable(f"{at} has NaN or infinity")
        return x, y

    def _apart(self, item):
        x, y = item, None
        if isinstance(item, dict):
            x, y = item[self.image], item[self.label] if self.label else None
        elif isinstance(item, tuple | list) and len(item) in (1, 2):
            x, y = (*item, None)[:2]
        if self.label is False:
            return x, None
        if isinstance(y, torch.Tensor | np.ndarray | np.generic):
            y = y.item()
        whole = isinstance(y, Integral) and not isinstance(y, bool)
        return x, int(y) if whole else y


def tensor_of(x, channels=None):
    r"""A picture or numbers as a tensor: uint8 (C, H, W), or floating point (*shape).

    x: a PIL image, which becomes upright and 8 bits, in grey for channels 1 and in colour
    for 3; a tensor or an array. Raises TypeError or ValueError for others.
    """
    turn = "permute" if isinstance(x, torch.Tensor) else "transpose"
    if hasattr(x, "getbands"):  # PIL's
        image = upright(x.copy(), None)
        grey = channels == 1 or (channels is None and image.mode == "L")
        x = np.array(image.convert("L" if grey else "RGB"))
        x = x[None] if grey else x.transpose(2, 0, 1)
    if isinstance(x, np.ndarray):
        x = torch.from_numpy(np.ascontiguousarray(x))
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"x must be a picture, a tensor or an array, got {short(x)}")
    if x.is_floating_point():
        if not x.dim() or 0 in x.shape:
            raise ValueError(f"x must be (*shape), at least one number, got {x.shape}")
        return x.detach()
    if x.dtype != torch.uint8 or x.dim() not in (2, 3) or 0 in x.shape:
        raise TypeError(
            "x must be floating point, or uint8 (C, H, W) or (H, W), got "
            f"{x.dtype} {tuple(x.shape)}"
        )
    if x.dim() == 3 and len(x) not in (1, 3) and x.shape[2] in (1, 3):
        raise ValueError(f"x must be (C, H, W), got {tuple(x.shape)}: x.{turn}(2, 0, 1)")
    return x[None] if x.dim() == 2 else x


def as_items(data):
    r"""How data that is no tensor is handed over, for an error; see docs/data.md."""
    kind = type(data).__module__.partition(".")[0], type(data).__name__
    if kind == ("torch", "DataLoader"):
        return ": pass its dataset, loader.dataset, for the trainer makes the batches"
    if kind == ("numpy", "ndarray"):
        return ": pass torch.from_numpy(data)"
    if kind[1] in ("PictureSet", "SeriesSet"):
        return ": pass data.x_0, and y=data.y, levels=data.levels or 256"
    if kind == ("datasets", "DatasetDict"):
        return f": pass one of its splits, {', '.join(map(repr, data))}"
    if hasattr(data, "__next__"):
        return (
            ", which can be read once only: data.Stream(f) takes a function f(epoch) that "
            "makes it again"
        )
    if isinstance(data, str) or hasattr(data, "__fspath__"):
        return ": data.load(...) reads files, pass its .x_0"
    return (
        ": data.Items takes what has a length and [i], such as a list of tensors, "
        "data.Stream what can only be iterated (docs/data.md)"
    )


def _of_the_hub(x, item, key):
    r"""How the hub's `datasets` gives numbers as tensors and not as lists, for an error."""
    if not (isinstance(x, list) and isinstance(item, dict)):
        return ""
    leaf = x
    while isinstance(leaf, list) and leaf:
        leaf = leaf[0]
    whole = ", dtype=torch.uint8" * isinstance(leaf, int)
    return (
        f"; lists of numbers become tensors if you pass the dataset of the hub as "
        f'dataset.with_format("torch", columns=[{key!r}], output_all_columns=True{whole})'
    )


def name_of(source):
    r"""What a dataset or a function is called in messages and in config.json."""
    kind = source if hasattr(source, "__qualname__") else type(source)
    return f"{kind.__module__}.{kind.__qualname__}"


def why(error):
    r"""The reason of an error in one short line."""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _known(item, names):
    return next((name for name in names if name in item), None)


def _key(item, names, at):
    pictures = [name for name, value in item.items() if hasattr(value, "getbands")]
    key = _known(item, names) or (pictures[0] if len(pictures) == 1 else None)
    if key is None:
        raise ValueError(
            f"{at} has {', '.join(map(str, item))}, and which is the picture is not clear: "
            "name it, image="
        )
    return key
