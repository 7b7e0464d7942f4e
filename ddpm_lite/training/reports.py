r"""What the reports of a run need: classes in the data's mix, and a look for copies."""

import torch

from ..evaluation import metrics
from ..evaluation.evaluate import copying

_MOST = 1000  # held-out pictures whose neighbours are looked for: it takes N for each


def labels_for(config, num, counts=None):
    r"""Labels for num pictures, int64 (num,); None without classes.

    counts: pictures of each class, to be drawn in their mix: each class has its share of
    num, by the largest remainders, spread evenly over the num; a function of both alone.
    None gives the classes in turn, 0, 1, ...: for pictures that are looked at.
    """
    classes = config.network.classes
    if not classes:
        return None
    if counts is None:
        return torch.arange(num) % classes
    exact = [num * count / sum(counts) for count in counts]
    share = [int(number) for number in exact]
    left = sorted(range(classes), key=lambda c: (share[c] - exact[c], c))
    for c in left[: num - sum(share)]:
        share[c] += 1
    places = [((i + 0.5) / share[c], c) for c in range(classes) for i in range(share[c])]
    return torch.tensor([c for _, c in sorted(places)], dtype=torch.int64)


def class_counts(config, pictures):
    r"""How many of a PictureSet's pictures each class has, [] without classes."""
    if not config.network.classes or pictures.y is None:
        return []
    return torch.bincount(pictures.y, minlength=config.network.classes).tolist()


def memorisation(drawn, pictures, held_out):
    r"""Are samples copies? Returns the nearest training picture of each, and numbers.

    drawn: (n, C, H, W). pictures, held_out: PictureSets, the latter or None, which are
    read in blocks. Returns index, int64 (n,), and a dictionary: how many samples and
    held-out pictures there are, median distances of samples, and of at most 1,000 of the
    held-out pictures, to their nearest training picture, per dimension, and
    `copying_share`, 0 learns and 1 copies, with its standard error; None where so few
    pictures cannot tell, and then "cannot_tell" says why.
    """
    scale, aside = drawn[0].numel() ** 0.5, 0 if held_out is None else len(held_out)
    index, distance = metrics.nearest(drawn, pictures)
    found = {"samples": len(drawn), "held_out": aside}
    found["sample_to_train"] = float(distance.median() / scale)
    if aside:
        some = held_out.to_float(slice(None, None, -(-aside // _MOST)))
        found["held_out_to_train"] = float(metrics.nearest(some, pictures)[1].median())
        found["held_out_to_train"] /= scale
    row = copying(drawn, pictures, held_out)
    found["copying_share"] = row["generated"]
    if row["generated"] is None:
        found["cannot_tell"] = row["cannot_tell"]["generated"]
    else:
        found["standard_error"] = row["standard_error"]
    return index.flatten(), found
