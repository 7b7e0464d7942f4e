r"""Judge a model by every measure: `python figures/measures.py WHICH --data FOLDER`.

WHICH: clothes or mnist, the judge and the targets. FOLDER: Fashion-MNIST or MNIST in the
hub's layout. --model: a shipped model (WHICH if not given), a weight file or a run.
Without a mode it draws 1,000 pictures and 1,000 without a label for each of three seeds, by
the chain that is stored with the model ("drawn_with"), judges them beside real pictures and
real ones with planted faults, and writes figures/runs/measures_WHICH.json. Modes:

--real-only  judges the real pictures and the planted faults, and no model;
--chains     judges the list CHAINS of samplers and steps, chooses one by the rule in
             `ranked`, and writes figures/runs/measures_WHICH_chains.json;
--sheet      writes 64 samples mixed with 64 real pictures, and the key beside them;
--named 3 17 what somebody who saw the sheet alone called broken: counts both kinds and
             writes figures/runs/measures_WHICH_sheet.json;
--page       writes what figures/runs holds into docs/measures.md; the others do it too.

Samples are kept in runs/measures, so that a second call only judges.
"""

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import measures_page as page
import numpy as np
import torch
from measures_page import FAULTS, LIMITS, TARGETS
from PIL import Image, ImageDraw
from tqdm import tqdm

from ddpm_lite import data, guided, sample
from ddpm_lite.data.marks import fingerprint
from ddpm_lite.evaluation import classifier, evaluate, foolers, metrics
from ddpm_lite.evaluation.panel import (
    Panel,
    judge,
    over_real,
    panel_of,
    seen_classes,
    spread,
)
from ddpm_lite.formats.checkpoint import write_text
from ddpm_lite.formats.diffusers import open_model
from ddpm_lite.sampling.solvers import network_calls
from ddpm_lite.seeds import generator_for
from ddpm_lite.training.device import autocast, choose_precision
from ddpm_lite.training.facts import versions

ROOT = Path(__file__).resolve().parent.parent
_UNSEEN, _REAL, _COUNTED, _SHEET = range(320, 324)  # what each choice is drawn by
DRAWS = 3  # of real pictures, as many as the model's
TREES = 100  # of a forest
COUNTED = 10_000  # training pictures whose classes the judge counts
BATCH = 100  # samples at a time
PLAIN = dict(sampler="ddim", steps=50)  # of a model that stores no chain
CHAINS = [
    *(
        dict(sampler="dpmpp_2m", steps=steps, spacing=spacing)
        for steps in (15, 25, 50)
        for spacing in ("trailing", "log_snr")
    ),
    *(dict(sampler="dpmpp_2m_sde", steps=n, spacing="log_snr") for n in (25, 50, 100)),
    *(dict(sampler="ddim", steps=n) for n in (25, 50, 100)),
    *(dict(sampler="ancestral", steps=n, variance="small") for n in (50, 100, 250)),
    dict(sampler="ancestral", steps=250, variance="large"),
    dict(sampler="heun", steps=13),
]


@dataclass(frozen=True)
class Real:
    r"""Real pictures: the panel; several draws of trained and of unseen ones, with labels.

    trained, unseen: lists of (pictures, labels). order: of the unseen split, the held-out
    ones first. path: the file that keeps what they score.
    """

    panel: Panel
    train: data.PictureSet
    test: data.PictureSet
    order: torch.Tensor
    trained: list
    unseen: list
    about: dict
    path: Path


