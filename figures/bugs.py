r"""Runs that are really trained with a fault: `python figures/bugs.py [05 06 07]`.

For each chapter with an exercise of the kind "bug": a sound run, the run that the exercise
shows, and other faults of its list, each alone. Small models, ten to twenty seconds each
on a CPU. Writes figures/runs/bugs.json, from which tests/classroom/test_bugs.py reads
which fault has which symptom, and exercises/bugs/NN.png, the picture of the statement.
--draw draws it again from build/bugs, and trains only what is not there.
"""

import argparse
import json
import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ddpm_lite import DataOracle, Schedule, data, figure, q_sample, sample
from ddpm_lite.evaluation import metrics
from ddpm_lite.lab.doctor.loss import linear_ceiling
from ddpm_lite.models.mlp import MLP, sinusoidal_embedding

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "figures" / "runs" / "bugs.json"
PICTURES = ROOT / "exercises" / "bugs"
KEPT = ROOT / "build" / "bugs"
BANDS = 5
SOUND = ()


@dataclass(frozen=True)
class Chapter:
    r"""The runs of one exercise.

    shown: the faults of the run that the statement shows. alone: the others of its list
    that are trained one at a time. run: faults -> (numbers, tensors), numbers for the
    results file, tensors for the picture. bound: () -> what the losses are compared with.
    draw: (sound, shown), both such pairs, -> a figure. table: (sound, shown, bound), both
    the numbers, -> the table of the statement, in Markdown.
    """

    shown: tuple[str, ...]
    alone: list[str]
    run: Callable
    bound: Callable
    draw: Callable
    table: Callable


def rounded(value, digits=4):
    r"""Numbers for a file that people read: floats of so many significant digits."""
    if isinstance(value, dict):
        return {k: rounded(v, digits) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v, digits) for v in value]
    if isinstance(value, torch.Tensor):
        return rounded(value.tolist(), digits)
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def band_of(t, T):
    r"""Which of `BANDS` equal parts of 1..T a step is in."""
    return (t - 1) * BANDS // T


def by_band(values, t, T):
    r"""Means of values (n,) in the bands of t (n,)."""
    where = band_of(t, T)
    return [float(values[where == k].mean()) for k in range(BANDS)]


def jumps(losses, last=400):
    r"""How much the loss differs between updates: deviation / mean of the last ones."""
    tail = torch.tensor(losses[-last:])
    return float(tail.std() / tail.mean())


