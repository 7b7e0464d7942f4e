r"""Figures: sizes, the same bytes every time, and films that need no network."""

import base64
import io
import re
from html.parser import HTMLParser
from itertools import pairwise

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
    assert size(figure.png(picture)) == (800, 250)  # for screens with twice as many pixels
    two_rows = figure.strip(POINTS, "abc", columns=2, size=1.0)
    assert size(figure.png(two_rows, dpi=100)) == (200, 250) and len(two_rows.axes) == 4
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


@pytest.mark.parametrize(("make", "kind"), [(figure.gif, "GIF"), (figure.film, "WEBP")])
def test_film(make, kind):
    frames = film()
    assert len({frame.size for frame in frames}) == 1
    data = make(frames, seconds=0.2, hold=1.0)
    assert data == make(film(), seconds=0.2, hold=1.0)
    movie = Image.open(io.BytesIO(data))
    assert movie.format == kind and movie.info["loop"] == 0
    assert movie.n_frames == 3 and movie.size == frames[0].size
    durations = []
    for k in range(3):
        movie.seek(k)
        movie.load()
        durations.append(movie.info["duration"])
    assert durations == [200, 200, 1000]


def test_a_film_keeps_every_grey():
    ramp = torch.linspace(-1, 1, 64).reshape(1, 8, 8)
    frames = figure.film_frames([ramp, -ramp], "ab")
    movie = Image.open(io.BytesIO(figure.film(frames)))
    for k, frame in enumerate(frames):
        movie.seek(k)
        assert np.array_equal(np.asarray(movie.convert("RGB")), np.asarray(frame))
    assert len(np.unique(np.asarray(frames[0]))) > 60


def test_films_are_wide_enough():
    for panels, wide in ((1, 480), (2, 520), (3, 780)):
        (frame,) = figure.film_frames([(PICTURES[0],) * panels], ["a"])
        assert frame.width == figure.FILM * wide


def test_film_of_several_panels():
    pairs = [(POINTS[k], PICTURES[k]) for k in range(2)]
    frames = figure.film_frames(pairs, "ab", colours=("x_t", "x_0"), size=1.0)
    single = figure.film_frames(POINTS[:2], "ab", size=1.0)
    assert frames[0].width == 2 * single[0].width
    with pytest.raises(ValueError, match="argument 2 is"):
        figure.film_frames(POINTS, "ab")


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


ALT = 'three "clouds" of points, a < b'


def shown(monkeypatch, picture):
    """What `show` hands to Jupyter: (bundle, metadata)."""
    display = pytest.importorskip("IPython.display")
    calls = []
    monkeypatch.setattr(display, "display", lambda *a, **k: calls.append((a, k)))
    figure.show(picture, ALT)
    (((bundle,), options),) = calls
    assert options["raw"]
    return bundle, options["metadata"]


def inside(html):
    """The only tag of a piece of HTML: (attributes, the picture that it holds)."""
    tags = []
    reader = HTMLParser()
    reader.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))
    reader.feed(html)
    ((tag, attributes),) = tags
    kind, data = re.fullmatch(r"data:image/(\w+);base64,(.*)", attributes["src"]).groups()
    picture = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
    assert tag == "img" and picture.format == kind.upper()
    return attributes, picture


@pytest.mark.parametrize("moves", [False, True])
def test_show_says_what_is_to_be_seen(monkeypatch, moves):
    picture = figure.film(film()) if moves else figure.strip(POINTS, "abc", size=1.0)
    bundle, metadata = shown(monkeypatch, picture)
    assert list(bundle) == ["text/html", "image/png", "text/plain"]
    assert bundle["text/plain"] == ALT and metadata == {"image/png": {"alt": ALT}}
    attributes, seen = inside(bundle["text/html"])
    assert attributes["alt"] == ALT and "max-width:100%" in attributes["style"]
    sharp = 1.5 if moves else 2  # pixels for one on the page
    assert seen.width == sharp * int(attributes["width"])
    assert getattr(seen, "n_frames", 1) == (3 if moves else 1)
    still = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert still.format == "PNG" and getattr(still, "n_frames", 1) == 1
    assert still.width == int(attributes["width"]) * (4 if moves else 1)


