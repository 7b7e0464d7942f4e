r"""What a submission's process may say: one form for each message, checked on arrival.

The grader believes nothing that it has not looked at. A message is a dict that has all
keys of one form and no others, and behind each key what the form says.
"""

from . import wire

MOST_ERRORS = 20  # cells whose errors are told
MOST_NAMES = 30  # functions that a hint names
_NAME = 60  # characters of a name


def read(data, *kinds):
    r"""The message in bytes, a dict of one of these kinds of `FORMS`.

    Texts in it are cut. Raises ValueError for bytes that hold anything else.
    """
    message = wire.unpack(data, grad=True)
    if not isinstance(message, dict):
        raise ValueError(f"a {type(message).__name__} is no message")
    for kind in kinds:
        form = FORMS[kind]
        if set(message) == set(form):
            return {key: as_it_should(message[key]) for key, as_it_should in form.items()}
    raise ValueError(f"a message of none of the kinds {', '.join(kinds)}")


def _must(ok, what):
    if not ok:
        raise ValueError(f"not {what}")


def _errors(value):
    _must(isinstance(value, list), "a list of errors")
    for one in value:
        _must(isinstance(one, (list, tuple)) and len(one) == 2, "a number and a text")
        _must(_whole(one[0]) and isinstance(one[1], str), "a number and a text")
    return [(i, wire.clean(text, 300)) for i, text in value[:MOST_ERRORS]]


def _text(value):
    _must(isinstance(value, str), "a text")
    return wire.clean(value, 2000)


def _names(value):
    _must(isinstance(value, list) and all(isinstance(v, str) for v in value), "names")
    return [wire.clean(name, _NAME) for name in value[:MOST_NAMES]]


def _true(value):
    _must(value is True, "true")
    return value


def _index(value):
    _must(_whole(value), "a number")
    return value


def _args(value):
    _must(isinstance(value, (list, tuple)), "arguments")
    return value


def _options(value):
    _must(isinstance(value, dict) and all(isinstance(k, str) for k in value), "options")
    return value


def _whole(value):
    return type(value) is int and value >= 0


FORMS = {
    "errors": {"errors": _errors},  # of the cells, when they have run
    "value": {"value": lambda value: value},  # what a function gave back
    "unsolved": {"unsolved": _true},
    "raised": {"raised": _text},
    "missing": {"missing": _names},  # the functions that there are
    "ask": {"ask": _index, "args": _args, "options": _options},  # a check's function
}
ANSWERS = ("value", "unsolved", "raised", "missing", "ask")
