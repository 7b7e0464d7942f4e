r"""Settings for every test: one thread, and the same hypothesis examples every time."""

import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)

settings.register_profile(
    "ddpm_lite",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=25,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ddpm_lite")
