r"""How many pictures there are and how large, without reading them."""

import numpy as np
import pytest
from PIL import Image

from ddpm_lite import data
from ddpm_lite.data import survey as module
from ddpm_lite.data.survey import Survey, survey


def save(folder, sizes, mode="RGB"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, size in enumerate(sizes):
        Image.new(mode, size, 90).save(folder / f"{number:03d}.png")
    return str(folder)


def test_a_folder_of_one_size_in_grey_and_in_colour(tmp_path, monkeypatch):
    grey, colour = (tmp_path / name for name in ("grey", "colour"))
    Image.init()
    save(grey, [(20, 12)] * 3, "L")
    save(colour, [(20, 12)] * 2)
    save(colour / "inner", [(20, 12)], "L")
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    assert survey(grey) == Survey(3, 12, 20, True, 1)
    assert survey(colour, folders="plain") == Survey(3, 12, 20, True, 3)


def test_the_median_of_several_sizes(tmp_path):
    path = save(tmp_path / "a", [(10, 10), (30, 20), (99, 40)])
    assert survey(path) == Survey(3, 20, 30, False, 3)


def test_a_picture_on_its_side_is_as_large_as_it_is_read(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    found = survey(tmp_path)
    assert (found.height, found.width) == (30, 20)
    assert data.load(tmp_path).shape[1:] == (30, 20)


def test_some_of_many_are_opened_and_all_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOOK", 4)
    path, opened = save(tmp_path / "a", [(8, 8)] * 9), []
    own = Image.open
    monkeypatch.setattr(Image, "open", lambda name: opened.append(name) or own(name))
    assert survey(path).number == 9 and 1 < len(opened) <= 4


def test_classes_and_splits_are_counted_as_they_are_read(tmp_path):
    for inner, n in (("train/a", 3), ("train/b", 2), ("test/a", 4), ("test/b", 1)):
        save(tmp_path / inner, [(8 + i, 8) for i in range(n)])
    for split, n in (("train", 5), ("test", 5)):
        assert survey(tmp_path, split=split).number == n
        assert len(data.load(tmp_path, split=split, size=8)) == n


def test_what_cannot_be_opened_is_counted_and_left_to_load(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    assert survey(tmp_path) == Survey(1, module.UNKNOWN, module.UNKNOWN, True, 1)
    save(tmp_path, [(9, 9)] * 2)
    assert survey(tmp_path) == Survey(3, 9, 9, True, 3)


def test_an_array_and_the_digits(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (6, 12, 10), np.uint8)
    np.save(tmp_path / "a.npy", grey)
    assert survey(tmp_path / "a.npy") == Survey(6, 12, 10, True, 1)
    assert survey("digits") == Survey(1438, 8, 8, True, 1)


@pytest.mark.parametrize("name", ["nowhere/photos", "empty"])
def test_what_is_not_there_is_refused_as_in_load(name, tmp_path):
    (tmp_path / "empty").mkdir()
    for read in (survey, data.load):
        with pytest.raises(FileNotFoundError, match=r"there is no|is empty"):
            read(tmp_path / name)
