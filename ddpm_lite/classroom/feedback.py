r"""What students get to read: a zip each, with a text for every chapter."""

import os
import zipfile
from contextlib import suppress
from pathlib import Path

from . import shown
from .exercise import exercises_of


def feedback(one, eyes=None):
    r"""What a student gets to read of an `Entry`, as Markdown.

    eyes: {number: [points, of, comment]} that a teacher typed.
    """
    eyes = eyes or {}
    got = one.points + sum(points for points, _, _ in eyes.values())
    whole = one.of + sum(of for _, of, _ in eyes.values())
    lines = [f"# {one.student}, chapter {one.chapter or '?'}: {got} of {whole}", ""]
    names = exercises_of(one.chapter) if one.chapter else {}
    for number, (_, _, said) in one.exercises.items():
        lines.append(f"- **{number}** `{names[number].name}`: {said}")
        if number in eyes:
            points, of, comment = eyes[number]
            words = f"{points} of {of}" + f": {comment}" * bool(comment)
            lines.append(f"- **{number}**, drawings and sentences: {words}")
    if one.remarks:
        lines += ["", "Remarks on the whole notebook:", ""]
        lines += [f"- {shown.plain(remark)}" for remark in one.remarks]
    return "\n".join(lines) + "\n"


def write_zip(student, entries, eyes, folder):
    r"""Write the texts of one student into STUDENT.zip in a folder. Returns its path.

    entries: [Entry, ...] of this student. eyes: {(student, number): [points, of,
    comment]}. The same texts give the same bytes.
    """
    folder = Path(folder)
    path = folder / f"{shown.file_name(student)}.zip"
    part = path.with_name(path.name + ".part")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
            for one in sorted(entries, key=lambda e: (e.chapter or "~", e.file)):
                name = one.chapter or f"unknown-{shown.file_name(one.file)}"
                own = {n: v for (s, n), v in eyes.items() if s == student}
                own = {n: v for n, v in own.items() if n[:2] == one.chapter}
                info = zipfile.ZipInfo(f"{name}.md")  # of a fixed date
                info.external_attr = 0o644 << 16
                text = feedback(one, own).encode("utf-8", "backslashreplace")
                file.writestr(info, text, zipfile.ZIP_DEFLATED)
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise OSError(f"cannot write {path}: {error}") from error
    return path
