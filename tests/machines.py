r"""Tests and chapters on simulated machines: `python tests/machines.py [NAME ...]`.

Without names: all machines of the table. `--table` says which of their settings change
numbers here at all, `--part` is what `make test` runs. A machine is a set of environment
variables, which PyTorch's three libraries read when they are loaded:

ATEN_CPU_CAPABILITY   the kernels of PyTorch itself: exp, sums, softmax, linspace, random
                      numbers of float32; for all CPUs of x86
ONEDNN_MAX_CPU_ISA    oneDNN: convolutions, gelu
MKL_CBWR              MKL: matrix products, eigenvalues; on Intel's CPUs also sin, cos, exp
                      and log of float64, which MKL computes in one way on all others
OMP_NUM_THREADS       how many parts a sum has
DDPM_LITE_SHAKE       `shaker.py`, for what no variable reaches, and for ARM

What they really change depends on the CPU: the table is measured, by a fixed set of
operations in a process of its own for each machine, against one without variables. On an
AMD CPU with AVX-512, for example, "default" changes most of what it is named for above;
"avx2" softmax and attention; any ISA below AVX-512 convolutions of float32; COMPATIBLE all
matrix products, every other value of MKL_CBWR only those with a vector and eigenvalues; a
second thread sums of float64, silu and eigenvalues; nothing at all sin, cos, exp and log.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
MACHINES = {
    "this": {},
    "sse": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
    },
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_CBWR": "AVX2",
    },
    "avx512": {
        "ATEN_CPU_CAPABILITY": "avx512",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
        "MKL_CBWR": "AVX512",
    },
    "shaken-1": {"DDPM_LITE_SHAKE": "1"},
    "shaken-2": {"DDPM_LITE_SHAKE": "2"},
}
MACHINES |= {  # the same with two threads
    f"{name}-two": variables | {"OMP_NUM_THREADS": "2"}
    for name, variables in MACHINES.items()
    if name != "shaken-2"
}
OURS = {"OMP_NUM_THREADS"}.union(*MACHINES.values())
# What costs little and sees much: exact tables, the chain, the networks, and the chapter
# that once held on the machine it was written on alone, where there is no SSE either.
PART = {
    "sse": ("schedule process loss oracle spacing solvers hybrid distributed", ["08"]),
    "shaken-1": ("schedule process oracle networks", ["02", "08"]),
}


def environment(name):
    r"""The variables of a process on a machine: this process' own, but for those above."""
    kept = {key: value for key, value in os.environ.items() if key not in OURS}
    return kept | {"OMP_NUM_THREADS": "1"} | MACHINES[name]


def cannot(name):
    r"""Why this CPU cannot be that machine, "" if it can: kernels that it lacks end it."""
    import torch

    wish = MACHINES[name].get("ATEN_CPU_CAPABILITY", "")
    if wish and platform.machine().lower() not in ("x86_64", "amd64"):
        return f"these variables do nothing on {platform.machine()}"
    levels = ["default", "avx2", "avx512"]
    mine = torch.backends.cpu.get_cpu_capability().lower()
    if wish in levels[1:] and (
        mine not in levels or levels.index(wish) > levels.index(mine)
    ):
        return f"this CPU has no {wish}"
    return ""


def operations():
    r"""What the fingerprint is made of: {name: numbers}, from fixed arguments."""
    import torch
    from torch.nn import functional as F

    found = {}
    for dtype in (torch.float32, torch.float64):
        generator = torch.Generator().manual_seed(0)
        x = (torch.arange(100_003) % 7919).to(dtype) / 7919 + 0.1
        a = (torch.arange(60_000) % 211 - 105).to(dtype).reshape(200, 300) / 97
        b = (torch.arange(45_000) % 199 - 99).to(dtype).reshape(300, 150) / 89
        h = (torch.arange(18_432) % 157 - 78).to(dtype).reshape(8, 16, 12, 12) / 61
        w = (torch.arange(3_456) % 101 - 50).to(dtype).reshape(24, 16, 3, 3) / 53
        q = a.reshape(1, 4, 150, 100) / 10
        numbers = {name: getattr(x, name)() for name in ELEMENTARY}
        numbers |= {name: getattr(x, name)() for name in ("sum", "var", "norm")}
        numbers |= {
            "sigmoid": x.sigmoid(),
            "softmax": a.softmax(1),
            "cumsum": x.cumsum(0),
            "linspace": torch.linspace(1e-4, 0.02, 1000, dtype=dtype),
            "randn": torch.randn(1000, generator=generator, dtype=dtype),
            "matrix product": a @ b,
            "matrix times vector": a @ b[:, 0],
            "eigenvalues": torch.linalg.eigvalsh(a @ a.T),
            "convolution": F.conv2d(h, w, padding=1),
            "group norm": F.group_norm(h, 4),
            "attention": F.scaled_dot_product_attention(q, q, q),
            "silu": F.silu(a),
        }
        found |= {f"{name} {dtype.itemsize * 8}": v for name, v in numbers.items()}
    return found


