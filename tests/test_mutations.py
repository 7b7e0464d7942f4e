r"""The tests are tested: every classic slip in the package must make an assertion fail.

A mutant counts as caught if its text occurs exactly once, the mutant still imports and
gives finite numbers from q_sample to sample, the first test that fails does so by an
AssertionError, and all tests that have failed for a mutant pass in the unchanged copy, in
the same run.
"""

import compileall
import json
import os
import shutil
import subprocess
import sys
import time
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from mutation.mutants import MUTANTS

import ddpm_lite

PACKAGE, TESTS = Path(ddpm_lite.__file__).parent, Path(__file__).parent
FILES = ["test_schedule", "test_process", "test_oracle", "test_loss"]
FILES += ["sampling/test_sampler", "training/test_trainer", "training/test_hybrid"]
FILES += ["training/test_ema", "training/test_faster", "formats/test_verify"]
FILES += [f"formats/test_exchange_{what}" for what in ("reading", "writing", "refusals")]
FILES += ["models/test_networks", "evaluation/test_metrics", "sampling/test_solvers"]
FILES += ["sampling/test_spacing", "formats/test_exchange", "lab/test_lab"]
FILES += ["models/test_autoencoder", "formats/test_autoencoders"]
FILES += ["training/test_autoencode"]
FILES += ["formats/test_drawn_with", "sampling/test_ode", "evaluation/test_likelihood"]
FILES += ["sampling/test_inversion", "sampling/test_measurement"]
NEAREST = {
    "denoiser": "sampling/test_sampler",
    "seeds": "training/test_trainer",
    "training/batches": "training/test_trainer",
    "training/config": "training/test_trainer",
    "models/mlp": "models/test_networks",
    "formats/diffusers": "formats/test_exchange_reading",
    "formats/diffusers_files": "formats/test_exchange_reading",
    "formats/diffusers_unet": "formats/test_exchange_reading",
    "lab/exact": "lab/test_lab",
    "formats/chosen": "formats/test_drawn_with",
}
UNCHANGED = "unchanged"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_text_of_each_slip_occurs_once(mutant):
    assert (PACKAGE / f"{mutant.file}.py").read_text().count(mutant.old) == 1
    assert mutant.old != mutant.new


def test_there_are_enough_slips_with_names_of_their_own():
    assert len({m.name for m in MUTANTS}) == len(MUTANTS) >= 20
    assert len({(m.file, m.new, m.old) for m in MUTANTS}) == len(MUTANTS)


def order_of(module):
    r"""The test files, that of the module first, its room's next: most die in a second."""
    room, slash, name = module.rpartition("/")
    first = NEAREST.get(module, f"{room}{slash}test_{name}")
    assert first in FILES, first
    home = first.rpartition("/")[0]
    return sorted(FILES, key=lambda n: (n != first, n.rpartition("/")[0] != home))


def prepare(folder):
    r"""Copy tests and package, one copy for each mutant. Returns {name: root}, jobs."""
    bare = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TESTS, folder / "tests", ignore=bare)
    shutil.copy(TESTS.parent / "pyproject.toml", folder)
    compiled = folder / "compiled"  # once for all
    shutil.copytree(PACKAGE, compiled, ignore=bare)
    compileall.compile_dir(compiled, quiet=1)
    roots, jobs = {}, []
    for number, mutant in enumerate([None, *MUTANTS]):
        root = folder / f"copy{number}"
        shutil.copytree(compiled, root / "ddpm_lite")
        if mutant:
            source = root / "ddpm_lite" / f"{mutant.file}.py"
            text = source.read_text()
            assert text.count(mutant.old) == 1, mutant
            source.write_text(text.replace(mutant.old, mutant.new))
            Path(cache_from_source(source)).unlink()
        roots[mutant.name if mutant else UNCHANGED] = root
        tests = [f"{name}.py" for name in order_of(mutant.file)] if mutant else None
        jobs.append({"root": str(root), "tests": tests})
    return roots, jobs


def verdict(name, root):
    r"""(good, line of the log) for one copy."""
    file = root / "result.json"
    if not file.exists():
        return False, f"NO RESULT   {name}: see {root / 'log.txt'}"
    result = json.loads(file.read_text())
    if not result["alive"]:
        return False, f"NOT ALIVE   {name}: {result['error'].strip().splitlines()[-1]}"
    failure = result["failure"]
    if name == UNCHANGED:
        good = result["code"] == 0 and result["passed"] == result["asked"] > 20
        return good, f"{'green' if good else 'RED'}       {name}: {result}"
    if failure is None:
        return False, f"SURVIVED    {name}: {result['passed']} tests passed"
    if not failure["assertion"]:
        return False, f"NO ASSERTION {name}: {failure['kind']} in {failure['test']}"
    return True, f"caught      {name}: {failure['test']}, {result['seconds']:.1f} s"


@pytest.mark.slow
def test_every_slip_is_caught(tmp_path, capsys):
    start = time.perf_counter()
    roots, jobs = prepare(tmp_path)
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    done = subprocess.run(
        [sys.executable, TESTS / "mutation" / "run.py", tmp_path / "jobs.json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    verdicts = [verdict(name, root) for name, root in roots.items()]
    caught = sum(good for good, _ in verdicts[1:])
    lines = [line for _, line in verdicts]
    lines.append(f"{caught} of {len(MUTANTS)} in {time.perf_counter() - start:.0f} s")
    log = tmp_path / "mutations.txt"
    log.write_text("\n".join(lines) + "\n")
    with capsys.disabled():
        print(f"\n{log.read_text()}written to {log}")
    assert done.returncode == 0, done.stderr
    assert all(good for good, _ in verdicts), [line for good, line in verdicts if not good]
