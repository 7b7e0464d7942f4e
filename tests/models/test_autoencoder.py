r"""The autoencoder: against diffusers' own, tensor by tensor and number by number."""

import pytest
import torch

from ddpm_lite.models.autoencoder import Autoencoder, AutoencoderConfig, autoencoder_loss

diffusers = pytest.importorskip("diffusers")
SMALL = dict(block_out_channels=(4, 8), norm_num_groups=4, latent_channels=3)


def theirs(attention):
    return diffusers.AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        **SMALL,
        mid_block_add_attention=attention,
    ).eval()


@pytest.mark.parametrize("attention", [False, True])
def test_it_computes_what_diffusers_computes(attention):
    torch.manual_seed(0)
    other = theirs(attention).double()
    mine = Autoencoder(
        **SMALL, mid_block_add_attention=attention, scaling_factor=0.5
    ).double()
    mine.load_state_dict(other.state_dict())
    x = torch.rand(2, 1, 8, 12, dtype=torch.float64) * 2 - 1
    noise = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    with torch.no_grad():
        law = other.encode(x).latent_dist
        z = mine.encode(x, noise)
        torch.testing.assert_close(z, 0.5 * (law.mean + law.std * noise))
        torch.testing.assert_close(mine.encode(x), 0.5 * law.mean)
        torch.testing.assert_close(mine.decode(z), other.decode(2 * z).sample)
        loss = autoencoder_loss(mine, x, noise, weight=0.3)
        error = (other.decode(2 * z).sample - x).square().sum((1, 2, 3))
    torch.testing.assert_close(loss, error + 0.3 * law.kl())


def test_it_has_the_size_of_a_published_one():
    with torch.device("meta"):
        large = Autoencoder(
            in_channels=3,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            norm_num_groups=32,
            mid_block_add_attention=True,
        )
    assert sum(p.numel() for p in large.parameters()) == 83_653_863
    assert large.config.factor == 8


def test_what_does_not_fit_is_refused():
    autoencoder = Autoencoder(**SMALL)
    with pytest.raises(ValueError, match=r"shape \(B, 1, H, W\)"):
        autoencoder.encode(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="a multiple of 2"):
        autoencoder.encode(torch.zeros(1, 1, 7, 8))
    with pytest.raises(ValueError, match="latents must have shape"):
        autoencoder.decode(torch.zeros(1, 4, 4, 4))
    with pytest.raises(ValueError, match="norm_num_groups"):
        AutoencoderConfig(block_out_channels=(6, 8), norm_num_groups=4)
    with pytest.raises(ValueError, match="norm_num_groups"):
        AutoencoderConfig(block_out_channels=())