ELEMENTARY = ["exp", "log", "sin", "cos", "expm1", "log1p", "erf", "sqrt"]


def fingerprint():
    r"""{operation: a hash of its bits}; a subset of torch's work, under these variables."""
    import shaker
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    shaker.from_environment()
    return {
        name: hashlib.sha1(value.contiguous().numpy().tobytes()).hexdigest()
        for name, value in operations().items()
    }


def fingerprint_of(name):
    r"""The fingerprint of a machine, taken in a process of its own."""
    command = [sys.executable, __file__, "--fingerprint"]
    done = subprocess.run(command, env=environment(name), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def changed():
    r"""Yield for each machine its name and, in words, whose bits are unlike "this"."""
    here = fingerprint_of("this")
    for name in MACHINES:
        if cannot(name):
            yield name, f"cannot be simulated: {cannot(name)}"
            continue
        there = fingerprint_of(name)
        keys = [key for key in here if here[key] != there[key]]
        yield name, f"changes {', '.join(keys) or 'nothing here'}"


def show():
    r"""Print what `changed` finds."""
    for name, words in changed():
        print(f"{name:12} {' '.join(f'{k}={v}' for k, v in MACHINES[name].items())}")
        print(f"{'':12} {words}", flush=True)


def run(name, command, beside=False):
    r"""Run a command on a machine. Returns (line of the report, whether it was good).

    beside: whether another one runs meanwhile; what it prints then comes at its end.
    """
    begin = time.perf_counter()
    kept = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if beside else {}
    done = subprocess.run(command, cwd=ROOT, env=environment(name), text=True, **kept)
    named = " ".join(["chapters", *command[3:]])  # behind Python, chapters.py and a folder
    what = named if "chapters.py" in str(command) else "unit tests"
    verdict = "green" if done.returncode == 0 else "RED"
    seconds = time.perf_counter() - begin
    line = f"{name:12} {what:11} {verdict:5} {seconds:5.0f} s"
    print(f"{done.stdout or ''}{line}", flush=True)
    return line, done.returncode == 0


def commands(tests, chapters, folder):
    r"""The commands for chapters, and for unit tests, all or those of some files.

    Named chapters are a command each, to run beside others; all of them are one, which
    runs two at a time by itself.
    """
    for some in [[chapter] for chapter in chapters] or [[]]:
        own = tempfile.mkdtemp(dir=folder)
        yield [sys.executable, str(HERE / "chapters.py"), own, *some]
    files = [str(p) for name in tests.split() for p in HERE.rglob(f"test_{name}.py")]
    pytest = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", *(files or [HERE])]
    yield [*pytest, "-p", "no:cacheprovider"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(MACHINES)}; all if none")
    parser.add_argument(
        "--table", action="store_true", help="say what changes numbers here"
    )
    parser.add_argument("--part", action="store_true", help="the part that make test runs")
    parser.add_argument("--fingerprint", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.names) - set(MACHINES)
    if unknown:
        parser.error(f"there is no machine {', '.join(unknown)}; {', '.join(MACHINES)}")
    if options.fingerprint:
        print(json.dumps(fingerprint()))
        return
    if options.table:
        show()
        return
    work = PART if options.part else dict.fromkeys(options.names or MACHINES, ("", []))
    left_out = {name: why for name in work if (why := cannot(name))}
    report = [f"{name:12} left out: {why}" for name, why in left_out.items()]
    with tempfile.TemporaryDirectory() as folder:
        jobs = [
            (name, command)
            for name, (tests, chapters) in work.items()
            if name not in left_out
            for command in commands(tests, chapters, folder)
        ]
        if options.part:  # one process each, two at a time; chapters first, they are long
            jobs.sort(key=lambda job: "pytest" in job[1])
        with ThreadPoolExecutor(2 if options.part else 1) as pool:
            done = list(pool.map(lambda job: run(*job, beside=options.part), jobs))
    report += [line for line, _ in done]
    print("\n" + "\n".join(report))
    if not done:
        print("nothing ran: name a machine that this CPU can be")
    sys.exit(not (done and all(good for _, good in done)))


if __name__ == "__main__":
    main()
