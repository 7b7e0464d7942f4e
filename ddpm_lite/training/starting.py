r"""A run that starts from weights that are there has the network they were made for."""

from dataclasses import replace

from ..formats.chosen import in_words
from ..formats.diffusers import open_model
from ..formats.diffusers_scheduler import named
from ..models.unet import UNet
from .one_dimension import is_series, other_channels
from .plan import listed


def like(config):
    r"""The RunConfig with the network and the schedule of what `config.init` names.

    Size, channels, T, prediction and clip are that network's, and so is the chain that is
    stored with it, `drawn_with`. The number of classes is left to the pictures. Change what
    should differ afterwards, such as the size:
    `replace(config, unet=at_size(config.unet, 32))`.
    Raises as `open_model`, and ValueError for weights of another kind of network, or
    trained with a schedule that settings cannot name.
    """
    start = open_model(config.init)
    if not isinstance(start.model, UNet):
        raise ValueError(
            f"{config.init} is an {type(start.model).__name__}, and pictures need a UNet: "
            "name a model of pictures behind --init"
        )
    schedule, T = named(start.schedule), start.schedule.T
    if not schedule:
        raise ValueError(
            f"{config.init} was trained with a schedule that has no name here: go on with "
            "it in Python, Trainer(model, schedule, data, config)"
        )
    unet, steps = replace(start.model.unet_config, classes=0), min(config.sample_steps, T)
    own = dict(beta_start=None, beta_end=None) | schedule
    own |= {"drawn_with": start.drawn_with}
    return replace(config, unet=unet, sample_steps=steps, **own)


def chain_of_run(config, before, name):
    r"""The RunConfig with the chain that its model is to be drawn with, and lines on it.

    config: as it was asked for. before: the RunConfig whose drawn_with was chosen: of a
    preset, or of weights to start from; name: what to call it. A chain is left out where
    schedule, T, prediction or the kind of network are not those that it was chosen for.
    Returns (RunConfig, lines); no line where there is no chain.
    """
    chain, here, there = before.drawn_with, _meant_for(config), _meant_for(before)
    if not chain:
        return replace(config, drawn_with={}), []
    words = f"drawing   {in_words(chain)}, as stored with {name}"
    other = [what for what in there if here[what] != there[what]]
    if other:
        why = f"it was chosen for another {listed(other)}"
        return replace(config, drawn_with={}), [f"{words}, is left out: {why}"]
    return replace(config, drawn_with=chain), [f"{words}: sample and evaluate do so"]


def _meant_for(config):
    kind = "U-Net" if config.own is None else "own"
    known = {"network": kind, "schedule": config.schedule, "T": config.network.T}
    known |= {"beta_start": config.beta_start, "beta_end": config.beta_end}
    return known | {"prediction": getattr(config.network, "prediction", None)}


def at_size(unet, size):
    r"""A UNetConfig that fits the same weights, for pictures of another size.

    size: one number or (height, width). Attention stays where the weights have it: at the
    same levels, whose heights are others. Raises ValueError for a size that the network
    cannot halve as often as it does.
    """
    bare = replace(unet, attention=(), size=size)
    return replace(bare, attention=same_levels(unet, bare))


def same_levels(unet, other):
    r"""Heights at which another UNetConfig has the levels where `unet` has attention."""
    levels = range(len(other.multipliers))
    return tuple(other.height >> i for i in levels if unet.height >> i in unet.attention)


def channels_of(config):
    r"""A check for `prepare`: the pictures are in grey, or in colour, as the weights know.

    config: a RunConfig with init. Returns a function of a PictureSet and what
    describes it, which raises ValueError and says how other pictures can be read.
    """

    def check(pictures, described):
        kinds, have = {1: "in grey", 3: "in colour"}, pictures.shape[0]
        channels = config.unet.channels
        if have != channels and is_series(config.unet):
            raise ValueError(other_channels(pictures.name, have, config))
        if have != channels:
            raise ValueError(
                f"the pictures of {pictures.name} are {kinds[have]}, and {config.init} "
                f"draws {kinds[channels]}: --channels {channels} reads them so"
            )

    return check


def told(config, names):
    r"""Lines on what a RunConfig took from the weights in `config.init`.

    names: of the classes that are learned, () if none.
    """
    start, name = open_model(config.init), config.init
    unet, there = config.unet, start.model.classes
    here, known = (
        " x ".join(map(str, u.sample_shape[1:])) for u in (unet, start.model.unet_config)
    )
    size = "length " * is_series(unet) + here
    size += f" (trained at {known})" * (here != known)
    lines = [
        f"network   that of {name}, which it starts from: {size}, width "
        f"{unet.width}, multipliers {' '.join(map(str, unet.multipliers))}"
    ]
    before = tuple(start.config.get("described", {}).get("classes", ()))
    before = before if len(before) == there else ()
    same = f"as many as {name} knows: each starts from the one in its place"
    if there and not names:
        lines.append(f"classes   none are learned; {name} knows {there}, which go")
    elif names and not there:
        lines.append(f"classes   {name} knows none: the table of {len(names)} starts fresh")
    elif there != len(names):
        lines.append(
            f"classes   {name} knows {there}: the table of {len(names)} starts fresh"
        )
    elif names and before != tuple(names):
        known = f", {listed(before)}" if before else ""
        lines.append(f"classes   {same}{known}")
    return lines
