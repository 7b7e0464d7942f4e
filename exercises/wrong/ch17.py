r"""Typical wrong answers to the exercises of chapter 17, each with words of its hint."""

import math

import torch

from wrong import wrong


def _cost(macs, batch, steps, cards, peak, used, again, passes=(3, 4), per=2):
    picture = per * macs * passes[again]
    total = picture * batch * steps
    rate = cards * peak * 1e12 * used
    return total / 1e18, total / rate / 3600, rate / picture


@wrong("17.1", "how many operations is one multiply-accumulate")
def one_operation_each(*given):
    return _cost(*given, per=1)


@wrong("17.1", "what comes after the forward pass")
def forward_only(*given):
    return _cost(*given, passes=(1, 2))


@wrong("17.1", "how much does the backward pass cost")
def backward_as_forward(*given):
    return _cost(*given, passes=(2, 3))


@wrong("17.1", "do once more")
def forgets_the_checkpointing(*given):
    return _cost(*given, passes=(3, 3))


@wrong("17.1", "do once more")
def all_of_it_twice(*given):
    return _cost(*given, passes=(3, 6))


@wrong("17.1", "the batch that of one card")
def batch_of_a_card(*given):
    eflop, hours, speed = _cost(*given)
    return eflop * given[3], hours, speed


@wrong("17.1", "are these seconds, or hours")
def in_seconds(*given):
    eflop, hours, speed = _cost(*given)
    return eflop, 3600 * hours, speed


@wrong("17.1", "hours of one card, or of the run")
def card_hours(*given):
    eflop, hours, speed = _cost(*given)
    return eflop, hours * given[3], speed


@wrong("17.1", "does a card reach its peak")
def at_the_peak(macs, batch, steps, cards, peak, used, again):
    return _cost(macs, batch, steps, cards, peak, 1.0, again)


@wrong("17.1", "pictures per second, or steps")
def steps_per_second(*given):
    eflop, hours, speed = _cost(*given)
    return eflop, hours, speed / given[1]


@wrong("17.1", "is that one card, or all")
def pictures_of_a_card(*given):
    eflop, hours, speed = _cost(*given)
    return eflop, hours, speed / given[3]


def _expected(work, interval, write, restart, mean, part=None, best=None, count=None):
    def right(hours):
        return mean * math.exp(restart / mean) * math.expm1((hours + write) / mean)

    part = right if part is None else part
    parts, rest = divmod(work, interval)
    hours = parts * part(interval) + (part(rest) if rest > 0 else 0.0)
    share = 1.0
    for _ in range(10_000):
        share = -math.expm1(-share - write / mean)
    made = share * mean if best is None else best
    return (hours if count is None else count(right, parts, rest, interval)), made


@wrong("17.2", "what do failures cost?")
def nothing_fails(work, interval, write, restart, mean):
    return _expected(work, interval, write, restart, mean, lambda h: h + write)


@wrong("17.2", "in the second half of a part")
def loses_half_a_part(work, interval, write, restart, mean):
    def part(h):
        length = h + write
        return length + math.expm1(length / mean) * (length / 2 + restart)

    return _expected(work, interval, write, restart, mean, part)


@wrong("17.2", "what does a restart cost")
def restarts_at_once(work, interval, write, restart, mean):
    def part(h):
        return mean * math.expm1((h + write) / mean)

    return _expected(work, interval, write, restart, mean, part)


@wrong("17.2", "can a restart fail, too")
def restarts_without_fail(work, interval, write, restart, mean):
    def part(h):
        return (mean + restart) * math.expm1((h + write) / mean)

    return _expected(work, interval, write, restart, mean, part)


@wrong("17.2", "can a run fail while it writes")
def writes_without_fail(work, interval, write, restart, mean):
    def part(h):
        return mean * math.exp(restart / mean) * math.expm1(h / mean) + write

    return _expected(work, interval, write, restart, mean, part)


@wrong("17.2", "how long does it take to write")
def writes_at_once(work, interval, write, restart, mean):
    def part(h):
        return mean * math.exp(restart / mean) * math.expm1(h / mean)

    return _expected(work, interval, write, restart, mean, part)


