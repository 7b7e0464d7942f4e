r"""The command `evaluate`: how good are a model's pictures."""

from dataclasses import dataclass, field

from tyro.conf import Positional

from ..checks import check_given, check_integer, check_name
from ..evaluation import inception
from ..evaluation.evaluate import (
    FEWEST,
    blank,
    can_tell,
    judges_judged,
    labelled_fid,
    measures,
    table,
)
from ..formats.checkpoint import write_text
from ..sampling.sampler import sample_path
from ..sampling.solvers import network_calls
from ..training.compared import find
from ..training.one_dimension import called, is_series
from ..training.reports import labels_for
from .shared import (
    MODEL,
    MOST,
    Drawing,
    Machine,
    as_json,
    check_step,
    describe_device,
    draw,
    new_file,
    open_pictures,
)

_JUDGES = 600  # the fewest training pictures to judge the judges on


@dataclass(frozen=True)
class Options:
    r"""Measure samples against pictures that were set aside, and training ones beside."""

    run: Positional[str]  # run folder, weight file or name, such as digits
    drawing: Drawing = field(default_factory=Drawing)
    machine: Machine = field(default_factory=Machine)
    data: str = ""  # pictures to compare with, all of them; else those that RUN set aside
    split: str = ""  # which of data's, where it has several
    num: int = 1000  # samples, and as many training pictures beside them, if there are
    # of which checkpoint: a number, or best for the lowest held-out loss; else the newest
    step: int | str | None = None
    weights: str = "ema"  # or raw: as the last update left them, not averaged
    network: str = ""  # module:Class of a network of your own, which is then imported
    inception: str = ""  # file of Inception weights: measure FID too
    judges: bool = False  # judge the judges too, on samples whose quality is known
    out: str = ""  # write the numbers to this new JSON file too
    json: bool = False  # print the numbers as JSON

    def __post_init__(self):
        check_given(MODEL, self.run)
        check_integer("--num", self.num, 1, MOST)
        check_step(self.step)
        check_name("--weights", self.weights, "ema", "raw")


def run(options, threads):
    r"""Draw, measure and print. threads: a Threads, not begun."""
    threads.begin(options.machine.threads)
    _refuse(options)
    given = options.step, options.machine.device, options.weights, options.network
    found = open_pictures(options.run, *given)
    series = is_series(found.config.network)
    if series and options.inception:
        raise ValueError("--inception is for pictures, not for series: leave it out")
    drawing = options.drawing.with_steps(found.schedule, found.drawn_with)
    chosen_by, whose = options.drawing.choice(found.drawn_with)
    how = _how(drawing) | {"chosen_by": chosen_by}
    how |= {"device": describe_device(found, drawing)}
    drawing.check_no_class(found.stored, options.run)
    _refuse_chain(found, drawing)
    compared = find(
        found.config,
        found.stored,
        run=options.run,
        step=options.step,
        data=options.data,
        split=options.split,
    )
    train, unseen = compared.train, compared.unseen
    num, notes = options.num, _notes(options.num, found.config, compared)
    sizes = [None if x is None else len(x) for x in (train, unseen)]
    of = called(found.config.network)
    rows = blank(num, sizes[0], sizes[1] or 0, of)
    few = _too_few(rows, of)
    if few and can_tell(rows):
        enough = f"{len(rows) - few} of {len(rows)} measures"
        notes.append(f"only {enough} can tell from so few unseen {of}")
    notes.insert(0, f"drawing: {drawing.in_words()}, {whose}")
    told, shown = [*compared.told, *notes], not options.json
    if shown:
        print("\n".join(told), flush=True)
    numbers = {"run": options.run, "samples": num, **how}
    numbers |= {} if options.step is None else {"step": found.stored["step"]}
    numbers |= {} if options.weights == "ema" else {"weights": options.weights}
    numbers["compared"] = compared.about() | {"told": told}
    drawn = None
    if can_tell(rows) or options.inception:
        counts = compared.counts
        drawn = draw(found, drawing, num, threads, counts=counts, progress=shown)
    if can_tell(rows):
        rows = measures(drawn, train, unseen, levels=compared.levels, progress=shown)
    if series:  # whose numbers are no pixels
        rows = {name.replace("pixels", "values"): row for name, row in rows.items()}
    numbers["measures"] = rows
    if options.judges:
        numbers["judges"] = _judges(train, unseen, shown)
    if options.inception:
        numbers["fid"] = _fid(options, drawing, found, drawn, compared, shown)
    if options.out:
        write_text(options.out, as_json(numbers) + "\n")
    if options.json:
        print(as_json(numbers))
        return
    print(f"\n{_measured(options, found.stored)}{table(rows, _words(unseen, of), of)}")
    if few and drawn is not None:
        enough = max(FEWEST.values())
        print(
            f"{enough} unseen {of} are enough for all measures: name more, --data, or "
            f"set as many aside when training, --hold-out {enough}"
        )
    if drawn is None:
        more = "take more samples, --num" if unseen else f"name unseen {of}, --data"
        if unseen and len(unseen) < min(FEWEST.values()):
            more = f"name more unseen {of}, --data"
        print(f"nothing was drawn, for no measure can tell: {more}")
    for name in ("judges", "fid"):
        if name in numbers:
            print(f"\n{name}: {as_json(numbers[name])}")


