r"""How good samples are: every quality measure of pictures in one table.

A number says little alone, so each stands beside that of real pictures; and the measures
themselves are tried on samples whose faults are known before they judge. From few pictures
none of them can tell, and then its row says so.
"""

from pathlib import Path

import torch
from tqdm import tqdm

from ..checks import check_integer
from ..seeds import generator_for
from . import inception, metrics

_TRAINING, _GAUSSIAN, _MEMORISER, _HALVES = range(200, 204)  # one stream for each choice
_JUDGED = 4000  # training pictures that the judges are judged on, at most

# In which direction a measure is better, and where it is best.
BETTER = {
    "fd_pixels": "lower",
    "fd_pixels_ratio": "lower",
    "precision": "higher",
    "recall": "higher",
    "nearer_to_training": "near 0.5",
    "copying_share": "near 0",
    "detectability": "near 0.5",
}
_BEST = {
    "fd_pixels": "lower, 0 is best",
    "fd_pixels_ratio": "lower, 1 is as real ones",
    "fd_values": "lower, 0 is best",  # of series
    "fd_values_ratio": "lower, 1 is as real ones",
    "precision": "higher, 1 is best",
    "recall": "higher, 1 is best",
    "nearer_to_training": "near 0.5, 1 copies",
    "copying_share": "near 0, 1 copies",
    "detectability": "near 0.5, 1 is worst",
}

# The fewest samples, and the fewest unseen pictures, from which a measure can tell.
#   Distance: of 8 or 16 digits, those with 0.7 of the contrast score as real ones do, for
#   two clouds of so few points in so many dimensions are far apart in any case; of 64, 97 %
#   of such draws lie above 97 % of the real ones.
#   Neighbours: a ball that reaches k = 3 of n - 1 others holds less than a tenth of the law
#   from n = 32 on, and two standard errors of a share are then at most 0.18.
#   Copies: how many samples choose one of H unseen pictures is chance, so that the share
#   scatters by 1 / sqrt(H) and more: at 16 two such errors are half the way from 0 to 1.
#   Forest: two standard errors, 2 sqrt(1 / (8 n)), are at 32 a quarter of that way.
FEWEST = {
    "fd_pixels": 64,
    "fd_pixels_ratio": 64,
    "precision": 32,
    "recall": 32,
    "nearer_to_training": 16,
    "copying_share": 16,
    "detectability": 32,
}
_LARGEST_ERROR = {"nearer_to_training": 0.125, "copying_share": 0.25}  # by the same words


