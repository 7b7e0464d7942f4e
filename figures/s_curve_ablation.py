r"""Which of chapter 05's changes does it? `python figures/s_curve_ablation.py [...]`.

ablation: from the lecture's recipe one setting is changed at a time, for three seeds. Every
training sees half a million points, the lecture's first 50 epochs.
budget: the lecture's recipe with as many points as the corrected one has in full, 3,000
times 1,024, for one seed.
Each writes figures/runs/s_curve_<name>.json, with some samples; without a name, both run.

Networks of one kind with one batch size and one learning rate are trained as one
computation: they are stacked, and nothing of one reaches another. Examples are drawn with
replacement, which `Trainer` does not do.
"""

import argparse
import copy
import json
import platform
import time
import warnings
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from s_curve import noise_to_the_end
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from ddpm_lite import Schedule, TrainConfig, data, sample
from ddpm_lite.evaluation import metrics
from ddpm_lite.training import presets
from ddpm_lite.training.ema import EMA

ROOT = Path(__file__).resolve().parent.parent
EPOCHS, SEEDS = 50, range(3)
N = 4000  # points that each model is judged by, two blocks for the energy distance
SHOWN = 1000  # points of a recipe that the chapter shows
SCALE = data.s_curve_scale()  # what makes scikit-learn's points of standardised ones
TENTH = (10.0, 10.0)  # and of the lecture's


class Run(NamedTuple):
    r"""One training, and what its points are multiplied by to get scikit-learn's unit."""

    model: nn.Module
    schedule: Schedule
    points: torch.Tensor
    config: TrainConfig
    unit: tuple


class Together(nn.Module):
    r"""Several MLPs of one kind as one module: x_t (S, B, dim), t (S, B) -> (S, B, dim)."""

    def __init__(self, models):
        super().__init__()
        self.first = models[:1]  # in a list: not a part of this module
        stacked = zip(*(model.parameters() for model in models), strict=True)
        self.weights = nn.ParameterList(torch.stack(p).detach() for p in stacked)

    def forward(self, x_t, t):
        first, S = self.first[0], len(x_t)
        names = [name for name, _ in first.named_parameters()]
        w = dict(zip(names, self.weights, strict=True))

        def linear(h, name):
            bias = w[f"{name}.bias"][:, None]
            return torch.baddbmm(bias, h, w[f"{name}.weight"].transpose(1, 2))

        if tables := first.config["embedding"] == "table":
            row = t - 1 + first.T * torch.arange(S)[:, None]
        else:
            given = F.embedding(t - 1, first.sinusoidal)
        h = x_t
        for k in range(first.config["depth"]):
            name = f"time.{k}"
            if tables:
                time_k = F.embedding(row, w[f"{name}.weight"].flatten(0, 1))
            else:
                time_k = linear(given, name)
            h = first.activation(linear(h, f"hidden.{k}") + time_k)
        return linear(h, "out")

    @torch.no_grad()
    def apart(self, models):
        r"""Write the weights back, to each model its own; returns the models."""
        for s, model in enumerate(models):
            for mine, weight in zip(model.parameters(), self.weights, strict=True):
                mine.copy_(weight[s])
        return models


def clip(parameters, limit=1.0):
    r"""Cut the norm of each seed's gradient to `limit`."""
    parts = [p.grad.flatten(1).square().sum(1) for p in parameters]
    factor = (limit / (sum(parts).sqrt() + 1e-6)).clamp(max=1)
    for p in parameters:
        p.grad.mul_(factor.view(-1, *[1] * (p.dim() - 1)))


