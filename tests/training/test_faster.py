r"""Fast, in parts and in other precisions: the same numbers as the plain way."""

import pytest
import torch
from helpers import close, normal, some_schedules
from trainers import SHORT, bytes_of, make, tiny, weights

from ddpm_lite.models.layers import Dropout
from ddpm_lite.models.unet import UNet, UNetConfig
from ddpm_lite.process import q_sample
from ddpm_lite.training.batches import to_float
from ddpm_lite.training.device import choose_precision
from ddpm_lite.training.hybrid import hybrid_loss


@pytest.mark.parametrize("kind", ["MLP", "UNet"])
def test_fast_and_plain_give_the_same_losses(kind):
    losses, averages = [], []
    for fast in (True, False):
        data = bytes_of(50, 1, 8, 8) if kind == "UNet" else None
        model = tiny(size=8, width=8, multipliers=(1, 2), attention=(4,))
        trainer = make(data, model if kind == "UNet" else None, fast=fast, lr=1e-3)
        losses.append(torch.stack([record.loss for record in trainer.run(8)]))
        averages.append(weights(trainer.ema.model))
        assert trainer.optimizer.defaults["fused"] is fast
        if kind == "UNet":
            kernel = trainer.model.mid_block.resnets[0].conv1.weight
            assert kernel.is_contiguous() is not fast
            assert kernel.is_contiguous(memory_format=torch.channels_last) is fast
    close(losses[0], losses[1], rtol=1e-5)
    # Adam makes much of the rounding of a gradient near 0, so weights are compared as one
    assert (averages[0] - averages[1]).norm() < 1e-4 * averages[0].norm()
    assert losses[0][0] != losses[0][-1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of what torch.compile imports
@pytest.mark.parametrize("kind", ["MLP", "UNet"])
def test_a_compiled_network_gives_the_same_losses(kind):
    losses = []
    for compiled in (True, False):
        given = () if kind == "MLP" else (bytes_of(9, 1, 4, 4), tiny(dropout=0.5))
        trainer = make(*given, compile=compiled, accumulate=1 + compiled)
        assert hasattr(trainer.network.module, "_orig_mod") is compiled
        losses.append(torch.stack([record.loss for record in trainer.run(5)]))
    close(losses[0], losses[1], rtol=1e-5)


@pytest.mark.parametrize("accumulate", [2, 4, 16])
def test_parts_of_a_batch_give_the_whole_batch(accumulate):
    whole, parts = make(), make(accumulate=accumulate)
    for _ in range(4):
        one, other = whole.update(), parts.update()
        assert torch.equal(one.t, other.t) and other.losses.shape == (16,)
        close(one.losses, other.losses, rtol=1e-5)
        close(one.grad_norm, other.grad_norm, rtol=1e-4)
    close(weights(whole.model), weights(parts.model), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"batch_size 16 must be a multiple of 1 proc.* 3"):
        make(accumulate=3)


@pytest.mark.parametrize("accumulate", [2, 4, 16])
def test_parts_of_a_batch_drop_the_same_units(accumulate):
    # in float64: sums of less than a thousand terms, which Adam divides by at least 1e-8
    trainers = []
    for parts in (1, accumulate):
        model = tiny(dropout=0.5, classes=3).double()
        data = bytes_of(9, 1, 4, 4) / 127.5 - 1
        more = dict(y=torch.arange(9) % 3, accumulate=parts, flip=True, drop_label=0.2)
        trainers.append(make(data.double(), model, **more))
    whole, parts = trainers
    for one, other in zip(whole.run(), parts.run(), strict=True):
        close(other.losses, one.losses, rtol=1e-9)
    close(weights(parts.model), weights(whole.model), rtol=1e-9, atol=1e-9)
    assert all(m.keys is None for m in whole.model.modules() if isinstance(m, Dropout))


def test_an_error_in_a_step_leaves_dropout_to_torch():
    trainer = make(bytes_of(9, 1, 4, 4), tiny(dropout=0.5))
    hook = trainer.model.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trainer.update()
    hook.remove()
    layers = [m for m in trainer.model.modules() if isinstance(m, Dropout)]
    assert layers and all(layer.keys is None for layer in layers)


def test_only_the_network_runs_in_bfloat16():
    trainer = make(bytes_of(9, 1, 4, 4), tiny(), precision="bfloat16")
    dtypes = []
    for module in trainer.model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda m, i, output: dtypes.append(output.dtype))
    record = trainer.update()
    assert set(dtypes) == {torch.bfloat16} and len(dtypes) >= 4
    assert record.losses.dtype == record.loss.dtype == torch.float32
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in trainer.model.parameters())
    exact = make(bytes_of(9, 1, 4, 4), tiny(), precision="float32").update()
    close(record.losses, exact.losses, rtol=0.05, atol=0.01)
    assert not torch.equal(record.losses, exact.losses)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_noise_has_its_deviation_at_every_t_under_autocast(name):
    schedule = some_schedules()[name]
    exact = schedule.one_minus_alpha_bar.sqrt()
    seen = {}

    class Watch(torch.nn.Linear):
        prediction = "noise"

        def forward(self, x_t, t):
            assert torch.is_autocast_enabled("cpu")
            seen[int(t[0])] = x_t
            return super().forward(x_t)

    trainer = make(
        torch.zeros(64, 8), Watch(8, 8), schedule, precision="bfloat16", batch_size=64
    )
    x_0, _, noise = trainer.draw(1)
    assert noise.dtype == torch.float32
    for t in range(1, schedule.T + 1):
        steps = torch.full((64,), t)
        loss = trainer.losses(x_0, steps, noise)  # x_0 = 0: x_t is the noise alone
        assert loss.dtype == torch.float32
        deviation = seen[t].double() / noise.double()
        assert seen[t].dtype == torch.float32
        assert (deviation / exact[t] - 1).abs().max() < 1e-3
    assert len(seen) == schedule.T
    close(seen[t], q_sample(schedule, x_0, steps, noise), rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_noise_is_never_below_float32(dtype):
    trainer = make(normal(50, 2).to(dtype))
    x_0, _, noise = trainer.draw(1)
    assert x_0.dtype == noise.dtype == torch.promote_types(dtype, torch.float32)
    if dtype != torch.float64:
        assert torch.equal(noise, make().draw(1)[2])  # not a rounded one
        assert trainer.update().losses.dtype == torch.float32


@pytest.mark.parametrize("bfloat16", ["avx512_bf16", "amx_bf16", None])
def test_precision_on_a_cpu(monkeypatch, bfloat16):
    # where it computes in bfloat16, wide U-Nets run in it, and nothing else
    capabilities = {"avx2": True, bfloat16: True, "avx512_bf16 of old": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    half = "bfloat16" if bfloat16 else "float32"
    wide = UNet(tiny().unet_config, width=32)
    assert choose_precision(torch.device("cpu"), "auto", wide) == half
    assert make(bytes_of(9, 1, 4, 4), wide).precision == half
    assert make(bytes_of(9, 1, 4, 4), wide, precision="float32").precision == "float32"
    narrow = UNet(tiny().unet_config, width=24)
    assert choose_precision(torch.device("cpu"), "auto", narrow) == "float32"
    large = UNet(tiny().unet_config, width=24, size=28)
    assert choose_precision(torch.device("cpu"), "auto", large) == half
    narrow = UNet(tiny().unet_config, width=16, size=28)
    assert choose_precision(torch.device("cpu"), "auto", narrow) == "float32"
    assert choose_precision(torch.device("cpu")) == make().precision == "float32"
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # an older torch
    assert choose_precision(torch.device("cpu"), "auto", wide) == "float32"


def test_precision():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert choose_precision(cpu) == make().precision == "float32"
    assert choose_precision(cpu, "bfloat16") == "bfloat16"
    assert choose_precision(cuda, "float16") == "float16"
    with pytest.raises(ValueError, match="float16 needs CUDA's loss scaler, not cpu"):
        make(precision="float16")
    with pytest.raises(ValueError, match=r"precision must be one of auto, .* got 'half'"):
        make(precision="half")


@pytest.mark.parametrize("pictures", [True, False])
def test_learned_variance_gets_the_hybrid_loss(pictures):
    grey = bytes_of(50, 1, 4, 4, levels=17)
    data = grey if pictures else to_float(grey, 17)
    trainer = make(data, tiny(learned_variance=True), levels=17)
    x_0, _, noise = trainer.draw(1)
    t = torch.arange(16) % 10 + 1  # the decoder at t = 1 sees grey levels, where there are
    levels = 17 if pictures else None
    expected = hybrid_loss(trainer.model, SHORT, x_0, t, noise, levels=levels)
    close(trainer.losses(x_0, t, noise), expected, rtol=1e-6)
    other = hybrid_loss(trainer.model, SHORT, x_0, t, noise, levels=9)
    assert not torch.allclose(other[t == 1], expected[t == 1])


def test_a_wide_network_in_bfloat16_goes_on_bit_for_bit():
    config = UNetConfig(width=32, multipliers=(1,), blocks=1, attention=(), groups=8, T=10)
    data = bytes_of(8, 3, 32, 32)  # large enough for every way of the layers

    def start():
        torch.manual_seed(0)
        settings = dict(steps=4, batch_size=2, precision="bfloat16", warmup_steps=1)
        return make(data, UNet(config, zero_init=False), **settings)

    whole, half, rest = start(), start(), start()
    list(whole.run())
    list(half.run(2))
    average = {name: v.clone() for name, v in half.ema.model.state_dict().items()}
    tensors, numbers = half.state()
    rest.restore(average, {name: v.clone() for name, v in tensors.items()}, numbers)
    weights = whole.model.state_dict()
    assert not torch.equal(rest.model.conv_in.weight, weights["conv_in.weight"])
    list(rest.run())
    for name, value in rest.model.state_dict().items():
        assert torch.equal(value, weights[name]), name
