r"""Series of numbers, such as sounds and signals of sensors, from a file.

A series has C channels of L numbers each. Every channel is brought to mean 0 and deviation
1 over all series of the file; the scale stays with them, so that samples go back to the
units of the file.
"""

import csv
import hashlib
import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from ..checks import check_integer, short, shown
from ..seeds import HELD_OUT, generator_for

ENDINGS = (".npy", ".npz", ".csv")
WINDOWS = "a[: len(a) // 256 * 256].reshape(-1, 256)"  # of one long recording


@dataclass(frozen=True, eq=False)
class SeriesSet:
    r"""Series of one length, and where they have classes, the class of each.

    x_0: float32 (N, C, L), scaled. y: int64 (N,), or None. classes: their names, () if
    there are none. name: a short one for messages. told: what was understood of the file,
    in sentences. scale: {"mean": C numbers, "std": C numbers}; x_0 is (file - mean) / std.
    `levels` is None: there are no grey levels. Raises ValueError for tensors that are not
    so.
    """

    x_0: torch.Tensor = field(repr=False)
    y: torch.Tensor | None = field(default=None, repr=False)
    classes: tuple[str, ...] = ()
    name: str = "series"
    told: tuple[str, ...] = ()
    scale: dict | None = None
    skipped: tuple[str, ...] = ()
    levels: None = None

    def __post_init__(self):
        x_0, y = self.x_0, self.y
        if x_0.dtype != torch.float32 or x_0.dim() != 3 or 0 in x_0.shape:
            got = f"{x_0.dtype} {tuple(x_0.shape)}"
            raise ValueError(f"x_0 must be float32 (N, C, L), N >= 1, got {got}")
        if y is not None and (y.dtype != torch.int64 or y.shape != x_0.shape[:1]):
            got = f"{y.dtype} {tuple(y.shape)}"
            raise ValueError(f"y must be int64 ({len(x_0)},), got {got}")

    def __len__(self):
        return len(self.x_0)

    @property
    def lazy(self):
        r"""Whether they are read when they are needed: never."""
        return False

    @property
    def shape(self):
        r"""The shape of one series, (C, L)."""
        return tuple(self.x_0.shape[1:])

    def to_float(self, index=None):
        r"""The series, or those at an index, float32 (n, C, L), as they are trained on."""
        return self.x_0 if index is None else self.x_0[index]

    def split(self, hold_out):
        r"""Return (train, held_out): two sets without a common series.

        hold_out: how many to hold out, an int in 1 .. N - 1, or their share, in (0, 1).
        Which ones is drawn, but always the same for the same N; both keep the order.
        Raises ValueError if either would be empty.
        """
        N, number = len(self), hold_out
        if isinstance(hold_out, float) and 0 < hold_out < 1:
            number = round(hold_out * N)
        if isinstance(number, bool | float) or not 1 <= number < N:
            raise ValueError(
                f"hold_out must leave one of {self.name}'s {N} series on either side, as "
                f"a number or a share in (0, 1), got {hold_out!r}"
            )
        order = torch.randperm(N, generator=generator_for(HELD_OUT))
        parts = order[number:].sort().values, order[:number].sort().values
        y = [None, None] if self.y is None else [self.y[part] for part in parts]
        return tuple(replace(self, x_0=self.x_0[parts[i]], y=y[i]) for i in (0, 1))

    def fingerprint(self):
        r"""16 hexadecimal digits of a hash of all series, labels, classes and the scale."""
        about = (tuple(self.x_0.shape), self.classes, self.scale, self.y is None)
        read = hashlib.sha256(repr(about).encode())
        for part in (self.x_0, *([] if self.y is None else [self.y])):
            read.update(part.contiguous().numpy())
        return read.hexdigest()[:16]

    def scaled_as(self, scale):
        r"""The same series on the scale of others, such as those that a run began with."""
        if scale in (None, self.scale):
            return self
        x_0 = scaled(in_units(self.x_0.double(), self.scale), scale).float()
        return replace(self, x_0=x_0, scale=scale)


def scaled(x, scale):
    r"""Series in units of a file, on the scale that a network sees: (x - mean) / std.

    x: (N, C, L). scale: see `SeriesSet`; None leaves them as they are. Returns the same
    shape and dtype.
    """
    if scale is None:
        return x
    mean, std = (torch.tensor(scale[k], dtype=x.dtype)[:, None] for k in ("mean", "std"))
    return (x - mean.to(x.device)) / std.to(x.device)


def in_units(x_0, scale):
    r"""Series that a network drew, in units of the file: the inverse of `scaled`."""
    if scale is None:
        return x_0
    mean, std = (torch.tensor(scale[k], dtype=x_0.dtype)[:, None] for k in ("mean", "std"))
    return x_0 * std.to(x_0.device) + mean.to(x_0.device)


