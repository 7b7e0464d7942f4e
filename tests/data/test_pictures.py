r"""Pictures are read as they are meant: every mode of file, against arrays made by hand."""

import io
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import close
from PIL import Image

from ddpm_lite import data
from ddpm_lite.data import pictures
from ddpm_lite.data.pictures import PictureSet
from ddpm_lite.training import trainer

SHARED = Path(__file__).parents[3] / "shared" / "data"
RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (6, 8), np.uint8)
COLOUR = RANDOM.integers(0, 256, (6, 8, 3), np.uint8)


def save(path, array, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def only(folder, **options):
    r"""The one picture of a folder, (H, W) or (H, W, 3), as integers."""
    x_0 = data.load(folder, **options).x_0
    assert len(x_0) == 1
    return x_0[0].permute(1, 2, 0).numpy().astype(int).squeeze()


def message(error):
    assert "\n" not in str(error.value)
    return str(error.value)


# What is in the set.


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_the_digits_are_those_of_data_digits(split):
    x_0, y = data.digits(split)
    loaded = data.load("digits", split=split)
    assert torch.equal(loaded.to_float(), x_0) and torch.equal(loaded.y, y)
    assert loaded.levels == 17 and loaded.classes == tuple("0123456789")
    assert loaded.x_0.dtype == torch.uint8 and loaded.x_0.max() == 16
    assert loaded.shape == (1, 8, 8) and len(loaded) == len(x_0)
    assert torch.equal(data.load("digits", size=8, channels=1).x_0, data.load("digits").x_0)
    with pytest.raises(ValueError, match=r"got size \(16, 16\) and channels None"):
        data.load("digits", size=16)
    with pytest.raises(ValueError, match='split must be "train" or "held_out"'):
        data.load("digits", split="test")


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_grey_levels_span_minus_one_to_one(levels):
    x_0 = torch.arange(levels, dtype=torch.uint8).reshape(-1, 1, 1, 1)
    floats = PictureSet(x_0, levels=levels).to_float()
    exact = [float(Fraction(2 * g, levels - 1) - 1) for g in range(levels)]
    assert floats.dtype == torch.float32 and floats[0] == -1 and floats[-1] == 1
    rounding = 3e-7  # a quotient and a difference below 2, each right to 1.2e-7
    close(floats.flatten().double(), exact, rtol=0, atol=rounding)
    assert torch.equal(floats, trainer.to_float(x_0, levels))
    index = torch.tensor([levels - 1, 0])
    picked = PictureSet(x_0, levels=levels).to_float(index)
    close(picked, floats[index], rtol=0, atol=rounding)


def some(N=20, classes=2):
    x_0 = torch.arange(N * 12, dtype=torch.int64).reshape(N, 3, 2, 2).remainder(251).byte()
    return PictureSet(x_0, torch.arange(N) % classes, ("a", "b"), "some", ("bad",))


@pytest.mark.parametrize(("hold_out", "number"), [(0.2, 4), (3, 3), (19, 19), (0.99, None)])
def test_split_parts_have_nothing_in_common(hold_out, number):
    whole = some(20 if number else 200)
    train, held_out = whole.split(hold_out)
    assert len(held_out) == (number or 198) and len(train) + len(held_out) == len(whole)
    for part in (train, held_out):
        assert (part.classes, part.name, part.skipped) == (("a", "b"), "some", ("bad",))
        found = (whole.x_0[:, None] == part.x_0[None]).flatten(2).all(2).nonzero()[:, 0]
        assert (found.diff() > 0).all() and torch.equal(whole.y[found], part.y)
    both = torch.cat([train.x_0, held_out.x_0]).flatten(1).tolist()
    assert sorted(both) == sorted(whole.x_0.flatten(1).tolist())
    again = whole.split(hold_out)
    assert torch.equal(again[0].x_0, train.x_0) and torch.equal(again[1].y, held_out.y)


def test_split_does_not_follow_the_order_of_classes():
    N = 2000
    y = torch.arange(N) // (N // 4)
    for order in (y, torch.arange(N) % 4):
        _, held_out = PictureSet(torch.zeros(N, 1, 1, 1).byte(), order).split(0.2)
        counts = torch.bincount(held_out.y, minlength=4)
        assert ((counts - 100).abs() <= 5 * (400 * 3 / 16 * 0.8) ** 0.5).all()


@pytest.mark.parametrize("hold_out", [0, 20, -1, 0.0, 1.0, 0.01, 5.0, True, float("nan")])
def test_split_refuses_to_leave_a_side_empty(hold_out):
    with pytest.raises(ValueError, match="must leave a picture of some's 20") as error:
        some().split(hold_out)
    assert repr(hold_out) in message(error)


def test_the_fingerprint_is_of_all_that_is_in_the_set():
    whole = some(3000)
    assert whole.fingerprint() == some(3000).fingerprint()
    assert len(whole.fingerprint()) == 16 and int(whole.fingerprint(), 16) >= 0
    x_0, y = whole.x_0.clone(), whole.y.clone()
    x_0[2999, 2, 1, 1] += 1
    y[1] = 0
    others = [
        PictureSet(x_0, whole.y, whole.classes),
        PictureSet(whole.x_0, y, whole.classes),
        PictureSet(whole.x_0, None, whole.classes),
        PictureSet(whole.x_0, whole.y, ("b", "a")),
        PictureSet(whole.x_0, whole.y, whole.classes, levels=255),
        PictureSet(whole.x_0.transpose(2, 3), whole.y, whole.classes),
        PictureSet(whole.x_0.reshape(3000, 3, 4, 1), whole.y, whole.classes),
    ]
    prints = {other.fingerprint() for other in others} | {whole.fingerprint()}
    assert len(prints) == len(others) + 1
    renamed = PictureSet(whole.x_0, whole.y, whole.classes, "other")
    assert renamed.fingerprint() == whole.fingerprint()


@pytest.mark.parametrize(
    ("x_0", "y", "wrong"),
    [
        (torch.zeros(2, 1, 2, 2), None, r"x_0 must be uint8 .* got torch.float32"),
        (torch.zeros(2, 2, 2).byte(), None, r"got torch.uint8 \(2, 2, 2\)"),
        (torch.zeros(0, 1, 2, 2).byte(), None, r"N >= 1, got .*\(0, 1, 2, 2\)"),
        (torch.zeros(2, 1, 2, 2).byte(), torch.zeros(3).long(), r"y must be int64 \(2,\)"),
        (torch.zeros(2, 1, 2, 2).byte(), torch.zeros(2), r"y must be .* got torch.float32"),
    ],
)
def test_a_set_refuses_other_tensors(x_0, y, wrong):
    with pytest.raises(ValueError, match=wrong):
        PictureSet(x_0, y)


# Every kind of file.


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "ppm", "PNG", "webp", "gif"])
def test_files_without_loss(tmp_path, ending):
    options = {"webp": {"lossless": True}}.get(ending, {})
    if ending != "gif":  # which has a palette
        save(tmp_path / f"a.{ending}", COLOUR, **options)
        assert (only(tmp_path) == COLOUR).all()
    save(tmp_path / f"a.{ending}", GREY, **options)
    expected = np.stack([GREY] * 3, 2) if ending == "webp" else GREY
    assert (only(tmp_path) == expected).all()
    assert data.load(tmp_path).shape == (3 if ending == "webp" else 1, 6, 8)


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "JPG"])
def test_jpeg(tmp_path, ending):
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    save(tmp_path / f"a.{ending}", flat, quality=100)
    assert abs(only(tmp_path) - flat).max() <= 2
    save(tmp_path / f"a.{ending}", flat[:, :, 0], quality=100)
    assert abs(only(tmp_path) - 200).max() <= 1 and data.load(tmp_path).shape[0] == 1


