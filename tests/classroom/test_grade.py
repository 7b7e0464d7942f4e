r"""A class's notebooks: right grades for all, whatever one of them tries."""

import csv
import json
import os
import socket
import subprocess
import sys
import traceback
import zipfile
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import nbformat
import numpy as np
import pytest
import torch

pytest.importorskip("resource", reason="Windows cannot limit what a submission takes")

from ddpm_lite import Schedule
from ddpm_lite.classroom import jail, lacking, wire
from ddpm_lite.classroom.exercise import (
    CHAPTERS,
    WITH_BUGS,
    Hint,
    exercises_of,
    expect,
    stages,
)
from ddpm_lite.classroom.feedback import feedback
from ddpm_lite.classroom.grade import Rules, grade, grade_one
from ddpm_lite.classroom.held_back import held_back_checks
from ddpm_lite.classroom.record import entry
from ddpm_lite.classroom.runner import RemoteAnswer, Runner, Stopped
from ddpm_lite.classroom.submissions import Submission, read_all
from ddpm_lite.commands.main import main

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "exercises"))

import assignments  # noqa: E402
from wrong import wrong_answers  # noqa: E402


def code(cells):
    return tuple(c.source for c in cells if c.cell_type == "code")


RIGHT = code(assignments.source("02"))
BLANK = code(map(assignments.cleared, assignments.source("02")))


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    target = tmp_path_factory.mktemp("package")
    lacking.write(target, lacking.asked("02"))
    cells = target / "ddpm_lite" / "classroom" / "cells.py"
    cells.write_text(cells.read_text().replace("CELL_SECONDS = 20", "CELL_SECONDS = 1"))
    return target


@pytest.fixture(scope="module")
def kind():
    return jail.isolation()


def graded(cells, package, kind, **options):
    rules = Rules(isolation=kind, packages={"02": package}, **options)
    return grade_one(Submission("someone", Path("x.ipynb"), "02", tuple(cells)), rules)


def said(made):
    return {o.exercise.number: o.said for o in made.outcomes}


# The format of messages.


def test_what_can_be_said_comes_back_as_it_was():
    value = {
        "a": [1, 2.5, None, True, "text", (1, (2,))],
        3: torch.arange(6).reshape(2, 3).t(),
        "f": {"n": np.float32(0.5), "x": np.eye(2)},
        "s": Schedule.linear(T=4),
    }
    back = wire.unpack(wire.pack(value))
    assert back["a"] == value["a"] and back["f"]["n"] == 0.5
    assert torch.equal(back[3], value[3]) and torch.equal(
        back["f"]["x"], torch.eye(2).double()
    )
    assert torch.equal(back["s"].alpha_bar, value["s"].alpha_bar)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.nn.Linear(1, 1), "a Linear"),
        (torch.Generator(), "a Generator"),
        ({(1, 2): 3}, "a dict whose keys"),
        ([print], "a builtin_function_or_method"),
    ],
)
def test_what_cannot_be_said_is_refused(value, words):
    with pytest.raises(TypeError, match=words):
        wire.pack(value)


def test_functions_travel_as_numbers():
    given = []
    back = wire.unpack(wire.pack([abs, {"f": max}], given), lambda i: ("function", i))
    assert given == [abs, max] and back == [("function", 0), {"f": ("function", 1)}]


def test_a_gradient_is_asked_for_on_the_way_back_where_that_was_said():
    x = torch.zeros(3, requires_grad=True)
    data = wire.pack([x, 2 * x, x.detach(), torch.arange(3)])
    assert [t.requires_grad for t in wire.unpack(data)] == [False] * 4
    assert [t.requires_grad for t in wire.unpack(data, grad=True)] == [True] * 2 + [
        False
    ] * 2


def test_no_bytes_but_its_own_are_read():
    good = wire.pack({"x": torch.zeros(2)})
    for bad in (b"", b"x" * 40, good[:-1], good + b"x", b"\xff" * 16 + good[16:]):
        with pytest.raises(ValueError, match="not a message"):
            wire.unpack(bad)
    deep = b"[" * 100_000
    with pytest.raises(ValueError, match="not a message"):
        wire.unpack(len(deep).to_bytes(8, "little") + bytes(8) + deep)


