r"""The loss on examples that are not trained on, which chooses the best checkpoint."""

from inspect import isroutine

import torch
from torch.utils.data import Dataset, IterableDataset

from ..checks import check_data, check_training, short
from ..data.examples import Examples, Tensor, Unreadable, evenly
from ..data.ranges import check_range
from ..data.streams import Stream, as_examples, is_hubs
from ..denoiser import clip_of
from ..seeds import HELD_OUT, TRANSFORM, generator_for
from .batches import to_float
from .instruments import BANDS
from .trainer import Network


def as_held_out(trainer, held_out):
    r"""Examples to set aside as (x_0, y), once they are as those that are trained on.

    held_out: (x_0, y), y int64 (N,), or None without labels and where x_0, a dataset, has
    them; or the dataset alone; or None, which is returned. x_0: as a Trainer takes data,
    but no stream; not yet transformed. Raises TypeError or ValueError, before the first
    step.
    """
    if held_out is None:
        return None
    given = held_out if isinstance(held_out, (tuple, list)) else (held_out, None)
    if given and _is_stream(given[0]):
        raise ValueError(
            "a stream cannot be held out, for its examples have no numbers: give some of "
            "them as a dataset, or as tensors (x_0, y)"
        )
    alone = isinstance(held_out, torch.Tensor)
    if len(given) != 2 or alone or not hasattr(given[0], "__len__"):
        raise TypeError(
            "held_out must be (x_0, y), y None without labels, or a dataset, got "
            f"{short(held_out)}"
        )
    x_0, y = given
    if isinstance(x_0, Examples | Dataset) or is_hubs(x_0):
        x_0 = as_examples(x_0)
    else:
        check_data(x_0, "held_out's x_0", pictures=True)
    classes, own = getattr(trainer.model, "classes", 0), getattr(x_0, "labelled", False)
    if (y is not None or own) != trainer.batches.labelled:
        raise ValueError("held_out must have labels y just where the training data have")
    check_training(x_0, y, classes, trainer.config)
    changed, shape = _transformed(trainer), trainer.batches.shape
    if changed:  # which begins with what is stored
        shape = trainer.data.shape[1:]
    if x_0.shape[1:] != shape:
        raise ValueError(
            f"held_out's x_0 must have the data's shape, {tuple(shape)} each, got "
            f"{tuple(x_0.shape[1:])}"
        )
    if changed and x_0.dtype != trainer.data.dtype:
        raise ValueError(
            f"held_out's x_0 must be {trainer.data.dtype} as the data are, for the "
            f"transform changes it too, got {x_0.dtype}"
        )
    whole = isinstance(x_0, torch.Tensor) and not changed
    look = x_0 if whole else _taken(trainer, x_0, y, evenly(len(x_0)))[0]
    check_range(look, trainer.levels, clip_of(trainer.model))
    return x_0, y


def held_out_loss(trainer, x_0, y=None, most=1024):
    r"""The EMA's loss on examples that it was not trained on, the same way every time.

    x_0: (N, *shape), uint8 pictures or floats, or Examples; not yet transformed. y: int64
    (N,) or None. At most `most` evenly spaced examples; t runs evenly through 1..T. The
    noise is a function of the seed, and what the trainer's transform draws for example i
    is one of (seed, i). Returns the mean, and means over ten bands of t, None where none
    fell.
    """
    index = torch.tensor(evenly(len(x_0), most))
    n, T = len(index), trainer.schedule.T
    t = (torch.arange(n) * T + T // 2) // n % T + 1
    generator = generator_for(HELD_OUT, trainer.config.seed)
    noise = torch.randn((n, *trainer.batches.shape), generator=generator)
    average = trainer.ema.model
    network = Network(average, average, trainer.device, trainer.precision)
    losses = []
    with torch.no_grad():
        for part in torch.arange(n).split(256):
            clean, label = _taken(trainer, x_0, y, index[part].tolist())
            label = None if label is None else label.to(trainer.device)
            clean = to_float(clean.to(trainer.device), trainer.levels).float()
            fresh = noise[part].to(trainer.device)
            losses.append(trainer.losses(clean, t[part], fresh, label, network))
    losses = torch.cat(losses).double().cpu()
    band = (t - 1) * BANDS // T
    here = [losses[band == b] for b in range(BANDS)]
    return float(losses.mean()), [float(v.mean()) if len(v) else None for v in here]


def _taken(trainer, x_0, y, index):
    r"""Examples as they are trained on, and their labels, int64 (n,) or None."""
    ahead, found = trainer.batches.ahead, []
    if not ahead and isinstance(x_0, torch.Tensor):
        return x_0[index], None if y is None else y[index]
    chance = HELD_OUT, trainer.config.seed, TRANSFORM
    each = x_0 if isinstance(x_0, Examples) else Tensor(x_0, y, "held_out")
    for i in index:
        x, label = each.read(i)
        label = label if y is None else int(y[i])
        if label is not None and not 0 <= label < trainer.model.classes:
            raise Unreadable(
                f"{each.at(i)}, which is held out, must have a label in "
                f"0..{trainer.model.classes - 1}, got {label}"
            )
        x = ahead.recipe.changed(x, each.at(i), *chance, i) if ahead else x
        found.append((x, label))
    clean, labels = zip(*found, strict=True)
    return torch.stack(clean), None if labels[0] is None else torch.tensor(labels)


def _transformed(trainer):
    ahead = trainer.batches.ahead
    return ahead is not None and ahead.recipe.transform is not None


def _is_stream(data):
    once = is_hubs(data) and not hasattr(data, "__len__")
    return isinstance(data, Stream | IterableDataset) or isroutine(data) or once
