r"""Pictures of points, images and chains; films; all from arrays alone.

The colours mean the same all through the book (Okabe and Ito's, told apart by colour
blind readers too). No function here touches matplotlib's global state.
"""

import base64
import io
from html import escape
from pathlib import Path

import numpy as np
import torch
from matplotlib import rc_context, ticker
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin

from .checks import DRAWN

COLOURS = {
    "x_0": "#0072B2",  # data: blue
    "x_t": "#595959",  # anything on the way: grey
    "noise": "#D55E00",  # noise: vermilion
    "prediction": "#009E73",  # what a model says: green
    "extra": "#CC79A7",  # a second model or a bound: purple
}

SHARP = 2  # pixels of a picture for one on the page, for screens that have as many
FILM = 1.5  # the same for films, which would be twice as large with 2
INCH = 100  # pixels on the page

STYLE = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "figure.dpi": INCH,
    "lines.linewidth": 1.6,
    "svg.hashsalt": "ddpm",
}


def shades(colour, n):
    r"""n shades of a colour of the book, from dark to light, for n values of one thing."""
    rgb = np.array(to_rgb(COLOURS[colour]))
    darker, lighter = 0.45 * rgb, 1 - 0.55 * (1 - rgb)
    return [tuple(darker + share * (lighter - darker)) for share in np.linspace(0, 1, n)]


