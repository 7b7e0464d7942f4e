r"""Whatever a user has becomes a batch: points in the plane, pictures in [-1, 1]."""

from .. import hand_on

CONTENTS = {
    "points": (
        "s_curve",
        "s_curve_scale",
        "s_curve_middle",
        "two_moons",
        "swiss_roll",
        "gaussian_mixture",
        "mixture_means",
    ),
    "ranges": (),
    "examples": (),
    "marks": (),
    "listing": (),
    "folders": (),
    "pictures": ("PictureSet",),
    "arrays": (),
    "series": ("SeriesSet", "load_series"),
    "lazy": (),
    "sources": ("load", "digits", "clothes", "photo", "check_pictures"),
    "survey": (),
    "datasets": ("Items",),
    "streams": ("Stream",),
    "transforms": ("random_crop", "flip", "colour", "chain", "with_global_seed"),
}

__getattr__, __dir__ = hand_on(__name__, CONTENTS)
