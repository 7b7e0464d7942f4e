r"""What is wrong, in words: with this installation, and with a run.

A run is asked in the order in which one fault hides the next. Are its files whole? Does
the chain end in N(0, I), and are the pictures what they should be? Is the loss below what
a covariance matrix knows, and above what only the training set knows (chapter 04)? Does
the sampler keep the spread of the data, given an exact denoiser? Then the network: what
does it answer, and what do its pictures look like? The first thing that is wrong is the
one to mend first. Nothing is trained, and nothing is written into the run.
"""

import math
import re
import shutil
import sys
import tempfile
import textwrap
import warnings
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from importlib import metadata, util
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ..formats.checkpoint import (
    checkpoints,
    fingerprint,
    load_model,
    load_pretrained,
    pretrained_names,
    read_json,
    step_of,
)
from ..models.unet import UNet, UNetConfig
from ..oracle import DataOracle, GaussianOracle
from ..process import (
    noise_from_v,
    noise_from_x_0,
    predict,
    q_posterior,
    q_sample,
    v_from_x_0,
)
from ..sampling.sampler import ancestral_step, sample
from ..schedule import Schedule
from ..seeds import generator_for
from ..training import experiment
from ..training.device import (
    WIDE,
    choose_device,
    choose_precision,
    cpu_computes_bfloat16,
    describe,
)
from ..training.instruments import BANDS, read_log
from ..training.presets import SCHEDULES, RunConfig, build
from ..training.threads import Threads, cores
from ..training.trainer import TrainConfig, second_moment, to_float

_LEVELS = ("wrong", "note", "ok")
_LOSS, _SAMPLES, _ANSWERS = 200, 201, 202  # keeps the random draws of the questions apart
_OPTIONAL = {
    "datasets": "data from the hub and parquet",
    "tensorboard": "--tensorboard",
    "sklearn": "the digits and the points of the chapters",
}
_UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    OSError,
    ImportError,
    RuntimeError,
    EOFError,
)
_TELLS = 0.02  # a linear ceiling below it is lost in what any network is off by


@dataclass(frozen=True)
class Finding:
    r"""One thing that was looked at.

    level: "ok", "note" (worth knowing, or not looked at) or "wrong". what: its short
    name. words: what was found, what was expected, what to do. numbers: the same as plain
    values, {name: number}.
    """

    level: str
    what: str
    words: str
    numbers: dict = field(default_factory=dict)


def diagnose(run=None):
    r"""Look at this installation, and at a run if one is named.

    run: the folder of a run, or None. Returns a list of Findings, in the order in which
    faults hide each other. Raises FileNotFoundError where there is no such folder.
    """
    if run is not None and not Path(run).is_dir():
        raise FileNotFoundError(f"there is no folder {run}: name the folder of a run")
    return installation() + ([] if run is None else examine(run))


def table(findings):
    r"""Findings as text: wrong ones first, a verdict of one line last."""
    width = max((len(finding.what) for finding in findings), default=0)
    lines = []
    for finding in sorted(findings, key=lambda f: _LEVELS.index(f.level)):
        head = f"{finding.level:7}{finding.what:{width}}  "
        indent = " " * len(head)
        lines += textwrap.wrap(
            finding.words, 100, initial_indent=head, subsequent_indent=indent
        )
    wrong, note, ok = ([f for f in findings if f.level == level] for level in _LEVELS)
    verdict = f"{len(wrong)} wrong, {len(note)} to note, {len(ok)} in order"
    verdict += f"; mend first: {wrong[0].what}" if wrong else ""
    return "\n".join([*lines, "", verdict])


# --- the installation


def installation():
    r"""Look at libraries, device, mathematics, shipped models, disk: a list of Findings."""
    return [
        _versions(),
        _optional(),
        _device(),
        _network_on_device(),
        _mathematics(),
        _shipped(),
        _disk(Path.cwd(), 1e9),
        _temporary(),
    ]


def _versions():
    try:
        asked = metadata.requires("ddpm-lite") or []
        python = metadata.metadata("ddpm-lite")["Requires-Python"] or ""
    except metadata.PackageNotFoundError:
        words = (
            "ddpm-lite is not installed and runs from a folder, so the versions that it "
            "asks for are not known. To install it: pip install -e ."
        )
        return Finding("note", "versions", words)
    found, bad = {"python": sys.version.split()[0]}, []
    if not version_fits(found["python"], python):
        bad.append(f"Python {found['python']}, not {python}")
    for line in (line for line in asked if "extra ==" not in line):
        name, ranges = re.match(r"([\w.-]+)\s*([^;]*)", line).groups()
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            bad.append(f"{name} is missing")
            continue
        if not version_fits(found[name], ranges):
            bad.append(f"{name} {found[name]}, not {ranges.strip()}")
    if bad:
        words = f"Not what the package asks for: {'; '.join(bad)}. Install it again."
        return Finding("wrong", "versions", words, found)
    words = (
        f"Python {found['python']}, torch {found.get('torch', '?')} and the others are in "
        "the ranges that the package asks for."
    )
    return Finding("ok", "versions", words, found)


def version_fits(version, ranges):
    r"""Say whether a version lies in ranges such as ">=2.11,<3".

    version: text such as "2.13.0+cpu", of which the leading numbers count. ranges: each
    with one of >=, >, <=, <, == and !=, and all must hold; "" always does.
    """

    def numbers(text):
        found = [int(n) for n in re.match(r"[\d.]*", text).group().split(".") if n]
        return found + [0] * (6 - len(found))

    own = numbers(version)
    for sign, limit in re.findall(r"(>=|<=|==|!=|<|>)\s*([\w.]+)", ranges):
        other = numbers(limit)
        holds = {
            ">=": own >= other,
            "<=": own <= other,
            ">": own > other,
            "<": own < other,
            "==": own == other,
            "!=": own != other,
        }
        if not holds[sign]:
            return False
    return True


def _optional():
    there = {name: util.find_spec(name) is not None for name in _OPTIONAL}
    missing = [f"{name}, for {_OPTIONAL[name]}" for name in there if not there[name]]
    if missing:
        words = f"Not installed: {'; '.join(missing)}. Nothing else needs it."
        return Finding("note", "optional packages", words, there)
    return Finding("ok", "optional packages", f"{', '.join(there)} are there.", there)


