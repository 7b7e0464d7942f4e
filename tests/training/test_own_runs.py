r"""A run of a network of one's own: what its folder says, and that it goes on exactly."""

import json

import pytest
import torch
from helpers import normal
from own_networks import Flat, Own, make_inside, pictures

from ddpm_lite import Schedule, TrainConfig, Trainer, UNet, load_run
from ddpm_lite.formats.wrapped import DiffusersUNet
from ddpm_lite.training.config import TrainConfig as Settings
from ddpm_lite.training.cost import cost, step_time
from ddpm_lite.training.fit import fit
from ddpm_lite.training.own import OwnNetwork, own_network
from ddpm_lite.training.presets import RunConfig, build

SHORT = Schedule.cosine(10)
QUICK = dict(steps=6, batch_size=4, lr=1e-2, warmup_steps=2, save_every=3, log_every=1)


def trainer(model=None, seed=0, **settings):
    torch.manual_seed(0)
    model = Own(classes=3) if model is None else model
    y = torch.arange(9) % 3 if model.classes else None
    config = TrainConfig(**QUICK | dict(drop_label=0.2 * bool(model.classes)) | settings)
    return Trainer(model, SHORT, pictures(), config, y=y)


def run(folder, made=None, **options):
    return fit(made or trainer(), folder, progress=False, **options)


def state(folder):
    newest = folder / "checkpoints" / (folder / "newest").read_text()
    files = {p.name: p.read_bytes() for p in newest.iterdir()}
    return files | {"metrics": (folder / "metrics.jsonl").read_bytes()}


@pytest.mark.parametrize("kind", ["all", "learned", "inside", "float64"])
def test_it_goes_on_bit_for_bit(tmp_path, kind):
    def made(**settings):
        torch.manual_seed(0)
        models = {
            "all": lambda: Own(classes=3),
            "learned": lambda: Own(learned=True, prediction="noise"),
            "inside": lambda: Own(shape={"names": [["a", None], [1.5]]}),
            "float64": lambda: Own(classes=3).double(),
        }
        return trainer(models[kind](), **settings)

    run(tmp_path / "straight", made())
    done = run(tmp_path / "halves", made(), max_minutes=1e-9)  # one update, then stopped
    assert not done["finished"] and done["step"] == 1
    assert run(tmp_path / "halves", made(), resume=True)["finished"]
    assert state(tmp_path / "halves") == state(tmp_path / "straight")


def test_the_folder_says_all(tmp_path):
    run(tmp_path / "run")
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    assert about["own"] == {
        "name": "own_networks:Own",
        "settings": Own(classes=3).config,
        "sample_shape": [1, 4, 4],
        "classes": 3,
        "T": 10,
    }
    assert "unet" not in about and about["schedule"] == "cosine"
    config = RunConfig.from_dict(about)
    assert config.network is config.own and config.own.network is None
    assert config.as_dict() == RunConfig.from_dict(config.as_dict()).as_dict()
    with pytest.raises(ValueError, match="say where it is, --network own_networks:Own"):
        build(config)
    torch.manual_seed(5)
    model, schedule = build(config.with_network(Own))
    again, _ = build(config.with_network(Own))
    assert schedule.T == 10 and torch.equal(model.first.weight, again.first.weight)
    found = load_run(tmp_path / "run", network=Own)
    assert found.sample_shape == (1, 4, 4)
    options = dict(steps=2, sampler="ddim", progress=False)
    assert found.sample(5, **options).shape == (5, 1, 4, 4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(colour=1), "holds 'colour', which this version does not know"),
        (dict(classes=-1), "classes must be an integer >= 0"),
        (dict(settings=[]), "settings must be dict"),
        (dict(sample_shape=["a"]), r"sample_shape must be tuple\[int"),
        (dict(network="own_networks:Own"), "network must be type"),
    ],
)
def test_a_damaged_config_is_refused(change, words):
    own = OwnNetwork("a:B", {}, (1, 4, 4)).as_dict() | change
    with pytest.raises(ValueError, match=words):
        RunConfig.from_dict({"own": own, "train": {}})


