r"""A small run on digits, made once: who changes it takes a copy."""

import shutil

import pytest

from ddpm_lite.commands.main import main

TINY = "--width 8 --groups 4 --batch-size 4 --sample-every 0 --sample-steps 2 --log-every 1"


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    r"""The folder of a run of two steps."""
    run = tmp_path_factory.mktemp("tiny") / "run"
    options = [*TINY.split(), "--steps", "2", "--device", "cpu", "--threads", "1"]
    assert main(["train", "digits", *options, "--out", str(run)]) == 0
    return run


@pytest.fixture
def own_run(tiny_run, tmp_path):
    r"""A copy of it, to be changed."""
    return shutil.copytree(tiny_run, tmp_path / "run")
