r"""A network and a training that fit pictures, a machine, and so many minutes.

The rule. `RUNGS` lists five networks, from one that a laptop trains in minutes to the
paper's. Taken is the highest rung that has enough pictures and that makes, in nine tenths
of the time less that of the last samples, at least as many updates as the rung needs. The
time of a step is measured here, with that network. Where not even the lowest rung makes as
many as it needs, it is taken all the same, and this is said; below `LEAST` steps nothing
is worth the time, and it is refused.

Pictures keep their size up to 32 pixels. Larger ones become 64 at most where the second
rung (the first, if pictures are few) makes 4,000 updates at that size, else 32. No picture
is shown more than `OFTEN` times, so that few pictures stop a run before its time. Pictures
that are seen more than `SELDOM` times get dropout. None is mirrored: nothing here knows
whether they hold letters.
What was typed holds. Nothing is random, and the outcome is plain settings.
"""

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import distributed

from ..models.unet1d import build_unet
from ..models.unet_config import UNetConfig
from .cost import step_time
from .device import choose_precision
from .one_dimension import is_series
from .plan import attention_at, duration, set_aside
from .trainer import processes

LARGE = 64  # pixels: the largest height or width that is chosen
SMALL = 32
SHARE = 0.9  # of the time is for steps; the rest for grids, checkpoints, held-out loss
GRIDS = 0.05  # of the steps' time is for grids of samples on the way, at most
LEAST = 100  # steps
OFTEN = 2000  # times that a picture is seen: on CIFAR-10 the paper's run sees each 2,048
SELDOM = 100
SAMPLES = 200  # of the last report, see `experiment.report`
UNET = frozenset(field.name for field in fields(UNetConfig))
MULTIPLIERS = {1: (1,), 2: (1, 2), 3: (1, 2, 4), 4: (1, 2, 2, 2)}  # by number of levels


@dataclass(frozen=True)
class Rung:
    r"""width, blocks, groups: of a UNetConfig. batch_size, lr: of a TrainConfig.

    updates: how many it needs. pictures: how many, so that it does not learn them by heart.
    """

    width: int
    blocks: int
    groups: int
    batch_size: int
    lr: float
    updates: int
    pictures: int


RUNGS = (
    Rung(16, 1, 8, 16, 2e-3, 2000, 1),  # the network of fashion
    Rung(32, 1, 8, 32, 1e-3, 4000, 400),
    Rung(64, 1, 16, 64, 1e-3, 10_000, 2500),  # that of small-32
    Rung(96, 2, 32, 64, 5e-4, 30_000, 9000),
    Rung(128, 2, 32, 128, 2e-4, 100_000, 18_000),  # about ddpm-cifar10
)


