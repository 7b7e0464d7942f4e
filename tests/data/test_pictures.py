r"""A set of pictures: the digits, grey levels, splits and the fingerprint."""

from fractions import Fraction

import pytest
import torch
from helpers import close
from picture_files import message

from ddpm_lite import data
from ddpm_lite.data.pictures import PictureSet
from ddpm_lite.training import batches


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
    assert torch.equal(floats, batches.to_float(x_0, levels))
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