def open_real(options):
    r"""Read the pictures, set some aside by a seed, and let the judge see them.

    What real pictures scored is in the cache after a first call, and then so are the
    counts of their classes.
    """
    train, test = (data.load(options.data, split=split) for split in ("train", "test"))
    eye, about = classifier.load_judge(options.which)
    n, H = options.num, options.held_out
    if len(test) < H + DRAWS * n:
        raise ValueError(
            f"the unseen split has {len(test)} pictures, of which {H} are held out and "
            f"{DRAWS} x {n} drawn: lower --held-out or --num"
        )
    order = torch.randperm(len(test), generator=generator_for(_UNSEEN, 0))
    marks = [fingerprint(s.x_0, s.y) for s in (train, test)]
    mark = short([*marks, digest(eye.state_dict()), n, H, DRAWS, COUNTED, TREES])
    path = options.cache / f"real_{options.which}_{mark}.json"
    if path.is_file():
        counts = torch.tensor(json.loads(path.read_text("utf-8"))["counts"])
    else:
        counted = train.to_float(some(train, COUNTED, _COUNTED, 0))
        counts = seen_classes(eye, counted)
    panel = panel_of(test.to_float(order[:H]), train, eye, counts, trees=TREES)
    parts = [order[H + k * n : H + (k + 1) * n] for k in range(DRAWS)]
    unseen = [(test.to_float(part), test.y[part]) for part in parts]
    parts = [some(train, n, _REAL, k) for k in range(DRAWS)]
    trained = [(train.to_float(part), train.y[part]) for part in parts]
    return Real(panel, train, test, order, trained, unseen, about, path)


def some(pictures, n, *numbers):
    r"""Places of n pictures, or of all there are, chosen by whole numbers."""
    return torch.randperm(len(pictures), generator=generator_for(*numbers))[:n]


def digest(tensors):
    r"""A short name of {name: tensor}."""
    found = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        found.update(name.encode() + value.contiguous().cpu().numpy().tobytes())
    return found.hexdigest()[:16]


def short(values):
    r"""A short name of JSON values."""
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# --- real pictures and planted faults


def planted(real):
    r"""{fault: (pictures, labels or None)}: unseen pictures, each kind with one fault."""
    x, y = real.unseen[0]
    n = len(x)
    rest = real.order[len(real.panel.held_out) :]
    kept = rest[foolers.without_classes(real.test.y[rest])][:n]
    known = some(real.train, 10_000, _REAL, DRAWS)
    copied = known[foolers.repeated(n, min(250, n))]
    gaussian = evaluate.fitted_gaussian(real.train.to_float(known), n)
    found = {
        "invisible_noise": (foolers.invisible_noise(x), y),
        "speckle": (foolers.speckle(x), y),
        "two_classes_missing": (real.test.to_float(kept), real.test.y[kept]),
        "fitted_gaussian": (gaussian, None),
        "memoriser": (real.train.to_float(copied), real.train.y[copied]),
        "wrong_labels": (x, foolers.wrong_labels(y, real.panel.classifier.classes)),
    }
    assert list(found) == list(FAULTS)
    return found


def judge_real(real, which):
    r"""What real pictures and planted faults score, from its file if it is there.

    Returns {"rows": what `judge` says of the draws of training pictures, "training",
    "unseen": {measure: mean and spread}, "faults": {fault: {measure: number}}, "seen":
    {fault: the measures that lie outside their limits}}.
    """
    path = real.path
    if path.is_file():
        return json.loads(path.read_text("utf-8"))
    kinds = planted(real)
    bar = tqdm(total=2 * DRAWS + len(kinds), desc="real pictures and planted faults")
    rows = {}
    for name, draws in (("training", real.trained), ("unseen", real.unseen)):
        rows[name] = []
        for k, (x, y) in enumerate(draws):
            rows[name].append(judge(real.panel, x, y, free=x, seed=k))
            bar.update()
    found = {"rows": rows["training"], "counts": real.panel.counts.tolist()}
    for name in rows:
        found[name] = spread([over_real(row, rows["training"]) for row in rows[name]])
    found["faults"] = {}
    for fault, (x, y) in kinds.items():
        row = judge(real.panel, x, y, free=x)
        found["faults"][fault] = over_real(row, rows["training"])
        bar.update()
    bar.close()
    found["seen"] = {
        fault: [name for name, value in row.items() if outside(which, name, value) > 0]
        for fault, row in found["faults"].items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(found))
    return found


