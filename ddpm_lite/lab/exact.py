r"""The laboratory: schedule, sampler and spacing alone, with an exact denoiser.

Where the law of the data is a Gaussian and the denoiser exact, every step of a sampler is
affine in x_t, in the noise, and for a multistep method in the x_0 predicted one step
before. So the law of its samples comes out exactly, without a sample and without a
network: a few probes give the coefficients of each step, by way of the package's own step
function, and mean and variance follow. What is wrong there is never the network's fault.
"""

import math
from dataclasses import dataclass
from functools import partial
from inspect import signature

import torch

from .. import data
from ..checks import check_integer
from ..denoiser import check_denoiser
from ..evaluation.metrics import mean_energy_distance
from ..loss import simple_loss
from ..oracle import DataOracle, GaussianOracle, MixtureOracle
from ..process import predict, prediction_of, q_sample, to_noise, to_x_0
from ..sampling.sampler import ancestral_step, ddim_step, sample
from ..sampling.solvers import SOLVERS, network_calls, start_of, steps_within
from ..sampling.spacing import SPACINGS, timestep_pairs
from ..schedule import Schedule, spread
from ..seeds import generator_for

_PROBE, _DRAW, _LOSS = 300, 301, 302  # keeps random draws apart

STEPS = {
    "ancestral, small": partial(ancestral_step, variance="small"),
    "ancestral, large": partial(ancestral_step, variance="large"),
    "ddim": ddim_step,
    **SOLVERS,
}


# --- data of known law


@dataclass(frozen=True)
class Law:
    r"""Data whose law is known: K equally likely Gaussians of independent dimensions.

    centres, variances: float64 (K, D). K = 1 is a Gaussian; variances of 0 are a finite
    set. Its exact denoiser is an oracle of that kind, see `denoiser`.
    """

    centres: torch.Tensor
    variances: torch.Tensor

    def denoiser(self, schedule):
        r"""The exact denoiser of these data: an oracle."""
        if len(self.centres) == 1:
            return GaussianOracle(schedule, self.centres[0], self.variances[0])
        if not self.variances.any():
            return DataOracle(schedule, self.centres)
        return MixtureOracle(schedule, self.centres, self.variances)

    def draw(self, n, seed=0):
        r"""Draw n examples, float64 (n, D), a function of the seed."""
        generator = generator_for(_DRAW, seed)
        k = torch.randint(len(self.centres), (n,), generator=generator)
        shape = (n, self.centres.shape[1])
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        return self.centres[k] + self.variances[k].sqrt() * noise

    def moments(self):
        r"""The exact mean (D,) and covariance (D, D)."""
        spread = torch.cov(self.centres.T, correction=0).reshape(2 * self.centres.shape[1:])
        return self.centres.mean(0), spread + self.variances.mean(0).diag()


def digits_law():
    r"""The Gaussian with mean and covariance of the digits, in its own axes: a Law.

    64 dimensions, in the order of growing variance. Turning the axes changes neither
    N(0, I) nor a Frechet distance, so that independent dimensions say it all.
    """
    x = data.digits()[0].double().flatten(1)
    variances, axes = torch.linalg.eigh(torch.cov(x.T))
    return Law((x.mean(0) @ axes)[None], variances.clamp(min=0)[None])


def laws():
    r"""The laboratory's data: {"gaussian": of the digits, "mixture", "finite set"}."""
    centres = torch.tensor([[1, 0.5], [-1, 0], [0, -1.5], [0.2, 1.8]], dtype=torch.float64)
    widths = torch.tensor([0.12, 0.15, 0.18, 0.2], dtype=torch.float64)
    ring = data.mixture_means(12)
    return {
        "gaussian": digits_law(),
        "mixture": Law(centres, widths.square()[:, None].expand(4, 2)),
        "finite set": Law(ring, torch.zeros_like(ring)),
    }


# --- exact propagation


