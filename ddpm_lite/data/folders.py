r"""What the sub-folders of a folder of pictures mean: classes, splits, or nothing.

A folder that can be read in two ways is an error that names both, and how to choose.
"""

import re
from dataclasses import dataclass
from unicodedata import normalize

from ..checks import check_name, shown
from .listing import listed, no_pictures, order, several, told_left

READINGS = ("auto", "classes", "splits", "plain")
SPLITS = {
    "train": "train|training|trn",
    "test": "test|testing|tst",
    "validation": "val|valid|validate|validation|dev|devel|eval|evaluation",
    "held_out": r"h[eo]ld[\W_]?out",
}
SHORT = {"tr": "train", "te": "test", "ts": "test", "va": "validation"}  # if all are such
MORE = r"[\W_]*(set|data|split|images?|imgs?|pictures|photos|samples)?[\W_]*\d*"
# Words for what lies beside pictures, and for parts of them, which hardly name classes.
PARTS = set("image images img imgs jpeg jpegs jpg png thumbnail thumbnails thumbs".split())
PARTS |= set("mask masks label labels annotation annotations annots segmentation".split())
PARTS |= set(
    "segmentations class object groundtruth ground truth gt hr lr size px resized".split()
)
PARTS |= set("fold folds part parts batch chunk shard split subset".split())


@dataclass(frozen=True)
class Found:
    r"""The pictures of a folder, or of one of its splits, in the order of their names.

    names: below the folder, printable. paths: of the same files. labels: an index into
    classes for each, None where there are no classes. told: what was understood, in
    sentences. unreadable: {folder: why} of those that cannot be listed.
    """

    names: list
    paths: list
    labels: list | None
    classes: tuple
    told: tuple
    unreadable: dict


@dataclass(frozen=True)
class Reading:
    r"""What sub-folders mean: kind "classes", "splits" or "plain".

    depth: how many folders lie round those that name it. names: the pictures inside them.
    """

    kind: str
    depth: int
    names: list


def understand(folder, split="train", labels=True, folders="auto"):
    r"""Find the pictures of a folder, and what its sub-folders mean. Returns a Found.

    split: "train", "test", "validation", "held_out" or the name of a folder, where there
    are splits. labels: look for classes. folders: what sub-folders mean where "auto"
    cannot tell: "classes", "splits" or, nothing at all, "plain".
    Raises FileNotFoundError for a folder without pictures, OSError for one that cannot be
    listed, ValueError where it can be read in two ways or has no such split.
    """
    check_name("folders", folders, *READINGS)
    where, listing = shown(folder), listed(folder)
    names, told = listing.pictures, []
    if not names:
        raise FileNotFoundError(no_pictures(where, listing))
    reading = _read(names, 0, where, labels, folders)
    read, classes = names, None
    if reading.kind == "splits":
        parts = _parts(reading)
        _check_apart(listing, parts, where)
        top = _asked(parts, split, where)
        told += [_told_splits(parts, top)]
        others = {name for part in parts if part != top for name in parts[part]}
        read = [name for name in names if name not in others]
        reading, classes = _read_split(parts, top, reading.depth, where, labels, folders)
    elif split != "train":
        raise ValueError(no_splits(where, split))
    index = None
    if reading.kind == "classes":
        classes = classes or _classes(reading, where)
        index = {n: classes.index(_class(n, reading.depth)) for n in reading.names}
        told += _told_classes(listing, reading)
    kept = _once(listing, reading.names, index, where)
    inside = set(reading.names)
    beside = [name for name in read if name not in inside]
    told += told_left(listing, beside, len(reading.names) - len(kept), len(kept))
    return Found(
        names=[shown(name) for name in kept],
        paths=[listing.files[name] for name in kept],
        labels=index and [index[name] for name in kept],
        classes=classes if index else (),
        told=tuple(told),
        unreadable=listing.unreadable,
    )


def no_splits(where, split):
    r"""What to say where a split is asked for and there are none."""
    return (
        f"{where} has no splits: leave {split!r} out (split=, --split, --held-out-split), "
        "or load another path"
    )


def split_of(name):
    r"""The split that a folder's name stands for, such as "test" for Testing, or None."""
    for split, usual in SPLITS.items():
        if re.fullmatch(f"({usual}){MORE}", name, re.IGNORECASE):
            return split
    return None


def _splits(tops):
    r"""{folder: its split} of those whose names stand for one.

    Beside others that have one, a word in the name is enough: DIV2K_train_HR. Where every
    folder has one, so is a short word: imagesTr.
    """
    found = {top: split_of(top) for top in tops}
    worded = {top: found[top] or _meant(top) for top in tops}
    short = {top: worded[top] or _meant(top, SHORT.get) for top in tops}
    worded = short if all(short.values()) else worded
    if len({*worded.values()} - {None}) > 1 or (len(tops) > 1 and _clear(tops)):
        found = worded
    return {top: split for top, split in found.items() if split}


