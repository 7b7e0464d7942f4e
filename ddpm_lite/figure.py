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
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
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

STYLE = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "figure.dpi": 100,
    "lines.linewidth": 1.6,
    "svg.hashsalt": "ddpm",
}


def canvas(rows=1, columns=1, width=7.0, height=2.8, **subplots):
    r"""An empty figure in the book's style, and its axes.

    width, height: in inches. subplots: passed on to matplotlib's `Figure.subplots`.
    Returns (figure, axes), axes as `Figure.subplots` gives them.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        return figure, figure.subplots(rows, columns, **subplots)


def strip(arrays, titles, colours="x_t", columns=None, limit=None, size=1.5):
    r"""One panel for each array, side by side: points as a scatter, pictures as pixels.

    arrays: each (N, 2) points, or one picture (C, H, W) in [-1, 1], C 1 or 3.
    titles: one string each; `$x_t$` is set as mathematics. colours: a name in COLOURS
    for the points, or one for each panel. columns: panels in a row, all in one if None.
    limit: points are shown in [-limit, limit]; the largest coordinate if None.
    Returns a figure. Raises ValueError where titles and arrays differ in number.
    """
    arrays = [_array(a) for a in arrays]
    if len(arrays) != len(titles):
        raise ValueError(f"got {len(arrays)} arrays but {len(titles)} titles")
    colours = [colours] * len(arrays) if isinstance(colours, str) else colours
    columns = columns or len(arrays)
    rows = -(-len(arrays) // columns)
    limit = limit or _limit(arrays)
    figure, axes = canvas(
        rows, columns, width=size * columns, height=(size + 0.25) * rows, squeeze=False
    )
    for axis in axes.flat[len(arrays) :]:
        axis.set_axis_off()
    for axis, array, title, colour in zip(axes.flat, arrays, titles, colours, strict=False):
        draw(axis, array, COLOURS[colour], limit)
        axis.set_title(title)
    return figure


def image_grid(pictures, columns=10, title=None, size=0.62):
    r"""Pictures in rows, without gaps between axes to distract from them.

    pictures: (N, C, H, W) in [-1, 1], C 1 or 3. Returns a figure.
    Raises ValueError for another shape or values outside the range by more than 1e-3.
    """
    pictures = _array(pictures)
    if pictures.ndim != 4 or np.abs(pictures).max() > 1 + 1e-3:
        raise ValueError(
            f"pictures must be (N, C, H, W) in [-1, 1], got {pictures.shape} up to "
            f"{np.abs(pictures).max():.3g}"
        )
    rows = -(-len(pictures) // columns)
    figure, axis = canvas(width=size * columns, height=size * rows + 0.3 * bool(title))
    axis.imshow(tile(pictures, columns), cmap="gray", vmin=-1, vmax=1)
    axis.set_axis_off()
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
        axis.scatter(*array.T, s=2, color=colour, alpha=0.35, linewidths=0)
        axis.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        for spine in axis.spines.values():
            spine.set(visible=True, color="#bbbbbb")
    else:
        axis.imshow(tile(array[None], 1), cmap="gray", vmin=-1, vmax=1)
    axis.grid(False)
    axis.set(xticks=[], yticks=[])


def film_frames(arrays, titles, colours="x_t", limit=None, size=2.6, dpi=72):
    r"""Render each array as one picture of a film.

    Arguments as for `strip`; an entry of `arrays` may be a tuple of arrays, shown side
    by side, with a tuple of colours. Returns a list of PIL images of one size.
    """
    arrays = [a if isinstance(a, tuple) else (a,) for a in arrays]
    arrays = [tuple(_array(b) for b in a) for a in arrays]
    colours = [colours] * len(arrays[0]) if isinstance(colours, str) else colours
    limit = limit or _limit([b for a in arrays for b in a])
    frames = []
    for panels, title in zip(arrays, titles, strict=True):
        figure, axes = canvas(
            1, len(panels), width=size * len(panels), height=size + 0.35, squeeze=False
        )
        for axis, array, colour in zip(axes.flat, panels, colours, strict=True):
            draw(axis, array, COLOURS[colour], limit)
        figure.suptitle(title, fontsize=11)
        frames.append(Image.open(io.BytesIO(png(figure, dpi))).convert("RGB"))
    return frames


def gif(frames, seconds=0.1, hold=1.2, colours=24):
    r"""Put frames together to an animated GIF that loops and rests on its last frame.

    frames: PIL images of one size. seconds: for each, hold: for the last. colours:
    fewer make a smaller file. Returns bytes, the same for the same frames.
    """
    frames = [
        f.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        for f in frames
    ]
    durations = [round(1000 * seconds)] * (len(frames) - 1) + [round(1000 * hold)]
    file = io.BytesIO()
    frames[0].save(
        file,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        loop=0,
        duration=durations,
        optimize=True,
    )
    return file.getvalue()


def html_player(frames, label="film", seconds=0.1):
    r"""The same film with a slider and a play button, as one piece of HTML.

    frames: PIL images. label: what a screen reader says. Needs no network and no
    library. Returns a string for `IPython.display.HTML` or a file.
    """
    sources = []
    for frame in frames:
        file = io.BytesIO()
        frame.quantize(24).save(file, format="PNG", optimize=True)
        sources.append(
            "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
        )
    width, height = frames[0].size
    listed = ",".join(f'"{source}"' for source in sources)
    last = len(frames) - 1
    return f"""<div class="ddpm-player" style="width:{width}px">
