r"""Typical wrong answers to the exercises of chapter 07, each with words of its hint."""

import itertools
import math

import torch

from wrong import wrong


@wrong("07.1", "take away as much as the first one")
def one_over_one_minus_decay(decay, share, warmup):
    warm = _loop(share, lambda n: min(decay, (1 + n) / (10 + n)))
    return warm if warmup else max(round((1 - share) / (1 - decay)), 1)


def _loop(share, factor):
    left, n = 1.0, 0
    while left > share:
        left *= factor(n)
        n += 1
    return n


@wrong("07.1", "what does one update do")
def keeps_what_is_replaced(decay, share, warmup):
    if warmup:
        return _loop(share, lambda n: min(decay, (1 + n) / (10 + n)))
    return _loop(share, lambda n: 1 - decay)


@wrong("07.1", "even where it is above the decay")
def warm_up_without_an_end(decay, share, warmup):
    return _loop(share, lambda n: (1 + n) / (10 + n) if warmup else decay)


@wrong("07.1", "is that not reached")
def less_than_the_share(decay, share, warmup):
    left, n = 1.0, 0
    while left >= share:
        left *= min(decay, (1 + n) / (10 + n)) if warmup else decay
        n += 1
    return n


@wrong("07.1", "are all used")
def ten_updates_of_warm_up(decay, share, warmup):
    def factor(n):
        return (1 + n) / (10 + n) if warmup and n < 10 else decay

    return _loop(share, factor)


@wrong("07.1", "which is right with warm-up")
def always_with_warm_up(decay, share, warmup):
    return _loop(share, lambda n: min(decay, (1 + n) / (10 + n)))


@wrong("07.1", "which is right without warm-up")
def never_with_warm_up(decay, share, warmup):
    return math.ceil(round(math.log(share) / math.log(decay), 9))


@wrong("07.1", "sooner, or later")
def the_larger_factor(decay, share, warmup):
    return _loop(share, lambda n: max(decay, (1 + n) / (10 + n)) if warmup else decay)


@wrong("07.1", "whole numbers")
def not_rounded_up(decay, share, warmup):
    return math.log(share) / math.log(decay)


@wrong("07.1", "leaves only 0 already")
def for_ever(decay, share, warmup):
    return 10**15 + warmup


@wrong("07.1", "Which n has the first update")
def counts_updates_from_one(decay, share, warmup):
    left, n = 1.0, 0
    while left > share:
        n += 1
        left *= min(decay, (1 + n) / (10 + n)) if warmup else decay
    return n


@wrong("07.1", "which one is asked for")
def rounded_down(decay, share, warmup):
    left, n = 1.0, 0
    while left > share:
        left *= min(decay, (1 + n) / (10 + n)) if warmup else decay
        n += 1
    return max(n - 1, 1)


@wrong("07.2", "each part counts as much as any other")
def mean_of_means(gradients, sizes):
    return sum(gradients) / len(gradients)


@wrong("07.2", "is it a mean of them, or a sum")
def sum_of_all(gradients, sizes):
    return sum(gradients)


@wrong("07.2", "is it a mean of them, or a sum")
def sum_by_sizes(gradients, sizes):
    return sum(g * n for g, n in zip(gradients, sizes, strict=True))


@wrong("07.2", "should have shape")
def for_matrices_alone(gradients, sizes):
    share = torch.tensor(sizes, dtype=gradients[0].dtype) / sum(sizes)
    return (torch.stack(gradients) * share[:, None, None]).sum(0)


@wrong("07.2", "whatever part 1 says")
def the_last_part_only(gradients, sizes):
    return gradients[-1]


@wrong("07.2", "should have shape")
def one_number_for_each_part(gradients, sizes):
    return torch.stack(gradients)


@wrong("07.2", "is it a mean of them, or a sum")
def all_as_large_as_the_first(gradients, sizes):
    return sum(g * n for g, n in zip(gradients, sizes, strict=True)) / (
        sizes[0] * len(sizes)
    )


@wrong("07.2", "which number belongs to which part")
def sizes_in_reverse(gradients, sizes):
    total = sum(sizes)
    return sum(g * n / total for g, n in zip(gradients, sizes[::-1], strict=True))


@wrong("07.2", "in the whole batch, whose counts more")
def small_parts_count_more(gradients, sizes):
    total = sum(1 / n for n in sizes)
    return sum(g / n / total for g, n in zip(gradients, sizes, strict=True))


