r"""The code cells of a submission, run as Jupyter runs them.

IPython's own transformer reads what is not plain Python; each statement is run by itself,
also `await`. Where a notebook goes wrong, or has no more time, what it defines is defined
all the same: it is functions that are graded, not experiments.
"""

import __future__

import ast
import asyncio
import inspect
import linecache
import re
import signal
import sys
import types
from time import monotonic

from .shell import FOREIGN, Shell, sit_down

CELL_SECONDS = 20  # one cell's own limit, so that an endless one does not hide the next
DEFINITION_SECONDS = 1.0  # one statement's, where only definitions are run
SAVED = 10.0  # seconds that are kept for them, or this part of all:
SAVED_PART = 0.3
_EXPERIMENTS = (ast.Expr, ast.For, ast.AsyncFor, ast.While, ast.Raise, ast.Assert)
_FIRST = re.compile(r"\A(?:[ \t]*\n)*[ \t]*%%(\w+|!)[ \t]*([^\n]*)\n?")
_COMMANDS = re.compile(
    r"(pip|conda|mamba|ls|ll|cd|pwd|cat|mkdir|rm|cp|mv|who|whos|matplotlib|"
    r"load_ext|reload_ext|autoreload|config|env|reset|precision|run|clear)\b[^\n(=]*\Z"
)
_TIMED = re.compile(r"\A\s*(?=(?:time|timeit|prun) [^\n]*\s*\Z)")


class TimeUp(BaseException):
    r"""Raised in a cell whose time is up; `except Exception` does not hold it up."""


def main_module():
    r"""A fresh `__main__`, where pickle, pools and dataclasses find a notebook's names."""
    sys.modules["__main__"] = module = types.ModuleType("__main__")
    return module


def run_cells(cells, until, experiments, names):
    r"""Run the texts of code cells in order; one that fails does not stop the others.

    until: the moment, of `time.monotonic`, at which all must be done; some of the time
    before is kept for definitions. experiments: whether anything but definitions is run.
    names: the namespace. Returns what went wrong, [[number of the cell from 0, text]].
    """
    signal.signal(signal.SIGALRM, _time_up)
    begun = monotonic()
    last = until - min(SAVED, SAVED_PART * (until - begun)) if experiments else begun
    notebook = Notebook(names, until)
    sit_down(notebook.shell, cells)
    errors, told = [], not experiments
    for i, text in enumerate(cells):
        seconds = last - monotonic()
        if seconds <= 0 and not told:
            errors.append([i, f"{_spent(last - begun)}: from here on {ONLY}"])
            told = True
        if problem := notebook.run_cell(i, text, min(CELL_SECONDS, seconds)):
            errors.append([i, problem])
    return errors


ONLY = "definitions alone were run"


