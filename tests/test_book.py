r"""The book keeps its rules: text and notebooks agree, and everybody can read them.

Read-only, and without running a chapter (nbval does that). Every rule is a function of
a notebook or text, so that the last tests can break copies and see each rule fail.
"""

import ast
import copy
import importlib.util
import json
import re
import tomllib
from html import unescape
from pathlib import Path
from statistics import mean

import jupytext
import nbformat
import pytest
import yaml
from jupytext.compare import compare_notebooks
from machines import MACHINES
from oldest import oldest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from reading import faults, minutes, parted, prose

import ddpm_lite
from ddpm_lite.bench import page as bench_page

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PATHS = re.compile(r"(?<![\w.:/])/(?:home|tmp|usr|root|Users|mnt|opt|var|work)/|[A-Z]:\\\\")
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"codemirror_mode", "file_extension", "mimetype", "name", "nbconvert_exporter"}
LANGUAGE |= {"pygments_lexer", "version"}
PAPER_EQUATIONS = {str(number) for number in range(1, 23)}


def load_build():
    spec = importlib.util.spec_from_file_location("build", NOTEBOOKS / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = load_build()
CHAPTERS = [*build.chapters(), *build.pages()]  # pages keep the rules of chapters
PAGES = [path.stem for path in build.pages()]
NAMES = [path.stem for path in CHAPTERS]


def committed(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def text_of(name):
    return (NOTEBOOKS / f"{name}.md").read_text("utf-8")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


# The rules, each a function that returns what is wrong, in words.


def disagreements(notebook, text):
    """Where the executed notebook is not made from this text."""
    source = jupytext.reads(build.embedded(text), fmt="md:myst")
    source.metadata.pop("jupytext")
    try:
        compare_notebooks(
            notebook, source, fmt="md:myst", compare_outputs=False, compare_ids=False
        )
    except Exception as difference:
        return [f"text and notebook differ: {difference}"]
    return []


def not_executed(notebook):
    """Cells that were not run in order, that failed, or that wrote to stderr."""
    wrong = []
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        wrong.append(f"cells were not executed in order: {counts}")
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                wrong.append(f"error or stderr in the cell {cell.source[:60]!r}")
    if not any(cell.outputs for cell in code_cells(notebook)):
        wrong.append("no cell has an output")
    return wrong


def hygiene(notebook):
    """Metadata and content that would not show, or not travel."""
    wrong = []
    if "widgets" in notebook.metadata:
        wrong.append("widget state, which GitHub may refuse to show")
    if notebook.metadata.get("kernelspec") != KERNEL:
        wrong.append("the kernel must be python3, called as JupyterLab calls it")
    if "jupytext" in notebook.metadata:
        wrong.append("jupytext metadata, for which Jupyter asks for the text file too")
    if set(notebook.metadata.get("language_info", {})) != LANGUAGE:
        wrong.append("JupyterLab writes what it misses of the language when it opens")
    ids = [cell.get("id") for cell in notebook.cells]
    if len(set(ids)) != len(ids) or None in ids:
        wrong.append("cell ids are missing or not unique")
    for cell in code_cells(notebook):
        metadata = dict(cell.metadata)
        if "jupyter" in metadata:  # closed: in JupyterLab, in Colab, on a page
            closed = {"jupyter": {"source_hidden": True}, "cellView": "form"}
            if not closed.items() <= metadata.items() or not closes(cell):
                wrong.append(f"the cell {cell.source[:60]!r} is not closed everywhere")
            metadata = {k: v for k, v in metadata.items() if k not in closed}
        if set(metadata) - {"tags"}:
            wrong.append(f"cell metadata {sorted(cell.metadata)}")
        for output in cell.outputs:
            for kind, content in texts(output):
                if PATHS.search(content):
                    wrong.append(f"an absolute path in {kind}: {content[:80]!r}")
                if "widget" in kind:
                    wrong.append("a widget as output")
    return wrong


def closes(cell):
    """Whether Colab has a title for a closed cell, and a page of the book closes it."""
    return cell.source.startswith("# @title ") and "hide-input" in cell.metadata["tags"]


def open_at_first(notebook):
    """First cells that a reader should not have to scroll over."""
    first, second = code_cells(notebook)[:2]
    wrong = [] if "jupyter" in first.metadata else ["the cell that installs is open"]
    if len(second.source.splitlines()) > 12 and "jupyter" not in second.metadata:
        wrong.append("the cell of imports is long, and open")
    return wrong


def texts(output):
    if output.output_type == "stream":
        return [(output.name, output.text)]
    return [
        (
            kind,
            re.sub(r"(;base64,)[\w+/=]*", r"\1", str(v)),
        )  # no path, but could look like one
        for kind, v in output.data.items()
        if not kind.startswith("image")
    ]


def pictures_without_alt(notebook):
    """Pictures that somebody who cannot see them knows nothing of."""
    wrong = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for alt in re.findall(r"!\[(.*?)\]\(", cell.source):
                if len(alt) < 10:
                    wrong.append(f"picture with alt text {alt!r} in the text")
            continue
        for output in cell.outputs:
            wrong += unseen(output)
    return wrong


IMG = re.compile(
    r'<img alt="(.*?)" width="\d+" style="[\w:%;-]+" src="data:(image/\w+);base64,'
)


def unseen(output):
    """What is wrong with one output, if it is a picture: the page reads its HTML."""
    data, metadata = output.get("data", {}), output.get("metadata", {})
    drawn = [kind for kind in data if kind.startswith("image/")]
    if not drawn:
        return []
    alt = data.get("text/plain", "")
    seen = IMG.match(data.get("text/html", ""))
    wrong = [f"{kind}: what is kept beside the HTML is PNG" for kind in drawn[1:]]
    if drawn[0] != "image/png":
        wrong.append(f"{drawn[0]}: a viewer that strips HTML wants a PNG")
    if len(alt) < 20 or metadata.get(drawn[0], {}).get("alt") != alt:
        wrong.append(f"{drawn[0]} with alt text {alt!r}")
    if not seen or unescape(seen[1]) != alt:
        wrong.append(f"no <img> that says {alt!r} to those who cannot see it")
    elif seen[2] not in ("image/png", "image/webp"):
        wrong.append(f"{seen[2]}: pictures are PNG, films WebP")
    return wrong


def not_compared(notebook):
    """Cells whose printed text nobody would compare, or whose pixels somebody would."""
    return [
        f"take the picture out of the cell {cell.source[:60]!r}: nbval compares its HTML"
        for cell in code_cells(notebook)
        if "nbval-check-output" in cell.metadata.get("tags", [])
        and any("image/png" in output.get("data", {}) for output in cell.outputs)
    ] + [
        f"tag the cell {cell.source[:60]!r} nbval-check-output, or nbval-ignore-output"
        for cell in code_cells(notebook)
        if any(output.output_type == "stream" for output in cell.outputs)
        and not {"nbval-check-output", "nbval-ignore-output"}
        & set(cell.metadata.get("tags", []))
    ]


def not_portable(text):
    """What JupyterLab, VS Code, GitHub or Colab would show as raw text."""
    prose = re.sub(r"```\{code-cell\}.*?\n```\n", "", text, flags=re.S)
    wrong = [
        f"MyST directive or role {m!r}" for m in re.findall(r"`{3}\{.*?\}|\{\w+\}`", prose)
    ]
    wrong += [
        f"{m!r}: use aligned" for m in re.findall(r"\\begin\{align\*?\}|\\label\{", prose)
    ]
    tags = re.findall(r"\\tag\{(.*?)\}", prose)
    wrong += [
        f"\\tag{{{t}}} is no equation of the paper"
        for t in tags
        if t not in PAPER_EQUATIONS
    ]
    wrong += [f"{m!r} is raw text in JupyterLab" for m in re.findall(r"> \[!\w+\]", prose)]
    if prose.count("$$") % 2:
        wrong.append("an odd number of $$")
    return wrong


def broken_links(text, folder):
    """Relative links that lead nowhere."""
    prose = re.sub(r"```.*?\n```\n", "", text, flags=re.S)
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", prose)
    return [t for t in targets if not (folder / t).exists()]


def missing_parts(text, kind="chapter"):
    """What every chapter, or page, opens and closes with."""
    wanted = [f"After this {kind} you can", "| you need | minutes |"]
    wanted += ["## Sources, and what to read next"]
    if kind == "chapter":
        wanted += ["**One misconception.**", "Next: "]
    return [f"the {kind} lacks {part!r}" for part in wanted if part not in text]


def pointing_elsewhere(text, repository):
    """Links for Colab or pip that lead to another repository than pyproject's."""
    links = re.findall(
        r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+?)/blob/", text
    )
    links += re.findall(r"git\+https://github\.com/([\w.-]+/[\w-]+)", text)
    return [link for link in links if link != repository]


@pytest.mark.parametrize("name", NAMES)
def test_chapter_keeps_the_rules(name):
    notebook, text = committed(name), text_of(name)
    wrong = disagreements(notebook, text)
    for rule in (not_executed, hygiene, open_at_first, pictures_without_alt, not_compared):
        wrong += rule(notebook)
    kind = "page" if name in PAGES else "chapter"
    wrong += not_portable(text) + missing_parts(text, kind)
    wrong += [f"dead link {link}" for link in broken_links(text, NOTEBOOKS)]
    wrong += [f"points to {link}" for link in pointing_elsewhere(text, build.repository())]
    size = (NOTEBOOKS / f"{name}.ipynb").stat().st_size
    if size > 2_000_000:
        wrong.append(f"the notebook has {size} bytes")
    assert wrong == []


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PAGES])
def test_chapter_can_be_read_in_the_time_that_it_says(name):
    assert faults(text_of(name)) == []


