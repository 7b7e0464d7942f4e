r"""Slips made from the exercises' own solutions: python tests/classroom/slips.py 07.1 02.3

Each is one change to the syntax tree of a solution (`slip_kinds`), run against the check.
What passes at a seed has survived: the check must be made better, or the slip be listed
in EQUIVALENT of exercises/wrong/chNN.py with a sentence that proves it.
"""

import argparse
import ast
import json
import os
import random
import select
import signal
import sys
import warnings
from functools import cache
from importlib import import_module
from pathlib import Path
from time import perf_counter, process_time
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "exercises"), str(ROOT / "tests" / "classroom")]

import torch  # noqa: E402
from slip_kinds import replacements  # noqa: E402

from ddpm_lite.classroom.checking import verdict  # noqa: E402
from ddpm_lite.classroom.exercise import CHAPTERS, WITH_BUGS, exercises_of, find  # noqa: E402

SEEDS = (11, 12, 13)
FILE = "<cell slip>"
MEMORY = 4 * 2**30


class Slip(NamedTuple):
    r"""One slip. before, after: the line or lines, stripped. text: the whole solution.

    kind: the name of a function of `slip_kinds`, or "order".
    """

    number: str
    before: str
    after: str
    text: str
    kind: str

    @property
    def key(self):
        r"""What EQUIVALENT calls it."""
        return self.number, self.before, self.after


class Fate(NamedTuple):
    r"""How a slip ended. said: of the check, "" if it survived. seed: that it survived."""

    slip: Slip
    said: str
    seed: int | None


# The solution, and what is known of its variables.


@cache
def cells_of(chapter):
    r"""The exercises of a chapter with their solutions, read once."""
    import assignments

    return assignments.source(chapter)


def solution(number):
    r"""(text of the cell with the solution, names that the cells before it define)."""
    import assignments

    names = {}
    for cell in cells_of(number[:2]):
        if cell.cell_type != "code" or cell.source.startswith("check("):
            continue
        if assignments.BEGIN in cell.source and f"def {find(number).name}(" in cell.source:
            return cell.source, names
        if assignments.BEGIN not in cell.source:
            exec(cell.source, names)
    raise ValueError(f"no solution of {number}")


def marked(text):
    r"""The first and last line number between the marks of each solution in a cell."""
    lines = [line.strip() for line in text.splitlines()]
    begins = [i + 1 for i, line in enumerate(lines) if line == "### BEGIN SOLUTION"]
    ends = [i + 1 for i, line in enumerate(lines) if line == "### END SOLUTION"]
    return list(zip(begins, ends, strict=True))


def defined(text, names, called):
    r"""What a cell defines under a name, or under several, a tuple."""
    names = dict(names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(text, FILE, "exec"), names)
    return names[called] if isinstance(called, str) else tuple(map(names.get, called))


def kinds_of(number):
    r"""The kinds of value that each variable of the solution had while it was checked."""
    one, (text, names) = find(number), solution(number)
    found = {}

    def kind(value):
        if isinstance(value, torch.Tensor):
            return {value.dim()} if value.dim() else {0, "number"}
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        return {"number"} if plain else {type(value).__name__}

    def note(frame, event, value):
        if event == "return":
            for name, what in frame.f_locals.items():
                found.setdefault(name, set()).update(kind(what))
            found.setdefault("return " + frame.f_code.co_name, set()).update(kind(value))
        return note

    def trace(frame, event, value):
        if frame.f_code.co_filename != FILE or frame.f_code.co_name == "<module>":
            return None
        frame.f_trace_lines = False
        return note

    function = defined(text, names, one.names)
    sys.settrace(trace)
    try:
        made = verdict(one, function, SEEDS[0])
    finally:
        sys.settrace(None)
    if not made.passed:
        raise ValueError(f"the solution of {number} does not pass: {made.said}")
    return found