def test_a_long_message_is_refused_before_it_is_read():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall((2**40).to_bytes(8, "little"))
        with pytest.raises(ValueError, match=r"1,099,511,627,776 bytes, at most"):
            wire.receive(ours)


# The package without the names.


@pytest.fixture(scope="module", params=CHAPTERS)
def without(request, tmp_path_factory):
    r"""(chapter, its package without the names, those): its tests follow each other."""
    target = tmp_path_factory.mktemp(f"without{request.param}")
    return request.param, target, lacking.write(target, lacking.asked(request.param))


@pytest.mark.slow
def test_references_pass_in_the_package_that_lacks_the_names(without, kind):
    chapter, package, _ = without
    cells = code(assignments.source(chapter))
    made = grade_one(
        Submission("reference", Path("x"), chapter, cells),
        Rules(isolation=kind, seed=3, packages={chapter: package}),
    )
    assert made.points == made.of > 0, said(made)
    assert made.remarks == ()


def first_and_last(answers):
    r"""The first and the last wrong answer to each exercise."""
    ends = [{w.answers: w for w in some} for some in (answers[::-1], answers)]
    return [w for w in answers if any(w is end[w.answers] for end in ends)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param(first_and_last, id="two"),
        pytest.param(list, id="all", marks=pytest.mark.long),
    ],
)
def test_wrong_answers_get_their_hints_across_processes_too(without, chosen, kind):
    chapter, package, _ = without
    exercises = exercises_of(chapter)
    names = [f"ch{chapter}"] + [f"bug{chapter}"] * (chapter in WITH_BUGS)
    texts = [(ROOT / "exercises" / "wrong" / f"{n}.py").read_text("utf-8") for n in names]
    marked = "wrong = lambda *_: lambda f: f"
    texts = [text.replace("from wrong import wrong", marked) for text in texts]
    texts += [
        f"{w.__name__}_faults = lambda: {w.faults!r}"
        for w in wrong_answers(chapter)
        if w.faults is not None
    ]
    answers = chosen(wrong_answers(chapter))
    assert len(answers) >= 2 * len(exercises)
    with Runner(texts, package, kind, seconds=900.0) as one:
        for answer in answers:
            one.start()
            assert one.errors == []
            exercise = replace(exercises[answer.answers], name=answer.__name__)
            remote = RemoteAnswer(one, exercise)
            ask, own = remote.other, f"{answer.__name__}_"
            remote.other = lambda name, ask=ask, own=own: ask(own + name)
            with pytest.raises(Hint) as hint:
                list(stages(exercise.check, remote, 1))
            assert answer.words in str(hint.value)


@pytest.mark.slow
def test_what_is_asked_is_gone_and_nothing_hangs_loose(without):
    chapter, package, gone = without
    asked = {n for e in exercises_of(chapter).values() for n in e.lacks}
    assert {n for n in asked if "." in n} <= gone  # the others are whole rooms
    program = f"""
import importlib, os, sys
for name in [name for name in sys.modules if name.split(".")[0] == "ddpm_lite"]:
    del sys.modules[name]
sys.path.insert(0, {str(package)!r})
import ddpm_lite
assert ddpm_lite.__file__.startswith({str(package)!r})
for name in ddpm_lite.__all__:
    getattr(ddpm_lite, name)
for name in {sorted(gone)!r}:
    module, *rest = name.split(".")
    if os.path.isdir(os.path.join(ddpm_lite.__path__[0], module)):
        module = f"{{module}}.{{rest.pop(0)}}"
    if module.startswith("commands") or module in ("bench.contestants", "formats.verify"):
        continue
    value = importlib.import_module("ddpm_lite." + module)
    try:
        for part in rest:
            value = getattr(value, part)
    except (AttributeError, ImportError):
        continue
    if type(value).__name__ == "_Withheld":
        try:
            value()
        except ImportError:
            continue
    raise SystemExit("still there: " + name)
"""
    assert said_in_a_fork(program) == ""
    assert not list(package.glob("ddpm_lite/classroom/ch*.py"))


