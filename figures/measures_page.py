r"""The targets of models of pictures, and the tables of docs/measures.md.

`python figures/measures.py clothes --page` writes them, from figures/runs.
"""

import json
from pathlib import Path

from ddpm_lite.formats.checkpoint import write_text

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "measures.md"
RUNS = ROOT / "figures" / "runs"

_COMMON = {  # (lowest, highest), None for no limit
    "fd_pixels": (None, 1.25),
    "fd_features": (None, 1.5),
    "precision": (0.95, 1.05),
    "recall": (0.93, None),
    "forest_pixels": (None, 0.65),
    "roughness": (0.95, 1.05),
    "black": (0.9, None),
    "class_deviation": (None, 3.0),
}
# What a model is to reach, on the mean of three seeds of sampling.
TARGETS = {
    "clothes": _COMMON | {"label": (0.97, None)},
    "mnist": _COMMON | {"label": (0.98, None)},
}
# Two measures have no target. Copying scatters by 0.2 to 0.3 from draw to draw; the forest
# of features gets the limit of the other forest.
_OWN = {"copying_share": (None, 0.5), "forest_features": (None, 0.65)}
LIMITS = {which: targets | _OWN for which, targets in TARGETS.items()}

MEASURES = {
    "fd_pixels": "Fréchet ratio, pixels",
    "fd_features": "Fréchet ratio, classifier's features",
    "precision": "precision over real",
    "recall": "recall over real",
    "copying_share": "copying share",
    "forest_pixels": "real or fake, 16 grey levels",
    "forest_features": "real or fake, classifier's features",
    "roughness": "roughness over real",
    "black": "exact black over real",
    "class_deviation": "class shares, standard errors",
    "label": "asked label recognised, over real",
}
FAULTS = {
    "no_fault": "no fault",
    "invisible_noise": "noise of ±2 grey levels",
    "speckle": "speckle in 40 %",
    "two_classes_missing": "two classes missing",
    "fitted_gaussian": "a fitted Gaussian",
    "memoriser": "250 training pictures, repeated",
    "wrong_labels": "one label in ten wrong",
}
NAMES = {"clothes": "Clothes (Fashion-MNIST)", "mnist": "Digits (MNIST)"}
SEEN, UNSEEN = "**", ""


def outside(which, name, value):
    r"""How far a value is outside its limits, as a share of the limit; 0 inside.

    The same number for a value that was not measured, None.
    """
    low, high = LIMITS[which][name]
    if value is None:
        return 0.0
    if low is not None and value < low:
        return (low - value) / low
    return value / high - 1 if high is not None and value > high else 0.0


def limits_in_words(low, high):
    r"""Limits as people write them."""
    if low is None:
        return f"≤ {high:g}"
    return f"≥ {low:g}" if high is None else f"{low:g} to {high:g}"


def number(value, digits=2):
    r"""A number, or a dash where nothing was measured."""
    return "–" if value is None else f"{value:.{digits}f}"


def with_spread(both):
    r"""Mean and spread of several draws."""
    if both["spread"] is None:
        return number(both["mean"])
    return f"{number(both['mean'])} ± {number(both['spread'])}"


def reached(result, which):
    r"""Lines for the terminal: what a model scored, and which targets it reaches."""
    lines = [f"{'':38}{'value':>14}{'target':>15}  reached"]
    measures = result["drawn"]["measures"]
    for name, words in MEASURES.items():
        target = TARGETS[which].get(name)
        value = with_spread(measures[name])
        wanted = limits_in_words(*target) if target else "none"
        done = "" if target is None else "yes" if result["drawn"]["reached"][name] else "NO"
        lines.append(f"{words:38}{value:>14}{wanted:>15}  {done}")
    return lines


def tables(which, result):
    r"""What one results file says, as lines of Markdown."""
    lines = [f"### {NAMES[which]}", ""]
    judge = result["judge"]
    lines += [
        f"{result['num']:,} pictures a draw, {result['held_out']:,} held-out pictures. The "
        f"classifier recognises {100 * judge['accuracy']:.1f} % of {judge['unseen']:,} "
        "unseen pictures. ± is the standard deviation of three draws.",
        "",
    ]
    columns = {}
    if "drawn" in result:
        chain = ", ".join(f"{k} {v}" for k, v in result["drawn"]["drawn_with"].items())
        lines += [f"`{result['model']['name']}` draws by {chain}.", ""]
        columns[f"`{result['model']['name']}`"] = {
            name: cell(which, name, both)
            for name, both in result["drawn"]["measures"].items()
        }
    for words, kind in (("training pictures", "training"), ("unseen", "unseen")):
        columns[words] = {name: with_spread(both) for name, both in result[kind].items()}
    lines += table(
        ["measure", "target", *columns],
        [
            [words, wanted(which, name), *(c[name] for c in columns.values())]
            for name, words in MEASURES.items()
        ],
    )
    faults = result["faults"]
    known = {fault: words for fault, words in FAULTS.items() if fault in faults}
    beside = ", where those without a fault are inside" if "no_fault" in known else ""
    lines += [
        "",
        "The same of one draw of unseen pictures, each kind with one fault. Bold: outside "
        f"the limit{beside}, so the fault is seen.",
        "",
    ]
    rows = []
    for name, words in MEASURES.items():
        cells = []
        for fault in known:
            mark = SEEN if name in result["seen"][fault] else UNSEEN
            cells.append(f"{mark}{number(faults[fault][name])}{mark}")
        rows.append([words, *cells])
    lines += table(["measure", *known.values()], rows)
    if result.get("other_numbers"):
        lines += [
            "",
            "The model's ratios with other numbers of held-out pictures, of one seed and "
            "one draw of training pictures, so not the means above. Targets are for "
            f"{result['held_out']:,}.",
            "",
        ]
        kinds = list(next(iter(result["other_numbers"].values())))
        lines += table(
            ["held-out pictures", *(MEASURES[kind] for kind in kinds)],
            [
                [f"{int(size):,}", *(number(row[kind]) for kind in kinds)]
                for size, row in result["other_numbers"].items()
            ],
        )
    return [*lines, ""]


def wanted(which, name):
    r"""The target of a measure in words; where it has none, what counts as a fault seen."""
    words = limits_in_words(*LIMITS[which][name])
    return words if name in TARGETS[which] else f"none (fault: not {words})"


def cell(which, name, both):
    r"""A model's number, bold where it misses a target."""
    target = TARGETS[which].get(name)
    missed = target and outside(which, name, both["mean"]) > 0
    mark = SEEN if missed else UNSEEN
    return f"{mark}{with_spread(both)}{mark}"


def table(head, rows):
    r"""Lines of a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def filled(text, runs=RUNS):
    r"""The page with the tables of the results that there are, between its two marks."""
    before, mark, rest = text.partition("<!-- tables -->\n")
    _, end, after = rest.partition("<!-- end of tables -->")
    if not mark or not end:
        raise ValueError("docs/measures.md has lost the marks between which its tables are")
    lines = []
    for which in NAMES:
        path = runs / f"measures_{which}.json"
        if path.is_file():
            lines += tables(which, json.loads(path.read_text("utf-8")))
    return before + mark + "\n".join(["", *lines]) + end + after


def rewrite():
    r"""Write the tables into the page. Returns what was done, in words."""
    write_text(PAGE, filled(PAGE.read_text("utf-8")))
    return f"wrote the tables of docs/{PAGE.name}"
