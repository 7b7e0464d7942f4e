r"""Typical wrong answers to the exercises of chapter 03, each with words of its hint."""

import math

import torch

from wrong import wrong


def _first(ratio, share, shift=1):
    hits = (ratio >= share).nonzero()
    return min(int(hits[0]) if len(hits) else len(ratio) - 1, len(ratio) - shift) + shift


@wrong("03.1", "is it variances")
def compares_deviations(alpha_bar, share):
    ratio = (1 - alpha_bar[:-1]) / (1 - alpha_bar[1:])
    return _first(ratio.sqrt(), share)


@wrong("03.1", "a step lies in")
def rolls_the_end_to_the_start(alpha_bar, share):
    ratio = (1 - alpha_bar.roll(1)) / (1 - alpha_bar)
    return int((ratio >= share).nonzero()[0])


@wrong("03.1", "reached earlier")
def squares_the_ratio(alpha_bar, share):
    return _first(((1 - alpha_bar[:-1]) / (1 - alpha_bar[1:])).square(), share)


@wrong("03.1", "which alpha_bar")
def ratio_of_signals(alpha_bar, share):
    return _first(alpha_bar[1:] / alpha_bar[:-1], share)


@wrong("03.1", "which alpha_bar")
def one_step_early(alpha_bar, share):
    return max(_first((1 - alpha_bar[:-1]) / (1 - alpha_bar[1:]), share) - 1, 1)


@wrong("03.1", "one number")
def all_such_steps(alpha_bar, share):
    return (((1 - alpha_bar[:-1]) / (1 - alpha_bar[1:])) >= share).nonzero()


def _alpha(alpha_bar, t):
    return (alpha_bar[t] / alpha_bar[t - 1])[:, None]


@wrong("03.2", "which of alpha and alpha_bar")
def divides_by_alpha_bar(alpha_bar, x_t, t, score):
    alpha, a = _alpha(alpha_bar, t), alpha_bar[t][:, None]
    return (x_t + (1 - alpha) * score) / a.sqrt()


@wrong("03.2", "times as far")
def root_of_beta(alpha_bar, x_t, t, score):
    alpha = _alpha(alpha_bar, t)
    return (x_t + (1 - alpha).sqrt() * score) / alpha.sqrt()


@wrong("03.2", "times as far")
def all_the_noise_at_once(alpha_bar, x_t, t, score):
    alpha, a = _alpha(alpha_bar, t), alpha_bar[t][:, None]
    return (x_t + (1 - a) * score) / alpha.sqrt()


@wrong("03.2", "the other way")
def minus_as_with_the_noise(alpha_bar, x_t, t, score):
    alpha, a = _alpha(alpha_bar, t), alpha_bar[t][:, None]
    return (x_t - (1 - alpha) / (1 - a).sqrt() * score) / alpha.sqrt()


@wrong("03.2", "which of alpha and alpha_bar")
def alpha_without_its_root(alpha_bar, x_t, t, score):
    alpha = _alpha(alpha_bar, t)
    return (x_t + (1 - alpha) * score) / alpha


@wrong("03.2", "times as far")
def half_a_step(alpha_bar, x_t, t, score):
    alpha = _alpha(alpha_bar, t)
    return (x_t + (1 - alpha) / 2 * score) / alpha.sqrt()


@wrong("03.2", "a t of its own")
def one_step_for_all(alpha_bar, x_t, t, score):
    alpha = _alpha(alpha_bar, t[:1])
    return (x_t + (1 - alpha) * score) / alpha.sqrt()


def _weights(x_t, data, a, shrunk=None, variance=None):
    shrunk = math.sqrt(a) if shrunk is None else shrunk
    variance = 2 * (1 - a) if variance is None else variance
    return torch.softmax(-(x_t - shrunk * data).square().sum(1) / variance, 0)


def _count(w):
    return float((-(w * w.clamp(min=1e-300).log()).sum()).exp())


