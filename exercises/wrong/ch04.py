r"""Typical wrong answers to the exercises of chapter 04, each with words of its hint."""

import math

import torch

from wrong import wrong


@wrong("04.1", "bins of half the width")
def forgets_the_bin(nats, shape, levels):
    return nats / math.prod(shape) / math.log(2)


@wrong("04.1", "saves one bit in each")
def counts_wrong(nats, shape, levels):
    return (nats / (shape[1] * shape[2] + 1) - math.log(2 / (levels - 1))) / math.log(2)


@wrong("04.1", "saves one bit in each")
def stays_in_nats(nats, shape, levels):
    return nats / math.prod(shape) - math.log(2 / (levels - 1))


@wrong("04.1", "bins of half the width")
def bins_of_two_over_levels(nats, shape, levels):
    return (nats / math.prod(shape) - math.log(2 / levels)) / math.log(2)


@wrong("04.1", "how wide is a bin")
def for_pictures_in_0_to_1(nats, shape, levels):
    return (nats / math.prod(shape) - math.log(1 / (levels - 1))) / math.log(2)


@wrong("04.2", "inside the peaks and between")
def mean_of_the_variances(weights, means, variances):
    mean = sum(w * m for w, m in zip(weights, means, strict=True))
    return mean, sum(w * v for w, v in zip(weights, variances, strict=True))


@wrong("04.2", "inside the peaks and between")
def spread_of_the_means_alone(weights, means, variances):
    mean = sum(w * m for w, m in zip(weights, means, strict=True))
    return mean, sum(w * (m - mean) ** 2 for w, m in zip(weights, means, strict=True))


@wrong("04.2", "with its weight")
def the_tallest_peak(weights, means, variances):
    best = max(range(len(weights)), key=lambda k: weights[k] / math.sqrt(variances[k]))
    return means[best], variances[best]


@wrong("04.2", "with its weight")
def all_peaks_alike(weights, means, variances):
    mean = sum(means) / len(means)
    second = sum(v + m**2 for v, m in zip(variances, means, strict=True)) / len(means)
    return mean, second - mean**2


@wrong("04.2", "is what you return a variance")
def a_deviation(weights, means, variances):
    peaks = list(zip(weights, means, variances, strict=True))
    mean = sum(w * m for w, m, _ in peaks)
    return mean, math.sqrt(sum(w * (v + m**2) for w, m, v in peaks) - mean**2)


@wrong("04.3", "times as much")
def forgets_the_half(alpha_bar, t, s):
    snr = alpha_bar / (1 - alpha_bar)
    return float(snr[s] - snr[t])


@wrong("04.3", "more signal")
def the_other_way_round(alpha_bar, t, s):
    snr = alpha_bar / (1 - alpha_bar)
    return float(snr[t] - snr[s]) / 2


@wrong("04.3", "times as much")
def difference_of_alpha_bar(alpha_bar, t, s):
    return float(alpha_bar[s] - alpha_bar[t]) / 2


@wrong("04.3", "times as much")
def the_weight_of_the_noise(alpha_bar, t, s):
    beta = 1 - alpha_bar[t] / alpha_bar[s]
    small = beta * (1 - alpha_bar[s]) / (1 - alpha_bar[t])
    return float(beta**2 / (2 * small * (1 - beta) * (1 - alpha_bar[t])))


@wrong("04.3", "times as much")
def variance_of_one_step(alpha_bar, t, s):
    beta = 1 - alpha_bar[t] / alpha_bar[s]
    of_x_0 = alpha_bar[s].sqrt() * beta / (1 - alpha_bar[t])
    return float(of_x_0**2 / (2 * beta))


def _drawn(p, u, first=1):
    index = torch.searchsorted(p.cumsum(0)[:-1].contiguous(), u, right=True)
    return index + first, 1 / (len(p) * p[index])


def _shares(history):
    p = history.square().mean(1).sqrt()
    return p / p.sum()


@wrong("04.4", "root of the mean square")
def by_the_mean(history, u):
    p = history.mean(1)
    return _drawn(p / p.sum(), u)


@wrong("04.4", "root of the mean square")
def by_the_mean_square(history, u):
    p = history.square().mean(1)
    return _drawn(p / p.sum(), u)


@wrong("04.4", "t runs from 1")
def counts_from_0(history, u):
    return _drawn(_shares(history), u, first=0)


