r"""Typical wrong answers to the exercises of chapter 12, each with words of its hint."""

import math
from itertools import pairwise

import torch

from wrong import wrong


def _best(noise_y, noise_none, noise_guided):
    away, moved = (
        (noise - noise_none).transpose(0, 1).flatten(1) for noise in (noise_y, noise_guided)
    )
    return (away * moved).sum(1) / (away * away).sum(1)


@wrong("12.1", "should be finite")
def divides_place_by_place(noise_y, noise_none, noise_guided):
    ratio = (noise_guided - noise_none) / (noise_y - noise_none)
    gamma = ratio.transpose(0, 1).flatten(1).mean(1)
    return gamma, gamma - 1


@wrong("12.1", "which number says that nothing was guided")
def gives_w_for_gamma(*predictions):
    gamma = _best(*predictions)
    return gamma - 1, gamma


@wrong("12.1", "where does the guided prediction begin")
def counts_from_the_label(noise_y, noise_none, noise_guided):
    gamma = _best(noise_none, noise_y, noise_guided)
    return gamma, gamma - 1


@wrong("12.1", "which of the two ways is measured by which")
def turns_the_ratio(noise_y, noise_none, noise_guided):
    gamma = 1 / _best(noise_y, noise_none, noise_guided)
    return gamma, gamma - 1


@wrong("12.1", "yours has ()")
def one_scale_for_all(noise_y, noise_none, noise_guided):
    away, moved = noise_y - noise_none, noise_guided - noise_none
    gamma = (away * moved).sum() / away.square().sum()
    return gamma, gamma - 1


@wrong("12.1", "has each channel a scale of its own")
def one_scale_for_each(noise_y, noise_none, noise_guided):
    gamma, _ = one_scale_for_all(noise_y, noise_none, noise_guided)
    gamma = gamma.expand(noise_y.shape[1])
    return gamma, gamma - 1


@wrong("12.1", "with which w does their formula")
def adds_one(*predictions):
    gamma = _best(*predictions)
    return gamma, gamma + 1


@wrong("12.1", "what does their formula give with w = 0")
def the_same_in_both_papers(*predictions):
    gamma = _best(*predictions)
    return gamma, gamma


@wrong("12.1", "count as much as others")
def divides_the_sums(noise_y, noise_none, noise_guided):
    away, moved = (
        (noise - noise_none).transpose(0, 1).flatten(1).sum(1)
        for noise in (noise_y, noise_guided)
    )
    return moved / away, moved / away - 1


@wrong("12.1", "count as much as others")
def takes_the_median(noise_y, noise_none, noise_guided):
    ratio = (noise_guided - noise_none) / (noise_y - noise_none)
    gamma = ratio.transpose(0, 1).flatten(1).nanmedian(1).values
    return gamma, gamma - 1


def _tilted(gamma, m, v, m_y, v_y):
    precision = gamma / v_y + (1 - gamma) / v
    if precision <= 0:
        return None
    return (gamma * m_y / v_y + (1 - gamma) * m / v) / precision, 1 / precision


def _noised(a, m, v):
    return math.sqrt(a) * m, a * v + 1 - a


def _orders(a, m, v, m_y, v_y, gamma):
    first = _tilted(gamma, m, v, m_y, v_y)
    second = _tilted(gamma, *_noised(a, m, v), *_noised(a, m_y, v_y))
    return first and _noised(a, *first), second


@wrong("12.2", "which of the two orders comes first")
def the_other_order(*given):
    return _orders(*given)[::-1]


@wrong("12.2", "is that gamma, or w")
def takes_gamma_for_w(a, m, v, m_y, v_y, gamma):
    return _orders(a, m, v, m_y, v_y, gamma + 1)


@wrong("12.2", "where is the noise")
def adds_no_noise(a, m, v, m_y, v_y, gamma):
    return _tilted(gamma, m, v, m_y, v_y), _orders(a, m, v, m_y, v_y, gamma)[1]


