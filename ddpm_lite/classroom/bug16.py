r"""The run with a bug of chapter 16: pictures noised and denoised in their latents.

The check hands in an encoder, a decoder and predictions of its own, which note what they
are given. With one stop only there is no noise and no network; with means of 0 only the
chain counts.
"""

import math
from itertools import pairwise

import torch

from .bugs import Fault, independent, naming
from .ch08 import asked_about
from .ch16 import ASKED
from .exercise import article, exercise, expect, near, normal, tensor, uniform, whole

# What `otherwise` says was measured: figures/bugs_latents.py, bugs_latents.json.
FAULTS = (
    Fault(
        "latents_clipped",
        r"clips the guess of the clean latents to $[-1,1]$, as one does with pixels",
        unexplained="that the deviations become smaller once a chain is run",
    ),
    Fault(
        "mean_inside",
        "adds the mean of a channel before it multiplies by the deviation",
        unexplained="the means of what is only encoded and decoded",
    ),
    Fault(
        "asked_late",
        "asks the network with the step that a jump leads to, not with the one it leaves",
        "would leave the means as they are and make no deviation smaller; here they shrink",
    ),
    Fault(
        "mean_kept",
        "does not subtract the mean of a channel when it encodes",
        "would move the two means to 4 when only encoding and decoding, and drawing from "
        "t = 1000 would put that right; here they are 1 and 6, and stay so",
    ),
    Fault(
        "mean_not_back",
        "does not add the mean of a channel when it decodes",
        "would have means of 0 in all channels; here they are 1 and 6 in two of them",
    ),
    Fault(
        "no_noise",
        "shrinks the latents at the start, and adds no noise",
        "would leave deviations near 0 when drawing from t = 1000; here they are about 0.7 "
        "of the right ones",
    ),
    Fault(
        "noise_scaled",
        "multiplies the noise of the start by the deviation of its channel",
        "would make the deviations of two channels larger than they should be; here all "
        "shrink alike",
    ),
    Fault(
        "not_rescaled",
        "hands the scaled latents to the decoder as they are",
        "would have a deviation of 1 in all channels when encoding and decoding; here "
        "deviations are right there",
    ),
    Fault(
        "one_deviation",
        "takes the mean of the channels' deviations for all channels",
        "would give all channels one deviation when drawing from t = 1000; here they "
        "differ by a factor of 6, as they should",
    ),
    Fault(
        "roots_missing",
        r"takes $\bar\alpha_s$ and $1-\bar\alpha_s$ without their roots in a jump",
        "would leave deviations near 0 once a chain is run; here they are about 0.7 of the "
        "right ones",
    ),
    Fault(
        "scale_multiplied",
        "multiplies by the deviation when it encodes, where it must divide",
        "would have deviations of 0.125 and 27 when encoding and decoding; here they are "
        "right there",
    ),
)


@exercise("16.5", "vary", kind="bug", minutes=40, points=5, also=("faults",), lacks=ASKED)
def find_the_bug(answer, seed):
    yield from independent(
        naming(answer, FAULTS), _goes_round(answer, seed), _runs_the_chain(answer, seed)
    )


class _Parts:
    r"""An encoder, a decoder and a network that say what they are to say, and note it."""

    def __init__(self, latents, picture, says):
        self.latents, self.picture, self.says = latents, picture, says
        self.encoded, self.decoded, self.asked = [], [], []

    def encode(self, x):
        self.encoded.append(x)
        return self.latents

    def decode(self, z):
        shape = tuple(self.latents.shape)
        if not isinstance(z, torch.Tensor) or z.shape != shape:
            raise ValueError(f"decode wants latents {shape}, it got {article(z)}")
        self.decoded.append(z.detach())
        return self.picture

    def noise(self, z, t):
        if isinstance(t, torch.Tensor) and t.numel() == 1:
            t = t.item()
        if not isinstance(t, int) or isinstance(t, bool):
            raise ValueError(f"the network wants a step t, it got {article(t)}")
        self.asked.append((z.detach(), t))
        return self.says(z, t)


