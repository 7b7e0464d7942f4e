r"""One picture of a run: loss, loss by bands of t, gradient, learning rate, EMA, speed."""

import math
from pathlib import Path

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from .. import figure
from ..formats.checkpoint import read_json
from .instruments import BANDS, read_log

_GREY, _BLUE, _RED = (figure.COLOURS[name] for name in ("x_t", "x_0", "noise"))
_GREEN, _PURPLE = figure.COLOURS["prediction"], figure.COLOURS["extra"]
# from data at small t to noise at large t, in the colours that both have in the book
_OF_T = LinearSegmentedColormap.from_list("t", [_BLUE, "#8C8C8C", _RED])


def draw_curves(run, out, *, log_steps=False):
    r"""Draw the curves of a run as one PNG.

    run: the folder. out: the file to write. log_steps: steps on a logarithmic axis.
    Returns the path. Raises FileNotFoundError where there is no run, and ValueError where
    there are no metrics yet or a line of them is not whole.
    """
    run = Path(run)
    if not (run / "config.json").is_file():
        raise FileNotFoundError(f"{run} is not the folder of a run: it has no config.json")
    about = read_json(run / "config.json")
    train = about.get("train", {})
    lines, timing = _read(run / "metrics.jsonl"), _read(run / "timing.jsonl")
    steps = [line for line in lines if "loss" in line]
    if not steps:
        every = train.get("log_every", "log_every")
        raise ValueError(
            f"{run} has no metrics to draw yet: their first line comes after {every} steps"
        )
    held_out = [line for line in lines if "held_out_loss" in line]
    chart, axes = figure.canvas(
        3, 2, width=10, height=9, sharex=True, gridspec_kw={"height_ratios": [1.5, 1, 1]}
    )
    _loss(axes[0, 0], steps, held_out)
    _bands(axes[0, 1], steps, about.get("unet", {}).get("T"))
    _gradient(axes[1, 0], steps, train.get("grad_clip"))
    _rate(axes[1, 1], steps, train.get("lr"))
    _average(axes[2, 0], steps, train.get("ema_decay"))
    _speed(axes[2, 1], timing)
    last = int(max(line["step"] for line in lines))
    for axis in axes.flat:
        axis.tick_params(labelsize=9)
        axis.yaxis.label.set_size(9)
        axis.set_xlim((steps[0]["step"], last) if log_steps else (0, last))
    axes[0, 0].set_xscale("log" if log_steps else "linear")  # the axes share it
    for axis in axes[2]:
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axis.set_xlabel("step", fontsize=9)
    chart.align_ylabels()
    chart.suptitle(_name(run, about, last), fontsize=12, fontweight="bold")
    return figure.save(chart, out)


