r"""The shape of the package: who imports whom, how long it is, what it must not use."""

import ast
import importlib
import inspect
import io
import pydoc
import re
import subprocess
import sys
import tokenize
import unicodedata
from pathlib import Path

import pytest

import ddpm_lite

PACKAGE = Path(ddpm_lite.__file__).parent
CORE = ["schedule", "process", "oracle", "loss", "sampling.sampler"]
ROOMS = list(ddpm_lite.CONTENTS)  # in reading order, the ground floor's modules first

# What each room may import beside `checks` and itself (a subset suffices): of the rooms
# above it in the drawing of ddpm_lite/README.md, those that it has a reason to know.
PAPER = {"schedule", "process", "loss", "oracle"}
ALLOWED = {
    "schedule": set(),
    "denoiser": set(),
    "process": {"schedule", "denoiser"},
    "loss": {"schedule", "denoiser", "process"},
    "oracle": {"schedule", "process"},
    "seeds": set(),
    "checks": set(),
    "figure": set(),
    "drawing": {"figure"},
    "models": {"seeds"},
    "data": {"seeds"},
    "sampling": {"schedule", "denoiser", "process", "seeds"},
    "formats": {"schedule", "denoiser", "seeds", "models", "sampling"},
    "evaluation": {"schedule", "denoiser", "process", "seeds", "data", "sampling"},
    "training": set(ROOMS[: ROOMS.index("training")]) - {"oracle"},
    "lab": set(ROOMS[: ROOMS.index("lab")]),
    "bench": set(ROOMS[: ROOMS.index("bench")]),
    "classroom": {*PAPER, "seeds", "sampling", "formats"},
    "commands": set(ROOMS[: ROOMS.index("commands")]),
}


def name_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


