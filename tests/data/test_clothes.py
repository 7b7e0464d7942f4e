r"""The clothes that come with the package: what they are, and where they are from."""

import hashlib
import importlib.util
import socket
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL
import pytest
import torch
from picture_files import message
from PIL import Image

from ddpm_lite import data
from ddpm_lite.data import sources
from ddpm_lite.data.survey import Survey, survey
from ddpm_lite.training import compared, experiment, plan
from ddpm_lite.training.presets import RUNS

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data" / "fashion_mnist"
SPLITS = ("train", "held_out")
# of the pictures, whatever file holds them: SHA-256 of uint8 (1000, 1, 28, 28), its start
MARKS = {"train": "e6b4d4117472c557", "held_out": "f69fdc209298cfe3"}


def flat(loaded):
    return loaded.x_0.flatten(1).numpy()


@pytest.mark.parametrize("split", SPLITS)
def test_a_thousand_pictures_of_ten_classes_in_turn(split):
    loaded, (x_0, y) = data.load("clothes", split=split), data.clothes(split)
    assert loaded.x_0.shape == (1000, 1, 28, 28) and loaded.x_0.dtype == torch.uint8
    assert (loaded.name, loaded.levels, len(loaded.told)) == ("clothes", 256, 1)
    assert torch.equal(loaded.y, torch.arange(1000) % 10) and torch.equal(loaded.y, y)
    assert loaded.classes[0] == "T - shirt / top" and loaded.classes[9] == "Ankle boot"
    assert torch.equal(loaded.to_float(), x_0) and x_0.dtype == torch.float32
    assert (x_0.min(), x_0.max()) == (-1, 1)
    assert hashlib.sha256(loaded.x_0.numpy().tobytes()).hexdigest()[:16] == MARKS[split]
    assert "1,000 pictures in 10 classes: T - shirt / top (100)" in loaded.told[0]


def test_what_the_classes_look_like():
    r"""The sheet is cut along its rows: trousers are narrow, bags wide, boots right."""
    loaded = data.load("clothes")
    light = loaded.to_float().add(1).div(2)[:, 0]
    means = torch.stack([light[loaded.y == c].mean(0) for c in range(10)])
    columns = means.mean(1)  # (10, 28)
    kinds = {name: i for i, name in enumerate(loaded.classes)}
    narrow, wide = columns[kinds["Trouser"]], columns[kinds["Bag"]]
    assert narrow[:6].mean() < 0.05 < 0.15 < wide[:6].mean()
    legs = means[kinds["Trouser"], 18:26]  # apart, below the hip
    assert legs[:, 13:15].mean() < legs[:, [10, 11, 16, 17]].mean()


def test_unseen_ones_are_others():
    both = np.concatenate([flat(data.load("clothes", split=split)) for split in SPLITS])
    assert len(np.unique(both, axis=0)) == 2000


def test_they_load_anywhere_and_without_a_network(tmp_path, monkeypatch):
    def refused(*arguments):
        raise AssertionError("asked the network")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setitem(sys.modules, "datasets", None)
    for split in SPLITS:
        assert len(data.load("clothes", split=split)) == 1000
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_is_refused():
    same = data.load("clothes", size=28, channels=1, labels=False)
    assert torch.equal(same.x_0, data.load("clothes").x_0) and same.y is None
    with pytest.raises(ValueError, match=r"the clothes are \(1, 28, 28\), got size \(8, 8"):
        data.load("clothes", size=8)
    for load in (data.load, lambda name, split: data.clothes(split)):
        with pytest.raises(ValueError, match='split must be "train" or "held_out", got'):
            load("clothes", split="test")
    with pytest.raises(ValueError, match=r"lazy=True \(--lazy\) is for a folder"):
        data.load("clothes", lazy=True)
    with pytest.raises(FileNotFoundError) as error:
        data.load("cloths")
    assert "did you mean clothes?" in message(error)


def test_a_folder_of_that_name_is_told_and_can_be_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not any("./clothes" in line for line in data.load("clothes").told)
    Path("clothes").mkdir()
    Image.new("L", (8, 8), 200).save("clothes/a.png")
    assert "for the folder here, pass ./clothes" in data.load("clothes").told[-1]
    for mine in ("./clothes", Path("clothes")):
        assert len(data.load(mine)) == len(data.load(mine)) == 1
    assert plan.located("clothes") == plan.find_data("clothes", tmp_path) == "clothes"
    asked = replace(RUNS["fashion"], data="clothes")
    with pytest.raises(ValueError, match=r"--data \./clothes takes what is here"):
        plan.on_data(asked, RUNS["fashion"], frozenset({"data"}))
    with pytest.raises(ValueError, match=r"--data \./clothes takes what is here"):
        compared.find(asked, {}, data="clothes")


# What commands make of them.


def asked(**settings):
    r"""What `ddpm-lite train clothes --data clothes` asks for, with other settings."""
    given = replace(RUNS["fashion"], data="clothes", **settings)
    typed = {"data", *(name.replace("_", "-") for name in settings)}
    return plan.on_data(given, RUNS["fashion"], frozenset(typed))[0]


