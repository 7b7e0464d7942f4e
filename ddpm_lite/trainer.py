r"""The training loop, to be read line by line.

Everything random in step n (which examples, which t, which noise) is a function of
(seed, n), so a run can be repeated, and two runs differ only where they are told to.
"""

import math
from dataclasses import asdict, dataclass

import torch

from .checks import check_data, check_integer, check_number
from .ema import EMA
from .loss import simple_loss
from .process import prediction_of
from .seeds import TRAIN, generator_for, shuffled


@dataclass(frozen=True)
class TrainConfig:
    r"""The settings of one training run; the defaults are the paper's for CIFAR-10.

    steps, batch_size, warmup_steps: whole numbers. lr: Adam's learning rate, reached
    after a linear warm-up. grad_clip: largest norm of the gradient, or None.
    ema_decay: in [0, 1). seed: >= 0. antithetic: draw t for half of the batch and give
    the other half T + 1 - t, as the lecture and DDIM's authors do. decay_lr: let lr fall
    to 0 along a cosine (not the paper's). Raises ValueError for other values.
    Ho et al. 2020, appendix B; warm-up and clipping are in the authors' code only.
    """

    steps: int = 800_000
    batch_size: int = 128
    lr: float = 2e-4
    warmup_steps: int = 5000
    decay_lr: bool = False
    grad_clip: float | None = 1.0
    ema_decay: float = 0.9999
    antithetic: bool = False
    seed: int = 0

    def __post_init__(self):
        for name, low in dict(steps=1, batch_size=1, warmup_steps=0, seed=0).items():
            check_integer(name, getattr(self, name), low)
        check_number("lr", self.lr, 1e-12)
        check_number("ema_decay", self.ema_decay, 0, 1 - 1e-12)
        if self.grad_clip is not None:
            check_number("grad_clip", self.grad_clip, 1e-12)

    def as_dict(self):
        r"""The settings as plain values, for a results file."""
        return asdict(self)


@dataclass(frozen=True)
class Record:
    r"""What one finished update reports.

    step: 1, 2, ... t: int64 (B,). losses: (B,), one for each example. loss: their mean.
    grad_norm: before clipping. The tensors stay on the device: read them when needed,
    and keep numbers, float(record.loss), rather than Records of a long run.
    """

    step: int
    t: torch.Tensor
    losses: torch.Tensor
    loss: torch.Tensor
    grad_norm: torch.Tensor


class Trainer:
    r"""Train a denoiser with the simple loss, Adam, clipping and EMA.

    model: called as model(x_t, t). data: (N, *event), finite, already in the range that
    the model is to learn (pictures in [-1, 1]); a last batch is filled up from the next
    shuffle, so N may be smaller than the batch. Warns where the schedule does not reach
    N(0, I) for this data. Raises TypeError for data that is not floating point and
    ValueError for data that is empty or not finite.
    Ho et al. 2020, Algorithm 1.
    """

    def __init__(self, model, schedule, data, config):
        check_data(data)
        prediction_of(model)
        schedule.prior_gap(float(data.double().square().mean()))
        self.model, self.schedule, self.config = model, schedule, config
        self.device = next(model.parameters()).device
        self.data = data.to(self.device)
        self.optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
        self.ema = EMA(model, config.ema_decay)
        self.step = 0

    def draw(self, step):
        r"""Draw what update `step` (1, 2, ...) trains on: x_0, t and noise.

        Returns x_0 (B, *event), t int64 (B,) uniform in 1..T and noise like x_0; all
        three are functions of (seed, step) alone.
        """
        B, seed = self.config.batch_size, self.config.seed
        index = shuffled(len(self.data), (step - 1) * B, B, seed)
        generator = generator_for(TRAIN, seed, step)
        t = torch.randint(1, self.schedule.T + 1, (B,), generator=generator)
        if self.config.antithetic:
            t[B // 2 :] = self.schedule.T + 1 - t[: B - B // 2]
        x_0 = self.data[index.to(self.device)]
        noise = torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype)
        return x_0, t.to(self.device), noise.to(self.device)

    def update(self):
        r"""Make one update of the weights and return its Record."""
        self.step += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * self.lr_factor(self.step)
        x_0, t, noise = self.draw(self.step)  # draw
        losses = simple_loss(self.model, self.schedule, x_0, t, noise)  # diffuse, predict
        loss = losses.mean()  # compare
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss.item()} at step {self.step}: lower lr (now "
                f"{self.config.lr}) or look at the data of trainer.draw({self.step})"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # differentiate
        limit = self.config.grad_clip or math.inf
        grad_norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        self.optimizer.step()  # update
        self.ema.update(self.model)  # average
        return Record(self.step, t, losses.detach(), loss.detach(), grad_norm)

    def run(self, steps=None):
        r"""Make the updates that are left, or `steps` of them, and yield each Record.

        A Record comes after its update is complete, so stopping early loses nothing.
        """
        last = self.config.steps if steps is None else self.step + steps
        self.model.train()
        while self.step < last:
            yield self.update()

    def lr_factor(self, step):
        r"""The share of lr in force at `step` (1, 2, ...): a function of it alone."""
        warmup = min(1.0, step / max(1, self.config.warmup_steps))
        if not self.config.decay_lr:
            return warmup
        done = min(1.0, (step - 1) / self.config.steps)
        return warmup * 0.5 * (1 + math.cos(math.pi * done))