def load_series(path, *, size=None, labels=True):
    r"""Load the series of a file, all of them, as a `SeriesSet`.

    path: one of
    - an .npy file of numbers (N, L), N series of one channel, or (N, C, L);
    - an .npz file with one such array; or with `x`, and with `y`, whole numbers (N,), the
      class of each, or its name as text;
    - a .csv file of N rows of L numbers, with commas. A first row of words is a header and
      left out.

    Whole numbers become floats of the same units. size: the length wanted; of longer
    series the middle is cut out. None: as long as they are. labels: False leaves classes
    out. What was understood is in `.told`. Raises FileNotFoundError where there is no such
    file, and ValueError for numbers that are not finite, other shapes, fewer than two
    series, shorter ones than size, and a channel that does not vary.
    """
    path = Path(path).expanduser()
    where = shown(path)
    if not path.is_file() or path.suffix.lower() not in ENDINGS:
        kind = ValueError if path.exists() else FileNotFoundError
        got = "which this is not" if path.exists() else "and there is no such file"
        raise kind(f"series are read from an .npy, .npz or .csv file, {got}: {where}")
    array, y, header = _read(path, where)
    x, told = _as_series(array, where)
    told += header
    if size is not None:
        x, cut = _cut(x, check_integer("size", size, 1), where)
        told += cut
    _check_finite(x, where)
    scale = _scale_of(x, where)
    x_0 = scaled(torch.from_numpy(x.astype(np.float64)), scale).float()
    told += (f"each channel is brought to mean 0 and deviation 1; {_words(scale)}",)
    classes = ()
    if y is not None and labels:
        y, classes = _classes(y, len(x), where)
        told += (f"y holds {len(classes)} classes",)
    else:
        y = None
    return SeriesSet(x_0, y, classes, shown(path.stem), told, scale)


def shape_of(path):
    r"""(C, L) of the series in a file, or None where it holds none that are read so.

    Nothing but the header of an .npy file is read; raises nothing.
    """
    try:
        array = _read(Path(path).expanduser(), "")[0]
        return _as_series(array, "")[0].shape[1:]
    except (ValueError, OSError):
        return None


def is_plain(path):
    r"""Whether a file can only be series: an .npy file of floats (N, L)."""
    path = Path(path).expanduser()
    if path.suffix.lower() != ".npy" or not path.is_file():
        return False
    try:
        array = np.load(path, mmap_mode="r")
    except (ValueError, OSError, EOFError):
        return False
    return array.ndim == 2 and array.dtype.kind == "f"


def _read(path, where):
    r"""The array of a file, its labels or None, and what was understood, sentences."""
    try:
        if path.suffix.lower() == ".csv":
            array, told = _table(path)
            return array, None, told
        found = np.load(path, mmap_mode="r")
        if path.suffix.lower() == ".npy":
            return found, None, ()
        with found as arrays:
            names = arrays.files
            if len(names) == 1:
                return arrays[names[0]], None, ()
            if set(names) == {"x", "y"}:
                return arrays["x"], arrays["y"], ()
    except (ValueError, OSError, EOFError) as error:
        why = " ".join(str(error).split())
        if "Object arrays" in why and path.suffix.lower() == ".npz":  # numpy's words
            why += ": if it is y, text, save y=y.astype(str)"
        raise ValueError(f"{where} cannot be read: {why}") from error
    raise ValueError(
        f"{where} must hold one array, or x and y, got {', '.join(sorted(names)[:8])}: "
        "save them with np.savez(FILE, x=series, y=classes)"
    )


def _table(path):
    r"""The numbers of a .csv file, (N, L), and what was understood, sentences."""
    lines = _rows(path)
    top, first = next(lines, (0, []))
    words = all(s.strip() and not _is_number(s) for s in first)
    header, told = words and next(lines, None) is not None, ()
    if header:
        told = (f"line {top}, {short(first[0])} ..., is a header and left out",)
    elif len(first) > 2 and [s.strip() for s in first] == [*map(str, range(len(first)))]:
        told = ("its first row is 0, 1, 2 ...: if that is a header, delete it",)
    form = dict(delimiter=",", ndmin=2, encoding="utf-8-sig", quotechar='"')
    try:
        return np.loadtxt(path, skiprows=top * header, **form), told
    except ValueError as error:
        raise ValueError(_fault(path, header) or str(error)) from error


