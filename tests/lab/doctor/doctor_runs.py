r"""What the doctor's tests share: a run that is trained in seconds, and ways to edit it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from ddpm_lite import UNet, UNetConfig
from ddpm_lite.data.marks import fingerprint
from ddpm_lite.formats.weights import load_model, save_model
from ddpm_lite.lab.doctor import examine, table
from ddpm_lite.training import experiment
from ddpm_lite.training.config import TrainConfig
from ddpm_lite.training.fit import fit
from ddpm_lite.training.presets import RunConfig

NETWORK = UNetConfig.preset("digits", width=16, multipliers=(1,), attention=())
TRAINING = TrainConfig(
    steps=120,
    batch_size=32,
    lr=6e-3,
    warmup_steps=20,
    lr_schedule="cosine",
    ema_decay=0.98,
    save_every=60,
    sample_every=0,
    log_every=10,
)
# what a network that answers wrongly is named for, whatever the fault before it
SPOILED = {"loss", "noisy samples", "washed-out samples", "black samples", "noise at t = T"}


def blocks(n, seed=0):
    r"""Pictures of 4 x 4 blocks, each dark or bright, with noise: uint8 (n, 8, 8)."""
    generator = np.random.default_rng(seed)
    grey = 28 + 200 * generator.integers(0, 2, (n, 4, 4)).repeat(2, 1).repeat(2, 2)
    return (grey + generator.integers(-20, 21, (n, 8, 8))).astype(np.uint8)


def train(run, pictures, hold_out, **settings):
    r"""Train on an .npy for a few seconds, as the command would; returns the folder."""
    path = run.with_suffix(".npy")
    np.save(path, pictures)
    config = RunConfig(
        data=str(path), hold_out=hold_out, unet=NETWORK, train=replace(TRAINING, **settings)
    )
    prepared = experiment.prepare(config, "cpu")
    about = prepared.config.as_dict() | {"described": prepared.described}
    aside = (prepared.held_out.x_0, None)
    fit(prepared.trainer, run, about=about, held_out=aside, progress=False)
    return run


def examined(run):
    return examine(run, draws=128, samples=12)


def wrong(findings):
    return [finding.what for finding in findings if finding.level == "wrong"]


def newest(run):
    return run / "checkpoints" / (run / "newest").read_text()


def edit(path, **changes):
    r"""Set entries of a JSON file; a name with a dot is an entry of an entry."""
    values = json.loads(path.read_text())
    for name, value in changes.items():
        *outer, last = name.split("__")
        inner = values
        for key in outer:
            inner = inner[key]
        inner[last] = value
    path.write_text(json.dumps(values))


def edit_log(run, change):
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if "loss" in line:
            change(line)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def rewrite(run, ema=None, live=None, schedule=None, **settings):
    r"""Write the newest checkpoint again with changed weights, settings or schedule."""
    path = newest(run) / "model.safetensors"
    found = load_model(path)
    model = UNet(replace(found.model.unet_config, **settings))
    weights = found.model.state_dict()
    model.load_state_dict(ema(weights) if ema else weights)
    save_model(path, model, schedule or found.schedule)
    state = load_file(newest(run) / "state.safetensors")
    if live:
        own = {name: value for name, value in state.items() if name.startswith("model.")}
        own = live({name.removeprefix("model."): value for name, value in own.items()})
        state |= {f"model.{name}": value for name, value in own.items()}
    save_file(state, newest(run) / "state.safetensors")
    for name, value in settings.items():
        edit(run / "config.json", **{f"unet__{name}": value})


def first_weights(run):
    config = json.loads((run / "config.json").read_text())
    own = {k: config[k] for k in RunConfig.__dataclass_fields__ if k in config}
    return experiment.build(RunConfig.from_dict(own))[0].state_dict()


def other_data(run, pictures):
    r"""Let the run's .npy hold other pictures, and let the run seem trained on them."""
    path = run.with_suffix(".npy")
    np.save(path, pictures)
    edit(run / "config.json", data=str(path))
    config = json.loads((run / "config.json").read_text())
    own = {k: config[k] for k in RunConfig.__dataclass_fields__ if k in config}
    loaded, _ = experiment.load_pictures(RunConfig.from_dict(own))
    edit(newest(run) / "state.json", data=fingerprint(loaded.x_0))


def every_fault(*faults):
    r"""Parametrise by faults: what is done to a run, its name, and what may follow."""
    ids = [fault.__name__ for fault, *_ in faults]
    return pytest.mark.parametrize(("fault", "name", "follows"), faults, ids=ids)


def check_named(run, fault, name, follows):
    r"""Assert that a fault is named first, and after it only what may follow from it."""
    fault(run)
    findings = examined(run)
    named = wrong(findings)
    assert named[:1] == [name], table(findings)
    assert set(named) <= {name} | follows, table(findings)
    words = next(f.words for f in findings if f.what == name and f.level == "wrong")
    assert words.count(" ") > 8  # a sentence, not a code
