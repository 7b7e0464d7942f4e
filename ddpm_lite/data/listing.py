r"""All that lies below a folder: pictures, what is none, and what this package wrote.

Nothing here depends on the order in which a file system lists its files. What is left
out is kept with a reason, so that it can be told.
"""

import glob
import heapq
import os
import re
import stat
from collections import defaultdict
from dataclasses import dataclass, field
from unicodedata import normalize

from ..checks import DRAWN, shown

# Pillow knows these, but they hold no pictures, or another program has to draw them.
NO_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"}
# To be named where this Pillow cannot read them, not passed over.
WELL_KNOWN = {".avif", ".heic", ".heif", ".j2k", ".jp2", ".jxl", ".mpo", ".webp"}
BESIDE = {"__MACOSX", "@eaDir"}  # folders that a system adds, with copies or parts
RUN = {"lock", "metrics.jsonl", "newest"}  # one of them, beside config.json
WRITTEN = {"checkpoints", "curves.png", "digits.png", "samples", "tensorboard"}  # by a run
WRITTEN |= {"wandb"}


@dataclass
class Listing:
    r"""All that lies below a folder.

    files: {name: real path}; a file with two names stands there twice. first: {real path:
    the name that counts}. folders: names. pictures: those among the names of files, in
    order. drawn: whether this package drew all of these. left: {why: names}. unreadable:
    {folder: why}.
    """

    files: dict = field(default_factory=dict)
    first: dict = field(default_factory=dict)
    folders: list = field(default_factory=list)
    pictures: list = field(default_factory=list)
    drawn: bool = False
    left: dict = field(default_factory=lambda: defaultdict(list))
    unreadable: dict = field(default_factory=dict)


def endings():
    r"""The endings of pictures, ".png" and so on: all that this Pillow reads, and more."""
    from PIL import Image

    known = Image.registered_extensions().items()  # this brings all decoders in
    read = {e for e, kind in known if kind in Image.OPEN and kind not in NO_PICTURES}
    return read | WELL_KNOWN


def listed(folder):
    r"""List all that lies below a folder: a Listing, the same one on every file system.

    A link counts after all names without one, and in the order of its name. Links to a
    folder above themselves are left out, and so is what a run wrote into its folder.
    Raises OSError if the folder itself cannot be listed.
    """
    found, root = Listing(), os.path.realpath(folder)
    seen = {root: ""}  # real path of a folder: the name that counts
    todo, links, again = [("", root)], [], []
    while todo or links:
        if todo:
            for name, entry in _entries(found, *todo.pop()):
                if entry.is_symlink() or getattr(entry, "is_junction", bool)():
                    heapq.heappush(links, (order(name), name, entry.path))
                elif not entry.is_dir(follow_symlinks=False):
                    _enter(found, name, entry.path, entry.is_file())
                elif entry.path in seen:  # below a link, and listed before
                    again.append((name, seen[entry.path]))
                else:
                    seen[entry.path] = name
                    todo.append((name, entry.path))
            continue
        _, name, path = heapq.heappop(links)
        real = os.path.realpath(path)
        if not os.path.isdir(real):
            _enter(found, name, real, _may_be_read(real))
        elif os.path.join(os.path.dirname(path), "").startswith(os.path.join(real, "")):
            found.left["leading back to a folder above"].append(name)
        elif real in seen:
            again.append((name, seen[real]))
        else:
            seen[real] = name
            todo.append((name, real))
    for name, other in again:
        start = f"{other}/" if other else ""
        below = [(n, r) for r, n in found.first.items() if n.startswith(start)]
        found.files |= {f"{name}/{n.removeprefix(start)}": r for n, r in below}
    found.folders = sorted(seen.values(), key=order)
    _sort_out(found)
    return found


def order(name):
    r"""The key by which names are sorted: macOS stores the same letters in another way."""
    return normalize("NFC", name), name


def several(things, separator=", ", most=10):
    r"""The first few of many things in words, and how many more there are."""
    words = separator.join(str(thing) for thing in list(things)[:most])
    return words + f"{separator}and {len(things) - most:,} more" * (len(things) > most)


