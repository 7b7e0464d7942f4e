r"""Typical wrong answers to the exercises of chapter 14, each with words of its hint."""

import math
from itertools import pairwise

import torch

from wrong import wrong


def _shift(tau, k, there=lambda tau, k: k * tau / (1 + (k - 1) * tau), share=None):
    time = there(tau, k)
    if share is None:
        return time, (1 - time) ** 2 / ((1 - time) ** 2 + time**2)
    return time, share(tau, time)


@wrong("14.1", "which ratio of signal and noise stays")
def shifts_by_a_sum(tau, k):
    return _shift(tau, k, lambda tau, k: k * tau / (1 + k * tau) if k != 1 else tau)


@wrong("14.1", "does a block of many pixels hide the noise, or the signal")
def shifts_the_other_way(tau, k):
    return _shift(tau, k, lambda tau, k: tau / (k + (1 - k) * tau))


@wrong("14.1", "how does the deviation of a mean fall")
def counts_all_pixels(tau, k):
    return _shift(tau, k, lambda tau, k: k**2 * tau / (1 + (k**2 - 1) * tau))


@wrong("14.1", "how many pixels has a block")
def counts_the_root(tau, k):
    return _shift(tau, k, lambda tau, k: k**0.5 * tau / (1 + (k**0.5 - 1) * tau))


@wrong("14.1", "as large as a pixel's")
def does_not_shift(tau, k):
    return _shift(tau, k, lambda tau, k: tau)


@wrong("14.1", "what does the signal do when tau grows")
def multiplies_the_time(tau, k):
    return _shift(tau, k, lambda tau, k: min(k * tau, 1.0))


@wrong("14.1", "the share of the signal, or of the noise")
def gives_the_share_of_noise(tau, k):
    return _shift(tau, k, share=lambda tau, s: s**2 / ((1 - s) ** 2 + s**2))


@wrong("14.1", "do the squares of the two weights add up to 1")
def does_not_scale(tau, k):
    return _shift(tau, k, share=lambda tau, s: (1 - s) ** 2)


@wrong("14.1", "is alpha_bar a weight, or its square")
def gives_a_weight(tau, k):
    return _shift(tau, k, share=lambda tau, s: (1 - s) / math.hypot(1 - s, s))


@wrong("14.1", "alpha_bar of the small picture, or of the large one")
def of_the_small_picture(tau, k):
    return _shift(tau, k, share=lambda tau, s: (1 - tau) ** 2 / ((1 - tau) ** 2 + tau**2))


@wrong("14.1", "raised ZeroDivisionError")
def by_the_ratio(tau, k):
    time = 1 / (1 + (1 - tau) / (k * tau))
    return time, 1 / (1 + (time / (1 - time)) ** 2)


@wrong("14.1", "is there any noise at this end")
def clamps_the_time(tau, k):
    return _shift(max(tau, 1e-5), k)


@wrong("14.1", "as large as a pixel's")
def enlarges_only(tau, k):
    return _shift(tau, max(k, 1.0))


def _law(m, v, taus, gain=None, sign=1, mean_of=None, width=lambda d: d):
    mean, deviation = 0.0, 1.0
    for tau, after in pairwise(taus):
        of_z = (tau - (1 - tau) * v) / ((1 - tau) ** 2 * v + tau**2)
        of_z = of_z if gain is None else gain(tau, after, v)
        u = of_z * (mean - (1 - tau) * m) - m
        mean -= sign * (tau - after) * u
        deviation *= 1 - sign * (tau - after) * of_z
    return mean if mean_of is None else mean_of(taus[-1], m), width(deviation)


@wrong("14.2", "towards which end does time go")
def walks_to_the_noise(*given):
    return _law(*given, sign=-1)


@wrong("14.2", "is v a variance, or a deviation")
def squares_the_variance(m, v, taus):
    return _law(m, v**2, taus)


@wrong("14.2", "is that a deviation, or a variance")
def gives_a_variance(*given):
    return _law(*given, width=lambda d: d**2)


@wrong("14.2", "where is the mean of the data")
def forgets_the_mean(m, v, taus):
    return _law(0.0, v, taus)


@wrong("14.2", "where is the mean of the data")
def the_mean_stays_at_0(*given):
    return _law(*given, mean_of=lambda last, m: 0.0)


@wrong("14.2", "after these steps, or after infinitely many")
def gives_the_exact_law(m, v, taus):
    last = taus[-1]
    return (1 - last) * m, math.sqrt((1 - last) ** 2 * v + last**2)


@wrong("14.2", "what does z say about x_0 here")
def z_is_always_noise(m, v, taus):
    mean, deviation = 0.0, 1.0
    for tau, after in pairwise(taus):
        mean -= (tau - after) * (mean - m)
        deviation *= 1 - (tau - after)
    return mean, deviation