def on_white(value, alpha):
    return value * (alpha / 255) + 255 * (1 - alpha / 255)


def test_transparent_pictures_lie_on_white(tmp_path):
    alpha = RANDOM.integers(0, 256, (6, 8), np.uint8)
    alpha[0, :4] = 0, 255, 0, 255
    save(tmp_path / "la" / "a.png", np.stack([GREY, alpha], 2))
    save(tmp_path / "rgba" / "a.png", np.dstack([COLOUR, alpha]))
    la, rgba = only(tmp_path / "la"), only(tmp_path / "rgba")
    assert data.load(tmp_path / "la").shape == (1, 6, 8)
    assert abs(la - on_white(GREY.astype(float), alpha)).max() <= 1
    assert abs(rgba - on_white(COLOUR.astype(float), alpha[:, :, None])).max() <= 1
    assert (rgba[0, [0, 2]] == 255).all() and (rgba[0, [1, 3]] == COLOUR[0, [1, 3]]).all()


@pytest.mark.parametrize("transparency", [None, 1, b"\xff\x00\x80"])
def test_palettes(tmp_path, transparency):
    index = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    palette = np.array([[250, 10, 20], [0, 130, 7], [90, 90, 200]])
    image = Image.fromarray(index)
    image.putpalette(palette.astype(np.uint8).tobytes())
    extra = {} if transparency is None else {"transparency": transparency}
    image.save(tmp_path / "a.png", **extra)
    alpha = {None: [255] * 3, 1: [255, 0, 255]}.get(transparency, [255, 0, 128])
    expected = on_white(palette[index], np.array(alpha)[index][:, :, None])
    assert abs(only(tmp_path) - expected).max() <= 1


