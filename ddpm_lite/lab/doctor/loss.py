r"""The loss: is it below what a covariance matrix knows, above what only the set knows?

Chapter 04 gives both bounds. The best linear prediction of the noise has the linear
ceiling for its loss, in closed form; a network that is not below it has learned nothing
that a covariance matrix does not know. The exact denoiser of the training set itself has
the finite set's floor; a network that comes near has memorised its pictures. All losses
are taken on the same draws, so that their ratios have small errors.
"""

import copy
import math

import torch

from ...denoiser import clip_of
from ...oracle import DataOracle
from ...process import noise_from_x_0, q_sample, to_noise, to_x_0
from ...seeds import generator_for
from ...training.batches import to_float
from ...training.instruments import BANDS
from .answers import ask
from .files import state_tensors
from .findings import Finding
from .pictures import some_floats, variances

_DRAWS = 200  # keeps these random draws apart from those of answers and samples
_MEASURABLE = 0.02  # a linear ceiling below it is lost in what any network is off by


def linear_ceiling(schedule, x_0, t):
    r"""The loss of the best linear prediction of the noise, which a network must beat.

    x_0: (N, C, H, W), float. t: int64 (n,) in 1..T. Returns float64 (n,), per dimension:
    the mean of a v / (a v + 1 - a) over variances v of the data, a = alpha_bar_t, in closed
    form (chapter 04). With up to 1,024 dimensions and ten times as many pictures, v are
    the eigenvalues of the covariance, and no linear prediction is better. Else they are
    the power spectrum: the best prediction that is linear in each Fourier coefficient by
    itself, so never below. Raises IndexError for t above T.
    """
    v, a = variances(x_0), schedule.alpha_bar[t]
    parts = [
        (part * v / (part * v + 1 - part)).mean(1)
        for part in a[:, None].split(max(1, int(2e7) // len(v)))
    ]
    return torch.cat(parts)


def bounded_loss(case):
    r"""Where does the EMA's loss lie, on pictures that it was trained on and on others?"""
    if case.pictures is None:
        return
    t, *_ = draws = _draws(case)
    x_0 = _as_trained(case, some_floats(case.pictures, 20_000))
    ceiling = linear_ceiling(case.schedule, x_0, t)
    if int((ceiling > _MEASURABLE).sum()) < 16:
        words = "These pictures vary so little that their loss tells nothing."
        yield Finding("note", "loss", words)
        return
    errors = _network(case, draws) | {"linear_ceiling": ceiling} | _floor(case, draws)
    yield _lag(errors)
    yield _below_ceiling(case, errors, t)
    yield from _memorised(case, errors, draws[2])


def _network(case, draws):
    r"""{"train", "held_out": the EMA's errors, "weights": those of what it averages}."""
    pictures, aside = case.pictures, case.held_out or case.pictures
    live = copy.deepcopy(case.model)
    live.load_state_dict(state_tensors(case.folder))
    return {
        "train": _errors(case, case.model, pictures, draws),
        "held_out": _errors(case, case.model, aside, draws),
        "weights": _errors(case, live.to(case.device), aside, draws),
    }


def _floor(case, draws):
    r"""{"finite_set_floor": errors of the training set's exact denoiser}, or {}."""
    pictures = case.pictures
    if pictures.x_0.numel() > 5e7:  # the set is too large to be looked up
        return {}
    x_0 = _as_trained(case, to_float(pictures.x_0, pictures.levels))
    oracle = DataOracle(case.schedule, x_0)
    return {"finite_set_floor": _errors(case, oracle, pictures, draws)}


def _lag(errors):
    r"""The EMA beside the weights that it averages, on the same draws."""
    where = errors["linear_ceiling"] > _MEASURABLE
    share, error = _ratio(errors["held_out"][where], errors["weights"][where])
    numbers = {"share": share, "standard_error": error}
    found = f"The EMA's loss is {share:.3f} times that of the weights it averages"
    if share - 2 * error > 1.1:
        words = (
            f"{found}, and samples come from it. Train on as lr falls, or lower ema_decay."
        )
        return Finding("wrong", "EMA lag", words, numbers)
    return Finding("ok", "EMA lag", f"{found}.", numbers)


def _below_ceiling(case, errors, t):
    r"""The EMA's loss as a share of the linear ceiling, over all t and in bands."""
    means = {name: float(error.mean()) for name, error in errors.items()}
    where = errors["linear_ceiling"] > _MEASURABLE
    share, error = _ratio(errors["train"][where], errors["linear_ceiling"][where])
    rows = _by_band(case, errors, t)
    numbers = means | {"share": share, "standard_error": error, "bands": rows}
    aside = f" (on held-out ones {means['held_out']:.4f})" if case.held_out else ""
    found = (
        f"The EMA's is {means['train']:.4f} on the training pictures{aside}, and their "
        f"linear ceiling {means['linear_ceiling']:.4f}; where that is above "
        f"{_MEASURABLE:g}, the loss is {share:.2f} of it"
    )
    if share - 2 * error > 1:
        words = (
            f"{found}. It has not learned yet what a covariance matrix knows: train "
            "longer; if the loss no longer falls, with a higher lr or a wider network."
        )
        return Finding("wrong", "loss", words, numbers)
    measurable = [row for row in rows if row["linear_ceiling"] > _MEASURABLE]
    above = [row for row in measurable if row["train"] > 1.1 * row["linear_ceiling"]]
    if above:
        row = max(above, key=lambda r: r["train"] / r["linear_ceiling"])
        words = (
            f"{found}. For t = {row['from']} to {row['to']} it is still "
            f"{row['train'] / row['linear_ceiling']:.2f}: longer training would pay."
        )
        return Finding("note", "loss", words, numbers)
    return Finding("ok", "loss", f"{found}.", numbers)


def _by_band(case, errors, t):
    r"""Mean errors in bands of t, a list of {"from", "to", whose: mean}."""
    rows = []
    for band in range(BANDS):
        here = (t - 1) * BANDS // case.schedule.T == band
        if here.any():
            row = {"from": int(t[here].min()), "to": int(t[here].max())}
            rows.append(row | {name: float(e[here].mean()) for name, e in errors.items()})
    return rows


def _memorised(case, errors, place):
    r"""How far the training set's loss has gone, from other pictures' to its own floor."""
    if "finite_set_floor" not in errors:
        return
    ceiling, floor = errors["linear_ceiling"], errors["finite_set_floor"]
    where = (ceiling > _MEASURABLE) & (floor < 0.5 * ceiling)
    if int(where.sum()) < 16:
        return
    apart = bool(case.held_out)
    start = (errors["held_out"] if apart else ceiling)[where]
    train, floor = errors["train"][where], floor[where]
    share, error = _ratio(start - train, start - floor)
    if apart:  # few pictures scatter more than their draws
        rest = start - start.mean() / ceiling[where].mean() * ceiling[where]  # t left out
        many = _between_pictures(rest, place[where], len(case.held_out))
        error = max(error, many / float((start - floor).mean()))
    finite = error if math.isfinite(error) else None
    numbers = {"share": share, "standard_error": finite}
    found = (
        f"From {'held-out pictures' if apart else 'the linear ceiling'} "
        f"({float(start.mean()):.3f}) to what only the training set knows "
        f"({float(floor.mean()):.3f}), its own loss ({float(train.mean()):.3f}) has gone "
        f"{max(0.0, share):.0%} of the way"
    )
    if share - 2 * error > (0.3 if apart else 0.9):
        words = (
            f"{found}: the network knows its pictures by heart. Stop earlier, or take more "
            "pictures, --flip, dropout or a smaller network."
        )
        yield Finding("wrong", "memorised", words, numbers)
    elif apart and error > 0.15:  # two of them reach from 0 to what is called wrong
        words = (
            f"{found}. Whether it knows them by heart cannot be told from "
            f"{len(case.held_out)} held-out pictures: set more aside in another run."
        )
        yield Finding("note", "memorised", words, numbers)
    elif apart and share - 2 * error > 0.1:
        words = f"{found}: the network begins to know its pictures by heart."
        yield Finding("note", "memorised", words, numbers)
    else:
        yield Finding("ok", "memorised", f"{found}.", numbers)


# --- losses on the same draws


def _draws(case):
    r"""t spread evenly over 1..T, noise, and which picture, as a share of all."""
    n, T, generator = case.draws, case.schedule.T, generator_for(_DRAWS)
    t = (torch.arange(n) * T + T // 2) // n % T + 1
    noise = torch.randn(n, *case.pictures.shape, generator=generator)
    return t, noise, torch.rand(n, generator=generator)


def _as_trained(case, x_0):
    r"""Pictures, with their mirror images where training flips them."""
    return torch.cat([x_0, x_0.flip(3)]) if case.config.train.flip else x_0


def _errors(case, denoiser, pictures, draws):
    r"""Mean squared error of the predicted noise for each draw, float64 (n,).

    What a denoiser predicts is turned into noise first, so that the bounds hold for all;
    with free ends, from an x_0 that is cut to the range, for beyond it nothing was learned.
    """
    t, noise, place = draws
    clip = clip_of(case.model) if case.config.train.free_ends else None
    index, errors = (place * len(pictures)).long(), []
    for part in torch.arange(len(t)).split(64):
        x_0 = pictures.to_float(index[part])
        x_t = q_sample(case.schedule, x_0, t[part], noise[part])
        y = None if pictures.y is None else pictures.y[index[part]]
        predicted = ask(case, denoiser, x_t, t[part], y)
        given = case.schedule, x_t, t[part]
        if clip is not None:
            x_0_pred = to_x_0(*given, predicted, denoiser.prediction, clip)
            predicted = noise_from_x_0(*given, x_0_pred)
        else:
            predicted = to_noise(*given, predicted, denoiser.prediction)
        errors.append((predicted - noise[part]).double().square().flatten(1).mean(1))
    return torch.cat(errors)


def _between_pictures(errors, place, many):
    r"""Standard error of a mean over pictures, of errors of draws; infinite for three.

    place: of each draw's picture among so many, as a share.
    """
    index = (place * many).long()
    drawn = index.bincount(minlength=many)
    means = (index.bincount(errors, many) / drawn)[drawn > 0]
    return float(means.std()) / math.sqrt(len(means)) if len(means) > 3 else math.inf


def _ratio(above, below):
    r"""Mean over mean of paired numbers, and its standard error."""
    share = above.mean() / below.mean()
    left = (above - share * below).std() / math.sqrt(len(above))
    return float(share), abs(float(left / below.mean()))
