r"""The measures of pictures in one table, the judges judged, and FID from a file."""

import json
from pathlib import Path

import pytest
import torch
from helpers import close, normal

from ddpm_lite import data
from ddpm_lite.evaluation import evaluate, inception, metrics


@pytest.fixture(scope="module")
def digits():
    return data.digits("train")[0], data.digits("held_out")[0]


# --- samples whose faults are known


def test_the_fitted_gaussian_has_the_pictures_moments():
    train = 0.3 * normal(50, 1, 2, 2) + torch.tensor([0.0, 1.0, 2.0, 3.0]).view(1, 1, 2, 2)
    train[:, 0, 1, 1] += train[:, 0, 0, 0]  # correlated
    drawn = evaluate.fitted_gaussian(train, 40_000)
    assert drawn.shape == (40_000, 1, 2, 2) and drawn.dtype == train.dtype
    S, flat = torch.cov(train.flatten(1).T), drawn.flatten(1)
    error = (S.diagonal() / 40_000).sqrt()
    assert ((flat.mean(0) - train.flatten(1).mean(0)).abs() <= 5 * error).all()
    # the variance of a covariance of Gaussians is (S_ii S_jj + S_ij^2) / n
    error = ((S.diagonal()[:, None] * S.diagonal() + S**2) / 40_000).sqrt()
    assert ((torch.cov(flat.T) - S).abs() <= 5 * error).all()
    assert not torch.equal(drawn, evaluate.fitted_gaussian(train, 40_000, seed=1))


def test_the_memoriser_copies_with_replacement():
    train = normal(30, 1, 2, 2)
    drawn = evaluate.memoriser(train, 3000)
    index, apart = metrics.nearest(drawn, train)
    assert apart.eq(0).all()
    counts = index.flatten().bincount(minlength=30)
    # chi square with 29 degrees of freedom: mean 29, deviation 7.6
    assert float(((counts - 100) ** 2 / 100).sum()) < 29 + 5 * 7.6


# --- the table


def test_measures_are_those_of_metrics(digits):
    train, held_out = digits[0][:300], digits[1][:120]
    new = train[:80].flip(-1)
    table = evaluate.measures(new, train, held_out, levels=17, trees=20)
    new_numbers = {name: numbers["generated"] for name, numbers in table.items()}
    precision, recall = metrics.precision_recall(held_out, new)
    assert list(new_numbers) == [
        "fd_pixels_80",
        "fd_pixels_80_ratio",
        "precision",
        "recall",
        "nearer_to_training",
        "copying_share",
        "detectability",
    ]
    assert new_numbers["fd_pixels_80"] == metrics.frechet_distance(new, held_out)
    assert (new_numbers["precision"], new_numbers["recall"]) == (precision, recall)
    assert new_numbers["copying_share"] == metrics.copying_share(new, train, held_out)
    nearer = metrics.nearer_to_training(new, train, held_out)
    assert new_numbers["nearer_to_training"] == nearer
    assert new_numbers["detectability"] == metrics.detectability(held_out, new, 17, 20)
    real = {name: numbers["training"] for name, numbers in table.items()}
    assert real["fd_pixels_80_ratio"] == 1
    assert real["copying_share"] == pytest.approx(1, abs=1e-12)  # (1 - chance) / itself
    ratio = new_numbers["fd_pixels_80"] / real["fd_pixels_80"]
    assert new_numbers["fd_pixels_80_ratio"] == pytest.approx(ratio, rel=1e-12)
    assert ratio > 1.5 and new_numbers["copying_share"] < 0.5


def test_the_training_column_is_n_training_pictures(digits, monkeypatch):
    train, held_out = digits[0][:200], digits[1][:70]
    seen = []

    def watched(x, y):
        seen.append(x)
        return 1.0

    monkeypatch.setattr(metrics, "frechet_distance", watched)
    monkeypatch.setattr(metrics, "detectability", lambda *a, **k: 0.5)
    new = digits[1][60:130]
    for seed in (0, 0, 1):
        evaluate.measures(new, train, held_out, seed=seed)
    chosen = seen[1::2]
    assert [len(x) for x in chosen] == [70] * 3
    index, apart = metrics.nearest(chosen[0], train)
    assert apart.eq(0).all() and len(index.unique()) == 70
    assert torch.equal(chosen[0], chosen[1]) and not torch.equal(chosen[0], chosen[2])