def _drawn(centred, *seed):
    r"""(latents, picture, eps, mean, deviation, alpha_bar) of random sizes."""
    B, C, h = whole(2, 4, *seed, 1), whole(2, 5, *seed, 2), whole(1, 3, *seed, 3)
    shape = (B, C, h, h + 1)
    mean = (0.5 + uniform((C,), *seed, 4)) * 2 * normal((C,), *seed, 5).sign()
    mean = 0 * mean if centred else mean
    deviation = (3 * uniform((C,), *seed, 6) - 1).exp()
    wide = (C, 1, 1)
    z = 2.5 * normal(shape, *seed, 7) * deviation.reshape(wide) + mean.reshape(wide)
    picture = 3 * normal((B, 1, 2 * h, 2 * h + 2), *seed, 8)
    gaps = 0.02 + uniform((whole(20, 60, *seed, 9),), *seed, 10)
    alpha_bar = torch.cat([gaps.new_ones(1), (-0.1 * gaps.cumsum(0)).exp()])
    return z, picture, normal(shape, *seed, 11), mean, deviation, alpha_bar


def _asked(answer, parts, alpha_bar, stops, x, eps, mean, deviation):
    parts.encoded, parts.decoded, parts.asked = [], [], []
    given = parts.encode, parts.decode, parts.noise, alpha_bar, list(stops)
    got = tensor(answer(*given, x, eps, mean, deviation), parts.picture, "the picture")
    expect(
        len(parts.encoded) == 1 and near(parts.encoded[0], x),
        f"the pictures x are encoded once, as they are; yours calls encode "
        f"{len(parts.encoded)} times",
    )
    expect(
        len(parts.decoded) == 1,
        f"the latents are decoded once, at the end; yours calls decode "
        f"{len(parts.decoded)} times",
    )
    expect(
        near(got, parts.picture),
        "what comes back is not what the decoder gave: is it changed after that?",
    )
    return parts.decoded[0]