def train(runs):
    r"""Train all runs together. Returns the raw models, and those of the averages."""
    first = runs[0].config
    S, B, T = len(runs), first.batch_size, runs[0].schedule.T
    generator = torch.Generator().manual_seed(7)
    models = [run.model for run in runs]
    together = Together(models)
    average = EMA(together, first.ema_decay)
    weights = list(together.parameters())
    optimizer = torch.optim.Adam(weights, lr=first.lr, fused=True)
    points = torch.stack([run.points for run in runs])
    signal = torch.stack([run.schedule.alpha_bar for run in runs]).sqrt().float()
    spread = torch.stack([run.schedule.one_minus_alpha_bar for run in runs]).sqrt().float()
    mirrored = torch.tensor([[run.config.antithetic] for run in runs])
    which = torch.arange(S)[:, None]
    for step in tqdm(range(1, first.steps + 1), desc=f"{S} networks", mininterval=5):
        optimizer.param_groups[0]["lr"] = first.lr * first.lr_factor(step)
        x_0 = points[which, torch.randint(points.shape[1], (S, B), generator=generator)]
        t = torch.randint(1, T + 1, (S, B), generator=generator)
        t[:, B // 2 :] = torch.where(mirrored, T + 1 - t[:, : B // 2], t[:, B // 2 :])
        noise = torch.randn(x_0.shape, generator=generator)
        x_t = signal[which, t][..., None] * x_0 + spread[which, t][..., None] * noise
        loss = (together(x_t, t) - noise).square().mean((1, 2)).sum()
        optimizer.zero_grad()
        loss.backward()
        clip(weights, first.grad_clip)
        optimizer.step()
        average.update(together)
    return together.apart(copy.deepcopy(models)), average.model.apart(models)


def recipes():
    r"""{name: its Run for each seed}: the lecture's, each change alone, and all of them."""
    lecture = [presets.s_curve_lecture(EPOCHS, seed) for seed in SEEDS]
    corrected = [presets.s_curve(seed) for seed in SEEDS]
    found = defaultdict(list)
    for (old, sigmoid, small, was), (new, cosine, standard, now) in zip(
        lecture, corrected, strict=True
    ):
        was = replace(was, ema_decay=now.ema_decay)
        fewer = was.steps * was.batch_size // now.batch_size
        large = replace(was, batch_size=now.batch_size, steps=fewer)
        falling = dict(lr=now.lr, lr_schedule=now.lr_schedule)
        falling |= dict(warmup_steps=now.warmup_steps)
        independent = replace(was, antithetic=now.antithetic)
        changes = {
            "lecture": Run(old, sigmoid, small, was, TENTH),
            "data": Run(old, sigmoid, standard, was, SCALE),
            "schedule": Run(old, cosine, small, was, TENTH),
            "data and schedule": Run(old, cosine, standard, was, SCALE),
            "network": Run(new, sigmoid, small, was, TENTH),
            "batch": Run(old, sigmoid, small, large, TENTH),
            "draws of t": Run(old, sigmoid, small, independent, TENTH),
            "learning rate": Run(old, sigmoid, small, replace(was, **falling), TENTH),
            "corrected": Run(new, cosine, standard, replace(now, steps=fewer), SCALE),
        }
        for name, run in changes.items():
            found[name].append(run._replace(model=copy.deepcopy(run.model)))
    return found


def trained(found):
    r"""{name: (raw models, averages)}: every group of networks alike in one computation."""
    groups, done = defaultdict(list), defaultdict(lambda: ([], []))
    for name, runs in found.items():
        for run in runs:
            c = run.config
            kind = (str(run.model.config), c.batch_size, c.lr, c.lr_schedule)
            groups[kind].append((name, run))
    for group in groups.values():
        models = zip(*train([run for _, run in group]), strict=True)
        for (name, _), (raw, average) in zip(group, models, strict=True):
            done[name][0].append(raw)
            done[name][1].append(average)
    return done


def drawn(model, run, variance):
    r"""N points of a model, in scikit-learn's unit."""
    own = noise_to_the_end(run.schedule) if variance == "lecture" else variance
    options = dict(variance=own, progress=False)
    draws = [sample(model, run.schedule, (2000, 2), seed=k, **options) for k in range(2)]
    return torch.cat(draws) * torch.tensor(run.unit)


def judged(points):
    r"""Energy distance to fresh data and its standard error, and thickness."""
    standard = points.double() / torch.tensor(SCALE)
    distance, error = metrics.mean_energy_distance(standard, data.s_curve(N, seed=99))
    thickness = metrics.s_curve_thickness(points)
    values = dict(energy_distance=distance, standard_error=error, thickness=thickness)
    return {name: round(value, 5) for name, value in values.items()}


def written_down(points):
    r"""The first of these points as one text, x and y of each."""
    return " ".join(f"{x:.3f}" for x in points[:SHOWN].flatten().tolist())


def budget():
    corrected = presets.s_curve()[3]
    model, schedule, points, config = presets.s_curve_lecture()
    steps = corrected.steps * corrected.batch_size // config.batch_size
    run = Run(model, schedule, points, replace(config, steps=steps), TENTH)
    (raw,), _ = train([run])
    points = drawn(raw, run, "lecture")
    seen = steps * config.batch_size
    return {"points_seen": seen, **judged(points), "points": written_down(points)}


def ablation():
    clouds, found = {}, recipes()
    done = trained(found)
    # {row: (recipe, 0 for raw weights or 1 for the average, variance)}
    rows = {name: (name, 0, "lecture") for name in found}
    rows["weights"] = ("lecture", 1, "lecture")
    rows["sampling"] = ("lecture", 0, "small")
    rows["corrected"] = ("corrected", 1, "small")
    table = {}
    for row, (name, which, variance) in rows.items():
        pairs = zip(done[name][which], found[name], strict=True)
        points = [drawn(model, run, variance) for model, run in pairs]
        table[row] = [judged(some) for some in points]
        if row in ("lecture", "corrected"):
            clouds[row] = written_down(points[0])
    table["corrected"] = table.pop("corrected")  # the last
    config = found["lecture"][0].config
    return {
        "points_seen": config.steps * config.batch_size,
        "seeds": list(SEEDS),
        "rows": table,
        "data": judged(data.s_curve(N, seed=77, standardised=False)),
        "points": clouds,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", nargs="?", choices=["ablation", "budget"])
    which = parser.parse_args().which
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)  # the prior gap: it is a subject
    for name in [which] if which else ["ablation", "budget"]:
        started = time.process_time()
        result = budget() if name == "budget" else ablation()
        result["cpu_seconds"] = round(time.process_time() - started)
        result["command"] = f"python figures/s_curve_ablation.py {name}"
        result["versions"] = {
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        path = ROOT / "figures" / "runs" / f"s_curve_{name}.json"
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
