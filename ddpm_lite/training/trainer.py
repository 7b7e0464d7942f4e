r"""The training loop, to be read line by line.

Everything random in step n (which examples, which t, which noise, which units drop out)
is a function of (seed, n), so a run can be repeated and resumed, and two runs differ
only where their settings do. Several processes share one batch: each draws the whole
batch's numbers and takes its part of them, and an example's units drop out by a key of its
own, so that their number changes nothing but rounding. (A network with torch's own dropout
is the exception: there each part of a batch draws for itself.)
"""

import inspect
import math
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from ..checks import check_integer, check_parts, check_training
from ..data.marks import fingerprint, is_of
from ..data.ranges import check_range
from ..data.streams import as_examples
from ..denoiser import check_denoiser, check_trainable, clip_of
from ..formats.weights import channels_last, fit_weights
from ..loss import simple_loss
from ..models.layers import Dropout
from ..process import prediction_of
from ..seeds import DROPOUT, keys, seeded
from .batches import Batches, second_moment
from .device import autocast, choose_precision
from .ema import EMA
from .facts import difference, identity
from .hybrid import hybrid_terms
from .optimiser import optimiser_of
from .recomputing import recompute
from .weighting import check_ends, free_ends_loss, weigh


class NotFinite(FloatingPointError):
    r"""A loss or gradient was NaN or infinite; `step` is the first update where it was."""

    def __init__(self, step, lr):
        super().__init__(
            f"the loss or its gradient is not finite at step {step}: lower lr (now {lr}) "
            f"or look at the data of trainer.draw({step})"
        )
        self.step = step


@dataclass(frozen=True)
class Record:
    r"""What one finished update reports, of this process' part of the batch.

    step: 1, 2, ... t: int64 (B,), on the CPU. losses: (B,), one for each example. loss:
    their mean. grad_norm: before clipping. The tensors stay on the device: read them when
    needed, and keep numbers, float(record.loss), rather than Records of a long run.
    """

    step: int
    t: torch.Tensor
    losses: torch.Tensor
    loss: torch.Tensor
    grad_norm: torch.Tensor

    def __repr__(self):
        loss, norm = float(self.loss), float(self.grad_norm)
        return f"Record(step={self.step}, loss={loss:.4g}, grad_norm={norm:.4g})"


