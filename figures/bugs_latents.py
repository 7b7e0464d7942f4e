r"""A pipeline in latents, with faults: `python figures/bugs_latents.py`.

No network is trained. For the numbers, each channel of the latents has a Gaussian law of
its own, the autoencoder is exact, and so is the prediction of the noise. For exercise 16.5:
the sound code, the run that the exercise shows, and every fault of its list alone. Seconds
on a CPU. Writes figures/runs/bugs_latents.json, from which
tests/classroom/test_bugs_last.py reads which fault has which symptom. --draw writes
exercises/bugs/16.png, the picture of the statement: clothes, whose latents are the
principal components of patches of 4 x 4, with the exact denoiser of the set.
"""

from itertools import pairwise

import torch
from bugs_exact import SOUND, beside, command
from bugs_sampling import even, normal

from ddpm_lite import Schedule, figure
from ddpm_lite.data import clothes

SHOWN = ("latents_clipped", "mean_inside")
OTHERS = (
    "asked_late",
    "mean_kept",
    "mean_not_back",
    "no_noise",
    "noise_scaled",
    "not_rescaled",
    "one_deviation",
    "roots_missing",
    "scale_multiplied",
)
COUNT = 1000  # pictures
LAW = ((0.0, 0.5), (0.0, 3.0), (2.0, 0.5), (2.0, 3.0))  # (mean, deviation) of a channel
STRENGTHS = (0, 300, 1000)  # steps of the chain that are gone back
SCHEDULE = Schedule.linear()


def vary(encode, decode, noise, alpha_bar, stops, x, eps, mean, deviation, faults=SOUND):
    r"""Noise pictures x (B, C, H, W) up to stops[0] in their latents, and go back.

    noise: (z, t) -> like z. eps: like the latents. mean, deviation: (C,) of the latents.
    faults: names of the list of exercise 16.5.
    """
    m, d = mean[:, None, None], deviation[:, None, None]
    if "one_deviation" in faults:
        d = d.mean().expand(d.shape)
    z = encode(x) if "mean_kept" in faults else encode(x) - m
    z = z * d if "scale_multiplied" in faults else z / d
    a = alpha_bar[stops[0]]
    eps = d * eps if "noise_scaled" in faults else eps
    z = a.sqrt() * z + (0 if "no_noise" in faults else (1 - a).sqrt() * eps)
    for t, s in pairwise(stops):
        a, b = alpha_bar[t], alpha_bar[s]
        found = noise(z, s if "asked_late" in faults else t)
        z_0 = (z - (1 - a).sqrt() * found) / a.sqrt()
        z_0 = z_0.clamp(-1, 1) if "latents_clipped" in faults else z_0
        found = (z - a.sqrt() * z_0) / (1 - a).sqrt()
        roots = (b, 1 - b) if "roots_missing" in faults else (b.sqrt(), (1 - b).sqrt())
        z = roots[0] * z_0 + roots[1] * found
    if "not_rescaled" in faults:
        return decode(z)
    if "mean_not_back" in faults:
        return decode(d * z)
    return decode(d * (z + m)) if "mean_inside" in faults else decode(m + d * z)


def numbers(faults):
    r"""{key: numbers of each channel}: mean and deviation of what comes out."""
    mean, deviation = torch.tensor(LAW, dtype=torch.float64).T
    z = normal((COUNT, 4, 1, 1), 16, torch.float64)
    z = (z - z.mean(0)) / z.std(0, correction=0)
    eps = normal((COUNT, 4, 1, 1), 17, torch.float64)
    x = mean[:, None, None] + deviation[:, None, None] * z
    alpha_bar, found = SCHEDULE.alpha_bar, {}

    def noise(z, t):
        return (1 - alpha_bar[t]).sqrt() * z

    for t in STRENGTHS:
        stops = even(t, 50) if t else [0]
        args = (noise, alpha_bar, stops, x, eps, mean, deviation, faults)
        out = vary(lambda x: x, lambda z: z, *args)[:, :, 0, 0]
        found[f"mean_{t}"] = out.mean(0).tolist()
        found[f"spread_{t}"] = out.std(0, correction=0).tolist()
    return found


def listed(values):
    return ", ".join(f"{value:.2f}".replace("-0.00", "0.00") for value in values)


WHO = "sound code", "this run"
NAMES = ("encoded and decoded", "noised to t = 300 and back", "drawn from t = 1000")


def sheet(results):
    r"""The numbers of the statement, as Markdown."""
    return beside("four channels", results, SHOWN, cells)


def cells(row):
    for t, name in zip(STRENGTHS, NAMES, strict=True):
        for key, what in (("mean", "means"), ("spread", "deviations")):
            yield f"{name}: {what}", listed(row[f"{key}_{t}"])


def autoencoder(x):
    r"""(encode, decode) by the four first principal components of patches of 4 x 4."""
    patches = torch.nn.functional.unfold(x, 4, stride=4)
    rows = patches.transpose(1, 2).reshape(-1, 16)
    middle = rows.mean(0)
    axes = torch.linalg.svd(rows - middle, full_matrices=False)[2][:4]
    axes = axes * axes.sum(1, keepdim=True).sign()
    rest = middle - middle @ axes.T @ axes

    def encode(x):
        cut = torch.nn.functional.unfold(x, 4, stride=4)
        return (axes @ cut).unflatten(2, (7, 7))

    def decode(z):
        cut = axes.T @ z.flatten(2) + rest[:, None]
        return torch.nn.functional.fold(cut, (28, 28), 4, stride=4)

    return encode, decode


def drawing():
    r"""The picture of the statement: clothes, with the sound code and with this run."""
    x = clothes()[0].double()
    encode, decode = autoencoder(x)
    latents = encode(x)
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    known = ((latents - mean[:, None, None]) / deviation[:, None, None]).flatten(1)
    alpha_bar = SCHEDULE.alpha_bar

    def noise(z, t):
        a = alpha_bar[t]
        off = torch.cdist(z.flatten(1), a.sqrt() * known).square()
        z_0 = (-off / (2 * (1 - a))).softmax(1) @ known
        return (z - a.sqrt() * z_0.reshape(z.shape)) / (1 - a).sqrt()

    some = x[:7]
    eps = normal((7, 4, 7, 7), 18, torch.float64)
    fig, axes = figure.canvas(2, 2, width=7.6, height=1.9)
    for row, stops, what in (
        (axes[0], [0], "encoded and decoded"),
        (axes[1], even(1000, 50), "drawn from t = 1000"),
    ):
        for axis, faults, who in zip(row, (SOUND, SHOWN), WHO, strict=True):
            given = encode, decode, noise, alpha_bar, stops, some, eps, mean, deviation
            made = vary(*given, faults).clamp(-1, 1)
            strip = torch.cat(list(made[:, 0]), 1)
            axis.imshow(strip, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
            axis.set(title=f"{who}: {what}", xticks=[], yticks=[])
            axis.title.set_fontsize(9)
            axis.grid(False)
    return fig


if __name__ == "__main__":
    command(__file__, __doc__, "16", numbers, SHOWN, OTHERS, sheet, drawing, dpi=120)
