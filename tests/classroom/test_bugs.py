r"""Find the bug: the evidence was measured, and singles out the faults that are right."""

import json
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

from ddpm_lite.classroom.bugs import MOST, Fault, independent, naming, table
from ddpm_lite.classroom.exercise import WITH_BUGS, Hint, Unsolved, exercises_of

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "exercises"), str(ROOT / "figures")]

import assignments  # noqa: E402
import bugs  # noqa: E402

RESULTS = json.loads(bugs.RESULTS.read_text())
TRAINED = sorted(bugs.CHAPTERS)  # for 08 and 09 see test_bugs_sampling


def faults_of(chapter):
    return import_module(f"ddpm_lite.classroom.bug{chapter}").FAULTS


def runs(chapter):
    r"""(numbers of the run that is shown, those of all, what losses are compared with)."""
    found = RESULTS[chapter]
    return found["runs"][" ".join(found["shown"])], found["runs"], found["bound"]


@pytest.mark.parametrize("chapter", TRAINED)
def test_the_statement_shows_what_was_measured(chapter):
    text = (ROOT / "exercises" / f"{chapter}.md").read_text("utf-8")
    shown, found, bound = runs(chapter)
    assert bugs.CHAPTERS[chapter].table(found["sound"], shown, bound) in text
    assert table(faults_of(chapter)) in text


@pytest.mark.parametrize("chapter", TRAINED)
def test_the_run_has_the_faults_that_are_right(chapter):
    right = {one.name for one in faults_of(chapter) if one.right}
    assert right == set(RESULTS[chapter]["shown"]) == set(bugs.CHAPTERS[chapter].shown)
    assert 1 <= len(right) <= MOST
    assert 8 <= len(faults_of(chapter)) <= 12
    assert all(bool(one.otherwise) != one.right for one in faults_of(chapter))
    assert set(bugs.CHAPTERS[chapter].alone) <= {one.name for one in faults_of(chapter)}
    assert {(one.kind, one.also) for one in exercises_of(chapter).values() if one.also} == {
        ("bug", ("faults",))
    }


@pytest.mark.parametrize("chapter", WITH_BUGS)
def test_a_notebook_of_students_carries_the_picture(chapter):
    path = bugs.PICTURES / f"{chapter}.png"
    assert path.stat().st_size < 60_000
    with Image.open(path) as picture:
        assert picture.width <= 1000
    text = "".join(cell.source for cell in assignments.student(chapter).cells)
    (alt,) = re.findall(r"!\[([^]]{100,})\]\(data:image/png;base64,\w", text)
    assert f"bugs/{chapter}.png" not in text
    assert not any(one.name in alt for one in faults_of(chapter))
    assert f"](../exercises/bugs/{chapter}.png)" in assignments.section(chapter)


# Which fault has which symptom.


def test_only_one_t_makes_the_loss_of_05_jump():
    shown, found, _ = runs("05")
    assert shown["jumps"] > 0.5 and found["one_t"]["jumps"] > 0.5
    for name in found.keys() - {"one_t", "one_t no_roots"}:
        assert found[name]["jumps"] < 0.5 * shown["jumps"]


def test_only_no_roots_crosses_the_floor_of_05():
    _, found, floor = runs("05")
    for name, run in found.items():
        first, last = run["own"][0] / floor[0], run["own"][-1] / floor[-1]
        assert (first > 1.2 and last < 0.5) == ("no_roots" in name)


FACTS = [
    Fault("flat", "is flat", "would be flat; here it is round"),
    Fault("round", "is round", unexplained="that it rolls"),
    Fault("red", "is red", unexplained="that it is seen"),
    *(Fault(f"other_{k}", "is another", "would not") for k in range(6)),
]


class Names:
    r"""An answer that hands in names."""

    def __init__(self, *names):
        self.names = names

    def other(self, name):
        assert name == "faults"
        return lambda: list(self.names)


def named(*names, each=1):
    r"""(points, hint) of `naming`."""
    earned = 0
    try:
        for points, _ in naming(Names(*names), FACTS, each):
            earned += points
    except Hint as hint:
        return earned, str(hint)
    return earned, ""


def test_names_earn_points_and_wrong_ones_cost():
    assert named("red", "round") == named("round", "red", "red") == (2, "")
    assert named("red") == (
        1,
        "faults: what you name is right, but it does not explain that it rolls",
    )
    assert named("red", "flat") == (
        0,
        "faults: one of your two names is right; `flat` would be flat; here it is round",
    )
    assert named("flat")[0] == 0 and "none of what you name" in named("flat")[1]
    assert named("red", "flat", each=2)[0] == 1
    points, hint = named(*(one.name for one in FACTS))
    assert points == 0 and "you name 9" in hint
    assert named("blue")[0] == 0 and "is not in the list" in named("blue")[1]
    assert "you name none" in named()[1]


def test_parts_do_not_wait_for_each_other():
    def part(*points, error=None):
        for n in points:
            yield n, "held"
        if error:
            raise error

    def run(*parts):
        got, made = [], independent(*parts)
        with pytest.raises((Hint, Unsolved)) as caught:
            for points, _ in made:
                got.append(points)
        return got, caught.value

    got, error = run(part(1, error=Hint("a")), part(2), part(error=Hint("b")))
    assert got == [1, 2] and str(error) == "a; b"
    got, error = run(part(error=Unsolved()), part(error=Hint("b")))
    assert got == [] and isinstance(error, Unsolved)
    got, error = run(part(error=Unsolved()), part(2))
    assert got == [2] and "not solved yet" in str(error)
    assert [p for p, _ in independent(part(1), part(2))] == [1, 2]
