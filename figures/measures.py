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

--half rounds a model's weights to float16 first, which is how a model is shipped. Samples
are kept in runs/measures, so that a second call only judges.
"""

import argparse
import json
from pathlib import Path

import measures_page as page
import torch
from measures_model import (
    calls_of,
    drawn,
    floats,
    judge_model,
    open_pictures,
    other_numbers,
)
from measures_page import LIMITS, TARGETS, outside
from measures_real import judge_real, open_real
from PIL import Image, ImageDraw

from ddpm_lite.checks import check_integer
from ddpm_lite.evaluation.panel import spread
from ddpm_lite.formats.checkpoint import write_text
from ddpm_lite.seeds import generator_for
from ddpm_lite.training.facts import versions

ROOT = Path(__file__).resolve().parent.parent
_SHEET = 323  # how a sheet is mixed
_EVEN = dict(sampler="dpmpp_2m", spacing="log_snr")
CHAINS = [
    _EVEN | {"steps": 25},
    *(_EVEN | {"steps": 25, "guidance": scale} for scale in (1.25, 1.35, 1.5)),
    dict(sampler="dpmpp_2m_sde", steps=25, spacing="log_snr", guidance=1.25),
    dict(sampler="dpmpp_2m", steps=25, spacing="trailing"),
    dict(sampler="ancestral", steps=50, variance="small"),
    dict(sampler="ancestral", steps=100, variance="small"),
]


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


def choose_chain(options, real, model, rows):
    r"""Judge the list of chains with one seed, and the best of them with all seeds."""
    T, first = model.found.schedule.T, []
    chains = [c for c in CHAINS if calls_of(c, T) <= options.most_calls]
    if not chains:
        raise ValueError(f"no chain of CHAINS has at most {options.most_calls} calls")
    for chain in chains:
        got = judge_model(model, chain, real, rows, [0], options, free=False)[0]
        first.append({"chain": chain, "calls": calls_of(chain, T), "measures": got})
    first = ranked(first, options.which)
    final = []
    for row in first[: options.finalists]:
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


def sheet(options, real, model, count=64):
    r"""Mix samples that nobody chose with real pictures, and write them numbered.

    The first `count` of seed 0, and the first unseen pictures; which number is which
    stands in the key alone.
    """
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
    found |= {
        "held_out": options.held_out,
        "draws_of_real": len(real.trained),
        "judge": real.about,
    }
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


def judge_all(options, real, model, usual):
    r"""The whole table: the model, if there is one, real pictures and planted faults."""
    name, result = f"measures_{options.which}", about(options, real)
    result["limits"] = {k: list(v) for k, v in LIMITS[options.which].items()}
    result |= rounded({k: usual[k] for k in ("training", "unseen", "faults", "seen")})
    if model is None:
        path = options.out / f"{name}.json"
        if path.is_file() and "drawn" in json.loads(path.read_text("utf-8")):
            raise ValueError(
                f"{path.name} holds what a model scored, which --real-only would remove: "
                "leave it out, or name another folder with --out"
            )
        write(options, name, result)
        return
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
    helped = "round the weights to float16, as those of shipped models are"
    parser.add_argument("--half", action="store_true", help=helped)
    helped = "options of sample, such as sampler=ddim steps=50; those stored with the model"
    parser.add_argument("--with", nargs="+", type=pair, dest="chain", help=helped)
    modes = parser.add_mutually_exclusive_group()
    for mode in ("--real-only", "--chains", "--sheet", "--page"):
        modes.add_argument(mode, action="store_true")
    modes.add_argument("--named", nargs="*", type=int, help="numbers called broken")
    parser.add_argument(
        "--most-calls", type=int, default=250, help="of a chain of --chains"
    )
    parser.add_argument(
        "--finalists", type=int, default=2, help="how many of them all seeds judge"
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
        check_integer("--seeds", options.seeds, 1)
        check_integer("--num", options.num, 10)
        check_integer("--held-out", options.held_out, 10)
        check_integer("--finalists", options.finalists, 1)
        real = open_real(options)
        model = None if options.real_only else open_pictures(options, real)
        if options.sheet:
            sheet(options, real, model)
            return
        usual = judge_real(real, options.which)
        if options.chains:
            choose_chain(options, real, model, usual["rows"])
        else:
            judge_all(options, real, model, usual)


if __name__ == "__main__":
    main()
