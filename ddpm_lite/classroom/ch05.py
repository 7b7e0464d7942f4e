r"""Checks of chapter 05, a first model.

What a network learns is compared with the best that any network could, which is known on
data of known law; the trap doors of the lecture's experiment are measured with samples.
"""

import math

import torch

from ..oracle import MixtureOracle
from ..process import q_sample
from ..schedule import Schedule
from .exercise import exercise, expect, near, normal, number, several, tensor, uniform

ASKED = (
    "schedule.Schedule.prior_gap",
    "training.trainer.Trainer",
    "models.mlp.MLP",
    "oracle.Oracle",
)


@exercise("05.1", "left_over", kind="understanding", minutes=15, points=3, lacks=ASKED)
def left_over(answer, seed):
    random = 1e-4 + 0.03 * uniform((100,), 51, seed)
    lecture = torch.sigmoid(torch.linspace(-6, 6, 100, dtype=torch.float64)) * 0.5e-2 + 1e-5
    for beta in (Schedule.linear().beta[1:], lecture, random):
        signal, nats = several(answer(beta), 2, "the signal and the nats")
        signal, nats = number(signal, "the signal"), number(nats, "the nats")
        x = 1.0
        for b in beta.tolist():
            x *= math.sqrt(1 - b)
        expect(
            near(signal, x, rtol=1e-7),
            f"x_0 = 1 walked through {len(beta)} steps without noise ends at {x:.5f}, you "
            f"say {signal:.5f}: is it the factor on x_0, or its square?",
        )
        # KL of N(x, 1 - x^2) from N(0, 1), by a sum.
        z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
        variance = 1 - x**2
        p = (-((z - x) ** 2) / (2 * variance)).exp() / math.sqrt(2 * math.pi * variance)
        log_ratio = -((z - x) ** 2) / (2 * variance) - 0.5 * math.log(variance) + z**2 / 2
        kl = float(torch.trapezoid(p * log_ratio, z))
        expect(
            near(nats, kl, rtol=1e-4, atol=1e-7),
            f"for x_0 = 1 an integral gives {kl:.4g} nats between the end of the chain and "
            f"N(0, 1), you say {nats:.4g}: in nats, with a half, and with both what the "
            "mean and what the variance costs?",
        )


@exercise("05.2", "last_noise", kind="derivation", minutes=15, points=3, lacks=ASKED)
def last_noise(answer, seed):
    thin, thick = (number(answer(w, 10), "the variance") for w in (0.1, 0.2))
    expect(
        near(thick, 4 * thin),
        "a curve of twice the width bears noise of twice the deviation, which is four "
        f"times the variance; with yours {thick / (thin or 1):.3g} times",
    )
    for width in (0.1, 0.5):
        for percent in (1, 7, 25):
            variance = number(answer(width, percent), "the variance")
            expect(variance > 0, f"a variance is positive, yours is {variance:.3g}")
            across = width * normal((100_000,), 52, seed)
            noise = math.sqrt(variance) * normal((100_000,), 53, seed)
            drawn = float((across + noise).std())
            grown = 100 * (math.sqrt(width**2 + variance) / width - 1)
            expect(
                near(grown, percent, rtol=1e-6),
                f"points that lie {width} around a curve (deviation) and get noise of your "
                f"variance {variance:.4g} lie {drawn:.4f} around it: thicker by "
                f"{grown:.3g} %, {percent} % were asked for. Which of these add up, and "
                "which do not?",
            )