def test_a_palette_of_greys_is_grey(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 1]], np.uint8))
    image.putpalette([40, 40, 40, 9, 9, 9])
    image.save(tmp_path / "a.png")
    assert data.load(tmp_path).shape == (1, 1, 3)
    assert (only(tmp_path) == [40, 9, 9]).all()


def test_one_colour_can_stand_for_transparent(tmp_path):
    save(tmp_path / "grey" / "a.png", GREY, transparency=int(GREY[2, 3]))
    expected = np.where(GREY == GREY[2, 3], 255, GREY)
    assert (only(tmp_path / "grey") == expected).all()
    save(tmp_path / "rgb" / "a.png", COLOUR, transparency=tuple(map(int, COLOUR[1, 1])))
    expected = COLOUR.copy()
    expected[1, 1] = 255
    assert (only(tmp_path / "rgb") == expected).all()


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_sixteen_bits_are_scaled_and_not_cut(tmp_path, ending):
    wide = np.array([[0, 128, 129, 257, 1000], [32768, 65278, 65406, 65407, 65535]])
    save(tmp_path / f"a.{ending}", wide.astype(np.uint16))
    exact = [[round(Fraction(int(v) * 255, 65535)) for v in row] for row in wide]
    assert exact[0][:4] == [0, 0, 1, 1] and exact[1][-1] == 255
    assert (only(tmp_path) == exact).all() and data.load(tmp_path).shape == (1, 2, 5)


def test_sixteen_bits_with_the_other_end_first(tmp_path):
    image = Image.frombytes("I;16B", (2, 1), b"\x80\x00\xff\xff")
    image.save(tmp_path / "a.tif")
    assert (only(tmp_path) == [128, 255]).all()


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_thirty_two_bits_are_refused_in_words(tmp_path, kind):
    save(tmp_path / "a.tif", np.ones((3, 3), kind))
    with pytest.raises(ValueError, match=r"a\.tif \(32-bit numbers do not say which is w"):
        data.load(tmp_path)


def test_one_bit_and_cmyk(tmp_path):
    bits = GREY > 99
    save(tmp_path / "bits" / "a.png", bits)
    assert (only(tmp_path / "bits") == 255 * bits).all()
    ink = RANDOM.integers(0, 256, (6, 8, 4), np.uint8)
    Image.frombytes("CMYK", (8, 6), ink.tobytes()).save(tmp_path / "ink.tif")
    (tmp_path / "bits" / "a.png").unlink()
    left = 1 - ink / 255.0
    expected = 255 * left[:, :, :3] * left[:, :, 3:]
    assert abs(only(tmp_path) - expected).max() <= 1


