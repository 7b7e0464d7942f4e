r"""Typical wrong answers to the exercises of chapter 02, each with words of its hint."""

import math

import torch

from wrong import wrong


def _wide(value, x):
    return value.reshape(-1, *[1] * (x.dim() - 1))


@wrong("02.1", "still")
def compares_deviations(alpha_bar):
    return int((1 - alpha_bar.sqrt() > 0).nonzero()[0])


@wrong("02.1", "clean data")
def counts_from_zero(alpha_bar):
    return int((alpha_bar[1:] < 0.5).nonzero()[0])


@wrong("02.1", "earlier")
def waits_for_the_root(alpha_bar):
    return int((alpha_bar.sqrt() < 0.5).nonzero()[0])


@wrong("02.1", "one number")
def all_of_them(alpha_bar):
    return (alpha_bar < 0.5).nonzero()


@wrong("02.2", "shrink in the second step")
def adds_the_noises(a, b):
    return math.sqrt((1 - a) * (1 - b)), a + b


@wrong("02.2", "a variance")
def returns_a_deviation(a, b):
    return math.sqrt((1 - a) * (1 - b)), math.sqrt(a * (1 - b) + b)


@wrong("02.2", "walked through both steps")
def adds_the_beta(a, b):
    return math.sqrt(max(0.0, 1 - a - b)), min(1.0, a + b)


@wrong("02.2", "change places")
def forgets_the_first_step(a, b):
    return math.sqrt(1 - b), b


@wrong("02.2", "2 things")
def returns_the_factor(a, b):
    return math.sqrt((1 - a) * (1 - b))


@wrong("02.3", "squares add up to 1")
def no_root_on_the_noise(alpha_bar, x_0, t, noise):
    kept = _wide(alpha_bar[t], x_0)
    return (kept.sqrt() * x_0 + (1 - kept) * noise).to(x_0.dtype)


@wrong("02.3", "squares add up to 1")
def forgets_to_shrink(alpha_bar, x_0, t, noise):
    return (x_0 + (1 - _wide(alpha_bar[t], x_0)).sqrt() * noise).to(x_0.dtype)


@wrong("02.3", "which entry")
def one_step_late(alpha_bar, x_0, t, noise):
    kept = _wide(alpha_bar[t - 1], x_0)
    return (kept.sqrt() * x_0 + (1 - kept).sqrt() * noise).to(x_0.dtype)


@wrong("02.3", "should be torch.float32")
def stays_in_double(alpha_bar, x_0, t, noise):
    kept = _wide(alpha_bar[t], x_0)
    return kept.sqrt() * x_0.double() + (1 - kept).sqrt() * noise.double()


@wrong("02.3", "own t")
def one_step_for_all(alpha_bar, x_0, t, noise):
    kept = alpha_bar[t[0]]
    return (kept.sqrt() * x_0 + (1 - kept).sqrt() * noise).to(x_0.dtype)


@wrong("02.3", "RuntimeError")
def does_not_widen(alpha_bar, x_0, t, noise):
    kept = alpha_bar[t]
    return (kept.sqrt() * x_0 + (1 - kept).sqrt() * noise).to(x_0.dtype)


@wrong("02.4", "lost already")
def starts_from_clean_data(alpha_bar, x_s, s, t, noise):
    return alpha_bar[t].sqrt() * x_s + (1 - alpha_bar[t]).sqrt() * noise


@wrong("02.4", "restore just what")
def difference_of_noises(alpha_bar, x_s, s, t, noise):
    ratio = alpha_bar[t] / alpha_bar[s]
    return ratio.sqrt() * x_s + (alpha_bar[s] - alpha_bar[t]).sqrt() * noise


@wrong("02.4", "lost already")
def no_root(alpha_bar, x_s, s, t, noise):
    ratio = alpha_bar[t] / alpha_bar[s]
    return ratio * x_s + (1 - ratio.square()).sqrt() * noise


@wrong("02.4", "one factor")
def noise_by_itself(alpha_bar, x_s, s, t, noise):
    ratio = alpha_bar[t] / alpha_bar[s]
    drawn = torch.randn(x_s.shape, generator=torch.Generator().manual_seed(0))
    return ratio.sqrt() * x_s + (1 - ratio).sqrt() * drawn


@wrong("02.5", "you say")
def always_one(size, t, alpha_bar):
    return 1.0


@wrong("02.5", "you say")
def forgets_the_noise(size, t, alpha_bar):
    return float(alpha_bar[t]) * size


@wrong("02.5", "you say")
def takes_roots(size, t, alpha_bar):
    return float(alpha_bar[t].sqrt() * size + (1 - alpha_bar[t]).sqrt())


@wrong("02.5", "one number")
def gives_a_table(size, t, alpha_bar):
    return alpha_bar * size + 1 - alpha_bar


@wrong("02.5", "you say")
def squares_the_size(size, t, alpha_bar):
    return float(alpha_bar[t] * size**2 + 1 - alpha_bar[t])


@wrong("02.6", "evenly")
def even_in_log_alpha_bar(T, end):
    first, last = math.log(1 - end), math.log(end)
    log = torch.linspace(first, last, T, dtype=torch.float64)
    alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), log.exp()])
    return 1 - alpha_bar[1:] / alpha_bar[:-1]


@wrong("02.6", "ends at")
def the_papers_line(T, end):
    return torch.linspace(1e-4, 0.02, T, dtype=torch.float64)


@wrong("02.6", "should be torch.float64")
def in_float32(T, end):
    highest = math.log((1 - end) / end)
    kept = torch.cat([torch.ones(1), torch.linspace(highest, -highest, T).sigmoid()])
    return 1 - kept[1:] / kept[:-1]


@wrong("02.6", "after step 1")
def starts_anywhere(T, end):
    highest = math.log((1 - end) / end)
    log_snr = torch.linspace(highest + 3, -highest, T, dtype=torch.float64)
    kept = torch.cat([torch.ones(1, dtype=torch.float64), log_snr.sigmoid()])
    return 1 - kept[1:] / kept[:-1]


@wrong("02.6", "shape")
def gives_alpha_bar_too(T, end):
    return torch.linspace(1e-4, 0.02, T + 1, dtype=torch.float64)
