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


@wrong("09.1", "which step does entry 0 of alpha_bar belong to")
def counts_from_zero(alpha_bar, X, sigma):
    t = max(1, _nearest(alpha_bar, sigma) - 1)
    return t, X * alpha_bar[t].sqrt()


@wrong("09.1", "is sigma a variance")
def a_ratio_of_variances(alpha_bar, X, sigma):
    table = (1 - alpha_bar[1:]) / alpha_bar[1:]
    t = int((table / sigma).log().abs().argmin()) + 1
    return t, X * alpha_bar[t].sqrt()


@wrong("09.1", "by the difference, or by the ratio")
def nearest_by_difference(alpha_bar, X, sigma):
    table = ((1 - alpha_bar[1:]) / alpha_bar[1:]).sqrt()
    t = int((table - sigma).abs().argmin()) + 1
    return t, X * alpha_bar[t].sqrt()


@wrong("09.1", "by the difference, or by the ratio, and of sigma itself")
def nearest_in_alpha_bar(alpha_bar, X, sigma):
    t = int((alpha_bar[1:] - 1 / (1 + sigma**2)).abs().argmin()) + 1
    return t, X * alpha_bar[t].sqrt()


@wrong("09.1", "by the difference, or by the ratio, and of sigma itself")
def nearest_as_an_angle(alpha_bar, X, sigma):
    table = ((1 - alpha_bar[1:]) / alpha_bar[1:]).sqrt()
    t = int((table.atan() - math.atan(sigma)).abs().argmin()) + 1
    return t, X * alpha_bar[t].sqrt()


@wrong("09.1", "might the next step")
def the_last_step_with_less_noise(alpha_bar, X, sigma):
    table = ((1 - alpha_bar[1:]) / alpha_bar[1:]).sqrt()
    t = max(1, int((table <= sigma).sum()))
    return t, X * alpha_bar[t].sqrt()


@wrong("09.1", "might the step before")
def the_first_step_with_more_noise(alpha_bar, X, sigma):
    table = ((1 - alpha_bar[1:]) / alpha_bar[1:]).sqrt()
    t = min(len(table), int((table <= sigma).sum()) + 1)
    return t, X * alpha_bar[t].sqrt()


@wrong("09.1", "how much of x_0")
def leaves_the_state_as_it_is(alpha_bar, X, sigma):
    return _nearest(alpha_bar, sigma), X


@wrong("09.1", "the share of x_0 in a state, or in its variance")
def scales_without_a_root(alpha_bar, X, sigma):
    t = _nearest(alpha_bar, sigma)
    return t, X * alpha_bar[t]


@wrong("09.1", "which of the two states is the larger")
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


@wrong("09.2", "and how much is there")
def forgets_how_much_noise_there_is(alpha_bar, t, s, rho):
    _, _, _, small = _jump(alpha_bar, t, s)
    sigma2 = 1 - rho**2
    return sigma2, math.sqrt(sigma2 / small)


@wrong("09.2", "is a correlation a share of the variance")
def a_correlation_is_no_share(alpha_bar, t, s, rho):
    _, a_s, _, small = _jump(alpha_bar, t, s)
    sigma2 = (1 - a_s) * (1 - rho)
    return sigma2, math.sqrt(sigma2 / small)


@wrong("09.2", "is it a variance")
def returns_a_deviation(alpha_bar, t, s, rho):
    _, a_s, _, small = _jump(alpha_bar, t, s)
    sigma2 = (1 - a_s) * (1 - rho**2)
    return math.sqrt(sigma2), math.sqrt(sigma2 / small)


@wrong("09.2", "what is squared")
def returns_eta_squared(alpha_bar, t, s, rho):
    _, a_s, _, small = _jump(alpha_bar, t, s)
    sigma2 = (1 - a_s) * (1 - rho**2)
    return sigma2, sigma2 / small


