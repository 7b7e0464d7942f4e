r"""From noise to data: which steps a chain visits, one step, the whole chain."""

from .. import hand_on

CONTENTS = {
    "asked": (),
    "spacing": ("timestep_pairs",),
    "solvers": (),
    "sampler": ("sample", "sample_path"),
}

__getattr__, __dir__ = hand_on(__name__, CONTENTS)
