r"""Checks of chapter 04, the objective.

Divergences and bounds are compared with integrals, with sums over draws, and with data
whose likelihood is known; what a formula must keep whatever way it was written comes
first.
"""

import math

import torch

from ..loss import gaussian_kl, vlb_terms
from ..oracle import GaussianOracle
from ..process import q_posterior, q_sample, x_0_from_noise
from ..schedule import Schedule
from .exercise import (
    Hint,
    apart,
    between,
    exercise,
    expect,
    named,
    near,
    normal,
    number,
    reason,
    several,
    steps,
    tensor,
    uniform,
    whole,
)

ASKED = ("loss.gaussian_kl", "loss.prior_kl", "loss.vlb_terms")


@exercise("04.1", "to_bits", kind="understanding", minutes=15, points=2, lacks=ASKED)
def to_bits(answer, seed):
    pictures = list(_pictures(seed))
    for k, (shape, levels, nats) in enumerate(pictures):
        times = between(1.5, 5, 412, seed, k)
        D, C, wanted = math.prod(shape), shape[0], math.log2(times)
        here = number(answer(nats, shape, levels), "the bits per dimension")
        saved = here - number(answer(nats - D * math.log(times), shape, levels), "the bits")
        came, should = apart(saved, wanted)
        ask = reason(
            saved,
            (
                (-wanted, "does a picture of higher density need more bits, or fewer?"),
                (math.log(times), "which logarithm counts bits?"),
                (math.log(times) * math.log(2), "is a bit more than a nat, or less?"),
                (D * wanted, "is this the whole picture, or one of its dimensions?"),
                (C * wanted, "how many numbers has a picture with channels?"),
            ),
            "how many numbers has a picture, and which logarithm counts bits?",
        )
        expect(
            near(saved, wanted, 1e-5, 1e-5),
            f"pictures of shape {shape}: a density that is {times:.3f} times as high in "
            f"every dimension saves {should} bits in each, with yours it saves {came}: "
            f"{ask}",
        )
    yield 1, "the density counts in bits, for each dimension"
    for k, (shape, levels, nats) in enumerate(pictures):
        _bins(answer, shape, levels, nats, whole(2, 5, 413, seed, k))
    yield 1, "the width of the bins counts as it should"


def _pictures(seed):
    r"""Shapes, levels, and the nats of a density that is flat over all the bins."""
    for k, (few, many) in enumerate(((5, 40), (100, 400))):
        shape = whole(2, 5, 414, seed, k), whole(5, 20, 415, seed, k), 24 + k
        levels = whole(few, many, 416, seed, k)
        yield shape, levels, math.prod(shape) * math.log(levels * 2 / (levels - 1))


def _bins(answer, shape, levels, nats, times):
    r"""Narrower bins cost bits, and a flat density costs what all levels cost."""
    finer = times * (levels - 1) + 1
    got, fine = (number(answer(nats, shape, n), "the bits") for n in (levels, finer))
    D, more, wanted = math.prod(shape), math.log2(times), math.log2(levels)
    came, should = apart(fine - got, more)
    ask = reason(
        fine - got,
        (
            (0, "where does the width of a bin come in?"),
            (-more, "is a grey level likelier when its bin is narrower?"),
            (math.log(times), "are both parts of your sum in bits?"),
            (more / D, "is a bin chosen once for a picture, or in each dimension?"),
            (
                math.log2(finer / levels),
                "from the first grey level to the last, are there as many gaps as levels?",
            ),
        ),
        "how does the probability of a grey level change with the width of its bin?",
    )
    expect(
        near(fine - got, more, 1e-5, 1e-5),
        f"{finer} levels in the place of {levels} make the bins {times} times as narrow, "
        f"which costs {should} bits more in each dimension, with yours {came}: {ask}",
    )
    came, should = apart(got, wanted)
    ask = reason(
        got,
        (
            (wanted + 1, "how long is the range of the grey levels?"),
            (wanted - 1, "how far are two neighbours among the grey levels apart?"),
        ),
        "how wide is one bin, if the grey levels go from -1 to 1 and take both ends in?",
    )
    expect(
        near(got, wanted, 1e-5, 1e-5),
        f"a model that knows nothing of {levels} levels needs {should} bits for each "
        f"number of a picture, by yours {came}: {ask}",
    )


def _mixture(seed, peaks):
    r"""A mixture of Gaussians whose peaks differ in all: weights, means, variances."""
    order = uniform((peaks,), 41, seed, peaks).argsort()
    weights = 1 + 1.2 * order + uniform((peaks,), 42, seed, peaks)
    means = (0.8 + uniform((peaks,), 43, seed, peaks)).cumsum(0)
    means = means + between(-4, 0.5, 44, seed, peaks)
    variances = 0.05 + 0.15 * order.flip(0) + 0.1 * uniform((peaks,), 45, seed, peaks)
    return weights / weights.sum(), means, variances


