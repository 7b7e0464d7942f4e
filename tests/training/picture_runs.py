r"""Small runs on pictures of noise, for tests of what stands around the training."""

from dataclasses import replace

import numpy as np
import torch

from ddpm_lite import UNetConfig
from ddpm_lite.data.pictures import PictureSet
from ddpm_lite.training.config import TrainConfig
from ddpm_lite.training.presets import RunConfig

NETWORK = UNetConfig.preset(
    "digits", width=8, multipliers=(1,), attention=(), groups=4, T=20
)
TRAINING = TrainConfig(steps=1, batch_size=4, sample_every=0)
SMALL = RunConfig(unet=NETWORK, train=TRAINING, sample_steps=2, schedule="cosine")


def of(classes):
    return replace(SMALL, unet=replace(NETWORK, classes=classes))


def a_set(n, seed=0, y=None, **more):
    pictures = np.random.default_rng(seed).integers(0, 256, (n, 1, 8, 8), np.uint8)
    return PictureSet(torch.from_numpy(pictures), y, **more)
