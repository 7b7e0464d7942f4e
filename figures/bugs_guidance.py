r"""Guided samplers with faults, asked for digits: `python figures/bugs_guidance.py`.

The network is sound and shipped: `digits`, which has learned "no class", too. The sampler
is not. For exercise 12.6: the sound sampler and the run that the exercise shows, on digits
and on exact networks; every fault of its list alone on exact networks. Some minutes on a
CPU. Writes figures/runs/bugs_guidance.json, from which tests/classroom/test_bugs_later.py
reads which fault has which symptom. --draw writes exercises/bugs/12.png, the picture of
the statement.
"""

import argparse
import json
import math
from itertools import pairwise
from pathlib import Path

import torch
from bugs_sampling import even, normal, rounded

from ddpm_lite import GaussianOracle, MixtureOracle, data, figure, load_pretrained
from ddpm_lite.evaluation import metrics
from ddpm_lite.lab.doctor.samples import looks
from ddpm_lite.training.facts import versions

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "figures" / "runs" / "bugs_guidance.json"
PICTURES = ROOT / "exercises" / "bugs"
SOUND = ()
SHOWN = ("null_is_class_0", "one_plus_gamma")
OTHERS = (
    "halves_exchanged",
    "sign_turned",
    "guided_twice",
    "no_null",
    "first_label",
    "null_at_s",
    "second_half",
    "clipped_apart",
    "not_clipped",
    "noise_kept",
)
COUNT = 200  # samples of the network, 20 of each class
CLIP, WIDE = (-1.0, 1.0), (-1e9, 1e9)


def draw_class(model, alpha_bar, stops, x, y, none, gamma, clip, faults=SOUND):
    r"""Samples x_0 (B, ...) of the classes y, by guided DDIM through the stops.

    model: (x_t, t, y) -> the noise. none: the null label. faults: names of the list of
    exercise 12.6.
    """
    if "null_is_class_0" in faults:
        none = 0
    if "first_label" in faults:
        y = y[:1].expand_as(y)
    jumps = list(pairwise(stops))
    for k, (t, s) in enumerate(jumps):
        a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
        at = torch.full((len(x),), t)
        noise_y = model(x, at, y)
        early = torch.full_like(at, max(s, 1)) if "null_at_s" in faults else at
        noise_none = model(x, early, torch.full_like(y, none))
        if "halves_exchanged" in faults:
            noise_y, noise_none = noise_none, noise_y
        scale = gamma + 1 if "one_plus_gamma" in faults else gamma
        scale = scale**2 if "guided_twice" in faults else scale
        scale = -scale if "sign_turned" in faults else scale
        if "second_half" in faults and k < len(jumps) // 2:
            scale = 1.0

        def mixed(of_y, of_none, scale=scale):
            if "no_null" in faults:
                return scale * of_y
            return of_none + scale * (of_y - of_none)

        def guess(noise, a_t=a_t, x=x):
            return (x - math.sqrt(1 - a_t) * noise) / math.sqrt(a_t)

        noise_pred = mixed(noise_y, noise_none)
        x_0 = guess(noise_pred)
        if "clipped_apart" in faults:
            x_0 = mixed(guess(noise_y).clamp(*clip), guess(noise_none).clamp(*clip))
        elif "not_clipped" not in faults:
            x_0 = x_0.clamp(*clip)
        if "noise_kept" not in faults:
            noise_pred = (x - math.sqrt(a_t) * x_0) / math.sqrt(1 - a_t)
        x = math.sqrt(a_s) * x_0 + math.sqrt(1 - a_s) * noise_pred
    return x


def exact_network():
    r"""Two classes, N(-1, 0.3^2) and N(1, 0.3^2); label 2 for none. And its schedule."""
    schedule = load_pretrained("digits").schedule
    laws = [GaussianOracle(schedule, [m], 0.09) for m in (-1.0, 1.0)]
    laws.append(MixtureOracle(schedule, [[-1.0], [1.0]], 0.09))

    def model(x, t, y):
        return torch.stack([law(x, t) for law in laws])[y, torch.arange(len(y))]

    return model, schedule


def without_a_network(faults):
    r"""The rows with exact networks: mean and deviation over 2,000 quantiles of x_T."""
    model, schedule = exact_network()
    levels = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    x = torch.special.ndtri(levels)[:, None]
    found = {}
    for label in (0, 1):
        # the labels beside it are the other class: for first_label
        y = torch.full((len(x),), label)
        y[0] = 0
        for gamma in (0, 1, 2):
            end = draw_class(
                model, schedule.alpha_bar, even(1000, 50), x, y, 2, gamma, WIDE, faults
            )[1:]
            found[f"class_{label}_{gamma}"] = [float(end.mean()), float(end.std())]
    return found


