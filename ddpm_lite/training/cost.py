r"""What a U-Net costs before it is built: weights, operations and memory.

Counted on torch's meta device, where tensors have shapes and no contents, so that the
cost of a network that does not fit this machine can be known too.
"""

import time
from dataclasses import dataclass, replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..formats.weights import channels_last
from ..models.unet1d import build_unet
from .device import autocast
from .own import OwnNetwork

TIMED = 6e10  # operations of what is timed: about a second of one core
LIGHT = 4e7  # weights of it, so that they and their gradients take 0.3 GB
CARD = 100  # times as much on a GPU


@dataclass(frozen=True)
class Cost:
    r"""parameters, tensors: of the network. flops: operations of one picture's forward.

    weights: bytes that training holds whatever the batch: weights, gradients, two
    averages of Adam, EMA. stored: bytes that a batch keeps from forward for backward.
    An operation is a multiplication or an addition.
    """

    parameters: int
    tensors: int
    flops: int
    weights: int
    stored: int

    @property
    def training_bytes(self):
        r"""Memory of a training step beside what Python and torch need themselves."""
        return self.weights + self.stored

    @property
    def training_flops(self):
        r"""Operations of forward and backward of one picture: about three forwards."""
        return 3 * self.flops


def cost(config, batch_size=1, bytes_per_activation=4):
    r"""Count what a network costs.

    config: a UNetConfig or an OwnNetwork. batch_size: pictures that a process computes at
    once. bytes_per_activation: 4, or 2 where the network computes in 16 bits. Returns a
    Cost.
    """
    if isinstance(config, OwnNetwork):
        return _cost_of_own(config, batch_size, bytes_per_activation)
    with torch.device("meta"):
        model = build_unet(config)
    return _counted(model, config, batch_size, bytes_per_activation)


def _cost_of_own(config, batch_size, bytes_per_activation):
    try:
        light = config.build(light=True)
        return _counted(light, config, batch_size, bytes_per_activation)
    except Exception:  # of a forward that reads numbers: then with numbers, of one example
        one = _counted(config.build(), config, 1, bytes_per_activation)
        return replace(one, stored=one.stored * batch_size)


def _counted(model, config, batch_size, bytes_per_activation):
    where = next(model.parameters()).device
    x_t = torch.zeros(batch_size, *config.sample_shape, device=where)
    t = torch.ones(batch_size, dtype=torch.int64, device=where)
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    stored = {}

    def remember(tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            stored[storage._cdata] = storage.nbytes() * bytes_per_activation // 4, tensor
        return tensor

    with (
        FlopCounterMode(display=False) as counter,
        torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor),
    ):
        model(x_t, t).sum()
    parameters = sum(p.numel() for p in model.parameters())
    return Cost(
        parameters=parameters,
        tensors=len(model.state_dict()),
        flops=counter.get_total_flops() // batch_size,
        weights=5 * 4 * parameters,
        stored=sum(size for size, _ in stored.values()),
    )


def step_time(config, count, device, precision="float32"):
    r"""Time a training step of `count` pictures, without the memory or minutes of them.

    config: a UNetConfig or an OwnNetwork. device: a torch.device. precision: see
    `choose_precision`. Timed are forward and backward of a network of its own: of all
    pictures if that takes less than a second, else of as many as cost about `TIMED`
    operations, and where one costs more, of a smaller U-Net on smaller pictures. Returns
    (seconds, what was timed in words, "" if the step itself); scaled by operations, right
    to a factor of two or so.
    """
    one, times = cost(config), 1 if device.type == "cpu" else CARD
    each = max(1, one.training_flops)
    few = max(1, min(count, 8, int(times * TIMED / each)))
    if device.type == "cuda":
        few = max(1, min(few, torch.cuda.mem_get_info(device)[0] // (2 * one.stored)))
    own = isinstance(config, OwnNetwork)
    part = config if own else smaller(config, times)
    seconds = _seconds(part, few, device, precision) / few * count
    if part != config:
        seconds *= each / cost(part).training_flops
        size = " x ".join(map(str, part.sample_shape[1:]))
        what = "series of length " + size if part.dimensions == 1 else f"{size} pictures"
        return seconds, f"a smaller network on {what}, to a factor of two"
    if few < count and seconds < 1:
        return _seconds(config, count, device, precision), ""
    return seconds, f"{few} of {count} pictures" if few < count else ""


def smaller(config, times=1):
    r"""A U-Net of the same kind that is quick to time: TIMED operations, LIGHT weights.

    times: or so many times as much. That is for one picture's training step. Halves height
    and width and leaves out the coarsest resolution, so that the feature maps that are left
    look as before; as often as needed and possible.
    """
    while not _is_quick(cost(config), times):
        H, W, levels = config.height // 2, config.picture_width // 2, config.multipliers
        levels = levels[:-1] or levels
        if H % 2 ** (len(levels) - 1) or W % 2 ** (len(levels) - 1) or not min(H, W):
            break
        heights = {H >> i for i in range(len(levels))}
        attention = tuple(h for h in config.attention if h in heights)
        size = H if config.dimensions == 1 else (H, W)
        config = replace(config, size=size, multipliers=levels, attention=attention)
    return config


def _is_quick(one, times):
    return one.training_flops <= times * TIMED and one.parameters <= times * LIGHT


def _seconds(config, count, device, precision):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        own = isinstance(config, OwnNetwork)
        model = channels_last(config.build() if own else build_unet(config)).to(device)
        x_t = torch.randn(count, *config.sample_shape).to(device)
        t = torch.ones(count, dtype=torch.int64, device=device)
        times = []
        while len(times) < 3 and sum(times) < 2:  # the first sets up what others reuse
            start = time.perf_counter()
            with autocast(device, precision):
                out = model(x_t, t)
            out.float().square().mean().backward()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - start)
    return min(times)