def test_points_of_a_network_for_every_T(tmp_path):
    made = Trainer(Flat(), SHORT, normal(20, 2).float(), TrainConfig(**QUICK))
    fit(made, tmp_path / "run", progress=False)
    found = load_run(tmp_path / "run", network=Flat)
    options = dict(steps=2, sampler="ddim", progress=False)
    assert found.sample_shape == (2,) and found.sample(3, **options).shape == (3, 2)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: torch.nn.DataParallel(Own()), "give the network itself, model.module"),
        (lambda: Own().bfloat16(), "weights are trained in float32 or float64"),
        (lambda: setattr(m := Own(), "prediction", None) or m, "does not say what it pred"),
    ],
)
def test_what_cannot_be_trained(model, words):
    with pytest.raises(ValueError, match=words):
        Trainer(model(), SHORT, pictures(), TrainConfig(**QUICK))


def test_what_no_file_could_hold_is_refused_before_the_first_step(tmp_path):
    model = Own()
    del model.config["width"]
    with pytest.raises(ValueError, match="config of Own lacks width"):
        run(tmp_path / "run", trainer(model))
    model = Own()
    model.last = torch.nn.Conv2d(4, 2, 3, padding=1)
    model.config["learned"] = True
    with pytest.raises(ValueError, match="must answer with a tensor of shape"):
        run(tmp_path / "run", trainer(model))
    assert not (tmp_path / "run").exists()


def test_a_run_of_a_class_in_a_function(tmp_path):
    model = make_inside(3)
    made = Trainer(model, SHORT, normal(20, 2).float(), TrainConfig(**QUICK))
    fit(made, tmp_path / "run", progress=False)
    assert type(load_run(tmp_path / "run", network=type(model)).model) is type(model)


def test_another_network_does_not_go_on(tmp_path):
    run(tmp_path / "run")
    with pytest.raises(ValueError, match=r"holds a Own .* the network given is a UNet"):
        unet = UNet(
            size=4, channels=1, width=4, multipliers=(1,), attention=(), groups=2, T=10
        )
        fit(trainer(unet), tmp_path / "run", resume=True, progress=False)
    with pytest.raises(ValueError, match=r"is of another network: \S+ is"):
        run(tmp_path / "run", trainer(Own(width=5, classes=3)), resume=True)


def test_a_subclass_of_the_unet_is_a_network_of_its_own(tmp_path):
    class Louder(UNet):
        def forward(self, x_t, t, y=None):
            return 2 * super().forward(x_t, t)

    made = trainer(
        Louder(size=4, channels=1, width=4, multipliers=(1,), attention=(), groups=2, T=10)
    )
    run(tmp_path / "run", made)
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    assert "unet" not in about and about["own"]["name"].endswith("Louder")
    assert type(load_run(tmp_path / "run", network=Louder).model) is Louder


# --- from a command line


class Sized(Own):
    r"""A network that wants to know its data, and says what it is for."""

    def __init__(self, channels, size, T, classes=0, depth=2):
        super().__init__(classes=classes)
        self.config = dict(channels=channels, size=size, T=T, classes=classes, depth=depth)
        self.T, self.sample_shape = T, (channels, size, size)


def asked(words=(), typed=(), network="test_own_runs:Sized", **options):
    unet = dict(size=4, channels=1, multipliers=(1,), attention=(), T=10) | options
    config = RunConfig(sample_steps=2, train=Settings(steps=1))
    fields = type(config.unet)(**unet)
    config = RunConfig(sample_steps=2, train=Settings(steps=1), unet=fields)
    return own_network(network, words, config, frozenset(typed))


def test_what_the_class_takes_comes_from_the_data():
    own = asked(["depth=7"])
    assert own.settings == {"depth": 7} and own.T == 10
    fitted = own.fitted((1, 4, 4), 3)
    known = dict(channels=1, size=4, T=10, classes=3, depth=7)
    assert fitted.settings == known and fitted.classes == 3
    assert str(fitted).startswith("test_own_runs:Sized(") and "depth=7" in str(fitted)
    assert fitted.fitted((1, 4, 4), 3) == fitted
    assert own.fitted((1, 4, 4), 0).classes == 0


