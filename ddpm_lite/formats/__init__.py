r"""Files, ours and other people's: weights and runs, folders of diffusers."""

from .. import hand_on

CONTENTS = {
    "checkpoint": (
        "load_model",
        "load_pretrained",
        "load_results",
        "load_run",
        "save_model",
    ),
    "diffusers_fields": (),
    "diffusers_files": (),
    "diffusers_unet": (),
    "diffusers_scheduler": (),
    "diffusers": ("from_diffusers",),
    "verify": (),
}

__getattr__, __dir__ = hand_on(__name__, CONTENTS)