def propagate(model, schedule, step, pairs, *, mean=None, variance=None):
    r"""Mean and variance of every dimension at the end of a chain, without a draw.

    model: a denoiser that is affine in each dimension alone, such as a GaussianOracle of
    independent dimensions. step: a step function, as `sample` takes it; one of STEPS, or
    partial(ancestral_step, variance=oracle.reverse_variance). pairs: [(t, s), ...]; the
    last s need not be 0. mean, variance: (*shape,), of x_t at the first t; those of
    N(0, I), shaped like the model's samples, unless given. Returns two float64 (*shape,).
    Raises ValueError where model or step is not affine in each dimension alone.
    Mean and covariance of an affine map, Bishop 2006, Eq. 2.113 to 2.115.
    """
    shape = tuple(model.sample_shape if mean is None else torch.as_tensor(mean).shape)
    start = [0.0 if mean is None else mean, 1.0 if variance is None else variance]
    first, square = (torch.as_tensor(v, dtype=torch.float64).expand(shape) for v in start)
    mean = torch.stack([first, torch.zeros_like(first)], -1)[..., None]
    covariance = torch.zeros(*shape, 2, 2, dtype=torch.float64)
    covariance[..., 0, 0] = square  # of x_t; row 1 is the x_0 predicted before it
    for A, b, c in zip(
        *step_coefficients(model, schedule, step, pairs, shape), strict=True
    ):
        mean = A @ mean + b
        covariance = A @ covariance @ A.mT + c @ c.mT
    return mean[..., 0, 0], covariance[..., 0, 0]


def step_coefficients(model, schedule, step, pairs, shape):
    r"""The affine map of each step: (x_t, x_0 before, noise) -> (x_s, x_0_pred).

    Arguments as in `propagate`; shape: of one example. Returns, for N pairs, float64
    A (N, *shape, 2, 2), the gains from x_t (column 0) and the x_0 predicted before
    (column 1) to x_s (row 0) and x_0_pred (row 1); b (N, *shape, 2, 1), the constants;
    c (N, *shape, 2, 1), the gains from the noise. Raises ValueError as `propagate`.
    """
    first = _probed(model, schedule, step, pairs[:1], shape, None)
    if len(pairs) == 1:
        return first
    others = _probed(model, schedule, step, pairs[1:], shape, pairs[:-1])
    return tuple(torch.cat(both) for both in zip(first, others, strict=True))


def _probed(model, schedule, step, pairs, shape, earlier):
    # five probes for each step: nothing, a unit of each input, and one at random
    check_denoiser(model, schedule)
    N, prediction = len(pairs), prediction_of(model)
    units = torch.zeros(5, 3, *shape, dtype=torch.float64)
    units[1, 0], units[2, 1], units[3, 2] = 1.0, 1.0, 1.0
    generator = generator_for(_PROBE)
    units[4] = torch.randn(3, *shape, generator=generator, dtype=torch.float64)
    x_t, x_0_before, noise = (units[:, k].repeat(N, *[1] * len(shape)) for k in range(3))
    t, s = torch.tensor(pairs).repeat_interleave(5, 0).unbind(1)

    def denoise(x, t):
        return to_x_0(schedule, x, t, predict(model, x, t), prediction)

    more = {"denoise": denoise, "before": None}
    if earlier is not None:
        more["before"] = torch.tensor(earlier)[:, 0].repeat_interleave(5), x_0_before
    value = predict(model, x_t, t)
    more["noise_pred"] = to_noise(schedule, x_t, t, value, prediction)
    x_0_pred = to_x_0(schedule, x_t, t, value, prediction)
    more = {name: more[name] for name in more if name in signature(step).parameters}
    x_s = step(schedule, x_t, x_0_pred, t, s, noise, **more)
    out = torch.stack([x_s, x_0_pred], -1).reshape(N, 5, *shape, 2, 1)
    b = out[:, 0]
    gains = torch.cat([out[:, k] - b for k in (1, 2, 3)], -1)  # (N, *shape, 2, 3)
    expected = gains @ units[4].movedim(0, -1)[..., None] + b
    off = float((out[:, 4] - expected).abs().max() / expected.abs().max().clamp(min=1))
    if not off <= 1e-8:
        raise ValueError(
            "exact propagation needs a denoiser and a step that are affine in each "
            f"dimension alone, but a probe came out {off:.2g} off: take a GaussianOracle "
            "of independent dimensions, and no clipping"
        )
    return gains[..., :2], b, gains[..., 2:]


