r"""Any folder: what is told equals what a plain walk finds, or an error says why."""

import io
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ddpm_lite import data, figure

PLACES = ["", "cat", "dog", "Train", "test", "val", "all", "cat/2020", "Train/cat"]
PLACES += [
    "Train/dog",
    "test/cat",
    "all/cat",
    "all/dog",
    "dog/a/b",
    "фото",
    "a\nb",
    "\udcff",
]
STEMS = st.sampled_from(["1", "2", "ü", "a b", ".x", "\udcff", "x\n"])
ENDINGS = st.sampled_from([".png", ".PNG", ".jfif", ".tga", ".jp2", ".txt", "", ".pdf"])
KINDS = ["L", "RGB", "RGBA", "P", "1", "I;16", "broken", "empty", "drawn", "closed", "link"]
SAVED = {".png": "PNG", ".jfif": "JPEG", ".tga": "TGA", ".jp2": "JPEG2000"}
FILE = st.tuples(
    st.sampled_from([*PLACES, ".git"]),
    STEMS,
    ENDINGS,
    st.sampled_from(KINDS),
    st.sampled_from([8, 12]),
    st.sampled_from(PLACES),
)


def picture(mode, side, seed):
    array = np.random.default_rng(seed).integers(60, 256, (side, 8, 4), np.uint8)
    if mode == "I;16":
        return Image.fromarray(array[:, :, 0].astype(np.uint16) * 257)
    return Image.fromarray(array, "RGBA").convert(mode)


def written(root, files):
    r"""Write files into a folder; those that this system refuses are left out."""
    for seed, (folder, stem, ending, kind, side, target) in files:
        path = Path(root, folder, stem + ending)
        format = SAVED.get(ending.lower())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink() or path.exists():
                continue
            if kind == "link":
                path.symlink_to(Path(root, target))
            elif kind == "drawn" and format == "PNG":
                figure.save_pictures(np.zeros((1, 1, side, 8)), path, least=1)
            elif kind in ("broken", "empty") or format is None:
                path.write_bytes(b"" if kind == "empty" else b"no picture")
            else:
                mode = "RGB" if kind in ("drawn", "closed") or format != "PNG" else kind
                file = io.BytesIO()
                picture(mode, side, seed).save(file, format)
                path.write_bytes(file.getvalue())
            if kind == "closed":
                path.chmod(0)
        except OSError:
            pass


def walked(root):
    r"""The real paths of what may be read below a folder, by a walk of another kind."""
    found = set()
    for where, folders, files in os.walk(root, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in (*files, *folders):
            path = os.path.join(where, name)
            if os.path.islink(path) or (name in files and not name.startswith(".")):
                found.add(os.path.realpath(path))
    return found


def outcome(root, **options):
    r"""What loading gives: all that is told, or the one line of an error."""
    try:
        found = data.load(root, size=8, **options)
    except (ValueError, OSError) as error:
        text = str(error)
        assert text and text.isprintable()
        return text.replace(str(root), "ROOT")
    counts = Counter(found.y.tolist() if found.y is not None else [])
    assert sum(counts.values()) in (0, len(found))
    first = found.told[0]
    assert first.startswith(f"{len(found):,} picture")
    if found.y is not None:
        for i, name in enumerate(found.classes):
            assert f"{name} ({counts[i]:,})" in first
    assert all(sentence.isprintable() for sentence in (*found.told, *found.skipped))
    assert len(found) + len(found.skipped) <= len(walked(root))
    return found.fingerprint(), found.told, found.skipped


@settings(max_examples=60)
@given(
    files=st.lists(FILE, min_size=1, max_size=9),
    order=st.randoms(use_true_random=False),
    split=st.sampled_from(["train", "train", "test", "val"]),
    labels=st.booleans(),
    skip=st.booleans(),
    folders=st.sampled_from(["auto", "auto", "classes", "splits", "plain"]),
)
def test_any_folder(files, order, split, labels, skip, folders):
    unique = {}
    for seed, file in enumerate(files):  # one file for each name, whatever the order
        unique.setdefault(os.path.join(file[0], file[1] + file[2]).casefold(), (seed, file))
    files = list(unique.values())
    options = dict(split=split, labels=labels, skip_broken=skip, folders=folders)
    found = []
    for turn in range(2):
        root = Path(tempfile.mkdtemp(), "photos")
        try:
            root.mkdir()
            written(root, files)
            found.append(outcome(root, **options))
            if turn == 0:
                count_by_hand(root)
        finally:
            shutil.rmtree(root.parent)
        order.shuffle(files)
    assert found[0] == found[1]


def count_by_hand(root):
    r"""Without links, splits and classes: pictures are what ends like one and opens."""
    expected = 0
    for path in walked(root):
        name = os.path.basename(path)
        if os.path.isfile(path) and name.lower().endswith(tuple(SAVED)):
            try:
                with Image.open(path) as image:
                    image.load()
                    expected += "ddpm-lite" not in str(image.info.get("Software"))
            except Exception:
                pass
    try:
        found = data.load(root, size=8, folders="plain", skip_broken=True)
    except (ValueError, OSError):
        assert expected == 0
        return
    assert len(found) == expected or "ddpm-lite drew all" in " ".join(found.told)