@wrong("12.2", "how much of x_0 is there in x_t")
def shrinks_by_a(a, m, v, m_y, v_y, gamma):
    first, second = _orders(a, m, v, m_y, v_y, gamma)
    return first and (first[0] * math.sqrt(a), first[1]), second


@wrong("12.2", "variances, or deviations")
def squares_the_variances(a, m, v, m_y, v_y, gamma):
    return _orders(a, m, v**2, m_y, v_y**2, gamma)


@wrong("12.2", "to which law belongs which power")
def tilts_the_wrong_way(a, m, v, m_y, v_y, gamma):
    return _orders(a, m_y, v_y, m, v, gamma)


@wrong("12.2", "which has a product of densities")
def adds_variables(a, m, v, m_y, v_y, gamma):
    def added(m, v, m_y, v_y):
        return gamma * m_y + (1 - gamma) * m, gamma**2 * v_y + (1 - gamma) ** 2 * v

    first = added(m, v, m_y, v_y)
    return first, added(*_noised(a, m, v), *_noised(a, m_y, v_y))


@wrong("12.2", "which of the two means counts for more")
def adds_the_means(a, m, v, m_y, v_y, gamma):
    first, second = _orders(a, m, v, m_y, v_y, gamma)
    mean = math.sqrt(a) * (gamma * m_y + (1 - gamma) * m)
    return first and (mean, first[1]), second and (mean, second[1])


@wrong("12.2", "which sign has the factor of x^2")
def negative_variances(a, m, v, m_y, v_y, gamma):
    def tilted(m, v, m_y, v_y):
        precision = (gamma / v_y + (1 - gamma) / v) or 1e-9
        return (gamma * m_y / v_y + (1 - gamma) * m / v) / precision, 1 / precision

    first = _noised(a, *tilted(m, v, m_y, v_y))
    return first, tilted(*_noised(a, m, v), *_noised(a, m_y, v_y))


@wrong("12.2", "has a precision that is not positive")
def both_or_none(*given):
    first, second = _orders(*given)
    return (None, None) if first is None else (first, second)


def _guided(model, x_t, t, y, none, gamma, inside, outside=1.0, base=0):
    noise_y = model(x_t, t, y)
    noise_none = model(x_t, t, torch.full_like(y, none))
    scale = (outside + (gamma - outside) * inside.double()).to(x_t.dtype)
    scale = scale.reshape(-1, *[1] * (x_t.dim() - 1))
    return (noise_y if base else noise_none) + scale * (noise_y - noise_none)


@wrong("12.3", "in 2 calls")
def two_calls(model, x_t, t, y, none, gamma, low, high):
    return _guided(model, x_t, t, y, none, gamma, (low <= t) & (t <= high))


@wrong("12.3", "which examples need both predictions")
def both_for_all(model, x_t, t, y, none, gamma, low, high):
    inside = ((low <= t) & (t <= high)).reshape(-1, *[1] * (x_t.dim() - 1))
    labels = torch.cat([y, torch.full_like(y, none)])
    noise_y, noise_none = model(torch.cat([x_t, x_t]), torch.cat([t, t]), labels).chunk(2)
    return torch.where(inside, noise_none + gamma * (noise_y - noise_none), noise_y)


@wrong("12.3", "which half of what comes back")
def exchanges_the_halves(model, x_t, t, y, none, gamma, low, high):
    labels = torch.cat([y, torch.full_like(y, none)])
    noise_none, noise_y = model(torch.cat([x_t, x_t]), torch.cat([t, t]), labels).chunk(2)
    return noise_none + gamma * (noise_y - noise_none)


@wrong("12.3", "leave the prediction with the label as it is")
def takes_gamma_for_w_here(model, x_t, t, y, none, gamma, low, high):
    return _guided(model, x_t, t, y, none, gamma, (low <= t) & (t <= high), base=1)


@wrong("12.3", "which way is it from one prediction to the other")
def the_wrong_sign(model, x_t, t, y, none, gamma, low, high):
    return _guided(model, x_t, t, y, none, -gamma, (low <= t) & (t <= high))


