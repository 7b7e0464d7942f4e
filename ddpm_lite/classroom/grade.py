r"""A class's notebooks through the checks of `check`, each in a process of its own.

The grader reads everything first. A submission's process gets inputs and gives back
numbers; the checks run here, where no submission can reach them.
"""

import csv
import io
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..formats.checkpoint import write_text
from . import jail, lacking
from .checking import points, unreadable
from .exercise import Exercise, Hint, Unsolved, exercises_of
from .held import Package
from .held_back import held_back_checks
from .runner import RemoteAnswer, Runner, Stopped, check_ipython
from .submissions import Submission, read_all
from .wire import clean


@dataclass(frozen=True)
class Outcome:
    r"""How one exercise ended: the points, and what is said to the student."""

    exercise: Exercise
    points: int
    said: str


@dataclass(frozen=True)
class Grade:
    r"""The outcomes of one submission, and remarks on the whole of it."""

    submission: Submission
    outcomes: tuple[Outcome, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def points(self):
        r"""What the submission gets."""
        return sum(one.points for one in self.outcomes)

    @property
    def of(self):
        r"""What there was to get."""
        return sum(one.exercise.points for one in self.outcomes)


@dataclass(frozen=True)
class Rules:
    r"""What is the same for all submissions of one grading.

    held_back: {number: [check, ...]}. seed: of the checks' inputs. isolation: one of
    `jail.KINDS`. memory_gb, seconds: of one submission. packages: {chapter: folder}.
    """

    held_back: dict[str, list[Callable]] = field(default_factory=dict)
    seed: int = 0
    isolation: str = "none"
    memory_gb: float = 4.0
    seconds: float = 120.0
    packages: dict[str, Path] = field(default_factory=dict)


def grade(
    folder,
    *,
    chapter=None,
    held_back=None,
    seed=0,
    isolation="auto",
    jobs=None,
    memory_gb=4.0,
    seconds=120.0,
    tell=lambda grade: None,
):
    r"""Grade the notebooks in a folder. Returns [Grade, ...] in the order of `read_all`.

    chapter: such as "02", to leave out all others. held_back: a folder with checks of the
    teacher's own. seed: of the checks' inputs; another one than 0 gives other inputs than
    the notebook's. isolation: one of `jail.KINDS`, or "auto" for the best that works.
    jobs: submissions at a time, one for each processor if None. memory_gb, seconds: of
    one submission. tell: gets each Grade as it is made. Raises ValueError for settings
    that cannot be, and on another system than Linux, before anything runs.
    """
    if sys.platform != "linux":
        raise ValueError(
            f"grading limits and isolates processes as Linux can, this is {sys.platform}: "
            "use WSL, a container or a Linux machine (check works everywhere)"
        )
    if isolation not in ("auto", *jail.KINDS):
        raise ValueError(f"isolation must be auto or one of {', '.join(jail.KINDS)}")
    if not (memory_gb >= 2 and seconds > 0 and (jobs is None or jobs >= 1) and seed >= 0):
        raise ValueError(
            "memory_gb must be at least 2, seconds above 0, jobs at least 1, seed at least "
            f"0; got {memory_gb}, {seconds}, {jobs}, {seed}"
        )
    if chapter is not None:
        exercises_of(chapter)  # refuses one that there is not
    found = read_all(folder, chapter)
    own = held_back_checks(held_back) if held_back else {}
    if isolation == "auto":
        isolation = jail.isolation()
    check_ipython(isolation)
    with tempfile.TemporaryDirectory(prefix="package-") as place:
        packages = {}
        for one in sorted({s.chapter for s in found if s.problem is None}):
            packages[one] = Path(place, one)
            lacks = {n for e in exercises_of(one).values() for n in e.lacks}
            lacking.write(packages[one], lacks)
            packages[one] = Package(packages[one])  # before anything runs
        rules = Rules(own, seed, isolation, memory_gb, seconds, packages)

        def work(submission):
            made = grade_one(submission, rules)
            tell(made)
            return made

        with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
            return list(pool.map(work, found))


def grade_one(submission, rules):
    r"""The `Grade` of one submission. Nothing that it does raises an error here."""
    if submission.problem:
        return Grade(submission, remarks=(f"the notebook {submission.problem}",))
    exercises = exercises_of(submission.chapter).values()
    limits = {"memory_gb": rules.memory_gb, "seconds": rules.seconds}
    package = rules.packages[submission.chapter]
    outcomes, remarks = [], []
    with Runner(submission.cells, package, rules.isolation, **limits) as runner:
        for exercise in exercises:
            try:
                runner.start()
            except Stopped as stopped:
                said = f"not graded: the notebook {stopped}"
                outcomes += [Outcome(e, 0, said) for e in exercises][len(outcomes) :]
                break
            outcomes.append(_outcome(runner, exercise, rules))
        remarks += runner.remarks
        remarks += [f"code cell {i + 1}: {text}" for i, text in runner.errors or ()]
    return Grade(submission, tuple(outcomes), tuple(remarks))


def _outcome(runner, exercise, rules):
    said = _said(runner, exercise, exercise.check, rules.seed)
    if said is not None:
        return Outcome(exercise, 0, said)
    for check in rules.held_back.get(exercise.number, ()):
        said = _said(runner, exercise, check, rules.seed)
        if said is not None:
            return Outcome(exercise, 0, f"public check passed, held-back check: {said}")
    return Outcome(exercise, exercise.points, f"passed ({points(exercise.points)})")


def _said(runner, exercise, check, seed):
    r"""None where a check passes, else what is wrong."""
    try:
        runner.start()
        check(RemoteAnswer(runner, exercise), seed)
    except Unsolved:
        return "not solved yet"
    except Hint as hint:
        return f"not yet: {clean(hint)}"
    except Stopped as stopped:
        return f"not yet: your function {stopped}"
    except Exception as error:
        return f"not yet: {clean(unreadable(error))}"
    return None


def line(made):
    r"""One grade in a line, as the command prints it."""
    got = " ".join(f"{o.exercise.number}: {o.points}" for o in made.outcomes)
    remarks = f" ({len(made.remarks)} remarks)" if made.remarks and made.outcomes else ""
    return f"{made.submission.student:20} {made.points:3} of {made.of:3}  " + (
        got + remarks if made.outcomes else "; ".join(made.remarks)
    )


def as_dict(made):
    r"""A grade as JSON can hold it, with all that is said."""
    return {
        "student": made.submission.student,
        "chapter": made.submission.chapter,
        "points": made.points,
        "of": made.of,
        "exercises": {
            o.exercise.number: {"points": o.points, "said": o.said} for o in made.outcomes
        },
        "remarks": list(made.remarks),
    }


def table(grades):
    r"""The grades as rows of text, the first one the head.

    Columns: student, chapter, points, of, a column for each exercise, remarks.
    """
    numbers = sorted({o.exercise.number for g in grades for o in g.outcomes})
    rows = [["student", "chapter", "points", "of", *numbers, "remarks"]]
    for made in grades:
        got = {o.exercise.number: str(o.points) for o in made.outcomes}
        rows.append(
            [
                made.submission.student,
                made.submission.chapter or "",
                str(made.points),
                str(made.of),
                *(got.get(n, "") for n in numbers),
                "; ".join(made.remarks),
            ]
        )
    return rows


def write_csv(grades, path):
    r"""Write `table` as CSV. A name that a spreadsheet would run is written as text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in table(grades):
        writer.writerow(["'" + c if c[:1] in ("=", "+", "-", "@") else c for c in row])
    write_text(path, text.getvalue())


def feedback(made):
    r"""What a student gets to read, as Markdown."""
    one = made.submission
    lines = [
        f"# {one.student}, chapter {one.chapter or '?'}: {made.points} of {made.of}",
        "",
    ]
    for outcome in made.outcomes:
        lines.append(
            f"- **{outcome.exercise.number}** `{outcome.exercise.name}`: {outcome.said}"
        )
    if made.remarks:
        lines += ["", "Remarks on the whole notebook:", ""]
        lines += [f"- {remark}" for remark in made.remarks]
    return "\n".join(lines) + "\n"


def write_feedback(grades, folder):
    r"""Write `feedback` for each submission into a folder, STUDENT_CHAPTER.md."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for made in grades:
        name = f"{made.submission.student}_{made.submission.chapter or 'unknown'}.md"
        write_text(folder / name, feedback(made))
