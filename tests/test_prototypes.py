r"""The page of ten prototypes: short cells, public names, a number asserted in each."""

import ast
import re

import pytest
from test_book import build as made
from test_book import text_of

NAME = "prototypes"


def cells_of(section):
    return re.findall(r"```\{code-cell\} ipython3\n(.*?)\n```", section, re.S)


def code_of(cell):
    return "\n".join(
        line for line in cell.splitlines() if not line.startswith((":", "    %pip"))
    )


def prototypes(text):
    r"""{heading: the first cell of its section}."""
    parts = re.split(r"^## (\d+ .+)$", text, flags=re.M)[1:]
    return {
        h: code_of(cells_of(body)[0])
        for h, body in zip(parts[::2], parts[1::2], strict=True)
    }


def lines(code):
    return [s for s in map(str.strip, code.splitlines()) if s and not s.startswith("#")]


def private(code):
    r"""Names with an underscore in front that are imported, or read off something."""
    found = []
    for node in ast.walk(ast.parse(code)):
        names = []
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [
                getattr(node, "module", "") or ""
            ]
        elif isinstance(node, ast.Attribute):
            names = [node.attr]
        parts = [part for name in names for part in name.split(".")]
        found += [p for p in parts if p.startswith("_") and not p.endswith("__")]
    return found


def test_there_are_ten_each_short_and_with_a_number_asserted():
    found = prototypes(text_of(NAME))
    assert [int(heading.split()[0]) for heading in found] == list(range(1, 11))
    for heading, code in found.items():
        assert len(lines(code)) <= 15, f"{heading}: {len(lines(code))} lines"
        asserts = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Assert)]
        compared = [
            n for a in asserts for n in ast.walk(a.test) if isinstance(n, ast.Compare)
        ]
        assert compared, f"{heading} asserts no number"
        assert max(map(len, code.splitlines())) <= 100, heading


def test_nothing_private_is_used():
    text = text_of(NAME)
    code = [code_of(cell) for cell in cells_of(text)]
    assert len(code) == len(
        [c for c in made.read(made.HERE / f"{NAME}.md").cells if c.cell_type == "code"]
    )
    assert [p for c in code[1:] for p in private(c)] == []


def test_the_table_of_contents_has_every_prototype():
    text = text_of(NAME)
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \|$", text, re.M)
    assert [int(number) for number, _, _ in rows] == list(range(1, 11))


@pytest.mark.parametrize(
    "code", ["from ddpm_lite.sampling.editing import _noise", "x._y = 1", "import a._b"]
)
def test_a_private_name_is_found(code):
    assert private(code) != [] and private("from a.b import c\nd.__init__()") == []
