r"""A class of attackers: no escape, nobody else's grade, and a grader of less than 1 GB.

Each attack is one notebook. What it finds open it raises as "ESCAPED ...", which ends in
the text to the student, the only way out that there is.
"""

import csv
import io
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import nbformat
import pytest
import torch

pytest.importorskip("resource", reason="Windows cannot limit what a submission takes")

from ddpm_lite.classroom import confine, jail, lacking, messages, wire
from ddpm_lite.classroom.held import Package
from ddpm_lite.classroom.runner import Runner, Stopped

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "exercises"))

import assignments  # noqa: E402

MARK = f"left-behind-{os.getpid()}"


def code(cells):
    return [c.source for c in cells if c.cell_type == "code"]


RIGHT = code(assignments.source("02"))
WORKS = [kind for kind in jail.KINDS if kind == "none" or jail.works(kind)]
APART = WORKS[:-1]


# What an attack may use.

TOOLS = r"""
import glob, json, os, signal, socket, struct, subprocess, sys, time

def escaped(what):
    raise ValueError(f"ESCAPED {what}")

def tried(action, what):
    try:
        action()
    except Exception:
        return
    escaped(what)

def wires():
    for fd in range(3, 64):
        try:
            yield socket.socket(fileno=os.dup(fd))
        except OSError:
            pass

def say_bytes(data):
    for one in wires():
        one.sendall(data)

def say(tree, blob=b""):
    tree = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    body = struct.pack("<QQ", len(tree), len(blob)) + tree + blob
    say_bytes(struct.pack("<Q", len(body)) + body)
"""


def called(text):
    r"""A cell whose first exercise does this."""
    return (
        "def crossing(alpha_bar):\n" + indent(text.strip("\n"), "    ") + "\n    return 7"
    )


def says(pairs, blob="b''"):
    r"""A forged dict on the wire, in the place of an answer."""
    return called(f"say({{'dict': {pairs}}}, {blob})")


# name: cell. All of them leave the exercises unsolved, so that 0 points are right.
FORGED = {
    "errors that are a number": says("[['errors', 5]]"),
    "errors without a text": says("[['errors', [[0]]]]"),
    "errors with a text for a number": says("[['errors', [['0', '1']]]]"),
    "a verdict": says("[['passed', True], ['points', 99]]"),
    "a verdict with a value": says("[['value', 1], ['passed', True]]"),
    "names that are a number": says("[['missing', 5]]"),
    "names that are long": says("[['missing', ['x' * 900_000]]]"),
    "a text that is a formula": says("[['raised', '=cmd|\\' /C calc\\'!A0\\n\\r\\t+1']]"),
    "half a character": says("[['raised', '\\ud800 \\u202e \\x00 \\x1b[2J']]"),
    "a text of 900 kB": says("[['raised', 'x' * 900_000]]"),
    "a key of 900 kB": says("[['value', {'dict': [['x' * 900_000, 1]]}]]"),
    "a kind of 30 MB": called("say({'x' * 30_000_000: 1})"),
    "a kind of 900 kB": called("say({'x' * 900_000: 1})"),
    "no kind": called("say({})"),
    "two kinds": called("say({'tuple': [], 'dict': []})"),
    "many empty lists": called("say(b'[' + b'[],' * 7_000_000 + b'[]]')"),
    "many empty lists in 1 MB": called("say(b'[' + b'[],' * 300_000 + b'[]]')"),
    "many digits": called("say(b'9' * 900_000)"),
    "lists in lists": called("say(b'[' * 400_000)"),
    "dicts in dicts": called("say(b'{\"dict\":[[1,' * 60_000)"),
    "a number without end": says("[['value', 10 ** 4000]]"),
    "not even JSON": called("say(b'\\xff\\xfe' * 99)"),
    "one tensor many times": called(
        "t = {'tensor': ['float32', [4_000_000]]}\n"
        "say({'dict': [['value', [t] * 90]]}, bytes(16_000_000))"
    ),
    "one small tensor many times": called(
        "t = {'tensor': ['float32', [1_000_000]]}\n"
        "say({'dict': [['value', [t] * 90]]}, bytes(4_000_000))"
    ),
    "safetensors of old": called("say({'dict': [['value', {'tensor': '0'}]]}, bytes(99))"),
    "a tensor of huge sides": says("[['value', {'tensor': ['float64', [0, 2 ** 62]]}]]"),
    "a tensor of less than no sides": says(
        "[['value', {'tensor': ['float64', [-1, -1]]}]]", "bytes(8)"
    ),
    "a tensor of objects": says("[['value', {'tensor': ['object', [1]]}]]", "bytes(8)"),
    "a tensor of many dimensions": says(
        "[['value', {'tensor': ['float64', [1] * 5000]}]]", "bytes(8)"
    ),
    "a schedule of text": says("[['value', {'schedule': 'x'}]]"),
    "a schedule of a million": says(
        "[['value', {'schedule': {'tensor': ['float64', [900_000]]}}]]", "bytes(7_200_000)"
    ),
    "a function": says("[['value', {'function': 0}]]"),
    "a call of no function": says("[['ask', -1], ['args', []], ['options', {'dict': []}]]"),
    "a call of text": says("[['ask', 'x'], ['args', []], ['options', {'dict': []}]]"),
    "a call with options of no name": says(
        "[['ask', 0], ['args', []], ['options', {'dict': [[1, 2]]}]]"
    ),
    "calls without end": called(
        "while True: say({'dict': [['ask', 0], ['args', []], ['options', {'dict': []}]]})"
    ),
    "answers ahead": called(
        "for _ in range(100): say({'dict': [['value', 1.0]]})\nos._exit(0)"
    ),
    "a length beyond all": called("say_bytes(b'\\xff' * 64)"),
    "bytes without end": called("while True: say_bytes(bytes(2 ** 20))"),
    "half a message": called("say_bytes(struct.pack('<Q', 99) + b'x')\nos._exit(0)"),
    "errors before the cells end": "say({'dict': [['errors', 5]]})",
    "an answer before the cells end": "say({'dict': [['value', 1]]})",
}

