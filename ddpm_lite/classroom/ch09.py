r"""Checks of chapter 09, fewer steps.

Where a path is followed, the denoiser says what the check wants to hear, and notes where it
was asked, so that each part of a step can be weighed by itself. Where a number is wrong, it
is held against the numbers that usual mistakes make, as in chapter 08.
"""

import math
from itertools import combinations, pairwise

import torch

from ..process import q_posterior, q_sample, x_0_from_noise
from ..sampling.spacing import timestep_pairs
from ..schedule import Schedule
from .ch08 import SHAPES, asked_about, drawn_clip, drawn_jumps, drawn_schedule
from .exercise import (
    apart,
    article,
    exercise,
    expect,
    near,
    normal,
    number,
    several,
    steps,
    tensor,
    uniform,
)

ASKED = (
    "process.transition",
    "process.q_posterior",
    "process.reverse_variance",
    "sampling.sampler.ancestral_step",
    "sampling.sampler.ddim_step",
    "sampling.sampler.sample_path",
    "sampling.solvers.dpmpp_2m_step",
    "sampling.solvers.dpmpp_2m_sde_step",
    "sampling.solvers.heun_step",
)


def _sigma(alpha_bar):
    return ((1 - alpha_bar) / alpha_bar).sqrt()


@exercise("09.1", "translate", kind="understanding", minutes=10, points=2, lacks=ASKED)
def translate(answer, seed):
    drawn = [drawn_schedule(kind, 91, seed, kind).alpha_bar for kind in range(3)]
    for k, alpha_bar in enumerate(drawn):
        T, table = len(alpha_bar) - 1, _sigma(alpha_bar)
        for t in steps(T // 4, T - 2, 2, 92, seed, k).tolist():
            low, high = float(table[t]), float(table[t + 1])
            for sigma in (low**0.7 * high**0.3, low**0.3 * high**0.7):
                _names_the_step(answer, alpha_bar, sigma, seed)
        for sigma in _telling_sigmas(alpha_bar, seed, k):
            _names_the_step(answer, alpha_bar, sigma, seed)
        for sigma in (0.7 * float(table[1]), 1.3 * float(table[T])):
            _names_the_step(answer, alpha_bar, sigma, seed)
    yield 1, "the nearest step"
    for k, alpha_bar in enumerate(drawn):
        for sigma in (3 * uniform((3,), 93, seed, k) - 1).exp().tolist():
            _has_the_right_size(answer, alpha_bar, sigma, seed, k)
    yield 1, "and the state in the size of the schedule"


def _translated(answer, alpha_bar, X, sigma):
    r"""A whole step in 1..T, and a state."""
    got = several(answer(alpha_bar, X, sigma), 2, "the step and the state")
    t, T = number(got[0], "the step"), len(alpha_bar) - 1
    expect(t == int(t), f"a step is a whole number, yours is {t}")
    expect(1 <= t <= T, f"a step lies in 1..{T}, yours is {t:.0f}")
    return int(t), got[1]


def _squared(sigma):
    return sigma**2


def _signal(sigma):
    return 1 / (1 + sigma**2)


# Other measures by which a sigma may be near to another one.
MEASURES = (
    lambda sigma: sigma,
    _squared,
    lambda sigma: 1 / sigma,
    lambda sigma: sigma.atan(),
    _signal,
    lambda sigma: _signal(sigma).sqrt(),
    lambda sigma: _signal(sigma).log(),
    lambda sigma: (1 - _signal(sigma)).sqrt(),
    lambda sigma: (1 - _signal(sigma)).log(),
)


def _telling_sigmas(alpha_bar, seed, k):
    r"""Yields a sigma for each other measure by which another step is nearest.

    They lie where the two differ most, of 2,000 that are drawn: never beside a tie.
    """
    table = _sigma(alpha_bar)[1:]
    low, high = float(table[len(table) // 20].log()), float(table[-2].log())
    sigma = (low + (high - low) * uniform((2000,), 921, seed, k)).exp()[:, None]
    off = (table / sigma).log().abs()
    best = off.min(1).values
    others = [(measure(table) - measure(sigma)).abs().argmin(1) for measure in MEASURES]
    taken = ((1 - alpha_bar[1:]).sqrt() - sigma).abs().argmin(1)  # that has its own hint
    for other in others:
        worse = off.gather(1, other[:, None])[:, 0] / best
        worse[other == taken] = 1
        yield float(sigma[worse.argmax()])


def _nearest(distance):
    return int(distance.abs().argmin()) + 1


RATIO = "is it near by the difference, or by the ratio, and of sigma itself?"


def _names_the_step(answer, alpha_bar, sigma, seed):
    t, _ = _translated(answer, alpha_bar, normal((4, 2), 94, seed), sigma)
    T, table = len(alpha_bar) - 1, _sigma(alpha_bar)[1:]
    off = (table / sigma).log()
    right = _nearest(off)
    below = int((table <= sigma).sum())
    if 1 - 1e-9 < float(off[t - 1].abs() / off[right - 1].abs()) < 1 + 1e-9:
        return
    suspects = [
        (
            _nearest((1 - alpha_bar[1:]).sqrt() - sigma),
            "sigma is the deviation of the noise next to a signal of which size?",
        ),
        (_nearest((table**2 / sigma).log()), "is sigma a variance, or a deviation?"),
        *(
            (_nearest(measure(table) - measure(torch.tensor(sigma).double())), RATIO)
            for measure in MEASURES
        ),
        (below + 1, "might the step before, with less noise, be nearer?"),
        (below, "might the next step, with more noise, be nearer?"),
        (right - 1, "which step does entry 0 of alpha_bar belong to?"),
    ]
    question = asked_about(t, suspects, "what is sigma the deviation of?")
    mine, best = apart(float(off[t - 1].abs().exp()), float(off[right - 1].abs().exp()))
    expect(
        False,
        f"for sigma = {sigma:.4g} you say t = {t} of {T}, where the noise is "
        f"{float(table[t - 1]):.4g} times the signal, as deviations: that is off by a "
        f"factor of {mine}, another step by {best}: {question}",
    )


def _has_the_right_size(answer, alpha_bar, sigma, seed, k):
    X = normal((2000, 2), 95, seed, k)  # x_0 of variance 1, and noise
    X = X + sigma * normal((2000, 2), 96, seed, k)
    t, x_t = _translated(answer, alpha_bar, X, sigma)
    x_t, a = tensor(x_t, X, "the state"), float(alpha_bar[t])
    share = float((x_t * X).sum() / X.square().sum())
    expect(
        near(x_t, share * X, rtol=1e-6, atol=1e-6),
        "your state is not a multiple of X: it is the same x_0 and the same noise that a "
        "network of this schedule should find in it",
    )
    suspects = (
        (1.0, "how much of x_0 is there in a state of the schedule?"),
        (a, "is alpha_bar the share of x_0 in a state, or in its variance?"),
        (1 / math.sqrt(a), "which of the two states is the larger one?"),
        (math.sqrt(1 - a), "is it x_0 or the noise whose share you take?"),
    )
    question = asked_about(share, suspects, "how much of x_0 is there in x_t?")
    mine, right = apart(float(x_t.var()), 1)
    fits = (math.sqrt(a), 1 / math.sqrt(1 + sigma**2))
    expect(
        any(near(share, factor, rtol=1e-6) for factor in fits),
        f"x_0 of variance 1 with sigma = {sigma:.4g} gives you a state of variance {mine}. "
        f"The network has seen such data in states of variance {right}: {question}",
    )


@exercise("09.2", "fresh_noise", kind="derivation", minutes=15, points=3, lacks=ASKED)
def fresh_noise(answer, seed):
    jumps = []
    for k in range(3):
        alpha_bar = drawn_schedule(k, 97, seed, k).alpha_bar
        for t, s in drawn_jumps(len(alpha_bar) - 1, 98, seed, k)[:4]:
            jumps.append((answer, alpha_bar, t, s))
    for jump in jumps:
        for rho in (0.0, 1.0):
            _is_correlated(*jump, rho)
    yield 1, "sigma^2 where nothing is remembered, or everything"
    drawn = (0.05 + 0.9 * uniform((len(jumps), 2), 99, seed)).tolist()
    for jump, shares in zip(jumps, drawn, strict=True):
        for rho in shares:
            _is_correlated(*jump, rho)
    yield 1, "and for each correlation between"
    for jump, shares in zip(jumps, drawn, strict=True):
        for share in shares:
            _draws_as_much(*jump, share)
    yield 1, "and the eta that draws as much"


def _both(answer, alpha_bar, t, s, rho):
    got = several(answer(alpha_bar, t, s, rho), 2, "the variance and eta")
    return number(got[0], "the variance"), number(got[1], "eta")


def _is_correlated(answer, alpha_bar, t, s, rho):
    sigma2, _ = _both(answer, alpha_bar, t, s, rho)
    left_t, left_s = 1 - float(alpha_bar[t]), 1 - float(alpha_bar[s])
    fresh = 1 - rho**2
    suspects = (
        (fresh, "of the noise in which state is it a share, and how much is there?"),
        (left_t * fresh, "is it the noise in x_t of which some is fresh, or in x_s?"),
        (math.sqrt(left_s * fresh), "is it a variance, or a deviation?"),
        (left_s * (1 - rho), "is a correlation a share of the variance?"),
        (left_s * math.sqrt(fresh), "what do two shares of a variance add up to?"),
        (left_s * rho**2, "is that the noise that is kept, or the fresh one?"),
    )
    question = asked_about(
        sigma2, suspects, "which share of the noise in x_s is that of x_t, as a variance?"
    )
    jump = f"(from t = {t} to s = {s} of {len(alpha_bar) - 1}, rho = {rho:.4g})"
    mine, most = apart(sigma2, left_s)
    expect(
        -1e-9 <= sigma2 <= left_s * (1 + 1e-9),
        f"your sigma^2 = {mine} does not fit into the variance {most} of all the noise in "
        f"x_s {jump}: {question}",
    )
    has = math.sqrt(max(0.0, 1 - sigma2 / left_s))
    mine, wanted = apart(has, rho)
    expect(
        abs(sigma2 - left_s * fresh) < 1e-9 * left_s,
        f"with your sigma^2 = {sigma2:.5g} the correlation of x_t and x_s, given x_0, is "
        f"{mine} and not {wanted} {jump}: {question}",
    )


def _draws_as_much(answer, alpha_bar, t, s, share):
    r"""eta below 1 and above: rho is drawn on both sides of that of the Markov chain."""
    a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
    markov = math.sqrt(a_t / a_s * (1 - a_s) / (1 - a_t))
    large = 1 - a_t / a_s
    small = large * (1 - a_s) / (1 - a_t)
    for rho in (markov, share * markov, markov + share * (1 - markov)):
        sigma2, eta = _both(answer, alpha_bar, t, s, rho)
        suspects = (
            (sigma2 / small, "what is squared in sigma^2 = eta^2 times a variance?"),
            (math.sqrt(sigma2 / large), "which variance has the noise of eta = 1?"),
            (math.sqrt(sigma2), "what is eta multiplied with?"),
            (math.sqrt(small / sigma2), "which of the two is eta a multiple of?"),
            (1.0, "may eta be larger than 1?"),
        )
        question = asked_about(eta, suspects, "what is eta multiplied with?")
        expect(eta >= 0, f"eta is not negative, yours is {eta:.4g}")
        mine, wanted = apart(eta**2 * small, sigma2)
        expect(
            near(eta**2 * small, sigma2, rtol=1e-6, atol=1e-15),
            f"DDIM with your eta = {eta:.5g} draws noise of variance {mine}, your sigma^2 "
            f"is {wanted} (from t = {t} to s = {s}, rho = {rho:.4g}): {question}",
        )


@exercise("09.3", "ddim", kind="code", minutes=20, points=4, lacks=ASKED)
def ddim(answer, seed):
    drawn = [drawn_schedule(kind, 100, seed, kind) for kind in range(3)]
    for k, schedule in enumerate(drawn):
        _keeps_the_noise(answer, schedule, seed, k)
    yield 1, "with eta = 0 nothing is drawn, and x_s lies on the film"
    for k, schedule in enumerate(drawn):
        _shares_the_noise(answer, schedule, seed, k)
    yield 1, "with any eta the fresh noise has just its room"
    for k, schedule in enumerate(drawn):
        _clips_and_rederives(answer, schedule, drawn_clip(101, seed, k), seed, k)
    yield 1, "clipped, guess and noise still belong together"
    for k, schedule in enumerate(drawn):
        _takes_each_by_itself(answer, schedule, seed, k)
    yield 1, "for any batch, shape and dtype"


def _weighed(answer, alpha_bar, t, s, eta):
    r"""What there is in x_s of x_0, of old and of fresh noise, asked with the true one."""
    a_t = float(alpha_bar[t])
    x_0, noise, z = torch.eye(3, dtype=torch.float64)[:, :, None]  # one of them is 1
    x_t = math.sqrt(a_t) * x_0 + math.sqrt(1 - a_t) * noise
    at_t, at_s = torch.full((3,), t), torch.full((3,), s)
    got = tensor(answer(alpha_bar, x_t, noise, at_t, at_s, z, eta, None), x_t, "x_s")
    of_x_0, old, fresh = got.flatten().tolist()
    a_s = float(alpha_bar[s])
    how = f"from t = {t} to s = {s} with eta = {eta:.4g}, asked with the true noise,"
    question = asked_about(
        of_x_0,
        [(math.sqrt(float(alpha_bar[t - 1])), "is it a jump to s, whatever s is?")],
        "how much of the guess is there in x_s?",
    )
    mine, right = apart(of_x_0, math.sqrt(a_s))
    expect(
        near(of_x_0, math.sqrt(a_s), rtol=1e-3),
        f"{how} your x_s holds {mine} of x_0, where x_s of the forward process holds "
        f"{right}: {question}",
    )
    return old, fresh, how


def _keeps_the_noise(answer, schedule, seed, k):
    r"""With eta = 0 nothing is drawn, and at s = 0 the guess comes out."""
    alpha_bar = schedule.alpha_bar
    for t, s in drawn_jumps(schedule.T, 102, seed, k):
        old, fresh, how = _weighed(answer, alpha_bar, t, s, 0.0)
        expect(
            abs(fresh) < 1e-9,
            f"{how} your x_s holds {fresh:.3g} of the fresh noise: eta = 0 draws none",
        )
        wanted = math.sqrt(1 - float(alpha_bar[s]))
        mine, right = apart(old, wanted)
        expect(
            near(old, wanted, rtol=1e-3),
            f"{how} your x_s holds {mine} of the old noise, where x_s of the forward "
            f"process has noise of deviation {right}: what fills the place of the noise "
            "that is not drawn?",
        )
        for eta in (0.0, 1.0):
            old, fresh, how = _weighed(answer, alpha_bar, t, 0, eta)
            expect(
                abs(old) < 1e-6 and abs(fresh) < 1e-6,
                f"{how} your result holds {old:.3g} of the old noise and {fresh:.3g} of "
                "the fresh one: how much noise, old or fresh, belongs into clean data?",
            )


def _shares_the_noise(answer, schedule, seed, k):
    r"""The shares of old and fresh noise, with eta = 1 and others."""
    alpha_bar = schedule.alpha_bar
    for t, s in drawn_jumps(schedule.T, 103, seed, k):
        a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
        large = 1 - a_t / a_s
        small = large * (1 - a_s) / (1 - a_t)
        drawn = float(0.2 + 0.6 * uniform((1,), 104, seed, k, t))
        for eta in (1.0, drawn):
            old, fresh, how = _weighed(answer, alpha_bar, t, s, eta)
            suspects = (
                (eta**2 * large, "which variance does eta = 1 stand for?"),
                (
                    eta * small,
                    "is it the deviation or the variance that eta is a share of?",
                ),
                (small, "does your noise know eta?"),
                ((eta**2 * small) ** 2, "what is z multiplied by, a variance?"),
                (0.0, "where is the fresh noise?"),
            )
            question = asked_about(fresh**2, suspects, "of which deviation is eta a share?")
            mine, right = apart(fresh**2, eta**2 * small)
            expect(
                near(fresh**2, eta**2 * small, rtol=1e-3),
                f"{how} your fresh noise has variance {mine}; with eta = {eta:.4g} of the "
                f"noise of the forward process it would have {right}: {question}",
            )
            mine, right = apart(old**2 + fresh**2, 1 - a_s)
            expect(
                near(old**2 + fresh**2, 1 - a_s, rtol=1e-3),
                f"{how} the noise in your x_s has variance {mine}, where that of the "
                f"forward process has {right}: does what is kept of the old noise leave "
                "just the room for the fresh?",
            )


def _clips_and_rederives(answer, schedule, clip, seed, k):
    r"""The guess is cut off at both ends, and the noise is that of the guess in use."""
    (low, high), alpha_bar = clip, schedule.alpha_bar
    shown = f"clip=({low:.3f}, {high:.3f})"
    true, z = (normal((40, 2), 105, seed, k, i) for i in range(2))
    t = steps(schedule.T // 3, schedule.T * 9 // 10, 1, 106, seed, k).expand(40)
    x_0 = 2 * normal((40, 2), 107, seed, k)
    x_t = q_sample(schedule, x_0, t, true)
    got = tensor(answer(alpha_bar, x_t, true, t, 0 * t, z, 0.0, clip), x_t, "x_s")
    suspects = (
        (x_0, "is the guess cut off before it is used?"),
        (x_0.clamp(-1, 1), "whose limits are those that you cut at?"),
        (x_0.clamp(max=high), "is it cut off below, too?"),
        (x_0.clamp(min=low), "is it cut off above, too?"),
    )
    question = asked_about(got, suspects, "is it the guess that you cut off?")
    expect(
        near(got, x_0.clamp(low, high), rtol=1e-3, atol=1e-3),
        f"with {shown} and s = 0, results from {float(got.min()):.4f} to "
        f"{float(got.max()):.4f} come out where the guesses go from "
        f"{float(x_0.min()):.4f} to {float(x_0.max()):.4f}: {question}",
    )
    s = t // 2
    got = tensor(answer(alpha_bar, x_t, true, t, s, z, 0.0, clip), x_t, "x_s")
    a_t, a_s = alpha_bar[t][:, None], alpha_bar[s][:, None]
    used = x_0.clamp(low, high)
    noise = (got - a_s.sqrt() * used) / (1 - a_s).sqrt()
    again = a_t.sqrt() * used + (1 - a_t).sqrt() * noise
    off = float((again - x_t).abs().max())
    suspects = (
        (true, "does the noise that you keep still belong to the guess that you use?"),
    )
    question = asked_about(noise, suspects, "which things of yours lie in that range?")
    expect(
        off < 1e-3,
        f"with {shown}, guesses outside of it and eta = 0, the guess and the noise in your "
        f"x_s make an x_t that is off yours by up to {off:.3g}: {question}",
    )


def _takes_each_by_itself(answer, schedule, seed, k):
    r"""Pictures, each with steps of its own, to the digits that float64 has."""
    clip, alpha_bar = drawn_clip(109, seed, k), schedule.alpha_bar
    eta = float(0.2 + 0.6 * uniform((1,), 110, seed, k))
    jumps = [*drawn_jumps(schedule.T, 108, seed, k)[:4], (3, 0)]
    for shape, dtype in SHAPES:
        t, s = torch.tensor(jumps[: shape[0]]).T
        x_t, noise_pred, z = (normal(shape, 111, seed, k, i, dtype=dtype) for i in range(3))
        got = answer(alpha_bar, x_t, noise_pred, t, s, z, eta, clip)
        got = tensor(got, x_t, "x_s").double()
        for i in range(shape[0]):
            one = slice(i, i + 1)
            given = (x_t[one], noise_pred[one], t[one], s[one], z[one], eta, clip)
            alone = tensor(answer(alpha_bar, *given), x_t[one], "x_s")
            expect(
                near(got[one], alone, rtol=1e-4, atol=1e-5),
                "an example's x_s changes when others with another t and s stand beside "
                "it: does each example get the numbers of its own t and s?",
            )
        off = float(
            (got - _ddim(schedule, x_t, noise_pred, t, s, z, eta, clip)).abs().max()
        )
        expect(
            off < 5e-3,
            f"for x_t of shape {shape} in {dtype} with eta = {eta:.3g} and a clip your x_s "
            f"is off by up to {off:.3g}, and for points it is not: along which axes of "
            "such a batch does each example have its own numbers?",
        )
        expect(
            off < 1e-9 or dtype == torch.float32,
            f"your x_s is right but for {off:.2g}: float64 in, float64 all the way?",
        )


def _ddim(schedule, x_t, noise_pred, t, s, z, eta, clip):
    r"""The ancestral draw, moved to where less is drawn: eta = 1 is q_posterior."""
    x_t, noise_pred, z = (value.double() for value in (x_t, noise_pred, z))
    x_0 = x_0_from_noise(schedule, x_t, t, noise_pred).clamp(*clip)
    _, variance = q_posterior(schedule, x_0, x_t, t, s)
    a_t, a_s = (schedule.alpha_bar[i].reshape(variance.shape) for i in (t, s))
    noise = (x_t - a_t.sqrt() * x_0) / (1 - a_t).sqrt()
    kept = (1 - a_s - eta**2 * variance).clamp(min=0).sqrt()
    return a_s.sqrt() * x_0 + kept * noise + eta * variance.sqrt() * z


@exercise("09.4", "round_trip", kind="derivation", minutes=20, points=4, lacks=ASKED)
def round_trip(answer, seed):
    data = [*(0.05 + 0.5 * uniform((3,), 112, seed)), *(2 + 3 * uniform((2,), 113, seed))]
    logs = uniform((5, 2, 2), 114, seed)  # of a lower sigma, and of its ratio to the next
    for v, walks in zip(data, logs.tolist(), strict=True):
        for low, ratio in walks:
            low = math.exp(3 * low - 2)
            _compare_walk(answer, float(v), [low, low * math.exp(0.3 + ratio)])
    yield 2, "one step up and one down"
    drawn = (uniform((5, 6), 115, seed).add(0.2).cumsum(1) - 2.5).exp()
    for v, sigmas in zip(data, drawn.tolist(), strict=True):
        _compare_walk(answer, float(v), sigmas)
        _compare_walk(answer, float(v), sigmas[:3])
        _compare_walk(answer, float(v), sigmas[:1])
    yield 2, "and through any list of stops"


def _walks(v, sigmas):
    r"""Factors of the way up, down, and of steps that ask at the other end."""
    up = down = up_from_above = down_from_below = 1.0
    for low, high in pairwise(sigmas):
        gap, below, above = high - low, low / (v + low**2), high / (v + high**2)
        up, down = up * (1 + gap * below), down * (1 - gap * above)
        up_from_above *= 1 + gap * above
        down_from_below *= 1 - gap * below
    return up, down, up_from_above, down_from_below


def _compare_walk(answer, v, sigmas):
    r"""Walk X - m = 1 up and down with the exact slope, and compare."""
    got = number(answer(v, list(sigmas)), "the factor")
    up, down, up_from_above, down_from_below = _walks(v, sigmas)
    other = _walks(v**2, sigmas)
    whole = _walks(v, [sigmas[0], sigmas[-1]])
    bare = [(h - l, 1 / (v + l**2), 1 / (v + h**2)) for l, h in pairwise(sigmas)]
    suspects = (
        (up, "that is the factor of one way; where is the other?"),
        (down, "that is the factor of one way; where is the other?"),
        (up * down_from_below, "where does a walker stand when he begins to go down?"),
        (up_from_above * down, "where does a walker stand when he begins to go up?"),
        (1.0, "does Euler's step meet the same slope on the way down as on the way up?"),
        (up * up_from_above, "which way does X go along the slope when sigma falls?"),
        (other[0] * other[1], "is v a variance, or a deviation?"),
        (
            math.prod((1 + gap * b) * (1 - gap * a) for gap, b, a in bare),
            "how large is the slope where sigma is small?",
        ),
        (up + down, "two factors, one after the other: what becomes of X - m?"),
        (up - down, "two factors, one after the other: what becomes of X - m?"),
        (up / down, "is the way down undone, or walked?"),
        (whole[0] * whole[1], "does the walker ask at each stop?"),
    )
    question = asked_about(got, suspects, "what is the slope of X at each sigma?")
    mine, right = apart(got, up * down)
    expect(
        near(got, up * down, rtol=1e-6, atol=0),
        f"X - m = 1, walked up and down with the exact denoiser, comes back as {right}, "
        f"you say {mine} (v = {v:.4g}, sigmas {', '.join(f'{s:.3g}' for s in sigmas)}): "
        f"{question}",
    )


class Asked:
    r"""A denoiser that notes where it is asked, and about what."""

    def __init__(self, guess):
        self.guess, self.sigmas, self.X = guess, [], []

    def __call__(self, X, sigma):
        if isinstance(sigma, torch.Tensor) and sigma.numel() == 1:
            sigma = sigma.item()
        if not isinstance(sigma, (int, float)) or isinstance(sigma, bool):
            raise ValueError(f"denoise wants a number for sigma, it got {article(sigma)}")
        if sigma <= 0:
            raise ValueError(f"denoise cannot be asked at sigma = {sigma:g}")
        if not isinstance(X, torch.Tensor) or X.dtype != torch.float64:
            raise ValueError(f"denoise wants X in float64, it got {article(X)}")
        self.sigmas.append(float(sigma))
        self.X.append(X)
        return self.guess(X, sigma)


def _two_peaks(X, sigma, variance=0.04):
    r"""Peaks of this variance at -1 and 1."""
    known = variance + sigma**2
    mean = torch.tanh(X / known)  # E[the peak | X]
    return mean + variance / known * (X - mean)


@exercise("09.5", "midpoint", kind="code", minutes=25, points=4, lacks=ASKED)
def midpoint(answer, seed):
    model = Asked(_two_peaks)

    def walk(X, sigmas, guess=_two_peaks):
        model.guess, model.sigmas, model.X = guess, [], []
        return tensor(answer(model, X, list(sigmas)), X, "X")

    gaps = 0.3 + uniform((3, 4), 116, seed)
    lists = (3 - gaps.cumsum(1)).exp().tolist()
    X = 10 * normal((6, 2), 117, seed)
    for sigmas in (*lists, lists[0][:1], [*lists[1], 0.0]):
        walk(X, sigmas)
        _asks_half_way(model, sigmas)
    yield 1, "the denoiser is asked at the start of a step and half-way"
    for high, _, low, _ in lists:
        _goes_half_way(walk, model, high, low)
    yield 1, "half-way it is asked about where a DDIM step leads"
    for high, _, low, _ in lists:
        _goes_all_the_way(walk, high, low)
    yield 1, "the whole step goes from the start, with the second answer"
    _ends_at_the_guess(walk, model, X, lists[0][0])
    for sigmas in lists:
        _goes_on_from_there(walk, X, [*sigmas, 0.0])
    yield 1, "and so on through all stops, the last one 0"


def _asks_half_way(model, sigmas):
    wanted = []
    for high, low in pairwise(sigmas):
        wanted += [high, math.sqrt(high * low)] if low > 0 else [high]
    shown = f"through sigma = {', '.join(f'{sigma:.4g}' for sigma in sigmas)}"
    expect(
        len(model.sigmas) == len(wanted),
        f"{shown} your chain calls the denoiser {len(model.sigmas)} times, two calls a "
        f"step and one for a step to 0 are {len(wanted)}",
    )
    for k, (asked, right) in enumerate(zip(model.sigmas, wanted, strict=True)):
        high, low = sigmas[k // 2], sigmas[k // 2 + 1]
        suspects = (
            (low, "is it the end of the step where you ask, or the middle?"),
            ((high + low) / 2, "is that half-way in lambda, or in sigma?"),
            (2 * high * low / (high + low), "is that half-way in lambda, or in 1 / sigma?"),
            (high, "is the second question that of the start, once more?"),
        )
        question = asked_about(asked, suspects, "where does the step begin, and end?")
        mine, wanted_here = apart(asked, right)
        expect(
            near(asked, right, rtol=1e-6),
            f"{shown} your call number {k + 1} is at sigma = {mine}; it should be at "
            f"{wanted_here}: {question}",
        )


def _goes_half_way(walk, model, high, low):
    r"""A denoiser that says 0 or 1, whatever X is, shows what X was in the middle."""
    middle = math.sqrt(high * low)
    X, said = torch.eye(2, dtype=torch.float64)[:, :, None]
    walk(X, [high, low], lambda X, sigma: said)
    of_X, of_said = model.X[1].flatten().tolist()
    suspects = (
        (1.0, "has X moved before you ask again?"),
        (low / high, "does the first step go to the middle, or to the end?"),
        (0.5 * (1 + low / high), "is the middle half of the way in sigma?"),
    )
    question = asked_about(of_X, suspects, "what does a DDIM step to the middle do?")
    mine, right = apart(of_X, middle / high)
    expect(
        near(of_X, middle / high, rtol=1e-6),
        f"from sigma = {high:.4g} to {low:.4g}, the second question is about a state that "
        f"holds {mine} of the X of the start; after the first half it holds {right}: "
        f"{question}",
    )
    mine, right = apart(of_said, 1 - middle / high)
    expect(
        near(of_said, 1 - middle / high, rtol=1e-6),
        f"from sigma = {high:.4g} to {low:.4g}, the second question is about a state that "
        f"holds {mine} of the first answer; after the first half it holds {right}",
    )


def _goes_all_the_way(walk, high, low):
    r"""What there is in the end of X, of the first answer and of the second."""
    middle = math.sqrt(high * low)
    X, first, second = torch.eye(3, dtype=torch.float64)[:, :, None]

    def guess(X, sigma):
        return first if near(sigma, high, 1e-6) else second

    got = walk(X, [high, low], guess).flatten()
    of_X, of_first, of_second = got.tolist()
    half, rest = middle / high, low / middle
    slope = (high - low) / middle
    suspects = (
        ([half * rest, 1 - half * rest, 0.0], "what was the second answer for?"),
        (
            [half * rest, (1 - half * rest) / 2, (1 - half * rest) / 2],
            "is it the mean of both answers that the whole step uses?",
        ),
        (
            [half * rest, rest * (1 - half), 1 - rest],
            "from where does your whole step start?",
        ),
        (
            [half**2 * rest, half * rest * (1 - half), 1 - half * rest],
            "from where does your whole step start?",
        ),
        (
            [half * rest, -slope * (1 - half), slope],
            "which of the two stays the same along your whole step, the guess of x_0 or "
            "the noise?",
        ),
    )
    question = [q for weights, q in suspects if near(got, weights, 1e-6, 1e-9)]
    question = [*question, "what does one DDIM step make of X and of the guess?"][0]
    expect(
        near(got, [low / high, 0.0, 1 - low / high], rtol=1e-6, atol=1e-9),
        f"from sigma = {high:.4g} to {low:.4g} your X holds {of_X:.4f} of the X of the "
        f"start, {of_first:.4f} of the first answer and {of_second:.4f} of the second; a "
        f"DDIM step from the start with the second answer alone holds none of the first: "
        f"{question}",
    )


def _ends_at_the_guess(walk, model, X, sigma):
    end = walk(X, [sigma, 0.0])
    said = _two_peaks(X, sigma)
    off = float((end - said).abs().max())
    expect(
        off < 1e-6,
        f"the step from sigma = {sigma:.4g} to 0 should end at what the denoiser says "
        f"there; yours is off by up to {off:.3g}",
    )


def _goes_on_from_there(walk, X, sigmas):
    r"""A way in one call is the way in steps, each from where the one before ended."""
    there = X
    for high, low in pairwise(sigmas):
        there = walk(there, [high, low])
    off = float((walk(X, sigmas) - there).abs().max())
    expect(
        off < 1e-6,
        f"through {len(sigmas) - 1} steps in one call you end elsewhere than step by step, "
        f"by up to {off:.3g}: where does each step begin, and whose answers does the step "
        "use?",
    )


@exercise("09.6", "best_stops", kind="project", minutes=50, points=5, lacks=ASKED)
def best_stops(answer, seed):
    for k in range(4):
        _is_the_best(answer, 2, seed, k)
    yield 2, "one stop between the ends"
    for k, N in enumerate((3, 4, 3, 5)):
        _is_the_best(answer, N, seed, 4 + k)
    T, v = 12 + seed % 5, 0.09
    stops = answer(Schedule.cosine(T).alpha_bar, v, 1)
    _is_list(stops, T, 1)
    yield 2, "the best of all lists of a short chain"
    for k, N in enumerate((6, 9)):
        schedule = drawn_schedule(1 + k, 118, seed, k)
        v = math.exp(-4 + 3 * float(uniform((1,), 119, seed, k)))
        T = schedule.T
        stops = _is_list(answer(schedule.alpha_bar, v, N), T, N)
        for spacing in ("trailing", "quadratic"):
            known = [T, *(s for _, s in timestep_pairs(T, N, spacing))]
            _as_wide(stops, schedule.alpha_bar, v, known, f"{spacing} spacing")
        best = _longest_way(schedule.alpha_bar, v, N)
        _as_wide(stops, schedule.alpha_bar, v, best, "the best list that there is")
    yield 1, "and the best of a long one"


def _is_list(stops, T, N):
    ok = isinstance(stops, (list, tuple))
    expect(ok, f"the stops should be a list of whole numbers, yours is {article(stops)}")
    stops = [number(stop, "a stop") for stop in stops]
    expect(all(stop == int(stop) for stop in stops), f"not all whole numbers: {stops}")
    stops = [int(stop) for stop in stops]
    expect(
        len(stops) == N + 1,
        f"{N} jumps have {N + 1} stops with both ends, yours are {len(stops)}: {stops}",
    )
    expect(
        stops[0] == T and stops[-1] == 0,
        f"the chain goes from T = {T} to 0, yours from {stops[0]} to {stops[-1]}",
    )
    expect(
        all(t > s for t, s in pairwise(stops)),
        f"each stop should be below the one before it: {stops}",
    )
    return stops


def _factors(alpha_bar, v):
    r"""Factor on X - m of one DDIM jump, (T+1, T+1), entry [t, s]; 0 unless s < t."""
    sigma = _sigma(alpha_bar)
    t, s = sigma[:, None], sigma[None, :]
    return ((v + s * t) / (v + t**2)).tril(-1)


def _kept(alpha_bar, v, stops):
    r"""Deviation at the end of DDIM on data N(m, v) as a share of that of the data."""
    factor = _factors(alpha_bar, v)
    share = math.prod(float(factor[t, s]) for t, s in pairwise(stops))
    return share / math.sqrt(v * float(alpha_bar[-1]))


def _longest_way(alpha_bar, v, N):
    r"""The list of N jumps that keeps the largest share, by dynamic programming."""
    log = _factors(alpha_bar, v).log()  # minus infinity where there is no jump
    best, ways = log[:, 0], []
    for _ in range(N - 1):
        best, way = (log + best).max(1)
        ways.append(way)
    stops = [len(alpha_bar) - 1]
    for way in reversed(ways):
        stops.append(int(way[stops[-1]]))
    return [*stops, 0]


def _as_wide(stops, alpha_bar, v, best, whose, question="what is the length of a jump?"):
    T, N = len(alpha_bar) - 1, len(stops) - 1
    share, most = _kept(alpha_bar, v, stops), _kept(alpha_bar, v, best)
    mine, right = apart(100 * share, 100 * most)
    shown = f" ({', '.join(map(str, stops))})" if N < 7 else ""
    expect(
        share >= most * (1 - 1e-6),
        f"T = {T}, {N} jumps, data of deviation {math.sqrt(v):.3g}: DDIM through your "
        f"stops{shown} ends with {mine} % of that deviation, through {whose} with {right} "
        f"%: {question}",
    )


def _is_the_best(answer, N, seed, k):
    r"""Among all lists of N jumps through a short chain, tried one by one."""
    for again in range(1000):
        T, *rest = uniform((14,), 120, seed, k, again).tolist()
        T, v = 9 + int(4 * T), math.exp(-4 + 3 * rest.pop())
        beta = torch.tensor(sorted(rest[:T]), dtype=torch.float64)
        alpha_bar = Schedule.from_beta(0.02 + 0.4 * beta).alpha_bar
        found = _mistaken_lists(alpha_bar, v, N)
        if len({tuple(stops) for stops, _ in found}) == len(found):
            break
    stops = _is_list(answer(alpha_bar, v, N), T, N)
    question = [said for mistake, said in found[1:] if mistake == stops]
    question = [*question, "which way through the graph is the longest?"][0]
    best = found[0][0]
    _as_wide(stops, alpha_bar, v, best, "the best of all lists that there are", question)


def _mistaken_lists(alpha_bar, v, N):
    r"""The best list, and those that usual mistakes choose, each with its question."""
    T, factor = len(alpha_bar) - 1, _factors(alpha_bar, v)
    between = torch.tensor(list(combinations(range(T - 1, 0, -1), N - 1)))
    ends = torch.ones(len(between), 1, dtype=torch.int64)
    lists = torch.cat([T * ends, between, 0 * ends], 1)

    def of_jumps(table):
        return table[lists[:, :-1], lists[:, 1:]]  # (lists, N)

    def chosen(lengths):
        return lists[int(lengths.argmax())].tolist()

    kept = of_jumps(factor).prod(1)
    even = [round(T - k * T / N) for k in range(N + 1)]
    return [
        (chosen(kept), ""),
        (chosen(-kept), "is it the widest end that you look for, or the narrowest?"),
        (
            chosen(of_jumps(factor).sum(1)),
            "what becomes of X - m when one factor comes after another?",
        ),
        (
            chosen(of_jumps(_factors(alpha_bar, v**2)).prod(1)),
            "is v a variance, or a deviation?",
        ),
        (even, "is a rule that knows nothing of v the best for each?"),
        *([(_greedy(alpha_bar, v, N), GREEDY)] if N > 2 else []),
    ]


GREEDY = "is a stop that was best alone still the best beside others?"


def _greedy(alpha_bar, v, N):
    r"""The list that takes one stop after the other, each the best beside those before."""
    stops = [len(alpha_bar) - 1, 0]
    while len(stops) <= N:
        free = set(range(1, stops[0])) - set(stops)
        more = [sorted([*stops, t], reverse=True) for t in sorted(free)]
        stops = max(more, key=lambda those: _kept(alpha_bar, v, those))
    return stops
