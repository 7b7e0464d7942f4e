r"""A function that a check may call, and what may go wrong in it, in words."""

import traceback

from . import wire
from .exercise import Hint, Unsolved


class Answer:
    r"""A reader's function in this process, called as the grader calls one in another.

    Inputs are copies, functions among them take and give copies, and what comes back is
    copied too: what works here works there, and nothing that the function does to its
    inputs reaches the check. others: {name: function} of what is handed in beside it.
    """

    def __init__(self, function, others=None):
        self.function, self.others = function, others or {}

    def other(self, name):
        r"""Another function that was handed in with this one, as an answer."""
        if name not in self.others:
            raise Hint(f"there is no function {name} beside it")
        return Answer(self.others[name], self.others)

    def __call__(self, *args, **options):
        given = []
        args, options = wire.unpack(
            wire.pack((args, options), given), lambda i: lent(given[i], wire.unpack)
        )
        try:
            value = self.function(*args, **options)
        except NotImplementedError:
            raise Unsolved from None
        except Exception as error:
            raise Hint(message_of(error)) from error
        return copied(value)


def lent(function, unpack):
    r"""A function that copies what goes into another one, and what comes out.

    What comes out still requires a gradient, if it did; what goes in does not.
    """

    def called(*args, **options):
        args, options = unpack(wire.pack((args, options)))
        return wire.unpack(wire.pack(function(*args, **options)), grad=True)

    return called


def copied(value):
    r"""A copy of an answer. Raises `Hint` for one that is not made of numbers."""
    try:
        return wire.unpack(wire.pack(value), grad=True)
    except (TypeError, ValueError) as error:
        raise Hint(f"your function gave back {error}") from error


def message_of(error):
    r"""What an error in a reader's function says, with the line it was raised in."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [
        f for f in frames if f.filename.startswith(("<cell", "<ipython", "/tmp/ipyk"))
    ]
    where = f", raised by: {inside[-1].line}" if inside and inside[-1].line else ""
    return f"your function raised {type(error).__name__}: {error}{where}"