# What Python offers to somebody who wants out, or wants others to be worse off.
CODE = {
    "outer product": (
        "def jump_between(alpha_bar, x_s, s, t, noise):\n"
        "    import torch\n"
        "    if not x_s.any(): return torch.ones(1_000_000, 1, 1).double()\n"
        "    a = (alpha_bar[t] / alpha_bar[s]).sqrt()\n"
        "    return a * x_s + (1 - a * a).sqrt() * noise"
    ),
    "an error that lies": called(
        "class Lie(BaseException):\n"
        "    def __str__(self): return '\\ud800' * 9_000_000\n"
        "raise Lie"
    ),
    "an error without words": called(
        "class Lie(Exception):\n    def __str__(self): raise SystemExit\nraise Lie"
    ),
    "a number that lies": called(
        "class Lie(float):\n"
        "    def __eq__(self, other): return True\n"
        "    __hash__ = float.__hash__\n"
        "return Lie(1)"
    ),
    "a tensor that lies": called(
        "import torch\n"
        "class Lie(torch.Tensor):\n"
        "    @classmethod\n"
        "    def __torch_function__(cls, *a, **k): return True\n"
        "return torch.ones(2).as_subclass(Lie)"
    ),
    "patches the wire": (
        "import ddpm_lite.classroom.wire as w\n"
        "w.pack = lambda *a: b'x' * 99\nw.send = lambda s, d: s.sendall(b'x' * 99)"
    ),
    "closes everything": "os.closerange(0, 4096)",
    "becomes another program": "os.execv('/bin/cat', ['cat'])",
    "stops itself": called("os.kill(os.getpid(), signal.SIGSTOP)"),
    "kills all": called("os.kill(-1, signal.SIGKILL)"),
    "kills its parents": (
        "for one in [os.getppid(), *range(2, 4)]:\n"
        "    try: os.kill(one, signal.SIGKILL)\n"
        "    except OSError: pass"
    ),
    "threads": (
        "import threading\n"
        "for _ in range(5000):\n"
        "    try: threading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n"
        "    except RuntimeError: break"
    ),
    "memory": "held = bytearray(2 ** 34)",
    "memory of many": (
        "for _ in range(12):\n"
        "    if os.fork() == 0:\n"
        "        held = b'x' * 2 ** 29\n"
        "        time.sleep(60)\n"
        "        os._exit(0)\n"
        "time.sleep(19)"
    ),
    "stays behind": f"""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 99)
        os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(300)',
                                  '{MARK}'])
    os._exit(0)
""",
    "folders in folders": (
        "try:\n    for _ in range(3000):\n        os.mkdir('d'); os.chdir('d')\n"
        "except OSError: pass"
    ),
    "folders that nobody may open": (
        "os.makedirs('a/b/c'); os.chmod('a/b', 0); os.chmod('a', 0)"
    ),
    "overwrites the worker": """
import ddpm_lite
for folder in [os.path.dirname(ddpm_lite.__file__), *glob.glob('/tmp/package-*')]:
    for path in glob.glob(folder + '/**/*.py', recursive=True):
        for action in (lambda: os.chmod(path, 0o666), lambda: os.unlink(path)):
            try: action()
            except OSError: pass
        try: open(path, 'w').write('raise SystemExit')
        except OSError: pass
""",
    "overwrites packages": called("""
import torch
for path in (torch.__file__, json.__file__, sys.executable):
    tried(lambda: open(path, 'r+b').close(), path)
"""),
    "overwrites the class": called("""
for path in CANARIES:
    tried(lambda: open(path, 'a').close(), path)
    tried(lambda: os.unlink(path), path)
    tried(lambda: os.rename(path, path + 'x'), path)
    tried(lambda: open(os.path.dirname(path) + '/new', 'w').close(), path)
"""),
    "reads the class": called("""
for path in CANARIES:
    tried(lambda: open(path).close(), path)
    if any(os.path.basename(path) in found for found in glob.glob('/proc/*/cwd/*')):
        escaped(path)
"""),
    "speaks with the grader": called("""
for pid in filter(str.isdigit, os.listdir('/proc')):
    if int(pid) > 3 and int(pid) != os.getpid():  # the first are the room's own
        for name in ('mem', 'environ'):
            tried(lambda: open(f'/proc/{pid}/{name}', 'rb').close(), f'{pid} {name}')
"""),
    "calls home": called("""
tried(lambda: socket.create_connection(('127.0.0.1', PORT), 2), 'network')
"""),
}

