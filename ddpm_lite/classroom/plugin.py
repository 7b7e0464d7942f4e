r"""The same grading as tests: `pytest -p ddpm_lite.classroom.plugin SUBMISSIONS`.

Each notebook is a file of tests, each of its exercises a test, whose failure is the hint.
All notebooks are read while pytest collects, before any of them runs.
"""

import tempfile
from pathlib import Path

import pytest

from ..checks import check_integer
from . import jail, lacking
from .checking import LAST_SEED, drawn
from .exercise import exercises_of
from .grade import Rules, grade_one
from .held import Package
from .held_back import held_back_checks
from .runner import check_ipython
from .submissions import read


def pytest_addoption(parser):
    r"""Add the options that `ddpm-lite grade` has too."""
    group = parser.getgroup("ddpm-lite")
    words = "of the checks' inputs; drawn by chance if not given"
    group.addoption("--grade-seed", type=int, default=None, help=words)
    group.addoption("--held-back", default="", help="folder with checks of your own")


def pytest_collect_file(file_path, parent):
    r"""Take notebooks, and nothing else."""
    if file_path.suffix == ".ipynb" and ".ipynb_checkpoints" not in file_path.parts:
        return Notebook.from_parent(parent, path=file_path)
    return None


class Notebook(pytest.File):
    r"""One submission: a test for each exercise of its chapter."""

    def collect(self):
        r"""Read the notebook, and name its exercises."""
        self.submission = read(self.path.parent, self.path)
        self.made = None
        chapter = self.submission.chapter
        numbers = exercises_of(chapter) if chapter else ["?"]
        return [Graded.from_parent(self, name=number) for number in numbers]

    def grade(self):
        r"""The notebook's `Grade`, made once. {number: Outcome}."""
        if self.made is None:
            rules = _rules(self.config, self.submission.chapter)
            self.made = grade_one(self.submission, rules)
        return {one.exercise.number: one for one in self.made.outcomes}


class Graded(pytest.Item):
    r"""One exercise of one submission."""

    def runtest(self):
        r"""Fail with what is said to the student, unless all points were given."""
        outcome = self.parent.grade().get(self.name)
        if outcome is None:
            pytest.fail("; ".join(self.parent.made.remarks), pytrace=False)
        if outcome.points < outcome.exercise.points:
            pytest.fail(f"{self.name} {outcome.said}", pytrace=False)

    def reportinfo(self):
        r"""Where the test comes from, as pytest prints it."""
        return self.path, None, f"{self.parent.submission.student} {self.name}"


_KEPT = pytest.StashKey[dict]()


def _rules(config, chapter):
    r"""What all notebooks share, made when the first of a chapter needs it."""
    kept = config.stash.setdefault(_KEPT, {})
    if not kept:
        folder = config.getoption("held_back")
        kept["seed"] = _seed(config)
        kept["held_back"] = held_back_checks(folder) if folder else {}
        kept["isolation"] = jail.isolation()
        check_ipython(kept["isolation"])
        kept["place"] = tempfile.TemporaryDirectory(prefix="package-")
        kept["packages"] = {}
    if chapter not in kept["packages"] and chapter is not None:
        target = Path(kept["place"].name, chapter)
        lacking.write(target, lacking.asked(chapter))
        kept["packages"][chapter] = Package(target)
    return Rules(
        kept["seed"], kept["held_back"], kept["isolation"], packages=kept["packages"]
    )


def _seed(config):
    given = config.getoption("grade_seed")
    return drawn() if given is None else check_integer("--grade-seed", given, 0, LAST_SEED)


def pytest_terminal_summary(terminalreporter, config):
    r"""Say which seed it was, so that a failure can be repeated."""
    kept = config.stash.get(_KEPT, {})
    if "seed" in kept:
        terminalreporter.write_line(f"seed of the checks: --grade-seed {kept['seed']}")


def pytest_unconfigure(config):
    r"""Remove the copies of the package."""
    place = config.stash.get(_KEPT, {}).get("place")
    if place is not None:
        place.cleanup()
