r"""The shape of the package: who imports whom, how long it is, what it must not use."""

import ast
import importlib
import inspect
import io
import re
import subprocess
import sys
import tokenize
import unicodedata
from pathlib import Path

import pytest

import ddpm_lite

PACKAGE = Path(ddpm_lite.__file__).parent
CORE = ["schedule", "process", "oracle", "loss", "sampler"]

# What each module may import from the package (a subset suffices); `checks` is for all.
# DESIGN.md's table; trainer and sampler do not know each other.
ALLOWED = {
    "__init__": {"*"},
    "checks": set(),
    "seeds": set(),
    "device": set(),
    "pictures": {"seeds"},
    "data": {"pictures"},
    "schedule": set(),
    "process": {"schedule"},
    "oracle": {"schedule", "process"},
    "mlp": set(),
    "layers": set(),
    "unet": {"mlp", "layers"},
    "loss": {"schedule", "process"},
    "hybrid": {"schedule", "process", "loss"},
    "ema": set(),
    "checkpoint": {"schedule", "mlp", "unet"},
    "diffusers_format": {"checkpoint", "schedule", "unet"},
    "trainer": {"loss", "hybrid", "process", "ema", "checkpoint", "device", "seeds"},
    "instruments": set(),
    "fit": {"trainer", "checkpoint", "instruments", "seeds"},
    "spacing": set(),
    "solvers": {"schedule", "process", "spacing"},
    "sampler": {"schedule", "process", "seeds", "solvers", "spacing"},
    "verify": {"diffusers_format", "sampler", "seeds"},
    "metrics": {"data", "process", "sampler", "seeds"},
    "inception": set(),
    "evaluate": {"metrics", "inception", "data", "seeds"},
    "figure": set(),
    "cost": {"unet"},
    "curves": {"figure", "instruments", "checkpoint"},
    "presets": {"*"},
    "experiment": {"*"},
    "doctor": {"*"},
    "lab": {
        "data",
        "schedule",
        "process",
        "oracle",
        "loss",
        "metrics",
        "sampler",
        "seeds",
        "solvers",
        "spacing",
    },
    "lab_page": {"*"},
    "bench_peers": {"*"},
    "bench": {"*"},
    "bench_page": {"figure"},
    "bench_clock": set(),
    "bench_processes": {"*"},
    "bench_settings": {"*"},
    "quickstart": {"*"},
    "cli": {"*"},
    "__main__": {"*"},
}
MODULES = {path.stem: path.read_text() for path in sorted(PACKAGE.glob("*.py"))}
CLASSROOM = {f"classroom.{p.stem}": p.read_text() for p in PACKAGE.glob("classroom/*.py")}
SOURCES = MODULES | dict(sorted(CLASSROOM.items()))
EVERY_MODULE = pytest.mark.parametrize("name", MODULES)
EVERY_SOURCE = pytest.mark.parametrize("name", SOURCES)


def imports_of(source, own=1):
    r"""(names of the package's modules, names of others) that a source imports.

    own: how many dots lead to the package.
    """
    inside, outside = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            outside |= {alias.name.split(".")[0] for alias in node.names}
            assert not any(a.name.startswith("ddpm_lite") for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert all(alias.name != "*" for alias in node.names), "star import"
            if node.level:
                assert node.level in (1, own)
                if node.level != own:  # within the classroom
                    continue
                inside |= {node.module} if node.module else {a.name for a in node.names}
            else:
                outside.add(node.module.split(".")[0])
                assert not node.module.startswith("ddpm_lite")
    return inside, outside


@EVERY_MODULE
def test_imports_go_one_way(name):
    assert name in ALLOWED, f"say in ALLOWED what {name} may import"
    inside, _ = imports_of(MODULES[name])
    if "*" not in ALLOWED[name]:
        assert inside - {"checks"} <= ALLOWED[name]
    if "*" in ALLOWED[name]:
        assert inside <= set(MODULES) | ({"classroom"} if name == "cli" else set())


@pytest.mark.parametrize("name", CLASSROOM)
def test_the_classroom_imports_everything_but_the_command(name):
    inside, _ = imports_of(CLASSROOM[name], own=2)
    assert inside <= set(MODULES) - {"cli"}


def test_the_walk_sees_every_kind_of_import():
    source = (
        "from .a import b\nfrom . import c\nimport d.e\ndef f():\n    from g.h import i"
    )
    assert imports_of(source) == ({"a", "c"}, {"d", "g"})
    with pytest.raises(AssertionError, match="star import"):
        imports_of("from .a import *")


@EVERY_SOURCE
def test_only_the_named_dependencies_are_used(name):
    named = {"torch", "numpy", "matplotlib", "safetensors", "tqdm", "PIL", "sklearn"}
    named |= {"tyro", "filelock", "datasets"}
    _, outside = imports_of(SOURCES[name], own=2 if name in CLASSROOM else 1)
    named |= {"pytest"} if name == "classroom.plugin" else set()
    named |= {"huggingface_hub"} if name == "diffusers_format" else set()  # for a hub id
    named |= {"diffusers"} if name in ("verify", "bench_peers") else set()  # as a peer
    named |= {"denoising_diffusion_pytorch"} if name == "bench_peers" else set()
    assert outside - set(sys.stdlib_module_names) - named <= {"IPython"}


@EVERY_SOURCE
def test_nothing_is_pickled(name):
    _, outside = imports_of(SOURCES[name], own=2 if name in CLASSROOM else 1)
    assert not outside & {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}
    for node in ast.walk(ast.parse(SOURCES[name])):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) != ("torch", "save")
            assert node.attr not in ("nan_to_num", "all_gather_object")
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            # a user's own file of Inception weights or an old .bin: tensors only are read
            safe = {k.arg: ast.unparse(k.value) for k in node.keywords}
            assert name in ("inception", "diffusers_format")
            assert safe["weights_only"] == "True"
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None)