def choose(config, typed, seconds, found, clock):
    r"""The RunConfig that trains for about so long, by the rule at the top of this file.

    config: a RunConfig with what was typed in it. typed: names of its fields that were, and
    hold. seconds: for all of the training. found: a `data.survey.Survey` of the pictures.
    clock: a function of a RunConfig that gives the seconds of one training step, see
    `clock_of`. Returns (RunConfig, lines that say what was chosen and why).
    Raises ValueError where not even the lowest rung makes `LEAST` steps, and for typed
    settings that do not fit each other.
    """
    number = _number(config, found)
    for size in _sizes(config, typed, found):
        taken, why = None, ""
        for rung in RUNGS:
            wanted = _with(config, typed, rung, size, found.channels)
            name = f"width {wanted.unet.width}"
            if taken and number < rung.pictures:
                why = f"the next, {name}, is for {rung.pictures:,} pictures and more"
                break
            steps = steps_in(wanted, seconds, clock(wanted), number)
            if taken and steps < rung.updates:
                why = f"the next, {name}, needs {rung.updates:,} steps and makes {steps:,}"
                break
            taken = wanted, steps, rung
        wanted, steps, rung = taken
        second = [r for r in RUNGS[:2] if number >= r.pictures][-1]
        if rung.width >= second.width and steps >= RUNGS[1].updates:
            break
    _check_enough(steps, seconds)
    often = max(rung.updates, OFTEN * number // wanted.train.batch_size)
    cut, steps = steps > often, _round(min(steps, often))
    seen = steps * wanted.train.batch_size / number
    if "dropout" not in typed:
        dropout = 0.1 if seen > SELDOM else 0.0
        wanted = replace(wanted, unet=replace(wanted.unet, dropout=dropout))
    wanted = paced(wanted, typed, steps, number)
    lines = [f"size      {_shape(size)}: {_why_size(config, typed, found, size)}"]
    lines.append(_network(wanted.unet, why))
    if steps < rung.updates:
        lines.append(
            f"          it should make {rung.updates:,} steps, and would with "
            f"--minutes {math.ceil(seconds / 60 * rung.updates / steps)}"
        )
    lines += _training(wanted, seen, typed)
    if cut:
        lines.append(
            f"          it ends before {duration(seconds)} are over: more would learn "
            f"{number:,} picture{'s' * (number > 1)} by heart"
        )
    return wanted, lines


def fit_steps(config, typed, seconds, found, clock):
    r"""A RunConfig with the number of steps that fits the time, and its network as it is.

    Arguments, what is returned and errors: see `choose`.
    """
    number = _number(config, found)
    steps = steps_in(config, seconds, clock(config), number)
    _check_enough(steps, seconds)
    wanted = paced(config, typed, _round(steps), number)
    seen = wanted.train.steps * wanted.train.batch_size / number
    return wanted, _training(wanted, seen, {*typed, "flip", "dropout"})


def steps_in(config, seconds, step, number):
    r"""How many steps fit into so many seconds, beside samples and all else.

    step: seconds of one. number: of pictures. A picture's way through the network costs a
    third of its training.
    """
    drawn = min(SAMPLES, 2 * number) * config.sample_steps / 3
    last = drawn * step / config.train.batch_size
    return max(0, int((SHARE * seconds - last) / step))


def paced(config, typed, steps, number):
    r"""A RunConfig with `steps` steps, and what depends on them where it was not typed.

    Warm-up takes at most a tenth of the steps, the EMA averages over at most the last
    tenth, and there are ten checkpoints and at most ten grids of samples.
    """
    train = config.train
    grid = 60 * config.sample_steps / 3 / train.batch_size  # what it costs, in steps
    grids = max(1, min(10, int(GRIDS * steps / grid)))
    own = dict(
        warmup_steps=min(train.warmup_steps, steps // 10),
        ema_decay=round(min(train.ema_decay, max(0.0, 1 - 10 / steps)), 5),
        log_every=max(1, min(train.log_every, steps // 20)),
        save_every=max(1, min(train.save_every, steps // 10)),
        sample_every=max(1, steps // grids),
    )
    own = {name: value for name, value in own.items() if name not in typed}
    return replace(config, train=replace(train, steps=steps, **own))


def clock_of(device):
    r"""The function that `choose` asks for the seconds of a step on a torch.device."""

    def clock(config):
        with torch.device("meta"):
            model = build_unet(config.unet)
        precision = choose_precision(device, config.train.precision, model)
        parts = processes()[1] * config.train.accumulate
        at_once = config.train.batch_size // parts
        seconds, _ = step_time(config.unet, at_once, device, precision)
        return seconds * config.train.accumulate

    return clock


def agreed(value):
    r"""What the first of all processes has: their clocks differ, their settings may not."""
    if processes()[1] == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box, 0)
    return box[0]


def open_to_all(config):
    r"""A RunConfig whose network takes whatever is typed: `choose` fills in the rest."""
    plain = dict(multipliers=(1,), attention=(), groups=1, size=LARGE)
    train = replace(config.train, flip=False)
    return replace(config, unet=replace(config.unet, **plain), train=train)


# --- the steps of the rule


def _number(config, found):
    if config.held_out_split:
        return found.number
    return found.number - set_aside(config.hold_out, found.number)


def _sizes(config, typed, found):
    if "size" in typed:
        return [config.unet.sample_shape[1:]]
    H, W = found.height, found.width
    if not found.one_size:
        H = W = min(H, W)  # the middle square
    sizes = [_fitted(H, W, LARGE)]
    return sizes + [_fitted(H, W, SMALL)] * (max(sizes[0]) > SMALL)


def _fitted(H, W, most):
    r"""(H, W) no larger than `most`, in multiples that a network can halve, at least 8."""
    scale = min(1, most / max(H, W))
    sides = (scale * H, scale * W)
    multiple = 4 if max(sides) <= SMALL and H == W else 8
    return tuple(max(8, int(side + 1e-6) // multiple * multiple) for side in sides)


def _with(config, typed, rung, size, channels):
    r"""The RunConfig of a rung, but for what was typed."""
    levels = 1
    while levels < 4 and all(n % 2**levels == 0 and n >> levels >= 4 for n in size):
        levels += 1
    own = dict(size=size, channels=channels, width=rung.width, blocks=rung.blocks)
    own |= dict(multipliers=MULTIPLIERS[levels])
    unet = _but(config.unet, typed, own)
    groups = dict(groups=math.gcd(unet.width, rung.groups))
    unet = _but(unet, typed, groups)
    if "attention" not in typed:
        near = min(8, max(4, unet.height // 2))
        unet = replace(unet, attention=attention_at((near,), unet))
    parts = processes()[1] * config.train.accumulate
    batch = -(-rung.batch_size // parts) * parts
    train = _but(config.train, typed, dict(batch_size=batch, lr=rung.lr))
    return replace(config, unet=unet, train=train)


def _but(settings, typed, own):
    return replace(settings, **{k: v for k, v in own.items() if k not in typed})


def _round(steps):
    r"""Two digits of a number of steps, rounded down: 4,137 becomes 4,100."""
    unit = 10 ** max(0, len(str(steps)) - 2)
    return steps // unit * unit


def _check_enough(steps, seconds):
    if steps < LEAST:
        raise ValueError(
            f"in {duration(seconds)} this machine makes {steps} steps, and fewer than "
            f"{LEAST} teach nothing: give more --minutes, or a smaller --size"
        )


# --- what is said


def _shape(size):
    return " x ".join(map(str, size))


def _why_size(config, typed, found, size):
    if "size" in typed:
        return "as was typed"
    own = f"{found.height} x {found.width}"
    if size == (found.height, found.width) and found.one_size:
        return "as the pictures have"
    why = f"the pictures have {own}"
    if not found.one_size:
        why = f"the pictures differ, about {own}, and the middle square of each is taken"
    larger = _sizes(config, typed, found)[0]
    return why + f"; for {_shape(larger)} there is too little time" * (size != larger)


def _network(unet, why):
    levels = " ".join(map(str, unet.multipliers))
    blocks = f"{unet.blocks} block{'s' * (unet.blocks > 1)}"
    said = f"network   width {unet.width}, multipliers {levels}, {blocks}"
    return said + (f": {why}" if why else "")


def _training(config, seen, typed):
    train, of = config.train, "series" if is_series(config.unet) else "pictures"
    lines = [
        f"steps     {train.steps:,} of {train.batch_size} {of}: each is seen "
        f"{seen:,.{0 if seen >= 10 else 1}f} times"
        + (f", so dropout is {config.unet.dropout:g}" if config.unet.dropout else "")
        * ("dropout" not in typed)
    ]
    if "flip" not in typed:
        lines.append(
            "mirror    none is mirrored; --flip does so with half of them, which doubles "
            "what there is to learn from, but turns letters and digits round"
        )
    return lines
