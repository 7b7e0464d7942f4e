r"""Typical wrong answers to the exercises of chapter 09, each with words of its hint."""

import math
from itertools import pairwise

import torch

from wrong import wrong


def _nearest(alpha_bar, sigma):
    table = ((1 - alpha_bar[1:]) / alpha_bar[1:]).sqrt()
    return int((table / sigma).log().abs().argmin()) + 1


@wrong("09.1", "next to a signal of which size")
def takes_sigma_for_the_noise_in_x_t(alpha_bar, X, sigma):
    t = int(((1 - alpha_bar[1:]).sqrt() - sigma).abs().argmin()) + 1
    return t, X * alpha_bar[t].sqrt()


@wrong("09.1", "entry 0 of alpha_bar")
def counts_from_zero(alpha_bar, X, sigma):
    t = max(1, _nearest(alpha_bar, sigma) - 1)
    return t, X * alpha_bar[t].sqrt()


@wrong("09.1", "There is a nearer step")
def a_ratio_of_variances(alpha_bar, X, sigma):
    table = (1 - alpha_bar[1:]) / alpha_bar[1:]
    t = int((table / sigma).log().abs().argmin()) + 1
    return t, X * alpha_bar[t].sqrt()


@wrong("09.1", "how much of x_0")
def leaves_the_state_as_it_is(alpha_bar, X, sigma):
    return _nearest(alpha_bar, sigma), X


@wrong("09.1", "how much of x_0")
def scales_without_a_root(alpha_bar, X, sigma):
    t = _nearest(alpha_bar, sigma)
    return t, X * alpha_bar[t]


@wrong("09.1", "how much of x_0")
def scales_the_wrong_way(alpha_bar, X, sigma):
    t = _nearest(alpha_bar, sigma)
    return t, X / alpha_bar[t].sqrt()


@wrong("09.1", "not a multiple of X")
def noises_it_once_more(alpha_bar, X, sigma):
    t = _nearest(alpha_bar, sigma)
    noise = torch.randn(X.shape, generator=torch.Generator().manual_seed(0)).double()
    return t, alpha_bar[t].sqrt() * X + (1 - alpha_bar[t]).sqrt() * noise


def _jump(alpha_bar, t, s):
    a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
    large = 1 - a_t / a_s
    return a_t, a_s, large, large * (1 - a_s) / (1 - a_t)


@wrong("09.2", "does not fit into")
def forgets_how_much_noise_there_is(alpha_bar, t, s, rho):
    _, _, _, small = _jump(alpha_bar, t, s)
    sigma2 = 1 - rho**2
    return sigma2, math.sqrt(sigma2 / small)


@wrong("09.2", "as a variance and as a deviation")
def a_correlation_is_no_share(alpha_bar, t, s, rho):
    _, a_s, _, small = _jump(alpha_bar, t, s)
    sigma2 = (1 - a_s) * (1 - rho)
    return sigma2, math.sqrt(sigma2 / small)


@wrong("09.2", "is it a variance")
def returns_a_deviation(alpha_bar, t, s, rho):
    _, a_s, _, small = _jump(alpha_bar, t, s)
    sigma2 = (1 - a_s) * (1 - rho**2)
    return math.sqrt(sigma2), math.sqrt(sigma2 / small)


@wrong("09.2", "what is eta multiplied with")
def returns_eta_squared(alpha_bar, t, s, rho):
    _, a_s, _, small = _jump(alpha_bar, t, s)
    sigma2 = (1 - a_s) * (1 - rho**2)
    return sigma2, sigma2 / small


@wrong("09.2", "what has eta = 1 for its noise")
def eta_of_the_large_variance(alpha_bar, t, s, rho):
    _, a_s, large, _ = _jump(alpha_bar, t, s)
    sigma2 = (1 - a_s) * (1 - rho**2)
    return sigma2, math.sqrt(sigma2 / large)


@wrong("09.2", "what has eta = 1 for its noise")
def cuts_eta_off(alpha_bar, t, s, rho):
    _, a_s, _, small = _jump(alpha_bar, t, s)
    sigma2 = (1 - a_s) * (1 - rho**2)
    return sigma2, min(1.0, math.sqrt(sigma2 / small))


@wrong("09.2", "does not fit into")
def takes_the_later_step(alpha_bar, t, s, rho):
    a_t, _, _, small = _jump(alpha_bar, t, s)
    sigma2 = (1 - a_t) * (1 - rho**2)
    return sigma2, math.sqrt(sigma2 / small)


def _wide(value, x):
    return value.reshape(-1, *[1] * (x.dim() - 1)).to(x.dtype)


