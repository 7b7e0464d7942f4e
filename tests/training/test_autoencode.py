r"""Training an autoencoder: it learns, it can be repeated, and its latents get scaled."""

import pytest
import torch

from ddpm_lite import data
from ddpm_lite.models.autoencoder import AutoencoderConfig
from ddpm_lite.training.autoencode import encode_all, scale_latents, train_autoencoder

CONFIG = AutoencoderConfig(block_out_channels=(4, 8), norm_num_groups=4)


def trained(updates, seed=0):
    pictures = data.load("digits")
    pairs = list(train_autoencoder(pictures, CONFIG, updates, batch_size=16, seed=seed))
    return pictures, pairs[-1][0], [float(loss) for _, loss in pairs]


def test_it_learns_and_can_be_repeated():
    _, first, losses = trained(40)
    _, again, same = trained(40)
    assert losses == same and trained(2, seed=1)[2][0] != losses[0]
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in first.state_dict().items())
    # without learning the ratio of 80 digits' losses scatters by less than 0.03 around 1
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])


def test_latents_get_the_deviation_one():
    pictures, autoencoder, _ = trained(3)
    z = encode_all(autoencoder, pictures)
    x = autoencoder(pictures.to_float(torch.arange(3)))
    assert z.shape == (len(pictures), 4, 4, 4)
    factor = scale_latents(autoencoder, z)
    assert autoencoder.config.scaling_factor == factor
    scaled = encode_all(autoencoder, pictures)
    assert abs(float(scaled.double().std()) - 1) < 1e-5  # float32
    assert scale_latents(autoencoder, scaled) == pytest.approx(factor, rel=1e-5)
    torch.testing.assert_close(autoencoder(pictures.to_float(torch.arange(3))), x)


def test_other_pictures_are_refused():
    with pytest.raises(ValueError, match="in_channels = 3"):
        config = AutoencoderConfig(
            in_channels=3, block_out_channels=(4, 8), norm_num_groups=4
        )
        next(train_autoencoder(data.load("digits"), config, 1))
