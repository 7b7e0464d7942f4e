r"""Checks of chapter 08, sampling.

The denoisers that answers get are exact, so that a chain's mean and deviation are known
before it is drawn; they note what they are asked, so that calls can be counted.
"""

import math
from itertools import combinations, pairwise, product

import torch

from ..oracle import GaussianOracle, MixtureOracle
from ..process import q_posterior, q_sample, x_0_from_noise
from ..schedule import Schedule
from .exercise import (
    article,
    exercise,
    expect,
    near,
    normal,
    number,
    schedules,
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
    "sampling.sampler.sample_path",
    "sampling.solvers.dpmpp_2m_sde_step",
    "seeds.SampleNoise",
    "oracle.Oracle.reverse_variance",
)


class Asked:
    r"""A denoiser that notes what it is asked, and refuses what no network takes."""

    def __init__(self, model):
        self.model, self.x, self.t = model, [], []

    def __call__(self, x_t, t):
        ok = isinstance(x_t, torch.Tensor) and x_t.dtype == torch.float64
        if not (ok and x_t.dim() == 2):
            raise ValueError(f"the model wants x_t (B, D) in float64, it got {_said(x_t)}")
        ok = isinstance(t, torch.Tensor) and t.dtype == torch.int64
        if not ok or t.shape != x_t.shape[:1]:
            raise ValueError(f"the model wants t (B,) in int64, it got {_said(t)}")
        noise_pred = self.model(x_t, t)
        self.x.append(x_t)
        self.t.append(t)
        return noise_pred


def _said(value):
    if isinstance(value, torch.Tensor):
        return f"{article(value)} in {value.dtype}"
    return f"something of type {type(value).__name__}"


def _jump(alpha_bar, t, s):
    r"""Weight of x_0, weight of x_t, small and large variance of the jump from t to s."""
    a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
    large = 1 - a_t / a_s
    of_x_0 = math.sqrt(a_s) * large / (1 - a_t)
    of_x_t = math.sqrt(a_t / a_s) * (1 - a_s) / (1 - a_t)
    return of_x_0, of_x_t, large * (1 - a_s) / (1 - a_t), large


def _gain(alpha_bar, t, v):
    r"""How much E[x_0 | x_t] moves with x_t, for data of variance v."""
    a_t = float(alpha_bar[t])
    return math.sqrt(a_t) * v / (a_t * v + 1 - a_t)


def _ends(alpha_bar, pairs, variances, m, v):
    r"""Mean and deviation at the end of a chain with these variances, for N(m, v)."""
    mean, variance = 0.0, 1.0
    for (t, s), sigma2 in zip(pairs, variances, strict=True):
        of_x_0, of_x_t, _, _ = _jump(alpha_bar, t, s)
        gain = _gain(alpha_bar, t, v)
        guess = m * (1 - gain * math.sqrt(float(alpha_bar[t])))
        A = of_x_0 * gain + of_x_t
        mean, variance = A * mean + of_x_0 * guess, A**2 * variance + sigma2
    return mean, math.sqrt(max(variance, 0.0))


@exercise("08.1", "last_stop", kind="understanding", minutes=10, points=2, lacks=ASKED)
def last_stop(answer, seed):
    for schedule in schedules(81, seed):
        left, T = schedule.one_minus_alpha_bar, schedule.T
        for levels in (17, 5, 256):
            t = number(answer(schedule.alpha_bar, levels), "the last stop")
            expect(t == int(t), f"a stop is a whole number, yours is {t}")
            expect(0 <= t <= T, f"a stop lies in 0..{T}, 0 for none; yours is {t:.0f}")
            t, grey = int(t), 2 / (levels - 1)
            std = math.sqrt(left[t])
            if std > grey:
                variance_fits = float(left[t]) <= grey
                question = (
                    "a grey level is a distance, is what you compare one?"
                    if variance_fits and float(left[t - 1].sqrt()) > grey
                    else "does your noise count all steps from 0 to t, and is entry 0 of "
                    "alpha_bar clean data?"
                )
                expect(
                    False,
                    f"T = {T}, {levels} grey levels: noise from your t = {t} has a "
                    f"deviation of {std / grey:.3g} grey levels. {question[0].upper()}"
                    f"{question[1:]}",
                )
            above = math.sqrt(left[t + 1]) / grey if t < T else math.inf
            expect(
                above > 1,
                f"you say t = {t} of {T} for {levels} grey levels, but at t = {t + 1} the "
                f"noise is still only {above:.4g} of a grey level: how far are two "
                "neighbouring levels apart in [-1, 1], and where do you begin to count?",
            )


