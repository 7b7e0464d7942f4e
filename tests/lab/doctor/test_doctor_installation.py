r"""The installation: this one has no fault, and each fault that is seeded is found."""

import math
import shutil
from dataclasses import replace

import pytest
import torch
from doctor_runs import wrong

from ddpm_lite import Schedule, UNet
from ddpm_lite.lab.doctor import diagnose, installation, mathematics, table
from ddpm_lite.lab.doctor.installation import version_fits
from ddpm_lite.lab.doctor.mathematics import equations
from ddpm_lite.oracle import GaussianOracle


def test_this_installation_has_no_fault():
    findings = diagnose()
    assert wrong(findings) == [], table(findings)
    assert len(findings) == 8


def faulty_posterior(monkeypatch):
    right = mathematics.q_posterior
    monkeypatch.setattr(
        mathematics, "q_posterior", lambda *a: (right(*a)[0] * 1.001, right(*a)[1])
    )


def faulty_oracle(monkeypatch):
    class Wrong(GaussianOracle):
        def x_0_moments(self, x_t, t):
            mean, variance = super().x_0_moments(x_t, t)
            return 0.9 * mean, variance

    monkeypatch.setattr(mathematics, "GaussianOracle", Wrong)


def faulty_table(monkeypatch):
    table = replace(Schedule.linear(), alpha_bar=torch.full((1001,), math.nan))
    monkeypatch.setattr(mathematics.Schedule, "sigmoid", lambda: table)


def no_temporary_folder(monkeypatch):
    monkeypatch.setattr(installation.tempfile, "tempdir", "/nowhere/at/all")


def old_torch(monkeypatch):
    right = installation.metadata.version
    monkeypatch.setattr(
        installation.metadata, "version", lambda n: "1.13.1" if n == "torch" else right(n)
    )


def card_without_cuda(monkeypatch):
    monkeypatch.setattr(installation.shutil, "which", lambda name: "nvidia-smi")
    monkeypatch.setattr(installation, "choose_device", lambda: torch.device("cpu"))


def wrong_convolutions(monkeypatch):
    right = UNet.forward

    def forward(self, x_t, t, y=None):
        out = right(self, x_t, t, y)
        return out if x_t.dtype == torch.float64 else 1.05 * out

    monkeypatch.setattr(UNet, "forward", forward)


def model_cut_short(monkeypatch):
    def broken(name):
        raise ValueError(f"{name}.safetensors is not a whole safetensors file")

    monkeypatch.setattr(installation, "load_pretrained", broken)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (faulty_posterior, equations),
        (faulty_oracle, equations),
        (faulty_table, equations),
        (old_torch, installation.versions),
        (card_without_cuda, installation.device),
        (wrong_convolutions, installation.network_on_device),
        (model_cut_short, installation.shipped_models),
        (no_temporary_folder, installation.temporary_folder),
    ],
)
def test_a_fault_of_the_installation_is_found(monkeypatch, fault, check):
    assert check().level != "wrong"
    fault(monkeypatch)
    assert check().level == "wrong"


def test_a_full_disk_is_found(monkeypatch, tmp_path):
    usage = shutil.disk_usage(tmp_path)
    for free, level in ((10**9, "ok"), (10**8, "note"), (10**7, "wrong")):
        monkeypatch.setattr(
            installation.shutil,
            "disk_usage",
            lambda _, free=free: usage._replace(free=free),
        )
        assert installation.disk(tmp_path, 10**8 + 1).level == level


@pytest.mark.parametrize(
    ("version", "ranges", "fits"),
    [
        ("2.13.0+cpu", "<3,>=2.11", True),
        ("2.9.1", "<3,>=2.11", False),
        ("3.0", "<3,>=2.11", False),
        ("3.11.7", ">=3.11", True),
        ("3.10.12", ">=3.11", False),
        ("2.12.0a0+git1", ">=2.11", True),
        ("1.0.0", "==1.0", True),
        ("1.0.1", "!=1.0.1", False),
        ("10.4", ">10.4", False),
        ("0.1", "", True),
    ],
)
def test_versions_are_compared_number_by_number(version, ranges, fits):
    assert version_fits(version, ranges) is fits


@pytest.mark.parametrize("computes", [True, False])
def test_the_device_tells_which_networks_run_in_bfloat16(monkeypatch, computes):
    monkeypatch.setattr(installation, "choose_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(installation, "cpu_computes_bfloat16", lambda: computes)
    assert (
        "32 channels or more would run in bfloat16" in installation.device().words
    ) is computes