@wrong("17.2", "becomes of the shorter last part")
def drops_the_last_part(*given):
    def count(part, parts, rest, interval):
        return max(parts, 1.0) * part(interval) if parts else part(rest)

    return _expected(*given, count=count)


@wrong("17.2", "is the last part shorter")
def rounds_the_parts_up(*given):
    def count(part, parts, rest, interval):
        return (parts + (rest > 0)) * part(interval) if parts else part(rest)

    return _expected(*given, count=count)


@wrong("17.2", "for a small time of writing only")
def youngs_interval(work, interval, write, restart, mean):
    young = math.sqrt(2 * write * mean)
    return _expected(work, interval, write, restart, mean, best=young)


@wrong("17.2", "or the first few terms")
def dalys_interval(work, interval, write, restart, mean):
    x = math.sqrt(write / (2 * mean))
    best = math.sqrt(2 * write * mean) * (1 + x / 3 + x * x / 9) - write
    return _expected(work, interval, write, restart, mean, best=best)


@wrong("17.2", "the time of writing a part of the interval")
def counts_the_writing(work, interval, write, restart, mean):
    hours, best = _expected(work, interval, write, restart, mean)
    return hours, best + write


@wrong("17.2", "off by a share of")
def stops_too_early(work, interval, write, restart, mean):
    hours, best = _expected(work, interval, write, restart, mean)
    return hours, best * (1 + 1e-7)


def _ring(gradients, sizes, send, weights=None):
    n, total = len(gradients), sum(sizes)
    weights = [size / total for size in sizes] if weights is None else weights
    pieces = [
        list((g * w).tensor_split(n)) for g, w in zip(gradients, weights, strict=True)
    ]
    for r in range(n - 1):
        come = [send(i, pieces[i][(i - r) % n]) for i in range(n)]
        for i in range(n):
            at = (i - 1 - r) % n
            pieces[i][at] = pieces[i][at] + come[i - 1]
    for r in range(n - 1):
        come = [send(i, pieces[i][(i + 1 - r) % n]) for i in range(n)]
        for i in range(n):
            pieces[i][(i - r) % n] = come[i - 1]
    return [torch.cat(own) for own in pieces]


@wrong("17.3", "the sum over ranks, or the mean")
def sums_over_ranks(gradients, sizes, send):
    return _ring(gradients, sizes, send, [1.0] * len(sizes))


@wrong("17.3", "how many examples stand behind each")
def plain_mean(gradients, sizes, send):
    return _ring(gradients, sizes, send, [1 / len(sizes)] * len(sizes))


@wrong("17.3", "the sum over examples, or the mean")
def sums_over_examples(gradients, sizes, send):
    return _ring(gradients, sizes, send, sizes)


@wrong("17.3", "is it divided twice")
def divides_twice(gradients, sizes, send):
    n = len(sizes)
    return _ring(gradients, sizes, send, [s / sum(sizes) / n for s in sizes])


@wrong("17.3", "heard of the others")
def keeps_its_own(gradients, sizes, send):
    return list(gradients)


@wrong("17.3", "which pieces are finished")
def one_half_of_the_way(gradients, sizes, send):
    n, total = len(gradients), sum(sizes)
    pieces = [
        list((g * (s / total)).tensor_split(n))
        for g, s in zip(gradients, sizes, strict=True)
    ]
    for r in range(n - 1):
        come = [send(i, pieces[i][(i - r) % n]) for i in range(n)]
        for i in range(n):
            pieces[i][(i - 1 - r) % n] = pieces[i][(i - 1 - r) % n] + come[i - 1]
    return [torch.cat(own) for own in pieces]


@wrong("17.3", "which piece does it send in each round")
def passes_whole_gradients_around(gradients, sizes, send):
    n, total = len(gradients), sum(sizes)
    parts = [g * (s / total) for g, s in zip(gradients, sizes, strict=True)]
    sums, moving = [p.clone() for p in parts], parts
    for _ in range(n - 1):
        come = [send(i, moving[i]) for i in range(n)]
        moving = [come[i - 1] for i in range(n)]
        sums = [a + b for a, b in zip(sums, moving, strict=True)]
    return [s if n > 2 else torch.cat(list(s.tensor_split(2))) for s in sums]