@wrong("14.2", "how many steps are made")
def leaves_the_last_step_out(m, v, taus):
    return _law(m, v, taus if len(taus) == 2 else taus[:-1])


@wrong("14.2", "at which end of a step")
def asks_at_the_end_of_a_step(m, v, taus):
    def gain(tau, after, v):
        return (after - (1 - after) * v) / ((1 - after) ** 2 * v + after**2)

    mean, deviation = 0.0, 1.0
    for tau, after in pairwise(taus):
        of_z = gain(tau, after, v) if after or v else 1.0
        mean -= (tau - after) * (of_z * (mean - (1 - after) * m) - m)
        deviation *= 1 - (tau - after) * of_z
    return mean, deviation


@wrong("14.2", "raised ZeroDivisionError")
def divides_by_the_variance(m, v, taus):
    def gain(tau, after, v):
        weight = (1 - tau) / tau**2
        guess = weight / (1 / v + weight * (1 - tau))
        return (1 - guess) / tau

    return _law(m, v, taus, gain=gain)


def _by_flow(
    flow,
    x_t,
    alpha_bar,
    time=None,
    scale=None,
    put=lambda z, s, u, x, root, share: z - s * u,
):
    root, share = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    wide = [-1, *[1] * (x_t.dim() - 1)]
    s = root / (root + share) if time is None else time(root, share)
    total = (root + share).reshape(wide)
    z = x_t / total if scale is None else scale(x_t, total, root.reshape(wide))
    return put(z, s.reshape(wide), flow(z, s), x_t, root.reshape(wide), share.reshape(wide))


@wrong("14.3", "which end of time is noise")
def counts_from_data(*given):
    return _by_flow(*given, time=lambda root, share: share / (root + share))


@wrong("14.3", "is alpha_bar a time")
def takes_alpha_bar_for_the_time(*given):
    return _by_flow(*given, time=lambda root, share: root**2)


@wrong("14.3", "or their squares")
def takes_the_root_for_the_time(*given):
    return _by_flow(*given, time=lambda root, share: root)


@wrong("14.3", "do the weights of x_t add up to 1")
def gives_x_t_itself(*given):
    return _by_flow(*given, scale=lambda x, total, root: x)


@wrong("14.3", "too large for a flow, or too small")
def scales_the_wrong_way(*given):
    return _by_flow(*given, scale=lambda x, total, root: x * total)


@wrong("14.3", "do both weights add up to 1 then")
def divides_by_the_signal(*given):
    return _by_flow(*given, scale=lambda x, total, root: x / root)


@wrong("14.3", "is u the noise less x_0, or the other way")
def turns_the_answer(*given):
    return _by_flow(*given, put=lambda z, s, u, x, root, share: z + s * u)


@wrong("14.3", "is that the noise, or x_0")
def gives_x_0(*given):
    return _by_flow(*given, put=lambda z, s, u, x, root, share: z + (1 - s) * u)


@wrong("14.3", "of which state is the answer the slope")
def adds_to_x_t(*given):
    return _by_flow(*given, put=lambda z, s, u, x, root, share: x - s * u)


@wrong("14.3", "is the answer a v")
def takes_the_answer_for_v(*given):
    return _by_flow(*given, put=lambda z, s, u, x, root, share: root * u + share * x)


@wrong("14.3", "is that the noise, or the velocity")
def gives_the_velocity(*given):
    return _by_flow(*given, put=lambda z, s, u, x, root, share: -u)


@wrong("14.3", "along which axes")
def for_the_first_example(flow, x_t, alpha_bar):
    def put(z, s, u, x, root, share):
        return z - (s if len(x) == 6 else s[:1]) * u

    return _by_flow(flow, x_t, alpha_bar, put=put)


@wrong("14.3", "is alpha_bar = 0 a state as all others")
def by_x_0(*given):
    def put(z, s, u, x, root, share):
        x_0 = (z + (1 - s) * u) * (root > 0)
        return (x - root * x_0) / share + (root == 0)

    return _by_flow(*given, put=put)


@wrong("14.3", "z and time of one dtype")
def asks_in_double(flow, x_t, alpha_bar):
    return _by_flow(lambda z, s: flow(z, s.double()), x_t, alpha_bar)


@wrong("14.3", "is alpha_bar = 0 a state as all others")
def keeps_alpha_bar_above_0(flow, x_t, alpha_bar):
    return _by_flow(flow, x_t, alpha_bar.clamp(min=1e-8))


@wrong("14.3", "along which axes")
def rounds_pictures_to_single(flow, x_t, alpha_bar):
    return _by_flow(flow, x_t.float().to(x_t) if x_t.dim() > 2 else x_t, alpha_bar)


