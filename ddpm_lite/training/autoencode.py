r"""Train the autoencoder that a diffusion in latents stands on (chapter 16)."""

from dataclasses import replace

import torch

from ..checks import check_integer, check_number
from ..models.autoencoder import Autoencoder, autoencoder_loss
from ..seeds import WEIGHTS, generator_for, seeded, shuffled

_NOISE, _LOOK = 330, 331  # streams of random numbers


def train_autoencoder(
    pictures, config, updates, *, batch_size=32, lr=3e-3, weight=0.01, seed=0
):
    r"""Train an Autoencoder with `autoencoder_loss`, and yield it after every update.

    pictures: a PictureSet. config: an AutoencoderConfig. weight: of the KL divergence.
    Adam, whose rate rises over 50 updates and falls to 0 on a cosine; gradients are cut to
    the norm 100 (the loss is a sum over a picture). Yields (autoencoder, loss of the batch
    as a tensor) `updates` times. Initial weights, order and noise are functions of `seed`.
    Raises ValueError for pictures of another number of channels.
    """
    check_integer("updates", updates, 1)
    check_number("weight", weight, 0)
    if pictures.shape[0] != config.in_channels:
        raise ValueError(
            f"in_channels = {config.in_channels}, but the pictures have {pictures.shape[0]}"
        )
    with seeded(torch.device("cpu"), WEIGHTS, seed):
        autoencoder = Autoencoder(config)
    adam = torch.optim.Adam(autoencoder.parameters(), lr)
    generator = generator_for(_NOISE, seed)
    side = [n // config.factor for n in pictures.shape[1:]]
    for step in range(updates):
        x = pictures.to_float(shuffled(len(pictures), step * batch_size, batch_size, seed))
        noise = torch.randn(len(x), config.latent_channels, *side, generator=generator)
        loss = autoencoder_loss(autoencoder, x, noise, weight).mean()
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(autoencoder.parameters(), 100.0)
        fall = (1 + torch.cos(torch.tensor(torch.pi * step / updates))) / 2
        adam.param_groups[0]["lr"] = lr * float(fall) * min(1, (step + 1) / 50)
        adam.step()
        yield autoencoder, loss.detach()


@torch.no_grad()
def encode_all(autoencoder, pictures, seed=0, batch_size=250):
    r"""Scaled latents of a PictureSet, drawn once each, float32 (N, *shape of a latent)."""
    generator, latents = generator_for(_LOOK, seed), []
    for index in torch.arange(len(pictures)).split(batch_size):
        x = pictures.to_float(index)
        side = [n // autoencoder.config.factor for n in x.shape[2:]]
        shape = (len(x), autoencoder.config.latent_channels, *side)
        latents.append(autoencoder.encode(x, torch.randn(shape, generator=generator)))
    return torch.cat(latents)


def scale_latents(autoencoder, latents):
    r"""Set `scaling_factor` so that such latents get the deviation 1. Returns it.

    latents: what `encode` gave, any shape. One number for all, as in Rombach et al. 2022,
    section 4.3.2 and appendix G.
    """
    factor = autoencoder.config.scaling_factor / float(latents.double().std())
    autoencoder.config = replace(autoencoder.config, scaling_factor=factor)
    return factor