def test_what_is_shown_has_as_few_colours_as_it_needs():
    ramp = np.zeros((256, 256, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.mgrid[:256, :256]
    for picture, most in ((np.zeros((9, 9, 3), np.uint8), 32), (ramp, 256)):
        lean = figure._few_colours(Image.fromarray(picture))
        assert len(lean.getcolors()) <= most
    off = np.abs(np.asarray(lean.convert("RGB"), np.int16) - ramp).max(-1)
    fewer = np.asarray(figure._reduced(Image.fromarray(ramp), 32).convert("RGB"), np.int16)
    assert np.abs(fewer - ramp).max(-1).mean() > 2 * off.mean()
    plain = figure._rendered(figure.strip(POINTS, "abc", size=1.0), 100)
    got = np.asarray(figure._few_colours(plain).convert("RGB"), np.int16)
    off = np.abs(got - np.asarray(plain, np.int16)).max(-1)
    assert (off > 12).mean() <= 1 / 200 and off.any()


def test_the_still_of_a_film_holds_its_first_and_last_frame():
    greys = [torch.full((1, 8, 8), value) for value in (-1.0, 0.0, 1.0, 0.0, 1.0, 0.5)]
    frames = [figure.tile(grey[None], 1) for grey in greys]
    frames = [Image.fromarray(np.uint8((f + 1) * 127.5)).convert("RGB") for f in frames]
    row = np.asarray(figure._four(figure.film(frames)))[2]
    assert row[2::5, 0].tolist() == [0, 255, 127, 191]  # 8 pixels are 5 on the page


def test_show_wants_a_sentence():
    with pytest.raises(ValueError, match=r"alt must say in a sentence .* got 'points'"):
        figure.show(figure.strip(POINTS, "abc"), "points")


def test_rows_have_labels():
    labels = ["first", None, "third"]
    bare = figure.image_grid(PICTURES, 3)
    grid = figure.image_grid(PICTURES, 3, labels=labels)
    (axis,) = grid.axes
    assert [text.get_text() for text in axis.texts] == ["first", "", "third"]
    assert [text.xy[1] for text in axis.texts] == [1.5, 6.5, 11.5]  # rows of 4, and a line
    assert grid.get_figwidth() > bare.get_figwidth() + 0.3
    ink = np.asarray(figure._rendered(grid, 100)).min(axis=(0, 2)) < 128
    room = round(100 * (grid.get_figwidth() - bare.get_figwidth()))
    assert ink[: room - 10].any() and not ink[0]  # a label, and it is not cut off
    rows = figure.strip(POINTS, "abc", columns=2, labels=["one", "two"])
    assert [axis.get_ylabel() for axis in rows.axes] == ["one", "", "two", ""]
    with pytest.raises(ValueError, match="got 2 labels for 3 rows"):
        figure.image_grid(PICTURES, 3, labels=["a", "b"])


def ticks(low, high):
    picture, axis = figure.canvas()
    axis.set(xlim=(0, 1), ylim=(low, high), yscale="log")
    figure.png(picture)
    both = axis.get_yticklabels() + axis.get_yticklabels(minor=True)
    return {label.get_text() for label in both} - {""}


def test_short_logarithmic_axes_have_plain_numbers():
    assert {"1", "2", "3"} < ticks(0.9, 4)
    assert {"0.1", "1"} <= ticks(0.09, 5) and "0.2" not in ticks(0.09, 5)
    assert all("10^{" in label for label in ticks(1e-3, 10))
    own, axis = figure.canvas()
    axis.set(yscale="log", ylim=(1, 5))
    axis.yaxis.set_major_formatter("about {x}")
    figure.png(own)
    assert axis.yaxis.get_major_formatter()(2) == "about 2"


def test_shades_are_told_apart():
    for colour in figure.COLOURS:
        light = [sum(shade) / 3 for shade in figure.shades(colour, 4)]
        assert all(b - a > 0.1 for a, b in pairwise(light))
        assert 0 <= light[0] and light[-1] < 0.85  # seen on white


def test_few_points_are_large():
    areas = []
    for N in (100, 1000, 4000):
        picture = figure.strip([normal(N, 2)], "a")
        areas.append(picture.axes[0].collections[0].get_sizes()[0])
    assert areas == [9, 4, 3]


def test_bad_input():
    with pytest.raises(ValueError, match=r"got 3 arrays but 2 titles"):
        figure.strip(POINTS, ["a", "b"])
    with pytest.raises(ValueError, match=r"\(N, C, H, W\) in \[-1, 1\], got .* up to 2"):
        figure.image_grid(PICTURES * 0 + 2)
    with pytest.raises(ValueError, match=r"\(N, C, H, W\) in \[-1, 1\], got \(1, 4, 6\)"):
        figure.image_grid(PICTURES[0])


def test_a_film_of_one_picture_stands_still():
    first, *others = figure.film_frames([POINTS[0]] * 3, ["$t = 1$"] * 3)
    assert all(first.tobytes() == frame.tobytes() for frame in others)


@pytest.mark.parametrize(("panels", "rows"), [(1, 2), (2, 2)])
def test_the_still_of_a_wide_film_can_be_read(panels, rows):
    frames = figure.film_frames([tuple(POINTS[:1] * panels)] * 4, "abcd")
    width, height = (round(side / figure.FILM) for side in frames[0].size)
    assert figure._four(figure.film(frames)).size == (2 * width, rows * height)
