r"""The command `info`: what a model is and costs."""

import json
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from ..checks import check_given, check_integer
from ..formats.weights import load_pretrained, pretrained_names
from ..training.cost import cost
from ..training.presets import RUNS
from .shared import MODEL, MOST, find_model, open_pictures

FACTS = "step described versions trained_by measures imported".split()


@dataclass(frozen=True)
class Options:
    r"""Tell what a run, a weight file, a shipped model or a preset is and costs."""

    name: Positional[str]  # run folder, weight file, shipped model or preset
    network: str = ""  # module:Class of a network of your own, which is then imported
    batch: int = 16  # for the estimate of memory
    json: bool = False  # print it as JSON

    def __post_init__(self):
        check_given(f"{MODEL}, or a preset", self.name)
        check_integer("--batch", self.batch, 1, MOST)


def run(options, threads):
    r"""Print it. threads: of no use here."""
    about = _told(options)
    if options.json:
        print(json.dumps(about, indent=1))
        return
    for name, value in about.items():
        if isinstance(value, dict):
            print(f"{name}:")
            print("\n".join(f"  {k}: {v}" for k, v in value.items()))
        else:
            print(f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}")


def _told(options):
    r"""All that is known of a name, {what: value}."""
    about, config, stored = _found(options.name, options.network)
    if config is None:
        return about | {"settings": stored}
    counted = cost(config.network, options.batch)
    about |= {"network": config.own.name} if config.own else {}
    return about | {
        "parameters": counted.parameters,
        "tensors": counted.tensors,
        "gflop_per_picture": round(counted.flops / 1e9, 3),
        "batch": options.batch,
        "training_gb": round(counted.training_bytes / 1e9, 3),
        "settings": {
            k: v for k, v in config.as_dict().items() if k in stored and k != "drawn_with"
        },
    }


def _found(name, network=""):
    r"""What is known of a name: (facts, RunConfig, all that is stored).

    Of a model of points, the RunConfig is None.
    """
    if name not in RUNS or Path(name).exists():
        found = find_model(name, network=network)
        about = {"run": name} | {k: found.config[k] for k in FACTS if k in found.config}
        about |= _chain(found.drawn_with)
        if len(found.sample_shape or ()) > 1:
            found = open_pictures(name, device="cpu", network=network)
            return about, found.config, found.stored
        about |= {"network": type(found.model).__name__, "T": found.schedule.T}
        about["parameters"] = sum(p.numel() for p in found.model.parameters())
        own = {
            k: v for k, v in found.config.items() if k not in {*FACTS, *about, "drawn_with"}
        }
        return about, None, {"model": found.model.config} | own
    about = {"preset": name}
    if name in pretrained_names():
        shipped = load_pretrained(name).config
        about["shipped"] = {k: shipped[k] for k in ("trained_by", "measures")}
    about |= _chain(RUNS[name].drawn_with)
    return about, RUNS[name], RUNS[name].as_dict()


def _chain(stored):
    r"""The chain that a model is drawn with, where one was chosen."""
    return {"drawn_with": stored} if stored else {}
