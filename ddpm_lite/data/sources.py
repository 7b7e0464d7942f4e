r"""Where pictures come from: those that come along, a name, a path or a hub id.

`load` takes whatever a user has and finds the reader in `pictures` for it.
"""

import difflib
import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..checks import check_integer, check_name, shown
from .arrays import as_series, from_array
from .folders import READINGS, no_splits, understand
from .lazy import on_demand, too_many
from .listing import endings, listed, several
from .pictures import PictureSet, check_size, from_folder, from_hub, named
from .ranges import brightest, to_floats, told_range
from .series import is_plain, load_series

EMBEDDED = {"digits": (1, 8, 8), "clothes": (1, 28, 28)}  # what comes along, and its shape
UNSEEN = "held_out"  # the split of these on which nothing in this project trains
CLOTHES = Path(__file__).parent.parent / "clothes"
KINDS = ("T - shirt / top", "Trouser", "Pullover", "Dress", "Coat")  # as the hub has them
KINDS += ("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
HUB = ("ylecun/mnist", "zalando-datasets/fashion_mnist", "uoft-cs/cifar10")
OTHERS = {  # files that people have, and how they become something that is read
    ".csv": "write its rows as uint8 (N, H, W) with np.save('pictures.npy', rows)",
    ".h5": "write its pictures as uint8 with np.save('pictures.npy', pictures)",
    ".mat": "write its pictures as uint8 with np.save('pictures.npy', pictures)",
    ".parquet": "pass the folder that it lies in",
    ".pt": "np.save('pictures.npy', torch.load(FILE).numpy()), as uint8",
    ".tar": "unpack it, tar -xf FILE, and pass the folder",
    ".zip": "unpack it, python -m zipfile -e FILE pictures, and pass the folder",
}
OTHERS |= {".hdf5": OTHERS[".h5"], ".pth": OTHERS[".pt"], ".pkl": OTHERS[".mat"]}
OTHERS |= dict.fromkeys([".gz", ".tgz", ".bz2", ".xz"], OTHERS[".tar"])
HUB_ID = r"\w[\w.-]*/[\w.-]+"


def digits(split="train"):
    r"""Real handwritten digits, 8 by 8, embedded in scikit-learn: no download.

    split: "held_out" gives every fifth picture (i mod 5 = 4, 359 of 1,797), on which
    nothing in this project trains; "train" the other 1,438.
    Returns pictures float32 (n, 1, 8, 8) in [-1, 1], 17 grey levels, and their labels
    int64 (n,). Raises ValueError for another split. sklearn.datasets.load_digits.
    """
    from sklearn.datasets import load_digits

    _check_split(split)
    bunch = load_digits()
    held_out = np.arange(len(bunch.images)) % 5 == 4
    chosen = held_out if split == "held_out" else ~held_out
    pictures = torch.from_numpy(bunch.images[chosen]).float().unsqueeze(1)  # 0..16
    return check_pictures(pictures / 8 - 1), torch.from_numpy(bunch.target[chosen])


def clothes(split="train"):
    r"""2,000 pictures of Fashion-MNIST, 28 by 28, that come with the package: no download.

    split: "train" gives 1,000 pictures that were drawn from its training pictures, 100 of
    each class; "held_out" as many from its test pictures, on which nothing in this project
    trains. `figures/clothes.py` drew them. Picture i shows class i mod 10.
    Returns pictures float32 (1000, 1, 28, 28) in [-1, 1], 256 grey levels, and their labels
    int64 (1000,). Raises ValueError for another split.
    Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747; MIT licence, Zalando SE.
    """
    grey, y = _clothes(split)
    return check_pictures(2 * grey.float() / 255 - 1), y


def _clothes(split):
    r"""The same as uint8: a row of the file holds the pictures of a class."""
    from PIL import Image

    _check_split(split)
    with Image.open(CLOTHES / f"{split}.png") as file:
        sheet = torch.from_numpy(np.array(file))  # (10 * 28, 100 * 28)
    grey = sheet.reshape(10, 28, 100, 28).permute(2, 0, 1, 3).reshape(1000, 1, 28, 28)
    return grey, torch.arange(10).repeat(100)


def _check_split(split):
    if split not in ("train", UNSEEN):
        raise ValueError(f'split must be "train" or "held_out", got {split!r}')


def load(
    name,
    *,
    size=None,
    channels=None,
    split="train",
    skip_broken=False,
    labels=True,
    folders="auto",
    lazy=None,
):
    r"""Load pictures as a `PictureSet`, all at once, or, with lazy, when they are needed.

    name: one of
    - "digits": those of `digits`, as 17 grey levels, split "train" or "held_out";
    - "clothes": those of `clothes`, with the same splits. For a folder of such a name, pass
      "./digits" or "./clothes";
    - a hub id such as "ylecun/mnist", or a local folder with the same parquet files, read
      with the library `datasets`: the column of pictures and the finest classes are found
      by their type, and a class of -1 says that there are none. split: as it is named
      there, "train[:1000]" too;
    - a folder of pictures, of all kinds that Pillow reads, with all folders below it, in
      the order of their names. Two or more sub-folders with pictures are classes. If they
      are named train, test, validation or in a way as usual, they are splits, and split
      says which one is read. Hidden files and what this package drew are left out;
    - an .npy file of uint8 (N, H, W), (N, H, W, C) or (N, C, H, W), C 1 or 3, which is
      mapped into memory: it may be larger than that; or an .npz file with one such array;
    - an .npy file of floats (N, L), N series of length L: a `SeriesSet`, see `load_series`,
      which reads other files of series too.

    size: (H, W), or one number for both. Each picture is scaled to cover it (LANCZOS),
    and its middle is cut out. None: as they are, if all have one size.
    channels: 1 or 3; None is 1 if every picture is stored in grey, else 3.
    skip_broken: leave out what cannot be read and say so in `.skipped`.
    labels: False leaves classes out. folders: what sub-folders are where "auto" cannot
    tell: "classes", "splits", or "plain", which stands for nothing at all.
    lazy: True reads the headers of the files of a folder now, and each picture when it is
    needed; False reads all now; None does so up to 50,000 files, if memory holds them. A
    picture that is read later and broken is then named by the step that needs it.
    What was understood is in `.told`. Pictures are turned as EXIF says, transparent ones
    lie on white, 16 bits become 8, CMYK becomes RGB, a film gives its first picture;
    colour profiles are not applied.
    Raises FileNotFoundError for a name that is not there or a folder without pictures,
    ImportError without `datasets`, ConnectionError if the hub does not answer, and
    ValueError for a folder that can be read in two ways, broken pictures (it names them),
    several sizes, other arrays, grey levels 0 and 1 alone, and more pictures than memory
    holds.
    """
    if size is None and channels is None and isinstance(name, str | Path):
        if is_plain(name):
            return load_series(name, labels=labels)
    size = check_size(size)
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1, 3 or None, got {channels!r}")
    if not isinstance(name, str | Path) or not str(name).strip():
        raise ValueError(f"name must name a data set or a path, got {name!r}")
    found = _read(name, split, size, channels, skip_broken, labels, folders, lazy)
    if found.levels == 256 and brightest(found.x_0, 1) == 1:
        raise ValueError(
            f"{found.name} holds grey levels 0 and 1 alone, of 0 to 255: if 1 is white, "
            "save the pictures again with 255 times as much; else all is black"
        )
    if not labels:
        found = replace(found, y=None, classes=())
    return replace(found, told=_told(found))


def _read(name, split, size, channels, skip_broken, labels, folders, lazy):
    path = Path(name).expanduser()
    check_name("folders", folders, *READINGS)
    embedded = name in EMBEDDED
    if folders in ("classes", "splits") and (embedded or not path.is_dir()):
        raise ValueError(
            f"folders={folders!r} is for a folder of pictures, which {shown(path)} is not"
        )
    parquet = not embedded and path.is_dir() and _holds_parquet(path, folders)
    if lazy and (embedded or not path.is_dir() or parquet):
        raise ValueError(
            f"lazy=True (--lazy) is for a folder of pictures, which {shown(path)} is not: "
            "an .npy file is mapped into memory anyway, and data.Items takes a dataset"
        )
    if embedded:
        return _embedded_set(name, size, channels, split)
    if path.is_dir() and not parquet:
        found = understand(path, split, labels, folders)
        if lazy or (lazy is None and too_many(found, size, channels)):
            return on_demand(found, named(path), size, channels, skip_broken)
        return from_folder(found, named(path), size, channels, skip_broken)
    if parquet:
        return from_hub(path, split, size, channels, skip_broken)
    if not path.exists():
        if re.fullmatch(HUB_ID, str(name)) and not path.parent.exists():
            try:
                return from_hub(str(name), split, size, channels, skip_broken)
            except ConnectionError as error:
                raise ConnectionError(f"{_not_there(path)}. {error}") from error
        raise FileNotFoundError(_not_there(path))
    if split != "train":
        raise ValueError(no_splits(shown(path), split))
    ending = path.suffix.lower()
    if ending in (".npy", ".npz"):
        return from_array(path, size, channels)
    advice = OTHERS.get(ending, "put pictures in a folder")
    if ending == ".csv":
        advice += f"; {as_series(shown(path))}"
    if ending in endings():
        advice = "it is one picture: put it in a folder, and pass that"
    raise ValueError(f"{shown(path)} must be an .npy file or a folder; {advice}")


def _holds_parquet(path, folders):
    r"""Whether a folder is one of parquet; ValueError where it holds pictures as well."""
    found = [*path.glob("*.parquet"), *path.glob("*/*.parquet")]
    if folders != "auto" or all(file.name.startswith(".") for file in found):
        return False
    there = listed(path)
    if there.pictures and not there.drawn:
        raise ValueError(
            f"{shown(path)} can be read in two ways: as {len(there.pictures):,} pictures, "
            f"such as {shown(there.pictures[0])}, or as parquet, {shown(found[0].name)}. "
            "Pass the folder of one of them; or, for the pictures, folders='plain' "
            "(--folders plain) or 'classes'"
        )
    return True


def _told(found):
    r"""Pictures and classes with their numbers, then what the reader has told."""
    told = [*found.told, *(told_range(found.x_0) if found.levels == 256 else [])]
    number = f"{len(found):,} picture{'s' * (len(found) > 1)}"
    if found.y is None:
        return f"{number} without classes", *told
    counts = torch.bincount(found.y, minlength=len(found.classes)).tolist()
    words = [f"{c} ({n:,})" for c, n in zip(found.classes, counts, strict=True)]
    return f"{number} in {len(words)} classes: {several(words)}", *told


def has_split(name, split):
    r"""Whether a data set has a split of this name, such as "test".

    name: as in `load`. What cannot be read has none, for `load` says why; raises
    ConnectionError if the hub does not answer.
    """
    if name in EMBEDDED:
        return split in ("train", UNSEEN)
    path = Path(name).expanduser()
    parquet = path.is_dir() and any([*path.glob("*.parquet"), *path.glob("*/*.parquet")])
    if path.is_dir() and not parquet:
        try:
            return bool(understand(path, split, labels=False))
        except (OSError, ValueError):
            return False
    if not parquet and (path.exists() or not re.fullmatch(HUB_ID, str(name))):
        return False
    try:
        import datasets

        if not parquet:
            return split in datasets.get_dataset_split_names(str(name))
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
            where = str(path.resolve())
            return split in datasets.get_dataset_split_names(where, cache_dir=cache)
    except Exception as error:  # of many kinds
        if parquet or isinstance(error, ImportError):
            return False
        reason = " ".join(str(error).split())
        raise ConnectionError(f"the hub does not tell of {name}: {reason}") from error


def _embedded_set(name, size, channels, split):
    shape, told = EMBEDDED[name], ()
    if size not in (None, shape[1:]) or channels not in (None, shape[0]):
        raise ValueError(
            f"the {name} are {shape}, got size {size} and channels {channels}: leave both "
            "out"
        )
    if Path(name).is_dir():
        owner = "scikit-learn" if name == "digits" else "this package"
        told = (f"these {name} come with {owner}; for the folder here, pass ./{name}",)
    if name == "clothes":
        return PictureSet(*_clothes(split), KINDS, name, told=told)
    x_0, y = digits(split)
    grey = ((x_0 + 1) * 8).to(torch.uint8)  # 0..16, exact
    return PictureSet(grey, y, tuple("0123456789"), name, levels=17, told=told)


def _not_there(path):
    missing = path
    while not missing.parent.exists() and missing.parent != missing:
        missing = missing.parent
    names = {known.split("/")[-1]: known for known in (*EMBEDDED, *HUB)}
    if missing.parent.is_dir():
        names |= {f.lower(): str(missing.parent / f) for f in os.listdir(missing.parent)}
    wanted = (missing.name.lower(), path.name.lower())
    near = [names[n] for w in wanted for n in difflib.get_close_matches(w, names, n=1)]
    hint = f", did you mean {near[0]}?" if near and near[0] != str(path) else "."
    return (
        f"there is no file or folder {shown(path)}{shown(hint)} Known names are "
        f"{', '.join((*EMBEDDED, *HUB))}; else pass a folder of pictures or parquet, an "
        ".npy file, or a hub id"
    )


def photo(size=96):
    r"""One real colour photograph, a flower, that comes with scikit-learn.

    size: height and width in pixels, 8..427; the middle square is scaled down to it.
    Returns float32 (1, 3, size, size) in [-1, 1]. Raises ValueError for another size.
    sklearn.datasets.load_sample_image; CC BY 2.0, credited in the README beside it.
    """
    from PIL import Image
    from sklearn.datasets import load_sample_image

    check_integer("size", size, 8, 427)
    whole = load_sample_image("flower.jpg")  # (427, 640, 3), 0..255
    square = Image.fromarray(whole[:, 106:533]).resize(
        (size, size), Image.Resampling.LANCZOS
    )
    picture = torch.from_numpy(np.array(square)).float().permute(2, 0, 1)  # (3, H, W)
    return check_pictures(picture[None] / 127.5 - 1)


def check_pictures(x_0):
    r"""Return pictures as they are, after refusing those outside [-1, 1].

    x_0: (N, C, H, W), floating point. Raises ValueError that names the range found.
    """
    if x_0.dim() != 4 or not x_0.is_floating_point():
        raise ValueError(
            f"pictures must be floating point (N, C, H, W), got {x_0.dtype} "
            f"{tuple(x_0.shape)}"
        )
    low, high = float(x_0.min()), float(x_0.max())
    if not -1 <= low <= high <= 1:
        raise ValueError(
            f"pictures must lie in [-1, 1], got values from {low:.4g} to {high:.4g}: "
            + ("mend what made them" if low != low else to_floats(low, high))
        )
    return x_0
