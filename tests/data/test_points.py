r"""Data: moments by quadrature, draws that follow them, and the split of the digits."""

import math

import numpy as np
import pytest
import torch
from helpers import EXACT, close, normal

from ddpm_lite import data
from ddpm_lite.data import points

LAWS = {
    "s_curve": (data.s_curve, 0.1),
    "two_moons": (data.two_moons, 0.1),
    "swiss_roll": (data.swiss_roll, 0.5),
    "gaussian_mixture": (data.gaussian_mixture, 0.1),
}


def moments(*curves):
    r"""Mean and deviation of equally likely curves, u uniform on [0, 1], by quadrature."""
    mp, answer = EXACT, []
    parts = list(mp.linspace(0, 1, 9))  # the S-curve has a corner in the middle

    def mean_of(functions):
        return sum(mp.quad(f, parts) for f in functions) / len(functions)

    for axis in zip(*curves, strict=True):
        mean = mean_of(axis)
        square = mean_of([lambda u, f=f: f(u) ** 2 for f in axis])
        answer.append((float(mean), float(mp.sqrt(square - mean**2))))
    return tuple(zip(*answer, strict=True))


def s_curve_axes():
    def u(x):
        return 3 * EXACT.pi * (x - 0.5)

    return (lambda x: EXACT.sin(u(x)), lambda x: EXACT.sign(u(x)) * (EXACT.cos(u(x)) - 1))


def moon(sign):
    def angle(x):
        return EXACT.pi * x

    if sign > 0:
        return (lambda x: EXACT.cos(angle(x)), lambda x: EXACT.sin(angle(x)))
    return (lambda x: 1 - EXACT.cos(angle(x)), lambda x: 0.5 - EXACT.sin(angle(x)))


def roll():
    def u(x):
        return 1.5 * EXACT.pi * (1 + 2 * x)

    return (lambda x: u(x) * EXACT.cos(u(x)), lambda x: u(x) * EXACT.sin(u(x)))


@pytest.mark.parametrize(
    ("constants", "curves"),
    [
        (points._S_CURVE, [s_curve_axes()]),
        (points._TWO_MOONS, [moon(1), moon(-1)]),
        (points._SWISS_ROLL, [roll()]),
    ],
)
def test_moments_of_the_curves(constants, curves):
    for own, exact in zip(constants, moments(*curves), strict=True):
        assert own == pytest.approx(exact, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", LAWS)
def test_draws_have_mean_0_and_deviation_1(name):
    draw, _ = LAWS[name]
    n = 20_000
    x = draw(n, seed=3).double()
    assert x.shape == (n, 2) and draw(3).dtype == torch.float32
    square = (x - x.mean(0)) ** 2
    assert (x.mean(0).abs() <= 5 / n**0.5).all()
    assert ((square.mean(0) - 1).abs() <= 5 * square.std(0) / n**0.5).all()


@pytest.mark.parametrize("name", LAWS)
def test_draws_are_a_function_of_the_seed(name):
    draw, _ = LAWS[name]
    torch.manual_seed(5)
    assert torch.equal(draw(100, seed=1), draw(100, seed=1))
    assert not torch.equal(draw(100, seed=1), draw(100, seed=2))


@pytest.mark.parametrize("name", ["s_curve", "two_moons", "swiss_roll"])
def test_standardising_takes_the_law_s_moments_and_not_the_sample_s(name):
    draw, noise = LAWS[name]
    plain, scaled = draw(50, standardised=False).double(), draw(50).double()
    (mean, std) = getattr(points, f"_{name.upper()}")
    for axis in (0, 1):
        deviation = math.hypot(std[axis], noise)
        close(scaled[:, axis], (plain[:, axis] - mean[axis]) / deviation, 1e-5, 1e-6)
    assert draw(1).shape == (1, 2)


def test_s_curve_is_the_lecture_s():
    from sklearn.datasets import make_s_curve

    theirs, _ = make_s_curve(7, noise=0.1, random_state=4)
    own = data.s_curve(7, seed=4, standardised=False)
    assert torch.equal(own, torch.from_numpy(theirs[:, [0, 2]]).float())
    assert data.s_curve_scale(0.0) == points._S_CURVE[1]
    assert data.s_curve_scale(0.3)[0] == pytest.approx((0.5 + 0.09) ** 0.5, rel=1e-12)


def test_mixture_is_the_law_of_its_oracle():
    means = data.mixture_means(8, 0.1)
    assert means.shape == (8, 2) and means.dtype == torch.float64
    close(means.norm(dim=1), [(2 * 0.99) ** 0.5] * 8)
    close(means.mean(0), torch.zeros(2), atol=1e-12)
    close((means**2).mean(0) + 0.01, torch.ones(2))
    n = 20_000
    x = data.gaussian_mixture(n).double()
    nearest = torch.cdist(x, means).argmin(1)
    counts = torch.bincount(nearest, minlength=8).double()
    assert ((counts - n / 8).abs() <= 5 * (n * 7 / 64) ** 0.5).all()
    inner = (x - means[nearest]).std()
    assert abs(inner - 0.1) <= 5 * 0.1 / (4 * n) ** 0.5


def test_digits_are_split_by_position():
    from sklearn.datasets import load_digits

    whole = load_digits()
    train, held_out = data.digits("train"), data.digits("held_out")
    assert len(train[0]) == 1438 and len(held_out[0]) == 359
    assert train[0].shape[1:] == (1, 8, 8) and train[0].dtype == torch.float32
    assert train[1].dtype == torch.int64 and len(held_out[1]) == 359
    position = np.arange(1797)
    for (pictures, labels), chosen in [
        (held_out, position % 5 == 4),
        (train, position % 5 != 4),
    ]:
        assert (labels.numpy() == whole.target[chosen]).all()
        grey = (pictures[:, 0].double().numpy() + 1) * 8
        assert (grey == whole.images[chosen]).all()
    both = torch.cat([train[0], held_out[0]])
    assert both.min() == -1 and both.max() == 1 and len(both.unique()) == 17
    assert torch.equal(data.digits()[0], train[0])


def test_digits_refuses_another_split():
    with pytest.raises(
        ValueError, match=r'split must be "train" or "held_out", got \'test\''
    ):
        data.digits("test")


@pytest.mark.parametrize("draw", [data.s_curve, data.two_moons, data.swiss_roll])
def test_bad_numbers(draw):
    for n in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match=r"n must be an integer >= 1, got"):
            draw(n)
    with pytest.raises(ValueError, match=r"seed must be an integer >= 0, got -1"):
        draw(10, seed=-1)
    with pytest.raises(ValueError, match=r"noise must be a number >= 0, got -0\.1"):
        draw(10, noise=-0.1)


