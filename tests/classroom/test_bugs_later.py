r"""The bugs of chapters 12 to 17: the evidence names the faults, and no others."""

from itertools import combinations

import pytest
import torch
from evidence import (
    LISTS,
    NAMES,
    SCRIPTS,
    differ,
    given,
    measured,
    results,
    rows,
    statement,
)

from ddpm_lite.classroom.bugs import table

bugs_guidance, bugs_likelihood = SCRIPTS["12"], SCRIPTS["13"]
DEAR = (pytest.mark.slow, pytest.mark.long)  # 80 s


@pytest.mark.parametrize("chapter", sorted(NAMES))
def test_the_statement_has_the_list_and_the_numbers(chapter):
    text, script, faults = statement(chapter), SCRIPTS[chapter], LISTS[chapter]
    assert table(faults) in text
    assert script.sheet(results(chapter)) in text
    assert results(chapter)["command"] == f"python figures/bugs_{NAMES[chapter]}.py"
    assert 8 <= len(faults) <= 12
    assert all(bool(one.otherwise) != one.right for one in faults)
    assert {one.name for one in faults} == {*script.SHOWN, *script.OTHERS}
    assert {one.name for one in faults if one.right} == {*script.SHOWN}


@pytest.mark.parametrize("chapter", sorted(NAMES))
def test_no_other_fault_of_the_list_has_these_numbers(chapter):
    found, shown = rows(chapter), SCRIPTS[chapter].SHOWN
    assert set(found) == {(), shown} | {(one.name,) for one in LISTS[chapter]}
    for faults, row in found.items():
        assert (faults == shown) == (not differ(chapter, row, found[shown])), faults


@pytest.mark.parametrize(
    "chapter", [pytest.param("12", marks=DEAR), "13", "14", "15", "16", "17"]
)
def test_no_other_two_faults_have_these_numbers(chapter):
    shown = SCRIPTS[chapter].SHOWN
    for pair in combinations(sorted(one.name for one in LISTS[chapter]), 2):
        if pair != shown:
            assert differ(chapter, measured(chapter, pair), rows(chapter)[shown]), pair


@pytest.mark.parametrize("chapter", sorted(NAMES))
def test_the_numbers_are_those_of_this_code(chapter):
    for faults in ((), SCRIPTS[chapter].SHOWN):
        for key, value in measured(chapter, faults).items():
            assert rows(chapter)[faults][key] == pytest.approx(value, rel=1e-3, abs=1e-3)


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
