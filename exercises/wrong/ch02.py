r"""Typical wrong answers to the exercises of chapter 02, each with words of its hint."""

import math

import torch

from wrong import wrong


def _wide(value, x):
    return value.reshape(-1, *[1] * (x.dim() - 1))


@wrong("02.1", "all of the noise with all of the signal")
def compares_with_the_last_step(alpha_bar):
    alpha = alpha_bar[1:] / alpha_bar[:-1]
    return int((1 - alpha_bar[1:] > 1 - alpha).nonzero()[0]) + 1


@wrong("02.1", "clean data")
def counts_from_zero(alpha_bar):
    return int((alpha_bar[1:] < 0.5).nonzero()[0])


@wrong("02.1", "their variances")
def waits_for_the_root(alpha_bar):
    return int((alpha_bar.sqrt() < 0.5).nonzero()[0])


@wrong("02.1", "the first of all steps")
def the_last_such_step(alpha_bar):
    return int((alpha_bar < 0.5).nonzero()[-1])


@wrong("02.1", "is it variances that you compare")
def noise_that_is_no_deviation(alpha_bar):
    return int((1 - alpha_bar > alpha_bar.square()).nonzero()[0])


@wrong("02.1", "to which t does entry 0")
def counts_one_too_many(alpha_bar):
    return int((alpha_bar < 0.5).nonzero()[0]) + 1


@wrong("02.1", "does noise outweigh signal there")
def lets_equal_count(alpha_bar):
    return int((alpha_bar <= 0.5).nonzero()[0])


@wrong("02.1", "a whole number")
def between_two_steps(alpha_bar):
    t = int((alpha_bar < 0.5).nonzero()[0])
    a, b = float(alpha_bar[t - 1]), float(alpha_bar[t])
    return t - 1 + (a - 0.5) / (a - b)


@wrong("02.1", "one number")
def all_of_them(alpha_bar):
    return (alpha_bar < 0.5).nonzero()


@wrong("02.2", "shrink in the second step")
def adds_the_noises(a, b):
    return math.sqrt((1 - a) * (1 - b)), a + b


@wrong("02.2", "is what you return a variance")
def returns_a_deviation(a, b):
    return math.sqrt((1 - a) * (1 - b)), math.sqrt(a * (1 - b) + b)


@wrong("02.2", "of what does the second step take its share")
def adds_the_beta(a, b):
    return math.sqrt(max(0.0, 1 - a - b)), min(1.0, a + b)


@wrong("02.2", "does x_0 go through both")
def forgets_the_first_step(a, b):
    return math.sqrt(1 - b), b


@wrong("02.2", "by what does a variance shrink")
def shrinks_the_noise_like_a_point(a, b):
    return math.sqrt((1 - a) * (1 - b)), math.sqrt(1 - b) * a + b


@wrong("02.2", "with a variance or with a point")
def factor_without_its_root(a, b):
    return (1 - a) * (1 - b), (1 - b) * a + b


@wrong("02.2", "what is left of the signal's")
def the_signals_variance(a, b):
    return math.sqrt((1 - a) * (1 - b)), (1 - a) * (1 - b)


@wrong("02.2", "does the noise of both steps stay")
def multiplies_the_noises(a, b):
    return math.sqrt((1 - a) * (1 - b)), a * b


@wrong("02.2", "2 things")
def returns_the_factor(a, b):
    return math.sqrt((1 - a) * (1 - b))


@wrong("02.3", "are both factors standard deviations")
def no_root_on_the_noise(alpha_bar, x_0, t, noise):
    kept = _wide(alpha_bar[t], x_0)
    return (kept.sqrt() * x_0 + (1 - kept) * noise).to(x_0.dtype)


@wrong("02.3", "x_t should have shape")
def for_points_and_pictures_alone(alpha_bar, x_0, t, noise):
    kept = alpha_bar[t]
    kept = kept[:, None] if x_0.dim() == 2 else kept[:, None, None, None]
    return (kept.sqrt() * x_0 + (1 - kept).sqrt() * noise).to(x_0.dtype)


@wrong("02.3", "x_t should have shape")
def squeezes(alpha_bar, x_0, t, noise):
    kept = _wide(alpha_bar[t], x_0)
    return (kept.sqrt() * x_0 + (1 - kept).sqrt() * noise).to(x_0.dtype).squeeze()


@wrong("02.3", "does x_0 shrink")
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


@wrong("02.3", "a share of x_0, or of its variance")
def no_root_on_x_0(alpha_bar, x_0, t, noise):
    kept = _wide(alpha_bar[t], x_0)
    return (kept * x_0 + (1 - kept.square()).sqrt() * noise).to(x_0.dtype)


