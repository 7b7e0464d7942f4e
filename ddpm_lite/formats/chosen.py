r"""The chain that was chosen for a model, and stored with its weights as `drawn_with`.

Which sampler suits a network is measured once, and then travels with it: a dictionary such
as {"sampler": "ancestral", "steps": 100, "variance": "small"}. The sampler and the number
of steps are always in it, so that it means the same everywhere; spacing, eta, variance and
guidance, the scale of `guided`, are where they were chosen.
"""

import difflib

from ..checks import check_integer, check_name, check_number, short
from ..sampling.asked import SAMPLERS, check_sampler
from ..sampling.guidance import guided
from ..sampling.solvers import start_of
from ..sampling.spacing import SPACINGS, check_spacing, timestep_pairs

NAMES = ("sampler", "steps", "spacing", "eta", "variance", "guidance")
_EXAMPLE = '{"sampler": "ancestral", "steps": 100, "variance": "small"}'


def check_drawn_with(values, schedule=None, classes=None, where=""):
    r"""Return a stored chain as a dictionary; {} is none. Refuse what cannot be drawn with.

    values: as above. schedule: the model's; if given, the chain must fit it. classes: the
    model's number of them; if 0, guidance is refused. where: the file, for errors. Raises
    ValueError that says what is expected.
    """
    at = f"{where}: " if where else ""
    if not isinstance(values, dict):
        got = short(values)
        raise ValueError(f"{at}drawn_with must be a dictionary like {_EXAMPLE}, got {got}")
    for name in values:
        if name not in NAMES:
            near = difflib.get_close_matches(str(name), NAMES, 1)
            mean = f"did you mean {near[0]}?" if near else f"it takes {', '.join(NAMES)}"
            raise ValueError(f"{at}drawn_with holds {short(name)}: {mean}")
    lacking = [name for name in ("sampler", "steps") if name not in values]
    if values and lacking:
        raise ValueError(
            f"{at}drawn_with lacks {' and '.join(lacking)}: write it like {_EXAMPLE}, or "
            "take it out"
        )
    try:
        values = {name: _one(name, value) for name, value in values.items()}
        if values:
            _check_whole(values, schedule, classes)
    except ValueError as error:
        raise ValueError(
            f"{at}drawn_with cannot be used: {error}. Write it like {_EXAMPLE}, or take "
            "it out"
        ) from error
    return values


def _one(name, value):
    if name == "steps":
        return check_integer(name, value, 1)
    if name in ("eta", "guidance"):
        return check_number(name, value)
    known = {"sampler": SAMPLERS, "spacing": SPACINGS, "variance": ("small", "large")}
    return check_name(name, value, *known[name])


def _check_whole(chain, schedule, classes):
    check_sampler(chain["sampler"], chain.get("variance"), chain.get("eta"))
    if classes == 0 and chain.get("guidance", 1) != 1:
        raise ValueError("guidance needs classes, and this network has none")
    if schedule is not None:
        steps, spacing = chain["steps"], chain.get("spacing")
        start = start_of(chain["sampler"], schedule)
        check_spacing(steps, spacing, None, start)
        timestep_pairs(start, steps, spacing or "trailing", schedule=schedule)


def chain_of(asked, stored, schedule):
    r"""The options to draw with: what is asked for, and for the rest what is stored.

    asked: options of `sample`, and guidance; a name of NAMES with None was not asked for.
    stored: the model's drawn_with, {} where it has none. schedule: the model's.
    The rule: who names another sampler than the stored one gets nothing that is stored, as
    that belongs to its sampler. Else what is not asked for is as stored: with steps alone,
    the stored sampler takes so many, with the stored spacing, eta and variance. pairs stand
    in the place of steps and spacing, and where all steps are asked for no spacing is left
    to choose. Returns a new dictionary, without what neither says.
    """
    given = {n: v for n, v in asked.items() if n not in NAMES or v is not None}
    if not stored or given.get("sampler", stored["sampler"]) != stored["sampler"]:
        return given
    left = dict(stored)
    all_steps = given.get("steps") == start_of(stored["sampler"], schedule)
    if all_steps or "pairs" in given:
        left.pop("spacing", None)
    if "pairs" in given:
        del left["steps"]
    return left | given


def with_guidance(model, chain):
    r"""(the model with the guidance of a chain, the chain without it), for `sample`."""
    chain = dict(chain)
    scale = chain.pop("guidance", 1)
    return (model if scale == 1 else guided(model, scale)), chain


def in_words(chain):
    r"""A chain in words, such as "100 steps of ancestral (variance small)"."""
    more = [f"{n} {chain[n]}" for n in NAMES[2:] if chain.get(n) is not None]
    more = f" ({', '.join(more)})" if more else ""
    return f"{chain['steps']} steps of {chain['sampler']}{more}"


def choice_of(asked, stored):
    r"""Whose choice a chain is: ("model", "options" or "default", the same in words).

    asked, stored: as in `chain_of`. The words follow on `in_words`.
    """
    given = {n: v for n, v in asked.items() if n in NAMES and v is not None}
    if not stored:
        if "sampler" in given:
            return "options", "as asked"
        return "default", "the default sampler"
    if given.get("sampler", stored["sampler"]) != stored["sampler"]:
        return "options", "as asked and not as stored with the model"
    others = [n for n in given if given[n] != stored.get(n)]
    but = f" but for {' and '.join(others)}" if others else ""
    return "model", f"as stored with the model{but}"
