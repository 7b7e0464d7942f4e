r"""Checks of chapter 14, flow matching.

The fields that are handed in note what they are asked. Where a number is wrong, it is held
against those that usual mistakes make, as in chapter 08.
"""

import math
from itertools import pairwise

import torch

from .ch08 import SHAPES, asked_about
from .exercise import (
    apart,
    article,
    between,
    exercise,
    expect,
    near,
    normal,
    number,
    several,
    tensor,
    uniform,
    whole,
)

ASKED = (
    "process.flow_from_x_0",
    "process.flow_from_noise",
    "process.x_0_from_flow",
    "process.noise_from_flow",
    "sampling.sampler.ddim_step",
)
TURNED = "which end of time is noise?"


@exercise("14.1", "shifted", kind="understanding", minutes=15, points=3, lacks=ASKED)
def shifted(answer, seed):
    drawn = [uniform((2,), 141, seed, k).tolist() for k in range(5)]
    times = [0.05 + 0.9 * a for a, _ in drawn]
    for tau in times:
        _is_this_alpha_bar(answer, tau, 1.0)
    yield 1, "alpha_bar of a flow"
    sides = [
        math.exp(0.1 + 1.5 * b if i % 2 else -0.1 - b) for i, (_, b) in enumerate(drawn)
    ]
    for tau, k in zip(times, sides, strict=True):
        _has_this_ratio(answer, tau, k)
    yield 1, "the time of the large picture"
    for tau, k in zip(times, sides, strict=True):
        _is_this_alpha_bar(answer, tau, k)
    for tau, wanted in ((0.0, (0.0, 1.0)), (1.0, (1.0, 0.0))):
        got = _time_and_share(answer, tau, sides[0])
        expect(
            near(got, wanted),
            f"for tau = {tau:.0f}, k = {sides[0]:.3g} you say {got[0]:.4g} and "
            f"{got[1]:.4g}: is there any {'signal' if tau else 'noise'} at this end?",
        )
    yield 1, "and alpha_bar there, with both ends"


def _time_and_share(answer, tau, k):
    got = several(answer(tau, k), 2, "a time and alpha_bar")
    return number(got[0], "the time"), number(got[1], "alpha_bar")


def _alpha_bar(tau):
    return (1 - tau) ** 2 / ((1 - tau) ** 2 + tau**2)


def _is_this_alpha_bar(answer, tau, k):
    _, got = _time_and_share(answer, tau, k)
    there = 1 / (1 + (1 - tau) / (k * tau))
    right = _alpha_bar(there)
    suspects = (
        (1 - right, "is alpha_bar the share of the signal, or of the noise?"),
        (math.sqrt(right), "is alpha_bar a weight, or its square?"),
        (right**2, "is alpha_bar a weight, or its square?"),
        (1 - there, "do the squares of the two weights add up to 1?"),
        ((1 - there) ** 2, "do the squares of the two weights add up to 1?"),
        (1 - there**2, "do the squares of the two weights add up to 1?"),
        (((1 - there) / there) ** 2, "is that alpha_bar, or the ratio of signal to noise?"),
        (_alpha_bar(tau), "is it alpha_bar of the small picture, or of the large one?"),
    )
    question = asked_about(got, suspects, "which weights have x_0 and the noise, scaled?")
    mine, wanted = apart(got, right)
    expect(
        near(got, right),
        f"for tau = {tau:.4g} and k = {k:.4g} the noise at your alpha_bar has "
        f"{apart(1 - got, 1 - right)[0]} of the variance, it should have "
        f"{apart(1 - got, 1 - right)[1]} (alpha_bar: {wanted}, not {mine}): {question}",
    )


def _has_this_ratio(answer, tau, k):
    got, _ = _time_and_share(answer, tau, k)
    ratio = (1 - tau) / tau

    def time(ratio):
        return 1 / (1 + ratio)

    suspects = (
        (tau, "is the noise of a mean over k times k pixels as large as a pixel's?"),
        (time(ratio * k), "does a block of many pixels hide the noise, or the signal?"),
        (time(ratio / k**2), "how does the deviation of a mean fall with k^2 pixels?"),
        (time(ratio * k**2), "how does the deviation of a mean fall with k^2 pixels?"),
        (time(ratio / math.sqrt(k)), "how many pixels has a block?"),
        (k * tau, "what does the signal do when tau grows?"),
        (min(k * tau, 1.0), "what does the signal do when tau grows?"),
        (1 - time(ratio / k), TURNED),
        (1 - time(ratio * k), TURNED),
        (tau / k, "what does the signal do when tau grows?"),
    )
    question = asked_about(got, suspects, "which ratio of signal and noise stays?")
    here = (1 - got) * k / got if got else math.inf
    mine, wanted = apart(here, ratio)
    expect(
        near(got, time(ratio / k)),
        f"a pixel of the small picture has {wanted} times as much signal as noise at tau "
        f"= {tau:.4g}; the mean of a block with k = {k:.4g} has {mine} at your time: "
        f"{question}",
    )


