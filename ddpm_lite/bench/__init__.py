r"""Measuring speed and memory, beside other libraries."""

from .. import hand_on

CONTENTS = {
    "clock": (),
    "contestants": (),
    "page": (),
    "settings": (),
    "processes": (),
    "measuring": (),
    "gpu_checks": (),
    "gpu_speed": (),
    "gpu": (),
}

__getattr__, __dir__ = hand_on(__name__, CONTENTS)
