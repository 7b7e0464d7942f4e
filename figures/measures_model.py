r"""The model for `figures/measures.py`: what it draws, and what that scores."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from measures_real import digest, short
from tqdm import tqdm

from ddpm_lite import guided, sample
from ddpm_lite.data.marks import fingerprint
from ddpm_lite.evaluation import classifier, metrics
from ddpm_lite.evaluation.panel import judge, over_real
from ddpm_lite.formats.diffusers import open_model
from ddpm_lite.sampling.solvers import network_calls
from ddpm_lite.training.device import autocast, choose_precision

BATCH = 100  # samples at a time
PLAIN = dict(sampler="ddim", steps=50)  # of a model that stores no chain


@dataclass(frozen=True)
class Model:
    r"""A model that draws pictures: what was loaded, its short name and its chain."""

    found: object
    name: str
    mark: str
    chain: dict
    stored: bool
    precision: str

    @property
    def calls(self):
        r"""How often the network is called for a picture."""
        return calls_of(self.chain, self.found.schedule.T)


def open_pictures(options, real):
    r"""Load the model and find its chain; refuse one that the judge cannot see."""
    name = options.model or options.which
    found = open_model(name)
    if options.half:  # the weights alone: tables that are no weights are made anew
        for parameter in found.model.parameters():
            parameter.data = parameter.data.half().float()
    shape = real.panel.classifier.shape
    if found.sample_shape != shape:
        raise ValueError(
            f"{name} draws pictures of shape {found.sample_shape}, and the judge of "
            f"{options.which} sees {shape}"
        )
    trained_on = found.config.get("described", {}).get("fingerprint")
    if trained_on not in (None, fingerprint(real.train.x_0, real.train.y)):
        print(f"{name} was trained on other pictures: copying_share says nothing")
    stored = found.config.get("drawn_with")
    chain = options.chain or stored or PLAIN
    device = next(found.model.parameters()).device
    precision = choose_precision(device, options.precision, found.model)
    tables = {"beta": found.schedule.beta, **found.model.state_dict()}
    mark = digest(tables)
    own = stored is not None and chain == stored
    return Model(found, Path(name).stem, mark, dict(chain), own, precision)


def calls_of(chain, T):
    r"""Network calls of a chain, a dictionary of options of `sample`, and guidance.

    One that is guided counts twice, for it asks with the class and without.
    """
    calls = network_calls(chain.get("sampler", "ancestral"), chain.get("steps") or T)
    return calls if chain.get("guidance", 1) == 1 else 2 * calls


def drawn(model, chain, seed, y, n, cache, what):
    r"""n pictures as a file would hold them, uint8 (n, C, H, W), from the cache if there.

    y: the labels, or None for none, which leaves nothing to guide to. Picture i has the
    seed (seed, i), as `sample` gives it.
    """
    asked = None if y is None else y.tolist()
    if y is None:  # chains that differ in guidance alone draw the same
        chain = {name: value for name, value in chain.items() if name != "guidance"}
    key = short([model.mark, chain, seed, asked, n, model.precision])
    path = cache / f"{model.name}_{key}.npy"
    if path.is_file():
        return torch.from_numpy(np.load(path))
    found, parts, how = model.found, [], dict(chain)
    scale = how.pop("guidance", 1)
    network = found.model if scale == 1 or y is None else guided(found.model, scale)
    device = next(found.model.parameters()).device
    with tqdm(total=n, desc=f"drawing {what}, seed {seed}") as bar:
        for part in torch.arange(n).split(BATCH):
            with autocast(device, model.precision):
                x = sample(
                    network,
                    found.schedule,
                    (len(part), *found.sample_shape),
                    seed=[(seed, int(i)) for i in part],
                    y=None if y is None else y[part].to(device),
                    progress=False,
                    **how,
                )
            parts.append(metrics.round_to_levels(x.float().cpu(), 256))
            bar.update(len(part))
    pixels = ((torch.cat(parts) + 1) * 127.5).round().to(torch.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, pixels.numpy())
    return pixels


def floats(pixels):
    r"""uint8 as float32 in [-1, 1]."""
    return 2 * pixels.float() / 255 - 1


def judge_model(model, chain, real, rows, seeds, options, free=True):
    r"""What the panel says of samples: a list of {measure: number}, one for each seed.

    Seed s asks for the labels of the s-th draw of real training pictures, so for the
    data's mix; `free` draws as many without a label, whose classes are counted.
    """
    found, classes = [], getattr(model.found.model, "classes", 0)
    knows_none = not classes or model.found.config.get("train", {}).get("drop_label", 1)
    if free and not knows_none:
        print(f'{model.name} never saw "no class": the shares of classes are not measured')
    for s in seeds:
        y = real.trained[s % len(real.trained)][1] if classes else None
        how = (model, chain, s, y, options.num, options.cache)
        x = unasked = floats(drawn(*how, "pictures"))
        if free and classes and knows_none:
            how = (model, chain, s, None, options.num, options.cache)
            unasked = floats(drawn(*how, "without a label"))
        elif classes:
            unasked = None
        row = judge(real.panel, x, y, free=unasked if free else None, seed=s)
        found.append(over_real(row, rows))
        said = ", ".join(f"{k} {v:.3f}" for k, v in found[-1].items() if v is not None)
        print(f"{chain}, seed {s}: {said}", flush=True)
    return found


def other_numbers(x, real, sizes=(1000, 2000, 10_000)):
    r"""Ratios of samples with another number of held-out pictures, {number: {...}}."""
    found, eye = {}, real.panel.classifier
    usual, _ = real.trained[0]
    features = [classifier.look(eye, z)[0] for z in (x, usual)]
    aside = real.test.to_float(real.order[: max(sizes)])
    seen, _ = classifier.look(eye, aside)
    for size in (size for size in sizes if size <= len(aside)):
        fd = [metrics.frechet_distance(z, aside[:size]) for z in (x, usual)]
        ff = [metrics.frechet_distance(z, seen[:size]) for z in features]
        shares = [metrics.precision_recall(aside[:size], z) for z in (x, usual)]
        (p, r), (p_real, r_real) = shares
        found[size] = {
            "fd_pixels": fd[0] / fd[1],
            "fd_features": ff[0] / ff[1],
            "precision": p / p_real,
            "recall": r / r_real,
        }
    return found
