r"""Typical wrong answers to the exercises of chapter 01, each with words of its hint."""

import math

import torch

from wrong import wrong


@wrong("01.1", "independent")
def as_if_independent(a, b, v_x, v_y, c):
    return a**2 * v_x + b**2 * v_y


@wrong("01.1", "independent")
def once_the_covariance(a, b, v_x, v_y, c):
    return abs(a**2 * v_x + b**2 * v_y + a * b * c)


@wrong("01.1", "what does a factor do")
def factors_without_squares(a, b, v_x, v_y, c):
    return abs(a * v_x + b * v_y + 2 * a * b * c)


@wrong("01.1", "what does a factor do")
def returns_a_deviation(a, b, v_x, v_y, c):
    return math.sqrt(max(a**2 * v_x + b**2 * v_y + 2 * a * b * c, 0))


@wrong("01.1", "independent")
def covariance_without_factors(a, b, v_x, v_y, c):
    return abs(a**2 * v_x + b**2 * v_y + 2 * c * (b != 0))


@wrong("01.2", "endless noise")
def forgets_what_was_known(m, v, y_1, s_1, y_2, s_2):
    precision = 1 / s_1 + 1 / s_2
    return (y_1 / s_1 + y_2 / s_2) / precision, min(1 / precision, 0.9 * v)


@wrong("01.2", "should not matter")
def only_the_second(m, v, y_1, s_1, y_2, s_2):
    precision = 1 / v + 1 / s_2
    return (m / v + y_2 / s_2) / precision, 1 / precision


@wrong("01.2", "less uncertain")
def adds_the_variances(m, v, y_1, s_1, y_2, s_2):
    return (m + y_1 + y_2) / 3, v + s_1 + s_2


@wrong("01.2", "three sources weigh")
def weighs_by_deviations(m, v, y_1, s_1, y_2, s_2):
    a, b, c = (1 / math.sqrt(x) for x in (v, s_1, s_2))
    return (m * a + y_1 * b + y_2 * c) / (a + b + c), 1 / (1 / v + 1 / s_1 + 1 / s_2)


@wrong("01.2", "endless noise")
def averages_the_means(m, v, y_1, s_1, y_2, s_2):
    return (m + y_1 + y_2) / 3, 1 / (1 / v + 1 / s_1 + 1 / s_2)


@wrong("01.2", "less uncertain")
def means_of_the_variances(m, v, y_1, s_1, y_2, s_2):
    precision = 1 / v + 1 / s_1 + 1 / s_2
    return (m / v + y_1 / s_1 + y_2 / s_2) / precision, 3 / precision


def _before(Q, x_0, steps):
    p = torch.eye(Q.shape[1], dtype=Q.dtype)[x_0]
    for step in Q[:steps]:
        p = p @ step
    return p


@wrong("01.3", "itself")
def forgets_where_it_started(Q, t, x_0, x_t):
    joint = Q[t - 1, :, x_t]
    return joint / joint.sum()


@wrong("01.3", "add up to 1")
def does_not_normalise(Q, t, x_0, x_t):
    return _before(Q, x_0, t - 1) * Q[t - 1, :, x_t]


@wrong("01.3", "one before and one after")
def forgets_where_it_ends(Q, t, x_0, x_t):
    return _before(Q, x_0, t - 1)


@wrong("01.3", "one before and one after")
def rows_for_columns(Q, t, x_0, x_t):
    joint = _before(Q, x_0, t - 1) * Q[t - 1, x_t]
    return joint / joint.sum()


@wrong("01.3", "itself")
def one_step_too_far(Q, t, x_0, x_t):
    joint = _before(Q, x_0, t) * Q[t - 1, :, x_t]
    return joint / joint.sum()


@wrong("01.3", "one before and one after")
def the_first_step_over_and_over(Q, t, x_0, x_t):
    joint = _before(Q[:1].expand_as(Q), x_0, t - 1) * Q[t - 1, :, x_t]
    return joint / joint.sum()


def _smooth(x, y, at, width=0.15):
    weights = torch.exp(-((at[:, None] - y[None]) ** 2) / (2 * width**2))
    return (weights @ x) / weights.sum(1)


@wrong("01.4", "that you guess from y")
def guesses_y_from_x(x, y, at):
    return _smooth(y, x, at, 0.3)


@wrong("01.4", "follow the curve")
def a_straight_line(x, y, at):
    slope = ((x - x.mean()) * (y - y.mean())).mean() / y.var()
    return (x.mean() + slope * (at - y.mean())).clamp(-1, 1)


@wrong("01.4", "enough pairs")
def nearest_neighbour(x, y, at):
    return x[(at[:, None] - y[None]).abs().argmin(1)]


@wrong("01.4", "likeliest x")
def the_likeliest(x, y, at):
    smooth = _smooth(x, y, at)
    two = bool((x.abs() == 1).all())
    return smooth.sign() if two else smooth


@wrong("01.4", "far away")
def the_mean_of_all(x, y, at):
    return torch.full_like(at, float(x.mean()))


@wrong("01.4", "far away")
def smooths_too_much(x, y, at):
    return _smooth(x, y, at, 3.0)


@wrong("01.4", "a mean, or a sum")
def weights_that_do_not_add_up(x, y, at):
    return torch.exp(-((at[:, None] - y[None]) ** 2) / (2 * 0.15**2)) @ x
