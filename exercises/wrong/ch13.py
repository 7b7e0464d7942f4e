r"""Typical wrong answers to the exercises of chapter 13, each with words of its hint."""

import math

import torch

from wrong import wrong


def _scores(alpha_bar, x_t, v, t, noise=lambda root, share, v, x: root * v + share * x):
    a = alpha_bar[t].reshape(-1, *[1] * (x_t.dim() - 1))
    root, share = a.sqrt().to(x_t.dtype), (1 - a).sqrt().to(x_t.dtype)
    score = -noise(root, share, v, x_t) / share
    return score, root * score, root, share


@wrong("13.1", "which way does log q rise")
def forgets_the_sign(*given):
    score, other, _, _ = _scores(*given)
    return -score, -other


@wrong("13.1", "what is v, and what is the noise")
def takes_v_for_the_noise(*given):
    return _scores(*given, noise=lambda root, share, v, x: v)[:2]


@wrong("13.1", "which sign has x_t in the noise")
def subtracts_the_state(*given):
    return _scores(*given, noise=lambda root, share, v, x: root * v - share * x)[:2]


@wrong("13.1", "is it x_0 or the noise")
def points_away_from_x_0(*given):
    return _scores(*given, noise=lambda root, share, v, x: root * x - share * v)[:2]


@wrong("13.1", "is that the noise, or the score")
def gives_the_noise(*given):
    score, _, root, share = _scores(*given)
    return -share * score, -root * share * score


@wrong("13.1", "the variance of the noise, or its deviation")
def divides_by_the_variance(*given):
    score, other, _, share = _scores(*given)
    return score / share, other / share


@wrong("13.1", "how far does x_t move when X moves by 1")
def one_score_for_both(*given):
    score, _, _, _ = _scores(*given)
    return score, score


@wrong("13.1", "how far does x_t move when X moves by 1")
def divides_by_the_root(*given):
    score, _, root, _ = _scores(*given)
    return score, score / root


@wrong("13.1", "which of the two scores comes first")
def exchanges_them(*given):
    score, other, _, _ = _scores(*given)
    return other, score


@wrong("13.1", "along which axes")
def for_points_alone(alpha_bar, x_t, v, t):
    if x_t.dim() != 2:
        t = t[:1].expand_as(t)
    return _scores(alpha_bar, x_t, v, t)[:2]


@wrong("13.1", "should be torch.float32")
def stays_in_double(alpha_bar, x_t, v, t):
    return _scores(alpha_bar, x_t.double(), v.double(), t)[:2]


def _variance(v, h, start, n, of_start=None, noise=2):
    kept = (1 - h / v) ** 2
    of_start = kept if of_start is None else of_start
    variance = start
    for _ in range(n):
        variance = of_start * variance + noise * h
    return variance, (noise * h / (1 - kept) if kept < 1 else None)


@wrong("13.2", "when x is multiplied by a number")
def does_not_square(v, h, start, n):
    return _variance(v, h, start, n, of_start=1 - h / v)


@wrong("13.2", "which variance has the fresh noise")
def noise_of_variance_h(*given):
    return _variance(*given, noise=1)


@wrong("13.2", "where is the fresh noise")
def no_noise(*given):
    return _variance(*given, noise=0)


@wrong("13.2", "is v a variance, or a deviation")
def squares_v(v, h, start, n):
    return _variance(v**2, h, start, n)


@wrong("13.2", "is that a variance, or a deviation")
def gives_deviations(*given):
    variance, end = _variance(*given)
    return math.sqrt(variance), end and math.sqrt(end)


@wrong("13.2", "how many steps are made")
def one_step_more(v, h, start, n):
    return _variance(v, h, start, n + 1)


@wrong("13.2", "which the score belongs to")
def it_draws_from_the_law(v, h, start, n):
    return v, v


@wrong("13.2", "that of the score")
def it_settles_in_the_law(v, h, start, n):
    return _variance(v, h, start, n)[0], v


@wrong("13.2", "how large may a step be")
def no_step_above_v(v, h, start, n):
    variance, end = _variance(v, h, start, n)
    return variance, end if h < v else None


@wrong("13.2", "does x come closer to 0")
def always_settles(v, h, start, n):
    variance, _ = _variance(v, h, start, n)
    return variance, abs(v / (1 - h / (2 * v))) if h != 2 * v else v


@wrong("13.2", "is it wider than it should be")
def settles_too_narrow(v, h, start, n):
    variance, end = _variance(v, h, start, n)
    return variance, end and v / (1 + h / (2 * v))


def _probed(times, probes):
    return torch.stack([probe @ times(probe) for probe in probes])


def _answer(found, wanted, mean=None, error=None, needed=None):
    P = len(found)
    spread = float(found.std())
    return (
        float(found.mean()) if mean is None else mean,
        spread / math.sqrt(P) if error is None else error,
        max(1, math.ceil((spread / wanted) ** 2)) if needed is None else needed,
    )


