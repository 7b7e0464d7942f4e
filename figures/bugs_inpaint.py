r"""Inpainting by replacement, with faults: `python figures/bugs_inpaint.py`.

No network is trained. The data are two correlated numbers with a Gaussian law, of which the
first is known, so that the exact answer and the best denoiser are known. For exercise 15.5:
the sound code, the run that the exercise shows, and every fault of its list alone. Seconds
on a CPU. Writes figures/runs/bugs_inpaint.json, from which
tests/classroom/test_bugs_exact.py reads which fault has which symptom. --draw writes
exercises/bugs/15.png, the picture of the statement.
"""

import math
from itertools import pairwise

import torch
from bugs_exact import SOUND, beside, command
from bugs_sampling import normal

from ddpm_lite import Schedule, figure

SHOWN = ("known_at_t", "known_no_root")
OTHERS = (
    "asked_at_s",
    "forward_at_the_end",
    "forward_from_0",
    "forward_not_shrunk",
    "known_clean",
    "known_not_shrunk",
    "large_variance",
    "mask_turned",
    "never_forward",
    "not_at_the_last_stop",
)
CORRELATION, KNOWN = 0.9, 1.5
SCHEDULE = Schedule.linear(1000)
COVARIANCE = torch.tensor([[1.0, CORRELATION], [CORRELATION, 1.0]], dtype=torch.float64)


def inpaint(denoise, alpha_bar, stops, x, known, mask, noise, faults=SOUND):
    r"""Draw x (B, D) at the last stop, with the entries of mask known, as RePaint does.

    denoise: (x, t) -> x_0 (B, D). known: (B, D). mask: bool (D,). noise: (jumps, R, 3, B,
    D), for the known part, the step, and the way forward again. faults: names of the list
    of exercise 15.5.
    """
    mask = ~mask if "mask_turned" in faults else mask
    jumps = list(pairwise(stops))
    for i, ((t, s), rounds) in enumerate(zip(jumps, noise, strict=True)):
        a_t, a_s = alpha_bar[t], alpha_bar[s]
        beta = 1 - a_t / a_s
        last = i == len(jumps) - 1
        for r, (z_known, z_step, z_forward) in enumerate(rounds):
            of_x_0 = a_s.sqrt() * beta / (1 - a_t)
            of_x = (1 - beta).sqrt() * (1 - a_s) / (1 - a_t)
            variance = beta * (1 - a_s) / (1 - a_t)
            variance = beta if "large_variance" in faults and s > 0 else variance
            guess = denoise(x, s if "asked_at_s" in faults else t)
            drawn = of_x_0 * guess + of_x * x + variance.sqrt() * z_step
            a = a_t if "known_at_t" in faults else a_s
            share = 1 - a if "known_no_root" in faults else (1 - a).sqrt()
            share = 0.0 if "known_clean" in faults else share
            kept = 1.0 if "known_not_shrunk" in faults else a.sqrt()
            given = kept * known + share * z_known
            x = torch.where(mask, given, drawn)
            if last and "not_at_the_last_stop" in faults:
                x = drawn
            forward = r < len(rounds) - 1 or ("forward_at_the_end" in faults and not last)
            if forward and "never_forward" not in faults:
                added = 1 - a_t if "forward_from_0" in faults else beta
                kept = 1.0 if "forward_not_shrunk" in faults else (1 - beta).sqrt()
                x = kept * x + added.sqrt() * z_forward
    return x


def best_denoiser(covariance, alpha_bar):
    r"""E[x_0 | x_t] for the law N(0, covariance), a matrix times x_t."""
    eye = torch.eye(len(covariance), dtype=torch.float64)

    def denoise(x, t):
        a = alpha_bar[t]
        gain = a.sqrt() * covariance @ torch.linalg.inv(a * covariance + (1 - a) * eye)
        return x @ gain.T

    return denoise


def moments(faults, last=0, N=25, R=1):
    r"""Mean and deviation of the known entry and the other one, exactly.

    The result is a straight line in all noises. So each noise is set to 1 alone, in one
    example of a batch, and the squares of what it changes are added up.
    """
    stops = [t for t in torch.linspace(1000, 0, N + 1).round().long().tolist() if t >= last]
    shape = (len(stops) - 1, R, 3, 1, 2)
    count = math.prod(shape)
    noise = torch.zeros(count + 3, *shape, dtype=torch.float64)
    noise[:count].view(count, count)[range(count), range(count)] = 1
    noise = noise.squeeze(-2).movedim(0, -2)
    x = torch.zeros(count + 3, 2, dtype=torch.float64)
    x[count, 0] = x[count + 1, 1] = 1
    alpha_bar = SCHEDULE.alpha_bar
    known = torch.tensor([KNOWN, 0.0], dtype=torch.float64).expand(count + 3, 2)
    mask = torch.tensor([True, False])
    ends = inpaint(
        best_denoiser(COVARIANCE, alpha_bar),
        alpha_bar,
        stops,
        x,
        known,
        mask,
        noise,
        faults,
    )
    mean = ends[-1]
    return mean.tolist(), (ends[:-1] - mean).square().sum(0).sqrt().tolist()


CASES = ((600, 1), (200, 1), (80, 1), (0, 1), (0, 5))


def numbers(faults):
    r"""{key: [mean, deviation] of the known entry, then of the other} of one row."""
    found = {}
    for last, R in CASES:
        mean, deviation = moments(faults, last, R=R)
        found[f"known_{last}_{R}"] = [mean[0], deviation[0]]
        found[f"other_{last}_{R}"] = [mean[1], deviation[1]]
    return found


def sheet(results):
    r"""The numbers of the statement, as Markdown."""
    return beside("mean and deviation", results, SHOWN, cells)


def cells(row):
    for last, R in CASES:
        for entry in ("known", "other"):
            mean, deviation = row[f"{entry}_{last}_{R}"]
            words = f"{entry} entry at t = {last}, {R} round{'s' * (R > 1)}"
            yield words, f"{mean:.2f} and {deviation:.3f}"


def drawing():
    r"""The picture of the statement: points of the run at t = 80, and of sound code."""
    stops = [t for t in torch.linspace(1000, 0, 26).round().long().tolist() if t >= 80]
    known = torch.tensor([KNOWN, 0.0], dtype=torch.float64).expand(300, 2)
    noise = normal((len(stops) - 1, 1, 3, 300, 2), 15, torch.float64)
    x = normal((300, 2), 16, torch.float64)
    denoise = best_denoiser(COVARIANCE, SCHEDULE.alpha_bar)
    fig, axes = figure.canvas(1, 2, width=7.6, height=3.0)
    for axis, faults, title in zip(
        axes.flat, (SOUND, SHOWN), ("sound code", "this run"), strict=True
    ):
        shared = (denoise, SCHEDULE.alpha_bar, stops, x, known)
        mask = torch.tensor([True, False])
        ends = inpaint(*shared, mask, noise, faults)
        axis.plot(ends[:, 0], ends[:, 1], ".", color=figure.COLOURS["x_t"], markersize=3)
        axis.axvline(KNOWN, color=figure.COLOURS["x_0"], linewidth=1)
        axis.set(title=f"{title}, t = 80", xlabel="known entry")
        axis.set(xlim=(0.4, 2.6), ylim=(-1.5, 3.0))
        axis.annotate("what is known", (1.54, 2.7), color=figure.COLOURS["x_0"], fontsize=8)
    axes.flat[0].set_ylabel("other entry")
    return fig


if __name__ == "__main__":
    command(__file__, __doc__, "15", numbers, SHOWN, OTHERS, sheet, drawing)