@wrong("04.4", "half as much")
def without_weights(history, u):
    t, weight = _drawn(_shares(history), u)
    return t, torch.ones_like(weight)


@wrong("04.4", "must count 1")
def weights_without_T(history, u):
    t, weight = _drawn(_shares(history), u)
    return t, len(history) * weight


@wrong("04.4", "half as much")
def weights_turned_over(history, u):
    t, weight = _drawn(_shares(history), u)
    return t, 1 / weight


def _bound(model, alpha_bar, x_0, noise, sigma2, kl=None, start=1, prior=None, half=0.5):
    def divergence(mean, variance, mean_pred, variance_pred):
        ratio = variance / variance_pred
        return half * (ratio - 1 - ratio.log() + (mean - mean_pred) ** 2 / variance_pred)

    kl = kl or divergence
    T = len(alpha_bar) - 1
    terms = torch.zeros(T, dtype=torch.float64)
    for t in range(start, T + 1):
        a_t, a_s = alpha_bar[t], alpha_bar[t - 1]
        x_t = a_t.sqrt() * x_0 + (1 - a_t).sqrt() * noise[t - 1]
        predicted = model(x_t, torch.full((len(x_0),), t))
        guess = (x_t - (1 - a_t).sqrt() * predicted) / a_t.sqrt()
        beta = 1 - a_t / a_s
        of_x_0 = a_s.sqrt() * beta / (1 - a_t)
        of_x_t = (1 - beta).sqrt() * (1 - a_s) / (1 - a_t)
        mean, mean_pred = of_x_0 * x_0 + of_x_t * x_t, of_x_0 * guess + of_x_t * x_t
        variance = beta * (1 - a_s) / (1 - a_t)
        if t > 1:
            terms[t - 1] = kl(mean, variance, mean_pred, sigma2[t]).mean()
        else:
            squares = (x_0 - mean_pred) ** 2 / sigma2[1]
            terms[0] = (0.5 * (squares + (2 * math.pi * sigma2[1]).log())).mean()
    if prior is None:
        a, one = alpha_bar[T], torch.ones((), dtype=torch.float64)
        prior = float(divergence(a.sqrt() * x_0, 1 - a, 0 * one, one).mean())
    return {"prior": prior, "steps": terms, "total": prior + float(terms.sum())}


@wrong("04.5", "your prior term is")
def without_the_prior(model, alpha_bar, x_0, noise, sigma2):
    return _bound(model, alpha_bar, x_0, noise, sigma2, prior=0.0)


@wrong("04.5", "different t")
def without_the_decoder(model, alpha_bar, x_0, noise, sigma2):
    return _bound(model, alpha_bar, x_0, noise, sigma2, start=2)


@wrong("04.5", "variances in the right places")
def kl_the_wrong_way(model, alpha_bar, x_0, noise, sigma2):
    def kl(mean, variance, mean_pred, variance_pred):
        ratio = variance_pred / variance
        return 0.5 * (ratio - 1 - ratio.log() + (mean - mean_pred) ** 2 / variance)

    return _bound(model, alpha_bar, x_0, noise, sigma2, kl=kl)


@wrong("04.5", "not negative")
def kl_without_the_one(model, alpha_bar, x_0, noise, sigma2):
    def kl(mean, variance, mean_pred, variance_pred):
        ratio = variance / variance_pred
        return 0.5 * (ratio - 2 - ratio.log() + (mean - mean_pred) ** 2 / variance_pred)

    return _bound(model, alpha_bar, x_0, noise, sigma2, kl=kl)


@wrong("04.5", "sum of the prior and all")
def total_without_the_prior(model, alpha_bar, x_0, noise, sigma2):
    made = _bound(model, alpha_bar, x_0, noise, sigma2)
    return made | {"total": float(made["steps"].sum())}


@wrong("04.5", "and is it used")
def the_posteriors_variance_for_the_models(model, alpha_bar, x_0, noise, sigma2):
    def kl(mean, variance, mean_pred, variance_pred):
        return (mean - mean_pred) ** 2 / (2 * variance)

    return _bound(model, alpha_bar, x_0, noise, sigma2, kl=kl)


@wrong("04.5", "no bound can be")
def the_means_alone(model, alpha_bar, x_0, noise, sigma2):
    def kl(mean, variance, mean_pred, variance_pred):
        return (mean - mean_pred) ** 2 / (2 * variance_pred)

    return _bound(model, alpha_bar, x_0, noise, sigma2, kl=kl)
