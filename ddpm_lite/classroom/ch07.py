r"""Checks of chapter 07, training on images.

Bookkeeping is checked by what it must keep: round trips, every picture once, parts that
equal the whole, runs that go on as if they had not been stopped.
"""

from itertools import pairwise

import torch

from .exercise import Hint, article, exercise, expect, near, normal, number, tensor, uniform

ASKED = (
    "seeds.shuffled",
    "seeds._shuffle",
    "evaluation.metrics.round_to_levels",
    "evaluation.panel._as_a_file",
    "data.pictures.PictureSet.to_float",
    "training.ema.EMA",
    "training.trainer.Trainer",
)


def _initial(n, decay, warmup):
    r"""What is left of the initial weights in an average after n updates, by a loop."""
    left, walked = 1.0, min(n, 10_000)  # by then 0.999 has left its warm-up
    for k in range(walked):
        left *= min(decay, (1 + k) / (10 + k)) if warmup else decay
    return left * decay ** float(n - walked)


@exercise("07.1", "forgotten", kind="understanding", minutes=15, points=3, lacks=ASKED)
def forgotten(answer, seed):
    for decay, share in ((0.9, 0.5), (0.99, 0.01), (0.999, 0.05)):
        for warmup in (False, True):
            n = number(answer(decay, share, warmup), "the number of updates")
            expect(n == int(n) and n >= 1, f"updates are whole numbers, yours is {n}")
            n = int(n)
            how = "with" if warmup else "without"
            left, before = (_initial(k, decay, warmup) for k in (n, n - 1))
            expect(
                left <= share * (1 + 1e-9),
                f"decay {decay} {how} warm-up: after your {n} updates {left:.4g} of the "
                f"average is still the initial weights, at most {share} was asked for: "
                "what does one update do to that share?",
            )
            expect(
                before > share,
                f"decay {decay} {how} warm-up: you say {n} updates, but after {n - 1} only "
                f"{before:.4g} is left already, which is not more than {share}",
            )


@exercise("07.2", "whole_gradient", kind="derivation", minutes=15, points=3, lacks=ASKED)
def whole_gradient(answer, seed):
    X, y, w = normal((24, 3), 71, seed), normal((24,), 72, seed), normal((3,), 73, seed)

    def gradient(part):
        v = w.clone().requires_grad_(True)
        (g,) = torch.autograd.grad((X[part] @ v - y[part]).square().mean(), v)
        return g

    whole = gradient(slice(0, 24))
    for sizes in ([24], [8, 8, 8], [16, 8], [11, 11, 2], [1] * 24):
        ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
        parts = [gradient(slice(e - n, e)) for e, n in zip(ends, sizes, strict=True)]
        got = tensor(answer(parts, sizes), whole, "the gradient")
        ratio = float((got @ whole) / (whole @ whole))
        expect(
            near(got, whole),
            f"parts of {sizes if len(sizes) < 9 else '24 times one'} examples: your "
            f"gradient has {ratio:.4g} times the whole batch's in its direction, and "
            f"differs by up to {float((got - whole).abs().max()):.3g}: each part's is a "
            "mean over its own examples, and each example must count alike",
        )


@exercise("07.3", "to_bytes", kind="code", minutes=20, points=3, lacks=ASKED)
def to_bytes(answer, seed):
    grey = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    x = grey.float() / 255 * 2 - 1
    back = tensor(answer(x), grey, "the picture")
    wrong = (back != grey).flatten().nonzero()
    if len(wrong):
        k = int(wrong[0])
        raise Hint(
            f"{len(wrong)} of 256 grey levels do not come back from [-1, 1]: {k} becomes "
            f"{int(back.flatten()[k])}: is every number taken to the nearest level, and do "
            "-1 and 1 go to 0 and 255?"
        )
    dim = grey[..., 4:12, :].reshape(2, 1, 8, 8).repeat(1, 3, 1, 1)
    dim[:, 1] = dim[:, 1].mT
    got = tensor(answer(dim.float() / 255 * 2 - 1), dim, "the pictures")
    expect(
        torch.equal(got, dim),
        f"two coloured pictures with levels from {int(dim.min())} to {int(dim.max())} come "
        f"back with {int(got.min())} to {int(got.max())}, and {int((got != dim).sum())} of "
        f"{dim.numel()} bytes are others: does a byte depend on anything but its own "
        "number, and are all in their places?",
    )
    step = 2 / 255
    moved = x + 0.8 * step * (uniform(x.shape, 74, seed).float() - 0.5)
    near_by = tensor(answer(moved), grey, "the picture")
    share = float((near_by == grey).double().mean())
    expect(
        share == 1,
        f"a number that lies up to 0.4 of a level away from a level belongs to it, with "
        f"yours only {100 * share:.0f} % do: do you round, or cut off?",
    )
    far = torch.tensor([-1.3, -1.001, 1.001, 1.7, 40.0]).reshape(1, 1, 1, 5)
    got = tensor(answer(far), far.to(torch.uint8), "the picture").flatten().tolist()
    expect(
        got == [0, 0, 255, 255, 255],
        "numbers beyond [-1, 1], which samplers do give, should become black or white; "
        f"(-1.3, -1.001, 1.001, 1.7, 40) becomes {tuple(got)}: what happens to 256 in "
        "eight bits?",
    )


