r"""What the tests of bugs from chapter 12 on read: statements, results files, scripts."""

import json
import sys
from importlib import import_module
from pathlib import Path

import jupytext
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "figures"))

NAMES = {"12": "guidance", "13": "likelihood", "14": "flow", "15": "inpaint"}
NAMES |= {"16": "latents", "17": "parallel"}
SCRIPTS = {chapter: import_module(f"bugs_{name}") for chapter, name in NAMES.items()}
LISTS = {n: import_module(f"ddpm_lite.classroom.bug{n}").FAULTS for n in NAMES}
# By how much a number differs for a reader; less where it is exact.
CLEAR = {"12": 0.05, "13": 0.2, "14": 0.03, "15": 0.03, "16": 0.1, "17": 0.1}


def statement(chapter):
    return (ROOT / "exercises" / f"{chapter}.md").read_text("utf-8")


def results(chapter):
    path = ROOT / "figures" / "runs" / f"bugs_{NAMES[chapter]}.json"
    return json.loads(path.read_text("utf-8"))


def rows(chapter):
    r"""{faults: numbers} of the results file."""
    return {tuple(row.pop("faults")): row for row in results(chapter)["rows"]}


def alone(chapter):
    r"""{fault: numbers} of the runs with one fault."""
    return {faults[0]: row for faults, row in rows(chapter).items() if len(faults) == 1}


def measured(chapter, faults):
    r"""The numbers of a run without a network, measured now."""
    script = SCRIPTS[chapter]
    return (script.without_a_network if chapter == "12" else script.numbers)(faults)


def differ(chapter, one, other):
    r"""The numbers without a network by which a reader tells two runs apart."""
    keys = [key for key in one if chapter != "12" or key.startswith("class_")]
    both = ((key, torch.tensor(one[key]), torch.tensor(other[key])) for key in keys)
    return [k for k, a, b in both if not (a.double() - b).abs().max() <= CLEAR[chapter]]


def given(chapter, name):
    r"""The function of the statement, as students get it."""
    cells = jupytext.reads(statement(chapter), fmt="md:myst").cells
    names = {}
    exec(next(c.source for c in cells if c.cell_type == "code"), names)
    (text,) = [c.source for c in cells if f"def {name}(" in c.source]
    exec(text.split("\n\n\ndef faults")[0], names)
    return names[name]
