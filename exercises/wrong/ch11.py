r"""Typical wrong answers to the exercises of chapter 11, each with words of its hint."""

import math

import numpy as np
import torch

from wrong import wrong


def _left(a, pictures, snr=None, unbiased=False):
    flat = pictures.flatten(1).double()
    snr = a / (1 - a) if snr is None else snr
    of_mean = flat.mean(1).var(unbiased=unbiased) * flat.shape[1]
    return snr * float(flat.var(0, unbiased=unbiased).mean()), snr * float(of_mean)


@wrong("11.1", "how much noise is there at T")
def signal_alone(a, pictures):
    return _left(a, pictures, a)


@wrong("11.1", "one of variances")
def deviations(a, pictures):
    return _left(a, pictures, math.sqrt(a / (1 - a)))


@wrong("11.1", "divided here")
def divides_by_one_less(a, pictures):
    return _left(a, pictures, unbiased=True)


@wrong("11.1", "or from place to place")
def variance_of_everything(a, pictures):
    snr, pictures = a / (1 - a), pictures.double()
    return snr * float(pictures.var(unbiased=False)), _left(a, pictures)[1]


@wrong("11.1", "in a mean of that many pixels")
def noise_of_one_pixel(a, pictures):
    of_pixel, of_mean = _left(a, pictures)
    return of_pixel, of_mean / pictures[0].numel()


@wrong("11.1", "do pixels vary independently")
def as_if_independent(a, pictures):
    of_pixel, _ = _left(a, pictures)
    return of_pixel, of_pixel * pictures[0].numel()


@wrong("11.1", "how many numbers does a picture's mean have")
def forgets_the_colours(a, pictures):
    of_pixel, of_mean = _left(a, pictures)
    return of_pixel, of_mean / pictures.shape[1]


@wrong("11.1", "how many numbers does a picture's mean have")
def one_colour_at_a_time(a, pictures):
    means = pictures.double().flatten(2).mean(2)
    of_mean = means.var(0, unbiased=False).mean() * pictures[0, 0].numel()
    return _left(a, pictures)[0], a / (1 - a) * float(of_mean)


@wrong("11.1", "in which dtype do you add")
def in_float32(a, pictures):
    flat = pictures.flatten(1).float()
    of_mean = flat.mean(1).var(unbiased=False) * flat.shape[1]
    return a / (1 - a) * float(flat.var(0, unbiased=False).mean()), a / (1 - a) * float(
        of_mean
    )


@wrong("11.1", "is it the variance, or the square")
def squares_for_variances(a, pictures):
    return a / (1 - a) * float(pictures.double().square().mean()), _left(a, pictures)[1]


def _rescaled(alpha_bar, left, power=0.5):
    root = alpha_bar[1:] ** power
    end = left**power
    place = (root - root[-1]) / (root[0] - root[-1])
    table = (end + (root[0] - end) * place) ** (1 / power)
    return torch.cat([alpha_bar[:1], table])


@wrong("11.2", "alpha_bar or its root")
def stretches_alpha_bar(alpha_bar, left):
    return _rescaled(alpha_bar, left, 1)


@wrong("11.2", "what becomes of the entries before the last")
def replaces_the_last_entry(alpha_bar, left):
    return torch.cat([alpha_bar[:-1], torch.tensor([left], dtype=torch.float64)])


@wrong("11.2", "what brings the first one back")
def only_shifts(alpha_bar, left):
    root = alpha_bar[1:].sqrt()
    return torch.cat([alpha_bar[:1], (root - root[-1] + math.sqrt(left)) ** 2])


@wrong("11.2", "or that of clean data")
def keeps_clean_data(alpha_bar, left):
    root, end = alpha_bar.sqrt(), math.sqrt(left)
    return (end + (1 - end) * (root - root[-1]) / (1 - root[-1])) ** 2


@wrong("11.2", "or a square of one")
def takes_left_for_a_root(alpha_bar, left):
    return _rescaled(alpha_bar, left**2)


@wrong("11.2", "is the end always 0")
def always_to_zero(alpha_bar, left):
    return _rescaled(alpha_bar, 0.0)


@wrong("11.2", "that you give back, or its root")
def forgets_the_square(alpha_bar, left):
    return _rescaled(alpha_bar, left).sqrt()


@wrong("11.2", "what was to become of the last entry")
def changes_nothing(alpha_bar, left):
    return alpha_bar