def _cost(q, mean, variance):
    r"""E_q[-log p] by a sum: KL(q || p) but for what does not depend on p."""
    w, m, v = q
    low, high = float((m - 9 * v.sqrt()).min()), float((m + 9 * v.sqrt()).max())
    x = torch.linspace(low, high, 20_001, dtype=torch.float64)[:, None]
    density = (w * (-((x - m) ** 2) / (2 * v)).exp() / (2 * math.pi * v).sqrt()).sum(1)
    nats = (x[:, 0] - mean) ** 2 / (2 * variance) + 0.5 * math.log(variance)
    return float(torch.trapezoid(density * nats, x[:, 0]))


def _closest_to(answer, w, m, v):
    got = several(
        answer(w.tolist(), m.tolist(), v.tolist()), 2, "the mean and the variance"
    )
    return number(got[0], "the mean"), number(got[1], "the variance")


def _peaks(m):
    return f"peaks at {', '.join(f'{x:.3g}' for x in m.tolist())}"


@exercise("04.2", "closest", kind="derivation", minutes=20, points=4, lacks=ASKED)
def closest(answer, seed):
    mixtures = [_mixture(seed, peaks) for peaks in (2, 3, 4)]
    for w, m, v in mixtures:
        mean, _ = _closest_to(answer, w, m, v)
        best = float(w @ m)
        halfway = (mean + best) / 2
        less = _cost((w, m, v), mean, 1.0) - _cost((w, m, v), halfway, 1.0)
        mine, better = apart(mean, halfway)
        top = "KL(q || p) charges for every x that q draws: what of those at other peaks?"
        ask = reason(
            mean,
            (
                *((x, top) for x in m.tolist()),
                (float(m.mean()), "does each peak count with its weight?"),
                (float(m.sum()), "do the shares of all peaks add up to 1?"),
                (
                    float((w / v) @ m / (w / v).sum()),
                    "does a peak draw more of the x because it is narrow?",
                ),
            ),
            "where do the points that q draws lie on average?",
        )
        expect(
            near(mean, best, 1e-6, 1e-6),
            f"{_peaks(m)}: with variance 1, a p around {better} has a KL(q || p) that is "
            f"smaller by {less:.2g} nats than yours around {mine}: {ask}",
        )
    yield 1, "the mean is that of q"
    for w, m, v in mixtures:
        _peaks_on_one_spot(answer, w, m, v)
    yield 1, "the variance is right where all peaks share one place"
    for w, m, v in mixtures:
        _whole_spread(answer, w, m, v, between(1, 3, 46, seed, len(w)))
    yield 2, "and where they do not"


def _peaks_on_one_spot(answer, w, m, v):
    r"""Peaks around one mean: only the spread inside them is there."""
    m = m[0] + 0 * m
    _, variance = _closest_to(answer, w, m, v)
    _, wide = _closest_to(answer, w, 3 * m, 9 * v)
    best = float(w @ v)
    expect(
        variance > 1e-9,
        f"{_peaks(m)}, with variances {', '.join(f'{x:.3g}' for x in v.tolist())}: your "
        f"Gaussian has the variance {variance:.3g}: do the widths of the peaks count?",
    )
    expect(
        not near(wide, 3 * variance, 1e-5) or near(variance, best, 1e-5),
        f"{_peaks(m)}: q is drawn out to three times its width, and what you call a "
        f"variance grows from {variance:.4g} to {wide:.4g}: does a variance grow so?",
    )
    mine, halfway = apart(variance, (variance + best) / 2)
    less = _cost((w, m, v), float(m[0]), variance)
    less -= _cost((w, m, v), float(m[0]), (variance + best) / 2)
    ask = reason(
        variance,
        (
            (float(w.square() @ v), "is a point of q a sum of peaks, or from one of them?"),
            (float(v.mean()), "does the width of each peak count with its weight?"),
            (float(w @ v.sqrt()) ** 2, "is it the deviations of the peaks that add up?"),
            (1 / float(w @ (1 / v)), "why should narrow peaks count more?"),
            (best + float(m[0]) ** 2, "from where is a variance measured?"),
        ),
        "how wide is q itself?",
    )
    expect(
        near(variance, best, 1e-6),
        f"{_peaks(m)}: a variance of {halfway} gives a smaller KL(q || p) than your "
        f"{mine}, by {less:.2g} nats: {ask}",
    )


