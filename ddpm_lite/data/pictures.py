r"""Pictures from a folder, or from parquet in the hub's layout, as one tensor.

Everything is decoded before it is returned, so that a broken picture is named before any
training starts. `data.load` is the way in.
"""

import hashlib
import io
import math
import os
import re
import tempfile
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from ..checks import check_integer, shown
from ..seeds import HELD_OUT, generator_for
from .examples import chosen
from .listing import several

SKIP = "or pass skip_broken=True (--skip-broken) to go on without"
LARGER = "pass a smaller size, or an .npy file, which stays on the disk, or lazy=True"
WIDE = "32-bit numbers do not say which is white: save 8 or 16 bits"
HEAVY = 16_384  # bytes a picture; below, threads take turns and take twice the time


@dataclass(frozen=True, eq=False)
class PictureSet:
    r"""Pictures of one size, and where they have classes, the class of each.

    x_0: uint8 (N, C, H, W), grey levels 0 .. levels - 1; not to be written to, for
    it may lie in a file; or `examples.Examples`, which are read when they are needed.
    y: int64 (N,), or None. classes: their names, () if there are none. name: a short one
    for messages. skipped: broken pictures that were left out. levels: how many equally
    spaced grey levels span [-1, 1]; 17 for the digits. told: what was understood of the
    files, and what was left out, in sentences.
    Raises ValueError for tensors that are not so.
    """

    x_0: torch.Tensor = field(repr=False)
    y: torch.Tensor | None = field(default=None, repr=False)
    classes: tuple[str, ...] = ()
    name: str = "pictures"
    skipped: tuple[str, ...] = ()
    levels: int = 256
    told: tuple[str, ...] = ()

    def __post_init__(self):
        check_integer("levels", self.levels, 2, 256)
        x_0, y = self.x_0, self.y
        if x_0.dtype != torch.uint8 or x_0.dim() != 4 or 0 in x_0.shape:
            got = f"{x_0.dtype} {tuple(x_0.shape)}"
            raise ValueError(f"x_0 must be uint8 (N, C, H, W), N >= 1, got {got}")
        if y is not None and (y.dtype != torch.int64 or y.shape != x_0.shape[:1]):
            got = f"{y.dtype} {tuple(y.shape)}"
            raise ValueError(f"y must be int64 ({len(x_0)},), got {got}")

    def __len__(self):
        return len(self.x_0)

    @property
    def shape(self):
        r"""The shape of one picture, (C, H, W)."""
        return tuple(self.x_0.shape[1:])

    @property
    def lazy(self):
        r"""Whether pictures are read when they are needed."""
        return not isinstance(self.x_0, torch.Tensor)

    def to_float(self, index=None):
        r"""The pictures, or those at an index, as float32 (n, C, H, W) in [-1, 1].

        index: int64 (n,), a mask or a slice; None is all.
        """
        chosen = self.x_0 if index is None else self.x_0[index]
        return 2 * chosen.float() / (self.levels - 1) - 1

    def split(self, hold_out):
        r"""Return (train, held_out): two sets without a common picture.

        hold_out: how many to hold out, an int in 1 .. N - 1, or their share, in (0, 1).
        Which ones is drawn, but always the same for the same N; both keep the order.
        Both are copies in memory, of pictures that lie there. Raises ValueError if either
        would be empty, or if memory does not suffice.
        """
        N, number = len(self), hold_out
        if isinstance(hold_out, float) and 0 < hold_out < 1:
            number = round(hold_out * N)
        if isinstance(number, bool | float) or not 1 <= number < N:
            raise ValueError(
                f"hold_out must leave a picture of {self.name}'s {N} on either side, as a "
                f"number or a share in (0, 1), got {hold_out!r}"
            )
        if isinstance(self.x_0, torch.Tensor):
            advice = "split it once, into two .npy files"
            refuse_too_large(self.name, self.x_0.shape, advice)
        order = torch.randperm(N, generator=generator_for(HELD_OUT))
        parts = order[number:].sort().values, order[:number].sort().values
        y = [None, None] if self.y is None else [self.y[part] for part in parts]
        return tuple(replace(self, x_0=chosen(self.x_0, parts[i]), y=y[i]) for i in (0, 1))

    def fingerprint(self):
        r"""16 hexadecimal digits of a hash of all pictures, labels, classes and levels.

        Of pictures that are read when they are needed, of their mark instead.
        """
        about = (tuple(self.x_0.shape), self.classes, self.levels, self.y is None)
        read = hashlib.sha256(repr(about).encode())
        if self.lazy:
            read.update(self.x_0.mark.encode())
        parts = [] if self.lazy else self.x_0.split(1024)
        for part in (*parts, *([] if self.y is None else [self.y])):
            read.update(part.contiguous().numpy())
        return read.hexdigest()[:16]


def check_size(size):
    r"""Return size as (H, W), or None; refuse what is not one or two integers >= 1."""
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(pair) != 2:
        raise ValueError(f"size must be an integer or (H, W), got {size!r}")
    return tuple(check_integer("size", side, 1) for side in pair)


