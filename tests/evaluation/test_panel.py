r"""The panel: each measure by another route, and each sees the fault that it is for."""

import math

import numpy as np
import pytest
import torch
from helpers import normal
from scipy.stats import chi2_contingency

from ddpm_lite import data
from ddpm_lite.evaluation import classifier, evaluate, foolers, metrics, panel


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", split="train"), data.load("digits", split="held_out")


@pytest.fixture(scope="module")
def judges(digits):
    r"""A panel of small forests, and draws of real pictures that it has not met."""
    train, unseen = digits
    eye = classifier.train_classifier(train, epochs=4, batch_size=32, progress=False)
    order = torch.randperm(359, generator=torch.Generator().manual_seed(0))
    held_out, rest = unseen.to_float(order[:179]), order[179:]
    counts = panel.seen_classes(eye, train)
    half = panel.panel_of(held_out, train, eye, counts, trees=20)
    return half, unseen.to_float(rest), unseen.y[rest]


# --- by another route


def test_roughness_counts_neighbours():
    x = normal(3, 2, 5, 4)
    pictures = x.numpy()
    across = [
        (p[c, i, j + 1] - p[c, i, j]) ** 2
        for p in pictures
        for c in range(2)
        for i in range(5)
        for j in range(3)
    ]
    down = [
        (p[c, i + 1, j] - p[c, i, j]) ** 2
        for p in pictures
        for c in range(2)
        for i in range(4)
        for j in range(4)
    ]
    by_hand = math.sqrt(sum(across) / len(across) + sum(down) / len(down))
    assert panel.roughness(x) == pytest.approx(by_hand, rel=1e-12)
    assert panel.roughness(torch.full((2, 1, 3, 3), 0.5)) == 0
    noise = normal(100, 1, 50, 50) * 0.3  # white: 2 sqrt(v)
    # 500,000 differences, of which each meets few others: well under 1 %
    assert panel.roughness(noise) == pytest.approx(0.6, rel=0.01)


def test_black_is_what_a_file_holds_as_nought():
    # the 256 levels are 2 / 255 apart: nearer than half of it to -1 is black
    values = torch.tensor([-1.5, -1.0, -1 + 0.99 / 255, -1 + 1.01 / 255, 0.0, 1.0])
    assert panel.black(values.view(1, 1, 2, 3)) == 0.5
    x = normal(20, 1, 6, 6).float()
    as_bytes = np.rint((x.clamp(-1, 1).numpy() + 1) * 127.5).astype(np.uint8)
    assert panel.black(x) == (as_bytes == 0).mean()


def test_the_deviation_of_shares_is_the_root_of_a_chi_square():
    counts, real = torch.tensor([30, 50, 20]), torch.tensor([400, 300, 300])
    roots = []
    for k in range(3):
        table = [[int(c[k]), int(c.sum() - c[k])] for c in (counts, real)]
        roots.append(math.sqrt(chi2_contingency(table, correction=False).statistic))
    found = panel.largest_deviation(counts, real)
    assert found == pytest.approx(max(roots), rel=1e-12) and found > 3
    assert panel.largest_deviation(real, real) == 0
    assert panel.largest_deviation(torch.tensor([5, 0]), torch.tensor([7, 0])) == 0
    for wrong in (torch.tensor([1, 2]), torch.zeros(3, dtype=torch.int64)):
        with pytest.raises(ValueError, match="of the same classes and not empty"):
            panel.largest_deviation(wrong, real)


def test_three_standard_errors_are_rare_without_a_fault():
    generator = torch.Generator().manual_seed(0)
    draws = 1000

    def counts(n):
        drawn = torch.randint(10, (draws, n), generator=generator)
        return [row.bincount(minlength=10) for row in drawn]

    values = [
        panel.largest_deviation(a, b)
        for a, b in zip(counts(500), counts(2000), strict=True)
    ]
    # ten normal numbers: 10 * 0.0027, a little less for they sum to nothing
    share = sum(value > 3 for value in values) / draws
    assert abs(share - 0.026) < 5 * (0.026 * 0.974 / draws) ** 0.5


