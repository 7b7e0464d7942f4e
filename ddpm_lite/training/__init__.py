r"""A batch becomes a weight; a run becomes a folder."""

from .. import hand_on

CONTENTS = {
    "device": (),
    "threads": (),
    "together": (),
    "ema": ("EMA",),
    "weighting": ("min_snr_weight",),
    "hybrid": ("hybrid_loss",),
    "own": (),
    "facts": (),
    "config": ("TrainConfig",),
    "ahead": (),
    "batches": (),
    "optimiser": (),
    "recomputing": (),
    "trainer": ("Trainer",),
    "autoencode": ("train_autoencoder",),
    "instruments": (),
    "boards": (),
    "best": (),
    "held_out": (),
    "fit": (),
    "stored": (),
    "presets": (),
    "cost": (),
    "one_dimension": (),
    "plan": (),
    "starting": (),
    "choose": (),
    "resuming": (),
    "reports": (),
    "experiment": (),
    "compared": (),
    "curves": (),
}

__getattr__, __dir__ = hand_on(__name__, CONTENTS)
