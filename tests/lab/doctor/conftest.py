r"""A healthy run, trained once, and a copy of it to be broken."""

import shutil

import pytest
from doctor_runs import blocks, train


@pytest.fixture(scope="session")
def healthy(tmp_path_factory):
    r"""A run of 120 steps on 800 pictures, 200 set aside."""
    return train(tmp_path_factory.mktemp("doctor") / "healthy", blocks(1000), 200)


@pytest.fixture
def run(healthy, tmp_path):
    r"""A copy of the healthy run, to be broken."""
    return shutil.copytree(healthy, tmp_path / "run")
