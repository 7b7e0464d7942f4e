r"""Typical wrong answers to the exercises of chapter 10, each with words of its hint."""

import math
from statistics import linear_regression

import torch

from wrong import wrong


def _line(n, values):
    excess, limit = linear_regression([1 / count for count in n], values)
    return limit, excess


@wrong("10.1", "is the largest n that was measured infinite")
def takes_the_largest_set(n, values, most):
    return dict(zip(n, values, strict=True))[max(n)], math.ceil(_line(n, values)[1] / most)


@wrong("10.1", "belong to any n")
def averages_them(n, values, most):
    return sum(values) / len(values), math.ceil(_line(n, values)[1] / most)


@wrong("10.1", "fall as 1/sqrt(n), or its error")
def falls_like_an_error(n, values, most):
    c, limit = linear_regression([1 / math.sqrt(count) for count in n], values)
    return limit, math.ceil((c / most) ** 2)


@wrong("10.1", "along what does the distance fall")
def a_line_in_n(n, values, most):
    c, limit = linear_regression(n, values)
    return limit, math.ceil(abs(limit / c))


@wrong("10.1", "the excess for n = 1")
def returns_the_slope(n, values, most):
    _, excess = _line(n, values)
    return excess, math.ceil(excess / most)


@wrong("10.1", "say nothing")
def from_the_ends_alone(n, values, most):
    both = sorted(zip(n, values, strict=True))
    (a, y_a), (b, y_b) = both[0], both[-1]
    excess = (y_a - y_b) / (1 / a - 1 / b)
    return y_b - excess / b, math.ceil(excess / most)


@wrong("10.1", "say nothing")
def from_the_first_and_the_last(n, values, most):
    excess = (values[0] - values[-1]) / (1 / n[0] - 1 / n[-1])
    return values[0] - excess / n[0], math.ceil(excess / most)


@wrong("10.1", "small enough, or just too large")
def rounds_down(n, values, most):
    limit, excess = _line(n, values)
    return limit, int(excess / most)


@wrong("10.1", "a part of a picture")
def does_not_round(n, values, most):
    limit, excess = _line(n, values)
    return limit, excess / most


@wrong("10.1", "one sample less be enough")
def one_more_to_be_sure(n, values, most):
    limit, excess = _line(n, values)
    return limit, math.ceil(excess / most) + 1


@wrong("10.1", "which n has the excess that you take away")
def takes_the_excess_of_one_set(n, values, most):
    _, excess = _line(n, values)
    value = dict(zip(n, values, strict=True))[max(n)]
    return value - excess / min(n), math.ceil(excess / most)


def _expected(eigenvalues, n, m, share=None, power=1, diagonal=1, beside=1, half=0.5):
    alive = eigenvalues[eigenvalues > 0]
    a, b = alive[:, None], alive[None]
    table = a * b / (a**power + b**power)
    own = table.diagonal().sum()
    total = half * (beside * (table.sum() - own) + (1 + diagonal) * own)
    share = 1 / n + 1 / m if share is None else share
    return share * float(alive.sum()), share * float(total)


@wrong("10.2", "one or both")
def one_set_alone(eigenvalues, n, m):
    return _expected(eigenvalues, n, m, share=1 / n)


@wrong("10.2", "or two")
def one_large_set(eigenvalues, n, m):
    return _expected(eigenvalues, n, m, share=2 / (n + m))


@wrong("10.2", "errors of two sets cancel")
def the_errors_cancel(eigenvalues, n, m):
    return _expected(eigenvalues, n, m, share=1 / n - 1 / m)


@wrong("10.2", "how large is the variance of E for i = j")
def forgets_the_diagonal(eigenvalues, n, m):
    return _expected(eigenvalues, n, m, diagonal=0)


@wrong("10.2", "do errors beside the diagonal")
def one_axis_at_a_time(eigenvalues, n, m):
    return _expected(eigenvalues, n, m, beside=0)