def adam(model, loss_of, updates, lr, warm=50):
    r"""Train by Adam with warm-up and cosine; returns the loss of each update."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for n in range(updates):
        slow = min(1.0, (n + 1) / warm) * 0.5 * (1 + math.cos(math.pi * n / updates))
        optimizer.param_groups[0]["lr"] = lr * slow
        loss = loss_of(model, n)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


# --- chapter 05: the training step of an MLP on the S-curve


def example(x_0, schedule, generator, faults, t=None):
    r"""(x_t, t for the network, target) as a training step with these faults makes them."""
    B, T, alpha_bar = len(x_0), schedule.T, schedule.alpha_bar.float()
    last = T // 2 if "half_of_t" in faults else T
    count = 1 if "one_t" in faults and t is None else B
    drawn = torch.randint(1, last + 1, (count,), generator=generator).expand(B)
    t = drawn if t is None else t
    noise = torch.randn(x_0.shape, generator=generator)
    other = torch.randn(x_0.shape, generator=generator)
    if "shared_noise" in faults:
        noise = noise[:, :1].expand_as(x_0)
    entry = t - 1 if "off_by_one" in faults else t
    a = schedule.alpha.float()[t] if "alpha" in faults else alpha_bar[entry]
    a = a[:, None]
    signal, spread = (a, 1 - a) if "no_roots" in faults else (a.sqrt(), (1 - a).sqrt())
    target = noise
    if "x_0_target" in faults:
        target = x_0
    if "other_noise" in faults:
        target = other
    said = torch.ones_like(t) if "t_unused" in faults else t
    return signal * x_0 + spread * noise, said, target


def chapter_05(faults, updates=2000, size=256):
    T = 100
    schedule, generator = Schedule.cosine(T), torch.Generator().manual_seed(5)
    points = data.s_curve(10_000)
    torch.manual_seed(0)
    model = MLP(T=T, width=96, embedding="sinusoid", activation="silu")
    times = 2 if "sum" in faults else 1

    def loss_of(model, n):
        index = torch.randint(len(points), (size,), generator=generator)
        x_t, t, target = example(points[index], schedule, generator, faults)
        return times * (model(x_t, t) - target).square().mean()

    losses = adam(model, loss_of, updates, 3e-3)
    fresh, t = data.s_curve(40_000, seed=7), torch.arange(40_000) % T + 1
    noise = torch.randn(fresh.shape, generator=generator)
    with torch.no_grad():
        x_t, said, target = example(fresh, schedule, generator, faults, t)
        own = times * (model(x_t, said) - target).square().mean(1)
        said = torch.ones_like(t) if "t_unused" in faults else t
        answers = model(q_sample(schedule, fresh, t, noise), said)
    right = (answers - noise).square().mean(1)
    told = (lambda x, t: model(x, torch.ones_like(t))) if "t_unused" in faults else model
    drawn = sample(told, schedule, (2000, 2), seed=1, progress=False, prediction="noise")
    distance = metrics.energy_distance(drawn.double(), data.s_curve(2000, seed=9).double())
    numbers = {
        "loss": sum(losses[-400:]) / 400,
        "jumps": jumps(losses),
        "own": by_band(own, t, T),
        "right": by_band(right, t, T),
        "energy_distance": float(distance),
        "deviation": drawn.std(0).tolist(),
    }
    return numbers, {"losses": torch.tensor(losses), "samples": drawn}


def floor_05(T=100):
    r"""The loss that no network gets below on the S-curve, in bands of t."""
    schedule, scale = Schedule.cosine(T), torch.tensor(data.s_curve_scale()).double()
    oracle = DataOracle(schedule, data.s_curve_middle(500) / scale, (0.1 / scale) ** 2)
    x_0, t = data.s_curve(20_000, seed=8).double(), torch.arange(20_000) % T + 1
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(8)).double()
    x_t = q_sample(schedule, x_0, t, noise)
    answers = torch.cat(
        [oracle(*p) for p in zip(x_t.split(2000), t.split(2000), strict=True)]
    )
    return by_band((answers - noise).square().mean(1), t, T)


SOUND_COLOUR, FAULTY_COLOUR = (figure.COLOURS[name] for name in ("prediction", "extra"))


def curves(axis, sound, shown, height=0.9):
    r"""Losses of all updates, the sound run in front. height: of the labels."""
    for run, colour in ((shown, FAULTY_COLOUR), (sound, SOUND_COLOUR)):
        axis.plot(run[1]["losses"], color=colour, linewidth=0.6)
    axis.set(xlabel="update", title="loss of each batch")
    place = dict(transform=axis.transAxes, ha="right", fontsize=9)
    axis.text(0.97, height, "this run", color=FAULTY_COLOUR, **place)
    axis.text(0.97, height - 0.1, "sound run", color=SOUND_COLOUR, **place)


def panel(axis, array, title, colour=FAULTY_COLOUR, limit=2.5):
    r"""Points or pictures, titled in the colour of the run that they come from."""
    figure.draw(axis, array, colour, limit)
    axis.set_title(title, color=colour)


def sheet(axis, pictures, title, colour, columns=6):
    r"""Pictures in rows on one axis."""
    axis.imshow(figure.tile(pictures, columns), cmap="gray", vmin=-1, vmax=1)
    axis.set_axis_off()
    axis.set_title(title, color=colour)


def draw_05(sound, shown):
    r"""Losses, and samples of both runs."""
    fig, (left, middle, right) = figure.canvas(1, 3, width=7.4, height=2.6)
    curves(left, sound, shown)
    left.set(ylim=(0, 1.6))
    panel(middle, sound[1]["samples"], "samples, sound run", SOUND_COLOUR)
    panel(right, shown[1]["samples"], "samples, this run")
    return fig


def rows_of(head, rows):
    r"""A Markdown table; numbers in a row of numbers with three decimals."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    lines += [[n, *(f"{v:.3f}" for v in values)] for n, values in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bands(T=100):
    r"""The head of a table in bands of t."""
    size = T // BANDS
    return ["$t$", *(f"{k * size + 1} to {(k + 1) * size}" for k in range(BANDS))]