@wrong("12.3", "what is the prediction outside of the interval")
def no_label_outside(model, x_t, t, y, none, gamma, low, high):
    return _guided(model, x_t, t, y, none, gamma, (low <= t) & (t <= high), outside=0.0)


@wrong("12.3", "do the ends belong to the interval")
def without_the_ends(model, x_t, t, y, none, gamma, low, high):
    inside = (low <= t) & (t < high)
    return _guided(model, x_t, t, y, none, gamma, inside)


@wrong("12.3", "which examples of the batch lie in the interval")
def one_t_for_all(model, x_t, t, y, none, gamma, low, high):
    inside = ((low <= t) & (t <= high)).any().expand_as(t)
    return _guided(model, x_t, t, y, none, gamma, inside)


@wrong("12.3", "what was the prediction without a label for")
def the_interval_turned_round(model, x_t, t, y, none, gamma, low, high):
    return _guided(model, x_t, t, y, none, gamma, ~((low <= t) & (t <= high)))


@wrong("12.3", "what was the prediction without a label for")
def forgets_to_guide(model, x_t, t, y, none, gamma, low, high):
    return model(x_t, t, y)


@wrong("12.3", "the model wants y int64 (N,)")
def gives_one_label(model, x_t, t, y, none, gamma, low, high):
    noise_none = model(x_t, t, torch.tensor([none]))
    return noise_none + gamma * (model(x_t, t, y) - noise_none)


def _exact(
    alpha_bar,
    means,
    share,
    v,
    x_t,
    t,
    y,
    gamma,
    even=False,
    root=lambda r: 1.0,
    sign=1,
    whole=1,
    base=0.0,
):
    a = alpha_bar[t][:, None]
    variance = a * v + 1 - a
    centres = a.sqrt()[:, None] * means
    distance2 = (x_t[:, None] - centres).square().sum(2)
    prior = torch.zeros_like(share) if even else share.log()
    weights = (prior - distance2 / (2 * variance)).softmax(1)
    centre = (weights[:, :, None] * centres).sum(1)
    score = (centre - x_t) / variance
    slope = (centres[torch.arange(len(y)), y] - centre) / variance
    slope = sign * slope * root((1 - a).sqrt())
    return -(1 - a).sqrt() * (whole * score + base * slope + gamma * slope)


@wrong("12.4", "which way does the log probability of y rise")
def away_from_the_class(*given):
    return _exact(*given, sign=-1)


@wrong("12.4", "are all classes equally likely")
def forgets_the_shares(*given):
    return _exact(*given, even=True)


@wrong("12.4", "what is a score times, as a noise prediction")
def adds_the_bare_gradient(*given):
    return _exact(*given, root=lambda r: 1 / r)


@wrong("12.4", "what is a score times, as a noise prediction")
def the_root_twice(*given):
    return _exact(*given, root=lambda r: r)


@wrong("12.4", "is that a score, or a noise prediction")
def gives_a_score(alpha_bar, means, share, v, x_t, t, y, gamma):
    noise = _exact(alpha_bar, means, share, v, x_t, t, y, gamma)
    return -noise / (1 - alpha_bar[t]).sqrt()[:, None]


@wrong("12.4", "one with a label")
def adds_to_the_conditional(*given):
    return _exact(*given, base=1.0)


@wrong("12.4", "where is the prediction without a label")
def the_gradient_alone(*given):
    return _exact(*given, whole=0)


@wrong("12.4", "is v a variance")
def takes_v_for_a_deviation(alpha_bar, means, share, v, *given):
    return _exact(alpha_bar, means, share, v**2, *given)


@wrong("12.4", "should be finite")
def underflows(alpha_bar, means, share, v, x_t, t, y, gamma):
    x = x_t.clone().requires_grad_()
    a = alpha_bar[t][:, None]
    distance2 = (x[:, None] - a.sqrt()[:, None] * means).square().sum(2)
    densities = share * torch.exp(-distance2 / (2 * (a * v + 1 - a)))
    whole, one = (
        densities.sum(1).log().sum(),
        densities[torch.arange(len(y)), y].log().sum(),
    )
    score = torch.autograd.grad(whole, x, retain_graph=True)[0]
    slope = torch.autograd.grad(one - whole, x)[0]
    return -(1 - a).sqrt() * (score + gamma * slope)


