r"""Layers with a way of their own on a CPU: what they compute is what torch's compute."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ddpm_lite import UNet, UNetConfig
from ddpm_lite.models import layers, unet

BF16 = torch.bfloat16
PLAIN = {
    "GroupNorm": nn.GroupNorm,
    "Dropout": nn.Dropout,
    "silu": F.silu,
    "scaled_dot_product_attention": F.scaled_dot_product_attention,
    "upsampled_conv": lambda conv, h: conv(F.interpolate(h, scale_factor=2.0)),
}


def test_the_unet_takes_these_and_nothing_else_for_speed():
    own = {name for name in vars(layers) if not name.startswith("_")}
    own -= {"torch", "nn", "F", "once_differentiable", "random_bits"}
    assert own == set(PLAIN)
    for name in own:
        assert getattr(unet, name) is getattr(layers, name)


@pytest.mark.parametrize(
    ("dtype", "layout"),
    [
        (torch.float32, torch.contiguous_format),
        (torch.float64, torch.contiguous_format),
        (torch.float64, torch.channels_last),
    ],
)
def test_the_unet_is_the_same_of_torchs_own_layers(monkeypatch, dtype, layout):
    def answers():
        torch.manual_seed(0)
        model = UNet(UNetConfig.preset("small-32", width=16, groups=4, zero_init=False))
        model.eval().to(dtype=dtype, memory_format=layout)
        x_t, t = torch.randn(2, 3, 32, 32, dtype=dtype), torch.tensor([1, 700])
        x_t = x_t.to(memory_format=layout)
        answer = model(x_t, t)
        answer.square().mean().backward()
        with torch.no_grad():
            again = model(x_t, t)
        gradients = torch.cat([p.grad.flatten() for p in model.parameters()])
        return answer.detach(), again, gradients

    ours = answers()
    for name, plain in PLAIN.items():
        monkeypatch.setattr(unet, name, plain)
    for our, plain in zip(ours, answers(), strict=True):
        if layout == torch.contiguous_format:
            assert torch.equal(our, plain)
        else:  # upsampled_conv adds in another order: some hundred roundings of 1e-16
            largest = float(plain.abs().max())
            torch.testing.assert_close(our, plain, rtol=0, atol=1e-12 * largest)


def answer_and_gradients(kind, state, given, dtype, groups):
    r"""Of a normalisation in channels last, as float64; `state` keeps its own dtype."""
    layer = kind(groups, given.shape[1], 1e-6)
    layer.load_state_dict(state)
    if dtype != BF16:
        layer.to(dtype)
    h = given.to(dtype, memory_format=torch.channels_last).requires_grad_()
    answer = layer(h)
    assert answer.dtype == dtype
    assert answer.is_contiguous(memory_format=torch.channels_last)
    upstream = torch.linspace(-1, 2, answer.numel(), dtype=dtype).view(answer.shape)
    gradients = torch.autograd.grad(answer, [h, *layer.parameters()], upstream)
    return [value.detach().double() for value in (answer, *gradients)]


@pytest.mark.parametrize("size", [(32, 32), (40, 26), (8, 8), (3, 5)])
@pytest.mark.parametrize("channels", [2, 4, 12])
def test_group_norm_in_bfloat16_is_as_exact_as_torchs(size, channels):
    torch.manual_seed(0)
    C = 3 * channels
    state = {"weight": 1 + 0.3 * torch.randn(C), "bias": torch.randn(C)}
    h = (0.7 * torch.randn(4, C, *size) + torch.randn(4, C, 1, 1)).to(BF16)
    exact = answer_and_gradients(nn.GroupNorm, state, h, torch.float64, 3)
    theirs = answer_and_gradients(nn.GroupNorm, state, h, BF16, 3)
    ours = answer_and_gradients(layers.GroupNorm, state, h, BF16, 3)
    for true, their, our in zip(exact, theirs, ours, strict=True):
        error, usual = (float((v - true).norm() / true.norm()) for v in (our, their))
        assert error < max(2.5 * usual, 0.005), (error, usual)


def test_group_norm_with_weights_in_bfloat16():
    h = torch.randn(2, 8, 32, 32, dtype=BF16).to(memory_format=torch.channels_last)
    for pictures in (h, h[:, :, :8, :8].contiguous(memory_format=torch.channels_last)):
        layer = layers.GroupNorm(2, 8).to(BF16)
        expected = F.group_norm(pictures.double(), 2).to(BF16)
        torch.testing.assert_close(layer(pictures), expected)


@pytest.mark.parametrize(
    ("own", "shape", "dtype", "layout"),
    [
        (True, (1, 8, 32, 32), BF16, torch.channels_last),
        (False, (1, 8, 32, 32), BF16, torch.contiguous_format),
        (False, (1, 8, 32, 32), torch.float32, torch.channels_last),
        (False, (1, 8, 31, 32), BF16, torch.channels_last),  # small pictures
        (False, (1, 32, 32, 32), BF16, torch.channels_last),  # 16 channels a group
    ],
)
def test_group_norm_leaves_to_torch_what_torch_does_well(
    monkeypatch, own, shape, dtype, layout
):
    calls = []
    monkeypatch.setattr(layers._Normalise, "apply", lambda h, *_: calls.append(1) or h)
    h = torch.randn(shape).to(dtype, memory_format=layout)
    answer = layers.GroupNorm(2, shape[1])(h)
    assert bool(calls) is own
    if dtype == torch.float32:
        assert torch.equal(answer, nn.GroupNorm(2, shape[1])(h))


@pytest.mark.parametrize("heads", [1, 4])
def test_attention_in_bfloat16_is_as_exact_as_torchs(heads):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, heads, 64, 8, dtype=BF16)
    weights = (q.double() @ k.double().mT / 8**0.5).softmax(3)
    exact = weights @ v.double()
    ours, theirs = (
        layers.scaled_dot_product_attention(q, k, v),
        F.scaled_dot_product_attention(q, k, v),
    )
    assert ours.dtype == BF16 and not torch.equal(ours, theirs)
    error, usual = (float((x - exact).norm() / exact.norm()) for x in (ours, theirs))
    assert error < 2.5 * usual < 0.03
    q, k, v = q.float(), k.float(), v.float()
    assert torch.equal(
        layers.scaled_dot_product_attention(q, k, v),
        F.scaled_dot_product_attention(q, k, v),
    )


def test_attention_makes_no_table_of_a_million_weights():
    h = torch.randn(1, 1, 1025, 4, dtype=BF16)
    assert torch.equal(
        layers.scaled_dot_product_attention(h, h, h),
        F.scaled_dot_product_attention(h, h, h),
    )


def test_with_keys_every_example_drops_units_of_its_own():
    layer, rows = layers.Dropout(0.25), torch.arange(1000, 1009)
    h = torch.ones(8, 3, 5, 7)  # 105 numbers each, from 27 of 64 bits
    before = torch.get_rng_state()
    layer.keys = rows
    whole = layer(h)
    assert torch.equal(whole, layer(h)) and torch.equal(before, torch.get_rng_state())
    assert torch.equal(whole, layer(h.to(memory_format=torch.channels_last)))
    for part in (slice(0, 1), slice(1, 4), slice(4, 8)):
        layer.keys = torch.cat([rows[:1], rows[1:][part]])
        assert torch.equal(layer(h[part]), whole[part])
    assert len(set(map(tuple, (whole == 0).flatten(1).tolist()))) == 8
    layer.keys = torch.cat([rows[:1] + 1, rows[1:]])
    assert not torch.equal(layer(h), whole)
    layer.keys = None
    assert not torch.equal(layer(h), layer(h))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.999])
def test_with_keys_a_share_p_drops_out(p):
    layer, B, n = layers.Dropout(p), 32, 4096
    layer.keys = torch.arange(B + 1)
    dropped = layer(torch.ones(B, 16, 16, 16))
    gone = (dropped == 0).double()
    assert abs(float(gone.mean()) - p) < 5 * (p * (1 - p) / (B * n)) ** 0.5 + 1 / 65536
    left = dropped[gone == 0]
    torch.testing.assert_close(left, torch.full_like(left, 1 / (1 - p)))
    assert torch.equal(layer.eval()(dropped), dropped)
