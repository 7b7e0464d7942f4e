r"""What a reader sees of a check: a box in a notebook, a line elsewhere, the same words."""

from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from ddpm_lite.classroom import box
from ddpm_lite.classroom.checking import check

ANSWERS = {
    "passed (3 points)": ("passed (3 points)", "", "#009E73"),
    "not yet: E[x] is 1: why?": ("not yet", "E[x] is 1: why?", "#D55E00"),
    "not yet, 2 of 3 points so far: shapes; means. But: the rest: no": (
        "not yet, 2 of 3 points so far: shapes; means",
        "the rest: no",
        "#D55E00",
    ),
    "not solved yet": ("not solved yet", "", "#888888"),
}


def read(html):
    """The tags of a piece of HTML, closed and in order, and its pieces of text."""
    tags, words, still_open = [], [], []
    reader = HTMLParser()

    def begin(tag, attributes):
        tags.append((tag, dict(attributes)))
        still_open.append(tag)

    def end(tag):
        assert still_open.pop() == tag

    reader.handle_starttag, reader.handle_endtag = begin, end
    reader.handle_data = words.append
    reader.feed(html)
    reader.close()
    assert still_open == []
    return tags, words


@pytest.mark.parametrize("said", ANSWERS)
def test_the_box_says_the_words_and_has_its_colour(said):
    verdict, hint, edge = ANSWERS[said]
    tags, (name, first, *rest) = read(box.box("02.3", said))
    assert name.endswith(" 02.3") and first.strip() == verdict
    assert rest == [hint] * bool(hint)
    style = tags[0][1]["style"]
    assert edge in style and "rgba(" in style  # the page shines through: light or dark
    assert "; color" not in style and not style.startswith("color")
    assert all(set(attributes) <= {"style"} for _, attributes in tags)


def test_the_states_differ_without_colour_too():
    signs = {read(box.box("02.3", said))[1][0] for said in ANSWERS}
    assert len(signs) == 3


def test_what_a_student_raises_is_no_html():
    nasty = "<img src=x onerror=alert(1)> & <b>bold</b>"
    for said in (f"not yet: {nasty}", f"passed {nasty}", nasty):
        tags, words = read(box.box("<i>", said))
        assert {tag for tag, _ in tags} <= {"div", "strong"}
        assert nasty in " ".join(words) and "<i>" in words[0]


def test_lines_of_a_hint_stay_lines():
    html = box.box("02.3", "not yet: first\nsecond")
    assert "first<br>second" in html


@pytest.fixture
def shown(monkeypatch):
    """What a kernel displays."""
    display = pytest.importorskip("IPython.display")
    IPython = pytest.importorskip("IPython")
    kernel = SimpleNamespace(kernel=object())
    monkeypatch.setattr(IPython, "get_ipython", lambda: kernel)
    calls = []
    monkeypatch.setattr(display, "display", lambda *a, **k: calls.append((a, k)))
    return calls


def stub(a, b):
    raise NotImplementedError


def test_a_notebook_gets_both_and_prints_nothing(shown, capsys):
    check("02.2", stub)
    (((bundle,), options),) = shown
    assert bundle["text/plain"] == "02.2 not solved yet" and options == {"raw": True}
    assert bundle["text/html"] == box.box("02.2", "not solved yet")
    assert capsys.readouterr().out == ""


def test_nbgrader_gets_the_line(shown, capsys, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    box.say("02.2", "not solved yet")
    assert shown == [] and capsys.readouterr().out == "02.2 not solved yet\n"


def test_a_terminal_gets_the_line(monkeypatch, capsys):
    IPython = pytest.importorskip("IPython")
    for shell in (None, SimpleNamespace()):  # plain Python; IPython without a kernel
        monkeypatch.setattr(IPython, "get_ipython", lambda shell=shell: shell)
        box.say("02.2", "passed (3 points)")
        assert capsys.readouterr().out == "02.2 passed (3 points)\n"
