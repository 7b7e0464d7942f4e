r"""The run with a bug of chapter 08: Algorithm 2 in jumps, asked for digits.

The check hands in denoisers that are exact, which note at which x_t they are asked. The
chain is affine in its noise, so that one call, whose batch has a 1 in another place of the
noise for each example, shows how much of each draw is in every state.
"""

import math
from itertools import pairwise

import torch

from ..oracle import GaussianOracle
from ..schedule import Schedule
from .bugs import Fault, independent, naming
from .ch08 import ASKED, Asked, _gain, _jump, drawn_clip
from .exercise import apart, exercise, expect, near, normal, steps, tensor, uniform

# What `otherwise` says was measured: figures/bugs_sampling.py, bugs_sampling.json.
FAULTS = (
    Fault(
        "noise_at_the_end",
        "draws fresh noise in the last jump, too, from the last stop to 0",
        "would leave grain on the pictures, which would be rougher than digits and go "
        "beyond [-1, 1]; none of these does",
    ),
    Fault(
        "variance",
        "multiplies $z$ by the variance of the jump",
        unexplained="that nearly all of the variety is gone, and the more of it the more "
        "jumps there are",
    ),
    Fault(
        "large",
        r"draws with the large variance $\beta_{t,s}$ in the place of the small one",
        "would make the deviation at the end larger than the package's, with 20 jumps; "
        "here it is far smaller",
    ),
    Fault(
        "no_noise",
        "draws no fresh noise at all, the chain has that of its start only",
        "would give the same pictures twice from the same start; here fresh noise changes "
        "them",
    ),
    Fault(
        "same_noise",
        "draws $z$ once and takes it again in every jump",
        "would add up one draw to more than there should be, the Gaussian would come out "
        "too wide and the pictures as noise; here all is too narrow",
    ),
    Fault(
        "shared_noise",
        "draws one $z$ in each jump for all pictures of the batch",
        "would move all pictures of a batch alike and leave the Gaussian no deviation "
        "within a batch, with 20 jumps as with 1,000; here something is left of it, and "
        "with 20 jumps much more than with 1,000",
    ),
    Fault(
        "clipped_for_show",
        r"clips only what comes out, and calculates with an $\hat x_0$ that is not clipped",
        "would let a wrong guess grow on its way, as in section 2, and end in black and "
        "white without grey; these pictures have the contrast of digits",
    ),
    Fault(
        "state_clipped",
        r"clips $x_s$ in the place of $\hat x_0$",
        "would cut the noisy states, and leave recall not far from the package's; where "
        "nothing needs to be clipped, as on the Gaussian, nothing would be wrong",
    ),
    Fault(
        "step_of_one",
        r"takes $\bar\alpha_{t-1}$ for $\bar\alpha_s$: line 4 of Algorithm 2 at every stop",
        "would take out a fiftieth of the noise in each jump, and leave noise; with 1,000 "
        "jumps it would be no fault at all",
    ),
    Fault(
        "asked_at_s",
        "asks the network at $t=s$, where the jump ends, about the state where it begins",
        "would send the Gaussian to another mean with 20 jumps, and make it wider than the "
        "package's; here the mean is right, and it is narrower",
    ),
    Fault(
        "root_left_out",
        r"forgets the root of $\bar\alpha_s$ in the weight of $\hat x_0$",
        "would move the mean of the Gaussian, and its deviation by less than a tenth; here "
        "the mean is right",
    ),
)


@exercise(
    "08.6", "draw_digits", kind="bug", minutes=40, points=5, also=("faults",), lacks=ASKED
)
def find_the_bug(answer, seed):
    yield from independent(naming(answer, FAULTS, each=2), _repair(answer, seed))


def _repair(answer, seed):
    schedule, stops = _chain(seed)
    _draws_right(answer, schedule, stops, seed)
    yield 1, "each jump draws what it should"
    _ends_right(answer, schedule, stops, seed)
    yield 1, "the whole chain ends where it should"
    _clips_right(answer, schedule, stops, seed)
    _takes_pictures(answer, schedule, stops, seed)
    yield 1, "and the guess is clipped"


def _chain(seed):
    r"""A schedule and stops from T to 0, both drawn."""
    T = int(steps(80, 400, 1, 861, seed))
    noised = 2 + 3 * float(uniform((1,), 862, seed))  # the sum of beta
    beta = torch.linspace(1e-3, 2 * noised / T, T, dtype=torch.float64)
    schedule = Schedule.from_beta(beta)
    count = int(steps(3, 6, 1, 864, seed))
    parts = 0.5 + uniform((count + 1,), 865, seed)
    stops = (T * (1 - parts.cumsum(0) / parts.sum())).round().long()[:-1]
    return schedule, [T, *stops.tolist(), 0]