@wrong("02.3", "one step, or all steps")
def a_single_step(alpha_bar, x_0, t, noise):
    kept = _wide(alpha_bar[t] / alpha_bar[t - 1], x_0)
    return (kept.sqrt() * x_0 + (1 - kept).sqrt() * noise).to(x_0.dtype)


@wrong("02.3", "the factors that add up to 1, or their squares")
def factors_that_add_up(alpha_bar, x_0, t, noise):
    kept = _wide(alpha_bar[t], x_0).sqrt()
    return (kept * x_0 + (1 - kept) * noise).to(x_0.dtype)


@wrong("02.3", "is it this noise that you add")
def draws_its_own_noise(alpha_bar, x_0, t, noise):
    kept = _wide(alpha_bar[t], x_0)
    noise = torch.randn_like(noise) * (noise != 0)
    return (kept.sqrt() * x_0 + (1 - kept).sqrt() * noise).to(x_0.dtype)


@wrong("02.3", "a step of its own")
def one_step_for_all(alpha_bar, x_0, t, noise):
    kept = alpha_bar[t[0]]
    return (kept.sqrt() * x_0 + (1 - kept).sqrt() * noise).to(x_0.dtype)


@wrong("02.3", "does factor i meet example i")
def does_not_widen(alpha_bar, x_0, t, noise):
    kept = alpha_bar[t]
    return (kept.sqrt() * x_0 + (1 - kept).sqrt() * noise).to(x_0.dtype)


@wrong("02.3", "which entry of alpha_bar")
def never_the_last_entry(alpha_bar, x_0, t, noise):
    kept = alpha_bar[t.clamp(max=len(alpha_bar) - 2)].reshape(-1, *[1] * (x_0.dim() - 1))
    return (kept.sqrt() * x_0 + (1 - kept).sqrt() * noise).to(x_0.dtype)


@wrong("02.4", "which is the last step that is taken")
def never_the_last_step(alpha_bar, x_s, s, t, noise):
    ratio = alpha_bar[min(t, len(alpha_bar) - 2)] / alpha_bar[s]
    return ratio.sqrt() * x_s + (1 - ratio).sqrt() * noise


@wrong("02.4", "lost already before s")
def starts_from_clean_data(alpha_bar, x_s, s, t, noise):
    return alpha_bar[t].sqrt() * x_s + (1 - alpha_bar[t]).sqrt() * noise


@wrong("02.4", "to what variance must it be restored")
def difference_of_noises(alpha_bar, x_s, s, t, noise):
    ratio = alpha_bar[t] / alpha_bar[s]
    return ratio.sqrt() * x_s + (alpha_bar[s] - alpha_bar[t]).sqrt() * noise


@wrong("02.4", "the variance that shrinks so, or the point")
def no_root(alpha_bar, x_s, s, t, noise):
    ratio = alpha_bar[t] / alpha_bar[s]
    return ratio * x_s + (1 - ratio.square()).sqrt() * noise


@wrong("02.4", "is all of that noise new")
def all_noise_since_the_start(alpha_bar, x_s, s, t, noise):
    ratio = alpha_bar[t] / alpha_bar[s]
    return ratio.sqrt() * x_s + (1 - alpha_bar[t]).sqrt() * noise


@wrong("02.4", "the same as those at the start")
def the_first_steps_again(alpha_bar, x_s, s, t, noise):
    kept = alpha_bar[t - s]
    return kept.sqrt() * x_s + (1 - kept).sqrt() * noise


@wrong("02.4", "to which?")
def walks_the_other_way(alpha_bar, x_s, s, t, noise):
    ratio = alpha_bar[s] / alpha_bar[t]
    return ratio.sqrt() * x_s + (1 - ratio).abs().sqrt() * noise


@wrong("02.4", "which is the first step after s")
def walks_step_s_again(alpha_bar, x_s, s, t, noise):
    ratio = alpha_bar[t] / alpha_bar[max(s - 1, 0)]
    return ratio.sqrt() * x_s + (1 - ratio).sqrt() * noise


@wrong("02.4", "a variance or with a deviation")
def noise_without_its_root(alpha_bar, x_s, s, t, noise):
    ratio = alpha_bar[t] / alpha_bar[s]
    return ratio.sqrt() * x_s + (1 - ratio) * noise


@wrong("02.4", "was given")
def noise_by_itself(alpha_bar, x_s, s, t, noise):
    ratio = alpha_bar[t] / alpha_bar[s]
    drawn = torch.randn(x_s.shape, generator=torch.Generator().manual_seed(0))
    return ratio.sqrt() * x_s + (1 - ratio).sqrt() * drawn


@wrong("02.5", "has all data the variance 1")
def always_one(size, t, alpha_bar):
    return 1.0


