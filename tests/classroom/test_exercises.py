r"""Proof that the checks check: references pass, blanks and wrong answers do not."""

import re
import sys
import warnings
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch

from ddpm_lite import Schedule, q_sample
from ddpm_lite.classroom.answer import Answer
from ddpm_lite.classroom.bugs import SILENT
from ddpm_lite.classroom.checking import Verdict, check, verdict
from ddpm_lite.classroom.exercise import CHAPTERS, KINDS, exercises_of, expect, stages

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "exercises"))

import assignments  # noqa: E402
from wrong import handed_in, wrong_answers  # noqa: E402

UNSOLVED = Verdict(False, 0, "not solved yet", "not solved yet")
ALL = [one for chapter in CHAPTERS for one in exercises_of(chapter).values()]
WRONG = [one for chapter in CHAPTERS for one in wrong_answers(chapter)]
LONG = (pytest.mark.slow, pytest.mark.long)  # a check in one process, at a seed more


def functions(cells):
    r"""What the code cells define, without their checks."""
    names = {}
    for cell in cells:
        if cell.cell_type == "code" and not cell.source.startswith("check("):
            exec(cell.source, names)
    return names


def of(one, names):
    r"""All that an exercise asks for, from a namespace."""
    return tuple(names[name] for name in one.names)


@pytest.fixture(scope="module")
def references():
    return {c: functions(assignments.source(c)) for c in CHAPTERS}


@pytest.fixture(scope="module")
def blanks():
    return {c: functions(map(assignments.cleared, assignments.source(c))) for c in CHAPTERS}


def test_there_are_at_least_36_and_three_to_six_in_a_chapter():
    assert len(ALL) >= 36
    for chapter in CHAPTERS:
        found = exercises_of(chapter)
        assert 3 <= len(found) <= 7
        assert list(found) == [f"{chapter}.{k + 1}" for k in range(len(found))]
        assert {"code", "project"} <= {one.kind for one in found.values()}
    assert {one.kind for one in ALL} == set(KINDS)


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.number)
@pytest.mark.parametrize(
    "seed", [0, 48213, *(pytest.param(seed, marks=LONG) for seed in (1, 2, 2**31 - 1))]
)
def test_the_reference_passes(one, seed, references):
    made = verdict(one, of(one, references[one.chapter]), seed)
    assert made.passed, made.said
    assert made.points == one.points
    assert made.said == f"passed ({one.points} point{'s' * (one.points > 1)})"


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.number)
def test_the_blank_is_not_solved(one, blanks):
    assert verdict(one, of(one, blanks[one.chapter])) == UNSOLVED


@pytest.mark.parametrize("one", [o for o in ALL if o.also], ids=lambda one: one.number)
def test_a_wrong_name_and_the_code_as_it_was_get_no_hint_about_the_code(one, blanks):
    faults = import_module(f"ddpm_lite.classroom.bug{one.chapter}").FAULTS
    given = blanks[one.chapter][one.name]
    for fault in faults:
        made = verdict(one, (given, lambda name=fault.name: [name]), 7)
        if not fault.right:
            said = f"faults: none of what you name is right; `{fault.name}` "
            assert made.hint == f"{said}{fault.otherwise}; {SILENT}" and not made.points
        else:
            assert SILENT not in made.hint and made.points


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.number)
def test_nonsense_gets_a_hint(one):
    for value in (None, "text", 7.5, [], {}, float("nan")):
        made = verdict(one, (lambda *_, value=value, **__: value,) * len(one.names))
        assert not made.passed and made.said.startswith("not yet: ")
        assert "could not use" not in made.said


@pytest.mark.parametrize("answer", WRONG, ids=lambda w: f"{w.answers}-{w.__name__}")
@pytest.mark.parametrize(
    "seed", [48213, *(pytest.param(seed, marks=LONG) for seed in (0, 1))]
)
def test_a_wrong_answer_fails_with_the_intended_hint(answer, seed):
    (one,) = [one for one in ALL if one.number == answer.answers]
    made = verdict(one, handed_in(answer), seed)
    assert not made.passed and made.points < one.points
    assert answer.words in made.hint, made.said
    assert "could not use" not in made.said


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.number)
def test_six_wrong_answers_and_four_hints(one):
    mine = [w for w in WRONG if w.answers == one.number]
    assert len(mine) >= 6
    assert len({w.words for w in mine}) >= 4


def test_the_pages_quote_what_is_there(capsys):
    (wrong,) = [w for w in WRONG if w.__name__ == "forgets_to_shrink"]
    wrong.__name__ = "jump"
    check("02.3", wrong, seed=48213)
    quoted = "> " + capsys.readouterr().out
    assert quoted in (ROOT / "exercises" / "README.md").read_text("utf-8")
    assert f"{len(ALL)} exercises" in (ROOT / "README.md").read_text("utf-8")


def test_the_page_for_teachers_lists_them_all():
    page = (ROOT / "exercises" / "README.md").read_text("utf-8")
    lines = [line for line in page.splitlines() if re.match(r"\| \d\d\.\d ", line)]
    rows = [line.split(" | ") for line in lines]
    said = [(r[0].strip("| "), r[1].strip("`"), *r[2:5]) for r in rows]
    expected = [(e.number, e.name, e.kind, str(e.minutes), str(e.points)) for e in ALL]
    assert said == expected
    assert all(len(row[5]) > 10 for row in rows)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_wrong_answers_have_names_of_their_own(chapter):
    r"""The slow tests hand all functions of a chapter's two files in as one notebook."""
    names = []
    for path in (ROOT / "exercises" / "wrong").glob(f"*{chapter}.py"):
        names += re.findall(r"^def (\w+)", path.read_text("utf-8"), re.M)
    assert len(names) > 6
    assert [name for name in names if names.count(name) > 1] == []