def test_samples_that_cannot_be_judged(digits):
    train, held_out = digits[0][:30], digits[1][:10]
    with pytest.raises(ValueError, match=r"of one shape, got \(80, 49\) and \(99, 64\)"):
        evaluate.measures(digits[0][:80, :, 1:, 1:], train, digits[1][:99])
    with pytest.raises(ValueError, match=r"at least 600 pictures, got 30"):
        evaluate.judges_judged(train, held_out)


def test_each_fault_is_seen_by_the_judge_that_looks_for_it(digits):
    table = evaluate.judges_judged(*digits, levels=17, trees=40)
    gaussian, memoriser, repeated, real = table.values()
    assert list(table) == ["gaussian", "memoriser", "repeated", "real"]
    assert next(iter(gaussian)) == "fd_pixels_719"
    # pixels' means and covariances cannot see a Gaussian: it is no worse than a copier
    assert gaussian["fd_pixels_719"] < memoriser["fd_pixels_719"]
    assert gaussian["precision"] < 0.3 and gaussian["detectability"] > 0.9
    # copies look real to all but those that look for copies
    copied = [memoriser["copying_share"], repeated["copying_share"]]
    assert copied == pytest.approx([1, 1], abs=1e-12)  # (1 - chance) / itself
    assert memoriser["nearer_to_training"] > 0.65  # (1 + 359 / 719) / 2 = 0.75
    assert memoriser["precision"] > 0.8 and memoriser["detectability"] < 0.7
    # missing kinds of pictures are missed by recall
    assert repeated["recall"] < real["recall"] - 0.15
    # real pictures are found real
    assert abs(real["copying_share"]) < 0.2 and abs(real["nearer_to_training"] - 0.5) < 0.1
    assert abs(real["detectability"] - 0.5) < 0.1 and real["precision"] > 0.85
    assert real["fd_pixels_719"] < min(k["fd_pixels_719"] for k in (memoriser, repeated))


# --- what few pictures can tell


@pytest.mark.parametrize(
    ("n", "N", "H", "silent"),
    [
        (200, 300, 64, 0),
        (200, 300, 63, 2),  # the distance and its ratio
        (200, 300, 31, 5),  # neighbours and forest
        (200, 300, 15, 7),
        (200, 300, 0, 7),
        (63, 300, 100, 2),
        (31, 300, 100, 5),
        (1, 1, 1, 7),
        (200, 63, 100, 1),  # no ratio without as many beside
        (200, 15, 100, 2),  # and no balanced vote of 16
    ],
)
def test_every_measure_has_a_smallest_number_of_pictures(digits, n, N, H, silent):
    train, held_out = digits[0][:N], digits[1][:H]
    table = evaluate.measures(digits[0][400 : 400 + n], train, held_out, 17, trees=3)
    assert [*table] == [*evaluate.blank(n, N, H)] and len(table) == 7
    few = 0
    for name, row in table.items():
        told = row.get("cannot_tell", {}).get("generated", "")
        assert (row["generated"] is None) == bool(told), name
        few += told.startswith("needs ") and ", has " in told
        # two may find that their own error is too large
        assert not told or "has" in told or name in ("nearer_to_training", "copying_share")
    assert few == silent, table
    json.dumps(table, allow_nan=False)
    assert evaluate.can_tell(evaluate.blank(n, N, H)) == (silent < 7)
    text = evaluate.table(table, H)
    assert text.count("cannot tell: needs") == silent


def test_every_row_says_which_way_is_better(digits):
    table = evaluate.measures(digits[0][:200], *digits, 17, trees=3)
    lines = evaluate.table(table, 359).splitlines()[2:-1]
    for (name, row), line in zip(table.items(), lines, strict=True):
        assert line.startswith(name) and f"  {row['better']}, " in line


