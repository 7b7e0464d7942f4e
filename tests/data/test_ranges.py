r"""The range of pictures that a trainer is given: understood, or an error that fits."""

import numpy as np
import pytest
import torch
from picture_files import COLOUR, GREY, message, save

from ddpm_lite import MLP, Schedule, TrainConfig, Trainer, UNet, data
from ddpm_lite.data import ranges

SHADES = torch.linspace(0, 1, 128).reshape(2, 1, 8, 8)
MASK = (SHADES > 0.4).byte()


def trainer(x_0, levels=256, clip=True):
    tiny = dict(size=8, width=4, groups=4, multipliers=(1,), attention=(), T=40)
    network = UNet(channels=x_0.shape[1], clip=clip, **tiny)
    config = TrainConfig(steps=1, batch_size=2)
    return Trainer(network, Schedule.cosine(40), x_0, config, levels=levels)


@pytest.mark.parametrize(
    ("x_0", "words"),
    [
        (255 * SHADES, r"got values from 0 to 255: pass 2 \* x / 255 - 1, if 0 is black"),
        (16 * SHADES, r"2 \* x / 16 - 1"),
        (65535 * SHADES, r"2 \* x / 65535 - 1"),
        (1.5 * SHADES, r"2 \* x / 1\.5 - 1"),
        (MASK, "got 0 and 1 alone: if 1 is white, pass levels=2, or 255"),
    ],
)
def test_a_range_that_is_surely_another_is_refused(x_0, words):
    with pytest.raises(ValueError, match=words) as error:
        trainer(x_0)
    message(error)


@pytest.mark.parametrize("x_0", [MASK.long(), MASK.bool(), SHADES + 0j, SHADES.int() * 9])
def test_other_numbers_are_refused_with_what_would_do(x_0):
    with pytest.raises(
        TypeError, match=r"floating point tensor .* or uint8 pictures .*got t"
    ):
        trainer(x_0)


@pytest.mark.parametrize(
    ("x_0", "words"),
    [
        (SHADES, r"values from 0 to 1\. If 0 is black, pass 2 \* x - 1; read as they are"),
        (0.9 * SHADES, r"values from 0 to 0\.9\. If 0 is black"),
        (
            3 * SHADES - 1,
            r"from -1 to 2, but samples are cut to \[-1, 1\]: pass 2 \* \(x - b",
        ),
    ],
)
def test_a_range_that_may_be_meant_so_warns(x_0, words):
    with pytest.warns(UserWarning, match=words):
        trainer(x_0)


def test_what_is_right_says_nothing():
    for x_0 in (
        2 * SHADES - 1,
        0 * SHADES,
        (255 * SHADES).byte(),
        1.0001 * (2 * SHADES - 1),
    ):
        trainer(x_0)
    trainer(MASK, levels=2)
    trainer(4 * SHADES.repeat(1, 4, 1, 1), clip=False)  # such as latents
    points = 3 * data.two_moons(8).abs()
    Trainer(MLP(T=40), Schedule.cosine(40), points, TrainConfig(steps=1, batch_size=2))


def test_masks_in_a_folder(tmp_path):
    save(tmp_path / "a.png", (GREY > 99).astype(np.uint8))
    with pytest.raises(ValueError, match="holds grey levels 0 and 1 alone, of 0 to 255: "):
        data.load(tmp_path)
    save(tmp_path / "b.png", GREY)
    assert len(data.load(tmp_path)) == 2
    save(tmp_path / "c" / "a.png", GREY > 99)  # one bit, of which Pillow knows white
    assert data.load(tmp_path / "c").x_0.max() == 255


def test_dark_pictures_are_told(tmp_path):
    save(tmp_path / "a.png", COLOUR // 9)
    assert "NEARLY BLACK: no grey level above 27" in data.load(tmp_path).told[-1]


@pytest.mark.parametrize(
    ("grey", "words"),
    [
        ([255, 255], ["NEARLY ONE GREY: all grey levels lie in 255..255, of 0..255"]),
        ([128, 128], ["NEARLY ONE GREY: all grey levels lie in 128..128, of 0..255"]),
        ([224, 255], ["NEARLY ONE GREY: all grey levels lie in 224..255, of 0..255"]),
        ([223, 255], []),
        ([0, 2], ["NEARLY BLACK: no grey level above 2 of 255, where white is 255"]),
        ([0, 255], []),
    ],
)
def test_pictures_that_show_nearly_nothing_are_told(grey, words, tmp_path):
    for number, level in enumerate(grey):
        save(tmp_path / f"{number}.png", np.full((5, 5), level, np.uint8))
    assert list(data.load(tmp_path).told[1:]) == words
    many = np.full((600, 5, 5), grey[0], np.uint8)  # and where the other one comes last
    many[-1] = grey[1]
    np.save(tmp_path / "a.npy", many)
    assert list(data.load(tmp_path / "a.npy").told[2:]) == words


def test_one_picture_many_times_is_told(tmp_path):
    many = np.repeat(GREY[None], 600, axis=0)
    np.save(tmp_path / "a.npy", many)
    assert data.load(tmp_path / "a.npy").told[-1] == "ALL THE SAME: one picture 600 times"
    many[-1, 0, 0] ^= 1
    np.save(tmp_path / "b.npy", many)
    np.save(tmp_path / "c.npy", many[:1])
    for name in "bc":
        assert "ALL" not in " ".join(data.load(tmp_path / f"{name}.npy").told)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-1, 1, "already"),
        (0, 1, "2 * x - 1"),
        (0, 255, "x / 255"),
        (0, 200, "x / 255"),
        (0, 16, "x / 16"),
        (3, 4095, "x / 4095"),
        (0, 65000, "x / 65535"),
        (-2, 2, "black"),
    ],
)
def test_how_to_scale_floats(low, high, words):
    assert words in ranges.to_floats(low, high)


def test_check_pictures_gives_the_same_advice():
    with pytest.raises(ValueError, match=r"from 0 to 255: pass 2 \* x / 255 - 1"):
        data.check_pictures(255 * SHADES)
    with pytest.raises(ValueError, match="from nan to nan: mend what made them"):
        data.check_pictures(SHADES * float("nan"))


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_the_advice_for_signed_integers_does_not_wrap(dtype):
    most = np.iinfo(dtype)
    a = np.array([most.min, 0, most.max], dtype)
    line, _ = ranges.to_grey(most.min, most.max, floats=False)
    for black, white in ((most.min, most.max), (a.min(), a.max())):
        found = eval(line, {"a": a, "black": black, "white": white})
        assert found.dtype == np.uint8 and found.tolist() == [0, 128, 255]