def _whole_spread(answer, w, m, v, shift):
    r"""The variance inside the peaks and between them."""
    mean, variance = _closest_to(answer, w, m, v)
    _, moved = _closest_to(answer, w, m + shift, v)
    expect(
        near(variance, moved, 1e-6, 1e-6),
        f"{_peaks(m)}: q is moved by {shift:.3f}, and your variance goes from "
        f"{' to '.join(apart(variance, moved))}: from where is a variance measured?",
    )
    inside, best = float(w @ v), float(w @ (v + (m - w @ m) ** 2))
    expect(variance > 0, f"{_peaks(m)}: a variance is positive, yours is {variance:.3g}")
    mine, halfway = apart(variance, (variance + best) / 2)
    less = _cost((w, m, v), mean, variance) - _cost((w, m, v), mean, (variance + best) / 2)
    ask = reason(
        variance,
        (
            (inside, "that is the spread inside the peaks, what of that between them?"),
            (
                inside + float((m - m.mean()).square().mean()),
                "does a rare peak spread q as much as a frequent one?",
            ),
            (
                inside + float((m - w @ m).square().mean()),
                "does a rare peak spread q as much as a frequent one?",
            ),
            (
                inside + float(w @ (m - w @ m).abs()) ** 2,
                "is the mean of squares the square of the mean?",
            ),
        ),
        "is it the whole spread of q, inside the peaks and between them?",
    )
    expect(
        near(variance, best, 1e-6),
        f"{_peaks(m)}: a variance of {halfway} gives a smaller KL(q || p) than your "
        f"{mine}, by {less:.2g} nats: {ask}",
    )


def _drawn_schedules(seed):
    r"""Three schedules of three kinds, each of a length and of ends of its own."""
    T = [whole(30, 200, 47, seed, k) for k in range(3)]
    beta = 1e-3 + 0.08 * uniform((T[2],), 48, seed).sort().values
    end = between(0.01, 0.06, 49, seed)
    return Schedule.linear(T[0], 1e-3, end), Schedule.cosine(T[1]), Schedule.from_beta(beta)


def _long_way(schedule, t, s):
    r"""The divergence of the posteriors of two x_0 that differ by 1."""
    one = torch.ones(1, dtype=torch.float64)
    ts = torch.tensor([t]), torch.tensor([s])
    mean, variance = q_posterior(schedule, 0 * one, one, *ts)
    mean_pred, _ = q_posterior(schedule, one, one, *ts)
    return float(gaussian_kl(mean, variance, mean_pred, variance))


@exercise("04.3", "x_0_weight", kind="derivation", minutes=25, points=4, lacks=ASKED)
def x_0_weight(answer, seed):
    chains = _drawn_schedules(seed)
    for k, schedule in enumerate(chains):
        for t in (whole(5, 15, 471, seed, k), schedule.T - whole(1, 9, 472, seed, k)):
            _one_weight(answer, schedule, t, t - 1)
    yield 2, "the weight of one step is right"
    for k, schedule in enumerate(chains):
        alpha_bar = schedule.alpha_bar
        r, s = whole(1, 4, 473, seed, k), whole(6, 12, 474, seed, k)
        t = whole(15, schedule.T, 475, seed, k)
        whole_step = number(answer(alpha_bar, t, r), "the weight")
        legs = [number(answer(alpha_bar, *leg), "the weight") for leg in ((t, s), (s, r))]
        expect(
            not near(whole_step, number(answer(alpha_bar, t, s), "the weight"), 1e-6),
            f"T = {schedule.T}: from t = {t} your weight is {whole_step:.4g} whether the "
            f"step ends at {s} or at {r}: what does s change?",
        )
        came, should = apart(whole_step, sum(legs))
        expect(
            near(whole_step, sum(legs), 1e-6),
            f"T = {schedule.T}: steps from {t} to {s} and from {s} to {r} cost {should} in "
            f"all, one step over both {came}, and for one and the same error of x_0 that "
            "should be equal: which of your quantities still belong to a step of length 1?",
        )
        _one_weight(answer, schedule, t, r)
    yield 2, "and that of a step of any length"


