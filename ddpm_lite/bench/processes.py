r"""What the benchmark measures in processes of their own: memory, start-up, neighbours."""

import json
import math
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import torch

from ..formats.diffusers import to_diffusers
from ..formats.weights import Pretrained, save_model
from ..models.unet_config import PRESETS, UNetConfig
from .clock import spread
from .contestants import LIBRARIES, absent, make_task

START = {  # a first picture, as a program of its own: what it imports, and what it does
    "ours": (
        "import ddpm_lite",
        "run = ddpm_lite.load_model(told['file'])\n"
        "ddpm_lite.sample(run.model, run.schedule, (1, 1, 8, 8), sampler='ddim', steps=10,"
        " clip=(-1, 1), progress=False)\n",
    ),
    "diffusers": (
        "from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel",
        "unet = UNet2DModel.from_pretrained(told['folder'] + '/unet')\n"
        "scheduler = DDIMScheduler.from_pretrained(told['folder'] + '/scheduler')\n"
        "run = DDIMPipeline(unet=unet, scheduler=scheduler)\n"
        "run.set_progress_bar_config(disable=True)\n"
        "run(batch_size=1, num_inference_steps=10)\n",
    ),
}
WARM = 4.0  # seconds at the start of a run that do not count beside a neighbour


def child(code, **values):
    r"""Run Python code in a new process with `told`, the values, and `report(values)`.

    Returns what it reported. Raises RuntimeError with the last line of its error.
    """
    start = "import json, sys\ntold = json.load(sys.stdin)\n"
    start += "report = lambda **values: print(json.dumps(values))\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", start + code],
        input=json.dumps(values | {"threads": torch.get_num_threads()}),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"a process of the benchmark failed: {last}")
    return json.loads(done.stdout.splitlines()[-1])


def memory(task, library):
    r"""Peak memory in GB of two training steps in a new process, and how it was found.

    Returns what `peak` does, or {"said"} where that process failed.
    """
    code = "from ddpm_lite.bench import processes\nreport(**processes.peak(**told))"
    settings = dict(config=task.config.as_dict(), batch=task.batch, library=library)
    where = dict(device=str(task.device), precision=task.precision)
    try:
        return child(code, **settings, **where)
    except RuntimeError as error:  # such as a machine without enough memory
        return {"said": f"not measured: {error}"}


def peak(config, batch, library, device, precision, threads):
    r"""What `memory` runs in its process: {"peak_gb", "above_start_gb", "found"}.

    above_start_gb: without what Python, torch and the libraries hold before the contestant
    is built. On CUDA both are of torch's own memory on the card.
    """
    torch.set_num_threads(threads)
    least = UNetConfig(size=4, width=4, multipliers=(1,), attention=(), groups=2)
    small = make_task(least, 1, device, precision)
    LIBRARIES[library](small).step()  # all imports, and nothing that fills memory
    task = make_task(UNetConfig(**config), batch, device, precision)
    before, found = _resident(task.device)
    step = LIBRARIES[library](task).step
    for _ in range(2):
        step()
    after, _ = _resident(task.device)
    return {"peak_gb": after, "above_start_gb": after - before, "found": found}


def _resident(device):
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9, "torch's own, on the card"
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would count the parent's memory before exec too
        lines = status.read_text().splitlines()
        high = next(line for line in lines if line.startswith("VmHWM"))
        return int(high.split()[1]) * 1024 / 1e9, "VmHWM, resident memory"
    import resource  # which Windows does not have

    high = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    return high * unit / 1e9, "ru_maxrss, resident memory"


def start_up(found, rounds):
    r"""Seconds of new processes: torch, the library over it, a first picture over that.

    The picture is one of 8 x 8 in ten steps, its weights are read from a file. found:
    what `peers` returned. Returns {library: {"torch", "library", "first_picture"}}, each
    a list with an entry for each round, of the libraries that are here.
    """
    libraries = [n for n in START if n == "ours" or not absent(found[n])]
    times = {name: [] for name in libraries}
    task = make_task(PRESETS["digits"], 1)
    config = {"unet": task.config.as_dict()}
    with tempfile.TemporaryDirectory() as here:
        file, folder = Path(here) / "model.safetensors", Path(here) / "pipeline"
        save_model(file, task.model, task.schedule, config)
        to_diffusers(Pretrained(task.model, task.schedule, config), folder)
        for _ in range(1 + rounds):
            for name in libraries:
                lines = ("import torch", *START[name])
                clock = "import time\nlaps = [time.perf_counter()]\n"
                lap = "\nlaps.append(time.perf_counter())\n"
                code = clock + lap.join(lines) + lap + "report(laps=laps)"
                laps = child(code, file=str(file), folder=str(folder))["laps"]
                times[name].append([b - a for a, b in pairwise(laps)])
    kinds = ("torch", "library", "first_picture")
    return {
        name: dict(zip(kinds, map(list, zip(*each[1:], strict=True)), strict=True))
        for name, each in times.items()
    }


