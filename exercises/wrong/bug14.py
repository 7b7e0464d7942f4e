r"""Typical wrong answers to the run with a bug of chapter 14."""

from itertools import pairwise

from wrong import wrong

RIGHT = ("last_jump_missing", "step_as_time")


def _drawn(
    flow,
    alpha_bar,
    stops,
    x,
    time_of=None,
    time_at=0,
    parts=lambda z, time, u, x, root, share: (z + (1 - time) * u, z - time * u),
    end=None,
    scale=lambda x, root, share: x / (root + share),
    left=lambda share: share,
):
    r"""DDIM by a flow, of which parts can be replaced; right if none is."""
    for pair in pairwise(stops[:end]):
        t, s = pair
        root, share = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
        a = alpha_bar[pair[time_at]]
        time = a.sqrt() / (a.sqrt() + (1 - a).sqrt())
        if time_of is not None:
            time = time_of(t, a, len(alpha_bar) - 1)
        z = scale(x, root, share)
        u = flow(z, time.expand(len(x)))
        x_0, noise = parts(z, time, u, x, root, share)
        x = alpha_bar[s].sqrt() * x_0 + left((1 - alpha_bar[s]).sqrt()) * noise
    return x


@wrong("14.5", "do all schedules have the same ratio", RIGHT)
def mends_the_end_only(*given):
    return _drawn(*given, time_of=lambda t, a, T: 1 - t / T + 0 * a)


@wrong("14.5", "which is the last stop", RIGHT)
def mends_the_time_only(*given):
    return _drawn(*given, end=-1)


@wrong("14.5", "which end of time is noise", RIGHT)
def turns_the_time(*given):
    return _drawn(
        *given, time_of=lambda t, a, T: (1 - a).sqrt() / (a.sqrt() + (1 - a).sqrt())
    )


@wrong("14.5", "in which ratio are signal and noise, as deviations", RIGHT)
def asks_at_alpha_bar(*given):
    return _drawn(*given, time_of=lambda t, a, T: a)


@wrong("14.5", "at which end of the jump", RIGHT)
def asks_at_the_stop_after(*given):
    return _drawn(*given, time_at=1)


@wrong("14.5", "do the weights of x_t add up to 1", RIGHT)
def hands_x_t_in(*given):
    return _drawn(*given, scale=lambda x, root, share: x)


@wrong("14.5", "of which state is the answer the slope", RIGHT)
def starts_from_x_t(*given):
    return _drawn(
        *given, parts=lambda z, time, u, x, root, share: (x + (1 - time) * u, z - time * u)
    )


@wrong("14.5", "is the answer x_0 less the noise", RIGHT)
def subtracts_the_answer(*given):
    return _drawn(
        *given, parts=lambda z, time, u, x, root, share: (z - (1 - time) * u, z + time * u)
    )


@wrong("14.5", "a v, or a slope of the straight line", RIGHT)
def takes_a_v(*given):
    return _drawn(
        *given,
        parts=lambda z, time, u, x, root, share: (
            root * x + share * u,
            share * x - root * u,
        ),
    )


@wrong("14.5", "is the weight of the noise a variance", RIGHT)
def weighs_by_the_variance(*given):
    return _drawn(*given, left=lambda share: share**2)


@wrong("14.5", "which weights has x at the last stop", RIGHT)
def leaves_by_steps(flow, alpha_bar, stops, x):
    x = _drawn(flow, alpha_bar, stops, x)
    time = 1 - stops[-1] / (len(alpha_bar) - 1)
    straight = time / (time**2 + (1 - time) ** 2) ** 0.5
    return x * straight / alpha_bar[stops[-1]].sqrt()


def _as_given(*given):
    return _drawn(*given, time_of=lambda t, a, T: 1 - t / T + 0 * a, end=-1)


@wrong("14.5", "of the code nothing is said yet", ["time_turned"])
def blames_the_direction(*given):
    return _as_given(*given)


@wrong("14.5", "would give means below 0", ["step_as_time", "answer_turned"])
def blames_the_sign_too(*given):
    return _as_given(*given)


@wrong("14.5", "the deviation of the narrow data", ["step_as_time"])
def names_the_time_alone(*given):
    return _drawn(*given)


@wrong(
    "14.5", "one schedule is right where the other one is far off", ["last_jump_missing"]
)
def names_the_end_alone(*given):
    return _drawn(*given)


@wrong("14.5", "would leave a deviation below 0.1", ["no_root"])
def blames_the_weight(*given):
    return _drawn(*given, end=-1)
