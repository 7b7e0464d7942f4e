r"""Measure samplers and spacings on exact denoisers: `python figures/lab.py`.

lab.png: the exact Frechet distance of every sampler, spacing and number of network calls
from the Gaussian with the digits' mean and covariance; no sample is drawn, no network is
asked. figures/runs/lab.json: its numbers, with the errors of mean and covariance, and what
`ddpm-lite doctor --lab` finds for both schedules. It takes half a minute.
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


def draw(found, real):
    r"""One panel for each schedule and spacing; real: what real pictures score, a line."""
    picture, axes = figure.canvas(2, 5, width=12, height=6, sharex=True, sharey=True)
    for row, (kind, samplers) in zip(axes, found.items(), strict=True):
        for axis, spacing in zip(row, SPACINGS, strict=True):
            for name, (colour, style) in LINES.items():
                columns = samplers[name][spacing]
                options = dict(color=figure.COLOURS[colour], marker="o", markersize=3)
                x, y = columns.get("calls", []), columns.get("frechet", [])
                axis.loglog(x, y, style, label=name, **options)
            line = dict(color="black", linestyle=":", linewidth=1.2)
            axis.axhline(real, label=f"1,000 real digits, judged: {real:.2f}", **line)
            axis.set(title=f"{kind}, {spacing}", ylim=(1e-5, 30), xlim=(4, 1300))
            axis.set_xticks([5, 20, 100, 1000], ["5", "20", "100", "1000"], minor=False)
            axis.set_xticks([], minor=True)
        row[0].set_ylabel("exact Fréchet distance")
    for axis in axes[1]:
        axis.set_xlabel("network calls")
    lines, names = axes[0, 0].get_legend_handles_labels()
    picture.legend(lines, names, loc="outside lower center", ncols=4, frameon=False)
    return picture


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
    print(
        "wrote", figure.save(draw(found, real), HERE / "lab.png").name, "and runs/lab.json"
    )


def rounded(value):
    r"""Every float in nested dictionaries and lists, to five digits."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
