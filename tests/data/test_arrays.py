r"""Pictures in .npy and .npz files: layouts, ranges, and advice that fits what came."""

import io

import numpy as np
import pytest
from picture_files import RANDOM, message, save

from ddpm_lite import data
from ddpm_lite.data import pictures

# .npy files.


FRAMES = RANDOM.integers(0, 256, (5, 6, 8, 3), np.uint8)
FIRST = FRAMES.transpose(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (FRAMES[..., 0], FIRST[:, :1]),
        (FRAMES[..., :1], FIRST[:, :1]),
        (FRAMES, FIRST),
        (FIRST, FIRST),
        (np.asfortranarray(FRAMES), FIRST),
    ],
)
def test_npy_layouts(tmp_path, stored, expected):
    path = tmp_path / "faces.npy"
    np.save(path, stored)
    loaded = data.load(path)
    assert (loaded.x_0.numpy() == expected).all() and loaded.shape == expected.shape[1:]
    assert loaded.y is None and loaded.name == "faces" and loaded.levels == 256
    C = expected.shape[1]
    assert (data.load(path, channels=C, size=(6, 8)).x_0.numpy() == expected).all()
    small = data.load(path, size=3, channels=4 - C)
    assert small.x_0.shape == (5, 4 - C, 3, 3)
    for i, frame in enumerate(expected):
        file = tmp_path / "same" / f"{i}.png"
        save(file, np.ascontiguousarray(frame.transpose(1, 2, 0).squeeze()))
    same = data.load(file.parent, size=3, channels=4 - C)
    assert same.fingerprint() == small.fingerprint()


def test_npy_stays_on_the_disk(tmp_path, monkeypatch):
    path = tmp_path / "a.npy"
    np.save(path, RANDOM.integers(0, 256, (4, 5, 6), np.uint8))
    monkeypatch.setattr(pictures, "_free_memory", lambda: 0)
    loaded = data.load(path)
    with path.open("r+b") as file:  # what comes to the file is seen, so it was not copied
        file.seek(-1, io.SEEK_END)
        file.write(bytes([255 - int(loaded.x_0[-1, -1, -1, -1])]))
    assert (loaded.x_0[:, 0].numpy() == np.load(path)).all()
    with pytest.raises(ValueError, match="bytes, needs"):
        data.load(path, size=3)


@pytest.mark.parametrize(
    ("array", "wrong"),
    [
        (np.zeros((2, 4, 5), np.float32), r"must hold uint8.*got float32.*255 \* a"),
        (np.zeros((2, 4, 5), bool), "must hold uint8, 0 to 255, got bool"),
        (np.zeros((2, 4, 5), np.int64), "got int64"),
        (np.zeros((2, 3, 32, 3), np.uint8), r"\(2, 3, 32, 3\), which could be either"),
        (np.zeros((2, 1, 28, 1), np.uint8), "which could be either"),
        (np.zeros((2, 4, 8, 8), np.uint8), r"C 1 or 3 and no doubt which, got \(2, 4, 8"),
        (np.zeros((8, 8, 3), np.uint8), r"got \(8, 8, 3\); one picture is \(1, H, W, C\)"),
        (np.zeros((8, 8), np.uint8), r"got \(8, 8\)$"),
        (np.zeros((0, 8, 8), np.uint8), r"N >= 1 pictures"),
        (np.array([None]), "is no readable .npy file"),
    ],
)
def test_npy_refusals(tmp_path, array, wrong):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=wrong) as error:
        data.load(tmp_path / "a.npy")
    assert "a.npy" in message(error)


def test_npy_that_is_none(tmp_path):
    for content in (b"", b"hello", b"\x93NUMPY\x01\x00"):
        (tmp_path / "a.npy").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.npy is no readable \.npy file"):
            data.load(tmp_path / "a.npy")