def from_folder(found, name, size, channels, skip_broken):
    r"""Read every picture of a folder, which `folders.understand` has found.

    name: of the folder. Other arguments, errors and what is returned: see `data.load`.
    """
    refuse_closed(found, name, skip_broken)
    films = set()

    def picture(i):
        with open(found.paths[i], "rb") as file:
            return _opened(file.read(), films, i)

    total = sum(os.path.getsize(path) for path in found.paths if os.path.isfile(path))
    heavy = total > HEAVY * len(found.paths)
    x_0, kept, skipped = stacked(
        name, found.names, picture, heavy, size, channels, skip_broken
    )
    y = None if found.labels is None else torch.tensor(found.labels)[kept]
    skipped = (*found.unreadable, *skipped)
    told = (*found.told, *told_films(films, found.names))
    return PictureSet(x_0, y, found.classes, name, skipped, told=told)


def refuse_closed(found, name, skip_broken):
    r"""Refuse folders that cannot be listed: ValueError that names them."""
    if found.unreadable and not skip_broken:
        closed = [f"{inner} ({why})" for inner, why in found.unreadable.items()]
        raise ValueError(
            f"{len(closed):,} folders in {name} cannot be listed: {several(closed, '; ')}. "
            f"Open or remove them, {SKIP}"
        )


def named(folder):
    r"""The short name of a folder, for messages."""
    return shown(Path(folder).resolve().name or folder)


def from_hub(where, split, size, channels, skip_broken):
    r"""Read one split of a hub id, or of a local folder of parquet, with `datasets`.

    A folder is converted in a temporary folder, which is removed; what comes from the
    hub is kept where `datasets` keeps such things. Arguments, errors and what is
    returned: see `data.load`.
    """
    try:
        import datasets
    except ImportError as error:
        raise ImportError(
            f"to read {where} as parquet, or from the hub, install the library datasets: "
            "pip install 'ddpm-lite[data]'"
        ) from error
    name = named(where) if isinstance(where, Path) else where
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        table = _table(datasets, where, split, cache)
        image, label = _columns(datasets, table, name)
        rows = table.with_format("arrow")[:]  # still on the disk, mapped into memory
        encoded = rows.flatten().column(f"{image}.bytes")

        films = set()

        def picture(i):
            return _opened(encoded[i].as_py(), films, i)

        names = [f"row {i}" for i in range(len(table))]
        heavy = encoded.nbytes > HEAVY * len(names)
        x_0, kept, skipped = stacked(
            name, names, picture, heavy, size, channels, skip_broken
        )
        y, classes = None, ()
        if label is not None:
            y = torch.from_numpy(rows.column(label).fill_null(-1).to_numpy().copy())[kept]
            classes = tuple(table.features[label].names)
    if y is not None and (y < 0).any():  # the hub's way to say that a class is unknown
        y, classes = None, ()
    return PictureSet(x_0, y, classes, name, skipped, told=told_films(films, names))


def _table(datasets, where, split, cache):
    local = isinstance(where, Path)
    quiet = local and datasets.is_progress_bar_enabled()
    try:
        if quiet:
            datasets.disable_progress_bars()
        return datasets.load_dataset(
            str(where.resolve() if local else where),
            split=split,
            cache_dir=cache if local else None,
        )
    except Exception as error:  # of many kinds, and the reason is in the text of one
        reason = " ".join(str(error.__cause__ or error).split())
        if local or isinstance(error, ValueError):
            raise ValueError(f"{where} cannot be read: {reason}") from error
        raise ConnectionError(
            f"The hub does not give {where}: {reason}. Without a connection, pass a folder "
            "that holds what the hub has: data/train-00000-of-00001.parquet and README.md"
        ) from error
    finally:
        if quiet:
            datasets.enable_progress_bars()


def _columns(datasets, table, name):
    r"""The names of the column of pictures, and of the finest classes or None."""
    kinds = table.features.items()
    images = [column for column, kind in kinds if isinstance(kind, datasets.Image)]
    named = [column for column in images if column in ("image", "img")] or images
    if len(named) != 1:
        raise ValueError(
            f"{name} must have one column of pictures, or one that is named image, got "
            f"{images} among {table.column_names}"
        )
    labels = [column for column, kind in kinds if isinstance(kind, datasets.ClassLabel)]
    finest = max(labels, key=lambda c: table.features[c].num_classes, default=None)
    return named[0], finest


