r"""Typical wrong answers to the exercises of chapter 15, each with words of its hint."""

import math

import torch

from wrong import wrong


def _started(alpha_bar, stops, strength, count=None, at=None, weights=None):
    N = len(stops) - 1
    made = int(strength * N) if count is None else count(strength, N)
    place = N - made if at is None else at(N, made)
    a = float(alpha_bar[stops[min(max(place, 0), N)]])
    return made, *((math.sqrt(a), math.sqrt(1 - a)) if weights is None else weights(a))


@wrong("15.1", "or those that are left out")
def counts_what_is_left_out(*given):
    return _started(*given, count=lambda strength, N: N - int(strength * N))


@wrong("15.1", "a share of the steps, or of T")
def counts_in_t(alpha_bar, stops, strength):
    t = strength * (len(alpha_bar) - 1)
    i = min(range(len(stops)), key=lambda i: abs(stops[i] - t))
    return _started(
        alpha_bar, stops, strength, count=lambda *_: int(t), at=lambda N, made: i
    )


@wrong("15.1", "is a part of a step made")
def rounds_steps_up(*given):
    return _started(*given, count=lambda strength, N: math.ceil(strength * N))


@wrong("15.1", "how many steps have so many stops")
def counts_the_stops(*given):
    return _started(*given, count=lambda strength, N: int(strength * (N + 1)))


@wrong("15.1", "are those weights, or their squares")
def gives_squares(*given):
    return _started(*given, weights=lambda a: (a, 1 - a))


@wrong("15.1", "which of the two comes first")
def noise_comes_first(*given):
    return _started(*given, weights=lambda a: (math.sqrt(1 - a), math.sqrt(a)))


@wrong("15.1", "from which end are the stops counted")
def counts_from_the_noise(*given):
    return _started(*given, at=lambda N, made: made)


@wrong("15.1", "where the first step begins, or where it ends")
def one_stop_late(*given):
    return _started(*given, at=lambda N, made: N - made + 1)


@wrong("15.1", "is a strength a weight")
def weighs_by_the_strength(alpha_bar, stops, strength):
    return _started(alpha_bar, stops, strength, weights=lambda a: (1 - strength, strength))


@wrong("15.1", "0 steps are made")
def makes_one_step_at_least(*given):
    return _started(*given, count=lambda strength, N: max(1, int(strength * N)))


def _turn(a, b, w, share=lambda w: w, length=None, floor=1e-6, axes=None, double=True):
    flat, other = a.flatten(1), b.flatten(1)
    flat, other, w = (v.double() if double else v for v in (flat, other, w))
    of_a, of_b = flat.norm(dim=1), other.norm(dim=1)
    u, v = flat / of_a[:, None], other / of_b[:, None]
    angle = 2 * torch.atan2((u - v).norm(dim=1), (u + v).norm(dim=1))
    w_here = share(w)
    turned = angle > floor
    sine = torch.where(turned, angle.sin(), torch.ones_like(angle))
    left = torch.where(turned, ((1 - w_here) * angle).sin() / sine, 1 - w_here)
    right = torch.where(turned, (w_here * angle).sin() / sine, w_here)
    unit = left[:, None] * u + right[:, None] * v
    of = (1 - w) * of_a + w * of_b if length is None else length(of_a, of_b, w)
    return (of[:, None] * unit).reshape(a.shape).to(a.dtype)


@wrong("15.2", "how long is the mean of two noises")
def takes_the_mean(a, b, w):
    w = w.reshape(-1, *[1] * (a.dim() - 1))
    return (1 - w) * a + w * b


@wrong("15.2", "has a direction a length of its own")
def gives_a_direction(*given):
    return _turn(*given, length=lambda of_a, of_b, w: torch.ones_like(w))


@wrong("15.2", "which length has it at w = 1")
def keeps_the_first_length(*given):
    return _turn(*given, length=lambda of_a, of_b, w: of_a)


@wrong("15.2", "does the length grow evenly")
def mixes_logarithms(*given):
    return _turn(*given, length=lambda of_a, of_b, w: of_a ** (1 - w) * of_b**w)


@wrong("15.2", "which of the two is it at w = 0")
def walks_from_b(a, b, w):
    return _turn(b, a, w)


@wrong("15.2", "are both noises as long as each other")
def the_usual_slerp(a, b, w):
    flat, other = a.flatten(1), b.flatten(1)
    cosine = (flat * other).sum(1) / flat.norm(dim=1) / other.norm(dim=1)
    angle = cosine.clamp(-1, 1).acos()
    left, right = ((1 - w) * angle).sin() / angle.sin(), (w * angle).sin() / angle.sin()
    return (left[:, None] * flat + right[:, None] * other).reshape(a.shape)


@wrong("15.2", "grow evenly with w")
def stretches_the_line(a, b, w):
    w = w.reshape(-1, *[1] * (a.dim() - 1))
    line = ((1 - w) * a + w * b).flatten(1)
    of_a, of_b = a.flatten(1).norm(dim=1), b.flatten(1).norm(dim=1)
    length = (1 - w.flatten()) * of_a + w.flatten() * of_b
    return (line / line.norm(dim=1, keepdim=True) * length[:, None]).reshape(a.shape)


