r"""`check`, which a chapter's exercises call: pass, or what is wrong, in words."""

import os

from .answer import Answer
from .exercise import Hint, Unsolved, find


def check(number, function, *also):
    r"""Check a function against the exercise `number`, and print pass or a hint.

    number: text such as "02.3". function: the reader's own. also: what else the exercise
    asks for, such as the names of the faults where there is a bug to find. Unsolved
    exercises print that they are, so that a notebook runs from top to bottom. While
    nbgrader executes a notebook to grade it, a check that fails raises AssertionError,
    which is how nbgrader learns of it. Raises ValueError for a number that there is not,
    TypeError for something that is not a function.
    """
    exercise = find(number)
    for one in (function, *also):
        if not callable(one):
            raise TypeError(f"check takes a function, got a {type(one).__name__}")
    passed, said = verdict(exercise, (function, *also))
    print(f"{number} {said}")
    if not passed and os.environ.get("NBGRADER_EXECUTION"):
        raise AssertionError(f"{number} {said}")


def verdict(exercise, function, seed=0):
    r"""Whether a function passes an exercise's check, and the words for it.

    function: one, or a tuple of all that the exercise asks for, in the order of `names`.
    """
    function, *also = function if isinstance(function, tuple) else (function,)
    others = dict(zip(exercise.also, also, strict=False))
    module = getattr(function, "__module__", None) or ""
    if module.startswith("ddpm_lite."):
        return False, f"not yet: {module} has this one; write your own"
    try:
        exercise.check(Answer(function, others), seed)
    except Unsolved:
        return False, "not solved yet"
    except Hint as hint:
        return False, f"not yet: {hint}"
    except Exception as error:
        return False, f"not yet: {unreadable(error)}"
    return True, f"passed ({points(exercise.points)})"


def unreadable(error):
    r"""What is said when a check itself breaks on what came back."""
    return (
        "the check could not use what your function gave back "
        f"({type(error).__name__}: {str(error)[:200]})"
    )


def points(n):
    r""" "1 point", "2 points"."""
    return f"{n} point" + "s" * (n != 1)
