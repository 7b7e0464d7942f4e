r"""How a command ends: stopped, into a closed pipe, without memory; a line and a status."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from importlib import import_module
from pathlib import Path

import pytest
from torch.distributed import TCPStore

from ddpm_lite.commands import main as commands
from ddpm_lite.commands.main import main
from ddpm_lite.formats.checkpoint import read_checkpoint

HERE = Path(__file__).parents[2]
LONG = "--width 8 --groups 4 --batch-size 4 --sample-every 0 --sample-steps 2 --threads 1"
LONG = f"train digits {LONG} --device cpu --log-every 1 --steps".split()


def started(arguments, **streams):
    r"""A process that runs a command, its stdout and stderr as `subprocess` has them."""
    ask = [sys.executable, "-m", "ddpm_lite", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(ask, cwd=HERE, env=environment, text=True, **streams)


def nobody_reads():
    r"""The end of a pipe into which one may write, with nobody at the other."""
    theirs, ours = os.pipe()
    os.close(theirs)
    return ours


def wait_for(path):
    r"""Wait until a file is there."""
    for _ in range(6000):
        if path.exists():
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} did not come")


@pytest.mark.skipif(os.name == "nt", reason="signals are another thing there")
@pytest.mark.parametrize(("kind", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_training_that_is_stopped_says_so_in_its_status(kind, status, tmp_path):
    run = tmp_path / "run"
    ask = [*LONG, "1000000", "--out", run]
    process = started(ask, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(run / "newest")
    process.send_signal(getattr(signal, kind))
    out, err = process.communicate(timeout=300)
    assert process.returncode == status, err
    assert f"go on with: ddpm-lite resume {run}" in out and "Traceback" not in err
    newest = run / "checkpoints" / (run / "newest").read_text()
    _, _, numbers = read_checkpoint(newest)
    assert numbers["step"] < 1_000_000


# What takes long in a command: where Ctrl-C finds it. {} stands for a new folder or file.
WORK = {
    "train digits --steps 1 --out {}": ("training.experiment", "step_time"),
    "train digits --steps 2 --out {}": ("training.experiment", "load_pictures"),
    "resume {run} --steps 3": ("training.experiment", "load_pictures"),
    "sample digits --num 2 --steps 2 --out {}": ("training.experiment", "sample"),
    "evaluate digits --num 64 --steps 1 --out {}": ("commands.evaluate", "measures"),
    "info digits": ("commands.info", "cost"),
    "curves {run} --out {}.png": ("commands.curves", "draw_curves"),
    "doctor": ("commands.doctor", "diagnose"),
    "bench --quick --out {}": ("commands.bench", "measuring"),
    "export digits --out {}": ("formats.diffusers", "unet_fields"),
    "import x --out {}.safetensors": ("commands.import_", "from_diffusers"),
    "grade {run} --csv {}": ("commands.grade", "read_all"),
    "quickstart --steps 1 --out {}": ("training.experiment", "load_pictures"),
    "presets": ("commands.presets", "cost"),
}


class Stopped:
    r"""Something that is stopped by Ctrl-C whenever it is called, or one of it is."""

    def __call__(self, *_, **__):
        raise KeyboardInterrupt

    def __getattr__(self, name):
        raise KeyboardInterrupt


@pytest.mark.parametrize("line", WORK)
def test_ctrl_c_ends_in_one_line_and_130(line, own_run, tmp_path, monkeypatch, capsys):
    module, name = WORK[line]
    monkeypatch.setattr(import_module(f"ddpm_lite.{module}"), name, Stopped())
    new = tmp_path / "new"
    before = sorted(own_run.rglob("*"))
    assert main(line.format(new, run=own_run).split()) == 130
    assert capsys.readouterr().err.endswith("ddpm-lite: stopped\n")
    assert [p.name for p in tmp_path.iterdir()] == ["run"]  # nothing that looks whole
    assert sorted(own_run.rglob("*")) == before


def test_ctrl_c_while_a_command_is_imported(monkeypatch, capsys):
    monkeypatch.setattr(commands, "import_module", Stopped())
    assert main(["info", "digits"]) == 130
    assert capsys.readouterr().err == "ddpm-lite: stopped\n"


@pytest.mark.skipif(os.name == "nt", reason="pipes are another thing there")
@pytest.mark.parametrize("line", ["--help", "presets", "train --help", "--version"])
def test_a_pipe_that_nobody_reads(line):
    process = started(line.split(), stdout=nobody_reads(), stderr=subprocess.PIPE)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (141, "")


@pytest.mark.skipif(os.name == "nt", reason="pipes are another thing there")
def test_training_goes_on_where_nobody_reads_what_it_says(tmp_path):
    run = tmp_path / "run"
    pipe = nobody_reads()
    process = started([*LONG, "3", "--out", run], stdout=pipe, stderr=pipe)
    assert process.wait(timeout=300) == 141
    assert (run / "newest").read_text() == "step_000000003"
    assert (run / "memorisation.json").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_disk_that_is_full_of_what_is_said():
    with open("/dev/full", "w") as full:
        process = started(["presets"], stdout=full, stderr=subprocess.PIPE)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 1 and err.count("\n") == 1
    assert err.startswith("ddpm-lite: what was to be told is not whole: No space left")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "the memory does not suffice: take smaller"),
        (MemoryError("Unable to allocate 8 GiB"), "suffice (Unable to allocate 8 GiB):"),
        (RuntimeError("CUDA out of memory. Tried\nto"), "suffice (CUDA out of memory. Tr"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: x"), "not suffice (Def"),
        (FileNotFoundError(2, "No such file", "x.json"), "cannot use x.json: No such file"),
        (PermissionError("x cannot be written:\n  y"), "x cannot be written: y"),
        (ValueError("a\n\n  b"), "ddpm-lite: a b"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_an_error_in_words(error, words, monkeypatch, capsys):
    def fail(*_):
        raise error

    monkeypatch.setattr(import_module("ddpm_lite.commands.presets"), "cost", fail)
    assert main(["presets"]) == 1
    shown = capsys.readouterr().err
    assert words in shown and shown.startswith("ddpm-lite: ") and shown.count("\n") == 1


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch):
    def fail(*_):
        raise KeyError("a mistake")

    monkeypatch.setattr(import_module("ddpm_lite.commands.presets"), "cost", fail)
    with pytest.raises(KeyError):
        main(["presets"])


def test_a_warning_is_one_line_while_a_command_runs():
    code = "import sys, warnings\nfrom ddpm_lite.commands import main as commands\n"
    code += "def warn(*_): warnings.warn('this is\\n odd'); raise ValueError('end')\n"
    code += "commands._understood, before = warn, warnings.formatwarning\n"
    code += "assert commands.main(['presets']) == 1\n"
    code += "assert warnings.formatwarning is before and sys.stderr is sys.__stderr__\n"
    ask = [sys.executable, "-c", code]
    done = subprocess.run(ask, cwd=HERE, capture_output=True, text=True, check=True)
    assert done.stderr == "ddpm-lite: note: this is odd\nddpm-lite: end\n"


# --- several processes


def test_what_all_processes_have_to_say_is_said_once(tmp_path, monkeypatch, capsys):
    where, local = "127.0.0.1", timedelta(seconds=30)
    server = TCPStore(where, 0, is_master=True, wait_for_workers=False, timeout=local)
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    monkeypatch.setenv("MASTER_ADDR", where)
    monkeypatch.setenv("MASTER_PORT", str(server.port))
    for rank in "012":
        monkeypatch.setenv("RANK", rank)
        assert main(["sample", str(tmp_path / "nowhere")]) == 1
        assert main(["nothing"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "nowhere" in said[0] and "'nothing'" in said[1]
    assert main(["sample", str(tmp_path / "elsewhere")]) == 1  # the last one alone
    assert "elsewhere" in capsys.readouterr().err
    monkeypatch.setenv("MASTER_PORT", "none")  # no store to ask
    assert main(["nothing"]) == 2
    assert "'nothing'" in capsys.readouterr().err
