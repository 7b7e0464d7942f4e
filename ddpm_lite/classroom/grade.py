r"""A class's notebooks through the checks of `check`, each in a process of its own.

The grader reads everything first. A submission's process gets inputs and gives back
numbers; the checks run here, where no submission can reach them.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import jail, lacking, shown
from .checking import LAST_SEED, drawn, judged
from .exercise import Exercise, exercises_of
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
    r"""The outcomes of one submission, and remarks on the whole of it.

    status: "graded", "refused" (the notebook), or "failed" (the grader).
    """

    submission: Submission
    outcomes: tuple[Outcome, ...] = ()
    remarks: tuple[str, ...] = ()
    status: str = "graded"

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

    seed: of the checks' inputs. held_back: {number: [check, ...]}. isolation: one of
    `jail.KINDS`. memory_gb, seconds: of one submission. packages: {chapter: folder}.
    """

    seed: int = 0
    held_back: dict[str, list[Callable]] = field(default_factory=dict)
    isolation: str = "none"
    memory_gb: float = 4.0
    seconds: float = 120.0
    packages: dict[str, Path] = field(default_factory=dict)


def grade(
    folder,
    *,
    chapter=None,
    held_back=None,
    seed=None,
    isolation="auto",
    jobs=None,
    memory_gb=4.0,
    seconds=120.0,
):
    r"""Grade the notebooks in a folder. Returns [Grade, ...] in the order of `read_all`.

    chapter: such as "02", to leave out all others. held_back: a folder with checks of the
    teacher's own. seed: of the checks' inputs, the same for all; drawn by chance if None.
    isolation: one of `jail.KINDS`, or "auto" for the best that works. jobs: submissions at
    a time, one for each processor if None. memory_gb, seconds: of one submission. Raises
    ValueError for settings that cannot be, and on another system than Linux, before
    anything runs.
    """
    seed = drawn() if seed is None else seed
    check_settings(isolation, jobs, memory_gb, seconds, seed)
    if chapter is not None:
        exercises_of(chapter)  # refuses one that there is not
    found = read_all(folder, chapter)
    own = held_back_checks(held_back) if held_back else {}
    if isolation == "auto":
        isolation = jail.isolation()
    rules = Rules(seed, own, isolation, memory_gb, seconds)
    made = dict(grade_each(found, rules, jobs))
    return [made[i] for i in range(len(found))]


def check_settings(isolation, jobs, memory_gb, seconds, seed):
    r"""Refuse what cannot be, with ValueError, before anything runs."""
    if sys.platform != "linux":
        raise ValueError(
            f"grading limits and isolates processes as Linux can, this is {sys.platform}: "
            "use WSL, a container or a Linux machine (check works everywhere)"
        )
    if isolation not in ("auto", *jail.KINDS):
        raise ValueError(f"isolation must be auto or one of {', '.join(jail.KINDS)}")
    jobs_fit, seed_fits = jobs is None or jobs >= 1, 0 <= seed <= LAST_SEED
    if not (memory_gb >= 2 and seconds > 0 and jobs_fit and seed_fits):
        raise ValueError(
            "memory_gb must be at least 2, seconds above 0, jobs at least 1, seed in "
            f"0..2**31 - 1; got {memory_gb}, {seconds}, {jobs}, {seed}"
        )


def grade_each(found, rules, jobs=None):
    r"""Grade submissions: yields (index in found, Grade) as they are made.

    rules: without packages, which are made here. A submission on which the grader itself
    fails gets a `Grade` that says so. What runs is ended when the generator is.
    """
    check_ipython(rules.isolation)
    running = Running()
    with tempfile.TemporaryDirectory(prefix="package-") as place:
        rules = replace(rules, packages=_packages(found, Path(place)))
        pool, waiting = ThreadPoolExecutor(jobs or os.cpu_count()), {}
        try:
            for i, one in enumerate(found):
                waiting[pool.submit(_safely, one, rules, running)] = i
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            while wait(waiting, timeout=0.1).not_done:
                running.end()
            pool.shutdown()


class Running:
    r"""The processes that run now, so that a stop can end them."""

    def __init__(self):
        self.runners, self.stopping = [], False

    def end(self):
        r"""End them, and let no other begin."""
        self.stopping = True
        for runner in list(self.runners):
            with suppress(AttributeError, OSError):  # it ends by itself just now
                runner.stop()


def _packages(found, place):
    r"""{chapter: Package}: copies of the package that lack what is asked for."""
    packages = {}
    for one in sorted({s.chapter for s in found if s.problem is None}):
        packages[one] = Path(place, one)
        lacking.write(packages[one], lacking.asked(one))
        packages[one] = Package(packages[one])  # before anything runs
    return packages


def _safely(submission, rules, running):
    r"""`grade_one`; whatever goes wrong in it costs this submission alone."""
    try:
        return grade_one(submission, rules, running)
    except Exception as error:
        said = f"not graded: the grader failed on it ({shown.plain(repr(error), 300)})"
        return _without_points(submission, said, said, "failed")


def _without_points(submission, said, remark, status):
    r"""A Grade of 0 points, of those that the chapter has if it is known."""
    known = exercises_of(submission.chapter).values() if submission.chapter else ()
    outcomes = tuple(Outcome(one, 0, said) for one in known)
    return Grade(submission, outcomes, (remark,), status)


def grade_one(submission, rules, running=None):
    r"""The `Grade` of one submission. Nothing that it does raises an error here.

    running: a `Running` that may end it.
    """
    if submission.problem:
        said = f"the notebook {submission.problem}"
        return _without_points(submission, f"not graded: {said}", said, "refused")
    running = running or Running()
    exercises = exercises_of(submission.chapter).values()
    limits = {"memory_gb": rules.memory_gb, "seconds": rules.seconds}
    package = rules.packages[submission.chapter]
    outcomes, remarks = [], []
    with Runner(submission.cells, package, rules.isolation, **limits) as runner:
        running.runners.append(runner)
        for exercise in exercises:
            if running.stopping:
                raise InterruptedError("grading was stopped")
            try:
                runner.start()
            except Stopped as stopped:
                said = f"not graded: the notebook {stopped}"
                outcomes += [Outcome(e, 0, said) for e in exercises][len(outcomes) :]
                break
            outcomes.append(_outcome(runner, exercise, rules))
        remarks += runner.remarks
        remarks += [f"code cell {i + 1}: {text}" for i, text in runner.errors or ()]
    running.runners.remove(runner)
    return Grade(submission, tuple(outcomes), tuple(remarks))


def _outcome(runner, exercise, rules):
    r"""The `Outcome` of one exercise: what its stages earned, no more than its held-back
    checks leave of it."""
    made = _judged(runner, exercise, exercise.check, rules.seed)
    if not made.passed:
        return Outcome(exercise, made.points, clean(made.said))
    held_back = rules.held_back.get(exercise.number, ())
    own = [_judged(runner, exercise, check, rules.seed) for check in held_back]
    failed = [one for one in own if not one.passed]
    if failed:
        least = min(failed, key=lambda one: one.points)
        said = f"public check passed, held-back check: {clean(least.said)}"
        return Outcome(exercise, min(least.points, exercise.points), said)
    return Outcome(exercise, exercise.points, made.said)


def _judged(runner, exercise, check, seed):
    r"""The `Verdict` of a check on what runs in another process."""

    def started(answer, seed):
        runner.start()
        return check(answer, seed)

    answer = RemoteAnswer(runner, exercise)
    return judged(exercise, started, answer, seed, gone=Stopped)
