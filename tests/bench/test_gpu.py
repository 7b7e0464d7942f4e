r"""The run for a GPU, at toy size on the CPU: what it yields, and what it survives."""

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
import torch
from helpers import close

from ddpm_lite.bench import gpu, gpu_checks, gpu_speed
from ddpm_lite.bench.contestants import PICTURES
from ddpm_lite.bench.gpu import PARTS, Part
from ddpm_lite.bench.gpu_checks import check, number, said

NUMBERS = {  # of each part, something that no other part tells
    "machine": "product of 256 x 256, bfloat16",
    "checks": "gradient, bfloat16",
    "resume": "weights, Adam, EMA, deterministic",
    "one process": "losses with gloo",
    "compile": "first call",
    "training": "ours, of products in float32",
    "graphs": f"{PICTURES} pictures, eager",
    "noise": "noise from the CPU, share",
    "digits": "losses, means of tenths",
}


def here(out, toy, cache):
    r"""A launcher without processes."""

    def launch(name, seconds):
        rows = []
        setting = gpu_checks.setting(seconds, True, out)
        return rows, gpu.run_part(name, setting, rows.append)

    return launch


@pytest.mark.filterwarnings("ignore")  # of what torch.compile imports
def test_every_part_gives_its_numbers(tmp_path, monkeypatch, capsys):
    # a compiler would take minutes
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.setattr(gpu, "launcher", here)
    assert gpu.main(["--toy", "--out", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    assert [part["part"] for part in results["parts"]] == list(PARTS) == list(NUMBERS)
    assert {part["status"] for part in results["parts"]} == {"ok"}
    for part in results["parts"]:
        assert NUMBERS[part["part"]] in [row.get("name") for row in part["rows"]]
    rows = {
        row["name"]: row for p in results["parts"] for row in p["rows"] if "name" in row
    }
    assert 0 < rows["output, float32"]["value"] < rows["output, bfloat16"]["value"]
    assert rows["product of 256 x 256, float32"]["value"]["median"] > 0
    assert len(rows["losses, means of tenths"]["value"]) == 10
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")
    shown, page = capsys.readouterr().out, (tmp_path / "gpu.txt").read_text("utf-8")
    assert page.strip() in shown and "CPU, at toy size" in page
    assert "CUDA graphs: not here: no CUDA" in page and page.endswith("checks hold\n")
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.distributed.is_initialized()


def test_one_failure_leaves_the_others(tmp_path, monkeypatch, capsys):
    def broken(s):
        yield number("before", 1.5)
        raise RuntimeError("CUDA error: an illegal\nmemory access")

    def wrong(s):
        yield check("gap", 2e-3, 1e-3)
        yield number("after", [1, 2])

    def good(s):
        yield said("a word")
        yield check("gap", 1e-3, 1e-3)

    for name, part in {"a": broken, "b": wrong, "c": good}.items():
        monkeypatch.setitem(PARTS, name, Part(part, 1, 1))
    monkeypatch.setattr(gpu, "launcher", here)
    command = ["--toy", "--out", str(tmp_path), "--only"]
    assert gpu.main([*command, "a", "b", "c"]) == 1
    a, b, c = json.loads((tmp_path / "gpu.json").read_text("utf-8"))["parts"]
    assert a["status"] == "error" and a["rows"] == [number("before", 1.5)]
    assert a["why"] == "RuntimeError: CUDA error: an illegal memory access"
    assert b["status"] == "check failed" and len(b["rows"]) == 2
    assert c["status"] == "ok" and len(c["rows"]) == 2
    shown = capsys.readouterr().out
    assert "NOT GOOD: a, b\n" in shown and "allowed 0.001: WRONG" in shown
    assert gpu.main([*command, "c"]) == 0
    assert gpu.main([*command, "a", "c"]) == gpu.main([*command, "b"]) == 1


def test_a_check_holds_up_to_what_is_allowed():
    assert check("gap", 1e-3, 1e-3)["ok"] and check("gap", 0, 0)["ok"]
    assert not check("gap", 1.001e-3, 1e-3)["ok"]
    assert not check("gap", math.nan, 1)["ok"]


@pytest.mark.parametrize("speed", [0.5, 1.0])
def test_the_budget_is_kept(speed):
    now, seen = [1000.0], []

    def launch(name, seconds):
        seen.append((name, seconds))
        now[0] += speed * seconds  # at 1.0 every part takes all that it may
        return [], None

    more = dict(clock=lambda: now[0], tell=lambda line: None)
    results = gpu.run(list(PARTS), 540, launch, **more)
    assert now[0] <= 1540 and [name for name, _ in seen] == list(PARTS)
    for name, seconds in seen:  # what an earlier part leaves over is a later one's
        assert seconds >= (PARTS[name].share - 1e-6 if speed == 1 else PARTS[name].least)
    assert gpu.failed(results) == []


def test_what_does_not_fit_is_left_out():
    now, seen, kept = [0.0], [], []

    def launch(name, seconds):
        seen.append(name)
        now[0] += seconds
        return [], ("stopped", "it took longer")

    more = dict(clock=lambda: now[0], tell=lambda line: None)
    more["keep"] = lambda results: kept.append(len(results["parts"]))
    results = gpu.run(list(PARTS), 60, launch, **more)
    assert now[0] <= 60 and kept == list(range(1, len(PARTS) + 1))
    assert seen == ["machine", "checks"] and gpu.failed(results) == seen
    out = {p["part"]: p["why"] for p in results["parts"] if p["status"] == "left out"}
    assert out["compile"] == "needs 50 s, 15 s are left"
    assert list(out) == list(PARTS)[2:]
    assert "left out: resume, one process" in list(gpu.page(results))[-1]


def test_a_part_in_a_process_of_its_own(tmp_path, monkeypatch):
    launch = gpu.launcher(tmp_path, True, tmp_path)
    rows, trouble = launch("machine", 100)
    assert trouble is None and rows[0]["name"] == "torch"
    rows, trouble = launch("machine", 0.05)
    assert rows == [] and trouble == ("stopped", "it took longer than 0 s")
    monkeypatch.setattr(gpu.sys, "executable", "/bin/false")
    rows, trouble = launch("machine", 100)
    assert rows == [] and trouble == ("error", "the process ended with 1: ")


def test_the_module_needs_no_more_than_a_machine_with_a_gpu_has():
    # not tyro, which the command line needs, nor what is only there for a part
    code = """
import sys
for name in ("tyro", "sklearn", "diffusers", "datasets", "scipy"):
    sys.modules[name] = None
from ddpm_lite.bench import gpu
sys.exit(gpu.main(["--help"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "--minutes" in done.stdout


def test_without_scikit_learn_the_shipped_model_draws_the_digits(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    x_0, y, levels = gpu_speed._digits(gpu_checks.setting(1, True, tmp_path))
    assert x_0.shape == (500, 1, 8, 8) and x_0.dtype == torch.uint8 and levels == 17
    assert x_0.max() == 16 and y.bincount().tolist() == [50] * 10


def test_settings_of_torch_are_put_back():
    switches = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [switch.allow_tf32 for switch in switches]
    for on, fails in itertools.product((False, True), repeat=2):
        with pytest.raises(ZeroDivisionError) if fails else nullcontext():
            with gpu_checks.tf32(on), gpu_checks.deterministic():
                assert [switch.allow_tf32 for switch in switches] == [on, on]
                assert torch.are_deterministic_algorithms_enabled()
                assert 1 / (not fails)
    assert [switch.allow_tf32 for switch in switches] == before
    assert not torch.are_deterministic_algorithms_enabled()


class Graph:
    r"""In the place of a CUDA graph: it calls again what was called in its capture."""

    def replay(self):
        self.played.answer.copy_(self.played.model(self.played.x_t, self.played.t))


def test_a_replayed_network_reads_what_it_is_given(monkeypatch):
    # no graph can be captured here; what is left is which numbers go in and out
    class Stream:
        def __init__(self, device):
            pass

        def wait_stream(self, other):
            pass

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", nullcontext)
    task = gpu_speed.make_task(gpu_checks.TINY, 1)
    model = task.model.eval().requires_grad_(False)
    shape = gpu_speed.PICTURES, *gpu_checks.TINY.sample_shape
    played = gpu_speed.Replayed(model, shape, "float32")
    played.graph.played, played.model = played, model
    eager, graph = (gpu_speed.our_chain(task, m)(3) for m in (model, played))
    assert eager.shape == shape
    # The layout of x_t may differ, so the order of sums may: 3 steps of float32 roundings.
    close(eager, graph, rtol=0, atol=1e-4)
    first = played(torch.zeros(shape), torch.ones(shape[0], dtype=torch.int64))
    kept = first.clone()
    played(torch.ones(shape), torch.ones(shape[0], dtype=torch.int64))
    assert torch.equal(first, kept)  # an answer is not written over


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
@pytest.mark.parametrize("there", [True, False])
def test_make_gpu_uses_the_environment_or_else_any_python(tmp_path, there):
    if there:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "python").touch()
        (tmp_path / ".ready").touch()
    root = Path(__file__).parents[2]
    command = ["make", "-n", "gpu", f"VENV={tmp_path}", "PYTHON=some-python"]
    # without what a make around this test has left: its flags and its level
    own = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    options = dict(capture_output=True, text=True, check=True, env=own)
    done = subprocess.run(command, cwd=root, **options)
    python = f"{tmp_path}/bin/python" if there else "some-python"
    assert done.stdout.strip().endswith(f"{python} -m ddpm_lite.bench.gpu")