@wrong("11.2", "a straight line in t")
def a_line_in_t(alpha_bar, left):
    line = torch.linspace(float(alpha_bar[1]), left, len(alpha_bar) - 1).double()
    line[0] = alpha_bar[1]
    line[-1] = left
    return torch.cat([alpha_bar[:1], line])


@wrong("11.2", "of the signal, or of the noise")
def stretches_the_noise(alpha_bar, left):
    return 1 - _rescaled_noise((1 - alpha_bar[1:]).sqrt(), alpha_bar, left)


def _rescaled_noise(root, alpha_bar, left):
    first, last = root[0], math.sqrt(1 - left)
    table = last + (first - last) * (root - root[-1]) / (root[0] - root[-1])
    return torch.cat([torch.zeros(1).double(), table**2])


def _wide(table, x_t):
    return table.reshape(-1, *[1] * (x_t.dim() - 1)).to(x_t.dtype)


def _parts(alpha_bar, x_t, t, value, given):
    a, s = _wide(alpha_bar[t].sqrt(), x_t), _wide((1 - alpha_bar[t]).sqrt(), x_t)
    if given == "v":
        return a, s, a * x_t - s * value, s * x_t + a * value
    if given == "x_0":
        return a, s, value, (x_t - a * value) / s
    return a, s, (x_t - s * value) / a, value


def _named(a, s, x_0, noise, v=None):
    return {"noise": noise, "x_0": x_0, "v": a * noise - s * x_0 if v is None else v}


@wrong("11.3", "should be finite")
def through_the_noise(alpha_bar, x_t, t, value, given):
    a, s, _, noise = _parts(alpha_bar, x_t, t, value, given)
    return _named(a, s, (x_t - s * noise) / a, noise)


@wrong("11.3", "has it changed its sign")
def v_with_the_other_sign(alpha_bar, x_t, t, value, given):
    a, s, x_0, noise = _parts(alpha_bar, x_t, t, -value if given == "v" else value, given)
    return _named(a, s, x_0, noise, s * x_0 - a * noise) | (
        {"v": -value} if given == "v" else {}
    )


@wrong("11.3", "do your formulas lead back")
def v_that_does_not_lead_back(alpha_bar, x_t, t, value, given):
    a, s, x_0, noise = _parts(alpha_bar, x_t, t, value, given)
    return _named(a, s, x_0, noise, noise - x_0)


@wrong("11.3", "which root belongs to which")
def roots_exchanged(alpha_bar, x_t, t, value, given):
    s, a, x_0, noise = _parts(1 - alpha_bar, x_t, t, value, given)
    if given == "v":
        x_0, noise = s * x_t - a * value, a * x_t + s * value
        return _named(a, s, x_0, noise, value)
    return _named(a, s, x_0, noise, value)


@wrong("11.3", "multiplied by a root")
def without_roots(alpha_bar, x_t, t, value, given):
    a, s = _wide(alpha_bar[t], x_t), _wide(1 - alpha_bar[t], x_t)
    if given == "v":
        norm = a**2 + s**2
        x_0, noise = (a * x_t - s * value) / norm, (s * x_t + a * value) / norm
    elif given == "x_0":
        x_0, noise = value, (x_t - a * value) / s
    else:
        x_0, noise = (x_t - s * value) / a, value
    return _named(a, s, x_0, noise)


@wrong("11.3", "or the velocity of flow matching")
def velocity_for_v(alpha_bar, x_t, t, value, given):
    a, s, x_0, noise = _parts(alpha_bar, x_t, t, value, given)
    return _named(a, s, x_0, noise, value if given == "v" else noise - x_0)


@wrong("11.3", "which sign has v")
def sign_of_v(alpha_bar, x_t, t, value, given):
    a, s, x_0, noise = _parts(alpha_bar, x_t, t, value, given)
    return _named(a, s, x_0, noise, value if given == "v" else s * x_0 - a * noise)


@wrong("11.3", "in which dtype is it taken")
def takes_the_difference_late(alpha_bar, x_t, t, value, given):
    narrow = alpha_bar.to(x_t.dtype)
    a, s = _wide(narrow[t].sqrt(), x_t), _wide((1 - narrow[t]).sqrt(), x_t)
    if given == "v":
        x_0, noise = a * x_t - s * value, s * x_t + a * value
    elif given == "x_0":
        x_0, noise = value, (x_t - a * value) / s
    else:
        x_0, noise = (x_t - s * value) / a, value
    return _named(a, s, x_0, noise)


