r"""Samplers with faults, asked for digits: `python figures/bugs_sampling.py [08 09]`.

The network is sound and shipped: `digits`, whose training is in figures/runs/digits.json.
The sampler is not. For each of the two exercises of the kind "bug" in chapters 08 and 09:
the package's sampler, the run that the exercise shows, and every fault of its list alone.
Seconds to two minutes on a CPU. Writes figures/runs/bugs_sampling.json, from which
tests/classroom/test_bugs_sampling.py reads which fault has which symptom, and
measures again what is not in that file. --draw writes exercises/bugs/NN.png, the picture
of the statement.
"""

import argparse
import json
import math
from itertools import pairwise
from pathlib import Path

import torch

from ddpm_lite import GaussianOracle, data, figure, load_pretrained, load_results
from ddpm_lite.evaluation import metrics
from ddpm_lite.lab.doctor.loss import linear_ceiling
from ddpm_lite.lab.doctor.samples import looks
from ddpm_lite.sampling.spacing import timestep_pairs
from ddpm_lite.training.facts import versions

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "figures" / "runs" / "bugs_sampling.json"
PICTURES = ROOT / "exercises" / "bugs"
SOUND = ()
COUNT = 500  # samples of the network, 50 of each class
TOP = 995  # where the package lets this solver begin
CLIP, WIDE = (-1.0, 1.0), (-1e9, 1e9)


def walk(model, alpha_bar, stops, noise, clip, faults=SOUND):
    r"""Algorithm 2 in jumps with the small variance: x_0 (B, ...).

    noise: (len(stops), B, ...), x_T and then what each jump draws. model: (x_t, t) -> the
    noise. faults: names of the list of exercise 08.6.
    """
    x = noise[0]
    for k, (t, s) in enumerate(pairwise(stops), 1):
        a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
        said = max(s, 1) if "asked_at_s" in faults else t
        noise_pred = model(x, torch.full((len(x),), said))
        guess = (x - math.sqrt(1 - a_t) * noise_pred) / math.sqrt(a_t)
        if not {"clipped_for_show", "state_clipped"} & {*faults}:
            guess = guess.clamp(*clip)
        if "step_of_one" in faults:
            a_s = float(alpha_bar[t - 1])
        beta = 1 - a_t / a_s
        of_x_0 = (a_s if "root_left_out" in faults else math.sqrt(a_s)) * beta / (1 - a_t)
        of_x_t = math.sqrt(a_t / a_s) * (1 - a_s) / (1 - a_t)
        small = beta * (1 - a_s) / (1 - a_t)
        deviation = math.sqrt(small)
        if "variance" in faults:
            deviation = small
        if "large" in faults:
            deviation = math.sqrt(beta) if s else 0.0
        if "noise_at_the_end" in faults and s == 0:
            deviation = math.sqrt(beta)
        if "no_noise" in faults:
            deviation = 0.0
        z = noise[1 if "same_noise" in faults else k]
        if "shared_noise" in faults:
            z = z[:1].expand_as(z)
        x = of_x_0 * guess + of_x_t * x + deviation * z
        if "state_clipped" in faults:
            x = x.clamp(*clip)
    return x.clamp(*clip) if "clipped_for_show" in faults else x


def solve(model, alpha_bar, stops, x, clip, faults=SOUND):
    r"""DPM-Solver++(2M) from x at the first stop: x_0 (B, ...).

    model: (x_t, t) -> the noise. faults: names of the list of exercise 09.7.
    """
    half_log_snr = (alpha_bar / (1 - alpha_bar)).log() / 2
    if "log10" in faults:
        half_log_snr = half_log_snr / math.log(10)
    if "whole_log_snr" in faults:
        half_log_snr = 2 * half_log_snr
    if "log_snr_turned" in faults:
        half_log_snr = -half_log_snr
    if "last_jump_missing" in faults:
        stops = stops[:-1]
    if "first_jump_missing" in faults:
        stops = stops[1:]
    earlier = None
    for t, s in pairwise(stops):
        a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
        said = max(s, 1) if "asked_at_s" in faults else t
        noise_pred = model(x, torch.full((len(x),), said))
        guess = (x - math.sqrt(1 - a_t) * noise_pred) / math.sqrt(a_t)
        if "not_clipped" not in faults:
            guess = guess.clamp(*clip)
        h = float(half_log_snr[s] - half_log_snr[t])
        used = guess
        if earlier is not None and s > 0 and "no_correction" not in faults:
            before, h_before = earlier
            share = h / (2 * h_before)
            if "ratio_turned" in faults:
                share = h_before / (2 * h)
            if "no_half" in faults:
                share = 2 * share
            if "subtracted" in faults:
                share = -share
            used = guess + share * (guess - before)
        if earlier is None or "first_guess_kept" not in faults:
            earlier = guess, h
        if math.isinf(h):
            x = math.sqrt(a_s) * used  # whatever the sign of infinity
        else:
            shrink = math.sqrt((1 - a_s) / (1 - a_t))
            x = shrink * x - math.sqrt(a_s) * math.expm1(-h) * used
    return x