def frechet(mean, variance, data_mean, data_variance):
    r"""Squared Frechet distance of two Gaussians with independent dimensions, a float.

    All four broadcast to (*shape,), variances >= 0. Dowson and Landau 1982.
    """
    shift = (mean - data_mean).square().sum()
    return float(shift + (variance.sqrt() - data_variance.sqrt()).square().sum())


# --- every sampler x spacing x steps


def walk(name, schedule, calls, spacing="trailing"):
    r"""The list of pairs with which a sampler makes at most so many network calls.

    name: one of STEPS. calls: >= 1; "heun", which needs two for all steps but the last,
    takes (calls + 1) // 2 steps. spacing: see `timestep_pairs`. The chain starts where
    `sample` starts it. Raises ValueError where the spacing has not so many steps.
    """
    check_integer("calls", calls, 1)
    start = start_of(name, schedule)
    steps = min(steps_within(name, calls), start)
    return timestep_pairs(start, steps, spacing, schedule=schedule)


def exact_errors(law, schedule, name, pairs, model=None):
    r"""How far a sampler ends from a Gaussian law: three numbers, without a sample.

    law: a Law with K = 1. name: one of STEPS. model: instead of the exact denoiser.
    Returns {"frechet": squared distance, "mean": distance of the means, "covariance":
    relative error of the covariance in the Frobenius norm}. Raises as `propagate`.
    """
    model = law.denoiser(schedule) if model is None else model
    mean, variance = propagate(model, schedule, STEPS[name], pairs)
    (centre,), (true,) = law.centres, law.variances
    return {
        "frechet": frechet(mean, variance, centre, true),
        "mean": float((mean - centre).norm()),
        "covariance": float((variance - true).norm() / true.norm()),
    }


def compare(law, schedule, calls, spacings=SPACINGS):
    r"""The exact errors of every sampler and spacing at every number of network calls.

    calls: numbers in growing order. A spacing that has not so many steps is left out.
    Returns a list of {"sampler", "spacing", "steps", "calls", and those of `exact_errors`}.
    """
    rows = []
    for name in STEPS:
        for spacing in spacings:
            for wanted in calls:
                try:
                    pairs = walk(name, schedule, wanted, spacing)
                except ValueError:
                    break  # nor has it more
                row = {"sampler": name, "spacing": spacing, "steps": len(pairs)}
                row["calls"] = network_calls(name, len(pairs))
                rows.append(row | exact_errors(law, schedule, name, pairs))
    return rows


def drawn_errors(law, schedule, name, pairs, n=1000, blocks=4, seed=0):
    r"""How far samples end from any law, where no exact propagation is to be had.

    name: one of STEPS, or "data" for fresh data in the place of samples: the noise floor.
    Draws blocks * n samples. Returns {"energy", "standard_error", "mean", "covariance"}:
    the energy distance from fresh data, its standard error, and the errors of mean and
    covariance against the exact ones, as in `exact_errors`.
    """
    shape, fresh = (blocks * n, law.centres.shape[1]), law.draw(blocks * n, 2 * seed)
    if name == "data":
        x = law.draw(blocks * n, 2 * seed + 1)
    else:
        options = dict(sampler=STEPS[name], pairs=pairs, seed=seed, dtype=torch.float64)
        x = sample(law.denoiser(schedule), schedule, shape, progress=False, **options)
    energy, error = mean_energy_distance(x, fresh, n)
    mean, covariance = law.moments()
    off = (torch.cov(x.T) - covariance).norm() / covariance.norm()
    return {
        "energy": energy,
        "standard_error": error,
        "mean": float((x.mean(0) - mean).norm()),
        "covariance": float(off),
    }


def mode_widths(law, schedule, name, pairs, n=16384):
    r"""The width of each mode of a mixture against its true one, (K,), 1 where right.

    The chain starts at n points that are spread evenly under N(0, I) (Sobol's), so that
    a deterministic sampler's widths have no error of chance to speak of.
    """
    shape = (n, law.centres.shape[1])
    sobol = torch.quasirandom.SobolEngine(shape[1], scramble=True, seed=0)
    x_T = torch.special.ndtri(sobol.draw(n, dtype=torch.float64).clamp(1e-9, 1 - 1e-9))
    options = dict(sampler=STEPS[name], pairs=pairs, dtype=torch.float64, progress=False)
    x = sample(law.denoiser(schedule), schedule, shape, x_T=x_T, **options)
    mode = torch.cdist(x, law.centres).argmin(1)
    squares = [(x[mode == k] - c).square().mean() for k, c in enumerate(law.centres)]
    return (torch.stack(squares) / law.variances.mean(1)).sqrt()


