r"""Checks of chapter 03, the reverse process.

Guesses are compared with what they must be on data whose law is known: with gradients of
a density, with posteriors, with weights that add up.
"""

import math

import torch

from ..oracle import DataOracle
from ..process import q_posterior, q_sample, x_0_from_score
from ..schedule import Schedule
from ..seeds import generator_for
from .exercise import (
    apart,
    drawn_schedules,
    exercise,
    expect,
    near,
    normal,
    number,
    reason,
    several,
    steps,
    tensor,
    uniform,
)

ASKED = (
    "process.q_posterior",
    "process.transition",
    "process.x_0_from_score",
    "oracle.Oracle",
    "checks.check_covariance",
    "sampling.solvers.dpmpp_2m_sde_step",  # whose mean is that of 03.2
)


@exercise("03.1", "matters_below", kind="understanding", minutes=15, points=3, lacks=ASKED)
def matters_below(answer, seed):
    tables = [Schedule.linear().alpha_bar, drawn_schedules(60, seed)[0].alpha_bar]
    tables += [_power(seed, k) for k in range(3)]
    shares = (0.55 + 0.38 * uniform((len(tables), 2), 61, seed)).tolist()
    cases = [(a, s) for a, two in zip(tables, shares, strict=True) for s in two]
    told = [_a_step(answer, *case) for case in cases]
    _about_where(cases, told)
    yield 1, "the right place, to within a step"
    for case, t in zip(cases, told, strict=True):
        _just_there(*case, t)
    for alpha_bar in _tie(seed):
        t = _a_step(answer, alpha_bar, 0.5)
        expect(
            t != 3,
            f"T = {len(alpha_bar) - 1}: at t = 2 the small variance is just half of the "
            "large one, and you say t = 3 for a share of 0.5: does at least half not "
            "include half?",
        )
        _just_there(alpha_bar, 0.5, t)
    yield 2, "and just that step"


def _power(*seed):
    r"""A table whose noise grows like a power of t, so that the two variances approach."""
    T, p = int(steps(60, 300, 1, 62, *seed)), 0.8 + 2 * float(uniform((1,), 63, *seed))
    return 1 - 0.999 * (torch.arange(T + 1, dtype=torch.float64) / T) ** p


def _tie(seed):
    r"""A table whose ratio at t = 2 is 0.5 to the last bit, in two ways to compute it."""
    for k in (2 + uniform((12,), 64, seed).argsort()).tolist():
        noise = torch.tensor([0, 1, 2, 3, 4, 4.5], dtype=torch.float64) / 2.0**k
        alpha_bar = 1 - noise.clamp(max=0.99)
        if bool((alpha_bar[1:] >= alpha_bar[:-1]).any()):
            continue
        other = Schedule.from_alpha_bar(alpha_bar[1:]).one_minus_alpha_bar
        if float(other[1] / other[2]) == 0.5:
            yield alpha_bar
            return


def _a_step(answer, alpha_bar, share):
    r"""An answer that must be a step of the chain, as an int."""
    T = len(alpha_bar) - 1
    got = number(answer(alpha_bar, share), "the step")
    expect(got == int(got), f"a step is a whole number, yours is {got}")
    expect(1 <= got <= T, f"a step lies in 1..{T}, yours is {got:.0f}")
    return int(got)


def _small_of_large(alpha_bar):
    r"""The small variance as a share of the large one at t = 1 ... T, and 0 at t = 0."""
    noise = 1 - alpha_bar
    return torch.cat([noise[:1], noise[:-1] / noise[1:]])


def _firsts(cases, change):
    r"""The first t of each case at which the changed ratio is at least the share."""
    found = []
    for alpha_bar, share in cases:
        hits = (change(alpha_bar)[1:] >= share).nonzero()
        found.append(int(hits[0]) + 1 if len(hits) else len(alpha_bar) - 1)
    return found


def _signals(alpha_bar):
    return torch.cat([0 * alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])


