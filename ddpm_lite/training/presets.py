r"""Named settings of the experiments that chapters, figures and commands share.

The functions return (model, schedule, data, config), all that `Trainer` needs, for
points in the plane. `RUNS` holds the settings of runs on pictures, which the command
`ddpm-lite train NAME` starts from. Initial weights are a function of `seed`.
"""

import difflib
from dataclasses import asdict, dataclass, field, replace

import torch

from .. import data
from ..checks import check_integer, check_name, check_number
from ..data.folders import READINGS
from ..formats.chosen import check_drawn_with
from ..models.mlp import MLP
from ..models.unet1d import build_unet
from ..models.unet_config import UNetConfig
from ..schedule import Schedule
from ..seeds import WEIGHTS, seeded
from .config import TrainConfig
from .own import OwnNetwork
from .stored import check_settings, in_todays_names

# fields of unet and train that files of older versions do not have
LATER = ("clip", "dimensions", "weight_decay", "min_snr", "checkpoint_gradients")
LATER += ("keep_best", "shuffle", "free_ends", "t_law")
SCHEDULES = {"linear": Schedule.linear, "cosine": Schedule.cosine}
SCHEDULES |= {"sigmoid": Schedule.sigmoid, "flow": Schedule.flow}


BETA_ENDS = ("beta_start", "beta_end")


def check_beta_ends(config):
    r"""Refuse ends of beta outside (0, 1], or for a schedule without any: ValueError."""
    for name in BETA_ENDS:
        beta = getattr(config, name)
        if beta is None:
            continue
        if config.schedule in ("cosine", "flow"):
            raise ValueError(
                f"{name} must be left out for the {config.schedule} schedule, which "
                "follows from T alone; linear and sigmoid have such ends"
            )
        object.__setattr__(config, name, check_number(name, beta, 1e-12, 1))