def test_fashion_trains_on_them_and_sets_the_unseen_aside():
    prepared = experiment.prepare(asked(), "cpu", follow=True, dry=True)
    assert prepared.config.held_out_split == "held_out"
    assert asked(hold_out=64.0).held_out_split == ""  # as it was typed
    plain = replace(RUNS["series"], data="clothes", unet=RUNS["fashion"].unet)
    found, *_ = plan.on_data(plain, RUNS["small-32"], frozenset({"data"}))
    assert found.held_out_split == "held_out"  # of a preset without a wish, too
    assert torch.equal(prepared.held_out.x_0, data.load("clothes", split="held_out").x_0)
    assert prepared.described["class_counts"] == [100] * 10
    assert survey("clothes") == Survey(1000, 28, 28, True, 1)
    assert sources.has_split("clothes", "held_out")
    assert not sources.has_split("clothes", "test")
    own = asked(held_out_split="train")  # as it was typed, and refused later
    with pytest.raises(ValueError, match="holds the pictures of train, which are trained"):
        experiment.load_pictures(own)


@pytest.mark.parametrize(
    ("multipliers", "fits"),  # 28 can be halved twice
    [((1, 2, 2), "--size 28 --channels 1 fit, or "), ((1, 2, 2, 2), "")],
)
def test_a_network_of_another_size_is_told_what_fits(multipliers, fits):
    config = replace(RUNS["small-32"], data="clothes")
    unet = replace(config.unet, multipliers=multipliers, attention=(8,))
    with pytest.raises(ValueError) as error:
        plan.check_plan(replace(config, unet=unet), torch.device("cpu"))
    assert message(error) == (
        "the clothes are 28 x 28 pictures in grey, and this network is for 32 x 32 in "
        f"colour: {fits}train the preset: ddpm-lite train clothes --data clothes"
    )


def test_a_model_of_other_pictures_is_compared_with_the_unseen_ones():
    r"""Those of split train may be among the 60,000 that the shipped model was shown."""
    config = replace(RUNS["fashion"], data="fashion_mnist")
    config = config.fitted_to(data.load("clothes"))
    stored = {"described": {"fingerprint": "0" * 16, "pictures": 60_000}}
    found = compared.find(config, stored, data="clothes")
    assert found.train is None
    assert torch.equal(found.unseen.x_0, data.load("clothes", split="held_out").x_0)
    assert found.told[0] == "compared with 1,000 pictures of clothes, split held_out"
    own = replace(config, data="clothes", held_out_split="held_out")
    train = data.load("clothes")
    known = {"described": {"fingerprint": compared.fingerprint(train.x_0, train.y)}}
    found = compared.find(own, known)
    assert torch.equal(found.train.x_0, train.x_0) and len(found.unseen) == 1000


# The files.


def test_the_files_are_small_and_carry_their_licence():
    files = {path.name: path for path in sources.CLOTHES.iterdir()}
    assert set(files) == {"train.png", "held_out.png", "LICENSE"}
    assert sum(path.stat().st_size for path in files.values()) < 1e6
    text = files["LICENSE"].read_text("utf-8")
    for words in ("MIT License", "Zalando SE", "shall be included in all copies", "1708."):
        assert words in text
    with Image.open(files["train.png"]) as sheet:
        assert (sheet.size, sheet.mode, sheet.info) == ((2800, 280), "L", {})


def script():
    pytest.importorskip("datasets", reason="the extra `data` is not installed")
    path = ROOT / "figures" / "clothes.py"
    if not path.is_file():
        pytest.skip("there is no figures/, as in the package alone")
    spec = importlib.util.spec_from_file_location("clothes_script", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_choice_takes_as_many_of_each_class_and_depends_on_the_split_alone():
    module = script()
    y = torch.arange(5000).remainder(10)[torch.randperm(5000)]
    rows = module.rows_of(y, 0)
    assert rows.shape == (10, 100) and len(rows.unique()) == 1000
    assert all((y[row] == c).all() for c, row in enumerate(rows))
    assert torch.equal(rows, module.rows_of(y, 0))
    assert not torch.equal(rows, module.rows_of(y, 1))
    assert (rows.diff() < 0).any(1).all()  # not the first ones, in their order
    sheet = np.arange(280 * 2800).reshape(280, 2800)
    module.check_different([sheet])
    with pytest.raises(SystemExit, match="of 2000 pictures 1000 are different"):
        module.check_different([sheet, sheet])


def test_the_files_are_those_that_the_command_writes(tmp_path):
    module = script()
    if not SHARED.is_dir():
        pytest.skip("there is no ../shared/data/fashion_mnist")
    module.main(["--data", str(SHARED), "--out", str(tmp_path)])
    for split in SPLITS:
        new, committed = tmp_path / f"{split}.png", sources.CLOTHES / f"{split}.png"
        with Image.open(new) as one, Image.open(committed) as other:
            assert one.tobytes() == other.tobytes()
        with Image.open(committed) as sheet:  # which another Pillow may pack otherwise
            sheet.save(tmp_path / "again.png", "PNG", optimize=True)
        again = (tmp_path / "again.png").read_bytes()
        assert new.read_bytes() == again
        if PIL.__version__ == "13.0.0":
            assert again == committed.read_bytes()


def test_every_picture_and_its_class_are_in_the_source():
    if not SHARED.is_dir():
        pytest.skip("there is no ../shared/data/fashion_mnist")
    pytest.importorskip("datasets", reason="the extra `data` is not installed")
    whole, mine = data.load(SHARED, split="test"), data.load("clothes", split="held_out")
    assert whole.classes == mine.classes
    labels = {row.tobytes(): int(c) for row, c in zip(flat(whole), whole.y, strict=True)}
    assert [labels[row.tobytes()] for row in flat(mine)] == mine.y.tolist()