def _device():
    device = choose_device()
    precision = choose_precision(device)
    threads, most = Threads().choose(), cores()
    numbers = {"device": str(device), "precision": precision, "threads": threads.now}
    told = f"A run would use {describe(device, precision, threads.now)}; {most} cores."
    if device.type == "cpu" and cpu_computes_bfloat16():
        told += f" A U-Net of {WIDE} channels or more would run in bfloat16."
    if device.type == "cpu" and shutil.which("nvidia-smi"):
        words = (
            f"{told} There seems to be an NVIDIA card that torch {torch.__version__} "
            "cannot use: install a torch with CUDA, or a newer driver."
        )
        return Finding("wrong", "device", words, numbers)
    if device.type == "cpu" and threads.now > most:
        words = (
            f"{told} {threads.summary()}: more threads than cores wait for each other. "
            f"Set it to {most} at most, or unset it: commands then take the cores that are "
            "free."
        )
        return Finding("note", "device", words, numbers)
    told += f" Chosen: {threads.summary()}."
    return Finding("ok", "device", told, numbers)


def _network_on_device():
    r"""The same network in float64 on the CPU and in float32 on the device."""
    config = UNetConfig.preset("digits", width=16, zero_init=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = UNet(config).eval()
    x_t = torch.randn(4, *config.sample_shape, generator=generator_for(_ANSWERS))
    t, device = torch.tensor([1, 10, 500, 1000]), choose_device()
    with torch.no_grad():
        there = model.to(device)(x_t.to(device), t.to(device)).cpu().double()
        here = model.to("cpu").double()(x_t.double(), t)
    error = float((there - here).norm() / here.norm())
    told = f"A small U-Net on {device} differs from float64 by a share {error:.0e}"
    if not error < 1e-2:
        words = (
            f"{told}, more than rounding explains. Do not train there: try another version "
            "of torch or of the driver, or --device cpu."
        )
        return Finding("wrong", "network on the device", words, {"error": error})
    return Finding("ok", "network on the device", f"{told}.", {"error": error})


def _mathematics():
    r"""Equations of the package against routes that do not use them."""
    errors = {
        "posterior": _posterior_error(),
        "ancestral": _ancestral_error(),
        "ddim": _ddim_error(),
    }
    limits = {"posterior": 1e-9, "ancestral": 1e-6, "ddim": 0.02}
    schedules = (Schedule.linear(), Schedule.cosine(), Schedule.sigmoid())
    tables = [v for s in schedules for v in (s.beta, s.alpha_bar, s.posterior_variance)]
    bad = [name for name, limit in limits.items() if not errors[name] <= limit]
    bad += [] if all((torch.isfinite(v) & (v >= 0)).all() for v in tables) else ["tables"]
    if bad:
        words = (
            f"Two routes to one number disagree: {', '.join(bad)}. This copy of the "
            "package is damaged: install it again."
        )
        return Finding("wrong", "mathematics", words, errors)
    words = (
        f"The posterior is Bayes' rule to {errors['posterior']:.0e}. With the exact "
        "denoiser of a Gaussian the chain ends in its variance to "
        f"{errors['ancestral']:.0e}, and DDIM in its deviation to {errors['ddim']:.0e}."
    )
    return Finding("ok", "mathematics", words, errors)


def _posterior_error():
    schedule = Schedule.linear()
    t = torch.arange(2, schedule.T + 1)
    x_0, x_t = (torch.full((len(t), 1), v, dtype=torch.float64) for v in (0.7, -1.3))
    mean, variance = q_posterior(schedule, x_0, x_t, t)
    before, alpha, beta, alpha_bar = (
        v[:, None]
        for v in (
            schedule.one_minus_alpha_bar[t - 1],
            schedule.alpha[t],
            schedule.beta[t],
            schedule.alpha_bar[t - 1],
        )
    )
    precision = (
        1 / before + alpha / beta
    )  # Bayes: precisions add, means are weighed by them
    by_bayes = (alpha_bar.sqrt() * x_0 / before + alpha.sqrt() * x_t / beta) / precision
    return float(max((mean - by_bayes).abs().max(), (variance * precision - 1).abs().max()))


def _ancestral_error():
    r"""The variance that a chain of exact steps ends with, against that of the data."""
    schedule, wanted, variance = Schedule.cosine(50), 0.25, 1.0
    oracle = GaussianOracle(schedule, torch.zeros(1), wanted)
    one, zero = (torch.full((1, 1), v, dtype=torch.float64) for v in (1.0, 0.0))
    for number in range(schedule.T, 0, -1):
        t = torch.tensor([number])
        factor, deviation = (
            ancestral_step(
                schedule,
                x_t,
                oracle.x_0_moments(x_t, t)[0],
                t,
                t - 1,
                noise,
                variance=oracle.reverse_variance,
            )
            for x_t, noise in ((one, zero), (zero, one))
        )
        variance = float(factor**2 * variance + deviation**2)
    return abs(variance / wanted - 1)


def _ddim_error():
    schedule = Schedule.cosine()
    oracle = GaussianOracle(schedule, torch.zeros(1), 0.25)
    one = torch.ones(1, 1, dtype=torch.float64)
    options = dict(sampler="ddim", steps=200, progress=False, dtype=torch.float64)
    return abs(float(sample(oracle, schedule, (1, 1), x_T=one, **options)) / 0.5 - 1)


def _shipped():
    names, bad = pretrained_names(), []
    for name in names:
        try:
            load_pretrained(name)
        except _UNREADABLE as error:
            bad.append(f"{name} ({_line(error)})")
    if bad:
        words = f"Models that come with the package cannot be read: {'; '.join(bad)}. "
        return Finding("wrong", "shipped models", f"{words}Install it again.")
    return Finding("ok", "shipped models", f"{', '.join(names)} can be read.")


def _disk(where, needed):
    free = shutil.disk_usage(where).free
    numbers = {"free_gb": free / 1e9, "needed_gb": needed / 1e9}
    told = f"{free / 1e9:.2g} GB are free at {where}"
    if free < needed / 3:
        words = f"{told}, too little for a checkpoint: free some, or use another disk."
        return Finding("wrong", "disk", words, numbers)
    if free < needed:
        return Finding("note", "disk", f"{told}, little for a long run.", numbers)
    return Finding("ok", "disk", f"{told}.", numbers)


def _temporary():
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * 4096)
    except OSError as error:
        words = f"{_line(error)}. Let TMPDIR name a folder that can be written."
        return Finding("wrong", "temporary folder", words)
    return Finding("ok", "temporary folder", f"{tempfile.gettempdir()} can be written.")


# --- a run