@wrong("12.4", "is it p(y | x_t) whose gradient you take")
def the_gradient_of_the_density(alpha_bar, means, share, v, x_t, t, y, gamma):
    a = alpha_bar[t][:, None]
    of_y = (a.sqrt() * means[y] - x_t) / (a * v + 1 - a)
    none = _exact(alpha_bar, means, share, v, x_t, t, y, 0.0)
    return none - gamma * (1 - a).sqrt() * of_y


def _end(alpha_bar, stops, law, law_y, gammas, eta, square=True, moves=True, power=2):
    def line(a, m, v):
        slope = math.sqrt(1 - a) / (a * v + 1 - a)
        return slope, -slope * math.sqrt(a) * m

    mean, variance = 0.0, 1.0
    for (t, s), gamma in zip(pairwise(stops), gammas, strict=True):
        a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
        (k, b), (k_y, b_y) = line(a_t, *law), line(a_t, *law_y)
        slope, offset = k + gamma * (k_y - k), b + gamma * (b_y - b)
        sigma2 = eta**power * (1 - a_t / a_s) * (1 - a_s) / (1 - a_t)
        shrink = math.sqrt(a_s / a_t)
        share = math.sqrt(1 - a_s - sigma2) - shrink * math.sqrt(1 - a_t)
        mean = (shrink + share * slope) * mean + share * offset * moves
        variance = (shrink + share * slope) ** 2 * variance + sigma2
    return mean, math.sqrt(variance) if square else variance


@wrong("12.5", "is that gamma, or w")
def takes_gamma_for_w_in_a_chain(alpha_bar, stops, law, law_y, gammas, eta):
    return _end(alpha_bar, stops, law, law_y, [1 + g for g in gammas], eta)


@wrong("12.5", "which of the two laws has the label")
def exchanges_the_laws(alpha_bar, stops, law, law_y, gammas, eta):
    return _end(alpha_bar, stops, law_y, law, gammas, eta)


@wrong("12.5", "a deviation, or a variance")
def gives_the_variance(*given):
    return _end(*given, square=False)


@wrong("12.5", "what moves the mean")
def leaves_the_mean(*given):
    return _end(*given, moves=False)


@wrong("12.5", "the tilted law that the chain draws from")
def the_tilted_law(alpha_bar, stops, law, law_y, gammas, eta):
    if max(gammas) <= 1:
        return _end(alpha_bar, stops, law, law_y, gammas, eta)
    mean, variance = _tilted(gammas[0], *law, *law_y)
    return mean, math.sqrt(variance)


@wrong("12.5", "has each jump its own scale")
def the_first_scale_for_all(alpha_bar, stops, law, law_y, gammas, eta):
    return _end(alpha_bar, stops, law, law_y, [gammas[0]] * len(gammas), eta)


@wrong("12.5", "which scale belongs to the first jump")
def scales_from_behind(alpha_bar, stops, law, law_y, gammas, eta):
    return _end(alpha_bar, stops, law, law_y, gammas[::-1], eta)


@wrong("12.5", "where is the fresh noise")
def no_fresh_noise(alpha_bar, stops, law, law_y, gammas, eta):
    return _end(alpha_bar, stops, law, law_y, gammas, 0.0)


@wrong("12.5", "is eta a share of a deviation")
def eta_without_a_square(*given):
    return _end(*given, power=1)


@wrong("12.5", "where does gamma come in")
def without_guidance(alpha_bar, stops, law, law_y, gammas, eta):
    gammas = [min(g, 1.0) for g in gammas]
    return _end(alpha_bar, stops, law, law_y, gammas, eta)


@wrong("12.5", "is it a variance that the laws give")
def takes_deviations(alpha_bar, stops, law, law_y, gammas, eta):
    laws = ((m, v**2) for m, v in (law, law_y))
    return _end(alpha_bar, stops, *laws, gammas, eta)


