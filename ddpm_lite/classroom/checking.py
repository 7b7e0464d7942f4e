r"""`check`, which a chapter's exercises call: pass, or what is wrong, in words."""

import io
import os
import secrets
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass

from ..checks import check_integer
from .answer import Answer
from .box import say
from .exercise import Hint, Unsolved, find, stages


@dataclass(frozen=True)
class Verdict:
    r"""How a check ended. points: what was earned. said: that, in words, with the hint.

    hint: only what is wrong, "" if nothing is.
    """

    passed: bool
    points: int
    said: str
    hint: str = ""


def check(number, function, *also, seed=None):
    r"""Check a function against the exercise `number`, and print pass or a hint.

    number: text such as "02.3". function: the reader's own. also: what else the exercise
    asks for, such as the names of the faults where there is a bug to find. seed: of the
    inputs, drawn by chance if None; where something is wrong the line says how to have the
    same ones again. Unsolved exercises print that they are, so that a notebook runs from
    top to bottom. While nbgrader executes a notebook, the points are returned: what a cell
    of a check shows at its end is its grade there. Raises ValueError for a number that
    there is not, TypeError for something that is not a function.
    """
    exercise, functions = find(number), (function, *also)
    for one in functions:
        if not callable(one):
            raise TypeError(f"check takes a function, got a {type(one).__name__}")
    seed = drawn(99_999) if seed is None else check_integer("seed", seed, 0, LAST_SEED)
    grading = os.environ.get("NBGRADER_EXECUTION")  # a warning would cost all points there
    with redirect_stderr(io.StringIO()) if grading else nullcontext():
        made = verdict(exercise, functions, seed)
    names = ", ".join(getattr(one, "__name__", "f") for one in functions)
    again = f' (the same again: check("{number}", {names}, seed={seed}))'
    say(number, f"{made.said}{again * (made.said[:7] == 'not yet')}")
    return made.points if grading else None


LAST_SEED = 2**31 - 1


def drawn(last=LAST_SEED):
    r"""A seed in 0..last, by chance; no generator that a notebook uses moves."""
    return secrets.randbelow(last + 1)


def verdict(exercise, function, seed=0):
    r"""The `Verdict` of an exercise's check on a function in this process.

    function: one, or a tuple of all that the exercise asks for, in the order of `names`.
    """
    function, *also = function if isinstance(function, tuple) else (function,)
    others = dict(zip(exercise.also, also, strict=False))
    module = getattr(function, "__module__", None) or ""
    if module.startswith("ddpm_lite."):
        hint = f"{module} has this one; write your own"
        return Verdict(False, 0, f"not yet: {hint}", hint)
    return judged(exercise, exercise.check, Answer(function, others), seed)


def judged(exercise, check, answer, seed, gone=()):
    r"""The `Verdict` of a check, the exercise's own or another one, on an answer.

    What was earned before something goes wrong is kept. gone: errors that say that the
    answer itself did not come back.
    """
    earned, held = 0, []
    try:
        for got, words in stages(check, answer, seed):
            earned += got
            held.append(words)
    except Unsolved:
        if not earned:
            return Verdict(False, 0, "not solved yet", "not solved yet")
        hint = "the rest is not solved yet"
    except Hint as error:
        hint = str(error)
    except gone as error:
        hint = f"your function {error}"
    except Exception as error:
        hint = unreadable(error)
    else:
        return Verdict(True, exercise.points, f"passed ({points(exercise.points)})")
    so_far = f", {earned} of {points(exercise.points)} so far: {'; '.join(held)}. But"
    return Verdict(False, earned, f"not yet{so_far if earned else ''}: {hint}", hint)


def unreadable(error):
    r"""What is said when a check itself breaks on what came back."""
    return (
        "the check could not use what your function gave back "
        f"({type(error).__name__}: {str(error)[:200]})"
    )


def points(n):
    r""" "1 point", "2 points"."""
    return f"{n} point" + "s" * (n != 1)
