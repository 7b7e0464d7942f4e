r"""Exercises that check themselves: in a notebook by `check`, for a class by a command.

Read `exercise` and one chapter's checks (`ch02`), then `check`; `wire`, `worker`, `jail`,
`lacking` and `grade` put a class's notebooks through the same checks.
"""

from .check import check

__all__ = ["check"]
