r"""Figures: sizes, the same bytes every time, and films that need no network."""

import io
import re

import matplotlib
import numpy as np
import pytest
import torch
from helpers import normal
from PIL import Image

from ddpm_lite import figure

POINTS = [normal(50, 2, seed=k) for k in range(3)]
PICTURES = normal(7, 1, 4, 6).clamp(-1, 1)


def size(data):
    return Image.open(io.BytesIO(data)).size


def test_tile_puts_pictures_in_rows():
    big = figure.tile(PICTURES, columns=3)
    assert big.shape == (3 * 5 - 1, 3 * 7 - 1)
    for i in range(7):
        y, x = 5 * (i // 3), 7 * (i % 3)
        assert np.array_equal(big[y : y + 4, x : x + 6], PICTURES[i, 0].float().numpy())
    assert (big[4] == 1).all() and (big[10:, 7:] == 1).all()
    colour = figure.tile(normal(2, 3, 4, 4).clamp(-1, 1), columns=2, gap=0)
    assert colour.shape == (4, 8, 3) and 0 <= colour.min() and colour.max() <= 1


def test_strip_has_a_panel_for_each_array():
    picture = figure.strip([*POINTS, PICTURES[0]], ["a", "b", "c", "$x_0$"], size=1.0)
    assert len(picture.axes) == 4
    assert [axis.get_title() for axis in picture.axes] == ["a", "b", "c", "$x_0$"]
    width, height = size(figure.png(picture, dpi=100))
    assert (width, height) == (400, 125)
    two_rows = figure.strip(POINTS, "abc", columns=2, size=1.0)
    assert size(figure.png(two_rows)) == (200, 250) and len(two_rows.axes) == 4
    limits = {axis.get_xlim() for axis in picture.axes[:3]}
    largest = max(float(p.abs().max()) for p in POINTS)
    assert len(limits) == 1 and limits.pop()[1] == pytest.approx(1.05 * largest, rel=1e-6)


def test_colours_mean_what_the_book_says():
    picture = figure.strip(POINTS, "abc", colours=["x_0", "noise", "prediction"])
    shown = [axis.collections[0].get_facecolor()[0][:3] for axis in picture.axes]
    for rgb, name in zip(shown, ["x_0", "noise", "prediction"], strict=True):
        assert rgb == pytest.approx(matplotlib.colors.to_rgb(figure.COLOURS[name]))
    with pytest.raises(KeyError, match="mauve"):
        figure.strip(POINTS, "abc", colours="mauve")


def test_the_same_bytes_twice():
    def make():
        return figure.png(figure.strip(POINTS, "abc"))

    assert make() == make()
    before = dict(matplotlib.rcParams)
    grid = [figure.png(figure.image_grid(PICTURES, 3, title="t")) for _ in range(2)]
    assert grid[0] == grid[1]
    assert dict(matplotlib.rcParams) == before


def film():
    return figure.film_frames(POINTS, ["t = 2", "t = 1", "t = 0"], size=1.0)


def test_film():
    frames = film()
    assert len({frame.size for frame in frames}) == 1
    data = figure.gif(frames, seconds=0.2, hold=1.0)
    assert data == figure.gif(film(), seconds=0.2, hold=1.0) and data[:3] == b"GIF"
    movie = Image.open(io.BytesIO(data))
    assert movie.n_frames == 3 and movie.size == frames[0].size
    assert movie.info["loop"] == 0
    durations = []
    for k in range(3):
        movie.seek(k)
        durations.append(movie.info["duration"])
    assert durations == [200, 200, 1000]


def test_film_of_several_panels():
    pairs = [(POINTS[k], PICTURES[k]) for k in range(2)]
    frames = figure.film_frames(pairs, "ab", colours=("x_t", "x_0"), size=1.0)
    single = figure.film_frames(POINTS[:2], "ab", size=1.0)
    assert frames[0].width == 2 * single[0].width
    with pytest.raises(ValueError, match="argument 2 is"):
        figure.film_frames(POINTS, "ab")


def test_html_player_needs_no_network():
    html = figure.html_player(film(), label="points that move")
    assert html == figure.html_player(film(), label="points that move")
    assert not re.search(r"https?:|src=\"//|<link|import", html)
    assert html.count("data:image/png;base64,") == 4  # three frames, the first one shown
    assert 'alt="points that move"' in html and 'max="2"' in html
    assert "setInterval" in html and "}, 100);" in html


def test_save(tmp_path):
    path = figure.save(figure.strip(POINTS, "abc"), tmp_path / "new" / "a.png")
    assert path.read_bytes()[1:4] == b"PNG" and isinstance(path.name, str)
    data = figure.gif(film())
    assert figure.save(data, tmp_path / "a.gif").read_bytes() == data


def test_arrays_of_every_kind_look_the_same():
    tensor = torch.tensor([[0.0, 1.0], [1.0, -1.0]], requires_grad=True)
    one = figure.png(figure.strip([tensor], ["a"]))
    assert one == figure.png(figure.strip([tensor.detach().numpy()], ["a"]))
    assert one == figure.png(figure.strip([tensor.tolist()], ["a"]))


def test_show_says_what_is_to_be_seen(monkeypatch):
    display = pytest.importorskip("IPython.display")
    shown = []
    monkeypatch.setattr(display, "display", lambda *a, **k: shown.append((a, k)))
    alt = "three clouds of points, one beside the other"
    figure.show(figure.strip(POINTS, "abc"), alt)
    figure.show(figure.gif(film()), alt)
    for (bundle,), options in shown:
        kind = next(iter(bundle))
        assert bundle["text/plain"] == alt and options["metadata"] == {kind: {"alt": alt}}
    assert [next(iter(a[0])) for a, _ in shown] == ["image/png", "image/gif"]
    with pytest.raises(ValueError, match=r"alt must say in a sentence .* got 'points'"):
        figure.show(figure.strip(POINTS, "abc"), "points")


def test_bad_input():
    with pytest.raises(ValueError, match=r"got 3 arrays but 2 titles"):
        figure.strip(POINTS, ["a", "b"])
    with pytest.raises(ValueError, match=r"\(N, C, H, W\) in \[-1, 1\], got .* up to 2"):
        figure.image_grid(PICTURES * 0 + 2)
    with pytest.raises(ValueError, match=r"\(N, C, H, W\) in \[-1, 1\], got \(1, 4, 6\)"):
        figure.image_grid(PICTURES[0])


def test_the_label_of_a_player_cannot_break_out_of_its_attribute():
    assert 'alt="a &quot;b&quot;"' in figure.html_player(film(), 'a "b"')
