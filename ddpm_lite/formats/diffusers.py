r"""Pipelines in the format of the library diffusers: read and written without it.

`UNet` has the names of diffusers' UNet2DModel, so that tensors go over as they are. What
has to be translated is the JSON beside them, and there a mistake is silent: a convention
that is wrong loads as well as a right one and gives other pictures. So a field that is
missing, unknown, or has a meaning that this package does not have is an error that names
it. A file says which version of diffusers wrote it, and every version writes all the
fields that it knows: a field may be missing only where it was invented later, and its
one meaning until then is taken. diffusers counts steps from 0: its t is ours minus one.
"""

import json
import os
import re
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..checks import check_integer, check_name
from ..models.unet import UNet, UNetConfig
from ..schedule import Schedule
from .checkpoint import Pretrained, load_any, read_json

VERSION = "0.42.1"  # the version whose fields are written
WEIGHTS = "diffusion_pytorch_model"
_PREDICTION = {"epsilon": "noise", "sample": "x_0", "v_prediction": "v"}
_VARIANCE = {"fixed_small": "small", "fixed_small_log": "small", "fixed_large": "large"}
_VARIANCE |= {"learned_range": "learned"}
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".index.json")
_DOWN, _UP = ("DownBlock2D", "AttnDownBlock2D"), ("UpBlock2D", "AttnUpBlock2D")

