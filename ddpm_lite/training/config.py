r"""The settings of a training run."""

import math
from dataclasses import asdict, dataclass
from functools import wraps

from ..checks import check_integer, check_name, check_number
from .device import PRECISIONS

T_LAWS = ("uniform", "logit_normal")
LR_SCHEDULES = ("constant", "cosine", "linear")


@dataclass(frozen=True)
class TrainConfig:
    r"""The settings of one training run; the defaults are the paper's for CIFAR-10.

    The fields say what they are. Raises ValueError for values out of range.
    Ho et al. 2020, appendix B; warm-up and clipping are in the authors' code only.
    """

    steps: int = 800_000  # updates in all
    batch_size: int = 128  # examples of one update, over all processes
    accumulate: int = 1  # parts of a process' share of a batch, to save memory
    lr: float = 2e-4  # Adam's learning rate
    weight_decay: float = 0.0  # above 0 AdamW; biases and normalisations are left alone
    warmup_steps: int = 5000  # over which lr rises to that, on a straight line
    # constant is the paper's; cosine and linear let lr fall to 0 over all steps
    lr_schedule: str = "constant"
    grad_clip: float | None = 1.0  # largest norm of the gradient
    ema_decay: float = 0.9999  # of the average of the weights, in [0, 1)
    # how t is drawn: uniform, or logit_normal, which spends more on the middle of 1..T
    t_law: str = "uniform"
    antithetic: bool = False  # give T + 1 - t to the other half of the batch
    shuffle: bool = True  # draw another order of the data in every epoch
    flip: bool = False  # mirror half of the pictures (the paper does so on CIFAR-10)
    min_snr: float | None = None  # gamma of weights min(SNR, gamma), such as 5
    # a predicted x_0 beyond the range of the data costs nothing where x_0 is at that end
    free_ends: bool = False
    drop_label: float = 0.0  # share of labels replaced by "no class"
    precision: str = "auto"  # of the network: auto, float32, bfloat16 or float16
    fast: bool = True  # fused Adam, EMA, channels last: the same on a CPU but for rounding
    compile: bool = False  # torch.compile the network
    checkpoint_gradients: bool = False  # compute blocks twice, to save memory
    seed: int = 0  # all that is random is a function of it
    log_every: int = 100  # steps between two lines of metrics
    save_every: int = 5000  # steps between two checkpoints
    sample_every: int = 5000  # steps between two grids of samples, 0 for none
    keep: int = 2  # how many checkpoints stay, the newest ones
    keep_best: bool = True  # and that of the lowest held-out loss, if any is measured

    def __post_init__(self):
        least = dict(steps=1, batch_size=1, accumulate=1, warmup_steps=0, seed=0, keep=1)
        least |= dict(log_every=1, save_every=1, sample_every=0)
        for name, low in least.items():
            whole = check_integer(name, getattr(self, name), low)
            object.__setattr__(self, name, whole)  # as plain Python has it, for JSON
        flags = ("antithetic", "shuffle", "flip", "fast", "compile", "checkpoint_gradients")
        for name in (*flags, "keep_best", "free_ends"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(
                    f"{name} must be True or False, got {getattr(self, name)!r}"
                )
        check_name("precision", self.precision, "auto", *PRECISIONS)
        check_name("lr_schedule", self.lr_schedule, *LR_SCHEDULES)
        check_name("t_law", self.t_law, *T_LAWS)
        ranges = dict(lr=(1e-12,), ema_decay=(0, 1 - 1e-12), drop_label=(0, 1))
        ranges |= dict(weight_decay=(0,))
        for name in ("grad_clip", "min_snr"):
            ranges |= {} if getattr(self, name) is None else {name: (1e-12,)}
        for name, ends in ranges.items():
            number = check_number(name, getattr(self, name), *ends)
            object.__setattr__(self, name, number)

    def as_dict(self):
        r"""The settings as plain values, for a results file."""
        return asdict(self)

    def lr_factor(self, step):
        r"""The share of lr in force at `step` (1, 2, ...): a function of it alone."""
        warmup = min(1.0, step / max(1, self.warmup_steps))
        if self.lr_schedule == "constant":
            return warmup
        done = min(1.0, (step - 1) / self.steps)
        if self.lr_schedule == "linear":
            return warmup * (1 - done)
        return warmup * 0.5 * (1 + math.cos(math.pi * done))

    def in_words(self):
        r"""How the weights are found, such as "Adam at 0.001", in one line."""
        words = [f"{'AdamW' if self.weight_decay else 'Adam'} at {self.lr:g}"]
        if self.lr_schedule != "constant":
            words.append(f"which falls to 0 ({self.lr_schedule})")
        if self.weight_decay:
            words.append(f"weight decay {self.weight_decay:g}")
        if self.min_snr is not None:
            words.append(f"min-SNR {self.min_snr:g}")
        if self.free_ends:
            words.append("free ends")
        if self.checkpoint_gradients:
            words.append("blocks computed twice")
        return ", ".join([*words, f"EMA {self.ema_decay:g}"])


def _with_advice(init):
    r"""Let a setting of version 0.3 that has another name now be an error with advice."""

    @wraps(init)
    def checked(self, *values, **settings):
        if "decay_lr" in settings:
            falls = "cosine" if settings["decay_lr"] else "constant"
            raise TypeError(
                f"decay_lr is lr_schedule now: for decay_lr={settings['decay_lr']!r} "
                f"write lr_schedule={falls!r}"
            )
        init(self, *values, **settings)

    return checked


TrainConfig.__init__ = _with_advice(TrainConfig.__init__)
