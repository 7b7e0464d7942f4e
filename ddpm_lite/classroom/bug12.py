r"""The run with a bug of chapter 12: guided DDIM, asked for digits of a class.

The check hands in networks whose answers it has chosen for each label, and which note the
labels that they are asked for: from the end of one jump follow the weights of the two
answers.
"""

import math
from collections import Counter
from itertools import pairwise

import torch

from .bugs import Fault, independent, naming
from .ch08 import drawn_clip, drawn_schedule
from .ch12 import ASKED, Networks
from .exercise import apart, between, exercise, expect, near, normal, steps, tensor, whole

# What `otherwise` says was measured: figures/bugs_guidance.py, bugs_guidance.json.
FAULTS = (
    Fault(
        "null_is_class_0",
        "asks for class 0 where it should ask without a label",
        unexplained="that the scale changes nothing for class 0, and much for the others",
    ),
    Fault(
        "one_plus_gamma",
        r"takes $1+\gamma$ for $\gamma$, the other paper's formula",
        unexplained="that with a scale of 0 the label counts, where it should not",
    ),
    Fault(
        "halves_exchanged",
        "takes the half of the batch with labels for the one without, and the other way "
        "round",
        "would end in the wrong class with a scale of 2; here it ends on the right side",
    ),
    Fault(
        "sign_turned",
        r"has $\hat\varepsilon_\varnothing-\gamma\,"
        r"(\hat\varepsilon_y-\hat\varepsilon_\varnothing)$",
        "would end in the wrong class with each scale above 0; here it ends in the right "
        "one",
    ),
    Fault(
        "guided_twice",
        "applies the formula to its own result once more",
        "would be right with a scale of 0 and with 1; here both are off",
    ),
    Fault(
        "no_null",
        r"has $\gamma\,\hat\varepsilon_y$, without the prediction that has no label",
        "would leave numbers in the thousands with a scale of 0; here there are clean "
        "samples",
    ),
    Fault(
        "first_label",
        "asks for the label of the first example, whatever those of the others are",
        "would draw class 0 in the rows of class 1, too, where the first label is 0; here "
        "they are on the right side",
    ),
    Fault(
        "null_at_s",
        "asks the network without a label at $t=s$, where the jump ends",
        "would leave a scale of 1 as it should be; here it is not",
    ),
    Fault(
        "second_half",
        "guides in the second half of the jumps only, and has the prediction of the label "
        "before that",
        "would leave a scale of 1 as it should be; here it is not",
    ),
    Fault(
        "clipped_apart",
        r"clips the two guesses of $x_0$ and then puts them together",
        "would change nothing where nothing is clipped, in the rows of the exact networks; "
        "here they are off",
    ),
    Fault(
        "not_clipped",
        r"leaves $\hat x_0$ as it is",
        "would change nothing where nothing is clipped, in the rows of the exact networks; "
        "here they are off",
    ),
    Fault(
        "noise_kept",
        r"keeps $\hat\varepsilon$ as it was before $\hat x_0$ was clipped",
        "would change nothing where nothing is clipped, in the rows of the exact networks; "
        "here they are off",
    ),
)


@exercise(
    "12.6", "draw_class", kind="bug", minutes=45, points=5, also=("faults",), lacks=ASKED
)
def find_the_bug(answer, seed):
    yield from independent(
        naming(answer, FAULTS), _asks(answer, seed), _weighs(answer, seed)
    )


class _Said(Networks):
    r"""A network that gives back said(x, t, y), and notes what it is asked."""

    def __init__(self, said):
        self.said, self.calls = said, []

    def says(self, x, t, y):
        return self.said(x, t, y).to(x.dtype)


def _chain(seed, *more):
    r"""alpha_bar and stops that fall to 0."""
    schedule = drawn_schedule(whole(0, 2, 1261, seed, *more), 1262, seed, *more)
    parts = (0.4 + torch.rand(5, generator=_generator(1263, seed, *more))).cumsum(0)
    stops = (0.9 * schedule.T * (1 - parts / parts[-1])).round().long()[:-1].tolist()
    return schedule.alpha_bar, [int(0.95 * schedule.T), *stops, 0]