def of_digits(faults, count=COUNT, scales=(0, 1, 3)):
    r"""(numbers of the samples at these scales, the samples at the last one)."""
    shipped = load_pretrained("digits")
    train, labels = data.digits("train")
    y = torch.arange(count) % 10
    noise = normal((count, 1, 8, 8), 12)
    found = {}
    for gamma in scales:
        with torch.no_grad():
            x_0 = draw_class(
                shipped.model,
                shipped.schedule.alpha_bar,
                even(1000, 20),
                noise,
                y,
                10,
                gamma,
                CLIP,
                faults,
            )
        found |= of_class(x_0, y, train, labels, gamma)
    return found, x_0


def of_class(x_0, y, train, labels, gamma):
    r"""Whether the class is the one that was asked for, and how samples of it differ."""
    index, _ = metrics.nearest(x_0.clamp(-1, 1), train)
    seen = labels[index.flatten()]
    found = {f"asked_{gamma}": float((seen == y).double().mean())}
    if gamma == 3:
        for name, digits in (("0", (0,)), ("others", range(1, 10))):
            shares = [
                float(x_0[y == c].std(0).mean() / train[labels == c].std(0).mean())
                for c in digits
            ]
            found[f"variety_{name}"] = sum(shares) / len(shares)
        found["largest"] = float(x_0.abs().max())
        found["contrast"] = looks(x_0)["contrast"] / looks(train)["contrast"]
    return found


def exact(values):
    return f"{values[0]:.2f}, {values[1]:.3f}"


def percent(value):
    return f"{100 * value:.0f} %"


def plain(value):
    return f"{value:.2f}"


SHEET = (
    *(
        (rf"digits, $\gamma={gamma}$: of the class asked for", f"asked_{gamma}", percent)
        for gamma in (0, 1, 3)
    ),
    (r"digits, $\gamma=3$: variety in class 0, as a share", "variety_0", plain),
    (r"digits, $\gamma=3$: variety in the other classes", "variety_others", plain),
    (r"digits, $\gamma=3$: contrast, as a share of the digits' own", "contrast", plain),
    (r"digits, $\gamma=3$: largest pixel, without its sign", "largest", plain),
    *(
        (
            rf"exact network, class {label}, $\gamma={gamma}$: mean, deviation",
            f"class_{label}_{gamma}",
            exact,
        )
        for label in (0, 1)
        for gamma in (0, 1, 2)
    ),
)


def sheet(results):
    r"""The numbers of the statement, as Markdown."""
    rows = {tuple(row["faults"]): row for row in results["rows"]}
    columns = {"the package": rows[SOUND], "this run": rows[SHOWN]}
    lines = [f"| | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for words, key, form in SHEET:
        cells = [form(row[key]) for row in columns.values()]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def drawing(of_sound, of_shown):
    r"""The picture of the statement: three samples of each class, by both samplers."""
    fig, axes = figure.canvas(2, 1, width=7.2, height=3.4)
    for axis, x_0, name in zip(
        axes.flat, (of_sound, of_shown), ("the package", "this run"), strict=True
    ):
        rows = [x_0[10 * k : 10 * k + 10] for k in range(3)]
        pictures = figure.tile(torch.cat(rows).clamp(-1, 1), 10)
        axis.imshow(pictures, cmap="gray", vmin=-1, vmax=1)
        axis.set_xticks([4.0 + 9 * k for k in range(10)], [f"class {k}" for k in range(10)])
        axis.set_yticks([])
        axis.tick_params(length=0, labelsize=7)
        axis.set_title(name, fontsize=9)
        axis.grid(False)
        for spine in axis.spines.values():
            spine.set_visible(False)
    return fig


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draw", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.draw:
        both = (of_digits(faults, 30, (3,))[1] for faults in (SOUND, SHOWN))
        fig = drawing(*both)
        figure.save(figure.png(fig, dpi=130), PICTURES / "12.png")
        return
    results = {"rows": [], "command": "python figures/bugs_guidance.py"}
    for faults in (SOUND, SHOWN, *((name,) for name in (*SHOWN, *OTHERS))):
        numbers = of_digits(faults)[0] if faults in (SOUND, SHOWN) else {}
        numbers |= without_a_network(faults)
        results["rows"].append({"faults": list(faults), **rounded(numbers)})
        print(results["rows"][-1], flush=True)
    results["versions"] = versions()
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(sheet(results))


if __name__ == "__main__":
    main()
