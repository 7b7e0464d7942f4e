r"""Which splits a data set has, before it is read."""

import numpy as np
import pytest
from PIL import Image

from ddpm_lite.data import sources


@pytest.mark.parametrize(
    ("split", "there"), [("train", True), ("held_out", True), ("test", False)]
)
def test_the_digits_have_two_splits(split, there):
    assert sources.has_split("digits", split) == there


def test_a_file_and_a_plain_folder_have_none(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 8), np.uint8))
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    for name in (tmp_path, tmp_path / "a.npy", tmp_path / "nowhere", "nowhere"):
        assert not sources.has_split(name, "test")


def test_a_folder_has_the_splits_that_its_folders_are_named_after(tmp_path):
    for split in ("Train", "Testing"):
        (tmp_path / split).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / split / "a.png")
    assert sources.has_split(tmp_path, "test") and sources.has_split(tmp_path, "train")
    assert not sources.has_split(tmp_path, "validation")


def test_parquet_has_the_splits_of_its_files(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    rows = {"image": [Image.new("L", (8, 8))] * 3}
    table = datasets.Dataset.from_dict(rows, datasets.Features(image=datasets.Image()))
    for split in ("train", "test"):
        table.to_parquet(tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    assert sources.has_split(tmp_path, "test") and sources.has_split(tmp_path, "train")
    assert not sources.has_split(tmp_path, "held_out")
    assert not (tmp_path / "cache").exists()  # nothing else is written


def test_a_hub_that_does_not_answer_is_said_at_once(monkeypatch):
    datasets = pytest.importorskip("datasets")

    def silent(name):
        raise OSError("no route")

    monkeypatch.setattr(datasets, "get_dataset_split_names", silent)
    with pytest.raises(ConnectionError, match="hub does not tell of some/set: no route"):
        sources.has_split("some/set", "test")
