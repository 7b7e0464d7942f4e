r"""Choose the clothes that come along: `python figures/clothes.py --data FOLDER`.

FOLDER: Fashion-MNIST in the hub's layout. Writes two sheets into ddpm_lite/clothes/, which
`data.load("clothes")` reads: train.png with 1,000 pictures of the split train, held_out.png
with 1,000 of the split test. A row is a class, 100 pictures in the order in which they were
drawn. Each class has 100, as all have the same share of the 70,000: what is measured on
these, such as the shares of classes, is then free of the chance of the choice. The seed is
0. The files are the same byte for byte from the same versions of Pillow and zlib, and the
pictures in them in any case.
"""

import argparse
import tempfile
from pathlib import Path

import datasets
import numpy as np
import torch
from PIL import Image

from ddpm_lite.data.datasets import Items
from ddpm_lite.data.sources import CLOTHES, KINDS
from ddpm_lite.seeds import HELD_OUT, generator_for

SPLITS = {"train": "train", "held_out": "test"}  # ours, and the hub's
EACH, SEED = 100, 0


def rows_of(y, number):
    r"""Which pictures are taken, (10, 100): of a shuffle, the first 100 of each class.

    y: int64 (N,), the class of each. number: of the split, as a part of the seed.
    """
    order = torch.randperm(len(y), generator=generator_for(HELD_OUT, SEED, number))
    return torch.stack([order[y[order] == c][:EACH] for c in range(len(KINDS))])


def sheet_of(folder, split, number):
    r"""The sheet of a split, uint8 (280, 2800), from a folder in the hub's layout."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        where = str(Path(folder).resolve())
        table = datasets.load_dataset(where, split=split, cache_dir=cache)
        names = tuple(table.features["label"].names)
        if names != KINDS:
            raise SystemExit(f"expected the classes {KINDS}, got {names}")
        items, rows = Items(table), rows_of(torch.tensor(table["label"][:]), number)
        pictures = [[items.read(int(i))[0][0].numpy() for i in row] for row in rows]
    return np.block(pictures)


def check_different(sheets):
    r"""Refuse sheets in which a picture is there twice: SystemExit."""
    every = np.concatenate([s.reshape(10, 28, EACH, 28).swapaxes(1, 2) for s in sheets])
    different = len(np.unique(every.reshape(-1, 28 * 28), axis=0))
    if different != every.shape[0] * EACH:
        raise SystemExit(f"of {every.shape[0] * EACH} pictures {different} are different")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="Fashion-MNIST in the hub's layout")
    parser.add_argument("--out", default=CLOTHES, type=Path, help="the folder to write")
    options = parser.parse_args(arguments)
    found = {
        name: sheet_of(options.data, split, number)
        for number, (name, split) in enumerate(SPLITS.items())
    }
    check_different(found.values())
    for name, sheet in found.items():
        path = options.out / f"{name}.png"
        Image.fromarray(sheet).save(path, "PNG", optimize=True)
        print(f"wrote {path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    datasets.disable_progress_bars()
    main()