def test_the_contents_say_the_minutes_of_each_chapter():
    rows = re.findall(r"^\| \[(\d\d) .*\| (\d+) \|$", text_of("00_start_here"), re.M)
    wanted = [
        (name[:2], str(minutes(parted(text_of(name))[0])))
        for name in NAMES
        if name not in PAGES and name != "00_start_here"
    ]
    assert rows == wanted


def test_the_notebooks_are_small_together():
    sizes = [path.stat().st_size for path in NOTEBOOKS.glob("*.ipynb")]
    assert sum(sizes) <= 20_000_000, f"{sum(sizes)} bytes"


@pytest.mark.parametrize("name", NAMES)
def test_first_cell_and_badge_come_from_the_one_place(name):
    text = text_of(name)
    assert build.written(NOTEBOOKS / f"{name}.md") == text
    assert f"github.com/{build.repository()}" in text
    assert f"/blob/main/notebooks/{name}.ipynb)" in text
    assert "![" not in text.split("**After this")[0]  # a badge would ask the network


def test_each_chapter_leads_to_its_neighbours():
    names = [path.stem for path in build.chapters()]
    led = {
        name: re.findall(r"\]\((\w+)\.ipynb\)", build.links(NOTEBOOKS / f"{name}.md"))
        for name in NAMES
    }
    assert led[names[0]] == [names[1]] and led[names[-1]] == [names[-2], names[0]]
    for before, name, after in zip(names, names[1:], names[2:], strict=False):
        assert led[name] == [before, names[0], after]
    assert all(led[name] == [names[0]] for name in PAGES)
    for name in NAMES:
        assert text_of(name).splitlines()[13] == build.links(NOTEBOOKS / f"{name}.md")


