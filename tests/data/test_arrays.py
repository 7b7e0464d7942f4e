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
    monkeypatch.setattr(pictures, "free_memory", lambda: 0)
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
        (np.zeros((8, 8, 3), np.uint8), r"got \(8, 8, 3\); one picture is \(1, H, W, C\)$"),
        (np.zeros((8, 8), np.uint8), r"got \(8, 8\) \(if these are series: "),
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


# Ranges: the line of numpy in an error mends the file.

WHITE = RANDOM.integers(0, 256, (3, 6, 8), np.uint8)
WHITE[0, 0, :2] = 0, 255
UNIT = WHITE / 255


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (WHITE > 99, 255 * (WHITE > 99)),
        ((WHITE > 99).astype(np.int64), 255 * (WHITE > 99)),
        ((WHITE > 99).astype(np.int8), 255 * (WHITE > 99)),
        ((WHITE > 99).astype(np.float32), 255 * (WHITE > 99)),
        (UNIT, WHITE),
        (UNIT.astype(np.float16), WHITE),
        (2 * UNIT.astype(np.float32) - 1, WHITE),
        (2 * (WHITE > 99).astype(np.int8) - 1, 255 * (WHITE > 99)),
        (WHITE.astype(np.float32), WHITE),
        (WHITE + 0.2 * (WHITE < 255), WHITE),
        (WHITE.astype(np.int64), WHITE),
        (WHITE.astype(np.uint16) * 257, WHITE),
        (WHITE.astype(">i4"), WHITE),
        (UNIT * 16, WHITE),
        (UNIT * 4095, WHITE),
    ],
)
def test_the_advice_mends_the_file(tmp_path, array, expected, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", array)
    with pytest.raises(ValueError, match="must hold uint8, 0 to 255, got ") as error:
        data.load("a.npy")
    assert str(array.dtype) in message(error)
    exec(
        message(error).split(", ", 3)[-1], {"np": np}
    )  # if 0 is black and 1 white, a = ...
    mended = data.load("pictures.npy").x_0[:, 0].numpy().astype(int)
    assert abs(mended - expected).max() <= (array.dtype == np.float16)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((2, 4, 4), np.nan), "NaN or infinity in 1 of the values: mend what made"),
        (np.where(WHITE > 99, np.inf, 0.5), "NaN or infinity in 0."),
        (UNIT + 1j, "which are no grey levels: save np.abs"),
        (UNIT.astype("U9"), "which are no grey levels: save the grey levels of pictures"),
        (np.zeros(3, "datetime64[D]"), "which are no grey levels"),
        (np.zeros((0, 4, 4)), "there is no picture"),
        (UNIT * 4 - 2, "black and white are the numbers that stand for them"),
        ((WHITE > 99).astype(np.uint8), r"holds 0 and 1 alone.*if 1 is white, a = np.load"),
        (np.array(3.0), "0 is black and 3 white"),
    ],
)
def test_advice_fits_what_came(tmp_path, array, words):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=words) as error:
        data.load(tmp_path / "a.npy")
    assert "a.npy" in message(error)


def test_what_was_read_is_told(tmp_path):
    np.save(tmp_path / "a.npy", FRAMES)
    first, layout = data.load(tmp_path / "a.npy").told
    assert first == "5 pictures without classes"
    assert layout == "read as (N, H, W, C) = (5, 6, 8, 3)"
    np.save(tmp_path / "b.npy", FRAMES[..., 0] // 16)
    *_, dark = data.load(tmp_path / "b.npy").told
    assert dark == "NEARLY BLACK: no grey level above 15 of 255, where white is 255"


# .npz files, and others.


def test_npz_with_one_array_is_read(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", faces=FRAMES)
    assert (data.load(tmp_path / "a.npz").x_0.numpy() == FIRST).all()
    np.savez(tmp_path / "a.npz", FRAMES / 255)
    with pytest.raises(ValueError, match=r"np\.load\('.*a\.npz'\)\['arr_0'\]; np\.save"):
        data.load(tmp_path / "a.npz")


def test_npz_with_several_arrays_names_them(tmp_path):
    np.savez(tmp_path / "a.npz", train_images=FRAMES, train_labels=np.arange(5))
    with pytest.raises(ValueError, match="got 2: train_images, train_labels; save the pic"):
        data.load(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="must hold one array, got 0"):
        data.load(tmp_path / "a.npz")
    for content in (b"", b"PK\x03\x04 no zip"):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"is no readable \.npz file"):
            data.load(tmp_path / "a.npz")
    np.save(tmp_path / "a.npy", np.array([FRAMES[0], FRAMES[1, :2]], object))
    with pytest.raises(ValueError, match="pictures of several sizes go into a folder"):
        data.load(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.zip", "unpack it, python -m zipfile"),
        ("a.tar.gz", "unpack it, tar -xf"),
        ("a.pt", "torch.load"),
        ("a.CSV", "np.save"),
        ("a.parquet", "pass the folder that it lies in"),
        ("a.jpg", "it is one picture: put it in a folder"),
        ("a", "must be an .npy file or a folder; put pictures in a folder"),
    ],
)
def test_other_files_get_advice(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=r"must be an \.npy file or a folder; ") as error:
        data.load(tmp_path / name)
    assert words in message(error)