@dataclass(frozen=True)
class Case:
    r"""What could be read of a run; None or empty where it could not.

    config: its RunConfig. train: its TrainConfig. folder: the newest checkpoint that is
    whole. model, schedule: its EMA. state: its numbers. lines: of metrics.jsonl.
    pictures, held_out: PictureSets, the latter None where none are set aside. draws,
    samples: how many the network is asked for.
    """

    run: Path
    about: dict = field(default_factory=dict)
    config: RunConfig | None = None
    train: TrainConfig | None = None
    folder: Path | None = None
    model: torch.nn.Module | None = None
    schedule: Schedule | None = None
    state: dict = field(default_factory=dict)
    lines: list = field(default_factory=list)
    pictures: object = None
    held_out: object = None
    device: torch.device | None = None
    draws: int = 0
    samples: int = 0

    @property
    def step(self):
        r"""How many updates the newest checkpoint has seen."""
        return step_of(self.folder)


def examine(run, draws=1024, samples=64):
    r"""Look at a run: its files, and the questions of the module's text, in that order.

    run: the folder. draws: of (x_0, t, noise), for the losses. samples: pictures that are
    drawn. A CPU makes fewer of a large network. Returns a list of Findings. What a fault
    makes impossible to ask is not asked.
    """
    case, findings = Case(Path(run)), []
    for read in (_read_settings, _read_log, _read_checkpoint):
        case, more = read(case)
        findings += more
    if case.folder is None:
        return findings
    findings += _weights(case)
    sound = all(finding.level == "ok" for finding in findings if finding.what in _SPOILED)
    findings += _agreement(case)
    case, more = _read_pictures(case)
    findings += [_prior(case), *more]
    for question in (_finished, _average, _loss_curve, _rates, _gradient, _machine):
        findings += question(case) if case.train else []
    if case.config is None or not sound or not isinstance(case.model, UNet):
        return findings
    if case.model.unet_config.sample_shape != case.config.unet.sample_shape:
        return findings  # the pictures do not fit the network
    device, fewer = choose_device(), 1.0
    if device.type == "cpu":
        fewer = min(1.0, 2e11 / draws / _operations(case.model))
    case.model.to(device)
    draws, samples = max(64, int(fewer * draws)), max(12, int(fewer * samples))
    case = replace(case, device=device, draws=draws, samples=samples)
    for question in (_prediction, _loss, _sampler, _at_the_end, _samples, _copies):
        findings += question(case)
    return findings


_SPOILED = ("weights not finite", "not trained", "EMA")


def _read_settings(case):
    try:
        about = read_json(case.run / "config.json")
    except (ValueError, OSError) as error:
        words = (
            f"{_line(error)}. It is written when a run starts, and resume needs it: take "
            "it from a copy, or start the run again."
        )
        return case, [Finding("wrong", "config.json", words)]
    case = replace(case, about=about)
    try:
        train = TrainConfig(**about["train"]) if "train" in about else None
        own = {k: about[k] for k in RunConfig.__dataclass_fields__ if k in about}
        config = RunConfig.from_dict(own) if "unet" in about else None
    except _UNREADABLE as error:
        version = about.get("versions", {}).get("ddpm-lite", "unknown")
        words = (
            f"config.json holds a setting that this version refuses: {_line(error)}. Mend "
            f"it, or use the version that wrote it, {version}."
        )
        return case, [Finding("wrong", "config.json", words)]
    if config is None:
        words = (
            "config.json has no settings of a run on pictures, so data, loss and samples "
            "are not looked at."
        )
        return replace(case, train=train), [Finding("note", "config.json", words)]
    words = "All settings in config.json are such as this version knows."
    case = replace(case, config=config, train=train)
    return case, [Finding("ok", "config.json", words)]


def _read_log(case):
    path = case.run / "metrics.jsonl"
    try:
        lines = read_log(path)
    except ValueError as error:
        words = f"A line of {path.name} is not whole: {_line(error)}. Resume cuts it off."
        return case, [Finding("wrong", "metrics", words)]
    return replace(case, lines=[line for line in lines if "step" in line]), []


def _read_checkpoint(case):
    opened, broken, findings = {}, {}, []
    folders = {folder.name: folder for folder in checkpoints(case.run)}
    for name, folder in folders.items():
        try:
            opened[name] = _opened(folder)
        except (*_UNREADABLE, SafetensorError) as error:
            broken[name] = _line(error)
    if not folders:
        words = "There is none: it was not written, or removed. Start the run again."
        return case, [Finding("wrong", "checkpoint", words)]
    newest = case.run / "newest"
    named = newest.read_text("utf-8").strip() if newest.is_file() else "nothing"
    if named not in folders:
        words = (
            f"The file newest names {named}, and the last one there is {max(folders)}. "
            "Copy the checkpoint again, or write the name of the last into that file."
        )
        findings.append(Finding("wrong", "newest checkpoint", words))
    if broken:
        listed = "; ".join(f"{name}: {why}" for name, why in broken.items())
        advice = "None is left: start the run again."
        if opened:
            advice = f"Remove it, write {max(opened)} into the file newest, and resume."
        words = f"Not whole: {listed}. {advice}"
        findings.append(Finding("wrong", "checkpoint", words, {"broken": len(broken)}))
    if not opened:
        return case, findings
    name = named if named in opened else max(opened)
    if not broken:
        words = f"{len(opened)} are whole, the newest is {name}."
        findings.append(Finding("ok", "checkpoint", words, {"whole": len(opened)}))
    for part in (case.run / "checkpoints").glob("*.part"):
        words = f"{part.name} was left by a process that ended while writing: remove it."
        findings.append(Finding("note", "half a checkpoint", words))
    size = sum(file.stat().st_size for file in folders[name].iterdir())
    findings.append(_disk(case.run, 3 * size))
    loaded, state = opened[name]
    case = replace(case, folder=folders[name], state=state, model=loaded.model)
    return replace(case, schedule=loaded.schedule), findings


def _opened(folder):
    r"""The EMA and the numbers of a checkpoint. Raises where a file is not whole."""
    loaded = load_model(folder / "model.safetensors")
    _live(folder)
    return loaded, read_json(folder / "state.json")


def _live(folder, prefix="model."):
    r"""The weights that train, {name: tensor}."""
    with safe_open(folder / "state.safetensors", framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]
        return {name.removeprefix(prefix): file.get_tensor(name) for name in names}


# --- the weights


