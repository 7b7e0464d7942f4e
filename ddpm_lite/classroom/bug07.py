r"""The run with a bug of chapter 07: the loop of updates, and the average of the weights.

The check hands in the gradient, a function that looks at the weights and the batch that it
is given.
"""

import torch

from .bugs import Fault, independent, naming
from .exercise import apart, exercise, expect, near, normal, several, steps, tensor, uniform

# What `otherwise` says of a fault was measured where figures/bugs.py trains it alone.
FAULTS = (
    Fault(
        "flips",
        "mirrors half of the pictures, left to right",
        "would turn every second sample left to right, those of the weights too; here the "
        "weights draw digits that can be read",
    ),
    Fault(
        "ema_from_zero",
        "starts the average at zero and not at the weights",
        unexplained="how long the average is beside the weights, update by update",
    ),
    Fault(
        "ema_slow",
        "takes a decay that is too high for so short a run, 0.9999",
        "would leave the average near the first weights, about as long as the weights from "
        "the first update on; here it starts with nearly no length",
    ),
    Fault(
        "ema_swapped",
        "gives the share of the old average to the new weights, and the other way round",
        "would make the average the same as the weights, with the same loss",
    ),
    Fault(
        "ema_in_training",
        "goes on training from the average, which it writes into the weights",
        "would slow the weights down, the loss would hardly fall after the first updates",
    ),
    Fault(
        "same_batch",
        "draws the same pictures at every update",
        "would let the loss on the pictures of the batch fall far below that on others, "
        "and every sample would be one of few pictures; the weights' samples vary here",
    ),
    Fault(
        "range",
        "trains on pictures from 0 to 1, and draws from -1 to 1",
        "would put the paper of every sample at a middle grey; here it is black",
    ),
    Fault(
        "not_divided",
        "adds the gradients of four parts of a batch, and does not divide by four",
        "would quadruple the loss in the curve, from 4 on; Adam and clipping take the "
        "factor out of the updates",
    ),
)


@exercise("07.6", "train", kind="bug", minutes=40, points=4, also=("faults",))
def find_the_bug(answer, seed):
    yield from independent(naming(answer, FAULTS, each=2), _repaired(answer, seed))


def _repaired(answer, seed):
    yield from _average(answer, seed)
    _pictures(answer, seed)
    yield 1, "and the rest of the loop is as it was"


def _run(answer, pictures, w, gradient, count, decay, seed, lr=0.1):
    r"""((w, ema), [(w, batch), ...]) of a run whose gradient is gradient(n, w, batch)."""
    seen = []

    def asked(w, x):
        if not (isinstance(w, torch.Tensor) and isinstance(x, torch.Tensor)):
            raise ValueError("gradient takes the weights and a batch, two tensors")
        seen.append((w, x))
        return gradient(len(seen) - 1, w, x)

    got = several(answer(pictures, w, asked, count, lr, decay, seed), 2, "(w, ema)")
    expect(
        len(seen) == count,
        f"for {count} updates the gradient is asked for {len(seen)} times",
    )
    for value, what in zip(got, ("w", "ema"), strict=True):
        tensor(value, w, what)
    for n, (at, _) in enumerate(seen):
        tensor(at, w, f"in update {n} the w that gradient is given")
    return got, seen


def _pictures(answer, seed):
    r"""Are the batches made of the pictures as they are, and of all of them?"""
    H, W = steps(3, 6, 2, 771, seed).tolist()
    N = int(steps(10, 16, 1, 781, seed))
    pictures, w = uniform((N, 1, H, W), 772, seed) * 2 - 1, normal((4,), 773, seed)

    def batches(seed):
        _, seen = _run(
            answer, pictures, w, lambda n, w, x: torch.zeros_like(w), 25, 0.9, seed
        )
        return seen

    seen, own = batches(seed % 1000), seed % 1000
    shape, used = (8, *pictures.shape[1:]), []
    for n, (_, x) in enumerate(seen):
        expect(
            tuple(x.shape) == shape,
            f"a batch should have the shape {shape}, in update {n} it has {tuple(x.shape)}",
        )
        same = (x[:, None] == pictures[None]).flatten(2).all(2)  # (8, N)
        strange = int((~same.any(1)).sum())
        expect(
            strange == 0,
            f"in update {n}, {strange} of the 8 pictures of the batch are in no place of "
            "the data: what will the network draw that has learned them, and does the "
            "data allow it?",
        )
        used.append(same.double().argmax(1))
    counts = torch.bincount(torch.cat(used), minlength=N)
    expect(
        int(counts.min()) > 0,
        f"after 25 batches of 8, {int((counts == 0).sum())} of {N} pictures were never "
        "seen: is every batch drawn anew?",
    )
    for more in (1, 10, 16, 100, 1000):
        again, other = (
            all(torch.equal(x, y) for (_, x), (_, y) in zip(seen, batches(s), strict=True))
            for s in (own, own + more)
        )
        expect(
            again and not other,
            f"another run with the seed {own} sees {'the same' if again else 'other'} "
            f"pictures, one with {own + more} {'the same' if other else 'others'}: what is "
            "drawn from the seed?",
        )


