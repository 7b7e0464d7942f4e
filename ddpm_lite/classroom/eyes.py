r"""The part of an exercise that no check sees: drawings and sentences, for teachers' eyes.

For each project one page shows what every student drew and wrote, and `eyes.csv` takes
points and comments, which the tables and texts then hold. A page shows texts as texts and
pictures as pictures, and can run nothing and load nothing.
"""

import base64
import binascii
import csv
import html
import io
import re
from pathlib import Path

from ..formats.checkpoint import write_text
from . import shown, submissions
from .exercise import exercises_of
from .roster import rows_of

SHEET = "eyes.csv"
HEAD = ("student", "name", "exercise", "points", "of", "comment")
WORTH = 3  # points that the sheet proposes
_LARGEST, _MOST = 8 * 2**20, 20  # characters of a student's pictures, and their number
_TEXT = 20_000  # characters of one student's sentences
_HEADING = re.compile(r"^#+\s*(\d\d\.\d+)\b", re.M)
_CHECK = re.compile(r"""\bcheck\(\s*["'](\d\d\.\d+)["']""")
_BEGIN = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
}
_SVG = "image/svg+xml"
_STYLE = """\
body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }
section { border-top: 1px solid #999; padding: 1em 0 }
pre { white-space: pre-wrap; font: inherit } img { max-width: 100%; max-height: 40em }
.note { color: #777 }"""
_PAGE = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title><style>
{style}
</style></head><body>
<h1>{title}</h1>
<p>Points and comments go into {sheet}, in this folder.</p>
"""


def projects(chapter):
    r"""The exercises of a chapter that have a part for a teacher's eyes, {number: it}."""
    return {n: e for n, e in exercises_of(chapter).items() if e.kind == "project"}


def write_pages(found, folder, names=None):
    r"""Write a page NN.k.html for each project, and students without marks into the sheet.

    found: [Submission, ...], whose files are read once more. names: {student: full name}.
    What stands in the sheet stays. Returns {number: how many students are on its page}.
    """
    folder, names, counts = Path(folder), names or {}, {}
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for chapter in sorted({s.chapter for s in found if not s.problem}):
        for number, exercise in projects(chapter).items():
            own = [s for s in found if s.chapter == chapter and not s.problem]
            own.sort(key=lambda s: (s.student.casefold(), s.student))
            title = f"{number} {exercise.name}: drawings and sentences"
            with open(folder / f"{number}.html", "w", encoding="utf-8") as page:
                page.write(_PAGE.format(title=title, style=_STYLE, sheet=SHEET))
                for one in own:
                    page.write(_section(one, number, names.get(one.student, "")))
                page.write("</body></html>\n")
            counts[number] = len(own)
            rows += [(s.student, names.get(s.student, ""), number) for s in own]
    _extend_sheet(folder / SHEET, rows)
    return counts


def _section(one, number, name):
    title = html.escape(f"{one.student} {f'({name})' * bool(name)}".strip())
    body = "".join(_parts(one, number)) or '<p class="note">Nothing is there.</p>\n'
    return f"<section><h2>{title}</h2>\n{body}</section>\n"


def _parts(one, number):
    r"""HTML of what belongs to an exercise in a notebook: texts, pictures, code."""
    try:
        cells = list(_cells_of(submissions.contents(one.path), number))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        yield _note(f"The notebook cannot be read: {shown.plain(error, 200)}")
        return
    pictures, room, left = 0, _LARGEST, _TEXT
    for kind, value in cells:
        if kind == "code":
            code = html.escape(_printable(value[:_TEXT]))
            yield f"<details><summary>code</summary><pre>{code}</pre></details>\n"
            continue
        if kind == "text":
            yield f"<pre>{html.escape(_printable(value[: max(0, left)]))}</pre>\n"
            left -= len(value)
            if left <= 0:
                yield _note(f"More than {_TEXT:,} characters: the rest is in the notebook.")
                return
            continue
        source = _picture(kind, value)
        pictures, room = pictures + 1, room - len(source or "")
        if pictures > _MOST or room < 0:
            yield _note("More or larger pictures than a page takes: see the notebook.")
            return
        yield source or _note(f"A picture that cannot be shown ({shown.plain(kind, 40)}).")


