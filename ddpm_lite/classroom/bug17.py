r"""The run with a bug of chapter 17: a batch in parts, and the average of the weights.

The check hands in gradients of its own, which note where they are asked. The weights are
held against parts of unequal sizes, the average against parts of equal ones, where both
ways to put gradients together agree.
"""

import torch

from .bugs import Fault, independent, naming
from .ch08 import asked_about
from .ch17 import ASKED
from .exercise import (
    article,
    between,
    exercise,
    expect,
    near,
    normal,
    several,
    tensor,
    whole,
)

# What `otherwise` says was measured: figures/bugs_parallel.py, bugs_parallel.json.
FAULTS = (
    Fault(
        "mean_of_means",
        "gives the gradients of all parts the same weight, whatever their sizes",
        unexplained="where w ends with parts of unequal sizes",
    ),
    Fault(
        "average_for_each_part",
        "updates the average after each part, and not after each update of the weights",
        unexplained="that the average is early with more parts, and w is not",
    ),
    Fault(
        "average_before_step",
        "takes the weights from before the step into the average",
        "would make the average late by one update with one part already; here that row is "
        "right",
    ),
    Fault(
        "decay_exchanged",
        "keeps 1 - decay of the average and takes decay of the weights",
        "would let the average follow w at once, with one part already; here that row is "
        "right",
    ),
    Fault(
        "divided_twice",
        "divides the mean gradient by the number of parts once more",
        "would make w slower with four equal parts; here w is as fast as it should be",
    ),
    Fault(
        "first_part_for_all",
        "hands the first part to all ranks",
        "would end near 1 with four equal parts in sorted order; here w ends at 3 there",
    ),
    Fault(
        "gradient_kept",
        "does not set the gradient to zero after an update",
        "would bring w half way sooner with one part already; here that row is right",
    ),
    Fault(
        "last_part_only",
        "keeps the gradient of the last part, and does not add the others",
        "would end above 6 with four equal parts in sorted order; here w ends at 3 there",
    ),
    Fault(
        "rate_times_parts",
        "multiplies the learning rate by the number of parts",
        "would make w faster with four equal parts; here w is as fast as it should be",
    ),
    Fault(
        "step_for_each_part",
        "makes a step of the weights after each part",
        "would make w faster with four equal parts; here w is as fast as it should be",
    ),
    Fault(
        "sum_of_parts",
        "adds the mean gradients of the parts up, and does not divide",
        "would make w faster with four equal parts; here w is as fast as it should be",
    ),
    Fault(
        "sum_over_examples",
        "takes the sum over all examples for their mean",
        "would bring w half way sooner with one part already; here that row is right",
    ),
)


@exercise("17.5", "train", kind="bug", minutes=35, points=5, also=("faults",), lacks=ASKED)
def find_the_bug(answer, seed):
    yield from independent(
        naming(answer, FAULTS), _steps(answer, seed), _averages(answer, seed)
    )


class _Gradient:
    r"""The mean gradient of a part, no line in w, which notes where it is asked."""

    def __init__(self, like):
        self.like, self.asked = like, []

    def __call__(self, w, part):
        for name, value in (("w", w), ("a part", part)):
            if not isinstance(value, torch.Tensor) or value.dtype != self.like.dtype:
                raise ValueError(f"gradient wants {name} as a tensor, got {article(value)}")
        if w.shape != self.like.shape:
            raise ValueError(f"gradient wants w {tuple(self.like.shape)}, got {article(w)}")
        self.asked.append((w.detach(), part.detach()))
        return _mean_gradient(w, part)


def _mean_gradient(w, part):
    return (torch.sin(w - part) + 0.3 * w + part**2 / 3).mean(0)


def _drawn(updates, equal, *seed, dtype=torch.float64):
    r"""(w, updates, rate, decay): batches in parts of equal sizes or of others."""
    D = whole(1, 4, *seed, 1)
    made = []
    for u in range(updates):
        count, size = whole(2, 5, *seed, 2, u), whole(1, 6, *seed, 3, u)
        sizes = [
            size if equal else size + 3 * (k % 2) + whole(0, 2, *seed, 4, u, k)
            for k in range(count)
        ]
        made.append(
            [normal((n, D), *seed, 5, u, k, dtype=dtype) for k, n in enumerate(sizes)]
        )
    w = normal((D,), *seed, 6, dtype=dtype)
    return w, made, between(0.05, 0.3, *seed, 7), between(0.5, 0.95, *seed, 8)


