r"""Pictures from an .npy or .npz file, and advice where an array is none of pictures.

An .npy file is mapped into memory and may be larger than that.
"""

import shlex
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch

from ..checks import shown
from .listing import several
from .pictures import PictureSet, stacked
from .ranges import brightest, to_grey

LOOK = 4096  # rows of which the range is taken, evenly spaced, to advise


def from_array(path, size, channels):
    r"""Read the pictures of an .npy file, or of an .npz file that holds one array.

    uint8 (N, H, W), with C last or first. The tensor cannot be written to where the file
    is mapped. Pictures are read into memory where size or channels ask for others than
    the file has. Arguments, errors and what is returned: see `data.load`.
    """
    from PIL import Image

    where, name = shown(path), shown(Path(path).stem)
    array, read = _opened(path, where)
    _check_numbers(array, where, read, where)
    array, layout = _channels_first(array, where)
    with warnings.catch_warnings(action="ignore"):  # that it cannot be written to
        x_0 = torch.from_numpy(array)
    if brightest(x_0, 1) == 1:
        raise ValueError(
            f"{where} holds 0 and 1 alone, of 0 to 255: if 1 is white, "
            f"{_line(read, '255 * a')}; else all is black, and there is nothing to learn"
        )
    N, C, H, W = x_0.shape
    told = (f"read as {layout}",)
    if size in (None, (H, W)) and channels in (None, C):
        return PictureSet(x_0, name=name, told=told)

    def picture(i):
        return Image.fromarray(array[i, 0] if C == 1 else array[i].transpose(1, 2, 0))

    names = [f"row {i}" for i in range(N)]
    x_0, _, _ = stacked(name, names, picture, False, size, channels, False)
    return PictureSet(x_0, name=name, told=told)


def _opened(path, where):
    r"""The array of a file, and the code that reads it, for advice."""
    quoted = repr(str(path)) if str(path).isprintable() else "FILE"
    read = f"np.load({quoted})"
    try:
        with open(path, "rb") as file:
            if file.read(2) != b"PK":  # "c" is refused for more than memory holds
                return np.load(path, mmap_mode="r"), read
            file.seek(0)
            with np.load(file) as arrays:
                found = arrays.files
                if len(found) == 1:
                    return arrays[found[0]], f"{read}[{found[0]!r}]"
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        kind = Path(path).suffix.lower()
        why = " ".join(str(error).split())
        why += ": pictures of several sizes go into a folder" * (
            "pickle" in why or "objects" in why
        )
        raise ValueError(f"{where} is no readable {kind} file: {why}") from error
    more = f" ({as_series(where)})" * ({"x", "y"} == set(found))
    raise ValueError(
        f"{where} must hold one array, got {len(found)}: {several(found)}{more}; save the "
        f"pictures alone, np.save('pictures.npy', {read}['NAME'])"
    )


def _check_numbers(array, where, read, path="FILE"):
    r"""Refuse all but uint8, with the line of numpy that mends what came: ValueError."""
    if array.dtype == np.uint8:
        return
    what = f"{where} must hold uint8, 0 to 255, got {array.dtype}"
    if array.dtype.kind not in "biuf":
        more = "np.abs(a)" if array.dtype.kind == "c" else "the grey levels of pictures"
        raise ValueError(f"{what}, which are no grey levels: save {more}")
    some = np.asarray(array[:: max(1, len(array) // LOOK)] if array.ndim else array)
    if some.size == 0:
        raise ValueError(f"{what} {array.shape}: there is no picture")
    if array.dtype == bool:
        line = _line(read, "255 * a.astype('uint8')")
        raise ValueError(f"{what}: if True is white, {line}")
    finite = np.isfinite(some)
    if not finite.all():
        raise ValueError(
            f"{what} with NaN or infinity in {1 - finite.mean():.2g} of the values: mend "
            "what made them, np.nan_to_num(a) makes them 0"
        )
    low, high = some.min(), some.max()
    change, condition = to_grey(low, high, array.dtype.kind == "f")
    raise ValueError(
        f"{what} from {low:.4g} to {high:.4g}{_or_series(array, path)}: "
        f"if {condition}, {_line(read, change)}"
    )


def _or_series(array, path):
    r"""How to read as series what may be some, numbers (N, L) or (N, C, L)."""
    series = array.ndim in (2, 3) and array.dtype.kind in "iuf"
    return f" ({as_series(path)})" * series


def as_series(path):
    r"""The command that takes a file as one of series, which nobody asked for so far."""
    return f"if these are series: ddpm-lite train series --data {shlex.quote(str(path))}"


def _line(read, change):
    return f"a = {read}; np.save('pictures.npy', {change})"


def _channels_first(array, where):
    r"""The array as (N, C, H, W), and how it was read in words."""
    last, first = (array.ndim == 4 and array.shape[axis] in (1, 3) for axis in (3, 1))
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and 0 not in array.shape:
        return array[:, None], f"(N, H, W) = {array.shape}"
    if last == first or 0 in array.shape:
        raise ValueError(
            f"{where} must hold N >= 1 pictures, (N, H, W), (N, H, W, C) or (N, C, H, W) "
            f"with C 1 or 3 and no doubt which, got {array.shape}"
            + ", which could be either" * (last and first)
            + "; one picture is (1, H, W, C)" * (array.ndim == 3)
            + _or_series(array, where) * (array.ndim == 2)
        )
    if last:
        return array.transpose(0, 3, 1, 2), f"(N, H, W, C) = {array.shape}"
    return array, f"(N, C, H, W) = {array.shape}"