def said_in_a_fork(program):
    r"""What stops a program in a copy of this process, which has imported torch already."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        said = ""
        try:
            exec(program, {"__name__": "__main__"})
        except SystemExit as stop:
            said = f"stopped: {stop}"
        except BaseException:
            said = traceback.format_exc()
        finally:
            os.write(into, said.encode()[-4000:])
            os._exit(0)
    os.close(into)
    with open(out) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return said or f"ended with status {status}" * bool(status)


def test_what_stops_a_program_in_a_fork_is_said():
    assert said_in_a_fork("pass") == ""
    assert said_in_a_fork("raise SystemExit('still there: x')") == "stopped: still there: x"
    assert "ZeroDivisionError" in said_in_a_fork("1 / 0")
    assert "status" in said_in_a_fork("import os; os.kill(os.getpid(), 9)")


def test_what_uses_a_name_goes_with_it(tmp_path):
    gone = lacking.write(tmp_path, {"process.q_sample"})
    assert {
        "loss.simple_loss",
        "training.hybrid.hybrid_loss",
        "training.trainer.Trainer.terms",
    } <= gone
    assert "process.q_step" not in gone and "schedule.Schedule" not in gone
    assert "def q_sample" not in (tmp_path / "ddpm_lite" / "process.py").read_text()
    with pytest.raises(ValueError, match=r"has no process\.nothing"):
        lacking.write(tmp_path, {"process.nothing"})


# One submission, and what it may try.


@pytest.mark.slow
def test_the_blank_and_the_reference(package, kind):
    blank, right = graded(BLANK, package, kind), graded(RIGHT, package, kind)
    assert blank.points == 0 and set(said(blank).values()) == {"not solved yet"}
    assert right.points == right.of == sum(e.points for e in exercises_of("02").values())
    assert blank.remarks == right.remarks == ()


FIRST = "def crossing(alpha_bar):\n    "
TRIES = {
    # What the first exercise's function does, words of what is said, and words of remarks.
    "loops": (FIRST + "while True: pass", "took longer than 2 s", ""),
    "exits": (FIRST + "raise SystemExit(0)", "raised SystemExit", ""),
    "ends": (FIRST + "import os; os._exit(0)", "ended before it answered", ""),
    "recurses": (FIRST + "return crossing(alpha_bar)", "RecursionError", ""),
    "takes memory": (FIRST + "return bytearray(2**40)", "raised MemoryError", ""),
    "says much": (
        FIRST + "import torch; return torch.zeros(2**17)",
        "sent what cannot be read",
        "",
    ),
    "writes nonsense": (
        FIRST
        + "import os\n    for fd in range(3, 20):\n        try: os.write(fd, b'x' * 99)\n"
        "        except OSError: pass\n    return 1",
        "sent what cannot be read",
        "",
    ),
    "imports the answer": (
        "from ddpm_lite import q_sample\n" + FIRST + "return q_sample(alpha_bar)",
        "ImportError: the grader's copy of ddpm_lite.process has no q_sample",
        "",
    ),
    "imports another package": (
        FIRST + "import diffusers.schedulers",
        "ImportError: diffusers cannot be imported while exercises are graded",
        "",
    ),
    "imports others in cells": (
        "import torch, numpy\nimport k_diffusion as K",
        "passed",
        "ImportError: k_diffusion cannot be imported",
    ),
    "has another as an option": (
        "try:\n    import diffusers\nexcept ImportError:\n    pass\n"
        "import importlib.util\nimportlib.util.find_spec('diffusers')",
        "passed",
        "",
    ),
    "gives a module": (
        FIRST + "import torch; return torch.nn.Linear(1, 1)",
        "a Linear",
        "",
    ),
    "gives an infinity": (FIRST + "return float('inf')", "should be finite", ""),
    "patches": (
        "import torch, ddpm_lite.classroom as c\nc.check = lambda *a: True\n"
        "torch.allclose = lambda *a, **k: True\n" + FIRST + "return 7",
        "is still",
        "",
    ),
    "loops in a cell": ("while True: pass", "passed", "ran longer than 1 s"),
    "exits in a cell": ("raise SystemExit", "passed", "SystemExit"),
    "is no Python": ("def (:", "passed", "SyntaxError"),
    "uses magics": ("%matplotlib inline\n!ls\n%pip install x", "passed", ""),
    "forgets an import": ("nothing.here", "passed", "NameError"),
}


@pytest.mark.parametrize("name", TRIES)
@pytest.mark.slow
def test_one_exercise_that_goes_wrong_leaves_the_others(name, package, kind, monkeypatch):
    cell, words, remark = TRIES[name]
    monkeypatch.setattr("ddpm_lite.classroom.wire.LONGEST", 2**18)
    short = {n: replace(e, seconds=2.0) for n, e in exercises_of("02").items()}
    monkeypatch.setattr("ddpm_lite.classroom.grade.exercises_of", lambda chapter: short)
    cells = [*RIGHT, cell] if "crossing" in cell else [cell, *RIGHT]
    made = graded(cells, package, kind)
    assert words in said(made)["02.1"]
    assert all(said(made)[n].startswith("passed") for n in said(made) if n != "02.1")
    assert remark in " ".join(made.remarks) and bool(remark) == bool(made.remarks)


@pytest.mark.slow
def test_what_a_cell_breaks_for_good_is_said(package, kind):
    ends = graded(["import os; os._exit(3)", *RIGHT], package, kind)
    assert ends.points == ends.of == 21  # what it defines does not depend on that cell
    (remark,) = ends.remarks
    assert remark.startswith("the notebook ended before it answered while its cells ran; ")
    stubborn = """
