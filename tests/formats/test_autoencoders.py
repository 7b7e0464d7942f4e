r"""Autoencoders as folders: diffusers opens ours, we open theirs, and the shipped one."""

import json

import pytest
import torch

from ddpm_lite import data
from ddpm_lite.formats.autoencoders import load_autoencoder, save_autoencoder
from ddpm_lite.models.autoencoder import Autoencoder

diffusers = pytest.importorskip("diffusers")
SMALL = dict(block_out_channels=(4, 8), norm_num_groups=4, scaling_factor=0.7)


@pytest.mark.parametrize("attention", [False, True])
def test_diffusers_opens_what_is_written(tmp_path, attention):
    torch.manual_seed(0)
    mine = Autoencoder(**SMALL, mid_block_add_attention=attention)
    save_autoencoder(tmp_path, mine, size=8)
    other = diffusers.AutoencoderKL.from_pretrained(tmp_path).eval()
    again = load_autoencoder(tmp_path)
    assert again.config == mine.config and other.config.scaling_factor == 0.7
    for state in (other.state_dict(), again.state_dict()):
        assert state.keys() == mine.state_dict().keys()
        assert all(torch.equal(state[k], v) for k, v in mine.state_dict().items())


def test_what_diffusers_writes_is_opened(tmp_path):
    torch.manual_seed(0)
    other = diffusers.AutoencoderKL(
        in_channels=2,
        out_channels=2,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(4, 8),
        norm_num_groups=4,
    ).eval()
    other.save_pretrained(tmp_path)
    mine = load_autoencoder(tmp_path)
    assert mine.config.scaling_factor == 0.18215
    x = torch.rand(1, 2, 8, 8)
    with torch.no_grad():
        theirs = other.decode(other.encode(x).latent_dist.mean).sample
        torch.testing.assert_close(mine(x), theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "field, value, words",
    [
        ("_class_name", "VQModel", "expected an AutoencoderKL"),
        ("act_fn", "relu", "act_fn is 'relu'"),
        ("out_channels", 3, "out_channels is 3"),
        ("shift_factor", 0.1, "shift_factor is 0.1"),
        ("block_out_channels", [4, 16], "there and"),
    ],
)
def test_another_kind_is_refused(tmp_path, field, value, words):
    save_autoencoder(tmp_path, Autoencoder(**SMALL))
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(ValueError, match=words):
        load_autoencoder(tmp_path)


def test_a_missing_one_names_those_that_are_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="clothes"):
        load_autoencoder(tmp_path / "nothing")


def test_the_shipped_one_reconstructs_clothes_that_it_has_not_seen():
    autoencoder = load_autoencoder("clothes")
    unseen = data.load("clothes", split="held_out").to_float(torch.arange(200))
    with torch.no_grad():
        z = autoencoder.encode(unseen)
        error = float((autoencoder.decode(z) - unseen).square().mean().sqrt())
    # the mean picture alone has 0.57; a latent of one's neighbour decodes as badly
    assert z.shape == (200, 4, 7, 7)
    assert error < 0.2
