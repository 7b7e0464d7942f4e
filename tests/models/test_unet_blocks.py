r"""Each block of the U-Net by hand, in float64."""

import math
from dataclasses import replace

import pytest
import torch
from helpers import EXACT, close, normal
from torch.nn import functional as F
from unets import ODD, TINY, batch, shaken

from ddpm_lite import sample, schedule
from ddpm_lite.models.unet import Attention, Downsample, MidBlock, ResBlock, UNet, Upsample


def norm_by_loops(h, norm):
    out = torch.empty_like(h)
    size = h.shape[1] // norm.num_groups
    for b in range(len(h)):
        for g in range(norm.num_groups):
            part = h[b, g * size : (g + 1) * size]
            mean = part.sum() / part.numel()
            variance = (part - mean).square().sum() / part.numel()
            out[b, g * size : (g + 1) * size] = (part - mean) / (variance + norm.eps).sqrt()
    return out * norm.weight[:, None, None] + norm.bias[:, None, None]


def silu(h):
    return h / (1 + (-h).exp())


def convolve(h, conv, stride=1, before=1, after=1):
    r"""Sum over the 9 places of the filter, the picture moved under each of them."""
    H, W = h.shape[2] // stride, h.shape[3] // stride
    h = F.pad(h, (before, after, before, after))
    out = conv.bias[:, None, None].expand(len(h), -1, H, W)
    for i in range(3):
        for j in range(3):
            there = h[:, :, i : i + stride * H : stride, j : j + stride * W : stride]
            out = out + torch.einsum("oc,bchw->bohw", conv.weight[:, :, i, j], there)
    return out


