r"""A folder of diffusers, written once."""

import pytest


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    r"""A good folder; each test that breaks one file of it puts it back."""
    from diffusers_folders import write  # skips where there is no diffusers

    folder = tmp_path_factory.mktemp("pipeline")
    write(folder)
    return folder
