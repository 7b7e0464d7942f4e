r"""The command `grade`: a class's notebooks become a table of points."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from ..checks import check_given, check_integer, check_name, check_number
from ..classroom import grade as grading
from ..classroom import jail
from ..classroom.submissions import read_all


@dataclass(frozen=True)
class Options:
    r"""Check a class's notebooks of exercises, each apart from the others."""

    submissions: Positional[str]  # folder of STUDENT.ipynb or STUDENT/*.ipynb
    csv: str = "grades.csv"  # the new table of points
    feedback: str = ""  # folder for a text to each student, with the hints
    held_back: str = ""  # folder with checks of your own, which students do not have
    chapter: str | None = None  # such as 02, to leave out the others
    seed: int = 1  # of the checks' inputs; notebooks use 0
    jobs: int | None = None  # submissions at a time; one for each processor if not given
    seconds: float = 120.0  # that one submission may take
    memory_gb: float = 4.0  # that one submission may take
    isolation: str = "auto"  # bubblewrap, namespaces or none; auto takes the best there is
    json: bool = False  # print the grades as JSON

    def __post_init__(self):
        check_given("a folder of notebooks", self.submissions)
        check_given("a new file behind --csv", self.csv)
        check_integer("--seed", self.seed, 0)
        if self.jobs is not None:
            check_integer("--jobs", self.jobs, 1, 1000)
        check_number("--seconds", self.seconds, 1e-3, 1e6)
        check_number("--memory-gb", self.memory_gb, 2, 1e6)
        check_name("--isolation", self.isolation, "auto", *jail.KINDS)


def run(options, threads):
    r"""Grade, and write the table. threads: of no use here, processes have their own."""
    for path in filter(None, (options.csv, options.feedback)):
        if Path(path).exists():
            raise ValueError(f"{path} exists already: move it, or name another")
    if not Path(options.csv).resolve().parent.is_dir():
        raise ValueError(f"the folder of {options.csv} does not exist: make it first")
    read_all(options.submissions, options.chapter)  # what is wrong here, before all else
    kind = jail.isolation() if options.isolation == "auto" else options.isolation
    print(f"isolation: {kind}", file=sys.stderr)
    if jail.left_open(kind):
        print(jail.left_open(kind), file=sys.stderr)
    grades = grading.grade(
        options.submissions,
        chapter=options.chapter,
        held_back=options.held_back or None,
        seed=options.seed,
        isolation=kind,
        jobs=options.jobs,
        memory_gb=options.memory_gb,
        seconds=options.seconds,
        tell=lambda made: print(grading.line(made), file=sys.stderr, flush=True),
    )
    grading.write_csv(grades, options.csv)
    if options.feedback:
        grading.write_feedback(grades, options.feedback)
    if options.json:
        print(json.dumps([grading.as_dict(made) for made in grades], indent=1))
        return
    got, whole = sum(g.points for g in grades), sum(g.of for g in grades)
    print(f"{len(grades)} notebooks, {got} of {whole} points; written: {options.csv}")
