r"""Numbers that say how close samples are to data.

x and y are samples, (N, *shape), or a `PictureSet`, which is scaled to [-1, 1] a block at
a time: a set that lies in a file is never in memory as a whole. Examples are compared as
flat vectors in float64.
A distance between pixels is named after them and is never called FID, which lives in
the feature space of one particular network.
"""

import math

import torch

from ..checks import check_integer
from ..data.points import s_curve_middle
from ..seeds import generator_for

_NEARER, _FOREST = 100, 101  # keeps the random choices of different judges apart
_BLOCK = 2**23  # numbers that are float64 at once: 64 MB


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
    x, y = _checked(x, y)
    mean_x, mean_y = _mean(x), _mean(y)
    if min(len(x), len(y)) < len(mean_x):
        # the eigenvalues of S_x S_y are the squares of these singular values
        a, b = _across(x, y, lambda p, q: (p - mean_x) @ (q - mean_y).T), len(y) - 1
        spread = torch.linalg.svdvals(a).sum() / math.sqrt((len(x) - 1) * b)
        traces = _variance(x, mean_x).sum() + _variance(y, mean_y).sum()
    else:
        S_x, S_y = _covariance(x, mean_x), _covariance(y, mean_y)
        values, axes = torch.linalg.eigh(S_x)
        root = axes * values.clamp(min=0).sqrt() @ axes.T
        cross = torch.linalg.eigvalsh(root @ S_y @ root)
        spread = cross.clamp(min=0).sqrt().sum()
        traces = S_x.trace() + S_y.trace()
    shift = (mean_x - mean_y).square().sum()
    return max(0.0, float(shift + traces - 2 * spread))


def kernel_distance(x, y):
    r"""Kernel distance between two samples, unbiased: the squared MMD of a cubic kernel.

    x: (N, *shape), y: (M, *shape), N, M >= 2, flat vectors of d numbers; the kernel is
    (x.y / d + 1)^3. Returns a float; 0 on average where both follow one law, so it may be
    negative. No point is paired with itself. It compares moments up to the third and is
    blind to all others. In the features of Inception this is the KID. Raises ValueError
    for other shapes or values that are not finite.
    Gretton et al. 2012, Lemma 6; the kernel of Binkowski et al. 2018 (arXiv 1801.01401),
    section 4.
    """
    x, y = _checked(x, y)
    d = _width(x)

    def total(a, b):
        pairs = ((p @ q.T / d + 1) ** 3 for _, p in _blocks(a) for _, q in _blocks(b))
        return sum(float(some.sum()) for some in pairs)

    def within(a):
        itself = (((p.square().sum(1) / d + 1) ** 3).sum() for _, p in _blocks(a))
        return (total(a, a) - float(sum(itself))) / (len(a) * (len(a) - 1))

    return within(x) + within(y) - 2 * total(x, y) / (len(x) * len(y))


def precision_recall(real, generated, k=3):
    r"""Share of generated examples among the real ones, and of real among generated.

    real: (N, *shape), generated: (M, *shape), N, M > k. An example is "among" others if
    it is no farther from one of them than that one's k-th neighbour of its own kind.
    Returns (precision, recall), both in [0, 1]. Raises ValueError for other shapes.
    Kynkaanniemi et al. 2019 (arXiv 1904.06991), Eq. 1 and 2.
    """
    real, generated = _checked(real, generated)
    if min(len(real), len(generated)) <= k:
        raise ValueError(
            f"both samples must hold more than k = {k} examples, got {len(real)} and "
            f"{len(generated)}"
        )
    radius = {  # itself is the first neighbour
        name: nearest(x, x, k + 1)[1][:, k]
        for name, x in (("real", real), ("generated", generated))
    }
    precision = _among(generated, real, radius["real"])
    recall = _among(real, generated, radius["generated"])
    return float(precision.double().mean()), float(recall.double().mean())


def copying_share(generated, train, held_out):
    r"""How far samples prefer training pictures to held-out ones: 0 learns, 1 copies.

    generated: (M, *shape). train: (N, *shape), held_out: (H, *shape), of one law. A model
    that learned that law finds its nearest neighbour in `train` with chance N / (N + H);
    the excess over it, as a share of what is left up to 1, is returned: a float, about 0
    for learning, 1 where every sample lies next to a training picture. Ties count half.
    Raises ValueError for other shapes.
    """
    return copying_and_error(generated, train, held_out)[0]


def copying_and_error(generated, train, held_out):
    r"""`copying_share` and its standard error where nothing was copied, two floats.

    If nothing was, which of the N + H real pictures were trained on is chance. Were they
    drawn anew, the share would scatter by the error, which is exact: with w_j the share of
    samples whose nearest picture is j, T = N + H and h = H / T, the samples' vote for the
    held-out ones has variance h (1 - h) T / (T - 1) (sum w_j^2 - 1 / T). So it is large
    where all samples lie next to a few pictures, as noise does; it is at least about
    sqrt((1 - h) (1 / (h M) + 1 / H)).
    """
    vote, error = _vote(generated, train, held_out)
    chance = len(train) / (len(train) + len(held_out))
    return (vote - chance) / (1 - chance), error / (1 - chance)


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
    return nearer_and_error(generated, train, held_out, seed)[0]


