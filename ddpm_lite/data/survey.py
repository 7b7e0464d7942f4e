r"""How many pictures there are and how large they are, before they are read."""

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .folders import understand
from .series import load_series
from .sources import EMBEDDED, load

LOOK = 64  # pictures of a folder whose sizes are looked at, evenly spaced
UNKNOWN = 64  # height and width that pictures of several sizes are taken to have


@dataclass(frozen=True)
class Survey:
    r"""number: of pictures. height, width: in pixels, the median where they differ.

    one_size: whether they all have it. channels: 1 or 3.
    """

    number: int
    height: int
    width: int
    one_size: bool
    channels: int


def survey(name, *, split="train", labels=True, folders="auto"):
    r"""Look at the pictures that `load` would read: a Survey.

    Of a folder, `LOOK` pictures are opened and none is decoded. What cannot be opened is
    left out: `load` says what is wrong with it. Arguments and errors: see `load`.
    """
    path = Path(name).expanduser()
    parquet = folders == "auto" and [*path.glob("*.parquet"), *path.glob("*/*.parquet")]
    if name not in EMBEDDED and path.is_dir() and not parquet:
        return _of_folder(understand(path, split, labels, folders))
    how = dict(split=split, labels=labels, folders=folders)
    try:
        found, one_size = load(name, **how), True
    except ValueError:  # perhaps of several sizes
        found, one_size = load(name, size=UNKNOWN, **how), False
    C, H, W = found.shape
    return Survey(len(found), H, W, one_size, C)


def survey_of_series(path):
    r"""The same of a file of series, see `load_series`: their length is the width."""
    found = load_series(path)
    C, L = found.shape
    return Survey(len(found), 1, L, True, C)


def _of_folder(found):
    from PIL import Image

    sizes, grey = [], True
    for path in found.paths[:: -(-len(found.paths) // LOOK)]:
        try:
            with Image.open(path) as image:
                late = image.format == "PNG" and "exif" not in image.info
                turned = not late and image.getexif().get(274, 1) > 4  # on its side
                sizes.append(image.size[::-1] if not turned else image.size)
                grey = grey and image.mode in ("1", "L", "LA", "I;16", "I", "F")
        except (OSError, ValueError):
            continue
    sizes = sizes or [(UNKNOWN, UNKNOWN)]
    H, W = (int(median(side)) for side in zip(*sizes, strict=True))
    return Survey(len(found.paths), H, W, len(set(sizes)) == 1, 1 if grey else 3)