# Slips of the solutions that are right all the same, each with the proof.
EQUIVALENT = {}


@wrong("12.1", "may a scale be below 0")
def no_scale_below_0(*predictions):
    gamma = _best(*predictions).clamp(min=0)
    return gamma, gamma - 1


@wrong("12.2", "ZeroDivisionError")
def each_power_a_law(a, m, v, m_y, v_y, gamma):
    def tilted(m, v, m_y, v_y):
        v, v_y = v / (1 - gamma), v_y / gamma
        precision = 1 / v + 1 / v_y
        return ((m / v + m_y / v_y) / precision, 1 / precision) if precision > 0 else None

    first = tilted(m, v, m_y, v_y)
    second = tilted(*_noised(a, m, v), *_noised(a, m_y, v_y))
    return first and _noised(a, *first), second


@wrong("12.3", "what is the prediction outside of the interval")
def no_gamma_below_0(model, x_t, t, y, none, gamma, low, high):
    inside = (low <= t) & (t <= high)
    return _guided(model, x_t, t, y, none, max(gamma, 0.0), inside)


@wrong("12.5", "at which t does the chain start")
def always_from_T(alpha_bar, stops, law, law_y, gammas, eta):
    return _end(alpha_bar, [len(alpha_bar) - 1, *stops[1:]], law, law_y, gammas, eta)


@wrong("12.5", "can a deviation be below 0")
def a_deviation_with_a_sign(alpha_bar, stops, law, law_y, gammas, eta):
    mean, deviation = _end(alpha_bar, stops, law, law_y, gammas, eta)
    a = float(alpha_bar[stops[-2]])
    none, of_y = ((1 - a) / (a * v + 1 - a) for _, v in (law, law_y))
    last = 1 - none - gammas[-1] * (of_y - none)
    return mean, math.copysign(deviation, last if eta == 0 else 1.0)


def _equal(number, before, proof, *afters):
    EQUIVALENT.update({(number, before, after): proof for after in afters})


PARTS = (
    "(noise - noise_none).transpose(0, 1).flatten(1) for noise in (noise_y, noise_guided)"
)
_equal(
    "12.1",
    PARTS,
    "the transposition of two axes has no order",
    PARTS.replace("(0, 1)", "(1, 0)"),
)
_equal(
    "12.1",
    PARTS,
    "both differences change their sign, and each sum is over a product of two of them",
    PARTS.replace("noise - noise_none", "noise_none - noise"),
)
_equal(
    "12.3",
    "inside = (low <= t) & (t <= high)",
    "& has no order",
    "inside = (t <= high) & (low <= t)",
)
_equal(
    "12.3",
    "labels = torch.cat([y, torch.full_like(y[inside], none)])",
    "t and y are both int64 (B,)",
    "labels = torch.cat([y, torch.full_like(t[inside], none)])",
)
HALVES = "noise_y, noise_none = noise[: len(x_t)], noise[len(x_t) :]"
_equal(
    "12.3",
    HALVES,
    "x_t, t, y and inside are all as long as the batch",
    *(HALVES.replace(": len(x_t)", f": len({name})") for name in ("t", "y", "inside")),
    *(HALVES.replace("len(x_t) :", f"len({name}) :") for name in ("t", "y", "inside")),
)
_equal(
    "12.3",
    "guided = noise_y.clone()",
    "noise_y is a part of what the network gave back, and is not read after the places "
    "that are guided were written",
    "guided = noise_y",
)
GUIDED = "guided[inside] = noise_none + gamma * (noise_y[inside] - noise_none)"
_equal(
    "12.3",
    GUIDED,
    "guided is still a copy of noise_y where it is read",
    GUIDED.replace("noise_y[", "guided["),
)
SLOPE = "slope = (centres[torch.arange(len(y)), y] - centre) / variance"
_equal("12.4", SLOPE, "t and y are as long as the batch", SLOPE.replace("len(y)", "len(t)"))
