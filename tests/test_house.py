r"""The page that shows the package, ddpm_lite/README.md, names what is there."""

import re
from pathlib import Path

import pytest

import ddpm_lite

FOLDER = Path(ddpm_lite.__file__).parent
PAGE = (FOLDER / "README.md").read_text("utf-8")
ROOMS = list(ddpm_lite.CONTENTS)
WALKS = re.findall(
    r"^### (.+)\n(?:(?!^### ).*\n)*", PAGE.partition("## Four walks")[2], re.M
)


def names(page):
    r"""The dotted names in code spans that begin with a room or a module."""
    spans = re.findall(r"`([a-z]\w*(?:\.\w+)+)`", page)
    return [name for name in spans if name.split(".")[0] in ROOMS]


def rooms(page):
    r"""The rooms of the drawing, in its order."""
    drawing = page.split("```")[1]
    rows = re.findall(r"^ .{16}(\w+)/? ", drawing, re.M)
    assert all((FOLDER / room).is_dir() == (f" {room}/ " in drawing) for room in rows)
    return rows


def found(name):
    r"""What a dotted name of the package stands for."""
    thing = ddpm_lite
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


def test_the_drawing_has_the_rooms_in_their_order():
    assert rooms(PAGE) == ROOMS
    with pytest.raises(AssertionError):
        assert rooms(PAGE.replace("lab/ ", "hut/ ")) == ROOMS


@pytest.mark.parametrize("name", sorted(set(names(PAGE))))
def test_every_name_on_the_page_is_there(name):
    assert found(name) is not None


def test_a_name_that_is_gone_is_found():
    assert names("`process.q_simple`, `schedule.beta[1]`, `x.y`") == ["process.q_simple"]
    with pytest.raises(AttributeError):
        found("process.q_simple")


def test_the_walks_are_four_and_every_stop_is_a_function():
    assert len(WALKS) == 4
    stops = re.findall(r"^\d+\. `([\w.]+)`", PAGE.partition("## Four walks")[2], re.M)
    assert len(stops) > 40
    for name in stops:
        assert name == "safetensors" or callable(found(name)), name