<img width="{width}" height="{height}" alt="{escape(label)}" src="{sources[0]}">
<div style="display:flex;gap:8px">
<button type="button" aria-label="play or pause">&#9654;</button>
<input type="range" min="0" max="{last}" value="0" aria-label="frame" style="flex:1">
</div>
<script>
(function (root) {{
  var frames = [{listed}], timer = null;
  var image = root.querySelector("img"), slider = root.querySelector("input");
  var button = root.querySelector("button");
  function show(i) {{ slider.value = i; image.src = frames[i]; }}
  function stop() {{ clearInterval(timer); timer = null; button.textContent = "\\u25B6"; }}
  slider.oninput = function () {{ stop(); show(+slider.value); }};
  button.onclick = function () {{
    if (timer) {{ stop(); return; }}
    button.textContent = "\\u23F8";
    timer = setInterval(function () {{
      show((+slider.value + 1) % frames.length);
    }}, {round(1000 * seconds)});
  }};
}})(document.currentScript.parentElement);
</script></div>"""


def png(figure, dpi=100, **options):
    r"""A figure as PNG bytes, the same for the same figure, in at most 256 colours.

    options: of Pillow's `save`.
    """
    file, small = io.BytesIO(), io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(file, format="png", dpi=dpi)
    picture = Image.open(file).convert("RGB")
    picture = picture.quantize(
        256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    picture.save(small, format="PNG", optimize=True, **options)
    return small.getvalue()


def save(picture, path):
    r"""Write a figure (as PNG) or film (bytes of a GIF) to a file, and return its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(picture, bytes):
        picture = png(picture, dpi=130, pnginfo=mark("figure"))
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

    picture: a figure, or the bytes of a GIF. alt: what is to be seen, one sentence at
    least; it stands in the notebook's metadata and as the output's plain text.
    Raises ValueError for an alt of fewer than 20 characters.
    """
    from IPython.display import display

    if len(alt) < 20:
        raise ValueError(f"alt must say in a sentence what is to be seen, got {alt!r}")
    kind = "image/gif" if isinstance(picture, bytes) else "image/png"
    content = picture if isinstance(picture, bytes) else png(picture)
    bundle = {kind: base64.b64encode(content).decode(), "text/plain": alt}
    display(bundle, raw=True, metadata={kind: {"alt": alt}})


def _array(value):
    if isinstance(value, torch.Tensor):
        value = value.detach().float().cpu().numpy()
    return np.asarray(value)


def _limit(arrays):
    points = [np.abs(a).max() for a in arrays if a.ndim == 2]
    return 1.05 * max(points, default=1.0)