def test_a_network_without_classes_learns_none():
    own = asked(network="own_networks:Flat").fitted((1, 4, 4), 3)
    assert own.classes == 0 and own.settings == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            dict(words=["depth"]),
            "--settings takes name=value, such as width=64, got 'depth'",
        ),
        (dict(words=["dept=1"]), "takes no dept: did you mean depth"),
        (dict(words=["x=1"]), "takes no x: it takes channels, size, T, classes, depth"),
        (dict(words=["classes=x"]), r"cannot be built: TypeError"),
        (dict(typed=["width"]), "--width is for the U-Net of this package: leave it out; "),
        (dict(typed=["no-clip"]), "--no-clip is for the U-Net"),
        (dict(network="own_networks:Owm"), "did you mean own_networks:Own"),
    ],
)
def test_what_a_command_line_asks_wrongly(arguments, words):
    with pytest.raises(ValueError, match=words):
        asked(**arguments)


def test_data_that_a_network_is_not_for():
    with pytest.raises(ValueError, match=r"of shape \(1, 8, 8\), and these are of \(1, 4,"):
        asked(["size=8"]).fitted((1, 4, 4), 0)
    with pytest.raises(ValueError, match="has 5 classes, and the data 3"):
        asked(["classes=5"]).fitted((1, 4, 4), 3)


def test_settings_are_plain_values():
    own = asked(["width=8", "shape={}"], network="own_networks:Own")
    assert own.settings == {"width": 8, "shape": {}}
    words = ["prediction=x_0", "learned=True"]
    assert asked(words, network="own_networks:Own").settings == {
        "prediction": "x_0",
        "learned": True,
    }


def test_what_it_costs_is_counted_on_it():
    own = OwnNetwork.of(Own(), (1, 4, 4), 10)
    found = cost(own, batch_size=3)
    model = Own()
    assert found.parameters == sum(p.numel() for p in model.parameters())
    inner = sum(m.weight.numel() for m in (model.first, model.hidden, model.tied))
    maps = inner + model.last.weight.numel()
    assert found.flops == 2 * 16 * maps + 2 * model.time.weight.numel()
    assert step_time(own, 2, torch.device("cpu"))[0] > 0
    reads = OwnNetwork("a:Reads", {}, (1, 4, 4), network=Reads)
    assert cost(reads, 3).flops == found.flops
    assert cost(reads, 2).stored == 2 * cost(reads, 1).stored > 0


class Reads(Own):
    r"""A network whose forward reads a number, which the meta device does not have."""

    def __init__(self):
        super().__init__()
        self.config = {}

    def forward(self, x_t, t):
        return super().forward(x_t, t) if float(x_t.sum()) < 1e9 else x_t


# --- a network of diffusers


def test_diffusers_network_is_itself_and_needs_no_naming(tmp_path):
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=4,
        in_channels=1,
        out_channels=1,
        block_out_channels=(4, 8),
        layers_per_block=1,
        norm_num_groups=2,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        num_class_embeds=4,
    )
    model = DiffusersUNet(unet, T=10, prediction="v")
    assert (model.classes, model.sample_shape, model.learned_variance) == (
        3,
        (1, 4, 4),
        False,
    )
    run(tmp_path / "run", trainer(model))
    run(
        tmp_path / "again",
        trainer(DiffusersUNet(model.config["unet"], 10, "v")),
        max_minutes=1e-9,
    )
    found = load_run(tmp_path / "run")
    assert type(found.model) is DiffusersUNet and found.model.prediction == "v"
    x_t, t, y = torch.randn(3, 1, 4, 4), torch.tensor([1, 5, 10]), torch.tensor([0, 1, 3])
    with torch.no_grad():
        theirs = found.model.unet(x_t, t - 1, class_labels=y).sample
        assert torch.equal(found.model(x_t, t, y), theirs)
        nobody = found.model.unet(x_t, t - 1, class_labels=torch.full_like(y, 3)).sample
        assert torch.equal(found.model(x_t, t), nobody)
    assert found.sample(4, steps=2, sampler="ddim", progress=False).shape == (4, 1, 4, 4)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (3, "unet must be a UNet2DModel of diffusers, or its config; got 3"),
        (torch.nn.Linear(1, 1), "its config; got a Linear"),
    ],
)
def test_what_is_no_network_of_diffusers(fields, words):
    with pytest.raises(TypeError, match=words):
        DiffusersUNet(fields)
