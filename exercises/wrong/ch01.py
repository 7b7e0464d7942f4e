r"""Typical wrong answers to the exercises of chapter 01, each with words of its hint."""

import math

import torch

from wrong import wrong


@wrong("01.1", "are x and y independent")
def as_if_independent(a, b, v_x, v_y, c):
    return a**2 * v_x + b**2 * v_y


@wrong("01.1", "how often does the mixed term occur")
def once_the_covariance(a, b, v_x, v_y, c):
    return a**2 * v_x + b**2 * v_y + a * b * c


@wrong("01.1", "what does a factor do to deviations")
def factors_without_squares(a, b, v_x, v_y, c):
    return a * v_x + b * v_y + 2 * a * b * c


@wrong("01.1", "or its root")
def returns_a_deviation(a, b, v_x, v_y, c):
    return math.sqrt(max(a**2 * v_x + b**2 * v_y + 2 * a * b * c, 0))


@wrong("01.1", "what is left of c when a factor is 0")
def covariance_without_factors(a, b, v_x, v_y, c):
    return a**2 * v_x + b**2 * v_y + 2 * c


@wrong("01.1", "spread more, or less")
def the_sign_of_a_difference(a, b, v_x, v_y, c):
    return a**2 * v_x + b**2 * v_y - 2 * a * b * c


@wrong("01.1", "more certain")
def subtracts_the_variances(a, b, v_x, v_y, c):
    return a**2 * v_x - b**2 * v_y + 2 * a * b * c


@wrong("01.1", "may the mixed part be negative")
def never_less_than_independent(a, b, v_x, v_y, c):
    return a**2 * v_x + b**2 * v_y + abs(2 * a * b * c)


@wrong("01.1", "may the mixed part be negative")
def covariance_without_its_sign(a, b, v_x, v_y, c):
    return a**2 * v_x + b**2 * v_y + 2 * a * b * abs(c)


@wrong("01.1", "may the mixed part be negative")
def second_factor_without_its_sign(a, b, v_x, v_y, c):
    return a**2 * v_x + b**2 * v_y + 2 * a * abs(b) * c


@wrong("01.1", "deviations that add up")
def adds_deviations(a, b, v_x, v_y, c):
    return (abs(a) * math.sqrt(v_x) + abs(b) * math.sqrt(v_y)) ** 2


@wrong("01.1", "is y treated just as x is")
def forgets_a_square(a, b, v_x, v_y, c):
    return a**2 * v_x + b * v_y + 2 * a * b * c


@wrong("01.2", "does what was known before count")
def forgets_what_was_known(m, v, y_1, s_1, y_2, s_2):
    precision = 1 / s_1 + 1 / s_2
    return (y_1 / s_1 + y_2 / s_2) / precision, 1 / precision


@wrong("01.2", "should not each of the two measurements count")
def only_the_second(m, v, y_1, s_1, y_2, s_2):
    precision = 1 / v + 1 / s_2
    return (m / v + y_2 / s_2) / precision, 1 / precision


@wrong("01.2", "what does fact 3 say of one measurement")
def measures_lengths(m, v, y_1, s_1, y_2, s_2):
    precision = 1 / v + 1 / s_1 + 1 / s_2
    return (m / v + abs(y_1) / s_1 + abs(y_2) / s_2) / precision, 1 / precision


@wrong("01.2", "what of the sources adds up")
def adds_the_variances(m, v, y_1, s_1, y_2, s_2):
    return (m + y_1 + y_2) / 3, v + s_1 + s_2


@wrong("01.2", "is s a variance")
def weighs_by_deviations(m, v, y_1, s_1, y_2, s_2):
    a, b, c = (1 / math.sqrt(x) for x in (v, s_1, s_2))
    return (m * a + y_1 * b + y_2 * c) / (a + b + c), 1 / (1 / v + 1 / s_1 + 1 / s_2)


@wrong("01.2", "may sources count alike")
def averages_the_means(m, v, y_1, s_1, y_2, s_2):
    return (m + y_1 + y_2) / 3, 1 / (1 / v + 1 / s_1 + 1 / s_2)


@wrong("01.2", "a mean over the sources, or what they know together")
def means_of_the_variances(m, v, y_1, s_1, y_2, s_2):
    precision = 1 / v + 1 / s_1 + 1 / s_2
    return (m / v + y_1 / s_1 + y_2 / s_2) / precision, 3 / precision


