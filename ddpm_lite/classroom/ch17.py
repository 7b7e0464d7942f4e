r"""Checks of chapter 17, to scale.

Costs and waiting times have closed forms; messages go through links that count them, and
that may lose what they carry. Where a number is wrong, it is held against those that usual
mistakes make, as in chapter 08.
"""

import math

import torch

from .ch08 import asked_about
from .exercise import (
    apart,
    article,
    exercise,
    expect,
    near,
    normal,
    number,
    several,
    tensor,
    uniform,
    whole,
)

ASKED = ("training", "seeds.shuffled", "seeds._shuffle")


@exercise("17.1", "cost", kind="understanding", minutes=10, points=3, lacks=ASKED)
def cost(answer, seed):
    drawn = [_recipe(1701, seed, k) for k in range(4)]
    for given in drawn:
        for again in (False, True):
            _costs(answer, (*given, again), 0)
    yield 1, "the operations"
    for given in drawn:
        for again in (True, False):
            _costs(answer, (*given, again), 1)
    yield 1, "the hours"
    for given in drawn:
        for again in (False, True):
            _costs(answer, (*given, again), 2)
    yield 1, "and the pictures per second"


def _recipe(*seed):
    r"""macs, batch, steps, cards, peak, used."""
    a, b, c, d = uniform((4,), *seed, 1).tolist()
    macs, steps = int(math.exp(18 + 6 * a)), int(math.exp(8 + 5 * b))
    batch, cards = whole(2, 500, *seed, 2), whole(2, 90, *seed, 3)
    return macs, batch, steps, cards, 30 + 900 * c, 0.1 + 0.5 * d


def _costs(answer, given, which):
    macs, batch, steps, cards, peak, used, again = given
    got = several(answer(*given), 3, "EFLOP, hours and pictures per second")
    got = number(got[which], "each of the three")
    flop, rate = 2 * macs * (3 + again), cards * peak * 1e12 * used
    total = flop * batch * steps
    right = (total / 1e18, total / rate / 3600, rate / flop)[which]
    up = -1 if which == 2 else 1  # which way more operations go

    def passes(factor):
        return right * (factor / (3 + again)) ** up

    suspects = [
        (passes(3.5 + again), "which of the passes is it that is done twice?"),
        (passes(3 if again else 4), "what does activation checkpointing do once more?"),
        (passes(5), "what does activation checkpointing do once more?"),
        (passes(6), "what does activation checkpointing do once more?"),
        (right / 2**up, "how many operations is one multiply-accumulate?"),
        (right * 2**up, "how many operations is one multiply-accumulate?"),
        (passes(1 + again), "what comes after the forward pass?"),
        (passes(2 + again), "how much does the backward pass cost, next to the forward?"),
        (passes(2), "how much does the backward pass cost, next to the forward?"),
        (passes(1), "what comes after the forward pass?"),
    ]
    if which == 0:
        suspects += [
            (right * cards, "is the batch that of one card, or of all?"),
            (right / cards, "is the batch that of one card, or of all?"),
            (right / batch, "how many pictures are there in a step?"),
            (right / steps, "how many steps are made?"),
            (right * 1e6, "how many operations is an EFLOP?"),
            (right * 1e3, "how many operations is an EFLOP?"),
            (right * 1e18, "how many operations is an EFLOP?"),
        ]
    if which == 1:
        suspects += [
            (right * 3600, "are these seconds, or hours?"),
            (right * 60, "are these minutes, or hours?"),
            (right * cards, "are these hours of one card, or of the run?"),
        ]
    if which == 2:
        suspects += [
            (right / cards, "is that one card, or all?"),
            (right / batch, "are these pictures per second, or steps?"),
            (right * 3600, "is it per second, or per hour?"),
        ]
    if which:
        suspects += [
            (right * used**up, "does a card reach its peak?"),
            (
                right * used ** (2 * up),
                "how much longer does it take with a smaller share?",
            ),
        ]
    question = asked_about(got, suspects, "how many operations does one picture cost?")
    what = ("the run has EFLOP of", "it takes hours of", "pictures per second are")[which]
    mine, wanted = apart(got, right)
    expect(
        near(got, right, rtol=1e-9, atol=0),
        f"for {macs:,} MACs, a batch of {batch}, {steps:,} steps and {cards} cards of "
        f"{peak:.4g} TFLOP/s of which {used:.3g} is reached, "
        f"{'with' if again else 'without'} checkpointing, {what} {wanted}, yours "
        f"{mine}: {question}",
    )


