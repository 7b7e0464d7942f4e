r"""Pictures are read as they are meant: every mode of file, against arrays made by hand."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_files import COLOUR, GREY, RANDOM, message, only, save
from PIL import Image

from ddpm_lite import data
from ddpm_lite.data import pictures

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


@pytest.mark.parametrize("ending", ["gif", "tif", "png", "webp"])
def test_files_with_several_pictures_are_told(tmp_path, ending):
    shades = [Image.fromarray(np.full((16, 16), v, np.uint8)) for v in (10, 90, 200)]
    for name in ("b", "a"):
        several = tmp_path / f"{name}.{ending}"
        shades[0].save(several, save_all=True, append_images=shades[1:])
    shades[2].save(tmp_path / f"c.{ending}")
    (told,) = [s for s in data.load(tmp_path).told if "first" in s]
    assert told.startswith("only the first picture is read of 2 files with several ")
    assert told.endswith(f": a.{ending}, b.{ending}")
    (tmp_path / f"a.{ending}").unlink()
    (tmp_path / f"b.{ending}").unlink()
    assert "first" not in " ".join(data.load(tmp_path).told)


def test_what_follows_the_first_picture_may_be_broken(tmp_path):
    random = np.random.default_rng(0).integers(0, 256, (2, 64, 64), np.uint8)
    shades = [Image.fromarray(shade) for shade in random]
    shades[0].save(tmp_path / "a.gif", save_all=True, append_images=shades[1:])
    whole, encoded = only(tmp_path), (tmp_path / "a.gif").read_bytes()
    (tmp_path / "a.gif").write_bytes(encoded[:-1000])
    assert (only(tmp_path) == whole).all()


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
    noise = np.random.default_rng(0).normal(0, 20, (768, 1024))
    waves = 128 + 60 * np.sin(x) * np.cos(y) + noise
    path = save(tmp_path / "a.jpg", waves.clip(0, 255).astype(np.uint8), quality=95)
    with Image.open(path) as image:
        whole = image.crop((128, 0, 896, 768))
    expected = np.asarray(whole.resize((size, size), Image.Resampling.LANCZOS)).astype(int)
    wrong = abs(only(tmp_path, size=size) - expected)
    assert wrong.mean() <= 0.6 and wrong.max() <= 4  # 12 seeds gave 3 at most


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


@pytest.mark.parametrize("N", [1, 7])
def test_a_few_pictures_are_enough(tmp_path, N):
    for i in range(N):
        save(tmp_path / f"{i}.png", COLOUR)
    assert data.load(tmp_path).x_0.shape == (N, 3, 6, 8)


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
    monkeypatch.setattr(pictures, "free_memory", lambda: 50 * 600)
    whole = data.load(tmp_path)
    monkeypatch.setattr(pictures, "free_memory", lambda: 50 * 600 - 1)
    with pytest.raises(ValueError, match=r"pass a smaller size, or an \.npy file") as error:
        data.load(tmp_path)
    assert "(50, 3, 20, 10) bytes" in message(error)
    assert data.load(tmp_path, channels=1).shape == (1, 20, 10)
    with pytest.raises(ValueError, match="split it once, into two"):
        whole.split(0.5)


@pytest.mark.parametrize("channels", [1, 3, None])
def test_a_size_that_memory_cannot_hold_is_refused_unscaled(
    tmp_path, channels, monkeypatch
):
    for i in range(2):
        save(tmp_path / f"{i}.png", COLOUR)
    np.save(tmp_path / "a.npy", np.stack([COLOUR, COLOUR]))
    monkeypatch.setattr(pictures, "upright", lambda *_: pytest.fail("scaled one"))
    monkeypatch.setattr(pictures, "free_memory", lambda: 2 * (channels or 1) * 900 - 1)
    for name in (tmp_path, tmp_path / "a.npy"):
        with pytest.raises(ValueError, match=r"30, 30\) bytes, needs .* a smaller size"):
            data.load(name, size=30, channels=channels, lazy=False)


def test_free_memory_is_a_plausible_number(tmp_path, monkeypatch):
    assert 1e7 < pictures.free_memory() < 1e15
    real = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda p: real(p) and "meminfo" not in str(p))
    assert 1e7 < pictures.free_memory()
