r"""The answer of a check as a coloured box in notebooks, and as plain text elsewhere."""

import os
import sys
from html import escape

# The tint lets a light and a dark page shine through; the sign says it without colours.
_LOOKS = {  # state: (sign, colour of the edge, tint)
    "passed": ("&#10003;", "#009E73", "rgba(0, 158, 115, 0.12)"),
    "not yet": ("&#9998;", "#D55E00", "rgba(213, 94, 0, 0.12)"),
    "not solved": ("&#9675;", "#888888", "rgba(136, 136, 136, 0.12)"),
}


def say(number, said):
    r"""Say how a check ended, in a box where a notebook shows one, else as a line.

    number: text such as "02.3". said: words that begin with "passed", "not yet" or "not
    solved", which choose the colour. nbgrader, which reads the outputs of what it executes,
    gets the line.
    """
    words = f"{number} {said}"
    if os.environ.get("NBGRADER_EXECUTION") or not _in_a_notebook():
        print(words)
        return
    from IPython.display import display

    display({"text/plain": words, "text/html": box(number, said)}, raw=True)


def box(number, said):
    r"""The box as HTML, without a script or a style sheet: the verdict, below it the hint.

    Nothing in said is read as HTML.
    """
    state = next((state for state in _LOOKS if said.startswith(state)), "not solved")
    sign, edge, tint = _LOOKS[state]
    verdict, hint = said, ""
    if state == "not yet":  # ": hint", or ", 2 of 3 points so far: this. But: hint"
        between = ". But: " if said.startswith("not yet, ") else ": "
        verdict, _, hint = said.partition(between)
    style = f"border-left: 4px solid {edge}; background-color: {tint}; padding: 8px 12px"
    lines = "<br>".join(escape(hint).splitlines())
    below = f'<div style="margin-top: 4px">{lines}</div>' if hint else ""
    return (
        f'<div style="{style}"><strong>{sign} {escape(number)}</strong> '
        f"{escape(verdict)}{below}</div>"
    )


def _in_a_notebook():
    r"""Whether this process is a kernel, whose outputs a page shows."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    return bool(shell) and getattr(shell, "kernel", None) is not None
