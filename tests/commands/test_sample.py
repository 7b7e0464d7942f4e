r"""The command sample: where it writes, and what it refuses before it draws."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm_lite import guided, load_pretrained, sample
from ddpm_lite.commands import sample as command
from ddpm_lite.commands.main import main
from ddpm_lite.formats.weights import save_model
from ddpm_lite.models.unet import UNet, UNetConfig
from ddpm_lite.schedule import Schedule

ASK = ["sample", "digits", "--num", "3", "--steps", "2", "--device", "cpu"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def never_drawn(monkeypatch):
    def draw(*arguments, **options):
        raise AssertionError("it drew before it refused")

    monkeypatch.setattr(command, "draw", draw)


def error_of(capsys, arguments):
    assert main(arguments) == 1
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1
    return told.err


def test_an_array(here, capsys):
    assert main([*ASK, "--out", "x.npy"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("3 pictures in 2 steps of ddim, the default sampler, 2 n")
    assert said.endswith(": x.npy\n")
    array = np.load(here / "x.npy")
    assert (array.dtype, array.shape) == (np.float32, (3, 1, 8, 8))
    assert -1 <= array.min() < 0 < array.max() <= 1
    assert [p.name for p in here.iterdir()] == ["x.npy"]
    assert main([*ASK, "--out", "folder/"]) == 0
    grey = np.asarray(Image.open(here / "folder" / "00002.png")) / 127.5 - 1
    assert np.abs(grey - array[2, 0]).max() <= 1 / 255 + 1e-6  # half a grey level


def test_a_grid_alone(here, capsys):
    assert main([*ASK, "--json", "--out", "x.png"]) == 0
    assert json.loads(capsys.readouterr().out)["grid"] == "x.png"
    assert [p.name for p in here.iterdir()] == ["x.png"]
    assert main([*ASK, "--out", "folder"]) == 0
    assert (here / "folder" / "grid.png").read_bytes() == (here / "x.png").read_bytes()


def test_samples_go_to_numbered_folders(here, capsys):
    for _ in range(3):
        assert main(ASK) == 0
    names = ["samples_digits", "samples_digits_2", "samples_digits_3"]
    assert sorted(p.name for p in here.iterdir()) == names
    for name in names:
        inside = sorted(p.name for p in (here / name).iterdir())
        assert inside == ["00000.png", "00001.png", "00002.png", "grid.png"]
    assert "samples_digits_3" in capsys.readouterr().out.splitlines()[-1]


def test_a_folder_is_named_after_the_run_not_after_its_ending(here):
    shipped = load_pretrained("digits")
    save_model("a.b.safetensors", shipped.model, shipped.schedule, shipped.config)
    assert main([ASK[0], "a.b.safetensors", *ASK[2:]]) == 0
    assert (here / "samples_a.b").is_dir()


@pytest.mark.parametrize("out", ["taken.npy", "taken.png", "taken", "full", "full.npy"])
def test_what_is_named_and_taken_is_refused(here, capsys, never_drawn, out):
    for name in ("taken.npy", "taken.png", "taken"):
        (here / name).write_text("mine")
    for name in ("full", "full.npy"):
        (here / name).mkdir()
        (here / name / "mine").write_text("mine")
    assert "name another f" in error_of(capsys, [*ASK, "--out", out])
    assert (
        (here / "taken.npy").read_text() == (here / "full" / "mine").read_text() == "mine"
    )


@pytest.mark.parametrize("name", ["x.jpg", "x.JPEG", "x.pt", "x.npz", "a/x.gif", "x.tiff"])
def test_an_ending_that_is_not_written(here, capsys, never_drawn, name):
    told = error_of(capsys, [*ASK, "--out", name])
    assert f"a file that ends in .npy or .png, got {name}; if that" in told
    assert not list(here.iterdir())


@pytest.mark.parametrize("name", ["no/x.npy", "no/x.png", "file/x.npy"])
def test_a_file_in_no_folder(here, capsys, never_drawn, name):
    (here / "file").write_text("")
    assert f"no folder {name[:-6]} for x." in error_of(capsys, [*ASK, "--out", name])


@pytest.mark.parametrize("name", ["v1.0", "x.jpg/", "deep/er"])
def test_folders_that_are_taken_as_such(here, name):
    assert main([*ASK, "--out", name]) == 0
    assert (here / name / "grid.png").is_file()


def test_an_empty_folder_is_free(here):
    (here / "empty").mkdir()
    (here / "samples_digits").mkdir()
    assert main([*ASK, "--out", "empty"]) == main(ASK) == 0
    assert (here / "empty" / "grid.png").is_file()
    assert (here / "samples_digits" / "grid.png").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--eta", "0.7", "--sampler", "ancestral"],
            "eta is for sampler='ddim', got eta=0.7",
        ),
        (["--eta", "0", "--sampler", "heun"], "eta is for sampler='ddim', got eta=0.0"),
        (
            ["--variance", "large"],
            "variance is for sampler='ancestral', got variance='large'",
        ),
        (["--variance", "small", "--sampler", "dpmpp_2m"], "variance is for sampler="),
        (["--spacing", "quadratic", "--steps", "1000"], "all 1000 are taken here"),
        (["--steps", "1001"], "steps must be an integer in 1..1000, got 1001"),
        (["--steps", "0"], "--steps must be an integer >= 1, got 0"),
        (["--num", "0"], "--num must be an integer in 1..1000000, got 0"),
        (["--num", "-3"], "--num must be an integer in 1..1000000, got -3"),
    ],
)
def test_options_without_effect_are_refused_before_anything_is_drawn(
    here, capsys, never_drawn, options, message
):
    assert message in error_of(capsys, [*ASK, *options])
    assert not list(here.iterdir())


def test_what_cannot_be_written_is_refused(here, capsys, never_drawn, monkeypatch):
    (here / "file").write_text("")
    assert "is not a folder: name another path" in error_of(
        capsys, [*ASK, "--out", "file/deep/er"]
    )
    monkeypatch.setattr(command.os, "access", lambda *_: False)  # as of another user
    for out in ("x.npy", "x.png", "x", ""):
        assert "cannot be written: name another path" in error_of(
            capsys, [*ASK, "--out", out]
        )


def test_a_spacing_for_the_full_chain_is_refused(here, capsys, never_drawn):
    ask = ["sample", "digits", "--device", "cpu", "--sampler", "ancestral"]
    assert "all 1000 are taken here" in error_of(capsys, [*ask, "--spacing", "leading"])


@pytest.mark.parametrize("options", [["--batch", "0"], ["--seed", "-1"]])
def test_batch_and_seed(here, capsys, options):
    assert f"{options[0][2:]} must be an integer" in error_of(capsys, [*ASK, *options])


def test_two_channels_are_an_array_or_nothing(here, capsys):
    fields = dict(size=8, channels=2, width=4, multipliers=(1,), blocks=1, groups=2)
    torch.manual_seed(0)
    model = UNet(UNetConfig(**fields, attention=(), T=30))
    about = {"unet": model.config}
    save_model("two.safetensors", model, Schedule.cosine(30), about)
    ask = ["sample", "two.safetensors", "--num", "2", "--steps", "2", "--device", "cpu"]
    for out in ([], ["--out", "x.png"], ["--out", "x"]):
        assert "of 2 channels cannot be a PNG: write --out x.npy" in error_of(
            capsys, [*ask, *out]
        )
    assert main([*ask, "--out", "x.npy"]) == 0
    assert np.load("x.npy").shape == (2, 2, 8, 8)


def test_points_are_an_array(here, capsys):
    ask = ["sample", "s_curve", "--num", "5", "--steps", "4", "--device", "cpu"]
    for name in ("samples_s_curve.npy", "samples_s_curve_2.npy"):
        assert main(ask) == 0
        told = "5 points in 4 steps of ddim, the default sampler, 4 network calls"
        assert capsys.readouterr().out == f"{told}: {name}\n"
        array = np.load(here / name)
        assert (array.dtype, array.shape) == (np.float32, (5, 2))
    expected = load_pretrained("s_curve").sample(5, sampler="ddim", steps=4, progress=False)
    torch.testing.assert_close(torch.from_numpy(array), expected)
    assert main([*ask, "--json", "--out", "x.npy"]) == 0
    assert json.loads(capsys.readouterr().out)["array"] == "x.npy"


def test_a_class_by_its_name_in_capitals_or_not_or_by_its_number(here, capsys):
    ask = ["sample", "fashion", *"--num 2 --steps 2 --device cpu --out".split()]
    for i, label in enumerate(("Trouser", "trouser", "1", "Ankle boot")):
        assert main([*ask, f"{i}.npy", "--label", label]) == 0
        number, name = (9, "Ankle boot") if i == 3 else (1, "Trouser")
        assert f"2 pictures of class {number}, {name}, in 2" in capsys.readouterr().out
    drawn = [np.load(f"{i}.npy") for i in range(4)]
    assert np.array_equal(drawn[0], drawn[1]) and np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[3])
    assert main([*ask, "x.npy", "--label", "trouser", "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert (outcome["label"], outcome["class"]) == (1, "Trouser")


@pytest.mark.parametrize(
    ("model", "label", "words"),
    [
        ("fashion", "hat", "--label must lie in 0..9, or be one of T - shirt / top, Trous"),
        ("fashion", "10", "Ankle boot; got '10'"),
        ("fashion", "-1", "got '-1'"),
        ("digits", "ten", "--label must lie in 0..9; got 'ten'"),
    ],
)
def test_a_class_that_there_is_not_is_refused(
    model, label, words, here, never_drawn, capsys
):
    ask = ["sample", model, "--num", "2", "--device", "cpu", f"--label={label}"]
    assert words in error_of(capsys, ask)


def test_a_name_comes_before_a_number_and_one_without_names_has_numbers():
    def found(classes, names):
        unet = UNetConfig.preset("digits", classes=classes)
        config = command.as_pictures(load_pretrained("digits"), "digits", "cpu").config
        config = replace(config, unet=unet)
        return SimpleNamespace(config=config, stored={"described": {"classes": names}})

    two = found(2, ["1", "2"])
    assert command.class_of("1", two) == (0, "1") and command.class_of("2", two) == (1, "2")
    assert command.class_of("0", two) == (0, "1")
    assert command.class_of("1", found(2, [])) == (1, "")
    assert command.class_of("1", found(2, ["a", "b", "c"])) == (1, "")  # not its names
    mixed = found(2, ["Ab", "aB"])
    assert command.class_of("aB", mixed) == (1, "aB")
    with pytest.raises(ValueError, match="got 'ab'"):  # which one?
        command.class_of("ab", mixed)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "x.png"], "s_curve is a model of points: write --out x.npy"),
        (["--label", "1"], "no classes: leave out --label"),
        (["--guidance", "2"], "no classes: leave out --guidance"),
        (["--eta", "0.5", "--sampler", "heun"], "eta is for sampler='ddim'"),
    ],
)
def test_what_points_refuse(options, words, here, capsys):
    assert words in error_of(capsys, ["sample", "s_curve", "--num", "5", *options])
    assert not list(here.iterdir())


def test_guidance(here, capsys):
    found = load_pretrained("digits")
    options = dict(sampler="ddim", steps=2, seed=[(0, i) for i in range(3)])
    options |= dict(y=torch.arange(3), progress=False)
    for words, interval in (
        ([], None),
        (["--guidance-interval", "600", "1000"], (600, 1000)),
    ):
        out = f"{len(words)}.npy"
        assert main([*ASK, "--guidance", "2.5", *words, "--out", out]) == 0
        assert "(guidance 2.5: of twice the batch)" in capsys.readouterr().out
        model = guided(found.model, 2.5, interval=interval)
        expected = sample(model, found.schedule, (3, 1, 8, 8), **options)
        torch.testing.assert_close(torch.from_numpy(np.load(here / out)), expected)
    assert main([*ASK, "--guidance", "1", "--out", "none.npy"]) == 0
    plain = sample(found.model, found.schedule, (3, 1, 8, 8), **options)
    torch.testing.assert_close(torch.from_numpy(np.load(here / "none.npy")), plain)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--guidance", "nan"], "--guidance must be a number"),
        (["--guidance-interval", "1", "5"], "which 1 switches off"),
        (["--guidance", "2", "--guidance-interval", "9", "5"], "two steps in 1..1000"),
        (["--guidance", "2", "--guidance-interval", "0", "5"], "two steps in 1..1000"),
        (["--guidance", "2", "--guidance-interval", "1", "1001"], "two steps in 1..1000"),
    ],
)
def test_guidance_that_cannot_be_is_refused(options, words, here, capsys, never_drawn):
    assert words in error_of(capsys, [*ASK, *options])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--guidance", "0", "--label", "3"], "leaves the class out: leave out --label"),
        (["--network", "foo:Bar"], "digits comes with its own network: leave out"),
    ],
)
def test_what_would_have_no_effect_is_refused(options, words, here, capsys, never_drawn):
    assert words in error_of(capsys, ["sample", "digits", *options])


@pytest.mark.parametrize(("label", "columns"), [([], 10), (["--label", "3"], 8)])
def test_a_column_for_each_class_where_they_are_drawn_in_turn(here, capsys, label, columns):
    ask = ["sample", "digits", "--num", "20", "--steps", "2", "--out", "x.png", "--json"]
    assert main([*ask, *label]) == 0
    with Image.open(here / "x.png") as picture:
        shape = (-(-20 // columns), columns)
        scale = picture.height // (9 * shape[0] - 1)
        assert picture.size == (scale * (9 * shape[1] - 1), scale * (9 * shape[0] - 1))


def test_columns_where_there_are_few_or_many_classes_or_none():
    network = SimpleNamespace(classes=5)
    assert command.columns_of(64, network) == 5
    for classes in (None, 0, 2, 4, 17, 1000):
        network.classes = classes
        found = command.columns_of(64, network), command.columns_of(100, network)
        assert found == (8, 16)