# --- order of convergence


def fine_schedule(N, high=157.0, low=0.02):
    r"""A schedule of N + 1 steps whose sigma goes from low to high, even in lambda.

    sigma = sqrt(1 - alpha_bar) / sqrt(alpha_bar), lambda = -log sigma. Its N steps from
    t = N + 1 to t = 1 have the same two ends whatever N is, as an order needs.
    """
    log_sigma = torch.linspace(math.log(low), math.log(high), N + 1, dtype=torch.float64)
    log_alpha_bar = -torch.nn.functional.softplus(2 * log_sigma)
    jumps = torch.cat([log_alpha_bar[:1], log_alpha_bar.diff()])
    return Schedule.from_beta(-torch.expm1(jumps))


def convergence_error(step, N, to_clean=False):
    r"""How far N steps of `fine_schedule` end from the deviation of N(0.7, 0.3^2).

    The chain starts from the exact law of x_T. to_clean: take one more step, to sigma =
    0. Returns the error of the deviation of x / sqrt(alpha_bar), a float >= 0.
    """
    schedule, end = fine_schedule(N), int(not to_clean)
    a, left = schedule.alpha_bar, schedule.one_minus_alpha_bar
    oracle = GaussianOracle(schedule, [0.7], 0.09)
    pairs = [(t, t - 1) for t in range(N + 1, end, -1)]
    start = dict(mean=0.7 * a[-1:].sqrt(), variance=0.09 * a[-1:] + left[-1:])
    _, variance = propagate(oracle, schedule, step, pairs, **start)
    exact = 0.09 * a[end] + left[end]
    return float((variance.sqrt() - exact.sqrt()).abs() / a[end].sqrt())


def order_of_convergence(step, few=80, many=320):
    r"""Measure a step's order: the slope of its error from few to many steps.

    See `convergence_error`. Returns a float, 1 for a method of first order.
    """
    ratio = convergence_error(step, few) / convergence_error(step, many)
    return math.log(ratio) / math.log(many / few)


# --- loss floor, and an error of known size


def loss_floor(law, schedule, t, n=2000, seed=0, model=None):
    r"""The smallest loss of any network at one t, and what a denoiser loses there.

    The floor is the variance of the noise given x_t, that of x_0 times alpha_bar_t /
    (1 - alpha_bar_t), as the mean over n draws of x_t. model: instead of the exact
    denoiser. Returns {"floor", "loss", "standard_error"}, the last of loss - floor.
    """
    oracle, generator = law.denoiser(schedule), generator_for(_LOSS, seed)
    x_0, t = law.draw(n, seed), torch.full((n,), t)
    noise = torch.randn(x_0.shape, generator=generator, dtype=torch.float64)
    _, variance = oracle.x_0_moments(q_sample(schedule, x_0, t, noise), t)
    snr = schedule.alpha_bar[t] / schedule.one_minus_alpha_bar[t]
    floor = snr * variance.mean(1)
    loss = simple_loss(model or oracle, schedule, x_0, t, noise)
    error = float((loss - floor).std() / math.sqrt(n))
    return {
        "floor": float(floor.mean()),
        "loss": float(loss.mean()),
        "standard_error": error,
    }


class Dosed:
    r"""A denoiser of noise with an error of known size, still affine if it was.

    For t in low..high it answers noise_pred (1 + gain) + bias, elsewhere noise_pred.
    """

    prediction, learned_variance = "noise", False
    clip, classes = None, 0

    def __init__(self, model, bias=0.0, gain=0.0, low=1, high=math.inf):
        self.model, self.sample_shape = model, model.sample_shape
        self.T = getattr(model, "T", None)
        self.bias, self.gain, self.low, self.high = bias, gain, low, high

    def __call__(self, x_t, t):
        noise_pred = predict(self.model, x_t, t)
        dose = spread((t >= self.low) & (t <= self.high), x_t)
        return noise_pred + dose * (self.gain * noise_pred + self.bias)