def _one_weight(answer, schedule, t, s):
    a_t, a_s = float(schedule.alpha_bar[t]), float(schedule.alpha_bar[s])
    got = number(answer(schedule.alpha_bar, t, s), "the weight")
    where = f"T = {schedule.T}, from t = {t} to s = {s}"
    expect(
        got > 0,
        f"a divergence is positive, your weight is {got:.3g} ({where}): at which of the "
        "two is there more signal?",
    )
    wanted = _long_way(schedule, t, s)
    r_t, r_s = a_t / (1 - a_t), a_s / (1 - a_s)
    own = (
        "is it the posteriors' own variance that the distance of their means is divided by?"
    )
    ask = reason(
        got,
        (
            (2 * wanted, "which factor stands before the squares in a Gaussian's log?"),
            (wanted / 2, "did you count one factor twice?"),
            (wanted / r_t, "is it x_0 that has the error, or the noise?"),
            (wanted * (1 - a_s) / (1 - a_t), own),
            (math.sqrt(2 * wanted), "is the distance of the means squared?"),
            (math.sqrt(wanted / 2), "is the distance of the means squared?"),
            (
                (a_s - a_t) / 2,
                "two x_0 are told apart the better, the less noise there is in x_s: does "
                "your weight grow without a bound when the noise of x_s goes to 0?",
            ),
            (math.log(r_s / r_t) / 2, "is it a ratio or a difference that adds up here?"),
            (
                (math.sqrt(r_s) - math.sqrt(r_t)) / 2,
                "squared error and signal-to-noise ratio: which of them has a root here?",
            ),
        ),
        "where is your weight too large, and where too small, as t runs?",
    )
    came, should = apart(got, wanted)
    expect(
        near(got, wanted, rtol=1e-6),
        f"{where}: the divergence of two posteriors whose x_0 differ by 1 is {should} nats "
        f"when computed the long way, by your weight {came}, {got / wanted:.4g} times as "
        f"much: {ask}",
    )


@exercise("04.4", "importance", kind="code", minutes=25, points=4, lacks=ASKED)
def importance(answer, seed):
    _equal_losses(answer, seed)
    yield 1, "equal losses give Algorithm 1 back"
    histories = [_history(seed, k) for k in range(2)]
    n = whole(100_000, 120_000, 46, seed)
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n  # even, so that shares are exact
    drawn = [_drawn(answer, history, u) for history in histories]
    for history, (t, _) in zip(histories, drawn, strict=True):
        _shares(history, t)
    yield 1, "each t has its share of u"
    for history, (t, weight) in zip(histories, drawn, strict=True):
        _weights(history, t, weight)
    yield 1, "the weights make up for it"
    _ends(answer, seed)
    yield 1, "and every single u gets its t and its weight"


def _history(seed, k):
    r"""Losses of T steps, of very different sizes in no order, and not all as steady."""
    T, K = (whole(4, 8, 461, seed), 12) if k == 0 else (whole(30, 60, 462, seed), 5)
    order = uniform((T,), 463, seed, k).argsort().double() / (T - 1)
    size = (3 * order - 2).exp()[:, None]
    return size * (0.05 + uniform((T, K), 464, seed, k) ** 3)


def _drawn(answer, history, u):
    T, n = len(history), len(u)
    t, weight = several(answer(history, u), 2, "t and the weights")
    t = tensor(t, torch.zeros(n, dtype=torch.int64), "t")
    weight = tensor(weight, torch.zeros(n, dtype=torch.float64), "the weights")
    low, high = int(t.min()), int(t.max())
    expect(
        low >= 1 and high <= T,
        f"with a history of {T} rows t runs from 1 to {T}, yours from {low} to {high}: "
        "which row holds the losses of which t?",
    )
    least = float(weight.min())
    expect(least > 0, f"weights are positive, one of yours is {least:.3g}")
    return t, weight


def _equal_losses(answer, seed):
    T, K = whole(5, 12, 465, seed), whole(13, 16, 466, seed)
    history = torch.full((T, K), between(0.5, 3, 467, seed), dtype=torch.float64)
    piece = steps(0, T - 1, 20, 468, seed)
    u = (piece + 0.1 + 0.8 * uniform((20,), 469, seed)) / T
    t, weight = _drawn(answer, history, u)
    k = int((t - piece - 1).abs().argmax())
    expect(
        torch.equal(t, piece + 1),
        f"with equal losses and T = {T} each piece is as long as the others: u = "
        f"{float(u[k]):.4f} lies in piece {int(piece[k]) + 1}, yours is t = {int(t[k])}: "
        "in which order do the pieces lie?",
    )
    k = int((weight - 1).abs().argmax())
    ask = reason(
        float(weight[k]),
        ((T, "how often does Algorithm 1 draw this t?"), (1 / T, "weight or probability?")),
        "what does an evenly drawn t count?",
    )
    expect(
        near(weight, torch.ones(20), 1e-6),
        f"with equal losses all t come equally often, which is Algorithm 1, whose losses "
        f"must count 1 each; t = {int(t[k])} counts {weight[k]:.6g} by yours, and T is "
        f"{T}: {ask}",
    )


def _root_mean_square(history):
    p = history.square().mean(1).sqrt()
    return p / p.sum()


