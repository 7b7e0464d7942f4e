r"""A folder of submissions, read whole before any of them runs.

Whatever a student hands in, it becomes a `Submission`: what cannot be graded says why,
and nothing that one of them is keeps another from being read.
"""

import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from . import shown
from .exercise import CHAPTERS

LARGEST = 20 * 2**20  # bytes of a notebook
LARGEST_CODE = 2**20  # characters of its code cells together
MOST_BRACKETS = 10**6  # lists and dicts of a notebook, which take more memory than text
MOST_FILES, DEEPEST = 20_000, 30  # of one student's folder
_CHECK = re.compile(r"""\bcheck\(\s*["'](\d\d)\.\d+["']""")
_NUMBER = re.compile(r"(?<!\d)(0[1-9])(?!\d)")
_HANDED_OUT = re.compile(r"(0[1-9])_exercises")  # the name of the notebook students get
# Names of files and folders as they come out of a learning platform, or out of students
# who put their own name beside that of the notebook.
_PATTERNS = [
    re.compile(r"(?P<name>[^_]+)(?P<late>_LATE)?_(?P<id>\d{3,})_\d{3,}_.+"),  # Canvas
    re.compile(r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_file.*", re.S),  # Moodle
    re.compile(r"(?P<name>.+?)[ _-]+0[1-9]_exercises(?:[ _-]*\(?\d+\)?)?"),
    re.compile(r"0[1-9]_exercises[ _-]+(?P<name>(?!Copy\d*$)[^\W\d_].*)"),
]


@dataclass(frozen=True)
class Submission:
    r"""One notebook: whose it is, its chapter, and the texts of its code cells.

    student: as shown in tables. problem: why it cannot be graded, None if it can. folder:
    the name that says whose it is, as the file system has it. handed: when the file was
    last changed, seconds since 1970. late: whether its name says so. note: what else there
    is to say of it.
    """

    student: str
    path: Path
    chapter: str | None = None
    cells: tuple[str, ...] = ()
    problem: str | None = None
    folder: str = ""
    handed: float | None = None
    late: bool = False
    note: str = ""

    @property
    def digest(self):
        r"""A text that is another one for other cells, or for another problem."""
        said = json.dumps([self.chapter, self.cells, self.problem])
        return hashlib.sha256(said.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Owner:
    r"""What the name of a file or folder says of its student.

    name, id: as learning platforms write them, "" for none. late: whether they say so.
    """

    name: str
    id: str = ""
    late: bool = False


def owner(name):
    r"""The `Owner` in the name of a file (without .ipynb) or folder."""
    for pattern in _PATTERNS:
        found = pattern.fullmatch(name)
        if found:
            parts = found.groupdict()
            return Owner(parts["name"], parts.get("id", ""), bool(parts.get("late")))
    return Owner(name)


def read_all(folder, chapter=None, *, roster=None, latest=False):
    r"""The submissions in a folder, [Submission, ...] in the order of their names.

    A notebook in the folder itself belongs to the student it is named after, one further
    in to the student whose folder it is, as in nbgrader's submitted/; names that Canvas
    and Moodle give are understood, those of a `Roster` tell for sure. chapter: such as
    "02", to leave out all others; the notebook's metadata, its checks or its name tell
    it. latest: of several by one student take the one changed last, instead of none.
    What cannot be read is named in `problem`. Raises ValueError where there is no
    notebook at all.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder of submissions")
    found = [_whose(one, roster) for one in _found(folder)]
    known = {one.chapter for one in found} - {None}
    only = chapter or (known.pop() if len(known) == 1 else None)
    found = [replace(s, chapter=only) if s.problem and not s.chapter else s for s in found]
    if chapter is not None:
        found = [one for one in found if one.chapter == chapter]
    if not found:
        which = "" if chapter is None else f" for chapter {chapter}"
        raise ValueError(f"{folder} holds no notebook (*.ipynb){which}")
    return _one_each(found, latest)


def left_out(folder):
    r"""Names in the folder itself that are neither notebooks nor folders."""
    return sorted(
        shown.name(e.name)
        for e in os.scandir(folder)
        if not (e.name.startswith(".") or e.is_dir() or _is_notebook(e.name))
    )


def read(folder, path):
    r"""One notebook somewhere below a folder, as a `Submission`."""
    path = Path(path)
    name = path.relative_to(folder).parts[0]
    one = Submission("", path, folder=_stem(name))
    try:
        data, handed = _bytes(path)
        one = replace(one, handed=handed)
        notebook, cells = _opened(data)
    except OSError as error:
        one = replace(one, problem=f"cannot be read: {error.strerror}")
    except Refused as refused:
        one = replace(one, problem=str(refused))
    except (ValueError, KeyError, TypeError, RecursionError, MemoryError):
        one = replace(one, problem="is not a notebook (nbformat 4)")
    else:
        chapter = _chapter(notebook, cells, path.relative_to(folder))
        one = replace(one, chapter=chapter, cells=cells if chapter else ())
        if chapter is None:
            problem = "does not say its chapter, by a check(...) or in its name"
            one = replace(one, problem=problem)
    if one.chapter is None:
        one = replace(one, chapter=_chapter({}, (), path.relative_to(folder)))
    return _whose(one, None)


def contents(path):
    r"""A notebook's JSON as it is now. Raises OSError or ValueError if it has none."""
    try:
        return json.loads(_bytes(path)[0])
    except (Refused, RecursionError) as error:
        raise ValueError(str(error)) from error


class Refused(Exception):
    r"""A file that is not taken for a notebook, and why."""


def _bytes(path):
    r"""What is in a regular file that is no link, and when it was last changed."""
    facts = os.lstat(path)
    if stat.S_ISLNK(facts.st_mode):
        raise Refused("is a link, which is not followed")
    if stat.S_ISDIR(facts.st_mode):
        raise Refused("is a folder")
    if not stat.S_ISREG(facts.st_mode):
        raise Refused("is no regular file")
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise Refused("is no regular file")
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise Refused(f"is larger than {LARGEST // 2**20} MB: clear its outputs")
    return data, facts.st_mtime


def _opened(data):
    r"""A notebook's JSON, and the texts of its code cells."""
    if data.count(b"[") + data.count(b"{") > MOST_BRACKETS:
        raise Refused("holds too much that is no text: clear its outputs")
    notebook = json.loads(data)
    cells = tuple(
        _text(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"
    )
    if sum(map(len, cells)) > LARGEST_CODE:
        raise Refused(f"holds more than {LARGEST_CODE // 2**20} MB of code")
    return notebook, cells


def _text(source):
    return source if isinstance(source, str) else "".join(source)


def _chapter(notebook, cells, name):
    r"""The chapter that metadata say, else the checks, else the name; None if none does."""
    about = notebook.get("metadata", {})
    about = about.get("ddpm_lite", {}) if isinstance(about, dict) else {}
    said = about.get("chapter") if isinstance(about, dict) else None
    checks = _CHECK.findall("\n".join(cells))
    for one in (said, *checks[-1:]):
        if one in CHAPTERS:
            return one
    for part in reversed(name.parts):
        for pattern in (_HANDED_OUT, _NUMBER):
            named = set(pattern.findall(part))
            if named:
                return named.pop() if len(named) == 1 else None
    return None


# The folder, student by student.


def _found(folder):
    r"""All notebooks below a folder, and what stands where a student's should be."""
    found = []
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            found += _of_student(folder, path)
        elif _is_notebook(entry.name) or (entry.is_symlink() and path.is_dir()):
            found.append(read(folder, path))
    return found


def _of_student(folder, home):
    r"""The notebooks in a student's folder, or one `Submission` that says what is wrong."""

    def refused(problem):
        return [_whose(Submission("", home, problem=problem, folder=home.name), None)]

    found, others, links, seen, left = [], 0, 0, 0, [(home, 0)]
    while left:
        here, depth = left.pop()
        try:
            entries = sorted(os.scandir(here), key=lambda e: e.name, reverse=True)
        except OSError as error:
            return refused(f"lies in a folder that cannot be read: {error.strerror}")
        seen += len(entries)
        if seen > MOST_FILES or depth > DEEPEST:
            return refused(
                f"lies among more than {MOST_FILES:,} files, or below {DEEPEST} folders"
            )
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            if entry.is_dir(follow_symlinks=False):
                left.append((Path(entry.path), depth + 1))
            elif _is_notebook(entry.name):
                found.append(Path(entry.path))
            else:
                others += 1
                links += entry.is_symlink()
    if len(found) > 100:
        return refused(f"is one of {len(found)}, at most 100 are read")
    if not found and not others:
        return []  # an empty folder is nobody's hand-in
    if not found:
        also = ", and links are not followed" if links else ""
        return refused(f"is not there: its folder holds no *.ipynb{also}")
    return [read(folder, path) for path in sorted(found)]


def _is_notebook(name):
    return name.lower().endswith(".ipynb")


def _stem(name):
    return name[: -len(".ipynb")] if _is_notebook(name) else name


# Whose it is.


def _whose(one, roster):
    r"""The same with the student's name, and what is known of it."""
    who = owner(one.folder)
    student = f"{who.name}_{who.id}" if who.id and not _is_moodle(one) else who.name
    member, doubt = roster.find(one.folder, who.name, who.id) if roster else (None, "")
    return replace(
        one,
        student=member.student if member else shown.name(student),
        late=who.late,
        note=doubt,
    )


def _is_moodle(one):
    r"""Whether the number in a name is one of the hand-in, and not of the student."""
    return "assignsubmission" in one.folder


def _one_each(found, latest):
    r"""The same with one gradable notebook for each student and chapter at most."""
    kept = []
    for one in found:
        same = [
            o
            for o in found
            if (o.student, o.chapter) == (one.student, one.chapter) and not o.problem
        ]
        if one.problem or len(same) == 1:
            kept.append(one)
            continue
        names = ", ".join(shown.name(o.path.name) for o in same)
        last = sorted(same, key=lambda o: o.handed or 0)[-2:]
        if len({o.folder for o in same if _is_moodle(o)}) > 1:
            problem = f"is one of several by this name: {names}; tell them by --roster"
        elif not latest:
            problem = f"is one of several: {names}; leave one, or take --latest"
        elif last[0].handed == last[1].handed:
            problem = f"is one of several, changed at the same time: {names}; leave one"
        elif one is last[1]:
            note = f"{one.note}; the latest of {names}".removeprefix("; ")
            kept.append(replace(one, note=note))
            continue
        else:
            continue
        kept.append(replace(one, problem=problem, cells=()))
    return kept


def merged(found):
    r"""The same with one for each student and chapter: the gradable one, if there is one.

    What is wrong with the others is said in its note. What has no chapter stands alone.
    """
    groups = {}
    for one in sorted(found, key=lambda o: o.problem is not None):
        key = (one.student, one.chapter) if one.chapter else (one.student, one.path)
        groups.setdefault(key, []).append(one)
    place = {id(one): i for i, one in enumerate(found)}
    groups = sorted(groups.values(), key=lambda group: place[id(group[0])])
    return [_with_notes(group) for group in groups]


def _with_notes(group):
    first, *others = group
    said = [f"{shown.name(o.path.name)} {o.problem}" for o in others if o.problem]
    said = [text for text in said if not text.endswith(first.problem or "\0")]
    return replace(first, note="; ".join(filter(None, (first.note, *said))))
