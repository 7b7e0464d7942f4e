r"""Pictures to write into files, and ways to do so."""

import numpy as np
from PIL import Image

from ddpm_lite import data

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (6, 8), np.uint8)
COLOUR = RANDOM.integers(0, 256, (6, 8, 3), np.uint8)


def save(path, array, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def only(folder, **options):
    r"""The one picture of a folder, (H, W) or (H, W, 3), as integers."""
    x_0 = data.load(folder, **options).x_0
    assert len(x_0) == 1
    return x_0[0].permute(1, 2, 0).numpy().astype(int).squeeze()


def message(error):
    assert "\n" not in str(error.value)
    return str(error.value)
