r"""A network for points: a multilayer perceptron with an embedding of t at every layer."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from ..checks import PREDICTIONS, check_index, check_integer, check_name


class MLP(nn.Module):
    r"""Predict the noise in a point x_t, from x_t and t.

    Each hidden layer computes activation(linear(h) + embedding(t)). dim: dimensions of a
    point. T: number of steps, t is 1..T. width, depth: of the hidden layers.
    embedding: "table", one learned vector for each t and layer (the lecture's choice);
    or "sinusoid", the sinusoidal embedding of t and one linear map for each layer.
    activation: "relu" or "silu". prediction: what the output means, "noise", "x_0" or
    "v". Called as model(x_t, t) with x_t (B, dim) and t int64 (B,); returns (B, dim).
    Points have no range to clip to. Raises ValueError for other names or an x_t of another
    shape, IndexError for t outside 1..T. Defaults are the lecture's (chapter 05), but for
    its T = 100.
    """

    learned_variance = False
    clip, classes = None, 0

    def __init__(
        self,
        T=1000,
        dim=2,
        width=128,
        depth=3,
        embedding="table",
        activation="relu",
        prediction="noise",
    ):
        super().__init__()
        T, dim = check_integer("T", T, 1), check_integer("dim", dim, 1)
        width, depth = check_integer("width", width, 1), check_integer("depth", depth, 1)
        check_name("embedding", embedding, "table", "sinusoid")
        check_name("activation", activation, "relu", "silu")
        check_name("prediction", prediction, *PREDICTIONS)
        self.config = dict(
            T=T,
            dim=dim,
            width=width,
            depth=depth,
            embedding=embedding,
            activation=activation,
            prediction=prediction,
        )
        self.T, self.dim, self.prediction = T, dim, prediction
        self.activation = nn.ReLU() if activation == "relu" else nn.SiLU()
        widths = [dim] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(widths))
        if embedding == "table":
            self.time = nn.ModuleList(nn.Embedding(T, width) for _ in range(depth))
        else:
            table = sinusoidal_embedding(torch.arange(T), width)  # (T, width)
            self.register_buffer("sinusoidal", table, persistent=False)
            self.time = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.out = nn.Linear(width, dim)

    def forward(self, x_t, t):
        if x_t.dim() != 2 or x_t.shape[1] != self.dim:
            raise ValueError(f"x_t must have shape (B, {self.dim}), got {tuple(x_t.shape)}")
        check_index(t, x_t)
        index = t - 1  # tables of a network count from 0
        table = self.config["embedding"] == "table"  # its layers look t up themselves
        given = index if table else F.embedding(index, self.sinusoidal)
        h = x_t  # (B, dim)
        for linear, time in zip(self.hidden, self.time, strict=True):
            h = self.activation(linear(h) + time(given))  # (B, width)
        return self.out(h)  # (B, dim)


def sinusoidal_embedding(index, width, sine_first=True, shift=1):
    r"""Sines and cosines of a whole number: by default sines first, then cosines.

    index: int64 (B,), counted from 0. width: even, >= 4. shift: the frequencies fall
    geometrically from 1 to 1/10000, that end included with shift 1; with shift 0 they
    stop one short of it. Returns float32 (B, width). Raises ValueError for another width.
    Vaswani et al. 2017, section 3.5, in the order and spacing of Ho et al.'s code.
    """
    if width % 2 or width < 4:
        raise ValueError(f"width must be even and >= 4, got {width}")
    half = width // 2
    exponent = torch.arange(half, dtype=torch.float64, device=index.device)
    exponent = exponent / (half - shift)
    angle = index[:, None].double() * 10_000.0**-exponent  # (B, half)
    halves = [angle.sin(), angle.cos()] if sine_first else [angle.cos(), angle.sin()]
    return torch.cat(halves, dim=1).float()
