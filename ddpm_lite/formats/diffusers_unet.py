r"""A network in diffusers' fields, both ways: UNet2DModel's config.json and UNetConfig.

`UNet` has the names of diffusers' UNet2DModel, so that tensors go over as they are; what
has to be translated are the conventions that their shapes do not show. diffusers counts
steps from 0: its t is ours minus one.
"""

from ..checks import check_integer, check_name
from ..models.unet import UNet
from ..models.unet_config import UNetConfig
from .diffusers_fields import UNET_ALWAYS, UNET_SINCE, VERSION, complete, must, read_fields

_DOWN, _UP = ("DownBlock2D", "AttnDownBlock2D"), ("UpBlock2D", "AttnUpBlock2D")


def read_unet(path):
    r"""Read a config.json: (its fields, the version of diffusers that wrote it).

    Raises ValueError that names a field which is missing or unknown.
    """
    fields, _, version = read_fields(path, ("UNet2DModel",))
    if "ch" in fields and "ch_mult" in fields:
        width, multipliers = fields.pop("ch"), fields.pop("ch_mult")
        widths = [width * n for n in multipliers]
        if fields.setdefault("block_out_channels", widths) != widths:
            raise ValueError(f"{path}: ch and ch_mult do not give block_out_channels")
    for name in ("down_block_types", "up_block_types"):
        if name in fields:
            fields[name] = [kind.removeprefix("UNetRes") for kind in fields[name]]
    return complete(path, fields, version, UNET_ALWAYS, UNET_SINCE), version


def to_config(path, fields, version, chain, null_class):
    r"""The UNetConfig of a network's fields.

    path, fields, version: see `read_unet`; path is for errors. chain: the Chain of its
    scheduler. null_class: see `null_class_of`. Raises ValueError that names the field.
    """
    must(path, fields, "center_input_sample", False)
    must(path, fields, "time_embedding_type", "positional")
    must(path, fields, "mid_block_scale_factor", 1)
    must(path, fields, "mid_block_type", "UNetMidBlock2D")
    must(path, fields, "downsample_type", "conv")
    must(path, fields, "upsample_type", "conv")
    must(path, fields, "act_fn", "silu", "swish")
    must(path, fields, "add_attention", True)
    must(path, fields, "class_embed_type", None)
    shift = must(path, fields, "resnet_time_scale_shift", "default", "scale_shift")
    padding = must(path, fields, "downsample_padding", 0, 1)
    cosine_first = must(path, fields, "flip_sin_to_cos", True, False)
    frequency_shift = must(path, fields, "freq_shift", 0, 1)
    C, widths = fields["in_channels"], _widths(path, fields)
    must(path, fields, "time_embedding_dim", None, 4 * widths[0])
    out = must(path, fields, "out_channels", C, 2 * C)
    if (out != C) != (chain.variance == "learned"):
        raise ValueError(
            f"{path}: out_channels = {out} for {C} channels needs a scheduler with "
            f"variance_type {'learned_range' if out != C else 'fixed_small or fixed_large'}"
            f", and here it is {chain.said}"
        )
    _check_attention(path, fields, version)
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
            prediction=chain.prediction,
            learned_variance=out != C,
            clip=chain.clip,
            T=chain.schedule.T,
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


def _check_attention(path, fields, version):
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


def null_class_of(unet, rows, about, null_class):
    r"""Whether the last row of the table of classes means "no class"; None without one.

    unet: the folder, for errors. rows: of the table, or None. about: what is written beside
    the tensors. null_class: what the caller says, or None. Raises ValueError where nobody
    says it, or two say different things.
    """
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


def unet_fields(pretrained):
    r"""The fields of diffusers' UNet2DModel for a network of ours, all of them.

    pretrained: a Pretrained. Returns a dictionary for JSON. Raises ValueError for what the
    format cannot say.
    """
    model = pretrained.model
    if type(model) is not UNet:
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