def _cells_of(notebook, number):
    r"""(kind, value) of an exercise's cells: "text", "code", or a picture's MIME type.

    An exercise's cells begin with its heading, or with the cell that checks it where
    headings are gone, and end where another exercise begins.
    """
    here, statement = False, False
    for cell in notebook["cells"]:
        source = submissions._text(cell["source"])
        markdown = cell["cell_type"] == "markdown"
        named = (_HEADING if markdown else _CHECK).findall(source)
        if named:
            here = named[-1] == number
            statement = here and markdown
        if not here:
            continue
        if markdown:
            if not statement or not named:
                yield "text", source
            elif (own := _behind_statement(source)).strip():
                yield "text", own
            for files in (cell.get("attachments") or {}).values():
                yield from files.items()
        elif cell["cell_type"] == "code" and not source.lstrip().startswith("check("):
            yield "code", source
        for output in cell.get("outputs") or ():
            if output.get("output_type") == "stream":
                text = submissions._text(output.get("text", ""))
                if not text.startswith(f"{number} "):  # what `check` printed
                    yield "text", text
            pictures = output.get("data") or {}
            for kind in (*_BEGIN, _SVG):
                if kind in pictures:
                    yield kind, pictures[kind]
                    break


def _behind_statement(source):
    r"""What a student wrote below an exercise's statement, in the same cell."""
    parts = re.split(r"\*\*Graded by\*\*.*?(?:\n\s*\n|\Z)", source, maxsplit=1, flags=re.S)
    return parts[1] if len(parts) == 2 else ""


def _picture(kind, value):
    r"""HTML of a picture, None for what is not one."""
    if kind not in (*_BEGIN, _SVG):
        return None
    try:
        text = value if isinstance(value, str) else "".join(value)
        if kind == _SVG:  # as an image it runs no script and loads nothing
            data = text.encode("utf-8", "replace")
        else:
            data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError, TypeError):
        return None
    if len(data) > _LARGEST or not data.startswith(_BEGIN.get(kind, b"")):
        return None
    coded = base64.b64encode(data).decode()
    return f'<img alt="drawing" src="data:{kind};base64,{coded}">\n'


def _note(text):
    return f'<p class="note">{html.escape(text)}</p>\n'


def _printable(text):
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


# The sheet.


def _extend_sheet(path, rows):
    r"""Append (student, name, number) that the sheet lacks; what is there stays."""
    old = rows_of(path, "marks")[1] if path.exists() else []
    head = rows_of(path, "marks")[0] if path.exists() else list(HEAD)
    _check_head(path, head)
    there = {(shown.text_of(row["student"]), _number(row["exercise"])) for row in old}
    worth = {_number(row["exercise"]): row["of"] for row in reversed(old) if row.get("of")}
    for student, name, number in rows:
        if (student, number) not in there:
            values = (student, name, number, "", worth.get(number, str(WORTH)), "")
            old.append(dict(zip(HEAD, map(shown.cell, values), strict=True)))
    if not old:
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([row.get(column, "") for column in head] for row in old)
    write_text(path, text.getvalue())


def _check_head(path, head):
    missing = {"student", "exercise", "points", "of", "comment"} - set(head)
    if missing:
        raise ValueError(f"{path} lacks the columns {', '.join(sorted(missing))}")


def read_sheet(folder, students):
    r"""What was typed into the sheet: {(student, number): [points, of, comment]}.

    students: {name in the sheet: student}. Rows without points are left out. Raises
    ValueError that lists what is wrong, with its rows, and then takes nothing.
    """
    path = Path(folder, SHEET)
    if not path.exists():
        return {}
    head, rows = rows_of(path, "marks")
    _check_head(path, head)
    found, wrong, worth = {}, [], {}
    for i, row in enumerate(rows, 2):
        if not row["points"]:
            if row["comment"]:
                wrong.append(f"row {i} has a comment and no points")
            continue
        student, number = shown.text_of(row["student"]), _number(row["exercise"])
        unknown, student = student not in students, students.get(student, student)
        try:
            points, of = _points(row["points"]), _points(row["of"])
        except (ValueError, OverflowError):
            wrong.append(f"row {i}: points and of must be numbers")
            continue
        known = number[:2] in submissions.CHAPTERS and number in projects(number[:2])
        if not known:
            wrong.append(f"row {i}: {number or 'nothing'} is no project")
        elif unknown:
            wrong.append(f"row {i}: nobody is called {shown.plain(student, 60)}")
        elif not 0 <= points <= of:
            wrong.append(f"row {i}: {points} points of {of}")
        elif worth.setdefault(number, of) != of:
            wrong.append(f"row {i}: of is {of}, further up it is {worth[number]}")
        elif (student, number) in found:
            wrong.append(f"row {i}: {student} has points for {number} already")
        else:
            comment = shown.plain(shown.text_of(row["comment"]))
            found[student, number] = [points, of, comment]
    if wrong:
        raise ValueError(f"{path}: {'; '.join(wrong[:10])}; nothing was taken from it")
    return found


def _points(text):
    value = float(text.replace(",", "."))
    return int(value) if value == int(value) else value


def _number(text):
    r"""An exercise's number, whose zero a spreadsheet may have taken: "2.6" is 02.6."""
    return text if re.match(r"\d\d\.", text) else f"0{text}"
