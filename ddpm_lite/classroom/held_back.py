r"""Checks that students do not see: a teacher's own folder, outside the package.

A file there is Python, such as

    from ddpm_lite.classroom.exercise import expect
    from ddpm_lite.classroom.held_back import held_back

    @held_back("02.1")
    def at_a_single_step(answer, seed):
        ...
        expect(ok, "what is wrong, in words")

and is run by the grader, so that it is the teacher's own code and nobody else's. Where it
fails, the exercise has the points of the stages that it yielded, 0 for a plain function.
"""

import hashlib
import importlib.util
from pathlib import Path

from .exercise import find


def held_back(number):
    r"""Mark a function (answer, seed) as a held-back check of an exercise.

    It returns None, or is a generator of stages (points, words) like an exercise's own.
    Raises ValueError for a number that there is not.
    """
    find(number)

    def marked(check):
        check.held_back_for = number
        return check

    return marked


def held_back_checks(folder):
    r"""The held-back checks in a folder's *.py, {number: [check, ...]}.

    Raises ValueError where there is none, or where a file cannot be run.
    """
    found = {}
    for path in sorted(Path(folder).glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"held_back_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise ValueError(f"{path} cannot be run: {error}") from error
        for value in vars(module).values():
            number = getattr(value, "held_back_for", None)
            if number is not None:
                found.setdefault(number, []).append(value)
    if not found:
        raise ValueError(f"{folder} holds no file with a held-back check (@held_back)")
    return found


def digest_of(checks, chapter):
    r"""A text that is another one for other held-back checks of a chapter, "" for none."""
    files = {
        check.__code__.co_filename
        for number, own in checks.items()
        if number[:2] == chapter
        for check in own
    }
    data = b"\0".join(Path(name).read_bytes() for name in sorted(files))
    return hashlib.sha256(data).hexdigest()[:16] if files else ""