def told_left(found, beside, twice, read):
    r"""What was left out of a Listing, in sentences; an empty list if nothing was.

    beside: pictures that lie beside the folders that count. twice: how many second names
    of pictures. read: how many pictures were not left out.
    """
    told = ["ddpm-lite drew all of these pictures itself"] * found.drawn
    left = found.left | ({"beside the folders that count": beside} if beside else {})
    words = []
    for why in sorted(left, key=lambda why: (why[0] != ".", why)):
        names = several([*map(shown, sorted(left[why], key=order))], most=3)
        words.append(f"{len(left[why]):,} {why}" + f" ({names})" * (why[0] != "."))
    words += [f"{twice:,} second names of pictures"] * bool(twice)
    if not words:
        return told
    number = sum(len(left[why]) for why in left if why != "hidden")
    start = f"MORE LEFT OUT ({number:,}) THAN READ" if number > read else "left out"
    return [*told, f"{start}: {', '.join(words)}"]


def no_pictures(where, listing):
    r"""What to say of a folder without pictures, and of what it holds instead."""
    left = listing.left
    own = [f"{len(left[why]):,} {why}" for why in left if "ddpm-lite" in why]
    others = [why for why in left if why != "hidden" and "ddpm-lite" not in why]
    if own:
        return (
            f"the folder {where} holds no pictures to train on, but {several(own)}; to "
            "train on samples, name the folder that holds them alone"
        )
    if listing.unreadable:
        closed = [f"{name} ({why})" for name, why in listing.unreadable.items()]
        return (
            f"the folder {where} holds no pictures, and folders that cannot be listed: "
            f"{several(closed)}"
        )
    if not others:
        hidden = f", but for {len(left['hidden']):,} hidden" if left else ""
        return f"the folder {where} is empty{hidden}"
    return (
        f"the folder {where} holds no pictures (.png, .jpg and what else Pillow reads), "
        f"but {sum(len(left[why]) for why in others):,} other files: {several(others)}"
    )


def _entries(found, name, path):
    r"""(name below the root, entry) of all in a folder that is not to be left out."""
    try:
        with os.scandir(path) as entries:
            entries = list(entries)
    except OSError as error:
        if not name:
            raise
        found.unreadable[shown(name)] = error.strerror
        return
    written = WRITTEN if _is_run({entry.name for entry in entries}, path) else ()
    for entry in entries:
        inner = f"{name}/{entry.name}" if name else entry.name
        if entry.name.startswith("."):
            found.left["hidden"].append(inner)
        elif entry.name in BESIDE:
            found.left["added by a system"].append(inner)
        elif entry.name in written:
            found.left["written by a run of ddpm-lite"].append(inner)
        else:
            yield inner, entry


def _is_run(names, path):
    if "config.json" not in names:
        return False
    steps = os.path.join(glob.escape(path), "checkpoints", "step_*")
    return bool(names & RUN) or bool(glob.glob(steps))


def _enter(found, name, real, readable):
    if not readable:  # reading from a pipe would never end
        found.left["no files"].append(name)
        return
    found.first.setdefault(real, name)
    found.files[name] = real


def _may_be_read(path):
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return True  # nothing is there: a broken picture, which will be named


def _sort_out(found):
    r"""Say which files are pictures, and why the others are none."""
    known, drawn, others = endings(), [], []
    for name in sorted(found.files, key=order):
        ending = os.path.splitext(name.split("/")[-1])[1].lower()
        if ending not in known:
            found.left[shown(ending) if len(ending) > 1 else "no ending"].append(name)
            continue
        mark = _mark(found.files[name]) if ending == ".png" else None
        if mark == "figure":
            found.left["grids and figures of ddpm-lite"].append(name)
        else:
            (drawn if mark else others).append(name)
    if drawn and others:  # samples may be trained on where there is nothing else
        found.left["drawn by ddpm-lite"] += drawn
    found.pictures, found.drawn = others or drawn, not others


def _mark(path):
    r"""What `figure` wrote into a PNG: "figure", "picture"; None for another's file."""
    try:
        with open(path, "rb") as file:
            start = file.read(128)
    except OSError:
        return None
    found = re.search(rb"tEXtSoftware\0" + DRAWN.encode() + rb": (figure|picture)", start)
    return found and found[1].decode()
