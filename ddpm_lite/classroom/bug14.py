r"""The run with a bug of chapter 14: a flow in DDIM's loop, along any schedule.

The check hands in flows that note what they are asked. With the flow's own schedule the
time is right, so that the two repairs do not wait for each other.
"""

from itertools import pairwise

import torch

from ..schedule import Schedule
from .bugs import Fault, independent, naming
from .ch08 import asked_about, drawn_schedule
from .ch14 import ASKED, TURNED, _Flow
from .exercise import apart, exercise, expect, near, normal, steps, tensor, whole

# What `otherwise` says was measured: figures/bugs_flow.py, bugs_flow.json.
FAULTS = (
    Fault(
        "step_as_time",
        "takes $s=1-t/T$, whatever the schedule is",
        unexplained="that one schedule is right where the other one is far off",
    ),
    Fault(
        "last_jump_missing",
        "stops at the last stop but one",
        unexplained="the deviation of the narrow data after 10 steps, flow schedule",
    ),
    Fault(
        "time_turned",
        "asks the flow at $1-s$",
        "would miss the mean of 2 with both schedules; here the flow's schedule finds it",
    ),
    Fault(
        "time_is_alpha_bar",
        r"takes $\bar\alpha_t$ for the time $s$",
        "would leave a deviation below 0.1 for data 0 and 1 with 40 steps; "
        "here there is more",
    ),
    Fault(
        "asked_at_s",
        "asks the flow at the time of the stop to which it goes",
        "would draw mean 0 and deviation 1 for all data with the flow's schedule; here "
        "that schedule tells the data apart",
    ),
    Fault(
        "not_scaled",
        "gives $x_t$ to the flow, without a factor",
        "would give a deviation of thousands with 40 steps; here no number is above 2",
    ),
    Fault(
        "x_0_of_x",
        r"has $x_t$ in place of $z$ where it computes $x_0$",
        "would give a deviation above 5 with 40 steps of any schedule; here no number is "
        "above 2",
    ),
    Fault(
        "noise_of_x",
        r"has $x_t$ in place of $z$ where it computes $\varepsilon$",
        "would give a deviation above 3 with 40 steps of any schedule; here no number is "
        "above 2",
    ),
    Fault(
        "answer_turned",
        r"takes the answer for $\varepsilon-x_0$",
        "would give means below 0 where the data have the mean 2; here they are above 0",
    ),
    Fault(
        "answer_is_v",
        "treats the answer as a $v$, turned round",
        "would give means near 3 where the data have the mean 2, with both schedules; "
        "here none is above 2",
    ),
    Fault(
        "x_0_for_noise",
        r"exchanges $x_0$ and $\varepsilon$",
        "would leave no deviation for data 0 and 1; here there is some",
    ),
    Fault(
        "no_root",
        r"gives the noise the weight $1-\bar\alpha$ at the next stop, without a root",
        "would leave a deviation below 0.1 for data 0 and 1 with 40 steps of the flow's "
        "schedule; here that row is nearly right",
    ),
)


@exercise(
    "14.5", "draw_by_flow", kind="bug", minutes=40, points=5, also=("faults",), lacks=ASKED
)
def find_the_bug(answer, seed):
    yield from independent(
        naming(answer, FAULTS),
        _asks_along_any_schedule(answer, seed),
        _arrives(answer, seed),
    )


def _drawn(answer, says, alpha_bar, stops, x):
    flow = _Flow(says)
    got = tensor(answer(flow, alpha_bar, list(stops), x), x, "the samples")
    return got, flow.asked


def _bent(W):
    def says(z, time):
        return torch.tanh(z @ W.T + time[:, None]) - 0.3 * z

    return says


