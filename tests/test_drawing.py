import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch, Rectangle

from ddpm_lite import drawing
from ddpm_lite.figure import COLOURS, png


def words(axis):
    return {text.get_text(): text for text in axis.texts}


def test_a_sheet_is_in_inches_unless_it_is_told():
    _, axis = drawing.sheet(6, 2)
    assert (axis.get_xlim(), axis.get_ylim()) == ((0, 6), (0, 2)) and not axis.axison
    _, axis = drawing.sheet(6, 2, left=-1, right=1, bottom=-3, top=4)
    assert (axis.get_xlim(), axis.get_ylim()) == ((-1, 1), (-3, 4))


def test_a_chain_is_drawn_and_the_same_drawing_is_the_same_file():
    def chain():
        figure, axis = drawing.sheet(4, 1.5)
        first = drawing.node(axis, (1, 0.7), "$x_0$", "x_0")
        second = drawing.node(axis, (3, 0.7), "$x_1$", shape="box", size=(0.8, 0.4))
        drawing.arrow(axis, first, second, "$q$", bend=0.3)
        return figure, axis

    figure, axis = chain()
    assert set(words(axis)) == {"$x_0$", "$x_1$", "$q$"}
    assert png(figure) == png(chain()[0])


@pytest.mark.parametrize("shape", drawing.SHAPES)
def test_the_middle_of_a_node_is_where_it_was_put(shape):
    _, axis = drawing.sheet()
    patch = drawing.node(axis, (2.0, 1.25), "a", shape=shape, size=(0.75, 0.5))
    assert np.allclose(drawing.middle(patch), (2.0, 1.25), atol=1e-12)
    assert drawing.middle((1, 2)) == (1, 2)
    assert patch.get_edgecolor()[:3] == to_rgb(COLOURS["x_t"])


@pytest.mark.parametrize(("bend", "sign"), [(0.3, 1), (-0.3, -1)])
def test_an_arrow_bends_to_the_left_of_its_way_and_takes_its_words_along(bend, sign):
    figure, axis = drawing.sheet(4, 2)
    patch = drawing.arrow(axis, (1.0, 1.0), (3.0, 1.0), "w", bend=bend)
    figure.canvas.draw()
    curve = patch.get_path().vertices  # in coordinates of the sheet
    assert np.sign(curve[1, 1] - 1.0) == sign
    assert np.isclose(words(axis)["w"].xy[1], 1.0 + bend)


def test_an_arrow_stops_at_the_edge_of_a_node():
    figure, axis = drawing.sheet(4, 2)
    node = drawing.node(axis, (3.0, 1.0), "a", size=(1.0, 1.0))
    patch = drawing.arrow(axis, (1.0, 1.0), node)
    figure.canvas.draw()
    (path, *_), _ = patch._get_path_in_displaycoord()
    end = axis.transData.inverted().transform(path.vertices).max(0)[0]
    assert 2.3 < end < 2.5  # its radius is a half, and 2 points are left free


def test_a_vector_reaches_its_end():
    _figure, axis = drawing.sheet(4, 2)
    patch = drawing.vector(axis, (0.5, 0.5), (3.0, 1.5), "v")
    assert isinstance(patch, FancyArrowPatch) and patch.shrinkA == patch.shrinkB == 0
    assert words(axis)["v"].xy == (1.75, 1.0)


def test_the_corner_is_square_and_of_its_size():
    _, axis = drawing.sheet()
    drawing.right_angle(axis, (1, 1), (3, 1), (1, 5), size=0.2)
    (line,) = axis.lines
    assert np.allclose(line.get_xydata(), [(1.2, 1), (1.2, 1.2), (1, 1.2)])


def test_a_bump_is_as_wide_as_its_deviation():
    _, axis = drawing.sheet()
    drawing.bump(axis, 3.0, 0.5, base=0.2, height=1.5, words="p")
    x, y = axis.lines[0].get_xydata().T
    assert np.isclose(y.max(), 1.7, atol=1e-3)
    at_one_deviation = np.interp(3.5, x, y)
    assert np.isclose(at_one_deviation, 0.2 + 1.5 * np.exp(-0.5), atol=1e-3)
    assert words(axis)["p"].xy == (3.0, 1.7)


@pytest.mark.parametrize("side", drawing.SIDES)
def test_a_brace_has_its_feet_and_words_on_one_side(side):
    _, axis = drawing.sheet()
    ends = ((1, 1), (3, 1)) if side in ("above", "below") else ((1, 1), (1, 3))
    drawing.brace(axis, *ends, "all", side=side, depth=0.1)
    line = axis.lines[0].get_xydata()
    assert np.allclose(line[[0, 3]], ends)
    assert np.allclose(line[1] - line[0], 0.1 * np.array(drawing.SIDES[side]))
    away = np.array(words(axis)["all"].xyann)
    assert np.allclose(away, drawing.AWAY * np.array(drawing.SIDES[side]))


def test_the_area_of_a_block_is_what_was_asked():
    _, axis = drawing.sheet()
    drawing.block(axis, (1, 0.5), 2, 0.25, "KL", "extra")
    (patch,) = [p for p in axis.patches if isinstance(p, Rectangle)]
    assert patch.get_width() * patch.get_height() == 0.5
    assert words(axis)["KL"].get_position() == (2.0, 0.625)


def test_what_is_not_there_is_refused_in_words():
    _, axis = drawing.sheet()
    with pytest.raises(ValueError, match="shape must be one of circle, box, got 'star'"):
        drawing.node(axis, (1, 1), "a", shape="star")
    with pytest.raises(ValueError, match=r"side must be one of above, .*got 'up'"):
        drawing.arrow(axis, (0, 0), (1, 1), "w", side="up")
    with pytest.raises(KeyError):
        drawing.node(axis, (1, 1), "a", "blue")