def _shares(history, t):
    n, T = len(t), len(history)
    share = torch.bincount(t, minlength=T + 1)[1:] / n
    wanted = _root_mean_square(history)
    k = int((share - wanted).abs().argmax())

    def is_like(p):
        return bool(((share - p / p.sum()).abs() < 3 / n).all())

    asks = (
        (
            history.mean(1),
            "two t whose losses have one mean, of which one fluctuates more: ",
        ),
        (history.square().mean(1), "a t whose losses are twice as large, "),
        (history.std(1), "a t whose losses are large and steady: "),
        (history[:, -1], "one loss or all of the last ones: "),
    )
    ends = (
        "which of them is drawn more often?",
        "how much more often is it drawn?",
        "does it matter to the bound?",
        "on which should a probability rest?",
    )
    found = [a + b for (p, a), b in zip(asks, ends, strict=True) if is_like(p)]
    order = share.sort().values - wanted.sort().values
    if bool((order.abs() < 3 / n).all()):
        found = ["these are the right shares, but of other t: which row is which t?"]
    came, should = apart(float(share[k]), float(wanted[k]))
    expect(
        bool(((share - wanted).abs() < 3 / n).all()),
        f"of {n:,} even u a share of {came} gives t = {k + 1}, whose losses ask for "
        f"{should} ({T} rows of {history.shape[1]}): "
        f"{(found or ['to which mean of the losses are shares proportional?'])[0]}",
    )
    back = int((t.diff() < 0).sum())
    expect(
        back == 0,
        f"the pieces lie in the order of t, so t should never fall as u grows; yours falls "
        f"{back} times: in which order do you lay them down?",
    )


def _weights(history, t, weight):
    T, loss = len(history), history.mean(1)
    wanted = _root_mean_square(history)[t - 1] * T
    k = int((weight * wanted - 1).abs().argmax())
    drawn, counts = float(wanted[k]), float(weight[k])
    estimate, truth = float((weight * loss[t - 1]).mean()), float(loss.mean())
    asks = (
        (torch.ones_like(wanted), "a t that is drawn more often: should it count as much?"),
        (wanted, "should what is drawn more often count more, or less?"),
        (1 / wanted**2, "twice as often and half as much: does that hold for yours?"),
        (1 / wanted.sqrt(), "twice as often and half as much: does that hold for yours?"),
    )
    ask = [words for w, words in asks if near(weight, w, 1e-5)]
    came, should = apart(estimate, truth)
    about = (
        f"T = {T}: t = {int(t[k])} is drawn {drawn:.4g} times as often as in Algorithm 1"
    )
    expect(
        abs(estimate / truth - 1) < 2e-3,
        f"{about} and counts {counts:.4g}, so that the weighted mean of the losses is "
        f"{came}, where evenly drawn t give {should}: "
        f"{(ask or ['how often is a t drawn, and what must it count?'])[0]}",
    )
    expect(
        abs(drawn * counts - 1) < 5e-3,
        f"{about} and counts {counts:.4g}: the mean of these losses comes out right, would "
        "it with any others?",
    )


def _ends(answer, seed):
    r"""u on an edge, u next to 1, and a batch of few u, whose weights are no others."""
    T = 2 ** whole(2, 4, 51, seed)
    history = torch.full((T, 3), 4.0, dtype=torch.float64)
    edges = torch.arange(T, dtype=torch.float64) / T
    t, _ = _drawn(answer, history, edges)
    k = int((t != torch.arange(T) + 1).int().argmax())
    expect(
        torch.equal(t, torch.arange(T) + 1),
        f"a piece begins with its lower edge: with equal losses and T = {T} u = "
        f"{float(edges[k]):g} gives t = {k + 1}, yours is {int(t[k])}: which piece takes "
        "an edge?",
    )
    for k in range(40):
        history = 0.1 + uniform((whole(5, 60, 52, seed, k), 4), 53, seed, k)
        highest = torch.tensor([1 - 2**-53, 0.5], dtype=torch.float64)
        about = f"u = 1 - 1e-16 is below 1, and belongs to t = {len(history)}"
        try:
            t, _ = _drawn(answer, history, highest)
        except Hint as hint:
            raise Hint(
                f"{about}: {hint}. Is the sum of your shares 1 to the last digit?"
            ) from None
        expect(int(t[0]) == len(history), f"{about}, yours is {int(t[0])}")
    u = uniform((6,), 54, seed)
    t, weight = _drawn(answer, history, u)
    _, alone = _drawn(answer, history, u[:1])
    should = 1 / (_root_mean_square(history)[t - 1] * len(history))
    came, wanted = apart(float(alone[0]), float(should[0]))
    expect(
        near(alone, should[:1], 1e-6) and near(weight, should, 1e-6),
        f"t = {int(t[0])} counts {came} in a batch of one, and counts {wanted} by how "
        "often it is drawn: is a weight a thing of its t, or of the batch?",
    )


class Asked:
    r"""A denoiser that notes the steps that it is asked for; with errors, if asked to."""

    def __init__(self, model, error=0.0, share=1.0):
        self.model, self.error, self.share, self.t = model, error, share, []

    def __call__(self, x_t, t):
        self.t += [int(v) for v in set(t.tolist())]
        said = self.model(x_t, t.clamp(1, self.model.schedule.T))
        return self.share * said + self.error