def _generator(*seed):
    return torch.Generator().manual_seed(whole(0, 2**31 - 1, *seed))


def _asks(answer, seed):
    r"""For which labels is the network asked, and when?"""
    for k in range(3):
        alpha_bar, stops = _chain(seed, k)
        none, gamma = whole(4, 9, 1264, seed, k), between(1.5, 4, 1265, seed, k)
        y = steps(1, none - 1, 5, 1266, seed, k)
        y[1] = y[0] % (none - 1) + 1  # two classes at least, none of them 0
        model = _Said(lambda x, t, y: 0.1 * x)
        x = normal((5, 2), 1267, seed, k)
        tensor(answer(model, alpha_bar, stops, x, y, none, gamma, (-9.0, 9.0)), x, "x_0")
        asked = {}
        for _, t, labels in model.calls:
            for at, label in zip(t.tolist(), labels.tolist(), strict=True):
                asked.setdefault(at, []).append(label)
        wanted = sorted(y.tolist() + 5 * [none])
        expect(
            list(asked) == stops[:-1],
            f"with the stops {stops} the network should be asked at {stops[:-1]}, yours is "
            f"asked at {list(asked)}",
        )
        for at, labels in asked.items():
            few = Counter(wanted) - Counter(labels)
            expect(
                sorted(labels) == wanted,
                f"with the labels {y.tolist()} and the null label {none} your network is "
                f"asked at t = {at} for {sorted(labels)}, and not for "
                f"{sorted(few.elements())}: which label stands for no class, and which "
                "labels belong to the examples?",
            )
    yield 1, "the network is asked for the labels, and for none"


def _weighs(answer, seed):
    r"""The weights of the two answers, then the whole chain."""
    for k in range(3):
        alpha_bar, stops = _chain(seed, 10 + k)
        gamma = between(1.5, 4, 1268, seed, k)
        for scale in (gamma, 0.0, between(0.2, 0.8, 1269, seed, k)):
            _has_these_weights(answer, alpha_bar, stops[k], scale, seed, k)
    yield 1, "the two answers have the right weights"
    for k, shape in enumerate(((4, 1, 3, 3), (3, 5), (1, 2, 3), (6,))):
        _is_exact(answer, shape, seed, k)
    yield 1, "and the whole chain is right"


def _has_these_weights(answer, alpha_bar, t, gamma, seed, k):
    a, label = float(alpha_bar[t]), whole(1, 3, 1270, seed, k)
    y, x = torch.full((2,), label), 1.5 + normal((2,), 1271, seed, k).abs()

    def end(of_y, of_none):
        model = _Said(lambda x, t, y: torch.where(y == label, of_y, of_none).to(x.dtype))
        wide = (-1e9, 1e9)
        x_0 = tensor(answer(model, alpha_bar, [t, 0], x, y, 5, gamma, wide), x, "x_0")
        return float(((x - math.sqrt(a) * x_0) / math.sqrt(1 - a)).mean())

    nothing = end(0.0, 0.0)
    expect(
        abs(nothing) < 1e-6,
        f"with a network that says 0 and no limits in reach, a jump from t = {t} to 0 "
        f"gives you an x_0 in which noise of {nothing:.4g} was taken off: which two "
        "numbers are the limits?",
    )
    with_label, without = end(1.0, 0.0) - nothing, end(0.0, 1.0) - nothing
    got = torch.tensor([with_label, without])
    suspects = (
        ([1 + gamma, -gamma], "which scale leaves the answer with the label as it is?"),
        ([1 - gamma, gamma], "which of the two answers is the one with the label?"),
        ([-gamma, 1 + gamma], "which way is it from one answer to the other?"),
        ([gamma, 0.0], "where is the answer without a label?"),
        ([gamma**2, 1 - gamma**2], "how often do you guide?"),
        ([1.0, 0.0], "where does the scale come in?"),
        ([gamma - 1, 2 - gamma], "which scale leaves the answer with the label as it is?"),
    )
    found = [q for weights, q in suspects if near(got, weights, 1e-5, 1e-6)]
    question = [*found, "what do the two weights add up to?"][0]
    expect(
        near(got, [gamma, 1 - gamma], rtol=1e-5, atol=1e-6),
        f"in a jump from t = {t} with gamma = {gamma:.4g}, the answer with the label has "
        f"the weight {with_label:.4g} in your noise, the other one {without:.4g}: "
        f"{question}",
    )


