r"""The fields of diffusers' JSON files, version by version, and nothing but them.

Here a mistake is silent: a convention that is wrong loads as well as a right one and gives
other pictures. So a field that is missing, unknown, or has a meaning that this package
does not have is an error that names it. A file says which version of diffusers wrote it,
and every version writes all the fields that it knows: a field may be missing only where
it was invented later, and its one meaning until then is taken.
"""

import json
import re

from .checkpoint import read_json

VERSION = "0.42.1"  # the version whose fields are written

# Fields that all versions write, and {field: (first version, meaning before it)} of the
# others; read from the constructors of the releases 0.1.3 to 0.42.1.
UNET_ALWAYS = (
    "sample_size in_channels out_channels center_input_sample time_embedding_type "
    "freq_shift flip_sin_to_cos down_block_types up_block_types block_out_channels "
    "layers_per_block mid_block_scale_factor downsample_padding act_fn "
    "attention_head_dim norm_num_groups norm_eps"
).split()
UNET_SINCE = {
    "resnet_time_scale_shift": ((0, 11, 0), "default"),
    "add_attention": ((0, 11, 0), True),
    "class_embed_type": ((0, 13, 0), None),
    "num_class_embeds": ((0, 13, 0), None),
    "downsample_type": ((0, 18, 0), "conv"),
    "upsample_type": ((0, 18, 0), "conv"),
    "dropout": ((0, 21, 0), 0.0),
    "attn_norm_num_groups": ((0, 22, 0), None),
    "num_train_timesteps": ((0, 23, 0), None),  # of tables of t, which are refused
    "time_embedding_dim": ((0, 32, 0), None),
    "mid_block_type": ((0, 33, 0), "UNetMidBlock2D"),
}
SCHEDULER_ALWAYS = (
    "num_train_timesteps beta_start beta_end beta_schedule trained_betas clip_sample"
).split()
_DDPM_SINCE = {
    "variance_type": ((0, 0, 0), None),
    "prediction_type": ((0, 8, 0), "epsilon"),  # in 0.8 by the name of predict_epsilon
    "clip_sample_range": ((0, 13, 0), 1.0),
    "thresholding": ((0, 15, 0), False),
    "dynamic_thresholding_ratio": ((0, 15, 0), None),
    "sample_max_value": ((0, 15, 0), None),
    "timestep_spacing": ((0, 18, 0), "leading"),
    "steps_offset": ((0, 18, 0), 0),
    "rescale_betas_zero_snr": ((0, 25, 0), False),
}
_DDIM_SINCE = {
    "set_alpha_to_one": ((0, 2, 0), True),
    "steps_offset": ((0, 4, 0), 0),
    "prediction_type": ((0, 9, 0), "epsilon"),
    "clip_sample_range": ((0, 15, 0), 1.0),
    "thresholding": ((0, 15, 0), False),
    "dynamic_thresholding_ratio": ((0, 15, 0), None),
    "sample_max_value": ((0, 15, 0), None),
    "timestep_spacing": ((0, 17, 0), "leading"),
    "rescale_betas_zero_snr": ((0, 17, 0), False),
}
SCHEDULERS = {"DDPMScheduler": _DDPM_SINCE, "DDIMScheduler": _DDIM_SINCE}

# Names from before the first release, and today's.
_OLD_CLASSES = {
    "UNetModel": "UNet2DModel",
    "UNetUnconditionalModel": "UNet2DModel",
    "GaussianDDPMScheduler": "DDPMScheduler",
}
_OLD_FIELDS = {
    "image_size": "sample_size",
    "resolution": "sample_size",
    "num_res_blocks": "layers_per_block",
    "block_channels": "block_out_channels",
    "downscale_freq_shift": "freq_shift",
    "resnet_num_groups": "norm_num_groups",
    "resnet_act_fn": "act_fn",
    "resnet_eps": "norm_eps",
    "num_head_channels": "attention_head_dim",
    "down_blocks": "down_block_types",
    "up_blocks": "up_block_types",
    "timesteps": "num_train_timesteps",
    "clip_predicted_image": "clip_sample",
}


def class_today(name):
    r"""The name that a class of diffusers has today, from one in a file."""
    return _OLD_CLASSES.get(name, name)


def read_fields(path, kinds):
    r"""Read a file: its fields by today's names, its class, and its version (major, ...).

    kinds: the classes that it may be of. Raises ValueError that names what is wrong.
    """
    raw = read_json(path)
    for name in ("_class_name", "_diffusers_version"):
        if name not in raw:
            raise ValueError(
                f"{path} has no {name!r}: every file of diffusers has it, and what the "
                "other fields mean depends on it"
            )
    kind = class_today(raw["_class_name"])
    if kind not in kinds:
        raise ValueError(
            f"{path}: _class_name must be {' or '.join(kinds)}, got {raw['_class_name']!r}"
        )
    number = re.match(r"(\d+)\.(\d+)\.(\d+)(\.dev)?", str(raw["_diffusers_version"]))
    if number is None:
        raise ValueError(
            f"{path}: _diffusers_version must be like 0.42.1, got "
            f"{raw['_diffusers_version']!r}"
        )
    version = tuple(int(n) for n in number.groups()[:3])
    version = (*version[:2], -1) if number[4] else version  # before that release
    fields = {}
    for name, value in raw.items():
        if not name.startswith("_"):
            today = _OLD_FIELDS.get(name, name)
            if fields.setdefault(today, value) != value:
                raise ValueError(f"{path} says {today!r} twice, differently: see {name!r}")
    return fields, kind, version


def complete(path, fields, version, always, since, ignored=()):
    r"""The fields with the meaning of those that came later than the file's version.

    always, since: see the tables above. ignored: names that may stand there too. Raises
    ValueError for a field that is unknown or missing.
    """
    unknown = sorted(set(fields) - {*always, *since, *ignored})
    if unknown:
        raise ValueError(
            f"{path}: {unknown[0]} = {fields[unknown[0]]!r} is a field that this package "
            "does not know; what it changes cannot be told"
        )
    for name in (*always, *since):
        first, before = since.get(name, ((0, 0, 0), None))
        if name not in fields and version >= first:
            raise ValueError(
                f"{path} has no {name!r}, which diffusers "
                f"{'.'.join(str(n) for n in version)} writes: add it, with the value "
                "that the model was trained with"
            )
        fields.setdefault(name, before)
    return fields


def must(path, fields, name, *values, why=""):
    r"""The value of a field, which must be one of values: ValueError, ended by why."""
    value = fields[name]
    same = [value == v and isinstance(value, bool) == isinstance(v, bool) for v in values]
    if not any(same):
        expected = " or ".join(json.dumps(v) for v in values)
        raise ValueError(f"{path}: {name} must be {expected}, got {value!r}{why}")
    return value
