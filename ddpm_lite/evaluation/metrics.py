r"""Numbers that say how close samples are to data.

x and y are samples, (N, *shape); examples are compared as flat vectors in float64.
A distance between pixels is named after them and is never called FID, which lives in
the feature space of one particular network.
"""

import math

import torch

from ..checks import check_integer
from ..data.points import s_curve_middle
from ..seeds import generator_for

_NEARER, _FOREST = 100, 101  # keeps the random choices of different judges apart


def energy_distance(x, y):
    r"""Energy distance between two samples, unbiased: 2 E|X-Y| - E|X-X'| - E|Y-Y'|.

    x: (N, *shape), y: (M, *shape), N, M >= 2. Returns a float; 0 on average where both
    follow one law, so it may be slightly negative. No point is paired with itself.
    Raises ValueError for other shapes or values that are not finite.
    Szekely and Rizzo 2013, with U-statistics.
    """
    x, y = _flat(x, y)
    N, M = len(x), len(y)
    across = _distances(x, y).mean()
    within_x = _distances(x, x).sum() / (N * (N - 1))
    within_y = _distances(y, y).sum() / (M * (M - 1))
    return float(2 * across - within_x - within_y)


def mean_energy_distance(x, y, n=2000):
    r"""Energy distance as the mean over disjoint blocks of n, with its standard error.

    x, y: equally many examples, at least 2 n; every block of x meets its own of y.
    Returns (mean, standard error). Raises ValueError for fewer or unequal examples.
    """
    if len(x) != len(y) or len(x) < 2 * n:
        raise ValueError(
            f"x and y must hold equally many examples, at least {2 * n}, got {len(x)} "
            f"and {len(y)}"
        )
    blocks = range(len(x) // n)
    values = [energy_distance(x[k * n : k * n + n], y[k * n : k * n + n]) for k in blocks]
    values = torch.tensor(values, dtype=torch.float64)
    return float(values.mean()), float(values.std() / math.sqrt(len(values)))


def frechet_distance(x, y):
    r"""Squared Frechet distance between the Gaussians fitted to two samples.

    x: (N, *shape), y: (M, *shape), N, M >= 2. Returns a float >= 0: the squared distance
    of the means plus tr(S_x + S_y - 2 (S_x S_y)^(1/2)). Applied to pixels this is the
    project's `fd_pixels`. Raises ValueError for other shapes or values not finite.
    Dowson and Landau 1982.
    """
    x, y = _flat(x, y)
    S_x, S_y = torch.cov(x.T, correction=1), torch.cov(y.T, correction=1)
    values, axes = torch.linalg.eigh(S_x.reshape(x.shape[1], -1))
    root = axes * values.clamp(min=0).sqrt() @ axes.T
    cross = torch.linalg.eigvalsh(root @ S_y.reshape(x.shape[1], -1) @ root)
    shift = (x.mean(0) - y.mean(0)).square().sum()
    traces = x.var(0).sum() + y.var(0).sum()
    return float(shift + traces - 2 * cross.clamp(min=0).sqrt().sum())


def precision_recall(real, generated, k=3):
    r"""Share of generated examples among the real ones, and of real among generated.

    real: (N, *shape), generated: (M, *shape), N, M > k. An example is "among" others if
    it is no farther from one of them than that one's k-th neighbour of its own kind.
    Returns (precision, recall), both in [0, 1]. Raises ValueError for other shapes.
    Kynkaanniemi et al. 2019 (arXiv 1904.06991), Eq. 1 and 2.
    """
    real, generated = _flat(real, generated)
    if min(len(real), len(generated)) <= k:
        raise ValueError(
            f"both samples must hold more than k = {k} examples, got {len(real)} and "
            f"{len(generated)}"
        )
    cross = _distances(real, generated)  # (N, M)
    radius_real = _distances(real, real).kthvalue(k + 1, dim=1).values  # itself is first
    radius_generated = _distances(generated, generated).kthvalue(k + 1, dim=1).values
    slack = 1 + 1e-9  # a copy of the k-th neighbour is as far as it, up to rounding
    precision = (cross <= slack * radius_real[:, None]).any(0).double().mean()
    recall = (cross <= slack * radius_generated[None, :]).any(1).double().mean()
    return float(precision), float(recall)


def copying_share(generated, train, held_out):
    r"""How far samples prefer training pictures to held-out ones: 0 learns, 1 copies.

    generated: (M, *shape). train: (N, *shape), held_out: (H, *shape), of one law. A model
    that learned that law finds its nearest neighbour in `train` with chance N / (N + H);
    the excess over it, as a share of what is left up to 1, is returned: a float, about 0
    for learning, 1 where every sample lies next to a training picture. Ties count half.
    Raises ValueError for other shapes.
    """
    nearer = _nearer(generated, train, held_out)
    chance = len(train) / (len(train) + len(held_out))
    return float((nearer.mean() - chance) / (1 - chance))


def nearer_to_training(generated, train, held_out, seed=0):
    r"""Share of samples nearer to n training pictures than to n held-out ones.

    generated: (M, *shape). train: (N, *shape), held_out: (H, *shape), of one law; n is
    the smaller of N and H, and n of each are chosen by `seed`. Returns a float: about 0.5
    for learning; ties count half. 1 is copying of those n; a model that copies all N
    alike scores (1 + n / N) / 2, since N - n of its originals are not among the n.
    `copying_share` compares with all N and rescales by the chance N / (N + H), so it is
    1 for every copier; this one needs no rescaling. With M = 700 samples of the digits'
    own law and n = 359 it scatters by 0.02 around 0.5, and the share by 0.06 around 0.
    Raises ValueError for other shapes.
    """
    n = min(len(train), len(held_out))
    generator = generator_for(_NEARER, seed)
    train, held_out = (_some(x, n, generator) for x in (train, held_out))
    return float(_nearer(generated, train, held_out).mean())


def nearest(generated, train, k=1):
    r"""Find the k training pictures that are nearest to each sample.

    generated: (M, *shape). train: (N, *shape), N >= k. Returns index, int64 (M, k), into
    train, and distance, float64 (M, k), Euclidean and the smallest first. Of equally near
    ones any may come first. Works in blocks: beside its arguments it needs about 300 MB
    for 50,000 pictures of 3 x 32 x 32. Raises ValueError for other shapes.
    """
    generated, train = _checked(generated, train)
    check_integer("k", k, 1, len(train))
    found = []
    for samples in generated.split(500):
        distance = samples.new_empty(len(samples), 0, dtype=torch.float64)
        index = torch.empty_like(distance, dtype=torch.int64)
        for start in range(0, len(train), 1000):
            new = _distances(samples.double(), train[start : start + 1000].double())
            distance = torch.cat([distance, new], 1)
            numbers = torch.arange(start, start + new.shape[1]).expand_as(new)
            index = torch.cat([index, numbers], 1)
            distance, place = distance.topk(min(k, distance.shape[1]), largest=False)
            index = index.gather(1, place)
        found.append((index, distance))
    index, distance = zip(*found, strict=True)
    return torch.cat(index), torch.cat(distance)


def detectability(real, generated, levels=None, trees=200, folds=5, seed=0):
    r"""Accuracy with which a random forest tells real pictures from generated ones.

    real: (N, *shape), generated: (M, *shape); n = min(N, M) of each are chosen by `seed`,
    so that guessing scores 0.5. levels: both are first rounded to so many grey levels,
    as `round_to_levels` does; without it a forest may see nothing but grey levels that
    real pictures do not have (the digits have 17). The 2 n flat pictures are
    split into `folds` parts with both kinds alike in each; a scikit-learn forest of
    `trees` trees, its other settings the defaults, learns from all parts but one and
    judges that one. Returns the share judged rightly, a float: 0.5 where it cannot tell,
    1 where it always can, with a standard error of about sqrt(1 / (8 n)) at 0.5.
    Pictures that are in both samples push it below 0.5, repetition among the generated
    above. Raises ValueError for other shapes, or fewer pictures than folds.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    real, generated = _checked(real, generated)
    check_integer("trees", trees, 1)
    n = min(len(real), len(generated))
    check_integer("folds", folds, 2, n)
    generator = generator_for(_FOREST, seed)
    pictures = torch.cat([_some(x, n, generator).float() for x in (real, generated)])
    if levels is not None:
        pictures = round_to_levels(pictures, levels)
    kind = torch.arange(2 * n) >= n
    forest = RandomForestClassifier(trees, random_state=seed)
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    judged = cross_val_predict(forest, pictures.numpy(), kind.numpy(), cv=parts)
    return float((judged == kind.numpy()).mean())


def round_to_levels(pictures, levels):
    r"""Round pictures to equally spaced grey levels in [-1, 1], as a file would.

    pictures: floating point, any shape. levels: >= 2; 256 for bytes. Values outside
    [-1, 1] become -1 or 1. Returns the same shape and dtype.
    Raises ValueError for integers, or fewer levels.
    """
    check_integer("levels", levels, 2)
    if not pictures.is_floating_point():
        raise ValueError(f"pictures must be floating point, got {pictures.dtype}")
    grey = ((pictures.clamp(-1, 1) + 1) * ((levels - 1) / 2)).round()
    return grey * (2 / (levels - 1)) - 1


def s_curve_thickness(points, scale=(1.0, 1.0)):
    r"""Root mean square distance of points from the noise-free S-curve.

    points: (N, 2). scale: what each axis is multiplied by to get scikit-learn's own
    unit: (1, 1) for that unit, `data.s_curve_scale()` for standardised points.
    Returns a float in scikit-learn's unit, about 0.1 for data with noise 0.1: a number
    that the energy distance hardly sees. Raises ValueError for another shape.
    """
    scale = torch.as_tensor(scale, dtype=torch.float64)
    points, curve = _flat(points.double() * scale, s_curve_middle(4000))
    nearest = torch.cat([torch.cdist(p, curve).min(1).values for p in points.split(2000)])
    return float(nearest.square().mean().sqrt())


def _nearer(generated, train, held_out):
    r"""1 for each sample that is nearer to `train`, 0 for `held_out`, 0.5 for a tie."""
    to_train = nearest(generated, train)[1][:, 0]
    to_held_out = nearest(generated, held_out)[1][:, 0]
    return (to_train < to_held_out).double() + 0.5 * (to_train == to_held_out).double()


def _some(x, n, generator):
    return x[torch.randperm(len(x), generator=generator)[:n].to(x.device)]


def _checked(x, y):
    x, y = x.detach().flatten(1).cpu(), y.detach().flatten(1).cpu()
    if x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(
            "both samples must hold at least 2 examples of one shape, got "
            f"{tuple(x.shape)} and {tuple(y.shape)} when flattened"
        )
    blocks = (*x.split(1000), *y.split(1000))  # a whole data set would be copied twice
    if not all(torch.isfinite(block).all() for block in blocks):
        raise ValueError("samples must be finite, got NaN or infinity")
    return x, y


def _flat(x, y):
    x, y = _checked(x, y)
    return x.double(), y.double()


def _distances(x, y):
    r"""Euclidean distances (N, M) between the rows of x and of y, float64.

    Differences are exact but slow: for much work |x|^2 + |y|^2 - 2 x.y takes a tenth of
    the time. It loses digits where rows are near, so those are done again: relative
    error at most about 1e-10 everywhere, and copies are at distance 0.
    """
    if len(x) * y.numel() <= 2e8:  # a fifth of a second
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    distances = torch.cdist(x, y, compute_mode="use_mm_for_euclid_dist")
    largest = max(x.norm(dim=1).max(), y.norm(dim=1).max())
    for near in (distances < 1e-3 * largest).nonzero().split(2000):
        i, j = near.unbind(1)
        distances[i, j] = (x[i] - y[j]).norm(dim=1)
    return distances