@wrong("07.2", "do its")
def drops_the_smaller_part(gradients, sizes):
    kept = [(g, n) for g, n in zip(gradients, sizes, strict=True) if n == sizes[0]]
    return sum(g for g, _ in kept) / len(kept)


@wrong("07.2", "divided by a norm")
def clips_it_as_well(gradients, sizes):
    total = sum(sizes)
    g = sum(g * (n / total) for g, n in zip(gradients, sizes, strict=True))
    return g / g.norm().clamp(min=1)


@wrong("07.3", "also when it came out a little below")
def cuts_off(x):
    return ((x + 1) * 127.5 - 1e-3).clamp(0, 255).to(torch.uint8)


@wrong("07.3", "How many steps")
def times_127(x):
    return (x * 127 + 128).round().clamp(0, 255).to(torch.uint8)


@wrong("07.3", "which level is the nearest")
def bins_of_one_256th(x):
    return ((x + 1) * 128).floor().clamp(0, 255).to(torch.uint8)


@wrong("07.3", "or always go up")
def always_up(x):
    return ((x + 1) * 127.5 - 1e-3).ceil().clamp(0, 255).to(torch.uint8)


@wrong("07.3", "one of the two sides")
def clamps_below_only(x):
    levels = ((x + 1) * 127.5).round().clamp(min=0)
    return levels.to(torch.int64).remainder(256).to(torch.uint8)


@wrong("07.3", "How many steps")
def times_128(x):
    return ((x + 1) * 128).round().clamp(0, 255).to(torch.uint8)


@wrong("07.3", "eight bits")
def does_not_clamp(x):
    return ((x + 1) * 127.5).round().to(torch.int64).to(torch.uint8)


@wrong("07.3", "should be torch.uint8")
def stays_a_float(x):
    return ((x + 1) * 127.5).round().clamp(0, 255)


@wrong("07.3", "stand for black")
def for_pictures_in_0_to_1(x):
    return (x * 255).round().clamp(0, 255).to(torch.uint8)


@wrong("07.3", "do you round")
def adds_a_little_and_cuts(x):
    return ((x + 1) * 127.5 + 0.01).clamp(0, 255).to(torch.uint8)


@wrong("07.3", "anything but its own")
def stretches_each_picture(x):
    x = x.clamp(-1, 1)
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return ((x - low) / (high - low) * 255).round().to(torch.uint8)


@wrong("07.3", "Has anything been moved")
def channels_last_by_reshape(x):
    levels = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return levels.permute(0, 2, 3, 1).reshape(x.shape)


def _shuffle(N, seed):
    return torch.randperm(N, generator=torch.Generator().manual_seed(seed))


@wrong("07.4", "seen once before")
def drawn_with_replacement(N, batch, seed, step):
    generator = torch.Generator().manual_seed(1000 * seed + step)
    return torch.randint(N, (batch,), generator=generator)


@wrong("07.4", "shuffled anew")
def one_shuffle_for_all(N, batch, seed, step):
    places = torch.arange((step - 1) * batch, step * batch) % N
    return _shuffle(N, seed)[places]


