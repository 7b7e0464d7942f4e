r"""A flow in DDIM's loop, with faults: `python figures/bugs_flow.py`.

No network is trained. The data are Gaussian, so that the best flow is known. For exercise
14.5: the sound code, the run that the exercise shows, and every fault of its list alone.
Seconds on a CPU. Writes figures/runs/bugs_flow.json, from which
tests/classroom/test_bugs_exact.py reads which fault has which symptom. --draw writes
exercises/bugs/14.png, the picture of the statement.
"""

import math
from itertools import pairwise

import torch
from bugs_exact import SOUND, beside, command

from ddpm_lite import Schedule, figure

SHOWN = ("last_jump_missing", "step_as_time")
OTHERS = (
    "answer_is_v",
    "answer_turned",
    "asked_at_s",
    "no_root",
    "noise_of_x",
    "not_scaled",
    "time_is_alpha_bar",
    "time_turned",
    "x_0_for_noise",
    "x_0_of_x",
)
T = 1000


def draw_by_flow(flow, alpha_bar, stops, x, faults=SOUND):
    r"""DDIM's loop through falling stops, asking a flow (noise at 0, data at 1).

    flow: (z (B, D), time (B,)) -> x_0 - noise (B, D). x: the noise (B, D). faults: names of
    the list of exercise 14.5.
    """
    pairs = list(pairwise(stops))
    for t, s in pairs[:-1] if "last_jump_missing" in faults else pairs:
        asked = s if "asked_at_s" in faults else t
        total = alpha_bar[t].sqrt() + (1 - alpha_bar[t]).sqrt()
        time = alpha_bar[asked].sqrt()
        time = time / (time + (1 - alpha_bar[asked]).sqrt())
        if "time_is_alpha_bar" in faults:
            time = alpha_bar[asked]
        if "step_as_time" in faults:
            time = torch.as_tensor(1 - asked / (len(alpha_bar) - 1), dtype=x.dtype)
        z = x / total
        if "not_scaled" in faults:
            z = x
        told = 1 - time if "time_turned" in faults else time
        u = flow(z, told.expand(len(x)))
        u = -u if "answer_turned" in faults else u
        x_0 = (x if "x_0_of_x" in faults else z) + (1 - time) * u
        noise = (x if "noise_of_x" in faults else z) - time * u
        if "answer_is_v" in faults:
            root, share = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
            x_0, noise = root * x + share * u, share * x - root * u
        if "x_0_for_noise" in faults:
            x_0, noise = noise, x_0
        root, share = alpha_bar[s].sqrt(), (1 - alpha_bar[s]).sqrt()
        if "no_root" in faults:
            share = share**2
        x = root * x_0 + share * noise
    return x


def exact_flow(m, v):
    r"""The best flow for data N(m, v) in each entry: E[x_0 - noise | z]."""

    def flow(z, time):
        s = time.reshape(-1, *[1] * (z.dim() - 1))
        gain = (s * v - (1 - s)) / (s**2 * v + (1 - s) ** 2)
        return m + gain * (z - s * m)

    return flow


LAWS = {"one": (0.0, 1.0), "half": (2.0, 0.25), "point": (1.0, 0.0025)}
SCHEDULES = {"flow": Schedule.flow(T), "cosine": Schedule.cosine(T)}


def end(faults, schedule, N, m, v):
    r"""Mean and deviation of the samples: all is a straight line in the noise."""
    stops = torch.linspace(T, 0, N + 1).round().long().tolist()
    x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    first, second = draw_by_flow(
        exact_flow(m, v), SCHEDULES[schedule].alpha_bar, stops, x, faults
    ).flatten()
    return [float(first), float((second - first).abs())]


CASES = [(name, N, law) for law in LAWS for name in SCHEDULES for N in (10, 40)]


def numbers(faults):
    r"""{key: [mean, deviation]} of one row."""
    return {f"{name}_{law}_{N}": end(faults, name, N, *LAWS[law]) for name, N, law in CASES}


def sheet(results):
    r"""The numbers of the statement, as Markdown."""
    return beside("mean and deviation", results, SHOWN, cells)


def cells(row):
    for name, N, law in CASES:
        (m, v), (mean, deviation) = LAWS[law], row[f"{name}_{law}_{N}"]
        words = f"data {m:.0f} and {math.sqrt(v):g}, {name} schedule, {N} steps"
        yield words, f"{mean:.2f} and {deviation:.3f}"


def drawing():
    r"""The picture of the statement: densities of the samples, 40 steps."""
    fig, axes = figure.canvas(1, 2, width=7.6, height=2.7)
    X = torch.linspace(-1, 4, 400, dtype=torch.float64)

    def bump(mean, deviation):
        return torch.exp(-((X - mean) ** 2) / (2 * deviation**2)) / deviation

    law = LAWS["half"]
    for axis, name in zip(axes.flat, SCHEDULES, strict=True):
        data = bump(law[0], math.sqrt(law[1]))
        drawn = bump(*end(SHOWN, name, 40, *law))
        axis.fill_between(X, data, color=figure.COLOURS["x_0"], alpha=0.25, linewidth=0)
        axis.plot(X, drawn, color=figure.COLOURS["noise"])
        axis.set(title=f"the {name} schedule", xlabel="x", yticks=[], ylim=(0, 4.4))
        at = float(X[drawn.argmax()]), float(drawn.max()) + 0.1
        axis.annotate("samples", at, color=figure.COLOURS["noise"], ha="center", fontsize=9)
        words = "data" if name != "flow" else ""
        axis.annotate(
            words, (2.0, 2.15), color=figure.COLOURS["x_0"], ha="left", fontsize=9
        )
    axes.flat[0].annotate(
        "data", (2.0, 0.6), color=figure.COLOURS["x_0"], ha="center", fontsize=9
    )
    return fig


if __name__ == "__main__":
    command(__file__, __doc__, "14", numbers, SHOWN, OTHERS, sheet, drawing)