class Context:
    r"""Where a node stands, and what is known of the names there."""

    def __init__(self, kinds, modules):
        self.kinds, self.modules = kinds, modules
        self.parents = []  # (node, field)
        self.bound = {}  # function: {name: first line}

    @property
    def parent(self):
        return self.parents[-1][0]

    @property
    def field(self):
        return self.parents[-1][1]

    @property
    def loaded(self):
        return not isinstance(getattr(self.node, "ctx", None), (ast.Store, ast.Del))

    @property
    def indexing(self):
        return any(isinstance(p, ast.Subscript) and f == "slice" for p, f in self.parents)

    @property
    def said(self):
        r"""Whether the node is a docstring or another text."""
        return isinstance(self.parent, (ast.Expr, ast.JoinedStr))

    @property
    def even(self):
        r"""Whether the sign of the node is of no matter: it is squared."""
        parent, field = self.parents[-1]
        if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Pow):
            power = getattr(parent.right, "value", 1)
            return field == "left" and isinstance(power, int) and power % 2 == 0
        return isinstance(parent, ast.Attribute) and parent.attr in ("square", "abs")

    def is_module(self, node):
        r"""Whether an expression names a module, such as torch or torch.linalg."""
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name) and node.id in self.modules

    def _functions(self):
        return [p for p, _ in self.parents if isinstance(p, ast.FunctionDef)]

    def _in_scope(self, line):
        found = []
        for function in self._functions():
            if function not in self.bound:
                self.bound[function] = _bound(function)
            found += [n for n, first in self.bound[function].items() if first < line]
        for parent, _ in self.parents:
            found += _targets(parent)
        return list(dict.fromkeys(found))

    def like(self, name):
        r"""Other variables in scope whose values were of the same kind."""
        mine = self.kinds.get(name, set())
        names = self._in_scope(self.node.lineno)
        return [n for n in names if n != name and self.kinds.get(n, set()) & mine]

    def returned(self):
        r"""Variables of the same kind as what the function gives back."""
        mine = self.kinds.get("return " + self._functions()[-1].name, set())
        names = self._in_scope(self.node.lineno)
        return [n for n in names if self.kinds.get(n, set()) & mine]


def _targets(node):
    r"""The variables of a comprehension."""
    made = getattr(node, "generators", [])
    return [n.id for g in made for n in ast.walk(g.target) if isinstance(n, ast.Name)]


def _bound(function):
    r"""{name: line from which on it has a value} of a function's own variables."""
    found = {a.arg: 0 for a in [*function.args.posonlyargs, *function.args.args]}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.setdefault(node.id, node.lineno)
        if isinstance(node, ast.FunctionDef) and node is not function:
            found.setdefault(node.name, node.lineno)
    inner = {n for node in ast.walk(function) for n in _targets(node)}
    return {name: line for name, line in found.items() if name not in inner}


# All slips of a solution.


def slips_of(number):
    r"""Every slip of an exercise's solution, each syntax tree once."""
    text, names = solution(number)
    tree, marks = ast.parse(text), marked(text)
    modules = {n for n, v in names.items() if type(v).__name__ == "module"}
    context = Context(kinds_of(number), modules)
    seen, found = {ast.unparse(tree)}, []
    for kind, place, field, index, node, new in _changes(tree, context, marks):
        old = _put(place, field, index, new)
        made = ast.unparse(ast.fix_missing_locations(tree))
        before, after = _lines(text, node, new, made)
        _put(place, field, index, old)
        if made not in seen:
            seen.add(made)
            found.append(Slip(number, before, after, made, kind))
    return found


def sample_of(number):
    r"""One slip of each kind of an exercise, the same ones each time."""
    drawn = {}
    for slip in random.Random(number).sample(made := slips_of(number), len(made)):
        drawn.setdefault(slip.kind, slip)
    return list(drawn.values())


def _put(place, field, index, new):
    r"""Set a child, or two that follow each other, of a node; returns what was there."""
    if index is None:
        old = getattr(place, field)
        setattr(place, field, new)
        return old
    children = getattr(place, field)
    if isinstance(new, list):
        old = children[index : index + len(new)]
        children[index : index + len(new)] = new
        return old
    old, children[index] = children[index], new
    return old