@wrong("10.2", "both orders of a pair")
def forgets_the_half(eigenvalues, n, m):
    return _expected(eigenvalues, n, m, half=1)


@wrong("10.2", "variances or deviations that stand below")
def divides_by_deviations(eigenvalues, n, m):
    return _expected(eigenvalues, n, m, power=0.5)


@wrong("10.2", "what stands below the squares")
def divides_by_nothing(eigenvalues, n, m):
    return _expected(eigenvalues, n, m, power=0, half=1)


@wrong("10.2", "the variance of the data 1")
def the_formula_of_white_data(eigenvalues, n, m):
    D, share = len(eigenvalues), 1 / n + 1 / m
    return share * float(eigenvalues.sum()), share * D * (D + 1) / 4


@wrong("10.2", "a mean over axes")
def averages_over_axes(eigenvalues, n, m):
    means, covariances = _expected(eigenvalues, n, m)
    return means / len(eigenvalues), covariances / len(eigenvalues)


@wrong("10.2", "should be finite")
def divides_zero_by_zero(eigenvalues, n, m):
    a, b = eigenvalues[:, None], eigenvalues[None]
    table, share = a * b / (a + b), 1 / n + 1 / m
    return share * float(eigenvalues.sum()), share * float(table.sum() + table.trace()) / 2


@wrong("10.2", "the sum of both parts")
def adds_the_means_again(eigenvalues, n, m):
    means, covariances = _expected(eigenvalues, n, m)
    return means, means + covariances


@wrong("10.2", "a variance, or a deviation")
def adds_deviations(eigenvalues, n, m):
    _, covariances = _expected(eigenvalues, n, m)
    return (1 / n + 1 / m) * float(eigenvalues.sqrt().sum()), covariances


