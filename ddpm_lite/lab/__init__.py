r"""What is wrong: samplers on exact denoisers, an installation, a run."""

from .. import hand_on

CONTENTS = {"exact": (), "doctor": (), "page": ()}

__getattr__, __dir__ = hand_on(__name__, CONTENTS)
