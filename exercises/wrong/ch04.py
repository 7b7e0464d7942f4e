r"""Typical wrong answers to the exercises of chapter 04, each with words of its hint."""

import math

import torch

from wrong import wrong

# Slips of the solutions that change no value, with what proves it.
EQUIVALENT = {
    (
        "04.2",
        "mean = sum(w * m for w, m, v in peaks); "
        "second = sum(w * (v + m**2) for w, m, v in peaks)",
        "second = sum(w * (v + m**2) for w, m, v in peaks); "
        "mean = sum(w * m for w, m, v in peaks)",
    ): "Neither of the two lines reads what the other one sets, so their order is free.",
    (
        "04.2",
        "mean = sum(w * m for w, m, v in peaks)",
        "mean = sum(w * m for (m, w, v) in peaks)",
    ): "The two names are exchanged, and a product is the same in either order.",
    (
        "04.3",
        "return float(snr[s] - snr[t]) / 2",
        "return (snr[s] - snr[t]) / 2",
    ): "A tensor with one element counts as the number in it, and halving is exact.",
    (
        "04.4",
        "p = history.square().mean(1).sqrt()",
        "p = -history.square().mean(1).sqrt()",
    ): "The next line divides p by its sum, and the signs of both cancel.",
    (
        "04.4",
        "p = history.square().mean(1).sqrt()",
        "p = history.square().sum(1).sqrt()",
    ): "All rows have K losses: p is root K times as large, and so is its sum.",
    (
        "04.4",
        "edges = p.cumsum(0)",
        "edges = p.cumsum(-1)",
    ): "p has one dimension, which is the first and the last one.",
    (
        "04.4",
        "index = torch.searchsorted(edges[:-1].contiguous(), u, right=True)",
        "index = torch.searchsorted(edges[:-1], u, right=True)",
    ): "A slice from the beginning is contiguous already, and only speed depends on it.",
    (
        "04.4",
        "return index + 1, 1 / (len(p) * p[index])",
        "return index + 1, 1 / (len(edges) * p[index])",
    ): "edges is a cumulative sum of p and as long as p.",
}
EQUIVALENT |= {
    (
        "04.5",
        "T = len(alpha_bar) - 1",
        "T = len(sigma2) - 1",
    ): "alpha_bar and sigma2 both have T + 1 entries.",
    (
        "04.5",
        "terms = torch.zeros(T, dtype=torch.float64)",
        "terms = torch.ones(T, dtype=torch.float64)",
    ): "The loop sets every entry, so that what was there before is gone.",
    (
        "04.5",
        "for t in range(1, T + 1):",
        "for t in list(range(1, T + 1))[::-1]:",
    ): "Each turn of the loop sets its own entry, so their order is free.",
    (
        "04.5",
        "predicted = model(x_t, torch.full((len(x_0),), t))",
        "predicted = model(x_t, torch.full((len(x_t),), t))",
    ): "x_t has the shape of x_0.",
    (
        "04.5",
        "a = alpha_bar[T]",
        "a = alpha_bar[t]",
    ): "The loop ends with t = T, where a_t is alpha_bar[T].",
    (
        "04.5",
        "prior = float(divergence(a.sqrt() * x_0, 1 - a, zero, one))",
        "prior = float(divergence(-a.sqrt() * x_0, 1 - a, zero, one))",
    ): "The mean is compared with 0 and squared, so that its sign is free.",
    (
        "04.5",
        "prior = float(divergence(a.sqrt() * x_0, 1 - a, zero, one))",
        "prior = float(divergence(a_t.sqrt() * x_0, 1 - a, zero, one))",
    ): "The loop ends with t = T, where a_t is alpha_bar[T].",
    (
        "04.5",
        "prior = float(divergence(a.sqrt() * x_0, 1 - a, zero, one))",
        "prior = float(divergence(a.sqrt() * -x_0, 1 - a, zero, one))",
    ): "The mean is compared with 0 and squared, so that its sign is free.",
    (
        "04.5",
        "prior = float(divergence(a.sqrt() * x_0, 1 - a, zero, one))",
        "prior = float(divergence(a.sqrt() * x_0, 1 - a_t, zero, one))",
    ): "The loop ends with t = T, where a_t is alpha_bar[T].",
}
_ONE, _ZERO = "torch.ones((), dtype=torch.float64)", "torch.zeros((), dtype=torch.float64)"
EQUIVALENT |= {
    (
        "04.5",
        f"one, zero = {_ONE}, {_ZERO}",
        f"one, zero = {one}, {zero}",
    ): "0 and 1 are exact in float32, and float64 operands keep the result in float64."
    for one, zero in (
        ("torch.ones(())", _ZERO),
        ("torch.ones((), dtype=torch.float32)", _ZERO),
        (_ONE, "torch.zeros(())"),
        (_ONE, "torch.zeros((), dtype=torch.float32)"),
    )
}
_OF_X_0 = "of_x_0 = a_s.sqrt() * beta / (1 - a_t)"
_SIGN = "Both means change their sign with the weight, and their difference is squared."
EQUIVALENT |= {
    ("04.5", _OF_X_0, _OF_X_0.replace("a_s.sqrt() * beta / (1 - a_t)", after)): _SIGN
    for after in (
        "-(a_s.sqrt() * beta / (1 - a_t))",
        "-(a_s.sqrt() * beta) / (1 - a_t)",
        "-a_s.sqrt() * beta / (1 - a_t)",
        "a_s.sqrt() * -beta / (1 - a_t)",
        "a_s.sqrt() * beta / (a_t - 1)",
        "a_s.sqrt() * beta / (-(1 - a_t))",
    )
}