def _draws(v, T, D, seed):
    r"""x_0 from N(0, v) and noise, without chance in their first two moments."""
    z, noise = normal((300, D), 47, seed), normal((T, 300, D), 48, seed, T)
    z = z - z.mean(0)
    z = z / z.square().mean(0).sqrt()
    noise = noise - noise.mean(1, keepdim=True)
    noise = noise - (noise * z).mean(1, keepdim=True) * z
    return math.sqrt(v) * z, noise / noise.square().mean(1, keepdim=True).sqrt()


def _oracle(schedule, v, D):
    zero = torch.zeros(D, dtype=torch.float64)
    return GaussianOracle(schedule, zero, v * torch.eye(D, dtype=torch.float64))


def _asked_for(answer, schedule, v, x_0, noise, sigma2, error=0.0, share=1.0):
    r"""An answer's prior, steps and total on data N(0, v), and the t that it asked for."""
    model = Asked(_oracle(schedule, v, x_0.shape[1]), error, share)
    got = answer(model, schedule.alpha_bar, x_0, noise, sigma2)
    got = named(got, "prior", "steps", "total")
    steps = tensor(got["steps"], torch.zeros(schedule.T, dtype=torch.float64), "steps")
    return number(got["prior"], "prior"), steps, number(got["total"], "total"), model.t


@exercise("04.5", "bound", kind="project", minutes=60, points=6, lacks=ASKED, seconds=30)
def bound(answer, seed):
    v, D = between(0.15, 0.6, 511, seed), whole(3, 4, 512, seed)
    chains = []
    for k, (few, many) in enumerate(((10, 14), (25, 40))):
        T = whole(few, many, 513, seed, k)
        schedule = Schedule.linear(T, 0.05 / T, between(5, 8, 514, seed) / T)
        sigma2 = schedule.beta.clone()
        sigma2[1] = schedule.posterior_variance[2]
        chains.append((schedule, v, *_draws(v, T, D, seed), sigma2))
    made = [_asked_for(answer, *given) for given in chains]
    for given, (prior, *_) in zip(chains, made, strict=True):
        _prior(given[0], v, D, prior)
    yield 1, "the prior term is right"
    longs = [_long_terms(given) for given in chains]
    for given, long, (_, terms, _, asked) in zip(chains, longs, made, strict=True):
        _all_t(given[0].T, asked)
        _decoder(given, long, terms)
    yield 1, "and that of the decoder"
    for given, long, (_, terms, _, _) in zip(chains, longs, made, strict=True):
        _divergences(given, long, terms)
    yield 2, "and the divergences for one of the paper's variances"
    for given, (prior, terms, total, _) in zip(chains, made, strict=True):
        _whole_bound(given, prior, terms, total)
    worse, total = _asked_for(answer, *chains[1], error=0.3)[2], made[1][2]
    expect(
        worse > total + 0.01,
        f"a network whose noise is wrong by 0.3 everywhere should pay for it, your bound "
        f"goes from {' to '.join(apart(total, worse))}: where does its answer go?",
    )
    _of_a_wrong_network(answer, *chains[0], seed)
    _each_term_has_its_own(answer, v, D, seed)
    yield 2, "and the bound for any variances"


def _prior(schedule, v, D, prior):
    a = float(schedule.alpha_bar[schedule.T])
    wanted = 0.5 * (a * v + (1 - a) - 1 - math.log(1 - a))
    came, should = apart(prior, wanted)
    way = "which of the two Gaussians draws the x over which KL averages?"
    ask = reason(
        prior,
        (
            (0, "does the chain quite end at N(0, I)?"),
            (2 * wanted, "where is the 0.5?"),
            (D * wanted, "is it a sum over the dimensions, or a mean?"),
            (0.5 * ((1 + a * v) / (1 - a) - 1 + math.log(1 - a)), way),
            (0.5 * (-a - math.log(1 - a)), "and what is left of x_0 in the mean?"),
            (0.5 * a * v, "and the variance, which is not 1?"),
            (-wanted, "can a divergence be negative?"),
        ),
        "from which Gaussian to which does this term measure?",
    )
    expect(
        near(prior, wanted, rtol=1e-6),
        f"T = {schedule.T}: q(x_T | x_0) is N({math.sqrt(a):.3g} x_0, {1 - a:.3g}), which "
        f"is {should} nats per dimension from N(0, I), your prior term is {came}: {ask}",
    )


def _all_t(T, asked):
    r"""The network was asked at each t."""
    missing = sorted(set(range(1, T + 1)) - set(asked))
    other = sorted(set(asked) - set(range(1, T + 1)))
    words = [f"not at t = {t}" for t in missing[:1]] + [
        f"but at t = {t}" for t in other[:1]
    ]
    expect(
        not words,
        f"the network was asked at {len(set(asked))} different t, {' '.join(words)}; the "
        f"bound has a term for each t from 1 to {T}: which x_t does a term start from?",
    )