while True:
    try:
        while True: sum(range(99))
    except BaseException: pass
"""
    loops = graded([stubborn, *RIGHT], package, kind, seconds=30.0)
    assert loops.points == 21 and " longer than " in loops.remarks[0]  # the cell, or all
    both = graded(["ends = __import__('os')._exit(0)", *RIGHT], package, kind)
    assert both.points == 0 and "not graded" in said(both)["02.1"]


@pytest.mark.slow
def test_the_time_of_a_submission_is_one_sum(package, kind):
    slow = "import time\ndef {}(*args): time.sleep(99)"
    names = [e.name for e in exercises_of("02").values()]
    cells = [*RIGHT, *(slow.format(name) for name in names[:3])]
    made = graded(cells, package, kind, seconds=12.0)
    assert made.points == 0
    assert "took longer than" in said(made)["02.1"]
    assert said(made)["02.6"].startswith("not graded")


@pytest.mark.slow
def test_asking_the_check_without_end_runs_out_of_time(package, kind):
    check = replace(exercises_of("02")["02.1"], check=lambda answer, seed: answer(abs))
    with Runner(
        [FIRST.replace("alpha_bar", "f") + "while True: f(-1)"], package, kind
    ) as one:
        one.start()
        with pytest.raises(Stopped, match="took longer than 2 s"):
            check.check(RemoteAnswer(one, replace(check, seconds=2.0)), 0)


@pytest.mark.slow
def test_functions_of_the_check_are_called_and_may_refuse(package, kind):
    def half(x):
        if x.dim() != 1:
            raise ValueError("give me one dimension")
        return x / 2

    cell = """
def crossing(f, x):
    try:
        f(x[None])
    except ValueError as error:
        return f(x), str(error)
