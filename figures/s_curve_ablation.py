r"""Which of chapter 05's changes does it? `python figures/s_curve_ablation.py`.

From the lecture's recipe one setting is changed at a time, for three seeds. Every training
sees as many points as the corrected one, 3,000 times 1,024. Beside them stand the exact
denoisers of both recipes, with three variances of the reverse steps. All goes to
figures/runs/s_curve_ablation.json.

The three seeds of a training are one computation: their networks are stacked, and nothing
of one reaches another. Examples are drawn with replacement, which `Trainer` does not do.
"""

import copy
import json
import platform
import time
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from s_curve import N, draw, judge, noise_to_the_end
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from ddpm_lite import DataOracle, data
from ddpm_lite.training import presets
from ddpm_lite.training.ema import EMA

ROOT = Path(__file__).resolve().parent.parent
SEEDS = range(3)
SCALE = data.s_curve_scale()  # what makes scikit-learn's points of standardised ones
TENTH = (10.0, 10.0)  # and of the lecture's
SHOWN = 1000  # points of the lecture's recipe that the chapter opens with


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


def train(name, models, schedule, points, config):
    r"""Train all seeds. points: (S, N, 2). Returns the raw models and those of the EMA."""
    S, B, T = len(points), config.batch_size, schedule.T
    generator = torch.Generator().manual_seed(7)
    together = Together(models)
    average = EMA(together, config.ema_decay)
    weights = list(together.parameters())
    optimizer = torch.optim.Adam(weights, lr=config.lr, fused=True)
    signal = schedule.alpha_bar.sqrt().float()
    spread = schedule.one_minus_alpha_bar.sqrt().float()
    seed = torch.arange(S)[:, None]
    for step in tqdm(range(1, config.steps + 1), desc=name, mininterval=5):
        optimizer.param_groups[0]["lr"] = config.lr * config.lr_factor(step)
        x_0 = points[seed, torch.randint(points.shape[1], (S, B), generator=generator)]
        t = torch.randint(1, T + 1, (S, B), generator=generator)
        if config.antithetic:
            t[:, B // 2 :] = T + 1 - t[:, : B // 2]
        noise = torch.randn(x_0.shape, generator=generator)
        x_t = signal[t][..., None] * x_0 + spread[t][..., None] * noise
        loss = (together(x_t, t) - noise).square().mean((1, 2)).sum()
        optimizer.zero_grad()
        loss.backward()
        clip(weights, config.grad_clip)
        optimizer.step()
        average.update(together)
    return together.apart(models), average.model.apart(copy.deepcopy(models))


def recipes():
    r"""{name: (models, schedule, points, config, unit)}: the lecture first."""
    lecture = [presets.s_curve_lecture(seed=seed) for seed in SEEDS]
    corrected = [presets.s_curve(seed=seed) for seed in SEEDS]
    old, new = ([r[0] for r in both] for both in (lecture, corrected))
    small, standard = (torch.stack([r[2] for r in both]) for both in (lecture, corrected))
    (_, sigmoid, _, was), (_, cosine, _, now) = lecture[0], corrected[0]
    was = replace(was, steps=now.steps * now.batch_size // was.batch_size)
    larger = replace(was, batch_size=now.batch_size, steps=now.steps)
    falling = dict(lr=now.lr, warmup_steps=now.warmup_steps, lr_schedule=now.lr_schedule)
    return {
        "lecture": (old, sigmoid, small, was, TENTH),
        "data": (old, sigmoid, standard, was, SCALE),
        "schedule": (old, cosine, small, was, TENTH),
        "data and schedule": (old, cosine, standard, was, SCALE),
        "network": (new, sigmoid, small, was, TENTH),
        "batch": (old, sigmoid, small, larger, TENTH),
        "draws of t": (old, sigmoid, small, replace(was, antithetic=now.antithetic), TENTH),
        "learning rate": (old, sigmoid, small, replace(was, **falling), TENTH),
        "corrected": (new, cosine, standard, now, SCALE),
    }


def oracle_of(schedule, unit):
    r"""The exact denoiser of the S-curve's law, for points in this unit."""
    unit = torch.tensor(unit, dtype=torch.float64)
    return DataOracle(schedule, data.s_curve_middle(300) / unit, (0.1 / unit) ** 2)


def judged(models, schedule, unit, variance):
    r"""Energy distance and thickness of each model's samples."""
    return [judge(draw(model, schedule, variance), unit, seed=99) for model in models]


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)  # the prior gap: it is a subject
    started, rows, exact, network = time.process_time(), {}, {}, {}
    for name, (models, schedule, points, config, unit) in recipes().items():
        oracle = oracle_of(schedule, unit)
        variances = {
            "large, drawn at the end": noise_to_the_end(schedule),
            "large": "large",
            "small": "small",
            "optimal": oracle.reverse_variance,
        }
        raw, ema = train(name, copy.deepcopy(models), schedule, points, config)
        own = variances["large, drawn at the end"]
        if name != "corrected":
            rows[name] = judged(raw, schedule, unit, own)
        if name == "lecture":
            rows["weights"] = judged(ema, schedule, unit, own)
            rows["sampling"] = judged(raw, schedule, unit, "small")
            cloud = draw(raw[0], schedule, own)[:SHOWN] * unit[0]
        if name in ("lecture", "corrected"):
            exact[name] = {
                k: judged([oracle], schedule, unit, variances[k])[0] for k in variances
            }
            network[name] = {
                k: judged(ema, schedule, unit, variances[k]) for k in variances
            }
    rows["corrected"] = network["corrected"]["small"]
    result = {
        "points_seen": config.steps * config.batch_size,
        "seeds": list(SEEDS),
        "rows": rows,
        "exact": exact,
        "network": network,
        "data": judge(data.s_curve(N, seed=77), SCALE, seed=99),
        "cpu_seconds": round(time.process_time() - started),
        "lecture_points": " ".join(f"{x:.3f}" for x in cloud.flatten().tolist()),
        "command": "python figures/s_curve_ablation.py",
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }
    path = ROOT / "figures" / "runs" / "s_curve_ablation.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