def neighbour(preset, seconds=10.0, most=math.inf):
    r"""How much slower `ddpm-lite train PRESET` is while another program takes a core.

    Everything is left as it is by default, the number of threads too. Three runs, quiet,
    beside a program that computes without end, and quiet again, of `seconds` each after
    the first few, which do not count; shorter ones if all would take more than `most`.
    Returns {"batch", "quiet", "loaded", "slow_down", "said"}: seconds of a step, and loaded
    over quiet, low and high over either quiet run; or {"said"} where there was no time.
    """
    start, runs, extra = time.perf_counter(), [], 5.0  # to start and to end a run
    with tempfile.TemporaryDirectory() as here:
        data = "digits" if preset == "digits" else _random_pictures(preset, here)
        for number, beside in enumerate((nullcontext, _busy, nullcontext)):
            left = most - (time.perf_counter() - start)
            here_most = min(seconds, left / (3 - number) - WARM - extra)
            if here_most < 1:
                return {"said": "not measured: no time"}
            before = time.perf_counter()
            with beside():
                run = Path(here) / f"run_{number}"
                try:
                    runs.append(_steps(preset, data, run, WARM + here_most))
                except RuntimeError as error:  # such as a machine without scikit-learn
                    return {"said": f"not measured: {error}"}
            extra = max(extra, time.perf_counter() - before - WARM - here_most)
    batch, (before, loaded, after) = runs[0][0], [steps for _, steps in runs]
    if not (before and loaded and after):
        return {"said": f"not measured: no step after {WARM:g} s"}
    quiet, beside = before + after, median(loaded)
    times = [beside / median(steps) for steps in (quiet, before, after)]
    row = {"batch": batch, "quiet": spread(quiet), "loaded": spread(loaded), "said": ""}
    slow_down = {"median": times[0], "low": min(times), "high": max(times)}
    return row | {"slow_down": {k: round(v, 3) for k, v in slow_down.items()}}


def _random_pictures(preset, here):
    # the step does not ask what is on them
    C, *H_W = PRESETS[preset].sample_shape
    pictures = np.random.default_rng(0).integers(0, 256, (256, *H_W, C), np.uint8)
    np.save(Path(here) / "pictures.npy", pictures)
    return str(Path(here) / "pictures.npy")


def _steps(preset, data, run, seconds):
    r"""Train for some seconds in a new process. Returns the batch and seconds of steps."""
    options = ["--data", data, "--out", str(run), "--log-every", "1", "--json"]
    options += ["--save-every", "1000000", "--sample-every", "0"]
    options += ["--max-minutes", str(seconds / 60)]
    command = [sys.executable, "-W", "ignore", "-m", "ddpm_lite", "train", preset]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"a process of the benchmark failed: {last}")
    batch = json.loads((run / "config.json").read_text("utf-8"))["train"]["batch_size"]
    lines = (run / "timing.jsonl").read_text("utf-8").splitlines()
    steps = [batch / json.loads(line)["examples_per_second"] for line in lines]
    return batch, _after(WARM, steps)


def _after(seconds, steps):
    r"""Leave out the steps that end within the first seconds, given what each took."""
    ends = np.cumsum(steps)
    return [step for step, end in zip(steps, ends, strict=True) if end > seconds]


@contextmanager
def _busy():
    r"""Another program that keeps one core busy, for a while, ten minutes at most."""
    spin = "import time\nend = time.time() + 600\nwhile time.time() < end: pass"
    other = subprocess.Popen([sys.executable, "-c", spin])
    try:
        yield other
    finally:
        other.kill()
        other.wait()
