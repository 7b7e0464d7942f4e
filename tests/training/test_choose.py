r"""What --minutes chooses, with a clock that counts operations: nothing is timed here."""

import math
from dataclasses import replace
from functools import cache

import pytest

from ddpm_lite.data.survey import Survey
from ddpm_lite.models.unet import UNetConfig
from ddpm_lite.training import choose as module
from ddpm_lite.training.choose import RUNGS, choose, fit_steps, open_to_all
from ddpm_lite.training.cost import cost
from ddpm_lite.training.presets import RUNS, RunConfig

START = replace(open_to_all(RUNS["small-32"]), data="photos", hold_out=0)
operations = cache(lambda unet: cost(replace(unet, dropout=0.0)).training_flops)


def machine(rate):
    r"""A clock for a machine that does so many operations in a second."""
    return lambda config: operations(config.unet) * config.train.batch_size / rate


def grey(number, size=16):
    return Survey(number, size, size, True, 1)


def colour(number, H=16, W=None):
    return Survey(number, H, W or H, True, 3)


def rung_of(config):
    return [rung.width for rung in RUNGS].index(config.unet.width)


def seconds_of(config, clock, number):
    r"""What a run takes by the rule: steps, and the samples of its last report."""
    step = clock(config)
    samples = min(200, 2 * number) * config.sample_steps
    return config.train.steps * step + samples / 3 / config.train.batch_size * step


FOUND = [
    grey(1),
    grey(3),
    grey(300),
    grey(100_000),
    colour(20_000),
    Survey(60, 9, 16, True, 3),
]


