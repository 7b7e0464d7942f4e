r"""Settings for every test: one thread, and the same hypothesis examples every time."""

import torch
from hypothesis import HealthCheck, Phase, settings

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
# For the mutation suite, which asks whether a test fails and not on how little.
settings.register_profile(
    "mutation", settings.get_profile("ddpm_lite"), phases=[Phase.explicit, Phase.generate]
)
settings.load_profile("ddpm_lite")
