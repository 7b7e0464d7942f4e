r"""The command `ddpm-lite`: from a folder of pictures to new ones.

Options come from the dataclasses of the package: what a setting means is said there.
Results that a program may read are printed as JSON with --json. An error is one line on
stderr and the exit status 1; an option that does not exist gives status 2.
"""

import difflib
import json
import math
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import tyro

from .presets import RUNS, RunConfig

_FLAT = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)


@dataclass(frozen=True)
class Train:
    r"""Train on pictures: ddpm-lite train [PRESET] --data FOLDER [options]."""

    run: RunConfig = field(default_factory=RunConfig)
    out: str = ""  # the run's folder; runs/PRESET if not given
    device: str = "auto"  # auto, cpu, cuda, cuda:1 or mps
    max_minutes: float | None = None  # stop after so long, with a checkpoint
    dry_run: bool = False  # print settings and estimate, and write nothing
    tensorboard: bool = False  # also write what TensorBoard reads
    json: bool = False  # print the outcome as JSON


@dataclass(frozen=True)
class Resume:
    r"""Go on with a run from its newest checkpoint."""

    run: tyro.conf.Positional[str]  # the run's folder
    steps: int | None = None  # a new total, to train longer than planned
    device: str = "auto"  # may be another one than before
    max_minutes: float | None = None  # stop after so long, with a checkpoint
    tensorboard: bool = False  # also write what TensorBoard reads
    json: bool = False  # print the outcome as JSON


@dataclass(frozen=True)
class Sample:
    r"""Draw pictures with the EMA of a run, a weight file or a model that is shipped."""

    run: tyro.conf.Positional[str]  # run folder, weight file or name, such as digits
    num: int = 64  # how many
    sampler: str = "ddim"  # ancestral, ddim, heun, dpmpp_2m or dpmpp_2m_sde
    steps: int | None = None  # all T for ancestral, 50 for ddim, 25 for the others
    spacing: str = "trailing"  # or leading, linspace, quadratic, log_snr
    eta: float = 0.0  # share of fresh noise of ddim, in [0, 1]
    variance: str | None = None  # of ancestral: small or large
    seed: int = 0  # picture i depends on (seed, i) alone
    label: int | None = None  # one class for all; else classes in turn
    out: str = ""  # folder for grid.png and 00000.png ...; samples_NAME if not given
    step: int | None = None  # of which checkpoint; the newest if not given
    batch: int = 256  # pictures at a time
    precision: str = "auto"  # of the network: auto, float32, bfloat16 or float16
    device: str = "auto"  # auto, cpu, cuda, cuda:1 or mps
    json: bool = False  # print the outcome as JSON


@dataclass(frozen=True)
class Evaluate:
    r"""Measure samples against pictures that were set aside, and training ones beside."""

    run: tyro.conf.Positional[str]  # run folder, weight file or name, such as digits
    data: str = ""  # pictures to compare with, if not those of the run
    num: int = 1000  # samples, and training pictures beside them
    sampler: str = "ddim"  # ancestral, ddim, heun, dpmpp_2m or dpmpp_2m_sde
    steps: int | None = None  # all T for ancestral, 50 for ddim, 25 for the others
    spacing: str = "trailing"  # or leading, linspace, quadratic, log_snr
    seed: int = 0  # of the samples
    step: int | None = None  # of which checkpoint; the newest if not given
    inception: str = ""  # file of Inception weights: measure FID too
    judges: bool = False  # judge the judges too, on samples whose quality is known
    out: str = ""  # write the numbers to this JSON file too
    precision: str = "auto"  # of the network: auto, float32, bfloat16 or float16
    device: str = "auto"  # auto, cpu, cuda, cuda:1 or mps
    json: bool = False  # print the numbers as JSON


@dataclass(frozen=True)
class Info:
    r"""Tell what a run, a weight file, a shipped model or a preset is and costs."""

    name: tyro.conf.Positional[str]  # run folder, weight file, shipped model or preset
    batch: int = 16  # for the estimate of memory
    json: bool = False  # print it as JSON


@dataclass(frozen=True)
class Curves:
    r"""Draw the curves of a run: loss, bands of t, held-out loss, gradient, EMA."""

    run: tyro.conf.Positional[str]  # the run's folder
    out: str = ""  # a PNG file; RUN/curves.png if not given


@dataclass(frozen=True)
class Doctor:
    r"""Check this installation, and a run if one is named, and say what is wrong."""

    run: tyro.conf.Positional[str] = ""  # the run's folder
    lab: bool = False  # samplers and spacings on exact denoisers, with RUN's schedule
    json: bool = False  # print the findings as JSON


