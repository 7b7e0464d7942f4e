r"""The run with a bug of chapter 15: inpainting by replacement, as RePaint does it.

The check hands in denoisers and noise that it has chosen. What is put back is a straight
line in the known part and in its noise, so that the two weights are seen one by one.
"""

from itertools import pairwise

import torch

from .bugs import Fault, independent, naming
from .ch08 import asked_about, drawn_schedule
from .ch15 import ASKED
from .exercise import apart, article, exercise, expect, near, normal, steps, tensor, whole

# What `otherwise` says was measured: figures/bugs_inpaint.py, bugs_inpaint.json.
FAULTS = (
    Fault(
        "known_at_t",
        "puts the known part back with the noise level of $t$, and not that of $s$",
        unexplained="the mean of the known entry, which is too small at every t",
    ),
    Fault(
        "known_no_root",
        r"gives the noise of the known part the weight $1-\bar\alpha$, without a root",
        unexplained="the deviation of the known entry, which is too small at t = 200",
    ),
    Fault(
        "known_clean",
        "puts the known part back without noise",
        "would leave no deviation of the known entry at any t; here there is some",
    ),
    Fault(
        "known_not_shrunk",
        r"puts the known part back without the factor $\sqrt{\bar\alpha}$",
        "would have 1.50 for the mean of the known entry at t = 600; here it is near 0.2",
    ),
    Fault(
        "mask_turned",
        "exchanges the known entries and the others",
        "would have 0 for the mean of the known entry at the end; here it is 1.49",
    ),
    Fault(
        "not_at_the_last_stop",
        "puts nothing back at the last stop",
        "would miss the 1.50 at the end more with 5 rounds than with 1; here it does not",
    ),
    Fault(
        "asked_at_s",
        "asks the network with $s$, and not with $t$",
        "would not change the known entry; here its rows are off",
    ),
    Fault(
        "large_variance",
        r"draws the step with the variance $\beta$ of the jump, and not the posterior's",
        "would not change the known entry; here its rows are off",
    ),
    Fault(
        "never_forward",
        "repeats the step without going back to $t$ in between",
        "would not change the rows with 1 round; here they are off, too",
    ),
    Fault(
        "forward_from_0",
        r"goes back to $t$ with noise of variance $1-\bar\alpha_t$",
        "would not change the rows with 1 round; here they are off, too",
    ),
    Fault(
        "forward_not_shrunk",
        r"goes back to $t$ without the factor $\sqrt{1-\beta}$",
        "would not change the rows with 1 round; here they are off, too",
    ),
    Fault(
        "forward_at_the_end",
        "goes back to $t$ after the last round, too, before the next jump",
        "would not change the known entry; here its rows are off",
    ),
)


@exercise(
    "15.5", "inpaint", kind="bug", minutes=45, points=5, also=("faults",), lacks=ASKED
)
def find_the_bug(answer, seed):
    yield from independent(
        naming(answer, FAULTS),
        _puts_back_at_s(answer, seed),
        _squares_add_up(answer, seed),
        _walks(answer, seed),
    )


def _drawn(answer, denoise, alpha_bar, stops, x, known, mask, noise):
    def asked(x, t):
        if not isinstance(x, torch.Tensor) or x.dim() != 2 or x.dtype != torch.float64:
            raise ValueError(f"denoise takes x (B, D) in float64, it got {article(x)}")
        t = t.item() if isinstance(t, torch.Tensor) and t.numel() == 1 else t
        if not isinstance(t, int) or isinstance(t, bool):
            raise ValueError(f"denoise takes t as one whole number, it got {article(t)}")
        return denoise(x, t)

    got = answer(asked, alpha_bar, list(stops), x, known, mask, noise)
    return tensor(got, x, "x at the last stop")