def _about_where(cases, told):
    right = _firsts(cases, _small_of_large)
    off = [abs(t - r) for t, r in zip(told, right, strict=True)]
    i = max(range(len(off)), key=lambda i: off[i])
    (alpha_bar, share), t = cases[i], told[i]
    ratio = float(_small_of_large(alpha_bar)[t])
    guesses = (
        (lambda a: _small_of_large(a).sqrt(), "is it variances that you compare?"),
        (lambda a: _small_of_large(a).square(), "is there a factor too many?"),
        (_signals, "is it of signals or of noises that the small variance is made?"),
        (lambda a: 1 - a, "is it the noise that you look at, or two variances?"),
        (lambda a: 1 - _small_of_large(a), "which of the two is a share of which?"),
    )
    known = [(_firsts(cases, change), words) for change, words in guesses]
    known.append(([r * 0 + 1 for r in right], "did you look for the first t that does it?"))
    why = reason(told, known, "which alpha_bar stand in the small variance?")
    expect(
        off[i] <= 1,
        f"T = {len(alpha_bar) - 1}: at your t = {t} the small variance is {ratio:.4f} of "
        f"the large one, {share:.4f} was asked for: {why}",
    )


def _just_there(alpha_bar, share, t):
    T, ratio = len(alpha_bar) - 1, _small_of_large(alpha_bar)
    said, asked = apart(float(ratio[t]), share)
    expect(
        float(ratio[t]) >= share,
        f"T = {T}: at your t = {t} the small variance is only {said} of the large one, "
        f"{asked} was asked for; that is one step early: at which t do your numbers begin?",
    )
    said, asked = apart(float(ratio[t - 1]), share)
    expect(
        float(ratio[t - 1]) < share,
        f"T = {T}: you say t = {t}, but the share of {asked} is reached one step earlier, "
        f"where it is {said}: at which t do your numbers begin?",
    )