def _kid(
    x, y, blocks, own="different", power=3, D=None, one=1, cross=2, std=True, cut=True
):
    def kernel(a, b):
        return (a @ b.T / (D or a.shape[1]) + one) ** power

    def among(a):
        n, table = len(a), kernel(a, a)
        if own == "all":
            return table.mean()
        by = n * n if own == "too many" else n * (n - 1)
        return (table.sum() - table.trace()) / by

    x, y = x.double(), y.double()
    pieces = [z[: len(z) // blocks * blocks].chunk(blocks) for z in (x, y)]
    pairs = zip(*pieces, strict=True) if cut else [(x, y)] * blocks
    found = [among(a) + among(b) - cross * kernel(a, b).mean() for a, b in pairs]
    found = torch.stack(found)
    return float(found.mean()), float(found.std(unbiased=std)) / math.sqrt(blocks)


@wrong("10.3", "is a picture paired with itself")
def keeps_the_diagonal(x, y, blocks):
    return _kid(x, y, blocks, own="all")


@wrong("10.3", "how many pairs of different pictures")
def divides_by_all_pairs(x, y, blocks):
    return _kid(x, y, blocks, own="too many")


@wrong("10.3", "by what is the inner product divided")
def does_not_divide_by_D(x, y, blocks):
    return _kid(x, y, blocks, D=1)


@wrong("10.3", "which power has the kernel")
def squares(x, y, blocks):
    return _kid(x, y, blocks, power=2)


@wrong("10.3", "what is added to the product")
def without_the_one(x, y, blocks):
    return _kid(x, y, blocks, one=0)


@wrong("10.3", "how often does a pair of x and y count")
def counts_across_once(x, y, blocks):
    return _kid(x, y, blocks, cross=1)


@wrong("10.3", "the whole sets, or parts")
def whole_sets(x, y, blocks):
    return _kid(x, y, blocks, cut=False)


@wrong("10.3", "which pictures form a part")
def every_so_many(x, y, blocks):
    x, y = (z[: len(z) // blocks * blocks] for z in (x, y))
    x, y = (torch.cat([z[k::blocks] for k in range(blocks)]) for z in (x, y))
    return _kid(x, y, blocks)


@wrong("10.3", "the scatter of one part")
def the_deviation_of_the_parts(x, y, blocks):
    value, error = _kid(x, y, blocks)
    return value, error * math.sqrt(blocks)


@wrong("10.3", "a variance, or a deviation")
def the_variance_of_the_mean(x, y, blocks):
    value, error = _kid(x, y, blocks)
    return value, error**2


@wrong("10.3", "where the mean is estimated, too")
def divides_by_the_number(x, y, blocks):
    return _kid(x, y, blocks, std=False)


@wrong("10.3", "in which dtype are the products added")
def as_they_come(x, y, blocks):
    found = []
    pieces = [z[: len(z) // blocks * blocks].chunk(blocks) for z in (x, y)]
    for a, b in zip(*pieces, strict=True):
        p, q, r = ((u @ v.T / a.shape[1] + 1) ** 3 for u, v in ((a, a), (b, b), (a, b)))
        n, m = len(a), len(b)
        own = (p.sum() - p.trace()) / (n * n - n) + (q.sum() - q.trace()) / (m * m - m)
        found.append(own - 2 * r.mean())
    found = torch.stack(found)
    return float(found.mean()), float(found.std() / math.sqrt(blocks))


@wrong("10.3", "in which dtype are the products added")
def widens_the_table_alone(x, y, blocks):
    found = []
    pieces = [z[: len(z) // blocks * blocks].chunk(blocks) for z in (x, y)]
    for a, b in zip(*pieces, strict=True):
        tables = ((u @ v.T).double() for u, v in ((a, a), (b, b), (a, b)))
        p, q, r = ((table / a.shape[1] + 1) ** 3 for table in tables)
        n, m = len(a), len(b)
        own = (p.sum() - p.trace()) / (n * n - n) + (q.sum() - q.trace()) / (m * m - m)
        found.append(own - 2 * r.mean())
    found = torch.stack(found)
    return float(found.mean()), float(found.std() / math.sqrt(blocks))


def _inside(real, generated, k, neighbour=1, power=1, balls=None):
    real, generated = real.flatten(1).double(), generated.flatten(1).double()
    centres = real if balls is None else generated
    own = torch.cdist(centres, centres).sort(1).values
    radius = own[:, min(k + neighbour - 1, len(own) - 1)] ** power
    return torch.cdist(real, generated) <= (radius[:, None] if balls is None else radius)


def _both(inside, k):
    density = float(inside.sum()) / (k * inside.shape[1])
    return density, float(inside.any(1).double().mean())


@wrong("10.4", "is a picture its own neighbour")
def counts_itself(real, generated, k):
    return _both(_inside(real, generated, k, neighbour=0), k)


@wrong("10.4", "to the k-th other picture")
def one_neighbour_too_far(real, generated, k):
    return _both(_inside(real, generated, k, neighbour=2), k)


@wrong("10.4", "how many balls does a place lie in")
def does_not_divide_by_k(real, generated, k):
    return _both(_inside(real, generated, k), 1)


@wrong("10.4", "how many, or whether")
def precision(real, generated, k):
    inside = _inside(real, generated, k)
    return float(inside.any(0).double().mean()), _both(inside, k)[1]


@wrong("10.4", "by the number of which pictures is it divided")
def divides_by_the_real_ones(real, generated, k):
    inside = _inside(real, generated, k)
    return float(inside.sum()) / (k * len(real)), _both(inside, k)[1]


@wrong("10.4", "may it be larger than 1")
def cuts_density_off(real, generated, k):
    density, coverage = _both(_inside(real, generated, k), k)
    return min(density, 1.0), coverage


@wrong("10.4", "samples in balls, or balls with samples")
def coverage_of_samples(real, generated, k):
    inside = _inside(real, generated, k)
    return _both(inside, k)[0], float(inside.any(0).double().mean())


@wrong("10.4", "whose balls are they")
def balls_of_samples(real, generated, k):
    return _both(_inside(real, generated, min(k, len(generated) - 1), balls="samples"), k)


@wrong("10.4", "a number")
def counts_balls(real, generated, k):
    inside = _inside(real, generated, k)
    return _both(inside, k)[0], float(inside.any(1).sum())


@wrong("10.4", "a square")
def a_squared_radius(real, generated, k):
    return _both(_inside(real, generated, k, power=2), k)


@wrong("10.4", "your function raised")
def points_alone(real, generated, k):
    inside = (
        torch.cdist(real, generated) <= torch.cdist(real, real).sort(1).values[:, k, None]
    )
    return float(inside.sum()) / (k * len(generated)), float(inside.any(1).float().mean())


def _near(pictures, train, skip=0):
    pictures, train = pictures.flatten(1).double(), train.flatten(1).double()
    near = torch.cdist(pictures, train).sort(1).values
    return near[:, skip], near[:, skip + 1]


def _ratio(pictures, train, skip=0):
    first, second = _near(pictures, train, skip)
    return first / second


def _cut(usual, level, step=0):
    usual = usual.sort().values
    return usual[max(0, min(len(usual) - 1, math.floor(level * len(usual)) + step))]


def _share(ratios, threshold):
    return float(threshold), float((ratios < threshold).double().mean())


@wrong("10.5", "does a fixed threshold know")
def always_a_third(samples, train, held_out, level):
    return _share(_ratio(samples, train), 1 / 3)


@wrong("10.5", "a distance, or a ratio of two")
def distances_alone(samples, train, held_out, level):
    usual, found = _near(held_out, train)[0], _near(samples, train)[0]
    return _share(found, _cut(usual, level))


@wrong("10.5", "is a distance a square")
def squared_distances(samples, train, held_out, level):
    usual, found = _ratio(held_out, train) ** 2, _ratio(samples, train) ** 2
    return _share(found, _cut(usual, level))


@wrong("10.5", "whose ratios say what is usual")
def the_samples_own_ratios(samples, train, held_out, level):
    return _share(_ratio(samples, train), _cut(_ratio(samples, train), level))


@wrong("10.5", "whose ratios say what is usual")
def the_training_sets_own_ratios(samples, train, held_out, level):
    return _share(_ratio(samples, train), _cut(_ratio(train, train, 1), level))


@wrong("10.5", "with which set are held-out pictures compared")
def held_out_among_themselves(samples, train, held_out, level):
    return _share(_ratio(samples, train), _cut(_ratio(held_out, held_out, 1), level))


@wrong("10.5", "or between two")
def an_interpolated_quantile(samples, train, held_out, level):
    return _share(_ratio(samples, train), _ratio(held_out, train).quantile(level))


@wrong("10.5", "could the threshold be higher")
def one_too_low(samples, train, held_out, level):
    return _share(_ratio(samples, train), _cut(_ratio(held_out, train), level, -1))


@wrong("10.5", "how large is the share of held-out pictures below your threshold")
def rounds_up(samples, train, held_out, level):
    usual = _ratio(held_out, train).sort().values
    place = min(len(usual) - 1, math.ceil(level * len(usual)))
    return _share(_ratio(samples, train), usual[place])


@wrong("10.5", "below, or above the threshold")
def from_above(samples, train, held_out, level):
    return _share(_ratio(samples, train), _cut(_ratio(held_out, train), 1 - level, -1))


@wrong("10.5", "a share, or a number")
def counts_them(samples, train, held_out, level):
    threshold = _cut(_ratio(held_out, train), level)
    return float(threshold), int((_ratio(samples, train) < threshold).sum())


@wrong("10.5", "nearer to its original than usual")
def above_the_threshold(samples, train, held_out, level):
    threshold = _cut(_ratio(held_out, train), level)
    return float(threshold), float((_ratio(samples, train) >= threshold).double().mean())


@wrong("10.5", "what is usual to be taken away")
def takes_the_level_away(samples, train, held_out, level):
    threshold, share = _share(_ratio(samples, train), _cut(_ratio(held_out, train), level))
    return threshold, max(0.0, share - level)


@wrong("10.5", "what was the threshold for")
def then_forgets_it(samples, train, held_out, level):
    threshold = _cut(_ratio(held_out, train), level)
    return float(threshold), float((_ratio(samples, train) < 1 / 3).double().mean())


# Slips of the solutions that are right all the same, each with the proof.
EQUIVALENT = {}


@wrong("10.1", "small enough, or just too large")
def rounds_to_the_nearest(n, values, most):
    limit, excess = _line(n, values)
    return limit, round(excess / most)


@wrong("10.5", "how large is the share of held-out pictures below your threshold")
def the_nearest_quantile(samples, train, held_out, level):
    threshold = _ratio(held_out, train).quantile(level, interpolation="nearest")
    return _share(_ratio(samples, train), threshold)


@wrong("10.5", "could the threshold be higher")
def the_lower_quantile(samples, train, held_out, level):
    threshold = _ratio(held_out, train).quantile(level, interpolation="lower")
    return _share(_ratio(samples, train), threshold)


def _equal(number, before, proof, *afters):
    EQUIVALENT.update({(number, before, after): proof for after in afters})


_equal(
    "10.2",
    "return share * float(alive.sum()), share * float(covariances)",
    "what is left out of `alive` is 0 and adds nothing to a sum",
    "return share * float(eigenvalues.sum()), share * float(covariances)",
)


_equal(
    "10.3",
    "found[k] = among(a) + among(b) - 2 * kernel(a, b).mean()",
    "the kernel is symmetric: the table is the other one turned, with the same mean",
    "found[k] = among(a) + among(b) - 2 * kernel(b, a).mean()",
)
KERNEL = "return (a @ b.T / a.shape[1] + 1) ** 3"
_equal(
    "10.3",
    KERNEL,
    "all features have the length D, those of x and of y, and of each part of them",
    KERNEL.replace("a.shape", "x.shape"),
    KERNEL.replace("a.shape", "y.shape"),
    KERNEL.replace("a.shape", "b.shape"),
)
PAIRS = "return (table.sum() - table.trace()) / (len(a) * (len(a) - 1))"
_equal(
    "10.3",
    PAIRS,
    "the table of all pairs of `a` has as many rows as `a`",
    PAIRS.replace("(len(a) *", "(len(table) *"),
    PAIRS.replace("(len(a) -", "(len(table) -"),
)
_equal(
    "10.3",
    "found = torch.zeros(blocks, dtype=torch.float64)",
    "each of its entries is written before it is read",
    "found = torch.ones(blocks, dtype=torch.float64)",
)
_equal(
    "10.3",
    "for k in range(blocks):",
    "each part has its own entry; their mean and deviation know no order",
    "for k in list(range(blocks))[::-1]:",
)
PARTS = "a, b = x[k * n : (k + 1) * n].double(), y[k * m : (k + 1) * m].double()"
_equal(
    "10.3",
    PARTS,
    "KID is the same with both sets exchanged: the kernel is symmetric, and the sum too",
    "(b, a) = x[k * n : (k + 1) * n].double(), y[k * m : (k + 1) * m].double()",
    "a, b = (y[k * m:(k + 1) * m].double(), x[k * n:(k + 1) * n].double())",
)
_equal(
    "10.5",
    "nearest = distance.topk(2, largest=False).values",
    "they come in order, only the first two are used, and there are 20 pictures or more",
    "nearest = distance.topk(3, largest=False).values",
    "nearest = distance.topk(4, largest=False).values",
)
_equal(
    "10.5",
    "return float(threshold), float((ratios(samples) < threshold).double().mean())",
    "it is another share only where a sample has just the ratio of one held-out picture, "
    "which samples of continuous laws have with probability 0",
    "return float(threshold), float((ratios(samples) <= threshold).double().mean())",
)
