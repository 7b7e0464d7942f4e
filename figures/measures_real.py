r"""Real pictures for `figures/measures.py`: what they score, and with a planted fault."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from measures_page import FAULTS, outside
from tqdm import tqdm

from ddpm_lite import data
from ddpm_lite.data.marks import fingerprint
from ddpm_lite.evaluation import classifier, evaluate, foolers
from ddpm_lite.evaluation.panel import (
    Panel,
    judge,
    over_real,
    panel_of,
    seen_classes,
    spread,
)
from ddpm_lite.formats.checkpoint import write_text
from ddpm_lite.seeds import generator_for

_UNSEEN, _REAL, _COUNTED = range(320, 323)  # what each choice is drawn by
DRAWS = 3  # of real pictures, as many as the model's
TREES = 100  # of a forest; 200 see no more, measured
COUNTED = 10_000  # training pictures whose classes the judge counts


@dataclass(frozen=True)
class Real:
    r"""Real pictures: the panel; several draws of trained and of unseen ones, with labels.

    trained, unseen: lists of (pictures, labels). order: of the unseen split, the held-out
    ones first. path: the file that keeps what they score.
    """

    panel: Panel
    train: data.PictureSet
    test: data.PictureSet
    order: torch.Tensor
    trained: list
    unseen: list
    about: dict
    path: Path


def open_real(options):
    r"""Read the pictures, set some aside by a seed, and let the judge see them.

    What real pictures scored is in the cache after a first call, and then so are the
    counts of their classes.
    """
    train, test = (data.load(options.data, split=split) for split in ("train", "test"))
    eye, about = classifier.load_judge(options.which)
    n, H = options.num, options.held_out
    if len(test) < H + DRAWS * n:
        raise ValueError(
            f"the unseen split has {len(test)} pictures, of which {H} are held out and "
            f"{DRAWS} x {n} drawn: lower --held-out or --num"
        )
    order = torch.randperm(len(test), generator=generator_for(_UNSEEN, 0))
    marks = [fingerprint(s.x_0, s.y) for s in (train, test)]
    mark = [*marks, digest(eye.state_dict()), n, H, DRAWS, COUNTED, TREES, list(FAULTS)]
    mark = short(mark)
    path = options.cache / f"real_{options.which}_{mark}.json"
    if path.is_file():
        counts = torch.tensor(json.loads(path.read_text("utf-8"))["counts"])
    else:
        counted = train.to_float(some(train, COUNTED, _COUNTED, 0))
        counts = seen_classes(eye, counted)
    panel = panel_of(test.to_float(order[:H]), train, eye, counts, trees=TREES)
    parts = [order[H + k * n : H + (k + 1) * n] for k in range(DRAWS)]
    unseen = [(test.to_float(part), test.y[part]) for part in parts]
    parts = [some(train, n, _REAL, k) for k in range(DRAWS)]
    trained = [(train.to_float(part), train.y[part]) for part in parts]
    return Real(panel, train, test, order, trained, unseen, about, path)


def some(pictures, n, *numbers):
    r"""Places of n pictures, or of all there are, chosen by whole numbers."""
    return torch.randperm(len(pictures), generator=generator_for(*numbers))[:n]


def digest(tensors):
    r"""A short name of {name: tensor}."""
    found = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        found.update(name.encode() + value.contiguous().cpu().numpy().tobytes())
    return found.hexdigest()[:16]


def short(values):
    r"""A short name of JSON values."""
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def planted(real):
    r"""{fault: (pictures, labels or None)}: unseen pictures, without a fault and with."""
    x, y = real.unseen[0]
    n = len(x)
    rest = real.order[len(real.panel.held_out) :]
    kept = rest[foolers.without_classes(real.test.y[rest])][:n]
    known = some(real.train, 10_000, _REAL, DRAWS)
    copied = known[foolers.repeated(n, min(250, n))]
    gaussian = evaluate.fitted_gaussian(real.train.to_float(known), n)
    found = {
        "no_fault": (x, y),
        "invisible_noise": (foolers.invisible_noise(x), y),
        "speckle": (foolers.speckle(x), y),
        "two_classes_missing": (real.test.to_float(kept), real.test.y[kept]),
        "fitted_gaussian": (gaussian, None),
        "memoriser": (real.train.to_float(copied), real.train.y[copied]),
        "wrong_labels": (x, foolers.wrong_labels(y, real.panel.classifier.classes)),
    }
    assert list(found) == list(FAULTS)
    return found


def judge_real(real, which):
    r"""What real pictures and planted faults score, from its file if it is there.

    Returns {"rows": what `judge` says of the draws of training pictures, "training",
    "unseen": {measure: mean and spread}, "faults": {fault: {measure: number}}, "seen":
    {fault: the measures that it takes outside their limits}}.
    """
    path = real.path
    if path.is_file():
        return json.loads(path.read_text("utf-8"))
    kinds = planted(real)
    bar = tqdm(total=2 * DRAWS + len(kinds), desc="real pictures and planted faults")
    rows = {}
    for name, draws in (("training", real.trained), ("unseen", real.unseen)):
        rows[name] = []
        for k, (x, y) in enumerate(draws):
            rows[name].append(judge(real.panel, x, y, free=x, seed=k))
            bar.update()
    found = {"rows": rows["training"], "counts": real.panel.counts.tolist()}
    for name in rows:
        found[name] = spread([over_real(row, rows["training"]) for row in rows[name]])
    found["faults"] = {}
    for fault, (x, y) in kinds.items():
        row = judge(real.panel, x, y, free=x)
        found["faults"][fault] = over_real(row, rows["training"])
        bar.update()
    bar.close()
    out = {
        fault: [name for name, value in row.items() if outside(which, name, value) > 0]
        for fault, row in found["faults"].items()
    }
    found["seen"] = {
        fault: [name for name in names if name not in out["no_fault"]]
        for fault, names in out.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(found))
    return found
