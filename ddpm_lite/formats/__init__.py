r"""Files, ours and other people's: weights and runs, folders of diffusers."""

from .. import hand_on

CONTENTS = {
    "wrapped": ("DiffusersUNet",),
    "networks": ("register_network",),
    "chosen": (),
    "weights": ("load_model", "load_pretrained", "load_results", "save_model"),
    "checkpoint": ("load_run",),
    "diffusers_fields": (),
    "diffusers_files": (),
    "autoencoders": ("load_autoencoder", "save_autoencoder"),
    "diffusers_unet": (),
    "diffusers_scheduler": (),
    "diffusers": ("from_diffusers",),
    "verify": (),
}

__getattr__, __dir__ = hand_on(__name__, CONTENTS)
