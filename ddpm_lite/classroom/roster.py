r"""Who is in the class, when things were due, and when they came: a teacher's tables.

A roster is a CSV file with one student a row: your own (a column `student`), or what
Canvas ("Export" in its gradebook) or Moodle (participants, gradebook, or the grading
worksheet of one assignment) writes.
"""

import csv
import io
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, time
from pathlib import Path

from . import shown

# What identifies a student, from the surest on, and what only names one.
IDS = ("student", "SIS Login ID", "Username", "SIS User ID", "ID number", "Email address")
IDS += ("Email", "E-mail", "Login", "ID", "Identifier")
NAMES = ("Student", "Full name", "Name")
FIRST, LAST = ("First name", "Given name"), ("Last name", "Surname", "Family name")
_MOODLE_TIME = "%A, %d %B %Y, %I:%M %p"  # of its grading worksheet


@dataclass(frozen=True)
class Member:
    r"""One row: the name in tables, the full name, and {column: text} as it came."""

    student: str
    name: str
    row: dict[str, str]


@dataclass(frozen=True)
class Roster:
    r"""The members of a class, and the columns of the file that names them."""

    head: tuple[str, ...]
    members: tuple[Member, ...]
    _ids: dict = field(repr=False, default_factory=dict)
    _names: dict = field(repr=False, default_factory=dict)

    def find(self, folder, name="", number=""):
        r"""The Member whose a file or folder is, or None, and a doubt in words, or "".

        folder: its name. name, number: of a student, as `submissions.owner` finds them in
        it. A number or login decides before a name, and what two members have decides
        nothing.
        """
        for table, words in (
            (self._ids, (*_readings(folder), number, *_readings(name))),
            (self._names, (*_readings(folder), *_readings(name))),
        ):
            for word in words:
                members = table.get(_key(word), ()) if word else ()
                if len(members) == 1:
                    return members[0], ""
                if members:
                    several = ", ".join(m.student for m in members)
                    return None, f"could be several of the roster: {several}"
        return None, "not in the roster"


def read_roster(path):
    r"""The `Roster` of a CSV file. Raises ValueError for what is not one."""
    return make_roster(*rows_of(path, "roster"), path)


def make_roster(head, rows, path="the roster"):
    r"""The `Roster` of column names and rows, [{column: text}, ...]."""
    ids = [column for column in IDS if column in head]
    names = [column for column in NAMES if column in head]
    first, last = (next((c for c in cs if c in head), None) for cs in (FIRST, LAST))
    if not (ids or names or (first and last)):
        raise ValueError(
            f"{path} needs a column that names a student, such as student, SIS Login ID, "
            f"Email address or Full name; it has {', '.join(head)[:300]}"
        )
    members, by_id, by_name = [], {}, {}
    for row in rows:
        if row.get("Student", "").strip() in ("Points Possible", "Student, Test"):
            continue  # rows of Canvas that are no students
        full = next((row[c] for c in names if row[c]), "")
        full = full or f"{row.get(first, '')} {row.get(last, '')}".strip()
        student = next((row[c] for c in ids if row[c]), full)
        if not student:
            continue  # an empty row at the end
        member = Member(shown.name(student), shown.plain(full, 100), row)
        members.append(member)
        for word in [w for c in ids for w in _spellings(c, row[c])]:
            _add(by_id, word, member)
        for word in _orders(full, row.get(first, ""), row.get(last, "")):
            _add(by_name, word, member)
    students = [member.student for member in members]
    twice = sorted({name for name in students if students.count(name) > 1})
    if twice or not members:
        what = f"names {', '.join(twice[:5])} twice" if twice else "names no student"
        raise ValueError(f"{path} {what}: each student needs one row")
    return Roster(tuple(head), tuple(members), by_id, by_name)


def rows_of(path, what):
    r"""The column names and rows of a CSV file, whatever separates its columns.

    Raises ValueError that names the file where it is no table, OSError where it cannot
    be read.
    """
    data = Path(path).read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")  # a spreadsheet's, on Windows
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as error:
        raise ValueError(f"{path} is not a table (CSV): {error}") from error
    if not table or not any(table[0]):
        raise ValueError(f"{path} holds no {what}: expected a CSV file with column names")
    head = [column.strip() for column in table[0]]
    rows = [
        dict(zip(head, [c.strip() for c in row] + [""] * len(head), strict=False))
        for row in table[1:]
        if any(c.strip() for c in row)
    ]
    return head, rows


def _add(table, word, member):
    known = table.setdefault(_key(word), ())
    table[_key(word)] = known if member in known else (*known, member)


def _key(word):
    return " ".join(unicodedata.normalize("NFKC", word).casefold().split())


