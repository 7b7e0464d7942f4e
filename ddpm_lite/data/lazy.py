r"""Folders of very many pictures: headers now, pixels when a step needs them.

Headers tell sizes and colours, so that a folder of several sizes is still refused at the
start. Memory holds names, and the pictures of a few steps.
"""

import hashlib
import os
import warnings
from collections import Counter

import numpy as np
import torch

from . import pictures
from .examples import LOOK, Examples, Unreadable
from .pictures import (
    WIDE,
    PictureSet,
    is_film,
    is_grey,
    reason,
    refuse_broken,
    refuse_closed,
    refuse_sizes,
    told_films,
    upright,
)

MANY = 50_000  # files; more are read when they are needed, where nobody says otherwise
TURNED = (5, 6, 7, 8)  # EXIF orientations in which height and width change places


class Files(Examples):
    r"""Pictures in files, each read when it is needed: uint8 (C, H, W).

    names, paths, sizes: of the files, with their sizes in bytes. shape: (C, H, W). size:
    what each picture is scaled and cut to, or None.
    """

    kind = "files"

    def __init__(self, name, names, paths, sizes, shape, size):
        super().__init__(len(names), shape, torch.uint8)
        self.name, self.names, self.paths, self.size = name, names, paths, size
        files = "\n".join(f"{n} {s}" for n, s in zip(names, sizes, strict=True))
        about = f"{tuple(self.shape)} {size}\n{files}".encode()
        self._mark = hashlib.sha256(about).hexdigest()[:16]

    @property
    def mark(self):
        r"""A hash of names, sizes in bytes and order of the files, and of the shape."""
        return self._mark

    def at(self, i):
        r"""What picture i is called."""
        return f"{self.names[i]} in {self.name}"

    def read(self, i):
        r"""Picture i, and None for its label. Raises Unreadable."""
        from PIL import Image

        C, H, W = self.shape[1:]
        try:
            with (
                warnings.catch_warnings(action="ignore"),
                Image.open(self.paths[i]) as file,
            ):
                image = upright(file, self.size).convert("L" if C == 1 else "RGB")
        except Exception as error:  # a decoder raises what it likes on damaged bytes
            raise Unreadable(f"{self.at(i)} cannot be read: {reason(error)}") from error
        x = np.array(image)
        if x.shape[:2] != (H, W):
            raise Unreadable(
                f"{self.at(i)} is {x.shape[0]} x {x.shape[1]} now, not {H} x {W}"
            )
        x = x[None] if C == 1 else np.ascontiguousarray(x.transpose(2, 0, 1))
        return torch.from_numpy(x), None


def too_many(found, size, channels):
    r"""Whether pictures are not to be read at once: they are many, or fill the memory."""
    H, W = size or (1, 1)
    need = len(found.paths) * (channels or 3) * H * W
    return len(found.paths) > MANY or need > pictures.free_memory()


def on_demand(found, name, size, channels, skip_broken):
    r"""The pictures of a folder as a PictureSet of `Files`; all headers are read now.

    found: by `folders.understand`. name: of the folder. The other arguments, and errors:
    see `data.load`.
    """
    refuse_closed(found, name, skip_broken)
    broken, shapes, films, sizes, colour = {}, Counter(), set(), {}, False
    for i, path in enumerate(found.paths):
        try:
            sizes[i] = os.path.getsize(path)
            shape, grey, film = _header(path, size)
        except Exception as error:  # a decoder raises what it likes on damaged bytes
            broken[i] = reason(error)
            continue
        shapes[shape] += 1
        colour = colour or not grey
        if film:
            films.add(i)
    refuse_broken(name, found.names, broken, skip_broken)
    if not size:
        refuse_sizes(name, shapes)
    kept = [i for i in range(len(found.paths)) if i not in broken]
    of = [[all_of[i] for i in kept] for all_of in (found.names, found.paths, sizes)]
    H, W = size or next(iter(shapes))
    x_0 = Files(name, *of, (channels or (3 if colour else 1), H, W), size)
    y = None if found.labels is None else torch.tensor(found.labels)[kept]
    told = (
        f"pictures are read when they are needed (lazy): {len(kept):,} headers are read, "
        f"and what is said of all of them is said of {min(LOOK, len(kept))}, evenly spaced",
        *found.told,
        *told_films(films, found.names),
    )
    skipped = (*found.unreadable, *(found.names[i] for i in broken))
    return PictureSet(x_0, y, found.classes, name, skipped, told=told)


def _header(path, size):
    r"""(H, W) of an upright picture, whether it is grey, whether others follow it."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
                raise ValueError(WIDE)
            W, H = image.size
            if not size and H != W and image.getexif().get(0x0112) in TURNED:
                H, W = W, H
            return (H, W), is_grey(image), is_film(image)
