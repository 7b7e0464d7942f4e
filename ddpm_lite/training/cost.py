r"""What a U-Net costs before it is built: weights, operations and memory.

Counted on torch's meta device, where tensors have shapes and no contents, so that the
cost of a network that does not fit this machine can be known too.
"""

import time
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..models.unet import UNet


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
    r"""Count what a U-Net costs.

    config: a UNetConfig. batch_size: pictures that a process computes at once.
    bytes_per_activation: 4, or 2 where the network computes in 16 bits. Returns a Cost.
    """
    with torch.device("meta"):
        model = UNet(config)
        x_t = torch.empty(batch_size, *config.sample_shape)
        t = torch.ones(batch_size, dtype=torch.int64)
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


def seconds_per_step(trainer, repeats=2):
    r"""Time what a step of a Trainer takes, and leave it as it was.

    Computes loss and gradient of 8 pictures `repeats` times after one that is not counted
    and scales to the batch; where that makes less than a second, of the whole batch, for
    small pictures are quicker together. Returns seconds, an estimate.
    """
    own = trainer.config.batch_size // trainer.world
    part = own // trainer.config.accumulate
    few = min(part, 8)
    seconds = _seconds(trainer, few, repeats) * own / few
    if few < part and seconds < 1:
        seconds = _seconds(trainer, part, repeats) * own / part
    return seconds


def _seconds(trainer, count, repeats):
    x_0, t, noise, y = (
        None if numbers is None else numbers[:count]
        for numbers in (*trainer.draw(1), trainer.labels(1))
    )
    times = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        trainer.losses(x_0, t, noise, y).sum().backward()
        if trainer.device.type == "cuda":
            torch.cuda.synchronize(trainer.device)
        times.append(time.perf_counter() - start)
    trainer.optimizer.zero_grad(set_to_none=True)
    return min(times[1:])