def _walked(u, z, N, k, stops=None, at=0, sign=-1, lengths=None, bend=None, end=None):
    line = [1 - i / N for i in range(N + 1)]
    taus = [k * tau / (1 + (k - 1) * tau) for tau in line]
    taus = taus if stops is None else stops(N, k)
    start, slopes, hs, states = z, [], [], [z]
    for pair in pairwise(taus):
        slopes.append(u(z, pair[at]))
        hs.append(pair[0] - pair[1])
        z = z + sign * (hs[-1] if lengths is None else lengths(N)) * slopes[-1]
        states.append(z)
    chord = start - z
    parts = [float((slope - chord).square().mean()) for slope in slopes]
    total = sum(h * part for h, part in zip(hs, parts, strict=True))
    over = float(chord.square().mean())
    found = total / over if bend is None else bend(parts, hs, over, slopes, chord)
    return (z if end is None else end(states)), found


@wrong("14.4", "where is the shift k")
def does_not_shift_the_stops(*given):
    return _walked(*given, stops=lambda N, k: [1 - i / N for i in range(N + 1)])


@wrong("14.4", "which way does k shift")
def shifts_towards_data(*given):
    def stops(N, k):
        line = [1 - i / N for i in range(N + 1)]
        return [tau / (k + (1 - k) * tau) for tau in line]

    return _walked(*given, stops=stops)


@wrong("14.4", "at which end of a step")
def asks_at_the_next_stop(*given):
    return _walked(*given, at=1)


@wrong("14.4", "steps of Euler are")
def makes_one_step_less(u, z, N, k):
    return _walked(u, z, N - 1, k)


@wrong("14.4", "which end of time is noise")
def begins_at_0(u, z, N, k):
    return _walked(lambda z, tau: u(z, 1 - tau), z, N, k)


@wrong("14.4", "towards which end does time go")
def walks_away_from_data(*given):
    return _walked(*given, sign=1)


@wrong("14.4", "how long is this step, after the shift")
def makes_equal_steps(u, z, N, k):
    k_or_more = k if k != 1 else 1.0
    return _walked(u, z, N, k_or_more, lengths=lambda N: 1 / N)


@wrong("14.4", "is that the end, or the way to it")
def gives_the_way(*given):
    return _walked(*given, end=lambda states: states[0] - states[-1])


@wrong("14.4", "how many steps are made")
def gives_the_last_state_but_one(*given):
    return _walked(*given, end=lambda states: states[-2])


@wrong("14.4", "in units of what")
def does_not_divide(*given):
    return _walked(
        *given,
        bend=lambda parts, hs, over, *_: sum(h * p for h, p in zip(hs, parts, strict=True)),
    )


@wrong("14.4", "as long as all others")
def takes_equal_steps_in_the_bend(*given):
    return _walked(*given, bend=lambda parts, hs, over, *_: sum(parts) / len(hs) / over)


@wrong("14.4", "along z_1 - z_0, or against it")
def turns_the_chord(*given):
    return _walked(
        *given,
        bend=lambda parts, hs, over, slopes, chord: (
            sum(
                h * float((s + chord).square().mean())
                for h, s in zip(hs, slopes, strict=True)
            )
            / over
        ),
    )


@wrong("14.4", "a ratio of means, or a mean of ratios")
def takes_the_mean_of_ratios(*given):
    def bend(parts, hs, over, slopes, chord):
        off = torch.stack([(s - chord).square().sum(1) for s in slopes])
        each = off / chord.square().sum(1)
        return float((torch.tensor(hs).double()[:, None] * each).sum(0).mean())

    return _walked(*given, bend=bend)


@wrong("14.4", "is the bend a square, or a root")
def takes_the_root_of_it(*given):
    return _walked(
        *given,
        bend=lambda parts, hs, over, *_: math.sqrt(
            sum(h * p for h, p in zip(hs, parts, strict=True)) / over
        ),
    )


# Slips of the solutions that are right all the same, each with the proof.
EQUIVALENT = {}


def _equal(number, before, proof, *afters):
    EQUIVALENT.update({(number, before, after): proof for after in afters})


_equal(
    "14.4",
    "for (tau, after), slope in zip(pairwise(taus), slopes):",
    "a sum has no order",
    "for (tau, after), slope in list(zip(pairwise(taus), slopes))[::-1]:",
)
_equal(
    "14.4",
    "bend += float((tau - after) * (slope - chord).square().mean())",
    "a tensor with one element counts as a number",
    "bend += (tau - after) * (slope - chord).square().mean()",
)
_equal(
    "14.2",
    "for tau, after in pairwise(taus):",
    "a product has no order",
    "for tau, after in list(pairwise(taus))[::-1]:",
)
_equal(
    "14.5",
    "u = flow(z, time.expand(len(x)))",
    "z is x times a number",
    "u = flow(z, time.expand(len(z)))",
)
