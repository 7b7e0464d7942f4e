r"""The bugs of chapters 08 and 09: the evidence names the faults, and no others."""

import json
import sys
from itertools import combinations
from pathlib import Path

import jupytext
import pytest
import torch

from ddpm_lite import load_pretrained, load_results
from ddpm_lite.classroom import bug08, bug09
from ddpm_lite.classroom.bugs import table

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "figures"))

import bugs_sampling as measured  # noqa: E402

RESULTS = json.loads(measured.RESULTS.read_text("utf-8"))
LISTS = {"08": bug08.FAULTS, "09": bug09.FAULTS}
FUNCTIONS = {"08": ("draw_digits", measured.walk), "09": ("solve", measured.solve)}
CHAPTERS = sorted(LISTS)

# By how much two runs must differ for a reader to see it: far above the scatter of 500
# samples, and of 32,000 numbers.
CLEAR = {
    "contrast": 0.05,
    "roughness": 0.05,
    "variety": 0.05,
    "largest": 0.2,
    "precision": 0.1,
    "recall": 0.2,
    "again": 0.3,
    "gaussian_20": 0.02,
    "gaussian_1000": 0.02,
    "unit_10": 0.02,
    "unit_20": 0.02,
    "unit_40": 0.02,
    "point_10": 0.05,
    "point_20": 0.05,
    "point_40": 0.03,
}


def statement(chapter):
    return (ROOT / "exercises" / f"{chapter}.md").read_text("utf-8")


def rows(chapter):
    return {tuple(row["faults"]): row for row in RESULTS[chapter]}


def differ(one, other):
    r"""The numbers by which a reader tells two rows apart."""
    found = []
    for key, least in CLEAR.items():
        if key in one:
            a, b = (torch.tensor(row[key], dtype=torch.float64) for row in (one, other))
            found += [key] * bool((a - b).abs().max() > least)
    return found


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_statement_has_the_list_and_the_numbers(chapter):
    text = statement(chapter)
    assert table(LISTS[chapter]) in text
    assert measured.sheet(chapter, RESULTS) in text
    assert 8 <= len(LISTS[chapter]) <= 12
    assert all(bool(one.otherwise) != one.right for one in LISTS[chapter])
    names = {one.name for one in LISTS[chapter]}
    assert names == {*measured.SHOWN[chapter], *measured.OTHERS[chapter]}
    assert {one.name for one in LISTS[chapter] if one.right} == {*measured.SHOWN[chapter]}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_other_fault_of_the_list_has_these_numbers(chapter):
    found, shown = rows(chapter), measured.SHOWN[chapter]
    assert set(found) == {(), shown} | {(one.name,) for one in LISTS[chapter]}
    for faults, row in found.items():
        assert (faults == shown) == (not differ(row, found[shown])), faults


def test_no_other_two_faults_of_chapter_09_have_these_numbers():
    names = [one.name for one in bug09.FAULTS]
    exact = {pair: measured.without_a_network(pair) for pair in combinations(names, 2)}
    shown = exact.pop(measured.SHOWN["09"])
    for pair, numbers in exact.items():
        assert differ(numbers, shown), pair


def test_the_numbers_are_those_of_this_code():
    for faults in ((), measured.SHOWN["09"]):
        for key, value in measured.without_a_network(faults).items():
            assert rows("09")[faults][key] == pytest.approx(value, rel=1e-3)
    numbers, _ = measured.chapter_09(measured.SHOWN["09"])
    for key in ("contrast", "roughness", "variety"):
        assert numbers[key] == pytest.approx(
            rows("09")[measured.SHOWN["09"]][key], abs=0.01
        )


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_code_of_the_statement_is_that_of_the_run(chapter):
    name, function = FUNCTIONS[chapter]
    cells = jupytext.reads(statement(chapter), fmt="md:myst").cells
    names = {}
    exec(next(c.source for c in cells if c.cell_type == "code"), names)
    (given,) = [c.source for c in cells if f"def {name}(" in c.source]
    exec(given.split("\n\n\ndef faults")[0], names)
    schedule = load_pretrained("digits").schedule
    start = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0)).double()
    start = start if chapter == "08" else start[0]
    shared = (lambda x, t: 0.9 * x, schedule.alpha_bar, [900, 700, 400, 100, 20, 0], start)
    got = names[name](*shared, (-1.0, 1.0))
    run = function(*shared, (-1.0, 1.0), measured.SHOWN[chapter])
    torch.testing.assert_close(got, run, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(got, function(*shared, (-1.0, 1.0)), atol=1e-3)


def test_the_training_is_sound_as_the_pictures_say():
    last = load_results("digits")["curve"][-1]
    assert round(last["loss"], 2) == 0.12 and round(last["held_out_loss"], 2) == 0.13
    bound = measured.ceiling_of_tenths()
    assert all(a < b for a, b in zip(last["loss_bands"], bound, strict=True))


def test_what_the_hints_say_was_measured():
    of = {faults[0]: row for faults, row in rows("08").items() if len(faults) == 1}
    shown, sound = rows("08")[("variance",)], rows("08")[()]
    assert of["noise_at_the_end"]["largest"] > 1.1 >= shown["largest"]
    assert of["large"]["gaussian_20"][1] > sound["gaussian_20"][1] > shown["gaussian_20"][1]
    assert of["no_noise"]["again"] == 0 < 0.5 < shown["again"]
    assert of["same_noise"]["gaussian_20"][1] > 0.3
    short, long = (shown[f"gaussian_{N}"][1] for N in (20, 1000))
    assert long < short / 4 and of["shared_noise"]["gaussian_20"][1] < short / 10
    assert of["clipped_for_show"]["contrast"] > 1.15
    assert of["state_clipped"]["recall"] > 4 * shown["recall"]
    assert abs(of["state_clipped"]["gaussian_20"][1] - sound["gaussian_20"][1]) < 0.01
    assert abs(of["step_of_one"]["gaussian_1000"][1] - sound["gaussian_1000"][1]) < 0.01
    assert of["asked_at_s"]["gaussian_20"][1] > sound["gaussian_20"][1]
    assert of["asked_at_s"]["gaussian_20"][0] > 1
    assert abs(of["root_left_out"]["gaussian_20"][0] - 0.7) > 0.02
    assert abs(shown["gaussian_20"][0] - 0.7) < 0.01

    of = {faults[0]: row for faults, row in rows("09").items() if len(faults) == 1}
    shown, sound = rows("09")[measured.SHOWN["09"]], rows("09")[()]
    ddim = of["no_correction"]
    assert not differ(of["first_jump_missing"], sound)
    assert of["not_clipped"]["largest"] > 6
    assert of["asked_at_s"]["unit_10"] > 1.4
    for N in (10, 20, 40):
        key = f"unit_{N}"
        assert shown[key] < ddim[key] < sound[key] < 1
        assert of["no_half"][key] > 1 > of["log_snr_turned"][key] * 10
    assert 1.02 < of["ratio_turned"]["unit_10"] < 1.03
    kept = of["first_guess_kept"]
    assert 1.05 < kept["unit_20"] < kept["unit_40"]
    assert 1 < of["whole_log_snr"]["unit_10"] < of["whole_log_snr"]["unit_20"]
    assert of["log10"]["unit_10"] > of["log10"]["unit_20"] and of["log10"]["contrast"] < 0.8
