r"""The command `grade`: a class's notebooks become a table of points."""

import json
import os
import platform
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

from tyro.conf import Positional

from ..checks import check_given, check_integer, check_name, check_number
from ..classroom import grade as grading
from ..classroom import jail, shown, table
from ..classroom.exercise import CHAPTERS
from ..classroom.eyes import read_sheet, write_pages
from ..classroom.feedback import write_zip
from ..classroom.held_back import digest_of, held_back_checks
from ..classroom.record import Record, entry, now
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
    work = _Work(options, record, roster, deadlines, own, found)
    kind = jail.isolation() if options.isolation == "auto" else options.isolation
    _say(f"isolation: {kind}")
    if kind == "none":
        _say(jail.OPEN)
    rules = grading.Rules(own, options.seed, kind, options.memory_gb, options.seconds)
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


class _Work:
    r"""What is still to be graded, and what is written while it is."""

    def __init__(self, options, record, roster, deadlines, own, found):
        self.options, self.record, self.roster = options, record, roster
        self.deadlines, self.own, self.found = deadlines, own, found
        self.kept = [one for one in found if self._is_graded(one)]
        self.left = [one for one in found if one not in self.kept]
        self.left.sort(key=lambda one: one.problem is None)  # what takes no time first
        self.typed = self._eyes()
        self.waiting = {(s.student, s.chapter) for s in self.left if s.chapter}
        self.done, self.begun, self.written = 0, monotonic(), 0.0
        self.about = {}

    def _rules(self, chapter):
        return {
            "version": _version(),
            "seed": self.options.seed,
            "seconds": self.options.seconds,
            "memory_gb": self.options.memory_gb,
            "held_back": digest_of(self.own, chapter) if chapter else "",
        }

    def _is_graded(self, one):
        r"""Whether a notebook's grade is known; ValueError if by other rules."""
        known = self.record.entries.get((one.student, one.chapter, ""))
        if known is None or known.status != "graded" or self.options.only:
            return False
        if known.digest != one.digest:
            _say(f"{one.student}, chapter {one.chapter}: another notebook, graded again")
            return False
        other = {
            k: v for k, v in self._rules(one.chapter).items() if known.rules.get(k) != v
        }
        if other:
            was = ", ".join(f"{k} {shown.plain(known.rules.get(k), 60)}" for k in other)
            new = ", ".join(f"{k} {shown.plain(v, 60)}" for k, v in other.items())
            raise ValueError(
                f"{self.options.csv}: chapter {one.chapter} of {one.student} was graded by "
                f"other rules ({was}; now {new}): grade as before, leave it out by "
                "--chapter or --only, or take --replace"
            )
        return True

    def _eyes(self):
        students = {s.student for s in self.found}
        students |= {e.student for e in self.record.entries.values()}
        students |= {m.student for m in self.roster.members} if self.roster else set()
        typed = read_sheet(self.options.eyes, students) if self.options.eyes else {}
        return {**self.record.eyes, **typed}

    def begin(self, isolation):
        r"""Write down how it is graded, and the pages for a teacher's eyes."""
        options, record = self.options, self.record
        if options.moodle:
            table.moodle(self._class())  # refuses what it cannot hold
        record.open(new=not options.extend)
        self.about = {
            "begun": now(),
            "ended": None,
            "version": _version(),
            "python": platform.python_version(),
            "isolation": isolation,
            "options": asdict(options),
            "notebooks": len(self.found),
            "graded before": len(self.kept),
        }
        record.say(self.about)
        if self.roster:
            record.set_roster(self.roster)
        if self.typed != record.eyes:
            record.set_eyes(self.typed)
        students = {one.student for one in self.found}
        for known in list(record.entries.values()):
            if known.chapter is None and known.student in students:
                record.drop(known.key)  # refused before; found again if it still is
        for one in self.kept:
            self._update(one)
        if options.eyes:
            names = {m.student: m.name for m in self.roster.members} if self.roster else {}
            for number, count in write_pages(self.found, options.eyes, names).items():
                _say(f"{number}.html in {options.eyes}: {count} students")
        self._write()
        if self.kept:
            _say(f"{len(self.kept)} of {len(self.found)} notebooks are graded already")

    def _update(self, one):
        r"""Keep a known grade with what is now known of when it was handed in."""
        known = self.record.entries[one.student, one.chapter, ""]
        if not (self.deadlines.due or one.late):
            return
        late, said = self.deadlines.late(one)
        others = [text for text in known.remarks if not _is_of_time(text)]
        new = type(known)(
            **{**vars(known), "late": late, "remarks": [*others, *[said] * bool(said)]}
        )
        if new != known:
            self.record.add(new)

    def take(self, one, made):
        r"""Keep a grade, and write what changes by it."""
        late, said = self.deadlines.late(one)
        self.record.add(entry(made, self._rules(one.chapter), late, said))
        self.waiting.discard((one.student, one.chapter))
        self.done += 1
        n, quick = len(self.left), sum(s.problem is not None for s in self.left)
        took = (monotonic() - self.begun) / max(1, self.done - quick)
        left = took * (n - max(quick, self.done))
        _say(f"{self.done:{len(str(n))}} of {n}, {_long(left)} left  {line(made)}")
        if monotonic() - self.written > 1:
            self._write()
        self._write_feedback(one.student)

    def _class(self):
        return table.Class(
            list(self.record.entries.values()),
            self.typed,
            self.roster,
            frozenset(self.waiting),
        )

    def _write(self):
        table.write(table.rows(self._class()), self.options.csv)
        self.written = monotonic()

    def _write_feedback(self, student):
        if not self.options.feedback:
            return
        own = [e for e in self.record.entries.values() if e.student == student]
        try:
            write_zip(student, own, self.typed, self.options.feedback)
        except (OSError, ValueError) as error:  # the others get theirs
            _say(f"no feedback for {student}: {shown.plain(error, 300)}")

    def finish(self, how):
        r"""Write all tables as they are now, and how it ended."""
        self._write()
        of, options = self._class(), self.options
        if how == "finished":
            for path, made in (
                (options.canvas, table.canvas),
                (options.moodle, table.moodle),
            ):
                if path:
                    table.write(made(of), path)
            for student in sorted({e.student for e in of.entries}):
                self._write_feedback(student)
        self.record.say({**self.about, "ended": now(), "how": how, "graded now": self.done})
        if how == "stopped" and self.waiting:
            _say(
                f"{self.done} of {len(self.left)} are graded and kept; the same command "
                "with --extend goes on"
            )

    def summary(self):
        r"""Say what came out: JSON, or a few lines."""
        of, options = self._class(), self.options
        if options.json:
            print(json.dumps([as_dict(e) for e in of.entries], indent=1))
            return
        for chapter in of.chapters:
            rates = [f"{n} {_share(*of.passed(n))}" for n in grading.exercises_of(chapter)]
            print(f"passed, chapter {chapter}: {', '.join(rates)}")
        counts = [of.status(s, c) for s in of.students for c in of.chapters]
        few = ("late", "absent", "refused", "unclear", "grader failed")
        said = [f"{counts.count(word)} {word}" for word in few if word in counts]
        strangers = table.strangers(of)
        if strangers:
            said.append(f"not in the roster: {', '.join(strangers[:10])}")
        if said:
            print("; ".join(said))
        got, whole = sum(e.points for e in of.entries), sum(e.of for e in of.entries)
        print(
            f"{len(of.entries)} notebooks, {got} of {whole} points; written: {options.csv}"
        )