@wrong("04.1", "where does the width of a bin come in")
def forgets_the_bin(nats, shape, levels):
    return nats / math.prod(shape) / math.log(2)


@wrong("04.1", "a picture with channels")
def forgets_the_channels(nats, shape, levels):
    return (nats / (shape[1] * shape[2]) - math.log(2 / (levels - 1))) / math.log(2)


@wrong("04.1", "the whole picture, or one")
def bits_of_the_whole_picture(nats, shape, levels):
    return (nats - math.prod(shape) * math.log(2 / (levels - 1))) / math.log(2)


@wrong("04.1", "which logarithm counts bits?")
def stays_in_nats(nats, shape, levels):
    return nats / math.prod(shape) - math.log(2 / (levels - 1))


@wrong("04.1", "is a bit more than a nat")
def multiplies_by_log_2(nats, shape, levels):
    return (nats / math.prod(shape) - math.log(2 / (levels - 1))) * math.log(2)


@wrong("04.1", "as many gaps as levels")
def bins_of_two_over_levels(nats, shape, levels):
    return (nats / math.prod(shape) - math.log(2 / levels)) / math.log(2)


@wrong("04.1", "how long is the range")
def for_pictures_in_0_to_1(nats, shape, levels):
    return (nats / math.prod(shape) - math.log(1 / (levels - 1))) / math.log(2)


@wrong("04.1", "likelier when its bin is narrower")
def adds_the_width(nats, shape, levels):
    return (nats / math.prod(shape) + math.log(2 / (levels - 1))) / math.log(2)


@wrong("04.1", "once for a picture")
def one_bin_for_the_picture(nats, shape, levels):
    return (nats - math.log(2 / (levels - 1))) / math.prod(shape) / math.log(2)


@wrong("04.1", "both parts of your sum in bits")
def the_bin_in_nats(nats, shape, levels):
    return nats / math.prod(shape) / math.log(2) - math.log(2 / (levels - 1))


def _mean(weights, means):
    return sum(w * m for w, m in zip(weights, means, strict=True))


def _spread(weights, means, variances):
    peaks = list(zip(weights, means, variances, strict=True))
    return sum(w * (v + m**2) for w, m, v in peaks) - _mean(weights, means) ** 2


@wrong("04.2", "what of that between them")
def mean_of_the_variances(weights, means, variances):
    return _mean(weights, means), _mean(weights, variances)


@wrong("04.2", "do the widths of the peaks count")
def spread_of_the_means_alone(weights, means, variances):
    return _mean(weights, means), _spread(weights, means, [0] * len(means))


@wrong("04.2", "what of those at other peaks")
def the_tallest_peak(weights, means, variances):
    best = max(range(len(weights)), key=lambda k: weights[k] / math.sqrt(variances[k]))
    return means[best], variances[best]


@wrong("04.2", "each peak count with its weight")
def all_peaks_alike(weights, means, variances):
    even = [1 / len(means)] * len(means)
    return _mean(even, means), _spread(even, means, variances)


