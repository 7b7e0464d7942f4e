r"""A table of the right answers, recorded at one seed, earns nothing at another one."""

import sys
from pathlib import Path

import pytest

from ddpm_lite.classroom import wire
from ddpm_lite.classroom.answer import Answer
from ddpm_lite.classroom.checking import judged
from ddpm_lite.classroom.exercise import CHAPTERS, Unsolved, exercises_of

sys.path.insert(0, str(Path(__file__).parent))

from slips import defined, solution

ALL = [one for chapter in CHAPTERS for one in exercises_of(chapter).values()]
LONG = (pytest.mark.slow, pytest.mark.long)


class Recorder:
    r"""The right answer, and a table of what it was asked and gave back."""

    def __init__(self, function, others):
        self.answer, self.calls, self.table = Answer(function, others), [], {}
        self.other = self.answer.other

    def __call__(self, *args, **options):
        value = self.answer(*args, **options)
        self.calls.append(value)
        self.table[key(args, options)] = value
        return value


def key(args, options):
    r"""The arguments as bytes; functions among them by their place."""
    return wire.pack((args, options), [])


class Reader:
    r"""A student who has the table: looks arguments up in it, or counts calls, or both."""

    def __init__(self, recorder, by_arguments, by_number):
        self.recorder, self.asked = recorder, 0
        self.by_arguments, self.by_number = by_arguments, by_number

    def other(self, name):
        r"""Names of faults are no function of inputs: they are left open."""

        def blank():
            raise Unsolved

        return blank

    def __call__(self, *args, **options):
        self.asked += 1
        known = key(args, options)
        if self.by_arguments and known in self.recorder.table:
            return self.recorder.table[known]
        if not self.by_number:
            raise Unsolved
        calls = self.recorder.calls
        return calls[min(self.asked, len(calls)) - 1]


@pytest.fixture(scope="module")
def recorded():
    kept = {}

    def record(one, seed):
        if (one.number, seed) not in kept:
            function, *others = defined(*solution(one.number), one.names)
            made = Recorder(function, dict(zip(one.also, others, strict=True)))
            assert judged(one, one.check, made, seed).passed
            kept[one.number, seed] = made
        return kept[one.number, seed]

    return record


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.number)
@pytest.mark.parametrize(
    ("seed", "other"),
    [(0, 1), *(pytest.param(*two, marks=LONG) for two in ((1, 0), (48213, 7)))],
)
def test_a_recorded_table_earns_nothing_at_another_seed(one, seed, other, recorded):
    recorder = recorded(one, seed)
    for by_arguments, by_number in ((False, True), (True, False), (True, True)):
        made = judged(one, one.check, Reader(recorder, by_arguments, by_number), other)
        assert made.points == 0 and not made.passed, made.said


def test_the_same_seed_believes_the_table(recorded):
    one = exercises_of("02")["02.2"]
    assert judged(one, one.check, Reader(recorded(one, 5), True, False), 5).passed
