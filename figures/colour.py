r"""What colour costs on this CPU: `python figures/colour.py --data FOLDER --minutes 60`.

FOLDER: CIFAR-10 in the hub's layout. Trains the presets small-32 and ddpm-cifar10 on it,
each for so many minutes of updates, in runs/colour_<preset>, and goes on there if it was
stopped or asked for more. Writes figures/runs/colour.json: pictures a second with their
spread, updates of an hour, the loss against hours, and how long the preset's own number of
steps would take, which is an extrapolation. No picture is drawn. Nothing else should run.
--only PRESET measures one. `python figures/colour.py text` writes the numbers into
docs/choosing.md.
"""

import argparse
import json
import os
import platform
import sys
from dataclasses import replace
from pathlib import Path
from statistics import stdev

import torch

from ddpm_lite.formats.checkpoint import read_json
from ddpm_lite.training import experiment
from ddpm_lite.training.choose import clock_of
from ddpm_lite.training.cost import cost
from ddpm_lite.training.device import keep_memory
from ddpm_lite.training.facts import versions
from ddpm_lite.training.instruments import read_log
from ddpm_lite.training.plan import duration
from ddpm_lite.training.presets import RUNS
from ddpm_lite.training.threads import Threads

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "figures" / "runs" / "colour.json"
PRESETS = ("small-32", "ddpm-cifar10")
LINES, MEASURED = 60, 6  # in the minutes asked for: lines of the log, held-out losses
LEFT = 0.02  # of the minutes: such a rest is not worth another start
CPU = torch.device("cpu")


# --- what follows from the logs of a run


def stretches(timing, batch_size):
    r"""The stretches of updates between two lines of timing.jsonl, in order of steps.

    timing: its lines. A run that goes on begins at its checkpoint, so that a step may be
    there twice: the later line counts. Updates of which the time was not taken, those
    between a stop and the line before, get the speed of the stretch that they are in.
    Returns dictionaries: step, seconds of the stretch, hours from the beginning,
    examples_per_second, threads.
    """
    lines, found, before, hours = {}, [], 0, 0.0
    for line in timing:
        lines = {s: kept for s, kept in lines.items() if s < line["step"]}
        lines[line["step"]] = line
    for step, line in lines.items():
        seconds = (step - before) * batch_size / line["examples_per_second"]
        before, hours = step, hours + seconds / 3600
        found.append(line | {"seconds": seconds, "hours": hours})
    return found


def minutes_of(run, batch_size):
    r"""Minutes of updates that a run has behind it, as far as its log says."""
    found = stretches(read_log(run / "timing.jsonl"), batch_size)
    return 60 * found[-1]["hours"] if found else 0.0


def curve(metrics, name, at):
    r"""A loss against hours: lines of metrics.jsonl that have it. at: {step: hours}."""
    return [
        {"hours": at[line["step"]], "step": line["step"], "loss": round(line[name], 5)}
        for line in metrics
        if name in line
    ]


def derived(timing, metrics, batch_size, steps, pictures):
    r"""All numbers that follow from the logs of a run.

    timing, metrics: lines of its logs. steps: of the preset. pictures: in an epoch.
    """
    found = stretches(timing, batch_size)
    hours, last = found[-1]["hours"], found[-1]["step"]
    speeds = [line["examples_per_second"] for line in found]
    rate = last * batch_size / (3600 * hours)  # a mean over time, not over stretches
    at = {line["step"]: round(line["hours"], 4) for line in found}
    return {
        "updates": last,
        "hours": round(hours, 4),
        "threads": sorted({line["threads"] for line in found}),
        "pictures_a_second": {
            "mean": round(rate, 2),
            "deviation_of_stretches": round(stdev(speeds), 2) if len(speeds) > 1 else None,
            "lowest": min(speeds),
            "highest": max(speeds),
            "stretches": len(speeds),
        },
        "an_hour": {
            "updates": round(3600 * rate / batch_size, 1),
            "pictures": round(3600 * rate),
            "epochs": round(3600 * rate / pictures, 3),
        },
        "extrapolated": {  # from the mean speed, to all steps of the preset
            "steps": steps,
            "hours": round(steps * batch_size / rate / 3600, 1),
        },
        "loss": curve(metrics, "loss", at),
        "held_out": curve(metrics, "held_out_loss", at),
    }


# --- the runs


