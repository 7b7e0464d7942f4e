r"""Checks of chapter 07, training on images.

Bookkeeping is checked by what it must keep: round trips, every picture once, parts that
equal the whole, runs that go on as if they had not been stopped.
"""

import math
from itertools import pairwise

import torch

from ..seeds import generator_for
from .exercise import article, exercise, expect, normal, number, steps, tensor, uniform

ASKED = (
    "seeds.shuffled",
    "seeds._shuffle",
    "evaluation.metrics.round_to_levels",
    "evaluation.panel._as_a_file",
    "data.pictures.PictureSet.to_float",
    "training.ema.EMA",
    "training.trainer.Trainer",
)


def _whole(low, high, *seed):
    r"""One whole number in low..high that depends on seed alone."""
    return int(steps(low, high, 1, *seed))


def _factor(n):
    r"""What update n of a warm-up multiplies by, while it is below the decay."""
    return (1 + n) / (10 + n)


def _initial(n, decay, warmup):
    r"""What is left of the initial weights in an average after n updates."""
    early = 0
    while warmup and early < n and _factor(early) < decay:
        early += 1
    return decay ** float(n - early) / math.comb(early + 9, 9)


def _between(n, decay, warmup):
    r"""A share that n updates get below and n - 1 do not, far from either."""
    return math.sqrt(_initial(n, decay, warmup) * _initial(n - 1, decay, warmup))


@exercise("07.1", "forgotten", kind="understanding", minutes=15, points=3, lacks=ASKED)
def forgotten(answer, seed):
    def asked(decay, share, warmup):
        n = number(answer(decay, share, warmup), "the number of updates")
        expect(n == int(n) and n >= 1, f"updates are whole numbers, yours is {n}")
        return int(n)

    def updates(decay, share, warmup, question):
        _updates(asked(decay, share, warmup), decay, share, warmup, question)

    for i in range(3):
        decay = 1 - 10 ** -float(1.5 + uniform((), 711, seed, i))
        left = math.exp(-3 - 9 * float(uniform((), 712, seed, i)))
        share = _between(int(math.log(left, decay)), decay, False)
        updates(decay, share, False, "what does one update do to that share?")
    updates(0.5, 0.5 ** _whole(2, 6, 713, seed), False, "is it reached?")
    yield 1, "a decay that stays the same"
    for i in range(3):
        decay = 1 - 0.01 * float(uniform((), 714, seed, i))
        share = _between(_whole(20, 300, 716, seed, i), decay, True)
        first = 0.11 + 0.06 * float(uniform((), 715, seed, i))
        n = asked(decay, first, True)
        expect(
            n != 2,
            f"decay {decay:.6g} with warm-up, share {first:.6g}: you say {n} updates, but "
            f"one is enough. Which n has the first update, and by what does it multiply?",
        )
        why = "every update has a factor of its own: which has the first, and are all used?"
        updates(decay, share, True, why)
        updates(decay, first, True, why)
    yield 1, "a warm-up, from its first update on"
    for i in range(3):
        decay = 0.3 + 0.5 * float(uniform((), 717, seed, i))
        n = _whole(60, 150, 718, seed, i)
        why = (
            f"by then (1 + n)/(10 + n) has come to {_factor(n - 1):.4g}: does it count "
            "even where it is above the decay?"
        )
        updates(decay, _between(n, decay, True), True, why)
    yield 1, "and after the warm-up"


def _updates(n, decay, share, warmup, question):
    r"""Expect that n is the smallest number of updates that leaves at most share."""
    left, before = (_initial(k, decay, warmup) for k in (n, n - 1))
    other, other_before = (_initial(k, decay, not warmup) for k in (n, n - 1))
    how, not_so = ("with", "without") if warmup else ("without", "with")
    said = (
        f"decay {decay:.6g} {how} warm-up: you say {n} updates for a share of {share:.8g}"
    )
    expect(
        left <= share < before or not other <= share < other_before,
        f"{said}, which is right {not_so} warm-up: is `warmup` looked at?",
    )
    expect(
        not warmup or decay < 0.9 or other > share or before > share,
        f"{said}, which is more than without warm-up. Is a warm-up there to forget the "
        "first weights sooner, or later?",
    )
    expect(
        left <= share or _initial(n + 1, decay, warmup) > share,
        f"{said}, but {left:.8g} is left then, a little more: where it comes out between "
        "two whole numbers, which one is asked for?",
    )
    expect(
        left <= share or abs(n - (1 - share) / (1 - decay)) > 1,
        f"{said}, but {left:.6g} of the average is still there: does every update take "
        "away as much as the first one does?",
    )
    expect(left <= share, f"{said}, but {left:.6g} of the average is there: {question}")
    expect(
        before != share,
        f"{said}, but after {n - 1} just {before:.6g} is left, and at most so much was "
        "asked for: is that not reached?",
    )
    expect(
        before > share,
        f"{said}, but one update less leaves only {before:.6g} already: {question}",
    )


