r"""Train, measure and ship the models of pictures: `python figures/pictures.py [...]`.

digits: scikit-learn's 8 by 8 digits, measured on the way with the EMA and without it,
and at the end with several samplers and numbers of steps.
clothes --data FOLDER: Fashion-MNIST in the hub's layout; mnist --data FOLDER: MNIST.
fashion --data FOLDER: the first model of clothes, which speckles. It is kept as an example.
Each trains in runs/shipped_NAME (and goes on there if it was stopped), writes the results
figures/runs/NAME.json, a sheet (digits.png, clothes.png, mnist.png, fashion.png in figures)
and ddpm_lite/pretrained/NAME.safetensors. clothes and mnist are drawn and measured by a
chain that is stored with the weights: the one that `figures/measures.py NAME --chains`
chose, if its results are there (measures_clothes_chains.json, measures_mnist_chains.json in
figures/runs), else the preset's. To choose one for weights that are trained and not shipped
yet, give it --model runs/shipped_NAME --half, and call this command again.
"""

import argparse
import copy
import json
from dataclasses import replace
from pathlib import Path

from measures_real import digest

from ddpm_lite import figure, save_model
from ddpm_lite.evaluation import evaluate
from ddpm_lite.formats.checkpoint import checkpoints, load_run, read_checkpoint
from ddpm_lite.formats.chosen import with_guidance
from ddpm_lite.sampling.solvers import network_calls, steps_within
from ddpm_lite.training import experiment
from ddpm_lite.training.facts import versions
from ddpm_lite.training.instruments import read_log
from ddpm_lite.training.presets import RUNS
from ddpm_lite.training.reports import class_counts

ROOT = Path(__file__).resolve().parent.parent
STEPS = (5, 10, 20, 50, 100)
CHAINS = {"ddim": {}, "small": {"variance": "small"}, "large": {"variance": "large"}}
BEST = dict(sampler="dpmpp_2m", spacing="log_snr", steps=20)
PLAIN = dict(sampler="ddim", steps=50)  # where no chain was chosen
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


def chosen_chain(name, config, trainer):
    r"""The chain to store with a model, {} if none was chosen, and who chose it, in words.

    The winner in figures/runs/measures_NAME_chains.json, if that is there, else the one of
    the preset. SystemExit where other weights were measured than those to be shipped.
    """
    path = ROOT / "figures" / "runs" / f"measures_{name}_chains.json"
    if not path.is_file():
        known = "of the preset" if config.drawn_with else "none, so 50 steps of DDIM"
        return config.drawn_with, known
    found = json.loads(path.read_text("utf-8"))
    shipped = copy.deepcopy(trainer.ema.model).half().float()
    if found["model"]["mark"] != digest(
        {"beta": trainer.schedule.beta, **shipped.state_dict()}
    ):
        raise SystemExit(
            f"{path.name} is of other weights: choose the chain of these by "
            f"figures/measures.py {name} --chains --model runs/shipped_{name} --half, or "
            "move the file away"
        )
    return found["chosen"], f"chosen in {path.name}"


def ship(name, prepared, command, found, chain=None):
    r"""Write the weights, in float16, with the command and the quality that they have.

    chain: the one that the model is drawn with, stored as drawn_with; {} or None for none.
    """
    path = ROOT / "ddpm_lite" / "pretrained" / f"{name}.safetensors"
    about = prepared.config.as_dict() | {
        "described": prepared.described,
        "trained_by": command,
        "measures": found,
        "drawn_with": chain or {},
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
    r"""Train clothes, mnist or fashion; draw by the chain that is stored, and ship it."""
    name = arguments.which
    command = f"python figures/pictures.py {name} --data FOLDER"
    config = replace(RUNS[name], data=arguments.data)
    steps = arguments.steps or config.train.steps
    config = replace(config, train=replace(config.train, steps=steps, sample_every=0))
    run, prepared = trained(name, config)
    called = prepared.described["name"]  # the folder's, and no path of this machine
    config = replace(prepared.config, data=called)
    prepared = replace(prepared, config=config)
    trainer, n = prepared.trainer, 1000
    weights = sum(p.numel() for p in trainer.model.parameters())
    chain, chosen = chosen_chain(name, config, trainer)
    print(f"drawn with {chain or PLAIN}: {chosen}", flush=True)
    model, how = with_guidance(trainer.ema.model, chain or PLAIN)
    counts = class_counts(config, prepared.pictures)  # digits are not equally frequent
    y = experiment.labels_for(config, n, counts)
    drawn = experiment.draw(model, trainer.schedule, config, n, y=y, **how)
    # 10,000 training pictures stand for the 60,000 in the measures that compare all pairs
    train = prepared.pictures.to_float(slice(0, 10_000))
    held_out = prepared.held_out.to_float(slice(0, 2000))
    found = shortened(evaluate.measures(drawn, train, held_out, levels=256))
    y = experiment.labels_for(config, 120)  # one class a column
    sheet = experiment.draw(model, trainer.schedule, config, 120, y=y, **how)
    figure.save_pictures(sheet, ROOT / "figures" / f"{name}.png", 10)
    ship(name, prepared, command, found, chain)
    write(
        name,
        {
            "command": command,
            "config": config.as_dict() | {"drawn_with": chain},
            "weights": weights,
            "curve": curve(run),
            "measures": found,
            "measured_with": chain or PLAIN,
            "measured_on": {"samples": n, "train": 10_000, "held_out": 2000},
        },
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=["digits", "fashion", "clothes", "mnist"])
    parser.add_argument("--data", help="folder of Fashion-MNIST, or of MNIST for mnist")
    parser.add_argument("--steps", type=int, help="updates; those of the shipped model")
    arguments = parser.parse_args()
    if arguments.which != "digits" and not arguments.data:
        parser.error("--data is needed: the folder of the pictures")
    (digits if arguments.which == "digits" else grey)(arguments)


if __name__ == "__main__":
    main()