@wrong("13.3", "is it the sum over probes")
def sums_over_probes(times, probes, wanted):
    found = _probed(times, probes)
    return _answer(found, wanted, mean=float(found.sum()))


@wrong("13.3", "how long is a probe")
def takes_the_mean_over_entries(times, probes, wanted):
    found = _probed(times, probes)
    return _answer(found, wanted, mean=float(found.mean()) / probes.shape[1])


@wrong("13.3", "with what is A u multiplied")
def forgets_the_second_probe(times, probes, wanted):
    found = torch.stack([times(probe).sum() for probe in probes])
    return _answer(found, wanted)


@wrong("13.3", "or have you asked about others")
def asks_about_the_axes(times, probes, wanted):
    axes = torch.eye(probes.shape[1], dtype=torch.float64)
    return _answer(_probed(times, probes), wanted, mean=float(_probed(times, axes).sum()))


@wrong("13.3", "times wants one vector")
def all_probes_at_once(times, probes, wanted):
    return _answer((probes * times(probes)).sum(1), wanted)


@wrong("13.3", "the spread of one probe, or the error of their mean")
def gives_the_spread(times, probes, wanted):
    found = _probed(times, probes)
    return _answer(found, wanted, error=float(found.std()))


@wrong("13.3", "divided by P")
def divides_by_P(times, probes, wanted):
    found = _probed(times, probes)
    return _answer(found, wanted, error=float(found.std(correction=0)) / len(found) ** 0.5)


@wrong("13.3", "how does the error of a mean fall")
def without_a_root(times, probes, wanted):
    found = _probed(times, probes)
    return _answer(found, wanted, error=float(found.std()) / len(found))


@wrong("13.3", "how does the error fall with more probes")
def needs_without_a_square(times, probes, wanted):
    found = _probed(times, probes)
    return _answer(found, wanted, needed=max(1, math.ceil(float(found.std()) / wanted)))


@wrong("13.3", "can there be an estimate without a probe")
def needs_none(times, probes, wanted):
    found = _probed(times, probes)
    return _answer(
        found, wanted, needed=math.ceil((float(found.std()) / wanted) ** 2 - 1e-9)
    )


@wrong("13.3", "is the error small enough with that many")
def rounds_down(times, probes, wanted):
    found = _probed(times, probes)
    return _answer(found, wanted, needed=max(1, int((float(found.std()) / wanted) ** 2)))


def _wrapped(
    F,
    X,
    sigma,
    m,
    sigma_d,
    inside=None,
    c=lambda s: s.log() / 4,
    skip=None,
    out=None,
    back=1,
):
    s = sigma.reshape(-1, *[1] * (X.dim() - 1))
    total = s**2 + sigma_d**2
    given = (X - m) / total.sqrt() if inside is None else inside(X, m, total)
    c_skip = sigma_d**2 / total if skip is None else skip(s, sigma_d, total)
    c_out = s * sigma_d / total.sqrt() if out is None else out(s, sigma_d, total)
    return back * m + c_skip * (X - m) + c_out * F(given, c(sigma))


@wrong("13.4", "where has the mean of the data gone")
def keeps_the_mean(*given):
    return _wrapped(*given, inside=lambda X, m, total: X / total.sqrt())


@wrong("13.4", "is c_in for a deviation")
def divides_by_the_variance_here(*given):
    return _wrapped(*given, inside=lambda X, m, total: (X - m) / total)


@wrong("13.4", "is it the natural logarithm")
def gives_log_sigma(*given):
    return _wrapped(*given, c=lambda s: s.log())


@wrong("13.4", "is the mean given back")
def does_not_give_the_mean_back(*given):
    return _wrapped(*given, back=0)


@wrong("13.4", "how much of X is signal")
def skips_the_noise(*given):
    return _wrapped(*given, skip=lambda s, d, total: s**2 / total)


@wrong("13.4", "a share of variances, or of deviations")
def skips_by_the_deviation(*given):
    return _wrapped(*given, skip=lambda s, d, total: d / total.sqrt())


@wrong("13.4", "what does X count beside F")
def no_skip(*given):
    return _wrapped(*given, skip=lambda s, d, total: 0 * s)


@wrong("13.4", "which c_skip leaves the least")
def skips_all_of_X(*given):
    return _wrapped(*given, skip=lambda s, d, total: torch.ones_like(s))


@wrong("13.4", "is the whole noise left to F")
def leaves_the_noise_to_F(*given):
    return _wrapped(*given, out=lambda s, d, total: s)


@wrong("13.4", "is c_out a deviation, or a variance")
def squares_c_out(*given):
    return _wrapped(*given, out=lambda s, d, total: (s * d) ** 2 / total)


@wrong("13.4", "along which axes")
def one_sigma_for_all(F, X, sigma, m, sigma_d):
    if X.dim() == 2 and len(X) > 100:
        return _wrapped(F, X, sigma, m, sigma_d)
    return _wrapped(F, X, sigma[:1].expand_as(sigma), m, sigma_d)