def _walked(model, alpha_bar, stops, x, y, none, gamma, clip, cut="guess", kept=False):
    r"""The chain, with one or another slip."""
    for t, s in pairwise(stops):
        a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
        at = torch.full((len(x),), t)

        def guess(noise, a_t=a_t, x=x):
            return (x - math.sqrt(1 - a_t) * noise) / math.sqrt(a_t)

        of_y, of_none = (model(x, at, v) for v in (y, torch.full_like(y, none)))
        noise = of_none + gamma * (of_y - of_none)
        x_0 = guess(noise)
        if cut == "apart":
            x_0 = torch.lerp(guess(of_none).clamp(*clip), guess(of_y).clamp(*clip), gamma)
        elif cut == "guess":
            x_0 = x_0.clamp(*clip)
        elif callable(cut):
            x_0 = cut(x_0, *clip)
        if not kept:
            noise = (x - math.sqrt(a_t) * x_0) / math.sqrt(1 - a_t)
        x = math.sqrt(a_s) * x_0 + math.sqrt(1 - a_s) * noise
    return x


def _is_exact(answer, shape, seed, k):
    r"""Whole chains, for batches of several forms, with limits that are not alike."""
    alpha_bar, stops = _chain(seed, 20 + k)
    clip, none = drawn_clip(1272, seed, k), whole(3, 9, 1273, seed, k)
    gamma, y = between(1.5, 4, 1274, seed, k), steps(0, none - 1, shape[0], 1275, seed, k)
    x, model = 2 * normal(shape, 1276, seed, k), Networks(whole(0, 9999, 1277, seed, k))
    given = (alpha_bar, stops, x, y, none, gamma, clip)
    got = tensor(answer(model, *given), x, "x_0")
    right = _walked(model.says, *given)
    off = float((got - right).abs().max())
    suspects = (
        (dict(cut="none"), "is the guess clipped? What was right in the code as it was?"),
        (dict(cut="apart"), "are two clipped guesses, put together, in the range again?"),
        (dict(kept=True), "do guess and noise still belong to the same x_t?"),
        (dict(cut=lambda x, a, b: x.clamp(-b, b)), "which two numbers are the limits?"),
        (dict(cut=lambda x, a, b: x.clamp(-1, 1)), "which two numbers are the limits?"),
    )
    found = [
        q for how, q in suspects if near(got, _walked(model.says, *given, **how), 1e-6)
    ]
    question = [*found, "which label, which t and which state belong together?"][0]
    if 1e-9 < off < 1e-4:
        question = "x is float64; is it float64 all the way?"
    mine, wanted = apart(*(float(v.square().mean().sqrt()) for v in (got, right)))
    expect(
        off < 1e-9,
        f"for x of shape {tuple(shape)}, labels {y.tolist()}, gamma = {gamma:.4g} and clip "
        f"= ({clip[0]:.4f}, {clip[1]:.4f}), your samples through {stops} are off by up to "
        f"{off:.3g} (their size is {mine}, of the right ones {wanted}): {question}",
    )
    small = normal((2, 1, 3, 3), 1278, seed, k, dtype=torch.float32)
    tensor(
        answer(model, alpha_bar, stops, small, y[:1].expand(2), none, gamma, clip),
        small,
        "x_0",
    )