def test_flat_pictures_score_as_real_ones_do_where_they_are_few(digits):
    r"""Why a distance needs 64: of 16 digits, 0.7 of the contrast looks like all of it."""
    every = torch.cat(digits)
    above = {}
    for n in (16, 64):
        flat, real = [], []
        for seed in range(40):
            order = torch.randperm(1797, generator=torch.Generator().manual_seed(seed))
            a, b, c = every[order[: 3 * n]].split(n)
            usual = metrics.frechet_distance(b, c)
            real.append(metrics.frechet_distance(a, c) / usual)
            flat.append(metrics.frechet_distance(0.7 * a, c) / usual)
        limit = sorted(real)[-2]  # of 40: what one real draw in twenty exceeds
        above[n] = sum(value > limit for value in flat) / 40
    assert above[16] < 0.2 and above[64] > 0.9


def test_equal_pictures_are_put_into_words():
    equal = torch.full((100, 1, 4, 4), 0.3)
    new = normal(100, 1, 4, 4).tanh().float()
    for generated in (equal, new):
        table = evaluate.measures(generated, equal, equal, trees=3)
        ratio = table["fd_pixels_100_ratio"]
        assert ratio["generated"] is None
        assert "real pictures that differ" in ratio["cannot_tell"]["generated"]
        assert table["copying_share"]["generated"] is None  # all vote for one picture
        json.dumps(table, allow_nan=False)
        evaluate.table(table, 100)


def test_noise_is_no_copier_and_a_copier_is_one(digits):
    r"""Noise lies next to a few pictures, which say nothing of copying."""
    train, held_out = digits[0][:600], digits[1][:32]
    noise = normal(200, 1, 8, 8).float().clamp(-1, 1)
    row = evaluate.copying(noise, train, held_out)
    share, error = metrics.copying_and_error(noise, train, held_out)
    assert share < 3 * error
    assert row["generated"] is None or row["standard_error"] <= 0.25
    row = evaluate.copying(train[:200], train, held_out)
    assert row["generated"] == pytest.approx(1) and row["standard_error"] < 1 / 3
    for few in (held_out[:6], None):
        row = evaluate.copying(train[:200], train, few)
        assert row["generated"] is None
        assert "needs 16 unseen pictures, has" in row["cannot_tell"]["generated"]


def test_without_training_pictures_one_half_stands_beside_the_other(digits):
    new, held_out = digits[0][:150], digits[1][:200]
    table = evaluate.measures(new, None, held_out, 17, trees=10)
    assert all("training" not in row and "halves" in row for row in table.values())
    for name in ("nearer_to_training", "copying_share"):
        assert table[name]["generated"] is None
        assert table[name]["cannot_tell"]["generated"] == (
            "needs the pictures that the model was trained on"
        )
    # the samples meet all of them, whether training pictures are known or not
    known = evaluate.measures(new, digits[0], held_out, 17, trees=10)
    for name in ("fd_pixels_150", "precision", "recall", "detectability"):
        assert table[name]["generated"] == known[name]["generated"]
    order = torch.randperm(1438, generator=torch.Generator().manual_seed(0))
    real = digits[0][order[:150]]
    ratio = evaluate.measures(real, None, held_out, 17, trees=3)["fd_pixels_100_ratio"]
    assert ratio["halves"] == 1 and 0.6 < ratio["generated"] < 1.6  # both are real
    assert "halves" in evaluate.table(table, 200).splitlines()[1]


# --- a set that lies in a file


class Watched(data.pictures.PictureSet):
    r"""A PictureSet that gives no more than a block of its pictures as floats."""

    largest = 1000

    def to_float(self, index=None):
        found = super().to_float(index)
        assert len(found) <= self.largest, "the whole set at once"
        return found


def test_a_set_is_read_in_blocks(digits):
    train, held_out = (data.load("digits", split=s) for s in ("train", "held_out"))
    assert len(train) > Watched.largest
    watched = Watched(train.x_0, train.y, train.classes, levels=17)
    new = digits[0][::7]  # two hundred copies
    by_block = evaluate.measures(new, watched, held_out, 17, trees=10)
    whole = evaluate.measures(new, *digits, 17, trees=10)
    for name, row in whole.items():
        assert by_block[name]["generated"] == pytest.approx(row["generated"], rel=1e-9)
        assert by_block[name]["training"] == pytest.approx(row["training"], rel=1e-9)


