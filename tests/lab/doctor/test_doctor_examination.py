r"""The examination: a healthy run has no fault, and whatever can be asked is asked."""

import json
from dataclasses import asdict, replace

import pytest
from doctor_runs import NETWORK, TRAINING, blocks, examined, wrong
from PIL import Image

from ddpm_lite.lab.doctor import diagnose, table
from ddpm_lite.training import experiment
from ddpm_lite.training.fit import fit
from ddpm_lite.training.presets import RunConfig


def test_a_healthy_run_has_no_fault(healthy):
    findings = examined(healthy)
    assert wrong(findings) == [], table(findings)
    order = [finding.what for finding in findings]
    asked = ["prior gap", "prediction", "loss", "memorised", "sampler", "noise at t = T"]
    assert [what for what in order if what in asked] == asked
    assert order[-1] == "samples"
    json.dumps([asdict(finding) for finding in findings], allow_nan=False)


def test_it_says_the_same_again_and_writes_nothing(run):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    one, other = ([f for f in examined(run) if f.what != "disk"] for _ in range(2))
    assert one == other
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_network_with_classes_and_learned_variance_can_be_asked(tmp_path):
    for name in ("one", "other"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i, picture in enumerate(blocks(20, seed=len(name))):
            Image.fromarray(picture).save(tmp_path / "pictures" / name / f"{i}.png")
    unet = replace(NETWORK, prediction="v", learned_variance=True)
    config = RunConfig(data=str(tmp_path / "pictures"), hold_out=0, unet=unet)
    config = replace(config, train=replace(TRAINING, steps=1, flip=True, drop_label=0.1))
    prepared = experiment.prepare(config, "cpu")
    assert prepared.config.unet.classes == 2 and prepared.held_out is None
    fit(prepared.trainer, tmp_path / "run", about=prepared.config.as_dict(), progress=False)
    findings = examined(tmp_path / "run")
    levels = {f.what: f.level for f in findings}
    assert levels["loss"] == "wrong" and levels["few pictures"] == "note"
    assert levels["prediction"] == "ok"  # it answers nothing yet


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        diagnose(tmp_path / "nothing")
