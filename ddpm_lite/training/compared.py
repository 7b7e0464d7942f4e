r"""What samples are compared with: pictures that a model was trained on, and others.

Which pictures these were is never taken on trust: the fingerprint that was stored with the
weights must be theirs. What is unseen is then what is not among them.
"""

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import torch

from ..data.examples import chosen
from ..data.marks import fingerprint, is_of
from ..data.pictures import PictureSet
from ..data.sources import EMBEDDED, UNSEEN, has_split
from ..formats.checkpoint import checkpoint_of, read_json
from .experiment import load_pictures
from .one_dimension import called, is_series
from .plan import check_meant, find_data
from .reports import class_counts
from .resuming import changed_aside

_UNREADABLE = (ValueError, OSError, ImportError)


@dataclass(frozen=True)
class Compared:
    r"""Pictures to compare samples with, and what is known of them.

    train: those that the model was trained on, None where they are not at hand. unseen:
    the others, None where there are none. levels: grey levels of either. told: what was
    compared, in words, a line each. counts: pictures of each class that were trained on,
    None where that is not known.
    """

    train: PictureSet | None
    unseen: PictureSet | None
    told: tuple[str, ...] = ()
    counts: tuple[int, ...] | None = None

    @property
    def levels(self):
        r"""How many grey levels the pictures have."""
        return (self.unseen or self.train).levels

    def about(self):
        r"""The same as plain values, for JSON."""
        sets = {"training": self.train, "unseen": self.unseen}
        named = {key: x and {"name": x.name, "pictures": len(x)} for key, x in sets.items()}
        return named | {"told": list(self.told)}


def find(config, stored, *, run="", step=None, data="", split=""):
    r"""Find what the samples of a model are compared with.

    config: its RunConfig. stored: what stands beside its weights. run, step: the folder
    and checkpoint that they came from, for the fingerprint where `stored` has none.
    data: pictures to compare with, all that the model has not seen; "" for those that the
    run set aside. split: which of data's, where it has several. Returns a Compared.
    Raises ValueError where nothing is named, and what reading raises.
    """
    known = _trained_on(stored, run, step)
    config = replace(config, data=_located(config.data, run))
    if not data:
        return _own(config, stored, known)
    check_meant(data)
    read = dict(data=data, split=split or _split(config, data), folders="auto", lazy=False)
    whole, _ = load_pictures(replace(config, **read, held_out_split="", hold_out=0.0))
    if is_series(config.network):
        whole = whole.scaled_as(stored.get("described", {}).get("scale"))
    where, of = f"{whole.name}{_of_split(read['split'])}", called(config.network)
    if _is_known(known, config, whole):
        told = f"{where}: these are the {of} it was trained on, so none is unseen"
        return Compared(whole, None, (told,), _counts(config, stored, whole))
    train, why = None, f"which {of} it was trained on is not known"
    if known and config.data:
        train, why = _seen(config, known)
    if train is None and known and _may_hold(stored, whole, read["split"]):
        train, _ = _seen(replace(config, data=data), known)  # moved, or of another name
    unseen, many = (whole, 0) if train is None else _without(whole, train)
    first = f"compared with {len(whole) - many:,} {of} of {where}"
    if many:
        first += f"; {many:,} more are left out: it was trained on them"
    second = f"none beside, for {why}"
    if train is not None:
        second = f"the {len(train):,} of {train.name}"
    told = (first, f"training {of}: {second}")
    return Compared(train, unseen, told, _counts(config, stored, train))


def _located(data, run):
    try:
        return find_data(data, run)
    except _UNREADABLE:
        return data  # reading it says what is wrong