@wrong("11.3", "should have shape")
def squeezes(alpha_bar, x_t, t, value, given):
    found = _named(*_parts(alpha_bar, x_t, t, value, given))
    return {key: z.squeeze() for key, z in found.items()}


@wrong("11.3", "they miss it by up to")
def one_t_for_all(alpha_bar, x_t, t, value, given):
    return _named(*_parts(alpha_bar, x_t, t[:1].expand_as(t), value, given))


def _snr(alpha_bar, t):
    return alpha_bar[t] / (1 - alpha_bar[t])


@wrong("11.4", "what is min(SNR + 1, gamma) for")
def adds_one_in_both_places(alpha_bar, t, c, s, gamma):
    snr, error = _snr(alpha_bar, t), c - s * _snr(alpha_bar, t).sqrt()
    return (snr + 1).clamp(max=gamma) / error**2


@wrong("11.4", "and the guess of x_0 is too large")
def adds_the_errors(alpha_bar, t, c, s, gamma):
    snr = _snr(alpha_bar, t)
    return snr.clamp(max=gamma) / (c + s * snr.sqrt()) ** 2


@wrong("11.4", "independent of each other")
def adds_the_squares(alpha_bar, t, c, s, gamma):
    snr = _snr(alpha_bar, t)
    return snr.clamp(max=gamma) / (c**2 + s**2 * snr)


@wrong("11.4", "or the larger")
def max_for_min(alpha_bar, t, c, s, gamma):
    snr = _snr(alpha_bar, t)
    return snr.clamp(min=gamma) / (c - s * snr.sqrt()) ** 2


@wrong("11.4", "what is gamma for")
def no_gamma(alpha_bar, t, c, s, gamma):
    snr = _snr(alpha_bar, t)
    return snr / (c - s * snr.sqrt()) ** 2


@wrong("11.4", "is it the error of x_0 that the network's loss measures")
def the_weight_of_x_0(alpha_bar, t, c, s, gamma):
    return _snr(alpha_bar, t).clamp(max=gamma)


@wrong("11.4", "the weight of the noise alone")
def the_weight_of_the_noise(alpha_bar, t, c, s, gamma):
    snr = _snr(alpha_bar, t)
    return snr.clamp(max=gamma) / torch.where(c == 1, 1.0, snr)


@wrong("11.4", "a squared error")
def not_squared(alpha_bar, t, c, s, gamma):
    snr = _snr(alpha_bar, t)
    return snr.clamp(max=gamma) / (c - s * snr.sqrt()).abs()


@wrong("11.4", "is the error of y larger, or its weight")
def multiplies(alpha_bar, t, c, s, gamma):
    snr = _snr(alpha_bar, t)
    return snr.clamp(max=gamma) * (c - s * snr.sqrt()) ** 2


@wrong("11.4", "how large is the error of the noise")
def snr_without_its_root(alpha_bar, t, c, s, gamma):
    snr = _snr(alpha_bar, t)
    return snr.clamp(max=gamma) / (c - s * snr) ** 2


def _matched(alpha_bar, w, other, by_step=True, by_count=1.0, inverse=False, outside=0.0):
    def log_snr(table):
        return (table[1:] / (1 - table[1:])).log().numpy()

    theirs, mine = log_snr(alpha_bar), log_snr(other)
    weight = np.interp(-mine, -theirs, w[1:].numpy(), left=outside, right=outside)
    ratio = np.gradient(-mine) / np.interp(-mine, -theirs, np.gradient(-theirs))
    if inverse:
        ratio = 1 / ratio
    weight = weight * (ratio if by_step else 1) * (len(mine) / len(theirs)) ** by_count
    return torch.tensor([0, *weight], dtype=torch.float64)


@wrong("11.5", "how often does a lambda come in each")
def the_weight_at_that_lambda(alpha_bar, w, other):
    return _matched(alpha_bar, w, other, by_step=False, by_count=0)


@wrong("11.5", "how often does a lambda come in each")
def the_weight_at_that_t(alpha_bar, w, other):
    place = ((torch.arange(1, len(other)) - 0.5) / (len(other) - 1)).numpy()
    known = ((torch.arange(1, len(w)) - 0.5) / (len(w) - 1)).numpy()
    return torch.tensor([0, *np.interp(place, known, w[1:].numpy())], dtype=torch.float64)


@wrong("11.5", "passes quickly through lambda")
def the_ratio_upside_down(alpha_bar, w, other):
    return _matched(alpha_bar, w, other, by_count=-1, inverse=True)