def code_lines(source):
    r"""Lines that hold code: no docstrings, comments or blank lines."""
    docstrings = set()
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                docstrings |= set(range(body[0].lineno, body[0].end_lineno + 1))
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT}
    layout |= {tokenize.DEDENT, tokenize.ENDMARKER}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in layout:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def test_the_core_is_at_most_550_lines():
    assert code_lines('r"""Doc\n\nmore."""\n\nx = 1  # why\n# alone\ny = (\n  2)\n') == 3
    counts = {name: code_lines(MODULES[name]) for name in CORE}
    assert sum(counts.values()) <= 550, counts


def docstrings(source):
    r"""(name, docstring node or None) of the module and all that is public in it."""
    tree = ast.parse(source)
    found = [("module", tree)]
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.append((node.name, node))
            if isinstance(node, ast.ClassDef):
                found += [
                    (f"{node.name}.{m.name}", m)
                    for m in node.body
                    if isinstance(m, ast.FunctionDef) and m.name != "forward"
                ]
    for name, node in found:
        checks = [ast.unparse(d) for d in getattr(node, "decorator_list", [])]
        if any(d.startswith("exercise(") for d in checks):
            continue  # a check; its exercise's text says what it is for
        if not name.split(".")[-1].startswith("_") and not name.startswith("_"):
            first = node.body[0].value if isinstance(node.body[0], ast.Expr) else None
            yield name, first if isinstance(first, ast.Constant) else None


@EVERY_SOURCE
def test_what_is_public_has_a_raw_docstring(name):
    source = SOURCES[name]
    for what, node in docstrings(source):
        assert node is not None, f"{name}.{what} has no docstring"
        text = ast.get_source_segment(source, node)
        assert text.startswith('r"""'), f"{name}.{what} is not a raw docstring"
        assert text.split("\n")[0].rstrip('"').endswith((".", ":")), f"{name}.{what}"


@pytest.mark.parametrize("name", CORE)
def test_the_core_says_shapes_and_sources(name):
    # whatever takes a schedule and tensors is an equation of some paper, with a year
    module = importlib.import_module(f"ddpm_lite.{name}")
    derived = {"v_from_score", "score_from_v"}  # from the other conversions
    for what, member in inspect.getmembers(module, inspect.isfunction):
        if member.__module__ == module.__name__ and not what.startswith("_"):
            text = inspect.getdoc(member)
            if "schedule" in inspect.signature(member).parameters and "t" in (
                inspect.signature(member).parameters
            ):
                assert re.search(r"\b(19|20)\d\d\b", text) or what in derived, what
                assert "(B" in text, what


@EVERY_SOURCE
def test_no_control_characters(name):
    for number, line in enumerate(SOURCES[name].split("\n"), 1):
        odd = [c for c in line if unicodedata.category(c).startswith("C")]
        assert not odd, f"{name}.py:{number} holds {odd!r}"
        assert line.isascii(), f"{name}.py:{number}: no Unicode in code"


def test_exports():
    assert len(set(ddpm_lite.__all__)) == len(ddpm_lite.__all__)
    for name in ddpm_lite.__all__:
        assert inspect.getdoc(getattr(ddpm_lite, name)), name


def test_import_brings_in_nothing_heavy():
    heavy = ["sklearn", "diffusers", "IPython", "pandas", "scipy", "matplotlib.pyplot"]
    code = f"import sys, ddpm_lite; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