def _long_terms(given):
    r"""Each term the long way, and what it is made of, all (T,)."""
    schedule, v, x_0, noise, sigma2 = given
    oracle = _oracle(schedule, v, x_0.shape[1])

    def variance(x_t, t, s):
        return sigma2[t][:, None]

    exact = vlb_terms(oracle, schedule, x_0, noise, variance=variance).steps.mean(1)[1:]
    apart_by, errors = [], []
    for k in range(schedule.T):
        t = torch.full((len(x_0),), k + 1)
        x_t = q_sample(schedule, x_0, t, noise[k])
        predicted = oracle(x_t, t)
        guess = x_0_from_noise(schedule, x_t, t, predicted)
        mean, _ = q_posterior(schedule, x_0, x_t, t)
        mean_pred, _ = q_posterior(schedule, guess, x_t, t)
        apart_by.append(float((mean - mean_pred).square().mean()))
        errors.append(float((predicted - noise[k]).square().mean()))
    return exact, torch.tensor(apart_by).double(), torch.tensor(errors).double()


def _decoder(given, long, terms):
    exact, distance, errors = long
    size, D = float(given[-1][1]), given[2].shape[1]
    got, wanted, squares = float(terms[0]), float(exact[0]), float(distance[0])
    ask = reason(
        got,
        (
            (0, "does the last step, which gives x_0, cost nothing?"),
            (
                squares / (2 * size),
                "which density has the decoder at x_0, with its height?",
            ),
            (squares, "is a squared error in nats?"),
            (float(errors[0]), "is a squared error in nats?"),
            (
                wanted - 0.5 * math.log(2 * math.pi),
                "does the density integrate to 1 as you have it?",
            ),
            (-wanted, "is it log p that is small where the model is good, or -log p?"),
            (D * wanted, "is it a sum over the dimensions, or a mean?"),
            (2 * wanted, "where is the 0.5?"),
        ),
        "which Gaussian is the decoder, and how high is it at x_0?",
    )
    came, should = apart(got, wanted)
    expect(
        near(got, wanted, rtol=1e-6),
        f"T = {given[0].T}: -log of the decoder's density at x_0 is {should} nats per "
        f"dimension on average, your L_0 is {came}: {ask}",
    )


def _divergences(given, long, terms):
    schedule, sigma2, D = given[0], given[-1], given[2].shape[1]
    exact, distance, errors = long
    low = float(terms[1:].min())
    expect(
        low > -1e-12,
        f"terms 2 to T are divergences and not negative, one of yours is {low:.3g}: what "
        "should a term be when both Gaussians are the same?",
    )
    k = int((terms - exact)[1:].abs().argmax()) + 1
    q, p = float(schedule.posterior_variance[k + 1]), float(sigma2[k + 1])
    m2, wanted, got = float(distance[k]), float(exact[k]), float(terms[k])

    def kl(q, p, by):
        return 0.5 * (q / p - 1 - math.log(q / p) + m2 / by)

    ask = reason(
        got,
        (
            (kl(p, q, q), "which of the two Gaussians draws the x over which KL averages?"),
            (m2 / (2 * p), "what does it cost that the two variances differ?"),
            (m2 / (2 * q), "is sigma2 used?"),
            (kl(q, p, q), "which variance makes an error of the mean dear?"),
            (kl(q, p**2, p**2), "are the entries of sigma2 variances or deviations?"),
            (kl(q, p**0.5, p**0.5), "are the entries of sigma2 variances or deviations?"),
            (m2, "is a squared error in nats?"),
            (float(errors[k]), "that is the error of the noise; what does it weigh here?"),
            (D * wanted, "is it a sum over the dimensions, or a mean?"),
            (2 * wanted, "where is the 0.5?"),
            *((float(exact[i]), f"is it that of t = {i + 1}?") for i in range(len(exact))),
        ),
        "does KL run from the posterior given x_0 to the model's Gaussian, with the mean "
        "and the variance of each in its place?",
    )
    came, should = apart(got, wanted)
    expect(
        near(terms, exact, rtol=1e-6, atol=1e-9),
        f"T = {schedule.T}, the term of t = {k + 1} is {should} nats per dimension by a "
        f"longer way, {came} by yours: {ask}",
    )