def _right(w, updates, rate, decay, how=""):
    r"""(w, its average) with a whole batch at once, or with a slip."""
    average, kept = w, torch.zeros_like(w)
    for parts in updates:
        before, P = w, len(parts)
        slopes = torch.stack([_mean_gradient(w, part) for part in parts])
        sizes = torch.tensor([len(part) for part in parts]).to(w)
        whole_batch = _mean_gradient(w, torch.cat(parts))
        slope = {
            "equal": slopes.mean(0),
            "sum": slopes.sum(0),
            "twice": whole_batch / P,
            "times": whole_batch * P,
            "examples": whole_batch * sizes.sum(),
            "first": slopes[0],
            "last": slopes[-1],
            "last share": slopes[-1] * sizes[-1] / sizes.sum(),
            "kept": kept + whole_batch,
            "none": 0 * whole_batch,
        }.get(how, whole_batch)
        kept = kept + whole_batch
        if how == "each":
            for part in parts:
                w = w - rate * _mean_gradient(w, part)
        else:
            w = w - rate * slope if how != "up" else w + rate * slope
        seen = [w]
        if how == "average each":
            seen = [before] * (P - 1) + [w]
        if how == "average often":
            seen = [w] * P
        if how == "average before":
            seen = [before]
        for one in seen:
            of = 1 - decay if how == "exchanged" else decay
            average = of * average + (1 - of) * one
    return w, average


OF_W = {
    "equal": "how many examples stand behind each gradient?",
    "sum": "is it the sum over parts, or the mean over examples?",
    "twice": "is it divided by the number of parts once more?",
    "times": "is the step multiplied by the number of parts?",
    "examples": "is it the sum over examples, or the mean?",
    "first": "what do the other parts say?",
    "last": "what do the other parts say?",
    "last share": "what do the other parts say?",
    "each": "how many steps does one batch make?",
    "kept": "with which gradient does the next update begin?",
    "up": "which way does a step go?",
    "none": "do the weights move?",
}
OF_AVERAGE = {
    "average each": "how often is the average updated, for one step of the weights?",
    "average often": "how often is the average updated, for one step of the weights?",
    "average before": "are these the weights before the step, or after it?",
    "exchanged": "how much of the average is kept?",
}


def _trained(answer, w, updates, rate, decay):
    model = _Gradient(w)
    given = [list(parts) for parts in updates]
    got = several(answer(model, w, given, rate, decay), 2, "the weights and their average")
    return tensor(got[0], w, "w"), tensor(got[1], w, "the average"), model


def _steps(answer, seed):
    for k in range(3):
        _moves(answer, 1, torch.float64, 1751, seed, k)
    yield 1, "one update of the weights"
    for k, dtype in enumerate((torch.float64, torch.float64, torch.float32)):
        _moves(answer, whole(2, 5, 1752, seed, k), dtype, 1753, seed, k)
    yield 1, "and several"


def _moves(answer, count, dtype, *seed):
    drawn = _drawn(count, False, *seed, dtype=dtype)
    updates = drawn[1]
    got, _, model = _trained(answer, *drawn)
    right = _right(*drawn)[0]
    suspects = tuple((_right(*drawn, how)[0], words) for how, words in OF_W.items())
    question = asked_about(got, suspects, "what is the gradient of the whole batch?")
    sizes = " and ".join(
        ", ".join(str(len(part)) for part in parts) for parts in updates[:2]
    )
    off = float((got - right).abs().max())
    loose = 1e-9 if dtype == torch.float64 else 1e-4
    expect(
        near(got, right, rtol=loose, atol=loose),
        f"after {count} update{'s' * (count > 1)} with parts of {sizes} examples w is off "
        f"by up to {off:.3g}, next to the whole batch at once: {question}",
    )
    parts = sum(map(len, updates))
    expect(
        len(model.asked) == parts,
        f"{parts} parts need as many gradients, yours asks for {len(model.asked)}",
    )


def _averages(answer, seed):
    for k in range(4):
        count = (1, 2, 4, 6)[k]
        drawn = _drawn(count, True, 1754, seed, k)
        _, got, _ = _trained(answer, *drawn)
        right = _right(*drawn)[1]
        end = _right(*drawn)[0]
        suspects = (
            *((_right(*drawn, how)[1], words) for how, words in OF_AVERAGE.items()),
            (end, "is that the average, or the weights?"),
            (drawn[0], "does the average move?"),
        )
        question = asked_about(got, suspects, "which weights are averaged, and how often?")
        expect(
            near(got, right, rtol=1e-9, atol=1e-10),
            f"after {count} update{'s' * (count > 1)} with {len(drawn[1][0])} equal parts "
            f"in the first, a decay of {drawn[3]:.4g}: the average is off by up to "
            f"{float((got - right).abs().max()):.3g}: {question}",
        )
    yield 1, "the average"