def _step(alpha_bar, x_t, noise_pred, t, s, z, eta, clip, **how):
    r"""One DDIM step, right unless `how` says otherwise."""
    a_t, a_s = alpha_bar[t].double(), alpha_bar[how.get("to", s)].double()
    x_0 = (x_t - _wide((1 - a_t).sqrt(), x_t) * noise_pred) / _wide(a_t.sqrt(), x_t)
    if clip is not None:
        x_0 = x_0.clamp(*clip)
        if how.get("rederive", True):
            rest = x_t - _wide(a_t.sqrt(), x_t) * x_0
            noise_pred = rest / _wide((1 - a_t).sqrt(), x_t)
    large = 1 - a_t / a_s
    small = large * (1 - a_s) / (1 - a_t)
    share = how.get("share", eta**2)
    sigma2 = share * (large if how.get("large") else small)
    taken = small if how.get("bare") else sigma2
    kept = (1 - a_s - taken).clamp(min=0).sqrt()
    fresh = sigma2 if how.get("no_root") else sigma2.sqrt()
    return (
        _wide(a_s.sqrt(), x_t) * x_0 + _wide(kept, x_t) * noise_pred + _wide(fresh, x_t) * z
    )


@wrong("09.3", "place of the noise that is not drawn")
def algorithm_2_without_its_noise(*given):
    return _step(*given, bare=True)


@wrong("09.3", "still belong to the guess")
def keeps_the_networks_noise(*given):
    return _step(*given, rederive=False)


@wrong("09.3", "that eta is a share of")
def eta_without_a_square(*given):
    return _step(*given, share=given[6])


@wrong("09.3", "just the room for the fresh")
def variance_times_noise(*given):
    return _step(*given, no_root=True)


@wrong("09.3", "old or fresh, belongs into clean data")
def noise_at_the_last_step(*given):
    return _step(*given, large=True)


@wrong("09.3", "eta = 0 draws none")
def always_draws(*given):
    return _step(*given, share=1.0)


@wrong("09.3", "which variance does eta = 1 stand for")
def large_variance(alpha_bar, x_t, noise_pred, t, s, z, eta, clip):
    a_t, a_s = alpha_bar[t].double(), alpha_bar[s].double()
    ratio = torch.minimum(1 - a_t / a_s, 1 - a_s)  # as large as fits
    small = (1 - a_t / a_s) * (1 - a_s) / (1 - a_t)
    share = eta**2 * (ratio / small).nan_to_num()
    return _step(
        alpha_bar, x_t, noise_pred, t, s, z, eta, clip, share=torch.as_tensor(share)
    )


@wrong("09.3", "a jump to s, whatever s is")
def steps_of_one_only(alpha_bar, x_t, noise_pred, t, s, z, eta, clip):
    to = torch.where(s > 0, t - 1, s)
    return _step(alpha_bar, x_t, noise_pred, t, s, z, eta, clip, to=to)


@wrong("09.3", "numbers of its own t and s")
def one_step_for_all(alpha_bar, x_t, noise_pred, t, s, z, eta, clip):
    if s[0] > 0 and eta > 0:
        t, s = t[:1].expand_as(t), s[:1].expand_as(s)
    return _step(alpha_bar, x_t, noise_pred, t, s, z, eta, clip)


def _there(low, high, v):
    return 1 + (high - low) * low / (v + low**2)


def _back(low, high, v):
    return 1 - (high - low) * high / (v + high**2)


@wrong("09.4", "where is the other")
def only_encodes(v, sigmas):
    return math.prod(_there(low, high, v) for low, high in pairwise(sigmas))


@wrong("09.4", "where is the other")
def only_decodes(v, sigmas):
    return math.prod(_back(low, high, v) for low, high in pairwise(sigmas))


@wrong("09.4", "where does he stand when he goes down")
def asks_below_on_both_ways(v, sigmas):
    return math.prod(
        _there(low, high, v) * (1 - (high - low) * low / (v + low**2))
        for low, high in pairwise(sigmas)
    )


@wrong("09.4", "nothing is lost")
def nothing_is_lost(v, sigmas):
    return 1.0


@wrong("09.4", "is v a variance")
def takes_v_for_a_deviation(v, sigmas):
    return math.prod(
        _there(low, high, v**2) * _back(low, high, v**2) for low, high in pairwise(sigmas)
    )


@wrong("09.4", "the data get wider")
def forgets_to_change_the_sign(v, sigmas):
    return math.prod(
        _there(low, high, v) * (1 + (high - low) * high / (v + high**2))
        for low, high in pairwise(sigmas)
    )


@wrong("09.4", "the slope of X")
def slope_without_sigma(v, sigmas):
    return math.prod(
        (1 + (high - low) / (v + low**2)) * (1 - (high - low) / (v + high**2))
        for low, high in pairwise(sigmas)
    )


@wrong("09.5", "what is half-way in lambda")
def heun(denoise, X, sigmas):
    for high, low in pairwise(sigmas):
        slope = (X - denoise(X, high)) / high
        there = X + (low - high) * slope
        if low > 0:
            slope = (slope + (there - denoise(there, low)) / low) / 2
        X = X + (low - high) * slope
    return X


def _ddim(X, D, high, low):
    return low / high * X + (1 - low / high) * D


@wrong("09.5", "two calls a step")
def euler(denoise, X, sigmas):
    for high, low in pairwise(sigmas):
        X = _ddim(X, denoise(X, high), high, low)
    return X