@pytest.mark.parametrize("found", FOUND, ids=str)
@pytest.mark.parametrize("minutes", [2, 600])
@pytest.mark.parametrize("rate", [3e10, 1e12])
def test_the_time_is_used_and_kept(found, minutes, rate):
    clock, seconds = machine(rate), 60 * minutes
    config, lines = choose(START, set(), seconds, found, clock)
    steps, batch, rung = config.train.steps, config.train.batch_size, RUNGS[rung_of(config)]
    limit = 0.9 * seconds
    assert seconds_of(config, clock, found.number) <= limit
    longer = replace(config, train=replace(config.train, steps=math.ceil(1.1 * steps) + 1))
    cut = any("by heart" in line for line in lines)
    assert (seconds_of(longer, clock, found.number) > limit) == (not cut)
    assert steps <= max(2000 * found.number / batch, rung.updates)
    if cut:
        assert 1.1 * steps + 1 > max(2000 * found.number // batch, rung.updates)


@pytest.mark.parametrize("found", FOUND, ids=str)
@pytest.mark.parametrize("minutes", [2, 20, 600])
def test_no_higher_rung_would_have_pictures_and_time(found, minutes):
    clock, seconds = machine(1e12), 60 * minutes
    config, lines = choose(START, set(), seconds, found, clock)
    taken, many = rung_of(config), config.train.steps
    rung = RUNGS[taken]
    assert taken == 0 or (many >= 0.9 * rung.updates and found.number >= rung.pictures)
    for other in RUNGS[taken + 1 : taken + 2]:
        fields = dict(width=other.width, blocks=other.blocks, groups=other.groups)
        train = replace(config.train, batch_size=other.batch_size, steps=other.updates)
        bigger = replace(config, unet=replace(config.unet, **fields), train=train)
        takes = seconds_of(bigger, clock, found.number)
        assert found.number < other.pictures or takes > 0.9 * seconds
        assert f"the next, width {other.width}," in "\n".join(lines)
    chosen = (config.train.batch_size, config.train.lr, config.unet.blocks)
    assert chosen == (rung.batch_size, rung.lr, rung.blocks)


def test_more_time_never_gives_a_lower_rung():
    clock = machine(1e13)
    rungs = [
        rung_of(choose(START, set(), 60 * m, grey(50_000), clock)[0])
        for m in (1, 4, 16, 64, 256, 1024)
    ]
    assert rungs == sorted(rungs) and rungs[0] < 2 and rungs[-1] == 4


@pytest.mark.parametrize(
    ("found", "minutes", "size", "multipliers", "attention"),
    [
        (grey(500, 8), 20, 8, (1, 2), (4,)),
        (grey(500, 16), 20, 16, (1, 2, 4), (8,)),
        (grey(500, 28), 20, 28, (1, 2, 4), (7,)),
        (grey(500, 30), 20, 28, (1, 2, 4), (7,)),
        (colour(500, 32), 20, 32, (1, 2, 2, 2), (8,)),
        (colour(500, 5), 20, 8, (1, 2), (4,)),
        (colour(500, 256), 20, 32, (1, 2, 2, 2), (8,)),
        (colour(500, 256), 600, 64, (1, 2, 2, 2), (8,)),
        (colour(3, 256), 5, 32, (1, 2, 2, 2), (8,)),
        (colour(3, 256), 600, 64, (1, 2, 2, 2), (8,)),
        (colour(500, 48), 600, 48, (1, 2, 2, 2), (6,)),
        (colour(500, 218, 178), 600, (64, 48), (1, 2, 2, 2), (8,)),
        (colour(500, 218, 178), 2, (32, 24), (1, 2, 4), (8,)),
        (Survey(500, 480, 640, False, 3), 600, 64, (1, 2, 2, 2), (8,)),
        (Survey(500, 20, 24, False, 3), 20, 20, (1, 2, 4), (5,)),
    ],
)
def test_the_size_and_its_levels(found, minutes, size, multipliers, attention):
    config, lines = choose(START, set(), 60 * minutes, found, machine(1e11))
    unet = config.unet
    assert (unet.size, unet.multipliers, unet.attention) == (size, multipliers, attention)
    said, larger = lines[0], found.height > 32 and minutes < 600
    assert ("too little time" in said) == larger
    own = found.one_size and (found.height, found.width) == unet.sample_shape[1:]
    assert ("as the pictures have" in said) == own
    assert ("middle square" in said) == (not found.one_size)


@pytest.mark.parametrize(("number", "dropout"), [(100, 0.1), (100_000, 0.0)])
def test_pictures_that_are_seen_often_get_dropout(number, dropout):
    config, lines = choose(START, set(), 1200, grey(number), machine(1e11))
    seen = config.train.steps * config.train.batch_size / number
    assert (seen > 100) == bool(dropout) and config.unet.dropout == dropout
    assert (f"so dropout is {dropout}" in "\n".join(lines)) == bool(dropout)


def test_what_was_typed_holds():
    unet = replace(START.unet, size=24, width=20, T=50, dropout=0.3, prediction="v")
    train = replace(START.train, batch_size=10, lr=3e-4, ema_decay=0.5, sample_every=0)
    train = replace(train, flip=True)
    asked = replace(START, unet=unet, train=train)
    typed = {"size", "width", "T", "dropout", "prediction", "batch_size", "lr"}
    typed |= {"ema_decay", "sample_every", "flip"}
    config, lines = choose(asked, typed, 1200, grey(900, 28), machine(1e11))
    for name in ("size", "width", "T", "dropout", "prediction"):
        assert getattr(config.unet, name) == getattr(unet, name)
    for name in ("batch_size", "lr", "ema_decay", "sample_every", "flip"):
        assert getattr(config.train, name) == getattr(train, name)
    assert config.unet.groups == 4  # divides 20, as 8 would not
    assert "as was typed" in lines[0] and not any("mirror" in line for line in lines)


def test_typed_levels_and_attention_hold():
    asked = replace(START, unet=replace(START.unet, size=32, multipliers=(1, 2)))
    config, _ = choose(asked, {"size", "multipliers"}, 600, grey(900), machine(1e11))
    assert (config.unet.multipliers, config.unet.attention) == ((1, 2), (16,))
    asked = replace(asked, unet=replace(asked.unet, attention=(32,)))
    typed = {"size", "multipliers", "attention"}
    config, _ = choose(asked, typed, 600, grey(900), machine(1e11))
    assert config.unet.attention == (32,)
    with pytest.raises(ValueError, match="attention must name resolutions"):
        choose(asked, {"attention"}, 600, grey(900), machine(1e11))


def test_nothing_is_mirrored_and_this_is_said():
    config, lines = choose(START, set(), 1200, grey(900), machine(1e11))
    assert not config.train.flip and "--flip" in "\n".join(lines)


def test_a_time_that_is_too_short_is_refused_and_a_short_one_is_said():
    with pytest.raises(
        ValueError, match=r"in 1 s this machine makes \d+ steps.*give more --min"
    ):
        choose(START, set(), 1, grey(900), machine(1e11))
    with pytest.raises(ValueError, match="give more --minutes"):
        fit_steps(RUNS["small-32"], set(), 60, grey(900), machine(1e11))
    config, lines = choose(START, set(), 120, grey(900, 28), machine(3e10))
    assert 100 <= config.train.steps < RUNGS[0].updates
    (said,) = [line for line in lines if "it should make 2,000 steps" in line]
    enough = float(said.rpartition(" ")[2])
    config, _ = choose(START, set(), 60 * enough, grey(900, 28), machine(3e10))
    assert config.train.steps >= RUNGS[0].updates


@pytest.mark.parametrize("name", ["digits", "small-32", "ddpm-cifar10"])
def test_a_preset_keeps_its_network_and_gets_steps(name):
    preset, clock, found = RUNS[name], machine(1e13), colour(5000)
    config, lines = fit_steps(preset, set(), 1200, found, clock)
    assert config.unet == preset.unet and config.train.flip == preset.train.flip
    assert (config.train.lr, config.train.batch_size) == (
        preset.train.lr,
        preset.train.batch_size,
    )
    number = 5000 if preset.held_out_split else 4750
    assert 0.8 * 1200 < seconds_of(config, clock, number) <= 0.9 * 1200
    assert f"steps     {config.train.steps:,} of " in lines[0] and len(lines) == 1


def test_short_runs_warm_up_average_and_draw_in_time():
    config, _ = fit_steps(RUNS["ddpm-cifar10"], set(), 400, colour(5000), machine(1e13))
    train = config.train
    assert 100 <= train.steps < 1000
    assert train.warmup_steps == train.steps // 10
    assert train.ema_decay == pytest.approx(1 - 10 / train.steps, abs=1e-5)
    assert train.save_every == train.steps // 10 and train.log_every <= train.steps // 20
    assert train.sample_every == train.steps // max(1, int(0.05 * train.steps * 128 / 500))
    typed = {"warmup_steps", "ema_decay", "save_every", "log_every", "sample_every"}
    held, _ = fit_steps(RUNS["ddpm-cifar10"], typed, 400, colour(5000), machine(1e13))
    own = RUNS["ddpm-cifar10"].train
    assert held.train == replace(own, steps=train.steps)
    config, _ = fit_steps(RUNS["small-32"], set(), 1e7, colour(5000), machine(1e13))
    assert config.train.warmup_steps == 200 and config.train.ema_decay == 0.9995


def test_pictures_set_aside_are_not_counted():
    half = replace(START, hold_out=0.5)
    _, lines = choose(half, set(), 6000, grey(20), machine(1e12))
    assert "10 pictures by heart" in lines[-1]
    split = replace(half, held_out_split="test")
    assert (
        "20 pictures by heart" in choose(split, set(), 6000, grey(20), machine(1e12))[1][-1]
    )
    with pytest.raises(ValueError, match="leaves none to train on"):
        choose(replace(START, hold_out=20), set(), 6000, grey(20), machine(1e12))


def test_the_same_question_has_the_same_answer():
    answers = [choose(START, set(), 1200, grey(900), machine(1e11)) for _ in range(2)]
    assert answers[0] == answers[1]
    config = answers[0][0]
    assert RunConfig.from_dict(config.as_dict()) == config  # what a run's file holds


def test_several_processes_share_a_batch(monkeypatch):
    monkeypatch.setattr(module, "processes", lambda: (0, 3))
    config, _ = choose(START, set(), 1200, grey(900), machine(1e11))
    assert config.train.batch_size == 33
    asked = replace(START, train=replace(START.train, accumulate=2))
    config, _ = choose(asked, {"accumulate"}, 1200, grey(900), machine(1e11))
    assert config.train.batch_size == 36


def test_the_clock_times_what_one_process_computes_at_once(monkeypatch):
    asked = []

    def step_time(unet, count, device, precision):
        asked.append((unet, count, device, precision))
        return 0.5, ""

    monkeypatch.setattr(module, "step_time", step_time)
    monkeypatch.setattr(module, "processes", lambda: (0, 2))
    config = replace(RUNS["digits"], train=replace(RUNS["digits"].train, accumulate=4))
    assert module.clock_of(module.torch.device("cpu"))(config) == 2
    assert [call[:2] for call in asked] == [(config.unet, 64 // 2 // 4)]


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: f"width {rung.width}")
@pytest.mark.parametrize("size", [(8, 8), (12, 28), (32, 32), (64, 48)], ids=str)
def test_every_rung_is_a_network_at_every_size(rung, size):
    wanted = module._with(START, set(), rung, size, 3)
    assert isinstance(wanted.unet, UNetConfig) and len(wanted.unet.attention) == 1
    assert min(wanted.unet.sample_shape[1:]) >> (len(wanted.unet.multipliers) - 1) >= 3