def outside(which, name, value):
    r"""How far a value is outside its limits, as a share of the limit; 0 inside.

    The same number for a value that was not measured, None.
    """
    low, high = LIMITS[which][name]
    if value is None:
        return 0.0
    if low is not None and value < low:
        return (low - value) / low
    return value / high - 1 if high is not None and value > high else 0.0


# --- the model


@dataclass(frozen=True)
class Model:
    r"""A model that draws pictures: what was loaded, its short name and its chain."""

    found: object
    name: str
    mark: str
    chain: dict
    stored: bool
    precision: str

    @property
    def calls(self):
        r"""How often the network is called for a picture."""
        return calls_of(self.chain, self.found.schedule.T)


def open_pictures(options, real):
    r"""Load the model and find its chain; refuse one that the judge cannot see."""
    name = options.model or options.which
    found = open_model(name)
    shape = real.panel.classifier.shape
    if found.sample_shape != shape:
        raise ValueError(
            f"{name} draws pictures of shape {found.sample_shape}, and the judge of "
            f"{options.which} sees {shape}"
        )
    trained_on = found.config.get("described", {}).get("fingerprint")
    if trained_on not in (None, fingerprint(real.train.x_0, real.train.y)):
        print(f"{name} was trained on other pictures: copying_share says nothing")
    stored = found.config.get("drawn_with")
    chain = options.chain or stored or PLAIN
    device = next(found.model.parameters()).device
    precision = choose_precision(device, options.precision, found.model)
    tables = {"beta": found.schedule.beta, **found.model.state_dict()}
    mark = digest(tables)
    own = stored is not None and chain == stored
    return Model(found, Path(name).stem, mark, dict(chain), own, precision)


def calls_of(chain, T):
    r"""Network calls of a chain, a dictionary of options of `sample`."""
    return network_calls(chain.get("sampler", "ancestral"), chain.get("steps") or T)


def drawn(model, chain, seed, y, n, cache, what):
    r"""n pictures as a file would hold them, uint8 (n, C, H, W), from the cache if there.

    y: the labels, or None for none, which leaves nothing to guide to. Picture i has the
    seed (seed, i), as `sample` gives it.
    """
    asked = None if y is None else y.tolist()
    key = short([model.mark, chain, seed, asked, n, model.precision])
    path = cache / f"{model.name}_{key}.npy"
    if path.is_file():
        return torch.from_numpy(np.load(path))
    found, parts, how = model.found, [], dict(chain)
    scale = how.pop("guidance", 1)
    network = found.model if scale == 1 or y is None else guided(found.model, scale)
    device = next(found.model.parameters()).device
    with tqdm(total=n, desc=f"drawing {what}, seed {seed}") as bar:
        for part in torch.arange(n).split(BATCH):
            with autocast(device, model.precision):
                x = sample(
                    network,
                    found.schedule,
                    (len(part), *found.sample_shape),
                    seed=[(seed, int(i)) for i in part],
                    y=None if y is None else y[part].to(device),
                    progress=False,
                    **how,
                )
            parts.append(metrics.round_to_levels(x.float().cpu(), 256))
            bar.update(len(part))
    pixels = ((torch.cat(parts) + 1) * 127.5).round().to(torch.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, pixels.numpy())
    return pixels


def floats(pixels):
    r"""uint8 as float32 in [-1, 1]."""
    return 2 * pixels.float() / 255 - 1


def judge_model(model, chain, real, rows, seeds, options, free=True):
    r"""What the panel says of samples: a list of {measure: number}, one for each seed.

    Seed s asks for the labels of the s-th draw of real training pictures, so for the
    data's mix; `free` draws as many without a label, whose classes are counted.
    """
    found, classes = [], getattr(model.found.model, "classes", 0)
    knows_none = not classes or model.found.config.get("train", {}).get("drop_label", 1)
    if free and not knows_none:
        print(f'{model.name} never saw "no class": the shares of classes are not measured')
    for s in seeds:
        y = real.trained[s % DRAWS][1] if classes else None
        how = (model, chain, s, y, options.num, options.cache)
        x = unasked = floats(drawn(*how, "pictures"))
        if free and classes and knows_none:
            how = (model, chain, s, None, options.num, options.cache)
            unasked = floats(drawn(*how, "without a label"))
        elif classes:
            unasked = None
        row = judge(real.panel, x, y, free=unasked if free else None, seed=s)
        found.append(over_real(row, rows))
        said = ", ".join(f"{k} {v:.3f}" for k, v in found[-1].items() if v is not None)
        print(f"{chain}, seed {s}: {said}", flush=True)
    return found