class Trainer:
    r"""Train a denoiser with the simple loss, Adam, clipping and EMA.

    model: called as model(x_t, t), or model(x_t, t, y) where there are labels; one with
    learned variance gets the hybrid loss. data: (N, *shape), finite, already in the range
    that the model is to learn; or uint8 pictures (N, C, H, W) with grey levels 0 ..
    levels - 1, which are scaled to [-1, 1] as they are used. y: int64 (N,), classes of
    the data, or None. A last batch is filled up from the next shuffle, so N may be
    smaller than the batch. data may also be a dataset that is read item by item, of torch
    or of the hub's `datasets`, with labels of its own or none: see `data.Items`; or a
    `data.Stream`. transform: x, generator -> x, a change of one example on the CPU, see
    `data.transforms`. workers: processes that read ahead; they change no number. None: 0
    on a CPU, else up to 4. The trainer runs on the model's device. The network is asked in
    the dtype of its weights, and the loss is computed in that of the data.
    Warns where the schedule does not reach N(0, I) for this data, and where floating point
    data leave the range that the model clips to. Raises TypeError or ValueError for data,
    labels or settings that do not fit, and for a schedule of another T than the model's.
    Ho et al. 2020, Algorithm 1.
    """

    def __init__(
        self,
        model,
        schedule,
        data,
        config,
        *,
        y=None,
        levels=256,
        transform=None,
        workers=None,
    ):
        check_denoiser(model, schedule)
        check_trainable(model)
        data = as_examples(data)
        check_training(data, y, getattr(model, "classes", 0), config)
        self.rank, self.world = processes()
        check_parts(config.batch_size, config.accumulate, self.world)
        self.model, self.schedule, self.config = model, schedule, config
        given = (data, y, config, schedule.T, levels, model, self._share())
        self.batches = Batches(*given, transform, workers)
        look = self.batches.look()  # all of a tensor, some of what is read when needed
        check_range(look, levels, clip_of(model))
        prediction_of(model)
        if config.free_ends:
            check_ends(model)
        self.levels, self.step, self.first_bad = levels, 0, None
        floats = look.is_floating_point()
        if not floats:
            check_integer("levels", levels, 2, 256)
        self.grey = None if floats else levels  # for the bound at t = 1
        schedule.prior_gap(second_moment(look, levels))
        self.device = next(model.parameters()).device
        self.precision = choose_precision(self.device, config.precision, model)
        self.fingerprint, self.identity = fingerprint(data, y), identity(data, y)
        self.data, self.y = self.batches.data, self.batches.y
        if config.fast and look.dim() == 4:
            channels_last(model)
        recompute(model, config.checkpoint_gradients)
        self.optimizer = optimiser_of(model, config)
        half = self.precision == "float16"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)
        self.ema = EMA(model, config.ema_decay, fast=config.fast)
        network = model
        if self.world > 1:
            network = DistributedDataParallel(model, **{_buffers_option(): False})
        if config.compile:
            network = torch.compile(network)
        self.network = Network(network, model, self.device, self.precision)

    def __repr__(self):
        name, at = type(self.model).__name__, f"step {self.step} of {self.config.steps}"
        return f"Trainer({name}, {at}, on {self.device})"

    def draw(self, step):
        r"""Draw what update `step` (1, 2, ...) trains on: x_0, t and noise.

        Returns x_0 (B, *shape), t int64 (B,) uniform in 1..T, on the CPU, and noise like
        x_0; all three are functions of (seed, step) alone.
        """
        return self.batches.take(self.batches.numbers(step))[:3]

    def labels(self, step):
        r"""The labels of that batch, int64 (B,), some replaced by "no class"; or None."""
        return self.batches.take(self.batches.numbers(step))[3]

    def update(self):
        r"""Make one update of the weights and return its Record.

        Raises NotFinite, a FloatingPointError, where a loss or the gradient is not finite,
        in all processes at once: on the CPU before the weights are touched, elsewhere
        when `check_finite` next looks. Raises Unreadable, a ValueError, where an example
        cannot be read; then the update was not begun.
        """
        self.batches.wait(self.step + 1)
        self.step += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * self.lr_factor(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        numbers, losses = self.batches.numbers(self.step), []  # draw
        for number, part in enumerate(self._microbatches(), start=1):
            x_0, t, noise, y = self.batches.take(numbers, part)
            last = number == self.config.accumulate
            with self._no_sync(unless=last), self._dropping(part):
                terms = self.terms(x_0, t, noise, y)  # diffuse, predict, compare
                self._backward(self._weighed(terms, t))  # differentiate
            losses.append(sum(terms).detach())
        losses = torch.cat(losses)
        self.scaler.unscale_(self.optimizer)
        limit = self.config.grad_clip or math.inf
        grad_norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        self._watch(losses, grad_norm)
        self.scaler.step(self.optimizer)  # update
        self.scaler.update()
        self.ema.update(self.model)  # average
        own = numbers.t[self._share()]
        return Record(self.step, own, losses, losses.mean(), grad_norm)

    def losses(self, x_0, t, noise, y=None, network=None):
        r"""The loss of each example, (B,); all but the network computes in float32.

        x_0, noise: (B, *shape). t: int64 (B,) in 1..T. y: int64 (B,) or None. network:
        the one that learns if None, or another Network, such as one of the EMA. Without
        min-SNR weights, which change what is learned and not what is reported.
        """
        return sum(self.terms(x_0, t, noise, y, network))

    def terms(self, x_0, t, noise, y=None, network=None):
        r"""What the losses are the sum of: (B,), and as many again of a learned variance.

        The arguments are those of `losses`.
        """
        network = network or self.network
        given = (network, self.schedule, x_0, t, noise)
        if network.learned_variance:
            return hybrid_terms(*given, y=y, levels=self.grey)
        if self.config.free_ends:
            return (free_ends_loss(*given, y=y),)
        return (simple_loss(*given, y=y),)

    def run(self, steps=None):
        r"""Make the updates that are left, or `steps` of them, and yield each Record.

        A Record comes after its update is complete, so stopping early loses nothing.
        """
        last = self.config.steps if steps is None else self.step + steps
        self.model.train()
        try:
            while self.step < last:
                yield self.update()
        finally:
            self.batches.close()

    def lr_factor(self, step):
        r"""The share of lr in force at `step`, see `TrainConfig.lr_factor`."""
        return self.config.lr_factor(step)

    def check_finite(self):
        r"""Raise NotFinite if an update was not finite; on a GPU this waits for it."""
        if self.first_bad is not None and int(self.first_bad):
            raise NotFinite(int(self.first_bad), self.config.lr)

    def state(self):
        r"""All that another process needs to go on, but for the EMA's own weights.

        Returns {name: tensor}, the weights and Adam's averages, and {name: number}.
        """
        tensors = {f"model.{name}": v for name, v in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            for kind, value in self.optimizer.state[parameter].items():
                tensors[f"adam.{kind}.{name}"] = value
        numbers = {
            "step": self.step,
            "ema_updates": self.ema.updates,
            "ema_initial_share": self.ema.initial_share,
            "scaler": self.scaler.state_dict(),
            "data": self.fingerprint,
            "identity": self.identity,
            **self.batches.state(),
        }
        return tensors, numbers

    def restore(self, average, tensors, numbers):
        r"""Go on where `state` was taken. average: the EMA's weights, {name: tensor}.

        Raises ValueError where it was taken on other data, or from another network,
        KeyError where something is missing.
        """
        if not is_of(numbers["data"], self.data, self.y, self.fingerprint):
            other = f"its fingerprint was {numbers['data']}, and is now {self.fingerprint}"
            if "identity" in numbers:  # a run of version 0.2.0 has none
                other = difference(numbers["identity"], self.identity)
            if other:
                raise ValueError(
                    f"this run was trained on other data ({other}): give it the same in "
                    "the same order, or start a new run from its weights"
                )
        try:
            fit_weights(self.model, _under("model.", tensors))
            fit_weights(self.ema.model, average)
        except ValueError as error:
            raise ValueError(f"the checkpoint is of another network: {error}") from error
        self.step, self.ema.updates = numbers["step"], numbers["ema_updates"]
        self.ema.initial_share = numbers["ema_initial_share"]
        self.batches.restore(numbers)
        if numbers["scaler"]:  # it is empty where there was no scaler
            self.scaler.load_state_dict(numbers["scaler"])
        self.optimizer.state.clear()
        for name, parameter in self.model.named_parameters():
            if f"adam.step.{name}" in tensors:  # not before the first update
                mine = self.optimizer.state[parameter]
                step = tensors[f"adam.step.{name}"]
                mine["step"] = step.to(self.device) if self.config.fast else step.clone()
                for kind in ("exp_avg", "exp_avg_sq"):
                    value = tensors[f"adam.{kind}.{name}"]
                    mine[kind] = torch.empty_like(parameter).detach().copy_(value)

    def _share(self):
        own = self.config.batch_size // self.world
        return slice(self.rank * own, (self.rank + 1) * own)

    def _microbatches(self):
        own = self._share()
        size = (own.stop - own.start) // self.config.accumulate
        return [slice(i, i + size) for i in range(own.start, own.stop, size)]

    @contextmanager
    def _dropping(self, part):
        # our layers drop units by example; torch's own, in other networks, by part
        seed, B = self.config.seed, self.config.batch_size
        layers = [m for m in self.model.modules() if isinstance(m, Dropout)]
        numbers = keys((len(layers), 1 + B), DROPOUT, seed, self.step).to(self.device)
        for layer, row in zip(layers, numbers, strict=True):
            layer.keys = torch.cat([row[:1], row[1:][part]])
        try:
            with seeded(self.device, DROPOUT, seed, self.step, part.start):
                yield
        finally:
            for layer in layers:
                layer.keys = None

    def _no_sync(self, unless):
        # forward and backward of a part; processes exchange gradients in the last one
        return nullcontext() if unless or self.world == 1 else self.network.module.no_sync()

    def _weighed(self, terms, t):
        gamma = self.config.min_snr
        return weigh(terms, self.schedule, t, self.network.prediction, gamma)

    def _backward(self, losses):
        # the mean over this process' examples; DDP takes the mean over processes
        loss = losses.sum() * (self.world / self.config.batch_size)
        self.scaler.scale(loss).backward()

    def _watch(self, losses, grad_norm):
        bad = ~torch.isfinite(losses.sum())
        if not self.scaler.is_enabled():  # which leaves out infinite gradients by itself
            bad = bad | ~torch.isfinite(grad_norm)
        step = bad * self.step
        if self.world > 1:
            distributed.all_reduce(step, distributed.ReduceOp.MAX)  # one stops: all stop
        before = torch.zeros_like(step) if self.first_bad is None else self.first_bad
        self.first_bad = torch.where(before > 0, before, step)
        if self.device.type == "cpu" or self.step % 50 == 0:
            self.check_finite()


class Network:
    r"""A model run in its precision. It says of itself what the model says.

    Called as the model is; the answer is the model's, in whatever dtype that has.
    """

    def __init__(self, module, model, device, precision):
        self.module, self.prediction = module, model.prediction
        self.learned_variance = getattr(model, "learned_variance", False)
        for name in ("clip", "T", "classes"):
            setattr(self, name, getattr(model, name, None))
        self.parameters = model.parameters
        self.device, self.precision = device, precision

    def __call__(self, *arguments):
        with autocast(self.device, self.precision):
            return self.module(*arguments)


def processes():
    r"""Number of this process, and how many there are: (0, 1) but under torchrun."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _buffers_option():
    # what keeps DDP from sending buffers at every step has a new name since torch 2.13
    known = inspect.signature(DistributedDataParallel).parameters
    return next(n for n in ("forward_sync_buffers", "broadcast_buffers") if n in known)


def _under(prefix, tensors):
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