@wrong("01.2", "how often did x's own law come in")
def multiplies_two_posteriors(m, v, y_1, s_1, y_2, s_2):
    precision = 2 / v + 1 / s_1 + 1 / s_2
    return (2 * m / v + y_1 / s_1 + y_2 / s_2) / precision, 1 / precision


@wrong("01.2", "which noise belongs to which measurement")
def weighs_each_by_the_other(m, v, y_1, s_1, y_2, s_2):
    precision = 1 / v + 1 / s_1 + 1 / s_2
    return (m / v + y_1 / s_2 + y_2 / s_1) / precision, 1 / precision


@wrong("01.2", "a mean of the sources, whose weights add up to 1")
def forgets_to_divide(m, v, y_1, s_1, y_2, s_2):
    precision = 1 / v + 1 / s_1 + 1 / s_2
    return m / v + y_1 / s_1 + y_2 / s_2, 1 / precision


@wrong("01.2", "what do the three sources weigh")
def one_measurement_after_the_other(m, v, y_1, s_1, y_2, s_2):
    gain_1, gain_2 = v / (v + s_1), v / (v + s_2)  # the second meets the old variance
    mean = m + gain_1 * (y_1 - m)
    return mean + gain_2 * (y_2 - mean), 1 / (1 / v + 1 / s_1 + 1 / s_2)


@wrong("01.2", "is v a variance, or a deviation")
def squares_what_are_variances(m, v, y_1, s_1, y_2, s_2):
    precision = v**-2 + s_1**-2 + s_2**-2
    return (m / v**2 + y_1 / s_1**2 + y_2 / s_2**2) / precision, 1 / precision


def _before(Q, x_0, steps):
    p = torch.eye(Q.shape[1], dtype=Q.dtype)[x_0]
    for step in Q[:steps]:
        p = p @ step
    return p


@wrong("01.3", "itself")
def forgets_where_it_started(Q, t, x_0, x_t):
    joint = Q[t - 1, :, x_t]
    return joint / joint.sum()


@wrong("01.3", "is it still a joint probability")
def does_not_normalise(Q, t, x_0, x_t):
    return _before(Q, x_0, t - 1) * Q[t - 1, :, x_t]


@wrong("01.3", "what does the later end say")
def forgets_where_it_ends(Q, t, x_0, x_t):
    return _before(Q, x_0, t - 1)


@wrong("01.3", "to which does the last step lead")
def rows_for_columns(Q, t, x_0, x_t):
    joint = _before(Q, x_0, t - 1) * Q[t - 1, x_t]
    return joint / joint.sum()


@wrong("01.3", "how many steps lead from x_0")
def one_step_too_far(Q, t, x_0, x_t):
    joint = _before(Q, x_0, t) * Q[t - 1, :, x_t]
    return joint / joint.sum()


@wrong("01.3", "is every step the first one")
def the_first_step_over_and_over(Q, t, x_0, x_t):
    joint = _before(Q[:1].expand_as(Q), x_0, t - 1) * Q[t - 1, :, x_t]
    return joint / joint.sum()


@wrong("01.3", "in which order are the steps walked")
def walks_the_steps_backwards(Q, t, x_0, x_t):
    joint = _before(Q[: t - 1].flip(0), x_0, t - 1) * Q[t - 1, :, x_t]
    return joint / joint.sum()


@wrong("01.3", "to which does the first step lead")
def walks_by_columns(Q, t, x_0, x_t):
    joint = _before(Q.transpose(1, 2), x_0, t - 1) * Q[t - 1, :, x_t]
    return joint / joint.sum()


@wrong("01.3", "should be torch.float64")
def states_in_single_precision(Q, t, x_0, x_t):
    joint = _before(Q.float(), x_0, t - 1) * Q[t - 1, :, x_t].float()
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
    return x.mean() + slope * (at - y.mean())


@wrong("01.4", "enough pairs")
def nearest_neighbour(x, y, at):
    return x[(at[:, None] - y[None]).abs().argmin(1)]


@wrong("01.4", "do they average over enough pairs")
def thirty_neighbours(x, y, at):
    nearest = (at[:, None] - y[None]).abs().topk(30, largest=False).indices
    return x[nearest].mean(1)


