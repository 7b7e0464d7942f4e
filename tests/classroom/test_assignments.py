r"""What students get holds no solution, and nbgrader takes the same source."""

import ast
import csv
import io
import json
import math
import os
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import nbformat
import pytest

from ddpm_lite.classroom.checking import verdict
from ddpm_lite.classroom.exercise import CHAPTERS, exercises_of

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "exercises"))

import assignments  # noqa: E402

BUG = "def faults():"  # the cell of an exercise of this kind
LISTED = re.compile(r"^\| `(\w+)` \|", re.M)  # and the names of faults in its list
SHORTEST = 12  # characters of normalised text, below which a piece says nothing


def normalised(text):
    r"""Text without what formatting changes: white space, quotes, case, line ends."""
    return re.sub(r"\s|\\n|['\"]", "", text).lower()


def pieces(chapter):
    r"""What the solutions of a chapter are made of, normalised.

    Statements as Python itself writes them and as they stand in the text, the conditions
    of compound ones, comments, and texts; but nothing of a faulty code that is given to be
    mended, and no name of a list of faults.
    """
    found, given = set(), ""
    for cell in assignments.source(chapter):
        if cell.cell_type == "markdown":
            given += " ".join(LISTED.findall(cell.source)) + " "
        if assignments.BEGIN not in cell.source:
            continue
        tree, (first, last) = ast.parse(cell.source), _marks(cell.source)
        if BUG in cell.source:
            bare = assignments.cleared(cell).source
            given += normalised(bare + ast.unparse(ast.parse(bare)))
        for node in ast.walk(tree):
            if not first < getattr(node, "lineno", 0) < last:
                continue
            if isinstance(node, (ast.If, ast.While)):
                found.add(ast.unparse(node.test))
            elif isinstance(node, (ast.For, ast.comprehension)):
                found.add(ast.unparse(node.iter))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.FunctionDef):
                found.add(ast.unparse(node).split(":")[0])
            elif isinstance(node, ast.stmt) and not isinstance(node, (ast.With, ast.Try)):
                found.add(ast.unparse(node))
                found.add(ast.get_source_segment(cell.source, node))
        for token in tokenize.generate_tokens(io.StringIO(cell.source).readline):
            if token.type == tokenize.COMMENT and first < token.start[0] < last:
                found.add(token.string.lstrip("# "))
    imports = tuple(p for p in found if p.startswith(("import ", "from ")))
    found = {normalised(p) for p in found - {*imports}}
    return {p for p in found if len(p) >= SHORTEST and p not in given}


def _marks(source):
    lines = [line.strip() for line in source.splitlines()]
    return lines.index(assignments.BEGIN) + 1, lines.index(assignments.END) + 1


def leaks(notebook, chapter):
    r"""Pieces of solutions that are anywhere in a notebook: cells, outputs, metadata."""
    rest = [json.dumps([c.get("outputs", []), c.metadata]) for c in notebook.cells]
    code = [c.source for c in notebook.cells if c.cell_type == "code"]
    again = [
        ast.unparse(ast.parse(re.sub(r"^(\s*)%.*", r"\1pass", c, flags=re.M))) for c in code
    ]
    texts = (
        [c.source for c in notebook.cells] + rest + again + [json.dumps(notebook.metadata)]
    )
    whole = "\n".join(map(normalised, texts))
    return sorted(piece for piece in pieces(chapter) if piece in whole)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_students_get_no_solution_text(chapter):
    assert len(pieces(chapter)) >= 2 * len(exercises_of(chapter))
    made = assignments.student(chapter)
    assert leaks(made, chapter) == []
    text = json.dumps(made)
    assert "SOLUTION" not in text and text.count("raise NotImplementedError()") > 2


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_ends_with_its_exercises_and_no_solution(chapter):
    (path,) = (ROOT / "notebooks").glob(f"{chapter}_*.md")
    text = path.read_text("utf-8")
    assert assignments.with_section(text, chapter) == text, "run make book"
    executed = nbformat.read(path.with_suffix(".ipynb"), 4)
    heads = [i for i, c in enumerate(executed.cells) if "## Exercises\n" in c.source]
    executed.cells = executed.cells[heads[0] :]
    assert leaks(executed, chapter) == []
    said = [
        output.data["text/plain"]
        for cell in executed.cells
        if cell.cell_type == "code" and cell.source.startswith("check(")
        for output in cell.outputs
    ]
    assert said == [f"{n} not solved yet" for n in exercises_of(chapter)]


