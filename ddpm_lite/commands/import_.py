r"""The command `import`: a folder of another library becomes a weight file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tyro.conf import DisallowNone, Positional

from ..checks import check_given, check_name
from ..formats.diffusers import from_diffusers
from ..formats.verify import verify
from ..formats.weights import save_model
from ..training.presets import SCHEDULES
from .shared import MOST, check_place, check_some

PREDICTIONS = ("noise", "x_0", "v")


@dataclass(frozen=True)
class Options:
    r"""Read a DDPM of the library diffusers into a weight file."""

    folder: Positional[str]  # of a pipeline, its unet/ alone, or a hub id
    out: str = ""  # the new weight file, NAME.safetensors, for sample, evaluate, --init
    verify: bool = False  # compare with diffusers itself: outputs, and ten steps
    null_class: DisallowNone[bool | None] = None  # the last class means "no class"
    schedule: str | None = None  # linear, cosine or sigmoid, for a unet/ alone
    T: int | None = None  # steps of that schedule, for a unet/ alone
    prediction: str | None = None  # noise, x_0 or v, for a unet/ alone
    clip: DisallowNone[bool | None] = None  # cut x_0_pred to [-1, 1]; a unet/ alone
    json: bool = False  # print the outcome as JSON

    def __post_init__(self):
        check_given("a folder of diffusers, or a hub id", self.folder)
        check_some("--T", self.T, 1, MOST)
        for name, known in (("schedule", SCHEDULES), ("prediction", PREDICTIONS)):
            if getattr(self, name) is not None:
                check_name(f"--{name}", getattr(self, name), *known)


def run(options, threads):
    r"""Read, verify where asked, and write. threads: a Threads, not begun."""
    threads.begin()
    _check_out(options)
    found = from_diffusers(
        options.folder,
        schedule=_schedule(options),
        prediction=options.prediction,
        clip=options.clip,
        null_class=options.null_class,
    )
    outcome = {"weights": sum(p.numel() for p in found.model.parameters())}
    if options.verify:
        outcome["verified"] = asdict(verify(options.folder, found))
    if options.out:
        save_model(options.out, found.model, found.schedule, found.config)
        outcome["file"] = options.out
    if options.json:
        print(json.dumps(outcome))
        return
    print(f"{options.folder}: {outcome['weights']:,} weights, T = {found.schedule.T}")
    if options.verify:
        print(
            "verified against diffusers: {network:.2g} between the outputs of the "
            "network, {sampling:.2g} after {steps} {sampler} steps".format(
                **outcome["verified"]
            )
        )
    if options.out:
        out = options.out
        print(
            f"written to {out}\nnext: ddpm-lite sample {out}, ddpm-lite train --init {out}"
        )


def _check_out(options):
    out = Path(options.out)
    if not options.out and not options.verify:
        raise ValueError("say where to write it: --out NAME.safetensors, or only --verify")
    if options.out and out.suffix != ".safetensors":
        raise ValueError(f"--out must end in .safetensors, got {out}")
    if options.out and out.exists():
        raise FileExistsError(f"{out} already exists: name another file with --out")
    if options.out:
        check_place(out, file=True)


def _schedule(options):
    name, T = options.schedule, options.T
    if (name is None) != (T is None):
        raise ValueError("give --schedule and --T together, for a unet/ alone")
    if name is None:
        return None
    return SCHEDULES[name](T)
