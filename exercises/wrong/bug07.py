r"""Wrong answers to 07.6: names, half repairs, and repairs that break something else."""

import torch

from wrong import wrong

EQUIVALENT = {
    (
        "07.6",
        "for _ in range(steps):",
        "for _ in list(range(steps))[::-1]:",
    ): "The number of the update is not used.",
    (
        "07.6",
        "index = torch.randperm(len(pictures), generator=generator)[:8]",
        "index = -torch.randperm(len(pictures), generator=generator)[:8]",
    ): "As an index -k is N - k, and -0 is 0: a shuffle with its numbers exchanged one by "
    "one, from which eight pictures are drawn alike.",
    (
        "07.6",
        "w = w - lr * gradient(w, pictures[index])",
        "w = w - lr * gradient(w, pictures[index - 1])",
    ): "As an index k - 1 runs once through all pictures when k does, -1 being the last: "
    "eight different ones, all drawn alike.",
}
RIGHT = ("ema_from_zero",)


def _updates(pictures, w, gradient, steps, lr, decay, seed, ema=None, other=None, **how):
    generator = torch.Generator().manual_seed(seed)
    ema, fixed = w.clone() if ema is None else ema, None
    for n in range(steps):
        index = torch.randperm(len(pictures), generator=generator)[:8]
        fixed = index if fixed is None else fixed
        x = pictures[fixed if how.get("fixed") else index]
        x = x.flip(3) if how.get("flip") and n % 2 else x
        w = w - lr * gradient(w, x)
        keep = decay if other is None else other(n)
        ema = keep * ema + (1 - keep) * w
        w = ema if how.get("inside") else w
    return w, ema


@wrong("07.6", "what should the average of numbers that are all the same be", RIGHT)
def names_and_repairs_nothing(pictures, w, gradient, steps, lr, decay, seed):
    zero = torch.zeros_like(w)
    return _updates(pictures, w, gradient, steps, lr, decay, seed, zero)


@wrong("07.6", "`ema_slow` would leave the average near the first weights", ("ema_slow",))
def takes_it_for_a_high_decay(pictures, w, gradient, steps, lr, decay, seed):
    return _updates(pictures, w, gradient, steps, lr, decay, seed)


@wrong("07.6", "would turn every second sample", ("ema_from_zero", "flips"))
def one_name_too_many(pictures, w, gradient, steps, lr, decay, seed):
    return _updates(pictures, w, gradient, steps, lr, decay, seed)


@wrong("07.6", "the same as the weights", ("ema_swapped",))
def takes_it_for_swapped_shares(pictures, w, gradient, steps, lr, decay, seed):
    return _updates(pictures, w, gradient, steps, lr, decay, seed)


@wrong(
    "07.6",
    "you name 8, and a run has one fault or two",
    (
        *RIGHT,
        "flips",
        "ema_slow",
        "ema_swapped",
        "ema_in_training",
        "same_batch",
        "range",
        "not_divided",
    ),
)
def names_them_all(pictures, w, gradient, steps, lr, decay, seed):
    return _updates(pictures, w, gradient, steps, lr, decay, seed)


@wrong("07.6", "you name none", ())
def names_nothing(pictures, w, gradient, steps, lr, decay, seed):
    return _updates(pictures, w, gradient, steps, lr, decay, seed)


@wrong("07.6", "is the share of the old average in each update the decay", RIGHT)
def returns_the_weights_twice(pictures, w, gradient, steps, lr, decay, seed):
    w, _ = _updates(pictures, w, gradient, steps, lr, decay, seed)
    return w, w


@wrong("07.6", "is the share of the old average in each update the decay", RIGHT)
def swaps_the_shares(pictures, w, gradient, steps, lr, decay, seed):
    swapped = {"other": lambda n: 1 - decay}
    return _updates(pictures, w, gradient, steps, lr, decay, seed, **swapped)


@wrong("07.6", "is the share of the old average in each update the decay", RIGHT)
def the_plain_mean(pictures, w, gradient, steps, lr, decay, seed):
    def other(n):
        return n / (n + 1)

    return _updates(pictures, w, gradient, steps, lr, decay, seed, other=other)


@wrong("07.6", "what should the average of numbers that are all the same be", RIGHT)
def starts_at_one(pictures, w, gradient, steps, lr, decay, seed):
    one = torch.ones_like(w)
    return _updates(pictures, w, gradient, steps, lr, decay, seed, one)


@wrong("07.6", "who is trained, the weights or the average", RIGHT)
def goes_on_from_the_average(pictures, w, gradient, steps, lr, decay, seed):
    generator = torch.Generator().manual_seed(seed)
    ema = w
    for _ in range(steps):
        index = torch.randperm(len(pictures), generator=generator)[:8]
        moved = w - lr * gradient(ema, pictures[index])
        w, ema = moved, decay * ema + (1 - decay) * moved
    return w, ema


@wrong("07.6", "in no place of the data", RIGHT)
def mirrors_pictures(pictures, w, gradient, steps, lr, decay, seed):
    return _updates(pictures, w, gradient, steps, lr, decay, seed, flip=True)


@wrong("07.6", "is every batch drawn anew", RIGHT)
def always_the_same_batch(pictures, w, gradient, steps, lr, decay, seed):
    return _updates(pictures, w, gradient, steps, lr, decay, seed, fixed=True)


@wrong("07.6", "the gradient is asked for", RIGHT)
def one_update_too_few(pictures, w, gradient, steps, lr, decay, seed):
    return _updates(pictures, w, gradient, steps - 1, lr, decay, seed)


@wrong("07.6", "once, lr times, downhill", RIGHT)
def climbs(pictures, w, gradient, steps, lr, decay, seed):
    return _updates(pictures, w, gradient, steps, -lr, decay, seed)


@wrong("07.6", "what does one update make of the average before it", RIGHT)
def fills_up_what_is_missing(pictures, w, gradient, steps, lr, decay, seed):
    zero = torch.zeros_like(w)
    w, ema = _updates(pictures, w, gradient, steps, lr, decay, seed, zero)
    return w, ema + decay**steps * w


@wrong("07.6", "once, lr times, downhill", RIGHT)
def a_step_size_of_its_own(pictures, w, gradient, steps, lr, decay, seed):
    return _updates(pictures, w, gradient, steps, 0.1, decay, seed)


@wrong("07.6", "what is drawn from the seed", RIGHT)
def sixteen_seeds(pictures, w, gradient, steps, lr, decay, seed):
    return _updates(pictures, w, gradient, steps, lr, decay, seed % 16)


@wrong("07.6", "of the code nothing is said yet", ["ema_slow"])
def a_wrong_name_and_the_code_as_it_was(pictures, w, gradient, steps, lr, decay, seed):
    return names_and_repairs_nothing(pictures, w, gradient, steps, lr, decay, seed)


@wrong("07.6", "what is drawn from the seed", RIGHT)
def does_not_use_the_seed(pictures, w, gradient, steps, lr, decay, seed):
    return _updates(pictures, w, gradient, steps, lr, decay, 0)
