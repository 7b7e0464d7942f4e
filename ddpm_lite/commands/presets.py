r"""The command `presets`: what there is to start from."""

import json
from dataclasses import dataclass

from ..formats.weights import pretrained_names
from ..training.cost import cost
from ..training.presets import RUNS


@dataclass(frozen=True)
class Options:
    r"""List the named settings that train starts from, and the models that are shipped."""

    json: bool = False  # print them as JSON


def run(options, threads):
    r"""Print them. threads: of no use here."""
    rows = {name: _row(settings) for name, settings in RUNS.items()}
    shipped = pretrained_names()
    if options.json:
        print(json.dumps({"presets": rows, "shipped": shipped}, indent=1))
        return
    print(f"{'preset':14} {'pictures':14} {'weights':>11} {'GFLOP':>7} {'steps':>8} batch")
    for name, row in rows.items():
        print(
            f"{name:14} {row['pictures']:14} {row['parameters']:11,} "
            f"{row['gflop_per_picture']:7.3g} {row['steps']:8,} {row['batch_size']:5}"
        )
    print(f"models that are shipped, for --init too: {', '.join(shipped)}")
    print("or without a preset: train --data FOLDER --minutes 20 chooses what fits")


def _row(settings):
    counted = cost(settings.unet)
    C, *size = settings.unet.sample_shape
    return {
        "pictures": " x ".join(map(str, (*size, C))),
        "parameters": counted.parameters,
        "gflop_per_picture": round(counted.flops / 1e9, 3),
        "steps": settings.train.steps,
        "batch_size": settings.train.batch_size,
        "data": settings.data,
    }