def _clear(tops):
    r"""Whether names of folders say splits, and are else alike, but for numbers."""
    rests = set()
    for top in tops:
        words = _words(top)
        at = [i for i, word in enumerate(words) if split_of(word) or word in SHORT]
        rests.add((bool(at), *words[: at[0]], *words[at[0] + 1 :]) if at else (False,))
    return all(map(split_of, tops)) or (len(rests) == 1 and rests.pop()[0])


def _words(name):
    r"""The words in a folder's name, in small letters: trainHR has train and hr."""
    name = re.sub(SPLITS["held_out"], "heldout", name, flags=re.IGNORECASE)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return re.findall(r"[^\W\d_]+", name.lower())


def _meant(name, split_of=split_of):
    r"""The split that the first of the words in a name stands for, or None."""
    return next(filter(None, map(split_of, _words(name))), None)


def _no_classes(tops):
    r"""Whether two folders or more are named as what lies beside pictures, or parts."""
    words = [[w for w in _words(top) if len(w) > 1 and not split_of(w)] for top in tops]
    named = [PARTS.issuperset(ws) and ws for ws in words]
    sized = [re.fullmatch(r"\D*\d+ ?[xX] ?\d+\D*", top) for top in tops]
    return sum(map(bool, named)) > 1 or all(sized)


def _read(names, depth, where, labels, folders, inside=False, dropping=False):
    r"""What the folders below the first `depth` mean: a Reading.

    inside: of a split. dropping: without pictures beside folders. Raises ValueError where
    there are two ways to read them.
    """
    if folders == "plain":
        return Reading("plain", depth, names)
    dropping = dropping or folders != "auto"
    while True:
        tops = _tops(names, depth)
        splits = _splits(tops)
        beside = [name for name in names if name.count("/") == depth]
        if len(tops) != 1 or (beside and not dropping) or (splits and not inside):
            break
        names = [name for name in names if name.count("/") > depth]
        depth += 1  # one folder round all others
    below = [name for name in names if name.count("/") > depth]
    clear = len(splits) == len(tops) and _clear(tops) and not beside and not inside
    if splits and (folders == "splits" or clear):
        return Reading("splits", depth, [n for n in below if n.split("/")[depth] in splits])
    if folders == "splits":
        raise ValueError(f"{where} has no folders named train, test or the like")
    if folders == "classes" and len(tops) > 1:
        return Reading("classes", depth, below)
    if folders == "classes" and not inside:
        raise ValueError(f"{where} has no two folders with pictures to be classes")
    if splits:
        raise _two_splits(where, names, tops, splits, beside, labels, inside)
    if len(tops) == 1:  # and pictures beside it
        inner = _read(below, depth, where, labels, folders, inside, dropping=True)
        if inner.kind != "plain":
            raise _two_ways(where, names, inner, beside)
        return Reading("plain", depth, names)
    deeper = [name for name in below if name.count("/") > depth + 1]
    if len(tops) < 2 or not (labels or _splits(_tops(deeper, depth + 1))):
        return Reading("plain", depth, names)
    if deeper or (beside and not dropping) or _no_classes(tops):
        raise _two_ways(where, names, Reading("classes", depth, below), beside, deeper)
    return Reading("classes", depth, below)


def _read_split(parts, top, depth, where, labels, folders):
    r"""The Reading of one split, and the classes of the training split, or None."""
    inner = "auto" if folders == "splits" else folders

    def read(part):
        return _read(parts[part], depth + 1, f"{where}/{shown(part)}", labels, inner, True)

    own, splits = read(top), _splits(list(parts))
    if splits[top] == "train" or "train" not in splits.values() or not labels:
        return own, None
    first = _asked(parts, "train", where)
    main = read(first)
    if main.kind != "classes":
        return own, None
    known = _classes(main, where)
    for around in range(depth + 1, own.depth if own.kind == "plain" else 0):
        if _class(own.names[0], around) in known:  # one class of several
            own = Reading("classes", around, own.names)
            break
    new = sorted(set(_classes(own, where)) - set(known)) if own.kind == "classes" else []
    if new:
        raise ValueError(
            f"{where}/{shown(top)} has classes that {shown(first)} has not: {several(new)};"
            f" {shown(first)} has {several(known)}: name folders alike, or pass "
            "labels=False (--no-labels)"
        )
    return own, known


def _asked(parts, split, where):
    r"""The folder of a split that is asked for. Raises ValueError if it is not just one."""
    splits = _splits(list(parts))
    same = [top for top in parts if top.casefold() == split.casefold()]
    found = [top for top in parts if splits[top] == (split_of(split) or split)]
    if split != "train" and len(same) == 1:
        return same[0]
    if len(found) == 1:
        return found[0]
    there = several([shown(top) for top in found or parts])
    if found:
        raise ValueError(
            f"{where} has {len(found)} folders for the split {split}: {there}; join them, "
            "or name one of them as the data"
        )
    raise ValueError(
        f"{where} has no split {shown(split)}, but {there}: pass split= one of these "
        "(--split), or name its folder as the data"
    )


