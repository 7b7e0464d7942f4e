r"""Measure samplers and spacings on exact denoisers: `python figures/lab.py`.

figures/runs/lab.json: the exact Frechet distance of every sampler, spacing and number of
network calls from the Gaussian with the digits' mean and covariance, and the errors of mean
and covariance; no sample is drawn, no network is asked. Beside them what `ddpm-lite doctor
--lab` finds for both schedules. lab_samplers.png: all samplers with one spacing.
lab_spacings.png: all spacings of one sampler. It takes half a minute.
"""

import json
import platform
import re
from pathlib import Path

import torch

from ddpm_lite import Schedule, figure, load_results
from ddpm_lite.lab import exact
from ddpm_lite.lab import page as lab_page
from ddpm_lite.sampling.spacing import SPACINGS

HERE = Path(__file__).resolve().parent
SCHEDULES = {"linear": Schedule.linear(1000), "cosine": Schedule.cosine(1000)}
CALLS = (5, 10, 20, 30, 50, 100, 200, 500, 1000)
LINES = {  # samplers that add noise are dashed
    "ancestral, small": ("noise", "--"),
    "ancestral, large": ("x_0", "--"),
    "ddim": ("x_t", "-"),
    "heun": ("extra", "-"),
    "dpmpp_2m": ("prediction", "-"),
    "dpmpp_2m_sde": ("prediction", "--"),
}


def measure():
    r"""{schedule: {sampler: {spacing: {"calls", "frechet", "mean", "covariance"}}}}."""
    law, found = exact.digits_law(), {}
    for kind, schedule in SCHEDULES.items():
        found[kind] = {name: {spacing: {} for spacing in SPACINGS} for name in exact.STEPS}
        for row in exact.compare(law, schedule, CALLS):
            columns = found[kind][row["sampler"]][row["spacing"]]
            for key in ("steps", "calls", "frechet", "mean", "covariance"):
                columns.setdefault(key, []).append(row[key])
    return found


def of_samplers(found, real):
    r"""All samplers with trailing spacing, a panel for each schedule.

    found: what `measure` gives. real: what real pictures score, a line.
    """
    picture, axes = figure.canvas(1, 2, width=8, height=3.6, sharey=True)
    for axis, (kind, samplers) in zip(axes, found.items(), strict=True):
        for name, (colour, style) in LINES.items():
            columns = samplers[name]["trailing"]
            options = dict(color=figure.COLOURS[colour], marker="o", markersize=3)
            x, y = columns["calls"], columns["frechet"]
            axis.loglog(x, y, style, label=name, **options)
        finish(axis, kind, real)
    return with_legend(picture, axes)


def of_spacings(found, real):
    r"""All spacings of one sampler, DPM-Solver++ (2M), a panel for each schedule."""
    picture, axes = figure.canvas(1, 2, width=8, height=3.6, sharey=True)
    colours = zip(SPACINGS, figure.COLOURS.values(), strict=True)
    colours = dict(colours)
    for axis, (kind, samplers) in zip(axes, found.items(), strict=True):
        for spacing, columns in samplers["dpmpp_2m"].items():
            x, y = columns.get("calls", []), columns.get("frechet", [])
            axis.loglog(x, y, "o-", label=spacing, color=colours[spacing], markersize=3)
        finish(axis, kind, real)
    return with_legend(picture, axes)


def finish(axis, kind, real):
    r"""What both figures have: the line of real digits, ticks and words."""
    axis.axhline(real, color="black", linestyle=":", linewidth=1.2)
    axis.annotate(
        f"1,000 real digits, judged: {real:.2f}",
        (1100, real),
        (0, 3),
        textcoords="offset points",
        ha="right",
        fontsize=9,
    )
    axis.set(title=f"{kind} schedule", ylim=(1e-5, 30), xlim=(4, 1300))
    axis.set_xticks([5, 20, 100, 1000], ["5", "20", "100", "1000"], minor=False)
    axis.set_xticks([], minor=True)
    axis.set_xlabel("network calls")


def with_legend(picture, axes):
    r"""The picture with one legend below both panels."""
    axes[0].set_ylabel("exact Fréchet distance")
    lines, names = axes[0].get_legend_handles_labels()
    picture.legend(
        lines,
        names,
        loc="outside lower center",
        ncols=len(names) if len(names) < 6 else 3,
        frameon=False,
    )
    return picture


def draw(found, real):
    r"""Write both figures."""
    for name, drawn in (("lab_samplers", of_samplers), ("lab_spacings", of_spacings)):
        print("wrote", figure.save(drawn(found, real), HERE / f"{name}.png").name)


def main():
    torch.set_num_threads(1)
    real = load_results("digits")["measures"]["fd_pixels_1000"]["training"]
    found = measure()
    result = {"frechet_of_the_digits_gaussian": found}
    for kind, schedule in SCHEDULES.items():
        findings = lab_page.examine(schedule)
        result[f"doctor_{kind}"] = {f.what: f.numbers for f in findings}
    result["command"] = "python figures/lab.py"
    result["versions"] = {"torch": torch.__version__, "python": platform.python_version()}
    text = json.dumps(rounded(result), indent=1)
    text = re.sub(r"\[\s+([^][{}]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)
    (HERE / "runs" / "lab.json").write_text(text + "\n")
    print("wrote runs/lab.json")
    draw(found, real)


def rounded(value):
    r"""Every float in nested dictionaries and lists, to five digits."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