def table_05(sound, shown, bound):
    r"""The loss in bands of t: its own, and that of sound examples."""
    return rows_of(
        bands(),
        [
            ("this run, its own loss", shown["own"]),
            ("this run, loss of sound examples", shown["right"]),
            ("sound run, the same loss", sound["right"]),
            ("floor", bound),
        ],
    )


# --- chapters 06 and 07: a U-Net of two resolutions on the digits, 8 by 8


class Norm(nn.Module):
    r"""GroupNorm of 4 groups, or with "batch_norm" over the batch, always its own."""

    def __init__(self, channels, faults):
        super().__init__()
        self.inner, self.batch = nn.GroupNorm(4, channels), "batch_norm" in faults

    def forward(self, x):
        if not self.batch:
            return self.inner(x)
        x = (x - x.mean((0, 2, 3), keepdim=True)) / (x.std((0, 2, 3), keepdim=True) + 1e-5)
        return x * self.inner.weight[:, None, None] + self.inner.bias[:, None, None]


class Stage(nn.Module):
    r"""norm, plus the embedding of t, SiLU, convolution: (B, C, H, W) to (B, out, H, W)."""

    def __init__(self, channels, out, faults, circle=False):
        super().__init__()
        self.faults, self.norm = faults, Norm(channels, faults)
        self.mode = "circular" if circle else "constant"
        self.project = nn.Linear(64, channels)
        self.conv = nn.Conv2d(channels, out, 3)

    def forward(self, x, e):
        h = self.norm(x)
        if "t_missing" not in self.faults:
            h = h + self.project(e)[:, :, None, None]
        if "no_silu" not in self.faults:
            h = F.silu(h)
        return self.conv(F.pad(h, (1, 1, 1, 1), mode=self.mode))


class TinyU(nn.Module):
    r"""8 by 8, 4 by 4, and back, 16 and 32 channels: predicts the noise in digits.

    Convolutions on the way up pad in a circle, so that pixels there have no other place
    than what comes from below and from the skip.
    """

    prediction, learned_variance, clip, classes, T = "noise", False, (-1.0, 1.0), 0, 100

    def __init__(self, faults=SOUND):
        super().__init__()
        self.faults = faults
        self.register_buffer("table", sinusoidal_embedding(torch.arange(self.T), 64))
        self.time = nn.Sequential(nn.Linear(64, 64), nn.SiLU())
        self.into = nn.Conv2d(1, 16, 3, padding=1)
        sizes = [(16, 16), (16, 32), (32, 16), (32, 16), (16, 16)]
        self.stages = nn.ModuleList(
            Stage(n, m, faults, circle=k > 2) for k, (n, m) in enumerate(sizes)
        )
        self.out = nn.Conv2d(16, 1, 3, padding=1, padding_mode="circular")
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x_t, t):
        e = self.time(self.table[t - 1])
        down, small, middle, up, last = self.stages
        x = self.into(x_t)
        kept = x + down(x, e)
        x = middle(small(F.avg_pool2d(kept, 2), e), e)
        x = up(self.joined(x, kept), e)
        x = x + last(x, e)
        return self.out(F.silu(x))

    def joined(self, x, skip):
        r"""The small picture enlarged, and behind it what the way down kept."""
        if "tiles" in self.faults:
            x = x.repeat(1, 1, 2, 2)
        else:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        if "no_skip" in self.faults:
            skip = x
        if "skip_flipped" in self.faults:
            skip = skip.flip(2)
        return torch.cat([x, skip], 1)


SCHEDULE = Schedule.cosine(100)


def noised(x_0, t, generator):
    r"""(x_t, noise) of pictures."""
    noise = torch.randn(x_0.shape, generator=generator)
    return q_sample(SCHEDULE, x_0, t, noise), noise


def losses_in_bands(model, x_0, seed=3):
    r"""(losses, t) of a model on 300 pictures, 10 draws of each."""
    generator = torch.Generator().manual_seed(seed)
    x_0 = x_0[:300].repeat(10, 1, 1, 1)
    t = torch.arange(len(x_0)) * 37 % 100 + 1
    x_t, noise = noised(x_0, t, generator)
    with torch.no_grad():
        answers = torch.cat(
            [model(*p) for p in zip(x_t.split(500), t.split(500), strict=True)]
        )
    return (answers - noise).square().flatten(1).mean(1), t


