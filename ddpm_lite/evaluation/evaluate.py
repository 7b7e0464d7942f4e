r"""How good samples are: every quality measure of pictures in one table.

A number says little alone, so each stands beside that of real training pictures; and
the measures themselves are tried on samples whose faults are known before they judge.
"""

from pathlib import Path

import torch

from ..checks import check_integer
from ..seeds import generator_for
from . import inception, metrics

_TRAINING, _GAUSSIAN, _MEMORISER, _HALVES = range(200, 204)  # one stream for each choice


def measures(generated, train, held_out, levels=None, seed=0, trees=200):
    r"""Every quality measure of samples, and of as many training pictures beside them.

    generated: (n, C, H, W). train: (N, C, H, W), N >= n, what the model was trained on.
    held_out: (H, C, H, W), pictures of the same law that no training has seen. levels:
    the number of grey levels of real pictures, for `detectability`; None does not round.
    trees: how many its forest has.
    Returns {name: {"generated": number, "training": number}}, in this order:

    - `fd_pixels_<n>`: Frechet distance to the held-out pictures, in pixels, 0 is best;
      it falls with n even for real pictures, so only the same n compares;
    - `fd_pixels_<n>_ratio`: that divided by the training pictures', 1 is best;
    - `precision`, `recall` (k = 3) against the held-out pictures, 1 is best;
    - `nearer_to_training`: 0.5 is learning, more is copying;
    - `copying_share`: 0 is learning, 1 is copying;
    - `detectability` against the held-out pictures: 0.5 is best, 1 is worst.

    The "training" numbers are those of n training pictures chosen by `seed`. They are
    the best that can be hoped for, except in the two that look for copies: there they
    are the worst, a copier's. Raises ValueError for other shapes, values that are not
    finite, or n outside 4..N.
    """
    n = len(generated)
    if not 4 <= n <= len(train) or len(held_out) < 4:
        raise ValueError(
            "measures need 4 to N samples for N training pictures, and 4 held-out ones, "
            f"got {n} samples, N = {len(train)} and {len(held_out)} held-out ones"
        )
    order = torch.randperm(len(train), generator=generator_for(_TRAINING, seed))
    training = train[order[:n].to(train.device)]
    first = f"fd_pixels_{n}"
    table = {first: {}, f"{first}_ratio": {}}
    for column, pictures in (("generated", generated), ("training", training)):
        numbers = _judged(pictures, train, held_out, levels, seed, trees)
        for name, number in numbers.items():
            table.setdefault(name, {})[column] = number
    for column, number in table[first].items():
        table[f"{first}_ratio"][column] = number / table[first]["training"]
    return table


def _judged(pictures, train, held_out, levels, seed, trees):
    precision, recall = metrics.precision_recall(held_out, pictures, k=3)
    return {
        f"fd_pixels_{len(pictures)}": metrics.frechet_distance(pictures, held_out),
        "precision": precision,
        "recall": recall,
        "nearer_to_training": metrics.nearer_to_training(pictures, train, held_out, seed),
        "copying_share": metrics.copying_share(pictures, train, held_out),
        "detectability": metrics.detectability(
            held_out, pictures, levels, trees=trees, seed=seed
        ),
    }


def judges_judged(train, held_out, levels=None, seed=0, trees=200):
    r"""The measures of samples whose faults are known, to see which judge sees which.

    train: (N, C, H, W), N >= 600, held_out: (H, C, H, W), of one law. `train` is cut in
    two at random. The first half plays the training set and the second, which nothing
    has seen, the perfect samples. Each kind has n = N // 2 samples:

    - `gaussian`: drawn from the Gaussian with the training set's mean and covariance;
    - `memoriser`: training pictures, drawn with replacement, as the exact denoiser of the
      training set draws them;
    - `repeated`: 300 training pictures, each as often as the others, within one;
    - `real`: the second half.

    Returns {kind: {name: number}} with the names of `measures`, but for the ratio: the
    distance of `real` is there to divide by. Raises ValueError for other shapes or fewer
    pictures.
    """
    if len(train) < 600:
        raise ValueError(f"train must hold at least 600 pictures, got {len(train)}")
    n = len(train) // 2
    order = torch.randperm(len(train), generator=generator_for(_HALVES, seed))
    known, real = train[order[:n]], train[order[n : 2 * n]]
    repeated = torch.arange(n) % 300
    kinds = {
        "gaussian": fitted_gaussian(known, n, seed),
        "memoriser": memoriser(known, n, seed),
        "repeated": known[repeated],
        "real": real,
    }
    return {
        kind: _judged(pictures, known, held_out, levels, seed, trees)
        for kind, pictures in kinds.items()
    }