def smooth(values, width):
    r"""Means over `width` neighbours, over fewer near the ends, as many on either side.

    values: (N,); NaN is left out. width: odd, and 1 changes nothing. Returns (N,), whose
    ends are those of `values`.
    """
    values = np.asarray(values, dtype=float)
    means = np.full(len(values), math.nan)
    for i in range(len(values)):
        side = min(width // 2, i, len(values) - 1 - i)
        near = values[i - side : i + side + 1]
        if np.isfinite(near).any():
            means[i] = near[np.isfinite(near)].mean()
    return means


def _read(path):
    try:
        return read_log(path)
    except ValueError as error:
        raise ValueError(
            f"a line of {path} is not whole ({error}): cut it off, or resume the run, "
            "which does so"
        ) from error


def _column(lines, name):
    values = [line.get(name) for line in lines]
    return np.array([math.nan if v is None else v for v in values], dtype=float)


def _smooth_loss(loss):
    r"""Means of logarithms, which a steep start does not drag upwards."""
    return np.exp(smooth(np.log(loss), 1 + 2 * (len(loss) // 40)))


def _head(axis, title, unit):
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_ylabel(unit)


def _loss(axis, lines, held_out):
    step, loss = _column(lines, "step"), _column(lines, "loss")
    mean = _smooth_loss(loss)
    axis.plot(step, loss, color=_GREY, alpha=0.35, linewidth=1)
    axis.plot(step, mean, color=_GREY, linewidth=2, label="training")
    title = f"loss {loss[-1]:.4f}"
    if held_out:
        aside = _column(held_out, "held_out_loss")
        axis.plot(
            _column(held_out, "step"),
            aside,
            color=_GREEN,
            marker="o",
            markersize=5,
            linewidth=1,
            clip_on=False,
            zorder=3,
            label="EMA on held-out pictures",
        )
        title += f"; held-out pictures {aside[-1]:.4f}"
    _log_scale(axis)
    _head(axis, title, "loss per dimension")
    axis.legend(frameon=False, fontsize=9)


def _bands(axis, lines, T):
    r"""Ten lines, named with their last value where they end: a heat map has no values."""
    step, rows = _column(lines, "step"), [line["loss_bands"] for line in lines]
    ends = {}
    for band in range(BANDS):
        loss = np.array([math.nan if r[band] is None else r[band] for r in rows])
        mean = _smooth_loss(loss)
        axis.plot(step, mean, color=_OF_T(band / (BANDS - 1)), linewidth=1.6)
        if np.isfinite(mean).any():
            ends[band] = mean[np.isfinite(mean)][-1]
    _log_scale(axis)
    low, high = axis.get_ylim()
    places = {b: math.log(v / low) / math.log(high / low) for b, v in ends.items()}
    for band, place in _apart(places).items():
        axis.annotate(
            f"{_band_name(band, T)}:  {ends[band]:.2g}",
            (1, place),
            xytext=(6, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=8,
            va="center",
            color=_OF_T(band / (BANDS - 1)),
            annotation_clip=False,
        )
    _head(axis, "loss by bands of t, from data (blue) to noise (red)", "")


def _band_name(band, T):
    if T is None:
        return f"band {band + 1} of {BANDS}"
    before, last = (-(-T * b // BANDS) for b in (band, band + 1))
    return f"t {before + 1}\u2013{last}" if last > before + 1 else f"t {last}"


def _apart(places, gap=0.06):
    r"""Move labels at heights in [0, 1], {name: height}, apart until they can be read."""
    order = sorted(places, key=places.get)
    heights = [places[name] for name in order]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    top = 1.0
    for i in reversed(range(len(heights))):
        heights[i] = min(heights[i], top)
        top = heights[i] - gap
    return dict(zip(order, heights, strict=True))


def _limit(axis, height, words):
    axis.axhline(height, color=_PURPLE, linestyle="--", linewidth=1.2)
    axis.annotate(
        words,
        (0.99, height),
        xytext=(0, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        fontsize=9,
        color=_PURPLE,
    )


def _gradient(axis, lines, limit):
    step, mean = _column(lines, "step"), _column(lines, "grad_norm")
    largest, clipped = _column(lines, "grad_norm_max"), _column(lines, "clipped")
    axis.plot(step, largest, color=_GREY, alpha=0.5, linewidth=1, label="largest")
    axis.plot(step, mean, color=_BLUE, linewidth=1.6, label="mean")
    title = f"gradient norm {mean[-1]:.3g}"
    if limit is not None:
        _limit(axis, limit, f"cut at {limit:g}")
        title += f"; cut in {clipped[-1]:.0%} of the last steps"
    _log_scale(axis)
    axis.set_ylim(top=2.5 * axis.get_ylim()[1])  # room for the legend
    _head(axis, title, "norm")
    axis.legend(frameon=False, fontsize=9, loc="upper right", ncols=2)


def _rate(axis, lines, lr):
    step, rate = _column(lines, "step"), _column(lines, "lr")
    axis.plot(step, rate, color=_BLUE, linewidth=1.6)
    axis.set_ylim(0, 1.08 * np.nanmax(rate))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    known = "" if lr is None else f"; lr = {lr:g}"
    _head(axis, f"learning rate {rate[-1]:.2g}{known}", "learning rate")


def _average(axis, lines, decay):
    step, share = _column(lines, "step"), _column(lines, "ema_initial_share")
    shown = np.where(share > 0, share, math.nan)
    axis.plot(step, shown, color=_GREEN, linewidth=1.6)
    axis.set_yscale("log")
    axis.set_ylim(min(1e-4, np.nanmin(shown, initial=1.0) / 10), 5)
    axis.yaxis.set_major_locator(LogLocator(numticks=7))
    axis.yaxis.set_minor_formatter(NullFormatter())
    _limit(axis, 0.01, "1 %: above it, samples show the random start")
    known = "" if decay is None else f"; ema_decay = {decay:g}"
    _head(axis, f"initial weights in the EMA {share[-1]:.0e}{known}", "share")


def _speed(axis, timing):
    newest = {line["step"]: line["examples_per_second"] for line in timing}
    step = sorted(newest)  # a resumed run has timed some steps twice
    speed = [newest[s] for s in step]
    axis.plot(step, speed, color=_GREY, linewidth=1.6)
    axis.set_ylim(0, 1.08 * max(speed, default=1))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    title = f"speed, median {np.median(speed):,.0f} pictures/s" if speed else "no timing"
    _head(axis, title, "pictures/s")


def _log_scale(axis):
    r"""A logarithmic axis with plain numbers, also between powers of ten if it is short."""
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    subs = (1, 2, 5) if high / low < 50 else (1,)
    axis.yaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _name(run, about, last):
    data, steps = about.get("described", {}), about.get("train", {}).get("steps")
    parts = ["/".join(run.resolve().parts[-2:])]
    if "pictures" in data:
        parts.append(f"{data['pictures']:,} pictures of {data['name']}")
    parts.append(f"step {last:,}" + (f" of {steps:,}" if steps else ""))
    return "  \u00b7  ".join(parts)
