r"""What `ddpm-lite doctor --lab` prints: the laboratory's results, as a diagnosis.

Four questions, in the order in which one fault hides the next. Does the chain end in
N(0, I)? What is the smallest loss? What do the samplers make of an exact denoiser? And
what does an error of the network do to the samples? The first three have no network in
them, so what is wrong there is never its fault.
"""

import textwrap
import warnings
from functools import partial

import torch

from ..oracle import GaussianOracle
from ..sampling.sampler import ancestral_step, ddim_step
from ..sampling.solvers import SOLVERS
from ..sampling.spacing import SPACINGS, timestep_pairs
from ..schedule import Schedule, spread
from .doctor.findings import Finding
from .exact import (
    STEPS,
    Dosed,
    convergence_error,
    drawn_errors,
    exact_errors,
    frechet,
    laws,
    loss_floor,
    mode_widths,
    order_of_convergence,
    propagate,
    walk,
)

# Deviations at t = 0 of the full chain on N(0.7, 0.3^2), no noise at t = 1.
ENDS = {
    ("linear", "small"): 0.2963,
    ("linear", "large"): 0.3009,
    ("cosine", "small"): 0.2981,
    ("cosine", "large"): 0.3005,
    ("linear", "right"): 0.2998,
}
_ORDERS = {
    "ancestral, small": 1,
    "ancestral, large": 1,
    "ddim": 1,
    **dict.fromkeys(SOLVERS, 2),
}
_CALLS, _DOSE = 20, 0.05


def examine(schedule=None):
    r"""Ask the four questions of a schedule and of this package: a list of Findings.

    schedule: the paper's linear one of 1000 steps if None. Raises ValueError for one that
    ends at alpha_bar = 0, where a prediction of noise tells no x_0.
    """
    schedule = Schedule.linear() if schedule is None else schedule
    if schedule.alpha_bar[-1] == 0:
        raise ValueError(
            "the laboratory's denoiser predicts noise, and this schedule ends at alpha_bar "
            "= 0, where x_t says nothing of x_0: name a run with another schedule"
        )
    known = laws()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the prior gap is the first question
        return [
            _prior(known["gaussian"], schedule),
            _floors(known, schedule),
            _ends(),
            _two_routes(known["gaussian"], schedule),
            _orders(),
            _few_steps(known["gaussian"], schedule),
            _modes(known, schedule),
            _dosed(known["gaussian"], schedule),
        ]


def page(findings):
    r"""Findings as text, in the order of the questions, each with its table of numbers."""
    lines = []
    for finding in findings:
        text = f"{finding.level:6}{finding.what}: {finding.words}"
        lines += [*textwrap.wrap(text, 92, subsequent_indent=" " * 6), ""]
        for name, rows in finding.numbers.items():
            if isinstance(rows, dict):
                lines += [*_table(name, rows), ""]
    wrong = [finding.what for finding in findings if finding.level == "wrong"]
    note = sum(finding.level == "note" for finding in findings)
    verdict = f"; mend first: {wrong[0]}" if wrong else ""
    return "\n".join([*lines, f"{len(wrong)} wrong, {note} to note{verdict}"])


def _table(name, rows):
    head = list(next(iter(rows.values())))
    lines = [" " * 6 + f"{name:20}" + "".join(f"{column:>12}" for column in head)]
    for row, values in rows.items():
        cells = ["-" if values[k] is None else f"{values[k]:.4g}" for k in head]
        lines.append(" " * 6 + f"{row:20}" + "".join(f"{cell:>12}" for cell in cells))
    return lines


def _level(right):
    return "ok" if right else "wrong"


def _prior(law, schedule):
    (centre,), (true,) = law.centres, law.variances
    second = float((centre.square() + true).mean())
    gap = schedule.prior_gap(second, warn=False)
    oracle, pairs = law.denoiser(schedule), timestep_pairs(schedule.T)
    step = partial(ancestral_step, variance=oracle.reverse_variance)
    ends = [propagate(oracle, schedule, step, pairs)]
    a, left = schedule.alpha_bar[-1], schedule.one_minus_alpha_bar[-1]
    start = dict(mean=a.sqrt() * centre, variance=a * true + left)
    ends.append(propagate(oracle, schedule, step, pairs, **start))
    cost, none = (frechet(*end, centre, true) for end in ends)
    words = (
        f"T = {schedule.T}, L_T = {gap.kl:.2g} nats per dimension (at most 1e-3). Started "
        f"from N(0, I), an exact chain ends at a Frechet distance of {cost:.2g} from the "
        "Gaussian with the digits' spectrum; started from the law of x_T, at "
        f"{none:.1g}: the difference is the prior's."
    )
    level = "wrong" if none > 1e-9 else "note" if gap.kl > 1e-3 else "ok"
    return Finding(level, "1 prior", words, {"kl": gap.kl, "frechet": cost, "none": none})


