r"""Grade a made-up class of thirty: `python figures/class.py [02]`.

Twenty-eight notebooks mix right, wrong and missing answers, so that their grades are
known; two are hostile. Writes figures/runs/class.json: seconds, and how many of the
twenty-eight grades are right.
"""

import argparse
import json
import os
import random
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import nbformat

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "exercises"))

import assignments  # noqa: E402
from wrong import wrong_answers  # noqa: E402

from ddpm_lite.classroom import jail  # noqa: E402
from ddpm_lite.classroom.exercise import exercises_of  # noqa: E402
from ddpm_lite.classroom.grade import grade  # noqa: E402

HOSTILE = {
    "loops": """
while True:
    try:
        while True: sum(range(99))
    except BaseException: pass
""",
    "attacks": """
import builtins, glob, os, signal, subprocess, sys, torch
torch.allclose = builtins.all = lambda *a, **k: True
for path in glob.glob("FOLDER/*"):
    open(path, "w").close()
for _ in range(50): subprocess.Popen([sys.executable, "-c", "while True: pass"])
try: os.kill(os.getppid(), signal.SIGKILL)
except OSError: pass
x = bytearray(2**38)
""",
}


def student(chapter, who):
    r"""The cells of one student's notebook, and the points that they deserve."""
    choose = random.Random(who)
    text = (ROOT / "exercises" / "wrong" / f"ch{chapter}.py").read_text("utf-8")
    cells = [c for c in assignments.source(chapter) if c.cell_type == "code"]
    cells = [c.source for c in cells if not c.source.startswith("check(")]
    cells.append(text.replace("from wrong import wrong", "wrong = lambda *_: lambda f: f"))
    deserved = 0
    for number, exercise in exercises_of(chapter).items():
        kind = choose.choice(("right", "right", "wrong", "blank"))
        deserved += exercise.points * (kind == "right")
        if kind == "wrong":
            mine = [w for w in wrong_answers(chapter) if w.answers == number]
            cells.append(f"{exercise.name} = {choose.choice(mine).__name__}")
        elif kind == "blank":
            cells.append(f"def {exercise.name}(*_, **__):\n    raise NotImplementedError()")
    return cells, deserved


def hostile(chapter, cell):
    r"""The cells of a notebook that begins with `cell` and ends with endless answers."""
    loop = "def {}(*_, **__):\n    while True: pass"
    return [cell, *(loop.format(e.name) for e in exercises_of(chapter).values())]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapter", nargs="?", default="02")
    chapter = parser.parse_args().chapter
    deserved = {}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(30):
            name = f"student_{i:02}"
            if i in (7, 19):
                name = ("loops", "attacks")[i == 19]
                cells = hostile(chapter, HOSTILE[name].replace("FOLDER", folder))
            else:
                cells, deserved[name] = student(chapter, i)
            path = Path(folder, f"{name}_{chapter}.ipynb")
            made = nbformat.v4.new_notebook(
                cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
                metadata={"ddpm_lite": {"chapter": chapter}},
            )
            nbformat.write(made, path)
        begun = perf_counter()
        grades = grade(folder, chapter=chapter, seed=1)
        seconds = perf_counter() - begun
    got = {g.submission.student.rsplit("_", 1)[0]: g.points for g in grades}
    results = {
        "chapter": chapter,
        "submissions": len(grades),
        "hostile": len(grades) - len(deserved),
        "right_grades": sum(got[name] == points for name, points in deserved.items()),
        "points_of_the_hostile": sum(got[name] for name in HOSTILE),
        "seconds": round(seconds, 1),
        "processors": os.cpu_count(),
        "isolation": jail.isolation(),
    }
    text = json.dumps(results, indent=1) + "\n"
    (ROOT / "figures" / "runs" / "class.json").write_text(text, "utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