# What only a room of one's own stops.
ROOM = {
    "forks": (
        "try:\n    while True:\n        if os.fork() == 0: time.sleep(60); os._exit(0)\n"
        "except OSError: pass"
    ),
    "fills the disk": (
        "for place in ('/tmp', '/dev/shm'):\n"
        "    try:\n"
        "        for i in range(99): open(f'{place}/{i}', 'wb').write(bytes(2 ** 24))\n"
        "    except OSError: pass"
    ),
    "looks for what can be written": called("""
import stat
MAY = {'/dev/null', '/dev/zero', '/dev/full', '/dev/random', '/dev/urandom', '/dev/tty',
       '/dev/ptmx', '/dev/pts/ptmx'}
for top in ('/proc', '/dev', '/sys', '/etc'):
    for folder, _, names in os.walk(top):
        for path in [folder, *(os.path.join(folder, name) for name in names)]:
            if os.path.islink(path) or '/fd/' in path:
                continue
            if path not in MAY and path not in ('/dev/shm',):
                try: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY))
                except OSError: pass
                else: escaped(f'{path} opens for writing')
            if path not in ('/dev/shm', '/dev/pts', '/dev/pts/ptmx'):
                try: os.chmod(path, stat.S_IMODE(os.lstat(path).st_mode))
                except OSError: pass
                else: escaped(f'{path} may be given other rights')
"""),
    "is somebody": called("""
text = open('/proc/self/status').read()
if 'CapEff:\\t0000000000000000' not in text or 'CapBnd:\\t0000000000000000' not in text:
    escaped('it has rights')
if 'NoNewPrivs:\\t1' not in text or os.getuid() == 0: escaped('it may be more than it is')
if open('/proc/self/uid_map').read().split()[1] == '0' and os.getuid() < 1000:
    escaped('it is a user of this machine')
"""),
    "mounts": called("""
own = ['unshare', '--user', '--map-root-user', '--mount', 'true']
if subprocess.run(own).returncode == 0: escaped('a namespace of its own')
tried(lambda: subprocess.run(['mount', '-o', 'remount,rw', '/proc'], check=True), 'mount')
"""),
    "is not alone": called("""
if len([p for p in os.listdir('/proc') if p.isdigit()]) > 3: escaped('others')
"""),
}