def _weights(case):
    average, live = case.model.state_dict(), _live(case.folder)
    adam = _live(case.folder, "adam.")
    bad = [
        f"{name} of {whose}"
        for whose, tensors in (("the EMA", average), ("the weights", live), ("Adam", adam))
        for name, value in tensors.items()
        if not torch.isfinite(value).all()
    ]
    if bad:
        words = (
            f"NaN or infinity in {len(bad)} tensors, such as {bad[0]}. Go on from an "
            "earlier checkpoint with a lower lr, in float32 or bfloat16."
        )
        yield Finding("wrong", "weights not finite", words, {"tensors": len(bad)})
        return
    if case.step == 0:
        words = (
            "The checkpoint is that of step 0, with random weights. Go on with: ddpm-lite "
            f"resume {case.run}"
        )
        yield Finding("wrong", "not trained", words, {"moved": 0.0})
        return
    first = build(case.config)[0].state_dict() if case.config else {}
    shapes = [{k: v.shape for k, v in w.items()} for w in (first, live)]
    if shapes[0] != shapes[1] or case.config.init:
        yield Finding("ok", "weights", "All are finite.")
        return
    moved, followed = _distance(first, live), _distance(first, average)
    numbers = {"moved": moved, "ema_moved": followed}
    if moved < 1e-6:
        words = (
            f"After {case.step:,} steps the weights are still the initial ones: the "
            "updates did not reach them. Train again."
        )
        yield Finding("wrong", "not trained", words, numbers)
    elif followed < 1e-3 * moved:
        words = (
            "The weights have moved and their EMA, from which samples come, has not. Train "
            "again with a lower ema_decay."
        )
        yield Finding("wrong", "EMA", words, numbers)
    else:
        words = f"All are finite; they have moved by {moved:.0%} of their length."
        yield Finding("ok", "weights", words, numbers)


def _distance(first, other):
    r"""How far weights lie from the first ones, as a share of the length of those."""
    far = sum(float((other[name] - first[name]).double().square().sum()) for name in first)
    return math.sqrt(far / sum(float(v.double().square().sum()) for v in first.values()))


def _agreement(case):
    r"""Does config.json tell of the network and the schedule that the weights have?"""
    if case.config is None:
        return
    told, there, fine = asdict(case.config.unet), {}, True
    if isinstance(case.model, UNet):
        there = asdict(case.model.unet_config)
    other = [f"{k} {told[k]}, not {there.get(k)}" for k in told if told[k] != there.get(k)]
    if other:
        words = (
            "config.json tells of another network than the weights have: "
            f"{'; '.join(other)}. The weights know best: mend config.json."
        )
        yield Finding("wrong", "network settings", words)
        fine = False
    expected, beta = SCHEDULES[case.config.schedule](case.config.unet.T), case.schedule.beta
    if expected.T != case.schedule.T or not torch.allclose(expected.beta, beta, 1e-9, 0):
        words = (
            f"The weights' table of beta is not the {case.config.schedule} one with T = "
            f"{expected.T} that config.json tells of: it has T = {case.schedule.T} and "
            f"ends with {float(beta[-1]):.3g}, not {float(expected.beta[-1]):.3g}. The "
            "weights know best: mend config.json."
        )
        yield Finding("wrong", "schedule", words)
        fine = False
    if fine:
        words = "config.json and the weights tell of one network and one schedule."
        yield Finding("ok", "settings and weights", words)


# --- first question: the chain, and the pictures


def _prior(case):
    moment, known = 1.0, "for data with E x^2 = 1"
    if case.pictures is not None:
        moment = second_moment(case.pictures.x_0, case.pictures.levels)
        known = f"with E x^2 = {moment:.2f} as in these pictures"
    gap = case.schedule.prior_gap(moment, warn=False)
    told = (
        f"A share {gap.signal_left:.2g} of x_0 is left at t = T = {case.schedule.T}, L_T = "
        f"{gap.kl:.1g} nats per dimension {known}"
    )
    if gap.kl > 1e-3:
        words = (
            f"{told}, more than 1e-3. Sampling starts from N(0, I), which training has "
            "never seen: train with a larger T, or --schedule cosine."
        )
        return Finding("wrong", "prior gap", words, asdict(gap))
    return Finding("ok", "prior gap", f"{told}: the chain ends in noise.", asdict(gap))


def _read_pictures(case):
    if case.config is None:
        return case, []
    try:
        pictures, held_out = experiment.load_pictures(case.config)
    except _UNREADABLE as error:
        words = (
            f"The pictures of {case.config.data or 'this run'} cannot be read from here, "
            f"so data and loss are not looked at: {_line(error)}"
        )
        return case, [Finding("note", "pictures", words)]
    case = replace(case, pictures=pictures, held_out=held_out)
    return case, [_same(case), *_range(pictures), _repeated(pictures, held_out)]


def _same(case):
    pictures, before = case.pictures, case.state.get("data")
    now = fingerprint(pictures.x_0, pictures.y if case.config.unet.classes else None)
    numbers = {"pictures": len(pictures)}
    if before not in (None, now):
        many = case.about.get("described", {}).get("pictures", "?")
        words = (
            f"{case.config.data} now holds other pictures than this run began with: "
            f"{len(pictures):,} (fingerprint {now}), then {many} ({before}). Resume "
            "refuses them: bring the old ones back, or start a new run with --init."
        )
        return Finding("wrong", "other pictures", words, numbers)
    shape = " x ".join(str(n) for n in pictures.shape)
    told = f"{len(pictures):,} of {shape}, those that the run began with"
    if len(pictures) < 100:
        words = f"{told}. So few are soon known by heart: look at samples/nearest.png."
        return Finding("note", "few pictures", words, numbers)
    return Finding("ok", "pictures", f"{told}.", numbers)


def _range(pictures):
    x_0, top = _some(pictures.x_0, 5000, 3e8), pictures.levels - 1
    lowest, highest = x_0.flatten(1).amin(1), x_0.flatten(1).amax(1)
    low, high = int(lowest.min()), int(highest.max())
    blank = float((lowest == highest).double().mean())
    dark = float((highest <= 0.05 * top).double().mean())
    numbers = {"lowest": low, "highest": high, "levels": pictures.levels}
    numbers |= {"blank_share": blank, "dark_share": dark}
    told, fine = f"Grey levels go from {low} to {high} of 0 to {top}", True
    if high - low <= 0.25 * top:
        words = (
            f"{told}, so all that the network sees is nearly one grey. Were pictures in 0 "
            "to 1 made whole numbers? Multiply by 255 before that."
        )
        yield Finding("wrong", "data range", words, numbers)
        fine = False
    elif dark > 0.5:
        words = f"{dark:.0%} of the pictures are all but black: leave them out."
        yield Finding("wrong", "black pictures", words, numbers)
        fine = False
    if blank > 0.01:
        words = f"{blank:.0%} of the pictures have one grey level alone: leave them out."
        yield Finding("wrong", "constant pictures", words, numbers)
        fine = False
    if pictures.shape[0] == 3 and bool((x_0[:, :1] == x_0).all()):
        words = "All three channels are equal: --channels 1 makes the network cheaper."
        yield Finding("note", "grey pictures", words)
    if fine:
        level = "ok" if high - low > 0.75 * top else "note"
        yield Finding(level, "data range", f"{told}, which is -1 to 1.", numbers)


