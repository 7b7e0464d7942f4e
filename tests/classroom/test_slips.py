r"""Slips made from the solutions: each is caught, or proved to be no slip.

`make test` runs one of each kind of the quick exercises, always the same ones, and
`make test-long` all. `slips.py` prints them.
"""

import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="slips run in forked processes")
sys.path.insert(0, str(Path(__file__).parent))

import slip_kinds  # noqa: F401
import slips

from ddpm_lite.classroom.exercise import CHAPTERS, exercises_of

ALL = [one.number for chapter in CHAPTERS for one in exercises_of(chapter).values()]
SLOW = ("04.5", "05.4", "07.4", "07.5")  # minutes in all; the others seconds each


def open_slips(number, seeds):
    r"""The slips that pass at a seed and are not proved; the proofs of others."""
    known = {k for k in slips.equivalents(number[:2]) if k[0] == number}
    alive = {f.slip.key for f in slips.fates(number, seeds) if f.seed is not None}
    return sorted(alive - known), sorted(known - alive)


def made(number):
    return {(s.before, s.after) for s in slips.slips_of(number)}


def test_slips_of_all_kinds_are_made_and_each_once():
    found = made("07.1")
    loop = "left *= min(decay, (1 + n) / (10 + n)) if warmup else decay"
    for before, after in (
        ("while left > share:", "while left >= share:"),
        ("left, n = 1.0, 0", "left, n = 1.0, 1"),
        ("n += 1", "n -= 1"),
        ("n += 1", "pass"),
        ("return n", "return left"),
        (f"{loop}; n += 1", f"n += 1; {loop}"),
        (loop, loop.replace("min(decay, (1 + n) / (10 + n))", "(1 + n) / (10 + n)")),
        (loop, loop.replace("min(", "max(")),
        (loop, loop.replace("if warmup", "if not warmup")),
        (loop, loop.replace("(1 + n)", "(1 - n)")),
    ):
        assert (before, after) in found, (before, after)
    found = made("07.3")
    last = "return levels.round().clamp(0, 255).to(torch.uint8)"
    for after in (".round()", ".clamp(0, 255)", ".to(torch.uint8)"):
        assert (last, last.replace(after, "")) in found
    all_of_it = slips.slips_of("02.6")
    assert len({s.text for s in all_of_it}) == len(all_of_it) > 60


def test_a_slip_that_never_ends_is_stopped_and_the_next_ones_run():
    fates = {f.slip.key: f for f in slips.fates("07.1", slips.SEEDS[:1])}
    endless = fates[
        "07.1", "left *= min(decay, (1 + n) / (10 + n)) if warmup else decay", "pass"
    ]
    assert endless.seed is None and "too long" in endless.said
    assert len(fates) == len(slips.slips_of("07.1"))


def test_a_check_that_sees_nothing_is_found_out(monkeypatch):
    from dataclasses import replace

    one = replace(slips.find("02.2"), check=lambda answer, seed: answer(0.1, 0.2) and None)
    monkeypatch.setattr(slips, "find", lambda number: one)
    alive = [f for f in slips.fates("02.2", slips.SEEDS[:1]) if f.seed is not None]
    assert len(alive) > 20


@pytest.mark.slow
@pytest.mark.parametrize("number", [n for n in ALL if n not in SLOW])
def test_a_slip_of_each_kind_is_caught_or_proved_to_be_none(number):
    drawn = slips.sample_of(number)
    assert len({s.kind for s in drawn}) == len(drawn) > 1
    known = slips.equivalents(number[:2])
    fates = slips.fates(number, slips.SEEDS[:1], drawn)
    assert [
        f.slip.key for f in fates if f.seed is not None and f.slip.key not in known
    ] == []


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("number", [n for n in ALL if n not in SLOW])
def test_every_slip_is_caught_or_proved_to_be_none(number):
    assert open_slips(number, slips.SEEDS[:1]) == ([], [])


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("number", ALL)
def test_every_slip_is_caught_at_every_seed(number):
    assert open_slips(number, slips.SEEDS) == ([], [])