@exercise("14.2", "euler_law", kind="derivation", minutes=25, points=4, lacks=ASKED)
def euler_law(answer, seed):
    drawn = [_flow_of_a_law(142, seed, k) for k in range(6)]
    for m, v, stops in drawn:
        _ends_like_this(answer, m, v, [1.0, stops[-2]])
        _ends_like_this(answer, m, v, [1.0, 0.0])
    yield 1, "one step"
    for m, v, stops in drawn:
        _ends_like_this(answer, m, v, [1.0, *stops[-3:-1]])
    yield 1, "two steps"
    for m, v, stops in drawn:
        _ends_like_this(answer, m, v, [1.0, *stops])
    yield 1, "any number of steps"
    for m, _, stops in drawn:
        _ends_like_this(answer, m, 0.0, [1.0, *stops])
        _ends_like_this(answer, m, 1.0, [1.0, *stops[:-1]])
        _ends_like_this(answer, 0.0, 1.0, [1.0, *stops[:-1]])
    yield 1, "data of one point, and of variance 1"


def _flow_of_a_law(*seed):
    r"""Mean and variance of the data, and stops that fall to 0."""
    m, v = 3 * between(-1, 1, *seed, 1), math.exp(3 * between(-1, 0.6, *seed, 2))
    inner = 0.05 + 0.9 * uniform((whole(3, 6, *seed, 3),), *seed, 4)
    return m, v, [*inner.sort(descending=True).values.tolist(), 0.0]


def _walked(m, v, stops, velocity, sign=1):
    r"""Mean and deviation of Euler's end, by where two points of N(0, 1) go."""
    ends = []
    for z in (0.0, 1.0):
        for tau, after in pairwise(stops):
            z = z - sign * (tau - after) * velocity(z, tau, after)
        ends.append(z)
    return ends[0], abs(ends[1] - ends[0])


def _best(m, v):
    r"""The marginal velocity, by the posterior mean of x_0 (precisions add up)."""

    def velocity(z, tau, _):
        if v == 0:
            return (z - m) / tau
        of_data, of_z = 1 / v, ((1 - tau) / tau) ** 2
        if tau == 1:
            return z - m
        guess = (of_data * m + of_z * z / (1 - tau)) / (of_data + of_z)
        return (z - guess) / tau

    return velocity


def _ends_like_this(answer, m, v, stops):
    got = several(answer(m, v, list(stops)), 2, "a mean and a deviation")
    got = number(got[0], "the mean"), number(got[1], "the deviation")
    right = _walked(m, v, stops, _best(m, v))
    last = stops[-1]
    exact = (1 - last) * m, math.sqrt((1 - last) ** 2 * v + last**2)
    suspects = [
        (right, "how many of your digits are right?"),
        (_walked(m, v, stops, lambda z, tau, _: z - m), "what does z say about x_0 here?"),
        (_walked(m, v, stops, _best(m, v), -1), "towards which end does time go?"),
        (_walked(m, v**2, stops, _best(m, v**2)), "is v a variance, or a deviation?"),
        (_walked(m, v**0.5, stops, _best(m, v**0.5)), "is v a variance, or a deviation?"),
        (_walked(0.0, v, stops, _best(0.0, v)), "where is the mean of the data?"),
        ((right[0], right[1] ** 2), "is that a deviation, or a variance?"),
        ((right[1], right[0]), "which of the two comes first?"),
        (exact, "is that the law after these steps, or after infinitely many?"),
        ((right[0], exact[1]), "is that the law after these steps, or infinitely many?"),
        ((0.0, right[1]), "where is the mean of the data?"),
        ((m, right[1]), "where does the last step end?"),
        (_walked(m, v, stops[:-1], _best(m, v)), "how many steps are made?"),
        (_walked(m, v, [*stops[:-1], 0.0], _best(m, v)), "where does the last step end?"),
        (
            _walked(m, v, stops, lambda z, tau, _: -_best(m, v)(z, tau, _)),
            "is u the noise less x_0, or the other way?",
        ),
    ]
    if last > 0:
        late = _walked(m, v, stops, lambda z, tau, after: _best(m, v)(z, after, tau))
        suspects.append((late, "at which end of a step is the velocity asked for?"))
    question = asked_about(got, suspects, "what is E[x_0 | z] at each of these times?")
    texts = [
        apart(*(b, b) if near(a, b) else (a, b)) for a, b in zip(got, right, strict=True)
    ]
    mine, wanted = zip(*texts, strict=True)
    expect(
        near(got, right, rtol=1e-8, atol=1e-10),
        f"for data N({m:.3g}, {v:.3g}) and the stops "
        f"{', '.join(f'{tau:.3g}' for tau in stops)} the samples have mean {wanted[0]} "
        f"and deviation {wanted[1]}, you say {mine[0]} and {mine[1]}: {question}",
    )


