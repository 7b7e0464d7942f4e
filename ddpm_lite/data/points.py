r"""Points in the plane, standardised: what two columns of a table look like.

Points are drawn from a law that is known (scikit-learn's generators, and a mixture), and
shifted and scaled by that law's own mean and deviation rather than the sample's: two
draws follow one law, which is what a distance between them needs.
"""

import math

import numpy as np
import torch

from ..checks import check_integer, check_number

# Mean and standard deviation of each axis before noise is added: integrals over the
# curve, which tests/data/test_points.py computes again by quadrature.
_PI = math.pi
_S_CURVE = ((0.0, 0.0), (math.sqrt(1 / 2), math.sqrt(3 / 2 + 4 / (3 * _PI))))
_TWO_MOONS = ((0.5, 0.25), (math.sqrt(3 / 4), math.sqrt(9 / 16 - 1 / _PI)))
_SWISS_ROLL = (
    (2.0, 2 / (3 * _PI)),
    (
        math.sqrt(39 / 8 * _PI**2 - 17 / 4),
        math.sqrt(39 / 8 * _PI**2 + 1 / 4 - 4 / (9 * _PI**2)),
    ),
)


def s_curve(n, seed=0, noise=0.1, standardised=True):
    r"""Draw n points on a noisy S-curve: columns 0 and 2 of scikit-learn's.

    noise: deviation of the Gaussian noise on each coordinate before scaling, >= 0.
    standardised: mean 0 and deviation 1 on each axis; else scikit-learn's own scale, of
    which the lecture takes a tenth. Returns float32 (n, 2).
    Raises ValueError for n < 1, seed < 0 or noise < 0. sklearn.datasets.make_s_curve.
    """
    from sklearn.datasets import make_s_curve

    _check_points(n, seed, noise)
    points, _ = make_s_curve(n, noise=noise, random_state=seed)
    return _scaled(points[:, [0, 2]], _S_CURVE, noise, standardised)


def s_curve_scale(noise=0.1):
    r"""The deviation of each axis of the S-curve before it is standardised, two floats."""
    return tuple(math.hypot(std, noise) for std in _S_CURVE[1])


def s_curve_middle(n=2000):
    r"""Points on the S-curve without noise, evenly spaced: its law, for an exact denoiser.

    Returns float64 (n, 2) in scikit-learn's own scale. The law of `s_curve` is, up to the
    spacing, the mean of n Gaussians around these: `DataOracle(schedule, middle / scale,
    (noise / scale)**2)`. Raises ValueError for n < 1.
    """
    check_integer("n", n, 1)
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n * 3 * _PI - 1.5 * _PI
    return torch.stack([u.sin(), u.sign() * (u.cos() - 1)], 1)


def two_moons(n, seed=0, noise=0.1, standardised=True):
    r"""Draw n points on two interleaved half circles, evenly spaced along them.

    noise: deviation of the Gaussian noise on each coordinate before scaling, >= 0.
    standardised: mean 0 and deviation 1 on each axis. Returns float32 (n, 2).
    Raises ValueError for n < 1, seed < 0 or noise < 0. sklearn.datasets.make_moons.
    """
    from sklearn.datasets import make_moons

    _check_points(n, seed, noise)
    points, _ = make_moons(n, noise=noise, random_state=seed)
    return _scaled(points, _TWO_MOONS, noise, standardised)


def swiss_roll(n, seed=0, noise=0.5, standardised=True):
    r"""Draw n points on a noisy spiral: columns 0 and 2 of scikit-learn's Swiss roll.

    noise: deviation of the Gaussian noise on each coordinate before scaling, >= 0.
    standardised: mean 0 and deviation 1 on each axis. Returns float32 (n, 2).
    Raises ValueError for n < 1, seed < 0 or noise < 0. sklearn.datasets.make_swiss_roll.
    """
    from sklearn.datasets import make_swiss_roll

    _check_points(n, seed, noise)
    points, _ = make_swiss_roll(n, noise=noise, random_state=seed)
    return _scaled(points[:, [0, 2]], _SWISS_ROLL, noise, standardised)


def gaussian_mixture(n, seed=0, modes=8, std=0.1):
    r"""Draw n points from equal Gaussians on a ring, mean 0 and deviation 1 per axis.

    modes: >= 3. std: deviation of each mode, in (0, 1). Returns float32 (n, 2).
    Raises ValueError for values outside these ranges. Its exact denoiser is
    `MixtureOracle(schedule, mixture_means(modes, std), std**2)`.
    """
    _check_points(n, seed, std)
    means = mixture_means(modes, std)
    generator = torch.Generator().manual_seed(seed)
    mode = torch.randint(modes, (n,), generator=generator)
    noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return (means[mode] + std * noise).float()


def mixture_means(modes=8, std=0.1):
    r"""The centres of `gaussian_mixture`, float64 (modes, 2).

    Their distance from 0 is sqrt(2 (1 - std^2)), which makes each axis' variance 1.
    Raises ValueError for modes < 3 or std outside (0, 1).
    """
    if not (isinstance(modes, int) and modes >= 3 and 0 < std < 1):
        raise ValueError(
            f"modes must be an integer >= 3 and std in (0, 1), got {modes!r}, {std!r}"
        )
    angle = torch.arange(modes, dtype=torch.float64) * 2 * _PI / modes
    return math.sqrt(2 * (1 - std**2)) * torch.stack([angle.cos(), angle.sin()], 1)


def _check_points(n, seed, noise):
    check_integer("n", n, 1)
    check_integer("seed", seed, 0)
    check_number("noise", noise, 0)


def _scaled(points, moments, noise, standardised):
    if standardised:
        mean, std = np.array(moments)
        points = (points - mean) / np.sqrt(std**2 + noise**2)
    return torch.from_numpy(np.ascontiguousarray(points)).float()
