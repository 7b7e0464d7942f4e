r"""Find the bug: the evidence was measured, and singles out the faults that are right."""

import json
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

from ddpm_lite.classroom.bugs import MOST, SILENT, Fault, independent, naming, table
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


# Which fault has which symptom: what `otherwise` of each fault says.


def trained(chapter):
    r"""{name: numbers} of the faults that were trained alone."""
    _, found, _ = runs(chapter)
    return {name: run for name, run in found.items() if " " not in name and name != "sound"}


def test_of_05_only_one_t_makes_the_loss_jump():
    shown, found, _ = runs("05")
    assert shown["jumps"] > 0.6
    for name, run in found.items():
        assert (run["jumps"] > 0.5) == ("one_t" in name)


def test_of_05_only_no_roots_crosses_the_floor():
    _, found, floor = runs("05")
    for name, run in found.items():
        first, last = run["own"][0] / floor[0], run["own"][-1] / floor[-1]
        assert (first > 1.2 and last < 0.3) == ("no_roots" in name)


def test_of_05_the_others_have_the_symptoms_of_their_hints():
    shown, found, floor = runs("05")
    alone, own = trained("05"), {n: r["own"] for n, r in found.items()}
    assert shown["own"][0] > floor[0] and shown["own"][-1] < floor[-1]
    assert all(v > f + 0.04 for v, f in zip(own["alpha"], floor, strict=True))
    assert own["alpha"][-1] > 10 * floor[-1] and own["alpha"][-2] > 2 * floor[-2]
    assert all(v < f for v, f in zip(own["shared_noise"], floor, strict=True))
    assert max(own["x_0_target"]) == own["x_0_target"][-1] > 0.9
    assert all(v > f for v, f in zip(own["t_unused"], floor, strict=True))
    late = [v / f for v, f in zip(alone["half_of_t"]["right"], floor, strict=True)]
    assert late[-1] > 5 and late[0] < 1.1
    assert all(0.97 < v < 1.03 for v in own["other_noise"])
    ratios = [v / w for v, w in zip(own["sum"], own["sound"], strict=True)]
    assert all(1.9 < r < 2.1 for r in ratios)
    assert alone["sum"]["energy_distance"] < 0.002
    changes = [v - w for v, w in zip(own["off_by_one"], own["sound"], strict=True)]
    assert max(map(abs, changes)) <= 0.02 and alone["off_by_one"]["jumps"] < 0.11


def test_of_06_answers_repeat_for_both_faults_together_and_for_no_other_run():
    shown, found, _ = runs("06")
    assert shown["four"] > 0.9999
    for run in found.values():
        assert run is shown or abs(run["four"]) < 0.5
    spots = sorted(v for row in shown["map"] for v in row)[-4:]
    places = {
        (i, j)
        for i, row in enumerate(shown["map"])
        for j, v in enumerate(row)
        if v >= spots[0]
    }
    assert places == {(2, 1), (2, 5), (6, 1), (6, 5)} and bugs.PIXEL == (6, 1)
    assert 0.75 < shown["right"][-1] < 0.78


def test_of_06_the_others_have_the_symptoms_of_their_hints():
    shown, found, ceiling = runs("06")
    alone = trained("06")
    assert all(v > 1.5 * c for v, c in zip(shown["right"], ceiling, strict=True))
    assert shown["of_t"] > found["sound"]["of_t"] > 0.5
    assert shown["of_others"] < 1e-5 and abs(shown["first"] - 1) < 0.01
    for name, look in {
        "t_missing": lambda run: run["of_t"] == 0,
        "batch_norm": lambda run: run["of_others"] > 0.01,
        "no_silu": lambda run: all(
            v < 1.4 * c for v, c in zip(run["right"], ceiling, strict=True)
        ),
        "skip_flipped": lambda run: run["map"][6][1] > 0.5 and run["energy_distance"] < 0.1,
        "tiles": lambda run: run["map"][6][1] > 0.5 and abs(run["four"]) < 0.1,
        "no_skip": lambda run: run["right"][-1] < 0.1 and abs(run["four"]) < 0.1,
    }.items():
        assert look(alone[name]), name


def test_of_07_the_length_is_that_of_an_average_from_zero():
    shown, found, _ = runs("07")
    for mark in shown["marks"]:
        lacking = 1 - bugs.DECAY ** mark["update"]
        assert 0.9 * lacking < mark["length"] < lacking
    for run in found.values():
        assert run is shown or run["marks"][0]["length"] > 0.7


def test_of_07_the_others_have_the_symptoms_of_their_hints():
    shown, found, _ = runs("07")
    sound, alone = found["sound"], trained("07")
    assert shown["weights"] == sound["weights"] and shown["loss"] == sound["loss"]
    assert shown["marks"][-1]["ema"] > 3 * shown["marks"][-1]["weights"]
    for name, look in {
        "ema_slow": lambda run: run["marks"][-1]["ema"] > 0.9,
        "ema_swapped": lambda run: all(
            abs(m["ema"] / m["weights"] - 1) < 0.02 for m in run["marks"]
        ),
        "flips": lambda run: (
            run["weights"]["mirrored"] > sound["weights"]["mirrored"] + 0.1
        ),
        "range": lambda run: run["weights"]["darkest"] > -0.7,
    }.items():
        assert look(alone[name]), name


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
    got, error = run(part(error=Hint("a")), part(error=Hint("b")), part())
    assert got == [] and str(error) == f"a; {SILENT}"
    got, error = run(part(error=Hint("a")), part(1, error=Hint("b")))
    assert got == [1] and str(error) == "a; b"
    got, error = run(part(1, error=Hint("a")), part(2))
    assert got == [1, 2] and str(error) == "a"
    got, error = run(part(error=Unsolved()), part(error=Hint("b")))
    assert got == [] and isinstance(error, Unsolved)
    got, error = run(part(error=Unsolved()), part(2))
    assert got == [2] and "not solved yet" in str(error)
    assert [p for p, _ in independent(part(1), part(2))] == [1, 2]