def drawn(model, count=64):
    r"""Pictures by Algorithm 2 with the small variance."""
    return sample(model, SCHEDULE, (count, 1, 8, 8), seed=1, progress=False)


def mirrored_share(pictures, x_0):
    r"""Share of pictures that are nearer to a mirrored picture of the set than to any."""
    flat = pictures.flatten(1)
    near, turned = (
        torch.cdist(flat, y.flatten(1)).min(1).values for y in (x_0, x_0.flip(3))
    )
    return float((turned < near).double().mean())


def likeness(pictures, x_0):
    r"""Numbers about samples: energy distance to data, and the data's own scatter."""
    flat = pictures.flatten(1).double()
    return {
        "energy_distance": float(metrics.energy_distance(flat, x_0.flatten(1).double())),
        "mirrored": mirrored_share(pictures, x_0),
        "nearest": float(torch.cdist(flat.float(), x_0.flatten(1)).min(1).values.mean()),
        "darkest": float(pictures.amin((1, 2, 3)).mean()),
        "mean": float(pictures.mean()),
    }


PIXEL = (6, 1)  # row and column of the output that the map of influences belongs to


def influences(model, x_0, t=50):
    r"""Mean |d answer at PIXEL / d x_t| over pictures, (8, 8), its sum 1."""
    t = torch.full((len(x_0),), t)
    x_t, _ = noised(x_0, t, torch.Generator().manual_seed(4))
    x_t.requires_grad_(True)
    model(x_t, t)[:, 0, PIXEL[0], PIXEL[1]].sum().backward()
    map_ = x_t.grad.abs().mean((0, 1))
    return map_ / map_.sum()


def repeats(model, x_0, t=50):
    r"""Correlation of the answers at two pixels that lie half a picture apart."""
    t = torch.full((len(x_0),), t)
    x_t, _ = noised(x_0, t, torch.Generator().manual_seed(5))
    with torch.no_grad():
        answers = model(x_t, t)
    a, b = answers[:, :, :4].flatten(), answers[:, :, 4:].flatten()
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


def chapter_06(faults, updates=900, size=64):
    x_0, held_out = data.digits()[0], data.digits("held_out")[0]
    generator = torch.Generator().manual_seed(6)
    torch.manual_seed(0)
    model = TinyU(faults)

    def loss_of(model, n):
        index = torch.randint(len(x_0), (size,), generator=generator)
        t = torch.randint(1, 101, (size,), generator=generator)
        x_t, noise = noised(x_0[index], t, generator)
        return (model(x_t, t) - noise).square().mean()

    losses = adam(model, loss_of, updates, 3e-3)
    pictures, map_ = drawn(model), influences(model, held_out[:100])
    errors, t = losses_in_bands(model, held_out)
    asked, noise = noised(held_out[:1], torch.tensor([50]), generator)
    with torch.no_grad():
        answer = model(asked, torch.tensor([50]))
    x_t, _ = noised(held_out[:64], torch.full((64,), 50), generator)
    early, late = torch.full((64,), 20), torch.full((64,), 80)
    with torch.no_grad():
        a, b = model(x_t, early), model(x_t, late)
        alone = torch.cat([model(x_t[:2], early[:2])])
    numbers = {
        "first": losses[0],
        "loss": sum(losses[-200:]) / 200,
        "jumps": jumps(losses, 200),
        "right": by_band(errors, t, 100),
        "of_t": float((a - b).norm() / a.norm()),
        "of_others": float((alone - a[:2]).norm() / a[:2].norm()),
        "near": float(map_[5:8, 0:3].sum()),
        "four": repeats(model, held_out[:64]),
        "map": [[round(float(v), 4) for v in row] for row in map_],
        **likeness(pictures, x_0),
    }
    shown = torch.cat([asked, noise, answer])[:, 0]
    tensors = {"losses": torch.tensor(losses), "samples": pictures, "map": map_}
    return numbers, tensors | {"answer": shown}


def ceiling():
    r"""The loss of the best linear prediction on the digits, in bands of t."""
    t = torch.arange(1, 101)
    return by_band(linear_ceiling(SCHEDULE, data.digits()[0], t), t, 100)


