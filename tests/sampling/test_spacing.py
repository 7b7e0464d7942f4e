r"""The lists of steps: by hand, distinct or refused, and where high orders start."""

import re
from itertools import pairwise

import pytest
import torch
from helpers import Constant, some_schedules
from hypothesis import given
from hypothesis import strategies as st

from ddpm_lite import Schedule, sample_path, timestep_pairs
from ddpm_lite.sampling.sampler import ddim_step
from ddpm_lite.sampling.solvers import SOLVERS, network_calls, start_of
from ddpm_lite.sampling.spacing import SPACINGS, largest_t

SCHEDULES = some_schedules()
SHORT = {
    "linear": Schedule.linear(32, 1e-3, 0.5),
    "cosine": Schedule.cosine(32),
    "sigmoid": Schedule.sigmoid(32, 1e-3, 0.5),
}


def starts(T, steps, spacing, schedule=None):
    return [t for t, _ in timestep_pairs(T, steps, spacing, schedule=schedule)]


def even_in_log_snr(T):
    r"""A schedule whose log-SNR falls by the same amount at every step."""
    one_minus = torch.sigmoid(torch.linspace(-8, 8, T, dtype=torch.float64))
    alpha_bar = torch.cat([torch.ones(1).double(), 1 - one_minus])
    return Schedule.from_beta(1 - alpha_bar[1:] / alpha_bar[:-1])


@pytest.mark.parametrize(
    ("spacing", "T", "steps", "expected"),
    [
        ("trailing", 10, 4, [10, 8, 5, 3]),
        ("leading", 10, 4, [8, 6, 3, 1]),
        ("linspace", 10, 4, [10, 7, 4, 1]),
        ("linspace", 10, 3, [10, 6, 1]),  # 5.5 is rounded up
        ("quadratic", 10, 4, [10, 5, 2, 1]),
        ("quadratic", 17, 5, [17, 10, 5, 2, 1]),
        ("leading", 1000, 10, [901, 801, 701, 601, 501, 401, 301, 201, 101, 1]),
        ("trailing", 10, 1, [10]),
        ("leading", 10, 1, [1]),
        ("linspace", 10, 1, [10]),
        ("quadratic", 10, 1, [10]),
        ("quadratic", 10, 2, [10, 1]),
    ],
)
def test_spacings_by_hand(spacing, T, steps, expected):
    assert starts(T, steps, spacing) == expected
    pairs = timestep_pairs(T, steps, spacing)
    assert pairs[-1][1] == 0 and all(s == t for (_, s), (t, _) in pairwise(pairs))


