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


@wrong("03.1", "is there a factor too many")
def squares_the_ratio(alpha_bar, share):
    return _first(((1 - alpha_bar[:-1]) / (1 - alpha_bar[1:])).square(), share)


@wrong("03.1", "is it of signals or of noises")
def ratio_of_signals(alpha_bar, share):
    return _first(alpha_bar[1:] / alpha_bar[:-1], share)


@wrong("03.1", "one step early: at which t")
def one_step_early(alpha_bar, share):
    return max(_first((1 - alpha_bar[:-1]) / (1 - alpha_bar[1:]), share) - 1, 1)


@wrong("03.1", "reached one step earlier")
def one_step_late(alpha_bar, share):
    return _first((1 - alpha_bar[:-1]) / (1 - alpha_bar[1:]), share, 2)


@wrong("03.1", "does at least half not include half")
def larger_instead_of_at_least(alpha_bar, share):
    ratio = (1 - alpha_bar[:-1]) / (1 - alpha_bar[1:])
    return int((ratio > share).nonzero()[0]) + 1


@wrong("03.1", "or two variances")
def looks_at_the_noise_itself(alpha_bar, share):
    return int((1 - alpha_bar >= share).nonzero()[0])


@wrong("03.1", "one number")
def all_such_steps(alpha_bar, share):
    return (((1 - alpha_bar[:-1]) / (1 - alpha_bar[1:])) >= share).nonzero()


def _alpha(alpha_bar, t):
    return (alpha_bar[t] / alpha_bar[t - 1])[:, None]


@wrong("03.2", "which of alpha and alpha_bar")
def divides_by_alpha_bar(alpha_bar, x_t, t, score):
    alpha, a = _alpha(alpha_bar, t), alpha_bar[t][:, None]
    return (x_t + (1 - alpha) * score) / a.sqrt()


@wrong("03.2", "a variance or a deviation")
def root_of_beta(alpha_bar, x_t, t, score):
    alpha = _alpha(alpha_bar, t)
    return (x_t + (1 - alpha).sqrt() * score) / alpha.sqrt()


@wrong("03.2", "one step's noise that is taken back")
def all_the_noise_at_once(alpha_bar, x_t, t, score):
    alpha, a = _alpha(alpha_bar, t), alpha_bar[t][:, None]
    return (x_t + (1 - a) * score) / alpha.sqrt()


@wrong("03.2", "where data are denser, or away from it")
def the_other_way(alpha_bar, x_t, t, score):
    alpha = _alpha(alpha_bar, t)
    return (x_t - (1 - alpha) * score) / alpha.sqrt()


@wrong("03.2", "divided by what x_t is divided by")
def divides_x_t_alone(alpha_bar, x_t, t, score):
    alpha = _alpha(alpha_bar, t)
    return x_t / alpha.sqrt() + (1 - alpha) * score


@wrong("03.2", "does the step back shrink or stretch")
def shrinks_once_more(alpha_bar, x_t, t, score):
    alpha = _alpha(alpha_bar, t)
    return alpha.sqrt() * (x_t + (1 - alpha) * score)


@wrong("03.2", "which step led to x_t")
def the_step_before(alpha_bar, x_t, t, score):
    alpha = _alpha(alpha_bar, t - 1)
    return (x_t + (1 - alpha) * score) / alpha.sqrt()


@wrong("03.2", "does factor i meet example i")
def does_not_widen(alpha_bar, x_t, t, score):
    alpha = alpha_bar[t] / alpha_bar[t - 1]
    return (x_t + (1 - alpha) * score) / alpha.sqrt()


@wrong("03.2", "the noise's factor is left")
def minus_as_with_the_noise(alpha_bar, x_t, t, score):
    alpha, a = _alpha(alpha_bar, t), alpha_bar[t][:, None]
    return (x_t - (1 - alpha) / (1 - a).sqrt() * score) / alpha.sqrt()


@wrong("03.2", "a factor of a point, or of its variance")
def alpha_without_its_root(alpha_bar, x_t, t, score):
    alpha = _alpha(alpha_bar, t)
    return (x_t + (1 - alpha) * score) / alpha


@wrong("03.2", "where does the half come from")
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


@wrong("03.2", "which of alpha and alpha_bar belongs to a single step")
def never_the_first_entry(alpha_bar, x_t, t, score):
    beta = 1 - alpha_bar[t] / alpha_bar[(t - 1).clamp(min=1)]
    beta = beta[:, None]
    return (x_t + beta * score) / (1 - beta).sqrt()


@wrong("03.3", "should be finite")
def exponentials_as_they_are(x_t, data, alpha_bar_t):
    a = alpha_bar_t
    w = (-(x_t - math.sqrt(a) * data).square().sum(1) / (2 * (1 - a))).exp()
    w = w / w.sum()
    return w, _count(w)