@dataclass(frozen=True)
class Bench:
    r"""Measure speed and memory here, beside diffusers where that is installed."""

    presets: tuple[str, ...] = ("digits", "small-32", "ddpm-cifar10")  # networks
    batches: tuple[int, ...] = (8, 32)  # of the training step
    rounds: int = 5  # in which the contestants take turns, and which are counted
    steps: int = 50  # of DDIM
    limit: float = 60.0  # seconds that one number may take; else less of it, or none
    precision: str = "float32"  # of all networks: auto, float32, bfloat16 or float16
    compile: bool = False  # with torch.compile too, in training: this takes minutes
    quick: bool = False  # in three minutes: less of everything, as the machine is fast
    out: str = ""  # folder for bench.json and bench.png, which replaces older ones
    device: str = "auto"  # auto, cpu, cuda, cuda:1 or mps
    json: bool = False  # print the numbers as JSON


@dataclass(frozen=True)
class Grade:
    r"""Check a class's notebooks of exercises, each apart from the others."""

    submissions: tyro.conf.Positional[str]  # folder of STUDENT.ipynb or STUDENT/*.ipynb
    csv: str = "grades.csv"  # the new table of points
    feedback: str = ""  # folder for a text to each student, with the hints
    held_back: str = ""  # folder with checks of your own, which students do not have
    chapter: str | None = None  # such as 02, to leave out the others
    seed: int = 1  # of the checks' inputs; notebooks use 0
    jobs: int | None = None  # submissions at a time; one for each processor if not given
    seconds: float = 120.0  # that one submission may take
    memory_gb: float = 4.0  # that one submission may take
    isolation: str = "auto"  # bubblewrap, namespaces or none; auto takes the best there is
    json: bool = False  # print the grades as JSON


@dataclass(frozen=True)
class Export:
    r"""Write a model as a folder that another library loads."""

    run: tyro.conf.Positional[str]  # run folder, weight file or name, such as digits
    out: str  # the new folder
    format: str = "diffusers"  # the only one: DDPMPipeline.from_pretrained(OUT)
    step: int | None = None  # of which checkpoint; the newest if not given
    json: bool = False  # print the outcome as JSON


@dataclass(frozen=True)
class Import:
    r"""Read a DDPM of the library diffusers into a weight file."""

    folder: tyro.conf.Positional[str]  # of a pipeline, its unet/ alone, or a hub id
    out: str = ""  # the new weight file, NAME.safetensors, for sample, evaluate, --init
    verify: bool = False  # compare with diffusers itself: outputs, and ten steps
    null_class: bool | None = None  # the last class means "no class", if it is not said
    schedule: str | None = None  # linear or cosine, for a unet/ alone
    T: int | None = None  # steps of that schedule, for a unet/ alone
    prediction: str | None = None  # noise, x_0 or v, for a unet/ alone
    clip: bool | None = None  # cut the predicted x_0 to [-1, 1], for a unet/ alone
    json: bool = False  # print the outcome as JSON


@dataclass(frozen=True)
class Presets:
    r"""List the named settings that train starts from, and the models that are shipped."""

    json: bool = False  # print them as JSON


COMMANDS = {
    "presets": Presets,
    "train": Train,
    "resume": Resume,
    "sample": Sample,
    "evaluate": Evaluate,
    "info": Info,
    "curves": Curves,
    "doctor": Doctor,
    "bench": Bench,
    "grade": Grade,
    "export": Export,
    "import": Import,
}