class _Flow:
    r"""Somebody's flow, from noise at 0 to data at 1, which notes what it is asked."""

    def __init__(self, says):
        self.says, self.asked = says, []

    def __call__(self, z, time):
        if not isinstance(z, torch.Tensor) or not isinstance(time, torch.Tensor):
            raise ValueError(
                f"flow takes two tensors, it got {article(z)} and {article(time)}"
            )
        if time.shape != z.shape[:1]:
            raise ValueError(
                f"flow takes one time for each example, ({len(z)},), it got "
                f"{tuple(time.shape)}"
            )
        if not (z.is_floating_point() and z.dtype == time.dtype):
            raise ValueError(
                f"flow takes z and time of one dtype, it got {z.dtype} and {time.dtype}"
            )
        self.asked.append((z.double(), time.double()))
        return self.says(z, time)


@exercise("14.3", "noise_by_flow", kind="code", minutes=25, points=4, lacks=ASKED)
def noise_by_flow(answer, seed):
    for k in range(3):
        _asks_at_this_time(answer, seed, k)
    yield 1, "the time"
    for k in range(3):
        _asks_about_this_state(answer, seed, k)
    yield 1, "the state"
    for k in range(3):
        _makes_noise_of_it(answer, seed, k)
    yield 1, "what becomes of the answer"
    for k, (shape, dtype) in enumerate(SHAPES):
        _finds_the_noise(answer, shape, dtype, seed, k)
    yield 1, "for batches of any shape and dtype, and both ends"


def _wide(values, like):
    return values.reshape(-1, *[1] * (like.dim() - 1))


def _asked(answer, says, x_t, share):
    flow = _Flow(says)
    got = tensor(answer(flow, x_t, share), x_t, "the noise")
    expect(
        len(flow.asked) == 1,
        f"the flow is asked {len(flow.asked)} times: how many times do you need it?",
    )
    return got, *flow.asked[0]


def _drawn_states(seed, k):
    x_t = 2 * normal((6, 3), 1431, seed, k)
    return x_t, 0.02 + 0.96 * uniform((6,), 1432, seed, k)


def _asks_at_this_time(answer, seed, k):
    x_t, share = _drawn_states(seed, k)
    _, _, time = _asked(answer, lambda z, time: z, x_t, share)
    root, noise = share.sqrt(), (1 - share).sqrt()
    right = root / (root + noise)
    suspects = (
        (1 - right, TURNED),
        (share, "is alpha_bar a time? In which ratio are signal and noise?"),
        (1 - share, "is alpha_bar a time? In which ratio are signal and noise?"),
        (root, "do the weights of a flow add up to 1, or their squares?"),
        (noise, "do the weights of a flow add up to 1, or their squares?"),
        (root / noise, "in which ratio are signal and noise at a time s?"),
        (share / (share + noise), "are both weights roots?"),
    )
    question = asked_about(time, suspects, "which mixture of x_0 and noise is x_t?")
    mine, wanted = apart(float(time[0]), float(right[0]))
    expect(
        near(time, right),
        f"alpha_bar = {float(share[0]):.4g} leaves {float(root[0] / noise[0]):.4g} times "
        f"as much signal as noise, and you ask at s = {mine}, not {wanted}: {question}",
    )


