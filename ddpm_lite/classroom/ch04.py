r"""Checks of chapter 04, the objective.

Divergences and bounds are compared with integrals, with sums over draws, and with data
whose likelihood is known; what a formula must keep whatever way it was written comes
first.
"""

import math

import torch

from ..loss import gaussian_kl, vlb_terms
from ..oracle import GaussianOracle
from ..process import q_posterior, q_sample
from ..schedule import Schedule
from .exercise import (
    exercise,
    expect,
    named,
    near,
    normal,
    number,
    schedules,
    several,
    tensor,
    uniform,
)

ASKED = ("loss.gaussian_kl", "loss.prior_kl", "loss.vlb_terms")


@exercise("04.1", "to_bits", kind="understanding", minutes=15, points=2, lacks=ASKED)
def to_bits(answer, seed):
    for shape in ((1, 8, 8), (3, 32, 24)):
        D = math.prod(shape)
        for levels in (17, 256):
            # Every level equally likely: a density that is flat over all the bins.
            width = 2 / (levels - 1)
            nats = D * math.log(levels * width)
            got = number(answer(nats, shape, levels), "the bits per dimension")
            sure = number(answer(nats - D * math.log(2), shape, levels), "the bits")
            expect(
                near(got - sure, 1),
                "a density that is twice as high in every dimension saves one bit in each, "
                f"with yours it saves {got - sure:.3g}",
            )
            finer = number(answer(nats, shape, 2 * levels - 1), "the bits")
            expect(
                near(finer - got, 1),
                f"bins of half the width cost one bit more in each dimension, with yours "
                f"{finer - got:.3g}",
            )
            expect(
                near(got, math.log2(levels)),
                f"a model that knows nothing needs log2({levels}) = {math.log2(levels):.3f}"
                f" bits for each number of a picture, you say {got:.3f}: how many numbers "
                "has a picture, how wide is a bin of grey levels in [-1, 1], and which "
                "logarithm counts bits?",
            )


def _mixtures(seed):
    r"""Three mixtures of Gaussians: weights, means and variances, as lists."""
    yield [0.5, 0.5], [-1.5, 1.5], [0.3, 0.3]
    yield [0.9, 0.1], [0.0, 3.0], [0.25, 0.04]
    for k in range(2):
        weights = uniform((3,), 41, seed, k) + 0.1
        variances = (0.05 + uniform((3,), 43, seed, k)).tolist()
        yield (
            (weights / weights.sum()).tolist(),
            normal((3,), 42, seed, k).tolist(),
            variances,
        )


@exercise("04.2", "closest", kind="derivation", minutes=20, points=4, lacks=ASKED)
def closest(answer, seed):
    for weights, means, variances in _mixtures(seed):
        got = answer(weights, means, variances)
        mean, variance = several(got, 2, "the mean and the variance of the Gaussian")
        mean, variance = number(mean, "the mean"), number(variance, "the variance")
        expect(variance > 0, f"a variance is positive, yours is {variance:.3g}")
        w, m, v = (
            torch.tensor(x, dtype=torch.float64) for x in (weights, means, variances)
        )
        low, high = float((m - 9 * v.sqrt()).min()), float((m + 9 * v.sqrt()).max())
        x = torch.linspace(low, high, 20_001, dtype=torch.float64)[:, None]
        q = (w * (-((x - m) ** 2) / (2 * v)).exp() / (2 * math.pi * v).sqrt()).sum(1)

        def cost(mean, variance, x=x, q=q):
            r"""E_q[-log p], which is KL(q || p) but for what does not depend on p."""
            nats = (x[:, 0] - mean) ** 2 / (2 * variance) + 0.5 * math.log(variance)
            return float(torch.trapezoid(q * nats, x[:, 0]))

        about = f"for peaks at {', '.join(f'{m:.3g}' for m in means)}"
        here, step = cost(mean, variance), 0.02 * math.sqrt(variance)
        expect(
            here <= min(cost(mean + step, variance), cost(mean - step, variance)),
            f"{about} a mean beside your {mean:.4g} gives a smaller KL(q || p): does each "
            "peak count with its weight?",
        )
        for factor, way in ((1.02, "larger"), (1 / 1.02, "smaller")):
            expect(
                here <= cost(mean, variance * factor),
                f"{about} a {way} variance than your {variance:.4g} gives a smaller "
                "KL(q || p): is it the whole spread of q, inside the peaks and between "
                "them, and is what you return a variance?",
            )
        right = cost(float(w @ m), float(w @ (v + m**2) - (w @ m) ** 2))
        expect(here - right < 1e-9, f"{about} you miss the best KL by {here - right:.2g}")


