r"""The code of docs/guidance_and_editing.md runs, and its numbers are those of tests."""

import re
from pathlib import Path

import torch

PAGE = Path(__file__).parents[2] / "docs" / "guidance_and_editing.md"


def test_every_block_of_the_page_runs():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    space = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), space)
    assert len(blocks) == 4
    pictures = [space[n] for n in ("threes", "same", "filled", "clear", "wide", "near")]
    assert all(p.shape == (2, 1, 8, 8) and p.abs().max() <= 1 for p in pictures)
    assert space["between"].shape == (3, 1, 8, 8)
    assert not torch.equal(space["near"], space["far"])
