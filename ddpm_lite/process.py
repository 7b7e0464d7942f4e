r"""The mathematics of q: pure functions without randomness and without a network.

Noise and t are arguments, so two routes to one number give the same number. A value
gathered at t takes the dtype of x, at least float32: float64 in, float64 out.
"""

import torch

from .checks import check_choice, check_s, check_t, check_variance, same_shape
from .denoiser import as_weights, check_answer, check_halves, check_prediction, said
from .schedule import at, spread


def q_step(schedule, x_prev, t, noise):
    r"""Take one step of the forward process, from x_{t-1} to x_t.

    x_prev, noise: (B, *shape), noise from N(0, I). t: int64 (B,), values in 1..T.
    Returns x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) noise, shaped like x_prev.
    Raises ValueError or TypeError for unequal shapes or a bad t.
    Ho et al. 2020, Eq. 2.
    """
    _check(schedule, t, x_prev=x_prev, noise=noise)
    alpha_t = at(schedule.alpha, t, x_prev)
    beta_t = at(schedule.beta, t, x_prev)
    return alpha_t.sqrt() * x_prev + beta_t.sqrt() * noise


def q_sample(schedule, x_0, t, noise):
    r"""Diffuse clean data x_0 to step t in one jump.

    x_0, noise: (B, *shape), noise from N(0, I). t: int64 (B,), values in 1..T.
    Returns x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise, like x_0.
    Raises ValueError or TypeError for unequal shapes or a bad t.
    Ho et al. 2020, Eq. 4.
    """
    _check(schedule, t, x_0=x_0, noise=noise)
    a_t, s_t = _scales(schedule, t, x_0)
    return a_t * x_0 + s_t * noise


def q_posterior(schedule, x_0, x_t, t, s=None):
    r"""Mean and variance of the Gaussian q(x_s | x_t, x_0); s is t - 1 unless given.

    x_0, x_t: (B, *shape). t: int64 (B,), values in 1..T. s: int64 (B,), 0 <= s < t.
    Returns mean (B, *shape) and variance (B, 1, ...), which is 0 where s = 0.
    Raises ValueError or TypeError for unequal shapes, a bad t or s >= t.
    Ho et al. 2020, Eq. 6 and 7; for any earlier s Song et al. 2020 (DDIM), Eq. 7 with
    sigma of their Eq. 16 at eta = 1.
    """
    _check(schedule, t, x_0=x_0, x_t=x_t)
    t, s = t.cpu(), check_s(t, s).cpu()
    beta_ts, alpha_ts = transition(schedule, t, s)
    one_minus_s = schedule.one_minus_alpha_bar[s]
    one_minus_t = schedule.one_minus_alpha_bar[t]
    weight_x_0 = schedule.alpha_bar[s].sqrt() * beta_ts / one_minus_t
    weight_x_t = alpha_ts.sqrt() * one_minus_s / one_minus_t
    mean = spread(weight_x_0, x_t) * x_0 + spread(weight_x_t, x_t) * x_t
    return mean, spread(beta_ts * one_minus_s / one_minus_t, x_t)


def transition(schedule, t, s):
    r"""The factors of the forward transition q(x_t | x_s) over any number of steps, s < t.

    t, s: int64 (B,) on the CPU. Returns, float64 (B,),
    beta_ts = 1 - alpha_bar_t / alpha_bar_s and alpha_ts = alpha_bar_t / alpha_bar_s.
    q(x_t | x_s) is N(sqrt(alpha_ts) x_s, beta_ts I); for s = t - 1 these are beta_t and
    alpha_t. Song et al. 2020 (DDIM), appendix C.1.
    """
    log_ratio = schedule.log_alpha_bar[t] - schedule.log_alpha_bar[s]
    beta_ts = torch.where(t - s == 1, schedule.beta[t], -torch.expm1(log_ratio))
    return beta_ts, log_ratio.exp()


def reverse_variance(schedule, x_t, t, s, variance):
    r"""The variance of p_theta(x_s | x_t), 0 where s = 0 for the two named choices.

    x_t: (B, *shape). t, s: int64 (B,), 0 <= s < t. variance: "small",
    the posterior variance (exact for data that is one point); "large", beta (exact for
    data from N(0, I)); or a function (x_t, t, s) -> tensor that broadcasts to x_t and
    is used as it stands, at s = 0 too.
    Returns a tensor that broadcasts to x_t. Raises ValueError for another name and for
    a function that gives a negative or non-finite variance. Ho et al. 2020, section 3.2.
    """
    if callable(check_choice(variance)):
        return check_variance("the variance that the function gave", variance(x_t, t, s))
    t, s = t.cpu(), s.cpu()
    beta_ts, _ = transition(schedule, t, s)
    if variance == "large":
        return spread(beta_ts * (s > 0), x_t)
    share = schedule.one_minus_alpha_bar[s] / schedule.one_minus_alpha_bar[t]
    return spread(beta_ts * share, x_t)


