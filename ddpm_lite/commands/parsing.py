r"""From the words of a command line to the options of a command.

Imported before torch is there, and by `--help`: so nothing here may need torch.
"""

import difflib

import tyro

_FLAT = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)


def parse(kind, name, arguments, default=None):
    r"""The options in a command's arguments: an instance of the dataclass kind.

    kind: its fields, also those of dataclasses inside it, are the options, and their
    comments the help. name: of the command, for its help. default: an instance of kind
    whose values hold where nothing is given. Exits with status 2 for an option that does
    not exist or a value of another type, and with 0 after --help.
    """
    prog = f"ddpm-lite {name}"
    return tyro.cli(kind, prog=prog, args=arguments, default=default, config=_FLAT)


def nearest(name, names):
    r"""What to say behind an unknown name: the nearest one, or all there are."""
    near = difflib.get_close_matches(name, names, 1, 0.5)
    return f": did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