def canvas(rows=1, columns=1, width=7.0, height=2.8, **subplots):
    r"""An empty figure in the book's style, and its axes.

    width, height: in inches. subplots: passed on to matplotlib's `Figure.subplots`.
    Returns (figure, axes), axes as `Figure.subplots` gives them.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        return figure, figure.subplots(rows, columns, **subplots)


def strip(arrays, titles, colours="x_t", columns=None, limit=None, size=1.5, labels=None):
    r"""One panel for each array, side by side: points as a scatter, pictures as pixels.

    arrays: each (N, 2) points, or one picture (C, H, W) in [-1, 1], C 1 or 3.
    titles: one string each; `$x_t$` is set as mathematics. colours: a name in COLOURS
    for the points, or one for each panel. columns: panels in a row, all in one if None.
    limit: points are shown in [-limit, limit]; the largest coordinate if None. labels: one
    for each row, at its left. Returns a figure. Raises ValueError where titles and arrays,
    or labels and rows, differ in number.
    """
    arrays = [_array(a) for a in arrays]
    if len(arrays) != len(titles):
        raise ValueError(f"got {len(arrays)} arrays but {len(titles)} titles")
    colours = [colours] * len(arrays) if isinstance(colours, str) else colours
    columns = columns or len(arrays)
    rows = -(-len(arrays) // columns)
    limit = limit or _limit(arrays)
    width = size * columns + _room(labels, rows)
    height = (size + 0.25) * rows
    figure, axes = canvas(rows, columns, width=width, height=height, squeeze=False)
    for axis in axes.flat[len(arrays) :]:
        axis.set_axis_off()
    for axis, array, title, colour in zip(axes.flat, arrays, titles, colours, strict=False):
        draw(axis, array, COLOURS[colour], limit)
        axis.set_title(title)
    for axis, label in zip(axes[:, 0], labels or [], strict=False):
        axis.set_ylabel(label, rotation=0, ha="right", va="center")
    return figure


def image_grid(pictures, columns=10, title=None, size=0.62, labels=None):
    r"""Pictures in rows, without gaps between axes to distract from them.

    pictures: (N, C, H, W) in [-1, 1], C 1 or 3. labels: one for each row, at its left; a
    row without is None or "". Returns a figure. Raises ValueError for another shape, for
    values outside the range by more than 1e-3, or another number of labels.
    """
    pictures = _array(pictures)
    if pictures.ndim != 4 or np.abs(pictures).max() > 1 + 1e-3:
        raise ValueError(
            f"pictures must be (N, C, H, W) in [-1, 1], got {pictures.shape} up to "
            f"{np.abs(pictures).max():.3g}"
        )
    rows = -(-len(pictures) // columns)
    room = _room(labels, rows)
    shape = dict(width=size * columns + room, height=size * rows + 0.3 * bool(title))
    figure, axis = canvas(**shape)
    axis.imshow(tile(pictures, columns), cmap="gray", vmin=-1, vmax=1)
    axis.set_axis_off()
    step = pictures.shape[2] + 1  # a row and the line below it
    for row, label in enumerate(labels or []):
        middle = row * step + step / 2 - 1
        axis.annotate(
            label or "",
            (0, middle),
            xycoords=("axes fraction", "data"),
            xytext=(-6, 0),
            textcoords="offset points",
            ha="right",
            va="center",
        )
    if title:
        axis.set_title(title)
    return figure


def tile(pictures, columns, gap=1):
    r"""One big picture out of many, white lines between them.

    pictures: (N, C, H, W) in [-1, 1]. Returns (rows, columns) for C = 1, else with a
    last axis of 3 in [0, 1], as `imshow` takes it.
    """
    pictures = _array(pictures)
    N, C, H, W = pictures.shape
    rows = -(-N // columns)
    big = np.ones((C, rows * (H + gap) - gap, columns * (W + gap) - gap))
    for i, picture in enumerate(pictures):
        y, x = i // columns * (H + gap), i % columns * (W + gap)
        big[:, y : y + H, x : x + W] = picture
    return big[0] if C == 1 else (np.moveaxis(big, 0, -1) + 1) / 2


def draw(axis, array, colour, limit):
    r"""Draw points (N, 2) or one picture (C, H, W) on a matplotlib axis, without ticks."""
    array = _array(array)
    if array.ndim == 2:
        area = min(9, max(3, 4000 / len(array)))  # square points: fewer are larger
        axis.scatter(*array.T, s=area, color=colour, alpha=0.5, linewidths=0)
        axis.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        for spine in axis.spines.values():
            spine.set(visible=True, color="#bbbbbb")
    else:
        axis.imshow(tile(array[None], 1), cmap="gray", vmin=-1, vmax=1)
    axis.grid(False)
    axis.set(xticks=[], yticks=[])


def film_frames(arrays, titles, colours="x_t", limit=None, size=None, dpi=FILM * INCH):
    r"""Render each array as one picture of a film.

    Arguments as for `strip`; an entry of `arrays` may be a tuple of arrays, shown side
    by side, with a tuple of colours. size: of one panel, in inches; if None, the film is
    about five inches wide. Returns a list of PIL images of one size.
    """
    arrays = [a if isinstance(a, tuple) else (a,) for a in arrays]
    arrays = [tuple(_array(b) for b in a) for a in arrays]
    panels = len(arrays[0])
    colours = [colours] * panels if isinstance(colours, str) else colours
    limit = limit or _limit([b for a in arrays for b in a])
    size = size or max(2.6, 4.8 / panels)
    shape = dict(width=size * panels, height=size + 0.35, squeeze=False)
    figure, axes = canvas(1, panels, **shape)
    frames, heading = [], figure.suptitle("")
    for shown, title in zip(arrays, titles, strict=True):
        for axis, array, colour in zip(axes.flat, shown, colours, strict=True):
            axis.clear()
            draw(axis, array, COLOURS[colour], limit)
        heading.set(text=title, fontsize=11)  # keeps the place of the first one
        frames.append(_rendered(figure, dpi))
        figure.set_layout_engine("none")  # the first frame's, so that nothing jumps
    return frames


def film(frames, seconds=0.1, hold=1.2):
    r"""Put frames together to an animated WebP that loops and rests on its last frame.

    frames: PIL images of one size, kept as they are, pixel for pixel. seconds: for each,
    hold: for the last. Returns bytes, the same for the same frames. A browser shows it,
    and nothing else needs to: see `show`. `gif` makes the same for a README.
    """
    file = io.BytesIO()
    frames[0].save(
        file,
        format="WEBP",
        save_all=True,
        append_images=frames[1:],
        loop=0,
        duration=_durations(frames, seconds, hold),
        lossless=True,
        quality=50,
        method=2,
    )
    return file.getvalue()


def gif(frames, seconds=0.1, hold=1.2, colours=24):
    r"""Put frames together to an animated GIF that loops and rests on its last frame.

    frames: PIL images of one size. seconds: for each, hold: for the last. colours:
    fewer make a smaller file. Returns bytes, the same for the same frames.
    """
    frames = [
        f.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        for f in frames
    ]
    file = io.BytesIO()
    frames[0].save(
        file,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        loop=0,
        duration=_durations(frames, seconds, hold),
        optimize=True,
    )
    return file.getvalue()


def png(figure, dpi=SHARP * INCH, **options):
    r"""A figure as PNG bytes, the same for the same figure, in at most 256 colours.

    options: of Pillow's `save`.
    """
    return _packed(_rendered(figure, dpi), **options)


def save(picture, path):
    r"""Write a figure (as PNG) or film (bytes of a GIF) to a file, and return its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(picture, bytes):
        picture = png(picture, pnginfo=mark("figure"))
    path.write_bytes(picture)
    return path