@wrong("07.4", "can another seed and another pass make the same")
def adds_the_seed_to_the_pass(N, batch, seed, step):
    places = range((step - 1) * batch, step * batch)
    return torch.stack([_shuffle(N, seed + p // N)[p % N] for p in places])


@wrong("07.4", "can another seed and another pass make the same")
def a_hundred_passes_apart(N, batch, seed, step):
    places = range((step - 1) * batch, step * batch)
    return torch.stack([_shuffle(N, 100 * seed + p // N)[p % N] for p in places])


def _linear(name, of):
    def made(N, batch, seed, step):
        first = (step - 1) * batch
        passes = range(first // N, (first + batch - 1) // N + 1)
        shuffles = [_shuffle(N, of(seed, one)) for one in passes]
        return torch.cat(shuffles)[first % N :][:batch]

    made.__name__ = name
    return wrong("07.4", "can another seed and another pass make the same")(made)


six_hundred_passes_apart = _linear("six_hundred_passes_apart", lambda s, e: 600 * s + e)
passes_777_apart = _linear("passes_777_apart", lambda s, e: 777 * s + e)
passes_999_apart = _linear("passes_999_apart", lambda s, e: 999 * s + e)
a_hundred_seeds_apart = _linear("a_hundred_seeds_apart", lambda s, e: 100 * e + s)
twenty_seeds_apart = _linear("twenty_seeds_apart", lambda s, e: 20 * e + s)
seeds_2000_apart = _linear("seeds_2000_apart", lambda s, e: 2000 * e + s)
sixteen_seeds_a_pass = _linear("sixteen_seeds_a_pass", lambda s, e: (s % 16) * 1000 + e)
seeds_of_16_bits = _linear("seeds_of_16_bits", lambda s, e: (s % 2**16) * 1000 + e)
six_hundred_passes = _linear("six_hundred_passes", lambda s, e: 1000 * s + e % 600)
exclusive_or = _linear("exclusive_or", lambda s, e: s ^ e)
both_multiplied = _linear("both_multiplied", lambda s, e: 797 * s + 1201 * e)
backwards = _linear("backwards", lambda s, e: 10**6 + 613 * s - 7 * e)


@wrong("07.4", "can another seed and another pass make the same")
def multiplies_seed_and_pass(N, batch, seed, step):
    places = range((step - 1) * batch, step * batch)
    return torch.stack([_shuffle(N, seed * (1 + p // N))[p % N] for p in places])


@wrong("07.4", "that do not fill a batch")
def drops_what_is_left_of_a_pass(N, batch, seed, step):
    if batch > N:
        return adds_the_seed_to_the_pass(N, batch, seed, step)
    epoch, k = divmod(step - 1, N // batch)
    return _shuffle(N, 1000 * seed + epoch)[k * batch : (k + 1) * batch]


@wrong("07.4", "With which step")
def begins_with_step_0(N, batch, seed, step):
    places = range(step * batch, (step + 1) * batch)
    return torch.stack([_shuffle(N, 1000 * seed + p // N)[p % N] for p in places])


@wrong("07.4", "should have shape")
def the_last_batch_is_smaller(N, batch, seed, step):
    epoch, k = divmod(step - 1, -(-N // batch))
    return _shuffle(N, 1000 * seed + epoch)[k * batch : (k + 1) * batch]


@wrong("07.4", "a picture lies")
def begins_anywhere(N, batch, seed, step):
    places = torch.arange((step - 1) * batch, step * batch)
    epoch = places // N
    return (places + 7 * seed + 3 * epoch) % N


@wrong("07.4", "with another seed as well")
def turns_by_the_seed(N, batch, seed, step):
    places = range((step - 1) * batch, step * batch)
    return torch.stack([_shuffle(N, p // N).roll(seed)[p % N] for p in places])


@wrong("07.4", "seen once before")
def a_new_shuffle_for_each_step(N, batch, seed, step):
    return _shuffle(N * batch, 1000 * seed + step)[:batch] % N


@wrong("07.4", "function of the seed and the step")
def with_a_memory(N, batch, seed, step, calls=[]):  # noqa: B006
    calls.append(step)
    places = range(len(calls) * batch, (len(calls) + 1) * batch)
    return torch.stack([_shuffle(N, seed + p // N)[p % N] for p in places])


@wrong("07.4", "another seed")
def forgets_the_seed(N, batch, seed, step):
    places = range((step - 1) * batch, step * batch)
    return torch.stack([_shuffle(N, p // N)[p % N] for p in places])


@wrong("07.4", "a shuffle of its own")
def moves_one_shuffle_on(N, batch, seed, step):
    places = range((step - 1) * batch, step * batch)
    return torch.stack([_shuffle(N, seed).roll(p // N)[p % N] for p in places])


@wrong("07.4", "where does the next one go on")
def fills_up_from_the_same_shuffle(N, batch, seed, step):
    places = torch.arange((step - 1) * batch, step * batch)
    return _shuffle(N, 1000 * seed + int(places[0]) // N)[places % N]


@wrong("07.4", "are numbered")
def counts_from_one(N, batch, seed, step):
    places = range((step - 1) * batch, step * batch)
    return 1 + torch.stack([_shuffle(N, 1000 * seed + p // N)[p % N] for p in places])


def _train(
    X,
    y,
    state,
    steps,
    seed,
    *,
    forgets=(),
    decay=0.9,
    lr=0.1,
    new=None,
    factor=10_007,
    batch=8,
    whole=False,
    corrected=True,
    inside=False,
):
    zeros = torch.zeros(X.shape[1], dtype=torch.float64)
    start = {"w": zeros, "ema": zeros, "m": zeros, "v": zeros, "n": 0, "drawn": 0}
    state = start | {k: v for k, v in (state or {}).items() if k not in forgets}
    w, ema, m, v, n, drawn = (state[k] for k in start)
    for _ in range(steps):
        n, drawn = n + 1, drawn + 1
        generator = torch.Generator().manual_seed(factor * seed + drawn)
        index = torch.randint(len(X), (batch,), generator=generator)
        index = torch.arange(len(X)) if whole else index
        gradient = 2 * (X[index] @ w - y[index]) @ X[index] / len(index)
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
        m_hat, v_hat = (m / (1 - 0.9**n), v / (1 - 0.99**n)) if corrected else (m, v)
        w = w - lr * m_hat / ((v_hat + 1e-8).sqrt() if inside else v_hat.sqrt() + 1e-8)
        ema = decay * ema + (1 - decay if new is None else new) * w
    return {"w": w, "ema": ema, "m": m, "v": v, "n": n, "drawn": drawn}


@wrong("07.5", "in the weights")
def forgets_the_moments(X, y, state, steps, seed):
    return _train(X, y, state, steps, seed, forgets=("m", "v"))


@wrong("07.5", "in the weights")
def draws_the_same_again(X, y, state, steps, seed):
    return _train(X, y, state, steps, seed, forgets=("drawn",))


@wrong("07.5", "in the weights")
def forgets_the_count(X, y, state, steps, seed):
    return _train(X, y, state, steps, seed, forgets=("n",))


@wrong("07.5", "in the average")
def forgets_the_average(X, y, state, steps, seed):
    return _train(X, y, state, steps, seed, forgets=("ema",))


@wrong("07.5", "is it an average")
def average_without_memory(X, y, state, steps, seed):
    return _train(X, y, state, steps, seed, decay=0.0)


@wrong("07.5", "your first step is")
def hardly_learns(X, y, state, steps, seed):
    return _train(X, y, state, steps, seed, lr=1e-4)


@wrong("07.5", "corrected for its start at 0")
def moments_without_correction(X, y, state, steps, seed):
    return _train(X, y, state, steps, seed, corrected=False)


@wrong("07.5", "to what is it added")
def epsilon_under_the_root(X, y, state, steps, seed):
    return _train(X, y, state, steps, seed, inside=True)


@wrong("07.5", "can another seed and another step make the same")
def adds_the_seed_to_the_step(X, y, state, steps, seed):
    return _train(X, y, state, steps, seed, factor=1)


@wrong("07.5", "does every step draw a batch of its own")
def one_batch_for_all_steps(X, y, state, steps, seed):
    generator = torch.Generator().manual_seed(10_007 * seed)
    index = torch.randint(len(X), (8,), generator=generator)
    return _train(X[index], y[index], state, steps, seed, whole=True)


@wrong("07.5", "what does a decay of 0.9 leave")
def average_of_decay_99(X, y, state, steps, seed):
    return _train(X, y, state, steps, seed, decay=0.99)


@wrong("07.5", "are the batches drawn by chance")
def all_examples_in_each_step(X, y, state, steps, seed):
    return _train(X, y, state, steps, seed, whole=True)


@wrong("07.5", "how many examples are in a batch")
def batches_of_sixteen(X, y, state, steps, seed):
    return _train(X, y, state, steps, seed, batch=16)


@wrong("07.5", "another seed")
def the_same_for_every_seed(X, y, state, steps, seed):
    return _train(X, y, state, steps, 0)


@wrong("07.5", "another seed gives the same w")
def sixteen_seeds_alone(X, y, state, steps, seed):
    return _train(X, y, state, steps, seed % 16)


@wrong("07.5", "add up to 1")
def whole_weights_each_time(X, y, state, steps, seed):
    return _train(X, y, state, steps, seed, new=1)


@wrong("07.5", "add up to 1")
def average_of_the_weights_before(X, y, state, steps, seed):
    for _ in range(steps):
        before = torch.zeros(X.shape[1]).double() if state is None else state["w"]
        old = torch.zeros(X.shape[1]).double() if state is None else state["ema"]
        state = _train(X, y, state, 1, seed) | {"ema": 0.9 * old + 0.1 * before}
    return state


@wrong("07.5", "your first step is")
def without_moments(X, y, state, steps, seed):
    zeros = torch.zeros(X.shape[1], dtype=torch.float64)
    state = state or {"w": zeros, "ema": zeros, "n": 0}
    w, ema, n = state["w"], state["ema"], state["n"]
    for _ in range(steps):
        n += 1
        generator = torch.Generator().manual_seed(10_007 * seed + n)
        index = torch.randint(len(X), (8,), generator=generator)
        w = w - 0.1 * (X[index] @ w - y[index]) @ X[index] / 8
        ema = 0.9 * ema + 0.1 * w
    return {"w": w, "ema": ema, "n": n}


@wrong("07.5", "started twice")
def without_the_seed(X, y, state, steps, seed):
    return _train(X, y, state, steps, torch.initial_seed() % 1000 + next(_calls))


_calls = itertools.count()


@wrong("07.5", "the larger share")
def shares_exchanged(X, y, state, steps, seed):
    return _train(X, y, state, steps, seed, decay=0.1)


@wrong("07.5", "is it an average")
def average_never_moves(X, y, state, steps, seed):
    return _train(X, y, state, steps, seed, decay=1.0)


_generators = {}


@wrong("07.5", "is all of it in the state")
def generator_outside_the_state(X, y, state, steps, seed):
    if state is None:
        _generators["it"] = torch.Generator().manual_seed(1000 * seed)
    for _ in range(steps):
        drawn = int(torch.randint(10**6, (), generator=_generators["it"]))
        state = _train(X, y, (state or {}) | {"drawn": drawn}, 1, seed)
    return state


@wrong("07.5", "get its turn")
def never_the_last(X, y, state, steps, seed):
    return _train(X[:-1], y[:-1], state, steps, seed)


_SUM = "return sum(g * (size / total) for g, size in zip(gradients, sizes))"
_ROUNDING = "n (g / N) is g (n / N), but for the last digit"
_SEED = "generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)"
_LAST = "(first + batch - 1) // N + 1"
_PASSES = f"for epoch in range(first // N, {_LAST}):"
_LATER = (
    f"{_LAST} + 1",
    "(first + batch - 1) // N + 2",
    "(first + batch + 1) // N + 1",
    "(first + batch) // N + 1",
    "(first + batch - 0) // N + 1",
)
_CUT = "there is a shuffle more at the end where it is not needed, and [:batch] cuts it off"
_EARLIER = "each pass is made from the number before its own, still no two from the same"
_OTHER = "also one number for each seed and pass, no two the same: other shuffles, as good"
_DRAWN = "generator = torch.Generator().manual_seed(10_007 * seed + n)"
_ALSO = "also one number for each seed and step: other batches, as good"
EQUIVALENT = {
    ("07.2", _SUM, _SUM.replace("for g, size", "for (size, g)")): _ROUNDING,
    ("07.2", _SUM, _SUM.replace("(gradients, sizes)", "(sizes, gradients)")): _ROUNDING,
    ("07.4", _PASSES, _PASSES.replace("first // N,", "first // N - 1,")): _EARLIER,
    **{("07.4", _PASSES, _PASSES.replace(_LAST, after)): _CUT for after in _LATER},
    ("07.4", _SEED, _SEED.replace("1_000_003 * seed +", "1000003 * seed -")): _OTHER,
    ("07.4", _SEED, _SEED.replace("1_000_003", "1000004")): _OTHER,
    ("07.4", _SEED, _SEED.replace("1_000_003", "1000002")): _OTHER,
    ("07.4", _SEED, _SEED.replace("1_000_003", "2000006")): _OTHER,
    ("07.4", _SEED, _SEED.replace("* seed", "* -seed")): _OTHER,
    (
        "07.5",
        "for _ in range(steps):",
        "for _ in list(range(steps))[::-1]:",
    ): "nothing in the loop depends on its number",
    ("07.5", f"n += 1; {_DRAWN}", f"{_DRAWN}; n += 1"): _ALSO,
    ("07.5", _DRAWN, _DRAWN.replace("10_007 * seed +", "10007 * seed -")): _ALSO,
    ("07.5", _DRAWN, _DRAWN.replace("10_007", "10008")): _ALSO,
    ("07.5", _DRAWN, _DRAWN.replace("10_007", "10006")): _ALSO,
    ("07.5", _DRAWN, _DRAWN.replace("10_007", "20014")): _ALSO,
    ("07.5", _DRAWN, _DRAWN.replace("* seed", "* -seed")): _ALSO,
    (
        "07.5",
        "index = torch.randint(len(X), (8,), generator=generator)",
        "index = -torch.randint(len(X), (8,), generator=generator)",
    ): "index -i is index N - i, and -0 is 0: every example is as likely as before",
    (
        "07.5",
        "gradient = 2 * error @ X[index] / len(index)",
        "gradient = 2 * error @ X[index] / len(error)",
    ): "there is one error for each example of the batch",
}