def interpolated_variance(schedule, v, t, s):
    r"""The variance of p_theta(x_s | x_t) that v stands for: small at -1, large at 1.

    v: (B, *shape), what a network with learned variance says; logarithms are
    interpolated. t, s: int64 (B,), 0 <= s < t. Returns a tensor like v. At s = 0, where
    the small variance is 0, posterior_variance[2] stands in for it, as in the authors'
    code; a sampler adds no noise there anyway. Nichol and Dhariwal 2021, Eq. 15.
    """
    t, s = t.cpu(), s.cpu()
    large, _ = transition(schedule, t, s)
    share = schedule.one_minus_alpha_bar[s] / schedule.one_minus_alpha_bar[t]
    first = schedule.posterior_variance[2] if schedule.T > 1 else schedule.beta[1]
    small = torch.where(s > 0, large * share, torch.minimum(first, large))
    low, high = spread(small.log(), v), spread(large.log(), v)
    return (low + (v + 1) / 2 * (high - low)).exp()


# Conversions. With a = sqrt(alpha_bar_t) and s = sqrt(1 - alpha_bar_t), x_t = a x_0 + s
# noise, v = a noise - s x_0 (Salimans and Ho 2022, arXiv 2202.00512, appendix D), score =
# grad log q(x_t | x_0) = -noise / s (Ho et al. 2020, section 3.2), flow = noise - x_0 (Liu
# et al. 2022, arXiv 2209.03003). Every one takes (schedule, x_t, t, value), value shaped
# like x_t (B, *shape) and t int64 (B,) in 1..T, and returns a tensor like x_t. Bad shapes
# or a bad t raise as in `q_sample`.


def x_0_from_noise(schedule, x_t, t, noise):
    r"""The x_0 that belongs to x_t and this noise, shaped like x_t.

    x_t, noise: (B, *shape). t: int64 (B,) in 1..T.
    Raises ValueError where alpha_bar_t = 0: x_t says nothing of x_0 there.
    Ho et al. 2020, Eq. 15.
    """
    a_t, s_t = _checked_scales(schedule, x_t, t, noise, divide_by_a="x_0_from_noise")
    return (x_t - s_t * noise) / a_t


def x_0_from_v(schedule, x_t, t, v):
    r"""The x_0 that belongs to x_t and this v; finite at every t.

    x_t, v: (B, *shape). t: int64 (B,) in 1..T. Raises as `q_sample`.
    Salimans and Ho 2022, appendix D.
    """
    a_t, s_t = _checked_scales(schedule, x_t, t, v)
    return a_t * x_t - s_t * v


def x_0_from_score(schedule, x_t, t, score):
    r"""The x_0 that belongs to x_t and this score (Tweedie's formula), like x_t.

    x_t, score: (B, *shape). t: int64 (B,) in 1..T.
    Raises ValueError where alpha_bar_t = 0. Efron 2011; Ho et al. 2020, Eq. 15.
    """
    a_t, s_t = _checked_scales(schedule, x_t, t, score, divide_by_a="x_0_from_score")
    return (x_t + s_t.square() * score) / a_t


def x_0_from_flow(schedule, x_t, t, flow):
    r"""The x_0 that belongs to x_t and this flow, noise - x_0; finite at every t.

    x_t, flow: (B, *shape). t: int64 (B,) in 1..T. Raises as `q_sample`.
    Liu et al. 2022 (arXiv 2209.03003), Eq. 1, in the size of x_t.
    """
    a_t, s_t = _checked_scales(schedule, x_t, t, flow)
    return (x_t - s_t * flow) / (a_t + s_t)


def noise_from_x_0(schedule, x_t, t, x_0):
    r"""The noise that leads from this x_0 to x_t, shaped like x_t.

    x_t, x_0: (B, *shape). t: int64 (B,) in 1..T. Raises as `q_sample`.
    Ho et al. 2020, Eq. 4 solved for the noise.
    """
    a_t, s_t = _checked_scales(schedule, x_t, t, x_0)
    return (x_t - a_t * x_0) / s_t