@exercise("17.2", "expected", kind="derivation", minutes=35, points=5, lacks=ASKED)
def expected(answer, seed):
    drawn = [_run(1702, seed, k) for k in range(5)]
    for interval, write, _, mean in drawn:
        for size in (0.3, 1.0):
            _takes(answer, size * interval, interval, write, 1e-9 * mean, mean)
    yield 1, "one part"
    for interval, write, restart, mean in drawn:
        _takes(answer, interval, interval, write, restart, mean)
    yield 1, "with restarts"
    for k, (interval, write, restart, mean) in enumerate(drawn):
        parts = whole(2, 9, 1703, seed, k)
        for more in (0, 0.375, 0.75):
            _takes(answer, (parts + more) * interval, interval, write, restart, mean)
    yield 1, "several parts"
    for interval, write, restart, mean in drawn:
        for size in (1e-3, 1.0, 8.0):
            _has_its_best(answer, interval, size * write, restart, mean)
    yield 2, "and the best interval"


def _run(*seed):
    r"""interval, write, restart, mean; intervals are eighths, so that parts add up."""
    a, b, c = uniform((3,), *seed, 1).tolist()
    interval = whole(2, 16, *seed, 2) / 8
    mean = interval * (0.4 + 3 * a)
    return interval, mean * (0.02 + 0.2 * b), mean * (0.1 + 1.2 * c), mean


def _part(hours, write, restart, mean):
    r"""E of one part, from the chance of each attempt and what it loses."""
    length = hours + write
    good = math.exp(-length / mean)
    lost = mean - length * good / (1 - good)  # a failure that comes before the end
    again = mean * math.expm1(restart / mean)  # a restart that may fail, until it holds
    return length + (1 / good - 1) * (lost + again)


def _both(answer, *given):
    got = several(answer(*given), 2, "the expected hours and the best interval")
    return [number(v, "each of the two") for v in got]


def _takes(answer, work, interval, write, restart, mean):
    got, _ = _both(answer, work, interval, write, restart, mean)
    parts = int(work / interval + 1e-9)
    rest = work - parts * interval
    rest = rest if rest > 1e-9 * interval else 0.0

    def over(part):
        return parts * part(interval) + (part(rest) if rest else 0.0)

    def one(hours):
        return _part(hours, write, restart, mean)

    def attempts(hours):
        return math.expm1((hours + write) / mean)

    right = over(one)
    last = one(rest) if rest else one(interval)
    plain = over(lambda h: h + write)
    simple = over(lambda h: h + write + attempts(h) * (restart + mean))
    suspects = (
        (plain, "what do failures cost?"),
        (work, "what do failures cost, and what the checkpoints?"),
        (
            over(lambda h: h + write + (h + write) / mean * ((h + write) / 2 + restart)),
            "how often can a part fail, and when on average?",
        ),
        (
            over(lambda h: h + write + attempts(h) * ((h + write) / 2 + restart)),
            "is a failure as likely in the second half of a part as in the first?",
        ),
        (over(lambda h: mean * attempts(h)), "what does a restart cost?"),
        (over(lambda h: (mean + restart) * attempts(h)), "can a restart fail, too?"),
        (simple, "how much is lost by an attempt that fails before its end?"),
        (
            over(lambda h: _part(h, 0.0, restart, mean) + write),
            "can a run fail while it writes?",
        ),
        (over(lambda h: _part(h, 0.0, restart, mean)), "how long does it take to write?"),
        (
            over(lambda h: one(h) * math.exp(-restart / mean) + restart),
            "does every part begin with a restart?",
        ),
        (parts * one(interval), "what becomes of the shorter last part?"),
        ((parts + 1) * one(interval), "is the last part shorter, or is there one at all?"),
        (right + one(0.0), "is there one part more?"),
        (work / interval * one(interval), "does a shorter part fail as often?"),
        (right - last + last * 0, "what becomes of the last part?"),
        (
            right - last + _part(rest or interval, 0.0, restart, mean),
            "is there a checkpoint after the last part?",
        ),
        (_part(work, write, restart, mean), "does a failure lose all work?"),
    )
    question = asked_about(got, suspects, "how often does a part fail before it succeeds?")
    mine, wanted = apart(got, right)
    expect(
        near(got, right, rtol=1e-9, atol=0),
        f"{work:.5g} hours of work in parts of {interval:.4g}, write {write:.4g}, restart "
        f"{restart:.4g}, a failure in {mean:.4g} hours: {wanted} hours on average, you say "
        f"{mine}: {question}",
    )


