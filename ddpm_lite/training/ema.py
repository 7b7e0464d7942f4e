r"""The running average of the weights that samples are drawn from."""

import copy

import torch

from ..checks import check_number


class EMA:
    r"""An exponential moving average of a model's weights, with warm-up.

    Update n = 0, 1, ... uses the decay min(decay, (1 + n) / (10 + n)): early on it
    forgets quickly, so the random initial weights do not linger. Buffers are copied.
    `model` is the average, in eval mode; `initial_share` the fraction of it that is
    still the initial weights. fast: one call for all tensors, instead of one for each.
    Raises ValueError for a decay outside [0, 1), and for a model without weights.
    Ho et al. 2020, appendix B, for 0.9999; the warm-up is TensorFlow's.
    """

    def __init__(self, model, decay=0.9999, warmup=True, fast=True):
        check_number("ema_decay", decay, 0, 1 - 1e-12)
        if not list(getattr(model, "parameters", tuple)()):
            raise ValueError(f"a {type(model).__name__} has no weights to average")
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.averages = list(self.model.parameters())  # found once: that is slow
        self.decay, self.warmup, self.fast = decay, warmup, fast
        self.updates, self.initial_share = 0, 1.0

    def __repr__(self):
        return f"EMA(decay={self.decay}, updates={self.updates})"

    @torch.no_grad()
    def update(self, model):
        r"""Move the average towards the model's present weights."""
        n = self.updates
        decay = min(self.decay, (1 + n) / (10 + n)) if self.warmup else self.decay
        weights = list(model.parameters())
        if self.fast:
            torch._foreach_lerp_(self.averages, weights, 1 - decay)
        else:
            for average, weight in zip(self.averages, weights, strict=True):
                average.lerp_(weight, 1 - decay)
        for average, buffer in zip(self.model.buffers(), model.buffers(), strict=True):
            average.copy_(buffer)
        self.updates, self.initial_share = n + 1, self.initial_share * decay