def measures(generated, train, held_out, levels=None, seed=0, trees=200, progress=False):
    r"""Every quality measure of samples, and of as many real pictures beside them.

    generated: (n, C, H, W). train: (N, C, H, W) or a PictureSet, what the model was
    trained on; None where that is not known. held_out: (H, C, H, W) or a PictureSet, of
    the same law, that no training has seen; None where there are none. A PictureSet is
    read in blocks. levels: the number of grey levels of real pictures, for
    `detectability`; None does not round. trees: how many its forest has. progress: show a
    bar.
    Returns {name: {"generated": number, "training": number, "better": words}}, in this
    order:

    - `fd_pixels_<n>`: Frechet distance to the held-out pictures, in pixels, 0 is best;
      it falls with n even for real pictures, so only the same n compares;
    - `fd_pixels_<m>_ratio`: that of m samples, divided by that of m real pictures, which
      is 1; m is n, or as many as there are;
    - `precision`, `recall` (k = 3) against the held-out pictures, 1 is best;
    - `nearer_to_training`: 0.5 is learning, more is copying;
    - `copying_share`: 0 is learning, 1 is copying;
    - `detectability` against the held-out pictures: 0.5 is best, 1 is worst.

    The "training" numbers are those of m training pictures chosen by `seed`. They are
    the best that can be hoped for, except in the two that look for copies: there they
    are the worst, a copier's. Where `train` is None there is "halves" instead: one half of
    the held-out pictures against the other half, which is smaller than the whole that
    samples meet, but for the ratio, where they meet that half too.
    Shares also have a "standard_error", that of the samples. What cannot be told is None,
    and "cannot_tell" says why, {column: words}: see `blank`.
    Raises ValueError for other shapes or values that are not finite.
    """
    N, H = (None if x is None else len(x) for x in (train, held_out))
    table = blank(len(generated), N, H or 0, _called(generated))
    beside, m = ("training", N) if train is not None else ("halves", (H or 0) // 2)
    m = min(len(generated), m)
    settings = dict(levels=levels, seed=seed, trees=trees)
    aside = held_out
    if train is not None:
        order = torch.randperm(N, generator=generator_for(_TRAINING, seed))
        real = metrics.chosen(train, order[:m])
    elif H:
        order = torch.randperm(H, generator=generator_for(_TRAINING, seed))
        real = metrics.chosen(held_out, order[:m])
        aside = metrics.chosen(held_out, order[H // 2 :])
    with tqdm(total=9, desc="measuring", leave=False, disable=not progress) as bar:
        wanted = _wanted(table, "generated")
        found = _judged(generated, train, held_out, wanted, bar, **settings)
        _enter(table, "generated", found)
        wanted = _wanted(table, beside) if m else set()
        found = _judged(real if m else (), train, aside, wanted, bar, **settings)
        _enter(table, beside, found)
        _enter_ratio(table, beside, generated[:m], real if m else None, aside)
        bar.update()
    return table


def blank(n, N, H, of="pictures"):
    r"""The rows of `measures` before anything is measured: what can be told, and what not.

    n: how many samples there will be. N: training pictures, None if they are not known.
    H: unseen ones. of: what they are called. Each number is None; "cannot_tell" is
    {column: words} for those that so few pictures cannot give.
    """
    beside = "halves" if N is None else "training"
    m, half = (min(n, H // 2), H - H // 2) if N is None else (min(n, N), H)
    name_of = {"fd_pixels": f"fd_pixels_{n}"}
    name_of["fd_pixels_ratio"] = f"fd_pixels_{m or n}_ratio"
    rows = {}
    for kind, least in FEWEST.items():
        own = _short((least, n, "samples"), (least, H, f"unseen {of}"))
        other = _short((least, m, f"{of} beside"), (least, half, f"unseen {of}"))
        if kind == "fd_pixels_ratio" and not own and other:
            own = other
        if kind == "fd_pixels" and m < n and not other:
            other = f"needs {n} {of} beside, has {m}"
        if kind == "nearer_to_training" and N is not None:
            own = own or _short((least, N, f"training {of}"))
        if kind in _LARGEST_ERROR and N is None:
            own = other = f"needs the {of} that the model was trained on"
        why = {c: words for c, words in (("generated", own), (beside, other)) if words}
        rows[name_of.get(kind, kind)] = {
            "generated": None,
            beside: None,
            "better": BETTER[kind],
        } | ({"cannot_tell": why} if why else {})
    return rows


def copying(generated, train, held_out):
    r"""The row `copying_share` of `measures`, alone and of the samples alone."""
    H = 0 if held_out is None else len(held_out)
    name = "copying_share"
    rows = {name: blank(len(generated), len(train), H, _called(generated))[name]}
    if can_tell(rows):
        found = metrics.copying_and_error(generated, train, held_out)
        _enter(rows, "generated", {name: found})
    return rows[name]


def can_tell(rows):
    r"""Whether any of the rows that `blank` gives can be measured of samples."""
    return any("generated" not in row.get("cannot_tell", {}) for row in rows.values())


def _called(generated):
    return "series" if generated.dim() == 3 else "pictures"


def _short(*wanted):
    r"""What is lacking first, of (fewest, how many there are, of what), in words."""
    for least, has, what in wanted:
        if has < least:
            return f"needs {least} {what}, has {has}"
    return ""


def _wanted(rows, column):
    r"""The kinds of measures that can be told of a column."""
    return {
        _kind(name)
        for name, row in rows.items()
        if column not in row.get("cannot_tell", {}) and not name.endswith("_ratio")
    }


def _kind(name):
    parts = name.split("_")
    return "_".join(part for part in parts if not part.isdigit())


def _enter(rows, column, found):
    r"""Put {kind: (number, standard error or None)} into a column, if it can tell."""
    for name, row in rows.items():
        if _kind(name) not in found:
            continue
        value, error = found[_kind(name)]
        middle = 0.5 if row["better"] == "near 0.5" else 0.0
        most = _LARGEST_ERROR.get(name, 1.0)
        # an error as small as that, or a number that chance does not give
        if error is not None and error > most and abs(value - middle) <= 3 * error:
            why = f"standard error {error:.2f}, needs {most}"
            row.setdefault("cannot_tell", {})[column] = why
            continue
        row[column] = value
        if error is not None and column == "generated":
            row["standard_error"] = error


def _enter_ratio(rows, beside, some, real, held_out):
    first, name = list(rows)[:2]
    row, whole = rows[name], rows[first]
    if "generated" in row.get("cannot_tell", {}):
        return
    if beside == "training" and whole[beside] is not None:  # of as many, and measured
        new, usual = whole["generated"], whole[beside]
    else:
        new, usual = (metrics.frechet_distance(x, held_out) for x in (some, real))
    if usual <= 1e-12 * real[0].numel():  # rounding alone is left to divide by
        words = "needs real pictures that differ, and these are alike"
        row["cannot_tell"] = {"generated": words, beside: words}
    else:
        row |= {"generated": new / usual, beside: 1.0}


def _judged(pictures, train, held_out, wanted, bar, levels, seed, trees):
    r"""{kind: (number, standard error or None)} of the measures that are wanted."""
    n, found = len(pictures), {}
    if "fd_pixels" in wanted:
        found["fd_pixels"] = metrics.frechet_distance(pictures, held_out), None
    bar.update()
    if "precision" in wanted:
        shares = metrics.precision_recall(held_out, pictures, k=3)
        for name, p, N in zip(
            ("precision", "recall"), shares, (n, len(held_out)), strict=True
        ):
            found[name] = p, _error(p, N)
    bar.update()
    if "copying_share" in wanted:
        copied = metrics.copying_and_error(pictures, train, held_out)
        found["copying_share"] = copied
    if "nearer_to_training" in wanted:
        nearer = metrics.nearer_and_error(pictures, train, held_out, seed)
        found["nearer_to_training"] = nearer
    bar.update()
    if "detectability" in wanted:
        p = metrics.detectability(held_out, pictures, levels, trees=trees, seed=seed)
        found["detectability"] = p, _error(p, 2 * min(n, len(held_out)))
    bar.update()
    return found


def _error(share, n):
    r"""The standard error of a share of n, not 0 at 0 and 1 (Agresti and Coull 1998)."""
    middle = (share * n + 1) / (n + 2)
    return (middle * (1 - middle) / (n + 2)) ** 0.5


def judges_judged(train, held_out, levels=None, seed=0, trees=200, progress=False):
    r"""The measures of samples whose faults are known, to see which judge sees which.

    train: (N, C, H, W) or a PictureSet, N >= 600, of which at most 4,000 are taken, at
    random. held_out: (H, C, H, W) or a PictureSet, of the same law. `train` is cut in
    two. The first half plays the training set and the second, which nothing has seen, the
    perfect samples. Each kind has n = N // 2 samples. progress: show a bar.

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
    n = min(len(train), _JUDGED) // 2
    order = torch.randperm(len(train), generator=generator_for(_HALVES, seed))
    known, real = (metrics.chosen(train, part) for part in order[: 2 * n].split(n))
    repeated = torch.arange(n) % 300
    kinds = {
        "gaussian": fitted_gaussian(known, n, seed),
        "memoriser": memoriser(known, n, seed),
        "repeated": known[repeated],
        "real": real,
    }
    settings = dict(levels=levels, seed=seed, trees=trees)
    bar = tqdm(total=16, desc="judging the judges", leave=False, disable=not progress)
    with bar:
        found = {
            kind: _judged(pictures, known, held_out, set(FEWEST), bar, **settings)
            for kind, pictures in kinds.items()
        }
    named = {"fd_pixels": f"fd_pixels_{n}"}
    return {
        kind: {named.get(name, name): value for name, (value, _) in numbers.items()}
        for kind, numbers in found.items()
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


def fid(generated, real, weights, batch_size=64, device="cpu", levels=256, progress=False):
    r"""FID: the Frechet distance of two sets of pictures in Inception's features.

    generated: (N, C, H, W), real: (M, C, H, W), in [-1, 1], C = 1 or 3, N, M >= 2; or
    PictureSets, which are read a batch at a time.
    weights: path of a local file, see `inception.load`. levels: both are first rounded
    to so many grey levels, as `metrics.round_to_levels` does, because published values
    are those of 8-bit pictures; None leaves them. progress: show a bar. Returns a float
    >= 0; less is better.

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
    for name, pictures in (("generated", generated), ("real", real)):
        if isinstance(pictures, torch.Tensor):  # a PictureSet lies in [-1, 1]
            inception.check_input(pictures, name)
    found, total = [], len(generated) + len(real)
    with tqdm(total=total, desc="Inception", leave=False, disable=not progress) as bar:
        for pictures in (generated, real):
            features = []
            for index in torch.arange(len(pictures)).split(batch_size):
                batch = metrics.chosen(pictures, index)
                if levels is not None:
                    batch = metrics.round_to_levels(batch, levels)
                features.append(inception.features(network, batch, batch_size))
                bar.update(len(batch))
            found.append(torch.cat(features))
    return metrics.frechet_distance(*found)


def labelled_fid(
    generated,
    real,
    weights,
    reference,
    sampler,
    steps,
    batch_size=64,
    device="cpu",
    progress=False,
):
    r"""FID with all that a reader needs to compare it with another.

    reference: words for what `real` is, such as "MNIST test". sampler, steps: how
    `generated` was drawn. The rest is as in `fid`. Returns {"fid_<N>": number, ...} with
    the entries better, reference, n_reference, sampler, steps, levels and weights.
    """
    value = fid(generated, real, weights, batch_size, device, progress=progress)
    return {
        f"fid_{len(generated)}": value,
        "better": "lower",
        "reference": reference,
        "n_reference": len(real),
        "sampler": sampler,
        "steps": steps,
        "levels": 256,
        "weights": Path(weights).name,
    }


def table(found, held_out, of="pictures"):
    r"""What `measures` returned, as text: a line for each measure, which way is better too.

    found: its dictionary. held_out: how many pictures it compared with, or words for them.
    of: what they are called.
    """
    if isinstance(held_out, int):
        held_out = f"{held_out} held-out {of}"
    beside = "halves" if any("halves" in row for row in found.values()) else "training"
    lines = [f"measured against {held_out}", f"{'':24}{'new':>16} {beside:>9}  better"]
    for name, row in found.items():
        why = row.get("cannot_tell", {}).get("generated")
        if row["generated"] is None:
            lines.append(f"{name:24} cannot tell: {why}")
            continue
        error = row.get("standard_error")
        spread = "" if error is None else f"+- {error:.3f}"
        other = "-" if row[beside] is None else f"{row[beside]:.3f}"
        number = f"{row['generated']:7.3f} {spread:8}"
        lines.append(f"{name:24}{number:>16} {other:>9}  {_BEST[_kind(name)]}")
    if any("standard_error" in row for row in found.values()):
        lines.append(
            f"+- is the standard error of drawing these samples; other unseen {of}, and "
            "another training, add to it"
        )
    return "\n".join(lines)
