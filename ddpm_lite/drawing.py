r"""What a lecturer draws on the board: nodes, arrows, vectors, bumps and braces.

A sheet has the coordinates you give it and no axes. Colours are names in `figure.COLOURS`,
so that data, noise and predictions look here as they do in the plots. Words stand on the
thing that they name; `$x_t$` is set as mathematics.
"""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

from .figure import COLOURS, canvas

SHAPES = ("circle", "box")
SIDES = {"above": (0, 1), "below": (0, -1), "left": (-1, 0), "right": (1, 0)}
ALIGNED = {"above": ("center", "bottom"), "below": ("center", "top")}
ALIGNED |= {"left": ("right", "center"), "right": ("left", "center")}
AWAY = 4  # points between a thing and its words
BEHIND, LINES, THINGS, WORDS = 1, 2, 3, 4  # what lies upon what


def sheet(width=7.0, height=2.4, right=None, top=None, left=0.0, bottom=0.0):
    r"""An empty sheet. width, height: in inches, 7 is the width of a page of the book.

    left to right, bottom to top: its coordinates, inches if none are given; both units are
    equally long on paper only if the two shapes agree. Returns (figure, axis).
    """
    figure, axis = canvas(width=width, height=height)
    right = left + width if right is None else right
    top = bottom + height if top is None else top
    axis.set(xlim=(left, right), ylim=(bottom, top))
    axis.set_axis_off()
    return figure, axis


def pale(colour, share=0.16):
    r"""A colour of the book, mixed with so much white that words can be read on it."""
    return tuple(1 - share * (1 - np.array(to_rgb(COLOURS[colour]))))


def node(axis, at, words, colour="x_t", shape="circle", size=(0.56, 0.56), dashed=False):
    r"""A circle for a random variable, or a box for a network or a step, around its words.

    at: its middle. size: (width, height); a circle takes the width. dashed: something that
    nobody sees. Returns the patch, which `arrow` takes as an end. Raises ValueError for
    another shape.
    """
    _known("shape", shape, SHAPES)
    look = dict(edgecolor=COLOURS[colour], facecolor=pale(colour), linewidth=1.6)
    look |= dict(linestyle="--" if dashed else "-", zorder=THINGS)
    if shape == "circle":
        patch = Circle(at, size[0] / 2, **look)
    else:
        (x, y), (width, height) = at, size
        rounded = dict(boxstyle=f"round,pad=0,rounding_size={0.15 * min(size)}")
        patch = FancyBboxPatch((x - width / 2, y - height / 2), *size, **rounded, **look)
    axis.add_patch(patch)
    axis.text(*at, words, ha="center", va="center", zorder=WORDS)
    return patch


def arrow(axis, start, end, words="", colour="x_t", side="above", bend=0.0, dashed=False):
    r"""An arrow between two points or nodes, with its words at the middle.

    bend: 0 is straight, 0.3 an arc to the left of the way, -0.3 to the right. side: of
    the middle on which the words stand, a name in SIDES. Returns the patch.
    """
    _known("side", side, SIDES)
    ends, patches = [], {}
    for name, thing in (("patchA", start), ("patchB", end)):
        ends.append(middle(thing))
        patches |= {name: None if isinstance(thing, tuple) else thing}
    look = dict(arrowstyle="-|>", mutation_scale=13, linewidth=1.6, zorder=LINES)
    look |= dict(color=COLOURS[colour], linestyle="--" if dashed else "-")
    bent = dict(connectionstyle=f"arc3,rad={-bend}", shrinkA=2, shrinkB=2)
    patch = FancyArrowPatch(*ends, **look, **bent, **patches)
    axis.add_patch(patch)
    if words:
        (x, y), (u, v) = ends
        top = ((x + u) / 2 - bend * (v - y) / 2, (y + v) / 2 + bend * (u - x) / 2)
        note(axis, top, words, colour, side)
    return patch


def vector(axis, start, end, words="", colour="x_t", side="above"):
    r"""An arrow that ends exactly where it says, for geometry: no room at its ends."""
    _known("side", side, SIDES)
    look = dict(arrowstyle="-|>", mutation_scale=15, shrinkA=0, shrinkB=0)
    look |= dict(color=COLOURS[colour], linewidth=2, zorder=LINES)
    patch = FancyArrowPatch(start, end, **look)
    axis.add_patch(patch)
    if words:
        note(axis, tuple(np.add(start, end) / 2), words, colour, side)
    return patch


def right_angle(axis, corner, first, second, size=0.15):
    r"""The small square in a corner between the ways to two points; size in coordinates."""
    ways = [np.subtract(point, corner) for point in (first, second)]
    a, b = (size * way / np.linalg.norm(way) for way in ways)
    square = np.array([corner + a, corner + a + b, corner + b])
    axis.plot(*square.T, color=COLOURS["x_t"], linewidth=1, zorder=LINES)


def bump(axis, mean, deviation, base=0.0, height=1.0, colour="x_t", words="", side="above"):
    r"""The curve of a Gaussian over the line y = base, filled; height at its top.

    Drawings compare places and widths: the area is no probability. Words stand at the top.
    """
    x = np.linspace(mean - 3.2 * deviation, mean + 3.2 * deviation, 200)
    y = base + height * np.exp(-((x - mean) ** 2) / (2 * deviation**2))
    axis.fill_between(x, base, y, color=pale(colour, 0.3), linewidth=0, zorder=BEHIND)
    axis.plot(x, y, color=COLOURS[colour], zorder=LINES)
    if words:
        note(axis, (mean, base + height), words, colour, side)


def brace(axis, start, end, words, colour="x_t", side="below", depth=0.12):
    r"""A bracket along a horizontal or upright stretch, and what it stands for.

    side: where its words are; depth: of its feet, in coordinates.
    """
    _known("side", side, SIDES)
    foot = depth * np.array(SIDES[side])
    start, end = np.array(start, float), np.array(end, float)
    line = np.array([start, start + foot, end + foot, end])
    axis.plot(*line.T, color=COLOURS[colour], linewidth=1.2, zorder=LINES)
    note(axis, tuple((start + end) / 2 + foot), words, colour, side)


def block(axis, corner, width, height, words="", colour="x_t"):
    r"""A filled rectangle whose area counts, from its lower left corner; words inside."""
    look = dict(facecolor=pale(colour, 0.35), edgecolor=COLOURS[colour], zorder=BEHIND)
    axis.add_patch(Rectangle(corner, width, height, **look))
    centre = (corner[0] + width / 2, corner[1] + height / 2)
    axis.text(*centre, words, ha="center", va="center", zorder=WORDS)


def note(axis, at, words, colour="x_t", side=None, size=10):
    r"""Words at a point, or beside it on one side. size: in points, 10 as the text."""
    if side is None:
        look = dict(ha="center", va="center")
        away = (0, 0)
    else:
        _known("side", side, SIDES)
        look = dict(zip(("ha", "va"), ALIGNED[side], strict=True))
        away = tuple(AWAY * step for step in SIDES[side])
    look |= dict(color=tuple(0.8 * np.array(to_rgb(COLOURS[colour]))), fontsize=size)
    axis.annotate(words, at, xytext=away, textcoords="offset points", zorder=WORDS, **look)


def middle(thing):
    r"""The middle of a node, or the point itself."""
    if isinstance(thing, tuple):
        return thing
    if isinstance(thing, Circle):
        return thing.center
    box = thing.get_path().get_extents()
    return ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)


def _known(what, name, names):
    if name not in names:
        raise ValueError(f"{what} must be one of {', '.join(names)}, got {name!r}")