@wrong("02.5", "what does the noise add")
def forgets_the_noise(size, t, alpha_bar):
    return float(alpha_bar[t]) * size


@wrong("02.5", "is it variances or deviations that add up")
def takes_roots(size, t, alpha_bar):
    return float(alpha_bar[t].sqrt() * size + (1 - alpha_bar[t]).sqrt())


@wrong("02.5", "one number")
def gives_a_table(size, t, alpha_bar):
    return alpha_bar * size + 1 - alpha_bar


@wrong("02.5", "is `size` a variance or a deviation")
def squares_the_size(size, t, alpha_bar):
    return float(alpha_bar[t] * size**2 + 1 - alpha_bar[t])


@wrong("02.5", "noise grow with the data")
def noise_in_proportion(size, t, alpha_bar):
    return float(alpha_bar[t] * size + (1 - alpha_bar[t]) * size)


@wrong("02.5", "which entry of alpha_bar belongs to t")
def the_entry_before(size, t, alpha_bar):
    kept = float(alpha_bar[max(t - 1, 0)])
    return kept * size + 1 - kept


@wrong("02.5", "does all of the noise come in")
def noise_at_full_size(size, t, alpha_bar):
    return float(alpha_bar[t]) * size + (t > 0)


@wrong("02.5", "by what its variance")
def squares_the_factors(size, t, alpha_bar):
    return float(alpha_bar[t] ** 2 * size + (1 - alpha_bar[t]) ** 2)


def _beta_of(alpha_bar):
    kept = torch.cat([torch.ones(1, dtype=torch.float64), alpha_bar])
    return 1 - kept[1:] / kept[:-1]


def _line(first, last, T):
    return torch.linspace(first, last, T, dtype=torch.float64)


@wrong("02.6", "goes evenly is the logarithm of alpha_bar")
def even_in_log_alpha_bar(T, end):
    return _beta_of(_line(math.log(1 - end), math.log(end), T).exp())


@wrong("02.6", "goes evenly is alpha_bar;")
def even_in_alpha_bar(T, end):
    return _beta_of(_line(1 - end, end, T))


@wrong("02.6", "goes evenly is the logarithm of the noise's variance")
def even_in_the_log_of_the_noise(T, end):
    return _beta_of(1 - _line(math.log(end), math.log(1 - end), T).exp())


@wrong("02.6", "ends at")
def the_papers_line(T, end):
    return _line(1e-4, 0.02, T)


@wrong("02.6", "should be torch.float64")
def in_float32(T, end):
    highest = math.log((1 - end) / end)
    kept = torch.cat([torch.ones(1), torch.linspace(highest, -highest, T).sigmoid()])
    return 1 - kept[1:] / kept[:-1]


@wrong("02.6", "at which t do you begin")
def starts_anywhere(T, end):
    highest = math.log((1 - end) / end)
    return _beta_of(_line(highest + 3, -highest, T).sigmoid())


@wrong("02.6", "a variance or a factor that should be `end`")
def end_for_the_root(T, end):
    highest = math.log((1 - end**2) / end**2)
    return _beta_of(_line(highest, -highest, T).sigmoid())


@wrong("02.6", "is there a beta_0")
def gives_beta_0_too(T, end):
    return torch.cat([torch.zeros(1, dtype=torch.float64), _line(1e-4, 0.02, T)])


@wrong("02.6", "is it beta that you return")
def one_log_snr_too_few(T, end):
    highest = math.log((1 - end) / end)
    kept = _line(highest, -highest, T).sigmoid()
    return 1 - kept / kept.roll(1)


_KEPT = "kept = alpha_bar[t].reshape(-1, *[1] * (x_0.dim() - 1))"
_JUMP = "return (kept.sqrt() * x_0 + (1 - kept).sqrt() * noise).to(x_0.dtype)"
_CAT = "alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), torch.sigmoid(log_snr)])"
_ONE = "1 is the same number in every dtype, and torch.cat gives the wider one, float64."
_ALIKE = "The statement says that x_0 and noise have one shape and one dtype."
EQUIVALENT = {
    ("02.3", _KEPT, _KEPT.replace("x_0", "noise")): _ALIKE,
    ("02.3", _JUMP, _JUMP.replace("x_0.dtype", "noise.dtype")): _ALIKE,
    ("02.6", _CAT, _CAT.replace("= torch.cat", "= -torch.cat")): (
        "Only ratios of alpha_bar are used, in which the sign cancels."
    ),
    (
        "02.6",
        _CAT,
        _CAT.replace("torch.ones(1, dtype=torch.float64)", "torch.ones(1)"),
    ): _ONE,
    ("02.6", _CAT, _CAT.replace("dtype=torch.float64", "dtype=torch.float32")): _ONE,
}