@wrong("04.2", "does a variance grow so")
def a_deviation(weights, means, variances):
    return _mean(weights, means), math.sqrt(_spread(weights, means, variances))


@wrong("04.2", "from where is a variance measured")
def does_not_subtract_the_mean(weights, means, variances):
    zero = [m**2 for m in means]
    return _mean(weights, means), _mean(weights, variances) + _mean(weights, zero)


@wrong("04.2", "a sum of peaks, or from one")
def as_if_peaks_were_added(weights, means, variances):
    squares = [w**2 for w in weights]
    return _mean(weights, means), _mean(squares, variances)


@wrong("04.2", "because it is narrow")
def narrow_peaks_count_more(weights, means, variances):
    precise = [w / v for w, v in zip(weights, variances, strict=True)]
    return _mean(precise, means) / sum(precise), 1 / sum(precise)


@wrong("04.2", "a rare peak spread q as much")
def peaks_spread_without_weights(weights, means, variances):
    mean = _mean(weights, means)
    between = sum((m - mean) ** 2 for m in means) / len(means)
    return mean, _mean(weights, variances) + between


def _parts(alpha_bar, t, s):
    r"""beta of the step from t to s, and the factor of x_0 in the posterior's mean."""
    beta = 1 - alpha_bar[t] / alpha_bar[s]
    return beta, alpha_bar[s].sqrt() * beta / (1 - alpha_bar[t])


@wrong("04.3", "which factor stands before the squares")
def forgets_the_half(alpha_bar, t, s):
    snr = alpha_bar / (1 - alpha_bar)
    return float(snr[s] - snr[t])


@wrong("04.3", "more signal")
def the_other_way_round(alpha_bar, t, s):
    snr = alpha_bar / (1 - alpha_bar)
    return float(snr[t] - snr[s]) / 2


@wrong("04.3", "grow without a bound")
def difference_of_alpha_bar(alpha_bar, t, s):
    return float(alpha_bar[s] - alpha_bar[t]) / 2


@wrong("04.3", "is it x_0 that has the error, or the noise")
def the_weight_of_the_noise(alpha_bar, t, s):
    beta = _parts(alpha_bar, t, s)[0]
    small = beta * (1 - alpha_bar[s]) / (1 - alpha_bar[t])
    return float(beta**2 / (2 * small * (1 - beta) * (1 - alpha_bar[t])))


@wrong("04.3", "the posteriors' own variance")
def variance_of_one_step(alpha_bar, t, s):
    beta, of_x_0 = _parts(alpha_bar, t, s)
    return float(of_x_0**2 / (2 * beta))


@wrong("04.3", "a ratio or a difference")
def difference_of_the_logarithms(alpha_bar, t, s):
    log_snr = (alpha_bar / (1 - alpha_bar)).log()
    return float(log_snr[s] - log_snr[t]) / 2


@wrong("04.3", "what does s change")
def always_goes_to_t_minus_1(alpha_bar, t, s):
    snr = alpha_bar / (1 - alpha_bar)
    return float(snr[t - 1] - snr[t]) / 2


@wrong("04.3", "still belong to a step of length 1")
def beta_of_one_step_in_a_jump(alpha_bar, t, s):
    beta = _parts(alpha_bar, t, t - 1)[0]
    of_x_0 = alpha_bar[s].sqrt() * beta / (1 - alpha_bar[t])
    small = beta * (1 - alpha_bar[s]) / (1 - alpha_bar[t])
    return float(of_x_0**2 / (2 * small))


def _draw(p, u, first=1):
    index = torch.searchsorted(p.cumsum(0)[:-1].contiguous(), u, right=True)
    return index + first, 1 / (len(p) * p[index])


def _p(history):
    p = history.square().mean(1).sqrt()
    return p / p.sum()


@wrong("04.4", "of which one fluctuates more")
def by_the_mean(history, u):
    p = history.mean(1)
    return _draw(p / p.sum(), u)


@wrong("04.4", "how much more often is it drawn")
def by_the_mean_square(history, u):
    p = history.square().mean(1)
    return _draw(p / p.sum(), u)


@wrong("04.4", "on which should a probability rest")
def by_the_last_loss(history, u):
    return _draw(history[:, -1] / history[:, -1].sum(), u)