def test_the_table_of_symbols_is_true(monkeypatch):
    # chapter 01 checks its own table where its text lies beside it, so not when run alone
    monkeypatch.chdir(NOTEBOOKS)
    sources = [cell.source for cell in code_cells(committed("01_notation"))]
    (table,) = [source for source in sources if "def rows_of_the_table" in source]
    space = {}
    for source in (sources[1], table):  # what it imports, and the check
        exec(source, space)
    assert len(space["rows"]) == 23


def test_every_chapter_has_both_files_and_the_numbers_run_on():
    executed = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    assert executed == NAMES
    numbers = [build.called(path) for path in build.chapters()]
    assert numbers == [f"{i:02}" for i in range(len(numbers))]
    assert {build.called(path) for path in build.pages()} == set(PAGES)


def by_hand_functions(name):
    for cell in code_cells(committed(name)):
        source = "\n".join(line for line in cell.source.splitlines() if "%pip" not in line)
        for node in ast.walk(
            ast.parse(re.sub(r":\s*$", ": pass", source.rstrip(), flags=0))
        ):
            if isinstance(node, ast.FunctionDef) and node.name.endswith("_by_hand"):
                yield node.name, ast.dump(node)


def test_by_hand_functions_are_the_chapters_own():
    seen = {}
    package = "\n".join(p.read_text("utf-8") for p in (ROOT / "ddpm_lite").rglob("*.py"))
    for name in NAMES:
        for function, body in by_hand_functions(name):
            assert function not in package, f"{function} stands in the package"
            assert seen.setdefault(function, (name, body))[0] == name, (
                f"{function} is defined in {seen[function][0]} and in {name}"
            )
    assert len(seen) >= 10


