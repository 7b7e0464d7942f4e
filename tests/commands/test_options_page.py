r"""The page docs/options.md has every option, its default, and a test that exists."""

import re
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path

import pytest

from ddpm_lite import TrainConfig
from ddpm_lite.commands import parsing
from ddpm_lite.training.presets import RunConfig

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "options.md").read_text("utf-8")


def rows(heading):
    r"""The rows of the table under a heading, without its first two lines."""
    part = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)[1]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


TABLES = {"How it learns": TrainConfig, "On which pictures, with which noise": RunConfig}


@pytest.mark.parametrize("heading", TABLES)
def test_every_setting_has_a_row_and_its_default(heading):
    kind = TABLES[heading]
    plain = [f for f in fields(kind) if f.type is not object]  # --network is no setting
    settings = [f for f in plain if f.default is not MISSING]
    expected = {f"`--{f.name.replace('_', '-')}`": f"`{f.default!r}`" for f in settings}
    assert {row[0]: row[1] for row in rows(heading)} == expected
    known = parsing.options_of(import_module("ddpm_lite.commands.train").Options)
    assert {row[0].strip("`") for row in rows(heading)} <= set(known)


def test_every_option_beside_is_one_of_its_commands():
    for name, commands, *_ in rows("Beside the settings"):
        for command in commands.split(", "):
            module = import_module(f"ddpm_lite.commands.{command}")
            assert name.strip("`") in parsing.options_of(module.Options)


def test_every_test_on_the_page_is_there():
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)` \|$", PAGE, re.M)
    assert len(named) == sum(line.startswith("| `") for line in PAGE.splitlines())
    for name in named:
        assert f"\ndef {name}(" in tests, name