DECAY = 0.999
MARKS = (100, 200, 400, 900)


def chapter_07(faults, updates=MARKS[-1], size=64):
    x_0, held_out = data.digits()[0], data.digits("held_out")[0]
    generator = torch.Generator().manual_seed(7)
    torch.manual_seed(0)
    model, average = TinyU(), TinyU()
    average.load_state_dict(model.state_dict())
    if "ema_from_zero" in faults:
        for w in average.parameters():
            nn.init.zeros_(w)
    marks = []

    def loss_of(model, n):
        if n:
            averaged(n - 1)
        index = torch.randint(len(x_0), (size,), generator=generator)
        batch = x_0[index]
        if "flips" in faults:
            turned = torch.rand(size, generator=generator) < 0.5
            batch = torch.where(turned[:, None, None, None], batch.flip(3), batch)
        if "range" in faults:
            batch = (batch + 1) / 2
        t = torch.randint(1, 101, (size,), generator=generator)
        x_t, noise = noised(batch, t, generator)
        return (model(x_t, t) - noise).square().mean()

    @torch.no_grad()
    def averaged(n):
        decay = min(DECAY, (1 + n) / (10 + n))
        if "ema_from_zero" in faults or "ema_slow" in faults:
            decay = 0.9999 if "ema_slow" in faults else DECAY
        if "ema_swapped" in faults:
            decay = 1 - decay
        for w, v in zip(model.parameters(), average.parameters(), strict=True):
            v.lerp_(w, 1 - decay)
        if n + 1 in MARKS:
            marks.append(measured(n + 1))

    def measured(n):
        whose = {"weights": model, "ema": average}
        found = {k: float(losses_in_bands(m, held_out)[0].mean()) for k, m in whose.items()}
        lengths = [
            nn.utils.parameters_to_vector(m.parameters()).norm() for m in whose.values()
        ]
        return {"update": n, **found, "length": float(lengths[1] / lengths[0])}

    losses = adam(model, loss_of, updates, 3e-3)
    averaged(updates - 1)
    pictures, of_ema = drawn(model), drawn(average)
    numbers = {
        "loss": sum(losses[-200:]) / 200,
        "first": losses[0],
        "marks": marks,
        "train": float(losses_in_bands(model, x_0[:300])[0].mean()),
        "weights": likeness(pictures, x_0),
        "ema": likeness(of_ema, x_0),
    }
    tensors = {"losses": torch.tensor(losses), "samples": pictures, "ema": of_ema}
    return numbers, tensors


def draw_06(sound, shown):
    r"""Losses and samples; the answers to one x_t, and what one pixel depends on."""
    fig, axes = figure.canvas(2, 4, width=7.4, height=4.2)
    curves(axes[0, 0], sound, shown, 0.5)
    sheet(axes[0, 1], sound[1]["samples"][:20], "samples, sound", SOUND_COLOUR, 4)
    sheet(axes[0, 2], shown[1]["samples"][:20], "samples, this run", FAULTY_COLOUR, 4)
    _, noise, answer = shown[1]["answer"]
    largest = float(noise.abs().max())
    cells = [
        (axes[0, 3], noise, "noise in one $x_t$", figure.COLOURS["noise"], largest),
        (axes[1, 0], sound[1]["answer"][2], "sound answer", SOUND_COLOUR, largest),
        (axes[1, 1], answer, "this run's answer", FAULTY_COLOUR, float(answer.abs().max())),
    ]
    for axis, picture, title, colour, size in cells:
        axis.imshow(picture, cmap="gray", vmin=-size, vmax=size)
        axis.set_title(title, color=colour)
    for axis, run, title, colour in (
        (axes[1, 2], sound, "influences, sound", SOUND_COLOUR),
        (axes[1, 3], shown, "influences, this run", FAULTY_COLOUR),
    ):
        axis.imshow(run[1]["map"], cmap="gray", vmin=0)
        axis.plot(PIXEL[1], PIXEL[0], "s", ms=11, mfc="none", mec=figure.COLOURS["x_0"])
        axis.set_title(title, color=colour)
    for axis in axes.flat[3:]:
        axis.grid(False)
        axis.set(xticks=[], yticks=[])
    return fig