"""
    with Runner([cell], package, kind) as one:
        one.start()
        (value, words), took = one.ask("crossing", (half, torch.ones(2)), {}, 9.0)
        assert torch.equal(value, torch.full((2,), 0.5)) and "one dimension" in words
        assert 0 < took < 9
        with pytest.raises(Hint, match="no function merge; the notebook defines crossing"):
            one.ask("merge", (), {}, 9.0)


@pytest.mark.slow
def test_a_submission_sees_nothing_and_changes_nothing(package, kind, tmp_path):
    if kind == "none":
        pytest.skip("neither bubblewrap nor user namespaces work here")
    (tmp_path / "secret.txt").write_text("the grades")
    server = socket.create_server(("127.0.0.1", 0))
    cell = f"""
import glob, os, socket
def crossing():
    seen = {{"files": [], "write": [], "home": os.listdir("/tmp")}}
    for path in {[str(tmp_path), str(ROOT / "exercises"), str(ROOT / "ddpm_lite")]!r}:
        seen["files"] += glob.glob(path + "/*")
    for path in {[str(tmp_path / "x"), str(package / "x"), "/usr/x", "/etc/x", "/x"]!r}:
        try:
            open(path, "w").close()
            seen["write"].append(path)
        except OSError:
            pass
    try:
        socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), 2)
        seen["net"] = True
    except OSError as error:
        seen["net"] = False
    seen["parents"] = len([p for p in os.listdir("/proc") if p.isdigit()])
    open("/tmp/own", "w").write("allowed")
    return seen
"""
    with server, Runner([cell], package, kind) as one:
        one.start()
        seen, _ = one.ask("crossing", (), {}, 9.0)
    assert seen["files"] == seen["write"] == []
    way = {
        part for path in (package, sys.prefix, sys.base_prefix) for part in Path(path).parts
    }
    assert set(seen["home"]) <= way  # what is shown may lie below /tmp, with nothing beside
    assert seen["net"] is False and seen["parents"] < 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["secret.txt"]


@pytest.mark.parametrize("which", jail.KINDS)
@pytest.mark.slow
def test_what_was_started_ends_with_the_process(package, which, tmp_path):
    try:
        command = jail.apart([sys.executable, "-I", "-c", ""], which)
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError):
        pytest.skip(f"{which} does not work here")
    mark = f"marked-{os.getpid()}-{which}"
    cell = f"""
import subprocess, sys
def crossing():
    program = "import time; time.sleep(60)"
    subprocess.Popen([sys.executable, "-c", program, {mark!r}])
    return 1
"""
    with Runner([cell], package, which) as one:
        one.start()
        assert one.ask("crossing", (), {}, 9.0)[0] == 1
        assert _soon(lambda: _running(mark))
    assert _soon(lambda: not _running(mark))


def _soon(true):
    until = monotonic() + 5
    while not true() and monotonic() < until:
        sleep(0.05)
    return true()


def _running(mark):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(mark.encode() in path.read_bytes())
        except OSError:
            pass
    return any(found)


@pytest.mark.slow
@pytest.mark.parametrize("which", jail.KINDS[:-1])
def test_what_is_hidden_looks_empty_and_what_is_shown_cannot_change(which, tmp_path):
    (tmp_path / "shown" / "inner").mkdir(parents=True)
    (tmp_path / "shown" / "inner" / "secret").touch()
    (tmp_path / "shown" / "open").write_text("seen")
    program = f"""
import os
os.chdir({str(tmp_path)!r})
print(os.listdir("."), os.listdir("shown/inner"), open("shown/open").read())
for path in ("shown/new", "shown/inner/new", "/new"):
    try:
        open(path, "w")
    except OSError:
        print("refused")
