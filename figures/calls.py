r"""Three ways through the chain with few calls: `python figures/calls.py WHICH`.

WHICH: clothes or mnist, the shipped model and the judge. --data FOLDER: Fashion-MNIST or
MNIST in the hub's layout. Ancestral sampling with the small variance and with the large
one, and DDIM; each with the class and without guidance, from the same seeds. The measures
are those of `figures/measures.py`, on fewer pictures, for chapter 08. Writes
figures/runs/calls_WHICH.json after every row; samples are kept in runs/calls.
"""

import argparse
import json
from pathlib import Path
from types import SimpleNamespace

import torch
from measures_model import drawn, floats
from measures_real import digest, some

from ddpm_lite import data, load_pretrained
from ddpm_lite.evaluation.classifier import load_judge
from ddpm_lite.evaluation.panel import judge, over_real, panel_of, spread
from ddpm_lite.formats.checkpoint import write_text
from ddpm_lite.seeds import generator_for
from ddpm_lite.training.facts import versions

ROOT = Path(__file__).resolve().parent.parent
_HELD_OUT, _REAL = 324, 325  # what each choice is drawn by
N, HELD_OUT, DRAWS, TREES = 100, 2000, 3, 100
CALLS = (5, 10)
WAYS = {
    "small": dict(sampler="ancestral", variance="small"),
    "large": dict(sampler="ancestral", variance="large"),
    "ddim": dict(sampler="ddim"),
}


def opened(which):
    r"""The shipped model as `drawn` takes it, and its mark."""
    found = load_pretrained(which)
    mark = digest({"beta": found.schedule.beta, **found.model.state_dict()})
    return SimpleNamespace(found=found, name=which, mark=mark, precision="float32")


def real_pictures(which, folder):
    r"""The panel, and what draws of N real training pictures score."""
    train, test = (data.load(folder, split=split) for split in ("train", "test"))
    held_out = torch.randperm(len(test), generator=generator_for(_HELD_OUT, 0))[:HELD_OUT]
    panel = panel_of(test.to_float(held_out), None, load_judge(which)[0], trees=TREES)
    places = [some(train, N, _REAL, k) for k in range(DRAWS)]
    return panel, [judge(panel, train.to_float(i), train.y[i]) for i in places]


def rounded(found):
    r"""Numbers with five digits, and what was not measured left out."""
    if isinstance(found, dict):
        return {k: rounded(v) for k, v in found.items() if v is not None}
    return float(f"{found:.5g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=("clothes", "mnist"))
    parser.add_argument("--data", required=True, help="folder of the real pictures")
    arguments = parser.parse_args()
    model = opened(arguments.which)
    panel, real = real_pictures(arguments.which, arguments.data)
    result = {
        "command": f"python figures/calls.py {arguments.which} --data FOLDER",
        "num": N,
        "held_out": HELD_OUT,
        "draws_of_real": DRAWS,
        "mark": model.mark,
        "training": rounded(spread([over_real(one, real) for one in real])),
        "rows": [],
        "versions": versions(),
    }
    path = ROOT / "figures" / "runs" / f"calls_{arguments.which}.json"
    y = torch.arange(N) % 10
    for steps in CALLS:
        for way, chain in WAYS.items():
            how = chain | {"steps": steps}
            x = drawn(model, how, 0, y, N, ROOT / "runs" / "calls", way)
            found = rounded(over_real(judge(panel, floats(x), y), real))
            result["rows"].append({"way": way, "calls": steps, "measures": found})
            print(way, steps, found, flush=True)
        write_text(path, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