# Fields that all versions write, and {field: (first version, meaning before it)} of the
# others; read from the constructors of the releases 0.1.3 to 0.42.1.
_UNET_ALWAYS = (
    "sample_size in_channels out_channels center_input_sample time_embedding_type "
    "freq_shift flip_sin_to_cos down_block_types up_block_types block_out_channels "
    "layers_per_block mid_block_scale_factor downsample_padding act_fn "
    "attention_head_dim norm_num_groups norm_eps"
).split()
_UNET_SINCE = {
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
_SCHEDULER_ALWAYS = (
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
_SCHEDULERS = {"DDPMScheduler": _DDPM_SINCE, "DDIMScheduler": _DDIM_SINCE}

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
_OLD_TENSORS = (
    (r"^mid\.", "mid_block."),
    (r"^downsample_blocks\.", "down_blocks."),
    (r"^upsample_blocks\.", "up_blocks."),
    (r"(attentions\.\d+)\.query\.", r"\1.to_q."),
    (r"(attentions\.\d+)\.key\.", r"\1.to_k."),
    (r"(attentions\.\d+)\.value\.", r"\1.to_v."),
    (r"(attentions\.\d+)\.proj_attn\.", r"\1.to_out.0."),
)


# --- reading


def from_diffusers(
    path_or_hub_id, *, schedule=None, prediction=None, clip=None, null_class=None
):
    r"""Load a DDPMPipeline or DDIMPipeline, or its network alone.

    path_or_hub_id: a folder with model_index.json, a bare unet/ folder, the older layout
    with all files in one folder, or a hub id such as "google/ddpm-cifar10-32".
    schedule, prediction ("noise", "x_0" or "v") and clip (whether the predicted x_0 is cut
    to [-1, 1]) are for a bare unet/, which does not say them, and for nothing else.
    null_class: whether the last row of a table of classes means "no class", where the
    file does not say so; if False, such a row of zeros is added, which nothing has trained.
    Returns a Pretrained: .model in eval mode, .schedule in float64, and .config with
    "unet", "clip", where the folder says it "variance" ("small" or "large", of ancestral
    sampling), and all that was read under "imported". Weights are read from safetensors,
    or from a .bin of which torch reads tensors only. Raises FileNotFoundError for what is
    not there, and ValueError that names a field or a tensor that is missing, unknown, or
    beyond this package.
    """
    folder = folder_of(path_or_hub_id)
    unet, scheduler = parts_of(folder)
    fields, version = _read_unet(unet / "config.json")
    given = dict(schedule=schedule, prediction=prediction, clip=clip)
    if scheduler is None:
        meaning, raw = _meaning_given(unet, given), None
    else:
        meaning, raw = _read_scheduler(scheduler, given)
    tensors, about = _tensors(unet)
    null_class = _null_class(unet, fields["num_class_embeds"], about, null_class)
    config = _unet_config(unet / "config.json", fields, version, meaning, null_class)
    table = tensors.get("class_embedding.weight")
    if null_class is False and table is not None:
        row = table.new_zeros(1, *table.shape[1:])
        tensors["class_embedding.weight"] = torch.cat([table, row])
    model = _fill(UNet(config), tensors, unet)
    model.to(memory_format=torch.channels_last)  # as in checkpoint.load_model
    told = {"unet": config.as_dict(), "clip": meaning["clip"]}
    told |= {k: v for k, v in (("null_class", null_class),) if v is not None}
    if meaning["variance"] in ("small", "large"):
        told["variance"] = meaning["variance"]
    if name := _name_of(meaning["schedule"]):
        told["schedule"] = name
    told["imported"] = {"format": "diffusers", "unet": fields, "scheduler": raw}
    return Pretrained(model.eval(), meaning["schedule"], told)


def open_model(name):
    r"""Load whatever a command may be given: see `load_any`, or a folder of diffusers.

    Returns a Pretrained. Raises as `load_any` and `from_diffusers`.
    """
    return from_diffusers(name) if is_diffusers(name) else load_any(name)


def is_diffusers(path):
    r"""Whether a path is a folder in the format of diffusers."""
    config = Path(path) / "config.json"
    if (Path(path) / "model_index.json").is_file():
        return True
    return config.is_file() and "_class_name" in read_json(config)


def folder_of(path_or_hub_id):
    r"""The folder of a path, or of a hub id, which is downloaded where it has to be.

    Raises FileNotFoundError where there is no folder and no such thing on the hub,
    ImportError where a hub id is given and huggingface_hub is not installed.
    """
    folder = Path(path_or_hub_id)
    if folder.is_dir():
        return folder
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(path_or_hub_id)) or folder.exists():
        raise FileNotFoundError(
            f"no folder {folder}: expected one that diffusers wrote, or a hub id such as "
            "google/ddpm-cifar10-32"
        )
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ImportError(
            f"no folder {folder}; to get it from the hub, pip install huggingface_hub"
        ) from error
    try:
        patterns = ["*.json", "*.safetensors"]
        folder = Path(snapshot_download(str(path_or_hub_id), allow_patterns=patterns))
        if not any(folder.rglob("*.safetensors")):
            patterns = ["*.json", "*.bin"]
            snapshot_download(str(path_or_hub_id), allow_patterns=patterns)
    except Exception as error:  # the hub's own kinds, and those of its HTTP library
        why = " ".join(str(error).split())
        raise FileNotFoundError(
            f"no folder {path_or_hub_id}, and the hub did not give it: {why:.200}"
        ) from error
    return folder


def parts_of(folder):
    r"""Where the network of a pipeline lies, and the file of its scheduler, or None.

    Returns (folder, path). Raises FileNotFoundError or ValueError where it is no DDPM.
    """
    folder = Path(folder)
    index = folder / "model_index.json"
    if not index.is_file():
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(
                f"{folder} has neither model_index.json nor config.json: expected the "
                "folder of a DDPMPipeline or DDIMPipeline, or its unet/"
            )
        scheduler = folder / "scheduler_config.json"
        return folder, scheduler if scheduler.is_file() else None
    about = read_json(index)
    if about.get("_class_name") not in ("DDPMPipeline", "DDIMPipeline"):
        raise ValueError(
            f"{index} must say _class_name DDPMPipeline or DDIMPipeline, got "
            f"{about.get('_class_name')!r}"
        )
    for part in ("unet", "scheduler"):
        if part not in about:
            raise ValueError(f"{index} has no {part!r}: this pipeline is not whole")
    unet, scheduler = (
        folder / part if (folder / part).is_dir() else folder
        for part in ("unet", "scheduler")
    )
    scheduler = scheduler / "scheduler_config.json"
    kind = read_json(scheduler).get("_class_name")
    kind = _OLD_CLASSES.get(kind, kind)
    wanted = about["scheduler"][-1]
    if _OLD_CLASSES.get(wanted, wanted) != kind:
        raise ValueError(
            f"{index} says that the scheduler is a {wanted}, and {scheduler} that it is "
            f"{kind!r}: make them the same"
        )
    return unet, scheduler


def has_safetensors(folder):
    r"""Whether the weights of a network are in safetensors, and not in a .bin."""
    return (Path(folder) / f"{WEIGHTS}.safetensors").is_file()


def _read_fields(path, kinds):
    r"""The fields of a file by today's names, its class and its version (major, ...)."""
    raw = read_json(path)
    for name in ("_class_name", "_diffusers_version"):
        if name not in raw:
            raise ValueError(
                f"{path} has no {name!r}: every file of diffusers has it, and what the "
                "other fields mean depends on it"
            )
    kind = _OLD_CLASSES.get(raw["_class_name"], raw["_class_name"])
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


def _complete(path, fields, version, always, since, ignored=()):
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


def _must(path, fields, name, *values, why=""):
    value = fields[name]
    same = [value == v and isinstance(value, bool) == isinstance(v, bool) for v in values]
    if not any(same):
        expected = " or ".join(json.dumps(v) for v in values)
        raise ValueError(f"{path}: {name} must be {expected}, got {value!r}{why}")
    return value


def _read_unet(path):
    fields, _, version = _read_fields(path, ("UNet2DModel",))
    if "ch" in fields and "ch_mult" in fields:
        width, multipliers = fields.pop("ch"), fields.pop("ch_mult")
        widths = [width * n for n in multipliers]
        if fields.setdefault("block_out_channels", widths) != widths:
            raise ValueError(f"{path}: ch and ch_mult do not give block_out_channels")
    for name in ("down_block_types", "up_block_types"):
        if name in fields:
            fields[name] = [kind.removeprefix("UNetRes") for kind in fields[name]]
    return _complete(path, fields, version, _UNET_ALWAYS, _UNET_SINCE), version


def _unet_config(path, fields, version, meaning, null_class):
    r"""The UNetConfig of a network's fields. Raises ValueError that names the field."""
    _must(path, fields, "center_input_sample", False)
    _must(path, fields, "time_embedding_type", "positional")
    _must(path, fields, "mid_block_scale_factor", 1)
    _must(path, fields, "mid_block_type", "UNetMidBlock2D")
    _must(path, fields, "downsample_type", "conv")
    _must(path, fields, "upsample_type", "conv")
    _must(path, fields, "act_fn", "silu", "swish")
    _must(path, fields, "add_attention", True)
    _must(path, fields, "class_embed_type", None)
    shift = _must(path, fields, "resnet_time_scale_shift", "default", "scale_shift")
    padding = _must(path, fields, "downsample_padding", 0, 1)
    cosine_first = _must(path, fields, "flip_sin_to_cos", True, False)
    frequency_shift = _must(path, fields, "freq_shift", 0, 1)
    C, widths = fields["in_channels"], _widths(path, fields)
    _must(path, fields, "time_embedding_dim", None, 4 * widths[0])
    out = _must(path, fields, "out_channels", C, 2 * C)
    if (out != C) != (meaning["variance"] == "learned"):
        raise ValueError(
            f"{path}: out_channels = {out} for {C} channels needs a scheduler with "
            f"variance_type {'learned_range' if out != C else 'fixed_small or fixed_large'}"
            f", and here it is {meaning['said']}"
        )
    _middle(path, fields, version)
    sample_size = fields["sample_size"]
    size = sample_size if isinstance(sample_size, list) else [sample_size] * 2
    attends = [kind == _DOWN[1] for kind in fields["down_block_types"]]
    try:
        for n in size:
            check_integer("sample_size", n, 1)
        return UNetConfig(
            size=tuple(size),
            channels=C,
            width=widths[0],
            multipliers=tuple(n // widths[0] for n in widths),
            blocks=fields["layers_per_block"],
            attention=tuple(size[0] >> i for i, here in enumerate(attends) if here),
            head_width=fields["attention_head_dim"],
            dropout=fields["dropout"],
            groups=fields["norm_num_groups"],
            eps=fields["norm_eps"],
            down_padding="both" if padding else "right",
            sine_first=not cosine_first,
            frequency_shift=int(frequency_shift),
            t_shift=1,
            scale_shift=shift == "scale_shift",
            classes=(fields["num_class_embeds"] or 0) - bool(null_class),
            prediction=meaning["prediction"],
            learned_variance=out != C,
            T=meaning["schedule"].T,
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _widths(path, fields):
    widths = fields["block_out_channels"]
    whole = isinstance(widths, list) and all(type(n) is int and n > 0 for n in widths)
    if not whole or not widths or any(n % widths[0] for n in widths):
        raise ValueError(
            f"{path}: block_out_channels must be whole multiples of the first of them, got "
            f"{widths!r}; a UNet of this package has no other widths"
        )
    down, up = fields["down_block_types"], fields["up_block_types"]
    for name, kinds, known in (("down", down, _DOWN), ("up", up, _UP)):
        for kind in kinds:
            check_name(f"{path}: {name}_block_types", kind, *known)
    mirrored = [_UP[kind == _DOWN[1]] for kind in reversed(down)]
    if up != mirrored or len(down) != len(widths):
        raise ValueError(
            f"{path}: there must be one of down_block_types for each of the "
            f"{len(widths)} block_out_channels, and up_block_types in the other order, got "
            f"{down} and {up}"
        )
    return widths


def _middle(path, fields, version):
    r"""Refuse a middle whose attention has no normalisation, or another one."""
    groups, own = fields["norm_num_groups"], fields["attn_norm_num_groups"]
    if own is None and (
        fields["resnet_time_scale_shift"] == "default" or version < (0, 17, 0)
    ):
        own = groups
    if own != groups:
        raise ValueError(
            f"{path}: attn_norm_num_groups must be norm_num_groups = {groups}, got "
            f"{fields['attn_norm_num_groups']!r}: with scale_shift and null, the attention "
            "in the middle has no normalisation, which a UNet of this package has"
        )


def _null_class(unet, rows, about, null_class):
    r"""Whether the last row of the table of classes means "no class"; None without one."""
    if rows is None:
        if null_class is not None:
            raise ValueError(f"{unet} has no classes: leave null_class out")
        return None
    said = about.get("null_class")
    if said is None and null_class is None:
        raise ValueError(
            f"{unet} has a table of {rows} classes and does not say whether the last one "
            'means "no class": say null_class=True or False'
        )
    if None not in (said, null_class) and said != null_class:
        raise ValueError(f"{unet} says null_class {said}, and you say {null_class}")
    null_class = said if null_class is None else null_class
    check_integer(f"{unet}: num_class_embeds", rows, 1 + null_class)
    return null_class


def _meaning_given(unet, given):
    missing = [name for name, value in given.items() if value is None]
    if missing:
        above = unet.resolve().parent
        hint = (
            f"name {above.name}/ instead, which has one, or give"
            if (above / "model_index.json").is_file()
            else "give"
        )
        raise ValueError(
            f"{unet} is a network without a scheduler, and does not say "
            f"{', '.join(missing)}: {hint} {', '.join(f'{name}=' for name in missing)}"
        )
    check_name("prediction", given["prediction"], *_PREDICTION.values())
    if not isinstance(given["clip"], bool):
        raise ValueError(f"clip must be True or False, got {given['clip']!r}")
    return given | {"variance": None, "said": "not said, without a scheduler"}


def _read_scheduler(path, given):
    r"""(what the fields of a scheduler mean, the fields without the table of beta)."""
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{path} says the {name}: leave {name}= out")
    fields, kind, version = _read_fields(path, _SCHEDULERS)
    if "predict_epsilon" in fields and "prediction_type" not in fields:
        said = _must(path, fields, "predict_epsilon", True, False)
        fields["prediction_type"] = "epsilon" if said else "sample"
    ignored = {"predict_epsilon", "tensor_format", "timestep_values"}.union(
        *_SCHEDULERS.values()
    )
    _complete(path, fields, version, _SCHEDULER_ALWAYS, _SCHEDULERS[kind], ignored)
    fields.setdefault("timestep_values", None)
    _must(path, fields, "timestep_values", None)
    _must(path, fields, "thresholding", False)
    _must(path, fields, "timestep_spacing", "leading", "trailing", "linspace")
    check_integer(f"{path}: steps_offset", fields["steps_offset"], 0)
    clip = _must(path, fields, "clip_sample", True, False)
    if clip:
        _must(path, fields, "clip_sample_range", 1)
    prediction = _PREDICTION[_must(path, fields, "prediction_type", *_PREDICTION)]
    if kind == "DDIMScheduler":
        why = ": a chain of this package ends at clean data, where alpha_bar is 1"
        _must(path, fields, "set_alpha_to_one", True, why=why)
        variance, said = None, "not said by a DDIMScheduler"
    else:
        said = _must(path, fields, "variance_type", *_VARIANCE)
        variance = _VARIANCE[said]
    meaning = {"schedule": _read_schedule(path, fields), "prediction": prediction}
    raw = {k: v for k, v in fields.items() if k != "trained_betas"} | {"_class_name": kind}
    return meaning | {"clip": clip, "variance": variance, "said": said}, raw


def _read_schedule(path, fields):
    r"""The Schedule of a scheduler's fields, in float64 where diffusers has float32."""
    T, start, end = (fields[k] for k in ("num_train_timesteps", "beta_start", "beta_end"))
    beta, kind = fields["trained_betas"], fields["beta_schedule"]
    try:
        check_integer("num_train_timesteps", T, 1)
        if beta is not None:
            schedule = Schedule.from_beta(beta)
            check_integer(
                "num_train_timesteps, as trained_betas has it,", T, schedule.T, schedule.T
            )
        elif kind == "linear":
            schedule = Schedule.linear(T, start, end)
        elif kind == "scaled_linear":
            root = torch.linspace(start**0.5, end**0.5, T, dtype=torch.float64)
            schedule = Schedule.from_beta(root.square())
        elif kind == "squaredcos_cap_v2":
            schedule = Schedule.cosine(T)
        else:
            check_name(
                "beta_schedule",
                kind,
                "linear",
                "scaled_linear",
                "squaredcos_cap_v2",
                "sigmoid",
            )
            schedule = Schedule.sigmoid(T, start, end)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    rescale = _must(path, fields, "rescale_betas_zero_snr", True, False)
    return _without_signal(schedule) if rescale else schedule


def _without_signal(schedule):
    r"""A schedule with alpha_bar_T = 0. Lin et al. 2023 (arXiv 2305.08891), Algorithm 1."""
    root = schedule.alpha_bar[1:].sqrt()  # (T,)
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), root.square()])
    return Schedule.from_beta(1 - alpha_bar[1:] / alpha_bar[:-1])


