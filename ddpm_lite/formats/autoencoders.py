r"""Autoencoders as folders of diffusers' AutoencoderKL, and the one that is shipped."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from ..models.autoencoder import Autoencoder, AutoencoderConfig
from .checkpoint import read_json
from .diffusers_files import WEIGHTS
from .weights import apart, fit_weights

_SHIPPED = Path(__file__).parent.parent / "autoencoders"
_OTHERS = {  # fields of theirs that Autoencoder has no choice for
    "act_fn": "silu",
    "use_quant_conv": True,
    "use_post_quant_conv": True,
    "shift_factor": None,
    "latents_mean": None,
    "latents_std": None,
}


def save_autoencoder(folder, autoencoder, size=None, half=False):
    r"""Write an Autoencoder as a folder that diffusers' AutoencoderKL opens.

    folder: made if it is missing. size: height of the pictures, a note for readers. half:
    weights as float16. The tensors go over as they are: they have diffusers' names.
    """
    c, folder = autoencoder.config, Path(folder)
    resolutions = len(c.block_out_channels)
    fields = (
        c.as_dict()
        | _OTHERS
        | {
            "_class_name": "AutoencoderKL",
            "out_channels": c.in_channels,
            "down_block_types": ["DownEncoderBlock2D"] * resolutions,
            "up_block_types": ["UpDecoderBlock2D"] * resolutions,
        }
    )
    fields |= {} if size is None else {"sample_size": size}
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.half() if half else v for k, v in autoencoder.state_dict().items()}
    save_file(apart(state), folder / f"{WEIGHTS}.safetensors", metadata={"format": "pt"})
    text = json.dumps(fields, indent=2, sort_keys=True) + "\n"
    (folder / "config.json").write_text(text, "utf-8")


def load_autoencoder(name):
    r"""An autoencoder by name ("clothes", which is shipped), or from a folder of diffusers.

    name: of one shipped, else a folder with config.json and one safetensors file, such as
    the `vae` of a pipeline. Weights become float32. Returns an Autoencoder in eval mode.
    Raises FileNotFoundError where there is neither, and ValueError for a configuration
    that `Autoencoder` cannot have or tensors that do not fit.
    """
    shipped = _SHIPPED / str(name)
    folder = shipped if (shipped / "config.json").is_file() else Path(name)
    if not (folder / "config.json").is_file():
        known = sorted(path.parent.name for path in _SHIPPED.glob("*/config.json"))
        raise FileNotFoundError(f"no folder {folder} with a config.json; shipped: {known}")
    fields = read_json(folder / "config.json")
    if fields.get("_class_name") != "AutoencoderKL":
        raise ValueError(
            f"{folder} holds a {fields.get('_class_name')}, expected an AutoencoderKL"
        )
    wanted = _OTHERS | {"out_channels": fields.get("in_channels")}
    blocks = {
        "down_block_types": "DownEncoderBlock2D",
        "up_block_types": "UpDecoderBlock2D",
    }
    wanted |= {
        k: [v] * len(fields.get("block_out_channels", ())) for k, v in blocks.items()
    }
    for key, value in wanted.items():
        if key in fields and fields[key] != value:
            raise ValueError(
                f"{key} is {fields[key]!r} in {folder}: an Autoencoder has {value!r}"
            )
    theirs = dict(mid_block_add_attention=True, scaling_factor=0.18215)  # their defaults
    own = {k: fields[k] for k in AutoencoderConfig.__dataclass_fields__ if k in fields}
    autoencoder = Autoencoder(AutoencoderConfig(**(theirs | own)))
    tensors = load_file(folder / f"{WEIGHTS}.safetensors")
    tensors = {k: v.to(torch.float32) for k, v in tensors.items()}
    fit_weights(autoencoder, tensors)
    return autoencoder.eval()
