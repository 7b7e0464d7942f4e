r"""Which seeds and passes 07.4 compares, and which it can therefore tell apart."""

import math
import random

import pytest

from ddpm_lite.classroom.ch07 import MASKS, NEAR, PASSES, _lists


def asked(first=5):
    r"""All (seed, pass) that are asked for."""
    return [(run, start + i) for run, start, count in _lists(first) for i in range(count)]


def test_every_distance_of_seeds_is_there_with_every_distance_of_passes():
    passes, first = {}, 5
    for run, one in asked(first):
        passes.setdefault(run, set()).add(one)
    assert sum(map(len, passes.values())) < 11_000  # a shuffle each
    assert sum(count // math.gcd(start, count) for _, start, count in _lists(5)) < 700
    near = range(first, first + NEAR)
    for distance in (*range(1, 90), *range(90, NEAR**2, 41), NEAR**2):
        k = math.ceil(distance / NEAR)
        low, high = first + k * NEAR - distance, first + k * NEAR
        assert low in near
        between = {b - a for a in passes[low] for b in passes[high]}
        assert between >= set(range(1 - PASSES, PASSES)), distance
    assert passes[first] == set(range(PASSES)) and 0 in passes
    assert {first + more for more in MASKS} <= set(passes)


def collides(of):
    r"""Whether a function of seed and pass gives one number twice where 07.4 looks."""
    cases = set(asked())
    return len({of(*one) for one in cases}) < len(cases)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_linear_in_both_is_found_where_it_collides(seed):
    drawn = random.Random(seed)
    for _ in range(25):
        a, b = (drawn.choice([-1, 1]) * drawn.randint(1, 2000) for _ in range(2))
        lcd = abs(a) // math.gcd(a, b)  # the shortest distance of passes that collide
        assert collides(lambda s, e, a=a, b=b: a * s + b * e) or lcd >= PASSES, (a, b)


def test_what_is_different_for_all_is_taken():
    for a in (1000, 1009, 10_007, 1_000_003):
        assert not collides(lambda s, e, a=a: a * s + e)
    for wrong in (
        lambda s, e: 999 * s + e,
        lambda s, e: s + 2000 * e,
        lambda s, e: (s % 2**20, e),
        lambda s, e: (s, e % 512),
        lambda s, e: (s & 7, e),
        lambda s, e: s * (e + 1),
        lambda s, e: s ^ e,
    ):
        assert collides(wrong)