def _average(answer, seed):
    r"""Do the shares add up to 1, does it forget as decay says, are the weights trained?"""
    pictures, w = uniform((16, 1, 3, 3), 774, seed), 1 + uniform((4,), 775, seed)
    decay = 0.6 + 0.25 * float(uniform((1,), 776, seed))

    def still(n, w, x):
        return torch.zeros_like(w)

    for count in (1, 2, 5, 20):
        (end, ema), _ = _run(answer, pictures, w, still, count, decay, seed % 1000)
        expect(near(end, w), "with a gradient of 0 the weights should stay as they are")
        share = float((ema / w).mean())
        expect(
            near(ema, w, 1e-6),
            f"the gradient is 0 and the weights stay where they are; after {count} updates "
            f"the average is {apart(share, 1, digits=5)[0]} times as long as they: what "
            "should the average of numbers that are all the same be?",
        )
    yield 1, "the average of weights that stay is those weights"
    lr = 0.02 + 0.3 * float(uniform((1,), 779, seed))
    _moves_to_the_weights(answer, pictures, w, decay, lr, seed)
    after = int(steps(2, 9, 1, 777, seed))
    count, step = 60 + after, normal((4,), 778, seed)

    def once(n, w, x):
        return step if n == count - after else torch.zeros_like(w)

    (end, ema), _ = _run(answer, pictures, w, once, count, decay, seed % 1000, lr)
    went = float((w - end) @ step / (step @ step))
    expect(
        near(end, w - lr * step),
        "one gradient should move w once, lr times, downhill; with lr = {1}, yours goes "
        "{0} of it".format(*apart(went, lr)),
    )
    way = float((ema - w) @ (end - w) / ((end - w) @ (end - w)))
    expect(
        abs(way - (1 - decay**after)) < 2e-3,
        f"decay {decay:.4f}: after {count} updates, {after} of them since the weights "
        f"moved, the average has gone {way:.4f} of the way to them; is the share of the "
        "old average in each update the decay?",
    )
    first = pictures.mean()

    def pulls(n, w, x):
        return (w - first) * (1 + x.mean())

    (end, _), seen = _run(answer, pictures, w, pulls, 12, decay, seed % 1000, lr)
    at = w
    for n, (given, x) in enumerate(seen):
        expect(
            near(given, at, 1e-7),
            f"in update {n} the gradient is asked for at other weights than the last "
            f"update left, {float((given - at).abs().max()):.3g} away: who is trained, the "
            "weights or the average?",
        )
        at = at - lr * pulls(n, at, x)
    expect(near(end, at, 1e-7), "w should be the weights after the last update")


def _moves_to_the_weights(answer, pictures, w, decay, lr, seed):
    r"""From n - 1 updates to n the average goes a part of the way to the new weights."""
    moves = normal((8, 4), 780, seed)

    def on(n, w, x):
        return moves[n]

    before = w
    for count in range(1, 8):
        (end, ema), _ = _run(answer, pictures, w, on, count, decay, seed % 1000, lr)
        way = end - before
        share = float((ema - before) @ way / (way @ way))
        beside = float((ema - before - share * way).norm() / way.norm())
        expect(
            beside < 1e-6,
            f"the average after {count} updates is that after {count - 1}, moved "
            f"{share:.4f} of the way to the new weights, and {beside:.3g} of that way "
            "beside it: what does one update make of the average before it and of the new "
            "weights?",
        )
        before = ema
