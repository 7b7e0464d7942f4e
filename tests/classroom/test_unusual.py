r"""Honest but unusual notebooks: right answers in cells that a grader could stumble over.

In nearly all of them the answers stand in the same cell as what is unusual, or behind it,
so that whoever loses the cell loses all 21 points.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import indent

import nbformat
import pytest

pytest.importorskip("resource", reason="Windows cannot limit what a submission takes")

from ddpm_lite.classroom import jail, lacking, runner
from ddpm_lite.classroom.exercise import exercises_of
from ddpm_lite.classroom.grade import Rules, grade, grade_one
from ddpm_lite.classroom.submissions import Submission

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "exercises"))

import assignments  # noqa: E402

RIGHT = [c.source for c in assignments.source("02") if c.cell_type == "code"]
PARTS = [text for text in RIGHT if not text.startswith("check(")]
ALL = "\n\n".join(PARTS) + "\n"
NAMES = ("crossing", "merge", "jump", "jump_between", "standard_size", "design")


def prompted(text):
    head, *rest = text.splitlines()
    return "\n".join([f">>> {head}", *(f"... {line}" for line in rest)]) + "\n"


def wrapped(how):
    return ALL + "".join(f"\n{name} = {how.format(name)}" for name in NAMES)


COMPARE = """
from ddpm_lite import Schedule, q_sample
schedule = Schedule.linear()
x_0, noise, t = torch.randn(8, 2), torch.randn(8, 2), torch.randint(1, 1001, (8,))
mine = jump(schedule.alpha_bar, x_0, t, noise)
assert torch.allclose(mine, q_sample(schedule, x_0, t, noise))
"""

READ = {
    "a continued line that starts with %": [
        "n = 7\nm = (19\n    % n)\nk = 19 \\\n  % n\nassert m == k == 5\n" + ALL
    ],
    "a continued line that starts with !": ["m = (3\n  != 4)\nassert m\n" + ALL],
    "what a command printed": [
        "files = !ls *.csv\nprint(files[0], len(files), files.n, files.grep('x'))\n" + ALL
    ],
    "a command in a block": ["if n := 3:\n    !ls {n}\n    %cd ..\n" + ALL],
    "a timing that is kept": [
        "r = %timeit -o -n 3 sum(range(9))\n"
        "print(f'{r.best:.3e} s {r.average / 2:6.1f}', max(r.timings, default=0))\n" + ALL
    ],
    "a timing that gives a value": ["%time T = 1000\nassert T == 1000\n" + ALL],
    "help behind a name": ["import torch\ntorch.linspace?\ntorch.cumprod??\n" + ALL],
    "help before a name": ["?len\n??max\n" + ALL],
    "displayed things": [
        "shown = display(1, display_id=True)\nshown.update(2)\ndisplay({'a': 1}, 'b')\n"
        + ALL
    ],
    "the shell by its name": [
        "get_ipython().run_line_magic('matplotlib', 'inline')\n"
        "get_ipython().system('ls')\nip = get_ipython()\n"
        "ip.ast_node_interactivity = 'all'\n"
        "if 'IPKernelApp' in ip.config: 1 / 0\nip.events.register('x', print)\n" + ALL
    ],
    "await": [
        "import asyncio\nasync def work(x):\n    await asyncio.sleep(0)\n    return x\n"
        "three = await work(3)\ngot = await asyncio.gather(work(1), work(2))\n"
        "assert three == 3 and got == [1, 2]\n" + ALL
    ],
    "tasks over several cells": [
        "import asyncio\nasync def work(): return 4\ntask = asyncio.create_task(work())",
        "assert await task == 4\nassert asyncio.get_running_loop()\n" + ALL,
    ],
    "async for and with": [
        "import contextlib\n@contextlib.asynccontextmanager\nasync def room(): yield 1\n"
        "async def numbers():\n    yield 1\n"
        "async with room() as one: pass\nasync for one in numbers(): pass\n" + ALL
    ],
    "questions": ["n = int(input('How many? '))\nname = input()\n" + ALL],
    "questions until the right answer": [
        "while input('Continue? ').lower() not in ('q', 'quit'): pass",
        ALL,
    ],
    "a password": ["from getpass import getpass\ntoken = getpass('Token: ')\n" + ALL],
    "magics in a text": [
        'TEXT = """\n%matplotlib inline\n!pip install x\n%%time\n?\n"""\n'
        "assert TEXT.split() == ['%matplotlib', 'inline', '!pip', 'install', 'x', '%%time',"
        " '?']\n" + ALL
    ],
    "a timed cell": ["%%time\n" + ALL],
    "a timed cell after empty lines": ["\n\n%%time\n\n" + ALL],
    "a captured cell": [
        "%%capture out --no-stderr\n" + ALL,
        "out.show(); print(out.stdout)",
    ],
    "a cell with two magics": ["%%capture\n%%time\n" + ALL],
    "a magic of an extension": ["%load_ext memory_profiler", "%%memit\n" + ALL],
    "a module that a cell writes": [
        "%%writefile answers.py\n" + ALL,
        "from answers import *",
    ],
    "a script that a cell writes": ["%%file answers.py\n" + ALL, "%run answers.py"],
    "pylab": ["%pylab inline", "grid = linspace(0, 1, 5)\nassert len(grid) == 5\n" + ALL],
    "prompts of Python": [prompted(part) for part in PARTS],
    "prompts of IPython": [
        f"In [{i}]: " + "\n   ...: ".join(p.splitlines()) for i, p in enumerate(PARTS)
    ],
    "an indented cell": [indent(ALL, "    ")],
    "commands without their %": [
        "ls -la",
        "pip install torch",
        "pwd",
        "time sum([1])",
        ALL,
    ],
    "what every course begins with": [
        "%reset -f\n%load_ext autoreload\n%autoreload 2\n%matplotlib inline\n"
        "%config InlineBackend.figure_format = 'retina'\n%env CUDA_VISIBLE_DEVICES=0\n"
        "!nvidia-smi\n!pip install -q ddpm-lite\n%pip install x\n" + ALL,
        "%%bash\nfor i in 1 2; do echo $i; done",
        "%%html\n<b>bold</b>",
    ],
    "a magic of its own": [
        "from IPython.core.magic import register_cell_magic, register_line_magic\n"
        "@register_cell_magic\ndef twice(line, cell):\n    get_ipython().run_cell(cell)\n"
        "@register_line_magic\ndef three(line): return 3\n",
        "%%twice\n" + ALL,
        "x = %three\nassert x == 3",
    ],
    "IPython's display": [
        "from IPython.display import HTML, Markdown, clear_output, display\n"
        "from IPython import get_ipython\nget_ipython().run_line_magic('time', '1')\n"
        "handle = display(HTML('<b>x</b>'), display_id='a')\nhandle.update(Markdown('y'))\n"
        "clear_output(wait=True)\n" + ALL
    ],
    "the last value": ["6 * 7", "assert _ == 42 and Out[1] == 42 and len(In) == 3\n" + ALL],
    "annotations of the future": [
        "from __future__ import annotations",
        "def later(x: Unknown) -> Nowhere: return x\n" + ALL,
    ],
    "lines that end as on Windows": [ALL.replace("\n", "\r\n")],
    "Greek": ["ᾱ, β = 0.5, 0.1\ndef σ(ᾱ): return (1 - ᾱ) ** 0.5\n" + ALL],
    "drawings": [
        "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2]);\n"
        "plt.show()\nplt.savefig('x.png')\n" + ALL
    ],
}

WITHHELD = {
    "compares with the name": [ALL + COMPARE],
    "compares before the answer": [PARTS[0] + "\nfrom ddpm_lite import q_sample\n" + ALL],
    "compares in the middle": ["from ddpm_lite.process import q_step as by_steps\n" + ALL],
    "imports all": ["from ddpm_lite import *\n" + ALL],
    "imports all of a room": [
        "from ddpm_lite.process import *\nimport ddpm_lite.loss\n" + ALL
    ],
    "inherits from the name": [
        "from ddpm_lite import Trainer, simple_loss\nclass Mine(Trainer):\n    pass\n"
        "def f(x: Trainer | None = None): return isinstance(x, (Trainer, Mine))\n"
        "assert not f(3)\nLOSSES = {'simple': simple_loss}\n" + ALL
    ],
    "looks at the package": [
        "import ddpm_lite as d\nreference = getattr(d, 'q_sample', None)\n"
        "print(reference, [getattr(d, name) for name in d.__all__])\n" + ALL
    ],
    "a comparison that may fail": [
        ALL + "\ntry:\n    import ddpm_lite\n    ddpm_lite.q_sample(1, 2, 3, 4)\n"
        "except Exception as error:\n    print(error)\n"
    ],
}

PROCESSES = {
    "workers of a loader": [
        "from torch.utils.data import DataLoader, Dataset\nimport torch\n"
        "class Points(Dataset):\n    def __len__(self): return 64\n"
        "    def __getitem__(self, i): return torch.full((100,), float(i))\n"
        "batches = list(DataLoader(Points(), batch_size=16, num_workers=2))\n"
        "assert sum(len(b) for b in batches) == 64\n" + ALL
    ],
    "a pool": [
        "from multiprocessing import Pool\ndef square(x): return x * x\n"
        "with Pool(2) as pool: assert pool.map(square, [1, 2, 3]) == [1, 4, 9]\n" + ALL
    ],
    "an executor": [
        "from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor\n"
        "def square(x): return x * x\n"
        "for Pool in (ProcessPoolExecutor, ThreadPoolExecutor):\n"
        "    with Pool(2) as pool: assert list(pool.map(square, [2])) == [4]\n" + ALL
    ],
    "a queue, a lock and shared memory": [
        "import multiprocessing as mp\n"
        "from multiprocessing.shared_memory import SharedMemory\n"
        "queue, lock = mp.Queue(), mp.Lock()\ndef put(q): q.put(5)\n"
        "process = mp.Process(target=put, args=(queue,)); process.start()\n"
        "assert queue.get(timeout=15) == 5; process.join()\n"
        "memory = SharedMemory(create=True, size=1000); memory.close(); memory.unlink()\n"
        + ALL
    ],
    "a pool within the answer": [
        ALL.replace("def merge", "def plain") + "\nfrom multiprocessing import Pool\n"
        "def merge(a, b):\n    with Pool(1) as pool:\n"
        "        return pool.apply(plain, (a, b))\n"
    ],
    "pickles and copies": [
        ALL + "\nimport copy, pickle\nfor f in (crossing, design):\n"
        "    assert pickle.loads(pickle.dumps(f)) is f is copy.deepcopy(f)\n"
        "from dataclasses import dataclass\n"
        "@dataclass\nclass Settings:\n    T: 'int' = 10\n"
        "assert pickle.loads(pickle.dumps(Settings(3))).T == 3\n"
        "import __main__\nassert __main__.Settings is Settings\n"
    ],
    "source code": [
        ALL + "\nimport inspect\nassert inspect.getsource(merge).startswith('def merge')\n"
        "@torch.jit.script\ndef double(x: torch.Tensor):\n    return 2 * x\n"
        "assert double(torch.ones(1)) == 2\n"
    ],
    "compiled": [
        ALL + "\njump = torch.compile(jump)\njump_between = torch.compile(jump_between)"
    ],
    "arguments of a command": [
        "import argparse\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--T', type=int, default=1000)\nT = parser.parse_args().T\n"
        + ALL
    ],
}

LACKING = {  # on the grader's machine
    "a package that is missing": ["import seabird as sns\nsns.set()\n" + ALL],
    "a file that is missing": ["data = open('/home/me/data.csv').read()\n" + ALL],
    "a network that is missing": [
        "import urllib.request as r\nr.urlretrieve('http://example.org', 'x')\n" + ALL
    ],
    "a GPU that is missing": ["assert torch.cuda.is_available()\n" + ALL],
    "a window that is missing": ["import matplotlib\nmatplotlib.use('TkAgg')\n" + ALL],
    "a decorator that is missing": [ALL.replace("def merge", "@numba.njit\ndef merge")],
    "an experiment that fails": [ALL, "design(10, 0.1)[99]", "raise ValueError", "1 / 0"],
    "an answer below what fails": ["print(undefined)\n" + ALL],
    "a stop": [ALL, "raise SystemExit('nothing of interest below')", "def merge(: old"],
    "a process that ends": [ALL, "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"],
    "too much memory": [ALL, "hog = [torch.ones(2 ** 28) for _ in range(99)]"],
}

FORMS = {
    "NumPy": [
        wrapped(
            "(lambda f: lambda *a: (np.asarray(v) if isinstance(v := f(*a), torch.Tensor)"
            " else v))({0})"
        ).replace("import torch\n", "import torch\nimport numpy as np\n", 1)
    ],
    "partials": ["import functools\n" + wrapped("functools.partial({0})")],
    "lambdas": [wrapped("(lambda f: lambda *a, **k: f(*a, **k))({0})")],
    "objects": [
        "class Answer:\n    def __init__(self, f): self.f = f\n"
        "    def __call__(self, *a, **k): return self.f(*a, **k)\n" + wrapped("Answer({0})")
    ],
    "modules of torch": [
        "import torch\nclass Answer(torch.nn.Module):\n"
        "    def __init__(self, f):\n        super().__init__()\n        self.f = f\n"
        "    def forward(self, *a): return self.f(*a)\n" + wrapped("Answer({0})")
    ],
    "gradients": [
        ALL + "\nplain = jump\ndef jump(alpha_bar, x_0, t, noise):\n"
        "    return plain(alpha_bar, x_0.requires_grad_(), t, noise)\n"
    ],
    "settings of torch": [
        "import torch, numpy as np\ntorch.set_default_dtype(torch.float64)\n"
        "torch.set_grad_enabled(False)\ntorch.manual_seed(3)\nnp.seterr(all='raise')\n"
        "torch.set_num_threads(8)\ntorch.use_deterministic_algorithms(True)\n" + ALL
    ],
    "one cell for all": [
        ALL + "\n" + "\n".join(t for t in RIGHT if t.startswith("check("))
    ],
    "one cell for each line": [*PARTS[0].split("\n"), *PARTS[1:]],
}

UNUSUAL = READ | WITHHELD | PROCESSES | LACKING | FORMS
SOME = dict([*UNUSUAL.items()][::3])  # of each kind; a process and four seconds each
REMARKED = set(LACKING) | {
    "compares with the name",
    "questions until the right answer",
    "a magic of an extension",
}


def submission(cells):
    return Submission("someone", Path("x.ipynb"), "02", tuple(cells))


def said(made):
    return {o.exercise.number: o.said for o in made.outcomes}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    target = tmp_path_factory.mktemp("package")
    lacking.write(target, lacking.asked("02"))
    return target


def test_there_are_many_of_them():
    kinds = (READ, WITHHELD, PROCESSES, LACKING, FORMS)
    assert len(UNUSUAL) >= 40 and len(UNUSUAL) == sum(map(len, kinds))
    assert all(2 <= len(kind.keys() & SOME.keys()) < len(kind) for kind in kinds)


@pytest.mark.slow
@pytest.mark.parametrize(
    "unusual",
    [
        pytest.param(SOME, id="some"),
        pytest.param(UNUSUAL, id="all", marks=pytest.mark.long),
    ],
)
def test_a_class_of_unusual_notebooks(unusual, tmp_path):
    for name, cells in unusual.items():
        notebook = nbformat.v4.new_notebook(metadata={"ddpm_lite": {"chapter": "02"}})
        notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
        nbformat.write(notebook, tmp_path / f"{name.replace(' ', '-')}.ipynb")
    made = {g.submission.student.replace("-", " "): g for g in grade(tmp_path, jobs=2)}
    assert set(made) == set(unusual)
    lost = {n: (said(g), g.remarks) for n, g in made.items() if g.points < 21}
    assert lost == {}
    assert {n: g.remarks for n, g in made.items() if g.remarks and n not in REMARKED} == {}


# Time.


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    "first",
    [
        ["import time\ntime.sleep(4.5)"] * 4,
        ["import time\ntime.sleep(4.5)\n" + ALL] * 4,
        ["while True:\n    try:\n        sum(range(99))\n    except Exception: pass"],
        ["import time\nresult = time.sleep(99)\n" + ALL],
    ],
    ids=["experiments", "experiments before answers", "swallows errors", "in one cell"],
)
def test_what_is_defined_when_time_runs_out_is_graded(first, package):
    rules = Rules(isolation=jail.isolation(), packages={"02": package}, seconds=30.0)
    made = grade_one(submission([*first, ALL]), rules)
    assert made.points == 21, said(made)
    assert "ran longer than" in made.remarks[0]


@pytest.mark.slow
@pytest.mark.long
def test_an_experiment_is_not_repeated_for_long(package, monkeypatch):
    r"""An endless exercise ends the process; the next one is still graded."""
    short = {n: replace(e, seconds=3.0) for n, e in exercises_of("02").items()}
    monkeypatch.setattr("ddpm_lite.classroom.grade.exercises_of", lambda chapter: short)
    ends = "\ndef {}(*args):\n    while True: pass\n"
    ends = "".join(map(ends.format, NAMES[1:3]))
    slow = ["import time\ntime.sleep(9)", ALL + ends]
    rules = Rules(isolation=jail.isolation(), packages={"02": package}, seconds=36.0)
    made = grade_one(submission(slow), rules)
    assert made.points == 2 + 4 + 3 + 5, said(made)
    assert all("took longer than 3 s" in said(made)[f"02.{k}"] for k in (2, 3))


# One notebook's cells in a process like the grader's, without the grader.

PROGRAM = """
import json, sys
from time import monotonic
from ddpm_lite.classroom.cells import main_module, run_cells
cells, seconds, experiments = json.load(sys.stdin)
names = vars(main_module())
errors = run_cells(cells, monotonic() + seconds, experiments, names)
print("RESULT" + json.dumps([errors, {k: v for k, v in names.items() if k[:2] == "x_"}]))
"""


def ran(cells, seconds=20.0, experiments=True, program=PROGRAM):
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps([cells, seconds, experiments]),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return json.loads(done.stdout.rpartition("RESULT")[2])


def test_cells_are_read_as_ipython_reads_them():
    errors, names = ran(
        [
            "x_1 = (9\n % 5)\nx_2 = !ls\nx_3 = '''\n%time\n!ls'''\nx_1?\n%time x_4 = 4\n",
            "%%capture out\nx_5 = 5",
            "%%bash\nx_6 = 6",
            "%%time\n1 +",
            "x_7 = int(input())",
            "ls -la",
            "time x_8 = sum([8])",
        ]
    )
    assert names == {
        "x_1": 4,
        "x_2": [],
        "x_3": "\n%time\n!ls",
        "x_4": 4,
        "x_5": 5,
        "x_7": 1,
        "x_8": 8,
    }
    assert [(i, text[:11]) for i, text in errors] == [(3, "SyntaxError")]


def test_what_fails_leaves_what_is_defined_around_it():
    errors, names = ran(
        [
            "x_1 = 1\n1 / 0\nx_1 = 2\nx_2 = 2\nprint(no)\nx_3 = no\nx_4 = 4",
            "@no\nclass A:\n    x = 5\nx_5 = A.x",
            "x_6 = 6\nraise SystemExit\nx_7 = 7",
        ]
    )
    # What the cell has bound already stays as it was when it failed, as in Jupyter.
    assert names == {"x_1": 1, "x_2": 2, "x_4": 4, "x_5": 5, "x_6": 6}
    assert [text.split(":")[0] for _, text in errors] == [
        "ZeroDivisionError",
        "NameError",
        "SystemExit",
    ]


def test_without_experiments_only_what_defines_is_run():
    cells = [
        "x_1 = []\nfor i in range(9): x_1.append(i)\nx_1.append(3)\nx_2 = 2",
        "x_3 = 3",
    ]
    assert ran(cells, experiments=False) == [[], {"x_1": [], "x_2": 2, "x_3": 3}]


def test_without_ipython_plain_cells_run_and_others_say_why():
    program = "import sys\nsys.modules['IPython'] = None" + PROGRAM
    errors, names = ran(["x_1 = 1", "%time x_2 = 2", "%%time\nx_3 = 3"], program=program)
    assert names == {"x_1": 1, "x_3": 3}
    assert errors[0][0] == 1 and errors[0][1].endswith("the grader lacks IPython")


def test_without_ipython_a_class_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.setattr(runner.jail, "apart", lambda command, kind: ["false"])
    with pytest.raises(ValueError, match=r"find no IPython.*pip install ipython"):
        runner.check_ipython("none")
