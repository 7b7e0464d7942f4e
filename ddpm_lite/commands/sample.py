r"""The command `sample`: a model becomes pictures, in a folder or in one file."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tyro.conf import Positional

from .. import figure
from ..checks import check_given, check_integer, check_name
from ..data.series import in_units
from ..formats.checkpoint import checkpoints, locked, read_json, write_text
from ..sampling.solvers import network_calls
from ..training.device import autocast, choose_device, choose_precision
from ..training.one_dimension import is_series, save_drawn
from ..training.plan import listed
from ..training.threads import following
from .shared import (
    MODEL,
    MOST,
    Drawing,
    Machine,
    as_pictures,
    check_place,
    check_step,
    describe_device,
    draw,
    find_model,
    free,
    new_folder,
    scale_of,
)


@dataclass(frozen=True)
class Options:
    r"""Draw pictures with the EMA of a run, a weight file or a model that is shipped."""

    run: Positional[str]  # run folder, weight file or name, such as digits
    drawing: Drawing = field(default_factory=Drawing)
    machine: Machine = field(default_factory=Machine)
    num: int = 64  # how many
    # one class for all, by its name or its number; else classes in turn
    label: str | None = None
    # a new folder for grid.png and 00000.png ...; a file x.png for the grid alone; or x.npy
    # for an array, float32 (num, C, H, W) with black -1 and white 1, (num, C, L) of series
    # in units of their data, or (num, 2) of a model of points. If not given, samples_NAME,
    # then samples_NAME_2 ...
    out: str = ""
    # of which checkpoint: a number, or best for the lowest held-out loss; else the newest
    step: int | str | None = None
    weights: str = "ema"  # or raw: as the last update left them, not averaged
    network: str = ""  # module:Class of a network of your own, which is then imported
    # keep this chain in config.json of the run: from then on it is drawn so without options
    store: bool = False
    json: bool = False  # print the outcome as JSON

    def __post_init__(self):
        check_given(MODEL, self.run)
        check_integer("--num", self.num, 1, MOST)
        check_step(self.step)
        check_name("--weights", self.weights, "ema", "raw")


def run(options, threads):
    r"""Draw, and write what --out names. threads: a Threads, not begun."""
    kind, path = place(options.out, named(options.run))
    check_place(path.parent)
    if options.store:
        _check_store(options)
    threads.begin(options.machine.threads)
    found = find_model(options.run, options.step, options.weights, options.network)
    if len(found.sample_shape or (1, 1, 1)) == 1:
        return _points(options, found, threads)
    found = as_pictures(found, options.run, options.machine.device)
    channels = found.config.network.channels
    series, scale = is_series(found.config.network), scale_of(found)
    if kind != "array" and channels not in (1, 3) and not series:
        raise ValueError(
            f"pictures of {channels} channels cannot be a PNG: write --out x.npy"
        )
    drawing = options.drawing.with_steps(found.schedule, found.drawn_with)
    drawing.guided(found.model)  # what cannot be guided is refused before all else
    drawing.check_no_class(found.stored, options.run)
    label, name = (None, "") if options.label is None else class_of(options.label, found)
    if label is not None and drawing.guidance == 0:
        raise ValueError(
            "--guidance 0 leaves the class out: leave out --label, or --guidance"
        )
    shown = dict(label=label, progress=not options.json)
    pictures = in_units(draw(found, drawing, options.num, threads, **shown), scale)
    what = "series" if series else "pictures"
    columns = columns_of(len(pictures), None if label is not None else found.config.network)
    outcome = {
        kind if kind == "array" else "grid": str(write(pictures, kind, path, columns)),
        what: options.num,
        **_of_the_chain(options, drawing, found),
        "seed": drawing.seed,
        "device": describe_device(found, drawing),
    }
    outcome |= chosen(options, found.stored)
    if label is not None:
        outcome |= {"label": label, "class": name}
    if drawing.guidance != 1:
        outcome["guidance"] = drawing.guidance
    outcome |= _stored(options, drawing)
    if options.json:
        print(json.dumps(outcome))
        return
    where = outcome.get("array") or outcome["grid"]
    more = ", and series.npy beside it" if series else ", and single ones beside it"
    beside = more if kind == "folder" else ""
    chain = _chain_in_words(options, drawing, found)
    print(f"{_in_words(outcome, what, chain, options.step == 'best')}: {where}{beside}")
    _say_stored(outcome)


def _of_the_chain(options, drawing, found):
    r"""How something was drawn, for programs: {name: value}. found: of what."""
    chain = {n: v for n, v in drawing.chain().items() if v is not None}
    chain["calls"] = network_calls(drawing.sampler, drawing.steps)
    return chain | {"chosen_by": options.drawing.choice(found.drawn_with)[0]}


def _chain_in_words(options, drawing, found):
    r"""Such as "in 100 steps of ancestral, as stored with the model"."""
    return f"in {drawing.in_words()}, {options.drawing.choice(found.drawn_with)[1]}"


def _check_store(options):
    if options.drawing.guidance_interval is not None:
        raise ValueError("--store keeps no --guidance-interval: leave one of them out")
    if not checkpoints(options.run):
        raise ValueError(
            "--store writes into config.json of a run's folder, and "
            f"{options.run} is none; a weight file with a chain is written in Python: "
            "save_model(path, model, "
            'schedule, config | {"drawn_with": {"sampler": "ddim", "steps": 20}})'
        )


def _stored(options, drawing):
    r"""Write the chain into config.json where --store asks for it: {"stored": its path}."""
    if not options.store:
        return {}
    path = Path(options.run) / "config.json"
    chain = {n: v for n, v in drawing.chain().items() if v is not None}
    if drawing.guidance != 1:
        chain["guidance"] = drawing.guidance
    with locked(options.run):
        about = read_json(path) | {"drawn_with": chain}
        write_text(path, json.dumps(about, indent=1) + "\n")
    return {"stored": str(path)}


def _say_stored(outcome):
    if "stored" in outcome:
        print(f"stored in {outcome['stored']}: it is drawn so from now on, without options")


def _in_words(outcome, what, chain, best):
    r"""What was drawn, as one sentence.

    what: pictures or series. chain: in words. best: of --step best.
    """
    said = [f"{outcome[what]} {what}"]
    if "label" in outcome:
        label, name = str(outcome["label"]), outcome["class"]
        said.append(f"of class {label}" + (f", {name}," if name not in ("", label) else ""))
    if "weights" in outcome:
        said.append(f"of the {outcome['weights']} weights")
    calls = f"{outcome['calls']} network calls"
    if "guidance" in outcome:
        calls += f" (guidance {outcome['guidance']:g}: of twice the batch)"
    said.append(f"{chain}, {calls},")
    if best:
        said.append(f"of the best checkpoint, step {outcome['step']},")
    return " ".join([*said, f"on {outcome['device']}"])


def _points(options, found, threads):
    r"""Draw points, which have no picture: an array (num, dim) in one file."""
    if options.label is not None:
        raise ValueError("this model has no classes: leave out --label")
    drawing = options.drawing.with_steps(found.schedule, found.drawn_with)
    model = found.model.to(choose_device(options.machine.device))
    drawing.guided(model)  # which points have none of
    out = options.out or str(free(f"samples_{named(options.run)}", ".npy"))
    kind, path = place(out, "")
    if kind != "array":
        raise ValueError(f"{options.run} is a model of points: write --out x.npy")
    how = drawing.chain() | dict(seed=drawing.seed, batch=drawing.batch)
    device = next(model.parameters()).device
    precision = choose_precision(device, drawing.precision, model)
    with autocast(device, precision), following(threads, model):
        points = found.sample(options.num, progress=not options.json, **how)
    outcome = {"array": str(write(points.cpu(), kind, path)), "points": options.num}
    outcome |= _of_the_chain(options, drawing, found) | {"seed": drawing.seed}
    outcome |= chosen(options, found.config) | _stored(options, drawing)
    if options.json:
        print(json.dumps(outcome))
        return
    chain = _chain_in_words(options, drawing, found)
    words = "{points} points {chain}, {calls} network calls: {array}"
    print(words.format(chain=chain, **outcome))
    _say_stored(outcome)


def class_of(word, found):
    r"""The number and the name of the class that --label means; the name "" if unknown.

    word: a name as the run's folders had it, in capitals or not, or else a number. found: a
    PictureModel. Raises ValueError where there are no classes, or none is called so.
    """
    classes = found.config.network.classes
    if not classes:
        raise ValueError("this model has no classes: leave out --label")
    names = found.stored.get("described", {}).get("classes", ())
    names = [str(name) for name in names] if len(names) == classes else []
    lower = [name.lower() for name in names]
    numbers = [names.index(word)] if word in names else []
    numbers = numbers or [i for i, name in enumerate(lower) if name == word.lower()]
    if not numbers and word.isdecimal() and int(word) < classes:
        numbers = [int(word)]
    if len(numbers) != 1:
        known = "" if names == [str(i) for i in range(classes)] else listed(names)
        known = f", or be one of {known}" if names and known else ""
        raise ValueError(f"--label must lie in 0..{classes - 1}{known}; got {word!r}")
    return numbers[0], names[numbers[0]] if names else ""


def chosen(options, stored):
    r"""What --step and --weights chose, {name: value}; {} if they were not given."""
    found = {} if options.step is None else {"step": stored["step"]}
    return found | ({} if options.weights == "ema" else {"weights": options.weights})


def named(run):
    r"""The name of a run, weight file or shipped model, for what is made of it."""
    path = Path(run).resolve()
    return path.stem if path.is_file() else path.name


def place(out, name):
    r"""What --out names: ("folder", "grid" or "array", a path that is free).

    out: as given, "" for a folder called after the name of the model. Raises
    FileExistsError where something is, FileNotFoundError for a file in no folder, and
    ValueError for a file of another kind.
    """
    path = Path(out)
    ending, is_folder = path.suffix.lower(), out.endswith(("/", os.sep))
    if ending in (".npy", ".png") and not is_folder:
        if path.exists():
            raise FileExistsError(f"{path} already exists: name another file with --out")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"no folder {path.parent} for {path.name}: make it")
        return "array" if ending == ".npy" else "grid", path
    if any(c.isalpha() for c in ending) and not is_folder and not path.is_dir():
        raise ValueError(
            f"--out takes a folder, or a file that ends in .npy or .png, got {path}; if "
            f"that is to be a folder, say {path}/"
        )
    return "folder", new_folder(out) if out else free(f"samples_{name}")


def columns_of(num, network=None):
    r"""The columns of a grid of so many pictures: 8, or 16 from a hundred pictures on.

    network: its settings, where its classes are drawn in turn; then there is a column for
    each, if they are 5 to 16.
    """
    classes = getattr(network, "classes", None) or 0
    if 5 <= classes <= 16:
        return classes
    return 8 if num < 100 else 16


def write(pictures, kind, path, columns=None):
    r"""Write pictures (N, C, H, W), or series (N, C, L), to what `place` gave.

    columns: of the grid, `columns_of` their number if None. Returns the path to look at.
    """
    if kind == "array":
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            np.save(file, pictures.numpy())
        return path
    if pictures.dim() == 3:  # series
        if kind == "folder":
            write(pictures, "array", path / "series.npy")
        return save_drawn(pictures, path / "grid.png" if kind == "folder" else path, 8)
    columns = columns or columns_of(len(pictures))
    if kind == "grid":
        return figure.save_pictures(pictures, path, columns)
    for i, picture in enumerate(pictures):
        figure.save_pictures(picture[None], path / f"{i:05d}.png", 1, least=1)
    return figure.save_pictures(pictures, path / "grid.png", columns)