def _refuse(options):
    r"""Refuse what can be refused before any work."""
    if options.split and not options.data:
        raise ValueError("--split says which split of --data is read: give --data too")
    if options.out:
        new_file(options.out)
    if options.inception:
        inception.load(options.inception)


def _refuse_chain(found, drawing):
    r"""Refuse what `sample` would, which checks before its first step and not before."""
    shape, model = (1, *found.config.network.sample_shape), drawing.guided(found.model)
    sample_path(model, found.schedule, shape, seed=drawing.seed, **drawing.chain())


def _notes(num, config, compared):
    r"""What is to be said of so many samples and of their classes, a line each."""
    train, classes, notes = compared.train, config.network.classes, []
    of = called(config.network)
    if train is not None and len(train) < num:
        notes.append(f"samples: {num:,}, beside no more than {len(train):,} training {of}")
    if classes and compared.counts is None:
        notes.append(f"classes: in turn, for their mix in the training {of} is unknown")
    elif classes:
        notes.append(f"classes: in the mix of the training {of}")
    if classes:
        left = classes - len(labels_for(config, num, compared.counts).unique())
        if left:
            notes.append(f"{left} of the {classes} classes get none of {num} samples")
    return notes


def _judges(train, unseen, progress):
    if train is None or len(train) < _JUDGES or unseen is None or len(unseen) < 4:
        many = [0 if x is None else len(x) for x in (train, unseen)]
        why = "needs {} training examples and 4 unseen ones, has {} and {}"
        return {"cannot_tell": why.format(_JUDGES, *many)}
    return judges_judged(train, unseen, levels=train.levels, progress=progress)


def _fid(options, drawing, found, drawn, compared, progress):
    r"""FID against the training pictures, as is usual, or the unseen if none are known."""
    real, what = compared.train, "training pictures"
    if real is None:
        real, what = compared.unseen, "pictures"
    if min(len(real), len(drawn)) < 2:
        return {"cannot_tell": f"needs 2 pictures of each kind, has {len(real)}"}
    return labelled_fid(
        drawn,
        real,
        options.inception,
        f"{what} of {real.name}",
        drawing.sampler,
        drawing.steps,
        device=str(next(found.model.parameters()).device),
        progress=progress,
    )


def _too_few(rows, of):
    r"""How many measures cannot tell because there are too few unseen examples."""
    whys = [row.get("cannot_tell", {}).get("generated", "") for row in rows.values()]
    return sum(f"unseen {of}" in why for why in whys)


def _measured(options, stored):
    r"""A line on the weights of a run that were measured; "" of what is not a run."""
    if "step" not in stored:
        return ""
    best = "the best checkpoint, " if options.step == "best" else ""
    what = "raw weights" if options.weights == "raw" else "averaged weights (EMA)"
    return f"new: from {best}step {stored['step']:,}, {what}\n"


def _words(unseen, of):
    return "none" if unseen is None else f"{len(unseen):,} {of} of {unseen.name}"


def _how(drawing):
    r"""How samples were drawn, for those who read the numbers later."""
    how = {
        "sampler": drawing.sampler,
        "steps": drawing.steps,
        "calls": network_calls(drawing.sampler, drawing.steps),
        "spacing": drawing.spacing or "trailing",
        "seed": drawing.seed,
    }
    more = {"eta": drawing.eta, "variance": drawing.variance}
    if drawing.guidance != 1:
        more |= {"guidance": drawing.guidance, "interval": drawing.guidance_interval}
    return how | {name: value for name, value in more.items() if value is not None}
