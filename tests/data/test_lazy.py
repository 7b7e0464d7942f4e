r"""Folders whose pictures are read when they are needed: the same pictures, later."""

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm_lite import data
from ddpm_lite.data import lazy, pictures
from ddpm_lite.data.examples import Unreadable, equal
from ddpm_lite.data.marks import fingerprint, is_of


def random_picture(seed, shape):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pets"
    for i in range(12):
        place = root / ("cats" if i % 3 else "dogs")
        place.mkdir(parents=True, exist_ok=True)
        picture = random_picture(i, (7, 5, 3) if i % 4 else (7, 5))
        exif = Image.Exif()
        if i == 1:  # stored lying, 7 x 5 once it is turned
            picture, exif[0x0112] = picture.transpose(Image.Transpose.ROTATE_90), 6
        picture.save(place / f"{i:02}.{'png' if i % 2 else 'jpg'}", exif=exif)
    random_picture(50, (7, 5, 3)).quantize(16).save(root / "cats" / "palette.png")
    films = [random_picture(i, (7, 5, 3)) for i in (60, 61)]
    films[0].save(root / "dogs" / "film.gif", save_all=True, append_images=films[1:])
    clear = Image.fromarray(np.random.default_rng(9).integers(0, 256, (7, 5, 4), np.uint8))
    clear.save(root / "dogs" / "transparent.png")
    return root


READINGS = [{}, {"size": 4}, {"size": (3, 6), "channels": 1}, {"labels": False}]


@pytest.mark.parametrize("asked", READINGS, ids=str)
def test_the_same_pictures_as_read_whole(folder, asked):
    whole, later = (data.load(folder, lazy=way, **asked) for way in (False, True))
    assert not whole.lazy and later.lazy and later.shape == whole.shape
    assert torch.equal(later.x_0[:], whole.x_0)
    assert (later.y is None) == (whole.y is None)
    assert later.y is None or torch.equal(later.y, whole.y)
    assert later.classes == whole.classes
    assert {t for t in later.told if "when they are needed" not in t} == set(whole.told)
    parts = [[*whole.split(0.25)], [*later.split(0.25)]]
    for one, other in zip(*parts, strict=True):
        assert other.lazy and torch.equal(one.x_0, other.x_0[:])
        assert torch.equal(one.to_float(slice(None, None, 2)), other.to_float()[::2])


def test_grey_folders_stay_grey(tmp_path):
    for i in range(3):
        random_picture(i, (6, 6)).save(tmp_path / f"{i}.png")
    assert data.load(tmp_path, lazy=True).shape == (1, 6, 6)


def test_pixels_are_not_read_at_the_start(folder, monkeypatch):
    found = data.folders.understand(folder)
    monkeypatch.setattr(lazy, "upright", lambda *_: pytest.fail("decoded"))
    assert len(lazy.on_demand(found, "pets", None, None, False)) == 15


def test_what_headers_show_is_refused_at_once(folder):
    random_picture(0, (9, 9, 3)).save(folder / "cats" / "large.png")
    with pytest.raises(ValueError, match=r"2 sizes.*7 x 5 \(15\), 9 x 9 \(1\)"):
        data.load(folder, lazy=True)
    (folder / "cats" / "empty.png").write_bytes(b"")
    (folder / "cats" / "other.png").write_bytes(b"no picture at all")
    for size in (None, 4):
        with pytest.raises(ValueError, match="2 of 18 pictures of pets cannot be read: "):
            data.load(folder, size=size, lazy=True)
    left = data.load(folder, size=4, lazy=True, skip_broken=True)
    assert left.skipped == ("cats/empty.png", "cats/other.png") and len(left) == 16
    assert left.y.bincount().tolist() == [10, 6]


def test_a_picture_that_is_broken_further_on_is_named_when_it_is_read(folder):
    path = folder / "cats" / "02.jpg"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ValueError, match=r"1 of 15 .*cats/02.jpg"):
        data.load(folder, lazy=False)
    found = data.folders.understand(folder)
    later = lazy.on_demand(found, "pets", None, None, False)
    place = later.x_0.names.index("cats/02.jpg")
    assert later.x_0[place - 1].shape == (3, 7, 5)
    with pytest.raises(Unreadable, match=r"cats/02.jpg in pets cannot be read: "):
        later.x_0[place]


def test_it_is_known_by_names_sizes_and_order(folder):
    first, whole = data.load(folder, lazy=True), data.load(folder, lazy=False)
    own = fingerprint(first.x_0, first.y)
    assert own.startswith("files-")
    assert own == fingerprint(data.load(folder, lazy=True).x_0, first.y)
    assert first.fingerprint() == data.load(folder, lazy=True).fingerprint()
    assert is_of(fingerprint(whole.x_0, whole.y), first.x_0, first.y)  # reads all
    assert not is_of(own, whole.x_0, whole.y)
    assert equal(first.x_0, data.load(folder, lazy=True).x_0)
    assert not equal(first.x_0, whole.x_0) and equal(whole.x_0, whole.x_0)
    train, aside = first.split(0.5)
    assert len({own, fingerprint(train.x_0, train.y), fingerprint(aside.x_0)}) == 3
    assert not equal(train.x_0, aside.x_0)
    (folder / "cats" / "01.png").rename(folder / "cats" / "00.png")
    assert fingerprint(data.load(folder, lazy=True).x_0, first.y) != own


def test_many_files_are_read_when_needed_and_few_are_not(folder, monkeypatch):
    assert not data.load(folder).lazy
    monkeypatch.setattr(lazy, "MANY", 14)
    assert data.load(folder).lazy and not data.load(folder, lazy=False).lazy
    assert any("when they are needed" in line for line in data.load(folder).told)
    monkeypatch.setattr(lazy, "MANY", 50)
    monkeypatch.setattr(pictures, "free_memory", lambda: 15 * 3 * 4 * 4 - 1)
    assert data.load(folder, size=4).lazy
    monkeypatch.setattr(pictures, "free_memory", lambda: 15 * 3 * 4 * 4)
    assert not data.load(folder, size=4).lazy
    assert pictures.free_memory() > 0


def test_only_folders_are(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 4, 4), np.uint8))
    for name in ("digits", tmp_path / "a.npy"):
        with pytest.raises(ValueError, match=r"lazy=True \(--lazy\) is for a folder"):
            data.load(name, lazy=True)
