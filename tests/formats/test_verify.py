r"""The proof of an import: a wrong convention is found."""

import sys
from dataclasses import replace

import pytest
from diffusers_folders import write

from ddpm_lite import Schedule, UNet, from_diffusers
from ddpm_lite.formats import verify as verify_module
from ddpm_lite.formats.verify import verify

pytest.importorskip("diffusers")
from diffusers.models.unets.unet_2d import UNet2DModel

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def test_verify_finds_a_wrong_convention(tmp_path):
    r"""Each loads without complaint: libraries.md, table of silent errors."""
    write(tmp_path)
    found = from_diffusers(tmp_path)
    for changes in (
        dict(down_padding="both"),
        dict(sine_first=False),
        dict(frequency_shift=0),
        dict(t_shift=0),
        dict(head_width=4),
        dict(eps=1e-3),
    ):
        wrong = UNet(found.model.unet_config, **changes)
        wrong.load_state_dict(found.model.state_dict())
        with pytest.raises(ValueError, match="outputs of the network differ by"):
            verify(tmp_path, replace(found, model=wrong.eval()))
    other = replace(found, schedule=Schedule.cosine(1000))
    with pytest.raises(ValueError, match="the pictures after 10 steps by"):
        verify(tmp_path, other)
    unclipped = UNet(found.model.unet_config, clip=False)
    unclipped.load_state_dict(found.model.state_dict())
    unclipped = replace(found, model=unclipped.eval())
    with pytest.raises(ValueError, match="the pictures after 10 steps by"):
        verify(tmp_path, unclipped)


def test_verify_without_diffusers_and_with_a_folder_that_it_cannot_load(
    tmp_path, monkeypatch
):
    write(tmp_path, "one-level")
    found = from_diffusers(tmp_path)
    monkeypatch.setattr(UNet2DModel, "from_pretrained", lambda *a, **k: 1 / 0)
    with pytest.raises(ValueError, match=r"diffusers cannot load .*division by zero"):
        verify(tmp_path, found)
    monkeypatch.setitem(sys.modules, "diffusers.models.unets.unet_2d", None)
    with pytest.raises(
        ImportError, match="to verify an import, diffusers must be installed"
    ):
        verify(tmp_path, found)


def test_not_a_number_is_not_verified(tmp_path, monkeypatch):
    write(tmp_path, "one-level")
    monkeypatch.setattr(verify_module, "_network", lambda *a: float("nan"))
    with pytest.raises(ValueError, match="is not what diffusers makes of it"):
        verify(tmp_path, from_diffusers(tmp_path))
