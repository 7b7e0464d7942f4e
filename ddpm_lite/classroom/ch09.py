r"""Checks of chapter 09, fewer steps.

Where a path is followed, the denoiser is exact and the end of the path is known, so that
errors and their order can be measured; the denoisers note at which sigma they were asked.
"""

import math
from itertools import combinations, pairwise

import torch

from ..process import q_posterior, x_0_from_noise
from ..sampling.spacing import timestep_pairs
from ..schedule import Schedule
from .exercise import (
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
    beta = 1e-4 + 0.05 * uniform((300,), 91, seed).sort().values
    n = 2000
    for k, schedule in enumerate(
        (Schedule.linear(), Schedule.cosine(400), Schedule.from_beta(beta))
    ):
        alpha_bar, T = schedule.alpha_bar, schedule.T
        table = _sigma(alpha_bar)
        for t in (T // 10, T * 2 // 3, *steps(2, T * 9 // 10, 3, 92, seed, k).tolist()):
            between = (table[t] * table[t + 1]).sqrt() ** 0.2 * table[t] ** 0.8
            for sigma in (float(table[t]), float(between)):
                X = normal((n, 2), 93, seed, k, t)  # x_0 of variance 1, and noise
                X = X + sigma * normal((n, 2), 94, seed, k, t)
                got = several(answer(alpha_bar, X, sigma), 2, "the step and the state")
                u = number(got[0], "the step")
                expect(u == int(u), f"a step is a whole number, yours is {u}")
                expect(1 <= u <= T, f"a step lies in 1..{T}, yours is {u:.0f}")
                u = int(u)
                off = (table[1:] / sigma).log().abs()
                expect(
                    float(off[u - 1]) <= 1.1 * float(off.min()) + 1e-9,
                    f"for sigma = {sigma:.4g} you say t = {u} of {T}, where the noise is "
                    f"{float(table[u]):.4g} times the signal, as deviations. There is a "
                    "nearer step: what is sigma the deviation of, next to a signal of "
                    "which size, and is entry 0 of alpha_bar clean data?",
                )
                _has_the_right_size(tensor(got[1], X, "the state"), X, sigma, alpha_bar[u])


def _has_the_right_size(x_t, X, sigma, alpha_bar_t):
    share = float((x_t * X).sum() / X.square().sum())
    expect(
        near(x_t, share * X, rtol=1e-6, atol=1e-6),
        "your state is not a multiple of X: it is the same x_0 and the same noise that a "
        "network of this schedule should find in it",
    )
    variance = float(x_t.var())
    fits = [float(alpha_bar_t.sqrt()), 1 / math.sqrt(1 + sigma**2)]
    expect(
        any(near(share, right, rtol=1e-6) for right in fits),
        f"x_0 of variance 1 with sigma = {sigma:.4g} gives you a state of variance "
        f"{variance:.4g}. The network has seen such data in states of variance 1: how "
        "much of x_0 is there in a state of the schedule?",
    )


@exercise("09.2", "fresh_noise", kind="derivation", minutes=15, points=3, lacks=ASKED)
def fresh_noise(answer, seed):
    for k, schedule in enumerate((Schedule.linear(), Schedule.cosine(200))):
        T = schedule.T
        for t, s in ((T // 2, T // 10), (T, T // 2), (T // 2, T // 2 - 1)):
            a_t, a_s = float(schedule.alpha_bar[t]), float(schedule.alpha_bar[s])
            markov = math.sqrt(a_t / a_s * (1 - a_s) / (1 - a_t))
            small = (1 - a_t / a_s) * (1 - a_s) / (1 - a_t)
            drawn = uniform((2,), 95, seed, k, t, s).tolist()
            for rho in (0.0, 1.0, 0.6, *drawn, markov):
                got = several(
                    answer(schedule.alpha_bar, t, s, rho), 2, "the variance and eta"
                )
                sigma2, eta = number(got[0], "the variance"), number(got[1], "eta")
                jump = f"(from t = {t} to s = {s} of {T}, rho = {rho:.4g})"
                expect(
                    -1e-9 <= sigma2 <= (1 - a_s) * (1 + 1e-9),
                    f"your sigma^2 = {sigma2:.5g} does not fit into the variance "
                    f"{1 - a_s:.5g} of all the noise in x_s {jump}: is it a variance, "
                    "and a share of the noise of which state?",
                )
                kept = max(0.0, 1 - a_s - sigma2)
                has = math.sqrt(kept / (1 - a_s))
                expect(
                    abs(has - rho) < 1e-6,
                    f"with your sigma^2 = {sigma2:.5g} the correlation of x_t and x_s, "
                    f"given x_0, is {has:.5f} {jump}: which share of the noise in x_s is "
                    "that of x_t, as a variance and as a deviation?",
                )
                expect(eta >= 0, f"eta is not negative, yours is {eta:.4g}")
                expect(
                    near(eta**2 * small, sigma2, rtol=1e-6),
                    f"DDIM with your eta = {eta:.5g} draws noise of variance "
                    f"{eta**2 * small:.5g}, your sigma^2 is {sigma2:.5g} {jump}: "
                    "what is eta multiplied with, and what has eta = 1 for its noise?",
                )


PAIRS = ((300, 20), (1000, 900), (500, 499), (40, 10), (2, 1))


@exercise("09.3", "ddim", kind="code", minutes=20, points=4, lacks=ASKED)
def ddim(answer, seed):
    schedule = Schedule.linear()
    alpha_bar = schedule.alpha_bar
    for shape, dtype in (((5, 2), torch.float64), ((3, 1, 4, 4), torch.float32)):
        x_t, noise_pred, z = (normal(shape, 96 + i, seed, dtype=dtype) for i in range(3))
        t = steps(2, 1000, shape[0], 99, seed)
        for eta, clip in ((0.0, None), (1.0, (-1, 1))):
            got = answer(alpha_bar, x_t, noise_pred, t, t // 2, z, eta, clip)
            tensor(got, x_t, "x_s")
    _ddim_ends(answer, alpha_bar, seed)
    for t, s in PAIRS:
        _one_noise_for_the_film(answer, alpha_bar, t, s)
    _is_ancestral(answer, schedule, seed)


def _ddim_ends(answer, alpha_bar, seed):
    r"""With eta = 0 nothing is drawn, and at s = 0 the guess comes out."""
    x_t, noise_pred, z = (normal((4, 2), 101 + i, seed) for i in range(3))
    t, s = torch.tensor([100, 300, 500, 700]), torch.tensor([50, 100, 499, 300])
    drawn = tensor(answer(alpha_bar, x_t, noise_pred, t, s, z, 0.0, None), x_t, "x_s")
    still = tensor(answer(alpha_bar, x_t, noise_pred, t, s, 0 * z, 0.0, None), x_t, "x_s")
    moved = float((drawn - still).abs().max())
    expect(
        moved < 1e-9,
        f"with eta = 0 fresh noise moves your x_s by up to {moved:.3g}: eta = 0 draws none",
    )
    s, a = 0 * s, alpha_bar[t][:, None]
    guess = (x_t - (1 - a).sqrt() * noise_pred) / a.sqrt()
    for eta in (0.0, 1.0):
        got = tensor(answer(alpha_bar, x_t, noise_pred, t, s, z, eta, None), x_t, "x_s")
        off = float(((got - guess) / guess.abs().max()).abs().max())
        expect(
            off < 1e-6,
            f"at s = 0 with eta = {eta:g} your result is off the guess of x_0 by up to "
            f"{100 * off:.3g} %: how much noise, old or fresh, belongs into clean data?",
        )


def _one_noise_for_the_film(answer, alpha_bar, t, s):
    r"""With the true noise: the shares of x_0, of old and of fresh noise in x_s."""
    a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
    x_0, noise, z = torch.eye(3, dtype=torch.float64)[:, :, None]  # one of them is 1
    x_t = math.sqrt(a_t) * x_0 + math.sqrt(1 - a_t) * noise
    at_t, at_s = torch.full((3,), t), torch.full((3,), s)
    fresh = {}
    for eta in (0.0, 1.0, 0.5):
        got = tensor(answer(alpha_bar, x_t, noise, at_t, at_s, z, eta, None), x_t, "x_s")
        of_x_0, old, fresh[eta] = got.flatten().tolist()
        jump = f"from t = {t} to s = {s} with eta = {eta:g}, asked with the true noise,"
        expect(
            near(of_x_0, math.sqrt(a_s), rtol=1e-3),
            f"{jump} your x_s holds {of_x_0:.5f} of x_0, where x_s of the forward process "
            f"holds {math.sqrt(a_s):.5f}: is it a jump to s, whatever s is?",
        )
        variance = old**2 + fresh[eta] ** 2
        question = (
            "what fills the place of the noise that is not drawn?"
            if eta == 0
            else "does what is kept of the old noise leave just the room for the fresh?"
        )
        expect(
            near(variance, 1 - a_s, rtol=1e-3),
            f"{jump} the noise in your x_s has variance {variance:.5g}, where that of the "
            f"forward process has {1 - a_s:.5g}: {question}",
        )
    small = (1 - a_t / a_s) * (1 - a_s) / (1 - a_t)
    expect(
        near(fresh[1.0] ** 2, small, rtol=1e-3),
        f"from t = {t} to s = {s} with eta = 1 your fresh noise has variance "
        f"{fresh[1.0] ** 2:.5g}, in the forward process that of x_s given x_t and x_0 is "
        f"{small:.5g}: which variance does eta = 1 stand for?",
    )
    half = fresh[0.5] / fresh[1.0]
    expect(
        near(half, 0.5, rtol=1e-3),
        f"from t = {t} to s = {s} eta = 0.5 draws noise of {half:.4g} times the deviation "
        "that eta = 1 draws: is it the deviation that eta is a share of?",
    )


def _is_ancestral(answer, schedule, seed):
    r"""eta = 1 is the ancestral step with the small variance, clipped or not."""
    x_t, noise_pred, z = (normal((5, 3, 2, 2), 104 + i, seed) for i in range(3))
    t, s = torch.tensor(PAIRS).T
    guess = x_0_from_noise(schedule, x_t, t, noise_pred)
    for clip in (None, (-1, 1)):
        used = guess if clip is None else guess.clamp(*clip)
        mean, variance = q_posterior(schedule, used, x_t, t, s)
        given = (schedule.alpha_bar, x_t, noise_pred, t, s, z, 1.0, clip)
        got = tensor(answer(*given), x_t, "x_s")
        off = float((got - mean - variance.sqrt() * z).abs().max())
        question = (
            "does each example get the numbers of its own t and s?"
            if clip is None
            else "does the noise that you keep still belong to the guess that you use?"
        )
        expect(
            off < 5e-3,
            f"with eta = 1 and clip={clip} your x_s is off the ancestral step with the "
            f"small variance by up to {off:.3g}: {question}",
        )
        expect(
            off < 1e-9,
            f"your x_s is right but for {off:.2g}: float64 in, float64 all the way?",
        )


@exercise("09.4", "round_trip", kind="derivation", minutes=20, points=4, lacks=ASKED)
def round_trip(answer, seed):
    def factor(v, sigmas):
        return number(answer(v, list(sigmas)), "the factor")

    expect(
        near(factor(0.09, [0.3]), 1),
        "with a single sigma there is no way to go, up or down: the factor is 1",
    )
    walks = [[0.1, 0.4], [0.02, 5.0], [0.05, 0.2, 1.0, 6.0]]
    drawn = uniform((4, 5), 107, seed).mul(8).sub(4).exp().sort(1).values
    for v in (0.09, 1.0, 4.0):
        for sigmas in (*walks, *drawn.tolist()):
            _compare_walk(factor(v, sigmas), v, sigmas)
    v, sigmas = 0.09, drawn[0].tolist()
    parts = factor(v, sigmas[:3]) * factor(v, sigmas[2:])
    expect(
        near(factor(v, sigmas), parts, rtol=1e-6),
        "a way in two parts does not have the product of the factors of its parts",
    )
    lost = [1 - factor(v, _geometric(0.05, 5.0, N)) for N in (100, 200)]
    expect(
        abs(lost[0] / lost[1] - 2) < 0.1,
        f"with 100 steps each way {lost[0]:.4g} is lost, with 200 {lost[1]:.4g}: a method "
        "of first order loses half as much",
    )


def _geometric(low, high, N):
    return [low * (high / low) ** (k / N) for k in range(N + 1)]


def _compare_walk(got, v, sigmas):
    r"""Walk X - m = 1 up and down with the exact slope, and compare."""
    up = down = same = 1.0
    for low, high in pairwise(sigmas):
        slope_low, slope_high = low / (v + low**2), high / (v + high**2)
        up *= 1 + (high - low) * slope_low
        down *= 1 - (high - low) * slope_high
        same *= (1 + (high - low) * slope_low) * (1 - (high - low) * slope_low)
    way = f"(v = {v:g}, sigmas {', '.join(f'{s:.3g}' for s in sigmas)})"
    if near(got, up, rtol=1e-6) or near(got, down, rtol=1e-6):
        expect(
            False, f"your factor {got:.5g} is that of one way, where is the other? {way}"
        )
    if near(got, same, rtol=1e-6):
        expect(
            False,
            f"a walker who asks at the lower end on both ways comes to your {got:.5g} "
            f"{way}: where does he stand when he goes down?",
        )
    expect(
        got < 1,
        f"by your factor {got:.5g} nothing is lost, or the data get wider {way}: does "
        "Euler's step meet the same slope on the way down as on the way up, and which way "
        "does it walk along it?",
    )
    expect(
        near(got, up * down, rtol=1e-6),
        f"X - m = 1 walked up and down with the exact denoiser comes back as "
        f"{up * down:.5g}, you say {got:.5g} {way}: what is the slope of X at each sigma, "
        "and is v a variance or a deviation?",
    )


class Asked:
    r"""The denoiser E[x_0 | X] of N(m, v), or another, which notes where it is asked."""

    def __init__(self, guess):
        self.guess, self.sigmas = guess, []

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
        return self.guess(X, sigma)


def _gaussian(X, sigma, m=0.7, v=0.09):
    return m + v / (v + sigma**2) * (X - m)


def _two_peaks(X, sigma):
    r"""Peaks of variance 0.04 at -1 and 1."""
    variance = 0.04 + sigma**2
    upper = torch.sigmoid(2 * X / variance)
    mean = 2 * upper - 1  # E[the peak | X]
    return mean + 0.04 / variance * (X - mean)


@exercise("09.5", "midpoint", kind="code", minutes=25, points=4, lacks=ASKED)
def midpoint(answer, seed):
    start = 10 * normal((6, 2), 108, seed)
    model = Asked(_gaussian)

    def walk(guess, X, sigmas):
        model.guess, model.sigmas = guess, []
        return tensor(answer(model, X, list(sigmas)), X, "X")

    _asks_half_way(walk, model, start)
    end = walk(lambda X, sigma: torch.full_like(X, 0.4), start, [10.0, 2.0])
    kept = float(((end - 0.4) / (start - 0.4)).mean())
    expect(
        near(end, 0.4 + 0.2 * (start - 0.4), rtol=1e-6),
        "a denoiser that always says 0.4 leads straight to 0.4: from sigma = 10 to 2 the "
        f"distance should shrink to 0.2 of itself, yours shrinks to {kept:.4g}",
    )
    end = walk(_gaussian, start, [3.0, 0.5, 0.0])
    there = walk(_gaussian, start, [3.0, 0.5])
    expect(
        near(end, _gaussian(there, 0.5), rtol=1e-6),
        "the last step, to sigma = 0, should end at what the denoiser says at the sigma "
        "before; yours is off by up to "
        f"{float((end - _gaussian(there, 0.5)).abs().max()):.3g}",
    )
    _measure_order(walk, seed)


def _asks_half_way(walk, model, start):
    for sigmas in ([9.0, 4.0], [10.0, 1.0, 0.1], [10.0, 1.0, 0.1, 0.0]):
        walk(_gaussian, start, sigmas)
        wanted = []
        for high, low in pairwise(sigmas):
            wanted += [high, math.sqrt(high * low)] if low > 0 else [high]
        expect(
            len(model.sigmas) == len(wanted),
            f"through sigma = {sigmas} your chain calls the denoiser {len(model.sigmas)} "
            f"times, two calls a step and one for a step to 0 are {len(wanted)}",
        )
        for k, (asked, right) in enumerate(zip(model.sigmas, wanted, strict=True)):
            expect(
                near(asked, right, rtol=1e-6),
                f"through sigma = {sigmas} your call number {k + 1} is at sigma = "
                f"{asked:.4g}; it should be at {right:.4g}: where does the step begin, "
                "and what is half-way in lambda, not in sigma?",
            )


def _measure_order(walk, seed):
    c = normal((5, 1), 109, seed)
    found = {}
    for N in (20, 40, 80):
        sigmas = _geometric(157.0, 0.05, N)
        X = walk(_gaussian, 0.7 + c * math.sqrt(0.09 + 157.0**2), sigmas)
        exact = 0.7 + c * math.sqrt(0.09 + 0.05**2)
        found[N] = float((X - exact).abs().max())
    _expect_order(found[40] / found[80], "N(0.7, 0.3^2)")
    X = 3 * normal((5, 1), 110, seed)
    ends = [walk(_two_peaks, X, _geometric(3.0, 0.05, N)) for N in (40, 80, 160)]
    gaps = [float((b - a).norm()) for a, b in pairwise(ends)]
    _expect_order(gaps[0] / gaps[1], "two peaks")


def _expect_order(ratio, law):
    expect(
        ratio > 3.2,
        f"on {law} twice as many steps make your error {ratio:.2f} times smaller; a method "
        "of second order makes it about 4 times smaller: from where does your whole step "
        "start, and whose x_0 does it use?",
    )


@exercise("09.6", "best_stops", kind="project", minutes=50, points=5, lacks=ASKED)
def best_stops(answer, seed):
    beta = 0.05 + 0.3 * uniform((11,), 111, seed).sort().values
    small = Schedule.from_beta(beta)
    for v, N in ((0.09, 3), (0.5, 4), (0.01, 5), (0.09, 1)):
        stops = _is_list(answer(small.alpha_bar, v, N), small.T, N)
        between = combinations(range(1, small.T), N - 1)
        best = max(_kept(small, v, [small.T, *c[::-1], 0]) for c in between)
        _as_wide(stops, small, v, N, best, "the best of all lists that there are")
    for T, v, N in ((200, 0.09, 5), (200, 0.01, 10), (120, 0.3, 8)):
        schedule = Schedule.cosine(T)
        stops = _is_list(answer(schedule.alpha_bar, v, N), T, N)
        for spacing in ("trailing", "quadratic"):
            pairs = timestep_pairs(T, N, spacing)
            known = [T, *(s for _, s in pairs)]
            _as_wide(stops, schedule, v, N, _kept(schedule, v, known), spacing)
        best = _longest_way(schedule, v, N)
        _as_wide(stops, schedule, v, N, best, "the best list that there is")


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


def _deviations(schedule, v):
    r"""Factor on X - m of one DDIM jump, (T+1, T+1), entry [t, s]; 0 unless s < t."""
    sigma = _sigma(schedule.alpha_bar)
    t, s = sigma[:, None], sigma[None, :]
    return ((v + s * t) / (v + t**2)).tril(-1)


def _kept(schedule, v, stops):
    r"""Deviation at the end of DDIM on data N(m, v) as a share of that of the data."""
    factor = _deviations(schedule, v)
    share = math.prod(float(factor[t, s]) for t, s in pairwise(stops))
    return share / math.sqrt(v * float(schedule.alpha_bar[-1]))


def _longest_way(schedule, v, N):
    r"""The largest share that a list of N jumps can keep, by dynamic programming."""
    log = _deviations(schedule, v).log()  # minus infinity where there is no jump
    best = log[:, 0]
    for _ in range(N - 1):
        best = (log + best).max(1).values
    return math.exp(float(best[-1])) / math.sqrt(v * float(schedule.alpha_bar[-1]))


def _as_wide(stops, schedule, v, N, best, whose):
    share = _kept(schedule, v, stops)
    shown = f": {stops}" if len(stops) < 8 else ""
    expect(
        share >= best * (1 - 1e-6),
        f"T = {schedule.T}, {N} jumps, data of deviation {math.sqrt(v):.3g}: DDIM through "
        f"your stops ends with {100 * share:.3f} % of that deviation, through {whose} with "
        f"{100 * best:.3f} %{shown}",
    )