def _rows(path):
    r"""Yield (number, words) of each line of a .csv file that is no comment.

    Raises ValueError where there is none, or another sign than a comma parts them.
    """
    top = 0
    with open(path, encoding="utf-8-sig") as file:
        for i, line in enumerate(file, 1):
            line = line.split("#")[0].strip()
            sign = {";": "semicolons", "\t": "tabs"}.get(re.sub(r"[^;\t]", "", line)[:1])
            if line and sign and not top:
                commas = ", after its decimal commas by points" * ("," in line)
                raise ValueError(f"{sign} part its numbers: replace them by commas{commas}")
            if line:
                top = top or i
                yield i, next(csv.reader([line]))
    if not top:
        raise ValueError("there is no line of numbers in it")


def _fault(path, header):
    r"""The first line of a .csv file that has no numbers, or too few or many; or ""."""
    rows = list(_rows(path))[header:]
    top, L = rows[0][0], len(rows[0][1])
    for i, row in rows:
        bad = [s for s in row if not _is_number(s)]
        if bad:
            more = ": if this line is a header, delete it" * (i == top and not header)
            return f"line {i} holds {short(bad[0])}, and all must be numbers{more}"
        if len(row) != L:
            return f"line {i} holds {len(row)} numbers, and line {top} {L}"
    return ""


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _as_series(array, where):
    r"""The array as float (N, C, L), and what was understood, a tuple of sentences."""
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{where} must hold numbers, floats or whole, got {array.dtype}")
    if array.ndim == 1:
        raise ValueError(
            f"{where} must hold N series, (N, L) or (N, C, L), got one of {array.shape}: "
            f"cut a long recording into windows, such as {WINDOWS}"
        )
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise ValueError(
            f"{where} must hold N series, (N, L) or (N, C, L), got {array.shape}"
        )
    if array.ndim == 3 and array.shape[1] > array.shape[2]:
        raise ValueError(
            f"{where} must hold series (N, C, L), got {array.shape}, more channels than "
            "numbers: if channels come last, save a.transpose(0, 2, 1)"
        )
    N, L = array.shape[0], array.shape[-1]
    C = array.shape[1] if array.ndim == 3 else 1
    if N < 2:
        raise ValueError(f"{where} must hold two series or more, got {N}")
    channels = f"{C} channels" if C > 1 else "one channel"
    told = (f"read as {N:,} series of length {L}, {channels}",)
    if array.dtype.kind != "f":
        told += (f"{array.dtype} became floats, in the same units",)
    return array.reshape(N, C, L), told


def _cut(x, size, where):
    L = x.shape[2]
    if size > L:
        raise ValueError(
            f"{where} holds series of length {L}, which are shorter than {size}: take "
            f"--size {L} or less"
        )
    start = (L - size) // 2
    told = (f"the middle {size} of {L} numbers are cut out (--size)",) * (size < L)
    return x[:, :, start : start + size], told


def _check_finite(x, where):
    bad = ~np.isfinite(x).all((1, 2))
    if bad.any():
        raise ValueError(
            f"{where} must hold finite numbers, got NaN or infinity in {int(bad.sum()):,} "
            f"of {len(x):,} series, first in series {int(bad.argmax())}: leave them out"
        )


def _scale_of(x, where):
    r"""Mean and deviation of each channel: five digits of the deviation are kept.

    Rounded, so that every machine finds the same, and with it the same fingerprint.
    """
    mean, std = [], []
    for c in range(x.shape[1]):
        channel = x[:, c].astype(np.float64)
        m, s = float(channel.mean()), float(channel.std())
        if not s > 1e-10 * abs(m):  # less is rounding
            raise ValueError(
                f"{where}: channel {c} does not vary (all are near {m:.6g}), and there is "
                "nothing to learn in it: leave it out"
            )
        digits = 5 - math.floor(math.log10(s))
        mean.append(round(m, digits))
        std.append(round(s, digits))
    return {"mean": mean, "std": std}


def _words(scale):
    pairs = [
        f"mean {m:.6g}, deviation {s:.6g}" for m, s in zip(*scale.values(), strict=True)
    ]
    more = f", ... ({len(pairs)} in all)" * (len(pairs) > 4)
    return "it had " + "; ".join(pairs[:4]) + more


def _classes(y, N, where):
    if y.shape != (N,) or y.dtype.kind not in "iuU":
        raise ValueError(
            f"y in {where} must hold {N} whole numbers, or names of classes as text, got "
            f"{y.dtype} {y.shape}: save y=y.astype(int) or y=y.astype(str)"
        )
    values, index = np.unique(y, return_inverse=True)
    if "" in values:
        raise ValueError(
            f"y in {where} has no name for series {int((y == '').argmax())}: give it one"
        )
    return torch.from_numpy(index.astype(np.int64)), tuple(str(v) for v in values)