@wrong("15.2", "the result has nan or inf")
def divides_by_the_sine(a, b, w):
    flat, other, w = (v.double() for v in (a.flatten(1), b.flatten(1), w))
    of_a, of_b = flat.norm(dim=1), other.norm(dim=1)
    u, v = flat / of_a[:, None], other / of_b[:, None]
    angle = (u * v).sum(1).clamp(-1, 1).acos()
    left, right = ((1 - w) * angle).sin() / angle.sin(), (w * angle).sin() / angle.sin()
    unit = left[:, None] * u + right[:, None] * v
    length = (1 - w) * of_a + w * of_b
    return (length[:, None] * unit).reshape(a.shape).to(a.dtype)


@wrong("15.2", "if the angle becomes small")
def stays_where_there_is_no_angle(*given):
    a, b, _ = given
    made = _turn(*given)
    cosine = torch.cosine_similarity(a.flatten(1).double(), b.flatten(1).double())
    same = (cosine > 1 - 1e-6).reshape(-1, *[1] * (a.dim() - 1))
    return torch.where(same, a, made)


@wrong("15.2", "grow evenly with w")
def takes_the_line_for_small_angles(a, b, w):
    u, v = (x.flatten(1) / x.flatten(1).norm(dim=1, keepdim=True) for x in (a, b))
    cosine = (u * v).sum(1)
    made = _turn(a, b, w).flatten(1)
    wide = w[:, None]
    line = (1 - wide) * u + wide * v
    line = line / line.norm(dim=1, keepdim=True) * made.norm(dim=1, keepdim=True)
    return torch.where((cosine > 0.99)[:, None], line, made).reshape(a.shape)


