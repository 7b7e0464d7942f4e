r"""ddpm_lite: denoising diffusion probabilistic models, small enough to be read.

The names below are those that chapters and other people's code may rely on. Read the
modules in this order: data, schedule, process, oracle, mlp, unet, loss, ema, trainer,
spacing, solvers, sampler, metrics; then fit, experiment and cli, which put them together.
"""

from .checkpoint import load_model, load_pretrained, load_results, load_run, save_model
from .diffusers_format import from_diffusers
from .ema import EMA
from .hybrid import hybrid_loss
from .loss import simple_loss, vlb_terms
from .mlp import MLP
from .oracle import DataOracle, GaussianOracle, MixtureOracle
from .process import (
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
    x_0_from_noise,
    x_0_from_score,
    x_0_from_v,
)
from .sampler import sample, sample_path
from .schedule import PriorGap, Schedule
from .spacing import timestep_pairs
from .trainer import TrainConfig, Trainer
from .unet import UNet, UNetConfig

__version__ = "0.2.0"

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
    "UNetConfig",
    "from_diffusers",
    "hybrid_loss",
    "load_model",
    "load_pretrained",
    "load_results",
    "load_run",
    "noise_from_score",
    "noise_from_v",
    "noise_from_x_0",
    "q_posterior",
    "q_sample",
    "q_step",
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
    "x_0_from_noise",
    "x_0_from_score",
    "x_0_from_v",
]
