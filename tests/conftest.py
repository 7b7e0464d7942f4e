r"""Settings for every test: threads, another machine, the same hypothesis examples.

One thread, or as many as OMP_NUM_THREADS says; DDPM_LITE_SHAKE=SEED moves the results of
arithmetic by one unit in the last place, see `shaker.py`.
"""

import os

import pytest
import shaker
import torch
from hypothesis import HealthCheck, Phase, settings

torch.backends.mps.is_available = lambda: False  # "auto" is the CPU: MPS has no float64
THREADS = int(os.environ.get("OMP_NUM_THREADS") or 1)
torch.set_num_threads(THREADS)
shaker.from_environment()


@pytest.fixture(autouse=True)
def threads():
    r"""As many threads for the next test, whatever this one has asked for."""
    yield
    torch.set_num_threads(THREADS)


settings.register_profile(
    "ddpm_lite",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=25,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)
# For the mutation suite, which asks whether a test fails and not on how little.
settings.register_profile(
    "mutation", settings.get_profile("ddpm_lite"), phases=[Phase.explicit, Phase.generate]
)
settings.load_profile("ddpm_lite")
