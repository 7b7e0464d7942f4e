r"""Measure both S-curve experiments of chapter 05: `python figures/s_curve.py [...]`.

lecture: the lecture's settings for all 4,000 epochs, judged on the way.
corrected: the corrected settings, for three seeds; the first seed's EMA is the model
that the package ships.
Each writes figures/runs/s_curve_<name>.json; without a name, both run.
"""

import argparse
import json
import platform
import time
import warnings
from pathlib import Path

import torch
from tqdm import tqdm

import ddpm_lite
from ddpm_lite import DataOracle, Trainer, data, sample, save_model
from ddpm_lite.evaluation import metrics
from ddpm_lite.training import presets

ROOT = Path(__file__).resolve().parent.parent
N = 20_000  # ten blocks of 2,000 for the energy distance


def draw(model, schedule, variance):
    r"""Ten draws of 2,000 points from a model, with ten seeds: (20,000, 2)."""
    options = dict(variance=variance, progress=False)
    draws = [sample(model, schedule, (2000, 2), seed=k, **options) for k in range(10)]
    return torch.cat(draws)


def judge(points, scale, seed):
    r"""Energy distance to fresh data (mean, standard error) and thickness.

    points: (N, 2); times `scale` they are in scikit-learn's unit. The distance is taken
    between standardised points.
    """
    fresh = data.s_curve(N, seed=seed)
    standard = points.double() * torch.tensor(scale) / torch.tensor(data.s_curve_scale())
    mean, error = metrics.mean_energy_distance(standard, fresh)
    return {
        "energy_distance": round(mean, 6),
        "standard_error": round(error, 6),
        "thickness": round(metrics.s_curve_thickness(points, scale), 5),
    }


def noise_to_the_end(schedule):
    r"""The lecture's variance: beta_t at every step, at the last one too."""
    return lambda x_t, t, s: schedule.beta[t].to(x_t)[:, None]


def loss_floor(oracle, schedule, points, seed=5):
    r"""The smallest loss that any network can reach: the variance of the noise given x_t.

    Mean over all t and over points, (2000, 2), noised once for each t. The variance of
    the noise given x_t is that of x_0 times alpha_bar / (1 - alpha_bar), so nothing is
    left to chance but the points.
    """
    generator = torch.Generator().manual_seed(seed)
    floors = []
    for step in range(1, schedule.T + 1):
        t = torch.full((len(points),), step)
        noise = torch.randn(points.shape, generator=generator, dtype=torch.float64)
        x_t = ddpm_lite.q_sample(schedule, points.double(), t, noise)
        _, variance = oracle.x_0_moments(x_t, t)
        snr = schedule.alpha_bar[step] / schedule.one_minus_alpha_bar[step]
        floors.append(float(snr * variance.mean()))
    return round(sum(floors) / len(floors), 4)


def train(trainer, name):
    r"""Every Record of a run from start to end, behind a progress bar."""
    return tqdm(trainer.run(), total=trainer.config.steps, desc=name, mininterval=1)


def lecture(epochs):
    model, schedule, points, config = presets.s_curve_lecture(epochs)
    oracle = DataOracle(schedule, data.s_curve_middle(500) / 10, 0.01**2)
    unseen = data.s_curve(N, seed=77, standardised=False) / 10
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the prior gap: it is the subject
        trainer = Trainer(model, schedule, points, config)
        per_epoch = len(points) / config.batch_size
        marks = {round(e * per_epoch): e for e in (200, 1000, 4000) if e <= epochs}
        marks[config.steps] = epochs
        losses, stages = [], []
        for record in train(trainer, "lecture"):
            losses.append(float(record.loss))
            if record.step in marks:
                samples = {
                    "as_in_the_lecture": draw(model, schedule, noise_to_the_end(schedule)),
                    "ema": draw(trainer.ema.model, schedule, noise_to_the_end(schedule)),
                    "ema_small_variance": draw(trainer.ema.model, schedule, "small"),
                }
                stages.append(
                    {
                        "epochs": marks[record.step],
                        "steps": record.step,
                        "loss": round(sum(losses[-782:]) / len(losses[-782:]), 4),
                        **{name: judge(x, (10.0, 10.0), 99) for name, x in samples.items()},
                    }
                )
    return {
        "settings": config.as_dict(),
        "loss_floor": loss_floor(oracle, schedule, unseen[:2000]),
        "stages": stages,
        "data": judge(unseen, (10.0, 10.0), seed=99),
    }


def corrected():
    scale = data.s_curve_scale()
    runs = []
    for seed in range(3):
        model, schedule, points, config = presets.s_curve(seed)
        trainer = Trainer(model, schedule, points, config)
        started = time.perf_counter()
        losses = [
            float(record.loss) for record in train(trainer, f"corrected, seed {seed}")
        ]
        seconds = time.perf_counter() - started
        run = {
            "seed": seed,
            "seconds": round(seconds),
            "loss": round(sum(losses[-500:]) / 500, 4),
        }
        for variance in ("small", "large"):
            points = draw(trainer.ema.model, schedule, variance)
            run[variance] = judge(points, scale, seed=99)
        runs.append(run)
        if seed == 0:
            about = {"trained_by": "python figures/s_curve.py corrected"}
            path = ROOT / "ddpm_lite" / "pretrained" / "s_curve.safetensors"
            save_model(path, trainer.ema.model, schedule, about | config.as_dict())
    middle, std = data.s_curve_middle(500), torch.tensor(scale, dtype=torch.float64)
    oracle = DataOracle(schedule, middle / std, (0.1 / std) ** 2)
    unseen = data.s_curve(N, seed=77)
    return {
        "settings": config.as_dict() | {"seed": [run["seed"] for run in runs]},
        "weights": sum(p.numel() for p in model.parameters()),
        "loss_floor": loss_floor(oracle, schedule, unseen[:2000]),
        "runs": runs,
        "data": judge(unseen, scale, seed=99),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", nargs="?", choices=["lecture", "corrected"])
    parser.add_argument("--epochs", type=int, default=4000, help="of the lecture's run")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in [arguments.which] if arguments.which else ["corrected", "lecture"]:
        result = lecture(arguments.epochs) if name == "lecture" else corrected()
        result["command"] = f"python figures/s_curve.py {name}"
        result["versions"] = {
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        path = ROOT / "figures" / "runs" / f"s_curve_{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