SOURCES = {name_of(path): path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = {name.removesuffix(".__init__") for name in SOURCES} - {"__init__"}
EVERY_SOURCE = pytest.mark.parametrize("name", SOURCES)
EVERY_ROOM = pytest.mark.parametrize(  # and the folders in a room
    "room", [n.removesuffix(".__init__") for n in SOURCES if n.endswith(".__init__")]
)


def imports_of(source, name="a"):
    r"""(the package's modules, names of others) that a source imports.

    name: the dotted name of the source's own module. What a package hands on counts as
    an import of that package, "" for ddpm_lite itself.
    """
    inside, outside = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            outside |= {alias.name.split(".")[0] for alias in node.names}
            assert not any(a.name.startswith("ddpm_lite") for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert all(alias.name != "*" for alias in node.names), "star import"
            if node.level:
                above = name.split(".")[: -node.level]
                whole = ".".join([*above, *filter(None, [node.module])])
                for alias in node.names:
                    inner = f"{whole}.{alias.name}".lstrip(".")
                    inside.add(inner if inner in MODULES else whole)
            else:
                outside.add(node.module.split(".")[0])
                assert not node.module.startswith("ddpm_lite")
    return inside, outside


def contents_of(room):
    return importlib.import_module(f"ddpm_lite.{room}").CONTENTS


def test_the_walk_sees_every_kind_of_import():
    source = (
        "from .mlp import b\nfrom . import unet\nimport d.e\nfrom ..data import load\n"
        "def f():\n    from g.h import i\n    from .. import figure, hand_on"
    )
    inside = {"models.mlp", "models.unet", "data", "figure", ""}
    assert imports_of(source, "models.layers") == (inside, {"d", "g"})
    with pytest.raises(AssertionError, match="star import"):
        imports_of("from .a import *")


@EVERY_SOURCE
def test_a_room_imports_only_from_rooms_above_it(name):
    room = name.split(".")[0]
    if room in ("__init__", "__main__"):
        return
    inside, _ = imports_of(SOURCES[name], name)
    rooms = {module.split(".")[0] for module in inside} - {room, "checks"}
    if name.endswith(".__init__"):
        assert re.search(r"^from \.\.+ import hand_on$", SOURCES[name], re.M)
        rooms -= {""}  # hand_on
    # by name: a command, the exercises of a chapter, other people's libraries, networks
    by_name = {"commands.main", "classroom.exercise", "bench.contestants"}
    by_name |= {"formats.networks"}
    assert "import_module" not in SOURCES[name] or name in by_name
    assert "__import__" not in SOURCES[name]
    assert rooms <= ALLOWED[room]


def test_the_allowed_rooms_lie_above():
    assert list(ALLOWED) == ROOMS
    for room, allowed in ALLOWED.items():
        assert allowed <= set(ROOMS[: ROOMS.index(room)]), room


@EVERY_ROOM
def test_inside_a_room_imports_follow_the_reading_order(room):
    order = [f"{room}.{module}" for module in contents_of(room)]
    depth = len(order[0].split("."))
    within = {m for m in MODULES if m.startswith(f"{room}.")}
    assert sorted(order) == sorted(m for m in within if len(m.split(".")) == depth)
    for place, name in enumerate(order):
        inside = set()  # of all its modules, where it is a folder
        for own in {m for m in SOURCES if m == name or m.startswith(f"{name}.")}:
            inside |= imports_of(SOURCES[own], own)[0]
        known = {".".join(m.split(".")[:depth]) for m in inside & within} - {name}
        assert known <= set(order[:place]), name
        assert room not in inside, f"{name}: import from the module, not from its room"


def test_training_and_sampling_meet_in_one_module():
    for module in contents_of("training"):
        name = f"training.{module}"
        inside, _ = imports_of(SOURCES[name], name)
        knows = any(m.startswith("sampling") for m in inside)
        assert not knows or module == "experiment", name


def test_the_ground_floor_is_small():
    ground = [name for name in SOURCES if "." not in name]
    assert len(ground) <= 11
    assert set(ground) - {"__init__", "__main__"} == set(ROOMS) & set(ground)
    assert {r for r in ROOMS if r not in ground} == {m.split(".")[0] for m in MODULES} - {
        *ground
    }


@EVERY_ROOM
def test_what_a_room_hands_on_is_there_and_hides_no_module(room):
    package = importlib.import_module(f"ddpm_lite.{room}")
    for module, names in package.CONTENTS.items():
        inner = importlib.import_module(f"ddpm_lite.{room}.{module}")
        assert getattr(package, module) is inner
        for name in names:
            assert name not in package.CONTENTS, f"{room}.{name} is a module"
            assert getattr(package, name) is getattr(inner, name)
            assert getattr(inner, name).__module__ == inner.__name__
            assert name in dir(package)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_no_module_is_longer_than_450_lines():
    lengths = {name: source.count("\n") for name, source in SOURCES.items()}
    checks = {name for name in SOURCES if re.fullmatch(r"classroom\.ch\d\d", name)}
    assert {n for n, length in lengths.items() if length > 450} <= checks


@EVERY_SOURCE
def test_only_the_named_dependencies_are_used(name):
    named = {"torch", "numpy", "matplotlib", "safetensors", "tqdm", "PIL", "sklearn"}
    named |= {"tyro", "filelock", "datasets", "psutil"}
    _, outside = imports_of(SOURCES[name], name)
    named |= {"pytest"} if name == "classroom.plugin" else set()
    named |= {"huggingface_hub"} if name == "formats.diffusers_files" else set()
    named |= (
        {"diffusers"}
        if name in ("formats.verify", "formats.wrapped", "bench.contestants")
        else set()
    )  # a peer, and what is wrapped
    named |= {"denoising_diffusion_pytorch"} if name == "bench.contestants" else set()
    named |= {"wandb"} if name == "training.boards" else set()  # if installed
    assert outside - set(sys.stdlib_module_names) - named <= {"IPython"}


@EVERY_SOURCE
def test_nothing_is_pickled(name):
    _, outside = imports_of(SOURCES[name], name)
    assert not outside & {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}
    for node in ast.walk(ast.parse(SOURCES[name])):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) != ("torch", "save")
            assert node.attr not in ("nan_to_num", "all_gather_object")
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            # a user's own file of Inception weights or an old .bin: tensors only are read
            safe = {k.arg: ast.unparse(k.value) for k in node.keywords}
            assert name in ("evaluation.inception", "formats.diffusers_files")
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


def test_the_core_is_at_most_600_lines():
    assert code_lines('r"""Doc\n\nmore."""\n\nx = 1  # why\n# alone\ny = (\n  2)\n') == 3
    counts = {name: code_lines(SOURCES[name]) for name in CORE}
    assert sum(counts.values()) <= 600, counts


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
        assert text.split("\n")[0].rstrip('"').endswith((".", ":", "?")), f"{name}.{what}"


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
    handed_on = [name for names in ddpm_lite.CONTENTS.values() for name in names]
    assert sorted(handed_on) == ddpm_lite.__all__ == sorted(set(handed_on))
    for name in ddpm_lite.__all__:
        assert inspect.getdoc(getattr(ddpm_lite, name)), name
    assert {*ddpm_lite.__all__, *ROOMS, "__version__"} <= set(dir(ddpm_lite))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        ddpm_lite.nothing  # noqa: B018


def test_those_who_read_the_source_see_the_same_names():
    # editors and type checkers, which do not run __getattr__
    seen = {}
    for node in ast.walk(ast.parse(SOURCES["__init__"])):
        if isinstance(node, ast.ImportFrom) and node.level:
            seen |= {alias.name: f"ddpm_lite.{node.module}" for alias in node.names}
    assert seen == {n: getattr(ddpm_lite, n).__module__ for n in ddpm_lite.__all__}


def imported(code, among):
    r"""Those of the modules among which are there after a program."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys\n{code}\nprint(*[m for m in {among} if m in sys.modules])",
        ],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_import_brings_in_nothing():
    # a command chooses threads before torch is there
    rooms = [f"ddpm_lite.{room}" for room in ROOMS]
    assert imported("import ddpm_lite", ["torch", "numpy", *rooms]) == []
    assert imported("import ddpm_lite.data", ["torch", "numpy"]) == []
    assert imported("from ddpm_lite import Schedule", ["torch", rooms[0]]) == [
        "torch",
        rooms[0],
    ]


def test_the_names_bring_in_nothing_heavy():
    heavy = ["sklearn", "diffusers", "IPython", "pandas", "scipy", "matplotlib.pyplot"]
    code = "from ddpm_lite import *\nassert q_sample and Trainer and UNet"
    assert imported(code, heavy) == []


def test_help_is_there():
    text = pydoc.render_doc(ddpm_lite, renderer=pydoc.plaintext)
    assert "q_sample(schedule, x_0, t, noise)" in text and "class Schedule" in text