def test_bad_mixtures():
    for modes, std in [(2, 0.1), (8, 0.0), (8, 1.0), (8.0, 0.1)]:
        with pytest.raises(ValueError, match=r"modes must be an integer >= 3 and std in"):
            data.gaussian_mixture(10, modes=modes, std=std)


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (torch.full((1, 1, 2, 2), 1.5), r"lie in \[-1, 1\], got values from 1\.5 to 1\.5"),
        (torch.full((1, 1, 2, 2), -1.5), r"lie in \[-1, 1\], got values from -1\.5"),
        (torch.full((1, 1, 2, 2), math.nan), r"lie in \[-1, 1\], got values from nan"),
        (torch.zeros(1, 1, 2, 2).byte(), r"floating point \(N, C, H, W\), got torch.uint8"),
        (torch.zeros(1, 2, 2), r"floating point \(N, C, H, W\), got .*\(1, 2, 2\)"),
    ],
)
def test_bad_pictures(pictures, message):
    with pytest.raises(ValueError, match=message) as error:
        data.check_pictures(pictures)
    assert "\n" not in str(error.value)


def test_good_pictures_are_left_alone():
    pictures = normal(2, 3, 4, 4).clamp(-1, 1)
    assert data.check_pictures(pictures) is pictures


def test_photo():
    picture = data.photo(32)
    assert picture.shape == (1, 3, 32, 32) and picture.dtype == torch.float32
    assert -1 <= picture.min() < -0.5 and 0.5 < picture.max() <= 1
    assert torch.equal(picture, data.photo(32))
    for size in (7, 428, 32.0):
        with pytest.raises(ValueError, match=r"size must be an integer in 8\.\.427, got"):
            data.photo(size)


def test_the_middle_of_the_s_curve():
    middle = data.s_curve_middle(40_000)
    assert middle.shape == (40_000, 2) and middle.dtype == torch.float64
    close(middle.mean(0), [0.0, 0.0], atol=1e-9)
    close(middle.std(0), points._S_CURVE[1], rtol=1e-4)
    drawn = data.s_curve(500, noise=0.0, standardised=False).double()
    assert torch.cdist(drawn, middle).min(1).values.max() < 1e-3