def mark(kind):
    r"""What a PNG says of where it comes from, so that no run trains on it unawares.

    kind: "figure", which is nothing to train on, or "picture", a single sample.
    """
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", f"{DRAWN}: {kind}")
    return info


def save_pictures(pictures, path, columns=8, least=640):
    r"""Write pictures as one PNG, pixel for pixel, in rows with white lines between.

    pictures: (N, C, H, W) in [-1, 1], C 1 or 3. least: the width in pixels up to which
    small pictures are enlarged, by a whole number. Returns the path. Raises ValueError
    for another number of channels.
    """
    pictures = _array(pictures)
    if pictures.shape[1] not in (1, 3):
        raise ValueError(f"pictures must have 1 or 3 channels, got {pictures.shape[1]}")
    big = tile(np.clip(pictures, -1, 1), min(columns, len(pictures)))
    big = (big + 1) / 2 if big.ndim == 2 else big
    scale = max(1, -(-least // big.shape[1]))
    big = big.repeat(scale, 0).repeat(scale, 1)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    info = mark("picture" if len(pictures) == 1 else "figure")
    Image.fromarray((big * 255).round().astype(np.uint8)).save(path, pnginfo=info)
    return path


def save_series(series, path, columns=4, title=""):
    r"""Write series as one PNG: a small plot of each, in their own units.

    series: (N, C, L), a curve for each channel. columns: plots in a row. Returns the
    path. Raises ValueError for another shape.
    """
    series = _array(series)
    if series.ndim != 3:
        raise ValueError(f"series must be (N, C, L), got {series.shape}")
    columns, N = min(columns, len(series)), len(series)
    rows = -(-N // columns)
    picture, axes = canvas(
        rows,
        columns,
        width=2.2 * columns + 0.4,
        height=1.1 * rows + 0.5,
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for axis in axes.flat[N:]:
        axis.set_axis_off()
    for axis, one in zip(axes.flat, series, strict=False):
        axis.plot(one.T, linewidth=0.9)
    if title:
        picture.suptitle(title, fontsize=10)
    picture.supxlabel("place in the series", fontsize=10)
    return save(picture, path)


def show(picture, alt):
    r"""Show a figure or film in a notebook, with a text for those who cannot see it.

    picture: a figure, or the bytes of a film. alt: what is to be seen, one sentence at
    least. The page gets an `<img>` with alt, sharp on screens of small pixels; it shrinks
    with the column. Beside it lie a PNG, for a film of four of its frames, for viewers that
    strip HTML, and alt as plain text. Both have few colours, so that a notebook is small.
    Raises ValueError for an alt of fewer than 20 characters.
    """
    from IPython.display import display

    if len(alt) < 20:
        raise ValueError(f"alt must say in a sentence what is to be seen, got {alt!r}")
    if isinstance(picture, bytes):
        sharp, still = picture, _packed(_four(picture))
    else:
        file = io.BytesIO()
        lean = _few_colours(_rendered(picture, SHARP * INCH)).convert("RGB")
        lean.save(file, format="WEBP", lossless=True, quality=60, method=4)
        sharp, still = file.getvalue(), _packed(_few_colours(_rendered(picture, INCH)))
    bundle = {
        "text/html": _img(sharp, alt),
        "image/png": base64.b64encode(still).decode(),
        "text/plain": alt,
    }
    display(bundle, raw=True, metadata={"image/png": {"alt": alt}})


def _img(content, alt):
    r"""The bytes of a picture as an `<img>` that needs nothing beside itself."""
    with Image.open(io.BytesIO(content)) as picture:
        scale = FILM if getattr(picture, "is_animated", False) else SHARP
        width, kind = round(picture.width / scale), Image.MIME[picture.format]
    source = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    style = "max-width:100%;height:auto"
    return f'<img alt="{escape(alt)}" width="{width}" style="{style}" src="{source}">'


def _four(film):
    r"""Four frames of a film, the first and the last among them, in one or two rows."""
    with Image.open(io.BytesIO(film)) as movie:
        chosen = np.linspace(0, movie.n_frames - 1, 4).round().astype(int)
        width, height = (round(side / FILM) for side in movie.size)
        columns = 4 if width <= 250 else 2  # wide ones could not be read side by side
        rows = Image.new("RGB", (columns * width, 4 // columns * height), "white")
        for place, number in enumerate(chosen):
            movie.seek(int(number))
            small = movie.convert("RGB").resize((width, height), Image.Resampling.BOX)
            rows.paste(small, (place % columns * width, place // columns * height))
    return rows


def _durations(frames, seconds, hold):
    return [round(1000 * seconds)] * (len(frames) - 1) + [round(1000 * hold)]


def _rendered(figure, dpi):
    r"""A figure as a PIL image, at so many pixels an inch."""
    with rc_context(STYLE):
        _plain_ticks(figure)
        figure.set_dpi(dpi)
        figure.canvas.draw()
        return Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])


def _few_colours(picture):
    r"""An RGB PIL image in 32, 64, 128 or 256 colours, the fewest that do.

    They do where at most one pixel in 200 is off by more than 12 of 255 levels.
    """
    wanted = np.asarray(picture, dtype=np.int16)
    for colours in (32, 64, 128, 256):
        lean = _reduced(picture, colours)
        got = np.asarray(lean.convert("RGB"), dtype=np.int16)
        if (np.abs(got - wanted).max(-1) > 12).mean() <= 1 / 200:
            break
    return lean


def _reduced(picture, colours):
    how = {"method": Image.Quantize.MEDIANCUT, "dither": Image.Dither.NONE}
    return picture.quantize(colours, **how)


def _packed(picture, **options):
    r"""A PIL image as the bytes of a small PNG, in at most 256 colours."""
    file = io.BytesIO()
    picture = picture if picture.mode == "P" else _reduced(picture, 256)
    picture.save(file, format="PNG", optimize=True, **options)
    return file.getvalue()


class _Plain(ticker.LogFormatterSciNotation):
    r"""The labels that matplotlib chooses for a logarithmic axis, as 1.2 or 0.05."""

    def __call__(self, x, pos=None):
        return f"{x:g}" if super().__call__(x, pos) else ""


def _plain_ticks(figure):
    r"""Say 1.2 and not 1.2 x 10^0 where a logarithmic axis spans less than two decades."""
    for axis in [one for axes in figure.axes for one in (axes.xaxis, axes.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        if axis.get_scale() != "log" or not 0.001 <= low < high < min(100 * low, 1e5):
            continue
        if type(axis.get_major_formatter()) is ticker.LogFormatterSciNotation:
            axis.set_major_formatter(_Plain(labelOnlyBase=True))
        if type(axis.get_minor_formatter()) is ticker.LogFormatterSciNotation:
            axis.set_minor_formatter(_Plain(labelOnlyBase=False))


def _room(labels, rows):
    r"""Inches that the labels of rows take at the left."""
    if not labels:
        return 0.0
    if len(labels) != rows:
        raise ValueError(f"got {len(labels)} labels for {rows} rows")
    lines = [line for label in labels for line in (label or "").splitlines()]
    return 0.15 + 0.075 * max(map(len, lines), default=0)


def _array(value):
    if isinstance(value, torch.Tensor):
        value = value.detach().float().cpu().numpy()
    return np.asarray(value)


def _limit(arrays):
    points = [np.abs(a).max() for a in arrays if a.ndim == 2]
    return 1.05 * max(points, default=1.0)
