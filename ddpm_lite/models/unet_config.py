r"""The shape and the conventions of a U-Net, and the shapes that have a name."""

from dataclasses import asdict, dataclass, replace

from ..checks import PREDICTIONS, check_integer, check_name, check_number, check_sizes


@dataclass(frozen=True)
class UNetConfig:
    r"""The shape and the conventions of a U-Net; the defaults are the paper's for CIFAR-10.

    The fields say what they are. Raises ValueError for values that do not fit together.
    """

    # height and width of pictures, one number if equal; length of series
    size: int | tuple[int, int] = 32
    channels: int = 3  # of pictures or series
    width: int = 128  # channels of the first resolution
    multipliers: tuple[int, ...] = (1, 2, 2, 2)  # channels of each resolution / width
    blocks: int = 2  # ResBlocks of a resolution going down; one more going up
    # resolutions (heights of pictures, lengths of series) with self-attention
    attention: tuple[int, ...] = (16,)
    head_width: int | None = None  # channels of an attention head; None for one head
    dropout: float = 0.1  # in [0, 1)
    groups: int = 32  # of the group normalisations
    eps: float = 1e-6  # of the group normalisations
    down_padding: str = "right"  # before stride 2: right (and bottom), or both (all sides)
    sine_first: bool = True  # the sines of the embedding of t stand before the cosines
    frequency_shift: int = 1  # 1: the lowest is 1/10000; 0: one short of it
    t_shift: int = 1  # t - t_shift is embedded: 1 as in code counting from 0
    scale_shift: bool = False  # t scales and shifts after a normalisation, is not added
    zero_init: bool = True  # blocks start as the identity, and the output as 0
    classes: int = 0  # number of classes; label `classes` then means "no class"
    prediction: str = "noise"  # noise, x_0, v or flow
    learned_variance: bool = False  # a second half of channels is for the variance
    clip: bool = True  # cut the predicted x_0 to [-1, 1] when sampling
    T: int = 1000  # number of steps
    dimensions: int = 2  # 2: pictures, of a UNet; 1: series, of a UNet1d

    def __post_init__(self):
        least = dict(channels=1, blocks=1, groups=1, T=1, width=4, classes=0)
        least |= {} if self.head_width is None else dict(head_width=1)
        for name, low in least.items():
            self._set(name, check_integer(name, getattr(self, name), low))
        self._set("dimensions", check_integer("dimensions", self.dimensions, 1, 2))
        for name in ("frequency_shift", "t_shift"):
            self._set(name, check_integer(name, getattr(self, name), 0, 1))
        self._set("dropout", check_number("dropout", self.dropout, 0, 1 - 1e-6))
        self._set("eps", check_number("eps", self.eps, 1e-12))
        check_name("down_padding", self.down_padding, "right", "both")
        check_name("prediction", self.prediction, *PREDICTIONS)
        flags = ("sine_first", "scale_shift", "zero_init", "learned_variance", "clip")
        for name in flags:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(
                    f"{name} must be True or False, got {getattr(self, name)!r}"
                )
        for name in ("multipliers", "attention"):
            numbers = getattr(self, name)
            if not isinstance(numbers, (tuple, list)):
                raise ValueError(f"{name} must be a tuple of numbers, got {numbers!r}")
            what = "sizes and multipliers" if name == "multipliers" else "heights"
            whole = (check_integer(what, n, 1) for n in numbers)
            self._set(name, tuple(whole))  # JSON has lists only
        check_integer("the number of multipliers", len(self.multipliers), 1)
        H_W = self.size if isinstance(self.size, (tuple, list)) else (self.size,) * 2
        if self.dimensions == 1 and H_W is self.size:
            raise ValueError(f"size of series must be one number, their length, got {H_W}")
        if len(H_W) != 2:
            raise ValueError(f"size must be one number or (height, width), got {H_W!r}")
        H_W = tuple(check_integer("sizes and multipliers", n, 1) for n in H_W)
        self._set("size", H_W[0] if H_W[0] == H_W[1] else H_W)
        check_sizes(self.sample_shape[1:], self.factor)
        heights = [self.height >> i for i in range(len(self.multipliers))]
        if not set(self.attention) <= set(heights):
            what = "series of length" if self.dimensions == 1 else "pictures of height"
            raise ValueError(
                f"attention must name resolutions, which are {heights} for {what} "
                f"{self.height}, got {self.attention}"
            )
        for n in self.widths:  # multiples of width, so that groups divides them too
            if self.width % self.groups or n % (self.head_width or n) or self.width % 2:
                heads = (
                    f", and the channels of the resolutions, {self.widths}, multiples of "
                    f"head_width = {self.head_width}"
                )
                raise ValueError(
                    f"width = {self.width} must be even and a multiple of groups = "
                    f"{self.groups}{heads if self.head_width else ''}"
                )

    def _set(self, name, value):
        object.__setattr__(self, name, value)  # as plain Python has it, for JSON

    @property
    def height(self):
        r"""Height of the pictures in pixels; of series, their length."""
        return self.size if isinstance(self.size, int) else self.size[0]

    @property
    def picture_width(self):
        r"""Width of the pictures in pixels; of series, their length too."""
        return self.size if isinstance(self.size, int) else self.size[1]

    @property
    def sample_shape(self):
        r"""Shape of one picture, (C, H, W), or of one series, (C, L)."""
        return self.channels, *(self.height, self.picture_width)[: self.dimensions]

    @property
    def widths(self):
        r"""Channels of each resolution, from the finest to the coarsest."""
        return tuple(self.width * multiplier for multiplier in self.multipliers)

    @property
    def factor(self):
        r"""What height and width of a picture, or a length, must be multiples of."""
        return 2 ** (len(self.multipliers) - 1)

    def as_dict(self):
        r"""The settings as plain values, for a file."""
        return asdict(self)

    @staticmethod
    def preset(name, **changes):
        r"""A named configuration, with some fields changed.

        name: one of `PRESETS` or `SERIES`. Raises ValueError for an unknown name.
        """
        named = PRESETS | SERIES
        return replace(named[check_name("preset", name, *named)], **changes)


