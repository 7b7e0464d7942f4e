r"""A copy of the package without what an exercise asks for.

"Write q_sample" is not answered by `from ddpm_lite import q_sample`, nor by
`noise_from_v`, which is the same sum under another name. So the process that runs
submissions gets a copy in which the asked names are gone, whole rooms of formulas
(`FORMULAS`), and with them all that is made of them, the checks, and this package's
grader. Whoever imports such a name gets a `withheld.stand_in`, which fails when it is
called.
"""

import ast
import shutil
from pathlib import Path

from .exercise import exercises_of

PACKAGE = Path(__file__).parent.parent
KEPT = (
    "answer",
    "cells",
    "confine",
    "exercise",
    "shell",
    "wire",
    "withheld",
    "worker",
)  # of the classroom
FORMULAS = ("process", "loss", "oracle", "denoiser")
FORMULAS += ("sampling", "training", "models", "lab")
_MISSING = """

def __getattr__(name):
    if name in {names!r}:
        from ddpm_lite.classroom.withheld import stand_in
        return globals().setdefault(name, stand_in({module!r}, name))
    raise AttributeError(f"module {{__name__!r}} has no attribute {{name!r}}")
"""
_CHECK = '''
def check(number, function, *also, seed=None):
    r"""Print that the grader checks by itself."""
    print(f"{number} is checked by the grader")
'''


def asked(chapter):
    r"""What the grader's package lacks for a chapter: what exercises name, and formulas."""
    return {n for one in exercises_of(chapter).values() for n in one.lacks} | {*FORMULAS}


def write(target, lacks):
    r"""Write the copy as the folder target/ddpm_lite.

    lacks: names such as "process.q_sample" or "schedule.Schedule.cosine", or those of whole
    modules or rooms, such as "process". Returns all that the copy lacks, those names and
    what uses them. Raises ValueError for a name that the package has not.
    """
    trees = {_name(p): ast.parse(p.read_text("utf-8")) for p in _sources()}
    lacks = _opened(lacks, trees)
    unknown = sorted(set(lacks) - _everything(trees))
    if unknown:
        raise ValueError(f"the package has no {', '.join(unknown)}")
    bound = {module: _bound(tree, module) for module, tree in trees.items()}
    gone, handed_on = set(lacks), _handed_on(trees)
    while True:
        before = len(gone)
        gone |= {name for name, whole in handed_on.items() if whole in gone}
        for module, tree in trees.items():
            tree.body = [s for s in tree.body if _stays(s, module, bound[module], gone)]
        if len(gone) == before:
            break
    for module, tree in trees.items():
        _save(target, module, tree, gone)
    for path in PACKAGE.rglob("*"):  # weights and results
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            copy = Path(target, "ddpm_lite", path.relative_to(PACKAGE))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    return gone - set(handed_on)


def _opened(lacks, trees):
    r"""Names, where some stand for all functions and classes of a module or a room."""
    found = set()
    for name in lacks:
        inside = [m for m in trees if m == name or m.startswith(f"{name}.")]
        found |= set() if inside else {name}
        found |= {
            f"{module}.{made.name}"
            for module in inside
            for made in trees[module].body
            if isinstance(made, (ast.FunctionDef, ast.ClassDef))
        }
    return found


def _sources():
    inner = [PACKAGE / "classroom" / f"{name}.py" for name in KEPT]
    rest = [p for p in PACKAGE.rglob("*.py") if p.parent.name != "classroom"]
    return [*sorted(rest), *inner]


def _name(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def _handed_on(trees):
    r"""What rooms hand on of their modules: {"room.name": "room.module.name"}."""
    found = {}
    for module, tree in trees.items():
        room, _, last = module.rpartition(".")
        for statement in tree.body if room and last == "__init__" else ():
            if "CONTENTS" in _defines(statement):
                for inner, names in ast.literal_eval(statement.value).items():
                    found |= {f"{room}.{name}": f"{room}.{inner}.{name}" for name in names}
    return found


def _everything(trees):
    return {
        f"{module}.{name}"
        for module, tree in trees.items()
        for statement in tree.body
        for name in [*_defines(statement), *_methods(statement)]
    }


def _defines(statement):
    r"""The names that a statement at a module's top gives a value to."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return [statement.name]
    return [n.id for n in ast.walk(statement) if _is(n, ast.Name, ast.Store)]


def _methods(statement):
    inside = statement.body if isinstance(statement, ast.ClassDef) else []
    return [
        f"{statement.name}.{part.name}"
        for part in inside
        if isinstance(part, ast.FunctionDef)
    ]


def _stays(statement, module, bound, gone):
    r"""Whether a statement stays; it loses the parts that must go, and gone grows."""
    if isinstance(statement, ast.ImportFrom):
        source = _source(statement, module)
        statement.names = [a for a in statement.names if f"{source}.{a.name}" not in gone]
        return bool(statement.names)
    if isinstance(statement, ast.ClassDef):
        for part in list(statement.body):
            name = f"{module}.{statement.name}.{getattr(part, 'name', '')}"
            if name in gone or (_ordinary(part) and _uses(part, module, bound, gone)):
                gone.add(name)
                statement.body.remove(part)
    names = _defines(statement)
    if any(f"{module}.{name}" in gone for name in names) or (
        "__all__" not in names and _uses(statement, module, bound, gone)
    ):
        gone.update(f"{module}.{name}" for name in names)
        return False
    return True


def _ordinary(part):
    return isinstance(part, ast.FunctionDef) and not part.name.startswith("__")


def _bound(tree, module):
    r"""What the names in a module mean: {name: "module.name" or "module"}."""
    found = {}
    for inner in ast.walk(tree):
        if isinstance(inner, ast.ImportFrom) and inner.level:
            source = _source(inner, module)
            for alias in inner.names:
                whole = f"{source}.{alias.name}".lstrip(".")
                found[alias.asname or alias.name] = whole
    own = {name for statement in tree.body for name in _defines(statement)}
    return found | {name: f"{module}.{name}" for name in own}


def _source(statement, module):
    r"""The module that `from .x import y` names, "" for the package itself."""
    parts = module.split(".")
    parts = parts[: len(parts) - statement.level]
    return ".".join([*parts, *([statement.module] if statement.module else [])])


def _uses(node, module, bound, gone):
    for inner in ast.walk(node):
        if isinstance(inner, ast.ImportFrom) and inner.level:
            source = _source(inner, module)
            if any(f"{source}.{alias.name}" in gone for alias in inner.names):
                return True
        if isinstance(inner, ast.Name) and bound.get(inner.id) in gone:
            return True
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
            if f"{bound.get(inner.value.id)}.{inner.attr}" in gone:
                return True
    return False


def _is(node, kind, context):
    return isinstance(node, kind) and isinstance(node.ctx, context)


def _save(target, module, tree, gone):
    r"""Write one module, with words for those who ask it for what is gone."""
    path = Path(target, "ddpm_lite", *module.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    own = f"{module}."
    names = sorted(n.removeprefix(own) for n in gone if n.startswith(own))
    text = ast.unparse(tree)
    if names:
        text += _MISSING.format(names=names, module=f"ddpm_lite.{module}")
    path.write_text(text + "\n", "utf-8")
    if module.startswith("classroom."):
        (path.parent / "__init__.py").write_text(_CHECK, "utf-8")