PLUMBING = {"load_model", "load_run", "save_model", "PriorGap", "from_diffusers"}
# of chapters that are still to come
LATER = {"hybrid_loss", "guided", "register_network"}


def test_every_public_name_is_used_in_a_chapter_or_is_plumbing():
    code = "\n".join(cell.source for name in NAMES for cell in code_cells(committed(name)))
    unused = {n for n in ddpm_lite.__all__ if not re.search(rf"\b{n}\b", code)}
    # Every conversion is checked in tests/test_process.py; chapters 10 and 13 use the rest.
    later = {n for n in unused if "_from_" in n}
    assert unused - later - LATER <= PLUMBING
    assert all(hasattr(ddpm_lite, name) for name in ddpm_lite.__all__)


def test_readme_tells_the_truth():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert broken_links(readme, ROOT) == []
    assert pointing_elsewhere(readme, build.repository()) == []
    assert all(len(alt) > 30 for alt in re.findall(r"!\[(.*?)\]\(", readme))
    for name in NAMES:
        assert readme.count(f"notebooks/{name}.ipynb") == 2, f"{name}: chapter and Colab"
    assert len(re.findall(r"[\w'`-]*\w[\w'`-]*", spoken(readme))) <= 900
    recipe = (ROOT / "docs" / "recipe.md").read_text("utf-8")
    table = recipe.split("## From the paper's equation")[1]
    for row in table.splitlines()[4:]:
        if row.startswith("|"):
            function, chapters = row.split("|")[3], row.split("|")[4]
            for part in re.findall(r"`([\w.]+)`", function):
                owner = ddpm_lite
                for step in part.split("."):
                    owner = getattr(owner, step)
            assert all(
                any(n.startswith(c.strip()) for n in NAMES) for c in chapters.split(",")
            )


def spoken(text):
    r"""What a reader of the page sees of it: no code, no addresses, no alt texts."""
    text = re.sub(r"```.*?```|<!--.*?-->", " ", text, flags=re.S)
    text = re.sub(r"!\[.*?\]\(.*?\)", " ", text)
    return re.sub(r"\[(.*?)\]\(.*?\)", r"\1", text)


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.stem)
def test_links_of_the_pages_lead_somewhere(path):
    text = path.read_text("utf-8")
    assert broken_links(text, path.parent) == []
    assert all(len(alt) > 30 for alt in re.findall(r"!\[(.*?)\]\(", text))
    assert f"docs/{path.name}" in (ROOT / "README.md").read_text("utf-8")


def test_the_speeds_on_their_page_are_those_that_were_measured():
    readme = (ROOT / "docs" / "speed.md").read_text("utf-8")
    results = json.loads((ROOT / "figures" / "runs" / "bench.json").read_text("utf-8"))
    lines = list(bench_page.summary(results))
    assert len(lines) > 4 and "\n".join(lines) in readme