def line(made):
    r"""One grade in a line, as the command prints it."""
    got = " ".join(f"{o.exercise.number}: {o.points}" for o in made.outcomes)
    remarks = f" ({len(made.remarks)} remarks)" if made.remarks else ""
    points = sum(o.points for o in made.outcomes), made.of
    return f"{made.submission.student:20} {points[0]:3} of {points[1]:3}  " + (
        got + remarks
        if made.status == "graded"
        else shown.plain("; ".join(made.remarks), 300)
    )


def as_dict(one):
    r"""An `Entry` as JSON can hold it, with all that is said."""
    return {
        "student": one.student,
        "chapter": one.chapter,
        "status": one.status,
        "late": one.late,
        "points": one.points,
        "of": one.of,
        "exercises": {
            number: {"points": points, "said": said}
            for number, (points, _, said) in one.exercises.items()
        },
        "remarks": one.remarks,
    }


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
        _say(f"left out, as no notebooks (*.ipynb): {', '.join(names[:10])}{more}")


def _is_of_time(text):
    return text.endswith(" late") or text.startswith(("late, as", "no time at which"))


def _share(part, whole):
    return f"{part}/{whole}"


def _long(seconds):
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes else f"{round(seconds)} s"


def _version():
    from .. import __version__

    return __version__


def _say(text):
    print(text, file=sys.stderr, flush=True)
