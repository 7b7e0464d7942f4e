r"""Every chapter by itself: in an empty folder, in an environment that is made here.

The first chapter finds no package and installs it, as on Colab, from a wheel built from
this tree; what a chapter reads must therefore be in the wheel. No cell may fail, no file
may be left behind, and tagged cells must print what the committed notebook holds. Slow:
its own stage.
"""

import copy
import os
import subprocess
import sys
import venv
import zipfile

import nbformat
import pytest
from chapters import differences, kernel, run_alone, verdict, verdicts
from test_book import CHAPTERS, NOTEBOOKS, ROOT, build, committed

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


def command(*words, **options):
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def fresh(tmp_path_factory):
    """A new environment with a Jupyter kernel and nothing else, and a wheel to install."""
    folder = tmp_path_factory.mktemp("fresh")
    wheels, environment = folder / "wheels", folder / "env"
    command(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, ROOT)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as inside:  # with the notice that its licence asks for
        names = {f"ddpm_lite/clothes/{n}" for n in ("train.png", "held_out.png", "LICENSE")}
        assert names <= set(inside.namelist())
    venv.create(environment, with_pip=True)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    pins = ["-c", ROOT / "constraints.txt"]
    command(python, "-m", "pip", "install", "-q", *pins, "ipykernel")
    probe = (
        "import importlib.util as u; print(u.find_spec('ddpm_lite'), u.find_spec('torch'))"
    )
    assert command(python, "-c", probe, cwd=folder).split() == ["None", "None"]
    variables = {
        "DDPM_LITE": str(wheel),
        "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": "",
    }
    kernel(folder, [python, "-m", "ipykernel_launcher"], variables)
    return folder, python


def test_each_notebook_runs_alone_and_prints_what_is_committed(fresh):
    folder, python = fresh
    wrong = verdicts(CHAPTERS[:1], folder, timeout=900)  # this one installs the package
    where = command(python, "-c", "import ddpm_lite; print(ddpm_lite.__file__)", cwd=folder)
    assert str(folder) in where, "the chapter must run on the wheel, not on this tree"
    assert wrong + verdicts(CHAPTERS[1:], folder) == []


def here(folder):
    r"""A kernel of this environment, in its own process."""
    kernel(folder, [sys.executable, "-m", "ipykernel_launcher"], {"OMP_NUM_THREADS": "1"})


def test_an_edited_number_in_a_committed_notebook_is_found(tmp_path):
    here(tmp_path)
    notebook, left = run_alone(CHAPTERS[0], tmp_path)
    assert left == []
    expected = committed(CHAPTERS[0].stem)
    assert differences(notebook, expected) == []
    outputs = [o for c in expected.cells if c.cell_type == "code" for o in c.outputs]
    (wanted,) = [o for o in outputs if "beta = 0.0200" in o.get("text", "")]
    wanted["text"] = wanted["text"].replace("0.0200", "0.0201")
    (found,) = differences(notebook, expected)
    assert "0.0200" in found and "0.0201" in found
    silent = copy.deepcopy(notebook)
    for cell in silent.cells:
        cell.outputs = []
    assert len(differences(silent, committed(CHAPTERS[0].stem))) > 3


def test_a_cell_that_fails_and_a_file_that_is_left_are_found(tmp_path, monkeypatch):
    here(tmp_path)
    path = tmp_path / "00_start_here.md"
    for name, code, words in (
        ("fails", "assert 1 == 2, 'so it is not'", "AssertionError: so it is not"),
        ("leaves", "open('x.txt', 'w').close()", "left x.txt behind"),
    ):
        cells = [nbformat.v4.new_code_cell(code)]
        given = nbformat.v4.new_notebook(cells=cells)
        monkeypatch.setattr(build, "read", lambda path, given=given: given)
        monkeypatch.setattr("chapters.committed", lambda name, given=given: given)
        folder = tmp_path / name
        folder.mkdir()
        (found,) = verdict(path, folder)
        assert words in found


def test_executing_twice_gives_identical_files():
    path = NOTEBOOKS / "02_forward_process.md"
    first, second = (nbformat.writes(build.execute(build.read(path))) for _ in range(2))
    assert first == second


def test_nbval_runs_a_committed_notebook_and_finds_an_edited_number(tmp_path):
    notebook = committed("00_start_here")
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    (wanted,) = [o for o in outputs if "beta = 0.0200" in o.get("text", "")]
    options = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300"]
    options += ["-p", "no:cacheprovider", "-q", "--rootdir", str(tmp_path)]
    codes = []
    for number in ("0.0200", "0.0201"):
        wanted["text"] = wanted["text"].replace("0.0200", number)
        nbformat.write(notebook, tmp_path / "copy.ipynb")
        run = [sys.executable, "-m", "pytest", *options, str(tmp_path / "copy.ipynb")]
        codes.append(
            subprocess.run(run, capture_output=True, check=False, cwd=tmp_path).returncode
        )
    assert codes == [0, 1]