def _tensors(folder):
    r"""The tensors of a network by today's names, and what we once wrote beside them."""
    whole, pickled = folder / f"{WEIGHTS}.safetensors", folder / f"{WEIGHTS}.bin"
    about = None
    try:
        if has_safetensors(folder):
            with safe_open(whole, framework="pt") as file:
                about = (file.metadata() or {}).get("ddpm_lite")
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        elif pickled.is_file():
            tensors = torch.load(pickled, map_location="cpu", weights_only=True)
        else:
            found = sorted(p.name for p in folder.glob("*") if p.name.endswith(_SUFFIXES))
            raise FileNotFoundError(
                f"{folder} must have {whole.name} or {pickled.name}, in one piece; it has "
                f"{', '.join(found) or 'no file of weights'}"
            )
    except FileNotFoundError:
        raise
    except Exception as error:  # a broken .bin raises almost any kind
        file, why = (
            whole if has_safetensors(folder) else pickled,
            " ".join(str(error).split()),
        )
        raise ValueError(f"{file} cannot be read as plain tensors: {why:.200}") from error
    named = isinstance(tensors, dict) and all(
        isinstance(v, torch.Tensor) for v in tensors.values()
    )
    if not named:
        raise ValueError(f"{pickled} must hold a dictionary of tensors and nothing else")
    today = {}
    for name, tensor in tensors.items():
        new = name
        for old, now in _OLD_TENSORS:
            new = re.sub(old, now, new)
        if new in today:
            raise ValueError(f"{folder} has the tensor {new} twice: see {name}")
        today[new] = tensor
    return today, json.loads(about or "{}")