@given(st.integers(1, 200), st.data())
def test_spacings_in_t_have_every_number_of_steps(T, data):
    steps = data.draw(st.integers(1, T))
    for spacing in ("trailing", "leading", "linspace"):
        found = starts(T, steps, spacing)
        assert len(set(found)) == steps and found == sorted(found, reverse=True)
        assert 1 <= found[-1] and found[0] <= T
        jumps = [a - b for a, b in pairwise(found)]
        assert not jumps or max(jumps) - min(jumps) <= 1
    assert starts(T, steps, "trailing")[0] == T and starts(T, steps, "leading")[-1] == 1
    if steps > 1:
        assert starts(T, steps, "linspace")[:: steps - 1] == [T, 1]
    if T % steps == 0:  # a stride: what other code calls leading
        assert starts(T, steps, "leading") == list(range(1, T + 1, T // steps))[::-1]


@pytest.mark.parametrize("T", [5, 30])
def test_log_snr_is_linspace_where_the_schedule_is_even_in_it(T):
    schedule = even_in_log_snr(T)
    for steps in (1, 2, T // 2 + 1, T):
        if (T - 1) % max(steps - 1, 1) == 0:  # no ties that rounding would decide
            assert starts(T, steps, "log_snr", schedule) == starts(T, steps, "linspace")


@pytest.mark.parametrize("name", ["linear", "cosine", "uneven", "lecture"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_log_snr_takes_the_nearest_step(name, steps):
    schedule = SCHEDULES[name]
    T = largest_t(schedule)
    log_snr = (schedule.alpha_bar / schedule.one_minus_alpha_bar).log()[1 : T + 1].tolist()
    first, last = log_snr[-1], log_snr[0]
    wanted = [first + (last - first) * i / max(steps - 1, 1) for i in range(steps)]
    nearest = [min(range(T), key=lambda i: abs(log_snr[i] - w)) + 1 for w in wanted]
    assert starts(T, steps, "log_snr", schedule) == nearest


def test_log_snr_takes_pure_noise_first():
    schedule = SCHEDULES["zero-snr"]  # T = 4, alpha_bar_4 = 0
    assert [starts(4, n, "log_snr", schedule) for n in (1, 2)] == [[4], [4, 3]]
    assert starts(4, 3, "log_snr", schedule) == [4, 3, 1]
    assert starts(4, 4, "log_snr", schedule) == [4, 3, 2, 1]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("name", SHORT)
def test_a_list_has_as_many_steps_as_asked_or_the_largest_number_is_named(spacing, name):
    schedule, works, named = SHORT[name], [], set()
    for steps in range(1, 33):
        try:
            found = starts(32, steps, spacing, schedule)
        except ValueError as error:
            assert re.match(f"{spacing} spacing cannot give {steps} different", str(error))
            assert "\n" not in str(error)
            named.add(int(str(error).split()[-1]))
        else:
            works.append(steps)
            assert len(set(found)) == steps and min(found) >= 1 and max(found) <= 32
    assert named <= {max(works)} and bool(named) == (len(works) < 32)
    assert len(works) == 32 if spacing not in ("quadratic", "log_snr") else max(works) >= 5


@pytest.mark.parametrize(
    ("T", "spacing", "largest"),
    [(1000, "quadratic", 45), (32, "quadratic", 8), (1000, "log_snr", 38)],
)
def test_the_largest_number_of_steps(T, spacing, largest):
    schedule = Schedule.linear(T, *([] if T == 1000 else [1e-3, 0.5]))
    assert len(starts(T, largest, spacing, schedule)) == largest
    words = rf"{spacing} spacing cannot give {largest + 1} different steps of {T}: some "
    with pytest.raises(ValueError, match=words + rf"are .* that works is {largest}$"):
        timestep_pairs(T, largest + 1, spacing, schedule=schedule)


def test_bad_spacings():
    with pytest.raises(ValueError, match=r"spacing must be one of trailing, .* got 'even'"):
        timestep_pairs(10, 5, "even")
    with pytest.raises(ValueError, match=r"log_snr spacing needs schedule="):
        timestep_pairs(10, 5, "log_snr")
    with pytest.raises(ValueError, match=r"T must be at most the schedule's 4, got 5"):
        timestep_pairs(5, 2, "log_snr", schedule=SCHEDULES["zero-snr"])
    with pytest.raises(ValueError, match=r"T must be an integer >= 1, got 0"):
        timestep_pairs(0)


# --- where a chain starts


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_largest_t_of_a_sigma(name):
    schedule = SCHEDULES[name]
    alpha_bar = schedule.alpha_bar.tolist()
    for highest in (0.5, 2.0, 160.0, 1e9):
        fits = [
            t
            for t in range(1, schedule.T + 1)
            if alpha_bar[t] and (1 / alpha_bar[t] - 1) ** 0.5 <= highest
        ]
        if fits:
            assert largest_t(schedule, highest) == max(fits)
        else:
            with pytest.raises(ValueError, match=r"no step .* has sigma_t <= 0.5, the"):
                largest_t(schedule, highest)


def test_where_each_sampler_starts():
    cosine = SCHEDULES["cosine"]
    assert largest_t(SCHEDULES["linear"]) == 1000 and largest_t(cosine) == 995
    sigma = (1 / cosine.alpha_bar - 1).sqrt()
    assert sigma[995] <= 160 < sigma[996] and 20_000 < sigma[1000] < 21_000
    for name, step in SOLVERS.items():
        assert start_of(name, cosine) == start_of(step, cosine) == 995
    for other in ("ancestral", "ddim", ddim_step, lambda *_: None):
        assert start_of(other, cosine) == 1000
    for sampler, first in [("ddim", 1000), ("dpmpp_2m", 995), (SOLVERS["heun"], 995)]:
        path = sample_path(Constant(0.0), cosine, (1, 2), sampler=sampler, steps=5)
        assert next(path).t == first
    path = sample_path(Constant(0.0), cosine, (1, 2), sampler="heun", pairs=[(1000, 0)])
    assert next(path).t == 1000


def test_more_steps_than_there_are_below_sigma_160():
    path = sample_path(Constant(0.0), SCHEDULES["cosine"], (1, 2), sampler="dpmpp_2m")
    assert next(path).t == 995
    words = (
        r"steps must be an integer in 1\.\.995, got 996: this chain starts at t = 995 of"
    )
    with pytest.raises(ValueError, match=words):
        sample_path(
            Constant(0.0), SCHEDULES["cosine"], (1, 2), sampler="dpmpp_2m", steps=996
        )


@pytest.mark.parametrize("spacing", SPACINGS)
def test_sample_walks_the_spacing_that_it_is_given(spacing):
    schedule = SCHEDULES["linear"]
    path = sample_path(Constant(0.0, "v"), schedule, (1, 2), steps=7, spacing=spacing)
    expected = starts(1000, 7, spacing, schedule)
    assert [state.t for state in path] == [*expected, 0]


def test_spacing_goes_with_steps_alone():
    with pytest.raises(ValueError, match=r"spacing must be one of .* got 'steps'"):
        sample_path(Constant(0.0), SCHEDULES["linear"], (1, 2), spacing="steps")
    with pytest.raises(
        ValueError, match=r"give steps or pairs, not both, and spacing only"
    ):
        sample_path(
            Constant(0.0), SCHEDULES["linear"], (1, 2), pairs=[(9, 0)], spacing="leading"
        )


def test_steps_and_calls_are_counted_apart():
    assert [network_calls(name, 10) for name in ("heun", "dpmpp_2m", "ddim")] == [
        19,
        10,
        10,
    ]
    for name in ("ancestral", "ddim", *SOLVERS):
        model = Constant(0.0, "v")
        path = list(sample_path(model, SCHEDULES["linear"], (1, 2), sampler=name, steps=4))
        assert path[-1].calls == model.calls == network_calls(name, 4)
        expected = [0, 2, 4, 6, 7] if name == "heun" else [0, 1, 2, 3, 4]
        assert [state.calls for state in path] == expected