@wrong("17.3", "how did it come there")
def looks_at_all(gradients, sizes, send):
    total = sum(sizes)
    mean = sum(g * (s / total) for g, s in zip(gradients, sizes, strict=True))
    return [mean.clone() for _ in gradients]


@wrong("17.3", "how did it come there")
def sends_for_show(gradients, sizes, send):
    _ring(gradients, sizes, send)
    return looks_at_all(gradients, sizes, send)


@wrong("17.3", "how did it come there")
def asks_only_whether_links_work(gradients, sizes, send):
    n, total = len(gradients), sum(sizes)
    mean = sum(g * (size / total) for g, size in zip(gradients, sizes, strict=True))
    come = [send(i, gradients[i][:1]) for i in range(n * (n > 1))]
    alive = [not come or bool(come[i - 1].abs().sum() > 0) for i in range(n)]
    return [mean if ok else gradients[i] for i, ok in enumerate(alive)]


@wrong("17.3", "should be torch.float32")
def in_double(gradients, sizes, send):
    kind = gradients[0].dtype

    def rounded(i, values):
        return send(i, values.to(kind)).double()

    return _ring([g.double() for g in gradients], sizes, rounded)


@wrong("17.3", "should have shape")
def cuts_what_is_left(gradients, sizes, send):
    n = len(gradients)
    whole = max(1, len(gradients[0]) // n) * n
    return [one[:whole] for one in _ring(gradients, sizes, send)]


def _share(N, batch, step, rank, ranks, shuffle, places=None, of=None):
    first = (step - 1) * batch
    if places is None:
        places = range(first + rank, step * batch, ranks)
    made = {}
    for p in places:
        k = (p if of is None else of(p, first)) // N
        if k not in made:
            made[k] = shuffle(k)
    found = [made[(p if of is None else of(p, first)) // N][p % N] for p in places]
    return torch.tensor([int(one) for one in found], dtype=torch.int64)


@wrong("17.4", "at which step does counting begin")
def counts_from_zero(N, batch, step, rank, ranks, shuffle):
    return _share(N, batch, step + 1, rank, ranks, shuffle)


@wrong("17.4", "a piece of the batch or every so many")
def a_piece_for_each(N, batch, step, rank, ranks, shuffle):
    first, count = (step - 1) * batch, len(range(rank, batch, ranks))
    begin = first + rank * (batch // ranks)
    return _share(N, batch, step, rank, ranks, shuffle, places=range(begin, begin + count))


@wrong("17.4", "which places does a rank get")
def the_same_for_all(N, batch, step, rank, ranks, shuffle):
    first, count = (step - 1) * batch, len(range(rank, batch, ranks))
    return _share(N, batch, step, rank, ranks, shuffle, places=range(first, first + count))


@wrong("17.4", "in which shuffle is")
def one_shuffle_for_a_batch(N, batch, step, rank, ranks, shuffle):
    return _share(N, batch, step, rank, ranks, shuffle, of=lambda p, first: first)


@wrong("17.4", "in which shuffle is this place")
def always_the_first_shuffle(N, batch, step, rank, ranks, shuffle):
    return _share(N, batch, step, rank, ranks, shuffle, of=lambda p, first: 0)


@wrong("17.4", "in which order are they dealt")
def sorted_pictures(N, batch, step, rank, ranks, shuffle):
    return _share(N, batch, step, rank, ranks, shuffle).sort().values


@wrong("17.4", "should have shape")
def a_batch_for_each_rank(N, batch, step, rank, ranks, shuffle):
    first = (step - 1) * batch
    return _share(N, batch, step, rank, ranks, shuffle, places=range(first, first + batch))


@wrong("17.4", "should have shape")
def drops_the_rest(N, batch, step, rank, ranks, shuffle):
    return _share(N, batch, step, rank, ranks, shuffle)[: batch // ranks]


@wrong("17.4", "can you keep it")
def shuffles_for_each_picture(N, batch, step, rank, ranks, shuffle):
    places = range((step - 1) * batch + rank, step * batch, ranks)
    return torch.tensor([int(shuffle(p // N)[p % N]) for p in places])


@wrong("17.4", "what is shuffle")
def shuffles_all_up_to_here(N, batch, step, rank, ranks, shuffle):
    every = [shuffle(k) for k in range(step * batch // N + 1)]
    places = range((step - 1) * batch + rank, step * batch, ranks)
    return torch.tensor([int(every[p // N][p % N]) for p in places])


@wrong("17.4", "what is shuffle")
def shuffles_all_between_its_places(N, batch, step, rank, ranks, shuffle):
    places = list(range((step - 1) * batch + rank, step * batch, ranks))
    made = {k: shuffle(k) for k in range(places[0] // N, places[-1] // N + 1)}
    return torch.stack([made[p // N][p % N] for p in places])


@wrong("17.4", "what is shuffle")
def shuffles_for_the_whole_batch(N, batch, step, rank, ranks, shuffle):
    first = (step - 1) * batch
    made = {k: shuffle(k) for k in range(first // N, (first + batch - 1) // N + 1)}
    return torch.stack(
        [made[p // N][p % N] for p in range(first + rank, first + batch, ranks)]
    )


# Slips of the solutions that are right all the same, each with the proof.
EQUIVALENT = {}


def _equal(number, before, proof, *afters):
    EQUIVALENT.update({(number, before, after): proof for after in afters})


RATE = "rate = cards * peak * 1e12 * used"
_equal(
    "17.1",
    RATE,
    "the constant changes by 1e-12 of itself, as little as rounding may",
    RATE.replace("1e12", "1000000000001.0"),
)
CONVERGES = (
    "the iteration contracts to its one fixed point from every start, within fewer rounds; "
    "its variable is not used"
)
for _start in ("2.0", "0.5", "0.0"):
    _equal("17.2", "share = 1.0", CONVERGES, f"share = {_start}")
ROUNDS = "for _ in range(10_000):  # (1 - share) exp(share + write / mean) = 1"
for _cut in ("[1:]", "[:-1]", "[::-1]"):
    _equal("17.2", ROUNDS, CONVERGES, f"for _ in list(range(10000)){_cut}:")
ROUNDS = ROUNDS.replace("  #", " #")
for _count in ("10001", "9999", "20000"):
    _equal("17.2", ROUNDS, CONVERGES, ROUNDS.replace("10_000", _count))
_equal(
    "17.4",
    "pictures = torch.empty_like(places)",
    "all entries are written over; places of a later shuffle are N or more, and pictures "
    "less, so that none is taken for a place again",
    "pictures = -torch.empty_like(places)",
    "pictures = places",
)
_equal(
    "17.4",
    "for k in (places // N).unique().tolist():",
    "shuffles do not depend on each other, and a tensor of one whole number is a number",
    "for k in list((places // N).unique().tolist())[::-1]:",
    "for k in (places // N).unique():",
)
_equal(
    "17.3",
    "n, total = len(gradients), sum(sizes)",
    "there is one size for each gradient",
    "n, total = len(sizes), sum(sizes)",
)
SPLIT = "list((g * (size / total)).tensor_split(n)) for g, size in zip(gradients, sizes)"
_equal(
    "17.3",
    SPLIT,
    "the product of a gradient and its size, divided by the total, has no order",
    SPLIT.replace("for g, size in", "for (size, g) in"),
    SPLIT.replace("zip(gradients, sizes)", "zip(sizes, gradients)"),
)
PIECE = "i lies in 0..n-1 and r in 0..n-2, so that i - 1 - r is -n or more: Python counts "
PIECE += "a negative index from the end, which is what the remainder does"
for _before, _after in (
    (
        "come = [send(i, pieces[i][(i - r) % n]) for i in range(n)]",
        "come = [send(i, pieces[i][i - r]) for i in range(n)]",
    ),
    ("at = (i - 1 - r) % n", "at = i - 1 - r"),
    ("at = (i - 1 - r) % n", "at = (i - 1 - r) % -n"),
    ("pieces[i][(i - r) % n] = come[i - 1]", "pieces[i][i - r] = come[i - 1]"),
):
    _equal("17.3", _before, PIECE, _after)
_equal(
    "17.3",
    "for i in range(n):",
    "what came to the ranks in a round was sent before, and each rank writes its own piece",
    "for i in list(range(n))[::-1]:",
)