def _repeated(pictures, held_out):
    own, aside = _names(pictures), _names(held_out)
    known = set(own)
    repeated = 1 - len(known) / len(own)
    leaked = sum(picture in known for picture in aside) / max(1, len(aside))
    numbers = {"repeated": repeated, "held_out_in_training": leaked}
    told = (
        f"{repeated:.1%} of the pictures repeat another one, and {leaked:.1%} of those set "
        "aside are among those trained on"
    )
    if max(repeated, leaked) > 0.1:
        words = (
            f"{told}. Copies are seen more often and learned by heart, and the held-out "
            "loss does not tell: leave them out."
        )
        return Finding("wrong", "duplicates", words, numbers)
    level = "note" if max(repeated, leaked) > 0.01 else "ok"
    return Finding(level, "duplicates", f"{told}.", numbers)


def _names(pictures):
    r"""A hash of each picture, [] for None."""
    few = _some(pictures.x_0, 50_000, 1e9) if pictures else []
    return [sha256(picture.numpy().tobytes()).digest() for picture in few]


# --- what the log of the training tells


def _finished(case):
    steps, step, batch = case.train.steps, case.step, case.train.batch_size
    known = case.about.get("described", {}).get("pictures")
    seen = f", each picture {step * batch / known:.3g} times" if known else ""
    numbers = {"step": step, "steps": steps}
    if step < steps:
        words = f"Step {step:,} of {steps:,}{seen}. Go on with: ddpm-lite resume {case.run}"
        yield Finding("note", "not finished", words, numbers)
    else:
        yield Finding("ok", "training length", f"All {steps:,} steps{seen}.", numbers)


def _average(case):
    share, decay = case.state.get("ema_initial_share", 0.0), case.train.ema_decay
    horizon = 1 / (1 - decay)
    numbers = {"initial_share": share, "horizon": horizon}
    if share > 0.01:
        words = (
            f"The EMA still holds {share:.0%} of the random initial weights, and samples "
            f"come from it: it averages over {horizon:,.0f} steps, and has seen "
            f"{case.step:,}. Sample from it later, or lower ema_decay from {decay:g}."
        )
        yield Finding("wrong", "EMA horizon", words, numbers)
    elif horizon > case.train.steps:
        words = (
            f"ema_decay {decay:g} averages over {horizon:,.0f} steps and the run has "
            f"{case.train.steps:,}; only its warm-up keeps the average fresh."
        )
        yield Finding("note", "EMA horizon", words, numbers)
    else:
        words = f"It averages over {horizon:,.0f} steps; {share:.0e} of the start is left."
        yield Finding("ok", "EMA horizon", words, numbers)


def _loss_curve(case):
    bad = sorted(case.run.glob("bad_batch_step_*.safetensors"))
    losses = {line["step"]: line["loss"] for line in case.lines if "loss" in line}
    holes = [step for step, loss in losses.items() if not math.isfinite(loss)]
    if bad or holes:
        step = holes[0] if holes else int(bad[0].stem.rsplit("_", 1)[1])
        where = f" (the batch is in {bad[0].name})" if bad else ""
        words = (
            f"The loss was NaN or infinite at step {step:,}{where}. Go on from the last "
            f"checkpoint with a lower lr than {case.train.lr:g}, in float32 or bfloat16."
        )
        yield Finding("wrong", "loss not finite", words, {"step": step})
        return
    if not losses:
        words = f"There is no line of metrics yet; one comes every {case.train.log_every} "
        yield Finding("note", "loss curve", f"{words}steps.")
        return
    best, recent = min(losses, key=losses.get), list(losses.values())[-3:]
    last = sum(recent) / len(recent)
    numbers = {"lowest": losses[best], "last": last}
    if len(losses) >= 5 and last > 2 * losses[best]:
        words = (
            f"The training loss was {losses[best]:.3g} at step {best:,} and is {last:.3g} "
            "now. Go on from an earlier checkpoint with a lower lr."
        )
        yield Finding("wrong", "loss rises", words, numbers)
        return
    words = f"The training loss went from {next(iter(losses.values())):.3g} to {last:.3g}."
    yield Finding("ok", "loss curve", words, numbers)


def _rates(case):
    steps, warmup, lr = case.train.steps, case.train.warmup_steps, case.train.lr
    numbers = {"warmup_steps": warmup, "steps": steps, "lr": lr}
    if warmup >= steps > 1:
        words = (
            f"The learning rate rises over {warmup:,} steps and the run has {steps:,}, so "
            f"it never reaches {lr:g}. Set --warmup-steps to a twentieth of the run."
        )
        yield Finding("wrong", "warm-up", words, numbers)
    elif case.step < warmup:
        words = f"At step {case.step:,} the learning rate still rises, up to {warmup:,}."
        yield Finding("note", "warm-up", words, numbers)
    else:
        words = f"The learning rate rose to {lr:g} in {warmup:,} steps."
        yield Finding("ok", "warm-up", words, numbers)