def _whole_bound(given, prior, terms, total):
    r"""The total is the sum, and bounds what the data's own law gives."""
    schedule, v, x_0 = given[:3]
    should, summed = prior + float(terms.sum()), float(terms.sum())
    exact = 0.5 * float((x_0.square() / v).mean() + math.log(2 * math.pi * v))
    came, said = apart(total, should)
    ask = reason(
        total,
        (
            (summed, "is the end of the chain free?"),
            (should / (schedule.T + 1), "is a bound the sum of its terms, or their mean?"),
            (
                prior + summed / schedule.T,
                "is a bound the sum of its terms, or their mean?",
            ),
        ),
        "what has been left out?",
    )
    below = " That is no bound: the exact -log p is {:.4f}." if total < exact else ""
    expect(
        near(total, should, 1e-9),
        f"T = {schedule.T}: the total should be prior and all steps together, {said}; "
        f"yours is {came}.{below.format(exact)} {ask[0].upper()}{ask[1:]}",
    )


def _each_term_has_its_own(answer, v, D, seed):
    r"""Each entry of sigma2 and row of the noise moves one term, and all are right."""
    T = whole(5, 8, 515, seed)
    schedule = Schedule.from_beta(0.05 + 0.5 * uniform((T,), 51, seed).sort().values)
    sigma2 = 0.1 + uniform((T + 1,), 52, seed)
    x_0, noise = _draws(v, T, D, seed)
    x_0, noise = x_0[:50], noise[:, :50]
    steps = _asked_for(answer, schedule, v, x_0, noise, sigma2)[1]
    for k in (1, 2, 4, T):
        wider, other = sigma2.clone(), noise.clone()
        wider[k] *= 2
        other[k - 1] = normal((50, D), 53, seed, k)
        for what, moved in (
            (f"entry {k} of sigma2", (x_0, noise, wider)),
            (f"row {k - 1} of the noise", (x_0, other, sigma2)),
        ):
            now = _asked_for(answer, schedule, v, *moved)[1]
            which = [i + 1 for i in range(T) if not near(now[i], steps[i])]
            expect(
                which == [k],
                f"T = {T}: with another {what} the term of t = {k} alone should change, "
                f"yours do at t = {', '.join(map(str, which)) or 'none'}: which belongs to "
                "which step, and is it used?",
            )
    exact = _long_terms((schedule, v, x_0, noise, sigma2))[0]
    k = int((steps - exact).abs().argmax())
    came, should = apart(float(steps[k]), float(exact[k]))
    expect(
        near(steps, exact, rtol=1e-6, atol=1e-9),
        f"with T = {T} and variances drawn at random the term of t = {k + 1} is "
        f"{should} nats per dimension, yours {came}: do mean "
        "and variance of this step's posterior hold for any beta, and does the network "
        "get this step's t?",
    )
    _one_step(answer, v, D, seed)


def _of_a_wrong_network(answer, schedule, v, x_0, noise, sigma2, seed):
    r"""The terms of a network that is not the best one: on its errors all depends."""
    error, share = between(0.1, 0.4, 518, seed), between(0.5, 0.8, 519, seed)
    steps = _asked_for(answer, schedule, v, x_0, noise, sigma2, error, share)[1]
    model = Asked(_oracle(schedule, v, x_0.shape[1]), error, share)
    for t in range(1, schedule.T + 1):
        at = torch.full((len(x_0),), t)
        x_t = q_sample(schedule, x_0, at, noise[t - 1])
        guess = x_0_from_noise(schedule, x_t, at, model(x_t, at))
        mean, variance = q_posterior(schedule, x_0, x_t, at)
        mean_pred, _ = q_posterior(schedule, guess, x_t, at)
        if t == 1:
            square = (x_0 - mean_pred).square().mean() / sigma2[1]
            wanted = 0.5 * float(square + (2 * math.pi * sigma2[1]).log())
        else:
            wide = sigma2[t].expand_as(mean)
            wanted = float(gaussian_kl(mean, variance, mean_pred, wide).mean())
        came, should = apart(float(steps[t - 1]), wanted)
        expect(
            near(steps[t - 1], wanted, rtol=1e-6, atol=1e-9),
            f"T = {schedule.T}, a network that says {share:.3g} times the best guess of "
            f"the noise and {error:.3g} more: its term of t = {t} is {should} nats per "
            f"dimension, {came} by yours: is its error measured, or taken for that of the "
            "best network?",
        )


def _one_step(answer, v, D, seed):
    r"""A chain of one step has the prior and the decoder, and no divergence."""
    schedule = Schedule.from_beta([between(0.3, 0.8, 516, seed)])
    given = schedule, v, *_draws(v, 1, D, seed), 0.1 + uniform((2,), 517, seed)
    terms, exact = _asked_for(answer, *given)[1], _long_terms(given)[0]
    came, should = apart(float(terms[0]), float(exact[0]))
    expect(
        near(terms, exact, rtol=1e-6),
        f"a chain of T = 1 step has a decoder, whose term is {should} nats per dimension, "
        f"and yours is {came}: which of your terms need a second step?",
    )