def _changes(node, context, marks):
    r"""Yields (kind, parent, field, index, node, new) for all nodes between the marks."""
    for field, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        for i, child in enumerate(children):
            if not isinstance(child, ast.AST):
                continue
            index = i if isinstance(value, list) else None
            context.parents.append((node, field))
            context.node = child
            line = getattr(child, "lineno", None)
            if line and any(a < line < b for a, b in marks):
                for kind, new in list(replacements(child, context)):
                    yield kind, node, field, index, child, new
                follower = children[i + 1] if i + 1 < len(children) else None
                if isinstance(child, ast.stmt) and _in_order(child, follower):
                    yield "order", node, field, index, child, [follower, child]
            yield from _changes(child, context, marks)
            context.parents.pop()


def _in_order(first, second):
    r"""Whether it can matter which of two statements comes first."""
    if not isinstance(second, ast.stmt) or isinstance(first, ast.FunctionDef):
        return False
    stored, loaded, acts = [], [], []
    for one in (first, second):
        used = [n for n in ast.walk(one) if isinstance(n, ast.Name)]
        loaded.append({n.id for n in used if isinstance(n.ctx, ast.Load)})
        stored.append({n.id for n in used if not isinstance(n.ctx, ast.Load)})
        stored[-1] |= {n.target.id for n in ast.walk(one) if isinstance(n, ast.AugAssign)}
        acts.append(isinstance(one, (ast.Expr, ast.Return)))
    return bool(stored[0] & (loaded[1] | stored[1]) or stored[1] & loaded[0] or all(acts))


def _lines(text, node, new, made):
    r"""The line or lines of a node before and after, stripped, as one line each."""
    lines = text.encode().split(b"\n")
    if isinstance(new, list):
        first, second = (lines[n.lineno - 1].decode().strip() for n in new)
        return f"{second}; {first}", f"{first}; {second}"
    begin, end = node.lineno - 1, node.end_lineno - 1
    if isinstance(node, ast.stmt) and hasattr(node, "body"):
        head = lines[begin].decode().strip()
        if isinstance(new, ast.Pass):
            return head, "pass"
        if isinstance(new.body[-1], ast.Break):
            return head, f"{head} ... break"
        return head, ast.unparse(new).split("\n")[0]
    before = b"\n".join(lines[begin : end + 1])
    head, tail = before[: node.col_offset], lines[end][node.end_col_offset :]
    inner = ast.unparse(new)
    whole = before.decode(), ""
    for body in (inner, f"({inner})"):
        after = head + body.encode() + tail
        whole = before.decode(), after.decode()
        patched = b"\n".join([*lines[:begin], after, *lines[end + 1 :]]).decode()
        try:
            if ast.unparse(ast.parse(patched)) == made:
                break
        except SyntaxError:
            continue
    return tuple(" ".join(part.split()) for part in whole)


def equivalents(chapter):
    r"""The slips of a chapter that are proved to be right, {key: proof}."""
    modules = [f"wrong.ch{chapter}"] + [f"wrong.bug{chapter}"] * (chapter in WITH_BUGS)
    found = [getattr(import_module(m), "EQUIVALENT", {}) for m in modules]
    return {key: proof for one in found for key, proof in one.items()}


# Running them.


def fates(number, seeds=SEEDS, slips=None):
    r"""Yields the `Fate` of each slip of an exercise, or of some.

    A process of its own runs them one after the other, each for a multiple of the time
    that the solution takes; where one ends it, another goes on with the next.
    """
    one, slips = find(number), slips_of(number) if slips is None else slips
    _, names = solution(number)
    begun, start = process_time(), 0
    verdict(one, defined(*solution(number), one.names), SEEDS[0])
    limit = 0.5 + 5 * (process_time() - begun)
    while start < len(slips):
        for fate in _process(one, slips[start:], names, seeds, limit):
            yield fate
            start += 1


