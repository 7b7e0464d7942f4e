r"""Tables of a class: one row a student, for people, for Canvas and for Moodle.

All of them are made of the entries of a `Record`, in an order that depends on names alone:
the same entries give the same bytes.
"""

import csv
import io
from dataclasses import dataclass, field
from functools import cached_property

from ..formats.checkpoint import write_text
from . import shown
from .exercise import exercises_of

POSSIBLE, RATE = "[points possible]", "[passed]"  # the rows below the students
CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
MOODLE = ("First name", "Last name", "Surname", "Full name", "ID number", "Username")
MOODLE += ("Email address",)


@dataclass(frozen=True)
class Class:
    r"""What a table is made of.

    entries: [`record.Entry`, ...]. eyes: {(student, number): [points, of, comment]}.
    roster: a `Roster` or None. waiting: {(student, chapter), ...} that are still to be
    graded.
    """

    entries: list
    eyes: dict = field(default_factory=dict)
    roster: object = None
    waiting: frozenset = frozenset()

    @cached_property
    def chapters(self):
        r"""The chapters that somebody handed in."""
        known = {e.chapter for e in self.entries} | {c for _, c in self.waiting}
        return sorted(known - {None})

    @cached_property
    def students(self):
        r"""{student: full name or ""}, those of the roster too, in order."""
        found = {e.student: "" for e in self.entries} | {s: "" for s, _ in self.waiting}
        if self.roster:
            found |= {m.student: m.name for m in self.roster.members}
        return dict(sorted(found.items(), key=lambda item: (item[0].casefold(), item[0])))

    def entry(self, student, chapter):
        r"""The entry of a student for a chapter, or None."""
        return self._by_key.get((student, chapter))

    def unplaced(self, student):
        r"""What a student handed in of which no chapter is known."""
        return [e for e in self.of(student) if e.chapter is None]

    def of(self, student):
        r"""The entries of a student."""
        return self._by_student.get(student, [])

    @cached_property
    def _by_key(self):
        return {(e.student, e.chapter): e for e in self.entries if e.chapter}

    @cached_property
    def _by_student(self):
        found = {}
        for one in sorted(self.entries, key=lambda e: (e.chapter or "~", e.file)):
            found.setdefault(one.student, []).append(one)
        return found

    @cached_property
    def _typed(self):
        r"""Points of a teacher, {(student, chapter): sum}; possible ones, {number: of}."""
        sums, possible = {}, {}
        for (student, number), (points, of, _) in self.eyes.items():
            key = student, number[:2]
            sums[key] = sums.get(key, 0) + points
            possible[number] = max(of, possible.get(number, 0))
        return sums, possible

    def status(self, student, chapter):
        r"""How it stands with a chapter, in a word or two."""
        one = self.entry(student, chapter)
        if one is None:
            if (student, chapter) in self.waiting:
                return "not yet graded"
            return "unclear" if self.unplaced(student) else "absent"
        if one.status == "graded" and one.late:
            return "late"
        return {"failed": "grader failed"}.get(one.status, one.status)

    def eyes_of(self, number):
        r"""The points possible of the part for a teacher's eyes, 0 if nobody got any."""
        return self._typed[1].get(number, 0)

    def points(self, student, chapter):
        r"""What a student has in a chapter, with what a teacher gave."""
        one = self.entry(student, chapter)
        return (one.points if one else 0) + self._typed[0].get((student, chapter), 0)

    def possible(self, chapter):
        r"""What there is to get in a chapter, with the parts for a teacher's eyes."""
        known = exercises_of(chapter)
        return sum(e.points for e in known.values()) + sum(map(self.eyes_of, known))

    def passed(self, number):
        r"""How many passed an exercise, and how many handed in its chapter."""
        handed = [e for e in self.entries if e.chapter == number[:2]]
        got = [e for e in handed if _full(e, number)]
        return len(got), len(handed)


def _full(one, number):
    points, of, _ = one.exercises.get(number, (0, 1, ""))
    return points == of


def rows(of):
    r"""The table for people, rows of text, the first one the head. of: a `Class`.

    Columns: student, name (with a roster), points, of, percent; for each chapter its
    points, its status and the points of each exercise; remarks. Two rows at the end say
    what could be got, and how many of those who handed it in passed each exercise.
    """
    columns = [(c, n) for c in of.chapters for n in exercises_of(c)]
    named = ["name"] if of.roster else []
    head = ["student", *named, "points", "of", "percent"]
    for chapter in of.chapters:
        head += [chapter, f"{chapter} status"]
        for number in exercises_of(chapter):
            head += [number] + [f"{number} eyes"] * bool(of.eyes_of(number))
    total = sum(map(of.possible, of.chapters))
    table = [[*head, "remarks"]]
    for student, name in of.students.items():
        got = sum(of.points(student, c) for c in of.chapters)
        waits = any((student, c) in of.waiting for c in of.chapters)
        percent = "" if waits else _percent(got, total)
        row = [student, *[name] * bool(named), got, total, percent]
        for chapter in of.chapters:
            row += _chapter_cells(of, student, chapter)
        table.append([*map(str, row), _remarks(of, student)])
    blank = [""] * len(named)
    possible = [POSSIBLE, *blank, total, total, ""]
    rate = [RATE, *blank, "", "", ""]
    for chapter in of.chapters:
        possible += [of.possible(chapter), ""]
        rate += ["", ""]
        for number, one in exercises_of(chapter).items():
            eyes = of.eyes_of(number)
            possible += [one.points] + [eyes] * bool(eyes)
            passed, handed = of.passed(number)
            share = f"{passed} of {handed} ({_percent(passed, handed)} %)"
            rate += [share if handed else ""] + [""] * bool(eyes)
    return [*table, [*map(str, possible), ""], [*rate, ""]] if columns else table