@wrong("03.3", "where does picture i lie")
def data_at_full_size(x_t, data, alpha_bar_t):
    w = _weights(x_t, data, alpha_bar_t, shrunk=1.0)
    return w, _count(w)


@wrong("03.3", "what stands below the square")
def variance_for_twice_the_variance(x_t, data, alpha_bar_t):
    w = _weights(x_t, data, alpha_bar_t, variance=1 - alpha_bar_t)
    return w, _count(w)


@wrong("03.3", "a variance or a deviation")
def deviation_for_the_variance(x_t, data, alpha_bar_t):
    w = _weights(x_t, data, alpha_bar_t, variance=2 * math.sqrt(1 - alpha_bar_t))
    return w, _count(w)


@wrong("03.3", "their mean")
def mean_over_the_numbers(x_t, data, alpha_bar_t):
    D = data.shape[1]
    w = _weights(x_t, data, alpha_bar_t, variance=2 * (1 - alpha_bar_t) * D)
    return w, _count(w)


@wrong("03.3", "is it the likeliest that counts")
def the_nearest_alone(x_t, data, alpha_bar_t):
    w = _weights(x_t, data, alpha_bar_t)
    w = torch.nn.functional.one_hot(w.argmax(), len(w)).double()
    return w, _count(w)


@wrong("03.3", "in nats or in bits")
def two_to_the_nats(x_t, data, alpha_bar_t):
    w = _weights(x_t, data, alpha_bar_t)
    return w, 2 ** math.log(_count(w))


@wrong("03.3", "from the entropy that you come")
def inverse_sum_of_squares(x_t, data, alpha_bar_t):
    w = _weights(x_t, data, alpha_bar_t)
    return w, float(1 / w.square().sum())


@wrong("03.3", "the entropy that was asked for, or the number")
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


@wrong("03.3", "where are the Gaussians around pictures, and how wide")
def clips_what_it_sees(x_t, data, a):
    log = -(x_t.clamp(-1, 1) - math.sqrt(a) * data).square().sum(1) / (2 * (1 - a))
    weights = log.softmax(0)
    return weights, float(torch.special.entr(weights).sum().exp())


@wrong("03.4", "do the other peaks not count")
def the_likeliest_peak(alpha_bar, x_t, t, means, variances, weights):
    return _noise(alpha_bar, x_t, t, means, variances, weights, "likeliest")


@wrong("03.4", "is it the noise")
def predicts_x_0(alpha_bar, x_t, t, means, variances, weights):
    return _noise(alpha_bar, x_t, t, means, variances, weights, "x_0")


@wrong("03.4", "are all peaks equally heavy")
def all_peaks_alike(alpha_bar, x_t, t, means, variances, weights):
    return _noise(alpha_bar, x_t, t, means, variances, weights, "even")


@wrong("03.4", "how far does x_t pull")
def guesses_the_mean_of_the_peak(alpha_bar, x_t, t, means, variances, weights):
    return _noise(alpha_bar, x_t, t, means, variances, weights, "still")


@wrong("03.4", "how high is a wide peak in the plane")
def height_of_one_dimension(alpha_bar, x_t, t, means, variances, weights):
    return _noise(alpha_bar, x_t, t, means, variances, weights, "line")


@wrong("03.4", "how high is a wide peak?")
def forgets_the_height(alpha_bar, x_t, t, means, variances, weights):
    return _noise(alpha_bar, x_t, t, means, variances, weights, "height")


@wrong("03.4", "how wide is each peak at step t")
def peaks_as_wide_as_the_noise(alpha_bar, x_t, t, means, variances, weights):
    return _noise(alpha_bar, x_t, t, means, variances, weights, "narrow")


@wrong("03.4", "or the score")
def gives_the_score(alpha_bar, x_t, t, means, variances, weights):
    noise = _noise(alpha_bar, x_t, t, means, variances, weights)
    return -noise / (1 - alpha_bar[t])[:, None].sqrt()


@wrong("03.4", "where is the mean of the peak")
def means_at_full_size(alpha_bar, x_t, t, means, variances, weights):
    return _noise(alpha_bar, x_t, t, means / alpha_bar[t][0].sqrt(), variances, weights)


@wrong("03.4", "a t of its own")
def one_step_for_all_examples(alpha_bar, x_t, t, means, variances, weights):
    return _noise(alpha_bar, x_t, t[:1].expand_as(t), means, variances, weights)


_APART = "apart = x_t[:, None] - a[:, :, None].sqrt() * means # (B, K, 2)"
_LOG = "log = torch.log_softmax(-square / (2 * (1 - alpha_bar_t)), 0)"
EQUIVALENT = {
    ("03.3", _LOG, _LOG.replace(", 0)", ", -1)")): (
        "square is (N,): its first dimension is its last."
    ),
    ("03.4", _APART, _APART.replace("a[:, :, None]", "a[((:, None, :))]")): (
        "a is (B, 1): a new dimension before or after its last one gives (B, 1, 1)."
    ),
}