@wrong("09.2", "which variance has the noise of eta = 1")
def eta_of_the_large_variance(alpha_bar, t, s, rho):
    _, a_s, large, _ = _jump(alpha_bar, t, s)
    sigma2 = (1 - a_s) * (1 - rho**2)
    return sigma2, math.sqrt(sigma2 / large)


@wrong("09.2", "may eta be larger than 1")
def cuts_eta_off(alpha_bar, t, s, rho):
    _, a_s, _, small = _jump(alpha_bar, t, s)
    sigma2 = (1 - a_s) * (1 - rho**2)
    return sigma2, min(1.0, math.sqrt(sigma2 / small))


@wrong("09.2", "is it the noise in x_t of which some is fresh")
def takes_the_later_step(alpha_bar, t, s, rho):
    a_t, _, _, small = _jump(alpha_bar, t, s)
    sigma2 = (1 - a_t) * (1 - rho**2)
    return sigma2, math.sqrt(sigma2 / small)


@wrong("09.2", "the noise that is kept, or the fresh one")
def returns_what_is_kept(alpha_bar, t, s, rho):
    _, a_s, _, small = _jump(alpha_bar, t, s)
    sigma2 = (1 - a_s) * rho**2
    return sigma2, math.sqrt(sigma2 / small)


@wrong("09.2", "what is eta multiplied with")
def returns_sigma_for_eta(alpha_bar, t, s, rho):
    _, a_s, _, _ = _jump(alpha_bar, t, s)
    sigma2 = (1 - a_s) * (1 - rho**2)
    return sigma2, math.sqrt(sigma2)


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
    taken = small if how.get("bare") else how.get("taken", sigma2)
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


@wrong("09.3", "whose limits are those")
def clips_to_what_pictures_have(alpha_bar, x_t, noise_pred, t, s, z, eta, clip):
    return _step(alpha_bar, x_t, noise_pred, t, s, z, eta, clip and (-1, 1))


@wrong("09.3", "cut off before it is used")
def never_clips(alpha_bar, x_t, noise_pred, t, s, z, eta, clip):
    return _step(alpha_bar, x_t, noise_pred, t, s, z, eta, None)


@wrong("09.3", "which things of yours lie in that range")
def clips_the_state(alpha_bar, x_t, noise_pred, t, s, z, eta, clip):
    x_s = _step(alpha_bar, x_t, noise_pred, t, s, z, eta, None)
    return x_s if clip is None else x_s.clamp(*clip)


@wrong("09.3", "leave just the room for the fresh")
def keeps_all_the_old_noise(*given):
    return _step(*given, taken=0.0)


@wrong("09.3", "x_s should have shape")
def squeezes(*given):
    return _step(*given).to(given[1].dtype).squeeze()


@wrong("09.3", "numbers of its own t and s")
def for_points_and_pictures_alone(alpha_bar, x_t, noise_pred, t, s, z, eta, clip):
    if x_t.dim() not in (2, 4):
        t, s = t[:1].expand_as(t), s[:1].expand_as(s)
    return _step(alpha_bar, x_t, noise_pred, t, s, z, eta, clip).to(x_t.dtype)


@wrong("09.3", "should be torch.float32")
def stays_in_double(alpha_bar, x_t, noise_pred, t, s, z, eta, clip):
    wide = x_t.double(), noise_pred.double(), t, s, z.double()
    return _step(alpha_bar, *wide, eta, clip)


@wrong("09.3", "that eta is a share of")
def eta_without_a_square(*given):
    return _step(*given, share=given[6])


@wrong("09.3", "what is z multiplied by, a variance")
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
    small = (1 - a_t / a_s) * (1 - a_s) / (1 - a_t)
    share = eta**2 * ((1 - a_t / a_s) / small).where(s > 0, torch.zeros(1).double())
    return _step(alpha_bar, x_t, noise_pred, t, s, z, eta, clip, share=share)


