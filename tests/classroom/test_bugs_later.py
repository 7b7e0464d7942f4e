r"""The bugs of chapters 12 and 13: the evidence names the faults, and no others."""

import json
import sys
from itertools import combinations
from pathlib import Path

import jupytext
import pytest
import torch

from ddpm_lite.classroom import bug12, bug13
from ddpm_lite.classroom.bugs import table

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "figures"))

import bugs_guidance  # noqa: E402
import bugs_likelihood  # noqa: E402

SCRIPTS = {"12": bugs_guidance, "13": bugs_likelihood}
LISTS = {"12": bug12.FAULTS, "13": bug13.FAULTS}
CLEAR = {"12": 0.05, "13": 0.2}  # by how much an exact number differs for a reader


def statement(chapter):
    return (ROOT / "exercises" / f"{chapter}.md").read_text("utf-8")


def results(chapter):
    return json.loads(SCRIPTS[chapter].RESULTS.read_text("utf-8"))


def rows(chapter):
    return {tuple(row["faults"]): row for row in results(chapter)["rows"]}


def measured(chapter, faults):
    r"""The numbers of a run without a network, measured now."""
    if chapter == "12":
        return bugs_guidance.without_a_network(faults)
    return bugs_likelihood.numbers(faults)


def differ(chapter, one, other):
    r"""The numbers without a network by which a reader tells two runs apart."""
    found = []
    for key, value in one.items():
        if key.startswith(("class_", "mean_", "spread_")):
            a, b = (torch.tensor(v, dtype=torch.float64) for v in (value, other[key]))
            found += [key] * bool((a - b).abs().max() > CLEAR[chapter])
    return found


@pytest.mark.parametrize("chapter", sorted(SCRIPTS))
def test_the_statement_has_the_list_and_the_numbers(chapter):
    text, script, faults = statement(chapter), SCRIPTS[chapter], LISTS[chapter]
    assert table(faults) in text
    assert script.sheet(results(chapter)) in text
    assert 8 <= len(faults) <= 12
    assert all(bool(one.otherwise) != one.right for one in faults)
    assert {one.name for one in faults} == {*script.SHOWN, *script.OTHERS}
    assert {one.name for one in faults if one.right} == {*script.SHOWN}


@pytest.mark.parametrize("chapter", sorted(SCRIPTS))
def test_no_other_fault_of_the_list_has_these_numbers(chapter):
    found, shown = rows(chapter), SCRIPTS[chapter].SHOWN
    assert set(found) == {(), shown} | {(one.name,) for one in LISTS[chapter]}
    for faults, row in found.items():
        assert (faults == shown) == (not differ(chapter, row, found[shown])), faults


def test_no_other_two_faults_of_chapter_13_have_these_numbers():
    names = sorted(one.name for one in bug13.FAULTS)
    shown = rows("13")[bugs_likelihood.SHOWN]
    for pair in combinations(names, 2):
        if pair != bugs_likelihood.SHOWN:
            assert differ("13", measured("13", pair), shown), pair


@pytest.mark.slow
@pytest.mark.long
def test_no_other_two_faults_of_chapter_12_have_these_numbers():
    names = sorted(one.name for one in bug12.FAULTS)
    shown = rows("12")[bugs_guidance.SHOWN]
    for pair in combinations(names, 2):
        if pair != bugs_guidance.SHOWN:
            assert differ("12", measured("12", pair), shown), pair


@pytest.mark.parametrize("chapter", sorted(SCRIPTS))
def test_the_numbers_are_those_of_this_code(chapter):
    for faults in ((), SCRIPTS[chapter].SHOWN):
        for key, value in measured(chapter, faults).items():
            assert rows(chapter)[faults][key] == pytest.approx(value, rel=1e-3, abs=1e-3)


def given(chapter, name):
    r"""The function of the statement, as students get it."""
    cells = jupytext.reads(statement(chapter), fmt="md:myst").cells
    names = {}
    exec(next(c.source for c in cells if c.cell_type == "code"), names)
    (text,) = [c.source for c in cells if f"def {name}(" in c.source]
    exec(text.split("\n\n\ndef faults")[0], names)
    return names[name]