def other_numbers(x, real, sizes=(1000, 2000, 10_000)):
    r"""Ratios of samples with another number of held-out pictures, {number: {...}}."""
    found, eye = {}, real.panel.classifier
    usual, _ = real.trained[0]
    features = [classifier.look(eye, z)[0] for z in (x, usual)]
    aside = real.test.to_float(real.order[: max(sizes)])
    seen, _ = classifier.look(eye, aside)
    for size in (size for size in sizes if size <= len(aside)):
        fd = [metrics.frechet_distance(z, aside[:size]) for z in (x, usual)]
        ff = [metrics.frechet_distance(z, seen[:size]) for z in features]
        shares = [metrics.precision_recall(aside[:size], z) for z in (x, usual)]
        (p, r), (p_real, r_real) = shares
        found[size] = {
            "fd_pixels": fd[0] / fd[1],
            "fd_features": ff[0] / ff[1],
            "precision": p / p_real,
            "recall": r / r_real,
        }
    return found


# --- the chain of a model


def ranked(rows, which):
    r"""Chains, the best first. rows: [{"chain", "calls", "measures"}, ...].

    The rule: among the chains of which every measure with a target reaches it, the one
    with the fewest network calls, of equally many the one with the smaller Frechet ratio
    in pixels. Where none is such, the smallest sum of excesses; an excess is how far a
    measure is outside its target, as a share of the target. A measure that was not taken
    counts as reached. Each row gets "excess", that sum.
    """
    for row in rows:
        excess = [outside(which, name, row["measures"][name]) for name in TARGETS[which]]
        row["excess"] = sum(excess)

    def place(row):
        reached = row["excess"] == 0
        return not reached, row["calls"] if reached else row["excess"], row["calls"]

    by_distance = sorted(rows, key=lambda row: row["measures"]["fd_pixels"])
    return sorted(by_distance, key=place)


def choose_chain(options, real, rows):
    r"""Judge the list of chains with one seed, and the best three with all seeds."""
    model = open_pictures(options, real)
    T, first = model.found.schedule.T, []
    chains = [c for c in CHAINS if calls_of(c, T) <= options.most_calls]
    for chain in chains:
        got = judge_model(model, chain, real, rows, [0], options, free=False)[0]
        first.append({"chain": chain, "calls": calls_of(chain, T), "measures": got})
    first = ranked(first, options.which)
    final = []
    for row in first[:3]:
        got = judge_model(model, row["chain"], real, rows, range(options.seeds), options)
        means = {name: both["mean"] for name, both in spread(got).items()}
        new = {"chain": row["chain"], "calls": row["calls"], "measures": means}
        final.append(new | {"spread": {k: v["spread"] for k, v in spread(got).items()}})
    final = ranked(final, options.which)
    result = about(options, real, model) | {
        "rule": " ".join(
            ranked.__doc__.split("The rule: ")[1].split(" Each row")[0].split()
        ),
        "first": rounded(first),
        "final": rounded(final),
        "chosen": final[0]["chain"],
        "all_reached": final[0]["excess"] == 0,
    }
    write(options, f"measures_{options.which}_chains", result)
    for row in final:
        print(f"{row['excess']:.3f} {row['calls']} calls: {row['chain']}")
    print(f"chosen: {final[0]['chain']}")


# --- the blind test


