r"""Small trainers, on points and on pictures."""

import torch
from helpers import normal, some_schedules

from ddpm_lite import MLP, TrainConfig, Trainer
from ddpm_lite.models.unet import UNet
from ddpm_lite.seeds import generator_for

SHORT = some_schedules()["cosine-10"]
QUICK = dict(steps=10, batch_size=16, lr=1e-2, warmup_steps=0)
TINY = dict(size=4, channels=1, width=4, multipliers=(1,), blocks=1, attention=())
TINY |= dict(groups=2, dropout=0.0, T=10, zero_init=False)


def make(data=None, model=None, schedule=SHORT, seed=0, y=None, levels=256, **settings):
    torch.manual_seed(0)
    model = MLP(T=schedule.T, width=8, depth=2) if model is None else model
    data = normal(50, 2, seed=seed).float() if data is None else data
    config = TrainConfig(**QUICK | settings)
    return Trainer(model, schedule, data, config, y=y, levels=levels)


def tiny(**settings):
    torch.manual_seed(0)
    return UNet(**TINY | settings)


def bytes_of(*shape, levels=256):
    r"""Random grey levels, uint8, a function of the shape."""
    generator = generator_for(len(shape), *shape)
    return torch.randint(levels, shape, generator=generator).to(torch.uint8)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])