def _asks_about_this_state(answer, seed, k):
    x_t, share = _drawn_states(seed, k)
    _, z, _ = _asked(answer, lambda z, time: z, x_t, share)
    root, noise = share.sqrt()[:, None], (1 - share).sqrt()[:, None]
    right = x_t / (root + noise)
    expect(
        z.shape == x_t.shape,
        f"flow takes z of shape {tuple(x_t.shape)} here, it got {tuple(z.shape)}",
    )
    time = root / (root + noise)
    suspects = (
        (x_t, "do the weights of x_t add up to 1, as those of a flow do?"),
        (
            x_t * (root + noise),
            "are the weights of x_t too large for a flow, or too small?",
        ),
        (x_t / root, "do both weights add up to 1 then?"),
        (x_t / noise, "do both weights add up to 1 then?"),
        (x_t / ((1 - time) ** 2 + time**2).sqrt(), "too large for a flow, or too small?"),
        (x_t * ((1 - time) ** 2 + time**2), "is the factor a root?"),
    )
    question = asked_about(z, suspects, "which factor makes the two weights add up to 1?")
    of = float((root + noise)[0])
    mine, wanted = apart(of * float(z[0, 0] / x_t[0, 0]), 1.0)
    expect(
        near(z, right),
        f"for alpha_bar = {float(share[0]):.4g} the weights of x_0 and noise in what you "
        f"give to the flow add up to {mine}, not {wanted}: {question}",
    )


def _makes_noise_of_it(answer, seed, k):
    x_t, share = _drawn_states(seed, k)
    said = normal(x_t.shape, 1433, seed, k)
    got, _, _ = _asked(answer, lambda z, time: said, x_t, share)
    root, noise = share.sqrt()[:, None], (1 - share).sqrt()[:, None]
    z, time = x_t / (root + noise), root / (root + noise)
    right = z - time * said
    suspects = (
        (z + time * said, "is u the noise less x_0, or the other way?"),
        (z + (1 - time) * said, "is that the noise, or x_0?"),
        (z - (1 - time) * said, TURNED),
        (x_t - time * said, "of which state is the answer the slope, z or x_t?"),
        (x_t - root * said, "of which state is the answer the slope, z or x_t?"),
        ((x_t - root * (z + (1 - time) * said)), "by what is the noise multiplied in x_t?"),
        (root * said + noise * x_t, "is the answer a v, or a slope of the straight line?"),
        (said, "is that the noise, or the velocity?"),
        (-said, "is that the noise, or the velocity?"),
        (right * (root + noise), "is that the noise, or the noise times something?"),
        (right * noise, "is that the noise, or the noise times something?"),
        (z - said, "how much of x_0 is in z?"),
        (z, "what becomes of the answer?"),
    )
    question = asked_about(got, suspects, "z and its slope are known: where is the noise?")
    back = got + said  # x_0, by the slope
    off = float((time * back + (1 - time) * got - z).abs().max())
    expect(
        near(got, right),
        f"with your noise and the x_0 that belongs to it and to the flow's answer, the "
        f"mixture is off from z by up to {off:.3g}: {question}",
    )


def _finds_the_noise(answer, shape, dtype, seed, k):
    r"""A flow that knows the one x_0 there is: so each x_t has one noise."""
    x_0, noise = (normal(shape, 1434, seed, k, i, dtype=dtype) for i in range(2))
    share = (0.05 + 0.9 * uniform((shape[0],), 1435, seed, k)).to(dtype)
    ends = len(share) > 2
    if ends:
        share[0], share[1] = 0.0, 1 - 1e-4
    a = _wide(share, x_0)
    x_t = a.sqrt() * x_0 + (1 - a).sqrt() * noise

    def says(z, time):
        known = time < 1
        left = torch.where(known, 1 - time, torch.ones_like(time))
        return (x_0 - z) / _wide(left, z)

    got, _, _ = _asked(answer, says, x_t, share)
    off = (got.double() - noise.double()).abs().flatten(1) if len(shape) > 1 else None
    off = off.amax(1) if off is not None else (got - noise).abs().double()
    double = dtype == torch.float64
    bound = torch.full_like(off, 1e-8 if double else 2e-3)
    if ends and not double:
        bound[1] = 0.05
    at = int((off / bound).argmax())
    which = (
        "is alpha_bar = 0 a state as all others?"
        if ends and at == 0
        else "along which axes of such a batch does each example have its own numbers?"
    )
    expect(
        bool((off < bound).all()),
        f"for x_t of shape {tuple(shape)} in {dtype} the noise of one example is off by "
        f"{float(off[at]):.3g} (alpha_bar = {float(share[at]):.3g}): {which}",
    )


