r"""What `ddpm-lite` does, command by command."""

from .. import hand_on

CONTENTS = {"quickstart": (), "main": ()}

__getattr__, __dir__ = hand_on(__name__, CONTENTS)
