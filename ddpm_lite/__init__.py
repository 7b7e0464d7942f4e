r"""ddpm_lite: denoising diffusion probabilistic models, small enough to be read.

The names in `__all__` are those that chapters and other people's code may rely on. Read
the paper's mathematics first, `schedule`, `process`, `loss`, `oracle`; then room by room,
each a folder for one thing that people do, in the order of `CONTENTS`.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .formats.checkpoint import load_run
    from .formats.diffusers import from_diffusers
    from .formats.networks import register_network
    from .formats.weights import load_model, load_pretrained, load_results, save_model
    from .loss import simple_loss, vlb_terms
    from .models.mlp import MLP
    from .models.unet import UNet
    from .models.unet1d import UNet1d
    from .models.unet_config import UNetConfig
    from .oracle import DataOracle, GaussianOracle, MixtureOracle
    from .process import (
        flow_from_noise,
        flow_from_x_0,
        noise_from_flow,
        noise_from_score,
        noise_from_v,
        noise_from_x_0,
        q_posterior,
        q_sample,
        q_step,
        score_from_noise,
        score_from_v,
        score_from_x_0,
        v_from_noise,
        v_from_score,
        v_from_x_0,
        x_0_from_flow,
        x_0_from_noise,
        x_0_from_score,
        x_0_from_v,
    )
    from .sampling.guidance import guided
    from .sampling.sampler import sample, sample_path
    from .sampling.spacing import timestep_pairs
    from .schedule import PriorGap, Schedule
    from .training.config import TrainConfig
    from .training.ema import EMA
    from .training.hybrid import hybrid_loss
    from .training.trainer import Trainer

__version__ = "0.4.0"

__all__ = [
    "DataOracle",
    "EMA",
    "GaussianOracle",
    "MLP",
    "MixtureOracle",
    "PriorGap",
    "Schedule",
    "TrainConfig",
    "Trainer",
    "UNet",
    "UNet1d",
    "UNetConfig",
    "flow_from_noise",
    "flow_from_x_0",
    "from_diffusers",
    "guided",
    "hybrid_loss",
    "load_model",
    "load_pretrained",
    "load_results",
    "load_run",
    "noise_from_flow",
    "noise_from_score",
    "noise_from_v",
    "noise_from_x_0",
    "q_posterior",
    "q_sample",
    "q_step",
    "register_network",
    "sample",
    "sample_path",
    "save_model",
    "score_from_noise",
    "score_from_v",
    "score_from_x_0",
    "simple_loss",
    "timestep_pairs",
    "v_from_noise",
    "v_from_score",
    "v_from_x_0",
    "vlb_terms",
    "x_0_from_flow",
    "x_0_from_noise",
    "x_0_from_score",
    "x_0_from_v",
]

# Modules and rooms in reading order, and the names that are handed on from each.
CONTENTS = {
    "schedule": ("PriorGap", "Schedule"),
    "denoiser": (),
    "process": (
        "q_step",
        "q_sample",
        "q_posterior",
        "noise_from_x_0",
        "noise_from_v",
        "noise_from_flow",
        "noise_from_score",
        "x_0_from_noise",
        "x_0_from_v",
        "x_0_from_flow",
        "x_0_from_score",
        "v_from_noise",
        "v_from_x_0",
        "v_from_score",
        "flow_from_noise",
        "flow_from_x_0",
        "score_from_noise",
        "score_from_x_0",
        "score_from_v",
    ),
    "loss": ("simple_loss", "vlb_terms"),
    "oracle": ("DataOracle", "GaussianOracle", "MixtureOracle"),
    "seeds": (),
    "checks": (),
    "figure": (),
    "drawing": (),
    "models": ("MLP", "UNetConfig", "UNet", "UNet1d"),
    "data": (),
    "sampling": ("timestep_pairs", "sample", "sample_path", "guided"),
    "formats": (
        "register_network",
        "load_model",
        "load_pretrained",
        "load_results",
        "load_run",
        "save_model",
        "from_diffusers",
    ),
    "evaluation": (),
    "training": ("EMA", "hybrid_loss", "TrainConfig", "Trainer"),
    "lab": (),
    "bench": (),
    "classroom": (),
    "commands": (),
}


def hand_on(package, contents):
    r"""The functions `__getattr__` and `__dir__` of a package that imports when asked.

    contents: {module: names}, what it hands on of its modules. A module is imported when
    it, or a name of it, is asked for the first time (PEP 562), so that `import ddpm_lite`
    stays fast, and a command can choose threads before torch is there.
    """
    home = {name: module for module, names in contents.items() for name in names}

    def get(name):
        if name in home:
            return getattr(import_module(f"{package}.{home[name]}"), name)
        if name in contents:
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names():
        return sorted({*vars(sys.modules[package]), *home, *contents})

    return get, names


__getattr__, __dir__ = hand_on(__name__, CONTENTS)