PAIRS = ((300, 20), (1000, 900), (500, 499), (40, 10), (2, 1))


@exercise("08.2", "jump_back", kind="code", minutes=20, points=4, lacks=ASKED)
def jump_back(answer, seed):
    for shape, dtype in (((5, 2), torch.float64), ((3, 1, 4, 4), torch.float32)):
        for k, schedule in enumerate(schedules(81, seed)):
            x_t, noise_pred, z = (
                normal(shape, 21 + i, 8, seed, k, dtype=dtype) for i in range(3)
            )
            t = steps(2, schedule.T, shape[0], 24, 8, seed, k)
            for clip in (None, (-1, 1)):
                got = answer(schedule.alpha_bar, x_t, noise_pred, t, t // 2, z, clip)
                tensor(got, x_t, "x_s")
    schedule = Schedule.linear()
    alpha_bar = schedule.alpha_bar
    _takes_steps_of_its_own(answer, alpha_bar, seed)
    _ends_clean(answer, alpha_bar, seed)
    _clips_the_guess(answer, schedule, seed)
    for t, s in PAIRS:
        _keeps_the_law(answer, alpha_bar, t, s)
    _is_exact(answer, schedule, seed)


def _takes_steps_of_its_own(answer, alpha_bar, seed):
    r"""An example's x_s is the same alone and beside others."""
    x_t, noise_pred, z = (normal((5, 3), 31 + i, 8, seed) for i in range(3))
    t, s = torch.tensor(PAIRS).T
    together = tensor(answer(alpha_bar, x_t, noise_pred, t, s, z, None), x_t, "x_s")
    for i in range(5):
        one = slice(i, i + 1)
        given = (x_t[one], noise_pred[one], t[one], s[one], z[one], None)
        alone = tensor(answer(alpha_bar, *given), x_t[one], "x_s")
        expect(
            near(together[one], alone),
            "an example's x_s changes when others with another t and s stand beside it: "
            "does each example get the numbers of its own steps?",
        )


def _ends_clean(answer, alpha_bar, seed):
    r"""At s = 0 the guess comes out: without noise, and whole where it is not clipped."""
    x_t, noise_pred, z = (normal((4, 2), 41 + i, 8, seed) for i in range(3))
    t, s = torch.tensor([1, 50, 100, 300]), torch.zeros(4, dtype=torch.int64)
    drawn = tensor(answer(alpha_bar, x_t, noise_pred, t, s, z, None), x_t, "x_s")
    still = tensor(answer(alpha_bar, x_t, noise_pred, t, s, 0 * z, None), x_t, "x_s")
    moved = float((drawn - still).abs().max())
    expect(
        moved < 1e-9,
        f"in the jump to s = 0 the noise moves your result by up to {moved:.3g}: is there "
        "anything left to draw for somebody who takes the guess of x_0 for true?",
    )
    x_0 = torch.tensor([[3.0, -2.0]], dtype=torch.float64).expand(4, 2).contiguous()
    a = alpha_bar[t][:, None]
    x_t = a.sqrt() * x_0 + (1 - a).sqrt() * z
    got = tensor(answer(alpha_bar, x_t, z, t, s, 0 * z, None), x_t, "x_s")
    expect(
        near(got, x_0, rtol=1e-6),
        f"asked with the true noise of x_0 = (3, -2), clip=None and s = 0, you come to "
        f"({float(got[0, 0]):.3g}, {float(got[0, 1]):.3g}) from t = 1 and to "
        f"({float(got[3, 0]):.3g}, {float(got[3, 1]):.3g}) from t = 300",
    )
    got = tensor(answer(alpha_bar, x_t, z, t, s, 0 * z, (-1, 1)), x_t, "x_s")
    high = float(got.abs().max())
    expect(
        high <= 1 + 1e-9,
        f"with clip=(-1, 1) and s = 0 a result of {high:.3g} comes out: is the guess cut "
        "off before it is used?",
    )


def _clips_the_guess(answer, schedule, seed):
    r"""A guess that needs no clipping is not changed by it, however large x_t is."""
    x_0 = 1.8 * uniform((40, 2), 45, 8, seed) - 0.9
    noise, z = normal((40, 2), 46, 8, seed), normal((40, 2), 47, 8, seed)
    t = torch.tensor([900, 600, 300, 60]).repeat(10)
    x_t = q_sample(schedule, x_0, t, noise)
    given = (schedule.alpha_bar, x_t, noise, t, t * 2 // 3, z)
    free, cut = answer(*given, None), answer(*given, (-1, 1))
    gap = float((tensor(free, x_t, "x_s") - tensor(cut, x_t, "x_s")).abs().max())
    expect(
        gap < 1e-9,
        f"the guess of x_0 lies in [-1, 1] here, and yet clip=(-1, 1) moves x_s by up to "
        f"{gap:.3g}: which of the things that you calculate must lie in that range?",
    )


def _keeps_the_law(answer, alpha_bar, t, s):
    r"""With the true noise, x_s is again x_0 and noise in the shares of Eq. 4."""
    a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
    x_0, noise, z = torch.eye(3, dtype=torch.float64)[:, :, None]  # one of them is 1
    x_t = math.sqrt(a_t) * x_0 + math.sqrt(1 - a_t) * noise
    at_t, at_s = torch.full((3,), t), torch.full((3,), s)
    got = tensor(answer(alpha_bar, x_t, noise, at_t, at_s, z, None), x_t, "x_s")
    of_x_0, of_old, of_new = got.flatten().tolist()
    expect(
        near(of_x_0, math.sqrt(a_s), rtol=1e-3),
        f"from t = {t} to s = {s}, asked with the true noise, your x_s holds "
        f"{of_x_0:.5f} of x_0, where x_s of the forward process holds "
        f"{math.sqrt(a_s):.5f}: is it a jump to s, whatever s is?",
    )
    variance = of_old**2 + of_new**2
    question = (
        "which of the two variances is it that the fresh noise has?"
        if variance > 1 - a_s
        else "what is it that the fresh noise is multiplied by, a variance?"
    )
    expect(
        near(variance, 1 - a_s, rtol=1e-3),
        f"from t = {t} to s = {s}, asked with the true noise, the noise in your x_s has "
        f"variance {variance:.5g}, where that of the forward process has {1 - a_s:.5g}. "
        f"{question[0].upper()}{question[1:]}",
    )
    together = of_old * math.sqrt(1 - a_t) / (1 - a_s)
    expect(
        near(together, math.sqrt(a_t / a_s), rtol=1e-3),
        f"from t = {t} to s = {s}, given x_0, your x_t is {together:.5f} x_s plus what is "
        f"independent of it; in the forward process it is {math.sqrt(a_t / a_s):.5f} x_s",
    )


def _is_exact(answer, schedule, seed):
    r"""Pictures, each with steps of its own, to the digits that float64 has."""
    t, s = torch.tensor(PAIRS).T
    x_t, noise_pred, z = (normal((5, 3, 2, 2), 55 + i, 8, seed) for i in range(3))
    guess = x_0_from_noise(schedule, x_t, t, noise_pred).clamp(-1, 1)
    mean, variance = q_posterior(schedule, guess, x_t, t, s)
    got = answer(schedule.alpha_bar, x_t, noise_pred, t, s, z, (-1, 1))
    off = float((tensor(got, x_t, "x_s") - mean - variance.sqrt() * z).abs().max())
    expect(
        off < 5e-3,
        f"for pictures (5, 3, 2, 2) with clip=(-1, 1) your x_s is off a draw from the "
        f"posterior by up to {off:.3g}, and for points it is not",
    )
    expect(
        off < 1e-9, f"your x_s is right but for {off:.2g}: float64 in, float64 all the way?"
    )


@exercise("08.3", "right_variance", kind="derivation", minutes=20, points=4, lacks=ASKED)
def right_variance(answer, seed):
    for k, schedule in enumerate(schedules(81, seed)):
        alpha_bar, T = schedule.alpha_bar, schedule.T
        pairs = ((T // 3, 0), (T // 2, T // 2 - 1), (T, T * 3 // 4))
        for t, s in pairs:
            _without_a_loss(answer, alpha_bar, t, s)
        for t, s in pairs:
            _on_gaussians(answer, alpha_bar, t, s, seed, k)
        _on_a_mixture(answer, schedule, T // 2, T // 3, seed)


def _without_a_loss(answer, alpha_bar, t, s):
    _, _, small, _ = _jump(alpha_bar, t, s)
    got = number(answer(alpha_bar, t, s, 0.0), "the variance")
    expect(
        near(got, small, rtol=1e-6),
        f"with a loss of 0 the network betrays x_0, and what is left to draw from t = {t} "
        f"to s = {s} has variance {small:.4g}; you say {got:.4g}: is it the posterior of "
        "this jump, and its variance?",
    )


def _on_gaussians(answer, alpha_bar, t, s, seed, k):
    a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
    of_x_0, of_x_t, small, _ = _jump(alpha_bar, t, s)
    for v in (1.0, *(0.02 + 2 * uniform((3,), 50, 8, seed, k, t)).tolist()):
        known = a_t * v + 1 - a_t  # the variance of x_t
        loss = a_t * v / known  # of the exact noise prediction
        got = number(answer(alpha_bar, t, s, loss), "the variance")
        moves = of_x_0 * _gain(alpha_bar, t, v) + of_x_t
        drawn = moves**2 * known + got
        truth = a_s * v + 1 - a_s
        if near(drawn, truth, rtol=1e-6):
            continue
        unscaled = near(got, small + of_x_0**2 * loss, rtol=1e-6)
        question = (
            "the loss is the error of the noise; how large is that of the guess of x_0?"
            if unscaled
            else "what is uncertain in x_0, and how much of that gets into x_s?"
        )
        expect(
            False,
            f"data of variance {v:.3g}, exact network, loss {loss:.4g}: drawn with your "
            f"{got:.4g} from t = {t}, x_{s} has variance {drawn:.5g} in the place of "
            f"{truth:.5g}. {question[0].upper()}{question[1:]}",
        )


def _on_a_mixture(answer, schedule, t, s, seed):
    two = MixtureOracle(schedule, [[-1.0], [0.8]], 0.05, [0.3, 0.7])
    x_0 = torch.where(uniform((500, 1), 51, seed) < 0.3, -1.0, 0.8)
    x_0 = x_0 + math.sqrt(0.05) * normal((500, 1), 52, seed)
    at_t, at_s = torch.full((500,), t), torch.full((500,), s)
    x_t = q_sample(schedule, x_0, at_t, normal((500, 1), 53, seed))
    a_t = float(schedule.alpha_bar[t])
    loss = float(two.x_0_moments(x_t, at_t)[1].mean()) * a_t / (1 - a_t)
    right = float(two.reverse_variance(x_t, at_t, at_s).mean())
    got = number(answer(schedule.alpha_bar, t, s, loss), "the variance")
    expect(
        near(got, right, rtol=1e-6),
        f"for two peaks the law of total variance gives {right:.5g} on average at t = {t}, "
        f"s = {s}; of the loss you make {got:.5g}",
    )


STOPS = [1000, 900, 800, 700, 600, 500, 400, 300, 200, 100, 0]


@exercise("08.4", "seeded_chain", kind="code", minutes=30, points=5, lacks=ASKED)
def seeded_chain(answer, seed):
    schedule = Schedule.linear()
    alpha_bar, m, v = schedule.alpha_bar, 0.7, 0.09
    seeds = steps(1, 2**31, 5, 61, seed).tolist()
    model = Asked(GaussianOracle(schedule, [m, m], v))

    def draw(stops, those):
        model.x, model.t = [], []
        x = answer(model, alpha_bar, stops, those, 2)
        return tensor(x, torch.zeros(len(those), 2, dtype=torch.float64), "x_0")

    stops = [1000, 700, 400, 150, 0]
    x_0 = draw(stops, seeds[:3])
    _asks_in_order(model, stops, 3)
    last = torch.full((3,), stops[-2])
    a = float(alpha_bar[stops[-2]])
    guess = (model.x[-1] - math.sqrt(1 - a) * model.model(model.x[-1], last)) / math.sqrt(a)
    off = float((x_0 - guess).abs().max())
    expect(
        off < 1e-8,
        f"your last x_t and the model's answer to it give a guess of x_0 that differs from "
        f"what you return by up to {off:.3g}: what does line 3 of Algorithm 2 say about "
        "the last step?",
    )
    expect(
        near(draw(stops, seeds[:3]), x_0),
        "the same call twice gives different samples: does all noise come from the seeds?",
    )
    expect(
        not near(x_0[0], x_0[1], rtol=1e-3),
        "two samples with different seeds are the same: does each use its own?",
    )
    other = draw(stops, [seeds[2], seeds[4], seeds[0], seeds[3]])
    expect(
        near(other[2], x_0[0]) and near(other[0], x_0[2]),
        "a sample changes when it is drawn beside others or in another place of the batch: "
        "whose generator do its numbers come from?",
    )
    draw(stops, [seeds[0], seeds[0] + 1, seeds[0] + 2])
    _no_noise_twice(model, alpha_bar)
    _law_of_the_chain(answer, schedule, m, v, seed)


def _asks_in_order(model, stops, B):
    expect(
        len(model.t) == len(stops) - 1,
        f"{len(stops) - 1} jumps of {B} samples are {len(stops) - 1} calls of the model, "
        f"you made {len(model.t)}: is there one call for each jump, for the whole batch?",
    )
    asked = [t.tolist() for t in model.t]
    wanted = [[t] * B for t in stops[:-1]]
    expect(
        asked == wanted,
        f"with stops {stops} the model should be asked at t = {stops[:-1]}, all examples "
        f"alike; yours was asked at {[t[0] for t in asked]}",
    )


def _fresh(model, alpha_bar, k):
    r"""The noise z of jump k, from the states before and after it."""
    t, s = model.t[k], model.t[k + 1]
    of_x_0, of_x_t, small, _ = _jump(alpha_bar, int(t[0]), int(s[0]))
    a = float(alpha_bar[t[0]])
    x_t = model.x[k]
    guess = (x_t - math.sqrt(1 - a) * model.model(x_t, t)) / math.sqrt(a)
    return (model.x[k + 1] - of_x_0 * guess - of_x_t * x_t) / math.sqrt(small)


def _no_noise_twice(model, alpha_bar):
    r"""x_T and every z of every sample are different numbers, for seeds in a row too."""
    drawn = [model.x[0], *(_fresh(model, alpha_bar, k) for k in range(len(model.t) - 1))]
    names = ["x_T", *(f"the noise of jump {k}" for k in range(1, len(drawn)))]
    for (k, before), (n, after) in combinations(list(enumerate(drawn)), 2):
        for i, j in product(range(len(before)), repeat=2):
            same = near(before[i], after[j], rtol=1e-5, atol=1e-5)
            whose = "itself" if i == j else "another one, whose seed is larger or smaller"
            expect(
                not same,
                f"{names[n]} of a sample is {names[k]} of {whose}, once more: when does a "
                "generator begin, and how many numbers come from it?",
            )


def _law_of_the_chain(answer, schedule, m, v, seed):
    r"""Mean, deviation and independence of 8,000 numbers against the exact chain."""
    B, D = 2000, 4
    model = Asked(GaussianOracle(schedule, [m] * D, v))
    seeds = steps(1, 2**31, B, 62, seed).tolist()
    x_0 = answer(model, schedule.alpha_bar, STOPS, seeds, D)
    x_0 = tensor(x_0, torch.zeros(B, D, dtype=torch.float64), "x_0")
    _asks_in_order(model, STOPS, B)
    start = float(model.x[0].std())
    expect(
        abs(start - 1) < 6 / math.sqrt(2 * B * D) and abs(float(model.x[0].mean())) < 0.07,
        f"your x_T has mean {float(model.x[0].mean()):.3g} and deviation {start:.3g} over "
        f"{B * D:,} numbers, where the chain starts from N(0, I)",
    )
    pairs = list(pairwise(STOPS))
    small = [_jump(schedule.alpha_bar, t, s)[2] for t, s in pairs]
    mean, std = _ends(schedule.alpha_bar, pairs, small, m, v)
    got = float(x_0.std())
    question = (
        "which variance has z, and is it that of the jump?"
        if got > std
        else "what is z multiplied by, a variance, and is it that of the jump?"
    )
    expect(
        abs(got / std - 1) < 6 / math.sqrt(2 * B * D),
        f"ten jumps with the small variance and an exact network end with deviation "
        f"{std:.3f} for data of deviation 0.3, yours with {got:.3f}. "
        f"{question[0].upper()}{question[1:]}",
    )
    got = float(x_0.mean())
    expect(
        abs(got - mean) < 6 * std / math.sqrt(B * D),
        f"ten jumps with an exact network end at mean {mean:.3f}, yours at {got:.3f}",
    )
    noises = [model.x[0], *(_fresh(model, schedule.alpha_bar, k) for k in range(9))]
    for k, (before, after) in enumerate(pairwise(noises)):
        common = torch.corrcoef(torch.stack([before.flatten(), after.flatten()]))[0, 1]
        spread = float(after.std())
        expect(
            abs(float(common)) < 6 / math.sqrt(B * D) and abs(spread - 1) < 0.06,
            f"the noise of your jump {k + 1} has deviation {spread:.3f} in units of the "
            f"small one, and a correlation of {float(common):.3f} with the noise before "
            "it: fresh noise has 1 and 0",
        )


TEN = list(pairwise(STOPS))


@exercise(
    "08.5", "calibrate", kind="project", minutes=45, points=5, lacks=ASKED, seconds=40.0
)
def calibrate(answer, seed):
    schedule = Schedule.linear()
    alpha_bar, N, D = schedule.alpha_bar, 4000, 2
    small = [_jump(alpha_bar, t, s)[2] for t, s in TEN]
    weight = [_jump(alpha_bar, t, s)[0] ** 2 for t, s in TEN]
    blown_up = [(1 - float(alpha_bar[t])) / float(alpha_bar[t]) for t, _ in TEN]
    room = [w * b for w, b in zip(weight, blown_up, strict=True)]  # for a loss of 1
    for k, (m, v, bias) in enumerate(
        ((0.7, 0.09, 0.0), (0.0, 1.0, 0.0), (0.2, 0.0, 0.0), (0.7, 0.09, 0.5))
    ):
        exact = GaussianOracle(schedule, [m] * D, v)
        model = Asked(lambda x, t, exact=exact, bias=bias: exact(x, t) + bias)
        x_0 = m + math.sqrt(v) * normal((N, D), 71, seed, k)
        got = answer(model, alpha_bar, x_0, TEN, 100 + seed)
        got = several(got, len(TEN), "a variance for each jump")
        got = [number(g, "a variance") for g in got]
        lowest = min(got)
        expect(lowest >= 0, f"a variance is not negative, one of yours is {lowest:.3g}")
        _asks_about_x_t(model, alpha_bar, m, v)
        losses = [a * v / (a * v + 1 - a) + bias**2 for a in _alphas(alpha_bar)]
        wanted = [sm + r * loss for sm, r, loss in zip(small, room, losses, strict=True)]
        if v == 0.09 and not bias:
            expect(
                got[-1] > 0,
                "the jump to s = 0 has variance 0 in your list: that is right for showing "
                "a mean, but is nothing uncertain in x_0 when x_t is known?",
            )
            _, ends = _ends(alpha_bar, TEN, got, m, v)
            expect(
                abs(ends / 0.3 - 1) < 0.06,
                "data of deviation 0.3, exact network: ten jumps with your variances end "
                f"with deviation {ends:.3f}. With the small variance it is "
                f"{_ends(alpha_bar, TEN, small, m, v)[1]:.3f}; is your error a mean over "
                "all numbers, and is it that of the noise or of the guess?",
            )
        law = f"data N({m}, {v}), network {'off by ' + str(bias) if bias else 'exact'}"
        for (t, s), g, w, sm in zip(TEN, got, wanted, small, strict=True):
            # the squared error of N D normal numbers is known to sqrt(2 / (N D))
            allowed = 6 * math.sqrt(2 / (N * D)) * (w - sm) + 1e-9 * w + 1e-12
            expect(
                abs(g - w) <= allowed,
                f"{law}: from t = {t} to s = {s} you say {g:.5g}, the error of this "
                f"network asks for {w:.5g} ({sm:.5g} is drawn if it makes none)"
                + (": is a network that is off by the same everywhere wrong?" * bool(bias)),
            )


def _alphas(alpha_bar):
    return [float(alpha_bar[t]) for t, _ in TEN]


def _asks_about_x_t(model, alpha_bar, m, v):
    r"""The model was asked at every t, about x_t of the right law."""
    asked = {}
    for x_t, t in zip(model.x, model.t, strict=True):
        for step in t.unique().tolist():
            asked.setdefault(step, []).append(x_t[t == step].flatten())
    missing = [t for t, _ in TEN if t not in asked]
    expect(
        not missing,
        f"the model was never asked at t = {missing}, where jumps begin"
        if asked
        else "the model was never asked: whose error do you measure?",
    )
    for t, _ in TEN:
        x, a = torch.cat(asked[t]), float(alpha_bar[t])
        expect(
            len(x) >= 8000,
            f"at t = {t} the model was asked about {len(x):,} numbers, x_0 has 8,000",
        )
        expect(
            abs(float(x.var()) / (a * v + 1 - a) - 1) < 0.2
            and abs(float(x.mean()) - math.sqrt(a) * m) < 0.15,
            f"at t = {t} you ask the network about x_t with mean {float(x.mean()):.3g} and "
            f"variance {float(x.var()):.3g}; of these x_0 the forward process makes mean "
            f"{math.sqrt(a) * m:.3g} and variance {a * v + 1 - a:.3g}",
        )
