r"""Train, measure and ship the models of pictures: `python figures/pictures.py [...]`.

digits: scikit-learn's 8 by 8 digits, measured on the way with the EMA and without it,
and at the end with several samplers and numbers of steps.
fashion --data FOLDER: Fashion-MNIST in the hub's layout.
Each trains in runs/shipped_<name> (and goes on there if it was stopped), writes
figures/runs/<name>.json, figures/<name>.png and ddpm_lite/pretrained/<name>.safetensors.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from ddpm_lite import figure, save_model
from ddpm_lite.evaluation import evaluate
from ddpm_lite.formats.checkpoint import checkpoints, load_run, read_checkpoint
from ddpm_lite.sampling.solvers import network_calls, steps_within
from ddpm_lite.training import experiment
from ddpm_lite.training.facts import versions
from ddpm_lite.training.instruments import read_log
from ddpm_lite.training.presets import RUNS

ROOT = Path(__file__).resolve().parent.parent
STEPS = (5, 10, 20, 50, 100)
CHAINS = {"ddim": {}, "small": {"variance": "small"}, "large": {"variance": "large"}}
BEST = dict(sampler="dpmpp_2m", spacing="log_snr", steps=20)
SOLVERS = [  # at equal network calls, for chapter 09: Heun makes two a step but the last
    dict(sampler=sampler, spacing=spacing, steps=steps_within(sampler, calls))
    for sampler in ("dpmpp_2m", "heun")
    for spacing in ("trailing", "log_snr")
    for calls in (5, 9, 19, 39)
]


def trained(name, config):
    r"""Train a run to its end, or go on with it. Returns its folder and Prepared."""
    run = ROOT / "runs" / f"shipped_{name}"
    prepared = experiment.prepare(config, device="cpu")
    print(experiment.summary(prepared), flush=True)
    done = experiment.train(prepared, run, resume=run.exists())
    if not done["finished"]:
        raise SystemExit(f"stopped at step {done['step']}: run the command again")
    return run, prepared


def curve(run):
    r"""The lines of metrics.jsonl, those of one step merged, numbers shortened."""
    lines = {}
    for line in read_log(run / "metrics.jsonl"):
        lines.setdefault(line["step"], {}).update(line)
    return [
        {
            key: [None if v is None else round(v, 5) for v in value]
            if isinstance(value, list)
            else round(value, 6)
            for key, value in line.items()
        }
        for line in lines.values()
        if "held_out_loss" in line or line["step"] % 500 == 0
    ]


def shortened(found):
    r"""The numbers that `evaluate.measures` returned, with four digits."""
    return {
        name: {column: round(row[column], 4) for column in ("generated", "training")}
        for name, row in found.items()
    }


def ship(name, prepared, command, found):
    r"""Write the weights, in float16, with the command and the quality that they have."""
    path = ROOT / "ddpm_lite" / "pretrained" / f"{name}.safetensors"
    about = prepared.config.as_dict() | {
        "described": prepared.described,
        "trained_by": command,
        "measures": found,
    }
    trainer = prepared.trainer
    save_model(path, trainer.ema.model, trainer.schedule, about, half=True)
    print(f"wrote {path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")


def write(name, result):
    r"""Write a results file, with the versions that made it."""
    result["versions"] = versions()
    path = ROOT / "figures" / "runs" / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {path.relative_to(ROOT)}")


def digits(arguments):
    command = "python figures/pictures.py digits"
    config = RUNS["digits"]
    steps = arguments.steps or 3000  # half as many again as `make run`
    longer = replace(config.train, steps=steps, save_every=max(1, steps // 6), keep=8)
    config = replace(config, train=replace(longer, sample_every=0))
    run, prepared = trained("digits", config)
    config, schedule = prepared.config, prepared.trainer.schedule
    train, held_out = prepared.pictures.to_float(), prepared.held_out.to_float()
    levels, n = prepared.pictures.levels, 1000
    y = experiment.labels_for(config, n)

    def judged(model, **options):
        drawn = experiment.draw(model, schedule, config, n, y=y, progress=False, **options)
        return shortened(evaluate.measures(drawn, train, held_out, levels=levels))

    quality = []
    for folder in checkpoints(run)[2::2]:  # a third, two thirds and the end
        average, tensors, numbers = read_checkpoint(folder)
        raw = load_run(run, numbers["step"]).model
        raw.load_state_dict({k: tensors[f"model.{k}"] for k in raw.state_dict()})
        for which, model in (("ema", average.model), ("raw", raw)):
            row = {"step": numbers["step"], "which": which}
            row["measures"] = judged(model, **BEST)
            quality.append(row)
            print(row["step"], which, row["measures"], flush=True)
    found = quality[-2]["measures"]
    ship("digits", prepared, command, found)
    rows = []
    for chain, options in CHAINS.items():
        sampler = "ddim" if chain == "ddim" else "ancestral"
        for steps in STEPS:
            row = {"sampler": sampler, "variance": options.get("variance"), "steps": steps}
            average = prepared.trainer.ema.model
            row |= {"network_calls": steps}
            row |= judged(average, sampler=sampler, steps=steps, **options)
            rows.append(row)
            print(row, flush=True)
    solvers = []
    for options in SOLVERS:
        calls = network_calls(options["sampler"], options["steps"])
        row = options | {"network_calls": calls}
        solvers.append(row | judged(prepared.trainer.ema.model, **options))
        print(solvers[-1], flush=True)
    y = experiment.labels_for(config, 120)
    drawn = experiment.draw(
        prepared.trainer.ema.model, schedule, config, 120, y=y, sampler="ddim", steps=50
    )
    figure.save_pictures(drawn, ROOT / "figures" / "digits.png", 10)
    write(
        "digits",
        {
            "command": command,
            "config": config.as_dict(),
            "weights": sum(p.numel() for p in prepared.trainer.model.parameters()),
            "curve": curve(run),
            "quality": quality,
            "measures": found,
            "measured_with": BEST | {"samples": n},
            "steps_against_quality": rows,
            "solvers": solvers,
            "judges": evaluate.judges_judged(train, held_out, levels=levels),
        },
    )


def grey(arguments):
    name = arguments.which
    command = f"python figures/pictures.py {name} --data FOLDER"
    config = replace(RUNS[name], data=arguments.data)
    steps = arguments.steps or config.train.steps
    config = replace(config, train=replace(config.train, steps=steps, sample_every=0))
    run, prepared = trained(name, config)
    config = replace(prepared.config, data=name)  # no path of this machine
    prepared = replace(prepared, config=config)
    n = 1000
    drawn = experiment.draw(
        prepared.trainer.ema.model,
        prepared.trainer.schedule,
        config,
        n,
        y=experiment.labels_for(config, n),
        sampler="ddim",
        steps=50,
    )
    # 10,000 training pictures stand for the 60,000 in the measures that compare all pairs
    train = prepared.pictures.to_float(slice(0, 10_000))
    held_out = prepared.held_out.to_float(slice(0, 2000))
    found = shortened(evaluate.measures(drawn, train, held_out, levels=256))
    figure.save_pictures(drawn[:120], ROOT / "figures" / "fashion.png", 10)
    ship("fashion", prepared, command, found)
    write(
        "fashion",
        {
            "command": command,
            "config": config.as_dict(),
            "weights": sum(p.numel() for p in prepared.trainer.model.parameters()),
            "curve": curve(run),
            "measures": found,
            "measured_with": {"samples": n, "train": 10_000, "held_out": 2000},
        },
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=["digits", "fashion", "clothes", "mnist"])
    parser.add_argument("--data", help="folder of Fashion-MNIST")
    parser.add_argument("--steps", type=int, help="updates; those of the shipped model")
    arguments = parser.parse_args()
    (digits if arguments.which == "digits" else grey)(arguments)


if __name__ == "__main__":
    main()