"""
    command = jail.apart(
        [sys.executable, "-I", "-c", program],
        which,
        shown=[tmp_path / "shown"],
        hidden=[tmp_path / "shown" / "inner", tmp_path],
    )
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        pytest.skip(f"{which} is not installed here")
    if done.returncode:
        pytest.skip(f"{which} does not work here: {done.stderr[-200:]}")
    assert done.stdout == "['shown'] [] seen\n" + 3 * "refused\n"


def test_isolation_is_one_of_three():
    assert jail.isolation() in jail.KINDS
    with pytest.raises(ValueError, match="bubblewrap, namespaces, none"):
        jail.apart(["true"], "chroot")


# A class.


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "submitted"
    for name, cells in {
        "ann": RIGHT,
        "bob": BLANK,
        "=cmd": [*RIGHT, FIRST + "return 1"],
        "mallory": ["import os; os._exit(1)"],
    }.items():
        path = folder / name / "02" / "02_exercises.ipynb"
        path.parent.mkdir(parents=True)
        write(path, cells)
    return folder


def write(path, cells, **metadata):
    made = nbformat.v4.new_notebook(metadata=metadata)
    made.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(made, path)


def handed_back(path):
    with zipfile.ZipFile(path) as file:
        return file.read("02.md").decode()


@pytest.mark.slow
def test_a_class_from_the_command_line(folder, tmp_path, capsys):
    target, texts = tmp_path / "grades.csv", tmp_path / "texts"
    command = ["grade", str(folder), "--csv", str(target), "--feedback", str(texts)]
    assert main(command) == 0
    assert "4 notebooks, 40 of 84 points" in capsys.readouterr().out
    with target.open() as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert rows["ann"]["points"] == "21" and rows["bob"]["points"] == "0"
    assert rows["'=cmd"]["points"] == "19" and rows["'=cmd"]["02.1"] == "0"
    assert rows["mallory"]["points"] == "0" and "ended" in rows["mallory"]["remarks"]
    assert handed_back(texts / "ann.zip").startswith("# ann, chapter 02: 21 of 21\n")
    assert "not solved yet" in handed_back(texts / "bob.zip")
    before = target.read_bytes()
    assert main(command) == 1 and "exists already" in capsys.readouterr().err
    assert target.read_bytes() == before


@pytest.mark.slow
def test_held_back_checks_are_told_apart(folder, tmp_path, capsys):
    for name in ("bob", "=cmd", "mallory"):
        (folder / name / "02" / "02_exercises.ipynb").unlink()
    own = tmp_path / "own"
    own.mkdir()
    (own / "second.py").write_text(
        "from ddpm_lite.classroom.exercise import expect, near\n"
        "from ddpm_lite.classroom.held_back import held_back\n"
        '@held_back("02.2")\n'
        "def no_noise(answer, seed):\n"
        '    expect(near(answer(0.0, 0.0)[0], 1), "without noise nothing shrinks")\n'
        '@held_back("02.5")\n'
        "def impossible(answer, seed):\n"
        '    expect(answer(1.0, 0, [1.0]) == 2, "a check that nobody passes")\n'
    )
    made = grade(folder, held_back=own)[0]
    assert said(made)["02.2"].startswith("passed")
    words = "public check passed, held-back check: not yet: a check that nobody passes"
    assert said(made)["02.5"] == words and made.points == 18
    assert f"- **02.5** `standard_size`: {words}\n" in feedback(entry(made, {}))
    (own / "second.py").write_text("1 / 0")
    with pytest.raises(ValueError, match=r"second\.py cannot be run: division by zero"):
        held_back_checks(own)
    (own / "second.py").write_text("")
    with pytest.raises(ValueError, match="no file with a held-back check"):
        held_back_checks(own)


@pytest.mark.slow
def test_another_seed_gives_other_inputs(folder, package, kind):
    raising = (
        'import json\nINPUTS = []\ndef merge(a, b): raise ValueError(f"{a:.6f} {b:.6f}")'
    )
    seen = [said(graded([raising], package, kind, seed=s))["02.2"] for s in (0, 0, 1)]
    assert seen[0] == seen[1]


def three_stages(answer, seed):
    expect(answer(1) == 1, "is 1 still 1?")
    yield 1, "one is right"
    expect(answer(2) == 4, "and what is 2?")
    yield 1, "and two"
    expect(answer(seed) == seed**2, "and all others?")
    yield 1, "and all others"


def in_part(answer, seed):
    expect(answer(0) == 0, "nothing is not nothing")
    yield 2, "nothing stays nothing"
    expect(answer(-1) == 1, "what is the square of -1?")


def none(answer, seed):
    expect(answer(0) == 1, "nobody passes")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "own", "points", "words"),
    [
        ("n * n", (), 3, "passed (3 points)"),
        ("1 + 3 * (n > 1)", (), 2, "not yet, 2 of 3 points so far: one is right; and two."),
        ("1", (), 1, "not yet, 1 of 3 points so far: one is right. But: and what is 2?"),
        ("1 if n == 1 else exit()", (), 1, "But: your function raised SystemExit"),
        ("1 if n == 1 else os._exit(1)", (), 1, "But: your function ended before it"),
        ("0", (), 0, "not yet: is 1 still 1?"),
        ("n * n", (none,), 0, "public check passed, held-back check: not yet: nobody"),
        ("n * abs(n)", (in_part,), 2, "held-back check: not yet, 2 of 3 points so far: no"),
        ("n * abs(n)", (in_part, none), 0, "nobody passes"),
        ("n * n", (in_part,), 3, "passed (3 points)"),
    ],
)
def test_stages_count_in_the_grader(package, kind, body, own, points, words, monkeypatch):
    from ddpm_lite.classroom import grade as grading

    one = replace(exercises_of("02")["02.2"], check=three_stages)
    monkeypatch.setattr(grading, "exercises_of", lambda chapter: {"02.2": one})
    cell = f"import os\ndef merge(n): return {body}"
    made = graded([cell], package, kind, seed=9, held_back={"02.2": own})
    assert made.points == points and words in said(made)["02.2"]
    kept = entry(made, {"seed": 9})
    assert kept.exercises["02.2"][:2] == [points, 3]
    assert f": {points} of 3\n" in feedback(kept) and words in feedback(kept)


@pytest.mark.slow
def test_pytest_says_which_seed_it_was(folder):
    for name in ("bob", "=cmd", "mallory"):
        (folder / name / "02" / "02_exercises.ipynb").unlink()
    command = [sys.executable, "-m", "pytest", "-p", "ddpm_lite.classroom.plugin", folder]
    for words in ([], ["--grade-seed", "5"]):
        done = subprocess.run([*command, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        (line,) = [x for x in done.stdout.splitlines() if "seed of the checks" in x]
        assert line.split()[-2] == "--grade-seed" and line.split()[-1].isdigit()
        assert not words or line.endswith(" 5")


# Reading a folder.


def test_whose_and_which_chapter(tmp_path):
    write(tmp_path / "ann.ipynb", ['check("03.1", f)'])
    write(tmp_path / "bob_04_exercises.ipynb", ["1"])
    write(tmp_path / "cleo.ipynb", ["1"], ddpm_lite={"chapter": "05"})
    write(tmp_path / "eve_01_02.ipynb", ["1"])
    (tmp_path / "dan").mkdir()
    write(tmp_path / "dan" / "02_exercises.ipynb", ["1"])
    write(tmp_path / "dan" / "06_exercises.ipynb", ["1"])
    hidden = tmp_path / "dan" / ".ipynb_checkpoints"
    hidden.mkdir()
    write(hidden / "02_exercises-checkpoint.ipynb", ["1"])
    found = [(s.student, s.chapter, s.problem) for s in read_all(tmp_path)]
    assert found == [
        ("ann", "03", None),
        ("bob", "04", None),
        ("cleo", "05", None),
        ("dan", "02", None),
        ("dan", "06", None),
        ("eve_01_02", None, "does not say its chapter, by a check(...) or in its name"),
    ]
    assert [s.student for s in read_all(tmp_path, "05")] == ["cleo", "eve_01_02"]
    (tmp_path / "eve_01_02.ipynb").unlink()
    with pytest.raises(ValueError, match=r"no notebook .* for chapter 09"):
        read_all(tmp_path, "09")


def test_what_cannot_be_read_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("ddpm_lite.classroom.submissions.LARGEST", 3000)
    (tmp_path / "broken.ipynb").write_text("{")
    (tmp_path / "deep.ipynb").write_text("[" * 2900)
    (tmp_path / "empty.ipynb").write_text("")
    (tmp_path / "list.ipynb").write_text("[]")
    (tmp_path / "large.ipynb").write_text("x" * 3001)
    write(tmp_path / "nothing.ipynb", ["1"])
    write(tmp_path / "right.ipynb", ['check("02.1", f)'])
    (tmp_path / "link.ipynb").symlink_to(tmp_path / "right.ipynb")
    (tmp_path / "twice").mkdir()
    write(tmp_path / "twice" / "a.ipynb", ['check("02.1", f)'])
    write(tmp_path / "twice" / "b.ipynb", ['check("02.1", f)'])
    problems = {s.path.name: s.problem for s in read_all(tmp_path)}
    assert problems == {
        "broken.ipynb": "is not a notebook (nbformat 4)",
        "deep.ipynb": "is not a notebook (nbformat 4)",
        "empty.ipynb": "is not a notebook (nbformat 4)",
        "list.ipynb": "is not a notebook (nbformat 4)",
        "large.ipynb": "is larger than 0 MB: clear its outputs",
        "nothing.ipynb": "does not say its chapter, by a check(...) or in its name",
        "right.ipynb": None,
        "link.ipynb": "is a link, which is not followed",
        "a.ipynb": "is one of several: a.ipynb, b.ipynb; leave one, or take --latest",
        "b.ipynb": "is one of several: a.ipynb, b.ipynb; leave one, or take --latest",
    }
    made = grade_one(read_all(tmp_path)[0], Rules())
    assert made.points == 0 and made.of == 21 and made.status == "refused"
    assert "not a notebook" in feedback(entry(made, {}))


def test_bad_settings_are_refused_before_anything_runs(tmp_path):
    for words, options in (
        ("not a folder of submissions", {"folder": tmp_path / "none"}),
        ("no notebook", {}),
        ("isolation must be", {"isolation": "docker"}),
        ("memory_gb must be at least 2", {"memory_gb": 0.5}),
        ("jobs at least 1", {"jobs": 0}),
        (f"chapters with exercises are 01 to {CHAPTERS[-1]}, got '2'", {"chapter": "2"}),
    ):
        with pytest.raises(ValueError, match=words):
            grade(**{"folder": tmp_path} | options)


def test_another_system_than_linux_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ValueError, match="this is win32: use WSL"):
        grade(tmp_path)


def test_where_the_table_goes_is_looked_at_first(tmp_path, capsys):
    assert main(["grade", str(tmp_path), "--csv", str(tmp_path / "no" / "g.csv")]) == 1
    assert "make it first" in capsys.readouterr().err


def test_grades_as_json(folder, tmp_path, capsys):
    for name in ("bob", "=cmd", "mallory"):
        (folder / name / "02" / "02_exercises.ipynb").unlink()
    assert main(["grade", str(folder), "--csv", str(tmp_path / "g.csv"), "--json"]) == 0
    (made,) = json.loads(capsys.readouterr().out)
    assert made["student"] == "ann" and made["points"] == made["of"] == 21
    assert made["exercises"]["02.6"] == {"points": 5, "said": "passed (5 points)"}


def test_no_other_package_of_diffusion_can_be_imported(tmp_path):
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from ddpm_lite.classroom.withheld import OTHERS, refuse_others
refuse_others()
import torch, numpy, scipy.linalg, scipy.stats, matplotlib
try:
    import torchvision
except ModuleNotFoundError:
    pass
import torch.fx, torch.optim.swa_utils
for name in OTHERS:
    try:
        __import__(name)
    except ImportError as error:
        assert "while exercises are graded" in str(error) and error.name == name
    else:
        raise SystemExit(name)
"""
    for name in ("diffusers", "k_diffusion"):  # as if they were installed
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("answer = 1\n")
    command = [sys.executable, "-c", program, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