def stacked(name, names, picture, heavy, size, channels, skip_broken):
    r"""Decode picture(i), a PIL image, for each of the names.

    heavy: a pool of threads pays. Returns x_0 (n, C, H, W), the n indices, broken names.
    """
    from PIL import Image

    N, x_0, shape, C, colour = len(names), None, None, channels, False
    broken, sizes = {}, Counter()

    def decode(i):
        try:
            image = picture(i)
            several = len(sizes) > 1 or (shape and sorted(image.size) != sorted(shape))
            if several and not size:
                return image.size[::-1]  # an error already: do not decode
            image = upright(image, size)
            return np.asarray(image.convert("L") if channels == 1 else image)
        except Exception as error:  # a decoder raises what it likes on damaged bytes
            return reason(error)

    if size:  # what is surely too large is not scaled first
        refuse_too_large(name, (N, channels or 1, *size), LARGER)
    pool = ThreadPoolExecutor(os.cpu_count())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about metadata; pixels that fail do raise
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            for i, got in enumerate((pool.map if heavy else map)(decode, range(N))):
                if isinstance(got, str):
                    broken[i] = got
                    continue
                sizes[got if isinstance(got, tuple) else got.shape[:2]] += 1  # (H, W)
                if x_0 is None:
                    shape, C = got.shape[:2], channels or (1 if got.ndim == 2 else 3)
                    refuse_too_large(name, (N, C, *shape), LARGER)
                    x_0 = np.empty((N, C, *shape), np.uint8)
                if len(sizes) > 1:
                    continue
                colour = C == 1 and got.ndim == 3
                if colour:
                    break
                x_0[i] = got if got.ndim == 2 else got.transpose(2, 0, 1)
        finally:
            pool.shutdown(cancel_futures=True)
    if colour:  # the first ones were grey, so that there was room for one channel only
        return stacked(name, names, picture, heavy, size, 3, skip_broken)
    refuse_broken(name, names, broken, skip_broken)
    refuse_sizes(name, sizes)
    kept = [i for i in range(N) if i not in broken]
    for place, i in enumerate(kept):
        if place != i:  # in place, so that memory holds the pictures once
            x_0[place] = x_0[i]
    return torch.from_numpy(x_0)[: len(kept)], kept, tuple(names[i] for i in broken)


def refuse_broken(name, names, broken, skip_broken):
    r"""Refuse broken pictures, {i: why}; with skip_broken, only if all are: ValueError."""
    if broken and (not skip_broken or len(broken) == len(names)):
        listed = several([f"{names[i]} ({reason})" for i, reason in broken.items()], "; ")
        raise ValueError(
            f"{len(broken):,} of {len(names):,} pictures of {name} cannot be read: "
            f"{listed}. Mend or remove them, {SKIP}"
        )


def refuse_sizes(name, sizes):
    r"""Refuse several sizes, {(H, W): how many}: ValueError."""
    if len(sizes) > 1:
        found = [f"{H} x {W} ({n:,})" for (H, W), n in sizes.most_common()]
        raise ValueError(
            f"the pictures of {name} have {len(sizes)} sizes, height x width: "
            f"{several(found)}; pass size, such as size=64, to scale and cut them to one"
        )


def _opened(encoded, films, i):
    r"""Picture i as PIL opens it; i goes into `films` where its file holds several."""
    from PIL import Image

    if not encoded:
        raise ValueError("0 bytes")
    image = Image.open(io.BytesIO(encoded))
    if is_film(image):
        films.add(i)
    return image


def is_film(image):
    r"""Whether a PIL image is the first one of several in its file."""
    with suppress(Exception):  # a second picture that is broken does not matter
        return image.is_animated and image.format != "PSD"  # whose layers are one picture
    return False


def told_films(films, names):
    r"""A sentence on files with several pictures, in a tuple; else none."""
    some = several([names[i] for i in sorted(films)])
    what = f"{len(films):,} file{'s' * (len(films) > 1)} with several (films, pages)"
    return (f"only the first picture is read of {what}: {some}",) if films else ()


def upright(image, size):
    r"""Decode a PIL image to 8 bits, mode L or RGB, upright, and cut it to (H, W)."""
    from PIL import Image, ImageOps

    if size:  # JPEG can leave out detail that LANCZOS would average away
        image.draft(None, (3 * max(size), 3 * max(size)))
    ImageOps.exif_transpose(image, in_place=True)
    grey = is_grey(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format != "TIFF"):
        wide = np.asarray(image).astype(np.int64)  # 0 .. 65535 = 255 * 257
        image = Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(WIDE)
    elif image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    image = image.convert("L" if grey else "RGB")
    if size:
        image = ImageOps.fit(image, size[::-1], Image.Resampling.LANCZOS)
    return image


def is_grey(image):
    r"""Whether a PIL image is stored in grey."""
    return image.mode[0] in "1LI" or (
        image.mode == "P"
        and not np.ptp(np.reshape(image.getpalette(), (-1, 3)), axis=1).any()
    )


def reason(error):
    r"""Why a picture cannot be read, in words."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not a picture that Pillow reads"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())[:100] or type(error).__name__


def refuse_too_large(name, shape, advice):
    r"""Refuse what memory does not hold: ValueError."""
    need, free = math.prod(shape), free_memory()
    if need > free:
        raise ValueError(
            f"{name}, {tuple(shape)} bytes, needs {need / 1e9:.1f} GB of memory and "
            f"{free / 1e9:.1f} GB are free: {advice}"
        )


def free_memory():
    r"""Bytes that may still be used; infinity where that is not known."""
    about, limit = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")
    free = math.inf
    if about.is_file():
        free = 1024 * int(re.search(r"MemAvailable:\s+(\d+)", about.read_text())[1])
    elif "SC_PHYS_PAGES" in getattr(os, "sysconf_names", ()):
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if limit.is_file() and limit.read_text().strip() != "max":  # of a container
        free = min(free, int(limit.read_text()))
    return free