# ddpm-cifar10 and ddpm-256 are the networks of Ho et al. 2020, appendix B: 35.7 and 114
# million parameters. iddpm-cifar10 is that of Nichol and Dhariwal 2021, appendix A.
PRESETS = {
    "ddpm-cifar10": UNetConfig(),
    "ddpm-256": UNetConfig(size=256, multipliers=(1, 1, 2, 2, 4, 4), dropout=0.0),
    "iddpm-cifar10": UNetConfig(
        blocks=3,
        attention=(16, 8),
        head_width=64,
        dropout=0.3,
        eps=1e-5,
        down_padding="both",
        sine_first=False,
        frequency_shift=0,
        scale_shift=True,
        learned_variance=True,
        T=4000,
    ),
    "digits": UNetConfig(
        size=8,
        channels=1,
        width=24,
        multipliers=(1, 2),
        blocks=1,
        attention=(4,),
        dropout=0.0,
        groups=8,
    ),
    "small-28": UNetConfig(
        size=28,
        channels=1,
        width=16,
        multipliers=(1, 2, 4),
        blocks=1,
        attention=(7,),
        dropout=0.0,
        groups=8,
    ),
    "grey-28": UNetConfig(
        size=28,
        channels=1,
        width=24,
        multipliers=(1, 2, 4),
        blocks=1,
        attention=(7,),
        dropout=0.0,
        groups=8,
        prediction="v",
    ),
    "small-32": UNetConfig(
        width=64, multipliers=(1, 2, 2, 2), blocks=1, attention=(8,), groups=16
    ),
}

# Of series, for a UNet1d. The coarsest feature maps are a 16th as long as the series. Where
# nothing is cut to [-1, 1], v is safer than noise, whose x_0 is divided by sqrt(alpha_bar).
SERIES = {
    "series": UNetConfig(
        dimensions=1,
        size=256,
        channels=1,
        width=32,
        multipliers=(1, 2, 2, 2, 2),
        blocks=1,
        attention=(16,),
        dropout=0.0,
        groups=8,
        prediction="v",
        clip=False,
    )
}