def main(arguments=None):
    r"""Run a command line, sys.argv if None. Returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        return _fail(f"there is no command {name!r}{_nearest(name, COMMANDS)}")
    try:
        return RUNNERS[name](_parse(name, rest)) or 0
    except (ValueError, OSError, FloatingPointError, RuntimeError, ImportError) as error:
        return _fail(" ".join(str(error).split()))


def usage():
    r"""What the commands are, in a few lines."""
    lines = [
        f"  {name:9} {kind.__doc__.splitlines()[0]}" for name, kind in COMMANDS.items()
    ]
    return "\n".join(
        ["usage: ddpm-lite COMMAND [options]; COMMAND --help tells its options", *lines]
    )


def _parse(name, rest):
    kind, default, prog = COMMANDS[name], None, f"ddpm-lite {name}"
    if name == "train":
        preset = "small-32"
        if rest and not rest[0].startswith("-"):
            preset, *rest = rest
            if preset not in RUNS:
                raise ValueError(
                    f"there is no preset {preset!r}{_nearest(preset, RUNS)}; pictures go "
                    "behind --data"
                )
        default = Train(run=RUNS[preset], out=f"runs/{preset}")
        prog += f" {preset}"
    return tyro.cli(kind, prog=prog, args=rest, default=default, config=_FLAT)


def _train(options):
    from . import experiment
    from .device import keep_memory

    keep_memory()
    device = experiment.join()
    device = options.device if options.device != "auto" else device
    prepared = experiment.prepare(options.run, device)
    first = prepared.trainer.rank == 0
    told = experiment.summary(prepared)
    if first and not options.json:
        print(told, flush=True)
    if options.dry_run:
        if first:
            print(json.dumps(prepared.config.as_dict(), indent=1))
        return
    done = experiment.train(
        prepared,
        options.out,
        max_minutes=options.max_minutes,
        tensorboard=options.tensorboard,
    )
    _tell(done, options, first)


def _resume(options):
    from . import experiment
    from .device import keep_memory

    keep_memory()
    device = experiment.join()
    prepared, done = experiment.resume(
        options.run,
        steps=options.steps,
        device=options.device if options.device != "auto" else device,
        max_minutes=options.max_minutes,
        tensorboard=options.tensorboard,
    )
    _tell(done, Train(out=options.run, json=options.json), prepared.trainer.rank == 0)


def _tell(done, options, first):
    if not first:
        return
    if options.json:
        print(json.dumps(done | {"run": options.out}))
        return
    print(
        f"step {done['step']:,} after {done['seconds']:.0f} s, "
        f"{done['examples_per_second']:,.0f} pictures/s"
    )
    if done["finished"]:
        print(
            f"pictures: {options.out}/samples, also nearest.png, samples beside their "
            f"nearest training pictures\nnext: ddpm-lite sample {options.out}, ddpm-lite "
            f"evaluate {options.out}, ddpm-lite curves {options.out}"
        )
    else:
        print(f"go on with: ddpm-lite resume {options.out}")


def _load(name, step, device):
    from .checkpoint import load_run
    from .device import choose_device
    from .diffusers_format import open_model
    from .presets import RunConfig

    found = open_model(name) if step is None else load_run(name, step)
    own = RunConfig.__dataclass_fields__
    if "unet" not in found.config:
        raise ValueError(
            f"{name} is a {type(found.model).__name__} for points, not a model of pictures"
        )
    known = {k: v for k, v in found.config.items() if k in own}
    config = RunConfig.from_dict({"train": {}} | known)  # an import does not say it
    return found.model.to(choose_device(device)), found.schedule, config, found.config


def _draw(options, model, schedule, config):
    import torch

    from .experiment import draw, labels_for
    from .solvers import start_of

    y = labels_for(config, options.num)
    label = getattr(options, "label", None)
    if label is not None:
        if y is None:
            raise ValueError("this model has no classes: leave out --label")
        if not 0 <= label < config.unet.classes:
            raise ValueError(f"--label must lie in 0..{config.unet.classes - 1}")
        y = torch.full((options.num,), label)
    steps = options.steps
    if steps is None:
        few = {"ancestral": schedule.T, "ddim": 50}.get(options.sampler, 25)
        steps = min(few, start_of(options.sampler, schedule))
    more = {
        k: getattr(options, k) for k in ("eta", "variance", "batch") if k in vars(options)
    }
    return steps, draw(
        model,
        schedule,
        config,
        options.num,
        seed=options.seed,
        y=y,
        sampler=options.sampler,
        steps=steps,
        spacing=options.spacing,
        precision=options.precision,
        progress=not options.json,
        **more,
    )


def _where(options, model):
    from .device import choose_precision, describe

    device = next(model.parameters()).device
    return describe(device, choose_precision(device, options.precision, model))


def _sample(options):
    from . import figure
    from .solvers import network_calls

    model, schedule, config, _ = _load(options.run, options.step, options.device)
    folder = Path(options.out or f"samples_{Path(options.run).stem}")
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: name another folder with --out")
    steps, pictures = _draw(options, model, schedule, config)
    columns = 8 if options.num < 100 else 16
    grid = figure.save_pictures(pictures, folder / "grid.png", columns)
    for i, picture in enumerate(pictures):
        figure.save_pictures(picture[None], folder / f"{i:05d}.png", 1, least=1)
    calls = network_calls(options.sampler, steps)
    told = {"grid": str(grid), "pictures": options.num, "steps": steps, "calls": calls}
    told |= {"seed": options.seed, "device": _where(options, model)}
    print(
        json.dumps(told)
        if options.json
        else f"{options.num} pictures in {steps} steps, {calls} network calls, on "
        f"{told['device']}: {grid}, and single ones beside it"
    )


def _evaluate(options):
    from . import evaluate, experiment
    from .solvers import network_calls

    model, schedule, config, _ = _load(options.run, options.step, options.device)
    config = replace(config, data=options.data or config.data)
    pictures, held_out = experiment.load_pictures(config)
    if held_out is None or len(held_out) < 4:
        raise ValueError("there are no pictures set aside to compare with: see --hold-out")
    options = replace(options, num=min(options.num, len(pictures)))
    steps, drawn = _draw(options, model, schedule, config)
    train, aside, levels = pictures.to_float(), held_out.to_float(), pictures.levels
    numbers = {
        "run": options.run,
        "samples": options.num,
        "sampler": options.sampler,
        "steps": steps,
        "calls": network_calls(options.sampler, steps),
        "spacing": options.spacing,
        "seed": options.seed,
        "device": _where(options, model),
        "held_out": len(aside),
        "measures": evaluate.measures(drawn, train, aside, levels=levels),
    }
    if options.judges:
        numbers["judges"] = evaluate.judges_judged(train, aside, levels=levels)
    if options.inception:
        device = str(next(model.parameters()).device)
        numbers["fid"] = evaluate.labelled_fid(
            drawn,
            train,
            options.inception,
            f"training pictures of {pictures.name}",
            options.sampler,
            steps,
            device=device,
        )
    if options.out:
        Path(options.out).write_text(json.dumps(numbers, indent=1) + "\n", "utf-8")
    if options.json:
        print(json.dumps(numbers, indent=1))
        return
    print(evaluate.table(numbers["measures"], len(aside)))
    for name in ("judges", "fid"):
        if name in numbers:
            print(f"\n{name}: {json.dumps(numbers[name], indent=1)}")


def _info(options):
    from .checkpoint import load_pretrained, pretrained_names
    from .cost import cost

    name, about = options.name, {}
    if name in RUNS and not Path(name).exists():
        config, about = RUNS[name], {"preset": name}
        everything = config.as_dict()
        if name in pretrained_names():
            shipped = load_pretrained(name).config
            about["shipped"] = {k: shipped[k] for k in ("trained_by", "measures")}
    else:
        *_, config, everything = _load(name, None, "cpu")
        told = ("step", "described", "versions", "trained_by", "measures", "imported")
        about = {"run": name} | {k: everything[k] for k in told if k in everything}
    counted = cost(config.unet, options.batch)
    about |= {
        "parameters": counted.parameters,
        "tensors": counted.tensors,
        "gflop_per_picture": round(counted.flops / 1e9, 3),
        "batch": options.batch,
        "training_gb": round(counted.training_bytes / 1e9, 3),
        "settings": {k: v for k, v in asdict(config).items() if k in everything},
    }
    if options.json:
        print(json.dumps(about, indent=1))
        return
    for name, value in about.items():
        if isinstance(value, dict):
            print(f"{name}:")
            print("\n".join(f"  {k}: {v}" for k, v in value.items()))
        else:
            print(f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}")


def _curves(options):
    from .curves import draw_curves

    print(draw_curves(options.run, options.out or Path(options.run) / "curves.png"))


def _doctor(options):
    from .doctor import diagnose, table

    if options.lab:
        from .diffusers_format import open_model
        from .lab_page import examine
        from .lab_page import page as table

        findings = examine(open_model(options.run).schedule if options.run else None)
    else:
        findings = diagnose(options.run or None)
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        print(table(findings))
    return int(any(finding.level == "wrong" for finding in findings))


def _bench(options):
    from . import bench_page
    from .bench import QUICK, bench

    budget = math.inf
    if options.quick:
        budget, few = QUICK, dict(presets=("digits", "small-32"), batches=(32,), rounds=3)
        few = {k: v for k, v in few.items() if getattr(options, k) == getattr(Bench, k)}
        options = replace(options, **few)
    results = bench(
        options.presets,
        options.batches,
        rounds=options.rounds,
        steps=options.steps,
        limit=options.limit,
        budget=budget,
        precision=options.precision,
        device=options.device,
        compile=options.compile,
    )
    if options.out:
        paths = bench_page.write(results, options.out)
        print(f"written: {paths[0]} and {paths[1]}", file=sys.stderr)
    print(json.dumps(results, indent=1) if options.json else bench_page.page(results))


def _grade(options):
    from .classroom import grade, jail

    for path in filter(None, (options.csv, options.feedback)):
        if Path(path).exists():
            raise ValueError(f"{path} exists already: move it, or name another")
    if not Path(options.csv).resolve().parent.is_dir():
        raise ValueError(f"the folder of {options.csv} does not exist: make it first")
    kind = jail.isolation() if options.isolation == "auto" else options.isolation
    print(f"isolation: {kind}", file=sys.stderr)
    if kind == "none":
        print(jail.OPEN, file=sys.stderr)
    grades = grade.grade(
        options.submissions,
        chapter=options.chapter,
        held_back=options.held_back or None,
        seed=options.seed,
        isolation=kind,
        jobs=options.jobs,
        memory_gb=options.memory_gb,
        seconds=options.seconds,
        tell=lambda made: print(grade.line(made), file=sys.stderr, flush=True),
    )
    grade.write_csv(grades, options.csv)
    if options.feedback:
        grade.write_feedback(grades, options.feedback)
    if options.json:
        print(json.dumps([grade.as_dict(made) for made in grades], indent=1))
        return
    got, whole = sum(g.points for g in grades), sum(g.of for g in grades)
    print(f"{len(grades)} notebooks, {got} of {whole} points; written: {options.csv}")


def _export(options):
    from .checkpoint import load_run
    from .checks import check_name
    from .diffusers_format import open_model, to_diffusers

    check_name("--format", options.format, "diffusers")
    step = options.step
    found = open_model(options.run) if step is None else load_run(options.run, step)
    folder = str(to_diffusers(found, options.out))
    classes = found.model.classes
    if options.json:
        print(json.dumps({"folder": folder, "classes": classes}))
        return
    print(f"written: DDPMPipeline.from_pretrained({folder!r}) loads it")
    if classes:
        silent = found.config.get("null_class", True)
        last = f"{classes}, which means no class" if silent else f"{classes - 1}"
        print(
            "that pipeline passes no labels: call its unet(x, t, class_labels=y), y in "
            f"0..{last}"
        )


def _import(options):
    from .checkpoint import save_model
    from .checks import check_name
    from .diffusers_format import from_diffusers
    from .presets import SCHEDULES

    out = Path(options.out)
    if not options.out and not options.verify:
        raise ValueError("say where to write it: --out NAME.safetensors, or only --verify")
    if options.out and out.suffix != ".safetensors":
        raise ValueError(f"--out must end in .safetensors, got {out}")
    if options.out and out.exists():
        raise FileExistsError(f"{out} is there: name another file with --out")
    schedule = options.schedule
    if (schedule is None) != (options.T is None):
        raise ValueError("give --schedule and --T together, for a unet/ alone")
    if schedule is not None:
        schedule = SCHEDULES[check_name("--schedule", schedule, *SCHEDULES)](options.T)
    found = from_diffusers(
        options.folder,
        schedule=schedule,
        prediction=options.prediction,
        clip=options.clip,
        null_class=options.null_class,
    )
    told = {"weights": sum(p.numel() for p in found.model.parameters())}
    if options.verify:
        from .verify import verify

        told["verified"] = asdict(verify(options.folder, found))
    if options.out:
        save_model(out, found.model, found.schedule, found.config)
        told["file"] = str(out)
    if options.json:
        print(json.dumps(told))
        return
    print(f"{options.folder}: {told['weights']:,} weights, T = {found.schedule.T}")
    if options.verify:
        print(
            "verified against diffusers: {network:.2g} between the outputs of the "
            "network, {sampling:.2g} after {steps} {sampler} steps".format(
                **told["verified"]
            )
        )
    if options.out:
        print(
            f"written to {out}\nnext: ddpm-lite sample {out}, ddpm-lite train --init {out}"
        )


def _presets(options):
    from .checkpoint import pretrained_names
    from .cost import cost

    rows = {}
    for name, run in RUNS.items():
        counted = cost(run.unet)
        C, H, W = run.unet.event
        rows[name] = {
            "pictures": f"{H} x {W} x {C}",
            "parameters": counted.parameters,
            "gflop_per_picture": round(counted.flops / 1e9, 3),
            "steps": run.train.steps,
            "batch_size": run.train.batch_size,
            "data": run.data,
        }
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
    print(f"models that are shipped: {', '.join(shipped)}")


RUNNERS = {
    "presets": _presets,
    "train": _train,
    "resume": _resume,
    "sample": _sample,
    "evaluate": _evaluate,
    "info": _info,
    "curves": _curves,
    "doctor": _doctor,
    "bench": _bench,
    "grade": _grade,
    "export": _export,
    "import": _import,
}


def _nearest(name, names):
    near = difflib.get_close_matches(name, names, 1, 0.5)
    return f": did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"


def _fail(message):
    print(f"ddpm-lite: {message}", file=sys.stderr)
    return 1
