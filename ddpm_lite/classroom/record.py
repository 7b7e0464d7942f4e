r"""What has been graded, kept line by line while it is made, so that a stop loses nothing.

`grades.record.jsonl` beside `grades.csv` holds an `Entry` a line, the last one of a student
and chapter counts; tables and texts are made of entries alone, and so are the same after a
stop. `grades.about.json` says for people how and when it was graded.
"""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from ..formats.checkpoint import write_text
from . import shown
from .exercise import exercises_of

FORMAT = 1


@dataclass(frozen=True)
class Entry:
    r"""One notebook's grade, as it is kept.

    status: "graded", "refused" (the notebook), or "failed" (the grader). exercises:
    {number: [points, points possible, what is said]}. late: None where nobody knows.
    file: the notebook's name. folder: the name that said whose it is.
    digest: of the cells. rules: what else the points depend on.
    """

    student: str
    chapter: str | None
    status: str
    exercises: dict[str, list] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    late: bool | None = False
    file: str = ""
    folder: str = ""
    digest: str = ""
    rules: dict = field(default_factory=dict)
    date: str = ""

    @property
    def key(self):
        r"""Which entries replace each other; a refused one of no chapter stands alone."""
        return self.student, self.chapter, "" if self.chapter else self.file

    @property
    def points(self):
        r"""What it got."""
        return sum(points for points, _, _ in self.exercises.values())

    @property
    def of(self):
        r"""What there was to get."""
        return sum(of for _, of, _ in self.exercises.values())


def entry(made, rules, late=False, remark=""):
    r"""The `Entry` of a `grade.Grade`. rules: a dict. late, remark: of the hand-in."""
    one = made.submission
    remarks = [*made.remarks, *filter(None, (one.note, remark))]
    return Entry(
        one.student,
        one.chapter,
        made.status,
        {
            o.exercise.number: [o.points, o.exercise.points, shown.plain(o.said)]
            for o in made.outcomes
        },
        [shown.plain(text, 500) for text in remarks],
        late,
        shown.name(one.path.name),
        shown.name(one.folder),
        one.digest,
        rules,
        now(),
    )


def now():
    r"""This moment, in local time, as ISO 8601 has it."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


class Record:
    r"""The entries beside a table, {key: Entry}; the last of several for a key counts.

    eyes: {(student, number): [points, of, comment]} that a teacher typed. roster:
    [head, rows] of the class. Raises ValueError for a file that is no record.
    """

    def __init__(self, csv):
        csv = Path(csv)
        self.path = csv.with_name(f"{csv.stem}.record.jsonl")
        self.about_path = csv.with_name(f"{csv.stem}.about.json")
        self.entries, self.eyes, self.roster = {}, {}, None
        self.file, self.about = None, {"format": FORMAT, "runs": []}

    def read(self):
        r"""Read what is there. A last line that a stop has cut is left out."""
        if not self.path.exists():
            raise ValueError(
                f"{self.path} is not there, and without it nothing is known of what was "
                "graded: take --replace, or another --csv"
            )
        lines = self.path.read_bytes().split(b"\n")
        for i, line in enumerate(lines[:-1], 1):  # behind the last \n is what was cut
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise ValueError(
                    f"{self.path}, line {i}, is no record of a grade: move the file away, "
                    "or take --replace"
                ) from error
        with suppress(OSError, ValueError, KeyError, TypeError):
            about = json.loads(self.about_path.read_text("utf-8"))
            self.about["runs"] = list(about["runs"])

    def _take(self, line):
        if "entry" in line:
            one = Entry(**line["entry"])
            known = exercises_of(one.chapter) if one.chapter else {}
            if not set(one.exercises) <= set(known) or not isinstance(one.points, int):
                raise ValueError("exercises of another chapter")
            self.entries.pop(one.key, None)
            self.entries[one.key] = one
        elif "drop" in line:
            self.entries.pop(tuple(line["drop"]), None)
        elif "eyes" in line:
            self.eyes = {(s, n): [p, of, c] for s, n, p, of, c in line["eyes"]}
        else:
            self.roster = line["roster"]

    def seed(self):
        r"""The seed that most of the entries were graded with, None if there are none."""
        seeds = [e.rules["seed"] for e in self.entries.values() if "seed" in e.rules]
        return max(seeds, key=seeds.count, default=None)

    def open(self, *, new):
        r"""Begin to write, after what is there or, if new, in its place.

        What was there then goes to grades.record.old.jsonl. Raises ValueError while
        another process writes it.
        """
        import fcntl  # which Windows does not have

        if new and self.path.exists():
            os.replace(self.path, self.path.with_name(f"{self.path.stem}.old.jsonl"))
        self.file = open(self.path, "ab+")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.file.close()
            raise ValueError(
                f"{self.path} is being written: another grading runs"
            ) from error
        if not new and self.file.tell():
            self._cut_to_whole_lines()

    def _cut_to_whole_lines(self):
        self.file.seek(0)
        whole = self.file.read().rfind(b"\n") + 1
        self.file.truncate(whole)
        self.file.seek(0, os.SEEK_END)

    def add(self, one):
        r"""Keep an `Entry`: when this returns, it is on the disk."""
        self._write({"entry": asdict(one)})
        self.entries.pop(one.key, None)
        self.entries[one.key] = one

    def drop(self, key):
        r"""Forget an entry, such as that of a notebook that was refused and is gone."""
        if self.entries.pop(key, None) is not None:
            self._write({"drop": list(key)})

    def set_eyes(self, eyes):
        r"""Keep what a teacher typed."""
        self.eyes = eyes
        self._write({"eyes": [[*key, *value] for key, value in sorted(eyes.items())]})

    def set_roster(self, roster):
        r"""Keep the class list, so that the next run need not be given it."""
        self.roster = [list(roster.head), [member.row for member in roster.members]]
        self._write({"roster": self.roster})

    def _write(self, value):
        self.file.write(json.dumps(value).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())

    def say(self, run):
        r"""Write how it is graded into the file for people; run: of this run, a dict."""
        runs = [*self.about["runs"], run]
        about = {"format": FORMAT, "record": self.path.name, "runs": runs}
        write_text(self.about_path, json.dumps(about, indent=1) + "\n")

    def close(self):
        r"""End writing."""
        if self.file is not None:
            self.file.close()
            self.file = None