@exercise("14.4", "walk", kind="project", minutes=50, points=5, lacks=ASKED)
def walk(answer, seed):
    drawn = [_field(seed, k) for k in range(4)]
    for given in drawn:
        _asks_at_these_times(answer, *given)
    yield 1, "the times"
    for given in drawn:
        _asks_about_these_states(answer, *given)
    yield 1, "the states"
    for given in drawn:
        _ends_here(answer, *given)
    yield 1, "the end"
    for given in drawn:
        _is_bent_so(answer, *given)
    yield 1, "the bend"
    for k, (_, z, N, shift) in enumerate(drawn):
        slope = normal(z.shape, 1441, seed, k)
        _is_bent_so(answer, lambda z, tau, slope=slope: slope, z, N, shift)
        _is_bent_so(answer, lambda z, tau, slope=slope: tau * slope, z, N, shift)
    u, z, _, shift = drawn[1]
    _ends_here(answer, u, z, 1, shift)
    _is_bent_so(answer, u, z, 1, shift)
    yield 1, "and fields that are straight, or straight with a changing speed"


def _field(seed, k):
    B, D, N = 4 + k, whole(2, 4, 1442, seed, k), whole(3, 7, 1443, seed, k)
    W, z = normal((D, D), 1444, seed, k), normal((B, D), 1445, seed, k)
    shift = (1.0, between(1.5, 4, 1446, seed, k), between(0.3, 0.7, 1447, seed, k))[k % 3]

    def u(z, tau):
        return torch.tanh(z @ W.T + tau) + 0.5 * z - W[0] * tau

    return u, z, N, shift


class _Noted:
    r"""A velocity that notes what it is asked."""

    def __init__(self, u):
        self.u, self.asked = u, []

    def __call__(self, z, tau):
        if isinstance(tau, torch.Tensor) and tau.numel() == 1:
            tau = tau.item()
        if not isinstance(tau, (int, float)) or isinstance(tau, bool):
            raise ValueError(f"u takes tau as one number, it got {article(tau)}")
        if not isinstance(z, torch.Tensor) or z.dim() != 2 or z.dtype != torch.float64:
            raise ValueError(f"u takes z (B, D) in float64, it got {article(z)}")
        self.asked.append((z, float(tau)))
        return self.u(z, float(tau))


def _walk_of(answer, u, z, N, shift):
    noted = _Noted(u)
    got = several(answer(noted, z, N, shift), 2, "where the walk ends and the bend")
    return tensor(got[0], z, "the end"), got[1], noted.asked


def _shifted_stops(N, k):
    line = [1 - i / N for i in range(N + 1)]
    return [k * tau / (1 + (k - 1) * tau) for tau in line]


def _euler(u, z, stops, sign=-1):
    states, slopes = [z], []
    for tau, after in pairwise(stops):
        slopes.append(u(z, tau))
        z = z + sign * (tau - after) * slopes[-1]
        states.append(z)
    return states, slopes


def _asks_at_these_times(answer, u, z, N, shift):
    _, _, asked = _walk_of(answer, u, z, N, shift)
    stops = _shifted_stops(N, shift)
    expect(
        len(asked) == N,
        f"{N} steps of Euler are {N} calls of u, your function makes {len(asked)}",
    )
    times = [tau for _, tau in asked]
    line = [1 - i / N for i in range(N)]
    suspects = (
        (stops[1:], "at which end of a step is the velocity asked for?"),
        ([*stops[::-1][:N]], TURNED),
        ([1 - tau for tau in stops[:-1]], TURNED),
        (line, "where is the shift k?"),
        (_shifted_stops(N, 1 / shift)[:-1], "which way does k shift the times?"),
        (
            [1 - tau for tau in _shifted_stops(N, 1 / shift)[::-1]][:-1],
            "which way does k shift the times?",
        ),
        ([(i + 1) / N for i in range(N)][::-1], "where is the shift k?"),
        (torch.linspace(1, 0, N).tolist(), "how many stops do N steps have?"),
    )
    question = asked_about(times, suspects, "which stops have N equal steps, shifted by k?")
    i = max(range(N), key=lambda i: abs(times[i] - stops[i]))
    mine, wanted = apart(times[i], stops[i])
    expect(
        near(times, stops[:-1], rtol=1e-6, atol=1e-9),
        f"with N = {N} and k = {shift:.3g} call {i + 1} of u is for tau = {wanted}, yours "
        f"for {mine}: {question}",
    )


