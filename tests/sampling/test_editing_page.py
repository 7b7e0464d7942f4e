r"""The code of docs/guidance_and_editing.md runs, and its numbers are those of tests."""

import re
from pathlib import Path

import torch

from ddpm_lite import load_results

PAGE = Path(__file__).parents[2] / "docs" / "guidance_and_editing.md"


def test_every_block_of_the_page_runs():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    space = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), space)
    assert len(blocks) == 6
    pictures = [space[n] for n in ("threes", "same", "filled", "clear", "wide", "near")]
    assert all(p.shape == (2, 1, 8, 8) and p.abs().max() <= 1 for p in pictures)
    assert space["between"].shape == (3, 1, 8, 8)
    assert not torch.equal(space["near"], space["far"])
    x_0, back, blocks = (space[n] for n in ("x_0", "back", "blocks"))
    assert (back - x_0).square().mean() < x_0.var() / 4  # 20 steps each way
    assert (blocks(space["sharp"]) - blocks(x_0)).abs().mean() < 0.1


def test_the_cost_of_guidance_is_the_measured_one():
    found = load_results("guidance")["kept_memory"]
    rows = [(int(B), row) for of in found.values() for B, row in of.items()]
    small = max(row["ratio"]["median"] for B, row in rows if B <= 4)
    most = max(row["ratio"]["median"] for _, row in rows)
    assert small <= 1.9 and most <= 2.05
    text = PAGE.read_text("utf-8")
    assert f"at most {small:.2f} times the time" in text
    assert f"at most {most:.2f} times for up to 64" in text