@exercise("05.3", "best_line", kind="code", minutes=25, points=4, lacks=ASKED)
def best_line(answer, seed):
    n = 20_000
    for k, (m, v) in enumerate(((2.0, 0.25), (0.0, 1.0))):
        schedule = Schedule.cosine(100)
        x_0, noise = m + math.sqrt(v) * normal((n,), 54, seed, k), normal((n,), 55, seed, k)
        for t in (20, 60, 90):
            a = float(schedule.alpha_bar[t])
            x_t = q_sample(schedule, x_0, torch.full((n,), t), noise)
            got = several(answer(x_0, noise, schedule.alpha_bar, t), 2, "slope and offset")
            slope, offset = (number(x, "slope or offset") for x in got)
            error = float((slope * x_t + offset - noise).square().mean())
            floor = a * v / (a * v + 1 - a)
            expect(
                error < floor + 0.05,
                f"x_0 ~ N({m:g}, {v:g}), t = {t}: the error of your line as a guess of the "
                f"noise is {error:.3f}, of the best one {floor:.3f}: does it go from x_t "
                "to the noise, at this t, and may it miss the origin?",
            )
            residual = float((slope * x_t + offset - noise).mean())
            expect(
                abs(residual) < 1e-6,
                f"the errors of the best line have the mean 0, of yours {residual:.3g}: "
                "does every example count once?",
            )
            best = math.sqrt(1 - a) / (a * v + 1 - a)
            expect(
                abs(slope - best) < 6 * math.sqrt(floor / n / (a * v + 1 - a)),
                f"x_0 ~ N({m:g}, {v:g}), t = {t}: your slope is {slope:.4f}, fact 3 of "
                f"chapter 01 gives {best:.4f} and {n:,} draws come closer",
            )


def _two_peaks(seed, n):
    x = torch.where(uniform((n,), 56, seed) < 0.5, -1.0, 1.0).double()
    return (x + 0.1 * normal((n,), 57, seed))[:, None].float()


@exercise("05.4", "learn", kind="project", minutes=60, points=6, lacks=ASKED, seconds=60.0)
def learn(answer, seed):
    schedule, n = Schedule.cosine(50), 4000
    alpha_bar = schedule.alpha_bar.float()
    x_0 = _two_peaks(seed, n)
    t = torch.arange(1, 51).repeat(n // 50)
    x_new, noise = _two_peaks(seed + 100, n), normal((n, 1), 58, seed, dtype=torch.float32)
    x_t = q_sample(schedule, x_new, t, noise)
    got = tensor(answer(x_0, alpha_bar, x_t, t, seed), noise, "the predicted noise")
    error = (got - noise).square().mean(1)
    exact = MixtureOracle(schedule, torch.tensor([[-1.0], [1.0]]).double(), 0.01)
    best = exact(x_t.double(), t)
    floor = float((best - noise).square().mean())
    zero, mine = float(noise.square().mean()), float(error.mean())
    expect(
        mine < 0.75 * zero,
        f"on new data your network's squared error is {mine:.3f}, that of 0 as a guess is "
        f"{zero:.3f}, and the best that can be had {floor:.3f}: is it the noise that it "
        "learns to predict, from the x_t that belong to it?",
    )
    over = (got.double() - best).square().mean(1)
    bands = (t <= 15, (t > 15) & (t < 35), t >= 35)
    early, middle, late = (float(over[band].mean()) for band in bands)
    expect(
        middle < max(0.05, early),
        f"for t from 16 to 34, where signal and noise are of like size, your network is "
        f"{middle:.3f} away from the best guess (mean square), for t up to 15 {early:.3f}: "
        "has the x_t that it is trained on the share of x_0 and of noise that x_t has?",
    )
    expect(
        early < 0.12,
        f"for t up to 15 your network is {early:.3f} away from the best guess (mean "
        "square), too far: does it know t, has it been trained at all t, and long enough?",
    )
    expect(
        max(middle, late) < 0.05,
        f"for t from 16 to 34 your network is {middle:.3f} away from the best guess (mean "
        f"square), from 35 on, where x_t is nearly noise, {late:.3f}: does it see x_t "
        "itself, at its full size?",
    )
    again = answer(x_0, alpha_bar, x_t[:100], t[:100], seed)
    expect(
        near(again, got[:100], rtol=1e-4, atol=1e-4),
        "with the same seed another network came out: is everything that is drawn, the "
        "initial weights too, made from the seed?",
    )
