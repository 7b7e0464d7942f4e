r"""The examination: every question in the order in which one fault hides the next.

A question is a function of the case that yields Findings. What a fault makes impossible
to ask is not asked.
"""

from dataclasses import replace
from pathlib import Path

import torch

from ...models.unet import UNet
from ...training.device import choose_device
from . import answers, chain, files, log, loss, pictures, samples, weights
from .case import Case
from .installation import examine_installation

_OF_FILES = (files.read_settings, files.read_metrics, files.read_checkpoint)
_OF_TRAINING = (
    log.length,
    log.ema_horizon,
    log.loss_curve,
    log.learning_rate,
    log.gradient,
    log.precision,
    log.device_used,
    log.speed,
)
_OF_THE_NETWORK = (
    answers.prediction,
    loss.bounded_loss,
    chain.spread_kept,
    answers.noise_at_the_end,
    samples.drawn,
    samples.copies,
)
_UNUSABLE = ("weights not finite", "not trained", "EMA")


def diagnose(run=None, network=None):
    r"""Look at this installation, and at a run if one is named.

    run: the folder of a run, or None. network: the class of a network of one's own, see
    `load_model`. Returns a list of Findings, in the order in which
    faults hide each other. Raises FileNotFoundError where there is no such folder.
    """
    if run is not None and not Path(run).is_dir():
        raise FileNotFoundError(f"there is no folder {run}: name the folder of a run")
    return examine_installation() + ([] if run is None else examine(run, network=network))


def examine(run, draws=1024, samples=64, network=None):
    r"""Look at a run: its files, then the questions of this package, in that order.

    run: the folder. draws: of (x_0, t, noise), for the losses. samples: pictures that are
    drawn. network: as in `diagnose`. A CPU makes fewer of a large network. Returns a list
    of Findings. What a fault makes impossible to ask is not asked.
    """
    case, findings = Case(Path(run), network=network), []
    for read in _OF_FILES:
        case, more = read(case)
        findings += more
    if case.folder is None:
        return findings
    findings += weights.trained(case)
    usable = all(f.level == "ok" for f in findings if f.what in _UNUSABLE)
    findings += weights.settings(case)
    case, of_pictures = pictures.read_pictures(case)
    findings += [*chain.prior_gap(case), *of_pictures]
    for question in _OF_TRAINING if case.train else ():
        findings += question(case)
    if usable and _can_be_asked(case):
        case = _with_effort(case, draws, samples)
        for question in _OF_THE_NETWORK:
            findings += question(case)
    return findings


def _can_be_asked(case):
    r"""Is there a network of pictures, and does it fit those of the run's settings?"""
    if case.config is None or (
        case.config.own is None and not isinstance(case.model, UNet)
    ):
        return False
    known = getattr(case.model, "unet_config", case.config.network)
    shape = case.config.network.sample_shape
    return len(shape) == 3 and known.sample_shape == shape


def _with_effort(case, draws, samples):
    r"""The case with its network on the device, and how much that is asked for."""
    device, fewer = choose_device(), 1.0
    if device.type == "cpu":
        fewer = min(1.0, 2e11 / draws / max(1, _operations(case)))
    case.model.to(device)
    draws, samples = max(64, int(fewer * draws)), max(12, int(fewer * samples))
    return replace(case, device=device, draws=draws, samples=samples)


def _operations(case):
    r"""Operations of one picture, in convolutions and linear maps alone."""
    model, counted = case.model, []

    def count(module, _, output):
        places = output.numel() // module.weight.shape[0]
        counted.append(2 * module.weight.numel() * places)

    layers = [
        m for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))
    ]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        x_t = torch.zeros(1, *case.config.network.sample_shape)
        model(x_t, torch.ones(1, dtype=torch.int64))
    for hook in hooks:
        hook.remove()
    return sum(counted)