def table_06(sound, shown, bound):
    r"""The loss in bands of t, and what an answer depends on."""
    rows = [("this run", shown), ("sound run", sound)]
    losses = [(name, run["right"]) for name, run in rows] + [("linear ceiling", bound)]
    keys = ("first", "of_t", "of_others", "four")
    head = [
        "",
        "loss of the first batch",
        "answer at $t=20$ and at 80, difference",
        "picture alone and among 64, difference",
        "answers in the upper and the lower half, correlation",
    ]
    more = [(name, [abs(run[key]) for key in keys]) for name, run in rows]
    return rows_of(bands(), losses) + "\n\n" + rows_of(head, more)


def table_07(sound, shown, bound):
    r"""Losses and lengths of the average beside the weights, update by update."""
    head = ["updates", *(str(mark["update"]) for mark in shown["marks"])]
    rows = []
    for key, what in (
        ("weights", "loss, weights"),
        ("ema", "loss, average"),
        ("length", "length of the average / of the weights"),
    ):
        for name, run in (("this run", shown), ("sound run", sound)):
            rows.append((f"{name}, {what}", [mark[key] for mark in run["marks"]]))
    return rows_of(head, rows)


def draw_07(sound, shown):
    r"""Losses, what the weights draw, and what the averages of both runs draw."""
    fig, axes = figure.canvas(1, 4, width=7.4, height=2.4)
    curves(axes[0], sound, shown)
    sheet(axes[1], shown[1]["samples"][:20], "weights, this run", FAULTY_COLOUR, 4)
    sheet(axes[2], sound[1]["ema"][:20], "average, sound", SOUND_COLOUR, 4)
    sheet(axes[3], shown[1]["ema"][:20], "average, this run", FAULTY_COLOUR, 4)
    return fig


# --- all of it


CHAPTERS = {
    "05": Chapter(
        ("one_t", "no_roots"),
        "one_t no_roots alpha shared_noise x_0_target other_noise off_by_one half_of_t "
        "t_unused sum".split(),
        chapter_05,
        floor_05,
        draw_05,
        table_05,
    ),
    "06": Chapter(
        ("tiles", "no_skip"),
        "tiles no_skip skip_flipped no_silu t_missing batch_norm".split(),
        chapter_06,
        ceiling,
        draw_06,
        table_06,
    ),
    "07": Chapter(
        ("ema_from_zero",),
        "flips ema_slow ema_swapped range".split(),
        chapter_07,
        ceiling,
        draw_07,
        table_07,
    ),
}


def trained(number, faults, again=True):
    r"""(numbers, tensors) of a run, kept in build/bugs; trained anew if again is True."""
    path = KEPT / f"{number}-{'+'.join(faults) or 'sound'}.pt"
    if path.exists() and not again:
        return torch.load(path)
    begun = time.perf_counter()
    made = CHAPTERS[number].run(faults)
    KEPT.mkdir(parents=True, exist_ok=True)
    torch.save(made, path)
    print(f"{path.stem}: {time.perf_counter() - begun:.0f} s", flush=True)
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", help="chapters, such as 05; all if none")
    parser.add_argument("--draw", action="store_true", help="with the runs of build/bugs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for number in options.numbers or CHAPTERS:
        chapter = CHAPTERS[number]
        sets = [SOUND, chapter.shown, *((one,) for one in chapter.alone)]
        runs = {
            " ".join(f): trained(number, f, not options.draw) for f in dict.fromkeys(sets)
        }
        numbers = {name or "sound": made[0] for name, made in runs.items()}
        bound = chapter.bound()
        results[number] = {
            "command": f"python figures/bugs.py {number}",
            "versions": {"torch": torch.__version__, "python": platform.python_version()},
            "shown": list(chapter.shown),
            "bound": bound,
            "runs": numbers,
        }
        RESULTS.write_text(json.dumps(rounded(results), indent=1, sort_keys=True) + "\n")
        pair = [runs[" ".join(f)] for f in (SOUND, chapter.shown)]
        PICTURES.mkdir(exist_ok=True)
        figure.save(chapter.draw(*pair), PICTURES / f"{number}.png")
        print(f"wrote exercises/bugs/{number}.png; the table of exercises/{number}.md is")
        print(chapter.table(pair[0][0], pair[1][0], bound))


if __name__ == "__main__":
    main()
