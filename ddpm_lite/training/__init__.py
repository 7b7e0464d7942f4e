r"""A batch becomes a weight; a run becomes a folder."""

from .. import hand_on

CONTENTS = {
    "device": (),
    "threads": (),
    "ema": ("EMA",),
    "weighting": ("min_snr_weight",),
    "hybrid": ("hybrid_loss",),
    "facts": (),
    "config": ("TrainConfig",),
    "ahead": (),
    "batches": (),
    "trainer": ("Trainer",),
    "instruments": (),
    "fit": (),
    "stored": (),
    "presets": (),
    "cost": (),
    "plan": (),
    "resuming": (),
    "reports": (),
    "experiment": (),
    "compared": (),
    "curves": (),
}

__getattr__, __dir__ = hand_on(__name__, CONTENTS)
