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


PLANTED = """
import torch


def mixed(noise, t, x, table):  # the arguments of 02.3 in another order
    kept = table[t].reshape(-1, *[1] * (x.dim() - 1))
    return (kept.sqrt() * x + (1 - kept).sqrt() * noise).to(x.dtype)


class Mixer:
    def mixed(self, schedule, noise, x, t):  # beside an object, and with a schedule
        return mixed(noise, t, x, schedule.alpha_bar)

    @staticmethod
    def _first(t, *more):  # open-ended
        return mixed(more[1], t, more[0], more[2])


def near_it(noise, t, x, table):
    return mixed(noise, t, x, table) * (1 + 1e-6)


def sometimes(noise, t, x, table):  # as it fails by values, other orders are tried
    if (noise - x).flatten()[0] > 0:
        raise ValueError("too large")
    return mixed(noise, t, x, table)
"""


@pytest.mark.slow
def test_the_search_finds_what_was_planted_in_any_order_of_arguments(tmp_path):
    plant = tmp_path / "plant.py"
    plant.write_text(PLANTED)
    lines = found("02.3", "--rooms", "planted", "--plant", plant)
    passed = {line.removesuffix(" passes") for line in lines if line.endswith(" passes")}
    order, table = "input 3, input 2, input 1", "schedule 0 from_alpha_bar"
    ends = ["input 0", "input 0, 0", "input 0, 1"]
    assert passed == {
        f"02.3: planted.mixed({order}, input 0)",
        f"02.3: planted.Mixer.mixed(0, {table}, input 3, input 1, input 2)",
        f"02.3: planted.Mixer.mixed({table}, {table}, input 3, input 1, input 2)",
        *(f"02.3: planted.Mixer._first(input 2, input 1, input 3, {end})" for end in ends),
    }


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
