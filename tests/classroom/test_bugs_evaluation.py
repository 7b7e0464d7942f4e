r"""The bug of chapter 10: the evidence names the faults, and no others."""

import json
import sys
from pathlib import Path

import jupytext
import pytest
import torch

from ddpm_lite.classroom import bug10
from ddpm_lite.classroom.bugs import table

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "figures"))

import bugs_evaluation as measured  # noqa: E402

RESULTS = json.loads(measured.RESULTS.read_text("utf-8"))
ROWS = {tuple(row["faults"]): row for row in RESULTS["rows"]}
SHOWN, SOUND = ROWS[measured.SHOWN], ROWS[measured.SOUND]
ALONE = {faults[0]: row for faults, row in ROWS.items() if len(faults) == 1}


def statement():
    return (ROOT / "exercises" / "10.md").read_text("utf-8")


def differ(one, other):
    r"""The numbers by which a reader tells two rows apart: far above their scatter."""
    found = []
    for n in measured.SIZES:
        for kind in ("fd", "kid"):
            (a, of_a), (b, of_b) = one[f"samples_{kind}_{n}"], other[f"samples_{kind}_{n}"]
            found += [(kind, n)] * (abs(a - b) > 4 * max(of_a, of_b, 0.02))
            found += [("±", kind, n)] * ((of_a == 0) != (of_b == 0))
    for kind in ("fd", "kid"):
        for n in (100, 359):
            a, b = (row[f"itself_{kind}_{n}"][0] for row in (one, other))
            found += [("itself", kind, n)] * (abs(a - b) > 0.02)
    return found


def test_the_statement_has_the_list_and_the_numbers():
    assert table(bug10.FAULTS) in statement()
    assert measured.sheet(RESULTS) in statement()
    assert 8 <= len(bug10.FAULTS) <= 12
    assert all(bool(one.otherwise) != one.right for one in bug10.FAULTS)
    names = {one.name for one in bug10.FAULTS}
    assert names == {*measured.SHOWN, *measured.OTHERS} == {*ALONE}
    assert {one.name for one in bug10.FAULTS if one.right} == {*measured.SHOWN}


def test_no_other_fault_of_the_list_has_these_numbers():
    for faults, row in ROWS.items():
        assert (faults == measured.SHOWN) == (not differ(row, SHOWN)), faults


def test_the_code_of_the_statement_is_that_of_the_run():
    cells = jupytext.reads(statement(), fmt="md:myst").cells
    names = {}
    exec(next(c.source for c in cells if c.cell_type == "code"), names)
    (given,) = [c.source for c in cells if "def evaluate(" in c.source]
    exec(given.split("\n\n\ndef faults")[0], names)
    draw = torch.Generator().manual_seed(0)
    x, y = (torch.randn(9, 3, 2, generator=draw).double() for _ in range(2))
    shared = (lambda z: z.flatten(1), x, y, 7, 3)
    run = measured.evaluate(*shared, measured.SHOWN)
    assert names["evaluate"](*shared) == pytest.approx(run, rel=1e-9)
    assert run != pytest.approx(measured.evaluate(*shared), rel=1e-2)


def test_what_the_hints_say_was_measured():
    spread = [SHOWN[key][1] for key in SHOWN if key.startswith(("samples", "train"))]
    assert max(spread) == 0 and SHOWN["itself_kid_359"] == [0, 0]
    assert SHOWN["itself_fd_100"] == SHOWN["itself_fd_359"] == [0, 0]
    assert abs(SOUND["itself_kid_359"][0] + 0.053) < 5e-4
    alone, row = ALONE, ALONE["all_of_them"]
    assert row["samples_fd_50"] == row["samples_fd_200"]
    assert SHOWN["samples_fd_50"][0] > 4 * SHOWN["samples_fd_200"][0]
    assert alone["cross_once"]["itself_kid_359"][0] > 2
    assert (
        alone["kernel_not_divided"]["samples_kid_50"][1] > 100 * SOUND["samples_kid_50"][1]
    )
    assert max(SHOWN[f"samples_kid_{n}"][0] for n in measured.SIZES) < 1.5
    for n in measured.SIZES:
        less, same = (
            alone["no_means"][f"samples_fd_{n}"],
            alone["over_n"][f"samples_fd_{n}"],
        )
        assert less[0] < SOUND[f"samples_fd_{n}"][0] < SHOWN[f"samples_fd_{n}"][0] / 2
        assert 0.98 < same[0] / SOUND[f"samples_fd_{n}"][0] < 1
        for name in ("not_squared", "over_n"):
            assert alone[name][f"samples_kid_{n}"] == SOUND[f"samples_kid_{n}"]
        assert alone["same_choice"][f"samples_fd_{n}"][1] > 0.02
    assert abs(alone["root_of_entries"]["itself_fd_359"][0]) > 0.5
    assert alone["same_choice"]["itself_fd_100"] == [0, 0]
    assert alone["scale"]["itself_fd_359"][0] > 10
    assert alone["with_replacement"]["itself_fd_359"][0] > 0.3