def _has_its_best(answer, interval, write, restart, mean):
    _, got = _both(answer, 3 * interval, interval, write, restart, mean)
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        rising = math.log1p(-middle) + middle + write / mean < 0
        low, high = (low, middle) if rising else (middle, high)
    right = low * mean

    def price(tau):
        return mean * math.exp(restart / mean) * math.expm1((tau + write) / mean) / tau

    young = math.sqrt(2 * write * mean)
    x = math.sqrt(write / (2 * mean))
    suspects = (
        (young, "is that exact, or for a small time of writing only?"),
        (young - write, "is that exact, or for a small time of writing only?"),
        (young * (1 + x / 3 + x * x / 9) - write, "is that exact, or the first few terms?"),
        (right + write, "is the time of writing a part of the interval?"),
        (math.sqrt(write * mean), "is that exact, or for a small time of writing only?"),
        (mean, "what would writing more often change?"),
        (interval, "is that the best interval, or the one that is used?"),
        (
            math.sqrt(2 * write * (mean + restart)),
            "does what a restart costs depend on the interval?",
        ),
    )
    otherwise = "where is the derivative by the interval zero?"
    if abs(got / right - 1) < 1e-5:
        otherwise = "how many digits of it are right?"
    question = asked_about(got, suspects, otherwise)
    expect(got > 0, f"an interval is above 0, yours is {got:.4g}")
    mine, wanted = apart(price(got), price(right))
    costs = f"{mine} expected hours for each hour of work, and {wanted} is possible"
    if mine == wanted or abs(got / right - 1) < 1e-5:
        costs = f"off by a share of {abs(got / right - 1):.2g}"
    expect(
        near(got, right, rtol=1e-10, atol=0),
        f"write {write:.4g}, restart {restart:.4g}, a failure in {mean:.4g} hours: your "
        f"best interval is {got:.10g}, {costs}: {question}",
    )


class Links:
    r"""A ring of links that count what they carry; those of the ranks in `lose` lose it."""

    def __init__(self, n, like, lose=()):
        self.n, self.like, self.lose = n, like, lose
        self.sent = [[] for _ in range(n)]

    def __call__(self, i, values):
        if not isinstance(i, int) or not 0 <= i < self.n:
            raise ValueError(f"send wants a rank in 0..{self.n - 1}, it got {i!r}")
        ok = isinstance(values, torch.Tensor) and values.dtype == self.like.dtype
        if not ok or values.dim() != 1:
            raise ValueError(
                f"send wants a vector in {self.like.dtype}, it got {article(values)}"
            )
        self.sent[i].append(len(values))
        return torch.zeros_like(values) if i in self.lose else values


