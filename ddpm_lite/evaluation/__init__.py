r"""How good is it: measures of samples against data."""

from .. import hand_on

CONTENTS = {
    "metrics": (),
    "inception": (),
    "evaluate": (),
    "classifier": (),
    "foolers": (),
    "panel": (),
    "likelihood": ("log_likelihood",),
}

__getattr__, __dir__ = hand_on(__name__, CONTENTS)
