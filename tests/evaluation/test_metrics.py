r"""The judges, against plain loops and closed forms, and judged themselves on digits."""

import itertools
import math

import numpy as np
import pytest
import torch
from helpers import close, normal

from ddpm_lite import data
from ddpm_lite.evaluation import metrics


def distance(a, b):
    return math.sqrt(sum((float(p) - float(q)) ** 2 for p, q in zip(a, b, strict=True)))


def test_energy_distance_is_the_double_loop():
    x, y = normal(9, 2), 0.3 + normal(7, 2, seed=1)
    between = np.mean([[distance(a, b) for b in y] for a in x])
    within = []
    for z in (x, y):
        pairs = [
            distance(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j
        ]
        within.append(np.mean(pairs))
    exact = 2 * between - within[0] - within[1]
    assert metrics.energy_distance(x, y) == pytest.approx(exact, rel=1e-12)


def test_energy_distance_of_one_law_is_0_on_average():
    values = [
        metrics.energy_distance(normal(20, 2, seed=2 * k), normal(20, 2, seed=2 * k + 1))
        for k in range(300)
    ]
    error = np.std(values) / 300**0.5
    assert abs(np.mean(values)) <= 5 * error
    # the biased form would be off by E|X - X'| / 10 = 0.18, which this can see
    assert 5 * error < 0.05
    assert min(values) < 0 < max(values)


def test_energy_distance_of_two_gaussians_on_a_line():
    # E|X - Y| of N(0, s^2) is s sqrt(2 / pi); a shift by m has a closed form too
    n, m = 4000, 1.0
    x, y = normal(n, 1), m + normal(n, 1, seed=1)
    apart = 2 / math.sqrt(math.pi) * math.exp(-(m**2) / 4) + m * math.erf(m / 2)
    exact = 2 * apart - 4 / math.sqrt(math.pi)
    values = [
        metrics.energy_distance(x[k : k + 200], y[k : k + 200]) for k in range(0, n, 200)
    ]
    assert abs(np.mean(values) - exact) <= 5 * np.std(values) / 20**0.5


def test_kernel_distance_compares_moments_up_to_the_third():
    # (u + 1)^3 = 1 + 3 u + 3 u^2 + u^3 with u = x.y / d: the biased estimate is a sum of
    # squared differences of moment tensors, and itself with itself is added to the other
    x, y, d = normal(9, 2), 0.3 + 1.2 * normal(7, 2, seed=1), 2
    parts = ((3, "ni->i"), (3, "ni,nj->ij"), (1, "ni,nj,nk->ijk"))
    biased = 0.0
    for order, (weight, rule) in enumerate(parts, start=1):
        moments = [torch.einsum(rule, *[z] * order) / len(z) for z in (x, y)]
        biased += weight / d**order * float((moments[0] - moments[1]).square().sum())
    for z in (x, y):
        n = len(z)
        pairs = [[(float(a @ b) / d + 1) ** 3 for b in z] for a in z]
        without = sum(pairs[i][j] for i in range(n) for j in range(n) if i != j)
        biased += without / (n * (n - 1)) - np.sum(pairs) / n**2
    assert metrics.kernel_distance(x, y) == pytest.approx(biased, rel=1e-12)
    assert metrics.kernel_distance(y, x) == pytest.approx(biased, rel=1e-12)


def test_kernel_distance_of_one_law_is_0_on_average():
    values = [
        metrics.kernel_distance(normal(20, 2, seed=2 * k), normal(20, 2, seed=2 * k + 1))
        for k in range(300)
    ]
    assert abs(np.mean(values)) <= 5 * np.std(values) / 300**0.5
    assert min(values) < 0 < max(values)


def test_kernel_distance_does_not_depend_on_blocks(monkeypatch):
    x, y = normal(23, 3), normal(17, 3, seed=1)
    whole = metrics.kernel_distance(x, y)
    monkeypatch.setattr(metrics, "_BLOCK", 12)  # four examples at once
    # sums of some hundred terms in another order
    assert metrics.kernel_distance(x, y) == pytest.approx(whole, rel=1e-11, abs=1e-12)


def test_mean_energy_distance_takes_disjoint_blocks():
    x, y = normal(60, 2), normal(60, 2, seed=1)
    blocks = [metrics.energy_distance(x[k : k + 20], y[k : k + 20]) for k in (0, 20, 40)]
    mean, error = metrics.mean_energy_distance(x, y, n=20)
    assert mean == pytest.approx(np.mean(blocks), rel=1e-12)
    assert error == pytest.approx(np.std(blocks, ddof=1) / 3**0.5, rel=1e-12)
    for bad in (normal(39, 2), normal(59, 2)):
        with pytest.raises(ValueError, match=r"equally many examples, at least 40, got"):
            metrics.mean_energy_distance(bad, y if len(bad) > 50 else bad, n=20)


def exactly(mean, std, n=400):
    r"""A sample whose mean and deviations (N - 1) are these, in independent axes."""
    x = normal(n, len(mean), seed=n)
    x = x - x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    return x * torch.tensor(std).double() + torch.tensor(mean).double()


def test_frechet_distance_is_the_closed_form():
    x, y = exactly([0.0, 1.0], [1.0, 2.0]), exactly([0.5, -1.0], [0.5, 3.0], n=300)
    exact = 0.25 + 4 + 0.25 + 1  # |m - n|^2 + sum (s - r)^2 where covariances commute
    assert metrics.frechet_distance(x, y) == pytest.approx(exact, rel=1e-9)
    turn = torch.linalg.qr(normal(2, 2))[0]
    assert metrics.frechet_distance(x @ turn, y @ turn) == pytest.approx(exact, rel=1e-9)
    assert metrics.frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    one = metrics.frechet_distance(x[:, :1], y[:, :1])
    assert one == pytest.approx(0.25 + 0.25, rel=1e-9)


def test_frechet_distance_of_fewer_examples_than_dimensions():
    r"""The other way through singular values, against covariance matrices."""
    x, y = 0.3 + normal(9, 12) @ normal(12, 12, seed=5), normal(7, 12, seed=1)
    S, R = torch.cov(x.T), torch.cov(y.T)
    roots = torch.linalg.eigvals(S @ R).real.clamp(min=0).sort().values[-6:].sqrt().sum()
    exact = (x.mean(0) - y.mean(0)).square().sum() + S.trace() + R.trace() - 2 * roots
    assert metrics.frechet_distance(x, y) == pytest.approx(float(exact), rel=1e-9)
    assert metrics.frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


def test_blocks_are_the_whole(monkeypatch):
    x, y = normal(30, 6), 0.5 + normal(40, 6, seed=1)
    whole = metrics.frechet_distance(x, y), metrics.precision_recall(x, y)
    few = metrics.frechet_distance(x[:5], y[:4])
    monkeypatch.setattr(metrics, "_BLOCK", 20)  # three examples
    assert metrics.frechet_distance(x, y) == pytest.approx(whole[0], rel=1e-10)
    assert metrics.precision_recall(x, y) == whole[1]
    assert metrics.frechet_distance(x[:5], y[:4]) == pytest.approx(few, rel=1e-10)
    index, apart = metrics.nearest(x, y, k=5)
    values, places = torch.cdist(x, y).topk(5, largest=False)
    assert torch.equal(index, places)
    close(apart, values, rtol=1e-9)


def test_frechet_distance_of_correlated_gaussians():
    A, B = normal(3, 3), normal(3, 3, seed=1)
    x, y = normal(500, 3, seed=2) @ A, normal(500, 3, seed=3) @ B
    S, R = torch.cov(x.T), torch.cov(y.T)
    roots = torch.linalg.eigvals(S @ R).real.clamp(min=0).sqrt().sum()
    exact = (x.mean(0) - y.mean(0)).square().sum() + S.trace() + R.trace() - 2 * roots
    assert metrics.frechet_distance(x, y) == pytest.approx(float(exact), rel=1e-9)
    assert metrics.frechet_distance(y, x) == pytest.approx(float(exact), rel=1e-9)


def test_precision_and_recall_are_the_plain_loops():
    real, generated, k = normal(12, 2), 0.8 + 0.5 * normal(10, 2, seed=1), 3

    def radius(z, i):
        return sorted(distance(z[i], z[j]) for j in range(len(z)) if j != i)[k - 1]

    def share(points, among):
        hits = [
            any(distance(p, among[i]) <= radius(among, i) for i in range(len(among)))
            for p in points
        ]
        return np.mean(hits)

    precision, recall = metrics.precision_recall(real, generated, k)
    assert precision == pytest.approx(share(generated, real), rel=1e-12)
    assert recall == pytest.approx(share(real, generated), rel=1e-12)
    assert 0 < recall < 1 and precision != recall
    swapped = metrics.precision_recall(generated, real, k)
    assert swapped == (recall, precision)


def test_copying_share_of_known_cases():
    train, held_out = normal(30, 2), normal(10, 2, seed=1)
    assert metrics.copying_share(train, train, held_out) == 1
    assert metrics.copying_share(held_out, train, held_out) == pytest.approx(-3)
    both = torch.cat([train, held_out])
    assert metrics.copying_share(both, train, held_out) == pytest.approx(0, abs=1e-12)
    assert metrics.copying_share(train, train, train) == pytest.approx(0, abs=1e-12)


def test_the_error_of_the_copying_share_is_that_of_all_choices():
    r"""Every way to call three of eight pictures held out, with the samples as they are."""
    real, new = normal(8, 2), normal(20, 2, seed=1)
    shares, errors = [], []
    for aside in itertools.combinations(range(8), 3):
        held = torch.zeros(8, dtype=torch.bool)
        held[list(aside)] = True
        share, error = metrics.copying_and_error(new, real[~held], real[held])
        shares.append(share)
        errors.append(error)
    assert np.mean(shares) == pytest.approx(0, abs=1e-12)
    assert errors == pytest.approx([np.std(shares)] * len(errors), rel=1e-9)
    vote, error = metrics.nearer_and_error(new, real[:4], real[4:])
    assert vote == metrics.nearer_to_training(new, real[:4], real[4:]) and error > 0


def test_one_example_has_a_nearest_neighbour():
    index, apart = metrics.nearest(normal(1, 2), normal(1, 2, seed=1))
    assert index.tolist() == [[0]] and apart.shape == (1, 1)


def test_nearer_to_training_is_the_plain_loop():
    train, held_out, new = normal(9, 2), normal(9, 2, seed=1), normal(14, 2, seed=2)
    nearer = [
        min(distance(p, q) for q in train) < min(distance(p, q) for q in held_out)
        for p in new
    ]
    share = metrics.nearer_to_training(new, train, held_out)
    assert share == pytest.approx(np.mean(nearer), rel=1e-12) and 0 < share < 1
    swapped = metrics.nearer_to_training(new, held_out, train)
    assert swapped == pytest.approx(1 - share, rel=1e-12)


def test_nearer_to_training_of_one_law_is_half_on_average():
    values = [
        metrics.nearer_to_training(
            normal(60, 4, seed=4 * k), normal(80, 4, seed=4 * k + 1), normal(30, 4, seed=k)
        )
        for k in range(1, 200)
    ]
    error = np.std(values) / len(values) ** 0.5
    # all 80 instead of 30 training points would give 80 / 110 = 0.73
    assert abs(np.mean(values) - 0.5) <= 5 * error < 0.05


def test_nearer_to_training_of_copies():
    train, held_out = normal(400, 8), normal(100, 8, seed=1)
    assert metrics.nearer_to_training(train[:100], train[:100], held_out) == 1
    assert metrics.nearer_to_training(held_out, train, held_out) == 0
    # a copier of all: a quarter of the originals is among the n, the others count half
    copied = [metrics.nearer_to_training(train, train, held_out, seed) for seed in range(9)]
    assert np.mean(copied) == pytest.approx((1 + 100 / 400) / 2, abs=0.04)
    assert len(set(copied)) > 1 and copied[0] == metrics.nearer_to_training(
        train, train, held_out
    )
    # the smaller set may be the training set; what lies in both sets counts half
    assert metrics.nearer_to_training(train[:20], train[:20], train[:20]) == 0.5
    few = metrics.nearer_to_training(train[:20], train[:20], held_out)
    assert few == 1


def test_nearest_is_the_plain_search():
    new, train = normal(6, 1, 2, 2), normal(9, 1, 2, 2, seed=1)
    index, apart = metrics.nearest(new, train, k=3)
    for i, picture in enumerate(new):
        by_hand = [distance(picture.flatten(), other.flatten()) for other in train]
        order = sorted(range(9), key=by_hand.__getitem__)[:3]
        assert index[i].tolist() == order
        close(apart[i], [by_hand[j] for j in order])


def test_nearest_is_the_same_in_blocks():
    # more samples and pictures than a block holds, and a block that is not full
    new, train = normal(1100, 5).float(), normal(2300, 5, seed=1).float()
    train[2299], train[7] = new[1099], new[0]
    index, apart = metrics.nearest(new, train, k=2)
    whole = torch.cdist(new.double(), train.double())
    values, places = whole.topk(2, largest=False)
    assert torch.equal(index, places)
    close(apart, values, rtol=1e-6, atol=1e-6)
    assert apart[1099, 0] == 0 == apart[0, 0] and index[1099, 0] == 2299


def test_nearest_refuses_more_neighbours_than_pictures():
    with pytest.raises(ValueError, match=r"k must be an integer in 1\.\.5, got 6"):
        metrics.nearest(normal(3, 2), normal(5, 2), k=6)


def test_the_fast_distances_are_the_slow_ones():
    # offset 50: as far from 0 as makes squares and products lose digits
    x, y = 50 + normal(600, 600), 50 + normal(700, 600, seed=1)
    y[3], y[5] = x[0], x[0] + 1e-9
    fast = metrics._distances(x, y)
    slow = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    assert not torch.equal(fast, slow), "the work was too small for the fast way"
    close(fast, slow, rtol=1e-9)
    assert fast[0, 3] == 0 < fast[0, 5]
    assert metrics._distances(x, x).diagonal().eq(0).all()


def test_a_forest_cannot_tell_one_law_from_itself():
    x, y = normal(300, 6), normal(400, 6, seed=1)
    accuracy = metrics.detectability(x, y, trees=20)
    assert abs(accuracy - 0.5) <= 5 * math.sqrt(1 / (8 * 300))
    assert metrics.detectability(x, y, trees=20) == accuracy
    assert metrics.detectability(x, y, trees=20, seed=1) != accuracy


def test_a_forest_sees_a_shifted_law_as_well_as_can_be():
    # the best accuracy at a shift by m is the normal law's share below m / 2
    m = 4.0
    x, y = normal(400, 1), m + normal(400, 1, seed=1)
    best = 0.5 * (1 + math.erf(m / 2 / math.sqrt(2)))
    accuracy = metrics.detectability(x, y, trees=20)
    assert best - 0.05 < accuracy < best + 0.02
    # a set ten times larger must not make guessing pay
    few, many = normal(60, 3), normal(600, 3, seed=1)
    for pair in ((few, many), (many, few)):
        assert metrics.detectability(*pair, trees=20) < 0.75


def test_a_forest_must_not_see_grey_levels_alone():
    def real(seed):
        return torch.randint(0, 5, (250, 4), generator=torch.Generator().manual_seed(seed))

    x, y = real(0) / 2.0 - 1, real(1) / 2.0 - 1
    y = y + 0.2 * (normal(250, 4).clamp(-1, 1))  # in between, but nearest to its level
    assert metrics.detectability(x, y, trees=20) > 0.95
    rounded = metrics.detectability(x, y, levels=5, trees=20)
    assert abs(rounded - 0.5) <= 5 * math.sqrt(1 / (8 * 250))


def test_detectability_of_pictures_in_both_samples():
    x = normal(100, 4)
    assert metrics.detectability(x, x, trees=20) < 0.3
    repeated = x[:20].repeat(5, 1)
    assert metrics.detectability(normal(100, 4, seed=1), repeated, trees=20) > 0.8
    with pytest.raises(ValueError, match=r"folds must be an integer in 2\.\.3, got 5"):
        metrics.detectability(x[:3], x)


def test_rounding_to_grey_levels():
    digits = data.digits("held_out")[0]
    assert torch.equal(metrics.round_to_levels(digits, 17), digits)
    bytes_ = torch.arange(256) / 127.5 - 1
    close(metrics.round_to_levels(bytes_ + 0.003, 256), bytes_, rtol=0, atol=1e-6)
    x = torch.tensor([-3.0, -0.51, -0.49, 0.2, 0.7, 1.2])
    assert metrics.round_to_levels(x, 3).tolist() == [-1, -1, 0, 0, 1, 1]
    assert metrics.round_to_levels(x.double(), 3).dtype == torch.float64
    with pytest.raises(ValueError, match=r"levels must be an integer >= 2, got 1"):
        metrics.round_to_levels(x, 1)
    with pytest.raises(ValueError, match=r"must be floating point, got torch.uint8"):
        metrics.round_to_levels(torch.zeros(2, dtype=torch.uint8), 256)


def test_thickness_of_the_s_curve():
    flat = data.s_curve(2000, noise=0.0, standardised=False)
    assert metrics.s_curve_thickness(flat) < 1e-3
    noisy = metrics.s_curve_thickness(data.s_curve(20_000, standardised=False))
    assert noisy == pytest.approx(0.1, rel=0.03)
    scaled = metrics.s_curve_thickness(data.s_curve(20_000), data.s_curve_scale())
    assert scaled == pytest.approx(noisy, rel=1e-4)
    thin = metrics.s_curve_thickness(data.s_curve(20_000, noise=0.05, standardised=False))
    assert thin == pytest.approx(0.05, rel=0.03)


# --- the judges are judged


@pytest.fixture(scope="module")
def verdicts():
    r"""Four kinds of 300 to 1,000 digits, each judged against the 359 held out."""
    train, held_out = data.digits("train")[0], data.digits("held_out")[0]
    train = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(0))]
    flat = train.flatten(1).double()
    root = torch.linalg.cholesky(torch.cov(flat.T) + 1e-6 * torch.eye(64))
    gaussian = flat.mean(0) + normal(1000, 64) @ root.T
    # real pictures that no half of the split has seen: 700 stand for samples
    kinds = {
        "gaussian": (gaussian, train),
        "memoriser": (train[:1000], train),
        "repeated": (train[:300].repeat(4, 1, 1, 1)[:1000], train),
        "real": (train[:700], train[700:]),
    }
    table = {}
    for name, (samples, known) in kinds.items():
        precision, recall = metrics.precision_recall(held_out, samples)
        table[name] = dict(
            frechet=metrics.frechet_distance(samples, held_out),
            precision=precision,
            recall=recall,
            copying=metrics.copying_share(samples, known, held_out),
        )
    return table