def _readings(name):
    r"""A name, and what it may have been before a zip from Windows lost its letters."""
    try:
        name.encode()
        return (name,)
    except UnicodeEncodeError:
        data = name.encode("utf-8", "surrogateescape")
        return tuple(data.decode(code, "replace") for code in ("cp1252", "cp437", "gbk"))


def _spellings(column, text):
    found = [text] if text else []
    if "mail" in column.lower() and "@" in text:
        found.append(text.partition("@")[0])
    if column == "Identifier":  # "Participant 1234" in Moodle
        found += re.findall(r"\d+", text)
    return found


def _orders(full, first, last):
    r"""A name in the orders in which platforms write it, "annaschmidt" too."""
    if "," in full and not last:
        last, _, first = full.partition(",")
    pairs = [f"{first} {last}", f"{last} {first}"] if first and last else []
    spelled = [full, f"{last}, {first}" if pairs else "", *pairs]
    joined = [re.sub(r"\W", "", word) for word in (*pairs, full)]
    return [word for word in (*spelled, *joined) if word.strip()]


# Moments.


def moment(text):
    r"""Seconds since 1970 of a moment such as "2026-12-01 23:59", in local time.

    A day alone means its end. Raises ValueError for anything else.
    """
    text = text.strip()
    try:
        found = datetime.fromisoformat(text)
        if re.fullmatch(r"[\d-]+", text):
            found = datetime.combine(found.date(), time(23, 59, 59))
    except ValueError:
        try:
            found = datetime.strptime(text, _MOODLE_TIME)
        except ValueError:
            raise ValueError(
                "expected a moment such as 2026-12-01 23:59, or a CSV file, got "
                f"{shown.plain(text, 60)!r}"
            ) from None
    return found.timestamp()


@dataclass(frozen=True)
class Deadlines:
    r"""When things were due, and when they came where files do not tell.

    due: {(student or "", chapter or ""): moment}, "" for all. came: the same, None where
    the time stamps of files tell.
    """

    due: dict[tuple[str, str], float] = field(default_factory=dict)
    came: dict[tuple[str, str], float] | None = None

    def late(self, one):
        r"""Whether a Submission came late, None if that cannot be known; and in words."""
        due = _nearest(self.due, one)
        came = one.handed if self.came is None else _nearest(self.came, one)
        if one.late:
            return True, "late, as its name says"
        if due is None:
            return False, ""
        if came is None:
            return None, "no time at which it was handed in: late or not is unknown"
        return came > due, f"{_long(came - due)} late" if came > due else ""


def read_deadlines(deadline, times="", roster=None):
    r"""The `Deadlines` of a moment, or of a CSV file with the columns chapter, deadline.

    A row with a `student` too is an extension for one. times: a CSV file with student,
    time and perhaps chapter, instead of the time stamps of the notebooks. Students are
    named as in the roster, or as in the table.
    """
    due, came = {}, None
    if deadline and Path(deadline).is_file():
        due = _moments(deadline, ("deadline", "due"), roster)
    elif deadline:
        due = {("", ""): moment(deadline)}
    if times:
        columns = ("time", "handed in", "Last modified (submission)")
        came = _moments(times, columns, roster)
    return Deadlines(due, came)


def _moments(path, columns, roster):
    head, rows = rows_of(path, "times")
    column = next((c for c in columns if c in head), None)
    if column is None:
        raise ValueError(f"{path} needs a column {columns[0]}; it has {', '.join(head)}")
    who = next((c for c in (*IDS, *NAMES) if c in head), None)
    found = {}
    for i, row in enumerate(rows, 2):
        if row[column] in ("", "-"):
            continue
        chapter = row.get("chapter", "")
        chapter = chapter.zfill(2) if chapter else ""  # which spreadsheets make a number
        student = row.get(who, "")
        member = roster.find(student)[0] if roster and student else None
        student = member.student if member else student
        try:
            found[_key(student), chapter] = moment(row[column])
        except ValueError as error:
            raise ValueError(f"{path}, row {i}: {error}") from None
    return found


def _nearest(table, one):
    r"""The entry for a student and chapter, for one of them, or for all."""
    for student in (_key(one.student), ""):
        for chapter in (one.chapter or "", ""):
            if (student, chapter) in table:
                return table[student, chapter]
    return None


def _long(seconds):
    days, rest = divmod(int(seconds), 86400)
    hours, minutes = rest // 3600, rest % 3600 // 60
    parts = [f"{days} d"] * (days > 0) + [f"{hours} h"] * (hours > 0)
    return " ".join([*parts, f"{minutes} min"] if days == 0 else parts)
