r"""Guidance: away from what a weaker denoiser says, towards what the better one says.

    noise_pred = noise_none + gamma (noise_y - noise_none)

noise_y is the prediction with the class, noise_none the one without. gamma = 1 is no
guidance, 0 leaves the class out, and above 1 goes beyond the class: samples that fit it
better, and that differ less from each other. Ho and Salimans write w = gamma - 1. The two
weights add to 1, so that predictions of x_0 and of v combine alike.

What is drawn so is not the law p(x) p(y | x)^gamma, whatever the number of steps: chapter
12 shows it on a Gaussian.
"""

import torch
from torch import nn

from ..checks import check_labels, check_number
from ..denoiser import said
from ..process import predict_both
from .asked import check_interval, check_weaker


def guided(model, gamma, *, interval=None, weaker=None):
    r"""A denoiser with guidance: it takes the place of `model` in every sampler.

    model: a denoiser that is called as model(x_t, t, y) and has learned "no class" too, as
    label model.classes (train with `drop_label`). gamma: the guidance scale, a number; 1 is
    no guidance. interval: (low, high), guidance for low <= t <= high alone, and none
    outside, where one call does; None is everywhere. weaker: another denoiser in the place
    of the one without a class (autoguidance): smaller, or trained for less time; it gets
    the same y.
    Returns a `Guided`. Raises ValueError for a model without classes and no `weaker`, for a
    `weaker` that predicts something else, and for an interval that is empty.
    Ho and Salimans 2022 (arXiv 2207.12598), Eq. 6; Kynkaanniemi et al. 2024 (2404.07724)
    for the interval; Karras et al. 2024 (2406.02507) for a weaker network.
    """
    return Guided(model, gamma, interval=interval, weaker=weaker)


class Guided(nn.Module):
    r"""What `guided` makes. Called as a denoiser: x_t (B, *shape), t (B,), y int64 (B,).

    It says of itself what its model says: prediction, learned_variance, classes, T and
    clip. Where the variance is learned, all channels of the prediction are guided, and
    the variance is the one that belongs to the class.
    """

    def __init__(self, model, gamma, *, interval=None, weaker=None):
        super().__init__()
        check_number("gamma", gamma)
        check_weaker(model, weaker)
        self.model, self.weaker, self.gamma = model, weaker, float(gamma)
        for name in ("prediction", "clip", "T", "classes"):
            setattr(self, name, said(model, name))
        self.learned_variance = bool(said(model, "learned_variance"))
        self.interval = check_interval(interval, self.T)

    def forward(self, x_t, t, y=None):
        if y is None and self.weaker is None:
            raise ValueError("guidance needs a class for each sample: give y, int64 (B,)")
        if y is not None and self.classes:
            check_labels(y, len(x_t), self.classes)
        gamma_t = self.gamma_at(t)
        if (gamma_t == 1).all():
            return self.model(x_t, t) if y is None else self.model(x_t, t, y)
        (pred_y, share), pred_none = self.both(x_t, t, y)
        gamma_t = gamma_t.to(pred_y).view(-1, *[1] * (x_t.dim() - 1))
        pred = torch.lerp(pred_none, pred_y, gamma_t)  # exactly pred_y where gamma_t = 1
        return pred if share is None else torch.cat([pred, share], 1)

    def gamma_at(self, t):
        r"""The scale for each t: gamma in the interval, 1 outside. float64 (B,)."""
        gamma_t = torch.full_like(t, self.gamma, dtype=torch.float64)
        if self.interval is None:
            return gamma_t
        low, high = self.interval
        return torch.where((low <= t) & (t <= high), gamma_t, 1.0)

    def both(self, x_t, t, y):
        r"""The prediction with a class, with what it says of the variance, and without.

        Returns ((B, *shape), like it or None), (B, *shape).
        """
        if self.weaker is not None:
            knows_y = said(self.weaker, "classes") != 0  # or a callable that does not say
            weak, _ = predict_both(self.weaker, x_t, t, y if knows_y else None)
            return predict_both(self.model, x_t, t, y), weak
        none = torch.full_like(y, self.classes)
        twice = torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([y, none])
        pred, share = predict_both(self.model, *twice)  # one call for both is faster
        pred_y, pred_none = pred.chunk(2)
        return (pred_y, None if share is None else share.chunk(2)[0]), pred_none
