r"""From noise to data: which steps a chain visits, the chain, and what is built on it."""

from .. import hand_on

CONTENTS = {
    "asked": (),
    "spacing": ("timestep_pairs",),
    "solvers": (),
    "sampler": ("sample", "sample_path"),
    "guidance": ("guided",),
    "editing": ("inpaint", "vary", "interpolate"),
    "inversion": ("encode", "decode"),
    "measurement": ("measured",),
    "ode": ("follow",),
}

__getattr__, __dir__ = hand_on(__name__, CONTENTS)