@wrong("15.2", "over which entries")
def turns_each_row(a, b, w):
    if a.dim() == 2:
        return _turn(a, b, w)
    rows = a.reshape(-1, a.shape[-1]), b.reshape(-1, a.shape[-1])
    many = w.repeat_interleave(len(rows[0]) // len(w))
    return _turn(*rows, many).reshape(a.shape)


@wrong("15.2", "should be torch.float32")
def gives_double(a, b, w):
    return _turn(a.double(), b.double(), w.double())


def _posterior(m, C, A, y, s2, inside=None, off=None, gain=None, left=None, start=1):
    eye = torch.eye(len(y), dtype=C.dtype)
    S = A @ C @ A.T + s2 * eye if inside is None else inside(A, C, s2, eye)
    found = (torch.linalg.pinv(S) @ (A @ C)).T
    found = found if gain is None else gain(found, C, A, S)
    seen = y - A @ m if off is None else off(y, A @ m)
    after = C - found @ A @ C if left is None else left(C, found, A, S)
    return start * m + found @ seen, after


@wrong("15.3", "what did you expect to measure")
def takes_y_alone(*given):
    return _posterior(*given, off=lambda y, expected: y)


@wrong("15.3", "is y larger than expected, or smaller")
def turns_the_difference(*given):
    return _posterior(*given, off=lambda y, expected: expected - y)


@wrong("15.3", "where is the mean that you began with")
def forgets_the_first_mean(*given):
    return _posterior(*given, start=0)


@wrong("15.3", "how wide is the known entry's law")
def does_not_divide_by_the_variance(*given):
    return _posterior(*given, gain=lambda found, C, A, S: C @ A.T)


@wrong("15.3", "is the measurement exact")
def leaves_the_noise_out(*given):
    return _posterior(*given, inside=lambda A, C, s2, eye: A @ C @ A.T)


@wrong("15.3", "is s2 a variance, or a deviation")
def squares_s2(*given):
    return _posterior(*given, inside=lambda A, C, s2, eye: A @ C @ A.T + s2**2 * eye)


@wrong("15.3", "are the errors of two measurements independent")
def adds_s2_everywhere(m, C, A, y, s2):
    if len(y) == 1:
        return _posterior(m, C, A, y, s2)
    return _posterior(m, C, A, y, s2, inside=lambda A, C, s2, eye: A @ C @ A.T + s2)


@wrong("15.3", "how much of each variance is explained")
def keeps_the_covariance(*given):
    return _posterior(*given, left=lambda C, *_: C)


@wrong("15.3", "how much of each variance is explained")
def gives_what_is_explained(*given):
    return _posterior(*given, left=lambda C, found, A, S: found @ A @ C)


@wrong("15.3", "your function raised ZeroDivisionError")
def adds_precisions(m, C, A, y, s2):
    after = torch.linalg.inv(torch.linalg.inv(C) + A.T @ A * (1 / s2))
    return after @ (torch.linalg.solve(C, m) + A.T @ y / s2), after


@wrong("15.3", "where is a division by s2")
def adds_a_little(m, C, A, y, s2):
    return _posterior(m, C, A, y, s2 if len(y) == 1 or s2 else 1e-3, left=None)


def _guided(
    denoise,
    pull,
    x_t,
    a,
    A,
    y,
    r2,
    s2,
    inside=None,
    seen=lambda y, x_0, x_t, A: y - x_0 @ A.T,
    factor=lambda a, r2: (1 - a) / math.sqrt(a),
    times=1.0,
    at=None,
):
    x_0, eye = denoise(x_t), torch.eye(len(A), dtype=A.dtype)
    S = r2 * A @ A.T + s2 * eye if inside is None else inside(A, r2, s2, eye)
    slope = torch.linalg.solve(S, seen(y, x_0, x_t, A).T).T @ A
    return x_0 + factor(a, r2) * pull(x_t if at is None else x_0, times * slope)


@wrong("15.4", "towards y, or away from it")
def pulls_away(*given):
    return _guided(*given, times=-1.0)


@wrong("15.4", "how uncertain is the guess of x_0")
def forgets_r2(*given):
    return _guided(*given, inside=lambda A, r2, s2, eye: A @ A.T + s2 * eye)


@wrong("15.4", "how uncertain is A times x_0")
def forgets_the_matrix(*given):
    return _guided(*given, inside=lambda A, r2, s2, eye: (r2 + s2) * eye)


@wrong("15.4", "is r2 a variance, or a deviation")
def squares_r2(*given):
    return _guided(*given, inside=lambda A, r2, s2, eye: r2**2 * A @ A.T + s2 * eye)


@wrong("15.4", "is it x_t that is measured, or x_0")
def measures_x_t(*given):
    return _guided(*given, seen=lambda y, x_0, x_t, A: y - x_t @ A.T)


@wrong("15.4", "what would the guess have measured")
def takes_all_of_y(*given):
    return _guided(*given, seen=lambda y, x_0, x_t, A: y)


@wrong("15.4", "where is the Jacobian taken")
def pulls_at_x_0(*given):
    return _guided(*given, at="x_0")


@wrong("15.4", "by how much does x_0 move with the score")
def adds_the_score(*given):
    return _guided(*given, factor=lambda a, r2: 1.0)


@wrong("15.4", "or of the noise")
def moves_the_noise(*given):
    return _guided(*given, factor=lambda a, r2: math.sqrt(1 - a))


@wrong("15.4", "divided by alpha_bar, or by its root")
def divides_by_alpha_bar(*given):
    return _guided(*given, factor=lambda a, r2: (1 - a) / a)


@wrong("15.4", "is that so for every law")
def skips_the_jacobian(*given):
    return _guided(*given, factor=lambda a, r2: r2)


@wrong("15.4", "how often do you need it")
def asks_for_each_measurement(denoise, pull, x_t, a, A, y, r2, s2):
    for _ in A:
        denoise(x_t)
    return _guided(denoise, pull, x_t, a, A, y, r2, s2)


# Slips of the solutions that are right all the same, each with the proof.
EQUIVALENT = {}


def _equal(number, before, proof, *afters):
    EQUIVALENT.update({(number, before, after): proof for after in afters})


ACROSS = (
    "across, along = (u - v).norm(dim=1, keepdim=True), (u + v).norm(dim=1, keepdim=True)"
)
_equal("15.2", ACROSS, "a norm has no sign", ACROSS.replace("u - v", "v - u"))
EVEN = "the angle only turns its sign, and sinc is even"
_equal("15.2", ACROSS, EVEN, ACROSS.replace("= (u - v)", "= -(u - v)"))
ANGLE = "angle = 2 * torch.atan2(across, along) / math.pi"
_equal(
    "15.2",
    ANGLE,
    EVEN,
    "angle = -(2 * torch.atan2(across, along) / math.pi)",
    "angle = -(2 * torch.atan2(across, along)) / math.pi",
    "angle = 2 * -torch.atan2(across, along) / math.pi",
)
LEFT = "left = (1 - w) * torch.sinc((1 - w) * angle) / torch.sinc(angle)"
_equal(
    "15.2",
    LEFT,
    "sinc is even",
    LEFT.replace("((1 - w) * angle)", "((-(1 - w)) * angle)"),
    LEFT.replace("* angle)", "* -angle)"),
    LEFT.replace("((1 - w) * angle)", "((w - 1) * angle)"),
)
TURNED = "right = w * torch.sinc(w * angle) / torch.sinc(angle)"
_equal(
    "15.2",
    TURNED,
    "sinc is even",
    TURNED.replace("(w * angle)", "(-w * angle)"),
    TURNED.replace("(w * angle)", "(w * -angle)"),
)
_equal(
    "15.2",
    "return (length * (left * u + right * v)).reshape(a.shape)",
    "a and b have one shape",
    "return (length * (left * u + right * v)).reshape(b.shape)",
)
_equal(
    "15.3",
    "S = A @ C @ A.T + s2 * torch.eye(len(y), dtype=C.dtype)",
    "all that goes in is float64",
    "S = A @ C @ A.T + s2 * torch.eye(len(y), dtype=A.dtype)",
)
NOISY = "S = r2 * A @ A.T + s2 * torch.eye(len(A), dtype=A.dtype)"
_equal(
    "15.4",
    NOISY,
    "all that goes in is float64",
    *(NOISY.replace("dtype=A", f"dtype={other}") for other in ("x_0", "x_t", "y")),
)