@dataclass(frozen=True)
class RunConfig:
    r"""All settings of a run on pictures: what `ddpm-lite train` reads and writes.

    The fields say what they are. Raises ValueError for values out of range.
    """

    # folder of pictures, whose sub-folders are classes, or splits if they are named train
    # and test; or .npy, folder of parquet, hub id, digits, clothes
    data: str = ""
    split: str = "train"  # of a data set that has several, or of a folder: train, test ...
    held_out_split: str = ""  # the split whose pictures are set aside; else see hold_out
    hold_out: float = 0.05  # pictures set aside: a number, or a share if below 1
    labels: bool = True  # learn the classes too, where there are any
    folders: str = "auto"  # sub-folders are classes, splits or plain; auto if that is clear
    lazy: bool = False  # read pictures when they are needed; so are more than 50,000 files
    skip_broken: bool = False  # leave out pictures that cannot be read, and list them
    schedule: str = "linear"  # of the noise: linear, cosine, sigmoid or flow
    beta_start: float | None = None  # first beta of linear or sigmoid; 0.0001 if not given
    beta_end: float | None = None  # last beta of linear or sigmoid; 0.02 if not given
    sample_steps: int = 25  # steps of DDIM for the grids on the way
    init: str = ""  # run, weight file, shipped model or diffusers folder to start from
    unet: UNetConfig = field(default_factory=UNetConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    own: object = None  # an OwnNetwork in the place of the U-Net; no option (--network is)
    # the chain that was chosen for the model, see `formats.chosen`; no option of training
    drawn_with: object = field(default_factory=dict)

    def __post_init__(self):
        check_name("schedule", self.schedule, *SCHEDULES)
        check_beta_ends(self)
        check_name("folders", self.folders, *READINGS)
        check_number("hold_out", self.hold_out, 0)
        if self.hold_out > 1 and self.hold_out % 1:
            raise ValueError(
                "hold_out must be a whole number of pictures or a share below 1, got "
                f"{self.hold_out!r}"
            )
        check_integer("sample_steps", self.sample_steps, 1, self.network.T)
        object.__setattr__(self, "drawn_with", check_drawn_with(self.drawn_with))

    @property
    def network(self):
        r"""What says which data the network is for: classes, T, channels, sample_shape."""
        return self.own or self.unet

    def as_dict(self):
        r"""The settings as plain values, for config.json."""
        values = asdict(replace(self, own=None))
        del values["own" if self.own is None else "unet"]
        return values if self.own is None else values | {"own": self.own.as_dict()}

    @staticmethod
    def from_dict(values, where="config.json"):
        r"""The settings that `as_dict` gave, among all that a run's config.json holds.

        where: the file, for errors. What is missing beside "unet" and "train" is as by
        default, and an empty "train" too. Raises ValueError for values that are not so.
        """
        names = RunConfig.__dataclass_fields__
        for name in values:
            near = difflib.get_close_matches(name, names, 1, 0.85)
            if name not in names and near:
                raise ValueError(f"{where} holds {name!r}: did you mean {near[0]}?")
        own = {name: values[name] for name in names if name in values}
        if "folders" not in values and not values.get("described", {}).get("classes", True):
            own["folders"] = "plain"  # as 0.2.0 read a folder in which it saw no classes
        if "own" in own:
            part = f"'own' in {where}"
            own["own"] = check_settings(OwnNetwork, own["own"], part, ("network",))
        networks = () if "own" in own else (("unet", UNetConfig),)
        for name, kind in (*networks, ("train", TrainConfig)):
            if name not in own:
                raise ValueError(
                    f"{where} lacks {name!r}, which was there: restore the file"
                )
            part = f"{name!r} in {where}"
            if name == "train":
                own[name] = in_todays_names(own[name], part)
            optional = kind.__dataclass_fields__ if own[name] == {} else LATER
            own[name] = check_settings(kind, own[name], part, optional)
        if "clip" in values and "unet" in own:  # version 0.2 had it beside the network
            own["unet"] = replace(own["unet"], clip=bool(values["clip"]))
        return check_settings(RunConfig, own, where, names)

    def with_network(self, network):
        r"""The same with the class of its own network, if it has one: it may be built."""
        if self.own is None:
            return self
        return replace(self, own=replace(self.own, network=network))

    def fitted_to(self, pictures):
        r"""These settings with the channels and the number of classes of a PictureSet.

        Where no class is learned, or no "no class", drawn_with loses its guidance.
        Raises ValueError where the network is already for another number of classes.
        """
        classes = len(pictures.classes) if self.labels else 0
        if self.own is not None:
            own = self.own.fitted(pictures.shape, classes)
            drop = self.train.drop_label if own.classes else 0.0
            fitted = replace(self, own=own, train=replace(self.train, drop_label=drop))
            return fitted._guided_if_it_can_be(own.classes)
        if self.unet.classes not in (0, classes):
            raise ValueError(
                f"the network has {self.unet.classes} classes, and {pictures.name} has "
                f"{classes}: leave --classes out, it is taken from the data"
            )
        drop = self.train.drop_label if classes else 0.0
        fitted = replace(
            self,
            unet=replace(self.unet, channels=pictures.shape[0], classes=classes),
            train=replace(self.train, drop_label=drop),
        )
        return fitted._guided_if_it_can_be(classes)

    def _guided_if_it_can_be(self, classes):
        knows = self.init or self.train.drop_label  # weights to start from may know it
        if classes and knows:
            return self
        chain = {k: v for k, v in self.drawn_with.items() if k != "guidance"}
        return replace(self, drawn_with=chain)


_SMALL = TrainConfig(
    batch_size=64,
    lr=1e-3,
    warmup_steps=200,
    lr_schedule="cosine",
    ema_decay=0.999,
    antithetic=True,
    drop_label=0.1,
    save_every=500,
    sample_every=500,
)
_GREY = replace(
    _SMALL,
    batch_size=32,
    lr=1.5e-3,
    drop_label=0.15,
    free_ends=True,
    save_every=1000,
    sample_every=1000,
)
# chosen by figures/measures.py, see docs/measures.md
_GUIDED = dict(sampler="dpmpp_2m", steps=25, spacing="log_snr")
_PAPER = TrainConfig(flip=True)

RUNS = {
    "digits": RunConfig(
        data="digits",
        held_out_split="held_out",
        schedule="cosine",
        unet=UNetConfig.preset("digits"),
        train=replace(_SMALL, steps=2000, lr=4e-3),
    ),
    "fashion": RunConfig(
        held_out_split="test",
        unet=UNetConfig.preset("small-28"),
        train=replace(_SMALL, steps=8500, batch_size=32),
    ),
    "clothes": RunConfig(
        held_out_split="test",
        schedule="cosine",
        unet=UNetConfig.preset("grey-28"),
        train=replace(_GREY, steps=28_000, drop_label=0.2),
        drawn_with=_GUIDED | {"guidance": 1.35},
    ),
    "mnist": RunConfig(
        held_out_split="test",
        schedule="cosine",
        unet=UNetConfig.preset("grey-28"),
        train=replace(_GREY, steps=8000),
        drawn_with=_GUIDED | {"guidance": 1.25},
    ),
    "series": RunConfig(
        schedule="cosine",
        unet=UNetConfig.preset("series"),
        train=replace(_SMALL, steps=5000),
    ),
    "small-32": RunConfig(
        unet=UNetConfig.preset("small-32"),
        train=replace(_SMALL, steps=50_000, flip=True, save_every=1000, ema_decay=0.9995),
    ),
    "ddpm-cifar10": RunConfig(labels=False, train=_PAPER),
    "ddpm-256": RunConfig(
        labels=False,
        unet=UNetConfig.preset("ddpm-256"),
        train=replace(_PAPER, steps=500_000, batch_size=64, lr=2e-5),
    ),
    "iddpm-cifar10": RunConfig(
        labels=False,
        schedule="cosine",
        unet=UNetConfig.preset("iddpm-cifar10"),
        train=TrainConfig(steps=500_000, lr=1e-4, warmup_steps=0, grad_clip=None),
    ),
}


def s_curve_lecture(epochs=4000, seed=0):
    r"""The lecture's S-curve experiment, with its own settings (chapter 05).

    10,000 points divided by 10 and not standardised, a sigmoid schedule of 100 steps
    that stops far from noise, ReLU with tables of embeddings, batch 128, antithetic t,
    Adam at 1e-3, clipping at 1. An epoch is 10,000 examples. The lecture defines an EMA
    with decay 0.99 and does not use it: `trainer.ema` is there to be compared.
    """
    points = data.s_curve(10_000, seed=seed, standardised=False) / 10
    config = TrainConfig(
        steps=epochs * len(points) // 128,
        batch_size=128,
        lr=1e-3,
        warmup_steps=0,
        ema_decay=0.99,
        antithetic=True,
        seed=seed,
    )
    return _seeded(MLP, seed, T=100), Schedule.sigmoid(100, 1e-5, 0.5e-2), points, config


def s_curve(seed=0):
    r"""The corrected S-curve experiment (chapter 05): 47,042 weights, 3,000 updates.

    Standardised points, a cosine schedule of 100 steps that ends in noise, the
    sinusoidal embedding of t instead of tables, large batches, a learning rate that falls
    to 0, and the EMA used.
    """
    config = TrainConfig(
        steps=3000,
        batch_size=1024,
        lr=3e-3,
        warmup_steps=100,
        lr_schedule="cosine",
        ema_decay=0.995,
        seed=seed,
    )
    model = _seeded(MLP, seed, T=100, width=96, embedding="sinusoid", activation="silu")
    return model, Schedule.cosine(100), data.s_curve(10_000, seed=seed), config


def build(config):
    r"""The network, with initial weights from the seed, and the schedule of a RunConfig.

    Returns (network, Schedule): a UNet, a UNet1d, or the network of one's own.
    """
    with seeded(torch.device("cpu"), WEIGHTS, config.train.seed):
        model = build_unet(config.unet) if config.own is None else config.own.build()
    return model, schedule_of(config)


def schedule_of(config):
    r"""The Schedule of a RunConfig. Raises ValueError where there is none so long."""
    ends = {name: getattr(config, name) for name in BETA_ENDS}
    given = {name: beta for name, beta in ends.items() if beta is not None}
    return SCHEDULES[config.schedule](config.network.T, **given)


def schedule_in_words(config):
    r"""Such as "linear schedule, beta from 0.0001 to 0.01"; the ends if they are given."""
    start, end = config.beta_start, config.beta_end
    if start is None and end is None:
        return f"{config.schedule} schedule"
    return (
        f"{config.schedule} schedule, beta from {1e-4 if start is None else start:g} to "
        f"{0.02 if end is None else end:g}"
    )


def _seeded(network, seed, **settings):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network(**settings)
