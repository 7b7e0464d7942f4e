r"""Networks: they know t (but the autoencoder), and nothing of schedules."""

from .. import hand_on

CONTENTS = {
    "mlp": ("MLP",),
    "layers": (),
    "recomputed": (),
    "unet_config": ("UNetConfig",),
    "unet": ("UNet",),
    "unet1d": ("UNet1d",),
    "autoencoder": ("Autoencoder", "AutoencoderConfig"),
}

__getattr__, __dir__ = hand_on(__name__, CONTENTS)
