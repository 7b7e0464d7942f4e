r"""The installation: can this machine train, and may its numbers be trusted?

Versions against the ranges that the package asks for, the device that a run would use, a
network there in float32 against the same in float64, which differ by rounding alone, the
equations, the shipped models, and room to write.
"""

import re
import shutil
import sys
import tempfile
from importlib import metadata, util
from pathlib import Path

import torch

from ...formats.weights import load_pretrained, pretrained_names
from ...models.unet import UNet
from ...models.unet_config import UNetConfig
from ...seeds import generator_for
from ...training.device import (
    WIDE,
    choose_device,
    choose_precision,
    cpu_computes_bfloat16,
    describe,
)
from ...training.threads import Threads, cores
from .findings import UNREADABLE, Finding, one_line
from .mathematics import equations

_OPTIONAL = {
    "datasets": "data from the hub and parquet",
    "tensorboard": "--tensorboard",
    "sklearn": "the digits and the points of the chapters",
}
_X_T = 202  # keeps its random draws apart


def examine_installation():
    r"""Look at libraries, device, mathematics, shipped models, disk: a list of Findings."""
    return [
        versions(),
        optional_packages(),
        device(),
        network_on_device(),
        equations(),
        shipped_models(),
        disk(Path.cwd(), 1e9),
        temporary_folder(),
    ]


def versions():
    r"""Are Python and the libraries in the ranges that the package asks for? A Finding."""
    try:
        asked = metadata.requires("ddpm-lite") or []
        python = metadata.metadata("ddpm-lite")["Requires-Python"] or ""
    except metadata.PackageNotFoundError:
        words = (
            "ddpm-lite is not installed and runs from a folder, so the versions that it "
            "asks for are not known. To install it: pip install -e ."
        )
        return Finding("note", "versions", words)
    found, bad = {"python": sys.version.split()[0]}, []
    if not version_fits(found["python"], python):
        bad.append(f"Python {found['python']}, not {python}")
    for line in (line for line in asked if "extra ==" not in line):
        name, ranges = re.match(r"([\w.-]+)\s*([^;]*)", line).groups()
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            bad.append(f"{name} is missing")
            continue
        if not version_fits(found[name], ranges):
            bad.append(f"{name} {found[name]}, not {ranges.strip()}")
    if bad:
        words = f"Not what the package asks for: {'; '.join(bad)}. Install it again."
        return Finding("wrong", "versions", words, found)
    words = (
        f"Python {found['python']}, torch {found.get('torch', '?')} and the others are in "
        "the ranges that the package asks for."
    )
    return Finding("ok", "versions", words, found)


def version_fits(version, ranges):
    r"""Say whether a version lies in ranges such as ">=2.11,<3".

    version: text such as "2.13.0+cpu", of which the leading numbers count. ranges: each
    with one of >=, >, <=, <, == and !=, and all must hold; "" always does.
    """

    def numbers(text):
        found = [int(n) for n in re.match(r"[\d.]*", text).group().split(".") if n]
        return found + [0] * (6 - len(found))

    own = numbers(version)
    for sign, limit in re.findall(r"(>=|<=|==|!=|<|>)\s*([\w.]+)", ranges):
        other = numbers(limit)
        holds = {
            ">=": own >= other,
            "<=": own <= other,
            ">": own > other,
            "<": own < other,
            "==": own == other,
            "!=": own != other,
        }
        if not holds[sign]:
            return False
    return True


def optional_packages():
    r"""Are the packages there that some commands need alone? A Finding."""
    there = {name: util.find_spec(name) is not None for name in _OPTIONAL}
    missing = [f"{name}, for {_OPTIONAL[name]}" for name in there if not there[name]]
    if missing:
        words = f"Not installed: {'; '.join(missing)}. Nothing else needs it."
        return Finding("note", "optional packages", words, there)
    return Finding("ok", "optional packages", f"{', '.join(there)} are there.", there)


def device():
    r"""Which device would a run use, how, and is there a better one? A Finding."""
    chosen = choose_device()
    precision = choose_precision(chosen)
    threads, most = Threads().choose(), cores()
    numbers = {"device": str(chosen), "precision": precision, "threads": threads.now}
    found = f"A run would use {describe(chosen, precision, threads.now)}; {most} cores."
    if chosen.type == "cpu" and cpu_computes_bfloat16():
        found += f" A U-Net of {WIDE} channels or more would run in bfloat16."
    if chosen.type == "cpu" and shutil.which("nvidia-smi"):
        words = (
            f"{found} There seems to be an NVIDIA card that torch {torch.__version__} "
            "cannot use: install a torch with CUDA, or a newer driver."
        )
        return Finding("wrong", "device", words, numbers)
    if chosen.type == "cpu" and threads.now > most:
        words = (
            f"{found} {threads.summary()}: more threads than cores wait for each other. "
            f"Set it to {most} at most, or unset it: commands then take the cores that are "
            "free."
        )
        return Finding("note", "device", words, numbers)
    return Finding("ok", "device", f"{found} Chosen: {threads.summary()}.", numbers)


def network_on_device():
    r"""Does a network give there, in float32, what it gives in float64? A Finding."""
    config = UNetConfig.preset("digits", width=16, zero_init=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = UNet(config).eval()
    x_t = torch.randn(4, *config.sample_shape, generator=generator_for(_X_T))
    t, there = torch.tensor([1, 10, 500, 1000]), choose_device()
    with torch.no_grad():
        on_device = model.to(there)(x_t.to(there), t.to(there)).cpu().double()
        exact = model.to("cpu").double()(x_t.double(), t)
    error = float((on_device - exact).norm() / exact.norm())
    found = f"A small U-Net on {there} differs from float64 by a share {error:.0e}"
    if not error < 1e-2:
        words = (
            f"{found}, more than rounding explains. Do not train there: try another "
            "version of torch or of the driver, or --device cpu."
        )
        return Finding("wrong", "network on the device", words, {"error": error})
    return Finding("ok", "network on the device", f"{found}.", {"error": error})


def shipped_models():
    r"""Can the models that come with the package be read? A Finding."""
    names, bad = pretrained_names(), []
    for name in names:
        try:
            load_pretrained(name)
        except UNREADABLE as error:
            bad.append(f"{name} ({one_line(error)})")
    if bad:
        words = f"Models that come with the package cannot be read: {'; '.join(bad)}. "
        return Finding("wrong", "shipped models", f"{words}Install it again.")
    return Finding("ok", "shipped models", f"{', '.join(names)} can be read.")


def disk(where, needed):
    r"""Is there room at a folder for so many bytes? A Finding."""
    free = shutil.disk_usage(where).free
    numbers = {"free_gb": free / 1e9, "needed_gb": needed / 1e9}
    found = f"{free / 1e9:.2g} GB are free at {where}"
    if free < needed / 3:
        words = f"{found}, too little for a checkpoint: free some, or use another disk."
        return Finding("wrong", "disk", words, numbers)
    if free < needed:
        return Finding("note", "disk", f"{found}, little for a long run.", numbers)
    return Finding("ok", "disk", f"{found}.", numbers)


def temporary_folder():
    r"""Can the folder for temporary files be written? A Finding."""
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * 4096)
    except OSError as error:
        words = f"{one_line(error)}. Let TMPDIR name a folder that can be written."
        return Finding("wrong", "temporary folder", words)
    return Finding("ok", "temporary folder", f"{tempfile.gettempdir()} can be written.")