def _fill(model, tensors, folder):
    r"""Copy tensors into a network. Raises ValueError that names what does not fit."""
    own = model.state_dict()
    problems = [f"{name} is missing" for name in own if name not in tensors]
    problems += [f"{name} is not known" for name in tensors if name not in own]
    problems += [
        f"{name} must have shape {tuple(own[name].shape)}, got {tuple(tensor.shape)}"
        for name, tensor in tensors.items()
        if name in own and own[name].shape != tensor.shape
    ]
    if problems:
        raise ValueError(
            f"the weights in {folder} do not fit its config.json, {len(problems)} of "
            f"{len(own)} tensors: {'; '.join(problems[:3])}"
        )
    model.load_state_dict(tensors)
    return model


def _name_of(schedule):
    r"""How the settings of a run name a schedule, None if they cannot."""
    if _is_linear(schedule, 1e-4, 0.02):
        return "linear"
    return "cosine" if _is_cosine(schedule) else None


def _is_linear(schedule, start, end):
    line = torch.linspace(start, end, schedule.T, dtype=torch.float64)
    return _same(line, schedule.beta[1:])


def _is_cosine(schedule):
    return _same(Schedule.cosine(schedule.T).beta, schedule.beta)


def _same(beta, other):
    # one may come from a file that another machine wrote: the angles near pi / 2 of the
    # cosine schedule lose three digits of float64
    return torch.allclose(beta, other, rtol=1e-12, atol=0)