@exercise("07.4", "order", kind="code", minutes=30, points=4, lacks=ASKED)
def order(answer, seed):
    def batch(N, B, step, seed=seed):
        like = torch.zeros(B, dtype=torch.int64)
        return tensor(answer(N, B, seed, step), like, "the numbers of pictures")

    for N, B in ((12, 4), (7, 3), (5, 8)):
        stream = torch.cat([batch(N, B, step) for step in range(1, 3 * N + 1)])
        expect(
            int(stream.min()) >= 0 and int(stream.max()) < N,
            f"pictures are numbered 0..{N - 1}, yours run from {int(stream.min())} to "
            f"{int(stream.max())}",
        )
        expect(
            torch.equal(batch(N, B, 2), stream[B : 2 * B]),
            "step 2 asked for once more gives other pictures: the order should be a "
            "function of the seed and the step, whatever was asked before",
        )
        epochs = [stream[i : i + N].tolist() for i in range(0, len(stream) - N + 1, N)]
        for k, epoch in enumerate(epochs):
            counts = [epoch.count(i) for i in range(N)]
            expect(
                max(counts) == 1,
                f"{N} pictures, batches of {B}: among draws {k * N + 1} to {k * N + N} one "
                f"picture is seen {max(counts)} times and another {min(counts)} times: "
                "every picture should be seen once before any is seen again, also where a "
                "batch reaches over the end of the set",
            )
        expect(
            len({tuple(e) for e in epochs}) > 1,
            "every pass through the set has the same order: it should be shuffled anew",
        )
        other = torch.cat([batch(N, B, step, seed + 1) for step in range(1, 3 * N + 1)])
        expect(
            not torch.equal(other, stream), "another seed gives the same order of pictures"
        )
    stream = torch.cat([batch(1000, 100, step) for step in range(1, 21)])
    moved = float((stream[:1000] - torch.arange(1000)).abs().double().mean())
    expect(
        moved > 250,
        f"in a shuffled set of 1,000 a picture lies 333 places from its own on average, in "
        f"yours {moved:.0f}",
    )
    passes = stream.reshape(2, 1000).tolist()
    first, second = ({frozenset(pair) for pair in pairwise(one)} for one in passes)
    kept = len(first & second)
    expect(
        kept < 30,
        f"of the 999 pairs of neighbours in the first pass through 1,000 pictures {kept} "
        "are neighbours in the second again: is every pass a shuffle of its own, and not "
        "the last one turned round or moved on?",
    )


@exercise("07.5", "train_on", kind="project", minutes=60, points=6, lacks=ASKED)
def train_on(answer, seed):
    w = normal((4,), 75, seed)
    X = normal((64, 4), 76, seed)
    y = X @ w + 0.1 * normal((64,), 77, seed)

    def run(state, steps, seed=seed, y=y):
        got = answer(X, y, state, steps, seed)
        expect(
            isinstance(got, dict) and "w" in got and "ema" in got,
            f'you should return a dict with "w" and "ema" in it, yours is {article(got)}',
        )
        tensor(got["w"], w, "w")
        tensor(got["ema"], w, "ema")
        return got

    whole = run(None, 60)
    expect(
        torch.equal(run(None, 60)["w"], whole["w"]),
        "the same run, started twice, gives two different w: is everything that is drawn "
        "made from the seed?",
    )
    loss = float((X @ whole["w"] - y).square().mean())
    start = float(y.square().mean())
    expect(
        loss < 0.3 * start,
        f"after 60 steps the loss is {loss:.3g}, with w = 0 it is {start:.3g}: is it "
        "trained at all?",
    )
    other = run(None, 60, seed + 1)
    expect(
        not torch.equal(other["w"], whole["w"]),
        "another seed gives the same w: are the batches drawn by chance?",
    )
    late = y.clone()
    late[32:] += 1
    expect(
        not torch.equal(run(None, 60, y=late)["w"], whole["w"]),
        "when y changes in the second half of the data, w stays the same: does every "
        "example get its turn?",
    )
    loss = float((X @ run(None, 1)["w"] - y).square().mean())
    w_best = torch.linalg.lstsq(X, y[:, None]).solution[:, 0]
    least = float((X @ w_best - y).square().mean())
    expect(
        loss > 1.05 * least,
        f"after one step the loss is {loss:.3g}, and no w has less than {least:.3g}: is it "
        "found by steps?",
    )
    for parts in ((30, 30), (1, 59), (59, 1), (20, 20, 20)):
        state = None
        for steps in parts:
            state = run(state, steps)
            run(None, 2, seed + 2)  # another run in between must not matter
        for name, what in (("w", "weights"), ("ema", "average")):
            off = float((state[name] - whole[name]).abs().max())
            expect(
                torch.equal(state[name], whole[name]),
                f"{' + '.join(map(str, parts))} steps, with another run in between, differ "
                f"from 60 in one go by up to {off:.2g} in the {what}: what else does the "
                "next step depend on (moments, their count, what was drawn), and is all of "
                "it in the state?",
            )
    state = run(None, 1)
    for n in range(2, 31):
        before, state = state, run(state, 1)
        _averages(before["ema"], state["ema"], state["w"], n)


def _averages(before, after, w, n):
    r"""Expect that step n moved an average towards w, by less than half of the way."""
    way = w - before
    moved = float((after - before) @ way / (way @ way).clamp(min=1e-30))
    beside = float((after - before - moved * way).norm() / way.norm().clamp(min=1e-30))
    expect(
        beside < 1e-4 and moved < 1 + 1e-6,
        f"in step {n} ema does not move on the straight line from where it was to the new "
        f"w ({100 * beside:.3g} % of the way beside it, {moved:.3g} of the way along it): "
        "do the shares of the old average and of the new w add up to 1?",
    )
    expect(
        1e-6 < moved < 1 - 1e-6,
        f"in step {n} ema moves by {moved:.3g} of the way to w: is it an average?",
    )
    expect(
        n < 20 or moved < 0.5,
        f"in step {n} ema moves by {moved:.3g} of the way to w and forgets as much: which "
        "of the two has the larger share?",
    )
