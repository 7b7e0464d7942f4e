r"""Run the fast core tests against many copies of the package, two at a time.

usage: python run.py JOBS, a JSON list of {"root", "tests"}. Each root holds a copy of
ddpm_lite; the answer is written to root/result.json. The libraries are imported once and
each copy is tested in a fork, which imports the package anew from its own root. A job
whose tests are null comes last: it runs the tests that have failed in the others.
"""

import gc
import json
import os
import sys
import time
import traceback
from importlib.util import find_spec
from pathlib import Path

import hypothesis.strategies
import mpmath
import numpy
import pytest
import safetensors.torch
import sklearn.datasets
import torch
import tqdm.auto

PRELOADED = (hypothesis, mpmath, numpy, safetensors, sklearn, tqdm, find_spec)
AT_ONCE = 2


class Recorder:
    r"""Remember the first failure: which test, and what kind of exception."""

    def __init__(self):
        self.passed, self.failure = 0, None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        self.passed += report.when == "call" and report.passed
        if report.failed and self.failure is None:
            kind = call.excinfo.type
            self.failure = {
                "test": report.nodeid.split("tests/")[-1],
                "kind": kind.__name__,
                "assertion": issubclass(kind, AssertionError),
            }
        return report

    def pytest_collectreport(self, report):
        if report.failed and self.failure is None:
            error = {"test": report.nodeid, "kind": "collection", "assertion": False}
            self.failure = error


def probe(root):
    r"""Assert that this copy is the one imported, and gives finite numbers end to end."""
    import warnings

    import ddpm_lite

    assert Path(ddpm_lite.__file__).parent == Path(root, "ddpm_lite"), ddpm_lite.__file__
    schedule = ddpm_lite.Schedule.cosine(20)
    x_0, noise = torch.randn(4, 2), torch.randn(4, 2)
    t = torch.tensor([1, 2, 10, 20])
    numbers = [ddpm_lite.q_sample(schedule, x_0, t, noise)]
    model = ddpm_lite.MLP(T=20, width=8, depth=2)
    numbers.append(ddpm_lite.simple_loss(model, schedule, x_0, t, noise))
    config = ddpm_lite.TrainConfig(steps=3, batch_size=4, warmup_steps=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = ddpm_lite.Trainer(model, schedule, x_0, config)
        numbers += [record.loss for record in trainer.run()]
        for sampler in ("ancestral", "ddim"):
            numbers.append(
                ddpm_lite.sample(
                    trainer.ema.model, schedule, (2, 2), sampler=sampler, progress=False
                )
            )
    assert all(torch.isfinite(n).all() for n in numbers)


def check(root, tests):
    r"""What one copy is worth: {"alive", "passed", "failure", ...}, or {"error"}.

    tests: files or single tests, which run one after the other until one fails.
    """
    sys.path.insert(0, root)
    try:
        probe(root)
    except BaseException:
        return {"alive": False, "error": traceback.format_exc(limit=-2)}
    recorder = Recorder()
    here = next(p for p in Path(root).parents if (p / "tests").is_dir())
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutation"]
    options += ["-p", "_hypothesis_pytestplugin"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # it is preloaded
    options += ["-c", str(here / "pyproject.toml"), "--rootdir", str(here)]
    code = 0
    for some in by_file(tests):  # one after the other: most mutants need the first alone
        some = [str(here / "tests" / test) for test in some]
        code = code or int(pytest.main([*options, *some], plugins=[recorder]))
    return {
        "alive": True,
        "code": code,
        "asked": len(tests),
        "passed": recorder.passed,
        "failure": recorder.failure,
        "seconds": time.process_time(),
    }


def by_file(tests):
    r"""Tests as lists, those of one file together."""
    files = {}
    for test in tests:
        files.setdefault(test.split("::")[0], []).append(test)
    return files.values()


def failed(roots):
    r"""The tests that have failed in copies, each once."""
    results = [Path(root, "result.json") for root in roots]
    made = [json.loads(path.read_text()) for path in results if path.exists()]
    return list(dict.fromkeys(one["failure"]["test"] for one in made if one.get("failure")))


def fork(job):
    r"""Test one copy in a child of this process; return its id."""
    child = os.fork()
    if child:
        return child
    try:
        root = job["root"]
        os.chdir(root)
        log = os.open("log.txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        result = check(root, job["tests"])
        sys.stdout.flush()
        Path("result.part").write_text(json.dumps(result))
        os.replace("result.part", "result.json")
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)


def main(jobs):
    torch.set_num_threads(1)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # loading them takes 3 s a copy
    torch.optim.Adam([torch.zeros(1)])  # imports half of torch, which the forks then share
    gc.freeze()
    assert "ddpm_lite" not in sys.modules
    running = 0
    for job in [job for job in jobs if job["tests"]]:
        if running == AT_ONCE:
            os.wait()
            running -= 1
        fork(job)
        running += 1
    for _ in range(running):
        os.wait()
    for job in [job for job in jobs if not job["tests"]]:
        fork(job | {"tests": failed(other["root"] for other in jobs)})
        os.wait()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
