r"""The two tests of a law that checks use: what they let through, and what they catch."""

import math

import mpmath
import pytest
import torch

from ddpm_lite.classroom.exercise import normal, steps, uneven, uniform, unlike_normal


@pytest.mark.parametrize("kinds", [10, 20, 60, 200])
def test_even_draws_exceed_the_limit_about_once_in_a_million(kinds):
    _, limit = uneven(torch.full((kinds,), 50))
    above = float(mpmath.gammainc((kinds - 1) / 2, limit / 2, mpmath.inf, regularized=True))
    assert 3e-7 < above < 3e-6


def test_even_draws_pass_and_others_with_the_same_mean_do_not():
    for seed in range(50):
        found, limit = uneven(torch.bincount(steps(0, 39, 4000, 1, seed), minlength=40))
        assert found < limit
    bent = (40 * (math.pi * uniform((4000,), 3) / 2).sin() ** 2).long()
    assert abs(float(bent.double().mean()) - 19.5) < 1
    found, limit = uneven(torch.bincount(bent, minlength=40))
    assert found > 5 * limit


def test_normal_numbers_pass_and_others_with_the_same_mean_and_variance_do_not():
    assert all(unlike_normal(normal((4000, 2), 4, seed)) < 1 for seed in range(50))
    even = math.sqrt(12) * (uniform((8000,), 5) - 0.5)
    signs = normal((8000,), 6).sign()
    heavy = normal((8000,), 7) * (-uniform((8000,), 8).log()).sqrt()  # Laplace, variance 1
    for x in (even, signs, heavy, normal((8000,), 9) + 0.1):
        assert unlike_normal(x) > 1
    z = math.sqrt(math.log(2 / 1e-6) / 2)  # 1 stands for this; Kolmogorov's tail there:
    assert math.isclose(2 * math.exp(-2 * z**2), 1e-6)
