r"""Networks that are not of the package, as a user writes them."""

import torch
from torch import nn
from torch.nn.functional import dropout, silu

PICTURES = (1, 4, 4)


def pictures(n=9, shape=PICTURES, seed=1):
    r"""Random grey levels, uint8 (n, *shape)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, *shape), generator=generator).to(torch.uint8)


class Own(nn.Module):
    r"""A small network for pictures: everything that a run of one's own may have.

    BatchNorm has buffers that training changes, torch's Dropout draws numbers, and two
    layers share one weight.
    """

    clip = (-1, 1)

    def __init__(self, width=4, prediction="v", classes=0, shape=None, learned=False):
        super().__init__()
        shape = dict(sizes=[[1, 4], [4, 4]]) if shape is None else shape
        self.config = dict(width=width, prediction=prediction, classes=classes)
        self.config |= dict(shape=shape, learned=learned)
        self.prediction, self.classes, self.learned_variance = prediction, classes, learned
        self.time, self.label = nn.Linear(1, width), nn.Embedding(classes + 1, width)
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.norm, self.drop = nn.BatchNorm2d(width), nn.Dropout(0.2)
        self.hidden = nn.Conv2d(width, width, 3, padding=1)
        self.tied = nn.Conv2d(width, width, 3, padding=1)
        self.tied.weight = self.hidden.weight
        self.last = nn.Conv2d(width, 1 + learned, 3, padding=1)

    def forward(self, x_t, t, y=None):
        y = torch.full_like(t, self.classes) if y is None else y
        told = self.time(t[:, None].to(x_t.dtype) / 10) + self.label(y)
        h = self.norm(self.first(x_t) + told[:, :, None, None])
        h = h + self.drop(self.hidden(silu(h)))
        return self.last(silu(h + self.tied(silu(h))))


class Flat(nn.Module):
    r"""The smallest network that a file can hold: for points, and for every T."""

    prediction, config = "noise", {}

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 2)

    def forward(self, x_t, t):
        return self.line(torch.cat([x_t, t[:, None].to(x_t.dtype) / 10], 1))


def make_inside(width):
    r"""A network of a class that lives in a function."""

    class Inside(Flat):
        def __init__(self, width):
            super().__init__()
            self.config, self.wide = dict(width=width), nn.Linear(width, width)

        def forward(self, x_t, t):
            return super().forward(dropout(x_t, 0.0), t)

    return Inside(width)