SHOWN = {"08": ("variance",), "09": ("last_jump_missing", "subtracted")}
OTHERS = {
    "08": (
        "noise_at_the_end",
        "large",
        "no_noise",
        "same_noise",
        "shared_noise",
        "clipped_for_show",
        "state_clipped",
        "step_of_one",
        "asked_at_s",
        "root_left_out",
    ),
    "09": (
        "first_jump_missing",
        "not_clipped",
        "asked_at_s",
        "no_correction",
        "ratio_turned",
        "no_half",
        "first_guess_kept",
        "whole_log_snr",
        "log10",
        "log_snr_turned",
    ),
}


def digits_of(count):
    r"""The network with the classes 0 to 9 in turn, and its schedule."""
    shipped = load_pretrained("digits")
    y = torch.arange(count) % 10

    @torch.no_grad()
    def model(x_t, t):
        return shipped.model(x_t, t, y)

    return model, shipped.schedule


def of_samples(x_0):
    r"""The doctor's numbers and those of chapter 08, section 9, for samples of digits."""
    train, held_out = data.digits("train")[0], data.digits("held_out")[0]
    own, usual = looks(x_0), looks(train)
    found = {k: own[k] / usual[k] for k in ("contrast", "roughness", "variety")}
    found |= {"brightness": own["brightness"], "largest": float(x_0.abs().max())}
    shown = x_0.clamp(-1, 1)
    found["fd"] = metrics.frechet_distance(shown, held_out)
    found["precision"], found["recall"] = metrics.precision_recall(held_out, shown)
    return found


