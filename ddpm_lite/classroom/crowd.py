r"""All processes that one has started, and theirs: how much memory they hold together."""

import os
from pathlib import Path


def below(root):
    r"""The numbers of a process and of all that descend from it, as /proc has them."""
    children = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            parent = _parent(entry.name)
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for one in found:  # it grows meanwhile
        found += children.get(one, [])
    return found


def memory(root):
    r"""Bytes that a process and its descendants hold, what they share counted once."""
    return sum(_held(process) for process in below(root))


def _parent(process):
    try:
        stat = Path("/proc", process, "stat").read_bytes()
    except OSError:  # it has ended
        return None
    return int(stat.rpartition(b")")[2].split()[1])  # the name may hold brackets


def _held(process):
    r"""Of one process, its share of what is shared; all of it where that is not said."""
    for name, lines in (
        ("smaps_rollup", ("Pss_Anon", "Pss_Shmem")),
        ("status", ("RssAnon", "RssShmem")),
    ):
        try:
            text = Path("/proc", str(process), name).read_text("utf-8", "replace")
        except OSError:
            continue
        rows = (row.split() for row in text.splitlines())
        held = [int(r[1]) for r in rows if len(r) > 1 and r[0].rstrip(":") in lines]
        if held:
            return 1024 * sum(held)
    return 0