# --- FID


def test_fid_compares_the_features_of_the_file_that_is_named(tmp_path, monkeypatch):
    network = inception.Inception()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if name.endswith("conv.weight"):  # of a size that lets the signal through
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
            tensor.mul_((2 / tensor[0].numel()) ** 0.5)
    save(network, tmp_path / "weights.safetensors")
    generated, real = normal(3, 1, 8, 8).tanh().float(), normal(2, 1, 8, 8, seed=1).tanh()
    compared = []
    # the distance itself takes seconds in 2048 dimensions; the next test has it
    monkeypatch.setattr(metrics, "frechet_distance", lambda x, y: compared.append((x, y)))
    evaluate.fid(generated, real, tmp_path / "weights.safetensors", 2, levels=None)
    ((x, y),) = compared
    assert x.shape == (3, 2048) and y.shape == (2, 2048)
    close(x, inception.features(network, generated), rtol=1e-4, atol=1e-4)
    close(y[1:], inception.features(network, real[1:]), rtol=1e-4, atol=1e-4)
    assert (y[0] - y[1]).abs().max() > 0.01


def save(network, path):
    from safetensors.torch import save_file

    state = network.state_dict().items()
    save_file({k: v for k, v in state if not k.endswith("num_batches_tracked")}, path)


@pytest.fixture
def flat_features(monkeypatch):
    r"""Inception replaced by the pixels themselves, to see what fid hands to it."""
    handed = []

    def features(network, pictures, batch_size):
        handed.append(pictures)
        return pictures.flatten(1)

    monkeypatch.setattr(inception, "load", lambda path: torch.nn.Identity())
    monkeypatch.setattr(inception, "features", features)
    return handed


def test_fid_is_labelled_and_is_of_8_bit_pictures(flat_features):
    generated, real = normal(9, 1, 2, 2).tanh(), normal(7, 1, 2, 2, seed=1).tanh()
    label = evaluate.labelled_fid(
        generated, real, "some/where/w.pth", "7 invented pictures", "ddim", 50
    )
    value = label.pop("fid_9")
    assert label == {
        "better": "lower",
        "reference": "7 invented pictures",
        "n_reference": 7,
        "sampler": "ddim",
        "steps": 50,
        "levels": 256,
        "weights": "w.pth",
    }
    for x, handed in zip((generated, real), flat_features, strict=True):
        close(handed, ((x + 1) * 127.5).round() / 127.5 - 1, atol=1e-12)
    assert value == metrics.frechet_distance(*flat_features)
    raw = evaluate.fid(generated, real, "w.pth", levels=None)
    assert raw == metrics.frechet_distance(generated, real) != value


def test_fid_refuses_before_it_works(flat_features, tmp_path):
    good = normal(4, 1, 2, 2).tanh()
    with pytest.raises(ValueError, match=r"real must lie in \[-1, 1\], got values from"):
        evaluate.fid(good, 127.5 * (good + 1), "w.pth")
    with pytest.raises(ValueError, match=r"generated must be floating .* torch.uint8"):
        evaluate.fid(good.to(torch.uint8), good, "w.pth")
    with pytest.raises(ValueError, match=r"at least 2 pictures .* got 1 generated and 4"):
        evaluate.fid(good[:1], good, "w.pth")
    assert flat_features == []


def test_fid_without_weights(tmp_path):
    x = normal(2, 1, 2, 2).tanh()
    with pytest.raises(FileNotFoundError, match=r"no Inception weights at .*none.pth"):
        evaluate.fid(x, x, tmp_path / "none.pth")


def test_the_page_names_the_same_measures_and_numbers():
    readme = (Path(__file__).parents[2] / "docs" / "evaluating.md").read_text("utf-8")
    for kind, least in evaluate.FEWEST.items():
        name = kind.replace("fd_pixels", "fd_pixels_N")
        (row,) = (line for line in readme.splitlines() if line.startswith(f"| `{name}`"))
        assert evaluate.BETTER[kind] in row and row.endswith(f"| {least} |")