@wrong("04.4", "which row holds the losses of which t")
def counts_from_0(history, u):
    return _draw(_p(history), u, first=0)


@wrong("04.4", "should it count as much")
def without_weights(history, u):
    t, weight = _draw(_p(history), u)
    return t, torch.ones_like(weight)


@wrong("04.4", "how often does Algorithm 1 draw this t")
def weights_without_T(history, u):
    t, weight = _draw(_p(history), u)
    return t, len(history) * weight


@wrong("04.4", "count more, or less")
def weights_turned_over(history, u):
    t, weight = _draw(_p(history), u)
    return t, 1 / weight


@wrong("04.4", "of its t, or of the batch")
def weights_with_mean_1_in_each_batch(history, u):
    t, weight = _draw(_p(history), u)
    return t, weight / weight.mean()


@wrong("04.4", "1 to the last digit")
def falls_off_the_last_edge(history, u):
    p = _p(history)
    index = torch.searchsorted(p.cumsum(0), u, right=True)
    return index + 1, 1 / (len(p) * p[index])


@wrong("04.4", "in which order")
def pieces_from_the_largest_down(history, u):
    p, order = _p(history).sort(descending=True, stable=True)
    t, weight = _draw(p, u)
    return order[t - 1] + 1, weight


@wrong("04.4", "which piece takes an edge")
def edges_belong_below(history, u):
    p = _p(history)
    index = torch.searchsorted(p.cumsum(0)[:-1].contiguous(), u)
    return index + 1, 1 / (len(p) * p[index])


def _bound(model, alpha_bar, x_0, noise, sigma2, *, kl=None, start=1, decoder=None, late=0):
    def divergence(mean, variance, mean_pred, variance_pred):
        ratio = variance / variance_pred
        return 0.5 * (ratio - 1 - ratio.log() + (mean - mean_pred) ** 2 / variance_pred)

    def density(x_0, mean, variance):
        return 0.5 * ((x_0 - mean) ** 2 / variance + (2 * math.pi * variance).log())

    T = len(alpha_bar) - 1
    terms = torch.zeros(T, dtype=torch.float64)
    for t in range(start, T + 1):
        a_t, a_s = alpha_bar[t], alpha_bar[t - 1]
        x_t = a_t.sqrt() * x_0 + (1 - a_t).sqrt() * noise[t - 1]
        predicted = model(x_t, torch.full((len(x_0),), t - late))
        guess = (x_t - (1 - a_t).sqrt() * predicted) / a_t.sqrt()
        beta = 1 - a_t / a_s
        of_x_0 = a_s.sqrt() * beta / (1 - a_t)
        of_x_t = (1 - beta).sqrt() * (1 - a_s) / (1 - a_t)
        mean, mean_pred = of_x_0 * x_0 + of_x_t * x_t, of_x_0 * guess + of_x_t * x_t
        variance = beta * (1 - a_s) / (1 - a_t)
        if t > 1:
            nats = (kl or divergence)(mean, variance, mean_pred, sigma2[t])
        else:
            nats = (decoder or density)(x_0, mean_pred, sigma2[1])
        terms[t - 1] = nats.mean()
    a, one = alpha_bar[T], torch.ones((), dtype=torch.float64)
    prior = float(divergence(a.sqrt() * x_0, 1 - a, 0 * one, one).mean())
    return {"prior": prior, "steps": terms, "total": prior + float(terms.sum())}


@wrong("04.5", "quite end at N(0, I)")
def without_the_prior(model, alpha_bar, x_0, noise, sigma2):
    return _bound(model, alpha_bar, x_0, noise, sigma2) | {"prior": 0.0}


@wrong("04.5", "what is left of x_0 in the mean")
def prior_without_x_0(model, alpha_bar, x_0, noise, sigma2):
    made, a = _bound(model, alpha_bar, x_0, noise, sigma2), alpha_bar[-1]
    return made | {"prior": float(-a - (1 - a).log()) / 2}


@wrong("04.5", "not at t = 1")
def without_the_decoder(model, alpha_bar, x_0, noise, sigma2):
    return _bound(model, alpha_bar, x_0, noise, sigma2, start=2)


@wrong("04.5", "but at t = 0")
def counts_t_from_0(model, alpha_bar, x_0, noise, sigma2):
    return _bound(model, alpha_bar, x_0, noise, sigma2, late=1)


