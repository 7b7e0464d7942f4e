r"""Pictures: are they those of the run, in the right range, and each there once?

The fingerprint of the run says whether they are the same. Grey
levels 0 .. levels - 1 become [-1, 1]; numbers from 0 to 1 that were made whole ones are
all but black. A picture that is there twice is seen twice as often, and one that is also
set aside makes the held-out loss say nothing.
"""

from dataclasses import replace
from hashlib import sha256

import torch

from ...data.marks import fingerprint, is_of
from ...training import experiment
from ...training.batches import to_float
from .findings import UNREADABLE, Finding, one_line


def read_pictures(case):
    r"""Read the pictures of a run and look at them: (case, findings)."""
    if case.config is None:
        return case, []
    try:
        pictures, held_out = experiment.load_pictures(case.config)
    except UNREADABLE as error:
        words = (
            f"The {case.of()} of {case.config.data or 'this run'} cannot be read from "
            f"here, so data and loss are not looked at: {one_line(error)}"
        )
        there = case.config.data and isinstance(error, ValueError)  # and resume refuses it
        return case, [Finding("wrong" if there else "note", case.of(), words)]
    case = replace(case, pictures=pictures, held_out=held_out)
    return case, [_same(case), *_range(pictures), _repeated(case)]


def _same(case):
    pictures, before, of = case.pictures, case.state.get("data"), case.of()
    read = pictures.x_0, pictures.y if case.config.network.classes else None
    now = fingerprint(*read)
    numbers = {"pictures": len(pictures)}
    if before is not None and not is_of(before, *read, now):
        many = case.about.get("described", {}).get("pictures", "?")
        words = (
            f"{case.config.data} now holds other {of} than this run began with: "
            f"{len(pictures):,} (fingerprint {now}), then {many} ({before}). Resume "
            "refuses them: bring the old ones back, or start a new run with --init."
        )
        return Finding("wrong", f"other {of}", words, numbers)
    shape = " x ".join(str(n) for n in pictures.shape)
    found = f"{len(pictures):,} of {shape}, those that the run began with"
    if len(pictures) < 100:
        words = f"{found}. So few are soon known by heart: look at samples/nearest.png."
        return Finding("note", f"few {of}", words, numbers)
    return Finding("ok", of, f"{found}.", numbers)


def _range(pictures):
    if pictures.levels is None:
        low, high = float(pictures.x_0.min()), float(pictures.x_0.max())
        words = f"Numbers go from {low:.2f} to {high:.2f} deviations; questions on grey "
        words += "levels are for pictures, and not asked of series."
        yield Finding("ok", "data range", words, {"lowest": low, "highest": high})
        return
    x_0, top = some(pictures.x_0, 5000, 3e8), pictures.levels - 1
    lowest, highest = x_0.flatten(1).amin(1), x_0.flatten(1).amax(1)
    low, high = int(lowest.min()), int(highest.max())
    blank = float((lowest == highest).double().mean())
    dark = float((highest <= 0.05 * top).double().mean())
    numbers = {"lowest": low, "highest": high, "levels": pictures.levels}
    numbers |= {"blank_share": blank, "dark_share": dark}
    found, fine = f"Grey levels go from {low} to {high} of 0 to {top}", True
    if high - low <= 0.25 * top:
        words = (
            f"{found}, so all that the network sees is nearly one grey. Were pictures in 0 "
            "to 1 made whole numbers? Multiply by 255 before that."
        )
        yield Finding("wrong", "data range", words, numbers)
        fine = False
    elif dark > 0.5:
        words = f"{dark:.0%} of the pictures are all but black: leave them out."
        yield Finding("wrong", "black pictures", words, numbers)
        fine = False
    if blank > 0.01:
        words = f"{blank:.0%} of the pictures have one grey level alone: leave them out."
        yield Finding("wrong", "constant pictures", words, numbers)
        fine = False
    if pictures.shape[0] == 3 and bool((x_0[:, :1] == x_0).all()):
        words = "All three channels are equal: --channels 1 makes the network cheaper."
        yield Finding("note", "grey pictures", words)
    if fine:
        level = "ok" if high - low > 0.75 * top else "note"
        yield Finding(level, "data range", f"{found}, which is -1 to 1.", numbers)


def _repeated(case):
    own, aside = _hashes(case.pictures), _hashes(case.held_out)
    known = set(own)
    repeated = 1 - len(known) / len(own)
    leaked = sum(picture in known for picture in aside) / max(1, len(aside))
    numbers = {"repeated": repeated, "held_out_in_training": leaked}
    found = (
        f"{repeated:.1%} of the {case.of()} repeat another one, and {leaked:.1%} of those "
        "set aside are among those trained on"
    )
    if max(repeated, leaked) > 0.1:
        words = (
            f"{found}. Copies are seen more often and learned by heart, and the held-out "
            "loss does not tell: leave them out."
        )
        return Finding("wrong", "duplicates", words, numbers)
    level = "note" if max(repeated, leaked) > 0.01 else "ok"
    return Finding(level, "duplicates", f"{found}.", numbers)


def _hashes(pictures):
    r"""A hash of each picture, [] for None."""
    few = some(pictures.x_0, 50_000, 1e9) if pictures else []
    return [sha256(picture.numpy().tobytes()).digest() for picture in few]


# --- measures of pictures that later questions use


def some(x_0, most, values=3e7):
    r"""At most `most` evenly spaced examples, of about `values` numbers together."""
    most = max(1, min(most, int(values // x_0[0].numel())))
    return x_0[:: max(1, -(-len(x_0) // most))]


def some_floats(pictures, most):
    r"""At most `most` evenly spaced pictures of a PictureSet, float (N, C, H, W)."""
    return to_float(some(pictures.x_0, most), pictures.levels)


def variances(x_0):
    r"""Variances of pictures along axes in which they are all but uncorrelated.

    x_0: (N, C, H, W), float. Returns float64 (C H W,), of which the sum is that over all
    pixels. With up to 1,024 dimensions and ten times as many pictures, the eigenvalues of
    the covariance; else the power spectrum: by colour axis and Fourier coefficient, which
    fewer pictures suffice for.
    """
    x_0 = x_0.double() - x_0.double().mean(0)
    x_0 = x_0[:, :, None] if x_0.dim() == 3 else x_0  # series: pictures of height 1
    N, D = len(x_0), x_0[0].numel()
    if D <= 1024 and N >= 10 * D:
        flat = x_0.flatten(1)
        return torch.linalg.eigvalsh(flat.T @ flat / N).clamp(min=0)
    colours = x_0.movedim(1, 3)  # (N, H, W, C)
    _, axes = torch.linalg.eigh(torch.einsum("nhwc,nhwd->cd", colours, colours))
    spectrum = torch.fft.fft2((colours @ axes).movedim(3, 1), norm="ortho")
    return spectrum.abs().square().mean(0).flatten()