@wrong("03.3", "should be finite")
def exponentials_as_they_are(x_t, data, alpha_bar_t):
    a = alpha_bar_t
    w = (-(x_t - math.sqrt(a) * data).square().sum(1) / (2 * (1 - a))).exp()
    w = w / w.sum()
    return w, _count(w)


@wrong("03.3", "where are these")
def data_at_full_size(x_t, data, alpha_bar_t):
    w = _weights(x_t, data, alpha_bar_t, shrunk=1.0)
    return w, _count(w)


@wrong("03.3", "how wide")
def variance_for_twice_the_variance(x_t, data, alpha_bar_t):
    w = _weights(x_t, data, alpha_bar_t, variance=1 - alpha_bar_t)
    return w, _count(w)


@wrong("03.3", "equal ones")
def inverse_sum_of_squares(x_t, data, alpha_bar_t):
    w = _weights(x_t, data, alpha_bar_t)
    return w, float(1 / w.square().sum())


@wrong("03.3", "equal ones")
def the_entropy_itself(x_t, data, alpha_bar_t):
    w = _weights(x_t, data, alpha_bar_t)
    return w, math.log(_count(w))


@wrong("03.3", "number should be finite")
def zero_times_its_logarithm(x_t, data, alpha_bar_t):
    w = _weights(x_t, data, alpha_bar_t)
    return w, float((-(w * w.log()).sum()).exp())


@wrong("03.3", "add up to")
def does_not_normalise(x_t, data, alpha_bar_t):
    w = _weights(x_t, data, alpha_bar_t)
    return w / w.max(), _count(w)


def _noise(alpha_bar, x_t, t, means, variances, weights, how=""):
    a = alpha_bar[t][:, None]
    v = a * variances + 1 - a
    apart = x_t[:, None] - a[:, :, None].sqrt() * means
    wide = 1 - a + 0 * v if how == "narrow" else v
    half = 0.5 if how == "line" else 1
    log = weights.log() * (how != "even") - half * wide.log() * (how != "height")
    log = log - apart.square().sum(2) / (2 * wide)
    likely = log.softmax(1)
    if how == "likeliest":
        likely = torch.nn.functional.one_hot(log.argmax(1), len(weights)).double()
    gain = (a.sqrt() * variances / v) * (how != "still")
    x_0 = (likely[:, :, None] * (means + gain[:, :, None] * apart)).sum(1)
    return x_0 if how == "x_0" else (x_t - a.sqrt() * x_0) / (1 - a).sqrt()


@wrong("03.4", "likely is each peak")
def the_likeliest_peak(alpha_bar, x_t, t, means, variances, weights):
    return _noise(alpha_bar, x_t, t, means, variances, weights, "likeliest")


@wrong("03.4", "is it the noise")
def predicts_x_0(alpha_bar, x_t, t, means, variances, weights):
    return _noise(alpha_bar, x_t, t, means, variances, weights, "x_0")


@wrong("03.4", "likely is each peak")
def all_peaks_alike(alpha_bar, x_t, t, means, variances, weights):
    return _noise(alpha_bar, x_t, t, means, variances, weights, "even")


@wrong("03.4", "one peak alone, at")
def guesses_the_mean_of_the_peak(alpha_bar, x_t, t, means, variances, weights):
    return _noise(alpha_bar, x_t, t, means, variances, weights, "still")


@wrong("03.4", "likely is each peak")
def height_of_one_dimension(alpha_bar, x_t, t, means, variances, weights):
    return _noise(alpha_bar, x_t, t, means, variances, weights, "line")


@wrong("03.4", "mean and variance of x_t")
def forgets_the_width_of_the_peaks(alpha_bar, x_t, t, means, variances, weights):
    return _noise(alpha_bar, x_t, t, means, 0 * variances, weights)


@wrong("03.4", "a t of its own")
def one_step_for_all_examples(alpha_bar, x_t, t, means, variances, weights):
    return _noise(alpha_bar, x_t, t[:1].expand_as(t), means, variances, weights)
