r"""Findings: what was looked at, what was found, and what to do about it."""

import textwrap
from dataclasses import dataclass, field

_LEVELS = ("wrong", "note", "ok")

# What a file that is damaged, missing or of another version may raise when it is read.
UNREADABLE = (ValueError, TypeError, KeyError, OSError, ImportError, RuntimeError, EOFError)


@dataclass(frozen=True)
class Finding:
    r"""One thing that was looked at.

    level: "ok", "note" (worth knowing, or not looked at) or "wrong". what: its short
    name. words: what was found, what was expected, what to do. numbers: the same as plain
    values, {name: number}.
    """

    level: str
    what: str
    words: str
    numbers: dict = field(default_factory=dict)


def table(findings):
    r"""Findings as text: wrong ones first, a verdict of one line last."""
    width = max((len(finding.what) for finding in findings), default=0)
    lines = []
    for finding in sorted(findings, key=lambda f: _LEVELS.index(f.level)):
        head = f"{finding.level:7}{finding.what:{width}}  "
        indent = " " * len(head)
        lines += textwrap.wrap(
            finding.words, 100, initial_indent=head, subsequent_indent=indent
        )
    wrong, note, ok = ([f for f in findings if f.level == level] for level in _LEVELS)
    verdict = f"{len(wrong)} wrong, {len(note)} to note, {len(ok)} in order"
    verdict += f"; mend first: {wrong[0].what}" if wrong else ""
    return "\n".join([*lines, "", verdict])


def one_line(error):
    r"""What an exception says, on one line and without its full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