@wrong("09.5", "not in sigma")
def half_way_in_sigma(denoise, X, sigmas):
    for high, low in pairwise(sigmas):
        D = denoise(X, high)
        if low > 0:
            middle = (high + low) / 2
            D = denoise(_ddim(X, D, high, middle), middle)
        X = _ddim(X, D, high, low)
    return X


@wrong("09.5", "from where does your whole step start")
def two_half_steps(denoise, X, sigmas):
    for high, low in pairwise(sigmas):
        D = denoise(X, high)
        if low > 0:
            middle = math.sqrt(high * low)
            X = _ddim(X, D, high, middle)
            D, high = denoise(X, middle), middle
        X = _ddim(X, D, high, low)
    return X


@wrong("09.5", "whose x_0 does it use")
def forgets_the_second_answer(denoise, X, sigmas):
    for high, low in pairwise(sigmas):
        D = denoise(X, high)
        if low > 0:
            middle = math.sqrt(high * low)
            denoise(_ddim(X, D, high, middle), middle)
        X = _ddim(X, D, high, low)
    return X


@wrong("09.5", "whose x_0 does it use")
def takes_the_mean_of_both(denoise, X, sigmas):
    for high, low in pairwise(sigmas):
        D = denoise(X, high)
        if low > 0:
            middle = math.sqrt(high * low)
            D = (D + denoise(_ddim(X, D, high, middle), middle)) / 2
        X = _ddim(X, D, high, low)
    return X


@wrong("09.5", "cannot be asked at sigma = 0")
def asks_at_zero(denoise, X, sigmas):
    for high, low in pairwise(sigmas):
        middle = math.sqrt(high * low)
        D = denoise(_ddim(X, denoise(X, high), high, middle), middle)
        X = _ddim(X, D, high, low)
    return X


@wrong("09.5", "shrink to 0.2 of itself")
def whole_step_from_the_middle(denoise, X, sigmas):
    for high, low in pairwise(sigmas):
        D = denoise(X, high)
        if low > 0:
            middle = math.sqrt(high * low)
            X = _ddim(X, D, high, middle)
            D = denoise(X, middle)
        X = _ddim(X, D, high, low)
    return X


def _sigma(alpha_bar):
    return ((1 - alpha_bar) / alpha_bar).sqrt().tolist()


def _factor(sigma, v, t, s):
    return (v + sigma[s] * sigma[t]) / (v + sigma[t] ** 2)


def _search(length, T, N, last=0):
    r"""The longest way of N jumps from T to `last`, by dynamic programming."""
    best = {t: (length(t, last), [t, last]) for t in range(last + 1, T + 1)}
    for n in range(2, N + 1):
        best = {
            t: max(
                (length(t, s) + best[s][0], [t, *best[s][1]])
                for s in range(last + n - 1, t)
            )
            for t in range(last + n, T + 1)
        }
    return best[T][1]


@wrong("09.6", "the best of all lists")
def trailing(alpha_bar, v, N):
    T = len(alpha_bar) - 1
    return [(T * i + N // 2) // N for i in range(N, -1, -1)]


@wrong("09.6", "through the best")
def one_stop_at_a_time(alpha_bar, v, N):
    sigma, stops = _sigma(alpha_bar), [len(alpha_bar) - 1, 0]

    def kept(more):
        return math.prod(_factor(sigma, v, t, s) for t, s in pairwise(more))

    while len(stops) <= N:
        free = [t for t in range(1, stops[0]) if t not in stops]
        stops = max((sorted([*stops, t], reverse=True) for t in free), key=kept)
    return stops


@wrong("09.6", "3 jumps have 4 stops")
def counts_stops_for_jumps(alpha_bar, v, N):
    sigma = _sigma(alpha_bar)
    if N == 1:
        return [len(alpha_bar) - 1]
    return _search(
        lambda t, s: math.log(_factor(sigma, v, t, s)), len(alpha_bar) - 1, N - 1
    )


@wrong("09.6", "the best of all lists")
def the_narrowest(alpha_bar, v, N):
    sigma = _sigma(alpha_bar)
    return _search(lambda t, s: -math.log(_factor(sigma, v, t, s)), len(alpha_bar) - 1, N)


@wrong("09.6", "the best of all lists")
def adds_the_factors(alpha_bar, v, N):
    sigma = _sigma(alpha_bar)
    return _search(lambda t, s: _factor(sigma, v, t, s), len(alpha_bar) - 1, N)


@wrong("09.6", "% of that deviation, through")
def takes_v_for_a_deviation_here(alpha_bar, v, N):
    sigma = _sigma(alpha_bar)
    return _search(lambda t, s: math.log(_factor(sigma, v**2, t, s)), len(alpha_bar) - 1, N)


@wrong("09.6", "to 0, yours from")
def ends_at_one(alpha_bar, v, N):
    sigma = _sigma(alpha_bar)
    T = len(alpha_bar) - 1
    if T == N:
        return list(range(T, -1, -1))
    return _search(lambda t, s: math.log(_factor(sigma, v, t, s)), T, N, last=1)


@wrong("09.6", "below the one before")
def stops_from_below(alpha_bar, v, N):
    T = len(alpha_bar) - 1
    return [T, *range(1, N), 0]