def _floors(known, schedule):
    asked = sorted(
        {max(1, round(share * schedule.T)) for share in (0.001, 0.1, 0.3, 0.6, 1)}
    )
    rows = {
        k: {f"t = {t}": loss_floor(law, schedule, t) for t in asked}
        for k, law in known.items()
    }
    each = [v for row in rows.values() for v in row.values()]
    worst = max(abs(v["loss"] - v["floor"]) / (v["standard_error"] + 1e-12) for v in each)
    words = (
        "no network can lose less than this, and the exact denoiser loses as much, within "
        f"{worst:.1f} standard errors (at most 5): what is above it is the network's."
    )
    table = {k: {t: v["floor"] for t, v in row.items()} for k, row in rows.items()}
    numbers = {"loss floor": table, "standard_errors": worst}
    return Finding(_level(worst <= 5), "2 loss against floor", words, numbers)


def deviations_at_the_end():
    r"""Compute what ENDS lists with this package: {(schedule, variance): deviation}."""
    found = {}
    for kind, choice in ENDS:
        schedule = {"linear": Schedule.linear, "cosine": Schedule.cosine}[kind](1000)
        oracle = GaussianOracle(schedule, [0.7], 0.09)
        step = partial(ancestral_step, variance=choice)
        if choice == "right":
            step = partial(ancestral_step, variance=partial(_right, oracle))
        pairs = timestep_pairs(schedule.T)
        _, variance = propagate(oracle, schedule, step, pairs)
        found[kind, choice] = float(variance.sqrt())
    return found


def _right(oracle, x_t, t, s):
    return oracle.reverse_variance(x_t, t, s) * spread(s > 0, x_t)


def _ends():
    rows = {
        f"{kind}, {choice}": {"deviation": found, "known": ENDS[kind, choice]}
        for (kind, choice), found in deviations_at_the_end().items()
    }
    worst = max(abs(row["deviation"] - row["known"]) for row in rows.values())
    words = (
        "1000 ancestral steps on N(0.7, 0.3^2) with the exact denoiser end at a deviation "
        f"off by {worst:.2g} at most (5e-5 by rounding) from the known one. Small is too "
        "narrow, large too wide; right is the posterior variance plus c_t^2 "
        "Var(x_0|x_t), without noise at t = 1."
    )
    return Finding(_level(worst <= 5.1e-5), "3 sampler, known ends", words, {"end": rows})


def eta_1_is_ancestral(law, schedule, pairs):
    r"""Largest relative difference of DDIM's laws at eta = 1 from small ancestral ones."""
    oracle, eta_1 = law.denoiser(schedule), partial(ddim_step, eta=1.0)
    both = [
        torch.stack(propagate(oracle, schedule, step, pairs))
        for step in (eta_1, STEPS["ancestral, small"])
    ]
    return float((both[0] - both[1]).abs().max() / both[1].abs().max())


def _two_routes(law, schedule):
    T = schedule.T
    lists = [
        timestep_pairs(T, min(k, T), spacing) for k in (7, 20) for spacing in SPACINGS[:3]
    ]
    worst = max(eta_1_is_ancestral(law, schedule, pairs) for pairs in lists)
    words = (
        f"DDIM with eta = 1 is ancestral with the small variance to {worst:.1g} (1e-10)."
    )
    numbers = {"relative_difference": worst}
    return Finding(_level(worst <= 1e-10), "3 sampler, two routes", words, numbers)


def _orders():
    rows = {}
    for name, step in STEPS.items():
        rows[name] = {"order": order_of_convergence(step), "known": _ORDERS[name]}
        rows[name]["at 320"] = convergence_error(step, 320)
        rows[name]["to sigma 0"] = convergence_error(step, 320, to_clean=True)
    worst = max(abs(row["order"] - row["known"]) for row in rows.values())
    words = (
        "slope of the deviation's error from 80 to 320 steps, sigma from 157 to 0.02, even "
        f"in lambda; off by {worst:.2f} at most (0.2). The last step, to sigma = 0, is of "
        "first order, with an error that no number of steps takes away."
    )
    return Finding(_level(worst <= 0.2), "3 sampler, order", words, {"convergence": rows})