# --- writing


def to_diffusers(pretrained, folder):
    r"""Write a model as a folder that diffusers' DDPMPipeline.from_pretrained loads.

    pretrained: a Pretrained of a UNet, its config with "clip". folder: a new one, or an
    empty one. Schedules that diffusers cannot name go as numbers (trained_betas). A
    variance that is fixed is written as "large", the paper's for the full chain, unless
    config has "variance"; the spacing of shorter chains as "leading", with which diffusers
    adds no noise in the last step. Whether the last class means "no class" goes into the
    metadata of the weights. Returns the folder. Raises ValueError for what the format
    cannot say, FileExistsError where something is there.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there and not empty: name another folder")
    unet, scheduler = _unet_fields(pretrained), scheduler_fields(pretrained)
    weights = {k: v.contiguous() for k, v in pretrained.model.state_dict().items()}
    about = {}
    if pretrained.model.classes:
        null_class = pretrained.config.get("null_class", True)
        about = {"ddpm_lite": json.dumps({"null_class": null_class})}
        if not null_class:  # the row that was added in reading
            table = weights["class_embedding.weight"][:-1].contiguous()
            weights["class_embedding.weight"] = table
    index = {"_class_name": "DDPMPipeline", "_diffusers_version": VERSION}
    index |= {"scheduler": ["diffusers", "DDPMScheduler"]}
    index |= {"unet": ["diffusers", "UNet2DModel"]}
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    try:
        for name in ("unet", "scheduler"):
            (part / name).mkdir(parents=True)
        _write(part / "model_index.json", index)
        _write(part / "unet" / "config.json", unet)
        _write(part / "scheduler" / "scheduler_config.json", scheduler)
        save_file(
            weights, part / "unet" / f"{WEIGHTS}.safetensors", {"format": "pt"} | about
        )
        if folder.exists():
            folder.rmdir()
        os.replace(part, folder)
    except (OSError, SafetensorError) as error:
        raise OSError(f"cannot write the folder {folder}: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _unet_fields(pretrained):
    r"""The fields of diffusers' UNet2DModel for a network of ours, all of them."""
    model = pretrained.model
    if not isinstance(model, UNet):
        raise ValueError(
            f"the format has networks of pictures only, got a {type(model).__name__}"
        )
    c = model.unet_config
    if c.t_shift != 1:
        raise ValueError(
            "the format cannot say t_shift = 0: diffusers counts from 0 and embeds t - 1"
        )
    if c.multipliers[0] != 1:
        raise ValueError(
            f"the format cannot say multipliers = {c.multipliers}: its first level has the "
            "width itself, so the first must be 1"
        )
    attends = [c.height >> level in c.attention for level in range(len(c.widths))]
    rows = c.classes + pretrained.config.get("null_class", True) if c.classes else None
    return {
        "_class_name": "UNet2DModel",
        "_diffusers_version": VERSION,
        "sample_size": c.size,
        "in_channels": c.channels,
        "out_channels": c.channels * (1 + c.learned_variance),
        "center_input_sample": False,
        "time_embedding_type": "positional",
        "time_embedding_dim": None,
        "freq_shift": c.frequency_shift,
        "flip_sin_to_cos": not c.sine_first,
        "down_block_types": [_DOWN[here] for here in attends],
        "mid_block_type": "UNetMidBlock2D",
        "up_block_types": [_UP[here] for here in reversed(attends)],
        "block_out_channels": c.widths,
        "layers_per_block": c.blocks,
        "mid_block_scale_factor": 1,
        "downsample_padding": 0 if c.down_padding == "right" else 1,
        "downsample_type": "conv",
        "upsample_type": "conv",
        "dropout": c.dropout,
        "act_fn": "silu",
        "attention_head_dim": c.head_width,
        "norm_num_groups": c.groups,
        "attn_norm_num_groups": c.groups,  # or scale_shift drops that normalisation
        "norm_eps": c.eps,
        "resnet_time_scale_shift": "scale_shift" if c.scale_shift else "default",
        "add_attention": True,
        "class_embed_type": None,
        "num_class_embeds": rows,
        "num_train_timesteps": None,
    }