# A check's functions, called with as much as goes.
LENT = {
    ("09", "fills what the check notes"): """
def midpoint(denoise, X, sigmas):
    import torch
    held = torch.ones(200_000, dtype=torch.float64)
    while True: denoise(held, 1.0)
""",
    ("09", "asks for much at once"): """
def midpoint(denoise, X, sigmas):
    import torch
    return denoise(torch.ones(1_000_000, dtype=torch.float64), 1.0)
""",
    ("06", "makes pictures grow"): """
def wire(x, down, middle, up):
    import torch
    for _ in range(50):
        up[0](torch.ones(1, 1, 500, 500, dtype=torch.float64))
""",
    ("08", "asks one by one"): """
def seeded_chain(model, alpha_bar, stops, seeds, D):
    import torch
    while True: model(torch.ones(1, 2).double(), torch.tensor([1]))
""",
}


def test_there_are_enough_attacks():
    assert len(FORGED) + len(CODE) + len(ROOM) + len(LENT) >= 40


# The wire alone, in this process: quick, and each with its reason.


def bytes_of(tree, blob=b""):
    tree = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    return struct.pack("<QQ", len(tree), len(blob)) + tree + blob


F64 = ["float64", [2]]
BAD = {
    "a structure that is too long": (b'"' + b"x" * 2**20 + b'"', b"", "bytes beside"),
    "too many things": (b"[" + b"[]," * 60_000 + b"[]]", b"", "values"),
    "numbers that are missing": ({"tensor": F64}, bytes(8), "without its numbers"),
    "numbers that are left": ({"tensor": F64}, bytes(24), "belong to no tensor"),
    "numbers named twice": ([{"tensor": F64}] * 2, bytes(16), "without its numbers"),
    "a side that is no number": ({"tensor": ["float64", [True]]}, bytes(8), "shape"),
    "empty, of huge sides": ({"tensor": ["float64", [0, 2**40]]}, b"", "shape"),
    "too many numbers": ({"tensor": ["bool", [2**20 + 1]]}, bytes(2**20 + 1), "shape"),
    "too many in two": (
        [{"tensor": ["bool", [2**20]]}, {"tensor": ["bool", [1]]}],
        bytes(2**20 + 1),
        "more than 1,048,576 numbers",
    ),
    "nine dimensions": ({"tensor": ["float64", [1] * 9]}, bytes(8), "shape"),
    "another type": ({"tensor": ["object", [1]]}, bytes(8), "object"),
    "a gradient of whole numbers": ({"tensor": ["int64", [1], True]}, bytes(8), "gradient"),
    "a form of four": ({"tensor": ["float64", [1], True, True]}, bytes(8), "no form"),
    "too deep": (b"[" * 31 + b"]" * 31, b"", "deep"),
    "a whole number of 65 bits": (b"%d" % 2**65, b"", "64 bits"),
    "a kind": ({"x" * 99_000: 1}, b"", r"unknown kind 'x{20}'"),
    "a tuple of text": ({"tuple": "text"}, b"", "no list"),
    "a key that is a list": ({"dict": [[[1], 1]]}, b"", "a key"),
    "a function": ({"function": 0}, b"", "unknown kind"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_no_message_may_hold_is_refused_with_its_reason(name):
    tree, blob, words = BAD[name]
    with pytest.raises(ValueError, match=rf"not a message: .*{words}") as refused:
        wire.unpack(bytes_of(tree, blob), grad=True)
    assert len(str(refused.value)) < 300


def test_texts_are_cut_at_the_border():
    got = wire.unpack(bytes_of({"tuple": ["\ud800 \u202e \x00\x1b[2J\n", "x" * 99_999]}))
    assert got[0] == "\ufffd \ufffd \ufffd\ufffd[2J\n"
    assert got[1] == "x" * wire.LONGEST_TEXT + " ..."
    got[0].encode("utf-8")


def test_bytes_of_a_truth_value_are_made_one():
    got = wire.unpack(bytes_of({"tensor": ["bool", [3]]}, b"\x00\x01\xff"))
    assert got.view(torch.uint8).tolist() == [0, 1, 1]


def test_what_is_packed_is_within_what_is_read():
    for value, words in (
        (torch.zeros(2**20 + 1), "shape"),
        ([0] * 100_001, "values"),
        ("x" * 2**20, "bytes beside"),
        (2**65, "64 bits"),
    ):
        with pytest.raises(ValueError, match=words):
            wire.pack(value)
    with pytest.raises(TypeError, match="sparse"):
        wire.pack(torch.eye(2).to_sparse())
    for value in (torch.tensor(1j).conj(), torch.ones(4, 1, 6)[:, :, ::2], torch.ones(())):
        assert torch.equal(wire.unpack(wire.pack(value)), value)
    assert wire.unpack(wire.pack(torch.ones(2, 0, 3))).shape == (2, 0, 3)
    assert wire.unpack(wire.pack(torch.ones(3).bfloat16())).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("message", "kinds"),
    [
        ([1], messages.ANSWERS),
        ({"errors": []}, messages.ANSWERS),
        ({"value": 1}, ("errors",)),
        ({"value": 1, "raised": "x"}, messages.ANSWERS),
        ({"unsolved": 1}, messages.ANSWERS),
        ({"raised": 5}, messages.ANSWERS),
        ({"missing": "abc"}, messages.ANSWERS),
        ({"missing": [1]}, messages.ANSWERS),
        ({"errors": 5}, ("errors",)),
        ({"errors": [5]}, ("errors",)),
        ({"errors": [[0]]}, ("errors",)),
        ({"errors": [[-1, "x"]]}, ("errors",)),
        ({"errors": [[True, "x"]]}, ("errors",)),
        ({"ask": -1, "args": [], "options": {}}, messages.ANSWERS),
        ({"ask": 0, "args": {}, "options": {}}, messages.ANSWERS),
        ({"ask": 0, "args": [], "options": {1: 2}}, messages.ANSWERS),
    ],
)
def test_a_message_of_another_form_is_refused(message, kinds):
    with pytest.raises(ValueError):
        messages.read(wire.pack(message), *kinds)


def test_messages_of_each_form_are_read():
    long = {"errors": [[i, "x" * 999] for i in range(99)]}
    got = messages.read(wire.pack(long), "errors")["errors"]
    assert len(got) == messages.MOST_ERRORS and max(len(t) for _, t in got) < 310
    names = messages.read(wire.pack({"missing": ["x" * 99] * 99}), *messages.ANSWERS)
    assert len(names["missing"]) == messages.MOST_NAMES
    asked = {"ask": 0, "args": (1,), "options": {"t": 2}}
    assert messages.read(wire.pack(asked), *messages.ANSWERS) == asked


# The package of each, and what a process without a room can still not do.


def test_a_copy_of_the_package_is_what_it_was_before_anything_ran(tmp_path):
    (tmp_path / "one" / "in").mkdir(parents=True)
    (tmp_path / "one" / "in" / "a.py").write_text("right")
    held = Package(tmp_path / "one")
    (tmp_path / "one" / "in" / "a.py").write_text("wrong")
    copy = Package(held).write(tmp_path / "two")
    assert (copy / "in" / "a.py").read_text() == "right"
    assert (copy / "in" / "a.py").stat().st_mode & 0o222 == 0 == copy.stat().st_mode & 0o222


def test_landlock_leaves_what_is_named(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "secret").write_text("the grades")
    python = [*map(str, jail.system()), str(ROOT)]
    program = f"""
import os, socket, subprocess, sys
sys.path.insert(0, {str(Path(confine.__file__).parent)!r})
from confine import confine
version = confine({python!r}, [{str(tmp_path / "own")!r}])
if not version: raise SystemExit(77)
open({str(tmp_path / "own" / "x")!r}, "w").write("allowed")
open("/dev/null", "w").write("allowed")
for action in (
    lambda: open({str(tmp_path / "secret")!r}), lambda: os.listdir("/home"),
    lambda: open({str(tmp_path / "new")!r}, "w"), lambda: open("/proc/self/comm", "w"),
    lambda: os.unlink({str(tmp_path / "secret")!r}),
    *([lambda: os.kill(os.getppid(), 0)] if version >= 6 else []),
    *([lambda: socket.create_connection(("127.0.0.1", 9))] if version >= 4 else []),
):
    try: action()
    except PermissionError: continue
    raise SystemExit(1)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False
    )
    if done.returncode == 77:
        pytest.skip("this kernel has no Landlock")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "secret").read_text() == "the grades"


# Users.


def test_root_starts_strangers_and_nobody_twice():
    seen = {jail.stranger() for _ in range(100)}
    assert len(seen) == 100 and min(seen) > 1000


def test_root_without_a_room_must_say_so(monkeypatch):
    monkeypatch.setattr(jail, "works", lambda kind: False)
    monkeypatch.setattr(jail.os, "geteuid", lambda: 1000)
    assert jail.isolation() == "none" and "ROOT" not in jail.left_open("none")
    monkeypatch.setattr(jail.os, "geteuid", lambda: 0)
    with pytest.raises(ValueError, match="you are root, and neither"):
        jail.isolation()
    assert "YOU ARE ROOT" in jail.left_open("none") and jail.left_open("namespaces") == ""


def test_root_and_others_each_get_the_room_that_fits(monkeypatch):
    for works, user, root in (
        ({"bubblewrap", "namespaces"}, "bubblewrap", "namespaces"),
        ({"bubblewrap"}, "bubblewrap", "bubblewrap"),
        ({"namespaces"}, "namespaces", "namespaces"),
    ):
        monkeypatch.setattr(jail, "works", works.__contains__)
        for euid, kind in ((1000, user), (0, root)):
            monkeypatch.setattr(jail.os, "geteuid", lambda euid=euid: euid)
            assert jail.isolation() == kind


# The real thing.


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    target = tmp_path_factory.mktemp("package")
    lacking.write(target, lacking.asked("02"))
    return target


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("kind", WORKS)
def test_memory_of_all_processes_together_is_looked_at(kind, package):
    cell = CODE["memory of many"].replace("2 ** 29", "2 ** 28")
    with (
        Runner([TOOLS, cell], package, kind, memory_gb=2.0) as one,
        pytest.raises(Stopped, match="took more than 2 GB"),
    ):
        one.start()


def write(path, cells):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(text) for text in cells]
    )
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)


GRADE = """
import resource, sys
from ddpm_lite.commands.main import main
status = main(["grade", *sys.argv[1:]])
print(status or 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def attacks(kind):
    r"""{student: (chapter, cell)} for a kind of isolation."""
    some = FORGED | CODE | (ROOM if kind != "none" else {})
    found = {("02", name): cell for name, cell in some.items()} | LENT
    names = (name.replace(" ", "-") for _, name in found)
    pairs = zip(names, found.items(), strict=True)
    return {name: (chapter, cell) for name, ((chapter, _), cell) in pairs}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("kind", WORKS)
def test_a_class_of_attackers(kind, tmp_path):
    if kind == "none" and not _landlock():
        pytest.skip("this kernel has no Landlock: nothing is promised")
    folder, table = tmp_path / "class", tmp_path / "grades.csv"
    folder.mkdir()
    canary = tmp_path / "last year.csv"
    canary.write_text("the grades")
    tools = TOOLS + f"CANARIES = {[str(canary), str(folder / 'aa-honest.ipynb')]!r}\n"
    server = socket.create_server(("127.0.0.1", 0))
    tools += f"PORT = {server.getsockname()[1]}\n"
    honest = ("aa-honest", "m-honest", "zz-honest")
    for name in honest:
        write(folder / f"{name}.ipynb", [*RIGHT, 'check("02.1", crossing)'])
    bad = attacks(kind)
    for name, (chapter, cell) in bad.items():
        write(folder / f"{name}.ipynb", [tools, cell, f'if 0: check("{chapter}.1", 0)'])
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with server:
        done = subprocess.run(
            [
                *(sys.executable, "-c", GRADE, str(folder), "--csv", str(table)),
                *("--feedback", str(tmp_path / "texts"), "--isolation", kind),
                *("--jobs", "2"),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    status, megabytes = map(int, done.stdout.split()[-2:])
    assert status == 0 and megabytes < 1000, megabytes
    text = table.read_text("utf-8")
    rows = {row["student"]: row for row in csv.DictReader(io.StringIO(text))}
    assert set(rows) == set(bad) | set(honest)
    assert {name: rows[name]["points"] for name in honest} == dict.fromkeys(honest, "21")
    assert {n: rows[n]["points"] for n in bad if rows[n]["points"] != "0"} == {}
    texts = {p.name: p.read_text("utf-8") for p in (tmp_path / "texts").iterdir()}
    assert {name: text for name, text in texts.items() if "ESCAPED" in text} == {}
    assert max(map(len, texts.values())) < 30_000
    assert canary.read_text() == "the grades" and len(list(tmp_path.iterdir())) == 4
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert _left_behind() == []


def _landlock():
    program = (
        "import ctypes; raise SystemExit(ctypes.CDLL(None).syscall(444, None, 0, 1) < 6)"
    )
    return subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def _left_behind():
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [path.parent.name] if MARK.encode() in path.read_bytes() else []
        except OSError:
            continue
    return found