def test_the_quality_of_make_run_is_that_which_was_measured():
    spec = importlib.util.spec_from_file_location("readme", ROOT / "figures" / "readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (ROOT / "docs" / "evaluating.md").read_text("utf-8")
    assert f"\n\n{module.quality()}\n\n" in page
    runs = json.loads((ROOT / "figures" / "runs" / "first_digits.json").read_text("utf-8"))
    means = {
        name: mean(run["measures"][name]["generated"] for run in runs["runs"])
        for name in ("fd_pixels_1000_ratio", "precision", "recall", "detectability")
    }
    assert [run["seed"] for run in runs["runs"]] == [0, 1, 2]
    assert means["fd_pixels_1000_ratio"] <= 1.1 and means["precision"] >= 0.80
    assert means["recall"] >= 0.85 and means["detectability"] <= 0.72


def test_what_bfloat16_costs_is_what_was_measured():
    readme = (ROOT / "docs" / "speed.md").read_text("utf-8")
    found = json.loads((ROOT / "figures" / "runs" / "precision.json").read_text("utf-8"))
    away, seeds = (
        found["held_out"][name] for name in ("bfloat16_minus_float32", "deviation_of_seeds")
    )
    for number in (f"{abs(away):.5f} away", f"differ by {seeds:.4f}"):
        assert number in readme
    assert f"{found['samples']['mean_grey_levels']:.1f} grey levels" in readme
    assert f"{found['steps']} updates" in readme and found["seeds"] == 3
    for numbers in (*found["spans"], found["held_out"]):  # within the noise of float32
        assert abs(numbers["bfloat16_minus_float32"]) < numbers["deviation_of_seeds"]


def test_the_ten_lines_of_readme_run():
    readme = (ROOT / "README.md").read_text("utf-8")
    code = re.search(r"```python\n(.*?)```", readme, re.S).group(1)
    small = code.replace("steps=2000", "steps=20").replace("(2000, 2)", "(200, 2)")
    assert small != code
    space = {}
    exec(compile(small, "README.md", "exec"), space)
    assert space["new"].shape == (200, 2)


def test_the_run_in_python_runs(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "training.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    small = code.replace("steps=30", "steps=2").replace("steps=20", "steps=2")
    monkeypatch.chdir(tmp_path)
    space = {}
    exec(compile(small, "training.md", "exec"), space)
    assert space["new"].shape == (10, 1, 8, 8) and space["run"].config["step"] == 2


def test_figures_are_all_shown_and_all_made_by_a_command():
    places = [ROOT / "docs", ROOT / "notebooks"]
    pages = [ROOT / "README.md", *(p for place in places for p in place.glob("*.md"))]
    shown = "\n".join(path.read_text("utf-8") for path in pages)
    commands = "\n".join(p.read_text("utf-8") for p in (ROOT / "figures").glob("*.py"))
    commands += (ROOT / "Makefile").read_text("utf-8")
    for path in (ROOT / "figures").glob("*.*"):
        if path.suffix != ".py":
            assert f"figures/{path.name}" in shown, f"{path.name} is shown nowhere"
            assert path.name in commands, f"no command makes {path.name}"
    for path in (ROOT / "figures" / "runs").glob("*.json"):
        stem = path.stem.rsplit("_", 1)[0]
        assert path.stem in commands or stem in commands, f"no command makes {path.name}"
        json.loads(path.read_text("utf-8"))


def requirements():
    extras = PROJECT["optional-dependencies"]
    for line in [*PROJECT["dependencies"], *extras["book"], *extras["test"]]:
        yield Requirement(line)


def test_environment_yml_says_the_same_as_pyproject():
    file = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    assert file["channels"] == ["conda-forge", "nodefaults"]
    conda = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    packages, (pip,) = file["dependencies"][:-1], file["dependencies"][-1:]
    assert pip == {"pip": ["-e ."]} and packages[:2] == ["python=3.11", "pip"]
    listed = {re.split(r"[><=]", p, maxsplit=1)[0]: p for p in packages[2:]}
    wanted = {conda.get(r.name, r.name): r for r in requirements()}
    assert set(listed) == set(wanted)
    for name, requirement in wanted.items():
        assert Requirement(listed[name]).specifier == requirement.specifier, name


def test_constraints_fit_pyproject_and_pin_everything():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    versions = {
        canonicalize_name(p.name): str(p.specifier).removeprefix("==") for p in pins
    }
    assert all(str(p.specifier).startswith("==") for p in pins)
    assert not any("+" in v for v in versions.values()), "local versions exist nowhere else"
    assert versions["torch"] == "2.13.0"
    for requirement in requirements():
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement


def test_ci_runs_what_readme_says():
    assert "make test" in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    workflow = yaml.safe_load(
        (ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8")
    )
    steps = [step.get("run") for step in workflow["jobs"]["test"]["steps"]]
    assert "make test" in steps


def test_the_weekly_run_is_on_every_system_and_on_two_kinds_of_cpu():
    file = ROOT / ".github" / "workflows" / "weekly.yml"
    job = yaml.safe_load(file.read_text("utf-8"))["jobs"]["machines"]
    rows = job["strategy"]["matrix"]["include"]
    systems = [row["os"] for row in rows]
    assert {name.split("-")[0] for name in systems} == {"ubuntu", "macos", "windows"}
    assert any(name.endswith("-arm") for name in systems) and "ubuntu-latest" in systems
    assert job["runs-on"] == "${{ matrix.os }}" and not job["strategy"]["fail-fast"]
    steps = "\n".join(step.get("run", "") for step in job["steps"])
    assert "make" not in steps  # Windows has none
    assert "tests/machines.py --table" in steps
    assert "tests/machines.py ${{ matrix.names }}" in steps
    for row in rows:  # no names are all of them
        names = row["names"].split()
        assert set(names) <= set(MACHINES) and (names == [] or "shaken-1" in names)
    assert [row["os"] for row in rows if not row["names"]] == ["ubuntu-latest"]


def test_the_oldest_versions_are_read_off_the_ranges():
    assert oldest(["torch>=2.11,<3", "pillow>=10.4"]) == ["torch==2.11.*", "pillow==10.4.*"]
    assert len(oldest(PROJECT["dependencies"])) == len(PROJECT["dependencies"])


# Each rule, broken on purpose.


def broken(change):
    notebook = copy.deepcopy(committed("00_start_here"))
    change(notebook)
    return notebook


def first_picture(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                return output
    raise AssertionError("chapter 00 shows no picture")


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        (not_executed, lambda n: code_cells(n)[2].update(execution_count=None)),
        (not_executed, lambda n: [c.update(outputs=[]) for c in code_cells(n)]),
        (
            not_executed,
            lambda n: code_cells(n)[1].outputs.append(
                nbformat.v4.new_output("stream", name="stderr", text="a warning")
            ),
        ),
        (hygiene, lambda n: n.metadata.update(widgets={"state": {}})),
        (hygiene, lambda n: n.metadata.kernelspec.update(name="mine")),
        (hygiene, lambda n: n.metadata.update(jupytext={"formats": "md:myst"})),
        (hygiene, lambda n: n.metadata.kernelspec.update(display_name="Python 3")),
        (hygiene, lambda n: n.metadata.language_info.pop("version")),
        (hygiene, lambda n: code_cells(n)[0].metadata.pop("cellView")),
        (hygiene, lambda n: code_cells(n)[0].metadata.tags.remove("hide-input")),
        (hygiene, lambda n: code_cells(n)[0].update(source="import os")),
        (open_at_first, lambda n: code_cells(n)[0].metadata.pop("jupyter")),
        (open_at_first, lambda n: code_cells(n)[1].update(source="import os\n" * 13)),
        (hygiene, lambda n: n.cells[3].update(id=n.cells[4].id)),
        (hygiene, lambda n: code_cells(n)[1].metadata.update(execution={"start": "now"})),
        (
            hygiene,
            lambda n: code_cells(n)[1].outputs[0].update(text="see /home/me/book.py"),
        ),
        (pictures_without_alt, lambda n: first_picture(n).metadata.clear()),
        (
            pictures_without_alt,
            lambda n: first_picture(n).data.update({"text/plain": "<Figure>"}),
        ),
        (pictures_without_alt, lambda n: n.cells[0].update(source="![](x.png)")),
        (pictures_without_alt, lambda n: first_picture(n).data.pop("text/html")),
        (
            pictures_without_alt,
            lambda n: first_picture(n).data.update({"text/html": "<b>no picture</b>"}),
        ),
        (
            pictures_without_alt,
            lambda n: first_picture(n).data.update({"image/gif": "R0lGODlh"}),
        ),
        (not_compared, lambda n: code_cells(n)[1].metadata.update(tags=[])),
        (not_compared, lambda n: code_cells(n)[1].outputs.append(first_picture(n))),
    ],
)
def test_each_rule_fails_on_a_broken_notebook(rule, change):
    assert rule(committed("00_start_here")) == []
    assert rule(broken(change)) != []


def test_a_changed_constant_in_the_text_is_found():
    name = "02_forward_process"
    text = text_of(name)
    changed = text.replace("from_beta([0.2, 0.5])", "from_beta([0.2, 0.4])")
    assert changed != text
    assert disagreements(committed(name), text) == []
    assert disagreements(committed(name), changed) != []
    prose = text.replace("Two steps by hand", "Three steps by hand")
    assert disagreements(committed(name), prose) != []


HEAD = "---\nx\n---\n\n# 99 A title\n\n| you need | minutes | read |\n|---|---|---|\n"
CELL = "```{code-cell} ipython3\n%s\n```\n"


def small(text, said="5"):
    return f"{HEAD}| nothing | {said} | nothing |\n\n{text}\n"


@pytest.mark.parametrize(
    ("text", "said", "found"),
    [
        ("Short.", "10", "its minutes are (5, 0)"),
        (CELL % "\n".join("a = 1" for _ in range(26)), "5", "a cell of 26 lines"),
        ("word " * 40 + "end.", "5", "a sentence of more than 40 words"),
        ("Six words are in this sentence. " * 21, "5", "a paragraph of more than 120"),
        (
            "Short words. " * 50 + "\n\n" + "Six words are in this one. \n\n" * 750,
            "25",
            "words in the main line",
        ),
        ("$$x$$\n\n" * 70, "140", "140 minutes for the main line"),
        (CELL % 'print("equal:", True)', "5", "a printed"),
        ("# noqa", "5", "noqa"),
        ("## A proof (second reading)\n\n$$x$$", "5", "its minutes are (0, 5)"),
    ],
)
def test_a_chapter_that_is_too_long_is_found(text, said, found):
    assert faults(small("Short.")) == []
    assert any(found in fault for fault in faults(small(text, said)))


def test_what_counts_as_main_line():
    closed = CELL % ":jupyter: {source_hidden: true}\n" + CELL % "# a comment\na = 1"
    text = f"One $a + b$ [two](x.md).\n\n{closed}\n## Two (second reading)\n\nThree.\n"
    text += "\n### Four\n\nFive.\n\n## Six\n\nSeven.\n\n## Exercises\n\n### 1\n\nEight.\n"
    main, second = parted(small(text))
    assert prose(main).split()[-4:] == ["One", "x", "two.", "Seven."]
    assert prose(second).split() == ["Three.", "Five."]


@pytest.mark.parametrize(
    "prose",
    [
        "```{note}\nx\n```",
        "see {eq}`a`",
        "\\begin{align}x\\end{align}",
        "> [!NOTE]\n> x",
        "$$x\\tag{99}$$",
        "$$x",
    ],
)
def test_unportable_prose_is_found(prose):
    assert not_portable(prose) != []


def test_dead_and_foreign_links_are_found():
    assert broken_links("[a](nowhere.ipynb) [b](https://x.y)", NOTEBOOKS) == [
        "nowhere.ipynb"
    ]
    link = "colab.research.google.com/github/some/body/blob/main/x.ipynb"
    assert pointing_elsewhere(link, build.repository()) == ["some/body"]