@exercise("07.2", "whole_gradient", kind="derivation", minutes=15, points=3, lacks=ASKED)
def whole_gradient(answer, seed):
    _shaped(answer, seed)
    each, count = steps(2, 8, 2, 721, seed).tolist()
    for sizes in ([each] * count, [1] * (each + 2), [each]):
        _joined(answer, sizes, seed, torch.float64)
    yield 1, "parts of one size"
    for i, dtype in enumerate((torch.float64, torch.float32, torch.float64)):
        large, count = steps(5, 12, 2, 722, seed, i).tolist()
        sizes = [large] * (2 + count // 4) + [_whole(1, large - 2, 723, seed, i)]
        if i == 2:
            sizes = [*steps(1, 9, 5, 724, seed).tolist(), 10]
        _joined(answer, sizes, seed, dtype)
    yield 2, "parts of several sizes"


def _shaped(answer, seed):
    r"""Expect a gradient like the parts', whatever shape they have."""
    for k, shape in enumerate(((3,), (2, 3), (2, 1, 3), (1, 2, 1, 2), (1, 1))):
        parts = [normal(shape, 729, seed, k, i) for i in range(2)]
        tensor(answer(parts, [2, 2]), parts[0], "the gradient")


def _joined(answer, sizes, seed, dtype):
    r"""Expect the gradient of a mean loss from those of its parts."""
    N, D = sum(sizes), _whole(2, 5, 725, seed)
    X, y = normal((N, D), 726, seed, N), normal((N, 2), 727, seed, N)
    v = normal((D, 2), 728, seed, N).requires_grad_(True)
    shape = ((D, 2), (2 * D,), (2, 1, D), (1, D, 1, 2))[(N + len(sizes)) % 4]

    def gradient(part):
        loss = (X[part] @ v - y[part]).square().mean()
        return torch.autograd.grad(loss, v)[0].to(dtype).reshape(shape)

    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    parts = [gradient(slice(e - n, e)) for e, n in zip(ends, sizes, strict=True)]
    whole = gradient(slice(0, N))
    got = tensor(answer(parts, sizes), whole, "the gradient")
    off = float((got - whole).abs().max())
    if off < 1e-5 * float(torch.stack(parts).abs().max()):  # shares may be float32
        return
    # What each part counts: where its gradient is 1 and those of all others are 0.
    ones = list(torch.eye(len(sizes), dtype=dtype).unsqueeze(2))
    count = tensor(answer(ones, sizes), ones[0], "the gradient").flatten().tolist()
    said = f"parts of {', '.join(map(str, sizes))} examples: "
    expect(
        any(abs(c - size / N) > 1e-5 for c, size in zip(count, sizes, strict=True)),
        f"{said}yours is right where each part's gradient is one number, but not for "
        f"gradients of shape {shape}, by up to {off:.3g}: is anything mixed, or divided by "
        "a norm?",
    )
    for i, share in enumerate(count):
        expect(
            share != 0,
            f"{said}your gradient is the same whatever part {i + 1} says: do its "
            f"{sizes[i]} examples belong to the batch?",
        )
    total = sum(count)
    expect(
        abs(total - 1) < 1e-5,
        f"{said}if all parts have the same gradient, yours is {total:.6g} times that: you "
        "are given means, so is it a mean of them, or a sum?",
    )
    each = [share / size for share, size in zip(count, sizes, strict=True)]
    most, least = each.index(max(each)), each.index(min(each))
    few = (
        f"an example in part {most + 1}, of {sizes[most]}, counts "
        f"{each[most] / each[least]:.4g} times as much as one in part {least + 1}, of "
        f"{sizes[least]}"
    )
    expect(
        max(count) - min(count) > 1e-6,
        f"{said}each part counts as much as any other in yours, so that {few}. Is that so "
        "in the whole batch?",
    )
    kept = zip(sorted(count), sorted(sizes), strict=True)
    expect(
        any(abs(share - size / N) > 1e-5 for share, size in kept),
        f"{said}the parts count {', '.join(f'{N * c:.3g}' for c in count)} examples in "
        "yours: which number belongs to which part?",
    )
    expect(False, f"{said}{few}: in the whole batch, whose counts more?")


@exercise("07.3", "to_bytes", kind="code", minutes=20, points=3, lacks=ASKED)
def to_bytes(answer, seed):
    shapes = (4, 2, 8, 8), (8, 2, 4, 8), (8, 4, 4, 4), (4, 8, 4, 4)
    shape = shapes[_whole(0, 3, 731, seed)]
    drawn = generator_for(732, seed)
    order = torch.cat([torch.randperm(256, generator=drawn) for _ in range(2)])
    grey = order.to(torch.uint8).reshape(shape)  # every level in two places
    x = grey.float() / 255 * 2 - 1
    _levels(tensor(answer(x), grey, "the picture"), grey)
    yield 1, "each of 256 levels comes back"
    inside = grey.clamp(1, 254)
    moved = (inside.float() + 0.98 * (uniform(shape, 733, seed).float() - 0.5)) / 127.5 - 1
    got = tensor(answer(moved), grey, "the picture").int() - inside.int()
    below, above = int((got < 0).sum()), int((got > 0).sum())
    said = (
        f"of {grey.numel()} numbers, each up to 0.49 of a level away from its level, "
        f"{below} go to a lower level and {above} to a higher one: "
    )
    expect(below == 0 or above > 0, f"{said}do you round, or cut off?")
    expect(above == 0 or below > 0, f"{said}do you round, or always go up?")
    expect(below == above == 0, f"{said}which level is the nearest to each?")
    yield 1, "every number goes to the nearest level"
    beyond = 1.01 + 0.2 * torch.exp(6 * uniform((1, 3, 4, 5), 734, seed).float())
    low, high = answer(-beyond), answer(beyond)
    low, high = (tensor(v, beyond.to(torch.uint8), "the picture") for v in (low, high))
    k = (
        int((low != 0).flatten().int().argmax()),
        int((high != 255).flatten().int().argmax()),
    )
    far = [-float(beyond.flatten()[k[0]]), float(beyond.flatten()[k[1]])]
    became = [int(low.flatten()[k[0]]), int(high.flatten()[k[1]])]
    said = (
        f"numbers beyond [-1, 1], which samplers do give, should become black or white; "
        f"{far[0]:.4g} becomes {became[0]} and {far[1]:.4g} becomes {became[1]}: "
    )
    expect(became[0] == 0 or became[1] == 255, f"{said}what is 256 in eight bits?")
    expect(became == [0, 255], f"{said}is one of the two sides left as it is?")
    yield 1, "and what lies outside becomes black or white"


def _levels(back, grey):
    r"""Expect that grey levels come back, every one of which is there twice."""
    wrong, back, grey = back != grey, back.flatten(), grey.flatten()
    twice = back[grey.sort().indices].int().reshape(256, 2)
    said = f"{int(wrong.sum())} of {grey.numel()} grey levels do not come back: "
    expect(
        not wrong.any() or (back.bincount(minlength=256) != 2).any(),
        f"{said}all bytes are there, but in other places. Has anything been moved?",
    )
    expect(
        (twice[:, 0] == twice[:, 1]).all(),
        f"{said}the same number becomes different bytes in two pictures, or in two "
        "places. Does a byte depend on anything but its own number?",
    )
    became = twice[:, 0].tolist()
    expect(
        max(abs(became[k] - k) for k in (0, 128, 255)) < 2,
        f"{said}0, 128 and 255 become {became[0]}, {became[128]} and {became[255]}. Which "
        "numbers stand for black, for a grey in the middle and for white?",
    )
    off = [byte - k for k, byte in enumerate(became)]
    k = next((k for k in range(256) if off[k]), 0)
    expect(
        max(off) <= 0 and (k < 64 or not any(off)),
        f"{said}level {k} becomes {became[k]}, and {sum(map(bool, off))} of 256 levels are "
        "off. How many steps are there from level 0 to level 255?",
    )
    expect(
        not any(off),
        f"{said}level {k} becomes {became[k]}. Is every number taken to the nearest level, "
        "also when it came out a little below?",
    )


@exercise("07.4", "order", kind="code", minutes=30, points=4, lacks=ASKED, seconds=40.0)
def order(answer, seed):
    def batch(N, B, step, s):
        like = torch.zeros(B, dtype=torch.int64)
        return tensor(answer(N, B, s, step), like, "the numbers of pictures")

    s = _whole(1, 9, 741, seed)
    a, b, c, d, e, f = steps(2, 9, 6, 742, seed).tolist()
    for N, B in ((a * b, a), (c * d + 1, c), (e, e + f)):
        stream = torch.cat([batch(N, B, step, s) for step in range(1, 3 * N // B + 4)])
        expect(
            int(stream.min()) >= 0 and int(stream.max()) < N,
            f"pictures are numbered 0..{N - 1}, yours run from {int(stream.min())} to "
            f"{int(stream.max())}",
        )
        expect(
            torch.equal(batch(N, B, 2, s), stream[B : 2 * B]),
            "step 2 asked for once more gives other pictures: the order should be a "
            "function of the seed and the step, whatever was asked before",
        )
        _each_once(stream.tolist(), N, B)
    yield 2, "every picture once before any comes again"
    N, B = 100 * _whole(4, 7, 743, seed), 100
    stream = torch.cat([batch(N, B, step, s) for step in range(1, 2 * N // B + 1)])
    _shuffles(*stream.reshape(2, N))
    other = torch.cat([batch(N, B, step, s + 1) for step in range(1, N // B + 1)])
    expect(
        not torch.equal(other, stream[:N]), "another seed gives the same order of pictures"
    )
    kept = len(_pairs(other) & _pairs(stream[:N]))
    expect(
        kept < 40,
        f"{kept} of {N - 1} pairs of neighbours in the first pass are neighbours with "
        "another seed as well: is its order a shuffle of its own?",
    )
    yield 1, "every pass is a shuffle"
    _no_shuffle_twice(batch, _whole(20, 30, 744, seed), _whole(1, 9, 741, seed))
    yield 1, "and no other seed has it"


NEAR = 45  # seeds in a row; those NEAR, 2 NEAR, ... beyond the first make up the rest
APART = 100  # passes in a row, and likewise
PASSES = 1000
MASKS = (2**12, 10**4, 2**16, 10**5, 2**20, 10**6, 2**31 - 1)


def _lists(first):
    r"""Yields (seed, first pass, how many passes) of lists that are asked for.

    Two shuffles that are made from a seed + b pass, or from whatever else is linear in
    both, are the same where a times the distance of two seeds is b times that of two
    passes. So the lists hold a pair for every distance of seeds up to 45^2 = 2025 with
    every distance of passes up to 999, in both directions: one seed of 45 in a row and one
    of the multiples of 45, at one of 100 passes in a row, early or late, and one of
    the multiples of 100 or the last. One seed alone has all its passes.
    """
    yield first, 0, PASSES
    for seed in (*range(first + 1, first + NEAR), 0):
        yield seed, 0, APART
        yield seed, PASSES - APART, APART
    for k in range(1, NEAR + 1):
        for start in (*range(0, PASSES, APART), PASSES - 1):
            yield first + k * NEAR, start, 1
    for more in MASKS:
        yield first + more, 0, APART // 4


def _no_shuffle_twice(batch, N, first):
    r"""Expect that no shuffle of a thousand passes comes up with another seed."""
    found = {}
    for run, start, count in _lists(first):
        each = math.gcd(start, count)  # passes in a batch, one of which begins there
        batches = range(start // each, (start + count) // each)
        many = torch.cat([batch(N, each * N, i + 1, run) for i in batches])
        for epoch, one in enumerate(many.reshape(count, N).tolist(), start):
            one = bytes(one)
            before = found.setdefault(one, (run, epoch))
            expect(
                before == (run, epoch),
                f"pass {epoch + 1} with the seed {run} is the same shuffle as pass "
                f"{before[1] + 1} with the seed {before[0]}: what is each shuffle made "
                "from, and can another seed and another pass make the same?",
            )


def _each_once(stream, N, B):
    r"""Expect that a list of pictures is made of shuffles of 0..N-1."""
    passes = [stream[i : i + N] for i in range(0, len(stream) - N + 1, N)]
    moved = [stream[i : i + N] for i in range(-B % N, len(stream) - N + 1, N)]
    if all(len(set(one)) == N for one in passes):
        return
    said = f"{N} pictures, batches of {B}: "
    expect(
        any(len(set(one)) < N for one in moved),
        f"{said}your first shuffle is over after {-B % N} pictures already. With which "
        "step, and at which picture, does it begin?",
    )
    whole = N // B * B
    short = [stream[i : i + whole] for i in range(0, len(stream), max(whole, 1))][:-1]
    expect(
        whole in (0, N) or any(len(set(one)) < whole for one in short),
        f"{said}your passes are over after {whole} pictures already. What becomes of those "
        "that do not fill a batch?",
    )
    expect(
        len(set(passes[0])) < N,
        f"{said}the first {N} draws are right, later ones are not. A batch may reach over "
        "the end of the set: where does the next one go on?",
    )
    k = next(k for k, one in enumerate(passes) if len(set(one)) < N)
    most = max(passes[k].count(i) for i in range(N))
    expect(
        False,
        f"{said}among draws {k * N + 1} to {k * N + N} {N - len(set(passes[k]))} pictures "
        f"are missing, and one is seen {most} times: every picture should be seen once "
        "before any is seen again, also where a batch reaches over the end of the set",
    )


def _pairs(one):
    r"""The pairs of neighbours in a list of pictures."""
    return {frozenset(pair) for pair in pairwise(one.tolist())}


def _shuffles(first, second):
    r"""Expect two passes through many pictures to be two shuffles."""
    N = len(first)
    expect(
        not torch.equal(first, second),
        "every pass through the set has the same order: it should be shuffled anew",
    )
    moved = float((first - torch.arange(N)).abs().double().mean())
    expect(
        moved > N / 4,
        f"in a shuffled set of {N} a picture lies {N / 3:.0f} places from its own on "
        f"average, in yours {moved:.0f}",
    )
    kept = len(_pairs(first) & _pairs(second))  # in two shuffles about 2
    expect(
        kept < 40,
        f"of the {N - 1} pairs of neighbours in the first pass {kept} are neighbours in "
        "the second again: is every pass a shuffle of its own, and not the last one "
        "turned round or moved on?",
    )


@exercise("07.5", "train_on", kind="project", minutes=60, points=6, lacks=ASKED)
def train_on(answer, seed):
    s = _whole(0, 999, 751, seed)

    def run(data, state, steps, s=s):
        got = answer(*data, state, steps, s)
        expect(
            isinstance(got, dict) and "w" in got and "ema" in got,
            f'you should return a dict with "w" and "ema" in it, yours is {article(got)}',
        )
        tensor(got["w"], data[0][0], "w")
        tensor(got["ema"], data[0][0], "ema")
        return got

    data = _line(seed)
    _draws(run, data, s)
    for size, steps_ in ((1.0, (1, 2, 5, 20)), (1e-4, (1, 7))):
        _like_adam(run, seed, size, steps_)
    _trains(run, data)
    yield 2, "steps of Adam, on batches that the seed draws"
    runs = [run(data, None, n) for n in range(1, 9)]
    for n, (before, after) in enumerate(pairwise(runs), start=2):
        _averages(before["ema"], after, n)
    _averages(torch.zeros_like(runs[0]["ema"]), runs[0], 1)
    yield 2, "an average beside them"
    whole, cut = run(data, None, 40), _whole(5, 35, 754, seed)
    for parts in ((cut, 40 - cut), (1, 39), (39, 1), (15, 10, 15)):
        state = None
        for count in parts:
            state = run(data, state, count)
            run(data, None, 2, s + 2)  # another run in between must not matter
        for name, what in (("w", "weights"), ("ema", "average")):
            off = float((state[name] - whole[name]).abs().max())
            expect(
                torch.equal(state[name], whole[name]),
                f"{' + '.join(map(str, parts))} steps, with another run in between, differ "
                f"from 40 in one go by up to {off:.2g} in the {what}: what else does the "
                "next step depend on (moments, their count, what was drawn), and is all of "
                "it in the state?",
            )
    yield 2, "it can be stopped, and goes on as if it had not been"


def _line(seed):
    r"""Examples (X, y) of a linear law with a little noise."""
    N, D = _whole(50, 80, 752, seed), _whole(3, 6, 753, seed)
    size = 0.7 + 0.6 * uniform((D,), 755, seed)
    w = size * normal((D,), 756, seed).sign()
    X = normal((N, D), 757, seed)
    return X, X @ w + 0.1 * normal((N,), 758, seed)


def _draws(run, data, s):
    r"""Expect batches of 8 that the seed draws; they show where X is the identity."""
    first = run(data, None, 9)["w"]
    expect(
        torch.equal(run(data, None, 9)["w"], first),
        "the same run, started twice, gives two different w: is everything that is drawn "
        "made from the seed?",
    )
    for more in (1, 10, 16, 100, 1000):
        expect(
            not torch.equal(run(data, None, 9, s + more)["w"], first),
            f"another seed gives the same w, {s + more} in the place of {s}: are the "
            "batches drawn by chance?",
        )
    N = 200
    one_each = torch.eye(N, dtype=torch.float64), torch.ones(N, dtype=torch.float64)

    def moved(steps, s):
        return set(run(one_each, None, steps, s)["w"].nonzero().flatten().tolist())

    batches = [moved(1, s + i) for i in range(8)]
    most = max(map(len, batches))
    said = f"with {N} examples, each for an entry of w of its own, one step moves "
    expect(most > 0, f"{said}none: is w moved at all?")
    expect(
        most == 8,
        f"{said}up to {most} entries: how many examples are in a batch, and is the "
        "gradient made of those alone?",
    )
    expect(
        len(moved(3, s)) > 8,
        f"{said}{len(batches[0])} entries, and three steps no others: does every step draw "
        "a batch of its own?",
    )
    expect(
        not batches[1] <= moved(2, s),
        f"the first batch of the seed {s + 1} is the second one of the seed {s}: what is a "
        "batch drawn from, and can another seed and another step make the same?",
    )
    few = one_each[0][:3, :3], one_each[1][:3]
    never = (run(few, None, 30)["w"] == 0).nonzero().flatten().tolist()
    expect(
        not never,
        f"of 3 examples number {', '.join(str(i + 1) for i in never)} is in none of 30 "
        "batches: does every example get its turn?",
    )


def _like_adam(run, seed, size, counts):
    r"""Expect Adam's w where all examples are the same, so that all batches are."""
    x = size * (0.5 + uniform((3,), 759, seed)) * normal((3,), 760, seed).sign()
    X, y = x.repeat(40, 1), torch.full((40,), 3 * size, dtype=torch.float64)
    w = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([w], lr=0.1, betas=(0.9, 0.99), eps=1e-8)
    for n in range(1, max(counts) + 1):
        adam.zero_grad()
        (X @ w - y).square().mean().backward()
        adam.step()
        if n not in counts:
            continue
        got, wanted = run((X, y), None, n)["w"], w.detach()
        way = float(got @ wanted / (wanted @ wanted))
        off = float((got - wanted).abs().max() / wanted.abs().max())
        said = f"with examples that are all the same, and gradients of {6 * size**2:.0e}, "
        expect(way > 0, f"{said}w goes the wrong way: is the loss to become less?")
        expect(
            off < 1e-6 or n > 1 or size < 1,
            f"{said}your first step is {way:.6g} times as long as Adam's: how long is that "
            "in every entry, whatever the gradient?",
        )
        expect(
            off < 1e-6 or size < 1,
            f"{said}w is {off:.3g} of its length away from Adam's after {n} steps: is "
            "every moment a mean over the steps with its own decay, and corrected for its "
            "start at 0?",
        )
        expect(
            off < 1e-6,
            f"{said}w is {off:.3g} of its length away from Adam's after {n} steps. Such "
            "small gradients show the epsilon: to what is it added, and is the gradient "
            "that of the mean squared error?",
        )


def _trains(run, data):
    r"""Expect a run that learns."""
    X, y = data
    w = run(data, None, 60)["w"]
    loss, start = float((X @ w - y).square().mean()), float(y.square().mean())
    expect(
        loss < 0.3 * start,
        f"after 60 steps the loss is {loss:.3g}, with w = 0 it is {start:.3g}: does each "
        "example meet its own y, and the w of this step?",
    )


def _averages(before, after, n):
    r"""Expect that step n moved an average by a tenth of the way to the new w."""
    way = after["w"] - before
    moved = float((after["ema"] - before) @ way / (way @ way).clamp(min=1e-30))
    beside = (after["ema"] - before - moved * way).norm() / way.norm().clamp(min=1e-30)
    said = f"in step {n} ema moves by {moved:.6g} of the way to w"
    expect(
        beside < 1e-6,
        f"{said}, and beside it by {float(beside):.3g} of that way: do the shares of the "
        "old average and of the new w add up to 1, and is it the new w?",
    )
    expect(1e-6 < moved < 1 - 1e-6, f"{said}: is it an average?")
    expect(
        moved < 0.5,
        f"{said}, and forgets as much of what it was: which of the two has the larger "
        "share?",
    )
    expect(
        abs(moved - 0.1) < 1e-6, f"{said}: what does a decay of 0.9 leave for the new w?"
    )
