r"""Random numbers as functions of whole numbers."""

import torch

from ddpm_lite.seeds import keys, random_bits


def split_mix(state):
    r"""The next number of SplitMix64 in Python's own whole numbers, and the next state."""
    state = (state + 0x9E3779B97F4A7C15) % 2**64
    z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31), state


def test_split_mix_is_that_of_its_authors():
    # the first numbers of java.util.SplittableRandom from seed 1234567
    state, found = 1234567, []
    for _ in range(2):
        number, state = split_mix(state)
        found.append(number)
    assert found == [6457827717110365317, 3203168211198807973]


def test_random_bits_are_what_they_are_in_whole_numbers():
    column, rows = keys((1,), 0), keys((3,), 1)
    table = random_bits(column, rows, 5)
    assert table.dtype == torch.int64 and table.shape == (3, 5)
    state = int(column) % 2**64
    for j in range(5):
        v, state = split_mix(state)
        for b in range(3):
            z = (v ^ int(rows[b]) % 2**64) * 0xBF58476D1CE4E5B9 % 2**64
            assert int(table[b, j]) % 2**64 == z ^ (z >> 32)


def test_every_row_of_random_bits_can_be_computed_alone():
    column, rows = keys((1,), 0), keys((6,), 1)
    table = random_bits(column, rows, 100)
    for b in range(6):
        assert torch.equal(random_bits(column, rows[b : b + 1], 100)[0], table[b])
    assert torch.equal(random_bits(column, rows, 7), table[:, :7])
    assert not torch.equal(random_bits(column + 1, rows, 100), table)


def test_random_bits_are_random():
    # signs of every bit, +1 or -1: means of single ones, of neighbours in a row and in a
    # column, and of the four corners of rectangles, which no independence covers
    B, n = 400, 401
    table = random_bits(keys((1,), 2), keys((B,), 3), n)
    limit = 5 / (B * n / 4) ** 0.5  # five standard errors of a mean of so many signs
    for bit in range(64):
        sign = 2.0 * ((table >> bit) & 1) - 1
        right, down = sign[:, 1:] * sign[:, :-1], sign[1:] * sign[:-1]
        corners = (right[1:] * right[:-1])[::2, ::2]
        for signs in (sign, right, down, corners):
            assert abs(float(signs.mean())) < limit
    sign = 2.0 * ((table >> 15) & 1) - 1  # and of two bits of one number
    for bit in (0, 31, 47, 63):
        assert abs(float((sign * (2.0 * ((table >> bit) & 1) - 1)).mean())) < limit
