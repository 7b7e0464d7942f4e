r"""What reports draw and look for: classes in the data's mix, copies, sets of any size."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from picture_runs import SMALL, a_set, of

from ddpm_lite.data.pictures import PictureSet
from ddpm_lite.training import experiment, reports

# --- labels in the data's mix


def test_labels_have_the_mix_of_the_data():
    counts = [151, 18, 9, 11, 0]
    y = reports.labels_for(of(5), 100, counts)
    exact = [100 * c / 189 for c in counts]
    found = Counter(y.tolist())
    assert y.shape == (100,) and y.dtype == torch.int64
    assert all(abs(found[c] - exact[c]) < 1 for c in range(5)) and found[4] == 0
    assert torch.equal(y, reports.labels_for(of(5), 100, counts))
    # spread evenly: every tenth of them holds the largest class's share, within one
    for part in y.split(10):
        assert abs(int((part == 0).sum()) - exact[0] / 10) <= 1


@pytest.mark.parametrize("num", [1, 2, 3, 7, 99, 1000])
def test_the_shares_sum_to_the_number(num):
    for counts in ([1, 1, 1], [5, 3, 1], [0, 0, 4], [1, 10**9, 1]):
        assert len(reports.labels_for(of(3), num, counts)) == num


def test_what_is_left_goes_to_the_largest_remainders():
    # 2.56, 2.56 and 4.87 of ten
    y = reports.labels_for(of(3), 10, [10, 10, 19])
    assert y.bincount().tolist() == [3, 2, 5]


def test_an_even_mix_is_the_classes_in_turn():
    in_turn = reports.labels_for(of(4), 20)
    assert in_turn.tolist() == [0, 1, 2, 3] * 5
    assert torch.equal(in_turn, reports.labels_for(of(4), 20, [7] * 4))
    assert reports.labels_for(of(0), 20, [7] * 4) is None


# --- the report of a run


def prepared_with(tmp_path, pictures, hold_out):
    path = tmp_path / "pictures.npy"
    np.save(path, pictures.x_0[:, 0].numpy())
    config = replace(SMALL, data=str(path), hold_out=hold_out)
    return experiment.prepare(config, "cpu")


@pytest.mark.parametrize(
    ("n", "hold_out", "equal"),
    [(1, 0, 0), (2, 0, 0), (2, 1, 0), (3, 1, 0), (60, 3, 0), (100, 5, 1), (1, 0, 1)],
)
def test_a_report_on_few_or_equal_pictures_cannot_tell(tmp_path, n, hold_out, equal):
    pictures = a_set(n)
    if equal:
        pictures = replace(pictures, x_0=torch.full_like(pictures.x_0, 77))
    found = experiment.report(prepared_with(tmp_path, pictures, hold_out), tmp_path, None)
    text = (tmp_path / "memorisation.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == found  # no NaN, no Infinity
    assert found["copying_share"] is None and "needs 16" in found["cannot_tell"]
    assert found["held_out"] == hold_out and "standard_error" not in found
    assert (tmp_path / "samples" / "nearest.png").stat().st_size > 100


def test_a_report_says_how_sure_it_is(tmp_path):
    prepared = prepared_with(tmp_path, a_set(300), 60)
    found = experiment.report(prepared, tmp_path, 100)
    if found["copying_share"] is None:  # noise may lie next to few pictures
        assert "standard error" in found["cannot_tell"]
    else:
        assert 0 < found["standard_error"] <= 0.25 or found["copying_share"] > 0.5


def test_a_report_draws_the_data_s_mix(tmp_path, monkeypatch):
    prepared = prepared_with(tmp_path, a_set(40), 0)
    y = torch.tensor([0] * 36 + [1] * 4)
    pictures = replace(prepared.pictures, y=y, classes=("a", "b"))
    config = replace(prepared.config, unet=replace(prepared.config.unet, classes=2))
    seen = []

    def drawn(model, schedule, config, num, *, y, **options):
        seen.append(y)
        return torch.zeros(num, 1, 8, 8)

    monkeypatch.setattr(experiment, "draw", drawn)
    prepared = replace(prepared, pictures=pictures, config=config)
    experiment.report(prepared, tmp_path, 20)
    assert seen[0].bincount().tolist() == [18, 2]
    experiment.grid(prepared.trainer.model, None, config, tmp_path / "grid.png", 20)
    assert seen[1].tolist() == [0, 1] * 10  # people look at classes in turn


class Watched(PictureSet):
    r"""A PictureSet that gives no more than 1,000 pictures as floats at once."""

    def to_float(self, index=None):
        found = super().to_float(index)
        assert len(found) <= 1000, "the whole set at once"
        return found


def test_a_report_reads_a_large_set_in_blocks(tmp_path, monkeypatch):
    prepared = prepared_with(tmp_path, a_set(20), 0)
    sets = [a_set(n, seed) for n, seed in ((2500, 1), (1200, 2))]
    train, aside = (Watched(part.x_0) for part in sets)
    drawn = train.to_float(slice(0, 1000))[::5]
    monkeypatch.setattr(experiment, "draw", lambda *a, **k: drawn)
    prepared = replace(prepared, pictures=train, held_out=aside)
    found = experiment.report(prepared, tmp_path, 200)
    assert found["sample_to_train"] == 0 and found["copying_share"] == pytest.approx(1)
    assert found["held_out_to_train"] > 0.1 and found["held_out"] == 1200
    index, _ = reports.memorisation(drawn, train, aside)
    assert torch.equal(index, torch.arange(0, 1000, 5))


def test_the_counts_of_classes_are_stored():
    pictures = a_set(6, y=torch.tensor([0, 2, 2, 0, 2, 2]), classes=("a", "b", "c"))
    assert reports.class_counts(of(3), pictures) == [2, 0, 4]
    assert reports.class_counts(of(0), pictures) == []
    digits = replace(SMALL, data="digits", held_out_split="held_out")
    counts = experiment.prepare(digits, "cpu").described["class_counts"]
    assert len(counts) == 10 and sum(counts) == 1438