def _states(answer, guess, schedule, stops, noise, clip):
    r"""Every state of a chain whose network guesses x_0 = guess(x_t, t), x_0 the last."""
    alpha_bar = schedule.alpha_bar

    def noise_pred(x, t):
        a = alpha_bar[t][:, None]
        return (x - a.sqrt() * guess(x, t)) / (1 - a).sqrt()

    model = Asked(noise_pred)
    x_0 = tensor(answer(model, alpha_bar, stops, noise, clip), noise[0], "x_0")
    asked = [t.tolist() for t in model.t]
    wanted = [[t] * len(noise[0]) for t in stops[:-1]]
    expect(
        asked == wanted,
        f"with the stops {stops} the network should be asked once at each of "
        f"{stops[:-1]}, yours was asked at {[t[0] for t in asked]}",
    )
    return [*model.x, x_0]


def _basis(stops):
    r"""Noise (len(stops), B, 1): a 1 in another place for each, none for the last."""
    count = len(stops)
    return torch.eye(count, count + 1, dtype=torch.float64)[:, :, None]


def _shares(state):
    r"""How much of x_T and of each later draw is in a state of `_basis`."""
    return (state[:-1, 0] - state[-1, 0]).tolist()


WIDE = (-1e6, 1e6)


def _draws_right(answer, schedule, stops, seed):
    r"""Each jump, with a network that knows x_0: the old noise and the fresh one."""
    point = float(uniform((1,), 866, seed)) - 0.5
    states = _states(
        answer, lambda x, t: torch.full_like(x, point), schedule, stops, _basis(stops), WIDE
    )
    start = _shares(states[0])
    expect(
        near(start, [1.0, *[0.0] * (len(stops) - 1)]),
        f"the chain should start from noise[0], yours holds {start[0]:.4g} of it at first",
    )
    for k, (t, s) in enumerate(pairwise(stops), 1):
        if s == 0:
            continue
        _, of_x_t, small, large = _jump(schedule.alpha_bar, t, s)
        before, after = _shares(states[k - 1]), _shares(states[k])
        fresh, jump = after.pop(k), f"from t = {t} to s = {s}"
        kept = [of_x_t * b for i, b in enumerate(before) if i != k]
        off = [
            i for i, (a, b) in enumerate(zip(after, kept, strict=True)) if not near(a, b)
        ]
        expect(
            not off or abs(fresh) > 1e-12,
            f"{jump} (jump {k}) noise[{k}] moves nothing, and earlier draws move your x_s "
            "in another way than through x_t: which draw belongs to which jump?",
        )
        if off:
            old, right = apart(after[off[0]], kept[off[0]], digits=5)
            expect(
                False,
                f"{jump} your x_s holds {old} of a noise that was drawn before, the mean "
                f"of a draw from the posterior holds {right}: "
                f"{_precise(after[off[0]], kept[off[0]])}",
            )
        got, right = apart(abs(fresh), math.sqrt(small), digits=5)
        expect(
            near(fresh, math.sqrt(small), rtol=1e-6),
            f"{jump} the fresh noise in your x_s has the deviation {got}, that of x_s "
            f"given x_t and x_0 is {right}: {_question(fresh, small, large)}",
        )


def _precise(got, right):
    r"""What a share that is a little off points at, or one that is far off."""
    if near(got, right, rtol=1e-4, atol=1e-6):
        return "the noise is float64; is it float64 all the way?"
    return "what was right in the code as it was?"


def _question(fresh, small, large):
    r"""What a wrong share of fresh noise points at."""
    if abs(fresh) < 1e-12:
        return "does every jump draw, and for every picture?"
    if near(fresh, small, rtol=1e-6):
        return (
            f"z has variance 1; what is the variance of {small:.3g} z, or of any multiple "
            "of z?"
        )
    if near(fresh, math.sqrt(large), rtol=1e-6):
        return "the paper has two choices for this variance; which of them is asked for?"
    if near(fresh, small**0.25, rtol=1e-6):
        return "is it a variance of which you took the root, or a deviation already?"
    if fresh < 0:
        return "and its sign has changed as well"
    return "to which part of the variance does what you changed apply?"