def _goes_round(answer, seed):
    r"""With stops = [0] the latents come back as they were."""
    for k in range(3):
        z, picture, eps, mean, deviation, alpha_bar = _drawn(False, 1651, seed, k)
        parts = _Parts(z, picture, lambda z, t: torch.zeros_like(z))
        x = normal(tuple(picture.shape), 1652, seed, k)
        got = _asked(answer, parts, alpha_bar, [0], x, eps, mean, deviation)
        m, d = mean[:, None, None], deviation[:, None, None]
        suspects = (
            (
                d * ((z - m) / d + m),
                "what was done last when encoding, and is undone first?",
            ),
            (z + m, "is the mean subtracted when encoding?"),
            (z - m, "is the mean added when decoding?"),
            (
                (z - m) * d**2 + m,
                "is the deviation divided by once, and multiplied by once?",
            ),
            (
                (z - m) / d**2 + m,
                "is the deviation divided by once, and multiplied by once?",
            ),
            ((z - m) / d, "which latents does the decoder know?"),
            ((z - m) / d + m, "which latents does the decoder know?"),
            ((z / d - m) * d + m, "what was done last when encoding, and is undone first?"),
        )
        question = asked_about(got, suspects, "is everything undone that encoding does?")
        i = int((got - z).abs().amax((0, 2, 3)).argmax())
        expect(
            near(got, z, rtol=1e-9, atol=1e-9),
            f"without noise and without jumps the decoder should be given what the encoder "
            f"gave; in channel {i}, of mean {float(mean[i]):.4g} and deviation "
            f"{float(deviation[i]):.4g}, yours is off by up to "
            f"{float((got - z)[:, i].abs().max()):.3g}: {question}",
        )
        t = whole(len(alpha_bar) // 3, len(alpha_bar) - 1, 1656, seed, k)
        _asked(answer, parts, alpha_bar, [t, 0], x, eps, mean, deviation)
        a = alpha_bar[t]
        right = a.sqrt() * (z - m) / d + (1 - a).sqrt() * eps
        expect(
            len(parts.asked) == 1 and near(parts.asked[0][0], right, rtol=1e-8, atol=1e-9),
            f"at the start, t = {t}, the network should be given latents whose means are "
            f"{float(right.mean()):.4g} all in all, yours are "
            f"{float(parts.asked[0][0].mean()) if parts.asked else math.nan:.4g}: which "
            "mean and which deviation has a channel once it is scaled?",
        )
    yield 1, "what is encoded is decoded"


def _field(W):
    r"""Predictions that depend on z and on t, for latents of C channels."""

    def says(z, t):
        mixed = torch.einsum("ij,bjhw->bihw", W, z)
        return 2 * torch.sin(mixed + 0.1 * t) + 0.3 * z

    return says


def _by_jumps(says, alpha_bar, stops, z, eps, how=""):
    r"""The latents at the end, from scaled ones; with one or another slip."""
    a = alpha_bar[stops[0]]
    z = a.sqrt() * z + (0 if how == "clean" else (1 - a).sqrt()) * eps
    for t, s in pairwise(stops):
        a, b = alpha_bar[t], alpha_bar[s]
        noise = says(z, s if how == "late" else t)
        z_0 = (z - (1 - a).sqrt() * noise) / a.sqrt()
        z_0 = z_0.clamp(-1, 1) if how.startswith("clip") else z_0
        if how == "clip":
            noise = (z - a.sqrt() * z_0) / (1 - a).sqrt()
        roots = (b, 1 - b) if how == "roots" else (b.sqrt(), (1 - b).sqrt())
        z = roots[0] * z_0 + roots[1] * noise
    return z


HOW = {
    "clip": "between which numbers do latents lie?",
    "clip and keep": "between which numbers do latents lie?",
    "late": "at which step is z when the network is asked?",
    "roots": "by what are the guess and the noise multiplied in a jump?",
    "clean": "how much noise is there at the start?",
}


def _runs_the_chain(answer, seed):
    r"""With means of 0: what is noised, one jump, then a whole chain."""
    for k in range(3):
        _has_these_latents(answer, 1, 1653, seed, k)
    yield 1, "one jump in scaled latents"
    for k in range(3):
        _has_these_latents(answer, whole(2, 5, 1654, seed, k), 1655, seed, k)
    yield 1, "and a chain of jumps"


def _has_these_latents(answer, jumps, *seed):
    z, picture, eps, mean, deviation, alpha_bar = _drawn(True, *seed)
    C, T = len(mean), len(alpha_bar) - 1
    says = _field(normal((C, C), *seed, 20))
    cuts = (0.2 + uniform((jumps,), *seed, 21)).cumsum(0)
    last = 0 if whole(0, 1, *seed, 22) else 1
    stops = [last + max(i + 1, int(T * 0.9 * c / cuts[-1])) for i, c in enumerate(cuts)]
    stops = [*sorted(set(stops), reverse=True), last]
    parts = _Parts(z, picture, says)
    x = normal(tuple(picture.shape), *seed, 23)
    got = _asked(answer, parts, alpha_bar, stops, x, eps, mean, deviation)
    d = deviation[:, None, None]

    def wrong(how="", scale=d, noise=1.0):
        return scale * _by_jumps(says, alpha_bar, stops, z / scale, noise * eps, how)

    asked = len(parts.asked)
    expect(
        asked == len(stops) - 1,
        f"{len(stops) - 1} jumps are as many calls of the network, yours are {asked}",
    )
    right = wrong()
    a = alpha_bar[stops[0]]
    first = parts.asked[0][0]
    begun = a.sqrt() * z / d + (1 - a).sqrt() * eps
    suspects = (
        (a.sqrt() * z / d, "how much noise is there at the start?"),
        (a.sqrt() * z + (1 - a).sqrt() * eps, "are the latents scaled at the start?"),
        (a.sqrt() * z * d + (1 - a).sqrt() * eps, "larger or smaller, at the start?"),
        (a.sqrt() * z / d + (1 - a).sqrt() * eps * d, "is the noise scaled, too?"),
        (a.sqrt() * z / d + (1 - a).sqrt() * eps / d, "is the noise scaled, too?"),
        (
            a.sqrt() * z / d.mean() + (1 - a).sqrt() * eps,
            "has each channel a deviation of its own?",
        ),
        (a.sqrt() * z / d + (1 - a) * eps, "is the noise multiplied by a root?"),
        (eps, "what is left of the picture at the start?"),
    )
    question = asked_about(first, suspects, "which latents does the chain begin with?")
    expect(
        near(first, begun, rtol=1e-8, atol=1e-9),
        f"at t = {stops[0]}, where alpha_bar is {float(a):.4g}, the network is first "
        f"given latents that are off by up to {float((first - begun).abs().max()):.3g}: "
        f"{question}",
    )
    suspects = tuple((wrong(how), words) for how, words in HOW.items())
    question = asked_about(
        got, suspects, "what is known of z_0 and of the noise in a jump?"
    )
    expect(
        near(got, right, rtol=1e-7, atol=1e-8),
        f"with means of 0 and stops {', '.join(map(str, stops))}, what the decoder is "
        f"given is off by up to {float((got - right).abs().max()):.3g}: {question}",
    )
