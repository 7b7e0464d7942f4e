r"""From noise to data: the reverse chain, over an explicit list of steps.

A step goes from t to an earlier s; the list of pairs ends at s = 0. The noise of a
sample comes from its own generator, seeded by its own seed, so that a picture does not
change with the batch that it is drawn in.
"""

from dataclasses import dataclass
from functools import partial
from inspect import signature

import torch
from tqdm import tqdm

from ..checks import check_data, check_number, check_shape
from ..denoiser import (
    OWN,
    check_denoiser,
    check_step,
    check_y,
    clip_of,
    device_of,
    evaluating,
    warn_far,
)
from ..process import (
    interpolated_variance,
    noise_from_x_0,
    predict_both,
    prediction_of,
    q_posterior,
    reverse_variance,
    to_noise,
    to_x_0,
    transition,
)
from ..schedule import spread
from ..seeds import SampleNoise
from .asked import check_noise_pred, check_pairs, check_sampler
from .solvers import SOLVERS, start_of
from .spacing import check_spacing, timestep_pairs


@dataclass(frozen=True)
class State:
    r"""One moment of a reverse chain.

    t: the step that x_t belongs to, from T down to 0. x_t: (B, *shape).
    x_0_pred: the x_0 predicted on the way here, like x_t; None at the start.
    calls: how often the network has been called so far, which is not the number of steps
    where a step calls it twice.
    """

    t: int
    x_t: torch.Tensor
    x_0_pred: torch.Tensor | None
    calls: int

    def __repr__(self):
        return f"State(t={self.t}, x_t={tuple(self.x_t.shape)}, calls={self.calls})"


def ancestral_step(schedule, x_t, x_0_pred, t, s, noise, *, variance="small"):
    r"""Draw x_s from p_theta(x_s | x_t): one step of Algorithm 2.

    x_t, x_0_pred, noise: (B, *shape). t, s: int64 (B,), s < t. variance: see
    `reverse_variance`; both named choices add no noise at s = 0. Returns x_s, like x_t.
    Ho et al. 2020, Algorithm 2 by way of Eq. 7 and 15: the same number where x_0_pred
    is not clipped (chapter 03).
    """
    mean, _ = q_posterior(schedule, x_0_pred, x_t, t, s)
    return mean + reverse_variance(schedule, x_t, t, s, variance).sqrt() * noise


def ddim_step(
    schedule, x_t, x_0_pred, t, s, noise, *, eta=0.0, rederive=True, noise_pred=None
):
    r"""Go from x_t to x_s along the predicted noise, with a share eta of fresh noise.

    x_t, x_0_pred, noise: (B, *shape). t, s: int64 (B,), s < t. eta in [0, 1]: 0 is
    deterministic, 1 is the ancestral step with the small variance. rederive: the noise is
    derived again from the x_0_pred that is used, clipped or not; if False, it is
    noise_pred (B, *shape), the network's own from before clipping. Returns x_s, like x_t.
    Raises ValueError for eta outside [0, 1] and for a noise_pred that is missing.
    Song et al. 2020 (DDIM), Eq. 12 and 16.
    """
    check_number("eta", eta, 0, 1)
    derived = noise_from_x_0(schedule, x_t, t, x_0_pred)
    noise_pred = derived if rederive else check_noise_pred(noise_pred, x_t)
    t, s = t.cpu(), s.cpu()
    one_minus_s = schedule.one_minus_alpha_bar[s]
    beta_ts, _ = transition(schedule, t, s)
    variance = eta**2 * beta_ts * one_minus_s / schedule.one_minus_alpha_bar[t]
    return (
        spread(schedule.alpha_bar[s].sqrt(), x_t) * x_0_pred
        + spread((one_minus_s - variance).sqrt(), x_t) * noise_pred
        + spread(variance.sqrt(), x_t) * noise
    )


def sample_path(
    model,
    schedule,
    shape,
    *,
    sampler="ancestral",
    steps=None,
    spacing=None,
    pairs=None,
    seed=0,
    y=None,
    variance=None,
    eta=None,
    rederive=None,
    clip=OWN,
    prediction=None,
    x_T=None,
    progress=False,
    dtype=torch.float32,
):
    r"""Walk the reverse chain and yield a State at T and after every step.

    Takes the arguments of `sample`, and checks them before the first State comes.
    """
    check_denoiser(model, schedule)
    prediction, clip = prediction_of(model, prediction), clip_of(model, clip)
    shape = check_shape(shape)
    check_y(model, y, shape[0])
    check_sampler(sampler, variance, eta, rederive)
    T = start_of(sampler, schedule) if pairs is None else schedule.T
    check_spacing(steps, spacing, pairs, T)
    if pairs is None:
        pairs = timestep_pairs(T, steps, spacing or "trailing", schedule=schedule)
    pairs = check_pairs(pairs, schedule.T)
    learned = sampler == "ancestral" and getattr(model, "learned_variance", False)
    learned = learned and variance is None
    if variance is None:
        variance = "large" if len(pairs) == schedule.T else "small"
    step = _step_function(sampler, variance, eta or 0.0, rederive is not False)
    if x_T is None:
        schedule.prior_gap(t=pairs[0][0])
    elif check_data(x_T, "x_T").shape != shape:
        raise ValueError(f"x_T must have shape {shape}, got {tuple(x_T.shape)}")
    draw = SampleNoise(seed, shape, device_of(model, x_T), dtype)
    meaning = (y, clip, prediction)
    return _walk(model, schedule, pairs, step, learned, draw, x_T, meaning, progress)