def test_check_in_a_notebook(capsys, monkeypatch):
    check("02.2", lambda a, b: ((1 - a) ** 0.5 * (1 - b) ** 0.5, (1 - b) * a + b))
    assert capsys.readouterr().out == "02.2 passed (3 points)\n"

    def stub(a, b):
        raise NotImplementedError

    check("02.2", stub)
    assert capsys.readouterr().out == "02.2 not solved yet\n"

    def breaks(a, b):
        return a / 0

    check("02.2", breaks)
    hint = "02.2 not yet: your function raised ZeroDivisionError: float division by zero"
    assert capsys.readouterr().out.startswith(hint)
    check("02.3", q_sample)
    assert "ddpm_lite.process has this one; write your own" in capsys.readouterr().out
    for number, words in (
        ("02.9", "there are 02.1, 02.2"),
        ("99.1", f"01 to {CHAPTERS[-1]}, got '99'"),
    ):
        with pytest.raises(ValueError, match=words):
            check(number, stub)
    with pytest.raises(TypeError, match=r'such as "02\.3", got 2\.3'):
        check(2.3, stub)
    with pytest.raises(TypeError, match="takes a function, got a float"):
        check("02.3", 0.5)


def in_stages(points, check):
    r"""An exercise of a generator of stages."""
    return replace(ALL[0], points=points, check=check)


def three_stages(answer, seed):
    expect(answer(1) == 1, "is 1 still 1?")
    yield 1, "one is right"
    expect(answer(2) == 4, "and what is 2?")
    yield 2, "and two, for every seed"
    expect(answer(seed) == seed**2, "and all others?")
    yield 2, "and all others"


def test_what_was_earned_before_a_hint_is_kept():
    one = in_stages(5, three_stages)
    assert verdict(one, lambda n: n**2, 7) == Verdict(True, 5, "passed (5 points)")
    assert verdict(one, lambda n: 3) == Verdict(
        False, 0, "not yet: is 1 still 1?", "is 1 still 1?"
    )
    said = "not yet, 1 of 5 points so far: one is right. But: and what is 2?"
    assert verdict(one, lambda n: n) == Verdict(False, 1, said, "and what is 2?")
    said = "not yet, 3 of 5 points so far: one is right; and two, for every seed. But: "
    made = verdict(one, lambda n: min(n**2, 4), 9)
    assert (made.points, made.said) == (3, said + "and all others?")

    def later(n):
        if n > 1:
            raise NotImplementedError
        return n

    assert verdict(one, later).said.endswith("is right. But: the rest is not solved yet")
    assert verdict(one, later).points == 1
    made = verdict(one, lambda n: n if n < 2 else None)
    assert made.points == 1 and made.hint == "and what is 2?"

    def breaks(answer, seed):
        yield 1, "begun"
        raise KeyError("x")

    made = verdict(in_stages(2, breaks), abs)
    assert made.points == 1 and "could not use" in made.hint


def test_a_hint_says_how_to_have_the_same_numbers_again(capsys, monkeypatch):
    seen = []

    def noted(answer, seed):
        seen.append(seed)
        expect(seed % 2, "an even seed")
        yield 2, "odd"

    import ddpm_lite.classroom.checking as checking

    monkeypatch.setattr(checking, "find", lambda number: in_stages(2, noted))

    def mine():
        pass

    for _ in range(40):
        check("01.1", mine)
    lines = capsys.readouterr().out.splitlines()
    assert len(set(seen)) > 30 and max(seen) > 1000
    for seed, line in zip(seen, lines, strict=True):
        again = f'not yet: an even seed (the same again: check("01.1", mine, seed={seed}))'
        assert line == "01.1 " + ("passed (2 points)" if seed % 2 else again)
    check("01.1", mine, seed=4)
    assert "seed=4))" in capsys.readouterr().out and seen[-1] == 4
    for seed in (-1, 2**31, 0.5):
        with pytest.raises(ValueError, match=r"seed must be an integer in 0\.\."):
            check("01.1", mine, seed=seed)


def test_while_nbgrader_executes_points_come_back(monkeypatch, capsys):
    def warns(n):
        warnings.warn("careful", stacklevel=1)
        return n

    import ddpm_lite.classroom.checking as checking

    one = in_stages(5, three_stages)
    monkeypatch.setattr(checking, "find", lambda number: one)
    assert check("01.1", abs) is None
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert check("01.1", warns) == 1
    assert check("01.1", lambda n: n**2) == 5
    assert check("01.1", lambda n: 0) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.number)
@pytest.mark.parametrize("seed", [0, pytest.param(2**31 - 1, marks=LONG)])
def test_stages_add_up_to_the_points(one, seed, references):
    names = references[one.chapter]
    answer = Answer(names[one.name], {other: names[other] for other in one.also})
    found = list(stages(one.check, answer, seed))
    assert sum(got for got, _ in found) == one.points
    assert all(type(got) is int and got > 0 and len(words) > 5 for got, words in found)
    assert len(found) >= min(2, one.points)


def test_a_check_gives_copies_and_takes_copies():
    seen = []

    def spoils(alpha_bar):
        seen.append(alpha_bar.clone())
        alpha_bar.zero_()
        return 1

    one = exercises_of("02")["02.1"]
    assert verdict(one, spoils) == verdict(one, lambda alpha_bar: 1)
    assert torch.equal(seen[0], Schedule.linear().alpha_bar)
