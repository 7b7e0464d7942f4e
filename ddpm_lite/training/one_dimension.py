r"""What a run on series does in another way than one on pictures: to read, to show."""

from dataclasses import replace
from pathlib import Path

from .. import figure
from ..data.series import ENDINGS, in_units, is_plain, load_series, shape_of

SHOWN = 16  # series in a picture


def is_series(network):
    r"""Whether what a network draws are series, (C, L); `RunConfig.network` says it."""
    return len(network.sample_shape) == 2


def called(network, number=2):
    r"""What a network draws, in words: "series", or "pictures", of one "picture"."""
    return "series" if is_series(network) else "picture" + "s" * (number != 1)


def preset_of(data):
    r"""The preset for data that can only be series, and why in words; else two ""."""
    if not is_plain(data):
        return "", ""
    return "series", f"preset    series, for {Path(data).name} holds floats (N, L)"


def as_long(config, preset, typed):
    r"""A RunConfig of series with the length and the channels that its data have.

    preset: the RunConfig that it started from. typed: names of the options that were given;
    they hold. Attention moves to lengths that there are; where weights are there already,
    it stays at their levels. Raises ValueError where the network cannot have that length,
    where weights know other channels, and for options that are for pictures.
    """
    _refuse_options_of_pictures(config, preset, typed)
    unet, found = config.unet, shape_of(config.data) if config.data else None
    if found is None:  # reading it says what is wrong
        return config
    C, L = found
    if config.init and C != unet.channels and not typed & {"channels", "network"}:
        raise ValueError(other_channels(Path(config.data).name, C, config))
    unet = unet if "channels" in typed else replace(unet, channels=C)
    if "size" in typed:
        return replace(config, unet=unet)
    f = unet.factor
    if L % f or L < f:
        middle = f"--size {L // f * f} cuts out the middle, " * (L >= f)
        fits = [n for n in range(1, len(unet.multipliers)) if L % 2 ** (n - 1) == 0]
        shorter = " ".join(map(str, unet.multipliers[: max(fits, default=1)]))
        raise ValueError(
            f"the series have length {L}, and this network takes multiples of {f}: "
            f"{middle}or --multipliers {shorter} takes them as they are"
        )
    lengths = [L >> i for i in range(len(unet.multipliers))]
    wanted = (unet if "attention" in typed else preset.unet).attention
    near = {next((n for n in lengths if n <= w), lengths[-1]) for w in wanted}
    attention = wanted if "attention" in typed else tuple(sorted(near)[::-1])
    if config.init and not typed & {"attention", "network"}:
        levels = range(len(lengths))
        attention = tuple(lengths[i] for i in levels if unet.height >> i in unet.attention)
    return replace(config, unet=replace(unet, size=L, attention=attention))


def other_channels(name, channels, config):
    r"""Why the series of a file, of so many channels, do not fit weights in config.init."""
    return (
        f"{name} has series of {channels} channel{'s' * (channels > 1)}, and {config.init} "
        f"draws {config.unet.channels}: name a file of as many, or leave out --init"
    )


def _refuse_options_of_pictures(config, preset, typed):
    mirrors = config.train.flip and "flip" not in typed  # as the preset does
    if not is_series(preset.network) and (mirrors or not config.init):
        raise ValueError(
            "series have a preset of their own: take ddpm-lite train series, without "
            "--dimensions"
        )
    asked = {
        "--lazy": config.lazy,
        "--skip-broken": config.skip_broken,
        f"--folders {config.folders}": config.folders != "auto",
        "--flip": config.train.flip,
    }
    for option, given in asked.items():
        if given:
            raise ValueError(f"{option} is for pictures, not for series: leave it out")


def load(config, follow=False):
    r"""The series of a RunConfig, a SeriesSet. follow: with as many channels as they have.

    Raises ValueError where they do not fit the network, and as `load_series`.
    """
    network = config.network
    if config.own is None and network.clip:  # `OwnNetwork.fitted` looks at others
        raise ValueError(
            "series are brought to mean 0 and deviation 1, which [-1, 1] would cut: "
            "--no-clip leaves them whole"
        )
    if config.held_out_split or config.split != "train":
        raise ValueError(
            "a file of series has no splits: set some aside with --hold-out, a number or "
            "a share"
        )
    if not str(config.data).lower().endswith(ENDINGS):
        raise ValueError(
            f"series are read from an .npy, .npz or .csv file, got {config.data}; for "
            "pictures take another preset, such as small-32"
        )
    found = load_series(config.data, size=network.sample_shape[1], labels=config.labels)
    C = network.channels
    if not follow and found.shape[0] != C:
        raise ValueError(
            f"{found.name} has {found.shape[0]} channels, and the network {C}: leave "
            "--channels out, they are taken from the data"
        )
    return found


def save_drawn(drawn, path, columns, scale=None, pairs=False):
    r"""Write pictures as pixels, or series as curves in the units of `scale`.

    drawn: (N, C, H, W) in [-1, 1], or (N, C, L), of which `SHOWN` are shown. columns: of
    pictures. pairs: each is followed by its nearest of training. Returns the path.
    """
    if drawn.dim() == 4:
        return figure.save_pictures(drawn, path, columns)
    title = f"the first {SHOWN} of {len(drawn)}" * (len(drawn) > SHOWN)
    if pairs:
        title = "in pairs: a sample, and right of it the nearest training series"
    return figure.save_series(in_units(drawn, scale)[:SHOWN], path, title=title)
