r"""The kind "bug": a run with one fault or two, which are to be named and repaired.

The statement shows what was measured of a run and lists what the code may do wrong. A
student hands in the repaired function, and `faults`, which gives names of the list. Both
are graded, and neither waits for the other.
"""

from dataclasses import dataclass

from .exercise import Hint, Unsolved, article, expect

MOST = 2  # faults that a run has, as every statement says


@dataclass(frozen=True)
class Fault:
    r"""One line of the list: what the code does wrong, and how that would look.

    name: what a student writes. does: the line of the statement. otherwise: for a wrong
    name, "it would show as ..., and here ...", in words about the evidence. unexplained:
    for a right one, what in the evidence it explains, where it is not named.
    """

    name: str
    does: str
    otherwise: str = ""
    unexplained: str = ""

    @property
    def right(self):
        r"""Whether the run of the exercise has this fault."""
        return bool(self.unexplained)


def table(faults):
    r"""The list as Markdown, as the statement has it: by name, which says nothing."""
    ordered = sorted(faults, key=lambda one: one.name)
    rows = [f"| `{one.name}` | {one.does} |" for one in ordered]
    return "\n".join(["| name | what the code does |", "|---|---|", *rows])


def naming(answer, faults, each=1):
    r"""Stages of the names that `faults()` gives: `each` points for a right one.

    A wrong name costs one point of those earned here; more than `MOST` names earn
    nothing. faults: [Fault, ...], the list of the statement. Raises `Hint`.
    """
    known = {one.name: one for one in faults}
    chosen = _names(answer.other("faults")(), known)
    right = [one for one in faults if one.right]
    hits = [one for one in right if one.name in chosen]
    misses = [known[name] for name in chosen if not known[name].right]
    expect(
        len(chosen) <= MOST,
        f"faults: you name {len(chosen)}, and a run has one fault or two here: which of "
        "them does the evidence need?",
    )
    earned = max(0, each * len(hits) - len(misses))
    for k in range(earned // each):
        yield each, "a fault is named" if k == 0 else "and the other one"
    if earned % each:
        yield earned % each, "a fault is named, and one that is not there"
    said = "faults: none of what you name is right"
    if hits:
        said = f"faults: {'one of your two names' if misses else 'what you name'} is right"
    if misses:
        wrong = misses[0]
        raise Hint(f"{said}; `{wrong.name}` {wrong.otherwise}")
    for one in right:
        expect(one.name in chosen, f"{said}, but it does not explain {one.unexplained}")


def _names(value, known):
    r"""The different names in a list of them, or `Hint`."""
    value = [value] if isinstance(value, str) else value
    expect(
        isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value),
        f'faults should return a list of names, ["this_one", "that_one"], yours is '
        f"{article(value)}",
    )
    expect(
        len(value) > 0,
        "faults: you name none, and the samples are not those of a sound run",
    )
    unknown = [name for name in value if name not in known]
    expect(not unknown, f"faults: {unknown[:1]} is not in the list of the statement")
    return list(dict.fromkeys(value))


SILENT = (
    "of the code nothing is said yet: first find a fault in the numbers, or mend a part of "
    "the code"
)


def independent(names, *repairs):
    r"""The stages of several generators, each run to its own end; then their hints.

    names: the stages of `naming`. A hint about the code would spell the faults out, so
    that there is none before a point is earned. `Unsolved` where a part is unsolved and
    none has earned anything: so the code as it was given, which runs, counts as not solved
    as long as no faults are named.
    """
    earned, said, blank, of_code = 0, [], False, []
    for part in (names, *repairs):
        try:
            for points, words in part:
                earned += points
                yield points, words
        except Unsolved:
            blank = True
        except Hint as hint:
            (said if part is names else of_code).append(str(hint))
    if blank and not earned:
        raise Unsolved
    if blank:
        said.insert(0, "a function is not solved yet, and both are handed in")
    if said or of_code:
        said += of_code if earned or not of_code else [SILENT]
        raise Hint("; ".join(dict.fromkeys(said)))
