r"""From the words of a command line to the options of a command.

Imported before torch is there, and by `--help`: so nothing here may need torch.
"""

import difflib
import io
import re
import traceback
from contextlib import redirect_stderr
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise
from typing import get_args, get_origin

import tyro

_ONE = {int: "a whole number", float: "a number", str: "a word", bool: "True or False"}
_MANY = {int: "whole numbers", float: "numbers", str: "words"}

RENAMED = {"--decay-lr": "--lr-schedule cosine", "--no-decay-lr": "--lr-schedule constant"}


class Misunderstood(ValueError):
    r"""A command line that cannot be understood: a name or the kind of a value is wrong."""


def parse(kind, name, arguments, default=None, about=None):
    r"""The options in a command's arguments: an instance of the dataclass kind.

    kind: its fields, also those of dataclasses inside it, are the options, and their
    comments the help. name: of the command, for its help. default: an instance of kind
    whose values hold where nothing is given. about: what the help says first, the
    docstring of kind if None. Raises Misunderstood for an option that does not exist or a
    value of another type, and what kind itself refuses; SystemExit, with 0, after --help.
    """
    known, prog = options_of(kind), f"ddpm-lite {name}"
    arguments = _as_flags(arguments, known)
    for word in arguments:
        _check_option(word, known, name)
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            found, left = tyro.cli(
                kind,
                prog=prog,
                args=arguments,
                default=default,
                description=about,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.SuppressFixed),
                return_unknown_args=True,
            )
    except (SystemExit, Exception) as error:
        if isinstance(error, SystemExit) and not error.code:
            raise
        refused = _refused(error, known)
        raise refused or _misread(kind, name, arguments, said.getvalue()) from None
    if left:
        before = arguments[arguments.index(left[0]) - 1].replace("_", "-")
        what = before if _is_flag(known.get(before)) else name
        raise Misunderstood(f"{what} takes no word {left[0]!r}; see {prog} --help")
    return found


def nearest(name, names):
    r"""What to say behind an unknown name: the nearest one, or all there are."""
    near = difflib.get_close_matches(name, names, 1, 0.5)
    return f": did you mean {near[0]}?" if near else f"; there are {', '.join(names)}."


def value_of(option, arguments):
    r"""The word behind an option, as --x WORD or --x=WORD, the last time; else ""."""
    found = ""
    for word, behind in pairwise([*arguments, ""]):
        name, equals, value = word.partition("=")
        if name == option:
            found = value if equals else behind
    return found


def options_of(kind):
    r"""{option: type} of a dataclass and those inside it, such as {"--num": int}.

    A flag is there twice, as --x and as --no-x. What has a place and no name is left out.
    """
    found = {}
    for field in fields(kind):
        option = field.name.replace("_", "-")
        if field.type is object:
            continue  # is no option: SuppressFixed leaves it out of the help
        if is_dataclass(field.type):
            found |= options_of(field.type)
        elif not _has_place(field):
            of = get_args(field.type)[0] if _marks(field) else field.type
            found[f"--{option}"] = of
            if _is_flag(of):
                found[f"--no-{option}"] = of
    return found


def in_words(kind):
    r"""What a value of a type is, in words, such as "a whole number or None"."""
    of = get_args(kind)
    if get_origin(kind) is tuple:
        return _MANY[of[0]] if of[-1] is ... else f"{len(of)} {_MANY[of[0]]}"
    return " or ".join(map(in_words, of)) if of else _ONE.get(kind, "None")


def _is_flag(kind):
    return bool in (kind, *get_args(kind))


def _marks(field):
    return getattr(field.type, "__metadata__", ())


def _has_place(field):
    return tyro.conf.Positional in _marks(field)


def _as_flags(arguments, known):
    r"""The same words, --x True and --x False of a flag that may be left open as flags."""
    words = []
    for word in arguments:
        before = words[-1] if words else ""
        if word in ("True", "False") and known.get(before.replace("_", "-")) == bool | None:
            words[-1] = before if word == "True" else f"--no{before[1:]}"
        else:
            words.append(word)
    return words


def _check_option(word, known, name):
    option = word.partition("=")[0].replace("_", "-")
    if option in RENAMED:
        raise Misunderstood(f"{option} is {RENAMED[option]} since version 0.4")
    if re.match(r"--\w", word) and option not in (*known, "--help"):
        near = difflib.get_close_matches(option, [*known, "--help"], 3)
        near = [n for n in near if abs(len(n) - len(option)) <= 2]  # not --eps for --epochs
        mean = f": did you mean {near[0]}?" if near else ";"
        raise Misunderstood(
            f"{name} has no option {option}{mean} see ddpm-lite {name} --help"
        )


def _refused(error, known):
    r"""The error of a dataclass that refuses its values, behind that of tyro, or None.

    A field that it names first, hold_out, is named as the option --hold-out.
    """
    while error is not None:
        where = traceback.extract_tb(error.__traceback__)
        if isinstance(error, ValueError) and "__post_init__" in [f.name for f in where]:
            name, must, rest = str(error).partition(" must be ")
            option = f"--{name.replace('_', '-')}"
            return ValueError(option + must + rest) if option in known else error
        error = error.__context__
    return None


def _misread(kind, name, arguments, said):
    r"""What tyro says in a box of several lines, in one."""
    known, see = options_of(kind), f"see ddpm-lite {name} --help"
    option = next((o for o in re.findall(r"--[\w-]+", said) if o in known), None)
    words = [word.replace("_", "-").partition("=") for word in arguments]
    given = [i for i, (word, *_) in enumerate(words) if word == option]
    if not given:  # something that is needed was not given
        needed = [f for f in fields(kind) if f.default is f.default_factory is MISSING]
        places = [f.name.upper() for f in needed if _has_place(f)]
        others = [f"--{f.name} {f.name.upper()}" for f in needed if not _has_place(f)]
        whole = " ".join(["ddpm-lite", name, *places, *others, "[options]"])
        got = " ".join(["ddpm-lite", name, *arguments])
        return Misunderstood(f"expected {whole}, got {got}; {see}")
    i = given[-1]
    values = [arguments[i].partition("=")[2]] if words[i][1] else []
    for word in [] if words[i][1] else arguments[i + 1 :]:
        if word.startswith("--"):
            break
        values.append(word)
    got = repr(" ".join(values)) if values else "nothing"
    return Misunderstood(f"{option} must be {in_words(known[option])}, got {got}; {see}")