def sample(model, schedule, shape, **options):
    r"""Generate new data: start from N(0, I) and walk the reverse chain to t = 0.

    model: called as model(x_t, t) or model(x_t, t, y); put in eval mode meanwhile.
    shape: of the batch, such as (B, 2) or (B, C, H, W). Options, all by keyword:
    sampler: "ancestral", "ddim", "heun", "dpmpp_2m", "dpmpp_2m_sde", or a function of
        one's own (schedule, x_t, x_0_pred, t, s, noise) -> x_s. Where the function names
        one of these arguments too, it is given it by keyword:
        denoise: a function (x, t) -> x_0_pred, one more network call, clipped alike;
        before: (t, x_0_pred) of the step before, None at the first, for multistep methods;
        noise_pred: the network's own noise prediction, from before clipping.
    steps: number of steps, all if None, with their spacing (see `timestep_pairs`,
        "trailing" unless given); or
        pairs: [(t, s), ...] down to 0. "heun" and "dpmpp_2m..." start at `largest_t`, where
        sigma is at most 160, unless pairs say otherwise. "heun" calls the network twice a
        step but for the last. On a Gaussian 20 calls of "dpmpp_2m" come nearer
        with "quadratic": the last jump of "trailing", from t = 50, makes it too narrow.
        On pictures this has to be measured (chapter 09, section 8).
    seed: an int, from which sample i gets its own seed; or B ints, one for each sample,
        which then is sample 0 of that seed.
    variance: for "ancestral": "small", "large" or a function (see `reverse_variance`);
        None means the model's own where it learned one, else large for the full chain
        and small for a shorter list of steps.
    eta: for "ddim", in [0, 1], 0 unless given. rederive: for "ddim", see `ddim_step`.
        What a sampler does not use is refused, as is a spacing where all steps are taken.
    clip: (low, high) to which the predicted x_0 is cut, or None; the model's own `clip`
        unless given, which is (-1, 1) for pictures and None for points.
    prediction: what the model predicts, if it does not say so.
    x_T: start here, at the t of the first pair, instead of at N(0, I).
    y: passed on to the model, int64 (B,) for one with classes. progress: show a bar.
    dtype: of noise and of every x_t, float32 or float64; a network is asked in the dtype
        of its weights, and its answer comes back in this one.
    Returns x_0 (B, *shape). Warns where q(x_T | x_0) is far from N(0, I), see
    `Schedule.prior_gap`, and where x_0 is far outside the range of the model's data, see
    `warn_far`. Raises ValueError or TypeError for arguments that do not fit, such as a
    schedule of another T than the model's, before the network is asked; and
    FloatingPointError where the result is not finite.
    Ho et al. 2020, Algorithm 2; Song et al. 2020 (DDIM).
    """
    options.setdefault("progress", True)
    for state in sample_path(model, schedule, shape, **options):  # noqa: B007
        pass
    return state.x_t


def _walk(model, schedule, pairs, step, learned, draw, x_T, meaning, progress):
    y, clip, prediction = meaning
    names, calls, before = signature(step).parameters, 0, None

    def ask(x, t):
        nonlocal calls
        calls += 1
        value, v = predict_both(model, x, t, y)
        return value, v, to_x_0(schedule, x, t, value, prediction, clip)

    start = draw.next()
    x_t = start if x_T is None else x_T.to(start).clone()
    yield State(pairs[0][0], x_t, None, calls)
    for now, then in tqdm(pairs, desc="sampling", leave=False, disable=not progress):
        t, s = torch.full((len(x_t),), now), torch.full((len(x_t),), then)
        with torch.no_grad(), evaluating(model):
            value, v, x_0_pred = ask(x_t, t)
            if learned:
                step = partial(ancestral_step, variance=partial(_learned, schedule, v))
            more = {"before": before, "denoise": lambda x, t: ask(x, t)[2]}
            if "noise_pred" in names:
                more["noise_pred"] = to_noise(schedule, x_t, t, value, prediction)
            more = {name: more[name] for name in more if name in names}
            x_s = step(schedule, x_t, x_0_pred, t, s, draw.next(), **more)
        before, x_t = (t, x_0_pred), check_step(x_s, x_t)
        yield State(then, x_t, x_0_pred, calls)
    if not torch.isfinite(x_t).all():
        raise FloatingPointError("the sample is not finite: the model gave NaN or infinity")
    warn_far(x_t, clip_of(model))


def _learned(schedule, v, x_t, t, s):
    return interpolated_variance(schedule, v, t, s) * spread(s > 0, x_t)


def _step_function(sampler, variance, eta, rederive):
    if sampler == "ancestral":
        return partial(ancestral_step, variance=variance)
    if sampler == "ddim":
        return partial(ddim_step, eta=eta, rederive=rederive)
    return SOLVERS[sampler] if isinstance(sampler, str) else sampler
