r"""The command `export`: a model becomes a folder of another library."""

import json
from dataclasses import dataclass

from tyro.conf import Positional

from ..checks import check_given, check_name
from ..formats.chosen import in_words
from ..formats.diffusers import to_diffusers
from ..formats.networks import NotGiven
from .shared import MODEL, check_place, check_some, find_model


@dataclass(frozen=True)
class Options:
    r"""Write a model as a folder that another library loads."""

    run: Positional[str]  # run folder, weight file or name, such as digits
    out: str  # the new folder
    format: str = "diffusers"  # the only one: DDPMPipeline.from_pretrained(OUT)
    step: int | None = None  # of which checkpoint; the newest if not given
    network: str = (
        ""  # module:Class of a network of your own: only to be told that none goes
    )
    json: bool = False  # print the outcome as JSON

    def __post_init__(self):
        check_given(MODEL, self.run)
        check_given("a new folder behind --out", self.out)
        check_name("--format", self.format, "diffusers")
        check_some("--step", self.step, 0)


def run(options, threads):
    r"""Write it, and print how it is loaded. threads: of no use here."""
    check_place(options.out)
    try:
        found = find_model(options.run, options.step)
    except NotGiven:
        raise ValueError(
            f"{options.run} is of a network of your own, and diffusers knows its own "
            "alone: load_run(...).model.state_dict() gives the weights"
        ) from None
    folder = str(to_diffusers(found, options.out))
    classes = found.model.classes
    if options.json:
        print(json.dumps({"folder": folder, "classes": classes}))
        return
    print(f"written: DDPMPipeline.from_pretrained({folder!r}) loads it")
    if found.drawn_with:
        print(
            f"here it is drawn in {in_words(found.drawn_with)}, which the folder does not "
            "say: the pipeline takes num_inference_steps"
        )
    if classes:
        silent = found.config.get("null_class", True)
        last = f"{classes}, which means no class" if silent else f"{classes - 1}"
        print(
            "that pipeline passes no labels: call its unet(x, t, class_labels=y), y in "
            f"0..{last}"
        )