def _chapter_cells(of, student, chapter):
    one = of.entry(student, chapter)
    cells = [of.points(student, chapter) if one else "", of.status(student, chapter)]
    for number in exercises_of(chapter):
        cells.append(one.exercises.get(number, [""])[0] if one else "")
        if of.eyes_of(number):
            cells.append(of.eyes.get((student, number), [""])[0])
    return cells


def _remarks(of, student):
    said = [f"{e.chapter or e.file}: {t}" for e in of.of(student) for t in e.remarks]
    text = "; ".join(said)
    return text if len(text) <= 1000 else text[:980] + " \u2026 (more in the feedback)"


def _percent(part, whole):
    return f"{100 * part / whole:.1f}" if whole else ""


def canvas(of):
    r"""The table that the gradebook of Canvas imports.

    With a roster that Canvas exported, its own names of students; else what folders are
    named goes to SIS Login ID. A column of the roster that names the chapter ("Exercises
    02 (4711)") is filled, else there is a new one. Nobody who is absent gets a 0.
    """
    columns = {c: _column(of.roster, c) or f"Chapter {c}" for c in of.chapters}
    keep = [c for c in CANVAS if not of.roster or c in (*of.roster.head, "Student")]
    table = [[*keep, *columns.values()]]
    blank = [""] * (len(keep) - 1)
    possible = [str(of.possible(c)) for c in of.chapters]
    table.append(["    Points Possible", *blank, *possible])
    for student, row in _who(of, {"Student": "", "SIS Login ID": ""}):
        row = {**row, "Student": row.get("Student") or of.students[student] or student}
        grades = [_grade(of, student, c) for c in of.chapters]
        table.append([row.get(c, "") for c in keep] + grades)
    return table


def moodle(of):
    r"""The table that Moodle imports: its gradebook, or one assignment.

    With a roster that is the grading worksheet of an assignment, that worksheet with
    grades and comments, which needs one chapter alone: ValueError for more. Else columns
    that identify students, and for each chapter its points and a comment.
    """
    head = of.roster.head if of.roster else ("Username",)
    if {"Identifier", "Grade"} <= set(head):
        if len(of.chapters) > 1:
            raise ValueError(
                f"a grading worksheet of Moodle is for one chapter, here are "
                f"{', '.join(of.chapters)}: take --chapter, and a table for it alone"
            )
        return [list(head), *_worksheet(of, head)]
    keep = [c for c in MOODLE if c in head]
    table = [keep[:]]
    for chapter in of.chapters:
        table[0] += [f"Chapter {chapter}", f"Chapter {chapter} (feedback)"]
    for student, row in _who(of, {"Username": ""}):
        grades = []
        for chapter in of.chapters:
            grades += [_grade(of, student, chapter), comment(of, student, chapter)]
        table.append([row.get(c, "") for c in keep] + grades)
    return table


def _worksheet(of, head):
    for student, row in _who(of, {}):
        (chapter,) = of.chapters or ("",)
        grade = _grade(of, student, chapter) if chapter else ""
        row = {**row, "Grade": grade or row.get("Grade", "")}
        if "Feedback comments" in head and grade:
            row["Feedback comments"] = comment(of, student, chapter)
        yield [row.get(column, "") for column in head]


def _who(of, columns):
    r"""(student, {column: text}) of the roster, or of all who handed in."""
    if of.roster:
        return [(m.student, m.row) for m in of.roster.members]
    return [(s, dict.fromkeys(columns, s)) for s in of.students]


def strangers(of):
    r"""Who handed in and is not in the roster, and so in no table for a platform."""
    known = {m.student for m in of.roster.members} if of.roster else {*of.students}
    return [s for s in of.students if s not in known]


def _grade(of, student, chapter):
    r"""Points as a platform takes them: nothing where nothing was handed in."""
    ready = of.status(student, chapter) in ("graded", "late", "refused")
    return str(of.points(student, chapter)) if ready else ""


def comment(of, student, chapter):
    r"""What a student may read beside the points, in a line."""
    one = of.entry(student, chapter)
    if one is None or not _grade(of, student, chapter):
        return ""
    said = [
        f"{n}: {points} of {p}" + f" ({text})" * (points < p and one.status == "graded")
        for n, (points, p, text) in one.exercises.items()
    ]
    said += [
        f"{n}, drawings and sentences: {points} of {p}" + f" ({text})" * bool(text)
        for (s, n), (points, p, text) in sorted(of.eyes.items())
        if (s, n[:2]) == (student, chapter)
    ]
    return shown.plain("; ".join([*said, *one.remarks]), 4000)


def _column(roster, chapter):
    r"""The roster's column that is a chapter's assignment, None unless there is one."""
    if roster is None:
        return None
    found = []
    for column in roster.head:
        words = column.rpartition(" (")[0] or column
        words = words.lower().replace("_", " ").split()
        if chapter in words and column not in CANVAS:
            found.append(column)
    return found[0] if len(found) == 1 else None


def write(table, path):
    r"""Write rows as CSV, with nothing in them that a spreadsheet would run."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    first = table[0][0] if table and table[0] else ""
    for row in table:
        points = row[:1] == ["    Points Possible"] and first == "Student"
        safe = [shown.cell(value) for value in row]
        writer.writerow([row[0], *safe[1:]] if points else safe)
    write_text(path, text.getvalue())