@exercise("17.3", "ring", kind="code", minutes=35, points=5, lacks=ASKED)
def ring(answer, seed):
    for k in range(3):
        _has_the_mean(answer, 2, whole(2, 6, 1704, seed, k) * 2, True, 1705, seed, k)
    yield 1, "the mean of two ranks"
    for k in range(4):
        n = k + 2
        _has_the_mean(answer, n, n * whole(1, 5, 1706, seed, k), False, 1707, seed, k)
    yield 1, "of several, with other sizes"
    for k in range(4):
        n = (2, 3, 5, 8)[k]
        _sends_little(answer, n, n * whole(2, 6, 1708, seed, k), 1709, seed, k)
        _comes_by_links(answer, n, n * whole(2, 6, 1710, seed, k), 1711, seed, k)
        _goes_around(answer, n, n * whole(2, 6, 1732, seed, k), 1733, seed, k)
    yield 2, "by a ring"
    for k, (n, D, dtype) in enumerate(ODD):
        _has_the_mean(answer, n, D, False, 1712, seed, k, dtype=dtype)
        _sends_little(answer, n, D, 1713, seed, k, dtype=dtype)
        _comes_by_links(answer, n, D, 1714, seed, k, dtype=dtype)
    yield 1, "for vectors of any length and dtype"


ODD = (
    (3, 10, torch.float32),
    (5, 3, torch.float64),
    (1, 4, torch.float64),
    (4, 7, torch.float64),
    (1, 1, torch.float32),
    (6, 1, torch.float32),
    (4, 11, torch.float32),
)


def _gradients(n, D, equal, *seed, dtype=torch.float64):
    g = normal((n, D), *seed, 1, dtype=dtype) + 1
    sizes = [whole(1, 9, *seed, 2 + i) + 8 * (i % 2) for i in range(n)]
    return list(g.unbind()), [sizes[0]] * n if equal else sizes


def _around(answer, g, sizes, lose=()):
    links = Links(len(g), g[0], lose)
    got = several(answer(list(g), list(sizes), links), len(g), "one for each rank")
    return [tensor(one, g[0], f"what rank {i} has") for i, one in enumerate(got)], links


def _has_the_mean(answer, n, D, equal, *seed, dtype=torch.float64):
    g, sizes = _gradients(n, D, equal, *seed, dtype=dtype)
    got, _ = _around(answer, g, sizes)
    all_of_them, weights = torch.stack(g).double(), torch.tensor(sizes).double()
    right = (weights[:, None] * all_of_them).sum(0) / weights.sum()
    loose = 1e-9 if dtype == torch.float64 else 1e-4
    tokens = (
        (all_of_them.sum(0), "is it the sum over ranks, or the mean over examples?"),
        (all_of_them.mean(0), "how many examples stand behind each gradient?"),
        (right * weights.sum(), "is it the sum over examples, or the mean?"),
        (right * weights.sum() / n, "by how many examples is it divided?"),
        (right / n, "is it divided twice?"),
    )
    for i, one in enumerate(got):
        one = one.double()
        own = (
            (all_of_them[i], "what has this rank heard of the others?"),
            (
                all_of_them[i] * weights[i] / weights.sum(),
                "what has this rank heard of the others?",
            ),
        )
        off = (one - right).abs() / (1 + right.abs())
        bad = int((off > loose).sum())
        otherwise = f"{D - bad} of its {D} entries are right: which pieces are finished?"
        question = asked_about(one, (*tokens, *own), otherwise)
        at = int(off.argmax())
        mine, wanted = apart(float(one[at]), float(right[at]))
        expect(
            near(one, right, rtol=loose, atol=loose),
            f"of {n} ranks with {', '.join(map(str, sizes))} examples and {D} entries, "
            f"rank {i} has {mine} in entry {at}, the mean is {wanted}: {question}",
        )