def test_a_film_gives_its_first_picture(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 2
    assert (only(tmp_path) == 10).all()


UPRIGHT = {  # what the EXIF standard says of row 0 and column 0
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_pictures_are_turned_as_exif_says(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "png" / "a.png", COLOUR, exif=exif)
    assert (only(tmp_path / "png") == UPRIGHT[orientation](COLOUR)).all()
    save(tmp_path / "wide" / "a.png", GREY.astype(np.uint16) * 257, exif=exif)
    assert (only(tmp_path / "wide") == UPRIGHT[orientation](GREY)).all()
    blocks = np.kron(np.array([[20, 90, 160], [230, 60, 130]]), np.ones((160, 160)))
    save(tmp_path / "jpg" / "a.jpg", blocks.astype(np.uint8), exif=exif)
    expected = UPRIGHT[orientation](blocks)
    assert abs(only(tmp_path / "jpg") - expected).max() <= 2
    H, W = expected.shape
    small = only(tmp_path / "jpg", size=(H // 16, W // 16))  # decoded at 1/4 of the size
    middle = (slice(4, None, 10), slice(4, None, 10))  # far from the borders of blocks
    assert abs(small[middle] - expected[::16, ::16][middle]).max() <= 2


def test_exif_may_be_nonsense(tmp_path):
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x02\x00zz"  # says two entries, has none
    save(tmp_path / "a.jpg", np.full((8, 8), 77, np.uint8), exif=exif)
    assert abs(only(tmp_path) - 77).max() <= 1


# One size and one number of channels.


@pytest.mark.parametrize("wide", [True, False])
def test_scaling_covers_and_cuts_the_middle(tmp_path, wide):
    bands = np.repeat([10, 100, 240], 20)[None].repeat(20, 0).astype(np.uint8)  # (20, 60)
    save(tmp_path / "a.png", bands if wide else bands.T.copy())
    assert (only(tmp_path, size=20) == 100).all()
    assert (only(tmp_path, size=(20, 60) if wide else (60, 20)).ravel() != 100).any()
    half = only(tmp_path, size=(10, 20) if wide else (20, 10))  # 5 of each neighbour
    half = half if wide else half.T
    assert half.shape == (10, 20)
    assert abs(half[:, [0, 1]] - 10).max() <= 3 and abs(half[:, [-1, -2]] - 240).max() <= 3
    assert abs(half[:, 8:12] - 100).max() <= 3


def test_scaling_down_averages_what_it_leaves_out(tmp_path):
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    save(tmp_path / "a.png", board)
    assert abs(only(tmp_path, size=8) - 127.5).max() <= 4


def test_scaling_is_lanczos_with_three_lobes(tmp_path):
    # one axis, by hand: each new pixel is a mean with the weights sinc(x) sinc(x / 3)
    row = RANDOM.integers(0, 256, 48)
    save(tmp_path / "a.png", row[None].repeat(48, 0).astype(np.uint8))
    position = (np.arange(48) + 0.5) / 4
    x = position[None] - (np.arange(12)[:, None] + 0.5)
    weights = np.where(abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    expected = (weights / weights.sum(1, keepdims=True)) @ row
    assert abs(only(tmp_path, size=12) - expected.clip(0, 255)).max() <= 1.5


@pytest.mark.parametrize("size", [32, 100])
def test_a_large_jpeg_is_scaled_as_if_decoded_in_full(tmp_path, size):
    y, x = np.mgrid[0:768, 0:1024] / 60
    waves = 128 + 60 * np.sin(x) * np.cos(y) + RANDOM.normal(0, 20, (768, 1024))
    path = save(tmp_path / "a.jpg", waves.clip(0, 255).astype(np.uint8), quality=95)
    with Image.open(path) as image:
        whole = image.crop((128, 0, 896, 768))
    expected = np.asarray(whole.resize((size, size), Image.Resampling.LANCZOS)).astype(int)
    assert abs(only(tmp_path, size=size) - expected).max() <= 2


def test_several_sizes_are_named(tmp_path):
    for i, shape in enumerate([(4, 6), (4, 6), (6, 4), (5, 5), (4, 6)]):
        save(tmp_path / f"{i}.png", np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="pass size, such as size=64") as error:
        data.load(tmp_path)
    for text in ("3 sizes", "4 x 6 (3)", "6 x 4 (1)", "5 x 5 (1)", tmp_path.name):
        assert text in message(error)
    assert data.load(tmp_path, size=(5, 7)).x_0.shape == (5, 1, 5, 7)


def test_exif_turns_two_sizes_into_one(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "a.png", np.zeros((4, 6), np.uint8))
    save(tmp_path / "b.png", np.zeros((6, 4), np.uint8), exif=exif)
    assert data.load(tmp_path).x_0.shape == (2, 1, 4, 6)


@pytest.mark.parametrize("size", [0, -3, 2.5, True, (4,), (4, 4, 4), "64", (0, 4), "x"])
def test_bad_sizes(size):
    with pytest.raises(ValueError, match="size must be an integer"):
        data.load("digits", size=size)


@pytest.mark.parametrize("channels", [0, 2, 4, "3"])
def test_bad_channels(channels):
    with pytest.raises(ValueError, match="channels must be 1, 3 or None, got"):
        data.load("digits", channels=channels)


@pytest.mark.parametrize("names", ["abc", "cba", "bac"])
def test_one_picture_in_colour_makes_all_colour(tmp_path, names, monkeypatch):
    save(tmp_path / f"{names[0]}.png", GREY)
    save(tmp_path / f"{names[1]}.png", COLOUR)
    save(tmp_path / f"{names[2]}.png", GREY.T.copy().T)
    both = data.load(tmp_path)
    assert both.shape == (3, 6, 8)
    place = {name: sorted(names).index(name) for name in names}
    assert (both.x_0[place[names[1]]].permute(1, 2, 0).numpy() == COLOUR).all()
    assert (both.x_0[place[names[0]]].numpy() == GREY).all()
    monkeypatch.setattr(pictures, "HEAVY", -1)
    assert torch.equal(data.load(tmp_path).x_0, both.x_0)


def test_channels_may_be_asked_for(tmp_path):
    save(tmp_path / "a.png", COLOUR)
    grey = only(tmp_path, channels=1)
    assert abs(grey - COLOUR @ [0.299, 0.587, 0.114]).max() <= 0.51  # ITU-R BT.601
    save(tmp_path / "a.png", GREY)
    assert (only(tmp_path, channels=3) == GREY[:, :, None]).all()


# Folders.


def test_order_and_classes_do_not_depend_on_the_file_system(tmp_path):
    names = ["b/2.png", "a/10.png", "c/1.PNG", "a/9.png", "b/1.jpg"]
    sets = []
    for order in (names, names[::-1]):
        folder = tmp_path / str(order is names) / "pets"
        for name in order:
            save(folder / name, np.full((8, 8), 40 * names.index(name), np.uint8))
        save(folder / "a" / ".hidden.png", GREY)
        save(folder / ".cache" / "x.png", GREY)
        (folder / "notes.txt").write_text("not a picture")
        sets.append(data.load(folder))
    one, other = sets
    assert one.fingerprint() == other.fingerprint() == data.load(folder).fingerprint()
    assert one.x_0[:, 0, 0, 0].tolist() == [40, 120, 160, 0, 80]
    assert one.y.tolist() == [0, 0, 1, 1, 2] and one.y.dtype == torch.int64
    assert one.classes == ("a", "b", "c") and one.name == "pets" and one.skipped == ()


@pytest.mark.parametrize(
    "names", [["a/1.png", "2.png"], ["a/b/1.png", "c/d/2.png"], ["a/1.png", "a/2.png"]]
)
def test_other_folders_have_no_classes(tmp_path, names):
    for name in names:
        save(tmp_path / name, GREY)
    loaded = data.load(str(tmp_path))
    assert len(loaded) == 2 and loaded.y is None and loaded.classes == ()


def test_splits_are_no_classes(tmp_path):
    for name in ("train/cat/1.png", "test/cat/2.png", "train/dog/3.png"):
        save(tmp_path / name, GREY)
    with pytest.raises(ValueError, match="holds the splits test, train, which are no cl"):
        data.load(tmp_path)
    assert data.load(tmp_path / "train").classes == ("cat", "dog")
    with pytest.raises(ValueError, match="has no splits: leave split out"):
        data.load(tmp_path / "train", split="test")


@pytest.mark.parametrize("N", [1, 7])
def test_a_few_pictures_are_enough(tmp_path, N):
    for i in range(N):
        save(tmp_path / f"{i}.png", COLOUR)
    assert data.load(tmp_path).x_0.shape == (N, 3, 6, 8)


def test_links_are_followed_and_loops_are_not(tmp_path):
    save(tmp_path / "real" / "1.png", GREY)
    folder = tmp_path / "folder"
    folder.mkdir()
    try:
        (folder / "cats").symlink_to(tmp_path / "real")
        (folder / "loop").symlink_to(folder)
    except OSError:
        pytest.skip("this system lets nobody make links")
    assert len(data.load(folder)) == 1
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match=r"1 of 2 pictures of folder cannot .*: gone\.png"):
        data.load(folder)


# Broken pictures.


def break_some(folder):
    noise = RANDOM.integers(0, 256, (64, 64, 3), np.uint8)
    for name in ("a.png", "c.jpg", "e.png"):
        save(folder / name, noise)
    for name in ("b.png", "d.jpg", "f.webp", "g.gif", "h.bmp", "m.tif"):
        path = save(folder / name, noise)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (folder / "i.png").write_bytes(b"")
    (folder / "j.png").write_text("I am a letter")
    whole = bytearray((folder / "a.png").read_bytes())
    whole[200] ^= 255
    (folder / "k.png").write_bytes(whole)
    (folder / "l.heic").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(64))
    return noise, "b.png d.jpg f.webp g.gif h.bmp i.png j.png k.png l.heic m.tif".split()


@pytest.mark.parametrize("heavy", [-1, 10**9])
@pytest.mark.parametrize("size", [None, 8])
def test_every_broken_picture_is_named(tmp_path, size, heavy, monkeypatch):
    monkeypatch.setattr(pictures, "HEAVY", heavy)
    noise, broken = break_some(tmp_path)
    with pytest.raises(ValueError, match=r"10 of 13 pictures of .* cannot be r") as error:
        data.load(tmp_path, size=size)
    text = message(error)
    assert [name for name in broken if f"{name} (" in text] == broken
    assert "skip_broken=True" in text and "i.png (0 bytes)" in text
    assert "j.png (not a picture that Pillow reads)" in text and "0x" not in text
    kept = data.load(tmp_path, size=size, skip_broken=True)
    assert kept.skipped == tuple(broken) and len(kept) == 3
    if size is None:
        assert (kept.x_0[[0, 2]].permute(0, 2, 3, 1).numpy() == noise).all()


def test_labels_stay_with_their_pictures(tmp_path):
    for i, name in enumerate(["a/1.png", "a/2.png", "b/3.png", "c/4.png"]):
        save(tmp_path / name, np.full((4, 4), i, np.uint8))
    for name in ("a/1.png", "c/4.png"):
        (tmp_path / name).write_bytes(b"no")
    kept = data.load(tmp_path, skip_broken=True)
    assert kept.x_0[:, 0, 0, 0].tolist() == [1, 2] and kept.y.tolist() == [0, 1]
    assert kept.classes == ("a", "b", "c")


def test_many_broken_pictures_are_counted(tmp_path):
    save(tmp_path / "good.png", GREY)
    for i in range(25):
        (tmp_path / f"{i:02}.png").write_bytes(b"no")
    with pytest.raises(ValueError, match="25 of 26 pictures") as error:
        data.load(tmp_path)
    assert "09.png (" in message(error) and "10.png" not in message(error)
    assert "and 15 more" in message(error)
    (tmp_path / "good.png").unlink()
    with pytest.raises(ValueError, match="25 of 25 pictures"):
        data.load(tmp_path, skip_broken=True)


@pytest.mark.parametrize("side", [12, 40])  # Pillow warns of one, and raises at the other
def test_a_bomb_is_named(tmp_path, side, monkeypatch):
    save(tmp_path / "big.png", np.zeros((side, side), np.uint8))
    save(tmp_path / "good.png", np.zeros((8, 8), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match=r"1 of 2 .*: big\.png \(more than 100 pixels\)"):
        data.load(tmp_path, size=8)
    assert data.load(tmp_path, skip_broken=True).skipped == ("big.png",)


def test_more_than_memory_holds_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    for i in range(50):
        save(tmp_path / f"{i:02}.png", np.zeros((20, 10, 3), np.uint8))
    monkeypatch.setattr(pictures, "_free_memory", lambda: 50 * 600)
    whole = data.load(tmp_path)
    monkeypatch.setattr(pictures, "_free_memory", lambda: 50 * 600 - 1)
    with pytest.raises(ValueError, match=r"pass a smaller size, or an \.npy file") as error:
        data.load(tmp_path)
    assert "(50, 3, 20, 10) bytes" in message(error)
    assert data.load(tmp_path, channels=1).shape == (1, 20, 10)
    with pytest.raises(ValueError, match="split it once, into two"):
        whole.split(0.5)


def test_free_memory_is_a_plausible_number(tmp_path, monkeypatch):
    assert 1e7 < pictures._free_memory() < 1e15
    real = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda p: real(p) and "meminfo" not in str(p))
    assert 1e7 < pictures._free_memory()


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


# Names that lead nowhere.


def test_a_wrong_name_gets_the_nearest_and_all_known(tmp_path, monkeypatch):
    (tmp_path / "photos" / "holiday").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for wrong, right in [
        ("photo", "photos"),
        (tmp_path / "phtos", tmp_path / "photos"),
        ("photos/holidays", Path("photos/holiday")),
        ("./photoz/holiday", "photos"),
        ("digit", "digits"),
        ("mnist", "ylecun/mnist"),
        ("cifar-10", "uoft-cs/cifar10"),
    ]:
        with pytest.raises(FileNotFoundError) as error:
            data.load(wrong)
        assert f"did you mean {right}?" in message(error), wrong
        assert "Known names are digits, ylecun/mnist" in message(error)
    with pytest.raises(FileNotFoundError, match=r"or folder zzzz\. Known names are"):
        data.load("zzzz")


@pytest.mark.parametrize("name", ["", " ", None, 3])
def test_no_name(name):
    with pytest.raises(ValueError, match="name must name a data set or a path, got"):
        data.load(name)


def test_folders_without_pictures(tmp_path):
    (tmp_path / ".hidden").write_text("")
    with pytest.raises(FileNotFoundError, match="is empty"):
        data.load(tmp_path)
    for name in ("a.txt", "b.txt", "c.arrow", "d"):
        (tmp_path / name).write_text("")
    with pytest.raises(FileNotFoundError, match="holds no pictures") as error:
        data.load(tmp_path)
    assert message(error).endswith("but 4 other files: .txt, .arrow, no ending")
    with pytest.raises(ValueError, match=r"a\.txt must be an \.npy file or a folder"):
        data.load(tmp_path / "a.txt")


# The hub's layout.


@pytest.fixture
def hub(tmp_path, monkeypatch):
    r"""Make a folder of parquet, and see that nothing else is written."""
    datasets = pytest.importorskip("datasets", reason="the extra `data` is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def make(columns, split="train"):
        folder = tmp_path / "pets"
        (folder / "data").mkdir(parents=True, exist_ok=True)
        table = datasets.Dataset.from_dict(
            {name: values for name, (_, values) in columns.items()},
            features=datasets.Features({name: kind for name, (kind, _) in columns.items()}),
        )
        whole = table.with_format("arrow")[:]
        parquet.write_table(whole, folder / "data" / f"{split}-0-of-1.parquet")
        return folder

    make.datasets = datasets
    yield make
    assert not (tmp_path / "cache").exists()
    files = [p for p in (tmp_path / "pets").rglob("*") if p.is_file()]
    assert all(p.suffix == ".parquet" for p in files)


def encoded(arrays):
    found = []
    for array in arrays:
        file = io.BytesIO()
        Image.fromarray(array).save(file, "PNG")
        found.append({"bytes": file.getvalue(), "path": None})
    return found


def test_parquet_columns_are_found_by_their_type(hub, capfd):
    D = hub.datasets
    frames = [np.full((4, 5, 3), i, np.uint8) for i in range(6)]
    folder = hub(
        {
            "id": (D.Value("int64"), list(range(6))),
            "img": (D.Image(), encoded(frames)),
            "coarse": (D.ClassLabel(names=["x", "y"]), [0, 1, 0, 1, 0, 1]),
            "fine_label": (D.ClassLabel(names=["p", "q", "r"]), [2, 1, 0, 0, 1, 2]),
        }
    )
    loaded = data.load(folder)
    assert (loaded.x_0.permute(0, 2, 3, 1).numpy() == np.stack(frames)).all()
    assert loaded.y.tolist() == [2, 1, 0, 0, 1, 2] and loaded.classes == ("p", "q", "r")
    assert loaded.name == "pets" and loaded.fingerprint() == data.load(folder).fingerprint()
    part = data.load(str(folder), split="train[2:4]", size=2, channels=1)
    assert part.x_0.shape == (2, 1, 2, 2) and part.x_0[:, 0, 0, 0].tolist() == [2, 3]
    assert part.y.tolist() == [0, 0]
    with pytest.raises(ValueError, match=r'Unknown split "test".*train'):
        data.load(folder, split="test")
    assert D.is_progress_bar_enabled() and capfd.readouterr().err == ""


def test_parquet_with_broken_rows_and_without_classes(hub):
    D = hub.datasets
    rows = encoded([GREY, GREY, GREY])
    rows[1]["bytes"] = rows[1]["bytes"][:70]
    label = D.ClassLabel(names=["a", "b"])
    folder = hub({"image": (D.Image(), [*rows, None]), "label": (label, [1, 1, 0, 0])})
    with pytest.raises(ValueError, match=r"2 of 4 .*row 1 \(.*row 3 \(0 bytes\)"):
        data.load(folder)
    kept = data.load(folder, skip_broken=True)
    assert kept.skipped == ("row 1", "row 3") and kept.y.tolist() == [1, 0]
    assert kept.shape == (1, 6, 8)
    folder = hub({"image": (D.Image(), rows[:1] * 2), "label": (label, [1, -1])})
    unknown = data.load(folder)
    assert unknown.y is None and unknown.classes == () and len(unknown) == 2


def test_parquet_without_a_column_of_pictures(hub):
    D = hub.datasets
    folder = hub({"text": (D.Value("string"), ["a"]), "n": (D.Value("int64"), [1])})
    with pytest.raises(ValueError, match=r"must have one column of pictures.*'text', 'n'"):
        data.load(folder)
    two = {"left": (D.Image(), encoded([GREY])), "right": (D.Image(), encoded([GREY]))}
    folder = hub(two)
    with pytest.raises(ValueError, match=r"got \['left', 'right'\]"):
        data.load(folder)
    folder = hub({**two, "image": (D.Image(), encoded([COLOUR]))})
    assert data.load(folder).shape == (3, 6, 8)


def test_the_hub_that_does_not_answer(monkeypatch, tmp_path):
    datasets = pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)

    def nobody(*words, **options):
        assert words == ("ylecun/mnsit",) and options["cache_dir"] is None
        raise ConnectionError("Couldn't reach\nthe Hub")

    monkeypatch.setattr(datasets, "load_dataset", nobody)
    with pytest.raises(ConnectionError, match=r"did you mean ylecun/mnist\?") as error:
        data.load("ylecun/mnsit")
    for text in ("does not give ylecun/mnsit: Couldn't reach the Hub", "data/train-00000"):
        assert text in message(error)


def test_without_datasets(monkeypatch, tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "datasets", None)
    for name in ("ylecun/mnist", tmp_path):
        with pytest.raises(ImportError, match=r"pip install 'ddpm-lite\[data\]'"):
            data.load(name)


def real(name):
    pytest.importorskip("datasets", reason="the extra `data` is not installed")
    if not (SHARED / name).is_dir():
        pytest.skip(f"there is no ../shared/data/{name}")
    return SHARED / name


def test_mnist_as_everybody_knows_it():
    loaded = data.load(real("mnist"), split="test")
    assert loaded.x_0.shape == (10_000, 1, 28, 28) and loaded.classes == tuple("0123456789")
    assert loaded.y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert float(loaded.x_0.double().mean()) / 255 == pytest.approx(0.1325, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "shape", "first"),
    [("fashion_mnist", (1, 28, 28), "Ankle boot"), ("cifar10", (3, 32, 32), "frog")],
)
def test_other_sets_as_everybody_knows_them(name, shape, first):
    loaded = data.load(real(name), split="train[:50]")
    assert loaded.x_0.shape == (50, *shape) and len(loaded.classes) == 10
    assert loaded.classes[loaded.y[0]] == first