def test_the_code_of_12_is_that_of_the_run():
    alpha_bar = bugs_guidance.exact_network()[1].alpha_bar
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).double()
    y = torch.tensor([1, 2, 0, 3, 1, 0])

    def model(x, t, y):
        return torch.sin(x + y[:, None]) + t[:, None] / 1000

    shared = (model, alpha_bar, [900, 700, 400, 100, 20, 0], x, y, 4, 2.5, (-1.0, 1.0))
    got = given("12", "draw_class")(*shared)
    run = bugs_guidance.draw_class(*shared, bugs_guidance.SHOWN)
    torch.testing.assert_close(got, run, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(got, bugs_guidance.draw_class(*shared), atol=1e-3)


def test_the_code_of_13_is_that_of_the_run():
    made = torch.Generator().manual_seed(0)
    X = torch.randn(6, 4, generator=made).double()
    probes = torch.randn(3, 6, 4, generator=made).double().sign()
    field = bugs_likelihood.exact_field(bugs_likelihood.law(4))
    shared = (*field, X, bugs_likelihood.stops(9), probes)
    got = given("13", "log_likelihood")(*shared)
    run = bugs_likelihood.log_likelihood(*shared, bugs_likelihood.SHOWN)
    torch.testing.assert_close(got, run, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(got, bugs_likelihood.log_likelihood(*shared), atol=1e-3)


def test_what_the_hints_of_12_say_was_measured():
    of = {faults[0]: row for faults, row in rows("12").items() if len(faults) == 1}
    shown, sound = rows("12")[bugs_guidance.SHOWN], rows("12")[()]

    def near(name, key):
        return abs(torch.tensor(of[name][key]) - torch.tensor(sound[key])).max() < 1e-3

    for gamma in (0, 1, 2):
        assert shown[f"class_0_{gamma}"] == shown["class_0_0"]
        assert of["null_is_class_0"][f"class_0_{gamma}"] == shown["class_0_0"]
    assert shown["class_1_0"][0] > 0.9 and shown["class_1_1"][0] > 2.9
    assert shown["asked_0"] > 0.8 > 0.3 > sound["asked_0"]
    assert of["one_plus_gamma"]["class_1_0"][0] > 0.9
    for name in ("halves_exchanged", "sign_turned"):
        assert of[name]["class_1_2"][0] < -0.9
    assert of["sign_turned"]["class_1_1"][0] < -0.9
    assert of["first_label"]["class_1_1"] == of["first_label"]["class_0_1"]
    assert near("guided_twice", "class_1_0") and near("guided_twice", "class_1_1")
    assert of["no_null"]["class_1_0"][1] > 1000
    for name in ("null_at_s", "second_half"):
        assert near(name, "class_1_1") and abs(shown["class_1_1"][0] - 1) > 1
    for name in ("clipped_apart", "not_clipped", "noise_kept"):
        assert not differ("12", of[name], sound) and differ("12", shown, sound)


def test_what_the_hints_of_13_say_was_measured():
    of = {faults[0]: row for faults, row in rows("13").items() if len(faults) == 1}
    shown = rows("13")[bugs_likelihood.SHOWN]
    assert abs(shown["mean_1_1"]) < 0.01
    assert 10 < shown["mean_1_4"] < shown["mean_2_4"] < shown["mean_8_4"]
    for name in (
        "trace_subtracted",
        "half_trace",
        "probe_once",
        "sigma_once",
        "no_length",
        "in_bits",
    ):
        assert abs(of[name]["mean_1_1"]) > 0.5
    same = of["mean_over_entries"]
    assert abs(same["mean_8_1"] - same["mean_8_16"]) < 0.05
    assert of["prior_of_unit"]["mean_1_1"] < -1000
    for D in (1, 2, 8):
        assert abs(of["prior_at_start"][f"mean_{D}_1"] - D / 2) < 0.1
    late = of["asked_at_low"]
    assert 0.4 < late["mean_8_1_twice"] / late["mean_8_1"] < 0.6
    assert abs(shown["mean_8_1_twice"] - shown["mean_8_1"]) < 0.1