def _few_steps(law, schedule):
    def distance(name, calls, spacing):
        pairs = _pairs(name, schedule, spacing, calls)
        return pairs and exact_errors(law, schedule, name, pairs)["frechet"]

    counts, rows, spaced = (10, _CALLS, 50, 200), {}, {}
    for name in STEPS:
        rows[name] = {str(calls): distance(name, calls, "trailing") for calls in counts}
        spaced[name] = {s: distance(name, _CALLS, s) for s in SPACINGS}
    ahead = spaced["dpmpp_2m"]["trailing"] <= spaced["ddim"]["trailing"]
    best, name, spacing = min(
        (value, name, spacing)
        for name, row in spaced.items()
        for spacing, value in row.items()
        if value is not None
    )
    words = (
        "exact Frechet distance from the Gaussian with the digits' spectrum, by network "
        f"calls (heun: one less). Best at {_CALLS} calls: {name}, {spacing}, {best:.2g}. "
        f"dpmpp_2m is {'' if ahead else 'not '}ahead of ddim with trailing spacing."
    )
    tables = {"trailing, calls": rows, f"{_CALLS} calls": spaced}
    level = "ok" if ahead else "note"
    return Finding(level, "3 sampler, few steps", words, tables)


def _modes(known, schedule):
    rows = {"fresh data": dict.fromkeys(("trailing", "quadratic"))}
    rows["fresh data"] |= _energies(known, schedule, "data", None)
    for name in STEPS:
        pairs = {s: _pairs(name, schedule, s) for s in rows["fresh data"] if s in SPACINGS}
        rows[name] = {s: _worst_width(known, schedule, name, p) for s, p in pairs.items()}
        rows[name] |= _energies(known, schedule, name, pairs["trailing"])
    width = rows["dpmpp_2m"]["quadratic"]
    error = "not to be had" if width is None else f"{width - 1:+.1%}"
    words = (
        f"data whose law is no Gaussian, at {_CALLS} calls: the width of the mode that is "
        "worst, as a multiple of the true one, with trailing and quadratic spacing "
        f"(dpmpp_2m, quadratic: {error}); and the energy distance, trailing spacing, "
        "+- its standard error, beside that of fresh data: it is blind to most of this."
    )
    return Finding("ok", "3 sampler, modes", words, {"mixture, finite set": rows})


def _pairs(name, schedule, spacing, calls=_CALLS):
    try:
        return walk(name, schedule, calls, spacing)
    except ValueError:  # not so many steps
        return None


def _worst_width(known, schedule, name, pairs):
    if pairs is None:
        return None
    widths = mode_widths(known["mixture"], schedule, name, pairs, 8192)
    return float(widths[(widths - 1).abs().argmax()])


def _energies(known, schedule, name, pairs):
    found = {}
    for kind, short in (("mixture", "mixture"), ("finite set", "set")):
        errors = drawn_errors(known[kind], schedule, name, pairs)
        found |= {short: errors["energy"], f"+- {short}": errors["standard_error"]}
    return found


def _dosed(law, schedule):
    T = schedule.T
    parts = {"t > T/2": (T // 2 + 1, T), "in between": (T // 10 + 1, T // 2)}
    parts |= {"t <= T/10": (1, T // 10), "all t": (1, T)}
    rows, oracle = {}, law.denoiser(schedule)
    for name in STEPS:
        pairs = walk(name, schedule, 50)
        exact, _ = propagate(oracle, schedule, STEPS[name], pairs)
        rows[name] = {}
        for part, (low, high) in parts.items():
            model = Dosed(oracle, bias=_DOSE, low=low, high=high)
            mean, _ = propagate(model, schedule, STEPS[name], pairs)
            rows[name][part] = float((mean - exact).square().mean().sqrt() / _DOSE)
    t = max(1, T // 2)
    dosed = loss_floor(law, schedule, t, model=Dosed(oracle, bias=_DOSE))
    above = dosed["loss"] - dosed["floor"]
    right = abs(above - _DOSE**2) <= 5 * dosed["standard_error"]
    kept = [rows[name]["t > T/2"] for name in ("ddim", "ancestral, small")]
    words = (
        f"a network that is off by {_DOSE} everywhere loses {_DOSE**2:.4f} above the floor "
        f"(found at t = {t}: {above:.4f} +- {dosed['standard_error']:.4f}). Which samplers "
        "repair it depends on where. The shift of the samples' mean, as a multiple of that "
        "error, at 50 calls, trailing, unclipped: of one at t > T/2 alone ddim keeps "
        f"{kept[0]:.2g} and ancestral {kept[1]:.2g}"
    )
    words += ", since fresh noise forgets it." if kept[1] < kept[0] / 2 else "."
    if kept[0] > 10:
        words += " The first jump multiplies it by 1 / sqrt(alpha_bar_T): clip x_0."
    numbers = {"shift of the mean": rows, "dose": _DOSE, "above_the_floor": above}
    return Finding(_level(right), "4 network", words, numbers)