def _case(seed, k, rounds, last=None):
    r"""Everything that goes in; the mask has one entry of each kind at least."""
    schedule = drawn_schedule(k % 3, 1561, seed, k)
    T, D = schedule.T, whole(3, 5, 1562, seed, k)
    inner = sorted(set(steps(T // 6, T * 5 // 6, 4, 1563, seed, k).tolist()), reverse=True)
    end = whole(1, T // 10, 1564, seed, k) if last is None else last
    stops = [*inner, end]
    x, known = (normal((4, D), 1565, seed, k, i) for i in range(2))
    mask = normal((D,), 1566, seed, k) > 0
    mask[k % D], mask[(k + 1) % D] = True, False
    noise = normal((len(stops) - 1, rounds, 3, 4, D), 1567, seed, k)
    W = normal((D, D), 1568, seed, k) / 2

    def denoise(x, t):
        return torch.tanh(x @ W.T + t / T)

    return denoise, schedule.alpha_bar, stops, x, known, mask, noise


def _puts_back_at_s(answer, seed):
    r"""Without noise for it, the known part is what it is, times a weight."""
    for k in range(4):
        denoise, of, stops, x, known, mask, noise = _case(seed, k, 1, 0 if k == 3 else None)
        noise[:, :, 0] = 0
        got = _drawn(answer, denoise, of, stops, x, known, mask, noise)[:, mask]
        before, s = stops[-2:]
        kept = known[:, mask]
        right = of[s].sqrt() * kept
        suspects = (
            (of[before].sqrt() * kept, "which noise level has x after the jump?"),
            (of[s] * kept, "is alpha_bar a weight, or its square?"),
            (kept, "how much of the picture is in x at this stop?"),
            (0 * kept, "where is the known part?"),
        )
        question = asked_about(got, suspects, "how much of the known part does x have?")
        mine, wanted = apart(float(got[0, 0] / kept[0, 0]), float(of[s].sqrt()))
        expect(
            near(got, right, rtol=1e-8),
            f"after a jump from t = {before} to {s} of {len(of) - 1} the known part should "
            f"be there {wanted} times, by your code it is {mine} times: {question}",
        )
    yield 1, "the known part has the right level"


def _squares_add_up(answer, seed):
    r"""The two weights of the known part, whatever stop they belong to."""
    for k in range(3):
        denoise, of, stops, x, known, mask, noise = _case(seed, k, 1)
        base = _drawn(answer, denoise, of, stops, x, known, mask, noise)[:, mask]
        more = torch.ones_like(known)
        with_known = _drawn(answer, denoise, of, stops, x, known + more, mask, noise)
        added = noise.clone()
        added[:, :, 0] += 1
        with_noise = _drawn(answer, denoise, of, stops, x, known, mask, added)
        signal = float((with_known[:, mask] - base).mean())
        share = float((with_noise[:, mask] - base).mean())
        right = (max(1 - signal**2, 0.0)) ** 0.5
        suspects = (
            (right**2, "is the weight of the noise a variance, or a deviation?"),
            (0.0, "where is the noise of the known part?"),
            (1 - signal, "do the weights add up to 1, or their squares?"),
            (1.0, "how much noise has x at this stop?"),
            (right**0.5, "is the weight of the noise a deviation, or its root?"),
        )
        question = asked_about(
            share, suspects, "what do the squares of the weights add to?"
        )
        expect(
            near(signal**2 + share**2, 1.0, rtol=1e-7),
            f"your known part has the weights {signal:.4g} and {share:.4g}, the squares "
            f"add up to {signal**2 + share**2:.4g}: {question}",
        )
    yield 1, "and the right noise"


def _states(denoise, of, stops, x, known, mask, noise, how=""):
    r"""x at the last stop, with one or another slip."""
    mask = ~mask if how == "mask" else mask
    for (t, s), rounds in zip(pairwise(stops), noise, strict=True):
        beta = 1 - of[t] / of[s]
        for r, (z_known, z_step, z_forward) in enumerate(rounds):
            z_step, z_known = (z_known, z_step) if how == "order" else (z_step, z_known)
            guess = denoise(x, s if how == "asked" else t)
            drawn = of[s].sqrt() * beta / (1 - of[t]) * guess
            drawn = drawn + (1 - beta).sqrt() * (1 - of[s]) / (1 - of[t]) * x
            variance = beta * (1 - of[s]) / (1 - of[t])
            variance = beta if how == "large" else variance
            variance = variance**2 if how == "no root" else variance
            drawn = drawn + variance.sqrt() * z_step
            given = of[s].sqrt() * known + (1 - of[s]).sqrt() * z_known
            x = torch.where(mask, given, drawn)
            if how == "never" or (r == len(rounds) - 1 and how != "always"):
                continue
            added = 1 - of[t] if how == "from 0" else beta
            kept = 1.0 if how == "kept" else (1 - beta).sqrt()
            x = kept * x + (added if how == "bare" else added.sqrt()) * z_forward
    return x


SLIPS = (
    ("mask", "which entries are known, those where mask is true?"),
    ("order", "which noise is for the known part?"),
    ("asked", "which t is that of the state that the network sees?"),
    ("large", "which variance has x_s, if x_0 is known?"),
    ("no root", "is the noise of the step multiplied by a variance?"),
    ("never", "where does x go between two rounds?"),
    ("always", "after which rounds does x go back to t?"),
    ("from 0", "how much noise lies between s and t?"),
    ("kept", "does x shrink where noise is added?"),
    ("bare", "is the noise of the way forward multiplied by a variance?"),
)


def _walks(answer, seed):
    for k in range(4):
        given = _case(seed, k + 4, 1 + k, 0 if k == 2 else None)
        got = _drawn(answer, *given)
        right = _states(*given)
        suspects = [(_states(*given, how), question) for how, question in SLIPS]
        question = asked_about(got, suspects, "what happens in a round, and between two?")
        mask = given[5]
        off = (got - right).abs()
        expect(
            near(got, right, rtol=1e-7, atol=1e-9),
            f"through {len(given[2]) - 1} jumps with {1 + k} round{'s' * (k > 0)} x is off "
            f"by up to {float(off[:, mask].max()):.3g} where it is known and "
            f"{float(off[:, ~mask].max()):.3g} where it is not: {question}",
        )
    yield 1, "through all jumps and rounds"