def _process(one, slips, names, seeds, limit):
    r"""Fates from a forked process, until it has done all or one that took too long."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        _child(one, slips, names, seeds, limit, out, into)
    os.close(into)
    buffer = b""
    try:
        for slip in slips:
            while b"\n" not in buffer:
                data = os.read(out, 65536) if _waited(out, child) else b""
                if not data:
                    yield Fate(
                        slip, "stopped: it takes too long, or ended its process", None
                    )
                    return
                buffer += data
            line, _, buffer = buffer.partition(b"\n")
            yield Fate(slip, *json.loads(line))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(out)


def _waited(out, child):
    r"""Whether something came, waited for as long as the process still uses its time.

    It limits that itself; how long it takes by the clock is the matter of a busy machine.
    """
    while True:
        used = _used(child)
        if select.select([out], [], [], 60)[0]:
            return True
        if _used(child) == used:
            return False


def _used(process):
    r"""The processor time of a process, None where the system does not say."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[11]) + int(fields[12])


def _child(one, slips, names, seeds, limit, out, into):
    try:
        import resource

        os.close(out)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        warnings.simplefilter("ignore")
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        for slip in slips:
            os.write(
                into, json.dumps(_fate(one, slip, names, seeds, limit)).encode() + b"\n"
            )
    finally:
        os._exit(0)


class _TimeUp(BaseException):
    pass


def _time_up(*_):
    raise _TimeUp


def _fate(one, slip, names, seeds, limit):
    r"""(what the check said at the first seed, None), or ("", a seed that passed)."""
    signal.signal(signal.SIGPROF, _time_up)
    said = ""
    for seed in seeds:
        torch.manual_seed(0)
        signal.setitimer(signal.ITIMER_PROF, limit, 0.5)
        try:
            made = verdict(one, defined(slip.text, names, one.names), seed)
        except _TimeUp:
            return "stopped: it takes too long", None
        except (SyntaxError, NameError) as error:
            return f"no function: {error}", None
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if made.passed:
            return "", seed
        said = said or made.said
    return said, None


def report(number, seeds=SEEDS, quiet=False, keys=False):
    r"""Print the slips of an exercise, survivors first. Returns how many need work.

    quiet: survivors alone. keys: them as lines for EQUIVALENT.
    """
    begun = perf_counter()
    found = list(fates(number, seeds))
    known = {k: v for k, v in equivalents(number[:2]).items() if k[0] == number}
    alive = [f for f in found if f.seed is not None]
    open_, proved = [], []
    for fate in alive:
        (proved if fate.slip.key in known else open_).append(fate)
    stale = [key for key in known if key not in {f.slip.key for f in alive}]
    print(
        f"{number} {find(number).name}: {len(found)} slips, {len(open_)} survive, "
        f"{len(proved)} proved equivalent, {perf_counter() - begun:.1f} s"
    )
    for fate in open_:
        _show("SURVIVED", fate)
        print(f'      {fate.slip.key!r}: "",' if keys else f"      at seed {fate.seed}")
    for fate in proved:
        _show("EQUIVALENT", fate)
        print(f"      {known[fate.slip.key]}")
    for key in stale:
        print(f"  NOT A SURVIVOR, but in EQUIVALENT: {key!r}")
    for fate in () if quiet else found:
        if fate.seed is None:
            _show("caught", fate)
            print(f"      {fate.said[:300]}")
    return len(open_) + len(stale)


def _show(word, fate):
    print(f"  {word}: {fate.slip.before}\n      -> {fate.slip.after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", help="such as 07.1 or 07; all if none")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many to try")
    parser.add_argument("--quiet", action="store_true", help="survivors alone")
    parser.add_argument("--keys", action="store_true", help="lines for EQUIVALENT")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(SEEDS[0], SEEDS[0] + options.seeds)
    numbers = []
    for text in options.numbers or CHAPTERS:
        numbers += [text] if "." in text else list(exercises_of(text))
    open_ = sum(report(n, seeds, options.quiet, options.keys) for n in numbers)
    sys.exit(f"{open_} slips need work" if open_ else 0)


if __name__ == "__main__":
    main()