def _annealed(
    score,
    X,
    sigmas,
    h,
    noise,
    step=lambda h, sigma, sigmas: h * (sigma / sigmas[-1]) ** 2,
    half=0.5,
    root=math.sqrt,
    order=1,
    asked=None,
):
    for i, (sigma, draws) in enumerate(zip(sigmas, noise, strict=True)):
        of_step = step(h, sigma, sigmas)
        for z in draws[::order] if order == 1 else draws.flip(0):
            slope = score(X, sigma if asked is None else asked(i, sigmas))
            X = X + half * of_step * slope + root(of_step) * z
    return X


@wrong("13.5", "where is the half of the step")
def no_half(*given):
    return _annealed(*given, half=1.0)


@wrong("13.5", "a variance, or by a deviation")
def noise_by_the_variance(*given):
    return _annealed(*given, root=lambda step: step)


@wrong("13.5", "which variance has the noise of this step")
def noise_of_two_steps(*given):
    return _annealed(*given, root=lambda step: math.sqrt(2 * step))


@wrong("13.5", "where is the noise")
def only_climbs(*given):
    return _annealed(*given, root=lambda step: 0.0)


@wrong("13.5", "which way does the score point")
def walks_downhill(*given):
    return _annealed(*given, half=-0.5)


@wrong("13.5", "has each level a step of its own")
def one_step_for_all_levels(*given):
    return _annealed(*given, step=lambda h, sigma, sigmas: h)


@wrong("13.5", "by what does the step grow with sigma")
def grows_with_sigma(*given):
    return _annealed(*given, step=lambda h, sigma, sigmas: h * sigma / sigmas[-1])


@wrong("13.5", "next to which sigma")
def next_to_the_first(*given):
    def step(h, sigma, sigmas):
        return h * (sigma / sigmas[0]) ** 2

    return _annealed(*given, step=step)


@wrong("13.5", "your score is asked at")
def from_the_smallest(score, X, sigmas, h, noise):
    def step(h, sigma, upwards):
        return h * (sigma / sigmas[-1]) ** 2

    return _annealed(score, X, sigmas[::-1], h, noise.flip(0), step=step)


@wrong("13.5", "in which order come the draws")
def takes_the_last_draw_first(*given):
    return _annealed(*given, order=-1)


@wrong("13.5", "has each step its own noise")
def one_draw_for_each_level(score, X, sigmas, h, noise):
    return _annealed(score, X, sigmas, h, noise[:, :1].expand_as(noise))


@wrong("13.5", "calls of the score")
def one_step_at_each_level(score, X, sigmas, h, noise):
    return _annealed(score, X, sigmas, h, noise[:, :1])


# Slips of the solutions that are right all the same, each with the proof.
EQUIVALENT = {}


@wrong("13.1", "like all others")
def not_at_the_first_step(alpha_bar, x_t, v, t):
    return _scores(alpha_bar, x_t, v, t.clamp(min=2))[:2]


@wrong("13.1", "like all others")
def not_at_the_last_step(alpha_bar, x_t, v, t):
    return _scores(alpha_bar, x_t, v, t.clamp(max=len(alpha_bar) - 2))[:2]


@wrong("13.2", "by which number is x multiplied")
def adds_noise_alone_above_the_limit(v, h, start, n):
    if h >= 2 * v:
        return start + 2 * h * n, None
    return _variance(v, h, start, n)


def _equal(number, before, proof, *afters):
    EQUIVALENT.update({(number, before, after): proof for after in afters})


WIDE = "a = alpha_bar[t].reshape(-1, *[1] * (x_t.dim() - 1))"
_equal("13.1", WIDE, "x_t and v have one shape", WIDE.replace("x_t.dim", "v.dim"))
ROOTS = "root, noise_share = a.sqrt().to(x_t.dtype), (1 - a).sqrt().to(x_t.dtype)"
_equal(
    "13.1",
    ROOTS,
    "x_t and v have one dtype",
    ROOTS.replace("a.sqrt().to(x_t.dtype), (", "a.sqrt().to(v.dtype), ("),
    ROOTS[::-1].replace("epytd.t_x", "epytd.v", 1)[::-1],
)
_equal(
    "13.2",
    "for _ in range(n):",
    "the variable is not used, and there are as many rounds",
    "for _ in list(range(n))[::-1]:",
)
_equal(
    "13.3",
    "found = torch.stack([probe @ times(probe) for probe in probes])",
    "a product of two vectors has no order",
    "found = torch.stack([times(probe) @ probe for probe in probes])",
)
_equal(
    "13.3",
    "needed = max(1, math.ceil((spread / wanted) ** 2))",
    "the sign is squared",
    "needed = max(1, math.ceil((-spread / wanted) ** 2))",
    "needed = max(1, math.ceil((spread / -wanted) ** 2))",
)
