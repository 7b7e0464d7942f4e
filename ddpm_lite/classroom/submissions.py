r"""A folder of submissions, read whole before any of them runs."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from .exercise import CHAPTERS

LARGEST = 20 * 2**20  # bytes of a notebook
_CHECK = re.compile(r"""\bcheck\(\s*["'](\d\d)\.\d+["']""")
_NUMBER = re.compile(r"(?<!\d)(0[1-9])(?!\d)")


@dataclass(frozen=True)
class Submission:
    r"""One notebook: whose it is, its chapter, and the texts of its code cells.

    problem: why it cannot be graded, None if it can.
    """

    student: str
    path: Path
    chapter: str | None = None
    cells: tuple[str, ...] = ()
    problem: str | None = None


def read_all(folder, chapter=None):
    r"""The submissions in a folder, [Submission, ...] in the order of their names.

    A notebook in the folder itself belongs to the student it is named after, one further
    in to the student whose folder it is, as in nbgrader's submitted/. chapter: such as
    "02", to leave out all others; the notebook's metadata, its checks or its name tell
    it. What cannot be read is named in `problem`. Raises ValueError where there is no
    notebook at all.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder of submissions")
    found = [
        read(folder, path)
        for path in sorted(folder.rglob("*.ipynb"))
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if chapter is not None:
        found = [one for one in found if one.problem or one.chapter == chapter]
    if not found:
        which = "" if chapter is None else f" for chapter {chapter}"
        raise ValueError(f"{folder} holds no notebook (*.ipynb){which}")
    return [_with_distinct_names(one, found) for one in found]


def read(folder, path):
    r"""One notebook somewhere below a folder, as a `Submission`."""
    parts = path.relative_to(folder).parts
    student = path.stem if len(parts) == 1 else parts[0]

    def refused(problem):
        return Submission(student, path, problem=problem)

    if path.is_symlink() or any(p.is_symlink() for p in path.parents if p != folder):
        return refused("is a link, which is not followed")
    try:
        if path.stat().st_size > LARGEST:
            return refused(f"is larger than {LARGEST // 2**20} MB: clear its outputs")
        notebook = json.loads(path.read_bytes())
        cells = tuple(
            "".join(cell["source"])
            for cell in notebook["cells"]
            if cell["cell_type"] == "code"
        )
    except OSError as error:
        return refused(f"cannot be read: {error.strerror}")
    except (ValueError, KeyError, TypeError, RecursionError):
        return refused("is not a notebook (nbformat 4)")
    chapter = _chapter(notebook, cells, path.relative_to(folder))
    if chapter is None:
        return refused("does not say its chapter, by a check(...) or in its name")
    return Submission(student, path, chapter, cells)


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
        named = set(_NUMBER.findall(part))
        if named:
            return named.pop() if len(named) == 1 else None
    return None


def _with_distinct_names(one, found):
    same = [o for o in found if (o.student, o.chapter) == (one.student, one.chapter)]
    if one.problem or len(same) == 1:
        return one
    names = ", ".join(str(o.path.name) for o in same)
    return Submission(
        one.student, one.path, one.chapter, problem=f"is one of several: {names}; leave one"
    )
