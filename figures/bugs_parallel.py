r"""Training in parts, with faults: `python figures/bugs_parallel.py`.

No network is trained: the model is one number w with the loss (w - x)^2 / 2, whose best
value is the mean of the data, so that everything is exact. For exercise 17.5: the sound
code, the run that the exercise shows, and every fault of its list alone. Seconds on a CPU.
Writes figures/runs/bugs_parallel.json, from which tests/classroom/test_bugs_last.py reads
which fault has which symptom. --draw writes exercises/bugs/17.png, the picture of the
statement.
"""

import torch
from bugs_exact import SOUND, beside, command

from ddpm_lite import figure

SHOWN = ("average_for_each_part", "mean_of_means")
OTHERS = (
    "average_before_step",
    "decay_exchanged",
    "divided_twice",
    "first_part_for_all",
    "gradient_kept",
    "last_part_only",
    "rate_times_parts",
    "step_for_each_part",
    "sum_of_parts",
    "sum_over_examples",
)
DATA = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 7.0, 7.0, 7.0, 7.0)  # mean 3
CASES = ((12,), (3, 3, 3, 3), (8, 4), (10, 2), (7, 4, 1))  # sizes of the parts
ORDERS = ("mixed", "sorted")
RATE, DECAY, UPDATES = 0.05, 0.95, 250
NEVER = 9999  # of what does not come half way


def train(gradient, w, updates, rate, decay, faults=SOUND):
    r"""(w, its average) after each of the updates, whose batches come in parts.

    gradient: (w, part) -> like w, of the mean loss of a part. updates: a list of lists of
    parts (n, ...). faults: names of the list of exercise 17.5. Yields after each update.
    """
    average, total = w, torch.zeros_like(w)
    for parts in updates:
        examples = sum(map(len, parts))
        total = total if "gradient_kept" in faults else torch.zeros_like(w)
        before = w
        for part in parts:
            part = parts[0] if "first_part_for_all" in faults else part
            weight = len(part) / examples
            if "first_part_for_all" in faults:
                weight = 1 / len(parts)
            if "mean_of_means" in faults:
                weight = 1 / len(parts)
            if "divided_twice" in faults:
                weight = weight / len(parts)
            if "rate_times_parts" in faults:
                weight = weight * len(parts)
            if "sum_of_parts" in faults:
                weight = 1.0
            if "sum_over_examples" in faults:
                weight = float(len(part))
            found = weight * gradient(w, part)
            total = found if "last_part_only" in faults else total + found
            if "step_for_each_part" in faults:
                w, total = w - rate * gradient(w, part), torch.zeros_like(w)
        w = w - rate * total
        times = len(parts) if "average_for_each_part" in faults else 1
        for k in range(times):
            # All but the last are taken in the middle of a batch, before the step.
            seen = before if k + 1 < times or "average_before_step" in faults else w
            kept = 1 - decay if "decay_exchanged" in faults else decay
            average = kept * average + (1 - kept) * seen
        yield w, average


def data(order):
    r"""One batch of 12 numbers: the large ones at the end, or every third one."""
    x = torch.tensor(DATA, dtype=torch.float64)
    return x if order == "sorted" else x.reshape(3, 4).T.flatten()


def run(faults, sizes, order):
    r"""w and its average after each update, (2, UPDATES), from 0."""
    parts = list(data(order).split(list(sizes)))
    w = torch.zeros((), dtype=torch.float64)
    updates = [parts] * UPDATES

    def gradient(w, part):
        return w - part.mean()

    return torch.tensor(
        [list(pair) for pair in train(gradient, w, updates, RATE, DECAY, faults)]
    ).T


def half(path):
    r"""The update after which a path has first come half way to 3."""
    past = (path >= 1.5).nonzero()
    return int(past[0]) + 1 if len(past) else NEVER


def numbers(faults):
    r"""{key: numbers}: where w ends, and when w and the average are half way to 3."""
    found = {}
    for sizes in CASES:
        name = "_".join(map(str, sizes))
        paths = [run(faults, sizes, order) for order in ORDERS]
        ends = [float(path[0, -1].clamp(-NEVER, NEVER)) for path in paths]
        found[f"end_{name}"] = ends
        w, average = paths[0].nan_to_num(0.0)
        found[f"half_{name}"] = [half(w), half(average)]
    return found


def case(sizes):
    return " + ".join(map(str, sizes))


def sheet(results):
    r"""The numbers of the statement, as Markdown."""
    return beside("one batch in parts of", results, SHOWN, cells)


def cells(row):
    for sizes in CASES:
        ends = row["end_" + "_".join(map(str, sizes))]
        yield f"{case(sizes)}: w ends at", ", ".join(f"{v:.2f}" for v in ends)
    for sizes in CASES[:3]:
        updates = row["half_" + "_".join(map(str, sizes))]
        yield f"{case(sizes)}: half way after", ", ".join(str(int(v)) for v in updates)


def drawing():
    r"""The picture of the statement: w and its average, by the sound code and this run."""
    fig, axes = figure.canvas(1, 3, width=7.6, height=2.5)
    for axis, sizes in zip(axes.flat, ((12,), (3, 3, 3, 3), (10, 2)), strict=True):
        for faults, style in ((SOUND, "--"), (SHOWN, "-")):
            w, average = run(faults, sizes, "sorted")[:, :120]
            axis.plot(w, style, color=figure.COLOURS["x_0"])
            axis.plot(average, style, color=figure.COLOURS["noise"])
        axis.set(title=f"parts of {case(sizes)}", xlabel="updates", ylim=(0, 5))
    w, average = run(SOUND, (12,), "sorted")
    axis = axes.flat[0]
    axis.annotate("w", (25, float(w[25]) + 0.15), color=figure.COLOURS["x_0"], ha="right")
    axis.annotate("average", (50, float(average[50]) - 0.5), color=figure.COLOURS["noise"])
    axes.flat[2].annotate("dashed: sound code", (118, 0.15), fontsize=8, ha="right")
    return fig


if __name__ == "__main__":
    command(__file__, __doc__, "17", numbers, SHOWN, OTHERS, sheet, drawing, dpi=120)