@wrong("09.3", "a jump to s, whatever s is")
def steps_of_one_only(alpha_bar, x_t, noise_pred, t, s, z, eta, clip):
    to = torch.where(s > 0, t - 1, s)
    return _step(alpha_bar, x_t, noise_pred, t, s, z, eta, clip, to=to)


@wrong("09.3", "numbers of its own t and s")
def one_step_for_all(alpha_bar, x_t, noise_pred, t, s, z, eta, clip):
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


@wrong("09.4", "when he begins to go down")
def asks_below_on_both_ways(v, sigmas):
    return math.prod(
        _there(low, high, v) * (1 - (high - low) * low / (v + low**2))
        for low, high in pairwise(sigmas)
    )


@wrong("09.4", "the same slope on the way down")
def nothing_is_lost(v, sigmas):
    return 1.0


@wrong("09.4", "is v a variance")
def takes_v_for_a_deviation(v, sigmas):
    return math.prod(
        _there(low, high, v**2) * _back(low, high, v**2) for low, high in pairwise(sigmas)
    )


@wrong("09.4", "which way does X go")
def forgets_to_change_the_sign(v, sigmas):
    return math.prod(
        _there(low, high, v) * (1 + (high - low) * high / (v + high**2))
        for low, high in pairwise(sigmas)
    )


@wrong("09.4", "where sigma is small")
def slope_without_sigma(v, sigmas):
    return math.prod(
        (1 + (high - low) / (v + low**2)) * (1 - (high - low) / (v + high**2))
        for low, high in pairwise(sigmas)
    )


@wrong("09.4", "when he begins to go up")
def asks_above_on_both_ways(v, sigmas):
    return math.prod(
        (1 + (high - low) * high / (v + high**2)) * _back(low, high, v)
        for low, high in pairwise(sigmas)
    )


@wrong("09.4", "ask at each stop")
def one_step_each_way(v, sigmas):
    return _there(sigmas[0], sigmas[-1], v) * _back(sigmas[0], sigmas[-1], v)


@wrong("09.4", "what becomes of X - m")
def adds_what_each_way_changes(v, sigmas):
    return only_encodes(v, sigmas) + only_decodes(v, sigmas)


@wrong("09.5", "the end of the step where you ask")
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


@wrong("09.5", "or in sigma")
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


@wrong("09.5", "what was the second answer for")
def forgets_the_second_answer(denoise, X, sigmas):
    for high, low in pairwise(sigmas):
        D = denoise(X, high)
        if low > 0:
            middle = math.sqrt(high * low)
            denoise(_ddim(X, D, high, middle), middle)
        X = _ddim(X, D, high, low)
    return X


@wrong("09.5", "the mean of both answers")
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


@wrong("09.5", "from where does your whole step start")
def whole_step_from_the_middle(denoise, X, sigmas):
    for high, low in pairwise(sigmas):
        D = denoise(X, high)
        if low > 0:
            middle = math.sqrt(high * low)
            X = _ddim(X, D, high, middle)
            D = denoise(X, middle)
        X = _ddim(X, D, high, low)
    return X


@wrong("09.5", "stays the same along your whole step")
def dpm_solver_2(denoise, X, sigmas):
    for high, low in pairwise(sigmas):
        D = denoise(X, high)
        if low > 0:
            middle = math.sqrt(high * low)
            there = _ddim(X, D, high, middle)
            X = X + (low - high) * (there - denoise(there, middle)) / middle
        else:
            X = D
    return X


@wrong("09.5", "has X moved")
def asks_again_about_the_start(denoise, X, sigmas):
    for high, low in pairwise(sigmas):
        D = denoise(X, high)
        if low > 0:
            D = denoise(X, math.sqrt(high * low))
        X = _ddim(X, D, high, low)
    return X