def _sends_little(answer, n, D, *seed, dtype=torch.float64):
    g, sizes = _gradients(n, D, False, *seed, dtype=dtype)
    _, links = _around(answer, g, sizes)
    most = 2 * (n - 1) * -(-D // n)
    for i, sent in enumerate(links.sent):
        expect(
            sum(sent) <= most,
            f"of {n} ranks with {D} entries, rank {i} sends {sum(sent)} numbers in "
            f"{len(sent)} messages; a ring does with {most}: which piece does it send in "
            "each round?",
        )


def _comes_by_links(answer, n, D, *seed, dtype=torch.float64):
    r"""Where links carry zeros, a rank cannot know what the others have."""
    g, sizes = _gradients(n, D, False, *seed, dtype=dtype)
    before, _ = _around(answer, g, sizes, range(n))
    for i in sorted({0, n // 2, n - 1}):
        others = [one if j == i else one * 3 - 1 for j, one in enumerate(g)]
        after, _ = _around(answer, others, sizes, range(n))
        expect(
            near(before[i], after[i], rtol=1e-6, atol=1e-6),
            f"where all links of {n} ranks lose what they carry, rank {i} still knows what "
            "the others have: how did it come there?",
        )


def _goes_around(answer, n, D, *seed):
    r"""Where one link carries zeros, what the rank before it has comes to no other one."""
    g, sizes = _gradients(n, D, False, *seed)
    cut = whole(0, n - 1, *seed, 20)
    before, _ = _around(answer, g, sizes, (cut,))
    others = [one * 3 - 1 if j == cut else one for j, one in enumerate(g)]
    after, _ = _around(answer, others, sizes, (cut,))
    know = [i for i in range(n) if i != cut and not near(before[i], after[i], 1e-6, 1e-6)]
    expect(
        not know,
        f"where the link behind rank {cut} of {n} loses what it carries, rank {know[:1]} "
        f"still knows what rank {cut} has: how did it come there?",
    )


@exercise("17.4", "share", kind="project", minutes=50, points=5, lacks=ASKED)
def share(answer, seed):
    for k in range(3):
        N, batch = whole(40, 60, 1715, seed, k), whole(5, 9, 1716, seed, k)
        _deals(answer, N, batch, whole(1, N // batch, 1717, seed, k), 1, seed, k)
    yield 1, "one rank"
    for k in range(3):
        N, batch = whole(60, 90, 1718, seed, k), whole(7, 12, 1719, seed, k)
        step, ranks = whole(1, N // batch, 1720, seed, k), whole(2, 5, 1721, seed, k)
        _deals(answer, N, batch, step, ranks, seed, k)
    yield 1, "several ranks"
    for k in range(3):
        N, batch = whole(17, 23, 1722, seed, k), whole(5, 16, 1723, seed, k)
        for step in range(N // batch, N // batch + 4):
            _deals(answer, N, batch, step, whole(1, 4, 1724, seed, k, step), seed, k)
    yield 1, "over the end of a shuffle"
    for k in range(3):
        N, batch = whole(3, 7, 1725, seed, k), whole(18, 30, 1726, seed, k)
        for ranks in (1, 3, batch - 1, batch):
            _deals(answer, N, batch, whole(1, 50, 1727, seed, k, ranks), ranks, seed, k)
    yield 1, "over several shuffles"
    for k in range(3):
        N, batch = whole(9, 15, 1728, seed, k), whole(6, 40, 1729, seed, k)
        for ranks in (1, 2, 3, 6):
            _asks_little(
                answer, N, batch, whole(1, 9, 1730, seed, k, ranks), ranks, seed, k
            )
        N, ranks = whole(2, 4, 1734, seed, k), whole(9, 11, 1735, seed, k)
        step = whole(1, 9, 1736, seed, k)  # of two places of a rank, shuffles lie between
        _asks_little(answer, N, 3 * ranks, step, ranks, seed, k)
    yield 1, "and no shuffle too many"


class Shuffles:
    r"""The k-th shuffle of N pictures, which notes for which it is asked."""

    def __init__(self, N, *seed):
        self.N, self.seed, self.asked = N, seed, []

    def __call__(self, k):
        if isinstance(k, torch.Tensor) and k.numel() == 1 and not k.is_floating_point():
            k = int(k)
        if not isinstance(k, int) or isinstance(k, bool) or k < 0:
            raise ValueError(f"shuffle wants a whole number from 0 on, it got {k!r}")
        self.asked.append(k)
        return uniform((self.N,), *self.seed, k).argsort()


def _dealt(answer, N, batch, step, rank, ranks, *seed):
    shuffle = Shuffles(N, 1731, *seed)
    got = answer(N, batch, step, rank, ranks, shuffle)
    count = len(range(rank, batch, ranks))
    shown = f"the share of rank {rank} of {ranks} in a batch of {batch}"
    return tensor(got, torch.empty(count, dtype=torch.int64), shown), shuffle


def _deals(answer, N, batch, step, ranks, *seed):
    first = (step - 1) * batch
    shuffle = Shuffles(N, 1731, *seed)
    made = {}

    def at(places):
        for p in places:
            if p >= 0 and p // N not in made:
                made[p // N] = shuffle(p // N)
        return torch.tensor([int(made[p // N][p % N]) if p >= 0 else -1 for p in places])

    for rank in range(ranks):
        got, _ = _dealt(answer, N, batch, step, rank, ranks, *seed)
        dealt = range(rank, batch, ranks)
        right = at([first + p for p in dealt])
        count = len(right)
        suspects = (
            (at([first + batch + p for p in dealt]), "at which step does counting begin?"),
            (at([first - batch + p for p in dealt]), "at which step does counting begin?"),
            (
                at([first + rank * (batch // ranks) + i for i in range(count)]),
                "which places does a rank get, a piece of the batch or every so many?",
            ),
            (
                at([first + rank * -(-batch // ranks) + i for i in range(count)]),
                "which places does a rank get, a piece of the batch or every so many?",
            ),
            (at([first + i for i in range(count)]), "what do the ranks have in common?"),
            (
                at([first * ranks + p for p in dealt]),
                "is the batch that of one rank, or of all?",
            ),
            (
                at([(first + p) // N * N + p % N for p in dealt]),
                "where in the list does this step begin?",
            ),
            (at([first % N + p for p in dealt]), "in which shuffle is this place?"),
            (at([(first + p) % N for p in dealt]), "in which shuffle is this place?"),
            (
                at([first // N * N + (first + p) % N for p in dealt]),
                "in which shuffle is each place of the batch?",
            ),
            (right.flip(0), "in which order are they dealt?"),
            (right.sort().values, "in which order are they dealt?"),
        )
        question = asked_about(got, suspects, "which places of the list are in this step?")
        same = int((got == right).sum())
        expect(
            torch.equal(got, right),
            f"N = {N}, a batch of {batch}, step {step}: of the {count} pictures of rank "
            f"{rank} of {ranks}, {same} are those that are dealt to it: {question}",
        )


def _asks_little(answer, N, batch, step, ranks, *seed):
    first, union = (step - 1) * batch, []
    for rank in range(ranks):
        got, shuffle = _dealt(answer, N, batch, step, rank, ranks, *seed)
        union.append(got)
        needed = {(first + p) // N for p in range(rank, batch, ranks)}
        shown = f"N = {N}, a batch of {batch}, step {step}, rank {rank} of {ranks}: "
        most = max(map(shuffle.asked.count, shuffle.asked), default=0)
        expect(
            most < 2,
            f"{shown}you ask for one shuffle {most} times in one call; can you keep it?",
        )
        extra = sorted(set(shuffle.asked) - needed)
        expect(
            not extra,
            f"{shown}you ask for {len(set(shuffle.asked))} shuffles, and its pictures come "
            f"from {len(needed)}: what is shuffle {extra[:1]} for?",
        )
    _deals(answer, N, batch, step, ranks, *seed)
