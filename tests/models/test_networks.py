r"""The networks: sizes, what they are given, and what they refuse (see test_unet too)."""

import pytest
import torch
from helpers import EXACT, close

from ddpm_lite import MLP, UNet, UNetConfig
from ddpm_lite.models.mlp import sinusoidal_embedding


def make(name, **settings):
    torch.manual_seed(0)
    if name == "UNet":
        config = UNetConfig.preset("digits", T=100, width=8, groups=4, **settings)
        model = UNet(config)
        with torch.no_grad():  # its zero convolutions would hide everything else
            for p in model.parameters():
                p.add_(0.05 * torch.randn_like(p))
        return model, (1, 8, 8)
    return MLP(T=100, embedding=name, width=16, **settings), (2,)


NETWORKS = pytest.mark.parametrize("name", ["table", "sinusoid", "UNet"])


def batch(sample_shape, B=5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x_t = torch.randn(B, *sample_shape, generator=generator)
    return x_t, torch.tensor([1, 2, 50, 99, 100])[:B]


def count(model):
    return sum(p.numel() for p in model.parameters())


def test_numbers_of_parameters():
    lecture = count(MLP(T=100))
    assert lecture == 72_066  # 2 x 128 x 128 x 128 x 2, 3 tables
    assert lecture == (2 * 128 + 128) + 2 * (128**2 + 128) + (128 * 2 + 2) + 3 * 12_800
    assert count(MLP(embedding="sinusoid", width=96)) == 47_042


@NETWORKS
def test_shape_dtype_and_contract(name):
    model, sample_shape = make(name)
    x_t, t = batch(sample_shape)
    assert model(x_t, t).shape == x_t.shape and model(x_t, t).dtype == torch.float32
    assert model.prediction == "noise" and model.learned_variance is False
    assert make(name, prediction="v")[0].prediction == "v"
    assert type(model)(**model.config).config == model.config
    with pytest.raises(
        ValueError, match=r"prediction must be one of noise, x_0, v, flow, got 'eps'"
    ):
        make(name, prediction="eps")


@NETWORKS
def test_every_t_matters(name):
    model, sample_shape = make(name)
    x_t = batch(sample_shape)[0][:1].expand(100, *sample_shape)
    answers = model(x_t, torch.arange(1, 101)).flatten(1)
    distances = torch.cdist(answers, answers) + torch.eye(100)
    assert distances.min() > 1e-5


@NETWORKS
def test_every_parameter_gets_a_gradient(name):
    model, sample_shape = make(name)
    x_t, _ = batch(sample_shape)
    x_t = x_t.repeat(20, *[1] * len(sample_shape))
    model(x_t, torch.arange(1, 101)).square().sum().backward()
    for parameter, p in model.named_parameters():
        assert p.grad is not None and p.grad.abs().sum() > 0, parameter
    if name == "table":  # t = 1 and t = T have rows of their own, and no other is used
        assert all((e.weight.grad.abs().sum(1) > 0).all() for e in model.time)


@NETWORKS
def test_an_example_does_not_see_its_batch(name):
    model, sample_shape = make(name)
    x_t, t = batch(sample_shape)
    with torch.no_grad():
        together = model(x_t, t)
        for i in range(5):
            alone = model(x_t[i : i + 1], t[i : i + 1])
            close(together[i], alone[0], rtol=1e-4, atol=1e-5)
        changed = x_t.clone()
        changed[1:] = 100.0
        close(model(changed, t)[0], together[0], rtol=1e-4, atol=1e-5)


@NETWORKS
def test_eval_is_deterministic(name):
    model, sample_shape = make(name)
    x_t, t = batch(sample_shape)
    with torch.no_grad():
        assert torch.equal(model.eval()(x_t, t), model.eval()(x_t, t))
        close(model.train()(x_t, t), model.eval()(x_t, t), rtol=1e-6, atol=1e-6)


def test_the_mlp_written_out():
    model, _ = make("table")
    x_t, t = batch((2,))
    h = x_t
    for linear, table in zip(model.hidden, model.time, strict=True):
        rows = torch.stack([table.weight[i - 1] for i in t.tolist()])
        h = torch.relu(h @ linear.weight.T + linear.bias + rows)
    close(model(x_t, t), h @ model.out.weight.T + model.out.bias, rtol=1e-4, atol=1e-6)


def test_sinusoidal_embedding():
    rows = sinusoidal_embedding(torch.tensor([0, 1, 7, 999]), 8)
    assert rows.shape == (4, 8) and rows.dtype == torch.float32
    for row, index in zip(rows, [0, 1, 7, 999], strict=True):
        angles = [index * EXACT.mpf(10_000) ** (-EXACT.mpf(k) / 3) for k in range(4)]
        exact = [float(f(a)) for f in (EXACT.sin, EXACT.cos) for a in angles]
        close(row, exact, rtol=1e-6, atol=1e-7)
    model, _ = make("sinusoid")
    close(model.sinusoidal[0], sinusoidal_embedding(torch.tensor([0]), 16)[0], rtol=0)
    for width in (7, 2, 0):
        with pytest.raises(ValueError, match=rf"width must be even and >= 4, got {width}"):
            sinusoidal_embedding(torch.tensor([0]), width)


@pytest.mark.parametrize("shape", [(5, 3), (5,), (5, 2, 1), (5, 1, 2, 2)])
def test_mlp_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match=r"x_t must have shape \(B, 2\), got \(5,"):
        MLP()(torch.zeros(shape), torch.ones(5).long())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            dict(embedding="fourier"),
            "embedding must be one of table, sinusoid, got 'fourier'",
        ),
        (dict(activation="gelu"), "activation must be one of relu, silu, got 'gelu'"),
        (
            dict(prediction="eps"),
            "prediction must be one of noise, x_0, v, flow, got 'eps'",
        ),
    ],
)
def test_mlp_refuses_unknown_names(settings, message):
    with pytest.raises(ValueError, match=message):
        MLP(**settings)


@NETWORKS
@pytest.mark.parametrize("t", [-1, 0, 101])
def test_t_outside_the_table(name, t):
    model, sample_shape = make(name)
    with pytest.raises(IndexError, match="out of range"):
        model(batch(sample_shape, B=1)[0], torch.tensor([t]))
