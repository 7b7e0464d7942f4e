r"""Samples: what do its pictures look like, and are they copies?

A person sees at once that pictures are black, flat, noisy or all alike. Each of these is
a moment that samples and data can be compared by: brightness, contrast within a picture,
the step between neighbours, the deviation of one pixel from picture to picture.
"""

import warnings
from dataclasses import replace

from ...evaluation.evaluate import FEWEST
from ...formats.checkpoint import read_json
from ...formats.chosen import check_drawn_with, in_words, with_guidance
from ...training import experiment
from ...training.reports import class_counts
from .findings import UNREADABLE, Finding, one_line
from .pictures import some_floats

_SEED = 201  # keeps these random draws apart from those of answers and loss
_ENOUGH = 0.25  # standard error of a copying share: two are half the way from 0 to 1


def drawn(case):
    r"""Draw pictures: do they look like the data?"""
    num, config = case.samples, case.config
    if config.own is None:
        config = replace(config, unet=case.model.unet_config)
    chain = config.drawn_with or dict(sampler="ddim", steps=min(20, case.schedule.T))
    try:
        check_drawn_with(chain, case.schedule, getattr(case.model, "classes", 0) or 0)
    except ValueError as error:
        yield Finding("wrong", "drawn_with", f"config.json: {one_line(error)}.")
        return
    model, options = with_guidance(case.model, chain)
    options |= dict(seed=_SEED, progress=False)
    counts = case.pictures and class_counts(config, case.pictures)
    y = experiment.labels_for(config, num, counts or None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a prior gap, found before
            x_0 = experiment.draw(model, case.schedule, config, num, y=y, **options)
    except FloatingPointError as error:
        words = f"{one_line(error)}. Go on from an earlier checkpoint with a lower lr."
        yield Finding("wrong", "samples not finite", words)
        return
    own = looks(x_0)
    how = f"{in_words(chain)}{', as stored' if config.drawn_with else ''}"
    found = f"{num} pictures in {how}: brightness {own['brightness']:.2f}"
    if case.pictures is None:
        words = f"{found}, contrast {own['contrast']:.2f}; no data to compare with."
        yield Finding("note", "samples", words, {"samples": own})
        return
    data = looks(some_floats(case.pictures, 2000))
    numbers = {"samples": own, "data": data}
    shares = [
        f"{name} {own[name] / data[name]:.2f}" if data[name] > 1e-6 else f"no {name} there"
        for name in ("contrast", "roughness", "variety")
    ]
    found = (
        f"{found} (data {data['brightness']:.2f}); as shares of the data's: "
        f"{', '.join(shares)}"
    )
    name, why = name_of(own, data)
    if name:
        yield Finding("wrong", name, f"{found}. {why}", numbers)
    else:
        yield Finding("ok", "samples", f"{found}.", numbers)


def looks(pictures):
    r"""Numbers for what a person calls black, flat, noisy or all alike.

    pictures: (N, C, H, W). Returns brightness (the mean), spread (deviation of all
    pixels), contrast (within a picture), roughness (mean step between neighbours), variety
    (deviation of one pixel from picture to picture, 0 of one) and saturated, the share at
    -1 or 1.
    """
    flat = pictures.flatten(1)
    axes = [d for d in range(2, pictures.dim()) if pictures.shape[d] > 1]
    rough = [pictures.diff(dim=d).abs().mean() for d in axes]
    return {
        "brightness": float(flat.mean()),
        "spread": float(flat.std()),
        "contrast": float(flat.std(1).mean()),
        "roughness": float(sum(rough)) / max(1, len(rough)),
        "variety": float(flat.std(0).mean()) if len(flat) > 1 else 0.0,
        "saturated": float((flat.abs() > 0.99).double().mean()),
    }


def name_of(own, data):
    r"""Name what is wrong with samples that look so, and say why; ("", "") if nothing is.

    own, data: what `looks` says of samples and of data. Returns two strings.
    """
    share = {name: own[name] / max(data[name], 1e-9) for name in own}
    shift = (own["brightness"] - data["brightness"]) / max(data["spread"], 1e-9)
    if share["roughness"] > 1.5 and share["roughness"] > 1.3 * share["contrast"]:
        return "noisy samples", (
            "They are rough as noise is: trained too little, an EMA that lags, an x_0 that "
            "is not cut to [-1, 1], or a wrong prediction or schedule."
        )
    if shift < -0.5 and share["contrast"] < 0.7:
        return "black samples", (
            "They are dark and flat: look at the data's range, and at the precision."
        )
    if abs(shift) > 0.5 or share["contrast"] < 0.7:
        return "washed-out samples", (
            "They are flat, or too bright or dark as a whole. That is decided at large t: "
            "look at the prior gap and the loss there, and train longer."
        )
    if share["variety"] < 0.6:
        return "samples all alike", (
            "They vary less than the data: too few pictures, or too few steps."
        )
    if own["saturated"] > data["saturated"] + 0.3:
        return "saturated samples", (
            "Too many pixels are at -1 or 1, where x_0 is cut: look at the data's range, "
            "and train longer."
        )
    return "", ""


def copies(case):
    r"""Does memorisation.json say that samples are copies, and can it tell?"""
    path = case.run / "memorisation.json"
    if not path.is_file():
        return
    try:
        found = read_json(path)
        share = found.get("copying_share")
        share = None if share is None else float(share)
        scatter, aside = _scatter(case, found)
    except (*UNREADABLE, AttributeError) as error:
        words = f"{one_line(error)}: memorisation.json is not what a report writes."
        yield Finding("note", "copies", words)
        return
    least = FEWEST["copying_share"]
    numbers = {"copying_share": share, "standard_error": scatter}
    if share is None or aside < least:
        why = found.get("cannot_tell") or f"needs {least} unseen {case.of()}, has {aside}"
        words = (
            f"Whether samples are copies cannot be told: {why}. Look at "
            "samples/nearest.png, or take ddpm-lite evaluate with --data."
        )
        yield Finding("note", "copies", words, numbers)
        return
    words = (
        f"By memorisation.json, samples prefer training {case.of()} to held-out ones by "
        f"{share:.2f} +- {scatter:.2f}; 0 learns, 1 copies"
    )
    near, usual = (found.get(f"{x}_to_train") for x in ("sample", "held_out"))
    if near and usual and near > usual:
        words += (
            f". But they lie farther from those ({near:.2f}) than unseen {case.of()} do "
            f"({usual:.2f}), so that they are no copies."
        )
        yield Finding("ok", "copies", words, numbers)
    elif share > max(0.5, 3 * scatter):
        words += f". See samples/nearest.png; stop earlier, or take more {case.of()}."
        yield Finding("wrong", "copies", words, numbers)
    elif scatter > _ENOUGH:
        words += f": from so few {case.of()} that cannot be told."
        yield Finding("note", "copies", words, numbers)
    else:
        yield Finding("note" if share > 0.25 else "ok", "copies", f"{words}.", numbers)


def _scatter(case, found):
    r"""Standard error of the copying share, and how many pictures were set aside.

    Files that earlier versions wrote hold no error: then it is the least that it can be,
    see `copying_and_error`.
    """
    known = case.about.get("described", {})
    N, H = known.get("pictures", 0), found.get("held_out", known.get("held_out", 0))
    error, M = found.get("standard_error"), found.get("samples", 1)
    if error is None and N and H:
        h = H / (N + H)
        error = ((1 - h) * (1 / (h * M) + 1 / H)) ** 0.5
    return float(error or 0), H
