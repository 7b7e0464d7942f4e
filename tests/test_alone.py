r"""Every chapter by itself: in an empty folder, in an environment that is made here.

The first chapter finds no package and installs it, as on Colab, from a wheel built from
this tree; what a chapter reads must therefore be in the wheel. Slow: its own stage.
"""

import json
import os
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from nbclient import NotebookClient
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
    venv.create(environment, with_pip=True)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    pins = ["-c", ROOT / "constraints.txt"]
    command(python, "-m", "pip", "install", "-q", *pins, "ipykernel")
    probe = (
        "import importlib.util as u; print(u.find_spec('ddpm_lite'), u.find_spec('torch'))"
    )
    assert command(python, "-c", probe, cwd=folder).split() == ["None", "None"]
    kernel = folder / "share" / "kernels" / "fresh"
    kernel.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    variables = {
        "DDPM_LITE": str(wheel),
        "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": "",
    }
    spec = {"argv": argv, "display_name": "fresh", "language": "python", "env": variables}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    os.environ["JUPYTER_PATH"] = str(folder / "share")
    return folder, python


def run_alone(path, folder):
    here = folder / path.stem
    here.mkdir()
    NotebookClient(
        build.read(path),
        timeout=900,
        kernel_name="fresh",
        resources={"metadata": {"path": str(here)}},
    ).execute()
    return sorted(p.name for p in here.iterdir())


def test_each_notebook_runs_alone_in_a_fresh_environment(fresh):
    folder, python = fresh
    left = {
        CHAPTERS[0].stem: run_alone(CHAPTERS[0], folder)
    }  # this one installs the package
    where = command(python, "-c", "import ddpm_lite; print(ddpm_lite.__file__)", cwd=folder)
    assert str(folder) in where, "the chapter must run on the wheel, not on this tree"
    with ThreadPoolExecutor(2) as pool:
        names = [path.stem for path in CHAPTERS[1:]]
        results = pool.map(lambda path: run_alone(path, folder), CHAPTERS[1:])
        left.update(zip(names, results, strict=True))
    assert left == {path.stem: [] for path in CHAPTERS}, "a chapter left files behind"


def test_executing_twice_gives_identical_files():
    path = NOTEBOOKS / "02_forward_process.md"
    first, second = (nbformat.writes(build.execute(build.read(path))) for _ in range(2))
    assert first == second


def test_an_edited_number_in_a_committed_notebook_turns_nbval_red(tmp_path):
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