def nearer_and_error(generated, train, held_out, seed=0):
    r"""`nearer_to_training` and its standard error, as in `copying_and_error`."""
    n = min(len(train), len(held_out))
    generator = generator_for(_NEARER, seed)
    train, held_out = (_some(x, n, generator) for x in (train, held_out))
    return _vote(generated, train, held_out)


def nearest(generated, train, k=1):
    r"""Find the k training pictures that are nearest to each sample.

    generated: (M, *shape). train: (N, *shape), N >= k. Returns index, int64 (M, k), into
    train, and distance, float64 (M, k), Euclidean and the smallest first. Of equally near
    ones any may come first. Works in blocks: beside its arguments it needs about 300 MB
    for 50,000 pictures of 3 x 32 x 32. Raises ValueError for other shapes.
    """
    generated, train = _checked(generated, train, least=1)
    check_integer("k", k, 1, len(train))
    found = []
    for _, samples in _blocks(generated, 500):
        distance = samples.new_empty(len(samples), 0)
        index = torch.empty_like(distance, dtype=torch.int64)
        for place, others in _blocks(train):
            new = _distances(samples, others)
            distance = torch.cat([distance, new], 1)
            numbers = torch.arange(place.start, place.stop).expand_as(new)
            index = torch.cat([index, numbers], 1)
            distance, best = distance.topk(min(k, distance.shape[1]), largest=False)
            index = index.gather(1, best)
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
    parts = [_some(x, n, generator).flatten(1).float() for x in (real, generated)]
    pictures = torch.cat(parts)
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


def _vote(generated, train, held_out):
    r"""Share of samples nearer to `train`, ties half, and its error by chance alone."""
    (known, near), (aside, far) = (nearest(generated, x) for x in (train, held_out))
    vote = float(((near < far).double() + 0.5 * (near == far).double()).mean())
    T, h = len(train) + len(held_out), len(held_out) / (len(train) + len(held_out))
    place = torch.where(near <= far, known, len(train) + aside).flatten()
    spread = float((place.bincount().double() / len(place)).square().sum()) - 1 / T
    return vote, math.sqrt(max(0.0, h * (1 - h) * T / (T - 1) * spread))


def _among(x, y, radius):
    r"""Whether each of x is no farther from one of y than that one's radius, (len(x),)."""
    reach = (1 + 1e-9) * radius  # a copy of the k-th neighbour is as far, up to rounding
    found = torch.zeros(len(x), dtype=torch.bool)
    for here, some in _blocks(x, 500):
        for there, others in _blocks(y):
            found[here] |= (_distances(some, others) <= reach[there]).any(1)
    return found


# --- sets of pictures, a block at a time


def chosen(x, index):
    r"""The examples at an index, float32 or as they are: of a tensor or a PictureSet."""
    return x[index.to(x.device)] if isinstance(x, torch.Tensor) else x.to_float(index)


def _some(x, n, generator):
    return chosen(x, torch.randperm(len(x), generator=generator)[:n])


def _blocks(x, most=1000):
    r"""Yield (slice, float64 (n, D)) over all of x: n D <= _BLOCK, or one example."""
    size = min(most, max(1, _BLOCK // _width(x)))
    for start in range(0, len(x), size):
        place = slice(start, min(start + size, len(x)))
        rows = x[place] if isinstance(x, torch.Tensor) else x.to_float(place)
        yield place, rows.flatten(1).double()


def _width(x):
    return x[0].numel() if isinstance(x, torch.Tensor) else math.prod(x.shape)


def _mean(x):
    return sum(rows.sum(0) for _, rows in _blocks(x)) / len(x)


def _variance(x, mean):
    return sum((rows - mean).square().sum(0) for _, rows in _blocks(x)) / (len(x) - 1)


def _covariance(x, mean):
    return sum((rows - mean).T @ (rows - mean) for _, rows in _blocks(x)) / (len(x) - 1)


def _across(x, y, function):
    r"""function(rows of x, rows of y) for all pairs of blocks, (len(x), len(y))."""
    return torch.cat(
        [torch.cat([function(p, q) for _, q in _blocks(y)], 1) for _, p in _blocks(x)]
    )


def _checked(x, y, least=2):
    r"""Both on the CPU, tensors flat and finite; a PictureSet is both by itself."""
    x, y = (
        z.detach().flatten(1).cpu() if isinstance(z, torch.Tensor) else z for z in (x, y)
    )
    shapes = [(len(z), _width(z) if len(z) else 0) for z in (x, y)]
    if shapes[0][1] != shapes[1][1] or min(len(x), len(y)) < least:
        raise ValueError(
            f"both samples must hold at least {least} examples of one shape, got "
            f"{shapes[0]} and {shapes[1]} when flattened"
        )
    tensors = [z for z in (x, y) if isinstance(z, torch.Tensor)]
    if not all(torch.isfinite(rows).all() for z in tensors for _, rows in _blocks(z)):
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
