r"""Run a chapter in an empty folder and compare what it prints with what is committed."""

import json
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nbclient import NotebookClient
from test_book import CHAPTERS, build, committed

KERNEL = "alone"


def kernel(folder, argv, variables):
    r"""Put a Jupyter kernel into folder/share/kernels, where JUPYTER_PATH finds it.

    argv: a command, to which the name of the connection file is added. variables: what it
    sees of the environment beside what is set where the tests run.
    """
    home = folder / "share" / "kernels" / KERNEL
    home.mkdir(parents=True, exist_ok=True)
    argv = [*map(str, argv), "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": KERNEL, "language": "python", "env": variables}
    (home / "kernel.json").write_text(json.dumps(spec), "utf-8")
    os.environ["JUPYTER_PATH"] = str(folder / "share")


def run_alone(path, folder, timeout=300):
    r"""Execute a chapter's text in a new folder of its own; return notebook and leftovers.

    timeout: seconds for one cell. A cell that fails raises CellExecutionError.
    """
    here = folder / path.stem
    here.mkdir()
    notebook = build.read(path)
    where = {"metadata": {"path": str(here)}}
    NotebookClient(notebook, timeout=timeout, kernel_name=KERNEL, resources=where).execute()
    return notebook, sorted(p.name for p in here.iterdir())


def printed(cell):
    r"""What a cell says in words: its streams, joined, and its outputs without pictures."""
    said = {"stdout": "", "stderr": ""}
    for output in cell.outputs:
        if output.output_type == "stream":
            said[output.name] += output.text
        data = output.get("data", {})
        drawn = any(kind.startswith("image/") for kind in data)  # then HTML is the picture
        for kind, content in data.items():
            if not kind.startswith("image/") and "widget" not in kind:
                if not (drawn and kind == "text/html"):
                    said[kind] = said.get(kind, "") + str(content)
    return {kind: text.strip() for kind, text in said.items() if text.strip()}


def differences(notebook, expected):
    r"""Where the cells tagged nbval-check-output print something else, in words.

    That is what `pytest --nbval-lax` compares; errors have stopped the notebook before.
    """
    pairs = zip(notebook.cells, expected.cells, strict=True)
    found = []
    for number, (cell, other) in enumerate(pairs):
        if "nbval-check-output" in cell.metadata.get("tags", []):
            now, then = printed(cell), printed(other)
            if now != then:
                found.append(f"cell {number} prints {now}, committed is {then}")
    return found


def verdict(path, folder, timeout=300):
    r"""What is wrong with a chapter that is run alone: a list of words, or nothing."""
    try:
        notebook, left = run_alone(path, folder, timeout)
    except Exception as error:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
        return [f"{path.stem}: {type(error).__name__}: {plain}"]
    found = differences(notebook, committed(path.stem))
    found += [f"left {name} behind" for name in left]
    return [f"{path.stem}: {words}" for words in found]


def verdicts(paths, folder, timeout=300, at_once=2):
    r"""What is wrong with several chapters, run two at a time."""
    with ThreadPoolExecutor(at_once) as pool:
        results = pool.map(lambda path: verdict(path, folder, timeout), paths)
        return [words for found in results for words in found]


def main():
    r"""`python tests/chapters.py FOLDER [02 08 ...]`: run chapters in this environment.

    A page is asked for by its name.
    The environment decides threads (OMP_NUM_THREADS) and shaking (DDPM_LITE_SHAKE).
    """
    folder, numbers = Path(sys.argv[1]), sys.argv[2:]
    kernel(folder, [sys.executable, Path(__file__).with_name("kernel.py")], {})
    paths = [path for path in CHAPTERS if not numbers or build.called(path) in numbers]
    if unknown := set(numbers) - {build.called(path) for path in paths}:
        sys.exit(f"there is no chapter or page {', '.join(sorted(unknown))}")
    at_once = 1 if os.environ.get("OMP_NUM_THREADS", "1") != "1" else 2
    wrong = verdicts(paths, folder, at_once=at_once)
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