def _ends_right(answer, schedule, stops, seed):
    r"""The whole chain on a Gaussian: mean and deviation at the end, and no noise there."""
    m = 2 * float(uniform((1,), 867, seed)) - 1
    v = 0.02 + float(uniform((1,), 868, seed))
    exact = GaussianOracle(schedule, [m], v)

    def guess(x, t):
        return exact.x_0_moments(x, t)[0]

    *_, end = _states(answer, guess, schedule, stops, _basis(stops), WIDE)
    *shares, last = _shares(end)
    expect(
        abs(last) < 1e-9,
        f"in the jump to 0 you still draw, with the deviation {abs(last):.4g}: what does "
        "line 3 of Algorithm 2 say?",
    )
    mean, wanted = 0.0, [1.0]
    for t, s in pairwise(stops):
        of_x_0, of_x_t, small, _ = _jump(schedule.alpha_bar, t, s)
        gain = _gain(schedule.alpha_bar, t, v)
        A = of_x_0 * gain + of_x_t
        mean = A * mean + of_x_0 * m * (1 - gain * math.sqrt(float(schedule.alpha_bar[t])))
        wanted = [A * w for w in wanted] + [math.sqrt(small)]
    got, right = (math.sqrt(sum(c**2 for c in cs)) for cs in (shares, wanted))
    law = f"N({m:.3f}, {math.sqrt(v):.3f}^2), exact network, {len(stops) - 1} jumps"
    for value, wanted, what in (
        (got, right, "deviation"),
        (float(end[-1, 0]), mean, "mean"),
    ):
        came, should = apart(value, wanted, digits=5)
        expect(
            near(value, wanted, rtol=1e-6, atol=1e-9),
            f"{law}: the samples should end with the {what} {should}, yours with {came}: "
            "how much of x_t and of the guess belongs into x_s?",
        )


def _clips_right(answer, schedule, stops, seed):
    r"""Networks whose guesses lie inside the range and on both sides of it, in a batch."""
    low, high = drawn_clip(869, seed)  # the two ends are not alike
    guess = torch.tensor(
        [[3.0, low - 1, 0.3 * high], [2 * high, -4.0, 0.5 * low], [0.2, low / 3, high / 2]]
    ).double()
    shown = f"clip = ({low:.4f}, {high:.4f})"
    noise = torch.zeros(len(stops), *guess.shape, dtype=torch.float64)
    factors = [_jump(schedule.alpha_bar, t, s) for t, s in pairwise(stops)]
    away = 2 * high  # a state may lie outside of the range, a guess may not
    for k, (_, _, small, _) in enumerate(factors, 1):
        noise[k] = away / math.sqrt(small) if small else 0.0
    states = _states(answer, lambda x, t: guess, schedule, stops, noise, (low, high))
    limits = guess.clamp(low, high)
    largest = guess.abs().amax(1, keepdim=True)
    x = torch.zeros_like(guess)
    for k, (of_x_0, of_x_t, small, _) in enumerate(factors, 1):
        add = away * (small > 0)
        cut, got = of_x_0 * limits + of_x_t * x + add, states[k]
        suspects = (
            (guess, "is the guess clipped? What was right in the code as it was?"),
            (guess.clamp(max=high), "is it clipped below, too?"),
            (guess.clamp(min=low), "is it clipped above, too?"),
            (guess.clamp(-high, high), "which two numbers are the limits?"),
            (guess.clamp(low, -low), "which two numbers are the limits?"),
            (guess.clamp(-1, 1), "which two numbers are the limits?"),
            (guess / largest, "does a guess inside of the range stay what it is?"),
            (
                guess / largest.clamp(min=1),
                "does a guess inside of the range stay what it is?",
            ),
            (
                guess / (largest / high).clamp(min=1),
                "does a guess inside of the range stay what it is?",
            ),
        )
        ask = [
            words
            for g, words in suspects
            if near(got, of_x_0 * g + of_x_t * x + add, rtol=1e-6, atol=1e-9)
        ]
        i = int((got - cut).abs().argmax())
        came, should = apart(float(got.ravel()[i]), float(cut.ravel()[i]), digits=5)
        expect(
            near(got, cut, rtol=1e-6, atol=1e-9),
            f"the network guesses {float(guess.ravel()[i]):.4g} and {shown}; your chain "
            f"comes to {came} at s = {stops[k]}, not to {should}: "
            f"{(ask or ['is it the guess that is clipped, and nothing else?'])[0]}",
        )
        x = cut


def _takes_pictures(answer, schedule, stops, seed):
    r"""float32 pictures: their form, and each picture as it would be alone."""
    noise = normal((len(stops), 3, 1, 4, 4), 870, seed, dtype=torch.float32)

    def model(x_t, t):
        return 0.9 * x_t

    given = (model, schedule.alpha_bar, stops)
    clip = drawn_clip(871, seed)
    x_0 = tensor(answer(*given, noise, clip), noise[0], "x_0")
    alone = tensor(answer(*given, noise[:, 1:2], clip), noise[0, 1:2], "x_0")
    expect(
        near(x_0[1:2], alone, rtol=1e-4, atol=1e-4),
        "a picture changes when others are drawn beside it: whose noise does it get?",
    )