def _gradient(case):
    lines = [line for line in case.lines if "grad_norm" in line]
    lines = [line for line in lines if line["step"] > case.train.warmup_steps] or lines
    if not lines:
        return
    norms = [line["grad_norm"] for line in lines]
    recent = [line["clipped"] for line in lines[-max(1, len(lines) // 4) :]]
    middle, last = sorted(norms)[len(norms) // 2], norms[-1]
    clipped = sum(recent) / len(recent)
    numbers = {"median": middle, "last": last, "clipped": clipped}
    if not math.isfinite(last) or (len(norms) >= 5 and last > 10 * middle):
        words = (
            f"Its norm is {last:.3g}, and was {middle:.3g} in the middle of the run. Go on "
            "from an earlier checkpoint with a lower lr, and with grad_clip 1."
        )
        yield Finding("wrong", "gradient explodes", words, numbers)
    elif clipped > 0.9:
        words = (
            f"It is cut in {clipped:.0%} of the last steps: its norm is about "
            f"{middle:.3g}, and the limit {case.train.grad_clip:g}. What a batch says then "
            "counts by its direction alone. Raise grad_clip; lower lr if the loss jumps."
        )
        yield Finding("wrong", "gradient clipped", words, numbers)
    else:
        words = f"Its norm is about {middle:.3g}; {clipped:.0%} of the last steps were cut."
        yield Finding("ok", "gradient", words, numbers)


def _machine(case):
    r"""Precision, device and speed of the training, as far as the run tells."""
    precision = case.about.get("precision", case.train.precision)
    scale = (case.state.get("scaler") or {}).get("scale")
    if scale is not None and scale < 1:
        words = (
            f"The loss scale of float16 fell to {scale:.1g}: gradients overflow again and "
            "again, and those steps are lost. Use bfloat16 or float32."
        )
        yield Finding("wrong", "precision", words, {"loss_scale": scale})
    elif precision == "float16":
        words = (
            "The network ran in float16, which ends at 65,504: if a loss turns NaN, use "
        )
        yield Finding("note", "precision", f"{words}bfloat16 or float32.")
    else:
        told = "what the machine does best" if precision == "auto" else precision
        yield Finding("ok", "precision", f"That of the network is {told}.")
    build = str(case.about.get("versions", {}).get("torch", ""))
    used = str(case.about.get("device", "cpu" if "+cpu" in build else "unknown"))
    if used == "cpu" and torch.cuda.is_available():
        words = "It used the CPU, and there is a CUDA card here, which resume would use."
        yield Finding("note", "device of the run", words)
    try:
        lines = read_log(case.run / "timing.jsonl")
        speeds = [line["examples_per_second"] for line in lines]
    except (ValueError, KeyError) as error:
        yield Finding("note", "speed", f"timing.jsonl cannot be read: {_line(error)}")
        return
    if len(speeds) >= 5:
        middle, last = sorted(speeds)[len(speeds) // 2], speeds[-1]
        words = f"{last:,.0f} pictures/s at last, {middle:,.0f} in the middle of the run"
        level, words = "ok", f"{words}."
        if last < 0.4 * middle:
            level, words = "note", f"{words} Does something else use this machine?"
        yield Finding(level, "speed", words, {"median": middle, "last": last})


# --- what the network answers, before its loss is judged


def _prediction(case):
    r"""Ask the network for known draws: does it answer noise, x_0 or v?"""
    if case.pictures is None:
        return
    x_0, y, noise, t = _known(case)
    x_t, own = q_sample(case.schedule, x_0, t, noise), case.model.prediction
    told = _ask(case, case.model, x_t, t, y)
    truths = {"noise": noise, "x_0": x_0, "v": v_from_x_0(case.schedule, x_t, t, x_0)}
    missed = {
        name: float((told - truth).square().mean() / truth.square().mean())
        for name, truth in truths.items()
    }
    best = min(missed, key=missed.get)
    listed = ", ".join(f"{share:.2f} of {name}" for name, share in missed.items())
    if missed[best] < 0.5 * missed[own]:
        words = (
            f"The network says that it predicts {own}, and answers {best}: of known draws "
            f"it misses {listed}. Samplers take its word: write prediction = {best} into "
            "its settings, or train again."
        )
        yield Finding("wrong", "prediction", words, missed)
    else:
        words = f"The network predicts {own}: of known draws it misses {listed}."
        yield Finding("ok", "prediction", words, missed)


def _known(case):
    r"""Pictures, their classes, noise, and t where both are in x_t in equal parts."""
    schedule, n, generator = (
        case.schedule,
        max(32, case.draws // 8),
        generator_for(_ANSWERS),
    )
    middle = ((schedule.alpha_bar > 0.2) & (schedule.alpha_bar < 0.8)).nonzero().flatten()
    middle = middle if len(middle) else torch.tensor([-(-schedule.T // 2)])
    t = middle[torch.randint(len(middle), (n,), generator=generator)]
    index = torch.randint(len(case.pictures), (n,), generator=generator)
    x_0, y = case.pictures.to_float(index), case.pictures.y
    noise = torch.randn(x_0.shape, generator=generator)
    return x_0, None if y is None else y[index], noise, t


def _ask(case, denoiser, x_t, t, y):
    y = y.to(case.device) if y is not None and getattr(denoiser, "classes", 0) else None
    with torch.no_grad():
        return predict(denoiser, x_t.to(case.device), t, y).cpu()


# --- second question: the loss, between the linear ceiling and the finite set's floor


def linear_ceiling(schedule, x_0, t):
    r"""The loss of the best linear prediction of the noise, which a network must beat.

    x_0: (N, C, H, W), float. t: int64 (n,) in 1..T. Returns float64 (n,), per dimension:
    the mean of a v / (a v + 1 - a) over variances v of the data, a = alpha_bar_t, in closed
    form (chapter 04). With up to 1,024 dimensions and ten times as many pictures, v are
    the eigenvalues of the covariance, and no linear prediction is better. Else they are
    the variances along waves, which fewer pictures tell: the best prediction that is
    linear wave by wave, so never below. Raises IndexError for t above T.
    """
    variances, a = _variances(x_0), schedule.alpha_bar[t]
    parts = [
        (part * variances / (part * variances + 1 - part)).mean(1)
        for part in a[:, None].split(max(1, int(2e7) // len(variances)))
    ]
    return torch.cat(parts)


def _variances(x_0):
    x_0 = x_0.double() - x_0.double().mean(0)
    N, D = len(x_0), x_0[0].numel()
    if D <= 1024 and N >= 10 * D:
        flat = x_0.flatten(1)
        return torch.linalg.eigvalsh(flat.T @ flat / N).clamp(min=0)
    colours = x_0.movedim(1, 3)  # (N, H, W, C)
    _, axes = torch.linalg.eigh(torch.einsum("nhwc,nhwd->cd", colours, colours))
    waves = torch.fft.fft2((colours @ axes).movedim(3, 1), norm="ortho")
    return waves.abs().square().mean(0).flatten()


def _loss(case):
    r"""The EMA's loss on pictures that it was trained on and on others, with its bounds."""
    if case.pictures is None:
        return
    pictures, aside = case.pictures, case.held_out or case.pictures
    x_0 = to_float(_some(pictures.x_0, 20_000), pictures.levels)
    if case.config.train.flip:
        x_0 = torch.cat([x_0, x_0.flip(3)])
    draws = _draws(case)
    ceiling = linear_ceiling(case.schedule, x_0, draws[0])
    if int((ceiling > _TELLS).sum()) < 16:
        words = "These pictures vary so little that their loss tells nothing."
        yield Finding("note", "loss", words)
        return
    live = UNet(case.model.unet_config).eval()
    live.load_state_dict(_live(case.folder))
    errors = {
        "train": _errors(case, case.model, pictures, draws),
        "held_out": _errors(case, case.model, aside, draws),
        "weights": _errors(case, live.to(case.device), aside, draws),
        "linear_ceiling": ceiling,
    }
    if pictures.x_0.numel() <= 5e7:  # beyond that the set is too large to be looked up
        x_0 = to_float(pictures.x_0, pictures.levels)
        if case.config.train.flip:
            x_0 = torch.cat([x_0, x_0.flip(3)])
        oracle = DataOracle(case.schedule, x_0)
        errors["finite_set_floor"] = _errors(case, oracle, pictures, draws)
    yield _lag(errors, ceiling > _TELLS)
    yield _below_ceiling(case, errors, draws[0])
    yield from _by_heart(case, errors)


def _below_ceiling(case, errors, t):
    rows, means = [], {name: float(error.mean()) for name, error in errors.items()}
    for band in range(BANDS):
        here = (t - 1) * BANDS // case.schedule.T == band
        if here.any():
            row = {"from": int(t[here].min()), "to": int(t[here].max())}
            rows.append(row | {name: float(e[here].mean()) for name, e in errors.items()})
    telling = errors["linear_ceiling"] > _TELLS
    share, error = _ratio(errors["train"][telling], errors["linear_ceiling"][telling])
    numbers = means | {"share": share, "standard_error": error, "bands": rows}
    aside = f" (on held-out ones {means['held_out']:.4f})" if case.held_out else ""
    told = (
        f"The EMA's is {means['train']:.4f} on the training pictures{aside}, and their "
        f"linear ceiling {means['linear_ceiling']:.4f}; where that is above {_TELLS:g}, "
        f"the loss is {share:.2f} of it"
    )
    if share - 2 * error > 1:
        words = (
            f"{told}. It has not learned yet what a covariance matrix knows: train longer; "
            "if the loss no longer falls, with a higher lr or a wider network."
        )
        return Finding("wrong", "loss", words, numbers)
    telling_rows = [r for r in rows if r["linear_ceiling"] > _TELLS]
    above = [r for r in telling_rows if r["train"] > 1.1 * r["linear_ceiling"]]
    if above:
        row = max(above, key=lambda r: r["train"] / r["linear_ceiling"])
        words = (
            f"{told}. For t = {row['from']} to {row['to']} it is still "
            f"{row['train'] / row['linear_ceiling']:.2f}: longer training would pay."
        )
        return Finding("note", "loss", words, numbers)
    return Finding("ok", "loss", f"{told}.", numbers)


def _lag(errors, telling):
    r"""The EMA beside the weights that it averages, on the same draws."""
    average, live = errors["held_out"][telling], errors["weights"][telling]
    share, error = _ratio(average, live)
    numbers = {"share": share, "standard_error": error}
    told = f"The EMA's loss is {share:.3f} times that of the weights it averages"
    if share - 2 * error > 1.1:
        words = (
            f"{told}, and samples come from it. Train on as lr falls, or lower ema_decay."
        )
        return Finding("wrong", "EMA lag", words, numbers)
    return Finding("ok", "EMA lag", f"{told}.", numbers)


def _by_heart(case, errors):
    r"""How far the training set's loss has gone, from other pictures' to its own floor."""
    if "finite_set_floor" not in errors:
        return
    ceiling, floor = errors["linear_ceiling"], errors["finite_set_floor"]
    where = (ceiling > _TELLS) & (floor < 0.5 * ceiling)
    if int(where.sum()) < 16:
        return
    apart = bool(case.held_out)
    start = (errors["held_out"] if apart else ceiling)[where]
    train, floor = errors["train"][where], floor[where]
    share, error = _ratio(start - train, start - floor)
    numbers = {"share": share, "standard_error": error}
    told = (
        f"From {'held-out pictures' if apart else 'the linear ceiling'} "
        f"({float(start.mean()):.3f}) to what only the training set knows "
        f"({float(floor.mean()):.3f}), its own loss ({float(train.mean()):.3f}) has gone "
        f"{max(0.0, share):.0%} of the way"
    )
    if share - 2 * error > (0.3 if apart else 0.9):
        words = (
            f"{told}: the network knows its pictures by heart. Stop earlier, or take more "
            "pictures, --flip, dropout or a smaller network."
        )
        yield Finding("wrong", "memorised", words, numbers)
    elif apart and share - 2 * error > 0.1:
        words = f"{told}: the network begins to know its pictures by heart."
        yield Finding("note", "memorised", words, numbers)
    else:
        yield Finding("ok", "memorised", f"{told}.", numbers)


def _draws(case):
    r"""t spread evenly over 1..T, noise, and which picture, as a share of all."""
    n, T, generator = case.draws, case.schedule.T, generator_for(_LOSS)
    t = (torch.arange(n) * T + T // 2) // n % T + 1
    noise = torch.randn(n, *case.pictures.shape, generator=generator)
    return t, noise, torch.rand(n, generator=generator)


def _errors(case, denoiser, pictures, draws):
    r"""Mean squared error of the predicted noise for each draw, float64 (n,).

    What a denoiser predicts is turned into noise first, so that the bounds hold for all.
    """
    t, noise, place = draws
    index, errors = (place * len(pictures)).long(), []
    for part in torch.arange(len(t)).split(64):
        x_0 = pictures.to_float(index[part])
        x_t = q_sample(case.schedule, x_0, t[part], noise[part])
        y = None if pictures.y is None else pictures.y[index[part]]
        told = _ask(case, denoiser, x_t, t[part], y)
        if denoiser.prediction != "noise":
            convert = noise_from_x_0 if denoiser.prediction == "x_0" else noise_from_v
            told = convert(case.schedule, x_t, t[part], told)
        errors.append((told - noise[part]).double().square().flatten(1).mean(1))
    return torch.cat(errors)


def _ratio(above, below):
    r"""Mean over mean of paired numbers, and its standard error."""
    share = above.mean() / below.mean()
    left = (above - share * below).std() / math.sqrt(len(above))
    return float(share), abs(float(left / below.mean()))


# --- third question: the sampler, with a denoiser that is exact


def _sampler(case):
    r"""What the run's sampler makes of a Gaussian with the pictures' own variances."""
    schedule, steps = case.schedule, min(case.config.sample_steps, case.schedule.T)
    variances = torch.tensor([1.0, 0.1, 0.01], dtype=torch.float64)
    if case.pictures is not None:
        few = to_float(_some(case.pictures.x_0, 2000), case.pictures.levels)
        own = _variances(few)
        if own.mean() > _TELLS / 10:  # else the data's range is the fault
            variances = own.sort(descending=True).values[:256].clamp(min=1e-9)
    oracle = GaussianOracle(schedule, torch.zeros(len(variances)), variances)
    one = torch.ones(1, len(variances), dtype=torch.float64)
    options = dict(sampler="ddim", steps=steps, progress=False, dtype=torch.float64)
    end = sample(oracle, schedule, one.shape, x_T=one, **options)
    kept = float(end.square().sum() / variances.sum())
    numbers = {"steps": steps, "variance_kept": kept}
    told = (
        f"With the exact denoiser of a Gaussian like these data, {steps} steps of DDIM end "
        f"with {kept:.0%} of their variance"
    )
    if not 0.6 < kept < 1.5:
        words = f"{told}: samples are flat with any network. Raise --sample-steps."
        yield Finding("wrong", "sampler", words, numbers)
    elif not case.config.clip:
        words = f"{told}. The predicted x_0 is not cut to [-1, 1]: leave out --no-clip."
        yield Finding("note", "sampler", words, numbers)
    else:
        yield Finding("ok", "sampler", f"{told}.", numbers)


# --- fourth question: the network


def _at_the_end(case):
    r"""At t = T all of x_t is noise: of a network for noise the answer is x_t itself."""
    if case.pictures is None or case.model.prediction != "noise":
        return
    x_0, y, noise, _ = _known(case)
    t = torch.full((len(x_0),), case.schedule.T)
    x_T = q_sample(case.schedule, x_0, t, noise)
    told = _ask(case, case.model, x_T, t, y)
    cosine = float(torch.cosine_similarity(told.flatten(), x_T.flatten(), dim=0))
    words = f"At t = T, where x_t is noise, the answer and x_t correlate at {cosine:.3f}"
    if not cosine > 0.9:
        words += (
            ", and should at 1. Sampling begins there, so every picture goes astray: train "
            "longer, or look at the prior gap."
        )
        yield Finding("wrong", "noise at t = T", words, {"correlation": cosine})
    else:
        yield Finding("ok", "noise at t = T", f"{words}.", {"correlation": cosine})


def _samples(case):
    r"""Draw pictures, and compare what they look like with the data."""
    num, steps = case.samples, min(20, case.schedule.T)
    config = replace(case.config, unet=case.model.unet_config)
    options = dict(seed=_SAMPLES, sampler="ddim", steps=steps, progress=False)
    y = experiment.labels_for(config, num)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a prior gap, found before
            drawn = experiment.draw(case.model, case.schedule, config, num, y=y, **options)
    except FloatingPointError as error:
        words = f"{_line(error)}. Go on from an earlier checkpoint with a lower lr."
        yield Finding("wrong", "samples not finite", words)
        return
    own = looks(drawn)
    told = f"{num} pictures in {steps} steps of DDIM: brightness {own['brightness']:.2f}"
    if case.pictures is None:
        words = f"{told}, contrast {own['contrast']:.2f}; no data to compare with."
        yield Finding("note", "samples", words, {"samples": own})
        return
    data = looks(to_float(_some(case.pictures.x_0, 2000), case.pictures.levels))
    numbers = {"samples": own, "data": data}
    shares = [
        f"{name} {own[name] / max(data[name], 1e-9):.2f}"
        for name in ("contrast", "roughness", "variety")
    ]
    told = (
        f"{told} (data {data['brightness']:.2f}); as shares of the data's: "
        f"{', '.join(shares)}"
    )
    name, why = name_of(own, data)
    if name:
        yield Finding("wrong", name, f"{told}. {why}", numbers)
    else:
        yield Finding("ok", "samples", f"{told}.", numbers)


def looks(pictures):
    r"""Numbers for what a person calls black, flat, noisy or all alike.

    pictures: (N, C, H, W), N >= 2. Returns brightness (the mean), spread (deviation of all
    pixels), contrast (within a picture), roughness (mean step between neighbours), variety
    (deviation of one pixel from picture to picture) and saturated, the share at -1 or 1.
    """
    flat = pictures.flatten(1)
    rough = [pictures.diff(dim=d).abs().mean() for d in (2, 3) if pictures.shape[d] > 1]
    return {
        "brightness": float(flat.mean()),
        "spread": float(flat.std()),
        "contrast": float(flat.std(1).mean()),
        "roughness": float(sum(rough)) / max(1, len(rough)),
        "variety": float(flat.std(0).mean()),
        "saturated": float((flat.abs() > 0.99).double().mean()),
    }


def name_of(own, data):
    r"""Name what is wrong with samples that look so, and say why; ("", "") if nothing is.

    own, data: what `looks` says of samples and of data. Returns two strings.
    """
    share = {name: own[name] / max(data[name], 1e-9) for name in own}
    shift = (own["brightness"] - data["brightness"]) / max(data["spread"], 1e-9)
    if share["roughness"] > 1.5 and share["roughness"] > 1.3 * share["contrast"]:
        return "noisy samples", (
            "They are rough as noise is: trained too little, an EMA that lags, an x_0 that "
            "is not cut to [-1, 1], or a wrong prediction or schedule."
        )
    if shift < -0.5 and share["contrast"] < 0.7:
        return "black samples", (
            "They are dark and flat: look at the data's range, and at the precision."
        )
    if abs(shift) > 0.5 or share["contrast"] < 0.7:
        return "washed-out samples", (
            "They are flat, or too bright or dark as a whole. That is decided at large t: "
            "look at the prior gap and the loss there, and train longer."
        )
    if share["variety"] < 0.6:
        return "samples all alike", (
            "They vary less than the data: too few pictures, or too few steps."
        )
    if own["saturated"] > data["saturated"] + 0.3:
        return "saturated samples", (
            "Too many pixels are at -1 or 1, where x_0 is cut: look at the data's range, "
            "and train longer."
        )
    return "", ""


def _copies(case):
    path = case.run / "memorisation.json"
    share = None
    try:
        share = read_json(path).get("copying_share") if path.is_file() else None
    except ValueError as error:
        yield Finding("note", "copies", f"{_line(error)}.")
    if share is None:
        return
    told = (
        f"By memorisation.json, samples prefer training pictures to held-out ones by "
        f"{share:.2f}; 0 learns, 1 copies"
    )
    if share > 0.5:
        words = f"{told}. See samples/nearest.png; stop earlier, or take more pictures."
        yield Finding("wrong", "copies", words, {"copying_share": share})
    else:
        level = "note" if share > 0.25 else "ok"
        yield Finding(level, "copies", f"{told}.", {"copying_share": share})


# --- helpers


def _operations(model):
    r"""Operations of one picture, in convolutions and linear maps alone."""
    counted = []

    def count(module, _, output):
        places = output.numel() // module.weight.shape[0]
        counted.append(2 * module.weight.numel() * places)

    layers = [
        m for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))
    ]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        model(
            torch.zeros(1, *model.unet_config.sample_shape),
            torch.ones(1, dtype=torch.int64),
        )
    for hook in hooks:
        hook.remove()
    return sum(counted)


def _some(x_0, most, values=3e7):
    r"""At most `most` evenly spaced examples, of about `values` numbers together."""
    most = max(1, min(most, int(values // x_0[0].numel())))
    return x_0[:: max(1, -(-len(x_0) // most))]


def _line(error):
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
