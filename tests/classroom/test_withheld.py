r"""Nothing is left in the grader's package that is an answer under another name."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="grading needs Linux")

from ddpm_lite.classroom.exercise import CHAPTERS

SEARCH = Path(__file__).with_name("withheld_search.py")
NEAREST = ("schedule", "seeds", "checks")
FORMULAS = (
    "process",
    "loss",
    "oracle",
    "denoiser",
    "sampling",
    "training",
    "models",
    "lab",
)


def found(*words):
    r"""The lines of the search, the last one its count."""
    done = subprocess.run(
        [sys.executable, SEARCH, *words], capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    assert lines and lines[-1].endswith("finds"), done.stderr
    assert done.returncode == (not lines[-1].endswith(" 0 finds"))
    return lines


@pytest.mark.slow
def test_the_search_finds_an_answer_under_another_name():
    lines = "\n".join(found("02.3", "--all", "--rooms", "process"))
    order = "(schedule 0 from_alpha_bar, input 3, input 2, input 1) passes"
    assert f"02.3: process.noise_from_v{order}" in lines
    assert "02.3: process.q_sample(" in lines


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_answer_is_left_where_one_would_look(chapter):
    assert found(chapter, "--rooms", *NEAREST, *FORMULAS)[-1].endswith(" 0 finds")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_answer_is_left_anywhere(chapter):
    lines = found(chapter)
    assert lines[-1].endswith(" 0 finds"), lines
