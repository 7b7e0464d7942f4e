r"""What a notebook expects of Jupyter, without a screen, a keyboard and other programs.

Everything here exists so that an honest cell goes on: what would draw, ask or start
something does nothing, and gives back something with which nothing can be done wrong.
"""

import builtins
import os
import sys
from pathlib import Path

ANSWER = "1"  # to every question of input(): a number, and a yes
MOST_QUESTIONS = 100  # so that a loop which waits for another answer ends
# Cells of these magics are not Python, or leave nothing behind where they are.
FOREIGN = frozenset(
    "! sx system script bash sh cmd html HTML svg SVG latex markdown javascript js perl "
    "ruby python python2 python3 pypy sql R cython timeit writefile file skip".split()
)
_PYLAB = """
import numpy, matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib import pyplot as plt
from numpy import *
from matplotlib.pyplot import *
"""


class Nothing:
    r"""What is left of a result that was not made: it takes part in everything."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_, **__):
        return self

    def __getitem__(self, _):
        return self

    def __setitem__(self, *_):
        pass

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 0

    def __float__(self):
        return 0.0

    def __index__(self):
        return 0

    def __str__(self):
        return ""

    def __format__(self, form):
        return format(0.0 if form[-1:] in tuple("eEfFgGn%") else "", form)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __await__(self):
        return iter(())


for _name in "add sub mul truediv floordiv mod pow matmul and or xor".split():
    for _form in (f"__{_name}__", f"__r{_name}__"):
        setattr(Nothing, _form, lambda self, *_: self)
for _name in "neg pos abs invert".split():
    setattr(Nothing, f"__{_name}__", lambda self: self)
for _name in "lt le gt ge".split():
    setattr(Nothing, f"__{_name}__", lambda self, other: False)
NOTHING = Nothing()


class Lines(list):
    r"""What a shell command printed: no line, and an empty one wherever one looks."""

    n = s = p = spstr = nlstr = ""

    def __getitem__(self, key):
        got = list(self)
        return got[key] if isinstance(key, slice) or got[key:][:1] else ""

    def grep(self, *_, **__):
        r"""The lines that match: none."""
        return self

    fields = grep
    l = list = property(lambda self: self)


class Shell:
    r"""What `get_ipython()` gives. Magics and commands do nothing, with a few exceptions.

    Those are what leaves something that a later cell uses: %time, %prun, %run, %pylab,
    %%writefile, and magics that the notebook itself registers. run: runs a text as a cell
    and returns the value of its last line. names: the notebook's.
    """

    def __init__(self, run, names):
        self.run, self.user_ns, self.config, self.own = run, names, {}, {}
        self.user_global_ns = names

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return NOTHING

    def run_line_magic(self, name, line, *_, **__):
        r"""Run what comes behind a %name."""
        name = name.lstrip("%")
        if ("line", name) in self.own:
            return self.own["line", name](line)
        if name in ("time", "prun", "memit"):
            return self.run(line)
        if name == "pylab":
            return self.run(_PYLAB)
        words = line.split()
        if name == "run" and words:
            return self._file(next((w for w in words if not w.startswith("-")), ""))
        return os.getcwd() if name == "pwd" else NOTHING

    def run_cell_magic(self, name, line, body, *_, **__):
        r"""Run a cell below a %%name."""
        if ("cell", name) in self.own:
            return self.own["cell", name](line, body)
        if name in ("writefile", "file"):
            return self._write(line.split(), body)
        return NOTHING if name in FOREIGN else self.run(body)

    def magic(self, line):
        r"""Run a line without its %, as IPython of old did."""
        name, _, rest = line.lstrip("%").partition(" ")
        return self.run_line_magic(name, rest)

    line_magic = magic

    def system(self, *_, **__):
        r"""Start no command."""

    system_raw = system_piped = system

    def getoutput(self, *_, **__):
        r"""Start no command, and give its lines."""
        return Lines()

    def run_cell(self, text, *_, **__):
        r"""Run a text as a cell."""
        return self.run(text)

    ex = ev = run_cell

    def push(self, names, *_, **__):
        r"""Give the notebook more names."""
        if isinstance(names, dict):
            self.user_ns.update(names)

    def register_magic_function(self, function, magic_kind="line", magic_name=None):
        r"""Keep a magic of the notebook's own."""
        kinds = ("line", "cell") if magic_kind == "line_cell" else (magic_kind,)
        for kind in kinds:
            self.own[kind, magic_name or function.__name__] = function

    def _file(self, name):
        path = Path(name if Path(name).suffix else f"{name}.py")
        return self.run(path.read_text("utf-8"))

    def _write(self, words, body):
        name = words[-1].strip("'\"")
        with open(name, "a" if "-a" in words[:-1] else "w", encoding="utf-8") as file:
            file.write(body)


class Keyboard:
    r"""`input`, without anybody who answers."""

    asked = 0

    def __call__(self, *_, **__):
        self.asked += 1
        if self.asked > MOST_QUESTIONS:
            raise EOFError("there is nobody who answers input()")
        return ANSWER


def display(*_, display_id=None, **__):
    r"""Show nothing; gives the handle of what was shown where one was asked for."""
    return NOTHING if display_id else None


def sit_down(shell, cells):
    r"""Put everything where the cells of a notebook find it."""
    builtins.input = keyboard = Keyboard()
    builtins.display = display
    builtins.get_ipython = lambda: shell
    sys.argv[:] = ["notebook"]
    sys.path.insert(0, "")  # what %%writefile wrote can be imported
    text = "\n".join(cells)
    if "getpass" in text:
        import getpass

        getpass.getpass = keyboard
    if "IPython" in text:
        _import_ipython(shell)


def _import_ipython(shell):
    r"""Let `from IPython import get_ipython` and IPython.display find the same."""
    try:
        import IPython.core.display_functions
        import IPython.core.getipython
        import IPython.display
    except ImportError:  # the cell that needs it says so
        return
    for place in (IPython, IPython.core.getipython):
        place.get_ipython = builtins.get_ipython
    for place in (IPython.display, IPython.core.display_functions):
        place.display = display
        place.clear_output = place.update_display = display