def _asks_about_these_states(answer, u, z, N, shift):
    _, _, asked = _walk_of(answer, u, z, N, shift)
    stops = _shifted_stops(N, shift)
    right = _euler(u, z, stops)[0][1]
    got = asked[1][0]
    expect(
        got.shape == z.shape,
        f"u takes z of shape {tuple(z.shape)} here, it got {tuple(got.shape)}",
    )
    slope, h = u(z, 1.0), stops[0] - stops[1]
    suspects = (
        (z + h * slope, "towards which end does time go?"),
        (z - slope / N, "how long is this step, after the shift?"),
        (z + slope / N, "towards which end does time go?"),
        (z - slope, "how long is this step?"),
        (z, "does the state move?"),
        (z - (stops[1] - stops[2]) * slope, "how long is this step, after the shift?"),
    )
    question = asked_about(got, suspects, "from which state and how far does it go?")
    mine, wanted = apart(float(got[0, 0]), float(right[0, 0]))
    expect(
        near(got, right, rtol=1e-6, atol=1e-6),
        f"with N = {N} and k = {shift:.3g} the first entry is {wanted} after one step, "
        f"yours is {mine}: {question}",
    )


def _ends_here(answer, u, z, N, shift):
    got, _, _ = _walk_of(answer, u, z, N, shift)
    states, slopes = _euler(u, z, _shifted_stops(N, shift))
    right = states[-1]
    suspects = (
        (states[-2], "how many steps are made?"),
        (z - right, "is that the end, or the way to it?"),
        (right - z, "is that the end, or the way to it?"),
        (z, "is that the end, or the beginning?"),
        (z - slopes[0], "is it one step, or several?"),
        (z - sum(slopes) / N, "how long is each step, after the shift?"),
    )
    question = asked_about(got, suspects, "where is z after the last step?")
    off = float((got - right).abs().max())
    expect(
        near(got, right, rtol=1e-6, atol=3e-6),
        f"with N = {N} and k = {shift:.3g} the end is off by up to {off:.3g}: {question}",
    )


def _is_bent_so(answer, u, z, N, shift):
    _, got, _ = _walk_of(answer, u, z, N, shift)
    got = number(got, "the bend")
    stops = _shifted_stops(N, shift)
    states, slopes = _euler(u, z, stops)
    chord, lengths = z - states[-1], [a - b for a, b in pairwise(stops)]
    parts = [(slope - chord).square().mean() for slope in slopes]
    total = sum(h * part for h, part in zip(lengths, parts, strict=True))
    whole_chord = chord.square().mean()
    right = float(total / whole_chord)

    def over(value):
        return float(value)

    each = [
        h * ((slope - chord).square().sum(1) / chord.square().sum(1)).mean()
        for h, slope in zip(lengths, slopes, strict=True)
    ]
    turned = sum(
        h * (slope + chord).square().mean()
        for h, slope in zip(lengths, slopes, strict=True)
    )
    late = sum(h * p for h, p in zip(lengths[1:] + lengths[:1], parts, strict=True))
    suspects = (
        (over(total), "in units of what is the bend measured?"),
        (over(sum(parts) / N / whole_chord), "is each step as long as all others?"),
        (over(sum(parts) / whole_chord), "how long is each step?"),
        (over(turned / whole_chord), "does u point along z_1 - z_0, or against it?"),
        (over(sum(each)), "is it a ratio of means, or a mean of ratios?"),
        (math.sqrt(right), "is the bend a square, or a root?"),
        (1 - right, "which value has a straight path?"),
        (over(total * z.shape[1] / whole_chord), "is the same mean taken below and above?"),
        (over(total * len(z) / whole_chord), "is the same mean taken below and above?"),
        (over(late / whole_chord), "which length belongs to which slope?"),
    )
    question = asked_about(got, suspects, "how far is each slope from the chord's?")
    mine, wanted = apart(got, right)
    expect(
        near(got, right, rtol=1e-5, atol=1e-9),
        f"with N = {N} and k = {shift:.3g} the bend of these paths is {wanted}, yours is "
        f"{mine}: {question}",
    )