@pytest.mark.parametrize(
    "plant",
    [
        lambda cell, line: cell.update(source=cell.source + "\n# " + line.upper()),
        lambda cell, line: cell.update(source=cell.source + f"\nif 1:\n        {line}"),
        lambda cell, line: cell.metadata.update(note=[line.replace(" ", "  ")]),
        lambda cell, line: cell.update(
            outputs=[nbformat.v4.new_output("stream", text="so:\n" + line)]
        ),
    ],
)
def test_a_planted_solution_is_found(plant):
    made = assignments.student("02")
    cell = [c for c in made.cells if c.cell_type == "code"][3]
    plant(cell, "noise_wins = alpha_bar < 0.5")
    assert leaks(made, "02") == ["noise_wins=alpha_bar<0.5"]


def test_a_solution_without_its_end_is_refused():
    cell = nbformat.v4.new_code_cell("def f():\n    ### BEGIN SOLUTION\n    return 1")
    with pytest.raises(ValueError, match="without both its marks"):
        assignments.cleared(cell)


def test_the_command_writes_both_forms_and_no_solution_beside(tmp_path):
    command = [
        sys.executable,
        ROOT / "exercises" / "assignments.py",
        "02",
        "--out",
        tmp_path,
    ]
    subprocess.run(command, check=True, capture_output=True)
    made = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*"))
    assert made == [
        "nbgrader/nbgrader_config.py",
        "nbgrader/source/02/02_exercises.ipynb",
        "student/02_exercises.ipynb",
    ]
    assert nbformat.read(tmp_path / made[2], 4) == assignments.student("02")
    nbformat.validate(nbformat.read(tmp_path / made[1], 4))


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    r"""A course whose assignment nbgrader has generated, and how to call nbgrader."""
    pytest.importorskip("nbgrader", reason="nbgrader is not installed: extra classroom")
    folder = tmp_path_factory.mktemp("course")
    assignments.write("02", folder)
    course = folder / "nbgrader"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def nbgrader(*words):
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *words],
            cwd=course,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    nbgrader("generate_assignment", "02")
    return course, nbgrader


@pytest.mark.slow
def test_nbgrader_releases_what_students_get(course):
    folder, _ = course
    release = nbformat.read(folder / "release" / "02" / "02_exercises.ipynb", 4)
    ours = assignments.student("02")
    assert [c.source for c in release.cells] == [c.source for c in ours.cells]
    assert leaks(release, "02") == []


LAST_STAGE = """\
import ddpm_lite.classroom.checking as _checking
from dataclasses import replace as _replace
_find = _checking.find
def _in_stages(answer, seed):
    yield 2, "two of three"
    raise _checking.Hint("and the last?")
_checking.find = lambda number: (
    _replace(_find(number), check=_in_stages) if number == "02.2" else _find(number)
)
"""


@pytest.mark.slow
def test_nbgrader_grades_as_we_do(course):
    folder, nbgrader = course
    name = Path("02", "02_exercises.ipynb")
    source, release = (nbformat.read(folder / p / name, 4) for p in ("source", "release"))
    patched = nbformat.from_dict(release)
    for cell in patched.cells:
        if cell.source.startswith("check("):
            cell.source = "True"
    half = nbformat.from_dict(source)
    for cell in half.cells:  # wrong where b is not 0
        cell.source = cell.source.replace("(1 - b) * a + b", "a + b")
    one = exercises_of("02")["02.2"]
    wrong = verdict(one, lambda a, b: (math.sqrt((1 - a) * (1 - b)), a + b))
    warns, broken, stages = (nbformat.from_dict(source) for _ in range(3))
    for cell in warns.cells:
        cell.source = cell.source.replace(
            "    factor =", "    import warnings; warnings.warn('careful')\n    factor ="
        )
    for cell in broken.cells:
        cell.source = cell.source.replace("def merge(", "def merged(")
    for cell in stages.cells:  # the check as it would be if its last stage failed
        cell.source = cell.source.replace("def merge(", LAST_STAGE + "def merge(")
    for student, made in {
        "right": source,
        "blank": release,
        "patched": patched,
        "half": half,
        "warns": warns,
        "broken": broken,
        "stages": stages,
    }.items():
        path = folder / "submitted" / student / name
        path.parent.mkdir(parents=True)
        nbformat.write(made, path)
    output = nbgrader("autograde", "02")
    assert "cannot be converted" not in output
    nbgrader("export", "--to", "grades.csv")
    with (folder / "grades.csv").open() as file:
        score = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert wrong.points < 3
    assert score == {
        "right": 21,
        "blank": 0,
        "patched": 0,
        "half": 18 + wrong.points,
        "warns": 21,
        "broken": 18,
        "stages": 20,
    }