def test_pixels_alone_cannot_see_a_fitted_gaussian_but_neighbours_can(verdicts):
    gaussian, real = verdicts["gaussian"], verdicts["real"]
    assert gaussian["frechet"] < 1.5 * real["frechet"]
    assert gaussian["precision"] < real["precision"] - 0.2


def test_a_memoriser_is_found_by_the_copying_share_alone(verdicts):
    memoriser, real = verdicts["memoriser"], verdicts["real"]
    assert memoriser["copying"] == pytest.approx(1, abs=1e-12)  # (1 - chance) / itself
    assert abs(real["copying"]) < 0.2
    assert abs(memoriser["precision"] - real["precision"]) < 0.1


def test_repetition_is_found_by_recall(verdicts):
    assert verdicts["repeated"]["recall"] < 0.6 * verdicts["real"]["recall"]
    assert verdicts["repeated"]["copying"] == pytest.approx(1, abs=1e-12)


def test_real_pictures_are_judged_real(verdicts):
    real = verdicts["real"]
    assert real["precision"] > 0.8 and real["recall"] > 0.8
    assert real["frechet"] < verdicts["repeated"]["frechet"]


# --- what is refused


@pytest.mark.parametrize("judge", [metrics.energy_distance, metrics.frechet_distance])
def test_bad_samples(judge):
    x = normal(5, 2)
    with pytest.raises(ValueError, match=r"of one shape, got \(5, 2\) and \(5, 3\)"):
        judge(x, normal(5, 3))
    with pytest.raises(ValueError, match=r"at least 2 examples .* \(1, 2\) and \(5, 2\)"):
        judge(x[:1], x)
    with pytest.raises(ValueError, match=r"samples must be finite, got NaN"):
        judge(x, x * math.nan)


def test_too_few_neighbours():
    with pytest.raises(ValueError, match=r"more than k = 3 examples, got 3 and 5"):
        metrics.precision_recall(normal(3, 2), normal(5, 2))


def test_pictures_count_as_flat_vectors():
    x, y = normal(6, 1, 2, 2), normal(6, 1, 2, 2, seed=1)
    flat = metrics.energy_distance(x.flatten(1), y.flatten(1))
    close(torch.tensor(metrics.energy_distance(x, y)), flat, rtol=0)
