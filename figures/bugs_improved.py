r"""A loss with faults: `python figures/bugs_improved.py`.

The exercise of the kind "bug" in chapter 11 shows a loss for a network that predicts v and
learns its variance, with min-SNR weights. Here the loss is asked about outputs that are
right or wrong by a known amount, which needs no training: without a fault, with both
faults, and with every fault of its list alone. Takes seconds. Writes
figures/runs/bugs_improved.json, from which tests/classroom/test_bugs_improved.py reads
which fault has which symptom, and exercises/bugs/11.png, the picture of the statement.
"""

import argparse
import json
from pathlib import Path

import torch
from bugs import rounded
from bugs_evaluation import save

from ddpm_lite import Schedule, figure
from ddpm_lite.training.facts import versions

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "figures" / "runs" / "bugs_improved.json"
PICTURE = ROOT / "exercises" / "bugs" / "11.png"
SOUND = ()
SHOWN = ("not_detached", "plus_one")
OTHERS = (
    "kl_turned",
    "linear_variance",
    "max_for_min",
    "no_gamma",
    "not_halved",
    "one_coefficient",
    "one_too_late",
    "share_not_shifted",
    "sign_of_v",
)
GAMMA, T, PARTS = 5.0, 100, 5
BOUND = 1e-3  # weight of the bound, times T


def loss(output, alpha_bar, x_0, t, noise, gamma, faults=SOUND):
    r"""The loss of each example (B,): min-SNR for v, and the bound for its variance.

    output: (B, 2D), what a network says about x_t: v and then u.
    """
    a_bar, before = alpha_bar[t][:, None], alpha_bar[t - 1][:, None]
    a, s = a_bar.sqrt(), (1 - a_bar).sqrt()
    x_t = a * x_0 + s * noise
    v, u = output.chunk(2, 1)
    target = a * noise - s * x_0
    target = -target if "sign_of_v" in faults else target
    snr = a_bar / (1 - a_bar)
    least = snr.clamp(max=gamma)
    if "max_for_min" in faults:
        least = snr.clamp(min=gamma)
    if "no_gamma" in faults:
        least = snr
    if "plus_one" in faults:
        least = (snr + 1).clamp(max=gamma)
    weight = least / snr + 1 if "one_too_late" in faults else least / (snr + 1)
    simple = (weight * (v - target) ** 2).mean(1)

    large = 1 - a_bar / before
    small = large * (1 - before) / (1 - a_bar)
    share = u if "share_not_shifted" in faults else (u + 1) / 2
    log_variance = (1 - share) * small.log() + share * large.log()
    if "linear_variance" in faults:
        log_variance = ((1 - share) * small + share * large).clamp(min=1e-20).log()
    guess = a * x_t - s * v
    if "not_detached" not in faults:
        guess = guess.detach()
    of_x_0 = before.sqrt() * large / (1 - a_bar)
    if "one_coefficient" in faults:
        of_x_0 = torch.ones_like(of_x_0)
    error = (of_x_0 * (x_0 - guess)) ** 2
    ratio = log_variance - small.log()
    kl = ratio + (small + error) / log_variance.exp() - 1
    if "kl_turned" in faults:
        kl = (log_variance.exp() + error) / small - ratio - 1
    kl = kl if "not_halved" in faults else kl / 2
    return simple + BOUND * (len(alpha_bar) - 1) * kl.mean(1)


def asked(faults, off, u):
    r"""(loss, gradient by v, gradient by u) by fifths of t: v wrong by off, u known."""
    alpha_bar = Schedule.cosine(T).alpha_bar
    t = torch.arange(2, T + 1)
    draw = torch.Generator().manual_seed(11)
    x_0, noise = (torch.randn(len(t), 2, generator=draw).double() for _ in range(2))
    a, s = alpha_bar[t, None].sqrt(), (1 - alpha_bar[t, None]).sqrt()
    output = torch.cat([a * noise - s * x_0 + off, torch.full_like(x_0, u)], 1)
    output.requires_grad_()
    values = loss(output, alpha_bar, x_0, t, noise, GAMMA, faults)
    values.sum().backward()
    by_v, by_u = (one.sum(1) for one in output.grad.chunk(2, 1))
    parts = (t - 2) * PARTS // len(t)
    of = values.detach(), by_v, by_u
    return [[float(one[parts == k].mean()) for k in range(PARTS)] for one in of]


def numbers(faults):
    r"""What the statement's table shows of a loss with these faults."""
    right, small = asked(faults, 0.0, -1.0), asked(faults, 0.0, 0.0)
    wrong = asked(faults, 0.5, 0.0)
    return {
        "right": right[0],
        "wrong": wrong[0],
        "by_v": wrong[1],
        "right_by_u": small[2],
        "wrong_by_u": wrong[2],
    }


ROWS = (  # words, key, what the numbers are multiplied by
    ("$v$ right, $u=-1$: loss", "right", 1),
    (r"$v$ wrong by ½, $u=0$: loss", "wrong", 1),
    ("the same: gradient by $v$", "by_v", 1),
    ("the same: gradient by $u$, times 1,000", "wrong_by_u", 1000),
    ("$v$ right, $u=0$: gradient by $u$, times 1,000", "right_by_u", 1000),
)


def sheet(results):
    r"""The numbers of the statement, as Markdown: sound / this loss in each fifth of t."""
    rows = {tuple(row["faults"]): row for row in results["rows"]}
    lines = ["| | | " + " | ".join(f"fifth {k + 1}" for k in range(PARTS)) + " |"]
    lines.append("|---" * (PARTS + 2) + "|")
    for words, key, times in ROWS:
        for faults, who in ((SOUND, "sound"), (SHOWN, "this loss")):
            cells = " | ".join(f"{abs(times * value):.4f}" for value in rows[faults][key])
            lines.append(f"| {words if faults == SOUND else ''} | {who} | {cells} |")
    return "\n".join(lines)


def drawing(results):
    r"""The picture of the statement: the loss and its gradient by v, by fifths of t."""
    rows = {tuple(row["faults"]): row for row in results["rows"]}
    fig, axes = figure.canvas(1, 2, width=7.6, height=2.6)
    titles = {"wrong": "loss where $v$ is wrong by ½", "by_v": "its gradient by $v$"}
    for axis, (key, title) in zip(axes, titles.items(), strict=True):
        for faults, name in ((SHOWN, "extra"), (SOUND, "prediction")):
            colour, values = figure.COLOURS[name], rows[faults][key]
            axis.plot(range(1, PARTS + 1), values, "o-", color=colour, markersize=4)
            who = "sound" if faults == SOUND else "this loss"
            place = dict(textcoords="offset points", color=colour, fontsize=9)
            axis.annotate(who, (3, values[2]), (8, 6), **place)
        axis.set(xlabel="fifth of $t$", title=title, xticks=range(1, 6))
        axis.set_ylim(0, 1.2 * max(rows[SHOWN][key]))
    return fig


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.parse_args()
    torch.set_num_threads(1)
    every = (SOUND, SHOWN, *((name,) for name in (*SHOWN, *OTHERS)))
    rows = [{"faults": list(faults), **rounded(numbers(faults))} for faults in every]
    results = {"command": "python figures/bugs_improved.py", "versions": versions()}
    results["rows"] = rows
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    save(drawing(results), PICTURE)
    print(sheet(results))


if __name__ == "__main__":
    main()
