r"""One run on a GPU that answers what only a GPU can: `python -m ddpm_lite.bench.gpu`.

Are networks, gradients and chains there what they are on the CPU, does a run go on
exactly, what are torch.compile and CUDA graphs worth, what does noise from the CPU cost,
how much of the card does training use? Every part runs in a process of its own with a
share of the time, so that an error, even one after which CUDA answers nothing, or a part
that hangs costs this part alone. Without CUDA the same code runs on the CPU at toy size.

It needs torch and what this package's modules import; diffusers and scikit-learn where
they are installed. A machine with a GPU may lack the command's tyro: hence argparse.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from ..checks import check_number
from ..formats.checkpoint import write_text
from . import gpu_checks as checks
from . import gpu_speed as speed


@dataclass(frozen=True)
class Part:
    r"""run: a function of a Setting. share: of the time. least: seconds on a card."""

    run: Callable
    share: float
    least: float


PARTS = {  # the first ones matter most: what is left of their time goes to the others
    "machine": Part(checks.machine, 25, 15),
    "checks": Part(checks.checks, 60, 30),
    "resume": Part(checks.resume, 40, 25),
    "one process": Part(checks.one_process, 35, 20),
    "compile": Part(speed.compile_step, 110, 50),
    "training": Part(speed.training, 130, 40),
    "graphs": Part(speed.graphs, 40, 20),
    "noise": Part(speed.noise, 50, 25),
    "digits": Part(speed.digits, 50, 20),
}
BAD = ("check failed", "error", "stopped")


def run(names, seconds, launch, *, toy=False, clock=time.monotonic, tell=print, keep=None):
    r"""Run parts one after the other within `seconds`. Returns results for JSON.

    names: of PARTS. launch: called as launch(name, seconds), returns (rows, trouble):
    trouble is None, or (status, why). A part gets its share of the time that is left, at
    least what it needs; where that is more than there is, it is left out. tell: called
    with lines of text. keep: called with the results after each part.
    """
    end, results = clock() + seconds, {"toy": toy, "seconds": seconds, "parts": []}
    for line in _head(results):
        tell(line)
    for position, name in enumerate(names):
        left, part = end - clock(), PARTS[name]
        shares = sum(PARTS[later].share for later in names[position:])
        least = 1 if toy else part.least
        mine = max(least, left * part.share / shares)
        result = {"part": name, "limit": round(mine, 1), "rows": [], "status": "left out"}
        if least > left:
            result["why"] = f"needs {least:.0f} s, {max(0, left):.0f} s are left"
        else:
            started = clock()
            result["rows"], trouble = launch(name, min(mine, left))
            wrong = any(row.get("ok") is False for row in result["rows"])
            result["status"] = "check failed" if wrong else "ok"
            if trouble is not None:
                result["status"], result["why"] = trouble
            result["took"] = round(clock() - started, 1)
        results["parts"].append(result)
        for line in _section(result):
            tell(line)
        if keep is not None:
            keep(results)
    tell(_end(results))
    return results


def failed(results):
    r"""Names of the parts that stopped, broke, or in which a check failed."""
    return [p["part"] for p in results["parts"] if p["status"] in BAD or _wrong(p)]


def _wrong(part):
    return any(row.get("ok") is False for row in part["rows"])


# --- a part in a process of its own


def launcher(out, toy, cache):
    r"""A function as `run` wants it: each part in a new process, which ends in time.

    out: folder for pictures. cache: folder for what torch.compile has made.
    """

    def launch(name, seconds):
        with tempfile.TemporaryDirectory() as here:
            rows, log = Path(here) / "rows", Path(here) / "log"
            module = f"{__package__}.{Path(__file__).stem}"
            command = [sys.executable, "-m", module, "--part", name, "--rows", str(rows)]
            command += ["--seconds", f"{seconds:.1f}", "--out", str(out)]
            # cuBLAS reads its variable at the first call, so it cannot be set in the part
            fixed = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
            fixed["TORCHINDUCTOR_CACHE_DIR"] = str(cache)
            with log.open("w") as output:
                process = subprocess.Popen(
                    command + ["--toy"] * toy,
                    env=os.environ | fixed,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                try:
                    code = process.wait(seconds)
                except subprocess.TimeoutExpired:
                    code = None
                finally:
                    _kill(process)
            lines = rows.read_text("utf-8").splitlines() if rows.exists() else []
            found = [json.loads(line) for line in lines if line.endswith("}")]
            if code is None:
                return found, ("stopped", f"it took longer than {seconds:.0f} s")
            if found and "trouble" in found[-1]:
                trouble = found.pop()["trouble"]
                return found, trouble and tuple(trouble)
            last = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
            return found, ("error", f"the process ended with {code}: {''.join(last)}")

    return launch


def _kill(process):
    # with the workers of torch.compile, which are in its session
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):  # all have ended
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def run_part(name, setting, write):
    r"""Run a part in this process. write: called with every row.

    Returns what is wrong as (status, why), or None.
    """
    try:
        for row in PARTS[name].run(setting):
            write(row)
        if setting.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(setting.device) / 2**30
            write(checks.number("peak memory of this part", round(peak, 2), "GiB"))
    except Exception as error:  # whatever it is, the other parts go on
        why = " ".join(str(error).split())[:400]
        return "error", f"{type(error).__name__}: {why}"
    return None


def _child(options):
    def write(row):
        with Path(options.rows).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    # a fifth is for imports, and for what cannot be told beforehand
    setting = checks.setting(0.8 * options.seconds, options.toy, options.out)
    write({"trouble": run_part(options.part, setting, write)})


# --- the page


def page(results):
    r"""The results as text, line by line."""
    yield from _head(results)
    for part in results["parts"]:
        yield from _section(part)
    yield _end(results)


def _head(results):
    where = "no CUDA here: the CPU, at toy size" if results["toy"] else "on CUDA"
    yield f"ddpm-lite's GPU run, {where}; at most {results['seconds'] / 60:.3g} minutes"


def _section(part):
    took = f", {part['took']} s of {part['limit']}" if "took" in part else ""
    why = f": {part['why']}" if "why" in part else ""
    yield f"\n{part['part']}: {part['status']}{took}{why}"
    for row in part["rows"]:
        yield "  " + _line(row)


def _line(row):
    if "said" in row:
        return row["said"]
    value = row["value"]
    if isinstance(value, dict):
        three = (value[name] for name in ("median", "low", "high"))
        value = "{:.4g} [{:.4g}, {:.4g}]".format(*three)
    elif isinstance(value, float):
        value = f"{value:.3g}"
    told = f"{row['name']:50} {value} {row['unit']}".rstrip()
    if "ok" in row:
        told += f", allowed {row['allowed']:.3g}: {'ok' if row['ok'] else 'WRONG'}"
    return told


def _end(results):
    bad = failed(results)
    out = [p["part"] for p in results["parts"] if p["status"] == "left out"]
    missing = f"; left out: {', '.join(out)}" if out else ""
    return f"\n{'NOT GOOD: ' + ', '.join(bad) if bad else 'all checks hold'}{missing}"


# --- the command


def main(arguments=None):
    r"""Run all parts, or those named; write gpu.json and gpu.txt. Returns 1 or 0."""
    first = __doc__.split("\n")[0]
    parser = argparse.ArgumentParser(prog="ddpm_lite.bench.gpu", description=first)
    add = parser.add_argument
    add("--minutes", type=float, default=9.0, help="for everything (9)")
    add("--out", default="runs/gpu", help="folder for gpu.json, gpu.txt and pictures")
    add("--only", nargs="+", choices=PARTS, default=list(PARTS), help="some parts alone")
    add("--toy", action="store_true", help="tiny, on the CPU; so it is without CUDA")
    for name in ("--part", "--rows"):
        add(name, help=argparse.SUPPRESS)
    add("--seconds", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.part:
        return _child(options)
    check_number("--minutes", options.minutes, 0)
    toy, out = options.toy or not torch.cuda.is_available(), Path(options.out)
    out.mkdir(parents=True, exist_ok=True)

    def keep(results):
        write_text(out / "gpu.json", json.dumps(results, indent=1) + "\n")
        write_text(out / "gpu.txt", "\n".join(page(results)) + "\n")

    with tempfile.TemporaryDirectory() as cache:  # compiled from nothing, then shared
        launch = launcher(out, toy, cache)
        more = dict(toy=toy, tell=partial(print, flush=True), keep=keep)
        results = run(options.only, 60 * options.minutes, launch, **more)
    print(f"written: {out / 'gpu.json'}, {out / 'gpu.txt'}")
    return int(bool(failed(results)))


if __name__ == "__main__":
    sys.exit(main())
