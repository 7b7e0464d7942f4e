r"""A network of one's own in the settings of a run, where `UNetConfig` is for a U-Net."""

import difflib
import json
from dataclasses import dataclass, field, replace

from ..checks import check_integer
from ..data.sources import EMBEDDED
from ..formats.networks import (
    arguments,
    build,
    check_network,
    check_says,
    network_named,
    plain_settings,
    spelled,
    takes_any,
)


@dataclass(frozen=True)
class OwnNetwork:
    r"""Any nn.Module that a run trains, and what it is for.

    name: "module:Class". settings: what the class is called with, plain values.
    sample_shape: of one example. classes, T: as of every denoiser. network: the class
    itself, None where nobody has given it; no file holds it. Raises ValueError for values
    out of range.
    """

    name: str
    settings: dict
    sample_shape: tuple[int, ...]
    classes: int = 0
    T: int = 1000
    network: type | None = field(default=None, compare=False, repr=False)

    def __post_init__(self):
        shape = tuple(check_integer("sample_shape", n, 1) for n in self.sample_shape)
        check_integer("the number of dimensions", len(shape), 1)
        object.__setattr__(self, "sample_shape", shape)  # JSON has lists only
        check_integer("classes", self.classes, 0)
        check_integer("T", self.T, 1)

    def __str__(self):
        given = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        return f"{self.name}({given})"

    @staticmethod
    def of(model, shape, T):
        r"""What a run says of a network that it is given. shape: of one example."""
        classes, kind = getattr(model, "classes", None) or 0, type(model)
        return OwnNetwork(spelled(kind), plain_settings(model), shape, classes, T, kind)

    @property
    def dimensions(self):
        r"""2 for pictures (C, H, W), 1 for series (C, L)."""
        return len(self.sample_shape) - 1

    @property
    def channels(self):
        r"""Channels of the data, the first number of its shape."""
        return self.sample_shape[0]

    def as_dict(self):
        r"""The same as plain values, for config.json."""
        shape = list(self.sample_shape)
        known = dict(name=self.name, settings=self.settings, sample_shape=shape)
        return known | dict(classes=self.classes, T=self.T)

    def build(self, light=False):
        r"""The network, with new weights; light: without memory, where that is possible.

        Raises ValueError where nobody has given the class, or where it cannot be built.
        """
        if self.network is None:
            raise ValueError(
                f"the run trains a network of your own, {self.name}: say where it is, "
                f"--network {self.name}, or network= in Python"
            )
        return build(self.network, self.settings, light)

    def filled(self, classes):
        r"""The same, with what the class takes of the data and the settings do not say.

        That is channels, size, classes and T.
        """
        H_W = self.sample_shape[1:]
        size = H_W[0] if len(set(H_W)) == 1 else list(H_W)
        known = dict(channels=self.channels, size=size, classes=classes, T=self.T)
        takes = [n for n in known if n in arguments(self.network)]
        return replace(self, settings={n: known[n] for n in takes} | self.settings)

    def fitted(self, shape, classes):
        r"""The same for data of that shape and so many classes.

        A network without classes learns none. Raises ValueError where it is for other data.
        """
        own = replace(self, sample_shape=tuple(shape)).filled(classes)
        model = own.build(light=True)
        check_network(model)
        if self.dimensions == 1 and getattr(model, "clip", None):
            raise ValueError(
                f"{self.name} has clip = {model.clip}, and series are brought to mean 0 "
                "and deviation 1, which that would cut: let its clip be None"
            )
        has, T = getattr(model, "classes", None) or 0, getattr(model, "T", None)
        wanted = getattr(model, "sample_shape", None)
        if wanted is not None and tuple(wanted) != own.sample_shape:
            raise ValueError(
                f"{own} is for examples of shape {tuple(wanted)}, and these are of "
                f"{own.sample_shape}"
            )
        if has not in (0, classes):
            raise ValueError(
                f"{own} has {has} classes, and the data {classes}: leave classes out of "
                "--settings, it is taken from the data"
            )
        kept = plain_settings(model)  # with defaults, as they are now
        own.check_kept(kept)
        own = replace(own, settings=kept)
        return replace(own, classes=has, T=own.T if T is None else T)

    def check_kept(self, kept):
        r"""Refuse a `config` that says another number or word than the network was given.

        kept: the config. A value of another kind is how a class may read what it was
        given, such as [8, 8] for 8. Raises ValueError.
        """
        for name, value in self.settings.items():
            said = kept.get(name, value)
            plain = isinstance(value, int | float | str)
            if plain and type(said) is type(value) and said != value:
                raise ValueError(
                    f"the config of this {self.network.__name__} says {name} = {said!r}, "
                    f"and it was called with {name} = {value!r}: let config hold what it "
                    "was called with, or leave that out of --settings"
                )


def own_network(name, words, config, typed):
    r"""The OwnNetwork that a command line asks for.

    name: "module:Class", which is imported. words: settings, such as ["width=64"]. config:
    a RunConfig, with the sizes of its preset and the options size, channels and T. typed:
    names of the options that were given. Raises ValueError for a network that is not
    there, settings that it does not take, and options that are for a U-Net.
    """
    network, unet = network_named(name), config.unet
    _refuse_options_of_the_unet(name, network, unet, typed)
    shape, sized = unet.sample_shape, typed & {"size", "channels"}
    if not sized:
        shape = EMBEDDED.get(config.data, shape)
    own = OwnNetwork(spelled(network), _settings(words, network), shape, 0, unet.T, network)
    model = own.filled(classes=0).build(light=True)
    check_says(model)
    T, wanted = getattr(model, "T", None), getattr(model, "sample_shape", None)
    if T not in (None, unet.T) and "T" in typed:
        raise ValueError(f"{name} knows T = {T} steps: leave out --T {unet.T}")
    if wanted is not None and not sized:
        shape = tuple(wanted)
    return replace(own, sample_shape=shape, T=unet.T if T is None else T)


def _refuse_options_of_the_unet(name, network, unet, typed):
    theirs = {field.replace("_", "-") for field in unet.__dataclass_fields__}
    theirs -= {"size", "channels", "T"}  # which are of the data and the chain
    given = sorted(n for n in typed if n.removeprefix("no-") in theirs)
    if given:
        takes = arguments(network)
        option = given[0].removeprefix("no-").replace("-", "_")
        shown = option if option in takes else next(iter(takes), None)
        advice = f"; what {name} takes is set by --settings {shown}=..." if shown else ""
        raise ValueError(
            f"--{given[0]} is for the U-Net of this package: leave it out{advice}"
        )


def _settings(words, network):
    r"""{name: value} of words such as width=64: each value as JSON, or as a text."""
    settings, takes, free = {}, arguments(network), takes_any(network)
    for word in words:
        name, equals, text = word.partition("=")
        if not (equals and name.isidentifier()):
            raise ValueError(f"--settings takes name=value, such as width=64, got {word!r}")
        if name in settings:
            raise ValueError(f"--settings gives {name} twice: give one value")
        if name not in takes and not free:
            near = difflib.get_close_matches(name, takes, 1)
            said = f"did you mean {near[0]}?" if near else f"it takes {', '.join(takes)}"
            raise ValueError(f"{spelled(network)} takes no {name}: {said or 'nothing'}")
        try:
            settings[name] = json.loads(text)
        except ValueError:  # a word needs no quotes
            literal = {"True": True, "False": False, "None": None}
            settings[name] = literal.get(text, text)
    return settings