def noise_from_v(schedule, x_t, t, v):
    r"""The noise that belongs to x_t and this v; finite at every t.

    x_t, v: (B, *shape). t: int64 (B,) in 1..T. Raises as `q_sample`.
    Salimans and Ho 2022, appendix D.
    """
    a_t, s_t = _checked_scales(schedule, x_t, t, v)
    return s_t * x_t + a_t * v


def noise_from_flow(schedule, x_t, t, flow):
    r"""The noise that belongs to x_t and this flow, noise - x_0; finite at every t.

    x_t, flow: (B, *shape). t: int64 (B,) in 1..T. Raises as `q_sample`.
    Liu et al. 2022 (arXiv 2209.03003), Eq. 1, in the size of x_t.
    """
    a_t, s_t = _checked_scales(schedule, x_t, t, flow)
    return (x_t + a_t * flow) / (a_t + s_t)


def noise_from_score(schedule, x_t, t, score):
    r"""The noise that belongs to this score: minus its product with sqrt(1 - alpha_bar).

    x_t, score: (B, *shape). t: int64 (B,) in 1..T. Raises as `q_sample`.
    Ho et al. 2020, section 3.2.
    """
    _, s_t = _checked_scales(schedule, x_t, t, score)
    return -s_t * score


def v_from_x_0(schedule, x_t, t, x_0):
    r"""The v that belongs to x_t and this x_0, shaped like x_t.

    x_t, x_0: (B, *shape). t: int64 (B,) in 1..T. Raises as `q_sample`.
    Salimans and Ho 2022, appendix D.
    """
    a_t, s_t = _checked_scales(schedule, x_t, t, x_0)
    return (a_t * x_t - x_0) / s_t


def v_from_noise(schedule, x_t, t, noise):
    r"""The v that belongs to x_t and this noise, shaped like x_t.

    x_t, noise: (B, *shape). t: int64 (B,) in 1..T.
    Raises ValueError where alpha_bar_t = 0. Salimans and Ho 2022, appendix D.
    """
    a_t, s_t = _checked_scales(schedule, x_t, t, noise, divide_by_a="v_from_noise")
    return (noise - s_t * x_t) / a_t


def v_from_score(schedule, x_t, t, score):
    r"""The v that belongs to x_t and this score, shaped like x_t.

    x_t, score: (B, *shape). t: int64 (B,) in 1..T.
    Raises ValueError where alpha_bar_t = 0. `noise_from_score`, then `v_from_noise`.
    """
    a_t, s_t = _checked_scales(schedule, x_t, t, score, divide_by_a="v_from_score")
    return -(s_t * x_t + s_t * score) / a_t


def flow_from_x_0(schedule, x_t, t, x_0):
    r"""The flow, noise - x_0, that belongs to x_t and this x_0, shaped like x_t.

    x_t, x_0: (B, *shape). t: int64 (B,) in 1..T. Raises as `q_sample`. Not the v of
    Salimans and Ho, whose weights turn with t. Liu et al. 2022 (arXiv 2209.03003), Eq. 1.
    """
    return noise_from_x_0(schedule, x_t, t, x_0) - x_0


def flow_from_noise(schedule, x_t, t, noise):
    r"""The flow, noise - x_0, that belongs to x_t and this noise, shaped like x_t.

    x_t, noise: (B, *shape). t: int64 (B,) in 1..T.
    Raises ValueError where alpha_bar_t = 0. Liu et al. 2022 (arXiv 2209.03003), Eq. 1.
    """
    a_t, s_t = _checked_scales(schedule, x_t, t, noise, divide_by_a="flow_from_noise")
    return ((a_t + s_t) * noise - x_t) / a_t


def score_from_noise(schedule, x_t, t, noise):
    r"""The score of q(x_t | x_0), or of q(x_t) where the noise is the mean given x_t.

    x_t, noise: (B, *shape). t: int64 (B,) in 1..T. Raises as `q_sample`.
    Ho et al. 2020, section 3.2; Vincent 2011.
    """
    _, s_t = _checked_scales(schedule, x_t, t, noise)
    return -noise / s_t


def score_from_x_0(schedule, x_t, t, x_0):
    r"""The score that belongs to x_t and this x_0, shaped like x_t.

    x_t, x_0: (B, *shape). t: int64 (B,) in 1..T. Raises as `q_sample`.
    Gradient of the logarithm of Ho et al. 2020, Eq. 4.
    """
    a_t, s_t = _checked_scales(schedule, x_t, t, x_0)
    return (a_t * x_0 - x_t) / s_t.square()


