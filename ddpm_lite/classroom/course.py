r"""A class's grading from begin to end: what is left to do, and what is written meanwhile.

Each grade is kept in the `Record` as soon as it is there, and the table written anew; a
failure of one costs a row. What was graded before, by the same rules, is not graded again.
"""

import json
import platform
import sys
from dataclasses import asdict, replace
from time import monotonic

from . import shown, table
from .exercise import exercises_of
from .eyes import read_sheet, write_pages
from .feedback import write_zip
from .held_back import digest_of
from .record import entry, now


class Course:
    r"""What is still to be graded, and what is written while it is."""

    def __init__(self, options, record, roster, deadlines, own, found):
        self.options, self.record, self.roster = options, record, roster
        self.deadlines, self.own, self.found = deadlines, own, found
        self.renamed = self._renamed()
        self.kept = [one for one in found if self._is_graded(one)]
        self.left = [one for one in found if one not in self.kept]
        self.left.sort(key=lambda one: one.problem is None)  # what takes no time first
        self.typed = self._eyes()
        self.waiting = {(s.student, s.chapter) for s in self.left if s.chapter}
        self.done, self.begun, self.written = 0, monotonic(), 0.0
        self.about = {}

    def _renamed(self):
        r"""Entries of a folder whose student a roster now tells, [(key, Entry), ...]."""
        entries, new = self.record.entries, []
        for one in self.found:
            for key, known in list(entries.items()):
                same = known.folder == shown.name(one.folder)
                if same and known.chapter == one.chapter and known.student != one.student:
                    new.append((key, replace(known, student=one.student)))
        for _, known in new:
            entries.setdefault(known.key, known)
        names = {key[0]: known.student for key, known in new}
        eyes = self.record.eyes.items()
        self.eyes = {(names.get(s, s), number): typed for (s, number), typed in eyes}
        return new

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
            say(f"{one.student}, chapter {one.chapter}: another notebook, graded again")
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
        names = {s: s for s in students} | {k[0]: e.student for k, e in self.renamed}
        typed = read_sheet(self.options.eyes, names) if self.options.eyes else {}
        return {**self.eyes, **typed}

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
        for key, known in self.renamed:
            record.drop(key)
            record.add(record.entries.get(known.key, known))
        students = {one.student for one in self.found}
        for known in list(record.entries.values()):
            if known.chapter is None and known.student in students:
                record.drop(known.key)  # refused before; found again if it still is
        for one in self.kept:
            self._update(one)
        if options.eyes:
            names = {m.student: m.name for m in self.roster.members} if self.roster else {}
            for number, count in write_pages(self.found, options.eyes, names).items():
                say(f"{number}.html in {options.eyes}: {count} students")
        self._write()
        if self.kept:
            say(f"{len(self.kept)} of {len(self.found)} notebooks are graded already")

    def _update(self, one):
        r"""Keep a known grade with what is now known of when it was handed in."""
        known = self.record.entries[one.student, one.chapter, ""]
        if not (self.deadlines.due or one.late):
            return
        late, said = self.deadlines.late(one)
        others = [text for text in known.remarks if not _is_of_time(text)]
        new = replace(known, late=late, remarks=[*others, *[said] * bool(said)])
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
        say(f"{self.done:{len(str(n))}} of {n}, {_long(left)} left  {line(made)}")
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
            say(f"no feedback for {student}: {shown.plain(error, 300)}")

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
            say(
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
            rates = [
                f"{n} {'/'.join(map(str, of.passed(n)))}" for n in exercises_of(chapter)
            ]
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
    n = len(made.remarks)
    remarks = f" ({n} remark{'s' * (n > 1)})" if n else ""
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


def _is_of_time(text):
    return text.endswith(" late") or text.startswith(("late, as", "no time at which"))


def _long(seconds):
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes else f"{round(seconds)} s"


def _version():
    return sys.modules[__package__.partition(".")[0]].__version__


def say(text):
    r"""Print a line for people, who may be waiting for it."""
    print(text, file=sys.stderr, flush=True)