@exercise("03.2", "mean_from_score", kind="derivation", minutes=20, points=4, lacks=ASKED)
def mean_from_score(answer, seed):
    cases = []
    for k, schedule in enumerate((Schedule.linear(), *drawn_schedules(65, seed))):
        n = int(steps(2, 5, 1, 66, seed, k))
        for shape in ((n, n), (7 - n, 3), (1, n)):  # a wrong axis goes unseen in a square
            x_t, score = (normal(shape, 67 + i, seed, k) for i in range(2))
            spaced = uniform((shape[0],), 69, seed, k).argsort() * (schedule.T // shape[0])
            cases.append((schedule, x_t, spaced + (1 if k == 2 else 2), score))
    for case in cases:
        _flat(answer, *case)
    yield 2, "where the density is flat"
    for case in cases:
        _uphill(answer, *case)
    yield 2, "and where it is not"


def _flat(answer, schedule, x_t, t, score):
    a, alpha = (table[t] for table in (schedule.alpha_bar, schedule.alpha))
    still = tensor(answer(schedule.alpha_bar, x_t, t, 0 * score), x_t, "the mean")
    right = alpha[:, None] ** -0.5 * x_t
    guesses = (
        (alpha[:1, None] ** -0.5 * x_t, "has each example a t of its own?"),
        (
            a[:, None] ** -0.5 * x_t,
            "which of alpha and alpha_bar belongs to a single step?",
        ),
        (x_t / alpha[:, None], "is alpha a factor of a point, or of its variance?"),
        (x_t, "what did the step forward do to a point, besides noise?"),
        (alpha[:, None] ** 0.5 * x_t, "does the step back shrink or stretch?"),
        (schedule.alpha[t - 1][:, None] ** -0.5 * x_t, "which step led to x_t?"),
    )
    why = reason(still, guesses, "which of alpha and alpha_bar belongs to a single step?")
    if x_t.shape[0] == x_t.shape[1] and near(still, alpha**-0.5 * x_t, rtol=1e-7):
        why = "does factor i meet example i, or number i of every example?"
    i = int((still - right).abs().amax(1).argmax())
    factor = float((still[i] * x_t[i]).sum() / x_t[i].square().sum())
    said, undone = apart(factor, float(alpha[i] ** -0.5), digits=5)
    expect(
        near(still, right, rtol=1e-7),
        "where the density is flat the score is 0, and the step back only undoes the "
        f"step's shrinking: at t = {int(t[i])} of {schedule.T} by a factor of {undone}, "
        f"yours is {said} on average: {why}",
    )


def _uphill(answer, schedule, x_t, t, score):
    mean = tensor(answer(schedule.alpha_bar, x_t, t, score), x_t, "the mean")
    moved = mean - schedule.alpha[t][:, None] ** -0.5 * x_t
    x_0 = x_0_from_score(schedule, x_t, t, score)
    right, _ = q_posterior(schedule, x_0, x_t, t)
    far = ((moved * score).sum(1) / score.square().sum(1))[:, None]
    alpha, noise = schedule.alpha[t][:, None], schedule.one_minus_alpha_bar[t][:, None]
    beta, root = 1 - alpha, alpha**0.5
    expect(
        not near(far, 0 * far, atol=1e-7),
        "your mean is the same whatever the score is: where are data denser?",
    )
    uphill = beta / root
    guesses = (
        (-uphill / noise**0.5, "what of the noise's factor is left when you insert?"),
        (uphill / noise**0.5, "what of the noise's factor is left when you insert?"),
        (-uphill, "does the score point to where data are denser, or away from it?"),
        (beta, "is the score's part divided by what x_t is divided by?"),
        (
            beta**0.5 / root,
            "is it a variance or a deviation that the score is multiplied by?",
        ),
        (noise / root, "is it one step's noise that is taken back, or all of it?"),
        (uphill / 2, "where does the half come from?"),
        (beta / alpha, "by what is the whole divided, alpha or its root?"),
        (uphill * noise, "with which power does the noise's variance come in?"),
        (alpha / root, "which of alpha and beta is the noise of a step?"),
    )
    why = reason(far, guesses, "what of the noise's factor is left when you insert?")
    ratio = far / uphill
    i = int((ratio - 1).abs().argmax())
    said, _ = apart(float(ratio[i]), 1)
    expect(
        near(mean, right, rtol=1e-7, atol=1e-9),
        f"at t = {int(t[i])} of {schedule.T} the score moves your mean {said} times as far "
        "as it moves the mean of Eq. 7 with the x_0 that belongs to this score: "
        f"{why}",
    )


@exercise("03.3", "who_is_it", kind="code", minutes=25, points=4, lacks=ASKED)
def who_is_it(answer, seed):
    near_by = []
    for k in range(3):
        n, D = int(steps(4, 12, 1, 70, seed, k)), int(steps(2, 4, 1, 71, seed, k))
        a = float(0.3 + 0.4 * uniform((1,), 72, seed, k))
        away = 2.5 * (k == 2)  # no numbers of a picture are like this, those of x_t may be
        near_by.append(_a_picture(n, D, a, away, seed, k))
    told = []
    for case in near_by:
        told.append(_who(answer, *case))
        _odds(told[-1][0], *case)
    yield 2, "the weights"
    for case, (_, count) in zip(near_by, told, strict=True):
        _counts(count, *case)
    yield 1, "the effective number"
    for case in _far(seed):
        weights, count = _who(answer, *case, "also where likelihoods differ by e^1000, ")
        _odds(weights, *case)
        _counts(count, *case)
    yield 1, "numbers that float64 cannot hold"


def _a_picture(n, D, a, away, *seed):
    r"""x_t of one of n pictures at alpha_bar_t = a, `away` from where it should be."""
    data, noise = normal((n, D), 73, *seed), normal((D,), 74, *seed)
    return math.sqrt(a) * data[n // 2] + math.sqrt(1 - a) * noise + away, data, a


def _far(seed):
    r"""Pictures of many numbers; alpha_bar_t near 0 and near 1; an x_t far away."""
    u = uniform((4,), 75, seed).tolist()
    n, D = steps(5, 12, 2, 76, seed).tolist(), steps(40, 80, 2, 77, seed).tolist()
    yield _a_picture(n[0], 3, 1e-7 * 10 ** (2 * u[0]), 0, seed, 10)
    yield _a_picture(n[1], D[0], 1 - 1e-4 * (0.5 + u[1]), 0, seed, 11)
    yield _a_picture(n[0], D[1], 0.4 + 0.2 * u[2], 40 + 20 * u[3], seed, 12)


def _who(answer, x_t, data, a, where=""):
    got = several(answer(x_t, data, a), 2, "the weights and their number")
    like = torch.zeros(len(data), dtype=torch.float64)
    weights = tensor(got[0], like, f"{where}the weights".replace(", the", " the"))
    count = number(got[1], f"{where}the effective number".replace(", the", " the"))
    total = float(weights.sum())
    expect(
        near(total, 1),
        "weights are probabilities, yours add up to {} instead of {}".format(
            *apart(total, 1)
        ),
    )
    return weights, count


def _logs(x_t, data, a, shrunk=None, variance=None):
    r"""The logarithm of each picture's likelihood, up to a constant."""
    shrunk = math.sqrt(a) if shrunk is None else shrunk
    variance = 1 - a if variance is None else variance
    return -(x_t - shrunk * data).square().sum(1) / (2 * variance)


def _odds(weights, x_t, data, a):
    log = _logs(x_t, data, a)
    right = (log - log.logsumexp(0)).exp()
    root, D = math.sqrt(1 - a), data.shape[1]
    guesses = (
        (_logs(x_t, data, a, shrunk=1), "where does picture i lie at step t?"),
        (_logs(x_t, data, a, shrunk=a), "by what is a picture shrunk at step t?"),
        (log * 2, "what stands below the square in a Gaussian?"),
        (_logs(x_t, data, a, variance=root), "is 1 - alpha_bar a variance or a deviation?"),
        (_logs(x_t, data, a, variance=(1 - a) ** 2), "is 1 - alpha_bar a variance?"),
        (_logs(x_t, data, a, variance=a), "how wide is the noise at step t?"),
        (_logs(x_t, data, a, variance=1), "how wide is the noise at step t?"),
        (-log, "is a picture likelier when it is near, or when it is far?"),
        (log / D, "do the squares of all numbers of a picture add up, or their mean?"),
        (0 * log, "does no picture fit better than another?"),
    )
    known = [(guess.softmax(0), words) for guess, words in guesses]
    alone = torch.zeros_like(log)
    alone[log.argmax()] = 1
    known.append((alone, "is it the likeliest that counts, or each as likely as it is?"))
    why = reason(weights, known, "where are the Gaussians around pictures, and how wide?")
    i, j = _most_wrong(weights, right)
    odds = float(weights[i].log() - weights[j].log())
    said, asked = apart(odds, float(log[i] - log[j]))
    expect(
        near(weights, right, atol=1e-9),
        f"alpha_bar_t = {a:.4g}: the log of the odds of pictures {i} and {j} is {said} "
        f"with your weights, {asked} by the two Gaussians around them: {why}",
    )


def _most_wrong(weights, right):
    r"""Two pictures: the one whose weight is most wrong, and the one wrong otherwise.

    As both add up to 1, what some have too much others have too little.
    """
    off = weights - right
    i = int(off.abs().argmax())
    j = int((off * -off[i].sign()).argmax())
    return i, j


def _counts(count, x_t, data, a):
    log = _logs(x_t, data, a).log_softmax(0)
    right = log.exp()
    entropy = float(-(right * log).sum())
    said, asked = apart(count, math.exp(entropy))
    why = reason(
        count,
        (
            (entropy, "is it the entropy that was asked for, or the number?"),
            (entropy / math.log(2), "is it the entropy that was asked for, or the number?"),
            (2**entropy, "is the entropy in nats or in bits?"),
            (math.exp(entropy / math.log(2)), "is the entropy in nats or in bits?"),
            (math.exp(-entropy), "which sign has an entropy?"),
            (float(1 / right.square().sum()), "is it from the entropy that you come?"),
            (float(1 / right.max()), "do only the likeliest count?"),
            (len(log), "do pictures count that are not meant?"),
            (
                math.exp(entropy / len(log)),
                "is the entropy a sum, or a mean, over pictures?",
            ),
        ),
        "how many equal weights have the entropy that yours have?",
    )
    expect(
        near(count, math.exp(entropy), rtol=1e-6),
        f"of {len(log)} pictures, weights of entropy {entropy:.4g} nats count as {asked} "
        f"equal ones, you say {said}: {why}",
    )


@exercise("03.4", "exact_noise", kind="project", minutes=60, points=6, lacks=ASKED)
def exact_noise(answer, seed):
    cases = [(s, _cloud(seed, k), k) for k, s in enumerate(drawn_schedules(78, seed))]
    for schedule, law, k in cases:
        one = (law[0][:1], law[1][:1], torch.ones(1, dtype=torch.float64))
        _end_of_chain(answer, schedule, one, seed, k)
        _one_peak(answer, schedule, one, seed, k)
    yield 2, "one peak alone"
    for schedule, law, k in cases:
        _some_peaks(answer, schedule, law, seed, k)
    yield 2, "several peaks"
    for schedule, law, k in cases:
        _each_its_own(answer, schedule, law, seed)
        _alone(answer, schedule, law, seed, k)
    _no_width(answer, schedule, seed)
    yield 2, "a t for each, and peaks without width"


def _cloud(seed, k):
    r"""A mixture in the plane: means (K, 2), one variance each, weights."""
    K = int(steps(3, 4, 1, 79, seed, k))
    means = 1.5 * normal((K, 2), 37, seed, k)
    variances = 0.05 + 0.4 * uniform((K,), 38, seed, k)
    weights = 0.2 + uniform((K,), 39, seed, k)
    return means, variances, weights / weights.sum()


def _log_density(alpha_bar_t, x, means, variances, weights):
    a = alpha_bar_t
    v = a * variances + 1 - a
    square = (x[:, None] - a**0.5 * means).square().sum(2)
    return (weights.log() - v.log() - square / (2 * v)).logsumexp(1)


def _guesses(answer, schedule, law, t, seed, k):
    r"""x_t, drawn from a law that was diffused to t, and the answer for it."""
    means, variances, weights = law
    n, drawn = 500, generator_for(80, seed, k)
    which = torch.multinomial(weights, n, replacement=True, generator=drawn)
    x_0 = means[which] + variances[which, None].sqrt() * normal((n, 2), 40, seed, k)
    at = torch.full((n,), t)
    x_t = q_sample(schedule, x_0, at, normal((n, 2), 41, seed, k))
    got = tensor(answer(schedule.alpha_bar, x_t, at, *law), x_t, "the predicted noise")
    return x_t, got


def _best(schedule, law, t, x_t):
    r"""The best guess of the noise, from the gradient of the log density."""
    x = x_t.clone().requires_grad_(True)
    log = _log_density(schedule.alpha_bar[t], x, *law)
    (score,) = torch.autograd.grad(log.sum(), x)
    return -schedule.one_minus_alpha_bar[t].sqrt() * score


def _rms(x):
    return float(x.square().mean().sqrt())


def _end_of_chain(answer, schedule, law, seed, k):
    T = schedule.T
    x_t, got = _guesses(answer, schedule, law, T, seed, k)
    slope = float((got * x_t).sum() / x_t.square().sum())
    why = "is it the noise that you return, or x_0?"
    if slope < -0.5:
        why = "is it the noise that you return, or the score?"
    expect(
        0.5 < slope < 2,
        f"at the end of the chain, t = {T}, x_t is almost nothing but noise, and when x_t "
        f"grows by 1 your guess of the noise grows by {slope:.3f}: {why}",
    )


def _some_steps(schedule, seed, k):
    r"""Steps in the middle of the chain and early in it, and the last."""
    early, late = schedule.T // 20, schedule.T // 2
    middle = steps(early + 1, late, 2, 81, seed, k).tolist()
    return *middle, early, schedule.T


def _one_peak(answer, schedule, one, seed, k):
    mean, variance = one[0], one[1]
    for t in _some_steps(schedule, seed, k):
        x_t, got = _guesses(answer, schedule, one, t, seed, k)
        right = _best(schedule, one, t, x_t)
        a = float(schedule.alpha_bar[t])
        noise, v = 1 - a, a * variance + 1 - a
        apart_ = x_t - a**0.5 * mean
        guesses = (
            (right * v**0.5, "is v a variance or a deviation?"),
            (right * noise**-0.5, "is it the score or the noise that you return?"),
            (-right, "in which direction does noise move x_t?"),
            (
                apart_ / noise**0.5,
                "how far does x_t pull the guess of x_0 away from the mean?",
            ),
            (noise**0.5 * x_t / v, "where is the mean of the peak at step t?"),
            (noise**0.5 * (x_t - mean) / v, "where is the mean of the peak at step t?"),
            (noise**0.5 * apart_ / (variance + noise), "how wide is the peak at step t?"),
            ((x_t - a**0.5 * mean) / v**0.5, "is it noise alone that moves x_t?"),
        )
        why = reason(
            got,
            guesses,
            "what are mean and variance of x_t then, and how far does x_t pull the guess "
            "of x_0 away from the peak's mean?",
        )
        off = _rms(got - right)
        expect(
            off < 1e-5,
            f"with one peak alone, at t = {t} of {schedule.T}, your guess is {off:.2g} "
            f"away (root mean square) from what the gradient of the log density says"
            f": {why}",
        )


def _some_peaks(answer, schedule, law, seed, k):
    for t in _some_steps(schedule, seed, k):
        x_t, got = _guesses(answer, schedule, law, t, seed, k)
        off = _rms(got - _best(schedule, law, t, x_t))
        why = reason(
            got, _mixtures(schedule, law, t, x_t), "how likely is each peak for this x_t?"
        )
        expect(
            off < 1e-5,
            "with one peak alone your guess is right; with "
            f"{len(law[2])}, at t = {t} of {schedule.T}, it is {off:.2g} away (root mean "
            f"square) from what the gradient of the log density says: {why}",
        )


def _mixtures(schedule, law, t, x_t):
    r"""What typical mistakes with the peaks' probabilities give at t, with their words."""
    means, variances, weights = law
    a = float(schedule.alpha_bar[t])
    v = a * variances + 1 - a
    apart_ = x_t[:, None] - a**0.5 * means
    square = apart_.square().sum(2)
    guess = (1 - a) ** 0.5 * apart_ / v[:, None]  # of the noise, if it was peak k
    right = weights.log() - v.log() - square / (2 * v)
    line = weights.log() - v.log() / 2 - square / (2 * v)
    alone = torch.nn.functional.one_hot(right.argmax(1), len(weights)).double()
    for likely, words in (
        (alone, "do the other peaks not count at all?"),
        (weights.expand_as(right), "does it say nothing about the peak where x_t lies?"),
        ((-v.log() - square / (2 * v)).softmax(1), "are all peaks equally heavy?"),
        ((weights.log() - square / (2 * v)).softmax(1), "how high is a wide peak?"),
        (line.softmax(1), "how high is a wide peak in the plane?"),
        (
            (weights.log() - square / (2 * (1 - a))).softmax(1),
            "how wide is each peak at step t?",
        ),
        ((right + square / (4 * v)).softmax(1), "what stands below a Gaussian's square?"),
        ((right - square / (2 * v)).softmax(1), "what stands below a Gaussian's square?"),
    ):
        yield (likely[:, :, None] * guess).sum(1), words


def _each_its_own(answer, schedule, law, seed):
    r"""As many points as there are peaks, where a wrong axis goes unseen."""
    n = len(law[2])
    x_0, noise = (normal((n, 2), 42 + i, seed, schedule.T) for i in range(2))
    at = uniform((n,), 44, seed, schedule.T).argsort() * (schedule.T // n) + 1
    x_t = q_sample(schedule, x_0, at, noise)
    both = tensor(answer(schedule.alpha_bar, x_t, at, *law), x_t, "the predicted noise")
    for i in range(n):
        right = _best(schedule, law, int(at[i]), x_t[i : i + 1])[0]
        off = float((right - both[i]).abs().max())
        expect(
            off < 1e-5,
            f"where examples have t = {at.tolist()}, the guess for t = {int(at[i])} is "
            f"{off:.2g} away from what it is where all have this t: has each example a "
            "t of its own?",
        )


def _alone(answer, schedule, law, seed, k):
    r"""A batch of one point."""
    t = steps(schedule.T // 10, schedule.T, 1, 86, seed, k)
    x_t = normal((1, 2), 87, seed, k)
    got = tensor(answer(schedule.alpha_bar, x_t, t, *law), x_t, "the predicted noise")
    off = float((got - _best(schedule, law, int(t), x_t)).abs().max())
    expect(
        off < 1e-5,
        f"for a batch of one point, at t = {int(t)}, the guess is {off:.2g} away from what "
        "the gradient of the log density says: is an axis of length 1 an axis?",
    )


def _no_width(answer, schedule, seed):
    n = int(steps(3, 6, 1, 82, seed))
    data, even = normal((n, 2), 83, seed), torch.full((n,), 1 / n, dtype=torch.float64)
    t = steps(1, schedule.T, 5, 84, seed)
    x_t = q_sample(schedule, data[:1].expand(5, 2), t, normal((5, 2), 85, seed))
    got = answer(schedule.alpha_bar, x_t, t, data, 0 * even, even)
    right = DataOracle(schedule, data)(x_t, t)
    off = float((tensor(got, x_t, "the predicted noise") - right).abs().max())
    expect(
        off < 1e-5,
        f"{n} peaks without width, of variance 0, are a training set of {n} points; there "
        f"your guess is {off:.2g} away from the training set's denoiser of section 7",
    )
