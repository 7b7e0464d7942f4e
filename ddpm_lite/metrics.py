r"""Numbers that say how close samples are to data.

x and y are samples, (N, *event); examples are compared as flat vectors in float64.
A distance between pixels is named after them and is never called FID, which lives in
the feature space of one particular network.
"""

import math

import torch

from .data import s_curve_middle


def energy_distance(x, y):
    r"""Energy distance between two samples, unbiased: 2 E|X-Y| - E|X-X'| - E|Y-Y'|.

    x: (N, *event), y: (M, *event), N, M >= 2. Returns a float; 0 on average where both
    follow one law, so it may be slightly negative. No point is paired with itself.
    Raises ValueError for other shapes or values that are not finite.
    Szekely and Rizzo 2013, with U-statistics.
    """
    x, y = _flat(x, y)
    N, M = len(x), len(y)
    between = _distances(x, y).mean()
    within_x = _distances(x, x).sum() / (N * (N - 1))
    within_y = _distances(y, y).sum() / (M * (M - 1))
    return float(2 * between - within_x - within_y)


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

    x: (N, *event), y: (M, *event), N, M >= 2. Returns a float >= 0: the squared distance
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

    real: (N, *event), generated: (M, *event), N, M > k. An example is "among" others if
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
    precision = (cross <= radius_real[:, None]).any(0).double().mean()
    recall = (cross <= radius_generated[None, :]).any(1).double().mean()
    return float(precision), float(recall)


def copying_share(generated, train, held_out):
    r"""How far samples prefer training pictures to held-out ones: 0 learns, 1 copies.

    generated: (M, *event). train: (N, *event), held_out: (H, *event), of one law. A model
    that learned that law finds its nearest neighbour in `train` with chance N / (N + H);
    the excess over it, as a share of what is left up to 1, is returned: a float, about 0
    for learning, 1 where every sample lies next to a training picture. Ties count half.
    Raises ValueError for other shapes.
    """
    generated, train = _flat(generated, train)
    _, held_out = _flat(generated, held_out)
    to_train = _distances(generated, train).min(1).values
    to_held_out = _distances(generated, held_out).min(1).values
    nearer = (to_train < to_held_out).double() + 0.5 * (to_train == to_held_out).double()
    chance = len(train) / (len(train) + len(held_out))
    return float((nearer.mean() - chance) / (1 - chance))


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


def _flat(x, y):
    x, y = x.detach().flatten(1).double().cpu(), y.detach().flatten(1).double().cpu()
    if x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(
            "both samples must hold at least 2 examples of one shape, got "
            f"{tuple(x.shape)} and {tuple(y.shape)} when flattened"
        )
    if not (torch.isfinite(x).all() and torch.isfinite(y).all()):
        raise ValueError("samples must be finite, got NaN or infinity")
    return x, y


def _distances(x, y):
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