@exercise("04.3", "x_0_weight", kind="derivation", minutes=25, points=4, lacks=ASKED)
def x_0_weight(answer, seed):
    for schedule in schedules(44, seed):
        T, alpha_bar = schedule.T, schedule.alpha_bar
        for t, s in ((T // 2, T // 2 - 1), (T // 2, T // 3), (T, 1)):
            got = number(answer(alpha_bar, t, s), "the weight")
            expect(
                got > 0,
                f"a divergence is positive, your weight of the step from {t} to {s} is "
                f"{got:.3g}: at which of the two is there more signal?",
            )
            x_0, x_0_pred, x_t = (normal((1,), 45 + i, seed, t) for i in range(3))
            ts = torch.tensor([t]), torch.tensor([s])
            mean, variance = q_posterior(schedule, x_0, x_t, *ts)
            mean_pred, _ = q_posterior(schedule, x_0_pred, x_t, *ts)
            kl = float(gaussian_kl(mean, variance, mean_pred, variance))
            wanted = kl / float((x_0 - x_0_pred).square())
            expect(
                near(got, wanted, rtol=1e-7),
                f"T = {T}, from t = {t} to s = {s}: the divergence of two posteriors whose "
                f"x_0 differ by 1 is {wanted:.4g} nats, by your weight {got:.4g}, "
                f"{got / wanted:.3g} times as much",
            )
        r, s, t = T // 4, T // 3, T // 2
        legs = number(answer(alpha_bar, t, s), "the weight") + answer(alpha_bar, s, r)
        whole = answer(alpha_bar, t, r)
        expect(
            near(legs, whole, rtol=1e-7),
            f"two steps, {t} to {s} and {s} to {r}, cost {legs:.4g} in all and one step "
            f"over both {whole:.4g}; for one and the same error of x_0 it is equal",
        )


@exercise("04.4", "importance", kind="code", minutes=25, points=4, lacks=ASKED)
def importance(answer, seed):
    for T, K in ((5, 10), (50, 4)):
        size = torch.linspace(-3, 1, T, dtype=torch.float64).exp()[:, None]
        history = size * (0.2 + uniform((T, K), 46, seed, T))
        n = 200_000
        u = (
            torch.arange(n, dtype=torch.float64) + 0.5
        ) / n  # even, so that shares are exact
        t, weight = several(answer(history, u), 2, "t and the weights")
        tensor(t, torch.zeros(n, dtype=torch.int64), "t")
        tensor(weight, torch.zeros(n, dtype=torch.float64), "the weights")
        expect(
            int(t.min()) >= 1 and int(t.max()) <= T,
            f"t runs from 1 to {T}, yours from {int(t.min())} to {int(t.max())}",
        )
        expect(bool((weight > 0).all()), "weights are positive, some of yours are not")
        share = torch.bincount(t, minlength=T + 1)[1:] / n
        wanted = history.square().mean(1).sqrt()
        wanted = wanted / wanted.sum()
        k = int((share / wanted - 1).abs().argmax())
        expect(
            bool(((share - wanted).abs() < 3 / n).all()),
            f"of {n:,} even u a share of {float(share[k]):.4f} is t = {k + 1}, whose "
            f"losses ask for {float(wanted[k]):.4f}: is it the root of the mean square "
            "that shares are proportional to, and do they add up to 1?",
        )
        loss = history.mean(1)
        estimate, truth = float((weight * loss[t - 1]).mean()), float(loss.mean())
        expect(
            abs(estimate / truth - 1) < 1e-3,
            f"with your weights the mean of the losses is {estimate:.4g}, over evenly "
            f"drawn t it is {truth:.4g}: a t that is drawn twice as often must count half "
            "as much, and a t that is drawn as in Algorithm 1 must count 1",
        )
        k = int((weight * wanted[t - 1] * T - 1).abs().argmax())
        drawn, counts = float(wanted[t[k] - 1]) * T, float(weight[k])
        expect(
            abs(drawn * counts - 1) < 1e-5,
            f"t = {int(t[k])} is drawn {drawn:.4g} times as often as in Algorithm 1 and "
            f"counts {counts:.4g}: the mean of these losses comes out right, would it with "
            "any others?",
        )
    mixed = torch.tensor([0.999, 0.0, 0.6], dtype=torch.float64)
    even, _ = several(answer(torch.ones(4, 3, dtype=torch.float64), mixed), 2, "t, weights")
    even = tensor(even, torch.zeros(3, dtype=torch.int64), "t")
    expect(
        near(even, torch.tensor([4, 1, 3])),
        "with equal losses and T = 4, u = (0.999, 0, 0.6) should give t = (4, 1, 3), yours "
        f"is {tuple(even.tolist())}",
    )


class Asked:
    r"""A denoiser that notes the steps that it is asked for."""

    def __init__(self, model, error=0.0):
        self.model, self.error, self.t = model, error, []

    def __call__(self, x_t, t):
        self.t += [int(v) for v in set(t.tolist())]
        return self.model(x_t, t) + self.error


def _draws(v, T, seed):
    r"""x_0 from N(0, v) and noise, without chance in their first two moments."""
    z, noise = normal((400, 2), 47, seed), normal((T, 400, 2), 48, seed)
    z = z - z.mean(0)
    z = z / z.square().mean(0).sqrt()
    noise = noise - noise.mean(1, keepdim=True)
    noise = noise - (noise * z).mean(1, keepdim=True) * z
    return math.sqrt(v) * z, noise / noise.square().mean(1, keepdim=True).sqrt()


def _asked_for(answer, schedule, v, x_0, noise, sigma2, error=0.0):
    r"""An answer's prior, steps and total on data N(0, v), and the t that it asked for."""
    covariance = v * torch.eye(2, dtype=torch.float64)
    oracle = GaussianOracle(schedule, torch.zeros(2, dtype=torch.float64), covariance)
    model = Asked(oracle, error)
    got = answer(model, schedule.alpha_bar, x_0, noise, sigma2)
    got = named(got, "prior", "steps", "total")
    steps = tensor(got["steps"], torch.zeros(schedule.T, dtype=torch.float64), "steps")
    return number(got["prior"], "prior"), steps, number(got["total"], "total"), model.t


@exercise("04.5", "bound", kind="project", minutes=60, points=6, lacks=ASKED, seconds=30)
def bound(answer, seed):
    v, gaps = 0.25, []
    for T in (10, 100):
        schedule = Schedule.from_beta(Schedule.linear().beta[1:][:: 1000 // T] * 500 / T)
        sigma2 = schedule.beta.clone()
        sigma2[1] = schedule.posterior_variance[2]
        x_0, noise = _draws(v, T, seed)
        given = schedule, v, x_0, noise, sigma2
        prior, steps, total, asked = _asked_for(answer, *given)
        exact = 0.5 * float((x_0.square() / v).mean() + math.log(2 * math.pi * v))
        expect(
            sorted(set(asked)) == list(range(1, T + 1)),
            f"the network was asked at {len(set(asked))} different t, the bound has a term "
            f"for each of the {T}",
        )
        a = float(schedule.alpha_bar[T])
        wanted = 0.5 * (a * v + (1 - a) - 1 - math.log(1 - a))
        expect(
            near(prior, wanted, rtol=1e-6),
            f"T = {T}: q(x_T | x_0) is N({math.sqrt(a):.3g} x_0, {1 - a:.3g}), which is "
            f"{wanted:.3g} nats per dimension from N(0, I), your prior term is {prior:.3g}",
        )
        low = float(steps[1:].min())
        expect(
            low > -1e-12,
            f"terms 2 to T are divergences and not negative, one of yours is {low:.3g}",
        )
        expect(
            near(total, prior + float(steps.sum())),
            "the total should be the sum of the prior and all steps",
        )
        expect(
            total > exact - 1e-9,
            f"T = {T}: your bound on -log p is {total:.4f} nats per dimension, below the "
            f"exact {exact:.4f}: no bound can be. Are all terms there, as means over the "
            "dimensions, with the 0.5 and the logarithms?",
        )
        gaps.append(total - exact)
        t, x_t = _some_x_t(schedule, v, seed)
        one = float(_kl_at(schedule, v, x_t, t, sigma2))
        expect(
            abs(float(steps[t - 1]) / one - 1) < 0.15,
            f"T = {T}, the term of t = {t} is {one:.4g} nats per dimension by a longer "
            f"way, {float(steps[t - 1]):.4g} by yours: does KL run from the posterior "
            "given x_0 to the model's Gaussian, with the variances in the right places?",
        )
    expect(
        gaps[1] < 0.6 * gaps[0],
        f"ten times as many steps should bring the bound closer to the exact value; the "
        f"gap goes from {gaps[0]:.4f} to {gaps[1]:.4f}",
    )
    worse = _asked_for(answer, *given, error=0.3)[2]
    expect(
        worse > total + 0.05,
        f"a network whose noise is wrong by 0.3 everywhere should pay for it, your bound "
        f"goes from {total:.4f} to {worse:.4f}",
    )
    _each_term_has_its_own(answer, v, seed)


def _each_term_has_its_own(answer, v, seed):
    r"""Each entry of sigma2 and row of the noise moves one term, and all are right."""
    T = 6
    schedule = Schedule.from_beta(0.05 + 0.5 * uniform((T,), 51, seed).sort().values)
    sigma2 = 0.1 + uniform((T + 1,), 52, seed)
    x_0, noise = _draws(v, T, seed)
    x_0, noise = x_0[:50], noise[:, :50]
    steps = _asked_for(answer, schedule, v, x_0, noise, sigma2)[1]
    for k in (1, 2, 4, T):
        wider, other = sigma2.clone(), noise.clone()
        wider[k] *= 2
        other[k - 1] = normal((50, 2), 53, seed, k)
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

    def variance(x_t, t, s):
        return sigma2[t][:, None]

    oracle = GaussianOracle(schedule, torch.zeros(2).double(), v * torch.eye(2).double())
    exact = vlb_terms(oracle, schedule, x_0, noise, variance=variance).steps.mean(1)[1:]
    k = int((steps - exact).abs().argmax())
    expect(
        near(steps, exact, rtol=1e-6, atol=1e-9),
        f"with T = {T} and variances drawn at random the term of t = {k + 1} is "
        f"{float(exact[k]):.4f} nats per dimension, yours {float(steps[k]):.4f}: do mean "
        "and variance of this step's posterior hold for any beta, and does the network "
        "get this step's t?",
    )


def _some_x_t(schedule, v, seed):
    t, n = schedule.T // 2, 20_000
    x_0, noise = math.sqrt(v) * normal((n,), 49, seed), normal((n,), 50, seed)
    return t, (x_0, q_sample(schedule, x_0, torch.full((n,), t), noise))


def _kl_at(schedule, v, x, t, sigma2):
    r"""The term of one t as a sum over draws, with the exact guess of x_0."""
    x_0, x_t = x
    ts = torch.full((len(x_0),), t)
    a = schedule.alpha_bar[t]
    guess = a.sqrt() * v / (a * v + 1 - a) * x_t
    mean, variance = q_posterior(schedule, x_0, x_t, ts)
    mean_pred, _ = q_posterior(schedule, guess, x_t, ts)
    return gaussian_kl(mean, variance, mean_pred, sigma2[t]).mean()
