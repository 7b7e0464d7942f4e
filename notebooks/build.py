r"""Make the executed notebooks from their text: `python notebooks/build.py [02 05 ...]`.

The text NN_topic.md is what people edit; NN_topic.ipynb is made from it, always in that
direction, and the same text gives the same file, byte for byte, on the same machine.
A page beside the chapters has no number: topic.md, and `build.py topic`.
"""

import argparse
import base64
import hashlib
import os
import re
import sys
import tomllib
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
ROOT = HERE.parent
FIXED = {"OMP_NUM_THREADS": "1", "SOURCE_DATE_EPOCH": "0", "PYTHONHASHSEED": "0"}
BADGE = r"(colab\.research\.google\.com/github/)[\w.-]+/[\w.-]+?(?=/blob/)"
SHOWN = re.compile(r"\]\((?:\.\./exercises/)?(bugs/\w+\.png)\)")  # of exercises
TOP = re.compile(r"(\A.*?^# [^\n]*\n\n)[^\n]*", re.M | re.S)
INSTALL = """\
```{{code-cell}} ipython3
:cellView: form
:jupyter: {{source_hidden: true}}
:tags: [hide-input]

# @title Install the package where it is missing, as on Colab
import importlib.util
import os

if importlib.util.find_spec("ddpm_lite") is None:
    %pip install -q {{os.environ.get("DDPM_LITE", "git+https://github.com/{repository}")}}
```
"""


def chapters():
    r"""The texts of all chapters, in order."""
    return sorted(HERE.glob("[0-9][0-9]_*.md"))


def pages():
    r"""The texts that belong to no place in the book's order, by name."""
    return sorted(set(HERE.glob("*.md")) - set(chapters()))


def called(path):
    r"""What a text is asked for by: a chapter's number, or a page's name."""
    return path.name[:2] if path in chapters() else path.stem


def repository():
    r"""OWNER/NAME of the repository that chapters point to, from pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return project["urls"]["Repository"].removeprefix("https://github.com/")


def pointed(text):
    r"""The text with its links for Colab, and its first cell, set to `repository()`."""
    text = re.sub(BADGE, rf"\g<1>{repository()}", text)
    cell = INSTALL.format(repository=repository())
    return re.sub(
        r"```\{code-cell\} ipython3\n.*?\n```\n", lambda _: cell, text, count=1, flags=re.S
    )


def links(path):
    r"""The line below a text's title: the chapters beside it, the contents, and Colab."""
    names = [chapter.stem for chapter in chapters()]
    place = names.index(path.stem) if path.stem in names else None
    line = []
    if place:
        line.append(f"[← Chapter {names[place - 1][:2]}]({names[place - 1]}.ipynb)")
    if place != 0:
        line.append(f"[Contents]({names[0]}.ipynb)")
    if place is not None and place + 1 < len(names):
        line.append(f"[Chapter {names[place + 1][:2]} →]({names[place + 1]}.ipynb)")
    colab = f"colab.research.google.com/github/{repository()}/blob/main/notebooks"
    return " · ".join([*line, f"[Open in Colab](https://{colab}/{path.name[:-3]}.ipynb)"])


def written(path):
    r"""A text as it must be: `pointed`, and with its `links` below its title."""
    return TOP.sub(lambda m: m[1] + links(path), pointed(path.read_text("utf-8")), count=1)


def read(path):
    r"""The notebook that a text describes, without outputs, with ids that stay."""
    notebook = jupytext.read(path, fmt="md:myst")
    notebook.metadata.pop("jupytext")  # else Jupyter would look for the text beside it
    for i, cell in enumerate(notebook.cells):
        cell["source"] = embedded(cell["source"])
        cell["id"] = hashlib.sha1(f"{path.stem}-{i}".encode()).hexdigest()[:8]
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def embedded(text):
    r"""Markdown whose pictures of exercises are in the text: a notebook travels alone."""

    def data(match):
        content = (ROOT / "exercises" / match[1]).read_bytes()
        return f"](data:image/png;base64,{base64.b64encode(content).decode()})"

    return SHOWN.sub(data, text)


def execute(notebook, folder=HERE, timeout=300):
    r"""Run a notebook in `folder` and drop what differs between two runs.

    The names of kernel and language stay as JupyterLab writes them, so that opening the
    notebook, on the same version of Python, does not change it.
    """
    os.environ.update(FIXED)
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = merged(cell.outputs)
    return notebook


def merged(outputs):
    r"""Outputs with neighbouring pieces of one stream joined: they break by chance."""
    joined = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            last["text"] += output.text
        else:
            joined.append(output)
    return joined


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", help="such as 02, or a page's name")
    numbers = parser.parse_args().numbers
    texts = [*chapters(), *pages()]
    for path in [*texts, ROOT / "README.md"]:
        text = path.read_text("utf-8")
        wanted = written(path) if path in texts else pointed(text)
        if wanted != text:
            path.write_text(wanted, "utf-8")
    unknown = set(numbers) - {called(path) for path in texts}
    if unknown:
        sys.exit(f"there is no chapter or page {', '.join(sorted(unknown))}")
    for path in texts:
        if not numbers or called(path) in numbers:
            print(f"{path.stem} ...", flush=True)
            notebook = execute(read(path))
            nbformat.write(notebook, path.with_suffix(".ipynb"))


if __name__ == "__main__":
    main()