def every(config, minutes):
    r"""A RunConfig that writes `LINES` lines in so long, `MEASURED` losses, and no grid."""
    line = max(1, round(60 * minutes / LINES / clock_of(CPU)(config)))
    own = dict(log_every=line, save_every=line * LINES // MEASURED, sample_every=0)
    return replace(config, train=replace(config.train, **own))


def trained(config, run, minutes, threads):
    r"""Train a run until it has so many minutes of updates. Returns its Prepared.

    A call of `fit` counts what it measures and writes too, so that one is not enough.
    """
    prepared = experiment.prepare(config, "cpu")
    while (left := minutes - minutes_of(run, config.train.batch_size)) > LEFT * minutes:
        print(f"{run.name}: {left:.1f} minutes of updates to come", flush=True)
        more = dict(resume=run.exists(), max_minutes=left, threads=threads)
        done = experiment.train(prepared, run, **more)
        if done["stopped_by"]:
            raise SystemExit(f"stopped at step {done['step']}: run the command again")
        prepared = experiment.prepare(config, "cpu")  # a Trainer goes on from step 0 alone
    return prepared


def measured(name, folder, minutes, threads):
    r"""Train a preset for so long, and what is to be written about it."""
    run = ROOT / "runs" / f"colour_{name}"
    config = replace(RUNS[name], data=folder, held_out_split="test")
    config = every(config, minutes)
    if (run / "config.json").is_file():  # goes on as it was begun
        kept = read_json(run / "config.json")["train"]
        kept = {name: kept[name] for name in ("log_every", "save_every")}
        config = replace(config, train=replace(config.train, **kept))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    prepared = trained(config, run, minutes, threads)
    train, logs = prepared.config.train, ("timing.jsonl", "metrics.jsonl")
    found = derived(
        *(read_log(run / log) for log in logs),
        train.batch_size,
        train.steps,
        len(prepared.pictures),
    )
    counted = cost(prepared.config.network)
    about = {
        "weights": counted.parameters,
        "gflop_of_a_picture": round(counted.flops / 1e9, 3),
        "batch_size": train.batch_size,
        "warmup_steps": train.warmup_steps,
        "precision": prepared.precision,
        "pictures": {"training": len(prepared.pictures), "unseen": len(prepared.held_out)},
        "load_at_the_start": None if load is None else round(load, 2),
    }
    return about | found


def load_results():
    r"""What was measured before, {} if nothing was."""
    return json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {}


def write(results):
    r"""Write the results file, with the machine and the versions that made it."""
    results["measured_on"] = {
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(f"wrote {RESULTS.relative_to(ROOT)}")


# --- what docs/choosing.md says


def page(results):
    r"""A section in Markdown: the table of the presets, and what it means."""
    rows = [
        "## What colour costs",
        "",
        "| preset | weights | batch | pictures a second | updates an hour | loss of unseen "
        "pictures, after hours | all its steps (extrapolated) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in PRESETS:
        row = results["presets"][name]
        speed, more, last = row["pictures_a_second"], row["extrapolated"], row["held_out"]
        deviation = speed["deviation_of_stretches"]
        spread = "" if deviation is None else f" ± {deviation:.1f}"
        loss = "not measured"
        if last:
            loss = f"{last[-1]['loss']:.4f}, {last[-1]['hours']:.2f}"
        rows.append(
            f"| `{name}` | {row['weights'] / 1e6:.1f} M | {row['batch_size']} "
            f"| {speed['mean']:.1f}{spread} | {row['an_hour']['updates']:,.0f} "
            f"| {loss} | {more['steps']:,}: {duration(3600 * more['hours'])} |"
        )
    first = results["presets"][PRESETS[-1]]
    warm = first["warmup_steps"] / first["an_hour"]["updates"]
    where = results["measured_on"]
    many = sorted({n for name in PRESETS for n in results["presets"][name]["threads"]})
    threads = " or ".join(map(str, many)) + " thread" + "s" * (many != [1])
    return "\n".join(
        [
            *rows,
            "",
            f"Measured on a CPU with {where['cores']} cores, {threads}"
            f", the network in {first['precision']}, with "
            f"{first['pictures']['training']:,} pictures of CIFAR-10 "
            "(`figures/colour.py`). ± is the deviation between stretches of the run. The "
            f"learning rate of `ddpm-cifar10` rises for {warm:,.0f} hours at this speed, "
            "so its loss here says what an hour costs, and not how good the preset is. The "
            "last column is the number of steps over the mean speed: nobody has trained so "
            "long here." + busy(results["presets"].values()),
        ]
    )


def busy(rows):
    r"""A sentence on the load where the machine was not alone, or nothing."""
    loads = [row["load_at_the_start"] for row in rows]
    if None in loads or max(loads) < 0.5:
        return ""
    said = " and ".join(f"{load:.1f}" for load in loads)
    return (
        f" Other work ran on the machine (its load was {said} at the start), so a quiet "
        "one of this kind is faster: the fastest stretch was at "
        + " and ".join(f"{row['pictures_a_second']['highest']:.1f}" for row in rows)
        + " pictures a second."
    )


def text():
    r"""Write the numbers into docs/choosing.md, between their two marks."""
    path, start, end = ROOT / "docs" / "choosing.md", "<!-- colour -->", "<!-- end -->"
    written = path.read_text("utf-8")
    if written.count(start) != 1:
        raise SystemExit(f"docs/choosing.md needs one place {start}")
    before, after = written.split(start)
    after = after.split(end, 1)[1]
    lines = page(load_results())
    path.write_text(f"{before}{start}\n\n{lines}\n\n{end}{after}", "utf-8")
    print("wrote the measured numbers into docs/choosing.md")


def main():
    if sys.argv[1:] == ["text"]:
        return text()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CIFAR-10 in the hub's layout")
    parser.add_argument("--minutes", type=float, default=60, help="of updates, each preset")
    parser.add_argument("--only", choices=PRESETS, help="this preset alone")
    options = parser.parse_args()
    if not options.minutes > 0:
        parser.error("--minutes must be above 0")
    keep_memory()  # as `ddpm-lite train` does
    threads = Threads().begin()
    results = load_results() | {"command": "python figures/colour.py --data FOLDER"}
    results.setdefault("presets", {})
    for name in [options.only] if options.only else PRESETS:
        found = measured(name, options.data, options.minutes, threads)
        results["presets"][name] = found
        write(results)
    threads.end()


if __name__ == "__main__":
    main()
