r"""The command `grade`: a class's notebooks become a table of points."""

import os
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from tyro.conf import Positional

from ..checks import check_given, check_integer, check_name, check_number
from ..classroom import grade as grading
from ..classroom import jail, shown
from ..classroom.checking import LAST_SEED, drawn
from ..classroom.course import Course, say
from ..classroom.exercise import CHAPTERS
from ..classroom.held_back import held_back_checks
from ..classroom.record import Record
from ..classroom.roster import make_roster, read_deadlines, read_roster
from ..classroom.submissions import left_out, merged, read_all


@dataclass(frozen=True)
class Options:
    r"""Check a class's notebooks of exercises, each apart from the others."""

    submissions: Positional[str]  # folder of STUDENT.ipynb or STUDENT/*.ipynb
    csv: str = "grades.csv"  # the table of points, one row a student
    extend: bool = False  # go on with a table: after a stop, or with new notebooks
    replace: bool = False  # make a table anew in the place of an old one
    only: tuple[str, ...] = ()  # students; those are graded again, too
    chapter: str | None = None  # such as 02, to leave out the others
    latest: bool = False  # where a student handed in several, take the one changed last
    roster: str = ""  # class list (CSV, also of Canvas or Moodle), to see who is absent
    deadline: str = ""  # such as "2026-12-01 23:59", or CSV: chapter, deadline[, student]
    times: str = ""  # CSV: student, time[, chapter]; else the time stamps of the notebooks
    feedback: str = ""  # folder for a zip to each student, with the hints
    canvas: str = ""  # table that the gradebook of Canvas imports
    moodle: str = ""  # table that Moodle imports
    eyes: str = ""  # folder for pages of drawings and sentences, and your points for them
    held_back: str = ""  # folder with checks of your own, which students do not have
    seed: int | None = None  # of the checks' inputs; else the table's, or one by chance
    jobs: int | None = None  # submissions at a time; one for each processor if not given
    seconds: float = 120.0  # that one submission may take
    memory_gb: float = 4.0  # that one submission may take
    isolation: str = "auto"  # bubblewrap, namespaces or none; auto takes the best there is
    json: bool = False  # print the grades as JSON

    def __post_init__(self):
        check_given("a folder of notebooks", self.submissions)
        check_given("a new file behind --csv", self.csv)
        if self.seed is not None:
            check_integer("--seed", self.seed, 0, LAST_SEED)
        if self.jobs is not None:
            check_integer("--jobs", self.jobs, 1, 1000)
        check_number("--seconds", self.seconds, 1e-3, 1e6)
        check_number("--memory-gb", self.memory_gb, 2, 1e6)
        check_name("--isolation", self.isolation, "auto", *jail.KINDS)
        if self.extend and self.replace:
            raise ValueError("--extend keeps what is there, --replace does not: take one")
        if self.only and self.replace:
            raise ValueError("--only with --replace would drop all others: take --extend")


def run(options, threads):
    r"""Grade, and write the tables. threads: of no use here, processes have their own."""
    record = Record(options.csv)
    _check_places(options, record)
    if options.extend and (record.path.exists() or Path(options.csv).exists()):
        record.read()
    if options.seed is None:
        known = record.seed()
        options = replace(options, seed=drawn() if known is None else known)
    roster = _roster(options, record)
    found = read_all(  # what is wrong here, before all else
        options.submissions, options.chapter, roster=roster, latest=options.latest
    )
    found = _chosen(merged(found), options.only)
    _say_left_out(options.submissions)
    deadlines = read_deadlines(options.deadline, options.times, roster)
    grading.check_settings(
        options.isolation, options.jobs, options.memory_gb, options.seconds, options.seed
    )
    own = held_back_checks(options.held_back) if options.held_back else {}
    work = Course(options, record, roster, deadlines, own, found)
    kind = jail.isolation() if options.isolation == "auto" else options.isolation
    say(f"isolation: {kind}")
    say(f"seed: {options.seed}")
    if jail.left_open(kind):
        say(jail.left_open(kind))
    rules = grading.Rules(options.seed, own, kind, options.memory_gb, options.seconds)
    work.begin(kind)
    try:
        with closing(grading.grade_each(work.left, rules, options.jobs)) as each:
            for i, made in each:
                work.take(work.left[i], made)
        work.finish("finished")
    except BaseException:
        work.finish("stopped")
        raise
    finally:
        record.close()
    work.summary()


def _check_places(options, record):
    r"""Refuse what cannot be written, or would write over something, before all work."""
    csv = Path(options.csv)
    if options.chapter is not None:
        check_name("--chapter", options.chapter, *CHAPTERS)
    again = options.extend or options.replace
    targets = [options.csv, record.path, options.canvas, options.moodle, options.feedback]
    for path in map(Path, filter(None, targets)):
        if path.exists() and not again:
            raise ValueError(
                f"{path} exists already: go on with it by --extend, make it anew by "
                "--replace, or name another"
            )
        if not path.absolute().parent.is_dir():
            raise ValueError(f"the folder of {path} does not exist: make it first")
        if path.is_dir() and path != Path(options.feedback or "\0"):
            raise ValueError(f"{path} is a folder: name a file")
    for path in map(Path, filter(None, (options.feedback, options.eyes))):
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path} is no folder: name another")
    if not os.access(csv.absolute().parent, os.W_OK):
        raise ValueError(f"{csv.absolute().parent} cannot be written: name another --csv")


def _roster(options, record):
    if options.roster:
        return read_roster(options.roster)
    return make_roster(*record.roster) if record.roster else None


def _chosen(found, only):
    r"""The submissions of the students that --only names, all without it."""
    if not only:
        return found
    known = {s.student: s.student for s in found} | {s.folder: s.student for s in found}
    unknown = [name for name in only if name not in known]
    if unknown:
        names = ", ".join(sorted({s.student for s in found})[:20])
        raise ValueError(
            f"nobody called {shown.name(unknown[0])} handed in; here are {names}"
        )
    return [s for s in found if s.student in {known[name] for name in only}]


def _say_left_out(folder):
    names = left_out(folder)
    if names:
        more = f" and {len(names) - 10} more" * (len(names) > 10)
        say(f"left out, as no notebooks (*.ipynb): {', '.join(names[:10])}{more}")