@wrong("04.5", "with its height")
def decoder_without_its_height(model, alpha_bar, x_0, noise, sigma2):
    def decoder(x_0, mean, variance):
        return (x_0 - mean) ** 2 / (2 * variance)

    return _bound(model, alpha_bar, x_0, noise, sigma2, decoder=decoder)


@wrong("04.5", "does the density integrate to 1")
def decoder_without_2_pi(model, alpha_bar, x_0, noise, sigma2):
    def decoder(x_0, mean, variance):
        return 0.5 * ((x_0 - mean) ** 2 / variance + variance.log())

    return _bound(model, alpha_bar, x_0, noise, sigma2, decoder=decoder)


@wrong("04.5", "draws the x over which KL averages")
def kl_the_wrong_way(model, alpha_bar, x_0, noise, sigma2):
    def kl(mean, variance, mean_pred, variance_pred):
        ratio = variance_pred / variance
        return 0.5 * (ratio - 1 - ratio.log() + (mean - mean_pred) ** 2 / variance)

    return _bound(model, alpha_bar, x_0, noise, sigma2, kl=kl)


@wrong("04.5", "is its error measured")
def trusts_all_but_a_constant_error(model, alpha_bar, x_0, noise, sigma2):
    made, T = _bound(model, alpha_bar, x_0, noise, sigma2), len(alpha_bar) - 1
    for t in range(1, T + 1):
        a_t, a_s = alpha_bar[t], alpha_bar[t - 1]
        x_t = a_t.sqrt() * x_0 + (1 - a_t).sqrt() * noise[t - 1]
        said = model(x_t, torch.full((len(x_0),), t))
        of_x_0 = a_s.sqrt() * (1 - a_t / a_s) / (1 - a_t)
        weight = of_x_0**2 * (1 - a_t) / a_t / (2 * sigma2[t])
        less = (noise[t - 1] - said).square().mean()
        trusted = 1 - said.square().mean() + 2 * said.mean() ** 2
        made["steps"][t - 1] += weight * (trusted - less)
    return made | {"total": made["prior"] + float(made["steps"].sum())}


@wrong("04.5", "not negative")
def kl_without_the_one(model, alpha_bar, x_0, noise, sigma2):
    def kl(mean, variance, mean_pred, variance_pred):
        ratio = variance / variance_pred
        return 0.5 * (ratio - 2 - ratio.log() + (mean - mean_pred) ** 2 / variance_pred)

    return _bound(model, alpha_bar, x_0, noise, sigma2, kl=kl)


@wrong("04.5", "is sigma2 used")
def the_posteriors_variance_for_the_models(model, alpha_bar, x_0, noise, sigma2):
    def kl(mean, variance, mean_pred, variance_pred):
        return (mean - mean_pred) ** 2 / (2 * variance)

    return _bound(model, alpha_bar, x_0, noise, sigma2, kl=kl)


@wrong("04.5", "that the two variances differ")
def the_means_alone(model, alpha_bar, x_0, noise, sigma2):
    def kl(mean, variance, mean_pred, variance_pred):
        return (mean - mean_pred) ** 2 / (2 * variance_pred)

    return _bound(model, alpha_bar, x_0, noise, sigma2, kl=kl)


@wrong("04.5", "variances or deviations")
def takes_sigma2_for_deviations(model, alpha_bar, x_0, noise, sigma2):
    squared = torch.cat([sigma2[:2], sigma2[2:] ** 2])
    return _bound(model, alpha_bar, x_0, noise, squared)


@wrong("04.5", "Is the end of the chain free?")
def total_without_the_prior(model, alpha_bar, x_0, noise, sigma2):
    made = _bound(model, alpha_bar, x_0, noise, sigma2)
    return made | {"total": float(made["steps"].sum())}


@wrong("04.5", "the sum of its terms, or their mean")
def total_is_a_mean(model, alpha_bar, x_0, noise, sigma2):
    made = _bound(model, alpha_bar, x_0, noise, sigma2)
    return made | {"total": made["prior"] + float(made["steps"].mean())}


@wrong("04.5", "which belongs to which step")
def only_for_the_papers_variance(model, alpha_bar, x_0, noise, sigma2):
    large = 1 - alpha_bar / alpha_bar.roll(1)
    large[:2] = sigma2[:2]
    return _bound(model, alpha_bar, x_0, noise, large)