def fitted_gaussian(train, n, seed=0):
    r"""Draw n samples from the Gaussian with the mean and covariance of pictures.

    train: (N, *shape), N >= 2. Returns (n, *shape), the same dtype: right in all that a
    Frechet distance of pixels sees, and blurred. Values may leave [-1, 1].
    Raises ValueError for n < 1.
    """
    check_integer("n", n, 1)
    flat = train.flatten(1).double()
    centred = (flat - flat.mean(0)) / (len(flat) - 1) ** 0.5
    # normal numbers times the centred pictures have just the covariance of the pictures
    generator = generator_for(_GAUSSIAN, seed)
    noise = torch.randn(n, len(flat), generator=generator, dtype=torch.float64)
    drawn = flat.mean(0) + noise.to(flat.device) @ centred
    return drawn.to(train.dtype).reshape(n, *train.shape[1:])


def memoriser(train, n, seed=0):
    r"""Draw n training pictures with replacement: the samples of a perfect copier.

    train: (N, *shape). Returns (n, *shape). Raises ValueError for n < 1.
    """
    check_integer("n", n, 1)
    generator = generator_for(_MEMORISER, seed)
    return train[torch.randint(len(train), (n,), generator=generator).to(train.device)]


def fid(generated, real, weights, batch_size=64, device="cpu", levels=256):
    r"""FID: the Frechet distance of two sets of pictures in Inception's features.

    generated: (N, C, H, W), real: (M, C, H, W), in [-1, 1], C = 1 or 3, N, M >= 2.
    weights: path of a local file, see `inception.load`. levels: both are first rounded
    to so many grey levels, as `metrics.round_to_levels` does, because published values
    are those of 8-bit pictures; None leaves them. Returns a float >= 0.

    It falls with N and M even where both follow one law, and below 2,049 pictures the
    covariances have no full rank: values compare only at the same numbers of pictures;
    published ones take N = 50,000. On a CPU a picture takes about a third of a second.
    Pictures are scaled as the PyTorch port does it and not as TensorFlow 1 did, so that
    values of the original program differ a little. Raises what `inception.load` raises,
    and ValueError for other pictures. Heusel et al. 2017 (arXiv 1706.08500), Eq. 6.
    """
    network = inception.load(weights).to(device)
    if min(len(generated), len(real)) < 2:
        raise ValueError(
            f"FID needs at least 2 pictures of each kind, got {len(generated)} generated "
            f"and {len(real)} real ones"
        )
    # both are checked before the first takes its time
    inception.check_input(generated, "generated")
    inception.check_input(real, "real")
    found = []
    for pictures in (generated, real):
        if levels is not None:
            pictures = metrics.round_to_levels(pictures, levels)
        found.append(inception.features(network, pictures, batch_size))
    return metrics.frechet_distance(*found)


def labelled_fid(
    generated, real, weights, reference, sampler, steps, batch_size=64, device="cpu"
):
    r"""FID with all that a reader needs to compare it with another.

    reference: words for what `real` is, such as "MNIST test". sampler, steps: how
    `generated` was drawn. The rest is as in `fid`. Returns {"fid_<N>": number, ...} with
    the entries reference, n_reference, sampler, steps, levels and weights.
    """
    value = fid(generated, real, weights, batch_size, device)
    return {
        f"fid_{len(generated)}": value,
        "reference": reference,
        "n_reference": len(real),
        "sampler": sampler,
        "steps": steps,
        "levels": 256,
        "weights": Path(weights).name,
    }


def table(found, held_out):
    r"""What `measures` returned, as text: a line for each measure, samples and training.

    found: its dictionary. held_out: how many pictures it compared with.
    """
    lines = [
        f"{'measured against ' + str(held_out) + ' held-out pictures':38} new  training"
    ]
    for name, row in found.items():
        lines.append(f"{name:30} {row['generated']:10.3f} {row['training']:9.3f}")
    return "\n".join(lines)
