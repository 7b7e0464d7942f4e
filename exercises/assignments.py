r"""Make what students get from the exercises: `python exercises/assignments.py`.

NN.md is the one place that holds statements and solutions. From it come, in
build/assignments: student/NN_exercises.ipynb, without solutions; nbgrader/, a course that
`nbgrader generate_assignment` takes, with them; and, with --chapters, the section
"Exercises" at the end of each chapter's text.
"""

import argparse
import hashlib
import re
import sys
from pathlib import Path

import jupytext
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

sys.path.insert(0, str(Path(__file__).parents[1] / "notebooks"))

from build import INSTALL, SHOWN, embedded, repository

from ddpm_lite.classroom.checking import points
from ddpm_lite.classroom.exercise import CHAPTERS, exercises_of

HERE = Path(__file__).parent
ROOT = HERE.parent
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")  # nbgrader's own words
HEAD = re.compile(r"^### (\d\d\.\d) .*$", re.M)
SECTION = re.compile(r"^## Exercises\n.*?(?=^## )", re.M | re.S)
INTRO = """\
Each exercise asks for one function. Write it in place of `raise NotImplementedError()` \
and run the cell below it: `check` prints that it passed, or what is wrong with what it \
gave back. Keep the names of the functions. An exercise that is not solved yet stops \
nothing: the notebook runs from top to bottom."""
CONFIG = """\
c = get_config()
c.CourseDirectory.course_id = "ddpm"
c.ClearSolutions.code_stub = {{"python": {stub!r}}}
c.ExecutePreprocessor.timeout = 300
"""


def source(chapter):
    r"""A chapter's exercises with their solutions, as a list of cells.

    Adds to NN.md what is said elsewhere: after each heading the kind, minutes and points,
    after each solution the cell that checks it. Raises ValueError where the text and the
    checks do not name the same exercises.
    """
    text = (HERE / f"{chapter}.md").read_text("utf-8")
    known = exercises_of(chapter)
    if HEAD.findall(text) != list(known):
        raise ValueError(
            f"{chapter}.md has {HEAD.findall(text)}, checks are for {[*known]}"
        )
    cells, number = [], None
    for cell in jupytext.reads(text, fmt="md:myst").cells:
        if cell.cell_type == "markdown":
            number = (HEAD.findall(cell.source) or [number])[-1]
            cells.append(new_markdown_cell(HEAD.sub(_facts, cell.source)))
            continue
        cells.append(new_code_cell(cell.source))
        if BEGIN in cell.source:
            check = f'check("{number}", {", ".join(known[number].names)})'
            cells.append(new_code_cell(check, metadata={"exercise": number}))
    return cells


def _facts(match):
    one = exercises_of(match[1][:2])[match[1]]
    facts = f"*{one.kind.capitalize()}, {one.minutes} minutes, {points(one.points)}.*"
    return f"{match[0]}\n\n{facts}"


def cleared(cell):
    r"""A cell without its solution: a stub stands in its place."""
    lines, hidden = [], False
    for line in cell.source.splitlines():
        if line.strip() == BEGIN:
            hidden = True
            lines += [line[: line.index("#")] + part for part in STUB]
        if not hidden:
            lines.append(line)
        hidden = hidden and line.strip() != END
    if hidden or END in "\n".join(lines):
        raise ValueError(f"a solution without both its marks:\n{cell.source}")
    return nbformat.from_dict(cell | {"source": "\n".join(lines), "metadata": {}})


def notebook(chapter, cells):
    r"""A notebook of these cells, with a title, the cell for Colab, and steady ids."""
    text = INSTALL.format(repository=repository())
    (install,) = jupytext.reads(text, fmt="md:myst").cells
    title = f"# Chapter {chapter}: exercises\n\n{INTRO}"
    cells = [new_markdown_cell(title), install, *cells]
    for cell in cells:
        cell["source"] = embedded(cell["source"])
    made = nbformat.v4.new_notebook(
        cells=[dict(cell) for cell in cells],
        metadata={
            "ddpm_lite": {"chapter": chapter},
            "kernelspec": {
                "name": "python3",
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
            },
        },
    )
    for i, cell in enumerate(made.cells):
        cell["id"] = hashlib.sha1(f"exercises-{chapter}-{i}".encode()).hexdigest()[:8]
    return nbformat.from_dict(made)


def student(chapter):
    r"""The notebook that students get."""
    return notebook(chapter, [cleared(cell) for cell in source(chapter)])


def for_nbgrader(chapter):
    r"""The notebook with solutions that nbgrader makes its release version of."""
    made = notebook(chapter, source(chapter))
    known, number = exercises_of(chapter), None
    for cell in made.cells:
        about = {"schema_version": 3, "task": False, "locked": True}
        number = cell.metadata.pop("exercise", None)
        if number:
            about |= {"grade": True, "solution": False, "points": known[number].points}
            about["grade_id"] = f"check-{number.replace('.', '-')}"
        elif BEGIN in cell.source:
            about |= {"grade": False, "solution": True, "locked": False}
            about["grade_id"] = f"solution-{cell.id}"
        else:
            continue
        cell.metadata["nbgrader"] = about
    return made


def section(chapter):
    r"""The section "Exercises" of a chapter's text, without solutions."""
    head = f"{INTRO} The same exercises as a notebook of their own: `make assignments`."
    parts = ["## Exercises", head]
    for cell in map(cleared, source(chapter)):
        if cell.cell_type == "markdown":
            parts.append(SHOWN.sub(r"](../exercises/\1)", cell.source.strip()))
        else:
            tags = ":tags: [nbval-check-output]\n\n" * cell.source.startswith("check(")
            parts.append(f"```{{code-cell}} ipython3\n{tags}{cell.source}\n```")
    return "\n\n".join(parts) + "\n\n"


def with_section(text, chapter):
    r"""A chapter's text with its section of exercises, before its sources."""
    text = SECTION.sub("", text)
    where = text.index("## Sources, and what to read next\n")
    return text[:where] + section(chapter) + text[where:]


def write(chapter, folder):
    r"""Write a chapter's notebooks below a folder. Returns their paths."""
    course, name = folder / "nbgrader", f"{chapter}_exercises.ipynb"
    paths = [folder / "student" / name, course / "source" / chapter / name]
    for made, path in zip((student(chapter), for_nbgrader(chapter)), paths, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(made, path)
    config = CONFIG.format(stub="\n".join(STUB))
    (course / "nbgrader_config.py").write_text(config, "utf-8")
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", help="chapters, such as 02; all if none")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "assignments")
    parser.add_argument("--chapters", action="store_true", help="rewrite notebooks/NN_*.md")
    options = parser.parse_args()
    for chapter in options.numbers or CHAPTERS:
        if options.chapters:
            (path,) = (ROOT / "notebooks").glob(f"{chapter}_*.md")
            path.write_text(with_section(path.read_text("utf-8"), chapter), "utf-8")
            continue
        for path in write(chapter, options.out):
            print(path)


if __name__ == "__main__":
    main()
