r"""A batch becomes a weight; a run becomes a folder."""

from .. import hand_on

CONTENTS = {
    "device": (),
    "threads": (),
    "ema": ("EMA",),
    "hybrid": ("hybrid_loss",),
    "trainer": ("TrainConfig", "Trainer"),
    "instruments": (),
    "fit": (),
    "presets": (),
    "cost": (),
    "reports": (),
    "experiment": (),
    "compared": (),
    "curves": (),
}

__getattr__, __dir__ = hand_on(__name__, CONTENTS)