@wrong("11.5", "over how many steps is each objective a mean")
def forgets_how_many_steps(alpha_bar, w, other):
    return _matched(alpha_bar, w, other, by_count=0)


@wrong("11.5", "over how many steps is each objective a mean")
def counts_steps_upside_down(alpha_bar, w, other):
    return _matched(alpha_bar, w, other, by_count=-1)


@wrong("11.5", "what became of w")
def forgets_w(alpha_bar, w, other):
    return _matched(alpha_bar, torch.ones_like(w), other)


@wrong("11.5", "did they ever see a loss there")
def goes_on_beyond_the_range(alpha_bar, w, other):
    return _matched(alpha_bar, w, other, outside=None)


@wrong("11.5", "the weights should have shape")
def without_entry_0(alpha_bar, w, other):
    return _matched(alpha_bar, w, other)[1:]


# Slips of the solutions that are right all the same, each with the proof.
EQUIVALENT = {}


@wrong("11.4", "may gamma be below 1")
def a_gamma_of_1_at_least(alpha_bar, t, c, s, gamma):
    snr = alpha_bar[t] / (1 - alpha_bar[t])
    return snr.clamp(max=max(gamma, 1.0)) / (c - s * snr.sqrt()) ** 2


def _equal(number, before, proof, *afters):
    EQUIVALENT.update({(number, before, after): proof for after in afters})


_equal(
    "11.1",
    "flat = pictures.flatten(1).double()",
    "a variance is the same for the numbers with the other sign",
    "flat = -pictures.flatten(1).double()",
)
_equal(
    "11.2",
    "return torch.cat([alpha_bar[:1], (end + (root[0] - end) * place) ** 2])",
    "the first entry of `place` is a number divided by itself, 1, as that of alpha_bar is",
    "return torch.cat([place[:1], (end + (root[0] - end) * place) ** 2])",
)
WIDE = "return table[t].sqrt().reshape(-1, *[1] * (x_t.dim() - 1)).to(x_t.dtype)"
_equal(
    "11.3",
    WIDE,
    "`value` has the shape and the dtype of x_t",
    WIDE.replace("x_t.dim()", "value.dim()"),
    WIDE.replace("x_t.dtype", "value.dtype"),
)
LOG_SNR = "log_snr = (table[1:] / (1 - table[1:])).log().numpy()"
DENSITY = "density = w[1:].numpy() / their_step / len(theirs)"
WEIGHTS = "return torch.tensor([0, *(found * my_step * len(mine))], dtype=torch.float64)"
_equal(
    "11.5",
    LOG_SNR,
    "numpy takes a float64 tensor for an array of the same numbers",
    LOG_SNR.replace(".numpy()", ""),
)
_equal(
    "11.5",
    DENSITY,
    "a tensor by an array has the same quotients",
    DENSITY.replace(".numpy()", ""),
)
_equal(
    "11.5",
    LOG_SNR,
    "any quantity that grows with SNR may stand for its logarithm: its derivative by "
    "lambda is in both steps and cancels, but for errors of finite steps, as in lambda",
    LOG_SNR.replace(".log()", ""),
    LOG_SNR.replace(".log()", ".log2()"),
    LOG_SNR.replace(".log()", ".log10()"),
    LOG_SNR.replace(".log()", ".log1p()"),
    LOG_SNR.replace("(table[1:] / (1 - table[1:]))", "(table[1:])"),
    LOG_SNR.replace("(1 - ", "(1 + "),
    LOG_SNR.replace("(1 - table[1:])", "(1)"),
    LOG_SNR.replace("(1 - ", "(2 - "),
)
_equal(
    "11.5",
    "return log_snr, -np.gradient(log_snr)",
    "both steps have the other sign, and a weight is their ratio",
    "return log_snr, np.gradient(log_snr)",
)
_equal(
    "11.5",
    DENSITY,
    "there is a step for each entry",
    DENSITY.replace("len(theirs)", "len(their_step)"),
)
_equal(
    "11.5",
    WEIGHTS,
    "there is a step and a found density for each entry",
    WEIGHTS.replace("len(mine)", "len(found)"),
    WEIGHTS.replace("len(mine)", "len(my_step)"),
)
_equal(
    "11.5",
    WEIGHTS,
    "torch makes float64 of numbers from a float64 array by itself",
    "return torch.tensor([0, *found * my_step * len(mine)])",
)
