r"""The page docs/data.md: its examples run, one below the other."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")


def test_the_examples_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    assert len(code) >= 10
    names = {"__name__": "page"}
    for example in code:
        exec(compile(example, "docs/data.md", "exec"), names)
    wrong = code[1].replace("y=digits.y", "y=digits.y + 1")
    with pytest.raises(ValueError, match="labels"):
        exec(compile(wrong, "docs/data.md", "exec"), names)
