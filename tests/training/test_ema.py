r"""The average of the weights."""

import pytest
import torch
from helpers import close, normal
from trainers import make, weights

from ddpm_lite import EMA
from ddpm_lite.seeds import generator_for


@pytest.mark.parametrize("warmup", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_ema_is_the_formula(warmup, decay):
    model = torch.nn.Linear(3, 2).double()
    ema = EMA(model, decay, warmup)
    average, share = weights(model), 1.0
    for n in range(30):
        with torch.no_grad():
            for k, p in enumerate(model.parameters()):
                p.copy_(normal(*p.shape, seed=100 * n + k))
        ema.update(model)
        d = min(decay, (1 + n) / (10 + n)) if warmup else decay
        average, share = d * average + (1 - d) * weights(model), share * d
        close(weights(ema.model), average, atol=1e-14)
        assert ema.updates == n + 1 and ema.initial_share == pytest.approx(share, rel=1e-12)
    if decay == 0:
        close(weights(ema.model), weights(model))


def test_ema_copies_buffers_and_is_apart():
    model = torch.nn.BatchNorm1d(2)
    ema = EMA(model, 0.99)
    model(torch.randn(8, 2, generator=generator_for(1)))
    assert not torch.equal(ema.model.running_mean, model.running_mean)
    ema.update(model)
    assert torch.equal(ema.model.running_mean, model.running_mean)
    assert torch.equal(ema.model.num_batches_tracked, model.num_batches_tracked)
    assert not ema.model.training and model.training
    assert not any(p.requires_grad for p in ema.model.parameters())
    own = {p.data_ptr() for p in model.parameters()}
    assert not own & {p.data_ptr() for p in ema.model.parameters()}


def test_the_trainer_keeps_the_average():
    trainer, averages = make(ema_decay=0.9), []
    average = weights(trainer.model).double()
    for n, _ in enumerate(trainer.run(6)):
        d = min(0.9, (1 + n) / (10 + n))
        average = d * average + (1 - d) * weights(trainer.model).double()
        averages.append(weights(trainer.ema.model))
        close(averages[-1].double(), average, rtol=1e-5, atol=1e-6)
    assert not torch.equal(averages[-1], weights(trainer.model))
    assert (averages[-1] - weights(make().model)).abs().max() > 1e-3
    assert trainer.ema.decay == 0.9 and trainer.ema.warmup
