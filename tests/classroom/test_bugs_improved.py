r"""The bug of chapter 11: the evidence names the faults, and no others."""

import json
import sys
from itertools import combinations
from pathlib import Path

import jupytext
import pytest
import torch

from ddpm_lite import Schedule
from ddpm_lite.classroom import bug11
from ddpm_lite.classroom.bugs import table

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "figures"))

import bugs_improved as measured  # noqa: E402

RESULTS = json.loads(measured.RESULTS.read_text("utf-8"))
ROWS = {tuple(row["faults"]): row for row in RESULTS["rows"]}
SHOWN, SOUND = ROWS[measured.SHOWN], ROWS[measured.SOUND]
ALONE = {faults[0]: row for faults, row in ROWS.items() if len(faults) == 1}
KEYS = ("right", "wrong", "by_v", "right_by_u", "wrong_by_u")


def statement():
    return (ROOT / "exercises" / "11.md").read_text("utf-8")


def differ(one, other):
    r"""The rows in which a fifth differs by more than 4 % of the sound one."""
    found = []
    for key in KEYS:
        a, b, c = (torch.tensor(row[key]) for row in (one, other, SOUND))
        found += [key] * bool(((a - b).abs() > 0.04 * c.abs() + 1e-5).any())
    return found


def test_the_statement_has_the_list_and_the_numbers():
    assert table(bug11.FAULTS) in statement()
    assert measured.sheet(RESULTS) in statement()
    assert 8 <= len(bug11.FAULTS) <= 12
    assert all(bool(one.otherwise) != one.right for one in bug11.FAULTS)
    names = {one.name for one in bug11.FAULTS}
    assert names == {*measured.SHOWN, *measured.OTHERS} == {*ALONE}
    assert {one.name for one in bug11.FAULTS if one.right} == {*measured.SHOWN}


def test_no_other_fault_nor_any_other_two_have_these_numbers():
    for pair in combinations([one.name for one in bug11.FAULTS], 2):
        same = not differ(measured.numbers(pair), SHOWN)
        assert same == (set(pair) == {*measured.SHOWN}), pair
    for faults, row in ROWS.items():
        assert (faults == measured.SHOWN) == (not differ(row, SHOWN)), faults


def test_the_numbers_are_those_of_this_code():
    for faults, row in ROWS.items():
        for key, values in measured.numbers(faults).items():
            assert row[key] == pytest.approx(values, rel=1e-3, abs=1e-9), (faults, key)


def test_the_code_of_the_statement_is_that_of_the_run():
    cells = jupytext.reads(statement(), fmt="md:myst").cells
    names = {}
    exec(next(c.source for c in cells if c.cell_type == "code"), names)
    (given,) = [c.source for c in cells if "def hybrid(" in c.source]
    exec(given.split("\n\n\ndef faults")[0], names)
    draw = torch.Generator().manual_seed(0)
    x_0, noise, v, u = (torch.randn(9, 3, generator=draw).double() for _ in range(4))
    t, output = torch.arange(2, 101, 11), torch.cat([v, u.tanh()], 1)
    rest = (Schedule.cosine(100).alpha_bar, x_0, t, noise, 5.0)
    value, gradient = names["hybrid"](output, *rest)
    output.requires_grad_()
    run = measured.loss(output, *rest, measured.SHOWN)
    run.sum().backward()
    torch.testing.assert_close(value, run.detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient, output.grad, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(run, measured.loss(output, *rest), rtol=1e-2)


def test_what_the_hints_say_was_measured():
    assert max(map(abs, SHOWN["right"])) < 1e-9
    assert SHOWN["wrong"][4] > 30 * SOUND["wrong"][4]
    assert SHOWN["wrong"][0] == SOUND["wrong"][0]
    assert SHOWN["by_v"][0] > 1.05 * SOUND["by_v"][0]
    for key in ("right_by_u", "wrong_by_u"):
        assert SHOWN[key] == SOUND[key]
    for name in ("kl_turned", "linear_variance"):
        assert ALONE[name]["right_by_u"][0] > 1.05 * SOUND["right_by_u"][0]
    assert 4.5 < ALONE["max_for_min"]["wrong"][4] / 0.25 < 5
    assert SHOWN["wrong"][4] == pytest.approx(0.25, abs=0.001)
    first = [a / b for a, b in zip(ALONE["no_gamma"]["wrong"], SOUND["wrong"], strict=True)]
    assert first[0] > 4 and max(first[2:]) < 1.001
    assert ALONE["not_halved"]["right_by_u"][0] == pytest.approx(
        2 * SOUND["right_by_u"][0], rel=1e-3
    )
    assert ALONE["one_coefficient"]["wrong_by_u"][0] < 0 < SOUND["wrong_by_u"][0]
    assert min(ALONE["one_too_late"]["wrong"]) > 0.25
    assert ALONE["one_too_late"]["wrong"][4] == pytest.approx(0.5, abs=0.001)
    assert ALONE["share_not_shifted"]["right"][0] > 1e-3
    assert min(ALONE["sign_of_v"]["right"]) > 0.1