def scheduler_fields(pretrained):
    r"""The fields of diffusers' DDPMScheduler for a schedule and a network of ours.

    pretrained: see `to_diffusers`. Returns a dictionary for JSON. Raises ValueError where
    config does not say whether the predicted x_0 is clipped.
    """
    model, schedule, config = pretrained.model, pretrained.schedule, pretrained.config
    if not isinstance(config.get("clip"), bool):
        raise ValueError(
            "config must say clip, True for pictures in [-1, 1] whose predicted x_0 is cut "
            f"to that, else False; it has {sorted(config)}"
        )
    variance = check_name("variance", config.get("variance", "large"), "small", "large")
    names = {ours: theirs for theirs, ours in _PREDICTION.items()}
    return {
        "_class_name": "DDPMScheduler",
        "_diffusers_version": VERSION,
        "num_train_timesteps": schedule.T,
        **_beta_fields(schedule),
        "variance_type": "learned_range" if model.learned_variance else f"fixed_{variance}",
        "clip_sample": config["clip"],
        "clip_sample_range": 1.0,
        "prediction_type": names[model.prediction],
        "thresholding": False,
        "dynamic_thresholding_ratio": 0.995,
        "sample_max_value": 1.0,
        "timestep_spacing": "leading",
        "steps_offset": 0,
        "rescale_betas_zero_snr": False,
    }


def _beta_fields(schedule):
    r"""Name a schedule where diffusers has the same one, else give its numbers."""
    start, end = float(schedule.beta[1]), float(schedule.beta[-1])
    named = {"trained_betas": None, "beta_start": start, "beta_end": end}
    if _is_linear(schedule, start, end):
        return named | {"beta_schedule": "linear"}
    if _is_cosine(schedule):
        return named | {"beta_schedule": "squaredcos_cap_v2"}
    return named | {"beta_schedule": "linear", "trained_betas": schedule.beta[1:].tolist()}


def _write(path, fields):
    path.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", "utf-8")
