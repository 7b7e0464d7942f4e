r"""A table and a command, for the scripts of bugs in exact laws (chapters 13 to 17)."""

import argparse
import json
from pathlib import Path

import torch
from bugs_sampling import rounded

from ddpm_lite import figure
from ddpm_lite.training.facts import versions

ROOT = Path(__file__).resolve().parent.parent
SOUND = ()


def beside(head, results, shown, cells):
    r"""Markdown: the sound code's numbers beside those of the run that is shown.

    cells: a function of a row of the results -> [(words, cell), ...], a line each.
    """
    rows = {tuple(row["faults"]): row for row in results["rows"]}
    lines = [f"| {head} | sound code | this run |", "|---|---|---|"]
    for (words, sound), (_, run) in zip(
        cells(rows[SOUND]), cells(rows[shown]), strict=True
    ):
        lines.append(f"| {words} | {sound} | {run} |")
    return "\n".join(lines)


def command(script, about, chapter, numbers, shown, others, sheet, drawing, dpi=130):
    r"""Measure the sound code, the run that is shown and each fault alone; or --draw.

    Writes figures/runs/<script's name>.json, or exercises/bugs/<chapter>.png.
    """
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("--draw", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.draw:
        picture = figure.png(drawing(), dpi=dpi)
        figure.save(picture, ROOT / "exercises" / "bugs" / f"{chapter}.png")
        return
    name = Path(script).stem
    every = (SOUND, shown, *((one,) for one in (*shown, *others)))
    rows = [{"faults": list(faults), **rounded(numbers(faults))} for faults in every]
    results = {"command": f"python figures/{name}.py", "rows": rows}
    results["versions"] = versions()
    path = ROOT / "figures" / "runs" / f"{name}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    for row in rows:
        print(row)
    print(sheet(results))