def score_from_v(schedule, x_t, t, v):
    r"""The score that belongs to x_t and this v, shaped like x_t.

    x_t, v: (B, *shape). t: int64 (B,) in 1..T. Raises as `q_sample`.
    Minus `noise_from_v` over sqrt(1 - alpha_bar_t).
    """
    a_t, s_t = _checked_scales(schedule, x_t, t, v)
    return -x_t - a_t * v / s_t


def predict_x_0(model, schedule, x_t, t, y, prediction, clip):
    r"""Ask a denoiser for x_t, and turn its answer into x_0, cut to the data's range.

    x_t: (B, *shape). t: int64 (B,) in 1..T. y: for the model, or None. prediction: what
    the answer means, "noise", "x_0", "v" or "flow". clip: (low, high) or None.
    Returns x_0_pred, like x_t. Ho et al. 2020, Eq. 15; the clipping is in the authors'
    code and not in the paper.
    """
    return to_x_0(schedule, x_t, t, predict(model, x_t, t, y), prediction, clip)


def to_x_0(schedule, x_t, t, value, prediction, clip=None):
    r"""Turn a prediction of any kind into x_0_pred, cut to clip = (low, high) if given.

    x_t, value: (B, *shape). t: int64 (B,) in 1..T. prediction: "noise", "x_0",
    "v" or "flow". Returns a tensor like x_t. Ho et al. 2020, Eq. 15.
    """
    if prediction != "x_0":
        convert = {"noise": x_0_from_noise, "v": x_0_from_v, "flow": x_0_from_flow}
        value = convert[prediction](schedule, x_t, t, value)
    return value if clip is None else value.clamp(*clip)


def to_noise(schedule, x_t, t, value, prediction):
    r"""Turn a prediction of any kind into the noise that it stands for, never clipped.

    x_t, value: (B, *shape). t: int64 (B,) in 1..T. prediction: "noise", "x_0",
    "v" or "flow". Returns a tensor like x_t. Ho et al. 2020, Eq. 15 solved for the noise.
    """
    if prediction == "noise":
        return value
    convert = {"x_0": noise_from_x_0, "v": noise_from_v, "flow": noise_from_flow}
    return convert[prediction](schedule, x_t, t, value)


def prediction_of(model, prediction=None):
    r"""Say what a denoiser predicts: `prediction` if given, else `model.prediction`.

    Returns "noise", "x_0", "v" or "flow". Raises ValueError where neither is there, where
    the two contradict each other, or for another name.
    """
    own = said(model, "prediction")
    if None not in (own, prediction) and own != prediction:
        raise ValueError(f"the model predicts {own!r}, but prediction={prediction!r}")
    return check_prediction(own or prediction)


def predict(model, x_t, t, y=None):
    r"""Call a denoiser and refuse an answer that is not shaped like x_t.

    x_t: (B, *shape). t: int64 (B,). y: given to the model only where it is not None.
    Returns a tensor like x_t, in its dtype; of a model with learned variance the first
    half of the channels. Raises ValueError for another shape.
    """
    return predict_both(model, x_t, t, y)[0]


def predict_both(model, x_t, t, y=None):
    r"""Call a denoiser, and split off what it says of the variance, None if nothing.

    Arguments as for `predict`. Returns two tensors like x_t, in its dtype, or one and
    None. A network is asked in the dtype of its weights. Raises ValueError for another
    shape or device, TypeError for an answer that is no tensor.
    Nichol and Dhariwal 2021, section 3.1.
    """
    x, t = as_weights(model, x_t), t.to(x_t.device, non_blocking=True)
    y = y.to(x_t.device) if isinstance(y, torch.Tensor) else y
    value, share = model(x, t) if y is None else model(x, t, y), None
    value = check_answer(value, x_t).to(x_t.dtype)
    if said(model, "learned_variance"):
        value, share = check_halves(value, x_t).chunk(2, dim=1)
    same_shape(x_t=x_t, model_output=value)
    return value, share


def _check(schedule, t, **tensors):
    same_shape(**tensors)
    check_t(t, next(iter(tensors.values())), schedule.T)


def _scales(schedule, t, x):
    alpha_bar_t = at(schedule.alpha_bar, t, x)
    return alpha_bar_t.sqrt(), at(schedule.one_minus_alpha_bar, t, x).sqrt()


def _checked_scales(schedule, x_t, t, value, *, divide_by_a=None):
    _check(schedule, t, x_t=x_t, value=value)
    a_t, s_t = _scales(schedule, t, x_t)
    if divide_by_a and (a_t == 0).any():
        raise ValueError(
            f"{divide_by_a} divides by sqrt(alpha_bar_t), which is 0 at t = "
            f"{schedule.T} of this schedule: predict x_0, v or the flow there"
        )
    return a_t, s_t
