r"""What `ddpm-lite` does, a file for each command.

Read one of them, `sample`, with what it takes from `shared`; then `main`.
"""

from .. import hand_on

CONTENTS = {
    "parsing": (),
    "shared": (),
    "quickstart": (),
    "presets": (),
    "train": (),
    "resume": (),
    "sample": (),
    "evaluate": (),
    "info": (),
    "curves": (),
    "doctor": (),
    "bench": (),
    "grade": (),
    "export": (),
    "import_": (),
    "main": (),
}

__getattr__, __dir__ = hand_on(__name__, CONTENTS)