def double(module, seed=0):
    r"""The module in float64 and eval mode, none of its numbers at zero."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn(p.shape, generator=generator, dtype=p.dtype) * 0.3)
    return module


@pytest.mark.parametrize("scale_shift", [False, True])
@pytest.mark.parametrize(("before", "after"), [(8, 8), (8, 12)])
@pytest.mark.parametrize("eps", [1e-6, 1e-2])
def test_residual_block_by_hand(before, after, scale_shift, eps):
    block = double(ResBlock(before, after, replace(TINY, scale_shift=scale_shift, eps=eps)))
    h, emb = 0.05 * normal(2, before, 6, 4), normal(2, 32, seed=1)
    new = convolve(silu(norm_by_loops(h, block.norm1)), block.conv1)
    row = emb @ block.time_emb_proj.weight.T + block.time_emb_proj.bias
    row = row[:, :, None, None]
    if scale_shift:
        new = norm_by_loops(new, block.norm2) * (1 + row[:, :after]) + row[:, after:]
    else:
        new = norm_by_loops(new + row, block.norm2)
    new = convolve(silu(new), block.conv2)
    if before == after:
        shortcut = h
    else:
        weight, bias = block.conv_shortcut.weight[:, :, 0, 0], block.conv_shortcut.bias
        shortcut = torch.einsum("oc,bchw->bohw", weight, h) + bias[:, None, None]
    close(block(h, emb), shortcut + new, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("head_width", [None, 8, 4, 2])
def test_attention_by_hand(head_width):
    module = double(Attention(8, replace(TINY, head_width=head_width))).requires_grad_(
        False
    )
    h, d = normal(2, 8, 3, 5), head_width or 8
    pixels = norm_by_loops(h, module.group_norm)
    new = torch.zeros(2, 15, 8, dtype=torch.float64)
    for b in range(2):
        seen = [pixels[b, :, i // 5, i % 5] for i in range(15)]
        q, k, v = (
            [m.weight @ pixel + m.bias for pixel in seen]
            for m in (module.to_q, module.to_k, module.to_v)
        )
        for first in range(0, 8, d):
            head = slice(first, first + d)
            for i in range(15):
                scores = [
                    math.exp(q[i][head] @ k[j][head] / math.sqrt(d)) for j in range(15)
                ]
                for j in range(15):
                    new[b, i, head] += scores[j] / sum(scores) * v[j][head]
    new = new @ module.to_out[0].weight.T + module.to_out[0].bias
    expected = h + new.transpose(1, 2).reshape(2, 8, 3, 5)
    close(module(h), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("padding", "before"), [("right", 0), ("both", 1)])
def test_halving_by_hand(padding, before):
    module, h = double(Downsample(3, padding)), normal(2, 3, 6, 10)
    expected = convolve(h, module.conv, stride=2, before=before, after=1)
    close(module(h), expected, rtol=1e-12, atol=1e-12)
    model = UNet(TINY, down_padding=padding)
    assert {m.right for m in model.modules() if isinstance(m, Downsample)} == {before == 0}


def test_halving_pads_right_and_bottom():
    # the four pixels that the filter's centre meets are those of odd rows and columns
    module = Downsample(1, "right")
    with torch.no_grad():
        module.conv.weight.zero_()[0, 0, 1, 1] = 1
        module.conv.bias.zero_()
    h = torch.arange(16.0).reshape(1, 1, 4, 4)
    close(module(h)[0, 0], [[5.0, 7.0], [13.0, 15.0]])
    with torch.no_grad():
        module.conv.weight.zero_()[0, 0, 2, 2] = 1
    close(module(h)[0, 0], [[10.0, 0.0], [0.0, 0.0]])  # the rest is padding


def test_doubling_by_hand():
    module, h = double(Upsample(3)), normal(2, 3, 3, 5)
    big = torch.stack([h, h], 3).reshape(2, 3, 6, 5)  # every row twice
    big = torch.stack([big, big], 4).reshape(2, 3, 6, 10)  # every column twice
    expected = convolve(big, module.conv)
    close(module(h), expected, rtol=1e-12, atol=1e-12)
    # and in the fast layout, where both are one transposed convolution
    fast = h.contiguous(memory_format=torch.channels_last)
    assert not fast.is_contiguous()
    module.conv.register_forward_hook(lambda *_: pytest.fail("the plain path was taken"))
    close(module(fast), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:q.x_T")  # a short chain, linear
@pytest.mark.parametrize("config", [TINY, ODD], ids=["tiny", "odd"])
def test_the_fast_layout_gives_the_same_loss_gradients_and_samples(config):
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        model = shaken(config, dropout=0.2).to(memory_format=layout)
        x_t, t, y = batch(config)
        draw = dict(sampler="ddim", steps=10, clip=(-1, 1), progress=False)
        shape = (2, *config.sample_shape)
        pictures = sample(model, schedule.Schedule.linear(config.T), shape, **draw)
        model.train()
        torch.manual_seed(0)  # of the dropout: the layout does not change what drops out
        value = model(x_t, t, y).square().mean()
        value.backward()
        gradients = torch.cat([p.grad.flatten() for p in model.parameters()])
        found.append((value.detach(), gradients, pictures))
    assert not torch.equal(found[0][1], found[1][1])  # two ways to compute it
    for plain, fast in zip(*found, strict=True):
        close(fast, plain, rtol=1e-5, atol=1e-5 * float(plain.abs().max()))


def test_the_middle_is_block_attention_block():
    middle = double(MidBlock(8, TINY))
    h, emb = normal(2, 8, 4, 4), normal(2, 32, seed=1)
    expected = middle.resnets[1](middle.attentions[0](middle.resnets[0](h, emb)), emb)
    close(middle(h, emb), expected, rtol=1e-12)


def embedded(model, t):
    r"""What the first linear map of t is given."""
    seen = []
    hook = model.time_embedding.register_forward_pre_hook(
        lambda _, args: seen.append(args[0])
    )
    with torch.no_grad():
        model(torch.zeros(len(t), *model.unet_config.sample_shape), t)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("sine_first", [True, False])
@pytest.mark.parametrize("frequency_shift", [0, 1])
@pytest.mark.parametrize("t_shift", [0, 1])
def test_waves_of_t_by_hand(sine_first, frequency_shift, t_shift):
    changes = dict(sine_first=sine_first, frequency_shift=frequency_shift, t_shift=t_shift)
    model, t = UNet(TINY, **changes), [1, 2, 37, 100]
    rows = embedded(model, torch.tensor(t))
    for row, step in zip(rows, t, strict=True):
        power = [-EXACT.mpf(k) / (4 - frequency_shift) for k in range(4)]
        angles = [(step - t_shift) * EXACT.mpf(10_000) ** p for p in power]
        sines, cosines = ([float(f(a)) for a in angles] for f in (EXACT.sin, EXACT.cos))
        expected = sines + cosines if sine_first else cosines + sines
        close(row, expected, rtol=1e-6, atol=1e-7)
    assert (model.sinusoidal[0, :4] == 0).all() == (t_shift == 1 and sine_first)