def _own(config, stored, known):
    r"""Compare with what the run set aside."""
    of = called(config.network)
    if not config.data:
        raise ValueError(
            f"this model names no {of} of its own to be compared with: name some with "
            "--data"
        )
    try:
        pictures, aside = load_pictures(config)
    except _UNREADABLE as error:
        raise ValueError(f"{error}; or name other {of}, --data") from error
    if not _is_known(known, config, pictures):
        return _changed(config, stored, known, pictures, aside)
    told = [f"training {of}: the {len(pictures):,} of {pictures.name}"]
    if aside is None:
        told.insert(0, "compared with none, for the run set none aside: name some, --data")
    else:
        now = fingerprint(aside.x_0, aside.y if config.network.classes else None)
        how = "set aside"
        if changed_aside(stored.get("described", {}), now):
            how = "which are not those that the run set aside: they have changed since"
        held, (aside, many) = len(aside), _without(aside, pictures)
        words = f"compared with {held - many:,} {of} of {pictures.name}, {how}"
        more = f"; {many:,} more repeat a training {called(config.network, 1)}"
        told.insert(0, words + more * (many > 0))
    counts = _counts(config, stored, pictures)
    return Compared(pictures, aside, tuple(told), counts)


def _changed(config, stored, known, pictures, aside):
    r"""Compare with data that are not, or not surely, those that were trained on."""
    if not config.held_out_split:
        pictures, _ = load_pictures(replace(config, hold_out=0.0))
        aside = pictures
    why = (
        f"{pictures.name} has changed since" if known else "their fingerprint is not known"
    )
    of = called(config.network)
    told = (
        f"compared with {len(aside):,} {of} of {pictures.name} as they are now: which "
        "of them it has seen is not known",
        f"training {of}: none beside, for {why}",
    )
    return Compared(None, aside, told, _counts(config, stored, None))


def _seen(config, known):
    r"""(training pictures, "") of a RunConfig, or (None, why not)."""
    try:
        pictures, _ = load_pictures(config)
    except _UNREADABLE as error:
        return None, f"they cannot be read: {' '.join(str(error).split())}"
    if not _is_known(known, config, pictures):
        return None, f"{config.data} holds others now"
    return pictures, ""


def _may_hold(stored, whole, split):
    r"""Whether a name has room for the training pictures: more than these, or splits."""
    return split != "train" or len(whole) >= stored.get("described", {}).get("pictures", 1)


def _trained_on(stored, run, step):
    r"""The fingerprint of the pictures that were trained on, None where none is stored."""
    found = stored.get("described", {}).get("fingerprint")
    if found is None and run and Path(run).is_dir():
        try:
            found = read_json(checkpoint_of(run, step) / "state.json").get("data")
        except _UNREADABLE:
            return None  # a folder of diffusers
    return found


def _is_known(mark, config, pictures):
    y = pictures.y if config.network.classes else None
    return mark is not None and is_of(mark, pictures.x_0, y)


def _counts(config, stored, train):
    r"""Pictures of each class: as stored, or as counted in the training pictures."""
    counts = stored.get("described", {}).get("class_counts")
    if not counts and train is not None:
        counts = class_counts(config, train)
    return tuple(counts) if counts and len(counts) == config.network.classes else None


def _split(config, data):
    r"""The split that `data` is read at: what the run sets aside, where it has that."""
    wish = config.held_out_split or config.split
    if has_split(data, wish):
        return wish
    return UNSEEN if data in EMBEDDED else "train"


def _of_split(split):
    return "" if split == "train" else f", split {split}"


def _without(pictures, train):
    r"""(pictures that are not among those of train, None if none; how many are)."""
    own = list(_marks(pictures))
    wanted = set(own)
    seen = {mark for mark in _marks(train) if mark in wanted}
    kept = torch.tensor([i for i, mark in enumerate(own) if mark not in seen])
    many = len(own) - len(kept)
    if not many:
        return pictures, 0
    if not len(kept):
        return None, many
    y = None if pictures.y is None else pictures.y[kept]
    return replace(pictures, x_0=chosen(pictures.x_0, kept), y=y), many


def _marks(pictures):
    r"""Yield a hash of each picture, as it is in 256 grey levels."""
    for part in pictures.x_0.split(1024):
        if pictures.levels not in (256, None):  # None: of series
            part = (part * (255 / (pictures.levels - 1))).round().to(torch.uint8)
        for picture in part:
            yield sha256(picture.contiguous().numpy().tobytes()).digest()