class Notebook:
    r"""A namespace in which cells are run one after the other."""

    def __init__(self, names, until):
        self.names, self.until, self.flags = names, until, 0
        self.loop, self.result = None, ""
        self.shell = Shell(self.run_text, names)
        names.update({"In": [""], "Out": {}, "_": self.result, "__": ""})

    def run_cell(self, i, text, seconds):
        r"""Run one cell, and say what went wrong, "" if nothing did.

        seconds: how long experiments may take, 0 or less for none of them.
        """
        self.names["In"].append(text)
        name = f"<cell {i}>"
        try:
            with _At_most(CELL_SECONDS):
                nodes = self._nodes(text, name)
        except BaseException as error:  # hostile text, and what a compiler may raise
            return _said(error)
        if seconds <= 0:
            self._define(nodes, name, set())
            return ""
        if self.loop is None and re.search("async|await", text):
            self.loop = asyncio.new_event_loop()
        done = 0
        try:
            with _At_most(seconds):
                for node in nodes:
                    self._run(node, name, done == len(nodes) - 1)
                    done += 1
                if self.loop is not None:  # what was started in it goes on
                    self.loop.run_until_complete(asyncio.sleep(0))
        except (SystemExit, KeyboardInterrupt) as error:  # the cell says that it is over
            return _said(error)
        except BaseException as error:
            bound = {one for node in nodes[:done] for one in _binds(node)}
            if self.loop is not None and isinstance(error, TimeUp):
                self.loop = asyncio.new_event_loop()  # without what did not end
            failed = [n for n in nodes[done : done + 1] if _undecorate(n)]
            self._define([*failed, *nodes[done + 1 :]], name, bound)
            return _spent(seconds) if isinstance(error, TimeUp) else _said(error)
        return ""

    def run_text(self, text):
        r"""Run a text in the midst of a cell; returns the value of its last line."""
        nodes = self._nodes(text, "<magic>")
        values = [self._run(node, "<magic>", node is nodes[-1]) for node in nodes]
        return values[-1] if values else None

    def _nodes(self, text, name):
        source = python(text, self.shell.own, self.names)
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        return ast.parse(source, name).body

    def _run(self, node, name, last):
        r"""Run one statement. Returns its value if it is the last one of a cell."""
        if not (last and isinstance(node, ast.Expr)):
            return self._execute(ast.Module([node], []), name, "exec")
        value = self._execute(ast.Expression(node.value), name, "eval")
        if value is not None and self.names.get("_") is self.result:
            self.names["__"], self.names["_"] = self.names["_"], value
            self.names["Out"][len(self.names["In"]) - 1] = self.result = value
        return value

    def _execute(self, tree, name, mode):
        flags = self.flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(tree, name, mode, flags, dont_inherit=True)
        for feature in __future__.all_feature_names:
            self.flags |= code.co_flags & getattr(__future__, feature).compiler_flag
        if self.loop is None or self.loop.is_running():
            return eval(code, self.names)
        waits = code.co_flags & inspect.CO_COROUTINE
        before = asyncio._get_running_loop()
        # Jupyter's cells run within a loop, and so these are made to think.
        asyncio._set_running_loop(None if waits else self.loop)
        try:
            value = eval(code, self.names)
            return self.loop.run_until_complete(value) if waits else value
        finally:
            asyncio._set_running_loop(before)

    def _define(self, nodes, name, bound):
        r"""Run what of these statements defines something that the cell has not bound."""
        for node in nodes:
            names = set(_binds(node))
            if isinstance(node, _EXPERIMENTS) or (names and names <= bound):
                continue
            if not self._defined(node, name) and _undecorate(node):
                self._defined(node, name)

    def _defined(self, node, name):
        left = (self.until - monotonic()) / 4  # so that there is always some for the next
        try:
            with _At_most(min(DEFINITION_SECONDS, left)):
                self._run(node, name, False)
        except BaseException:  # what went wrong first has been told
            return False
        return True


def python(text, own=(), names=()):
    r"""A cell as plain Python.

    own: (kind, name) of magics that the notebook defines. names: what it has bound. Raises
    SyntaxError for what IPython cannot read either, and for all that only it can read
    where there is no IPython.
    """
    command = _COMMANDS.match(text.strip())
    if command and command[1] not in names:
        return ""  # a command without its %, alone in a cell
    try:
        ast.parse(text)
        return text  # nothing in it is for IPython
    except (SyntaxError, ValueError):
        pass
    text = _TIMED.sub("%", _without_cell_magics(text, own), count=1)
    try:
        from IPython.core.inputtransformer2 import TransformerManager
    except ImportError:
        try:
            ast.parse(text)
        except SyntaxError as error:
            said = f"{error}; where it is right in Jupyter, the grader lacks IPython"
            raise SyntaxError(said) from None
        return text
    return TransformerManager().transform_cell(text)


def _without_cell_magics(text, own):
    r"""Take away the first lines %%time and such, whose cells are run as they are."""
    head = ""
    while found := _FIRST.match(text):
        name, rest = found.groups()
        if name in FOREIGN or ("cell", name) in own:
            break
        kept = [w for w in rest.split() if w.isidentifier()] if name == "capture" else []
        head += "\n" * (found.group().count("\n") - 1)
        head += f"{kept[0]} = get_ipython().captured\n" if kept else "\n"
        text = text[found.end() :]
    return head + text


def _binds(node):
    r"""The names that a statement gives a value to, not within functions."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(a.asname or a.name).split(".")[0] for a in node.names]
    return [
        n.id
        for n in ast.walk(node)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    ]


def _undecorate(node):
    r"""Take the decorators from a definition; whether there were any."""
    found = getattr(node, "decorator_list", [])
    if found:
        node.decorator_list = []
    return bool(found)


class _At_most:
    r"""Raise `TimeUp` in the block after so many seconds, and again while it goes on."""

    def __init__(self, seconds):
        self.seconds = max(seconds, 1e-3)

    def __enter__(self):
        signal.setitimer(signal.ITIMER_REAL, self.seconds, 0.5)

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)


def _time_up(*_):
    raise TimeUp


def _spent(seconds):
    return f"ran longer than {seconds:.0f} s"


def _said(error):
    if isinstance(error, TimeUp):
        return "takes too long to be read"
    try:
        return f"{type(error).__name__}: {str(error)[:200]}"
    except BaseException:  # errors can be written so that they cannot be read
        return type(error).__name__