def _stops(T, *seed):
    r"""Falling stops below T, the last one above 0, no two alike."""
    count = whole(3, 5, *seed)
    inner = sorted(set(steps(T // 10, T * 9 // 10, count, *seed, 1).tolist()))
    return [T, *inner[::-1], whole(1, T // 20, *seed, 2)]


def _parts(alpha_bar, t):
    root, share = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
    return root, share, root / (root + share)


def _states(says, alpha_bar, stops, x, how=""):
    r"""All x at the stops, with one or another slip."""
    states = [x]
    for t, s in pairwise(stops):
        root, share, time = _parts(alpha_bar, t)
        z = x / (root + share)
        u = says(z, time.expand(len(x)))
        x_0, noise = z + (1 - time) * u, z - time * u
        if how == "x_0 of x":
            x_0 = x + (1 - time) * u
        if how == "noise of x":
            noise = x - time * u
        if how == "turned":
            x_0, noise = z - (1 - time) * u, z + time * u
        if how == "exchanged":
            x_0, noise = noise, x_0
        if how == "v":
            x_0, noise = root * x + share * u, share * x - root * u
        after, left, _ = _parts(alpha_bar, s)
        if how == "no root":
            left = left**2
        if how == "bare":
            after, left = alpha_bar[s], 1 - alpha_bar[s]
        x = after * x_0 + left * noise
        states.append(x)
    return states


SLIPS = (
    ("x_0 of x", "of which state is the answer the slope, z or x_t?"),
    ("noise of x", "of which state is the answer the slope, z or x_t?"),
    ("turned", "is the answer x_0 less the noise, or the other way?"),
    ("exchanged", "which of the two is x_0?"),
    ("v", "is the answer a v, or a slope of the straight line?"),
    ("no root", "is the weight of the noise a variance, or a deviation?"),
    ("bare", "is the weight of x_0 a square, or a root?"),
)


def _asks_along_any_schedule(answer, seed):
    r"""The time of the first calls, then the states of them: no call is missed here."""
    drawn = []
    for k in range(3):
        schedule = drawn_schedule(k, 1451, seed, k)
        stops = _stops(schedule.T, 1452, seed, k)
        x = normal((4, 3), 1453, seed, k)
        says = _bent(normal((3, 3), 1454, seed, k))
        drawn.append((schedule, stops, x, says))
    for given in drawn:
        _at_these_times(answer, *given)
    yield 1, "the flow is asked at the right times"
    for given in drawn:
        _about_these_states(answer, *given)
    yield 1, "about the right states"


def _at_these_times(answer, schedule, stops, x, says):
    _, asked = _drawn(answer, says, schedule.alpha_bar, stops, x)
    expect(
        len(asked) >= len(stops) - 2,
        f"for {len(stops)} stops the flow is asked {len(asked)} times: once for each jump?",
    )
    T = schedule.T
    of = schedule.alpha_bar
    for i, (t, s) in enumerate(list(pairwise(stops))[: len(asked)]):
        got, right = float(asked[i][1][0]), float(_parts(of, t)[2])
        suspects = (
            (1 - right, TURNED),
            (1 - t / T, "do all schedules have the same ratio of signal and noise at t?"),
            (t / T, "do all schedules have the same ratio of signal and noise at t?"),
            (float(of[t]), "in which ratio are signal and noise, as deviations?"),
            (float(of[t].sqrt()), "do the weights of a flow add up to 1, or the squares?"),
            (float(_parts(of, s)[2]), "at which end of the jump is the flow asked?"),
        )
        question = asked_about(got, suspects, "which s has the same mixture as x_t?")
        mine, wanted = apart(got, right)
        expect(
            near(asked[i][1], torch.full_like(asked[i][1], right), atol=1e-9),
            f"at t = {t} of {T}, where alpha_bar is {float(of[t]):.4g}, you ask at s = "
            f"{mine}, not {wanted}: {question}",
        )


def _about_these_states(answer, schedule, stops, x, says):
    end, asked = _drawn(answer, says, schedule.alpha_bar, stops, x)
    of = schedule.alpha_bar

    def handed(how="", unscaled=False):
        states = _states(says, of, stops, x, how)
        totals = [sum(_parts(of, t)[:2]) for t in stops]
        return [a / (1 if unscaled else b) for a, b in zip(states, totals, strict=True)]

    right = handed()
    for i in range(min(len(asked), len(stops) - 1)):
        got = asked[i][0]
        expect(
            got.shape == x.shape,
            f"flow takes z of shape {tuple(x.shape)}, it got {tuple(got.shape)}",
        )
        suspects = [(x, "do the weights of x_t add up to 1?")] if i == 0 else []
        suspects += [(handed(how)[i], question) for how, question in SLIPS if i]
        question = asked_about(got, suspects, "is z the same mixture as x_t?")
        off = float((got - right[i]).abs().max())
        expect(
            near(got, right[i], rtol=1e-7, atol=1e-9),
            f"call {i + 1} of the flow, at t = {stops[i]}, is about a state that is off "
            f"by up to {off:.3g}: {question}",
        )
    if len(asked) == len(stops) - 1:  # all jumps are made, so that x has arrived
        right = _states(says, of, stops, x)[-1]
        suspects = [(_states(says, of, stops, x, how)[-1], words) for how, words in SLIPS]
        question = asked_about(end, suspects, "which weights has x at the last stop?")
        off = float((end - right).abs().max())
        expect(
            near(end, right, rtol=1e-7, atol=1e-9),
            f"after the jump from t = {stops[-2]} to {stops[-1]} of {schedule.T} x is off "
            f"by up to {off:.3g}: {question}",
        )


def _arrives(answer, seed):
    r"""Along the flow's own schedule, where s = 1 - t/T, to the last stop."""
    for k in range(4):
        schedule = Schedule.flow(whole(40, 200, 1455, seed, k))
        stops = _stops(schedule.T, 1456, seed, k)
        stops = stops if k % 2 else [*stops, 0]
        x = normal((4, 3), 1457, seed, k)
        says = _bent(normal((3, 3), 1458, seed, k))
        got, asked = _drawn(answer, says, schedule.alpha_bar, stops, x)
        states = _states(says, schedule.alpha_bar, stops, x)
        slips = [
            (_states(says, schedule.alpha_bar, stops, x, how)[-1], question)
            for how, question in SLIPS
        ]
        suspects = [
            (states[-2], "which is the last stop?"),
            (_states(says, schedule.alpha_bar, [*stops[:-1], 0], x)[-1], "is it the end?"),
            *slips,
        ]
        question = asked_about(got, suspects, "where is x at the last stop?")
        off = float((got - states[-1]).abs().max())
        expect(
            near(got, states[-1], rtol=1e-7, atol=1e-9),
            f"from stop to stop {', '.join(map(str, stops))} of the flow's own schedule "
            f"with T = {schedule.T}, with {len(asked)} calls of the flow, x is off by up "
            f"to {off:.3g}: {question}",
        )
    yield 1, "the last stop is reached"