def _tops(names, depth):
    return sorted({n.split("/")[depth] for n in names if n.count("/") > depth}, key=order)


def _parts(reading):
    r"""{folder: the pictures in it}, of the folders that a Reading is about."""
    parts = {top: [] for top in _tops(reading.names, reading.depth)}
    for name in reading.names:
        parts[name.split("/")[reading.depth]].append(name)
    return parts


def _class(name, depth):
    return shown(normalize("NFC", name.split("/")[depth]))


def _classes(reading, where):
    tops = _tops(reading.names, reading.depth)
    found = {_class(name, reading.depth) for name in reading.names}
    if len(found) < len(tops):
        raise ValueError(
            f"{where} has folders whose names look the same: {several([*map(ascii, tops)])}"
        )
    return tuple(sorted(found))


def _once(listing, names, index, where):
    r"""The names without second ones of a file. Two classes for one file: ValueError."""
    kept = {}
    for name in names:
        real = listing.files[name]
        other = kept.setdefault(real, name)
        if index and index[name] != index[other]:
            raise ValueError(
                f"{shown(other)} and {shown(name)} are one file of {where}, in two "
                "classes: remove one of them, or the link that leads there"
            )
        if name == listing.first[real]:
            kept[real] = name
    return sorted(kept.values(), key=order)


def _check_apart(listing, parts, where):
    r"""Refuse a file that lies in the training split and in another one: ValueError."""
    splits = _splits(list(parts))
    trained = [n for top in parts if splits[top] == "train" for n in parts[top]]
    trained = {listing.files[name]: name for name in trained}
    for name in (n for top in parts if splits[top] != "train" for n in parts[top]):
        if listing.files[name] in trained:
            raise ValueError(
                f"{shown(trained[listing.files[name]])} and {shown(name)} are one file of "
                f"{where}, to be trained on and to be set aside: remove the link"
            )


def _two_ways(where, names, reading, beside, deeper=()):
    r"""The error for folders that may be classes or splits, or may mean nothing."""
    kind, tops = reading.kind, [*map(shown, _tops(reading.names, reading.depth))]
    without = f" without {several([*map(shown, beside)], most=3)}" if beside else ""
    within = f" with all below, such as {shown(deeper[0])}" if deeper else ""
    other = "without classes: labels=False (--no-labels)"
    if kind == "splits" or _splits(_tops(deeper, reading.depth + 1)):
        other = "whatever its folder: folders='plain' (--folders plain)"
    unlike = kind == "classes" and _no_classes(_tops(reading.names, reading.depth))
    alone = "name one of the folders as the data, " if unlike else ""
    return ValueError(
        f"{where} can be read in two ways: as the {kind} {several(tops)}{without}{within}: "
        f"folders='{kind}' (--folders {kind}); or as {len(names):,} pictures, each one "
        f"{other}. Pass one of these, {alone}or move files so that it is clear"
    )


def _two_splits(where, names, tops, splits, beside, labels, inside):
    r"""The error for folders of which only some have the name of a split."""
    others = [shown(name) for name in (*(t for t in tops if t not in splits), *beside)]
    without = f" without {several(others, most=3)}" if others else ""
    second = f"as {len(names):,} pictures together: folders='plain' (--folders plain)"
    if labels and len(tops) > 1:
        second = f"as the classes {several([*map(shown, tops)])}: folders='classes' "
        second += "(--folders classes)"
    first = "name one of them as the data"
    first = first if inside else "folders='splits' (--folders splits)"
    return ValueError(
        f"{where} can be read in two ways: as the splits {several([*map(shown, splits)])}"
        f"{without}: {first}; or {second}. Pass one of these, or move files so that it is "
        "clear"
    )


def _told_splits(parts, top):
    splits = _splits(list(parts))
    told = f"the split {splits[top]} is the folder {shown(top)}"
    for other in (part for part in parts if part != top):
        use = "" if splits[other] == "train" else f", for --held-out-split {splits[other]}"
        told += f"; beside it lies {shown(other)} ({len(parts[other]):,}{use})"
    return told


def _told_classes(listing, reading):
    r"""Where the folders of the classes are, and which of them have no pictures."""
    depth = reading.depth
    around = reading.names[0].split("/")[:depth]
    full = {*_tops(reading.names, depth)}
    for why, names in listing.left.items():
        names = names if "ddpm-lite" in why else []  # which is told anyway
        full |= {*_tops([n for n in names if n.split("/")[:depth] == around], depth)}
    level = [f.split("/") for f in listing.folders if f and f.count("/") == depth]
    empty = [shown(f[-1]) for f in level if f[:depth] == around and f[-1] not in full]
    told = [f"the classes are the folders in {shown('/'.join(around))}"] if around else []
    return told + [f"folders without pictures: {several(empty)}"] * bool(empty)
