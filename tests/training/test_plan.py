r"""Before a run begins: what is refused, what a preset becomes, where its data are."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ddpm_lite import data
from ddpm_lite.data.pictures import PictureSet
from ddpm_lite.models.unet import UNetConfig
from ddpm_lite.training import cost, experiment, plan
from ddpm_lite.training.config import TrainConfig
from ddpm_lite.training.presets import RUNS, RunConfig

CPU = torch.device("cpu")
TINY = UNetConfig(size=8, width=4, multipliers=(1,), attention=(), groups=2)


def config(**settings):
    train = TrainConfig(steps=9, batch_size=4)
    return RunConfig(**{"unet": TINY, "train": train, **settings})


def npy(path, N, channels=3, seed=0):
    grey = np.random.default_rng(seed).integers(0, 256, (N, channels, 8, 8), np.uint8)
    np.save(path, grey)
    return str(path)


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_a_share_leaves_pictures_to_train_on_or_is_refused(N, share):
    if round(share * N) < N:
        assert plan.set_aside(share, N) == round(share * N)
    else:
        with pytest.raises(ValueError, match="leaves none to train on: give a smaller"):
            plan.set_aside(share, N)


@pytest.mark.parametrize("number", [0, 1, 59, 60, 61, 1000.0])
def test_a_number_leaves_pictures_to_train_on_or_is_refused(number):
    if number < 60:
        assert plan.set_aside(number, 60) == number
    else:
        with pytest.raises(ValueError, match=f"--hold-out {number:g} sets all of 60"):
            plan.set_aside(number, 60)


def test_half_a_picture_cannot_be_set_aside():
    with pytest.raises(
        ValueError, match=r"whole number of pictures or a share .* got 1\.5"
    ):
        RunConfig(hold_out=1.5)


@pytest.mark.parametrize(
    ("wanted", "size", "multipliers", "found"),
    [
        ((4,), 8, (1, 2), (4,)),  # there
        ((4,), 16, (1, 2), (8,)),  # the coarsest is finer
        ((16,), 96, (1, 1, 2, 2), (12,)),  # the next below
        ((16, 8), 96, (1, 1, 2, 2), (12,)),  # both become one
        ((16, 8), 32, (1, 2, 2, 2), (16, 8)),
        ((8,), 7, (1,), (7,)),
        ((), 32, (1, 2), ()),
    ],
)
def test_attention_follows_the_resolutions(wanted, size, multipliers, found):
    unet = UNetConfig(size=size, multipliers=multipliers, attention=())
    assert plan.attention_at(wanted, unet) == found
    replace(unet, attention=found)  # is valid


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(train=TrainConfig(batch_size=5, accumulate=2)), "take --batch-size 4"),
        (dict(train=TrainConfig(batch_size=1, accumulate=2)), "take --batch-size 2"),
        (dict(train=TrainConfig(precision="float16")), "float16 needs CUDA"),
        (dict(unet=replace(TINY, channels=2)), "with 1 channel or 3, got 2: take --chan"),
        (dict(schedule="flow"), "add --prediction flow, v or x_0"),
        (dict(init="nowhere"), "nowhere is neither a run folder"),
        (dict(init="digits"), "digits was trained with another schedule"),
        (dict(init="digits", schedule="cosine"), "digits does not fit this network"),
        (dict(data="digits"), "--channels 1 fit, or train the preset: ddpm-lite train"),
        (
            dict(data="digits", unet=RUNS["ddpm-256"].unet),
            "colour: train the preset: ddpm-lite train digits",
        ),
    ],
)
def test_what_fits_no_pictures_is_refused_before_any_is_read(settings, words, monkeypatch):
    monkeypatch.setattr(data, "load", lambda *_, **__: pytest.fail("read pictures"))
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        experiment.prepare(config(**{"data": "photos", **settings}), "cpu")


def test_a_dry_run_builds_no_network(tmp_path, monkeypatch):
    path = npy(tmp_path / "a.npy", 3)
    monkeypatch.setattr(experiment, "build", lambda *_: pytest.fail("built a network"))
    prepared = experiment.prepare(config(data=path), "cpu", dry=True)
    assert prepared.trainer is None and prepared.described["pictures"] == 3
    assert "estimate" in experiment.summary(prepared)
    short = replace(TINY, T=50)
    with pytest.warns(UserWarning, match="L_T"):  # as a Trainer would
        experiment.prepare(config(data=path, unet=short), "cpu", dry=True)


def test_a_dry_run_says_what_the_run_says(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "_seconds", lambda *_: 0.5)
    path = npy(tmp_path / "a.npy", 30)
    said = [experiment.prepare(config(data=path), "cpu", dry=dry) for dry in (True, False)]
    assert experiment.summary(said[0]) == experiment.summary(said[1])


def test_a_long_run_says_so_and_names_presets_that_are_quick(tmp_path, monkeypatch):
    clock = {8: 0.01, 28: 0.2, 32: 2.0}  # seconds of what is timed, by the size
    monkeypatch.setattr(cost, "_seconds", lambda unet, *_: clock[unet.height])
    path = npy(tmp_path / "a.npy", 3)
    prepared = experiment.prepare(replace(RUNS["small-32"], data=path), "cpu", dry=True)
    shown = experiment.summary(prepared)
    assert "that is long" in shown
    assert "the preset digits would take 20 s with these pictures, at 8 x 8" in shown
    assert "the preset fashion would take 28 min 20 s with these pictures, at 28" in shown
    assert "the preset small-32" not in shown and "the preset ddpm-256" not in shown
    clock[32] = 0.001
    assert "that is long" not in experiment.summary(prepared)


@pytest.mark.parametrize(
    ("N", "hold_out", "words"),
    [
        (3, 0.05, "held out  none: 0.05 of 3 is less than one; --hold-out 1"),
        (1, 0.05, "held out  none: 0.05 of 1 is less than one"),
        (3, 0, "held out  none, so that quality can only be measured with other pictures"),
        (3, 1, "batches   of 4 hold a picture several times, for there are 2"),
    ],
)
def test_few_pictures_are_said(N, hold_out, words, tmp_path):
    path = npy(tmp_path / "a.npy", N)
    prepared = experiment.prepare(config(data=path, hold_out=hold_out), "cpu")
    assert words in experiment.summary(prepared).splitlines() or hold_out == 0
    assert words in experiment.summary(prepared)


@pytest.mark.parametrize(
    ("N", "hold_out", "words"),
    [
        (
            400,
            0.05,
            "evaluate  has 20 set aside, and needs 64 for all its measures (--hold-out 64)",
        ),
        (
            40,
            4,
            "evaluate  has 4 set aside, and needs 64 for all its measures (evaluate --",
        ),
        (400, 64, ""),
    ],
)
def test_too_few_to_measure_with_are_said(N, hold_out, words, tmp_path):
    path = npy(tmp_path / "a.npy", N)
    prepared = experiment.prepare(config(data=path, hold_out=hold_out), "cpu")
    lines = experiment.summary(prepared).splitlines()
    found = [line for line in lines if line.startswith("evaluate  ")]
    assert len(found) == bool(words) and words in "".join(found)


def test_a_class_without_a_picture_to_train_on_is_named(tmp_path, monkeypatch):
    N = 6
    pictures = PictureSet(
        torch.zeros(N, 3, 8, 8, dtype=torch.uint8), torch.arange(N), tuple("abcdef")
    )
    monkeypatch.setattr(data, "load", lambda *_, **__: pictures)
    prepared = experiment.prepare(config(data="photos", hold_out=2), "cpu")
    gone = sorted(set(range(N)) - set(prepared.pictures.y.tolist()))
    names = ", ".join("abcdef"[i] for i in gone)
    assert len(gone) == 2
    assert f"no picture to train on is left of {names}:" in experiment.summary(prepared)


@pytest.mark.parametrize("N", [1, 2, 3, 9, 10, 60, 70, 90])
@pytest.mark.parametrize("hold_out", [0, 1, 0.05, 0.5, 200])
def test_every_small_set_trains_or_is_refused(N, hold_out, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "report", lambda *_: None)  # has its own tests
    train = TrainConfig(steps=1, batch_size=4, save_every=1, sample_every=0, log_every=1)
    run = config(
        data=npy(tmp_path / "a.npy", N), hold_out=hold_out, train=train, sample_steps=1
    )
    aside = round(N * hold_out) if hold_out < 1 else hold_out
    if aside >= N:
        with pytest.raises(ValueError, match="leaves none to train on"):
            experiment.prepare(run, "cpu")
        return
    prepared = experiment.prepare(run, "cpu")
    assert experiment.train(prepared, tmp_path / "run")["finished"]
    assert len(prepared.pictures) == N - aside
    assert prepared.described["held_out"] == aside
    written = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert ("held_out_loss" in written) == (aside > 0)


@pytest.mark.parametrize("classes", [(0,), (0, 1), (0, 1, 1, 1), (0,) * 100])
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_equal_pictures_and_single_ones_of_a_class_train(
    classes, grey, monkeypatch, tmp_path
):
    monkeypatch.setattr(experiment, "report", lambda *_: None)
    x_0 = torch.full((len(classes), 3, 8, 8), grey, dtype=torch.uint8)
    names = tuple(map(str, range(max(classes) + 1)))
    pictures = PictureSet(x_0, torch.tensor(classes), names)
    monkeypatch.setattr(data, "load", lambda *_, **__: pictures)
    train = TrainConfig(steps=1, batch_size=4, save_every=1, sample_every=0)
    prepared = experiment.prepare(config(data="x", train=train, sample_steps=1), "cpu")
    assert experiment.train(prepared, tmp_path / "run")["finished"]


# --- other data than the preset's


def test_a_preset_keeps_its_own_split_and_channels_on_its_own_data():
    for name in ("digits", "small-32"):
        own = RUNS[name]
        assert plan.on_data(own, own, frozenset()) == (own, False, [])


@pytest.mark.parametrize("name", ["digits", "fashion", "clothes", "mnist"])
def test_a_split_that_the_data_lack_is_not_asked_for(name, tmp_path):
    preset = RUNS[name]
    given = replace(preset, data=str(tmp_path))
    found, follow, said = plan.on_data(given, preset, frozenset({"data"}))
    assert found == replace(given, held_out_split="") and follow
    wish = preset.held_out_split
    assert said == [
        f"held out  0.05 of the pictures, which have no split {wish!r} (--hold-out)"
    ]


def test_what_was_typed_stays(tmp_path):
    given = replace(RUNS["fashion"], data=str(tmp_path), hold_out=12.0)
    typed = frozenset({"held-out-split", "channels"})
    assert plan.on_data(given, RUNS["fashion"], typed) == (given, False, [])
    found, *_ = plan.on_data(given, RUNS["fashion"], frozenset({"hold-out"}))
    assert (found.held_out_split, found.hold_out) == ("", 12)
    digits = replace(RUNS["digits"], hold_out=12.0)  # a number holds there too
    found, *_ = plan.on_data(digits, RUNS["digits"], frozenset({"hold-out"}))
    assert (found.held_out_split, found.hold_out) == ("", 12)
    with pytest.raises(ValueError, match=r"--hold-out or --held-out-split .* give one"):
        plan.on_data(given, RUNS["fashion"], frozenset({"hold-out", "held-out-split"}))


def test_digits_that_are_a_folder_too_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed, own = frozenset({"data"}), RUNS["digits"]
    plan.on_data(own, own, typed)
    (tmp_path / "digits").mkdir()
    with pytest.raises(ValueError, match=r"--data \./digits takes what is here"):
        plan.on_data(own, own, typed)
    plan.on_data(own, own, frozenset())
    plan.on_data(replace(own, data="./digits"), own, typed)


def test_a_split_that_the_data_have_is_set_aside(monkeypatch):
    monkeypatch.setattr(data.sources, "has_split", lambda name, split: split == "test")
    given = replace(RUNS["fashion"], data="ylecun/mnist")
    assert plan.on_data(given, RUNS["fashion"], frozenset()) == (given, True, [])
    given = replace(RUNS["digits"], data="ylecun/mnist")
    assert plan.on_data(given, RUNS["digits"], frozenset())[0].held_out_split == ""


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_follow_the_pictures(channels, tmp_path):
    path = npy(tmp_path / "a.npy", 5, channels)
    for unet in (TINY, replace(TINY, channels=1)):
        prepared = experiment.prepare(config(data=path, unet=unet), "cpu", follow=True)
        assert prepared.config.unet.channels == prepared.pictures.shape[0] == channels


# --- where data are


def test_a_path_is_kept_from_the_root_and_links_stay(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to("photos")
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path / "photos")
    assert plan.located(".") == str(tmp_path / "photos")
    assert plan.located("../link") == str(tmp_path / "link")
    monkeypatch.chdir(tmp_path)
    for name in ("", "digits", "ylecun/mnist", "nowhere", str(tmp_path / "link")):
        assert plan.located(name) == name
    monkeypatch.setenv("HOME", str(tmp_path))
    assert plan.located("~/photos") == str(tmp_path / "photos")


def test_a_path_through_a_link_is_not_shortened_to_another_place(tmp_path, monkeypatch):
    (tmp_path / "a" / "inner").mkdir(parents=True)
    (tmp_path / "a" / "photos").mkdir()
    (tmp_path / "link").symlink_to("a/inner")
    monkeypatch.chdir(tmp_path)
    assert os.path.samefile(plan.located("link/../photos"), tmp_path / "a" / "photos")


def test_relative_paths_of_older_runs_are_found_above_the_run(tmp_path, monkeypatch):
    run, elsewhere = tmp_path / "work" / "runs" / "one", tmp_path / "elsewhere"
    photos = tmp_path / "work" / "photos"
    for folder in (run, elsewhere, photos):
        folder.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    assert plan.find_data("photos", run) == str(photos)
    (tmp_path / "photos").mkdir()
    with pytest.raises(
        ValueError, match=r"may be .*photos or .*photos: say which with --d"
    ):
        plan.find_data("photos", run)
    monkeypatch.chdir(tmp_path)  # what is here comes first, as when it was typed
    assert plan.find_data("photos", run) == str(tmp_path / "photos")
    for name in ("digits", "", "ylecun/mnist"):
        assert plan.find_data(name, run) == name
    for gone in (str(tmp_path / "gone"), "gone"):
        with pytest.raises(FileNotFoundError, match=f"{gone}, are not there: .* --data"):
            plan.find_data(gone, run)


def test_other_data_are_refused_with_what_is_different():
    now = dict(pictures=10, held_out=1, shape=[3, 8, 8], classes=[], fingerprint="f")
    now |= dict(levels=256)
    plan.check_same_data(now, now)
    plan.check_same_data({}, now)  # of an older version
    before = now | dict(pictures=12, classes=["cat"], fingerprint="e")
    words = r"other data: pictures 12, now 10; classes \['cat'\], now \[\]\. Name"
    with pytest.raises(ValueError, match=words):
        plan.check_same_data(before, now)
    with pytest.raises(ValueError, match="as many pictures of the same shape, but not"):
        plan.check_same_data(now | dict(fingerprint="e"), now)


@pytest.mark.parametrize(
    "names", [["cat", "hound"], ["dog", "cat"], ["cat"], [], [f"n{i}" for i in range(99)]]
)
def test_other_names_of_classes_are_refused(names):
    now = dict(pictures=10, held_out=1, shape=[3, 8, 8], fingerprint="f", levels=256)
    before, now = now | dict(classes=["cat", "dog"]), now | dict(classes=names)
    with pytest.raises(
        ValueError, match="the classes cat, dog, and the same pict"
    ) as error:
        plan.check_same_data(before, now)
    assert (", ".join(names[:12]) or "none") + ("," if names[12:] else ":") in str(
        error.value
    )
    plan.check_same_data(before, now, labels=False)  # their names teach nothing
    plan.check_same_data({"fingerprint": "f"}, now)  # names were not written down


def test_classes_of_a_run_in_python_are_numbers_until_they_have_names():
    now = dict(pictures=10, held_out=0, shape=[1, 8, 8], fingerprint="f", levels=256)
    before = now | dict(classes=["0", "1"], dtype="uint8")
    plan.check_same_data(before, now | dict(classes=["cat", "dog"]))
    with pytest.raises(ValueError, match="trained with the classes 0, 1, and"):
        plan.check_same_data(before, now | dict(classes=["cat"]))


@pytest.mark.parametrize("same", ["train", "Train", "TRAIN"])
def test_pictures_that_are_trained_on_are_not_set_aside(same, tmp_path):
    for split in ("train", "test"):
        (tmp_path / "pets" / split).mkdir(parents=True)
        for i in range(3):
            grey = 20 * i + 100 * (split == "test")
            picture = np.full((8, 8), grey, np.uint8)
            Image.fromarray(picture).save(tmp_path / "pets" / split / f"{i}.png")
    given = config(data=str(tmp_path / "pets"), labels=False)
    words = "holds the pictures of .*, which are trained on: set others aside with --held-o"
    for wanted in (given, config(data="digits", unet=replace(TINY, channels=1))):
        own = same if wanted is given else "train"
        with pytest.raises(ValueError, match=words):
            experiment.load_pictures(replace(wanted, split="train", held_out_split=own))
        with pytest.raises(ValueError, match=words):
            aside = "test" if wanted is given else "held_out"
            experiment.load_pictures(replace(wanted, split=aside, held_out_split=aside))
    pictures, aside = experiment.load_pictures(replace(given, held_out_split="test"))
    assert len(pictures) == len(aside) == 3


# --- the run's folder


def test_a_folder_that_can_be_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("new", "new/deeper", ".", str(tmp_path)):
        plan.check_out(name)
    begun = tmp_path / "begun"
    begun.mkdir()
    for name in ("lock", "config.json", "metrics.jsonl", ".DS_Store"):
        (begun / name).touch()
    plan.check_out(begun)
    assert sorted(os.listdir(tmp_path)) == ["begun"]  # nothing was made


def test_a_folder_that_cannot(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").touch()
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "run" / "checkpoints" / "step_000000003").mkdir(parents=True)
    for name, words in {
        "file": "file is a file, not a folder: name another with --out",
        "file/run": "file is a file, not a folder",
        "broken": "broken is a file, not a folder",
        "notes": r"notes contains other files \('mine.txt'\): name another folder",
        "run": r"run already holds a run, up to step_000000003: go on with it",
    }.items():
        with pytest.raises(OSError, match=words):
            plan.check_out(tmp_path / name)


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="may not be written: name another"):
        plan.check_out(tmp_path / "run")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.3, "0 s"), (61, "1 min 1 s"), (7500, "2 h 5 min"), (200_000, "2 d 7 h")],
)
def test_seconds_in_words(seconds, words):
    assert plan.duration(seconds) == words
