r"""A panel of judges: all measures of one set of samples, each blind to something else.

`measures` of `evaluate` needs pictures only. The panel has a classifier of real pictures
too, see `classifier`, and looks at what an eye sees first: speckle, a grey background,
a shirt that was asked for and became a bag. Pictures are judged as a file would hold them,
rounded to 256 levels; nothing else is done to them.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import check_integer
from . import metrics
from .classifier import Classifier, look

# What each number is divided by: "real", the mean over draws of real training pictures;
# "held-out", the held-out pictures' own number; None, by nothing.
OVER = {
    "fd_pixels": "real",
    "fd_features": "real",
    "precision": "real",
    "recall": "real",
    "copying_share": None,
    "forest_pixels": None,
    "forest_features": None,
    "roughness": "held-out",
    "black": "held-out",
    "class_deviation": None,
    "label": "real",
}


@dataclass(frozen=True)
class Panel:
    r"""What samples are judged against: build it by `panel_of`, ask it by `judge`.

    held_out: float32 (H, C, H, W), real pictures that no training has seen. train: the
    training pictures, a tensor or a PictureSet, of which copies are looked for; or None.
    counts: int64 (classes,), how many real pictures the classifier puts into each class.
    features: (H, 64), the held-out pictures' own. levels: of grey, for the forest of
    pixels. trees: of each forest.
    """

    held_out: Tensor
    train: object
    classifier: Classifier
    counts: Tensor
    features: Tensor
    levels: int
    trees: int


def panel_of(held_out, train, classifier, counts=None, levels=16, trees=100):
    r"""Make a Panel.

    held_out, train, classifier, levels, trees: as there. counts: those of the held-out
    pictures if None; more pictures, by `seen_classes`, have a smaller error. Raises
    ValueError for pictures of another shape than the classifier's.
    """
    held_out = metrics.chosen(held_out, torch.arange(len(held_out)))
    features, labels = look(classifier, held_out)
    if counts is None:
        counts = labels.bincount(minlength=classifier.classes)
    return Panel(held_out, train, classifier, counts, features, levels, trees)


def judge(panel, pictures, y=None, free=None, seed=0):
    r"""All measures of one set of pictures: {name: a float, or None}.

    pictures: (n, C, H, W), n >= 4, in [-1, 1]; first rounded to 256 levels. y: int64 (n,),
    the classes that were asked for. free: pictures of which none was asked for, whose
    classes are counted. seed: of what the forests choose.

    - `fd_pixels`, `fd_features`: `metrics.frechet_distance` to the held-out pictures, in
      pixels and in the classifier's features;
    - `precision`, `recall`: `metrics.precision_recall`, in pixels, k = 3;
    - `copying_share`: `metrics.copying_share`, None without training pictures;
    - `forest_pixels`, `forest_features`: `metrics.detectability`, in pixels of
      `panel.levels` grey levels and in the classifier's features;
    - `roughness`, `black`: see there, divided by the held-out pictures' own, None where
      that is 0;
    - `class_deviation`: `largest_deviation` of the classes in `free` from those in real
      pictures, None without `free`;
    - `label`: the share of pictures whose asked class the classifier sees, None without y.

    `over_real` divides those that are to be divided by real pictures' own.
    """
    x = _as_a_file(pictures)
    features, labels = look(panel.classifier, x)
    held_out, own = panel.held_out, panel.features
    found = {"fd_pixels": metrics.frechet_distance(x, held_out)}
    found["fd_features"] = metrics.frechet_distance(features, own)
    found["precision"], found["recall"] = metrics.precision_recall(held_out, x)
    found["copying_share"] = None
    if panel.train is not None:
        found["copying_share"] = metrics.copying_share(x, panel.train, held_out)
    forest = dict(trees=panel.trees, seed=seed)
    found["forest_pixels"] = metrics.detectability(held_out, x, panel.levels, **forest)
    found["forest_features"] = metrics.detectability(own, features, **forest)
    for name, function in (("roughness", roughness), ("black", black)):
        usual = function(held_out)
        found[name] = function(x) / usual if usual > 0 else None
    found["class_deviation"] = None
    if free is not None:
        counts = seen_classes(panel.classifier, _as_a_file(free))
        found["class_deviation"] = largest_deviation(counts, panel.counts)
    found["label"] = None if y is None else float((labels == y).double().mean())
    return found


def seen_classes(classifier, pictures):
    r"""How many of the pictures a classifier puts into each class, int64 (classes,)."""
    return look(classifier, pictures)[1].bincount(minlength=classifier.classes)


def over_real(found, real):
    r"""What `judge` found, with those that `OVER` says divided by real pictures' own.

    found: a dictionary of `judge`. real: a list of such, of draws of real pictures; their
    mean divides. Returns {name: a float, or None where that is 0}. 1 is as real pictures
    are.
    """
    result = dict(found)
    for name, over in OVER.items():
        if over == "real" and found.get(name) is not None:
            usual = sum(row[name] for row in real) / len(real)
            result[name] = found[name] / usual if usual > 0 else None
    return result


def roughness(pictures):
    r"""Root mean square difference of neighbouring values, a float.

    pictures: (n, C, H, W), H, W >= 2. The squares of all differences to the right
    neighbour have a mean, and those to the one below; the root of their sum is returned.
    0 for flat pictures; for white noise of variance v it is 2 sqrt(v).
    """
    x = pictures.double()
    across, down = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
    return math.sqrt(float(across.square().mean() + down.square().mean()))


def black(pictures):
    r"""Share of values that a file of 256 grey levels holds as exact black, a float."""
    return float((_as_a_file(pictures) == -1).double().mean())


def largest_deviation(counts, real):
    r"""How far class shares are from those of real pictures, in standard errors.

    counts: int64 (K,), of n samples. real: int64 (K,), of N real pictures. Both are draws,
    so both have an error: if samples were real, the difference of the shares p_k - q_k
    would have the variance r_k (1 - r_k) (1 / n + 1 / N), where r_k is the share in both
    together. Returns the largest |p_k - q_k| over its root, a float. Of 10 classes and
    no fault it is above 3 in 1 of 40 draws. Raises ValueError for other counts.
    """
    if counts.shape != real.shape or min(counts.sum(), real.sum()) < 1:
        raise ValueError(
            f"counts must be of the same classes and not empty, got {counts.tolist()} "
            f"and {real.tolist()}"
        )
    n, N = counts.sum().double(), real.sum().double()
    together = (counts + real) / (n + N)
    error = (together * (1 - together) * (1 / n + 1 / N)).sqrt()
    apart = (counts / n - real / N).abs()
    known = error > 0  # a class that is nowhere, or is all, cannot differ
    return float((apart[known] / error[known]).max()) if known.any() else 0.0


def spread(rows):
    r"""Mean and deviation of each measure over several dictionaries of `judge`.

    Returns {name: {"mean": number or None, "spread": number or None}}; the spread is the
    sample's standard deviation, None for one row.
    """
    check_integer("the number of rows", len(rows), 1)
    found = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        known = None not in values
        values = torch.tensor(values if known else [0.0], dtype=torch.float64)
        found[name] = {
            "mean": float(values.mean()) if known else None,
            "spread": float(values.std()) if known and len(values) > 1 else None,
        }
    return found


def _as_a_file(pictures):
    return metrics.round_to_levels(pictures.float(), 256)