@wrong("01.4", "likeliest x")
def the_likeliest(x, y, at):
    smooth = _smooth(x, y, at)
    two = x.unique()
    if len(two) > 2:
        return smooth
    return torch.where(smooth < two.mean(), two[0], two[1])


@wrong("01.4", "far away")
def the_mean_of_all(x, y, at):
    return torch.full_like(at, float(x.mean()))


@wrong("01.4", "far away")
def smooths_too_much(x, y, at):
    return _smooth(x, y, at, 3.0)


@wrong("01.4", "a mean, or a sum")
def weights_that_do_not_add_up(x, y, at):
    return torch.exp(-((at[:, None] - y[None]) ** 2) / (2 * 0.15**2)) @ x


@wrong("01.4", "where does the line pass")
def a_line_through_nothing(x, y, at):
    slope = ((x - x.mean()) * (y - y.mean())).mean() / y.var()
    return slope * (at - y.mean()) + x.mean() + 0.3


@wrong("01.4", "of its own `at`")
def sorts_the_places(x, y, at):
    return _smooth(x, y, at.sort().values)


_CANCELS = "The sign stands above and below in joint / joint.sum(), and cancels."
_ANOTHER_WIDTH = (
    "Means over neighbours with another width or shape: a right answer of another kind, as "
    "the statement allows any method whose error stays below 0.1."
)
_WEIGHTS = "weights = torch.exp(-((at[:, None] - y[None]) ** 2) / (2 * width**2))"
_KERNELS = (
    "-((at[:, None] - y[None]) ** 4) / (2 * width**2)",
    "-((at[:, None] - y[None]) ** 2) / (width ** 2)",
    "-((at[:, None] - y[None]) ** 2) / (3 * width**2)",
    "-((at[:, None] - y[None]) ** 2) / (1 * width**2)",
    "-((at[:, None] - y[None]) ** 2) / (4 * width**2)",
    "-((at[:, None] - y[None]) ** 2) / (2 * width)",
    "-((at[:, None] - y[None]) ** 2) / (2 * width**3)",
    "-((at[:, None] - y[None]) ** 2) / (2 * width**1)",
    "-((at[:, None] - y[None]) ** 2) / (2 * width**4)",
)
_EYE, _STEP = "before = torch.eye(Q.shape[1], dtype=Q.dtype)[x_0]", "before = before @ step"
_JOINT = "joint = before * Q[t - 1, :, x_t]"
EQUIVALENT = {
    ("01.3", _EYE, "before = -torch.eye(Q.shape[1], dtype=Q.dtype)[x_0]"): _CANCELS,
    ("01.3", _EYE, "before = torch.eye(Q.shape[2], dtype=Q.dtype)[x_0]"): (
        "Q is (T, K, K): its second and third dimension are the same number."
    ),
    ("01.3", _STEP, "before = -(before @ step)"): _CANCELS,
    ("01.3", _STEP, "before = -before @ step"): _CANCELS,
    ("01.3", _STEP, "before = before @ -step"): _CANCELS,
    ("01.3", _JOINT, "joint = -(before * Q[t - 1, :, x_t])"): _CANCELS,
    ("01.3", _JOINT, "joint = -before * Q[t - 1, :, x_t]"): _CANCELS,
    ("01.3", _JOINT, "joint = before * -Q[t - 1, :, x_t]"): _CANCELS,
    ("01.4", "width = 0.15", "width = 0.3"): _ANOTHER_WIDTH,
    ("01.4", "width = 0.15", "width = 0.075"): _ANOTHER_WIDTH,
    (
        "01.4",
        _WEIGHTS,
        "weights = -torch.exp(-(at[:, None] - y[None]) ** 2 / (2 * width ** 2))",
    ): "The sign of all weights cancels when the sum is divided by their sum.",
    (
        "01.4",
        _WEIGHTS,
        "weights = torch.exp(-((at[:, None] - y) ** 2) / (2 * width**2))",
    ): "y (N,) broadcasts with (M, 1) just as y[None] (1, N) does.",
    **{("01.4", _WEIGHTS, f"weights = torch.exp({k})"): _ANOTHER_WIDTH for k in _KERNELS},
}