def test_the_panel_asks_the_measures_that_it_names(judges):
    half, x, y = judges
    found = panel.judge(half, x, y, free=x)
    assert list(found) == list(panel.OVER)
    eye = half.classifier
    with torch.no_grad():
        seen, own = eye.trunk(x), eye.trunk(half.held_out)
        label = eye(x).argmax(1)
    # float32 features, in batches of another size
    ff = metrics.frechet_distance(seen, own)
    assert found["fd_features"] == pytest.approx(ff, rel=1e-3)
    assert found["fd_pixels"] == pytest.approx(
        metrics.frechet_distance(x, half.held_out),
        rel=1e-2,  # 256 levels, not 17
    )
    assert found["label"] == float((label == y).double().mean())
    counts = label.bincount(minlength=10)
    assert found["class_deviation"] == panel.largest_deviation(counts, half.counts)
    assert int(half.counts.sum()) == 1438
    alone = panel.panel_of(half.held_out, None, eye)
    with torch.no_grad():
        assert torch.equal(
            alone.counts, eye(half.held_out).argmax(1).bincount(minlength=10)
        )
    nothing = panel.judge(panel.Panel(**vars(half) | {"train": None}), x)
    assert [k for k, v in nothing.items() if v is None] == [
        "copying_share",
        "class_deviation",
        "label",
    ]


def test_pictures_are_judged_as_a_file_holds_them(judges):
    half, x, y = judges
    levels = metrics.round_to_levels(x, 256)
    moved = levels + 0.4 * 2 / 255  # rounding brings it back
    assert not torch.equal(moved, levels)
    assert panel.judge(half, moved, y, free=moved) == panel.judge(
        half, levels, y, free=levels
    )


def test_ratios_and_spreads():
    usual = dict.fromkeys(panel.OVER, 2.0)
    rows = [usual, usual | {"fd_pixels": 4.0, "recall": 0.0}]
    found = panel.over_real(usual | {"copying_share": None}, rows)
    assert (found["fd_pixels"], found["recall"], found["label"]) == (2 / 3, 2.0, 1.0)
    assert (found["roughness"], found["copying_share"]) == (2.0, None)
    assert panel.over_real(usual, [usual | {"recall": 0.0}])["recall"] is None
    both = panel.spread([{"a": 1.0, "b": None}, {"a": 3.0, "b": 2.0}])
    assert both == {
        "a": {"mean": 2.0, "spread": pytest.approx(2**0.5)},
        "b": {"mean": None, "spread": None},
    }
    assert panel.spread([{"a": 1.0}])["a"] == {"mean": 1.0, "spread": None}


# --- planted faults


@pytest.fixture(scope="module")
def scores(judges, digits):
    r"""{fault: what the panel says of it, over real pictures}."""
    half, x, y = judges
    train = digits[0]
    known = train.to_float(slice(0, 60))
    left = foolers.without_classes(y)
    kinds = {
        "real": (x, y),
        "noise": (foolers.invisible_noise(x), y),
        "speckle": (foolers.speckle(x, share=0.8), y),
        "missing": (x[left], y[left]),
        "gaussian": (evaluate.fitted_gaussian(train.to_float(), len(x)), None),
        "memoriser": (known[foolers.repeated(len(x), 60)], None),
        "labels": (x, foolers.wrong_labels(y, 10, 0.2)),
    }
    rows = {k: panel.judge(half, z, labels, free=z) for k, (z, labels) in kinds.items()}
    return {k: panel.over_real(row, [rows["real"]]) for k, row in rows.items()}


def test_real_pictures_pass(scores):
    real = scores["real"]
    assert abs(real["roughness"] - 1) < 0.05 and abs(real["black"] - 1) < 0.05
    assert real["class_deviation"] < 3 and real["copying_share"] < 0.3
    assert max(real["forest_pixels"], real["forest_features"]) < 0.6


@pytest.mark.parametrize(
    "fault, measure, least, most",
    [
        ("noise", "black", 0, 0.75),  # three of five values stay
        ("speckle", "roughness", 1.05, 9),
        ("speckle", "forest_pixels", 0.6, 1),
        ("speckle", "precision", 0, 0.8),
        ("speckle", "fd_pixels", 1.25, 9),
        ("missing", "class_deviation", 3, 99),
        ("missing", "fd_features", 1.5, 99),
        ("gaussian", "precision", 0, 0.9),
        ("gaussian", "forest_pixels", 0.8, 1),
        ("gaussian", "forest_features", 0.65, 1),
        ("memoriser", "copying_share", 0.99, 1.01),
        ("memoriser", "recall", 0, 0.93),
        ("labels", "label", 0, 0.85),
    ],
)
def test_a_fault_is_seen_by_the_measure_that_is_for_it(scores, fault, measure, least, most):
    assert least <= scores[fault][measure] <= most


@pytest.mark.parametrize(
    "fault, measure",
    [("noise", "forest_pixels"), ("noise", "roughness"), ("labels", "fd_features")],
)
def test_a_fault_fools_the_measures_that_are_blind_to_it(scores, fault, measure):
    assert scores[fault][measure] == pytest.approx(scores["real"][measure], abs=0.06)
