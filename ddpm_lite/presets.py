r"""Named settings of the experiments that chapters, figures and commands share.

Each function returns (model, schedule, data, config), all that `Trainer` needs. The
model's initial weights are a function of `seed`.
"""

import torch

from . import data
from .convnet import ConvNet
from .mlp import MLP
from .schedule import Schedule
from .trainer import TrainConfig


def s_curve_lecture(epochs=4000, seed=0):
    r"""The lecture's S-curve experiment, with its own settings (chapter 05).

    10,000 points divided by 10 and not standardised, a sigmoid schedule of 100 steps
    that stops far from noise, ReLU with tables of embeddings, batch 128, antithetic t,
    Adam at 1e-3, clipping at 1. An epoch is 10,000 examples. The lecture defines an EMA
    with decay 0.99 and does not use it: `trainer.ema` is there to be compared.
    """
    points = data.s_curve(10_000, seed=seed, standardised=False) / 10
    config = TrainConfig(
        steps=epochs * len(points) // 128,
        batch_size=128,
        lr=1e-3,
        warmup_steps=0,
        ema_decay=0.99,
        antithetic=True,
        seed=seed,
    )
    return _seeded(MLP, seed), Schedule.sigmoid(100, 1e-5, 0.5e-2), points, config


def s_curve(seed=0):
    r"""The corrected S-curve experiment (chapter 05): 47,042 weights, 3,000 updates.

    Standardised points, a cosine schedule of 100 steps that ends in noise, waves of t
    instead of tables, large batches, a learning rate that falls to 0, and the EMA used.
    """
    config = TrainConfig(
        steps=3000,
        batch_size=1024,
        lr=3e-3,
        warmup_steps=100,
        decay_lr=True,
        ema_decay=0.995,
        seed=seed,
    )
    model = _seeded(MLP, seed, T=100, width=96, embedding="sinusoid", activation="silu")
    return model, Schedule.cosine(100), data.s_curve(10_000, seed=seed), config


def digits(steps=1500, seed=0):
    r"""A small network on scikit-learn's 8 by 8 digits: what `make run` trains."""
    config = TrainConfig(
        steps=steps,
        batch_size=64,
        lr=2e-3,
        warmup_steps=100,
        decay_lr=True,
        ema_decay=0.999,
        seed=seed,
    )
    model = _seeded(ConvNet, seed, T=1000, width=32)
    return model, Schedule.linear(1000), data.digits("train")[0], config


def _seeded(network, seed, **settings):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network(**settings)
