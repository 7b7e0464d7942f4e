r"""The page docs/data.md: its examples run, one below the other."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text("utf-8")


def test_what_reading_costs_is_what_was_measured():
    found = json.loads((ROOT / "figures" / "runs" / "loading.json").read_text("utf-8"))
    assert found["pictures"] == 50_000 and [r["workers"] for r in found["reading"]] == [
        0,
        1,
    ]
    start = found["seconds_until_the_first_update"]
    own, ahead = (100 * row["share_waited"] for row in found["reading"])
    assert f"after {start:.0f} s, and a step waits for {own:.1f} % of its time" in PAGE
    assert f"reads ahead, {ahead:.1f} % (`figures/loading.py`)" in PAGE


def test_the_examples_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    assert len(code) >= 10
    names = {"__name__": "page"}
    for example in code:
        exec(compile(example, "docs/data.md", "exec"), names)
    wrong = code[2].replace("y=digits.y", "y=digits.y + 1")
    with pytest.raises(ValueError, match="labels"):
        exec(compile(wrong, "docs/data.md", "exec"), names)