def sheet(options, real, count=64):
    r"""Mix samples that nobody chose with real pictures, and write them numbered.

    The first `count` of seed 0, and the first unseen pictures; which number is which
    stands in the key alone.
    """
    model = open_pictures(options, real)
    y = real.trained[0][1] if getattr(model.found.model, "classes", 0) else None
    new = drawn(model, model.chain, 0, y, options.num, options.cache, "pictures")[:count]
    count = len(new)
    usual = real.unseen[0][0][:count]
    both = torch.cat([new, ((usual + 1) * 127.5).round().to(torch.uint8)])
    order = torch.randperm(len(both), generator=generator_for(_SHEET, options.mix))
    path = options.cache / f"{options.which}_sheet.png"
    key = {"model": model.name, "drawn_with": model.chain, "mix": options.mix}
    numbers = {int(i): k + 1 for k, i in enumerate(order)}  # a picture's number
    key["drawn"] = sorted(numbers[i] for i in range(count))
    key["real"] = sorted(numbers[i] for i in range(count, 2 * count))
    path.parent.mkdir(parents=True, exist_ok=True)
    numbered(both[order]).save(path)
    write_text(key_of(options), json.dumps(key, indent=1) + "\n")
    print(f"wrote {path.name}, to be shown, and {key_of(options).name}, to be kept back")


def key_of(options):
    r"""Where the key of a sheet is."""
    return options.cache / f"{options.which}_sheet_key.json"