@wrong("09.5", "go to the middle, or to the end")
def asks_about_the_end(denoise, X, sigmas):
    for high, low in pairwise(sigmas):
        D = denoise(X, high)
        if low > 0:
            D = denoise(_ddim(X, D, high, low), math.sqrt(high * low))
        X = _ddim(X, D, high, low)
    return X


@wrong("09.5", "whose answers does the step")
def uses_an_answer_of_the_step_before(denoise, X, sigmas):
    before = None
    for high, low in pairwise(sigmas):
        D = denoise(X, high)
        if low > 0:
            middle = math.sqrt(high * low)
            D = denoise(_ddim(X, D, high, middle), middle)
            D, before = D if before is None else 1.5 * D - 0.5 * before, D
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


@wrong("09.6", "a rule that knows nothing of v")
def trailing(alpha_bar, v, N):
    T = len(alpha_bar) - 1
    return [(T * i + N // 2) // N for i in range(N, -1, -1)]


@wrong("09.6", "best alone")
def one_stop_at_a_time(alpha_bar, v, N):
    sigma, stops = _sigma(alpha_bar), [len(alpha_bar) - 1, 0]

    def kept(more):
        return math.prod(_factor(sigma, v, t, s) for t, s in pairwise(more))

    while len(stops) <= N:
        free = [t for t in range(1, stops[0]) if t not in stops]
        stops = max((sorted([*stops, t], reverse=True) for t in free), key=kept)
    return stops


@wrong("09.6", "2 jumps have 3 stops")
def counts_stops_for_jumps(alpha_bar, v, N):
    sigma = _sigma(alpha_bar)
    if N == 1:
        return [len(alpha_bar) - 1]
    return _search(
        lambda t, s: math.log(_factor(sigma, v, t, s)), len(alpha_bar) - 1, N - 1
    )


@wrong("09.6", "or the narrowest")
def the_narrowest(alpha_bar, v, N):
    sigma = _sigma(alpha_bar)
    return _search(lambda t, s: -math.log(_factor(sigma, v, t, s)), len(alpha_bar) - 1, N)


@wrong("09.6", "when one factor comes after another")
def adds_the_factors(alpha_bar, v, N):
    sigma = _sigma(alpha_bar)
    return _search(lambda t, s: _factor(sigma, v, t, s), len(alpha_bar) - 1, N)


@wrong("09.6", "is v a variance")
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
def does_not_turn_the_choices_round(alpha_bar, v, N):
    sigma, T = _sigma(alpha_bar), len(alpha_bar) - 1
    stops = _search(lambda t, s: math.log(_factor(sigma, v, t, s)), T, N)
    return [T, *stops[-2:0:-1], 0]


@wrong("09.6", "to 0, yours from")
def from_0_to_T(alpha_bar, v, N):
    sigma, T = _sigma(alpha_bar), len(alpha_bar) - 1
    return _search(lambda t, s: math.log(_factor(sigma, v, t, s)), T, N)[::-1]


# Slips of the solutions that are right all the same, each with the proof.
EQUIVALENT = {}


def _equal(number, before, proof, *afters):
    EQUIVALENT.update({(number, before, after): proof for after in afters})


_equal(
    "09.1",
    "t = int((table / sigma).log().abs().argmin()) + 1",
    "logarithms to another base are a positive multiple, and that of the inverse ratio has "
    "the other sign, which abs takes away: the smallest is the same",
    "t = int((table / sigma).log2().abs().argmin()) + 1",
    "t = int((table / sigma).log10().abs().argmin()) + 1",
    "t = int((sigma / table).log().abs().argmin()) + 1",
)
_equal(
    "09.4",
    "for low, high in pairwise(sigmas):",
    "a product has the same value in any order of its factors",
    "for low, high in list(pairwise(sigmas))[::-1]:",
)
_equal(
    "09.4",
    "for low, high in pairwise(sigmas):",
    "with the names exchanged `up` is what `down` was and the other way round, since both "
    "the difference and the place of the slope change; their product stays",
    "for (high, low) in pairwise(sigmas):",
)
_equal(
    "09.6",
    "sigma = ((1 - alpha_bar) / alpha_bar).sqrt()",
    "sigma enters only as s * t and t**2, which the sign does not change",
    "sigma = -((1 - alpha_bar) / alpha_bar).sqrt()",
)
SWAPPED = (
    "a list has the length sum log(v + s t) - sum log(v + t^2), the second sum over all "
    "stops but the last; over all but the first it is another constant, since the two "
    "ends are the same for each list"
)
_equal(
    "09.6",
    "t, s = sigma[:, None], sigma[None, :]",
    SWAPPED,
    "(s, t) = sigma[:, None], sigma[None, :]",
    "t, s = (sigma[None, :], sigma[:, None])",
)
_equal(
    "09.6",
    "t, s = sigma[:, None], sigma[None, :]",
    "sigma (T+1,) is broadcast as a row against the column t",
    "t, s = sigma[:, None], sigma",
)
_equal(
    "09.6",
    "length = ((v + s * t) / (v + t**2)).log()",
    "logarithms to another base are a positive multiple: the longest way is the same",
    "length = ((v + s * t) / (v + t ** 2)).log2()",
    "length = ((v + s * t) / (v + t ** 2)).log10()",
)
_equal(
    "09.6",
    "length = ((v + s * t) / (v + t**2)).log()",
    SWAPPED,
    "length = ((v + s * t) / (v + s**2)).log()",
)
MASK = "length = length.masked_fill(torch.ones_like(length).triu().bool(), -math.inf)"
FALLS = (
    "with the angle atan(sigma / sqrt(v)) of each stop a list has the length sum log cos "
    "of its turns, up to what all lists share; log cos is strictly concave and 0 at 0, so "
    "a turn in two parts is longer than in one: a way that stands still or turns back is "
    "shorter than one that falls through as many different stops, and there are such, "
    "since N <= T. So what a mask leaves open above the diagonal is never on the best way"
)
_equal(
    "09.6",
    MASK,
    FALLS,
    "pass",
    "length = length",
    "length = length.masked_fill(length.triu().bool(), -math.inf)",
    "length = length.masked_fill(torch.zeros_like(length).triu().bool(), -math.inf)",
    "length = length.masked_fill(torch.ones_like(t).triu().bool(), -math.inf)",
)
FIRST = "best, choices = length[:, 0], []  # with one jump, straight to 0"
_equal("09.6", f"{MASK}; {FIRST}", FALLS, f"{FIRST}; {MASK}")
_equal(
    "09.6",
    "for _ in range(N - 1):",
    "the variable is not used, and there are as many rounds",
    "for _ in list(range(N - 1))[::-1]:",
)
_equal(
    "09.3",
    "return value.reshape(-1, *[1] * (x_t.dim() - 1)).to(x_t.dtype)",
    "x_t, noise_pred and noise have one shape and one dtype, so they have as many "
    "dimensions, and a factor in the dtype of one is in that of the others",
    "return value.reshape(-1, *[1] * (noise_pred.dim() - 1)).to(x_t.dtype)",
    "return value.reshape(-1, *[1] * (noise.dim() - 1)).to(x_t.dtype)",
    "return value.reshape(-1, *[1] * (x_t.dim() - 1)).to(noise_pred.dtype)",
    "return value.reshape(-1, *[1] * (x_t.dim() - 1)).to(noise.dtype)",
)
_equal(
    "09.3",
    "kept = wide((1 - a_s - sigma2).clamp(min=0).sqrt())",
    "for 0 <= eta <= 1 it is at least (1 - a_s)^2 a_t / (a_s (1 - a_t)), which is above 0 "
    "by more than rounding, and at s = 0 both parts are exactly 0",
    "kept = wide((1 - a_s - sigma2).sqrt())",
    "kept = wide((1 - a_s - sigma2).clamp(min=-1).sqrt())",
)