def normal(shape, seed, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def even(T, N):
    r"""N jumps from T to 0, as equal as can be."""
    return [t for t, _ in timestep_pairs(T, N)] + [0]


def chapter_08(faults, count=COUNT):
    model, schedule = digits_of(count)
    alpha_bar, stops = schedule.alpha_bar, even(1000, 20)
    noise = normal((21, count, 1, 8, 8), 8)
    x_0 = walk(model, alpha_bar, stops, noise, CLIP, faults)
    some = digits_of(100)[0]
    noise[1:] = normal(noise[1:].shape, 9)
    again = walk(some, alpha_bar, stops, noise[:, :100], CLIP, faults) - x_0[:100]
    others = x_0 - x_0.roll(10, 0)  # of the same classes
    found = {"again": float(again.square().mean().sqrt() / others.square().mean().sqrt())}
    exact = GaussianOracle(schedule, [0.7] * 32, 0.09)
    for N in (20, 1000):
        z = _Fresh((1000, 32), N + 1)
        x = walk(exact, alpha_bar, even(1000, N), z, WIDE, faults)
        found[f"gaussian_{N}"] = [float(x.mean()), float(x.std(0).mean())]
    return of_samples(x_0) | found, x_0


class _Fresh:
    r"""noise[k] of a long chain, (N + 1, B, D), drawn when it is asked for."""

    def __init__(self, shape, count):
        self.shape, self.count = shape, count

    def __getitem__(self, k):
        return normal(self.shape, 1000 + k, torch.float64)


def chapter_09(faults, count=COUNT):
    model, schedule = digits_of(count)
    noise = normal((count, 1, 8, 8), 9)
    x_0 = solve(model, schedule.alpha_bar, even(TOP, 10), noise, CLIP, faults)
    return of_samples(x_0) | without_a_network(faults), x_0


def without_a_network(faults):
    r"""The rows of exercise 09.7 with the exact network: no draws, no errors."""
    schedule, found = load_pretrained("digits").schedule, {}
    one = torch.ones(1, 1, dtype=torch.float64)
    for name, exact in (
        ("unit", GaussianOracle(schedule, [0.0], 1.0)),
        ("point", GaussianOracle(schedule, [0.5], 0.0)),
    ):
        for N in (10, 20, 40):
            end = solve(exact, schedule.alpha_bar, even(TOP, N), one, WIDE, faults)
            found[f"{name}_{N}"] = abs(float(end)) if name == "unit" else float(end)
    return found


CHAPTERS = {"08": chapter_08, "09": chapter_09}


def ceiling_of_tenths():
    r"""The loss of the best linear guess of the noise, as a mean over each tenth of t."""
    schedule, t = load_pretrained("digits").schedule, torch.arange(1, 1001)
    ceiling = linear_ceiling(schedule, data.digits("train")[0], t)
    return ceiling.reshape(10, 100).mean(1).tolist()


def drawing(of_sound, of_shown):
    r"""The picture of the statement: the training, and samples."""
    run = load_results("digits")
    updates = [row["step"] for row in run["curve"]]
    ratios = {"height_ratios": (2, 1.35)}
    fig, ((*axes,), below) = figure.canvas(2, 2, width=7.6, height=4, gridspec_kw=ratios)
    for axis in below:
        axis.remove()
    axes.append(fig.add_subplot(below[0].get_gridspec()[1, :]))
    blue, green = figure.COLOURS["x_0"], figure.COLOURS["prediction"]
    for key, line, colour, name in (
        ("loss", "o-", green, "training"),
        ("held_out_loss", "s--", blue, "held out"),
    ):
        values = [row[key] for row in run["curve"]]
        axes[0].plot(updates, values, line, color=colour, markersize=4, label=name)
    axes[0].set(xlabel="update", title="loss", ylim=(0, 0.18))
    axes[0].legend(fontsize=8)
    bands = run["curve"][-1]["loss_bands"]
    middle, ceiling = torch.arange(50, 1000, 100), ceiling_of_tenths()
    axes[1].plot(middle, bands, "o-", color=green, markersize=4, label="this network")
    axes[1].plot(middle, ceiling, ":", color="#595959", label="best linear guess")
    axes[1].set(xlabel="$t$", title="loss by tenths of $t$", ylim=(0, None))
    axes[1].legend(fontsize=8)
    rows = [data.digits("train")[0][:20], of_sound[:20], of_shown[:20]]
    pictures = figure.tile(torch.cat(rows).clamp(-1, 1), 20)
    axes[2].imshow(pictures, cmap="gray", vmin=-1, vmax=1)
    axes[2].set_yticks([3.5, 12.5, 21.5], ["digits", "package", "this run"])
    axes[2].tick_params(length=0)
    axes[2].set_xticks([])
    axes[2].grid(False)
    for spine in axes[2].spines.values():
        spine.set_visible(False)
    return fig


def sheet(chapter, results):
    r"""The numbers of the statement, as Markdown: what was measured of which run."""
    rows = {tuple(row["faults"]): row for row in results[chapter]}
    data, sound, shown = results["digits"], rows[SOUND], rows[SHOWN[chapter]]
    columns = {"training digits": data, "the package": sound, "this run": shown}
    if chapter == "09":
        columns = {"training digits": data, "DDIM": rows[("no_correction",)]}
        columns |= {"the package, 2M": sound, "this run": shown}
    lines = [f"| | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for words, key, form in SHEET[chapter]:
        cells = [form(row[key]) if key in row else "" for row in columns.values()]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plain(value):
    return f"{value:.2f}"


def exact(value):
    return f"{value:.3f}"


def both(values):
    return f"{values[0]:.2f}, {values[1]:.3f}"


LOOKS = (
    ("contrast, as a share of the digits' own", "contrast", plain),
    ("roughness, likewise", "roughness", plain),
    ("variety, likewise", "variety", plain),
    ("largest pixel, without its sign", "largest", plain),
    ("Fréchet distance to held-out digits", "fd", plain),
    ("precision", "precision", plain),
    ("recall", "recall", plain),
)
LAW = r"$\mathcal N(0.7,0.3^2)$, exact network, "
UNIT = r"$\mathcal N(0,1)$, exact network, "
POINT = "a point at 0.5, exact network, "
SHEET = {
    "08": (
        *LOOKS,
        ("drawn again from the same $x_T$: difference", "again", plain),
        (f"{LAW}20 jumps: mean, deviation", "gaussian_20", both),
        (f"{LAW}1,000 jumps: mean, deviation", "gaussian_1000", both),
    ),
    "09": (
        *LOOKS,
        *((f"{UNIT}{N} jumps: deviation", f"unit_{N}", exact) for N in (10, 20, 40)),
        *(
            (f"{POINT}{N} jumps: where samples end", f"point_{N}", exact)
            for N in (10, 20, 40)
        ),
    ),
}


def rounded(value):
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(f"{value:.4g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("chapters", nargs="*", default=list(CHAPTERS))
    parser.add_argument("--draw", action="store_true")
    parser.add_argument("--most", type=int, default=100, help="rows to measure now")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for chapter in asked.chapters:
        shown = SHOWN[chapter]
        if asked.draw:
            sound, run = (CHAPTERS[chapter](faults)[1] for faults in (SOUND, shown))
            figure.save(drawing(sound, run), PICTURES / f"{chapter}.png")
            continue
        measure(chapter, asked.most)


def measure(chapter, most):
    r"""Add the rows that are not there yet to the results, one by one, and show them."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results["command"] = "python figures/bugs_sampling.py"
    if "digits" not in results:
        train, chosen = data.digits("train")[0], torch.Generator().manual_seed(0)
        some = train[torch.randperm(len(train), generator=chosen)[:COUNT]]
        results["digits"] = rounded(of_samples(some))
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    rows = results.setdefault(chapter, [])
    alone = [(name,) for name in (*SHOWN[chapter], *OTHERS[chapter])]
    every = list(dict.fromkeys([SOUND, SHOWN[chapter], *alone]))
    there = {tuple(row["faults"]) for row in rows}
    for faults in [one for one in every if one not in there][:most]:
        rows.append({"faults": list(faults), **rounded(CHAPTERS[chapter](faults)[0])})
        results["versions"] = versions()
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        print(chapter, rows[-1], flush=True)
    if len(rows) == len(every):
        print(sheet(chapter, results))


if __name__ == "__main__":
    main()