def numbered(pixels, columns=16, least=84):
    r"""An image of uint8 (n, C, H, W), each enlarged, with its number below."""
    n, _, H, W = pixels.shape
    k, gap = max(1, least // W), 14
    rows = -(-n // columns)
    image = Image.new("RGB", (columns * (W * k + 4), rows * (H * k + gap)), "white")
    draw = ImageDraw.Draw(image)
    for i, picture in enumerate(pixels.numpy()):
        left, top = i % columns * (W * k + 4), i // columns * (H * k + gap)
        one = Image.fromarray(
            picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
        )
        image.paste(one.resize((W * k, H * k), Image.Resampling.NEAREST), (left, top))
        draw.text((left + 2, top + H * k + 1), str(i + 1), fill="black")
    return image


def count_named(options):
    r"""How many of the numbers that somebody named are drawn, and how many are real."""
    if not key_of(options).is_file():
        raise FileNotFoundError(
            f"no {key_of(options).name}: make the sheet by --sheet first"
        )
    key = json.loads(key_of(options).read_text("utf-8"))
    named = sorted(set(options.named))
    unknown = set(named) - {*key["drawn"], *key["real"]}
    if unknown:
        raise ValueError(f"the sheet has no numbers {sorted(unknown)}")
    found = {kind: len({*named} & {*key[kind]}) for kind in ("drawn", "real")}
    result = {"command": command(options), "of_each": len(key["drawn"]), "named": named}
    result |= {"broken_drawn": found["drawn"], "broken_real": found["real"], "key": key}
    print(f"named broken: {found['drawn']} drawn and {found['real']} real ones")
    write(options, f"measures_{options.which}_sheet", result)


# --- what is written


def command(options):
    r"""What was typed, without a path of this machine."""
    words = ["python figures/measures.py", options.which, "--data FOLDER"]
    words += [
        f"--{m.replace('_', '-')}" for m in ("real_only", "chains") if vars(options)[m]
    ]
    return " ".join(words + ["--named ..."] * bool(options.named))


def about(options, real, model=None):
    r"""What numbers are of, as JSON values."""
    found = {"command": command(options), "data": real.about["data"], "num": options.num}
    found |= {"held_out": options.held_out, "draws_of_real": DRAWS, "judge": real.about}
    found |= {"forest": {"levels": real.panel.levels, "trees": real.panel.trees}}
    if model is not None:
        weights = sum(p.numel() for p in model.found.model.parameters())
        found["model"] = {"name": model.name, "mark": model.mark, "weights": weights}
        found["model"]["precision"] = model.precision
    return found


def rounded(value):
    r"""JSON values with five digits."""
    if isinstance(value, dict):
        return {str(k): rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def write(options, name, result):
    r"""Write a results file, and the page where it is shown."""
    options.out.mkdir(parents=True, exist_ok=True)
    result["versions"] = versions()
    write_text(options.out / f"{name}.json", json.dumps(result, indent=1) + "\n")
    print(f"wrote {name}.json")
    if options.out == ROOT / "figures" / "runs":
        print(page.rewrite())


def judge_all(options, real, usual):
    r"""The whole table: the model, if one is asked for, real pictures, planted faults."""
    name, result = f"measures_{options.which}", about(options, real)
    result["limits"] = {k: list(v) for k, v in LIMITS[options.which].items()}
    result |= rounded({k: usual[k] for k in ("training", "unseen", "faults", "seen")})
    if options.real_only:
        path = options.out / f"{name}.json"
        if path.is_file() and "drawn" in json.loads(path.read_text("utf-8")):
            raise ValueError(
                f"{path.name} holds what a model scored, which --real-only would remove: "
                "leave it out, or name another folder with --out"
            )
        write(options, name, result)
        return
    model = open_pictures(options, real)
    if not model.stored:
        print(f"not the chain that is stored with {model.name}: {model.chain}")
    seeds = range(options.seeds)
    rows = judge_model(model, model.chain, real, usual["rows"], seeds, options)
    both = spread(rows)
    y = real.trained[0][1] if getattr(model.found.model, "classes", 0) else None
    x = drawn(model, model.chain, 0, y, options.num, options.cache, "pictures")
    result["model"] = about(options, real, model)["model"]
    result["drawn"] = rounded(
        {
            "drawn_with": model.chain,
            "stored": model.stored,
            "calls": model.calls,
            "seeds": list(seeds),
            "labels": "those of as many training pictures, drawn by the same seed",
            "measures": both,
            "each": rows,
            "reached": {
                k: both[k]["mean"] is not None
                and outside(options.which, k, both[k]["mean"]) == 0
                for k in TARGETS[options.which]
            },
        }
    )
    result["other_numbers"] = rounded(other_numbers(floats(x), real))
    write(options, name, result)
    print("\n".join(page.reached(result, options.which)))


def pair(text):
    r"""KEY=VALUE as ("key", value), a number where it is one."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise argparse.ArgumentTypeError(
            f"must be KEY=VALUE, such as steps=25, got {text!r}"
        )
    if value.isdecimal():
        return key, int(value)
    try:
        return key, float(value)
    except ValueError:
        return key, value


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=list(TARGETS))
    parser.add_argument("--data", help="its folder, in the hub's layout")
    parser.add_argument("--model", help="shipped model, weight file or run; WHICH")
    parser.add_argument("--seeds", type=int, default=3, help="of sampling")
    parser.add_argument("--num", type=int, default=1000, help="pictures judged at a time")
    parser.add_argument("--held-out", type=int, default=2000, help="unseen pictures")
    parser.add_argument("--precision", default="auto", help="of the network")
    helped = "options of sample, such as sampler=ddim steps=50; those stored with the model"
    parser.add_argument("--with", nargs="+", type=pair, dest="chain", help=helped)
    modes = parser.add_mutually_exclusive_group()
    for mode in ("--real-only", "--chains", "--sheet", "--page"):
        modes.add_argument(mode, action="store_true")
    modes.add_argument("--named", nargs="*", type=int, help="numbers called broken")
    parser.add_argument(
        "--most-calls", type=int, default=250, help="of a chain of --chains"
    )
    parser.add_argument("--mix", type=int, default=0, help="how --sheet is mixed")
    parser.add_argument("--out", type=Path, default=ROOT / "figures" / "runs")
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "measures")
    options = parser.parse_args(arguments)
    options.chain = dict(options.chain) if options.chain else None
    if options.page:
        print(page.rewrite())
    elif options.named is not None:
        count_named(options)
    else:
        if not options.data:
            parser.error("--data is needed: the folder of the pictures")
        real = open_real(options)
        if options.sheet:
            sheet(options, real)
            return
        usual = judge_real(real, options.which)
        if options.chains:
            choose_chain(options, real, usual["rows"])
        else:
            judge_all(options, real, usual)


if __name__ == "__main__":
    main()
