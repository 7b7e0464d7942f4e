r"""Data of which a linear measurement is known: a denoiser that takes it into account.

The measurement is m = A x_0 + deviation * noise: some pixels (inpainting), means of blocks
(super-resolution), the mean of the channels (colourising). What is known of m moves the
guess of x_0; sampler, spacing and network stay as they are.
"""

import torch
from torch import nn

from ..checks import check_number, same_shape
from ..denoiser import check_denoiser, clip_of, said
from ..process import predict, prediction_of, to_x_0
from ..schedule import at
from .asked import check_measurement


def measured(model, schedule, A, m, *, deviation=0.0, variance=None):
    r"""A denoiser for p(x_0 | m) in the place of one for p(x_0): pseudoinverse guidance.

    model: called as model(x_t, t) or model(x_t, t, y). A: a linear function, (B, *shape)
    -> (B, *seen), whose rows are orthogonal and of one length, as those of masks, block
    means and channel means are. m: (B, *seen), what was measured. deviation: of the noise
    in m. variance: a function (x_t, t) -> the variance of A x_0 given x_t, which
    broadcasts to m; if None, (1 - alpha_bar_t) times the squared length of a row, right
    for data from N(0, I).
    Returns a `Measured`. Raises ValueError or TypeError for what does not fit.

    Bayes' rule adds the score of p(m | x_t), and Tweedie's formula turns it into a shift
    of x_0_pred. p(m | x_t) is taken for a Gaussian around A x_0_pred, whose gradient goes
    through the network. On Gaussian data with the true variance of A x_0 (and, where it
    has several entries, if they are independent given x_t) this is exact.
    Song, Vahdat, Mardani and Kautz 2023, Pseudoinverse-Guided Diffusion Models for Inverse
    Problems (PiGDM, ICLR), with the weight of Tweedie's formula for their adaptive one.
    """
    return Measured(model, schedule, A, m, deviation, variance)


class Measured(nn.Module):
    r"""What `measured` makes. Called as its model is; it predicts x_0."""

    prediction, learned_variance = "x_0", False

    def __init__(self, model, schedule, A, m, deviation, variance):
        super().__init__()
        check_denoiser(model, schedule)
        check_number("deviation", deviation, 0)
        check_measurement(A, m, variance)
        self.model, self.schedule, self.A, self.m = model, schedule, A, m
        self.deviation, self.variance = deviation, variance
        self.kind, self.clip = prediction_of(model), clip_of(model)
        self.T, self.classes = said(model, "T"), said(model, "classes")
        self.length = None  # of a row of A, squared: known when the first x_t comes

    def forward(self, x_t, t, y=None):
        if (self.schedule.alpha_bar[t.cpu()] == 0).any():
            raise ValueError(
                "at alpha_bar_t = 0 x_t knows nothing of x_0: start at a lower t"
            )
        with torch.enable_grad():
            x = x_t.detach().requires_grad_()
            x_0_pred = to_x_0(self.schedule, x, t, predict(self.model, x, t, y), self.kind)
            seen = self.A(x_0_pred)
            same_shape(m=self.m, A_of_x_0=seen)
            missing = self.m.to(seen) - seen.detach()
            pull = missing / (self._variance(x_t, t, seen) + self.deviation**2)
            (gradient,) = torch.autograd.grad(seen, x, pull)
        one_minus_t = at(self.schedule.one_minus_alpha_bar, t, x_t)
        a_t = at(self.schedule.alpha_bar, t, x_t).sqrt()
        return x_0_pred.detach() + one_minus_t / a_t * gradient

    def _variance(self, x_t, t, seen):
        if self.variance is not None:
            return self.variance(x_t, t)
        if self.length is None:
            self.length = squared_length(self.A, x_t)
        return self.length * at(self.schedule.one_minus_alpha_bar, t, seen)


def squared_length(A, x):
    r"""The c of A A^T = c I, a number. x: (B, *shape), as A takes it.

    Raises ValueError for an A that is not linear, or whose rows are not orthogonal and of
    one length: 1 for a mask, 1/n for means of n numbers.
    """
    with torch.enable_grad():
        at_zero = torch.zeros_like(x[:1], dtype=torch.float64).requires_grad_()
        seen = A(at_zero)
        probe = 1 + torch.arange(seen.numel(), device=x.device).to(seen).remainder(7)
        probe = probe.reshape(seen.shape)
        (back,) = torch.autograd.grad(seen, at_zero, probe)
    ratio = A(back) / probe
    least, most = float(ratio.min()), float(ratio.max())
    if seen.abs().max() > 0 or not 0 < least <= most < least * (1 + 1e-6):
        raise ValueError(
            "A must be linear, with orthogonal rows of one length, so that A A^T = c I; "
            f"here it gives {float(seen.detach().abs().max()):.3g} for 0, and c lies "
            f"between {least:.4g} and {most:.4g}: give variance="
        )
    return most
